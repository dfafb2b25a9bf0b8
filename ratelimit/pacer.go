package ratelimit

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Pacer paces one owner that sends many packets with one system call: the sending loop of a scanner. A Limiter would
// cost it a lock and a look at the clock for each packet. The owner asks Grant for a batch and Admit for each packet of
// it, and gives back to Unused what it could not use:
//
//	Grant ─► n packets of the total ─► Admit(addr) each ─► 0: send
//	  ▲                                      └──► a wait: put addr off, take another
//	  └─────────── Unused ◄── what is left of n ◄─┘
//
// Its law is the Limiter's: in any window of w seconds at most burst + rate*w packets leave, for the total with Burst,
// for each net and each host with max(1, 10 ms of tokens). Grant, Admit and Unused are the owner's alone; Slow, Rate,
// Burst and Quiet may be called by any goroutine.
type Pacer struct {
	rates Rates
	err   error // the rates are not rates: Grant and Admit refuse everything
	start time.Time
	sleep func(context.Context, time.Duration) error

	free   bool          // Admit has nothing to look at
	now    time.Time     // what Admit was last given
	latest time.Duration // the latest that it was given, since the start
	nets   clocks
	hosts  clocks

	others *Limiter // see Beside
	paid   uint64   // of what they were granted

	mu         sync.Mutex // guards what follows
	tokens     *rate.Limiter
	pace       float64   // packets a second now; 0: no cap, and tokens is nil
	batch      int       // how many packets Grant waits for
	granted    int       // how many of the last Grant may come back
	credit     int       // how many came back, and are granted before tokens are taken
	slowed     time.Time // when the pace was last halved
	complained time.Time // when the network last complained, or the pace last recovered
}

// maxBatch is how many packets Grant waits for at most. System calls for more packets at once are not cheaper.
const maxBatch = 256

// How the pace follows complaints: at most one halving in halveEvery, for the complaints of one round trip are one; a
// quarter more after each recoverEvery without complaint; and never below the least.
const (
	halveEvery   = time.Second
	recoverEvery = 5 * time.Second
	leastPace    = 10   // packets a second: no network complains of these
	leastShare   = 64.0 // of the rate asked for
)

// NewPacer returns a Pacer, whose total begins with no token. It needs to know how many hosts will be asked for at
// most, to keep no more memory than they need: 4.25 MiB at most, and nothing without caps. If hosts is 0, there are many.
// If there are more than it was told of, or more nets than 65,536 or hosts than 1,048,576, some wait longer than they
// must; none ever gets more than its rate. A rate that is negative or not a number makes every Grant fail.
func NewPacer(r Rates, hosts int) *Pacer {
	p := &Pacer{rates: r, err: r.check(), start: time.Now(), sleep: new(alarm).sleep}
	if p.err != nil {
		return p
	}
	p.nets = newClocks(r.PerNet, hosts, 16)
	p.hosts = newClocks(r.PerHost, hosts, 20)
	p.free = !capped(r.PerNet) && !capped(r.PerHost)
	p.setPace(p.start, r.Total)
	return p
}

// Beside has the Pacer share its total with a Limiter, whose permissions come first: each takes a packet from what Grant
// gives. It is called before the first Grant.
func (p *Pacer) Beside(l *Limiter) {
	p.others, p.paid = l, l.Granted()
}

// pay takes from the tokens what the others were granted, as far as they reach, and returns what is still owed.
func (p *Pacer) pay(now time.Time) (owed float64) {
	if p.others == nil {
		return 0
	}
	debt := p.others.Granted() - p.paid
	n := min(debt, uint64(max(p.tokens.TokensAt(now), 0)))
	if n > 0 && p.tokens.AllowN(now, int(n)) {
		p.paid += n
		debt -= n
	}
	return float64(debt)
}

// Rates returns the rates that NewPacer was given.
func (p *Pacer) Rates() Rates { return p.rates }

// Quiet says whether now is in the quiet hours, and if so until when.
func (p *Pacer) Quiet(now time.Time) (until time.Time, quiet bool) { return p.rates.Quiet.Quiet(now) }

// Rate returns the present pace in packets a second: the total asked for, or less after Slow. It is 0 if there is no
// cap.
func (p *Pacer) Rate() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pace
}

// Burst returns how many packets of the total may leave at one moment at the present pace: what Grant waits for and 2 ms
// of packets, so about 3 ms of them, and two at least. It is 0 if there is no cap. Grant sleeps until 1 ms of packets is
// there; timers wake 1 ms late, sometimes 2, and what comes meanwhile must find room or it is lost.
func (p *Pacer) Burst() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tokens == nil {
		return 0
	}
	return p.tokens.Burst()
}

// Grant waits until packets of the total may leave, and returns how many, 1 to most. To save system calls it waits for
// 1 ms of packets, though not for more than most or 256, and not for less than one; it pauses in quiet hours. Without a
// cap it returns most at once. An error means that nothing may be sent: ctx is done (its error), most is not positive,
// or the rates are not rates.
func (p *Pacer) Grant(ctx context.Context, most int) (n int, err error) {
	if p.err != nil {
		return 0, p.err
	}
	if most <= 0 {
		return 0, errMost
	}
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, wait, err := p.take(most)
		if wait == 0 {
			return n, err
		}
		if err := p.sleep(ctx, wait); err != nil {
			return 0, err
		}
	}
}

var errMost = errors.New("ratelimit: a grant of no packets")

// take takes a batch of at most most packets, or none and returns after what sleep to ask again. The clock is read under
// the lock: to x/time/rate a time before the last one is a gift of tokens.
func (p *Pacer) take(most int) (n int, wait time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if until, quiet := p.Quiet(now); quiet {
		return 0, nap(now, until), nil
	}
	p.recover(now)
	if p.tokens == nil {
		p.granted = most
		return most, 0, nil
	}
	owed := p.pay(now)
	tokens := p.tokens.TokensAt(now)
	p.fitCredit(tokens)
	if lack := owed + float64(min(most, p.batch)-p.credit) - tokens; lack > 0 {
		return 0, tokensIn(min(lack, float64(p.tokens.Burst())), p.tokens.Limit()), nil
	}
	n = min(most, p.credit+int(tokens))
	used := min(n, p.credit)
	if !p.tokens.AllowN(now, n-used) {
		return 0, 0, errLost
	}
	p.credit -= used
	p.granted = n
	return n, 0, nil
}

// Unused gives back n packets of the last Grant that did not leave, so that a later Grant gives them again. More than it
// granted are not taken back. What was given back and the tokens never exceed Burst together, so the law holds as if
// they had not been granted. The next Grant may give them again at once: an owner that could use none sleeps for the
// least wait that Admit told it.
func (p *Pacer) Unused(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n = min(max(n, 0), p.granted)
	p.granted -= n
	if p.tokens != nil {
		p.credit += n
		p.fitCredit(p.tokens.TokensAt(time.Now()))
	}
}

// fitCredit drops what does not fit beside the tokens.
func (p *Pacer) fitCredit(tokens float64) {
	p.credit = max(min(p.credit, int(float64(p.tokens.Burst())-tokens)), 0)
}

// Slow says that the network complains: packets are dropped, resets or ICMP errors come in a storm. It halves the pace,
// at most once a second. seen is how many packets a second really left of late: if that is lower than the pace, as it is
// where no cap was asked for, it is what is halved; 0 means that it is not known. The pace never falls below 1/64 of the
// total asked for, nor below 10/s. Grant raises it by a quarter after each 5 s in which nobody complained, up to the
// total asked for; without one, on and on.
func (p *Pacer) Slow(now time.Time, seen float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return
	}
	if now.After(p.complained) {
		p.complained = now
	}
	if now.Sub(p.slowed) < halveEvery {
		return
	}
	p.slowed = now
	from, asked := p.pace, p.rates.Total
	if capped(seen) && (!capped(from) || seen < from) {
		from = seen
	}
	least := float64(leastPace)
	if capped(asked) {
		least = min(max(least, asked/leastShare), asked)
	}
	if capped(p.pace) {
		least = min(least, p.pace) // to complain never raises the pace
	}
	p.setPace(time.Now(), max(from/2, least))
}

// recover raises the pace if it is time to.
func (p *Pacer) recover(now time.Time) {
	if p.slowed.IsZero() || p.tokens == nil || now.Sub(p.complained) < recoverEvery {
		return
	}
	next := p.pace * 1.25
	if capped(p.rates.Total) {
		next = min(next, p.rates.Total)
	}
	if next != p.pace {
		p.complained = now
		p.setPace(now, next)
	}
}

// setPace sets the pace from now on. What the bucket holds stays, as far as it fits.
func (p *Pacer) setPace(now time.Time, perSecond float64) {
	if !capped(perSecond) {
		p.pace, p.tokens, p.credit = 0, nil, 0
		return
	}
	p.pace = perSecond
	p.batch = int(min(max(perSecond*time.Millisecond.Seconds(), 1), maxBatch))
	holds := int(min(burst(perSecond, p.batch), math.MaxInt32))
	if p.tokens == nil {
		p.tokens = rate.NewLimiter(rate.Limit(perSecond), holds)
		p.tokens.AllowN(now, holds)
		p.granted = 0 // while there was no cap nothing was taken
		return
	}
	p.tokens.SetLimitAt(now, rate.Limit(perSecond))
	p.tokens.SetBurstAt(now, holds)
}

// Admit returns 0 and counts a packet to addr if its net (/24, /64) and its host may get one at now, the time of the
// batch. If not, it returns after how long to ask again, and counts nothing. A packet to the zero Addr never may leave.
// An IPv4 address mapped into IPv6 counts as IPv4; a zone is ignored.
func (p *Pacer) Admit(now time.Time, addr netip.Addr) (wait time.Duration) {
	if p.free && addr.IsValid() {
		return 0
	}
	return p.admit(now, addr)
}

func (p *Pacer) admit(now time.Time, addr netip.Addr) time.Duration {
	if p.err != nil || !addr.IsValid() {
		return maxSleep
	}
	if now != p.now || p.nets.slots == nil { // once a batch; to find times equal that are not the same is not needed
		p.set(now)
	}
	n, hi, lo := keys(addr)
	net, host := p.nets.slot(0, n), p.hosts.slot(hi, lo)
	netAhead, hostAhead := p.nets.ahead(*net), p.hosts.ahead(*host)
	if netAhead > p.nets.slack || hostAhead > p.hosts.slack {
		return max(p.nets.wait(p.latest, netAhead), p.hosts.wait(p.latest, hostAhead))
	}
	*net = p.nets.tick + netAhead + p.nets.gap
	*host = p.hosts.tick + hostAhead + p.hosts.gap
	return 0
}

// set tells the clocks the time. One that ran back would free them too early, so then it stands still.
func (p *Pacer) set(now time.Time) {
	if p.nets.slots == nil {
		p.nets.make()
		p.hosts.make()
	}
	p.now, p.latest = now, max(now.Sub(p.start), p.latest)
	p.nets.set(p.latest)
	p.hosts.set(p.latest)
}

// alarm sleeps with the same timer each time.
type alarm struct{ timer *time.Timer }

func (a *alarm) sleep(ctx context.Context, d time.Duration) error {
	if a.timer == nil {
		a.timer = time.NewTimer(d)
	} else {
		a.timer.Reset(d)
	}
	select {
	case <-a.timer.C:
		return nil
	case <-ctx.Done():
		a.timer.Stop()
		return ctx.Err()
	}
}
