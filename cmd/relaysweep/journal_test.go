package main

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"relaysweep/discover"
)

// The line of a handshake is written by hand, and is the one that encoding/json would write.
func TestAuditLine(t *testing.T) {
	scope, err := discover.NewScope(discover.Spec{Targets: []discover.Entry{{Text: "10.0.0.1"}, {Text: "fd00::1"}}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC)
	for _, c := range []struct{ vantage, target, source, vector string }{
		{"here", "10.0.0.1:25", "", "handshake"},
		{"a \"quoted\"\n{vantage}", "[fd00::1]:65535", "203.0.113.77:25", "S1"},
		{"<内側>", "10.0.0.1:1", ":25", "my \"row\""},
	} {
		target, err := scope.Target(netip.MustParseAddrPort(c.target))
		if err != nil {
			t.Fatal(err)
		}
		var from netip.AddrPort
		if c.source != "" {
			if from, err = discover.ParseSource(c.source); err != nil {
				t.Fatal(err)
			}
		}
		a := &audit{scan: "20260203-1", vantage: c.vantage}
		if err := a.prepare(); err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(auditLine{now, a.scan, a.vantage, c.target, c.source, c.vector})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(a.handshake(now, target, from, c.vector)); got != string(want)+"\n" {
			t.Errorf("got  %swant %s", got, want)
		}
	}
}
