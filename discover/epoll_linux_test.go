package discover

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relaysweep/ratelimit"
)

// engines are the two that complete handshakes, made alike.
func engines(c Connect) map[string]Sweeper {
	if c.Limiter == nil {
		c.Limiter = ratelimit.New(ratelimit.Rates{})
	}
	return map[string]Sweeper{"connect": &c, "epoll": &Epoll{Connect: c}}
}

// covering is the empty coverage of the ports of some addresses.
func covering(t *testing.T, addrs ...netip.AddrPort) *Coverage {
	t.Helper()
	var texts []string
	var ports []uint16
	for _, a := range addrs {
		texts, ports = append(texts, a.Addr().String()), append(ports, a.Port())
	}
	return NewCoverage(mustPlan(t, mustScope(t, aiming(Spec{}, texts...)), 1, ports...))
}

// closedNets is a plan of many targets on loopback that refuse.
func closedNets(t *testing.T, prefix string) *Plan {
	t.Helper()
	return mustPlan(t, mustScope(t, aiming(Spec{}, prefix)), 1, closedPort(t, "127.0.0.1").Port())
}

// descriptorsInUse lists what this process has open.
func descriptorsInUse(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestBothEnginesTellTheStatesApart(t *testing.T) {
	open, _ := listen(t, "127.0.0.1:0")
	open6, _ := listen(t, "[::1]:0")
	closed, closed6, silent := closedPort(t, "127.0.0.1"), closedPort(t, "::1"), silentPort(t)
	want := map[netip.AddrPort]State{open: Open, open6: Open, closed: Closed, closed6: Closed, silent: Filtered}
	for name, engine := range engines(Connect{Timeout: 500 * time.Millisecond, Vantage: "here"}) {
		was := descriptorsInUse(t)
		cov := covering(t, open, open6, closed, closed6, silent)
		openings := sweep(t, engine, cov)
		for a, state := range want {
			if got := cov.State(a); got != state {
				t.Errorf("%s: %v: got %v, want %v", name, a, got, state)
			}
		}
		var found []netip.AddrPort
		for _, o := range openings {
			if found = append(found, o.Target.AddrPort()); o.Vantage != "here" || o.Source != (netip.AddrPort{}) {
				t.Errorf("%s: got %+v", name, o)
			}
		}
		if len(found) != 2 || !slices.Contains(found, open) || !slices.Contains(found, open6) {
			t.Errorf("%s: yielded %v, want %v and %v", name, found, open, open6)
		}
		if now := descriptorsInUse(t); now != was {
			t.Errorf("%s: %d descriptors are in use, were %d", name, now, was)
		}
		if !cov.Complete() || cov.Sent() != cov.plan.Len() {
			t.Errorf("%s: complete: %v, sent %d, want %d", name, cov.Complete(), cov.Sent(), cov.plan.Len())
		}
	}
}

// What a handshake shows must not depend on what the slot's socket was used for before.
func TestOneSlotIsUsedForAllStatesInTurn(t *testing.T) {
	open, _ := listen(t, "127.0.0.1:0")
	open6, _ := listen(t, "[::1]:0")
	closed, closed6, silent := closedPort(t, "127.0.0.1"), closedPort(t, "::1"), silentPort(t)
	want := map[netip.AddrPort]State{open: Open, open6: Open, closed: Closed, closed6: Closed, silent: Filtered}
	for seed := range uint64(8) {
		cov := covering(t, open, open6, closed, closed6, silent)
		cov = NewCoverage(mustPlan(t, cov.plan.scope, seed, cov.plan.ports...))
		sweep(t, &Epoll{Connect: Connect{Limiter: ratelimit.New(ratelimit.Rates{}), Timeout: 20 * time.Millisecond, InFlight: 1}}, cov)
		for a, state := range want {
			if got := cov.State(a); got != state {
				t.Errorf("seed %d: %v: got %v, want %v", seed, a, got, state)
			}
		}
	}
}

// A server that takes connections and resets them at once is open, however late the loop looks.
func TestEpollTakesAResetAfterTheHandshakeForOpen(t *testing.T) {
	a := resetter(t)
	for range 100 {
		cov := covering(t, a)
		if sweep(t, &Epoll{Connect: Connect{Limiter: ratelimit.New(ratelimit.Rates{})}}, cov); cov.State(a) != Open {
			t.Fatalf("got %v, want open", cov.State(a))
		}
	}
	for _, errno := range []syscall.Errno{syscall.ECONNRESET, syscall.EPIPE} { // EPIPE: it said goodbye first
		if state, _ := stateOf(errno, time.Second); state != Open {
			t.Errorf("%v: got %v, want open", errno, state)
		}
	}
	if state, _ := stateOf(syscall.EAGAIN, time.Second); state != Failed {
		t.Errorf("no port is left: got %v, want failed: package net takes EAGAIN for a timeout", state)
	}
}

// From a further source, and from the vantage's own once more; many leave from one port, sweep after sweep.
func TestEpollFromAnotherSource(t *testing.T) {
	port := freePort(t, "127.0.0.5")
	five := netip.MustParseAddr("127.0.0.5")
	for _, c := range []struct {
		name string
		own  netip.Addr
		from netip.AddrPort
		want func(a netip.AddrPort) bool
	}{
		{"another address", netip.Addr{}, netip.AddrPortFrom(five, 0), func(a netip.AddrPort) bool { return a.Addr() == five }},
		{"another address and port", netip.MustParseAddr("127.0.0.4"), netip.AddrPortFrom(five, port), func(a netip.AddrPort) bool { return a == netip.AddrPortFrom(five, port) }},
		{"another port of the address that the kernel chooses", netip.Addr{}, netip.AddrPortFrom(netip.Addr{}, port), func(a netip.AddrPort) bool { return a.Port() == port }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var doors []*door
			texts := []string{"::1"} // of another family: passed over, where the source has an address
			listen := freePort(t, "127.0.0.1")
			for i := range 20 {
				d := newDoor(t, fmt.Sprintf("127.0.9.%d:%d", i+1, listen))
				doors, texts = append(doors, d), append(texts, d.addr.Addr().String())
			}
			tries := map[netip.AddrPort]int{} // no lock: there is but one loop
			engine := &Epoll{Connect: Connect{
				Limiter: ratelimit.New(ratelimit.Rates{}), Source: c.own, From: c.from, InFlight: 7,
				Before: func(target Target, from netip.AddrPort) error {
					if target.AddrPort().Addr().Is4() {
						tries[from]++
					}
					return nil
				},
			}}
			plan := mustPlan(t, mustScope(t, aiming(Spec{}, texts...)), 1, listen)
			for range 3 {
				cov := NewCoverage(plan)
				openings := sweep(t, engine, cov)
				if len(openings) != len(doors) {
					t.Errorf("got %d openings, want %d", len(openings), len(doors))
				}
				for _, o := range openings {
					if o.Source != (netip.AddrPort{}) {
						t.Errorf("%v: open to %v, want to both", o.Target, o.Source)
					}
				}
				if index, _ := plan.indexOf(netip.AddrPortFrom(netip.MustParseAddr("::1"), listen)); (cov.code(index) == codePassed) != c.from.Addr().IsValid() {
					t.Errorf("::1 has code %d", cov.code(index))
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

// Law 2: a source that cannot be used is our own trouble. Nothing is sent, so nothing is noted as sent.
func TestASourceThatIsNotOursFailsWithoutASend(t *testing.T) {
	needsOwnSources(t)
	plan := closedNets(t, "127.0.3.0/27")
	cov := NewCoverage(plan)
	sweep(t, &Epoll{Connect: Connect{
		Limiter: ratelimit.New(ratelimit.Rates{}), Source: netip.MustParseAddr("192.0.2.1"),
		Before: func(Target, netip.AddrPort) error { t.Error("a send was noted"); return nil },
	}}, cov)
	for a, s := range cov.States() {
		if s != Failed {
			t.Errorf("%v: got %v, want failed", a, s)
		}
	}
	if cov.Trouble() != "bind: cannot assign requested address" || cov.Sent() != 0 {
		t.Errorf("got %q, %d sent", cov.Trouble(), cov.Sent())
	}
}

// pacing is a pace that a test decides, all without a cap where it says nothing.
type pacing struct {
	take   func(most int) (int, time.Duration, error)
	admit  func(addr netip.Addr) time.Duration
	unused int
}

func (p *pacing) Take(most int) (int, time.Duration, error) {
	if p.take == nil {
		return most, 0, nil
	}
	return p.take(most)
}

func (p *pacing) Admit(_ time.Time, addr netip.Addr) time.Duration {
	if p.admit == nil {
		return 0
	}
	return p.admit(addr)
}

func (p *pacing) Unused(n int) { p.unused += n }

// An interrupt ends a wait for permission at once, be it for the total or for a host.
func TestAnInterruptEndsTheWaitForPermission(t *testing.T) {
	for name, wait := range map[string]func(p *pacing, cancel func()){
		"for the total": func(p *pacing, cancel func()) {
			p.take = func(int) (int, time.Duration, error) { cancel(); return 0, 24 * time.Hour, nil }
		},
		"for a host": func(p *pacing, cancel func()) {
			n := 0
			p.admit = func(netip.Addr) time.Duration {
				if n++; n == 16 {
					cancel()
				}
				return 24 * time.Hour
			}
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		p := &pacing{}
		wait(p, cancel)
		cov := NewCoverage(closedNets(t, "127.0.3.0/28"))
		for o, err := range (&Epoll{pace: p}).Sweep(ctx, cov) {
			t.Errorf("%s: got %v, %v", name, o, err)
		}
		if cov.Sent() != 0 || cov.Looked() != 0 {
			t.Errorf("%s: sent %d, looked at %d", name, cov.Sent(), cov.Looked())
		}
		cancel()
	}
}

// Law 6: one permission, one send.
func TestNothingLeavesWithoutPermission(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := 0
	p := &pacing{take: func(int) (int, time.Duration, error) {
		if asked++; asked == 1 {
			return 1, 0, nil
		}
		cancel()
		return 0, 24 * time.Hour, nil
	}}
	cov := NewCoverage(closedNets(t, "127.0.3.0/28"))
	for o, err := range (&Epoll{pace: p}).Sweep(ctx, cov) {
		t.Errorf("got %v, %v", o, err)
	}
	if cov.Sent() != 1 || cov.Looked() != 1 {
		t.Errorf("sent %d, looked at %d, want 1", cov.Sent(), cov.Looked())
	}
}

// A pace that gives no permissions any more ends the sweep with its error.
func TestAPaceThatFailsStopsTheSweep(t *testing.T) {
	cov := NewCoverage(closedNets(t, "127.0.3.0/28"))
	var errs []error
	for _, err := range (&Epoll{Connect: Connect{Limiter: ratelimit.New(ratelimit.Rates{Total: -1})}}).Sweep(t.Context(), cov) {
		errs = append(errs, err)
	}
	if len(errs) != 1 || errs[0] == nil || cov.Sent() != 0 {
		t.Errorf("got %v, %d sent, want one error", errs, cov.Sent())
	}
}

// One host and one net that are used up keep nobody waiting: all others have been admitted before they may.
func TestWhoIsUsedUpKeepsNobodyWaiting(t *testing.T) {
	plan := closedNets(t, "127.0.4.0/22")
	slow := func(a netip.Addr) bool { b := a.As4(); return b[2] == 5 || b == [4]byte{127, 0, 6, 9} }
	others := 0
	for i := range plan.Len() {
		if target, err := plan.At(i); err == nil && !slow(target.AddrPort().Addr()) {
			others++
		}
	}
	p := &pacing{}
	p.admit = func(a netip.Addr) time.Duration {
		if !slow(a) {
			others--
			return 0
		}
		if others > 0 {
			return time.Millisecond
		}
		return 0
	}
	cov := NewCoverage(plan)
	sweep(t, &Epoll{Connect: Connect{InFlight: 32}, pace: p}, cov)
	for a, s := range cov.States() {
		if s != Closed {
			t.Errorf("%v: got %v, want closed", a, s)
		}
	}
	if cov.Sent() != plan.Len() || !cov.Complete() || others != 0 {
		t.Errorf("sent %d, want %d; complete: %v; %d others", cov.Sent(), plan.Len(), cov.Complete(), others)
	}
}

// What the loop was granted and did not spend goes back.
func TestPermissionsThatAreNotSpentAreGivenBack(t *testing.T) {
	granted := 0
	p := &pacing{take: func(most int) (int, time.Duration, error) { granted += most; return most, 0, nil }}
	cov := NewCoverage(closedNets(t, "127.0.3.0/28"))
	cov.Set(cov.plan.endpoint(3), Closed)
	sweep(t, &Epoll{pace: p}, cov)
	if spent := granted - p.unused; spent != int(cov.plan.Len())-1 {
		t.Errorf("granted %d, of which %d came back, for %d sends", granted, p.unused, cov.plan.Len()-1)
	}
}

// Wherever the sweep is interrupted, what was begun is known and what was not is not, the cursor stands before the
// first hole, and the rest is swept later, each target once.
func TestTheCursorStopsAtHoles(t *testing.T) {
	plan := closedNets(t, "127.0.3.0/26")
	for _, stopAt := range []int{1, 2, 17, 63, 64} {
		ctx, cancel := context.WithCancel(t.Context())
		sent := map[netip.AddrPort]int{}
		cov := NewCoverage(plan)
		p := &pacing{}
		turn := 0
		p.admit = func(netip.Addr) time.Duration { // each third one must ask again, so that there are holes
			if turn++; turn%3 == 0 {
				return 1
			}
			return 0
		}
		engine := &Epoll{pace: p, Connect: Connect{InFlight: 8, Before: func(target Target, _ netip.AddrPort) error {
			if sent[target.AddrPort()]++; len(sent) == stopAt {
				cancel()
			}
			return nil
		}}}
		for o, err := range engine.Sweep(ctx, cov) {
			t.Errorf("got %v, %v", o, err)
		}
		if len(sent) != stopAt || cov.Sent() != uint64(stopAt) {
			t.Errorf("interrupted at %d: %d were begun", stopAt, len(sent))
		}
		_, cursor := cov.cursor()
		for position := range plan.Len() {
			a := plan.endpoint(plan.index(position))
			known := cov.code(plan.index(position)) != codeNone
			if known != (sent[a] == 1) {
				t.Errorf("interrupted at %d: %v was begun %d times, known: %v", stopAt, a, sent[a], known)
			}
			if position < cursor && !known || position == cursor && known {
				t.Errorf("interrupted at %d: the cursor is at %d, and position %d is known: %v", stopAt, cursor, position, known)
			}
		}
		sweep(t, engine, cov)
		for a, n := range sent {
			if n != 1 {
				t.Errorf("%v was begun %d times", a, n)
			}
		}
		if len(sent) != 64 || !cov.Complete() || cov.Looked() != plan.Len() {
			t.Errorf("%d were begun in all, complete: %v, looked at %d", len(sent), cov.Complete(), cov.Looked())
		}
		cancel()
	}
}

// A second try that an interrupt prevented leaves a hole: to whom it opens is not known.
func TestAnInterruptBeforeTheSecondTryLeavesAHole(t *testing.T) {
	open, _ := listen(t, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cov := covering(t, open)
	tries := 0
	engine := &Epoll{pace: &pacing{}, Connect: Connect{From: netip.MustParseAddrPort("127.0.0.5:0"), Before: func(Target, netip.AddrPort) error {
		if tries++; tries == 1 {
			cancel()
		}
		return nil
	}}}
	for o, err := range engine.Sweep(ctx, cov) {
		t.Errorf("got %v, %v", o, err)
	}
	if got := cov.State(open); got != NotAttempted || cov.Swept() || tries != 1 {
		t.Errorf("got %v after %d tries, want it looked at again", got, tries)
	}
	if openings := sweep(t, engine, cov); len(openings) != 1 || tries != 3 {
		t.Errorf("later: got %v after %d tries", openings, tries)
	}
}

// Nobody reads the openings: no more are begun than could be handed over. Once they are read the sweep goes on.
func TestTheLoopWaitsForWhoReadsTheOpenings(t *testing.T) {
	var addrs []netip.AddrPort
	for range 20 {
		a, _ := listen(t, "127.0.0.1:0")
		addrs = append(addrs, a)
	}
	cov := covering(t, addrs...)
	var mu sync.Mutex
	begun := 0
	stuck := make(chan struct{})
	engine := &Epoll{pace: &pacing{}, Connect: Connect{InFlight: 4, Before: func(Target, netip.AddrPort) error {
		mu.Lock()
		defer mu.Unlock()
		if begun++; begun == 5 {
			close(stuck)
		}
		return nil
	}}}
	read := 0
	for _, err := range engine.Sweep(t.Context(), cov) {
		if err != nil {
			t.Fatal(err)
		}
		if read++; read == 1 {
			<-stuck // four fill the room, and the one that was read made room for a fifth
			mu.Lock()
			if begun != 5 {
				t.Errorf("%d were begun, want 5", begun)
			}
			mu.Unlock()
		}
	}
	if read != 20 {
		t.Errorf("read %d openings, want 20", read)
	}
}

// The slot machinery makes no garbage, however many targets there are.
func TestASweepAllocatesNothingForATarget(t *testing.T) {
	small, large := closedNets(t, "127.0.3.0/28"), closedNets(t, "127.0.16.0/22")
	cost := func(p *Plan) float64 {
		return testing.AllocsPerRun(3, func() {
			sweep(t, &Epoll{pace: &pacing{}, Connect: Connect{InFlight: 16}}, NewCoverage(p))
		})
	}
	few, many := cost(small), cost(large)
	if each := (many - few) / float64(large.Len()-small.Len()); each > 0.05 {
		t.Errorf("%v allocations for %d targets, %v for %d: %.2f each", few, small.Len(), many, large.Len(), each)
	}
}

// inPoverty is set in the copy of the test binary whose descriptors are few.
const inPoverty = "RELAYSWEEP_FEW_DESCRIPTORS"

func TestFewDescriptors(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestWithFewDescriptors$", "-test.v", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), inPoverty+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestWithFewDescriptors ") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestWithFewDescriptors(t *testing.T) {
	if os.Getenv(inPoverty) == "" {
		t.Skip("is run by TestFewDescriptors")
	}
	open, _ := listen(t, "127.0.3.9:0")
	plan := mustPlan(t, mustScope(t, aiming(Spec{}, "127.0.3.0/25")), 1, open.Port())
	states := func(t *testing.T, engine *Epoll) *Coverage {
		t.Helper()
		cov := NewCoverage(plan)
		openings := sweep(t, engine, cov)
		for a, s := range cov.States() {
			if want := map[bool]State{true: Open, false: Closed}[a == open]; s != want {
				t.Errorf("%v: got %v, want %v; trouble: %q", a, s, want, cov.Trouble())
			}
		}
		if len(openings) != 1 || openings[0].Target.AddrPort() != open {
			t.Errorf("got %v, want %v", openings, open)
		}
		return cov
	}
	// A listener on the same address as the targets would take all of them: this one does not.
	const limit = 128
	lower := func(t *testing.T, cur, most uint64) {
		t.Helper()
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: cur, Max: most}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("the soft limit is raised to the hard one", func(t *testing.T) {
		lower(t, 20, limit)
		if n := descriptors(); n < limit/2 || n > limit {
			t.Errorf("%d are left of %d", n, limit)
		}
		most := 0
		engine := &Epoll{pace: &pacing{take: func(n int) (int, time.Duration, error) { most = max(most, n); return n, 0, nil }}, Connect: Connect{InFlight: 10000}}
		states(t, engine)
		if most >= limit-spareDescriptors || most < 1 {
			t.Errorf("as many as %d handshakes were allowed at once, of %d descriptors", most, limit)
		}
	})
	t.Run("fewer than what is kept for others", func(t *testing.T) {
		lower(t, 30, 30)
		states(t, &Epoll{pace: &pacing{}, Connect: Connect{InFlight: 10000}})
	})
	// Someone else takes all descriptors in the middle, and leaves them later.
	var taken []int
	seize := func() {
		for {
			fd, err := unix.Dup(0)
			if err != nil {
				return
			}
			taken = append(taken, fd)
		}
	}
	leave := func() {
		for _, fd := range taken {
			unix.Close(fd)
		}
		taken = nil
	}
	t.Run("none are left for a while", func(t *testing.T) {
		sends, asked := 0, 0
		p := &pacing{take: func(n int) (int, time.Duration, error) {
			if asked++; len(taken) > 0 && asked > 3 {
				leave()
			}
			return min(n, 5), 0, nil
		}}
		engine := &Epoll{pace: p, Connect: Connect{InFlight: 10, Before: func(Target, netip.AddrPort) error {
			if sends++; sends == 2 || sends == 60 {
				seize()
				asked = 0
			}
			return nil
		}}}
		cov := states(t, engine)
		if sends != int(plan.Len()) || cov.Sent() != plan.Len() {
			t.Errorf("%d sends, %d counted, want %d: a target without a socket is not one", sends, cov.Sent(), plan.Len())
		}
	})
	t.Run("none are ever left", func(t *testing.T) {
		defer leave()
		cov := NewCoverage(plan)
		sends := 0
		engine := &Epoll{pace: &pacing{take: func(int) (int, time.Duration, error) { seize(); return 1, 0, nil }}, Connect: Connect{InFlight: 10, Before: func(Target, netip.AddrPort) error { sends++; return nil }}}
		sweep(t, engine, cov)
		for a, s := range cov.States() {
			if s != Failed {
				t.Errorf("%v: got %v, want failed", a, s)
			}
		}
		if cov.Trouble() != "socket: "+unix.EMFILE.Error() || sends != 0 || cov.Complete() {
			t.Errorf("got %q, %d sends", cov.Trouble(), sends)
		}
	})
	t.Run("not even one to begin with", func(t *testing.T) {
		seize()
		defer leave()
		var errs []error
		for _, err := range (&Epoll{pace: &pacing{}}).Sweep(t.Context(), NewCoverage(plan)) {
			errs = append(errs, err)
		}
		if len(errs) != 1 || !errors.Is(errs[0], unix.EMFILE) {
			t.Errorf("got %v, want %v once", errs, unix.EMFILE)
		}
	})
}
