package probe

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"relaysweep/discover"
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
	if err := d.askVRFY(); err != nil {
		return d.keepAttempts(err, nil)
	}
	r := &run{tries: make(map[*Attempt]int), settled: make(map[string]bool)}
	normal, odd, late, beyond := d.plan()
	r.all = d.inOnePlace(slices.Concat(normal, odd, late, beyond))
	r.normal, r.odd = normal, odd
	err := d.inStep(r, d.work(r))
	if err == nil && d.f.Cut == "" {
		r.normal = d.secured(late)
		err = d.inStep(r, d.work(r))
	}
	if err == nil {
		err = d.inStep(r, d.retryGreylisted(r))
	}
	if err == nil && !r.settled["S"] && d.f.Cut == "" && len(beyond) > 0 {
		if r.normal, err = d.offered(d.secured(beyond)); err == nil {
			err = d.inStep(r, d.work(r))
		}
	}
	if err == nil {
		err = d.controls(r)
	}
	if err == nil {
		d.askHELP()
		err = d.hygiene(r)
	}
	return d.keepAttempts(err, r.all)
}

// secured puts steps into TLS where the server wants that before anything. I7 is then what S1 asked already.
func (d *dialogue) secured(list []*step) []*step {
	if !d.needTLS {
		return list
	}
	list = slices.DeleteFunc(list, func(s *step) bool { return s.kind == "TLS" })
	for _, s := range list {
		s.tls = true
	}
	return list
}

// offered picks the steps that the server offers the extension for, in clear or in TLS. Rows of one id are
// alternatives: the first is tried.
func (d *dialogue) offered(list []*step) (out []*step, err error) {
	needy := slices.ContainsFunc(list, func(s *step) bool { return s.needs != "" && !d.first.Lists(s.needs) })
	if needy && d.startTLS && d.inTLS == nil { // many offer AUTH after STARTTLS only
		d.hangUp()
		if err := d.connect(&step{way: d.way(true), helo: d.names.hello}); errors.Is(err, errStopped) {
			return nil, err
		}
	}
	for _, s := range list {
		switch id := s.attempts[0].Vector; {
		case slices.ContainsFunc(out, func(o *step) bool { return o.attempts[0].Vector == id }):
			continue
		case s.needs == "" || d.first.Lists(s.needs):
		case d.inTLS.Lists(s.needs):
			s.tls = true
		default:
			continue
		}
		out = append(out, s)
	}
	return out, nil
}

// inStep makes sure, after a part of the test, that no reply was taken for another command's.
func (d *dialogue) inStep(r *run, err error) error {
	if err != nil {
		return err
	}
	return d.retryAstray(r)
}

// inOnePlace moves the attempts of all steps into the finding, so that they exist once.
func (d *dialogue) inOnePlace(list []*step) (all []*Attempt) {
	n := 0
	for _, s := range list {
		n += len(s.attempts)
	}
	d.f.Attempts = make([]Attempt, 0, n)
	for _, s := range list {
		for i, a := range s.attempts {
			d.f.Attempts = append(d.f.Attempts, *a)
			s.attempts[i] = &d.f.Attempts[len(d.f.Attempts)-1]
		}
		all = append(all, s.attempts...)
	}
	return all
}

// keepAttempts keeps the attempts that were made, and says why others are missing.
func (d *dialogue) keepAttempts(err error, all []*Attempt) error {
	for i := range d.f.Attempts {
		if a := &d.f.Attempts[i]; slices.Contains(d.astray, a.Session) {
			a.forget(astrayReason)
		}
	}
	missing := 0
	d.f.Attempts = slices.DeleteFunc(d.f.Attempts, func(a Attempt) bool {
		if a.Session == 0 && !a.OptIn { // an opt-in row is tried where it is offered
			missing++
		}
		return a.Session == 0
	})
	if err == nil || errors.Is(err, errStopped) {
		return err
	}
	if d.f.Cut == "" {
		d.f.Cut = d.whyCut(err)
	}
	if missing > 0 {
		d.f.Cut += fmt.Sprintf(" (%d of %d attempts were left out)", missing, len(all))
	}
	return nil
}

func (d *dialogue) whyCut(err error) string {
	if d.ctx.Err() != nil {
		return fmt.Sprintf("the time budget of %s ran out", d.budget)
	}
	return err.Error()
}

// plan expands the table for this server. late are the steps that take a connection of their own, after STARTTLS or from
// another source; beyond are those that were asked for by name, for a server that does not relay without.
func (d *dialogue) plan() (normal, odd, late, beyond []*step) {
	token := func(name string) string {
		return d.p.Canary.Token(d.p.Scan, d.f.Addr.String(), name, d.f.Vantage)
	}
	all, odd := steps(d.p.vectors(), d.names, token)
	for _, s := range slices.Concat(all, odd) {
		own := s.source != (netip.AddrPort{})
		tls := s.tls
		if !own {
			s.source = d.source
		}
		s.tls = s.tls || d.implicit
		if s.header == "" {
			s.header = d.header
		}
		switch {
		case s.odd:
		case s.needs != "" && !s.optIn && !d.first.Lists(s.needs):
			if d.startTLS { // what is offered inside is known after I7, or where it wants STARTTLS before anything
				s.tls = true
				late = append(late, s)
			}
		case s.optIn:
			beyond = append(beyond, s)
		case own:
			late = append(late, s)
		case !tls:
			normal = append(normal, s)
		case d.startTLS: // in TLS from the start, S1 is what I7 asks
			late = append(late, s)
		}
	}
	return normal, odd, late, beyond
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
	if s != nil && s.syntax < maxSyntax && s.refused < d.limit()-d.reserve(r) {
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
	return s != nil && len(r.odd) > 0 && (d.introduced(r.odd[0]) || !d.oneHELO && s.helos < maxHELO) && s.way == r.odd[0].way && s.syntax < maxSyntax && s.refused < d.limit()
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
	if d.syntax >= maxSyntax {
		return true
	}
	if s.odd {
		return d.refused >= d.limit()
	}
	return d.refused >= d.limit()-d.reserve(r)
}

// transact runs one step as far as the connection goes. Attempts that have their answer leave the step; those that the
// server's limits cut off stay, and are tried in the next connection.
func (d *dialogue) transact(r *run, s *step) error {
	if s.tls && !d.implicit && !s.optIn && s.needs != "" && !d.inTLS.Lists(s.needs) {
		s.attempts = nil // not for this server
		return nil
	}
	if err := d.book(1); err != nil {
		return err
	}
	defer d.settle(d.refusedEver)
	if s.own() {
		d.hangUp()
	}
	if err := d.ensure(s); err != nil {
		return d.noSession(r, s, err)
	}
	if d.session != nil && d.mailOpen && !d.bookNow() { // RSET may be refused as well
		d.hangUp()
	}
	if d.session == nil {
		return nil // the step comes again in a new connection
	}
	if ready, err := d.prepare(s); err != nil || !ready {
		return err
	}
	if s.own() {
		defer d.hangUp() // what this connection was let do is no measure for others
	}
	if d.mailOpen {
		if err := d.reset(); err != nil {
			return d.dropped(r, s, err, smtp.Reply{})
		}
		if d.session == nil {
			return nil
		}
	}
	mail, err := d.cmd("MAIL FROM:<" + s.from + ">" + s.params)
	if err != nil || mail.Code == 421 {
		return d.dropped(r, s, err, mail)
	}
	if d.startTLS && !d.session.tls && classify(atMail, mail, d.auth) == tlsNeeded {
		d.wantTLS(r, s, mail)
		return nil
	}
	if !mail.Positive() {
		for _, a := range s.attempts {
			d.begin(a)
			a.Mail = mail
		}
		d.count(mail)
		d.barren = 0
		s.attempts = nil
		return nil
	}
	d.mailOpen = true
	accepted, ended, err := d.recipients(r, s, mail)
	if ended || err != nil {
		return err
	}
	if len(accepted) == 0 || !d.wantData(r, s.kind) {
		return nil
	}
	return d.data(r, s, accepted)
}

// prepare does what a step wants done before MAIL, and notes where its first attempt is made. It reports whether the
// step can go on in this session.
func (d *dialogue) prepare(s *step) (ready bool, err error) {
	a := s.attempts[0]
	if err := d.audit(a.Form); err != nil {
		return false, err
	}
	d.begin(a)
	for i, line := range s.before {
		d.nonMail++
		reply, err := d.cmd(line)
		if err != nil {
			d.cut()
			a.Failure = "no answer to " + strings.Fields(line)[0] + ": " + err.Error()
			s.attempts = nil
			return false, nil
		}
		a.Before = append(a.Before, Exchange{line, reply})
		if last := i == len(s.before)-1; !reply.Positive() || last && reply.Code/100 == 3 {
			d.count(reply)
			d.hangUp()
			s.attempts = nil
			return false, nil
		}
	}
	return true, nil
}

// recipients asks for each recipient of a step. ended tells that the session or the step is over.
func (d *dialogue) recipients(r *run, s *step, mail smtp.Reply) (accepted []*Attempt, ended bool, err error) {
	for first := s.attempts[0]; len(s.attempts) > 0; {
		a := s.attempts[0]
		if d.full(r, s) {
			break
		}
		if a != first {
			if !d.bookNow() {
				return accepted, false, nil // the others wait for their turn
			}
			if err := d.audit(a.Form); err != nil {
				return nil, true, err
			}
			d.begin(a)
		}
		rcpt, err := d.cmd("RCPT TO:" + a.To)
		if err != nil || rcpt.Code == 421 {
			d.again(r, s, accepted)
			return nil, true, d.dropped(r, s, err, rcpt)
		}
		a.Mail, a.Rcpt = mail, rcpt
		d.barren = 0
		if d.startTLS && !d.session.tls && classify(atRcpt, rcpt, d.auth) == tlsNeeded {
			d.wantTLS(r, s, rcpt)
			return nil, true, nil
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
	return accepted, false, nil
}

// again puts recipients that were accepted, before the server hung up on another one, into a step of their own, so that
// they see their DATA. Once: where that fails as well, the reply to RCPT is what counts.
func (d *dialogue) again(r *run, s *step, accepted []*Attempt) {
	if !d.wantData(r, s.kind) {
		return
	}
	accepted = slices.DeleteFunc(accepted, func(a *Attempt) bool { r.tries[a]++; return r.tries[a] > 1 })
	if len(accepted) == 0 {
		return
	}
	c := *s
	c.attempts = accepted
	r.normal = slices.Insert(r.normal, 0, &c)
}

// begin notes where and when an attempt is made. What an earlier try of it was answered is forgotten.
func (d *dialogue) begin(a *Attempt) {
	d.previous = a.Form
	a.Mail, a.Rcpt, a.Before, a.Barred, a.Failure = smtp.Reply{}, smtp.Reply{}, nil, "", ""
	if d.session.header != d.header {
		a.Before = []Exchange{{d.session.header, d.greeting}}
	}
	if d.session.source != d.source {
		a.Source = discover.SourceText(d.session.source)
	}
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
	case kind != "S" && kind != "TLS":
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
	end = d.keepReply(end)
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
	return d.keepReply(r), err
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
	if d.helos >= maxHELO || d.nonMail >= maxNonMail {
		d.hangUp()
		return nil
	}
	return d.sayHELO(d.session.helo)
}

// count books a refusal against the connection's budgets.
func (d *dialogue) count(r smtp.Reply) {
	d.refused++
	d.refusedEver++
	if c := classify(atRcpt, r, d.auth); c == relayDenied || c == authNeeded {
		return // MailEnable says 503
	}
	if r.Code >= 500 && r.Code <= 504 || r.Code == 555 || strings.HasPrefix(r.Enhanced(), "5.5.") {
		d.syntax++
	}
}

// wantTLS turns the whole run to STARTTLS: the server refuses to answer before.
func (d *dialogue) wantTLS(r *run, s *step, reply smtp.Reply) {
	d.count(reply)
	d.hangUp()
	d.needTLS, s.tls = true, true
	for _, s := range slices.Concat(r.normal, r.odd) {
		s.tls = true
	}
}

// noSession settles a step that has no session.
func (d *dialogue) noSession(r *run, s *step, err error) error {
	var hello *helloRefused
	var header *headerRefused
	d.refusedEver++
	switch {
	case errors.Is(err, errStopped) || errors.Is(err, errEnough) || d.ctx.Err() != nil:
		return err
	case errors.As(err, &hello):
		for _, a := range s.attempts {
			a.HELO, a.Session, a.Sent = s.helo, max(1, len(d.f.Sessions)), d.p.now()
			a.Failure = hello.Error()
			if s.helo != d.names.hello && hello.reply.Code >= 500 { // the name is the point of the vector
				a.Failure, a.Barred = "", hello.Error()
			}
		}
		s.attempts = nil
		return nil
	case errors.As(err, &header):
		for _, a := range s.attempts {
			a.HELO, a.Session, a.Sent = s.helo, max(1, len(d.f.Sessions)), d.p.now()
			a.Before, a.Barred = []Exchange{{s.header, header.reply}}, header.Error()
		}
		s.attempts = nil
		return nil
	case s.source != d.source || s.own():
		// Another source, or a connection for an opt-in row: what came of it is no word on the others. Where nothing
		// answers another source, or we cannot use it, nothing was tried.
		var op *net.OpError
		if errors.Is(err, discover.ErrSource) || s.source != d.source && errors.As(err, &op) && op.Op == "dial" {
			s.attempts = nil
			return nil
		}
		for _, a := range s.attempts {
			a.HELO, a.Session, a.Sent, a.Failure = s.helo, max(1, len(d.f.Sessions)), d.p.now(), err.Error()
			if s.source != d.source {
				a.Source = discover.SourceText(s.source)
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
		d.refusedEver++
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
		if d.barren++; d.barren >= maxBarren {
			return fmt.Errorf("%w after %d attempts in a row without an answer", errEnough, d.barren)
		}
	}
	return nil
}

const astrayReason = "the server says more than it is asked, so replies cannot be told apart"

// retryAstray makes the attempts again, with patience, that were made in a session where the server said more than it
// was asked: a reply there may have been another command's. What cannot be made again is unknown.
func (d *dialogue) retryAstray(r *run) error {
	if d.session != nil && d.conn.Unasked() > 0 {
		d.hangUp()
	}
	if len(d.astray) == 0 {
		return nil
	}
	var again []*step
	settled := make(map[string]bool)
	for _, a := range r.all {
		switch {
		case a.Session == 0:
		case !slices.Contains(d.astray, a.Session):
			settled[a.Vector[:1]] = settled[a.Vector[:1]] || a.Verdict() >= Ready
		default:
			a.forget(astrayReason)
			if !a.OptIn && a.Source == "" { // those were made another way than repeat makes them
				again = d.repeatWith(again, a)
			}
		}
	}
	d.astray = nil
	// The controls as well.
	d.asked, d.f.Nonsense, d.f.RandomLocal, d.f.RandomForeign, d.f.OtherIdentity = false, smtp.Reply{}, smtp.Reply{}, smtp.Reply{}, smtp.Reply{}
	d.hangUp()
	return d.work(&run{normal: again, all: r.all, tries: make(map[*Attempt]int), settled: settled})
}

// retryGreylisted tries plain vectors that got a temporary refusal once more, with the same triplet, later.
func (d *dialogue) retryGreylisted(r *run) error {
	var again []*step
	var first time.Time
	for _, a := range r.all {
		name, reply := a.last()
		if a.Session == 0 || a.OptIn || a.Source != "" || a.Failure != "" || name != "RCPT" && name != "MAIL" || classify(a.stage(), reply, a.AuthOffered) != greylisted {
			continue
		}
		if first.IsZero() || a.Sent.Before(first) {
			first = a.Sent
		}
		again = d.repeatWith(again, a)
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
	return d.work(&run{normal: again, all: r.all, tries: make(map[*Attempt]int), settled: r.settled})
}

// repeatWith adds an attempt to the step that has its sender, or a step to the list.
func (d *dialogue) repeatWith(list []*step, a *Attempt) []*step {
	n := d.repeat(a)
	for _, s := range list {
		if s.way == n.way && s.helo == n.helo && s.from == n.from && s.params == n.params && s.kind == n.kind && s.attempts[0].To != a.To {
			s.attempts = append(s.attempts, a)
			return list
		}
	}
	return append(list, n)
}

// repeat is a step that makes an attempt once more as it was made.
func (d *dialogue) repeat(a *Attempt) *step {
	s := &step{way: d.way(a.TLS), helo: a.HELO, from: a.From, kind: a.Vector[:1], attempts: []*Attempt{a}}
	if a.Params != "" {
		s.params = " " + a.Params
	}
	return s
}
