package report

import (
	"cmp"
	"encoding/json"
	"io"
	"net/netip"
	"slices"
	"strings"

	"relaysweep/discover/firewall"
)

// Explanation is the way of one connection through the firewalls.
type Explanation struct {
	Zone     string
	From, To string // as the client sends it
	Way      firewall.Way
	Lines    []Line // every line that decided, policies too
	Server   string // what the server sees: where it comes from, and where it comes to
}

// Explain follows a connection through the firewalls.
func Explain(in *Rules, from, to netip.AddrPort) Explanation {
	f := in.flow(to, from)
	e := Explanation{Zone: in.Zone, From: source(f), To: to.String(), Way: firewall.Follow(in.Devices, f)}
	for i := range e.Way.Decisions {
		d := &e.Way.Decisions[i]
		for k := range d.Hops {
			for _, end := range d.Hops[k].Ends {
				if end.Rule != nil || end.Chain != nil {
					e.Lines = append(e.Lines, lineOf(in.device(d.Device), &d.Hops[k], end))
				}
			}
		}
	}
	if v := e.Way.Verdict; v == firewall.Permitted || v == firewall.Possibly {
		e.Server = source(e.Way.Leaves) + " to " + firewall.Endpoint(e.Way.Leaves.Dst, e.Way.Leaves.DstPort)
	}
	return e
}

// source is where a connection comes from, without a port that says nothing.
func source(f firewall.Flow) string {
	if f.SrcPort.First == f.SrcPort.Last {
		return firewall.Endpoint(f.Src, f.SrcPort)
	}
	return firewall.AddrText(f.Src)
}

// WriteExplanation writes an explanation for a terminal.
func WriteExplanation(w io.Writer, e Explanation, o TableOptions) error {
	if o.Width == 0 {
		o.Width = 100
	}
	o.Width = max(o.Width, 40)
	p := &page{r: &Report{}, o: o}
	colour := map[firewall.Verdict]string{firewall.Permitted: green, firewall.Denied: red, firewall.Possibly: yellow, firewall.Unread: yellow}[e.Way.Verdict]
	head := e.Way.Verdict.String() + ": "
	if e.Way.Verdict == firewall.Unread {
		head = "no device on the way: "
	}
	from := e.From
	if e.Zone != "" {
		from = e.Zone + " " + from
	}
	p.hang("", colour, head+from+" to "+e.To)
	if len(e.Way.Words) > 0 {
		p.hang("  ", "", "depends on: "+strings.Join(e.Way.Words, ", "))
	}
	device := ""
	for i := range e.Lines {
		l := &e.Lines[i]
		if l.Device != device {
			device = l.Device
			p.blank()
			p.hang("", bold, device)
		}
		indent, label := 12, "  "+l.Action
		if !l.Sure {
			indent, label = 18, "  perhaps "+l.Action
		}
		head := l.Step
		if l.Rule != "policy" {
			head += ", " + l.Rule
		}
		if l.Where != "" {
			head += " (" + l.Where + ")"
		}
		if l.Packet != "" {
			head += ", of the " + l.Packet
		}
		p.hangAt(indent, label, "", head)
		row := func(colour, s string) {
			if s != "" {
				p.hangAt(indent, "", colour, s)
			}
		}
		row("", l.Text)
		if l.To != "" {
			row("", l.From+" to "+l.To)
		}
		row(dim, l.about())
	}
	if e.Server != "" {
		p.blank()
		p.hang("", "", "The server sees "+e.Server)
	}
	if p.err != nil {
		return p.err
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

// WriteExplanationJSON writes an explanation as one line of JSON.
func WriteExplanationJSON(w io.Writer, e Explanation) error {
	o := struct {
		Type          string          `json:"type"`
		SchemaVersion int             `json:"schema_version"`
		Verdict       string          `json:"verdict"`
		Zone          string          `json:"zone"`
		From          string          `json:"from"`
		To            string          `json:"to"`
		Server        string          `json:"server"`
		Unmodelled    []string        `json:"unmodelled"`
		Lines         []openingObject `json:"lines"`
	}{"explanation", SchemaVersion, e.Way.Verdict.String(), valid(e.Zone), e.From, e.To, e.Server, all(e.Way.Words), openingsOf(e.Lines)}
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, err = w.Write(append(armour(b), '\n'))
	return err
}

// MovedLine is a line with how often it matched between two exports.
type MovedLine struct {
	Line
	Packets, Bytes uint64
}

// MovedLines tells the lines of a device whose counters moved.
func MovedLines(dev firewall.Device, moved []firewall.Moved) []MovedLine {
	var out []MovedLine
	for _, m := range moved {
		h := firewall.Hop{Step: &firewall.Step{Name: m.Chain.Name, Chain: m.Chain.Name}, Ends: make([]firewall.End, 1), Packet: firewall.First}
		e := firewall.End{Chain: m.Chain, Rule: m.Rule, Action: m.Chain.Policy}
		if m.Rule != nil {
			e.Action = m.Rule.Action
		}
		out = append(out, MovedLine{lineOf(&dev, &h, e), m.Packets, m.Bytes})
	}
	slices.SortStableFunc(out, func(a, b MovedLine) int { return cmp.Compare(b.Packets, a.Packets) })
	return out
}

// WriteMoved writes the lines whose counters moved: most packets first.
func WriteMoved(w io.Writer, lines []MovedLine, asJSON bool, o TableOptions) error {
	if asJSON {
		for i := range lines {
			b, err := json.Marshal(struct {
				Type          string `json:"type"`
				SchemaVersion int    `json:"schema_version"`
				openingObject
				Packets uint64 `json:"packets"`
				Bytes   uint64 `json:"bytes"`
			}{"moved", SchemaVersion, openingOf(&lines[i].Line), lines[i].Packets, lines[i].Bytes})
			if err != nil {
				return err
			}
			if _, err := w.Write(append(armour(b), '\n')); err != nil {
				return err
			}
		}
		return nil
	}
	p := &page{r: &Report{}, o: o}
	p.o.Width = max(p.o.Width, 40)
	if len(lines) == 0 {
		p.hang("", "", "No counter moved between the two exports.")
	}
	for i := range lines {
		l := &lines[i]
		p.hang("", "", plural(l.Packets, "packet")+" at "+l.Action+" "+l.short())
		if l.Text != "" {
			p.hang("    ", dim, l.Text)
		}
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}
