"""Discovery beside masscan, zmap and nmap: the same targets, one after the other, in rounds, so that what else the machine does
meets all of them. The medians are compared; only ratios mean something."""
import collections, ipaddress, os, re, signal, statistics, subprocess, time

from common import *
from discovery_net import *

EACH = ",".join(map(str, PORTS))
QUARTER = "10.50.0.0/18"
SYN = ["--scan-type", "syn"]

class Tool:
    """One scanner with its arguments. {net}, {out}, {mac} and {port} are filled in; a {port} means a run for each port."""
    def __init__(self, name, *command, goals=()):
        self.name, self.command = name, command
        self.goals = dict(goals)        # how many times ours is better: of wall, CPU, memory

def ours(name, *args):
    return Tool(name, "relaysweep", "discover", "{net}", *ON_PORTS, *args, "--silent")

def masscan(rate, **kw):
    return Tool(f"masscan {rate:,}/s", "masscan", "{net}", "-p" + EACH, "--rate", str(rate), "--wait", "2", "-e", "rs0", "--adapter-ip", "10.60.0.1", "--router-mac", "{mac}", "-oL", "{out}", **kw)

def zmap(rate, **kw):
    return Tool(f"zmap {rate:,}/s, 4 runs", "zmap", "-q", "-p", "{port}", "-r", str(rate), "-c", "2", "-i", "rs0", "-S", "10.60.0.1", "-G", "{mac}", "-b", "{empty}", "-o", "{out}", "{net}", **kw)

def nmap(kind, *args, **kw):
    return Tool(f"nmap {kind} -T5", "nmap", kind, "-n", "-Pn", "-T5", *args, "-p" + EACH, "-oG", "{out}", "{net}", **kw)

MASSCAN, ZMAP = {"wall": 2.5, "cpu": 1 / 0.9, "rss": 4}, {"wall": 1 / 0.75, "cpu": 1, "rss": 2}
NMAP, NMAP_CONNECT = {"wall": 15, "cpu": 3, "rss": 2}, {"wall": 1, "cpu": 3, "rss": 2}

# What is compared: title, targets, ours, theirs.
TABLES = (
    ("all at full speed", WIDE, ours("relaysweep, SYN", *FREE, *SYN),
     [masscan(100_000, goals=MASSCAN), masscan(1_000_000, goals=MASSCAN), zmap(1_000_000, goals=ZMAP), nmap("-sS", "--min-rate", "50000", "--max-retries", "1", goals=NMAP)]),
    ("no rights", NARROW, ours("relaysweep, connect", *FREE, "--scan-type", "connect", "-c", "15000", "--timeout", "1s"),
     [nmap("-sT", "--min-rate", "50000", "--max-retries", "0", goals=NMAP_CONNECT)]),
    ("20,000/s", QUARTER, ours("relaysweep, SYN", "--rate", "20000", *FREE[2:], *SYN), [zmap(20_000), masscan(20_000)]),
)

class Run:
    """One run: what it took, and what it found."""
    def __init__(self, lab, tool, net):
        self.wall = self.cpu = self.rss = self.packets = 0
        self.found = set()
        for port in PORTS if "{port}" in tool.command else (None,):
            self.one(lab, tool, net, port)
        truth = {t for t in lab.wide.opened() if ipaddress.ip_address(t[0]) in ipaddress.ip_network(net)}
        self.missed, self.false, self.of = len(truth - self.found), len(self.found - truth), len(truth)

    def one(self, lab, tool, net, port):
        out, err, timed = (f"{lab.dir}/{n}" for n in ("out", "err", "timed"))
        for name in (out, err, timed):
            write(name, "")
        words = fill(lab, tool.command, net, port)
        before, started = lab.counter("tx_packets"), time.monotonic()
        # A small parent: what a process inherits over exec counts as its memory.
        with open(err, "w") as e, open(out, "w") if "{out}" not in tool.command else open(os.devnull, "w") as o:
            p = lab.start(SCANNER, "/usr/bin/time", "-f", "%M %U %S", "-o", timed, *words, stdin=subprocess.DEVNULL, stdout=o, stderr=e, env=environment(lab))
            try:
                p.wait(600)
            except subprocess.TimeoutExpired:
                raise Failed(f"{tool.name} does not end within 600 s")
        self.wall += time.monotonic() - started
        lab.running.remove(p)
        if p.returncode:
            raise Failed(f"`{' '.join(words)}` ended with {p.returncode}:\n{open(err).read()[-2000:]}")
        memory, user, system = map(float, open(timed).read().splitlines()[-1].split())
        self.rss, self.cpu = max(self.rss, memory / 1024), self.cpu + user + system
        self.packets += lab.counter("tx_packets") - before
        self.found |= set(read(tool.command[0], open(out).read(), port))

def environment(lab):
    lab.scans += 1
    return dict(os.environ, XDG_STATE_HOME=f"{lab.dir}/state{lab.scans}", XDG_DATA_HOME=f"{lab.dir}/state{lab.scans}", NO_COLOR="1")

def fill(lab, command, net, port):
    write(f"{lab.dir}/empty", "")
    names = {"net": net, "out": f"{lab.dir}/out", "mac": lab.mac["ro0"], "empty": f"{lab.dir}/empty", "port": port}
    return [lab.binary if w == "relaysweep" else w.format(**names) for w in command]

def read(tool, text, port):
    """What a scanner's output calls open."""
    if tool == "masscan":
        return [(a, int(p)) for p, a in re.findall(r"^open tcp (\d+) (\S+)", text, re.M)]
    if tool == "zmap":
        return [(a, port) for a in re.findall(r"^([\d.]+)$", text, re.M)]
    if tool == "nmap":
        return [(a, int(p)) for a, ports in re.findall(r"^Host: (\S+) .*Ports: ([^\t\n]*)", text, re.M) for p in re.findall(r"(\d+)/open/", ports)]
    return [(a, int(p)) for a, p in re.findall(r"^([\d.]+):(\d+)$", text, re.M)]

def table(lab, title, net, us, them, runs):
    """Prints a table; how many goals are met and not, and whether ours found exactly what is open."""
    tools, results = [us, *them], collections.defaultdict(list)
    for _ in range(runs):
        for t in tools:
            results[t.name].append(Run(lab, t, net))
    median = lambda t, what: statistics.median(getattr(r, what) for r in results[t.name])
    n = ipaddress.ip_network(net).num_addresses * len(PORTS)
    print(f"\n{title}: {net} x {EACH}, {n:,} targets, {results[us.name][0].of} open; medians of {runs}")
    print(f"{'':28}{'wall s':>8}{'+-%':>5}{'CPU s':>8}{'MB':>8}{'packets':>10}{'missed':>8}{'false':>6}   theirs/ours: {'wall':>6}{'CPU':>7}{'memory':>7}")
    met = missed = 0
    for t in tools:
        walls = [r.wall for r in results[t.name]]
        spread = 50 * (max(walls) - min(walls)) / statistics.median(walls)
        line = f"{t.name:28}{median(t, 'wall'):8.2f}{spread:5.0f}{median(t, 'cpu'):8.2f}{median(t, 'rss'):8.1f}{median(t, 'packets'):10,.0f}{median(t, 'missed'):8.0f}{median(t, 'false'):6.0f}"
        if t is not us:
            ratios = {k: median(t, k) / max(median(us, k), 0.001) for k in ("wall", "cpu", "rss")}
            line += " " * 16 + "".join(f"{r:7.2f}" for r in ratios.values())
            for k, goal in t.goals.items():
                good = ratios[k] >= goal
                met, missed = met + good, missed + (not good)
                line += f"  {k} >= {goal:.3g}: {'met' if good else 'NOT MET'}"
        print(line, flush=True)
    exact = all(r.missed == r.false == 0 for r in results[us.name])
    if not exact:
        print("WRONG: ours missed " + ", ".join(f"{r.missed} (and {r.false} false)" for r in results[us.name]))
    return met, missed, exact

# A plan of 67 million targets into a hole: when the first packet comes, and the memory. Our own links lie in it: the others do not
# ask who is there, so they are excluded but once.
HUGE, LINKS = "10.0.0.0/8", ["--exclude", "10.60.0.0/16,10.70.0.0/16"]

def huge(lab, runs):
    print(f"\na big plan: {HUGE} x {EACH}, into a hole, for 3 s; medians of {runs}\n{'':32}{'first packet s':>16}{'MB':>8}{'kpps':>8}{'end s':>8}")
    us = ours("relaysweep, SYN", *FREE, *SYN, *LINKS)
    rows = collections.defaultdict(list)
    lab.blackhole(True)
    try:
        for _ in range(runs):
            for t in (us, ours("relaysweep, our links in it", *FREE, *SYN), masscan(10_000_000), zmap(10_000_000)):
                rows[t.name].append(hole(lab, t))
    finally:
        lab.blackhole(False)
    met = False
    for name, row in rows.items():
        first, rss, pps, end = (statistics.median(r[k] for r in row) for k in range(4))
        line = f"{name.replace(', 4 runs', ', one port'):32}{first:16.2f}{rss:8.1f}{pps / 1000:8.0f}{end:8.1f}"
        if name == us.name:
            met = rss < 40
            line += f"  memory < 40 MB: {'met' if met else 'NOT MET'}"
        print(line, flush=True)
    return int(met), int(not met)

def hole(lab, tool):
    """Seconds to the first packets, megabytes, packets a second, seconds from the interrupt to the end."""
    came = lambda: lab.counter("rx_packets", FAR, "ro0") - before
    before, name, timed = lab.counter("rx_packets", FAR, "ro0"), f"{lab.dir}/meter", f"{lab.dir}/timed"
    m = lab.far("meter", "ro0", name)
    words = fill(lab, tool.command, HUGE, PORTS[0])
    started = time.monotonic_ns()
    p = lab.start(SCANNER, "/usr/bin/time", "-f", "%M %U %S", "-o", timed, *words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(lab))
    if not wait_for(lambda: came() > 1000 or p.poll() is not None, 60) or p.poll() is not None:
        raise Failed(f"{tool.name} sends nothing")
    try:
        p.wait(3)
    except subprocess.TimeoutExpired:
        pass
    interrupted = time.monotonic()
    lab.end(m)
    # masscan waits ten seconds more, and zmap eight, unless it is told twice.
    for end in (signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        for child in children(p.pid) if p.poll() is None else ():
            os.kill(child, end)
        try:
            p.wait(20 if words[0] == lab.binary else 2)
            break
        except subprocess.TimeoutExpired:
            pass
    took = time.monotonic() - interrupted
    lab.running.remove(p)
    samples = [s for s in (tuple(map(int, line.split())) for line in open(name)) if s[2] > 100]
    t0, t1 = samples[0][1], samples[-1][1]
    memory = float(open(timed).read().splitlines()[-1].split()[0]) / 1024
    return (t0 - started) / 1e9, memory, (samples[-1][2] - samples[0][2]) / (t1 - t0) * 1e9, took

def children(pid):
    return [int(c) for c in open(f"/proc/{pid}/task/{pid}/children").read().split()]

def states(lab):
    """Four states of all targets, with SYN; the unmeasured part of what is compared."""
    seen, _ = lab.states(lab.wide, *SYN)
    wrong = differences(lab.wide.truth, seen)
    print(f"\nevery state with SYN: {len(lab.wide.truth) - wrong.total():,} of {len(lab.wide.truth):,}" + "".join(f"; {n} {was} called {said}" for (was, said), n in wrong.most_common(5)))
    return not wrong

def run(binary, seed, runs):
    started = time.time()
    wide = Space(WIDE, seed, 300, by_net=True)
    with Lab(binary, [wide]) as lab:
        lab.wide = wide
        say(f"up: {len(wide.truth):,} targets: {dict(wide.counts())}")
        right = states(lab)
        met = missed = 0
        for row in TABLES:
            a, b, exact = table(lab, *row, runs)
            met, missed, right = met + a, missed + b, right and exact
        a, b = huge(lab, runs)
        load = os.getloadavg()
        print(f"\n{met + a} goals met, {missed + b} not; {time.time() - started:.0f} s; load {load[0]:.1f} {load[1]:.1f} {load[2]:.1f} on {os.cpu_count()} cores")
    return 0 if right else 1
