package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"html"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"relaysweep/discover"
	"relaysweep/probe"
)

// withPast is the full report with what an inventory knows.
func withPast() *Report {
	past := make(map[netip.AddrPort]Sight)
	for _, f := range findings() {
		past[f.Addr] = Sight{Addr: f.Addr, State: discover.Open, FirstSeen: autumn, LastSeen: now, LastChecked: now}
	}
	return New(Input{Scan: scan(), Findings: findings(), Coverage: coverage(), Deliveries: deliveries(), Past: past, Changes: someChanges()})
}

// hostileChanges has a hostile text in every field that a stranger fills.
func hostileChanges() *Changes {
	evil := func(mark string) func(*Sight) {
		return func(s *Sight) {
			found(func(f *probe.Finding) {
				f.Service.Product, f.Service.Version, f.Names, f.Protocol = hostile+mark, hostile+mark, []string{"x." + hostile}, hostile+mark
				f.Extensions, f.TLS.Subject, f.TLS.SHA256, f.TLS.Version = []string{hostile + mark, hostile}, hostile, mark, hostile+mark
			})(s)
			s.Why, s.Rules, s.Source, s.Judged.Reason, s.Judged.Vectors, s.Judged.Tried = hostile, []string{hostile + mark}, hostile, hostile, []string{hostile + mark}, []string{hostile}
		}
	}
	b := seenOpen(before, evil("a"))
	to := scan()
	to.ID = hostile
	return NewChanges(scanBefore(), &to, "internet", nil, pairs(
		[2]*Sight{b, then(b, discover.Open, now, evil("b"))},
		[2]*Sight{at("198.51.100.11:25", seenOpen(before, evil("a"))), at("198.51.100.11:25", unsure(b, discover.Closed, now, hostile))},
		[2]*Sight{at("198.51.100.12:25", seenOpen(before, evil("a"))), at("198.51.100.12:25", then(b, discover.Closed, now))},
		[2]*Sight{nil, at("198.51.100.13:25", seenOpen(now, evil("a")))},
		[2]*Sight{at("198.51.100.14:25", unsure(&Sight{}, discover.Filtered, before, hostile)), at("198.51.100.14:25", seenOpen(now, evil("a")))},
	))
}

// changesRenderers are the writers of changes alone.
func changesRenderers() map[string]func(io.Writer, *Changes) error {
	table := func(l Lang, o TableOptions) func(io.Writer, *Changes) error {
		return func(w io.Writer, c *Changes) error { return WriteChangesTable(w, c, l, o) }
	}
	return map[string]func(io.Writer, *Changes) error{
		"table": table(English, TableOptions{}), "Japanese table": table(Japanese, TableOptions{Width: 60}), "narrow table": table(English, TableOptions{Width: 40, ASCII: true}),
		"JSON Lines": WriteChangesJSONL, "CSV": WriteChangesCSV,
	}
}

func TestHostileChangesAreEscaped(t *testing.T) {
	c := hostileChanges()
	if len(c.List) != 5 {
		t.Fatalf("got %d changes", len(c.List))
	}
	r := New(Input{Scan: scan(), Findings: findings(), Changes: c})
	for name, write := range renderers() {
		out := render(t, write, r)
		checkPrintable(t, name, out)
		if name == "HTML" && (strings.Contains(out, "<script>alert") || strings.Contains(out, "ZgotmplZ")) {
			t.Error("hostile text was not escaped")
		}
	}
	for name, write := range changesRenderers() {
		var b bytes.Buffer
		if err := write(&b, c); err != nil {
			t.Fatal(err)
		}
		checkPrintable(t, name, b.String())
		if err := write(full1{}, c); err == nil {
			t.Errorf("%s: a full disk is no error", name)
		}
	}
	var b bytes.Buffer
	if err := WriteChangesCSV(&b, c); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 6 {
		t.Fatalf("got %d rows, %v", len(rows), err)
	}
	for _, row := range rows {
		for _, cell := range row {
			for part := range strings.SplitSeq(cell, ";") {
				if part = strings.TrimSpace(part); part != "" && strings.ContainsRune("=+-@\t\r＝＋－＠", []rune(part)[0]) {
					t.Errorf("a formula: %q", cell)
				}
			}
		}
	}
}

func TestWidthOfChanges(t *testing.T) {
	colours := regexp.MustCompile(`\x1b\[[0-9;]*m`)
	for _, columns := range []int{40, 60, 80, 100} {
		for _, c := range []*Changes{someChanges(), hostileChanges(), {}} {
			for _, l := range []Lang{English, Japanese} {
				o := TableOptions{Width: columns, Colour: true}
				var b bytes.Buffer
				if err := WriteChangesTable(&b, c, l, o); err != nil {
					t.Fatal(err)
				}
				r := New(Input{Scan: scan(), Findings: findings(), Changes: c}).In(l)
				if err := WriteTable(&b, r, o); err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(b.String(), sinceHead.in(l)) {
					t.Errorf("no section %q", sinceHead.in(l))
				}
				for line := range strings.Lines(b.String()) {
					line = colours.ReplaceAllString(strings.TrimSuffix(line, "\n"), "")
					if got := width(line); got > columns || strings.HasSuffix(line, " ") {
						t.Errorf("%d columns of %d: %q", got, columns, line)
					}
				}
			}
		}
	}
}

// The section stands before the coverage, and says loudly what was not looked at.
func TestChangesInTheReport(t *testing.T) {
	r := withPast()
	out := render(t, func(w io.Writer, r *Report) error { return WriteTable(w, r, TableOptions{}) }, r)
	page := html.UnescapeString(render(t, WriteHTML, r))
	ja := html.UnescapeString(render(t, WriteHTML, r.In(Japanese)))
	for _, want := range []string{
		"Since the last scan (20261022-0200-k2, 2026-10-22 03:00)", "2 new, 1 re-appeared, 3 changed, 1 gone, 2 not re-checked, 1 as they were",
		"2 endpoints that were open were not re-checked: whether they are still open is not known. That is not gone.",
	} {
		if flat := strings.Join(strings.Fields(out), " "); !strings.Contains(flat, want) {
			t.Errorf("%q is not in the table:\n%s", want, out)
		}
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in the page", want)
		}
	}
	for _, want := range []string{"前回走査からの変化", "未確認(走査未実施・判定不能)が2件あります", "停止確認ではありません", "初回確認日", "最終確認日", "最終走査日", "更新後に悪化"} {
		if !strings.Contains(ja, want) {
			t.Errorf("%q is not in the Japanese page", want)
		}
	}
	if i, k := strings.Index(out, "Since the last scan"), strings.Index(out, "Scope and coverage"); i < 0 || i > k {
		t.Errorf("the section is at %d, the coverage at %d", i, k)
	}
	for _, href := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !strings.Contains(page, ` id="`+href[1]+`"`) {
			t.Errorf("a link to %q leads nowhere", href[1])
		}
	}
}

// An entry carries what the inventory knows, and its change; one of another vantage does not.
func TestEntriesHaveTheirPast(t *testing.T) {
	r := withPast()
	e := entry(t, r, "198.51.100.11:25")
	if !e.FirstSeen.Equal(autumn) || !e.LastChecked.Equal(now) || e.Change == nil || e.Change.label(English) != "worse after an upgrade" {
		t.Errorf("got %v, %v, %+v", e.FirstSeen, e.LastChecked, e.Change)
	}
	if e.Change.Severity != e.Severity {
		t.Errorf("the change is %v, the finding %v", e.Change.Severity, e.Severity)
	}
	if e := entry(t, r, "198.51.100.14:1025"); e.Change != nil {
		t.Errorf("got %+v", e.Change)
	}
	other := findings()[4]
	other.Vantage = "inside"
	in := Input{Scan: scan(), Findings: []probe.Finding{other}, Past: map[netip.AddrPort]Sight{other.Addr: {FirstSeen: autumn}}, Changes: someChanges()}
	if e := New(in).Entries[0]; e.Change != nil || !e.FirstSeen.IsZero() {
		t.Errorf("another vantage: got %v, %+v", e.FirstSeen, e.Change)
	}
	for i := range in.Changes.List { // New changes nothing of what it is given
		if d := &in.Changes.List[i]; d.Severity != someChanges().List[i].Severity || d.Addr != someChanges().List[i].Addr {
			t.Errorf("New changed %v", d.Addr)
		}
	}
}

// The names of a change are a contract: DESIGN.md 6.
func TestJSONOfChanges(t *testing.T) {
	var b bytes.Buffer
	if err := WriteChangesJSONL(&b, someChanges()); err != nil {
		t.Fatal(err)
	}
	inReport := render(t, WriteJSONL, withPast())
	lines := slices.Collect(strings.Lines(b.String()))
	if len(lines) != 10 {
		t.Fatalf("got %d lines", len(lines))
	}
	names := map[string][]string{
		"changes": {"from_scan", "to_scan", "from_time", "to_time", "counts", "same"},
		"change":  {"kind", "before", "after", "ip", "port", "differences", "upgraded", "worse", "severity", "reason", "hint", "from_scan"},
		"sight":   {"state", "protocol", "names", "service", "tls", "extensions", "verdict", "class", "reason", "vectors", "rules", "scan_id", "sure", "silent", "why", "first_seen", "last_seen", "last_checked"},
	}
	for i, line := range lines {
		if i == 0 && !strings.Contains(inReport, line) {
			t.Errorf("the report counts otherwise: %s", line)
		}
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatal(err)
		}
		kind := "change"
		if i == 0 {
			kind = "changes"
			if got := o["counts"].(map[string]any); len(got) != 5 || got["not-rechecked"] != 2.0 {
				t.Errorf("got %v", got)
			}
		}
		for _, name := range append([]string{"type", "schema_version", "scan_id", "vantage", "timestamp"}, names[kind]...) {
			if _, ok := o[name]; !ok {
				t.Errorf("%s has no %s", kind, name)
			}
		}
		if o["type"] != kind {
			t.Errorf("got type %v, want %s", o["type"], kind)
		}
		for _, side := range []string{"before", "after"} {
			if s, ok := o[side].(map[string]any); ok {
				for _, name := range names["sight"] {
					if v, ok := s[name]; !ok || v == nil && !strings.HasSuffix(name, "_seen") && name != "last_checked" {
						t.Errorf("%s.%s is %v", side, name, v)
					}
				}
			}
		}
	}
	if n := strings.Count(inReport, `{"type":"change",`); n != 9 {
		t.Errorf("the report has %d changes", n)
	}
	if !strings.Contains(inReport, `"first_seen":"2026-09-22T02:00:00Z","last_seen":"2026-11-22T02:00:00Z","last_checked":"2026-11-22T02:00:00Z"`) {
		t.Error("a finding does not tell when it was first seen")
	}
}

// Of thousands of changes a report on a terminal shows the first, and counts the rest; what nobody looked at is shown
// even so.
func TestManyChanges(t *testing.T) {
	to := scan()
	c := NewChanges(scanBefore(), &to, "internet", nil, func(yield func(*Sight, *Sight) bool) {
		for i := range 3000 {
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 25)
			s := seenOpen(now)
			s.Addr = addr
			if i < 30 {
				yield(s, nil)
			} else {
				yield(nil, s)
			}
		}
	})
	r := New(Input{Scan: scan(), Changes: c})
	for verbose, want := range map[bool]int{false: 70, true: 3000} {
		out := render(t, func(w io.Writer, r *Report) error { return WriteTable(w, r, TableOptions{Verbose: verbose}) }, r)
		if n := strings.Count(out, "  new 10.1.") + strings.Count(out, "  not re-checked 10.1."); n != want {
			t.Errorf("verbose %v: %d changes, want %d", verbose, n, want)
		}
		if strings.Contains(out, "and 2,930 more") == verbose {
			t.Errorf("verbose %v: what is left out", verbose)
		}
	}
	out := render(t, WriteHTML, r)
	if n := strings.Count(out, "10.1."); n != maxChangeRows || !strings.Contains(out, "and 1,000 more") {
		t.Errorf("the page shows %d", n)
	}
	var b bytes.Buffer
	if err := WriteChangesTable(&b, c, English, TableOptions{}); err != nil || strings.Count(b.String(), "10.1.") != 3000 {
		t.Errorf("diff shows %d, %v", strings.Count(b.String(), "10.1."), err)
	}
}

// Every word has both languages.
func TestWordsOfChanges(t *testing.T) {
	for _, k := range kindOrder {
		if w := kindWords[k]; w.en == "" || w.ja == "" {
			t.Errorf("%s has no word", k)
		}
	}
	for i := range someChanges().List {
		for _, d := range someChanges().List[i].Differences {
			if w := fieldWords[d.Field]; w.en == "" || w.ja == "" {
				t.Errorf("%s has no word", d.Field)
			}
		}
	}
}
