package discover

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"relaysweep/ratelimit"
)

// A route that is gone says nothing of the targets: the connect engine waits for it, and asks again whom it could not
// have reached.
func TestEpollWhereTheNetworkGoes(t *testing.T) {
	if !inside(t) {
		return
	}
	// What the wire answers with an error ends a handshake as well: here all else is silent.
	open := func(a netip.AddrPort) State {
		switch s := truth(a); s {
		case Open, Closed:
			return s
		}
		return Filtered
	}
	const targets, count = "10.50.0.0/23", 512
	engine := func() *Epoll {
		return &Epoll{Connect: Connect{Limiter: ratelimit.New(ratelimit.Rates{Total: 500}), Timeout: 600 * time.Millisecond, InFlight: 400, Patience: 20 * time.Second}}
	}
	run := func(e *Epoll, cov *Coverage) (list []Opening, err error) {
		for o, e := range e.Sweep(t.Context(), cov) {
			if err = e; err == nil {
				list = append(list, o)
			}
		}
		return list, err
	}
	t.Run("the interface goes down for two seconds", func(t *testing.T) {
		w := newWire(t, "w0", true, byRouter("w0"))
		w.state = open
		w.when(count/2, func() {
			shell(t, "ip link set w0 down")
			time.Sleep(2 * time.Second)
			shell(t, "ip link set w0 up; ip route replace default via "+router4)
		})
		w.play(t)
		cov := coverageOf(t, 1, []uint16{25}, targets)
		list, err := run(engine(), cov)
		if err != nil {
			t.Fatal(err)
		}
		exact(t, cov, list, open)
	})
	t.Run("for good", func(t *testing.T) {
		w := newWire(t, "w0", true, byRouter("w0"))
		w.state = open
		w.when(count/2, func() { shell(t, "ip link set w0 down") })
		w.play(t)
		cov := coverageOf(t, 2, []uint16{25}, targets)
		e := engine()
		e.Patience = time.Second
		if _, err := run(e, cov); !errors.Is(err, ErrNetworkGone) {
			t.Fatalf("got %v, want %v", err, ErrNetworkGone)
		}
		for a, s := range cov.States() {
			if s != NotAttempted && s != open(a) {
				t.Errorf("%v: got %v, want %v or nothing", a, s, open(a))
			}
		}
		shell(t, "ip link set w0 up; ip route replace default via "+router4)
		if _, err := run(engine(), cov); err != nil {
			t.Fatal(err)
		}
		exact(t, cov, nil, open)
	})
}
