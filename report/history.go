package report

import (
	"io"
	"net/netip"
	"strings"
	"time"

	"relaysweep/discover"
)

// Look is what one scan saw of an endpoint.
type Look struct {
	Scan, Kind, Vantage string // Kind: scan, discover, probe
	At                  time.Time
	Sight               Sight
	Change              *Change // since the look that the same vantage took before; nil: none, or it is as it was
}

// Follow says of each look what changed since the one before from the same vantage. The looks are in their order in time.
func Follow(looks []Look) {
	type place struct {
		addr    netip.AddrPort
		vantage string
	}
	last := make(map[place]*Sight)
	for i := range looks {
		l := &looks[i]
		at := place{l.Sight.Addr, l.Vantage}
		l.Change = Compare(last[at], &l.Sight, l.Vantage)
		last[at] = &l.Sight
	}
}

// what is what a look found, in a few words.
func (l *Look) what() string {
	s := &l.Sight
	if s.State != discover.Open {
		if !s.Sure {
			return joinNonEmpty(": ", s.State.String()+" (does not count)", s.Why)
		}
		return s.State.String()
	}
	if s.Found == nil || s.Listed {
		return "open, only listed"
	}
	kind := raw(protocol(s.Found))
	if s.Found.SMTP() {
		kind = string(s.Judged.Class) + ", " + s.Judged.Verdict.String()
	}
	return joinNonEmpty(", ", "open", kind, s.product())
}

// WriteHistoryTable writes the looks at an endpoint, or at the ports of an address, for a terminal.
func WriteHistoryTable(w io.Writer, subject string, looks []Look, l Lang, o TableOptions) error {
	if o.Width == 0 {
		o.Width = 100
	}
	o.Width = max(o.Width, 40)
	p := &page{r: &Report{lang: l}, o: o}
	p.hang("", bold, historyHead.with(l, plain(subject)))
	if len(looks) == 0 {
		p.hang("  ", "", noLooks.in(l))
	}
	var port netip.AddrPort
	for i := range looks {
		k := &looks[i]
		if k.Sight.Addr != port {
			port = k.Sight.Addr
			p.hang("  ", bold, port.String())
		}
		p.hangAt(6, "    "+minute(k.At)+" ", "", plain(joinNonEmpty(" ", k.what(), "("+strings.Join(nonEmpty(k.Kind, k.Scan, k.Vantage), ", ")+")")))
		if c := k.Change; c != nil {
			colour := ""
			if c.Worse {
				colour = red
			}
			p.hangAt(6, "", colour, c.label(l)+" "+c.story(l))
		}
	}
	if p.err != nil {
		return p.err
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

var (
	historyHead = text{"History of %[1]s", "%[1]s の履歴"}
	noLooks     = text{"no scan in the inventory saw it open", "稼働を確認した走査はありません"}
)

// lookObject is a look. Its change is null where nothing changed.
type lookObject struct {
	head
	IP     string          `json:"ip"`
	Port   uint16          `json:"port"`
	Kind   string          `json:"kind"`
	Sight  *sightObject    `json:"sight"`
	Change *endpointChange `json:"change"`
}

// WriteHistoryJSONL writes looks as JSON Lines.
func WriteHistoryJSONL(w io.Writer, looks []Look) error {
	j := jsonl{w: w, r: &Report{}}
	for i := range looks {
		k := &looks[i]
		h := head{"look", SchemaVersion, k.Scan, k.Vantage, timestamp(k.At)}
		o := lookObject{head: h, IP: k.Sight.Addr.Addr().String(), Port: k.Sight.Addr.Port(), Kind: k.Kind, Sight: sightOf(&k.Sight)}
		if c := k.Change; c != nil {
			h.Type = "change"
			from := ""
			if c.Before != nil {
				from = c.Before.Scan
			}
			d := changeOfEndpoint(c, &Changes{From: from}, h)
			o.Change = &d
		}
		j.line(o)
	}
	return j.err
}
