package inventory

import (
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
