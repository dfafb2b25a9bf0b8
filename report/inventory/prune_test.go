package inventory

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"relaysweep/probe"
	"relaysweep/report"
)

// ended is a scan of a kind that is stored at once.
func ended(t *testing.T, s *Store, id, kind string, when time.Time, end End, findings ...*probe.Finding) Info {
	t.Helper()
	end.About = report.Scan{ID: id, Vantage: "internet", Started: when}
	w, err := s.Begin(t.Context(), end.About, "", kind)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, f := range findings {
		if err := w.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	end.About.Ended = when.Add(time.Hour)
	if err := w.End(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	i, err := s.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func prune(t *testing.T, s *Store, before time.Time) Pruned {
	t.Helper()
	p, err := s.Prune(t.Context(), before)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWhatIsPrunedWhileItIsReadIsNoDamage(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s, other := open(t, name), open(t, name)
		var good, bad []*probe.Finding
		for k := range 5 {
			good = append(good, found(endpointAt(k).String(), false, at(1)))
			bad = append(bad, found(endpointAt(k).String(), true, at(2)))
		}
		one := scanned(t, s, "one", at(1), closed, good...)
		two := scanned(t, s, "two", at(2), closed, bad...)
		var err error
		n := 0
		for range s.Between(t.Context(), one, two, &err) {
			if n++; n == 1 {
				if p := prune(t, other, at(30)); p.Looks != 5 {
					t.Fatalf("pruned %+v", p)
				}
			}
		}
		if err != nil && (!errors.Is(err, errMeanwhile) || errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "run it again")) {
			t.Errorf("got %v", err)
		}
	})
}

func TestPruneKeepsTheRulesOfWhatWasKnownLast(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s := open(t, name)
		a := netip.MustParseAddrPort("10.0.0.1:25")
		ended(t, s, "listed", KindDiscover, at(1), End{Listed: []Listed{{Addr: a}}, Passages: map[netip.AddrPort][]string{a: {"fw1 line 7"}}})
		w := begin(t, t.Context(), s, "listed")
		if err := w.Hold([]Use{{Addr: a, Approval: "mail team, T-1", State: "approved"}}); err != nil {
			t.Fatal(err)
		}
		if err := w.End(t.Context(), End{About: report.Scan{ID: "listed", Ended: at(1).Add(2 * time.Hour)}}); err != nil {
			t.Fatal(err)
		}
		scanned(t, s, "two", at(2), untargeted)
		prune(t, s, at(30))
		looks, err := s.History(t.Context(), "", a)
		if err != nil || len(looks) != 1 || fmt.Sprint(looks[0].Rules) != "[fw1 line 7]" {
			t.Errorf("got %v, %v", looks, err)
		}
		var uses int
		if err := s.db.QueryRow("SELECT count(*) FROM approval_use").Scan(&uses); err != nil || uses != 1 {
			t.Errorf("%d approvals are there, %v", uses, err)
		}
	})
}

func TestPruneLeavesAScanThatIsUnderWay(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s := open(t, name)
		ended(t, s, "resumed", KindScan, at(1), End{})
		scanned(t, s, "done", at(1), untargeted)
		w := begin(t, t.Context(), s, "long")
		resumed := begin(t, t.Context(), s, "resumed")
		scanned(t, s, "short", at(2), untargeted)
		scanned(t, s, "last", at(3), untargeted)
		if p := prune(t, s, at(10)); p.Scans != 2 { // done and short
			t.Errorf("pruned %+v", p)
		}
		for _, w := range []*Scan{w, resumed} {
			if err := w.Add(found("10.0.0.1:25", true, at(20))); err != nil {
				t.Error(err)
			}
		}
		// Nor does one that was killed for good stay for ever.
		killed := begin(t, t.Context(), s, "killed")
		if err := killed.Add(found("10.0.0.2:25", true, at(1))); err != nil {
			t.Error(err)
		}
		if _, err := s.writes.Exec("UPDATE scan SET under_way = $1 WHERE name = 'killed'", at(1).UnixMilli()); err != nil {
			t.Fatal(err)
		}
		scanned(t, s, "after", at(4), untargeted, found("10.0.0.2:25", true, at(4)))
		if p := prune(t, s, at(10)); p.Findings != 1 {
			t.Errorf("pruned %+v", p)
		}
		// What has come to an end is pruned.
		for _, id := range []string{"long", "resumed"} {
			ended(t, s, id, KindScan, at(1), End{})
		}
		scanned(t, s, "newest", at(30), untargeted, found("10.0.0.1:25", true, at(30)))
		if p := prune(t, s, at(40)); p.Findings != 2 {
			t.Errorf("pruned %+v", p)
		}
	})
}

func TestWhatIsOldIsNotNewAfterAPrune(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s := open(t, name)
		x, y, z := "10.0.0.1:25", "10.0.0.2:25", "10.0.0.3:25"
		oldest := ended(t, s, "oldest", KindScan, at(0), End{}, found(x, true, at(0)), found(z, false, at(0)))
		base := ended(t, s, "base", KindScan, at(1), End{}, found(x, false, at(1)), found(y, false, at(1)))
		ended(t, s, "probe", KindProbe, at(5), End{}, found(x, true, at(5)))
		after := ended(t, s, "after", KindScan, at(10), End{}, found(x, true, at(10)), found(y, false, at(10)))
		c, err := s.Since(t.Context(), after)
		want := changed(t, c, err)
		if len(want) != 2 || !strings.HasPrefix(want[0], "changed "+x) {
			t.Fatalf("got %q", want)
		}
		if p := prune(t, s, at(7)); p.Looks != 1 { // x of the oldest
			t.Errorf("pruned %+v", p)
		}
		c, err = s.Since(t.Context(), after)
		if got := changed(t, c, err); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %q, want %q", got, want)
		}
		c, err = s.Changes(t.Context(), oldest, base)
		for _, line := range changed(t, c, err) {
			if strings.HasPrefix(line, "new") && strings.Contains(line, x) {
				t.Errorf("got %q, and it was there before", line)
			}
		}
	})
}

func TestAPruneOfNothingWritesNothing(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "inventory.db"))
	for n := range 3 {
		scanned(t, s, fmt.Sprint(n), at(1+n), untargeted, found(endpointAt(n).String(), false, at(1+n)))
	}
	prune(t, s, at(30))
	if _, err := s.writes.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	p := prune(t, s, at(30))
	if i, err := os.Stat(s.file + "-wal"); err != nil || i.Size() != 0 || p != (Pruned{}) {
		t.Errorf("pruned %+v: %d bytes were written, %v", p, i.Size(), err)
	}
}

// The names of exports and approvals come from files: two that begin alike for long, or differ in what cannot be stored,
// are two.
func TestLongNamesStayApart(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s := open(t, name)
		long := strings.Repeat("an export of the firewall at the border ", 10)
		names := []string{long + "1", long + "2", "short", "sho\x00rt", "sho\x01rt"}
		var end End
		var uses []Use
		for _, n := range names {
			end.Rulesets = append(end.Rulesets, Ruleset{Device: "fw1", File: n}, Ruleset{Device: n, File: "fw1"})
			uses = append(uses, Use{Addr: endpointAt(1), Approval: n, State: "approved"})
		}
		for range 2 { // what ends again is no other
			ended(t, s, "one", KindScan, at(1), end)
			if err := begin(t, t.Context(), s, "one").Hold(uses); err != nil {
				t.Fatal(err)
			}
		}
		var rulesets, approvals int
		if err := errors.Join(s.db.QueryRow("SELECT count(*) FROM ruleset").Scan(&rulesets), s.db.QueryRow("SELECT count(*) FROM approval_use").Scan(&approvals)); err != nil {
			t.Fatal(err)
		}
		if rulesets != 2*len(names) || approvals != len(names) {
			t.Errorf("got %d and %d, want %d and %d", rulesets, approvals, 2*len(names), len(names))
		}
	})
}
