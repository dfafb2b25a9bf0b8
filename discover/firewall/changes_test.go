package firewall

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"
)

// changed is a model with a few lines changed.
func (d *dice) changed(rs *Ruleset) *Ruleset {
	out := *rs
	out.Chains = make(map[string]*Chain)
	for name, c := range rs.Chains {
		copied := *c
		copied.Rules = slices.Clone(c.Rules)
		out.Chains[name] = &copied
	}
	for range 1 + d.IntN(3) {
		c := out.Chains[pickOne(d, sortedChains(&out)...)]
		if len(c.Rules) == 0 {
			c.Policy = pickOne(d, Accept, Drop)
			continue
		}
		i := d.IntN(len(c.Rules))
		r := *c.Rules[i]
		switch d.IntN(4) {
		case 0:
			c.Rules = slices.Delete(c.Rules, i, i+1)
			continue
		case 1:
			r.Match = d.match(0)
		case 2:
			r.To = d.to()
		default:
			r.Disabled = !r.Disabled
		}
		c.Rules[i] = &r
	}
	return &out
}

// What opens and closes is listed in disjoint boxes, which hold exactly the connections for which two models differ.
func TestChangesAreTheDifference(t *testing.T) {
	moved, differ := 0, 0
	for seed := range uint64(models(t, 100)) {
		d := roll(seed)
		before := d.ruleset()
		after := d.changed(before)
		q := small()
		q.Most = 1 << 20
		got, err := Changes(before, after, q)
		if err != nil {
			t.Fatalf("model %d: %v", seed, err)
		}
		if got.MoreOpened+got.MoreClosed+got.MoreMoved > 0 {
			t.Fatalf("model %d: not all boxes are listed", seed)
		}
		for _, f := range d.every() {
			a, b := before.Decide(f), after.Decide(f)
			var in []string
			for kind, list := range map[string][]Delta{"opened": got.Opened, "closed": got.Closed, "moved": got.Moved} {
				for _, x := range list {
					if x.Holds(f) {
						in = append(in, fmt.Sprint(kind, " ", x.Sure))
					}
				}
			}
			want := ""
			switch {
			case a.Verdict < b.Verdict:
				want = fmt.Sprint("opened ", a.Verdict == Denied && b.Verdict == Permitted)
			case a.Verdict > b.Verdict:
				want = fmt.Sprint("closed ", b.Verdict == Denied && a.Verdict == Permitted)
			case a.Verdict == Denied:
			case !before.oneWay(f) || !after.oneWay(f):
				if len(in) == 1 && in[0] == "moved false" {
					continue // Decide tells one of the ways
				}
			case a.Leaves.Src != b.Leaves.Src || a.Leaves.Dst != b.Leaves.Dst || a.Leaves.DstPort != b.Leaves.DstPort:
				want = "moved false"
				moved++
			}
			if want != "" {
				differ++
			}
			if len(in) > 1 || len(in) == 1 && in[0] != want || len(in) == 0 && want != "" {
				t.Fatalf("model %d: %s: was %v, is %v\ngot  %q\nwant %q\n%s\n%s", seed, flowText(f), a.Verdict, b.Verdict, in, want, modelText(before), modelText(after))
			}
		}
		for _, list := range [][]Delta{got.Opened, got.Closed} {
			for _, x := range list {
				if !x.Holds(x.Witness) || x.Before.Verdict == x.After.Verdict || x.Sure != (x.Before.Verdict+x.After.Verdict == Denied+Permitted) {
					t.Fatalf("model %d: %v: the witness %s was %v, is %v, sure: %v", seed, x.Box, flowText(x.Witness), x.Before.Verdict, x.After.Verdict, x.Sure)
				}
			}
		}
	}
	if t.Logf("%d connections differ, %d of them go elsewhere", differ, moved); (moved < 100 || differ < 1000) && !fewModels() {
		t.Error("too few connections differ for a test")
	}
}

// The names of one rule are told from one name that has a space in it.
func TestRulesThatSayTheSame(t *testing.T) {
	in := func(names ...string) *Rule { return &Rule{Match: Match{{Field: In, Names: names}}, Action: Accept} }
	for _, c := range []struct {
		sentence string
		a, b     *Rule
		same     bool
	}{
		{"the same names", in("guest", "wan"), in("guest", "wan"), true},
		{"one name with a space", in("guest wan"), in("guest", "wan"), false},
		{"another comment", in("wan"), &Rule{Match: in("wan").Match, Action: Accept, Comment: "x"}, true},
		{"words that look like another field", &Rule{Words: []string{"a b"}}, &Rule{Words: []string{"a", "b"}}, false},
	} {
		if got := c.a.says() == c.b.says(); got != c.same {
			t.Errorf("%s: got %v, want %v", c.sentence, got, c.same)
		}
	}
}

// oneWay reports whether a connection has only one way through translations, so that Leaves tells all of it.
func (rs *Ruleset) oneWay(f Flow) bool {
	d := &decider{Decider: rs.Decider(), budget: 1 << 22}
	got := d.decide(f)
	return d.forks == 0 && got.Leaves.Dst.First == got.Leaves.Dst.Last
}

// office makes a ruleset as an organisation with many servers has it: a chain for each network, objects of several
// addresses, port forwards, established connections first.
func office(seed uint64, rules int) *Ruleset {
	d := &dice{Rand: rand.New(rand.NewPCG(seed, 1))}
	rs := &Ruleset{Device: "fw", Chains: make(map[string]*Chain)}
	for i, p := range []string{"198.51.100.1/24", "10.0.0.1/16", "10.1.0.1/16", "10.2.0.1/16"} {
		rs.Interfaces = append(rs.Interfaces, Interface{Name: fmt.Sprint("eth", i), Addrs: []netip.Prefix{netip.MustParsePrefix(p)}})
	}
	rs.Connected()
	rs.Routes = append(rs.Routes, Route{netip.MustParsePrefix("0.0.0.0/0"), "eth0"})
	rs.Steps = []Step{
		{Name: "nat prerouting", Kind: DNAT, Hook: Prerouting, Chain: "prerouting"},
		{Name: "filter input", Hook: Input, Chain: "input"},
		{Name: "filter forward", Hook: Forward, Chain: "forward"},
		{Name: "nat postrouting", Kind: SNAT, Hook: Postrouting, Chain: "postrouting"},
	}
	inside := func() Range {
		a := netip.AddrFrom4([4]byte{10, byte(d.IntN(3)), byte(d.IntN(40)), byte(d.IntN(256))})
		p, _ := a.Prefix(pickOne(d, 32, 32, 32, 30, 28, 24))
		return PrefixRange(p)
	}
	outside := func() Range {
		a := netip.AddrFrom4([4]byte{byte(100 + d.IntN(100)), byte(d.IntN(256)), byte(d.IntN(256)), byte(d.IntN(256))})
		p, _ := a.Prefix(pickOne(d, 32, 32, 28, 24, 16))
		return PrefixRange(p)
	}
	tcp := Term{Field: Proto, Ranges: []Range{Single(Number(6))}}
	port := func() Term {
		list := pickOne(d, []uint16{25}, []uint16{443}, []uint16{22}, []uint16{25, 465, 587}, []uint16{80, 443}, []uint16{3306}, []uint16{uint16(1024 + d.IntN(60000))})
		t := Term{Field: DstPort}
		for _, p := range list {
			t.Ranges = append(t.Ranges, Ports(p, p))
		}
		return t
	}
	established := &Rule{ID: "established", Match: Match{{Field: Phase, Bits: Answer | Later | LaterAnswer}}, Action: Accept}
	input := &Chain{Name: "input", Policy: Drop, Rules: []*Rule{established}}
	forward := &Chain{Name: "forward", Policy: Drop, Rules: []*Rule{established}}
	pre := &Chain{Name: "prerouting", Policy: Accept}
	post := &Chain{Name: "postrouting", Policy: Accept, Rules: []*Rule{{ID: "masquerade", Match: Match{{Field: Out, Names: []string{"eth0"}}}, Action: Translate, To: Translation{Interface: true}}}}
	for _, c := range []*Chain{input, forward, pre, post} {
		rs.Chains[c.Name] = c
	}
	for i := range 8 {
		c := &Chain{Name: fmt.Sprint("net", i)}
		rs.Chains[c.Name] = c
		forward.Rules = append(forward.Rules, &Rule{ID: c.Name, Action: Jump, Chain: c.Name, Match: Match{{Field: DstAddr, Ranges: []Range{inside()}}}})
	}
	for i := range rules {
		var m Match
		if d.one(10) {
			m = append(m, Term{Field: In, Names: []string{fmt.Sprint("eth", d.IntN(4))}})
		}
		switch d.IntN(4) {
		case 0:
			m = append(m, Term{Field: SrcAddr, Ranges: []Range{outside()}}, Term{Field: DstAddr, Ranges: []Range{inside()}})
		case 1:
			m = append(m, Term{Field: SrcAddr, Ranges: []Range{inside()}}, Term{Field: DstAddr, Ranges: []Range{inside()}})
		case 2:
			m = append(m, Term{Field: SrcAddr, Ranges: d.some(outside)}, Term{Field: DstAddr, Ranges: d.some(inside)})
		case 3:
			m = append(m, Term{Field: pickOne(d, SrcAddr, DstAddr), Ranges: []Range{inside()}})
		}
		if !d.one(8) {
			m = append(m, tcp, port())
		}
		r := &Rule{ID: fmt.Sprint(i), Where: Place{"office", i + 1, 0}, Match: m, Action: pickOne(d, Accept, Accept, Accept, Drop)}
		c := forward
		switch n := d.IntN(20); {
		case n == 0:
			c = pre
			host, p := inside(), port()
			r.Action, r.To = Translate, Translation{Addrs: []Range{Single(host.First)}}
			r.Match = Match{{Field: DstAddr, Ranges: []Range{One(netip.AddrFrom4([4]byte{198, 51, 100, byte(d.IntN(256))}))}}, tcp, p}
		case n == 1:
			c = input
		case n < 5:
			c = rs.Chains[fmt.Sprint("net", d.IntN(8))]
		}
		c.Rules = append(c.Rules, r)
	}
	return rs
}

// edited is a ruleset with every so manieth rule changed.
func edited(rs *Ruleset, seed uint64, every int) *Ruleset {
	d := &dice{Rand: rand.New(rand.NewPCG(seed, 2))}
	out := *rs
	out.Chains = make(map[string]*Chain)
	for _, name := range sortedChains(rs) {
		c := *rs.Chains[name]
		c.Rules = nil
		for _, r := range rs.Chains[name].Rules {
			if d.one(every) {
				if d.one(2) {
					continue
				}
				changed := *r
				changed.Match = slices.DeleteFunc(slices.Clone(r.Match), func(t Term) bool { return t.Field == SrcAddr })
				r = &changed
			}
			c.Rules = append(c.Rules, r)
		}
		out.Chains[name] = &c
	}
	return &out
}

func BenchmarkChanges(b *testing.B) {
	before := office(1, 5000)
	after := edited(before, 1, 100)
	for _, q := range []struct {
		name string
		Query
	}{{"mail ports", Query{}}, {"all ports", Query{Ports: AllPorts()}}} {
		b.Run(q.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				got, err := Changes(before, after, q.Query)
				if err != nil {
					b.Fatal(err)
				}
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				b.Logf("%d opened and %d more, %d closed and %d more, %d moved and %d more: %v, %d MB of heap", len(got.Opened), got.MoreOpened, len(got.Closed), got.MoreClosed, len(got.Moved), got.MoreMoved, time.Since(start), m.HeapSys>>20)
			}
		})
	}
}
