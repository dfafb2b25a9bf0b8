"""Run a scanner at both vantages and hold what it says against the truth.

    a   stop_at: ready. No message is sent, so an open row must be said accepted or more, and of class relay.
    b   stop_at: delivered, with `canary serve` at the canary's address. What it calls delivered must be exactly what is
        open, by the ways that are known.

Both vantages are scanned at once. Strays are deliveries that the scanner did not match to a listener.
"""
import ipaddress, json, os, shutil, subprocess, time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
import cases, incident, net, truth
from common import *

SCANS = (("a", "outside", "ready"), ("a", "inside", "ready"), ("b", "outside", "delivered"), ("b", "inside", "delivered"))
PORTS = (24, 25, 465, 587, 2525, 10025)
SCOPE = ("198.51.100.0/24", "10.20.1.0/26", "2001:db8:51::/122")     # as much of the organisation as is in use
LADDER = ("unknown", "refused", "accepted", "ready", "queued", "delivered")
SMTP = ("smtp", "smtps", "lmtp", "submission")
NO_RELAY = ("sink", "catch-all", "auth-only", "closed", "not-smtp")
LONGEST = int(os.environ.get("RELAYSWEEP_LAB_TIMEOUT") or 240)      # seconds a scan may take

# What a scan is told beyond the old keys. RELAYSWEEP_LAB_KEYS=vectors,sources,mx_names (or none) switches on what the
# binary knows; where a row is open by nothing else than what needs a key that is off, its miss is excused.
KEYS = {
    "vectors": "vectors: [all]",
    "sources": f'vantage.sources: ["{OTHER_SOURCE}", "{SCANNER["outside"]}:25"]',
    "mx_names": "canary.mx_names: [mxtrick.example.net]",
}
ON = set(KEYS) if "RELAYSWEEP_LAB_KEYS" not in os.environ else set(filter(None, os.environ["RELAYSWEEP_LAB_KEYS"].split(","))) - {"none"}

# The lab's ways: the scanner's vectors that find them (none: any will do), and the key that they need.
WAYS = {
    "plain": ((), ""), "null": (("S2",), ""), "own-domain": (("S6",), ""), "own-user": (("S7",), ""), "own-helo": (("I1",), ""), "from-literal": (("S5",), ""),
    "percent": (("R1", "R2"), ""), "quoted": (("R3",), ""), "quoted-at": (("R7", "R8"), ""), "bang": (("R12", "R13"), ""), "source-route": (("R9", "R10"), ""),
    "starttls": (("I7",), ""), "label": (("R19",), ""), "retry": ((), "vectors"),
    "xclient": (("I5",), "vectors"), "any-auth": (("I2", "I3"), "vectors"), "anonymous": (("I4",), "vectors"), "proxy-header": (("I6",), "vectors"),
    "utf8": (("R21",), "vectors"), "mx-trick": (("R20",), "mx_names"), "source-port": ((), "sources"), "other-source": ((), "sources"),
}

def configuration(vantage, stop_at):
    zone, domain = ("wan", CANARY_DOMAIN) if vantage == "outside" else ("lan", DOMAIN)
    home = {}
    if stop_at == "delivered":
        home = {"key_file": SERVE + "/canary.key", "deliveries": SERVE + "/deliveries.jsonl"}
    settings = {
        "organisation": "Example City", "contact": f"postmaster@{DOMAIN}", "scope.include": "[" + ", ".join(f'"{s}"' for s in SCOPE) + "]", "ports": list(PORTS),
        "vantage.name": vantage, "vantage.zone": zone, "vantage.source": SCANNER[vantage],
        "canary.domain": CANARY_DOMAIN, **{f"canary.{k}": v for k, v in home.items()},
        "local.domains": f"[{DOMAIN}]", "local.senders": f"[alice@{DOMAIN}]", "local.hello": f"scanner.{domain}", "local.resolver": f'"{RESOLVER[vantage]}:53"',
        "rate.total": 2000, "rate.per_net": 0, "rate.per_host": 0, "stop_at": stop_at, "inventory": "inventory.db",
    }
    for name, line in KEYS.items():
        if name in ON and (name != "sources" or vantage == "outside"):
            key, value = line.split(": ", 1)
            settings[key] = value
    groups = {}
    for key, value in settings.items():
        group, _, name = key.rpartition(".")
        groups.setdefault(group, []).append(f"{name}: {value}")
    return "\n".join(groups.pop("")) + "\n" + "".join(f"{group}: {{{', '.join(items)}}}\n" for group, items in groups.items())

SERVE = LAST + "/serve"

@contextmanager
def sink(binary):
    """The scanner's own sink as a program of its own."""
    write(SERVE + "/relaysweep.yaml", f'canary: {{domain: {CANARY_DOMAIN}, listen: "{CANARY}:25", key_file: {SERVE}/canary.key, deliveries: {SERVE}/deliveries.jsonl}}\n')
    with open(SERVE + "/messages.txt", "w") as log:
        p = subprocess.Popen(tied(*in_ns(OUTSIDE, binary, "canary", "serve", "--config", "relaysweep.yaml")), cwd=SERVE, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        if not wait_for(lambda: (CANARY, 25) in net.listening(OUTSIDE), 10):
            raise Failed("`canary serve` does not listen:\n" + open(SERVE + "/messages.txt").read()[-2000:])
        yield
    finally:
        p.kill()
        p.wait()

class Scan:
    """One run of the scanner: its findings by (address, port), and what is wrong with the run as a whole."""

    def __init__(self, name, vantage, stop_at):
        self.name, self.vantage, self.stop_at = f"{name} {vantage}", vantage, stop_at
        self.folder = f"{LAST}/{name}-{vantage}"
        self.findings, self.delivered, self.wrong, self.ended, self.strays = {}, set(), [], False, 0

    def run(self, binary):
        write(self.folder + "/relaysweep.yaml", configuration(self.vantage, self.stop_at))
        started = time.time()
        with open(self.folder + "/findings.jsonl", "w") as out, open(self.folder + "/messages.txt", "w") as err:
            p = subprocess.Popen(tied(*in_ns(VANTAGES[self.vantage], binary, "scan", "--config", "relaysweep.yaml", "--service-timeout", "120s", "--json")),
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
        where = endpoint(d["ip"], d["port"]) if d.get("ip") and d["type"] in ("finding", "delivery") else None
        if d["type"] == "delivery" and not where:
            self.strays += 1
        elif d["type"] == "delivery" and not d.get("bounce"):
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
    return is_smtp(f) and rank(f) >= LADDER.index("accepted") and f.get("class") not in NO_RELAY + ("undetermined",)

def ids(f):
    """The vectors of a finding, without the numbers of their forms."""
    return {str(v).split(".")[0].split("-")[0] for v in f.get("vectors") or []}

def judge(case, vantage, verdict, f, stop_at):
    """What is wrong with finding f (or None) for a row; "" if nothing. Second: why it is excused."""
    ways = case.by(vantage)
    off = ", ".join(sorted({WAYS[w][1] for w in ways} - ON - {""})) if verdict == "open" and all(WAYS[w][1] not in {"", *ON} for w in ways) else ""
    if verdict in ("filtered", "dead"):
        return (f"found, though it is {verdict}" if f else ""), ""
    if verdict == "notsmtp":
        return (f"called {f['protocol']}" if f and f.get("protocol") in ("smtp", "smtps") else ""), ""
    if off and not (f and says_relay(f)):
        return "", "needs the key " + off
    if not f:
        return "not found", ""
    if not is_smtp(f):
        return f"called {f.get('protocol') or 'nothing'}, though it is SMTP", ""
    if verdict == "open" and stop_at == "delivered":
        if f.get("verdict") != "delivered":
            return "open, but not delivered", ""
        missed = [w for w in ways if WAYS[w][0] and not ids(f) & set(WAYS[w][0])]
        return (f"open by {', '.join(missed)}, which is not among its vectors" if missed else ""), ""
    if verdict == "open":
        return ("", "") if says_relay(f) else ("", "only a delivery can tell") if case.needs_delivery else ("open, but not said", "")
    if f.get("verdict") == "delivered":
        return f"delivered, though it is {verdict}", ""
    if case.refuses and f.get("verdict") != "refused":
        return "an ordinary refusal, not said refused", ""
    if says_relay(f):
        excused = case.overclaim_ready and stop_at != "delivered"
        return ("", "only a delivery can tell") if excused else (f"said to relay, though it is {verdict}", "")
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
    figures = [["scan", "stop_at", "rows", "open", "said", "precision", "recall", "wrong", "strays"]]
    passed, excuses, failures, cells = 0, 0, [], {(r["vantage"], r["id"]): r["verdict"] for r in rows}
    with truth.canary(RUN + "/canary.jsonl"):
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda s: s.run(binary), scans[:2]))
        time.sleep(2)
    if sent := open(RUN + "/canary.jsonl").read().splitlines():
        failures.append(f"a: {len(sent)} messages came to the canary, though stop_at is ready: {sent[0]}")
    passed += not sent
    with sink(binary), ThreadPoolExecutor() as pool:
        list(pool.map(lambda s: s.run(binary), scans[2:]))
    for s in scans:
        mine = {endpoint(r["address"], r["port"]): r for r in rows if r["vantage"] == s.vantage}
        wrongs, counts = list(s.wrong), {"open": 0, "said": 0, "right": 0}
        for where, r in mine.items():
            f = s.findings.get(where)
            wrong, excuse = judge(by_id[r["id"]], s.vantage, r["verdict"], f, s.stop_at)
            said_so = bool(f) and (f.get("verdict") == "delivered" if s.stop_at == "delivered" else says_relay(f))
            counts["open"] += r["verdict"] == "open"
            counts["said"] += said_so
            counts["right"] += said_so and r["verdict"] == "open"
            cells[s.name, r["id"]] = said(f) + (" !" if wrong else " *" if excuse else "")
            passed, excuses = passed + (not wrong), excuses + bool(excuse)
            if wrong:
                detail = f"; said {said(f)}, vectors {f.get('vectors')}, reason: {f.get('reason')}" if f else ""
                wrongs.append(f"{r['id']} {show(*where)} is {r['verdict']} ({r['reason']}): {wrong}{detail}")
        figures.append([s.name, s.stop_at, str(len(mine)), str(counts["open"]), str(counts["said"]), f"{counts['right'] / max(1, counts['said']):.2f}", f"{counts['right'] / max(1, counts['open']):.2f}", str(len(wrongs) - len(s.wrong)), str(s.strays)])
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
    wrong, right = incident.run(binary)
    failures, passed = failures + wrong, passed + right
    failures += [f"{c.id} {show(c.ip, c.port)}: {c.server} could not be had, so it was not judged" for c in cases.MISSING]
    columns = ["outside", *(s.name for s in scans if s.vantage == "outside"), "inside", *(s.name for s in scans if s.vantage == "inside")]
    lines = [["row", "endpoint", *(("truth " if c in VANTAGES else "") + c for c in columns)]]
    lines += [[c.id, show(c.ip, c.port), *(cells.get((k, c.id), "") for k in columns)] for c in cases.CASES]
    for table in (lines, figures):
        widths = [max(map(len, column)) for column in zip(*table)]
        print("\n".join("  ".join(map(str.ljust, l, widths)).rstrip() for l in table), end="\n\n")
    print("".join(f"\n{f}" for f in failures))
    print(f"! = disagreement, * = excused, as only a delivery can tell or a key is off ({excuses})")
    print("keys: " + (", ".join(k for k in KEYS if k in ON) or "none"))
    print(f"configuration, findings and messages of each scan: {LAST}; {time.time() - started:.0f} s in all")
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures else 0

def show(ip, port):
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
