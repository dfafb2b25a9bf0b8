"""Paths, names and small helpers that every part of the lab uses."""
import os, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
STATE = os.path.abspath(os.environ.get("RELAYSWEEP_LAB_STATE") or "/var/lib/relaysweep-lab")
ROOTS, RUN, LOG, TLS = STATE + "/roots", STATE + "/run", STATE + "/log", STATE + "/tls"
LAST = STATE + "/last"      # configuration, findings and messages of the last `run`

PYTHON = [sys.executable, "-B"]     # -B: no bytecode into the source tree
# Mounts, host name and processes of our own, all gone when the `unshare` process ends, however it ends.
UNSHARE = ["unshare", "--mount", "--uts", "--pid", "--propagation", "private", "--fork", "--kill-child=KILL"]

PREFIX = os.environ.get("RELAYSWEEP_LAB_PREFIX") or "rsl"       # of the namespaces' names: two labs can be up side by side
OUTSIDE, FIREWALL, ORGANISATION, INSIDE = NAMESPACES = tuple(f"{PREFIX}-{n}" for n in ("out", "fw", "org", "in"))
VANTAGES = {"outside": OUTSIDE, "inside": INSIDE}
SCANNER = {"outside": "203.0.113.10", "inside": "10.20.250.10"}
OTHER_SOURCE = "203.0.113.77"       # a second address outside
RESOLVER = {"outside": "203.0.113.53", "inside": "10.20.1.53"}
CANARY, CANARY_DOMAIN, DOMAIN = "203.0.113.25", "example.net", "org.example"

class Failed(Exception):
    """The lab cannot go on; the text is for the person at the terminal."""

def in_ns(name, *command):
    return ["ip", "netns", "exec", name, *command]

def tied(*command):
    """A command that the kernel ends when we end, however we end."""
    return ["setpriv", "--pdeathsig", "KILL", *command]

def sh(*command, check=True, **kw):
    """Run a command, return what it printed."""
    p = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kw)
    if check and p.returncode:
        raise Failed(f"`{' '.join(command)}` ended with {p.returncode}:\n{p.stdout.strip()[-2000:]}")
    return p.stdout

def complaint(*command):
    """What a command says that fails; "" if it does not fail."""
    p = subprocess.run(command, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return (p.stdout.strip().splitlines() or ["no message"])[0] if p.returncode else ""

def say(text):
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)

def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.islink(path):
        os.unlink(path)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)

def wait_for(condition, seconds):
    """Whether the condition came true in time."""
    end = time.time() + seconds
    while not condition():
        if time.time() > end:
            return False
        time.sleep(0.1)
    return True
