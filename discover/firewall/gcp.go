package firewall

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// GCP: a packet for a machine meets the firewall policies of organisation and folders, then the rules of the VPC network,
// then the policies of the network. The least priority number that matches decides, and at the same priority deny wins.
// Rules know connections, and see internal addresses. (Cloud NGFW: Policy and rule evaluation order; VPC firewall rules.)

const (
	gcpExport    = "gcloud compute firewall-rules list --format=json; instances list; networks subnets list; network-firewall-policies describe: each in a file"
	gcpInstances = "no instance with this address in the export (gcloud compute instances list --format=json)"
)

var gcpForm = regexp.MustCompile(`"compute#|googleapis\.com/compute/|^\s*\{\s*"firewall(?:Policy)?s"\s*:`)

func isGCP(start []byte) bool {
	at := space(start, 0)
	return at < len(start) && (start[at] == '[' || start[at] == '{') && gcpForm.Match(start)
}

type gcp struct {
	*cloud
	networks map[string]*gcpNetwork
	order    []*gcpNetwork
	policies []gcpPolicy
	broken   bool // rules are missing
	whole    bool // all instances are in the export
	space    []Range
}

type gcpNetwork struct {
	key, name   string
	rules       []node
	addresses   []Range
	targets     map[string][]Range // addresses by tag and service account
	sources     map[string][]Range // the primary ones: alias ranges are no source of a tag
	joined      map[string][]Range // of several targets
	policyFirst bool
}

type gcpPolicy struct {
	node
	name, kind, region string // kind: HIERARCHY, NETWORK, NETWORK_REGIONAL
	parent             string
	title              string // of its chains: names are unique in a region or below a parent only
	networks           []string
}

// network finds a network by its URL.
func (g *gcp) network(url string) *gcpNetwork {
	key := url
	if _, after, ok := strings.Cut(url, "/projects/"); ok {
		key = after
	}
	n := g.networks[key]
	if n == nil {
		n = &gcpNetwork{key: key, name: first(lastName(key), "default"), targets: make(map[string][]Range), joined: make(map[string][]Range), sources: make(map[string][]Range)}
		for _, other := range g.order {
			if other.name == n.name {
				n.name = word(key)
			}
		}
		g.networks[key], g.order = n, append(g.order, n)
		g.cloud.network(n.name)
	}
	return n
}

func readGCP(rs *Ruleset, files []Export) error {
	g := &gcp{cloud: newCloud(rs, files), networks: make(map[string]*gcpNetwork)}
	seen := make(map[string]bool)
	for i := range files {
		d := newDocument(&files[i])
		for key, v := range d.things("firewalls", "firewallPolicys", "items") {
			kind := g.thing(key, v)
			seen[kind] = true
			if kind == "" && !d.strange(rs, v, "is no firewall rule, policy, instance or network") {
				break
			}
		}
		g.broken = d.incomplete(rs, gcpExport) || g.broken
	}
	if !seen["firewall"] && len(g.policies) == 0 {
		return fmt.Errorf("%s:1: no firewall rule is in the files; export %s", files[0].Name, gcpExport)
	}
	if g.whole = seen["instance"] && !g.broken; !seen["instance"] {
		rs.note(g.start, "instances are not among the files, and no address is known; export them: gcloud compute instances list --format=json")
	}
	if len(g.policies) == 0 {
		rs.note(g.start, "firewall policies of organisation, folders and network are not among the files; if there are any, export them: gcloud compute networks get-effective-firewalls NETWORK --format=json")
	}
	g.build()
	return nil
}

// thing takes a resource, and says of which kind it is.
func (g *gcp) thing(key string, v node) string {
	var kind, network, name, interfaces, direction, rules, cidr, order node
	v.pick(fields{
		"kind": &kind, "network": &network, "name": &name, "networkInterfaces": &interfaces, "direction": &direction, "rules": &rules,
		"ipCidrRange": &cidr, "networkFirewallPolicyEnforcementOrder": &order,
	})
	switch k := strings.TrimPrefix(kind.text(), "compute#"); {
	case k == "firewall", k == "" && (key == "firewalls" || direction.there()):
		n := g.network(network.text())
		n.rules = append(n.rules, v)
		return "firewall"
	case k == "instance", k == "" && interfaces.there():
		g.instance(v, name.text(), interfaces)
		return "instance"
	case k == "firewallPolicy", k == "" && rules.first() == '[':
		g.policy(v)
		return "firewallPolicy"
	case k == "subnetwork":
		g.network(network.text())
		g.space = append(g.space, g.parse(v, []string{cidr.text()})...)
		return k
	case k == "network":
		n := g.network(v.get("selfLink").text())
		n.policyFirst = order.text() == "BEFORE_CLASSIC_FIREWALL"
		return k
	}
	return ""
}

func (g *gcp) policy(v node) {
	var name, display, short, kind, parent, region, associations node
	v.pick(fields{
		"name": &name, "displayName": &display, "shortName": &short, "type": &kind, "parent": &parent, "region": &region,
		"associations": &associations,
	})
	p := gcpPolicy{node: v, name: word(first(display.text(), short.text(), name.text())), kind: kind.text(), region: lastName(region.text()), parent: parent.text()}
	switch {
	case p.kind != "":
	case parent.text() != "":
		p.kind = "HIERARCHY"
	case p.region != "":
		p.kind = "NETWORK_REGIONAL"
	default:
		p.kind = "NETWORK"
	}
	for _, a := range associations.all() {
		if t := a.get("attachmentTarget").text(); strings.Contains(t, "/networks/") {
			p.networks = append(p.networks, t)
		}
	}
	p.title = p.name
	for _, other := range g.policies {
		if other.name != p.name || other.kind != p.kind {
			continue
		}
		if other.region == p.region && other.parent == p.parent { // get-effective-firewalls of each network has it
			return
		}
		p.title = fmt.Sprintf("%s of %s", p.name, word(first(p.region, p.parent, "another export")))
	}
	g.policies = append(g.policies, p)
}

func (g *gcp) instance(v node, name string, interfaces node) {
	var tags, accounts, zone node
	v.pick(fields{"tags": &tags, "serviceAccounts": &accounts, "zone": &zone})
	labels := []string{"region " + regionOf(lastName(zone.text()))}
	for _, t := range tags.get("items").texts() {
		labels = append(labels, "tag "+t)
	}
	for _, s := range accounts.all() {
		labels = append(labels, "account "+s.get("email").text())
	}
	for _, f := range interfaces.all() {
		var network, ip, card, access, alias, six, six2, length node
		f.pick(fields{
			"network": &network, "networkIP": &ip, "name": &card, "accessConfigs": &access, "aliasIpRanges": &alias,
			"ipv6Address": &six, "ipv6AccessConfigs": &six2,
		})
		n := g.network(network.text())
		own := g.parse(f, []string{ip.text(), six.text()})
		for _, c := range six2.all() {
			var out node
			c.pick(fields{"externalIpv6": &out, "externalIpv6PrefixLength": &length})
			if bits, ok := length.number(); ok && out.there() {
				own = append(own, g.parse(c, []string{fmt.Sprintf("%s/%d", out.text(), bits)})...)
			} else {
				own = append(own, g.parse(c, []string{out.text()})...)
			}
		}
		all := slices.Clone(own)
		for _, r := range alias.all() {
			all = append(all, g.parse(r, []string{r.get("ipCidrRange").text()})...)
		}
		g.machine(n.key, all...)
		n.addresses = append(n.addresses, all...)
		for _, l := range labels {
			n.targets[l] = append(n.targets[l], all...)
			n.sources[l] = append(n.sources[l], own...)
		}
		private, err := netip.ParseAddr(ip.text())
		for _, c := range access.all() {
			var nat, config node
			c.pick(fields{"natIP": &nat, "name": &config})
			public, err2 := netip.ParseAddr(nat.text())
			if err != nil || err2 != nil {
				continue // an instance that does not run has none
			}
			g.public = append(g.public, translation{
				public: public, private: private, id: lastName(zone.text()) + "/" + name + "/" + card.text(), name: config.text(), where: c.place(),
				text: fmt.Sprintf("%s %s external %s to %s", name, card.text(), public, private),
			})
		}
	}
}

// regionOf is the region of a zone: us-central1 of us-central1-a.
func regionOf(zone string) string { return zone[:max(0, strings.LastIndexByte(zone, '-'))] }

// build makes steps and chains.
func (g *gcp) build() {
	for _, r := range Merge(g.space) {
		for _, p := range r.Prefixes() {
			g.rs.Routes = append(g.rs.Routes, Route{p, instances})
		}
	}
	for _, n := range g.order {
		n.addresses = Merge(n.addresses)
		for _, m := range []map[string][]Range{n.targets, n.sources} {
			for k := range m {
				m[k] = Merge(m[k])
			}
		}
	}
	g.translate("external addresses")
	g.overlap("--filter=network:NETWORK")
	ours := Merge(append(slices.Clone(g.space), g.known...))
	g.networkStep("firewall egress", SrcAddr, g.from(ours, len(g.space) > 0 && !g.broken)...)
	var in []Term
	if len(g.space) > 0 && g.whole && len(g.inside) > 0 { // what leaves the network is not filtered again
		in = []Term{{Field: AnyOf, Any: []Match{{{Field: In, Not: true, Names: g.inside}}, {{Field: DstAddr, Ranges: ours}}}}}
	}
	g.networkStep("firewall ingress", DstAddr, in...)
}

// networkStep asks the rules of the network that an address is in.
func (g *gcp) networkStep(name string, side Field, when ...Term) {
	top := g.chain(name, g.start, Drop, "no instance has the address")
	for _, n := range g.order {
		ch := g.rules(n, side == SrcAddr)
		if len(n.addresses) > 0 {
			top.jump(ch.Where, ch.Name, "network "+n.name, Match{{Field: side, Ranges: n.addresses}})
		}
	}
	g.add(top, Uncertain, gcpInstances, Match{{Field: side, Not: true, Ranges: g.known}})
	g.step(name, top.Name, true, when...)
}

// rules makes the chain of a network in one direction.
func (g *gcp) rules(n *gcpNetwork, egress bool) *Chain {
	direction := "ingress"
	if egress {
		direction = "egress"
	}
	where := g.start
	if len(n.rules) > 0 {
		where = n.rules[0].place()
	}
	ch := g.chain(n.name+" "+direction, where, Drop, "")
	if g.broken {
		g.add(ch, Uncertain, "rules that are missing in the export (gcloud compute firewall-rules list --format=json)", nil)
	}
	policies := func(kinds ...string) {
		for _, kind := range kinds {
			for _, p := range g.policies {
				if !strings.EqualFold(p.kind, kind) || len(p.networks) > 0 && !slices.ContainsFunc(p.networks, n.is) {
					continue
				}
				sub := g.policyRules(n, p, egress, direction)
				ch.jump(p.place(), sub.Name, "firewall policy "+p.name, nil)
			}
		}
	}
	classic := func() {
		type ranked struct {
			rule *Rule
			rank int
		}
		var list []ranked
		for _, v := range n.rules {
			if r, priority := g.rule(n, v, egress); r != nil {
				// At one priority deny comes first; what is uncertain is asked before both.
				list = append(list, ranked{r, 3*priority + map[Action]int{Uncertain: 0, Drop: 1, Accept: 2}[r.Action]})
			}
		}
		byNumber(list, func(r ranked) int { return r.rank })
		for _, r := range list {
			ch.Rules = append(ch.Rules, r.rule)
		}
	}
	policies("HIERARCHY")
	if n.policyFirst {
		policies("NETWORK", "NETWORK_REGIONAL")
		classic()
	} else {
		classic()
		policies("NETWORK", "NETWORK_REGIONAL")
	}
	for _, p := range g.policies {
		switch strings.ToUpper(p.kind) {
		case "HIERARCHY", "NETWORK", "NETWORK_REGIONAL":
		default:
			g.rs.note(p.place(), "a firewall policy of type %s is not modelled: what it denies may be shown as permitted", word(p.kind))
			g.add(ch, Uncertain, "firewall policy of type "+word(p.kind), nil)
		}
	}
	if egress {
		g.add(ch, Accept, n.name+" implied allow egress", nil)
	} else {
		g.add(ch, Drop, n.name+" implied deny ingress", nil)
	}
	end := ch.Rules[len(ch.Rules)-1]
	end.ID, end.Where = "implied-"+direction, where
	return ch
}

// is reports whether a URL is of the network.
func (n *gcpNetwork) is(url string) bool {
	return url == n.key || strings.HasSuffix(url, "/"+n.key)
}

// gcpNumber is the priority in the text of a rule: its ID is a name.
var gcpNumber = regexp.MustCompile(`^\S+ (?:ingress|egress) priority (\d{1,5}) `)

// rule reads a rule of a network, with its priority; nil, if it is of the other direction.
func (g *gcp) rule(n *gcpNetwork, v node, egress bool) (*Rule, int) {
	var name, priority, direction, description, disabled, created, allowed, denied node
	var src, dst, srcTags, dstTags, srcAccounts, dstAccounts node
	v.pick(fields{
		"name": &name, "priority": &priority, "direction": &direction, "description": &description, "disabled": &disabled,
		"creationTimestamp": &created, "allowed": &allowed, "denied": &denied, "sourceRanges": &src, "destinationRanges": &dst,
		"sourceTags": &srcTags, "targetTags": &dstTags, "sourceServiceAccounts": &srcAccounts, "targetServiceAccounts": &dstAccounts,
	})
	if (direction.text() == "EGRESS") != egress {
		return nil, 0
	}
	r := &Rule{ID: name.text(), Where: v.place(), Comment: description.text(), Disabled: disabled.yes(), Action: Accept}
	r.Created.Time, _ = time.Parse(time.RFC3339, created.text())
	r.Created.Time = r.Created.Time.UTC()
	action, list := "allow", allowed
	switch {
	case denied.first() == '[' && allowed.first() != '[':
		r.Action, action, list = Drop, "deny", denied
	case allowed.first() != '[' || denied.first() == '[':
		r.Action, r.Words = Uncertain, []string{"what " + word(name.text()) + " does: neither allowed nor denied alone is in the export"}
	}
	rank, ok := priority.number()
	switch {
	case !priority.there():
		rank = 1000
	case !ok || rank < 0 || rank > 65535:
		g.rs.note(v.place(), "a rule without a priority: it may stand anywhere")
		rank, r.Action, r.Words = -1, Uncertain, []string{"a rule without a priority"}
	}
	m, what := gcpProtocols(list, "IPProtocol")
	near, near2 := DstAddr, "to"
	if egress {
		near, near2 = SrcAddr, "of"
	}
	way := "ingress"
	if egress {
		way = "egress"
	}
	text := []string{n.name, way, "priority", fmt.Sprint(rank), fmt.Sprintf("%q", name.text()), action, what}

	// Ranges, tags and service accounts of the source are alternatives.
	var sources []Match
	from := src.texts()
	sources = append(sources, addresses(SrcAddr, from)...)
	for _, s := range labelled(srcTags, srcAccounts) {
		t := Term{Field: SrcAddr, Ranges: n.sources[s], Object: s}
		if !g.whole {
			t.Word = word("instances with " + s)
		}
		sources, from = append(sources, Match{notFrom(), t}), append(from, s)
	}
	if len(sources) > 0 {
		m = append(m, either(sources)...)
		text = append(text, "from", strings.Join(from, ","))
	}
	if list := dst.texts(); len(list) > 0 {
		m = append(m, either(addresses(DstAddr, list))...)
		text = append(text, "to", strings.Join(list, ","))
	}
	if list := labelled(dstTags, dstAccounts); len(list) > 0 {
		m = append(m, Term{Field: near, Ranges: n.labels(list), Object: strings.Join(list, ",")})
		text = append(text, near2, strings.Join(list, ","))
	}
	r.Match, r.Text = m, strings.Join(text, " ")
	return r, rank
}

// labelled are tags and service accounts, as instances have them.
func labelled(tags, accounts node) (out []string) {
	for _, t := range tags.texts() {
		out = append(out, "tag "+t)
	}
	for _, t := range accounts.texts() {
		out = append(out, "account "+t)
	}
	return out
}

// labels are the addresses of instances with one of the labels.
func (n *gcpNetwork) labels(list []string) []Range {
	if len(list) == 1 {
		return n.targets[list[0]]
	}
	key := strings.Join(list, "\x00") // rules that ask for the same share it
	if out, ok := n.joined[key]; ok {
		return out
	}
	var out []Range
	for _, l := range list {
		out = append(out, n.targets[l]...)
	}
	out = Merge(out)
	n.joined[key] = out
	return out
}

// gcpProtocols are the terms of protocols and ports. Only TCP matters: beside it, others are left out of the terms.
func gcpProtocols(list node, key string) (m Match, text string) {
	var ranges []Range
	var other []Term
	var texts []string
	all, some := false, false
	for _, v := range list.all() {
		var proto, ports node
		v.pick(fields{key: &proto, "ports": &ports})
		p := protocol(proto.text())
		texts = append(texts, strings.TrimSuffix(proto.text()+":"+strings.Join(ports.texts(), ","), ":"))
		switch {
		case len(p) == 0:
			all = true
		case !tcp(p[0]):
			other = append(other, p[0])
		case !ports.there() || len(ports.texts()) == 0:
			some, ranges = true, append(ranges, Ports(0, 65535))
		default:
			some = true
			for _, s := range ports.texts() {
				if r, ok := cloudPorts(s); ok {
					ranges = append(ranges, r)
				} else {
					other = append(other, Term{Field: Unmodelled, Word: word("port " + s)})
				}
			}
		}
	}
	text = strings.Join(texts, ",")
	unknown := slices.IndexFunc(other, func(t Term) bool { return t.Field == Unmodelled })
	switch {
	case all:
		return nil, text
	case some:
		m = Match{{Field: Proto, Ranges: []Range{Single(Number(6))}}}
		if ranges = Merge(ranges); len(ranges) != 1 || ranges[0] != Ports(0, 65535) {
			t := Term{Field: DstPort, Ranges: ranges}
			if unknown >= 0 {
				t.Word = other[unknown].Word
			}
			m = append(m, t)
		}
		return m, text
	case unknown >= 0:
		return Match{other[unknown]}, text
	case len(other) > 0:
		for _, t := range other {
			ranges = append(ranges, t.Ranges...)
		}
		return Match{{Field: Proto, Ranges: Merge(ranges)}}, text
	}
	return Match{{Field: Unmodelled, Word: "protocols that are not in the export"}}, text
}

// policyRules makes the chain of a firewall policy for a network.
func (g *gcp) policyRules(n *gcpNetwork, p gcpPolicy, egress bool, direction string) *Chain {
	name := fmt.Sprintf("%s %s %s for %s", p.kind, p.title, direction, n.name)
	if ch := g.rs.Chains[name]; ch != nil {
		return ch
	}
	ch := g.chain(name, p.place(), Return, "")
	near := DstAddr
	if egress {
		near = SrcAddr
	}
	for _, v := range p.get("rules").all() {
		var action, way, priority, description, disabled, match, title, resources, accounts, tags node
		v.pick(fields{
			"action": &action, "direction": &way, "priority": &priority, "description": &description, "disabled": &disabled, "match": &match,
			"ruleName": &title, "targetResources": &resources, "targetServiceAccounts": &accounts, "targetSecureTags": &tags,
		})
		if (way.text() == "EGRESS") != egress {
			continue
		}
		if only := resources.texts(); len(only) > 0 && !slices.ContainsFunc(only, n.is) {
			continue
		}
		m, what := g.policyMatch(match)
		r := &Rule{
			ID: p.name + "/" + priority.text(), Name: title.text(), Where: v.place(), Comment: description.text(), Disabled: disabled.yes(),
			Text: fmt.Sprintf("%s %s priority %s %s %s", p.name, direction, priority.text(), action.text(), what),
		}
		if list := labelled(node{}, accounts); len(list) > 0 {
			m = append(m, Term{Field: near, Ranges: n.labels(list), Object: strings.Join(list, ",")})
		}
		if strings.EqualFold(p.kind, "NETWORK_REGIONAL") && p.region != "" {
			m = append(m, Term{Field: near, Ranges: n.targets["region "+p.region]})
		}
		for _, t := range tags.all() {
			m = append(m, Term{Field: Unmodelled, Word: word("targetSecureTags " + t.get("name").text())})
			break
		}
		r.Match = m
		switch action.text() {
		case "allow":
			r.Action = Accept
		case "deny":
			r.Action = Drop
		case "goto_next":
			r.Action = Return
		default:
			r.Action, r.Words = Uncertain, []string{word("action " + action.text())}
		}
		ch.Rules = append(ch.Rules, r)
	}
	byNumber(ch.Rules, func(r *Rule) int { return numberOf(r.ID) })
	return ch
}

// policyMatch reads the match of a rule of a firewall policy. What it says of one end beside ranges are alternatives,
// except the kind of network.
func (g *gcp) policyMatch(match node) (m Match, text string) {
	var src, dst []Match
	var texts []string
	sources, destinations := false, false
	for key, v := range match.all() {
		list := v.texts()
		if len(list) == 0 && v.text() != "" {
			list = []string{v.text()}
		}
		switch {
		case key == "layer4Configs":
			p, what := gcpProtocols(v, "ipProtocol")
			m, texts = append(m, p...), append(texts, what)
			continue
		case len(list) == 0:
			continue
		case key == "srcIpRanges":
			src, sources = append(src, addresses(SrcAddr, list)...), true
		case key == "destIpRanges":
			dst, destinations = append(dst, addresses(DstAddr, list)...), true
		case strings.Contains(key, "Network"):
			m = append(m, Term{Field: Unmodelled, Word: word(key + " " + strings.Join(list, ","))})
		case strings.HasPrefix(key, "src"):
			src, sources = append(src, Match{{Field: SrcAddr, Word: gcpWord(key, v, list)}}), true
		case strings.HasPrefix(key, "dest"):
			dst, destinations = append(dst, Match{{Field: DstAddr, Word: gcpWord(key, v, list)}}), true
		default:
			m = append(m, Term{Field: Unmodelled, Word: word(key)})
		}
		texts = append(texts, key+" "+strings.Trim(strings.Join(list, ","), ","))
	}
	if sources {
		m = append(m, either(src)...)
	}
	if destinations {
		m = append(m, either(dst)...)
	}
	return m, strings.Join(texts, " ")
}

func gcpWord(key string, v node, list []string) string {
	for _, t := range v.all() {
		if name := t.get("name").text(); name != "" { // secure tags are objects
			return word(key + " " + name)
		}
	}
	return word(key + " " + strings.Join(list, ","))
}

func editGCP(rs *Ruleset, e Edit) []string {
	if e.Rule == nil || e.Chain == nil {
		return nil
	}
	if e.Kind == StopNAT {
		p := strings.Split(e.Rule.ID, "/")
		if len(p) != 3 || !shell(p...) || strings.ContainsAny(e.Rule.Name, "\"'\\$`\n") {
			return nil
		}
		return []string{fmt.Sprintf(`gcloud compute instances delete-access-config %s --zone=%s --network-interface=%s --access-config-name="%s"`, p[1], p[0], p[2], e.Rule.Name)}
	}
	network, direction, _ := strings.Cut(e.Chain.Name, " ")
	implied, priority := strings.HasPrefix(e.Rule.ID, "implied-"), "65535"
	if m := gcpNumber.FindStringSubmatch(e.Rule.Text); m != nil {
		priority = m[1]
	} else if !implied {
		return nil
	}
	if !shell(network, e.Rule.ID) || direction != "ingress" {
		return nil
	}
	switch {
	case e.Kind == Remove && !implied:
		return []string{"gcloud compute firewall-rules delete " + e.Rule.ID}
	case e.Kind == Narrow && !implied && len(e.Sources) > 0 && !strings.Contains(e.Rule.Text, "from tag ") && !strings.Contains(e.Rule.Text, ",tag ") && !strings.Contains(e.Rule.Text, "account "):
		return []string{fmt.Sprintf("gcloud compute firewall-rules update %s --source-ranges=%s", e.Rule.ID, strings.Join(cidrTexts(e.Sources), ","))}
	case e.Kind == DenyAbove:
		sources := []string{anyPrefix(e.Dst.Addr()).String()}
		if e.Sources != nil {
			sources = cidrTexts(e.Sources)
		}
		// At the same priority deny wins over allow.
		return []string{fmt.Sprintf("gcloud compute firewall-rules create deny-%d-%s --network=%s --direction=INGRESS --priority=%s --action=DENY --rules=tcp:%d --source-ranges=%s --destination-ranges=%s",
			e.Dst.Port(), strings.NewReplacer(".", "-", ":", "-").Replace(e.Dst.Addr().String()), network, priority, e.Dst.Port(), strings.Join(sources, ","), host(e.Dst.Addr()))}
	}
	return nil
}
