package main

import (
	"net/netip"
	"strings"
	"testing"

	"relaysweep/probe"
	"relaysweep/report"
)

func TestEndpointsStandInOrder(t *testing.T) {
	var findings []probe.Finding
	for _, e := range []string{"[2001:db8::1]:25", "192.0.2.10:25", "[2001:db8::1]:9", "192.0.2.9:587", "192.0.2.9:25", "192.0.2.10:25"} {
		findings = append(findings, probe.Finding{Addr: netip.MustParseAddrPort(e)})
	}
	var out strings.Builder
	if err := writeEndpoints(&out, report.New(report.Input{Findings: findings})); err != nil {
		t.Fatal(err)
	}
	want := "192.0.2.9:25\n192.0.2.9:587\n192.0.2.10:25\n[2001:db8::1]:9\n[2001:db8::1]:25\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestProbeReadsEndpoints(t *testing.T) {
	p := &program{in: strings.NewReader("[2001:db8::1]:25\n192.0.2.9:587, an old one\n")}
	got, err := p.endpoints([]string{"192.0.2.9:25", "-"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"192.0.2.9:25", "[2001:db8::1]:25", "192.0.2.9:587"}
	for i, e := range got {
		if i >= len(want) || e.String() != want[i] {
			t.Errorf("got %v, want %q", got, want)
			break
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v, want %q", got, want)
	}
}
