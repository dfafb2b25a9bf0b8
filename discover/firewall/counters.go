package firewall

import (
	"errors"
	"fmt"
	"slices"
)

// Moved is a line whose counter grew between two exports.
type Moved struct {
	Chain          *Chain
	Rule           *Rule // nil: the chain's policy
	Packets, Bytes uint64
}

// CountersBetween lists the lines whose counters grew between two exports of one device. Lines are told by their chain
// and ID; those that are in one export only are left out, as are counters that were reset in between.
func CountersBetween(before, after *Ruleset) ([]Moved, error) {
	var out []Moved
	counted := false
	for _, name := range sortedNames(after.Chains) {
		now, old := after.Chains[name], before.Chains[name]
		if old == nil {
			continue
		}
		add := func(r *Rule, a, b *Counter) {
			if a == nil || b == nil {
				return
			}
			counted = true
			if b.Packets > a.Packets && b.Bytes >= a.Bytes {
				out = append(out, Moved{now, r, b.Packets - a.Packets, b.Bytes - a.Bytes})
			}
		}
		had := make(map[string]*Rule)
		for _, r := range old.Rules {
			had[r.ID] = r
		}
		for _, r := range now.Rules {
			if o := had[r.ID]; o != nil && sameLine(o, r) {
				add(r, o.Counter, r.Counter)
			}
		}
		add(nil, old.Counter, now.Counter)
	}
	if !counted {
		return nil, errors.New("the two exports have no counters in common: export them with counters (iptables-save -c; nftables rules need the word counter), without a change of the rules in between")
	}
	return out, nil
}

// sameLine reports whether two rules of one ID are the same line still: IDs that are positions move with every change.
func sameLine(a, b *Rule) bool {
	return a.Action == b.Action && a.Chain == b.Chain && len(a.Match) == len(b.Match) && a.Comment == b.Comment
}

func sortedNames(chains map[string]*Chain) []string {
	out := make([]string, 0, len(chains))
	for n := range chains {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// Agrees holds what moved between two exports against what the model says of a connection that was made meanwhile. nil:
// every line that it says decides has moved, where it has a counter at all.
func Agrees(moved []Moved, d Decision) error {
	for _, h := range d.Hops {
		if h.Packet != First || len(h.Ends) != 1 {
			continue
		}
		e := h.Ends[0]
		if e.Rule == nil && (e.Chain == nil || e.Chain.Counter == nil) || e.Rule != nil && e.Rule.Counter == nil {
			continue
		}
		if slices.ContainsFunc(moved, func(m Moved) bool { return m.Chain == e.Chain && m.Rule == e.Rule }) {
			continue
		}
		name := "its policy"
		if e.Rule != nil {
			name = "rule " + e.Rule.ID
		}
		return fmt.Errorf("%s: %s should have counted the connection, and did not move", h.Step.Name, name)
	}
	return nil
}

// Unmodelled lists the words of a match that are not modelled.
func (m Match) Unmodelled() (out []string) {
	for i := range m {
		if m[i].Word != "" {
			out = append(out, m[i].Word)
		}
		for _, n := range m[i].Any {
			out = append(out, n.Unmodelled()...)
		}
	}
	return out
}
