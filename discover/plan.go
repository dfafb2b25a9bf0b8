package discover

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
)

// MaxTargets bounds a plan: 2 bits for each are kept.
const MaxTargets = 1 << 33

// Plan is the order in which a scan visits its targets: every address of the scope on every port, exactly once, in an
// order that a seed decides. A position in it is a number, so that a scan resumes from one.
type Plan struct {
	scope  *Scope
	ports  []uint16
	order  permutation
	wide   *Scope // hosts of which all ports are tried, after the others; nil: none
	rest   []uint16
	behind permutation // the order of those
	shard  uint64      // of shards: every shards-th position from shard on is ours
	shards uint64
}

// NewPlan makes the plan of a scan. A port that is named twice is tried once.
func NewPlan(s *Scope, ports []uint16, seed uint64) (*Plan, error) {
	if len(ports) == 0 {
		return nil, fmt.Errorf("no ports to scan")
	}
	ports = slices.Compact(slices.Sorted(slices.Values(ports)))
	if ports[0] == 0 {
		return nil, fmt.Errorf("port 0 cannot be scanned: ports run from 1 to 65535")
	}
	p := &Plan{scope: s, ports: ports, order: newPermutation(s.Len()*uint64(len(ports)), seed), shards: 1}
	return p.checked()
}

func (p *Plan) checked() (*Plan, error) {
	if n := p.size(); n > MaxTargets {
		more := ""
		if p.wide != nil {
			more = fmt.Sprintf(", and all ports of %d", p.wide.Len())
		}
		return nil, fmt.Errorf("%d addresses on %d ports%s are more than %d targets: scan them in parts", p.scope.Len(), len(p.ports), more, uint64(MaxTargets))
	}
	return p, nil
}

// AllPorts returns the plan with all 65,535 ports of some hosts of its scope. The ports that all hosts share come
// first, so that a host with many does not keep the others waiting.
func (p Plan) AllPorts(hosts []Entry) (*Plan, error) {
	if len(hosts) == 0 {
		return &p, nil
	}
	for _, e := range hosts {
		if err := p.scope.Check(e); err != nil {
			return nil, err
		}
	}
	chosen, err := parseAll(hosts, parseEntry)
	if err != nil {
		return nil, err
	}
	if p.wide, err = p.scope.part(chosen); err != nil {
		return nil, err
	}
	p.rest = nil
	for port := uint16(1); port != 0; port++ {
		if _, listed := slices.BinarySearch(p.ports, port); !listed {
			p.rest = append(p.rest, port)
		}
	}
	p.behind = newPermutation(p.wide.Len()*uint64(len(p.rest)), p.order.keys[0])
	return p.checked()
}

// Shard returns the i-th of n parts, i from 1 to n. Each target is in exactly one of them.
func (p Plan) Shard(i, n uint64) (*Plan, error) {
	if i < 1 || i > n {
		return nil, fmt.Errorf("shard %d/%d does not exist: the first is 1/%d, the last %d/%d", i, n, n, n, n)
	}
	p.shard, p.shards = i-1, n
	if p.Len() == 0 {
		return nil, fmt.Errorf("shard %d/%d is empty: there are %d targets", i, n, p.size())
	}
	return &p, nil
}

// size is the number of targets in all shards.
func (p *Plan) size() uint64 { return p.order.n + p.behind.n }

// Len is the number of targets.
func (p *Plan) Len() uint64 {
	if p.shard >= p.size() {
		return 0
	}
	return (p.size()-p.shard-1)/p.shards + 1
}

// Scope is where the targets lie.
func (p *Plan) Scope() *Scope { return p.scope }

// Ports are what is tried on each address.
func (p *Plan) Ports() []uint16 { return p.ports }

// At is the target at a position from 0 to Len()-1. The gate is asked anew.
func (p *Plan) At(position uint64) (Target, error) {
	return p.scope.Target(p.endpoint(p.index(position)))
}

// index is the number of the target at a position. Targets are numbered by address, then by port; those that only the
// hosts of AllPorts have come behind all others.
func (p *Plan) index(position uint64) uint64 {
	i := position*p.shards + p.shard
	if i < p.order.n {
		return p.order.at(i)
	}
	return p.order.n + p.behind.at(i-p.order.n)
}

// endpoint is the target with a number.
func (p *Plan) endpoint(index uint64) netip.AddrPort {
	scope, ports := p.scope, p.ports
	if index >= p.order.n {
		index -= p.order.n
		scope, ports = p.wide, p.rest
	}
	n := uint64(len(ports))
	if index>>32 == 0 { // a short division takes a fraction of a long one's time
		i := uint32(index) / uint32(n)
		return netip.AddrPortFrom(scope.at(uint64(i)), ports[uint32(index)-i*uint32(n)])
	}
	return netip.AddrPortFrom(scope.at(index/n), ports[index%n])
}

// Holds reports whether an endpoint is a target of ours.
func (p *Plan) Holds(a netip.AddrPort) bool {
	_, _, ok := p.positionOf(a)
	return ok
}

// indexOf is the number of a target, if it is in the plan, whichever its shard.
func (p *Plan) indexOf(a netip.AddrPort) (index uint64, ok bool) {
	if k, listed := slices.BinarySearch(p.ports, a.Port()); listed {
		i, ok := p.scope.place(a.Addr())
		return i*uint64(len(p.ports)) + uint64(k), ok
	}
	if p.wide == nil {
		return 0, false
	}
	k, listed := slices.BinarySearch(p.rest, a.Port())
	i, ok := p.wide.place(a.Addr())
	return p.order.n + i*uint64(len(p.rest)) + uint64(k), ok && listed
}

// positionOf is the number of a target and its position, if it is in the plan and in our shard.
func (p *Plan) positionOf(a netip.AddrPort) (index, position uint64, ok bool) {
	if index, ok = p.indexOf(a); !ok {
		return 0, 0, false
	}
	if index < p.order.n {
		position = p.order.of(index)
	} else {
		position = p.order.n + p.behind.of(index-p.order.n)
	}
	return index, position / p.shards, position%p.shards == p.shard
}

// permutation is a keyed bijection of 0..n-1: a Feistel network of four rounds over the bits that n-1 has, whose halves
// may differ by a bit, walked until the value falls below n. The walk takes fewer than two steps on average.
type permutation struct {
	n         uint64
	bits      uint // of the lower half
	low, high uint64
	keys      [4]uint64
}

func newPermutation(n, seed uint64) permutation {
	width := max(2, uint(bits.Len64(max(n, 1)-1)))
	p := permutation{n: n, bits: width / 2}
	p.low, p.high = 1<<p.bits-1, 1<<(width-p.bits)-1
	for i := range p.keys {
		seed += 0x9e3779b97f4a7c15
		p.keys[i] = mix(seed)
	}
	return p
}

func (p *permutation) at(i uint64) uint64 {
	for {
		l, h := i&p.low, i>>p.bits
		h ^= scatter(l^p.keys[0]) & p.high
		l ^= scatter(h^p.keys[1]) & p.low
		h ^= scatter(l^p.keys[2]) & p.high
		l ^= scatter(h^p.keys[3]) & p.low
		if i = h<<p.bits | l; i < p.n {
			return i
		}
	}
}

// of is the inverse of at.
func (p *permutation) of(i uint64) uint64 {
	for {
		l, h := i&p.low, i>>p.bits
		l ^= scatter(h^p.keys[3]) & p.low
		h ^= scatter(l^p.keys[2]) & p.high
		l ^= scatter(h^p.keys[1]) & p.low
		h ^= scatter(l^p.keys[0]) & p.high
		if i = h<<p.bits | l; i < p.n {
			return i
		}
	}
}

// scatter is the round function: the upper half of a product depends on all bits.
func scatter(x uint64) uint64 {
	x *= 0xd6e8feb86659fd93
	return x ^ x>>32
}

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
