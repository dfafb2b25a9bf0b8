"""The network: four namespaces, and nothing in the machine's own.

    outside 203.0.113.10 ──┐                    ┌── organisation 198.51.100.0/24, 10.20.1.0/24, 2001:db8:51::/64
                         firewall (nftables) ───┤
    canary  203.0.113.25 ──┘                    └── inside 10.20.250.10
"""
import os
import cases
from common import *

CABLES = {OUTSIDE: "out0", ORGANISATION: "org0", INSIDE: "in0"}      # to the firewall

def ruleset():
    """The firewall of the organisation, in the language of nft."""
    allowed = sorted({f"{c.ip} . {c.port}" for c in cases.CASES if c.ip.startswith(cases.P) and not c.blocked and not c.dnat and not c.sport and not c.only_from})
    narrow = "\n".join(f"    iifname out0 ip daddr {c.ip} tcp dport {c.port} " + (f"tcp sport {c.sport}" if c.sport else f"ip saddr {c.only_from}") + f" accept comment \"the mistake of {c.id}\""
                       for c in cases.CASES if c.sport or c.only_from)
    dnat = "\n".join(f"    iifname out0 ip daddr {c.ip} tcp dport {c.port} counter dnat to {c.dnat[0]}:{c.dnat[1]}" for c in cases.CASES if c.dnat)
    hidden = "\n".join(f"    iifname out0 oifname org0 ct original ip daddr {c.ip} counter masquerade comment \"the mistake of {c.id}\"" for c in cases.CASES if c.masquerade)
    return f"""table inet filter {{
  set services {{ type ipv4_addr . inet_service; elements = {{ {", ".join(allowed)} }} }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname {{ org0, in0 }} accept
    meta l4proto ipv6-icmp accept
    iifname out0 ip daddr . tcp dport @services accept
{narrow}
    iifname out0 ct status dnat counter accept
    iifname out0 meta nfproto ipv6 tcp dport 25 accept comment "forgotten"
  }}
}}
table ip nat {{
  chain prerouting {{
    type nat hook prerouting priority dstnat;
{dnat}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    oifname out0 ip saddr 10.20.0.0/16 masquerade
{hidden}
  }}
}}
"""

def up():
    down()
    for n in NAMESPACES:
        sh("ip", "netns", "add", n)
    # Both ends of every cable are made inside namespaces.
    batch(FIREWALL, "link set lo up", *(f"link add {end} type veth peer name eth0 netns {n}" for n, end in CABLES.items()))
    batch(FIREWALL, "addr add 203.0.113.1/24 dev out0", "addr add 2001:db8:113::1/64 dev out0 nodad",
          "addr add 198.51.100.1/24 dev org0", "addr add 10.20.1.1/24 dev org0", "addr add 2001:db8:51::1/64 dev org0 nodad",
          "addr add 10.20.250.1/24 dev in0", "addr add 2001:db8:250::1/64 dev in0 nodad",
          *(f"link set {end} up" for end in CABLES.values()))
    host(OUTSIDE, "203.0.113.1", "2001:db8:113::1", [SCANNER["outside"], CANARY, RESOLVER["outside"], OTHER_SOURCE, "2001:db8:113::10"])
    host(INSIDE, "10.20.250.1", "2001:db8:250::1", [SCANNER["inside"], "2001:db8:250::10"])
    servers = {c.ip for c in cases.CASES} - cases.NO_HOST
    host(ORGANISATION, "198.51.100.1", "2001:db8:51::1", ["198.51.100.2", RESOLVER["inside"], *sorted(servers)])
    for key in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
        sh(*in_ns(FIREWALL, "sh", "-c", f"echo 1 > /proc/sys/net/{key.replace('.', '/')}"))
    sh(*in_ns(FIREWALL, "nft", "-f", "-"), input=ruleset())

def host(name, gateway4, gateway6, addresses):
    """Addresses and routes of a namespace; its first address is the one it speaks from."""
    lines = ["link set lo up", "link set eth0 up"]
    lines += [f"addr add {a}/{64 if ':' in a else 24} dev eth0" + (" nodad" if ":" in a else "") for a in addresses]
    batch(name, *lines, f"route add default via {gateway4} src {addresses[0]}", f"-6 route add default via {gateway6}")

def batch(name, *lines):
    for option in ([], ["-6"]):
        mine = [l.removeprefix("-6 ") for l in lines if l.startswith("-6 ") == bool(option)]
        if mine:
            sh("ip", *option, "-n", name, "-batch", "-", input="\n".join(mine) + "\n")

def down():
    for n in NAMESPACES:
        if os.path.exists(f"/run/netns/{n}"):
            sh("ip", "netns", "del", n, check=False)

def listening(name):
    """(address, port) of every TCP listener in a namespace."""
    local = (line.split()[3].rsplit(":", 1) for line in sh(*in_ns(name, "ss", "-Hltn"), check=False).splitlines())
    return {(address.strip("[]"), int(port)) for address, port in local}

TRY = {     # what must work in a new network namespace
    "veth": "ip link add a0 type veth peer name a1",
    "IPv6": "ip link set lo up && ip -6 addr add 2001:db8::1/64 dev lo",
    "nf_tables with NAT (nft_chain_nat, nft_masq, nft_ct)": """nft '
table inet f { set s { type ipv4_addr . inet_service; };
  chain c { type filter hook forward priority filter; policy drop; ct state established accept; ip daddr . tcp dport @s accept; }; }
table ip n { chain a { type nat hook prerouting priority dstnat; tcp dport 1 dnat to 192.0.2.1:1; };
  chain b { type nat hook postrouting priority srcnat; ct original ip daddr 192.0.2.1 masquerade; }; }'""",
}

def missing():
    """One line for each thing that this machine's kernel does not offer."""
    if why := complaint("unshare", "--net", "true"):
        yield f"network namespaces: not available ({why})"
        return
    for what, command in TRY.items():
        if why := complaint("unshare", "--net", "sh", "-ec", command):
            yield f"{what}: not available ({why})"
