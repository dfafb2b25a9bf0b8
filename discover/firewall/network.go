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

// owns says whether addresses are the device's own.
func (rs *Ruleset) owns(r Range) truth {
	known := len(rs.Own) > 0
	own := make([]Range, 0, 8)
	for _, a := range rs.Own {
		own = append(own, One(a))
	}
	for i := range rs.Interfaces {
		for _, p := range rs.Interfaces[i].Addrs {
			own = append(own, One(p.Addr()))
			known = true
		}
	}
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
	best := rs.best(c.now.Dst)
	if best != nil {
		if c.now.Dst.First == c.now.Dst.Last && c.local == maybe {
			c.local = no
		}
		c.out = rs.places(best.Out)
		c.elsewhere = samePlaces(c.out, c.in)
		return
	}
	c.elsewhere = len(rs.Routes) > 0
	c.out = nil
	for i := range rs.Interfaces {
		names := rs.Interfaces[i].names()
		if !slices.ContainsFunc(c.in, func(in []string) bool { return in[0] == names[0] }) {
			c.out = append(c.out, names)
		}
	}
}

// samePlaces reports whether packets leave by where they came in.
func samePlaces(out, in places) bool {
	if len(out) == 0 || len(out) != len(in) {
		return false
	}
	for i := range out {
		if out[i][0] != in[i][0] {
			return false
		}
	}
	return true
}

// best is the route of a destination; nil: none tells.
func (rs *Ruleset) best(dst Range) (best *Route) {
	for i := range rs.Routes {
		r := PrefixRange(rs.Routes[i].Prefix)
		if r.holds(dst.First) && r.holds(dst.Last) && (best == nil || rs.Routes[i].Prefix.Bits() > best.Prefix.Bits()) &&
			family(r) == family(dst) {
			best = &rs.Routes[i]
		}
	}
	return best
}

// behind is the interface that has an address, or that a route leads to it by; none: it is not known.
func (rs *Ruleset) behind(dst Range) places {
	for i := range rs.Interfaces {
		for _, p := range rs.Interfaces[i].Addrs {
			if One(p.Addr()) == dst {
				return places{rs.Interfaces[i].names()}
			}
		}
	}
	if best := rs.best(dst); best != nil {
		return rs.places(best.Out)
	}
	return nil
}

// Connected adds a route for each network that an interface has an address in.
func (rs *Ruleset) Connected() {
	for _, f := range rs.Interfaces {
		for _, p := range f.Addrs {
			rs.Routes = append(rs.Routes, Route{Prefix: netip.PrefixFrom(p.Addr(), p.Bits()).Masked(), Out: f.Name})
		}
	}
}
