package report

import "fmt"

// webRules is the section on the firewalls.
type webRules struct {
	Devices   []webDevice
	Sentences []string
	Openings  []webUse
	Shadowed  []webShadow
}

type webDevice struct {
	Line  string
	Notes []string
}

// webLine is a firewall line.
type webLine struct{ Says, Text, About string }

type webUse struct {
	Line   webLine
	Counts string
	Relays bool
	Opens  []webUsed
	More   string
}

type webUsed struct{ State, Endpoint string }

type webShadow struct{ Line, Text, Why string }

func webLines(lines []Line) []webLine {
	var out []webLine
	for i := range lines {
		l := &lines[i]
		out = append(out, webLine{plain(l.says()), plain(l.Text), plain(l.about())})
	}
	return out
}

func webRulesOf(c *Reconciliation) *webRules {
	if c == nil {
		return nil
	}
	w := &webRules{Sentences: cleaned(c.sentences())}
	for i := range c.Devices {
		d := webDevice{Line: plain(c.Devices[i].line())}
		for _, n := range c.Devices[i].Notes {
			d.Notes = append(d.Notes, plain(placeText(n.Where)+": "+n.Text))
		}
		w.Devices = append(w.Devices, d)
	}
	for i := range c.Openings {
		u := &c.Openings[i]
		o := webUse{Line: webLine{plain(u.Line.short()), plain(u.Line.Text), plain(u.Line.about())}, Counts: u.counts(), Relays: u.States[useRelay] > 0}
		const most = 200 // a page with more is long to open; the JSON Lines list all
		for _, x := range u.Opens[:min(most, len(u.Opens))] {
			o.Opens = append(o.Opens, webUsed{x.State, x.Addr.String()})
		}
		if n := len(u.Opens) - most; n > 0 {
			o.More = fmt.Sprintf("and %s: the JSON Lines list them", plural(n, "more target"))
		}
		w.Openings = append(w.Openings, o)
	}
	for i := range c.Shadowed {
		s := &c.Shadowed[i]
		w.Shadowed = append(w.Shadowed, webShadow{plain(s.Line.short()), plain(s.Line.Text), plain(s.text())})
	}
	return w
}
