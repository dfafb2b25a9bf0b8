package firewall

import (
	"fmt"
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
