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
	take := func(addr netip.Addr, n, minutes int, want time.Duration) {
		t.Helper()
		if got := w.Take(addr, n, at(minutes)); got != want {
			t.Errorf("%d for %s at %d min: got a wait of %s, want %s", n, addr, minutes, got, want)
		}
	}
	take(a, 3, 0, 0)
	take(a, 1, 2, 0)
	take(a, 1, 5, 5*time.Minute)
	take(b, 4, 5, 0)                               // another address has a window of its own
	take(b.Unmap(), 1, 6, 9*time.Minute)           // the mapped form is the same address
	take(a, 4, 9, 3*time.Minute)                   // all or none: the fourth leaves at 12
	take(a, 3, 10, 0)                              // three have left
	take(a, 1, 11, time.Minute)                    // the one of minute 2 leaves at 12
	w.Return(a, 2)                                 // did not happen
	take(a, 2, 11, 0)                              //
	take(a, 9, 11, 10*time.Minute)                 // more than the limit counts as the limit
	take(a, 9, 21, 0)                              //
	w.Return(netip.MustParseAddr("192.0.2.99"), 4) // unknown: nothing happens
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
