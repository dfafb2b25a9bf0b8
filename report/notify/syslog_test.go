package notify

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gosyslog "github.com/leodido/go-syslog/v4"
	"github.com/leodido/go-syslog/v4/octetcounting"
	"github.com/leodido/go-syslog/v4/rfc5424"

	"relaysweep/probe"
	"relaysweep/report"
)

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

func TestParseAddress(t *testing.T) {
	for _, tt := range []struct{ in, network, address string }{
		{"udp://192.0.2.1:514", "udp", "192.0.2.1:514"},
		{"udp://[2001:db8::1]:514", "udp", "[2001:db8::1]:514"},
		{"tcp://loghost.example:601", "tcp", "loghost.example:601"},
		{"tls://loghost.example:6514", "tls", "loghost.example:6514"},
		{"unix:///dev/log", "unixgram", "/dev/log"},
		{"udp://192.0.2.1", "", ""},
		{"udp://192.0.2.1:0", "", ""},
		{"udp://192.0.2.1:65536", "", ""},
		{"udp://192.0.2.1:syslog", "", ""},
		{"udp://:514", "", ""},
		{"tcp://loghost.example:601/x", "", ""},
		{"tls://user@loghost.example:6514", "", ""},
		{"unix://dev/log", "", ""},
		{"unix:/dev/log?x", "", ""},
		{"http://loghost.example:601", "", ""},
		{"loghost.example:514", "", ""},
		{"", "", ""},
	} {
		network, address, err := ParseAddress(tt.in)
		if network != tt.network || address != tt.address || (err == nil) != (tt.network != "") {
			t.Errorf("%q: got %q, %q, %v, want %q, %q", tt.in, network, address, err, tt.network, tt.address)
		}
	}
	for name, want := range map[string]Format{"": RFC5424, "rfc5424": RFC5424, "cef": CEF, "rfc3164": ""} {
		if got, err := ParseFormat(name); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", name, got, err, want)
		}
	}
}

// read parses a line as others do.
func read(t testing.TB, line string) *rfc5424.SyslogMessage {
	t.Helper()
	m, err := rfc5424.NewParser().Parse([]byte(line))
	if err != nil {
		t.Fatalf("%v: %q", err, line)
	}
	return m.(*rfc5424.SyslogMessage)
}

func data(m *rfc5424.SyslogMessage) map[string]string {
	if m.StructuredData == nil {
		return nil
	}
	return (*m.StructuredData)["relaysweep@32473"]
}

// A line for the scan, for each change, and for what is bad enough; another's parser reads what was meant.
func TestLines(t *testing.T) {
	r := reportOf(refusing("198.51.100.12:25"), relay("198.51.100.10:25", "Postfix", "3.11.6"))
	list := events(r, changesOf(), report.Medium)
	for i, tt := range []struct {
		id       string
		severity uint8
		message  string
		data     map[string]string
	}{
		{"scan", 6, "scan 20261122-020000-abcdef from internet is complete: 256 of 256 targets looked at, findings: 2, exposed relays: 1, changes: 2", map[string]string{"severity": "info", "outcome": "complete", "findings": "2", "exposed": "1", "changes": "2", "vantage": "internet"}},
		{"finding", 3, "198.51.100.10:25 high: relays: a message to a foreign address would be taken (Postfix 3.11.6), seen from internet", map[string]string{"severity": "high", "verdict": "ready", "class": "relay", "product": "Postfix", "version": "3.11.6", "vectors": "S1", "hostname": "mx1.org.example", "banner": "mx1.org.example ESMTP Postfix"}},
		{"change", 3, `198.51.100.10:25 changed: version "3.4.13" to "3.11.6", verdict "refused" to "ready", seen from internet`, map[string]string{"severity": "high", "kind": "changed", "ip": "198.51.100.10", "port": "25", "upgraded": "true", "worse": "true", "differences": `version "3.4.13" to "3.11.6", verdict "refused" to "ready"`}},
		{"change", 5, "198.51.100.11:25 gone: closed (reset), seen from internet", map[string]string{"severity": "low", "kind": "gone", "worse": "false", "reason": "closed (reset)"}},
	} {
		if i >= len(list) {
			t.Fatalf("%d lines", len(list))
		}
		line := rfc5424Line(list[i])
		m := read(t, line)
		if *m.Facility != 3 || *m.Severity != tt.severity || *m.Appname != "relaysweep" || *m.Hostname != "scanner.example.net" || *m.MsgID != tt.id || *m.Message != tt.message {
			t.Errorf("line %d: %s", i, line)
		}
		for k, v := range tt.data {
			if got := data(m)[k]; got != v {
				t.Errorf("line %d: %s is %q, want %q: %s", i, k, got, v, line)
			}
		}
	}
	if len(list) != 4 {
		t.Errorf("%d lines, want 4", len(list))
	}
	if m := read(t, rfc5424Line(list[1])); !m.Timestamp.Equal(began.Add(2 * time.Minute)) {
		t.Errorf("time %v", m.Timestamp)
	}
}

func rfc5424Line(e event) string { return rfc5424Of(e, "scanner.example.net", RFC5424) }

func rfc5424Of(e event, host string, f Format) string { return line(e, host, f, "v1.2.3") }

// The severity that is asked for is held.
func TestLeastSeverity(t *testing.T) {
	r := reportOf(refusing("198.51.100.12:25"), relay("198.51.100.10:25", "Postfix", ""))
	for least, want := range map[report.Severity]int{report.Info: 3, report.Medium: 2, report.High: 2, report.Critical: 1} {
		if got := len(events(r, nil, least)); got != want {
			t.Errorf("%s: %d lines, want %d", least, got, want)
		}
	}
}

// An incomplete scan warns.
func TestIncompleteScanWarns(t *testing.T) {
	r := reportOf()
	r.Scan.Complete = false
	m := read(t, rfc5424Line(events(r, nil, report.Info)[0]))
	if *m.Severity != 4 || data(m)["outcome"] != "incomplete" || data(m)["changes"] != "not known" {
		t.Errorf("%v %v", *m.Severity, data(m))
	}
}

// A scan that finds too much to tell says how much it leaves out, and tells the worst.
func TestLinesAreBounded(t *testing.T) {
	open := report.Input{Scan: reportOf().Scan, Approvals: []report.Approval{}}
	for i := range 5 {
		open.Findings = append(open.Findings, refusing(fmt.Sprintf("198.51.100.%d:25", i)))
	}
	open.Findings = append(open.Findings, relay("198.51.100.5:25", "Postfix", ""))
	changes := &report.Changes{List: make([]report.Change, maxLines)}
	for i := range changes.List {
		changes.List[i] = report.Change{Kind: report.IsNotRechecked, Addr: netip.MustParseAddrPort("198.51.100.1:25")}
	}
	changes.List[maxLines-1].Severity = report.Critical // of a relay of which nobody can say whether it is still there
	list := events(report.New(open), changes, report.Medium)
	if len(list) != maxLines+1 || !strings.HasSuffix(list[0].message, "; 7 lines are left out") {
		t.Errorf("%d lines, %s", len(list), list[0].message)
	}
	told := make(map[string]int)
	for _, e := range list {
		told[e.kind+" "+e.severity.String()]++
	}
	if want := fmt.Sprintf("map[change critical:1 change low:%d finding high:1 scan info:1 violation medium:6]", maxLines-8); fmt.Sprint(told) != want {
		t.Errorf("got %v, want %s", told, want)
	}
}

// What stands against the approvals is told as findings are.
func TestViolationLines(t *testing.T) {
	r := approved()
	for i, tt := range []struct {
		id       string
		severity uint8
		message  string
		data     map[string]string
	}{
		{"violation", 4, "198.51.100.11:25 unapproved: a listener (smtp, Postfix 3.11.6) that no approval covers, seen from internet", map[string]string{"severity": "medium", "kind": "unapproved", "ip": "198.51.100.11", "port": "25", "site": "hq", "owner": ""}},
		{"violation", 5, "unused: nothing of 198.51.100.77:25 was seen open from internet; owner Mail team, CHG-1 (approvals.yaml:1), seen from internet", map[string]string{"severity": "low", "kind": "unused", "ip": "", "owner": "Mail team", "ticket": "CHG-1", "expires": "2027-11-21"}},
	} {
		list := events(r, nil, report.Low)
		if len(list) != 3 {
			t.Fatalf("%d lines, want 3: %+v", len(list), list)
		}
		m := read(t, rfc5424Line(list[i+1]))
		if *m.MsgID != tt.id || *m.Severity != tt.severity || *m.Message != tt.message {
			t.Errorf("%s %d %q, want %s %d %q", *m.MsgID, *m.Severity, *m.Message, tt.id, tt.severity, tt.message)
		}
		for k, v := range tt.data {
			if got := data(m)[k]; got != v {
				t.Errorf("%s is %q, want %q", k, got, v)
			}
		}
		h, x, err := readCEF(*read(t, rfc5424Of(list[i+1], "h", CEF)).Message)
		if err != nil || h[4] != "violation-"+tt.data["kind"] || x["deviceExternalId"] != "hq" || x["cs2"] != tt.data["kind"] {
			t.Errorf("CEF: %q, %v, %v", h, x, err)
		}
	}
	if n := len(events(r, nil, report.Medium)); n != 2 {
		t.Errorf("of severity medium: %d lines, want 2", n)
	}
}

// The severity of a change is that of what was found last, but for what is gone.
func TestSeverityOfChanges(t *testing.T) {
	for _, tt := range []struct {
		kind      report.ChangeKind
		had, want report.Severity
	}{
		{report.IsNotRechecked, report.Critical, report.Critical},
		{report.IsChanged, report.High, report.High},
		{report.IsNew, report.Info, report.Low},
		{report.IsGone, report.Critical, report.Low},
	} {
		c := report.Change{Kind: tt.kind, Severity: tt.had, Addr: netip.MustParseAddrPort("198.51.100.1:25")}
		if got := events(reportOf(), &report.Changes{List: []report.Change{c}}, report.Critical)[1].severity; got != tt.want {
			t.Errorf("%s of %s: got %s, want %s", tt.kind, tt.had, got, tt.want)
		}
	}
}

// What a server says can neither end a line nor pass for another field.
func TestHostileTextStaysInItsField(t *testing.T) {
	for _, e := range events(reportOf(evil()), nil, report.Info)[1:] {
		line := rfc5424Line(e)
		m := read(t, line)
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(*m.StructuredData) != 1 {
			t.Errorf("%q", line)
		}
		if got, want := data(m)["banner"], report.Escape(hostile); got != want {
			t.Errorf("banner %q, want %q", got, want)
		}
		if got := data(m)["ip"]; got != "2001:db8::25" {
			t.Errorf("ip %q", got)
		}
	}
}

// A name of the machine that no header could hold.
func TestHostName(t *testing.T) {
	e := events(reportOf(), nil, report.Info)[0]
	for _, tt := range []struct{ host, want string }{
		{"scanner.example.net", "scanner.example.net"},
		{"my scanner\n", "my_scanner_"},
		{"日本", "__"},
		{strings.Repeat("h", 300), strings.Repeat("h", 255)},
	} {
		if m := read(t, rfc5424Of(e, tt.host, RFC5424)); *m.Hostname != tt.want {
			t.Errorf("%q: got %q", tt.host, *m.Hostname)
		}
	}
	if m := read(t, rfc5424Of(e, "", RFC5424)); m.Hostname != nil {
		t.Errorf("no name: %q", *m.Hostname)
	}
}

// receive starts a receiver of streams and returns its address and what came, once all clients are gone.
func receive(t *testing.T, l net.Listener) (address string, all func() []byte) {
	t.Helper()
	var got bytes.Buffer
	var done sync.WaitGroup
	done.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.Copy(&got, c)
	})
	t.Cleanup(func() { l.Close(); done.Wait() })
	return l.Addr().String(), func() []byte { done.Wait(); return got.Bytes() }
}

// Streams count octets, and another's parser reads them.
func TestStreams(t *testing.T) {
	for _, scheme := range []string{"tcp", "tls"} {
		t.Run(scheme, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			if scheme == "tls" {
				l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate()}})
			}
			address, all := receive(t, l)
			s := &Syslog{Address: scheme + "://" + address, Host: "scanner.example.net", RootCAs: roots()}
			if err := s.Send(t.Context(), reportOf(evil(), relay("198.51.100.10:25", "Postfix", "")), changesOf()); err != nil {
				t.Fatal(err)
			}
			var kinds []string
			octetcounting.NewParser(gosyslog.WithListener(func(r *gosyslog.Result) {
				if r.Error != nil {
					t.Error(r.Error)
					return
				}
				kinds = append(kinds, *r.Message.(*rfc5424.SyslogMessage).MsgID)
			})).Parse(bytes.NewReader(all()))
			if got := fmt.Sprint(kinds); got != "[scan finding finding change change]" {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestDatagrams(t *testing.T) {
	for _, tt := range []struct{ network, address string }{{"udp", "127.0.0.1:0"}, {"unixgram", filepath.Join(t.TempDir(), "log")}} {
		t.Run(tt.network, func(t *testing.T) {
			c, err := net.ListenPacket(tt.network, tt.address)
			if err != nil {
				t.Skipf("no such socket here: %v", err)
			}
			defer c.Close()
			address := "udp://" + c.LocalAddr().String()
			if tt.network == "unixgram" {
				address = "unix://" + tt.address
			}
			s := &Syslog{Address: address, Format: CEF}
			if err := s.Send(t.Context(), reportOf(evil()), nil); err != nil {
				t.Fatal(err)
			}
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			b := make([]byte, 1<<16)
			for _, want := range []string{"scan-complete", "finding-relay"} {
				n, _, err := c.ReadFrom(b)
				if err != nil {
					t.Fatal(err)
				}
				h, _, err := readCEF(*read(t, string(b[:n])).Message)
				if err != nil || h[4] != want {
					t.Errorf("got %q, %v, want %s", h, err, want)
				}
			}
		})
	}
}

// greeter is a listener that speaks first, as a mail server does.
type greeter struct{ net.Listener }

func (g greeter) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err == nil {
		_, err = io.WriteString(c, "220 mx1.org.example ESMTP\r\n")
	}
	return c, err
}

// Who does not take a log is an error, never silence.
func TestReceiversThatDoNotTakeIt(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	closed.Close()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	noTLS, _ := receive(t, greeter{plain})
	strict, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wantsClient, _ := receive(t, tls.NewListener(strict, &tls.Config{Certificates: []tls.Certificate{certificate()}, ClientAuth: tls.RequireAnyClientCert}))
	unknown, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	untrusted, _ := receive(t, tls.NewListener(unknown, &tls.Config{Certificates: []tls.Certificate{certificate()}}))
	for _, tt := range []struct {
		name, address string
		trusted       bool
	}{
		{"nobody listens", "tcp://" + nobody, true},
		{"there is no socket", "unix://" + filepath.Join(t.TempDir(), "none"), true},
		{"it does not speak TLS", "tls://" + noTLS, true},
		{"it wants a certificate of us", "tls://" + wantsClient, true},
		{"nobody vouches for it", "tls://" + untrusted, false},
		{"no address", "loghost", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &Syslog{Address: tt.address, patience: time.Minute} // which nobody wants: each of them says so
			if tt.trusted {
				s.RootCAs = roots()
			}
			if err := s.Send(t.Context(), reportOf(), nil); err == nil {
				t.Error("no error")
			}
		})
	}
}

// Whatever a server says: one line of RFC 5424, which says the same to another's parser.
func FuzzRFC5424(f *testing.F) {
	f.Add("mx1.org.example ESMTP", "relays", "scanner")
	f.Add(hostile, hostile, hostile)
	f.Add(`"]\`, "\ufeff", " ")
	f.Add(strings.Repeat(`"`, 4000), strings.Repeat("日", 2000), strings.Repeat("h", 300))
	f.Fuzz(func(t *testing.T, value, message, host string) {
		e := event{kind: "finding", id: "finding-relay", severity: report.High, time: began, message: message}
		for i := range 12 {
			e.fields = append(e.fields, field{name: fmt.Sprint("f", i), value: value})
		}
		line := rfc5424Of(e, host, RFC5424)
		if len(line) > maxLine {
			t.Fatalf("%d bytes", len(line))
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\u2028' || r == '\u0085' }) {
			t.Fatalf("a control byte in %q", line)
		}
		m := read(t, line)
		want := clip(report.Escape(value), maxValue)
		if got := data(m)["f0"]; got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
		for k, got := range data(m) {
			if k != "severity" && got != want {
				t.Fatalf("%s: got %q, want %q", k, got, want)
			}
		}
		got := ""
		if m.Message != nil {
			got = *m.Message
		}
		if got = strings.TrimSuffix(got, "..."); !strings.HasPrefix(report.ASCII(message)+"...", got) || len(got) < min(len(report.ASCII(message)), 400) {
			t.Fatalf("got %q, want %q", got, report.ASCII(message))
		}
	})
}

// A million lines would not do: a report that is large is told in bounded time and memory.
func BenchmarkLines(b *testing.B) {
	e := findingEvent(&report.Entry{Finding: evil(), Class: probe.Relay}, &report.Scan{})
	for b.Loop() {
		rfc5424Of(e, "h", RFC5424)
	}
}
