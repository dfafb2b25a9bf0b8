package inventory

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"relaysweep/discover"
	"relaysweep/report"
)

// endedScan is a scan that is stored at once, and of which the end tells all beside what was found.
func endedScan(t *testing.T, s *Store, id, kind string, began, over time.Time, end End, endpoints ...string) Info {
	t.Helper()
	about := report.Scan{ID: id, Vantage: "internet", Started: began, StopAt: end.About.StopAt}
	w, err := s.Begin(t.Context(), about, "", kind)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, a := range endpoints {
		if err := w.Add(found(a, false, began)); err != nil {
			t.Fatal(err)
		}
	}
	about.Ended = over
	end.About = about
	if err := w.End(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	i, err := s.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// --since passes over what was looked at, and nothing else.
func TestWhatWasLookedAtSince(t *testing.T) {
	const a = "10.0.0.70:25"
	row := func(r discover.CoverageRow) []discover.CoverageRow {
		r.Prefix, r.Port = netip.MustParsePrefix("10.0.0.0/24"), 25
		return []discover.CoverageRow{r}
	}
	all := row(discover.CoverageRow{Closed: 256})
	listed := []Listed{{Addr: netip.MustParseAddrPort(a)}}
	shows := func(s State) func(netip.AddrPort, string) (State, bool) {
		return func(netip.AddrPort, string) (State, bool) { return s, true }
	}
	for _, tt := range []struct {
		name string
		scan func(t *testing.T, s *Store)
		want bool
	}{
		{"nobody looked", func(*testing.T, *Store) {}, false},
		{"all of its network was looked at", func(t *testing.T, s *Store) { endedScan(t, s, "1", KindScan, at(1), at(2), End{Coverage: all}) }, true},
		{"its network was looked at before that time", func(t *testing.T, s *Store) { endedScan(t, s, "1", KindScan, at(-2), at(-1), End{Coverage: all}) }, false},
		{"its network was looked at by the scan itself", func(t *testing.T, s *Store) { endedScan(t, s, "this", KindScan, at(1), at(2), End{Coverage: all}) }, false},
		{"openings were listed only", func(t *testing.T, s *Store) { endedScan(t, s, "1", KindDiscover, at(1), at(2), End{Coverage: all}) }, false},
		{"a part of its network was left out, by what it excluded", func(t *testing.T, s *Store) {
			endedScan(t, s, "1", KindScan, at(1), at(2), End{Coverage: row(discover.CoverageRow{Closed: 192, NotAttempted: 64, Reasons: map[string]uint64{"excluded": 64}})})
		}, false},
		{"a look in its network failed", func(t *testing.T, s *Store) {
			endedScan(t, s, "1", KindScan, at(1), at(2), End{Coverage: row(discover.CoverageRow{Closed: 255, Failed: 1})})
		}, false},
		{"it was found open, and not spoken to", func(t *testing.T, s *Store) {
			endedScan(t, s, "1", KindScan, at(1), at(2), End{Coverage: all, Listed: listed})
		}, false},
		{"it was spoken to", func(t *testing.T, s *Store) { endedScan(t, s, "1", KindScan, at(1), at(2), End{}, a) }, true},
		{"it was spoken to, and later listed", func(t *testing.T, s *Store) {
			endedScan(t, s, "1", KindScan, at(1), at(2), End{}, a)
			endedScan(t, s, "2", KindDiscover, at(3), at(4), End{Listed: listed})
		}, true},
		{"all was looked at, and later it was listed", func(t *testing.T, s *Store) {
			endedScan(t, s, "1", KindScan, at(1), at(2), End{Coverage: all})
			endedScan(t, s, "2", KindDiscover, at(3), at(4), End{Listed: listed})
		}, false},
		{"it was known, and was closed", func(t *testing.T, s *Store) {
			endedScan(t, s, "0", KindScan, at(-2), at(-1), End{}, a)
			endedScan(t, s, "1", KindScan, at(1), at(2), End{State: shows(State{discover.Closed, true, ""})})
		}, true},
		{"it was known, was closed, and later listed", func(t *testing.T, s *Store) {
			endedScan(t, s, "0", KindScan, at(-2), at(-1), End{}, a)
			endedScan(t, s, "1", KindScan, at(1), at(2), End{State: shows(State{discover.Closed, true, ""})})
			endedScan(t, s, "2", KindDiscover, at(3), at(4), End{Listed: listed})
		}, false},
		{"it was known, and the look at it does not count", func(t *testing.T, s *Store) {
			endedScan(t, s, "0", KindScan, at(-2), at(-1), End{}, a)
			endedScan(t, s, "1", KindScan, at(1), at(2), End{Coverage: all, State: shows(State{discover.Filtered, false, "self-test"})})
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, filepath.Join(t.TempDir(), "inventory.db"))
			tt.scan(t, s)
			f, err := s.Fresh(t.Context(), "", "internet", at(0), "this")
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Holds(netip.MustParseAddrPort(a)); got != tt.want {
				t.Errorf("got %v, want %v: %+v", got, tt.want, f)
			}
		})
	}
}
