package report

import (
	"fmt"
	"net/netip"
	"testing"

	"relaysweep/probe"
)

func TestListenersOfACrowdAreOneRow(t *testing.T) {
	silent := func(a string, port int) probe.Finding {
		return probe.Finding{Addr: netip.MustParseAddrPort(fmt.Sprintf("%s:%d", a, port)), Protocol: "unknown", Note: "silent"}
	}
	var in Input
	for port := 1; port <= 20; port++ {
		in.Findings = append(in.Findings, silent("10.0.0.1", port))
	}
	for port := 1; port < crowdedFrom; port++ {
		in.Findings = append(in.Findings, silent("[2001:db8::1]", port))
	}
	ftp := silent("10.0.0.1", 21)
	ftp.Protocol, ftp.Note, ftp.Greeting = "ftp", "", "220 FTP"
	crowd := silent("[2001:db8::2]", 5)
	crowd.Crowd, crowd.Note = []uint16{5, 6, 7, 9, 11, 13}, "6 ports say nothing"
	in.Findings = append(in.Findings, ftp, crowd)
	rows := New(in).listeners()
	got := make(map[string]int)
	for _, r := range rows {
		got[r.endpoint+" "+r.said] = len(r.ports)
	}
	want := map[string]int{"10.0.0.1:1-20 20 ports: silent": 20, "10.0.0.1:21 220 FTP": 1, "[2001:db8::2]:5-7,9,11,… 6 ports say nothing": 6}
	for port := 1; port < crowdedFrom; port++ {
		want[fmt.Sprintf("[2001:db8::1]:%d silent", port)] = 1
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if n := countPorts(rows); n != 20+crowdedFrom-1+1+6 {
		t.Errorf("got %d endpoints", n)
	}
}

func TestNmapXMLListsACrowd(t *testing.T) {
	at := netip.MustParseAddrPort
	r := New(Input{Findings: []probe.Finding{
		{Addr: at("10.0.0.1:5"), Protocol: "unknown", Note: "silent", Crowd: []uint16{5, 6, 900}},
		{Addr: at("10.0.0.1:25"), Protocol: "smtp", Greeting: "220 mx"},
	}})
	var ids []uint16
	for _, h := range r.nmapHosts() {
		for _, p := range h.Ports {
			ids = append(ids, p.ID)
		}
	}
	if want := []uint16{5, 6, 25, 900}; fmt.Sprint(ids) != fmt.Sprint(want) {
		t.Errorf("got ports %v, want %v", ids, want)
	}
}
