"""Incident 2 end to end: a firewall mistake lets outsiders in and makes them look like the inside.

A real nftables router forwards a port to a real Postfix that trusts its own network, and masquerades towards it. The
scan from outside, with the router's own export, must say delivered, name the masquerade line and the line that lets the
connection in, and propose edits. The edits are loaded as they are printed; the scans after them must say closed, and
then nothing at all. Every listener of the lab is held against the rules as well: none may be unexplained.
"""
import json, os, subprocess
import cases, compare
from common import *

FOLDER = LAST + "/incident"
RULES = f"""rules:
  - device: fw1
    file: fw1.nft.json
    zones: {{wan: [out0], servers: [org0], offices: [in0]}}
    networks: {{wan: [203.0.113.0/24, "2001:db8:113::/64"], servers: [198.51.100.0/24, 10.20.1.0/24, "2001:db8:51::/64"], offices: [10.20.250.0/24, "2001:db8:250::/64"]}}
    addresses: [203.0.113.1, 198.51.100.1, 10.20.1.1, 10.20.250.1, "2001:db8:113::1", "2001:db8:51::1", "2001:db8:250::1"]
"""

class Wrong(Exception):
    """What a step shows is not what it must."""

def export():
    write(FOLDER + "/fw1.nft.json", sh(*in_ns(FIREWALL, "nft", "-j", "list", "ruleset")))

def scan(binary, name, *words):
    """A scan from outside; its objects by type."""
    export()
    write(FOLDER + "/relaysweep.yaml", compare.configuration("outside", "delivered") + RULES)
    with open(f"{FOLDER}/{name}.err", "w") as err:
        p = subprocess.run(tied(*in_ns(OUTSIDE, binary, *words, "--config", "relaysweep.yaml", "--json", "-oH", name + ".html")), cwd=FOLDER, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=err, text=True, timeout=compare.LONGEST)
    write(f"{FOLDER}/{name}.jsonl", p.stdout)
    if p.returncode not in (0, 1, 3):
        raise Wrong(f"exit {p.returncode}: {open(f'{FOLDER}/{name}.err').read()[-1000:]}")
    found = {}
    for line in p.stdout.splitlines():
        d = json.loads(line)
        found.setdefault(d["type"], []).append(d)
    return found

def must(ok, what, d):
    if not ok:
        raise Wrong(f"{what}: {json.dumps(d)[:1500]}")

def load(commands):
    """Loads an edit as it was printed."""
    for command in commands:
        sh(*in_ns(FIREWALL, "sh", "-ec", command))

def everything(binary):
    """Each listener that answers is permitted by the rules, and each that the rules deny is silent."""
    found = scan(binary, "everything", "discover")
    for f in found.get("finding", []):
        must(f["rules"] == "permitted", "a listener that answers, and is not permitted for certain", f)
    table = found["reconciliation"][0]
    must(table["explained"] > 50 and not table["unexplained"] and not table["possibly"] and not table["unread"] and not table["answered"], "the table", table)

def mistake(binary):
    case = next(c for c in cases.CASES if c.masquerade)
    where = ("scan", case.ip, "-p", str(case.port))
    with compare.sink(binary):
        f = scan(binary, "before", *where)["finding"][0]
        must(f["verdict"] == "delivered" and f["severity"] == "critical", "not delivered", f)
        must(f["seen_as"] == "10.20.1.1", "seen as", f)
        nat = [o for o in f["openings"] if o["action"] == "snat"]
        must(len(nat) == 1 and nat[0]["comment"] == "the mistake of " + case.id and "masquerade" in nat[0]["text"], "the masquerade line", f["openings"])
        lets = [o for o in f["openings"] if o["action"] == "accept" and "ct status dnat counter" in o["text"]]
        must(len(lets) == 1, "the line that lets it in", f["openings"])
        must(any(o["action"] == "dnat" and o["nat"] for o in f["openings"]), "the forwarding", f["openings"])
        counters(binary, case)
        stop = [e for e in f["edits"] if e["unmasks"] and e["rule"] == nat[0]["rule"]]
        must(stop and stop[0]["commands"], "no edit stops the masquerade", f["edits"])
        load(stop[0]["commands"])
        f = scan(binary, "unmasked", *where)["finding"][0]
        must(f["verdict"] == "refused" and f["class"] == "closed" and not any(o["action"] == "snat" for o in f["openings"]), "not closed after the edit", f)
    close = [e for e in json_of("before")["edits"] if e["closes"] and not e["breaks"] and e["kind"] != "stop-nat"]
    must(close and close[0]["commands"], "no edit closes the opening", json_of("before")["edits"])
    load(close[0]["commands"])
    found = scan(binary, "after", *where)
    must(not found.get("finding") and found["reconciliation"][0]["intended"] == 1, "open after the edit", found)

def counters(binary, case):
    """The lines whose counters moved while the scan went on are those that the model names."""
    before = FOLDER + "/counted.nft.json"
    os.rename(FOLDER + "/fw1.nft.json", before)
    export()
    p = subprocess.run([binary, "rules", "explain", "--counters", "--source-ip", SCANNER["outside"], before, "fw1.nft.json", "outside", f"{case.ip}:{case.port}"], cwd=FOLDER,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    must(p.returncode == 0 and "masquerade" in p.stdout and "The counters agree with the model: permitted." in p.stdout, "the counters", p.stdout)

def json_of(name):
    return next(d for d in map(json.loads, open(f"{FOLDER}/{name}.jsonl")) if d["type"] == "finding")

def run(binary):
    """The failures, and how many steps passed."""
    failures = []
    steps = (everything, mistake)
    for step in steps:
        try:
            step(binary)
        except (Wrong, Failed, KeyError, ValueError, IndexError, subprocess.TimeoutExpired) as e:
            failures.append(f"incident 2, {step.__name__}: {type(e).__name__}: {e}; more in {FOLDER}")
    return failures, len(steps) - len(failures)
