package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"relaysweep/discover/packet"
	"relaysweep/ratelimit"
)

// SYN is the Sweeper that sends raw packets: it asks with the first packet of a handshake and never completes one. It
// needs CAP_NET_RAW. Nothing is kept of a packet that was sent; what comes back proves itself by its cookie.
//
//	Plan ─► position ─► Pace ─► SYN ─► outlet ─► network ─► inlet ─► Parse ─► cookie ─► Coverage, Opening
//
// Each target that stayed silent is asked a second time, after the first pass, and again where our own kernel lost
// packets or many answered only then.
type SYN struct {
	Vantage string
	Limiter *ratelimit.Limiter // of those who speak to what is found: both keep to its one total
	Pace    *ratelimit.Pacer   // if nil, one beside the Limiter
	Source  netip.Addr         // the vantage's own address; the kernel's choice if zero
	Passes  int                // 2 if zero
	// Before is called before the packets to a run of positions. An error stops the sweep.
	Before func(pass int, from, to uint64) error
	// Patience is how long an interface or route may be gone before the sweep gives up; 30 s if zero.
	Patience time.Duration
	Counters *Counters // if not nil, told

	buffer int // for what comes while we are not looking; wantedBuffer if zero
}

// sourcePorts are what SYNs leave from: outside of what this machine gives to its own connections, so that answers
// find no socket and our kernel resets what is half open.
const (
	firstSourcePort = 61000
	sourcePorts     = 65535 - firstSourcePort
)

// synSweep is one sweep.
type synSweep struct {
	*SYN
	cov   *Coverage
	plan  *Plan
	pace  *ratelimit.Pacer
	count *Counters
	start time.Time
	key   []byte
	port  uint16
	time  timing
	hits  *hits

	// Of the sender alone.
	ways    []way
	outlets map[outletKey]*outlet
	macs    map[netip.Addr]packet.MAC // of targets on the link
	cookies *cookies
	off     postponed // for whom it is not their host's or net's turn
	again   windows   // to be asked once more
	watched watched
	booked  uint64 // of answers
	breach  error  // a packet that was about to leave the scope

	inlets  []*inlet
	late    atomic.Bool   // not the first pass
	answers atomic.Uint64 // by TCP: of ICMP errors, routers send only so many a second, which is no loss
	toReset chan reset
}

// outletKey tells outlets apart: an interface, or the kernel's routing for a family.
type outletKey struct {
	link int
	is4  bool
}

// reset ends a handshake, which our kernel would do if no packet filter were in its way.
type reset struct {
	index uint64
	seq   uint32
}

// Sweep implements Sweeper.
func (s *SYN) Sweep(ctx context.Context, cov *Coverage) iter.Seq2[Opening, error] {
	return func(yield func(Opening, error) bool) {
		if !cov.begin(uint64(max(s.Passes, 2))) {
			return
		}
		w := &synSweep{
			SYN: s, cov: cov, plan: cov.plan, pace: s.Pace, count: s.Counters, start: time.Now(), key: newKey(), hits: newHits(),
			outlets: make(map[outletKey]*outlet), macs: make(map[netip.Addr]packet.MAC), toReset: make(chan reset, 1024),
		}
		if w.pace == nil {
			w.pace = pacerBeside(s.Limiter, cov.plan.scope)
		}
		if w.count == nil {
			w.count = new(Counters)
		}
		w.port = uint16(firstSourcePort + mix(uint64(w.start.UnixNano()))%sourcePorts)
		w.cookies = newCookies(w.key)
		if cov.passes() > w.firstExtra() {
			w.again = windows{{0, w.plan.Len()}} // an earlier process knew which
		}
		if err := w.open(); err != nil {
			w.close()
			yield(Opening{}, err)
			return
		}
		ctx, stop := context.WithCancel(ctx)
		var sender, receiver sync.WaitGroup
		var failed error
		quiet := make(chan struct{})
		sender.Go(func() { failed = w.send(ctx) })
		receiver.Go(func() { w.receive(quiet) })
		go func() {
			sender.Wait() // it has waited for the last answers
			close(quiet)
			receiver.Wait()
			w.hits.end()
		}()
		reading := true
		for over := false; !over; {
			var list []hit
			list, over = w.hits.take()
			for _, h := range list {
				if reading {
					if o, err := w.opening(h); err == nil && !yield(o, nil) {
						reading = false
						stop()
					}
				}
			}
		}
		stop()
		w.close()
		if failed != nil && reading {
			yield(Opening{}, failed)
		}
	}
}

func (w *synSweep) opening(h hit) (Opening, error) {
	t, err := w.plan.scope.Target(w.plan.endpoint(h.index))
	return Opening{Target: t, Vantage: w.Vantage, Hollow: h.hollow}, err
}

// open finds the ways and opens the sockets.
func (w *synSweep) open() (err error) {
	if w.ways, err = kernelWays(w.plan.scope, w.Source); err != nil {
		return err
	}
	var is4, is6 bool
	for _, r := range w.plan.scope.ranges {
		is4, is6 = is4 || r.from.Is4(), is6 || r.from.Is6()
	}
	for _, f := range []struct {
		wanted    bool
		etherType uint16
		filter    []bpf.Instruction
	}{{is4, packet.EtherIPv4, answers4(w.port)}, {is6, packet.EtherIPv6, answers6(w.port)}} {
		if !f.wanted {
			continue
		}
		in, err := newInlet(0, f.etherType, f.filter, cmp.Or(w.buffer, wantedBuffer))
		if err != nil {
			return err
		}
		w.inlets = append(w.inlets, in)
	}
	return w.openOutlets()
}

// openOutlets opens what the ways leave by.
func (w *synSweep) openOutlets() (err error) {
	for i := range w.ways {
		v := &w.ways[i]
		if v.kind == noWay {
			continue
		}
		key := outletKey{link: v.link}
		if v.kind == viaKernel {
			key = outletKey{is4: v.source.Is4()}
		}
		o := w.outlets[key]
		if o == nil {
			if v.kind == viaKernel {
				o, err = newRaw(key.is4)
			} else {
				o, err = newFrames(v.link)
			}
			if err != nil {
				return err
			}
			w.outlets[key] = o
		}
		from := netip.AddrPortFrom(v.source, w.port)
		v.out, v.syn, v.rst = o, packet.NewSYN(from), packet.NewRST(from)
	}
	return nil
}

func (w *synSweep) close() {
	for _, in := range w.inlets {
		in.close()
	}
	w.closeOutlets()
}

func (w *synSweep) closeOutlets() {
	for _, o := range w.outlets {
		o.close()
	}
	clear(w.outlets)
}

// send goes over the plan, pass by pass, and waits for the last answers.
func (w *synSweep) send(ctx context.Context) error {
	if err := w.resolve(ctx); ctx.Err() != nil {
		return nil
	} else if err != nil {
		return err
	}
	pass, position := w.cov.cursor()
	for {
		w.late.Store(pass > 0)
		if pass >= w.firstExtra() && w.cov.missedAfter(pass) >= worthAPass {
			w.again = windows{{0, w.plan.Len()}}
		}
		w.watched = watched{at: time.Now(), routes: time.Now(), sent: w.cov.Sent(), noise: w.noise()}
		next, err := w.sendPass(ctx, pass, position)
		w.await(context.WithoutCancel(ctx), w.time.patience())
		if err == nil {
			err = w.endResets(ctx, pass, next)
		}
		if err == nil {
			err = w.look(ctx, time.Now(), pass, next, true) // silence is believed only if the ways were there
		}
		if errors.Is(err, ErrNetworkGone) {
			next = min(next, w.watched.doubtful(w.time.patience()))
		}
		if err != nil || next < w.plan.Len() {
			w.cov.advance(pass, next)
			return err
		}
		if pass+1 == w.cov.passes() && !w.oneMore(pass) {
			w.cov.advance(pass+1, 0)
			return nil
		}
		pass, position = pass+1, 0
		w.cov.advance(pass, 0)
	}
}

const (
	mostPasses = 4   // that losses lead to
	worthAPass = 0.1 // openings that may be missed
)

// oneMore decides whether another pass is worth it: so many answered only in this last one that an opening may have lost
// every packet.
func (w *synSweep) oneMore(pass uint64) bool {
	if pass+1 >= mostPasses || w.cov.ExpectedMissed() < worthAPass {
		return false
	}
	w.cov.setPasses(pass + 2)
	w.again = windows{{0, w.plan.Len()}}
	return true
}

// askAgain has a run of positions asked once more, in a pass that comes behind all others.
func (w *synSweep) askAgain(x window, pass uint64) {
	if x.from >= x.to || pass+1 >= mostPasses {
		return
	}
	w.again = w.again.add(x)
	w.cov.setPasses(max(pass+2, w.firstExtra()+1))
}

// firstExtra is the first of the passes that losses lead to.
func (w *synSweep) firstExtra() uint64 { return uint64(max(w.Passes, 2)) }

// sendPass asks the targets from a position on: all of them in the first pass, the silent ones after that. It returns
// how far it came.
func (w *synSweep) sendPass(ctx context.Context, pass, position uint64) (next uint64, err error) {
	end := w.plan.Len()
	var only windows
	if pass >= w.firstExtra() {
		only, w.again = w.again, nil // nil: all
	}
	noted := position
	for position < end || w.off.n > 0 {
		granted, err := w.pace.Grant(ctx, burst)
		if ctx.Err() != nil {
			return w.off.first(position), nil
		}
		if err != nil {
			return w.off.first(position), err
		}
		if err := w.watch(ctx, time.Now(), pass, position); err != nil {
			return w.off.first(position), err
		}
		now := time.Now() // the network may have been away meanwhile
		free := granted - w.sendResets(max(granted/4, 1))
		for free > 0 {
			a, line, ok := w.off.take(now.Sub(w.start))
			if !ok {
				break
			}
			free -= w.ask(a, line, w.plan.index(a.position), now)
		}
		for tried := 0; free > 0 && position < end && w.off.n < mostPutOff && tried < mostSkipped; tried++ {
			if position >= noted {
				noted = min(end, position+w.run())
				if w.Before != nil {
					if err := w.Before(int(pass)+1, position, noted); err != nil {
						return w.off.first(position), err
					}
				}
			}
			index := w.plan.index(position)
			if w.cov.code(index) == codeNone && (only == nil || only.has(position)) {
				free -= w.ask(attempt{position: position}, nil, index, now)
			}
			position++
		}
		if w.breach != nil {
			return w.off.first(position), w.breach
		}
		if free > 0 {
			w.pace.Unused(free)
		}
		if err := w.flush(ctx, pass, position); err != nil {
			return w.off.first(position), err
		}
		if free == granted && (position == end || w.off.n >= mostPutOff) {
			if due, ok := w.off.next(); ok {
				w.await(ctx, min(due-time.Since(w.start), 50*time.Millisecond))
			}
		}
	}
	return end, nil
}

const (
	mostPutOff  = 4096    // that wait for their host's turn; the others wait in the plan
	mostSkipped = 1 << 14 // targets that are known already, between two looks at the clock
)

// run is how many positions are noted at once: a quarter of a second's.
func (w *synSweep) run() uint64 {
	if r := w.pace.Rate(); r > 0 {
		return uint64(min(max(r/4, 1), 1<<16))
	}
	return 1 << 16
}

// ask queues the packet for a target, and returns how many packets that are: none if its turn has not come, or if no way
// leads there.
func (w *synSweep) ask(a attempt, line *line, index uint64, now time.Time) int {
	to := w.plan.endpoint(index)
	if wait := w.pace.Admit(now, to.Addr()); wait > 0 {
		w.off.again(line, a, to.Addr(), now.Sub(w.start)+wait)
		return 0
	}
	w.off.went(line)
	v := wayFor(w.ways, to.Addr())
	next, ok := w.nextHop(v, to.Addr())
	switch {
	case ok:
	case v.ours:
		w.noteOwn(index, Failed)
		w.cov.fail(v.why)
		return 0
	default:
		w.noteOwn(index, Unreachable)
		return 0
	}
	seq := w.cookies.of(index)
	if !w.put(v, v.syn, next, to, seq, index) {
		return 0
	}
	if sampled(seq) && !w.late.Load() {
		w.time.sent(index, seq, now.Sub(w.start))
	}
	return 1
}

// nextHop is the Ethernet address that a packet goes to; not ok: no way leads there, or nobody on the link has the
// address.
func (w *synSweep) nextHop(v *way, to netip.Addr) (next packet.MAC, ok bool) {
	if v.kind == onLink {
		next, ok = w.macs[to]
		return next, ok
	}
	return v.next, v.kind != noWay
}

// put writes a packet. What its bytes say is held against the scope once more: what leaves is what counts.
func (w *synSweep) put(v *way, t *packet.SYN, next packet.MAC, to netip.AddrPort, seq uint32, index uint64) bool {
	n := v.out.put(t, to, seq)
	if d := packet.Destination(v.out.room()); !w.plan.scope.holds(d) {
		w.breach = fmt.Errorf("%v: %w", d, ErrOutOfScope)
		return false
	}
	v.out.add(n, t, v, next, to.Addr(), index)
	return true
}

// sendResets ends handshakes: a packet filter on this machine may hide their answers from our kernel, or stop its resets.
func (w *synSweep) sendResets(most int) (n int) {
	for ; n < most; n++ {
		select {
		case r := <-w.toReset:
			to := w.plan.endpoint(r.index)
			v := wayFor(w.ways, to.Addr())
			if next, ok := w.nextHop(v, to.Addr()); ok && w.put(v, v.rst, next, to, r.seq, r.index) {
				w.count.Resets.Add(1)
			}
		default:
			return n
		}
	}
	return n
}

// endResets sends those that the end of a pass left over.
func (w *synSweep) endResets(ctx context.Context, pass, position uint64) error {
	for len(w.toReset) > 0 && ctx.Err() == nil {
		granted, err := w.pace.Grant(ctx, burst)
		if err != nil {
			return nil // it was interrupted
		}
		w.pace.Unused(granted - w.sendResets(granted))
		if err := w.flush(ctx, pass, position); err != nil {
			return err
		}
	}
	return nil
}

// flush sends what waits in all outlets.
func (w *synSweep) flush(ctx context.Context, pass, position uint64) error {
	for _, o := range w.outlets {
		left, wait := time.Now(), time.Millisecond // when a packet left last
		for o.n > 0 {
			sent, err := o.flush()
			w.cov.addSent(sent)
			if sent > 0 {
				left, wait = time.Now(), time.Millisecond
			}
			switch {
			case err == nil:
			case ctx.Err() != nil:
				// These stay silent, and are asked when the scan goes on.
				w.askAgain(window{w.watched.safe(time.Time{}), position}, pass)
				o.drop(o.n)
			case isAny(err, unix.ENOBUFS, unix.EAGAIN, unix.ENOMEM):
				if wait >= fullFor {
					if gone, why := w.changed(); gone {
						return w.outage(ctx, pass, position, cmp.Or(why, err))
					}
					if time.Since(left) > w.patience() {
						return fmt.Errorf("%w: %w", ErrNetworkGone, os.NewSyscallError("sendmmsg", err))
					}
					w.slow(time.Now())
				}
				w.await(ctx, wait)
				wait = min(2*wait, 100*time.Millisecond)
			case isAny(err, unix.EPERM, unix.EACCES, unix.EINVAL, unix.EMSGSIZE):
				// Our own machine refuses this one packet.
				if w.noteOwn(o.indexes[0], Failed) {
					w.cov.fail(os.NewSyscallError("sendmmsg", err).Error())
				}
				o.drop(1)
			case isAny(err, unix.ENOKEY, unix.EDESTADDRREQ):
				w.noteOwn(o.indexes[0], Unreachable) // a VPN that has no peer for this address
				o.drop(1)
			default:
				return w.outage(ctx, pass, position, os.NewSyscallError("sendmmsg", err))
			}
		}
	}
	return nil
}

// fullFor is how long an interface takes nothing before it is a complaint; a moment is what any does at full speed.
const fullFor = 8 * time.Millisecond

// noteOwn writes down what our own machine says of a target, unless the target itself has said something.
func (w *synSweep) noteOwn(index uint64, s State) bool {
	if w.cov.code(index) != codeNone {
		return false
	}
	w.cov.note(index, s)
	return true
}

func isAny(err error, list ...error) bool {
	return slices.ContainsFunc(list, func(e error) bool { return errors.Is(err, e) })
}

// watched is what is looked at now and then.
type watched struct {
	at     time.Time // of the last look
	sent   uint64
	noise  uint64
	routes time.Time // when the ways were seen to be the same
	took   time.Duration
	marks  []mark
}

// mark is when all positions below one had been asked.
type mark struct {
	at       time.Time
	position uint64
}

// safe is the position that was reached so long ago that whatever was to answer has. Of the zero time it is the oldest
// that is remembered.
func (w *watched) safe(since time.Time) uint64 {
	position := uint64(0)
	for i, m := range w.marks {
		if i > 0 && m.at.After(since) {
			break
		}
		position = m.position
	}
	return position
}

// doubtful is the first position of those that the network may have been gone for since it was looked at.
func (w *watched) doubtful(patience time.Duration) uint64 { return w.safe(w.routes.Add(-patience)) }

const (
	watchEvery  = 50 * time.Millisecond
	routesEvery = time.Second
)

// watch looks after the sweep now and then.
func (w *synSweep) watch(ctx context.Context, now time.Time, pass, position uint64) error {
	if len(w.watched.marks) == 0 {
		w.watched.marks = append(w.watched.marks, mark{now, w.off.first(position)})
	}
	if now.Sub(w.watched.at) < watchEvery {
		return nil
	}
	return w.look(ctx, now, pass, position, false)
}

// look moves the coverage's cursor, and looks at what our kernel dropped, at what the network says, and at the routes:
// not always, unless it is the last look of a pass.
func (w *synSweep) look(ctx context.Context, now time.Time, pass, position uint64, last bool) error {
	patience := w.time.patience()
	elapsed := now.Sub(w.watched.at)
	lost := w.watched.safe(w.watched.at.Add(-patience)) // the first whose answer may have come since the last look
	safe := w.watched.safe(now.Add(-patience))
	oldest := now.Add(-2 * patience)
	if since := w.watched.routes.Add(-patience); since.Before(oldest) {
		oldest = since
	}
	for len(w.watched.marks) > 1 && w.watched.marks[1].at.Before(oldest) {
		w.watched.marks = w.watched.marks[1:]
	}
	w.watched.marks = append(w.watched.marks, mark{now, w.off.first(position)})
	if w.watched.marks[0].at.Before(now.Add(-patience)) {
		w.cov.advance(pass, safe)
	}
	answers := w.answers.Load()
	w.cov.answered(answers-w.booked, pass > 0)
	w.booked = answers
	sent := w.cov.Sent() - w.watched.sent
	noise := w.noise()
	dropped := uint64(0)
	for _, in := range w.inlets {
		dropped += in.drops()
	}
	if dropped > 0 {
		w.count.Dropped.Add(dropped)
		w.askAgain(window{lost, position}, pass)
	}
	if dropped > 0 || noise-w.watched.noise > 2*sent+uint64(elapsed/time.Millisecond)*100 {
		w.slow(now)
	}
	w.watched.at, w.watched.sent, w.watched.noise = now, w.cov.Sent(), noise
	if !last && now.Sub(w.watched.routes) < max(routesEvery, 20*w.watched.took) {
		return nil
	}
	gone, why := w.changed()
	w.watched.took = time.Since(now)
	if gone {
		return w.outage(ctx, pass, position, why)
	}
	w.watched.routes = now
	return nil
}

// noise is how many answers came that tell nothing new. Forgeries are not among them: whoever sees our packets could slow
// the sweep with them.
func (w *synSweep) noise() uint64 { return w.count.Again.Load() }

// changed reports whether the kernel tells of other ways than those that we know, or of another router.
func (w *synSweep) changed() (bool, error) {
	ways, err := kernelWays(w.plan.scope, w.Source)
	if err != nil || !slices.EqualFunc(ways, w.ways, way.like) {
		return true, err
	}
	for _, v := range w.ways {
		if v.kind == viaGateway {
			if mac, _ := knownNeighbour(v.link, v.gateway); mac != v.heard && mac != v.next && mac != (packet.MAC{}) {
				return true, fmt.Errorf("the router %s is %x now", v.gateway, mac)
			}
		}
	}
	return false, nil
}

// slow halves the pace.
func (w *synSweep) slow(now time.Time) {
	w.count.Complaints.Add(1)
	seen := float64(w.cov.Sent()-w.watched.sent) / max(now.Sub(w.watched.at), time.Millisecond).Seconds()
	w.pace.Slow(now, seen)
}

// patience is how long the network may be gone.
func (w *synSweep) patience() time.Duration { return cmp.Or(w.Patience, 30*time.Second) }

// outage waits until the ways that there were are there again, maybe others, and has asked again what was asked since
// they were last seen.
func (w *synSweep) outage(ctx context.Context, pass, position uint64, why error) error {
	w.askAgain(window{w.watched.doubtful(w.time.patience()), position}, pass)
	for _, o := range w.outlets {
		o.drop(o.n)
	}
	before := w.ways
	deadline := time.Now().Add(w.patience())
	for {
		err := w.reopen(ctx, before)
		if err == nil {
			w.watched.routes = time.Now()
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: %w", ErrNetworkGone, cmp.Or(why, err))
		}
		w.await(ctx, 500*time.Millisecond)
	}
}

// reopen finds the ways anew. They must not be fewer than before.
func (w *synSweep) reopen(ctx context.Context, before []way) error {
	ways, err := kernelWays(w.plan.scope, w.Source)
	if err != nil {
		return err
	}
	for _, v := range ways {
		for _, old := range before {
			if v.kind == noWay && old.kind != noWay && !v.to.Less(old.from) && !old.to.Less(v.from) {
				return fmt.Errorf("no way to %s any more: %s", v.from, v.why)
			}
		}
	}
	w.closeOutlets()
	w.ways = ways
	if err := w.openOutlets(); err != nil {
		return err
	}
	return w.resolve(ctx)
}

// await waits, unless ctx is done.
func (w *synSweep) await(ctx context.Context, d time.Duration) {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// nap lets packets gather, so that a system call brings many.
const nap = 2 * time.Millisecond

// receive takes answers until there is nothing more to wait for.
func (w *synSweep) receive(quiet <-chan struct{}) {
	r := &receiver{synSweep: w, cookies: newCookies(w.key)}
	var fds []unix.PollFd
	for _, in := range w.inlets {
		fds = append(fds, unix.PollFd{Fd: int32(in.fd), Events: unix.POLLIN})
	}
	for {
		over := false
		select {
		case <-quiet:
			over = true
		default:
		}
		full := false
		r.now = time.Since(w.start)
		for _, in := range w.inlets {
			n, err := in.receive(r.handle)
			full = full || err == nil && n == in.full()
		}
		switch {
		case full:
		case over:
			return
		default:
			time.Sleep(nap)
			_, _ = unix.Poll(fds, 20)
		}
	}
}

// receiver is what only the receiving goroutine touches.
type receiver struct {
	*synSweep
	cookies *cookies
	now     time.Duration
}

// handle takes one packet. Nothing but an answer to a packet of ours changes anything.
func (r *receiver) handle(b []byte) {
	a := packet.Parse(b)
	if a.Kind == packet.Other || a.Port != r.port {
		r.count.Forged.Add(1)
		return
	}
	index, ok := r.plan.indexOf(a.Target)
	if !ok || a.Seq != r.cookies.of(index) {
		r.count.Forged.Add(1)
		return
	}
	state := NotAttempted
	switch a.Kind {
	case packet.SYNACK:
		state = Open
	case packet.RST:
		state = Closed
	case packet.Error:
		state = errorState(a)
	}
	if state == Open {
		select {
		case r.toReset <- reset{index, a.Seq + 1}:
		default: // it comes once more, if it is still half open
		}
	}
	code := r.cov.code(index)
	switch {
	case state == NotAttempted:
		return
	case code == codeNone, state == Open && code != codeOpen:
	default:
		r.count.Again.Add(1)
		return
	}
	if sampled(a.Seq) && !r.late.Load() { // of an answer to the second of two packets it would not tell which (RFC 6298 3)
		r.time.answered(index, a.Seq, r.now)
	}
	if code == codeNone {
		r.count.Answers.Add(1)
		if a.Kind != packet.Error {
			r.answers.Add(1)
		}
	}
	r.cov.note(index, state)
	if state == Open {
		r.hits.add(hit{index, a.Window == 0 && a.Bare})
	}
}

// resolve finds the Ethernet addresses of routers and of the targets on the link.
func (w *synSweep) resolve(ctx context.Context) error {
	type router struct {
		link int
		addr netip.Addr
	}
	routers := make(map[router]packet.MAC)
	for i := range w.ways {
		v := &w.ways[i]
		switch v.kind {
		case viaGateway:
			heard, sure := knownNeighbour(v.link, v.gateway)
			next, done := routers[router{v.link, v.gateway}]
			if !done {
				next = heard
				if !sure {
					found, err := w.solicit(ctx, v, slices.Values([]netip.Addr{v.gateway}))
					if err != nil {
						return err
					}
					if mac, ok := found[v.gateway]; ok {
						next = mac
					}
				}
				if next == (packet.MAC{}) && ctx.Err() == nil {
					return fmt.Errorf("%w: the router %s on %s does not answer", ErrNetworkGone, v.gateway, v.name)
				}
				routers[router{v.link, v.gateway}] = next
			}
			v.heard, v.next = heard, next
		case onLink:
			if slices.ContainsFunc(w.ways[:i], v.sameLink) {
				continue // asked with the first of them
			}
			found, err := w.solicit(ctx, v, w.onLink(v))
			if err != nil {
				return err
			}
			maps.Copy(w.macs, found)
		}
	}
	return ctx.Err()
}

// onLink are the targets on the link of a way: our own address and others divide them into several ways.
func (w *synSweep) onLink(v *way) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for _, u := range w.ways {
			if !v.sameLink(u) {
				continue
			}
			for a := range w.plan.scope.between(u.from, u.to) {
				if !yield(a) {
					return
				}
			}
		}
	}
}

// Each address on the link is asked for three times, and for as long as that finds more of them.
const (
	solicitRounds     = 3
	mostSolicitRounds = 8
	solicitWait       = 500 * time.Millisecond
)

// solicit asks on a link who has some addresses (ARP, neighbour discovery). The kernel is left out of it: its table
// holds a thousand neighbours.
func (w *synSweep) solicit(ctx context.Context, v *way, addrs iter.Seq[netip.Addr]) (map[netip.Addr]packet.MAC, error) {
	etherType, filter, parse := uint16(packet.EtherARP), replies(), packet.ParseARP
	if v.source.Is6() {
		etherType, filter, parse = packet.EtherIPv6, adverts(), packet.ParseAdvert
	}
	in, err := newInlet(v.link, etherType, filter, wantedBuffer)
	if err != nil {
		return nil, err
	}
	defer in.close()
	wanted := func(a netip.Addr) bool {
		return a == v.gateway || v.kind == onLink && w.plan.scope.holds(a) && v.sameLink(*wayFor(w.ways, a))
	}
	found := make(map[netip.Addr]packet.MAC)
	read := func() {
		for n := in.full(); n == in.full(); {
			n, _ = in.receive(func(b []byte) {
				if a, mac, ok := parse(b); ok && wanted(a) {
					found[a] = mac
				}
			})
		}
	}
	for round := range mostSolicitRounds {
		asked, before := 0, len(found)
		for a := range addrs {
			if _, ok := found[a]; ok {
				continue
			}
			if _, err := w.pace.Grant(ctx, 1); err != nil {
				return found, ctx.Err()
			}
			asked++
			if err := v.out.solicit(v, a); err != nil && !isAny(err, unix.ENOBUFS, unix.EAGAIN, unix.ENOMEM) {
				return nil, err
			}
			if asked%burst == 0 {
				read()
			}
		}
		for waited := time.Duration(0); asked > 0 && waited < solicitWait && ctx.Err() == nil; waited += 10 * time.Millisecond {
			w.await(ctx, 10*time.Millisecond)
			read()
			if len(found) >= asked && w.allFound(addrs, found) {
				return found, nil
			}
		}
		if asked == 0 || round+1 >= solicitRounds && len(found) == before {
			break
		}
	}
	return found, nil
}

func (w *synSweep) allFound(addrs iter.Seq[netip.Addr], found map[netip.Addr]packet.MAC) bool {
	for a := range addrs {
		if _, ok := found[a]; !ok {
			return false
		}
	}
	return true
}
