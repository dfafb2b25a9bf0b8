package report

import (
	"io"
	"strconv"
	"strings"
	"time"
)

// changeColumns are the columns of WriteChangesCSV, one change a row. Names are those of the JSON Lines.
var changeColumns = []csvColumn[Changes, *Change]{
	{"kind", func(_ *Changes, d *Change) string { return string(d.Kind) }},
	{"severity", func(_ *Changes, d *Change) string { return d.Severity.String() }},
	{"ip", func(_ *Changes, d *Change) string { return d.Addr.Addr().String() }},
	{"port", func(_ *Changes, d *Change) string { return strconv.Itoa(int(d.Addr.Port())) }},
	{"upgraded", func(_ *Changes, d *Change) string { return strconv.FormatBool(d.Upgraded) }},
	{"worse", func(_ *Changes, d *Change) string { return strconv.FormatBool(d.Worse) }},
	{"differences", func(_ *Changes, d *Change) string { return plain(strings.Join(d.differences(English), "; ")) }},
	{"reason", func(_ *Changes, d *Change) string { return plain(d.Reason) }},
	{"hint", func(_ *Changes, d *Change) string { return plain(d.Hint) }},
	{"state_before", func(_ *Changes, d *Change) string { return d.Before.stateName() }},
	{"state", func(_ *Changes, d *Change) string { return d.After.stateName() }},
	{"verdict_before", func(_ *Changes, d *Change) string { return d.Before.verdictName() }},
	{"verdict", func(_ *Changes, d *Change) string { return d.After.verdictName() }},
	{"product_before", func(_ *Changes, d *Change) string { return d.Before.product() }},
	{"product", func(_ *Changes, d *Change) string { return d.After.product() }},
	{"first_seen", func(_ *Changes, d *Change) string { return utc(d.firstSeen()) }},
	{"last_seen", func(_ *Changes, d *Change) string { return utc(d.newest((*Sight).lastSeen)) }},
	{"last_checked", func(_ *Changes, d *Change) string {
		return utc(d.newest(func(s *Sight) time.Time { return s.LastChecked }))
	}},
	{"vantage", func(_ *Changes, d *Change) string { return plain(d.Vantage) }},
	{"from_scan", func(c *Changes, _ *Change) string { return plain(c.From) }},
	{"scan_id", func(c *Changes, _ *Change) string { return plain(c.To) }},
}

// WriteChangesCSV writes one row a change, in the order of the list, as WriteCSV does.
func WriteChangesCSV(w io.Writer, c *Changes) error {
	list := make([]*Change, len(c.List))
	for i := range c.List {
		list[i] = &c.List[i]
	}
	return writeRows(w, changeColumns, c, list)
}

func utc(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func (s *Sight) stateName() string {
	if s == nil {
		return ""
	}
	return s.State.String()
}

func (s *Sight) verdictName() string {
	if s == nil || s.Found == nil {
		return ""
	}
	return s.Judged.Verdict.String()
}

func (s *Sight) product() string {
	if s == nil || s.Found == nil {
		return ""
	}
	return strings.TrimSpace(raw(s.Found.Service.Product) + " " + raw(s.Found.Service.Version))
}

// The columns of an inventory in WriteCSV; empty: there is none.
func firstSeenColumn(_ *Report, e *Entry) string   { return utc(e.FirstSeen) }
func lastCheckedColumn(_ *Report, e *Entry) string { return utc(e.LastChecked) }

func changeColumnOf(_ *Report, e *Entry) string {
	if e.Change == nil {
		return ""
	}
	return plain(joinNonEmpty(": ", e.Change.label(English), e.Change.story(English)))
}
