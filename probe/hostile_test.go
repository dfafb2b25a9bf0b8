package probe_test

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/probe/smtp/smtptest"
)

// What the senders' and the recipients' forms find where a server checks neither.
var anySender = []string{"S1", "S6", "S7", "S2", "I1", "S4", "S9", "S10", "S8"}

// products are servers that no package gives, and misbehaviour seen in the field.
var products = []service{
	{name: "Exchange with an anonymous connector for all", dialog: "open-exchange", want: open(append([]string{"R1", "R12", "R19"}, anySender...)...), accepted: "accepted", answered: true},
	{name: "MailEnable says 503 to who has not authenticated", dialog: "closed-mailenable", want: want{protocol: "smtp", verdict: "refused", class: probe.AuthOnly}, answered: true},
	{name: "hMailServer decides by recipient", dialog: "closed-hmailserver", want: want{protocol: "smtp", verdict: "refused", class: probe.AuthOnly}, answered: true},
	{name: "hMailServer relays for a forged local sender", dialog: "open-hmailserver", want: open("S6", "S7"), accepted: "accepted", answered: true},
	{name: "Domino refuses for policy reasons", dialog: "closed-domino", want: closed(), answered: true},
	{name: "Domino without relay controls", dialog: "open-domino", want: open(append([]string{"R1", "R7", "R9", "R12", "R19", "R18", "R2", "R8", "R10", "R13", "R3", "R4", "R5", "R6", "R11", "R14", "S3", "S5"}, anySender...)...), accepted: "accepted", answered: true},
	{name: "qmail that takes all and bounces later", dialog: "qmail-bounces-later", want: open(everything...), accepted: "accepted", answered: true},
	{name: "a server behind a PIX", dialog: "behind-a-pix", want: closed(), answered: true},
	{name: "control bytes everywhere", dialog: "control-bytes", want: closed(), answered: true},
	{name: "answers before it is asked", dialog: "greets-with-its-ehlo", want: closed(), answered: true},
	{name: "answers RCPT before it comes, and then not", dialog: "answers-rcpt-before-it-comes", want: unknown("stopped after 16 attempts in a row without an answer")},
	{name: "a TLS handshake that hangs", dialog: "starttls-hangs", want: unknown("TLS handshake failed"), quick: true},
	{name: "a reply in many segments", dialog: "byte-by-byte", want: closed(), answered: true},
	{name: "no time at DATA", dialog: "busy-at-data", want: unknown("limit reached"), accepted: "accepted"},
	{name: "no time at the second MAIL of a connection", dialog: "busy-at-mail", want: closed()},
	{name: "reset after MAIL", dialog: "resets-after-mail", want: unknown("stopped after 16 attempts in a row without an answer")},
	{name: "250 to everything", dialog: "says-250-to-everything", want: unknown("250 2.0.0 Ok"), accepted: "accepted"},
	{name: "a greeting of sixty lines", dialog: "greeting-of-sixty-lines", want: closed(), answered: true},
	{name: "a greeting that comes late", dialog: "greets-late", want: closed(), answered: true},
}

// Each gives its finding, the laws hold, and the transcripts replay.
func TestProducts(t *testing.T) {
	t.Parallel()
	for _, s := range products {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			f, _ := s.probed(t, nil)
			s.found(t, f)
		})
	}
}

// The laws hold of every server that there is a dialog of: what a connection bears is not exceeded, an attempt is called
// refused only where the server refused it, and what is kept is bounded.
func TestLawsOfAllDialogs(t *testing.T) {
	t.Parallel()
	for _, s := range slices.Concat(services, products) {
		for _, stop := range []probe.Verdict{probe.Ready, probe.Delivered} {
			t.Run(s.dialog+", "+stop.String(), func(t *testing.T) {
				t.Parallel()
				f, server := s.probed(t, func(p *probe.Prober) { p.StopAt = stop })
				score, answers := server.Score(), server.Answers()
				if score.Connections > 64 {
					t.Errorf("%d connections, want at most 64", score.Connections)
				}
				thrifty(t, score.PerConnection)
				bearable(t, answers)
				refusedByIt(t, f, answers)
				bounded(t, f, maxFinding)
			})
		}
	}
}

// bearable checks the budgets that only a server's replies tell: refusals and syntax errors in one connection.
func bearable(t *testing.T, connections [][]smtptest.Answer) {
	t.Helper()
	for _, answers := range connections {
		refused, syntax := 0, 0
		for _, a := range answers {
			verb, _, _ := strings.Cut(a.Line, " ")
			if !slices.Contains([]string{"EHLO", "HELO", "MAIL", "RCPT", "DATA", ".", "RSET", "HELP", "VRFY", "STARTTLS"}, verb) || a.Reply < "400" {
				continue
			}
			refused++
			if code := a.Reply[:3]; code >= "500" && code <= "504" && code != "503" || code == "555" { // 503 is a policy with some
				syntax++
			}
		}
		if refused > 10 || syntax > 3 {
			t.Errorf("%d refusals, %d syntax errors in one connection, want at most 10 and 3:\n%s", refused, syntax, turnsOf(answers))
		}
	}
}

func turnsOf(answers []smtptest.Answer) string {
	var b strings.Builder
	for _, a := range answers {
		b.WriteString("  " + a.Line + "  ->  " + a.Reply + "\n")
	}
	return b.String()
}

// refusedByIt checks that each attempt that is called refused was refused, by a reply to its own lines.
func refusedByIt(t *testing.T, f probe.Finding, connections [][]smtptest.Answer) {
	t.Helper()
	for i := range f.Attempts {
		a := &f.Attempts[i]
		if a.Verdict() != probe.Refused || a.Vector == "I6" { // no PROXY header is taken: it hung up on it
			continue
		}
		if !slices.ContainsFunc(slices.Concat(connections...), func(r smtptest.Answer) bool {
			mine := r.Line == "RCPT TO:"+a.To || strings.HasPrefix(r.Line, "MAIL FROM:<"+a.From+">") || r.Line == "DATA" || r.Line == "." || strings.HasSuffix(r.Line, "LO "+a.HELO)
			mine = mine || slices.ContainsFunc(a.Before, func(e probe.Exchange) bool { return r.Line == e.Line })
			return mine && r.Reply >= "4"
		}) {
			t.Errorf("%s is called refused (%s), and it never was", a.Form, a.Reason())
		}
	}
}

// hostile answers each connection with a function. It returns its address and how many bytes were written to clients.
func hostile(t *testing.T, talk func(c net.Conn, in *bufio.Reader)) (netip.AddrPort, *atomic.Int64) {
	t.Helper()
	var written atomic.Int64
	return listen(t, func(c net.Conn, in *bufio.Reader) { talk(&counted{c, &written}, in) }), &written
}

type counted struct {
	net.Conn
	written *atomic.Int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.written.Add(int64(n))
	return n, err
}

// Servers without end: what they say is not read further than a limit, and decides nothing.
func TestEndless(t *testing.T) {
	t.Parallel()
	manyLines := func(c net.Conn) {
		line := strings.Repeat("250-x\r\n", 1000)
		for range 300 {
			if _, err := io.WriteString(c, line); err != nil {
				return
			}
		}
		io.WriteString(c, "250 x\r\n")
	}
	oneLine := func(c net.Conn) {
		for piece := strings.Repeat("250 x ", 5000); ; {
			if _, err := io.WriteString(c, piece); err != nil {
				return
			}
		}
	}
	for _, how := range []struct {
		name string
		talk func(net.Conn)
	}{{"300,000 lines", manyLines}, {"a line without an end", oneLine}} {
		for _, verb := range []string{"", "EHLO", "MAIL", "RCPT", "DATA", ".", "QUIT"} {
			t.Run(how.name+" to "+verb, func(t *testing.T) {
				t.Parallel()
				addr, written := hostile(t, func(c net.Conn, in *bufio.Reader) {
					if verb == "" {
						how.talk(c)
						return
					}
					io.WriteString(c, "220 mx.org.example ESMTP\r\n")
					content := false
					for {
						line, err := in.ReadString('\n')
						if err != nil {
							return
						}
						got, _, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
						switch {
						case content && got != ".":
						case got == verb:
							how.talk(c)
							content = false
						case got == "DATA":
							content = true
							io.WriteString(c, "354 go on\r\n")
						default:
							content = false
							io.WriteString(c, "250 mx.org.example\r\n")
						}
					}
				})
				p := prober()
				p.StopAt = probe.Delivered
				p.Vectors = selected(t, "S1", "S6", "R1")
				f, err := look(t, p, addr)
				if err != nil {
					t.Fatalf("got error %v: what a server does is no error", err)
				}
				want := map[string]string{"": "unknown", "EHLO": "unknown", "MAIL": "unknown", "RCPT": "unknown", "DATA": "unknown", ".": "accepted", "QUIT": "queued"}[verb]
				if f.Verdict().String() != want {
					t.Errorf("got %s, want %s\n%s", f.Verdict(), want, show(f))
				}
				bounded(t, f, maxFinding)
				// What the kernels hold of it is not read: a few megabytes a connection, and not what it wanted to say.
				if n := written.Load() / int64(max(1, f.Connections)); n > 16<<20 {
					t.Errorf("wrote %d bytes a connection", n)
				}
			})
		}
	}
}

// A certificate of a megabyte is refused by package tls, one of 150 kB is taken: what is kept of it is little.
func TestLargeCertificates(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		names int
	}{{"a megabyte", 5200}, {"150 kB", 700}} {
		for _, dialogName := range []string{"starttls-required-closed", "implicit-tls-closed"} {
			t.Run(tt.name+", "+dialogName, func(t *testing.T) {
				t.Parallel()
				names := slices.Repeat([]string{strings.Repeat("a-long-label-of-a-name.", 8) + "example"}, tt.names)
				config := certificate(t, names...)
				t.Logf("%d bytes", len(config.Certificates[0].Certificate[0]))
				server := &smtptest.Server{Dialog: dialog(t, dialogName), TLS: config}
				server.Start(t)
				s := service{quick: true, mail: true}
				p := s.prober(server.Addr().Port())
				p.Limits.Handshake = time.Minute
				f, err := look(t, p, server.Addr())
				if err != nil {
					t.Fatalf("got error %v: what a server does is no error", err)
				}
				if f.Verdict() > probe.Unknown || f.TLS == nil {
					t.Errorf("got %s, TLS %v\n%s", f.Verdict(), f.TLS, show(f))
				}
				bounded(t, f, maxFinding)
			})
		}
	}
}

// A server that takes everything and bounces it later is no relay, however far the scan goes: what comes home comes to
// the senders' addresses, as bounces, and they name attempts that were taken.
func TestBounceIsNoRelay(t *testing.T) {
	server := smtptest.Start(t, dialog(t, "qmail-bounces-later"))
	p := prober()
	p.StopAt = probe.Delivered
	f, err := look(t, p, server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	server.Wait(f.Connections)
	score := server.Score()
	lawful(t, p, score)
	if f.Verdict() != probe.Queued || f.Class() == probe.Relay {
		t.Errorf("got %s, %s (%s), want queued and no relay", f.Verdict(), f.Class(), f.Reason())
	}
	queued := make(map[string]bool)
	for _, a := range f.Attempts {
		queued[a.Canary] = a.Verdict() == probe.Queued
	}
	bounced := make(map[string]bool)
	for _, connection := range score.PerConnection {
		from := ""
		for _, line := range connection {
			if f, ok := strings.CutPrefix(line, "MAIL FROM:<"); ok {
				from, _, _ = strings.Cut(f, ">")
			}
			if line != "DATA" || !strings.HasSuffix(from, "-b@"+canaryDomain) {
				continue // a forged sender gets the bounce, who is not us
			}
			token, bounce, ok := p.Canary.Match(from)
			if !ok || !bounce || !queued[token] {
				t.Errorf("a bounce to %s: token %q, bounce %t, ours %t", from, token, bounce, ok)
			}
			bounced[token] = true
		}
	}
	if len(bounced) == 0 {
		t.Error("no message has a sender that a bounce comes home to")
	}
	for i := range f.Attempts {
		f.Attempts[i].Bounced = bounced[f.Attempts[i].Canary]
	}
	if f.Verdict() != probe.Queued || f.Class() == probe.Relay || !strings.Contains(f.Reason(), "bounce") {
		t.Errorf("after the bounce: got %s, %s (%s), want queued, no relay, and the bounce named", f.Verdict(), f.Class(), f.Reason())
	}
}

// A second reply to one recipient, in a segment of its own, is not the reply to the next: what the server took is not
// called refused, and what it refused is not called taken.
func TestLateReplyDecidesNothing(t *testing.T) {
	t.Parallel()
	for _, stop := range []probe.Verdict{probe.Accepted, probe.Ready} {
		t.Run(stop.String(), func(t *testing.T) {
			t.Parallel()
			server := smtptest.Start(t, dialog(t, "late-second-refusal"))
			p := prober()
			p.StopAt = stop
			p.Limits.Settle = 200 * time.Millisecond // far above the server's moment, on a busy machine too
			f, err := look(t, p, server.Addr())
			if err != nil {
				t.Fatal(err)
			}
			for i := range f.Attempts {
				a := &f.Attempts[i]
				quoted := strings.HasPrefix(a.To, `<"`) && !strings.HasSuffix(a.To, `">`) && !strings.Contains(a.To, "%")
				if v := a.Verdict(); quoted && v == probe.Refused || !quoted && v > probe.Unknown {
					t.Errorf("%s, %s: got %s (%s)", a.Form, a.To, v, a.Reason())
				}
			}
			if t.Failed() {
				t.Log(show(f))
			}
		})
	}
}

// What was answered in a session where the server said more than it was asked decides nothing. Attempts of our own are
// made again; those of an opt-in row or from another source are unknown, as they would be made another way.
func TestAstray(t *testing.T) {
	t.Parallel()
	const talkative = "C: RCPT TO:*\nS: 250 2.1.5 ok\\r\\n550 5.7.1 Relaying denied\n"
	further := netip.MustParseAddrPort("127.0.0.9:0")
	for _, tt := range []struct {
		name  string
		words []string
		turn  string // the connection that gets the talkative server: the first, or the first from another source
		more  string // blocks of both servers
		row   string // whose attempt is looked at
		asked int    // how often it reaches the servers
		want  probe.Verdict
	}{
		{name: "our own attempt", words: []string{"S1", "S6"}, turn: "first", row: "S1", asked: 2, want: probe.Refused},
		{name: "from another source", words: []string{"S1", "I13"}, turn: "source", row: "I13", asked: 1, want: probe.Unknown},
		{name: "an opt-in row that is refused", words: []string{"S1", "+auth"}, more: "C: EHLO *\nS: 250-mx.org.example\nS: 250 AUTH ANONYMOUS\nC: AUTH *\nS: 535 5.7.8 no\\r\\n250 ok\n", row: "I4", asked: 1, want: probe.Unknown},
		{name: "an opt-in row that is taken", words: []string{"S1", "+auth"}, more: "C: EHLO *\nS: 250-mx.org.example\nS: 250 AUTH ANONYMOUS\nC: AUTH *\nS: 235 2.7.0 ok\\r\\n250 ok\n= set in\nC: RCPT TO:*\n= if in\nS: 250 ok\n", row: "I4", asked: 1, want: probe.Unknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var now atomic.Int32
			now.Store(map[string]int32{"first": 1}[tt.turn])
			st := sequence(t, []*smtptest.Dialog{closedBut("mx.org.example ESMTP", tt.more), closedBut("mx.org.example ESMTP", tt.more+talkative)}, func(int) int { return int(now.Swap(0)) })
			p := prober()
			p.Vectors, p.Sources = selected(t, tt.words...), []netip.AddrPort{further}
			p.Before = func(_ discover.Target, from netip.AddrPort, vector string) error {
				if tt.turn == "source" && from == further && vector == "connect" {
					now.Store(1)
				}
				return nil
			}
			f, err := look(t, p, st.addr())
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range f.Attempts {
				want, reason := probe.Refused, "relay denied"
				if a.Vector == tt.row {
					want = tt.want
				}
				if want == probe.Unknown {
					reason = "the server says more than it is asked"
				}
				if a.Verdict() != want || !strings.Contains(a.Reason(), reason) {
					t.Errorf("%s: got %s (%s), want %s (%s)\n%s", a.Form, a.Verdict(), a.Reason(), want, reason, show(f))
				}
			}
			i := slices.IndexFunc(f.Attempts, func(a probe.Attempt) bool { return a.Vector == tt.row })
			if i < 0 {
				t.Fatalf("%s was not tried\n%s", tt.row, show(f))
			}
			asked := 0
			for _, score := range st.scores() {
				lawful(t, p, score)
				for _, connection := range score.PerConnection {
					if text := strings.Join(connection, "\n"); strings.Contains(text, f.Attempts[i].Canary+"-b@") || tt.row == "I4" && strings.Contains(text, "AUTH ") {
						asked++
					}
				}
			}
			if asked != tt.asked {
				t.Errorf("%s came to the servers %d times, want %d\n%s", tt.row, asked, tt.asked, show(f))
			}
		})
	}
}
