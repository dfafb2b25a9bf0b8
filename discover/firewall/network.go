package firewall

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Bind names interfaces as a zone of our own: the configuration binds vantages to zones.
func (rs *Ruleset) Bind(zone string, interfaces []string) {
	for _, name := range interfaces {
		i := slices.IndexFunc(rs.Interfaces, func(f Interface) bool { return f.Name == name || slices.Contains(f.Zones, name) })
		if i < 0 {
			rs.Interfaces = append(rs.Interfaces, Interface{Name: name})
			i = len(rs.Interfaces) - 1
		}
		if rs.Interfaces[i].Name != zone && !slices.Contains(rs.Interfaces[i].Zones, zone) {
			rs.Interfaces[i].Zones = append(rs.Interfaces[i].Zones, zone)
		}
	}
}

// Zone returns nil if the device knows a zone or interface by this name, else an error that lists what it knows.
func (rs *Ruleset) Zone(name string) error {
	if len(rs.places(name)) > 0 {
		return nil
	}
	var known []string
	for _, f := range rs.Interfaces {
		known = append(known, f.Name)
		known = append(known, f.Zones...)
	}
	slices.Sort(known)
	if known = slices.Compact(known); len(known) == 0 {
		return fmt.Errorf("%s: no zone or interface %q: the export names none, so the configuration must (rules: zones)", rs.Device, name)
	}
	return fmt.Errorf("%s: no zone or interface %q: there are %s", rs.Device, name, strings.Join(known, ", "))
}

// places are the interfaces that a name stands for.
func (rs *Ruleset) places(name string) (out places) {
	if name == "" {
		return nil
	}
	for _, f := range rs.Interfaces {
		if f.Name == name || slices.Contains(f.Zones, name) {
			out = append(out, f.names())
		}
	}
	return out
}

func (f *Interface) names() []string { return append([]string{f.Name}, f.Zones...) }

// own lists the device's addresses, and whether any is known.
func (rs *Ruleset) own() (own []Range, known bool) {
	for _, a := range rs.Own {
		own = append(own, One(a))
	}
	for i := range rs.Interfaces {
		for _, p := range rs.Interfaces[i].Addrs {
			own = append(own, One(p.Addr()))
		}
	}
	return own, len(own) > 0
}

// owns says whether addresses are the device's own.
func (rs *Ruleset) owns(r Range) truth {
	own, known := rs.own()
	for _, o := range own {
		if o == r {
			return yes
		}
		if !r.Last.less(o.First) && !o.Last.less(r.First) {
			return maybe
		}
	}
	if !known {
		return maybe
	}
	return no
}

// addressOf is the address of an interface, in a family; the whole family, where it is not known.
func (rs *Ruleset) addressOf(at places, all Range) []Range {
	var out []Range
	for _, names := range at {
		for i := range rs.Interfaces {
			if rs.Interfaces[i].Name != names[0] {
				continue
			}
			for _, p := range rs.Interfaces[i].Addrs {
				if r := One(p.Addr()); family(r) == all && !p.Addr().IsLinkLocalUnicast() {
					out = append(out, r)
				}
			}
		}
	}
	if len(at) == 1 && len(out) == 1 {
		return out
	}
	return []Range{all}
}

// route tells where a connection goes: to the device itself, or by which interfaces. Where no route tells, it is the
// only place that it did not come from, or unknown.
func (rs *Ruleset) route(c *connection) {
	c.local = rs.owns(c.now.Dst)
	if c.local == yes {
		return
	}
	var best *Route
	for i := range rs.Routes {
		r := PrefixRange(rs.Routes[i].Prefix)
		if r.holds(c.now.Dst.First) && r.holds(c.now.Dst.Last) && (best == nil || rs.Routes[i].Prefix.Bits() > best.Prefix.Bits()) &&
			family(r) == family(c.now.Dst) {
			best = &rs.Routes[i]
		}
	}
	if best != nil {
		if c.now.Dst.First == c.now.Dst.Last && c.local == maybe {
			c.local = no
		}
		c.out = rs.places(best.Out)
		return
	}
	c.out = rs.others(c.in)
}

// others are the interfaces that a packet may leave by if it came in by some.
func (rs *Ruleset) others(in places) (out places) {
	for i := range rs.Interfaces {
		names := rs.Interfaces[i].names()
		if !slices.ContainsFunc(in, func(in []string) bool { return in[0] == names[0] }) {
			out = append(out, names)
		}
	}
	return out
}

// Connected adds a route for each network that an interface has an address in.
func (rs *Ruleset) Connected() {
	for _, f := range rs.Interfaces {
		for _, p := range f.Addrs {
			rs.Routes = append(rs.Routes, Route{Prefix: netip.PrefixFrom(p.Addr(), p.Bits()).Masked(), Out: f.Name})
		}
	}
}
