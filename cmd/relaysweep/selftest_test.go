package main

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"relaysweep/discover"
)

func TestDoubt(t *testing.T) {
	end := netip.MustParseAddrPort
	for _, c := range []struct {
		name string
		seen map[netip.AddrPort]discover.State
		want []uint16 // of 25, 465 and 587
	}{
		{"the known listener is seen", map[netip.AddrPort]discover.State{end("10.0.0.1:25"): discover.Open}, nil},
		{"the only one is not", map[netip.AddrPort]discover.State{end("10.0.0.1:25"): discover.Filtered}, []uint16{25, 465, 587}},
		{"port 25 does not get out, port 587 does", map[netip.AddrPort]discover.State{end("10.0.0.1:25"): discover.Filtered, end("10.0.0.1:587"): discover.Open}, []uint16{25}},
		{"one of two on port 25 is down", map[netip.AddrPort]discover.State{end("10.0.0.1:25"): discover.Closed, end("10.0.0.2:25"): discover.Open}, nil},
		{"none of several is seen", map[netip.AddrPort]discover.State{end("10.0.0.1:25"): discover.Prohibited, end("[2001:db8::1]:465"): discover.Filtered}, []uint16{25, 465, 587}},
	} {
		got := doubt(c.seen, []uint16{25, 465, 587})
		if ports := slices.Sorted(maps.Keys(got)); !slices.Equal(ports, c.want) {
			t.Errorf("%s: got doubts of %v, want %v", c.name, ports, c.want)
		}
		for port, why := range got {
			if why == "" {
				t.Errorf("%s: no reason for port %d", c.name, port)
			}
		}
	}
}

func TestListeners(t *testing.T) {
	if _, err := listeners([]string{"10.0.0.1"}, "--self-test"); err == nil || err.Error() != `--self-test: "10.0.0.1" is not an endpoint: write it like 203.0.113.25:25` {
		t.Errorf("got %v", err)
	}
	got, err := listeners([]string{"10.0.0.1:25", "[::ffff:10.0.0.2]:25"}, "")
	if err != nil || len(got) != 2 || got[1] != netip.MustParseAddrPort("10.0.0.2:25") {
		t.Errorf("got %v, %v", got, err)
	}
}
