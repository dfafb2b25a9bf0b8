package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"os"
	"sync"
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

// Opening is a target that answered from a vantage: the firewall let us through and something listens.
type Opening struct {
	Target  Target
	Vantage string
	Source  netip.AddrPort // the further source that it opened to; zero: the vantage's own
	// Hollow: the answer to our SYN had a window of zero and no options, as SYN proxies answer for every port.
	Hollow bool
}

// Sweeper tries the targets of a coverage that it knows nothing of yet, and writes down there what they show. It yields
// those that are open as they are found. The sequence ends when all were tried, or soon after ctx is done; what was
// under way then is still written down. A caller that stops reading stops the work. An error is the last of the
// sequence: we could not look any further.
type Sweeper interface {
	Sweep(ctx context.Context, cov *Coverage) iter.Seq2[Opening, error]
}

// Connect is the Sweeper that needs no rights: it completes a TCP handshake and closes it. It runs on every system, with
// a goroutine for each handshake under way.
type Connect struct {
	Vantage  string
	Limiter  *ratelimit.Limiter
	Timeout  time.Duration // for one handshake; 3 s if zero, in which the kernel sends a second SYN
	InFlight int           // handshakes at once; 256 if zero
	Source   netip.Addr    // the vantage's own address; any if zero
	// From is a further source to sweep from; zero: the vantage's own. What opens to it is tried once more from the
	// vantage's own, so that a packet that was lost is not taken for a rule.
	From netip.AddrPort
	// Patience is how long an interface or route may be gone before the sweep gives up; 30 s if zero. The portable engine
	// does not look at that.
	Patience time.Duration
	// Before is called before each send, e.g. to write the audit log; from is zero for the vantage's own source. An
	// error stops the sweep.
	Before func(t Target, from netip.AddrPort) error
}

func (c *Connect) timeout() time.Duration { return cmp.Or(c.Timeout, 3*time.Second) }

func (c *Connect) inFlight() int { return cmp.Or(c.InFlight, 256) }

// Sweep implements Sweeper.
func (c *Connect) Sweep(ctx context.Context, cov *Coverage) iter.Seq2[Opening, error] {
	return func(yield func(Opening, error) bool) {
		ctx, stop := context.WithCancelCause(ctx)
		cov.begin(1)
		plan := cov.plan
		todo := newFrontier(cov)
		workers := int(min(uint64(c.inFlight()), plan.Len()-todo.next))
		found := make(chan Opening, workers)
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for ctx.Err() == nil {
					position, ok := todo.take()
					if !ok {
						return
					}
					if !c.look(ctx, stop, cov, position, found) {
						return
					}
					todo.done(position)
				}
			})
		}
		go func() { wg.Wait(); close(found) }()
		defer func() {
			stop(nil)
			for range found {
			}
		}()
		for o := range found {
			if !yield(o, nil) {
				return
			}
		}
		if err := context.Cause(ctx); err != nil && !errors.Is(err, ctx.Err()) {
			yield(Opening{}, err)
		}
	}
}

// frontier hands out positions, and moves the coverage's cursor over those that are done without a hole.
type frontier struct {
	mu     sync.Mutex
	cov    *Coverage
	next   uint64 // to be handed out
	behind uint64 // all below are done
}

func newFrontier(cov *Coverage) *frontier {
	_, position := cov.cursor()
	return &frontier{cov: cov, next: position, behind: position}
}

// take hands out the next position whose target is not known yet.
func (f *frontier) take() (uint64, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.next < f.cov.plan.Len() {
		position := f.next
		f.next++
		if !f.known(position) {
			return position, true
		}
		f.finish(position)
	}
	return 0, false
}

// done is told when the state of a position has been written down.
func (f *frontier) done(position uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.finish(position)
}

// finish needs no memory of what is done ahead of a hole: the coverage knows.
func (f *frontier) finish(position uint64) {
	if position != f.behind {
		return
	}
	for f.behind < f.next && f.known(f.behind) {
		f.behind++
	}
	f.cov.advance(0, f.behind)
}

func (f *frontier) known(position uint64) bool {
	return f.cov.code(f.cov.plan.index(position)) != codeNone
}

// look tries one target and writes down what it shows. It reports false if it was not tried.
func (c *Connect) look(ctx context.Context, stop func(error), cov *Coverage, position uint64, found chan<- Opening) bool {
	index := cov.plan.index(position)
	t, err := cov.plan.scope.Target(cov.plan.endpoint(index))
	if err != nil {
		stop(err) // the plan and the gate disagree: nothing more is sent
		return false
	}
	if !SourceFits(c.From, t.addr.Addr()) {
		cov.swap(index, codePassed)
		return true
	}
	state, reason := c.handshake(ctx, stop, cov, t, c.From)
	switch state {
	case NotAttempted:
		return false
	case Failed:
		cov.fail(reason)
	case Open:
		o := Opening{Target: t, Vantage: c.Vantage, Source: c.From}
		if c.From != (netip.AddrPort{}) {
			switch again, _ := c.handshake(ctx, stop, cov, t, netip.AddrPort{}); again {
			case NotAttempted:
				return false // interrupted: it is not known whether it opens to that source alone
			case Open:
				o.Source = netip.AddrPort{}
			}
		}
		found <- o
	}
	cov.note(index, state)
	return true
}

// handshake tries one target from one source.
func (c *Connect) handshake(ctx context.Context, stop func(error), cov *Coverage, t Target, from netip.AddrPort) (state State, reason string) {
	// Local trouble is never a verdict on the target: wait for the limiter again and retry.
	for range 5 {
		if err := c.Limiter.Wait(ctx, t.addr.Addr()); err != nil {
			return NotAttempted, "interrupted"
		}
		if err := cov.plan.scope.permit(t.addr.Addr()); err != nil {
			stop(err)
			return NotAttempted, err.Error()
		}
		if c.Before != nil {
			if err := c.Before(t, from); err != nil {
				stop(err)
				return NotAttempted, err.Error()
			}
		}
		cov.addSent(1)
		local, err := localEnd(c.Source, from, t.addr.Addr())
		if err != nil {
			state, reason = stateOf(err, c.timeout()) // the routing table knows no way
		} else {
			// A handshake that was begun is finished even when the scan is interrupted.
			state, reason = connect(t.addr, local, c.timeout())
		}
		if state != Failed {
			break
		}
	}
	return state, reason
}

// stateOf maps what the kernel says of a handshake.
func stateOf(err error, timeout time.Duration) (State, string) {
	switch {
	case err == nil:
		return Open, "handshake"
	case errors.Is(err, syscall.ECONNREFUSED):
		return Closed, "reset"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Open, "handshake, then reset" // a reset in place of the handshake is ECONNREFUSED; EPIPE: a FIN came before
	case errors.Is(err, syscall.EAGAIN):
		return Failed, err.Error() // no port, no memory: package net takes it for a timeout
	case timedOut(err):
		return Filtered, "no answer in " + timeout.String()
	case errors.Is(err, syscall.EHOSTUNREACH):
		return Unreachable, "host unreachable"
	case errors.Is(err, syscall.ENETUNREACH):
		return Unreachable, "network unreachable"
	}
	return Failed, err.Error()
}

func timedOut(err error) bool {
	var ne net.Error
	return errors.Is(err, syscall.ETIMEDOUT) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
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
