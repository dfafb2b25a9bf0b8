package discover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"
)

func TestWhatTheKernelSaysOfAHandshake(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		state  State
		reason string
	}{
		{"nothing", nil, Open, "handshake"},
		{"refused", syscall.ECONNREFUSED, Closed, "reset"},
		{"refused, as package net says it", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, Closed, "reset"},
		{"reset after the handshake: something listens", syscall.ECONNRESET, Open, "handshake, then reset"},
		{"the kernel gave up", syscall.ETIMEDOUT, Filtered, "no answer in 3s"},
		{"we gave up", os.ErrDeadlineExceeded, Filtered, "no answer in 3s"},
		{"no host", syscall.EHOSTUNREACH, Unreachable, "host unreachable"},
		{"no route", syscall.ENETUNREACH, Unreachable, "network unreachable"},

		{"no descriptor", os.NewSyscallError("socket", syscall.EMFILE), Failed, ""},
		{"no descriptor in the system", syscall.ENFILE, Failed, ""},
		{"no memory", syscall.ENOBUFS, Failed, ""},
		{"no port left, or an address that is not ours", syscall.EADDRNOTAVAIL, Failed, ""},
		{"our own firewall", syscall.EPERM, Failed, ""},
		{"our own routes", syscall.EACCES, Failed, ""},
		{"no such family", syscall.EAFNOSUPPORT, Failed, ""},
	} {
		if c.state == Failed {
			c.reason = c.err.Error() // differs from system to system
		}
		state, reason := stateOf(c.err, 3*time.Second)
		if state != c.state || reason != c.reason {
			t.Errorf("%s: got %v, %q, want %v, %q", c.name, state, reason, c.state, c.reason)
		}
	}
}

// listen listens on loopback, and counts who came when it is asked to.
func listen(t *testing.T, address string) (addr netip.AddrPort, came func() int) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("needs to listen on %s: %v", address, err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).AddrPort(), func() int { return callers(t, l) }
}

// callers counts the connections that wait at a listener. A connection of our own tells where they end.
func callers(t *testing.T, l net.Listener) int {
	t.Helper()
	own, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	for n := 0; ; n++ {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if c.RemoteAddr().String() == own.LocalAddr().String() {
			return n
		}
	}
}

func TestDialerReachesTargetsOfItsScope(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			addr, came := listen(t, address)
			s := mustScope(t, aiming(Spec{}, addr.Addr().String()))
			for _, source := range []netip.Addr{{}, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")} { // of the other family: not used
				c, err := s.Dialer(source, time.Minute).Dial(t.Context(), mustTarget(t, s, addr.String()))
				if err != nil {
					t.Fatalf("from %v: %v", source, err)
				}
				c.Close()
			}
			if got := came(); got != 3 {
				t.Errorf("the listener saw %d connections, want 3", got)
			}
		})
	}
}

// Law 1: the gate is asked again at the socket.
func TestDialerRefusesWhatIsNotInItsScope(t *testing.T) {
	addr, came := listen(t, "127.0.0.1:0")
	addr6, came6 := listen(t, "[::1]:0")
	theirs := mustScope(t, aiming(Spec{}, "127.0.0.1", "::1"))
	for _, c := range []struct {
		name string
		ours *Scope
		to   netip.AddrPort
	}{
		{"another scope's target", mustScope(t, aiming(Spec{}, "10.0.0.1", "fd00::1")), addr},
		{"another scope's IPv6 target", mustScope(t, aiming(Spec{}, "10.0.0.1", "fd00::1")), addr6},
		{"a target that our scope excludes", mustScope(t, without(aiming(Spec{}, "127.0.0.0/24", "::1", "fd00::1"), "127.0.0.1", "::1")), addr},
	} {
		target := mustTarget(t, theirs, c.to.String())
		conn, err := c.ours.Dialer(netip.Addr{}, time.Minute).Dial(t.Context(), target)
		if conn != nil || !errors.Is(err, ErrOutOfScope) {
			t.Errorf("%s: got %v, %v, want %v", c.name, conn, err, ErrOutOfScope)
		}
	}
	if conn, err := theirs.Dialer(netip.Addr{}, time.Minute).Dial(t.Context(), Target{}); err == nil {
		conn.Close()
		t.Error("the zero Target: got a connection, want an error")
	}
	if got := came() + came6(); got != 0 {
		t.Errorf("%d connections came, want none", got)
	}
}

// A name that leads elsewhere, should one ever get as far as the dialer, ends at the socket too.
func TestDialerRefusesANameThatLeadsOutside(t *testing.T) {
	addr, came := listen(t, "127.0.0.1:0")
	d := mustScope(t, aiming(Spec{}, "10.0.0.0/8")).Dialer(netip.Addr{}, time.Minute)
	for _, name := range []string{"localhost", "127.0.0.1", "::ffff:127.0.0.1"} {
		c, err := d.dialer.DialContext(t.Context(), "tcp", net.JoinHostPort(name, fmt.Sprint(addr.Port())))
		if err == nil {
			c.Close()
			t.Errorf("%s: got a connection, want none", name)
		}
	}
	if got := came(); got != 0 {
		t.Errorf("%d connections came, want none", got)
	}
}

func TestDialerFollowsTheContext(t *testing.T) {
	addr, came := listen(t, "127.0.0.1:0")
	s := mustScope(t, aiming(Spec{}, "127.0.0.1"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if c, err := s.Dialer(netip.Addr{}, time.Minute).Dial(ctx, mustTarget(t, s, addr.String())); err == nil {
		c.Close()
		t.Error("got a connection, want an error")
	}
	if got := came(); got != 0 {
		t.Errorf("%d connections came, want none", got)
	}
}
