package report

import (
	"fmt"
	"strings"
)

// rules is the section on the firewalls: what was read, how it stands to what was seen, and what each line opens.
func (p *page) rules() {
	rec := p.r.Rules
	if rec == nil {
		return
	}
	p.heading("Firewall rules")
	const indent = 12
	for i := range rec.Devices {
		d := &rec.Devices[i]
		p.hangAt(indent, "  device", "", d.line())
		const most = 5
		for k, n := range d.Notes {
			if k == most && !p.o.Verbose {
				p.hangAt(indent, "", "", fmt.Sprintf("and %d more: --verbose and the JSON Lines list them", len(d.Notes)-most))
				break
			}
			p.hangAt(indent, "", dim, placeText(n.Where)+": "+n.Text)
		}
	}
	for i, s := range rec.sentences() {
		label := ""
		if i == 0 {
			label = "  targets"
		}
		p.hangAt(indent, label, "", s)
	}
	const mostLines = 30
	for i := range rec.Openings {
		u := &rec.Openings[i]
		if i == mostLines && !p.o.Verbose {
			p.hang("  ", "", fmt.Sprintf("and %d more lines that permit: --verbose, the HTML report and the JSON Lines list them", len(rec.Openings)-mostLines))
			break
		}
		if i == 0 {
			p.heading(fmt.Sprintf("Lines that open (%d)", len(rec.Openings)))
		}
		colour := ""
		if u.States[useRelay] > 0 {
			colour = red
		}
		p.hangAt(4, "  ", colour, u.Line.short()+": "+u.counts())
		p.hangAt(6, "      ", "", u.Line.Text)
		p.hangAt(6, "      ", dim, u.Line.about())
		if s := u.examples(6); s != "" {
			p.hangAt(6, "      ", "", "opens "+s)
		}
	}
	for i := range rec.Shadowed {
		s := &rec.Shadowed[i]
		if i == 0 {
			p.heading(fmt.Sprintf("Lines without effect on these ports (%d)", len(rec.Shadowed)))
		}
		p.hangAt(4, "  ", "", s.Line.short()+" "+s.text())
		p.hangAt(6, "      ", dim, s.Line.Text)
	}
}

// way tells the lines on an entry's way.
func (p *page) way(e *Entry, indent int) {
	label := "    rules"
	row := func(colour, text string) {
		if text != "" {
			p.hangAt(indent, label, colour, text)
			label = ""
		}
	}
	row("", e.verdictOfRules())
	for i := range e.Openings {
		l := &e.Openings[i]
		row("", l.says())
		row(dim, strings.TrimSpace(l.Text))
		row(dim, l.about())
	}
}
