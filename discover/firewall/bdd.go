package firewall

import (
	"errors"
	"math"
	"slices"
)

// errTooMany is returned where a set would take more memory than is allowed for it.
var errTooMany = errors.New("too many distinct cases: ask for fewer ports, zones or addresses")

// flowSet is a set of connections: a reduced ordered binary decision diagram in an arena. Equal sets have equal nodes.
type flowSet uint32

const (
	none flowSet = iota // no connection
	all                 // every one
)

// branching is a node: where the bit of its level is 0 and 1.
type branching struct {
	level  uint32
	lo, hi flowSet
}

// operations on sets
const (
	opAnd = iota
	opOr
	opWithout
)

type operation struct {
	a, b, is flowSet
	op       uint32
}

// bdd holds sets over a number of bits. When it is full, every operation returns none, and full stays set: who ends a
// computation asks for it.
type bdd struct {
	bits  uint32
	nodes []branching
	table []flowSet // by hash, open addressed; 0: free
	cache []operation
	most  int // nodes
	full  bool
}

func newBDD(bits, most int) *bdd {
	b := &bdd{bits: uint32(bits), most: most, table: make([]flowSet, 1<<12), cache: make([]operation, 1<<12)}
	end := branching{level: b.bits}
	b.nodes = append(b.nodes, end, end)
	return b
}

func mix(x, y, z uint32) uint64 {
	h := (uint64(x)<<32 | uint64(y)) * 0x9e3779b97f4a7c15
	h = (h ^ h>>29 ^ uint64(z)) * 0xbf58476d1ce4e5b9
	return h ^ h>>32
}

// make returns the set that goes to lo and hi by the bit of a level.
func (b *bdd) make(level uint32, lo, hi flowSet) flowSet {
	if lo == hi {
		return lo
	}
	want := branching{level, lo, hi}
	mask := uint64(len(b.table) - 1)
	at := mix(uint32(lo), uint32(hi), level) & mask
	for ; b.table[at] != 0; at = (at + 1) & mask {
		if b.nodes[b.table[at]] == want {
			return b.table[at]
		}
	}
	if len(b.nodes) >= b.most {
		b.full = true
	}
	if b.full {
		return none
	}
	n := flowSet(len(b.nodes))
	b.nodes = append(b.nodes, want)
	b.table[at] = n
	if len(b.nodes)*2 > len(b.table) {
		b.grow()
	}
	return n
}

func (b *bdd) grow() {
	b.table = make([]flowSet, 2*len(b.table))
	mask := uint64(len(b.table) - 1)
	for i := 2; i < len(b.nodes); i++ {
		n := &b.nodes[i]
		at := mix(uint32(n.lo), uint32(n.hi), n.level) & mask
		for b.table[at] != 0 {
			at = (at + 1) & mask
		}
		b.table[at] = flowSet(i)
	}
	if len(b.cache) < 1<<20 {
		b.cache = make([]operation, 2*len(b.cache))
	}
}

// forget drops all sets but some, which get new nodes.
func (b *bdd) forget(but []*flowSet) {
	old := b.nodes
	b.nodes = append(make([]branching, 0, 1<<12), old[:2]...)
	b.table, b.cache = make([]flowSet, 1<<12), make([]operation, 1<<12)
	take := b.taking(old)
	for _, n := range but {
		*n = take(*n)
	}
}

// taking returns what makes of a set of other nodes the same set here.
func (b *bdd) taking(nodes []branching) func(flowSet) flowSet {
	taken := make(map[flowSet]flowSet)
	var take func(n flowSet) flowSet
	take = func(n flowSet) flowSet {
		if n <= all {
			return n
		}
		to, ok := taken[n]
		if !ok {
			m := nodes[n]
			to = b.make(m.level, take(m.lo), take(m.hi))
			taken[n] = to
		}
		return to
	}
	return take
}

func (b *bdd) and(x, y flowSet) flowSet     { return b.apply(opAnd, x, y) }
func (b *bdd) or(x, y flowSet) flowSet      { return b.apply(opOr, x, y) }
func (b *bdd) without(x, y flowSet) flowSet { return b.apply(opWithout, x, y) }
func (b *bdd) not(x flowSet) flowSet        { return b.apply(opWithout, all, x) }

func (b *bdd) apply(op uint32, x, y flowSet) flowSet {
	switch op {
	case opAnd:
		switch {
		case x == none || y == none:
			return none
		case x == all || x == y:
			return y
		case y == all:
			return x
		case y < x:
			x, y = y, x
		}
	case opOr:
		switch {
		case x == all || y == all:
			return all
		case x == none || x == y:
			return y
		case y == none:
			return x
		case y < x:
			x, y = y, x
		}
	case opWithout:
		switch {
		case x == none || y == all || x == y:
			return none
		case y == none:
			return x
		}
	}
	if b.full {
		return none
	}
	at := mix(uint32(x), uint32(y), op) & uint64(len(b.cache)-1)
	if c := &b.cache[at]; c.a == x && c.b == y && c.op == op {
		return c.is
	}
	m, n := b.nodes[x], b.nodes[y]
	level := min(m.level, n.level)
	x0, x1, y0, y1 := x, x, y, y
	if m.level == level {
		x0, x1 = m.lo, m.hi
	}
	if n.level == level {
		y0, y1 = n.lo, n.hi
	}
	is := b.make(level, b.apply(op, x0, y0), b.apply(op, x1, y1))
	if b.full {
		return none
	}
	b.cache[mix(uint32(x), uint32(y), op)&uint64(len(b.cache)-1)] = operation{x, y, is, op}
	return is
}

// union joins many sets, small ones first.
func (b *bdd) union(list []flowSet) flowSet {
	list = slices.Clone(list)
	for len(list) > 1 {
		n := 0
		for i := 0; i < len(list); i += 2 {
			if i+1 < len(list) {
				list[n] = b.or(list[i], list[i+1])
			} else {
				list[n] = list[i]
			}
			n++
		}
		list = list[:n]
	}
	if len(list) == 0 {
		return none
	}
	return list[0]
}

// bitfield is a number in the bits of a set: width bits from level at, the highest first. What is added to a number of
// the bits makes the value, so that IPv4 takes 32 bits.
type bitfield struct {
	at, width uint32
	base      Value
}

// span is all values of a field.
func (f bitfield) span() Range { return Range{f.base, f.base.plus(lowBits(f.width))} }

// lowBits is the number that has the n lowest bits set.
func lowBits(n uint32) Value {
	switch {
	case n >= 128:
		return top
	case n >= 64:
		return Value{1<<(n-64) - 1, ^uint64(0)}
	}
	return Value{0, 1<<n - 1}
}

// in is the set of all whose field has a value in merged ranges.
func (b *bdd) in(f bitfield, list []Range) flowSet {
	return b.within(f, 0, f.span(), list)
}

// within is in for the values of which the first bits are known: those of a block.
func (b *bdd) within(f bitfield, known uint32, block Range, list []Range) flowSet {
	for len(list) > 0 && list[0].Last.less(block.First) {
		list = list[1:]
	}
	if len(list) > 8 { // the tail is cut by a search, as each level would go through it again
		n, _ := slices.BinarySearchFunc(list, block.Last, func(r Range, v Value) int { return r.First.Compare(v) })
		list = list[:min(n+1, len(list))]
	}
	switch {
	case len(list) == 0 || block.Last.less(list[0].First):
		return none
	case list[0].holds(block.First) && list[0].holds(block.Last):
		return all
	}
	last := block.First.plus(lowBits(f.width - known - 1))
	lo := b.within(f, known+1, Range{block.First, last}, list)
	hi := b.within(f, known+1, Range{last.next(), block.Last}, list)
	return b.make(f.at+known, lo, hi)
}

// bit is the part of a set where a bit, above which it has none, is 0 or 1.
func (b *bdd) bit(n flowSet, level uint32, one bool) flowSet {
	if m := b.nodes[n]; m.level == level {
		if one {
			return m.hi
		}
		return m.lo
	}
	return n
}

// holds reports whether a point is in a set. bit tells the point.
func (b *bdd) holds(n flowSet, bit func(level uint32) bool) bool {
	for n > all {
		m := b.nodes[n]
		if bit(m.level) {
			n = m.hi
		} else {
			n = m.lo
		}
	}
	return n == all
}

// size is how many points a set has.
func (b *bdd) size(n flowSet) float64 {
	known := make(map[flowSet]float64)
	var share func(n flowSet) float64
	share = func(n flowSet) float64 {
		if n <= all {
			return float64(n)
		}
		s, ok := known[n]
		if !ok {
			m := b.nodes[n]
			s = (share(m.lo) + share(m.hi)) / 2
			known[n] = s
		}
		return s
	}
	return math.Ldexp(share(n), int(b.bits))
}

// part is the values of a field by which a set goes on to rest.
type part struct {
	values []Range
	rest   flowSet
}

// parts splits a set, which has no bits above the field, by the values of the field. Of each rest there is one part. They
// are in the order of their first values.
func (b *bdd) parts(n flowSet, f bitfield, most int) ([]part, error) {
	var out []part
	index := make(map[flowSet]int)
	left := most
	var walk func(n flowSet, known uint32, block Range)
	walk = func(n flowSet, known uint32, block Range) {
		if n == none || left < 0 {
			return
		}
		m := b.nodes[n]
		if m.level >= f.at+f.width { // the values that are left do not matter
			i, ok := index[n]
			if !ok {
				i = len(out)
				index[n] = i
				out = append(out, part{rest: n})
			}
			p := &out[i]
			if k := len(p.values); k > 0 && p.values[k-1].Last.next() == block.First {
				p.values[k-1].Last = block.Last
			} else {
				p.values = append(p.values, block)
				left--
			}
			return
		}
		last := block.First.plus(lowBits(f.width - known - 1))
		walk(b.bit(n, f.at+known, false), known+1, Range{block.First, last})
		walk(b.bit(n, f.at+known, true), known+1, Range{last.next(), block.Last})
	}
	walk(n, 0, f.span())
	if left < 0 {
		return nil, errTooMany
	}
	return out, nil
}

// rests are the different sets that parts would end in, without their values.
func (b *bdd) rests(n flowSet, f bitfield) (out []flowSet) {
	seen := make(map[flowSet]bool)
	var walk func(n flowSet)
	walk = func(n flowSet) {
		if n == none || seen[n] {
			return
		}
		seen[n] = true
		m := b.nodes[n]
		if m.level >= f.at+f.width {
			out = append(out, n)
			return
		}
		walk(m.lo)
		walk(m.hi)
	}
	walk(n)
	return out
}
