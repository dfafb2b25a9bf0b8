package probe_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/probe/smtp/smtptest"
	"relaysweep/ratelimit"
)

// Law 4. Whatever the server is, and wherever the scan stops short of delivery: no byte of content leaves, and every
// recipient is ours, reserved, or a control that never reaches DATA.
func TestNobodyElseGetsOurMail(t *testing.T) {
	t.Parallel()
	for _, variant := range []struct {
		name     string
		accepted bool // it stops there
		change   func(*probe.Prober)
	}{
		{"stop at accepted", true, func(p *probe.Prober) { p.StopAt = probe.Accepted }},
		{"nothing configured", false, func(p *probe.Prober) { p.Canary.Domain, p.Domains, p.Senders, p.HELO = "", nil, nil, "" }},
	} {
		for _, s := range services {
			t.Run(variant.name+", "+s.name, func(t *testing.T) {
				t.Parallel()
				f, server := s.probed(t, variant.change)
				if !variant.accepted {
					return
				}
				for _, line := range server.Score().Commands {
					if strings.EqualFold(line, "DATA") {
						t.Error("DATA was sent")
						break
					}
				}
				w := s.want
				if s.accepted != "" {
					w.verdict = s.accepted
				}
				if s.accepted != "" && w.class == probe.ClosedRelay {
					w.class, w.opened = probe.Relay, f.Opened() // what only DATA would tell
				}
				if s.dialog == "says-250-to-data" {
					w.class, w.opened, w.reason = probe.Relay, everything, ""
				}
				w.check(t, f)
			})
		}
	}
}

// At StopAt delivered content goes out after 354 alone, one canary a kind of vector, and to canaries only.
func TestDelivered(t *testing.T) {
	t.Parallel()
	for _, s := range services {
		if s.waits {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			f, server := s.probed(t, func(p *probe.Prober) { p.StopAt = probe.Delivered })
			score := server.Score()
			if s.want.verdict != "ready" && score.ContentBytes > 0 {
				t.Errorf("sent %d bytes to a server that gave no 354", score.ContentBytes)
			}
			if s.want.verdict == "ready" && (f.Verdict() != probe.Queued || score.Messages == 0 || score.Messages > 40) {
				t.Errorf("got %s and %d messages, want queued and a few\n%s", f.Verdict(), score.Messages, show(f))
			}
			for _, a := range f.Attempts {
				if a.Verdict() == probe.Queued && !strings.Contains(a.To, a.Canary) {
					t.Errorf("%s: the message to %s is not its canary %s", a.Form, a.To, a.Canary)
				}
			}
		})
	}
}

// replays checks law 5: the transcripts of a finding, played by a fake server connection by connection, give the same
// verdict and class.
func replays(t *testing.T, s service, first probe.Finding) {
	t.Helper()
	again, scores := replay(t, s, first)
	if again.Protocol != first.Protocol || again.Verdict() != first.Verdict() || again.Class() != first.Class() || !equal(again.Opened(), first.Opened()) {
		t.Errorf("replayed: %s, %s, %s, opened by %v, want %s, %s, %s, %v\nfirst %s\nreplayed %s", again.Protocol, again.Verdict(), again.Class(), again.Opened(), first.Protocol, first.Verdict(), first.Class(), first.Opened(), show(first), show(again))
	}
	for i, score := range scores {
		for _, m := range score.Mismatches {
			// A client that did not do the handshake of a guess, or left a server that hangs.
			if !strings.Contains(m, "client left") && !strings.Contains(m, "tls") {
				t.Errorf("session %d: %s\n%s", i+1, m, first.Sessions[i].Transcript)
			}
		}
	}
}

// replay probes a fake made of a finding's transcripts.
func replay(t *testing.T, s service, f probe.Finding) (probe.Finding, []smtptest.Score) {
	t.Helper()
	var dialogs []*smtptest.Dialog
	for i, session := range f.Sessions {
		d, err := smtptest.Parse("session", strings.NewReader(session.Transcript))
		if err != nil {
			t.Fatalf("session %d: %v\n%s", i+1, err, session.Transcript)
		}
		dialogs = append(dialogs, d)
	}
	st := sequence(t, dialogs, func(n int) int {
		if n >= len(dialogs) {
			return -1
		}
		return n
	})
	p := s.prober(st.addr().Port())
	again, err := look(t, p, st.addr())
	if err != nil {
		t.Fatal(err)
	}
	return again, st.scores()
}

// Law 6. With one token an hour there is one connection, and the rest is unknown because the budget ran out.
func TestNoConnectionWithoutTheLimiter(t *testing.T) {
	server := smtptest.Start(t, dialog(t, "closed-postfix"))
	p := prober()
	var f probe.Finding
	synctest.Test(t, func(t *testing.T) {
		p.Limiter = ratelimit.New(ratelimit.Rates{Total: 1.0 / 3600})
		var err error
		if f, err = p.Probe(t.Context(), opening(server.Addr())); err != nil {
			t.Error(err)
		}
	})
	server.Wait(1)
	if n := server.Score().Connections; n != 1 || f.Connections != 1 {
		t.Errorf("%d connections, %d booked, want 1", n, f.Connections)
	}
	unknown("the time budget of 1m20s ran out").check(t, f)
	if !strings.Contains(f.Cut, "attempts were left out") {
		t.Errorf("got %q, want the number of attempts left out", f.Cut)
	}
}

// A token that never comes: no connection at all.
func TestNotASingleConnection(t *testing.T) {
	server := smtptest.Start(t, dialog(t, "closed-postfix"))
	synctest.Test(t, func(t *testing.T) {
		p := prober()
		p.Limiter = ratelimit.New(ratelimit.Rates{Total: 1.0 / 3600})
		if err := p.Limiter.Wait(t.Context(), netip.MustParseAddr("127.0.0.9")); err != nil {
			t.Fatal(err)
		}
		f, err := p.Probe(t.Context(), opening(server.Addr()))
		if err != nil || f.Connections != 0 || f.Verdict() != probe.Unknown {
			t.Errorf("got %v, %d connections, %s, want none and unknown", err, f.Connections, f.Verdict())
		}
	})
	if n := server.Score().Connections; n != 0 {
		t.Errorf("%d connections, want none", n)
	}
}

// Law 7. An error is our end, not the server's: Before refuses, or the context ends. It does so wherever it comes.
func TestBeforeStopsAProbe(t *testing.T) {
	t.Parallel()
	errFull := errors.New("disk full")
	for _, name := range []string{"open-to-all", "closed-exim", "two-refusals-and-out", "starttls-required-open", "greylisting", "hangs-up-on-ehlo"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := smtptest.Start(t, dialog(t, name))
			p := prober()
			calls, last := 0, -1
			count := func(discover.Target, netip.AddrPort, string) error { calls++; return nil }
			p.Before = count
			if _, err := look(t, p, server.Addr()); err != nil {
				t.Fatal(err)
			}
			for n := 0; n < calls; n += 1 + calls/8 {
				left := n
				p.Before = func(discover.Target, netip.AddrPort, string) error {
					if left--; left < 0 {
						return errFull
					}
					return nil
				}
				f, err := look(t, p, server.Addr())
				if !errors.Is(err, errFull) {
					t.Errorf("stopped at call %d of %d: got %v, want %v", n, calls, err, errFull)
				}
				if left != -1 {
					t.Errorf("called again after it refused")
				}
				if got := len(f.Attempts); got < last {
					t.Errorf("stopped at call %d: %d attempts, fewer than the %d before", n, got, last)
				}
				last = len(f.Attempts)
			}
		})
	}
}

// Before hears of each connection, and of each attempt once where the server lets it pass.
func TestBeforeHearsEverything(t *testing.T) {
	server := smtptest.Start(t, dialog(t, "open-to-all"))
	p := prober()
	heard := make(map[string]int)
	p.Before = func(_ discover.Target, _ netip.AddrPort, vector string) error { heard[vector]++; return nil }
	f, err := look(t, p, server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range f.Attempts {
		if heard[a.Form] != 1 {
			t.Errorf("heard %d times of %s, want once", heard[a.Form], a.Form)
		}
		delete(heard, a.Form)
	}
	if heard["identify"]+heard["connect"] != f.Connections || heard["control"] != 1 || heard["HELP"] != 1 || len(heard) != 4 {
		t.Errorf("heard %v, want %d connections, the control and HELP", heard, f.Connections)
	}
}

func TestCancelEndsAProbe(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"open-to-all", "closed-postfix", "starttls-required-closed", "greylisting"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := smtptest.Start(t, dialog(t, name))
			for n := range 6 {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					p := prober()
					left := 10 * n
					p.Before = func(discover.Target, netip.AddrPort, string) error {
						if left--; left < 0 {
							cancel()
						}
						return nil
					}
					f, err := p.Probe(ctx, opening(server.Addr()))
					if left < 0 && !errors.Is(err, context.Canceled) {
						t.Errorf("cancelled after %d calls: got %v, want %v\n%s", 10*n, err, context.Canceled, show(f))
					}
				})
			}
		})
	}
}

// A port where nothing listens any more is a finding.
func TestGoneBeforeTheProbe(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	l.Close()
	f, err := look(t, prober(), addr)
	if err != nil {
		t.Fatal(err)
	}
	notSMTP("unknown", "it was open, and is not now: connection refused").check(t, f)
}

// mx is a server on a port of its own choice, or the test is left out.
func mx(t *testing.T, address, name string) *smtptest.Server {
	t.Helper()
	l, err := net.Listen("tcp4", address)
	if err != nil {
		t.Skipf("cannot listen on %s: %v (ports below 1024 need CAP_NET_BIND_SERVICE)", address, err)
	}
	s := &smtptest.Server{Dialog: dialog(t, name)}
	var wg sync.WaitGroup
	wg.Go(func() { s.Serve(l) })
	t.Cleanup(func() { s.Close(); wg.Wait() })
	return s
}

// On port 465 TLS is tried first, and then in clear: Exchange and others speak so there.
func TestPort465(t *testing.T) {
	for i, tt := range []struct {
		dialog string
		want   want
		mode   string // of TLS
	}{
		{"implicit-tls-open", want{protocol: "smtps", verdict: "ready", class: probe.Relay, opened: everything}, "implicit"},
		{"implicit-tls-closed", want{protocol: "smtps", verdict: "refused", class: probe.ClosedRelay}, "implicit"},
		{"closed-postfix", closed(), ""},
		{"open-after-starttls", open("I7"), "starttls"},
		{"silent", notSMTP("unknown", "silent"), ""},
		{"ssh", notSMTP("ssh", "it answered in clear"), ""},
		{"http", notSMTP("http", ""), ""},
	} {
		t.Run(tt.dialog, func(t *testing.T) {
			address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 77, 4, byte(1 + i)}), 465)
			server := mx(t, address.String(), tt.dialog)
			s := service{quick: true}
			p := s.prober(0)
			p.MailPorts = nil // the list of package discover
			f, err := look(t, p, address)
			if err != nil {
				t.Fatal(err)
			}
			server.Wait(f.Connections)
			tt.want.check(t, f)
			score := server.Score()
			score.Early = 0 // a hello where it waits for none
			lawful(t, p, score)
			if mode := f.TLS; tt.mode == "" && mode != nil || tt.mode != "" && (mode == nil || mode.Mode != tt.mode) {
				t.Errorf("TLS: got %+v, want %q", mode, tt.mode)
			}
		})
	}
}

// Printers print what they receive: not a byte is written to their ports, whatever they say first.
func TestPrinterPorts(t *testing.T) {
	for port := 9100; port <= 9107; port++ {
		for i, name := range []string{"open-to-all", "silent", "ssh"} {
			address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 77, 91, byte(1 + i)}), uint16(port))
			server := mx(t, address.String(), name)
			s := service{quick: true, mail: true}
			f, err := look(t, s.prober(uint16(port)), address)
			if err != nil {
				t.Fatal(err)
			}
			server.Wait(1)
			if score := server.Score(); len(score.Commands) > 0 || score.ContentBytes > 0 || score.Connections != 1 || score.Early > 0 {
				t.Errorf("port %d, %s: %d connections, wrote %q", port, name, score.Connections, score.Commands)
			}
			if f.Class() != probe.NotSMTP {
				t.Errorf("port %d, %s: got %s, want %s", port, name, f.Class(), probe.NotSMTP)
			}
		}
	}
}

// certificate makes a configuration for a server.
func certificate(t *testing.T, names ...string) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<31, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// Old TLS is taken and noted. The names of the certificate are names of the host, those that are none are left out.
func TestOldTLSIsNoted(t *testing.T) {
	config := certificate(t, "mail.org.example", "*.org.example", "not a name", "mx2.org.example")
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	server := &smtptest.Server{Dialog: dialog(t, "starttls-required-closed"), TLS: config}
	server.Start(t)
	f, err := look(t, prober(), server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	closed().check(t, f)
	if f.TLS == nil || !f.TLS.Legacy || f.TLS.Version != "TLS 1.0" || f.TLS.Mode != "starttls" || len(f.TLS.SHA256) != 64 {
		t.Errorf("got %+v, want TLS 1.0, noted as legacy", f.TLS)
	}
	if want := []string{"mx.org.example", "mail.org.example", "mx2.org.example"}; !equal(f.Names, want) {
		t.Errorf("names: got %v, want %v", f.Names, want)
	}
}

// A server that speaks no TLS that we know is noted, and what it does in clear is tried all the same.
func TestTLSThatCannotBeAgreedOn(t *testing.T) {
	config := certificate(t, "mail.org.example")
	config.ClientAuth = tls.RequireAnyClientCert
	config.MaxVersion = tls.VersionTLS12
	server := &smtptest.Server{Dialog: dialog(t, "open-after-starttls"), TLS: config}
	server.Start(t)
	f, err := look(t, prober(), server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	unknown("TLS handshake failed").check(t, f)
	if f.TLS == nil || f.TLS.Error == "" {
		t.Errorf("got %+v, want the reason of the failure", f.TLS)
	}
	if n := len(unanswered(f)); n != 1 {
		t.Errorf("%d attempts without an answer, want the one inside TLS: %v", n, unanswered(f))
	}
}

// turns plays dialogs by a state that the test changes.
func turns(t *testing.T, names ...string) (*stage, *atomic.Int32) {
	var now atomic.Int32
	var dialogs []*smtptest.Dialog
	for _, n := range names {
		dialogs = append(dialogs, dialog(t, n))
	}
	return sequence(t, dialogs, func(int) int { return int(now.Load()) }), &now
}

// Greylisting: the same triplet comes again after 25 s, once. It then gets the true answer.
func TestGreylisting(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, then string
		want       want
	}{
		{"then accepted", "open-to-all", open(everything...)},
		{"then one sender is accepted", "open-to-one-sender", open("S7")},
		{"then refused", "closed-postfix", closed()},
		{"then nobody is there", "silent", unknown("it answered before and then lets nobody in, after vector")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st, now := turns(t, "greylisting", tt.then)
			p := prober()
			var start time.Time
			triplets := make(map[string]int)
			p.Before = func(_ discover.Target, _ netip.AddrPort, vector string) error {
				if start.IsZero() {
					start = time.Now()
				}
				if time.Since(start) > 15*time.Second {
					now.Store(1)
				}
				triplets[vector]++
				return nil
			}
			f, err := look(t, p, st.addr())
			if err != nil {
				t.Fatal(err)
			}
			tt.want.check(t, f)
			for _, score := range st.scores() {
				lawful(t, p, score)
			}
			for vector, n := range triplets {
				if token := strings.HasPrefix(vector, "S") || strings.HasPrefix(vector, "I"); token && n > 3 {
					t.Errorf("%s was tried %d times", vector, n)
				}
			}
		})
	}
}

// A server that takes one introduction a connection is asked for a second one once, and then no more.
func TestOneIntroduction(t *testing.T) {
	text, err := os.ReadFile("testdata/closed-opensmtpd.dialog")
	if err != nil {
		t.Fatal(err)
	}
	server := smtptest.Start(t, smtptest.MustParse(strings.ReplaceAll(string(text), "ESMTP OpenSMTPD", "ESMTP"))) // it does not say what it is
	f, err := look(t, prober(), server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	server.Wait(f.Connections)
	again := 0
	for _, lines := range server.Score().PerConnection {
		n := 0
		for _, line := range lines {
			if strings.HasPrefix(line, "EHLO ") {
				n++
			}
		}
		again += max(0, n-1)
	}
	if again != 1 {
		t.Errorf("introduced itself %d times too many, want once", again)
	}
}

// A server that says 421 to new connections for a while is waited for; the vectors go on where they were.
func TestTooBusyForAWhile(t *testing.T) {
	st := inOrder(t, "two-refusals-and-out", "refused-at-connect-421", "refused-at-connect-421", "two-refusals-and-out")
	f, err := look(t, prober(), st.addr())
	if err != nil {
		t.Fatal(err)
	}
	open("S7").check(t, f)
	if missed := unanswered(f); len(missed) > 0 {
		t.Errorf("%d attempts got no answer: %v", len(missed), missed)
	}
	if d := f.Ended.Sub(f.Started); d < 8*time.Second || d > time.Minute {
		t.Errorf("took %v, want the pauses of 2 and 6 s and not much more", d)
	}
}

// So is one that says 421 to the very first: a busy server is not left out.
func TestTooBusyAtFirst(t *testing.T) {
	st := inOrder(t, "refused-at-connect-421", "refused-at-connect-421", "two-refusals-and-out")
	f, err := look(t, prober(), st.addr())
	if err != nil {
		t.Fatal(err)
	}
	open("S7").check(t, f)
}

// A ban: it answered before and then it does not. Nothing of that is called refused, and the vector is named.
func TestBanned(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		pick func(n int) int
	}{
		{"then silent", func(n int) int { return min(n, 1) }},
		{"then refused at the port", func(n int) int { return -min(n, 1) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st := sequence(t, []*smtptest.Dialog{dialog(t, "four-refusals-and-out"), dialog(t, "silent")}, tt.pick)
			s := service{quick: true}
			f, err := look(t, s.prober(0), st.addr())
			if err != nil {
				t.Fatal(err)
			}
			unknown("it answered before and then lets nobody in, after vector S7.3").check(t, f)
			if !strings.Contains(f.Cut, "44 of 49 attempts were left out") {
				t.Errorf("got %q, want 44 of 49 left out", f.Cut)
			}
			if n, missed := len(f.Attempts), unanswered(f); n != 5 || len(missed) != 1 {
				t.Errorf("%d attempts, %v unanswered, want 5 and the last one", n, missed)
			}
		})
	}
}

// What the whole probe may take is bounded, and what is left is unknown.
func TestBudget(t *testing.T) {
	server := smtptest.Start(t, dialog(t, "closed-postfix"))
	var f probe.Finding
	synctest.Test(t, func(t *testing.T) {
		p := prober()
		p.Budget = time.Minute
		p.Limiter = ratelimit.New(ratelimit.Rates{PerHost: 1.0 / 25})
		var err error
		if f, err = p.Probe(t.Context(), opening(server.Addr())); err != nil {
			t.Error(err)
		}
	})
	unknown("the time budget of 1m0s ran out").check(t, f)
	if f.Connections != 3 {
		t.Errorf("%d connections, want the 3 that the pace allows in a minute", f.Connections)
	}
	if d := f.Ended.Sub(f.Started); d > time.Minute {
		t.Errorf("took %v, want a minute", d)
	}
}

// A slow server is left when it has shown that it relays: the rest is named as left out.
func TestSlowServerThatRelays(t *testing.T) {
	t.Parallel()
	d := smtptest.MustParse("= any order\nS: 220 mx.org.example ESMTP\nC: EHLO *\n= wait 5100ms\nS: 250 mx.org.example\nC: DATA\nS: 354 go\n= data\nS: 250 ok\nC: QUIT\nS: 221 bye\n= close\nC: *\nS: 250 ok")
	server := smtptest.Start(t, d)
	p := prober()
	p.Limits.Reply = 10 * time.Second
	f, err := p.Probe(t.Context(), opening(server.Addr())) // in real time
	if err != nil {
		t.Fatal(err)
	}
	open("S1").check(t, f)
	if !strings.Contains(f.Cut, "slow server, open already: 48 of 49 attempts were left out") {
		t.Errorf("got %q, want what was left out", f.Cut)
	}
}

// Where a greeting takes long, a connection is used further: up to 18 refusals instead of 10.
func TestSlowGreeting(t *testing.T) {
	t.Parallel()
	d := smtptest.MustParse("= any order\n= wait 5100ms\nS: 220 mx.org.example ESMTP\nC: RCPT TO:*\nS: 550 5.7.1 Relaying denied\nC: QUIT\nS: 221 bye\n= close\nC: *\nS: 250 ok")
	server := smtptest.Start(t, d)
	p := prober()
	p.Limits.Greeting = 10 * time.Second
	p.Vectors = selected(t, "S1", "S6", "S7", "R1", "R7", "R9", "R12")
	f, err := p.Probe(t.Context(), opening(server.Addr())) // in real time
	if err != nil {
		t.Fatal(err)
	}
	closed().check(t, f)
	if len(f.Attempts) != 16 || f.Connections != 1 {
		t.Errorf("%d attempts in %d connections, want 16 in one", len(f.Attempts), f.Connections)
	}
}

// The transcripts of a finding are bounded, and so is what is kept of a server that says much.
func TestEvidenceIsBounded(t *testing.T) {
	d := smtptest.MustParse("= any order\nS: 220 mx.org.example ESMTP\nC: EHLO *\nS: 250 mx.org.example\nC: MAIL FROM:*\nS: 250 ok\nC: RCPT TO:*\n" + strings.Repeat("S: 550-"+strings.Repeat("x", 400)+"\n", 30) + "S: 550 5.7.1 Relaying denied\nC: *\nS: 250 ok")
	server := smtptest.Start(t, d)
	f, err := look(t, prober(), server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, s := range f.Sessions {
		n += len(s.Transcript)
	}
	if n > 60<<10 {
		t.Errorf("kept %d bytes of transcripts, want at most 60 KiB", n)
	}
	if len(f.Attempts) != 49 {
		t.Errorf("%d attempts, want 49", len(f.Attempts))
	}
	closed().check(t, f)
}
