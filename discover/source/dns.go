package source

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"relaysweep/discover/names"
)

// DefaultMost bounds the questions that one source may lead to.
const DefaultMost = 1 << 16

// errMost stops a source that leads to too many questions.
var errMost = errors.New("all questions are used up")

// ask asks the resolver what a name, a domain or a zone holds.
func (f *Finder) ask(ctx context.Context, q Query, c *collector) error {
	if f.Resolver == "" {
		return errors.New("no resolver is set")
	}
	most := f.Most
	if most == 0 {
		most = DefaultMost
	}
	asked, silent := 0, ""
	r := names.Resolver{
		Server: f.Resolver, Tries: 2,
		Before: func(ctx context.Context) error {
			if asked++; asked > most {
				return errMost
			}
			if f.Wait != nil {
				return f.Wait(ctx)
			}
			return ctx.Err()
		},
		Failed: func(question string, err error) {
			silent = question
			// What a domain leads to is bounded by its resolver: this list is short.
			c.leave(question, q.String(), "no answer: "+err.Error())
		},
	}
	var err error
	switch q.Kind {
	case "dns":
		err = c.hosts(r.Addrs(ctx, q.Where), q.String())
	case "mx":
		for _, mx := range r.Exchangers(ctx, q.Where) {
			by := q.String()
			if mx.Host != q.Where {
				by += " -> " + mx.Host
			}
			if err = c.hosts(r.Addrs(ctx, mx.Host), by); err != nil {
				break
			}
		}
	case "spf":
		err = c.spf(ctx, r, q)
	case "ptr":
		zone, _ := parseZone(q.Where) // checked by Parse
		w := &walk{ctx: ctx, r: r, c: c, by: q.String(), most: most}
		err = w.run(zone)
	}
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case silent != "" && len(c.found.Named) == 0:
		return fmt.Errorf("the resolver %s gives no answer to %s", f.Resolver, silent)
	}
	return nil
}

func (c *collector) hosts(addrs []netip.Addr, by string) error {
	for _, a := range addrs {
		if err := c.host(a, by); err != nil {
			return err
		}
	}
	return nil
}

// spf takes the networks that may send mail of a domain.
func (c *collector) spf(ctx context.Context, r names.Resolver, q Query) error {
	s, err := r.SPF(ctx, q.Where)
	if err != nil {
		if err := c.leave(q.Where, q.String(), err.Error()); err != nil {
			return err
		}
	}
	for _, p := range s.Networks() {
		if err := c.add(p, q.String()); err != nil {
			return err
		}
	}
	return nil
}

// Bounds of the walk of a reverse tree.
const (
	nibbles     = 32 // of an IPv6 address
	minZone     = 4  // nibbles of the shortest zone, a /16
	maxSilence  = 8  // questions without an answer, one after the other, before the walk stops
	wildSamples = 3  // names made up, to know a wildcard
	wildNear    = 16 // the same near the leaves, where one in eight or so may be a host's
)

// node is a place in the tree of ip6.arpa: the first n nibbles of an address.
type node struct {
	nibble [nibbles]byte
	n      int
}

func (d node) child(v byte) node {
	d.nibble[d.n] = v
	d.n++
	return d
}

// name is the node's name: its nibbles, the last first (RFC 3596 2.5).
func (d node) name() string {
	var b strings.Builder
	for i := d.n - 1; i >= 0; i-- {
		b.WriteString(strconv.FormatUint(uint64(d.nibble[i]), 16))
		b.WriteByte('.')
	}
	b.WriteString("ip6.arpa")
	return b.String()
}

func (d node) prefix() netip.Prefix {
	var a [16]byte
	for i := range d.n {
		a[i/2] |= d.nibble[i] << (4 * (1 - i%2))
	}
	return netip.PrefixFrom(netip.AddrFrom16(a), 4*d.n)
}

// parseZone reads a zone of ip6.arpa: its name, or its prefix.
func parseZone(s string) (node, error) {
	var d node
	if p, err := netip.ParsePrefix(s); err == nil {
		if !p.Addr().Is6() || p.Addr().Is4In6() {
			return d, errors.New("IPv4 needs no walk: name the CIDR as a target")
		}
		if p.Bits()%4 != 0 || p.Masked() != p {
			return d, errors.New("a zone ends at a nibble: write it like 2001:db8::/48, with a length that four divides and no bits behind it")
		}
		a := p.Addr().As16()
		for i := range p.Bits() / 4 {
			d = d.child(a[i/2] >> (4 * (1 - i%2)) & 15)
		}
	} else {
		labels, ok := strings.CutSuffix(strings.ToLower(strings.TrimSuffix(s, ".")), ".ip6.arpa")
		list := strings.Split(labels, ".")
		if !ok || len(list) > nibbles {
			return d, errors.New("not a zone of ip6.arpa: write it like 8.b.d.0.1.0.0.2.ip6.arpa or 2001:db8::/32")
		}
		for _, l := range slices.Backward(list) {
			v, err := strconv.ParseUint(l, 16, 4)
			if err != nil || len(l) != 1 {
				return d, errors.New("not a zone of ip6.arpa: write it like 8.b.d.0.1.0.0.2.ip6.arpa or 2001:db8::/32")
			}
			d = d.child(byte(v))
		}
	}
	if d.n < minZone || d.n == nibbles {
		return d, fmt.Errorf("name a zone of your own, from a /%d to a /%d", 4*minZone, 4*(nibbles-1))
	}
	return d, nil
}

// walk goes through the tree of a reverse zone: what does not exist has nothing below it (RFC 8020), what exists without
// records has. That finds the hosts of a zone that could not be enumerated in a lifetime.
type walk struct {
	ctx    context.Context
	r      names.Resolver
	c      *collector
	by     string
	most   int
	silent int // questions without an answer, one after the other
}

func (w *walk) run(zone node) error {
	_, exists, err := w.r.Node(w.ctx, zone.name())
	switch {
	case err != nil:
		return fmt.Errorf("%s: no answer: %w", zone.name(), err)
	case !exists:
		return w.leave(zone, "the zone does not exist")
	}
	err = w.below(zone)
	if errors.Is(err, errMost) {
		return w.leave(zone, fmt.Sprintf("%d questions are used up: the walk is not complete", w.most))
	}
	if errors.Is(err, errSilent) {
		return w.leave(zone, fmt.Sprintf("the resolver gave no answer %d times running: the walk is not complete", maxSilence))
	}
	return err
}

var errSilent = errors.New("no answers")

func (w *walk) leave(d node, why string) error { return w.c.leave(d.prefix().String(), w.by, why) }

// look asks for one node. Where there is no answer what lies below is left out.
func (w *walk) look(d node) (ptr []string, exists bool, err error) {
	ptr, exists, err = w.r.Node(w.ctx, d.name())
	switch {
	case err == nil:
		w.silent = 0
		return ptr, exists, nil
	case errors.Is(err, errMost) || w.ctx.Err() != nil:
		return nil, false, err
	}
	if w.silent++; w.silent == maxSilence {
		return nil, false, errSilent
	}
	return nil, false, w.leave(d, "no answer: "+err.Error())
}

func (w *walk) below(d node) error {
	var children []node
	for v := range byte(16) {
		child := d.child(v)
		ptr, exists, err := w.look(child)
		if err != nil {
			return err
		}
		if exists {
			children = append(children, child)
		}
		if child.n == nibbles && len(ptr) > 0 {
			if err := w.host(child, ptr); err != nil {
				return err
			}
		}
	}
	if d.n+1 == nibbles {
		return nil
	}
	switch len(children) {
	case 0:
		return w.empty(d)
	case 16:
		if wild, err := w.wild(d); err != nil {
			return err
		} else if wild {
			return w.leave(d, "every name exists (a wildcard, or names made by machine): nothing can be told of it")
		}
	}
	for _, child := range children {
		if err := w.below(child); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) host(d node, ptr []string) error {
	by := w.by
	if i := slices.IndexFunc(ptr, names.HostName); i >= 0 {
		by += " -> " + strings.ToLower(ptr[i])
	}
	return w.c.add(d.prefix(), by)
}

// wild reports whether names that were made up exist below a node. Near the leaves, where a name that is made up may be
// a host's, they must all point to the same name, or to none.
func (w *walk) wild(d node) (bool, error) {
	var first []string
	near := nibbles-d.n < 5
	samples := wildSamples
	if near {
		samples = wildNear
	}
	for i := range samples {
		host := d
		for host.n < nibbles {
			host = host.child(byte(rand.N(16)))
		}
		ptr, exists, err := w.look(host)
		if err != nil || !exists {
			return false, err
		}
		if i == 0 {
			first = ptr
		}
		if near && !slices.Equal(ptr, first) {
			return false, nil
		}
	}
	return true, nil
}

// guesses are the last digits that hosts often have.
var guesses = []uint32{1, 2, 3, 0x10, 0x25, 0x53, 0x19}

// empty looks at a node that exists with nothing below it. The apex of an empty zone is one; but some servers deny names
// that have no records of their own and others below them, and their zones cannot be walked. Hosts that are guessed tell.
func (w *walk) empty(d node) error {
	found := 0
	for subnet := range byte(2) {
		if subnet > 0 && d.n > 15 {
			break
		}
		for _, g := range guesses {
			host := d
			for host.n < nibbles {
				v := byte(0)
				if at := nibbles - 1 - host.n; at < 8 {
					v = byte(g >> (4 * at) & 15)
				} else if host.n == 15 {
					v = subnet
				}
				host = host.child(v)
			}
			ptr, _, err := w.look(host)
			if err != nil {
				return err
			}
			if len(ptr) > 0 {
				found++
				if err := w.host(host, ptr); err != nil {
					return err
				}
			}
		}
	}
	if found > 0 {
		return w.leave(d, fmt.Sprintf("the server denies names that have others below them (against RFC 8020): it cannot be walked; %d hosts were guessed", found))
	}
	return w.leave(d, "it exists with nothing below it: empty, or its server denies names that have others below them")
}
