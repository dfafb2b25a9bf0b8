package report

import (
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/tw"
)

// column is a column of a table. The ones with the greatest drop give way first where the page is narrow.
type column struct {
	head string
	keep bool // never dropped nor cut
	min  int  // width below which it is dropped
	drop int
	fold bool // its cells are endpoints, which break at a colon rather than push others out
}

type cell struct{ s, colour string }

const gap = 2 // blanks between columns

// table writes rows. tablewriter aligns them; what is too wide was dropped or cut before, as it cannot do that.
func (p *page) table(cols []column, rows [][]cell) {
	widths := p.fit(cols, rows)
	row, line := "─", "  "
	if p.o.ASCII {
		row = "-"
	}
	var out strings.Builder
	t := tablewriter.NewTable(&out,
		tablewriter.WithEastAsian(tw.Off),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithHeaderAlignment(tw.AlignLeft), tablewriter.WithRowAlignment(tw.AlignLeft),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone), tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithPadding(tw.Padding{Overwrite: true}),
		tablewriter.WithRendition(tw.Rendition{
			Borders:  tw.BorderNone,
			Symbols:  tw.NewSymbolCustom("plain").WithColumn(line).WithCenter(line).WithRow(row),
			Settings: tw.Settings{Lines: tw.Lines{ShowHeaderLine: tw.On}, Separators: tw.Separators{BetweenColumns: tw.On}},
		}),
	)
	var heads []string
	for i, c := range cols {
		if widths[i] > 0 {
			heads = append(heads, truncate(c.head, widths[i], p.mark()))
		}
	}
	t.Header(heads)
	for _, r := range rows {
		var cells []string
		for i, c := range r {
			if widths[i] > 0 {
				cells = append(cells, p.show(c, widths[i], cols[i].fold))
			}
		}
		if err := t.Append(cells); err != nil && p.err == nil {
			p.err = err
		}
	}
	if err := t.Render(); err != nil && p.err == nil {
		p.err = err
	}
	for l := range strings.Lines(out.String()) {
		p.b.WriteString(strings.TrimRight(l, " \n") + "\n")
	}
}

func (p *page) show(c cell, n int, fold bool) string {
	s := p.text(c.s)
	if fold {
		return strings.Join(foldEndpoint(s, n), "\n")
	}
	return p.paint(c.colour, truncate(s, n, p.mark()))
}

// foldEndpoint breaks an address behind a colon.
func foldEndpoint(s string, n int) []string {
	var out []string
	for len(s) > n {
		at := strings.LastIndexByte(s[:n], ':') + 1
		if at == 0 {
			at = n
		}
		out, s = append(out, s[:at]), s[at:]
	}
	return append(out, s)
}

const foldedWidth = 22 // holds every IPv4 endpoint, and the short ones of IPv6

// fit decides how wide each column is; 0: it is dropped.
func (p *page) fit(cols []column, rows [][]cell) []int {
	widths := make([]int, len(cols))
	for i, c := range cols {
		for _, r := range rows {
			widths[i] = max(widths[i], width(p.text(r[i].s)))
		}
		if widths[i] > 0 || c.keep { // a column of which nothing is known is left out
			widths[i] = max(widths[i], width(c.head))
		}
	}
	least := func(i int) int {
		if cols[i].fold {
			return min(widths[i], foldedWidth)
		}
		if cols[i].keep {
			return widths[i]
		}
		return min(widths[i], cols[i].min)
	}
	sum := func(of func(int) int) int {
		n := -gap
		for i, w := range widths {
			if w > 0 {
				n += of(i) + gap
			}
		}
		return n
	}
	for sum(least) > p.o.Width {
		last := -1
		for i, c := range cols {
			if widths[i] > 0 && c.drop > 0 && (last < 0 || c.drop > cols[last].drop) {
				last = i
			}
		}
		if last < 0 {
			break
		}
		widths[last] = 0
	}
	for sum(func(i int) int { return widths[i] }) > p.o.Width {
		widest := -1
		for i := range cols {
			if widths[i] > least(i) && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return p.cutKept(cols, widths)
}

// cutKept cuts even what should be kept, where the page is too narrow for it: the last such column first.
func (p *page) cutKept(cols []column, widths []int) []int {
	total := -gap
	for _, w := range widths {
		if w > 0 {
			total += w + gap
		}
	}
	for i := len(cols) - 1; i >= 0 && total > p.o.Width; i-- {
		if widths[i] == 0 {
			continue
		}
		by := min(total-p.o.Width, widths[i]-min(widths[i], 4))
		widths[i] -= by
		total -= by
	}
	return widths
}
