package firewall

import (
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pfNested bounds the members that aliases have by aliases in them: one can name others, and these others again.
const (
	pfNested = 1 << 19
	pfDeep   = 64 // aliases in aliases
)

func (p *pf) readAliases() {
	for _, e := range p.root.kid("aliases").all("alias") {
		a := &pfAlias{kind: e.of("type"), entries: strings.Fields(e.of("address"))}
		p.aliases[e.of("name")] = a
	}
	for _, e := range p.root.kid("OPNsense", "Firewall", "Alias", "aliases").all("alias") {
		a := &pfAlias{kind: e.of("type"), entries: strings.Fields(e.of("content"))}
		if e.of("enabled") == "0" { // pf gets a table without entries
			a.entries = nil
			if a.kind != "port" {
				a.kind = "network"
			}
		}
		p.aliases[e.of("name")] = a
	}
	delete(p.aliases, "")
}

// resolve is what an alias holds. One that is asked for while it is resolved is in a circle: it adds nothing, as in the
// generators.
func (p *pf) resolve(name string, a *pfAlias, ports bool) pfSet {
	if a.got != nil {
		return *a.got
	}
	if a.busy {
		return pfSet{}
	}
	if p.depth > pfDeep {
		return pfSet{word: "alias " + name + " is nested too deep"}
	}
	a.busy = true
	p.depth++
	defer func() { a.busy, p.depth = false, p.depth-1 }()
	s := pfSet{object: name}
	switch a.kind {
	case "host", "network", "networkgroup", "port", "":
	case "url", "url_ports": // pfSense keeps in the configuration what it fetched
		if p.opn {
			s.word = "alias " + name + " (" + a.kind + ")"
		}
	case "geoip", "asn", "mac":
		s.word = "alias " + name + " (" + a.kind + " " + pfFew(a.entries) + ")"
	default: // filled from elsewhere: urltable, external, … An address that it is fetched from may hold a key
		s.word = "alias " + name + " (" + a.kind + ")"
	}
	if s.word != "" {
		a.got = &s
		return s
	}
	type entry struct {
		Range
		not bool
	}
	var own []told
	var list []entry
	var words []string
	negated := slices.ContainsFunc(a.entries, func(s string) bool { return strings.HasPrefix(s, "!") })
	nested := make(map[string]bool)
	for i, text := range a.entries {
		if nested[text] || i > 0 && text == a.entries[i-1] {
			continue
		}
		not := strings.HasPrefix(text, "!")
		text = strings.TrimPrefix(text, "!")
		if ports {
			if r, ok := pfPorts(text); ok {
				list = append(list, entry{r, not})
				own = append(own, told{r, member{name, text}})
				continue
			}
		} else if r, err := ParseAddrs(text); err == nil {
			list = append(list, entry{r, not})
			own = append(own, told{r, member{name, text}})
			continue
		}
		var sub pfSet
		if b := p.aliases[text]; b != nil {
			nested[text] = !negated // named again, it adds nothing
			sub = p.resolve(text, b, ports)
			p.inner[text] = true
		} else if key, ok := strings.CutPrefix(text, "__"); ok && strings.HasSuffix(key, "_network") {
			sub = p.address(strings.TrimSuffix(key, "_network"))
		} else {
			sub.word = text // a host name, or a mask that is no prefix
		}
		if p.nested += len(sub.ranges); p.nested > pfNested {
			s = pfSet{object: name, word: "alias " + name + " with too many members"}
			a.got = &s
			return s
		}
		for _, r := range sub.ranges {
			list = append(list, entry{r, not})
			own = append(own, told{Range: r}) // what it holds too cannot be dropped
		}
		if sub.word != "" && len(words) < 4 {
			words = append(words, sub.word)
		}
		for f, w := range sub.only {
			if s.only == nil {
				s.only = make(map[uint16]string)
			}
			s.only[f] = w
		}
	}
	// The most specific entry of a pf table decides (pf.conf, "Tables").
	if negated {
		slices.SortStableFunc(list, func(a, b entry) int {
			return b.Last.minus(b.First).Compare(a.Last.minus(a.First))
		})
		for len(list) > 0 {
			n := 0
			var same []Range // one after the other, alike
			for ; n < len(list) && list[n].not == list[0].not; n++ {
				same = append(same, list[n].Range)
			}
			if list[0].not {
				s.ranges = Without(s.ranges, Merge(same))
			} else {
				s.ranges = Merge(append(s.ranges, same...))
			}
			list = list[n:]
			if p.nested += len(s.ranges); p.nested > pfNested {
				s = pfSet{object: name, word: "alias " + name + " with too many exceptions"}
				a.got = &s
				return s
			}
		}
	} else {
		for _, e := range list {
			s.ranges = append(s.ranges, e.Range)
		}
		s.ranges = Merge(s.ranges)
	}
	if !negated && !strings.HasPrefix(a.kind, "url") {
		p.rs.tell(name, own)
		maps.DeleteFunc(p.rs.members[name], func(_ Range, m member) bool { return m.name == "" })
	}
	if len(words) > 0 {
		s.word = "alias " + name + " with " + strings.Join(words, " ")
	}
	a.got = &s
	return s
}

// pfFew shows the first of many entries.
func pfFew(list []string) string {
	if len(list) > 6 {
		list = append(slices.Clone(list[:6]), "…")
	}
	return strings.Join(list, " ")
}

// address is what a rule's word for addresses stands for.
func (p *pf) address(text string) pfSet {
	switch text {
	case "", "any":
		return pfSet{any: true}
	case "(self)":
		return p.self()
	case "bogons":
		return pfSet{ranges: pfBogons4, object: text}
	case "bogonsv6":
		return pfSet{ranges: pfBogons6, object: text}
	}
	if len(text) > 2 && strings.HasPrefix(text, "::") && !strings.Contains(text, "/") && !p.opn {
		return pfSet{word: text + " in the delegated prefix"} // a host part
	}
	if r, err := ParseAddrs(text); err == nil {
		return pfSet{ranges: []Range{r}}
	}
	if a := p.aliases[text]; a != nil {
		return p.resolve(text, a, false)
	}
	if key, ok := strings.CutPrefix(text, "__"); ok && strings.HasSuffix(key, "_network") {
		text = strings.TrimSuffix(key, "_network")
	}
	if i := p.find(text); i != nil {
		return p.network(i, text)
	}
	if i := p.find(strings.TrimSuffix(text, "ip")); i != nil {
		return p.addressOf(i, text)
	}
	for _, g := range p.groups {
		if g.name == text {
			var s pfSet
			for _, m := range g.members {
				if i := p.find(m); i != nil {
					n := p.network(i, m)
					s.ranges = append(s.ranges, n.ranges...)
					for f, w := range n.only {
						s.only = pfJoin(s.only, f, w)
					}
				}
			}
			s.ranges = Merge(s.ranges)
			return s
		}
	}
	return pfSet{word: text + ", which is not in the export"}
}

func pfJoin(only map[uint16]string, family uint16, word string) map[uint16]string {
	if only == nil {
		only = make(map[uint16]string)
	}
	if only[family] != "" {
		word = only[family] + ", " + word
	}
	only[family] = word
	return only
}

// network is what is called "WAN net": the networks of the interface's addresses, and those of its VIPs.
func (p *pf) network(i *pfInterface, text string) pfSet {
	s := p.unknown(i, text+" net")
	for _, a := range i.addrs {
		s.ranges = append(s.ranges, PrefixRange(a))
	}
	for _, v := range p.vips {
		if v.on == i.key && (v.own || !p.opn) {
			s.ranges = append(s.ranges, PrefixRange(v.addr))
		}
	}
	if p.opn { // the link-local network is added to a network of IPv6
		s.ranges = append(s.ranges, PrefixRange(netip.MustParsePrefix("fe80::/10")))
	}
	return p.sorted(s)
}

// addressOf is what is called "WAN address": of pfSense the one address, of OPNsense the VIPs too.
func (p *pf) addressOf(i *pfInterface, text string) pfSet {
	s := p.unknown(i, text)
	for _, a := range i.addrs {
		s.ranges = append(s.ranges, One(a.Addr()))
	}
	for _, v := range p.vips {
		if p.opn && v.on == i.key && v.own {
			s.ranges = append(s.ranges, One(v.addr.Addr()))
		}
	}
	return p.sorted(s)
}

func (p *pf) unknown(i *pfInterface, text string) (s pfSet) {
	for f, how := range i.unknown {
		s.only = pfJoin(s.only, f, text+" ("+how+")")
	}
	return s
}

// sorted ends the set of an interface. pfSense leaves out rules for which it has no address.
func (p *pf) sorted(s pfSet) pfSet {
	s.ranges = Merge(s.ranges)
	if p.opn {
		return s
	}
	s.dead = make(map[uint16]bool)
	for _, f := range []uint16{4, 6} {
		s.dead[f] = s.only[f] == "" && !slices.ContainsFunc(s.ranges, func(r Range) bool { return pfInFamily(r, f) })
	}
	return s
}

func pfInFamily(r Range, f uint16) bool {
	v4 := AllIPv4()
	return (v4.holds(r.First) && v4.holds(r.Last)) == (f == 4)
}

func (p *pf) self() (s pfSet) {
	for _, a := range p.rs.Own {
		s.ranges = append(s.ranges, One(a))
	}
	for _, i := range p.interfaces {
		for _, a := range i.addrs {
			s.ranges = append(s.ranges, One(a.Addr()))
		}
		for f, how := range i.unknown {
			s.only = pfJoin(s.only, f, i.key+" address ("+how+")")
		}
	}
	s.ranges = Merge(s.ranges)
	return s
}

// pfBogons4 and pfBogons6 are the special addresses that nobody has (RFC 6890; multicast; class E). The lists of both
// products leave the private ones out, and have more: what no registry has given to anyone yet. Nobody connects from
// there, so that part of the lists opens and closes nothing.
var (
	pfBogons4     = pfRanges("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3")
	pfBogons6     = pfRanges("::/8", "100::/8", "2001:db8::/32", "ff00::/8")
	pfPrivateNets = pfRanges("10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)

func pfRanges(prefixes ...string) (out []Range) {
	for _, s := range prefixes {
		out = append(out, PrefixRange(netip.MustParsePrefix(s)))
	}
	return Merge(out)
}

// pfServices are names of ports that matter here; both products know more of them.
var pfServices = map[string]uint16{
	"ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "http": 80, "pop3": 110, "nntp": 119, "imap": 143, "https": 443,
	"smtps": 465, "submissions": 465, "urd": 465, "igmpv3lite": 465, "submission": 587, "imaps": 993, "pop3s": 995, "ms-wbt-server": 3389,
}

// pfPorts reads a port, its name, or a range: 25, smtp, 25-30, 25:30, 1024:any.
func pfPorts(text string) (Range, bool) {
	one := func(s string, any uint16) (uint16, bool) {
		if s == "any" {
			return any, true
		}
		if n, ok := pfServices[strings.ToLower(s)]; ok {
			return n, true
		}
		n, err := strconv.ParseUint(s, 10, 16)
		return uint16(n), err == nil
	}
	if n, ok := one(text, 0); ok && text != "any" {
		return Ports(n, n), true
	}
	from, to, ok := strings.Cut(strings.Replace(text, "-", ":", 1), ":")
	if !ok {
		return Range{}, false
	}
	a, ok := one(from, 1)
	b, ok2 := one(to, 65535)
	return Ports(a, b), ok && ok2 && a <= b
}

func (p *pf) ports(text string) pfSet {
	if text == "" || text == "any" {
		return pfSet{any: true}
	}
	if a := p.aliases[text]; a != nil {
		return p.resolve(text, a, true)
	}
	if r, ok := pfPorts(text); ok {
		return pfSet{ranges: []Range{r}}
	}
	return pfSet{word: "port " + text + ", which is not in the export"}
}

// --- terms

// pfSide is the source or the destination of a rule.
type pfSide struct {
	names []string
	not   bool
	port  string
}

// side reads <source> or <destination>.
func (p *pf) side(e *pfElement) pfSide {
	s := pfSide{not: p.on(e, "not"), port: e.of("port")}
	switch {
	case e == nil || e.has("any"):
		s.names = []string{"any"}
	default:
		s.names = []string{first(e.of("network"), e.of("address"), e.of("subnet"), "any")}
	}
	return s
}

func (s pfSide) String() string {
	t := strings.Join(s.names, ",")
	if s.not {
		t = "! " + t
	}
	if s.port != "" && s.port != "any" {
		t += " port " + s.port
	}
	return t
}

// terms are the conditions on one side. Each of several names makes a pf rule of its own: of names that are negated any
// may be the one that does not hold.
func (p *pf) terms(side pfSide, addr, port Field, family uint16, withPort bool) (m Match) {
	var each []Match
	var whole pfSet
	for _, name := range side.names {
		s := p.address(strings.TrimSpace(name))
		if s.any {
			whole, each = pfSet{any: true}, nil
			break
		}
		each = append(each, p.term(s, addr, family, side.not))
		whole = s
	}
	switch {
	case whole.any || len(each) == 0: // "not any" is any: no sign is put before it
	case len(each) == 1:
		m = append(m, each[0]...)
	default:
		m = append(m, Term{Field: AnyOf, Any: each})
	}
	if withPort {
		if s := p.ports(side.port); !s.any {
			m = append(m, Term{Field: port, Ranges: s.ranges, Word: s.word, Object: s.object})
		}
	}
	return m
}

// term is the condition that a set makes. What is not known of one family leaves the other as it is.
func (p *pf) term(s pfSet, field Field, family uint16, not bool) Match {
	of := func(f uint16) Term {
		t := Term{Field: field, Not: not, Ranges: s.ranges, Word: s.word, Object: s.object}
		if w := s.only[f]; w != "" { // an address that is given by others lies in none of the networks that are set
			t.Not = false
			t = Term{Field: AnyOf, Not: not, Any: []Match{{t}, {{Field: field, Not: true, Ranges: p.networks()}, {Field: Unmodelled, Word: w}}}}
		}
		if s.dead[f] {
			t = pfNever()
		}
		return t
	}
	if family != 0 || len(s.only) == 0 && !s.dead[4] && !s.dead[6] {
		return Match{of(family)}
	}
	return Match{{Field: AnyOf, Any: []Match{{pfFamilyTerm(4), of(4)}, {pfFamilyTerm(6), of(6)}}}}
}

// networks are those that interfaces have by their configuration.
func (p *pf) networks() (out []Range) {
	for _, i := range p.interfaces {
		for _, a := range i.addrs {
			out = append(out, PrefixRange(a))
		}
	}
	return Merge(out)
}

// pfNever is a condition that does not hold for a first packet.
func pfNever() Term { return Term{Field: Phase, Bits: Later} }

func pfFamilyTerm(f uint16) Term { return Term{Field: Family, Ranges: []Range{Single(Number(f))}} }

var pfProtocols = map[string]uint16{
	"icmp": 1, "igmp": 2, "ipencap": 4, "tcp": 6, "egp": 8, "udp": 17, "ipv6": 41, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "icmp6": 58,
	"ipv6-icmp": 58, "ospf": 89, "etherip": 97, "pim": 103, "vrrp": 112, "carp": 112, "l2tp": 115, "sctp": 132, "pfsync": 240,
}

// protocol is the condition on the protocol, and whether the rule is for one that has ports.
func pfProtocol(text string, family uint16) (m Match, ports bool) {
	text = strings.ToLower(text)
	switch text {
	case "", "any":
		return nil, false
	case "tcp/udp":
		return Match{{Field: Proto, Ranges: []Range{Single(Number(6)), Single(Number(17))}}}, true
	}
	n, ok := pfProtocols[text]
	if v, err := strconv.ParseUint(text, 10, 8); err == nil {
		n, ok = uint16(v), true
	}
	if !ok {
		return Match{{Field: Proto, Word: "protocol " + text}}, false
	}
	if n == 1 && family == 6 {
		n = 58
	}
	return Match{{Field: Proto, Ranges: []Range{Single(Number(n))}}}, n == 6 || n == 17
}

// of reads ipprotocol; 0 is both.
func (p *pf) family(text string) (uint16, Match) {
	switch text {
	case "inet":
		return 4, Match{pfFamilyTerm(4)}
	case "inet6":
		return 6, Match{pfFamilyTerm(6)}
	case "inet46":
		return 0, nil
	}
	if p.opn {
		return 0, nil
	}
	return 4, Match{pfFamilyTerm(4)}
}

// pfChange reads <created> and <updated>.
func pfChange(e *pfElement) Change {
	c := Change{By: clean(e.of("username"), 100)}
	if s, err := strconv.ParseFloat(e.of("time"), 64); err == nil && s > 0 && s < math.MaxInt32 {
		c.Time = time.Unix(int64(s), 0).UTC()
	}
	return c
}
