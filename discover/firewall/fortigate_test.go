package firewall

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
)

const fortiVDOMs = `#config-version=FGVM64-7.2.8-FW-build1639-240313:opmode=0:vdom=1:user=admin
config vdom
edit root
next
edit CUST
next
end
config global
config system interface
    edit "port1"
        set vdom "root"
        set ip 198.51.100.1 255.255.255.0
    next
    edit "port2"
        set vdom "root"
        set ip 10.20.0.1 255.255.0.0
    next
    edit "port3"
        set vdom "CUST"
        set ip 203.0.113.1 255.255.255.0
    next
    edit "port4"
        set vdom "CUST"
        set ip 10.20.0.1 255.255.0.0
    next
end
end
config vdom
edit root
config firewall address
    edit "mail"
        set subnet 10.20.0.25/32
    next
end
config firewall policy
    edit 1
        set srcintf "port1"
        set dstintf "port2"
        set action accept
        set srcaddr "all"
        set dstaddr "mail"
        set schedule "always"
        set service "SMTP"
    next
end
end
config vdom
edit CUST
config firewall address
    edit "mail"
        set subnet 10.20.0.99/32
    next
end
config firewall policy
    edit 1
        set srcintf "port3"
        set dstintf "port4"
        set action accept
        set srcaddr "all"
        set dstaddr "mail"
        set schedule "always"
        set service "SMTP"
        set nat enable
    next
end
end
`

// Each virtual domain is a device of its own: its policies, objects, interfaces and routes are not another's.
func TestFortigateVDOMs(t *testing.T) {
	for device, want := range map[string]string{
		"edge/root": "198.51.100.9 10.20.0.25 permitted, 198.51.100.9 10.20.0.99 denied",
		"CUST":      "203.0.113.9 10.20.0.25 denied, 203.0.113.9 10.20.0.99 permitted",
	} {
		rs, err := Read(device, export("fw.conf", fortiVDOMs))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		in, src := "port1", "198.51.100.9"
		if device == "CUST" {
			in, src = "port3", "203.0.113.9"
		}
		if len(rs.Interfaces) != 2 || rs.Interfaces[0].Name != in {
			t.Errorf("%s: got interfaces %v, want those of the domain", device, rs.Interfaces)
		}
		for _, dst := range []string{"10.20.0.25", "10.20.0.99"} {
			d := rs.Decide(NewFlow(in, netip.MustParseAddrPort(src+":0"), netip.MustParseAddrPort(dst+":25")))
			got = append(got, fmt.Sprint(src, " ", dst, " ", d.Verdict))
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%s: got %s, want %s", device, s, want)
		}
	}
}

func TestFortigateErrors(t *testing.T) {
	policy := "config firewall policy\nedit 1\nset action accept\nset comments \"open\n"
	for _, test := range []struct{ name, text, want string }{
		{
			"several domains have policies, and none is named", fortiVDOMs,
			`fw.conf:1: the VDOMs "root", "CUST" have policies, each is a device of its own: name the device after one of them (such as "fw/root"), or export one with: config vdom, edit root, show full-configuration`,
		},
		{"no policies", "config system interface\nedit \"port1\"\nnext\nend\n", "fw.conf:1: has no config firewall policy; export all of the device's configuration with: show full-configuration"},
		{"cut off in a quotation, before anything was read", "config firewall policy\nset \"x\n", "fw.conf:2: a quotation is not closed, the export is cut off"},
		{"blocks without end", "config firewall policy\n" + strings.Repeat("edit 1\nconfig x\n", 40), "fw.conf:33: too many blocks in each other: this is no configuration of FortiOS"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Read("fw", export("fw.conf", test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, test.want)
			}
		})
	}
	for _, test := range []struct{ name, text, want string }{
		{"cut off in a quotation: what was read before is used", "config firewall policy\nedit 7\nnext\nend\n" + policy, "fw.conf:8 a quotation is not closed: what stands behind it is not read"},
		{"cut off in a block", "config firewall policy\nedit 7\nset action accept\n", "fw.conf:4 the export ends within a block: it is cut off"},
		{"a line that is none of FortiOS", "config firewall policy\nedit 7\nhunter2\nnext\nend\n", "fw.conf:3 a line that does not belong here is left out"},
		{"a command", "config firewall policy\nedit 7\nnext\nmove 7 before 8\nend\n", "fw.conf:4 move: a command, not a configuration"},
		{"a group in itself", "config firewall addrgrp\nedit a\nset member b\nnext\nedit b\nset member a\nnext\nend\nconfig firewall policy\nedit 1\nset srcaddr a\nnext\nend\n", `fw.conf:5 address group "a" is in itself`},
		{"a service group in itself", "config firewall service group\nedit a\nset member a\nnext\nend\nconfig firewall policy\nedit 1\nset service a\nnext\nend\n", `fw.conf:2 service group "a" is in itself`},
		{"a missing object", "config firewall policy\nedit 1\nset srcaddr gone\nnext\nend\n", `fw.conf:2 address "gone" is not in the export`},
		{"bad ports", "config firewall service custom\nedit a\nset tcp-portrange 25-x\nnext\nend\nconfig firewall policy\nedit 1\nset service a\nnext\nend\n", `fw.conf:2 service "a": its ports are not understood`},
	} {
		t.Run(test.name, func(t *testing.T) {
			rs, err := Read("fw", export("fw.conf", test.text))
			if err != nil {
				t.Fatal(err)
			}
			hasNote(t, rs, test.want)
			if len(rs.Chains["firewall policy"].Rules) == 0 {
				t.Error("the policies are not read")
			}
		})
	}
}

// hasNote fails if no note begins with FILE:LINE TEXT.
func hasNote(t *testing.T, rs *Ruleset, want string) {
	t.Helper()
	var got []string
	for _, n := range rs.Notes {
		s := fmt.Sprintf("%s:%d %s", n.Where.File, n.Where.Line, n.Text)
		if strings.HasPrefix(s, want) {
			return
		}
		got = append(got, s)
	}
	t.Errorf("got notes %q, want %q", got, want)
}

func TestFortigateRules(t *testing.T) {
	rs, err := ReadFiles("fw", "testdata/fortigate/vip.conf")
	if err != nil {
		t.Fatal(err)
	}
	policies := rs.Chains["firewall policy"].Rules
	r := policies[2]
	if r.ID != "7" || r.Name != "mail in" || r.Comment != `owner: mailteam ticket 4711, "old" relay` || r.Owner != "mailteam" || r.Ticket != "4711" {
		t.Errorf("got %s %q %q owner %q ticket %q", r.ID, r.Name, r.Comment, r.Owner, r.Ticket)
	}
	lines := strings.Split(fileText(t, "testdata/fortigate/vip.conf"), "\n")
	for _, r := range policies {
		if got := strings.TrimSpace(lines[r.Where.Line-1]); got != "edit "+r.ID || strings.TrimSpace(lines[r.Where.End-1]) != "next" {
			t.Errorf("policy %s: its first line is %q, its last %q", r.ID, got, lines[r.Where.End-1])
		}
	}
	if !strings.HasPrefix(r.Text, `config firewall policy; edit 7; set name "mail in"; set srcintf wan1; set dstintf lan; set action accept`) {
		t.Errorf("got text %q", r.Text)
	}
	if v := rs.Chains["firewall vip"].Rules; v[0].Ticket != "CHG0012345" || v[0].Disabled || !v[2].Disabled {
		t.Error("a VIP has a ticket, and one that no policy has does nothing")
	}
	for _, r := range policies {
		if r.ID == "23" && !r.Disabled || r.ID == "32" && !r.Disabled {
			t.Errorf("policy %s: status disable, or schedule none, does nothing", r.ID)
		}
	}
	old, err := ReadFiles("fw", "testdata/fortigate/old.conf")
	if err != nil {
		t.Fatal(err)
	}
	if got := old.Chains["firewall policy"].Rules[2].Expires.Format("2006-01-02 15:04"); got != "2020-01-31 12:30" {
		t.Errorf("a one-time schedule: got its end at %s", got)
	}
}

func fileText(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestFortigateKeepsSecrets(t *testing.T) {
	text := `config system admin
edit admin
set password ENC hunter2aaa
next
end
config vpn ipsec phase1-interface
edit x
set psksecret ENC hunter2bbb
next
end
config system snmp community
edit 1
set name hunter2ccc
next
end
config system interface
edit port1
set ip 198.51.100.1/24
set password ENC hunter2ddd
config ipv6
set pppoe-password "hunter2eee"
end
next
end
config vpn certificate local
edit c
set private-key "-----BEGIN PRIVATE KEY-----
hunter2fff
-----END PRIVATE KEY-----"
set password hunter2ggg
next
end
config firewall vip
edit v
set extip 198.51.100.25
set mappedip 10.0.0.25
set extintf any
set ssl-client-session-key hunter2hhh
set comment "password: hunter2iii"
next
end
config firewall policy
edit 1
set name "psksecret hunter2jjj"
set dstaddr v
set srcaddr all
set comments "community=hunter2kkk"
set auth-cert-password hunter2lll
hunter2mmm
next
end
hunter2nnn
`
	rs, err := Read("fw", export("fw.conf", text))
	if err != nil {
		t.Fatal(err)
	}
	hasNoSecret(t, rs, "hunter2")
	if _, err := Read("fw", export("fw.conf", "config firewall policy\nhunter2 \"hunter2\n")); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v, want an error without the secret", err)
	}
}

func TestFortigateEdits(t *testing.T) {
	rs, err := ReadFiles("fw", "testdata/fortigate/vip.conf")
	if err != nil {
		t.Fatal(err)
	}
	edit := func(e Edit, chain, id string) Edit {
		for i := range rs.Steps {
			if rs.Steps[i].Chain == chain {
				e.Step = &rs.Steps[i]
			}
		}
		e.Chain = rs.Chains[chain]
		for i, r := range e.Chain.Rules {
			if r.ID == id {
				e.At, e.Rule = i, r
				break
			}
		}
		if e.Rule == nil || e.Step == nil {
			t.Fatalf("no rule %s in %s", id, chain)
		}
		return e
	}
	prefix := netip.MustParsePrefix
	for _, test := range []struct {
		name string
		e    Edit
		want string
	}{
		{
			"deny above a policy: the VIP is named, the port is the one behind it",
			edit(Edit{Kind: DenyAbove, Sources: []netip.Prefix{prefix("203.0.113.9/32")}, Dst: netip.MustParseAddrPort("10.20.0.25:2525")}, "firewall policy", "7"),
			`config firewall address
edit "net-203.0.113.9-32"
set subnet 203.0.113.9 255.255.255.255
next
end
config firewall service custom
edit "tcp-2525"
set tcp-portrange 2525
next
end
config firewall policy
edit 92
set srcintf "wan1"
set dstintf "lan"
set srcaddr "net-203.0.113.9-32"
set dstaddr "mail-25"
set action deny
set schedule "always"
set service "tcp-2525"
next
end
config firewall policy
move 92 before 7
end`,
		},
		{
			"deny above a policy for a host",
			edit(Edit{Kind: DenyAbove, Dst: netip.MustParseAddrPort("10.20.0.25:25")}, "firewall policy", "3"),
			`config firewall address
edit "net-10.20.0.25-32"
set subnet 10.20.0.25 255.255.255.255
next
end
config firewall policy
edit 92
set srcintf "wan1"
set dstintf "lan"
set srcaddr "all"
set dstaddr "net-10.20.0.25-32"
set action deny
set schedule "always"
set service "SMTP"
next
end
config firewall policy
move 92 before 3
end`,
		},
		{
			"deny above a local-in policy",
			edit(Edit{Kind: DenyAbove, Dst: netip.MustParseAddrPort("198.51.100.1:25")}, "firewall local-in-policy", "2"),
			`config firewall address
edit "net-198.51.100.1-32"
set subnet 198.51.100.1 255.255.255.255
next
end
config firewall local-in-policy
edit 3
set intf "wan1"
set srcaddr "all"
set dstaddr "net-198.51.100.1-32"
set action deny
set schedule "always"
set service "SMTP"
next
end
config firewall local-in-policy
move 3 before 2
end`,
		},
		{
			"narrow, IPv6",
			edit(Edit{Kind: Narrow, Sources: []netip.Prefix{prefix("2001:db8:9::/48")}}, "firewall policy", "30"),
			`config firewall address6
edit "net-2001:db8:9::-48"
set ip6 2001:db8:9::/48
next
end
config firewall policy
edit 30
set srcaddr6 "net-2001:db8:9::-48"
next
end`,
		},
		{
			"a member leaves the group that holds it",
			edit(Edit{Kind: DropMember, Object: "partners", Member: PrefixRange(prefix("203.0.113.64/26"))}, "firewall policy", "8"),
			"config firewall addrgrp\nedit \"branches\"\nunselect member \"branch\"\nnext\nend",
		},
		{"a member that is none", edit(Edit{Kind: DropMember, Object: "partners", Member: PrefixRange(prefix("192.0.2.0/24"))}, "firewall policy", "8"), ""},
		{"remove", edit(Edit{Kind: Remove}, "firewall policy", "8"), "config firewall policy\ndelete 8\nend"},
		{"a VIP is switched off: policies have it, so that it cannot be deleted", edit(Edit{Kind: StopNAT}, "firewall vip", "mail-25"), "config firewall vip\nedit \"mail-25\"\nset status disable\nnext\nend"},
		{"the source stays as it is", edit(Edit{Kind: StopNAT}, "nat of firewall policy", "7"), "config firewall policy\nedit 7\nset nat disable\nnext\nend"},
		{"what an interface allows is no policy", edit(Edit{Kind: Remove}, "firewall local-in-policy", "wan1"), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := strings.Join(editFortigate(rs, test.e), "\n"); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
	rs, err = Read("edge/CUST", export("fw.conf", fortiVDOMs))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(editFortigate(rs, edit(Edit{Kind: StopNAT}, "vdom CUST: nat of firewall policy", "1")), "; ")
	if want := "config vdom; edit CUST; config firewall policy; edit 1; set nat disable; next; end; end"; got != want {
		t.Errorf("in a virtual domain: got %q, want %q", got, want)
	}
}

func FuzzFortigate(f *testing.F) {
	seeds(f, "testdata/fortigate/*.conf")
	f.Add([]byte(fortiVDOMs))
	f.Fuzz(func(t *testing.T, data []byte) { readAnything(t, "fortigate", data) })
}
