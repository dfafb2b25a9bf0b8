"""Run a scanner at both vantages and hold what it says against the truth.

    a   stop_at: ready, from outside and from inside. No message is sent, so an open row must be said accepted or more.
    b   stop_at: delivered, from outside, with the scanner's own sink at the canary's address. What it calls
        delivered must be exactly what is open.
"""
import ipaddress, json, os, shutil, subprocess, time
import cases, truth
from common import *

SCANS = (("a", "outside", "ready"), ("a", "inside", "ready"), ("b", "outside", "delivered"))
PORTS = (25, 465, 587, 2525)
SCOPE = ("198.51.100.0/25", "10.20.1.0/26", "2001:db8:51::/122")     # as much of the organisation as is in use
LADDER = ("unknown", "refused", "accepted", "ready", "queued", "delivered")
SMTP = ("smtp", "smtps", "lmtp", "submission")
NO_RELAY = ("sink", "catch-all", "auth-only", "closed", "not-smtp")
LONGEST = int(os.environ.get("RELAYSWEEP_LAB_TIMEOUT") or 120)      # seconds a scan may take

def configuration(vantage, stop_at):
    listen = f', listen: "{CANARY}:25"' if stop_at == "delivered" else ""
    zone, domain = ("wan", CANARY_DOMAIN) if vantage == "outside" else ("lan", DOMAIN)
    return f"""organisation: Example City
contact: postmaster@{DOMAIN}
scope:
  include: [{", ".join(f'"{s}"' for s in SCOPE)}]
ports: {list(PORTS)}
vantage: {{name: {vantage}, zone: {zone}, source: {SCANNER[vantage]}}}
canary: {{domain: {CANARY_DOMAIN}{listen}}}
local: {{domains: [{DOMAIN}], senders: [alice@{DOMAIN}], hello: scanner.{domain}, resolver: "{RESOLVER[vantage]}:53"}}
rate: {{total: 2000, per_net: 0, per_host: 0}}
stop_at: {stop_at}
"""

class Scan:
    """One run of the scanner: its findings by (address, port), and what is wrong with the run as a whole."""

    def __init__(self, name, vantage, stop_at):
        self.name, self.vantage, self.stop_at = f"{name} {vantage}", vantage, stop_at
        self.folder = f"{LAST}/{name}-{vantage}"
        self.findings, self.delivered, self.wrong, self.ended = {}, set(), [], False

    def run(self, binary):
        write(self.folder + "/relaysweep.yaml", configuration(self.vantage, self.stop_at))
        started = time.time()
        with open(self.folder + "/findings.jsonl", "w") as out, open(self.folder + "/messages.txt", "w") as err:
            p = subprocess.Popen(tied(*in_ns(VANTAGES[self.vantage], binary, "scan", "--config", "relaysweep.yaml", "--json")),
                                 cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
            try:
                code = p.wait(LONGEST)
            except subprocess.TimeoutExpired:
                code = f"none within {LONGEST} s"
            finally:
                p.kill()
                p.wait()
        say(f"scan {self.name}, stop_at {self.stop_at}: exit {code}, {time.time() - started:.0f} s")
        for number, line in enumerate(open(self.folder + "/findings.jsonl", errors="replace"), 1):
            try:
                self.take(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as e:
                self.wrong.append(f"findings.jsonl line {number}: {type(e).__name__} {e}")
        for where in self.delivered & set(self.findings):
            self.findings[where]["verdict"] = "delivered"
        if code not in (0, 1, 3) or not self.ended:
            tail = open(self.folder + "/messages.txt", errors="replace").read().strip().splitlines()[-8:]
            self.wrong.append("\n    ".join([f"exit code {code}" + ("" if self.ended else ", and no object of type end") + "; its last messages:", *tail]))

    def take(self, d):
        where = endpoint(d["ip"], d["port"]) if d["type"] in ("finding", "delivery") else None
        if d["type"] == "delivery":
            self.delivered.add(where)
        elif d["type"] == "finding" and d.get("state", "open") == "open" and rank(d) >= rank(self.findings.get(where, {})):
            self.findings[where] = d
        self.ended |= d["type"] == "end"

def endpoint(ip, port):
    return str(ipaddress.ip_address(ip)), int(port)

def rank(finding):
    return LADDER.index(finding["verdict"]) if finding.get("verdict") in LADDER else -1

def is_smtp(f):
    return bool(f) and f.get("protocol") in SMTP

def says_relay(f):
    return is_smtp(f) and rank(f) >= LADDER.index("accepted") and f.get("class") in ("relay", "", None)

def judge(case, verdict, f, stop_at):
    """What is wrong with finding f (or None) for a row; "" if nothing. Second: why it is excused."""
    if verdict in ("filtered", "dead"):
        return (f"found, though it is {verdict}" if f else ""), ""
    if verdict == "notsmtp":
        return (f"called {f['protocol']}" if is_smtp(f) else ""), ""
    if not f:
        return "not found", ""
    if not is_smtp(f):
        return f"called {f.get('protocol') or 'nothing'}, though it is SMTP", ""
    if verdict == "open" and stop_at == "delivered":
        return ("" if f.get("verdict") == "delivered" else "open, but not delivered"), ""
    if verdict == "open":
        if rank(f) >= LADDER.index("accepted") and f.get("class") not in NO_RELAY:
            return "", ""
        return ("", "only a delivery can tell") if case.needs_delivery else ("open, but not said", "")
    if f.get("verdict") == "delivered":
        return f"delivered, though it is {verdict}", ""
    if case.refuses and f.get("verdict") != "refused":
        return "an ordinary refusal, not said refused", ""
    if says_relay(f):
        return ("", "only a delivery can tell") if case.overclaim_ready else (f"said to relay, though it is {verdict}", "")
    return "", ""

def said(f):
    if not f:
        return "-"
    return " ".join(filter(None, (f.get("verdict"), f.get("class")))) if is_smtp(f) else f.get("protocol") or "?"

def vectors_tried(f):
    return {a.get("vector") for a in (f or {}).get("attempts") or [] if a.get("replies", True)}

def run(binary, rows, started):
    """Scan, compare, print; the exit code."""
    shutil.rmtree(LAST, ignore_errors=True)
    scans, by_id = [Scan(*s) for s in SCANS], {c.id: c for c in cases.CASES}
    passed, excuses, failures, cells = 0, 0, [], {(r["vantage"], r["id"]): r["verdict"] for r in rows}
    with truth.canary(RUN + "/canary.jsonl"):
        for s in scans[:2]:
            s.run(binary)
        time.sleep(2)
    if sent := open(RUN + "/canary.jsonl").read().splitlines():
        failures.append(f"a: {len(sent)} messages came to the canary, though stop_at is ready: {sent[0]}")
    passed += not sent
    scans[2].run(binary)
    for s in scans:
        mine = {endpoint(r["address"], r["port"]): r for r in rows if r["vantage"] == s.vantage}
        wrongs = list(s.wrong)
        for where, r in mine.items():
            f = s.findings.get(where)
            wrong, excuse = judge(by_id[r["id"]], r["verdict"], f, s.stop_at)
            cells[s.name, r["id"]] = said(f) + (" !" if wrong else " *" if excuse else "")
            passed, excuses = passed + (not wrong), excuses + bool(excuse)
            if wrong:
                detail = f"; said {said(f)}, vectors {f.get('vectors')}, reason: {f.get('reason')}" if f else ""
                wrongs.append(f"{r['id']} {show(*where)} is {r['verdict']} ({r['reason']}): {wrong}{detail}")
        wrongs += [f"{show(*w)} found ({said(f)}), but nothing is there" for w, f in s.findings.items() if w not in mine]
        wrongs += [f"{show(*w)} has a delivery, but no finding" for w in s.delivered - set(s.findings)]
        # Exim's limits must not cut a series of attempts short
        tried, reference = (vectors_tried(s.findings.get((by_id[i].ip, 25))) for i in ("ex-closed", "pf-closed-554"))
        if reference - tried:
            wrongs.append(f"ex-closed did not see every vector that pf-closed-554 saw: {', '.join(sorted(map(str, reference - tried)))}")
        passed += bool(reference) and reference <= tried
        if not s.findings:
            wrongs = [*s.wrong, "no finding at all"]
        failures += [f"{s.name}: {w}" for w in wrongs]
    columns = ["outside", *(s.name for s in scans if s.vantage == "outside"), "inside", *(s.name for s in scans if s.vantage == "inside")]
    lines = [["row", "endpoint", *(("truth " if c in VANTAGES else "") + c for c in columns)]]
    lines += [[c.id, show(c.ip, c.port), *(cells.get((k, c.id), "") for k in columns)] for c in cases.CASES]
    widths = [max(map(len, column)) for column in zip(*lines)]
    for l in lines:
        print("  ".join(map(str.ljust, l, widths)).rstrip())
    print("".join(f"\n{f}" for f in failures))
    print(f"! = disagreement, * = excused, as only a delivery can tell ({excuses})")
    print(f"configuration, findings and messages of each scan: {LAST}; {time.time() - started:.0f} s in all")
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures else 0

def show(ip, port):
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
