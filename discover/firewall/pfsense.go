package firewall

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pfSense and OPNsense write pf rules from their config.xml. What is said here of the order and the meaning of these
// rules is from "Firewall Rule Processing Order", "Floating Rules", "Port Forwards" and "Outbound NAT" of the Netgate
// documentation, "Firewall: Rules, processing order" of the OPNsense documentation, and from the generators themselves:
// filter.inc of pfSense; filter.lib.inc, pf.inc and the Firewall library of OPNsense.
//
//	rdr ─► binat ─► rules in ─► routing ─► binat ─► nat ─► rules out
//
// The rules in are one list: those of the product, floating rules, rules of interface groups, rules of interfaces. All
// are quick but the default (block, the first of the list, so the policy here) and floating rules that are not said to
// be. Rules see the destination behind rdr and binat; rules out also see the source behind nat. Passing makes a state,
// which is asked for later packets; one that is made on the way in does not let the packet out of the other side
// (pf.conf, "Stateful filtering"), but by default everything may go out.
var (
	pfsense = language{
		name: "pfsense", export: pfsenseExport,
		is: func(start []byte) bool {
			return firstTag(start) == "pfsense" || strings.HasPrefix(string(start), "---- BEGIN config.xml ----")
		},
		read: func(rs *Ruleset, files []Export) error { return readPF(rs, files, false) },
		edit: func(rs *Ruleset, e Edit) []string { return editPF(e, false) },
	}
	opnsense = language{
		name: "opnsense", export: opnsenseExport,
		is:   func(start []byte) bool { return firstTag(start) == "opnsense" },
		read: func(rs *Ruleset, files []Export) error { return readPF(rs, files, true) },
		edit: func(rs *Ruleset, e Edit) []string { return editPF(e, true) },
	}
)

const (
	pfsenseExport  = "Diagnostics > Backup & Restore: Download configuration as XML, not encrypted"
	opnsenseExport = "System > Configuration > Backups: Download configuration, not encrypted"
)

// Names of chains.
const (
	pfIn    = "rules in"
	pfOut   = "rules out"
	pfRDR   = "port forward"
	pfBinat = "1:1 in"
	pfTanib = "1:1 out"
	pfSNAT  = "outbound"
)

// pf reads one config.xml.
type pf struct {
	rs          *Ruleset
	opn         bool // OPNsense
	file        string
	root        *element
	interfaces  []*pfInterface
	groups      []pfGroup
	vips        []pfVIP
	gateways    map[string]string // interface of a gateway
	aliases     map[string]*pfAlias
	missing     map[string]bool // names that a note tells of
	reflections []*Rule         // of outbound NAT
}

type pfInterface struct {
	key, descr string
	addrs      []netip.Prefix // its own address, not those of VIPs
	unknown    map[uint16]string
	gateway    bool // it has one: then it is a WAN for automatic NAT
	e          *element
}

type pfGroup struct {
	name     string
	members  []string
	sequence int
}

type pfVIP struct {
	on   string
	addr netip.Prefix
	own  bool // the device answers at it, and does not only ARP for it
}

// pfAlias is a named list of addresses, or of ports.
type pfAlias struct {
	kind    string
	entries []string
	got     *pfSet // once it is resolved
	busy    bool
}

// pfSet is what a name stands for.
type pfSet struct {
	any    bool
	ranges []Range
	word   string            // what is not known of it
	only   map[uint16]string // what is not known of it in a family
	object string
	dead   map[uint16]bool // in this family the rule does not come to be
}

func readPF(rs *Ruleset, files []Export, opn bool) error {
	how := pfsenseExport
	if opn {
		how = opnsenseExport
	}
	if len(files) > 1 {
		return fmt.Errorf("%s:1: is a second config.xml of one device; name one", files[1].Name)
	}
	f := files[0]
	if strings.HasPrefix(string(f.Data), "---- BEGIN config.xml ----") {
		return fmt.Errorf("%s:1: the configuration is encrypted; %s", f.Name, how)
	}
	root, line, err := readXML(f.Data)
	if root == nil {
		return fmt.Errorf("%s:%d: is not XML to its end: %v; %s", f.Name, line, err, how)
	}
	p := &pf{rs: rs, opn: opn, file: f.Name, root: root, gateways: make(map[string]string), aliases: make(map[string]*pfAlias), missing: make(map[string]bool)}
	p.readInterfaces()
	p.readAliases()
	p.readRoutes()
	p.chain(pfIn, root.kid("filter")).Policy = Drop
	rs.Chains[pfIn].PolicyText = "default deny rule"
	if root.kid("system").has("disablefilter") {
		rs.Chains[pfIn].Policy, rs.Chains[pfIn].PolicyText = Accept, "packet filter disabled (System > Advanced)"
		rs.Steps = append(rs.Steps, Step{Name: pfIn, Kind: Filter, Chain: pfIn, Stateful: true})
		rs.note(p.at(root.kid("system", "disablefilter")), "the packet filter is disabled: nothing is filtered or translated, whatever the rules say")
		return nil
	}
	if err != nil {
		rs.note(Place{File: f.Name, Line: line}, "the file is not XML to its end: %v; what comes behind is not known: %s", err, how)
		word := fmt.Sprintf("what is missing from line %d of the export", line)
		p.add(pfIn, &Rule{ID: "missing", Where: Place{File: f.Name, Line: line}, Text: "Missing: the rest of the file", Action: Uncertain, Quick: true, Words: []string{word}})
	}
	p.chain(pfRDR, root.kid("nat"))
	p.chain(pfBinat, root.kid("nat"))
	p.chain(pfTanib, root.kid("nat"))
	p.chain(pfSNAT, root.kid("nat", "outbound"))
	p.chain(pfOut, root.kid("filter")).PolicyText = "let out anything from firewall host itself"
	rs.Chains[pfOut].Policy = Accept
	p.readPortForwards()
	p.readOneToOne()
	p.binatOut()
	p.readOutbound()
	p.readRules()

	rs.Steps = append(rs.Steps, Step{Name: pfRDR, Kind: DNAT, Hook: Prerouting, Chain: pfRDR})
	if p.hasOneToOne() {
		rs.Steps = append(rs.Steps, Step{Name: pfBinat, Kind: DNAT, Hook: Prerouting, Chain: pfBinat})
	}
	rs.Steps = append(rs.Steps, Step{Name: pfIn, Kind: Filter, Chain: pfIn, Stateful: true, LastMatch: true})
	if p.hasOneToOne() {
		rs.Steps = append(rs.Steps, Step{Name: pfTanib, Kind: SNAT, Hook: Forward, Chain: pfTanib})
	}
	rs.Steps = append(rs.Steps, Step{Name: pfSNAT, Kind: SNAT, Hook: Forward, Chain: pfSNAT})
	if len(rs.Chains[pfOut].Rules) > 0 {
		rs.Steps = append(rs.Steps, Step{Name: pfOut, Kind: Filter, Hook: Forward, Chain: pfOut, Stateful: true, LastMatch: true})
	}
	return nil
}

func (p *pf) at(e *element) Place {
	if e == nil {
		e = p.root
	}
	return Place{File: p.file, Line: e.line, End: e.end}
}

func (p *pf) chain(name string, e *element) *Chain {
	c := &Chain{Name: name, Where: p.at(e)}
	p.rs.Chains[name] = c
	return c
}

func (p *pf) add(chain string, r *Rule) {
	c := p.rs.Chains[chain]
	c.Rules = append(c.Rules, r)
}

// on says whether an option is set. In pfSense its being there says so, whatever it holds; in OPNsense it must hold
// something other than 0.
func (p *pf) on(e *element, name string) bool {
	if p.opn {
		v := e.of(name)
		return v != "" && v != "0"
	}
	return e.has(name)
}

// --- interfaces, addresses, routes

func (p *pf) readInterfaces() {
	groups := make(map[string]bool)
	for _, e := range p.root.kid("ifgroups").all("ifgroupentry") {
		g := pfGroup{name: e.of("ifname")}
		g.members = strings.FieldsFunc(e.of("members"), func(r rune) bool { return r == ' ' || r == ',' || r == '|' })
		g.sequence, _ = strconv.Atoi(e.of("sequence"))
		if g.name != "" && len(p.groups) < 4096 {
			p.groups = append(p.groups, g)
			groups[g.name] = true
		}
	}
	taken := make(map[string]bool)
	if e := p.root.kid("interfaces"); e != nil {
		for _, k := range e.kids {
			taken[k.name] = true
		}
		for _, k := range e.kids {
			if p.on(k, "enable") && k.of("type") != "group" && !groups[k.name] && p.find(k.name) == nil && len(p.interfaces) < 4096 {
				p.readInterface(k)
			}
		}
	}
	for _, e := range p.root.kid("virtualip").all("vip") {
		p.readVIP(e)
	}
	for _, i := range p.interfaces {
		f := Interface{Name: i.key, Addrs: i.addrs}
		for _, g := range p.groups {
			if slices.Contains(g.members, i.key) {
				f.Zones = append(f.Zones, g.name)
			}
		}
		// What a person calls it, unless rules call another so.
		for _, name := range []string{i.descr, i.e.of("if")} {
			if name != "" && !taken[name] && !groups[name] {
				taken[name] = true
				f.Zones = append(f.Zones, name)
			}
		}
		p.rs.Interfaces = append(p.rs.Interfaces, f)
	}
	p.rs.Own = append(p.rs.Own, netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback())
	for _, v := range p.vips {
		if v.own {
			p.rs.Own = append(p.rs.Own, v.addr.Addr())
		}
	}
}

func (p *pf) readInterface(e *element) {
	i := &pfInterface{key: e.name, descr: e.of("descr"), e: e, unknown: make(map[uint16]string)}
	if i.descr == "" {
		i.descr = strings.ToUpper(e.name)
	}
	for _, f := range []struct {
		family       uint16
		addr, length string
	}{{4, "ipaddr", "subnet"}, {6, "ipaddrv6", "subnetv6"}} {
		text := e.of(f.addr)
		if text == "" || text == "none" {
			continue
		}
		a, err := netip.ParseAddr(text)
		bits, err2 := strconv.Atoi(e.of(f.length))
		if err != nil || err2 != nil || bits < 0 || bits > a.BitLen() || a.Is4() != (f.family == 4) {
			i.unknown[f.family] = text // dhcp, pppoe, track6, …
			continue
		}
		i.addrs = append(i.addrs, netip.PrefixFrom(a.WithZone(""), bits))
	}
	gw := e.of("gateway")
	i.gateway = gw != "" && gw != "none" || i.unknown[4] != ""
	p.interfaces = append(p.interfaces, i)
}

func (p *pf) readVIP(e *element) {
	a, err := netip.ParseAddr(e.of("subnet"))
	if err != nil {
		return
	}
	bits, err := strconv.Atoi(e.of("subnet_bits"))
	if err != nil || bits < 0 || bits > a.BitLen() {
		bits = a.BitLen()
	}
	mode := e.of("mode")
	p.vips = append(p.vips, pfVIP{on: e.of("interface"), addr: netip.PrefixFrom(a.WithZone(""), bits), own: mode == "carp" || mode == "ipalias"})
}

func (p *pf) find(key string) *pfInterface {
	for _, i := range p.interfaces {
		if i.key == key {
			return i
		}
	}
	return nil
}

func (p *pf) readRoutes() {
	items := p.root.kid("gateways").all("gateway_item")
	items = append(items, p.root.kid("OPNsense", "Gateways").all("gateway_item")...)
	var best [2]*element
	for _, g := range items {
		if p.on(g, "disabled") {
			continue
		}
		p.gateways[g.of("name")] = g.of("interface")
		six := 0
		if g.of("ipprotocol") == "inet6" {
			six = 1
		}
		chosen := p.on(g, "defaultgw")
		if name := p.root.of("gateways", []string{"defaultgw4", "defaultgw6"}[six]); name != "" {
			chosen = name == g.of("name")
		}
		if chosen && best[six] == nil {
			best[six] = g
		}
	}
	p.rs.Connected()
	for _, v := range p.vips {
		if p.find(v.on) != nil {
			p.rs.Routes = append(p.rs.Routes, Route{Prefix: v.addr.Masked(), Out: v.on})
		}
	}
	var uplinks []*pfInterface
	for _, i := range p.interfaces {
		if i.gateway {
			uplinks = append(uplinks, i)
		}
	}
	for six, all := range []string{"0.0.0.0/0", "::/0"} {
		out := ""
		switch {
		case best[six] != nil:
			out = best[six].of("interface")
		case six == 0 && len(uplinks) == 1 && p.root.of("gateways", "defaultgw4") == "":
			out = uplinks[0].key
		}
		if p.find(out) != nil {
			p.rs.Routes = append(p.rs.Routes, Route{Prefix: netip.MustParsePrefix(all), Out: out})
		}
	}
	for _, r := range p.root.kid("staticroutes").all("route") {
		if p.on(r, "disabled") || r.of("enabled") == "0" {
			continue
		}
		out := p.gateways[r.of("gateway")]
		set := p.address(r.of("network"))
		if p.find(out) == nil || len(set.ranges) == 0 || set.any {
			p.rs.note(p.at(r), "static route to %s by gateway %s: its network or its interface is not in the export", r.of("network"), r.of("gateway"))
			continue
		}
		for _, n := range set.ranges {
			if list := n.Prefixes(); len(list) <= 64 {
				for _, prefix := range list {
					p.rs.Routes = append(p.rs.Routes, Route{Prefix: prefix, Out: out})
				}
			}
		}
	}
}

// --- names of addresses and ports

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
	a.busy = true
	defer func() { a.busy = false }()
	s := pfSet{object: name}
	switch a.kind {
	case "host", "network", "networkgroup", "port", "":
	case "url", "url_ports": // pfSense keeps in the configuration what it fetched
		if p.opn {
			s.word = "alias " + name + " (" + a.kind + ")"
		}
	case "geoip", "asn", "mac":
		s.word = "alias " + name + " (" + a.kind + " " + few(a.entries) + ")"
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
	var list []entry
	var words []string
	negated := false
	for _, text := range a.entries {
		not := strings.HasPrefix(text, "!")
		text = strings.TrimPrefix(text, "!")
		negated = negated || not
		if ports {
			if r, ok := pfPorts(text); ok {
				list = append(list, entry{r, not})
				continue
			}
		} else if r, err := ParseAddrs(text); err == nil {
			list = append(list, entry{r, not})
			continue
		}
		var sub pfSet
		if b := p.aliases[text]; b != nil {
			sub = p.resolve(text, b, ports)
		} else if key, ok := strings.CutPrefix(text, "__"); ok && strings.HasSuffix(key, "_network") {
			sub = p.address(strings.TrimSuffix(key, "_network"))
		} else {
			sub.word = text // a host name, or a mask that is no prefix
		}
		for _, r := range sub.ranges {
			list = append(list, entry{r, not})
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
		for _, e := range list {
			if e.not {
				s.ranges = Without(s.ranges, []Range{e.Range})
			} else {
				s.ranges = Merge(append(s.ranges, e.Range))
			}
		}
	} else {
		for _, e := range list {
			s.ranges = append(s.ranges, e.Range)
		}
		s.ranges = Merge(s.ranges)
	}
	if len(words) > 0 {
		s.word = "alias " + name + " with " + strings.Join(words, " ")
	}
	a.got = &s
	return s
}

// few shows the first of many entries.
func few(list []string) string {
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
		return pfSet{ranges: bogons4, object: text}
	case "bogonsv6":
		return pfSet{ranges: bogons6, object: text}
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
						s.only = join(s.only, f, w)
					}
				}
			}
			s.ranges = Merge(s.ranges)
			return s
		}
	}
	return pfSet{word: text + ", which is not in the export"}
}

func join(only map[uint16]string, family uint16, word string) map[uint16]string {
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
		s.only = join(s.only, f, text+" ("+how+")")
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
		s.dead[f] = s.only[f] == "" && !slices.ContainsFunc(s.ranges, func(r Range) bool { return inFamily(r, f) })
	}
	return s
}

func inFamily(r Range, f uint16) bool {
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
			s.only = join(s.only, f, i.key+" address ("+how+")")
		}
	}
	s.ranges = Merge(s.ranges)
	return s
}

// bogons4 and bogons6 are the special addresses that nobody has (RFC 6890; multicast; class E). The lists of both
// products leave the private ones out, and have more: what no registry has given to anyone yet. Nobody connects from
// there, so that part of the lists opens and closes nothing.
var (
	bogons4 = pfRanges("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3")
	bogons6 = pfRanges("::/8", "100::/8", "2001:db8::/32", "ff00::/8")
	private = pfRanges("10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
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
func (p *pf) side(e *element) pfSide {
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
			t = never()
		}
		return t
	}
	if family != 0 || len(s.only) == 0 && !s.dead[4] && !s.dead[6] {
		return Match{of(family)}
	}
	return Match{{Field: AnyOf, Any: []Match{{familyTerm(4), of(4)}, {familyTerm(6), of(6)}}}}
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

// never is a condition that does not hold for a first packet.
func never() Term { return Term{Field: Phase, Bits: Later} }

func familyTerm(f uint16) Term { return Term{Field: Family, Ranges: []Range{Single(Number(f))}} }

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
		return 4, Match{familyTerm(4)}
	case "inet6":
		return 6, Match{familyTerm(6)}
	case "inet46":
		return 0, nil
	}
	if p.opn {
		return 0, nil
	}
	return 4, Match{familyTerm(4)}
}

// changed reads <created> and <updated>.
func changed(e *element) Change {
	c := Change{By: clean(e.of("username"), 100)}
	if s, err := strconv.ParseFloat(e.of("time"), 64); err == nil && s > 0 && s < math.MaxInt32 {
		c.Time = time.Unix(int64(s), 0).UTC()
	}
	return c
}

// --- filter rules

// pfRule is a filter rule of either form, before it is put in order.
type pfRule struct {
	e                *element
	prio, sequence   int
	id, tab          string
	action, descr    string
	disabled, quick  bool
	interfaces       []string
	notInterface     bool
	direction        string
	ipprotocol       string
	protocol         string
	src, dst         pfSide
	anyPorts         bool // ports count whatever the protocol
	gateway, natRule string
}

const (
	prioFloating  = 200000
	prioGroup     = 300000
	prioInterface = 400000
	prioLast      = 500000
)

func (p *pf) readRules() {
	p.ownRules()
	var rules []*pfRule
	// Rules of the model come before the others of their kind (pf_firewall, filter_core_rules_user).
	for _, e := range p.root.kid("OPNsense", "Firewall", "Filter", "rules").all("rule") {
		rules = append(rules, p.newRule(e))
	}
	slices.SortStableFunc(rules, func(a, b *pfRule) int { return a.sequence - b.sequence })
	for n, e := range p.root.kid("filter").all("rule") {
		rules = append(rules, p.oldRule(e, n+1))
	}
	rules = append(rules, p.forwarded()...)
	slices.SortStableFunc(rules, func(a, b *pfRule) int { return a.prio - b.prio })
	for _, r := range rules {
		p.addRule(r)
	}
	p.staticRules()
}

// oldRule reads a <rule> of <filter>.
func (p *pf) oldRule(e *element, n int) *pfRule {
	r := &pfRule{
		e: e, id: first(e.of("tracker"), e.uuid, fmt.Sprintf("filter/rule %d", n)), action: e.of("type"), descr: e.of("descr"),
		disabled: p.on(e, "disabled"), direction: "in", ipprotocol: e.of("ipprotocol"), protocol: e.of("protocol"),
		src: p.side(e.kid("source")), dst: p.side(e.kid("destination")), gateway: e.of("gateway"), natRule: e.of("associated-rule-id"),
	}
	floating := e.has("floating")
	if name := e.of("interface"); name != "" && (name != "any" || !floating) {
		r.interfaces = strings.Split(name, ",")
	}
	switch d := e.of("direction"); {
	case p.opn && d == "any", !p.opn && floating && e.of("floating") == "yes" && d != "in" && d != "out":
		r.direction = "any"
	case d == "out" && (p.opn || floating && e.of("floating") == "yes"):
		r.direction = "out"
	}
	switch {
	case p.opn && e.has("quick"):
		r.quick = p.on(e, "quick")
	case floating:
		r.quick = e.has("quick")
	default:
		r.quick = true
	}
	r.notInterface = p.opn && p.on(e, "interfacenot")
	r.prio = prioInterface
	if floating {
		r.prio, r.tab = prioFloating, "Floating"
	} else if len(r.interfaces) > 0 {
		r.tab = r.interfaces[0]
		r.prio = p.prio(r.tab)
	}
	return r
}

// prio orders the rules of one interface or group. Of rules of two interfaces no packet meets both.
func (p *pf) prio(name string) int {
	for n, g := range p.groups {
		switch {
		case g.name != name:
		case p.opn:
			return prioGroup + min(max(g.sequence, 0), 9999)
		default: // in the order of the groups
			return prioGroup + n
		}
	}
	if p.find(name) == nil && !p.opn { // the groups that pfSense makes of tunnels: openvpn, enc0, l2tp, …
		return prioGroup + 99999
	}
	return prioInterface
}

// newRule reads a <rule> of the model that OPNsense has beside <filter>.
func (p *pf) newRule(e *element) *pfRule {
	r := &pfRule{
		e: e, action: e.of("action"), descr: e.of("description"), disabled: e.has("enabled") && !p.on(e, "enabled"),
		quick: !e.has("quick") || p.on(e, "quick"), notInterface: p.on(e, "interfacenot"), direction: first(e.of("direction"), "in"),
		ipprotocol: first(e.of("ipprotocol"), "inet"), protocol: e.of("protocol"), gateway: e.of("gateway"), anyPorts: true,
		src: pfSide{strings.Split(first(e.of("source_net"), "any"), ","), p.on(e, "source_not"), e.of("source_port")},
		dst: pfSide{strings.Split(first(e.of("destination_net"), "any"), ","), p.on(e, "destination_not"), e.of("destination_port")},
		tab: "new",
	}
	r.sequence, _ = strconv.Atoi(e.of("sequence"))
	r.id = first(e.uuid, fmt.Sprintf("rule of line %d", e.line))
	if name := e.of("interface"); name != "" {
		r.interfaces = strings.Split(name, ",")
	}
	r.prio = prioFloating
	if len(r.interfaces) == 1 && !r.notInterface {
		r.prio = p.prio(r.interfaces[0])
	}
	return r
}

// addRule puts a rule into the list of packets that come in, of those that go out, or into both.
func (p *pf) addRule(r *pfRule) {
	if r.direction != "out" {
		p.add(pfIn, p.rule(r, In))
	}
	if r.direction != "in" {
		p.add(pfOut, p.rule(r, Out))
	}
}

var pfActions = map[string]Action{"pass": Accept, "block": Drop, "reject": Reject, "match": Continue}

func (p *pf) rule(r *pfRule, way Field) *Rule {
	e := r.e
	family, m := p.family(r.ipprotocol)
	m = append(Match{}, m...)
	if len(r.interfaces) > 0 {
		m = append(m, p.interfaceTerm(r.interfaces, r.notInterface, way))
	}
	proto, ports := pfProtocol(r.protocol, family)
	m = append(m, proto...)
	m = append(m, p.terms(r.src, SrcAddr, SrcPort, family, ports || r.anyPorts)...)
	m = append(m, p.terms(r.dst, DstAddr, DstPort, family, ports || r.anyPorts)...)
	for _, name := range []string{"os", "tagged", "dscp", "tos", "vlanprio", "prio"} {
		if v := e.of(name); v != "" && v != "none" && v != "any" {
			m = append(m, Term{Field: Unmodelled, Word: name + " " + v})
		}
	}
	if v := e.of("sched"); v != "" {
		m = append(m, Term{Field: Unmodelled, Word: "time-range " + v})
	}
	if mask := strings.Split(e.of("tcpflags2"), ","); mask[0] != "" && !p.on(e, "tcpflags_any") && strings.EqualFold(r.protocol, "tcp") {
		set := strings.Split(e.of("tcpflags1"), ",")
		if slices.Contains(mask, "syn") != slices.Contains(set, "syn") || slices.ContainsFunc(set, func(f string) bool { return f != "" && f != "syn" }) {
			m = append(m, never())
		}
	}
	// What tells rules apart soonest is asked first.
	slices.SortStableFunc(m, func(a, b Term) int { return cmp.Compare(a.Field, b.Field) })
	out := &Rule{
		ID: r.id, Where: p.at(e), Comment: r.descr, Created: changed(e.kid("created")), Changed: changed(e.kid("updated")),
		Disabled: r.disabled, Match: m, Quick: r.quick,
	}
	action, ok := pfActions[r.action]
	if out.Action = action; !ok {
		out.Action = Accept // the generators' default
		if p.opn && r.action != "" {
			out.Action, out.Words = Uncertain, []string{"action " + r.action}
		}
	}
	if out.Action == Accept && e.of("statetype") == "none" {
		out.Action, out.Words = Uncertain, []string{"statetype none: each packet is judged"}
	}
	if out.Action == Accept && p.on(e.kid("nat"), "enable") {
		out.Action, out.Words = Uncertain, []string{"NAT64"}
	}
	if r.gateway != "" && out.Action == Accept && !r.disabled {
		p.policyRoute(r)
	}
	out.Text = p.text(r, way)
	return out
}

// policyRoute tells of a rule that sends connections elsewhere than the routes do. It lets through as any other.
func (p *pf) policyRoute(r *pfRule) {
	to := p.gateways[r.gateway]
	for _, route := range p.rs.Routes {
		if route.Prefix.Bits() == 0 && route.Out == to {
			return
		}
	}
	if !p.missing["gateway "+r.gateway] {
		p.missing["gateway "+r.gateway] = true
		p.rs.note(p.at(r.e), "gateway %s: what the rule passes leaves by it, whatever the routes say; source NAT and rules out are told for the routes", r.gateway)
	}
}

func (p *pf) interfaceTerm(names []string, not bool, way Field) Term {
	if !not || len(names) == 1 {
		return Term{Field: way, Names: names, Not: not}
	}
	t := Term{Field: AnyOf}
	for _, n := range names {
		t.Any = append(t.Any, Match{{Field: way, Names: []string{n}, Not: true}})
	}
	return t
}

// text writes a rule as pf has it, behind the tab where the product shows it.
func (p *pf) text(r *pfRule, way Field) string {
	var b strings.Builder
	b.WriteString(p.tab(r.tab) + ": " + first(r.action, "pass"))
	b.WriteString(map[Field]string{In: " in", Out: " out"}[way])
	if r.quick {
		b.WriteString(" quick")
	}
	if len(r.interfaces) > 0 {
		b.WriteString(" on " + map[bool]string{true: "! "}[r.notInterface] + strings.Join(r.interfaces, ","))
	}
	for _, s := range []string{r.ipprotocol, r.protocol} {
		if s != "" {
			b.WriteString(" " + s)
		}
	}
	b.WriteString(" from " + r.src.String() + " to " + r.dst.String())
	if r.natRule != "" {
		b.WriteString(" (rule of port forward " + r.natRule + ")")
	}
	if r.disabled {
		b.WriteString(" (disabled)")
	}
	return b.String()
}

// tab is the name of the page of rules.
func (p *pf) tab(name string) string {
	if i := p.find(name); i != nil {
		return i.descr
	}
	return first(name, "Rules")
}

// ownRules are the rules that the product puts before those of its users. Those that fill a table while it runs
// (lockout, overload, intrusion detection) are left out: what is in the tables is no configuration.
func (p *pf) ownRules() {
	system := p.root.kid("system")
	own := func(e *element, id, text string, action Action, m ...Term) {
		p.add(pfIn, &Rule{ID: id, Where: p.at(e), Text: "Automatic: " + text, Action: action, Quick: true, Match: m})
	}
	six := p.root.kid("OPNsense", "Interfaces", "settings")
	if p.opn && p.on(six, "disableipv6") || !p.opn && !system.has("ipv6allow") {
		own(cmp.Or(six, system), "Block all IPv6", "block in quick inet6", Drop, familyTerm(6))
	}
	if !p.opn && !system.has("no_apipa_block") {
		link := pfRanges("169.254.0.0/16")
		own(system, "Block IPv4 link-local", "block in quick from 169.254.0.0/16", Drop, Term{Field: SrcAddr, Ranges: link})
		own(system, "Block IPv4 link-local", "block in quick to 169.254.0.0/16", Drop, Term{Field: DstAddr, Ranges: link})
	}
	if !p.opn || !p.on(system, "no_port0_block") {
		zero := []Range{Ports(0, 0)}
		own(system, "Block port 0", "block in quick tcp from any port 0", Drop, Term{Field: SrcPort, Ranges: zero})
		own(system, "Block port 0", "block in quick tcp to any port 0", Drop, Term{Field: DstPort, Ranges: zero})
	}
	for _, i := range p.interfaces {
		in := Term{Field: In, Names: []string{i.key}}
		if e := i.e; p.on(e, "blockbogons") {
			at := e.kid("blockbogons")
			own(at, "blockbogons "+i.key, "block in quick on "+i.key+" inet from <bogons>", Drop, in, familyTerm(4), Term{Field: SrcAddr, Ranges: bogons4, Object: "bogons"})
			own(at, "blockbogons "+i.key, "block in quick on "+i.key+" inet6 from <bogonsv6>", Drop, in, familyTerm(6), Term{Field: SrcAddr, Ranges: bogons6, Object: "bogonsv6"})
		}
		if e := i.e; p.on(e, "blockpriv") {
			list, list6 := private, pfRanges("fc00::/7")
			if p.opn {
				list, list6 = Merge(append(slices.Clone(private), pfRanges("100.64.0.0/10", "169.254.0.0/16")...)), pfRanges("fd00::/8", "fe80::/10", "::1/128")
			}
			at := e.kid("blockpriv")
			own(at, "blockpriv "+i.key, "block in quick on "+i.key+" inet from private networks", Drop, in, familyTerm(4), Term{Field: SrcAddr, Ranges: list})
			own(at, "blockpriv "+i.key, "block in quick on "+i.key+" inet6 from private networks", Drop, in, familyTerm(6), Term{Field: SrcAddr, Ranges: list6})
		}
	}
	p.antiLockout(own)
}

// lockout is the interface and the ports that nobody may shut by mistake ("Anti-lockout Rule").
func (p *pf) lockout() (*pfInterface, []Range, string) {
	system := p.root.kid("system")
	gui := system.kid("webgui")
	if gui.has("noantilockout") {
		return nil, nil, ""
	}
	i := p.find("lan")
	if i == nil && (len(p.interfaces) == 1 || p.opn) {
		i = p.find("wan")
	}
	port, http := "80", false
	if gui.of("protocol") == "https" {
		port, http = "443", !gui.has("disablehttpredirect")
	}
	list := []string{first(gui.of("port"), port)}
	if http {
		list = append(list, "80")
	}
	if ssh := system.kid("ssh"); ssh.has("enable") && !p.opn || p.opn && ssh.has("enabled") {
		list = append(list, first(ssh.of("port"), "22"))
	}
	var ports []Range
	for _, s := range list {
		if r, ok := pfPorts(s); ok {
			ports = append(ports, r)
		}
	}
	return i, Merge(ports), strings.Join(list, " ")
}

func (p *pf) antiLockout(own func(e *element, id, text string, action Action, m ...Term)) {
	i, ports, text := p.lockout()
	if i == nil {
		return
	}
	to, set := i.key+"ip", p.addressOf(i, i.key+"ip")
	if p.opn {
		to, set = "(self)", p.self()
	}
	m := append(Match{{Field: In, Names: []string{i.key}}, {Field: Proto, Ranges: []Range{Single(Number(6))}}}, p.term(set, DstAddr, 0, false)...)
	m = append(m, Term{Field: DstPort, Ranges: ports})
	own(cmp.Or(p.root.kid("system", "webgui"), p.root.kid("system")), "anti-lockout", "pass in quick on "+i.key+" tcp from any to "+to+" port "+text, Accept, m...)
}

// staticRules let the networks of a static route and of the interface that it leaves by talk to each other, where it is
// asked for ("Bypass firewall rules for traffic on the same interface"). In pfSense they come last, in OPNsense they
// are not quick, and come before all others.
func (p *pf) staticRules() {
	e := p.root.kid("filter")
	if !e.has("bypassstaticroutes") {
		return
	}
	var rules []*Rule
	for _, r := range p.root.kid("staticroutes").all("route") {
		i := p.find(p.gateways[r.of("gateway")])
		if p.on(r, "disabled") || r.of("enabled") == "0" || i == nil {
			continue
		}
		far, near := p.address(r.of("network")), p.network(i, i.key)
		if far.any {
			continue
		}
		for _, pair := range [][2]pfSet{{near, far}, {far, near}} {
			m := Match{{Field: In, Names: []string{i.key}}}
			m = append(m, p.term(pair[0], SrcAddr, 0, false)...)
			m = append(m, p.term(pair[1], DstAddr, 0, false)...)
			rules = append(rules, &Rule{ID: "bypassstaticroutes", Where: p.at(r), Text: "Automatic: pass on " + i.key + " between its network and " + r.of("network"), Action: Accept, Quick: !p.opn, Match: m})
		}
	}
	c := p.rs.Chains[pfIn]
	if p.opn {
		c.Rules = slices.Concat(rules, c.Rules)
	} else {
		c.Rules = append(c.Rules, rules...)
	}
}

// --- translations

// portForwards are the <rule>s of <nat>; OPNsense of late gives them an order of its own.
func (p *pf) portForwards() (out []*element, ids map[*element]string) {
	ids = make(map[*element]string)
	out = p.root.kid("nat").all("rule")
	for n, e := range out {
		ids[e] = first(e.uuid, fmt.Sprintf("nat/rule %d", n+1))
	}
	if p.opn && !slices.ContainsFunc(out, func(e *element) bool { return e.of("sequence") == "" }) {
		slices.SortStableFunc(out, func(a, b *element) int {
			x, _ := strconv.Atoi(a.of("sequence"))
			y, _ := strconv.Atoi(b.of("sequence"))
			return cmp.Compare(x, y)
		})
	}
	return out, ids
}

func (p *pf) readPortForwards() {
	if i, ports, text := p.lockout(); p.opn && i != nil {
		m := append(Match{{Field: In, Names: []string{i.key}}, {Field: Proto, Ranges: []Range{Single(Number(6))}}}, p.term(p.addressOf(i, i.key+"ip"), DstAddr, 0, false)...)
		m = append(m, Term{Field: DstPort, Ranges: ports})
		p.add(pfRDR, &Rule{ID: "anti-lockout", Where: p.at(cmp.Or(p.root.kid("system", "webgui"), p.root)), Text: "Automatic: no rdr on " + i.key + " tcp to " + i.key + "ip port " + text, Action: Accept, Match: m})
	}
	list, ids := p.portForwards()
	for _, e := range list {
		p.portForward(e, ids[e])
	}
}

func (p *pf) portForward(e *element, id string) {
	family, m := p.family(e.of("ipprotocol"))
	on := first(e.of("interface"), map[bool]string{false: "wan"}[p.opn])
	proto, hasPorts := pfProtocol(e.of("protocol"), family)
	src, dst := p.side(e.kid("source")), p.side(e.kid("destination"))
	m = slices.Concat(m, proto, p.terms(src, SrcAddr, SrcPort, family, hasPorts), p.terms(dst, DstAddr, DstPort, family, hasPorts))
	if v := e.of("tagged"); v != "" {
		m = append(m, Term{Field: Unmodelled, Word: "tagged " + v})
	}
	r := &Rule{
		ID: id, Where: p.at(e), Comment: e.of("descr"), Created: changed(e.kid("created")), Changed: changed(e.kid("updated")),
		Disabled: p.on(e, "disabled"), Action: Translate, Match: m,
		// The one that has no filter rule of its own and needs none.
		Pass: e.of("associated-rule-id") == "pass" || p.opn && e.of("pass") != "" && e.of("pass") != "rule" && e.of("pass") != "0",
	}
	text := " " + strings.TrimSpace(e.of("ipprotocol")+" "+e.of("protocol")) + " from " + src.String() + " to " + dst.String()
	kind := "rdr"
	if r.Pass {
		kind = "rdr pass"
	}
	if p.on(e, "nordr") {
		r.Action, r.Pass, kind = Accept, false, "no rdr" // 1:1 is still asked (pf_get_translation)
		if !p.hasOneToOne() {
			r.Action = Exempt
		}
	} else {
		r.To = p.target(e, dst, family, hasPorts)
		text += " -> " + first(e.of("target"), "?") + map[bool]string{true: " port " + e.of("local-port")}[hasPorts && e.of("local-port") != ""]
		if e.of("target") == "" {
			r.Disabled = true
			p.rs.note(p.at(e), "port forward without a target: the device leaves it out")
		}
	}
	if v := e.of("associated-rule-id"); v != "" && v != "pass" {
		text += " (filter rule " + v + ")"
	}
	if r.Disabled {
		text += " (disabled)"
	}
	var names []string
	if on != "" {
		names = strings.Split(on, ",")
		r.Match = append(Match{{Field: In, Names: names}}, m...)
		on = " on " + on
	}
	r.Text = "Port Forward: " + kind + on + text
	p.add(pfRDR, r)
	if !r.Disabled {
		p.reflect(e, r, names, m, kind, text)
	}
}

// target is what a port forward translates to.
func (p *pf) target(e *element, dst pfSide, family uint16, hasPorts bool) (to Translation) {
	s := p.address(e.of("target"))
	if p.find(e.of("target")) != nil { // the address of the interface, or of any in its network: ask
		s = pfSet{word: "target " + e.of("target")}
	}
	to.Addrs = s.ranges
	if s.any {
		to.Words = append(to.Words, "a port forward without a target")
	}
	for _, f := range []uint16{4, 6} {
		if w := s.only[f]; w != "" && (family == 0 || family == f) {
			to.Words = append(to.Words, w)
		}
	}
	if s.word != "" {
		to.Words = append(to.Words, s.word)
	}
	local := e.of("local-port")
	if !hasPorts || local == "" || local == dst.port {
		return to
	}
	l, from := p.ports(local), p.ports(dst.port)
	switch {
	case len(l.ranges) == 0 || l.word != "":
		to.Words = append(to.Words, "local-port "+local)
	case p.aliases[local] != nil: // of an alias the first port is taken
		if r, ok := pfPorts(first(append(slices.Clone(p.aliases[local].entries), "")[0])); ok {
			to.Ports = []Range{Single(r.First)}
		} else {
			to.Ports = []Range{Single(l.ranges[0].First)}
		}
	case p.aliases[dst.port] == nil && len(from.ranges) == 1 && from.ranges[0].First != from.ranges[0].Last:
		// A range keeps its width: the first port becomes the local one, and so on.
		to.Map, to.FromPorts = true, from.ranges
		last := l.ranges[0].First.plus(from.ranges[0].Last.minus(from.ranges[0].First))
		to.Ports = []Range{{l.ranges[0].First, last}}
	default:
		to.Ports = []Range{Single(l.ranges[0].First)}
	}
	return to
}

// reflect adds what makes a port forward hold for those inside too ("NAT Reflection").
func (p *pf) reflect(e *element, r *Rule, names []string, m Match, kind, text string) {
	system := p.root.kid("system")
	mode := e.of("natreflection")
	switch {
	case p.opn && (mode == "purenat" || mode == "enable" || mode == "" && !p.on(system, "disablenatreflection")):
		mode = "purenat"
	case p.opn, mode == "disable":
		mode = ""
	case mode == "purenat":
	case mode == "enable":
		mode = "proxy"
	case system.has("disablenatreflection"):
		mode = ""
	case system.has("enablenatreflectionpurenat"):
		mode = "purenat"
	default:
		mode = "proxy"
	}
	inside := p.inside(names)
	if mode == "" || len(inside) == 0 || len(names) == 0 {
		if r.Action == Translate && p.on(system, "enablenatreflectionhelper") {
			p.helper(e, r, names)
		}
		return
	}
	o := *r
	o.ID += "/reflection"
	o.Text = "Port Forward: " + kind + " on " + strings.Join(inside, ",") + text + " (reflection)"
	o.Match = append(Match{{Field: In, Names: inside}}, m...)
	if dst := p.side(e.kid("destination")); !p.opn && dst.names[0] == "any" {
		// Else all that goes out would come back.
		if i := p.find(names[0]); i != nil {
			o.Match = append(o.Match, p.term(p.network(i, names[0]), DstAddr, 0, false)...)
		}
	}
	if mode == "proxy" && r.Action == Translate {
		o.Action, o.Words, o.To, o.Pass = Uncertain, []string{"NAT reflection by a proxy of the firewall"}, Translation{}, false
	}
	p.add(pfRDR, &o)
	if r.Action == Translate && p.on(system, "enablenatreflectionhelper") {
		p.helper(e, r, append(slices.Clone(names), inside...))
	}
}

// inside are the interfaces without a gateway, but for those named.
func (p *pf) inside(but []string) (out []string) {
	for _, i := range p.interfaces {
		if !i.gateway && !slices.Contains(but, i.key) {
			out = append(out, i.key)
		}
	}
	return out
}

// helper adds the source translation for those that are in the network of the server itself: else the answer would not
// come back through the firewall.
func (p *pf) helper(e *element, r *Rule, names []string) {
	for _, name := range names {
		i := p.find(name)
		if i == nil || len(i.addrs) == 0 {
			continue
		}
		m := Match{{Field: Out, Names: []string{name}}}
		m = append(m, p.term(p.network(i, name), SrcAddr, 0, false)...)
		m = append(m, Term{Field: DstAddr, Ranges: r.To.Addrs})
		if len(r.To.Ports) > 0 {
			m = append(m, Term{Field: DstPort, Ranges: r.To.Ports})
		}
		p.reflections = append(p.reflections, &Rule{
			ID: r.ID + "/reflection", Where: p.at(e), Comment: r.Comment, Text: "Automatic: nat on " + name + " from " + name + " to " + e.of("target") + " -> (" + name + ") (reflection)",
			Action: Translate, Match: m, To: Translation{Interface: true},
		})
	}
}

// forwarded are the filter rules that OPNsense makes of port forwards which ask for it.
func (p *pf) forwarded() (out []*pfRule) {
	if !p.opn {
		return nil
	}
	list, ids := p.portForwards()
	for _, e := range list {
		if e.of("pass") != "rule" || p.on(e, "disabled") {
			continue
		}
		r := &pfRule{
			e: e, prio: prioLast, id: ids[e], tab: "Port Forward", action: "pass", descr: e.of("descr"), quick: true, direction: "in",
			ipprotocol: e.of("ipprotocol"), protocol: e.of("protocol"), src: p.side(e.kid("source")),
			dst: pfSide{names: []string{first(e.of("target"), "any")}, port: first(e.of("local-port"), e.of("destination", "port"))},
		}
		if from, ok := pfPorts(e.of("destination", "port")); ok && from.First != from.Last && e.of("local-port") != "" {
			if to, ok := pfPorts(e.of("local-port")); ok {
				r.dst.port = fmt.Sprintf("%d-%d", to.First.Lo, to.First.plus(from.Last.minus(from.First)).Lo)
			}
		}
		if name := e.of("interface"); name != "" {
			r.interfaces = strings.Split(name, ",")
		}
		out = append(out, r)
	}
	return out
}

// --- 1:1

// pfOneToOne is a 1:1 translation.
type pfOneToOne struct {
	e        *element
	id       string
	disabled bool
	on       string
	kind     string // binat, nat
	none     bool   // no binat
	src, dst pfSide
	external string
	family   string
	descr    string
}

func (p *pf) oneToOne() (out []pfOneToOne) {
	for n, e := range p.root.kid("nat").all("onetoone") {
		out = append(out, pfOneToOne{
			e: e, id: first(e.uuid, fmt.Sprintf("nat/onetoone %d", n+1)), disabled: p.on(e, "disabled"), on: first(e.of("interface"), "wan"),
			kind: first(e.of("type"), "binat"), none: p.on(e, "nobinat"), src: p.side(e.kid("source")), dst: p.side(e.kid("destination")),
			external: e.of("external"), family: e.of("ipprotocol"), descr: e.of("descr"),
		})
	}
	for n, e := range p.root.kid("nat").all("npt") {
		out = append(out, pfOneToOne{
			e: e, id: first(e.uuid, fmt.Sprintf("nat/npt %d", n+1)), disabled: p.on(e, "disabled"), on: first(e.of("interface"), "wan"), kind: "binat",
			src: p.side(e.kid("source")), dst: pfSide{names: []string{"any"}}, external: p.side(e.kid("destination")).names[0], family: "inet6", descr: e.of("descr"),
		})
	}
	filter := p.root.kid("OPNsense", "Firewall", "Filter")
	for _, list := range []string{"onetoone", "npt"} {
		at := len(out)
		for _, e := range filter.kid(list).all("rule") {
			o := pfOneToOne{
				e: e, id: first(e.uuid, fmt.Sprintf("rule of line %d", e.line)), disabled: e.has("enabled") && !p.on(e, "enabled"), on: e.of("interface"),
				kind: first(e.of("type"), "binat"), src: pfSide{names: []string{first(e.of("source_net"), "any")}, not: p.on(e, "source_not")},
				dst:      pfSide{names: []string{first(e.of("destination_net"), "any")}, not: p.on(e, "destination_not")},
				external: e.of("external"), descr: e.of("description"),
			}
			if list == "npt" {
				o.external, o.dst, o.family, o.kind = e.of("destination_net"), pfSide{names: []string{"any"}}, "inet6", "binat"
			}
			out = append(out, o)
		}
		slices.SortStableFunc(out[at:], func(a, b pfOneToOne) int {
			x, _ := strconv.Atoi(a.e.of("sequence"))
			y, _ := strconv.Atoi(b.e.of("sequence"))
			return cmp.Compare(x, y)
		})
	}
	return out
}

func (p *pf) hasOneToOne() bool { return len(p.oneToOne()) > 0 }

// pair is the inside and the outside of a 1:1 translation: as many addresses outside as inside.
func (p *pf) pair(o pfOneToOne) (in, out []Range, words []string) {
	s := p.address(o.src.names[0])
	text := o.external
	x := p.address(text)
	if strings.Contains(text, "/") && len(x.ranges) == 0 || x.any || s.any || s.word != "" || x.word != "" || len(s.only) > 0 || len(x.only) > 0 || len(s.ranges) != 1 || len(x.ranges) != 1 || o.src.not {
		return s.ranges, x.ranges, []string{"1:1 of " + o.src.String() + " and " + text}
	}
	a, b := s.ranges[0], x.ranges[0]
	if b.First == b.Last || b.Last.minus(b.First) != a.Last.minus(a.First) { // the width is that of the inside
		width := a.Last.minus(a.First)
		first := b.First
		first.Lo &^= width.Lo
		first.Hi &^= width.Hi
		b = Range{first, first.plus(width)}
	}
	return []Range{a}, []Range{b}, nil
}

func (p *pf) readOneToOne() {
	for _, o := range p.oneToOne() {
		if o.kind == "nat" {
			continue
		}
		in, out, words := p.pair(o)
		r := p.binat(o, "in")
		r.Match = append(r.Match, Term{Field: In, Names: []string{o.on}})
		r.Match = append(r.Match, p.terms(o.dst, SrcAddr, SrcPort, 0, false)...)
		if len(words) > 0 {
			r.Match = append(r.Match, Term{Field: DstAddr, Ranges: out, Word: words[0]})
			r.To = Translation{Addrs: in, Words: words}
		} else {
			r.Match = append(r.Match, Term{Field: DstAddr, Ranges: out})
			r.To = Translation{Addrs: in, From: out, Map: true}
		}
		p.add(pfBinat, r)
		mode, system := o.e.of("natreflection"), p.root.kid("system")
		if inside := p.inside([]string{o.on}); !r.Disabled && !o.none && len(inside) > 0 && mode != "disable" && (mode == "enable" || p.on(system, "enablebinatreflection")) {
			again := *r
			again.ID += "/reflection"
			again.Match = append(Match{{Field: In, Names: inside}}, r.Match[1:]...)
			p.add(pfBinat, &again)
		}
	}
}

func (p *pf) binat(o pfOneToOne, way string) *Rule {
	r := &Rule{
		ID: o.id, Where: p.at(o.e), Comment: o.descr, Disabled: o.disabled, Action: Translate,
		Text:    fmt.Sprintf("1:1: %s on %s from %s to %s -> %s (%s)", o.kind, o.on, o.src, o.dst, o.external, way),
		Created: changed(o.e.kid("created")), Changed: changed(o.e.kid("updated")),
	}
	if o.none {
		r.Action = Accept // outbound NAT is still asked
	}
	return r
}

func (p *pf) binatOut() {
	for _, o := range p.oneToOne() {
		in, out, words := p.pair(o)
		r := p.binat(o, "out")
		r.Match = append(r.Match, Term{Field: Out, Names: []string{o.on}})
		r.Match = append(r.Match, p.terms(o.dst, DstAddr, DstPort, 0, false)...)
		if len(words) > 0 {
			r.Match = append(r.Match, Term{Field: SrcAddr, Ranges: in, Word: words[0]})
			r.To = Translation{Addrs: out, Words: words}
		} else {
			r.Match = append(r.Match, Term{Field: SrcAddr, Ranges: in})
			r.To = Translation{Addrs: out, From: in, Map: true}
		}
		p.add(pfTanib, r)
	}
}

// --- outbound NAT

func (p *pf) readOutbound() {
	outbound := p.root.kid("nat", "outbound")
	mode := first(outbound.of("mode"), "automatic")
	switch mode {
	case "automatic", "hybrid", "advanced", "disabled":
	default:
		p.rs.note(p.at(outbound.kid("mode")), "outbound NAT mode %q is not known: source NAT is not told", mode)
	}
	if mode == "hybrid" || mode == "advanced" {
		rules := p.root.kid("OPNsense", "Firewall", "Filter", "snatrules").all("rule")
		slices.SortStableFunc(rules, func(a, b *element) int {
			x, _ := strconv.Atoi(a.of("sequence"))
			y, _ := strconv.Atoi(b.of("sequence"))
			return cmp.Compare(x, y)
		})
		for _, e := range rules {
			p.add(pfSNAT, p.newOutbound(e))
		}
		for n, e := range outbound.all("rule") {
			p.add(pfSNAT, p.outbound(e, n+1))
		}
	}
	if mode == "hybrid" || mode == "automatic" {
		p.automatic(outbound)
	}
	for _, r := range p.reflections {
		p.add(pfSNAT, r)
	}
}

func (p *pf) outbound(e *element, n int) *Rule {
	src, dst := p.side(e.kid("source")), p.side(e.kid("destination"))
	src.port, dst.port = first(e.of("sourceport"), src.port), first(e.of("dstport"), dst.port)
	target := e.of("target")
	if target == "other-subnet" {
		target = e.of("targetip") + "/" + e.of("targetip_subnet")
	} else if bits := e.of("target_subnet"); bits != "" && p.aliases[target] == nil && target != "" && !strings.Contains(target, "/") && p.find(strings.TrimSuffix(target, "ip")) == nil {
		target += "/" + bits
	}
	r := p.snat(e, e.of("interface"), first(e.of("ipprotocol"), p.familyOf(src, dst, target)), e.of("protocol"), src, dst, target, first(e.of("natport"), e.of("nat_port")))
	r.ID, r.Comment, r.Disabled = first(e.uuid, fmt.Sprintf("nat/outbound/rule %d", n)), e.of("descr"), p.on(e, "disabled")
	return r
}

// familyOf is the family of a rule that says none: of the addresses in it, else both.
func (p *pf) familyOf(src, dst pfSide, target string) string {
	for _, text := range []string{src.names[0], dst.names[0], target} {
		if r, err := ParseAddrs(text); err == nil {
			if inFamily(r, 4) {
				return "inet"
			}
			return "inet6"
		}
	}
	return "inet46"
}

func (p *pf) newOutbound(e *element) *Rule {
	src := pfSide{[]string{first(e.of("source_net"), "any")}, p.on(e, "source_not"), e.of("source_port")}
	dst := pfSide{[]string{first(e.of("destination_net"), "any")}, p.on(e, "destination_not"), e.of("destination_port")}
	r := p.snat(e, e.of("interface"), first(e.of("ipprotocol"), "inet"), e.of("protocol"), src, dst, e.of("target"), e.of("target_port"))
	r.ID, r.Comment = first(e.uuid, fmt.Sprintf("rule of line %d", e.line)), e.of("description")
	r.Disabled = e.has("enabled") && !p.on(e, "enabled")
	return r
}

func (p *pf) snat(e *element, on, ipprotocol, protocol string, src, dst pfSide, target, port string) *Rule {
	family, m := p.family(ipprotocol)
	proto, _ := pfProtocol(protocol, family)
	m = slices.Concat(Match{{Field: Out, Names: []string{on}}}, m, proto,
		p.terms(src, SrcAddr, SrcPort, family, true), p.terms(dst, DstAddr, DstPort, family, true))
	r := &Rule{Where: p.at(e), Action: Translate, Match: m, Created: changed(e.kid("created")), Changed: changed(e.kid("updated"))}
	kind, to := "nat", first(target, "("+on+")")
	if p.on(e, "nonat") {
		r.Action, kind, to = Exempt, "no nat", ""
	} else {
		r.To = p.masquerade(target, on, family)
		if s := p.ports(port); p.on(e, "staticnatport") {
			to += " static-port"
		} else if s.any {
			r.To.Ports = []Range{Ports(1024, 65535)}
		} else if r.To.Ports = s.ranges; s.word != "" {
			r.To.Words = append(r.To.Words, s.word)
		}
		to = " -> " + to
	}
	r.Text = "Outbound: " + kind + " on " + on + " " + strings.TrimSpace(ipprotocol+" "+protocol) + " from " + src.String() + " to " + dst.String() + to
	return r
}

// masquerade is what a source becomes: the address of the interface, unless another is named.
func (p *pf) masquerade(target, on string, family uint16) (to Translation) {
	if target == "" || target == on+"ip" {
		to.Interface = true
		return to
	}
	s := p.address(target)
	to.Addrs = s.ranges
	for _, f := range []uint16{4, 6} {
		if w := s.only[f]; w != "" && (family == 0 || family == f) {
			to.Words = append(to.Words, w)
		}
	}
	if s.any || s.word != "" {
		to.Words = append(to.Words, first(s.word, "target "+target))
	}
	return to
}

// automatic adds the rules of the modes automatic and hybrid: on each interface with a gateway, for the networks of all
// that have none ("Automatic Outbound NAT").
func (p *pf) automatic(outbound *element) {
	from := []Range{PrefixRange(netip.MustParsePrefix("127.0.0.0/8"))}
	word := ""
	for _, i := range p.interfaces {
		if i.gateway {
			continue
		}
		for _, r := range p.network(i, i.key).ranges {
			if inFamily(r, 4) {
				from = append(from, r)
			}
		}
	}
	for _, r := range p.root.kid("staticroutes").all("route") {
		i := p.find(p.gateways[r.of("gateway")])
		set := p.address(r.of("network"))
		if i == nil || i.gateway || set.any || p.on(r, "disabled") || p.opn {
			continue
		}
		for _, n := range set.ranges {
			if place(private, Single(n.First)) == yes {
				from = append(from, n)
			}
		}
	}
	vpn := p.root.kid("openvpn")
	for _, e := range append(vpn.all("openvpn-server"), vpn.all("openvpn-client")...) {
		for text := range strings.SplitSeq(e.of("tunnel_network"), ",") {
			if r, err := ParseAddrs(strings.TrimSpace(text)); err == nil && inFamily(r, 4) && !e.has("disable") {
				from = append(from, r)
			}
		}
	}
	from = Merge(from)
	for _, i := range p.interfaces {
		if !i.gateway || strings.HasPrefix(i.e.of("if"), "ovpn") {
			continue
		}
		r := &Rule{
			ID: "automatic " + i.key, Where: p.at(outbound), Text: "Automatic: nat on " + i.key + " from networks without a gateway to any -> (" + i.key + ")", Action: Translate,
			Match: Match{{Field: Out, Names: []string{i.key}}, familyTerm(4), {Field: SrcAddr, Ranges: from, Word: word}},
			To:    Translation{Interface: true, Ports: []Range{Ports(1024, 65535)}},
		}
		if !p.opn && i.e.has("nonat") {
			r.Action = Exempt
		}
		if outbound == nil {
			r.Where = p.at(i.e)
		}
		p.add(pfSNAT, r)
	}
}
