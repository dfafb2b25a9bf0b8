package probe_test

import (
	"strings"
	"testing"
	"time"

	"relaysweep/probe"
	"relaysweep/probe/smtp/smtptest"
	"relaysweep/ratelimit"
)

// lines counts what a server was sent.
func lines(s smtptest.Score, prefix string) (n int) {
	for _, line := range s.Commands {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

// Where the operator wants it, a server is asked which of the senders exist: those that it knows are forged first, and
// those that it does not know are not. What it costs in refusals is counted.
func TestVRFY(t *testing.T) {
	t.Parallel()
	seven := []string{"a@org.example", "b@org.example", "c@org.example", "d@org.example", "e@org.example", "f@org.example", "g@org.example"}
	const mixed = `C: VRFY b@*
S: 550 5.1.1 no such user
C: VRFY c@*
S: 250 2.0.0 c@org.example
C: VRFY d@*
S: 551 5.1.6 not here
C: VRFY e@*
S: 553 5.1.3 ambiguous
C: VRFY *
S: 252 2.0.0 cannot say
`
	for _, tt := range []struct {
		name   string
		blocks string
		off    bool
		gentle bool
		asked  int
		forged string // senders, in order
	}{
		{name: "some are known, and some are not", blocks: mixed, asked: 5, forged: "c a f g"},
		{name: "none is known", blocks: "C: VRFY *\nS: 550 5.1.1 no such user\n", asked: 5, forged: "f g"},
		{name: "it does not say", blocks: "C: VRFY *\nS: 252 2.0.0 cannot say\n", asked: 5, forged: "a b c d e f g"},
		{name: "VRFY is not known", blocks: "C: VRFY *\nS: 502 5.5.1 what?\n", asked: 3, forged: "a b c d e f g"},
		{name: "it hangs up on the second", blocks: "C: VRFY a@*\nS: 250 ok\nC: VRFY *\nS: 421 4.7.0 too many\n= close\n", asked: 2, forged: "a b c d e f g"},
		{name: "nobody wants it", blocks: mixed, off: true, forged: "a b c d e f g"},
		{name: "a gentle scan does not ask", blocks: mixed, gentle: true, forged: "a b c d e f g"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := smtptest.Start(t, closedBut("mx.org.example ESMTP", tt.blocks))
			p := prober()
			p.VRFY, p.Senders = !tt.off, seven
			if tt.gentle {
				p.Gentle = ratelimit.NewWindow(4, 10*time.Minute)
			}
			f, err := look(t, p, server.Addr())
			if err != nil {
				t.Fatal(err)
			}
			closed().check(t, f)
			server.Wait(f.Connections)
			score := server.Score()
			lawful(t, p, score)
			thrifty(t, score.PerConnection)
			bearable(t, server.Answers())
			if n := lines(score, "VRFY "); n != tt.asked {
				t.Errorf("asked %d times, want %d\n%s", n, tt.asked, show(f))
			}
			var forged []string
			for _, a := range f.Attempts {
				if local, own := strings.CutSuffix(a.From, "@"+ownDomain); a.Vector == "S7" && own && len(local) == 1 {
					forged = append(forged, local)
				}
			}
			if got := strings.Join(forged, " "); got != tt.forged {
				t.Errorf("forged %q, want %q", got, tt.forged)
			}
		})
	}
}

// HELP is asked where the greeting does not tell product and version, once, and what it tells is kept.
func TestHELP(t *testing.T) {
	t.Parallel()
	const sendmail = "C: HELP\nS: 214-2.0.0 This is sendmail version 8.17.1\nS: 214 2.0.0 End of HELP info\n"
	for _, tt := range []struct {
		name     string
		greeting string
		blocks   string
		gentle   bool
		asked    int
		help     string
		product  string
	}{
		{name: "the greeting tells nothing", greeting: "mx.org.example ESMTP", blocks: sendmail, asked: 1, help: "2.0.0 This is sendmail version 8.17.1\n2.0.0 End of HELP info", product: "Sendmail 8.17.1"},
		{name: "the greeting tells the product alone", greeting: "mx.org.example ESMTP Postfix", blocks: sendmail, asked: 1, help: "2.0.0 This is sendmail version 8.17.1\n2.0.0 End of HELP info", product: "Postfix "},
		{name: "the greeting tells both", greeting: "mx.org.example ESMTP Exim 4.98.2 Tue, 03 Jun 2025 10:00:00 +0000", blocks: sendmail, product: "Exim 4.98.2"},
		{name: "211 is help as well", greeting: "mx.org.example ESMTP", blocks: "C: HELP\nS: 211 see the manual\n", asked: 1, help: "see the manual", product: " "},
		{name: "another 2yz is none", greeting: "mx.org.example ESMTP", blocks: "C: HELP\nS: 250 sendmail 8.17.1\n", asked: 1, product: " "},
		{name: "there is none", greeting: "mx.org.example ESMTP", blocks: "C: HELP\nS: 502 5.5.1 no\n", asked: 1, product: " "},
		{name: "it hangs up", greeting: "mx.org.example ESMTP", blocks: "C: HELP\n= close\n", asked: 1, product: " "},
		{name: "a gentle scan does not ask", greeting: "mx.org.example ESMTP", blocks: sendmail, gentle: true, product: " "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := smtptest.Start(t, closedBut(tt.greeting, tt.blocks))
			p := prober()
			if tt.gentle {
				p.Gentle = ratelimit.NewWindow(4, 10*time.Minute)
			}
			f, err := look(t, p, server.Addr())
			if err != nil {
				t.Fatal(err)
			}
			closed().check(t, f)
			server.Wait(f.Connections)
			if n := lines(server.Score(), "HELP"); n != tt.asked {
				t.Errorf("asked %d times, want %d", n, tt.asked)
			}
			bearable(t, server.Answers())
			if got := strings.Join(f.Help, "\n"); got != tt.help {
				t.Errorf("help: got %q, want %q", got, tt.help)
			}
			if got := f.Service.Product + " " + f.Service.Version; got != tt.product {
				t.Errorf("got %q, want %q", got, tt.product)
			}
		})
	}
}

// trusting is a relay for all that it trusts; the answers are those to what the controls ask.
func trusting(local, foreign, otherHello, otherMail, otherRcpt string) *smtptest.Dialog {
	return closedBut("mx.org.example ESMTP", strings.NewReplacer("LOCAL", local, "FOREIGN", foreign, "HELLO", otherHello, "MAIL2", otherMail, "RCPT2", otherRcpt).Replace(`C: EHLO *.invalid
S: HELLO
= set other
C: EHLO *
S: 250 mx.org.example
= clear other
= clear mail
C: MAIL FROM:*
= if other
S: MAIL2
= set mail
C: MAIL FROM:*
S: 250 2.1.0 ok
= set mail
C: RCPT TO:*
= if not mail
S: 503 5.5.1 need MAIL
C: RCPT TO:*
= if other
S: RCPT2
C: RCPT TO:<rs-*@org.example>
S: LOCAL
C: RCPT TO:<*.invalid>
S: FOREIGN
C: RCPT TO:*
S: 250 2.1.5 ok
C: RSET
S: 250 ok
= clear mail
`))
}

// Of a relay is asked whether it relays for another name and sender, and whether it takes everything: the reason says
// what that shows.
func TestControls(t *testing.T) {
	t.Parallel()
	const (
		hello  = "250 mx.org.example"
		ok     = "250 2.1.0 ok"
		nobody = "550 5.1.1 User unknown"
		denied = "550 5.7.1 Relaying denied"
		trusts = "; it refused another name and sender, so it trusts ours: 550 5.7.1 Relaying denied"
		sink   = "; it takes every address, so it may be a sink: only a delivery can tell"
		plain  = "S1: DATA was answered 354"
	)
	for _, tt := range []struct {
		name                             string
		local, foreign                   string
		otherHello, otherMail, otherRcpt string
		other                            string // the reply that is kept
		suspected                        probe.Class
		reason                           string
	}{
		{"it relays for everyone", nobody, ok, hello, ok, ok, ok, "", plain},
		{"it refuses another's recipient", nobody, ok, hello, ok, denied, denied, "", plain + trusts},
		{"it refuses another's sender for relaying", nobody, ok, hello, "550 5.7.1 Relaying denied", ok, denied, "", plain + trusts},
		{"it refuses another's sender", nobody, ok, hello, "553 5.1.8 sender domain not found", ok, "553 5.1.8 sender domain not found", "", plain},
		{"it greylists another", nobody, ok, hello, ok, "450 4.2.0 Greylisted, try again later", "450 4.2.0 Greylisted, try again later", "", plain},
		{"it refuses another's name", nobody, ok, "550 5.7.1 bad name", ok, ok, "", "", plain},
		{"it takes every address", ok, ok, hello, ok, ok, ok, probe.Sink, plain + sink},
		{"it takes every address from us", ok, ok, hello, ok, denied, denied, probe.Sink, plain + sink},
		{"it takes every local name, and not every domain", ok, "550 5.1.2 host not found", hello, ok, ok, ok, "", plain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := smtptest.Start(t, trusting(tt.local, tt.foreign, tt.otherHello, tt.otherMail, tt.otherRcpt))
			p := prober()
			p.Vectors = selected(t, "S1")
			f, err := look(t, p, server.Addr())
			if err != nil {
				t.Fatal(err)
			}
			open("S1").check(t, f)
			server.Wait(f.Connections)
			lawful(t, p, server.Score())
			if f.RandomLocal.String() != tt.local || f.RandomForeign.String() != tt.foreign || f.OtherIdentity.String() != tt.other {
				t.Errorf("controls: got %q, %q, %q, want %q, %q, %q", f.RandomLocal, f.RandomForeign, f.OtherIdentity, tt.local, tt.foreign, tt.other)
			}
			if f.Suspected() != tt.suspected {
				t.Errorf("suspected: got %q, want %q", f.Suspected(), tt.suspected)
			}
			if f.Reason() != tt.reason {
				t.Errorf("got reason %q, want %q", f.Reason(), tt.reason)
			}
		})
	}
}
