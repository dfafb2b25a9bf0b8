package discover

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"relaysweep/discover/packet"
)

func TestErrorState(t *testing.T) {
	from4, from6 := netip.MustParseAddr("10.60.0.2"), netip.MustParseAddr("fd60::2")
	for _, c := range []struct {
		name string
		from netip.Addr
		code uint8
		want State
	}{
		{"net unreachable", from4, 0, Unreachable},
		{"host unreachable", from4, 1, Unreachable},
		{"protocol unreachable: a reject", from4, 2, Prohibited},
		{"port unreachable: a reject", from4, 3, Prohibited},
		{"fragmentation needed", from4, 4, NotAttempted},
		{"source route failed", from4, 5, Unreachable},
		{"net unknown", from4, 6, Unreachable},
		{"host unknown", from4, 7, Unreachable},
		{"source isolated", from4, 8, Unreachable},
		{"net prohibited", from4, 9, Prohibited},
		{"host prohibited", from4, 10, Prohibited},
		{"net unreachable for this type of service", from4, 11, Unreachable},
		{"host unreachable for this type of service", from4, 12, Unreachable},
		{"communication prohibited", from4, 13, Prohibited},
		{"precedence violation", from4, 14, NotAttempted},
		{"precedence cutoff", from4, 15, NotAttempted},
		{"unheard of", from4, 200, NotAttempted},
		{"no route, IPv6", from6, 0, Unreachable},
		{"prohibited, IPv6", from6, 1, Prohibited},
		{"beyond the scope of the source, IPv6", from6, 2, Unreachable},
		{"address unreachable, IPv6", from6, 3, Unreachable},
		{"port unreachable, IPv6: a reject", from6, 4, Prohibited},
		{"policy failed, IPv6", from6, 5, Prohibited},
		{"reject route, IPv6", from6, 6, Prohibited},
		{"error in a source route, IPv6", from6, 7, NotAttempted},
		{"unheard of, IPv6", from6, 13, NotAttempted},
	} {
		if got := errorState(packet.Answer{Kind: packet.Error, From: c.from, Code: c.code}); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestCookies(t *testing.T) {
	key, other := newKey(), newKey()
	a, same, b := newCookies(key), newCookies(key), newCookies(other)
	seen := make(map[uint32]uint64)
	bits, agree, double := [32]int{}, 0, 0
	const n = 1 << 14
	for i := range uint64(n) {
		c := a.of(i)
		if c != same.of(i) || c != a.of(i) {
			t.Fatalf("%d: the same key gives another cookie", i)
		}
		if c == b.of(i) {
			agree++
		}
		if _, ok := seen[c]; ok {
			double++
		}
		seen[c] = i
		for k := range bits {
			bits[k] += int(c >> k & 1)
		}
	}
	if agree > 2 || double > 5 { // of 2^14 in 2^32, one in 32 is expected to be double
		t.Errorf("got %d cookies that another key gives, and %d double", agree, double)
	}
	for k, n1 := range bits {
		if n1 < n*9/20 || n1 > n*11/20 {
			t.Errorf("bit %d is set in %d of %d cookies", k, n1, n)
		}
	}
}

func TestTiming(t *testing.T) {
	type sample struct{ sent, answered time.Duration } // answered 0: never
	const ms = time.Millisecond
	times := func(n int, d time.Duration) (list []sample) {
		for i := range n {
			at := time.Duration(i) * 100 * ms
			list = append(list, sample{at, at + d})
		}
		return list
	}
	for _, c := range []struct {
		name    string
		samples []sample
		least   time.Duration
		most    time.Duration
	}{
		{"nothing answered yet", []sample{{ms, 0}}, unknownPatience, unknownPatience},
		{"a near network", times(100, ms/2), leastPatience, leastPatience},
		{"a network of 80 ms", times(100, 80*ms), 4 * 80 * ms, 8 * 80 * ms},
		{"one in a thousand is slow", append(times(5000, ms), times(4, 2000*ms)...), leastPatience, leastPatience},
		{"one in a hundred is slow", append(times(500, ms), times(5, 300*ms)...), 4 * 300 * ms, 8 * 300 * ms},
		{"slower than anybody waits", times(100, time.Minute), mostPatience, mostPatience},
		{"an answer before its packet does not count", []sample{{5 * ms, 4 * ms}}, unknownPatience, unknownPatience},
	} {
		var tm timing
		for i, s := range c.samples {
			tm.sent(uint64(i), uint32(i)<<4, s.sent)
			if s.answered > 0 {
				tm.answered(uint64(i), uint32(i)<<4, s.answered)
				tm.answered(uint64(i), uint32(i)<<4, s.answered+time.Hour) // the second answer counts for nothing
			}
		}
		if got := tm.patience(); got < c.least || got > c.most {
			t.Errorf("%s: got %v, want %v to %v", c.name, got, c.least, c.most)
		}
	}
	t.Run("another's answer", func(t *testing.T) {
		var tm timing
		tm.sent(1, 16, ms)
		tm.answered(2, 16, 2*ms)
		tm.sent(3, 16, 3*ms) // takes the sample of 1
		tm.answered(1, 16, 4*ms)
		if got := tm.patience(); got != unknownPatience {
			t.Errorf("got %v, want %v", got, unknownPatience)
		}
	})
}

func TestWindows(t *testing.T) {
	var w windows
	for _, x := range []window{{10, 20}, {20, 30}, {25, 27}, {5, 12}, {40, 50}} {
		w = w.add(x)
	}
	if want := (windows{{5, 30}, {40, 50}}); !slices.Equal(w, want) {
		t.Errorf("got %v, want %v", w, want)
	}
	// Whatever was added is there. Nothing else is, unless there were too many.
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		w, in := windows(nil), make(map[uint64]bool)
		n := []int{200, 2000}[seed%2]
		for range n {
			from := r.Uint64N(5000)
			x := window{from, from + r.Uint64N(8)}
			w = w.add(x)
			for p := x.from; p < x.to; p++ {
				in[p] = true
			}
		}
		for p := range uint64(5010) {
			if got := w.has(p); in[p] && !got || got && !in[p] && n == 200 {
				t.Fatalf("seed %d: %d: got %v, want %v", seed, p, got, in[p])
			}
		}
		if len(w) > 256 {
			t.Errorf("got %d windows", len(w))
		}
	}
}

func TestHits(t *testing.T) {
	h := newHits()
	var wg sync.WaitGroup
	const each = 10000
	for k := range uint64(4) {
		wg.Go(func() {
			for i := range uint64(each) {
				h.add(hit{index: k*each + i})
			}
		})
	}
	go func() { wg.Wait(); h.end() }()
	seen := make(map[uint64]bool)
	for over := false; !over; {
		var list []hit
		list, over = h.take()
		for _, x := range list {
			if seen[x.index] {
				t.Fatalf("%d came twice", x.index)
			}
			seen[x.index] = true
		}
	}
	if len(seen) != 4*each {
		t.Errorf("got %d, want %d", len(seen), 4*each)
	}
}

func TestHoldsWhatItContains(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		near := func() netip.Addr {
			if r.IntN(2) == 0 {
				return netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(3)), byte(r.IntN(256))})
			}
			return netip.AddrFrom16([16]byte{0xfd, 15: byte(r.IntN(256)), 14: byte(r.IntN(3))})
		}
		var targets, exclude []string
		for range 1 + r.IntN(6) {
			a := near()
			p, _ := a.Prefix(a.BitLen() - r.IntN(9))
			targets = append(targets, p.String())
			if r.IntN(2) == 0 {
				exclude = append(exclude, near().String())
			}
		}
		s, err := NewScope(aiming(without(Spec{}, exclude...), targets...))
		if err != nil {
			continue // the exclusions left nothing
		}
		for range 300 {
			if a := near(); s.holds(a) != s.Contains(a) {
				t.Fatalf("%v without %v: %v: got %v, want %v", targets, exclude, a, s.holds(a), s.Contains(a))
			}
		}
		for _, x := range s.ranges {
			for _, a := range []netip.Addr{x.from, x.to, x.from.Prev(), x.to.Next()} {
				if a.IsValid() && s.holds(a) != s.Contains(a) {
					t.Fatalf("%v: got %v, want %v", a, s.holds(a), s.Contains(a))
				}
			}
		}
		if first := s.ranges[0].from; first.Is4() && s.holds(netip.AddrFrom16(first.As16())) {
			t.Errorf("::ffff:%v is on no wire, and is held", first)
		}
	}
}

// What failed is asked again in a pass that comes, or else in the last one anew. What was not asked yet is not passed over.
func TestWhatFailedIsAskedAgain(t *testing.T) {
	for _, c := range []struct {
		name                   string
		pass, position         uint64
		failed                 bool
		wantPass, wantPosition uint64
		wantWork               bool
	}{
		{"in the first pass", 0, 10, true, 0, 10, true},
		{"in the last pass", 1, 10, true, 1, 0, true},
		{"at the end", 2, 0, true, 1, 0, true},
		{"nothing failed, in the first pass", 0, 10, false, 0, 10, true},
		{"nothing failed, in the last pass", 1, 10, false, 1, 10, true},
		{"nothing failed, at the end", 2, 0, false, 2, 0, false},
	} {
		cov := NewCoverage(mustPlan(t, mustScope(t, aiming(Spec{}, "10.50.0.0/27")), 1, 25))
		cov.begin(2)
		cov.advance(c.pass, c.position)
		if c.failed {
			cov.note(3, Failed)
		}
		work := cov.begin(2)
		pass, position := cov.cursor()
		if work != c.wantWork || pass != c.wantPass || position != c.wantPosition || cov.code(3) != codeNone {
			t.Errorf("%s: got pass %d, position %d, work %v, want pass %d, position %d, work %v", c.name, pass, position, work, c.wantPass, c.wantPosition, c.wantWork)
		}
	}
}
