package probe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"relaysweep/probe/smtp"
)

// way is how a step that claims nothing gets its connection.
func (d *dialogue) way(tls bool) way {
	return way{tls: tls || d.implicit, header: d.header, source: d.source}
}

// ensure makes the current session fit a step.
func (d *dialogue) ensure(s *step) error {
	if d.session != nil && (d.session.way != s.way || d.nonMail >= maxNonMail) {
		d.hangUp()
	}
	if d.session != nil && !d.introduced(s) {
		if d.helos >= maxHELO || d.oneHELO {
			d.hangUp()
		} else if err := d.sayHELO(s.helo); err != nil {
			return err
		}
	}
	if d.session != nil {
		return nil
	}
	return d.connect(s)
}

// sayHELO introduces us by another name. It ends an open transaction (RFC 5321 4.1.4).
func (d *dialogue) sayHELO(name string) error {
	verb := "EHLO "
	if d.useHELO {
		verb = "HELO "
	}
	d.helos++
	d.nonMail++
	r, err := d.cmd(verb + name)
	switch {
	case err != nil:
		return err
	case r.Code == 503:
		// One introduction a connection is all that this server takes (OpenSMTPD): a new one, then.
		d.oneHELO = true
		d.count(r)
		d.hangUp()
		return nil
	case !r.Positive():
		d.count(r)
		return &helloRefused{r}
	}
	d.session.helo, d.mailOpen = name, false
	return nil
}

// helloRefused: the server does not take a HELO name. That settles the vectors that claim it.
type helloRefused struct{ reply smtp.Reply }

func (e *helloRefused) Error() string { return "HELO name refused: " + short(e.reply) }

// errGone: the server answered before and no longer lets us in.
var errGone = errors.New("no new connection")

// pauses before another try where a server says 421, or nothing, to a new connection.
var pauses = []time.Duration{2 * time.Second, 6 * time.Second, 12 * time.Second}

// connect opens a session for a step.
func (d *dialogue) connect(s *step) error {
	var last error
	for i := 0; ; i++ {
		opened, again, err := d.open(s)
		if err == nil {
			d.session = opened
			return nil
		}
		if last = err; !again || i >= len(pauses) {
			return last
		}
		if !d.pause(pauses[i]) {
			return last
		}
	}
}

// open makes one try at a session. again tells whether it is worth trying later.
func (d *dialogue) open(s *step) (_ *session, again bool, _ error) {
	c, err := d.dial("connect", s.way)
	if err != nil {
		again := !errors.Is(err, errStopped) && !errors.Is(err, errEnough) && d.ctx.Err() == nil && s.source == d.source
		return nil, again, fmt.Errorf("%w: %w", errGone, err)
	}
	claim := s.header != d.header
	fail := func(again bool, err error) (*session, bool, error) {
		d.slowest = max(d.slowest, c.Slowest())
		if claim {
			d.store(c) // where the header was taken for a command, its reply was not asked for
		} else {
			d.keep(c)
		}
		return nil, again, err
	}
	if d.implicit {
		if err := d.handshake(c, "implicit"); err != nil {
			if claim && d.ctx.Err() == nil {
				return fail(false, &headerRefused{err: err})
			}
			return fail(true, fmt.Errorf("%w: %w", errGone, err))
		}
	}
	g, err := c.Greeting(d.ctx)
	d.slowGreeting = d.slowGreeting || c.Slowest() >= slowReply
	if claim && d.ctx.Err() == nil && (err != nil || g.Code != 220) {
		return fail(false, &headerRefused{g, err})
	}
	if err != nil {
		return fail(!errors.Is(err, context.Canceled), fmt.Errorf("%w: %w", errGone, err))
	}
	if g.Code != 220 {
		return fail(true, fmt.Errorf("%w: %s", errGone, short(g)))
	}
	byHELO := d.useHELO
	opened, r, err := d.hello1(c, s.helo)
	if claim && d.ctx.Err() == nil && (err != nil || opened == nil || opened.helos > 1) {
		d.useHELO = byHELO
		return fail(false, &headerRefused{r, err}) // it took the header for a command: the replies are one behind
	}
	if claim && c.Unasked() > 0 {
		return fail(false, &headerRefused{err: errors.New("the server answers it as a command")})
	}
	if err != nil {
		return fail(true, fmt.Errorf("%w: %w", errGone, err))
	}
	if opened == nil {
		return fail(false, &helloRefused{r})
	}
	opened.way, opened.greeting = s.way, g
	opened.tls = d.implicit
	if s.tls && !d.implicit {
		return d.upgrade(opened, s, fail)
	}
	return opened, false, nil
}

// headerRefused: what came before the greeting was not taken for a header.
type headerRefused struct {
	reply smtp.Reply
	err   error
}

func (e *headerRefused) Error() string {
	if e.err != nil {
		return "no PROXY header is taken: " + e.err.Error()
	}
	return "no PROXY header is taken: " + short(e.reply)
}

// upgrade goes through STARTTLS and introduces us again (RFC 3207 4.2).
func (d *dialogue) upgrade(plain *session, s *step, fail func(bool, error) (*session, bool, error)) (*session, bool, error) {
	r, err := plain.conn.Cmd(d.ctx, "STARTTLS")
	if err != nil || r.Code != 220 {
		return fail(false, fmt.Errorf("STARTTLS refused: %s", short(r)))
	}
	if err := d.handshake(plain.conn, "starttls"); err != nil {
		return fail(false, err)
	}
	after, r, err := d.hello1(plain.conn, s.helo)
	if err != nil {
		return fail(false, fmt.Errorf("after STARTTLS: %w", err))
	}
	if after == nil {
		return fail(false, &helloRefused{r})
	}
	after.helos += plain.helos
	after.nonMail += plain.nonMail + 2 // STARTTLS, and the EHLO after it
	after.refused += plain.refused
	after.syntax += plain.syntax
	after.way, after.greeting = s.way, plain.greeting
	d.auth, d.inTLS = d.auth || after.ext.Has("AUTH"), after.ext
	return after, false, nil
}

// book makes sure that the host may refuse us n times more, where the scan is gentle: a server's guard (fail2ban) bans
// who is refused too often. Where the window is full it hangs up and waits.
func (d *dialogue) book(n int) error {
	for d.p.Gentle != nil {
		wait := d.p.Gentle.Take(d.f.Addr.Addr(), n, d.p.now())
		if wait == 0 {
			d.booked += n
			return nil
		}
		d.hangUp()
		if err := d.rest(wait); err != nil {
			return err
		}
	}
	return nil
}

// bookNow books one refusal if that needs no wait.
func (d *dialogue) bookNow() bool {
	if d.p.Gentle == nil {
		return true
	}
	if d.p.Gentle.Take(d.f.Addr.Addr(), 1, d.p.now()) > 0 {
		return false
	}
	d.booked++
	return true
}

// settle ends what was booked: so many refusals had come before.
func (d *dialogue) settle(before int) {
	if d.p.Gentle != nil {
		d.p.Gentle.Settle(d.f.Addr.Addr(), d.booked, d.refusedEver-before, d.p.now())
		d.booked = 0
	}
}

// rest waits without a connection. The wait is not taken from the service's budget.
func (d *dialogue) rest(wait time.Duration) error {
	d.stop()
	d.left -= d.p.now().Sub(d.since)
	if d.left <= 0 {
		return context.DeadlineExceeded
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-d.outer.Done():
		return d.outer.Err()
	case <-timer.C:
	}
	d.start()
	return nil
}

// start begins a spell of work, as long as the budget that is left.
func (d *dialogue) start() {
	d.since = d.p.now()
	d.ctx, d.stop = context.WithTimeout(d.outer, d.left)
}
