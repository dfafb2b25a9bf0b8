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
	hosts map[netip.Addr]*member
}

// member is what one address saw, and may see any moment.
type member struct {
	pending int         // events that may happen until they are settled
	leave   []time.Time // when those that happened leave the window, soonest first
}

// settleWait is how long to wait where only what is not settled yet stands in the way.
const settleWait = 5 * time.Second

// NewWindow returns a Window that lets every address see at most limit events in any stretch of per.
func NewWindow(limit int, per time.Duration) *Window {
	return &Window{limit: limit, per: per, hosts: make(map[netip.Addr]*member)}
}

// Take books n events that may happen to an address, all or none, and returns 0, or returns how long to wait before it
// is asked again. More than the limit at once are booked as the limit. What is booked must be settled.
func (w *Window) Take(addr netip.Addr, n int, now time.Time) (wait time.Duration) {
	n = min(n, w.limit)
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.member(addr, now)
	switch over := len(m.leave) + m.pending + n - w.limit; {
	case over <= 0:
		m.pending += n
		return 0
	case over > len(m.leave) || m.pending > 0 && len(m.leave)+n <= w.limit:
		return settleWait
	default:
		return m.leave[over-1].Sub(now)
	}
}

// Settle ends a booking of n events, of which some happened, the last of them now. They count from now on: an event is
// seen when it happens, and that may be long after it was booked.
func (w *Window) Settle(addr netip.Addr, n, happened int, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.member(addr, now)
	m.pending -= min(n, w.limit, m.pending)
	for range happened {
		m.leave = append(m.leave, now.Add(w.per))
	}
	if m.pending == 0 && len(m.leave) == 0 {
		delete(w.hosts, addr.Unmap().WithZone(""))
	}
}

// member returns an address's member without what has left the window.
func (w *Window) member(addr netip.Addr, now time.Time) *member {
	addr = addr.Unmap().WithZone("")
	m := w.hosts[addr]
	if m == nil {
		m = new(member)
		w.hosts[addr] = m
	}
	m.leave = slices.DeleteFunc(m.leave, func(t time.Time) bool { return !t.After(now) })
	return m
}
