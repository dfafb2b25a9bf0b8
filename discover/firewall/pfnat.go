package firewall

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// portForwards are the <rule>s of <nat>; OPNsense of late gives them an order of its own.
func (p *pf) portForwards() (out []*pfElement, ids map[*pfElement]string) {
	ids = make(map[*pfElement]string)
	out = p.root.kid("nat").all("rule")
	for n, e := range out {
		ids[e] = first(e.uuid, fmt.Sprintf("nat/rule %d", n+1))
	}
	if p.opn && !slices.ContainsFunc(out, func(e *pfElement) bool { return e.of("sequence") == "" }) {
		slices.SortStableFunc(out, func(a, b *pfElement) int {
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

func (p *pf) portForward(e *pfElement, id string) {
	family, m := p.family(e.of("ipprotocol"))
	on := first(e.of("interface"), map[bool]string{false: "wan"}[p.opn])
	proto, hasPorts := pfProtocol(e.of("protocol"), family)
	src, dst := p.side(e.kid("source")), p.side(e.kid("destination"))
	m = slices.Concat(m, proto, p.terms(src, SrcAddr, SrcPort, family, hasPorts), p.terms(dst, DstAddr, DstPort, family, hasPorts))
	if v := e.of("tagged"); v != "" {
		m = append(m, Term{Field: Unmodelled, Word: "tagged " + v})
	}
	r := &Rule{
		ID: id, Where: p.at(e), Comment: e.of("descr"), Created: pfChange(e.kid("created")), Changed: pfChange(e.kid("updated")),
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
func (p *pf) target(e *pfElement, dst pfSide, family uint16, hasPorts bool) (to Translation) {
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
func (p *pf) reflect(e *pfElement, r *Rule, names []string, m Match, kind, text string) {
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
func (p *pf) helper(e *pfElement, r *Rule, names []string) {
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
	e        *pfElement
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
		Created: pfChange(o.e.kid("created")), Changed: pfChange(o.e.kid("updated")),
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
		slices.SortStableFunc(rules, func(a, b *pfElement) int {
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

func (p *pf) outbound(e *pfElement, n int) *Rule {
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
			if pfInFamily(r, 4) {
				return "inet"
			}
			return "inet6"
		}
	}
	return "inet46"
}

func (p *pf) newOutbound(e *pfElement) *Rule {
	src := pfSide{[]string{first(e.of("source_net"), "any")}, p.on(e, "source_not"), e.of("source_port")}
	dst := pfSide{[]string{first(e.of("destination_net"), "any")}, p.on(e, "destination_not"), e.of("destination_port")}
	r := p.snat(e, e.of("interface"), first(e.of("ipprotocol"), "inet"), e.of("protocol"), src, dst, e.of("target"), e.of("target_port"))
	r.ID, r.Comment = first(e.uuid, fmt.Sprintf("rule of line %d", e.line)), e.of("description")
	r.Disabled = e.has("enabled") && !p.on(e, "enabled")
	return r
}

func (p *pf) snat(e *pfElement, on, ipprotocol, protocol string, src, dst pfSide, target, port string) *Rule {
	family, m := p.family(ipprotocol)
	proto, _ := pfProtocol(protocol, family)
	m = slices.Concat(Match{{Field: Out, Names: []string{on}}}, m, proto,
		p.terms(src, SrcAddr, SrcPort, family, true), p.terms(dst, DstAddr, DstPort, family, true))
	r := &Rule{Where: p.at(e), Action: Translate, Match: m, Created: pfChange(e.kid("created")), Changed: pfChange(e.kid("updated"))}
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
func (p *pf) automatic(outbound *pfElement) {
	from := []Range{PrefixRange(netip.MustParsePrefix("127.0.0.0/8"))}
	for _, i := range p.interfaces {
		if i.gateway {
			continue
		}
		for _, r := range p.network(i, i.key).ranges {
			if pfInFamily(r, 4) {
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
			if place(pfPrivateNets, Single(n.First)) == yes {
				from = append(from, n)
			}
		}
	}
	vpn := p.root.kid("openvpn")
	for _, e := range append(vpn.all("openvpn-server"), vpn.all("openvpn-client")...) {
		for text := range strings.SplitSeq(e.of("tunnel_network"), ",") {
			if r, err := ParseAddrs(strings.TrimSpace(text)); err == nil && pfInFamily(r, 4) && !e.has("disable") {
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
			Match: Match{{Field: Out, Names: []string{i.key}}, pfFamilyTerm(4), {Field: SrcAddr, Ranges: from}},
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
