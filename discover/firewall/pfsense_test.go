package firewall

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func readPFFixture(t testing.TB, name string) *Ruleset {
	t.Helper()
	rs, err := ReadFiles("fw", name)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func pfRuleOf(t testing.TB, rs *Ruleset, id string) (*Chain, int) {
	t.Helper()
	for _, name := range []string{pfRDR, pfBinat, pfIn, pfTanib, pfSNAT, pfOut} {
		if c := rs.Chains[name]; c != nil {
			if i := slices.IndexFunc(c.Rules, func(r *Rule) bool { return r.ID == id }); i >= 0 {
				return c, i
			}
		}
	}
	t.Fatalf("no rule %s", id)
	return nil, 0
}

func TestPFRuleTells(t *testing.T) {
	rs := readPFFixture(t, "testdata/pfsense/floating.xml")
	c, i := pfRuleOf(t, rs, "100")
	r := c.Rules[i]
	text, err := os.ReadFile("testdata/pfsense/floating.xml")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	if first, last := lines[r.Where.Line-1], lines[r.Where.End-1]; strings.TrimSpace(first) != "<rule>" || strings.TrimSpace(last) != "</rule>" ||
		!strings.Contains(lines[r.Where.Line], "<tracker>100<") {
		t.Errorf("lines %d to %d are %q to %q", r.Where.Line, r.Where.End, first, last)
	}
	for _, c := range []struct{ what, got, want string }{
		{"text", r.Text, "WAN: pass in quick on wan inet tcp from any to 192.0.2.25 port 25"},
		{"comment", r.Comment, "mail in, owner: netops CHG0012345"},
		{"owner", r.Owner, "netops"},
		{"ticket", r.Ticket, "CHG0012345"},
		{"creator", r.Created.By, "admin@10.20.0.9 (Local Database)"},
		{"creation", r.Created.Time.Format(time.RFC3339), "2023-11-14T22:13:20Z"},
		{"changer", r.Changed.By, "kato@10.20.0.8"},
		{"language", rs.Language, "pfsense"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, c.got, c.want)
		}
	}
	opn := readPFFixture(t, "testdata/opnsense/old.xml")
	c, i = pfRuleOf(t, opn, "22222222-0000-4000-8000-000000000001")
	if got, want := c.Rules[i].Changed, (Change{"root@10.20.0.9", time.Unix(1700000000, 0).UTC()}); got != want {
		t.Errorf("OPNsense writes parts of seconds: got %v, want %v", got, want)
	}
}

func TestPFDisabledFilter(t *testing.T) {
	for name, tag := range map[string]string{"pfsense": "<disablefilter>enabled</disablefilter>", "opnsense": "<disablefilter>1</disablefilter>"} {
		rs, err := Read("fw", Export{Data: []byte("<" + name + "><system>" + tag + "</system><interfaces><wan><enable>1</enable></wan></interfaces><filter/></" + name + ">")})
		if err != nil {
			t.Fatal(err)
		}
		d := rs.Decide(NewFlow("wan", netip.MustParseAddrPort("203.0.113.9:0"), netip.MustParseAddrPort("192.0.2.25:25")))
		if d.Verdict != Permitted || len(rs.Notes) != 1 {
			t.Errorf("%s: got %v, %v; want all to be permitted, and a note", name, d.Verdict, rs.Notes)
		}
	}
}

func TestPFExportsThatAreNotWhole(t *testing.T) {
	whole, err := os.ReadFile("testdata/pfsense/floating.xml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, text string
		err        string // else it is read, with a note
		note       string
	}{
		{what: "cut off in a rule", text: string(whole[:len(whole)*2/3]), note: "not XML to its end"},
		{what: "cut off in the first tag", text: "<pfsense><", note: "cfg.xml:1: the file is not XML to its end"},
		{what: "a first tag only", text: "<opnsense>", note: "not XML to its end"},
		{what: "encrypted", text: "---- BEGIN config.xml ----\nVersion: pfSense 2.7\nVTJGc2RHVmtYMTg9\n---- END config.xml ----\n", err: "cfg.xml:1: the configuration is encrypted; Diagnostics > Backup & Restore"},
		{what: "another XML", text: "<inventory><devices/></inventory>", err: "no rule export that is known"},
		{what: "nested without end", text: "<pfsense>" + strings.Repeat("<filter>", 100), note: "too deep"},
		{what: "a tag without end", text: "<pfsense><filter><rule " + strings.Repeat(`a="" `, 20000), note: "a tag is longer than 64 kB"},
		{what: "ends that do not fit", text: "<pfsense>\n<filter>\n</nat></pfsense>", note: "cfg.xml:3: "},
		{what: "two documents", text: "<pfsense></pfsense><pfsense></pfsense>", note: "more than one document"},
		{what: "a wrong character", text: "<pfsense><filter>\x00</filter></pfsense>", note: "not XML to its end"},
		{what: "a mode of asking for ports", text: "<pfsense><installedpackages><miniupnpd><config><enable>on</enable></config></miniupnpd></installedpackages></pfsense>", note: "UPnP is on"},
		{what: "a mode of NAT that is not known", text: "<pfsense><nat><outbound><mode>magic</mode></outbound></nat></pfsense>", note: `mode "magic" is not known`},
	} {
		rs, err := Read("fw", Export{File: File{Name: "cfg.xml"}, Data: []byte(c.text)})
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: got error %v, want %q", c.what, err, c.err)
			}
			continue
		case err != nil:
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if len(rs.Notes) == 0 || !strings.Contains(fmt.Sprintf("%s:%d: %s", rs.Notes[0].Where.File, rs.Notes[0].Where.Line, rs.Notes[0].Text), c.note) {
			t.Errorf("%s: got notes %v, want %q", c.what, rs.Notes, c.note)
		}
		if strings.Contains(c.what, "mode") {
			continue
		}
		d := rs.Decide(NewFlow("wan", netip.MustParseAddrPort("203.0.113.9:0"), netip.MustParseAddrPort("192.0.2.25:25")))
		if d.Verdict != Possibly || !strings.Contains(strings.Join(d.Words, " "), "missing from line") {
			t.Errorf("%s: got %v because %v, want possibly: what is missing may say anything", c.what, d.Verdict, d.Words)
		}
	}
	a, b := Export{File: File{Name: "a.xml"}, Data: whole}, Export{File: File{Name: "b.xml"}, Data: whole}
	if _, err := Read("fw", a, b); err == nil || !strings.Contains(err.Error(), "b.xml:1: is a second config.xml") {
		t.Errorf("two files: got %v", err)
	}
}

func TestPFMixedLineEndsKeepTheirNumbers(t *testing.T) {
	text, err := os.ReadFile("testdata/pfsense/floating.xml")
	if err != nil {
		t.Fatal(err)
	}
	want := readPFFixture(t, "testdata/pfsense/floating.xml")
	got, err := Read("fw", Export{Data: []byte("\xef\xbb\xbf" + strings.ReplaceAll(string(text), "\n", "\r\n"))})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range want.Chains[pfIn].Rules {
		if g := got.Chains[pfIn].Rules[i]; g.Where.Line != r.Where.Line || g.Where.End != r.Where.End {
			t.Errorf("rule %s: got lines %d to %d, want %d to %d", r.ID, g.Where.Line, g.Where.End, r.Where.Line, r.Where.End)
		}
	}
}

// pfShown is all that a ruleset may show.
func pfShown(rs *Ruleset) string {
	var b strings.Builder
	for _, c := range rs.Chains {
		b.WriteString(c.PolicyText + "\n")
		for _, r := range c.Rules {
			b.WriteString(strings.Join([]string{r.ID, r.Name, r.Text, r.Comment, r.Created.By, r.Changed.By, strings.Join(r.Words, " ")}, "\n"))
			for _, term := range r.Match {
				b.WriteString(term.Word + term.Object + strings.Join(term.Names, " ") + "\n")
			}
		}
	}
	for _, n := range rs.Notes {
		b.WriteString(n.Text + "\n")
	}
	return b.String()
}

func TestPFSecretsAreNotShown(t *testing.T) {
	secrets := []string{"VERYSECRETHASH", "carpsecret", "aliassecret", "GEOIPSECRET", "hunter2", "urlsecret", "ovpnsecret"}
	names, _ := filepath.Glob("testdata/*sense/*.xml")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		s := string(text)
		s = strings.Replace(s, "<descr>", "<descr>password: hunter2 ", -1)
		s = strings.Replace(s, "<filter>", "<openvpn><openvpn-server><shared_key>ovpnsecret</shared_key><tls>ovpnsecret</tls><tunnel_network>10.8.0.0/24</tunnel_network></openvpn-server></openvpn><filter>", 1)
		s = strings.Replace(s, "https://lists.example.org/drop.txt", "https://user:urlsecret@lists.example.org/drop.txt?token=urlsecret", 1)
		for _, text := range []string{s, s[:len(s)/2], s[:len(s)*3/4]} {
			rs, err := Read("fw", Export{File: File{Name: "cfg.xml"}, Data: []byte(text)})
			if err != nil {
				t.Fatal(err)
			}
			all := pfShown(rs)
			for _, secret := range secrets {
				if strings.Contains(all, secret) {
					at := strings.Index(all, secret)
					t.Errorf("%s: shows %q", name, all[max(0, at-60):at+len(secret)])
				}
			}
		}
	}
}

func TestPFEdit(t *testing.T) {
	edge, nat, model := readPFFixture(t, "testdata/pfsense/floating.xml"), readPFFixture(t, "testdata/pfsense/nat.xml"), readPFFixture(t, "testdata/opnsense/model.xml")
	mx := netip.MustParseAddrPort("192.0.2.25:25")
	inside := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/28"), netip.MustParsePrefix("2001:db8::/64")}
	for _, c := range []struct {
		what string
		rs   *Ruleset
		id   string
		kind EditKind
		edit Edit
		want string
	}{
		{"a block above", edge, "100", DenyAbove, Edit{Dst: mx}, `Firewall > Rules > WAN: add above "mail in, owner: netops CHG0012345" (tracker 100): Block, IPv4, TCP, source any, destination 192.0.2.25 port 25`},
		{"a block of one source", edge, "100", DenyAbove, Edit{Dst: mx, Sources: inside[:1]}, `Firewall > Rules > WAN: add above "mail in, owner: netops CHG0012345" (tracker 100): Block, IPv4, TCP, source 203.0.113.0/28, destination 192.0.2.25 port 25`},
		{"above a floating rule it must be quick", edge, "202", DenyAbove, Edit{Dst: mx}, `Firewall > Rules > Floating: add above tracker 202: Block, Quick, interface any, direction in, IPv4, TCP, source any, destination 192.0.2.25 port 25`},
		{"fewer sources", edge, "100", Narrow, Edit{Sources: inside}, `Firewall > Rules > WAN: edit "mail in, owner: netops CHG0012345" (tracker 100): source an alias of 203.0.113.0/28 2001:db8::/64`},
		{"a rule less", edge, "100", Remove, Edit{}, `Firewall > Rules > WAN: delete "mail in, owner: netops CHG0012345" (tracker 100)`},
		{"what the product makes is no line", edge, "anti-lockout", Remove, Edit{}, ""},
		{"a port forward less", nat, "nat/rule 2", StopNAT, Edit{}, `Firewall > NAT > Port Forward: delete "passes by itself" (nat/rule 2)`},
		{"no port forward for one", nat, "nat/rule 2", StopNAT, Edit{Dst: mx}, `Firewall > NAT > Port Forward: add above "passes by itself" (nat/rule 2): No RDR, IPv4, TCP, source any, destination 192.0.2.25 port 25`},
		{"no filter above a translation", nat, "nat/rule 2", DenyAbove, Edit{Dst: mx}, ""},
		{"no source NAT for one", nat, "nat/outbound/rule 3", StopNAT, Edit{Dst: mx}, `Firewall > NAT > Outbound: add above "outsiders look inside" (nat/outbound/rule 3): Do not NAT, IPv4, TCP, source any, destination 192.0.2.25 port 25`},
		{"nor for what comes by itself", nat, "automatic wan", StopNAT, Edit{Dst: mx}, `Firewall > NAT > Outbound, mode Hybrid: add above automatic wan: Do not NAT, IPv4, TCP, source any, destination 192.0.2.25 port 25`},
		{"a member less", nat, "nat/rule 6", DropMember, Edit{Object: "POOL", Member: One(netip.MustParseAddr("172.16.5.31"))}, `Firewall > Aliases > POOL: remove 172.16.5.31`},
		{"part of a member", nat, "nat/rule 6", DropMember, Edit{Object: "POOL", Member: PrefixRange(netip.MustParsePrefix("172.16.5.0/24"))}, ""},
		{"the new rules of OPNsense", model, "wan-20", DenyAbove, Edit{Dst: mx}, `Firewall > Rules [new]: add above "two of each" (uuid wan-20): Block, Quick, interface wan, direction in, IPv4, TCP, source any, destination 192.0.2.25 port 25`},
	} {
		chain, at := pfRuleOf(t, c.rs, c.id)
		e := c.edit
		e.Kind, e.Chain, e.At, e.Rule = c.kind, chain, at, chain.Rules[at]
		for i := range c.rs.Steps {
			if c.rs.Steps[i].Chain == chain.Name {
				e.Step = &c.rs.Steps[i]
			}
		}
		got := ""
		if lines := editPF(c.rs, e, c.rs.Language == "opnsense"); len(lines) > 0 {
			got = lines[0]
		}
		if got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.what, got, c.want)
		}
	}
}

func FuzzPF(f *testing.F) {
	names, _ := filepath.Glob("testdata/*sense/*.xml")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		for n := 1; n < 8; n++ {
			f.Add(text[:len(text)*n/8])
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		rs, err := Read("fw", Export{File: File{Name: "cfg.xml"}, Data: text})
		if err != nil {
			return
		}
		if rs.Language != "pfsense" && rs.Language != "opnsense" {
			return
		}
		lines := strings.Count(string(text), "\n") + strings.Count(string(text), "\r") + 1
		for name, c := range rs.Chains {
			for i, r := range c.Rules {
				if r.Where.File != "cfg.xml" || r.Where.Line < 1 || r.Where.Line > lines || r.Where.End > lines || r.Where.End != 0 && r.Where.End < r.Where.Line {
					t.Fatalf("%s: rule %s is at %v, in a file of %d lines", name, r.ID, r.Where, lines)
				}
				for kind := range StopNAT + 1 {
					editPF(rs, Edit{Kind: kind, Chain: c, At: i, Rule: r, Dst: netip.MustParseAddrPort("192.0.2.25:25")}, rs.Language == "opnsense")
				}
			}
		}
		for _, in := range []string{"wan", "lan", "opt1"} {
			for _, flow := range [][2]string{{"203.0.113.9:0", "198.51.100.1:25"}, {"10.20.0.9:0", "172.16.5.25:587"}, {"[2001:db8::9]:0", "[2001:db8:1::25]:25"}} {
				rs.Decide(NewFlow(in, netip.MustParseAddrPort(flow[0]), netip.MustParseAddrPort(flow[1])))
			}
		}
	})
}
