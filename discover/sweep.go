package discover

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"relaysweep/ratelimit"
)

// State is what trying a target showed.
type State uint8

// The states are kept apart: only Closed is evidence that nothing listens (DESIGN.md, law 2).
const (
	NotAttempted State = iota // excluded, interrupted, out of budget
	Open                      // the handshake completed
	Closed                    // a reset came back
	Filtered                  // silence
	Prohibited                // ICMP: administratively prohibited (RFC 1812 5.2.7.1, RFC 4443 3.1), or a firewall's reject
	Unreachable               // ICMP: no route, no host; or nobody answered ARP/ND
	Failed                    // our fault: no descriptor, no port, no permission
)

var stateNames = [...]string{"not-attempted", "open", "closed", "filtered", "prohibited", "unreachable", "failed"}

func (s State) String() string { return stateNames[s] }

// MarshalText writes the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state's name.
func (s *State) UnmarshalText(b []byte) error {
	for i, n := range stateNames {
		if n == string(b) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("unknown state %q", b)
}

// Result is what one target answered.
type Result struct {
	Position uint64
	Target   Target
	State    State
	Reason   string // what told us: "reset", "no answer in 3s", an errno
	// Passed: Skip asked to pass it over, or its address is of another family than the source. Nothing was sent.
	Passed bool
	// Plain: it opened to a further source, and to the vantage's own as well when that was tried once more.
	Plain bool
}

// Opening is a target that answered from a vantage: the firewall let us through and something listens.
type Opening struct {
	Target  Target
	Vantage string
	Source  netip.AddrPort // the further source that it opened to; zero: the vantage's own
}

// Sweeper tries the targets of a plan from a position on. The sequence ends when all were tried, or soon after ctx is
// done; what was under way then is still reported. A caller that stops reading stops the work.
type Sweeper interface {
	Sweep(ctx context.Context, plan *Plan, from uint64) iter.Seq[Result]
}

// Connect is the Sweeper that needs no rights: it completes a TCP handshake and closes it.
type Connect struct {
	Limiter  *ratelimit.Limiter
	Timeout  time.Duration // for one handshake; 3 s if zero, in which the kernel sends a second SYN
	InFlight int           // handshakes at once; 256 if zero
	Source   netip.Addr    // the vantage's own address; any if zero
	// From is a further source to sweep from; zero: the vantage's own. What opens to it is tried once more from the
	// vantage's own, so that a packet that was lost is not taken for a rule.
	From netip.AddrPort
	// Skip passes targets over; nil: none.
	Skip func(position uint64, t Target) bool
	// Before is called before each send, e.g. to write the audit log; from is zero for the vantage's own source. An
	// error stops the sweep.
	Before func(t Target, from netip.AddrPort) error
}

// Sweep implements Sweeper.
func (c *Connect) Sweep(ctx context.Context, plan *Plan, from uint64) iter.Seq[Result] {
	timeout, workers := c.Timeout, c.InFlight
	if timeout == 0 {
		timeout = 3 * time.Second
	}
	if workers == 0 {
		workers = 256
	}
	if left := plan.Len() - min(from, plan.Len()); uint64(workers) > left {
		workers = int(left)
	}
	return func(yield func(Result) bool) {
		ctx, stop := context.WithCancel(ctx)
		results := make(chan Result, workers)
		var next atomic.Uint64
		next.Store(from)
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for {
					// A position that was taken is always reported, so that the results have no holes.
					if ctx.Err() != nil {
						return
					}
					position := next.Add(1) - 1
					if position >= plan.Len() {
						return
					}
					results <- c.try(ctx, stop, plan, position, timeout)
				}
			})
		}
		go func() { wg.Wait(); close(results) }()
		defer func() {
			stop()
			for range results {
			}
		}()
		for r := range results {
			if !yield(r) {
				return
			}
		}
	}
}

func (c *Connect) try(ctx context.Context, stop func(), plan *Plan, position uint64, timeout time.Duration) Result {
	r := Result{Position: position}
	var err error
	if r.Target, err = plan.At(position); err != nil {
		r.State, r.Reason = NotAttempted, err.Error()
		return r
	}
	if !SourceFits(c.From, r.Target.addr.Addr()) || c.Skip != nil && c.Skip(position, r.Target) {
		r.State, r.Reason, r.Passed = NotAttempted, "passed over", true
		return r
	}
	r.State, r.Reason = c.handshake(ctx, stop, plan, r.Target, c.From, timeout)
	if r.State == Open && c.From != (netip.AddrPort{}) {
		again, _ := c.handshake(ctx, stop, plan, r.Target, netip.AddrPort{}, timeout)
		r.Plain = again == Open
	}
	return r
}

// handshake tries one target from one source.
func (c *Connect) handshake(ctx context.Context, stop func(), plan *Plan, t Target, from netip.AddrPort, timeout time.Duration) (state State, reason string) {
	// Local trouble is never a verdict on the target: wait for the limiter again and retry.
	for range 5 {
		if err := c.Limiter.Wait(ctx, t.addr.Addr()); err != nil {
			return NotAttempted, "interrupted"
		}
		if err := plan.scope.permit(t.addr.Addr()); err != nil {
			return NotAttempted, err.Error()
		}
		if c.Before != nil {
			if err := c.Before(t, from); err != nil {
				stop()
				return Failed, err.Error()
			}
		}
		local, err := localEnd(c.Source, from, t.addr.Addr())
		if err != nil {
			state, reason = stateOf(err, timeout) // the routing table knows no way
		} else {
			// A handshake that was begun is finished even when the scan is interrupted.
			state, reason = connect(t.addr, local, timeout)
		}
		if state != Failed {
			break
		}
	}
	return state, reason
}

// stateOf maps what the kernel says of a handshake.
func stateOf(err error, timeout time.Duration) (State, string) {
	var ne net.Error
	switch {
	case err == nil:
		return Open, "handshake"
	case errors.Is(err, syscall.ECONNREFUSED):
		return Closed, "reset"
	case errors.Is(err, syscall.ECONNRESET):
		return Open, "handshake, then reset" // a reset in place of the handshake is ECONNREFUSED
	case errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return Filtered, "no answer in " + timeout.String()
	case errors.Is(err, syscall.EHOSTUNREACH):
		return Unreachable, "host unreachable"
	case errors.Is(err, syscall.ENETUNREACH):
		return Unreachable, "network unreachable"
	}
	return Failed, err.Error()
}

// Dialer opens connections to targets. What it dials is checked against the scope once more at the socket, so that no
// name, redirect or mistake can lead outside (DESIGN.md, law 1).
type Dialer struct {
	scope  *Scope
	dialer net.Dialer
}

// Dialer returns the scope's Dialer; source may be the zero Addr.
func (s *Scope) Dialer(source netip.Addr, timeout time.Duration) *Dialer {
	d := &Dialer{scope: s, dialer: net.Dialer{Timeout: timeout}}
	if source.IsValid() {
		d.dialer.LocalAddr = &net.TCPAddr{IP: source.AsSlice()}
	}
	d.dialer.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return s.permit(a.Addr())
	}
	return d
}

// Dial connects to a target.
func (d *Dialer) Dial(ctx context.Context, t Target) (net.Conn, error) {
	dialer := d.dialer
	if l, ok := dialer.LocalAddr.(*net.TCPAddr); ok && (l.IP.To4() != nil) != t.addr.Addr().Is4() {
		dialer.LocalAddr = nil // the source address is of the other family
	}
	return dialer.DialContext(ctx, "tcp", t.addr.String())
}
