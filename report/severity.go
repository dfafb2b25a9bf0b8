package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"relaysweep/probe"
	"relaysweep/probe/smtp"
)

// Severity says how soon a finding wants attention.
type Severity int8

// The severities.
const (
	Info     Severity = iota
	Low               // to be put in order
	Medium            // may relay
	High              // relays, as far as can be told without a delivery
	Critical          // relays: proven by delivery
)

var severityNames = [...]string{"info", "low", "medium", "high", "critical"}

func (s Severity) String() string { return severityNames[s] }

// MarshalText writes the severity's name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a severity's name.
func (s *Severity) UnmarshalText(b []byte) (err error) {
	*s, err = ParseSeverity(string(b))
	return err
}

// ParseSeverity reads a severity's name.
func ParseSeverity(text string) (Severity, error) {
	if i := slices.Index(severityNames[:], strings.ToLower(text)); i >= 0 {
		return Severity(i), nil
	}
	return Info, fmt.Errorf("unknown severity %q: it is one of %s", text, strings.Join(severityNames[:], ", "))
}

// rank is the severity of an entry. What relays for an inside vantage may be meant to, so it ranks one step lower.
func rank(e *Entry, inside bool) Severity {
	s := Info
	switch e.Class {
	case probe.Relay:
		switch {
		case e.Verdict >= probe.Delivered:
			s = Critical
		case e.Verdict >= probe.Ready:
			s = High
		default:
			s = Medium
		}
	case probe.CatchAll, probe.Undetermined:
		switch {
		case e.Verdict >= probe.Queued:
			s = High
		case e.Verdict >= probe.Ready:
			s = Medium
		case !e.spoken():
			return Info
		default:
			return Low
		}
	case probe.Sink:
		if e.Verdict < probe.Queued {
			return Low
		}
		s = Medium // it took a message for a foreign address; where that is now is not known
	case probe.AuthOnly, probe.ClosedRelay:
		if len(e.Weak) > 0 {
			return Low
		}
		return Info
	default:
		return Info
	}
	if inside {
		s--
	}
	return s
}

// title names a finding in a few words.
func title(e *Entry, inside bool) string {
	switch e.Class {
	case probe.Relay:
		proof := map[probe.Verdict]string{
			probe.Accepted:  "a foreign recipient was accepted",
			probe.Ready:     "a message to a foreign address would be taken",
			probe.Queued:    "a message to a foreign address was taken",
			probe.Delivered: "proven by delivery",
		}[e.Verdict]
		switch {
		case inside:
			return "relays for inside (" + e.Finding.Vantage + "): " + proof
		case e.suspected() != "":
			return "relays, or is a " + string(e.suspected()) + ": " + proof
		case e.Verdict >= probe.Delivered:
			return "open relay: " + proof
		case e.Verdict >= probe.Ready:
			return "relays: " + proof
		}
		return "may relay: " + proof
	case probe.CatchAll:
		return "takes any local name, and with it forms that may route mail onwards"
	case probe.Sink:
		switch {
		case e.Verdict < probe.Queued:
			return "takes everything: a forgotten test or trap server"
		case len(e.Bounces) > 0:
			return "accepts mail for foreign addresses, then bounces it (backscatter)"
		}
		return "took a message for a foreign address that has not come home: held, dropped, or no way out"
	case probe.AuthOnly:
		return weakTitle("relays after authentication only", e.Weak)
	case probe.ClosedRelay:
		return weakTitle("refuses to relay", e.Weak)
	case probe.NotSMTP:
		switch p := protocol(&e.Finding); p {
		case "unknown":
			return "not known what it is"
		case "lmtp", "qmtp", "qmqp":
			return "takes mail by " + strings.ToUpper(p) + ", which was not relay-tested"
		default:
			return "no mail server: " + raw(p)
		}
	}
	switch {
	case e.Verdict >= probe.Queued:
		return "may relay: it took a message for a foreign address, which has not come home"
	case e.Verdict >= probe.Accepted:
		return "may relay: it took forms that could not be told from local names"
	case !e.spoken():
		return "an opening, not spoken to"
	}
	return "could not be judged"
}

func weakTitle(title string, weak []string) string {
	if len(weak) == 0 {
		return title
	}
	return title + "; " + strings.Join(weak, "; ")
}

// weaknesses lists the faults of a mail server beside relaying.
func weaknesses(f *probe.Finding, at time.Time) []string {
	var out []string
	if f.TLS != nil && f.TLS.Legacy {
		out = append(out, "its best TLS is "+f.TLS.Version)
	}
	if clearTextAuth(f) {
		out = append(out, "it offers passwords in clear text (AUTH before TLS)")
	}
	if s := outOfSupport(f, at); s != "" {
		out = append(out, s)
	}
	if _, ok := smtp.ParseExtensions(smtp.Reply{Lines: f.EHLO})["XCLIENT"]; ok {
		out = append(out, "it offers XCLIENT to us: whoever reaches it may claim any address (vector I5)")
	}
	if p := f.Addr.Port(); p >= 10024 && p <= 10026 {
		out = append(out, "the port is one where content filters hand mail back, meant for the server itself (vector I10)")
	}
	if f.Behind != "" {
		out = append(out, "it takes a PROXY header from us: whoever reaches it may claim any address (vector I6)")
	}
	if len(f.EndsData) > 0 {
		out = append(out, "it takes a false end of data, so that messages can be smuggled (vector I11): "+strings.Join(f.EndsData, " "))
	}
	if f.Injected {
		out = append(out, "it obeys commands that were sent in clear behind STARTTLS (vector I12)")
	}
	return out
}

// clearTextAuth reports whether a mechanism that sends the password as it is was offered before TLS. Extensions are
// those of the first EHLO.
func clearTextAuth(f *probe.Finding) bool {
	if f.Protocol != "smtp" {
		return false
	}
	return slices.ContainsFunc(f.Extensions, func(x string) bool {
		words := strings.Fields(strings.ToUpper(x))
		return len(words) > 1 && words[0] == "AUTH" && (slices.Contains(words, "PLAIN") || slices.Contains(words, "LOGIN"))
	})
}

// outOfSupport says that the makers' support for the product's version had ended at a time, or nothing.
func outOfSupport(f *probe.Finding, at time.Time) string {
	end, err := time.Parse(time.DateOnly, f.Service.EndOfLife)
	if err != nil || !end.Before(at) {
		return ""
	}
	return fmt.Sprintf("support for %s %s ended on %s (a distribution may go on with it)", raw(f.Service.Product), raw(f.Service.Version), f.Service.EndOfLife)
}
