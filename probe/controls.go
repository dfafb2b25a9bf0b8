package probe

import (
	"errors"
	"slices"

	"relaysweep/probe/smtp"
)

// controls ask what tells a relay from a sink and a catch-all, once something was accepted. None of them reaches DATA.
// A session that they end is not missed: the class then says that it could not be asked.
func (d *dialogue) controls(r *run) error {
	if d.asked || d.conclusive() || !slices.ContainsFunc(r.all, func(a *Attempt) bool { return a.Verdict() >= Accepted }) {
		return nil
	}
	d.asked = true
	if err := d.book(4); err != nil { // each may be refused
		return err
	}
	defer d.settle(d.refusedEver)
	if d.session != nil && (d.refused >= d.limit()-2 || d.nonMail >= maxNonMail-1 || d.syntax >= maxSyntax) {
		d.hangUp()
	}
	if err := d.ensure(&step{helo: d.names.hello, way: d.way(d.needTLS)}); err != nil || d.session == nil {
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
	// Another name and another sender: does it relay for everyone, or only for who we are?
	if d.session == nil || d.helos >= maxHELO-1 || d.nonMail >= maxNonMail-2 || d.oneHELO || d.needTLS && !d.session.tls {
		return nil
	}
	d.helos++
	d.nonMail++
	if _, ok := ask(c.hello); !ok {
		return nil
	}
	d.session.helo, d.mailOpen = c.name, false
	if r, ok := ask(c.otherMail); !ok {
		d.f.OtherIdentity = r
		return nil
	}
	d.mailOpen = true
	d.f.OtherIdentity, _ = ask(c.otherRcpt)
	return nil
}

// controlLines are the commands of the controls, in the order in which they are sent.
type controlLines struct {
	nonsense string // a recipient before any sender
	mail     string
	local    string // a local part that nobody has, at a domain of the target; empty if we know none
	foreign  string // a recipient under .invalid (RFC 2606 2)

	name, hello, otherMail, otherRcpt string // another identity
}

func (p *Prober) controls(endpoint, vantage string, n names) controlLines {
	token := p.Canary.Token(p.Scan, endpoint, "control", vantage)
	c := controlLines{
		nonsense: "RCPT TO:<" + token + "@" + n.canary + ">",
		mail:     "MAIL FROM:<" + token + "-b@" + n.canary + ">",
		foreign:  "RCPT TO:<" + token + "@" + token + ".invalid>",
	}
	other := p.Canary.Token(p.Scan, endpoint, "identity", vantage)
	c.name = other + ".invalid"
	c.hello, c.otherMail, c.otherRcpt = "EHLO "+c.name, "MAIL FROM:<"+other+"@"+c.name+">", "RCPT TO:<"+other+"@"+n.canary+">"
	if own := n.own(); own != "" {
		c.local = "RCPT TO:<" + p.Canary.Token(p.Scan, endpoint, "nobody", vantage) + "@" + own + ">"
	}
	return c
}
