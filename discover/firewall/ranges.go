package firewall

import (
	"cmp"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
)

// Value is a number of 128 bits. An IPv4 address is written as in IPv6, ::ffff:a.b.c.d.
type Value struct{ Hi, Lo uint64 }

// Range is all from First to Last.
type Range struct{ First, Last Value }

// Compare orders values.
func (v Value) Compare(w Value) int { return cmp.Or(cmp.Compare(v.Hi, w.Hi), cmp.Compare(v.Lo, w.Lo)) }

func (v Value) less(w Value) bool { return v.Hi < w.Hi || v.Hi == w.Hi && v.Lo < w.Lo }

func (v Value) next() Value {
	lo, carry := bits.Add64(v.Lo, 1, 0)
	return Value{v.Hi + carry, lo}
}

func (v Value) previous() Value {
	lo, borrow := bits.Sub64(v.Lo, 1, 0)
	return Value{v.Hi - borrow, lo}
}

func (v Value) plus(w Value) Value {
	lo, carry := bits.Add64(v.Lo, w.Lo, 0)
	return Value{v.Hi + w.Hi + carry, lo}
}

func (v Value) minus(w Value) Value {
	lo, borrow := bits.Sub64(v.Lo, w.Lo, 0)
	return Value{v.Hi - w.Hi - borrow, lo}
}

var top = Value{^uint64(0), ^uint64(0)}

// Number is a value of a port, a protocol, a family.
func Number(n uint16) Value { return Value{0, uint64(n)} }

// AddrValue is the value of an address.
func AddrValue(a netip.Addr) Value {
	b := a.As16()
	var v Value
	for i := range 8 {
		v.Hi = v.Hi<<8 | uint64(b[i])
		v.Lo = v.Lo<<8 | uint64(b[i+8])
	}
	return v
}

// Addr is the address that v stands for.
func (v Value) Addr() netip.Addr {
	var b [16]byte
	for i := range 8 {
		b[i] = byte(v.Hi >> (56 - 8*i))
		b[i+8] = byte(v.Lo >> (56 - 8*i))
	}
	return netip.AddrFrom16(b).Unmap()
}

// Single is the range of one value.
func Single(v Value) Range { return Range{v, v} }

// One is the range of one address.
func One(a netip.Addr) Range { return Single(AddrValue(a)) }

// Ports is the range of ports from first to last.
func Ports(first, last uint16) Range { return Range{Number(first), Number(last)} }

// PrefixRange is the range of the addresses of a prefix. Bits behind its length do not count.
func PrefixRange(p netip.Prefix) Range {
	p = p.Masked()
	first := AddrValue(p.Addr())
	n := p.Addr().BitLen() - p.Bits() // host bits
	last := first
	if n >= 64 {
		last.Lo = ^uint64(0)
		if n > 64 {
			last.Hi |= ^uint64(0) >> (128 - n)
		}
	} else if n > 0 {
		last.Lo |= ^uint64(0) >> (64 - n)
	}
	return Range{first, last}
}

// AllIPv4 and AllIPv6 are the ranges of all addresses of a family.
func AllIPv4() Range { return PrefixRange(netip.PrefixFrom(netip.IPv4Unspecified(), 0)) }

// AllIPv6 holds every address of IPv6; that the range of IPv4 lies in it does no harm beside a term of the Family.
func AllIPv6() Range { return Range{Value{}, top} }

func (r Range) holds(v Value) bool { return !v.less(r.First) && !r.Last.less(v) }

// Merge sorts ranges and joins those that overlap or touch.
func Merge(list []Range) []Range {
	out := slices.DeleteFunc(slices.Clone(list), func(r Range) bool { return r.Last.less(r.First) })
	slices.SortFunc(out, func(a, b Range) int { return a.First.Compare(b.First) })
	n := 0
	for _, r := range out {
		if n > 0 && (!out[n-1].Last.less(r.First) || out[n-1].Last != top && out[n-1].Last.next() == r.First) {
			if out[n-1].Last.less(r.Last) {
				out[n-1].Last = r.Last
			}
			continue
		}
		out[n] = r
		n++
	}
	return out[:n]
}

// Without returns what of the merged ranges a is not in b.
func Without(a, b []Range) (out []Range) {
	for _, r := range a {
		for _, cut := range b {
			if cut.Last.less(r.First) || r.Last.less(cut.First) {
				continue
			}
			if r.First.less(cut.First) {
				out = append(out, Range{r.First, cut.First.previous()})
			}
			if !cut.Last.less(r.Last) {
				r = Range{top, Value{}}
				break
			}
			r.First = cut.Last.next()
		}
		if !r.Last.less(r.First) {
			out = append(out, r)
		}
	}
	return out
}

// place finds where a range of values lies against merged ranges: within, outside, or partly in them.
func place(list []Range, r Range) truth {
	at := 0
	if len(list) > 8 {
		at, _ = slices.BinarySearchFunc(list, r.First, func(l Range, v Value) int { return l.Last.Compare(v) })
	}
	for _, l := range list[at:] {
		switch {
		case r.Last.less(l.First):
			return no
		case l.Last.less(r.First):
		case l.holds(r.First) && l.holds(r.Last):
			return yes
		default:
			return maybe
		}
	}
	return no
}

// ParseAddrs reads an address, a prefix (10.0.0.0/8, 10.0.0.0/255.0.0.0) or a range (10.0.0.1-10.0.0.9).
func ParseAddrs(text string) (Range, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return One(a.WithZone("")), nil
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return PrefixRange(p), nil
	}
	for i := range len(text) {
		switch text[i] {
		case '-':
			a, err := netip.ParseAddr(text[:i])
			b, err2 := netip.ParseAddr(text[i+1:])
			if err != nil || err2 != nil || a.Is4() != b.Is4() || b.Less(a) {
				return Range{}, fmt.Errorf("%q is not a range of addresses", text)
			}
			return Range{AddrValue(a), AddrValue(b)}, nil
		case '/':
			a, err := netip.ParseAddr(text[:i])
			mask, err2 := netip.ParseAddr(text[i+1:])
			if err == nil && err2 == nil && a.Is4() && mask.Is4() {
				if n, ok := maskBits(mask); ok {
					return PrefixRange(netip.PrefixFrom(a, n)), nil
				}
			}
		}
	}
	return Range{}, fmt.Errorf("%q is not an address, prefix or range", text)
}

// maskBits is the length of a netmask, such as 255.255.255.0.
func maskBits(mask netip.Addr) (int, bool) {
	b := mask.As4()
	m := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	n := bits.LeadingZeros32(^m)
	return n, n == 32 || m<<n == 0
}

// Prefixes lists the fewest prefixes that make up a range of addresses.
func (r Range) Prefixes() (out []netip.Prefix) {
	width := 128
	if v4 := AllIPv4(); v4.holds(r.First) && v4.holds(r.Last) {
		width = 32
	}
	for at := r.First; !r.Last.less(at); {
		n := 0 // host bits of the largest prefix that begins here and ends in the range
		for n < width {
			bit := Value{0, 1 << n}
			if n >= 64 {
				bit = Value{1 << (n - 64), 0}
			}
			last := at.plus(bit.plus(bit)).previous()
			if at.Hi&bit.Hi != 0 || at.Lo&bit.Lo != 0 || r.Last.less(last) || n == 127 && last != top {
				break
			}
			n++
		}
		a := at.Addr()
		if width == 128 && a.Is4() { // a block of IPv6 that begins at ::ffff:0:0: nobody has it
			a = netip.AddrFrom16(at.Addr().As16())
		}
		out = append(out, netip.PrefixFrom(a, width-n))
		var step Value
		switch {
		case n == 128:
			return out
		case n >= 64:
			step = Value{1 << (n - 64), 0}
		default:
			step = Value{0, 1 << n}
		}
		last := at.plus(step).previous()
		if last == top {
			return out
		}
		at = last.next()
	}
	return out
}
