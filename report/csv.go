package report

import (
	"encoding/csv"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// csvColumn is one column of a CSV file whose rows are made of T and of what all rows share, All.
type csvColumn[All, T any] struct {
	name  string
	value func(*All, T) string
}

// writeRows writes a row with the names of the columns and one for each element of the list, as in RFC 4180 but for the
// line ends, which are LF. Cells that a spreadsheet could take for a formula are disarmed.
func writeRows[All, T any](w io.Writer, columns []csvColumn[All, T], all *All, list []T) error {
	c := csv.NewWriter(w)
	row := make([]string, len(columns))
	for i, col := range columns {
		row[i] = col.name
	}
	c.Write(row)
	for _, v := range list {
		for k, col := range columns {
			row[k] = disarm(col.value(all, v))
		}
		c.Write(row)
	}
	c.Flush()
	return c.Error()
}

// csvColumns are the columns of WriteCSV, one finding a row. Names are those of the JSON Lines.
var csvColumns = []csvColumn[Report, *Entry]{
	{"severity", func(_ *Report, e *Entry) string { return e.Severity.String() }},
	{"ip", func(_ *Report, e *Entry) string { return e.Finding.Addr.Addr().String() }},
	{"port", func(_ *Report, e *Entry) string { return strconv.Itoa(int(e.Finding.Addr.Port())) }},
	{"verdict", func(_ *Report, e *Entry) string { return e.Verdict.String() }},
	{"class", func(_ *Report, e *Entry) string { return string(e.Class) }},
	{"title", func(_ *Report, e *Entry) string { return plain(e.Title) }},
	{"reason", func(_ *Report, e *Entry) string { return plain(e.Reason) }},
	{"vectors", func(_ *Report, e *Entry) string { return strings.Join(e.Vectors, " ") }},
	{"names", func(_ *Report, e *Entry) string { return raw(strings.Join(e.Finding.Names, " ")) }},
	{"protocol", func(_ *Report, e *Entry) string { return raw(protocol(&e.Finding)) }},
	{"vendor", func(_ *Report, e *Entry) string { return raw(e.Finding.Service.Vendor) }},
	{"product", func(_ *Report, e *Entry) string { return raw(e.Finding.Service.Product) }},
	{"version", func(_ *Report, e *Entry) string { return raw(e.Finding.Service.Version) }},
	{"cpe23", func(_ *Report, e *Entry) string { return raw(e.Finding.Service.CPE23) }},
	{"tls", func(_ *Report, e *Entry) string { return tlsWord(e) }},
	{"greeting", func(_ *Report, e *Entry) string { return raw(e.Finding.Greeting) }},
	{"seen_as", func(_ *Report, e *Entry) string { return raw(e.seenAs()) }},
	{"weaknesses", func(_ *Report, e *Entry) string { return plain(strings.Join(e.Weak, "; ")) }},
	{"fix", func(_ *Report, e *Entry) string {
		return plain(strings.Join(append(append([]string{}, e.Fix.Server...), e.Fix.Firewall...), " | "))
	}},
	{"note", func(_ *Report, e *Entry) string { return plain(joinNonEmpty("; ", e.Finding.Note, e.Finding.Cut)) }},
	{"vantage", func(_ *Report, e *Entry) string { return plain(e.Finding.Vantage) }},
	{"scan_id", func(r *Report, _ *Entry) string { return r.Scan.ID }},
	{"timestamp", func(r *Report, e *Entry) string {
		t := seen(&e.Finding)
		if t.IsZero() {
			t = r.Scan.time()
		}
		return t.UTC().Format(time.RFC3339)
	}},
	{"suspected", func(_ *Report, e *Entry) string { return string(e.suspected()) }},
	{"egress", func(_ *Report, e *Entry) string { return plain(strings.Join(e.egress(), " ")) }},
	{"source", func(_ *Report, e *Entry) string { return plain(e.Finding.Source) }},
	{"rules", func(_ *Report, e *Entry) string { return e.rulesWord() }},
	{"rule", func(_ *Report, e *Entry) string { return e.openers((*Line).short) }},
	{"rule_text", func(_ *Report, e *Entry) string { return e.openers(func(l *Line) string { return l.Text }) }},
	{"rule_comment", func(_ *Report, e *Entry) string { return e.openers(func(l *Line) string { return l.Comment }) }},
	{"rule_owner", func(_ *Report, e *Entry) string { return e.openers(func(l *Line) string { return l.Owner }) }},
	{"rule_ticket", func(_ *Report, e *Entry) string { return e.openers(func(l *Line) string { return l.Ticket }) }},
	{"rule_changed", func(_ *Report, e *Entry) string { return e.openers((*Line).changes) }},
	{"rule_counter", func(_ *Report, e *Entry) string { return e.openers((*Line).counterText) }},
	{"nat", func(_ *Report, e *Entry) string { return e.openers((*Line).nat) }},
	{"approval", func(_ *Report, e *Entry) string { return string(e.ApprovalState) }},
	{"approval_owner", func(_ *Report, e *Entry) string { return e.approvalCell(func(a *Approval) string { return a.Owner }) }},
	{"approval_expires", func(_ *Report, e *Entry) string { return e.approvalCell((*Approval).lastDay) }},
	{"approval_ticket", func(_ *Report, e *Entry) string { return e.approvalCell(func(a *Approval) string { return a.Ticket }) }},
	{"owner", func(_ *Report, e *Entry) string { return e.owner() }},
	{"site", func(_ *Report, e *Entry) string { return e.asset(func(a *Asset) string { return a.Site }) }},
	{"tags", func(_ *Report, e *Entry) string {
		return e.asset(func(a *Asset) string { return strings.Join(a.Tags, " ") })
	}},
	{"asset", func(_ *Report, e *Entry) string { return e.asset(func(a *Asset) string { return a.Prefix.String() }) }},
	{"mentions", func(_ *Report, e *Entry) string { return plain(e.namedBy()) }},
	{"forgotten", func(_ *Report, e *Entry) string { return e.forgottenWord() }},
	{"first_seen", firstSeenColumn},
	{"last_checked", lastCheckedColumn},
	{"change", changeColumnOf},
}

// WriteCSV writes one row a finding, worst first.
func WriteCSV(w io.Writer, r *Report) error {
	return writeRows(w, csvColumns, r, r.Entries)
}

// formula finds what a spreadsheet evaluates: the signs at the start of a cell, their wide forms, which some locales
// take alike, and the same after a semicolon, which separates cells where the comma is a decimal mark. Quotes do not protect:
// they begin a cell there, and are no part of it.
var formula = regexp.MustCompile(`(^|;)([\s"]*)([=+\-@\t\r＝＋－＠])`)

func disarm(s string) string {
	// Most cells have nothing to find at their one start; the expression takes a microsecond. The wide forms begin with 0xef.
	if s == "" || strings.IndexByte("=+-@\" \t\r\n\f\xef", s[0]) < 0 && strings.IndexByte(s, ';') < 0 {
		return s
	}
	return formula.ReplaceAllString(s, "$1$2'$3")
}

func joinNonEmpty(sep string, parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, sep)
}

// tlsWord is the TLS of a finding in a word or two.
func tlsWord(e *Entry) string {
	t := e.Finding.TLS
	switch {
	case t == nil:
		return ""
	case t.Error != "":
		return plain(t.Mode + " failed: " + t.Error)
	}
	return plain(t.Mode + " " + t.Version)
}
