package discover

import (
	"fmt"
	"net/netip"
	"testing"

	"go.uber.org/goleak"
	"go4.org/netipx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// entries are texts with their places, as of a file.
func entries(file string, texts ...string) []Entry {
	var out []Entry
	for i, text := range texts {
		out = append(out, Entry{Text: text, Where: fmt.Sprintf("%s:%d", file, i+1)})
	}
	return out
}

// owned is the spec of an organisation that names its space in a configuration.
func owned(include ...string) Spec {
	return Spec{Include: entries("relaysweep.yaml", include...), Organisation: "Example City", Contact: "netops@city.example"}
}

func without(s Spec, exclude ...string) Spec {
	s.Exclude = entries("exclude.txt", exclude...)
	return s
}

func aiming(s Spec, targets ...string) Spec {
	s.Targets = entries("target", targets...)
	return s
}

func mustScope(tb testing.TB, spec Spec) *Scope {
	tb.Helper()
	s, err := NewScope(spec)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func mustPlan(tb testing.TB, s *Scope, seed uint64, ports ...uint16) *Plan {
	tb.Helper()
	p, err := NewPlan(s, ports, seed)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func mustTarget(tb testing.TB, s *Scope, a string) Target {
	tb.Helper()
	t, err := s.Target(netip.MustParseAddrPort(a))
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func ipRange(from, to string) netipx.IPRange {
	return netipx.IPRangeFrom(netip.MustParseAddr(from), netip.MustParseAddr(to))
}

// sweep sweeps a coverage, and returns what was yielded.
func sweep(t *testing.T, s Sweeper, cov *Coverage) (openings []Opening) {
	t.Helper()
	for o, err := range s.Sweep(t.Context(), cov) {
		if err != nil {
			t.Fatal(err)
		}
		openings = append(openings, o)
	}
	return openings
}
