package firewall

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Cisco IOS and IOS XE, and the access lists of NX-OS.
//
// Order, from the table "NAT order of operation" of Cisco's documentation: what comes in meets the inbound access list,
// then NAT from outside to inside, then routing; what goes out meets NAT from inside to outside, then the outbound access
// list. So an inbound list sees addresses as they are on its wire, and an outbound list too. Lists look at each packet.

var iosLanguage = language{
	name:   "ios",
	export: "Cisco IOS: show running-config, and beside it show access-lists for counters",
	is:     isIOS,
	read:   readIOS,
	edit:   editIOS,
}

var (
	iosConfig = regexp.MustCompile(`(?m)^(?:version [0-9]+\.[0-9]|Building configuration\.\.\.|Current configuration ?: |!Command: show running-config|(?:ip|ipv6) access-list (?:standard |extended |resequence )?\S+ *$|access-list [0-9]+ (?:permit|deny|remark) )`)
	iosShow   = regexp.MustCompile(`(?m)^(?:(?:Standard|Extended|Reflexive) IP access list|IPv6 access list|IP access list) \S+`)
	iosMatch  = regexp.MustCompile(`\s*[(\[](?:(\d+) match(?:es)?|match=(\d+))[^)\]]*[)\]]`)
)

func isIOS(start []byte) bool {
	return !isASA(start) && (iosConfig.Match(start) || iosShow.Match(start))
}

func readIOS(rs *Ruleset, files []Export) error {
	c := newCisco(rs, false)
	c.any = 4
	var shows []Export
	var zonePairs []ciscoBlock
	var nats []ciscoBlock
	var routes []ciscoRoute
	learned, begun, kept, configs := false, false, 0, 0
	for _, f := range files {
		if ciscoShow(f.Data, iosShow) {
			shows = append(shows, f)
			continue
		}
		configs++
		last := 0
		err := ciscoBlocks(rs, f, iosWants, &kept, func(b ciscoBlock) {
			w := b.words
			last = b.n
			switch {
			case w[0] == "version":
				begun = len(w) > 1 && !strings.Contains(w[1], "(") // NX-OS writes no end
			case w[0] == "end":
				c.complete = true
			case w[0] == "interface" && len(w) > 1:
				c.iosInterface(b)
			case w[0] == "object-group":
				c.addGroup(b)
			case w[0] == "zone-pair":
				zonePairs = append(zonePairs, b)
			case w[0] == "router" || w[0] == "ipv6" && w[1] == "router":
				learned = true
			case w[0] == "vlan" || w[0] == "mls":
				rs.note(b.place(), "%s: lists on VLANs are not modelled", short(b.text))
			case w[0] == "access-list" && len(w) > 2:
				c.iosNumbered(b.ciscoLine, w[1])
			case w[0] != "ip" && w[0] != "ipv6":
			case w[1] == "access-list":
				c.iosNamed(b)
			case w[1] == "route" && len(w) > 3:
				if r, ok := c.iosRoute(b, w[2:], w[0] == "ipv6"); ok {
					routes = append(routes, r)
				}
			case w[1] == "nat":
				nats = append(nats, b)
			}
		})
		if err != nil {
			return err
		}
		if begun && !c.complete {
			rs.note(Place{File: f.Name, Line: max(last, 1)}, "no line says end: the export may be cut; export show running-config again")
		}
	}
	if configs == 0 {
		return fmt.Errorf("%s:1: show access-lists alone does not tell where the lists are; export show running-config as well", files[0].Name)
	}
	for _, a := range c.order {
		c.addChain(a)
	}
	c.any = 4
	null := slices.ContainsFunc(routes, func(r ciscoRoute) bool { return strings.EqualFold(r.Out, "Null0") })
	c.addRoutes(routes, learned)

	for _, f := range c.ifaces {
		if !f.shut {
			c.iosFilters(f, false)
		}
	}
	c.iosNAT(nats)
	c.iosZones(zonePairs)
	for _, f := range c.ifaces {
		if !f.shut {
			c.iosFilters(f, true)
		}
	}
	if null {
		rs.Interfaces = append(rs.Interfaces, Interface{Name: "Null0"})
		rs.Chains["Null0"] = &Chain{Name: "Null0", Where: Place{File: rs.Files[0].Name, Line: 1}, Policy: Drop, PolicyText: "route to Null0"}
		rs.Steps = append(rs.Steps, Step{Name: "route to Null0", Hook: Forward, When: Match{{Field: Out, Names: []string{"Null0"}}}, Chain: "Null0"})
	}
	for _, f := range shows {
		c.iosCounters(f)
	}
	return nil
}

// iosWants tells which lines of a configuration matter here.
func iosWants(w []string) bool {
	switch w[0] {
	case "interface", "access-list", "object-group", "zone-pair", "router", "end", "version":
		return true
	case "vlan":
		return len(w) > 1 && w[1] == "filter"
	case "ip", "ipv6":
		return len(w) > 2 && slices.Contains([]string{"access-list", "nat", "route", "router"}, w[1])
	}
	return false
}

func (c *cisco) iosNumbered(l ciscoLine, number string) {
	n, _ := strconv.Atoi(number)
	switch {
	case n >= 1 && n <= 99 || n >= 1300 && n <= 1999:
		a := c.acl(number, "ip access-list standard "+number, "standard", 4, l.place())
		a.lines = append(a.lines, l)
	case n >= 100 && n <= 199 || n >= 2000 && n <= 2699:
		a := c.acl(number, "ip access-list extended "+number, "extended", 4, l.place())
		a.lines = append(a.lines, l)
	}
}

func (c *cisco) iosNamed(b ciscoBlock) {
	w := b.words
	var a *ciscoACL
	switch {
	case w[0] == "ipv6":
		a = c.acl(w[2], "ipv6 access-list "+short(w[2]), "extended", 6, b.place())
	case len(w) > 3 && (w[2] == "standard" || w[2] == "extended"):
		a = c.acl(w[3], "ip access-list "+w[2]+" "+short(w[3]), w[2], 4, b.place())
	case len(w) == 3 && w[2] != "log-update" && w[2] != "resequence": // NX-OS
		a = c.acl(w[2], "ip access-list "+short(w[2]), "extended", 4, b.place())
	default:
		return
	}
	a.lines = append(a.lines, b.body...)
}

func (c *cisco) iosInterface(b ciscoBlock) {
	f := &ciscoInterface{Interface: Interface{Name: short(strings.Join(b.words[1:], ""))}, place: b.place()}
	for _, l := range b.body {
		w := strings.Fields(l.text)
		switch {
		case w[0] == "shutdown":
			f.shut = true
		case w[0] == "zone-member" && len(w) > 2:
			f.zone = short(w[2])
			f.Zones = append(f.Zones, f.zone)
		case w[0] == "vrf" && len(w) > 2:
			f.vrf = short(w[len(w)-1])
		case len(w) < 2 || w[0] != "ip" && w[0] != "ipv6":
		case w[1] == "vrf" && len(w) > 3:
			f.vrf = short(w[3])
		case w[1] == "address" && len(w) > 2:
			f.iosAddress(w[2:])
		case w[1] == "nat" && len(w) > 2:
			f.nat = w[2]
		case w[1] == "inspect" && len(w) > 2:
			f.inspects = append(f.inspects, short(w[2]))
		case w[1] == "policy" && len(w) > 2:
			c.rs.note(l.place(), "%s: policy routing is not modelled; name the networks of each zone in the configuration", short(l.text))
		case w[1] == "access-group" || w[1] == "traffic-filter":
			dir := w[len(w)-1]
			if len(w) != 4 || dir != "in" && dir != "out" {
				c.rs.note(l.place(), "%s is not understood: another list may deny more", short(l.text))
				continue
			}
			f.groups = append(f.groups, ciscoBinding{w[2], dir == "out", w[0] == "ipv6", l.place()})
		}
	}
	c.ifaces = append(c.ifaces, f)
}

func (f *ciscoInterface) iosAddress(w []string) {
	p, err := netip.ParsePrefix(w[0])
	ok := err == nil
	if !ok && len(w) > 1 {
		p, ok = ciscoPrefix(w[0], w[1])
	}
	switch {
	case !ok:
	case slices.Contains(w, "eui-64"), slices.Contains(w, "anycast"):
		f.dynamic = append(f.dynamic, p)
	default:
		f.Addrs = append(f.Addrs, p)
	}
}

// iosRoute reads a static route: PREFIX MASK [INTERFACE] [NEXT HOP] [DISTANCE].
func (c *cisco) iosRoute(b ciscoBlock, w []string, v6 bool) (ciscoRoute, bool) {
	r := ciscoRoute{where: b.place(), distance: 1}
	if w[0] == "vrf" {
		return r, false
	}
	p, err := netip.ParsePrefix(w[0])
	ok := err == nil
	if ok {
		w = w[1:]
	} else if len(w) > 2 && !v6 {
		p, ok = ciscoPrefix(w[0], w[1])
		w = w[2:]
	}
	if !ok || len(w) == 0 {
		c.rs.note(r.where, "%s: the route is not understood", short(b.text))
		return r, false
	}
	r.Prefix = p.Masked()
	for len(w) > 0 {
		if a, err := netip.ParseAddr(w[0]); err == nil {
			r.via = a
		} else if isNumber(w[0]) {
			r.distance, _ = strconv.Atoi(w[0])
			break
		} else if r.Out == "" && !r.via.IsValid() && w[0] != "name" && w[0] != "tag" && w[0] != "track" {
			r.Out = short(w[0])
		} else {
			break
		}
		w = w[1:]
	}
	if r.Out != "" && c.iface(r.Out) == nil && !strings.EqualFold(r.Out, "Null0") && r.via.IsValid() {
		r.Out = "" // by its next hop
	}
	if strings.EqualFold(r.Out, "Null0") {
		r.Out = "Null0"
	}
	return r, r.Out != "" || r.via.IsValid()
}

// iosFilters adds the access lists of an interface, in one direction.
func (c *cisco) iosFilters(f *ciscoInterface, out bool) {
	hook, field, dir := Prerouting, In, "in"
	if out {
		hook, field, dir = Forward, Out, "out" // what the device itself sends passes
	}
	for _, v6 := range []bool{false, true} {
		fam, command, key := uint8(4), "ip access-group", ""
		if v6 {
			fam, command, key = 6, "ipv6 traffic-filter", "ipv6 "
		}
		when := Match{ofFamily(fam), {Field: field, Names: []string{f.Name}}}
		at := slices.IndexFunc(f.groups, func(b ciscoBinding) bool { return b.out == out && b.v6 == v6 })
		if at < 0 {
			if !out { // so that a path has a line to name
				title := f.Name + " without " + command
				c.rs.Chains[title] = &Chain{Name: title, Where: f.place, Policy: Accept, PolicyText: "no " + command + " in"}
				c.rs.Steps = append(c.rs.Steps, Step{Name: title, Hook: hook, When: when, Chain: title})
			}
			continue
		}
		b := f.groups[at]
		name := fmt.Sprintf("%s %s %s, %s", command, short(b.acl), dir, f.Name)
		a := c.acls[key+b.acl]
		title := ""
		if a != nil {
			title = a.title
		} else { // Cisco: an access group whose list is not defined permits everything
			title = short(b.acl) + " is not defined"
			c.rs.Chains[title] = &Chain{Name: title, Where: b.where, Policy: Accept, PolicyText: "an access list that is not defined permits everything"}
			c.rs.note(b.where, "%s: no such list in the export: it permits everything", name)
		}
		var inspects []string
		for _, f := range c.ifaces {
			inspects = append(inspects, f.inspects...)
		}
		if len(inspects) > 0 { // it opens lists for the answers
			when = append(when, Term{Field: AnyOf, Any: []Match{
				{{Field: Phase, Bits: First | Later}},
				{unmodelled("ip inspect", strings.Join(slices.Compact(inspects), " "), "lets answers pass")},
			}})
		}
		c.rs.Steps = append(c.rs.Steps, Step{Name: name, Hook: hook, When: when, Chain: title})
	}
}

// iosZones adds the zone-based firewall: what its policies say is not modelled; where there is no zone-pair nothing passes.
func (c *cisco) iosZones(pairs []ciscoBlock) {
	zones := make(map[string]bool)
	var names []string
	for _, f := range c.ifaces {
		if f.zone != "" && !f.shut && !zones[f.zone] {
			zones[f.zone] = true
			names = append(names, f.zone)
		}
	}
	if len(names) == 0 {
		return
	}
	where := Place{File: c.rs.Files[0].Name, Line: 1}
	for _, f := range c.ifaces {
		if f.zone != "" {
			where = f.place
			break
		}
	}
	chain := &Chain{Name: "zone-pair security", Where: where, Policy: Accept, PolicyText: "interfaces in no zone"}
	add := func(id, text string, where Place, action Action, words []string, from, to []string) {
		var m Match
		if from != nil {
			m = append(m, Term{Field: In, Names: from})
		}
		if to != nil {
			m = append(m, Term{Field: Out, Names: to})
		}
		chain.Rules = append(chain.Rules, &Rule{ID: id, Text: text, Where: where, Match: m, Action: action, Words: words})
	}
	for _, z := range names {
		add(z, "zone security "+z+", to itself", where, Accept, nil, []string{z}, []string{z})
	}
	for _, b := range pairs { // zone-pair security NAME source A destination B
		if len(b.words) < 7 || b.words[3] != "source" || b.words[5] != "destination" {
			c.rs.note(b.place(), "%s: the zone-pair is not understood", short(b.text))
			continue
		}
		word := short(b.text)
		if len(b.body) > 0 {
			word += " " + short(b.body[len(b.body)-1].text)
		}
		add(short(b.words[2]), word, b.place(), Uncertain, []string{word}, []string{b.words[4]}, []string{b.words[6]})
	}
	add("no zone-pair", "zones without a zone-pair", where, Drop, nil, names, nil)
	add("no zone-pair", "zones without a zone-pair", where, Drop, nil, nil, names)
	c.rs.Chains[chain.Name] = chain
	c.rs.Steps = append(c.rs.Steps, Step{Name: chain.Name, Hook: Forward, Chain: chain.Name, Stateful: true})
}

// iosNAT adds the steps of NAT.
func (c *cisco) iosNAT(lines []ciscoBlock) {
	if len(lines) == 0 {
		return
	}
	inside, outside := []string{}, []string{}
	for _, f := range c.ifaces {
		switch {
		case f.nat == "inside" && !f.shut:
			inside = append(inside, f.Name)
		case f.nat == "outside" && !f.shut:
			outside = append(outside, f.Name)
		case f.nat == "enable" && !f.shut: // the virtual interface of NAT has no sides
			inside, outside = append(inside, f.Name), append(outside, f.Name)
		}
	}
	dnat := &Chain{Name: "ip nat, destination", Where: lines[0].place(), Policy: Accept, PolicyText: "no translation"}
	snat := &Chain{Name: "ip nat, source", Where: lines[0].place(), Policy: Accept, PolicyText: "no translation"}
	pools := make(map[string]ciscoAddrs)
	for _, b := range lines {
		if w := b.words; w[2] == "pool" && len(w) > 3 {
			pools[w[3]] = c.iosPool(b)
		}
	}
	type entry struct {
		rank int
		add  func()
	}
	var entries []entry
	for i, b := range lines {
		w := b.words[2:]
		n := &ciscoNAT{
			rule: Rule{ID: "nat-" + strconv.Itoa(i+1), Where: b.place(), Text: ciscoClean(b.text)},
			real: inside, mapped: outside, dst: ciscoAddrs{any: true}, dstTo: ciscoAddrs{any: true},
		}
		side := w[0]
		switch side {
		case "inside", "outside":
			w = w[1:]
		case "source", "destination":
		case "pool", "log", "translation", "service", "settings", "create", "portmap", "switchover", "stateful":
			continue
		default:
			c.rs.note(b.place(), "%s: the translation is not understood", n.rule.Text)
			continue
		}
		if side == "outside" {
			n.real, n.mapped = outside, inside
		}
		ok := false
		rank := 0
		var add func()
		switch {
		case len(w) > 3 && w[0] == "source" && w[1] == "static":
			rank, ok = c.iosStatic(n, w[2:])
			add = func() { n.add(dnat, snat) }
		case len(w) > 3 && w[0] == "source" && (w[1] == "list" || w[1] == "route-map"):
			rank = 3
			add, ok = c.iosDynamic(n, w[1:], pools, snat)
		case len(w) > 4 && w[0] == "destination" && w[1] == "list" && w[3] == "pool":
			rank, ok = 2, true
			add = func() { c.iosRotary(n, w[2], w[4], pools, dnat) }
		}
		if !ok {
			c.rs.note(b.place(), "%s: the translation is not understood; whether it is done stays open", n.rule.Text)
			add = func() {
				for _, chain := range []*Chain{dnat, snat} {
					r := n.rule
					r.Match, r.Action, r.Words = Match{unmodelled(b.text)}, Uncertain, []string{r.Text}
					chain.Rules = append(chain.Rules, &r)
				}
			}
		}
		entries = append(entries, entry{rank, add})
	}
	// What tells a port comes before whole addresses, those before networks, and static before dynamic.
	slices.SortStableFunc(entries, func(a, b entry) int { return a.rank - b.rank })
	for _, e := range entries {
		e.add()
	}
	c.rs.Chains[dnat.Name], c.rs.Chains[snat.Name] = dnat, snat
	c.rs.Steps = append(c.rs.Steps,
		Step{Name: "ip nat", Kind: DNAT, Hook: Prerouting, Chain: dnat.Name, Stateful: true},
		Step{Name: "ip nat", Kind: SNAT, Hook: Postrouting, Chain: snat.Name, Stateful: true})
}

// iosPool reads ip nat pool NAME FIRST LAST netmask MASK.
func (c *cisco) iosPool(b ciscoBlock) ciscoAddrs {
	w := b.words[4:]
	if len(w) > 1 && w[0] != "netmask" && w[0] != "prefix-length" {
		a, err := netip.ParseAddr(w[0])
		z, err2 := netip.ParseAddr(w[1])
		if err == nil && err2 == nil && a.Is4() && z.Is4() && !z.Less(a) {
			return ciscoAddrs{ranges: []Range{{AddrValue(a), AddrValue(z)}}, family: 4}
		}
	}
	var out ciscoAddrs
	for _, l := range b.body { // address FIRST LAST
		f := strings.Fields(l.text)
		if len(f) < 3 || f[0] != "address" {
			continue
		}
		if r, err := ParseAddrs(f[1] + "-" + f[2]); err == nil {
			out.ranges = append(out.ranges, r)
		}
	}
	if out.ranges = Merge(out.ranges); len(out.ranges) == 0 {
		out.word = short(b.text)
	}
	out.family = 4
	return out
}

// iosStatic reads [tcp|udp] A P (B Q | interface X Q), A B, and network A B /N.
func (c *cisco) iosStatic(n *ciscoNAT, w []string) (rank int, ok bool) {
	n.static = true
	rank = 1
	proto := ""
	network := false
	switch w[0] {
	case "tcp", "udp", "esp":
		proto, w, rank = w[0], w[1:], 0
	case "network":
		network, w, rank = true, w[1:], 2
	}
	if proto != "" && proto != "tcp" {
		n.extra = Match{{Field: Proto, Ranges: []Range{Single(Number(17))}}}
	}
	n.tcp = proto == "tcp"
	one := func() (s ciscoAddrs, p ciscoPorts, ok bool) {
		switch {
		case len(w) > 1 && w[0] == "interface":
			s, w = c.addressOf(w[1], 4), w[2:]
		case len(w) > 0:
			a, err := netip.ParseAddr(w[0])
			if err != nil || !a.Is4() {
				return s, p, false
			}
			s, w = ciscoAddrs{ranges: []Range{One(a)}, family: 4}, w[1:]
		default:
			return s, p, false
		}
		if proto == "tcp" || proto == "udp" {
			if len(w) == 0 {
				return s, p, false
			}
			port, ok := tcpPort(w[0])
			if !ok && proto == "tcp" {
				return s, p, false
			}
			p.ranges, w = []Range{Ports(port, port)}, w[1:]
		}
		return s, p, true
	}
	if n.src, n.srcPort, ok = one(); !ok {
		return rank, false
	}
	if n.srcTo, n.srcToPort, ok = one(); !ok {
		return rank, false
	}
	if network {
		bits := -1
		if len(w) > 0 {
			if b, err := strconv.Atoi(strings.TrimPrefix(w[0], "/")); err == nil && strings.HasPrefix(w[0], "/") {
				bits = b
			} else if m, err := netip.ParseAddr(w[0]); err == nil && m.Is4() {
				if b, ok := maskBits(m); ok {
					bits = b
				}
			}
			w = w[1:]
		}
		if bits < 0 || bits > 32 || n.srcTo.within != "" || len(n.src.ranges) != 1 {
			return rank, false
		}
		for _, s := range []*ciscoAddrs{&n.src, &n.srcTo} {
			s.ranges = []Range{PrefixRange(netip.PrefixFrom(s.ranges[0].First.Addr(), bits))}
		}
	}
	for i := 0; i < len(w); i++ {
		switch w[i] {
		case "extendable", "no-alias", "no-payload", "add-route", "netmask", "match-in-vrf", "forced":
		case "vrf", "route-map", "redundancy", "mapping-id", "match-acl", "name":
			if i+1 < len(w) {
				n.extra = append(n.extra, unmodelled(w[i], w[i+1]))
			}
			i++
		default:
			n.extra = append(n.extra, unmodelled(w[i:]...))
			return rank, true
		}
	}
	n.identity = slices.Equal(n.src.ranges, n.srcTo.ranges) && n.src.within == "" && n.srcTo.within == ""
	return rank, true
}

// iosDynamic reads list A (interface X | pool P) [overload], and the same with a route-map.
func (c *cisco) iosDynamic(n *ciscoNAT, w []string, pools map[string]ciscoAddrs, snat *Chain) (add func(), ok bool) {
	var to Translation
	a := c.acls[w[1]]
	if w[0] == "route-map" || a == nil {
		n.extra = append(n.extra, unmodelled(w[:2]...))
		if w[0] == "list" {
			c.rs.note(n.rule.Where, "%s: no such list in the export", n.rule.Text)
		}
		a = nil
	}
	by, name := w[2], ""
	if len(w) > 3 {
		name = w[3]
	}
	switch by {
	case "interface":
		if s := c.addressOf(name, 4); s.within == "" {
			to.Addrs = s.ranges
		} else {
			to.Words = []string{s.within}
		}
	case "pool":
		s, found := pools[name]
		switch {
		case !found:
			to.Words = []string{"pool " + short(name) + " is not in the export"}
		case s.word != "":
			to.Words = []string{s.word}
		default:
			to.Addrs = s.ranges
		}
	default:
		return nil, false
	}
	for i := 4; i < len(w); i++ {
		if w[i] == "vrf" && i+1 < len(w) {
			n.extra = append(n.extra, unmodelled(w[i], w[i+1]))
		}
	}
	when := Match{ofFamily(4), {Field: In, Names: n.real}, {Field: Out, Names: n.mapped}}
	return func() {
		if a != nil {
			c.addList(snat, n.rule.ID+" "+a.title, n, a, when, to, Translate, false)
			return
		}
		r := n.rule
		r.Match, r.Action, r.To = append(when, n.extra...), Translate, to
		snat.Rules = append(snat.Rules, &r)
	}, true
}

// iosRotary adds ip nat inside destination list A pool P: load is shared among the addresses of the pool.
func (c *cisco) iosRotary(n *ciscoNAT, list, pool string, pools map[string]ciscoAddrs, dnat *Chain) {
	to := Translation{Words: []string{"pool " + short(pool) + " is not in the export"}}
	if s, ok := pools[pool]; ok && s.word == "" {
		to = Translation{Addrs: s.ranges}
	}
	when := Match{ofFamily(4), {Field: In, Names: n.mapped}}
	a := c.acls[list]
	if a == nil {
		r := n.rule
		r.Match, r.Action, r.To = append(when, unmodelled("list", list)), Translate, to
		dnat.Rules = append(dnat.Rules, &r)
		return
	}
	if a.kind != "standard" {
		c.addList(dnat, n.rule.ID+" "+a.title, n, a, when, to, Translate, false)
		return
	}
	std := *a // a standard list is about the destination here
	std.chain = &Chain{}
	for _, r := range a.chain.Rules {
		r := *r
		r.Match = swapped(r.Match)
		std.chain.Rules = append(std.chain.Rules, &r)
	}
	c.addList(dnat, n.rule.ID+" "+a.title, n, &std, when, to, Translate, false)
}

// iosCounters takes the matches of show access-lists to the rules.
func (c *cisco) iosCounters(f Export) {
	var rules map[string][]*Rule
	text := string(f.Data)
	title := ""
	for n := 1; text != ""; n++ {
		line, rest, _ := strings.Cut(text, "\n")
		text = rest
		if len(line) > ciscoLongLine {
			continue
		}
		if strings.Contains(line, "More") {
			line = ciscoPager.ReplaceAllString(line, "")
		}
		if iosShow.MatchString(line) {
			w := strings.Fields(line)
			name := w[len(w)-1]
			for i, s := range w {
				if s == "list" && i+1 < len(w) {
					name = w[i+1]
				}
			}
			key := name
			if w[0] == "IPv6" {
				key = "ipv6 " + name
			}
			rules, title = nil, short(name)
			if a := c.acls[key]; a != nil {
				rules = make(map[string][]*Rule)
				for _, r := range a.chain.Rules {
					k := iosKey(r.Text)
					rules[k] = append(rules[k], r)
				}
			} else if !strings.HasPrefix(line, "Reflexive") {
				c.rs.note(Place{File: f.Name, Line: n}, "list %s is not in show running-config: the exports are of different times", title)
			}
			continue
		}
		m := iosMatch.FindStringSubmatch(line)
		if rules == nil || len(strings.Fields(line)) < 2 {
			continue
		}
		k := iosKey(line)
		same := rules[k]
		if len(same) == 0 {
			if strings.Contains(line, "permit") || strings.Contains(line, "deny") {
				c.rs.note(Place{File: f.Name, Line: n}, "a line of list %s is not in show running-config: the exports are of different times", title)
			}
			continue
		}
		r := same[0]
		rules[k] = same[1:]
		r.Counter = &Counter{}
		if m != nil {
			r.Counter.Packets, _ = strconv.ParseUint(first(m[1], m[2]), 10, 64)
		}
		// The lines of a configuration without numbers are numbered in the device.
		if w := strings.Fields(line); isNumber(w[0]) {
			r.ID = w[0]
		} else if i := slices.Index(w, "sequence"); i >= 0 && i+1 < len(w) && isNumber(w[i+1]) {
			r.ID = w[i+1]
		}
	}
}

// iosKey is a line of an access list without what differs between a configuration and show access-lists.
func iosKey(line string) string {
	line = iosMatch.ReplaceAllString(line, "")
	line = strings.ReplaceAll(line, ", wildcard bits", "")
	w := strings.Fields(strings.ToLower(line))
	if len(w) > 1 && w[0] == "access-list" {
		w = w[2:]
	}
	var out []string
	for i := 0; i < len(w); i++ {
		switch {
		case i == 0 && isNumber(w[i]):
		case w[i] == "sequence":
			i++
		case w[i] == "host" && len(out) == 1: // of a standard list
		default:
			out = append(out, w[i])
		}
	}
	return strings.Join(out, " ")
}

func editIOS(rs *Ruleset, e Edit) []string {
	if e.Kind == StopNAT || e.Rule != nil && strings.HasPrefix(e.Rule.Text, "ip nat ") {
		if e.Rule == nil || e.Kind != StopNAT && e.Kind != Remove {
			return nil
		}
		return []string{"no " + e.Rule.Text}
	}
	if e.Kind == DropMember {
		return dropMemberIOS(e)
	}
	if e.Chain == nil || e.Rule == nil || !strings.Contains(e.Chain.Name, "access-list ") {
		return nil
	}
	v6 := strings.HasPrefix(e.Chain.Name, "ipv6 ")
	standard := strings.HasPrefix(e.Chain.Name, "ip access-list standard ")
	number := func(id string, line string) string {
		if v6 {
			return " sequence " + id + " " + line
		}
		return " " + id + " " + line
	}
	seq, err := strconv.Atoi(e.Rule.ID)
	if err != nil {
		return nil
	}
	out := []string{e.Chain.Name}
	if e.Kind == Remove {
		return append(out, iosDelete(v6, e.Rule.ID))
	}
	sources := ciscoSources(e, true)
	// Numbers that are free before the line, and behind it.
	before, behind := 0, 1<<31-1
	for _, r := range e.Chain.Rules {
		if n, err := strconv.Atoi(r.ID); err == nil {
			if n < seq {
				before = max(before, n)
			}
			if n > seq {
				behind = min(behind, n)
			}
		}
	}
	resequence := func() []string {
		step := 10 // free numbers before and behind each line
		for step <= len(sources) {
			step *= 10
		}
		seq, before, behind = (e.At+1)*step, e.At*step, (e.At+2)*step
		name := e.Chain.Name[strings.LastIndex(e.Chain.Name, " ")+1:]
		return []string{fmt.Sprintf("ip access-list resequence %s %d %d", name, step, step)}
	}
	switch e.Kind {
	case DenyAbove:
		if standard || !e.Dst.IsValid() {
			return nil
		}
		if seq-before <= len(sources) {
			if v6 { // no command renumbers these
				return nil
			}
			out = append(resequence(), out...)
		}
		gap := (seq - before) / (len(sources) + 1)
		for i, s := range sources {
			line := fmt.Sprintf("deny tcp %s host %s eq %d", s, e.Dst.Addr(), e.Dst.Port())
			out = append(out, number(strconv.Itoa(before+gap*(i+1)), line))
		}
		return out
	case Narrow:
		if len(e.Sources) == 0 {
			return nil
		}
		if behind-seq < len(sources) {
			if v6 {
				return nil
			}
			out = append(resequence(), out...)
		}
		out = append(out, iosDelete(v6, strconv.Itoa(seq)))
		w := iosWords(e.Rule.Text)
		for i, s := range sources {
			line := withSource(w, s)
			if standard {
				line = w[0] + " " + s
			}
			if line == "" {
				return nil
			}
			out = append(out, number(strconv.Itoa(seq+i), line))
		}
		return out
	}
	return nil
}

func iosDelete(v6 bool, id string) string {
	if v6 {
		return " no sequence " + id
	}
	return " no " + id
}

// iosWords is a line of an access list from its action on.
func iosWords(text string) []string {
	w := strings.Fields(text)
	if len(w) > 2 && w[0] == "access-list" {
		w = w[2:]
	}
	if len(w) > 2 && w[0] == "sequence" {
		w = w[2:]
	}
	if len(w) > 1 && isNumber(w[0]) {
		w = w[1:]
	}
	if n := len(w); n > 2 && w[n-2] == "sequence" {
		w = w[:n-2]
	}
	return w
}

func dropMemberIOS(e Edit) []string {
	lines := func(kind string, members ...string) []string {
		out := []string{"object-group " + kind + " " + e.Object}
		for _, m := range members {
			out = append(out, " no "+m)
		}
		return out
	}
	switch memberOf(e) {
	case SrcAddr, DstAddr:
		kind := "network"
		if !AllIPv4().holds(e.Member.First) {
			kind = "v6-network"
		}
		if p := e.Member.Prefixes(); len(p) == 1 {
			return lines(kind, ciscoTarget(p[0], false))
		}
		return lines(kind, fmt.Sprintf("range %s %s", e.Member.First.Addr(), e.Member.Last.Addr()))
	case DstPort:
		if e.Member.First == e.Member.Last {
			return lines("service", fmt.Sprintf("tcp eq %d", e.Member.First.Lo))
		}
		return lines("service", fmt.Sprintf("tcp range %d %d", e.Member.First.Lo, e.Member.Last.Lo))
	}
	return nil
}
