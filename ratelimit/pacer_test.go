package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// scanner is the owner of a Pacer. It scores what it sends.
type scanner struct {
	*score
	p    *Pacer
	rnd  *rand.Rand
	most int                       // asks for so many
	aim  func() netip.Addr         // if nil, there is one address
	work func() time.Duration      // sends for so long; if nil, no time
	left func(granted int) (n int) // gives so many back unused; if nil, none
}

func newScanner(p *Pacer) *scanner {
	return &scanner{score: newScore(), p: p, rnd: rand.New(rand.NewPCG(1, 2)), most: 1024}
}

// run sends for so long, and returns how many packets a second that made.
func (s *scanner) run(t *testing.T, d time.Duration) float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	sent, one := 0, v4(0, 1)
	for {
		n, err := s.p.Grant(ctx, s.most)
		if err != nil {
			if !errors.Is(err, context.DeadlineExceeded) || n != 0 {
				t.Errorf("Grant: got %d, %v", n, err)
			}
			return float64(sent) / d.Seconds()
		}
		if n < 1 || n > s.most {
			t.Fatalf("Grant: got %d, want 1 to %d", n, s.most)
		}
		unused := 0
		if s.left != nil {
			unused = s.left(n)
		}
		now, least := time.Now(), time.Duration(0)
		at := now.Sub(s.start)
		for range n - unused {
			a := one
			if s.aim != nil {
				a = s.aim()
			}
			if wait := s.p.Admit(now, a); wait > 0 {
				unused++
				if least == 0 || wait < least {
					least = wait
				}
				continue
			}
			s.grants = append(s.grants, grant{a, at}) // only the owner does
			sent++
		}
		if unused == n && least > 0 {
			time.Sleep(least)
		}
		if s.work != nil {
			time.Sleep(s.work())
		}
		if unused > 0 {
			s.p.Unused(unused)
		}
	}
}

// obeys fails the test if what the scanner sent breaks the law.
func (s *scanner) obeys(t *testing.T, burst int) {
	t.Helper()
	r := s.p.Rates()
	lawful(t, s.score, r, float64(burst))
}

// upTo returns random durations.
func (s *scanner) upTo(most time.Duration) func() time.Duration {
	return func() time.Duration { return time.Duration(s.rnd.Int64N(int64(most) + 1)) }
}

func TestPacerReachesWhatIsAskedAndNotMore(t *testing.T) {
	for _, c := range []struct {
		name       string
		late, work time.Duration // random, up to these
		most       int
	}{
		{"exact timers", 0, 0, 1024},
		{"timers up to 1 ms late", time.Millisecond, 0, 1024},
		{"timers up to 2 ms late", 2 * time.Millisecond, 0, 1024},
		{"timers up to 2 ms late, system calls that take their time", 2 * time.Millisecond, 400 * time.Microsecond, 1024},
		{"timers up to 2 ms late, small batches", 2 * time.Millisecond, 0, 64},
	} {
		for _, asked := range []float64{1, 10, 100, 300, 500, 999, 1000, 1500, 3000, 10_000, 33_333, 100_000, 200_000} {
			synctest.Test(t, func(t *testing.T) {
				p := NewPacer(Rates{Total: asked}, 0)
				s := newScanner(p)
				s.most = c.most
				if c.late > 0 {
					p.sleep = oversleep(c.late)
				}
				if c.work > 0 {
					s.work = s.upTo(c.work)
				}
				d := time.Duration(max(2, 200/asked) * float64(time.Second))
				if got := s.run(t, d); math.Abs(got/asked-1) > 0.01 {
					t.Errorf("%s, %v a second: got %.1f, want it within 1 %%", c.name, asked, got)
				}
				s.obeys(t, p.Burst())
			})
		}
	}
}

// With less room than Burst has, late timers cost part of the rate.
func TestPacerNeedsItsBurst(t *testing.T) {
	for _, asked := range []float64{300, 1000, 10_000, 200_000} {
		synctest.Test(t, func(t *testing.T) {
			p := NewPacer(Rates{Total: asked}, 0)
			p.tokens.SetBurst(max(2, 2*p.batch))
			p.sleep = oversleep(2 * time.Millisecond)
			got := newScanner(p).run(t, 3*time.Second) / asked * 100
			t.Logf("%v a second, burst %d in place of %v: %.1f %%", asked, p.Burst(), burst(asked, p.batch), got)
			if asked >= 1000 && got > 95 {
				t.Errorf("%v a second: got %.1f %%, so this test shows nothing", asked, got)
			}
		})
	}
}

func TestPacerStallsAreNotMadeGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPacer(Rates{Total: 20_000}, 0)
		s := newScanner(p)
		s.work = func() time.Duration {
			if s.rnd.IntN(50) == 0 {
				return s.upTo(100 * time.Millisecond)()
			}
			return s.upTo(3 * time.Millisecond)()
		}
		s.run(t, 5*time.Second)
		s.obeys(t, p.Burst())
	})
}

func TestPacerBeginsWithNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := NewPacer(Rates{Total: 10_000}, 0), time.Now()
		n, err := p.Grant(t.Context(), 100)
		if d := time.Since(start); n != 10 || err != nil || d < time.Millisecond || d > time.Millisecond+time.Microsecond {
			t.Errorf("got %d, %v after %v, want 10 after 1 ms", n, err, d)
		}
	})
}

func TestPacerBurst(t *testing.T) {
	for _, c := range []struct {
		total       float64
		batch, want int
	}{
		{0.001, 1, 2},
		{100, 1, 2},
		{500, 1, 2},
		{501, 1, 3},
		{999, 1, 3},
		{1000, 1, 3},
		{1999, 1, 5},
		{2000, 2, 6},
		{100_000, 100, 300},
		{1_000_000, 256, 2256},
		{1e300, 256, math.MaxInt32},
	} {
		p := NewPacer(Rates{Total: c.total}, 0)
		if got := p.Burst(); got != c.want || p.batch != c.batch {
			t.Errorf("%v a second: got %d, waits for %d; want %d, %d", c.total, got, p.batch, c.want, c.batch)
		}
	}
}

func TestPacerGivesUnusedGrantsAgain(t *testing.T) {
	for _, c := range []struct {
		name string
		left func(s *scanner, granted int) int
	}{
		{"none", func(_ *scanner, n int) int { return 0 }},
		{"half of each", func(_ *scanner, n int) int { return n / 2 }},
		{"any part of each", func(s *scanner, n int) int { return s.rnd.IntN(n + 1) }},
		{"all of some", func(s *scanner, n int) int { return n * s.rnd.IntN(2) }},
		{"all of some, and that again and again, which is not taken back", func(s *scanner, n int) int {
			if s.rnd.IntN(2) == 0 {
				return 0
			}
			for range 5 {
				s.p.Unused(n)
				s.p.Unused(-n)
			}
			return n
		}},
	} {
		for _, asked := range []float64{100, 1000, 20_000, 100_000} {
			t.Run(fmt.Sprintf("%s at %v a second", c.name, asked), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := NewPacer(Rates{Total: asked}, 0)
					p.sleep = oversleep(time.Millisecond)
					s := newScanner(p)
					s.work = s.upTo(min(time.Duration(100e6/asked), 100*time.Microsecond))
					s.left = func(n int) int { return c.left(s, n) }
					if got := s.run(t, 3*time.Second) / asked * 100; math.Abs(got-100) > 1 {
						t.Errorf("got %.1f %% of the rate, want 100 %% within 1 %%", got)
					}
					s.obeys(t, p.Burst())
				})
			})
		}
	}
}

// addresses returns random addresses of IPv4 and IPv6.
func (s *scanner) addresses(nets, hosts int) func() netip.Addr {
	return func() netip.Addr {
		n, h := s.rnd.IntN(nets), s.rnd.IntN(hosts)
		switch s.rnd.IntN(4) {
		case 0:
			return v6(n, h)
		case 1: // one that differs from others only far ahead of the host's bits
			return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 4: byte(n), 15: byte(h)})
		default:
			return v4(n, h)
		}
	}
}

func TestPacerHoldsNetsAndHostsToTheirRates(t *testing.T) {
	for _, c := range []struct {
		name        string
		rates       Rates
		told        int // how many hosts there are
		nets, hosts int
	}{
		{"nets", Rates{Total: 20_000, PerNet: 30}, 0, 40, 20},
		{"nets with burst", Rates{Total: 20_000, PerNet: 250.5}, 0, 20, 20},
		{"hosts", Rates{Total: 20_000, PerHost: 7}, 0, 20, 20},
		{"hosts with burst", Rates{Total: 20_000, PerHost: 470}, 0, 4, 3},
		{"both", Rates{Total: 20_000, PerNet: 200, PerHost: 10}, 0, 30, 30},
		{"both, no total", Rates{PerNet: 2000, PerHost: 333.3}, 0, 3, 3},
		{"both, slow", Rates{Total: 2000, PerNet: 3, PerHost: 0.5}, 0, 30, 30},
		{"both, very fast", Rates{Total: 20_000, PerNet: 5000, PerHost: 4000}, 0, 1, 2},
		{"both, and all share a few clocks", Rates{Total: 20_000, PerNet: 200, PerHost: 50}, 1, 40, 40},
		{"both, and some share clocks", Rates{Total: 20_000, PerNet: 200, PerHost: 50}, 100, 20, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := NewPacer(c.rates, c.told)
				s := newScanner(p)
				p.sleep = oversleep(time.Millisecond)
				s.aim = s.addresses(c.nets, c.hosts)
				if !capped(c.rates.Total) {
					s.most = 20
					s.work = s.upTo(time.Millisecond)
				}
				if got := s.run(t, 4*time.Second); got < 50 {
					t.Errorf("got %v a second, want some", got)
				}
				s.obeys(t, p.Burst())
			})
		})
	}
}

// Who asks again when it was told to gets the whole rate.
func TestPacerWaitsAreNoLongerThanNeeded(t *testing.T) {
	a := v4(1, 2)
	for _, perSecond := range []float64{0.0001, 0.5, 7, 20, 99.9, 470, 1000, 5000, 100_000, 200_000} {
		for _, r := range []Rates{{PerNet: perSecond}, {PerHost: perSecond}} {
			synctest.Test(t, func(t *testing.T) {
				p := NewPacer(r, 0)
				s := newScanner(p)
				for len(s.grants) < 2000 {
					wait := p.Admit(time.Now(), a)
					if wait == 0 {
						s.add(a)
						continue
					}
					if p.Admit(time.Now().Add(wait-1), a) == 0 {
						t.Fatalf("%+v: told to wait %v, admitted before", r, wait)
					}
					p.latest, p.now = 0, time.Time{} // that was a look ahead
					time.Sleep(wait)
				}
				got := float64(len(s.grants)) / time.Since(s.start).Seconds()
				if got < perSecond*0.999 { // the start has a burst
					t.Errorf("%+v: got %v a second", r, got)
				}
				s.obeys(t, 0)
			})
		}
	}
}

func TestPacerAdmitsAllOrNothing(t *testing.T) {
	p := NewPacer(Rates{PerNet: 1, PerHost: 0.1}, 0)
	now := time.Now()
	for _, c := range []struct {
		name  string
		after time.Duration
		addr  netip.Addr
		wait  time.Duration
	}{
		{"the first", 0, v4(0, 1), 0},
		{"its neighbour waits for the net", 0, v4(0, 2), time.Second},
		{"it itself waits for its host", 0, v4(0, 1), 10 * time.Second},
		{"another net", 0, v4(1, 1), 0},
		{"IPv6", 0, v6(0, 1), 0},
		{"IPv6, the same /64", 0, v6(0, 2), time.Second},
		{"the same host, mapped", 0, netip.MustParseAddr("::ffff:10.0.0.1"), 10 * time.Second},
		{"the net has a token, the host none", 5 * time.Second, v4(0, 1), 5 * time.Second},
		{"so the net's was not taken", 5 * time.Second, v4(0, 2), 0},
		{"time that runs back frees nothing", 2 * time.Second, v4(0, 3), time.Second},
		{"the host has a token, the net too", 11 * time.Second, v4(0, 1), 0},
		{"no address", 11 * time.Second, netip.Addr{}, time.Hour},
	} {
		got := p.Admit(now.Add(c.after), c.addr)
		if d := (got - c.wait).Abs(); d > c.wait/1000 || (got == 0) != (c.wait == 0) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.wait)
		}
	}
	zoned := netip.MustParseAddr("fe80::1%eth0")
	if got, again := p.Admit(now.Add(11*time.Second), zoned), p.Admit(now.Add(11*time.Second), zoned.WithZone("2")); got != 0 || again == 0 {
		t.Errorf("another zone: got %v, then %v, want it to count as the same host", got, again)
	}
}

// Clocks of 32 bits wrap around. What was asked for long ago must not block for long, and what was just asked for must
// not be forgotten, wherever the time stands.
func TestPacerClocksWrapAround(t *testing.T) {
	for _, perSecond := range []float64{0.5, 20, 1000, 100_000, 1e6} {
		p := NewPacer(Rates{PerNet: perSecond, PerHost: perSecond}, 1)
		s := newScanner(p)
		c := p.hosts
		around := int64(1) << (32 + c.shift)
		ahead := time.Duration(int64(c.slack+c.gap) << c.shift)
		now, admitted, asked := p.start, 0, 0
		for range 300_000 {
			switch s.rnd.IntN(2000) {
			case 0: // near to where it wraps around
				now = now.Add(time.Duration(around - int64(ahead) + s.rnd.Int64N(2*int64(ahead))))
			case 1:
				now = now.Add(time.Duration(s.rnd.Int64N(around)))
			default:
				now = now.Add(time.Duration(s.rnd.Int64N(int64(c.gap) << c.shift / 2)))
			}
			if now.Sub(p.start) > 100*365*day {
				break
			}
			a := v4(s.rnd.IntN(2), s.rnd.IntN(8))
			asked++
			switch wait := p.Admit(now, a); {
			case wait == 0:
				admitted++
				s.grants = append(s.grants, grant{a, now.Sub(p.start)})
			case wait < 0 || wait > ahead:
				t.Fatalf("%v a second: got a wait of %v, want %v at most", perSecond, wait, ahead)
			}
		}
		if admitted < asked/20 || admitted == asked {
			t.Errorf("%v a second: %d of %d admitted: this test shows nothing", perSecond, admitted, asked)
		}
		s.obeys(t, 0)
	}
}

// In one scope no two members share a clock as long as there is one for each.
func TestPacerMembersOfAScopeHaveTheirOwnClocks(t *testing.T) {
	for _, c := range []struct {
		name   string
		clocks clocks
		addr   func(i int) netip.Addr
		net    bool
		n      int
	}{
		{"the hosts of a /12", newClocks(1, 1<<20, 20), func(i int) netip.Addr {
			return netip.AddrFrom4([4]byte{172, 16 | byte(i>>16), byte(i >> 8), byte(i)})
		}, false, 1 << 20},
		{"the hosts of a /24", newClocks(1, 256, 20), func(i int) netip.Addr { return v4(7, i) }, false, 256},
		{"the /24 of a /8", newClocks(1, 0, 16), func(i int) netip.Addr { return v4(i, 9) }, true, 1 << 16},
		{"the /64 of a /48", newClocks(1, 0, 16), func(i int) netip.Addr { return v6(i, 9) }, true, 1 << 16},
		{"the first addresses of a /64", newClocks(1, 1<<16, 20), func(i int) netip.Addr { return v6(7, i) }, false, 1 << 16},
	} {
		c.clocks.make()
		shared := 0
		for i := range c.n {
			n, hi, lo := keys(c.addr(i))
			if c.net {
				hi, lo = 0, n
			}
			clock := c.clocks.slot(hi, lo)
			shared += int(*clock)
			*clock = 1
		}
		if shared > 0 {
			t.Errorf("%s: %d of %d got the clock of another", c.name, shared, c.n)
		}
	}
}

func TestPacerTakesNoMoreMemoryThanNeeded(t *testing.T) {
	both := Rates{PerNet: 10, PerHost: 10}
	for _, c := range []struct {
		name        string
		r           Rates
		told        int
		nets, hosts int
	}{
		{"no caps", Rates{Total: 1000}, 1e6, 0, 0},
		{"nothing known of hosts", both, 0, 1 << 16, 1 << 20},
		{"less than nothing", both, -1, 1 << 16, 1 << 20},
		{"one host", both, 1, 16, 16},
		{"300 hosts", both, 300, 8192, 8192},
		{"a /16", both, 1 << 16, 1 << 16, 1 << 20},
		{"all there can be", both, math.MaxInt, 1 << 16, 1 << 20},
		{"only nets", Rates{PerNet: 1}, 0, 1 << 16, 1},
		{"only hosts", Rates{PerHost: 1}, 0, 1, 1 << 20},
	} {
		p := NewPacer(c.r, c.told)
		if p.nets.slots != nil || p.hosts.slots != nil {
			t.Errorf("%s: memory was taken before it was needed", c.name)
		}
		p.Admit(time.Now(), v4(0, 1))
		if n, h := len(p.nets.slots), len(p.hosts.slots); n != c.nets || h != c.hosts {
			t.Errorf("%s: got %d nets and %d hosts, want %d and %d", c.name, n, h, c.nets, c.hosts)
		}
	}
}

func TestPacerRefusals(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		r    Rates
		most int
		want string
	}{
		{"context done before", done, Rates{}, 1, "context canceled"},
		{"none asked for", t.Context(), Rates{}, 0, "ratelimit: a grant of no packets"},
		{"less than none", t.Context(), Rates{Total: 1e9}, -5, "ratelimit: a grant of no packets"},
		{"negative rate", t.Context(), Rates{Total: -1}, 1, "ratelimit: -1 is not a rate"},
		{"not a number", t.Context(), Rates{PerNet: math.NaN()}, 1, "ratelimit: NaN is not a rate"},
	} {
		p := NewPacer(c.r, 0)
		if n, err := p.Grant(c.ctx, c.most); n != 0 || err == nil || err.Error() != c.want {
			t.Errorf("%s: got %d, %v, want %v", c.name, n, err, c.want)
		}
		p.Slow(time.Now(), 100)
		if p.err != nil && (p.Admit(time.Now(), v4(0, 1)) == 0 || p.Rate() != 0 || p.Burst() != 0) {
			t.Errorf("%s: Admit admits", c.name)
		}
	}
	if p := NewPacer(Rates{PerHost: 1}, 0); p.Admit(time.Time{}, v4(0, 1)) != 0 || p.Admit(time.Time{}, v4(0, 1)) == 0 {
		t.Error("the zero time: want one packet admitted, as at the start")
	}
	if NewPacer(Rates{}, 0).Admit(time.Now(), netip.Addr{}) == 0 {
		t.Error("no address: Admit admits")
	}
}

func TestPacerWithoutCaps(t *testing.T) {
	for _, r := range []Rates{{}, {Total: math.Inf(1), PerNet: math.Inf(1), PerHost: math.Inf(1)}} {
		synctest.Test(t, func(t *testing.T) {
			p, start := NewPacer(r, 0), time.Now()
			for range 1000 {
				if n, err := p.Grant(t.Context(), 4096); n != 4096 || err != nil {
					t.Fatalf("got %d, %v, want all at once", n, err)
				}
				if wait := p.Admit(start, v4(0, 1)); wait != 0 {
					t.Fatalf("got a wait of %v, want none", wait)
				}
				p.Unused(1)
			}
			if d := time.Since(start); d != 0 || p.Rate() != 0 || p.Burst() != 0 {
				t.Errorf("took %v, rate %v, burst %d, want 0 of each", d, p.Rate(), p.Burst())
			}
		})
	}
}

func TestPacerPausesInQuietHours(t *testing.T) {
	for _, r := range []Rates{{}, {Total: 0.1}, {Total: 1000}} {
		synctest.Test(t, func(t *testing.T) {
			r.Quiet = soonQuiet(t, time.Hour, 8*time.Hour)
			p := NewPacer(r, 0)
			s := newScanner(p)
			s.most, s.work = 1, func() time.Duration { return time.Minute }
			s.run(t, 9*time.Hour)
			var before, after int
			for _, g := range s.grants {
				switch {
				case g.at < time.Hour:
					before++
				case g.at < 8*time.Hour:
					t.Fatalf("sent %v after the start, in quiet hours", g.at)
				default:
					after++
				}
			}
			if before < 50 || after < 50 {
				t.Errorf("%+v: got %d before and %d after, want about 60", r, before, after)
			}
			s.obeys(t, p.Burst())
			quietAt := s.start.Add(2 * time.Hour)
			if until, quiet := p.Quiet(quietAt); !quiet || until.Sub(s.start) != 8*time.Hour {
				t.Errorf("got %v, %v, want quiet until 8 hours after the start", until, quiet)
			}
		})
	}
}

func TestPacerQuietHoursEndWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := NewPacer(Rates{Quiet: soonQuiet(t, -time.Minute, time.Hour)}, 0), time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		if n, err := p.Grant(ctx, 1); n != 0 || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 90*time.Second {
			t.Errorf("got %d, %v after %v, want %v after 90 s", n, err, time.Since(start), context.DeadlineExceeded)
		}
		if n, err := p.Grant(t.Context(), 5); n != 5 || err != nil || time.Since(start) != time.Hour {
			t.Errorf("again: got %d, %v after %v, want 5 after an hour", n, err, time.Since(start))
		}
	})
}

func TestSlow(t *testing.T) {
	type complaint struct {
		after time.Duration // since the one before
		seen  float64
		want  float64 // the pace then
	}
	ms := time.Millisecond
	for _, c := range []struct {
		name       string
		total      float64
		complaints []complaint
	}{
		{"halves", 10_000, []complaint{{0, 0, 5000}, {1000 * ms, 0, 2500}, {1000 * ms, 0, 1250}}},
		{"at most once a second", 10_000, []complaint{{0, 0, 5000}, {999 * ms, 0, 5000}, {1 * ms, 0, 2500}, {10 * ms, 0, 2500}}},
		{"late news of an older complaint", 10_000, []complaint{{0, 0, 5000}, {-2000 * ms, 0, 5000}}},
		{"not below 1/64", 6400, []complaint{{0, 0, 3200}, {time.Second, 0, 1600}, {time.Second, 0, 800}, {time.Second, 0, 400}, {time.Second, 0, 200}, {time.Second, 0, 100}, {time.Second, 0, 100}}},
		{"not below 10/s", 24, []complaint{{0, 0, 12}, {time.Second, 0, 10}, {time.Second, 0, 10}}},
		{"what is slow already stays", 3, []complaint{{0, 0, 3}, {time.Second, 0, 3}}},
		{"half of what left, if that is less", 100_000, []complaint{{0, 30_000, 15_000}, {time.Second, 15_000, 7500}}},
		{"what left was more", 100_000, []complaint{{0, 100_010, 50_000}}},
		{"next to nothing left", 6400, []complaint{{0, 1e-9, 100}}},
		{"seen is not a number", 10_000, []complaint{{0, math.NaN(), 5000}}},
		{"seen is negative", 10_000, []complaint{{0, -1, 5000}}},
		{"no cap", 0, []complaint{{0, 80_000, 40_000}, {time.Second, 80_000, 20_000}, {time.Second, 0, 10_000}}},
		{"no cap, nothing known", 0, []complaint{{0, 0, 10}, {time.Second, 0, 10}}},
		{"no cap, endless", 0, []complaint{{0, math.Inf(1), 10}, {time.Second, 0, 10}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			p, now := NewPacer(Rates{Total: c.total}, 0), time.Now()
			for i, x := range c.complaints {
				now = now.Add(x.after)
				p.Slow(now, x.seen)
				if got := p.Rate(); got != x.want {
					t.Errorf("%s: after complaint %d: got %v a second, want %v", c.name, i+1, got, x.want)
				}
			}
		})
	}
}

// What gathered at the pace before must not leave at once after a complaint.
func TestSlowLowersTheBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPacer(Rates{Total: 100_000}, 0)
		time.Sleep(time.Second)
		if n, err := p.Grant(t.Context(), 250); n != 250 || err != nil {
			t.Fatalf("got %d, %v, want 250", n, err)
		}
		p.Unused(250)
		p.Slow(time.Now(), 0)
		if n, err := p.Grant(t.Context(), 1024); n != 150 || err != nil || p.Burst() != 150 {
			t.Errorf("got %d, %v, and a burst of %d, want 150: 3 ms of 50,000/s", n, err, p.Burst())
		}
	})
}

func TestPaceRecovers(t *testing.T) {
	for _, c := range []struct {
		name  string
		total float64
		want  []float64 // the pace after each 5 s
	}{
		{"up to what was asked for", 1000, []float64{500, 625, 781.25, 976.5625, 1000, 1000}},
		{"on and on", 0, []float64{500, 625, 781.25, 976.5625, 1220.703125, 1525.87890625}},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := NewPacer(Rates{Total: c.total}, 0)
			p.Slow(time.Now(), 1000)
			s := newScanner(p)
			for i, want := range c.want {
				if got := p.Rate(); got != want {
					t.Errorf("%s: after %d s: got %v a second, want %v", c.name, 5*i, got, want)
				}
				s.score = newScore()
				if got := s.run(t, 5*time.Second); math.Abs(got/want-1) > 0.01 {
					t.Errorf("%s: in the 5 s after %d s: sent %v a second, want %v", c.name, 5*i, got, want)
				}
				if err := overrun(times(s.score, func(netip.Addr) int { return 0 })[0], want, burst(want, 1)+2); err != nil {
					t.Errorf("%s: after %d s: %v", c.name, 5*i, err)
				}
				if _, err := p.Grant(t.Context(), 1); err != nil { // the first after 5 s
					t.Fatal(err)
				}
			}
		})
	}
}

// A complaint that is too soon to halve the pace again still puts off its recovery, and so does a pause.
func TestPaceRecoversOnlyWithoutComplaint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPacer(Rates{Total: 1000}, 0)
		grant := func(want float64) {
			t.Helper()
			if _, err := p.Grant(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			if got := p.Rate(); got != want {
				t.Errorf("%v after the start: got %v, want %v", time.Since(p.start), got, want)
			}
		}
		p.Slow(time.Now(), 0)
		time.Sleep(900 * time.Millisecond)
		p.Slow(time.Now(), 0)
		time.Sleep(4900 * time.Millisecond)
		grant(500)
		time.Sleep(100 * time.Millisecond)
		grant(625)
		time.Sleep(time.Hour)
		grant(781.25) // one step: nobody could complain of what was not sent
		time.Sleep(time.Second)
		p.Slow(time.Now(), 0)
		grant(390.625)
	})
}

// Whatever is complained of, and by whom, the pace asked for is never exceeded: neither by the bucket that changes nor by
// times that are older than those that it knows.
func TestSlowKeepsTheLaw(t *testing.T) {
	for _, asked := range []float64{500, 20_000, 300_000} {
		synctest.Test(t, func(t *testing.T) {
			p := NewPacer(Rates{Total: asked}, 0)
			most := p.Burst()
			p.sleep = oversleep(2 * time.Millisecond)
			s := newScanner(p)
			s.left = func(n int) int { return s.rnd.IntN(n+1) / 2 }
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for w := range 4 {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(3, uint64(w)))
					for sleep(ctx, time.Duration(rnd.Int64N(int64(8*time.Second)))) == nil {
						p.Slow(time.Now().Add(-time.Duration(rnd.Int64N(int64(time.Second)))), rnd.Float64()*asked*2)
					}
				})
			}
			if got := s.run(t, 20*time.Second) / asked; got > 0.9 {
				t.Errorf("%v a second: got %v of it, so nobody was slowed", asked, got)
			}
			cancel()
			wg.Wait()
			s.obeys(t, most)
		})
	}
}

// The same on a clock that does not stand still, with complaints from other goroutines. Only what must be is asserted.
func TestPacerOnTheWallClock(t *testing.T) {
	const asked = 100_000
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	p, start := NewPacer(Rates{Total: asked}, 0), time.Now()
	most := p.Burst()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				p.Slow(time.Now().Add(-time.Second), 0)
				if r := p.Rate(); r <= 0 || r > asked {
					t.Errorf("got a pace of %v, want up to %v", r, asked)
				}
				p.Burst()
			}
		})
	}
	sent := 0
	for {
		n, err := p.Grant(ctx, 1024)
		if err != nil {
			break
		}
		p.Unused(n / 4)
		sent += n - n/4
	}
	wg.Wait()
	if law := float64(most) + asked*time.Since(start).Seconds(); sent == 0 || float64(sent) > law {
		t.Errorf("got %d packets, want 1 to %.0f", sent, law)
	}
}

// BenchmarkPacer tells what a packet costs: its part of a Grant of 256, and an Admit. Its time is virtual, 1 ms a batch;
// the addresses are those of a scope, in an order that jumps about.
func BenchmarkPacer(b *testing.B) {
	for _, c := range []struct {
		name string
		r    Rates
		bits int
	}{
		{"no caps", Rates{}, 16},
		{"total", Rates{Total: 1e12}, 16},
		{"total, net, host of a /16", Rates{Total: 1e12, PerNet: 3000, PerHost: 20}, 16},
		{"total, net, host of a /12", Rates{Total: 1e12, PerNet: 3000, PerHost: 20}, 20},
	} {
		b.Run(c.name, func(b *testing.B) {
			const batch = 256
			hosts := 1 << c.bits
			p, now := NewPacer(c.r, hosts), time.Now()
			time.Sleep(5 * time.Millisecond) // the bucket fills
			refused := 0
			b.ReportAllocs()
			for i := 0; i < b.N; i += batch {
				n, err := p.Grant(b.Context(), batch)
				if err != nil {
					b.Fatal(err)
				}
				now = now.Add(time.Millisecond)
				for j := range n {
					h := (i + j) * 0x9e3779b1 & (hosts - 1) // each once a round
					if p.Admit(now, netip.AddrFrom4([4]byte{172, 16 | byte(h>>16), byte(h >> 8), byte(h)})) > 0 {
						refused++
					}
				}
			}
			b.ReportMetric(float64(refused)/float64(b.N)*100, "%-refused")
		})
	}
}

// BenchmarkAdmit is Admit alone.
func BenchmarkAdmit(b *testing.B) {
	for _, c := range []struct {
		name string
		r    Rates
	}{
		{"no caps", Rates{}},
		{"net, host", Rates{PerNet: 1e6, PerHost: 1e6}},
	} {
		b.Run(c.name, func(b *testing.B) {
			p, now, a := NewPacer(c.r, 0), time.Now(), v4(0, 1)
			for range b.N {
				if now = now.Add(time.Millisecond); p.Admit(now, a) > 0 {
					b.Fatal("refused")
				}
			}
		})
	}
}

// BenchmarkPacerPace tells how much of the rate asked for is reached on the real clock in one second, and how many
// grants that took.
func BenchmarkPacerPace(b *testing.B) {
	for _, asked := range []float64{100, 300, 1000, 3000, 10_000, 33_333, 100_000, 200_000, 500_000, 1e6} {
		b.Run(fmt.Sprintf("rate=%v", asked), func(b *testing.B) {
			p := NewPacer(Rates{Total: asked}, 0)
			ctx, cancel := context.WithTimeout(b.Context(), time.Second)
			defer cancel()
			sent, grants := 0, 0
			for {
				n, err := p.Grant(ctx, 1024)
				if err != nil {
					break
				}
				sent += n
				grants++
			}
			b.ReportMetric(float64(sent)/asked*100, "%-of-asked")
			b.ReportMetric(float64(grants), "grants")
		})
	}
}

// A Pacer beside a Limiter: together they keep to the one total, whoever asks.
func TestPacerBesideALimiter(t *testing.T) {
	for _, others := range []float64{100, 900, 1000} { // how many a second the Limiter's callers want
		synctest.Test(t, func(t *testing.T) {
			const total, spell = 1000, 5 * time.Second
			l := New(Rates{Total: total})
			p := NewPacer(Rates{Total: total}, 0)
			p.Beside(l)
			ctx, cancel := context.WithTimeout(t.Context(), spell)
			defer cancel()
			var granted int
			var wg sync.WaitGroup
			wg.Go(func() {
				tick := time.NewTicker(time.Duration(float64(time.Second) / others))
				defer tick.Stop()
				for l.Wait(ctx, netip.MustParseAddr("10.0.0.1")) == nil {
					<-tick.C
				}
			})
			for {
				n, err := p.Grant(ctx, 16)
				if err != nil {
					break
				}
				granted += n
			}
			wg.Wait()
			sum, want := float64(granted)+float64(l.Granted()), total*spell.Seconds()
			if sum > want+float64(l.Burst()+p.Burst()) || sum < 0.98*want {
				t.Errorf("%v/s beside it: %v left in %v, want %v", others, sum, spell, want)
			}
			if beside := float64(l.Granted()); beside < 0.95*min(others, total)*spell.Seconds() {
				t.Errorf("the Limiter gave %v of %v: it comes first", beside, others*spell.Seconds())
			}
		})
	}
}
