// Package discovertest is a network in memory that keeps score: a Sweeper for tests of what comes after the sweep. No
// packet leaves.
//
//	Plan ─► Network.Sweep ─► Limiter ─► Before ─► Hosts, Trouble ─► Result
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

// Sweep implements discover.Sweeper, with the same promises: a position that was begun is reported, after ctx is done
// none is begun, and a caller that stops reading stops the work.
func (n *Network) Sweep(ctx context.Context, plan *discover.Plan, from uint64) iter.Seq[discover.Result] {
	return func(yield func(discover.Result) bool) {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		for position := from; position < plan.Len() && ctx.Err() == nil; {
			var window []discover.Result
			for range max(n.Window, 1) {
				if position == plan.Len() || ctx.Err() != nil {
					break
				}
				window = append(window, n.try(ctx, stop, plan, position))
				position++
			}
			for _, r := range slices.Backward(window) {
				if !yield(r) {
					return
				}
			}
		}
	}
}

func (n *Network) try(ctx context.Context, stop func(), plan *discover.Plan, position uint64) discover.Result {
	r := discover.Result{Position: position}
	var err error
	if r.Target, err = plan.At(position); err != nil {
		r.Reason = err.Error()
		return r
	}
	for range Tries {
		if n.Limiter != nil {
			if err := n.Limiter.Wait(ctx, r.Target.AddrPort().Addr()); err != nil {
				r.State, r.Reason = discover.NotAttempted, "interrupted"
				return r
			}
		}
		if n.Before != nil {
			if err := n.Before(r.Target); err != nil {
				stop()
				r.State, r.Reason = discover.Failed, err.Error()
				return r
			}
		}
		if r.State, r.Reason = n.answer(r.Target.AddrPort()); r.State != discover.Failed {
			return r
		}
	}
	return r
}

var reasons = map[discover.State]string{
	discover.Open: "handshake", discover.Closed: "reset", discover.Filtered: "no answer in 3s",
	discover.Prohibited: "icmp administratively prohibited", discover.Unreachable: "host unreachable", discover.Failed: "socket: too many open files",
}

// answer keeps score and answers.
func (n *Network) answer(a netip.AddrPort) (discover.State, string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.score = append(n.score, a)
	if n.Trouble[a] > 0 && count(n.score, a) <= n.Trouble[a] {
		return discover.Failed, reasons[discover.Failed]
	}
	state, ok := n.Hosts[a]
	if !ok {
		state = n.Else
	}
	if state == discover.NotAttempted {
		state = discover.Filtered
	}
	return state, reasons[state]
}
