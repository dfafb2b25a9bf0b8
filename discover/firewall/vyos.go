package firewall

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const vyosExport = "show configuration commands"

var (
	vyosStart = regexp.MustCompile(`(?m)^[ \t]*set (?:firewall (?:name|ipv6-name|group|ipv4|ipv6|zone|global-options|state-policy|interface|all-ping)|zone-policy zone|nat (?:source|destination|static) rule|nat66 (?:source|destination) rule|interfaces (?:ethernet|bonding|bridge|loopback|dummy|pppoe|wireguard|openvpn|vti|tunnel|vxlan|virtual-ethernet)) `)
	vyosCurly = regexp.MustCompile(`(?m)^(?:firewall|interfaces|nat|zone-policy) \{[ \t\r]*\n[ \t]+(?:/\*[^\n]*\n[ \t]+)?(?:(?:ethernet|name|ipv6-name|bonding|loopback|zone) \S+|(?:group|ipv4|ipv6|global-options|source|destination|state-policy) \{|all-ping )`)
)

func isVyOS(start []byte) bool { return vyosStart.Match(start) || vyosCurly.Match(start) }

// vyos is the set-commands of a device, while they are read. Underneath is nftables: the filter sees destinations
// translated and sources as they came, and every packet is judged, unless a rule about states says otherwise.
type vyos struct {
	rs     *Ruleset
	first  string                // name of the first file
	lists  map[string]*vyosList  // of rules, by their path: "firewall ipv4 name WAN-IN", "nat destination"
	order  []string              // of lists
	groups map[string]*vyosGroup // by kind and name
	zones  map[string]*vyosZone
	zoned  []string // names of zones, sorted
	states []vyosState
	hooks  []vyosHook // rule lists that are bound to an interface
	known  map[string]int
	addrs  map[string]bool
	routes []vyosRoute
	budget int             // members of groups that may still be joined: groups in groups can multiply them
	count  int             // settings of rules
	depth  int             // groups in groups, now
	said   map[string]bool // keys of once
}

// vyosList is one list of rules.
type vyosList struct {
	path  string
	where Place
	rules map[string]*vyosRule
	// The default-action, with the list that a default jump leads to.
	action, jump string
	actionAt     Place
}

// vyosRule is all that is set for one rule.
type vyosRule struct {
	id    string
	where Place
	sets  [][]string
}

type vyosGroup struct {
	kind, name string
	where      Place
	members    [][2]string // keyword and value
	set        *fortiSet
}

type vyosZone struct {
	name           string
	where          Place
	interfaces     []string
	local          bool
	action         string
	from           []vyosFrom
	intra, intra4  string // action, and lists by family
	intra6         string
	other4, other6 string // lists of default-firewall
}

type vyosFrom struct {
	zone, list string
	six        bool
	where      Place
}

type vyosState struct {
	state, action string
	where         Place
}

type vyosHook struct {
	name, direction, list string
	six                   bool
	where                 Place
}

type vyosRoute struct {
	prefix netip.Prefix
	via    netip.Addr
	out    string
	where  Place
}

func readVyOS(rs *Ruleset, files []Export) error {
	v := &vyos{
		rs: rs, first: files[0].Name, lists: make(map[string]*vyosList), groups: make(map[string]*vyosGroup), zones: make(map[string]*vyosZone),
		known: make(map[string]int), addrs: make(map[string]bool), budget: 1 << 18, said: make(map[string]bool),
	}
	for i := range files {
		start := files[i].Data[:min(len(files[i].Data), sniff)]
		if !vyosStart.Match(start) {
			return fmt.Errorf("%s:1: is a configuration with braces (config.boot); export the device's set-commands with: %s", files[i].Name, vyosExport)
		}
		v.budget += len(files[i].Data) / 8
		v.file(&files[i])
	}
	v.network()
	v.steps()
	if len(rs.Steps) == 0 {
		return fmt.Errorf("%s:1: has no rules of firewall or nat; export all of the device's configuration with: %s", files[0].Name, vyosExport)
	}
	return nil
}

// vyosPrompt is what a terminal shows before a command: vyos@fw# set …
var vyosPrompt = regexp.MustCompile(`^[^\s@'"]+@[^\s'"]+[#$] *set `)

func (v *vyos) file(f *Export) {
	line := 0
	for rest := f.Data; len(rest) > 0; {
		line++
		var text []byte
		text, rest, _ = bytes.Cut(rest, []byte("\n"))
		text = bytes.TrimSpace(text)
		if prompt := vyosPrompt.Find(text); prompt != nil { // of a recorded session
			text = text[len(prompt)-len("set "):]
		}
		where := Place{File: f.Name, Line: line}
		switch {
		case len(text) == 0 || text[0] == '#':
		case bytes.HasPrefix(text, []byte("set ")):
			if !vyosRead(text[4:]) {
				continue
			}
			words, closed := vyosWords(string(text[4:]))
			if !closed {
				v.rs.note(where, "a quotation is not closed: the line is left out; export again with: %s", vyosExport)
				continue
			}
			v.take(words, where)
		case bytes.Contains(text, []byte("$ ")) || bytes.Contains(text, []byte("# ")) || bytes.HasPrefix(text, []byte("comment ")):
		default:
			if v.once("odd") {
				v.rs.note(where, "a line that is no set-command is left out, and others like it; export with: %s", vyosExport)
			}
		}
	}
}

// once reports whether it is called with a key for the first time.
func (v *vyos) once(key string) bool {
	was := v.said[key]
	v.said[key] = true
	return !was
}

// vyosRead reports whether a command is about what is read here. The rest holds what nobody should see.
func vyosRead(text []byte) bool {
	for _, p := range []string{"firewall ", "nat ", "nat66 ", "nat64 ", "zone-policy ", "interfaces ", "protocols ", "high-availability ", "policy route", "service nat ", "vrf "} {
		if bytes.HasPrefix(text, []byte(p)) {
			return true
		}
	}
	return false
}

// vyosWords splits a command. It reports whether all quotations are closed.
func vyosWords(s string) (words []string, closed bool) {
	const most = 64 // no command has so many
	for i := 0; i < len(s) && len(words) < most; {
		if s[i] == ' ' || s[i] == '\t' {
			i++
			continue
		}
		from, plain := i, true
		quote := byte(0)
		for ; i < len(s) && (quote != 0 || s[i] != ' ' && s[i] != '\t'); i++ {
			switch c := s[i]; {
			case c == quote:
				quote = 0
				plain = false
			case quote == 0 && (c == '\'' || c == '"'):
				quote = c
				plain = false
			case c == '\\' && quote != '\'':
				plain = false
				i++
			}
		}
		if quote != 0 {
			return words, false
		}
		word := s[from:min(i, len(s))]
		if !plain {
			word = unquote(word)
		}
		words = append(words, word)
	}
	return words, true
}

// unquote takes quotations and backslashes out of a word, as a shell does.
func unquote(s string) string {
	if n := len(s); n > 1 && s[0] == '\'' && strings.IndexByte(s[1:], '\'') == n-2 {
		return s[1 : n-1]
	}
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case c == '\\' && quote != '\'' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// at is a word of a command, or empty.
func at(w []string, i int) string {
	if i < len(w) {
		return w[i]
	}
	return ""
}

func (v *vyos) take(w []string, where Place) {
	switch w[0] {
	case "firewall":
		v.firewall(w, where)
	case "zone-policy":
		if at(w, 1) == "zone" && len(w) > 3 {
			v.zone(w[2], w[3:], where)
		}
	case "nat", "nat66":
		if kind := at(w, 1); (kind == "source" || kind == "destination" || kind == "static") && at(w, 2) == "rule" && len(w) > 3 {
			v.set(w[0]+" "+kind, w[3], w[4:], where)
		}
	case "nat64":
		if v.once("nat64") {
			v.rs.note(where, "nat64 is not modelled")
		}
	case "interfaces":
		v.interfaces(w, where)
	case "protocols":
		v.protocols(w, where)
	case "high-availability":
		if at(w, 1) == "vrrp" && at(w, 4) == "address" || at(w, 4) == "virtual-address" {
			if p, err := netip.ParsePrefix(at(w, 5)); err == nil {
				v.rs.Own = append(v.rs.Own, p.Addr())
			} else if a, err := netip.ParseAddr(at(w, 5)); err == nil {
				v.rs.Own = append(v.rs.Own, a)
			}
		}
	case "policy":
		if v.once("policy") {
			v.rs.note(where, "policy route: routes that depend on more than the destination are not modelled")
		}
	case "vrf":
		if v.once("vrf") {
			v.rs.note(where, "vrf: its routes are not modelled; tell networks behind zones in the configuration")
		}
	case "service": // EdgeOS
		if at(w, 1) == "nat" && at(w, 2) == "rule" && len(w) > 3 {
			v.set("service nat", w[3], w[4:], where)
		}
	}
}

func (v *vyos) firewall(w []string, where Place) {
	list := func(path string, rest []string) {
		switch at(rest, 0) {
		case "rule":
			if len(rest) > 1 {
				v.set(path, rest[1], rest[2:], where)
			}
		case "default-action":
			l := v.list(path, where)
			l.action, l.actionAt = at(rest, 1), where
		case "default-jump-target":
			v.list(path, where).jump = at(rest, 1)
		default:
			v.list(path, where)
		}
	}
	switch kind := at(w, 1); kind {
	case "name", "ipv6-name":
		if len(w) > 2 {
			list("firewall "+kind+" "+w[2], w[3:])
		}
	case "ipv4", "ipv6":
		switch at(w, 2) {
		case "name", "forward", "input", "output", "prerouting":
			if len(w) > 3 {
				list("firewall "+kind+" "+w[2]+" "+w[3], w[4:])
			}
		}
	case "group":
		if len(w) > 5 {
			key := w[2] + " " + w[3]
			g := v.groups[key]
			if g == nil {
				g = &vyosGroup{kind: w[2], name: w[3], where: where}
				v.groups[key] = g
			}
			g.where.End = where.Line
			g.members = append(g.members, [2]string{w[4], w[5]})
		} else if len(w) > 3 && v.groups[w[2]+" "+w[3]] == nil {
			v.groups[w[2]+" "+w[3]] = &vyosGroup{kind: w[2], name: w[3], where: where}
		}
	case "state-policy":
		if at(w, 3) == "action" {
			v.states = append(v.states, vyosState{at(w, 2), at(w, 4), where})
		}
	case "global-options":
		if at(w, 2) == "state-policy" && at(w, 4) == "action" {
			v.states = append(v.states, vyosState{at(w, 3), at(w, 5), where})
		}
	case "zone":
		if len(w) > 3 {
			v.zone(w[2], w[3:], where)
		}
	case "interface": // 1.4 before the base chains
		if len(w) > 5 {
			v.hook(w[2], w[3:], where)
		}
	case "bridge":
		if v.once("bridge") {
			v.rs.note(where, "firewall bridge: what passes between ports of a bridge is not modelled")
		}
	}
}

func (v *vyos) list(path string, where Place) *vyosList {
	l := v.lists[path]
	if l == nil {
		l = &vyosList{path: path, where: where, rules: make(map[string]*vyosRule)}
		v.lists[path] = l
		v.order = append(v.order, path)
	}
	return l
}

func (v *vyos) set(path, id string, words []string, where Place) {
	l := v.list(path, where)
	r := l.rules[id]
	if v.count++; v.count > 1<<21 { // settings of rules: more than any device has
		if v.once("count") {
			v.rs.note(where, "more rules than can be kept: the rest is left out")
		}
		return
	}
	if r == nil {
		r = &vyosRule{id: id, where: where}
		l.rules[id] = r
	}
	if where.File == r.where.File {
		r.where.End = where.Line
	}
	if len(words) > 0 {
		r.sets = append(r.sets, words)
	}
}

func (v *vyos) zone(name string, w []string, where Place) {
	z := v.zones[name]
	if z == nil {
		z = &vyosZone{name: name, where: where}
		v.zones[name] = z
		v.zoned = append(v.zoned, name)
	}
	z.where.End = where.Line
	switch w[0] {
	case "interface":
		z.interfaces = append(z.interfaces, at(w, 1))
	case "member":
		if at(w, 1) == "interface" {
			z.interfaces = append(z.interfaces, at(w, 2))
		} else {
			v.rs.note(where, "zone %s: members that are no interfaces are not modelled", name)
		}
	case "local-zone":
		z.local = true
	case "default-action":
		z.action = at(w, 1)
	case "from":
		if at(w, 2) == "firewall" && len(w) > 4 {
			z.from = append(z.from, vyosFrom{w[1], w[4], w[3] == "ipv6-name", where})
		}
	case "intra-zone-filtering":
		switch {
		case at(w, 1) == "action":
			z.intra = at(w, 2)
		case at(w, 2) == "ipv6-name":
			z.intra6 = at(w, 3)
		case at(w, 2) == "name":
			z.intra4 = at(w, 3)
		}
	case "default-firewall":
		if at(w, 1) == "ipv6-name" {
			z.other6 = at(w, 2)
		} else {
			z.other4 = at(w, 2)
		}
	}
}

// hook books DIRECTION name LIST of an interface.
func (v *vyos) hook(name string, w []string, where Place) {
	if len(w) < 3 || w[1] != "name" && w[1] != "ipv6-name" {
		return
	}
	v.hooks = append(v.hooks, vyosHook{name: name, direction: w[0], list: w[2], six: w[1] == "ipv6-name", where: where})
}

func (v *vyos) place(name string) *Interface {
	i, ok := v.known[name]
	if !ok {
		i = len(v.rs.Interfaces)
		v.known[name] = i
		v.rs.Interfaces = append(v.rs.Interfaces, Interface{Name: name})
	}
	return &v.rs.Interfaces[i]
}

func (v *vyos) interfaces(w []string, where Place) {
	if len(w) < 3 {
		return
	}
	name, rest := w[2], w[3:]
	for len(rest) > 1 && (rest[0] == "vif" || rest[0] == "vif-s" || rest[0] == "vif-c") {
		name, rest = name+"."+rest[1], rest[2:]
	}
	i := v.place(name)
	switch at(rest, 0) {
	case "address":
		p, err := netip.ParsePrefix(at(rest, 1))
		if err != nil {
			v.rs.note(where, "interface %s has an address that is not in the export", name)
			return
		}
		if !v.addrs[name+" "+p.String()] {
			v.addrs[name+" "+p.String()] = true
			i.Addrs = append(i.Addrs, p)
		}
	case "firewall":
		v.hook(name, rest[1:], where)
	}
}

func (v *vyos) protocols(w []string, where Place) {
	if at(w, 1) != "static" {
		if v.once("protocols " + at(w, 1)) {
			v.rs.note(where, "protocols %s: the routes that come of it are not in the export; tell networks behind zones in the configuration", at(w, 1))
		}
		return
	}
	switch at(w, 2) {
	case "route", "route6", "interface-route", "interface-route6":
	default:
		return
	}
	p, err := netip.ParsePrefix(at(w, 3))
	if err != nil {
		v.rs.note(where, "a static route is not understood")
		return
	}
	r := vyosRoute{prefix: p.Masked(), where: where}
	switch at(w, 4) {
	case "next-hop":
		if r.via, err = netip.ParseAddr(at(w, 5)); err != nil {
			return
		}
		if at(w, 6) == "interface" {
			r.out = at(w, 7)
		} else if len(w) > 6 {
			if at(w, 6) == "disable" {
				v.said["disabled "+r.prefix.String()+" "+r.via.String()] = true
			}
			if at(w, 6) != "distance" {
				return
			}
		}
	case "interface", "next-hop-interface", "dhcp-interface":
		r.out = at(w, 5)
	default: // blackhole, reject: less specific routes do not count either
		v.routes = append(v.routes, r)
		return
	}
	v.routes = append(v.routes, r)
}

// network tells zones and routes.
func (v *vyos) network() {
	rs := v.rs
	slices.Sort(v.zoned)
	for _, name := range v.zoned {
		z := v.zones[name]
		for _, i := range z.interfaces {
			f := v.place(i)
			if v.once("zone " + i + " " + name) {
				f.Zones = append(f.Zones, name)
			}
		}
	}
	for _, h := range v.hooks {
		v.place(h.name)
	}
	for _, path := range v.order {
		for _, r := range v.lists[path].rules {
			for _, key := range []string{"inbound-interface", "outbound-interface"} {
				for _, s := range r.all(key) {
					name := at(s, 0)
					if (name == "name" || name == "interface-name") && len(s) > 1 {
						name = s[1]
					} else if len(s) > 1 {
						continue
					}
					if !strings.ContainsAny(name, "!*+") && name != "" && name != "any" {
						v.place(name)
					}
				}
			}
		}
	}
	slices.SortFunc(rs.Interfaces, func(a, b Interface) int { return cmp.Compare(a.Name, b.Name) })
	rs.Connected()
	connected := slices.Clone(rs.Routes)
	v.routes = slices.DeleteFunc(v.routes, func(r vyosRoute) bool { return v.said["disabled "+r.prefix.String()+" "+r.via.String()] })
	if len(v.routes)*len(connected) > 1<<26 {
		rs.note(Place{File: v.first, Line: 1}, "too many routes and interfaces to tell where each leads")
		connected = nil
	}
	slices.SortStableFunc(v.routes, func(a, b vyosRoute) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()))
	})
	for i := 0; i < len(v.routes); {
		r := v.routes[i]
		var outs []string
		for ; i < len(v.routes) && v.routes[i].prefix == r.prefix; i++ {
			out := v.routes[i].out
			for _, c := range connected {
				if out == "" && v.routes[i].via.IsValid() && c.Prefix.Contains(v.routes[i].via) {
					out = c.Out
				}
			}
			if !slices.Contains(outs, out) && len(outs) < 64 {
				outs = append(outs, out)
			}
		}
		out := outs[0]
		if len(outs) > 1 && slices.Contains(outs, "") {
			out = ""
		} else if len(outs) > 1 { // which one counts, or that they share, is not modelled: each may
			out = strings.Join(outs, " or ")
			rs.Bind(out, outs)
		}
		rs.Routes = append(rs.Routes, Route{r.prefix, out})
	}
}

// all lists what is set below a path of keywords.
func (r *vyosRule) all(path ...string) (out [][]string) {
	for _, s := range r.sets {
		if len(s) >= len(path) && slices.Equal(s[:len(path)], path) {
			out = append(out, s[len(path):])
		}
	}
	return out
}

// one is the value of a path of keywords; ok tells that it is set at all.
func (r *vyosRule) one(path ...string) (value string, ok bool) {
	for _, s := range r.sets {
		if len(s) >= len(path) && slices.Equal(s[:len(path)], path) {
			value, ok = at(s, len(path)), true
		}
	}
	return value, ok
}

// text writes a rule's commands, without what a reader need not see.
func (r *vyosRule) text(path string) string {
	var b strings.Builder
	b.WriteString("set " + path + " rule " + r.id)
	for i, s := range r.sets {
		if b.Len() > 1500 {
			break
		}
		if i > 0 {
			b.WriteByte(';')
		}
		for _, w := range s {
			b.WriteByte(' ')
			if strings.ContainsAny(w, " \t") {
				w = "'" + w + "'"
			}
			b.WriteString(w)
		}
	}
	return b.String()
}

// sorted lists the rules of a list in the order of their numbers.
func (l *vyosList) sorted() []*vyosRule {
	out := make([]*vyosRule, 0, len(l.rules))
	for _, r := range l.rules {
		out = append(out, r)
	}
	number := func(r *vyosRule) uint64 { n, _ := strconv.ParseUint(r.id, 10, 64); return n }
	slices.SortFunc(out, func(a, b *vyosRule) int {
		return cmp.Or(cmp.Compare(number(a), number(b)), cmp.Compare(a.id, b.id))
	})
	return out
}

// vyosSix reports whether a path is of rules for IPv6.
func vyosSix(path string) bool {
	return strings.HasPrefix(path, "firewall ipv6") || strings.HasPrefix(path, "nat66 ")
}

// named is the path of a list that is jumped to, as a device of this version calls it.
func (v *vyos) named(name string, six bool) string {
	paths := []string{"firewall ipv4 name " + name, "firewall name " + name}
	if six {
		paths = []string{"firewall ipv6 name " + name, "firewall ipv6-name " + name}
	}
	for _, p := range paths {
		if v.lists[p] != nil {
			return p
		}
	}
	return paths[0]
}

func (v *vyos) steps() {
	rs := v.rs
	for _, path := range v.order {
		if strings.HasPrefix(path, "firewall ") {
			v.chain(v.lists[path])
		}
	}
	step := func(path string, kind Kind, hook Hook) {
		if rs.Chains[path] == nil {
			return
		}
		s := Step{Name: path, Kind: kind, Hook: hook, Chain: path}
		family := Ports(4, 4)
		if vyosSix(path) {
			family = Ports(6, 6)
		}
		if path != "service nat" {
			s.When = Match{{Field: Family, Ranges: []Range{family}}}
		}
		rs.Steps = append(rs.Steps, s)
	}
	for _, f := range []string{"ipv4", "ipv6"} {
		step("firewall "+f+" prerouting raw", Filter, Prerouting)
	}
	v.nat("nat static", DNAT)
	for _, path := range []string{"nat static", "nat destination", "nat66 destination", "service nat"} {
		if path != "nat static" {
			v.nat(path, DNAT)
		}
		step(path, DNAT, Prerouting)
	}
	v.interfaceHooks()
	for _, f := range []string{"ipv4", "ipv6"} {
		step("firewall "+f+" forward filter", Filter, Forward)
		step("firewall "+f+" input filter", Filter, Input)
		step("firewall "+f+" output raw", Filter, Output)
		step("firewall "+f+" output filter", Filter, Output)
	}
	v.zoneSteps()
	if c := v.natStaticSource(); c != nil {
		rs.Chains[c.Name] = c
		rs.Steps = append(rs.Steps, Step{Name: c.Name, Kind: SNAT, Hook: Forward, Chain: c.Name})
	}
	for _, path := range []string{"nat source", "nat66 source"} {
		v.nat(path, SNAT)
		step(path, SNAT, Forward)
	}
}

var vyosActions = map[string]Action{
	"accept": Accept, "drop": Drop, "reject": Reject, "return": Return, "continue": Continue, "jump": Jump, "offload": Continue,
}

// chain makes a chain of a list of filter rules.
func (v *vyos) chain(l *vyosList) {
	six := vyosSix(l.path)
	base := !strings.Contains(l.path, "name ") // forward filter, …
	c := &Chain{Name: l.path, Where: l.where}
	if base {
		c.Rules = append(c.Rules, v.stateRules()...)
		if strings.HasSuffix(l.path, " raw") { // before states are known
			c.Rules = nil
		}
	}
	for _, r := range l.sorted() {
		c.Rules = append(c.Rules, v.filterRule(l, r, six))
	}
	action := l.action
	if action == "" { // VyOS documentation, firewall: base chains accept, named rule sets drop
		action = "drop"
		if base {
			action = "accept"
		}
	}
	last, known := vyosActions[action]
	if base && known && last != Jump {
		if c.Policy, c.PolicyText = last, "default-action "+action; last == Continue {
			c.Policy = Accept
		}
		v.rs.Chains[l.path] = c
		return
	}
	where := l.actionAt
	if where.Line == 0 {
		where = l.where
	}
	r := &Rule{ID: "default-action", Where: where, Text: "set " + l.path + " default-action " + action, Action: last}
	if last == Jump {
		r.Chain = v.named(l.jump, six)
	} else if !known {
		r.Action, r.Words = Uncertain, []string{"default-action " + action}
	}
	c.Rules = append(c.Rules, r)
	c.Policy = Accept
	v.rs.Chains[l.path] = c
}

// stateRules are those of the global state policy, which come before all others.
func (v *vyos) stateRules() (out []*Rule) {
	for _, s := range v.states {
		a, ok := vyosActions[s.action]
		r := &Rule{ID: "state-policy " + s.state, Where: s.where, Text: "state-policy " + s.state + " action " + s.action, Action: a, Match: Match{{Field: Phase, Bits: vyosPhase(s.state)}}}
		if !ok {
			r.Action, r.Words = Uncertain, []string{r.Text}
		}
		out = append(out, r)
	}
	return out
}

// vyosPhase lists the packets of a connection that are in a state.
func vyosPhase(state string) uint8 {
	switch state {
	case "new":
		return First
	case "established":
		return Answer | Later | LaterAnswer
	}
	return 0 // related, invalid, untracked: none of an ordinary connection
}

func (v *vyos) begin(path string, r *vyosRule) *Rule {
	comment, _ := r.one("description")
	_, off := r.one("disable")
	return &Rule{ID: r.id, Where: r.where, Text: r.text(path), Comment: comment, Disabled: off}
}

func (v *vyos) filterRule(l *vyosList, r *vyosRule, six bool) *Rule {
	rule := v.begin(l.path, r)
	rule.Match = v.match(r, six)
	action, _ := r.one("action")
	a, ok := vyosActions[action]
	rule.Action = a
	switch {
	case action == "":
		rule.Action, rule.Words = Uncertain, []string{"a rule without an action"}
		v.rs.note(r.where, "rule %s has no action: the export is cut off; export again with: %s", r.id, vyosExport)
	case !ok:
		rule.Action, rule.Words = Uncertain, []string{"action " + action}
	case a == Jump:
		target, _ := r.one("jump-target")
		rule.Chain = v.named(target, six)
	}
	return rule
}

// vyosHarmless are keywords of rules that say nothing of what matches.
var vyosHarmless = []string{"action", "description", "log", "log-options", "log-level", "disable", "jump-target", "queue", "queue-options", "offload-target", "set", "synproxy", "translation", "exclude", "load-balance", "type"}

var vyosProtocols = map[string]uint16{
	"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58, "ipv6-icmp": 58, "gre": 47, "esp": 50, "ah": 51, "sctp": 132, "ospf": 89, "vrrp": 112, "igmp": 2, "ipip": 4, "l2tp": 115, "pim": 103,
}

// match reads the conditions of a rule.
func (v *vyos) match(r *vyosRule, six bool) Match {
	family := uint16(4)
	if six {
		family = 6
	}
	m := Match{{Field: Family, Ranges: []Range{Ports(family, family)}}}
	if p, ok := r.one("protocol"); ok && p != "all" && p != "" {
		name, not := strings.CutPrefix(p, "!")
		t := Term{Field: Proto, Not: not}
		if n, ok := vyosProtocols[name]; ok {
			t.Ranges = []Range{Ports(n, n)}
		} else if name == "tcp_udp" {
			t.Ranges = Merge([]Range{Ports(6, 6), Ports(17, 17)})
		} else if n, err := strconv.ParseUint(name, 10, 8); err == nil {
			t.Ranges = []Range{Ports(uint16(n), uint16(n))}
		} else { // some other one: TCP has its name
			t.Ranges = []Range{Ports(255, 255)}
		}
		m = append(m, t)
	}
	m = append(m, v.side(r, "destination", DstAddr, DstPort, six)...)
	m = append(m, v.side(r, "source", SrcAddr, SrcPort, six)...)
	m = append(m, v.interfaceTerm(r, "inbound-interface", In)...)
	m = append(m, v.interfaceTerm(r, "outbound-interface", Out)...)
	var bits uint8
	stated := false
	for _, s := range r.all("state") {
		if at(s, 1) != "disable" && len(s) > 0 {
			bits |= vyosPhase(s[0])
			stated = true
		}
	}
	if stated {
		m = append(m, Term{Field: Phase, Bits: bits})
	}
	m = append(m, vyosFlags(r)...)
	if s, ok := r.one("connection-status", "nat"); ok {
		t := Term{Field: Translated, Bits: 2}
		if s == "destination" {
			t.Bits = 1
		}
		m = append(m, t)
	}
	if _, ok := r.one("fragment", "match-frag"); ok {
		m = append(m, Term{Field: Phase})
	}
	for _, s := range r.sets {
		switch s[0] {
		case "protocol", "inbound-interface", "outbound-interface", "source", "destination", "state", "connection-status", "fragment", "tcp":
		default:
			if !slices.Contains(vyosHarmless, s[0]) && len(m) < 64 {
				m = append(m, Term{Field: Unmodelled, Word: strings.Join(s[:min(len(s), 6)], " ")})
			}
		}
	}
	return m
}

// vyosFlags reads tcp flags: 'SYN,!ACK' of 1.3, and the later syn, not ack.
func vyosFlags(r *vyosRule) Match {
	var set, unset []string
	for _, s := range r.all("tcp", "flags") {
		if at(s, 0) == "not" {
			unset = append(unset, at(s, 1))
			continue
		}
		for _, flag := range strings.Split(at(s, 0), ",") {
			if name, not := strings.CutPrefix(flag, "!"); not {
				unset = append(unset, strings.ToLower(name))
			} else {
				set = append(set, strings.ToLower(name))
			}
		}
	}
	var m Match
	if len(r.all("tcp")) > len(r.all("tcp", "flags")) {
		m = append(m, Term{Field: Unmodelled, Word: "tcp options"})
	}
	bits := uint8(EveryPacket)
	for i, flag := range append(slices.Clip(set), unset...) {
		var has uint8
		switch flag {
		case "syn":
			has = First | Answer
		case "ack":
			has = Answer | Later | LaterAnswer
		case "all":
			m = append(m, Term{Field: Unmodelled, Word: "tcp flags all"})
			continue
		default: // fin, rst, psh, urg, ecn, cwr: on none of the packets that open a connection
			if has = 0; i < len(set) {
				m = append(m, Term{Field: Unmodelled, Word: "tcp flags " + flag})
			}
		}
		if i >= len(set) {
			has = EveryPacket &^ has
		} else if has == 0 {
			has = Later | LaterAnswer
		}
		bits &= has
	}
	if bits != EveryPacket {
		m = append(m, Term{Field: Phase, Bits: bits})
	}
	return m
}

func (v *vyos) interfaceTerm(r *vyosRule, key string, field Field) (m Match) {
	for _, s := range r.all(key) {
		kind, value := "name", at(s, 0)
		if len(s) > 1 {
			kind, value = strings.TrimPrefix(s[0], "interface-"), s[1]
		}
		value, not := strings.CutPrefix(value, "!")
		t := Term{Field: field, Not: not}
		switch {
		case value == "any" || value == "":
			continue
		case kind == "group":
			t.Object = value
			g := v.groups["interface-group "+value]
			if g == nil {
				t.Word = "interface-group " + value + ", which is not in the export"
				break
			}
			seen := make(map[string]bool)
			var add func(g *vyosGroup, depth int)
			add = func(g *vyosGroup, depth int) {
				if seen[g.name] || depth > 32 {
					return
				}
				seen[g.name] = true
				for _, member := range g.members {
					if v.budget--; v.budget < 0 {
						t.Word = "more members of groups than can be kept"
						return
					}
					if member[0] == "interface" {
						t.Names = append(t.Names, glue(member[1]))
					} else if in := v.groups["interface-group "+member[1]]; member[0] == "include" && in != nil {
						add(in, depth+1)
					}
				}
			}
			add(g, 0)
		default:
			t.Names = []string{glue(value)}
		}
		m = append(m, t)
	}
	return m
}

// glue writes a pattern of interfaces as a Term has it: eth+ was iptables' form of eth*.
func glue(name string) string {
	if s, ok := strings.CutSuffix(name, "+"); ok {
		return s + "*"
	}
	return name
}

// side reads source or destination.
func (v *vyos) side(r *vyosRule, side string, addr, port Field, six bool) (m Match) {
	_, masked := r.one(side, "address-mask")
	for _, s := range r.all(side) {
		if len(s) < 2 {
			continue
		}
		value, not := strings.CutPrefix(s[1], "!")
		switch s[0] {
		case "address", "prefix":
			t := Term{Field: addr, Not: not}
			if p, err := ParseAddrs(value); err != nil || masked {
				t.Word = side + " address " + value
			} else {
				t.Ranges = []Range{p}
				if value == "::/0" {
					t.Ranges = []Range{AllIPv6()}
				}
			}
			m = append(m, t)
		case "port":
			m = append(m, vyosPorts(port, s[1])...)
		case "group":
			if len(s) < 3 {
				continue
			}
			name, not := strings.CutPrefix(s[2], "!")
			kind := strings.TrimPrefix(strings.TrimPrefix(s[1], "ipv6-"), "ipv4-")
			t := Term{Not: not, Object: name}
			switch kind {
			case "address-group", "network-group":
				if six {
					kind = "ipv6-" + kind
				}
				g := v.group(kind, name, r.where)
				if t.Field, t.Ranges, t.Word = addr, g.ranges, g.word(); masked {
					t.Ranges, t.Word = nil, side+" address-mask"
				}
			case "port-group":
				g := v.group(kind, name, r.where)
				t.Field, t.Ranges, t.Word = port, g.ranges, g.word()
			default: // domain-group, mac-group, dynamic-address-group, remote-group
				t = Term{Field: Unmodelled, Word: side + " " + kind + " " + s[2]}
			}
			m = append(m, t)
		case "address-mask":
		default: // fqdn, geoip, mac-address
			m = append(m, Term{Field: Unmodelled, Word: side + " " + strings.Join(s[:min(len(s), 4)], " ")})
		}
	}
	return m
}

var vyosPortNames = map[string]uint16{
	"smtp": 25, "smtps": 465, "submissions": 465, "urd": 465, "ssmtp": 465, "submission": 587, "http": 80, "https": 443, "ssh": 22, "ftp": 21, "telnet": 23, "domain": 53,
	"pop3": 110, "pop3s": 995, "imap": 143, "imap2": 143, "imaps": 993, "ldap": 389, "ldaps": 636, "ntp": 123, "snmp": 161, "bgp": 179, "sip": 5060,
	"ms-wbt-server": 3389, "mysql": 3306, "nntp": 119, "kerberos": 88, "tftp": 69, "bootps": 67, "bootpc": 68, "isakmp": 500, "syslog": 514, "qmtp": 209, "qmqp": 628, "sieve": 4190, "lmtp": 24,
}

// vyosPorts reads a list of ports: 25,465,submission,1000-2000, each with an ! for not.
func vyosPorts(field Field, text string) (m Match) {
	is, not := Term{Field: field}, Term{Field: field, Not: true}
	parts := strings.Split(text, ",")
	for i, p := range parts {
		name, negated := strings.CutPrefix(strings.TrimSpace(p), "!")
		t := &is
		if negated {
			t = &not
		}
		if i > 0 && !negated && strings.HasPrefix(parts[0], "!") { // 1.3 meant all of them, later versions this one only
			return Match{{Field: Unmodelled, Word: "port " + text}}
		}
		r, ok := vyosPort(name)
		if !ok {
			t.Word = "port " + name
			continue
		}
		t.Ranges = append(t.Ranges, r)
	}
	for _, t := range []Term{is, not} {
		if t.Ranges = Merge(t.Ranges); len(t.Ranges) > 0 || t.Word != "" {
			m = append(m, t)
		}
	}
	return m
}

func vyosPort(name string) (Range, bool) {
	if n, ok := vyosPortNames[name]; ok {
		return Ports(n, n), true
	}
	return fortiPorts(name)
}

// group is the union of what a group holds.
func (v *vyos) group(kind, name string, where Place) *fortiSet {
	key := kind + " " + name
	g := v.groups[key]
	switch {
	case g == nil:
		v.rs.note(where, "%s is not in the export; export all of it with: %s", key, vyosExport)
		return &fortiSet{words: []string{key + ", which is not in the export"}}
	case g.set != nil && g.set.busy:
		v.rs.note(g.where, "%s is in itself", key)
		return &fortiSet{words: []string{key + ", which is in itself"}}
	case g.set != nil:
		return g.set
	case v.depth > 64:
		return &fortiSet{words: []string{key + ", which is too deep in others"}}
	}
	g.set = &fortiSet{busy: true}
	v.depth++
	if v.rs.members == nil {
		v.rs.members = make(map[string]map[Range]member)
	}
	names := v.rs.members[name]
	if names == nil {
		names = make(map[Range]member)
		v.rs.members[name] = names
	}
	for _, m := range g.members {
		if m[0] == "include" {
			in := v.group(kind, m[1], g.where)
			if v.budget -= len(in.ranges) + 1; v.budget < 0 {
				in = &fortiSet{words: []string{"more members of groups than can be kept"}}
			}
			g.set.add(in)
			for r, inner := range v.rs.members[m[1]] {
				if v.budget--; v.budget > 0 {
					names[r] = inner
				}
			}
			continue
		}
		var r Range
		ok := false
		switch m[0] {
		case "address", "network", "prefix":
			var err error
			r, err = ParseAddrs(m[1])
			ok = err == nil
			if m[1] == "::/0" {
				r = AllIPv6()
			}
		case "port":
			r, ok = vyosPort(m[1])
		default: // description
			continue
		}
		if !ok {
			g.set.add(&fortiSet{words: []string{m[0] + " " + m[1] + " of " + key}})
			continue
		}
		g.set.ranges = append(g.set.ranges, r)
		names[r] = member{"firewall group " + key, m[0] + " " + m[1]}
	}
	v.depth--
	g.set.ranges = Merge(g.set.ranges)
	g.set.busy = false
	return g.set
}

// interfaceHooks are the rule lists of interfaces in releases up to 1.3: in and out for what goes through, local for what
// is meant for the device.
func (v *vyos) interfaceHooks() {
	for _, d := range []struct {
		direction string
		hook      Hook
		field     Field
	}{{"in", Forward, In}, {"out", Forward, Out}, {"local", Input, In}} {
		c := &Chain{Name: "interfaces " + d.direction, Policy: Accept, PolicyText: "no rules for the interface", Rules: v.stateRules()}
		bound := false
		for _, h := range v.hooks {
			if h.direction != d.direction {
				continue
			}
			family := Ports(4, 4)
			if h.six {
				family = Ports(6, 6)
			}
			if !bound {
				c.Where = h.where
			}
			bound = true
			c.Rules = append(c.Rules, &Rule{
				ID: h.name + " " + h.direction, Where: h.where, Text: "interface " + h.name + " firewall " + h.direction + " name " + h.list, Action: Jump, Chain: v.named(h.list, h.six),
				Match: Match{{Field: Family, Ranges: []Range{family}}, {Field: d.field, Names: []string{h.name}}},
			})
		}
		if bound {
			v.rs.Chains[c.Name] = c
			v.rs.Steps = append(v.rs.Steps, Step{Name: c.Name, Kind: Filter, Hook: d.hook, Chain: c.Name})
		}
	}
}

// zoneSteps are the chains of zones: of the zone that a packet goes to, the list for the zone that it comes from. VyOS
// documentation, zone based firewall.
func (v *vyos) zoneSteps() {
	if len(v.zones) == 0 {
		return
	}
	local := ""
	for _, name := range v.zoned {
		if v.zones[name].local {
			local = name
		}
	}
	base := func(name string, hook Hook) *Chain {
		c := &Chain{Name: name, Policy: Accept, PolicyText: "interface in no zone", Where: v.zones[v.zoned[0]].where, Rules: v.stateRules()}
		v.rs.Chains[name] = c
		v.rs.Steps = append(v.rs.Steps, Step{Name: name, Kind: Filter, Hook: hook, Chain: name})
		return c
	}
	forward := base("zones forward", Forward)
	for _, name := range v.zoned {
		z := v.zones[name]
		if z.local || len(z.interfaces) == 0 {
			continue
		}
		c := &Chain{Name: "zone " + name, Where: z.where, Policy: Accept}
		v.rs.Chains[c.Name] = c
		forward.Rules = append(forward.Rules, &Rule{ID: "zone " + name, Where: z.where, Text: "zone " + name, Action: Jump, Chain: c.Name, Match: Match{{Field: Out, Names: z.interfaces}}})
		v.zoneRules(c, z, z.interfaces, In, local)
	}
	if local == "" {
		return
	}
	in := base("zone "+local+" input", Input)
	v.zoneRules(in, v.zones[local], nil, In, local)
	// What the device itself sends to a zone is judged by that zone's list for the local zone.
	out := base("zone "+local+" output", Output)
	for _, name := range v.zoned {
		z := v.zones[name]
		for _, f := range z.from {
			if f.zone == local && !z.local {
				v.from(out, f, z.interfaces, Out)
			}
		}
	}
	v.otherwise(out, v.zones[local])
}

// from adds the list for one pair of zones.
func (v *vyos) from(c *Chain, f vyosFrom, interfaces []string, field Field) {
	family := Ports(4, 4)
	if f.six {
		family = Ports(6, 6)
	}
	m := Match{{Field: Family, Ranges: []Range{family}}, {Field: field, Names: interfaces}}
	c.Rules = append(c.Rules,
		&Rule{ID: "from " + f.zone, Where: f.where, Text: "from " + f.zone + " firewall name " + f.list, Action: Jump, Chain: v.named(f.list, f.six), Match: m},
		&Rule{ID: "from " + f.zone, Where: f.where, Text: "from " + f.zone + " firewall name " + f.list, Action: Return, Match: m})
}

func (v *vyos) zoneRules(c *Chain, z *vyosZone, own []string, field Field, local string) {
	if len(own) > 0 {
		within := Match{{Field: field, Names: own}}
		for _, list := range []struct {
			name string
			six  bool
		}{{z.intra4, false}, {z.intra6, true}} {
			if list.name != "" {
				v.from(c, vyosFrom{z.name, list.name, list.six, z.where}, own, field)
			}
		}
		a := Return
		if z.intra == "drop" || z.intra == "reject" {
			a = vyosActions[z.intra]
		}
		c.Rules = append(c.Rules, &Rule{ID: "intra-zone-filtering", Where: z.where, Text: "zone " + z.name + " intra-zone-filtering", Action: a, Match: within})
	}
	for _, f := range z.from {
		other := v.zones[f.zone]
		if f.zone == local {
			continue
		}
		if other == nil {
			v.rs.note(f.where, "zone %s is not in the export", f.zone)
			continue
		}
		v.from(c, f, other.interfaces, field)
	}
	v.otherwise(c, z)
}

// otherwise ends the rules of a zone: default-firewall, then default-action.
func (v *vyos) otherwise(c *Chain, z *vyosZone) {
	for _, list := range []struct {
		name   string
		six    bool
		family Range
	}{{z.other4, false, Ports(4, 4)}, {z.other6, true, Ports(6, 6)}} {
		if list.name != "" {
			m := Match{{Field: Family, Ranges: []Range{list.family}}}
			c.Rules = append(c.Rules, &Rule{ID: "default-firewall", Where: z.where, Text: "zone " + z.name + " default-firewall name " + list.name, Action: Jump, Chain: v.named(list.name, list.six), Match: m},
				&Rule{ID: "default-firewall", Where: z.where, Text: "zone " + z.name + " default-firewall", Action: Return, Match: m})
		}
	}
	action := first(z.action, "drop")
	r := &Rule{ID: "default-action", Where: z.where, Text: "zone " + z.name + " default-action " + action, Action: vyosActions[action]}
	if _, ok := vyosActions[action]; !ok {
		r.Action, r.Words = Uncertain, []string{"default-action " + action}
	}
	c.Rules = append(c.Rules, r)
}

// nat makes a chain of rules that translate.
func (v *vyos) nat(path string, kind Kind) {
	l := v.lists[path]
	if l == nil {
		return
	}
	c := &Chain{Name: path, Where: l.where, Policy: Accept}
	for _, r := range l.sorted() {
		rule := v.begin(path, r)
		if path == "service nat" { // EdgeOS has its own words
			rule.Action, rule.Words = Uncertain, []string{"service nat of EdgeOS"}
			rule.Match = Match{{Field: Unmodelled, Word: "service nat of EdgeOS"}}
			c.Rules = append(c.Rules, rule)
			continue
		}
		if path == "nat static" {
			v.static(rule, r, DNAT)
			c.Rules = append(c.Rules, rule)
			continue
		}
		rule.Match = v.match(r, vyosSix(path))
		rule.Action = Translate
		side, addr := "destination", DstAddr
		if kind == SNAT {
			side, addr = "source", SrcAddr
		}
		v.translation(rule, r, side, addr, vyosSix(path))
		c.Rules = append(c.Rules, rule)
	}
	v.rs.Chains[path] = c
}

func (v *vyos) translation(rule *Rule, r *vyosRule, side string, addr Field, six bool) {
	if _, ok := r.one("exclude"); ok {
		if rule.Action = Exempt; v.lists["nat static"] != nil && !six { // which is a table of its own, and is asked after it
			rule.Action = Return
		}
		return
	}
	to := &rule.To
	address, hasAddress := r.one("translation", "address")
	if port, ok := r.one("translation", "port"); ok {
		p, ok := vyosPort(port)
		if to.Ports = []Range{p}; !ok {
			to.Ports, to.Words = nil, append(to.Words, "translation port "+port)
		}
	}
	backends := r.all("load-balance", "backend")
	switch {
	case len(r.all("translation", "redirect")) > 0:
		to.Interface = true
		if port, ok := r.one("translation", "redirect", "port"); ok {
			p, ok := vyosPort(port)
			if to.Ports = []Range{p}; !ok {
				to.Ports, to.Words = nil, append(to.Words, "redirect port "+port)
			}
		}
	case len(backends) > 0:
		for _, b := range backends {
			if p, err := ParseAddrs(at(b, 0)); err == nil {
				to.Addrs = append(to.Addrs, p)
			}
		}
		to.Addrs = Merge(to.Addrs)
	case address == "masquerade":
		to.Interface = true
	case hasAddress:
		p, err := ParseAddrs(address)
		if err != nil {
			to.Words = append(to.Words, "translation address "+address)
			return
		}
		to.Addrs = []Range{p}
		if strings.Contains(address, "/") && p.First != p.Last { // a network for a network
			from, _ := r.one(side, "address")
			if prefix, ok := r.one(side, "prefix"); ok {
				from = prefix
			}
			f, err := ParseAddrs(from)
			if err != nil {
				to.Addrs, to.Words = nil, append(to.Words, "translation address "+address)
				return
			}
			to.Map, to.From = true, []Range{f}
		}
	case len(to.Ports) > 0 || len(to.Words) > 0:
	default:
		rule.Action, rule.Words = Uncertain, []string{"a rule without a translation"}
		v.rs.note(r.where, "nat rule %s has no translation: the export is cut off; export again with: %s", r.id, vyosExport)
	}
}

// static reads a rule of nat static, which translates both ways.
func (v *vyos) static(rule *Rule, r *vyosRule, kind Kind) {
	field, addr := In, DstAddr
	outside, _ := r.one("destination", "address")
	inside, _ := r.one("translation", "address")
	if kind == SNAT {
		field, addr, outside, inside = Out, SrcAddr, inside, outside
	}
	rule.Action = Translate
	rule.Match = Match{{Field: Family, Ranges: []Range{Ports(4, 4)}}}
	if name, ok := r.one("inbound-interface"); ok && name != "any" {
		rule.Match = append(rule.Match, Term{Field: field, Names: []string{glue(name)}})
	}
	from, err := ParseAddrs(outside)
	to, err2 := ParseAddrs(inside)
	if err != nil || err2 != nil {
		rule.Action, rule.Words = Uncertain, []string{"nat static rule " + r.id}
		rule.Match = append(rule.Match, Term{Field: Unmodelled, Word: "nat static rule " + r.id})
		return
	}
	rule.Match = append(rule.Match, Term{Field: addr, Ranges: []Range{from}})
	rule.To = Translation{Addrs: []Range{to}, Map: true, From: []Range{from}}
}

func (v *vyos) natStaticSource() *Chain {
	l := v.lists["nat static"]
	if l == nil {
		return nil
	}
	c := &Chain{Name: "nat static source", Where: l.where, Policy: Accept}
	for _, r := range l.sorted() {
		rule := v.begin(l.path, r)
		v.static(rule, r, SNAT)
		c.Rules = append(c.Rules, rule)
	}
	return c
}

func editVyOS(rs *Ruleset, e Edit) []string {
	if e.Rule == nil || e.Chain == nil || e.Step == nil {
		return nil
	}
	path := strings.TrimSuffix(e.Chain.Name, " source")
	if e.Chain.Name == "nat source" || e.Chain.Name == "nat66 source" {
		path = e.Chain.Name
	}
	number, err := strconv.ParseUint(e.Rule.ID, 10, 32)
	if err != nil && e.Kind != DropMember {
		return nil // default-action, states: no rule of its own
	}
	six := vyosSix(path)
	rule := func(n uint64) string { return path + " rule " + strconv.FormatUint(n, 10) }
	var out []string
	set := func(format string, args ...any) { out = append(out, "set "+fmt.Sprintf(format, args...)) }
	sources := func(n uint64) {
		if len(e.Sources) == 1 {
			set("%s source address '%s'", rule(n), e.Sources[0].Masked())
			return
		}
		kind, name := "network-group", "sources-"+strconv.FormatUint(n, 10)
		if six {
			kind = "ipv6-network-group"
		}
		for _, p := range e.Sources {
			set("firewall group %s %s network '%s'", kind, name, p.Masked())
		}
		if strings.HasPrefix(path, "firewall ipv6 ") {
			kind = "network-group"
		}
		set("%s source group %s '%s'", rule(n), kind, name)
	}
	switch e.Kind {
	case DenyAbove:
		if !strings.HasPrefix(path, "firewall ") {
			return nil
		}
		before := uint64(0)
		for _, r := range e.Chain.Rules {
			if n, err := strconv.ParseUint(r.ID, 10, 32); err == nil && n < number {
				before = max(before, n)
			}
		}
		n := number - 1
		if n <= before {
			return nil // there is no number between them
		}
		set("%s action 'drop'", rule(n))
		set("%s protocol 'tcp'", rule(n))
		if len(e.Sources) > 0 {
			sources(n)
		}
		if e.Dst.Addr().IsValid() {
			set("%s destination address '%s'", rule(n), e.Dst.Addr())
		}
		set("%s destination port '%d'", rule(n), e.Dst.Port())
		for _, t := range e.Rule.Match { // the new line stands where the old one does, for the same interfaces
			if (t.Field == In || t.Field == Out) && !t.Not && len(t.Names) == 1 && strings.Contains(path, "filter") {
				key := "inbound-interface"
				if t.Field == Out {
					key = "outbound-interface"
				}
				set("%s %s name '%s'", rule(n), key, t.Names[0])
			}
		}
	case Narrow:
		if len(e.Sources) == 0 {
			return nil
		}
		for _, t := range e.Rule.Match {
			if t.Field == SrcAddr {
				out = append(out, "delete "+rule(number)+" source")
				break
			}
		}
		sources(number)
	case DropMember:
		m, ok := rs.members[e.Object][e.Member]
		if !ok {
			return nil
		}
		key, value, _ := strings.Cut(m.name, " ")
		out = append(out, "delete "+m.group+" "+key+" '"+value+"'")
	case Remove, StopNAT:
		if e.Kind == StopNAT && !strings.HasPrefix(path, "nat") {
			return nil
		}
		out = append(out, "delete "+rule(number))
	}
	return out
}
