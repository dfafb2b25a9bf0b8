package discovertest_test

import (
	"context"
	"errors"
	"iter"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"relaysweep/discover"
	"relaysweep/discover/discovertest"
	"relaysweep/ratelimit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const size = 64 // targets of a world, all open

// world is targets, the sweeper that reaches them, and what of it arrived.
type world struct {
	plan    *discover.Plan
	sweeper func(l *ratelimit.Limiter, before func(discover.Target) error, inFlight int) discover.Sweeper
	arrived func() int
}

func planOf(t *testing.T, seed uint64, ports []uint16, targets ...string) *discover.Plan {
	t.Helper()
	var spec discover.Spec
	for _, text := range targets {
		spec.Targets = append(spec.Targets, discover.Entry{Text: text, Where: "test"})
	}
	s, err := discover.NewScope(spec)
	if err != nil {
		t.Fatal(err)
	}
	p, err := discover.NewPlan(s, ports, seed)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func inMemory(t *testing.T) world {
	n := &discovertest.Network{Else: discover.Open}
	return world{
		plan: planOf(t, 1, []uint16{25, 465}, "10.0.0.0/27"),
		sweeper: func(l *ratelimit.Limiter, before func(discover.Target) error, inFlight int) discover.Sweeper {
			n.Limiter, n.Before, n.Window = l, before, inFlight
			return n
		},
		arrived: func() int { return len(n.Score()) },
	}
}

func onLoopback(t *testing.T) world {
	var ports []uint16
	var listeners []net.Listener
	for range size {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		listeners, ports = append(listeners, l), append(ports, l.Addr().(*net.TCPAddr).AddrPort().Port())
	}
	return world{
		plan: planOf(t, 1, ports, "127.0.0.1"),
		sweeper: func(l *ratelimit.Limiter, before func(discover.Target) error, inFlight int) discover.Sweeper {
			c := &discover.Connect{Limiter: l, InFlight: inFlight}
			if before != nil {
				c.Before = func(t discover.Target, _ netip.AddrPort) error { return before(t) }
			}
			return c
		},
		arrived: func() int {
			n := 0
			for _, l := range listeners {
				n += callers(t, l)
			}
			return n
		},
	}
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

// begun notes the targets that a sweeper is about to try.
type begun struct {
	mu      sync.Mutex
	targets []netip.AddrPort
	err     error // given back from the failAt-th on, if not nil
	failAt  int
}

func (b *begun) before(t discover.Target) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.targets = append(b.targets, t.AddrPort())
	if len(b.targets) >= b.failAt {
		return b.err
	}
	return nil
}

// contract is what every Sweeper promises.
var contract = []struct {
	name string
	test func(t *testing.T, w world)
}{
	{"every target is tried once, wherever the sweep goes on", func(t *testing.T, w world) {
		for _, from := range []uint64{0, 1, size / 2, size - 1, size} {
			cov := discover.NewCoverage(w.plan)
			known := make(map[netip.AddrPort]bool)
			for i := range from {
				target, err := w.plan.At(i)
				if err != nil {
					t.Fatal(err)
				}
				cov.Set(target.AddrPort(), discover.Closed)
				known[target.AddrPort()] = true
			}
			b := &begun{}
			got := collect(t, w.sweeper(ratelimit.New(ratelimit.Rates{}), b.before, 8).Sweep(t.Context(), cov))
			want := int(size - from)
			if len(got) != want || len(b.targets) != want || !cov.Complete() {
				t.Errorf("from %d: got %d openings of %d tries, complete: %v, want %d", from, len(got), len(b.targets), cov.Complete(), want)
			}
			for a, state := range cov.States() {
				if known[a] == got[a] || known[a] != (state == discover.Closed) || got[a] != (state == discover.Open) {
					t.Errorf("from %d: %v: got %v, known before: %v, yielded: %v", from, a, state, known[a], got[a])
				}
			}
		}
	}},
	{"what was begun before an interrupt is written down, nothing is begun after; later the rest is", func(t *testing.T, w world) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		b := &begun{}
		cov := discover.NewCoverage(w.plan)
		got := make(map[netip.AddrPort]bool)
		for o, err := range w.sweeper(ratelimit.New(ratelimit.Rates{}), b.before, 4).Sweep(ctx, cov) {
			if err != nil {
				t.Errorf("an interrupt is no error: %v", err)
				break
			}
			if got[o.Target.AddrPort()] = true; len(got) == 10 {
				cancel()
			}
		}
		if len(got) < 10 || len(got) > 10+2*4 { // those under way, and those reported but not read yet
			t.Errorf("got %d openings, want 10 and those under way", len(got))
		}
		first := len(b.targets)
		if n := w.arrived(); n != first || len(got) != first || cov.Opened() != uint64(first) {
			t.Errorf("%d arrived, %d were yielded, %d written down, want the %d that were begun", n, len(got), cov.Opened(), first)
		}
		for _, a := range b.targets {
			if cov.State(a) != discover.Open || !got[a] {
				t.Errorf("%v was begun and is %v, yielded: %v", a, cov.State(a), got[a])
			}
		}
		if cov.Complete() {
			t.Error("complete in the middle")
		}
		rest := collect(t, w.sweeper(ratelimit.New(ratelimit.Rates{}), b.before, 4).Sweep(t.Context(), cov))
		for a := range rest {
			if got[a] {
				t.Errorf("%v was yielded again", a)
			}
		}
		if len(got)+len(rest) != size || len(b.targets) != size || !cov.Complete() {
			t.Errorf("%d and %d openings, %d tries, complete: %v, want %d", len(got), len(rest), len(b.targets), cov.Complete(), size)
		}
	}},
	{"an interrupt before the beginning begins nothing", func(t *testing.T, w world) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		cov := discover.NewCoverage(w.plan)
		for o, err := range w.sweeper(ratelimit.New(ratelimit.Rates{}), nil, 8).Sweep(ctx, cov) {
			t.Errorf("got %v, %v, want nothing", o, err)
		}
		checkKnown(t, cov, 0)
		if n := w.arrived(); n != 0 {
			t.Errorf("%d arrived, want none", n)
		}
	}},
	{"a caller that stops reading stops the work", func(t *testing.T, w world) {
		defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
		b := &begun{}
		cov := discover.NewCoverage(w.plan)
		read := 0
		for range w.sweeper(ratelimit.New(ratelimit.Rates{}), b.before, 2).Sweep(t.Context(), cov) {
			if read++; read == 3 {
				break
			}
		}
		after := len(b.targets) // no lock: nobody else is there any more
		if after > 3+2*3 {
			t.Errorf("%d were begun for 3 that were read, want those and the ones under way", after)
		}
		checkKnown(t, cov, after)
		if n := w.arrived(); n != after {
			t.Errorf("%d arrived, want the %d that were begun", n, after)
		}
	}},
	{"a sequence can be read twice, and what is known is not tried again", func(t *testing.T, w world) {
		b := &begun{}
		sweeper := w.sweeper(ratelimit.New(ratelimit.Rates{}), b.before, 8)
		for round := range 2 {
			cov := discover.NewCoverage(w.plan)
			seq := sweeper.Sweep(t.Context(), cov)
			for again, want := range []int{size, 0} {
				if got := collect(t, seq); len(got) != want || len(b.targets) != size*(round+1) {
					t.Errorf("reading %d of coverage %d: got %d openings in %d tries, want %d", again+1, round+1, len(got), len(b.targets), want)
				}
			}
		}
	}},
	{"an error before a send stops the sweep, and nothing is sent", func(t *testing.T, w world) {
		full := errors.New("the audit log is full")
		for _, failAt := range []int{0, 5} {
			was := w.arrived()
			b := &begun{err: full, failAt: failAt}
			cov := discover.NewCoverage(w.plan)
			var errs []error
			opened := 0
			for _, err := range w.sweeper(ratelimit.New(ratelimit.Rates{}), b.before, 2).Sweep(t.Context(), cov) {
				switch {
				case err != nil:
					errs = append(errs, err)
				case len(errs) > 0:
					t.Error("the error was not the last")
				default:
					opened++
				}
			}
			if len(errs) != 1 || !errors.Is(errs[0], full) {
				t.Errorf("failing from %d on: got the errors %v, want %v once", failAt, errs, full)
			}
			tried := max(failAt-1, 0)
			if failed := len(b.targets) - tried; opened != tried || failed < 1 || failed > 2 {
				t.Errorf("failing from %d on: got %d openings, %d asked, want the sweep to stop", failAt, opened, len(b.targets))
			}
			checkKnown(t, cov, tried)
			if n := w.arrived() - was; n != tried {
				t.Errorf("failing from %d on: %d arrived, want %d", failAt, n, tried)
			}
		}
	}},
	{"nothing leaves without permission of the limiter", func(t *testing.T, w world) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		hourly := ratelimit.New(ratelimit.Rates{Total: 1.0 / 3600})
		b := &begun{}
		cov := discover.NewCoverage(w.plan)
		opened := 0
		// A window of the network in memory fills before it is read, so it is of one.
		for _, err := range w.sweeper(hourly, b.before, 1).Sweep(ctx, cov) {
			if err != nil {
				t.Error(err)
			}
			opened++
			cancel()
		}
		checkKnown(t, cov, 1)
		if n := w.arrived(); n != 1 || len(b.targets) != 1 || opened != 1 {
			t.Errorf("%d arrived, %d were begun, %d yielded, want 1", n, len(b.targets), opened)
		}
	}},
}

// checkKnown holds that so many targets are open, and of the others nothing is known.
func checkKnown(t *testing.T, cov *discover.Coverage, open int) {
	t.Helper()
	states := make(map[discover.State]int)
	for _, s := range cov.States() {
		states[s]++
	}
	if states[discover.Open] != open || states[discover.NotAttempted] != size-open || cov.Opened() != uint64(open) {
		t.Errorf("got %v, %d counted as open, want %d and the others not attempted", states, cov.Opened(), open)
	}
}

// collect reads all openings. Each must come once, and without an error.
func collect(t *testing.T, seq iter.Seq2[discover.Opening, error]) map[netip.AddrPort]bool {
	t.Helper()
	got := make(map[netip.AddrPort]bool)
	for o, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		a := o.Target.AddrPort()
		if got[a] {
			t.Errorf("%v came twice", a)
		}
		got[a] = true
	}
	return got
}

func TestSweepersKeepTheContract(t *testing.T) {
	for name, made := range map[string]func(*testing.T) world{"the network in memory": inMemory, "connect, on loopback": onLoopback} {
		for _, c := range contract {
			t.Run(name+": "+c.name, func(t *testing.T) { c.test(t, made(t)) })
		}
	}
}

// Many workers wait for one permission an hour; with them all at the limiter, one connection has come.
func TestWorkersWaitForTheLimiter(t *testing.T) {
	w := onLoopback(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b := &begun{}
	open := 0
	cov := discover.NewCoverage(w.plan)
	for _, err := range w.sweeper(ratelimit.New(ratelimit.Rates{Total: 1.0 / 3600}), b.before, size).Sweep(ctx, cov) {
		if err != nil {
			t.Error(err)
		}
		open++
		cancel()
	}
	checkKnown(t, cov, 1)
	if n := w.arrived(); open != 1 || n != 1 || len(b.targets) != 1 {
		t.Errorf("got %d open, %d arrived, %d begun, want 1", open, n, len(b.targets))
	}
}

// A caller may stop when every worker holds a result that nobody has read. They are freed, and waited for.
func TestStoppingFreesWorkersThatWaitToReport(t *testing.T) {
	w := onLoopback(t)
	const inFlight = 2
	const most = 1 + inFlight + inFlight // read, reported, waiting to report
	var n atomic.Int64
	stuck := make(chan struct{})
	before := func(discover.Target) error {
		if n.Add(1) == most {
			close(stuck)
		}
		return nil
	}
	opts := goleak.IgnoreCurrent()
	cov := discover.NewCoverage(w.plan)
	for range w.sweeper(ratelimit.New(ratelimit.Rates{}), before, inFlight).Sweep(t.Context(), cov) {
		<-stuck
		break
	}
	goleak.VerifyNone(t, opts)
	checkKnown(t, cov, most)
	if got := w.arrived(); got != most || n.Load() != most {
		t.Errorf("%d arrived, %d were begun, want %d", got, n.Load(), most)
	}
}

func TestNetworkAnswersAsItIsTold(t *testing.T) {
	addr := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	n := &discovertest.Network{
		Hosts: map[netip.AddrPort]discover.State{
			addr("10.0.0.0:25"): discover.Open, addr("10.0.0.1:25"): discover.Closed, addr("10.0.0.2:25"): discover.Filtered,
			addr("10.0.0.3:25"): discover.Prohibited, addr("10.0.0.4:25"): discover.Unreachable, addr("10.0.0.5:25"): discover.Open, addr("10.0.0.6:25"): discover.Open,
		},
		Trouble: map[netip.AddrPort]int{addr("10.0.0.5:25"): 2, addr("10.0.0.6:25"): discovertest.Tries},
	}
	p := planOf(t, 7, []uint16{25}, "10.0.0.0/29")
	cov := discover.NewCoverage(p)
	collect(t, n.Sweep(t.Context(), cov))
	got := make(map[netip.AddrPort]discover.State)
	for a, s := range cov.States() {
		got[a] = s
	}
	for _, c := range []struct {
		name, addr string
		state      discover.State
		asked      int
	}{
		{"open", "10.0.0.0:25", discover.Open, 1},
		{"closed", "10.0.0.1:25", discover.Closed, 1},
		{"filtered", "10.0.0.2:25", discover.Filtered, 1},
		{"prohibited", "10.0.0.3:25", discover.Prohibited, 1},
		{"unreachable", "10.0.0.4:25", discover.Unreachable, 1},
		{"trouble that goes away", "10.0.0.5:25", discover.Open, 3},
		{"trouble that stays", "10.0.0.6:25", discover.Failed, 5},
		{"not named", "10.0.0.7:25", discover.Filtered, 1},
	} {
		if state, asked := got[addr(c.addr)], n.Asked(addr(c.addr)); state != c.state || asked != c.asked {
			t.Errorf("%s: got %v after %d tries, want %v after %d", c.name, state, asked, c.state, c.asked)
		}
	}
	// Again, as on resuming: what failed is tried again, and nothing else; its trouble is over.
	was := len(n.Score())
	if again := collect(t, n.Sweep(t.Context(), cov)); len(again) != 1 || !again[addr("10.0.0.6:25")] || cov.State(addr("10.0.0.6:25")) != discover.Open || len(n.Score()) != was+1 {
		t.Errorf("second time: got %v in %d tries, want the one that failed", again, len(n.Score())-was)
	}
}

func TestNetworkKeepsScoreInOrder(t *testing.T) {
	p := planOf(t, 7, []uint16{25, 465}, "10.0.0.0/29")
	for _, window := range []int{0, 1, 5, 100} {
		n := &discovertest.Network{Window: window, Else: discover.Open}
		var opened []netip.AddrPort
		for o, err := range n.Sweep(t.Context(), discover.NewCoverage(p)) {
			if err != nil {
				t.Fatal(err)
			}
			opened = append(opened, o.Target.AddrPort())
		}
		var want []netip.AddrPort
		for i := range p.Len() {
			target, _ := p.At(i)
			want = append(want, target.AddrPort())
		}
		if got := n.Score(); !slices.Equal(got, want) {
			t.Errorf("window %d: got the score %v, want the order of the plan, %v", window, got, want)
		}
		if sorted := slices.Equal(opened, want); sorted != (window < 2) {
			t.Errorf("window %d: openings in the order of the plan: %v, want %v", window, sorted, window < 2)
		}
		slices.SortFunc(opened, netip.AddrPort.Compare)
		if opened = slices.Compact(opened); uint64(len(opened)) != p.Len() {
			t.Errorf("window %d: got %d openings, want %d", window, len(opened), p.Len())
		}
	}
}
