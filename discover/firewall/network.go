package firewall

import (
	"fmt"
	"iter"
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

// own lists the addresses of the device.
func (rs *Ruleset) own() (out []Range) {
	for _, a := range rs.Own {
		out = append(out, One(a))
	}
	for i := range rs.Interfaces {
		for _, p := range rs.Interfaces[i].Addrs {
			out = append(out, One(p.Addr()))
		}
	}
	return out
}

// owns says whether addresses are the device's own.
func (d *Decider) owns(r Range) truth {
	for _, o := range d.own {
		if o == r {
			return yes
		}
		if !r.Last.less(o.First) && !o.Last.less(r.First) {
			return maybe
		}
	}
	if len(d.own) == 0 {
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
// only place that it did not come from, or unknown; with Others there is always another.
func (d *Decider) route(c *connection) {
	c.local = d.owns(c.now.Dst)
	if c.local == yes {
		return
	}
	if best := d.best(c.now.Dst); best != nil {
		if c.now.Dst.First == c.now.Dst.Last && c.local == maybe {
			c.local = no
		}
		c.out = d.leads(best, c.now.Dst)
		c.elsewhere = samePlaces(c.out, c.in)
		c.carries = !c.elsewhere
		return
	}
	c.elsewhere = len(d.routes) > 0
	c.out = nil
	for i := range d.rs.Interfaces {
		names := d.rs.Interfaces[i].names()
		if !slices.ContainsFunc(c.in, func(in []string) bool { return in[0] == names[0] }) {
			c.out = append(c.out, names)
		}
	}
	if d.rs.Others {
		c.out = append(c.out, []string{"another interface"})
	}
}

// leads are the interfaces that the best route of addresses leads to, and those that parts of them may lie behind.
func (d *Decider) leads(best *way, dst Range) places {
	out := d.places(best.out)
	if dst.First == dst.Last || len(out) == 0 {
		return out
	}
	for i := range d.routes {
		if &d.routes[i] == best {
			break
		}
		if r := d.routes[i].to; !r.Last.less(dst.First) && !dst.Last.less(r.First) {
			part := d.places(d.routes[i].out)
			if len(part) == 0 {
				return nil
			}
			out = append(slices.Clip(out), part...)
		}
	}
	return out
}

// behind are the interfaces that have an address, or that a route leads to it by; none: it is not known.
func (d *Decider) behind(dst Range) places {
	var own places
	for i := range d.rs.Interfaces {
		for _, p := range d.rs.Interfaces[i].Addrs {
			switch o := One(p.Addr()); {
			case o == dst:
				return places{d.rs.Interfaces[i].names()}
			case !dst.Last.less(o.First) && !o.Last.less(dst.First):
				own = append(own, d.rs.Interfaces[i].names())
			}
		}
	}
	best := d.best(dst)
	if best == nil {
		return nil
	}
	out := d.leads(best, dst)
	if len(out) == 0 {
		return nil
	}
	return append(own, out...)
}

// best is the route of a destination, if one is told.
func (d *Decider) best(dst Range) *way {
	for i := range d.routes {
		if r := d.routes[i].to; r.holds(dst.First) && r.holds(dst.Last) && family(r) == family(dst) {
			return &d.routes[i]
		}
	}
	return nil
}

// places are the interfaces that a name stands for.
func (d *Decider) places(name string) places {
	p, ok := d.names[name]
	if !ok {
		p = d.rs.places(name)
		d.names[name] = p
	}
	return p
}

// answers are the interfaces that an answer of the device leaves by, to a client whose address is translated: it is
// routed before that is undone.
func (d *Decider) answers(dst Range) places {
	if d.owns(dst) == yes {
		return places{{"lo"}}
	}
	if best := d.best(dst); best != nil && d.owns(dst) == no {
		return d.places(best.out)
	}
	return nil
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

// Connected adds a route for each network that an interface has an address in.
func (rs *Ruleset) Connected() {
	for _, f := range rs.Interfaces {
		for _, p := range f.Addrs {
			rs.Routes = append(rs.Routes, Route{Prefix: netip.PrefixFrom(p.Addr(), p.Bits()).Masked(), Out: f.Name})
		}
	}
}

// Lines are the rules of all chains, each once: what is asked at two places, or becomes several, stands in the model more
// than once, and is one line of the export.
func (rs *Ruleset) Lines() iter.Seq[*Rule] {
	type line struct {
		id    string
		where Place
	}
	return func(yield func(*Rule) bool) {
		seen := make(map[line]bool)
		for _, name := range sortedNames(rs.Chains) {
			for _, r := range rs.Chains[name].Rules {
				if l := (line{r.ID, r.Where}); !seen[l] {
					seen[l] = true
					if !yield(r) {
						return
					}
				}
			}
		}
	}
}
