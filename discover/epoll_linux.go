package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Epoll is Connect without a goroutine for each handshake: one loop holds them all in a table of slots, and epoll(7)
// tells which have ended.
//
//	frontier ─► permission ─► slot: socket, connect ─► epoll or its time is over ─► state ─► coverage
//	   later ◄── not now ◄─┘ └─► local trouble: fewer at once, and later once more        └─► openings
//
// A slot keeps its socket for the next target where the kernel lets it: to make and to destroy one costs more than the
// handshake.
type Epoll struct {
	Connect
	pace pace // if nil, a Pacer beside the Limiter
}

// pace gives permissions to one loop, which must not block. It is what the loop needs of a ratelimit.Pacer.
type pace interface {
	// Take takes permissions, most at most. If there are none, it says after how long to ask again.
	Take(most int) (n int, wait time.Duration, err error)
	// Admit spends a permission on an address, or says after how long to ask again because its net or host is used up.
	Admit(now time.Time, addr netip.Addr) (wait time.Duration)
	// Unused gives permissions back.
	Unused(n int)
}

// newConnect is the connect engine of this system.
func newConnect(c Connect) Sweeper { return &Epoll{Connect: c} }

// Sweep implements Sweeper.
func (e *Epoll) Sweep(ctx context.Context, cov *Coverage) iter.Seq2[Opening, error] {
	return func(yield func(Opening, error) bool) {
		ctx, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		cov.begin(1)
		l, err := e.newLoop(ctx, stop, cov)
		if err != nil {
			yield(Opening{}, err)
			return
		}
		awake := context.AfterFunc(ctx, l.wake)
		go l.run()
		defer func() {
			stop(nil)
			for range l.found {
				l.taken()
			}
			if awake() {
				l.woken <- struct{}{} // wake is not run any more
			}
			<-l.woken // or it was, and is done with the descriptor
			l.close()
		}()
		for f := range l.found {
			l.taken()
			t, err := cov.plan.At(f.position)
			if err != nil {
				stop(err)
				break
			}
			o := Opening{Target: t, Vantage: e.Vantage, Source: e.From}
			if f.own {
				o.Source = netip.AddrPort{}
			}
			if !yield(o, nil) {
				return
			}
		}
		if err := context.Cause(ctx); err != nil && !errors.Is(err, ctx.Err()) {
			yield(Opening{}, err)
		}
	}
}

// Limits of the loop.
const (
	spareDescriptors = 64  // descriptors that are left to others
	maxBegin         = 256 // handshakes that are begun before the loop looks what has ended
	maxTries         = 5   // of one target, if local trouble never ends
	calmGrowth       = 8   // after as many handshakes as are allowed at once: an eighth more at once
)

// forever: until something happens.
const forever = time.Duration(-1)

// slot is one handshake under way, and its socket, which stays there afterwards if it can be used again.
type slot struct {
	attempt
	due    time.Duration
	before int32 // in the order of due, or absent
	behind int32 // the same, or the next free slot
	fd     int32 // or absent
	kind   uint8 // what the socket can be used for
	flying bool
}

const absent = -1 // no slot, no descriptor

// What a socket can be used for, after the first target.
const (
	forOnce = 0 // for nothing else
	forIPv4 = 1
	forIPv6 = 2
	fromOwn = 4 // else: from the further source
)

// find is a target that is open.
type find struct {
	position uint64
	own      bool // to the vantage's own source
}

// loop is one sweep.
type loop struct {
	*Epoll
	ctx   context.Context
	stop  func(error)
	cov   *Coverage
	todo  *frontier
	found chan find

	poller, wakeup int           // descriptors
	woken          chan struct{} // wake is done
	full           atomic.Bool   // the loop waits for found to have room

	slots       []slot
	free        int32
	first, last int32 // in the order of due
	flying      int   // handshakes under way
	most        int   // handshakes at once
	limit       int   // the same, less after local trouble
	calm        int   // handshakes that ended since the limit was changed
	exhausted   bool  // the frontier is
	sick        bool  // even alone, the last one could not be begun
	ways        []way // as they were when the sweep began
	outage      outage
	later       postponed
	start       time.Time
	now         time.Duration // since start
	wait        time.Duration // for one handshake
	sa4         unix.SockaddrInet4
	sa6         unix.SockaddrInet6
	events      [maxBegin]unix.EpollEvent
}

// outage is a time in which no way leads where one did. Handshakes that were under way then are made once more.
type outage struct {
	since time.Duration // the first error of it; 0: there is none
	retry time.Duration // when to look again
	last  time.Duration // the last error, of this outage or an earlier one
}

// outageRetry is how long to wait before a way is looked for again.
const outageRetry = 500 * time.Millisecond

// gone reports whether an error says that no way leads to an address, where one did when the sweep began. It tells
// nothing of the target.
func (l *loop) gone(to netip.Addr, err error) bool {
	if !isAny(err, unix.ENETDOWN, unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ENODEV) || len(l.ways) == 0 {
		return false
	}
	return wayFor(l.ways, to).kind != noWay
}

// suspend puts an attempt off until the way is there again, and everything else with it.
func (l *loop) suspend(a attempt, to netip.Addr, err error) {
	if l.outage.since == 0 {
		l.outage.since = max(l.now, 1)
	}
	if l.now-l.outage.since > cmp.Or(l.Patience, 30*time.Second) {
		l.stop(fmt.Errorf("%w: %w", ErrNetworkGone, err))
		return
	}
	l.outage.last, l.outage.retry = l.now, l.now+outageRetry
	l.later.put(a, to, l.outage.retry)
}

func (e *Epoll) newLoop(ctx context.Context, stop func(error), cov *Coverage) (*loop, error) {
	l := &loop{
		Epoll: &Epoll{Connect: e.Connect, pace: e.pace}, ctx: ctx, stop: stop, cov: cov, todo: newFrontier(cov), woken: make(chan struct{}, 1),
		first: absent, last: absent, start: time.Now(), wait: e.timeout(), poller: absent, wakeup: absent,
	}
	if l.pace == nil {
		l.pace = pacerBeside(e.Limiter, cov.plan.scope)
	}
	l.ways, _ = kernelWays(cov.plan.scope, e.Source) // without them an outage cannot be told from a target without a way
	var err error
	if l.poller, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("connect engine: %w", os.NewSyscallError("epoll_create", err))
	}
	if l.wakeup, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		err = unix.EpollCtl(l.poller, unix.EPOLL_CTL_ADD, l.wakeup, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: absent})
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("connect engine: %w", err)
	}
	l.most = max(1, min(e.inFlight(), descriptors()-spareDescriptors))
	l.most = int(min(uint64(l.most), cov.plan.Len()-l.todo.next))
	l.limit, l.exhausted = l.most, l.most == 0
	l.found = make(chan find, l.most)
	l.slots = make([]slot, l.most)
	for i := range l.slots {
		l.slots[i] = slot{fd: absent, behind: int32(i) + 1}
	}
	if l.most > 0 {
		l.slots[l.most-1].behind = absent
	}
	return l, nil
}

// descriptors is how many more this process may have, once its limit is raised as far as it can.
func descriptors() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	if limit.Cur < limit.Max {
		raised := syscall.Rlimit{Cur: limit.Max, Max: limit.Max}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err == nil {
			limit = raised
		}
	}
	used, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return int(min(limit.Cur, 1<<30)) / 2 // what is in use cannot be told
	}
	return int(min(limit.Cur, 1<<30)) - len(used)
}

// wake ends the loop's wait. It may be called by any goroutine until close.
func (l *loop) wake() {
	l.ring()
	l.woken <- struct{}{}
}

func (l *loop) ring() {
	_, _ = unix.Write(l.wakeup, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // fails only if it rings already
}

// taken says that there is room in found.
func (l *loop) taken() {
	if l.full.Load() && l.full.Swap(false) {
		l.ring()
	}
}

func (l *loop) close() {
	for _, fd := range []int{l.poller, l.wakeup} {
		if fd != absent {
			unix.Close(fd)
		}
	}
}

func (l *loop) run() {
	defer close(l.found)
	for {
		l.now = time.Since(l.start)
		wait := forever
		if l.ctx.Err() == nil {
			wait = l.begin()
		}
		if l.flying == 0 && (l.ctx.Err() != nil || l.exhausted && l.later.n == 0) {
			break
		}
		l.poll(wait)
		l.expire()
	}
	for i := range l.slots {
		l.drop(&l.slots[i])
	}
}

// room is how many more handshakes may be under way. All that are could turn out to be open, and are not kept waiting
// by who reads the openings.
func (l *loop) room() int {
	n := min(l.limit, cap(l.found)-len(l.found)) - l.flying
	if n > 0 || l.limit <= l.flying {
		return n
	}
	l.full.Store(true) // whoever takes one from now on rings
	return min(l.limit, cap(l.found)-len(l.found)) - l.flying
}

// begin begins as many handshakes as may be, and returns after how long it is to be called again, unless something
// happens before.
func (l *loop) begin() (wait time.Duration) {
	if l.outage.since != 0 && l.now < l.outage.retry {
		return l.outage.retry - l.now
	}
	for left := maxBegin; left > 0; {
		room := min(l.room(), left)
		if room <= 0 || l.exhausted && l.later.n == 0 {
			return forever
		}
		n, wait, err := l.pace.Take(room)
		if err != nil {
			l.stop(err)
			return forever
		}
		if n == 0 {
			return wait
		}
		used, more := l.spend(n)
		if used < n {
			l.pace.Unused(n - used)
		}
		if !more {
			if due, ok := l.later.next(); ok && l.room() > 0 {
				return max(due-l.now, 0)
			}
			return forever
		}
		left -= max(used, 1)
	}
	return 0
}

// spend spends permissions on targets. It reports how many, and whether there are more targets to be begun now.
func (l *loop) spend(permissions int) (used int, more bool) {
	for looked := 0; used < permissions; looked++ {
		if l.ctx.Err() != nil || l.flying >= l.limit {
			return used, false
		}
		if looked == maxBegin {
			return used, true // there may be something to be heard meanwhile
		}
		a, line, ok := l.later.take(l.now)
		if !ok && !l.exhausted && l.later.n < maxLater {
			if a.position, ok = l.todo.take(); !ok {
				l.exhausted = true
			}
		}
		if !ok {
			return used, false
		}
		if l.try(a, line) {
			used++
		}
	}
	return used, true
}

// try begins one handshake, unless it cannot be now. It reports whether a permission was spent.
func (l *loop) try(a attempt, line *line) (sent bool) {
	t, err := l.cov.plan.At(a.position) // which asks the gate
	if err != nil {
		l.stop(err) // the plan and the gate disagree: nothing more is sent
		return false
	}
	to := t.addr.Addr()
	if !SourceFits(l.From, to) {
		l.later.went(line)
		l.cov.swap(l.cov.plan.index(a.position), codePassed)
		l.todo.done(a.position)
		return false
	}
	from := l.From
	if a.own {
		from = netip.AddrPort{}
	}
	local, err := localEnd(l.Source, from, to)
	if err != nil { // the routing table knows no way
		l.later.went(line)
		if l.gone(to, err) {
			l.suspend(a, to, err)
			return false
		}
		state, reason := stateOf(err, l.wait)
		l.settle(a, to, state, reason)
		return false
	}
	i := l.free
	s := &l.slots[i]
	if err := l.prepare(i, to, local, kindOf(to, local, from)); err != nil {
		l.later.went(line)
		l.trouble(a, to, err)
		return false
	}
	if wait := l.pace.Admit(l.start.Add(l.now), to); wait > 0 {
		l.later.again(line, a, to, l.now+wait)
		return false
	}
	l.later.went(line)
	if l.Before != nil {
		if err := l.Before(t, from); err != nil {
			l.stop(err)
			return true
		}
	}
	l.cov.addSent(1)
	switch err := unix.Connect(int(s.fd), l.sockaddr(t.addr)); {
	case err == nil, err == unix.EINPROGRESS:
		l.sick, l.outage.since = false, 0
		l.takeOff(i, a)
	case l.gone(to, err) && errorQueue(int(s.fd)) == nil:
		l.drop(s)
		l.suspend(a, to, err)
	case crowded(err):
		l.drop(s)
		l.trouble(a, to, err)
	default:
		state, reason := icmpState(errorQueue(int(s.fd)), err, l.wait)
		l.drop(s)
		l.settle(a, to, state, reason)
	}
	return true
}

func kindOf(to netip.Addr, local, from netip.AddrPort) uint8 {
	kind := uint8(forIPv4)
	switch {
	case local.Port() != 0:
		return forOnce // bound for this target
	case to.Is6():
		kind = forIPv6
	}
	if from == (netip.AddrPort{}) {
		kind |= fromOwn
	}
	return kind
}

// prepare gives a slot a socket.
func (l *loop) prepare(i int32, to netip.Addr, local netip.AddrPort, kind uint8) error {
	s := &l.slots[i]
	if s.fd != absent && s.kind == kind && kind != forOnce {
		return nil
	}
	l.drop(s)
	fd, err := newSocket(to, local)
	if err != nil {
		return err
	}
	// Edge-triggered: nothing is heard twice. What is heard is looked at, so that an event of the socket's last target
	// does no harm.
	err = unix.EpollCtl(l.poller, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLET, Fd: i})
	if err != nil {
		unix.Close(fd)
		return os.NewSyscallError("epoll_ctl", err)
	}
	s.fd, s.kind = int32(fd), kind
	return nil
}

// sockaddr is an address for the kernel, until the next call.
func (l *loop) sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		l.sa4.Port, l.sa4.Addr = int(a.Port()), a.Addr().As4()
		return &l.sa4
	}
	l.sa6.Port, l.sa6.Addr = int(a.Port()), a.Addr().As16()
	return &l.sa6
}

// takeOff: the free slot's handshake is under way.
func (l *loop) takeOff(i int32, a attempt) {
	s := &l.slots[i]
	l.free = s.behind
	s.attempt, s.flying, s.due = a, true, time.Since(l.start)+l.wait
	s.before, s.behind = l.last, absent
	if l.last == absent {
		l.first = i
	} else {
		l.slots[l.last].behind = i
	}
	l.last = i
	l.flying++
}

// land: a slot's handshake has ended, and the slot is free.
func (l *loop) land(i int32) attempt {
	s := &l.slots[i]
	if s.before == absent {
		l.first = s.behind
	} else {
		l.slots[s.before].behind = s.behind
	}
	if s.behind == absent {
		l.last = s.before
	} else {
		l.slots[s.behind].before = s.before
	}
	s.flying, s.behind = false, l.free
	l.free = i
	l.flying--
	if l.calm++; l.calm >= l.limit {
		l.calm = 0
		l.limit = min(l.most, l.limit+max(1, l.limit/calmGrowth))
	}
	return s.attempt
}

// drop closes a slot's socket.
func (l *loop) drop(s *slot) {
	if s.fd != absent {
		unix.Close(int(s.fd))
		s.fd = absent
	}
}

// release has a slot's socket ready for the next target, if it can be.
func (l *loop) release(s *slot, state State) {
	if s.kind == forOnce || state == Open || !disconnect(int(s.fd)) {
		l.drop(s)
	} else if state != Closed && errorQueue(int(s.fd)) != nil {
		l.drop(s) // what else is in the queue must not be taken for an answer of the next target
	}
}

// disconnect ends what a socket did (connect(2), AF_UNSPEC). Its options stay, and what still comes in for the old
// target finds nobody.
func disconnect(fd int) bool {
	sa := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&sa)), unix.SizeofSockaddrInet4)
	return errno == 0
}

// poll hears what has ended, for which it waits so long at most, or until a handshake's time is over.
func (l *loop) poll(wait time.Duration) {
	if l.first != absent {
		if left := max(l.slots[l.first].due-l.now, 0); wait == forever || left < wait {
			wait = left
		}
	}
	for {
		ms := -1
		if wait != forever {
			ms = int(min((wait+time.Millisecond-1)/time.Millisecond, 1<<30))
		}
		n, err := unix.EpollWait(l.poller, l.events[:], ms)
		if err != nil && err != unix.EINTR {
			l.stop(os.NewSyscallError("epoll_wait", err))
		}
		for k := range max(n, 0) {
			if i := l.events[k].Fd; i != absent {
				l.hear(i)
			}
		}
		if n < len(l.events) {
			return
		}
		wait = 0
	}
}

// hear looks what a socket has to say. It reports whether its handshake has ended.
func (l *loop) hear(i int32) bool {
	s := &l.slots[i]
	if !s.flying {
		return false
	}
	ended, icmp, err := outcome(int(s.fd))
	if !ended {
		return false
	}
	a := l.land(i)
	t, gate := l.cov.plan.At(a.position)
	if gate != nil {
		l.stop(gate)
		l.drop(s)
		return true
	}
	to := t.addr.Addr()
	switch {
	case err == unix.ECONNREFUSED && icmp == nil:
		l.release(s, Closed)
		l.settle(a, to, Closed, "")
	case err != nil && icmp == nil && crowded(err):
		l.drop(s)
		l.trouble(a, to, err)
	default:
		state, reason := icmpState(icmp, err, l.wait)
		if err == nil && selfConnected(int(s.fd), t.addr) {
			state, reason = Failed, "connected to itself"
		}
		l.release(s, state)
		l.settle(a, to, state, reason)
	}
	return true
}

// expire ends the handshakes whose time is over.
func (l *loop) expire() {
	l.now = time.Since(l.start)
	for l.first != absent && l.slots[l.first].due <= l.now {
		i := l.first
		if l.hear(i) { // on a busy machine the timer may be seen before the answer
			continue
		}
		began := l.slots[i].due - l.wait
		a := l.land(i)
		l.release(&l.slots[i], Filtered)
		if l.outage.last != 0 && began <= l.outage.last {
			// Its packets may have met the outage.
			if t, err := l.cov.plan.At(a.position); err == nil {
				l.later.put(a, t.addr.Addr(), l.now)
				continue
			}
		}
		l.settle(a, netip.Addr{}, Filtered, "")
	}
}

// settle writes down what an attempt showed, or has it made once more.
func (l *loop) settle(a attempt, to netip.Addr, state State, reason string) {
	switch {
	case state == Failed:
		if a.tries++; a.tries < maxTries {
			l.later.put(a, to, l.now)
			return
		}
		if !a.own {
			l.cov.fail(reason)
		}
	case state == Open && !a.own && l.From != (netip.AddrPort{}):
		l.later.put(attempt{position: a.position, own: true}, to, l.now)
		return
	}
	if a.own || state == Open {
		l.open(a.position, a.own && state == Open)
		return
	}
	l.cov.note(l.cov.plan.index(a.position), state)
	l.todo.done(a.position)
}

// open writes down that a target is open.
func (l *loop) open(position uint64, own bool) {
	l.found <- find{position, own}
	l.cov.note(l.cov.plan.index(position), Open)
	l.todo.done(position)
}

// crowded reports whether an error is one of having too much under way at once: it tells nothing of the target.
func crowded(err error) bool {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return false
	}
	switch errno {
	case unix.EMFILE, unix.ENFILE, unix.EADDRNOTAVAIL, unix.EADDRINUSE, unix.ENOBUFS, unix.ENOMEM, unix.EAGAIN, unix.ENOSPC:
		return true
	}
	return false
}

// trouble has fewer handshakes under way at once, and the target tried again later. What ends makes room. Only where
// nothing is under way that could, and it still cannot be, it has failed.
func (l *loop) trouble(a attempt, to netip.Addr, err error) {
	l.calm = 0
	for i := l.free; i != absent; i = l.slots[i].behind {
		l.drop(&l.slots[i])
	}
	if l.flying > 0 && crowded(err) {
		l.limit = max(1, l.flying/2)
		l.later.put(a, to, l.now)
		return
	}
	l.limit = max(1, l.limit/2)
	if a.tries++; a.tries < maxTries {
		due := l.now
		if !l.sick {
			due += time.Millisecond << a.tries
		}
		l.later.put(a, to, due)
		return
	}
	l.sick = true
	a.tries--
	l.settle(a, to, Failed, err.Error())
}
