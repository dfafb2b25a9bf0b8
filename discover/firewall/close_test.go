package firewall

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// approval makes up what is approved.
func (d *dice) approval() (out []Keep) {
	for i := range d.IntN(3) {
		k := Keep{Name: fmt.Sprint("approval ", i), In: pickOne(d, "eth0", "eth1", "inside")}
		if d.one(2) {
			k.Sources = append(k.Sources, netip.PrefixFrom(d.addr(d.IntN(8)), d.addr(0).BitLen()-d.IntN(3)).Masked())
		}
		if d.one(2) {
			k.Dst = netip.PrefixFrom(d.addr(d.IntN(8)), d.addr(0).BitLen()-d.IntN(3)).Masked()
		}
		if d.one(2) {
			k.Ports = []Range{d.ports()}
		}
		out = append(out, k)
	}
	return out
}

// holds leaves the zone to entry: it has names.
func (k *Keep) holds(f Flow) bool {
	in := func(p netip.Prefix) bool { return p.Contains(f.Src.First.Addr()) }
	return (k.Sources == nil || slices.ContainsFunc(k.Sources, in)) &&
		(!k.Dst.IsValid() || k.Dst.Contains(f.Dst.First.Addr())) && (k.Ports == nil || place(k.Ports, f.DstPort) == yes)
}

// objects gives the conditions of a model names, so that there are members to drop.
func (d *dice) objects(rs *Ruleset) {
	for _, name := range sortedChains(rs) {
		for _, r := range rs.Chains[name].Rules {
			for i := range r.Match {
				if r.Match[i].Ranges != nil {
					r.Match[i].Object = pickOne(d, "servers", "partners")
				}
			}
		}
	}
}

// What is claimed of an edit is what it does: the model with the edit is asked about every connection.
func TestProofsOfEdits(t *testing.T) {
	var kinds [StopNAT + 1]int
	closes, clean, broken := 0, 0, 0
	for seed := range uint64(models(t, 100)) {
		d := roll(seed)
		rs := d.ruleset()
		d.objects(rs)
		keep := d.approval()
		known := []string{"eth0", "eth1"}
		for _, k := range keep {
			known = append(known, k.In)
		}
		flows := slices.DeleteFunc(d.every(), func(f Flow) bool { return !slices.Contains(known, f.In) })
		var before []Verdict
		for _, f := range flows {
			before = append(before, rs.Decide(f).Verdict)
		}
		at := slices.Index(before, Permitted)
		if at < 0 {
			continue
		}
		opening := flows[at]
		opening.SrcPort = Ports(0, 65535)
		if d.one(2) {
			opening.Src = Range{AddrValue(d.addr(0)), AddrValue(d.addr(3))}
		}
		// Of names for the same interfaces a proof tells one.
		names := append([]string{opening.In}, (&Query{}).zones(rs)...)
		for _, k := range keep {
			names = append(names, k.zone(&opening))
		}
		names = rs.entries(names)
		before = before[:0]
		flows = slices.DeleteFunc(flows, func(f Flow) bool { return !slices.Contains(names, f.In) })
		for _, f := range flows {
			before = append(before, rs.Decide(f).Verdict)
		}
		list, err := rs.Close(opening, keep)
		if err != nil {
			t.Fatalf("model %d: %v", seed, err)
		}
		for i := range list {
			c := &list[i]
			kinds[c.Kind]++
			after := Apply(rs, c.Edit)
			p := &c.Proof
			in := func(list []Box, f Flow) int {
				n := 0
				for i := range list {
					if list[i].Holds(f) {
						n++
					}
				}
				return n
			}
			whole := p.MoreAlsoCloses+p.MoreOpens == 0
			stillOpen, keepBroken := false, false
			for k, f := range flows {
				now := after.Decide(f).Verdict
				isOpening := (f.In == opening.In || rs.leadsInto(f.In, opening.In)) && opening.Src.holds(f.Src.First) && f.Dst == opening.Dst && f.DstPort == opening.DstPort
				stillOpen = stillOpen || isOpening && f.In == opening.In && now >= Possibly
				if now < before[k] {
					keepBroken = keepBroken || slices.ContainsFunc(keep, func(k Keep) bool { return rs.entry(k.zone(&opening)) == rs.entry(f.In) && k.holds(f) })
				}
				wantCloses, wantOpens := 0, 0
				if now < before[k] && !isOpening {
					wantCloses = 1
				}
				if now > before[k] {
					wantOpens = 1
				}
				gotCloses, gotOpens := in(p.AlsoCloses, f), in(p.Opens, f)
				if whole && (gotCloses != wantCloses || gotOpens != wantOpens) || gotCloses > wantCloses || gotOpens > wantOpens {
					t.Fatalf("model %d: %s: was %v, is %v by edit %+v\nalso closes %v, opens %v\n%s", seed, flowText(f), before[k], now, c.Edit, p.AlsoCloses, p.Opens, modelText(rs))
				}
			}
			if p.Closes && stillOpen || keepBroken && p.KeepBroken == nil {
				t.Fatalf("model %d: %s: edit %+v: still open %v, closes %v; breaks an approval %v, %v\n%s", seed, flowText(opening), c.Edit, stillOpen, p.Closes, keepBroken, p.KeepBroken, modelText(rs))
			}
			if f := p.KeepBroken; f != nil {
				broken++
				if rs.Decide(*f).Verdict <= after.Decide(*f).Verdict || !slices.ContainsFunc(keep, func(k Keep) bool {
					return k.Name == p.Kept && rs.entry(k.zone(&opening)) == rs.entry(f.In) && k.holds(*f)
				}) {
					t.Fatalf("model %d: %s is no approved connection that edit %+v breaks", seed, flowText(*f), c.Edit)
				}
			}
			if p.Closes {
				closes++
			} else if whole && !p.Closes { // someone of the opening can still pass
				still := after.Decide(opening).Verdict
				if still == Denied {
					t.Fatalf("model %d: edit %+v closes the opening, and is said not to", seed, c.Edit)
				}
			}
			if p.Clean() {
				clean++
			}
			if i > 0 && list[i-1].worse(c) {
				t.Fatalf("model %d: %+v comes before %+v", seed, list[i-1], *c)
			}
		}
	}
	t.Logf("edits by kind: %v; %d close, %d of them and nothing else, %d break an approval", kinds, closes, clean, broken)
	for k, n := range kinds {
		if n < 5 && !fewModels() {
			t.Errorf("only %d edits of kind %d were tried", n, k)
		}
	}
}

// worse reports whether a candidate must not come before another.
func (c *Candidate) worse(o *Candidate) bool {
	if c.Closes != o.Closes {
		return o.Closes
	}
	if (c.KeepBroken != nil) != (o.KeepBroken != nil) {
		return c.KeepBroken != nil
	}
	return len(c.Opens) > 0 && len(o.Opens) == 0
}

// The second kind of incident: a port forward and a masquerade towards inside, that make outsiders look inside.
func TestCloseAPortForward(t *testing.T) {
	addr := func(s string) Term {
		return Term{Field: DstAddr, Ranges: []Range{One(netip.MustParseAddr(s))}}
	}
	smtp := Term{Field: DstPort, Ranges: []Range{Ports(25, 25)}}
	rs := &Ruleset{
		Interfaces: []Interface{
			{Name: "wan", Addrs: []netip.Prefix{netip.MustParsePrefix("198.51.100.1/24")}},
			{Name: "lan", Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/16")}},
		},
		Steps: []Step{
			{Name: "nat", Kind: DNAT, Hook: Prerouting, Chain: "pre"},
			{Name: "forward", Hook: Forward, Chain: "forward"},
			{Name: "masquerade", Kind: SNAT, Hook: Postrouting, Chain: "post"},
		},
		Chains: map[string]*Chain{
			"pre": {Name: "pre", Policy: Accept, Rules: []*Rule{{
				ID: "dnat", Match: Match{addr("198.51.100.25"), smtp}, Action: Translate,
				To: Translation{Addrs: []Range{One(netip.MustParseAddr("10.0.0.25"))}},
			}}},
			"forward": {Name: "forward", Policy: Drop, Rules: []*Rule{
				{ID: "established", Match: Match{{Field: Phase, Bits: Answer | Later | LaterAnswer}}, Action: Accept},
				{ID: "mail", Match: Match{addr("10.0.0.25"), smtp}, Action: Accept},
			}},
			"post": {Name: "post", Policy: Accept, Rules: []*Rule{{ID: "masquerade", Action: Translate, To: Translation{Interface: true}}}},
		},
	}
	rs.Connected()
	rs.Routes = append(rs.Routes, Route{netip.MustParsePrefix("0.0.0.0/0"), "wan"})
	opening := NewFlow("wan", netip.MustParseAddrPort("203.0.113.9:0"), netip.MustParseAddrPort("198.51.100.25:25"))
	opening.SrcPort = Ports(0, 65535)
	keep := []Keep{
		{Name: "the partner", In: "wan", Sources: []netip.Prefix{netip.MustParsePrefix("203.0.113.64/26")}, Dst: netip.MustParsePrefix("198.51.100.25/32"), Ports: []Range{Ports(25, 25)}},
		{Name: "inside", In: "lan", Sources: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}, Dst: netip.MustParsePrefix("10.0.0.25/32")},
	}
	got, err := rs.Close(opening, keep)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, c := range got {
		s := fmt.Sprint([...]string{"deny above", "narrow", "drop member", "remove", "stop NAT"}[c.Kind], " ", c.Rule.ID)
		if c.Kind == Narrow || c.Kind == DenyAbove || c.Dst.IsValid() {
			s += fmt.Sprintf(" %d sources", len(c.Sources))
		}
		if c.Closes {
			s += " closes"
		}
		if c.Closes {
			s += fmt.Sprint(" and ", c.AlsoCloses)
		}
		if len(c.Opens) > 0 {
			s += fmt.Sprint(" opens ", c.Opens)
		}
		if len(c.Moves) > 0 {
			s += fmt.Sprint(" moves ", c.Moves)
		}
		if c.KeepBroken != nil {
			s += " breaks " + c.Kept
		}
		if c.Unmasks {
			s += " unmasks"
		}
		lines = append(lines, s)
	}
	want := `stop NAT dnat 1 sources closes and [lan: 203.0.113.9 > 198.51.100.25 port 25]
deny above mail 1 sources closes and [lan: 203.0.113.9 > 10.0.0.25,198.51.100.25 port 25 wan: 203.0.113.9 > 10.0.0.25 port 25]
narrow mail 33 sources closes and [lan: 203.0.113.9 > 10.0.0.25,198.51.100.25 port 25 wan: 203.0.113.9 > 10.0.0.25 port 25]
narrow mail 2 sources closes and [lan: 0.0.0.0-9.255.255.255,10.1.0.0-203.0.113.63,203.0.113.128-255.255.255.255 > 10.0.0.25,198.51.100.25 port 25 wan: 0.0.0.0-9.255.255.255,10.1.0.0-203.0.113.63,203.0.113.128-255.255.255.255 > 10.0.0.25 port 25 wan: 0.0.0.0-9.255.255.255,10.1.0.0-203.0.113.8,203.0.113.10-203.0.113.63,203.0.113.128-255.255.255.255 > 198.51.100.25 port 25]
stop NAT dnat closes and [lan: any IPv4 > 198.51.100.25 port 25 wan: 0.0.0.0-203.0.113.8,203.0.113.10-255.255.255.255 > 198.51.100.25 port 25] breaks the partner
stop NAT dnat 0 sources closes and [lan: any IPv4 > 198.51.100.25 port 25 wan: 0.0.0.0-203.0.113.8,203.0.113.10-255.255.255.255 > 198.51.100.25 port 25] breaks the partner
deny above mail 0 sources closes and [lan: any IPv4 > 10.0.0.25,198.51.100.25 port 25 wan: any IPv4 > 10.0.0.25 port 25 wan: 0.0.0.0-203.0.113.8,203.0.113.10-255.255.255.255 > 198.51.100.25 port 25] breaks inside
remove mail closes and [lan: any IPv4 > 10.0.0.25,198.51.100.25 port 25 wan: any IPv4 > 10.0.0.25 port 25 wan: 0.0.0.0-203.0.113.8,203.0.113.10-255.255.255.255 > 198.51.100.25 port 25] breaks inside
stop NAT masquerade moves [lan,wan: 0.0.0.0-10.0.0.0,10.0.0.2-255.255.255.255 > 10.0.0.25,198.51.100.25 port 25] unmasks
stop NAT masquerade 1 sources moves [lan,wan: 203.0.113.9 > 10.0.0.25,198.51.100.25 port 25] unmasks
stop NAT masquerade 0 sources moves [lan,wan: 0.0.0.0-10.0.0.0,10.0.0.2-255.255.255.255 > 10.0.0.25,198.51.100.25 port 25] unmasks`
	if s := strings.Join(lines, "\n"); s != want {
		t.Errorf("got\n%s\nwant\n%s", s, want)
	}
}

// What a device is told to take out of an object is a member of it, as the export has it.
func TestCloseDropsMembersAlone(t *testing.T) {
	tables := func(sets, match string) string {
		return sets + "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -p tcp -m set --match-set " + match + " -j ACCEPT\nCOMMIT\n"
	}
	nft := func(typ, elements string) string {
		return `{"nftables": [{"table": {"family": "ip", "name": "t", "handle": 1}}, {"chain": {"family": "ip", "table": "t", "name": "c", "handle": 2, "type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}},
{"set": {"family": "ip", "name": "s", "table": "t", "type": "` + typ + `", "handle": 9, "elem": [` + elements + `]}},
{"rule": {"family": "ip", "table": "t", "chain": "c", "handle": 3, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@s"}}, {"accept": null}]}}]}`
	}
	pf := func(aliases string) string {
		return "<pfsense><interfaces><wan><enable/><ipaddr>198.51.100.1</ipaddr><subnet>24</subnet></wan></interfaces><aliases>" + aliases + "</aliases><filter><rule><type>pass</type><interface>wan</interface><ipprotocol>inet</ipprotocol><source><address>s</address></source><destination><any/></destination></rule></filter></pfsense>"
	}
	alias := func(name, members string) string {
		return "<alias><name>" + name + "</name><type>network</type><address>" + members + "</address></alias>"
	}
	for _, c := range []struct{ sentence, text, want string }{
		{"ipset: a network, not a part of it", tables("create s hash:net family inet\nadd s 203.0.113.0/24\n", "s src"), "ipset del s 203.0.113.0/24"},
		{"ipset: of networks that touch the one", tables("create s hash:net family inet\nadd s 203.0.113.0/25\nadd s 203.0.113.128/25\n", "s src"), "ipset del s 203.0.113.0/25"},
		{"ipset: of networks in each other neither", tables("create s hash:net family inet\nadd s 203.0.113.0/24\nadd s 203.0.113.0/25\n", "s src"), ""},
		{"ipset: no part of a pair", tables("create s hash:ip,port family inet\nadd s 10.20.0.25,tcp:25\n", "s dst,dst"), ""},
		{"ipset: a port", tables("create s bitmap:port range 0-1024\nadd s 25\nadd s 26\n", "s dst"), "ipset del s 25"},
		{"ipset: a name that a shell would read", tables("create s$(id) hash:ip family inet\nadd s$(id) 203.0.113.9\n", "s$(id) src"), ""},
		{"nft: an element", nft("ipv4_addr", `"203.0.113.9", "203.0.113.10"`), "nft delete element ip t s { 203.0.113.9 }"},
		{"nft: a network, not a part of it", nft("ipv4_addr", `{"prefix": {"addr": "203.0.113.0", "len": 24}}`), "nft delete element ip t s { 203.0.113.0/24 }"},
		{"pf: a network, not a part of it", pf(alias("s", "203.0.113.0/25 203.0.113.128/25")), "Firewall > Aliases > s: remove 203.0.113.0/25"},
		{"pf: no part of an alias in the alias", pf(alias("s", "in") + alias("in", "203.0.113.0/25")), ""},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			rs, err := Read("fw", Export{File: File{Name: "r"}, Data: []byte(c.text)})
			if err != nil {
				t.Fatal(err)
			}
			if rs.Interfaces == nil {
				rs.Bind("wan", []string{"eth0"})
			}
			rs.Own = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
			f := NewFlow("wan", netip.MustParseAddrPort("203.0.113.9:0"), netip.MustParseAddrPort("10.20.0.25:25"))
			list, err := rs.Close(f, nil)
			if err != nil || len(list) == 0 {
				t.Fatalf("got %v (%v), want edits", list, err)
			}
			got := ""
			for _, x := range list {
				if x.Kind == DropMember && len(x.Text) > 0 {
					got += x.Text[0]
				}
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Commands are pasted into a shell, as root: what the export says must not be read by it. They are of one family.
func TestIPTablesCommandsForAShell(t *testing.T) {
	for _, c := range []struct{ sentence, rule, want string }{
		{"plain words", "-p tcp -m tcp --dport 25 -j ACCEPT", "iptables -t filter -R FORWARD 1 -s 192.0.2.0/24 -p tcp -m tcp --dport 25 -j ACCEPT"},
		{"a command in a comment", `-m comment --comment "$(id) it's \"x\"" -j ACCEPT`, `iptables -t filter -R FORWARD 1 -s 192.0.2.0/24 -m comment --comment '$(id) it'\''s "x"' -j ACCEPT`},
		{"a word that ends a command", "-i eth0;id -j ACCEPT", "iptables -t filter -R FORWARD 1 -s 192.0.2.0/24 -i 'eth0;id' -j ACCEPT"},
		{"a control byte", "-m comment --comment \"a\x1bb\" -j ACCEPT", ""},
		{"a source that leaves", "! -s 10.0.0.0/8 -j ACCEPT", "iptables -t filter -R FORWARD 1 -s 192.0.2.0/24 -j ACCEPT"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			rs, err := Read("fw", Export{File: File{Name: "rules.v4"}, Data: []byte("*filter\n:FORWARD DROP [0:0]\n-A FORWARD " + c.rule + "\nCOMMIT\n")})
			if err != nil {
				t.Fatal(err)
			}
			chain := rs.Chains["iptables filter FORWARD"]
			got := editIPTables(rs, Edit{Kind: Narrow, Chain: chain, Rule: chain.Rules[0], Sources: []netip.Prefix{netip.MustParsePrefix("::/0"), netip.MustParsePrefix("192.0.2.0/24")}})
			if s := fmt.Sprint(strings.Join(got, "\n")); s != c.want {
				t.Errorf("got  %s\nwant %s", s, c.want)
			}
		})
	}
}
