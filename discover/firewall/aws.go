package firewall

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// AWS: a packet for an instance meets the network ACL of the subnet, where the first entry that matches decides, each
// packet and so the answer too; then the security groups of the network interface, whose rules only allow, in no order, and
// which know connections. Both see the private address. (Amazon VPC User Guide: Network ACLs; Security group rules.)

var awsLists = []string{
	"SecurityGroups", "SecurityGroupRules", "NetworkAcls", "NetworkInterfaces", "Subnets", "Vpcs", "PrefixLists", "Entries",
}

var (
	awsForm = regexp.MustCompile(`^\s*\{\s*(?:"(?:NextToken|PrefixListId)"\s*:\s*(?:"[^"]*"|null)\s*,\s*)*"(?:` + strings.Join(awsLists, "|") + `)"\s*:\s*\[`)
	awsList = regexp.MustCompile(`pl-[0-9a-f]{8,17}`)
)

const (
	awsExport     = "aws ec2 describe-security-groups; describe-network-acls; describe-network-interfaces; describe-subnets; describe-vpcs; describe-managed-prefix-lists; get-managed-prefix-list-entries --prefix-list-id pl-ID > pl-ID.json: each in a file, all of one VPC"
	awsInterfaces = "no network interface with this address in the export (aws ec2 describe-network-interfaces)"
)

func isAWS(start []byte) bool { return awsForm.Match(start) }

type aws struct {
	*cloud
	groups  map[string]*awsGroup
	order   []*awsGroup
	members map[string][]Range    // of groups: private addresses
	subnets map[string]*awsSubnet // by ID
	acls    []awsACL
	lists   map[string]*awsPrefixes
	ids     map[string]string // of rules of groups
	space   []Range           // of the VPC: nil, if it is not known
	whole   bool              // all network interfaces were read
	bare    []awsBare
}

type awsGroup struct {
	id, name, owner string
	node            node
}

type awsSubnet struct {
	id, acl, vpc string
	ranges       []Range
	told         bool // the ranges are all of it, not only what network interfaces have
}

type awsACL struct {
	id, owner string
	node      node
}

type awsPrefixes struct {
	name  string
	cidrs []string
	whole bool
	terms map[Field][]Term // by the side that is asked
}

// awsBare is a network interface without groups.
type awsBare struct {
	kind, id string
	where    Place
	ranges   []Range
}

func readAWS(rs *Ruleset, files []Export) error {
	a := &aws{
		cloud: newCloud(rs, files), groups: make(map[string]*awsGroup), members: make(map[string][]Range),
		subnets: make(map[string]*awsSubnet), lists: make(map[string]*awsPrefixes), ids: make(map[string]string),
	}
	var broken, read []string
	for i := range files {
		d := newDocument(&files[i])
		entries := a.entriesOf(d, len(files))
		var listed []string
		for key, v := range d.things(awsLists...) {
			if key != "" && !slices.Contains(listed, key) {
				listed = append(listed, key)
			}
			if !a.thing(key, v, entries) && !d.strange(rs, v, "is nothing that describes a VPC") {
				break
			}
		}
		if len(listed) == 0 { // an empty list says so too
			if m := awsForm.Find(d.data[:min(len(d.data), sniff)]); m != nil {
				q := strings.Split(string(m), `"`)
				listed = append(listed, q[len(q)-2])
			}
		}
		read = append(read, listed...)
		if d.incomplete(rs, awsCommand(listed)) || d.odd > 0 {
			broken = append(broken, listed...)
			if entries != nil {
				entries.whole = false
			}
		}
	}
	if len(a.groups) == 0 && len(a.acls) == 0 {
		return fmt.Errorf("%s:1: no security group and no network ACL is in the files; export %s", files[0].Name, awsExport)
	}
	a.whole = slices.Contains(read, "NetworkInterfaces") && !slices.Contains(broken, "NetworkInterfaces")
	for _, need := range []string{"SecurityGroups", "NetworkAcls", "NetworkInterfaces", "Subnets"} {
		if !slices.Contains(read, need) {
			rs.note(a.start, "%s are not among the files, and answers that need them are only possible; export them: %s", need, awsCommand([]string{need}))
		}
	}
	a.build(slices.Contains(read, "Subnets") && !slices.Contains(broken, "Subnets"))
	return nil
}

func awsCommand(keys []string) string {
	if len(keys) == 0 {
		return awsExport
	}
	return map[string]string{
		"SecurityGroups": "aws ec2 describe-security-groups", "SecurityGroupRules": "aws ec2 describe-security-group-rules",
		"NetworkAcls": "aws ec2 describe-network-acls", "NetworkInterfaces": "aws ec2 describe-network-interfaces",
		"Subnets": "aws ec2 describe-subnets", "Vpcs": "aws ec2 describe-vpcs", "PrefixLists": "aws ec2 describe-managed-prefix-lists",
		"Entries": "aws ec2 get-managed-prefix-list-entries --prefix-list-id pl-ID > pl-ID.json",
	}[keys[0]]
}

// entriesOf is the prefix list that a file of entries is about. The JSON does not say: its name does.
func (a *aws) entriesOf(d *document, files int) *awsPrefixes {
	start := d.data[:min(len(d.data), sniff)]
	m := awsForm.Find(start)
	if !strings.Contains(string(m), `"Entries"`) {
		return nil
	}
	id := awsList.FindString(string(m))
	if id == "" {
		all := awsList.FindAllString(d.name, -1)
		if len(all) == 0 {
			a.rs.note(Place{File: d.name, Line: 1}, "does not say which prefix list it is of: save it as pl-ID.json (%s)", awsCommand([]string{"Entries"}))
			return &awsPrefixes{}
		}
		id = all[len(all)-1]
	}
	l := a.list(id)
	l.whole = true
	return l
}

func (a *aws) list(id string) *awsPrefixes {
	l := a.lists[id]
	if l == nil {
		l = &awsPrefixes{}
		a.lists[id] = l
	}
	return l
}

func (a *aws) subnet(id string) *awsSubnet {
	s := a.subnets[id]
	if s == nil {
		s = &awsSubnet{id: id}
		a.subnets[id] = s
	}
	return s
}

// thing takes one element of a list. It reports whether it is one.
func (a *aws) thing(key string, v node, entries *awsPrefixes) bool {
	var id, name, tags, vpc node
	switch key {
	case "SecurityGroups":
		v.pick(fields{"GroupId": &id, "GroupName": &name, "Tags": &tags, "VpcId": &vpc})
		if id.text() == "" {
			return false
		}
		if a.groups[id.text()] == nil {
			g := &awsGroup{id: id.text(), name: name.text(), owner: awsTag(tags, "Owner"), node: v}
			a.groups[g.id], a.order = g, append(a.order, g)
		}
		a.network(vpc.text())
	case "SecurityGroupRules":
		var rule, egress, proto, from, to, v4, v6, list, group node
		v.pick(fields{
			"SecurityGroupRuleId": &rule, "GroupId": &id, "IsEgress": &egress, "IpProtocol": &proto, "FromPort": &from, "ToPort": &to,
			"CidrIpv4": &v4, "CidrIpv6": &v6, "PrefixListId": &list, "ReferencedGroupInfo": &group,
		})
		source := first(v4.text(), v6.text(), list.text(), group.get("GroupId").text())
		a.ids[awsKey(id.text(), egress.yes(), proto, from, to, source)] = rule.text()
	case "NetworkAcls":
		var associations node
		v.pick(fields{"NetworkAclId": &id, "Associations": &associations, "VpcId": &vpc, "Tags": &tags})
		a.network(vpc.text())
		if id.text() == "" {
			return false
		}
		a.acls = append(a.acls, awsACL{id.text(), awsTag(tags, "Owner"), v})
		for _, s := range associations.all() {
			a.subnet(s.get("SubnetId").text()).acl = id.text()
		}
	case "NetworkInterfaces":
		return a.networkInterface(v)
	case "Subnets":
		var cidr, more node
		v.pick(fields{"SubnetId": &id, "CidrBlock": &cidr, "Ipv6CidrBlockAssociationSet": &more, "VpcId": &vpc})
		if id.text() == "" {
			return false
		}
		a.network(vpc.text())
		s := a.subnet(id.text())
		s.vpc = vpc.text()
		texts := []string{cidr.text()}
		for _, m := range more.all() {
			texts = append(texts, m.get("Ipv6CidrBlock").text())
		}
		if !s.told {
			s.told, s.ranges = true, nil
		}
		s.ranges = append(s.ranges, a.parse(v, texts)...)
	case "Vpcs":
		v.pick(fields{"VpcId": &id, "Tags": &tags})
		a.network(id.text())
		if tag := awsTag(tags, "Name"); tag != "" && a.rs.Zone(tag) != nil {
			a.rs.Bind(tag, []string{id.text()})
		}
	case "PrefixLists":
		var cidrs node
		v.pick(fields{"PrefixListId": &id, "PrefixListName": &name, "Cidrs": &cidrs})
		l := a.list(id.text())
		l.name = name.text()
		if cidrs.there() {
			l.cidrs, l.whole = append(l.cidrs, cidrs.texts()...), true
		}
	case "Entries":
		if entries != nil {
			entries.cidrs = append(entries.cidrs, v.get("Cidr").text())
		}
	default:
		return false
	}
	return v.first() == '{'
}

func awsTag(tags node, key string) string {
	for _, t := range tags.all() {
		var k, v node
		t.pick(fields{"Key": &k, "Value": &v})
		if strings.EqualFold(k.text(), key) {
			return word(v.text())
		}
	}
	return ""
}

// awsKey finds a rule of a group again in another list.
func awsKey(group string, egress bool, proto, from, to node, source string) string {
	ports := from.text() + "-" + to.text()
	if proto.text() == "-1" || ports == "-" {
		ports = "-1--1"
	}
	return fmt.Sprint(group, egress, proto.text(), ports, source)
}

func (a *aws) networkInterface(v node) bool {
	var id, subnet, vpc, groups, addrs, six, prefix4, prefix6, kind node
	v.pick(fields{
		"NetworkInterfaceId": &id, "SubnetId": &subnet, "VpcId": &vpc, "Groups": &groups, "PrivateIpAddresses": &addrs, "InterfaceType": &kind,
		"Ipv6Addresses": &six, "Ipv4Prefixes": &prefix4, "Ipv6Prefixes": &prefix6,
	})
	if id.text() == "" {
		return false
	}
	a.network(vpc.text())
	var texts []string
	for _, p := range addrs.all() {
		var private, association, public, carrier, eip node
		p.pick(fields{"PrivateIpAddress": &private, "Association": &association})
		texts = append(texts, private.text())
		association.pick(fields{"PublicIp": &public, "CarrierIp": &carrier, "AssociationId": &eip})
		text := first(public.text(), carrier.text())
		if text == "" {
			continue
		}
		to, err := netip.ParseAddr(private.text())
		from, err2 := netip.ParseAddr(text)
		if err != nil || err2 != nil {
			a.rs.note(p.place(), "%s or %s is no address; the translation is left out", word(text), word(private.text()))
			continue
		}
		a.public = append(a.public, translation{
			public: from, private: to, id: first(eip.text(), id.text()), where: p.place(),
			text: fmt.Sprintf("%s public %s to %s", id.text(), from, to),
		})
	}
	for _, p := range six.all() {
		texts = append(texts, p.get("Ipv6Address").text())
	}
	for _, p := range prefix4.all() {
		texts = append(texts, p.get("Ipv4Prefix").text())
	}
	for _, p := range prefix6.all() {
		texts = append(texts, p.get("Ipv6Prefix").text())
	}
	ranges := a.parse(v, texts)
	a.machine(vpc.text(), ranges...)
	if s := a.subnet(subnet.text()); !s.told {
		s.vpc = vpc.text()
		s.ranges = append(s.ranges, ranges...)
	}
	none := true
	for _, g := range groups.all() {
		if g := g.get("GroupId").text(); g != "" {
			a.members[g] = append(a.members[g], ranges...)
			none = false
		}
	}
	if none {
		a.bare = append(a.bare, awsBare{kind.text(), id.text(), v.place(), ranges})
	}
	return true
}

// build makes steps and chains.
func (a *aws) build(subnetsWhole bool) {
	ids := make([]string, 0, len(a.subnets))
	for id, s := range a.subnets {
		s.ranges = Merge(s.ranges)
		ids = append(ids, id)
		for _, r := range s.ranges {
			if s.told {
				a.space = append(a.space, r)
				a.homes = append(a.homes, home{r, s.vpc})
			}
		}
	}
	slices.Sort(ids)
	a.space = Merge(a.space)
	for _, r := range a.space {
		for _, p := range r.Prefixes() {
			a.rs.Routes = append(a.rs.Routes, Route{p, instances})
		}
	}
	for g := range a.members {
		a.members[g] = Merge(a.members[g])
	}
	a.translate("public addresses")
	a.overlap("--filters Name=vpc-id,Values=vpc-ID")

	// Egress counts only where the packet comes from an instance of ours.
	ours := Merge(append(slices.Clone(a.space), a.known...))
	near := func(side Field, t Term) []Term {
		if len(ours) == 0 {
			return []Term{t}
		}
		return []Term{t, {Field: side, Ranges: ours}}
	}
	a.groupStep("security groups egress", SrcAddr, true, a.from(ours, subnetsWhole)...)
	a.aclStep("network ACLs egress", ids, true, near(SrcAddr, Term{Field: AnyOf, Any: []Match{
		{{Field: Phase, Bits: Answer | LaterAnswer}}, {notFrom()},
	}}))
	a.aclStep("network ACLs ingress", ids, false, near(DstAddr, Term{Field: AnyOf, Any: []Match{
		{{Field: Phase, Bits: First | Later}}, {{Field: Out, Not: true, Names: []string{internet}}},
	}}))
	var when []Term
	if subnetsWhole && a.whole && len(a.inside) > 0 { // what leaves the VPC is not filtered again
		when = []Term{{Field: AnyOf, Any: []Match{{{Field: In, Not: true, Names: a.inside}}, {{Field: DstAddr, Ranges: ours}}}}}
	}
	a.groupStep("security groups ingress", DstAddr, false, when...)
}

// groupStep is the union of what the groups of a network interface allow.
func (a *aws) groupStep(name string, side Field, egress bool, when ...Term) {
	top := a.chain(name, a.start, Drop, "no security group allows it")
	for _, g := range a.order {
		members := a.members[g.id]
		ch := a.group(g, egress)
		if len(members) > 0 {
			top.jump(g.node.place(), ch.Name, g.id+title(g.name)+" of the network interface", Match{{Field: side, Ranges: members}})
		}
	}
	missing := make([]string, 0, len(a.members))
	for id := range a.members {
		if a.groups[id] == nil {
			missing = append(missing, id)
		}
	}
	slices.Sort(missing)
	for _, id := range missing {
		a.add(top, Uncertain, word(id)+" is not in the export (aws ec2 describe-security-groups)", Match{{Field: side, Ranges: a.members[id]}})
	}
	for _, b := range a.bare {
		if b.kind == "nat_gateway" && !egress { // Amazon VPC User Guide, NAT gateways: no connection comes in by one
			a.add(top, Drop, b.id+": a NAT gateway takes no connection", Match{{Field: side, Ranges: Merge(b.ranges)}})
		} else {
			a.add(top, Uncertain, word(b.id+" ("+first(b.kind, "interface")+") has no security group"), Match{{Field: side, Ranges: Merge(b.ranges)}})
		}
		top.Rules[len(top.Rules)-1].Where = b.where
	}
	a.add(top, Uncertain, awsInterfaces, Match{{Field: side, Not: true, Ranges: a.known}})
	a.step(name, top.Name, true, when...)
}

// group makes the chain of a group, one rule for each range of a permission: its description belongs to it.
func (a *aws) group(g *awsGroup, egress bool) *Chain {
	direction, key, preposition, side := "ingress", "IpPermissions", "from", SrcAddr
	if egress {
		direction, key, preposition, side = "egress", "IpPermissionsEgress", "to", DstAddr
	}
	ch := a.chain(g.id+" "+direction, g.node.place(), Return, "")
	index := 0
	for _, p := range g.node.get(key).all() {
		var proto, from, to, v4, v6, lists, pairs node
		p.pick(fields{
			"IpProtocol": &proto, "FromPort": &from, "ToPort": &to,
			"IpRanges": &v4, "Ipv6Ranges": &v6, "PrefixListIds": &lists, "UserIdGroupPairs": &pairs,
		})
		head := protocol(proto.text())
		ports := "all"
		if proto.text() != "-1" {
			ports = word(proto.text())
			if from.there() && to.there() {
				span := from.text() + "-" + to.text()
				if from.text() == to.text() {
					span = from.text()
				}
				ports += " " + word(span)
				if len(head) > 0 && head[0].Field != Proto || len(head) > 0 && tcp(head[0]) {
					head = append(slices.Clip(head), portTerms(DstPort, []string{span})...)
				}
			} else if len(head) > 0 && tcp(head[0]) {
				head = append(head, Term{Field: Unmodelled, Word: "ports of the permission"})
			}
		}
		put := func(at node, source string, terms []Term) {
			index++
			id := a.ids[awsKey(g.id, egress, proto, from, to, source)]
			r := &Rule{
				ID: first(id, fmt.Sprintf("%s/%s/%d", g.id, direction, index)), Where: at.place(), Owner: g.owner, Action: Accept,
				Text:    fmt.Sprintf("%s%s %s %s %s %s", g.id, title(g.name), direction, ports, preposition, source),
				Comment: at.get("Description").text(), Match: slices.Concat(head, terms),
			}
			ch.Rules = append(ch.Rules, r)
		}
		for _, list := range []struct {
			node
			key string
		}{{v4, "CidrIp"}, {v6, "CidrIpv6"}} {
			for _, r := range list.all() {
				cidr := r.get(list.key).text()
				put(r, cidr, either(addresses(side, []string{cidr})))
			}
		}
		for _, r := range lists.all() {
			id := r.get("PrefixListId").text()
			put(r, id, a.prefixTerms(side, id))
		}
		for _, r := range pairs.all() {
			id := r.get("GroupId").text()
			t := Term{Field: side, Ranges: a.members[id], Object: id}
			if !a.whole || a.groups[id] == nil {
				t.Word = word("members of " + id)
			}
			put(r, id, []Term{notFrom(), t})
		}
	}
	return ch
}

func tcp(t Term) bool {
	return t.Field == Proto && len(t.Ranges) == 1 && t.Ranges[0] == Single(Number(6))
}

// prefixTerms are the conditions of a prefix list, which all rules that name it share.
func (a *aws) prefixTerms(side Field, id string) []Term {
	l := a.lists[id]
	if l == nil {
		return []Term{{Field: side, Object: id, Word: word("members of " + id)}}
	}
	if l.terms == nil {
		l.terms = make(map[Field][]Term)
	}
	if l.terms[side] == nil {
		l.terms[side] = a.newPrefixTerms(l, side, id)
	}
	return l.terms[side]
}

func (a *aws) newPrefixTerms(l *awsPrefixes, side Field, id string) []Term {
	if !l.whole && len(l.cidrs) == 0 {
		name := id
		if l.name != "" {
			name += " " + l.name
		}
		return []Term{{Field: side, Object: id, Word: word("members of " + name)}}
	}
	out := either(addresses(side, l.cidrs))
	object(out, id)
	if !l.whole {
		out = []Term{{Field: AnyOf, Any: []Match{out, {{Field: side, Object: id, Word: word("members of " + id)}}}}}
	}
	return out
}

// object says which object terms of addresses are from.
func object(terms []Term, id string) {
	for i := range terms {
		switch t := &terms[i]; t.Field {
		case SrcAddr, DstAddr:
			t.Object = id
		case AnyOf:
			for _, m := range t.Any {
				object(m, id)
			}
		}
	}
}

// aclStep is the network ACLs of one direction. A packet within a subnet meets none.
func (a *aws) aclStep(name string, subnets []string, egress bool, when []Term) {
	near, far, phases, way := DstAddr, SrcAddr, uint8(First|Later), In
	direction := "ingress"
	if egress {
		near, far, phases, way = SrcAddr, DstAddr, Answer|LaterAnswer, Out
		direction = "egress"
	}
	where := make(map[string]Place, len(a.acls))
	for _, acl := range a.acls {
		if _, ok := where[acl.id]; !ok {
			where[acl.id] = acl.node.place()
			a.acl(acl, egress, direction)
		}
	}
	top := a.chain(name, a.start, Accept, "no subnet of the VPC")
	var open []Range // addresses of which it is not known which ACL judges them
	for _, id := range subnets {
		s := a.subnets[id]
		if len(s.ranges) == 0 {
			continue
		}
		if s.acl == "" {
			open = append(open, s.ranges...)
			continue
		}
		outside := Term{Field: far, Not: true, Ranges: s.ranges}
		if !s.told {
			outside.Word = word("whether the other end is in " + id + " (aws ec2 describe-subnets)")
		}
		top.jump(where[s.acl], s.acl+" "+direction, s.acl+" of "+id, Match{
			{Field: near, Ranges: s.ranges},
			{Field: AnyOf, Any: []Match{{{Field: Phase, Bits: phases}, {Field: way, Names: []string{internet}}}, {outside}}},
		})
	}
	if len(open) > 0 {
		a.add(top, Uncertain, "the network ACL of the subnet is not in the export (aws ec2 describe-network-acls)", Match{{Field: near, Ranges: Merge(open)}})
	}
	if len(a.acls) == 0 && len(a.subnets) == 0 {
		a.add(top, Uncertain, "no network ACL is in the export (aws ec2 describe-network-acls)", Match{{Field: Phase, Bits: phases}})
	}
	a.step(name, top.Name, false, when...)
}

func (a *aws) acl(acl awsACL, egress bool, direction string) {
	ch := a.chain(acl.id+" "+direction, acl.node.place(), Drop, "implicit deny (*)")
	side, preposition := SrcAddr, "from"
	if egress {
		side, preposition = DstAddr, "to"
	}
	for _, e := range acl.node.get("Entries").all() {
		var out, number, proto, action, v4, v6, ports node
		e.pick(fields{
			"Egress": &out, "RuleNumber": &number, "Protocol": &proto, "RuleAction": &action,
			"CidrBlock": &v4, "Ipv6CidrBlock": &v6, "PortRange": &ports,
		})
		if out.yes() != egress {
			continue
		}
		m := Match(protocol(proto.text()))
		text := proto.text()
		switch text {
		case "-1":
			text = "all"
		case "6":
			text = "tcp"
		}
		if ports.there() && proto.text() != "-1" { // with all protocols, ports do not count
			var low, high node
			ports.pick(fields{"From": &low, "To": &high})
			span := low.text() + "-" + high.text()
			m = append(m, portTerms(DstPort, []string{span})...)
			if text += " " + low.text(); low.text() != high.text() {
				text += "-" + high.text()
			}
		}
		cidr := first(v4.text(), v6.text())
		m = append(m, either(addresses(side, []string{cidr}))...)
		r := &Rule{
			ID: acl.id + "/" + direction + "/" + number.text(), Where: e.place(), Owner: acl.owner, Match: m,
			Text: fmt.Sprintf("%s %s %s %s %s %s %s", acl.id, direction, number.text(), action.text(), text, preposition, cidr),
		}
		switch action.text() {
		case "allow":
			r.Action = Accept
		case "deny":
			r.Action = Drop
		default:
			r.Action, r.Words = Uncertain, []string{word("action " + action.text())}
		}
		if _, ok := number.number(); !ok {
			a.rs.note(e.place(), "an entry without a number: it may stand anywhere")
			r.Action, r.Words = Uncertain, []string{"an entry without a number"}
		}
		ch.Rules = append(ch.Rules, r)
	}
	byNumber(ch.Rules, func(r *Rule) int { return numberOf(r.ID) })
	a.add(ch, Drop, acl.id+" "+direction+" *", nil)
	end := ch.Rules[len(ch.Rules)-1]
	end.ID, end.Where = acl.id+"/"+direction+"/*", acl.node.place()
}

// numberOf is the number at the end of an ID.
func numberOf(id string) int {
	n, err := strconv.Atoi(id[strings.LastIndexByte(id, '/')+1:])
	if err != nil {
		return -1
	}
	return n
}

func editAWS(rs *Ruleset, e Edit) []string {
	switch {
	case e.Rule == nil || e.Chain == nil:
		return nil
	case e.Kind == StopNAT:
		if !strings.HasPrefix(e.Rule.ID, "eipassoc-") || !shell(e.Rule.ID) {
			return nil // an address that AWS gave to the instance stays as long as it runs
		}
		return []string{"aws ec2 disassociate-address --association-id " + e.Rule.ID}
	}
	owner, direction, _ := strings.Cut(e.Chain.Name, " ")
	if direction != "ingress" && direction != "egress" || !shell(owner) {
		return nil
	}
	if e.Kind == DropMember {
		p := e.Member.Prefixes()
		if !strings.HasPrefix(e.Object, "pl-") || !shell(e.Object) || len(p) != 1 {
			return nil
		}
		return []string{fmt.Sprintf(`aws ec2 modify-managed-prefix-list --prefix-list-id %s --current-version "$(aws ec2 describe-managed-prefix-lists --prefix-list-ids %s --query 'PrefixLists[0].Version' --output text)" --remove-entries Cidr=%s`, e.Object, e.Object, p[0])}
	}
	if strings.HasPrefix(owner, "sg-") {
		return editGroup(owner, direction, e)
	}
	return editACL(owner, direction, e)
}

// editGroup changes a group. It cannot deny.
func editGroup(group, direction string, e Edit) []string {
	proto, ports := awsPorts(e.Rule.Match)
	permission := func(sources string) string {
		return fmt.Sprintf(`--ip-permissions '[{"IpProtocol":"%s"%s,%s}]'`, proto, ports, sources)
	}
	side := SrcAddr
	if direction == "egress" {
		side = DstAddr
	}
	t := e.Rule.Match.term(side)
	if t == nil || slices.ContainsFunc(e.Rule.Match, func(t Term) bool { return t.Word != "" && t.Object == "" }) {
		return nil
	}
	var old string
	switch {
	case strings.HasPrefix(e.Rule.ID, "sgr-") && shell(e.Rule.ID):
		old = "--security-group-rule-ids " + e.Rule.ID
	case strings.HasPrefix(t.Object, "pl-") && shell(t.Object):
		old = permission(`"PrefixListIds":[{"PrefixListId":"` + t.Object + `"}]`)
	case strings.HasPrefix(t.Object, "sg-") && shell(t.Object):
		old = permission(`"UserIdGroupPairs":[{"GroupId":"` + t.Object + `"}]`)
	case t.Object == "" && t.Word == "" && len(t.Ranges) == 1:
		old = permission(awsSources(t.Ranges[0].Prefixes()))
	default:
		return nil
	}
	revoke := fmt.Sprintf("aws ec2 revoke-security-group-%s --group-id %s %s", direction, group, old)
	switch {
	case e.Kind == Remove:
		return []string{revoke}
	case e.Kind == Narrow && len(e.Sources) > 0 && side == SrcAddr:
		return []string{fmt.Sprintf("aws ec2 authorize-security-group-%s --group-id %s %s", direction, group, permission(awsSources(e.Sources))), revoke}
	}
	return nil
}

// awsPorts are protocol and ports of a rule, as the API has them.
func awsPorts(m Match) (proto, ports string) {
	p := m.term(Proto)
	if p == nil || len(p.Ranges) != 1 {
		return "-1", ""
	}
	proto = fmt.Sprint(p.Ranges[0].First.Lo)
	if proto == "6" {
		proto = "tcp"
	}
	low, high := uint64(0), uint64(65535)
	if t := m.term(DstPort); t != nil && len(t.Ranges) == 1 {
		low, high = t.Ranges[0].First.Lo, t.Ranges[0].Last.Lo
	}
	return proto, fmt.Sprintf(`,"FromPort":%d,"ToPort":%d`, low, high)
}

func awsSources(list []netip.Prefix) string {
	var four, six, out []string
	for _, p := range list {
		if p.Addr().Is4() {
			four = append(four, `{"CidrIp":"`+p.String()+`"}`)
		} else {
			six = append(six, `{"CidrIpv6":"`+p.String()+`"}`)
		}
	}
	if four != nil {
		out = append(out, `"IpRanges":[`+strings.Join(four, ",")+`]`)
	}
	if six != nil {
		out = append(out, `"Ipv6Ranges":[`+strings.Join(six, ",")+`]`)
	}
	return strings.Join(out, ",")
}

// editACL changes a network ACL. Its entries name no destination (egress: no source): they are for the whole subnet.
func editACL(acl, direction string, e Edit) []string {
	number := numberOf(e.Rule.ID)
	if number < 1 || number > 32766 { // what stands last cannot be changed
		if e.Kind != DenyAbove {
			return nil
		}
		number = 32767
	}
	before := 0
	for _, r := range e.Chain.Rules {
		if n := numberOf(r.ID); n < number {
			before = max(before, n)
		}
	}
	entry := func(verb string, number int, p netip.Prefix, proto, ports, action string) string {
		block := "--cidr-block"
		if p.Addr().Is6() {
			block = "--ipv6-cidr-block"
		}
		if proto != "-1" && ports != "" {
			proto += " --port-range " + ports
		}
		return fmt.Sprintf("aws ec2 %s-network-acl-entry --network-acl-id %s --%s --rule-number %d --protocol %s %s %s --rule-action %s", verb, acl, direction, number, proto, block, p, action)
	}
	switch e.Kind {
	case Remove:
		return []string{fmt.Sprintf("aws ec2 delete-network-acl-entry --network-acl-id %s --%s --rule-number %d", acl, direction, number)}
	case DenyAbove:
		if direction != "ingress" {
			return nil
		}
		sources := e.Sources
		if sources == nil {
			sources = []netip.Prefix{anyPrefix(e.Dst.Addr())}
		}
		out := []string{fmt.Sprintf("# an entry of a network ACL is for all addresses of its subnets, not for %s alone", e.Dst.Addr())}
		for i := len(sources) - 1; i >= 0; i-- {
			free, ok := between(before, number)
			if !ok {
				return nil
			}
			number = free
			out = append(out, entry("create", free, sources[i], "6", fmt.Sprintf("From=%d,To=%d", e.Dst.Port(), e.Dst.Port()), "deny"))
		}
		return out
	case Narrow:
		if direction != "ingress" || len(e.Sources) == 0 || e.Rule.Action != Accept {
			return nil
		}
		proto, ports := "-1", ""
		if p := e.Rule.Match.term(Proto); p != nil && len(p.Ranges) == 1 {
			proto, ports = fmt.Sprint(p.Ranges[0].First.Lo), "From=0,To=65535"
		}
		if t := e.Rule.Match.term(DstPort); t != nil && len(t.Ranges) == 1 {
			ports = fmt.Sprintf("From=%d,To=%d", t.Ranges[0].First.Lo, t.Ranges[0].Last.Lo)
		}
		out := []string{entry("replace", number, e.Sources[0], proto, ports, "allow")}
		for _, p := range e.Sources[1:] {
			free, ok := between(before, number)
			if !ok {
				return nil
			}
			number = free
			out = append(out, entry("create", free, p, proto, ports, "allow"))
		}
		return out
	}
	return nil
}

// anyPrefix is all addresses of an address's family.
func anyPrefix(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}
