package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"relaysweep/probe/smtp"
)

// run is the progress of a relay test.
type run struct {
	normal, odd []*step
	all         []*Attempt
	tries       map[*Attempt]int
	settled     map[string]bool // kinds that got their 354 or their canary
}

// greylistWait is how long after a temporary refusal the same triplet is tried once more.
const greylistWait = 25 * time.Second

// relayTest tries the vectors, transaction by transaction. It begins in the session that identify left open.
func (d *dialogue) relayTest() error {
	if d.f.Cut != "" {
		return nil
	}
	r := &run{tries: make(map[*Attempt]int), settled: make(map[string]bool)}
	var late []*step
	r.normal, r.odd, late = d.plan()
	var all []*Attempt
	for _, s := range slices.Concat(r.normal, r.odd, late) {
		all = append(all, s.attempts...)
	}
	r.all = all
	err := d.work(r)
	if err == nil && !d.needTLS && d.f.Cut == "" {
		r.normal = late
		err = d.work(r)
	}
	if err == nil {
		err = d.retryGreylisted(r, all)
	}
	if err == nil {
		err = d.controls(r)
	}
	for _, a := range all {
		if a.Session != 0 {
			d.f.Attempts = append(d.f.Attempts, *a)
		}
	}
	if err == nil || errors.Is(err, errStopped) {
		return err
	}
	if d.f.Cut == "" {
		d.f.Cut = d.whyCut(err)
	}
	if left := len(all) - len(d.f.Attempts); left > 0 {
		d.f.Cut += fmt.Sprintf(" (%d of %d attempts were left out)", left, len(all))
	}
	return nil
}

func (d *dialogue) whyCut(err error) string {
	if d.ctx.Err() != nil {
		return fmt.Sprintf("the time budget of %s ran out", d.budget)
	}
	return err.Error()
}

// plan expands the table for this server. late are the steps after STARTTLS: they take a connection of their own.
func (d *dialogue) plan() (normal, odd, late []*step) {
	token := func(name string) string {
		return d.p.Canary.Token(d.p.Scan, d.f.Addr.String(), name, d.f.Vantage)
	}
	all, odd := steps(d.p.vectors(), d.names, token)
	for _, s := range all {
		switch {
		case !s.tls:
			normal = append(normal, s)
		case d.startTLS: // in TLS from the start, S1 is what I7 asks
			late = append(late, s)
		}
	}
	if d.implicit {
		for _, s := range slices.Concat(normal, odd) {
			s.tls = true
		}
	}
	return normal, odd, late
}

// work runs the steps.
func (d *dialogue) work(r *run) error {
	for len(r.normal)+len(r.odd) > 0 {
		if err := d.ctx.Err(); err != nil {
			return err
		}
		if r.settled["S"] && d.conclusive() {
			d.f.Cut = fmt.Sprintf("slow server, open already: %d of %d attempts were left out", d.untried(r), len(r.all))
			return nil
		}
		if d.session == nil {
			if err := d.controls(r); err != nil {
				return err
			}
		}
		list, i := d.choose(r)
		s := (*list)[i]
		if err := d.transact(r, s); err != nil {
			return err
		}
		if len(s.attempts) == 0 {
			*list = slices.Delete(*list, i, i+1)
		}
	}
	return nil
}

// choose picks the next step so that few connections are needed: oddly written forms at the end of what a connection
// bears, few at a time, and before we change our name; other names first in a new connection, so that our own is the
// last of those that it bears. It hangs up where nothing more fits.
func (d *dialogue) choose(r *run) (list *[]*step, index int) {
	s := d.session
	if s != nil && s.refused < d.limit()-d.reserve(r) {
		if i := d.nextNormal(r); i >= 0 && (d.introduced(r.normal[i]) || s.helo != d.names.hello || !d.fitsOdd(r)) {
			return &r.normal, i
		}
	}
	if d.fitsOdd(r) {
		return &r.odd, 0
	}
	d.hangUp()
	if len(r.normal) == 0 {
		return &r.odd, 0
	}
	return &r.normal, 0
}

// nextNormal is the first step that the session can still be introduced for, or -1.
func (d *dialogue) nextNormal(r *run) int {
	s := d.session
	changes := maxHELO - s.helos
	if d.oneHELO {
		changes = 0
	}
	return slices.IndexFunc(r.normal, func(n *step) bool {
		own := n.helo == d.names.hello
		return d.introduced(n) || changes > 1 || changes == 1 && (own || s.helo == d.names.hello)
	})
}

// introduced reports whether the session needs no other EHLO for a step: the name is right, or, where a server takes one
// EHLO a connection, the name that we took was shown to change nothing.
func (d *dialogue) introduced(n *step) bool {
	s := d.session
	return s.helo == n.helo || d.oneHELO && s.neutral && n.helo == d.names.hello
}

// fitsOdd reports whether the session bears another oddly written form.
func (d *dialogue) fitsOdd(r *run) bool {
	s := d.session
	return s != nil && len(r.odd) > 0 && (d.introduced(r.odd[0]) || !d.oneHELO && s.helos < maxHELO) && s.tls == r.odd[0].tls && s.syntax < maxSyntax && s.refused < d.limit()
}

func (d *dialogue) untried(r *run) (n int) {
	for _, s := range slices.Concat(r.normal, r.odd) {
		n += len(s.attempts)
	}
	return n
}

// conclusive: the server is slow, so that all vectors would take minutes.
func (d *dialogue) conclusive() bool { return d.slowest >= slowReply }

// limit is how many refusals a connection may see.
func (d *dialogue) limit() int {
	if d.slowGreeting && d.refusals == maxRefusals {
		return maxRefusalsSlow
	}
	return d.refusals
}

// reserve is the part of the limit that is kept for odd forms.
func (d *dialogue) reserve(r *run) int {
	late := d.session.helo != d.names.hello && (d.oneHELO && !d.neutral || !d.oneHELO && d.helos >= maxHELO) // our own name cannot come any more
	if len(r.odd) == 0 || d.limit() <= maxSyntax || d.session.syntax >= maxSyntax || late {
		return 0
	}
	return min(maxSyntax-d.session.syntax, len(r.odd[0].attempts))
}

// full reports whether the session bears no more attempts of a step.
func (d *dialogue) full(r *run, s *step) bool {
	if s.odd {
		return d.refused >= d.limit() || d.syntax >= maxSyntax
	}
	return d.refused >= d.limit()-d.reserve(r)
}

// transact runs one step as far as the connection goes. Attempts that have their answer leave the step; those that the
// server's limits cut off stay, and are tried in the next connection.
func (d *dialogue) transact(r *run, s *step) error {
	if err := d.ensure(s); err != nil {
		return d.noSession(r, s, err)
	}
	if err := d.audit(s.attempts[0].Form); err != nil {
		return err
	}
	d.begin(s.attempts[0])
	if d.mailOpen {
		if err := d.reset(); err != nil {
			return d.dropped(r, s, err, smtp.Reply{})
		}
		if d.session == nil {
			return nil // the step comes again in a new connection
		}
	}
	mail, err := d.cmd("MAIL FROM:<" + s.from + ">")
	if err != nil || mail.Code == 421 {
		return d.dropped(r, s, err, mail)
	}
	if d.startTLS && !d.session.tls && classify(atMail, mail, d.auth) == tlsNeeded {
		d.wantTLS(r)
		return nil
	}
	if !mail.Positive() {
		for _, a := range s.attempts {
			d.begin(a)
			a.Mail = mail
		}
		d.count(mail)
		s.attempts = nil
		return nil
	}
	d.mailOpen = true
	var accepted []*Attempt
	for first := s.attempts[0]; len(s.attempts) > 0; {
		a := s.attempts[0]
		if d.full(r, s) {
			break
		}
		if a != first {
			if err := d.audit(a.Form); err != nil {
				return err
			}
			d.begin(a)
		}
		rcpt, err := d.cmd("RCPT TO:" + a.To)
		if err != nil || rcpt.Code == 421 {
			if len(accepted) > 0 && err == nil {
				d.cut()
			}
			return d.dropped(r, s, err, rcpt)
		}
		a.Mail, a.Rcpt = mail, rcpt
		if d.startTLS && !d.session.tls && classify(atRcpt, rcpt, d.auth) == tlsNeeded {
			d.wantTLS(r)
			return nil
		}
		if rcpt.Code/100 == 2 {
			accepted = append(accepted, a)
		} else {
			d.count(rcpt)
		}
		// Refused by any name, or open by any: the name that we took changes nothing.
		d.neutral = d.neutral || s.kind == "I" && (a.Verdict() == Refused || r.settled["S"])
		s.attempts = s.attempts[1:]
	}
	if len(accepted) == 0 || !d.wantData(r, s.kind) {
		return nil
	}
	return d.data(r, s, accepted)
}

// begin notes where and when an attempt is made. What an earlier try of it was answered is forgotten.
func (d *dialogue) begin(a *Attempt) {
	d.previous = a.Form
	a.Mail, a.Rcpt = smtp.Reply{}, smtp.Reply{}
	a.TLS, a.HELO, a.AuthOffered = d.session.tls, d.session.helo, d.auth
	a.Session, a.Sent = len(d.f.Sessions)+1, d.p.now()
}

// wantData reports whether a transaction goes on to DATA: once for each kind of vector, and not where a plainer kind
// has shown already that the server relays.
func (d *dialogue) wantData(r *run, kind string) bool {
	switch stop := d.p.stopAt(); {
	case stop == Accepted:
		return false
	case kind == "R" && stop == Delivered:
		return !r.settled["S"]
	case kind == "R" || kind == "I":
		return !r.settled["S"] && !r.settled[kind]
	}
	return !r.settled[kind]
}

// data sends DATA for the accepted recipients. At 354 the line is cut, or the canary goes out.
func (d *dialogue) data(r *run, s *step, accepted []*Attempt) error {
	reply, err := d.cmd("DATA")
	if err != nil {
		for _, a := range accepted {
			a.Failure = "no answer to DATA: " + err.Error()
		}
		return d.dropped(r, s, err, reply)
	}
	for _, a := range accepted {
		a.Data = reply
	}
	if reply.Code != 354 {
		d.count(reply)
		return nil
	}
	r.settled[s.kind] = true
	if d.p.stopAt() < Queued {
		d.cut()
		return nil
	}
	var to []string
	for _, a := range accepted {
		to = append(to, a.To)
	}
	end, err := d.conn.Message(d.ctx, d.p.message(s.from, to, accepted[0].Canary))
	d.note()
	if err != nil {
		for _, a := range accepted {
			a.Failure = "no answer after the message: " + err.Error()
		}
		return d.dropped(r, s, err, end)
	}
	for _, a := range accepted {
		a.End = end
	}
	d.mailOpen = false
	if !end.Positive() {
		d.count(end)
		r.settled[s.kind] = false
	}
	return nil
}

// cmd sends a command in the current session and notes how slow the server is.
func (d *dialogue) cmd(line string) (smtp.Reply, error) {
	r, err := d.conn.Cmd(d.ctx, line)
	d.note()
	return r, err
}

func (d *dialogue) note() { d.slowest = max(d.slowest, d.conn.Slowest()) }

func (d *dialogue) reset() error {
	d.mailOpen = false
	d.nonMail++
	r, err := d.cmd("RSET")
	if err != nil || r.Positive() {
		return err
	}
	// A server that knows no RSET: another EHLO ends a transaction as well (RFC 5321 4.1.4).
	d.count(r)
	return d.sayHELO(d.session.helo)
}

// count books a refusal against the connection's budgets.
func (d *dialogue) count(r smtp.Reply) {
	d.refused++
	if r.Code >= 500 && r.Code <= 504 || r.Code == 555 || strings.HasPrefix(r.Enhanced, "5.5.") {
		d.syntax++
	}
}

// wantTLS turns the whole run to STARTTLS: the server refuses to answer before.
func (d *dialogue) wantTLS(r *run) {
	d.hangUp()
	d.needTLS = true
	for _, s := range slices.Concat(r.normal, r.odd) {
		s.tls = true
	}
}

// ensure makes the current session fit a step.
func (d *dialogue) ensure(s *step) error {
	if d.session != nil && (d.session.tls != s.tls || d.nonMail >= maxNonMail) {
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
	c, err := d.dial("connect")
	if err != nil {
		return nil, !errors.Is(err, errStopped) && !errors.Is(err, errEnough) && d.ctx.Err() == nil, fmt.Errorf("%w: %w", errGone, err)
	}
	fail := func(again bool, err error) (*session, bool, error) {
		d.slowest = max(d.slowest, c.Slowest())
		d.keep(c)
		return nil, again, err
	}
	if d.implicit {
		if err := d.handshake(c, "implicit"); err != nil {
			return fail(true, fmt.Errorf("%w: %w", errGone, err))
		}
	}
	g, err := c.Greeting(d.ctx)
	d.slowGreeting = d.slowGreeting || c.Slowest() >= slowReply
	if err != nil {
		return fail(!errors.Is(err, context.Canceled), fmt.Errorf("%w: %w", errGone, err))
	}
	if g.Code != 220 {
		return fail(true, fmt.Errorf("%w: %s", errGone, short(g)))
	}
	opened, r, err := d.hello1(c, s.helo)
	if err != nil {
		return fail(true, fmt.Errorf("%w: %w", errGone, err))
	}
	if opened == nil {
		return fail(false, &helloRefused{r})
	}
	if s.tls && !d.implicit {
		return d.upgrade(opened, s, fail)
	}
	return opened, false, nil
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
	after.helos++
	d.auth = d.auth || after.ext.Has("AUTH")
	return after, false, nil
}

// noSession settles a step that has no session.
func (d *dialogue) noSession(r *run, s *step, err error) error {
	var hello *helloRefused
	switch {
	case errors.Is(err, errStopped) || errors.Is(err, errEnough) || d.ctx.Err() != nil:
		return err
	case errors.As(err, &hello):
		for _, a := range s.attempts {
			a.HELO, a.Session, a.Sent = s.helo, max(1, len(d.f.Sessions)), d.p.now()
			a.Failure = hello.Error()
			if s.helo != d.names.hello { // the name is the point of the vector
				a.Failure, a.Mail = "", smtp.Reply{Code: 550, Enhanced: "5.1.8", Lines: append([]string{"HELO refused:"}, hello.reply.Lines...)}
			}
		}
		s.attempts = nil
		return nil
	case s.kind == "TLS" || errors.Is(err, smtp.ErrTLS):
		for _, a := range s.attempts {
			a.TLS, a.Session, a.Sent, a.Failure = true, max(1, len(d.f.Sessions)), d.p.now(), err.Error()
		}
		s.attempts = nil
		if s.kind == "TLS" {
			return nil
		}
	case errors.Is(err, smtp.ErrClosed) && d.session != nil:
		d.cut()
		return nil
	}
	if errors.Is(err, errGone) && !errors.Is(err, smtp.ErrTLS) {
		return fmt.Errorf("it answered before and then lets nobody in, after %s: %w", d.lastTried(), err)
	}
	return err
}

// lastTried names the attempt before the server went away, as the one that may have got us banned.
func (d *dialogue) lastTried() string {
	if d.previous == "" {
		return "the greeting"
	}
	return "vector " + d.previous
}

// dropped handles a server that hung up, said 421 or stalled in the middle of a step. The same vector is tried again
// once in a new connection; a server that hangs up on it twice gives it no verdict.
func (d *dialogue) dropped(r *run, s *step, err error, reply smtp.Reply) error {
	if d.session != nil {
		if d.refused > 0 {
			d.refusals = min(d.refusals, max(1, d.refused))
		}
		d.keep(d.conn)
		d.session = nil
	}
	if d.ctx.Err() != nil {
		return d.ctx.Err()
	}
	if len(s.attempts) == 0 {
		return nil
	}
	a := s.attempts[0]
	r.tries[a]++
	why := "the server hangs up on it"
	switch {
	case reply.Code == 421:
		why = "the server hangs up on it: " + short(reply)
	case errors.Is(err, smtp.ErrSilent):
		why = "no reply in time"
	case err != nil && !errors.Is(err, smtp.ErrClosed):
		why = err.Error()
	}
	if r.tries[a] >= 2 {
		a.Failure = why
		s.attempts = s.attempts[1:]
	}
	return nil
}

// retryGreylisted tries plain vectors that got a temporary refusal once more, with the same triplet, later.
func (d *dialogue) retryGreylisted(r *run, all []*Attempt) error {
	var again []*step
	var first time.Time
	for _, a := range all {
		name, reply := a.last()
		if a.Session == 0 || a.Route || a.Failure != "" || name != "RCPT" && name != "MAIL" || classify(a.stage(), reply, a.AuthOffered) != greylisted {
			continue
		}
		if first.IsZero() || a.Sent.Before(first) {
			first = a.Sent
		}
		again = append(again, &step{helo: a.HELO, tls: a.TLS, from: a.From, kind: a.Vector[:1], attempts: []*Attempt{a}})
	}
	if len(again) == 0 || r.settled["S"] {
		return nil
	}
	d.hangUp()
	timer := time.NewTimer(first.Add(greylistWait).Sub(d.p.now()))
	defer timer.Stop()
	select {
	case <-d.ctx.Done():
		return nil // the first answers stand
	case <-timer.C:
	}
	return d.work(&run{normal: again, all: all, tries: make(map[*Attempt]int), settled: r.settled})
}

// controls ask what tells a relay from a sink and a catch-all, once something was accepted. None of them reaches DATA.
// A session that they end is not missed: the class then says that it could not be asked.
func (d *dialogue) controls(r *run) error {
	if d.asked || d.conclusive() || !slices.ContainsFunc(r.all, func(a *Attempt) bool { return a.Verdict() >= Accepted }) {
		return nil
	}
	d.asked = true
	if d.session != nil && (d.refused >= d.limit()-2 || d.nonMail >= maxNonMail-1 || d.syntax >= maxSyntax) {
		d.hangUp()
	}
	if err := d.ensure(&step{helo: d.names.hello, tls: d.implicit || d.needTLS}); err != nil || d.session == nil {
		if errors.Is(err, errStopped) {
			return err
		}
		return nil
	}
	if err := d.audit("control"); err != nil {
		return err
	}
	if d.mailOpen {
		if err := d.reset(); err != nil || d.session == nil {
			d.cut()
			return nil
		}
	}
	c := d.p.controls(d.f.Addr.String(), d.f.Vantage, d.names)
	ask := func(line string) (reply smtp.Reply, ok bool) {
		if d.session == nil {
			return reply, false
		}
		reply, err := d.cmd(line)
		if err != nil || reply.Code == 421 {
			d.cut()
			return reply, false
		}
		if !reply.Positive() {
			d.count(reply)
		}
		return reply, reply.Positive()
	}
	d.f.Nonsense, _ = ask(c.nonsense)
	if _, ok := ask(c.mail); !ok {
		return nil
	}
	d.mailOpen = true
	if c.local != "" {
		d.f.RandomLocal, _ = ask(c.local)
	}
	d.f.RandomForeign, _ = ask(c.foreign)
	return nil
}

// controlLines are the commands of the controls, in the order in which they are sent.
type controlLines struct {
	nonsense string // a recipient before any sender
	mail     string
	local    string // a local part that nobody has, at a domain of the target; empty if we know none
	foreign  string // a recipient under .invalid (RFC 2606 2)
}

func (p *Prober) controls(endpoint, vantage string, n names) controlLines {
	token := p.Canary.Token(p.Scan, endpoint, "control", vantage)
	c := controlLines{
		nonsense: "RCPT TO:<" + token + "@" + n.canary + ">",
		mail:     "MAIL FROM:<" + token + "-b@" + n.canary + ">",
		foreign:  "RCPT TO:<" + token + "@" + token + ".invalid>",
	}
	if own := n.own(); own != "" {
		c.local = "RCPT TO:<" + p.Canary.Token(p.Scan, endpoint, "nobody", vantage) + "@" + own + ">"
	}
	return c
}
