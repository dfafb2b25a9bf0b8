package probe_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"relaysweep/probe"
	"relaysweep/probe/smtp/smtptest"
)

// behindLogin is a server that relays only after a command, or never.
func behindLogin(offers, command, answer, then string) string {
	if then == "" {
		then = "250 2.1.5 ok"
	}
	in := "= set in\n"
	if answer[0] > '3' {
		in = ""
	}
	if strings.HasPrefix(command, "AUTH CRAM") { // one line follows; LOGIN has two
		in += "= set user\n"
	}
	return strings.NewReplacer("OFFERS", offers, "COMMAND", command, "ANSWER", answer, "THEN", then, "= in\n", in).Replace(`= any order
S: 220 mx.org.example ESMTP
C: EHLO *
S: 250-mx.org.example
S: 250-AUTH OFFERS
S: 250 XCLIENT ADDR NAME
C: COMMAND
S: ANSWER
= in
C: MAIL FROM:*
S: 250 2.1.0 ok
C: RCPT TO:*
= if in
S: THEN
C: RCPT TO:*
S: 550 5.7.1 Relaying denied
C: DATA
= if in
S: 354 go on
C: RSET
S: 250 ok
C: QUIT
S: 221 bye
= close
C: *
= if in
= if not user
S: 334 UGFzc3dvcmQ6
= set user
C: *
= if in
S: 235 2.7.0 ok
`)
}

// Rows that reach beyond asking are tried where they were asked for by name, once, and in connections of their own.
func TestOptIn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		offers  string
		accept  string // the command after which it relays
		answer  string
		then    string // what relaying looks like; empty: it does
		words   []string
		opened  []string
		tried   []string // opt-in forms that reached the server
		verdict probe.Verdict
	}{
		{name: "any password", offers: "PLAIN LOGIN", accept: "AUTH PLAIN *", answer: "235 2.7.0 ok", words: []string{"+auth"}, opened: []string{"I3"}, tried: []string{"I3"}, verdict: probe.Ready},
		{name: "any password, LOGIN alone", offers: "LOGIN", accept: "AUTH LOGIN", answer: "334 VXNlcm5hbWU6", words: []string{"+auth"}, opened: []string{"I3"}, tried: []string{"I3.2"}, verdict: probe.Ready},
		{name: "any answer to CRAM-MD5", offers: "CRAM-MD5", accept: "AUTH CRAM-MD5", answer: "334 PDEyMz4=", words: []string{"+auth"}, opened: []string{"I2"}, tried: []string{"I2"}, verdict: probe.Ready},
		{name: "anonymous", offers: "ANONYMOUS", accept: "AUTH ANONYMOUS *", answer: "235 ok", words: []string{"+auth"}, opened: []string{"I4"}, tried: []string{"I4"}, verdict: probe.Ready},
		{name: "anonymous is let in and may not relay", offers: "ANONYMOUS", accept: "AUTH ANONYMOUS *", answer: "235 ok", then: "550 5.7.1 Relaying denied", words: []string{"+auth"}, tried: []string{"I4"}, verdict: probe.Refused},
		{name: "passwords are checked", offers: "PLAIN LOGIN", accept: "AUTH PLAIN *", answer: "535 5.7.8 no", words: []string{"+auth"}, tried: []string{"I3"}, verdict: probe.Refused},
		{name: "passwords cannot be checked", offers: "PLAIN", accept: "AUTH PLAIN *", answer: "454 4.7.0 later", words: []string{"+auth"}, tried: []string{"I3"}, verdict: probe.Unknown},
		{name: "XCLIENT", offers: "PLAIN", accept: "XCLIENT ADDR=127.0.0.1", answer: "220 mx.org.example ESMTP", words: []string{"+xclient"}, opened: []string{"I5"}, tried: []string{"I5"}, verdict: probe.Ready},
		{name: "XCLIENT is refused", offers: "PLAIN", accept: "XCLIENT *", answer: "550 5.7.0 insufficient authorization", words: []string{"+xclient"}, tried: []string{"I5"}, verdict: probe.Refused},
		{name: "not asked for", offers: "PLAIN LOGIN ANONYMOUS CRAM-MD5", accept: "AUTH PLAIN *", answer: "235 ok", verdict: probe.Refused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := &smtptest.Server{Dialog: smtptest.MustParse(behindLogin(tt.offers, tt.accept, tt.answer, tt.then))}
			server.Start(t)
			p := prober()
			p.Vectors = selected(t, tt.words...)
			f, err := look(t, p, server.Addr())
			if err != nil {
				t.Fatal(err)
			}
			server.Wait(f.Connections)
			lawful(t, p, server.Score())
			if f.Verdict() != tt.verdict || !equal(f.Opened(), tt.opened) {
				t.Errorf("got %s by %v, want %s by %v\n%s", f.Verdict(), f.Opened(), tt.verdict, tt.opened, show(f))
			}
			var tried []string
			for _, a := range f.Attempts {
				if a.OptIn {
					tried = append(tried, a.Form)
				}
			}
			if !equal(tried, tt.tried) {
				t.Errorf("tried %v, want %v", tried, tt.tried)
			}
			for _, lines := range server.Score().PerConnection {
				n := 0
				for _, l := range lines {
					if strings.HasPrefix(l, "AUTH ") || strings.HasPrefix(l, "XCLIENT ") {
						n++
					}
				}
				if n > 1 {
					t.Errorf("%d tries in one connection", n)
				}
			}
		})
	}
}

// A listener behind a load balancer says nothing without a PROXY header, and believes any.
func TestProxyHeader(t *testing.T) {
	t.Parallel()
	server := &smtptest.Server{Dialog: dialog(t, "proxy-protocol")}
	server.Start(t)
	for _, tt := range []struct {
		words  []string
		want   want
		behind bool
	}{
		{nil, notSMTP("unknown", "closed at once"), false},
		{[]string{"+proxy"}, open("I6"), true},
	} {
		p := prober()
		p.Limits.Greeting, p.MailPorts = 200e6, []uint16{server.Addr().Port()}
		p.Vectors = selected(t, tt.words...)
		f, err := look(t, p, server.Addr())
		if err != nil {
			t.Fatal(err)
		}
		tt.want.check(t, f)
		if (f.Behind != "") != tt.behind {
			t.Errorf("%v: behind %q", tt.words, f.Behind)
		}
	}
}

// A server that knows no PROXY header takes it for a command. That is no relay, and the rest of the test is not touched.
func TestProxyHeaderUnknown(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"closed-postfix", "closed-exim", "closed-opensmtpd", "implicit-tls-closed", "starttls-required-closed"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := &smtptest.Server{Dialog: dialog(t, name)}
			server.Start(t)
			p := prober()
			if name == "implicit-tls-closed" {
				p.Limits.Greeting, p.MailPorts = 200e6, []uint16{server.Addr().Port()}
			}
			p.Vectors = selected(t, "+proxy", "+xclient", "+auth")
			f, err := look(t, p, server.Addr())
			if err != nil {
				t.Fatal(err)
			}
			if f.Verdict() != probe.Refused || f.Cut != "" {
				t.Errorf("got %s, %q, want refused\n%s", f.Verdict(), f.Cut, show(f))
			}
			if i := slices.IndexFunc(f.Attempts, func(a probe.Attempt) bool { return a.Vector == "I6" }); i < 0 {
				t.Error("I6 was not tried")
			}
		})
	}
}

// S1 is tried from each further source.
func TestSources(t *testing.T) {
	t.Parallel()
	server := smtptest.Start(t, dialog(t, "closed-postfix"))
	p := prober()
	p.Sources = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.9:0"), netip.MustParseAddrPort("[::1]:0")}
	f, err := look(t, p, server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, a := range f.Attempts {
		if a.Vector == "I13" {
			n++
			if a.Source != "127.0.0.9" || a.Verdict() != probe.Refused {
				t.Errorf("from %q: %s", a.Source, a.Reason())
			}
		}
	}
	if n != 1 || f.Verdict() != probe.Refused {
		t.Errorf("%d attempts from further sources, want 1; %s", n, f.Verdict())
	}
}

// A listener that turns everyone away who comes without a PROXY header is tried with one, and a busy server is waited
// for as without the row.
func TestProxyHeaderBehindRefusal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		words       []string
		connections []string // the dialog of each; the last one is that of all others
		want        want
		behind      bool
	}{
		{"421 to who has no header", []string{"+proxy"}, []string{"refused-at-connect-421", "proxy-protocol"}, open("I6"), true},
		{"554 to who has no header", []string{"+proxy"}, []string{"refused-at-connect-554", "proxy-protocol"}, open("I6"), true},
		{"a header was not asked for", nil, []string{"refused-at-connect-554", "proxy-protocol"}, unknown("refused at connect: 554"), false},
		{"busy for a while, with a header and without", []string{"+proxy"}, []string{"refused-at-connect-421", "refused-at-connect-421", "refused-at-connect-421", "closed-postfix"}, closed(), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st := inOrder(t, tt.connections...)
			p := prober()
			p.Vectors = selected(t, tt.words...)
			f, err := look(t, p, st.addr())
			if err != nil {
				t.Fatal(err)
			}
			tt.want.check(t, f)
			if (f.Behind != "") != tt.behind {
				t.Errorf("behind %q\n%s", f.Behind, show(f))
			}
			for i, score := range st.scores() {
				without := 0
				for _, connection := range score.PerConnection {
					if len(connection) > 0 && !strings.HasPrefix(connection[0], "PROXY TCP4 ") {
						without++
					}
				}
				if tt.behind && tt.connections[i] == "proxy-protocol" && without > 0 {
					t.Errorf("%d connections begin without a header", without)
				}
			}
		})
	}
}

// offering is a closed server that offers extensions in clear and others inside TLS; without the latter it offers no TLS.
func offering(clear, inside string) *smtptest.Dialog {
	hello := "C: EHLO *\nS: 250-mx.org.example\nS: 250 " + clear + "\n"
	if inside != "" {
		hello = offers(clear, inside)
	}
	return closedBut("mx.org.example ESMTP Postfix (3.9.1)", hello+"C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: AUTH *\nS: 535 5.7.8 no\nC: XCLIENT *\nS: 550 5.7.0 no\n")
}

// With all rows of the table, no connection is made for one whose extension is not offered: each that is offered takes
// one of its own, and no more.
func TestRowsNotOffered(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		clear, inside string
		tried         []string // opt-in forms, beside I6, which needs no extension
		tls           bool     // they are tried there
	}{
		{name: "nothing is offered", clear: "8BITMIME"},
		{name: "nothing is offered, inside TLS neither", clear: "8BITMIME", inside: "8BITMIME"},
		{name: "a mechanism that no row asks for", clear: "AUTH GSSAPI"},
		{name: "AUTH PLAIN", clear: "AUTH PLAIN LOGIN", tried: []string{"I3"}},
		{name: "AUTH LOGIN", clear: "AUTH LOGIN", tried: []string{"I3.2"}},
		{name: "AUTH ANONYMOUS and CRAM-MD5", clear: "AUTH ANONYMOUS CRAM-MD5", tried: []string{"I2", "I4"}},
		{name: "XCLIENT", clear: "XCLIENT ADDR NAME", tried: []string{"I5"}},
		{name: "AUTH PLAIN inside TLS", clear: "8BITMIME", inside: "AUTH PLAIN", tried: []string{"I3"}, tls: true},
		{name: "another mechanism inside TLS", clear: "AUTH ANONYMOUS", inside: "AUTH GSSAPI", tried: []string{"I4"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var connections [2]int
			for i, words := range [][]string{{"default", "+proxy"}, {"all", "-injection"}} {
				server := smtptest.Start(t, offering(tt.clear, tt.inside))
				p := prober()
				p.Vectors = selected(t, words...)
				f, err := look(t, p, server.Addr())
				if err != nil {
					t.Fatal(err)
				}
				closed().check(t, f)
				server.Wait(f.Connections)
				connections[i] = server.Score().Connections
				if i == 0 {
					continue
				}
				var tried []string
				for _, a := range f.Attempts {
					if !a.OptIn || a.Vector == "I6" {
						continue
					}
					tried = append(tried, a.Form)
					if a.TLS != tt.tls {
						t.Errorf("%s: TLS %t, want %t", a.Form, a.TLS, tt.tls)
					}
				}
				if !equal(tried, tt.tried) {
					t.Errorf("tried %v, want %v\n%s", tried, tt.tried, show(f))
				}
			}
			if want := connections[0] + len(tt.tried); connections[1] != want {
				t.Errorf("%d connections, want the %d of the default and %d more", connections[1], connections[0], len(tt.tried))
			}
		})
	}
}

// Where a server wants STARTTLS before anything, another source is tried inside TLS as well, and not in clear first.
func TestSourcesInTLS(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		dialog  string
		verdict probe.Verdict // of I13
	}{
		{"starttls-required-closed", probe.Refused},
		{"starttls-required-open", probe.Accepted}, // 354 was seen for S1
	} {
		t.Run(tt.dialog, func(t *testing.T) {
			t.Parallel()
			server := smtptest.Start(t, dialog(t, tt.dialog))
			p := prober()
			p.Sources = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.9:0")}
			f, err := look(t, p, server.Addr())
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(f.Attempts, func(a probe.Attempt) bool { return a.Vector == "I13" })
			if i < 0 {
				t.Fatalf("I13 was not tried\n%s", show(f))
			}
			if a := f.Attempts[i]; !a.TLS || a.Source != "127.0.0.9" || a.Verdict() != tt.verdict {
				t.Errorf("got %s from %q, TLS %t (%s), want %s from 127.0.0.9 inside TLS\n%s", a.Verdict(), a.Source, a.TLS, a.Reason(), tt.verdict, show(f))
			}
			server.Wait(f.Connections)
			lawful(t, p, server.Score())
			inClear := 0
			for _, answers := range server.Answers() {
				for _, a := range answers {
					if strings.HasPrefix(a.Reply, "530 ") {
						inClear++
					}
				}
			}
			if inClear != 1 {
				t.Errorf("was told %d times to say STARTTLS first, want once", inClear)
			}
		})
	}
}
