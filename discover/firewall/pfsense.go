package firewall

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
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
			return pfFirstTag(start) == "pfsense" || strings.HasPrefix(string(start), "---- BEGIN config.xml ----")
		},
		read: func(rs *Ruleset, files []Export) error { return readPF(rs, files, false) },
		edit: func(rs *Ruleset, e Edit) []string { return editPF(rs, e, false) },
	}
	opnsense = language{
		name: "opnsense", export: opnsenseExport,
		is:   func(start []byte) bool { return pfFirstTag(start) == "opnsense" },
		read: func(rs *Ruleset, files []Export) error { return readPF(rs, files, true) },
		edit: func(rs *Ruleset, e Edit) []string { return editPF(rs, e, true) },
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
	root        *pfElement
	interfaces  []*pfInterface
	groups      []pfGroup
	vips        []pfVIP
	gateways    map[string]string // interface of a gateway
	aliases     map[string]*pfAlias
	inner       map[string]bool // aliases that are in others
	depth       int             // aliases in aliases, now
	nested      int             // members that aliases have by others in them
	missing     map[string]bool // names that a note tells of
	reflections []*Rule         // of outbound NAT
}

type pfInterface struct {
	key, descr string
	addrs      []netip.Prefix // its own address, not those of VIPs
	unknown    map[uint16]string
	gateway    bool // it has one: then it is a WAN for automatic NAT
	e          *pfElement
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
	root, line, err := readPFXML(f.Data)
	if root == nil {
		return fmt.Errorf("%s:%d: is not XML to its end: %v; %s", f.Name, line, err, how)
	}
	rs.members = make(map[string]map[Range]member)
	p := &pf{rs: rs, opn: opn, file: f.Name, root: root, gateways: make(map[string]string), aliases: make(map[string]*pfAlias), inner: make(map[string]bool), missing: make(map[string]bool)}
	defer func() { // what is in another alias leaves that, too
		for name := range p.inner {
			delete(rs.members, name)
		}
	}()
	for _, e := range root.kid("load_balancer").all("virtual_server") {
		rs.note(p.at(e), "load_balancer: virtual server %s is not modelled: relayd may send connections on to its pool", clean(e.of("name"), 80))
	}
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
	if e := root.kid("installedpackages", "miniupnpd", "config", "enable"); e != nil && (e.text == "on" || e.text == "1") {
		rs.note(p.at(e), "UPnP is on: port forwards that hosts ask for are not in the configuration")
	}
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

func (p *pf) at(e *pfElement) Place {
	if e == nil {
		e = p.root
	}
	return Place{File: p.file, Line: e.line, End: e.end}
}

func (p *pf) chain(name string, e *pfElement) *Chain {
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
func (p *pf) on(e *pfElement, name string) bool {
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

func (p *pf) readInterface(e *pfElement) {
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

func (p *pf) readVIP(e *pfElement) {
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
	var best [2]*pfElement
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

// --- filter rules

// pfRule is a filter rule of either form, before it is put in order.
type pfRule struct {
	e                *pfElement
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
func (p *pf) oldRule(e *pfElement, n int) *pfRule {
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
func (p *pf) newRule(e *pfElement) *pfRule {
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
			m = append(m, pfNever())
		}
	}
	// What tells rules apart soonest is asked first.
	slices.SortStableFunc(m, func(a, b Term) int { return cmp.Compare(a.Field, b.Field) })
	out := &Rule{
		ID: r.id, Where: p.at(e), Comment: r.descr, Created: pfChange(e.kid("created")), Changed: pfChange(e.kid("updated")),
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
	own := func(e *pfElement, id, text string, action Action, m ...Term) {
		p.add(pfIn, &Rule{ID: id, Where: p.at(e), Text: "Automatic: " + text, Action: action, Quick: true, Match: m})
	}
	six := p.root.kid("OPNsense", "Interfaces", "settings")
	if p.opn && p.on(six, "disableipv6") || !p.opn && !system.has("ipv6allow") {
		own(cmp.Or(six, system), "Block all IPv6", "block in quick inet6", Drop, pfFamilyTerm(6))
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
			own(at, "blockbogons "+i.key, "block in quick on "+i.key+" inet from <bogons>", Drop, in, pfFamilyTerm(4), Term{Field: SrcAddr, Ranges: pfBogons4, Object: "bogons"})
			own(at, "blockbogons "+i.key, "block in quick on "+i.key+" inet6 from <bogonsv6>", Drop, in, pfFamilyTerm(6), Term{Field: SrcAddr, Ranges: pfBogons6, Object: "bogonsv6"})
		}
		if e := i.e; p.on(e, "blockpriv") {
			list, list6 := pfPrivateNets, pfRanges("fc00::/7")
			if p.opn {
				list, list6 = Merge(append(slices.Clone(pfPrivateNets), pfRanges("100.64.0.0/10", "169.254.0.0/16")...)), pfRanges("fd00::/8", "fe80::/10", "::1/128")
			}
			at := e.kid("blockpriv")
			own(at, "blockpriv "+i.key, "block in quick on "+i.key+" inet from private networks", Drop, in, pfFamilyTerm(4), Term{Field: SrcAddr, Ranges: list})
			own(at, "blockpriv "+i.key, "block in quick on "+i.key+" inet6 from private networks", Drop, in, pfFamilyTerm(6), Term{Field: SrcAddr, Ranges: list6})
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

func (p *pf) antiLockout(own func(e *pfElement, id, text string, action Action, m ...Term)) {
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
