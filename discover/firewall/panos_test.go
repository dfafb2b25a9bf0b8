package firewall

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
)

func readPanosFixture(t *testing.T, device string, names ...string) *Ruleset {
	t.Helper()
	rs, err := ReadFiles(device, names...)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func panosRule(t *testing.T, rs *Ruleset, chain, id string) *Rule {
	t.Helper()
	for _, r := range rs.Chains[chain].Rules {
		if r.ID == id {
			return r
		}
	}
	t.Fatalf("no rule %q in %q", id, chain)
	return nil
}

const panosVsys = `<entry name="%s"><rulebase><security><rules><entry name="r"><action>allow</action></entry></rules></security></rulebase></entry>`

func panosConfig(inside string) string {
	return "<config>\n<devices><entry name=\"localhost.localdomain\">\n" + inside + "\n</entry></devices></config>\n"
}

func TestPANOSErrors(t *testing.T) {
	one, two := fmt.Sprintf(panosVsys, "vsys1"), fmt.Sprintf(panosVsys, "vsys2")
	for _, test := range []struct{ name, text, want string }{
		{"cut short", "<config>\n<devices><entry name=\"x\">\n<vsys>\n", "x.xml:4: inside of <vsys>, which begins in line 3: unexpected EOF; export it again: running-config.xml: Device, Setup"},
		{"a wrong end", "<config>\n<devices>\n</config>", "x.xml:3: inside of <devices>, which begins in line 2: element <devices> closed by </config>"},
		{"nothing of a firewall", "<config>\n<shared/></config>", "x.xml:1: no vsys and no device group is in it; export running-config.xml"},
		{"several vsys", panosConfig("<vsys>" + one + "\n" + two + "</vsys>"), "x.xml:4: 2 vsys entries hold rules (vsys1, vsys2): end the device's name in the one that is meant, such as fw/vsys1"},
		{"several device groups", panosConfig("<device-group>\n" + strings.ReplaceAll(one+"\n"+two, "rulebase", "pre-rulebase") + "</device-group>"), "x.xml:5: 2 device group entries hold rules (vsys1, vsys2)"},
		{"deeper than any configuration", "<config>" + strings.Repeat("<a>", 100), "x.xml:1: inside of <a>, which begins in line 1: more or deeper elements"},
		{"an error that another vendor's device answered", "<response status=\"error\"><result><msg/></result></response>", "x.xml:1: is no rule export that is known"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Read("fw", export("x.xml", test.text))
			if err == nil || !strings.HasPrefix(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v\nwant one line that begins %s", err, test.want)
			}
		})
	}
}

func TestPANOSVsysOfTheDevicesName(t *testing.T) {
	text := panosConfig("<vsys>" + fmt.Sprintf(panosVsys, "vsys1") + "\n" + fmt.Sprintf(panosVsys, "vsys2") + "</vsys>")
	rs, err := Read("site/fw/vsys2", export("x.xml", text))
	if err != nil {
		t.Fatal(err)
	}
	if r := panosRule(t, rs, "security", "r"); r.Where.Line != 4 || r.Text != "set vsys vsys2 rulebase security rules r action allow" {
		t.Errorf("got line %d: %s", r.Where.Line, r.Text)
	}
	d := rs.Decide(NewFlow("", netip.MustParseAddrPort("203.0.113.9:1025"), netip.MustParseAddrPort("198.51.100.25:25")))
	if want := "no application no destination no from no service no source no to"; d.Verdict != Possibly || !strings.Contains(strings.Join(d.Words, " "), want) {
		t.Errorf("what a rule does not say is not any: got %v %q, want %q", d.Verdict, d.Words, want)
	}
}

func TestPANOSRules(t *testing.T) {
	rs := readPanosFixture(t, "fw", "testdata/panos/edge.xml")
	mx := panosRule(t, rs, "security", "mx")
	if mx.Owner != "postmaster" || mx.Ticket != "CHG0001234" || !strings.HasSuffix(mx.Comment, "tag: mail") {
		t.Errorf("got owner %q and ticket %q of %q", mx.Owner, mx.Ticket, mx.Comment)
	}
	if want := "set rulebase security rules mx to dmz from untrust source any destination mx-public source-user any category any application any service mail-ports action allow log-end yes"; mx.Text != want {
		t.Errorf("got  %s\nwant %s", mx.Text, want)
	}
	if i := slices.IndexFunc(mx.Match, func(m Term) bool { return m.Field == DstPort }); i < 0 || mx.Match[i].Object != "mail-ports" || fmt.Sprint(mx.Match[i].Ranges) != fmt.Sprint([]Range{Ports(25, 25), Ports(465, 465), Ports(587, 587)}) {
		t.Errorf("the ports of a group in a group: got %v", mx.Match)
	}
	group := panosRule(t, rs, "security", "group")
	if i := slices.IndexFunc(group.Match, func(m Term) bool { return m.Field == DstAddr }); group.Match[i].Object != "mail" {
		t.Errorf("got object %q, want mail", group.Match[i].Object)
	}
	data, err := os.ReadFile("testdata/panos/edge.xml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Split(string(data), "\n")
	for _, id := range []string{"mx", "within", "out"} {
		w := panosRule(t, rs, "security", id).Where
		if !strings.Contains(text[w.Line-1], `<entry name="`+id+`"`) || strings.TrimSpace(text[w.End-1]) != "</entry>" {
			t.Errorf("%s is in lines %d to %d: %s … %s", id, w.Line, w.End, text[w.Line-1], text[w.End-1])
		}
	}
	if !panosRule(t, rs, "security", "off").Disabled || !panosRule(t, rs, "nat destination", "off").Disabled {
		t.Error("rules that are disabled are kept, as disabled")
	}
	if c := rs.Chains["security"]; c.PolicyText != "interzone-default: drop" || !strings.Contains(text[c.Where.Line-1], "interzone-default") {
		t.Errorf("got policy %q in line %d", c.PolicyText, c.Where.Line)
	}
}

func TestPANOSKeepsSecrets(t *testing.T) {
	data, err := os.ReadFile("testdata/panos/edge.xml")
	if err != nil || strings.Count(string(data), "hunter2") < 5 {
		t.Fatal("the fixture has no secrets: ", err)
	}
	hasNoSecret(t, readPanosFixture(t, "fw", "testdata/panos/edge.xml"), "hunter2")
	root, err := panosTree(Export{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	var see func(n *panosNode)
	see = func(n *panosNode) {
		if n.text == "hunter2" {
			t.Errorf("a secret is kept: <%s>", n.name)
		}
		for _, k := range n.kids {
			see(k)
		}
	}
	see(root)
	hasNoSecret(t, readPanosFixture(t, "fw", "testdata/panos/learned.xml"), "hunter2")
	_, err = Read("fw", export("x.xml", "<config><mgt-config><phash>hunter2</phash>"))
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestPANOSInnerDeviceGroup(t *testing.T) {
	group := strings.ReplaceAll(panosVsys, "rulebase", "pre-rulebase")
	text := "<config><devices><entry name=\"x\"><device-group>\n" + fmt.Sprintf(group, "all") + "\n" + fmt.Sprintf(group, "site") + "\n" + fmt.Sprintf(group, "floor") +
		"</device-group></entry></devices><readonly><devices><entry name=\"x\"><device-group><entry name=\"floor\"><parent-dg>site</parent-dg></entry>" +
		"<entry name=\"site\"><parent-dg>all</parent-dg></entry></device-group></entry></devices></readonly></config>"
	rs, err := Read("fw", export("x.xml", text))
	if err != nil {
		t.Fatal(err)
	}
	var lines []int
	for _, r := range rs.Chains["security"].Rules {
		if r.ID == "r" {
			lines = append(lines, r.Where.Line)
		}
	}
	if want := []int{2, 3, 4}; !slices.Equal(lines, want) {
		t.Errorf("of nested groups the inner one is meant, with those around it: got rules of lines %v, want %v", lines, want)
	}
	text = strings.ReplaceAll(text, "<parent-dg>all</parent-dg>", "<parent-dg>floor</parent-dg>")
	if _, err := Read("fw/floor", export("x.xml", text)); err != nil {
		t.Errorf("groups in a circle: got %v", err)
	}
}

func TestPANOSHoldsNoMoreThanItsBudget(t *testing.T) {
	p := &panos{rs: new(Ruleset), addrs: make(map[string]*panosAddrs), ports: make(map[string][]Match), budget: 3, busy: make(map[string]bool)}
	got := p.set([]string{"192.0.2.1", "192.0.2.3", "192.0.2.5", "192.0.2.7"}, Place{})
	if len(got.ranges) > 3 || !slices.Contains(got.words, "more addresses than can be held") {
		t.Errorf("got %d ranges and words %q", len(got.ranges), got.words)
	}
	if m := p.service([]string{"service-http"}); len(m) != 1 || m[0].Word != "more services than can be held" {
		t.Errorf("got %v", m)
	}
}

func TestPANOSWildcards(t *testing.T) {
	one := func(s string) Range { return One(netip.MustParseAddr(s)) }
	for _, test := range []struct {
		text string
		want []Range
	}{
		{"10.20.1.1/0.0.2.0", []Range{one("10.20.1.1"), one("10.20.3.1")}},
		{"10.20.1.0/0.0.2.255", []Range{PrefixRange(netip.MustParsePrefix("10.20.1.0/24")), PrefixRange(netip.MustParsePrefix("10.20.3.0/24"))}},
		{"10.20.1.9/0.0.0.255", []Range{PrefixRange(netip.MustParsePrefix("10.20.1.0/24"))}},
		{"0.0.0.0/255.255.255.255", []Range{AllIPv4()}},
		{"10.20.1.9/0.0.0.0", []Range{one("10.20.1.9")}},
		{"10.0.0.1/0.255.255.0", nil}, // too many
		{"10.20.1.9/24", nil},
		{"2001:db8::/::f", nil},
	} {
		if got := panosWildcard(test.text); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.text, got, test.want)
		}
	}
}

func TestPANOSPushedPolicy(t *testing.T) {
	rule := func(name, port string) string {
		return `<entry name="` + name + `"><to><member>any</member></to><from><member>any</member></from><source><member>any</member></source><destination><member>any</member></destination><application><member>any</member></application><service><member>` + port + `</member></service><action>allow</action></entry>`
	}
	fw := panosConfig(`<vsys><entry name="vsys1"><rulebase><security><rules>` + rule("local", "service-http") + `</rules></security></rulebase></entry></vsys>`)
	pushed := `<response status="success"><result><policy><panorama><pre-rulebase><security><rules>` + rule("pre", "service-https") +
		`</rules></security></pre-rulebase><post-rulebase><security><rules>` + rule("post", "any") + `</rules></security></post-rulebase></panorama></policy></result></response>`
	rs, err := Read("fw", export("fw.xml", fw), export("pushed.xml", pushed))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range rs.Chains["security"].Rules {
		ids = append(ids, r.ID)
	}
	if got, want := strings.Join(ids, " "), "pre local post intrazone-default"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPANOSVirtualWire(t *testing.T) {
	rs, err := Read("fw", export("x.xml", panosConfig(`<network><virtual-router><entry name="v"><routing-table><ip><static-route><entry name="d"><destination>0.0.0.0/0</destination><interface>ethernet1/1</interface></entry></static-route></ip></routing-table></entry></virtual-router></network>
<vsys><entry name="vsys1"><zone><entry name="out"><network><layer3><member>ethernet1/1</member></layer3></network></entry><entry name="wire"><network><virtual-wire><member>ethernet1/3</member></virtual-wire></network></entry></zone></entry></vsys>`)))
	if err != nil {
		t.Fatal(err)
	}
	d := rs.Decide(NewFlow("wire", netip.MustParseAddrPort("203.0.113.9:1025"), netip.MustParseAddrPort("198.51.100.25:25")))
	if d.Verdict != Possibly {
		t.Errorf("what goes through a virtual wire is not routed: got %v", d.Verdict)
	}
}

func TestPANOSEdits(t *testing.T) {
	rs := readPanosFixture(t, "fw", "testdata/panos/edge.xml")
	group := readPanosFixture(t, "fw", "testdata/panos/pushed-panorama.xml", "testdata/panos/pushed-firewall.xml")
	dst := netip.MustParseAddrPort("198.51.100.25:25")
	from := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("203.0.113.9/32")}
	mx := panosRule(t, rs, "security", "mx")
	d, s := &Step{Kind: DNAT}, &Step{Kind: SNAT}
	for _, test := range []struct {
		name string
		edit Edit
		want string
	}{
		{"deny above", Edit{Kind: DenyAbove, Rule: mx, Dst: dst}, "set service close-tcp-25 protocol tcp port 25\n" +
			"set rulebase security rules close-198.51.100.25-25 from any to any source any destination 198.51.100.25 application any service close-tcp-25 action drop\n" +
			"move rulebase security rules close-198.51.100.25-25 before mx"},
		{"deny some above, in a device group", Edit{Kind: DenyAbove, Rule: panosRule(t, group, "security", "mx"), Dst: dst, Sources: from}, "set device-group fw service close-tcp-25 protocol tcp port 25\n" +
			"set device-group fw pre-rulebase security rules close-198.51.100.25-25 from any to any source [ 192.0.2.0/24 203.0.113.9 ] destination 198.51.100.25 application any service close-tcp-25 action drop\n" +
			"move device-group fw pre-rulebase security rules close-198.51.100.25-25 before mx"},
		{"narrow", Edit{Kind: Narrow, Rule: mx, Sources: from}, "delete rulebase security rules mx source\nset rulebase security rules mx source [ 192.0.2.0/24 203.0.113.9 ]"},
		{"remove, of shared", Edit{Kind: Remove, Rule: panosRule(t, group, "security", "shared-pre")}, "delete shared pre-rulebase security rules shared-pre"},
		{"stop a translation", Edit{Kind: StopNAT, Step: d, Rule: panosRule(t, rs, "nat destination", "mx-in")}, "delete rulebase nat rules mx-in"},
		{"stop one of two", Edit{Kind: StopNAT, Step: d, Rule: panosRule(t, rs, "nat destination", "mx-hidden")}, "delete rulebase nat rules mx-hidden destination-translation"},
		{"stop the other", Edit{Kind: StopNAT, Step: s, Rule: panosRule(t, rs, "nat source", "mx-hidden")}, "delete rulebase nat rules mx-hidden source-translation"},
		{"stop a reverse rule", Edit{Kind: StopNAT, Step: d, Rule: panosRule(t, rs, "nat destination", "two-way (bi-directional)")}, "set rulebase nat rules two-way source-translation static-ip bi-directional no"},
		{"a default rule has no line", Edit{Kind: Remove, Rule: panosRule(t, rs, "security", "intrazone-default")}, ""},
		{"a member has no name", Edit{Kind: DropMember, Rule: mx, Object: "mail-ports"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := strings.Join(editPANOS(rs, test.edit), "\n"); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestPANOSGarbageIsBounded(t *testing.T) {
	for name, text := range map[string]string{
		"a group of groups of groups": panosConfig(`<vsys><entry name="v"><address-group>` + func() string {
			var b strings.Builder
			for i := range 120 {
				fmt.Fprintf(&b, `<entry name="g%d"><static>`, i)
				for j := range 40 {
					fmt.Fprintf(&b, `<member>g%d</member><member>10.%d.%d.0/25</member>`, (i*7+j)%120, i%256, 2*j)
				}
				b.WriteString("</static></entry>")
			}
			return b.String()
		}() + `</address-group><region><entry name="R"><address><member>R</member></address></entry></region><rulebase><security><rules>` +
			strings.Repeat(`<entry name="r"><source><member>g1</member><member>g2</member><member>R</member></source><action>allow</action></entry>`, 50) + `</rules></security></rulebase></entry></vsys>`),
		"many zones": panosConfig(`<vsys><entry name="v"><rulebase><security><rules>` + func() string {
			var b strings.Builder
			for i := range panosNames + 1000 {
				fmt.Fprintf(&b, `<entry name="r%d"><from><member>z%d</member></from></entry>`, i, i)
			}
			return b.String()
		}() + `</rules></security></rulebase></entry></vsys>`),
	} {
		t.Run(name, func(t *testing.T) {
			rs, err := Read("fw", export("x.xml", text))
			if err != nil {
				t.Fatal(err)
			}
			ranges := 0
			for _, r := range rs.Chains["security"].Rules {
				for _, m := range r.Match {
					ranges += len(m.Ranges)
				}
			}
			if len(rs.Interfaces) > panosNames+1 || ranges > panosRanges {
				t.Errorf("got %d interfaces and %d ranges", len(rs.Interfaces), ranges)
			}
		})
	}
}

func FuzzPANOS(f *testing.F) {
	seeds(f, "testdata/panos/*.xml")
	f.Fuzz(func(t *testing.T, data []byte) { readAnything(t, "panos", data) })
}
