package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"relaysweep/discover/firewall"
)

// WriteChanges writes what a change of a device's rules opens, closes and moves: for a terminal, or as JSON Lines.
func WriteChanges(w io.Writer, before, after firewall.Device, diff *firewall.Difference, asked []uint16, asJSON bool, o TableOptions) error {
	parts := []struct {
		kind, head string
		list       []firewall.Delta
		more       uint64
		colour     string
	}{
		{"opened", "The change opens", diff.Opened, diff.MoreOpened, red},
		{"closed", "The change closes", diff.Closed, diff.MoreClosed, green},
		{"moved", "The change leads elsewhere, or from another source", diff.Moved, diff.MoreMoved, yellow},
	}
	if asJSON {
		for _, part := range parts {
			for i := range part.list {
				if err := writeDelta(w, part.kind, before, after, &part.list[i]); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if o.Width == 0 {
		o.Width = 100
	}
	o.Width = max(o.Width, 40)
	p := &page{r: &Report{}, o: o}
	same := true
	for _, part := range parts {
		if len(part.list) == 0 {
			continue
		}
		if !same {
			p.blank()
		}
		same = false
		p.hang("", bold, fmt.Sprintf("%s (%s):", part.head, plural(len(part.list)+int(part.more), "set")))
		for i := range part.list {
			d := &part.list[i]
			s := d.Box.String()
			if !d.Sure {
				s += "   (possibly)"
			}
			p.hang("  ", part.colour, s)
			p.delta("    was ", &before, &d.Before)
			p.delta("    now ", &after, &d.After)
		}
		if part.more > 0 {
			p.hang("  ", "", fmt.Sprintf("and %d more", part.more))
		}
	}
	if same {
		p.hang("", "", "The change opens and closes nothing on "+ports(asked)+".")
	} else {
		p.blank()
		p.hang("", "", "Nothing else changes on "+ports(asked)+"; other ports were not asked for.")
	}
	if p.err != nil {
		return p.err
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

// delta tells what becomes of a connection, and by which lines.
func (p *page) delta(label string, dev *firewall.Device, d *firewall.Decision) {
	p.hang(label, "", joinNonEmpty(": ", decided(d), strings.Join(shorts(dev, d), ", ")))
}

func decided(d *firewall.Decision) string {
	s := d.Verdict.String()
	if len(d.Words) > 0 {
		s += " (depends on " + strings.Join(d.Words, ", ") + ")"
	}
	return s
}

// shorts names the lines that decide.
func shorts(dev *firewall.Device, d *firewall.Decision) []string {
	var out []string
	for _, l := range linesOf(&Rules{Devices: []firewall.Device{*dev}}, &firewall.Way{Decisions: []firewall.Decision{*d}}) {
		s := l.Action + " by " + l.short()
		if n := l.nat(); n != "" {
			s = n + " by " + l.short()
		}
		out = append(out, s)
	}
	return out
}

func writeDelta(w io.Writer, kind string, before, after firewall.Device, d *firewall.Delta) error {
	side := func(dev firewall.Device, d *firewall.Decision) map[string]any {
		return map[string]any{
			"verdict":  d.Verdict.String(),
			"openings": openingsOf(linesOf(&Rules{Devices: []firewall.Device{dev}}, &firewall.Way{Decisions: []firewall.Decision{*d}})), "unmodelled": all(d.Words),
		}
	}
	b, err := json.Marshal(struct {
		Type          string         `json:"type"`
		SchemaVersion int            `json:"schema_version"`
		Kind          string         `json:"kind"`
		Zones         []string       `json:"zones"`
		Sources       []string       `json:"sources"`
		SourcePorts   []string       `json:"source_ports"`
		Destinations  []string       `json:"destinations"`
		Ports         []string       `json:"ports"`
		Sure          bool           `json:"sure"`
		Witness       string         `json:"witness"`
		Before        map[string]any `json:"before"`
		After         map[string]any `json:"after"`
	}{
		"rule_change", SchemaVersion, kind, all(d.In), addrTexts(d.Src), portTexts(d.SrcPort), addrTexts(d.Dst), portTexts(d.Ports), d.Sure,
		source(d.Witness) + " to " + firewall.Endpoint(d.Witness.Dst, d.Witness.DstPort), side(before, &d.Before), side(after, &d.After),
	})
	if err != nil {
		return err
	}
	_, err = w.Write(append(armour(b), '\n'))
	return err
}

func addrTexts(list []firewall.Range) []string {
	out := []string{}
	for _, r := range list {
		for _, p := range r.Prefixes() {
			out = append(out, p.String())
		}
	}
	return out
}

func portTexts(list []firewall.Range) []string {
	out := []string{}
	for _, r := range list {
		out = append(out, firewall.PortText(r))
	}
	return out
}
