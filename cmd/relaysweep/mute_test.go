package main

import (
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"relaysweep/discover"
	"relaysweep/report"
)

func TestPortsOnWhichNothingAnswers(t *testing.T) {
	row := func(port uint16, open, closed, filtered, prohibited uint64) discover.CoverageRow {
		r := discover.CoverageRow{Port: port}
		r.Open, r.Closed, r.Filtered, r.Prohibited = open, closed, filtered, prohibited
		return r
	}
	listener := netip.MustParseAddrPort("203.0.113.25:25")
	for _, tt := range []struct {
		name     string
		selfTest []netip.AddrPort
		rows     []discover.CoverageRow
		want     []uint16
	}{
		{"one that is open somewhere answers", nil, []discover.CoverageRow{row(25, 0, 0, 256, 0), row(25, 1, 0, 255, 0)}, nil},
		{"a reset is an answer", nil, []discover.CoverageRow{row(25, 0, 1, 255, 0)}, nil},
		{"silence alone is none", nil, []discover.CoverageRow{row(25, 0, 0, 256, 0), row(465, 1, 0, 0, 0)}, []uint16{25}},
		{"who forbids may stand on this side", nil, []discover.CoverageRow{row(25, 0, 0, 0, 256)}, []uint16{25}},
		{"a self-test of the port tells better", []netip.AddrPort{listener}, []discover.CoverageRow{row(25, 0, 0, 256, 0), row(465, 0, 0, 256, 0)}, []uint16{465}},
		{"nothing was asked", nil, []discover.CoverageRow{row(25, 0, 0, 0, 0)}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sc := &scanning{s: &settings{SelfTest: tt.selfTest}}
			if got := slices.Sorted(maps.Keys(sc.mute(tt.rows))); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// Two silences in a row are gone only where something else shows that this side lets the port out.
func TestSilenceOfAMutePortMakesNothingGone(t *testing.T) {
	for _, tt := range []struct {
		name   string
		beside discover.State // another host, on the same port
		want   []report.ChangeKind
	}{
		{"another host resets", discover.Closed, []report.ChangeKind{"", report.IsNotRechecked, report.IsGone}},
		{"all are silent", discover.Filtered, []report.ChangeKind{"", report.IsNotRechecked, report.IsNotRechecked}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file, began := filepath.Join(t.TempDir(), "inventory.db"), time.Now().UTC()
			for i, state := range []discover.State{discover.Open, discover.Filtered, discover.Filtered} {
				sc := discovery(t, network(map[string]discover.State{"10.0.0.1:25": state, "10.0.0.2:25": tt.beside}), func(s *settings) {
					s.Inventory, s.Started = file, began.Add(time.Duration(i)*time.Second)
				})
				if got := codeOf(t, sc.run(t.Context())); got != exitDone {
					t.Fatalf("scan %d: exit code %d", i, got)
				}
				var got report.ChangeKind
				if c := sc.result.Changes; c != nil && len(c.List) > 0 {
					got = c.List[0].Kind
				}
				if got != tt.want[i] {
					t.Errorf("scan %d: got %q, want %q", i, got, tt.want[i])
				}
				sc.close()
			}
		})
	}
}
