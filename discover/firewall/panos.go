package firewall

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// PAN-OS has one list of security rules and one of NAT rules; in both the first rule that matches is the only one. From
// "Packet Flow Sequence in PAN-OS" and "NAT Policy Overview":
//
//	route of the destination as sent ─► NAT rule: zones before NAT, addresses and port as sent
//	route of the new destination     ─► security rule: zone behind NAT, but addresses and port as sent
//	                                 ─► the packet leaves with both translations
//
// A NAT rule may translate destination and source. So its list is asked twice: in the step nat destination for the one,
// in the step nat source for the other, each time with addresses as sent. Where a rule leaves one of them as it is, its
// twin there is a Return: it ends the list, and does nothing.
//
// What Panorama pushes stands around the device's own rules: shared pre, device group pre (the outer group first), local,
// device group post (the inner group first), shared post, and last the default rules.

const (
	panosExport = "running-config.xml: Device, Setup, Operations, Export named configuration snapshot; or in the CLI: scp export configuration from running-config.xml to USER@HOST:"
	panosDepth  = 64        // of elements, and of groups in groups
	panosNodes  = 3_000_000 // elements that are kept
	panosRanges = 4_000_000 // ranges of all rules and groups
	panosNames  = 20_000    // interfaces, and zones: more than any device has
	// panosReverse stands behind the name of a rule that PAN-OS makes of a bi-directional one.
	panosReverse = " (bi-directional)"
)

// panosNode is an element. Only what a rule may need is kept.
type panosNode struct {
	name, entry, text string // entry: attribute name of an entry
	line, end         int32
	kids              []*panosNode
}

// panosSkipped are elements that are not kept: they are of no use here, and hold what nobody shall see.
var panosSkipped = map[string]bool{
	"mgt-config": true, "deviceconfig": true, "profiles": true, "profile-group": true, "certificate": true,
	"log-settings": true, "reports": true, "report-group": true, "botnet": true, "authentication-profile": true,
	"server-profile": true, "ssl-tls-service-profile": true, "global-protect": true, "ike": true, "signature": true,
	"user-id-collector": true, "template": true, "template-stack": true, "log-collector-group": true,
	"password": true, "phash": true, "private-key": true, "public-key": true, "secret": true, "key": true,
	"authentication-key": true, "pre-shared-key": true, "community": true, "snmp-community-string": true, "passphrase": true,
	"auth-password": true, "priv-password": true, "authpwd": true, "privpwd": true, "auth-profile": true, "authentication": true,
}

func isPANOS(start []byte) bool {
	if start = bytes.TrimSpace(start); len(start) == 0 || start[0] != '<' {
		return false
	}
	d := xml.NewDecoder(bytes.NewReader(start))
	d.CharsetReader = panosCharset
	for range 16 {
		t, err := d.Token()
		if err != nil {
			return false
		}
		if e, ok := t.(xml.StartElement); ok {
			switch e.Name.Local {
			case "response", "result":
				continue
			case "config", "policy":
				return e.Name.Space == ""
			}
			return false
		}
	}
	return false
}

// panosCharset lets a file say that it is in some other encoding: names of rules may read badly then.
func panosCharset(_ string, r io.Reader) (io.Reader, error) { return r, nil }

// panosTree reads a file.
func panosTree(f Export) (*panosNode, error) {
	d := xml.NewDecoder(bytes.NewReader(f.Data))
	d.CharsetReader = panosCharset
	count := lines{data: f.Data}
	root := &panosNode{line: 1}
	open := []*panosNode{root}
	names := make(map[string]string) // one copy of each
	fail := func(err error) error {
		what := err.Error()
		if s := (*xml.SyntaxError)(nil); errors.As(err, &s) {
			what = s.Msg
		}
		if at := open[len(open)-1]; at != root {
			what = fmt.Sprintf("inside of <%s>, which begins in line %d: %s", clean(at.name, 40), at.line, what)
		}
		return fmt.Errorf("%s:%d: %s; export it again: %s", f.Name, count.of(int(d.InputOffset())), clean(strings.ReplaceAll(what, "\n", " "), 200), panosExport)
	}
	for nodes := 0; ; {
		begin := int(d.InputOffset())
		token, err := d.Token()
		if errors.Is(err, io.EOF) && len(open) == 1 {
			return root, nil
		}
		if err != nil {
			return nil, fail(err)
		}
		at := open[len(open)-1]
		switch t := token.(type) {
		case xml.StartElement:
			name := t.Name.Local
			if panosSkipped[name] {
				if err := d.Skip(); err != nil {
					return nil, fail(err)
				}
				continue
			}
			if nodes++; nodes > panosNodes || len(open) > panosDepth {
				return nil, fail(errors.New("more or deeper elements than a configuration has"))
			}
			if known, ok := names[name]; ok {
				name = known
			} else {
				names[name] = name
			}
			n := &panosNode{name: name, line: int32(count.of(begin))}
			for _, a := range t.Attr {
				if a.Name.Local == "name" {
					n.entry = a.Value
				}
			}
			at.kids = append(at.kids, n)
			open = append(open, n)
		case xml.EndElement:
			at.end = int32(count.of(int(d.InputOffset())))
			open = open[:len(open)-1]
		case xml.CharData:
			if text := bytes.TrimSpace(t); len(text) > 0 && len(at.text) < 4096 {
				at.text += string(text[:min(len(text), 4096)])
			}
		}
	}
}

// at is the element at a path below; nil, if there is none.
func (n *panosNode) at(path ...string) *panosNode {
	for _, name := range path {
		if n == nil {
			return nil
		}
		i := slices.IndexFunc(n.kids, func(k *panosNode) bool { return k.name == name })
		if i < 0 {
			return nil
		}
		n = n.kids[i]
	}
	return n
}

func (n *panosNode) list(path ...string) []*panosNode {
	if n = n.at(path...); n == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(n.kids), func(k *panosNode) bool { return k.name != "entry" })
}

// members are the values of an element: of its members, or its text.
func (n *panosNode) members(path ...string) (out []string) {
	if n = n.at(path...); n == nil {
		return nil
	}
	for _, k := range n.kids {
		if k.name == "member" {
			out = append(out, k.text)
		}
	}
	if len(out) == 0 && n.text != "" {
		out = []string{n.text}
	}
	return out
}

func (n *panosNode) value(path ...string) string {
	if n = n.at(path...); n == nil {
		return ""
	}
	return n.text
}

// panosScope is a place that has rules and objects: a vsys, a device group, shared.
type panosScope struct {
	file   string
	prefix string // of its commands, such as "set device-group mail"
	node   *panosNode
	index  map[string]map[string]*panosNode // objects by kind and name
}

func (s *panosScope) object(kind, name string) *panosNode {
	if s.index[kind] == nil {
		if s.index == nil {
			s.index = make(map[string]map[string]*panosNode)
		}
		s.index[kind] = make(map[string]*panosNode)
		for _, e := range s.node.list(kind) {
			s.index[kind][e.entry] = e
		}
	}
	return s.index[kind][name]
}

// panosRulebase is one list of rules, where it stands.
type panosRulebase struct {
	*panosScope
	node *panosNode // rulebase, pre-rulebase or post-rulebase; may be nil
	name string
}

type panos struct {
	rs     *Ruleset
	scopes []*panosScope // where objects are looked for: the nearest first
	zones  []string
	known  map[string]bool // zones
	ifaces map[string]int  // where they are in Ruleset.Interfaces
	same   []Match         // a connection stays in one of the zones
	addrs  map[string]*panosAddrs
	ports  map[string][]Match // of services
	budget int
	busy   map[string]bool // groups that are being resolved
}

func readPANOS(rs *Ruleset, files []Export) error {
	p := &panos{
		rs: rs, known: make(map[string]bool), ifaces: make(map[string]int), addrs: make(map[string]*panosAddrs), ports: make(map[string][]Match),
		budget: panosRanges, busy: make(map[string]bool),
	}
	var found panosFound
	for _, f := range files {
		root, err := panosTree(f)
		if err != nil {
			return err
		}
		for {
			next := eitherNode(root.at("response"), root.at("result"))
			if next == nil {
				break
			}
			root = next
		}
		if err := found.in(f.Name, root); err != nil {
			return err
		}
	}
	bases, err := found.order(p)
	if err != nil {
		return err
	}
	p.network(&found)
	p.rules(bases)
	p.zoneless()
	if len(rs.Routes) == 0 {
		rs.Others = true
		rs.note(bases[0].place(), "no routes are in the files: add the running-config.xml of the firewall itself, or name the networks of zones in the configuration")
	}
	return nil
}

func eitherNode(a, b *panosNode) *panosNode {
	if a != nil {
		return a
	}
	return b
}

// place is where a list of rules stands, or would.
func (b *panosRulebase) place() Place {
	n := eitherNode(b.node, b.panosScope.node)
	return Place{File: b.file, Line: int(n.line)}
}

// panosFound is what is in the files.
type panosFound struct {
	vsys     []*panosScope
	groups   []*panosScope // Panorama's device groups
	parents  map[string]string
	shared   []*panosScope // of the device, or of Panorama
	pushed   []*panosScope // what Panorama has pushed, as the device keeps it
	networks []*panosScope
}

func (found *panosFound) in(file string, root *panosNode) error {
	scope := func(n *panosNode, prefix string) *panosScope {
		return &panosScope{file: file, prefix: prefix, node: n}
	}
	config := root.at("config")
	if config == nil { // show config pushed-shared-policy
		config = root
	}
	n := len(found.vsys) + len(found.groups) + len(found.pushed)
	for _, dev := range config.list("devices") {
		for _, v := range dev.list("vsys") {
			found.vsys = append(found.vsys, scope(v, "set"))
		}
		for _, g := range dev.list("device-group") {
			found.groups = append(found.groups, scope(g, "set device-group "+panosWord(g.entry)))
		}
		if net := dev.at("network"); net != nil {
			found.networks = append(found.networks, scope(net, ""))
		}
	}
	for _, dev := range config.list("readonly", "devices") {
		for _, g := range dev.list("device-group") {
			if found.parents == nil {
				found.parents = make(map[string]string)
			}
			found.parents[g.entry] = g.value("parent-dg")
		}
	}
	if s := config.at("shared"); s != nil {
		found.shared = append(found.shared, scope(s, "set shared"))
	}
	for _, v := range config.list("panorama", "vsys") {
		found.pushed = append(found.pushed, scope(v, "set"))
	}
	if pushed := config.at("policy", "panorama"); pushed != nil {
		found.pushed = append(found.pushed, scope(pushed, "set"))
	}
	if len(found.vsys)+len(found.groups)+len(found.pushed) == n && config.at("shared", "pre-rulebase") == nil && config.at("shared", "post-rulebase") == nil {
		return fmt.Errorf("%s:%d: no vsys and no device group is in it; export %s", file, max(1, config.line), panosExport)
	}
	return nil
}

// holds reports whether a scope has rules.
func (s *panosScope) holds() bool {
	for _, base := range []string{"rulebase", "pre-rulebase", "post-rulebase"} {
		if len(s.node.list(base, "security", "rules"))+len(s.node.list(base, "nat", "rules")) > 0 {
			return true
		}
	}
	return false
}

// pick takes the one of several scopes that is meant: the one that the device is named after (fw/vsys2), or else the only
// one that holds rules.
func (found *panosFound) pick(device, what string, all []*panosScope) (*panosScope, error) {
	if len(all) == 0 {
		return nil, nil
	}
	parts := strings.Split(device, "/")
	var holding []*panosScope
	for _, s := range all {
		if slices.Contains(parts, s.node.entry) || slices.Contains(parts, s.node.value("display-name")) {
			return s, nil
		}
		if s.holds() {
			holding = append(holding, s)
		}
	}
	// A group around others is not where the device is.
	inner := slices.DeleteFunc(slices.Clone(holding), func(s *panosScope) bool {
		return what == "device group" && slices.ContainsFunc(holding, func(o *panosScope) bool {
			return o != s && slices.Contains(found.around(o.node.entry), s.node.entry)
		})
	})
	switch {
	case len(inner) == 1:
		return inner[0], nil
	case len(holding) == 0:
		return all[0], nil
	}
	var names []string
	for _, s := range holding {
		names = append(names, s.node.entry)
	}
	return nil, fmt.Errorf("%s:%d: %d %s entries hold rules (%s): end the device's name in the one that is meant, such as %s/%s",
		holding[1].file, holding[1].node.line, len(holding), what, clean(strings.Join(names, ", "), 300), clean(device, 100), clean(holding[0].node.entry, 100))
}

// around lists the device groups around one, the nearest first.
func (found *panosFound) around(group string) (out []string) {
	for range panosDepth {
		if group = found.parents[group]; group == "" || group == "shared" {
			break
		}
		out = append(out, group)
	}
	return out
}

// order puts the lists of rules in the order that a packet meets them, and says where objects are looked for.
func (found *panosFound) order(p *panos) ([]panosRulebase, error) {
	vsys, err := found.pick(p.rs.Device, "vsys", found.vsys)
	if err != nil {
		return nil, err
	}
	group, err := found.pick(p.rs.Device, "device group", found.groups)
	if err != nil {
		return nil, err
	}
	if vsys != nil {
		if len(found.vsys) > 1 {
			vsys.prefix = "set vsys " + panosWord(vsys.node.entry)
		}
		p.scopes = append(p.scopes, vsys)
	}
	outer := found.pushed
	if group != nil {
		outer = []*panosScope{group}
		for _, name := range found.around(group.node.entry) {
			if i := slices.IndexFunc(found.groups, func(s *panosScope) bool { return s.node.entry == name }); i >= 0 {
				outer = append(outer, found.groups[i])
			}
		}
	} else if vsys != nil && len(outer) > 1 {
		outer = slices.DeleteFunc(slices.Clone(outer), func(s *panosScope) bool { return s.node.entry != "" && s.node.entry != vsys.node.entry })
	}
	p.scopes = append(p.scopes, outer...)
	p.scopes = append(p.scopes, found.shared...)
	outer = append(slices.Clone(outer), found.shared...)

	var bases []panosRulebase
	for _, s := range slices.Backward(outer) {
		bases = append(bases, panosRulebase{s, s.node.at("pre-rulebase"), "pre-rulebase"})
	}
	if vsys != nil {
		bases = append(bases, panosRulebase{vsys, vsys.node.at("rulebase"), "rulebase"})
		if vsys.node.at("rulebase", "security", "rules") == nil && len(outer) == len(found.shared) {
			p.rs.note(Place{File: vsys.file, Line: int(vsys.node.line)}, "no security rules are in it: if Panorama pushes them, name Panorama's running-config.xml too, with the device named FIREWALL/DEVICE-GROUP")
		}
	} else {
		p.rs.note(Place{File: p.scopes[0].file, Line: int(max(1, p.scopes[0].node.line))}, "the firewall's own rules, zones and routes are not in it: name its running-config.xml too")
	}
	for _, s := range outer {
		bases = append(bases, panosRulebase{s, s.node.at("post-rulebase"), "post-rulebase"})
	}
	return bases, nil
}

// rules makes the three steps.
func (p *panos) rules(bases []panosRulebase) {
	start := bases[0].place()
	dnat := &Chain{Name: "nat destination", Where: start}
	snat := &Chain{Name: "nat source", Where: start}
	security := &Chain{Name: "security", Where: start, Policy: Drop, PolicyText: "interzone-default: deny"}
	// The zones that all rules name are needed before the first rule of type intrazone is read.
	for _, b := range bases {
		for _, list := range []string{"security", "nat"} {
			for _, e := range b.node.list(list, "rules") {
				for _, z := range slices.Concat(e.members("from"), e.members("to")) {
					p.zone(z)
				}
			}
		}
	}
	for _, z := range p.zones {
		p.same = append(p.same, Match{{Field: In, Names: []string{z}}, {Field: Out, Names: []string{z}}})
	}
	for _, b := range bases {
		for _, e := range b.node.list("nat", "rules") {
			for _, twins := range p.nat(&b, e) {
				dnat.Rules, snat.Rules = append(dnat.Rules, twins[0]), append(snat.Rules, twins[1])
			}
		}
		for _, e := range b.node.list("security", "rules") {
			security.Rules = append(security.Rules, p.security(&b, e))
		}
		for _, e := range b.node.list("dos", "rules") {
			if e.value("disabled") != "yes" {
				p.rs.note(b.at(e), "DoS protection: rule %s is asked before the security rules, and is not modelled: what it denies may be shown as permitted", clean(e.entry, 80))
			}
		}
		for _, e := range b.node.list("pbf", "rules") {
			if e.value("disabled") != "yes" {
				p.rs.note(b.at(e), "policy based forwarding: rule %s may send connections out by another zone than the route's", clean(e.entry, 80))
			}
		}
	}
	p.defaults(bases, security)
	p.rs.Chains = map[string]*Chain{dnat.Name: dnat, security.Name: security, snat.Name: snat}
	p.rs.Steps = []Step{
		{Name: dnat.Name, Kind: DNAT, Chain: dnat.Name, Original: true, Stateful: true},
		{Name: security.Name, Chain: security.Name, Original: true, Stateful: true, OwnOut: true},
		{Name: snat.Name, Kind: SNAT, Chain: snat.Name, Original: true, Stateful: true},
	}
}

func (b *panosRulebase) at(e *panosNode) Place {
	where := Place{File: b.file, Line: int(e.line)}
	if e.end > e.line {
		where.End = int(e.end)
	}
	return where
}

// defaults adds what is behind all rules: within a zone all is let through, between zones nothing, unless overridden.
func (p *panos) defaults(bases []panosRulebase, c *Chain) {
	within := &Rule{ID: "intrazone-default", Where: c.Where, Text: "intrazone-default (predefined): allow", Action: Accept}
	// What the device itself says counts most: the lists behind its own are Panorama's, the inner group first.
	for _, s := range slices.Backward(p.scopes) {
		for _, base := range []string{"post-rulebase", "rulebase"} {
			b := panosRulebase{s, s.node.at(base), base}
			for _, e := range b.node.list("default-security-rules", "rules") {
				action, words := panosAction(e)
				switch {
				case e.entry == within.ID:
					within.Where, within.Action, within.Words = b.at(e), action, words
					within.Text = panosText(&b, "default-security-rules", e)
				case e.entry == "interzone-default" && action != Uncertain:
					c.Where, c.Policy, c.PolicyText = b.at(e), action, "interzone-default: "+clean(e.value("action"), 40)
				default:
					p.rs.note(b.at(e), "default rule %s is not understood", clean(e.entry, 80))
				}
			}
		}
	}
	within.Match = Match{{Field: AnyOf, Any: p.same}}
	c.Rules = append(c.Rules, within)
}

func (p *panos) zone(name string) {
	if name != "" && name != "any" && name != "multicast" && !p.known[name] && len(p.zones) < panosNames {
		p.known[name] = true
		p.zones = append(p.zones, name)
	}
}

func panosAction(e *panosNode) (Action, []string) {
	switch a := e.value("action"); a {
	case "allow":
		return Accept, nil
	case "deny", "drop", "reset-server": // what deny tells the sender is up to the application
		return Drop, nil
	case "reset-client", "reset-both":
		return Reject, nil
	default:
		return Uncertain, []string{clean(strings.TrimSpace("action "+a), 80)}
	}
}

// rule is what all rules have.
func (p *panos) rule(b *panosRulebase, list string, e *panosNode) *Rule {
	r := &Rule{
		ID: clean(e.entry, 200), Where: b.at(e), Text: panosText(b, list, e), Comment: e.value("description"), Disabled: e.value("disabled") == "yes",
	}
	if tags := e.members("tag"); len(tags) > 0 {
		r.Comment = strings.TrimSpace(r.Comment + " tag: " + strings.Join(tags[:min(len(tags), 8)], ", "))
	}
	return r
}

// panosPlain are elements of a rule that do not say which connections it is for, or that are read by name.
var panosPlain = map[string]bool{
	"from": true, "to": true, "source": true, "destination": true, "service": true, "application": true, "action": true,
	"negate-source": true, "negate-destination": true, "rule-type": true, "disabled": true, "description": true, "tag": true,
	"group-tag": true, "log-start": true, "log-end": true, "log-setting": true, "profile-setting": true, "option": true,
	"qos": true, "icmp-unreachable": true, "disable-inspect": true, "saas-user-list": true, "saas-tenant-list": true,
	"source-translation": true, "destination-translation": true, "dynamic-destination-translation": true, "nat-type": true,
	"to-interface": true, "target": true, "audit-comment": true, "uuid": true,
}

// words adds a word for each condition that is not modelled: source-user, category, hip-profiles, schedule, target, …
func (p *panos) words(b *panosRulebase, e *panosNode, m Match) Match {
	for _, k := range e.kids {
		if panosPlain[k.name] {
			continue
		}
		values := k.members()
		if len(values) == 1 && values[0] == "any" || len(values) == 0 && len(k.kids) == 0 {
			continue
		}
		m = append(m, Term{Field: Unmodelled, Word: panosWords(k.name, values)})
	}
	var devices []string
	for _, d := range e.list("target", "devices") {
		devices = append(devices, d.entry)
	}
	if devices = append(devices, e.members("target", "tags")...); len(devices) > 0 {
		m = append(m, Term{Field: Unmodelled, Word: panosWords("target", devices)})
	}
	return m
}

// panosWords writes what is not modelled, short.
func panosWords(name string, values []string) string {
	text := name
	for i, v := range values {
		if i == 3 {
			text += fmt.Sprintf(" and %d more", len(values)-i)
			break
		}
		text += " " + clean(v, 60)
	}
	return clean(text, 120)
}

func (p *panos) security(b *panosRulebase, e *panosNode) *Rule {
	r := p.rule(b, "security", e)
	r.Action, r.Words = panosAction(e)
	m := p.zoned(e, "from", In, nil)
	m = p.zoned(e, "to", Out, m)
	switch kind := e.value("rule-type"); kind {
	case "", "universal":
	case "intrazone":
		m = append(m, Term{Field: AnyOf, Any: p.same})
	case "interzone":
		m = append(m, Term{Field: AnyOf, Any: p.same, Not: true})
	default:
		m = append(m, Term{Field: Unmodelled, Word: panosWords("rule-type", []string{kind})})
	}
	m = p.address(b, e, "source", SrcAddr, m)
	m = p.address(b, e, "destination", DstAddr, m)
	apps := e.members("application")
	anyApp := slices.Contains(apps, "any")
	services := e.members("service")
	if slices.Contains(services, "application-default") {
		m = append(m, p.appDefault(apps, anyApp)...)
	} else {
		m = append(m, p.service(services)...)
	}
	switch {
	case len(apps) == 0:
		m = append(m, Term{Field: Unmodelled, Word: "no application"})
	case !anyApp:
		// The first packets of a connection do not show its application: App-ID decides later.
		m = append(m, Term{Field: Unmodelled, Word: panosWords("application", apps)})
	}
	r.Match = p.words(b, e, m)
	return r
}

// zoned adds the term of zones.
func (p *panos) zoned(e *panosNode, name string, field Field, m Match) Match {
	zones := e.members(name)
	switch {
	case len(zones) == 0:
		return append(m, Term{Field: Unmodelled, Word: "no " + name})
	case slices.Contains(zones, "any"):
		return m
	}
	return append(m, Term{Field: field, Names: zones})
}

// address adds the term of addresses.
func (p *panos) address(b *panosRulebase, e *panosNode, name string, field Field, m Match) Match {
	members, negate := e.members(name), e.value("negate-"+name) == "yes"
	if len(members) == 0 {
		return append(m, Term{Field: Unmodelled, Word: "no " + name})
	}
	set := p.set(members, b.at(e))
	if set.any && !negate {
		return m
	}
	if set.any {
		set = &panosAddrs{words: []string{"not any"}}
	}
	t := Term{Field: field, Not: negate, Ranges: set.ranges}
	if len(set.words) > 0 {
		t.Word = panosWords(name, set.words)
	}
	if len(members) == 1 && p.object("address-group", members[0]) != nil {
		t.Object = clean(members[0], 100)
	}
	return append(m, t)
}

// object finds an object by its name, in the nearest scope that has it.
func (p *panos) object(kind, name string) *panosNode {
	for _, s := range p.scopes {
		if n := s.object(kind, name); n != nil {
			return n
		}
	}
	return nil
}

// panosAddrs is what names of addresses stand for.
type panosAddrs struct {
	ranges []Range
	words  []string // what may hold further addresses
	any    bool
}

// set resolves a list of addresses, objects and groups.
func (p *panos) set(names []string, where Place) *panosAddrs {
	if len(names) == 1 {
		return p.addr(names[0], where)
	}
	out := &panosAddrs{}
	for _, name := range names {
		s := p.addr(name, where)
		if p.budget -= len(s.ranges); p.budget < 0 {
			out.words = append(out.words, "more addresses than can be held")
			break
		}
		out.ranges = append(out.ranges, s.ranges...)
		out.any = out.any || s.any
		if out.words = append(out.words, s.words...); len(out.words) > 100 {
			out.words = out.words[:100]
		}
	}
	out.ranges = Merge(out.ranges)
	return out
}

// addr resolves one name. Objects are looked up before it is read as an address.
func (p *panos) addr(name string, where Place) *panosAddrs {
	if known := p.addrs[name]; known != nil {
		return known
	}
	word := func(text string) *panosAddrs { return &panosAddrs{words: []string{clean(text, 80)}} }
	if name == "any" {
		return &panosAddrs{any: true}
	}
	var out *panosAddrs
	switch {
	case p.object("address", name) != nil:
		out = panosAddress(name, p.object("address", name))
	case p.object("address-group", name) != nil:
		group := p.object("address-group", name)
		filter := group.value("dynamic", "filter")
		switch {
		case filter != "":
			out = word("dynamic group " + name + ": " + filter)
		case p.busy[name] || len(p.busy) >= panosDepth:
			p.rs.note(where, "address group %s is in itself, or too deep in others", clean(name, 80))
			return word("group in itself " + name)
		case group.at("static") == nil:
			out = word("group " + name)
		default:
			p.busy[name] = true
			out = p.set(group.members("static"), where)
			delete(p.busy, name)
		}
	case p.object("region", name) != nil && !p.busy[name]:
		p.busy[name] = true
		defer delete(p.busy, name)
		out = p.set(p.object("region", name).members("address"), where)
	case p.object("external-list", name) != nil:
		out = word("external list " + name)
	default:
		if r := panosRanges96(name); r != nil {
			out = &panosAddrs{ranges: r}
		} else if len(name) == 2 {
			out = word("region " + name)
		} else {
			p.rs.note(where, "address %s is not in the export: it may be any", clean(name, 80))
			out = word("address " + name + " (not in the export)")
		}
	}
	p.budget -= len(out.ranges)
	p.addrs[name] = out
	return out
}

// panosAddress reads an address object.
func panosAddress(name string, n *panosNode) *panosAddrs {
	for _, k := range n.kids {
		switch k.name {
		case "ip-netmask", "ip-range":
			if r := panosRanges96(k.text); r != nil {
				return &panosAddrs{ranges: r}
			}
		case "ip-wildcard":
			if r := panosWildcard(k.text); r != nil {
				return &panosAddrs{ranges: r}
			}
		case "fqdn":
		default:
			continue
		}
		return &panosAddrs{words: []string{clean(k.name+" "+k.text, 80)}}
	}
	return &panosAddrs{words: []string{clean("address "+name, 80)}}
}

// panosRanges96 reads an address, prefix or range as rules have it: an IPv4 address is taken for an IPv6 address whose
// first 96 bits are 0 (NAT Policy Overview), so that ::/0 holds all of IPv4 too. nil: it is none.
func panosRanges96(s string) []Range {
	ranges, ok := addrRanges(s)
	if !ok {
		return nil
	}
	low := Range{Value{}, Value{0, 1<<32 - 1}}
	for _, r := range ranges {
		if low.Last.less(r.First) {
			continue
		}
		last := r.Last
		if low.Last.less(last) {
			last = low.Last
		}
		base := AllIPv4().First
		ranges = append(ranges, Range{base.plus(r.First), base.plus(last)})
	}
	return Merge(ranges)
}

// panosWildcard reads an address with a mask of the bits that do not count: 10.20.1.0/0.0.248.255. nil: it is none, or
// stands for too many ranges.
func panosWildcard(s string) []Range {
	addr, mask, _ := strings.Cut(s, "/")
	a, err := netip.ParseAddr(addr)
	b, err2 := netip.ParseAddr(mask)
	if err != nil || err2 != nil || !a.Is4() || !b.Is4() {
		return nil
	}
	free := uint32(AddrValue(b).Lo)
	start := uint32(AddrValue(a).Lo) &^ free
	block := ^free & -^free // the lowest bit that counts
	if free == ^uint32(0) {
		return []Range{AllIPv4()}
	}
	above := free &^ (block - 1)
	base := AllIPv4().First
	var out []Range
	for bits := uint32(0); ; bits = (bits - above) & above { // all subsets of above
		if len(out) == 1024 {
			return nil
		}
		first := base.plus(Value{0, uint64(start | bits)})
		out = append(out, Range{first, first.plus(Value{0, uint64(block - 1)})})
		if bits == above {
			return Merge(out)
		}
	}
}

// service is the terms of a list of services.
func (p *panos) service(names []string) Match {
	if len(names) == 0 {
		return Match{{Field: Unmodelled, Word: "no service"}}
	}
	if slices.Contains(names, "any") {
		return nil
	}
	var all []Match
	for _, name := range names {
		ways := p.ways(name)
		if !p.afford(ways) {
			return Match{{Field: Unmodelled, Word: "more services than can be held"}}
		}
		all = append(all, ways...)
	}
	m := panosOr(all)
	if len(names) == 1 && p.object("service-group", names[0]) != nil {
		for i := range m {
			if m[i].Field == DstPort {
				m[i].Object = clean(names[0], 100)
			}
		}
	}
	return m
}

// afford reports whether services may be copied once more.
func (p *panos) afford(ways []Match) bool {
	for _, m := range ways {
		for i := range m {
			p.budget -= 1 + len(m[i].Ranges)
		}
	}
	return p.budget >= 0
}

// panosOr joins services: ports of one protocol become one way.
func panosOr(all []Match) Match {
	all = panosJoin(all)
	if len(all) == 1 {
		return slices.Clone(all[0])
	}
	return Match{{Field: AnyOf, Any: all}}
}

func panosJoin(all []Match) (out []Match) {
	at := make(map[Value]int)
	for _, m := range all {
		if len(m) == 2 && m[1].Word == "" && m[1].Field == DstPort {
			proto := m[0].Ranges[0].First
			if i, ok := at[proto]; ok {
				out[i][1].Ranges = append(out[i][1].Ranges, m[1].Ranges...)
				continue
			}
			at[proto] = len(out)
			m = slices.Clone(m)
			m[1].Ranges = slices.Clip(m[1].Ranges)
		}
		out = append(out, m)
	}
	for _, i := range at {
		out[i][1].Ranges = Merge(out[i][1].Ranges)
	}
	return out
}

// ways are the protocols and ports of one service or group: a connection matches one of them.
func (p *panos) ways(name string) []Match {
	if known, ok := p.ports[name]; ok {
		return known
	}
	word := func(text string) []Match { return []Match{{{Field: Unmodelled, Word: clean(text, 80)}}} }
	var out []Match
	service, group := p.object("service", name), p.object("service-group", name)
	switch {
	case service != nil:
		for _, proto := range []string{"tcp", "udp", "sctp"} {
			if n := service.at("protocol", proto); n != nil {
				out = append(out, panosPorts(proto, n.value("port"), n.value("source-port")))
			}
		}
		if len(out) == 0 {
			out = word("service " + name)
		}
	case group != nil && (p.busy["service "+name] || len(p.busy) >= panosDepth):
		return word("service group in itself " + name)
	case group != nil:
		p.busy["service "+name] = true
		for _, member := range group.members("members") {
			ways := p.ways(member)
			if !p.afford(ways) {
				out = append(out, word("more services than can be held")...)
				break
			}
			out = append(out, ways...)
		}
		delete(p.busy, "service "+name)
		if out = panosJoin(out); len(out) == 0 {
			out = word("service group " + name)
		}
	case name == "service-http":
		out = []Match{panosPorts("tcp", "80,8080", "")}
	case name == "service-https":
		out = []Match{panosPorts("tcp", "443", "")}
	default:
		out = word("service " + name + " (not in the export)")
	}
	p.ports[name] = out
	return out
}

// panosPorts is a service: 25,465,1024-65535.
func panosPorts(proto, dst, src string) Match {
	m := Match{{Field: Proto, Ranges: []Range{Single(Number(uint16(protocols[proto])))}}}
	add := func(field Field, list string) {
		t := Term{Field: field}
		for s := range strings.SplitSeq(list, ",") {
			r, ok := portRange(csvDash.ReplaceAllString(strings.TrimSpace(s), "-"))
			if !ok {
				t.Word = clean("port "+s, 80)
			}
			t.Ranges = append(t.Ranges, r...)
		}
		t.Ranges = Merge(t.Ranges)
		m = append(m, t)
	}
	add(DstPort, dst)
	if src != "" {
		add(SrcPort, src)
	}
	return m
}

// mailApplications are the ports that App-ID expects mail on. What exactly they are comes with content updates, which are
// not in an export: here is what they may be. Rules with an application are never sure anyhow.
var mailApplications = map[string]string{
	"smtp": "25,465,587", "smtp-base": "25,465,587", "smtp-ssl": "465", "smtps": "465",
	"pop3": "110,995", "imap": "143,993",
}

// appDefault is the ports of service application-default.
func (p *panos) appDefault(apps []string, anyApp bool) Match {
	if anyApp {
		return Match{{Field: Unmodelled, Word: "service application-default"}}
	}
	var all []Match
	seen := make(map[string]bool)
	for apps = slices.Clone(apps); len(apps) > 0; apps = apps[1:] {
		name := apps[0]
		if seen[name] {
			continue
		}
		seen[name] = true
		if group := p.object("application-group", name); group != nil {
			apps = append(apps, group.members("members")...)
			continue
		}
		custom := p.object("application", name)
		ports := mailApplications[name]
		switch {
		case custom != nil && custom.at("default", "port") != nil:
			for _, port := range custom.members("default", "port") { // tcp/25,587
				proto, list, _ := strings.Cut(port, "/")
				if _, ok := protocols[proto]; ok {
					all = append(all, panosPorts(proto, list, ""))
				} else {
					all = append(all, Match{{Field: Unmodelled, Word: panosWords("application-default of", []string{name})}})
				}
			}
		case ports != "" && custom == nil:
			all = append(all, panosPorts("tcp", ports, ""))
		default:
			all = append(all, Match{{Field: Unmodelled, Word: panosWords("application-default of", []string{name})}})
		}
	}
	return panosOr(all)
}

// nat reads a NAT rule: it and its twin, and those of the reverse rule, if it is bi-directional.
func (p *panos) nat(b *panosRulebase, e *panosNode) (out [][2]*Rule) {
	d := p.rule(b, "nat", e)
	m := p.zoned(e, "from", In, nil)
	back := p.zoned(e, "to", OrigOut, nil)
	if to := e.value("to-interface"); to != "" && to != "any" {
		back = append(back, Term{Field: OrigOut, Names: []string{to}})
	}
	version, kind := uint16(4), e.value("nat-type")
	if kind == "nat64" || kind == "nptv6" {
		version = 6
	}
	back = append(back, Term{Field: Family, Ranges: []Range{Single(Number(version))}})
	m = append(m, back...)
	m = p.address(b, e, "source", SrcAddr, m)
	m = p.address(b, e, "destination", DstAddr, m)
	services := e.members("service")
	if len(services) > 0 {
		m = append(m, p.service(services)...)
	}
	d.Match = p.words(b, e, m)
	s := new(Rule)
	*s = *d
	d.Action, s.Action = Return, Return

	var words []string
	if version == 6 || kind != "" && kind != "ipv4" {
		words = []string{panosWords("nat-type", []string{kind})}
	}
	source, dest := e.at("source-translation"), eitherNode(e.at("destination-translation"), e.at("dynamic-destination-translation"))
	if dest != nil || kind == "nat64" {
		d.Action, d.To = Translate, p.destination(e, dest, words, d.Where)
	}
	if source != nil {
		s.Action, s.To = Translate, p.source(e, source, words, s.Where)
	}
	if source == nil && dest == nil && kind != "nat64" {
		d.Action = Exempt
	}
	out = append(out, [2]*Rule{d, s})
	if source.value("static-ip", "bi-directional") != "yes" {
		return out
	}
	// Bi-directional: PAN-OS makes a rule behind this one, from any zone, that translates the new address back.
	rd, rs := new(Rule), new(Rule)
	*rd = *d
	rd.ID += panosReverse
	rd.Match = slices.Clone(back)
	mapped := p.set(source.members("static-ip", "translated-address"), d.Where)
	t := Term{Field: DstAddr, Ranges: mapped.ranges}
	if len(mapped.words) > 0 {
		t.Word = panosWords("translated-address", mapped.words)
	}
	rd.Match = p.words(b, e, append(rd.Match, t))
	if len(services) > 0 && !slices.Contains(services, "any") {
		rd.Match = append(rd.Match, Term{Field: Unmodelled, Word: panosWords("bi-directional with service", services)})
	}
	*rs = *rd
	rs.Action = Return
	rd.Action = Translate
	rd.To = p.become(e.members("source"), words, d.Where)
	rd.To.mapFrom(mapped)
	return append(out, [2]*Rule{rd, rs})
}

// become is a translation to addresses.
func (p *panos) become(names, words []string, where Place) Translation {
	to := Translation{Words: words}
	if len(names) == 0 {
		return to
	}
	set := p.set(names, where)
	to.Addrs = set.ranges
	if set.any {
		to.Words = append(slices.Clip(to.Words), "any address")
	}
	if to.Words = append(slices.Clip(to.Words), set.words...); len(to.Words) > 0 {
		to.Addrs = nil
	}
	return to
}

// mapFrom makes a static translation of a range: each address keeps its place.
func (to *Translation) mapFrom(from *panosAddrs) {
	if len(to.Addrs) == 1 && len(from.ranges) == 1 && len(from.words) == 0 && !from.any && to.Addrs[0].First != to.Addrs[0].Last &&
		to.Addrs[0].Last.minus(to.Addrs[0].First) == from.ranges[0].Last.minus(from.ranges[0].First) {
		to.Map, to.From = true, from.ranges
	}
}

func (p *panos) destination(e, dest *panosNode, words []string, where Place) Translation {
	to := p.become(dest.members("translated-address"), words, where)
	if dest != nil && dest.name == "destination-translation" {
		to.mapFrom(p.set(e.members("destination"), where))
	}
	if port := dest.value("translated-port"); port != "" {
		r, ok := portRange(port)
		if to.Ports = r; !ok {
			to.Ports = []Range{Ports(0, 65535)}
			to.Words = append(slices.Clip(to.Words), panosWords("translated-port", []string{port}))
		}
	}
	if dest != nil && len(to.Addrs)+len(to.Ports)+len(to.Words) == 0 {
		to.Words = []string{"a translation to nothing"}
	}
	return to
}

func (p *panos) source(e, source *panosNode, words []string, where Place) (to Translation) {
	for _, kind := range source.kids {
		own := kind.at("interface-address")
		switch {
		case kind.name == "static-ip":
			to = p.become(kind.members("translated-address"), words, where)
			to.mapFrom(p.set(e.members("source"), where))
		case kind.name == "dynamic-ip" && kind.at("fallback") != nil:
			to = p.become(nil, append(slices.Clip(words), "fallback"), where)
		case kind.name == "dynamic-ip":
			to = p.become(kind.members("translated-address"), words, where)
		case kind.name == "dynamic-ip-and-port" && own != nil:
			to = Translation{Words: words, Ports: []Range{Ports(1024, 65535)}}
			name := own.value("interface")
			if ip := first(own.value("ip"), own.value("floating-ip")); ip != "" {
				to.Addrs = p.own(ip)
			} else if i := slices.IndexFunc(p.rs.Interfaces, func(f Interface) bool { return f.Name == name }); i >= 0 {
				for _, a := range p.rs.Interfaces[i].Addrs {
					if a.Addr().Is4() {
						to.Addrs = []Range{One(a.Addr())}
						break
					}
				}
			}
			if len(to.Addrs) == 0 {
				to.Words = append(slices.Clip(to.Words), panosWords("interface-address of", []string{name}))
			}
		case kind.name == "dynamic-ip-and-port":
			to = p.become(kind.members("translated-address"), words, where)
			to.Ports = []Range{Ports(1024, 65535)}
		default:
			to.Words = append(to.Words, panosWords("source-translation", []string{kind.name}))
		}
	}
	if len(to.Addrs)+len(to.Words) == 0 {
		to.Words = []string{"a translation to nothing"}
	}
	return to
}

// own is the address of an interface, which may be an object.
func (p *panos) own(text string) []Range {
	prefix, ok := p.prefix(text)
	if !ok {
		return nil
	}
	return []Range{One(prefix.Addr())}
}

// prefix is an address with its network, which may be an object.
func (p *panos) prefix(text string) (netip.Prefix, bool) {
	if n := p.object("address", text); n != nil {
		text = n.value("ip-netmask")
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix, err == nil
}

// network reads interfaces, zones and routes.
func (p *panos) network(found *panosFound) {
	var router panosRouter
	for _, net := range found.networks {
		for _, kind := range []string{"ethernet", "aggregate-ethernet", "loopback", "tunnel", "vlan"} {
			n := net.node.at("interface", kind)
			if n == nil {
				continue
			}
			if n.at("ip") != nil { // loopback, tunnel, vlan without a number
				p.iface(net, &router, kind, n)
			}
			for _, e := range slices.Concat(n.list(), n.list("units")) {
				p.iface(net, &router, e.entry, e)
				for _, layer := range []string{"layer3", "layer2"} {
					l := e.at(layer)
					if l == nil {
						continue
					}
					p.iface(net, &router, e.entry, l)
					for _, unit := range l.list("units") {
						p.iface(net, &router, unit.entry, unit)
					}
				}
			}
		}
	}
	if len(p.scopes) > 0 {
		for _, z := range p.scopes[0].node.list("zone") {
			p.zone(z.entry)
			for _, k := range z.list2("network") {
				for _, name := range k.members() {
					if k.name == "virtual-wire" || k.name == "layer2" {
						router.unsure = "zone " + z.entry + " is of " + k.name
					}
					switch k.name {
					case "layer3", "layer2", "virtual-wire", "tap", "tunnel", "external":
						f := p.named(name)
						f.Zones = append(f.Zones, z.entry)
					}
				}
			}
		}
	}
	for _, net := range found.networks {
		for _, vr := range net.node.list("virtual-router") {
			p.router(net, &router, vr, vr.at("protocol"))
		}
		for _, lr := range net.node.list("logical-router") {
			for _, vrf := range lr.list("vrf") {
				p.router(net, &router, vrf, vrf)
			}
		}
	}
	p.routes(&router)
}

func (n *panosNode) list2(path ...string) []*panosNode {
	if n = n.at(path...); n == nil {
		return nil
	}
	return n.kids
}

// panosRouter is what is known of routes.
type panosRouter struct {
	routes   map[netip.Prefix]panosRoute
	order    []netip.Prefix
	unsure   string // why routes may be others than those in the file
	where    Place
	default4 string // interface that has its address, and the default route, from DHCP or PPPoE
}

type panosRoute struct {
	metric int
	out    string // empty: not known, or to be discarded
}

// named is the interface of a name, which is added if need be.
func (p *panos) named(name string) *Interface {
	i, ok := p.ifaces[name]
	if !ok && len(p.ifaces) == panosNames {
		return &Interface{}
	}
	if !ok {
		i = len(p.rs.Interfaces)
		p.ifaces[name] = i
		p.rs.Interfaces = append(p.rs.Interfaces, Interface{Name: name})
	}
	return &p.rs.Interfaces[i]
}

func (p *panos) iface(net *panosScope, router *panosRouter, name string, n *panosNode) {
	if n.at("ip") == nil && n.at("ipv6") == nil && n.at("dhcp-client") == nil && n.at("pppoe") == nil {
		return
	}
	f := p.named(name)
	for _, e := range slices.Concat(n.list("ip"), n.list("ipv6", "address")) {
		prefix, ok := p.prefix(e.entry)
		if !ok {
			p.rs.note(Place{File: net.file, Line: int(e.line)}, "%s is no address: what lies behind %s is not known", clean(e.entry, 80), clean(name, 80))
			continue
		}
		f.Addrs = append(f.Addrs, prefix)
	}
	for _, kind := range []string{"dhcp-client", "pppoe"} {
		if c := n.at(kind); c != nil && c.value("create-default-route") != "no" && c.value("enable") != "no" {
			router.default4 = name
		}
	}
}

// router reads the static routes of a virtual router.
func (p *panos) router(net *panosScope, router *panosRouter, vr, protocols *panosNode) {
	router.where = Place{File: net.file, Line: int(vr.line)}
	for _, name := range []string{"bgp", "ospf", "ospfv3", "rip"} {
		if protocols.value(name, "enable") == "yes" {
			router.unsure = "router " + vr.entry + " learns routes by " + name
		}
	}
	for _, version := range []string{"ip", "ipv6"} {
		for _, e := range vr.list("routing-table", version, "static-route") {
			prefix, ok := p.prefix(e.value("destination"))
			if !ok {
				p.rs.note(Place{File: net.file, Line: int(e.line)}, "route %s to %s is not understood", clean(e.entry, 80), clean(e.value("destination"), 80))
				continue
			}
			if e.at("route-table", "multicast") != nil || e.at("route-table", "no-install") != nil {
				continue
			}
			r := panosRoute{metric: 10, out: e.value("interface")}
			if n, err := strconv.Atoi(e.value("metric")); err == nil {
				r.metric = n
			}
			hop := e.at("nexthop")
			if r.out == "" {
				r.out = p.hop(first(hop.value("ip-address"), hop.value("ipv6-address")))
			}
			router.add(prefix.Masked(), r, hop.at("next-vr") != nil || hop.at("next-lr") != nil)
		}
	}
}

// add keeps the better of two routes: the one of the lower metric; of routers that hand on to each other, the one that
// leads out of the device. Two of the same worth may both be taken.
func (r *panosRouter) add(prefix netip.Prefix, route panosRoute, via bool) {
	if r.routes == nil {
		r.routes = make(map[netip.Prefix]panosRoute)
	}
	if via {
		route.metric = 1 << 30
	}
	old, known := r.routes[prefix]
	switch {
	case !known:
		r.order = append(r.order, prefix)
	case old.metric < route.metric:
		return
	case old.metric == route.metric && old.out != route.out:
		route.out = ""
	}
	r.routes[prefix] = route
}

// hop is the interface whose network a next hop is in.
func (p *panos) hop(text string) string {
	prefix, ok := p.prefix(text)
	if !ok {
		return ""
	}
	for _, f := range p.rs.Interfaces {
		if slices.ContainsFunc(f.Addrs, func(a netip.Prefix) bool { return a.Masked().Contains(prefix.Addr()) }) {
			return f.Name
		}
	}
	return ""
}

// routes adds what is known. Where routes are learned, or packets are not routed at all, a default says that nobody knows.
func (p *panos) routes(router *panosRouter) {
	p.rs.Connected()
	all4, all6 := netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	if router.unsure != "" {
		if router.where.File == "" {
			router.where = Place{File: p.scopes[0].file, Line: int(max(1, p.scopes[0].node.line))}
		}
		p.rs.note(router.where, "%s: where connections leave is not known, unless the configuration names the networks of zones", clean(router.unsure, 120))
		p.rs.Routes = append(p.rs.Routes, Route{Prefix: all4}, Route{Prefix: all6})
		return
	}
	for _, prefix := range router.order {
		p.rs.Routes = append(p.rs.Routes, Route{Prefix: prefix, Out: router.routes[prefix].out})
	}
	if _, ok := router.routes[all4]; !ok && router.default4 != "" {
		p.rs.Routes = append(p.rs.Routes, Route{Prefix: all4, Out: router.default4})
	}
}

// zoneless makes the zones that only rules name known: the configuration may bind interfaces to them.
func (p *panos) zoneless() {
	has := make(map[string]bool)
	for _, f := range p.rs.Interfaces {
		for _, name := range f.names() {
			has[name] = true
		}
	}
	for _, z := range p.zones {
		if !has[z] {
			p.rs.Interfaces = append(p.rs.Interfaces, Interface{Name: z})
		}
	}
}

// panosText writes a rule as the command that makes it. The translations come first, then what it matches.
func panosText(b *panosRulebase, list string, e *panosNode) string {
	var s strings.Builder
	s.WriteString(b.prefix + " " + b.name + " " + list + " rules " + panosWord(e.entry))
	kids := slices.Clone(e.kids)
	slices.SortStableFunc(kids, func(a, b *panosNode) int {
		return cmp.Compare(strings.Index(b.name, "translation"), strings.Index(a.name, "translation"))
	})
	for _, k := range kids {
		switch k.name {
		case "description", "tag", "group-tag", "profile-setting", "option", "target", "audit-comment":
			continue
		}
		panosFlat(&s, k)
	}
	return s.String()
}

func panosFlat(s *strings.Builder, n *panosNode) {
	if s.Len() > 1000 {
		return
	}
	switch {
	case n.name == "member":
		return
	case n.name == "entry":
		s.WriteString(" " + panosWord(n.entry))
	default:
		s.WriteString(" " + n.name)
	}
	var values []string
	for _, v := range n.members() {
		values = append(values, panosWord(v))
	}
	switch {
	case len(values) == 1:
		s.WriteString(" " + values[0])
	case len(values) > 1:
		s.WriteString(" [ " + strings.Join(values[:min(len(values), 50)], " ") + " ]")
	}
	for _, k := range n.kids {
		panosFlat(s, k)
	}
}

// panosWord quotes a name as the CLI wants it.
func panosWord(s string) string {
	if strings.ContainsAny(s, " \t\n\"'[];()") || s == "" {
		return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"`
	}
	return s
}

// editPANOS writes commands of the configuration mode (PAN-OS CLI). To drop a member takes the name of an object, which
// an edit does not have.
func editPANOS(_ *Ruleset, e Edit) []string {
	if e.Rule == nil || e.Rule.ID == "intrazone-default" {
		return nil
	}
	path, _, ok := strings.Cut(strings.TrimPrefix(e.Rule.Text, "set "), " rules ")
	if !ok {
		return nil
	}
	name := strings.TrimSuffix(e.Rule.ID, panosReverse)
	rule := path + " rules " + panosWord(name)
	source := "any"
	if len(e.Sources) > 0 {
		source = "[ " + strings.Join(prefixTexts(e.Sources), " ") + " ]"
	}
	switch e.Kind {
	case DenyAbove:
		scope := path
		for _, base := range []string{"pre-rulebase", "post-rulebase", "rulebase"} {
			if before, _, ok := strings.Cut(path, base+" "); ok {
				scope = before
				break
			}
		}
		service := fmt.Sprintf("close-tcp-%d", e.Dst.Port())
		made := path + " rules " + panosWord(fmt.Sprintf("close-%s-%d", strings.NewReplacer(":", ".").Replace(e.Dst.Addr().String()), e.Dst.Port()))
		return []string{
			fmt.Sprintf("set %sservice %s protocol tcp port %d", scope, service, e.Dst.Port()),
			fmt.Sprintf("set %s from any to any source %s destination %s application any service %s action drop", made, source, e.Dst.Addr(), service),
			fmt.Sprintf("move %s before %s", made, panosWord(name)),
		}
	case Narrow:
		return []string{"delete " + rule + " source", "set " + rule + " source " + source}
	case Remove:
		return []string{"delete " + rule}
	case StopNAT:
		switch {
		case name != e.Rule.ID:
			return []string{"set " + rule + " source-translation static-ip bi-directional no"}
		case e.Step == nil || !strings.Contains(e.Rule.Text, " source-translation ") || !strings.Contains(e.Rule.Text, "destination-translation "):
			return []string{"delete " + rule}
		case e.Step.Kind == SNAT:
			return []string{"delete " + rule + " source-translation"}
		}
		return []string{"delete " + rule + " destination-translation"}
	}
	return nil
}
