package report

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"relaysweep/probe"
)

// leftOpen says in sentences what the scan cannot know.
func (r *Report) leftOpen() []string {
	var out []string
	for _, part := range [][]string{r.openProof(), r.openFindings(), r.openCoverage(), r.openMethod()} {
		out = append(out, part...)
	}
	return out
}

// openProof is about how far the test went.
func (r *Report) openProof() []string {
	if r.Totals.Unspoken > 0 && r.Totals.Unspoken == r.Totals.Findings {
		return []string{"Nothing was said to what listens: the openings are known, and not what answers behind them."}
	}
	if r.Totals.Mail == 0 {
		return nil
	}
	var out []string
	if r.Scan.CanaryDomain == "" {
		out = append(out, "No canary domain is configured, so the recipients lay under a reserved name (RFC 2606). A server that relays to existing domains only, or looks the recipient's domain up, may relay all the same.")
	}
	switch stop := r.Scan.stopAt(); {
	case stop == probe.Accepted:
		out = append(out, "The scan stopped at the recipient (stop_at: accepted). A server that refuses later, at DATA or after the message, looks like a relay here; a sink cannot be told from one.")
	case stop == probe.Ready:
		out = append(out, "The scan stopped before a message was sent (stop_at: ready). Without a delivery a sink cannot be told from a relay, and a server that answers 550 after the message but delivers it is not seen.")
	default:
		queued := 0
		for _, e := range r.Entries {
			if e.Verdict == probe.Queued {
				queued++
			}
		}
		if queued > 0 && r.proofless() {
			out = append(out, fmt.Sprintf("%s took a canary, and none came home from anywhere. Make sure that the servers can reach the sink by the MX record of %s; until then these may be relays.", plural(queued, "server"), raw(r.Scan.CanaryDomain)))
		} else if queued > 0 {
			out = append(out, fmt.Sprintf("%s took a canary that has not come home. It may still come: queues and greylisting delay mail for hours.", plural(queued, "server")))
		}
	}
	if n := len(r.Unmatched); n > 0 {
		early := 0
		for _, d := range r.Unmatched {
			if d.Time.Before(r.Scan.Started) {
				early++
			}
		}
		s := fmt.Sprintf("%s came home that no attempt of this report sent", plural(n, "canary message"))
		switch {
		case early == n:
			s += ", before this scan began"
		case early > 0:
			s += fmt.Sprintf(", %s of them before this scan began", number(early))
		}
		out = append(out, s+": an earlier scan's, or one whose finding is not here.")
	}
	return out
}

// openFindings is about services that were looked at, and not understood.
func (r *Report) openFindings() []string {
	var out []string
	unjudged := r.Totals.Classes[probe.Undetermined] - r.Totals.Unspoken - r.undeterminedMayRelay()
	partly, silent, untested := 0, 0, []string(nil)
	for _, e := range r.Entries {
		switch f := &e.Finding; {
		case e.mail() && e.Class != probe.Undetermined && f.Cut != "":
			partly++
		case f.Protocol == "unknown" && e.spoken():
			silent++
		case !e.tested() && (f.Protocol == "lmtp" || f.Protocol == "qmtp" || f.Protocol == "qmqp"):
			if !slices.Contains(untested, f.Protocol) {
				untested = append(untested, f.Protocol)
			}
		}
	}
	if unjudged > 0 {
		out = append(out, fmt.Sprintf("%s could not be judged; the reason stands beside each. None of them is known to be closed.", plural(unjudged, "mail service")))
	}
	if partly > 0 {
		out = append(out, fmt.Sprintf("%s, judged by the attempts that were made, did not let all of them be made; the reason stands beside each.", plural(partly, "mail service")))
	}
	if silent > 0 {
		out = append(out, fmt.Sprintf("%s said nothing that is known: a mail server that answers some clients only looks the same.", plural(silent, "listener")))
	}
	if greeting, n := r.alike(); n >= manyAlike {
		out = append(out, fmt.Sprintf("%s addresses greet alike (%s): one server behind several addresses, or a proxy on the way that answers for all.", number(n), shorten(greeting, 60)))
	}
	if len(untested) > 0 {
		slices.Sort(untested)
		out = append(out, strings.ToUpper(strings.Join(untested, ", "))+" listeners are listed and not relay-tested: only SMTP is.")
	}
	return out
}

// manyAlike addresses with one greeting are worth a word: a transparent proxy makes every host look like a mail server.
const manyAlike = 4

// alike is the greeting that most addresses share, with their number.
func (r *Report) alike() (greeting string, most int) {
	seen := make(map[string]map[netip.Addr]bool)
	for _, e := range r.Entries {
		f := &e.Finding
		if !f.SMTP() || len(f.Names) == 0 { // without a name it says nothing of its own
			continue
		}
		if seen[f.Greeting] == nil {
			seen[f.Greeting] = make(map[netip.Addr]bool)
		}
		seen[f.Greeting][f.Addr.Addr()] = true
	}
	for _, g := range sortedKeys(seen) {
		if n := len(seen[g]); n > most {
			greeting, most = g, n
		}
	}
	return greeting, most
}

// openCoverage is about what was not looked at.
func (r *Report) openCoverage() []string {
	var out []string
	t := r.Totals.Coverage
	if t.Filtered > 0 {
		out = append(out, fmt.Sprintf("%s kept silent. Filtered is not closed: what listens there may answer others.", plural(t.Filtered, "target")))
	}
	if t.NotAttempted > 0 {
		out = append(out, fmt.Sprintf("%s in scope %s not attempted; nothing is known of them.", plural(t.NotAttempted, "target"), verb(int(t.NotAttempted), "was", "were")))
	}
	if t.Failed > 0 {
		out = append(out, fmt.Sprintf("%s could not be looked at for reasons on our side.", plural(t.Failed, "target")))
	}
	if t.Excluded > 0 {
		out = append(out, fmt.Sprintf("%s %s excluded by the configuration.", plural(t.Excluded, "target"), verb(int(t.Excluded), "was", "were")))
	}
	return out
}

// openMethod is about what no scan of this kind can see.
func (r *Report) openMethod() []string {
	var out []string
	if len(r.Scan.Ports) > 0 && len(r.Scan.Ports) < 65535 {
		out = append(out, "Only "+ports(r.Scan.Ports)+" "+verb(len(r.Scan.Ports), "was", "were")+" looked at: a mail server on another port is not in this report.")
	}
	if len(r.Scan.Scope) > 0 {
		six := slices.ContainsFunc(r.Scan.Scope, func(p netip.Prefix) bool { return p.Addr().Is6() && !p.Addr().Is4In6() })
		if six {
			out = append(out, "IPv6 was looked at only as far as it is listed in the scope; other addresses of the same hosts were not.")
		} else {
			out = append(out, "No IPv6 address was in scope: the same hosts may answer there under other rules.")
		}
	}
	if r.Scan.Vantage != "" {
		out = append(out, fmt.Sprintf("It was seen from %s alone. A firewall may let other networks through, and a server may trust them.", plain(r.Scan.Vantage)))
	}
	if r.Totals.Mail > 0 && !r.triedLogins() {
		out = append(out, "No login was tried: a server that takes any password is not seen.")
	}
	return out
}

// triedLogins reports whether vectors that authenticate were among the attempts (I2 to I4).
func (r *Report) triedLogins() bool {
	return slices.ContainsFunc(r.Entries, func(e *Entry) bool {
		return slices.ContainsFunc(e.judged.Tried, func(id string) bool { return slices.Contains([]string{"I2", "I3", "I4"}, id) })
	})
}

// ports lists ports for a reader: runs are joined, and long lists are counted.
func ports(list []uint16) string {
	runs := portRuns(list)
	n := len(slices.Compact(slices.Sorted(slices.Values(list))))
	if len(runs) > 30 {
		return fmt.Sprintf("%s (%s … %s)", plural(n, "port"), strings.Join(runs[:10], ", "), runs[len(runs)-1])
	}
	return verb(n, "port", "ports") + " " + strings.Join(runs, ", ")
}

// portRuns lists ports in order, three and more in a row joined.
func portRuns(list []uint16) []string {
	sorted := slices.Compact(slices.Sorted(slices.Values(list)))
	var runs []string
	for i := 0; i < len(sorted); {
		j := i
		for j+1 < len(sorted) && sorted[j+1] == sorted[j]+1 {
			j++
		}
		switch {
		case j == i:
			runs = append(runs, fmt.Sprint(sorted[i]))
		case j == i+1:
			runs = append(runs, fmt.Sprint(sorted[i]), fmt.Sprint(sorted[j]))
		default:
			runs = append(runs, fmt.Sprintf("%d-%d", sorted[i], sorted[j]))
		}
		i = j + 1
	}
	return runs
}
