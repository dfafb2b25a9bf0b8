package canary_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/probe/canary"
	"relaysweep/probe/smtp"
	"relaysweep/probe/smtp/smtptest"
	"relaysweep/ratelimit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	ours  = probe.Canary{Domain: "example.net", Key: []byte("our key")}
	token = ours.Token("scan-1", "192.0.2.1:25", "S1", "outside")
)

// box is what a sink took.
type box struct {
	mu    sync.Mutex
	taken []probe.Delivery
}

func (b *box) take(d probe.Delivery) { b.mu.Lock(); defer b.mu.Unlock(); b.taken = append(b.taken, d) }

func (b *box) all() []probe.Delivery { b.mu.Lock(); defer b.mu.Unlock(); return slices.Clone(b.taken) }

// serve runs a sink on loopback until the test ends.
func serve(t *testing.T, s *canary.Sink) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		l.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: got %v, want nil", err)
		}
	})
	return l.Addr().String()
}

// client is a dialogue with the sink.
type client struct {
	t *testing.T
	*smtp.Conn
}

func dial(t *testing.T, addr string) client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := client{t, smtp.NewConn(nc, smtp.Limits{Reply: 5 * time.Second, Greeting: 5 * time.Second})}
	t.Cleanup(func() { c.Close() })
	if r, err := c.Greeting(t.Context()); err != nil || r.Code != 220 {
		t.Fatalf("greeting: got %v, %v", r, err)
	}
	return c
}

// say sends a command and wants a code.
func (c client) say(line string, code int) {
	c.t.Helper()
	if r, err := c.Cmd(c.t.Context(), line); err != nil || r.Code != code {
		c.t.Errorf("%s: got %v, %v, want %d", line, r, err, code)
	}
}

func (c client) message(content string, code int) {
	c.t.Helper()
	if r, err := c.Message(c.t.Context(), []byte(content)); err != nil || r.Code != code {
		c.t.Errorf("message: got %v, %v, want %d", r, err, code)
	}
}

func TestOnlyOurCanariesAreTaken(t *testing.T) {
	b := &box{}
	addr := serve(t, &canary.Sink{Canary: ours, Take: b.take})
	forged := token[:len(token)-1] + "b" // the last character is one of two; nothing but the whole token will do
	if forged == token {
		forged = token[:len(token)-1] + "c"
	}
	stranger := probe.Canary{Domain: "example.net", Key: []byte("another key")}.Token("scan-1", "192.0.2.1:25", "S1", "outside")
	elsewhere := probe.Canary{Domain: "example.org", Key: []byte("our key")}.Token("scan-1", "192.0.2.1:25", "S1", "outside")
	for _, tt := range []struct {
		name, to string
		code     int
		bounce   bool
	}{
		{"a canary", token + "@example.net", 250, false},
		{"in upper case", strings.ToUpper(token) + "@EXAMPLE.NET", 250, false},
		{"quoted", `"` + token + `"@example.net`, 250, false},
		{"with a label in front of the domain", token + "@org.example.example.net", 250, false},
		{"the sender's address", token + "-b@example.net", 250, true},
		{"of any domain's token, as the key is ours", elsewhere + "@example.net", 250, false},
		{"a forged tag", forged + "@example.net", 550, false},
		{"another key", stranger + "@example.net", 550, false},
		{"another domain", token + "@example.org", 550, false},
		{"a domain that only ends so", token + "@bad-example.net", 550, false},
		{"a domain that only begins so", token + "@example.net.example", 550, false},
		{"our domain as a label in front of another", token + "@example.net.invalid", 550, false},
		{"postmaster", "postmaster@example.net", 550, false},
		{"a short token", token[:20] + "@example.net", 550, false},
		{"a long token", token + "aaaaaaaa@example.net", 550, false},
		{"no token", "rs-@example.net", 550, false},
		{"without the prefix", token[3:] + "@example.net", 550, false},
		{"two bounces", token + "-b-b@example.net", 550, false},
		{"a percent route", token + "%example.net@example.org", 550, false},
		{"a percent route through us", "someone%example.org@example.net", 550, false},
		{"behind a plus", "x+" + token + "@example.net", 550, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, addr)
			c.say("EHLO relay.example", 250)
			c.say("MAIL FROM:<>", 250)
			before := len(b.all())
			c.say("RCPT TO:<"+tt.to+">", tt.code)
			if tt.code != 250 {
				if r, _ := c.Cmd(t.Context(), "DATA"); r.Code == 354 {
					t.Error("DATA was taken without a recipient")
				}
				if n := len(b.all()); n != before {
					t.Errorf("%d deliveries, want none", n-before)
				}
				return
			}
			c.say("DATA", 354)
			c.message("Subject: x\r\n\r\nx\r\n", 250)
			got := b.all()
			if len(got) != before+1 {
				t.Fatalf("%d deliveries, want one", len(got)-before)
			}
			d := got[before]
			if wanted := strings.ToLower(d.Canary); d.Canary != wanted || d.Bounce != tt.bounce || d.HELO != "relay.example" || !strings.HasPrefix(d.Peer, "127.0.0.1:") || d.Time.IsZero() || d.Time.Location() != time.UTC {
				t.Errorf("got %+v", d)
			}
		})
	}
}

// Nobody relays through the sink, and a domain that is not configured takes nothing.
func TestTheSinkIsNoRelay(t *testing.T) {
	addr := serve(t, &canary.Sink{Canary: probe.Canary{Key: []byte("our key")}, Name: "sink.example"})
	c := dial(t, addr)
	c.say("EHLO relay.example", 250)
	c.say("MAIL FROM:<a@example.org>", 250)
	for _, to := range []string{"b@example.org", token + "@" + probe.ReservedDomain, token + "@example.net", "postmaster"} {
		if r, err := c.Cmd(t.Context(), "RCPT TO:<"+to+">"); err != nil || r.Code < 500 {
			t.Errorf("%s: got %v, %v, want a refusal", to, r, err)
		}
	}
}

// What could not be stored was not taken: the sender is told to come again, and nobody hears of the delivery.
func TestStoreFails(t *testing.T) {
	b := &box{}
	var stored []probe.Delivery
	full := true
	s := &canary.Sink{Canary: ours, Take: b.take, Store: func(d probe.Delivery) error {
		if full {
			return errors.New("disk full")
		}
		stored = append(stored, d)
		return nil
	}}
	c := dial(t, serve(t, s))
	send := func(code int) {
		t.Helper()
		c.say("MAIL FROM:<"+token+"-b@example.net>", 250)
		c.say("RCPT TO:<"+token+"@example.net>", 250)
		c.say("DATA", 354)
		c.message("Received: from a by b\r\n\r\nx\r\n", code)
	}
	c.say("EHLO relay.example", 250)
	send(451)
	if n := len(b.all()); n != 0 {
		t.Errorf("%d deliveries were taken that are not stored", n)
	}
	full = false
	send(250)
	if n := len(b.all()); n != 1 || len(stored) != 1 {
		t.Errorf("%d taken and %d stored, want one", n, len(stored))
	}
}

// Strangers can send anything to a canary's address that they have seen: what is kept of it is bounded.
func TestReceivedLines(t *testing.T) {
	for _, tt := range []struct {
		name, message string
		want          []string
	}{
		{"none", "Subject: x\r\n\r\nReceived: in the body\r\n", nil},
		{"two, the newest first", "Received: from b by c\r\nReceived: from a by b\r\nSubject: x\r\n\r\nx\r\n", []string{"from b by c", "from a by b"}},
		{"folded", "Received: from a\r\n\tby b with ESMTP;\r\n Tue, 3 Jun 2025 10:00:00 +0000\r\nSubject: x\r\n y\r\n\r\nx\r\n", []string{"from a by b with ESMTP; Tue, 3 Jun 2025 10:00:00 +0000"}},
		{"in any case", "RECEIVED: from a\r\nreceived:from b\r\n\r\n", []string{"from a", "from b"}},
		{"names that only begin so", "Received-SPF: pass\r\nReceivedX: y\r\n\r\n", nil},
		{"a fold before anything", " x\r\nReceived: a\r\n\r\n", []string{"a"}},
		{"no body", "Received: a\r\n", []string{"a"}},
		{"empty", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &box{}
			c := dial(t, serve(t, &canary.Sink{Canary: ours, Take: b.take}))
			c.say("EHLO relay.example", 250)
			c.say("MAIL FROM:<>", 250)
			c.say("RCPT TO:<"+token+"@example.net>", 250)
			c.say("DATA", 354)
			c.message(tt.message, 250)
			if got := b.all(); len(got) != 1 || !slices.Equal(got[0].Received, tt.want) {
				t.Errorf("got %+v, want %q", got, tt.want)
			}
		})
	}
}

func TestMessagesAreBounded(t *testing.T) {
	for _, tt := range []struct {
		name, message string
		code          int
	}{
		{"a thousand Received lines", strings.Repeat("Received: from "+strings.Repeat("ü", 400)+"\r\n", 300), 250},
		{"one line folded a thousand times", "Received: x\r\n" + strings.Repeat(" "+strings.Repeat("y", 200)+"\r\n", 1000), 250},
		{"a quarter of a megabyte and more", strings.Repeat(strings.Repeat("x", 998)+"\r\n", 270), 552},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &box{}
			c := dial(t, serve(t, &canary.Sink{Canary: ours, Take: b.take}))
			c.say("EHLO "+strings.Repeat("h", 600)+".example", 250)
			c.say("MAIL FROM:<"+strings.Repeat("s", 600)+"@example.org>", 250)
			c.say("RCPT TO:<"+token+"@"+strings.Repeat("label.", 60)+"example.net>", 250)
			c.say("DATA", 354)
			c.message(tt.message, tt.code)
			for _, d := range b.all() {
				if len(d.Received) > 32 || len(d.HELO) > 512 || len(d.From) > 512 || len(d.To) > 512 {
					t.Errorf("kept %d lines, %d, %d and %d bytes", len(d.Received), len(d.HELO), len(d.From), len(d.To))
				}
				for _, r := range d.Received {
					if len(r) > 512 || !utf8.ValidString(r) {
						t.Errorf("kept a line of %d bytes, valid: %v", len(r), utf8.ValidString(r))
					}
				}
			}
			if n := len(b.all()); (n == 1) != (tt.code == 250) {
				t.Errorf("%d deliveries", n)
			}
		})
	}
}

// A message to many canaries is a delivery for each.
func TestManyRecipients(t *testing.T) {
	b := &box{}
	c := dial(t, serve(t, &canary.Sink{Canary: ours, Take: b.take}))
	c.say("EHLO relay.example", 250)
	c.say("MAIL FROM:<>", 250)
	var want []string
	for i := range 20 {
		one := ours.Token("scan-1", "192.0.2.1:25", fmt.Sprint("R", i), "outside")
		want = append(want, one)
		c.say("RCPT TO:<"+one+"@example.net>", 250)
	}
	c.say("RCPT TO:<someone@example.net>", 550)
	c.say("DATA", 354)
	c.message("x\r\n", 250)
	var got []string
	for _, d := range b.all() {
		got = append(got, d.Canary)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func delivery(n int) probe.Delivery {
	return probe.Delivery{Canary: fmt.Sprintf("rs-%020d", n), Time: time.Date(2025, 6, 3, 10, 0, n, 0, time.UTC), Peer: "192.0.2.1:25", HELO: "relay.example", From: "a@example.org", To: "b@example.net", Received: []string{"from a by b", "日本"}}
}

func canaries(ds []probe.Delivery) (out []string) {
	for _, d := range ds {
		out = append(out, d.Canary)
	}
	return out
}

func TestFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "deliveries.jsonl")
	write := func(ns ...int) {
		t.Helper()
		f, err := canary.OpenFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range ns {
			if err := f.Append(delivery(n)); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	read := func(ns ...int) {
		t.Helper()
		var want []string
		for _, n := range ns {
			want = append(want, delivery(n).Canary)
		}
		got, err := canary.ReadFile(name)
		if err != nil || !slices.Equal(canaries(got), want) {
			t.Errorf("got %q, %v, want %q", canaries(got), err, want)
		}
	}
	if _, err := canary.ReadFile(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: got %v, want %v", err, os.ErrNotExist)
	}
	write()
	read()
	write(1, 2)
	read(1, 2)
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want mode 0600", info.Mode(), err)
	}
	whole, _ := os.ReadFile(name)
	// Killed at any byte of the last line: what was told to be stored is there, and what comes next is not lost.
	for cut := len(whole) - 1; whole[cut-1] != '\n'; cut-- {
		if err := os.WriteFile(name, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if cut < len(whole)-1 {
			read(1)
		}
		write(3)
		read(1, 3)
	}
	// A line that is broken in the middle is an error that names it.
	os.WriteFile(name, append([]byte("{\n"), whole...), 0o600)
	if _, err := canary.ReadFile(name); err == nil || !strings.Contains(err.Error(), "deliveries.jsonl:1:") {
		t.Errorf("got %v, want an error that names line 1", err)
	}
	got, err := canary.ReadFile(os.DevNull)
	if err != nil || len(got) != 0 {
		t.Errorf("an empty device: got %v, %v", got, err)
	}
}

func TestFileKeepsEverything(t *testing.T) {
	name := filepath.Join(t.TempDir(), "deliveries.jsonl")
	f, err := canary.OpenFile(name)
	if err != nil {
		t.Fatal(err)
	}
	want := delivery(1)
	want.Bounce = true
	for range 32 {
		want.Received = append(want.Received, strings.Repeat("\x01", 512)) // as long as a line can become
	}
	if err := f.Append(want); err != nil {
		t.Fatal(err)
	}
	f.Close()
	got, err := canary.ReadFile(name)
	if err != nil || len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(want) {
		t.Errorf("got %v, %v", got, err)
	}
}

var loopback = func() *discover.Scope {
	s, err := discover.NewScope(discover.Spec{Targets: []discover.Entry{{Text: "127.0.0.0/8", Where: "test"}}})
	if err != nil {
		panic(err)
	}
	return s
}()

// The whole way: a relay takes a canary, hands it to the sink, and the delivery proves the vector.
func TestCanariesComeHome(t *testing.T) {
	for _, tt := range []struct {
		name, dialog string
		before       probe.Verdict
		proven       []string // vectors, of many
		class        probe.Class
	}{
		{"a relay for all", "relay", probe.Queued, []string{"S1"}, probe.Relay},
		{"a relay by a percent sign", "percent", probe.Queued, []string{"R1"}, probe.Relay},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &box{}
			home := serve(t, &canary.Sink{Canary: ours, Take: b.take})
			file, err := os.Open(filepath.Join("testdata", tt.dialog+".dialog"))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			d, err := smtptest.Parse(file.Name(), file)
			if err != nil {
				t.Fatal(err)
			}
			relay := &smtptest.Server{Dialog: d, Relay: home}
			relay.Start(t)
			p := &probe.Prober{
				Dialer: loopback.Dialer(netip.Addr{}, time.Second), Limiter: ratelimit.New(ratelimit.Rates{}),
				Limits: smtp.Limits{Greeting: 5 * time.Second, Reply: 5 * time.Second},
				Scan:   "scan-1", Organisation: "Example City", Contact: "netops@city.example", Canary: ours, StopAt: probe.Delivered,
				HELO: "scanner.example", Domains: []string{"org.example"}, Senders: []string{"alice@org.example"},
			}
			target, err := loopback.Target(relay.Addr())
			if err != nil {
				t.Fatal(err)
			}
			f, err := p.Probe(t.Context(), discover.Opening{Target: target, Vantage: "outside"})
			if err != nil {
				t.Fatal(err)
			}
			relay.Wait(f.Connections)
			score := relay.Score()
			if f.Verdict() != tt.before || score.Messages == 0 || score.Early != 0 {
				t.Errorf("before they come home: got %s, %d messages, spoke %d times early, errors %q", f.Verdict(), score.Messages, score.Early, score.RelayErrors)
			}
			sent := make(map[string]*probe.Attempt)
			for i := range f.Attempts {
				sent[f.Attempts[i].Canary] = &f.Attempts[i]
			}
			for _, d := range b.all() {
				a := sent[d.Canary]
				if a == nil || a.Verdict() < probe.Queued {
					t.Errorf("a delivery that no attempt sent: %+v", d)
					continue
				}
				if d.Bounce || len(d.Received) != 1 || !strings.Contains(d.Received[0], "by mx.org.example") || d.From != a.From {
					t.Errorf("%s: got %+v", a.Form, d)
				}
				a.Delivered, a.Home = true, &d
			}
			if f.Verdict() != probe.Delivered || f.Class() != tt.class {
				t.Errorf("got %s, %s, want delivered, %s", f.Verdict(), f.Class(), tt.class)
			}
			var proven []string
			for _, a := range f.Attempts {
				if a.Delivered {
					proven = append(proven, a.Vector)
				}
				if a.Verdict() == probe.Queued {
					t.Errorf("%s was taken and did not come home: %q", a.Form, score.RelayErrors)
				}
			}
			for _, id := range tt.proven {
				if !slices.Contains(proven, id) {
					t.Errorf("proven by %q, want %s among them", proven, id)
				}
			}
			t.Logf("%d canaries came home: %q", len(b.all()), proven)
		})
	}
}
