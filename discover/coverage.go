package discover

import (
	"net/netip"
	"slices"
	"sort"

	"go4.org/netipx"
)

// Coverage counts what a scan looked at, by included prefix and port.
type Coverage struct {
	scope  *Scope
	ports  map[uint16]int
	list   []uint16
	counts [][len(stateNames)]uint64 // label*ports + port
}

// NewCoverage makes the empty coverage of a plan.
func NewCoverage(p *Plan) *Coverage {
	c := &Coverage{scope: p.scope, ports: make(map[uint16]int), list: p.ports, counts: make([][len(stateNames)]uint64, len(p.scope.labels)*len(p.ports))}
	for i, port := range p.ports {
		c.ports[port] = i
	}
	return c
}

// Add counts one result.
func (c *Coverage) Add(a netip.AddrPort, s State) {
	if n := c.of(a); n != nil {
		n[s]++
	}
}

// Move counts a target that was counted in one state in another: what is open to a further source is open, once.
func (c *Coverage) Move(a netip.AddrPort, from, to State) {
	if n := c.of(a); n != nil && n[from] > 0 {
		n[from]--
		n[to]++
	}
}

// of is where a target is counted; nil outside the plan.
func (c *Coverage) of(a netip.AddrPort) *[len(stateNames)]uint64 {
	label := c.scope.label(a.Addr())
	port, ok := c.ports[a.Port()]
	if label < 0 || !ok {
		return nil
	}
	return &c.counts[label*len(c.list)+port]
}

// CoverageRow is one prefix and port. The counts add up to the prefix's addresses.
type CoverageRow struct {
	Prefix       netip.Prefix      `json:"prefix"`
	Port         uint16            `json:"port"`
	Open         uint64            `json:"open"`
	Closed       uint64            `json:"closed"`
	Filtered     uint64            `json:"filtered"`
	Prohibited   uint64            `json:"prohibited"`
	Unreachable  uint64            `json:"unreachable"`
	NotAttempted uint64            `json:"not_attempted"`
	Failed       uint64            `json:"failed"`
	Reasons      map[string]uint64 `json:"reasons,omitempty"` // of what was not attempted
}

// Looked is how many targets of the row gave an answer or a meaningful silence.
func (r CoverageRow) Looked() uint64 {
	return r.Open + r.Closed + r.Filtered + r.Prohibited + r.Unreachable
}

// Rows lists the coverage. What was never reported counts as not attempted: excluded addresses for that reason, the
// rest as interrupted.
func (c *Coverage) Rows() []CoverageRow {
	var rows []CoverageRow
	for l, prefix := range c.scope.labels {
		addresses := prefixLen(prefix)
		in := c.scope.countIn(prefix)
		for i, port := range c.list {
			n := c.counts[l*len(c.list)+i]
			r := CoverageRow{Prefix: prefix, Port: port, Open: n[Open], Closed: n[Closed], Filtered: n[Filtered], Prohibited: n[Prohibited], Unreachable: n[Unreachable], Failed: n[Failed]}
			r.NotAttempted = addresses - r.Looked() - r.Failed
			r.Reasons = make(map[string]uint64)
			if addresses > in {
				r.Reasons["excluded"] = addresses - in
			}
			if left := r.NotAttempted - (addresses - in); left > 0 {
				r.Reasons["interrupted"] = left
			}
			rows = append(rows, r)
		}
	}
	return rows
}

// Complete reports whether every target in scope was looked at.
func (c *Coverage) Complete() bool {
	for _, r := range c.Rows() {
		if r.Failed > 0 || r.Reasons["interrupted"] > 0 {
			return false
		}
	}
	return true
}

// Counts returns the raw counts, to be kept and given to Restore when a scan resumes.
func (c *Coverage) Counts() [][]uint64 {
	var out [][]uint64
	for _, n := range c.counts {
		out = append(out, append([]uint64(nil), n[:]...))
	}
	return out
}

// Restore sets the counts of an earlier part of the same scan. It changes nothing where they do not fit.
func (c *Coverage) Restore(counts [][]uint64) bool {
	if len(counts) != len(c.counts) || slices.ContainsFunc(counts, func(n []uint64) bool { return len(n) != len(stateNames) }) {
		return false
	}
	for i, n := range counts {
		copy(c.counts[i][:], n)
	}
	return true
}

// prefixLen is the number of addresses of a prefix; 2^63 stands for more, of which a scope can hold only a part.
func prefixLen(p netip.Prefix) uint64 { return 1 << min(p.Addr().BitLen()-p.Bits(), 63) }

// countIn is how many addresses of the scope lie in a prefix, after exclusion.
func (s *Scope) countIn(p netip.Prefix) uint64 {
	var n uint64
	first, last := p.Masked().Addr(), netipx.PrefixLastIP(p)
	k := sort.Search(len(s.ranges), func(k int) bool { return !s.ranges[k].to.Less(first) })
	for ; k < len(s.ranges) && !last.Less(s.ranges[k].from); k++ {
		from, to := s.ranges[k].from, s.ranges[k].to
		if from.Less(first) {
			from = first
		}
		if last.Less(to) {
			to = last
		}
		m, _ := rangeLen(netipx.IPRangeFrom(from, to))
		n += m
	}
	return n
}
