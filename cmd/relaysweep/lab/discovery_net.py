"""The discovery lab's network: two namespaces, two cables, and targets whose states are known.

    scanner 10.60.0.1 ──┬── router 10.60.0.2, behind it 10.50.0.0/16 and fd50::/116
                        └── a link with 10.70.0.0/24 and fd70::/116 on it

The far side answers for every address behind the router (AnyIP); nftables decide what each target shows."""
import collections, copy, ipaddress, json, os, random, shutil, signal, subprocess

from common import *

SCANNER, FAR = "rsscan", "rsorg"
ROUTED, LINK = ("rs0", "ro0"), ("rs1", "ro1")     # cables: our end, the far end
DIR = "/var/tmp/relaysweep-discovery"
PORTS = (25, 465, 587, 2525)
WIDE, NARROW, SIX, LINK4, LINK6 = "10.50.0.0/16", "10.50.0.0/20", "fd50::/116", "10.70.0.0/24", "fd70::/116"

# What a target that is not open shows: its share, the state, what the far side does for IPv4 and for IPv6.
SHOWN = (
    (0.45, "filtered", "drop", "drop"),
    (0.05, "prohibited", "reject with icmp type admin-prohibited", "reject with icmpv6 type admin-prohibited"),
    (0.03, "prohibited", "reject with icmp type port-unreachable", "reject with icmpv6 type port-unreachable"),
    (0.03, "unreachable", "reject with icmp type host-unreachable", "reject with icmpv6 type no-route"),
    (0.44, "closed", "reject with tcp reset", "reject with tcp reset"),
)
# The states of whole nets, as DISCOVERY.md measured them.
BY_NET = ((0.5, *SHOWN[0][1:]), (0.05, *SHOWN[1][1:]), (0.45, *SHOWN[4][1:]))

class Space:
    """Targets, and what each of them shows."""
    def __init__(self, prefix, seed, hosts, by_net=False, absent=0.0):
        """hosts have something open. A part of the hosts is absent: on a link nobody answers for them."""
        r = random.Random(f"{seed} {prefix}")
        self.prefix, net = prefix, ipaddress.ip_network(prefix)
        self.is4 = net.version == 4
        self.addresses = [str(a) for a in net]
        mine = {self.addresses[1]} if absent else set()     # our own end of the link
        nobody = {self.addresses[-1]} if absent and self.is4 else set()      # the broadcast address
        self.here = [a for a in self.addresses if a not in mine | nobody and r.random() >= absent]
        self.truth = {(a, p): "unreachable" for a in self.addresses if a not in mine for p in PORTS}
        self.elements = collections.defaultdict(list)      # of the sets in the rules
        rows = BY_NET if by_net else SHOWN
        self.verdicts = {f"s{i}": row[2 if self.is4 else 3] for i, row in enumerate(rows)}
        draw = lambda: r.choices(range(len(rows)), [row[0] for row in rows])[0]
        opened = set()
        for a in r.sample(self.here, hosts):
            ports = r.randrange(1, 16)
            opened |= {(a, p) for k, p in enumerate(PORTS) if ports >> k & 1}
        nets = {}
        if by_net:      # exact shares
            blocks = sorted({a.rsplit(".", 1)[0] for a in self.addresses})
            r.shuffle(blocks)
            for k, b in enumerate(blocks):
                nets[b] = 0 if k < 0.5 * len(blocks) else 1 if k < 0.55 * len(blocks) else 2
                self.elements[f"s{nets[b]}"].append(b + ".0")
        for a in self.here:
            for p in PORTS:
                row = nets[a.rsplit(".", 1)[0]] if by_net else draw()
                self.truth[a, p] = rows[row][1]
                if (a, p) in opened:
                    self.truth[a, p] = "open"
                    self.elements["open"].append(f"{a} . {p}")
                elif not by_net:
                    self.elements[f"s{row}"].append(f"{a} . {p}")
        self.by_net = by_net

    def part(self, prefix):
        """The same, of fewer addresses."""
        p = copy.copy(self)
        p.prefix, p.addresses = prefix, [str(a) for a in ipaddress.ip_network(prefix)]
        p.truth = {(a, port): self.truth[a, port] for a in p.addresses for port in PORTS}
        return p

    def opened(self):
        return {t for t, s in self.truth.items() if s == "open"}

    def counts(self):
        return collections.Counter(self.truth.values())

    def rules(self, name):
        """A chain of nft, and the sets that it looks into."""
        kind, family = ("ipv4_addr", "ip") if self.is4 else ("ipv6_addr", "ip6")
        lines = []
        for s, elements in self.elements.items():
            of = f"{kind} . inet_service" if s == "open" or not self.by_net else kind
            lines.append(f" set {name}_{s} {{ type {of}; elements = {{ {', '.join(elements)} }} }}")
        lines.append(f" chain {name} {{")
        lines.append(f"  {family} daddr . tcp dport @{name}_open accept")
        for s, verdict in self.verdicts.items():
            what = f"{family} daddr & 255.255.255.0" if self.by_net else f"{family} daddr . tcp dport"
            if self.elements[s]:
                lines.append(f"  {what} @{name}_{s} {verdict}")
        return lines + [" }"], f"  {family} daddr {self.prefix} jump {name}"

class Lab:
    """Both namespaces, up from here to the end of a `with`."""
    def __init__(self, binary, spaces):
        self.binary, self.spaces, self.running = os.path.abspath(binary), spaces, []
        self.dir = DIR
        self.scans = 0

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        signal.signal(signal.SIGINT, signal.SIG_IGN)        # the end is not interrupted
        for p in self.running:
            if p.poll() is None:
                os.killpg(p.pid, signal.SIGKILL)
                p.wait()
        down()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def up(self):
        down()
        os.makedirs(self.dir, 0o700)
        for n in (SCANNER, FAR):
            sh("ip", "netns", "add", n)
            batch(n, "link set lo up")
        for near, far in (ROUTED, LINK):
            batch(SCANNER, f"link add {near} type veth peer name {far} netns {FAR}")
        # Before the cables are up, so that no packet of the kernel's own is on them.
        for n, keys in ((SCANNER, {"net.ipv4.ip_local_port_range": "1024 60999", "net.ipv4.tcp_tw_reuse": "1"}),
                        (FAR, {"net.core.somaxconn": "65535", "net.ipv4.tcp_max_syn_backlog": "65535", "net.ipv4.conf.all.rp_filter": "0"})):
            for key, value in {**keys, **{f"net.ipv6.conf.{c}.{k}": v for c in ROUTED + LINK for k, v in (("router_solicitations", "0"), ("accept_dad", "0"), ("mldv2_unsolicited_report_interval", "3600000"))}}.items():
                setting(n, key, value)
        six4, six6 = [s for s in self.spaces if s.prefix == LINK4], [s for s in self.spaces if s.prefix == LINK6]
        batch(SCANNER, "link set rs0 up", "link set rs1 up", "addr add 10.60.0.1/30 dev rs0", "addr add fd60::1/64 dev rs0 nodad",
              f"addr add {LINK4[:-4]}1/24 dev rs1", "addr add fd70::1/116 dev rs1 nodad")
        batch(FAR, "link set ro0 up", "link set ro1 up", "addr add 10.60.0.2/30 dev ro0", "addr add fd60::2/64 dev ro0 nodad",
              f"route add local {WIDE} dev lo", f"route add local {SIX} dev lo",
              *(f"addr add {a}/24 dev ro1" for s in six4 for a in s.here), *(f"addr add {a}/116 dev ro1 nodad" for s in six6 for a in s.here))
        batch(SCANNER, "route add default via 10.60.0.2", "route add ::/0 via fd60::2")
        self.mac = {end: sh(*in_ns(n, "cat", f"/sys/class/net/{end}/address")).strip() for n, end in ((SCANNER, "rs0"), (FAR, "ro0"))}
        for a, b in (("10.60.0.2", "10.60.0.1"), ("fd60::2", "fd60::1")):
            batch(SCANNER, f"neigh replace {a} lladdr {self.mac['ro0']} dev rs0 nud permanent")
            batch(FAR, f"neigh replace {b} lladdr {self.mac['rs0']} dev ro0 nud permanent")
        self.icmp_limits(False)
        sets, jumps = [], []
        for k, s in enumerate(self.spaces):
            lines, jump = s.rules(f"space{k}")
            sets, jumps = sets + lines, jumps + [jump]
        sh(*in_ns(FAR, "nft", "-f", "-"), input="\n".join(
            ["table inet lab {", *sets, " chain loss {", " }", " chain in {", "  type filter hook input priority 0; policy accept;", "  meta l4proto != tcp accept", "  jump loss", *jumps, " }", "}"]))
        self.far("serve", *map(str, PORTS))
        self.far("beat", "10.60.0.1")

    def icmp_limits(self, on):
        """Linux answers a thousand times a second at most, and each address once, unless told otherwise."""
        for key, strict, free in (("net.ipv4.icmp_ratelimit", "1000", "0"), ("net.ipv4.icmp_msgs_per_sec", "1000", "10000000"), ("net.ipv4.icmp_msgs_burst", "50", "1000000"), ("net.ipv6.icmp.ratelimit", "1000", "0")):
            setting(FAR, key, strict if on else free)

    def loss(self, percent):
        sh(*in_ns(FAR, "nft", f"flush chain inet lab loss" + (f"; add rule inet lab loss numgen random mod 100 < {percent} drop" if percent else "")))

    def blackhole(self, on):
        """The far side drops all at the earliest hook: what is measured then is who sends."""
        sh(*in_ns(FAR, "nft", "-f", "-"), input='table netdev hole { chain c { type filter hook ingress device "ro0" priority -500; policy drop; }; }' if on else "delete table netdev hole")

    def start(self, namespace, *command, **kw):
        p = subprocess.Popen(in_ns(namespace, *tied(*command)), start_new_session=True, cwd=self.dir, **kw)
        self.running.append(p)
        return p

    def far(self, *command):
        """A helper at the far side, once it is ready."""
        p = self.start(FAR, *PYTHON, HERE + "/farside.py", *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if p.stdout.readline() != "ready\n":
            raise Failed(f"farside.py {command[0]} does not start")
        return p

    def end(self, p):
        """Ends a helper, and returns what it said."""
        p.terminate()
        said = p.communicate(timeout=30)[0]
        self.running.remove(p)
        return said

    def captured(self, p, name):
        """Ends a capture: (seconds, address, port) of each SYN."""
        self.end(p)
        *lines, last = open(name).read().splitlines()
        if last != "dropped 0":
            raise Failed(f"the capture at the far side is not whole: {last}")
        return [(int(t) / 1e9, a, int(port)) for t, a, port in (line.split() for line in lines)]

    def counter(self, name, namespace=SCANNER, cable="rs0"):
        return int(sh(*in_ns(namespace, "cat", f"/sys/class/net/{cable}/statistics/{name}")))

    def discover(self, *args, state=None, **kw):
        """Starts ours. Its state lies in a folder of its own, unless told where."""
        self.scans += 1
        env = dict(os.environ, XDG_STATE_HOME=state or f"{self.dir}/state{self.scans}", XDG_DATA_HOME=state or f"{self.dir}/state{self.scans}", NO_COLOR="1")
        env = {k: v for k, v in env.items() if not k.startswith("RELAYSWEEP_")}
        return self.start(SCANNER, self.binary, "discover", *args, env=env, stdin=subprocess.DEVNULL, **kw)

    def states(self, space, *args, timeout=120):
        """What ours says of each target of a space, and the end of its JSON Lines."""
        name = f"{self.dir}/states{self.scans}"
        how = [*self.aimed(space), *([] if "--rate" in args else FREE), *args, "--states", name]
        return self.answer(self.discover(*how, "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True), name, timeout)

    def aimed(self, space):
        ours = [a for a in space.addresses if (a, PORTS[0]) not in space.truth]
        return [space.prefix, *ON_PORTS, *(["--exclude", ",".join(ours)] if ours else [])]

    def answer(self, p, states=None, timeout=120):
        try:
            out, err = p.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            p.kill()
            p.communicate()
            self.running.remove(p)
            raise Failed(f"relaysweep does not end within {timeout} s")
        self.running.remove(p)
        if p.returncode not in (0, 3):
            raise Failed(f"relaysweep ended with {p.returncode}:\n{err[-2000:]}")
        end = json.loads(out.splitlines()[-1])
        seen = {}
        for line in open(states) if states else ():
            endpoint, state = line.split()
            address, port = endpoint.rsplit(":", 1)
            seen[address.strip("[]"), int(port)] = state
        return seen, end

ON_PORTS = ["-p", ",".join(map(str, PORTS))]
FREE = ["--rate", "0", "--rate-per-net", "0", "--rate-per-host", "0"]

def differences(truth, seen):
    """How many targets are said to be what they are not: {(truth, said): n}."""
    return collections.Counter((s, seen.get(t, "nothing")) for t, s in truth.items() if seen.get(t, "nothing") != s)

def setting(namespace, key, value):
    name = "/proc/sys/" + "/".join(part for part in key.split("."))
    sh(*in_ns(namespace, "sh", "-c", f"[ ! -e {name} ] || echo {value} > {name}"), check=False)     # older kernels have some of them for the machine alone

def batch(namespace, *lines):
    sh("ip", "-n", namespace, "-batch", "-", input="\n".join(lines) + "\n")

def down():
    for n in (SCANNER, FAR):
        if os.path.exists(f"/run/netns/{n}"):
            sh("ip", "netns", "del", n, check=False)
    shutil.rmtree(DIR, ignore_errors=True)
