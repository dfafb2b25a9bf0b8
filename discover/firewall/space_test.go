package firewall

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"testing"
)

// dice makes small models in which everything that a model may have is likely.
type dice struct {
	*rand.Rand
	six   bool // IPv6
	plain bool // nothing is unmodelled
}

func roll(seed uint64) *dice {
	d := &dice{Rand: rand.New(rand.NewPCG(seed, 5))}
	d.six, d.plain = d.one(4), d.one(3)
	return d
}

// one is true one time in n.
func (d *dice) one(n int) bool { return d.IntN(n) == 0 }

func pickOne[T any](d *dice, list ...T) T { return list[d.IntN(len(list))] }

func (d *dice) addr(n int) netip.Addr {
	if d.six {
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(n)})
	}
	return netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})
}

func (d *dice) addrs() Range {
	if d.one(12) {
		return pickOne(d, AllIPv4(), AllIPv6())
	}
	a, b := d.IntN(8), d.IntN(8)
	if d.one(2) {
		b = a
	}
	return Range{AddrValue(d.addr(min(a, b))), AddrValue(d.addr(max(a, b)))}
}

func (d *dice) ports() Range {
	a, b := uint16(24+d.IntN(4)), uint16(24+d.IntN(4))
	if d.one(6) {
		b = 65535
	}
	return Ports(min(a, b), max(a, b))
}

func (d *dice) some(one func() Range) []Range {
	var out []Range
	for range 1 + d.IntN(3) {
		out = append(out, one())
	}
	return Merge(out)
}

func (d *dice) names() []string {
	return [][]string{{"eth0"}, {"eth1"}, {"eth2"}, {"eth0", "eth1"}, {"eth*"}, {"inside"}, {"ppp*"}}[d.IntN(7)]
}

func (d *dice) match(depth int) (m Match) {
	for range d.IntN(3) {
		t := Term{Field: Field(d.IntN(int(Unmodelled) + 1)), Not: d.one(4)}
		switch t.Field {
		case numbers: // is no field
			continue
		case SrcAddr, DstAddr, OrigDst:
			t.Ranges = d.some(d.addrs)
		case SrcPort, DstPort, OrigDstPort:
			t.Ranges = d.some(d.ports)
		case Proto:
			t.Ranges = []Range{Single(Number(uint16(pickOne(d, 6, 6, 17))))}
		case Family:
			t.Ranges = []Range{Single(Number(uint16(pickOne(d, 4, 6))))}
		case In, Out, OrigOut:
			t.Names = d.names()
		case Phase:
			t.Bits = uint8(pickOne(d, First, First|Later, Later|LaterAnswer, Answer|LaterAnswer|Later, EveryPacket))
		case Translated:
			t.Bits = uint8(1 + d.IntN(3))
		case AnyOf:
			if depth > 1 {
				continue
			}
			for range 1 + d.IntN(3) {
				t.Any = append(t.Any, d.match(depth+1))
			}
		case Unmodelled:
			if d.plain || !d.one(3) {
				continue
			}
			t.Word = "a word"
		}
		if !d.plain && d.one(12) {
			t.Word = "another word"
		}
		m = append(m, t)
	}
	return m
}

func (d *dice) to() (to Translation) {
	if d.one(2) {
		to.Ports = []Range{d.ports()}
		if d.one(2) {
			to.FromPorts = []Range{d.ports()}
		}
	}
	switch d.IntN(5) {
	case 0:
		to.Interface = true
	case 1:
	default:
		to.Addrs = d.some(d.addrs)
	}
	if d.one(3) {
		to.Map = true
		to.From = d.some(d.addrs)
	}
	if !d.plain && d.one(10) {
		to.Words = []string{"a map"}
	}
	return to
}

func (d *dice) chain(name string, kind Kind, quick bool, chains []string) *Chain {
	c := &Chain{Name: name, Where: Place{File: "test", Line: 1}}
	for i := range d.IntN(7) {
		r := &Rule{ID: fmt.Sprint(name, i), Match: d.match(0), Where: Place{File: "test", Line: i + 2}}
		switch n := d.IntN(20); {
		case n < 3 && !quick:
			r.Action, r.Chain = Jump, pickOne(d, chains...)
		case n < 5 && !quick:
			r.Action, r.Chain = Goto, pickOne(d, chains...)
		case n < 7:
			r.Action = Return
		case n < 8:
			r.Action = Continue
		case n < 9 && !d.plain:
			r.Action, r.Words = Uncertain, []string{"a queue"}
		case kind == Filter:
			r.Action = pickOne(d, Accept, Drop, Reject)
		case n < 18:
			r.Action, r.To, r.Pass = Translate, d.to(), d.one(6)
		default:
			r.Action = pickOne(d, Exempt, Accept)
		}
		r.Disabled, r.Quick = d.one(20), d.one(3)
		c.Rules = append(c.Rules, r)
	}
	c.Policy = pickOne(d, Accept, Drop)
	if kind != Filter && !d.one(8) {
		c.Policy = Accept
	}
	return c
}

func (d *dice) ruleset() *Ruleset {
	rs := &Ruleset{Device: "fw", Chains: make(map[string]*Chain)}
	for i := range 3 {
		f := Interface{Name: fmt.Sprint("eth", i)}
		if d.one(3) {
			f.Zones = []string{"inside"}
		}
		if d.one(2) {
			bits := d.addr(0).BitLen()
			f.Addrs = []netip.Prefix{netip.PrefixFrom(d.addr(d.IntN(8)), bits-d.IntN(3))}
		}
		rs.Interfaces = append(rs.Interfaces, f)
	}
	if rs.Others = d.one(4); d.one(2) {
		rs.Connected()
	}
	for range d.IntN(4) {
		p, _ := d.addr(d.IntN(8)).Prefix(d.addr(0).BitLen() - d.IntN(4))
		if d.one(8) {
			p = netip.MustParsePrefix(pickOne(d, "0.0.0.0/0", "::/0"))
		}
		rs.Routes = append(rs.Routes, Route{p, pickOne(d, "eth0", "eth1", "eth2", "inside", "lost")})
	}
	for range d.IntN(3) {
		rs.Own = append(rs.Own, d.addr(d.IntN(8)))
	}
	chains := []string{"a", "b", "c", "d"}
	if !d.plain && d.one(10) {
		chains = append(chains, "missing")
	}
	kinds := []Kind{Filter, DNAT, DNAT, Filter, Filter, SNAT, SNAT, Filter}
	for i, kind := range kinds {
		if d.one(2) && len(rs.Steps)+len(kinds)-i > 1 {
			continue
		}
		hooks := map[Kind][]Hook{Filter: {AnyHook, Prerouting, Input, Forward, Output, Postrouting}, DNAT: {AnyHook, Prerouting}, SNAT: {AnyHook, Postrouting}}[kind]
		step := Step{Name: fmt.Sprint("step ", i), Kind: kind, Hook: pickOne(d, hooks...), Chain: fmt.Sprint("base", i)}
		step.Original, step.Stateful = d.one(4), d.one(2)
		step.LastMatch, step.OwnOut = d.one(5), d.one(3)
		if d.one(3) {
			step.When = d.match(0)
		}
		if d.one(20) {
			step.Kind = pickOne(d, Filter, DNAT, SNAT) // an order that no device has
		}
		rs.Steps = append(rs.Steps, step)
		rs.Chains[step.Chain] = d.chain(step.Chain, step.Kind, step.LastMatch, chains)
	}
	for i, name := range chains[:4] {
		// Later ones are jumped to; circles are few.
		further := chains[i+1:]
		if len(further) == 0 || d.one(20) {
			further = chains
		}
		rs.Chains[name] = d.chain(name, pickOne(d, Filter, Filter, DNAT), i == 3 && !d.one(20), further)
	}
	return rs
}

// every lists all connections of the small space.
func (d *dice) every() (out []Flow) {
	for _, in := range []string{"eth0", "eth1", "inside", ""} {
		for src := range 3 {
			for dst := range 8 {
				for port := uint16(24); port < 28; port++ {
					sport := uint16(24 + d.IntN(5))
					out = append(out, NewFlow(in, netip.AddrPortFrom(d.addr(src*3), sport), netip.AddrPortFrom(d.addr(dst), port)))
				}
			}
		}
	}
	return out
}

func small() Query {
	return Query{In: []string{"eth0", "eth1", "inside", ""}, Ports: []Range{Ports(20, 30)}}
}

// models is how many random models a test tries: RELAYSWEEP_MODELS times as many, such as 10 or 0.2, where it is set. One
// that fails is told by its number.
func models(t *testing.T, n int) int {
	n = max(1, int(float64(n)*modelTimes()))
	t.Logf("%d models", n)
	return n
}

func modelTimes() float64 {
	times, err := strconv.ParseFloat(os.Getenv("RELAYSWEEP_MODELS"), 64)
	if err != nil || times <= 0 {
		times = 1
	}
	if testing.Short() {
		times /= 5
	}
	return times
}

// fewModels: too few for each kind of model to occur.
func fewModels() bool { return modelTimes() < 1 }

// Space and Decide are two ways to one answer: for every connection of a small space they agree, in each of many models.
func TestSpaceIsDecide(t *testing.T) {
	var seen [Permitted + 1]int
	for seed := range uint64(models(t, 500)) {
		d := roll(seed)
		rs := d.ruleset()
		sp, err := rs.Space(small())
		if err != nil {
			t.Fatalf("model %d: %v", seed, err)
		}
		for _, f := range d.every() {
			want := rs.Decide(f).Verdict
			seen[want]++
			if got := sp.Verdict(f); got != want {
				t.Fatalf("model %d: %s\ngot  %v\nwant %v\n%s", seed, flowText(f), got, want, modelText(rs))
			}
		}
	}
	if fewModels() {
		return
	}
	t.Logf("denied, possibly, permitted: %v", seen[1:])
	for v, n := range seen[Denied:] {
		if n < 1000 {
			t.Errorf("only %d connections of verdict %v were tried", n, Denied+Verdict(v))
		}
	}
}

func flowText(f Flow) string {
	return fmt.Sprintf("%q %v:%d > %v:%d", f.In, f.Src.First.Addr(), f.SrcPort.First.Lo, f.Dst.First.Addr(), f.DstPort.First.Lo)
}

func modelText(rs *Ruleset) string {
	s := fmt.Sprintf("interfaces %+v\nroutes %v own %v\n", rs.Interfaces, rs.Routes, rs.Own)
	for _, st := range rs.Steps {
		s += fmt.Sprintf("step %+v\n", st)
	}
	for _, name := range sortedChains(rs) {
		s += fmt.Sprintf("chain %s policy %d\n", name, rs.Chains[name].Policy)
		for _, r := range rs.Chains[name].Rules {
			s += fmt.Sprintf("  %s %+v action %d %s to %+v quick %v pass %v disabled %v\n", r.ID, r.Match, r.Action, r.Chain, r.To, r.Quick, r.Pass, r.Disabled)
		}
	}
	return s
}
