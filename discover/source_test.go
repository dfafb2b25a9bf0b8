package discover

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestParseSource(t *testing.T) {
	for text, want := range map[string]string{
		"203.0.113.77":        "203.0.113.77",
		"203.0.113.10:25":     "203.0.113.10:25",
		":25":                 ":25",
		":65535":              ":65535",
		"2001:db8::77":        "2001:db8::77",
		"[2001:db8::77]:25":   "[2001:db8::77]:25",
		"::ffff:203.0.113.77": "203.0.113.77",
		"[::ffff:10.0.0.1]:5": "10.0.0.1:5",
		"127.0.0.2":           "127.0.0.2",
	} {
		a, err := ParseSource(text)
		if got := SourceText(a); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", text, got, err, want)
		}
		if b, err := ParseSource(SourceText(a)); err != nil || b != a {
			t.Errorf("%s: %v does not read back: %v, %v", text, a, b, err)
		}
	}
	for _, text := range []string{"", ":", ":0", ":65536", ":smtp", ":-1", "25", "eth0", "203.0.113.0/24", "203.0.113.10:0", "203.0.113.10:", "0.0.0.0", "0.0.0.0:25", "[::]:25", "::", "224.0.0.1", "fe80::1%eth0", "[fe80::1%eth0]:25", "mx.example:25", " :25"} {
		if a, err := ParseSource(text); err == nil || !strings.Contains(err.Error(), "is not a source: write it like") {
			t.Errorf("%q: got %v, %v, want an error", text, a, err)
		}
	}
	if got := SourceText(netip.AddrPort{}); got != "" {
		t.Errorf("the vantage's own source is %q", got)
	}
}

func TestSourceFits(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for _, c := range []struct {
		source string
		v4, v6 bool
	}{{"203.0.113.77", true, false}, {"203.0.113.77:25", true, false}, {"2001:db8::77", false, true}, {":25", true, true}} {
		s, err := ParseSource(c.source)
		if err != nil || SourceFits(s, v4) != c.v4 || SourceFits(s, v6) != c.v6 {
			t.Errorf("%s: got %v, %v, %v", c.source, SourceFits(s, v4), SourceFits(s, v6), err)
		}
	}
}

// Law 1: the gate is asked on this way too, before the routing table and at the socket.
func TestDialFromRefusesWhatIsNotInItsScope(t *testing.T) {
	addr, came := listen(t, "127.0.0.1:0")
	theirs := mustScope(t, aiming(Spec{}, "127.0.0.1"))
	ours := mustScope(t, aiming(Spec{}, "10.0.0.1"))
	d := ours.Dialer(netip.Addr{}, time.Minute)
	for _, text := range []string{"127.0.0.1", "127.0.0.1:45", ":45"} {
		source, err := ParseSource(text)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := d.DialFrom(t.Context(), mustTarget(t, theirs, addr.String()), source); c != nil || !errors.Is(err, ErrOutOfScope) {
			t.Errorf("from %s: got %v, %v, want %v", text, c, err, ErrOutOfScope)
		}
	}
	if n := came(); n != 0 {
		t.Errorf("%d connections came, want none", n)
	}
}

func TestDialFromNeedsASourceOfTheTargetsFamily(t *testing.T) {
	addr, came := listen(t, "127.0.0.1:0")
	s := mustScope(t, aiming(Spec{}, "127.0.0.1"))
	for _, source := range []netip.AddrPort{netip.MustParseAddrPort("[::1]:0"), netip.MustParseAddrPort("[::1]:25")} {
		c, err := s.Dialer(netip.Addr{}, time.Minute).DialFrom(t.Context(), mustTarget(t, s, addr.String()), source)
		if c != nil || !errors.Is(err, ErrSource) {
			t.Errorf("from %v: got %v, %v, want %v", source, c, err, ErrSource)
		}
	}
	if n := came(); n != 0 {
		t.Errorf("%d connections came, want none", n)
	}
}

// What a further source showed takes the place of what the vantage's own saw: a target is counted once.
func TestATargetIsCountedOnce(t *testing.T) {
	plan := mustPlan(t, mustScope(t, aiming(Spec{}, "10.0.0.0/30")), 1, 25)
	c := NewCoverage(plan)
	a := netip.MustParseAddrPort("10.0.0.1:25")
	for _, s := range []State{Filtered, Open, Open} {
		c.Set(a, s)
	}
	c.Set(netip.MustParseAddrPort("192.0.2.1:25"), Open) // no target
	r := c.Rows()[0]
	if r.Open != 1 || r.Filtered != 0 || r.NotAttempted != 3 || c.Opened() != 1 {
		t.Errorf("got %+v, %d open, want one open and three not attempted", r, c.Opened())
	}
}
