package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

// grant is one permission: to whom, and how long after the limiter was made.
type grant struct {
	addr netip.Addr
	at   time.Duration
}

// score keeps what was granted.
type score struct {
	mu     sync.Mutex
	start  time.Time
	grants []grant
}

func newScore() *score { return &score{start: time.Now()} }

func (s *score) add(a netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grants = append(s.grants, grant{a, time.Since(s.start)})
}

// times returns when those were granted whom the key function puts together, by key, in order.
func times[K comparable](s *score, key func(netip.Addr) K) map[K][]time.Duration {
	m := make(map[K][]time.Duration)
	for _, g := range s.grants {
		m[key(g.addr)] = append(m[key(g.addr)], g.at)
	}
	for _, t := range m {
		slices.Sort(t)
	}
	return m
}

// overrun returns an error if any window of the sorted times holds more than burst + perSecond*w grants.
func overrun(times []time.Duration, perSecond, burst float64) error {
	if perSecond == 0 {
		return nil
	}
	// All windows at once: from grant i to grant j there are j-i+1. Let f(k) = k - perSecond*t(k);
	// then the law is f(j) - f(i) + 1 <= burst for all i <= j, and only the least f(i) so far matters.
	least, from := math.Inf(1), 0
	for j, t := range times {
		f := float64(j) - perSecond*t.Seconds()
		if f < least {
			least, from = f, j
		}
		if f-least+1 > burst+1e-6 {
			return fmt.Errorf("%d grants in %v, want at most %v + %v/s", j-from+1, t-times[from], burst, perSecond)
		}
	}
	// The same law said plainly, for windows of these lengths beginning at each grant.
	for _, w := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 137 * time.Millisecond, time.Second} {
		i := 0
		for j := range times {
			for times[j]-times[i] > w {
				i++
			}
			if n, most := j-i+1, burst+perSecond*w.Seconds()+1e-6; float64(n) > most {
				return fmt.Errorf("%d grants in a window of %v, want at most %v", n, w, most)
			}
		}
	}
	return nil
}

// obeys fails the test if the score breaks the law for the total, a net or a host.
func obeys(t *testing.T, s *score, l *Limiter) {
	t.Helper()
	lawful(t, s, l.Rates(), float64(l.Burst()))
}

// lawful fails the test if the score breaks the law that r and the burst of the total make.
func lawful(t *testing.T, s *score, r Rates, burst float64) {
	t.Helper()
	member := func(r float64) float64 { return max(1, r*memberBurst.Seconds()) }
	for _, g := range times(s, func(netip.Addr) string { return "total" }) {
		if err := overrun(g, r.Total, burst); err != nil {
			t.Errorf("total: %v", err)
		}
	}
	if capped(r.PerNet) {
		for n, g := range times(s, network) {
			if err := overrun(g, r.PerNet, member(r.PerNet)); err != nil {
				t.Errorf("net %v: %v", n, err)
			}
		}
	}
	if !capped(r.PerHost) {
		return
	}
	for h, g := range times(s, func(a netip.Addr) netip.Addr { return a }) {
		if err := overrun(g, r.PerHost, member(r.PerHost)); err != nil {
			t.Errorf("host %v: %v", h, err)
		}
	}
}

// nothingLeft fails the test if somebody who is gone still holds a turn or a mark.
func nothingLeft(t *testing.T, l *Limiter) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	check := func(what string, b *bucket) {
		if b != nil && (b.users != 0 || len(b.turn) != 0) {
			t.Errorf("%s: %d users, %d turns held, want none", what, b.users, len(b.turn))
		}
	}
	check("total", l.total)
	for n, b := range l.nets.buckets {
		check(n.String(), b)
	}
	for h, b := range l.hosts.buckets {
		check(h.String(), b)
	}
}

// v4 returns the host-th address of the net-th /24 of 10.0.0.0/8.
func v4(net, host int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(net >> 8), byte(net), byte(host)})
}

// v6 returns the host-th address of the net-th /64 of 2001:db8::/32.
func v6(net, host int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 6: byte(net >> 8), 7: byte(net), 14: byte(host >> 8), 15: byte(host)})
}

func TestOverrunSeesABrokenLaw(t *testing.T) {
	ms := func(n ...int) (d []time.Duration) {
		for _, n := range n {
			d = append(d, time.Duration(n)*time.Millisecond)
		}
		return d
	}
	for _, c := range []struct {
		name   string
		times  []time.Duration
		rate   float64
		burst  float64
		broken bool
	}{
		{"no grants", nil, 1, 1, false},
		{"on the beat", ms(0, 10, 20, 30), 100, 1, false},
		{"one early", ms(0, 10, 19, 30), 100, 1, true},
		{"two at once, burst of one", ms(0, 50, 50), 100, 1, true},
		{"two at once, burst of two", ms(0, 50, 50), 100, 2, false},
		{"three in 19 ms, burst of two", ms(0, 0, 9), 100, 2, true},
		{"a little fast, for long", ms(0, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 99, 108), 100, 2, true},
	} {
		if err := overrun(c.times, c.rate, c.burst); (err != nil) != c.broken {
			t.Errorf("%s: got %v, want broken = %v", c.name, err, c.broken)
		}
	}
}

func TestNeverFasterThanAsked(t *testing.T) {
	for _, c := range []struct {
		name          string
		rates         Rates
		workers       int
		nets, hosts   int // workers choose among hosts in each of nets, IPv4 and IPv6
		events        int // all together
		mostWork, gap time.Duration
	}{
		{"only a total, everyone at once", Rates{Total: 1000}, 500, 4, 4, 5000, 0, 0},
		{"a total with burst, workers that work", Rates{Total: 20000}, 300, 50, 20, 30000, 50 * time.Millisecond, 0},
		{"slow total", Rates{Total: 0.5}, 20, 2, 2, 60, 0, 0},
		{"only nets", Rates{PerNet: 30}, 200, 8, 10, 4000, 20 * time.Millisecond, 0},
		{"only nets, with burst", Rates{PerNet: 250}, 200, 5, 10, 6000, 20 * time.Millisecond, 0},
		{"only hosts", Rates{PerHost: 7}, 200, 4, 12, 3000, 20 * time.Millisecond, 0},
		{"only hosts, with burst", Rates{PerHost: 470}, 100, 2, 3, 6000, 5 * time.Millisecond, 0},
		{"all three", Rates{Total: 400, PerNet: 60, PerHost: 5}, 300, 6, 14, 4000, 100 * time.Millisecond, 0},
		{"all three, the total is the narrow one", Rates{Total: 90, PerNet: 60, PerHost: 5}, 300, 6, 14, 2000, 0, 0},
		{"all three with bursts", Rates{Total: 5000, PerNet: 1000, PerHost: 300}, 400, 6, 4, 20000, 10 * time.Millisecond, 0},
		{"bursts after rests", Rates{Total: 3000, PerNet: 900, PerHost: 200}, 100, 6, 4, 3000, 0, 300 * time.Millisecond},
		{"more hosts than are kept idle", Rates{Total: 9000, PerNet: 500, PerHost: 2}, 400, 40, 200, 40000, 20 * time.Millisecond, 0},
		{"rates that are no round numbers", Rates{Total: 733.3, PerNet: 151.7, PerHost: 0.37}, 300, 8, 120, 3000, 30 * time.Millisecond, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, s := New(c.rates), newScore()
				var wg sync.WaitGroup
				for w := range c.workers {
					wg.Go(func() {
						rnd := rand.New(rand.NewPCG(1, uint64(w)))
						for i := range c.events / c.workers {
							at := v4
							if rnd.IntN(4) == 0 {
								at = v6
							}
							a := at(rnd.IntN(c.nets), rnd.IntN(c.hosts))
							ctx, cancel := t.Context(), context.CancelFunc(func() {})
							if rnd.IntN(10) == 0 { // one in ten has little patience
								ctx, cancel = context.WithTimeout(ctx, time.Duration(rnd.Int64N(int64(200*time.Millisecond))))
							}
							if err := l.Wait(ctx, a); err == nil {
								s.add(a)
							} else if !errors.Is(err, context.DeadlineExceeded) {
								t.Errorf("Wait: %v", err)
							}
							cancel()
							if c.mostWork > 0 {
								time.Sleep(time.Duration(rnd.Int64N(int64(c.mostWork))))
							}
							if c.gap > 0 && i%10 == 9 {
								time.Sleep(c.gap)
							}
						}
					})
				}
				wg.Wait()
				if len(s.grants) < c.events/2 {
					t.Errorf("got %d grants, want most of %d", len(s.grants), c.events)
				}
				obeys(t, s, l)
				nothingLeft(t, l)
			})
		})
	}
}

// The clock of synctest stands still while anyone runs, and so hides the one trap that x/time/rate has: a time taken
// before the lock, by which 10,000 goroutines got 1.45 times the limit. Here the clock is real. Only what must be is
// asserted: not more than the law lets pass.
func TestNeverFasterThanAskedOnTheWallClock(t *testing.T) {
	const asked, callers = 100_000, 5000
	a := v4(0, 1)
	for _, c := range []struct {
		name string
		ask  func(ctx context.Context, l *Limiter) bool // granted?
	}{
		{"all wait", func(ctx context.Context, l *Limiter) bool { return l.Wait(ctx, a) == nil }},
		{"nobody waits", func(_ context.Context, l *Limiter) bool {
			w, granted := l.enter(a)
			if !granted {
				l.leave(w)
			}
			return granted
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			var wg sync.WaitGroup
			var granted atomic.Int64
			start := time.Now()
			l := New(Rates{Total: asked})
			for range callers {
				wg.Go(func() {
					for ctx.Err() == nil {
						if c.ask(ctx, l) {
							granted.Add(1)
						}
					}
				})
			}
			wg.Wait()
			most := float64(l.Burst()) + asked*time.Since(start).Seconds()
			if got := granted.Load(); got == 0 || float64(got) > most {
				t.Errorf("got %d grants, want 1 to %.0f", got, most)
			}
			nothingLeft(t, l)
		})
	}
}

func TestAsFastAsAsked(t *testing.T) {
	for _, asked := range []float64{100, 1000, 20000} {
		for _, c := range []struct {
			name    string
			rates   Rates
			waiters int
		}{
			{"one waiter", Rates{Total: asked}, 1},
			{"many waiters", Rates{Total: asked}, 1000},
			{"many waiters, wide caps below", Rates{Total: asked, PerNet: asked, PerHost: asked / 2}, 1000},
		} {
			t.Run(fmt.Sprintf("%v a second, %s", asked, c.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l, s := New(c.rates), newScore()
					seconds := min(10, 20_000/asked)
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(seconds*float64(time.Second)))
					defer cancel()
					var wg sync.WaitGroup
					for w := range c.waiters {
						wg.Go(func() {
							for a := v4(w%50, w%7); l.Wait(ctx, a) == nil; {
								s.add(a)
							}
						})
					}
					wg.Wait()
					if got := float64(len(s.grants)) / seconds; math.Abs(got/asked-1) > 0.01 {
						t.Errorf("got %v a second, want %v within 1 %%", got, asked)
					}
					obeys(t, s, l)
				})
			})
		}
	}
}

// oversleep returns a sleep that wakes late, by anything up to most.
func oversleep(most time.Duration) func(context.Context, time.Duration) error {
	rnd := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex
	return func(ctx context.Context, d time.Duration) error {
		mu.Lock()
		d += time.Duration(rnd.Int64N(int64(most) + 1))
		mu.Unlock()
		return sleep(ctx, d)
	}
}

// The burst is what makes good a late timer: with the room of 2 ms of tokens alone, which was one token up to 500/s and
// none to spare above, part of the rate is lost.
func TestAsFastAsAskedWithLateTimers(t *testing.T) {
	const seconds = 20
	reached := func(t *testing.T, asked float64, burst int) (percent float64) {
		synctest.Test(t, func(t *testing.T) {
			l, s := New(Rates{Total: asked}), newScore()
			l.sleep = oversleep(late)
			if burst > 0 {
				l.total = newBucket(asked, float64(burst))
			}
			ctx, cancel := context.WithTimeout(t.Context(), seconds*time.Second)
			defer cancel()
			for l.Wait(ctx, v4(0, 1)) == nil {
				s.add(v4(0, 1))
			}
			obeys(t, s, l)
			percent = float64(len(s.grants)) / seconds / asked * 100
		})
		return percent
	}
	for _, asked := range []float64{10, 50, 100, 200, 300, 400, 500, 700, 999, 1000, 1500, 3000} {
		before := reached(t, asked, int(math.Ceil(asked*late.Seconds())))
		after := reached(t, asked, 0)
		t.Logf("%5v a second: %5.1f %% before, %5.1f %% now", asked, before, after)
		if math.Abs(after-100) > 1 {
			t.Errorf("%v a second: got %.1f %% of it, want 100 %% within 1 %%", asked, after)
		}
		if asked >= 50 && before > 98 {
			t.Errorf("%v a second: got %.1f %% with the burst of before, so this test shows nothing", asked, before)
		}
	}
}

// Though the total may hold two tokens, there is one at the start.
func TestTheTotalBeginsWithOneToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := New(Rates{Total: 0.1}), newScore()
		for range 3 {
			if err := l.Wait(t.Context(), v4(0, 1)); err != nil {
				t.Fatal(err)
			}
			s.add(v4(0, 1))
		}
		for i, g := range s.grants {
			if want := time.Duration(i) * 10 * time.Second; g.at < want || g.at > want+time.Microsecond {
				t.Errorf("grant %d: got %v after the start, want %v", i, g.at, want)
			}
		}
	})
}

// soonQuiet returns hours that begin and end so long after now.
func soonQuiet(t *testing.T, from, to time.Duration) Hours {
	t.Helper()
	now := time.Now()
	return hours(t, now.Add(from).Format("15:04-")+now.Add(to).Format("15:04"))
}

func TestWaitPausesInQuietHours(t *testing.T) {
	for _, c := range []struct {
		name string
		r    Rates
	}{
		{"no cap", Rates{}},
		{"a total", Rates{Total: 100}},
		{"a slow total", Rates{Total: 0.01}},
		{"all three", Rates{Total: 100, PerNet: 80, PerHost: 20}},
		{"a slow host", Rates{PerHost: 0.01}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.r.Quiet = soonQuiet(t, time.Hour, 8*time.Hour)
				l, s := New(c.r), newScore()
				ctx, cancel := context.WithTimeout(t.Context(), 9*time.Hour)
				defer cancel()
				var wg sync.WaitGroup
				for w := range 20 {
					wg.Go(func() {
						for a := v4(w%3, w); l.Wait(ctx, a) == nil; {
							s.add(a)
							time.Sleep(time.Minute)
						}
					})
				}
				wg.Wait()
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
				if before < 36 || after < 36 {
					t.Errorf("got %d before and %d after, want one in 100 s or more", before, after)
				}
				obeys(t, s, l)
				nothingLeft(t, l)
			})
		})
	}
}

func TestQuietHoursEndWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Rates{Total: 1, Quiet: soonQuiet(t, -time.Minute, time.Hour)})
		start := time.Now()
		if until, quiet := l.Quiet(start); !quiet || until.Sub(start) != time.Hour {
			t.Errorf("got %v, %v, want an hour from now", until, quiet)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		if err := l.Wait(ctx, v4(0, 1)); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 90*time.Second {
			t.Errorf("got %v after %v, want %v after 90 s", err, time.Since(start), context.DeadlineExceeded)
		}
		if err := l.Wait(t.Context(), v4(0, 1)); err != nil || time.Since(start) != time.Hour {
			t.Errorf("the patient one: got %v after %v, want a grant after an hour", err, time.Since(start))
		}
		nothingLeft(t, l)
	})
}

func TestCrowdedHostAndNetKeepTheirOwnRate(t *testing.T) {
	for _, c := range []struct {
		name  string
		rates Rates
		hosts int // all in one net
		want  float64
	}{
		{"one host", Rates{Total: 1000, PerNet: 500, PerHost: 20}, 1, 20},
		{"one net", Rates{Total: 1000, PerNet: 50, PerHost: 20}, 30, 50},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, s := New(c.rates), newScore()
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				var wg sync.WaitGroup
				for w := range 1000 {
					wg.Go(func() {
						for a := v4(0, w%c.hosts); l.Wait(ctx, a) == nil; {
							s.add(a)
						}
					})
				}
				wg.Wait()
				if got := float64(len(s.grants)) / 20; math.Abs(got/c.want-1) > 0.01 {
					t.Errorf("got %v a second, want %v within 1 %%", got, c.want)
				}
			})
		})
	}
}

func TestSlowHostDoesNotHoldUpOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := New(Rates{Total: 1000, PerHost: 1}), newScore()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		slow := v4(0, 1)
		var wg sync.WaitGroup
		for range 500 { // a crowd before the one slow host
			wg.Go(func() {
				for l.Wait(ctx, slow) == nil {
					s.add(slow)
				}
			})
		}
		synctest.Wait()
		for w := range 2500 { // 2,500 neighbours of it in 10 nets, once each
			wg.Go(func() {
				a := v4(w%10, 2+w/10)
				if l.Wait(ctx, a) == nil {
					s.add(a)
				}
			})
		}
		wg.Wait()
		hosts := times(s, func(a netip.Addr) netip.Addr { return a })
		// After its second token, at 1 s, it queues once behind the 1,500 neighbours left.
		if got := len(hosts[slow]); got != 4 {
			t.Errorf("the slow host: got %d grants in 5 s, want 4", got)
		}
		var last time.Duration
		for a, at := range hosts {
			if a != slow {
				last = max(last, at[0])
			}
		}
		if len(hosts) != 2501 || last > 2510*time.Millisecond {
			t.Errorf("got %d hosts, the last after %v, want 2501 within 2.51 s", len(hosts), last)
		}
		obeys(t, s, l)
	})
}

func TestNetThatIsUsedUpDoesNotHoldUpOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := New(Rates{Total: 1000, PerNet: 1}), newScore()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for w := range 200 {
			wg.Go(func() {
				if a := v4(0, w); l.Wait(ctx, a) == nil {
					s.add(a)
				}
			})
		}
		synctest.Wait()
		for w := range 1000 {
			wg.Go(func() {
				if a := v4(1+w, 0); l.Wait(ctx, a) == nil {
					s.add(a)
				}
			})
		}
		wg.Wait()
		nets := times(s, network)
		var last time.Duration
		for n, at := range nets {
			if n != network(v4(0, 0)) {
				last = max(last, at[0])
			}
		}
		if len(nets) != 1001 || last > 1010*time.Millisecond {
			t.Errorf("got %d nets, the last after %v, want 1001 within 1.01 s", len(nets), last)
		}
	})
}

func TestOneHostIsServedInOrderOfArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Rates{Total: 100, PerNet: 50, PerHost: 10})
		var got []int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for w := range 50 {
			wg.Go(func() {
				if err := l.Wait(t.Context(), v4(0, 1)); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				got = append(got, w)
			})
			synctest.Wait()
		}
		wg.Wait()
		if !slices.IsSorted(got) {
			t.Errorf("got order %v, want ascending", got)
		}
	})
}

func TestCancelReturnsAtOnceAndFreesTheTurn(t *testing.T) {
	for _, c := range []struct {
		name  string
		rates Rates
	}{
		{"while sleeping for the total", Rates{Total: 0.01}},
		{"while sleeping for the net", Rates{Total: 1000, PerNet: 0.01}},
		{"while sleeping for the host", Rates{Total: 1000, PerNet: 1000, PerHost: 0.01}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, a := New(c.rates), v4(0, 1)
				if err := l.Wait(t.Context(), a); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				gone := make(chan error, 20)
				for range cap(gone) { // the first sleeps in the turn, the others queue
					go func() { gone <- l.Wait(ctx, a) }()
				}
				synctest.Wait()
				patient := make(chan error, 1)
				go func() { patient <- l.Wait(t.Context(), a) }()
				synctest.Wait()
				cancel()
				for range cap(gone) {
					if err := <-gone; !errors.Is(err, context.Canceled) {
						t.Errorf("got %v, want %v", err, context.Canceled)
					}
				}
				if d := time.Since(start); d != 0 {
					t.Errorf("returned %v after the cancel, want at once", d)
				}
				if err := <-patient; err != nil {
					t.Errorf("the patient one: got %v, want a grant", err)
				}
				// It is served when the first token comes: those who left took none.
				if d := time.Since(start); d < 100*time.Second || d > 100*time.Second+time.Microsecond {
					t.Errorf("the patient one waited %v, want 100 s", d)
				}
				nothingLeft(t, l)
			})
		})
	}
}

func TestRefusals(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel()
	a := v4(0, 1)
	for _, c := range []struct {
		name string
		ctx  context.Context
		r    Rates
		addr netip.Addr
		want string
	}{
		{"context done before, token there", done, Rates{Total: 1}, a, "context canceled"},
		{"context done before, no cap", done, Rates{}, a, "context canceled"},
		{"no address", t.Context(), Rates{}, netip.Addr{}, "ratelimit: no address"},
		{"negative rate", t.Context(), Rates{Total: -1}, a, "ratelimit: -1 is not a rate"},
		{"not a number", t.Context(), Rates{PerHost: math.NaN()}, a, "ratelimit: NaN is not a rate"},
	} {
		if err := New(c.r).Wait(c.ctx, c.addr); err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

func TestNoCap(t *testing.T) {
	for _, r := range []Rates{{}, {Total: math.Inf(1), PerNet: math.Inf(1), PerHost: math.Inf(1)}} {
		synctest.Test(t, func(t *testing.T) {
			l, start := New(r), time.Now()
			for i := range 100_000 {
				if err := l.Wait(t.Context(), v4(i>>8, i&255)); err != nil {
					t.Fatal(err)
				}
			}
			if d := time.Since(start); d != 0 {
				t.Errorf("100,000 grants took %v, want no time", d)
			}
			if got := l.Burst(); got != 0 {
				t.Errorf("Burst: got %d, want 0", got)
			}
			if n := len(l.hosts.buckets) + len(l.nets.buckets); n != 0 {
				t.Errorf("keeps %d buckets, want none", n)
			}
		})
	}
}

func TestBurst(t *testing.T) {
	for _, c := range []struct {
		total float64
		want  int
	}{{0.001, 2}, {100, 2}, {500, 2}, {501, 3}, {1000, 3}, {20000, 41}, {500000, 1001}, {1e300, math.MaxInt32}} {
		l := New(Rates{Total: c.total})
		if got := l.Burst(); got != c.want {
			t.Errorf("%v a second: got %d, want %d", c.total, got, c.want)
		}
		if got := l.Rates().Total; got != c.total {
			t.Errorf("Rates: got %v, want %v", got, c.total)
		}
	}
}

func TestWhatCountsAsOneHostOrNet(t *testing.T) {
	for _, c := range []struct {
		name string
		r    Rates
		a, b string
		same bool
	}{
		{"an address", Rates{PerHost: 1}, "192.0.2.1", "192.0.2.1", true},
		{"two addresses", Rates{PerHost: 1}, "192.0.2.1", "192.0.2.2", false},
		{"IPv4 mapped into IPv6", Rates{PerHost: 1}, "192.0.2.1", "::ffff:192.0.2.1", true},
		{"a zone", Rates{PerHost: 1}, "fe80::1%eth0", "fe80::1%2", true},
		{"a /24", Rates{PerNet: 1}, "192.0.2.1", "192.0.2.254", true},
		{"two /24", Rates{PerNet: 1}, "192.0.2.1", "192.0.3.1", false},
		{"a /24, one mapped", Rates{PerNet: 1}, "192.0.2.1", "::ffff:192.0.2.9", true},
		{"two /24, mapped", Rates{PerNet: 1}, "::ffff:192.0.2.1", "::ffff:192.0.3.1", false},
		{"a /64", Rates{PerNet: 1}, "2001:db8::1", "2001:db8:0:0:ffff::", true},
		{"two /64", Rates{PerNet: 1}, "2001:db8::1", "2001:db8:0:1::1", false},
		{"a /64, one with a zone", Rates{PerNet: 1}, "fe80::1%eth0", "fe80::2", true},
	} {
		synctest.Test(t, func(t *testing.T) {
			l, start := New(c.r), time.Now()
			for _, a := range []string{c.a, c.b} {
				if err := l.Wait(t.Context(), netip.MustParseAddr(a)); err != nil {
					t.Fatal(err)
				}
			}
			if same := time.Since(start) > 0; same != c.same {
				t.Errorf("%s: counted together = %v, want %v", c.name, same, c.same)
			}
		})
	}
}

func TestKeepsFewBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// At 1,000/s and 2 s for a host's token, 2,000 hosts are busy at any time.
		l, s := New(Rates{Total: 1000, PerNet: 100, PerHost: 0.5}), newScore()
		most := 0
		for i := range 100_000 { // distinct hosts
			a := v4(i%400, i/400)
			if err := l.Wait(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			s.add(a)
			most = max(most, len(l.hosts.buckets), len(l.nets.buckets))
		}
		if most > maxIdle+1 {
			t.Errorf("kept %d buckets of hosts or nets, want at most %d", most, maxIdle+1)
		}
		obeys(t, s, l)
	})
}

// A bucket can be full while somebody is on the way to take of it. Were it dropped then, the next would get a second one.
func TestKeepsFullBucketsThatAreInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Rates{PerNet: 0.1, PerHost: 0.001})
		start, host := time.Now(), v4(0, 1)
		if err := l.Wait(t.Context(), v4(0, 2)); err != nil { // uses up the net
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := l.Wait(t.Context(), host); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait() // it waits for the net, its host is full
		for i := range 2 * maxIdle {
			if err := l.Wait(t.Context(), v6(i, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Wait(t.Context(), host); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if d := time.Since(start); d < 1000*time.Second {
			t.Errorf("the host's second grant came after %v, want 1000 s or more", d)
		}
	})
}

// A bucket that is not full, or that somebody waits at, is never dropped, however many there are.
func TestKeepsBusyBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Rates{PerHost: 0.001})
		for i := range 3 * maxIdle {
			if err := l.Wait(t.Context(), v4(i>>8, i&255)); err != nil {
				t.Fatal(err)
			}
		}
		if got := len(l.hosts.buckets); got != 3*maxIdle {
			t.Errorf("kept %d buckets, want all %d", got, 3*maxIdle)
		}
		time.Sleep(2000 * time.Second) // now all are full again
		for i := range 2 * maxIdle {
			if err := l.Wait(t.Context(), v4(i>>8, i&255)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 8 * maxIdle {
			if err := l.Wait(t.Context(), v6(i, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if got := len(l.hosts.buckets); got != 10*maxIdle {
			t.Errorf("kept %d buckets, want the %d busy ones", got, 10*maxIdle)
		}
	})
}

// BenchmarkWait holds Wait, with all three caps and none of them reached, against Wait of one x/time/rate limiter.
func BenchmarkWait(b *testing.B) {
	const fast = 1e12
	a := v4(0, 1)
	plain := rate.NewLimiter(fast, math.MaxInt32)
	measure := func(n int, f func() error) time.Duration {
		start := time.Now()
		for range n {
			if err := f(); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(start)
	}
	for _, c := range []struct {
		name  string
		rates Rates
	}{
		{"total", Rates{Total: fast}},
		{"total, net, host", Rates{Total: fast, PerNet: fast, PerHost: fast}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			l := New(c.rates)
			ours := measure(b.N, func() error { return l.Wait(b.Context(), a) })
			b.StopTimer()
			theirs := measure(b.N, func() error { return plain.Wait(b.Context()) })
			b.ReportMetric(float64(ours)/float64(theirs), "x-plain")
		})
	}
}

// BenchmarkPace tells how much of the rate asked for is reached on the real clock in one second.
func BenchmarkPace(b *testing.B) {
	for _, waiters := range []int{1, 1000} {
		for _, asked := range []float64{100, 300, 500, 1000, 20000, 100000, 500000} {
			b.Run(fmt.Sprintf("waiters=%d/rate=%v", waiters, asked), func(b *testing.B) {
				l := New(Rates{Total: asked})
				ctx, cancel := context.WithTimeout(b.Context(), time.Second)
				defer cancel()
				var wg sync.WaitGroup
				var mu sync.Mutex
				granted := -1 // what the total begins with is no merit
				for w := range waiters {
					wg.Go(func() {
						n := 0
						for l.Wait(ctx, v4(0, w&255)) == nil {
							n++
						}
						mu.Lock()
						defer mu.Unlock()
						granted += n
					})
				}
				wg.Wait()
				b.ReportMetric(float64(granted)/asked*100, "%-of-asked")
			})
		}
	}
}
