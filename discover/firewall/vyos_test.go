package firewall

import (
	"net/netip"
	"strings"
	"testing"
)

func TestVyOSErrors(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{
			"config.boot is told by its braces", "firewall {\n    all-ping enable\n    name WAN-IN {\n        default-action drop\n    }\n}\n",
			"v.txt:1: is a configuration with braces (config.boot); export the device's set-commands with: show configuration commands",
		},
		{
			"show configuration, with a comment first", "interfaces {\n    /* uplink */\n    ethernet eth0 {\n        address dhcp\n    }\n}\n",
			"v.txt:1: is a configuration with braces",
		},
		{"no rules at all", "set interfaces ethernet eth0 address '198.51.100.1/24'\nset system host-name x\n", "v.txt:1: has no rules of firewall or nat; export all"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Read("fw", export("v.txt", test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, test.want)
			}
		})
	}
	const base = "set firewall ipv4 forward filter rule 1 action accept\n"
	for _, test := range []struct{ name, text, want string }{
		{"a quotation that does not end", base + "set firewall ipv4 forward filter rule 1 description 'x\n", "v.txt:2 a quotation is not closed: the line is left out"},
		{"a line that is none", base + "hunter2\n", "v.txt:2 a line that is no set-command is left out"},
		{"a rule without action", base + "set firewall ipv4 forward filter rule 2 protocol tcp\n", "v.txt:2 rule 2 has no action: the export is cut off"},
		{"a translation without target", base + "set nat source rule 2 protocol tcp\n", "v.txt:2 nat rule 2 has no translation: the export is cut off"},
		{"a missing group", base + "set firewall ipv4 forward filter rule 1 source group network-group X\n", "v.txt:1 network-group X is not in the export"},
		{"a group in itself", base + "set firewall ipv4 forward filter rule 1 source group network-group X\nset firewall group network-group X include X\n", "v.txt:3 network-group X is in itself"},
		{"routes that are learned", base + "set protocols bgp 65000 neighbor 192.0.2.1\n", "v.txt:2 protocols bgp: the routes that come of it are not in the export"},
	} {
		t.Run(test.name, func(t *testing.T) {
			rs, err := Read("fw", export("v.txt", test.text))
			if err != nil {
				t.Fatal(err)
			}
			hasNote(t, rs, test.want)
		})
	}
}

// Releases between 1.3 and 1.4 told interfaces below firewall; a jump may lead nowhere; EdgeOS has NAT of its own.
func TestVyOSRelatives(t *testing.T) {
	for _, test := range []struct {
		name, text, want string
		verdict          Verdict
	}{
		{"the interface below firewall", "set firewall name X default-action drop\nset firewall interface eth0 in name X\n", "", Denied},
		{"no default-action of a named list is drop", "set firewall name X rule 1 action return\nset firewall name X rule 1 protocol udp\nset firewall interface eth0 in name X\n", "", Denied},
		{"no default-action of a base chain is accept", "set firewall ipv4 forward filter rule 1 action drop\nset firewall ipv4 forward filter rule 1 protocol udp\n", "", Permitted},
		{"set-commands behind a prompt", "set firewall ipv4 forward filter default-action accept\nvyos@fw# set firewall ipv4 forward filter rule 1 action drop\nadmin@fw.example:~$ set firewall ipv4 forward filter rule 1 protocol tcp\n", "", Denied},
		{"a default-action of a base chain that nobody knows", "set firewall ipv4 forward filter default-action queue\nset firewall ipv4 forward filter rule 1 action drop\nset firewall ipv4 forward filter rule 1 protocol udp\n", "default-action queue", Possibly},
		{"no default-action of a zone is drop", "set firewall zone LAN interface eth1\nset firewall zone WAN interface eth0\n", "", Denied},
		{"a list that is not there", "set firewall interface eth0 in name X\n", "a chain that is not in the export", Possibly},
		{"lists in a circle", "set firewall ipv4 forward filter rule 1 action jump\nset firewall ipv4 forward filter rule 1 jump-target A\nset firewall ipv4 name A rule 1 action jump\nset firewall ipv4 name A rule 1 jump-target A\n", "circle", Possibly},
		{"a default that jumps", "set firewall ipv4 forward filter default-action jump\nset firewall ipv4 forward filter default-jump-target A\nset firewall ipv4 name A default-action reject\n", "", Denied},
		{"EdgeOS", "set firewall name X default-action accept\nset firewall interface eth0 in name X\nset service nat rule 1 type destination\nset service nat rule 1 inside-address address 10.0.0.1\n", "service nat of EdgeOS", Possibly},
		{"an unknown condition", "set firewall ipv4 forward filter default-action drop\nset firewall ipv4 forward filter rule 1 action accept\nset firewall ipv4 forward filter rule 1 time weekdays Mon\n", "time weekdays Mon", Possibly},
		{"an address mask", "set firewall ipv4 forward filter default-action drop\nset firewall ipv4 forward filter rule 1 action accept\nset firewall ipv4 forward filter rule 1 source address 0.0.0.9\nset firewall ipv4 forward filter rule 1 source address-mask 0.0.0.255\n", "source address 0.0.0.9", Possibly},
		{"ports after a negation", "set firewall ipv4 forward filter default-action drop\nset firewall ipv4 forward filter rule 1 action accept\nset firewall ipv4 forward filter rule 1 protocol tcp\nset firewall ipv4 forward filter rule 1 destination port '!22,25'\n", "port !22,25", Possibly},
		{"a prerouting rule sees what was not translated", "set firewall ipv4 prerouting raw rule 1 action drop\nset firewall ipv4 prerouting raw rule 1 destination address 198.51.100.25\nset nat destination rule 1 translation address 10.0.0.25\n", "", Denied},
	} {
		t.Run(test.name, func(t *testing.T) {
			rs, err := Read("fw", export("v.txt", "set interfaces ethernet eth0 address 198.51.100.1/24\nset interfaces ethernet eth1 address 10.0.0.1/8\n"+test.text))
			if err != nil {
				t.Fatal(err)
			}
			dst := "10.0.0.9:25"
			if strings.Contains(test.text, "raw") {
				dst = "198.51.100.25:25"
			}
			d := rs.Decide(NewFlow("eth0", netip.MustParseAddrPort("203.0.113.9:0"), netip.MustParseAddrPort(dst)))
			if d.Verdict != test.verdict || !strings.Contains(strings.Join(d.Words, "; "), test.want) {
				t.Errorf("got %v because %q, want %v because %q", d.Verdict, d.Words, test.verdict, test.want)
			}
		})
	}
}

func TestVyOSRules(t *testing.T) {
	rs, err := ReadFiles("fw", "testdata/vyos/base.txt")
	if err != nil {
		t.Fatal(err)
	}
	r := rs.Chains["firewall ipv4 forward filter"].Rules[3] // behind three of the state policy
	want := "set firewall ipv4 forward filter rule 5 action drop; description 'the spammer; CHG0012345'; source address 203.0.113.200"
	if r.ID != "5" || r.Where != (Place{"testdata/vyos/base.txt", 21, 23}) || r.Comment != "the spammer; CHG0012345" || r.Ticket != "CHG0012345" || r.Text != want {
		t.Errorf("got %+v", r)
	}
	hasNoSecret(t, rs, "hunter2")
	legacy, err := ReadFiles("fw", "testdata/vyos/legacy.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got := legacy.Chains["firewall name WAN-IN"].Rules[1].Comment; got != "mail's own rule" {
		t.Errorf("got comment %q", got)
	}
}

func TestVyOSKeepsSecrets(t *testing.T) {
	rs, err := Read("fw", export("v.txt", `set system login user x authentication encrypted-password 'hunter2a'
set vpn ipsec authentication psk x secret 'hunter2b'
set service snmp community hunter2c
set interfaces wireguard wg0 private-key 'hunter2d'
set interfaces ethernet eth0 address 'hunter2e'
set interfaces pppoe pppoe0 authentication password hunter2f
set firewall ipv4 forward filter rule 1 action accept
set firewall ipv4 forward filter rule 1 description 'password=hunter2g'
set firewall ipv4 forward filter rule 2 'hunter2h
set nat source rule 1 description "community: hunter2i"
set protocols static route hunter2j
set protocols bgp 1 neighbor 192.0.2.1 password hunter2k
set high-availability vrrp group x authentication password hunter2l
hunter2m
`))
	if err != nil {
		t.Fatal(err)
	}
	hasNoSecret(t, rs, "hunter2")
}

func TestVyOSEdits(t *testing.T) {
	for _, test := range []struct {
		name, file, chain, id string
		e                     Edit
		want                  string
	}{
		{
			"deny above, in a base chain", "base", "firewall ipv4 forward filter", "20",
			Edit{Kind: DenyAbove, Sources: prefixes("203.0.113.9/32"), Dst: netip.MustParseAddrPort("10.20.0.25:25")},
			`set firewall ipv4 forward filter rule 19 action 'drop'
set firewall ipv4 forward filter rule 19 protocol 'tcp'
set firewall ipv4 forward filter rule 19 source address '203.0.113.9/32'
set firewall ipv4 forward filter rule 19 destination address '10.20.0.25'
set firewall ipv4 forward filter rule 19 destination port '25'
set firewall ipv4 forward filter rule 19 inbound-interface name 'eth1'`,
		},
		{"no number is free above", "base", "firewall ipv4 name WAN-IN", "10", Edit{Kind: DenyAbove, Dst: netip.MustParseAddrPort("10.20.0.25:25")}, ""},
		{
			"narrow to two networks", "legacy", "firewall name WAN-IN", "10",
			Edit{Kind: Narrow, Sources: prefixes("203.0.113.0/25", "192.0.2.0/24")},
			`set firewall group network-group sources-10 network '203.0.113.0/25'
set firewall group network-group sources-10 network '192.0.2.0/24'
set firewall name WAN-IN rule 10 source group network-group 'sources-10'`,
		},
		{
			"narrow what has sources, IPv6", "base", "firewall ipv6 forward filter", "10",
			Edit{Kind: Narrow, Sources: prefixes("2001:db8::/48", "2001:db8:7::/48")},
			`delete firewall ipv6 forward filter rule 10 source
set firewall group ipv6-network-group sources-10 network '2001:db8::/48'
set firewall group ipv6-network-group sources-10 network '2001:db8:7::/48'
set firewall ipv6 forward filter rule 10 source group network-group 'sources-10'`,
		},
		{
			"a member leaves the group that holds it", "base", "firewall ipv4 name WAN-IN", "10",
			Edit{Kind: DropMember, Object: "ALL-MAIL", Member: One(netip.MustParseAddr("10.20.0.25"))},
			"delete firewall group address-group MAIL address '10.20.0.25'",
		},
		{
			"a port by its name", "base", "firewall ipv4 name WAN-IN", "10",
			Edit{Kind: DropMember, Object: "MAIL-PORTS", Member: Ports(587, 587)},
			"delete firewall group port-group MAIL-PORTS port 'submission'",
		},
		{"remove", "legacy", "firewall name WAN-IN", "10", Edit{Kind: Remove}, "delete firewall name WAN-IN rule 10"},
		{"stop a translation", "base", "nat destination", "100", Edit{Kind: StopNAT}, "delete nat destination rule 100"},
		{"stop a translation of sources", "base", "nat source", "20", Edit{Kind: StopNAT}, "delete nat source rule 20"},
		{"static NAT goes both ways", "zones", "nat static source", "10", Edit{Kind: StopNAT}, "delete nat static rule 10"},
		{"a default is no rule", "legacy", "firewall name WAN-IN", "default-action", Edit{Kind: Remove}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			rs, err := ReadFiles("fw", "testdata/vyos/"+test.file+".txt")
			if err != nil {
				t.Fatal(err)
			}
			e := test.e
			e.Step, e.Chain = &rs.Steps[0], rs.Chains[test.chain]
			for i, r := range e.Chain.Rules {
				if r.ID == test.id {
					e.At, e.Rule = i, r
				}
			}
			if e.Rule == nil {
				t.Fatalf("no rule %s", test.id)
			}
			if got := strings.Join(editVyOS(rs, e), "\n"); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func FuzzVyOS(f *testing.F) {
	seeds(f, "testdata/vyos/*.txt")
	f.Fuzz(func(t *testing.T, data []byte) { readAnything(t, "vyos", data) })
}
