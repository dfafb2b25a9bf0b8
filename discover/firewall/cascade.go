package firewall

import (
	"math/bits"
	"math/rand/v2"
)

// line is one line of an ordered list: of the connections that come to it, it may do something (id says what) to those
// of may, and those of must go no further.
type line struct {
	id        int32
	may, must flowSet
}

// What lines do to connections. Higher ids are of single rules.
const (
	stops  int32 = iota // lost
	lets                // let through the list
	unsure              // nobody knows
	back                // back to where the chain was called from
	off                 // no more in the list: the sum of must
	exempt              // not translated
	single              // first id of single rules
)

// fate is the connections to which something may happen.
type fate struct {
	id  int32
	set flowSet
}

// cascade asks all lines of a list at once, from the highest bit of the connections to the lowest. At each bit it goes
// on with the lines that are left, and what lies behind one that surely matches does not count; lists that it has seen it
// does not ask again. So nothing is built that is not in the result: to take the lines one by one out of a set costs far
// more.
type cascade struct {
	*bdd
	seeds [2]uint64
	known map[[2]uint64][2]int32 // by the hash of a list: where its fates are
	fates []fate
	stack []line
	// marks, if not nil, learns which ids some connection may come to; then only wanted ids have fates.
	marks  map[int32]bool
	wanted map[int32]bool
	work   int
}

// mostWork bounds the lines that a cascade looks at.
const mostWork = 1 << 30

func (b *bdd) cascade() *cascade {
	return &cascade{bdd: b, seeds: [2]uint64{rand.Uint64(), rand.Uint64()}, known: make(map[[2]uint64][2]int32)}
}

// run tells what happens to the connections that come to a list.
func (c *cascade) run(list []line) []fate {
	c.stack = c.stack[:0]
	for _, l := range list {
		if l.may != none || l.must != none {
			c.stack = append(c.stack, l)
		}
		if l.must == all {
			break
		}
	}
	at := c.ask(0)
	return c.fates[at[0]:at[1]]
}

func (c *cascade) hash(list []line) (h [2]uint64) {
	h = c.seeds
	for _, l := range list {
		x := uint64(l.may)<<32 | uint64(l.must)
		for i := range h {
			hi, lo := bits.Mul64(h[i]^x, 0x9e3779b97f4a7c15+uint64(i)<<33)
			hi2, lo2 := bits.Mul64(hi^lo^uint64(l.id), c.seeds[i]|1)
			h[i] = hi2 ^ lo2 ^ lo
		}
	}
	return h
}

// ask is run for the lines on the stack from start on.
func (c *cascade) ask(start int) [2]int32 {
	list := c.stack[start:]
	if c.work += len(list); c.work > mostWork {
		c.full = true
	}
	if len(list) == 0 || c.full {
		return [2]int32{}
	}
	if c.marks != nil {
		if c.asked(list) {
			return [2]int32{}
		}
	}
	level := c.bits
	for i := range list {
		level = min(level, c.nodes[list[i].may].level, c.nodes[list[i].must].level)
	}
	if len(list) == 1 || level == c.bits {
		return c.settle(list)
	}
	key := c.hash(list)
	if at, ok := c.known[key]; ok {
		return at
	}
	end := len(c.stack)
	var halves [2][2]int32
	for one := range halves {
		for i := start; i < end; i++ {
			l := c.stack[i]
			if l.may == l.must {
				l.may = c.bit(l.may, level, one == 1)
				l.must = l.may
			} else {
				l.may, l.must = c.bit(l.may, level, one == 1), c.bit(l.must, level, one == 1)
			}
			if l.may != none || l.must != none {
				c.stack = append(c.stack, l)
			}
			if l.must == all {
				break
			}
		}
		halves[one] = c.ask(end)
		c.stack = c.stack[:end]
	}
	at := c.fork(level, halves[0], halves[1])
	c.known[key] = at
	return at
}

// asked marks the line that comes first, and reports whether there is nothing more to learn from a list.
func (c *cascade) asked(list []line) bool {
	learn := false
	clear := true // every connection comes here
	for _, l := range list {
		if clear && l.may != none {
			c.marks[l.id] = true
		}
		clear = clear && l.must == none
		learn = learn || c.wanted[l.id] || l.id >= single && !c.marks[l.id]
	}
	return !learn
}

// settle is the fates in a list where each line does the same for all connections, and in one of a single line.
func (c *cascade) settle(list []line) [2]int32 {
	start := len(c.fates)
	add := func(id int32, set flowSet) {
		if set == none || c.marks != nil && !c.wanted[id] {
			return
		}
		for i := start; i < len(c.fates); i++ {
			if c.fates[i].id == id {
				c.fates[i].set = all // both are
				return
			}
		}
		c.fates = append(c.fates, fate{id, set})
	}
	for _, l := range list {
		if c.marks != nil && l.may != none {
			c.marks[l.id] = true
		}
		if l.id != off {
			add(l.id, l.may)
		}
		add(off, l.must)
	}
	sortFates(c.fates[start:])
	return [2]int32{int32(start), int32(len(c.fates))}
}

func sortFates(list []fate) {
	for i := 1; i < len(list); i++ { // few
		for k := i; k > 0 && list[k].id < list[k-1].id; k-- {
			list[k], list[k-1] = list[k-1], list[k]
		}
	}
}

// fork joins the fates of both values of a bit.
func (c *cascade) fork(level uint32, lo, hi [2]int32) [2]int32 {
	if c.full {
		return [2]int32{}
	}
	start := int32(len(c.fates))
	i, k := lo[0], hi[0]
	for i < lo[1] || k < hi[1] {
		var f fate
		switch {
		case k == hi[1] || i < lo[1] && c.fates[i].id < c.fates[k].id:
			f = fate{c.fates[i].id, c.make(level, c.fates[i].set, none)}
			i++
		case i == lo[1] || c.fates[k].id < c.fates[i].id:
			f = fate{c.fates[k].id, c.make(level, none, c.fates[k].set)}
			k++
		default:
			f = fate{c.fates[i].id, c.make(level, c.fates[i].set, c.fates[k].set)}
			i, k = i+1, k+1
		}
		c.fates = append(c.fates, f)
	}
	return [2]int32{start, int32(len(c.fates))}
}
