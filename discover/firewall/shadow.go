package firewall

import (
	"slices"
)

// Shadow is a line that never decides anything about the connections that a query asks for.
type Shadow struct {
	Step  *Step
	Chain *Chain
	Rule  *Rule
	// By are the lines that decide in its place, in the order of the packets; at most 20.
	By   []End
	More int // further ones
	// Same: all of them do what the line would do. It is redundant; else it is in error, or they are.
	Same bool
}

// watch looks at what single rules do.
type watch struct {
	rules map[*Rule]*watched
	order []*watched
	blame bool // it is known which are never active: now the lines in their place are looked for
}

// watched is what one rule does.
type watched struct {
	Shadow
	active bool // it decides, or may decide, about some connection
}

func (w *watch) step(st *stroll, set node) {}

// Shadows lists the lines that never decide anything about the connections that a query asks for, because the lines
// before them (with LastMatch: behind them) surely do. It looks at every interface that the device or a rule names, and
// at any other one. A line that no packet would meet even if it stood first is not listed.
func (rs *Ruleset) Shadows(q Query) ([]Shadow, error) {
	w := &watch{rules: make(map[*Rule]*watched)}
	look := func() error {
		for _, four := range []bool{true, false} {
			s := newSpace(&q, four, mostNodes)
			for _, in := range rs.entrances(&q) {
				if _, err := s.through(rs, in, w); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := look(); err != nil {
		return nil, err
	}
	w.blame = true
	if err := look(); err != nil {
		return nil, err
	}
	var out []Shadow
	for _, is := range w.order {
		if is.active {
			continue
		}
		is.Same = true
		for _, e := range is.By {
			is.Same = is.Same && is.Rule.does(e)
		}
		if n := len(is.By); n > 20 {
			is.By, is.More = is.By[:20], n-20
		}
		out = append(out, is.Shadow)
	}
	return out, nil
}

// does reports whether a rule does with a packet what another line does.
func (r *Rule) does(e End) bool {
	kind := func(a Action) Action {
		if a == Reject {
			return Drop
		}
		return a
	}
	switch {
	case kind(r.Action) != kind(e.Action):
		return false
	case r.Action == Accept, r.Action == Drop, r.Action == Reject, r.Action == Exempt:
		return true
	}
	return false // where it goes to, or what it translates to, may differ
}

// entrances are all ways into the device that rules could tell apart.
func (rs *Ruleset) entrances(q *Query) []places {
	var out []places
	for _, zone := range q.In {
		out = append(out, rs.places(zone))
	}
	if len(q.In) > 0 {
		return out
	}
	known := make(map[string]bool)
	for i := range rs.Interfaces {
		names := rs.Interfaces[i].names()
		out = append(out, places{names})
		for _, n := range names {
			known[n] = true
		}
	}
	var terms func(m Match)
	add := func(name string) {
		if n := len(name) - 1; n >= 0 && name[n] == '*' {
			name = name[:n] + "\x00" // one that no other pattern names
		}
		if !known[name] {
			known[name] = true
			out = append(out, places{{name}})
		}
	}
	terms = func(m Match) {
		for i := range m {
			if t := &m[i]; t.Field == In || t.Field == Out {
				for _, n := range t.Names {
					add(n)
				}
			}
			for _, m := range m[i].Any {
				terms(m)
			}
		}
	}
	add("*")
	for i := range rs.Steps {
		terms(rs.Steps[i].When)
	}
	for _, name := range sortedChains(rs) {
		for _, r := range rs.Chains[name].Rules {
			terms(r.Match)
		}
	}
	return out
}

func sortedChains(rs *Ruleset) []string {
	out := make([]string, 0, len(rs.Chains))
	for name := range rs.Chains {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
