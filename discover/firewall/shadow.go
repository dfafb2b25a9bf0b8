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

// step looks at the rules of a step that some connections come to.
func (w *watch) step(st *stroll, set flowSet) {
	if c := st.rs.Chains[st.step.Chain]; c != nil {
		w.visit(st, c, set, set, nil, nil)
	}
}

// visit looks at the rules of a chain. reach may come to it, and wish would if no line before had decided. path is the
// jumps that led there from the step's first chain.
func (w *watch) visit(st *stroll, c *Chain, reach, wish flowSet, from []*Chain, path []*Rule) {
	if c == nil || wish == none || slices.Contains(from, c) || len(from) > 64 || st.full {
		return
	}
	from = append(from, c)
	list := []line{{off, none, st.not(reach)}}
	ask := st.cascade()
	ask.marks, ask.wanted = make(map[int32]bool), make(map[int32]bool)
	type here struct {
		*Rule
		wish flowSet
		id   int32
	}
	var rules []here
	for i, r := range st.order(c) {
		m := st.match(r)
		in := st.and(wish, m.may)
		if in == none {
			continue
		}
		h := here{r, in, single + int32(i)}
		rules = append(rules, h)
		must := m.must
		if st.jumps(r) {
			ask.wanted[h.id] = true
			if r.Action == Jump {
				sub := st.chain(st.rs.Chains[r.Chain], in, from)
				must = st.without(must, st.or(st.without(in, of(sub, off)), of(sub, back)))
			}
		}
		list = append(list, line{h.id, m.may, must})
		if is := w.rules[r]; is == nil {
			is = &watched{Shadow: Shadow{Step: st.step, Chain: c, Rule: r}}
			w.rules[r] = is
			w.order = append(w.order, is)
		} else if is.active {
			ask.marks[h.id] = true // nothing more is to be learnt
		}
	}
	fates := ask.run(list)
	for _, h := range rules {
		is := w.rules[h.Rule]
		is.active = is.active || ask.marks[h.id]
		if w.blame && !is.active {
			w.cover(st, is, st.rs.Chains[st.step.Chain], path, h.wish)
		}
		if st.jumps(h.Rule) {
			w.visit(st, st.rs.Chains[h.Chain], of(fates, h.id), h.wish, from, append(slices.Clip(path), h.Rule))
		}
	}
}

// jumps reports whether a rule goes on in another chain.
func (w *stroll) jumps(r *Rule) bool {
	return !w.step.LastMatch && (r.Action == Jump || r.Action == Goto)
}

// cover follows the connections of a rule through a chain, by jumps that lead to the rule, and books which lines
// surely decide about them.
func (w *watch) cover(st *stroll, is *watched, c *Chain, path []*Rule, set flowSet) {
	for _, r := range st.order(c) {
		if set == none || r == is.Rule && len(path) == 0 {
			return
		}
		m := st.match(r)
		if len(path) > 0 && r == path[0] {
			w.cover(st, is, st.rs.Chains[r.Chain], path[1:], st.and(set, m.may))
			return
		}
		set = w.past(st, is, c, r, m, set, nil)
	}
}

// past is what of a set goes on behind a rule that is not on the path.
func (w *watch) past(st *stroll, is *watched, c *Chain, r *Rule, m bounds, set flowSet, from []*Chain) flowSet {
	sure := st.and(set, m.must)
	if sure == none {
		return set
	}
	if st.jumps(r) {
		sub := st.rs.Chains[r.Chain]
		if sub == nil || slices.Contains(from, sub) || len(from) > 64 {
			is.by(End{c, r, r.Action}) // what happens there nobody knows, and it does not come back
			return st.without(set, sure)
		}
		from = append(slices.Clip(from), sub)
		in, returned := sure, none
		for _, next := range sub.Rules {
			m := st.match(next)
			if next.Action == Return {
				returned = st.or(returned, st.and(in, m.must))
				in = st.without(in, m.must)
				continue
			}
			before := in
			in = w.past(st, is, sub, next, m, in, from)
			if next.Action == Goto && st.jumps(next) {
				// What comes back from where it went goes on behind r.
				returned = st.or(returned, st.and(in, st.and(before, m.must)))
				in = st.without(in, m.must)
			}
		}
		returned = st.or(returned, in)
		if r.Action == Goto && len(from) == 1 && returned != none { // it never gets to the rule
			is.by(End{c, r, r.Action})
			return st.without(set, sure)
		}
		return st.or(st.without(set, sure), returned)
	}
	is.by(End{c, r, r.Action})
	return st.without(set, sure)
}

func (is *watched) by(e End) {
	if !slices.Contains(is.By, e) {
		is.By = append(is.By, e)
	}
}

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
				s.rest()
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
		is.Same = len(is.By) > 0
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
