package report

import (
	"fmt"
	"slices"
	"strings"

	"relaysweep/discover/firewall"
)

// rulesWord is what the rules say of an entry, in a word or two.
func (e *Entry) rulesWord() string {
	if e.Way == nil {
		return ""
	}
	return e.Way.Verdict.String()
}

// openers joins what is to be told of the lines on an entry's way, each once.
func (e *Entry) openers(tell func(*Line) string) string {
	var out []string
	for i := range e.Openings {
		if s := tell(&e.Openings[i]); s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return plain(strings.Join(out, " | "))
}

// nat tells a translation.
func (l *Line) nat() string {
	if l.To == "" {
		return ""
	}
	return l.Action + " " + l.From + " to " + l.To
}

// changes tells who made and changed a line.
func (l *Line) changes() string {
	created, changed := changeText(l.Created), changeText(l.Changed)
	if created != "" {
		created = "created " + created
	}
	if changed != "" {
		changed = "changed " + changed
	}
	return joinNonEmpty(", ", created, changed)
}

// about is what else a line tells: its comment, whose it is, its counter.
func (l *Line) about() string {
	owner, ticket := "", ""
	if l.Owner != "" {
		owner = "owner " + l.Owner
	}
	if l.Ticket != "" {
		ticket = "ticket " + l.Ticket
	}
	return joinNonEmpty("; ", l.Comment, owner, ticket, l.changes(), l.counterText())
}

// says is a line with what it does.
func (l *Line) says() string {
	s := l.Action + " by " + l.short()
	if l.Packet != "" {
		s += ", of the " + l.Packet
	}
	if n := l.nat(); n != "" {
		s = n + " by " + l.short()
	}
	if !l.Sure {
		s = "perhaps " + s
	}
	return s
}

// judgedByRules adds to an entry what the rules make of it.
func (r *Report) judgedByRules(e *Entry) {
	if e.Way == nil {
		return
	}
	if e.unexplained() {
		// Something lets it through that nobody wrote down here: another way in, or an export that is not what runs.
		e.Severity = max(e.Severity, High)
		e.Title += "; reachable although the rules deny it"
	}
}

// unexplainedWhy says what an unexplained path may be.
const unexplainedWhy = "The rules that were read deny this connection, and it was made. Look for a second way in (another uplink, a VPN, IPv6, a proxy or container host that forwards), for rules that changed since the export was made, or for a vantage that is bound to the wrong zone."

// verdictOfRules is the sentence on an entry's way.
func (e *Entry) verdictOfRules() string {
	switch w := e.Way; {
	case w == nil:
		return ""
	case w.Verdict == firewall.Denied:
		return unexplainedWhy
	case w.Verdict == firewall.Possibly:
		return "The rules may let it through. That depends on: " + strings.Join(w.Words, ", ")
	case w.Verdict == firewall.Unread:
		return "No device whose rules were read is on the way."
	}
	return ""
}

// urgent entries are told of in full.
func (e *Entry) urgent() bool { return e.exposed() || e.mayRelay() || e.unexplained() }

func unexplainedHead(n int) string {
	return fmt.Sprintf("%s although the firewall rules deny it (unexplained path):", plural(n, "opening")+" "+verb(n, "answers", "answer"))
}

// letInBy names the line that lets an entry in.
func (e *Entry) letInBy() string {
	switch {
	case e.Way == nil:
		return "-"
	case e.unexplained():
		return "denied, and reachable"
	}
	if l := e.opener(); l != nil {
		return l.short()
	}
	return e.Way.Verdict.String()
}

// deviceLine tells what was read of a device.
func (d *DeviceSummary) line() string {
	var files []string
	for _, f := range d.Files {
		files = append(files, f.Name)
	}
	s := fmt.Sprintf("%s (%s), %s in %s", d.Device, d.Language, plural(d.Rules, "rule"), strings.Join(files, ", "))
	if !d.Exported.IsZero() {
		s += ", of " + minute(d.Exported)
	}
	if n := len(d.Notes); n > 0 {
		s += fmt.Sprintf("; %s not understood: answers that depend on them are \"possibly permitted\"", plural(n, "line"))
	}
	return s
}

// rows tells the reconciliation in sentences: what is most urgent first.
func (c *Reconciliation) sentences() []string {
	var out []string
	add := func(n int, what string) {
		if n > 0 {
			out = append(out, fmt.Sprintf("%s %s", number(n), what))
		}
	}
	add(c.Unexplained, "reachable, and denied by the rules: unexplained")
	add(c.Explained, "reachable, and permitted: the lines are named")
	add(c.Possibly, "reachable, and possibly permitted: the rules hold words that are not modelled, or do not tell all that they depend on")
	add(c.Unread, "reachable, and no device that was read is on the way")
	add(c.Stale, "permitted, and nothing listens (the host answered with a reset): stale openings")
	add(c.NotKnown, "permitted, and silent or not looked at: whether they are used is not known")
	add(c.Answered, "denied in silence by the rules, and answered with a reset: something lets packets through, or rejects them elsewhere on the way")
	add(c.Intended, "denied, and not reachable: as intended")
	out = append(out, c.Unshadowed...)
	if c.Left > 0 {
		out = append(out, fmt.Sprintf("%s were not held against the rules: the scan has more than %s", plural(c.Left, "target"), number(maxReconciled)))
	}
	return out
}

// counts tells the states of what a line opens.
func (u *RuleUse) counts() string {
	var out []string
	for _, s := range useOrder {
		if n := u.States[s]; n > 0 {
			if s == useRelay || s == useMail || s == useOther {
				out = append(out, plural(n, s))
				continue
			}
			out = append(out, number(n)+" "+s)
		}
	}
	return strings.Join(out, ", ")
}

// examples lists the first endpoints in a state.
func (u *RuleUse) examples(most int) string {
	var out []string
	for _, x := range u.Opens {
		if x.State == useRelay || x.State == useMail || x.State == useOther || x.State == useOpen {
			out = append(out, x.Addr.String())
		}
	}
	if len(out) > most {
		out = append(out[:most], fmt.Sprintf("and %d more", len(out)-most))
	}
	return strings.Join(out, ", ")
}

// shadow tells why a line never decides.
func (s *ShadowedRule) text() string {
	var by []string
	for i := range s.By {
		by = append(by, s.By[i].short())
	}
	if more := max(0, len(by)-4) + s.More; more > 0 {
		by = append(by[:min(4, len(by))], fmt.Sprintf("and %d more", more))
	}
	what := "never decides, and says something else than what happens: "
	if s.Same {
		what = "is not needed: "
	}
	return what + "covered by " + strings.Join(by, ", ")
}

// Text is a line without effect, with the reason.
func (s *ShadowedRule) Text() string { return s.Line.short() + " " + s.text() }
