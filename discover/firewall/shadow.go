package firewall

import (
	"errors"
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
	// leads, once it is known which rules are never active, are the chains that lead to one: now the lines in their place
	// are looked for.
	leads map[*Chain]bool
	// Of the step that is looked at: the chains that were visited, what became of connections in chains that were jumped
	// to, and how many rules may still be looked at again.
	visited map[*Chain]bool
	passed  map[visit]passage
	left    int
	circles int
}

// watched is what one rule does.
type watched struct {
	Shadow
	active bool // it decides, or may decide, about some connection
}

// passage is which lines of a chain surely decide, and what comes back.
type passage struct {
	ends     []End
	returned flowSet
}

// mostAgain bounds the rules that are looked at once more, since several jumps lead to them.
const mostAgain = 1 << 21

var errManyWays = errors.New("not judged: too many jumps lead through the same chains")

// step looks at the rules of a step that some connections come to.
func (w *watch) step(st *stroll, set flowSet) {
	c := st.rs.Chains[st.step.Chain]
	switch {
	case c == nil:
	case w.leads == nil:
		w.seek(st, c, set)
	case w.leads[c] && w.left >= 0:
		w.visited, w.passed, w.left = make(map[*Chain]bool), make(map[visit]passage), mostAgain
		w.visit(st, c, set, set, nil, nil)
	}
}

// watchedRule is a rule in a chain that some connections come into.
type watchedRule struct {
	*Rule
	is   *watched
	wish flowSet // would come to it, if no line before had decided
	in   flowSet // of a jump: may come to it
	id   int32
}

// look asks which rules of a chain are active. reach may come to it, and wish would if no line before had decided.
func (w *watch) look(st *stroll, c *Chain, reach, wish flowSet, from []*Chain) []watchedRule {
	list := []line{{off, none, st.not(reach)}}
	ask := st.cascade()
	ask.marks, ask.wanted = make(map[int32]bool), make(map[int32]bool)
	var rules []watchedRule
	for i, r := range st.order(c) {
		m := st.match(r)
		in := st.and(wish, m.may)
		if in == none {
			continue
		}
		h := watchedRule{Rule: r, is: w.rules[r], wish: in, id: single + int32(i)}
		must := m.must
		if st.jumps(r) {
			ask.wanted[h.id] = true
			if r.Action == Jump {
				sub := st.chain(st.rs.Chains[r.Chain], in, from)
				must = st.without(must, st.or(st.without(in, of(sub, off)), of(sub, back)))
			}
		}
		list = append(list, line{h.id, m.may, must})
		if h.is == nil {
			h.is = &watched{Shadow: Shadow{Step: st.step, Chain: c, Rule: r}}
			w.rules[r] = h.is
			w.order = append(w.order, h.is)
		} else if h.is.active {
			ask.marks[h.id] = true // nothing more is to be learnt
		}
		rules = append(rules, h)
	}
	fates := ask.run(list)
	for i := range rules {
		h := &rules[i]
		h.is.active = h.is.active || ask.marks[h.id]
		h.in = of(fates, h.id)
	}
	return rules
}

// seek finds the active rules of a chain, and of those that it leads to. What a rule does with a connection does not
// depend on the jumps that brought it there: each chain is looked at for those that did not come to it before.
func (w *watch) seek(st *stroll, first *Chain, set flowSet) {
	type come struct{ reach, wish flowSet }
	seen, wait := map[*Chain]come{first: {set, set}}, map[*Chain]come{first: {set, set}}
	for queue := []*Chain{first}; len(queue) > 0 && !st.full; queue = queue[1:] {
		c := queue[0]
		now := wait[c]
		delete(wait, c)
		for _, h := range w.look(st, c, now.reach, st.or(now.wish, now.reach), []*Chain{c}) {
			to := st.rs.Chains[h.Chain]
			if !st.jumps(h.Rule) || to == nil {
				continue
			}
			was := seen[to]
			more := come{st.without(h.in, was.reach), st.without(h.wish, was.wish)}
			if more.reach == none && more.wish == none {
				continue
			}
			seen[to] = come{st.or(was.reach, more.reach), st.or(was.wish, more.wish)}
			if before, ok := wait[to]; ok {
				more = come{st.or(before.reach, more.reach), st.or(before.wish, more.wish)}
			} else {
				queue = append(queue, to)
			}
			wait[to] = more
		}
	}
}

// visit looks for the lines in the place of those that are never active. path is the jumps that led to the chain from the
// step's first chain.
func (w *watch) visit(st *stroll, c *Chain, reach, wish flowSet, from []*Chain, path []*Rule) {
	if !w.leads[c] || wish == none || slices.Contains(from, c) || len(from) > 64 || st.full {
		return
	}
	again := w.visited[c]
	if w.visited[c] = true; again {
		if w.left -= len(c.Rules) + len(path); w.left < 0 {
			return
		}
	}
	from = append(from, c)
	rules := w.look(st, c, reach, wish, from)
	for _, h := range rules {
		if !h.is.active {
			w.cover(st, h.is, st.rs.Chains[st.step.Chain], path, h.wish, again)
		}
	}
	for _, h := range rules {
		if st.jumps(h.Rule) {
			w.visit(st, st.rs.Chains[h.Chain], h.in, h.wish, from, append(slices.Clip(path), h.Rule))
		}
	}
}

// lead are the chains that lead to rules which are never active.
func (w *watch) lead(rs *Ruleset) map[*Chain]bool {
	out := make(map[*Chain]bool)
	by := make(map[*Chain][]*Chain) // who jumps to a chain
	for _, c := range rs.Chains {
		for _, r := range c.Rules {
			if to := rs.Chains[r.Chain]; to != nil && (r.Action == Jump || r.Action == Goto) {
				by[to] = append(by[to], c)
			}
		}
	}
	var queue []*Chain
	put := func(c *Chain) {
		if !out[c] {
			out[c] = true
			queue = append(queue, c)
		}
	}
	for _, is := range w.order {
		if !is.active {
			put(is.Chain)
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		for _, c := range by[queue[0]] {
			put(c)
		}
	}
	return out
}

// jumps reports whether a rule goes on in another chain.
func (w *stroll) jumps(r *Rule) bool {
	return !w.step.LastMatch && (r.Action == Jump || r.Action == Goto)
}

// cover follows the connections of a rule through a chain, by jumps that lead to the rule, and books which lines
// surely decide about them. again: it did so before, by other jumps.
func (w *watch) cover(st *stroll, is *watched, c *Chain, path []*Rule, set flowSet, again bool) {
	for _, r := range st.order(c) {
		if set == none || r == is.Rule && len(path) == 0 {
			return
		}
		if again {
			if w.left--; w.left < 0 {
				return
			}
		}
		m := st.match(r)
		if len(path) > 0 && r == path[0] {
			w.cover(st, is, st.rs.Chains[r.Chain], path[1:], st.and(set, m.may), again)
			return
		}
		var ends []End
		ends, set = w.past(st, c, r, m, set, nil)
		for _, e := range ends {
			is.by(e)
		}
	}
}

// past is what of a set goes on behind a rule that is not on the path, and which lines surely decide about the others.
func (w *watch) past(st *stroll, c *Chain, r *Rule, m bounds, set flowSet, from []*Chain) ([]End, flowSet) {
	sure := st.and(set, m.must)
	if sure == none {
		return nil, set
	}
	here := End{c, r, r.Action}
	if !st.jumps(r) {
		return []End{here}, st.without(set, sure)
	}
	sub := st.rs.Chains[r.Chain]
	if sub == nil || slices.Contains(from, sub) || len(from) > 64 {
		w.circles++
		return []End{here}, st.without(set, sure) // what happens there nobody knows, and it does not come back
	}
	p := w.within(st, sub, sure, from)
	if r.Action == Goto && len(from) == 0 && p.returned != none { // it never gets to the rule
		return append(slices.Clip(p.ends), here), st.without(set, sure)
	}
	return p.ends, st.or(st.without(set, sure), p.returned)
}

// within is what happens to a set in a chain that it is sent to.
func (w *watch) within(st *stroll, c *Chain, in flowSet, from []*Chain) passage {
	key := visit{c, in}
	if p, ok := w.passed[key]; ok {
		return p
	}
	if w.left -= len(c.Rules); w.left < 0 {
		return passage{nil, in}
	}
	circles := w.circles
	from = append(slices.Clip(from), c)
	p := passage{returned: none}
	known := make(map[End]bool)
	for _, next := range c.Rules {
		m := st.match(next)
		if next.Action == Return {
			p.returned = st.or(p.returned, st.and(in, m.must))
			in = st.without(in, m.must)
			continue
		}
		before := in
		var ends []End
		ends, in = w.past(st, c, next, m, in, from)
		for _, e := range ends {
			if !known[e] {
				known[e] = true
				p.ends = append(p.ends, e)
			}
		}
		if next.Action == Goto && st.jumps(next) {
			// What comes back from where it went goes on behind the jump to this chain.
			p.returned = st.or(p.returned, st.and(in, st.and(before, m.must)))
			in = st.without(in, m.must)
		}
	}
	p.returned = st.or(p.returned, in)
	if w.circles == circles { // what a circle of jumps does depends on where it is entered
		w.passed[key] = p
	}
	return p
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
	if w.leads = w.lead(rs); len(w.leads) == 0 {
		return nil, nil
	}
	if err := look(); err != nil {
		return nil, err
	}
	if w.left < 0 {
		return nil, errManyWays
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
