package firewall

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func readCisco(t *testing.T, names ...string) *Ruleset {
	t.Helper()
	for i := range names {
		names[i] = filepath.Join("testdata", names[i])
	}
	rs, err := ReadFiles("fw", names...)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func readText(text string) (*Ruleset, error) {
	return Read("fw", Export{File: File{Name: "x.conf"}, Data: []byte(text)})
}

func ruleOf(t *testing.T, rs *Ruleset, chain, id string) *Rule {
	t.Helper()
	c := rs.Chains[chain]
	if c == nil {
		t.Fatalf("no chain %q", chain)
	}
	i := slices.IndexFunc(c.Rules, func(r *Rule) bool { return r.ID == id })
	if i < 0 {
		t.Fatalf("no rule %s in %s", id, chain)
	}
	return c.Rules[i]
}

func TestCiscoRulesAreNamedAsOnTheDevice(t *testing.T) {
	ios := readCisco(t, "ios/edge.conf", "ios/edge-lists.txt")
	asa := readCisco(t, "asa/edge.conf", "asa/edge-acl.txt")
	for _, tt := range []struct {
		rs                       *Ruleset
		chain, id, text, comment string
		owner, ticket            string
		packets                  int // -1: no counter
	}{
		{ios, "ip access-list extended OUTSIDE-IN", "10", "10 permit tcp any host 10.0.1.25 eq smtp", "owner: mailteam CHG0031415 the MX", "mailteam", "CHG0031415", 1523},
		{ios, "ip access-list extended OUTSIDE-IN", "20", "20 permit tcp any host 10.0.2.25 eq 25 465 submission log", "owner: mailteam CHG0031415 the MX", "mailteam", "CHG0031415", -1},
		{ios, "ip access-list extended OUTSIDE-IN", "40", "40 permit tcp 198.51.100.0 0.0.0.254 host 10.0.1.80 eq www", "webmail", "", "", -1},
		// The device has other numbers than a configuration without any says.
		{ios, "ip access-list extended OUTSIDE-OUT", "15", "permit tcp any eq smtp any established", "", "", "", 3},
		{ios, "ip access-list extended OUTSIDE-OUT", "25", "permit tcp any any eq smtp", "", "", "", 1},
		{ios, "ip access-list standard 10", "10", "access-list 10 permit 10.0.7.7", "", "", "", 4},
		{ios, "ip access-list standard 10", "20", "access-list 10 deny   10.0.7.0 0.0.0.255", "the whole office, may not", "", "", 7},
		{ios, "ip access-list standard 10", "30", "access-list 10 permit any", "the whole office, may not", "", "", 0},
		{ios, "ip access-list extended 100", "10", "access-list 100 permit tcp 198.51.100.1 0.0.0.254 any eq smtp", "contact: k.sato CHG0020000", "k.sato", "CHG0020000", -1},
		{ios, "ipv6 access-list V6-IN", "20", "permit tcp any host 2001:DB8:2::25 eq smtp sequence 20", "V6 mail", "", "", 12},
		{asa, "access-list OUTSIDE_IN", "2", "access-list OUTSIDE_IN extended permit tcp any object MX eq smtp", "owner: mail@city.example CHG0007001", "mail@city.example", "CHG0007001", 4711},
		{asa, "access-list OUTSIDE_IN", "3", "access-list OUTSIDE_IN extended permit tcp any host 203.0.113.80 eq smtp", "owner: mail@city.example CHG0007001", "mail@city.example", "CHG0007001", 0},
		// With groups, what the lines that it stands for counted.
		{asa, "access-list OUTSIDE_IN", "5", "access-list OUTSIDE_IN extended permit tcp any4 object-group MAILHOSTS object-group MAILPORTS log warnings interval 60", "submission, and what else mail needs", "", "", 42},
		// Under object-group-search, the line a second time with the sizes of its groups.
		{asa, "access-list OUTSIDE_IN", "6", "access-list OUTSIDE_IN extended permit object-group SERVICES any host 10.20.0.28", "submission, and what else mail needs", "", "", 77},
		{asa, "access-list OUTSIDE_IN", "8", "access-list OUTSIDE_IN extended permit tcp any host 10.20.0.31 eq smtp inactive", "submission, and what else mail needs", "", "", 2},
		// Another line has this number now.
		{asa, "access-list OUTSIDE_IN", "9", "access-list OUTSIDE_IN extended permit tcp any host 10.20.0.32 eq smtp time-range WEEKEND", "submission, and what else mail needs", "", "", -1},
	} {
		r := ruleOf(t, tt.rs, tt.chain, tt.id)
		packets := -1
		if r.Counter != nil {
			packets = int(r.Counter.Packets)
		}
		got := fmt.Sprintf("%s|%s|%s|%s|%d", r.Text, r.Comment, r.Owner, r.Ticket, packets)
		want := fmt.Sprintf("%s|%s|%s|%s|%d", tt.text, tt.comment, tt.owner, tt.ticket, tt.packets)
		if got != want {
			t.Errorf("%s %s:\ngot  %s\nwant %s", tt.chain, tt.id, got, want)
		}
		line := fileLine(t, r.Where)
		if !strings.Contains(line, r.Text) {
			t.Errorf("%s %s: %s:%d is %q, want %q", tt.chain, tt.id, r.Where.File, r.Where.Line, line, r.Text)
		}
	}
	if !ruleOf(t, asa, "access-list OUTSIDE_IN", "8").Disabled {
		t.Error("an inactive line is not disabled")
	}
	if got := ruleOf(t, asa, "nat, destination", "nat-2.1").Name; got != "MX" {
		t.Errorf("object NAT is named %q, want its object, MX", got)
	}
}

func fileLine(t *testing.T, p Place) string {
	t.Helper()
	data, err := os.ReadFile(p.File)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(string(data), "\n")
	if p.Line < 1 || p.Line > len(all) {
		t.Fatalf("%s has no line %d", p.File, p.Line)
	}
	return all[p.Line-1]
}

func TestCiscoEditsAreEnteredAsWritten(t *testing.T) {
	ios := readCisco(t, "ios/edge.conf")
	nat := readCisco(t, "ios/nat.conf")
	asa := readCisco(t, "asa/edge.conf")
	old := readCisco(t, "asa/old.conf")
	tight, err := readText("version 15.2\nip access-list extended T\n 1 permit ip host 10.0.0.9 any\n 2 permit tcp any host 10.0.0.1 eq smtp\n 3 permit ip any any\nend\n")
	if err != nil {
		t.Fatal(err)
	}
	mx := netip.MustParseAddrPort("10.20.0.25:25")
	partners := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.9/32")}
	addrs := func(s string) Range {
		r, err := ParseAddrs(s)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, tt := range []struct {
		name      string
		rs        *Ruleset
		chain, id string
		e         Edit
		want      string
	}{
		{
			"IOS puts a line between two numbers", ios, "ip access-list extended OUTSIDE-IN", "20",
			Edit{Kind: DenyAbove, Dst: mx},
			"ip access-list extended OUTSIDE-IN| 15 deny tcp any host 10.20.0.25 eq 25",
		},
		{
			"IOS denies sources", ios, "ip access-list extended OUTSIDE-IN", "10",
			Edit{Kind: DenyAbove, Dst: mx, Sources: partners},
			"ip access-list extended OUTSIDE-IN| 3 deny tcp 198.51.100.0 0.0.0.255 host 10.20.0.25 eq 25| 6 deny tcp host 203.0.113.9 host 10.20.0.25 eq 25",
		},
		{
			"IOS numbers again where no number is free", tight, "ip access-list extended T", "2",
			Edit{Kind: DenyAbove, Dst: mx, At: 1},
			"ip access-list resequence T 10 10|ip access-list extended T| 15 deny tcp any host 10.20.0.25 eq 25",
		},
		{
			"IOS narrows", ios, "ip access-list extended OUTSIDE-IN", "20",
			Edit{Kind: Narrow, Sources: partners},
			"ip access-list extended OUTSIDE-IN| no 20| 20 permit tcp 198.51.100.0 0.0.0.255 host 10.0.2.25 eq 25 465 submission log| 21 permit tcp host 203.0.113.9 host 10.0.2.25 eq 25 465 submission log",
		},
		{
			"IOS narrows a line with a service group", ios, "ip access-list extended OUTSIDE-IN", "80",
			Edit{Kind: Narrow, Sources: partners[:1]},
			"ip access-list extended OUTSIDE-IN| no 80| 80 permit object-group MAILPORTS 198.51.100.0 0.0.0.255 object-group MAILHOSTS",
		},
		{"IOS deletes", ios, "ip access-list extended OUTSIDE-IN", "20", Edit{Kind: Remove}, "ip access-list extended OUTSIDE-IN| no 20"},
		{
			"IOS numbered lists are edited by name", ios, "ip access-list extended 100", "20",
			Edit{Kind: DenyAbove, Dst: mx},
			"ip access-list extended 100| 15 deny tcp any host 10.20.0.25 eq 25",
		},
		{"a standard list knows no ports", ios, "ip access-list standard 10", "10", Edit{Kind: DenyAbove, Dst: mx}, ""},
		{
			"a standard list narrows", ios, "ip access-list standard 10", "30",
			Edit{Kind: Narrow, Sources: partners[:1]},
			"ip access-list standard 10| no 30| 30 permit 198.51.100.0 0.0.0.255",
		},
		{
			"IPv6 says sequence", ios, "ipv6 access-list V6-IN", "20",
			Edit{Kind: DenyAbove, Dst: netip.MustParseAddrPort("[2001:db8::1]:25")},
			"ipv6 access-list V6-IN| sequence 10 deny tcp any host 2001:db8::1 eq 25",
		},
		{
			"IPv6 narrows", ios, "ipv6 access-list V6-IN", "20",
			Edit{Kind: Narrow, Sources: []netip.Prefix{netip.MustParsePrefix("2001:db8:9::/48")}},
			"ipv6 access-list V6-IN| no sequence 20| sequence 20 permit tcp 2001:db8:9::/48 host 2001:DB8:2::25 eq smtp",
		},
		{
			"IOS drops a host of a group", ios, "ip access-list extended OUTSIDE-IN", "80",
			Edit{Kind: DropMember, Object: "MAILHOSTS", Member: addrs("10.0.2.24")},
			"object-group network MAILHOSTS| no host 10.0.2.24",
		},
		{
			"IOS drops a network of a group", ios, "ip access-list extended OUTSIDE-IN", "80",
			Edit{Kind: DropMember, Object: "MAILHOSTS", Member: addrs("10.0.2.32/28")},
			"object-group network MAILHOSTS| no 10.0.2.32 255.255.255.240",
		},
		{
			"IOS drops a range of a group", ios, "ip access-list extended OUTSIDE-IN", "80",
			Edit{Kind: DropMember, Object: "MAILHOSTS", Member: addrs("10.0.2.60-10.0.2.62")},
			"object-group network MAILHOSTS| no range 10.0.2.60 10.0.2.62",
		},
		{
			"IOS stops NAT", nat, "ip nat, destination", "nat-4",
			Edit{Kind: StopNAT},
			"no ip nat inside source static tcp 10.20.0.25 2525 203.0.113.26 25 extendable",
		},
		{
			"ASA puts a line before another", asa, "access-list OUTSIDE_IN", "3",
			Edit{Kind: DenyAbove, Dst: mx},
			"access-list OUTSIDE_IN line 3 extended deny tcp any host 10.20.0.25 eq smtp",
		},
		{
			"ASA denies sources", asa, "access-list OUTSIDE_IN", "3",
			Edit{Kind: DenyAbove, Dst: netip.MustParseAddrPort("10.20.0.25:587"), Sources: partners[:1]},
			"access-list OUTSIDE_IN line 3 extended deny tcp 198.51.100.0 255.255.255.0 host 10.20.0.25 eq 587",
		},
		{
			"ASA narrows", asa, "access-list OUTSIDE_IN", "2",
			Edit{Kind: Narrow, Sources: partners},
			"access-list OUTSIDE_IN line 2 extended permit tcp 198.51.100.0 255.255.255.0 object MX eq smtp|access-list OUTSIDE_IN line 2 extended permit tcp host 203.0.113.9 object MX eq smtp|no access-list OUTSIDE_IN extended permit tcp any object MX eq smtp",
		},
		{"ASA deletes", asa, "access-list OUTSIDE_IN", "2", Edit{Kind: Remove}, "no access-list OUTSIDE_IN extended permit tcp any object MX eq smtp"},
		{
			"ASA drops a host of a group", asa, "access-list OUTSIDE_IN", "5",
			Edit{Kind: DropMember, Object: "MAILHOSTS", Member: addrs("10.20.0.27")},
			"object-group network MAILHOSTS| no network-object host 10.20.0.27",
		},
		{
			"ASA drops a network of a group", asa, "access-list OUTSIDE_IN", "5",
			Edit{Kind: DropMember, Object: "MAILHOSTS", Member: addrs("10.20.4.0/24")},
			"object-group network MAILHOSTS| no network-object 10.20.4.0 255.255.255.0",
		},
		{
			"ASA drops a port of a group", asa, "access-list OUTSIDE_IN", "5",
			Edit{Kind: DropMember, Object: "MAILPORTS", Member: Ports(25, 25)},
			"object-group service MAILPORTS tcp| no port-object eq smtp",
		},
		{"an object has no members", asa, "access-list OUTSIDE_IN", "2", Edit{Kind: DropMember, Object: "MX", Member: addrs("10.20.0.25")}, ""},
		{
			"ASA stops twice NAT", asa, "nat, destination", "nat-1.2",
			Edit{Kind: StopNAT},
			"no nat (outside,dmz) source static any any destination static interface MX service SMTP2525 SMTP25",
		},
		{"ASA stops object NAT", asa, "nat, destination", "nat-2.1", Edit{Kind: StopNAT}, "object network MX| no nat (dmz,outside) static MX-PUBLIC"},
		{
			"ASA before 8.3 stops a static", old, "nat, destination", "nat-7",
			Edit{Kind: StopNAT},
			"no static (dmz,outside) 203.0.113.25 10.20.0.25 netmask 255.255.255.255 dns",
		},
		{"a level has no line", asa, "security-level inside", "security-level", Edit{Kind: Remove}, ""},
	} {
		tt.e.Chain, tt.e.Rule = tt.rs.Chains[tt.chain], ruleOf(t, tt.rs, tt.chain, tt.id)
		edit := editASA
		if tt.rs.Language == "ios" {
			edit = editIOS
		}
		if got := strings.Join(edit(tt.rs, tt.e), "|"); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// Whatever stands in a configuration, none of its secrets is in anything that is shown.
func TestCiscoSecretsStayInTheExport(t *testing.T) {
	secrets := []string{
		"mERr", "hx5rVt7rPNoS4", "nhEmQVczB7", "s3cr3tRO", "0822455D0A16", "Qx7pJ0Sw", "Sup3rT0psecret", "citySNMP", "p5kOfTheBranch",
		"hunter2", "1AXgC/xWy", "t0ken99",
	}
	extra := "ip access-list extended S\n remark login password 7 hunter2\n permit tcp any any eq smtp\n remark enable secret 5 $1$1AXgC/xWy\n" +
		" frob key 7 t0ken99\n permit tcp any any shiny password hunter2\ninterface Vlan1\n ip policy route-map password hunter2\nip nat inside source secret hunter2\n"
	asa := "ASA Version 9.1\naccess-list A remark snmp community hunter2\naccess-list A extended permit tcp any any eq smtp\n" +
		"access-list A remark secret 5 $1$1AXgC/xWy\naccess-list A extended frob key 7 t0ken99\nnat (a,b) source secret hunter2\nshun password hunter2\n: end\n"
	for _, text := range []string{fixture(t, "ios/edge.conf"), "version 15.1\n" + extra + "end\n", fixture(t, "asa/edge.conf"), asa} {
		rs, err := readText(text)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for name, c := range rs.Chains {
			all = append(all, name, c.Name, c.PolicyText)
			for _, r := range c.Rules {
				all = append(all, r.Text, r.Comment, r.Name, r.Owner)
				all = append(all, r.Words...)
				all = append(all, r.To.Words...)
				for _, term := range r.Match {
					all = append(all, term.Word, term.Object)
				}
			}
		}
		for _, n := range rs.Notes {
			all = append(all, n.Text)
		}
		if len(all) < 10 {
			t.Fatalf("only %d texts", len(all))
		}
		for _, s := range secrets {
			for _, shown := range all {
				if strings.Contains(shown, s) {
					t.Errorf("%q is in %q", s, shown)
				}
			}
		}
	}
}

func fixture(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestCiscoExportsThatCannotBeUsed(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"show access-lists alone": {"Extended IP access list X\n    10 permit ip any any\n", "x.conf:1: show access-lists alone does not tell where the lists are; export show running-config as well"},
		"show access-list alone":  {"access-list X; 1 elements; name hash: 0x1\naccess-list X line 1 extended permit ip any any (hitcnt=1) 0x2\n", "x.conf:1: show access-list alone"},
		"the system space":        {": Saved\nASA Version 9.1(2) <system>\ncontext A\n: end\n", "x.conf:2: is the system space of a device with several contexts; export each one: changeto context NAME"},
		"lines without end":       {"version 15.1\n" + strings.Repeat("ip route\nip route 1\n", 1) + "ip access-list extended X\n" + strings.Repeat(" x\n", ciscoMostLines+1), "x.conf:524290: more than 524288 lines of rules"},
	} {
		_, err := readText(tt.text)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one line with %q", name, err, tt.want)
		}
	}
}

func TestCiscoNotesTellWhatIsMissing(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"a cut IOS export":     {"version 15.1\ninterface Vlan1\n ip address 10.0.0.1 255.0.0.0\n", "x.conf:2 no line says end"},
		"a cut ASA export":     {"ASA Version 9.1\ninterface Vlan1\n nameif x\n", "x.conf:2 no line says : end"},
		"an unknown list":      {"version 15.1\ninterface Vlan1\n ip access-group NONE in\nend\n", "x.conf:3 ip access-group NONE in, Vlan1: no such list in the export: it permits everything"},
		"a list on VLANs":      {"version 15.1\nvlan filter MAP vlan-list 10\nend\n", "x.conf:2 vlan filter MAP vlan-list 10: lists on VLANs are not modelled"},
		"policy routing":       {"version 15.1\ninterface Vlan1\n ip policy route-map R\nend\n", "x.conf:3 ip policy route-map R: policy routing is not modelled"},
		"VRFs":                 {"version 15.1\ninterface Vlan1\n vrf forwarding A\nend\n", "several VRFs"},
		"an unknown object":    {"ASA Version 9.1\naccess-list A extended permit tcp any object O eq 25\n: end\n", "object O is not in the export"},
		"another two ways":     {"version 15.1\ninterface Vlan1\n ip address 10.0.0.1 255.0.0.0\ninterface Vlan2\n ip address 11.0.0.1 255.0.0.0\nip route 0.0.0.0 0.0.0.0 10.0.0.2\nip route 0.0.0.0 0.0.0.0 11.0.0.2\nend\n", "x.conf:7 two ways to 0.0.0.0/0"},
		"a half access-group":  {"ASA Version 9.1\naccess-group A in interface nowhere\n: end\n", "x.conf:2 access-group A in interface nowhere is not understood"},
		"a transparent device": {"ASA Version 9.1\nfirewall transparent\n: end\n", "x.conf:2 firewall transparent"},
		"established":          {"ASA Version 9.1\nestablished tcp 4000 0\n: end\n", "x.conf:2 established tcp 4000 0: not modelled"},
	} {
		rs, err := readText(tt.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, n := range rs.Notes {
			got = append(got, fmt.Sprintf("%s:%d %s", n.Where.File, n.Where.Line, n.Text))
		}
		if !strings.Contains(strings.Join(got, "\n"), tt.want) {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

func TestCiscoFilesAreToldApart(t *testing.T) {
	for text, want := range map[string]string{
		"ASA Version 9.1(2)\n":                                        "asa",
		": Saved\nPIX Version 6.3(5)\n":                               "asa",
		"access-list X extended permit tcp any any\n":                 "asa",
		"version 15.1\n":                                              "ios",
		"Building configuration...\n\nCurrent configuration : 9 by\n": "ios",
		"access-list 101 permit tcp any any eq smtp\n":                "ios",
		"ip access-list extended X\n permit ip any any\n":             "ios",
		"ipv6 access-list X\n permit ipv6 any any\n":                  "ios",
		"router# show run\r\nversion 12.4\r\n":                        "ios",
		"config system global\n set hostname x\n":                     "fortigate",
		"*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n":                      "iptables",
		"set firewall name X default-action drop\n":                   "vyos",
	} {
		got := ""
		if l := find([]byte(text)); l != nil {
			got = l.name
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestWildcardMasksAreExact(t *testing.T) {
	for _, tt := range []struct {
		addr, mask string
		in, out    []string
		ranges     int
	}{
		{"10.0.0.0", "0.0.0.255", []string{"10.0.0.0", "10.0.0.255"}, []string{"10.0.1.0", "9.255.255.255"}, 1},
		{"10.0.0.5", "0.0.0.254", []string{"10.0.0.1", "10.0.0.255"}, []string{"10.0.0.0", "10.0.0.254"}, 128},
		{"10.0.0.7", "0.0.3.0", []string{"10.0.0.7", "10.0.3.7"}, []string{"10.0.4.7", "10.0.0.8"}, 4},
		{"10.0.0.7", "0.0.2.1", []string{"10.0.0.6", "10.0.2.7"}, []string{"10.0.1.7", "10.0.0.5"}, 2},
		{"0.0.0.0", "255.255.255.255", nil, nil, 0},
		{"10.0.0.1", "0.0.0.0", []string{"10.0.0.1"}, []string{"10.0.0.0", "10.0.0.2"}, 1},
	} {
		s, err := masked(netip.MustParseAddr(tt.addr), netip.MustParseAddr(tt.mask), true)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.ranges) != tt.ranges || s.any != (tt.ranges == 0) {
			t.Errorf("%s %s: got %d ranges, any %v, want %d", tt.addr, tt.mask, len(s.ranges), s.any, tt.ranges)
		}
		for _, a := range tt.in {
			if place(s.ranges, One(netip.MustParseAddr(a))) != yes {
				t.Errorf("%s is not in %s %s", a, tt.addr, tt.mask)
			}
		}
		for _, a := range tt.out {
			if place(s.ranges, One(netip.MustParseAddr(a))) != no {
				t.Errorf("%s is in %s %s", a, tt.addr, tt.mask)
			}
		}
	}
}

func TestTCPFlagsChoosePackets(t *testing.T) {
	for words, want := range map[string]string{
		"established":             "0111",
		"syn":                     "1100",
		"ack":                     "0111",
		"syn ack":                 "1111",
		"fin":                     "00??",
		"match-all +syn -ack":     "1000",
		"match-all +ack -syn":     "0011",
		"match-all +syn +ack":     "0100",
		"match-any +syn +ack":     "1111",
		"match-all +ack +fin":     "00??",
		"match-all +syn +fin":     "0000",
		"match-any -ack":          "1000",
		"match-all -rst -fin":     "11??",
		"fragments":               "0000",
		"log":                     "1111",
		"dscp ef":                 "????",
		"match-any +syn +urg":     "11??",
		"reflect R timeout 300":   "1111",
		"log-input established":   "0111",
		"time-range X syn":        "??00",
		"match-all +syn -ack ack": "0000",
	} {
		c := newCisco(&Ruleset{}, false)
		r := &Rule{}
		if err := c.options(r, strings.Fields(words)); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, phase := range []uint8{First, Answer, Later, LaterAnswer} {
			got += string("0?1"[r.Match.holds(&packet{phase: phase})])
		}
		if got != want {
			t.Errorf("%s: got %s, want %s (first, answer, later, later answer)", words, got, want)
		}
	}
}

// Groups in groups multiply without end, where each has the one before twice; they are resolved once, within a limit.
func TestCiscoGroupsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("ASA Version 9.1\n")
	for i := range 20000 {
		fmt.Fprintf(&b, "object-group network G%d\n network-object host 10.%d.%d.%d\n group-object G%d\n group-object G%d\n", i, i>>16, i>>8&255, i&255, i-1, i-1)
	}
	b.WriteString("access-list A extended permit tcp any object-group G19999 eq smtp\naccess-list A extended permit tcp any object-group G7 eq smtp\n")
	for i := 19999; i > 0; i -= 20 {
		fmt.Fprintf(&b, "access-list A extended permit tcp any object-group G%d eq smtp\n", 20000-i)
	}
	b.WriteString(": end\n")
	start := time.Now()
	rs, err := readText(b.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Log(time.Since(start))
	r := ruleOf(t, rs, "access-list A", "1").Match
	if !slices.ContainsFunc(r, func(t Term) bool { return strings.Contains(t.Word, "nested too deep") }) {
		t.Errorf("a group of 20000 levels: got %+v, want a word", r)
	}
	r = ruleOf(t, rs, "access-list A", "2").Match
	if i := slices.IndexFunc(r, func(t Term) bool { return t.Field == DstAddr }); i < 0 || len(r[i].Ranges) != 1 || r[i].Ranges[0].size() != Number(7) {
		t.Errorf("a group of 8 levels: got %+v, want 8 addresses", r)
	}
}

// A line may end anywhere.
func TestCiscoLinesOfAnyLength(t *testing.T) {
	names, err := filepath.Glob("testdata/[ai][os][sa]/*")
	if err != nil {
		t.Fatal(err)
	}
	flow := NewFlow("", netip.MustParseAddrPort("198.51.100.9:0"), netip.MustParseAddrPort("203.0.113.25:25"))
	tried := 0
	for _, name := range names {
		if strings.HasSuffix(name, ".flows") {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		start, tail := "version 15.1\n", "end\n"
		if strings.Contains(name, "asa") {
			start, tail = "ASA Version 9.1\n", ": end\n"
			if strings.Contains(name, "old") || strings.Contains(name, "pix") {
				start = "ASA Version 8.2\n"
			}
		}
		for most := 1; most < 16; most++ {
			var b strings.Builder
			for line := range strings.Lines(string(data)) {
				w := strings.Fields(line)
				b.WriteString(line[:len(line)-len(strings.TrimLeft(line, " "))])
				b.WriteString(strings.Join(w[:min(most, len(w))], " ") + "\n")
			}
			rs, err := readText(start + b.String() + tail)
			if err != nil {
				continue
			}
			rs.Decide(flow)
			tried++
		}
	}
	if tried < 100 {
		t.Errorf("tried %d configurations, want 100 and more", tried)
	}
}

func fuzzCisco(f *testing.F, folder string, start string) {
	names, err := filepath.Glob("testdata/" + folder + "/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".flows") {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, []byte(nil))
		for _, n := range []int{3, 2} {
			f.Add(data[:len(data)/n], data[len(data)/n:])
		}
	}
	flows := []Flow{
		NewFlow("", netip.MustParseAddrPort("198.51.100.9:0"), netip.MustParseAddrPort("203.0.113.25:25")),
		NewFlow("outside", netip.MustParseAddrPort("198.51.100.9:25"), netip.MustParseAddrPort("203.0.113.1:2525")),
		NewFlow("GigabitEthernet0/0", netip.MustParseAddrPort("198.51.100.50:0"), netip.MustParseAddrPort("10.0.1.25:587")),
		NewFlow("inside", netip.MustParseAddrPort("[2001:db8::9]:0"), netip.MustParseAddrPort("[2001:db8:10::25]:25")),
	}
	f.Fuzz(func(t *testing.T, data, more []byte) {
		if len(data)+len(more) > 64<<10 {
			return
		}
		var files []Export
		if find(data) == nil {
			data = append([]byte(start), data...)
		}
		files = append(files, Export{File: File{Name: "a"}, Data: data})
		if find(more) == find(data) {
			files = append(files, Export{File: File{Name: "b"}, Data: more})
		}
		sizes := map[string]int{}
		for _, e := range files {
			sizes[e.Name] = bytes.Count(e.Data, []byte("\n")) + bytes.Count(e.Data, []byte("\r")) + 1
		}
		rs, err := Read("fw", files...)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of several lines: %q", err)
			}
			return
		}
		in := func(p Place, what string) {
			if p.Line < 1 || p.Line > sizes[p.File] || p.End > sizes[p.File] {
				t.Errorf("%s is at %v, outside of its file", what, p)
			}
		}
		for name, c := range rs.Chains {
			in(c.Where, name)
			for _, r := range c.Rules {
				in(r.Where, r.Text)
				for at, kind := range []EditKind{DenyAbove, Narrow, DropMember, Remove, StopNAT} {
					e := Edit{Kind: kind, Chain: c, At: at, Rule: r, Dst: netip.MustParseAddrPort("10.0.0.1:25"), Sources: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
					if len(r.Match) > 0 {
						e.Object = r.Match[len(r.Match)-1].Object
					}
					editIOS(rs, e)
					editASA(rs, e)
				}
			}
		}
		for _, n := range rs.Notes {
			in(n.Where, n.Text)
		}
		for _, s := range rs.Steps {
			if rs.Chains[s.Chain] == nil {
				t.Errorf("step %s has no chain %q", s.Name, s.Chain)
			}
		}
		for _, flow := range flows {
			rs.Decide(flow)
		}
	})
}

func FuzzIOS(f *testing.F) { fuzzCisco(f, "ios", "version 15.1\n") }

func FuzzASA(f *testing.F) { fuzzCisco(f, "asa", "ASA Version 9.1\n") }

// What a list of the control plane says is not modelled, and that is told.
func TestASAControlPlaneIsNoted(t *testing.T) {
	rs, err := readText("ASA Version 9.1\ninterface GigabitEthernet0/0\n nameif outside\n security-level 0\n ip address 198.51.100.1 255.255.255.0\naccess-list CP extended permit tcp any any eq smtp\naccess-group CP in interface outside control-plane\n")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(rs.Notes, func(n Note) bool { return n.Where.Line == 7 && strings.Contains(n.Text, "control plane") }) {
		t.Errorf("got %v", rs.Notes)
	}
}
