package inventory

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/probe/smtp"
	"relaysweep/report"
)

// databases are the kinds of inventories. Each test of the store runs with both.
func databases(t *testing.T, test func(t *testing.T, name string)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { test(t, filepath.Join(t.TempDir(), "inventory.db")) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, server(t).fresh(t)) })
}

func open(t testing.TB, name string) *Store {
	t.Helper()
	s, err := Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

var day = time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC)

// at is the third hour of a day of the year.
func at(n int) time.Time { return day.AddDate(0, 0, n) }

// found is a finding at an endpoint, of a server that refuses, or takes everything.
func found(addr string, relays bool, when time.Time) *probe.Finding {
	code, line := 550, "5.7.1 relaying denied"
	if relays {
		code, line = 250, "ok"
	}
	f := &probe.Finding{
		Addr: netip.MustParseAddrPort(addr), Vantage: "internet", Protocol: "smtp", Greeting: "220 mx.org.example ESMTP Postfix", Extensions: []string{"PIPELINING", "SIZE"},
		Started: when, Ended: when, Connections: 1, Commands: 4, Sessions: []probe.Session{{Transcript: "S: 220 mx.org.example ESMTP\nC: QUIT\n"}},
	}
	f.Service.Product, f.Service.Version = "Postfix", "3.7.0"
	for _, v := range []string{"S1", "R1"} {
		f.Attempts = append(f.Attempts, probe.Attempt{
			Vector: v, Form: v, From: "a@org.example", To: "<b@relaysweep.test>", Canary: "rs-" + v + addr + when.String(), Session: 1, Sent: when,
			Mail: smtp.Reply{Code: 250, Lines: []string{"ok"}}, Rcpt: smtp.Reply{Code: code, Lines: []string{line}},
		})
	}
	return f
}

// scanned is a scan that is stored at once: what it found, and what it saw of all else that it looked at.
func scanned(t *testing.T, s *Store, id string, when time.Time, state func(netip.AddrPort) (State, bool), findings ...*probe.Finding) Info {
	t.Helper()
	about := report.Scan{ID: id, Vantage: "internet", Started: when, StopAt: probe.Ready, Engine: "connect", Scope: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}, Ports: []uint16{25}}
	w, err := s.Begin(t.Context(), about, "", KindScan)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, f := range findings {
		if err := w.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	about.Ended, about.Complete = when.Add(time.Hour), true
	end := End{About: about, Coverage: []discover.CoverageRow{{Prefix: about.Scope[0], Port: 25, Open: uint64(len(findings)), Closed: 256 - uint64(len(findings))}}}
	if state != nil {
		end.State = func(a netip.AddrPort, _ string) (State, bool) { return state(a) }
	}
	if err := w.End(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	i, err := s.Find(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func closed(netip.AddrPort) (State, bool) {
	return State{State: discover.Closed, Sure: true}, true
}

func silent(netip.AddrPort) (State, bool) {
	return State{State: discover.Filtered, Sure: true}, true
}

func doubted(netip.AddrPort) (State, bool) {
	return State{State: discover.Filtered, Why: "self-test: nothing was seen"}, true
}

func untargeted(netip.AddrPort) (State, bool) { return State{}, false }

// told is what became of each endpoint, in a line each.
func told(t *testing.T, s *Store, from, to Info) map[string]string {
	t.Helper()
	out := make(map[string]string)
	line := func(x *report.Sight) string {
		if x == nil {
			return "nothing"
		}
		verdict := ""
		if x.Found != nil {
			verdict = " " + x.Judged.Verdict.String()
		}
		return fmt.Sprintf("%s sure=%v silent=%d%s first=%s last=%s checked=%s", x.State, x.Sure, x.Silent, verdict, dayOf(x.FirstSeen), dayOf(x.LastSeen), dayOf(x.LastChecked))
	}
	var err error
	for before, after := range s.Between(t.Context(), from, to, &err) {
		x := before
		if x == nil {
			x = after
		}
		out[x.Addr.String()] = line(before) + " -> " + line(after)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func dayOf(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return strconv.Itoa(int(t.Sub(day).Hours() / 24))
}

func TestWhatWasKnownOfEachEndpoint(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s := open(t, name)
		one := scanned(t, s, "one", at(1), closed, found("10.0.0.1:25", false, at(1)), found("10.0.0.2:25", false, at(1)), found("10.0.0.3:25", false, at(1)), found("10.0.0.4:25", true, at(1)))
		two := scanned(t, s, "two", at(2), closed, found("10.0.0.1:25", false, at(2)), found("10.0.0.2:25", true, at(2)), found("10.0.0.5:25", false, at(2)))
		three := scanned(t, s, "three", at(3), silent, found("10.0.0.3:25", false, at(3)))
		four := scanned(t, s, "four", at(4), doubted)
		five := scanned(t, s, "five", at(5), untargeted)
		for _, tt := range []struct {
			name     string
			from, to Info
			want     map[string]string
		}{
			{"the same, changed, gone and new", one, two, map[string]string{
				"10.0.0.1:25": "open sure=true silent=0 first=1 last=1 checked=1 -> open sure=true silent=0 first=1 last=2 checked=2",
				"10.0.0.2:25": "open sure=true silent=0 refused first=1 last=1 checked=1 -> open sure=true silent=0 accepted first=1 last=2 checked=2",
				"10.0.0.3:25": "open sure=true silent=0 refused first=1 last=1 checked=1 -> closed sure=true silent=2 refused first=1 last=1 checked=2",
				"10.0.0.4:25": "open sure=true silent=0 accepted first=1 last=1 checked=1 -> closed sure=true silent=2 accepted first=1 last=1 checked=2",
				"10.0.0.5:25": "nothing -> open sure=true silent=0 refused first=2 last=2 checked=2",
			}},
			{"back, and silent once", two, three, map[string]string{
				"10.0.0.1:25": "open sure=true silent=0 refused first=1 last=2 checked=2 -> filtered sure=true silent=1 refused first=1 last=2 checked=3",
				"10.0.0.2:25": "open sure=true silent=0 accepted first=1 last=2 checked=2 -> filtered sure=true silent=1 accepted first=1 last=2 checked=3",
				"10.0.0.3:25": "closed sure=true silent=2 refused first=1 last=1 checked=2 -> open sure=true silent=0 refused first=1 last=3 checked=3",
				"10.0.0.4:25": "closed sure=true silent=2 first=1 last=1 checked=2 -> filtered sure=true silent=3 first=1 last=1 checked=3",
				"10.0.0.5:25": "open sure=true silent=0 refused first=2 last=2 checked=2 -> filtered sure=true silent=1 refused first=2 last=2 checked=3",
			}},
			{"a look that does not count", three, four, map[string]string{
				"10.0.0.1:25": "filtered sure=true silent=1 refused first=1 last=2 checked=3 -> filtered sure=false silent=1 refused first=1 last=2 checked=3",
				"10.0.0.2:25": "filtered sure=true silent=1 accepted first=1 last=2 checked=3 -> filtered sure=false silent=1 accepted first=1 last=2 checked=3",
				"10.0.0.3:25": "open sure=true silent=0 refused first=1 last=3 checked=3 -> filtered sure=false silent=0 refused first=1 last=3 checked=3",
				"10.0.0.4:25": "filtered sure=true silent=3 first=1 last=1 checked=3 -> filtered sure=false silent=3 first=1 last=1 checked=3",
				"10.0.0.5:25": "filtered sure=true silent=1 refused first=2 last=2 checked=3 -> filtered sure=false silent=1 refused first=2 last=2 checked=3",
			}},
			{"nobody looked", four, five, map[string]string{
				"10.0.0.1:25": "filtered sure=false silent=1 refused first=1 last=2 checked=3 -> nothing",
				"10.0.0.2:25": "filtered sure=false silent=1 accepted first=1 last=2 checked=3 -> nothing",
				"10.0.0.3:25": "filtered sure=false silent=0 refused first=1 last=3 checked=3 -> nothing",
				"10.0.0.4:25": "filtered sure=false silent=3 accepted first=1 last=1 checked=3 -> nothing",
				"10.0.0.5:25": "filtered sure=false silent=1 refused first=2 last=2 checked=3 -> nothing",
			}},
			{"over several scans", one, three, map[string]string{
				"10.0.0.1:25": "open sure=true silent=0 refused first=1 last=1 checked=1 -> filtered sure=true silent=1 refused first=1 last=2 checked=3",
				"10.0.0.2:25": "open sure=true silent=0 refused first=1 last=1 checked=1 -> filtered sure=true silent=1 accepted first=1 last=2 checked=3",
				"10.0.0.3:25": "open sure=true silent=0 first=1 last=1 checked=1 -> open sure=true silent=0 first=1 last=3 checked=3",
				"10.0.0.4:25": "open sure=true silent=0 accepted first=1 last=1 checked=1 -> filtered sure=true silent=3 accepted first=1 last=1 checked=3",
				"10.0.0.5:25": "nothing -> filtered sure=true silent=1 refused first=2 last=2 checked=3",
			}},
		} {
			got := told(t, s, tt.from, tt.to)
			for a, want := range tt.want {
				if got[a] != want {
					t.Errorf("%s: %s\n got %s\nwant %s", tt.name, a, got[a], want)
				}
			}
			if len(got) != len(tt.want) {
				t.Errorf("%s: got %d endpoints, want %d", tt.name, len(got), len(tt.want))
			}
		}
	})
}

func TestAStoredScanIsReadAgain(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s := open(t, name)
		relay := found("10.0.0.2:25", true, at(1))
		relay.Attempts[0].End = smtp.Reply{Code: 250, Lines: []string{"queued"}}
		scanned(t, s, "one", at(1), closed, found("10.0.0.1:25", false, at(1)), relay)
		read := func() *report.Report {
			i, err := s.Find(t.Context(), "last")
			if err != nil {
				t.Fatal(err)
			}
			r, err := s.Read(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(r.Close)
			return report.New(r.Input)
		}
		if r := read(); len(r.Entries) != 2 || r.Entries[0].Verdict != probe.Queued || r.Entries[1].Verdict != probe.Refused || !r.Scan.Complete || r.Totals.Coverage.Closed != 254 {
			t.Errorf("got %d entries, %+v", len(r.Entries), r.Totals)
		}
		d := probe.Delivery{Canary: relay.Attempts[0].Canary, Time: at(2), Peer: "10.0.0.2:1234", To: "x"}
		for range 2 { // twice brought, once stored
			if err := s.Deliver(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		if r := read(); r.Entries[0].Verdict != probe.Delivered || len(r.Arrivals) != 1 {
			t.Errorf("a day later got %s, %d arrivals", r.Entries[0].Verdict, len(r.Arrivals))
		}
	})
}

func TestPruneKeepsWhatWasKnownLast(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s := open(t, name)
		scanned(t, s, "one", at(1), closed, found("10.0.0.1:25", false, at(1)), found("10.0.0.2:25", true, at(1)))
		two := scanned(t, s, "two", at(2), closed, found("10.0.0.1:25", false, at(2)))
		three := scanned(t, s, "three", at(3), untargeted, found("10.0.0.3:25", false, at(3)))
		before := told(t, s, two, three)
		p, err := s.Prune(t.Context(), at(30))
		if err != nil {
			t.Fatal(err)
		}
		if p.Scans != 0 || p.Looks != 1 || p.Findings != 1 {
			t.Errorf("pruned %+v: want the first look at 10.0.0.1 alone", p)
		}
		for a, want := range before {
			if got := told(t, s, two, three)[a]; got != want {
				t.Errorf("%s\n got %s\nwant %s", a, got, want)
			}
		}
		looks, err := s.History(t.Context(), "", netip.MustParseAddrPort("10.0.0.2:25"))
		if err != nil || len(looks) != 2 || looks[0].Found == nil || looks[0].Judged.Verdict != probe.Accepted {
			t.Errorf("the last finding of 10.0.0.2 is not there any more: %v, %v", looks, err)
		}
	})
}
