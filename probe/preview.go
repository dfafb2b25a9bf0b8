package probe

import (
	"fmt"
	"slices"
	"strings"

	"relaysweep/discover"
)

// Preview is what a mail server at a target would be sent, byte for byte and in order, if it took every command. What
// only the server can tell stands as a placeholder: {N} its host name, {O} a mail domain, where none is configured.
func (p *Prober) Preview(t discover.Target, vantage string) string {
	n := names{canary: p.Canary.domain(), hosts: []string{"{N}"}, domains: p.Domains, senders: p.Senders, hello: p.HELO, addr: t.AddrPort().Addr()}
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
	helo := n.hello
	for _, s := range slices.Concat(normal, odd) {
		if s.tls {
			line("STARTTLS")
			line("EHLO %s", s.helo)
		} else if s.helo != helo {
			line("EHLO %s", s.helo)
		}
		helo = s.helo
		line("MAIL FROM:<%s>", s.from)
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
	c := p.controls(t.String(), vantage, n)
	b.WriteString("  # once something was accepted: controls, which never go on to DATA\n")
	for _, l := range []string{c.nonsense, c.mail, c.local, c.foreign} {
		line("%s", l)
	}
	line("QUIT")
	return b.String()
}
