package firewall

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Azure: a packet for a machine meets the network security group of the subnet, then the one of the network interface;
// both must allow it, and either may be missing. In each the rule with the least priority number that matches decides.
// Groups know connections, and see the private address. (Azure Virtual Network: How network security groups filter
// network traffic; Virtual network service tags.)

const (
	azureExport     = "az network nsg list -o json; nic list; vnet list; public-ip list: each in a file"
	azureInterfaces = "no network interface with this address in the export (az network nic list -o json; public addresses: az network public-ip list -o json)"
	azureProbes     = "168.63.129.16/32" // where the load balancer's probes come from
)

var azureForm = regexp.MustCompile(`(?i)/providers/microsoft\.network/|"microsoft\.network/`)

func isAzure(start []byte) bool {
	at := space(start, 0)
	return at < len(start) && (start[at] == '[' || start[at] == '{') && azureForm.Match(start)
}

type azure struct {
	*cloud
	groups  map[string]*azureGroup // by ID in lower case, as all that follows
	order   []*azureGroup
	cards   []azureCard
	subnets map[string]*azureSubnet
	vnets   []string // IDs
	public  map[string]azurePublic
	members map[string][]Range // of application security groups
	space   []Range            // of the virtual networks and their peers
	beyond  string             // word for what else VirtualNetwork holds; empty: nothing
	cardsOK bool               // all network interfaces are in the export
	// publicOK: so are public addresses.
	publicOK bool
}

type azureGroup struct {
	id, chain, name string
	node            node
	cards, subnets  []string
}

type azureCard struct {
	id, name, group string
	where           Place
	configs         []azureConfig
}

type azureConfig struct {
	id, name, subnet, public string
	private                  netip.Addr
	where                    Place
}

type azureSubnet struct {
	id, group string
	ranges    []Range
	told      bool // in the export; else only interfaces name it
}

type azurePublic struct {
	address    netip.Addr
	name, used string // used: the ID of what has it
	sku        string
	where      Place
}

// azureID takes a resource ID apart: the kind, such as networkinterfaces/ipconfigurations, group and names.
func azureID(id string) (kind, group string, names []string) {
	parts := strings.Split(strings.Trim(id, "/"), "/")
	for i := 0; i+1 < len(parts); i++ {
		switch {
		case strings.EqualFold(parts[i], "resourceGroups"):
			group = parts[i+1]
		case strings.EqualFold(parts[i], "providers"):
			var kinds []string
			for j := i + 2; j+1 < len(parts); j += 2 {
				kinds, names = append(kinds, strings.ToLower(parts[j])), append(names, parts[j+1])
			}
			return strings.Join(kinds, "/"), group, names
		}
	}
	return "", group, nil
}

func readAzure(rs *Ruleset, files []Export) error {
	a := &azure{
		cloud: newCloud(rs, files), groups: make(map[string]*azureGroup), subnets: make(map[string]*azureSubnet),
		public: make(map[string]azurePublic), members: make(map[string][]Range),
	}
	seen := make(map[string]bool)
	broken := false
	for i := range files {
		d := newDocument(&files[i])
		for _, v := range d.things("value") {
			kind := a.thing(v)
			seen[kind] = true
			if kind == "" && !d.strange(rs, v, "is no network security group, network interface, network or public address") {
				break
			}
		}
		broken = d.incomplete(rs, azureExport) || broken
	}
	if len(a.groups) == 0 {
		return fmt.Errorf("%s:1: no network security group is in the files; export %s", files[0].Name, azureExport)
	}
	for _, need := range [][2]string{
		{"networkinterfaces", "az network nic list -o json"},
		{"virtualnetworks", "az network vnet list -o json"},
		{"publicipaddresses", "az network public-ip list -o json"},
	} {
		if !seen[need[0]] && (need[0] != "virtualnetworks" || !seen["virtualnetworks/subnets"]) {
			rs.note(a.start, "%s are not among the files, and answers that need them are only possible; export them: %s", need[0], need[1])
		}
	}
	a.cardsOK = seen["networkinterfaces"] && !broken
	a.publicOK = seen["publicipaddresses"] && a.cardsOK
	if !seen["virtualnetworks"] || broken {
		a.beyond = "VirtualNetwork (az network vnet list -o json)"
	}
	a.build()
	return nil
}

// thing takes a resource, and says of which kind it is.
func (a *azure) thing(v node) string {
	var id, name, rg node
	v.pick(fields{"id": &id, "name": &name, "resourceGroup": &rg})
	kind, group, _ := azureID(id.text())
	key := strings.ToLower(id.text())
	switch kind {
	case "networksecuritygroups":
		if a.groups[key] != nil {
			return kind
		}
		var subnets, cards node
		v.pick(fields{"subnets": &subnets, "networkInterfaces": &cards})
		g := &azureGroup{id: key, name: first(name.text(), lastName(id.text())), node: v, subnets: azureIDs(subnets), cards: azureIDs(cards)}
		g.chain = group + "/" + g.name
		for _, other := range a.order {
			if other.chain == g.chain { // in another subscription
				g.chain = key
			}
		}
		a.groups[key], a.order = g, append(a.order, g)
	case "networkinterfaces":
		a.card(key, name.text(), v)
	case "virtualnetworks":
		var space, subnets, peers node
		v.pick(fields{"addressSpace": &space, "subnets": &subnets, "virtualNetworkPeerings": &peers})
		a.vnets = append(a.vnets, key)
		a.network(first(name.text(), lastName(id.text())))
		a.space = append(a.space, a.parse(v, space.get("addressPrefixes").texts())...)
		for _, s := range subnets.all() {
			a.subnet(s)
		}
		for _, p := range peers.all() {
			var space, space2, gateway, transit node
			p.pick(fields{
				"remoteAddressSpace": &space, "remoteVirtualNetworkAddressSpace": &space2, "useRemoteGateways": &gateway,
				"allowGatewayTransit": &transit,
			})
			if !space2.there() {
				space2 = space
			}
			a.space = append(a.space, a.parse(p, space2.get("addressPrefixes").texts())...)
			if gateway.yes() {
				a.beyond = "VirtualNetwork beyond the gateway of a peer"
			}
		}
	case "virtualnetworks/subnets":
		a.subnet(v)
	case "publicipaddresses":
		var address, config, nat, sku node
		v.pick(fields{"ipAddress": &address, "ipConfiguration": &config, "natGateway": &nat, "sku": &sku})
		ip, err := netip.ParseAddr(address.text())
		if err != nil { // it has none yet
			return kind
		}
		a.public[key] = azurePublic{
			address: ip, name: name.text(), used: strings.ToLower(first(config.get("id").text(), nat.get("id").text())),
			sku: sku.get("name").text(), where: v.place(),
		}
	default:
		return ""
	}
	return kind
}

func azureIDs(list node) (out []string) {
	for _, v := range list.all() {
		if id := v.get("id").text(); id != "" {
			out = append(out, strings.ToLower(id))
		}
	}
	return out
}

func (a *azure) subnet(v node) {
	var id, prefix, prefixes, group node
	v.pick(fields{"id": &id, "addressPrefix": &prefix, "addressPrefixes": &prefixes, "networkSecurityGroup": &group})
	key := strings.ToLower(id.text())
	ranges := a.parse(v, append(prefixes.texts(), prefix.text()))
	a.subnets[key] = &azureSubnet{id: key, group: strings.ToLower(group.get("id").text()), ranges: Merge(ranges), told: true}
	if strings.HasSuffix(key, "/gatewaysubnet") {
		a.beyond = "VirtualNetwork beyond the gateway"
	}
}

func (a *azure) card(id, name string, v node) {
	var group, configs node
	v.pick(fields{"networkSecurityGroup": &group, "ipConfigurations": &configs})
	card := azureCard{id: id, name: first(name, lastName(id)), group: strings.ToLower(group.get("id").text()), where: v.place()}
	for _, c := range configs.all() {
		var id, name, private, private2, subnet, public, public2, asgs node
		c.pick(fields{
			"id": &id, "name": &name, "privateIPAddress": &private, "privateIpAddress": &private2, "subnet": &subnet,
			"publicIPAddress": &public, "publicIpAddress": &public2, "applicationSecurityGroups": &asgs,
		})
		ip, err := netip.ParseAddr(first(private.text(), private2.text()))
		if err != nil {
			a.rs.note(c.place(), "an address of %s that is none; it is left out", word(card.name))
			continue
		}
		if !public.there() {
			public = public2
		}
		var pid, address, sku node
		public.pick(fields{"id": &pid, "ipAddress": &address, "sku": &sku})
		config := azureConfig{
			id: strings.ToLower(id.text()), name: name.text(), private: ip, where: c.place(),
			subnet: strings.ToLower(subnet.get("id").text()), public: strings.ToLower(pid.text()),
		}
		if out, err := netip.ParseAddr(address.text()); err == nil && a.public[config.public].used == "" { // written out in place
			a.public[config.public] = azurePublic{address: out, name: lastName(pid.text()), used: config.id, sku: sku.get("name").text(), where: c.place()}
		}
		for _, g := range azureIDs(asgs) {
			a.members[g] = append(a.members[g], One(ip))
		}
		card.configs = append(card.configs, config)
	}
	a.cards = append(a.cards, card)
}

// build makes steps and chains.
func (a *azure) build() {
	onCard, onSubnet := make(map[string]string), make(map[string]string) // the group of each
	for _, g := range a.order {
		for _, id := range g.cards {
			onCard[id] = g.id
		}
		for _, id := range g.subnets {
			onSubnet[id] = g.id
		}
	}
	for id, s := range a.subnets {
		if s.group != "" {
			onSubnet[id] = s.group
		}
		for _, r := range s.ranges {
			a.homes = append(a.homes, home{r, vnetOf(id)})
		}
	}
	used := make(map[string]azurePublic) // by the ID of what has it
	for id, p := range a.public {
		if p.used != "" {
			used[p.used] = p
		}
		used[id] = p
	}
	cards := make(map[string][]Range) // addresses by group
	taken := make(map[string]bool)
	var closed, unsure []Range // public addresses without any group, by SKU
	for _, card := range a.cards {
		group := first(card.group, onCard[card.id])
		for _, c := range card.configs {
			r := One(c.private)
			vnet := vnetOf(c.subnet)
			if !slices.Contains(a.vnets, vnet) && a.beyond == "" {
				a.beyond = "VirtualNetwork (az network vnet list -o json)"
			}
			a.network(lastName(vnet))
			a.machine(vnet, r)
			s := a.subnets[c.subnet]
			if s == nil {
				s = &azureSubnet{id: c.subnet}
				a.subnets[c.subnet] = s
			}
			if !s.told {
				s.ranges = append(s.ranges, r)
			}
			cards[group] = append(cards[group], r)
			p, ok := used[c.id]
			if !ok && c.public != "" {
				p, ok = used[c.public]
			}
			if !ok || c.id == "" && c.public == "" {
				if c.public != "" {
					a.rs.note(c.where, "the public address %s is not in the export: az network public-ip list -o json", lastName(c.public))
				}
				continue
			}
			taken[p.used], taken[c.id] = true, true
			_, rg, _ := azureID(card.id)
			a.cloud.public = append(a.cloud.public, translation{
				public: p.address, private: c.private, id: rg + "/" + card.name + "/" + c.name, name: p.name, where: c.where,
				text: fmt.Sprintf("%s %s public %s to %s", card.name, c.name, p.address, c.private),
			})
			if group == "" && onSubnet[c.subnet] == "" && s.told {
				if strings.EqualFold(p.sku, "Standard") {
					closed = append(closed, One(p.address))
				} else if p.sku == "" {
					unsure = append(unsure, One(p.address))
				}
			}
		}
	}
	ids := sortedKeys(a.public)
	for _, id := range ids {
		if p := a.public[id]; p.used != "" && !taken[p.used] {
			_, _, names := azureID(p.used)
			what := lastName(p.used)
			if len(names) > 0 {
				kind, _, _ := azureID(p.used)
				kind, _, _ = strings.Cut(kind, "/")
				what = word(kind + " " + names[0])
			}
			a.cloud.public = append(a.cloud.public, translation{
				public: p.address, id: p.name, name: p.name, where: p.where, words: []string{"to where " + what + " passes it on"},
				text: fmt.Sprintf("%s public %s of %s", p.name, p.address, what),
			})
		}
	}
	for g := range a.members {
		a.members[g] = Merge(a.members[g])
	}
	subnets := make(map[string][]Range) // ranges by group
	var open, all []Range
	for _, id := range sortedKeys(a.subnets) {
		s := a.subnets[id]
		s.ranges = Merge(s.ranges)
		all = append(all, s.ranges...)
		if g := onSubnet[id]; g != "" {
			subnets[g] = append(subnets[g], s.ranges...)
		} else if !s.told {
			open = append(open, s.ranges...)
		}
	}
	if a.beyond != "" || len(a.space) == 0 {
		a.space = append(a.space, all...)
	}
	a.space = Merge(append(a.space, One(netip.MustParsePrefix(azureProbes).Addr())))
	for _, r := range Merge(all) {
		for _, p := range r.Prefixes() {
			if len(a.vnets) > 0 {
				a.rs.Routes = append(a.rs.Routes, Route{p, instances})
			}
		}
	}
	a.translate("public addresses")
	a.overlap("az network nic list, vnet list of one resource group")
	if len(closed)+len(unsure) > 0 { // Azure: Public IP addresses, Standard SKU: closed until a group allows
		ch := a.chain("public addresses without a group", a.start, Accept, "")
		if len(closed) > 0 {
			a.add(ch, Drop, "a public address of the Standard SKU is closed without a network security group", Match{{Field: OrigDst, Ranges: Merge(closed)}})
		}
		if len(unsure) > 0 {
			a.add(ch, Uncertain, "whether the public address is of the Standard SKU (az network public-ip list -o json)", Match{{Field: OrigDst, Ranges: Merge(unsure)}})
		}
		a.step(ch.Name, ch.Name, true, Term{Field: OrigDst, Ranges: Merge(append(closed, unsure...))})
	}
	for _, g := range a.order {
		a.group(g, false)
		a.group(g, true)
	}
	ours := Merge(append(all, a.known...))
	out := a.from(ours, a.beyond == "")
	a.groupStep("network interface security groups outbound", SrcAddr, cards, a.known, nil, out)
	a.groupStep("subnet security groups outbound", SrcAddr, subnets, nil, open, out)
	var in []Term
	if a.beyond == "" && a.publicOK && len(a.inside) > 0 { // what leaves the network is not filtered again
		in = []Term{{Field: AnyOf, Any: []Match{{{Field: In, Not: true, Names: a.inside}}, {{Field: DstAddr, Ranges: ours}}}}}
	}
	a.groupStep("subnet security groups inbound", DstAddr, subnets, nil, open, in)
	a.groupStep("network interface security groups inbound", DstAddr, cards, a.known, nil, in)
}

// vnetOf is the ID of the network of a subnet.
func vnetOf(subnet string) string {
	id, _, _ := strings.Cut(subnet, "/subnets/")
	return id
}

// groupStep asks the group of each address. Of addresses that are not known, and of open ones, nobody knows the group.
func (a *azure) groupStep(name string, side Field, by map[string][]Range, known, open []Range, when []Term) {
	direction := "inbound"
	if side == SrcAddr {
		direction = "outbound"
	}
	top := a.chain(name, a.start, Accept, "no network security group here")
	for _, id := range sortedKeys(by) {
		m := Match{{Field: side, Ranges: Merge(by[id])}}
		switch g := a.groups[id]; {
		case id == "":
		case g == nil:
			a.add(top, Uncertain, lastName(id)+" is not in the export (az network nsg list -o json)", m)
		default:
			top.jump(g.node.place(), g.chain+" "+direction, g.name, m)
		}
	}
	if len(open) > 0 {
		a.add(top, Uncertain, "whether the subnet has a network security group (az network vnet list -o json)", Match{{Field: side, Ranges: Merge(open)}})
	}
	if strings.HasPrefix(name, "network interface") {
		a.add(top, Uncertain, azureInterfaces, Match{{Field: side, Not: true, Ranges: known}})
	}
	a.step(name, top.Name, true, when...)
}

// group makes the chain of one direction.
func (a *azure) group(g *azureGroup, outbound bool) {
	direction := "inbound"
	if outbound {
		direction = "outbound"
	}
	ch := a.chain(g.chain+" "+direction, g.node.place(), Drop, "")
	var own, defaults node
	g.node.pick(fields{"securityRules": &own, "defaultSecurityRules": &defaults})
	for _, list := range []node{own, defaults} {
		for _, v := range list.all() {
			if r := a.rule(g, v, outbound); r != nil {
				ch.Rules = append(ch.Rules, r)
			}
		}
	}
	if defaults.first() != '[' {
		a.defaults(g, ch, outbound)
	}
	byNumber(ch.Rules, func(r *Rule) int { return numberOf(r.ID) })
	a.add(ch, Drop, g.name+" "+direction+": no rule allows it", nil)
	ch.Rules[len(ch.Rules)-1].Where = g.node.place()
}

// defaults are the rules that each group has and an export can leave out.
func (a *azure) defaults(g *azureGroup, ch *Chain, outbound bool) {
	put := func(number int, name string, action Action, m Match) {
		direction := "inbound"
		if outbound {
			direction = "outbound"
		}
		ch.Rules = append(ch.Rules, &Rule{
			ID: fmt.Sprintf("%s/%s/%d", g.name, direction, number), Name: name, Where: g.node.place(), Action: action, Match: m,
			Text: fmt.Sprintf("%s %d %q (default rule)", g.name, number, name),
		})
	}
	network := slices.Concat(Match(either(a.addresses(SrcAddr, []string{"VirtualNetwork"}))), either(a.addresses(DstAddr, []string{"VirtualNetwork"})))
	if outbound {
		put(65000, "AllowVnetOutBound", Accept, network)
		put(65001, "AllowInternetOutBound", Accept, either(a.addresses(DstAddr, []string{"Internet"})))
		put(65500, "DenyAllOutBound", Drop, nil)
		return
	}
	put(65000, "AllowVnetInBound", Accept, network)
	put(65001, "AllowAzureLoadBalancerInBound", Accept, either(a.addresses(SrcAddr, []string{"AzureLoadBalancer"})))
	put(65500, "DenyAllInBound", Drop, nil)
}

// rule reads a rule; nil, if it is of the other direction.
func (a *azure) rule(g *azureGroup, v node, outbound bool) *Rule {
	var name, description, priority, direction, access, proto node
	var srcPort, srcPorts, dstPort, dstPorts, src, srcs, dst, dsts, srcASG, dstASG node
	v.pick(fields{
		"name": &name, "description": &description, "priority": &priority, "direction": &direction, "access": &access, "protocol": &proto,
		"sourcePortRange": &srcPort, "sourcePortRanges": &srcPorts, "destinationPortRange": &dstPort, "destinationPortRanges": &dstPorts,
		"sourceAddressPrefix": &src, "sourceAddressPrefixes": &srcs, "destinationAddressPrefix": &dst, "destinationAddressPrefixes": &dsts,
		"sourceApplicationSecurityGroups": &srcASG, "destinationApplicationSecurityGroups": &dstASG,
	})
	var m Match
	way := strings.ToLower(direction.text())
	switch {
	case way == "inbound" && outbound, way == "outbound" && !outbound:
		return nil
	case way != "inbound" && way != "outbound":
		m = append(m, Term{Field: Unmodelled, Word: "direction of " + word(name.text())})
	}
	way = "inbound"
	if outbound {
		way = "outbound"
	}
	m = append(m, protocol(proto.text())...)
	text := []string{g.name, priority.text(), strings.TrimSpace(title(name.text())), way, access.text(), proto.text()}
	ends := []struct {
		addr, port           Field
		one, many, asg       node
		onePort, manyPorts   node
		preposition, missing string
	}{
		{SrcAddr, SrcPort, src, srcs, srcASG, srcPort, srcPorts, "from", "source"},
		{DstAddr, DstPort, dst, dsts, dstASG, dstPort, dstPorts, "to", "destination"},
	}
	for _, e := range ends {
		texts := slices.DeleteFunc(append([]string{e.one.text()}, e.many.texts()...), func(s string) bool { return s == "" })
		groups := azureIDs(e.asg)
		alternatives, every := a.addresses(e.addr, texts), slices.ContainsFunc(texts, isAny)
		for _, id := range groups {
			t := Term{Field: e.addr, Ranges: a.members[id], Object: lastName(id)}
			if !a.cardsOK {
				t.Word = "members of " + lastName(id) + " (az network nic list -o json)"
			}
			if e.addr == SrcAddr {
				alternatives = append(alternatives, Match{notFrom(), t})
			} else {
				alternatives = append(alternatives, Match{t})
			}
			texts = append(texts, lastName(id))
		}
		switch {
		case every:
		case len(alternatives) == 0:
			m = append(m, Term{Field: Unmodelled, Word: e.missing + " address of " + word(name.text())})
		default:
			m = append(m, either(alternatives)...)
		}
		ports := slices.DeleteFunc(append([]string{e.onePort.text()}, e.manyPorts.texts()...), func(s string) bool { return s == "" })
		if len(ports) == 0 {
			m = append(m, Term{Field: Unmodelled, Word: e.missing + " ports of " + word(name.text())})
		} else {
			m = append(m, portTerms(e.port, ports)...)
		}
		text = append(text, e.preposition, strings.Join(texts, ","))
		if p := strings.Join(ports, ","); p != "*" {
			text = append(text, "port", p)
		}
	}
	r := &Rule{
		ID: g.name + "/" + way + "/" + priority.text(), Name: name.text(), Where: v.place(), Comment: description.text(),
		Match: m, Text: strings.Join(text, " "),
	}
	switch strings.ToLower(access.text()) {
	case "allow":
		r.Action = Accept
	case "deny":
		r.Action = Drop
	default:
		r.Action, r.Words = Uncertain, []string{word("access " + access.text() + " of " + name.text())}
	}
	if _, ok := priority.number(); !ok {
		a.rs.note(v.place(), "a rule without a priority: it may stand anywhere")
		r.Action, r.Words = Uncertain, []string{"a rule without a priority"}
	}
	return r
}

func isAny(s string) bool { return s == "*" || strings.EqualFold(s, "any") }

// addresses are the alternatives of prefixes and service tags. Of any address there are none.
func (a *azure) addresses(field Field, texts []string) (out []Match) {
	var plain []string
	network := Term{Field: field, Ranges: a.space, Word: a.beyond}
	for _, t := range texts {
		switch strings.ToLower(t) {
		case "*", "any":
		case "virtualnetwork", "virtual_network":
			if field == SrcAddr {
				out = append(out, Match{notFrom(), network})
			} else {
				out = append(out, Match{network})
			}
		case "internet":
			outside := network
			outside.Not = true
			if field == SrcAddr {
				out = append(out, Match{{Field: In, Names: []string{internet}}})
			}
			out = append(out, Match{outside})
		case "azureloadbalancer", "azure_loadbalancer":
			plain = append(plain, azureProbes)
		default:
			plain = append(plain, t)
		}
	}
	return append(addresses(field, plain), out...)
}

func editAzure(rs *Ruleset, e Edit) []string {
	if e.Rule == nil || e.Chain == nil {
		return nil
	}
	if e.Kind == StopNAT {
		p := strings.Split(e.Rule.ID, "/")
		if len(p) != 3 || !shell(p...) {
			return nil
		}
		return []string{fmt.Sprintf("az network nic ip-config update --resource-group %s --nic-name %s --name %s --remove publicIPAddress", p[0], p[1], p[2])}
	}
	name, direction, _ := strings.Cut(e.Chain.Name, " ")
	group, nsg, ok := strings.Cut(name, "/")
	number := numberOf(e.Rule.ID)
	if !ok || !shell(group, nsg) || direction != "inbound" && direction != "outbound" {
		return nil
	}
	of := fmt.Sprintf("--resource-group %s --nsg-name %s", group, nsg)
	fixed := number < 100 || number > 4096 || !shell(e.Rule.Name) // default rules cannot be changed
	switch {
	case e.Kind == Remove && !fixed:
		return []string{fmt.Sprintf("az network nsg rule delete %s --name %s", of, e.Rule.Name)}
	case e.Kind == Narrow && !fixed && len(e.Sources) > 0:
		return []string{fmt.Sprintf("az network nsg rule update %s --name %s --source-address-prefixes %s", of, e.Rule.Name, strings.Join(cidrTexts(e.Sources), " "))}
	case e.Kind == DenyAbove && direction == "inbound":
		before := 99
		for _, r := range e.Chain.Rules {
			if n := numberOf(r.ID); n < number {
				before = max(before, n)
			}
		}
		free, ok := between(before, min(number, 4097))
		if !ok {
			return nil
		}
		sources := []string{"'*'"}
		if e.Sources != nil {
			sources = cidrTexts(e.Sources)
		}
		return []string{fmt.Sprintf("az network nsg rule create %s --name deny-%d-%d --priority %d --direction Inbound --access Deny --protocol Tcp --source-address-prefixes %s --source-port-ranges '*' --destination-address-prefixes %s --destination-port-ranges %d",
			of, e.Dst.Port(), free, free, strings.Join(sources, " "), host(e.Dst.Addr()), e.Dst.Port())}
	}
	return nil
}
