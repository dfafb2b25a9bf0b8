package report

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
	"sort"
)

// prefixIndex finds the prefixes that hold an address. Prefixes are nested or apart, so that in the order of their first
// addresses those that hold an address are the last one that begins before it, and what that lies in.
type prefixIndex struct {
	sorted []indexed
}

type indexed struct {
	prefix netip.Prefix
	at     int // in the list that it was made of
	up     int // what it lies in, by its place among the sorted; -1: nothing
}

// indexPrefixes makes an index of n prefixes. What is no prefix is left out.
func indexPrefixes(n int, at func(i int) netip.Prefix) *prefixIndex {
	x := new(prefixIndex)
	for i := range n {
		if p := Unmap(at(i)).Masked(); p.IsValid() {
			x.sorted = append(x.sorted, indexed{p, i, -1})
		}
	}
	slices.SortFunc(x.sorted, func(a, b indexed) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()), cmp.Compare(b.at, a.at))
	})
	up := -1
	for i := range x.sorted {
		e := &x.sorted[i]
		for up >= 0 && !x.sorted[up].prefix.Contains(e.prefix.Addr()) {
			up = x.sorted[up].up
		}
		e.up, up = up, i
	}
	return x
}

// holding yields the places of the prefixes that hold an address, the longest first; of equal ones, the first first.
func (x *prefixIndex) holding(a netip.Addr) iter.Seq[int] {
	return func(yield func(int) bool) {
		a := a.Unmap().WithZone("")
		i := sort.Search(len(x.sorted), func(i int) bool { return x.sorted[i].prefix.Addr().Compare(a) > 0 }) - 1
		for ; i >= 0; i = x.sorted[i].up {
			if x.sorted[i].prefix.Contains(a) && !yield(x.sorted[i].at) {
				return
			}
		}
	}
}

// Unmap is a prefix of IPv4 for one that is written as IPv4 in IPv6, such as ::ffff:10.0.0.0/104.
func Unmap(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p
}
