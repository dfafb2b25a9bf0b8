package main

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"relaysweep/discover"
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
		{"a self-test tells better", []netip.AddrPort{listener}, []discover.CoverageRow{row(25, 0, 0, 256, 0)}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sc := &scanning{s: &settings{SelfTest: tt.selfTest}}
			if got := slices.Sorted(maps.Keys(sc.mute(tt.rows))); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
