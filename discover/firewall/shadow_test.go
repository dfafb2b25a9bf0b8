package firewall

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// To delete a line that is shadowed changes nothing, for no connection; and a line is found to be shadowed if it stands
// twice.
func TestShadowedLinesDoNothing(t *testing.T) {
	found, twice := 0, 0
	for seed := range uint64(models(t, 150)) {
		d := roll(seed)
		rs := d.ruleset()
		// One line stands twice.
		c := rs.Chains[rs.Steps[0].Chain]
		var again *Rule
		if first := &rs.Steps[0]; len(c.Rules) > 0 && !first.LastMatch && first.Hook <= Prerouting && first.When == nil {
			i := d.IntN(len(c.Rules))
			r := *c.Rules[i]
			if r.Action != Jump && r.Action != Goto && r.Action != Continue && !r.Disabled && r.Match.exact() {
				r.ID += "again"
				again = &r
				c.Rules = slices.Insert(c.Rules, i+1+d.IntN(len(c.Rules)-i), again)
			}
		}
		q := Query{Ports: small().Ports}
		list, err := rs.Shadows(q)
		if err != nil {
			t.Fatalf("model %d: %v", seed, err)
		}
		missed := again != nil
		for _, x := range list {
			if x.Rule == again {
				missed = false
				twice++
			}
			if len(x.By) == 0 || slices.ContainsFunc(x.By, func(e End) bool { return e.Rule == x.Rule }) {
				t.Fatalf("model %d: line %s is shadowed by %v\n%s", seed, x.Rule.ID, x.By, modelText(rs))
			}
			// Of a zone it is not known by which of its interfaces a connection comes: there more is possible than for any
			// of them.
			all := Query{In: []string{"eth0", "eth1", "eth2"}, Ports: q.Ports}
			got, err := Changes(rs, Apply(rs, Edit{Kind: Remove, Chain: x.Chain, Rule: x.Rule}), all)
			if err != nil {
				t.Fatalf("model %d: %v", seed, err)
			}
			if len(got.Opened)+len(got.Closed)+len(got.Moved) > 0 {
				t.Fatalf("model %d: line %s is said to be shadowed by %s, and without it other connections pass: %+v\n%s", seed, x.Rule.ID, endsText(x.By), got, modelText(rs))
			}
			found++
		}
		if missed && again.matched(d.every()) {
			t.Fatalf("model %d: line %s stands twice, and only %d lines are found to be shadowed\n%s", seed, again.ID, len(list), modelText(rs))
		}
	}
	if t.Logf("%d shadowed lines, %d of them stood twice", found, twice); (found < 20 || twice < 3) && !fewModels() {
		t.Error("too few lines are shadowed for a test")
	}
}

// exact reports whether a match can be neither more nor less than it says.
func (m Match) exact() bool {
	for _, t := range m {
		if t.Field != DstPort && t.Field != SrcPort || t.Word != "" {
			return false
		}
	}
	return true
}

// matched reports whether a rule that asks for ports alone matches some connection.
func (r *Rule) matched(flows []Flow) bool {
	return slices.ContainsFunc(flows, func(f Flow) bool {
		p := &packet{phase: First}
		p.numbers[SrcPort], p.numbers[DstPort] = f.SrcPort, f.DstPort
		return r.Match.holds(p) == yes
	})
}

func endsText(list []End) string {
	var out []string
	for _, e := range list {
		if e.Rule == nil {
			out = append(out, "policy")
		} else {
			out = append(out, e.Rule.ID)
		}
	}
	return strings.Join(out, " ")
}

func TestShadowNamesTheLinesThatDecide(t *testing.T) {
	net := func(field Field, first, last int) Term {
		d := &dice{}
		return Term{Field: field, Ranges: []Range{{AddrValue(d.addr(first)), AddrValue(d.addr(last))}}}
	}
	rule := func(id string, a Action, m ...Term) *Rule { return &Rule{ID: id, Action: a, Match: m} }
	to := func(id, chain string, a Action, m ...Term) *Rule {
		return &Rule{ID: id, Action: a, Chain: chain, Match: m}
	}
	geo := Term{Field: Unmodelled, Word: "geoip"}
	for _, c := range []struct {
		sentence string
		last     bool
		rules    []*Rule
		sub      []*Rule
		want     string
	}{
		{"a line is covered by one before it", false, []*Rule{rule("a", Accept, net(SrcAddr, 0, 7)), rule("b", Accept, net(SrcAddr, 2, 3))}, nil, "b by a, the same"},
		{"a line is covered by two together", false, []*Rule{rule("a", Accept, net(SrcAddr, 0, 3)), rule("b", Drop, net(SrcAddr, 4, 7)), rule("c", Accept, net(SrcAddr, 2, 5))}, nil, "c by a b"},
		{"a line that is covered in part is none", false, []*Rule{rule("a", Accept, net(SrcAddr, 0, 3)), rule("b", Drop, net(SrcAddr, 2, 5))}, nil, ""},
		{"a condition that is not modelled covers nothing", false, []*Rule{rule("a", Accept, net(SrcAddr, 0, 7), geo), rule("b", Accept, net(SrcAddr, 2, 3))}, nil, ""},
		{"a line with such a condition can be covered", false, []*Rule{rule("a", Drop, net(SrcAddr, 0, 7)), rule("b", Accept, net(SrcAddr, 2, 3), geo)}, nil, "b by a"},
		{"the chain that is jumped to covers", false, []*Rule{to("a", "sub", Jump), rule("b", Drop, net(SrcAddr, 2, 3))}, []*Rule{rule("c", Drop, net(SrcAddr, 2, 2)), rule("d", Reject, net(SrcAddr, 3, 3))}, "b by c d, the same"},
		{"what comes back covers nothing", false, []*Rule{to("a", "sub", Jump), rule("b", Drop, net(SrcAddr, 2, 3))}, []*Rule{rule("c", Return, net(SrcAddr, 2, 2)), rule("d", Drop)}, ""},
		{"a return covers in its chain", false, []*Rule{to("a", "sub", Jump), rule("b", Drop, net(SrcAddr, 2, 3))}, []*Rule{rule("c", Return, net(SrcAddr, 2, 3)), rule("d", Drop, net(SrcAddr, 2, 2))}, "d by c"},
		{"a jump can be covered, and what it leads to", false, []*Rule{rule("a", Drop, net(SrcAddr, 0, 7)), to("b", "sub", Jump, net(SrcAddr, 2, 3))}, []*Rule{rule("c", Drop)}, "b by a; c by a, the same"},
		{"a chain that is jumped to perhaps covers nothing", false, []*Rule{to("a", "sub", Jump, geo), rule("b", Drop, net(SrcAddr, 2, 3))}, []*Rule{rule("c", Drop)}, ""},
		{"behind a goto comes nothing", false, []*Rule{to("a", "sub", Goto), rule("b", Drop)}, []*Rule{rule("c", Drop, net(SrcAddr, 2, 3))}, "b by c a"},
		{"the last match decides", true, []*Rule{rule("a", Accept, net(SrcAddr, 2, 3)), rule("b", Drop, net(SrcAddr, 0, 7))}, nil, "a by b"},
		{"interfaces together are not all", false, []*Rule{rule("a", Drop, Term{Field: In, Names: []string{"eth0"}}), rule("b", Drop, Term{Field: In, Names: []string{"eth1"}}), rule("c", Drop)}, nil, ""},
		{"other ports are not asked for", false, []*Rule{rule("a", Accept, net(SrcAddr, 0, 7)), rule("b", Accept, net(SrcAddr, 2, 3), Term{Field: DstPort, Ranges: []Range{Ports(80, 80)}})}, nil, ""},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			rs := &Ruleset{
				Interfaces: []Interface{{Name: "eth0"}, {Name: "eth1"}},
				Steps:      []Step{{Name: "filter", Chain: "base", LastMatch: c.last, Stateful: true}},
				Chains:     map[string]*Chain{"base": {Name: "base", Rules: c.rules, Policy: Drop}, "sub": {Name: "sub", Rules: c.sub}},
			}
			list, err := rs.Shadows(Query{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, x := range list {
				s := fmt.Sprintf("%s by %s", x.Rule.ID, endsText(x.By))
				if x.Same {
					s += ", the same"
				}
				got = append(got, s)
			}
			if s := strings.Join(got, "; "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
		})
	}
}

// ladder is rules whose chains jump to the next chain twice: many ways lead to the last one.
func ladder(depth int, rungs func(at int) [2]Match, first, last []*Rule) *Ruleset {
	rs := &Ruleset{
		Steps:  []Step{{Name: "filter", Chain: "c0", Stateful: true}},
		Chains: map[string]*Chain{fmt.Sprint("c", depth): {Name: fmt.Sprint("c", depth), Rules: last}},
	}
	for i := range depth {
		c := &Chain{Name: fmt.Sprint("c", i), Policy: Drop}
		if i == 0 {
			c.Rules = first
		}
		for k, m := range rungs(i) {
			c.Rules = append(c.Rules, &Rule{ID: fmt.Sprint(i, "/", k), Action: Jump, Chain: fmt.Sprint("c", i+1), Match: m})
		}
		rs.Chains[c.Name] = c
	}
	return rs
}

// 2^40 ways lead through the chains: who takes each of them does not come to an end.
func TestShadowsOfALadderOfJumps(t *testing.T) {
	always := func(int) [2]Match { return [2]Match{} }
	bit := func(at int) [2]Match { // each way is that of other connections
		var zero []Range
		for p := 0; p < 1<<16; p += 2 << at {
			zero = append(zero, Ports(uint16(p), uint16(p+1<<at-1)))
		}
		return [2]Match{{{Field: SrcPort, Ranges: zero}}, {{Field: SrcPort, Not: true, Ranges: zero}}}
	}
	host := func(text string) Term { return Term{Field: SrcAddr, Ranges: []Range{One(netip.MustParseAddr(text))}} }
	some := func() []*Rule { return []*Rule{{ID: "some", Action: Accept, Match: Match{host("192.0.2.1")}}} }
	covered := &Rule{ID: "covered", Action: Drop, Match: Match{host("192.0.2.9")}}
	cover := &Rule{ID: "cover", Action: Accept, Match: Match{host("192.0.2.9")}}
	for _, c := range []struct {
		sentence string
		rs       *Ruleset
		want     string
		err      error
	}{
		{"every line may decide", ladder(40, always, nil, some()), "", nil},
		{"a line at its end is covered at its beginning", ladder(40, always, []*Rule{cover}, append(some(), covered)), "", errManyWays},
		{"a line behind it is covered at its end", func() *Ruleset {
			rs := ladder(40, always, nil, append(some(), cover))
			rs.Chains["c0"].Rules = append(rs.Chains["c0"].Rules, covered)
			return rs
		}(), "covered by cover", nil},
		{"each way has connections of its own", ladder(6, bit, nil, some()), "", nil},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			list, err := c.rs.Shadows(Query{})
			if err != c.err {
				t.Fatalf("got error %v, want %v", err, c.err)
			}
			var got []string
			for _, x := range list {
				got = append(got, x.Rule.ID+" by "+endsText(x.By))
			}
			if s := strings.Join(got, "; "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
		})
	}
}

func TestAnEditInALadderOfJumpsIsProved(t *testing.T) {
	accept := &Rule{ID: "accept", Action: Accept, Match: Match{{Field: DstPort, Ranges: []Range{Ports(25, 25)}}}}
	rs := ladder(30, func(int) [2]Match { return [2]Match{} }, nil, []*Rule{accept})
	list, err := rs.Close(NewFlow("", netip.MustParseAddrPort("192.0.2.1:0"), netip.MustParseAddrPort("192.0.2.25:25")), nil)
	if err != nil || len(list) == 0 || !list[0].Closes {
		t.Errorf("got %v (%v), want edits that close", list, err)
	}
}
