// Package discovertest is a network in memory that keeps score: a Sweeper for tests of what comes after the sweep. No
// packet leaves.
//
//	Plan ─► Network.Sweep ─► Limiter ─► Before ─► Hosts, Trouble ─► Opening, Coverage
//	                                                │
//	                                                └─► Score: every try, in order
package discovertest

import (
	"context"
	"iter"
	"net/netip"
	"slices"
	"sync"

	"relaysweep/discover"
	"relaysweep/ratelimit"
)

// Tries is how often a target that meets local trouble is tried, as by discover.Connect.
const Tries = 5

// Network is the targets of a scan and how they answer. Set the fields before use; any number of Sweeps may run.
type Network struct {
	Hosts   map[netip.AddrPort]discover.State // how a target answers
	Else    discover.State                    // how all others do; if zero they are silent: Filtered
	Trouble map[netip.AddrPort]int            // how many tries fail for local reasons before the target is reached

	Limiter *ratelimit.Limiter          // asked before each try; if nil, all may leave
	Before  func(discover.Target) error // as in discover.Connect, from the vantage's own source

	// Window is how many targets are under way at once. Their results come in reverse order, as the answers of a real
	// network overtake each other. Below 2, results come in the order of the plan.
	Window int

	mu    sync.Mutex
	score []netip.AddrPort
}

var _ discover.Sweeper = (*Network)(nil)

// Score returns every try there was, in order: all that would have left the machine.
func (n *Network) Score() []netip.AddrPort {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.score)
}

// Asked returns how often a target was tried.
func (n *Network) Asked(a netip.AddrPort) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return count(n.score, a)
}

func count(score []netip.AddrPort, a netip.AddrPort) int {
	times := 0
	for _, b := range score {
		if a == b {
			times++
		}
	}
	return times
}

// Sweep implements discover.Sweeper, with the same promises: after ctx is done no target is begun, and a caller that
// stops reading stops the work.
func (n *Network) Sweep(ctx context.Context, cov *discover.Coverage) iter.Seq2[discover.Opening, error] {
	return func(yield func(discover.Opening, error) bool) {
		var window []discover.Opening
		flush := func() bool {
			for _, o := range slices.Backward(window) {
				if !yield(o, nil) {
					return false
				}
			}
			window = window[:0]
			return true
		}
		for t := range cov.Ahead() {
			if ctx.Err() != nil {
				break
			}
			state, err := n.try(ctx, t)
			switch {
			case err != nil:
				flush()
				yield(discover.Opening{}, err)
				return
			case state == discover.NotAttempted:
				flush()
				return
			}
			cov.Set(t.AddrPort(), state)
			if state == discover.Open {
				window = append(window, discover.Opening{Target: t})
			}
			if len(window) >= n.Window && !flush() {
				return
			}
		}
		flush()
	}
}

func (n *Network) try(ctx context.Context, t discover.Target) (state discover.State, err error) {
	for range Tries {
		if n.Limiter != nil {
			if err := n.Limiter.Wait(ctx, t.AddrPort().Addr()); err != nil {
				return discover.NotAttempted, nil
			}
		}
		if n.Before != nil {
			if err := n.Before(t); err != nil {
				return discover.NotAttempted, err
			}
		}
		if state = n.answer(t.AddrPort()); state != discover.Failed {
			break
		}
	}
	return state, nil
}

// answer keeps score and answers.
func (n *Network) answer(a netip.AddrPort) discover.State {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.score = append(n.score, a)
	if n.Trouble[a] > 0 && count(n.score, a) <= n.Trouble[a] {
		return discover.Failed
	}
	state, ok := n.Hosts[a]
	if !ok {
		state = n.Else
	}
	if state == discover.NotAttempted {
		state = discover.Filtered
	}
	return state
}
