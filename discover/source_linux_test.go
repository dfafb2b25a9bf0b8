package discover

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relaysweep/ratelimit"
)

// freePort is a port of an address that was free a moment ago.
func freePort(t *testing.T, address string) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", address+":0")
	if err != nil {
		t.Skipf("needs the address %s: %v", address, err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

// door is a listener that notes where its clients come from, and closes them.
type door struct {
	addr netip.AddrPort
	mu   sync.Mutex
	from []netip.AddrPort
}

func newDoor(t *testing.T, address string) *door {
	t.Helper()
	l, err := net.Listen("tcp4", address)
	if err != nil {
		t.Skipf("needs to listen on %s: %v", address, err)
	}
	d := &door{addr: l.Addr().(*net.TCPAddr).AddrPort()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d.mu.Lock()
			d.from = append(d.from, c.RemoteAddr().(*net.TCPAddr).AddrPort())
			d.mu.Unlock()
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return d
}

// came waits for n clients.
func (d *door) came(t *testing.T, n int) []netip.AddrPort {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		d.mu.Lock()
		from := slices.Clone(d.from)
		d.mu.Unlock()
		if len(from) >= n || time.Now().After(deadline) {
			if len(from) != n {
				t.Fatalf("%d clients came, want %d: %v", len(from), n, from)
			}
			return from
		}
	}
}

// halfCameFrom holds that of six clients three came from a further source.
func (d *door) halfCameFrom(t *testing.T, from netip.AddrPort, is func(netip.AddrPort) bool) {
	t.Helper()
	n := 0
	for _, a := range d.came(t, 6) {
		if is(a) {
			n++
		}
	}
	if n != 3 {
		t.Errorf("%v: %d of 6 clients came from %s, want 3: %v", d.addr, n, SourceText(from), d.from)
	}
}

// What opens to a further source is tried from the vantage's own once more. Many connections leave from one port, and
// a second sweep from that port is not kept waiting by what the first one left.
func TestSweepFromAnotherSource(t *testing.T) {
	port := freePort(t, "127.0.0.5")
	for _, c := range []struct {
		name string
		own  string
		from netip.AddrPort
		want func(a netip.AddrPort) bool
	}{
		{"another address", "", netip.MustParseAddrPort("127.0.0.5:0"), func(a netip.AddrPort) bool { return a.Addr().String() == "127.0.0.5" }},
		{"another address and port", "127.0.0.4", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.5"), port), func(a netip.AddrPort) bool { return a == netip.AddrPortFrom(netip.MustParseAddr("127.0.0.5"), port) }},
		{"another port of the vantage's own address", "127.0.0.5", netip.AddrPortFrom(netip.Addr{}, port), func(a netip.AddrPort) bool { return a == netip.AddrPortFrom(netip.MustParseAddr("127.0.0.5"), port) }},
		{"another port of the address that the kernel chooses", "", netip.AddrPortFrom(netip.Addr{}, port), func(a netip.AddrPort) bool { return a.Port() == port }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var doors []*door
			var texts []string
			listen := freePort(t, "127.0.0.1")
			for i := range 20 {
				d := newDoor(t, fmt.Sprintf("127.0.9.%d:%d", i+1, listen))
				doors, texts = append(doors, d), append(texts, d.addr.Addr().String())
			}
			var own netip.Addr
			if c.own != "" {
				own = netip.MustParseAddr(c.own)
			}
			var mu sync.Mutex
			tries := map[netip.AddrPort]int{}
			connect := &Connect{
				Limiter: ratelimit.New(ratelimit.Rates{}), Source: own, From: c.from,
				Before: func(_ Target, from netip.AddrPort) error {
					mu.Lock()
					defer mu.Unlock()
					tries[from]++
					return nil
				},
			}
			plan := mustPlan(t, mustScope(t, aiming(Spec{}, texts...)), 1, listen)
			for range 3 {
				openings := sweep(t, connect, NewCoverage(plan))
				if len(openings) != len(doors) {
					t.Errorf("got %d openings, want %d", len(openings), len(doors))
				}
				for _, o := range openings {
					if o.Source != (netip.AddrPort{}) {
						t.Errorf("%v: open to %v, want to both", o.Target, o.Source)
					}
				}
			}
			for _, d := range doors {
				d.halfCameFrom(t, c.from, c.want)
			}
			if tries[c.from] < 60 || tries[netip.AddrPort{}] != 60 {
				t.Errorf("noted before: %v", tries)
			}
		})
	}
}

func TestSweepPassesOver(t *testing.T) {
	d := newDoor(t, "127.0.0.1:0")
	plan := mustPlan(t, mustScope(t, aiming(Spec{}, "127.0.0.1", "127.0.0.2", "::1")), 1, d.addr.Port())
	var mu sync.Mutex
	var tried []string
	connect := &Connect{
		Limiter: ratelimit.New(ratelimit.Rates{}), From: netip.MustParseAddrPort("127.0.0.5:0"),
		Before: func(t Target, from netip.AddrPort) error {
			mu.Lock()
			defer mu.Unlock()
			if from.IsValid() {
				tried = append(tried, t.AddrPort().Addr().String())
			}
			return nil
		},
	}
	cov := NewCoverage(plan)
	cov.Pass(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), d.addr.Port()))
	sweep(t, connect, cov)
	var passed []string
	for a, state := range cov.States() {
		if state == NotAttempted {
			passed = append(passed, a.Addr().String())
		}
	}
	slices.Sort(passed)
	if !slices.Equal(passed, []string{"127.0.0.2", "::1"}) || !slices.Equal(tried, []string{"127.0.0.1"}) {
		t.Errorf("passed over %v, tried %v", passed, tried)
	}
	for _, r := range cov.Rows() {
		if r.NotAttempted != r.Reasons[passedOver] {
			t.Errorf("got %+v, want it passed over", r)
		}
	}
	if !cov.Complete() {
		t.Error("not complete: what is passed over is not to be tried")
	}
}

// A port that is taken by a listener, or an address that is not ours, is our own trouble.
func TestASourceThatCannotBeUsedIsFailed(t *testing.T) {
	needsOwnSources(t)
	d, other := newDoor(t, "127.0.0.1:0"), newDoor(t, "127.0.0.1:0")
	s := mustScope(t, aiming(Spec{}, "127.0.0.1"))
	for _, c := range []struct {
		source string
		errno  syscall.Errno
	}{{"192.0.2.1", syscall.EADDRNOTAVAIL}, {"192.0.2.1:45", syscall.EADDRNOTAVAIL}, {other.addr.String(), syscall.EADDRINUSE}, {fmt.Sprintf(":%d", other.addr.Port()), syscall.EADDRINUSE}} {
		source, err := ParseSource(c.source)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckSource(netip.Addr{}, source, d.addr.Addr()); !errors.Is(err, ErrSource) || !errors.Is(err, c.errno) {
			t.Errorf("%s: check: got %v, want %v", c.source, err, c.errno)
		}
		if cov, _ := sweepAll(t, &Connect{From: source}, d.addr); cov.State(d.addr) != Failed {
			t.Errorf("%s: sweep: got %v, %q, want %v", c.source, cov.State(d.addr), cov.Trouble(), Failed)
		}
		conn, err := s.Dialer(netip.Addr{}, time.Minute).DialFrom(t.Context(), mustTarget(t, s, d.addr.String()), source)
		if conn != nil || !errors.Is(err, ErrSource) || !errors.Is(err, c.errno) {
			t.Errorf("%s: dial: got %v, %v, want %v", c.source, conn, err, c.errno)
		}
	}
	d.came(t, 0)
	if err := CheckSource(netip.Addr{}, netip.MustParseAddrPort("127.0.0.5:0"), d.addr.Addr()); err != nil {
		t.Errorf("an address of ours: %v", err)
	}
}

// One connection after the other leaves from one port to one target, whoever closes first.
func TestDialFromOnePortAgainAndAgain(t *testing.T) {
	d := newDoor(t, "127.0.0.1:0")
	s := mustScope(t, aiming(Spec{}, "127.0.0.1"))
	target := mustTarget(t, s, d.addr.String())
	dialer := s.Dialer(netip.Addr{}, time.Minute)
	source := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.5"), freePort(t, "127.0.0.5"))
	for i := range 50 {
		c, err := dialer.DialFrom(t.Context(), target, source)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		switch i % 3 {
		case 0:
			c.Read(make([]byte, 1)) // the other end closes first
		case 1:
			c.(*net.TCPConn).CloseWrite()
		}
		if got := c.LocalAddr().(*net.TCPAddr).AddrPort(); got != source {
			t.Errorf("connection %d left from %v, want %v", i, got, source)
		}
		c.Close()
	}
	for _, a := range d.came(t, 50) {
		if a != source {
			t.Errorf("came from %v, want %v", a, source)
		}
	}
	// From another address alone, and from the dialer's own.
	for _, from := range []netip.AddrPort{netip.MustParseAddrPort("127.0.0.6:0"), {}} {
		c, err := dialer.DialFrom(t.Context(), target, from)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr(); from.IsValid() && got != from.Addr() || !from.IsValid() && got.String() != "127.0.0.1" {
			t.Errorf("left from %v, want %v", got, from)
		}
		c.Close()
	}
}

// The second connection of one pair of endpoints waits until the first one is gone.
func TestDialFromWaitsForItsPort(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := mustScope(t, aiming(Spec{}, "127.0.0.1"))
	target := mustTarget(t, s, l.Addr().String())
	dialer := s.Dialer(netip.Addr{}, time.Minute)
	source := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.5"), freePort(t, "127.0.0.5"))
	first, err := dialer.DialFrom(t.Context(), target, source)
	if err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(50*time.Millisecond, func() { first.Close() })
	defer timer.Stop()
	second, err := dialer.DialFrom(t.Context(), target, source)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	third, err := dialer.DialFrom(t.Context(), target, source)
	if third != nil || !errors.Is(err, ErrSource) {
		t.Errorf("while it is in use: got %v, %v, want %v", third, err, ErrSource)
	}
	raw, err := second.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		if n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR); n != 1 || err != nil {
			t.Errorf("SO_REUSEADDR is %d, %v", n, err)
		}
	})
}
