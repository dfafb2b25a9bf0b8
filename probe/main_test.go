package probe_test

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/probe/smtp"
	"relaysweep/probe/smtp/smtptest"
	"relaysweep/ratelimit"
)

func TestMain(m *testing.M) {
	if os.Getenv(fakeServices) != "" { // the benchmarks' other process
		serveFakes()
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	ownDomain    = "org.example"
	canaryDomain = "example.net"
)

var loopback = func() *discover.Scope {
	s, err := discover.NewScope(discover.Spec{Targets: []discover.Entry{{Text: "127.0.0.0/8", Where: "test"}}})
	if err != nil {
		panic(err)
	}
	return s
}()

// prober returns one that knows the organisation, waits a second for a reply, and has no pace to keep.
func prober() *probe.Prober {
	return &probe.Prober{
		Dialer: loopback.Dialer(netip.Addr{}, time.Second), Limiter: ratelimit.New(ratelimit.Rates{}),
		Limits: smtp.Limits{Greeting: time.Second, Reply: time.Second, Handshake: time.Second, Settle: 20 * time.Millisecond},
		Scan:   "scan-1", Organisation: "Example City", Contact: "netops@city.example",
		Canary: probe.Canary{Domain: canaryDomain, Key: []byte("key")},
		HELO:   "scanner.example", Domains: []string{ownDomain}, Senders: []string{"alice@" + ownDomain},
	}
}

func opening(a netip.AddrPort) discover.Opening {
	t, err := loopback.Target(a)
	if err != nil {
		panic(err)
	}
	return discover.Opening{Target: t, Vantage: "outside"}
}

// look probes one address. Only the network's time is real: pauses, greylisting and budgets pass at once.
func look(t *testing.T, p *probe.Prober, a netip.AddrPort) (f probe.Finding, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f, err = p.Probe(t.Context(), opening(a)) })
	return f, err
}

// dialog reads a file of testdata.
func dialog(t testing.TB, name string) *smtptest.Dialog {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".dialog"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := smtptest.Parse(f.Name(), f)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// listen answers each connection with a function, until the test ends.
func listen(t *testing.T, talk func(c net.Conn, in *bufio.Reader)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(time.Minute))
				talk(c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// selected are rows of the table.
func selected(t *testing.T, words ...string) []probe.Vector {
	t.Helper()
	v, err := probe.SelectVectors(probe.Vectors(), words)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// closedBut is a server that refuses to relay, with more blocks before its own.
func closedBut(greeting, blocks string) *smtptest.Dialog {
	return smtptest.MustParse("= any order\nS: 220 " + greeting + "\n" + blocks + `
C: EHLO *
S: 250 mx.org.example
C: MAIL FROM:*
S: 250 2.1.0 ok
C: RCPT TO:*
S: 550 5.7.1 Relaying denied
C: DATA
S: 354 go on
C: RSET
S: 250 ok
C: QUIT
S: 221 bye
= close
C: *
S: 502 5.5.2 what?
`)
}

// offers are blocks of a server that offers one extension in clear and another one inside TLS.
func offers(clear, inside string) string {
	return strings.NewReplacer("INSIDE", inside, "CLEAR", clear).Replace(`C: EHLO *
= if tls
S: 250-mx.org.example
S: 250 INSIDE
C: EHLO *
S: 250-mx.org.example
S: 250-STARTTLS
S: 250 CLEAR
C: STARTTLS
S: 220 go on
= tls
= set tls
`)
}

// stage is a listener whose connections go to one server or another.
type stage struct {
	t       *testing.T
	l       net.Listener
	servers []*smtptest.Server
	inlets  []*inlet
	wg      sync.WaitGroup
}

// inlet is the listener of one server on the stage.
type inlet struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	addr  net.Addr
}

func (i *inlet) Accept() (net.Conn, error) {
	select {
	case c := <-i.conns:
		return c, nil
	case <-i.done:
		return nil, net.ErrClosed
	}
}
func (i *inlet) Close() error   { i.once.Do(func() { close(i.done) }); return nil }
func (i *inlet) Addr() net.Addr { return i.addr }

// sequence plays dialogs: pick tells which one the connection with that number, from 0, gets. Below 0 it is refused.
func sequence(t *testing.T, dialogs []*smtptest.Dialog, pick func(n int) int) *stage {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, l: l}
	for _, d := range dialogs {
		server, in := &smtptest.Server{Dialog: d}, &inlet{conns: make(chan net.Conn), done: make(chan struct{}), addr: l.Addr()}
		s.servers, s.inlets = append(s.servers, server), append(s.inlets, in)
		s.wg.Go(func() { server.Serve(in) })
	}
	s.wg.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			i := pick(n)
			if i < 0 {
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
				continue
			}
			select {
			case s.inlets[i].conns <- c:
			case <-s.inlets[i].done:
				c.Close()
			}
		}
	})
	t.Cleanup(s.close)
	return s
}

// inOrder gives each connection the next dialog, and those beyond the last one, again and again.
func inOrder(t *testing.T, names ...string) *stage {
	t.Helper()
	var dialogs []*smtptest.Dialog
	for _, n := range names {
		dialogs = append(dialogs, dialog(t, n))
	}
	return sequence(t, dialogs, func(n int) int { return min(n, len(dialogs)-1) })
}

func (s *stage) close() {
	s.l.Close()
	for _, server := range s.servers {
		server.Close()
	}
	s.wg.Wait()
}

func (s *stage) addr() netip.AddrPort { return s.l.Addr().(*net.TCPAddr).AddrPort() }

// scores are the scores of the servers when all is over.
func (s *stage) scores() (out []smtptest.Score) {
	s.close()
	for _, server := range s.servers {
		out = append(out, server.Score())
	}
	return out
}

var token = regexp.MustCompile(`rs-[a-z2-7]{20}`)

// lawful checks what a server saw: nobody but the sink gets content, every recipient lies in the canary domain or under
// a reserved name, the controls excepted, and those are never in a transaction that reached DATA.
func lawful(t *testing.T, p *probe.Prober, s smtptest.Score) {
	t.Helper()
	if s.Early != 0 {
		t.Errorf("spoke %d times before its turn", s.Early)
	}
	if p.StopAt != probe.Delivered && (s.ContentBytes != 0 || s.Messages != 0) {
		t.Errorf("sent %d bytes of content and %d messages, want none", s.ContentBytes, s.Messages)
	}
	canary := p.Canary.Domain
	if canary == "" {
		canary = probe.ReservedDomain
	}
	zone := append([]string{canary}, p.Canary.MXNames...)
	if sink := p.Canary.Sink; sink.IsValid() {
		zone = append(zone, "@["+sink.String()+"]", "@[IPv6:"+sink.String()+"]")
	}
	for _, connection := range s.PerConnection {
		control, content := false, false
		for _, line := range connection {
			verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
			switch {
			case content:
				content = line != "."
			case verb == "RSET" || verb == "EHLO" || verb == "HELO":
				control = false
			case strings.HasPrefix(strings.ToUpper(line), "RCPT TO:"):
				inZone, local := slices.ContainsFunc(zone, func(name string) bool { return strings.Contains(line, name) }), strings.HasSuffix(line, "@"+ownDomain+">") || strings.HasSuffix(line, "@mx."+ownDomain+">")
				reserved := strings.HasSuffix(line, ".invalid>")
				if !token.MatchString(line) || !inZone && !local && !reserved {
					t.Errorf("a recipient that is nobody's of ours: %s", line)
				}
				control = control || !inZone
			case verb == "DATA":
				if control {
					t.Errorf("a control reached DATA:\n%s", strings.Join(connection, "\n"))
				}
				content = p.StopAt == probe.Delivered
			}
		}
	}
}

// unanswered are the attempts for which the server said nothing that decides.
func unanswered(f probe.Finding) (out []string) {
	for _, a := range f.Attempts {
		if a.Failure != "" || a.Mail.Code == 0 || a.Mail.Positive() && a.Rcpt.Code == 0 {
			out = append(out, fmt.Sprintf("%s (%s)", a.Form, a.Reason()))
		}
	}
	return out
}

// show is what a failed test prints of a finding.
func show(f probe.Finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s, note %q, cut %q, reason %q, %d connections, %d commands, %d attempts, opened %v\n", f.Protocol, f.Verdict(), f.Class(), f.Note, f.Cut, f.Reason(), f.Connections, f.Commands, len(f.Attempts), f.Opened())
	for i, s := range f.Sessions {
		fmt.Fprintf(&b, "-- session %d\n%s", i+1, s.Transcript)
	}
	return b.String()
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

func equal(a, b []string) bool { return len(a) == 0 && len(b) == 0 || slices.Equal(a, b) }
