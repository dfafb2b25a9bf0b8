package firewall

import (
	"net/netip"
	"slices"
	"strings"
)

// ipset is a set of ipset save. What an element has is written in the type: hash:ip,port.
type ipset struct {
	name    string
	where   Place
	kinds   []string // ip, net, port, iface, mac, mark; of a list: set
	family  int      // 4, 6; 0: any
	mask    int      // bits of each address that count; 0: all
	words   []string // what of it is not modelled
	members []string // of a list
	// groups are the elements: those that have all but the first of their kinds alike are one.
	groups []*setGroup
	keys   map[string]*setGroup
}

type setGroup struct {
	first []Range   // of the first kind
	nets  []setNet  // instead of it, where the first kind is a network: a longer prefix may be an exception
	rest  []setPart // of the others; of all, where the first is no range
}

// setPart is what an element says of one of its kinds.
type setPart struct {
	ranges []Range
	proto  uint16 // of a port
	name   string // of an interface
	word   string // not modelled
}

// setUse is how rules ask for a set.
type setUse struct {
	set    *ipset
	flags  string // src,dst
	family int
}

// maxSetTerms bounds the conditions that come of sets: each is made once for all rules that ask alike.
const maxSetTerms = 1 << 21

type setNet struct {
	prefix netip.Prefix
	not    bool
}

// set reads a line of ipset save.
func (t *tableReader) set(where Place, line string) {
	words, whole := tableWords(line)
	if !whole || len(words) < 3 {
		t.rs.note(where, "not understood: %s", clean(line, 100))
		return
	}
	switch words[0] {
	case "create":
		if len(t.sets) == 65534 { // as many as the kernel has
			t.rs.note(where, "more sets than there can be")
			return
		}
		method, kinds, ok := strings.Cut(words[2], ":")
		s := &ipset{name: words[1], where: where, kinds: strings.Split(kinds, ","), keys: make(map[string]*setGroup)}
		t.sets[s.name] = s
		if !ok || method != "hash" && method != "bitmap" && method != "list" || len(s.kinds) > 3 {
			t.rs.note(where, "a set of type %s is not modelled", clean(words[2], 60))
			s.words = append(s.words, "set "+clean(s.name, 60))
			return
		}
		if slices.ContainsFunc(s.kinds, func(k string) bool { return k == "ip" || k == "net" }) {
			s.family = 4
		}
		for i := 3; i+1 < len(words); i++ {
			switch words[i] {
			case "family":
				if words[i+1] == "inet6" && s.family != 0 {
					s.family = 6
				}
			case "netmask":
				n, ok := tablePort(words[i+1])
				if !ok || n > 128 {
					s.words = append(s.words, "set "+clean(s.name, 60)+" with netmask")
				}
				s.mask = int(n)
			case "bitmask":
				s.words = append(s.words, "set "+clean(s.name, 60)+" with bitmask")
			}
		}
	case "add":
		s := t.sets[words[1]]
		if s == nil {
			t.rs.note(where, "an element of set %s, which is not in the export; export all with ipset save", clean(words[1], 60))
			return
		}
		if t.rules++; t.rules > 4*maxTableRules {
			s.words = []string{"set " + clean(s.name, 60) + " with more elements than are read"}
			return
		}
		if !s.add(words[2], slices.Contains(words[3:], "nomatch"), slices.Contains(words[3:], "wildcard")) {
			t.rs.note(where, "an element of set %s that is not understood: %s", clean(s.name, 60), clean(words[2], 60))
			s.words = append(s.words[:0:0], "set "+clean(s.name, 60)+" with "+clean(words[2], 60))
		}
	default:
		t.rs.note(where, "not understood: %s", clean(line, 100))
	}
}

// add reads an element. It reports false if it is not understood.
func (s *ipset) add(text string, not, wild bool) bool {
	if s.kinds[0] == "set" {
		s.members = append(s.members, text)
		return true
	}
	values := strings.Split(text, ",")
	if len(values) != len(s.kinds) {
		return false
	}
	var parts []setPart
	for i, v := range values {
		p, ok := s.part(s.kinds[i], v)
		if !ok {
			return false
		}
		if s.kinds[i] == "iface" && wild {
			p.name += "*"
		}
		parts = append(parts, p)
	}
	if not && s.kinds[0] != "net" {
		return false
	}
	if first := parts[0]; first.word != "" || first.name != "" || first.proto != 0 {
		s.groups = append(s.groups, &setGroup{rest: parts})
		return true
	}
	key := strings.Join(values[1:], ",")
	g := s.keys[key]
	if g == nil {
		g = &setGroup{rest: parts[1:]}
		s.keys[key] = g
		s.groups = append(s.groups, g)
	}
	if s.kinds[0] != "net" {
		g.first = append(g.first, parts[0].ranges...)
		return true
	}
	for _, r := range parts[0].ranges {
		for _, prefix := range r.Prefixes() {
			g.nets = append(g.nets, setNet{prefix, not})
		}
	}
	return true
}

// part reads one value of an element.
func (s *ipset) part(kind, text string) (setPart, bool) {
	switch kind {
	case "ip", "net":
		r, err := ParseAddrs(text)
		if err != nil {
			return setPart{}, false
		}
		if kind == "ip" && s.mask > 0 {
			a := r.First.Addr()
			if p := netip.PrefixFrom(a, s.mask); p.IsValid() {
				last := netip.PrefixFrom(r.Last.Addr(), s.mask)
				r = Range{PrefixRange(p).First, PrefixRange(last).Last}
			}
		}
		return setPart{ranges: []Range{r}}, true
	case "port":
		proto, port, ok := strings.Cut(text, ":")
		part := setPart{}
		if ok {
			if part.proto, ok = tableProtocols[proto]; !ok {
				return setPart{word: "port " + clean(text, 40)}, true
			}
		} else {
			port = text
		}
		if part.proto != 0 && part.proto != 6 && part.proto != 17 {
			return part, true
		}
		r, _, ok := tableSpan(port)
		part.ranges = []Range{r}
		return part, ok
	case "iface":
		if strings.HasPrefix(text, "physdev:") {
			return setPart{word: clean(text, 40)}, true
		}
		return setPart{name: text}, true
	case "mac", "mark":
		return setPart{word: kind + " " + clean(text, 40)}, true
	}
	return setPart{}, false
}

// byLength sorts longer prefixes first, and exceptions before others.
func byLength(a, b setNet) int {
	if a.not != b.not && a.prefix.Bits() == b.prefix.Bits() {
		if a.not {
			return -1
		}
		return 1
	}
	return b.prefix.Bits() - a.prefix.Bits()
}

// addrs are the addresses of each group of networks. Of the networks of a group that an address lies in, the longest
// counts. With interfaces it is the longest of the whole set, whatever its interface (ip_set_hash_netiface.c).
func (s *ipset) addrs() [][]Range {
	type entry struct {
		setNet
		group int
	}
	out := make([][]Range, len(s.groups))
	settle := func(list []entry) {
		slices.SortFunc(list, func(a, b entry) int { return byLength(a.setNet, b.setNet) })
		var covered []Range
		for len(list) > 0 {
			n := 0
			for n < len(list) && list[n].prefix.Bits() == list[0].prefix.Bits() {
				n++
			}
			batch := make(map[int][]Range)
			all := covered
			for _, e := range list[:n] {
				r := PrefixRange(e.prefix)
				all = append(all, r)
				if !e.not {
					batch[e.group] = append(batch[e.group], r)
				}
			}
			for g, ranges := range batch {
				out[g] = append(out[g], Without(Merge(ranges), covered)...)
			}
			covered = Merge(all)
			list = list[n:]
		}
	}
	var list []entry
	for g, group := range s.groups {
		for _, n := range group.nets {
			list = append(list, entry{n, g})
		}
		if s.kinds[len(s.kinds)-1] != "iface" {
			settle(list)
			list = list[:0]
		}
	}
	settle(list)
	for g := range out {
		out[g] = Merge(out[g])
	}
	return out
}

// matchSet adds --match-set NAME src,dst.
func (p *tableRule) matchSet(name, flags string) {
	not := p.not
	s := p.sets[name]
	if s == nil {
		p.rs.note(p.rule.Where, "set %s is not in the export; add the output of ipset save", clean(name, 60))
		p.unmodelled("--match-set", name, flags, "(not in the export: ipset save)")
		return
	}
	any := p.setMatches(s, flags, true)
	p.not = not
	if len(any) == 1 && len(any[0]) == 1 {
		t := any[0][0]
		p.add(t)
	} else {
		p.add(Term{Field: AnyOf, Any: any, Object: name})
	}
	p.not = false
}

// setMatches is one match for each group of elements. Sides are src or dst, for each kind. A set with more kinds than
// sides, or of the other family, never matches (ipset(8), iptables-extensions(8)).
func (p *tableRule) setMatches(s *ipset, flags string, lists bool) (out []Match) {
	key := setUse{s, flags, p.section.family}
	if out, ok := p.uses[key]; ok { // rules that ask for the same share it
		return out
	}
	defer func() {
		if p.terms += len(out); p.terms > maxSetTerms {
			out = []Match{{{Field: Unmodelled, Word: "set " + clean(s.name, 60) + " of more elements than can be asked for", Object: s.name}}}
		}
		p.uses[key] = out
	}()
	sides := strings.Split(flags, ",")
	if p.filled[s.name] {
		return []Match{{{Field: Unmodelled, Word: "set " + clean(s.name, 60) + " (rules change it)", Object: s.name}}}
	}
	for _, w := range s.words {
		out = append(out, Match{{Field: Unmodelled, Word: w, Object: s.name}})
	}
	if s.kinds[0] == "set" {
		for _, name := range s.members {
			m := p.sets[name]
			if m == nil || m.kinds[0] == "set" && !lists {
				out = append(out, Match{{Field: Unmodelled, Word: "set " + clean(name, 60), Object: s.name}})
				continue
			}
			if out = append(out, p.setMatches(m, flags, false)...); len(out) > maxSetTerms {
				break
			}
		}
		return out
	}
	if len(sides) < len(s.kinds) || s.family != 0 && s.family != p.section.family {
		return out
	}
	if len(s.kinds) == 1 && s.mask == 0 && len(s.groups) == 1 && len(s.words) == 0 {
		var list []told
		for _, r := range s.groups[0].first {
			list = append(list, told{Range: r})
		}
		for _, n := range s.groups[0].nets {
			list = append(list, told{Range: PrefixRange(n.prefix)})
		}
		p.rs.tell(s.name, list)
	}
	var addrs [][]Range
	if s.kinds[0] == "net" {
		addrs = s.addrs()
	}
	for n, g := range s.groups {
		var m Match
		first := g.first
		if addrs != nil {
			first = addrs[n]
		}
		kinds, at := s.kinds, sides
		if len(g.rest) < len(s.kinds) {
			m = append(m, s.term(kinds[0], at[0], setPart{ranges: Merge(first)}))
			kinds, at = kinds[1:], at[1:]
		}
		for i, part := range g.rest {
			if kinds[i] == "port" && part.proto != 0 {
				m = append(m, Term{Field: Proto, Ranges: []Range{Single(Number(part.proto))}, Object: s.name})
				if part.ranges == nil {
					continue
				}
			}
			m = append(m, s.term(kinds[i], at[i], part))
		}
		out = append(out, m)
	}
	return out
}

// term is what one kind of an element asks for.
func (s *ipset) term(kind, side string, part setPart) Term {
	t := Term{Ranges: part.ranges, Object: s.name}
	src := side == "src"
	switch {
	case part.word != "":
		return Term{Field: Unmodelled, Word: "set " + clean(s.name, 60) + ": " + part.word, Object: s.name}
	case kind == "iface" && src:
		t.Field, t.Names = In, []string{part.name}
	case kind == "iface":
		t.Field, t.Names = Out, []string{part.name}
	case kind == "port" && src:
		t.Field = SrcPort
	case kind == "port":
		t.Field = DstPort
	case src:
		t.Field = SrcAddr
	default:
		t.Field = DstAddr
	}
	return t
}
