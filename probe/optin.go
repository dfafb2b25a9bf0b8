package probe

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"relaysweep/probe/smtp"
)

// wants reports whether a row is in the table.
func (d *dialogue) wants(id string) bool {
	return slices.ContainsFunc(d.p.vectors(), func(v Vector) bool { return v.ID == id })
}

// sources are the further sources that an address can be reached from.
func (p *Prober) sources(to netip.Addr, own netip.AddrPort) []netip.AddrPort {
	var out []netip.AddrPort
	for _, s := range p.Sources {
		if s != own && (!s.Addr().IsValid() || s.Addr().Is4() == to.Is4()) {
			out = append(out, s)
		}
	}
	return out
}

// maxVRFY is how many names are verified: sendmail slows down from the sixth on (MAXVRFYCOMMANDS).
const maxVRFY = 5

// askVRFY asks which of the senders exist, where the operator wants that, and leaves out those that do not.
func (d *dialogue) askVRFY() error {
	if !d.p.VRFY || d.p.Gentle != nil || d.session == nil {
		return nil
	}
	known := make(map[string]bool)
	for i, sender := range d.names.senders {
		if i >= maxVRFY || d.session == nil || d.syntax >= maxSyntax {
			break
		}
		if err := d.audit("VRFY"); err != nil {
			return err
		}
		d.nonMail++
		r, err := d.cmd("VRFY " + sender)
		switch {
		case err != nil || r.Code == 421:
			d.cut()
			continue
		case r.Code == 550 || r.Code == 551 || r.Code == 553:
			known[sender] = false
		case r.Code == 250:
			known[sender] = true
		}
		if !r.Positive() {
			d.count(r)
		}
	}
	var exist, perhaps []string
	for _, s := range d.names.senders {
		if yes, asked := known[s]; yes {
			exist = append(exist, s)
		} else if !asked {
			perhaps = append(perhaps, s)
		}
	}
	d.names.senders = slices.Concat(exist, perhaps)
	return nil
}

// askHELP asks for help where the greeting did not tell product and version. A session that it ends is not missed.
func (d *dialogue) askHELP() {
	if d.session == nil || d.p.Gentle != nil || d.refused >= d.limit() || d.syntax >= maxSyntax || d.nonMail >= maxNonMail || d.known() || d.audit("HELP") != nil {
		return
	}
	d.nonMail++
	r, err := d.cmd("HELP")
	if err != nil || r.Code == 421 {
		d.cut()
		return
	}
	if !r.Positive() {
		d.count(r)
	}
	if r.Code == 211 || r.Code == 214 {
		d.f.Help = clipLines(r.Lines, maxHello)
	}
}

// mayProxy reports whether a PROXY header may still be tried on a listener that does not greet.
func (d *dialogue) mayProxy() bool { return !d.proxyTried && d.wants("I6") }

// tryProxy comes again with a PROXY header that names our own address: a listener that waits for a load balancer says
// nothing to others. It reports whether the listener greeted.
func (d *dialogue) tryProxy(wait time.Duration) (greeted bool, err error) {
	local, perr := netip.ParseAddr(d.f.LocalAddr)
	if perr != nil || !d.mayProxy() {
		return false, nil
	}
	d.proxyTried = true
	d.header = "PROXY " + proxyLine(netip.AddrPortFrom(local, 40000), d.f.Addr)
	c, r, err := d.greet(wait)
	if err == nil && r.Code == 220 {
		err := d.greeted(c, r)
		if d.session == nil || d.helos == 1 && c.Unasked() == 0 {
			d.f.Behind = d.header
			return true, err
		}
		// It took the header for a command: it was only busy before.
		d.store(c)
		d.session, d.header, d.useHELO, d.f.Extensions = nil, "", false, nil
		return false, nil
	}
	d.header = ""
	if c != nil {
		d.keep(c)
	}
	return false, d.ctxErr(err)
}

// hygiene asks for what is no relay and is tried only where it was asked for by name.
func (d *dialogue) hygiene(r *run) error {
	if d.wants("I12") && d.startTLS && d.f.Cut == "" {
		if err := d.injection(); err != nil {
			return err
		}
	}
	if !d.wants("I11") || d.p.stopAt() < Delivered {
		return nil
	}
	for _, a := range r.all {
		if !a.Route && !a.OptIn && a.Source == "" && a.Verdict() == Queued {
			return d.smuggling(a)
		}
	}
	return nil
}

// injection sends a command in clear right behind STARTTLS. A server that answers it inside TLS obeys what anyone on the
// way may have put in (CVE-2011-0411).
func (d *dialogue) injection() error {
	d.hangUp()
	if err := d.audit("I12"); err != nil {
		return err
	}
	if err := d.connect(&step{way: d.way(false), helo: d.names.hello}); err != nil || d.session == nil {
		return nil // it was there before: nothing is lost
	}
	defer d.cut()
	r, err := d.conn.CmdWith(d.ctx, "STARTTLS", "NOOP")
	if err != nil || r.Code != 220 || d.handshake(d.conn, "starttls") != nil {
		return nil
	}
	r, err = d.conn.GreetingWithin(d.ctx, unaskedWait)
	d.f.Injected = err == nil && r.Code == 250 // as NOOP is answered; some greet again inside
	return nil
}

// unaskedWait is how long a reply is waited for that may never come.
const unaskedWait = 2 * time.Second

// falseEnds are ends of data that are none (RFC 5321 2.3.8 and 4.1.1.4: CRLF . CRLF alone is one).
var falseEnds = []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r.\n", "\n.\r", "\r\n.\r", "\r\n\x00.\r\n", "\r\n.\x00\r\n"}

// smuggling sends a canary for each false end of data, in the manner of an attempt that was taken. What is answered
// before the true end was taken for one.
func (d *dialogue) smuggling(like *Attempt) error {
	for i, end := range falseEnds {
		if d.ctx.Err() != nil {
			return nil
		}
		if err := d.audit(fmt.Sprintf("I11.%d", i+1)); err != nil {
			return err
		}
		if err := d.ensure(d.repeat(like)); err != nil || d.session == nil {
			return nil
		}
		token := d.p.Canary.Token(d.p.Scan, d.f.Addr.String(), fmt.Sprintf("I11.%d", i+1), d.f.Vantage)
		if d.f.Others == nil {
			d.f.Others = make(map[string]string)
		}
		d.f.Others[token] = "I11"
		if ok := d.smuggle(like, token, end); !ok {
			d.cut() // what state it is in cannot be known
		}
	}
	return nil
}

func (d *dialogue) smuggle(like *Attempt, token, end string) (ok bool) {
	if d.mailOpen && d.reset() != nil || d.session == nil {
		return false
	}
	to := strings.ReplaceAll(like.To, like.Canary, token)
	for _, line := range []string{like.mailLine(), "RCPT TO:" + to} {
		if r, err := d.cmd(line); err != nil || r.Code/100 != 2 {
			return false
		}
	}
	if r, err := d.cmd("DATA"); err != nil || r.Code != 354 {
		return false
	}
	early, last, err := d.conn.FalseEnd(d.ctx, d.p.message(like.From, []string{to}, token), end, unaskedWait)
	if early.Code/100 == 2 {
		d.f.EndsData = append(d.f.EndsData, smtp.Escape(end))
		return false
	}
	d.mailOpen = false
	return err == nil && early.Code == 0 && last.Code != 0
}
