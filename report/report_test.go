package report

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/probe/smtp"
)

func entryAt(t *testing.T, r *Report, endpoint string) *Entry {
	t.Helper()
	for _, e := range r.Entries {
		if e.Finding.Addr.String() == endpoint {
			return e
		}
	}
	t.Fatalf("no entry for %s", endpoint)
	return nil
}

func TestWorstFirst(t *testing.T) {
	var got []string
	for _, e := range full().Entries {
		got = append(got, fmt.Sprintf("%s %s %s", e.Severity, e.Class, e.Finding.Addr))
	}
	want := []string{
		"critical relay 198.51.100.10:25", "critical relay 198.51.100.11:25",
		"high relay 198.51.100.12:587", "high relay [2001:db8:51:1111:2222:3333:4444:5555]:25",
		"medium catch-all 198.51.100.15:25", "medium relay 198.51.100.13:25",
		"low sink 198.51.100.14:1025", "low undetermined 198.51.100.18:25", "low auth-only 198.51.100.16:587",
		"info not-smtp 198.51.100.30:2525", "info not-smtp 198.51.100.31:25025", "info not-smtp 198.51.100.32:24",
		"info closed 198.51.100.17:25", "info closed 198.51.100.19:25",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestJoin(t *testing.T) {
	r := full()

	t.Run("a canary that came home is proof", func(t *testing.T) {
		e := entryAt(t, r, "198.51.100.10:25")
		a := e.Finding.Attempts[0]
		if e.Verdict != probe.Delivered || !a.Delivered || a.Home == nil || a.Home.Peer != "198.51.100.10:51234" {
			t.Errorf("got verdict %v, attempt %+v", e.Verdict, a)
		}
	})
	t.Run("550 after the dot, delivered all the same", func(t *testing.T) {
		e := entryAt(t, r, "198.51.100.11:25")
		if e.Verdict != probe.Delivered || e.Class != probe.Relay || e.Severity != Critical {
			t.Errorf("got %v %v %v", e.Verdict, e.Class, e.Severity)
		}
		if want := "although the server answered after the message: 550"; !strings.Contains(e.Reason, want) {
			t.Errorf("got reason %q, want %q in it", e.Reason, want)
		}
		if !slices.Equal(e.Vectors, []string{"S6"}) {
			t.Errorf("got vectors %v", e.Vectors)
		}
	})
	t.Run("without the delivery the same finding is closed", func(t *testing.T) {
		e := entryAt(t, New(Input{Scan: scan(), Findings: findings()}), "198.51.100.11:25")
		if e.Verdict == probe.Delivered || e.exposed() {
			t.Errorf("got %v %v", e.Verdict, e.Class)
		}
	})
	t.Run("what no attempt sent is kept apart", func(t *testing.T) {
		if len(r.Unmatched) != 1 || r.Unmatched[0].Canary != "rs-zzzzzzzzzzzzzzzzzzzz" {
			t.Errorf("got %+v", r.Unmatched)
		}
		if len(r.Arrivals) != 3 || r.Arrivals[0].Vector != "S1" || r.Arrivals[0].Delay != 2*time.Second {
			t.Errorf("got %+v", r.Arrivals)
		}
	})
	t.Run("a bounce proves no relay", func(t *testing.T) {
		d := deliveries()[1:2]
		d[0].Bounce = true
		e := entryAt(t, New(Input{Scan: scan(), Findings: findings(), Deliveries: d}), "198.51.100.10:25")
		if e.Verdict != probe.Queued || len(e.Bounces) != 1 || !strings.Contains(e.Reason, "bounce") {
			t.Errorf("got %v, %d bounces, %q", e.Verdict, len(e.Bounces), e.Reason)
		}
	})
	t.Run("the input is not changed", func(t *testing.T) {
		fs, ds := findings(), deliveries()
		New(Input{Scan: scan(), Findings: fs, Coverage: coverage(), Deliveries: ds})
		if !reflect.DeepEqual(fs, findings()) || !reflect.DeepEqual(ds, deliveries()) {
			t.Error("New changed what it was given")
		}
	})
}

func TestSeverity(t *testing.T) {
	relay := func(replies ...smtp.Reply) probe.Finding {
		return finding("192.0.2.1:25", "", "Postfix", "", "mx.example", attempt("S1", "rs-aaaaaaaaaaaaaaaaaaaa", replies...))
	}
	home := []probe.Delivery{{Canary: "rs-aaaaaaaaaaaaaaaaaaaa", Time: began}}
	legacy := relay(ok, denied)
	legacy.TLS = &probe.TLS{Version: "TLS 1.1", Legacy: true}
	clear := relay(needAuth)
	clear.Extensions = []string{"AUTH LOGIN PLAIN"}
	cram := relay(needAuth)
	cram.Extensions = []string{"AUTH CRAM-MD5"}
	inTLS := clear
	inTLS.Protocol = "smtps"
	old, supported := relay(ok, denied), relay(ok, denied)
	old.Service.EndOfLife, supported.Service.EndOfLife = "2026-03-06", "2034-01-01"
	routes := func(control smtp.Reply, replies ...smtp.Reply) probe.Finding {
		f := finding("192.0.2.1:25", "", "", "", "mx.example", attempt("R1", "rs-aaaaaaaaaaaaaaaaaaaa", replies...))
		f.RandomLocal = control
		return f
	}
	notAsked := probe.Finding{Addr: netip.MustParseAddrPort("192.0.2.1:25"), Protocol: "unknown", Note: "only looked for, not spoken to"}
	for _, test := range []struct {
		name       string
		f          probe.Finding
		deliveries []probe.Delivery
		outside    Severity
		inside     Severity
	}{
		{"delivered", relay(ok, taken, goAhead, queued), home, Critical, High},
		{"queued, and not home", relay(ok, taken, goAhead, queued), nil, Medium, Low},
		{"ready", relay(ok, taken, goAhead), nil, High, Medium},
		{"accepted", relay(ok, taken), nil, Medium, Low},
		{"routes ready at a catch-all", routes(taken, ok, taken, goAhead), nil, Medium, Low},
		{"routes accepted at a catch-all", routes(taken, ok, taken), nil, Low, Low},
		{"routes ready, the control not asked", routes(smtp.Reply{}, ok, taken, goAhead), nil, Medium, Low},
		{"refused because of us", relay(ok, r("554 5.7.1 Client host rejected: listed by zen.example")), nil, Low, Low},
		{"closed", relay(ok, denied), nil, Info, Info},
		{"closed, old TLS", legacy, nil, Low, Low},
		{"closed, out of support", old, nil, Low, Low},
		{"closed, in support", supported, nil, Info, Info},
		{"auth in clear text", clear, nil, Low, Low},
		{"auth in TLS", inTLS, nil, Info, Info},
		{"auth that hides the password", cram, nil, Info, Info},
		{"ssh", listener("192.0.2.1:25", "ssh", ""), nil, Info, Info},
		{"not spoken to", notAsked, nil, Info, Info},
	} {
		for _, inside := range []bool{false, true} {
			s := Scan{Vantage: "dmz", Inside: inside, Ended: began}
			test.f.Vantage = "dmz"
			e := New(Input{Scan: s, Findings: []probe.Finding{test.f}, Deliveries: test.deliveries}).Entries[0]
			want := test.outside
			if inside {
				want = test.inside
			}
			if e.Severity != want {
				t.Errorf("%s, inside %v: got %v (%v %v), want %v", test.name, inside, e.Severity, e.Class, e.Verdict, want)
			}
			if e.exposed() && strings.HasPrefix(e.Title, "relays for inside (dmz)") != inside {
				t.Errorf("%s, inside %v: got title %q", test.name, inside, e.Title)
			}
		}
	}
}

func TestParseSeverity(t *testing.T) {
	for s := Info; s <= Critical; s++ {
		if got, err := ParseSeverity(s.String()); got != s || err != nil {
			t.Errorf("%v: got %v, %v", s, got, err)
		}
	}
	if _, err := ParseSeverity("urgent"); err == nil {
		t.Error("urgent was taken")
	}
	r := full()
	if !r.WorstAtLeast(Critical) || quiet().WorstAtLeast(Low) {
		t.Error("WorstAtLeast is wrong")
	}
}

func TestLeftOpen(t *testing.T) {
	discoverOnly := New(Input{Scan: Scan{Vantage: "internet"}, Findings: []probe.Finding{{Addr: netip.MustParseAddrPort("192.0.2.1:25"), Protocol: "unknown", Note: "only looked for, not spoken to"}}})
	queuedOnly := New(Input{Scan: scan(), Findings: findings()})
	accepted := scan()
	accepted.StopAt = probe.Accepted
	for _, test := range []struct {
		name string
		r    *Report
		want []string
		not  []string
	}{
		{"no canary domain, stopped at ready", quiet(), []string{"RFC 2606", "stop_at: ready", "No IPv6", "Only ports 25"}, []string{"kept silent"}},
		{"everything", full(), []string{"earlier scan's", "could not be judged", "kept silent", "3 targets in scope were not attempted", "our side", "excluded", "IPv6 was looked at only", "LMTP", "No login"}, []string{"RFC 2606", "stop_at"}},
		{"nothing was said", discoverOnly, []string{"Nothing was said"}, []string{"RFC 2606", "No login"}},
		{"a canary is still out", queuedOnly, []string{"1 server took a canary, and none came home from anywhere"}, nil},
		{"stopped at the recipient", New(Input{Scan: accepted, Findings: findings()}), []string{"stop_at: accepted"}, nil},
	} {
		text := strings.Join(test.r.Open, "\n")
		for _, w := range test.want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %q is not in\n%s", test.name, w, text)
			}
		}
		for _, w := range test.not {
			if strings.Contains(text, w) {
				t.Errorf("%s: %q is in\n%s", test.name, w, text)
			}
		}
	}
}

func TestHeadline(t *testing.T) {
	inside := scan()
	inside.Inside, inside.Vantage = true, "dmz"
	fs := findings()
	for i := range fs {
		fs[i].Vantage = ""
	}
	many := append(findings(), findings()[4])
	many[len(many)-1].Vantage = "dmz"
	for _, test := range []struct {
		name string
		r    *Report
		want []string
	}{
		{"relays", full(), []string{"5 openings expose relays, seen from internet"}},
		{"one relay", New(Input{Scan: scan(), Findings: findings()[4:5], Deliveries: deliveries()}), []string{"1 opening exposes a relay, seen from internet"}},
		{"none", quiet(), []string{"No opening exposes a relay, seen from internet, as far as this scan could see."}},
		{"inside", New(Input{Scan: inside, Findings: fs[4:5], Deliveries: deliveries()}), []string{"1 opening relays for inside (dmz)"}},
		{"two vantages", New(Input{Scan: scan(), Findings: many[4:], Deliveries: deliveries()}), []string{"5 openings expose relays, seen from internet", "1 opening exposes a relay, seen from dmz"}},
		{"no mail server", New(Input{Scan: scan(), Findings: findings()[:1]}), []string{"No mail server answered, seen from internet, as far as this scan could see."}},
		{"nothing", New(Input{}), []string{"No opening was found, as far as this scan could see."}},
	} {
		var got []string
		for _, a := range test.r.answers() {
			got = append(got, a.Headline)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestTally(t *testing.T) {
	c := full().Totals.Coverage
	if c.Targets != 498 || c.Looked != 494 || c.NotAttempted != 3 || c.Failed != 1 || c.Excluded != 16 {
		t.Errorf("got %+v", c)
	}
	if c.Looked+c.NotAttempted+c.Failed != c.Targets {
		t.Error("the counts do not add up to the targets")
	}
	var raw uint64
	for _, row := range coverage() {
		raw += row.Looked() + row.NotAttempted + row.Failed
	}
	if raw != c.Targets+c.Excluded {
		t.Errorf("got %d, want %d", c.Targets+c.Excluded, raw)
	}
}

// The same input gives the same bytes, in whatever order the findings came.
func TestDeterminism(t *testing.T) {
	backward := findings()
	slices.Reverse(backward)
	late := deliveries()
	slices.Reverse(late)
	a, b := full(), New(Input{Scan: scan(), Findings: backward, Coverage: coverage(), Deliveries: late})
	for name, write := range renderers() {
		var x, y bytes.Buffer
		if write(&x, a) != nil || write(&y, b) != nil || !bytes.Equal(x.Bytes(), y.Bytes()) {
			t.Errorf("%s differs: %s", name, firstDifference(x.Bytes(), y.Bytes()))
		}
	}
}

func TestPorts(t *testing.T) {
	if got, want := ports(discover.DefaultPorts()), "ports 24-26, 209, 366, 465, 475, 587, 628, 717, 1025, 2500, 2525, 3025, 8025, 10024-10026, 25000, 25025"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := ports([]uint16{25}); got != "port 25" {
		t.Errorf("got %q", got)
	}
}

// A proxy on the way makes every host look like the same mail server.
func TestGreetAlike(t *testing.T) {
	var fs []probe.Finding
	for i := range 5 {
		f := finding(fmt.Sprintf("198.51.100.%d:25", 10+i), "Postfix", "Postfix", "", "mx.org.example", attempt("S1", "rs-iiiiiiiiiiiiiiiiiiii", ok, denied))
		f.Greeting = "mx.org.example ESMTP"
		fs = append(fs, f)
	}
	for n, want := range map[int]bool{5: true, 3: false} {
		text := strings.Join(New(Input{Scan: scan(), Findings: fs[:n]}).Open, "\n")
		if got := strings.Contains(text, fmt.Sprintf("%d addresses greet alike (mx.org.example ESMTP)", n)); got != want {
			t.Errorf("%d: got %v, want %v in\n%s", n, got, want, text)
		}
	}
}
