package discovertest_test

import (
	"context"
	"errors"
	"fmt"
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
	{"every target is tried once, from any position on", func(t *testing.T, w world) {
		for _, from := range []uint64{0, 1, size / 2, size - 1, size, size + 1} {
			b := &begun{}
			got := collect(t, w.sweeper(ratelimit.New(ratelimit.Rates{}), b.before, 8).Sweep(t.Context(), w.plan, from), w.plan)
			want := uint64(size) - min(from, size)
			if uint64(len(got)) != want || uint64(len(b.targets)) != want {
				t.Errorf("from %d: got %d results of %d tries, want %d", from, len(got), len(b.targets), want)
			}
			for position := range got {
				if position < from {
					t.Errorf("from %d: got position %d", from, position)
				}
			}
			for position, r := range got {
				if r.State != discover.Open {
					t.Errorf("position %d: got %v, %q, want %v", position, r.State, r.Reason, discover.Open)
				}
			}
		}
	}},
	{"what was begun before an interrupt is reported, nothing is begun after", func(t *testing.T, w world) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		const from = 3
		b := &begun{}
		got := make(map[uint64]discover.Result)
		for r := range w.sweeper(ratelimit.New(ratelimit.Rates{}), b.before, 4).Sweep(ctx, w.plan, from) {
			if _, twice := got[r.Position]; twice {
				t.Errorf("position %d came twice", r.Position)
			}
			if got[r.Position] = r; len(got) == 10 {
				cancel()
			}
		}
		if len(got) < 10 || len(got) > 10+2*4 { // those under way, and those reported but not read yet
			t.Errorf("got %d results, want 10 and those under way", len(got))
		}
		reported := make(map[netip.AddrPort]bool)
		for position := range uint64(len(got)) {
			r, ok := got[from+position]
			if !ok {
				t.Errorf("position %d is missing of %d", from+position, len(got))
			}
			reported[r.Target.AddrPort()] = r.State == discover.Open
		}
		for _, a := range b.targets {
			if !reported[a] {
				t.Errorf("%v was begun and not reported", a)
			}
		}
		if n := w.arrived(); n != len(b.targets) {
			t.Errorf("%d arrived, want the %d that were begun", n, len(b.targets))
		}
	}},
	{"an interrupt before the beginning begins nothing", func(t *testing.T, w world) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for r := range w.sweeper(ratelimit.New(ratelimit.Rates{}), nil, 8).Sweep(ctx, w.plan, 0) {
			if r.State != discover.NotAttempted {
				t.Errorf("got %v, want nothing or %v", r, discover.NotAttempted)
			}
		}
		if n := w.arrived(); n != 0 {
			t.Errorf("%d arrived, want none", n)
		}
	}},
	{"a caller that stops reading stops the work", func(t *testing.T, w world) {
		defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
		b := &begun{}
		read := 0
		for range w.sweeper(ratelimit.New(ratelimit.Rates{}), b.before, 2).Sweep(t.Context(), w.plan, 0) {
			if read++; read == 3 {
				break
			}
		}
		after := len(b.targets) // no lock: nobody else is there any more
		if after > 3+2*3 {
			t.Errorf("%d were begun for 3 that were read, want those and the ones under way", after)
		}
		if n := w.arrived(); n != after {
			t.Errorf("%d arrived, want the %d that were begun", n, after)
		}
	}},
	{"a sequence can be read twice", func(t *testing.T, w world) {
		seq := w.sweeper(ratelimit.New(ratelimit.Rates{}), nil, 8).Sweep(t.Context(), w.plan, 0)
		for range 2 {
			if got := collect(t, seq, w.plan); len(got) != size {
				t.Errorf("got %d results, want %d", len(got), size)
			}
		}
	}},
	{"an error before a send stops the sweep, and nothing is sent", func(t *testing.T, w world) {
		full := errors.New("the audit log is full")
		for _, failAt := range []int{0, 5} {
			was := w.arrived()
			b := &begun{err: full, failAt: failAt}
			failed, tried := 0, 0
			for r := range w.sweeper(ratelimit.New(ratelimit.Rates{}), b.before, 2).Sweep(t.Context(), w.plan, 0) {
				switch {
				case r.State == discover.Failed && r.Reason == full.Error():
					failed++
				case r.State == discover.Open:
					tried++
				case r.State != discover.NotAttempted:
					t.Errorf("got %v, %q, want %v, %v", r.State, r.Reason, discover.Failed, full)
				}
			}
			if failed < 1 || failed > 2 || tried != max(failAt-1, 0) || len(b.targets) != failed+tried {
				t.Errorf("failing from %d on: got %d failed, %d tried, %d asked, want the sweep to stop", failAt, failed, tried, len(b.targets))
			}
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
		states := make(map[string]int)
		// A window of the network in memory fills before it is read, so it is of one.
		for r := range w.sweeper(hourly, b.before, 1).Sweep(ctx, w.plan, 0) {
			states[fmt.Sprint(r.State, " ", r.Reason)]++
			cancel()
		}
		if n := states["open handshake"]; n != 1 || len(states) > 2 || states["not-attempted interrupted"] > 1 {
			t.Errorf("got %v, want one open and one interrupted at most", states)
		}
		if n := w.arrived(); n != 1 || len(b.targets) != 1 {
			t.Errorf("%d arrived, %d were begun, want 1", n, len(b.targets))
		}
	}},
}

// collect reads all results. Each must be of the plan, and come once.
func collect(t *testing.T, seq func(func(discover.Result) bool), p *discover.Plan) map[uint64]discover.Result {
	t.Helper()
	got := make(map[uint64]discover.Result)
	for r := range seq {
		want, err := p.At(r.Position)
		if err != nil || r.Target != want {
			t.Errorf("position %d: got %v, want %v, %v", r.Position, r.Target, want, err)
		}
		if _, twice := got[r.Position]; twice {
			t.Errorf("position %d came twice", r.Position)
		}
		got[r.Position] = r
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
	for r := range w.sweeper(ratelimit.New(ratelimit.Rates{Total: 1.0 / 3600}), b.before, size).Sweep(ctx, w.plan, 0) {
		switch r.State {
		case discover.Open:
			open++
			cancel()
		case discover.NotAttempted:
		default:
			t.Errorf("got %v, %q", r.State, r.Reason)
		}
	}
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
	for range w.sweeper(ratelimit.New(ratelimit.Rates{}), before, inFlight).Sweep(t.Context(), w.plan, 0) {
		<-stuck
		break
	}
	goleak.VerifyNone(t, opts)
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
	got := make(map[netip.AddrPort]discover.State)
	for r := range n.Sweep(t.Context(), p, 0) {
		got[r.Target.AddrPort()] = r.State
		if r.Reason == "" {
			t.Errorf("%v: got no reason", r)
		}
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
	for r := range n.Sweep(t.Context(), p, 0) { // again, as on resuming: the trouble of the last is over
		if r.Target.AddrPort() == addr("10.0.0.6:25") && r.State != discover.Open {
			t.Errorf("second time: got %v, want %v", r.State, discover.Open)
		}
	}
}

func TestNetworkKeepsScoreInOrder(t *testing.T) {
	p := planOf(t, 7, []uint16{25, 465}, "10.0.0.0/29")
	for _, window := range []int{0, 1, 5, 100} {
		n := &discovertest.Network{Window: window}
		var positions []uint64
		for r := range n.Sweep(t.Context(), p, 0) {
			positions = append(positions, r.Position)
		}
		var want []netip.AddrPort
		for i := range p.Len() {
			target, _ := p.At(i)
			want = append(want, target.AddrPort())
		}
		if got := n.Score(); !slices.Equal(got, want) {
			t.Errorf("window %d: got the score %v, want the order of the plan, %v", window, got, want)
		}
		if sorted := slices.IsSorted(positions); sorted != (window < 2) {
			t.Errorf("window %d: results in the order of the plan: %v, want %v", window, sorted, window < 2)
		}
		slices.Sort(positions)
		if positions = slices.Compact(positions); uint64(len(positions)) != p.Len() {
			t.Errorf("window %d: got %d positions, want %d", window, len(positions), p.Len())
		}
	}
}
