// Package notify tells other programs what a scan found: a webhook, and syslog.
//
//	Report ─┬─► Webhook.Send   one JSON object, signed, tried again (webhook.go, payload.go)
//	Changes ┘─► Syslog.Send    a line for each finding, violation of approvals, and change: RFC 5424, or CEF in it (syslog.go, cef.go)
//
// Where they go is the operator's own configuration, as the file of a report is, and no target of a scan. The law that
// nothing is sent but to Targets is about probes: a scan never learns an address here, and what it found never becomes
// one.
//
// Greetings, names and replies come from strangers, and whoever reads a log may trust its lines. Nothing that a server
// says can end a line, begin a field, or move a cursor: control bytes are escaped before a format's own escapes are made,
// and each value, line and body is bounded.
//
// Telling comes after everything is stored. If it fails, nothing is lost: the caller says so, and the scan's outcome
// stays what it is.
package notify

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"relaysweep/report"
)

// When says which scans are worth telling.
type When string

// The occasions.
const (
	Always    When = "always"
	OnChange  When = "change"  // something changed, or nobody can say that nothing did
	OnFinding When = "finding" // something may relay, or does, or is not approved: of severity medium or above
)

// ParseWhen reads an occasion. Without a word it is OnChange.
func ParseWhen(text string) (When, error) {
	if text == "" {
		return OnChange, nil
	}
	if w := When(text); slices.Contains([]When{Always, OnChange, OnFinding}, w) {
		return w, nil
	}
	return "", fmt.Errorf("%q is no occasion: it is always, change or finding", text)
}

// Wants reports whether a scan is worth telling. Changes that are nil are not known, which is not the same as none: no
// scan came before, or there is no inventory. An incomplete scan cannot say that nothing changed either.
func (w When) Wants(r *report.Report, changes *report.Changes) bool {
	switch w {
	case Always:
		return true
	case OnFinding:
		return r.WorstAtLeast(report.Medium)
	}
	return changes == nil || len(changes.List) > 0 || !r.Scan.Complete
}

// clip shortens text to n bytes at most, with a mark where something is lost.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n -= len("...")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:max(n, 0)] + "..."
}

// safe is s, escaped by report.Escape or report.ASCII, and clipped to n bytes. Escapes only make text longer, so that what is cut anyway is not escaped.
func safe(s string, n int, escape func(string) string) string {
	return clip(escape(s[:min(len(s), n+utf8.UTFMax)]), n)
}
