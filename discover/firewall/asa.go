package firewall

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Cisco ASA, and PIX before it.
//
// From 8.3 on the destination is translated back first, and access lists match real addresses and ports, whichever
// interface they are on ("Real IP addresses in access rules"). Before 8.3 a list matches what is on the wire of its
// interface. NAT rules are asked in three sections: twice NAT, object NAT, and twice NAT after-auto. A connection passes by
// its state once its first packet was let through. Without a list on the interface that it came in by, the security levels
// decide.

var asaLanguage = language{
	name:   "asa",
	export: "Cisco ASA: show running-config, and beside it show access-list for counters",
	is:     isASA,
	read:   readASA,
	edit:   editASA,
}

var (
	asaConfig = regexp.MustCompile(`(?m)^(?:(?:ASA|PIX) Version [0-9]|access-list \S+ (?:line [0-9]+ )?extended (?:permit|deny) |access-group \S+ (?:in interface|global))`)
	asaShow   = regexp.MustCompile(`(?m)^access-list (?:cached ACL log flows|\S+; [0-9]+ elements?|\S+ line [0-9]+ )`)
	asaHits   = regexp.MustCompile(`^\s*(?:ipv6 )?access-list (\S+) line ([0-9]+) (.*?)\s*(?:\(hitcnt=([0-9]+)\).*|0x[0-9a-f]+\s*)$`)
	asaSizes  = regexp.MustCompile(`\([0-9]+\)`) // of groups, under object-group-search
	asaPair   = regexp.MustCompile(`^\(([^,()\s]+)(?:,([^,()\s]+))?\)$`)
)

func isASA(start []byte) bool { return asaConfig.Match(start) || asaShow.Match(start) }

// asa is a configuration while it is read.
type asa struct {
	*cisco
	real         bool // 8.3 and later: lists see real addresses
	twice        []ciscoBlock
	objectNAT    []asaObjectNAT
	old          []ciscoBlock // static, nat, global before 8.3
	binds        []ciscoBlock // access-group
	inter, intra bool
	control      Place // nat-control
	ports        []Range
	v6           bool // there are IPv6 lists beside those of IPv4
}

type asaObjectNAT struct {
	ciscoLine
	object string
}

func readASA(rs *Ruleset, files []Export) error {
	a := &asa{cisco: newCisco(rs, true), real: true, ports: []Range{Ports(22, 23), Ports(80, 80), Ports(179, 179), Ports(443, 443), Ports(8443, 8443)}}
	var shows []Export
	var routes []ciscoRoute
	var later []ciscoBlock // what needs all names
	learned, kept, configs, most := false, 0, 0, 0
	for _, f := range files {
		if ciscoShow(f.Data, asaShow) && !asaRunning.Match(f.Data[:min(len(f.Data), sniff)]) {
			shows = append(shows, f)
			continue
		}
		configs++
		last, system := 0, false
		err := ciscoBlocks(rs, f, asaWants, &kept, func(b ciscoBlock) {
			w := b.words
			last = b.n
			switch w[0] {
			case "ASA", "PIX":
				if len(w) > 2 && w[1] == "Version" {
					a.version, most = w[2], max(most, b.n)
					system = len(w) > 3 && w[3] == "<system>"
				}
			case ":", "Cryptochecksum:":
				if w[0] != ":" || len(w) > 1 && w[1] == "end" {
					a.complete = true
				}
			case "name":
				if len(w) > 2 {
					if addr, err := netip.ParseAddr(w[1]); err == nil {
						a.names[strings.Clone(w[2])] = addr
					}
				}
			case "object", "object-group":
				a.addGroup(b)
				if w[0] == "object" && len(w) > 2 && w[1] == "network" {
					for _, l := range b.body {
						if strings.HasPrefix(l.text, "nat ") {
							a.objectNAT = append(a.objectNAT, asaObjectNAT{l, strings.Clone(w[2])})
						}
					}
				}
			case "access-list":
				a.list(b)
			case "static", "global":
				a.old = append(a.old, b)
			case "nat":
				if slices.Contains(w[:min(len(w), 6)], "source") {
					a.twice = append(a.twice, b)
				} else {
					a.old = append(a.old, b)
				}
			case "same-security-traffic":
				a.inter = a.inter || strings.HasSuffix(b.text, "inter-interface")
				a.intra = a.intra || strings.HasSuffix(b.text, "intra-interface")
			case "nat-control":
				a.control = b.place()
			case "router":
				learned = true
			case "http":
				if len(w) > 3 && isNumber(w[3]) {
					n, _ := strconv.ParseUint(w[3], 10, 16)
					a.ports = append(a.ports, Ports(uint16(n), uint16(n)))
				}
			case "established", "conduit", "shun":
				rs.note(b.place(), "%s: not modelled; it may let connections through, or stop them", ciscoClean(short(b.text)))
			case "firewall":
				if len(w) > 1 && w[1] == "transparent" {
					rs.note(b.place(), "firewall transparent: bridge groups are not modelled; bind each zone to its interfaces")
				}
			case "policy-map":
				for _, l := range b.body {
					if strings.HasPrefix(l.text, "inspect esmtp") || strings.HasPrefix(l.text, "inspect smtp") {
						rs.note(l.place(), "%s: changes what SMTP servers say (greeting and extensions are masked), closes nothing", short(l.text))
					}
				}
			case "access-group":
				a.binds = append(a.binds, b)
			case "ipv6":
				switch {
				case len(w) > 3 && w[1] == "access-list":
					a.list(b)
					a.v6 = true
				case len(w) > 3 && w[1] == "route":
					later = append(later, b)
				}
			default:
				later = append(later, b)
			}
		})
		switch {
		case err != nil:
			return err
		case system:
			return fmt.Errorf("%s:%d: is the system space of a device with several contexts; export each one: changeto context NAME, show running-config", f.Name, most)
		case most > 0 && !a.complete:
			rs.note(Place{File: f.Name, Line: max(last, 1)}, "no line says : end: the export may be cut; export show running-config again")
		}
	}
	if configs == 0 {
		return fmt.Errorf("%s:1: show access-list alone does not tell where the lists are; export show running-config as well", files[0].Name)
	}
	a.any = 0
	if v := a.version; v != "" {
		a.real = !olderThan(v, 8, 3)
		if olderThan(v, 9, 0) {
			a.any = 4
		}
	} else if len(a.old) > 0 {
		a.real, a.any = false, 4
	}
	for _, b := range later {
		if r, ok := a.late(b); ok {
			routes = append(routes, r)
		}
	}
	fam := a.any
	for _, l := range a.order {
		if l.family == 0 {
			l.family = fam
		}
		a.addChain(l)
	}
	a.any = fam
	a.addRoutes(routes, learned)
	a.steps()
	for _, f := range shows {
		a.hits(f)
	}
	return nil
}

var asaRunning = regexp.MustCompile(`(?m)^(?:(?:ASA|PIX) Version [0-9]|access-group |interface )`)

// olderThan compares a version such as 8.2(5) or 9.12(4)10.
func olderThan(v string, major, minor int) bool {
	var a, b int
	if _, err := fmt.Sscanf(v, "%d.%d", &a, &b); err != nil {
		return false
	}
	return a < major || a == major && b < minor
}

func asaWants(w []string) bool {
	switch w[0] {
	case "ASA", "PIX", ":", "name", "nameif", "interface", "object", "object-group", "access-list", "access-group", "nat", "static",
		"global", "route", "same-security-traffic", "nat-control", "router", "established", "conduit", "shun":
		return true
	case "firewall", "policy-map", "ipv6":
		return len(w) > 1
	case "ip":
		return len(w) > 4 && w[1] == "address"
	case "http":
		return len(w) > 2 && w[1] == "server"
	}
	return strings.HasPrefix(w[0], "Cryptochecksum:")
}

func (a *asa) list(b ciscoBlock) {
	w, title, family := b.words[1:], "access-list ", uint8(0)
	if b.words[0] == "ipv6" {
		w, title, family = w[1:], "ipv6 access-list ", 6
	}
	if len(w) < 2 {
		return
	}
	kind := "extended"
	for _, s := range w[1:min(len(w), 4)] {
		switch s {
		case "ethertype", "webtype", "advanced":
			a.missingList(b, s)
			return
		case "standard":
			kind = s
		}
	}
	l := a.acl(w[0], title+short(w[0]), kind, family, b.place())
	if kind == "standard" {
		l.kind = kind
	}
	l.lines = append(l.lines, b.ciscoLine)
}

func (a *asa) missingList(b ciscoBlock, kind string) {
	if key := "\x00" + kind; kind == "advanced" && !a.missing[key] {
		a.missing[key] = true
		a.rs.note(b.place(), "access-list … advanced: rules of Firepower Threat Defense are not read")
	}
}

// late reads what may be written with names: interfaces and routes.
func (a *asa) late(b ciscoBlock) (r ciscoRoute, ok bool) {
	w := b.words
	switch w[0] {
	case "interface":
		if len(w) > 2 { // PIX: interface ethernet0 auto shutdown
			if f := a.iface(w[1]); f != nil && slices.Contains(w, "shutdown") {
				f.shut = true
			}
			return r, false
		}
		a.interfaceBlock(b)
	case "nameif": // PIX: nameif ethernet0 outside security0
		if len(w) > 3 {
			level, _ := strconv.Atoi(strings.TrimPrefix(w[3], "security"))
			a.ifaces = append(a.ifaces, &ciscoInterface{
				Interface: Interface{Name: short(w[2]), Zones: []string{short(w[1])}}, alias: short(w[1]), level: level, place: b.place(),
			})
		}
	case "ip": // PIX: ip address outside 203.0.113.1 255.255.255.0
		if f := a.iface(w[2]); f != nil {
			if p, ok := a.prefix(w[3], w[4]); ok {
				f.Addrs = append(f.Addrs, p)
			}
		}
	case "route", "ipv6":
		v6 := w[0] == "ipv6"
		if v6 {
			w = w[1:]
		}
		r = ciscoRoute{where: b.place(), distance: 1}
		if len(w) > 4 && !v6 {
			r.Prefix, ok = a.prefix(w[2], w[3])
		} else if len(w) > 3 && v6 {
			p, err := netip.ParsePrefix(w[2])
			r.Prefix, ok = p, err == nil
		}
		if !ok {
			a.rs.note(r.where, "%s: the route is not understood", short(b.text))
			return r, false
		}
		r.Prefix, r.Out = r.Prefix.Masked(), short(w[1])
		at := 5
		if v6 {
			at = 4
		}
		if len(w) > at && isNumber(w[at]) {
			r.distance, _ = strconv.Atoi(w[at])
		}
		return r, true
	}
	return r, false
}

func (a *asa) prefix(addr, mask string) (netip.Prefix, bool) {
	if n, ok := a.names[addr]; ok {
		addr = n.String()
	}
	if n, ok := a.names[mask]; ok {
		mask = n.String()
	}
	return ciscoPrefix(addr, mask)
}

func (a *asa) interfaceBlock(b ciscoBlock) {
	f := &ciscoInterface{alias: short(strings.Join(b.words[1:], "")), place: b.place()}
	for _, l := range b.body {
		w := strings.Fields(l.text)
		switch {
		case w[0] == "shutdown":
			f.shut = true
		case w[0] == "management-only":
			f.manage = true
		case len(w) < 2:
		case w[0] == "nameif":
			f.Name = short(w[1])
			if f.Name == "inside" {
				f.level = 100
			}
			f.place = l.place()
		case w[0] == "security-level":
			f.level, _ = strconv.Atoi(w[1])
		case w[0] == "zone-member":
			f.Zones = append(f.Zones, short(w[1]))
		case w[0] == "ip" && w[1] == "address" && len(w) > 3:
			if p, ok := a.prefix(w[2], w[3]); ok {
				f.Addrs = append(f.Addrs, p)
			}
		case w[0] == "ipv6" && w[1] == "address" && len(w) > 2:
			if p, err := netip.ParsePrefix(w[2]); err == nil {
				if slices.Contains(w, "eui-64") {
					f.dynamic = append(f.dynamic, p)
				} else {
					f.Addrs = append(f.Addrs, p)
				}
			}
		}
	}
	if f.Name == "" { // without a name nothing passes it
		return
	}
	f.Zones = append([]string{f.alias}, f.Zones...)
	a.ifaces = append(a.ifaces, f)
}

// steps puts all in the order of a packet.
func (a *asa) steps() {
	rs := a.rs
	where := Place{File: rs.Files[0].Name, Line: 1}
	global, wrong := a.bind()
	dnat := &Chain{Name: "nat, destination", Where: where, Policy: Accept, PolicyText: "no translation"}
	snat := &Chain{Name: "nat, source", Where: where, Policy: Accept, PolicyText: "no translation"}
	if a.real {
		a.newNAT(dnat, snat)
	}
	a.oldNAT(dnat, snat)
	put := func(kind Kind, hook Hook, c *Chain) {
		if len(c.Rules) > 0 {
			c.Where = c.Rules[0].Where
			rs.Chains[c.Name] = c
			rs.Steps = append(rs.Steps, Step{Name: "nat", Kind: kind, Hook: hook, Chain: c.Name, Stateful: true})
		}
	}
	hook := Forward // lists are not about connections to the device itself
	if a.real {
		put(DNAT, Prerouting, dnat)
	} else {
		hook = Prerouting
	}
	families := []uint8{0}
	if a.any != 0 || a.v6 {
		families = []uint8{4, 6}
	}
	for _, f := range a.ifaces {
		for _, fam := range families {
			a.inbound(f, fam, global, hook)
		}
	}
	if !a.real {
		put(DNAT, Prerouting, dnat)
	}
	for _, f := range a.ifaces {
		for _, fam := range families {
			a.levels(f, fam, global)
		}
	}
	if a.real {
		a.outbound(families)
	}
	a.itself(where)
	put(SNAT, Postrouting, snat)
	if !a.real {
		a.outbound(families)
	}
	if a.control.Line > 0 || strings.HasPrefix(a.version, "6.") {
		a.natControl()
	}
	for _, w := range wrong { // a list that may deny, on an interface that is not known
		rs.note(w.place(), "%s is not understood: another list may deny more", short(w.text))
	}
}

// bind reads the access-group lines. It returns the list that is on all interfaces.
func (a *asa) bind() (global *ciscoBinding, wrong []ciscoBlock) {
	for _, b := range a.binds {
		w := b.words
		switch {
		case len(w) > 2 && w[2] == "global":
			global = &ciscoBinding{acl: w[1], where: b.place()}
		case len(w) > 4 && w[3] == "interface" && (w[2] == "in" || w[2] == "out"):
			f := a.iface(w[4])
			switch {
			case slices.Contains(w, "control-plane"):
				a.rs.note(b.place(), "%s: lists of the control plane are not modelled; they decide about connections to the device itself", strings.Join(w, " "))
			case f == nil:
				wrong = append(wrong, b)
			default:
				f.groups = append(f.groups, ciscoBinding{acl: w[1], out: w[2] == "out", where: b.place()})
			}
		default:
			wrong = append(wrong, b)
		}
	}
	return global, wrong
}

// bound is the access list of an interface, in a direction and family. It reports whether there is one.
func (a *asa) bound(f *ciscoInterface, out bool, fam uint8) (ciscoBinding, bool) {
	for _, b := range f.groups {
		if b.out != out {
			continue
		}
		_, v4 := a.acls[b.acl]
		_, v6 := a.acls["ipv6 "+b.acl]
		if fam == 0 || fam == 4 && (v4 || !v6) || fam == 6 && v6 {
			return b, true
		}
	}
	return ciscoBinding{}, false
}

func (a *asa) title(b ciscoBinding, fam uint8) string {
	l := a.acls[b.acl]
	if v6 := a.acls["ipv6 "+b.acl]; v6 != nil && (fam == 6 || l == nil) {
		l = v6
	}
	if l == nil {
		title := "access-list " + short(b.acl)
		if a.rs.Chains[title] == nil {
			word := title + " is not in the export"
			a.rs.note(b.where, "%s: what it says stays open; export all of show running-config", word)
			a.rs.Chains[title] = &Chain{Name: title, Where: b.where, Policy: Drop, PolicyText: "implicit deny", Rules: []*Rule{
				{ID: "missing", Where: b.where, Text: word, Action: Uncertain, Words: []string{word}},
			}}
		}
		return title
	}
	return l.title
}

func asaWhen(f *ciscoInterface, field Field, fam uint8) Match {
	when := Match{{Field: field, Names: []string{f.Name}}}
	if fam != 0 {
		when = append(Match{ofFamily(fam)}, when...)
	}
	return when
}

// inbound adds the list of an interface and, behind it, the one that is global; what neither decides is denied.
func (a *asa) inbound(f *ciscoInterface, fam uint8, global *ciscoBinding, hook Hook) {
	if f.shut {
		return
	}
	b, ok := a.bound(f, false, fam)
	if !ok && global == nil {
		return
	}
	name, title := "access-group global, interface "+f.Name, ""
	switch {
	case !ok:
		title = a.title(*global, fam)
	case global == nil:
		title = a.title(b, fam)
	default:
		title = fmt.Sprintf("access-group %s, then %s", short(b.acl), short(global.acl))
		if fam != 0 {
			title += fmt.Sprintf(", IPv%d", fam)
		}
		jump := func(b ciscoBinding, text string) *Rule {
			return &Rule{ID: short(b.acl), Where: b.where, Text: "access-group " + short(b.acl) + text, Action: Jump, Chain: a.title(b, fam)}
		}
		a.rs.Chains[title] = &Chain{
			Name: title, Where: b.where, Policy: Drop, PolicyText: "implicit deny",
			Rules: []*Rule{jump(b, " in interface "+f.Name), jump(*global, " global")},
		}
	}
	if ok {
		name = fmt.Sprintf("access-group %s in interface %s", short(b.acl), f.Name)
	}
	a.rs.Steps = append(a.rs.Steps, Step{Name: name, Hook: hook, When: asaWhen(f, In, fam), Chain: title, Stateful: true})
}

func (a *asa) outbound(families []uint8) {
	for _, f := range a.ifaces {
		for _, fam := range families {
			if b, ok := a.bound(f, true, fam); ok && !f.shut {
				name := fmt.Sprintf("access-group %s out interface %s", short(b.acl), f.Name)
				a.rs.Steps = append(a.rs.Steps, Step{Name: name, Hook: Forward, When: asaWhen(f, Out, fam), Chain: a.title(b, fam), Stateful: true})
			}
		}
	}
}

// levels adds what security levels say of an interface. A list on it takes the place of "higher may go to lower", but not of
// same-security-traffic.
func (a *asa) levels(f *ciscoInterface, fam uint8, global *ciscoBinding) {
	if f.shut {
		return
	}
	_, listed := a.bound(f, false, fam)
	listed = listed || global != nil
	title := "security-level " + f.Name
	if fam != 0 {
		title += fmt.Sprintf(", IPv%d", fam)
	}
	c := &Chain{Name: title, Where: f.place, Policy: Drop, PolicyText: "security-level"}
	when := asaWhen(f, In, fam)
	var barred []string // where a list cannot let it go
	add := func(g *ciscoInterface, pass bool, text string) {
		r := &Rule{ID: "security-level", Where: f.place, Text: text, Action: Drop, Match: Match{{Field: Out, Names: []string{g.Name}}}}
		if pass {
			r.Action = Accept
		}
		if !pass || !listed {
			c.Rules = append(c.Rules, r)
			barred = append(barred, g.Name)
		}
	}
	for _, g := range a.ifaces {
		between := fmt.Sprintf("security-level %d to %d, %s to %s", f.level, g.level, f.Name, g.Name)
		switch {
		case g.shut:
		case f.manage || g.manage:
			add(g, false, "management-only: "+between)
		case f == g:
			add(g, a.intra, "same-security-traffic intra-interface: "+between)
		case f.level == g.level:
			add(g, a.inter, "same-security-traffic inter-interface: "+between)
		case !listed:
			add(g, f.level > g.level, between)
		}
	}
	if listed {
		if len(barred) == 0 {
			return
		}
		when = append(when, Term{Field: Out, Names: barred})
	}
	a.rs.Chains[title] = c
	a.rs.Steps = append(a.rs.Steps, Step{Name: title, Hook: Forward, When: when, Chain: title, Stateful: true})
}

// itself adds connections to the device: it has services to manage it, and else takes none.
func (a *asa) itself(where Place) {
	c := &Chain{Name: "to the device itself", Where: where, Policy: Drop, PolicyText: "the device has no such service"}
	word := "services of the device itself (ssh, telnet, http, webvpn)"
	c.Rules = []*Rule{{
		ID: "management", Where: where, Text: word, Action: Uncertain, Words: []string{word},
		Match: Match{{Field: DstPort, Ranges: Merge(a.ports)}},
	}}
	a.rs.Chains[c.Name] = c
	a.rs.Steps = append(a.rs.Steps, Step{Name: c.Name, Hook: Input, Chain: c.Name, Stateful: true})
}

// natControl adds that only translated connections pass between levels. Whether an exemption counts is not modelled.
func (a *asa) natControl() {
	where := a.control
	if where.Line == 0 {
		where = Place{File: a.rs.Files[0].Name, Line: 1}
	}
	c := &Chain{Name: "nat-control", Where: where, Policy: Accept, PolicyText: "translated", Rules: []*Rule{{
		ID: "nat-control", Where: where, Text: "nat-control", Action: Uncertain, Words: []string{"nat-control"},
	}}}
	when := Match{{Field: Translated, Not: true, Bits: 3}}
	a.rs.Chains[c.Name] = c
	a.rs.Steps = append(a.rs.Steps, Step{Name: c.Name, Hook: Forward, When: when, Chain: c.Name, Stateful: true})
}

// NAT, 8.3 and later.

// sides reads (real,mapped).
func asaSides(s string) (real, mapped []string, ok bool) {
	m := asaPair.FindStringSubmatch(s)
	if m == nil {
		return nil, nil, false
	}
	side := func(name string) []string {
		if name == "any" || name == "" {
			return nil
		}
		return []string{strings.Clone(name)}
	}
	return side(m[1]), side(m[2]), true
}

func (a *asa) newNAT(dnat, snat *Chain) {
	one := func(n *ciscoNAT, section, at int, where Place, text string, ok bool) {
		n.rule.ID, n.rule.Where, n.rule.Text = fmt.Sprintf("nat-%d.%d", section, at), where, ciscoClean(text)
		if !ok {
			a.uncertainNAT(n, dnat, snat)
			return
		}
		n.add(dnat, snat)
	}
	var auto []ciscoBlock
	at := 0
	for _, b := range a.twice {
		if slices.Contains(b.words[:min(len(b.words), 4)], "after-auto") {
			auto = append(auto, b)
			continue
		}
		at++
		n, ok := a.twiceNAT(b.words)
		one(n, 1, at, b.place(), b.text, ok)
	}
	type object struct {
		asaObjectNAT
		*ciscoNAT
		ok bool
	}
	var objects []object
	for _, l := range a.objectNAT {
		n, ok := a.autoNAT(l)
		objects = append(objects, object{l, n, ok})
	}
	// NAT rule order: static before dynamic; fewer addresses, lower addresses, and names of the alphabet first.
	slices.SortStableFunc(objects, func(x, y object) int {
		if x.static != y.static {
			if x.static {
				return -1
			}
			return 1
		}
		xs, ys := x.src.span(), y.src.span()
		if c := xs.size().Compare(ys.size()); c != 0 {
			return c
		}
		if c := xs.First.Compare(ys.First); c != 0 {
			return c
		}
		return strings.Compare(x.object, y.object)
	})
	for i, o := range objects {
		o.rule.Name = o.object
		one(o.ciscoNAT, 2, i+1, o.place(), o.text, o.ok)
	}
	for i, b := range auto {
		n, ok := a.twiceNAT(b.words)
		one(n, 3, i+1, b.place(), b.text, ok)
	}
}

// and is all that is in one of two sets.
func (s ciscoAddrs) and(t ciscoAddrs) ciscoAddrs {
	if t.within == "" {
		s.ranges = Merge(append(slices.Clone(s.ranges), t.ranges...))
	}
	s.word = joinWords(s.word, first(t.word, t.within))
	return s
}

func (s ciscoAddrs) span() Range {
	switch {
	case s.any && s.family == 4:
		return AllIPv4()
	case s.any || len(s.ranges) == 0:
		return AllIPv6()
	}
	return Range{s.ranges[0].First, s.ranges[len(s.ranges)-1].Last}
}

// uncertainNAT adds a line that is not understood: whether it translates stays open.
func (a *asa) uncertainNAT(n *ciscoNAT, dnat, snat *Chain) {
	a.rs.note(n.rule.Where, "%s: the translation is not understood; whether it is done stays open", n.rule.Text)
	for _, c := range []*Chain{dnat, snat} {
		r := n.rule
		r.Match, r.Action, r.Words = Match{unmodelled(r.Text)}, Uncertain, []string{r.Text}
		if n.real != nil && n.mapped != nil {
			r.Match = append(r.Match, Term{Field: In, Names: append(slices.Clone(n.real), n.mapped...)})
		}
		c.Rules = append(c.Rules, &r)
	}
}

// end reads a name of addresses in a NAT line: any, an object, or an address.
func (a *asa) natAddrs(name string) ciscoAddrs {
	if name == "any" || name == "any4" || name == "any6" {
		s := ciscoAddrs{any: true}
		switch name {
		case "any4":
			s.family = 4
		case "any6":
			s.family = 6
		}
		return s
	}
	if addr, ok := a.addr(name); ok && a.groups[name] == nil {
		return ciscoAddrs{ranges: []Range{One(addr)}, family: addrFamily(addr)}
	}
	if p, err := netip.ParsePrefix(name); err == nil {
		return ciscoAddrs{ranges: []Range{PrefixRange(p)}, family: addrFamily(p.Addr())}
	}
	return a.network(name)
}

func (a *asa) interfaceAddr(side []string, v6 bool) ciscoAddrs {
	fam := uint8(4)
	if v6 {
		fam = 6
	}
	if len(side) == 0 {
		return ciscoAddrs{within: "address of the interface", family: fam, ranges: []Range{AllIPv6()}}
	}
	return a.addressOf(side[0], fam)
}

// cursor takes words one by one.
type cursor struct{ w []string }

func (c *cursor) next() string {
	if len(c.w) == 0 {
		return ""
	}
	s := c.w[0]
	c.w = c.w[1:]
	return s
}

func (c *cursor) take(word string) bool {
	if len(c.w) > 0 && c.w[0] == word {
		c.w = c.w[1:]
		return true
	}
	return false
}

// dynamic reads what a source becomes, dynamically: interface | ADDRESSES [interface] | pat-pool ADDRESSES [options].
func (a *asa) dynamic(n *ciscoNAT, c *cursor) {
	if c.take("interface") {
		n.iface = true
		c.take("ipv6")
		return
	}
	pool := c.take("pat-pool")
	name := c.next()
	n.srcTo = a.natAddrs(name)
	for pool = pool || c.take("pat-pool"); pool || len(c.w) > 0; {
		pool = false
		switch {
		case c.take("round-robin"), c.take("extended"), c.take("flat"), c.take("include-reserve"), c.take("block-allocation"), c.take("dns"):
		case len(c.w) > 0 && c.w[0] == "interface": // once the pool is used up
			c.next()
			c.take("ipv6")
			n.srcTo = n.srcTo.and(a.interfaceAddr(n.mapped, false))
		case len(c.w) > 0 && a.groups[c.w[0]] != nil && !slices.Contains(asaNATWords, c.w[0]):
			n.srcTo = n.srcTo.and(a.natAddrs(c.next()))
		default:
			return
		}
	}
}

var asaNATWords = []string{"destination", "service", "dns", "unidirectional", "no-proxy-arp", "route-lookup", "inactive", "description", "net-to-net"}

// twiceNAT reads nat (real,mapped) [after-auto] source … [destination …] [service …].
func (a *asa) twiceNAT(w []string) (*ciscoNAT, bool) {
	any := ciscoAddrs{any: true}
	n := &ciscoNAT{src: any, srcTo: any, dst: any, dstTo: any, dstIdentity: true}
	c := &cursor{w[1:]}
	var ok bool
	if n.real, n.mapped, ok = asaSides(c.next()); !ok {
		return n, false
	}
	if len(c.w) > 0 && isNumber(c.w[0]) {
		c.next()
	}
	c.take("after-auto")
	if len(c.w) > 0 && isNumber(c.w[0]) {
		c.next()
	}
	if !c.take("source") {
		return n, false
	}
	kind := c.next()
	if kind != "static" && kind != "dynamic" {
		return n, false
	}
	name := c.next()
	n.src = a.natAddrs(name)
	if n.static = kind == "static"; n.static {
		if to := c.next(); to == "interface" {
			n.srcTo = a.interfaceAddr(n.mapped, c.take("ipv6"))
		} else {
			n.srcTo, n.identity = a.natAddrs(to), to == name
		}
	} else {
		a.dynamic(n, c)
	}
	if c.take("destination") {
		if !c.take("static") {
			return n, false
		}
		// The address of the interface that the packet arrives by.
		if from := c.next(); from == "interface" {
			n.dst, n.dstIdentity = a.interfaceAddr(n.real, c.take("ipv6")), false
			n.dstTo = a.natAddrs(c.next())
		} else {
			to := c.next()
			n.dst, n.dstTo, n.dstIdentity = a.natAddrs(from), a.natAddrs(to), from == to
		}
	}
	if c.take("service") {
		// The first object has the real source port or the mapped destination port, the second the other two.
		one, two := c.next(), c.next()
		if !a.services(n, one, two) {
			return n, false
		}
	}
	for len(c.w) > 0 {
		switch word := c.next(); word {
		case "dns", "no-proxy-arp", "route-lookup", "net-to-net":
		case "unidirectional":
			n.oneWay = true
		case "inactive":
			n.rule.Disabled = true
		case "description":
			n.rule.Comment = ciscoClean(strings.Join(c.w, " "))
			return n, true
		default:
			return n, false
		}
	}
	return n, true
}

// services sets the ports of a line from its two service objects.
func (a *asa) services(n *ciscoNAT, one, two string) bool {
	if one == "any" && two == "any" {
		return true
	}
	x, y := a.service(one), a.service(two)
	if len(x.list) != 1 || len(y.list) != 1 {
		return false
	}
	from, to := x.list[0], y.list[0]
	if from.proto != 6 || from.word != "" || to.word != "" {
		n.extra = Match{{Field: Proto, Ranges: []Range{Single(Number(max(from.proto, 1)))}}}
		return from.proto != 0 && from.word == "" && to.word == ""
	}
	n.tcp = true
	if n.static { // a dynamic line has no use for source ports
		n.srcPort, n.srcToPort = ciscoPorts{ranges: from.src}, ciscoPorts{ranges: to.src}
	}
	n.dstPort, n.dstToPort = ciscoPorts{ranges: from.dst}, ciscoPorts{ranges: to.dst}
	if !slices.Equal(from.dst, to.dst) {
		n.dstIdentity = false
	}
	return true
}

// autoNAT reads the nat line of an object.
func (a *asa) autoNAT(l asaObjectNAT) (*ciscoNAT, bool) {
	any := ciscoAddrs{any: true}
	n := &ciscoNAT{src: a.network(l.object), srcTo: any, dst: any, dstTo: any}
	c := &cursor{strings.Fields(l.text)[1:]}
	if len(c.w) == 0 {
		return n, false
	}
	if strings.HasPrefix(c.w[0], "(") {
		var ok bool
		if n.real, n.mapped, ok = asaSides(c.next()); !ok {
			return n, false
		}
	}
	switch c.next() {
	case "static":
		n.static = true
		to := c.next()
		if to == "interface" {
			n.srcTo = a.interfaceAddr(n.mapped, c.take("ipv6"))
		} else {
			n.srcTo, n.identity = a.natAddrs(to), to == l.object
			if addr, ok := a.addr(to); ok && len(n.src.ranges) == 1 { // the first of as many
				from := AddrValue(addr)
				if size := n.src.ranges[0].size(); size != (Value{}) {
					n.srcTo = ciscoAddrs{ranges: []Range{{from, from.plus(size)}}, family: n.src.family}
				}
				n.identity = n.identity || n.srcTo.ranges[0] == n.src.ranges[0]
			}
		}
	case "dynamic":
		a.dynamic(n, c)
	default:
		return n, false
	}
	for len(c.w) > 0 {
		switch c.next() {
		case "dns", "no-proxy-arp", "route-lookup", "net-to-net", "interface":
		case "service":
			proto, from, to := c.next(), c.next(), c.next()
			x, ok := tcpPort(from)
			y, ok2 := tcpPort(to)
			if proto != "tcp" {
				n.extra = Match{{Field: Proto, Ranges: []Range{Single(Number(17))}}}
				continue
			}
			if !ok || !ok2 {
				return n, false
			}
			n.tcp = true
			n.srcPort.ranges, n.srcToPort.ranges = []Range{Ports(x, x)}, []Range{Ports(y, y)}
		default:
			return n, false
		}
	}
	return n, true
}

// NAT before 8.3: exemptions, then static lines, then dynamic ones by access list, then the others, longest prefix first.
func (a *asa) oldNAT(dnat, snat *Chain) {
	type pool struct {
		iface string
		ciscoAddrs
		own bool
	}
	pools := make(map[string][]pool)
	for _, b := range a.old {
		if w := b.words; w[0] == "global" && len(w) > 3 {
			side, _, ok := asaSides(w[1])
			if !ok || len(side) == 0 {
				a.rs.note(b.place(), "%s: the pool is not understood", short(b.text))
				continue
			}
			p := pool{iface: side[0], own: w[3] == "interface"}
			if r, err := ParseAddrs(w[3]); err == nil {
				p.ranges = []Range{r}
			} else if addr, ok := a.addr(w[3]); ok {
				p.ranges = []Range{One(addr)}
			} else if !p.own {
				p.word = short(b.text)
			}
			pools[w[2]] = append(pools[w[2]], p)
		}
	}
	type entry struct {
		rank, bits int
		add        func()
	}
	var entries []entry
	at := 0
	for _, b := range a.old {
		w := b.words
		if w[0] == "global" {
			continue
		}
		at++
		any := ciscoAddrs{any: true}
		n := &ciscoNAT{src: any, srcTo: any, dst: any, dstTo: any}
		n.rule = Rule{ID: "nat-" + strconv.Itoa(at), Where: b.place(), Text: ciscoClean(b.text)}
		ok := len(w) > 3
		if ok {
			n.real, n.mapped, ok = asaSides(w[1])
		}
		open := func() { a.uncertainNAT(n, dnat, snat) }
		switch {
		case !ok:
			entries = append(entries, entry{1, 0, open})
		case w[0] == "static":
			if add, ok := a.oldStatic(n, w[2:], dnat, snat); ok {
				entries = append(entries, entry{1, 0, add})
			} else {
				entries = append(entries, entry{1, 0, open})
			}
		case w[3] == "access-list" && len(w) > 4:
			l := a.acls[w[4]]
			switch {
			case l == nil:
				entries = append(entries, entry{0, 0, open})
			case w[2] == "0": // in both directions
				entries = append(entries, entry{0, 0, func() {
					a.addList(snat, n.rule.ID+" "+l.title, n, l, Match{ofFamily(4), {Field: In, Names: n.real}}, Translation{}, Exempt, false)
					a.addList(dnat, n.rule.ID+" "+l.title+", to it", n, l, Match{ofFamily(4), {Field: In, Not: true, Names: n.real}}, Translation{}, Exempt, true)
				}})
			default:
				for _, p := range pools[w[2]] {
					entries = append(entries, entry{2, 0, func() {
						to := a.poolOf(p.ciscoAddrs, p.own, p.iface)
						a.addList(snat, n.rule.ID+" "+l.title+" "+p.iface, n, l, Match{ofFamily(4), {Field: In, Names: n.real}, {Field: Out, Names: []string{p.iface}}}, to, Translate, false)
					}})
				}
			}
		default:
			mask := "255.255.255.255"
			if len(w) > 4 {
				mask = w[4]
			}
			net, zero := w[3], "0.0.0.0"
			if net == "0" {
				net = zero
			}
			if mask == "0" {
				mask = zero
			}
			p, ok := a.prefix(net, mask)
			if !ok {
				entries = append(entries, entry{3, 0, open})
				continue
			}
			n.src = ciscoAddrs{ranges: []Range{PrefixRange(p)}, family: 4}
			if w[2] == "0" {
				n.identity = true
				entries = append(entries, entry{3, p.Bits(), func() { n.add(dnat, snat) }})
				continue
			}
			for _, pool := range pools[w[2]] {
				n := *n
				n.mapped, n.iface, n.srcTo = []string{pool.iface}, pool.own, pool.ciscoAddrs
				entries = append(entries, entry{3, p.Bits(), func() { n.add(dnat, snat) }})
			}
		}
	}
	slices.SortStableFunc(entries, func(x, y entry) int {
		if x.rank != y.rank {
			return x.rank - y.rank
		}
		return y.bits - x.bits
	})
	for _, e := range entries {
		e.add()
	}
}

func (a *asa) poolOf(s ciscoAddrs, own bool, iface string) Translation {
	if own {
		s = a.addressOf(iface, 4)
	}
	if w := first(s.word, s.within); w != "" {
		return Translation{Words: []string{w}}
	}
	return Translation{Addrs: s.ranges}
}

// oldStatic reads [tcp|udp] MAPPED [PORT] (REAL [PORT] [netmask M] | access-list A).
func (a *asa) oldStatic(n *ciscoNAT, w []string, dnat, snat *Chain) (add func(), ok bool) {
	n.static = true
	c := &cursor{w}
	proto := ""
	if c.take("tcp") {
		proto, n.tcp = "tcp", true
	} else if c.take("udp") {
		proto, n.extra = "udp", Match{{Field: Proto, Ranges: []Range{Single(Number(17))}}}
	}
	port := func(p *ciscoPorts) bool {
		if proto == "" {
			return true
		}
		v, ok := tcpPort(c.next())
		p.ranges = []Range{Ports(v, v)}
		return ok || proto == "udp"
	}
	if c.take("interface") {
		n.srcTo = a.interfaceAddr(n.mapped, false)
	} else {
		addr, ok := a.addr(c.next())
		if !ok {
			return nil, false
		}
		n.srcTo = ciscoAddrs{ranges: []Range{One(addr)}, family: 4}
	}
	if !port(&n.srcToPort) {
		return nil, false
	}
	if c.take("access-list") { // what its lines call source is what is translated
		l := a.acls[c.next()]
		if l == nil {
			return nil, false
		}
		return func() {
			for _, line := range l.chain.Rules {
				m := *n
				m.rule.Disabled = line.Disabled
				if line.Action != Accept {
					m.extra = append(slices.Clone(m.extra), unmodelled(line.Text))
				}
				m.src, m.dst, m.dstIdentity = ciscoAddrs{any: true}, ciscoAddrs{any: true}, true
				for _, t := range line.Match {
					s := ciscoAddrs{ranges: t.Ranges, word: t.Word, object: t.Object, family: 4}
					switch t.Field {
					case SrcAddr:
						m.src = s
					case DstAddr:
						m.dst = s
					case SrcPort:
						m.srcPort = ciscoPorts{ranges: t.Ranges, word: t.Word}
						if m.srcToPort.ranges == nil {
							m.srcToPort = m.srcPort
						}
					case DstPort:
						m.dstPort = ciscoPorts{ranges: t.Ranges, word: t.Word}
						m.dstToPort = m.dstPort
					case Proto:
						m.extra = append(slices.Clone(m.extra), t)
					case Unmodelled, Phase, AnyOf:
						m.extra = append(slices.Clone(m.extra), t)
					}
				}
				m.dstTo = m.dst
				m.add(dnat, snat)
			}
		}, true
	}
	addr, ok := a.addr(c.next())
	if !ok {
		return nil, false
	}
	n.src = ciscoAddrs{ranges: []Range{One(addr)}, family: 4}
	if !port(&n.srcPort) {
		return nil, false
	}
	if c.take("netmask") {
		mask, err := netip.ParseAddr(c.next())
		if err != nil || !mask.Is4() {
			return nil, false
		}
		bits, ok := maskBits(mask)
		if !ok {
			return nil, false
		}
		for _, s := range []*ciscoAddrs{&n.src, &n.srcTo} {
			if bits < 32 && len(s.ranges) == 1 {
				s.ranges = []Range{PrefixRange(netip.PrefixFrom(s.ranges[0].First.Addr(), bits))}
			}
		}
	}
	n.identity = n.srcTo.within == "" && len(n.srcTo.ranges) == 1 && n.src.ranges[0] == n.srcTo.ranges[0]
	return func() { n.add(dnat, snat) }, true
}

// hits takes the hit counts of show access-list to the rules. A line with groups is followed by what it stands for.
func (a *asa) hits(f Export) {
	text := string(f.Data)
	var last *Rule
	counted := false
	lines := make(map[*Chain]map[string]*Rule) // by ID
	for n := 1; text != ""; n++ {
		line, rest, _ := strings.Cut(text, "\n")
		text = rest
		if len(line) > ciscoLongLine {
			continue
		}
		if strings.Contains(line, "More") {
			line = ciscoPager.ReplaceAllString(line, "")
		}
		m := asaHits.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		count, err := strconv.ParseUint(m[4], 10, 64)
		if line[0] == ' ' { // a part of the line before
			if last != nil && !counted && err == nil {
				if last.Counter == nil {
					last.Counter = &Counter{}
				}
				last.Counter.Packets += count
			}
			continue
		}
		l := a.acls[m[1]]
		if v6 := a.acls["ipv6 "+m[1]]; v6 != nil && (l == nil || strings.HasPrefix(line, "ipv6")) {
			l = v6
		}
		if last, counted = nil, false; l == nil {
			a.rs.note(Place{File: f.Name, Line: n}, "access-list %s is not in show running-config: the exports are of different times", short(m[1]))
			continue
		}
		if lines[l.chain] == nil {
			lines[l.chain] = make(map[string]*Rule, len(l.chain.Rules))
			for _, r := range slices.Backward(l.chain.Rules) { // of several the first
				lines[l.chain][r.ID] = r
			}
		}
		r := lines[l.chain][m[2]]
		if r == nil || !sameEntry(r.Text, m[3]) {
			a.rs.note(Place{File: f.Name, Line: n}, "access-list %s line %s is not in show running-config: the exports are of different times", short(m[1]), m[2])
			continue
		}
		last = r
		if err == nil {
			last.Counter, counted = &Counter{Packets: count}, true
		}
	}
}

// sameEntry compares a line of show running-config with one of show access-list, which adds log levels and the like: they
// begin alike, up to the action, protocol and addresses.
func sameEntry(config, show string) bool {
	w, s := asaWords(config), strings.Fields(asaSizes.ReplaceAllString(show, ""))
	if len(s) > 0 && (s[0] == "extended" || s[0] == "standard") {
		s = s[1:]
	}
	n := 0
	for n < len(w) && n < len(s) && w[n] == s[n] {
		n++
	}
	if n == len(w) || n == len(s) {
		return true
	}
	return n > 2 && (w[n] == "log" || s[n] == "log" || w[n] == "inactive" || s[n] == "inactive")
}

// asaWords is a line of an access list from its action on.
func asaWords(text string) []string {
	w := strings.Fields(text)
	if len(w) > 0 && w[0] == "ipv6" {
		w = w[1:]
	}
	if len(w) > 1 && w[0] == "access-list" {
		w = w[2:]
	}
	if len(w) > 1 && w[0] == "line" {
		w = w[2:]
	}
	if len(w) > 0 && (w[0] == "extended" || w[0] == "standard") {
		w = w[1:]
	}
	return w
}

func editASA(rs *Ruleset, e Edit) []string {
	if e.Kind == DropMember {
		return dropMemberASA(e)
	}
	if e.Rule == nil {
		return nil
	}
	if strings.HasPrefix(e.Rule.ID, "nat-") {
		switch {
		case e.Kind != StopNAT && e.Kind != Remove || e.Rule.Text == "nat-control":
			return nil
		case e.Rule.Name != "":
			return []string{"object network " + e.Rule.Name, " no " + e.Rule.Text}
		}
		return []string{"no " + e.Rule.Text}
	}
	if e.Chain == nil || !strings.Contains(e.Chain.Name, "access-list ") {
		return nil
	}
	w := asaWords(e.Rule.Text)
	kind := " extended"
	switch {
	case strings.HasPrefix(e.Chain.Name, "ipv6 "):
		kind = ""
	case strings.Contains(e.Rule.Text, " standard "):
		return nil
	}
	remove := "no " + e.Chain.Name + kind + " " + strings.Join(w, " ")
	at := e.Chain.Name + " line " + e.Rule.ID + kind + " "
	switch e.Kind {
	case Remove:
		return []string{remove}
	case DenyAbove:
		if !e.Dst.IsValid() {
			return nil
		}
		var out []string
		for _, s := range ciscoSources(e, false) {
			out = append(out, fmt.Sprintf("%sdeny tcp %s host %s eq %s", at, s, e.Dst.Addr(), asaPortName(e.Dst.Port())))
		}
		return out
	case Narrow:
		if len(e.Sources) == 0 {
			return nil
		}
		var out []string
		for _, s := range ciscoSources(e, false) {
			line := withSource(w, s)
			if line == "" {
				return nil
			}
			out = append(out, at+line)
		}
		return append(out, remove)
	}
	return nil
}

// asaPortName is how ASA itself writes the ports of mail.
func asaPortName(p uint16) string {
	switch p {
	case 25:
		return "smtp"
	case 110:
		return "pop3"
	case 143:
		return "imap4"
	}
	return strconv.Itoa(int(p))
}

func dropMemberASA(e Edit) []string {
	port := func() string {
		if e.Member.First == e.Member.Last {
			return "eq " + asaPortName(uint16(e.Member.First.Lo))
		}
		return fmt.Sprintf("range %d %d", e.Member.First.Lo, e.Member.Last.Lo)
	}
	switch memberOf(e) {
	case SrcAddr, DstAddr:
		if e.Rule != nil && strings.Contains(" "+e.Rule.Text+" ", " object "+e.Object+" ") {
			return nil // an object has one address; others may use it
		}
		var out []string
		for _, p := range e.Member.Prefixes() {
			out = append(out, " no network-object "+ciscoTarget(p, false))
		}
		return append([]string{"object-group network " + e.Object}, out...)
	case DstPort:
		w := asaWords(e.Rule.Text)
		if len(w) > 2 && w[2] == e.Object {
			return []string{"object-group service " + e.Object, " no service-object tcp destination " + port()}
		}
		return []string{"object-group service " + e.Object + " tcp", " no port-object " + port()}
	}
	return nil
}
