package discover

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relaysweep/ratelimit"
)

func TestWhatICMPSaysOfAHandshake(t *testing.T) {
	const reject = "icmp port or protocol unreachable: a firewall's reject"
	const admin = "icmp administratively prohibited"
	for _, c := range []struct {
		name       string
		origin     uint8
		kind, code uint8
		errno      unix.Errno // what Linux makes of it: net/ipv4/icmp.c, net/ipv6/icmp.c
		state      State
		reason     string
	}{
		{"net unreachable", unix.SO_EE_ORIGIN_ICMP, 3, 0, unix.ENETUNREACH, Unreachable, "network unreachable"},
		{"host unreachable", unix.SO_EE_ORIGIN_ICMP, 3, 1, unix.EHOSTUNREACH, Unreachable, "host unreachable"},
		{"protocol unreachable", unix.SO_EE_ORIGIN_ICMP, 3, 2, unix.ENOPROTOOPT, Prohibited, reject},
		{"port unreachable is no reset", unix.SO_EE_ORIGIN_ICMP, 3, 3, unix.ECONNREFUSED, Prohibited, reject},
		{"source route failed", unix.SO_EE_ORIGIN_ICMP, 3, 5, unix.EOPNOTSUPP, Unreachable, "icmp type 3 code 5"},
		{"net unknown", unix.SO_EE_ORIGIN_ICMP, 3, 6, unix.ENETUNREACH, Unreachable, "network unreachable"},
		{"host unknown", unix.SO_EE_ORIGIN_ICMP, 3, 7, unix.EHOSTDOWN, Unreachable, "icmp type 3 code 7"},
		{"host isolated", unix.SO_EE_ORIGIN_ICMP, 3, 8, unix.ENONET, Unreachable, "icmp type 3 code 8"},
		{"net prohibited", unix.SO_EE_ORIGIN_ICMP, 3, 9, unix.ENETUNREACH, Prohibited, admin},
		{"host prohibited", unix.SO_EE_ORIGIN_ICMP, 3, 10, unix.EHOSTUNREACH, Prohibited, admin},
		{"communication prohibited", unix.SO_EE_ORIGIN_ICMP, 3, 13, unix.EHOSTUNREACH, Prohibited, admin},
		{"a routing loop", unix.SO_EE_ORIGIN_ICMP, 11, 0, unix.EHOSTUNREACH, Unreachable, "host unreachable"},
		{"a parameter problem", unix.SO_EE_ORIGIN_ICMP, 12, 0, unix.EPROTO, Unreachable, "icmp type 12 code 0"},
		{"IPv6 no route", unix.SO_EE_ORIGIN_ICMP6, 1, 0, unix.ENETUNREACH, Unreachable, "network unreachable"},
		{"IPv6 prohibited", unix.SO_EE_ORIGIN_ICMP6, 1, 1, unix.EACCES, Prohibited, admin},
		{"IPv6 beyond scope", unix.SO_EE_ORIGIN_ICMP6, 1, 2, unix.EHOSTUNREACH, Unreachable, "host unreachable"},
		{"IPv6 address unreachable", unix.SO_EE_ORIGIN_ICMP6, 1, 3, unix.EHOSTUNREACH, Unreachable, "host unreachable"},
		{"IPv6 port unreachable is no reset", unix.SO_EE_ORIGIN_ICMP6, 1, 4, unix.ECONNREFUSED, Prohibited, reject},
		{"IPv6 source policy", unix.SO_EE_ORIGIN_ICMP6, 1, 5, unix.EACCES, Prohibited, admin},
		{"IPv6 reject route", unix.SO_EE_ORIGIN_ICMP6, 1, 6, unix.EACCES, Prohibited, admin},
		{"IPv6 routing loop", unix.SO_EE_ORIGIN_ICMP6, 3, 0, unix.EHOSTUNREACH, Unreachable, "host unreachable"},
	} {
		e := &unix.SockExtendedErr{Errno: uint32(c.errno), Origin: c.origin, Type: c.kind, Code: c.code}
		state, reason := icmpState(e, c.errno, time.Second)
		if state != c.state || reason != c.reason {
			t.Errorf("%s: got %v, %q, want %v, %q", c.name, state, reason, c.state, c.reason)
		}
	}
	for errno, want := range map[unix.Errno]State{unix.ECONNREFUSED: Closed, unix.EACCES: Failed, unix.EHOSTUNREACH: Unreachable} {
		if state, _ := icmpState(nil, errno, time.Second); state != want {
			t.Errorf("%v without ICMP: got %v, want %v", errno, state, want)
		}
	}
}

// closedPort returns a port of an address where nobody listens, and nobody can as long as the test runs.
func closedPort(t *testing.T, address string) netip.AddrPort {
	t.Helper()
	a := netip.MustParseAddr(address)
	family := unix.AF_INET
	if a.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(a, 0))); err != nil {
		t.Skipf("needs the address %s: %v", address, err)
	}
	return netip.AddrPortFrom(a, portOf(t, fd))
}

func portOf(t *testing.T, fd int) uint16 {
	t.Helper()
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	switch n := name.(type) {
	case *unix.SockaddrInet4:
		return uint16(n.Port)
	case *unix.SockaddrInet6:
		return uint16(n.Port)
	}
	t.Fatalf("got address %T", name)
	return 0
}

// silentPort returns a port that does not answer: Linux drops the SYN when a listener's queue is full.
func silentPort(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	a := netip.MustParseAddr("127.0.0.1")
	if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(a, 0))); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(a, portOf(t, fd))
	for range 4 {
		c, err := net.DialTimeout("tcp", addr.String(), 200*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("needs a kernel that drops SYNs when the queue of a listener is full (net.ipv4.tcp_abort_on_overflow=0); or root, for TestStatesInANamespace")
	return addr
}

// sweepAll sweeps the ports of some addresses, each on each, and returns what was seen and what was yielded.
func sweepAll(t *testing.T, c *Connect, addrs ...netip.AddrPort) (*Coverage, []Opening) {
	t.Helper()
	var texts []string
	var ports []uint16
	for _, a := range addrs {
		texts, ports = append(texts, a.Addr().String()), append(ports, a.Port())
	}
	if c.Limiter == nil {
		c.Limiter = ratelimit.New(ratelimit.Rates{})
	}
	cov := NewCoverage(mustPlan(t, mustScope(t, aiming(Spec{}, texts...)), 1, ports...))
	openings := sweep(t, c, cov)
	if !cov.Swept() {
		t.Errorf("the sweep ended after %d of %d targets", cov.Looked(), cov.plan.Len())
	}
	for _, o := range openings {
		if got := cov.State(o.Target.AddrPort()); got != Open {
			t.Errorf("%v was yielded as open, and is %v", o.Target, got)
		}
	}
	if n := len(slices.Collect(cov.Openings())); n != len(openings) {
		t.Errorf("got %d openings, want the %d that are written down", len(openings), n)
	}
	return cov, openings
}

func TestConnectTellsTheStatesApart(t *testing.T) {
	open, _ := listen(t, "127.0.0.1:0")
	closed, silent := closedPort(t, "127.0.0.1"), silentPort(t)
	const timeout = 500 * time.Millisecond
	got, _ := sweepAll(t, &Connect{Timeout: timeout}, open, closed, silent)
	for _, c := range []struct {
		addr   netip.AddrPort
		state  State
		reason string
	}{{open, Open, "handshake"}, {closed, Closed, "reset"}, {silent, Filtered, "no answer in 500ms"}} {
		if state := got.State(c.addr); state != c.state {
			t.Errorf("swept: got %v, want %v", state, c.state)
		}
		if state, reason := connect(c.addr, netip.AddrPort{}, timeout); state != c.state || reason != c.reason {
			t.Errorf("got %v, %q, want %v, %q", state, reason, c.state, c.reason)
		}
	}
}

func TestConnectTellsTheStatesApartInIPv6(t *testing.T) {
	open, _ := listen(t, "[::1]:0")
	closed := closedPort(t, "::1")
	got, _ := sweepAll(t, &Connect{Source: netip.MustParseAddr("127.0.0.1")}, open, closed) // the source is of the other family: not used
	for addr, want := range map[netip.AddrPort]State{open: Open, closed: Closed} {
		if state := got.State(addr); state != want {
			t.Errorf("got %v, want %v", state, want)
		}
	}
}

// resetter is a server that takes connections and resets them at once.
func resetter(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// A server that takes connections and resets them at once, as TCP wrappers and some firewalls do, is not a closed port.
func TestConnectTakesAResetAfterTheHandshakeForOpen(t *testing.T) {
	a := resetter(t)
	for range 300 {
		if state, reason := connect(a, netip.AddrPort{}, time.Minute); state != Open {
			t.Fatalf("got %v, %q, want %v", state, reason, Open)
		}
	}
}

func needsOwnSources(t *testing.T) {
	t.Helper()
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_nonlocal_bind"); err != nil || strings.TrimSpace(string(b)) != "0" {
		t.Skip("needs net.ipv4.ip_nonlocal_bind=0, so that binding to 192.0.2.1 fails")
	}
}

// Law 2, law 6: our own trouble is Failed, and each try of it has a permission. When the sweep goes on it is tried again.
func TestLocalTroubleIsFailed(t *testing.T) {
	needsOwnSources(t)
	open, came := listen(t, "127.0.0.1:0")
	closed := closedPort(t, "127.0.0.1")
	var tries atomic.Int64
	c := &Connect{Source: netip.MustParseAddr("192.0.2.1"), Before: func(Target, netip.AddrPort) error { tries.Add(1); return nil }}
	got, _ := sweepAll(t, c, open, closed)
	for addr, state := range got.States() {
		if state != Failed {
			t.Errorf("%v: got %v, want %v", addr, state, Failed)
		}
	}
	if why := got.Trouble(); why != "bind: cannot assign requested address" {
		t.Errorf("got %q, want bind: cannot assign requested address", why)
	}
	if n := tries.Load(); got.plan.Len() != 2 || n != 10 || got.Sent() != 10 {
		t.Errorf("%d targets in %d tries, of which %d are counted, want 2 in 10", got.plan.Len(), n, got.Sent())
	}
	if n := came(); n != 0 {
		t.Errorf("%d connections came, want none", n)
	}
	if got.Complete() {
		t.Error("complete with targets that failed")
	}
	c.Source = netip.Addr{}
	if openings := sweep(t, c, got); len(openings) != 1 || got.State(open) != Open || got.State(closed) != Closed || tries.Load() != 12 || !got.Complete() {
		t.Errorf("again: got %v, %v, %v in %d tries, want the trouble to be over", openings, got.State(open), got.State(closed), tries.Load()-10)
	}
}

func TestTryingAgainNeedsPermissionAgain(t *testing.T) {
	needsOwnSources(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tries := 0
	c := &Connect{
		Limiter: ratelimit.New(ratelimit.Rates{Total: 1.0 / 3600}), Source: netip.MustParseAddr("192.0.2.1"), InFlight: 1,
		Before: func(Target, netip.AddrPort) error {
			tries++
			cancel() // the wait for the second permission ends at once
			return nil
		},
	}
	cov := NewCoverage(mustPlan(t, mustScope(t, aiming(Spec{}, "127.0.0.1")), 1, 25))
	for o, err := range c.Sweep(ctx, cov) {
		t.Errorf("got %v, %v, want nothing", o, err)
	}
	if row := cov.Rows()[0]; row.Reasons["interrupted"] != 1 {
		t.Errorf("got %+v, want it interrupted", row)
	}
	if tries != 1 {
		t.Errorf("got %d tries, want the one that was permitted", tries)
	}
}

func TestSourceIsUsed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sweepAll(t, &Connect{Source: netip.MustParseAddr("127.0.0.2")}, l.Addr().(*net.TCPAddr).AddrPort())
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, _, _ := net.SplitHostPort(fmt.Sprint(c.RemoteAddr())); got != "127.0.0.2" {
		t.Errorf("came from %s, want 127.0.0.2", got)
	}
}
