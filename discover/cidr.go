package discover

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/projectdiscovery/mapcidr"
	"go4.org/netipx"
)

// This file is the one adapter to mapcidr: it is used for what it is exact at (coalescing, ranges to CIDRs), with
// net.IPNet turned into netip.Prefix at its border. Exclusion and order are ours.

// coalesce merges adjacent and contained prefixes, sorted.
func coalesce(prefixes []netip.Prefix) ([]netip.Prefix, error) {
	var nets []*net.IPNet
	var low netipx.IPSetBuilder // ::/8: mapcidr loses its leading zeros, and panics
	for _, p := range prefixes {
		if p.Addr().Is6() && p.Addr().As16()[0] == 0 {
			low.AddPrefix(p)
			continue
		}
		nets = append(nets, netipx.PrefixIPNet(p))
	}
	v4, v6 := mapcidr.CoalesceCIDRs(nets)
	var out []netip.Prefix
	for _, n := range append(v4, v6...) {
		// IPv4 comes back as 16-byte addresses with 4-byte masks.
		ones, _ := n.Mask.Size()
		a, ok := netip.AddrFromSlice(n.IP)
		if !ok {
			return nil, fmt.Errorf("coalesce: bad address %v", n)
		}
		p := netip.PrefixFrom(a.Unmap(), ones)
		if !p.IsValid() {
			return nil, fmt.Errorf("coalesce: bad prefix %v", n)
		}
		out = append(out, p)
	}
	set, err := low.IPSet()
	if err != nil {
		return nil, err
	}
	out = append(out, set.Prefixes()...)
	slices.SortFunc(out, comparePrefix)
	return out, nil
}

// rangeCIDRs are the prefixes that make up a range exactly. (GetCIDRFromIPRange panics for IPv4 as net/netip gives it.)
func rangeCIDRs(from, to netip.Addr) ([]netip.Prefix, error) {
	texts, err := mapcidr.IpRangeToCIDR(from.String(), to.String())
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// parseEntry reads what may be scanned: a prefix, an address, or a range a-b; in IPv4 b may be the last byte alone.
func parseEntry(text string) (netipx.IPRange, error) {
	r, err := parseRange(text)
	if err != nil {
		return r, err
	}
	return r, sane(text, r)
}

// parseRange reads an entry of any address space: an exclusion may be multicast, or everything.
func parseRange(text string) (netipx.IPRange, error) {
	var none netipx.IPRange
	var r netipx.IPRange
	switch {
	case strings.Contains(text, "/"):
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return none, fmt.Errorf("%q is not a CIDR: write it like 10.20.0.0/16", text)
		}
		if p.Masked() != p {
			return none, fmt.Errorf("%q has address bits after its /%d: write %s for the network or %s for the host", text, p.Bits(), p.Masked(), p.Addr())
		}
		r = netipx.RangeOfPrefix(p)
		if err := plain(text, r.From(), r.To()); err != nil {
			return none, err
		}
	case strings.Contains(text, "-"):
		from, to, _ := strings.Cut(text, "-")
		a, err := netip.ParseAddr(strings.TrimSpace(from))
		if err != nil {
			return none, fmt.Errorf("%q is not a range: write it like 10.20.0.1-10.20.0.50", text)
		}
		to = strings.TrimSpace(to)
		if a.Is4() && !strings.Contains(to, ".") {
			to = a.String()[:strings.LastIndex(a.String(), ".")+1] + to
		}
		b, err := netip.ParseAddr(to)
		if err != nil || a.BitLen() != b.BitLen() || b.Less(a) {
			return none, fmt.Errorf("%q is not a range: write it like 10.20.0.1-10.20.0.50, the lower address first", text)
		}
		if err := plain(text, a, b); err != nil {
			return none, err
		}
		prefixes, err := rangeCIDRs(a, b)
		if err != nil {
			return none, fmt.Errorf("%q is not a range: %w", text, err)
		}
		r = netipx.IPRangeFrom(prefixes[0].Addr(), netipx.PrefixLastIP(prefixes[len(prefixes)-1]))
		if r.From() != a || r.To() != b {
			return none, fmt.Errorf("%q: the range became %v", text, r)
		}
	default:
		a, err := netip.ParseAddr(text)
		if err != nil {
			return none, fmt.Errorf("%q is not an address, a CIDR or a range (host names are not resolved here)", text)
		}
		if err := plain(text, a, a); err != nil {
			return none, err
		}
		r = netipx.IPRangeFrom(a, a)
	}
	return r, nil
}

// Addresses that are nobody's host, and spaces that nobody owns.
var never = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network (RFC 791)"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
	{netip.MustParsePrefix("::/128"), "the unspecified address"},
	{netip.MustParsePrefix("::ffff:0:0/96"), "IPv4 mapped into IPv6"},
}

// plain refuses what does not name one address in one way. A range of netipx would drop a zone without a word.
func plain(text string, from, to netip.Addr) error {
	if zone := cmp.Or(from.Zone(), to.Zone()); zone != "" {
		return fmt.Errorf("%q: zones are not supported: leave %%%s away", text, zone)
	}
	if from.Is4In6() || to.Is4In6() {
		return fmt.Errorf("%q: write it as IPv4", text)
	}
	return nil
}

func sane(text string, r netipx.IPRange) error {
	for _, n := range never {
		if n.prefix.Overlaps(netip.PrefixFrom(r.From(), r.From().BitLen())) || r.Contains(n.prefix.Addr()) {
			if r.Contains(n.prefix.Addr()) && r.Contains(netipx.PrefixLastIP(n.prefix)) && n.prefix.Bits() < 128 {
				return fmt.Errorf("%q takes in %s (%s): name the address space that you own", text, n.prefix, n.what)
			}
			return fmt.Errorf("%q lies in %s (%s): it cannot be scanned, leave it away", text, n.prefix, n.what)
		}
	}
	return nil
}

// ParsePorts reads a list of ports and ranges such as "25,465,2500-2599"; "-" is all of them.
func ParsePorts(list string) ([]uint16, error) {
	if strings.TrimSpace(list) == "-" {
		list = "1-65535"
	}
	var listed [1 << 16]bool
	for field := range strings.SplitSeq(list, ",") {
		field = strings.TrimPrefix(strings.TrimSpace(field), "T:")
		from, to, isRange := strings.Cut(field, "-")
		a, err := parsePort(from)
		if err != nil {
			return nil, err
		}
		b := a
		if isRange {
			if b, err = parsePort(to); err != nil {
				return nil, err
			}
		}
		if b < a {
			return nil, fmt.Errorf("port range %q runs backwards: write the lower port first", field)
		}
		for p := int(a); p <= int(b); p++ {
			listed[p] = true
		}
	}
	var out []uint16
	for p, ok := range listed {
		if ok {
			out = append(out, uint16(p))
		}
	}
	return out, nil
}

func parsePort(s string) (uint16, error) {
	n := 0
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%q is not a port: ports are numbers from 1 to 65535", s)
		}
		if n = n*10 + int(c-'0'); n > 65535 {
			break
		}
	}
	if s == "" {
		return 0, errors.New("an empty port: ports are numbers from 1 to 65535, such as 25,465,587")
	}
	if n < 1 || n > 65535 {
		return 0, fmt.Errorf("port %s does not exist: ports run from 1 to 65535", s)
	}
	return uint16(n), nil
}

// DefaultPorts are where SMTP is found: the assigned ports, Exchange's, content filters', and those that firewall and
// container mistakes expose. 9100-9107 are left out: printers print what they receive.
func DefaultPorts() []uint16 {
	return []uint16{24, 25, 26, 209, 366, 465, 475, 587, 628, 717, 1025, 2500, 2525, 3025, 8025, 10024, 10025, 10026, 25000, 25025}
}
