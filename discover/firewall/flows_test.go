package firewall

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The answers that a language documents stand in testdata/LANGUAGE/NAME.flows, beside the exports NAME.* or NAME-*.*:
//
//	zone wan eth0 eth1            interfaces of a zone, as a configuration has it
//	network lan 10.20.0.0/16      what lies behind a zone
//	own 198.51.100.1              an address of the device
//	# sentences say which trap a line is about
//	wan 203.0.113.9 > 198.51.100.25:25  permitted to 10.20.0.25:2525 from 10.20.0.1 by 7 12 policy
//	wan 203.0.113.9:25 > 198.51.100.26:25  possibly permitted by 7,8 because geoip
//
// by lists what decided, hop by hop: IDs of rules, or policy; several at one hop are joined by commas. to and from are
// what the server sees, where it is not as sent; - is an address that is not known. because is part of a word that is not
// modelled.
func TestFlows(t *testing.T) {
	names, err := filepath.Glob("testdata/*/*.flows")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(name, "testdata/"), ".flows"), func(t *testing.T) { testFlows(t, name) })
	}
}

func testFlows(t *testing.T, name string) {
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	stem := strings.TrimSuffix(name, ".flows")
	files, _ := filepath.Glob(stem + ".*")
	more, _ := filepath.Glob(stem + "-*.*")
	files = slices.DeleteFunc(append(files, more...), func(s string) bool { return strings.HasSuffix(s, ".flows") })
	rs, err := ReadFiles("fw", files...)
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for i, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		switch f[0] {
		case "zone":
			rs.Bind(f[1], f[2:])
			continue
		case "network":
			for _, p := range f[2:] {
				rs.Routes = append(rs.Routes, Route{netip.MustParsePrefix(p), f[1]})
			}
			continue
		case "own":
			for _, a := range f[1:] {
				rs.Own = append(rs.Own, netip.MustParseAddr(a))
			}
			continue
		case "notes": // how many lines were not understood
			if got := fmt.Sprint(len(rs.Notes)); got != f[1] {
				t.Errorf("%s:%d: got %s notes, want %s: %v", name, i+1, got, f[1], rs.Notes)
			}
			continue
		}
		want := strings.Join(f, " ")
		flow, rest, ok := strings.Cut(want, " > ")
		in, src, ok2 := strings.Cut(flow, " ")
		dst, wanted, ok3 := strings.Cut(rest, " ")
		if !ok || !ok2 || !ok3 {
			t.Fatalf("%s:%d: want ZONE SOURCE > DESTINATION:PORT VERDICT …", name, i+1)
		}
		from, err := netip.ParseAddrPort(src)
		if err != nil {
			from = netip.AddrPortFrom(netip.MustParseAddr(src), 0)
		}
		if err := rs.Zone(in); err != nil {
			t.Fatalf("%s:%d: %v", name, i+1, err)
		}
		to := netip.MustParseAddrPort(dst)
		d := rs.Decide(NewFlow(in, from, to))
		wanted, because, _ := strings.Cut(wanted, " because ")
		if got := shown(d, from, to); !agree(got, wanted) || !strings.Contains(strings.Join(d.Words, "; "), because) || (d.Verdict == Possibly) != (because != "") {
			t.Errorf("%s:%d: %s > %s\ngot  %s because %q\nwant %s because %q", name, i+1, flow, dst, got, d.Words, wanted, because)
		}
		tried++
	}
	if tried == 0 {
		t.Errorf("%s: no flow was tried", name)
	}
}

// agree compares an answer with a wanted one, which may leave out what comes last: by, from, to.
func agree(got, want string) bool {
	for _, part := range []string{" by ", " from ", " to "} {
		if !strings.Contains(want, part) && part == " by " {
			got, _, _ = strings.Cut(got, part)
		}
	}
	return got == want
}

// shown writes a decision as .flows files have it.
func shown(d Decision, src, dst netip.AddrPort) string {
	var b strings.Builder
	b.WriteString(d.Verdict.String())
	if s := endpoint(d.Leaves.Dst, d.Leaves.DstPort, false); s != dst.String() {
		b.WriteString(" to " + s)
	}
	if d.Leaves.Src != One(src.Addr()) {
		b.WriteString(" from " + endpoint(d.Leaves.Src, d.Leaves.SrcPort, true))
	}
	by := ""
	for _, h := range d.Hops {
		var ends []string
		for _, e := range h.Ends {
			switch {
			case e.Rule != nil:
				ends = append(ends, e.Rule.ID)
			case e.Chain != nil:
				ends = append(ends, "policy")
			default:
				ends = append(ends, "other")
			}
		}
		by += " " + strings.Join(ends, ",")
	}
	if by != "" {
		b.WriteString(" by" + by)
	}
	return b.String()
}

func endpoint(a, port Range, addrOnly bool) string {
	addr := "-"
	if a.First == a.Last {
		addr = a.First.Addr().String()
	}
	if addrOnly {
		return addr
	}
	p := fmt.Sprint(port.First.Lo)
	if port.First != port.Last {
		p += fmt.Sprint("-", port.Last.Lo)
	}
	if addr != "-" && a.First.Addr().Is6() {
		addr = "[" + addr + "]"
	}
	return addr + ":" + p
}
