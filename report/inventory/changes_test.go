package inventory

import (
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/report"
)

// changed is what a list of changes tells, in a line each.
func changed(t *testing.T, c *report.Changes, err error) []string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range c.List {
		s := string(d.Kind) + " " + d.Addr.String() + " " + d.Severity.String()
		if d.Worse {
			s += " worse"
		}
		for _, x := range d.Differences {
			s += ", " + x.Field + " " + x.Before + ">" + x.After
		}
		out = append(out, s+": "+d.Reason)
	}
	return out
}

func TestChangesBetweenStoredScans(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s := open(t, name)
		upgraded := found("10.0.0.1:25", true, at(4))
		upgraded.Service.Version = "3.11.6"
		one := scanned(t, s, "one", at(1), closed, found("10.0.0.1:25", false, at(1)), found("10.0.0.2:25", true, at(1)), found("10.0.0.3:25", false, at(1)))
		two := scanned(t, s, "two", at(2), closed, found("10.0.0.1:25", false, at(2)), found("10.0.0.3:25", false, at(2)), found("10.0.0.5:25", false, at(2)))
		three := scanned(t, s, "three", at(3), doubted)
		four := scanned(t, s, "four", at(4), silent, upgraded, found("10.0.0.2:25", false, at(4)))
		five := scanned(t, s, "five", at(5), untargeted)
		doubt := "silent, in a look that does not count: self-test: nothing was seen"
		once := "silent once: a packet may have been lost, or the server was down for a minute"
		for _, tt := range []struct {
			name     string
			from, to Info
			want     []string
		}{
			{"new, gone and the same", one, two, []string{
				"new 10.0.0.5:25 info: closed (a reset) when the scan before looked at it", "gone 10.0.0.2:25 medium: closed (a reset)",
			}},
			{"a scan that cannot be believed makes nothing gone", two, three, []string{
				"not-rechecked 10.0.0.1:25 info: " + doubt, "not-rechecked 10.0.0.3:25 info: " + doubt, "not-rechecked 10.0.0.5:25 info: " + doubt,
			}},
			{"what an upgrade did is told although nobody could look in between", three, four, []string{
				"changed 10.0.0.1:25 medium worse, version 3.7.0>3.11.6, verdict refused>accepted, class closed>relay, vectors >R1, S1: ",
				"re-appeared 10.0.0.2:25 info, verdict accepted>refused, class relay>closed, vectors R1, S1>: last seen 2026-01-02 03:00, not open 2026-01-03 04:00",
				"not-rechecked 10.0.0.3:25 info: " + once, "not-rechecked 10.0.0.5:25 info: " + once,
			}},
			{"nobody looked: what relayed is still told as what it was", four, five, []string{
				"not-rechecked 10.0.0.1:25 medium: it was not looked at", "not-rechecked 10.0.0.2:25 info: it was not looked at",
				"not-rechecked 10.0.0.3:25 info: it was not looked at", "not-rechecked 10.0.0.5:25 info: it was not looked at",
			}},
		} {
			c, err := s.Changes(t.Context(), tt.from, tt.to)
			if got := changed(t, c, err); !slices.Equal(got, tt.want) {
				t.Errorf("%s:\n got %s\nwant %s", tt.name, strings.Join(got, "\n     "), strings.Join(tt.want, "\n     "))
			}
		}
		if c, err := s.Since(t.Context(), two); err != nil || c.From != "one" || c.To != "two" || c.Same != 2 || c.Vantage != "internet" {
			t.Errorf("since the scan before: got %+v, %v", c, err)
		}
		if c, err := s.Since(t.Context(), one); c != nil || err != nil {
			t.Errorf("before the first scan there is none: got %+v, %v", c, err)
		}
	})
}

// A delivery that comes home after the scan is part of what changed.
func TestALateDeliveryIsAChange(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s := open(t, name)
		one := scanned(t, s, "one", at(1), closed, found("10.0.0.1:25", true, at(1)))
		two := scanned(t, s, "two", at(2), closed, found("10.0.0.1:25", true, at(2)))
		if c, err := s.Changes(t.Context(), one, two); err != nil || len(c.List) != 0 || c.Same != 1 {
			t.Fatalf("got %+v, %v", c, err)
		}
		sent := found("10.0.0.1:25", true, at(3))
		sent.Attempts[0].End = sent.Attempts[0].Mail
		three := scanned(t, s, "three", at(3), closed, sent)
		if err := s.Deliver(t.Context(), probe.Delivery{Canary: sent.Attempts[0].Canary, Time: at(4), To: "x"}); err != nil {
			t.Fatal(err)
		}
		c, err := s.Changes(t.Context(), two, three)
		if got := changed(t, c, err); len(got) != 1 || !strings.HasPrefix(got[0], "changed 10.0.0.1:25 critical") || !strings.Contains(got[0], "verdict accepted>delivered") {
			t.Errorf("got %v", got)
		}
	})
}

// History tells of each look; one that did not find it open has what was found last.
func TestHistoryHasWhatWasFoundLast(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s := open(t, name)
		relay := found("10.0.0.1:25", true, at(1))
		scanned(t, s, "one", at(1), closed, relay)
		scanned(t, s, "two", at(2), closed)
		looks, err := s.History(t.Context(), "", relay.Addr)
		if err != nil || len(looks) != 2 {
			t.Fatalf("got %d looks, %v", len(looks), err)
		}
		if l := looks[1]; l.State != discover.Closed || l.Found == nil || l.Judged.Verdict != probe.Accepted || l.Scan.ID != "two" {
			t.Errorf("got %+v", l)
		}
	})
}

// A long scan begins first and ends last; a short one runs within it. What the long one saw is the newer.
func TestAScanThatEndsLaterIsNotTheOneBefore(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s := open(t, name)
		scanned(t, s, "first", at(0), closed, found("10.0.0.1:25", true, at(0)))
		about := report.Scan{ID: "long", Vantage: "internet", Started: at(1)}
		w, err := s.Begin(t.Context(), about, "", KindScan)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		short := scanned(t, s, "short", at(2), untargeted)
		if err := w.Add(found("10.0.0.1:25", true, at(5))); err != nil {
			t.Fatal(err)
		}
		about.Ended = at(6)
		if err := w.End(t.Context(), End{About: about}); err != nil {
			t.Fatal(err)
		}
		c, err := s.Since(t.Context(), short)
		if err != nil || c.From != "first" {
			t.Errorf("since the scan before: got from %q, %v, want the first", c.From, err)
		}
		long, err := s.Find(t.Context(), "long")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Changes(t.Context(), long, short); !errors.Is(err, errBackwards) {
			t.Errorf("from the one that ended later: got %v", err)
		}
		if c, err := s.Changes(t.Context(), short, long); err != nil || c.Same != 1 {
			t.Errorf("from the one that ended first: got %v", changed(t, c, err))
		}
	})
}

// A relay and a closed server that never change, and one that an upgrade opens. Between two scans somebody lists openings.
func TestAListingInBetweenLosesNothing(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s := open(t, name)
		relay, shut, upgraded, fresh := "10.0.0.1:25", "10.0.0.2:25", "10.0.0.3:25", "10.0.0.4:25"
		one := scanned(t, s, "one", at(1), closed, found(relay, true, at(1)), found(shut, false, at(1)), found(upgraded, false, at(1)))
		end := End{About: report.Scan{StopAt: probe.Ready}}
		for _, a := range []string{relay, shut, upgraded, fresh} {
			end.Listed = append(end.Listed, Listed{Addr: netip.MustParseAddrPort(a), At: at(2)})
		}
		two := endedScan(t, s, "two", KindDiscover, at(2), at(2), end)
		now := found(upgraded, true, at(3))
		now.Service.Version = "3.11.6"
		three := scanned(t, s, "three", at(3), closed, found(relay, true, at(3)), found(shut, false, at(3)), now, found(fresh, true, at(3)))
		upgrade := "changed 10.0.0.3:25 medium worse, version 3.7.0>3.11.6, verdict refused>accepted, class closed>relay, vectors >R1, S1: "
		for _, tt := range []struct {
			name     string
			from, to Info
			want     []string
			fails    bool // what is new or worse, or judged for the first time, reaches medium
		}{
			{"what was found before is not lost by a listing", one, two, []string{"new 10.0.0.4:25 info: closed (a reset) when the scan before looked at it"}, false},
			{"nor by a listing that it is compared with", two, three, []string{
				upgrade, "changed 10.0.0.4:25 medium, verdict unknown>accepted, class >relay: it was only listed before, nothing was asked",
			}, true},
			{"nor by one in between", one, three, []string{upgrade, "new 10.0.0.4:25 medium: closed (a reset) when the scan before looked at it"}, true},
		} {
			c, err := s.Changes(t.Context(), tt.from, tt.to)
			if got := changed(t, c, err); !slices.Equal(got, tt.want) || c.WorstAtLeast(report.Medium) != tt.fails {
				t.Errorf("%s:\n got %s, %v\nwant %s, %v", tt.name, strings.Join(got, "\n     "), c.WorstAtLeast(report.Medium), strings.Join(tt.want, "\n     "), tt.fails)
			}
		}
		looks, err := s.History(t.Context(), "", netip.MustParseAddrPort(relay))
		if err != nil || len(looks) != 3 || !looks[1].Listed || looks[1].Found == nil || looks[0].Listed || looks[2].Listed {
			t.Errorf("history: got %+v, %v", looks, err)
		}
		r, err := s.Read(t.Context(), two)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for _, f := range r.Input.Findings {
			if f.Note != onlyListed {
				t.Errorf("the listing is read again as if it had spoken to %s", f.Addr)
			}
		}
	})
}

// An opening that is spoken to later in the same scan, and one that is listed after it was spoken to.
func TestAListingOfTheSameScan(t *testing.T) {
	for _, first := range []string{"listed", "found"} {
		s := open(t, filepath.Join(t.TempDir(), "inventory.db"))
		about := report.Scan{ID: "one", Vantage: "internet", Started: at(1), Ended: at(2)}
		w := func() *Scan {
			w, err := s.Begin(t.Context(), about, "", KindScan)
			if err != nil {
				t.Fatal(err)
			}
			return w
		}
		relay := found("10.0.0.1:25", true, at(3))
		steps := []func(*Scan) error{
			func(w *Scan) error {
				return w.End(t.Context(), End{About: about, Listed: []Listed{{Addr: relay.Addr}}})
			},
			func(w *Scan) error { return w.Add(relay) },
		}
		if first == "found" {
			slices.Reverse(steps)
		}
		for _, do := range steps {
			w := w()
			if err := do(w); err != nil {
				t.Fatal(err)
			}
			w.Close()
		}
		looks, err := s.History(t.Context(), "", relay.Addr)
		if err != nil || len(looks) != 1 || looks[0].Listed || looks[0].Judged.Verdict != probe.Accepted {
			t.Errorf("%s first: got %+v, %v", first, looks, err)
		}
	}
}

// What was found in between is told of, although both looks say the same.
func TestGoneTheSameWayTwice(t *testing.T) {
	for name, state := range map[string]func(netip.AddrPort) (State, bool){"closed": closed, "silent": silent} {
		s := open(t, filepath.Join(t.TempDir(), "inventory.db"))
		scanned(t, s, "1", at(1), closed, found("10.0.0.1:25", true, at(1)))
		two := scanned(t, s, "2", at(2), state)
		three := scanned(t, s, "3", at(3), closed, found("10.0.0.1:25", true, at(3)))
		four := scanned(t, s, "4", at(4), state)
		near, err := s.Changes(t.Context(), three, four)
		wide, err2 := s.Changes(t.Context(), two, four)
		if err != nil || err2 != nil || len(wide.List) != 1 || len(near.List) != 1 || wide.List[0].Severity != report.Medium || wide.List[0].Kind != near.List[0].Kind {
			t.Errorf("%s: got %q since the last opening, %q since before it", name, changed(t, near, err), changed(t, wide, err2))
		}
	}
}

// What is judged by an older version is judged anew, although both looks were judged alike then.
func TestAlikeByAnOlderJudgement(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "inventory.db"))
	one := scanned(t, s, "one", at(1), closed, found("10.0.0.1:25", true, at(1)))
	two := scanned(t, s, "two", at(2), closed, found("10.0.0.1:25", true, at(2)))
	found := func() (n int) {
		var err error
		for before, after := range s.Between(t.Context(), one, two, &err) {
			if before.Found != nil && after.Found != nil {
				n++
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if found() != 0 {
		t.Error("two that are alike were read")
	}
	older := append([]byte{report.JudgementVersion - 1}, make([]byte, 16)...)
	if _, err := s.writes.Exec("UPDATE sighting SET same = $1", older); err != nil {
		t.Fatal(err)
	}
	if found() != 1 {
		t.Error("two that an older version judged were not read")
	}
}

// The same facts tell the same, whatever is stored first: the look of the slow scan was at some time of days 1 to 6, the
// other one found it open on day 5.
func TestOpenWhileAnotherScanWasUnderWay(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		for _, first := range []string{"the opening", "the end of the slow scan"} {
			s := open(t, name)
			a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(len(first))}), 25)
			id := func(s string) string { return s + " " + first }
			was := scanned(t, s, id("was"), at(0), nil, found(a.String(), true, at(0)))
			slow := report.Scan{ID: id("slow"), Vantage: "internet", Started: at(1)}
			w, err := s.Begin(t.Context(), slow, "", KindScan)
			if err != nil {
				t.Fatal(err)
			}
			v, err := s.Begin(t.Context(), report.Scan{ID: id("other"), Vantage: "internet", Started: at(2)}, "", KindScan)
			if err != nil {
				t.Fatal(err)
			}
			slow.Ended = at(6)
			steps := []func() error{
				func() error { return v.Add(found(a.String(), true, at(5))) },
				func() error {
					return w.End(t.Context(), End{About: slow, State: func(b netip.AddrPort, _ string) (State, bool) { return State{discover.Closed, true, ""}, a == b }})
				},
			}
			if first != "the opening" {
				slices.Reverse(steps)
			}
			for _, do := range steps {
				if err := do(); err != nil {
					t.Fatal(err)
				}
			}
			w.Close()
			v.Close()
			i, err := s.Find(t.Context(), id("slow"))
			if err != nil {
				t.Fatal(err)
			}
			c, err := s.Changes(t.Context(), was, i)
			c.List = slices.DeleteFunc(c.List, func(d report.Change) bool { return d.Addr != a })
			if len(c.List) > 0 {
				t.Errorf("%s is stored first: got %q", first, changed(t, c, err))
			}
			looks, err := s.History(t.Context(), "", a)
			if err != nil || len(looks) != 2 || !looks[1].LastChecked.Equal(at(5)) {
				t.Errorf("%s is stored first: got %+v, %v", first, looks, err)
			}
			s.Close()
		}
	})
}

// Evidence that was pruned leaves what was judged; evidence that is damaged is told of.
func TestEvidenceThatCannotBeRead(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "inventory.db"))
	f := found("10.0.0.1:25", true, at(1))
	f.Attempts[0].End = f.Attempts[0].Mail
	one := scanned(t, s, "one", at(1), closed, f)
	two := scanned(t, s, "two", at(2), closed)
	if err := s.Deliver(t.Context(), probe.Delivery{Canary: f.Attempts[0].Canary, Time: at(1), To: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.writes.Exec("UPDATE evidence SET body = x'00'"); err != nil {
		t.Fatal(err)
	}
	if c, err := s.Changes(t.Context(), one, two); !errors.Is(err, ErrCorrupt) {
		t.Errorf("changes of what is damaged: got %+v, %v", c, err)
	}
	if looks, err := s.History(t.Context(), "", f.Addr); !errors.Is(err, ErrCorrupt) {
		t.Errorf("history of what is damaged: got %+v, %v", looks, err)
	}
	if _, err := s.writes.Exec("DELETE FROM evidence"); err != nil {
		t.Fatal(err)
	}
	c, err := s.Changes(t.Context(), one, two)
	if got := changed(t, c, err); len(got) != 1 || !strings.HasPrefix(got[0], "gone 10.0.0.1:25 medium") {
		t.Errorf("changes of what was pruned: got %q", got)
	}
}
