package report

import (
	"fmt"
	"io"
	"strings"
)

// changes is the section on what became of the endpoints since the scan before.
func (p *page) changes() {
	c := p.r.Changes
	if c == nil {
		return
	}
	p.heading(sinceHead.in(p.r.lang) + " (" + c.before() + ")")
	p.changeList(c, !p.o.Verbose)
}

// changeList writes the counts, what was not looked at, and the changes; short: of many, the first.
func (p *page) changeList(c *Changes, short bool) {
	l := p.r.lang
	p.hang("  ", "", c.counts(l))
	if s := c.loud(l); s != "" {
		p.hang("  ", yellow, s)
	}
	const most, mostUnchecked = 50, 20
	left, unchecked := 0, 0
	for i := range c.List {
		d := &c.List[i]
		if d.Kind == IsNotRechecked {
			unchecked++
		}
		if short && (i >= most && d.Kind != IsNotRechecked || unchecked > mostUnchecked) {
			left++
			continue
		}
		p.change(d)
	}
	if left > 0 {
		p.hang("  ", "", fmt.Sprintf("and %s more: --verbose, the HTML report and the JSON Lines list them", number(left)))
	}
}

func (p *page) change(d *Change) {
	l := p.r.lang
	colour := ""
	switch {
	case d.Worse, d.lens() == 2 && d.Severity >= Medium:
		colour = red
	case d.Kind == IsNotRechecked:
		colour = yellow
	}
	p.hangAt(4, "  "+p.paint(colour, p.text(d.label(l)))+" ", "", d.Addr.String()+" "+d.what())
	p.hangAt(6, "", "", strings.Join(d.differences(l), "; "))
	p.hangAt(6, "", "", d.Reason)
	p.hangAt(6, "", "", d.Hint)
	switch d.Kind {
	case IsNew: // this scan saw it first
	case IsGone, IsNotRechecked:
		p.hangAt(6, "", dim, d.times(l))
	default:
		p.hangAt(6, "", dim, dated(l, firstSeenWord, d.firstSeen()))
	}
}

// WriteChangesTable writes changes alone, for a terminal. No line is wider than the terminal.
func WriteChangesTable(w io.Writer, c *Changes, l Lang, o TableOptions) error {
	if o.Width == 0 {
		o.Width = 100
	}
	o.Width = max(o.Width, 40)
	p := &page{r: &Report{lang: l}, o: o}
	p.hang("", bold, joinNonEmpty(", ", betweenHead.in(l), plain(c.Vantage))+" ("+c.between()+")")
	p.changeList(c, false)
	if p.err != nil {
		return p.err
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}
