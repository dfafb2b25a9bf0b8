package firewall

import (
	"cmp"
	"slices"
	"sync"
)

// Delta is connections for which two rulesets differ.
type Delta struct {
	Box
	// Sure: they were surely denied and are surely permitted, or the other way round. Else one of both is possibly.
	Sure bool
	// Witness is one of the connections, and Before and After are what becomes of it.
	Witness       Flow
	Before, After Decision
}

// Difference is how one ruleset differs from another.
type Difference struct {
	// Opened are more permitted than they were, Closed less. What is sure comes first.
	Opened, Closed []Delta
	// Moved are let through as they were, and reach another destination, or come from another source.
	Moved []Delta
	// More are not listed.
	MoreOpened, MoreClosed, MoreMoved uint64
}

// Changes computes the exact difference between two rulesets of a device, for the connections of a query.
func Changes(before, after *Ruleset, q Query) (*Difference, error) {
	var out Difference
	c := comparison{before: before.Decider(), after: after.Decider(), most: q.most()}
	zones := q.zones(before, after)
	var sets [5][2]byZone
	// Families have sets of their own, and so have two halves of the zones, until both are known.
	var halves [2][2][5]byZone
	var errs [2][2]error
	only := changed(before, after)
	var parts sync.WaitGroup
	for i, four := range []bool{true, false} {
		for h, part := range [][]string{zones[:len(zones)/2], zones[len(zones)/2:]} {
			parts.Go(func() {
				halves[i][h], errs[i][h] = differences(before, after, only, newSpace(&q, four, mostNodes), part)
			})
		}
	}
	parts.Wait()
	for i, half := range halves {
		if err := cmp.Or(errs[i][0], errs[i][1]); err != nil {
			return nil, err
		}
		take := half[0][0].taking(half[1][0].nodes)
		for k := range sets {
			a, b := half[0][k], half[1][k]
			for n, set := range b.sets {
				a.zones, a.sets = append(slices.Clip(a.zones), b.zones[n]), append(a.sets, take(set))
			}
			sets[k][i] = a
		}
		if half[0][0].full {
			return nil, errTooMany
		}
	}
	for k, to := range []struct {
		list *[]Delta
		more *uint64
		sure bool
	}{
		{&out.Opened, &out.MoreOpened, true},
		{&out.Opened, &out.MoreOpened, false},
		{&out.Closed, &out.MoreClosed, true},
		{&out.Closed, &out.MoreClosed, false},
		{&out.Moved, &out.MoreMoved, false},
	} {
		for i := range sets[k] {
			if err := c.list(&sets[k][i], to.sure, to.list, to.more); err != nil {
				return nil, err
			}
		}
	}
	return &out, nil
}

// differences are what is opened and closed, surely and possibly, and what is moved.
func differences(before, after *Ruleset, only *edits, s *universe, zones []string) (sets [5]byZone, err error) {
	for k := range sets {
		sets[k] = byZone{universe: s, zones: zones}
	}
	whole := s.domain
	for _, zone := range zones {
		if only != nil { // what no changed rule may match fares as it did
			s.domain = whole
			was, err := s.touching(before, before.places(zone), only.removed)
			if err != nil {
				return sets, err
			}
			is, err := s.touching(after, after.places(zone), only.added)
			if err != nil {
				return sets, err
			}
			s.domain = s.or(was, is)
		}
		a, err := s.through(before, before.places(zone), nil)
		if err != nil {
			return sets, err
		}
		b, err := s.through(after, after.places(zone), nil)
		if err != nil {
			return sets, err
		}
		d := s.difference(a.bounds, b.bounds)
		moved := s.without(s.moved(a, b), s.or(s.or(d[0], d[1]), s.or(d[2], d[3])))
		for k, set := range append(d[:], moved) {
			sets[k].sets = append(sets[k].sets, set)
		}
		but := []*flowSet{&whole}
		for k := range sets {
			but = append(but, sets[k].roots()...)
		}
		s.rest(but...)
	}
	if s.full {
		return sets, errTooMany
	}
	return sets, nil
}

// difference is what b surely and possibly opens that a does not, and what it surely and possibly closes.
func (s *universe) difference(a, b bounds) (sets [4]flowSet) {
	more := func(a, b bounds) (sure, possibly flowSet) {
		sure = s.without(b.must, a.may)
		return sure, s.without(s.or(s.without(b.must, a.must), s.without(b.may, a.may)), sure)
	}
	sets[0], sets[1] = more(a, b)
	sets[2], sets[3] = more(b, a)
	return sets
}

// comparison lists the differences of two rulesets.
type comparison struct {
	before, after *Decider
	most          int
}

func (c *comparison) list(z *byZone, sure bool, list *[]Delta, more *uint64) error {
	boxes, total, err := z.boxes(max(0, c.most-len(*list)))
	if err != nil {
		return err
	}
	for _, b := range boxes {
		d := Delta{Box: b, Sure: sure, Witness: b.Witness()}
		d.Before, d.After = c.before.Decide(d.Witness), c.after.Decide(d.Witness)
		*list = append(*list, d)
	}
	*more = saturate(*more, total-uint64(len(boxes)))
	return nil
}

// leaf is connections that leave the device, or may, with the same translation.
type leaf struct {
	set flowSet
	to  leaving
}

// leaving is what a server sees of connections.
type leaving struct{ src, dst, port view }

// moved are the connections that both outcomes may let through, and that do not leave alike.
func (s *universe) moved(a, b outcome) flowSet {
	differ := func(x, y []leaf) flowSet {
		var out []flowSet
		for _, l := range x {
			set := l.set
			for _, m := range y {
				if set == none {
					break
				}
				if set == m.set && l.to == m.to {
					set = none
				} else if both := s.and(set, m.set); both != none {
					set = s.without(set, s.and(both, s.alike(&l.to, &m.to)))
				}
			}
			out = append(out, set)
		}
		return s.union(out)
	}
	x, y := s.joined(a.leaves), s.joined(b.leaves)
	// Of some of those of which nobody knows what becomes of them no way out is known.
	lost := func(o outcome) flowSet {
		var leave []flowSet
		for _, l := range o.leaves {
			leave = append(leave, l.set)
		}
		return s.without(o.blind, s.union(leave))
	}
	known := s.without(s.and(a.may, b.may), s.or(lost(a), lost(b)))
	return s.and(s.or(differ(x, y), differ(y, x)), known)
}

// joined is one leaf for each translation.
func (s *universe) joined(list []leaf) (out []leaf) {
	sets := make(map[leaving][]flowSet)
	for _, l := range list {
		if _, ok := sets[l.to]; !ok {
			out = append(out, leaf{to: l.to})
		}
		sets[l.to] = append(sets[l.to], l.set)
	}
	for i := range out {
		out[i].set = s.union(sets[out[i].to])
	}
	return out
}

// alike are the connections for which two translations do the same.
func (s *universe) alike(a, b *leaving) flowSet {
	return s.and(s.same(&a.src, &b.src), s.and(s.same(&a.dst, &b.dst), s.same(&a.port, &b.port)))
}

func (s *universe) same(a, b *view) flowSet {
	switch {
	case *a == *b:
		return all
	case a.kind == fixed && b.kind == fixed:
		return none
	case a.kind == fixed:
		return s.same(b, a)
	case b.kind == fixed:
		if b.is.First != b.is.Last {
			return none
		}
		return s.lies(a, []Range{b.is}).must
	}
	// Both move each value by some distance; those of a shifted one are all within its range.
	return allIf(a.to.minus(a.from) == b.to.minus(b.from))
}
