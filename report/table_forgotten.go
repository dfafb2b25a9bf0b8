package report

import "strings"

// forgotten is the section on what nobody names.
func (p *page) forgotten() {
	n, l := p.r.Naming, p.r.lang
	if n == nil {
		return
	}
	p.heading(forgottenHead.with(l, n.Forgotten))
	p.hang("  ", "", strings.Join(n.sentences(l), " "))
	entries := p.r.Forgotten()
	if len(entries) == 0 {
		return
	}
	const most = 30
	left := len(entries) - most
	if p.o.Verbose || left <= 0 {
		left = 0
	}
	head := func(name string) string { return p.text(columnText[name].in(l)) }
	cols := []column{
		{head: head("severity"), keep: true},
		{head: head("endpoint"), keep: true, fold: true},
		{head: head("verdict"), keep: true},
		{head: head("since"), min: 10, drop: 1},
		{head: head("owner"), min: 8, drop: 2},
		{head: head("product"), min: 10, drop: 3},
		{head: head("doubts"), min: 16, drop: 4},
	}
	var rows [][]cell
	for i := range entries[:len(entries)-left] {
		e := entries[i]
		rows = append(rows, []cell{p.severity(e), {s: endpoint(e)}, {s: e.Verdict.String()}, {s: e.firstSeenDay()}, {s: e.owner()}, {s: productName(e)}, {s: e.namedBy()}})
	}
	p.table(cols, rows)
	if left > 0 {
		p.hang("  ", "", forgottenMore.with(l, left))
	}
}

// ownerColumn stands where there is room, and anybody is known.
func ownerColumn() column { return column{head: "owner", min: 8, drop: 5} }
