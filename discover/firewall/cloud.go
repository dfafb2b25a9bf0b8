package firewall

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What AWS, Azure and GCP have in common: lists in JSON whose lines matter, and rules that hang on the addresses of
// machines instead of on interfaces. A cloud has no interfaces: vantages enter by "internet", or by the network's name.

const (
	internet  = "internet"
	instances = "instances" // where a packet leaves the network: never where one enters
)

// document is one file of JSON. It is not decoded: nodes are spans of it, so that each thing has its line, and memory
// does not grow with what a file holds.
type document struct {
	name   string
	data   []byte
	starts []int // newlines before each block
	broken int   // where it stops to be JSON; -1: nowhere
	more   bool  // it says that the list goes on (NextToken)
	odd    int   // things that were not understood
}

const block = 4096

func newDocument(e *Export) *document {
	d := &document{name: e.Name, data: e.Data, broken: -1}
	n := 0
	for at := 0; at <= len(d.data); at += block {
		d.starts = append(d.starts, n)
		n += bytes.Count(d.data[at:min(at+block, len(d.data))], []byte("\n"))
	}
	return d
}

func (d *document) line(at int) int {
	at = max(0, min(at, len(d.data)))
	return d.starts[at/block] + bytes.Count(d.data[at/block*block:at], []byte("\n")) + 1
}

// incomplete tells that the file holds less than it should, and notes so.
func (d *document) incomplete(rs *Ruleset, export string) bool {
	if d.broken >= 0 {
		line := d.line(d.broken)
		rs.note(Place{File: d.name, Line: line}, "the JSON ends or is wrong here: what follows is not read; export again: %s", export)
	}
	if d.more {
		rs.note(Place{File: d.name, Line: 1}, "the list has further pages that are not in the file; export without --max-items and --no-paginate: %s", export)
	}
	return d.broken >= 0 || d.more
}

// strange notes a thing that is not understood, and reports whether to go on: after many, the file is no export.
func (d *document) strange(rs *Ruleset, v node, text string) bool {
	rs.note(v.place(), "%s; it is left out", text)
	if d.odd++; d.odd >= 100 && d.broken < 0 {
		d.broken = v.from
	}
	return d.odd < 100
}

// node is a value in a document. The zero node is one that is not there.
type node struct {
	doc      *document
	from, to int
	part     bool // it is not whole
}

func (n node) there() bool { return n.doc != nil && n.to > n.from && n.doc.data[n.from] != 'n' }
func (n node) raw() []byte { return n.doc.data[n.from:n.to] }

func (n node) first() byte {
	if !n.there() {
		return 0
	}
	return n.doc.data[n.from]
}

func (n node) place() Place {
	if n.doc == nil {
		return Place{}
	}
	p := Place{File: n.doc.name, Line: n.doc.line(n.from)}
	if end := n.doc.line(max(n.from, n.to-1)); end > p.Line {
		p.End = end
	}
	return p
}

func space(data []byte, at int) int {
	for at < len(data) && (data[at] == ' ' || data[at] == '\n' || data[at] == '\t' || data[at] == '\r') {
		at++
	}
	return at
}

// skip finds the end of the JSON value that begins at an offset. If there is none it tells where it stopped.
func skip(data []byte, at, depth int) (end int, ok bool) {
	if at = space(data, at); at >= len(data) || depth > 64 {
		return at, false
	}
	switch c := data[at]; c {
	case '"':
		for at++; at < len(data); at++ {
			switch data[at] {
			case '\\':
				at++
			case '"':
				return at + 1, true
			}
		}
		return len(data), false
	case '{', '[':
		closing := c + 2 // ASCII: { | } and [ \ ]
		at = space(data, at+1)
		if at < len(data) && data[at] == closing {
			return at + 1, true
		}
		for {
			if c == '{' {
				if at = space(data, at); at >= len(data) || data[at] != '"' {
					return at, false
				}
				if at, ok = skip(data, at, depth+1); !ok {
					return at, false
				}
				if at = space(data, at); at >= len(data) || data[at] != ':' {
					return at, false
				}
				at++
			}
			if at, ok = skip(data, at, depth+1); !ok {
				return at, false
			}
			if at = space(data, at); at >= len(data) {
				return at, false
			}
			switch data[at] {
			case closing:
				return at + 1, true
			case ',':
				at++
			default:
				return at, false
			}
		}
	}
	end = at
	for end < len(data) && strings.IndexByte("+-.0123456789abcdefghijklmnopqrstuvwxyzE", data[end]) >= 0 {
		end++
	}
	switch c := data[at]; c { // a number is not looked at further: who wants one reads it
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return end, true
	}
	switch string(data[at:end]) {
	case "true", "false", "null":
		return end, true
	}
	return at, false
}

// all yields the values of an array, or of an object with their keys. One that is not whole is the last, with part set.
func (n node) all() iter.Seq2[string, node] {
	return func(yield func(string, node) bool) {
		c := n.first()
		if c != '{' && c != '[' {
			return
		}
		data := n.doc.data[:n.to]
		broken := func(at int) {
			if n.doc.broken < 0 {
				n.doc.broken = at
			}
		}
		for at := space(data, n.from+1); ; {
			key := ""
			if at < len(data) && data[at] == c+2 {
				return
			}
			if c == '{' {
				end, ok := skip(data, at, 0)
				if !ok || data[at] != '"' {
					broken(end)
					return
				}
				key = node{doc: n.doc, from: at, to: end}.text()
				if at = space(data, end); at >= len(data) || data[at] != ':' {
					broken(at)
					return
				}
				at++
			}
			at = space(data, at)
			end, ok := skip(data, at, 0)
			v := node{doc: n.doc, from: at, to: end, part: !ok}
			if !ok {
				v.to = len(data)
				if v.from < v.to {
					yield(key, v)
				}
				broken(end)
				return
			}
			if !yield(key, v) {
				return
			}
			if at = space(data, end); at >= len(data) {
				broken(at)
				return
			}
			switch data[at] {
			case ',':
				at = space(data, at+1)
			case c + 2:
			default:
				broken(at)
				return
			}
		}
	}
}

// fields are what one wants of an object.
type fields map[string]*node

// pick fills in fields of an object: its own, and those in its "properties" (the ARM form of Azure).
func (n node) pick(f fields) {
	for key, v := range n.all() {
		if v.part {
			continue
		}
		if to := f[key]; to != nil {
			*to = v
		} else if key == "properties" {
			v.pick(f)
		}
	}
}

func (n node) get(key string) (out node) {
	n.pick(fields{key: &out})
	return out
}

// text is a string or number; empty, if it is neither.
func (n node) text() string {
	switch c := n.first(); {
	case c == '"':
		raw := n.raw()
		if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 {
			return strings.ToValidUTF8(string(inner), "\ufffd")
		}
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return strings.ToValidUTF8(string(raw[1:len(raw)-1]), "\ufffd")
		}
		return s
	case c == '-' || c >= '0' && c <= '9':
		return string(n.raw())
	}
	return ""
}

func (n node) number() (int, bool) {
	i, err := strconv.Atoi(n.text())
	return i, err == nil
}

func (n node) yes() bool { return n.there() && (string(n.raw()) == "true" || n.text() == "true") }

// texts are the strings of an array.
func (n node) texts() (out []string) {
	for _, v := range n.all() {
		out = append(out, v.text())
	}
	return out
}

// things yields what a file lists: the elements of an array, or of an array in an object under one of the names; else
// the object itself. What is not whole is left out.
func (d *document) things(lists ...string) iter.Seq2[string, node] {
	return func(yield func(string, node) bool) {
		elements := func(key string, list node) bool {
			for _, v := range list.all() {
				if !v.part && !yield(key, v) {
					return false
				}
			}
			return true
		}
		for at := space(d.data, 0); at < len(d.data); at = space(d.data, at) {
			end, ok := skip(d.data, at, 0)
			top := node{doc: d, from: at, to: end, part: !ok}
			if !ok {
				top.to = len(d.data)
				if d.broken < 0 {
					d.broken = end
				}
			}
			switch at = top.to; top.first() {
			case '[':
				if !elements("", top) {
					return
				}
			case '{':
				listed := false
				for key, v := range top.all() {
					switch {
					case slices.Contains(lists, key) && v.first() == '[':
						listed = true
						if !elements(key, v) {
							return
						}
					case key == "NextToken" || key == "nextLink" || key == "nextPageToken":
						d.more = d.more || v.text() != ""
					}
				}
				if !listed && !top.part && !yield("", top) {
					return
				}
			default:
				if d.broken < 0 {
					d.broken = top.from
				}
			}
		}
	}
}

// cloud is a ruleset in the making.
type cloud struct {
	rs     *Ruleset
	start  Place    // where what nobody wrote is said to stand
	inside []string // names of the networks
	homes  []home
	shared []Range       // private addresses that several networks have
	known  []Range       // private addresses of machines
	public []translation // public addresses of machines
}

func newCloud(rs *Ruleset, files []Export) *cloud {
	rs.Interfaces = append(rs.Interfaces, Interface{Name: internet}, Interface{Name: instances})
	return &cloud{rs: rs, start: Place{File: files[0].Name, Line: 1}}
}

// network adds a network where packets can come from.
func (c *cloud) network(name string) {
	if name != "" && !slices.Contains(c.inside, name) && name != internet && name != instances {
		c.inside = append(c.inside, name)
		c.rs.Interfaces = append(c.rs.Interfaces, Interface{Name: name})
	}
}

// home is where addresses are.
type home struct {
	Range
	network string
}

// machine adds private addresses of a machine in a network.
func (c *cloud) machine(network string, list ...Range) {
	for _, r := range list {
		c.known = append(c.known, r)
		c.homes = append(c.homes, home{r, network})
	}
}

// overlap finds addresses that several networks have. Nothing can be said of them, as a flow does not tell its network.
func (c *cloud) overlap(export string) {
	slices.SortStableFunc(c.homes, func(a, b home) int { return a.First.Compare(b.First) })
	var widest home
	for i, h := range c.homes {
		if i > 0 && h.network != widest.network && !widest.Last.less(h.First) {
			c.shared = append(c.shared, Range{h.First, minValue(h.Last, widest.Last)})
		}
		if i == 0 || widest.Last.less(h.Last) {
			widest = h
		}
	}
	c.known = Merge(c.known)
	if c.shared = Merge(c.shared); len(c.shared) == 0 {
		return
	}
	ch := c.chain("addresses of several networks", c.start, Accept, "")
	c.add(ch, Uncertain, "an address that several networks of the export have: export one network ("+export+")", nil)
	c.rs.Steps = append(c.rs.Steps, Step{Name: ch.Name, Chain: ch.Name, Stateful: true, When: Match{{Field: AnyOf, Any: []Match{
		{{Field: DstAddr, Ranges: c.shared}}, {notFrom(), {Field: SrcAddr, Ranges: c.shared}},
	}}}})
}

func minValue(a, b Value) Value {
	if b.less(a) {
		return b
	}
	return a
}

// parse reads addresses that must be some; others are noted.
func (c *cloud) parse(v node, texts []string) (out []Range) {
	for _, t := range texts {
		if t == "" {
			continue
		}
		if r, err := ParseAddrs(t); err == nil {
			out = append(out, r)
		} else {
			c.rs.note(v.place(), "%s; it is left out", word(err.Error()))
		}
	}
	return out
}

// translation is a public address, and the private one that a machine has it at.
type translation struct {
	public, private netip.Addr
	id, name, text  string
	where           Place
	words           []string // the private one is not known
}

// chain makes a chain, or finds it.
func (c *cloud) chain(name string, where Place, policy Action, text string) *Chain {
	ch := c.rs.Chains[name]
	if ch == nil {
		ch = &Chain{Name: name, Where: where, Policy: policy, PolicyText: text}
		c.rs.Chains[name] = ch
	}
	return ch
}

// add puts a rule that nobody wrote into a chain.
func (c *cloud) add(ch *Chain, action Action, text string, m Match) {
	r := &Rule{Where: c.start, Text: text, Match: m, Action: action}
	if action == Uncertain {
		r.Words = []string{text}
	}
	ch.Rules = append(ch.Rules, r)
}

// jump sends what matches to another chain.
func (ch *Chain) jump(where Place, to, text string, m Match) {
	ch.Rules = append(ch.Rules, &Rule{Where: where, Text: text, Match: m, Action: Jump, Chain: to})
}

// translate makes the step of public addresses. Rules are in buckets: thousands of addresses are not asked one by one.
func (c *cloud) translate(by string) {
	if len(c.public) == 0 {
		return
	}
	slices.SortStableFunc(c.public, func(a, b translation) int { return a.public.Compare(b.public) })
	var all []Range
	for _, t := range c.public {
		all = append(all, One(t.public))
	}
	// A packet from a machine to a public address goes out and comes back, and its source is then the public address of
	// the machine, or of a gateway.
	out := c.chain("from inside to a public address", c.start, Accept, "")
	c.add(out, Uncertain, "from which public address a machine inside comes to another's", nil)
	c.rs.Steps = append(c.rs.Steps, Step{Name: out.Name, Chain: out.Name, Original: true, Stateful: true, When: Match{
		{Field: In, Names: c.inside}, {Field: OrigDst, Ranges: Merge(all)},
	}})
	top := c.chain(by, c.start, Accept, "no public address of a machine")
	const most = 64
	for i := 0; i < len(c.public); i += most {
		part := c.public[i:min(i+most, len(c.public))]
		ch := top
		if len(c.public) > most {
			from, to := part[0].public, part[len(part)-1].public
			text := from.String() + " to " + to.String()
			ch = c.chain(by+" "+text, part[0].where, Accept, "")
			top.jump(part[0].where, ch.Name, text, Match{{Field: DstAddr, Ranges: []Range{{AddrValue(from), AddrValue(to)}}}})
		}
		for _, t := range part {
			r := &Rule{
				ID: t.id, Name: t.name, Where: t.where, Text: t.text, Action: Translate,
				Match: Match{family4or6(t.public), {Field: DstAddr, Ranges: []Range{One(t.public)}}},
				To:    Translation{Words: t.words},
			}
			if t.private.IsValid() {
				r.To.Addrs = []Range{One(t.private)}
			}
			ch.Rules = append(ch.Rules, r)
		}
	}
	c.rs.Steps = append(c.rs.Steps, Step{Name: by, Kind: DNAT, Chain: top.Name})
}

// step adds a filter. Where a packet takes the way out to a public address and back, it is not asked: nothing is known of
// what it would see.
func (c *cloud) step(name, chain string, stateful bool, when ...Term) {
	if len(c.public) > 0 {
		var all []Range
		for _, t := range c.public {
			all = append(all, One(t.public))
		}
		when = append(when, Term{Field: AnyOf, Any: []Match{
			{{Field: OrigDst, Not: true, Ranges: Merge(all)}},
			{{Field: In, Not: true, Names: c.inside}, {Field: Phase, Bits: First | Later}},
			{{Field: Out, Not: true, Names: c.inside}, {Field: Phase, Bits: Answer | LaterAnswer}},
		}})
	}
	if len(c.shared) > 0 {
		when = append(when, Term{Field: DstAddr, Not: true, Ranges: c.shared}, Term{Field: SrcAddr, Not: true, Ranges: c.shared})
	}
	c.rs.Steps = append(c.rs.Steps, Step{Name: name, Chain: chain, Stateful: stateful, When: when})
}

// from is the condition of egress steps: the packet is one of ours. Where it is not known which addresses are, it is one
// if it comes from inside.
func (c *cloud) from(ours []Range, whole bool) []Term {
	known := Match{{Field: SrcAddr, Ranges: ours}}
	if whole {
		return []Term{notFrom(), known[0]}
	}
	return []Term{notFrom(), {Field: AnyOf, Any: []Match{known, {{Field: In, Names: c.inside}}}}}
}

// notFrom is for packets that do not come from the internet.
func notFrom() Term { return Term{Field: In, Not: true, Names: []string{internet}} }

func family4or6(a netip.Addr) Term {
	if a.Unmap().Is4() {
		return family4()
	}
	return family6()
}

func family4() Term { return Term{Field: Family, Ranges: []Range{Single(Number(4))}} }
func family6() Term { return Term{Field: Family, Ranges: []Range{Single(Number(6))}} }

// addresses are alternatives for a field: one for each family, and one for what is not understood.
func addresses(field Field, texts []string) (out []Match) {
	var v4, v6 []Range
	for _, t := range texts {
		r, err := ParseAddrs(t)
		switch {
		case err != nil:
			out = append(out, Match{{Field: field, Word: first(word(t), "an address that is not given")}})
		case family(r) == AllIPv4():
			v4 = append(v4, r)
		default:
			v6 = append(v6, r)
		}
	}
	if len(v6) > 0 {
		out = append([]Match{{family6(), {Field: field, Ranges: Merge(v6)}}}, out...)
	}
	if len(v4) > 0 {
		out = append([]Match{{family4(), {Field: field, Ranges: Merge(v4)}}}, out...)
	}
	return out
}

// either is the terms of a match where one of several holds.
func either(alternatives []Match) []Term {
	switch len(alternatives) {
	case 1:
		return alternatives[0]
	case 0: // nothing is matched
		return []Term{{Field: SrcAddr}}
	}
	return []Term{{Field: AnyOf, Any: alternatives}}
}

// word is what a file says, as a word for a reader.
func word(s string) string { return clean(strings.Map(printable, s), 100) }

// lastName is the last name of a path, for a reader.
func lastName(path string) string { return word(path[strings.LastIndexByte(path, '/')+1:]) }

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

// protocol is the term of a protocol by name or number. Of all protocols it is none.
func protocol(s string) []Term {
	numbers := map[string]uint16{"icmp": 1, "ipip": 94, "tcp": 6, "udp": 17, "esp": 50, "ah": 51, "icmpv6": 58, "sctp": 132}
	s = strings.ToLower(s)
	if s == "-1" || s == "*" || s == "all" || s == "any" {
		return nil
	}
	n, ok := numbers[s]
	if !ok {
		i, err := strconv.ParseUint(s, 10, 8)
		if err != nil {
			return []Term{{Field: Unmodelled, Word: word("protocol " + s)}}
		}
		n = uint16(i)
	}
	return []Term{{Field: Proto, Ranges: []Range{Single(Number(n))}}}
}

// cloudPorts reads 25, 25-587 and *.
func cloudPorts(s string) (Range, bool) {
	if s == "*" || strings.EqualFold(s, "any") {
		return Ports(0, 65535), true
	}
	a, b, dash := strings.Cut(s, "-")
	if !dash {
		b = a
	}
	low, err := strconv.ParseUint(strings.TrimSpace(a), 10, 16)
	high, err2 := strconv.ParseUint(strings.TrimSpace(b), 10, 16)
	return Ports(uint16(low), uint16(high)), err == nil && err2 == nil && low <= high
}

// portTerms are the terms of a list of ports; none, if it holds all.
func portTerms(field Field, list []string) []Term {
	var ranges []Range
	bad := ""
	for _, s := range list {
		if r, ok := cloudPorts(s); ok {
			ranges = append(ranges, r)
		} else {
			bad = word("port " + s)
		}
	}
	if ranges = Merge(ranges); len(ranges) == 1 && ranges[0] == Ports(0, 65535) {
		return nil
	}
	return []Term{{Field: field, Ranges: ranges, Word: bad}}
}

// What follows reads terms back, to write an edit.

// term is the first term of a field in a match, or in the alternatives that it holds.
func (m Match) term(f Field) *Term {
	for i := range m {
		if m[i].Field == f {
			return &m[i]
		}
	}
	return nil
}

func cidrTexts(list []netip.Prefix) (out []string) {
	for _, p := range list {
		out = append(out, p.String())
	}
	return out
}

func host(a netip.Addr) string { return netip.PrefixFrom(a, a.BitLen()).String() }

var plainWord = regexp.MustCompile(`^[\pL\pN_][\pL\pN_.:/@-]*$`)

// shell writes a name for a shell. A name that no cloud would give is refused: it could be read as something else.
func shell(names ...string) (ok bool) {
	for _, s := range names {
		if !plainWord.MatchString(s) {
			return false
		}
	}
	return true
}

// between finds a free number between two that are taken, as near to the second as can be.
func between(low, high int) (int, bool) { return high - 1, high-1 > low }

// title writes a name in quotes, if there is one.
func title(s string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf(" %q", s)
}

// byNumber sorts rules, and keeps the order of equals.
func byNumber[T any](list []T, number func(T) int) {
	slices.SortStableFunc(list, func(a, b T) int { return cmp.Compare(number(a), number(b)) })
}

func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
