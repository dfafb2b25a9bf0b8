package report

import (
	"bytes"
	"encoding/json"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
)

// approval makes one that ended or ends so many days after the scan began.
func approval(prefix string, days int, change func(*Approval)) Approval {
	a := Approval{
		Address: netip.MustParsePrefix(prefix), Owner: "netops", Approver: "ciso", Ticket: "CHG0012345", Reason: "branch printers",
		Approved: began.AddDate(-2, 0, 0), Expires: began.Truncate(24*time.Hour).AddDate(0, 0, days+1), Where: "approvals.yaml:1",
	}
	if change != nil {
		change(&a)
	}
	return a
}

func parties(list ...string) (out []Party) {
	for _, s := range list {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, Party{Prefix: p})
		} else {
			out = append(out, Party{Name: s})
		}
	}
	return out
}

// relaysFor lets an approval relay.
func relaysFor(from []string, to ...string) func(*Approval) {
	return func(a *Approval) { a.RelayFrom, a.RelayTo = parties(from...), parties(to...) }
}

const (
	proven = "198.51.100.10:25" // an open relay: Postfix 3.4.13, proven by delivery
	shut   = "198.51.100.17:25" // refuses to relay: Postfix 3.11.6
)

func approvedReport(list ...Approval) *Report {
	if list == nil {
		list = []Approval{}
	}
	return New(Input{Scan: scan(), Findings: findings(), Coverage: coverage(), Deliveries: deliveries(), Approvals: list})
}

// How a listener stands to the approvals, and what is said of it.
func TestListenersAgainstApprovals(t *testing.T) {
	for _, tt := range []struct {
		name     string
		list     []Approval
		endpoint string
		state    ApprovalState
		severity Severity // of the violation; Info: there is none
		says     string
	}{
		{"nothing covers a mail server", nil, shut, IsUnapproved, Medium, "a listener (smtp, Postfix 3.11.6) that no approval covers"},
		{"nothing covers what listens on a mail port", nil, "198.51.100.30:2525", IsUnapproved, Low, "a listener (ssh) that no approval covers"},
		{"a mail server of another protocol is one", nil, "198.51.100.32:24", IsUnapproved, Medium, "(lmtp)"},
		{"a prefix covers it", []Approval{approval("198.51.100.0/24", 90, nil)}, shut, IsApproved, Info, ""},
		{"a prefix is written as an address in it", []Approval{approval("198.51.100.5/24", 90, nil)}, shut, IsApproved, Info, ""},
		{"another port is not covered", []Approval{approval("198.51.100.0/24", 90, func(a *Approval) { a.Ports = []uint16{587} })}, shut, IsUnapproved, Medium, "no approval covers"},
		{"an approval for another vantage is none for this", []Approval{approval("198.51.100.0/24", 90, func(a *Approval) { a.Vantage = "dmz" })}, shut, IsUnapproved, Medium, "no approval covers"},
		{"one for this vantage is", []Approval{approval("198.51.100.0/24", 90, func(a *Approval) { a.Vantage = "internet" })}, shut, IsApproved, Info, ""},
		{"it ended", []Approval{approval("198.51.100.17/32", -22, nil)}, shut, IsExpired, Medium, "ended on 2026-10-31; owner netops, approved by ciso, CHG0012345 (approvals.yaml:1)"},
		{"it ended yesterday", []Approval{approval("198.51.100.17/32", -1, nil)}, shut, IsExpired, Medium, "ended on 2026-11-21"},
		{"it holds on its last day", []Approval{approval("198.51.100.17/32", 0, nil)}, shut, IsSoon, Info, ""},
		{"it holds for another month", []Approval{approval("198.51.100.17/32", 29, nil)}, shut, IsSoon, Info, ""},
		{"and a day", []Approval{approval("198.51.100.17/32", 30, nil)}, shut, IsApproved, Info, ""},
		{"it ended, and a wider one holds", []Approval{approval("198.51.100.17/32", -22, nil), approval("198.51.100.0/24", 90, nil)}, shut, IsApproved, Info, ""},
		{"it begins later", []Approval{approval("198.51.100.17/32", 90, func(a *Approval) { a.Approved = began.AddDate(0, 1, 0) })}, shut, IsUnapproved, Medium, "approved from 2026-12-22 on only"},
		{"an approved server relays", []Approval{approval("198.51.100.10/32", 90, nil)}, proven, IsExceeded, Critical, "its approval lets it relay for nobody; owner netops"},
		{"the most specific one decides", []Approval{approval("198.51.100.0/24", 90, relaysFor([]string{"internet"})), approval("198.51.100.10/32", 90, nil)}, proven, IsExceeded, Critical, "for nobody"},
		{"it may relay for others", []Approval{approval("198.51.100.10/32", 90, relaysFor([]string{"inside", "10.0.0.0/8"}))}, proven, IsExceeded, Critical, "it relays for internet 203.0.113.10, and is approved to relay for inside, 10.0.0.0/8 alone"},
		{"it may relay elsewhere", []Approval{approval("198.51.100.10/32", 90, relaysFor([]string{"internet"}, "partner.example"))}, proven, IsExceeded, Critical, "it relays to example.net, and is approved to relay to partner.example alone"},
		{"it may relay for this vantage", []Approval{approval("198.51.100.10/32", 90, relaysFor([]string{"Internet"}))}, proven, IsApproved, Info, ""},
		{"it may relay for our address", []Approval{approval("198.51.100.10/32", 90, relaysFor([]string{"203.0.113.0/24"}, "EXAMPLE.NET"))}, proven, IsApproved, Info, ""},
		{"it is another protocol", []Approval{approval("198.51.100.30/32", 90, func(a *Approval) { a.Service = "smtp" })}, "198.51.100.30:2525", IsExceeded, Medium, "it is ssh, and what is approved is smtp"},
		{"it is another product", []Approval{approval("198.51.100.17/32", 90, func(a *Approval) { a.Product = "Exchange" })}, shut, IsExceeded, Medium, "it is smtp, Postfix 3.11.6, and what is approved is Exchange"},
		{"it is the product", []Approval{approval("198.51.100.17/32", 90, func(a *Approval) { a.Product = "postfix 3.11" })}, shut, IsApproved, Info, ""},
		{"it is no submission service", []Approval{approval("198.51.100.17/32", 90, func(a *Approval) { a.Service = "submission" })}, shut, IsExceeded, Medium, "what is approved is submission"},
		{"it is one", []Approval{approval("198.51.100.16/32", 90, func(a *Approval) { a.Service = "submission" })}, "198.51.100.16:587", IsApproved, Info, ""},
		{"what is not known contradicts nothing", []Approval{approval("198.51.100.31/32", 90, func(a *Approval) { a.Service = "smtp" })}, "198.51.100.31:25025", IsApproved, Info, ""},
		{"what may relay exceeds nothing", []Approval{approval("198.51.100.15/32", 90, nil)}, "198.51.100.15:25", IsApproved, Info, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := approvedReport(tt.list...)
			e := entry(t, r, tt.endpoint)
			i := slices.IndexFunc(r.Violations, func(v Violation) bool { return v.Addr.String() == tt.endpoint })
			var v Violation
			if i >= 0 {
				v = r.Violations[i]
			}
			if e.ApprovalState != tt.state || v.Severity != tt.severity || !strings.Contains(v.Text, tt.says) || (i < 0) != (tt.severity == Info) {
				t.Errorf("got %s, %v: %q", e.ApprovalState, v.Severity, v.Text)
			}
			if i >= 0 && v.Kind != tt.state {
				t.Errorf("the violation is %s", v.Kind)
			}
		})
	}
}

// An approval to relay makes a relay rank lower and never hides it; one that does not allow this vantage changes nothing.
func TestApprovedRelaysRankLower(t *testing.T) {
	before := entry(t, full(), proven)
	for _, tt := range []struct {
		name  string
		relay func(*Approval)
		lower bool
	}{
		{"for this vantage", relaysFor([]string{"internet"}), true},
		{"for our address", relaysFor([]string{"203.0.113.10/32"}), true},
		{"for all", relaysFor([]string{"0.0.0.0/0"}), true},
		{"for another vantage", relaysFor([]string{"inside"}), false},
		{"for another network", relaysFor([]string{"10.0.0.0/8"}), false},
		{"to another domain", relaysFor([]string{"internet"}, "partner.example"), false},
		{"to a network", relaysFor([]string{"internet"}, "0.0.0.0/0"), false},
		{"for nobody", nil, false},
		{"of another vantage", func(a *Approval) { relaysFor([]string{"internet"})(a); a.Vantage = "dmz" }, false},
		{"that has ended", func(a *Approval) { relaysFor([]string{"internet"})(a); a.Expires = began }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := approvedReport(approval("198.51.100.10/32", 90, tt.relay))
			e := entry(t, r, proven)
			want := before.Severity
			if tt.lower {
				want = Low
			}
			if e.Severity != want || e.Verdict != probe.Delivered || !e.exposed() {
				t.Errorf("got %v, %v", e.Severity, e.Verdict)
			}
			if told := strings.Contains(e.Title, "approved (owner netops, approved by ciso"); told != tt.lower {
				t.Errorf("got %q", e.Title)
			}
			for name, write := range renderers() {
				if name == "Prometheus" {
					continue // it counts
				}
				if out := render(t, write, r); !strings.Contains(out, "198.51.100.10") {
					t.Errorf("%s: the relay is hidden", name)
				}
			}
			if got := strings.Contains(render(t, WriteHTML, r), "(1 of them as approved)"); got != tt.lower {
				t.Errorf("the headline counts it: %v", got)
			}
		})
	}
}

// One attempt that is not allowed is enough, such as one that came from a further source.
func TestEachRelayingWantsItsApproval(t *testing.T) {
	f := finding(proven, "Postfix", "Postfix", "", "mx.org.example", attempt("S1", "rs-aaaaaaaaaaaaaaaaaaaa", ok, taken, goAhead), attempt("S2", "rs-aaaaaaaaaaaaaaaaaaab", ok, taken, goAhead))
	f.Attempts[1].Source = "203.0.113.77"
	for _, tt := range []struct {
		from  string
		state ApprovalState
	}{{"203.0.113.0/24", IsApproved}, {"203.0.113.10/32", IsExceeded}, {"203.0.113.77/32", IsExceeded}} {
		r := New(Input{Scan: scan(), Findings: []probe.Finding{f}, Approvals: []Approval{approval("198.51.100.10/32", 90, relaysFor([]string{tt.from}))}})
		if e := entry(t, r, proven); e.ApprovalState != tt.state || (e.Severity == Low) != (tt.state == IsApproved) {
			t.Errorf("%s: got %s, %v", tt.from, e.ApprovalState, e.Severity)
		}
	}
}

// Where an inventory keeps the attempts apart, they are read for those that an approval must be held against. What
// cannot be read is not taken for allowed.
func TestKeptAttemptsWantTheirApproval(t *testing.T) {
	f := finding(proven, "Postfix", "Postfix", "", "mx.org.example", attempt("S1", "rs-aaaaaaaaaaaaaaaaaaaa", ok, taken, goAhead))
	f.Attempts[0].Source = "203.0.113.77"
	for _, tt := range []struct {
		name  string
		relay func(*Approval)
		lost  bool
		reads bool
		state ApprovalState
	}{
		{"a vantage needs no attempts", relaysFor([]string{"internet"}), true, false, IsApproved},
		{"a network does", relaysFor([]string{"203.0.113.77/32"}), false, true, IsApproved},
		{"another network does", relaysFor([]string{"203.0.113.10/32"}), false, true, IsExceeded},
		{"a domain does", relaysFor([]string{"internet"}, "example.net"), false, true, IsApproved},
		{"a domain, and they are lost", relaysFor([]string{"internet"}, "example.net"), true, true, IsExceeded},
		{"a network, and they are lost", relaysFor([]string{"203.0.113.77/32"}), true, true, IsExceeded},
		{"nobody", nil, true, false, IsExceeded},
	} {
		read := false
		r := New(Input{
			Scan: scan(), Findings: []probe.Finding{Digest(&f)}, Judged: []Judgement{Judge(&f)}, Approvals: []Approval{approval("198.51.100.10/32", 90, tt.relay)},
			Whole: func(int) (probe.Finding, error) {
				read = true
				if tt.lost {
					return probe.Finding{}, errFull
				}
				return f, nil
			},
		})
		if e := entry(t, r, proven); e.ApprovalState != tt.state || (e.Severity == Low) != (tt.state == IsApproved) || read != tt.reads {
			t.Errorf("%s: got %s, %v, read %v", tt.name, e.ApprovalState, e.Severity, read)
		}
	}
}

func TestForeignDomain(t *testing.T) {
	for _, tt := range []struct{ to, want string }{
		{"<rs-1@example.net>", "example.net"},
		{"<@org.example:rs-1@example.net>", "example.net"},
		{"<rs-1%example.net@org.example>", "example.net"},
		{`<"rs-1@example.net"@org.example>`, "example.net"},
		{"<rs-1@example.net@org.example>", "example.net"},
		{"<example.net!rs-1@org.example>", "example.net"},
		{"<example.net!rs-1>", "example.net"},
		{"<org.example!example.net!rs-1>", "example.net"},
		{"<rs-1@[192.0.2.25]> NOTIFY=NEVER", "[192.0.2.25]"},
		{"<rs-1@example.net.>", "example.net"},
		{"<rs-1@>", ""},
		{"<rs-1>", ""},
		{"<someone@example.net>", ""},
	} {
		if got := foreignDomain(tt.to, "rs-1"); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.to, got, tt.want)
		}
	}
}

// Of approvals, what was not looked at is not unused (law 2).
func TestUnusedApprovals(t *testing.T) {
	row := func(prefix string, port uint16, closed, not, failed, excluded uint64) discover.CoverageRow {
		return discover.CoverageRow{Prefix: netip.MustParsePrefix(prefix), Port: port, Closed: closed, NotAttempted: not + excluded, Failed: failed, Reasons: map[string]uint64{"interrupted": not, "excluded": excluded}}
	}
	on := func(ports ...uint16) func(*Approval) {
		return func(a *Approval) { a.Ports, a.Vantage = ports, "internet" }
	}
	silent := func(prefix string, filtered, unreachable uint64) discover.CoverageRow {
		return discover.CoverageRow{Prefix: netip.MustParsePrefix(prefix), Port: 25, Filtered: filtered, Unreachable: unreachable}
	}
	every := []discover.CoverageRow{}
	for port := range 65535 {
		every = append(every, row("192.0.2.1/32", uint16(port+1), 1, 0, 0, 0))
	}
	for _, tt := range []struct {
		name     string
		approval Approval
		rows     []discover.CoverageRow
		state    ApprovalState
		why      string
	}{
		{"all of it was looked at", approval("192.0.2.1/32", 90, on(25)), []discover.CoverageRow{row("192.0.2.0/24", 25, 256, 0, 0, 0)}, IsUnused, ""},
		{"nothing was", approval("192.0.2.1/32", 90, on(25)), nil, IsNotChecked, "port 25 was not looked at"},
		{"another port was", approval("192.0.2.1/32", 90, on(25)), []discover.CoverageRow{row("192.0.2.0/24", 26, 256, 0, 0, 0)}, IsNotChecked, "port 25 was not looked at"},
		{"one of two ports was", approval("192.0.2.1/32", 90, on(25, 26)), []discover.CoverageRow{row("192.0.2.0/24", 25, 256, 0, 0, 0)}, IsNotChecked, "port 26 was not looked at"},
		{"some target was not attempted", approval("192.0.2.1/32", 90, on(25)), []discover.CoverageRow{row("192.0.2.0/24", 25, 255, 1, 0, 0)}, IsNotChecked, "port 25 was not looked at everywhere in 192.0.2.0/24"},
		{"some target failed", approval("192.0.2.1/32", 90, on(25)), []discover.CoverageRow{row("192.0.2.0/24", 25, 255, 0, 1, 0)}, IsNotChecked, "port 25 was not looked at everywhere in 192.0.2.0/24"},
		{"what is excluded lies elsewhere", approval("192.0.2.1/32", 90, on(25)), []discover.CoverageRow{row("192.0.2.0/24", 25, 248, 0, 0, 8)}, IsUnused, ""},
		{"it is excluded", approval("192.0.2.250/32", 90, on(25)), []discover.CoverageRow{row("192.0.2.0/24", 25, 248, 0, 0, 8)}, IsNotChecked, "192.0.2.248/29 is excluded"},
		{"two halves are the whole", approval("192.0.2.0/25", 90, on(25)), []discover.CoverageRow{row("192.0.2.64/26", 25, 64, 0, 0, 0), row("192.0.2.0/26", 25, 64, 0, 0, 0)}, IsUnused, ""},
		{"one half is not", approval("192.0.2.0/25", 90, on(25)), []discover.CoverageRow{row("192.0.2.0/26", 25, 64, 0, 0, 0)}, IsNotChecked, "port 25 was looked at in part of it"},
		{"the other half is not", approval("192.0.2.0/25", 90, on(25)), []discover.CoverageRow{row("192.0.2.64/26", 25, 64, 0, 0, 0)}, IsNotChecked, "port 25 was looked at in part of it"},
		{"a part twice is no whole", approval("192.0.2.0/25", 90, on(25)), []discover.CoverageRow{row("192.0.2.0/26", 25, 64, 0, 0, 0), row("192.0.2.0/27", 25, 32, 0, 0, 0)}, IsNotChecked, "port 25 was looked at in part of it"},
		{"a part within the whole failed", approval("192.0.2.0/25", 90, on(25)), []discover.CoverageRow{row("192.0.2.0/25", 25, 128, 0, 0, 0), row("192.0.2.0/26", 25, 63, 0, 1, 0)}, IsNotChecked, "port 25 was not looked at everywhere in 192.0.2.0/26"},
		{"all IPv6", approval("::/0", 90, on(25)), []discover.CoverageRow{row("2001:db8::/64", 25, 9, 0, 0, 0)}, IsNotChecked, "port 25 was looked at in part of it"},
		{"the last addresses", approval("255.255.255.254/31", 90, on(25)), []discover.CoverageRow{row("255.255.255.254/32", 25, 1, 0, 0, 0), row("255.255.255.255/32", 25, 1, 0, 0, 0)}, IsUnused, ""},
		{"all ports are approved, and one was looked at", approval("192.0.2.1/32", 90, on()), []discover.CoverageRow{row("192.0.2.0/24", 25, 256, 0, 0, 0)}, IsNotChecked, "it is for all ports, and 1 port was looked at"},
		{"all ports were looked at", approval("192.0.2.1/32", 90, on()), every, IsUnused, ""},
		{"it is for another vantage", approval("192.0.2.1/32", 90, func(a *Approval) { a.Ports, a.Vantage = []uint16{25}, "dmz" }), []discover.CoverageRow{row("192.0.2.0/24", 25, 256, 0, 0, 0)}, IsNotChecked, "it is for dmz, and this was seen from internet"},
		{"it is for all vantages", approval("192.0.2.1/32", 90, func(a *Approval) { a.Ports = []uint16{25} }), []discover.CoverageRow{row("192.0.2.0/24", 25, 256, 0, 0, 0)}, IsNotChecked, "it is for all vantages, and this was seen from internet alone"},
		{"all kept silent", approval("192.0.2.1/32", 90, on(25)), []discover.CoverageRow{silent("192.0.2.0/24", 256, 0)}, IsNotChecked, "port 25 kept silent, and one silence proves nothing"},
		{"all were unreachable", approval("192.0.2.1/32", 90, on(25)), []discover.CoverageRow{silent("192.0.2.0/24", 0, 256)}, IsNotChecked, "port 25 kept silent, and one silence proves nothing"},
		{"one of two halves kept silent", approval("192.0.2.0/25", 90, on(25)), []discover.CoverageRow{silent("192.0.2.0/26", 64, 0), row("192.0.2.64/26", 25, 64, 0, 0, 0)}, IsNotChecked, "port 25 kept silent, and one silence proves nothing"},
		{"some kept silent", approval("192.0.2.1/32", 90, on(25)), []discover.CoverageRow{{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Port: 25, Closed: 200, Filtered: 56}}, IsUnused, ""},
		{"it has ended", approval("192.0.2.1/32", -1, on(25)), []discover.CoverageRow{row("192.0.2.0/24", 25, 256, 0, 0, 0)}, IsExpired, ""},
		{"it begins later", approval("192.0.2.1/32", 90, func(a *Approval) { a.Approved = began.AddDate(0, 0, 2) }), []discover.CoverageRow{row("192.0.2.0/24", 25, 256, 0, 0, 0)}, IsNotYet, ""},
		{"something is open", approval("198.51.100.0/24", 90, on(2525)), nil, IsUsed, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := scan()
			s.Excluded = []netip.Prefix{netip.MustParsePrefix("192.0.2.248/29")}
			r := New(Input{Scan: s, Findings: findings()[:1], Coverage: tt.rows, Approvals: []Approval{tt.approval}})
			u := r.Approvals[0]
			if u.State != tt.state || u.Why != tt.why {
				t.Errorf("got %s, %q", u.State, u.Why)
			}
			told := slices.ContainsFunc(r.Violations, func(v Violation) bool { return v.Kind == IsUnused && v.Severity == Low })
			if told != (tt.state == IsUnused) {
				t.Errorf("told as unused: %v", told)
			}
		})
	}
}

// An approval that ends soon is a finding, also where nothing uses it or nobody looked.
func TestApprovalsThatEndSoon(t *testing.T) {
	for days, want := range map[int]int{-1: 0, 0: 1, 29: 1, 30: 0} {
		r := approvedReport(approval("192.0.2.1/32", days, nil))
		if got := countIf(r.Violations, func(v Violation) bool { return v.Kind == IsSoon && !v.Addr.IsValid() }); got != want {
			t.Errorf("%d days: got %d, want %d", days, got, want)
		}
	}
}

func countIf[T any](list []T, is func(T) bool) (n int) {
	for _, v := range list {
		if is(v) {
			n++
		}
	}
	return n
}

// A host that answers on every port is one fact, and its mail ports still want approvals.
func TestCrowdsAgainstApprovals(t *testing.T) {
	f := listener("198.51.100.30:1", "unknown", "silent")
	for port := range 65535 {
		f.Crowd = append(f.Crowd, uint16(port+1))
	}
	in := Input{Scan: scan(), Findings: []probe.Finding{f}, Approvals: []Approval{approval("198.51.100.30/32", 90, func(a *Approval) { a.Ports = []uint16{25, 4444} })}}
	r := New(in)
	if e := r.Entries[0]; e.ApprovalState != IsUnapproved || len(r.Violations) != 1 || r.Violations[0].Addr.String() != "198.51.100.30:24" {
		t.Errorf("got %s, %+v", e.ApprovalState, r.Violations)
	}
	if got := texts(r.Approvals[0].Covers); !slices.Equal(got, []string{"198.51.100.30:25", "198.51.100.30:4444"}) {
		t.Errorf("it covers %v", got)
	}
	in.Approvals[0].Ports = nil
	if r = New(in); r.Entries[0].ApprovalState != IsApproved || len(r.Violations) != 0 {
		t.Errorf("got %s, %+v", r.Entries[0].ApprovalState, r.Violations)
	}
}

// Of a host that answers on many ports the worst is told, whichever port it is on.
func TestTheWorstOfACrowdIsTold(t *testing.T) {
	f := finding("192.0.2.1:25", "Postfix", "Postfix", "", "mx", attempt("S1", "rs-aaaaaaaaaaaaaaaaaaaa", ok, taken, goAhead))
	for _, crowd := range [][]uint16{{24, 25, 26}, {26, 25, 24}, {25, 24}} {
		f.Crowd = crowd
		r := New(Input{Scan: scan(), Findings: []probe.Finding{f}, Approvals: []Approval{approval("192.0.2.1/32", 90, func(a *Approval) { a.Ports = []uint16{25} })}})
		if len(r.Violations) != 1 || r.Violations[0].Kind != IsExceeded || r.Violations[0].Severity != High || r.Violations[0].Addr.Port() != 25 || r.Entries[0].ApprovalState != IsExceeded {
			t.Errorf("%v: got %s, %+v", crowd, r.Entries[0].ApprovalState, r.Violations)
		}
	}
}

// Addresses and prefixes of IPv4 that are written as IPv6 are the same.
func TestMappedAddressesAreMatched(t *testing.T) {
	for _, tt := range []struct{ endpoint, prefix string }{
		{"[::ffff:10.1.2.3]:25", "10.1.2.3/32"}, {"10.1.2.3:25", "::ffff:10.1.2.0/120"}, {"[::ffff:10.1.2.3]:25", "::ffff:10.1.2.3/128"}, {"[::ffff:10.1.2.3]:25", "::ffff:0.0.0.0/96"},
	} {
		f := finding(tt.endpoint, "", "", "", "mx", attempt("S1", "", ok, denied))
		r := New(Input{Scan: scan(), Findings: []probe.Finding{f}, Approvals: []Approval{approval(tt.prefix, 90, nil)}})
		if e := r.Entries[0]; e.ApprovalState != IsApproved || r.Approvals[0].State != IsUsed || len(e.Mentions) != 1 {
			t.Errorf("%s of %s: got %s, the approval is %s, named by %q", tt.endpoint, tt.prefix, e.ApprovalState, r.Approvals[0].State, e.namedBy())
		}
	}
	if got := Unmap(prefix("::/80")); got != prefix("::/80") {
		t.Errorf("got %v for a prefix that holds more than IPv4", got)
	}
}

// A vantage that stands behind a translation has a private address by chance: an approval for the inside is none for it.
func TestWhomARelayingWasFor(t *testing.T) {
	for _, tt := range []struct {
		name            string
		local, seen     string
		source, further string // of the finding, and of the attempt
		inside          bool
		from            string
		state           ApprovalState
	}{
		{name: "the server saw us come from the internet", local: "10.0.1.5", seen: "203.0.113.77", from: "10.0.0.0/8", state: IsExceeded},
		{name: "and that is approved", local: "10.0.1.5", seen: "203.0.113.77", from: "203.0.113.0/24", state: IsApproved},
		{name: "the server does not say", local: "10.0.1.5", from: "10.0.0.0/8", state: IsExceeded},
		{name: "not even all addresses hold one that is not known", local: "10.0.1.5", from: "0.0.0.0/0", state: IsExceeded},
		{name: "the server says what our host calls itself", local: "10.0.1.5", seen: "10.0.1.5", from: "10.0.0.0/8", state: IsExceeded},
		{name: "a translation makes us look inside", local: "10.0.1.5", seen: "10.99.0.1", from: "10.0.0.0/8", state: IsExceeded},
		{name: "a translation makes us look like one of the scope", local: "10.0.1.5", seen: "198.51.100.1", from: "198.51.100.0/24", state: IsExceeded},
		{name: "a translation makes a public address look inside", local: "203.0.113.10", seen: "10.99.0.1", from: "10.0.0.0/8", state: IsExceeded},
		{name: "the public address itself is approved", local: "203.0.113.10", seen: "10.99.0.1", from: "203.0.113.10/32", state: IsApproved},
		{name: "a provider's translation", local: "100.64.1.5", from: "100.64.0.0/10", state: IsExceeded},
		{name: "IPv6", local: "fd00::5", from: "fd00::/8", state: IsExceeded},
		{name: "a vantage inside", local: "10.0.1.5", inside: true, from: "10.0.0.0/8", state: IsApproved},
		{name: "a vantage inside, which is seen elsewhere", local: "10.0.1.5", seen: "10.99.0.1", inside: true, from: "10.0.0.0/16", state: IsApproved},
		{name: "a public source that was named", local: "203.0.113.10", from: "203.0.113.10/32", state: IsApproved},
		{name: "a further source that is private", local: "203.0.113.10", further: "10.0.1.6", from: "10.0.0.0/8", state: IsExceeded},
		{name: "a further source, of which the server did not speak", local: "10.0.1.5", seen: "203.0.113.77", further: "10.0.1.6", from: "203.0.113.0/24", state: IsExceeded},
		{name: "a further source that is public", local: "10.0.1.5", further: "203.0.113.78", from: "203.0.113.0/24", state: IsApproved},
		{name: "a source port", local: "10.0.1.5", source: ":53", from: "10.0.0.0/8", state: IsExceeded},
	} {
		f := finding(proven, "Postfix", "Postfix", "", "mx.org.example", attempt("S1", "rs-aaaaaaaaaaaaaaaaaaaa", ok, taken, goAhead))
		f.LocalAddr, f.SeenAs, f.Source, f.Attempts[0].Source = tt.local, tt.seen, tt.source, tt.further
		s := scan()
		s.Inside = tt.inside
		r := New(Input{Scan: s, Findings: []probe.Finding{f}, Approvals: []Approval{approval("198.51.100.10/32", 90, relaysFor([]string{tt.from}))}})
		if e := entry(t, r, proven); e.ApprovalState != tt.state || (e.Severity == Low) != (tt.state == IsApproved) {
			t.Errorf("%s: got %s, %v: %v", tt.name, e.ApprovalState, e.Severity, r.Violations)
		}
	}
}

// --fail-on sees what approvals find, and where none were read nothing is found.
func TestFailOnSeesApprovals(t *testing.T) {
	in := Input{Scan: scan(), Findings: findings()[2:3]}
	if New(in).WorstAtLeast(Low) {
		t.Error("a closed server alone")
	}
	in.Approvals = []Approval{}
	if r := New(in); !r.WorstAtLeast(Medium) || r.WorstAtLeast(High) {
		t.Errorf("an unapproved one: %+v", r.Violations)
	}
}

func approvedGolden() *Report {
	list := []Approval{
		approval("198.51.100.10/32", 90, relaysFor([]string{"internet", "10.0.0.0/8"})),
		approval("198.51.100.11/32", 20, nil),
		approval("198.51.100.12/32", 90, func(a *Approval) { a.Ports, a.Service, a.Product = []uint16{587}, "smtp", "Exchange" }),
		approval("198.51.100.13/32", -22, nil),
		approval("2001:db8:51:1111:2222:3333:4444:5555/128", 90, relaysFor([]string{"inside"}, "partner.example")),
		approval("198.51.100.0/28", 400, func(a *Approval) { a.Vantage, a.Owner = "dmz", "日本語課" }),
		approval("198.51.100.200/32", 90, func(a *Approval) { a.Ports, a.Vantage = []uint16{587}, "internet" }),
		approval("198.51.100.201/32", 90, func(a *Approval) { a.Ports, a.Vantage = []uint16{25}, "internet" }),
		approval("198.51.100.202/32", 90, func(a *Approval) { a.Ports = []uint16{587} }),
	}
	return approvedReport(list...)
}

// Whoever may write the file may not write to the terminal.
func TestHostileApprovalsAreEscaped(t *testing.T) {
	list := []Approval{
		approval("192.0.2.0/24", 90, func(a *Approval) {
			a.Service, a.Product, a.Owner, a.Approver, a.Ticket, a.Reason, a.Where = hostile, hostile, hostile, hostile, hostile, hostile, hostile
			a.RelayFrom, a.RelayTo = parties(hostile), parties(hostile)
		}),
		approval("192.0.2.1/32", 3, func(a *Approval) { a.Vantage, a.Owner = hostile, hostile }),
		approval("198.51.100.0/24", -3, func(a *Approval) { a.Owner, a.Where = hostile, hostile }),
	}
	in := Input{Scan: scan(), Findings: append(findings(), everywhere().Entries[0].Finding, everywhere().Entries[1].Finding), Coverage: coverage(), Approvals: list}
	for _, l := range []Lang{English, Japanese} {
		r := New(in).In(l)
		for name, write := range renderers() {
			checkPrintable(t, name, render(t, write, r))
		}
	}
}

func TestApprovalTableFits(t *testing.T) {
	for _, l := range []Lang{English, Japanese} {
		for _, columns := range []int{40, 60, 80, 120} {
			out := render(t, func(w io.Writer, r *Report) error {
				return WriteTable(w, r, TableOptions{Width: columns, Verbose: true})
			}, approvedGolden().In(l))
			for line := range strings.Lines(out) {
				if got := width(strings.TrimSuffix(line, "\n")); got > columns {
					t.Errorf("%d columns: %q", columns, line)
				}
			}
		}
	}
}

// Findings about approvals speak the reader's language; JSON and CSV do not change.
func TestViolationsInJapanese(t *testing.T) {
	r := approvedGolden()
	ja := render(t, func(w io.Writer, r *Report) error { return WriteTable(w, r, TableOptions{Width: 200, Verbose: true}) }, r.In(Japanese))
	section := ja[strings.Index(ja, "\n例外措置(期限付き承認)\n"):]
	section = section[:strings.Index(section, "\n\n")]
	page := render(t, WriteHTML, r.In(Japanese))
	page = page[strings.Index(page, `<section id="approvals">`):]
	page = page[:strings.Index(page, "</section>")]
	for where, text := range map[string]string{"table": section, "page": page} {
		for _, word := range []string{"approval ", "approved by", "owner", "until", "used", "not checked", "looked at", "may relay", "everywhere", "Approv", "State", "Owner", "Kind"} {
			if strings.Contains(text, word) {
				t.Errorf("%s: %q is English", where, word)
			}
		}
	}
	for _, word := range []string{"例外措置(期限付き承認)", "未承認", "期限切れ", "期限間近", "未使用", "承認範囲の逸脱", "所管課 netops", "承認 9 件: 使用中 4, 未使用 1, 未確認 3, 期限切れ 1", "不要なものは閉じてください", "から見た", "中継先 partner.example", "2027-02-20 まで"} {
		if !strings.Contains(ja, word) {
			t.Errorf("%s is not in the report", word)
		}
	}
	if out := render(t, WriteHTML, r); strings.Contains(out, "未承認") {
		t.Error("the report itself was changed")
	}
}

func TestApprovalsInJSON(t *testing.T) {
	kinds := make(map[string]int)
	for line := range bytes.Lines([]byte(render(t, WriteJSONL, approvedGolden()))) {
		var o struct {
			Type, IP, State, Kind string
			ApprovalState         string `json:"approval_state"`
			Approval              *approvalFacts
		}
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatal(err)
		}
		switch {
		case o.Type == "approval":
			kinds[o.State]++
		case o.Type == "violation":
			kinds[o.Kind]++
		case o.Type == "finding" && o.IP == "198.51.100.10":
			if o.ApprovalState != "approved" || o.Approval == nil || o.Approval.Owner != "netops" || o.Approval.Expires != "2027-02-20" || !slices.Equal(o.Approval.RelayFrom, []string{"internet", "10.0.0.0/8"}) {
				t.Errorf("got %s, %+v", o.ApprovalState, o.Approval)
			}
		case o.Type == "finding" && o.IP == "198.51.100.18" && (o.Approval != nil || o.ApprovalState != "unapproved"):
			t.Errorf("got %s, %+v", o.ApprovalState, o.Approval)
		}
	}
	for kind, want := range map[string]int{"used": 4, "unused": 2, "not-checked": 3, "expired": 2, "soon": 1, "exceeded": 3, "unapproved": 9} {
		if kinds[kind] != want { // unused: the approval and its finding; expired likewise
			t.Errorf("%s: got %d, want %d", kind, kinds[kind], want)
		}
	}
}

// Many findings and many approvals are joined in little time: each is looked up, not compared with all.
func BenchmarkApprovals(b *testing.B) {
	in := Input{Scan: scan()}
	a := netip.MustParseAddr("10.0.0.0")
	for i := range 50_000 {
		f := listener("10.0.0.0:25", "smtp", "")
		f.Addr = netip.AddrPortFrom(a, 25)
		in.Findings = append(in.Findings, f)
		if i%5 == 0 {
			in.Approvals = append(in.Approvals, approval(netip.PrefixFrom(a, 32).String(), 90, nil))
		}
		a = a.Next()
	}
	r := New(in)
	b.ResetTimer()
	for b.Loop() {
		r.Violations = nil
		r.approve(in.Approvals)
	}
}
