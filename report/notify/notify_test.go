package notify

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/probe/smtp"
	"relaysweep/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var began = time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)

// hostile is what a server may say to whoever reads a log of it.
const hostile = "mx\r\n<34>1 - forged - - - - all is well\n\x00\x1b[2J\u202egro\xff|\\|=]\" src=10.0.0.1 \u65e5\u672c\u8a9e]"

func ok(code int) smtp.Reply { return smtp.Reply{Code: code, Lines: []string{"ok"}} }

// relay is a finding of an opening that relays.
func relay(endpoint, product, version string) probe.Finding {
	f := probe.Finding{
		Addr: netip.MustParseAddrPort(endpoint), Vantage: "internet", Protocol: "smtp", Greeting: "mx1.org.example ESMTP " + product, Names: []string{"mx1.org.example"},
		Connections: 2, Started: began.Add(time.Minute), Ended: began.Add(2 * time.Minute),
		Attempts: []probe.Attempt{{Vector: "S1", Form: "S1", From: "a@example.net", To: "<b@example.net>", Sent: began, Mail: ok(250), Rcpt: ok(250), Data: ok(354)}},
	}
	f.Service.Product, f.Service.Version = product, version
	return f
}

// refusing is a finding of a server that refuses to relay.
func refusing(endpoint string) probe.Finding {
	f := relay(endpoint, "Postfix", "3.11.6")
	f.Attempts[0].Rcpt, f.Attempts[0].Data = smtp.Reply{Code: 554, Lines: []string{"5.7.1 Relay access denied"}}, smtp.Reply{}
	return f
}

func reportOf(findings ...probe.Finding) *report.Report {
	return report.New(report.Input{Findings: findings, Scan: report.Scan{
		ID: "20261122-020000-abcdef", Version: "v1.2.3", Organisation: "Example City", Vantage: "internet", Ports: []uint16{25},
		Started: began, Ended: began.Add(time.Hour), Complete: true, Targets: 256, Sent: 256,
	}, Coverage: []discover.CoverageRow{{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Port: 25, Open: 2, Closed: 254}}})
}

func sightAt(f probe.Finding, v probe.Verdict) *report.Sight {
	return &report.Sight{Addr: f.Addr, State: discover.Open, FirstSeen: began, LastSeen: began, LastChecked: began, Scan: "20261022-020000-abcdef", Found: &f, Judged: report.Judgement{Verdict: v, Class: probe.Relay}}
}

// approved is the report of a scan of a site, which found a server that nobody approved, and nothing of what is approved.
func approved() *report.Report {
	in := report.Input{Findings: []probe.Finding{refusing("198.51.100.11:25")}, Scan: reportOf().Scan, Coverage: reportOf().Coverage}
	in.Scan.Site = "hq"
	in.Approvals = []report.Approval{{Vantage: in.Scan.Vantage, Address: netip.MustParsePrefix("198.51.100.77/32"), Ports: []uint16{25}, Owner: "Mail team", Ticket: "CHG-1", Expires: began.AddDate(1, 0, 0).Truncate(24 * time.Hour), Where: "approvals.yaml:1"}}
	return report.New(in)
}

// changesOf is of one server that relays since its upgrade, and of one that is gone.
func changesOf() *report.Changes {
	before, after := relay("198.51.100.10:25", "Postfix", "3.4.13"), relay("198.51.100.10:25", "Postfix", "3.11.6")
	gone := refusing("198.51.100.11:25")
	return &report.Changes{From: "20261022-020000-abcdef", To: "20261122-020000-abcdef", Vantage: "internet", List: []report.Change{
		{
			Kind: report.IsChanged, Severity: report.High, Addr: before.Addr, Vantage: "internet", Before: sightAt(before, probe.Refused), After: sightAt(after, probe.Ready), Upgraded: true, Worse: true,
			Differences: []report.Difference{{Field: "version", Before: "3.4.13", After: "3.11.6"}, {Field: "verdict", Before: "refused", After: "ready"}},
		},
		{Kind: report.IsGone, Addr: gone.Addr, Vantage: "internet", Before: sightAt(gone, probe.Refused), Reason: "closed (reset)"},
	}}
}

// evil is a finding whose every text is hostile.
func evil() probe.Finding {
	f := relay("[2001:db8::25]:25", hostile, hostile)
	f.Greeting, f.Names, f.Vantage = hostile, []string{hostile, hostile}, hostile
	return f
}

func TestWhen(t *testing.T) {
	incomplete := reportOf(refusing("198.51.100.11:25"))
	incomplete.Scan.Complete = false
	quiet, relays := reportOf(refusing("198.51.100.11:25")), reportOf(relay("198.51.100.10:25", "Postfix", ""))
	for _, tt := range []struct {
		name                       string
		r                          *report.Report
		changes                    *report.Changes
		always, onChange, onFindig bool
	}{
		{"nothing changed and nothing relays", quiet, &report.Changes{}, true, false, false},
		{"something changed", quiet, changesOf(), true, true, false},
		{"nothing changed, and it still relays", relays, &report.Changes{}, true, false, true},
		{"what changed is not known", quiet, nil, true, true, false},
		{"nothing changed, and a server is not approved", approved(), &report.Changes{}, true, false, true},
		{"the scan is incomplete", incomplete, &report.Changes{}, true, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for w, want := range map[When]bool{Always: tt.always, OnChange: tt.onChange, OnFinding: tt.onFindig} {
				if got := w.Wants(tt.r, tt.changes); got != want {
					t.Errorf("%s: got %v, want %v", w, got, want)
				}
			}
		})
	}
	for text, want := range map[string]When{"": OnChange, "always": Always, "change": OnChange, "finding": OnFinding} {
		if got, err := ParseWhen(text); got != want || err != nil {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
	if _, err := ParseWhen("never"); err == nil {
		t.Error("never is taken for an occasion")
	}
}

func TestTextIsSafeToShow(t *testing.T) {
	for _, tt := range []struct{ in, text, ascii string }{
		{"", "", ""},
		{"mx1 ESMTP", "mx1 ESMTP", "mx1 ESMTP"},
		{"a\r\nb", `a\x0d\x0ab`, `a\x0d\x0ab`},
		{"\x1b[2J\u202e", `\x1b[2J\xe2\x80\xae`, `\x1b[2J\xe2\x80\xae`},
		{"\u2028\u0085", `\xe2\x80\xa8\xc2\x85`, `\xe2\x80\xa8\xc2\x85`},
		{"\xff\xfe", `\xff\xfe`, `\xff\xfe`},
		{"\ufeffx", `\xef\xbb\xbfx`, `\xef\xbb\xbfx`},
		{"日本", "日本", `\u{65e5}\u{672c}`},
		{"\ufffd", "\ufffd", `\u{fffd}`},
	} {
		if got := report.Escape(tt.in); got != tt.text {
			t.Errorf("Escape(%q): got %q, want %q", tt.in, got, tt.text)
		}
		if got := report.ASCII(tt.in); got != tt.ascii {
			t.Errorf("ASCII(%q): got %q, want %q", tt.in, got, tt.ascii)
		}
	}
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{{"abcdef", 6, "abcdef"}, {"abcdefg", 6, "abc..."}, {"日本語", 8, "日..."}, {"日本語", 9, "日本語"}} {
		if got := clip(tt.in, tt.n); got != tt.want {
			t.Errorf("clip(%q, %d): got %q, want %q", tt.in, tt.n, got, tt.want)
		}
	}
}

// many is a report of so many relays.
func many(n int) *report.Report {
	var list []probe.Finding
	for i := range n {
		list = append(list, relay(fmt.Sprintf("198.18.%d.%d:25", i/256, i%256), strings.Repeat("P", 10), ""))
	}
	return reportOf(list...)
}
