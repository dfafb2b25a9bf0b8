package discover

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"go4.org/netipx"
	"golang.org/x/sys/unix"

	"relaysweep/discover/packet"
)

// A way is how packets leave for a run of addresses. Raw packets want to know what the kernel does for others: the
// source address, the interface, and the Ethernet address of the next hop.
type way struct {
	from, to netip.Addr
	kind     wayKind
	link     int
	name     string
	mac      packet.MAC // ours
	source   netip.Addr
	gateway  netip.Addr // of viaGateway
	next     packet.MAC // of viaGateway, once it is known
	heard    packet.MAC // what the kernel took for it then
	why      string     // of noWay
	ours     bool       // of noWay: this machine's own routes forbid it

	out      *outlet
	syn, rst *packet.SYN
}

// like reports whether two ways are the same, as far as the kernel tells.
func (w way) like(v way) bool {
	w.next, w.heard, w.out, w.syn, w.rst = v.next, v.heard, v.out, v.syn, v.rst
	return w == v
}

// sameLink reports whether targets of two ways are on one link, and are asked for from one address.
func (w way) sameLink(v way) bool {
	return w.kind == onLink && v.kind == onLink && w.link == v.link && w.source == v.source
}

type wayKind uint8

const (
	noWay      wayKind = iota // the routing table knows none
	viaKernel                 // a tunnel, loopback, or an address of our own: the kernel finds the next hop
	viaGateway                // Ethernet, by a router
	onLink                    // Ethernet, straight to the target
)

// kernelWays asks the kernel how the addresses of a scope are reached.
func kernelWays(s *Scope, source netip.Addr) ([]way, error) {
	borders, err := routeBorders()
	if err != nil {
		return nil, fmt.Errorf("the routing table cannot be read: %w", err)
	}
	return findWays(s, borders, func(a netip.Addr) (way, error) { return wayTo(a, source) })
}

// findWays finds how the addresses of a scope are reached. A route is one for all addresses between two borders of the
// prefixes in routes and rules, so one question for each such piece is exact.
func findWays(s *Scope, borders []netip.Addr, wayTo func(netip.Addr) (way, error)) ([]way, error) {
	var ways []way
	for _, r := range s.ranges {
		from := r.from
		k, _ := slices.BinarySearchFunc(borders, from.Next(), netip.Addr.Compare)
		for {
			to := r.to
			if k < len(borders) && borders[k].BitLen() == from.BitLen() && !r.to.Less(borders[k]) {
				to = borders[k].Prev()
			}
			w, err := wayTo(from)
			if err != nil {
				return nil, err
			}
			w.from, w.to = from, to
			if n := len(ways); n > 0 && ways[n-1].joins(w) {
				ways[n-1].to = to
			} else {
				ways = append(ways, w)
			}
			if to == r.to {
				break
			}
			from = borders[k]
			k++
		}
	}
	return ways, nil
}

// joins reports whether v is the same way and follows at once.
func (w way) joins(v way) bool {
	next := w.to.Next() == v.from
	w.from, w.to = v.from, v.to
	return next && w == v
}

// routeBorders are the first addresses of all prefixes of routes and rules, and the first ones behind them.
func routeBorders() ([]netip.Addr, error) {
	var prefixes []*net.IPNet
	err := netlink.RouteListFilteredIter(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
		prefixes = append(prefixes, r.Dst)
		return true
	})
	if err != nil {
		return nil, err
	}
	rules, err := netlink.RuleList(netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	for _, r := range rules {
		prefixes = append(prefixes, r.Dst)
	}
	var borders []netip.Addr
	for _, n := range prefixes {
		if n == nil {
			continue
		}
		p, ok := netipx.FromStdIPNet(n)
		if !ok {
			continue
		}
		borders = append(borders, p.Masked().Addr())
		if after := netipx.PrefixLastIP(p).Next(); after.IsValid() {
			borders = append(borders, after)
		}
	}
	slices.SortFunc(borders, netip.Addr.Compare)
	return slices.Compact(borders), nil
}

// wayTo asks the kernel for the way to one address.
func wayTo(a, source netip.Addr) (way, error) {
	options := &netlink.RouteGetOptions{}
	if source.IsValid() && source.Is4() == a.Is4() {
		options.SrcAddr = source.AsSlice()
	}
	routes, err := netlink.RouteGetWithOptions(a.AsSlice(), options)
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH):
		return way{why: err.Error()}, nil // no route, or one that says unreachable
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL):
		return way{why: err.Error(), ours: true}, nil // a route that says prohibit or blackhole
	case err != nil:
		return way{}, fmt.Errorf("the way to %s: %w", a, err)
	case len(routes) == 0:
		return way{why: "no route"}, nil
	}
	r := routes[0]
	w := way{kind: viaKernel, link: r.LinkIndex}
	w.source, _ = netip.AddrFromSlice(r.Src)
	if w.source = w.source.Unmap(); options.SrcAddr != nil {
		w.source = source
	}
	if !w.source.IsValid() {
		return way{why: "no source address"}, nil
	}
	link, err := netlink.LinkByIndex(r.LinkIndex)
	if err != nil {
		return way{}, fmt.Errorf("the way to %s: %w", a, err)
	}
	at := link.Attrs()
	w.name = at.Name
	switch {
	case at.Flags&net.FlagUp == 0:
		return way{why: at.Name + " is down"}, nil
	case at.RawFlags&unix.IFF_RUNNING == 0:
		return way{why: at.Name + " has no carrier"}, nil
	case r.Type == unix.RTN_BROADCAST, r.Type == unix.RTN_MULTICAST:
		return way{why: "it is many hosts' address"}, nil
	}
	if at.EncapType != "ether" || at.RawFlags&unix.IFF_NOARP != 0 || len(at.HardwareAddr) != len(w.mac) || r.Type != unix.RTN_UNICAST {
		return w, nil
	}
	w.mac = packet.MAC(at.HardwareAddr)
	w.kind = onLink
	gateway := r.Gw
	if via, ok := r.Via.(*netlink.Via); ok { // IPv4 by an IPv6 router (RFC 5549)
		gateway = via.Addr
	}
	if g, ok := netip.AddrFromSlice(gateway); ok && !g.IsUnspecified() {
		w.kind, w.gateway = viaGateway, g.Unmap()
	}
	return w, nil
}

// knownNeighbour is what the kernel takes for a neighbour's Ethernet address, if anything. It is sure if it heard of it
// of late: a router may have been exchanged since.
func knownNeighbour(link int, a netip.Addr) (mac packet.MAC, sure bool) {
	family := unix.AF_INET
	if a.Is6() {
		family = unix.AF_INET6
	}
	list, err := netlink.NeighList(link, family)
	if err != nil {
		return packet.MAC{}, false
	}
	const (
		now   = unix.NUD_PERMANENT | unix.NUD_NOARP | unix.NUD_REACHABLE
		maybe = unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE
	)
	for _, n := range list {
		if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap() == a && n.State&(now|maybe) != 0 && len(n.HardwareAddr) == len(mac) {
			return packet.MAC(n.HardwareAddr), n.State&now != 0
		}
	}
	return packet.MAC{}, false
}

// wayFor finds the way to an address of the scope.
func wayFor(ways []way, a netip.Addr) *way {
	return &ways[lastAt(len(ways), func(k int) bool { return !a.Less(ways[k].from) })]
}
