package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"relaysweep/discover"
	"relaysweep/probe"
)

// Totals are counts over a report.
type Totals struct {
	Findings   int
	Mail       int // mail services among them
	Other      int // listeners that are none
	Unspoken   int // openings that were not spoken to
	Exposed    int
	MayRelay   int
	Delivered  int // endpoints whose canary came home
	Classes    map[probe.Class]int
	Severities [Critical + 1]int
	Coverage   Tally
}

// Tally sums coverage.
type Tally struct {
	Targets      uint64 // in scope, without what is excluded
	Looked       uint64 // of them, gave an answer or a meaningful silence
	Open         uint64
	Closed       uint64
	Filtered     uint64
	Prohibited   uint64
	Unreachable  uint64
	NotAttempted uint64 // without what is excluded
	Failed       uint64
	Excluded     uint64
	Reasons      map[string]uint64
}

func (r *Report) count() Totals {
	t := Totals{Findings: len(r.Entries), Classes: make(map[probe.Class]int), Coverage: tally(r.Coverage)}
	for _, e := range r.Entries {
		t.Classes[e.Class]++
		t.Severities[e.Severity]++
		switch {
		case e.mail():
			t.Mail++
		case !e.spoken():
			t.Unspoken++
		default:
			t.Other++
		}
		if e.exposed() {
			t.Exposed++
		}
		if e.mayRelay() {
			t.MayRelay++
		}
		if e.Verdict == probe.Delivered {
			t.Delivered++
		}
	}
	return t
}

func tally(rows []discover.CoverageRow) Tally {
	t := Tally{Reasons: make(map[string]uint64)}
	for _, c := range rows {
		excluded := c.Reasons["excluded"]
		t.Excluded += excluded
		t.Looked += c.Looked()
		t.Targets += c.Looked() + c.NotAttempted + c.Failed - excluded
		t.Open += c.Open
		t.Closed += c.Closed
		t.Filtered += c.Filtered
		t.Prohibited += c.Prohibited
		t.Unreachable += c.Unreachable
		t.NotAttempted += c.NotAttempted - excluded
		t.Failed += c.Failed
		for why, n := range c.Reasons {
			t.Reasons[why] += n
		}
	}
	return t
}

// states lists a tally's counts in words, most telling first, without those that are zero.
func (t Tally) states() []string {
	why := slices.DeleteFunc(sortedKeys(t.Reasons), func(w string) bool { return w == "excluded" })
	notAttempted := "not attempted"
	if len(why) > 0 {
		notAttempted += " (" + strings.Join(why, ", ") + ")"
	}
	var out []string
	for _, s := range []struct {
		n    uint64
		name string
	}{
		{t.Open, "open"},
		{t.Closed, "closed (reset)"},
		{t.Filtered, "filtered (silence)"},
		{t.Prohibited, "prohibited (ICMP)"},
		{t.Unreachable, "unreachable"},
		{t.NotAttempted, notAttempted},
		{t.Failed, "failed (our fault)"},
	} {
		if s.n > 0 || s.name == "open" {
			out = append(out, fmt.Sprintf("%s %s", number(s.n), s.name))
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// byPrefix sums coverage rows over the ports, in the order of the rows.
func byPrefix(rows []discover.CoverageRow) []prefixTally {
	var out []prefixTally
	at := make(map[string]int)
	parts := make(map[string][]discover.CoverageRow)
	for _, c := range rows {
		p := c.Prefix.String()
		if _, ok := at[p]; !ok {
			at[p] = len(out)
			out = append(out, prefixTally{Prefix: p})
		}
		parts[p] = append(parts[p], c)
	}
	for p, i := range at {
		out[i].Tally = tally(parts[p])
	}
	return out
}

type prefixTally struct {
	Prefix string
	Tally
}

// number writes a count with its thousands apart.
func number[T ~int | ~uint64](n T) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// plural counts a noun: 1 opening, 2 openings.
func plural[T ~int | ~uint64](n T, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(n) + " " + noun + "s"
}
