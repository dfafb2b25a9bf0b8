package probe

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"relaysweep/discover"
	"relaysweep/probe/smtp"
)

// How long to wait for what may never come, on ports and connections where SMTP is only a guess.
const (
	otherGreeting = 10 * time.Second
	guessWait     = 5 * time.Second
)

// signatures name what is not SMTP by its first bytes. Rows with a reply code are asked only after EHLO and HELO failed.
var signatures = []struct{ prefix, contains, protocol string }{
	{prefix: "SSH-", protocol: "ssh"},
	{prefix: "HTTP/", protocol: "http"},
	{prefix: "<!DOCTYPE", protocol: "http"},
	{prefix: "<html", protocol: "http"},
	{prefix: "* OK", protocol: "imap"},
	{prefix: "* PREAUTH", protocol: "imap"},
	{prefix: "* BYE", protocol: "imap"},
	{prefix: "+OK", protocol: "pop3"},
	{prefix: "-ERR", protocol: "pop3"},
	{prefix: "RFB ", protocol: "vnc"},
	{prefix: "@PJL", protocol: "printer"},
	{prefix: "\xff\xfb", protocol: "telnet"},
	{prefix: "\xff\xfd", protocol: "telnet"},
	{prefix: "-NOAUTH", protocol: "redis"},
	{prefix: "\x15\x03", protocol: "tls"},
	{prefix: "200 ", contains: "nntp", protocol: "nntp"},
	{prefix: "201 ", contains: "nntp", protocol: "nntp"},
	{prefix: "220", contains: "ftp", protocol: "ftp"},
	{prefix: "", contains: "mysql", protocol: "mysql"},
	{prefix: "", contains: "mariadb", protocol: "mysql"},
}

// nameProtocol names the first bytes of a service, or returns "".
func nameProtocol(b []byte) string {
	low := bytes.ToLower(b)
	for _, s := range signatures {
		if bytes.HasPrefix(b, []byte(s.prefix)) && bytes.Contains(low, []byte(s.contains)) && (s.prefix != "" || s.contains != "") {
			return s.protocol
		}
	}
	return ""
}

// printer ports print what they receive.
func printer(port uint16) bool { return port >= 9100 && port <= 9107 }

// identify finds out what listens. Where it is SMTP, the first session is left open after EHLO.
func (d *dialogue) identify() error {
	port := d.f.Addr.Port()
	wait, mailPort := otherGreeting, false
	if mail := d.p.MailPorts; slices.Contains(mail, port) || mail == nil && slices.Contains(discover.DefaultPorts(), port) {
		wait, mailPort = d.greetingWait(), true
	}
	if port == 465 { // RFC 8314 3.3; but Exchange and others speak in clear there, so both are tried
		done, err := d.tryImplicit(nil)
		if done || err != nil {
			return err
		}
	}
	c, r, err := d.greet(wait)
	if c == nil {
		return d.notReached(err)
	}
	if err == nil && r.Code != 220 && d.mayProxy() {
		// A listener that waits for a PROXY header may say so with an error.
		d.keep(c)
		if done, err := d.tryProxy(wait); done || err != nil {
			return err
		}
		if c, r, err = d.greet(wait); c == nil {
			return d.notReached(err)
		}
	}
	switch {
	case err == nil:
		d.slowGreeting = c.Slowest() >= slowReply
		return d.greeted(c, r)
	case errors.Is(err, smtp.ErrSilent) && len(c.Peek()) == 0 && !printer(port) && port != 465:
		if done, err := d.tryQMTP(); done || err != nil {
			d.keep(c)
			return err
		}
		if done, err := d.tryImplicit(c); done || err != nil {
			return err
		}
		if done, err := d.tryProxy(wait); done || err != nil {
			return err
		}
		if mailPort {
			return d.tryEHLO()
		}
		if d.f.Note == "" {
			d.f.Note = "silent: the connection opens and nothing is said"
		}
		return nil
	case errors.Is(err, smtp.ErrClosed) && len(c.Peek()) == 0 && !printer(port):
		if done, err := d.tryProxy(wait); done || err != nil {
			d.keep(c)
			return err
		}
	}
	d.nameFailure(c, err)
	d.keep(c)
	return d.ctxErr(err)
}

// greet opens a connection and waits for its greeting. A 421 asks us to come again later (RFC 5321 3.8), and so we do.
func (d *dialogue) greet(wait time.Duration) (*smtp.Conn, smtp.Reply, error) {
	for i := 0; ; i++ {
		c, err := d.dial("identify", d.way(false))
		if err != nil {
			return nil, smtp.Reply{}, err
		}
		r, err := c.GreetingWithin(d.ctx, wait)
		if err != nil || r.Code != 421 || i >= len(pauses) || d.mayProxy() || !d.pause(pauses[i]) {
			return c, r, err
		}
		d.keep(c)
	}
}

// pause waits, and reports whether there is time left.
func (d *dialogue) pause(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-d.ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (d *dialogue) greetingWait() time.Duration {
	if d.p.Limits.Greeting > 0 {
		return d.p.Limits.Greeting
	}
	return 30 * time.Second
}

// tryImplicit starts TLS on a connection (a new one if nil). It reports done when that settled what listens.
func (d *dialogue) tryImplicit(c *smtp.Conn) (done bool, err error) {
	ctx := d.ctx
	if c == nil {
		if c, err = d.dial("identify", d.way(false)); err != nil {
			return true, d.notReached(err)
		}
	} else { // a guess after a long silence
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, guessWait)
		defer cancel()
	}
	outer := d.ctx
	d.ctx = ctx
	err = d.handshake(c, "implicit")
	d.ctx = outer
	if err != nil {
		var plain smtp.Plain
		if errors.As(err, &plain) {
			d.f.TLS = nil
			if name := nameProtocol(plain.Bytes); name != "" {
				d.f.Protocol, d.f.Note = name, "it answered in clear: "+smtp.Escape(string(plain.Bytes))
				d.keep(c)
				return true, nil
			}
		} else if errors.Is(err, smtp.ErrSilent) || errors.Is(err, smtp.ErrClosed) {
			d.f.TLS = nil
		} else if !errors.Is(err, context.Canceled) && outer.Err() == nil {
			// It does speak TLS, and we could not agree: nothing in clear will come.
			d.f.Note = "TLS handshake failed: " + err.Error()
		}
		d.keep(c)
		return false, d.ctxErr(err)
	}
	d.implicit = true
	r, err := c.Greeting(d.ctx)
	if err == nil {
		return true, d.greeted(c, r)
	}
	d.nameFailure(c, err)
	if d.f.Protocol == "unknown" {
		d.f.Protocol = "tls"
	}
	d.keep(c)
	return true, d.ctxErr(err)
}

// tryEHLO writes one EHLO to a silent mail port: what answers only when asked is named by its answer.
func (d *dialogue) tryEHLO() error {
	c, err := d.dial("identify", d.way(false))
	if err != nil {
		return d.notReached(err)
	}
	ctx, cancel := context.WithTimeout(d.ctx, guessWait)
	defer cancel()
	r, err := c.Cmd(ctx, "EHLO "+d.hello(c))
	if err == nil && r.Code == 250 {
		d.f.Note = "it greets nobody, and answers EHLO"
		d.keep(c)
		return nil
	}
	if d.ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		err = smtp.ErrSilent
	}
	if errors.Is(err, smtp.ErrSilent) {
		d.f.Note = "silent: the connection opens and nothing is said"
	} else {
		d.nameFailure(c, err)
	}
	d.keep(c)
	return d.ctxErr(err)
}

// greeted goes on from a greeting.
func (d *dialogue) greeted(c *smtp.Conn, r smtp.Reply) error {
	d.f.Greeting = strings.Join(clipLines(r.Lines, maxHello), "\n")
	protocol := "smtp"
	if d.implicit {
		protocol = "smtps"
	}
	if r.Code != 220 {
		if p := nameProtocol([]byte(r.String())); p != "" {
			d.f.Protocol, d.f.Note = p, "greeting: "+short(r)
		} else if r.Code == 421 || r.Code >= 500 {
			d.f.Protocol, d.f.Note = protocol, "greeting: "+short(r)
			d.f.Cut = "refused at connect: " + short(r)
		} else {
			d.f.Note = "greeting is no 220: " + short(r)
		}
		d.keep(c)
		return nil
	}
	if printer(d.f.Addr.Port()) {
		d.f.Note = "greeting: " + short(r) + "; nothing was written, as printers print what they receive"
		d.keep(c)
		return nil
	}
	s, first, err := d.hello1(c, d.hello(c))
	if err != nil || s == nil {
		// Some servers drop a client that says EHLO: once more with HELO.
		if !errors.Is(err, smtp.ErrClosed) {
			d.notSMTP(c, r, first, err)
			d.keep(c)
			return d.ctxErr(err)
		}
		d.keep(c)
		s2, r2, err2 := d.againWithHELO()
		if s2 != nil {
			d.f.Protocol = protocol
			d.learn(s2, r2)
			return nil
		}
		d.notSMTP(c, r, first, err)
		return d.ctxErr(err2)
	}
	d.f.Protocol = protocol
	d.learn(s, first)
	return nil
}

// hello1 says EHLO, or HELO where EHLO gets any 5yz. It returns the session, or nil with the last reply.
func (d *dialogue) hello1(c *smtp.Conn, name string) (*session, smtp.Reply, error) {
	s := &session{conn: c, helo: name, helos: 1, way: d.way(c.TLS() != nil)}
	if !d.useHELO {
		r, err := c.Cmd(d.ctx, "EHLO "+name)
		if err != nil {
			return nil, r, err
		}
		if r.Code/100 == 2 {
			s.ext = smtp.ParseExtensions(r)
			return s, r, nil
		}
		s.helos++
		s.nonMail++
		s.refused++
		s.syntax++
	}
	r, err := c.Cmd(d.ctx, "HELO "+name)
	if err != nil {
		return nil, r, err
	}
	if r.Code/100 != 2 {
		return nil, r, nil
	}
	d.useHELO = true
	return s, r, nil
}

func (d *dialogue) againWithHELO() (*session, smtp.Reply, error) {
	c, err := d.dial("identify", d.way(false))
	if err != nil {
		return nil, smtp.Reply{}, err
	}
	if d.implicit {
		if err := d.handshake(c, "implicit"); err != nil {
			d.keep(c)
			return nil, smtp.Reply{}, err
		}
	}
	g, err := c.Greeting(d.ctx)
	if err != nil || g.Code != 220 {
		d.keep(c)
		return nil, g, err
	}
	d.useHELO = true
	s, r, err := d.hello1(c, d.hello(c))
	if s == nil {
		d.useHELO = false
		d.keep(c)
	}
	return s, r, err
}

// notSMTP names a service that greeted with 220 and then knew neither EHLO nor HELO.
func (d *dialogue) notSMTP(c *smtp.Conn, greeting, r smtp.Reply, err error) {
	text := strings.ToLower(greeting.Text())
	if p := nameProtocol([]byte(greeting.String())); p != "" {
		d.f.Protocol, d.f.Note = p, "greeting: "+short(greeting)
		return
	}
	if err == nil && r.Code >= 500 {
		// LMTP has its own greeting command (RFC 2033 4.1).
		if l, lerr := c.Cmd(d.ctx, "LHLO "+d.hello(c)); lerr == nil && l.Code == 250 {
			d.f.Protocol, d.f.EHLO, d.f.Note = "lmtp", clipLines(l.Lines, maxHello), "it answers LHLO and refuses EHLO and HELO (RFC 2033)"
			return
		}
	}
	hangsUp := err != nil && strings.Contains(text, "smtp")
	if hangsUp || err == nil && r.Code != 0 && (strings.Contains(text, "smtp") || strings.Contains(text, "mail") || r.Enhanced() != "" || r.Code/100 == 4) {
		// It is a mail server that does not like us.
		d.f.Protocol = "smtp"
		if d.implicit {
			d.f.Protocol = "smtps"
		}
		why := short(r)
		if hangsUp {
			why = err.Error()
		}
		d.f.Cut = "refused because of the scanner: it takes neither EHLO nor HELO from us: " + why
		return
	}
	d.f.Note = "it greets with 220 and answers neither EHLO nor HELO"
	if err != nil {
		d.f.Note += ": " + err.Error()
	}
}

// nameFailure notes what a connection did instead of greeting.
func (d *dialogue) nameFailure(c *smtp.Conn, err error) {
	seen := c.Peek()
	if p := nameProtocol(seen); p != "" {
		d.f.Protocol = p
	}
	if d.f.Note != "" && d.f.Protocol == "unknown" && len(seen) == 0 {
		return
	}
	switch {
	case errors.Is(err, smtp.ErrSilent) && len(seen) == 0:
		d.f.Note = "silent: the connection opens and nothing is said"
	case errors.Is(err, smtp.ErrSilent):
		d.f.Note = "no whole greeting in time: " + smtp.Escape(string(seen[:min(len(seen), 60)]))
	case errors.Is(err, smtp.ErrClosed):
		d.f.Note = "the connection opens and is closed at once"
	case err != nil:
		d.f.Note = err.Error()
	}
}

// notReached notes a connection that could not be made.
func (d *dialogue) notReached(err error) error {
	if errors.Is(err, errStopped) {
		return err
	}
	if d.ctx.Err() != nil {
		return d.ctx.Err()
	}
	d.f.Note = "it was open, and is not now: " + connectFailure(err)
	return nil
}

func connectFailure(err error) string {
	var ne net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return "no answer to a connection"
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}

// ctxErr passes on only what ends the whole probe.
func (d *dialogue) ctxErr(err error) error {
	if errors.Is(err, errStopped) {
		return err
	}
	return nil
}

// hello is the name that we give ourselves: the configured one, or our address literal (RFC 5321 4.1.4).
func (d *dialogue) hello(c *smtp.Conn) string {
	if d.p.HELO != "" {
		return d.p.HELO
	}
	if a, ok := c.LocalAddr().(*net.TCPAddr); ok {
		return literal(a.AddrPort().Addr().Unmap())
	}
	return "localhost"
}

// learn keeps what the first EHLO told, and makes the session the current one.
func (d *dialogue) learn(s *session, r smtp.Reply) {
	d.session, d.first = s, s.ext
	d.f.EHLO = clipLines(r.Lines, maxHello)
	for k, v := range smtp.ParseExtensions(smtp.Reply{Lines: d.f.EHLO}) {
		d.f.Extensions = append(d.f.Extensions, strings.TrimSpace(k+" "+v))
	}
	slices.Sort(d.f.Extensions)
	d.startTLS = s.ext.Has("STARTTLS") && !s.tls
	d.auth = s.ext.Has("AUTH")
	d.oneHELO = strings.Contains(d.f.Greeting, "OpenSMTPD")
	d.names = d.knownNames(s)
}

// knownNames are the placeholders of the vector table for this server. Without a configured mail domain, the parent of
// the server's own name is taken for one.
func (d *dialogue) knownNames(s *session) names {
	n := names{canary: d.p.Canary.domain(), hosts: d.hostNames(), domains: slices.Clone(d.p.Domains), senders: d.p.Senders, mxNames: d.p.Canary.MXNames, sink: d.p.Canary.Sink, hello: s.helo, addr: d.f.Addr.Addr(), sources: d.p.sources(d.f.Addr.Addr(), d.source)}
	if d.p.Serves != nil {
		n.domains = slices.Clone(d.p.Serves(d.f.Addr.Addr()))
	}
	n.hosts = slices.DeleteFunc(n.hosts, func(h string) bool { return strings.HasSuffix(h, "localhost") || strings.HasSuffix(h, ".localdomain") })
	if len(n.domains) == 0 && len(n.hosts) > 0 {
		if _, parent, ok := strings.Cut(n.hosts[0], "."); ok && strings.Contains(parent, ".") {
			n.domains = []string{parent}
		}
	}
	return n
}
