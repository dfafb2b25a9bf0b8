package firewall

import (
	"iter"
	"math/bits"
	"slices"
)

// Decider answers many questions about one ruleset, which must not change meanwhile. It is not for concurrent use.
type Decider struct {
	rs         *Ruleset
	behindDNAT int // index of the step behind the last DNAT step
	firstSNAT  int // index of the first SNAT step on the way out, plus 1; 0: none
	outSNAT    int // index of the step where answers of the device itself get back what was translated on the way in, plus 1
	hooked     bool
	// asksOrigOut: a rule asks where the original destination lies.
	asksOrigOut bool
	own         []Range // the device's addresses
	routes      []way   // the longest prefix first
	chains      map[*Chain]*chainIndex
	names       map[string]places
}

// way is a route.
type way struct {
	to  Range
	out string
}

// Decider prepares answers.
func (rs *Ruleset) Decider() *Decider {
	d := &Decider{rs: rs, own: rs.own(), chains: make(map[*Chain]*chainIndex), names: make(map[string]places)}
	for i := range rs.Steps {
		d.asksOrigOut = d.asksOrigOut || rs.Steps[i].When.asks(OrigOut)
		switch rs.Steps[i].Kind {
		case DNAT:
			d.behindDNAT = i + 1
		case SNAT:
			switch hook := rs.Steps[i].Hook; {
			case hook == Output:
				d.outSNAT = i + 1
			case hook != Input && d.firstSNAT == 0:
				d.firstSNAT = i + 1
			}
		}
		if h := rs.Steps[i].Hook; h == Input || h == Forward {
			d.hooked = true
		}
	}
	for _, c := range rs.Chains {
		for _, r := range c.Rules {
			d.asksOrigOut = d.asksOrigOut || r.Match.asks(OrigOut)
		}
	}
	routes := slices.Clone(rs.Routes)
	slices.SortStableFunc(routes, func(a, b Route) int { return b.Prefix.Bits() - a.Prefix.Bits() })
	for _, r := range routes {
		d.routes = append(d.routes, way{PrefixRange(r.Prefix), r.Out})
	}
	return d
}

// chainIndex finds the rules of a long chain that may match a packet without looking at the others.
type chainIndex struct {
	walks  int // how often the chain was walked without an index
	blocks []ruleBlock
}

const (
	blockRules = 1024 // rules of a block: an index grows with the rules, not with their square
	fewRules   = 32   // a shorter chain needs no index
	fewWalks   = 4    // nor does one that is seldom walked
	fewRanges  = 64   // a term with more of them is not indexed: it finds its own quickly
)

// blockBits has one bit for each rule of a block.
type blockBits [blockRules / 64]uint64

// ruleBlock is some rules of a chain, one after the other.
type ruleBlock struct {
	rules  []*Rule
	phases [4]blockBits // rules that may match a First packet, an Answer, …
	fields [DstPort + 1]fieldIndex
}

// fieldIndex has, for each stretch of values between two bounds, the rules that may match there.
type fieldIndex struct {
	bounds []Value // where the stretches begin
	sets   []blockBits
	any    blockBits // rules that do not ask
}

// rules are those of a chain that may match a packet, in order.
func (d *Decider) rules(c *Chain, p *packet) iter.Seq[*Rule] {
	if len(c.Rules) < fewRules {
		return slices.Values(c.Rules)
	}
	x := d.chains[c]
	if x == nil {
		x = &chainIndex{}
		d.chains[c] = x
	}
	if x.walks++; x.walks < fewWalks {
		return slices.Values(c.Rules)
	}
	if x.blocks == nil {
		for rules := range slices.Chunk(c.Rules, blockRules) {
			x.blocks = append(x.blocks, newBlock(rules))
		}
	}
	return func(yield func(*Rule) bool) {
		for i := range x.blocks {
			b := &x.blocks[i]
			set := b.phases[bits.TrailingZeros8(p.phase)]
			for f := range b.fields {
				b.fields[f].among(&set, p.numbers[f])
			}
			for i, word := range set {
				for ; word != 0; word &= word - 1 {
					if !yield(b.rules[i*64+bits.TrailingZeros64(word)]) {
						return
					}
				}
			}
		}
	}
}

func newBlock(rules []*Rule) ruleBlock {
	b := ruleBlock{rules: rules}
	var asked [len(b.fields)][]*Term // by rule
	for f := range asked {
		asked[f] = make([]*Term, len(rules))
	}
	for i, r := range rules {
		if r.Disabled || r.Action == Continue {
			continue
		}
		phases, tcp := uint8(EveryPacket), true
		for n := range r.Match {
			t := &r.Match[n]
			switch {
			case t.Not || t.Word != "":
			case t.Field == Phase:
				phases &= t.Bits
			case t.Field == Proto:
				tcp = tcp && place(t.Ranges, Single(Number(6))) != no
			case t.Field <= DstPort && len(t.Ranges) <= fewRanges:
				asked[t.Field][i] = t
			}
		}
		for n := range b.phases {
			if tcp && phases&(1<<n) != 0 {
				b.phases[n][i/64] |= 1 << (i % 64)
			}
		}
	}
	for f := range b.fields {
		b.fields[f] = newFieldIndex(asked[f])
	}
	return b
}

func newFieldIndex(asked []*Term) fieldIndex {
	x := fieldIndex{bounds: []Value{{}}}
	for _, t := range asked {
		if t == nil {
			continue
		}
		for _, r := range t.Ranges {
			if x.bounds = append(x.bounds, r.First); r.Last != top {
				x.bounds = append(x.bounds, r.Last.next())
			}
		}
	}
	slices.SortFunc(x.bounds, Value.Compare)
	x.bounds = slices.Compact(x.bounds)
	x.sets = make([]blockBits, len(x.bounds))
	for i, t := range asked {
		if t == nil {
			x.any[i/64] |= 1 << (i % 64)
			continue
		}
		for _, r := range t.Ranges {
			for n, last := x.stretch(r.First), x.stretch(r.Last); n <= last; n++ {
				x.sets[n][i/64] |= 1 << (i % 64)
			}
		}
	}
	return x
}

// stretch is where a value lies.
func (x *fieldIndex) stretch(v Value) int {
	at, found := slices.BinarySearchFunc(x.bounds, v, Value.Compare)
	if found {
		return at
	}
	return at - 1
}

// among leaves those rules that may match one of a range of values.
func (x *fieldIndex) among(set *blockBits, r Range) {
	if len(x.bounds) == 1 {
		return
	}
	first := x.stretch(r.First)
	last := first
	if r.Last != r.First {
		last = x.stretch(r.Last)
	}
	if last-first > 16 {
		return
	}
	may := x.any
	for _, s := range x.sets[first : last+1] {
		for i := range may {
			may[i] |= s[i]
		}
	}
	for i := range set {
		set[i] &= may[i]
	}
}

// asks reports whether a match looks at a field.
func (m Match) asks(f Field) bool {
	return slices.ContainsFunc(m, func(t Term) bool {
		return t.Field == f || slices.ContainsFunc(t.Any, func(m Match) bool { return m.asks(f) })
	})
}
