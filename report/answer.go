package report

import (
	"fmt"

	"relaysweep/probe"
)

// answer is what one vantage saw: the first thing that a reader is told.
type answer struct {
	Vantage  string
	Headline string
	Exposed  []*Entry
	MayRelay []*Entry
	// Unexplained are what answered although the rules deny it.
	Unexplained []*Entry
	Limits      []string // what stands between the headline and certainty
}

// answers gives one answer for each vantage.
func (r *Report) answers() []answer {
	var out []answer
	for _, v := range r.vantages() {
		here := func(e *Entry) bool { return e.Finding.Vantage == v }
		a := answer{Vantage: v, Exposed: filter(r.Exposed(), here), MayRelay: filter(r.MayRelay(), here), Unexplained: filter(r.Unexplained(), here)}
		a.Headline = r.headline(a)
		if v == r.Scan.Vantage {
			a.Limits = r.limits()
		}
		out = append(out, a)
	}
	return out
}

func filter(entries []*Entry, keep func(*Entry) bool) []*Entry {
	var out []*Entry
	for _, e := range entries {
		if keep(e) {
			out = append(out, e)
		}
	}
	return out
}

func (r *Report) headline(a answer) string {
	from := ""
	if a.Vantage != "" {
		from = ", seen from " + plain(a.Vantage)
	}
	n := len(a.Exposed)
	switch {
	case n > 0 && r.Scan.Inside && a.Vantage == r.Scan.Vantage:
		return fmt.Sprintf("%s %s for inside (%s)", plural(n, "opening"), verb(n, "relays", "relay"), plain(a.Vantage)) + approvedAmong(a.Exposed)
	case n > 0:
		return fmt.Sprintf("%s %s%s", plural(n, "opening"), verb(n, "exposes a relay", "expose relays"), from) + approvedAmong(a.Exposed)
	case r.Totals.Unspoken > 0 && r.Totals.Unspoken == r.Totals.Findings:
		return fmt.Sprintf("%s found%s; nothing was said to what listens, so whether one relays is not known", plural(r.Totals.Unspoken, "opening"), from)
	case r.Totals.Mail == 0 && r.Totals.Findings == 0:
		return "No opening was found" + from + ", as far as this scan could see."
	case r.Totals.Mail == 0:
		return "No mail server answered" + from + ", as far as this scan could see."
	}
	return "No opening exposes a relay" + from + ", as far as this scan could see."
}

func verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// limits lists, in a few words each, what was not seen.
func (r *Report) limits() []string {
	var out []string
	t := r.Totals
	if n := t.MayRelay; n > 0 {
		out = append(out, fmt.Sprintf("%s may relay, and could not be told from a server that does not", plural(n, "opening")))
	}
	if n := t.Classes[probe.Undetermined] - t.Unspoken - r.undeterminedMayRelay(); n > 0 {
		out = append(out, fmt.Sprintf("%s could not be judged", plural(n, "mail service")))
	}
	if n := t.Coverage.NotAttempted + t.Coverage.Failed; n > 0 {
		out = append(out, fmt.Sprintf("%s of %s were not looked at", number(n), plural(t.Coverage.Targets, "target")))
	}
	switch {
	case r.Scan.Interrupted:
		out = append(out, "the scan was interrupted")
	case !r.Scan.Complete && len(out) == 0:
		out = append(out, "the scan is incomplete")
	}
	return out
}

func (r *Report) undeterminedMayRelay() (n int) {
	for _, e := range r.Entries {
		if e.Class == probe.Undetermined && e.mayRelay() {
			n++
		}
	}
	return n
}
