package ratelimit

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Window bounds what an address sees in any stretch of time: at most so many events. It is for events that are dear to
// an address however slowly they come, such as refusals that a guard (fail2ban) counts. It may be used by any number of
// goroutines; its times are the caller's.
type Window struct {
	limit int
	per   time.Duration

	mu    sync.Mutex
	hosts map[netip.Addr][]time.Time // when the events of an address leave the window, soonest first
}

// NewWindow returns a Window that lets every address see at most limit events in any stretch of per.
func NewWindow(limit int, per time.Duration) *Window {
	return &Window{limit: limit, per: per, hosts: make(map[netip.Addr][]time.Time)}
}

// Limit is how many events an address may see in one window.
func (w *Window) Limit() int { return w.limit }

// Per is the length of the window.
func (w *Window) Per() time.Duration { return w.per }

// Take books n events of an address, all or none, and returns 0, or returns how long to wait before it is asked again.
// More than the limit at once are booked as the limit.
func (w *Window) Take(addr netip.Addr, n int, now time.Time) (wait time.Duration) {
	addr, n = addr.Unmap().WithZone(""), min(n, w.limit)
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.hosts[addr]
	for len(events) > 0 && !events[0].After(now) {
		events = events[1:]
	}
	if over := len(events) + n - w.limit; over > 0 {
		w.keep(addr, events)
		return events[over-1].Sub(now)
	}
	for range n {
		events = append(events, now.Add(w.per))
	}
	w.keep(addr, events)
	return 0
}

// Return gives back n events, the latest, that did not happen.
func (w *Window) Return(addr netip.Addr, n int) {
	addr = addr.Unmap().WithZone("")
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.hosts[addr]
	w.keep(addr, events[:max(0, len(events)-n)])
}

func (w *Window) keep(addr netip.Addr, events []time.Time) {
	if len(events) == 0 {
		delete(w.hosts, addr)
		return
	}
	w.hosts[addr] = slices.Clip(events)
}
