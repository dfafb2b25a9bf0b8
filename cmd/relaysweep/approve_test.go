package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/urfave/cli/v3"

	"relaysweep/report"
)

func day(text string) time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return t
}

// anApproval is one as approve writes it.
func anApproval(change func(*report.Approval)) report.Approval {
	a := report.Approval{
		Address: netip.MustParsePrefix("198.51.100.25/32"), Ports: []uint16{25}, Vantage: "internet", Service: "smtp", Owner: "netops", Approver: "ciso", Ticket: "CHG0012345",
		Reason: "mail of the branches", Approved: day("2026-11-22"), Expires: day("2027-04-01"),
	}
	if change != nil {
		change(&a)
	}
	return a
}

func TestApprovalsAreReadStrictly(t *testing.T) {
	for _, tt := range []struct{ entry, want string }{
		{"- {address: 192.0.2.1, expires: 2999-12-31}", ""},
		{"[]", ""},
		{"# nothing yet\n", ""},
		{"- {address: 192.0.2.1, expires: 2999-12-31, relay: {from: [10.0.0.0/8, inside, '2001:db8::1'], to: [partner.example, 192.0.2.0/24]}}", ""},
		{"- {address: 192.0.2.1, expires: 2999-12-31, relay: {from: [10.0.0.0/33]}}", `a.yaml:1: relay: from: "10.0.0.0/33" is no prefix, no address, and no name of a vantage`},
		{"- {address: 192.0.2.1, expires: 2999-12-31, relay: {from: [10.0.0]}}", `"10.0.0" is no prefix`},
		{"- {address: 192.0.2.1, expires: 2999-12-31, relay: {from: ['']}}", `"" is no prefix`},
		{"- {address: 192.0.2.1, expires: 2999-12-31, relay: {from: ['*']}}", `"*" is no prefix`},
		{"- {address: 192.0.2.1, expires: 2999-12-31, relay: {from: [inside], to: [everywhere]}}", `a.yaml:1: relay: to: "everywhere" is no prefix, no address, and no mail domain`},
		{"- {address: 192.0.2.1, expires: 2999-12-31, relay: {to: [partner.example]}}", "a.yaml:1: relay: whom may it relay for?"},
		{"- {address: 192.0.2.1, expires: 2999-12-31, relay: {form: [inside]}}", `a.yaml:1: unknown key "form"`},
		{"- {address: 192.0.2.1, expires: 2999-12-31, relay: {from: [10.1.2.3/8]}}", `a.yaml:1: relay: from: "10.1.2.3/8" is an address within a prefix: write 10.0.0.0/8 for all of it, or 10.1.2.3`},
		{"- {address: 192.0.2.1, expires: 2999-12-31, relay: {from: ['fe80::1%eth0']}}", `"fe80::1%eth0" is no prefix`},
		{"- {address: 10.20.1.5/16, expires: 2999-12-31}", `a.yaml:1: "10.20.1.5/16" is an address within a prefix: write 10.20.0.0/16 for all of it, or 10.20.1.5`},
		{"- {address: '::ffff:10.20.1.5/112', expires: 2999-12-31}", "write 10.20.0.0/16 for all of it, or 10.20.1.5"},
		{"- {address: '::ffff:10.0.0.0/90', expires: 2999-12-31}", "is an address within a prefix"},
		{"-\n  address: 192.0.2.1\n  expires: 2999-12-31\n  port: 0", "a.yaml:4: 0 is not a port: it is a number from 1 to 65535; leave port out for all"},
		{"-\n  address: 192.0.2.1\n  expires: 2999-12-31\n  ports: [25, 0]", "a.yaml:4: 0 is not a port"},
		{"- {address: 192.0.2.1, expires: 2999-12-31, port: 65536}", "65536 is not a port"},
		{"-\n  address: 192.0.2.1\n  expires: 2999-12-31\n  vantage: '*'", "a.yaml:4: vantage: no vantage is called *: leave vantage out for all"},
		{"-\n  address: 192.0.2.1\n  expires: 2999-12-31\n  service: stmp", `a.yaml:4: service: "stmp" is none of smtp, smtps, submission, lmtp, `},
		{"- {address: 192.0.2.1, expires: 2999-12-31, service: Postfix}", "if it is a product, write product: Postfix"},
		{"-\n  address: 192.0.2.1\n  approved: 2026-01-02\n  expires: 2026-01-01", "a.yaml:4: it expires on 2026-01-01, before it is approved on 2026-01-02"},
		{"- {address: 192.0.2.1, approved: 2026-01-01, expires: 2026-01-01}", ""},
		{"- {address: 192.0.2.1, expires: 31.12.2999}", `a.yaml:1: expires: "31.12.2999" is not a day: write it like 2027-03-31; days are those of UTC`},
		{"- {address: 192.0.2.1, approved: now, expires: 2999-12-31}", `a.yaml:1: approved: "now" is not a day`},
		{"- {address: 192.0.2.1, expires: 2999-12-31}\n---\n- {address: 192.0.2.2, expires: 2999-12-31}", "a.yaml:2: a second document begins here"},
	} {
		got, err := parseApprovals("a.yaml", []byte(tt.entry))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) || err == nil && got == nil {
			t.Errorf("%s: got %v, %v", tt.entry, got, err)
		}
	}
}

func TestRelayPartiesAreRead(t *testing.T) {
	got, err := parseApprovals("a.yaml", []byte("- {address: 192.0.2.1, expires: 2999-12-31, relay: {from: [10.0.0.0/8, inside, '::ffff:192.0.2.9'], to: [partner.example]}}"))
	if err != nil || len(got) != 1 || fmt.Sprint(got[0].RelayFrom, got[0].RelayTo) != "[10.0.0.0/8 inside 192.0.2.9/32] [partner.example]" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestApprovalsMeanWhatTheySay(t *testing.T) {
	got, err := parseApprovals("a.yaml", []byte("- {address: '::ffff:10.1.2.0/120', ports: [25, 587], service: SMTP, product: Exchange Server, approved: 2026-01-01, expires: 2026-12-31}"))
	want := report.Approval{
		Address: netip.MustParsePrefix("10.1.2.0/24"), Ports: []uint16{25, 587}, Service: "smtp", Product: "Exchange Server", Approved: day("2026-01-01"), Expires: day("2027-01-01"), Where: "a.yaml:1",
	}
	if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A day of --expires is the same day in the file: it ends at midnight in UTC, wherever that is written.
func TestExpiryIsTheSameInTheFile(t *testing.T) {
	today := day("2026-11-22")
	for _, tt := range []struct{ expires, want string }{
		{"2026-11-21", "--expires: 2026-11-21 is over: in UTC it is 2026-11-22"},
		{"2026-11-22", ""},
		{"2028-11-22", ""},
		{"2028-11-23", "two years at most, until 2028-11-22"},
		{"22.11.2026", "days are those of UTC"},
	} {
		p := &program{out: io.Discard, err: io.Discard}
		c := p.approveCommand()
		var a report.Approval
		var err error
		c.Action = func(_ context.Context, c *cli.Command) error {
			a, err = approvalOf(c, today)
			return nil
		}
		if err := c.Run(t.Context(), []string{"approve", "192.0.2.1:25", "--owner", "o", "--approver", "a", "--reason", "r", "--ticket", "t", "--expires", tt.expires}); err != nil {
			t.Fatal(err)
		}
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v", tt.expires, err)
		}
		if err != nil {
			continue
		}
		a.Address = netip.MustParsePrefix("192.0.2.1/32")
		got, err := parseApprovals("a.yaml", []byte(approvalText(&a, "")))
		if err != nil || len(got) != 1 || !got[0].Expires.Equal(a.Expires) || !got[0].Expires.Equal(day(tt.expires).AddDate(0, 0, 1)) || !got[0].Approved.Equal(today) {
			t.Errorf("%s: got %+v, %v, want until %v", tt.expires, got, err, a.Expires)
		}
	}
}

// What is in the file stays there byte for byte, in whatever style it is written.
func TestApprovalsAreAppended(t *testing.T) {
	const entry = "address: 192.0.2.1\nexpires: 2999-12-31\n"
	for _, tt := range []struct {
		name, old string
		ok        bool
	}{
		{"no file", "", true},
		{"comments alone", "# who: netops\n\n# until: ever\n", true},
		{"a list", "- address: 192.0.2.1   # the old one\n  expires: 2999-12-31\n", true},
		{"a list without a line end", "- {address: 192.0.2.1, expires: 2999-12-31}", true},
		{"a list that stands in", "# head\n  - address: 192.0.2.1\n    expires: 2999-12-31\n\n  # a note at the end\n", true},
		{"a list of a document that is marked", "---\n- {address: 192.0.2.1, expires: 2999-12-31}\n", true},
		{"line ends of another system", "- address: 192.0.2.1\r\n  expires: 2999-12-31\r\n", true},
		{"odd blanks and quotes", "-   {address: '192.0.2.1',   expires: \"2999-12-31\"}  \n\n\n", true},
		{"a list in brackets", "[{address: 192.0.2.1, expires: 2999-12-31}]\n", false},
		{"an empty list in brackets", "[]\n", false},
		{"a document that has ended", "- {address: 192.0.2.1, expires: 2999-12-31}\n...\n", false},
		{"no list", entry, false},
		{"not YAML", "- {address: [\n", false},
		{"an entry without an end", "- {address: 192.0.2.1}\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "approvals.yaml")
			if tt.old != "" {
				if err := os.WriteFile(name, []byte(tt.old), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			a := anApproval(nil)
			if text, err := appendApproval(name, &a, true); (err == nil) != tt.ok || tt.ok && !strings.Contains(text, "owner: netops\n") {
				t.Errorf("dry: got %q, %v", text, err)
			}
			if now, _ := os.ReadFile(name); string(now) != tt.old {
				t.Errorf("a dry run wrote %q", now)
			}
			_, err := appendApproval(name, &a, false)
			now, _ := os.ReadFile(name)
			if (err == nil) != tt.ok {
				t.Fatalf("got %v", err)
			}
			if !tt.ok {
				if string(now) != tt.old {
					t.Errorf("it wrote %q", now)
				}
				return
			}
			if !bytes.HasPrefix(now, []byte(tt.old)) {
				t.Errorf("the old bytes changed: %q", now)
			}
			if tt.old != "" {
				if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o640 {
					t.Errorf("its mode is %v, %v", info.Mode(), err)
				}
			}
			got, err := readApprovals(name)
			if err != nil || len(got) == 0 || got[len(got)-1].Owner != "netops" {
				t.Errorf("got %v, %v", got, err)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(name), ".relaysweep-*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// What is approved is not approved twice; another port, vantage or address is something else, and so is what has ended.
func TestDuplicatesAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		have   func(*report.Approval)
		refuse bool
	}{
		{"the same", nil, true},
		{"all ports of it", func(a *report.Approval) { a.Ports = nil }, true},
		{"some ports of it", func(a *report.Approval) { a.Ports = []uint16{587, 25} }, true},
		{"another service there", func(a *report.Approval) { a.Service = "ssh" }, true},
		{"another port", func(a *report.Approval) { a.Ports = []uint16{587} }, false},
		{"another vantage", func(a *report.Approval) { a.Vantage = "dmz" }, false},
		{"all vantages", func(a *report.Approval) { a.Vantage = "" }, false},
		{"its network", func(a *report.Approval) { a.Address = netip.MustParsePrefix("198.51.100.0/24") }, false},
		{"one that ends today", func(a *report.Approval) { a.Expires = day("2026-11-23") }, true},
		{"one that ended yesterday", func(a *report.Approval) { a.Expires = day("2026-11-22") }, false},
	} {
		have, a := anApproval(tt.have), anApproval(nil)
		if got := duplicate([]report.Approval{have}, &a); (got != nil) != tt.refuse {
			t.Errorf("%s: got %+v", tt.name, got)
		}
	}
}

// Two at once lose nothing: who cannot have the folder to itself says so.
func TestApprovalsAtOnce(t *testing.T) {
	name := filepath.Join(t.TempDir(), "approvals.yaml")
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			a := anApproval(func(a *report.Approval) { a.Ports = []uint16{uint16(i + 1)} })
			for {
				if _, errs[i] = appendApproval(name, &a, false); errs[i] == nil || !strings.Contains(errs[i].Error(), "try again") {
					return
				}
			}
		})
	}
	wg.Wait()
	got, err := readApprovals(name)
	if err != nil || len(got) != len(errs) {
		t.Errorf("got %d, %v, %v", len(got), err, errs)
	}
}

// Whatever bytes an approval holds, they are read back as they were, and stay in their entry.
func FuzzApprovalText(f *testing.F) {
	f.Add("netops", "smtp", "internet", "mail", uint16(25), uint16(0))
	f.Add("null", "true", "~", "- x: y", uint16(1), uint16(65535))
	f.Add("2027-03-31", "0x10", "1e3", "a: b # c", uint16(0), uint16(25))
	f.Add("x\n- {address: 0.0.0.0/0, expires: 2999-12-31}", "\"}]\n---\n", "\x1b[2J\u202e", "\xff\xfe", uint16(25), uint16(26))
	f.Add("日本語課 🖨 \U000e0001", "a\tb", " lead", "trail ", uint16(25), uint16(25))
	f.Add("*a", "&b", "!!binary x", "%TAG", uint16(25), uint16(25))
	f.Add("\u0085\u2028\u2029\ufeff", `\x41\\`, "'", `"`, uint16(25), uint16(25))
	f.Fuzz(func(t *testing.T, owner, service, vantage, reason string, one, two uint16) {
		a := anApproval(func(a *report.Approval) {
			clean := func(s string) string { return string([]rune(s)) } // what is no UTF-8 becomes U+FFFD
			a.Owner, a.Product, a.Vantage, a.Reason, a.Ticket, a.Approver = clean(owner), clean(service), clean(vantage), clean(reason), clean(owner+reason), clean(vantage+service)
			a.Service = report.Services()[len(service)%len(report.Services())]
			if a.Vantage == "*" { // which no vantage is called
				a.Vantage = ""
			}
			a.Ports = nil
			for _, p := range []uint16{one, two} {
				if p > 0 {
					a.Ports = append(a.Ports, p)
				}
			}
			if vantageName(a.Vantage) {
				a.RelayFrom = append(a.RelayFrom, report.Party{Name: a.Vantage}, report.Party{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(one)}), int(two%17)).Masked()})
				if mailDomain(a.Product) {
					a.RelayTo = []report.Party{{Name: a.Product}}
				}
			}
		})
		written := a
		written.Owner, written.Reason = owner, reason
		for _, file := range []struct {
			old, indent string
			entries     int
		}{{"", "", 1}, {"  - {address: 192.0.2.1, expires: 2999-12-31} # first\n", "  ", 2}} {
			text := approvalText(&written, file.indent)
			got, err := parseApprovals("a.yaml", []byte(file.old+text))
			if err != nil || len(got) != file.entries {
				t.Fatalf("%v, %d entries:\n%q", err, len(got), text)
			}
			last := got[len(got)-1]
			last.Where = ""
			if !reflect.DeepEqual(last, a) {
				t.Fatalf("got  %+v\nwant %+v\n%q", last, a, text)
			}
		}
	})
}

// Whatever stands in the file, reading it ends in a list or one line of error.
func FuzzApprovals(f *testing.F) {
	f.Add([]byte("- {address: 192.0.2.1, port: 25, ports: [26], vantage: v, service: smtp, relay: {from: [inside], to: [a.example]}, owner: o, approver: a, ticket: t, reason: r, approved: 2026-01-01, expires: 2999-12-31}"))
	f.Add([]byte("- &a {address: 192.0.2.1, expires: 2999-12-31}\n- *a\n"))
	f.Add([]byte("- !!binary x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseApprovals("a.yaml", b)
		if err != nil {
			if !oneLine(err.Error()) {
				t.Errorf("got %q", err)
			}
			return
		}
		for i := range list {
			if !list[i].Address.IsValid() || list[i].Expires.IsZero() {
				t.Errorf("got %+v", list[i])
			}
		}
		listIndent(b)
	})
}
