package discover

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
)

// Plan is the order in which a scan visits its targets: every address of the scope on every port, exactly once, in an
// order that a seed decides. A position in it is a number, so that a scan resumes from one.
type Plan struct {
	scope *Scope
	ports []uint16
	order permutation
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
	return &Plan{scope: s, ports: ports, order: newPermutation(s.Len()*uint64(len(ports)), seed)}, nil
}

// Len is the number of targets.
func (p *Plan) Len() uint64 { return p.order.n }

// Scope is where the targets lie.
func (p *Plan) Scope() *Scope { return p.scope }

// Ports are what is tried on each address.
func (p *Plan) Ports() []uint16 { return p.ports }

// At is the target at a position from 0 to Len()-1. The gate is asked anew.
func (p *Plan) At(position uint64) (Target, error) {
	i := p.order.at(position)
	n := uint64(len(p.ports))
	return p.scope.Target(netip.AddrPortFrom(p.scope.at(i/n), p.ports[i%n]))
}

// permutation is a keyed bijection of 0..n-1: a balanced Feistel network over the next even number of bits, walked
// until the value falls below n. The walk takes fewer than four steps on average, as the domain is below 4n.
type permutation struct {
	n    uint64
	half uint
	keys [6]uint64
}

func newPermutation(n, seed uint64) permutation {
	p := permutation{n: n, half: max(1, uint(bits.Len64(max(n, 2)-1)+1)/2)}
	for i := range p.keys {
		seed += 0x9e3779b97f4a7c15
		p.keys[i] = mix(seed)
	}
	return p
}

func (p permutation) at(i uint64) uint64 {
	mask := uint64(1)<<p.half - 1
	for {
		l, r := i>>p.half, i&mask
		for _, k := range p.keys {
			l, r = r, l^(mix(r^k)&mask)
		}
		if i = l<<p.half | r; i < p.n {
			return i
		}
	}
}

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
