package probe_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"relaysweep/probe"
	"relaysweep/probe/smtp"
	"relaysweep/probe/smtp/smtptest"
)

// want is what a finding must be.
type want struct {
	protocol string
	verdict  string
	class    probe.Class
	opened   []string
	reason   string // a part of it
}

func (w want) check(t *testing.T, f probe.Finding) {
	t.Helper()
	if f.Protocol != w.protocol || f.Verdict().String() != w.verdict || f.Class() != w.class || !equal(sorted(f.Opened()), sorted(w.opened)) || !strings.Contains(f.Reason(), w.reason) {
		t.Errorf("got %s, %s, %s, opened by %v (%s), want %s, %s, %s, %v (%s)\n%s", f.Protocol, f.Verdict(), f.Class(), f.Opened(), f.Reason(), w.protocol, w.verdict, w.class, w.opened, w.reason, show(f))
	}
}

func closed() want { return want{protocol: "smtp", verdict: "refused", class: probe.ClosedRelay} }

func open(ids ...string) want {
	return want{protocol: "smtp", verdict: "ready", class: probe.Relay, opened: ids}
}

func unknown(reason string) want {
	return want{protocol: "smtp", verdict: "unknown", class: probe.Undetermined, reason: reason}
}

func notSMTP(protocol, reason string) want {
	return want{protocol: protocol, verdict: "unknown", class: probe.NotSMTP, reason: reason}
}

var everything = func() (ids []string) {
	for _, v := range probe.DefaultVectors() {
		if len(v.To) > 0 && !slices.Contains([]string{"I7", "R20", "R21", "R22", "I13"}, v.ID) { // these need STARTTLS, SMTPUTF8, or more configuration
			ids = append(ids, v.ID)
		}
	}
	return ids
}()

// service is a fake server and what it must be taken for.
type service struct {
	name, dialog string
	want         want
	accepted     string // the verdict at StopAt accepted, where it is not the same as at ready
	answered     bool   // every vector must get a reply
	undropped    bool   // no budget of the server may be spent
	connections  int    // at most; 0: not looked at
	quick        bool   // waits are cut short, as the server is silent somewhere
	mail         bool   // it listens on a mail port
	waits        bool   // it waits for us to speak first, and so we do
}

var services = []service{
	{name: "Postfix with its defaults refuses with 454", dialog: "closed-postfix", want: closed(), answered: true, undropped: true, connections: 6},
	{name: "Exim with its defaults sees every vector", dialog: "closed-exim", want: closed(), answered: true, undropped: true, connections: 6},
	{name: "sendmail bears three introductions a connection", dialog: "closed-sendmail", want: closed(), answered: true, undropped: true},
	{name: "Exchange bears five errors a connection", dialog: "closed-exchange", want: closed(), answered: true},
	{name: "OpenSMTPD bears one introduction a connection", dialog: "closed-opensmtpd", want: closed(), answered: true, undropped: true},
	{name: "a relay for all", dialog: "open-to-all", want: open(everything...), accepted: "accepted", answered: true, undropped: true, connections: 6},
	{name: "an Exim that relays for all", dialog: "open-exim", want: open("S1", "S6", "S7", "S2", "I1", "S4", "S9", "S10", "S8", "R1", "R9", "R12", "R19", "R17"), accepted: "accepted", answered: true, undropped: true, connections: 8},
	{name: "a relay for senders of its domain", dialog: "open-to-senders-of-the-domain", want: open("S6", "S7"), accepted: "accepted", answered: true, undropped: true},
	{name: "a relay for one existing sender", dialog: "open-to-one-sender", want: open("S7"), accepted: "accepted", answered: true},
	{name: "a relay for bounces", dialog: "open-to-bounces", want: open("S2"), accepted: "accepted", answered: true},
	{name: "a relay for senders without a domain", dialog: "open-to-unqualified-senders", want: open("S3"), accepted: "accepted", answered: true},
	{name: "a relay for who is called localhost", dialog: "open-to-a-name", want: open("I1"), accepted: "accepted", answered: true},
	{name: "a relay by a percent sign", dialog: "open-by-percent", want: open("R1", "R16"), accepted: "accepted", answered: true},
	{name: "a relay by a source route", dialog: "open-by-source-route", want: open("R9"), accepted: "accepted", answered: true},
	{name: "a relay by quotes", dialog: "open-by-quotes", want: open("R3"), accepted: "accepted", answered: true},
	{name: "a domain whose every local part exists is no relay by a percent sign", dialog: "catch-all", accepted: "accepted", answered: true, want: want{protocol: "smtp", verdict: "ready", class: probe.CatchAll, opened: []string{"R1", "R7", "R12", "R15", "R16", "R5"}}},
	{name: "a Postfix that hands routes on", dialog: "postfix-hands-routes-on", accepted: "accepted", answered: true, want: open("R1", "R7", "R12", "R15", "R16", "R5")},
	{name: "whether every local part exists could not be asked", dialog: "catch-all-hangs-up", accepted: "accepted", answered: true, want: want{protocol: "smtp", verdict: "ready", class: probe.Undetermined, opened: []string{"R1", "R7", "R12", "R15", "R16", "R5"}}},
	{name: "what is refused at DATA is refused", dialog: "refused-at-data", want: closed(), accepted: "accepted", answered: true},
	{name: "what is refused at DATA without a reason is refused", dialog: "refused-at-data-without-a-word", want: closed(), accepted: "accepted", answered: true},
	{name: "a sink takes a recipient without a sender", dialog: "sink", want: want{protocol: "smtp", verdict: "ready", class: probe.Sink, opened: everything}, accepted: "accepted", answered: true},
	{name: "a submission service relays after AUTH", dialog: "auth-only", want: want{protocol: "smtp", verdict: "refused", class: probe.AuthOnly}, answered: true},
	{name: "Postfix' submission service says so in other words", dialog: "auth-only-postfix", want: want{protocol: "smtp", verdict: "refused", class: probe.AuthOnly}, answered: true},
	{name: "STARTTLS is required, and inside is a relay", dialog: "starttls-required-open", want: open(everything...), accepted: "accepted", answered: true},
	{name: "STARTTLS is required, and inside is none", dialog: "starttls-required-closed", want: closed(), answered: true},
	{name: "STARTTLS is required at RCPT, and inside is none", dialog: "starttls-required-at-rcpt", want: closed(), answered: true},
	{name: "a relay inside TLS alone", dialog: "open-after-starttls", want: open("I7"), accepted: "accepted", answered: true},
	{name: "a reply injected behind STARTTLS decides nothing", dialog: "starttls-injected", want: unknown("data before handshake"), quick: true},
	{name: "STARTTLS that does not work is unknown", dialog: "starttls-broken", want: unknown("STARTTLS refused")},
	{name: "TLS from the first byte, and inside is a relay", dialog: "implicit-tls-open", want: want{protocol: "smtps", verdict: "ready", class: probe.Relay, opened: everything}, accepted: "accepted", answered: true, quick: true, mail: true},
	{name: "TLS from the first byte, and inside is none", dialog: "implicit-tls-closed", want: want{protocol: "smtps", verdict: "refused", class: probe.ClosedRelay}, answered: true, quick: true, mail: true},
	{name: "a server older than EHLO", dialog: "helo-only", want: open(everything...), accepted: "accepted", answered: true},
	{name: "a server that hangs up on EHLO is greeted with HELO", dialog: "hangs-up-on-ehlo", want: open(everything...), accepted: "accepted", answered: true},
	{name: "a mail server that hangs up on every introduction", dialog: "hangs-up-on-any-hello", want: unknown("refused because of the scanner")},
	{name: "a mail server that refuses every introduction", dialog: "refuses-any-hello", want: unknown("refused because of the scanner")},
	{name: "a server that hangs up after two refusals sees every vector", dialog: "two-refusals-and-out", want: open("S7"), accepted: "accepted", answered: true},
	{name: "a closed server that hangs up after two refusals sees every vector", dialog: "two-refusals-and-out-closed", want: closed(), answered: true},
	{name: "a server without RSET is introduced to again", dialog: "no-rset", want: closed(), answered: true},
	{name: "a server without RSET that takes one EHLO", dialog: "no-rset-one-ehlo", want: closed(), answered: true},
	{name: "a server that hangs up on each refusal", dialog: "one-refusal-and-out", want: closed(), connections: 64},
	{name: "a server that hangs up on a recipient", dialog: "hangs-up-on-rcpt", want: unknown("stopped after 16 attempts in a row without an answer")},
	{name: "lines end in LF alone", dialog: "bare-lf", want: closed(), answered: true},
	{name: "each command is answered twice", dialog: "two-replies", want: closed(), answered: true},
	{name: "an endless reply to EHLO", dialog: "endless-ehlo", want: unknown("reply exceeds a limit")},
	{name: "garbage after MAIL", dialog: "garbage-after-mail", want: unknown("stopped after 16 attempts in a row without an answer")},
	{name: "354 to RCPT is no acceptance", dialog: "says-354-to-rcpt", want: unknown("stopped after 16 attempts in a row without an answer")},
	{name: "250 to DATA is no 354", dialog: "says-250-to-data", want: unknown("250 2.0.0 Ok"), accepted: "accepted"},
	{name: "a scanner on a list learns nothing", dialog: "blocklisted", want: unknown("refused because of the scanner")},
	{name: "a scanner whose domain is not found learns nothing", dialog: "sender-domain-unknown", want: unknown("refused because of the scanner")},
	{name: "a server that greylists for ever", dialog: "greylisting", want: unknown("greylisted")},
	{name: "554 at connect is a mail server", dialog: "refused-at-connect-554", want: unknown("refused at connect: 554 5.7.1 fake.example No SMTP service here")},
	{name: "421 at connect is a mail server", dialog: "refused-at-connect-421", want: unknown("refused at connect: 421 4.3.2")},

	{name: "silence", dialog: "silent", want: notSMTP("unknown", "silent: the connection opens and nothing is said"), quick: true, mail: true, waits: true},
	{name: "SSH", dialog: "ssh", want: notSMTP("ssh", "")},
	{name: "FTP", dialog: "ftp", want: notSMTP("ftp", "")},
	{name: "FTP that does not say so", dialog: "ftp-without-a-name", want: notSMTP("unknown", "greets with 220 and answers neither EHLO nor HELO")},
	{name: "HTTP with a 250 in the page", dialog: "http", want: notSMTP("http", ""), quick: true, mail: true, waits: true},
	{name: "IMAP", dialog: "imap", want: notSMTP("imap", "")},
	{name: "POP3", dialog: "pop3", want: notSMTP("pop3", "")},
	{name: "MySQL", dialog: "mysql", want: notSMTP("mysql", ""), quick: true, mail: true, waits: true},
	{name: "LMTP", dialog: "lmtp", want: notSMTP("lmtp", "it answers LHLO")},
	{name: "220 and then the end", dialog: "ready-then-close", want: notSMTP("unknown", "")},
	{name: "binary", dialog: "binary", want: notSMTP("unknown", "")},
	{name: "echo", dialog: "echo", want: notSMTP("unknown", ""), quick: true, mail: true, waits: true},
	{name: "chargen", dialog: "chargen", want: notSMTP("unknown", "")},
	{name: "daytime", dialog: "daytime", want: notSMTP("unknown", "")},
	{name: "closes at once", dialog: "closes-at-once", want: notSMTP("unknown", "is closed at once")},
	{name: "resets at once", dialog: "resets-at-once", want: notSMTP("unknown", "is closed at once")},
	{name: "a server that greets nobody", dialog: "answers-without-a-greeting", want: notSMTP("unknown", "it greets nobody, and answers EHLO"), quick: true, mail: true, waits: true},
}

// prober for one service at an address.
func (s service) prober(port uint16) *probe.Prober {
	p := prober()
	p.MailPorts = []uint16{25}
	if s.mail {
		p.MailPorts = []uint16{port}
	}
	if s.quick {
		p.Limits = smtp.Limits{Greeting: 300 * time.Millisecond, Reply: 600 * time.Millisecond, Handshake: time.Second, Settle: 20 * time.Millisecond}
	}
	return p
}

// probed is what a service is found to be, after the laws were checked, and what it saw. change may be nil.
func (s service) probed(t *testing.T, change func(*probe.Prober)) (probe.Finding, *smtptest.Server) {
	t.Helper()
	server := smtptest.Start(t, dialog(t, s.dialog))
	p := s.prober(server.Addr().Port())
	if change != nil {
		change(p)
	}
	f, err := look(t, p, server.Addr())
	if err != nil {
		t.Fatalf("got error %v: what a server does is no error", err)
	}
	server.Wait(f.Connections)
	score := server.Score()
	if s.waits {
		score.Early = 0
	}
	lawful(t, p, score)
	return f, server
}

// found checks that a finding is what it must be, with an answer to every attempt where there must be one, and that its
// transcripts replay.
func (s service) found(t *testing.T, f probe.Finding) {
	t.Helper()
	s.want.check(t, f)
	if missed := unanswered(f); s.answered && len(missed) > 0 {
		t.Errorf("%d attempts got no answer: %v\n%s", len(missed), missed, show(f))
	}
	t.Logf("%d connections, %d commands, %d attempts, %s", f.Connections, f.Commands, len(f.Attempts), f.Reason())
	replays(t, s, f)
}

func TestServices(t *testing.T) {
	t.Parallel()
	for _, s := range services {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			f, server := s.probed(t, nil)
			s.found(t, f)
			score := server.Score()
			if s.undropped && score.Dropped > 0 {
				t.Errorf("spent a budget of the server %d times\n%s", score.Dropped, show(f))
			}
			if s.connections > 0 && f.Connections > s.connections {
				t.Errorf("%d connections, want at most %d\n%s", f.Connections, s.connections, show(f))
			}
			if score.Connections != f.Connections {
				t.Errorf("booked %d connections, the server saw %d", f.Connections, score.Connections)
			}
			if n := len(f.Attempts); n > 20 && f.Commands > 5*n {
				t.Errorf("%d commands for %d attempts, want at most five each", f.Commands, n)
			}
			if len(f.Sessions) != f.Connections {
				t.Errorf("kept %d sessions of %d connections", len(f.Sessions), f.Connections)
			}
			for _, session := range f.Sessions {
				if _, err := smtptest.Parse("session", strings.NewReader(session.Transcript)); err != nil {
					t.Errorf("%v:\n%s", err, session.Transcript)
				}
			}
		})
	}
}
