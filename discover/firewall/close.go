package firewall

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Candidate is an edit, and what it does.
type Candidate struct {
	Edit
	Proof
	Text []string // as one would tell it to the device; nil: its language has no words for it
}

// Proof is what an edit does to the model, computed for every connection, zone and port.
type Proof struct {
	// Closes: no connection of the opening is let through any more, not even possibly.
	Closes bool
	// Unmasks: the server sees the client's own address instead of a translated one.
	Unmasks bool
	// KeepBroken is an approved connection that was let through and is so no more, or less surely. nil: there is none.
	KeepBroken *Flow
	Kept       string // the name of what was approved
	// AlsoCloses is what else is less permitted than before, Opens what is more, and Moves what goes elsewhere; the
	// first boxes, and how many more there are.
	AlsoCloses, Opens, Moves             []Box
	MoreAlsoCloses, MoreOpens, MoreMoves uint64
	// Size is how many connections AlsoCloses has, with every source port.
	Size float64
}

// Clean reports whether an edit closes the opening and changes nothing else.
func (p *Proof) Clean() bool {
	return p.Closes && p.KeepBroken == nil && len(p.AlsoCloses)+len(p.Opens)+len(p.Moves) == 0
}

// Apply is a ruleset after an edit. The one before stays as it is.
func Apply(rs *Ruleset, e Edit) *Ruleset {
	out := *rs
	out.Chains = maps.Clone(rs.Chains)
	if e.Kind == DropMember {
		for name, c := range rs.Chains {
			out.Chains[name] = c.dropping(e.Object, e.Member)
		}
		return &out
	}
	for name, c := range rs.Chains {
		if c != e.Chain {
			continue
		}
		changed := *c
		at := max(0, min(e.At, len(c.Rules)))
		if i := slices.Index(c.Rules, e.Rule); i >= 0 {
			at = i
		}
		switch {
		case e.Kind == DenyAbove:
			changed.Rules = slices.Insert(slices.Clone(c.Rules), at, e.line(Drop))
		case e.Kind == StopNAT && e.Dst.IsValid():
			changed.Rules = slices.Insert(slices.Clone(c.Rules), at, e.line(Exempt))
		case at == len(c.Rules):
		case e.Kind == Narrow:
			r := *c.Rules[at]
			r.Match = append(slices.Clip(r.Match), sources(e.Sources))
			changed.Rules = slices.Clone(c.Rules)
			changed.Rules[at] = &r
		default:
			changed.Rules = slices.Delete(slices.Clone(c.Rules), at, at+1)
		}
		out.Chains[name] = &changed
	}
	return &out
}

// line is the line that an edit adds.
func (e *Edit) line(a Action) *Rule {
	r := &Rule{ID: "new", Where: e.Chain.Where, Text: "the new line", Action: a, Quick: e.Step.LastMatch, Match: Match{
		{Field: DstAddr, Ranges: []Range{One(e.Dst.Addr())}},
		{Field: DstPort, Ranges: []Range{Ports(e.Dst.Port(), e.Dst.Port())}},
	}}
	if e.Rule != nil {
		r.Where = e.Rule.Where
	}
	if e.Sources != nil {
		r.Match = append(r.Match, sources(e.Sources))
	}
	return r
}

func sources(list []netip.Prefix) Term {
	return Term{Field: SrcAddr, Ranges: Merge(append(prefixRanges(list, true), Without(prefixRanges(list, false), []Range{AllIPv4()})...))}
}

// dropping is a chain whose rules have an object without a member; the same chain, where none uses it.
func (c *Chain) dropping(object string, member Range) *Chain {
	var drop func(m Match) (Match, bool)
	drop = func(m Match) (Match, bool) {
		out, changed := slices.Clone(m), false
		for i := range out {
			t := &out[i]
			if t.Object == object && t.Ranges != nil {
				left := Without(t.Ranges, []Range{member})
				changed = changed || !slices.Equal(left, t.Ranges)
				t.Ranges = left
			}
			any := slices.Clone(t.Any)
			for k := range any {
				m, did := drop(any[k])
				if did {
					any[k], t.Any, changed = m, any, true
				}
			}
		}
		return out, changed
	}
	out := c
	for i, r := range c.Rules {
		m, did := drop(r.Match)
		if !did {
			continue
		}
		if out == c {
			copied := *c
			copied.Rules = slices.Clone(c.Rules)
			out = &copied
		}
		changed := *r
		changed.Match = m
		out.Rules[i] = &changed
	}
	return out
}

const (
	mostCandidates = 64
	mostSources    = 48 // prefixes that a line is narrowed to
)

// Close finds edits that close an opening, and proves of each what it does. The best come first: those that close the
// opening, break nothing that is approved, open nothing, and close the least besides.
func (rs *Ruleset) Close(opening Flow, keep []Keep) ([]Candidate, error) {
	var out []Candidate
	for _, e := range rs.edits(opening, keep) {
		p, err := rs.prove(e, opening, keep)
		if err != nil {
			return nil, err
		}
		c := Candidate{Edit: e, Proof: *p}
		for _, l := range languages {
			if l.name == rs.Language && l.edit != nil {
				c.Text = l.edit(rs, e)
			}
		}
		out = append(out, c)
	}
	bad := func(yes bool) int {
		if yes {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(out, func(a, b Candidate) int {
		return cmp.Or(
			bad(!a.Closes)-bad(!b.Closes),
			bad(a.KeepBroken != nil)-bad(b.KeepBroken != nil),
			bad(len(a.Opens) > 0)-bad(len(b.Opens) > 0),
			cmp.Compare(a.Size, b.Size),
			bad(len(a.Moves) > 0)-bad(len(b.Moves) > 0),
			cmp.Compare(a.Kind, b.Kind),
		)
	})
	return out, nil
}

// edits are the candidates: for each line that lets the opening through, and each translation on its way.
func (rs *Ruleset) edits(opening Flow, keep []Keep) (out []Edit) {
	add := func(e Edit) {
		same := func(o Edit) bool {
			return o.Kind == e.Kind && o.Chain == e.Chain && o.At == e.At && o.Dst == e.Dst && slices.Equal(o.Sources, e.Sources) && o.Object == e.Object && o.Member == e.Member
		}
		if len(out) < mostCandidates && !slices.ContainsFunc(out, same) {
			out = append(out, e)
		}
	}
	d := rs.Decide(opening)
	now := opening
	for _, h := range d.Hops {
		if h.Packet != First {
			continue
		}
		seen := now
		if h.Step.Original {
			seen.Dst, seen.DstPort = opening.Dst, opening.DstPort
		}
		target := netip.AddrPort{}
		if seen.Dst.First == seen.Dst.Last {
			target = netip.AddrPortFrom(seen.Dst.First.Addr(), uint16(seen.DstPort.First.Lo))
		}
		for _, end := range h.Ends {
			if end.Chain == nil {
				continue
			}
			e := Edit{Step: h.Step, Chain: end.Chain, Rule: end.Rule, At: len(end.Chain.Rules)}
			if end.Rule != nil {
				e.At = slices.Index(end.Chain.Rules, end.Rule)
			}
			switch {
			case h.Step.Kind != Filter && end.Action == Translate:
				e.Kind = StopNAT
				add(e)
				for _, who := range who(seen.Src) {
					if target.IsValid() {
						e.Sources, e.Dst = who, target
						add(e)
					}
				}
			case h.Step.Kind == Filter && end.Action != Drop && end.Action != Reject && end.Action != Uncertain:
				for _, who := range who(seen.Src) {
					if target.IsValid() {
						e.Kind, e.Sources, e.Dst = DenyAbove, who, target
						add(e)
					}
				}
				e.Sources, e.Dst = nil, netip.AddrPort{}
				if end.Rule == nil {
					continue
				}
				e.Kind = Remove
				add(e)
				for _, who := range end.Rule.narrower(opening, seen, keep) {
					// A line that nobody of the family passes any more is better deleted.
					if slices.ContainsFunc(who, func(p netip.Prefix) bool { return family(PrefixRange(p)) == family(seen.Src) }) {
						e.Kind, e.Sources = Narrow, who
						add(e)
					}
				}
				e.Sources = nil
				for _, m := range rs.dropped(end.Rule.Match, seen) {
					e.Kind, e.Object, e.Member = DropMember, m.Object, m.Ranges[0]
					add(e)
				}
			}
		}
		if h.Step.Kind != Filter {
			now = h.To
		}
	}
	return out
}

// who lists for whom a line may deny: the sources of an opening, and all.
func who(src Range) [][]netip.Prefix {
	if src == family(src) {
		return [][]netip.Prefix{nil}
	}
	if p := src.Prefixes(); len(p) <= mostSources {
		return [][]netip.Prefix{p, nil}
	}
	return [][]netip.Prefix{nil}
}

// narrower lists who a rule could be for alone, without the sources of an opening: who is approved for what it permits,
// and who it is for now.
func (r *Rule) narrower(opening, seen Flow, keep []Keep) (out [][]netip.Prefix) {
	var approved []Range
	for _, k := range keep {
		for _, t := range r.Match {
			if t.Field == DstAddr && !t.Not && k.Dst.IsValid() && place(t.Ranges, PrefixRange(k.Dst)) == no && place([]Range{PrefixRange(k.Dst)}, opening.Dst) == no {
				k.Sources = nil // it is about something else
			}
		}
		for _, p := range k.Sources {
			approved = append(approved, PrefixRange(p))
		}
	}
	now := []Range{family(seen.Src)}
	var other []netip.Prefix // the other family, which the rule may be for, too
	if seen.Src.First.Addr().Is4() {
		other = AllIPv6().Prefixes()
	} else {
		other = AllIPv4().Prefixes()
	}
	for _, t := range r.Match {
		switch {
		case t.Field == SrcAddr && !t.Not:
			now, other = t.Ranges, nil
		case t.Field == Family:
			other = nil
		}
	}
	for i, list := range [][]Range{Merge(approved), now} {
		var who []netip.Prefix
		for _, left := range Without(list, []Range{seen.Src}) {
			who = append(who, left.Prefixes()...)
		}
		if i == 1 {
			who = append(who, other...)
		}
		if len(who) > 0 && len(who) <= mostSources {
			out = append(out, who)
		}
	}
	return out
}

// dropped lists the members of objects by which a match holds for a connection. Where the export does not tell what an
// object holds, those are the range as the rule has it, and the single value in it: ranges that touch are joined.
func (rs *Ruleset) dropped(m Match, f Flow) (out []Term) {
	for _, t := range m {
		v := Range{}
		switch t.Field {
		case SrcAddr:
			v = f.Src
		case DstAddr, OrigDst:
			v = f.Dst
		case DstPort, OrigDstPort:
			v = f.DstPort
		case AnyOf:
			for _, m := range t.Any {
				out = append(out, rs.dropped(m, f)...)
			}
			continue
		default:
			continue
		}
		if t.Object == "" || t.Not {
			continue
		}
		if rs.members != nil {
			told := rs.members[t.Object]
			var list []Range
			for r := range told {
				if r.holds(v.First) && r.holds(v.Last) {
					list = append(list, r)
				}
			}
			slices.SortFunc(list, func(a, b Range) int { return cmp.Or(a.First.Compare(b.First), a.Last.Compare(b.Last)) })
			for _, r := range list {
				out = append(out, Term{Object: t.Object, Ranges: []Range{r}})
			}
			continue
		}
		for _, r := range t.Ranges {
			if !r.holds(v.First) || !r.holds(v.Last) {
				continue
			}
			out = append(out, Term{Object: t.Object, Ranges: []Range{r}})
			if v != r {
				out = append(out, Term{Object: t.Object, Ranges: []Range{v}})
			}
		}
	}
	return out
}

// told is a member of an object, as an export has it.
type told struct {
	Range
	member
}

// tell keeps the members of an object for an Edit that drops one. One that others overlap is left out: what it holds
// would stay in the object.
func (rs *Ruleset) tell(object string, list []told) {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b told) int { return a.First.Compare(b.First) })
	of := make(map[Range]member)
	last := Value{} // of all before
	for i, t := range list {
		if (i == 0 || last.less(t.First)) && (i+1 == len(list) || t.Last.less(list[i+1].First)) {
			of[t.Range] = t.member
		}
		if last.less(t.Last) {
			last = t.Last
		}
	}
	rs.members[object] = of
}

// changedRules are the rules that are in one ruleset and not in another.
func changedRules(in, other *Ruleset) map[*Rule]bool {
	out := make(map[*Rule]bool)
	for name, c := range in.Chains {
		o := other.Chains[name]
		if c == o {
			continue
		}
		for _, r := range c.Rules {
			out[r] = true
		}
		for _, r := range o.Rules {
			delete(out, r)
		}
	}
	return out
}

// prove computes what an edit does. Only connections that a changed rule may match can fare differently: it looks at
// those, of every zone and port, and no others.
func (rs *Ruleset) prove(e Edit, opening Flow, keep []Keep) (*Proof, error) {
	after := Apply(rs, e)
	q := Query{Ports: AllPorts(), Most: 10}
	zones := q.zones(rs)
	for _, k := range keep {
		zones = append(zones, k.zone(&opening))
	}
	zones = rs.entries(append([]string{opening.In}, zones...))
	removed, added := changedRules(rs, after), changedRules(after, rs)
	p := &Proof{Closes: true}
	for _, four := range []bool{true, false} {
		s := newSpace(&q, four, mostNodes)
		whole := s.domain
		closed, opened, moved := byZone{universe: s, zones: zones}, byZone{universe: s, zones: zones}, byZone{universe: s, zones: zones}
		for _, zone := range zones {
			in := rs.places(zone)
			s.domain = whole
			a, err := s.touching(rs, in, removed)
			if err != nil {
				return nil, err
			}
			b, err := s.touching(after, in, added)
			if err != nil {
				return nil, err
			}
			s.domain = s.or(a, b)
			was, err := s.through(rs, in, nil)
			if err != nil {
				return nil, err
			}
			is, err := s.through(after, in, nil)
			if err != nil {
				return nil, err
			}
			d := s.difference(was.bounds, is.bounds)
			less := s.or(d[2], d[3])
			for _, k := range keep {
				if rs.entry(k.zone(&opening)) != rs.entry(zone) || p.KeepBroken != nil {
					continue
				}
				if broken := s.and(less, s.approved(&k)); broken != none {
					f, err := s.witness(broken, zone)
					if err != nil {
						return nil, err
					}
					p.KeepBroken, p.Kept = &f, k.Name
				}
			}
			if zone == opening.In {
				s.domain = s.and(whole, s.flow(&opening))
				still, err := s.through(after, in, nil)
				if err != nil {
					return nil, err
				}
				p.Closes = p.Closes && still.may == none
				less = s.without(less, s.domain)
			} else if rs.leadsInto(zone, opening.In) { // the same opening, by one of the zone's interfaces
				less = s.without(less, s.and(whole, s.flow(&opening)))
			}
			closed.sets = append(closed.sets, less)
			opened.sets = append(opened.sets, s.or(d[0], d[1]))
			other := s.or(s.or(d[0], d[1]), s.or(d[2], d[3]))
			moved.sets = append(moved.sets, s.without(s.moved(was, is), other))
			p.Size += s.size(less)
			s.rest(append(append(append(closed.roots(), opened.roots()...), moved.roots()...), &whole)...)
		}
		if s.full {
			return nil, errTooMany
		}
		for _, l := range []struct {
			*byZone
			list *[]Box
			more *uint64
		}{{&closed, &p.AlsoCloses, &p.MoreAlsoCloses}, {&opened, &p.Opens, &p.MoreOpens}, {&moved, &p.Moves, &p.MoreMoves}} {
			boxes, total, err := l.boxes(q.most() - len(*l.list))
			if err != nil {
				return nil, err
			}
			*l.list = append(*l.list, boxes...)
			*l.more = saturate(*l.more, total-uint64(len(boxes)))
		}
	}
	was, is := rs.Decide(opening), after.Decide(opening)
	p.Unmasks = was.masked() && is.Verdict >= Possibly && !is.masked()
	return p, nil
}

// masked reports whether the server sees, or may see, another source than the client's.
func (d *Decision) masked() bool {
	return slices.ContainsFunc(d.Hops, func(h Hop) bool {
		return h.Step.Kind == SNAT && slices.ContainsFunc(h.Ends, func(e End) bool { return e.Action == Translate })
	})
}

// entries are names of zones and interfaces without those that stand for the same interfaces as one before.
func (rs *Ruleset) entries(names []string) []string {
	var out []string
	seen := make(map[string]bool)
	for _, name := range names {
		if e := rs.entry(name); !seen[e] {
			seen[e] = true
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// entry tells names apart that stand for other interfaces.
func (rs *Ruleset) entry(name string) string {
	at := rs.places(name)
	if len(at) == 0 {
		return "\x00" + name
	}
	var b strings.Builder
	for _, p := range at {
		b.WriteString(p[0] + "\x00")
	}
	return b.String()
}

// leadsInto reports whether an interface is one of a zone's.
func (rs *Ruleset) leadsInto(name, zone string) bool {
	of := rs.places(zone)
	at := rs.places(name)
	return len(at) == 1 && slices.ContainsFunc(of, func(p []string) bool { return p[0] == at[0][0] })
}

// flow is the set of a flow's connections.
func (s *universe) flow(f *Flow) flowSet {
	if (family(f.Src) == AllIPv4()) != s.four {
		return none
	}
	set := all
	for field, r := range [...]Range{SrcAddr: f.Src, DstAddr: f.Dst, SrcPort: f.SrcPort, DstPort: f.DstPort} {
		set = s.and(set, s.values(Field(field), []Range{r}))
	}
	return set
}

// zone is where approved connections enter.
func (k *Keep) zone(opening *Flow) string { return cmp.Or(k.In, opening.In) }

// approved is the set of connections that are to be kept.
func (s *universe) approved(k *Keep) flowSet {
	set := all
	if k.Sources != nil {
		set = s.and(set, s.values(SrcAddr, prefixRanges(k.Sources, s.four)))
	}
	if k.Dst.IsValid() {
		set = s.and(set, s.values(DstAddr, prefixRanges([]netip.Prefix{k.Dst}, s.four)))
	}
	if k.Ports != nil {
		set = s.and(set, s.values(DstPort, Merge(k.Ports)))
	}
	return set
}

// witness is one connection of a set that is not empty.
func (s *universe) witness(set flowSet, zone string) (Flow, error) {
	list, _, err := s.boxes(set, []string{zone}, 1)
	if err != nil {
		return Flow{}, err
	}
	if len(list) == 0 {
		return Flow{}, fmt.Errorf("%w", errTooMany)
	}
	return list[0].Witness(), nil
}
