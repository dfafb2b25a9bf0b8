package firewall

import (
	"slices"
	"strconv"
	"strings"
)

// truth is three-valued, as in Kleene's logic: and is the least, or is the greatest.
type truth uint8

const (
	no truth = iota
	maybe
	yes
)

func (t truth) not() truth { return yes - t }

// packet is one packet of a connection, at one step.
type packet struct {
	phase      uint8 // one of First, Answer, Later, LaterAnswer
	numbers    [numbers]Range
	in, out    places
	origOut    places
	translated uint8
	perhaps    uint8 // further bits of it that may be set
	srcLocal   truth
	dstLocal   truth
}

// places are the interfaces that a packet may come or go by, each with all its names. None: it is not known.
type places [][]string

// names reports whether a packet's interface is one of a term's.
func (p places) in(names []string) truth {
	found := 0
	for _, known := range p {
		if slices.ContainsFunc(known, func(n string) bool {
			return slices.ContainsFunc(names, func(pattern string) bool { return glob(pattern, n) })
		}) {
			found++
		}
	}
	switch {
	case len(p) == 0:
		return maybe
	case found == 0:
		return no
	case found == len(p):
		return yes
	}
	return maybe
}

func glob(pattern, name string) bool {
	if start, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, start)
	}
	return pattern == name
}

// holds says whether a match is one of a packet's.
func (m Match) holds(p *packet) truth {
	t := yes
	for i := range m {
		if t = min(t, m[i].holds(p)); t == no {
			return no
		}
	}
	return t
}

func (t *Term) holds(p *packet) truth {
	r := t.found(p)
	if r == no && t.Word != "" {
		r = maybe
	}
	if t.Not {
		return r.not()
	}
	return r
}

// found is holds without negation and words.
func (t *Term) found(p *packet) truth {
	switch t.Field {
	case In:
		return p.in.in(t.Names)
	case Out:
		return p.out.in(t.Names)
	case OrigOut:
		return p.origOut.in(t.Names)
	case Phase:
		return among(p.phase, t.Bits)
	case Translated:
		if r := among(p.translated, t.Bits); r == yes || p.perhaps&t.Bits == 0 {
			return r
		}
		return maybe
	case SrcLocal:
		return p.srcLocal
	case DstLocal:
		return p.dstLocal
	case AnyOf:
		r := no
		for _, m := range t.Any {
			if r = max(r, m.holds(p)); r == yes {
				break
			}
		}
		return r
	case Unmodelled:
		return maybe
	}
	return place(t.Ranges, p.numbers[t.Field])
}

func among(bit, set uint8) truth {
	if bit&set != 0 {
		return yes
	}
	return no
}

// words lists what keeps a match from being sure for a packet.
func (m Match) words(p *packet) (out []string) {
	if m.holds(p) != maybe {
		return nil
	}
	for i := range m {
		t := &m[i]
		if t.holds(p) != maybe {
			continue
		}
		if t.Word != "" {
			out = append(out, t.Word)
			continue
		}
		switch t.Field {
		case In:
			out = append(out, "where the connection enters the device")
		case Out, OrigOut:
			out = append(out, "where the connection leaves the device")
		case SrcPort:
			out = append(out, "source port")
		case SrcAddr:
			out = append(out, "source address")
		case DstAddr, OrigDst:
			out = append(out, "destination address")
		case DstPort, OrigDstPort:
			out = append(out, "destination port")
		case Translated:
			out = append(out, "whether the translation changes anything")
		case SrcLocal, DstLocal:
			out = append(out, "the device's own addresses")
		case AnyOf:
			for _, m := range t.Any {
				out = append(out, m.words(p)...)
			}
		default:
			out = append(out, "a condition that is not modelled")
		}
	}
	return out
}

var actions = [...]string{"continue", "accept", "drop", "reject", "jump", "goto", "return", "translate", "exempt", "uncertain"}

func (a Action) String() string { return actions[a] }

// AddrText writes a range of addresses for a reader; any, if it is all of a family.
func AddrText(r Range) string {
	switch {
	case r.First == r.Last:
		return r.First.Addr().String()
	case r == AllIPv4(), r == AllIPv6():
		return "any"
	}
	if p := r.Prefixes(); len(p) == 1 {
		return p[0].String()
	}
	return r.First.Addr().String() + "-" + r.Last.Addr().String()
}

// PortText writes a range of ports for a reader.
func PortText(r Range) string {
	if r.First == r.Last {
		return strconv.FormatUint(r.First.Lo, 10)
	}
	return strconv.FormatUint(r.First.Lo, 10) + "-" + strconv.FormatUint(r.Last.Lo, 10)
}

// Endpoint writes an address and port for a reader.
func Endpoint(addr, port Range) string {
	a := AddrText(addr)
	if strings.Contains(a, ":") {
		a = "[" + a + "]"
	}
	return a + ":" + PortText(port)
}
