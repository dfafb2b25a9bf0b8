#!/usr/bin/env python3
"""Discovery, held against targets whose states are known, in two network namespaces.

    discovery.py check [--seed N] [--only WORDS] BINARY   what has to hold, in under two minutes
    discovery.py bench [--seed N] [--runs N] BINARY       measured beside masscan, zmap and nmap
    discovery.py down                                     tear down what a killed run left

Needs root on Debian. Exit codes: 0 all states right, 1 not, 77 this machine cannot run it (said in a line each)."""
import sys
sys.dont_write_bytecode = True

import argparse, fcntl, os, shutil, signal, subprocess

import discovery_net
from common import *

LOCKFILE = "/run/relaysweep-discovery.lock"
TOOLS = {"ip": "iproute2", "nft": "nftables", "setpriv": "util-linux"}
PEERS = {"masscan": "masscan", "zmap": "zmap", "nmap": "nmap", "/usr/bin/time": "time"}

TRY = {
    "veth and a filter that rejects": """ip link set lo up && ip link add a0 type veth peer name a1 && nft '
table inet f { set s { type ipv4_addr . inet_service; };
  chain c { type filter hook input priority 0; ip daddr . tcp dport @s reject with icmp type admin-prohibited; numgen random mod 100 < 2 drop; }; }
table netdev n { chain c { type filter hook ingress device "a0" priority 0; policy drop; }; }'""",
    "IPv6": "ip link set lo up && ip -6 addr add 2001:db8::1/64 dev lo",
}

def missing(tools):
    """What this machine lacks, a line each. Debian packages are installed if they can be."""
    if os.geteuid():
        return ["root: namespaces and raw packets need it (sudo make lab-discovery)"]
    if packages := sorted({p for tool, p in tools.items() if not shutil.which(tool)}):
        if not shutil.which("apt-get"):
            return ["apt-get: not found; this lab installs Debian packages: " + " ".join(packages)]
        say("installing " + " ".join(packages))
        for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]):
            subprocess.run(command, env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    absent = [f"{tool}: not found (Debian package {p})" for tool, p in tools.items() if not shutil.which(tool)]
    return absent or [f"{what}: not available ({why})" for what, command in TRY.items() if (why := complaint("unshare", "--net", "sh", "-ec", command))]

def main():
    parser = argparse.ArgumentParser(prog="discovery.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    p = {name: sub.add_parser(name) for name in ("check", "bench", "down")}
    for name in ("check", "bench"):
        p[name].add_argument("--seed", type=int, default=7)
        p[name].add_argument("binary", metavar="BINARY")
    p["check"].add_argument("--only", default="", metavar="WORDS")
    p["bench"].add_argument("--runs", type=int, default=3)
    a = parser.parse_args()
    lines = missing({**TOOLS, **(PEERS if a.command == "bench" else {})})
    for line in lines:
        print("lab: missing: " + line, file=sys.stderr)
    if lines:
        sys.exit(77)
    lock = open(LOCKFILE, "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Failed(f"another call is at work ({LOCKFILE})")
    for s in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, lambda *_: sys.exit(1))        # so that the lab is torn down
    if a.command == "down":
        return discovery_net.down()
    if not os.access(a.binary, os.X_OK):
        raise Failed(f"{a.binary}: no such program")
    if a.command == "check":
        import discovery_check
        sys.exit(discovery_check.run(a.binary, a.seed, a.only))
    import discovery_bench
    sys.exit(discovery_bench.run(a.binary, a.seed, a.runs))

if __name__ == "__main__":
    try:
        main()
    except Failed as e:
        sys.exit(f"lab: {e}")
    except KeyboardInterrupt:
        sys.exit(130)
