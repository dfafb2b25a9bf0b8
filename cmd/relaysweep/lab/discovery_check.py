"""What discovery has to hold, each with the far side as its witness."""
import bisect, collections, math, random, signal, subprocess, time

from common import *
from discovery_net import *

def exact(lab, space, *args):
    """Each target is said to be what it is."""
    seen, _ = lab.states(space, *args)
    wrong = differences(space.truth, seen)
    return not wrong, f"{len(space.truth) - wrong.total():,} of {len(space.truth):,}" + told(wrong)

def told(wrong):
    return "".join(f"; {n} {was} called {said}" for (was, said), n in wrong.most_common(5))

def syn(lab):
    return exact(lab, lab.narrow, "--scan-type", "syn")

def connect(lab):
    return exact(lab, lab.narrow, "--scan-type", "connect", "-c", "5000", "--timeout", "1s")

def six(lab):
    return exact(lab, lab.six, "--scan-type", "syn")

def link4(lab):
    return exact(lab, lab.link4, "--scan-type", "syn")

def link6(lab):
    return exact(lab, lab.link6, "--scan-type", "syn")

def loss(lab):
    """Two packets of an opening are lost with p = 0.0004, so chance takes one in each eighth run: who misses some in each of three
    runs misses them for another reason."""
    lab.loss(2)
    try:
        said = []
        for _ in range(3):
            seen, end = lab.states(lab.narrow, "--scan-type", "syn")
            wrong = differences(lab.narrow.truth, seen)
            missed = sum(n for (was, _), n in wrong.items() if was == "open")
            only_silent = all(said == "filtered" for _, said in wrong)
            said.append(f"{missed} of {len(lab.narrow.opened())} missed, {end['expected_missed']:.2f} expected" + told(wrong))
            if not missed or not only_silent:
                break
        return only_silent and not missed and wrong.total() < 40, "; again: ".join(said)
    finally:
        lab.loss(0)

def icmp_limits(lab):
    """What sends few ICMP errors looks silent, and never like anything else."""
    lab.icmp_limits(True)
    try:
        seen, _ = lab.states(lab.narrow, "--scan-type", "syn")
    finally:
        lab.icmp_limits(False)
    wrong = differences(lab.narrow.truth, seen)
    lawful = {("prohibited", "filtered"), ("unreachable", "filtered")}
    return set(wrong) <= lawful, f"of {lab.narrow.counts()['prohibited']} prohibited {sum(seen.get(t) == 'prohibited' for t, s in lab.narrow.truth.items() if s == 'prohibited')} were told" + told(collections.Counter({k: n for k, n in wrong.items() if k not in lawful}))

def pace(rate, prefix, targets, must):
    """No window may hold more than burst + rate * w, and the whole comes within 1 % of what was asked for."""
    def check(lab):
        best = None
        for _ in range(3 if must else 1):       # others use the machine as well: it may be too slow, and never too fast
            worst, reached = measure(lab, rate, prefix, targets)
            if worst > 1:
                return False, f"a window held {worst:.2f} times burst + rate x its length"
            if best is None or abs(reached - 1) < abs(best[0] - 1):
                best = reached, worst
            if abs(reached - 1) <= 0.01:
                break
        return not must or abs(best[0] - 1) <= 0.01, f"{best[0] * rate:,.0f}/s, {100 * best[0] - 100:+.2f} %; fullest window {best[1]:.2f} of what it may hold"
    return check

def allowance(rate):
    """How many packets may come at one moment: the burst, 1 ms of packets (256 at most) and 2 ms more. What was granted can be held
    up by the machine, and come with the next grant."""
    burst = min(max(rate // 1000, 1), 256) + math.ceil(rate * 0.002)
    return burst + min(burst, 128)

def measure(lab, rate, prefix, targets):
    """How full the fullest window was, of what it may hold, and how much of the rate was reached."""
    name = f"{lab.dir}/meter"
    m = lab.far("meter", "ro0", name)
    lab.blackhole(True)
    try:
        before = lab.counter("rx_packets", FAR, "ro0")
        p = lab.discover(prefix, *ON_PORTS, "--rate", str(rate), *FREE[2:], "--scan-type", "syn", "--silent", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: p.poll() is not None or lab.counter("rx_packets", FAR, "ro0") - before >= targets, 60)
        p.send_signal(signal.SIGINT)
        p.wait(30)
        lab.running.remove(p)
    finally:
        lab.blackhole(False)
        lab.end(m)
    samples = [tuple(map(int, line.split())) for line in open(name)]
    samples = [s for s in samples if s[2] <= targets]
    # Every window at once: the most that the count rises above the line of the rate.
    low, worst = math.inf, -math.inf
    for before, after, n in samples:
        worst = max(worst, n - rate * after / 1e9 - low)
        low = min(low, n - rate * before / 1e9)
    # And the fullest of 10 ms.
    most = 0.0
    for before, after, n in samples:
        k = bisect.bisect_left(samples, (before - 10_000_000,))
        if k < len(samples):
            b, _, was = samples[k]
            most = max(most, (n - was) / (allowance(rate) + rate * (after - b) / 1e9))
    (t0, _, n0), (_, t1, n1) = samples[0], samples[-1]
    return max(worst / allowance(rate), most), (n1 - n0) / (t1 - t0) * 1e9 / rate

def per_host(lab):
    """The cap is 4/s: five in a window of a second at most, the burst and the rate."""
    name, cap, part = f"{lab.dir}/capture", 4, lab.narrow.part("10.50.0.0/24")
    c = lab.far("capture", "ro0", name)
    seen, _ = lab.states(part, "--rate", "0", "--rate-per-net", "0", "--rate-per-host", str(cap), "--scan-type", "syn")
    times = collections.defaultdict(list)
    for t, a, _ in lab.captured(c, name):
        times[a].append(t)
    most = max(sum(1 for u in ts if t <= u < t + 1) for ts in times.values() for t in ts)
    wrong = differences(part.truth, seen)
    return most <= cap + 1 and len(times) == 256 and not wrong, f"{sum(map(len, times.values()))} packets to {len(times)} hosts, {most} in the fullest second of one, {cap + 1} allowed" + told(wrong)

def flood(lab):
    """The far side sees all that we send, and answers with forgeries all the time. What nothing stops takes 2.4 s; a forger may not
    stretch that to more than thirty."""
    f = lab.far("flood", "ro0", lab.mac["rs0"], str(lab.seed))
    before = lab.counter("rx_packets")
    try:
        seen, end = lab.states(lab.narrow, "--rate", "10000", *FREE[2:], "--scan-type", "syn", timeout=30)
    finally:
        took = lab.counter("rx_packets") - before
        lab.end(f)
    wrong = differences(lab.narrow.truth, seen)
    return not wrong and took > 2 * len(lab.narrow.truth), f"{took:,} packets came in {end['duration_ms'] / 1000:.1f} s, {len(lab.narrow.truth) - wrong.total():,} of {len(lab.narrow.truth):,} exact" + told(wrong)

def resume(lab):
    """Killed at random moments: what was seen stays, and not more is asked again than one second's worth for each time."""
    rate, kills, r = 4000, 0, random.Random(lab.seed)
    name, state, states = (f"{lab.dir}/{n}" for n in ("capture", "killed", "states-killed"))
    begin = [*lab.aimed(lab.narrow), "--rate", str(rate), *FREE[2:], "--scan-type", "syn", "--states", states]
    c = lab.far("capture", "ro0", name)
    p = lab.discover(*begin, state=state, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for kills in range(20):
        try:
            p.wait(r.uniform(0.1, 0.7))
            break       # it came to its end
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
        lab.running.remove(p)
        last = kills == 19
        p = lab.discover("--resume", "last", "--json", "--states", states, state=state, stdout=subprocess.PIPE if last else subprocess.DEVNULL, stderr=subprocess.PIPE if last else subprocess.DEVNULL, text=True)
    kills += last
    seen, _ = lab.answer(p, states)
    asked = collections.Counter((a, port) for _, a, port in lab.captured(c, name))
    again = sum(max(0, n - (2 if lab.narrow.truth[t] == "filtered" else 1)) for t, n in asked.items())
    wrong = differences(lab.narrow.truth, seen)
    return kills == 20 and not wrong and asked.keys() == lab.narrow.truth.keys() and again <= kills * rate, f"{kills} times killed: {len(lab.narrow.truth) - wrong.total():,} of {len(lab.narrow.truth):,} exact, {again:,} packets once more ({again / kills / rate:.2f} s' worth each time)" + told(wrong)

def shards(lab):
    """Three shards ask each target, and none twice."""
    parts = []
    for k in range(1, 4):
        name = f"{lab.dir}/capture{k}"
        c = lab.far("capture", "ro0", name)
        lab.answer(lab.discover(NARROW, *ON_PORTS, "--seed", str(lab.seed), "--rate", "20000", *FREE[2:], "--scan-type", "syn", "--shard", f"{k}/3", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        parts.append({(a, port) for _, a, port in lab.captured(c, name)})
    whole = set().union(*parts)
    return sum(map(len, parts)) == len(whole) and whole == set(lab.narrow.truth), " + ".join(f"{len(p):,}" for p in parts) + f" of {len(lab.narrow.truth):,}, {sum(map(len, parts)) - len(whole)} in two of them"

CHECKS = (
    ("every state with SYN", syn),
    ("every state with connect", connect),
    ("IPv6 behind a router", six),
    ("IPv4 on the link", link4),
    ("IPv6 on the link", link6),
    ("2 % of the packets lost", loss),
    ("ICMP errors limited as Linux does", icmp_limits),
    ("a flood of forged answers", flood),
    ("1,000/s", pace(1000, "10.50.0.0/23", 2048, True)),
    ("5,000/s", pace(5000, "10.50.0.0/21", 8192, True)),
    ("20,000/s", pace(20000, "10.50.0.0/19", 32768, True)),
    ("100,000/s", pace(100000, "10.50.0.0/17", 131072, False)),
    ("200,000/s", pace(200000, "10.50.0.0/16", 262144, False)),
    ("4/s for each host", per_host),
    ("three shards", shards),
    ("killed 20 times", resume),
)

def run(binary, seed, only):
    spaces = narrow, six, link4, link6 = [Space(NARROW, seed, 150), Space(SIX, seed, 150), Space(LINK4, seed, 40, absent=0.4), Space(LINK6, seed, 40, absent=0.9)]
    passed = failed = 0
    with Lab(binary, spaces) as lab:
        lab.narrow, lab.six, lab.link4, lab.link6, lab.seed = *spaces, seed
        say("up: " + ", ".join(f"{len(s.truth):,} targets in {s.prefix}" for s in spaces))
        for name, check in CHECKS:
            if only and only not in name:
                continue
            # What measures time is tried up to four times: a shared machine stands still for seconds now and then.
            for left in range(3 if name.endswith("/s") or check in (flood, resume) else 0, -1, -1):
                started = time.time()
                try:
                    good, text = check(lab)
                except Failed as e:
                    good, text = False, str(e)
                if good or not left:
                    break
                print(f"again  {name}: {text} ({time.time() - started:.1f} s)", flush=True)
                time.sleep(5)
            passed, failed = passed + good, failed + (not good)
            print(f"{'ok    ' if good else 'FAILED'} {name}: {text} ({time.time() - started:.1f} s)", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0
