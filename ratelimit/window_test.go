package ratelimit_test

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"relaysweep/ratelimit"
)

func TestWindow(t *testing.T) {
	t.Parallel()
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:192.0.2.2")
	at := func(minutes int) time.Time { return time.Unix(0, 0).Add(time.Duration(minutes) * time.Minute) }
	w := ratelimit.NewWindow(4, 10*time.Minute)
	take := func(addr netip.Addr, n, minute int, want time.Duration) {
		t.Helper()
		if got := w.Take(addr, n, at(minute)); got != want {
			t.Errorf("%d for %s at %d min: got a wait of %s, want %s", n, addr, minute, got, want)
		}
	}
	const pending = 5 * time.Second
	take(a, 3, 0, 0)
	take(a, 2, 1, pending) // the three may still happen
	w.Settle(a, 3, 3, at(4))
	take(a, 2, 5, 9*time.Minute) // they count from when they happened
	take(a, 1, 5, 0)
	w.Settle(a, 1, 1, at(6))
	take(b, 4, 6, 0) // another address has a window of its own
	w.Settle(b, 4, 0, at(6))
	take(b.Unmap(), 4, 6, 0) // the mapped form is the same address; nothing had happened
	w.Settle(b, 4, 4, at(7))
	take(b.Unmap(), 1, 8, 9*time.Minute)
	take(a, 4, 13, 3*time.Minute) // all or none: the last one leaves at 16
	take(a, 3, 14, 0)
	w.Settle(a, 3, 0, at(14))
	take(a, 9, 16, 0) // more than the limit counts as the limit
	w.Settle(a, 9, 4, at(16))
	take(a, 1, 17, 9*time.Minute)
	w.Settle(netip.MustParseAddr("192.0.2.99"), 4, 0, at(17)) // unknown: nothing happens
	take(netip.MustParseAddr("192.0.2.99"), 4, 17, 0)
}

// However many ask at once, no address sees more than the limit in any window.
func TestWindowConcurrent(t *testing.T) {
	t.Parallel()
	w := ratelimit.NewWindow(4, 10*time.Minute)
	a := netip.MustParseAddr("192.0.2.1")
	var mu sync.Mutex
	given := 0
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if w.Take(a, 1, time.Unix(0, 0)) == 0 {
				mu.Lock()
				given++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if given != 4 {
		t.Errorf("got %d, want 4", given)
	}
}
