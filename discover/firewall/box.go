package firewall

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
)

// Box is a set of connections of one family: by each of the zones, from each source to each destination and port.
type Box struct {
	Family         int // 4 or 6
	In             []string
	Src, Dst       []Range
	SrcPort, Ports []Range
}

// String writes a box on one line, such as "wan: any IPv4 > 192.0.2.0/24 port 25,587". Of long lists it shows the first.
func (b Box) String() string {
	s := strings.Join(b.In, ",")
	if s == "" {
		s = "any"
	}
	s += ": " + addrsText(b.Src)
	if b.SrcPort[0] != Ports(0, 65535) {
		s += " port " + portsText(b.SrcPort)
	}
	return s + " > " + addrsText(b.Dst) + " port " + portsText(b.Ports)
}

func portsText(list []Range) string {
	return rangesText(list, func(r Range) string {
		switch {
		case r == Ports(0, 65535):
			return "any"
		case r.First == r.Last:
			return fmt.Sprint(r.First.Lo)
		}
		return fmt.Sprint(r.First.Lo, "-", r.Last.Lo)
	})
}

func addrsText(list []Range) string {
	return rangesText(list, func(r Range) string {
		switch p := r.Prefixes(); {
		case r == AllIPv4():
			return "any IPv4"
		case r == AllIPv6():
			return "any IPv6"
		case r.First == r.Last:
			return r.First.Addr().String()
		case len(p) == 1:
			return p[0].String()
		}
		return r.First.Addr().String() + "-" + r.Last.Addr().String()
	})
}

func rangesText(list []Range, text func(Range) string) string {
	const most = 8
	var out []string
	for _, r := range list[:min(len(list), most)] {
		out = append(out, text(r))
	}
	if more := len(list) - most; more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, ",")
}

// Witness is one connection of a box: one that could well be, where there is a choice.
func (b *Box) Witness() Flow {
	home := AddrValue(netip.AddrFrom4([4]byte{203, 0, 113, 9})) // of documentation
	if b.Family == 6 {
		home = AddrValue(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: 9}))
	}
	return Flow{
		In: b.In[0], Src: one(b.Src, home), Dst: one(b.Dst), DstPort: one(b.Ports),
		SrcPort: one(b.SrcPort, Number(50000), Number(1024)),
	}
}

// one is a value of ranges: the first that is wished for and is in them, or one that is no network's own address.
func one(list []Range, wishes ...Value) Range {
	for _, v := range wishes {
		if slices.ContainsFunc(list, func(r Range) bool { return r.holds(v) }) {
			return Single(v)
		}
	}
	r := list[0]
	if r.First != r.Last && r.First.next() != r.Last {
		return Single(r.First.next())
	}
	return Single(r.First)
}

// fieldOrder is from the highest bits of a set to the lowest.
var fieldOrder = [4]Field{DstPort, DstAddr, SrcAddr, SrcPort}

// boxes lists disjoint boxes that make up a set, at most so many, and tells how many there are. Their order depends on
// nothing but the set.
func (s *universe) boxes(set flowSet, zones []string, most int) (list []Box, total uint64, err error) {
	var values [len(fieldOrder)][]Range
	var walk func(n flowSet, at int) error
	walk = func(n flowSet, at int) error {
		if at == len(fieldOrder) {
			list = append(list, Box{Family: s.family(), In: zones, Ports: values[0], Dst: values[1], Src: values[2], SrcPort: values[3]})
			return nil
		}
		f := fieldOrder[at]
		parts, err := s.parts(n, s.fields[f], mostParts)
		if err != nil {
			return err
		}
		for _, p := range parts {
			if len(list) >= most {
				return nil
			}
			values[at] = p.values
			if f == SrcAddr || f == DstAddr {
				values[at] = s.whole(p.values)
			}
			if err := walk(p.rest, at+1); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(set, 0); err != nil {
		return nil, 0, err
	}
	return list, s.count(set), nil
}

func (s *universe) family() int {
	if s.four {
		return 4
	}
	return 6
}

// Holds reports whether a connection, whose addresses and ports are known, is in the box.
func (b *Box) Holds(f Flow) bool {
	in := func(list []Range, r Range) bool { return place(list, r) == yes }
	return (family(f.Src) == AllIPv4()) == (b.Family == 4) && slices.Contains(b.In, f.In) &&
		in(b.Src, f.Src) && in(b.Dst, f.Dst) && in(b.SrcPort, f.SrcPort) && in(b.Ports, f.DstPort)
}

// whole closes the gap of IPv4 in ranges of IPv6 that lie on both sides of it.
func (s *universe) whole(list []Range) []Range {
	gap := AllIPv4()
	if s.four || place(list, Single(gap.First.previous())) == no || place(list, Single(gap.Last.next())) == no {
		return list
	}
	return Merge(append(slices.Clone(list), gap))
}

// count is how many boxes a set has.
func (s *universe) count(set flowSet) uint64 {
	type key struct {
		n  flowSet
		at int
	}
	known := make(map[key]uint64)
	var count func(n flowSet, at int) uint64
	count = func(n flowSet, at int) uint64 {
		if at == len(fieldOrder) {
			return 1
		}
		k := key{n, at}
		total, ok := known[k]
		if !ok {
			for _, rest := range s.rests(n, s.fields[fieldOrder[at]]) {
				total = saturate(total, count(rest, at+1))
			}
			known[k] = total
		}
		return total
	}
	return count(set, 0)
}

// saturate adds counts without overflow.
func saturate(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

// byZone is sets of one universe, one for each zone.
type byZone struct {
	*universe
	zones []string
	sets  []flowSet
}

func (z *byZone) roots() (out []*flowSet) {
	for i := range z.sets {
		out = append(out, &z.sets[i])
	}
	return out
}

// boxes lists the boxes of all zones. Zones with the same set are in one box.
func (z *byZone) boxes(most int) (list []Box, total uint64, err error) {
	done := make([]bool, len(z.sets))
	for i, set := range z.sets {
		if set == none || done[i] {
			continue
		}
		var zones []string
		for j := i; j < len(z.sets); j++ {
			if z.sets[j] == set {
				done[j] = true
				zones = append(zones, z.zones[j])
			}
		}
		more, n, err := z.universe.boxes(set, zones, most-len(list))
		if err != nil {
			return nil, 0, err
		}
		list, total = append(list, more...), saturate(total, n)
	}
	return list, total, nil
}
