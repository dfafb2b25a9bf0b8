package probe

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"relaysweep/discover"
)

// Preview is what a mail server at a target would be sent, byte for byte and in order, if it took every command. What
// only the server can tell stands as a placeholder: {N} its host name, {O} a mail domain, where none is configured.
func (p *Prober) Preview(t discover.Target, vantage string) string {
	addr := t.AddrPort().Addr()
	n := names{canary: p.Canary.domain(), hosts: []string{"{N}"}, domains: p.Domains, senders: p.Senders, mxNames: p.Canary.MXNames, sink: p.Canary.Sink, hello: p.HELO, addr: addr, sources: p.sources(addr, netip.AddrPort{})}
	if p.Serves != nil {
		n.domains = p.Serves(addr)
	}
	if len(n.domains) == 0 {
		n.domains = []string{"{O}"}
	}
	if n.hello == "" {
		n.hello = "[our address]"
	}
	normal, odd := steps(p.vectors(), n, func(name string) string { return p.Canary.Token(p.Scan, t.String(), name, vantage) })
	var b strings.Builder
	if printer(t.AddrPort().Port()) {
		return "  # nothing is written to printer ports\n"
	}
	line := func(format string, args ...any) { fmt.Fprintf(&b, "  C: "+format+"\n", args...) }
	if t.AddrPort().Port() == 465 {
		b.WriteString("  # TLS first, then in clear if there is none\n")
	}
	b.WriteString("  # after the greeting, if a mail server answers\n")
	line("EHLO %s", n.hello)
	if p.VRFY && p.Gentle == nil {
		for _, sender := range firstN(p.Senders, maxVRFY) {
			line("VRFY %s", sender)
		}
	}
	helo := n.hello
	for _, s := range slices.Concat(normal, odd) {
		p.previewStep(&b, s, helo)
		helo = s.helo
	}
	c := p.controls(t.String(), vantage, n)
	b.WriteString("  # once something was accepted: controls, which never go on to DATA\n")
	for _, l := range []string{c.nonsense, c.mail, c.local, c.foreign, c.hello, c.otherMail, c.otherRcpt} {
		line("%s", l)
	}
	b.WriteString("  # where the greeting does not tell product and version\n")
	line("HELP")
	line("QUIT")
	p.previewRaw(&b, t)
	return b.String()
}

// previewStep writes one transaction.
func (p *Prober) previewStep(b *strings.Builder, s *step, helo string) {
	line := func(format string, args ...any) { fmt.Fprintf(b, "  C: "+format+"\n", args...) }
	own := s.source != (netip.AddrPort{})
	switch {
	case s.optIn:
		fmt.Fprintf(b, "  # in a connection of its own, where nothing was accepted so far%s\n", offered(s))
	case own:
		fmt.Fprintf(b, "  # in a connection from %s\n", discover.SourceText(s.source))
	case s.needs != "":
		fmt.Fprintf(b, "  # where %s is offered\n", s.needs)
	}
	if s.header != "" {
		line("%s", s.header)
	}
	switch {
	case s.tls:
		line("STARTTLS")
		line("EHLO %s", s.helo)
	case s.helo != helo || s.optIn || own:
		line("EHLO %s", s.helo)
	}
	for _, l := range s.before {
		line("%s", l)
	}
	line("MAIL FROM:<%s>%s", s.from, s.params)
	for _, a := range s.attempts {
		line("RCPT TO:%s", a.To)
	}
	switch p.stopAt() {
	case Accepted:
	case Delivered:
		line("DATA")
		for m := range strings.Lines(string(p.message(s.from, nil, s.attempts[0].Canary))) {
			line("%s", strings.TrimRight(m, "\r\n"))
		}
		line(".")
	default:
		line("DATA")
		b.WriteString("  # at 354 the line is cut: no message exists\n")
	}
	line("RSET")
}

func offered(s *step) string {
	if s.needs == "" {
		return ""
	}
	return ", and " + s.needs + " is offered"
}

// previewRaw writes what is no plain SMTP, where its rows were asked for.
func (p *Prober) previewRaw(b *strings.Builder, t discover.Target) {
	for _, v := range p.vectors() {
		switch {
		case v.ID == "I12":
			b.WriteString("  # where STARTTLS is offered, in one segment (I12)\n  C: STARTTLS\\r\\nNOOP\\r\\n\n")
		case v.ID == "I11" && p.stopAt() >= Delivered:
			fmt.Fprintf(b, "  # once a canary was taken: %d more, each ended by one of these before the true end (I11): %q\n", len(falseEnds), falseEnds)
		case v.ID == "I9" && p.stopAt() >= Delivered:
			b.WriteString("  # where QMTP or QMQP listens: a canary in its form (I9)\n")
		}
	}
	if protocol := qmtpPorts[t.AddrPort().Port()]; protocol != "" {
		fmt.Fprintf(b, "  # where nothing greets: \"1\" and \"x\", each in a connection of its own, to tell %s\n", strings.ToUpper(protocol))
	}
}
