package main

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"relaysweep/discover"
	"relaysweep/report"
	"relaysweep/report/inventory"
)

// What opened to a further source is listed as such: from the vantage's own it would seem to be gone the next time.
func TestListedOpeningsKeepTheirSource(t *testing.T) {
	scope, err := discover.NewScope(discover.Spec{Targets: []discover.Entry{{Text: "127.0.0.0/29", Where: "test"}}})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := discover.NewPlan(scope, []uint16{25}, 1)
	if err != nil {
		t.Fatal(err)
	}
	const from = "127.0.0.99"
	sc := &scanning{s: &settings{Sources: []discover.Entry{{Text: from}}}, covs: []*discover.Coverage{discover.NewCoverage(plan), discover.NewCoverage(plan)}}
	own, further := netip.MustParseAddrPort("127.0.0.1:25"), netip.MustParseAddrPort("127.0.0.2:25")
	sc.covs[0].Set(own, discover.Open)
	sc.covs[0].Set(further, discover.Open) // a target is counted once
	sc.covs[1].Set(further, discover.Open)
	got := make(map[netip.AddrPort]string)
	for _, l := range sc.listed(time.Now()) {
		if _, twice := got[l.Addr]; twice {
			t.Errorf("%s is listed twice", l.Addr)
		}
		got[l.Addr] = l.Source
	}
	if len(got) != 2 || got[own] != "" || got[further] != discover.SourceText(sc.s.furtherAddrs()[0]) || got[further] == "" {
		t.Errorf("got %v", got)
	}
}

// A short scan within a long one: the long one ended last, so it is the later one.
func TestScansAreComparedInTheOrderOfTheirEnds(t *testing.T) {
	store, err := inventory.Open(t.Context(), filepath.Join(t.TempDir(), "inventory.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	day := time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC)
	for _, s := range []struct {
		id           string
		began, ended int
	}{{"long", 1, 6}, {"short", 2, 3}} {
		about := report.Scan{ID: s.id, Vantage: "internet", Started: day.AddDate(0, 0, s.began)}
		w, err := store.Begin(t.Context(), about, "", inventory.KindScan)
		if err != nil {
			t.Fatal(err)
		}
		about.Ended = day.AddDate(0, 0, s.ended)
		if err := w.End(t.Context(), inventory.End{About: about}); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	for _, tt := range []struct {
		name  string
		scans []string
		ok    bool
	}{
		{"the one that ended first is named first", []string{"short", "long"}, true},
		{"the one that ended last is named first", []string{"long", "short"}, false},
		{"from the short one to the last", []string{"short"}, true}, // which is the long one
		{"from the long one to the last", []string{"long"}, false},
		{"none is named", nil, false}, // before the short one none had ended
	} {
		if from, to, err := twoScans(t.Context(), store, tt.scans); (err == nil) != tt.ok {
			t.Errorf("%s: got %s to %s, %v", tt.name, from.ID, to.ID, err)
		}
	}
}
