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
