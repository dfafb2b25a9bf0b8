package report

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
)

// Three scans, a month apart.
var (
	autumn = began.AddDate(0, -2, 0)
	before = began.AddDate(0, -1, 0)
	now    = began
)

const endpoint25 = "198.51.100.10:25"

// look makes a sight of a look that counts.
func look(state discover.State, at time.Time) *Sight {
	return &Sight{Addr: netip.MustParseAddrPort(endpoint25), State: state, LastChecked: at, Scan: "scan-" + at.Format("01"), Sure: true}
}

// seenOpen makes a sight of an open endpoint; what was found is changed by the edits.
func seenOpen(at time.Time, edits ...func(*Sight)) *Sight {
	s := look(discover.Open, at)
	s.FirstSeen, s.LastSeen = at, at
	f := finding(endpoint25, "Postfix", "Postfix", "3.4.13", "mx1.org.example")
	f.TLS = &probe.TLS{Mode: "starttls", Version: "TLS 1.3", Subject: "CN=mx1.org.example", SHA256: "00ff", NotAfter: began.AddDate(1, 0, 0)}
	s.Found = &f
	s.Judged = Judgement{Verdict: probe.Refused, Class: probe.ClosedRelay, Tried: []string{"S1", "S2"}}
	for _, edit := range edits {
		edit(s)
	}
	return s
}

// then makes a sight of a later look at an endpoint that was open.
func then(s *Sight, state discover.State, at time.Time, edits ...func(*Sight)) *Sight {
	n := *s
	n.State, n.LastChecked, n.Scan, n.Sure, n.Silent = state, at, "scan-"+at.Format("01"), true, 0
	switch state {
	case discover.Filtered, discover.Unreachable, discover.Prohibited:
		n.Silent = s.Silent + 1
	case discover.Closed:
		n.Silent = s.Silent + 2
	case discover.Open:
		n.LastSeen = at
	}
	for _, edit := range edits {
		edit(&n)
	}
	return &n
}

// found makes an edit of what was found, which leaves other sights alone.
func found(edit func(*probe.Finding)) func(*Sight) {
	return func(s *Sight) {
		f := *s.Found
		if f.TLS != nil {
			tls := *f.TLS
			f.TLS = &tls
		}
		edit(&f)
		s.Found = &f
	}
}

func judged(v probe.Verdict, c probe.Class, vectors ...string) func(*Sight) {
	return func(s *Sight) { s.Judged.Verdict, s.Judged.Class, s.Judged.Vectors = v, c, vectors }
}

// unsure makes a sight of a later look that does not count: when it was looked at last stays, and so does the silence.
func unsure(s *Sight, state discover.State, at time.Time, why string) *Sight {
	n := *s
	n.State, n.Scan, n.Sure, n.Why = state, "scan-"+at.Format("01"), false, why
	return &n
}

// sentence is a change as a test reads it.
func sentence(c *Change) string {
	if c == nil {
		return "nothing"
	}
	return joinNonEmpty(": ", c.label(English), c.story(English))
}

func TestCompare(t *testing.T) {
	open, relay := seenOpen(before), seenOpen(before, judged(probe.Ready, probe.Relay, "S1"))
	product := func(p, v string) func(*Sight) {
		return found(func(f *probe.Finding) { f.Service.Product, f.Service.Version = p, v })
	}
	for _, test := range []struct {
		name          string
		before, after *Sight
		want          string
	}{
		{"nobody ever knew anything", nil, nil, "nothing"},
		{"closed, and closed again", look(discover.Closed, before), look(discover.Closed, now), "nothing"},
		{"closed, then not looked at", look(discover.Closed, before), nil, "nothing"},
		{"silent, and silent again, and was never open", look(discover.Filtered, before), look(discover.Filtered, now), "nothing"},

		{"open, and nobody had looked before", nil, seenOpen(now), "new: nothing was known of it"},
		{"open, and a scan had left it out", &Sight{Addr: open.Addr, Why: "excluded"}, seenOpen(now), "new: not looked at before: excluded"},
		{"open, and was closed before", look(discover.Closed, before), seenOpen(now), "new: closed (a reset) when it was looked at 2026-10-22 02:00"},
		{"open, and was silent in a look that does not count", unsure(&Sight{}, discover.Filtered, before, "the self-test failed"), seenOpen(now), "new: silent before, in a look that does not count: the self-test failed"},
		{"open, and the look before failed", &Sight{Addr: open.Addr, State: discover.Failed, Why: "too many open files"}, seenOpen(now), "new: the look before failed: too many open files"},
		{"open again after a reset", then(seenOpen(autumn), discover.Closed, before), then(seenOpen(autumn), discover.Open, now), "re-appeared: last seen 2026-09-22 02:00, closed (a reset) 2026-10-22 02:00"},
		{"open again after one silence", then(seenOpen(autumn), discover.Filtered, before), then(seenOpen(autumn), discover.Open, now), "nothing"},
		{"open again after one prohibition", then(seenOpen(autumn), discover.Prohibited, before), then(seenOpen(autumn), discover.Open, now), "nothing"},
		{"open again after two silences", then(then(seenOpen(autumn), discover.Filtered, autumn), discover.Filtered, before), then(seenOpen(autumn), discover.Open, now), "re-appeared: last seen 2026-09-22 02:00, silent 2026-10-22 02:00"},
		{"another product after one silence", then(seenOpen(autumn), discover.Filtered, before), then(seenOpen(autumn), discover.Open, now, product("Exim", "4.99")), "changed: product Postfix, now Exim; version 3.4.13, now 4.99"},
		{"open again, and relays now", then(seenOpen(autumn), discover.Closed, before), then(seenOpen(autumn), discover.Open, now, judged(probe.Ready, probe.Relay, "S1")), "re-appeared, worse: verdict refused, now ready; class closed, now relay; vectors +S1; last seen 2026-09-22 02:00, closed (a reset) 2026-10-22 02:00"},
		{"open, and nobody looked in between", then(seenOpen(autumn), discover.NotAttempted, autumn), then(seenOpen(autumn), discover.Open, now), "nothing"},
		{"open, and a look that does not count in between", unsure(open, discover.Filtered, now, "the self-test failed"), then(open, discover.Open, now), "nothing"},
		{"another product after a look that does not count", unsure(open, discover.Filtered, now, "the self-test failed"), then(open, discover.Open, now, product("Exim", "4.99")), "changed: product Postfix, now Exim; version 3.4.13, now 4.99"},
		{"open again, and what it was is not known", then(seenOpen(autumn), discover.Closed, before, func(s *Sight) { s.Found, s.Judged = nil, Judgement{} }), then(seenOpen(autumn), discover.Open, now, judged(probe.Ready, probe.Relay, "S1")), "re-appeared: last seen 2026-09-22 02:00, closed (a reset) 2026-10-22 02:00"},
		{"another product, and nobody looked in between", then(seenOpen(autumn), discover.NotAttempted, autumn), then(seenOpen(autumn), discover.Open, now, product("Exim", "4.99")), "changed: product Postfix, now Exim; version 3.4.13, now 4.99"},

		{"open both times", open, then(open, discover.Open, now), "nothing"},
		{"upgraded", open, then(open, discover.Open, now, product("Postfix", "3.11.6")), "changed: version 3.4.13, now 3.11.6"},
		{"upgraded, and relays now", open, then(open, discover.Open, now, product("Exim", "4.99"), judged(probe.Ready, probe.Relay, "S1")), "worse after an upgrade: product Postfix, now Exim; version 3.4.13, now 4.99; verdict refused, now ready; class closed, now relay; vectors +S1"},
		{"relays now, and hides what it is", open, then(open, discover.Open, now, product("", ""), judged(probe.Ready, probe.Relay, "S1")), "worse after an upgrade: product Postfix, could not be told this time; version 3.4.13, could not be told this time; verdict refused, now ready; class closed, now relay; vectors +S1"},
		{"relays now", open, then(open, discover.Open, now, judged(probe.Accepted, probe.Relay, "S1")), "worse: verdict refused, now accepted; class closed, now relay; vectors +S1"},
		{"relays now, by what was not tried before", open, then(open, discover.Open, now, judged(probe.Ready, probe.Relay, "S6")), "worse: verdict refused, now ready; class closed, now relay; vectors +S6; not tried before: S6"},
		{"closed by its owner", relay, then(relay, discover.Open, now, judged(probe.Refused, probe.ClosedRelay)), "changed: verdict ready, now refused; class relay, now closed; vectors -S1"},
		{"refuses, but what opened it was not tried", relay, then(relay, discover.Open, now, judged(probe.Refused, probe.ClosedRelay), func(s *Sight) { s.Judged.Tried = []string{"S2"} }), "changed: verdict ready, now refused; class relay, now closed; not tried this time: S1"},
		{"turned us away", relay, then(relay, discover.Open, now, judged(probe.Unknown, probe.Undetermined), found(func(f *probe.Finding) { f.EHLO, f.Extensions, f.TLS = nil, nil, nil })), "changed: verdict ready, could not be told this time; class relay, could not be told this time"},
		{"turned us away, and told no product", relay, then(relay, discover.Open, now, judged(probe.Unknown, probe.Undetermined), product("", "")), "changed: product Postfix, could not be told this time; version 3.4.13, could not be told this time; verdict ready, could not be told this time; class relay, could not be told this time"},
		{"refused, and could not be told", open, then(open, discover.Open, now, judged(probe.Unknown, probe.Undetermined)), "changed: verdict refused, could not be told this time; class closed, could not be told this time"},
		{"a relay that was only listed", relay, then(relay, discover.Open, now, func(s *Sight) { s.Found, s.Judged = nil, Judgement{} }), "changed: verdict ready, could not be told this time; it was only listed this time, nothing was asked"},
		{"a closed server that was only listed", open, then(open, discover.Open, now, func(s *Sight) { s.Found, s.Judged = nil, Judgement{} }), "nothing"},
		{"a relay that was only listed, and what was found is known", relay, then(relay, discover.Open, now, func(s *Sight) { s.Listed = true }), "nothing"},
		{"only listed, and relays now", then(open, discover.Open, before, func(s *Sight) { s.Listed = true }), then(open, discover.Open, now, product("Exim", "4.99"), judged(probe.Ready, probe.Relay, "S1")), "worse after an upgrade: product Postfix, now Exim; version 3.4.13, now 4.99; verdict refused, now ready; class closed, now relay; vectors +S1"},
		{"could not be told from a relay, and is one", seenOpen(before, judged(probe.Ready, probe.CatchAll, "S1")), then(open, discover.Open, now, judged(probe.Ready, probe.Relay, "S1")), "worse: class catch-all, now relay"},
		{"takes everything, and relays now", seenOpen(before, judged(probe.Ready, probe.Sink, "S1")), then(open, discover.Open, now, judged(probe.Ready, probe.Relay, "S1")), "worse: class sink, now relay"},
		{"was a relay, and cannot be told from one", relay, then(relay, discover.Open, now, judged(probe.Ready, probe.CatchAll, "S1")), "changed: class relay, now catch-all"},
		{"listed, and now tested", seenOpen(before, func(s *Sight) { s.Found, s.Judged = nil, Judgement{} }), then(open, discover.Open, now, judged(probe.Ready, probe.Relay, "S1")), "changed: verdict ready, could not be told before; class relay, could not be told before; it was only listed before, nothing was asked"},
		{"another certificate", open, then(open, discover.Open, now, found(func(f *probe.Finding) { f.TLS.SHA256 = "11ee" })), "changed: certificate CN=mx1.org.example until 2027-11-22 (SHA-256 00ff), now CN=mx1.org.example until 2027-11-22 (SHA-256 11ee)"},
		{"another version of TLS", open, then(open, discover.Open, now, found(func(f *probe.Finding) { f.TLS.Version = "TLS 1.0" })), "changed: TLS starttls TLS 1.3, now starttls TLS 1.0"},
		{"no TLS any more", open, then(open, discover.Open, now, found(func(f *probe.Finding) { f.TLS = nil })), "changed: TLS starttls TLS 1.3, now none"},
		{"STARTTLS was offered, and not tried", open, then(open, discover.Open, now, found(func(f *probe.Finding) { f.TLS, f.Extensions = nil, []string{"8BITMIME", "PIPELINING", "STARTTLS"} })), "changed: capabilities +STARTTLS"},
		{"other capabilities", open, then(open, discover.Open, now, found(func(f *probe.Finding) { f.Extensions = []string{"pipelining", "XCLIENT ADDR", "AUTH PLAIN"} })), "changed: capabilities +AUTH PLAIN +XCLIENT ADDR -8BITMIME"},
		{"another protocol", open, then(open, discover.Open, now, found(func(f *probe.Finding) { f.Protocol = "http" })), "changed: protocol smtp, now http"},
		{"another line lets it in", seenOpen(before, func(s *Sight) { s.Rules = []string{"fw1 20", "fw1 30"} }), then(open, discover.Open, now, func(s *Sight) { s.Rules = []string{"fw1 20", "fw1 31"} }), "changed: rule +fw1 31 -fw1 30"},
		{"rules were read this time only", open, then(open, discover.Open, now, func(s *Sight) { s.Rules = []string{"fw1 20"} }), "nothing"},

		{"open, then closed", open, then(open, discover.Closed, now), "gone: closed (a reset)"},
		{"open, then prohibited", open, then(open, discover.Prohibited, now), "not re-checked: prohibited (ICMP) once: who sent that is not known, it may be a router on our own side"},
		{"open, prohibited once, prohibited again", open, then(then(open, discover.Prohibited, before), discover.Prohibited, now), "gone: prohibited (ICMP), and not open in the look before that"},
		{"open, silent once, then prohibited", open, then(then(open, discover.Filtered, before), discover.Prohibited, now), "gone: prohibited (ICMP), and not open in the look before that"},
		{"open, closed, then silent", open, then(then(open, discover.Closed, before), discover.Filtered, now), "gone: silent, and not open in the look before that"},
		{"gone after a reset, then silent", then(open, discover.Closed, before), then(then(open, discover.Closed, before), discover.Filtered, now), "nothing"},
		{"gone after a reset, then prohibited", then(open, discover.Closed, before), then(then(open, discover.Closed, before), discover.Prohibited, now), "nothing"},
		{"open, closed, then a look that does not count", seenOpen(autumn), unsure(then(seenOpen(autumn), discover.Closed, before), discover.Filtered, now, "interrupted"), "gone: not open 2026-10-22 02:00; the last look does not count: interrupted"},
		{"open, silent twice, then not looked at", seenOpen(autumn), unsure(then(then(seenOpen(autumn), discover.Filtered, autumn), discover.Filtered, before), discover.NotAttempted, now, "excluded"), "gone: not open 2026-10-22 02:00; the last look does not count: excluded"},
		{"open, silent once, then a look that does not count", seenOpen(autumn), unsure(then(seenOpen(autumn), discover.Filtered, before), discover.Filtered, now, "interrupted"), "not re-checked: silent, in a look that does not count: interrupted"},
		{"open, then silent twice", open, then(open, discover.Filtered, now, func(s *Sight) { s.Silent = 2 }), "gone: silent, and not open in the look before that"},
		{"open, silent once, silent again", then(open, discover.Filtered, before), then(then(open, discover.Filtered, before), discover.Filtered, now), "gone: silent, and not open in the look before that"},
		{"open, silent once, then closed", then(open, discover.Filtered, before), then(open, discover.Closed, now), "gone: closed (a reset)"},
		{"open, then silent", open, then(open, discover.Filtered, now), "not re-checked: silent once: a packet may have been lost, or the server was down for a minute"},
		{"open, then unreachable", open, then(open, discover.Unreachable, now), "not re-checked: unreachable once: a packet may have been lost, or the server was down for a minute"},
		{"open, then closed in a look that does not count", open, unsure(open, discover.Closed, now, "the self-test failed"), "not re-checked: closed (a reset), in a look that does not count: the self-test failed"},
		{"open, then left out", open, unsure(open, discover.NotAttempted, now, "interrupted"), "not re-checked: it was not looked at: interrupted"},
		{"open, then our fault", open, unsure(open, discover.Failed, now, "too many open files"), "not re-checked: the look failed: too many open files"},
		{"open, and nothing is known after", open, nil, "not re-checked: it was not looked at"},
		{"open, and no scan has looked since", open, open, "not re-checked: it was not looked at"},
		{"still not known", then(open, discover.Filtered, before), then(open, discover.Filtered, before), "not re-checked: it was not looked at"},
		{"gone, and told of then", then(open, discover.Closed, before), then(open, discover.Closed, now), "nothing"},
		{"gone, and a look that does not count brings it not back", then(open, discover.Closed, before), unsure(open, discover.Filtered, now, "interrupted"), "nothing"},
		{"gone after two silences, then a look that does not count, then a reset", unsure(then(then(open, discover.Filtered, before), discover.Filtered, before), discover.Filtered, before, "interrupted"), then(open, discover.Closed, now), "nothing"},
		{"gone after a reset, then a look that does not count, then a reset", unsure(then(seenOpen(autumn), discover.Closed, before), discover.Filtered, before, "interrupted"), then(seenOpen(autumn), discover.Closed, now), "nothing"},
		{"gone after a reset, then a look that does not count, then not looked at", unsure(then(seenOpen(autumn), discover.Closed, before), discover.Filtered, before, "interrupted"), nil, "nothing"},
		{"gone after a reset, then a look that does not count, then open", unsure(then(seenOpen(autumn), discover.Closed, before), discover.Filtered, before, "interrupted"), then(seenOpen(autumn), discover.Open, now), "re-appeared: last seen 2026-09-22 02:00, not open 2026-10-22 02:00"},
		{"came and went in between", look(discover.Closed, autumn), then(open, discover.Closed, now), "gone: closed (a reset); it was open in between"},
		{"came in between, and was not looked at again", look(discover.Closed, autumn), then(open, discover.Filtered, now), "not re-checked: silent once: a packet may have been lost, or the server was down for a minute"},
		{"gone, came back and went in between", then(seenOpen(autumn.AddDate(0, -1, 0)), discover.Closed, autumn), then(open, discover.Closed, now), "gone: closed (a reset); it was open in between"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Compare(test.before, test.after, "internet")
			if got := sentence(c); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if c != nil && (c.Addr != open.Addr || c.Vantage != "internet") {
				t.Errorf("got %v, %q", c.Addr, c.Vantage)
			}
		})
	}
}

// upgraded is the lens: what is not the same program, and not what merely did not tell.
func TestUpgraded(t *testing.T) {
	service := func(product, version string) func(*Sight) {
		return found(func(f *probe.Finding) { f.Service.Product, f.Service.Version = product, version })
	}
	unknown := judged(probe.Unknown, probe.Undetermined)
	for _, test := range []struct {
		name          string
		before, after []func(*Sight)
		want          bool
	}{
		{"another version", nil, []func(*Sight){service("Postfix", "3.5")}, true},
		{"another product", nil, []func(*Sight){service("Exim", "3.4.13")}, true},
		{"what it is not told any more", nil, []func(*Sight){service("", "")}, true},
		{"what it is not told to one who was turned away", nil, []func(*Sight){service("", ""), unknown}, false},
		{"its version is not told any more", nil, []func(*Sight){service("Postfix", "")}, false},
		{"its version is told now", []func(*Sight){service("Postfix", "")}, nil, false},
		{"the same", nil, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			after := seenOpen(now, append([]func(*Sight){judged(probe.Ready, probe.Relay, "S1")}, test.after...)...)
			if c := Compare(seenOpen(before, test.before...), after, ""); c == nil || c.Upgraded != test.want {
				t.Errorf("got %+v", c)
			}
		})
	}
}

// sights are all combinations of what a look may leave behind.
func sights(at time.Time) []*Sight {
	out := []*Sight{nil}
	for state := discover.NotAttempted; state <= discover.Failed; state++ {
		for _, sure := range []bool{false, true} {
			for silent := range 3 {
				for _, first := range []time.Time{{}, autumn} {
					for _, checked := range []time.Time{{}, before, at} {
						for _, f := range []*probe.Finding{nil, seenOpen(autumn).Found} {
							s := &Sight{Addr: netip.MustParseAddrPort(endpoint25), State: state, Sure: sure, Silent: silent, FirstSeen: first, LastSeen: first, LastChecked: checked, Scan: "scan-" + checked.Format("01"), Found: f}
							if state == discover.Open {
								if first.IsZero() || checked.IsZero() {
									continue // an inventory knows when it saw it
								}
								s.LastSeen = checked
							}
							out = append(out, s)
						}
					}
				}
			}
		}
	}
	return out
}

// The laws of what is told, over all combinations.
func TestCompareLaws(t *testing.T) {
	befores, afters := sights(before), sights(now)
	told := make(map[ChangeKind]int)
	for _, b := range befores {
		for _, a := range afters {
			if a != nil && a.State == discover.Open && a.Found != nil && a.Silent == 1 {
				a = then(a, discover.Open, now, found(func(f *probe.Finding) { f.Service.Version = "3.11" }))
			}
			c := Compare(b, a, "")
			wasOpen, isOpen := b != nil && b.State == discover.Open, a != nil && a.State == discover.Open
			never := !wasOpen && (b == nil || b.FirstSeen.IsZero())
			fail := func(law string) { t.Fatalf("%s\nbefore %+v\nafter %+v\ngot %+v", law, b, a, c) }
			kind := ChangeKind("")
			if c != nil {
				kind = c.Kind
				told[kind]++
			}
			answered := func(s *Sight) bool { // for sure, and not open since
				return s != nil && s.State != discover.Open && (s.Silent >= 2 || s.Sure && s.State == discover.Closed)
			}
			switch {
			case kind == IsGone && !answered(a):
				fail("gone without a look that says so")
			case wasOpen && answered(a) && kind != IsGone:
				fail("a look says that it is gone, and that is not told")
			case wasOpen && !isOpen && !answered(a) && kind != IsNotRechecked:
				fail("it was open, nobody can say whether it is, and that is not told")
			case wasOpen && !isOpen && c.Reason == "":
				fail("no reason")
			case isOpen && never != (kind == IsNew):
				fail("new is what never was open")
			case !isOpen && (kind == IsNew || kind == IsReappeared || kind == IsChanged):
				fail("it is not open")
			case never && !isOpen && (a == nil || a.FirstSeen.IsZero()) && c != nil:
				fail("it was never open")
			case isOpen && !never && answered(b) != (kind == IsReappeared):
				fail("open again is what looks that count said is not open, and nothing else")
			case kind == IsGone && c.Worse, kind == IsNotRechecked && (c.Worse || len(c.Differences) > 0):
				fail("nothing was found, so nothing is worse")
			}
		}
	}
	for _, k := range kindOrder {
		if told[k] == 0 {
			t.Errorf("no combination is %s", k)
		}
	}
}

// A scan that was cut short makes nothing go: whatever becomes of its looks.
func TestACutScanMakesNothingGone(t *testing.T) {
	cuts := map[string]func(Sight) *Sight{
		"nothing stored":  func(Sight) *Sight { return nil },
		"not attempted":   func(s Sight) *Sight { s.State, s.Sure = discover.NotAttempted, false; return &s },
		"failed":          func(s Sight) *Sight { s.State, s.Sure = discover.Failed, false; return &s },
		"doubtful":        func(s Sight) *Sight { s.Sure = false; return &s },
		"called sure":     func(s Sight) *Sight { s.State = discover.NotAttempted; return &s },
		"failed for sure": func(s Sight) *Sight { s.State = discover.Failed; return &s },
	}
	befores, afters := sights(before), sights(now)
	for name, cut := range cuts {
		for _, b := range befores {
			for _, a := range afters {
				if a == nil || a.State == discover.Open && name != "nothing stored" {
					continue
				}
				looked := *a
				looked.Silent = 0 // nothing is added to what was counted before
				if b != nil && b.State != discover.Open && !a.lastSeen().After(b.lastSeen()) {
					looked.Silent = b.Silent
				}
				if c := Compare(b, cut(looked), ""); c != nil && c.Kind == IsGone {
					t.Fatalf("%s: gone\nbefore %+v\nafter %+v", name, b, cut(looked))
				}
			}
		}
	}
}

// world is servers that come and go, and scans of it that lose packets, are cut short and fail their self-test.
type world struct {
	r     *rand.Rand
	up    []bool
	know  []*Sight
	scans int
}

// scan looks at everything once, and stores as an inventory does.
func (w *world) scan(sure bool, reach float64, loss float64) {
	w.scans++
	at := autumn.AddDate(0, 0, w.scans)
	for i, up := range w.up {
		if w.r.Float64() >= reach {
			continue // not attempted: what was known stays
		}
		s := &Sight{}
		if w.know[i] != nil {
			*s = *w.know[i]
		}
		s.Addr, s.Scan, s.Sure = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 25), fmt.Sprint(w.scans), sure
		switch {
		case w.r.Float64() < loss:
			s.State = discover.Filtered
			if sure {
				s.Silent++
			}
		case up:
			s.State, s.Silent, s.LastSeen, s.LastChecked = discover.Open, 0, at, at
			if s.FirstSeen.IsZero() {
				s.FirstSeen = at
			}
		default:
			s.State = discover.Closed
			if sure {
				s.Silent += 2
			}
		}
		if sure {
			s.LastChecked = at
		}
		w.know[i] = s
	}
}

// Whatever scans lose, what stands is never called gone, and what was told adds up to what is known.
func TestWhatStandsIsNeverGone(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		w := &world{r: r, up: make([]bool, 30), know: make([]*Sight, 30)}
		for i := range w.up {
			w.up[i] = i%2 == 0
		}
		lossy := false
		for range 12 {
			for i := 20; i < 30; i++ { // the last ten come and go
				if r.IntN(4) == 0 {
					w.up[i] = !w.up[i]
				}
			}
			old := slices.Clone(w.know)
			sure := r.IntN(3) > 0
			loss := 0.0
			if sure && !lossy && r.IntN(3) == 0 || !sure { // no two sure scans in a row lose packets
				loss = 0.5
			}
			reach := 1.0
			if !sure || r.IntN(3) == 0 {
				reach = r.Float64()
			}
			if sure && reach == 1 {
				lossy = loss > 0
			} else if sure {
				loss = 0
			}
			w.scan(sure, reach, loss)
			for i := range w.know {
				c := Compare(old[i], w.know[i], "")
				switch {
				case c == nil:
				case c.Kind == IsGone && w.up[i]:
					t.Fatalf("server %d stands and is called gone: %+v, %+v", i, old[i], w.know[i])
				case c.Kind == IsGone && i < 20:
					t.Fatalf("server %d never went or came: %+v", i, c)
				case c.Kind == IsNew && old[i] != nil && !old[i].FirstSeen.IsZero():
					t.Fatalf("server %d is not new: %+v", i, c)
				case c.Kind == IsReappeared && !c.firstSeen().Equal(old[i].FirstSeen):
					t.Fatalf("server %d lost its first sight: %+v", i, c)
				}
			}
		}
	}
}

// pairs makes the sequence that NewChanges reads.
func pairs(list ...[2]*Sight) iter.Seq2[*Sight, *Sight] {
	return func(yield func(*Sight, *Sight) bool) {
		for _, p := range list {
			if !yield(p[0], p[1]) {
				return
			}
		}
	}
}

func at(endpoint string, s *Sight) *Sight {
	s.Addr = netip.MustParseAddrPort(endpoint)
	if s.Found != nil {
		found(func(f *probe.Finding) { f.Addr = s.Addr })(s)
	}
	return s
}

func scanBefore() *Scan {
	s := scan()
	s.ID, s.Started, s.Ended, s.Complete, s.Interrupted = "20261022-0200-k2", before, before.Add(time.Hour), true, false
	return &s
}

// someChanges is one change of each kind, and some that are alike.
func someChanges() *Changes {
	to := scan()
	relay, closed := judged(probe.Ready, probe.Relay, "S1"), judged(probe.Refused, probe.ClosedRelay)
	none := found(func(f *probe.Finding) { f.TLS = nil })
	exim := found(func(f *probe.Finding) { f.Service.Product, f.Service.Version = "Exim", "4.99" })
	pair := func(endpoint string, b, a *Sight) [2]*Sight {
		for _, s := range []*Sight{b, a} {
			if s != nil {
				at(endpoint, s)
			}
		}
		return [2]*Sight{b, a}
	}
	open := seenOpen(before)
	return NewChanges(scanBefore(), &to, "internet", nil, pairs(
		pair("198.51.100.40:25", seenOpen(before, none), unsure(seenOpen(before, none), discover.NotAttempted, now, "interrupted")),
		pair("198.51.100.41:25", seenOpen(before, none), then(seenOpen(before, none), discover.Filtered, now)),
		pair("198.51.100.17:25", seenOpen(before, none), then(seenOpen(before, none), discover.Open, now, found(func(f *probe.Finding) { f.Extensions = nil }))),
		pair("198.51.100.42:25", seenOpen(before, relay), then(seenOpen(before, relay), discover.Closed, now)),
		pair("[2001:db8:51:1111:2222:3333:4444:5555]:25", nil, seenOpen(now, none, relay, found(func(f *probe.Finding) { f.Names = nil }))),
		pair("198.51.100.12:587", nil, seenOpen(now, closed)),
		pair("198.51.100.13:25", then(seenOpen(autumn, none), discover.Closed, before), then(seenOpen(autumn, none), discover.Open, now)),
		pair("198.51.100.10:25", seenOpen(before, none), then(seenOpen(before, none), discover.Open, now, judged(probe.Delivered, probe.Relay, "S1"))),
		pair("198.51.100.11:25", seenOpen(before, none), then(seenOpen(before, none), discover.Open, now, exim, relay)),
		pair("198.51.100.50:25", open, then(open, discover.Open, now)),
		pair("198.51.100.51:25", look(discover.Closed, before), look(discover.Closed, now)),
	))
}

func TestOrderOfChanges(t *testing.T) {
	c := someChanges()
	var got []string
	for i := range c.List {
		got = append(got, c.List[i].label(English)+" "+c.List[i].Severity.String()+" "+c.List[i].Addr.String())
	}
	want := []string{
		"worse after an upgrade high 198.51.100.11:25",
		"worse critical 198.51.100.10:25",
		"new high [2001:db8:51:1111:2222:3333:4444:5555]:25",
		"new info 198.51.100.12:587",
		"re-appeared info 198.51.100.13:25",
		"gone high 198.51.100.42:25",
		"changed info 198.51.100.17:25",
		"not re-checked info 198.51.100.40:25",
		"not re-checked info 198.51.100.41:25",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if c.Same != 1 || c.From != "20261022-0200-k2" || c.To != "20261122-0200-k3" || !c.FromTime.Equal(before.Add(time.Hour)) {
		t.Errorf("got %d the same, %s, %s, %v", c.Same, c.From, c.To, c.FromTime)
	}
	if got, want := c.counts(English), "2 new, 1 re-appeared, 3 changed, 1 gone, 2 not re-checked, 1 as they were; 1 worse after an upgrade; 1 otherwise worse"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, test := range []struct {
		s    Severity
		keep func(Change) bool
		want bool
	}{
		{Critical, nil, true},
		{High, func(d Change) bool { return d.Kind == IsNew }, true},
		{Critical, func(d Change) bool { return d.Kind == IsNew }, false},
		{High, func(d Change) bool { return d.Kind == IsGone }, false},
		{Info, func(d Change) bool { return d.Kind == IsChanged && !d.Worse || d.Kind == IsNotRechecked }, false},
	} {
		part := *c
		if test.keep != nil {
			part.List = nil
			for _, d := range c.List {
				if test.keep(d) {
					part.List = append(part.List, d)
				}
			}
		}
		if part.WorstAtLeast(test.s) != test.want {
			t.Errorf("%v of %d changes: got %v", test.s, len(part.List), !test.want)
		}
	}
}

// What relays for an inside vantage ranks one step lower, as in the report.
func TestSeverityOfChangesInside(t *testing.T) {
	to := scan()
	to.Inside = true
	p := pairs([2]*Sight{nil, seenOpen(now, judged(probe.Ready, probe.Relay, "S1"))})
	if got := NewChanges(scanBefore(), &to, "internet", nil, p).List[0].Severity; got != Medium {
		t.Errorf("got %v", got)
	}
	if got := NewChanges(scanBefore(), &to, "dmz", nil, p).List[0].Severity; got != High {
		t.Errorf("another vantage: got %v", got)
	}
}

// A scan that asks further than the one before proves more, and nothing got worse.
func TestDepthIsNotWorse(t *testing.T) {
	for _, test := range []struct {
		name          string
		from, to      probe.Verdict // where the scans stopped
		before, after probe.Verdict
		scan          string
		want          string
	}{
		{"the scan before stopped there", probe.Ready, probe.Delivered, probe.Ready, probe.Delivered, "", "changed: verdict ready, now delivered; asked further this time: the scan before stopped at ready"},
		{"it was refused before", probe.Ready, probe.Delivered, probe.Refused, probe.Delivered, "", "worse: verdict refused, now delivered"},
		{"both asked for a delivery", probe.Delivered, probe.Delivered, probe.Ready, probe.Delivered, "", "worse: verdict ready, now delivered"},
		{"the sight is of another scan", probe.Ready, probe.Delivered, probe.Ready, probe.Delivered, "older", "worse: verdict ready, now delivered"},
		{"this scan stops earlier", probe.Delivered, probe.Ready, probe.Delivered, probe.Ready, "", "changed: verdict delivered, now ready; this scan stopped at ready"},
		{"it is better", probe.Ready, probe.Ready, probe.Ready, probe.Accepted, "", "changed: verdict ready, now accepted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			from, to := scanBefore(), scan()
			from.StopAt, to.StopAt = test.from, test.to
			b := seenOpen(before, judged(test.before, probe.Relay, "S1"), func(s *Sight) { s.Scan = from.ID })
			if test.scan != "" {
				b.Scan = test.scan
			}
			a := seenOpen(now, judged(test.after, probe.Relay, "S1"))
			if got := sentence(&NewChanges(from, &to, "internet", nil, pairs([2]*Sight{b, a})).List[0]); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestHints(t *testing.T) {
	cert := func(sum string) func(*Sight) { return found(func(f *probe.Finding) { f.TLS.SHA256 = sum }) }
	bare := found(func(f *probe.Finding) { f.TLS = nil })
	name := func(s string) func(*Sight) { return found(func(f *probe.Finding) { f.Names = []string{s} }) }
	gone := func(endpoint string, edits ...func(*Sight)) [2]*Sight {
		s := seenOpen(before, edits...)
		return [2]*Sight{at(endpoint, s), at(endpoint, then(s, discover.Closed, now))}
	}
	fresh := func(endpoint string, edits ...func(*Sight)) [2]*Sight {
		return [2]*Sight{nil, at(endpoint, seenOpen(now, edits...))}
	}
	lost := func(endpoint string, edits ...func(*Sight)) [2]*Sight {
		s := seenOpen(before, edits...)
		return [2]*Sight{at(endpoint, s), nil}
	}
	for _, test := range []struct {
		name  string
		pairs [][2]*Sight
		want  map[string]string
	}{
		{"the certificate moved", [][2]*Sight{gone("10.0.0.5:25"), fresh("10.0.0.9:25", name("other.example"))}, map[string]string{
			"10.0.0.9:25": "the same certificate as 10.0.0.5:25, which is gone", "10.0.0.5:25": "the same certificate as 10.0.0.9:25, which is new",
		}},
		{"the name moved, and there is no certificate", [][2]*Sight{gone("10.0.0.5:25", bare), fresh("10.0.0.9:25", bare)}, map[string]string{
			"10.0.0.9:25": "the same host name and product as 10.0.0.5:25, which is gone", "10.0.0.5:25": "the same host name and product as 10.0.0.9:25, which is new",
		}},
		{"one has a certificate, the other has none", [][2]*Sight{gone("10.0.0.5:25"), fresh("10.0.0.9:25", bare)}, map[string]string{
			"10.0.0.9:25": "the same host name and product as 10.0.0.5:25, which is gone", "10.0.0.5:25": "the same host name and product as 10.0.0.9:25, which is new",
		}},
		{"the certificates differ", [][2]*Sight{gone("10.0.0.5:25", cert("aa")), fresh("10.0.0.9:25", cert("bb"))}, nil},
		{"a name that says nothing", [][2]*Sight{gone("10.0.0.5:25", bare, name("localhost.localdomain")), fresh("10.0.0.9:25", bare, name("localhost.localdomain"))}, nil},
		{"what was not looked at is not gone", [][2]*Sight{lost("10.0.0.5:25"), fresh("10.0.0.9:25")}, nil},
		{"two ports of one server", [][2]*Sight{gone("10.0.0.5:25"), gone("10.0.0.5:587"), fresh("10.0.0.9:25"), fresh("10.0.0.9:587")}, map[string]string{
			"10.0.0.9:25": "the same certificate as 10.0.0.5:25, which is gone (and 1 more)", "10.0.0.9:587": "the same certificate as 10.0.0.5:587, which is gone (and 1 more)",
			"10.0.0.5:25": "the same certificate as 10.0.0.9:25, which is new (and 1 more)", "10.0.0.5:587": "the same certificate as 10.0.0.9:587, which is new (and 1 more)",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			to := scan()
			c := NewChanges(scanBefore(), &to, "internet", nil, pairs(test.pairs...))
			for i := range c.List {
				if d := &c.List[i]; d.Hint != test.want[d.Addr.String()] {
					t.Errorf("%s: got %q, want %q", d.Addr, d.Hint, test.want[d.Addr.String()])
				}
			}
			if len(c.List) != len(test.pairs) {
				t.Errorf("got %d changes: a hint merges nothing", len(c.List))
			}
		})
	}
}

// What nothing was known of may have been looked at: the coverage of the scan before tells, as far as counts can.
func TestNewByCoverage(t *testing.T) {
	row := func(prefix string, r discover.CoverageRow) discover.CoverageRow {
		r.Prefix, r.Port = netip.MustParsePrefix(prefix), 25
		return r
	}
	const four, six = "198.51.100.0/24", "2001:db8:51::/64"
	for _, test := range []struct {
		name     string
		endpoint string
		rows     []discover.CoverageRow
		want     string
	}{
		{"its port was not asked", "198.51.100.10:587", []discover.CoverageRow{row(four, discover.CoverageRow{Closed: 256})}, "the scan before did not look at it"},
		{"its network was not asked", "192.0.2.1:25", []discover.CoverageRow{row(four, discover.CoverageRow{Closed: 256})}, "the scan before did not look at it"},
		{"its coverage is not known", "198.51.100.10:25", nil, "nothing was known of it"},
		{"the scan came to nothing", "198.51.100.10:25", []discover.CoverageRow{row(four, discover.CoverageRow{NotAttempted: 256})}, "the scan before did not look at it"},
		{"all were reset", "198.51.100.10:25", []discover.CoverageRow{row(four, discover.CoverageRow{Open: 2, Closed: 254})}, "closed (a reset) when the scan before looked at it"},
		{"all were silent", "198.51.100.10:25", []discover.CoverageRow{row(four, discover.CoverageRow{Open: 2, Filtered: 254})}, "silent when the scan before looked at it"},
		{"some of each", "198.51.100.10:25", []discover.CoverageRow{row(four, discover.CoverageRow{Closed: 100, Filtered: 156})}, "not open when the scan before looked at it"},
		{"some were left out", "198.51.100.10:25", []discover.CoverageRow{row(four, discover.CoverageRow{Closed: 255, NotAttempted: 1})}, "the scan before did not find it open, or did not look at it"},
		{"the narrowest prefix tells", "198.51.100.10:25", []discover.CoverageRow{row(four, discover.CoverageRow{Filtered: 256}), row("198.51.100.10/32", discover.CoverageRow{Closed: 1}), row(six, discover.CoverageRow{Closed: 1})}, "closed (a reset) when the scan before looked at it"},
		{"IPv6", "[2001:db8:51::25]:25", []discover.CoverageRow{row(four, discover.CoverageRow{Filtered: 256}), row(six, discover.CoverageRow{Closed: 1})}, "closed (a reset) when the scan before looked at it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			to := scan()
			c := NewChanges(scanBefore(), &to, "internet", test.rows, pairs([2]*Sight{nil, at(test.endpoint, seenOpen(now))}))
			if got := c.List[0].Reason; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func BenchmarkNewChanges(b *testing.B) {
	const n = 50_000
	list := make([][2]*Sight, n)
	for i := range list {
		s := seenOpen(before)
		s.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 25)
		a := then(s, discover.Open, now)
		if i%10 == 0 {
			found(func(f *probe.Finding) { f.Service.Version = "3.11" })(a)
		}
		list[i] = [2]*Sight{s, a}
	}
	to := scan()
	for b.Loop() {
		if c := NewChanges(scanBefore(), &to, "internet", nil, pairs(list...)); len(c.List) != n/10 {
			b.Fatal(len(c.List))
		}
	}
}

// What was only listed before is judged for the first time: that is no change for the worse, and is not passed over.
func TestJudgedForTheFirstTime(t *testing.T) {
	to := scan()
	b := seenOpen(before, func(s *Sight) { s.Found, s.Judged = nil, Judgement{} })
	c := NewChanges(scanBefore(), &to, "internet", nil, pairs([2]*Sight{b, then(seenOpen(before), discover.Open, now, judged(probe.Ready, probe.Relay, "S1"))}))
	if c.List[0].Worse || !c.WorstAtLeast(High) {
		t.Errorf("got %s, fails on high: %v", sentence(&c.List[0]), c.WorstAtLeast(High))
	}
}
