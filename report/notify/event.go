package notify

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"relaysweep/report"
)

// event is what one line of a log tells. Its texts are as they came: the format escapes them.
type event struct {
	kind     string // finding, violation, change, scan
	id       string // of its sort, for rules of the receiver
	severity report.Severity
	time     time.Time
	message  string
	fields   []field
}

// field is a value with its name in RFC 5424's structured data, and in CEF's dictionary: Shadowserver's choice of it for
// reports about mail servers, as far as that goes. What CEF has no name for gets a custom field with a label.
type field struct{ name, cef, value string }

// maxLines bounds what is told of one scan. The line of the scan says how many are left out.
const maxLines = 10_000

// events lists what is told: the scan, the findings at or above a severity, what stands against the approvals at or above
// it, and what changed, each worst first: what is left out is the least.
func events(r *report.Report, changes *report.Changes, least report.Severity) []event {
	s := &r.Scan
	var out []event
	for _, e := range r.Entries {
		if e.Severity >= least {
			out = append(out, findingEvent(e, s))
		}
	}
	for i := range r.Violations {
		if v := &r.Violations[i]; v.Severity >= least {
			out = append(out, violationEvent(v, s))
		}
	}
	if changes != nil {
		first := len(out)
		for i := range changes.List {
			out = append(out, changeEvent(&changes.List[i], s))
		}
		slices.SortStableFunc(out[first:], func(a, b event) int { return cmp.Compare(b.severity, a.severity) })
	}
	left := max(len(out)-maxLines, 0)
	return append([]event{scanEvent(r, changes, left)}, out[:len(out)-left]...)
}

func scanEvent(r *report.Report, changes *report.Changes, left int) event {
	s, t := &r.Scan, &r.Totals
	e := event{kind: "scan", id: "scan-complete", severity: report.Info, time: s.Time()}
	how := "complete"
	if !s.Complete {
		how, e.id, e.severity = "incomplete", "scan-incomplete", report.Medium
	}
	changed := "not known"
	if changes != nil {
		changed = fmt.Sprint(len(changes.List))
	}
	e.message = fmt.Sprintf("scan %s from %s is %s: %d of %d targets looked at, findings: %d, exposed relays: %d, changes: %s", s.ID, s.Vantage, how, t.Coverage.Looked, t.Coverage.Targets, t.Findings, t.Exposed, changed)
	if left > 0 {
		e.message += fmt.Sprintf("; %d lines are left out", left)
	}
	e.fields = append(of(s, s.Vantage),
		field{"outcome", "outcome", how}, field{"exit", "cn1", fmt.Sprint(s.Exit)},
		field{"findings", "cn2", fmt.Sprint(t.Findings)}, field{"exposed", "cn3", fmt.Sprint(t.Exposed)}, field{"changes", "cs2", changed})
	return e
}

func findingEvent(e *report.Entry, s *report.Scan) event {
	f := &e.Finding
	out := event{kind: "finding", id: "finding-" + cmp.Or(string(e.Class), "undetermined"), severity: e.Severity, time: f.Ended}
	if out.time.IsZero() {
		out.time = s.Time()
	}
	out.message = fmt.Sprintf("%s %s: %s", f.Addr, e.Severity, e.Title)
	if product := strings.TrimSpace(f.Service.Product + " " + f.Service.Version); product != "" {
		out.message += " (" + product + ")"
	}
	out.message += ", seen from " + f.Vantage
	host := ""
	if len(f.Names) > 0 {
		host = f.Names[0]
	}
	out.fields = append(of(s, f.Vantage), endpoint(f.Addr)...)
	out.fields = append(out.fields,
		field{"hostname", "shost", host}, field{"verdict", "cs4", e.Verdict.String()}, field{"class", "cs2", string(e.Class)},
		field{"rules", "cs6", strings.Join(rules(e), ", ")},
		field{"product", "flexString1", f.Service.Product}, field{"version", "flexString2", f.Service.Version},
		field{"vectors", "cs1", strings.Join(e.Vectors, ",")}, field{"banner", "cs3", f.Greeting})
	return out
}

func violationEvent(v *report.Violation, s *report.Scan) event {
	e := event{kind: "violation", id: "violation-" + string(v.Kind), severity: v.Severity, time: s.Time(), message: v.Text}
	e.fields = of(s, v.Vantage)
	if v.Addr.IsValid() {
		e.message = v.Addr.String() + " " + v.Text
		e.fields = append(e.fields, endpoint(v.Addr)...)
	}
	e.message += ", seen from " + v.Vantage
	e.fields = append(e.fields, field{"kind", "cs2", string(v.Kind)}, field{"reason", "reason", v.Text})
	if a := v.Approval; a != nil {
		e.fields = append(e.fields, field{"owner", "cs1", a.Owner}, field{"ticket", "cs3", a.Ticket}, field{"expires", "cs4", expires(a)})
	}
	return e
}

// expires is the last day of an approval.
func expires(a *report.ApprovalUse) string {
	return a.Expires.Add(-time.Nanosecond).UTC().Format(time.DateOnly)
}

func changeEvent(c *report.Change, s *report.Scan) event {
	e := event{kind: "change", id: "change-" + string(c.Kind), severity: max(c.Severity, report.Low), time: s.Time()}
	if c.Kind == report.IsGone {
		e.severity = report.Low // its severity is that of what is there no more
	}
	var parts []string
	for _, d := range c.Differences[:min(len(c.Differences), maxList)] {
		parts = append(parts, fmt.Sprintf("%s %q to %q", d.Field, d.Before, d.After))
	}
	differences := strings.Join(parts, ", ")
	e.message = fmt.Sprintf("%s %s", c.Addr, c.Kind)
	for _, more := range []string{differences, c.Reason} {
		if more != "" {
			e.message += ": " + more
		}
	}
	e.message += ", seen from " + c.Vantage
	e.fields = append(of(s, c.Vantage), endpoint(c.Addr)...)
	e.fields = append(e.fields,
		field{"kind", "cs2", string(c.Kind)}, field{"upgraded", "flexString1", yes(c.Upgraded)}, field{"worse", "flexString2", yes(c.Worse)},
		field{"reason", "reason", c.Reason}, field{"differences", "cs3", differences})
	return e
}

// of are the fields that every line has. A site is empty where there is one.
func of(s *report.Scan, vantage string) []field {
	return []field{{"scan", "externalId", s.ID}, {"site", "deviceExternalId", s.Site}, {"vantage", "cs5", vantage}}
}

// endpoint are the fields of an address. CEF's src is of IPv4 alone.
func endpoint(a netip.AddrPort) []field {
	ip := field{"ip", "src", a.Addr().String()}
	if a.Addr().Is6() {
		ip.cef = "c6a2"
	}
	return []field{ip, {"port", "spt", fmt.Sprint(a.Port())}}
}

func yes(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
