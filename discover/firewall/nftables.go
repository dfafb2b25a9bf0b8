package firewall

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math/bits"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// nftables reads what nft -j list ruleset prints (libnftables-json(5)). What an expression does is in nft(8).
//
// Base chains are steps: those of one hook by priority. An accept ends its base chain alone, a drop is final. Chains of
// type nat hang at one place of their hook, whatever their priority says; that orders them among themselves.
var nftables = language{
	name:   "nftables",
	export: nftExport,
	is:     func(start []byte) bool { return nftJSON.Match(start) || nftPlain.Match(start) },
	read:   readNft,
	edit:   editNft,
}

const nftExport = "nft -j list ruleset"

var (
	nftJSON  = regexp.MustCompile(`^\s*\{\s*"nftables"\s*:`)
	nftPlain = regexp.MustCompile(`(?m)^[ \t]*(?:add[ \t]+)?table[ \t]+(?:ip|ip6|inet|arp|bridge|netdev)[ \t]+\S+[ \t]*\{`)
)

// Priorities at which the kernel translates (netfilter_ipv4.h).
const (
	nftDestination = -100
	nftSource      = 100
	nftTracking    = -200 // and tracks connections
)

// nft is a ruleset while it is read.
type nft struct {
	rs       *Ruleset
	tables   map[string]*nftTable
	order    []*nftTable
	rules    []nftRule
	counters map[string]*nftCounter
	filled   map[string]bool // sets that rules add to: what is in them changes with each packet
	named    map[string]int  // how many tables have a set of a name
	emptied  map[string]bool // sets that rules take from
	// What rules of the whole set do, and what other rules then cannot know.
	notrack, snat, dnat bool
	follows             map[string]bool // families, ip and ip6, whose connections are tracked: some rule asks for it
	extra               int             // rules that came of maps, beyond one for each line
	holes               int             // ranges that masks made
	elements            int             // of sets and maps with a name
	work                int             // elements of sets that were read, again for each way to look at them
	tracked             nftTracked
}

// nftTracked is what a chain knows of connections.
type nftTracked uint8

const (
	nftKnown   nftTracked = iota
	nftBefore             // it is asked before connections are tracked: their state is invalid, and nothing else matches
	nftPerhaps            // at the very priority of connection tracking: who is first depends on who was made first
)

// name is what the chains that others jump to are called in the model: those that are reached before connections are
// tracked are there a second time.
func (t nftTracked) name(chain string) string {
	return chain + [...]string{"", " (before tracking)", " (at tracking)"}[t]
}

type nftTable struct {
	key    string // "inet filter"
	family string
	off    string // why its chains do nothing, or may do nothing: dormant
	dead   bool
	where  Place
	sets   map[string]*nftSet
	bases  []nftBase
	chains int
}

type nftBase struct {
	chain      *Chain
	typ, hook  string
	prio, born int
	devices    []string
}

// nftSet is a set or a map.
type nftSet struct {
	name   string
	elem   []any
	ranges map[string]nftValues    // by the key that asks
	groups map[string][]nftElement // of maps
	terms  map[string]Term         // of concatenations
	// limited: an element, or each, has a limit of its own, so that a packet may be in the set or not.
	limited bool
	masked  bool // some rule looks at it through a mask
}

type nftCounter struct {
	Counter
	users int
}

type nftRule struct {
	table *nftTable
	chain *Chain
	where Place
	raw   json.RawMessage
}

func readNft(rs *Ruleset, files []Export) error {
	rs.members = make(map[string]map[Range]member)
	n := &nft{rs: rs, follows: make(map[string]bool), tables: make(map[string]*nftTable), counters: make(map[string]*nftCounter), filled: make(map[string]bool), emptied: make(map[string]bool), named: make(map[string]int)}
	for i := range files {
		if err := n.file(&files[i]); err != nil {
			return err
		}
	}
	for i := range n.rules {
		n.effects(&n.rules[i])
	}
	for _, t := range n.order {
		for _, s := range t.sets {
			s.limited = s.limited || slices.ContainsFunc(s.elem, nftLimited)
		}
	}
	n.chains()
	n.steps()
	return nil
}

// file reads the objects of one file. Rules wait until all sets are known.
func (n *nft) file(f *Export) error {
	if !nftJSON.Match(f.Data[:min(len(f.Data), sniff)]) {
		return fmt.Errorf("%s:1: is a ruleset in nft's own language; export it as JSON: %s", f.Name, nftExport)
	}
	d := json.NewDecoder(bytes.NewReader(f.Data))
	at := lines{data: f.Data}
	broken := func(err error) error {
		start := int(d.InputOffset())
		start += len(f.Data[start:]) - len(bytes.TrimLeft(f.Data[start:], ", \t\n"))
		line := at.of(start)
		return fmt.Errorf("%s:%d: the export is cut or damaged (%v), and rules that are missing change every answer; export again: %s", f.Name, line, err, nftExport)
	}
	for _, want := range []json.Token{json.Delim('{'), "nftables", json.Delim('[')} {
		if got, err := d.Token(); err != nil {
			return broken(err)
		} else if got != want {
			return fmt.Errorf("%s:%d: has %v where %v belongs; export again: %s", f.Name, at.of(int(d.InputOffset())), got, want, nftExport)
		}
	}
	known := 0
	for d.More() {
		start := int(d.InputOffset())
		start += len(f.Data[start:]) - len(bytes.TrimLeft(f.Data[start:], ", \t\n"))
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return broken(err)
		}
		where := Place{File: f.Name, Line: at.of(start)}
		if end := at.of(start + len(raw)); end > where.Line {
			where.End = end
		}
		ok, err := n.object(f, where, raw)
		if err != nil {
			return err
		}
		if ok {
			known++
		}
	}
	for range 2 { // ] }
		if _, err := d.Token(); err != nil {
			return broken(err)
		}
	}
	if d.More() {
		n.rs.note(Place{File: f.Name, Line: at.of(int(d.InputOffset()))}, "what stands behind the ruleset is not read")
	}
	if known == 0 {
		return fmt.Errorf("%s:1: names no table: either nothing filters, or the command was not run as root; export again: %s", f.Name, nftExport)
	}
	return nil
}

// object reads one entry of the list. It reports whether it says something of a ruleset.
func (n *nft) object(f *Export, where Place, raw json.RawMessage) (bool, error) {
	var one map[string]json.RawMessage
	if json.Unmarshal(raw, &one) != nil || len(one) != 1 {
		n.rs.note(where, "an entry of the list is no object: rules may be missing")
		return false, nil
	}
	for kind, raw := range one {
		if kind == "add" {
			return n.object(f, where, raw)
		}
		if kind == "metainfo" {
			return false, nil
		}
		var o struct {
			Family, Table, Name, Type, Hook, Policy string
			Dev, Devs, Flags, Elem                  any
		}
		var loose map[string]any
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if kind == "rule" { // the rest is read later
			var r struct{ Family, Table, Chain string }
			if json.Unmarshal(raw, &r) != nil || n.table(r.Family, r.Table) == nil {
				n.rs.note(where, "a rule of no table that is known")
				return false, nil
			}
			t := n.table(r.Family, r.Table)
			c := n.rs.Chains[t.key+" "+r.Chain]
			if c == nil {
				n.rs.note(where, "a rule of no chain that is known: %s %s", t.key, r.Chain)
				return false, nil
			}
			n.rules = append(n.rules, nftRule{t, c, where, raw})
			return true, nil
		}
		if d.Decode(&loose) != nil {
			n.rs.note(where, "%s is not understood", nftQuoted(kind))
			return false, nil
		}
		text := func(key string) string { s, _ := loose[key].(string); return s }
		o.Family, o.Table, o.Name, o.Type, o.Hook, o.Policy = text("family"), text("table"), text("name"), text("type"), text("hook"), text("policy")
		o.Dev, o.Devs, o.Flags, o.Elem = loose["dev"], loose["devs"], loose["flags"], loose["elem"]
		if kind == "table" {
			return true, n.addTable(f, where, o.Family, o.Name, o.Flags)
		}
		t := n.table(o.Family, o.Table)
		if t == nil {
			n.rs.note(where, "%s %q belongs to no table that is known", nftQuoted(kind), o.Name)
			return false, nil
		}
		switch kind {
		case "chain":
			c := &Chain{Name: t.key + " " + o.Name, Where: where}
			if n.rs.Chains[c.Name] != nil {
				return false, fmt.Errorf("%s:%d: chain %q is there twice: name each export once", f.Name, where.Line, c.Name)
			}
			n.rs.Chains[c.Name] = c
			t.chains++
			if o.Hook == "" {
				return true, nil
			}
			prio, ok := nftInt(loose["prio"])
			if !ok {
				n.rs.note(where, "chain %s: its priority is not a number; taken as 0", c.Name)
			}
			c.Policy = Accept
			c.PolicyText = "policy " + cmp.Or(o.Policy, "accept")
			if o.Policy == "drop" {
				c.Policy = Drop
			} else if o.Policy != "" && o.Policy != "accept" {
				c.Policy = Uncertain
				n.rs.note(where, "chain %s: policy %q is not known", c.Name, o.Policy)
			}
			t.bases = append(t.bases, nftBase{c, o.Type, o.Hook, prio, len(n.rs.Chains), append(nftStrings(o.Dev), nftStrings(o.Devs)...)})
		case "set", "map":
			t.sets[o.Name] = &nftSet{name: o.Name, elem: nftList(o.Elem), limited: slices.ContainsFunc(nftList(loose["stmt"]), nftLimit)}
			n.elements += len(nftList(o.Elem))
			n.named[o.Name]++
		case "element":
			if s := t.sets[o.Name]; s != nil {
				s.elem = append(s.elem, nftList(o.Elem)...)
			}
		case "counter":
			packets, _ := nftInt(loose["packets"])
			size, _ := nftInt(loose["bytes"])
			n.counters[t.key+" "+o.Name] = &nftCounter{Counter: Counter{Packets: uint64(packets), Bytes: uint64(size)}}
		case "quota", "limit", "ct helper", "ct timeout", "ct expectation", "flowtable", "secmark", "synproxy", "meter":
		default:
			n.rs.note(where, "%s is not modelled", nftQuoted(kind))
		}
		return true, nil
	}
	return false, nil
}

func nftQuoted(kind string) string {
	if len(kind) > 40 {
		kind = kind[:40] + "…"
	}
	return strconv.Quote(kind)
}

func (n *nft) table(family, name string) *nftTable { return n.tables[family+" "+name] }

func (n *nft) addTable(f *Export, where Place, family, name string, flags any) error {
	key := family + " " + name
	if t := n.tables[key]; t != nil {
		return fmt.Errorf("%s:%d: table %q is there twice (%s): name each export once", f.Name, where.Line, key, t.where.File)
	}
	t := &nftTable{key: key, family: family, where: where, sets: make(map[string]*nftSet)}
	n.tables[key] = t
	n.order = append(n.order, t)
	for _, flag := range nftStrings(flags) {
		switch flag {
		case "dormant":
			t.off, t.dead = "table "+key+" is dormant", true
			n.rs.note(where, "table %s is dormant: its rules do nothing", key)
		case "owner", "persist":
		default: // nft 1.0.6 and others print any text here
			if !t.dead {
				t.off = "whether table " + key + " is dormant"
				n.rs.note(where, "table %s has flags that this version of nft prints wrong (%q): it may be dormant; nft list ruleset tells", key, flag)
			}
		}
	}
	return nil
}

// tracks says what a base chain knows of connections.
func (b *nftBase) tracks() nftTracked {
	switch {
	case b.hook == "ingress", (b.hook == "prerouting" || b.hook == "output") && b.typ != "nat" && b.prio < nftTracking:
		return nftBefore
	case (b.hook == "prerouting" || b.hook == "output") && b.typ != "nat" && b.prio == nftTracking:
		return nftPerhaps
	}
	return nftKnown
}

// chains reads the rules of all chains.
func (n *nft) chains() {
	of := make(map[*Chain][]*nftRule)
	for i := range n.rules {
		of[n.rules[i].chain] = append(of[n.rules[i].chain], &n.rules[i])
	}
	based := make(map[*Chain]nftTracked)
	for _, t := range n.order {
		for i := range t.bases {
			based[t.bases[i].chain] = t.bases[i].tracks()
		}
	}
	var asks func(c *Chain, seen map[*Chain]bool) bool // whether a chain, or one behind it, asks about the connection
	asks = func(c *Chain, seen map[*Chain]bool) bool {
		if c == nil || seen[c] {
			return false
		}
		seen[c] = true
		return slices.ContainsFunc(of[c], func(r *nftRule) bool { return bytes.Contains(r.raw, []byte(`"ct"`)) }) ||
			slices.ContainsFunc(c.Rules, func(r *Rule) bool { return asks(n.rs.Chains[r.Chain], seen) })
	}
	var wait []*Chain // those that are there a second time
	second := func(c *Chain) {
		for _, r := range c.Rules {
			if n.tracked == nftKnown || n.rs.Chains[r.Chain] == nil || n.rs.Chains[n.tracked.name(r.Chain)] != nil || !asks(n.rs.Chains[r.Chain], make(map[*Chain]bool)) {
				continue
			}
			again := *n.rs.Chains[r.Chain]
			again.Rules = nil
			n.rs.Chains[n.tracked.name(r.Chain)] = &again
			of[&again] = of[n.rs.Chains[r.Chain]]
			wait = append(wait, &again)
		}
		for _, r := range c.Rules {
			if name := n.tracked.name(r.Chain); r.Chain != "" && n.rs.Chains[name] != nil {
				r.Chain = name
			}
		}
	}
	for _, tracked := range []nftTracked{nftKnown, nftBefore, nftPerhaps} {
		n.tracked = tracked
		for i := range n.rules {
			if r := &n.rules[i]; based[r.chain] == tracked {
				n.rule(r, r.chain)
			}
		}
		for c, t := range based {
			if t == tracked {
				second(c)
			}
		}
		for len(wait) > 0 {
			c := wait[0]
			wait = wait[1:]
			for _, r := range of[c] {
				n.rule(r, c)
			}
			second(c)
		}
	}
}

// steps puts the base chains in the order in which the kernel asks them.
func (n *nft) steps() {
	type hooked struct {
		Step
		hook, prio, own, born int
	}
	var all []hooked
	nat := false
	for ti, t := range n.order {
		for _, b := range t.bases {
			h := hooked{Step: Step{Name: b.chain.Name, Chain: b.chain.Name}, prio: b.prio, own: b.prio, born: ti<<32 + b.born}
			switch t.family {
			case "ip":
				h.When = Match{{Field: Family, Ranges: []Range{Single(Number(4))}}}
			case "ip6":
				h.When = Match{{Field: Family, Ranges: []Range{Single(Number(6))}}}
			case "inet", "netdev":
			default:
				if n.drops(b.chain) {
					n.rs.note(b.chain.Where, "chain %s can drop frames, and is not modelled", b.chain.Name)
				}
				continue
			}
			if t.dead {
				continue
			}
			if t.off != "" {
				h.When = append(h.When, Term{Field: Unmodelled, Word: t.off})
			}
			switch b.hook {
			case "ingress", "egress":
				h.Hook, h.hook = Prerouting, -1
				side := In
				if b.hook == "egress" {
					h.Hook, h.hook, side = Postrouting, 6, Out
				}
				if len(b.devices) > 0 {
					h.When = append(h.When, Term{Field: side, Names: b.devices})
				} else {
					h.When = append(h.When, Term{Field: Unmodelled, Word: "the device of chain " + b.chain.Name})
				}
			case "prerouting":
				h.Hook = Prerouting
			case "input":
				h.Hook, h.hook = Input, 1
			case "forward":
				h.Hook, h.hook = Forward, 2
			case "output":
				h.Hook, h.hook = Output, 3
			case "postrouting":
				h.Hook, h.hook = Postrouting, 4
			default:
				n.rs.note(b.chain.Where, "chain %s: hook %q is not known", b.chain.Name, b.hook)
				continue
			}
			if b.typ == "nat" {
				// Connections that nobody tracks do not come here.
				switch {
				case t.family != "inet" && !n.follows[t.family], !n.follows["ip"] && !n.follows["ip6"]:
					continue
				case !n.follows["ip6"]:
					h.When = append(nftFamilyIs(4), h.When...)
				case !n.follows["ip"]:
					h.When = append(nftFamilyIs(6), h.When...)
				}
				switch b.hook {
				case "prerouting":
					h.Kind, h.prio = DNAT, nftDestination
				case "input", "postrouting":
					h.Kind, h.prio = SNAT, nftSource
				default: // output: what the device itself begins
					continue
				}
				nat = true
			}
			all = append(all, h)
		}
	}
	// Answers are translated back where the kernel does it, even if no rules stand there.
	has := func(k Kind, h Hook) bool {
		return slices.ContainsFunc(all, func(o hooked) bool { return o.Kind == k && o.Hook == h })
	}
	back := func(k Kind, h Hook, hook, prio int) {
		const name = "translated back"
		if !has(k, h) {
			all = append(all, hooked{Step: Step{Name: name, Kind: k, Hook: h, Chain: name}, hook: hook, prio: prio})
			n.rs.Chains[name] = &Chain{Name: name, Where: n.order[0].where, Policy: Accept, PolicyText: "no rule translates here"}
		}
	}
	if nat {
		back(DNAT, Prerouting, 0, nftDestination)
		back(SNAT, Postrouting, 4, nftSource)
	}
	if has(SNAT, Input) {
		back(SNAT, Output, 3, nftDestination)
	}
	slices.SortStableFunc(all, func(a, b hooked) int {
		kind := func(k Kind) int { return min(int(k), 1) }
		// At one priority the chain that was made last is asked first; so the kernel keeps its list.
		return cmp.Or(cmp.Compare(a.hook, b.hook), cmp.Compare(a.prio, b.prio), cmp.Compare(kind(a.Kind), kind(b.Kind)),
			cmp.Compare(a.own, b.own), cmp.Compare(b.born, a.born))
	})
	for _, h := range all {
		n.rs.Steps = append(n.rs.Steps, h.Step)
	}
}

// drops reports whether a chain, or one that it leads to, can lose a packet.
func (n *nft) drops(c *Chain) bool {
	seen := map[*Chain]bool{c: true}
	for wait := []*Chain{c}; len(wait) > 0; wait = wait[1:] {
		if wait[0].Policy == Drop {
			return true
		}
		for _, r := range wait[0].Rules {
			switch r.Action {
			case Drop, Reject, Uncertain:
				return true
			case Jump, Goto:
				if to := n.rs.Chains[r.Chain]; to != nil && !seen[to] {
					seen[to] = true
					wait = append(wait, to)
				}
			}
		}
	}
	return false
}

// decoded is a rule's body.
type nftBody struct {
	Handle  json.Number `json:"handle"`
	Comment string      `json:"comment"`
	Expr    []any       `json:"expr"`
}

const (
	nftDepth = 32      // expressions in expressions
	nftExtra = 1 << 16 // rules that may come of maps, beside two for each element
	nftWork  = 1 << 26 // elements that are read: sets can be asked in many ways
	nftHoles = 1 << 19 // ranges that masks may make of sets
)

func (r *nftRule) body() (b nftBody, err error) {
	d := json.NewDecoder(bytes.NewReader(r.raw))
	d.UseNumber()
	if err = d.Decode(&b); err == nil && nftDeep(b.Expr, nftDepth) {
		err = fmt.Errorf("expressions in expressions, more than %d deep", nftDepth)
	}
	return b, err
}

func nftDeep(v any, left int) bool {
	if left == 0 {
		return true
	}
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return nftDeep(e, left-1) })
	case map[string]any:
		for _, e := range v {
			if nftDeep(e, left-1) {
				return true
			}
		}
	}
	return false
}

// effects notes what a rule does that others depend on.
func (n *nft) effects(r *nftRule) {
	b, err := r.body()
	if err != nil {
		return
	}
	for _, s := range b.Expr {
		kind, v := nftOnly(s)
		o, _ := v.(map[string]any)
		family, _ := o["family"].(string)
		switch kind {
		case "dnat", "snat", "redirect", "masquerade", "ct count", "ct helper", "synproxy":
			n.follow(cmp.Or(family, r.table.family))
		default:
			if bytes.Contains(r.raw, []byte(`"ct"`)) {
				n.follow(r.table.family)
			}
		}
		switch kind {
		case "notrack":
			n.notrack = n.notrack || n.tcp(r.table, b.Expr)
		case "dnat", "redirect":
			n.dnat = true
		case "snat", "masquerade":
			n.snat = true
		case "counter":
			if name, ok := v.(string); ok && n.counters[r.table.key+" "+name] != nil {
				n.counters[r.table.key+" "+name].users++
			}
		case "set", "map":
			if m, ok := v.(map[string]any); ok {
				name, _ := m["set"].(string)
				if name == "" {
					name, _ = m["map"].(string)
				}
				key := r.table.key + " " + strings.TrimPrefix(name, "@")
				n.filled[key] = true
				if m["op"] == "delete" {
					n.emptied[key] = true
				}
			}
		}
	}
}

func (n *nft) follow(family string) {
	for _, f := range []string{"ip", "ip6"} {
		n.follows[f] = n.follows[f] || family == f || family == "inet"
	}
}

// tcp reports whether a line can be about TCP.
func (n *nft) tcp(t *nftTable, expr []any) bool {
	for _, s := range expr {
		kind, v := nftOnly(s)
		o, _ := v.(map[string]any)
		if name, _ := o["right"].(string); kind != "match" || strings.HasPrefix(name, "@") {
			continue
		}
		for _, m := range n.match(t, v) {
			if m.Field == Proto && !m.Not && m.Word == "" && place(m.Ranges, Single(Number(6))) == no {
				return false
			}
		}
	}
	return true
}

// rule turns a line into rules: one, or one for each verdict and target of its maps.
func (n *nft) rule(raw *nftRule, into *Chain) {
	b, err := raw.body()
	base := Rule{Where: raw.where, Comment: b.Comment, Disabled: raw.table.dead, ID: into.Name}
	if b.Handle != "" {
		base.ID += " handle " + b.Handle.String()
	} else {
		base.ID += " rule " + strconv.Itoa(len(into.Rules)+1)
	}
	if err != nil || b.Expr == nil {
		n.rs.note(raw.where, "%s is not understood", base.ID)
		base.Match, base.Action = Match{{Field: Unmodelled, Word: base.ID + " is not understood"}}, Uncertain
		base.Words = []string{base.ID + " is not understood"}
		into.Rules = append(into.Rules, &base)
		return
	}
	w := nftWriter{}
	w.rule(b)
	base.Text = w.String()
	base.Counter = n.counter(raw.table, b.Expr)
	x := expansion{n: n, raw: raw, base: base}
	x.statements(b.Expr, nil)
	into.Rules = append(into.Rules, x.rules...)
	n.extra += len(x.rules) - 1
}

// counter is a line's counter, if it counts what the whole line matches: it stands behind all conditions, and no map gives
// the line several ends.
func (n *nft) counter(t *nftTable, expr []any) *Counter {
	var c *Counter
	sided := t.family != "inet" // the line is of one family
	for _, s := range expr {
		kind, v := nftOnly(s)
		if o, ok := v.(map[string]any); ok && kind == "match" && !sided {
			k := n.key(t, o["left"])
			sided = k.field == Family || slices.ContainsFunc(k.deps, func(d Term) bool { return d.Field == Family })
		}
		switch kind {
		case "vmap":
			return nil
		case "match", "limit", "quota", "ct count", "meter", "xt", "set", "map", "mangle":
			c = nil
		case "dnat", "snat", "redirect", "masquerade":
			o, _ := v.(map[string]any)
			if o["family"] != nil && !sided { // packets of the other family are counted too
				c = nil
			}
			for _, part := range []string{"addr", "port"} {
				if lookup, _ := nftOnly(o[part]); lookup == "map" {
					c = nil
				}
			}
		case "counter":
			switch v := v.(type) {
			case map[string]any:
				packets, ok := nftInt(v["packets"])
				size, _ := nftInt(v["bytes"])
				if ok {
					c = &Counter{Packets: uint64(packets), Bytes: uint64(size)}
				}
			case string:
				if named := n.counters[t.key+" "+v]; named != nil && named.users == 1 {
					c = &named.Counter
				}
			}
		}
	}
	return c
}

// expansion makes the rules of one line.
type expansion struct {
	n     *nft
	raw   *nftRule
	base  Rule
	rules []*Rule
}

func (x *expansion) add(m Match, set func(*Rule)) {
	r := x.base
	r.Match = slices.Clone(m)
	set(&r)
	x.rules = append(x.rules, &r)
}

func (x *expansion) uncertain(m Match, word string) {
	x.add(m, func(r *Rule) { r.Action, r.Words = Uncertain, []string{word} })
}

// statements goes through what is left of a line, behind conditions that are in m.
func (x *expansion) statements(expr []any, m Match) {
	n, t := x.n, x.raw.table
	for i, s := range expr {
		kind, v := nftOnly(s)
		text := func() string { return nftShort(nftText(s)) }
		switch kind {
		case "match":
			m = append(slices.Clip(m), n.match(t, v)...)
		case "accept":
			x.add(m, func(r *Rule) { r.Action = Accept })
			return
		case "drop":
			x.add(m, func(r *Rule) { r.Action = Drop })
			return
		case "return":
			x.add(m, func(r *Rule) { r.Action = Return })
			return
		case "continue":
		case "jump", "goto":
			x.verdict(s, m)
			return
		case "reject":
			x.add(append(slices.Clip(m), nftRefusal(v)...), func(r *Rule) { r.Action = Reject })
			return
		case "vmap":
			x.vmap(expr[i+1:], v, m)
			return
		case "dnat", "snat", "redirect", "masquerade":
			x.translate(kind, v, m)
			return
		case "limit", "quota", "ct count", "meter":
			m = append(slices.Clip(m), Term{Field: Unmodelled, Word: text()})
			n.object2(t, v, &m)
		case "set":
			if o, ok := v.(map[string]any); ok && slices.ContainsFunc(nftList(o["stmt"]), func(s any) bool {
				return nftLimit(s)
			}) {
				m = append(slices.Clip(m), Term{Field: Unmodelled, Word: text()})
			}
			o, _ := v.(map[string]any)
			m = append(slices.Clip(m), n.loads(t, o["elem"])...)
			m = append(slices.Clip(m), n.loads(t, o["data"])...)
		case "counter", "ct helper", "ct timeout", "ct expectation", "secmark":
			n.object2(t, v, &m)
		case "mangle":
			o, _ := v.(map[string]any)
			m = append(slices.Clip(m), n.loads(t, o["key"])...)
			m = append(slices.Clip(m), n.loads(t, o["value"])...)
			n.object2(t, o["value"], &m)
			if what, _ := nftOnly(o["key"]); what == "payload" && !nftHarmless(o["key"]) {
				x.uncertain(m, text())
				return
			}
		case "map": // add @m { ip saddr : tcp dport }
			o, _ := v.(map[string]any)
			m = append(slices.Clip(m), n.loads(t, o["elem"])...)
			m = append(slices.Clip(m), n.loads(t, o["data"])...)
		case "log", "notrack", "dup", "flow", "last", "comment", "reset", "flow add":
		case "queue", "tproxy", "synproxy", "fwd":
			x.uncertain(m, text())
			return
		case "xt":
			name, target := nftXt(v, i == len(expr)-1)
			switch {
			case slices.Contains(nftXtGoesOn, name):
			case target:
				x.uncertain(m, "xt target "+name)
				return
			default:
				m = append(slices.Clip(m), Term{Field: Unmodelled, Word: strings.TrimSpace("xt match " + name)})
			}
		default:
			x.uncertain(append(slices.Clip(m), Term{Field: Unmodelled, Word: text()}), text())
			return
		}
	}
	x.add(m, func(r *Rule) { r.Action = Continue })
}

// loads are the conditions that nft adds to a line whose statement reads or writes a field: "add @s { ip saddr }" is of
// IPv4. The export does not show them.
func (n *nft) loads(t *nftTable, v any) Match {
	v = nftBare(v)
	switch kind, _ := nftOnly(v); kind {
	case "payload", "concat", "ct", "&":
		return n.key(t, v).deps
	}
	return nil
}

// nftLimit reports whether a statement lets a packet through or not by what came before.
func nftLimit(s any) bool {
	kind, _ := nftOnly(s)
	return kind == "limit" || kind == "quota" || kind == "ct count"
}

// nftLimited reports whether an element, or the key of one of a map, has a limit.
func nftLimited(e any) bool {
	if pair := nftList(e); len(pair) == 2 {
		e = pair[0]
	}
	kind, arg := nftOnly(e)
	o, _ := arg.(map[string]any)
	return kind == "elem" && (o["limit"] != nil || o["quota"] != nil || o["ct count"] != nil)
}

// unsure tells why nobody knows what is in a set.
func (n *nft) unsure(t *nftTable, s *nftSet) string {
	switch {
	case s.limited:
		return " (elements with a limit)"
	case n.emptied[t.key+" "+s.name]:
		return " (emptied by rules)"
	}
	return ""
}

// object2 adds the condition of an object that is looked up in a map: where nothing is found, the line ends.
func (n *nft) object2(t *nftTable, v any, m *Match) {
	if o, ok := v.(map[string]any); ok {
		if lookup, ok := o["map"].(map[string]any); ok {
			key := n.key(t, lookup["key"])
			var any []Match
			for _, e := range n.lookup(t, key, lookup["data"]) {
				any = append(any, e.match)
			}
			*m = append(slices.Clip(*m), append(slices.Clone(key.deps), Term{Field: AnyOf, Any: any})...)
		}
	}
}

// nftHarmless reports whether a field of a header may be set without that other rules see another connection.
func nftHarmless(key any) bool {
	_, v := nftOnly(key)
	o, _ := v.(map[string]any)
	return slices.Contains([]any{"dscp", "ecn", "ttl", "hoplimit", "flowlabel", "id", "checksum", "window"}, o["field"])
}

// nftXtGoesOn are extensions of iptables that neither match nor decide.
var nftXtGoesOn = []string{"comment", "LOG", "NFLOG", "MARK", "CONNMARK", "TCPMSS", "CLASSIFY", "TRACE", "DSCP", "TOS", "CHECKSUM"}

// nftXt is the name of an extension of iptables, and whether it decides. Old versions of nft print neither: then one that
// stands last is taken for a target.
func nftXt(v any, last bool) (name string, target bool) {
	o, _ := v.(map[string]any)
	name, _ = o["name"].(string)
	if typ, ok := o["type"].(string); ok {
		return name, typ == "target"
	}
	return cmp.Or(name, "that nft does not show (iptables-save does)"), last
}

// nftRefusal is what nft adds to a line for its kind of refusal.
func nftRefusal(v any) Match {
	o, _ := v.(map[string]any)
	switch o["type"] {
	case "tcp reset":
		return nftProtoIs(6)
	case "icmp":
		return nftFamilyIs(4)
	case "icmpv6":
		return nftFamilyIs(6)
	}
	return nil
}

func nftProtoIs(n uint16) Match { return Match{{Field: Proto, Ranges: []Range{Single(Number(n))}}} }
func nftFamilyIs(n uint16) Match {
	return Match{{Field: Family, Ranges: []Range{Single(Number(n))}}}
}

// verdict adds a rule for a verdict, and reports whether it is one that lets the line go on.
func (x *expansion) verdict(v any, m Match) (goesOn bool) {
	kind, arg := nftOnly(v)
	actions := map[string]Action{"accept": Accept, "drop": Drop, "return": Return, "jump": Jump, "goto": Goto}
	action, ok := actions[kind]
	switch {
	case kind == "continue":
		return true
	case !ok:
		x.uncertain(m, nftShort(nftText(v)))
		return false
	}
	x.add(m, func(r *Rule) {
		r.Action = action
		if o, ok := arg.(map[string]any); ok {
			target, _ := o["target"].(string)
			r.Chain = x.raw.table.key + " " + target
		}
	})
	return false
}

// vmap makes a rule of each verdict of a map. A packet that is not in the map goes on behind the line.
func (x *expansion) vmap(rest []any, v any, m Match) {
	o, _ := v.(map[string]any)
	if x.n.full(0) {
		x.uncertain(m, "more verdicts in maps than can be followed")
		return
	}
	key := x.n.key(x.raw.table, o["key"])
	m = append(slices.Clip(m), key.deps...)
	for _, e := range x.n.lookup(x.raw.table, key, o["data"]) {
		if x.n.full(len(x.rules)) {
			x.uncertain(m, "more verdicts in maps than can be followed")
			return
		}
		with := append(slices.Clip(m), e.match...)
		if x.verdict(e.value, with) {
			x.statements(rest, with)
		}
	}
	if len(x.rules) == 0 { // an empty map; the line stays in the list
		x.add(append(slices.Clip(m), nftNever), func(r *Rule) { r.Action = Continue })
	}
}

// nftNever is a condition that nothing meets.
var nftNever = Term{Field: AnyOf}

// translate makes the rules of a dnat, snat, redirect or masquerade: one for each target that maps give.
func (x *expansion) translate(kind string, v any, m Match) {
	n, t := x.n, x.raw.table
	o, _ := v.(map[string]any)
	if n.full(0) {
		x.uncertain(m, "more targets in maps than can be followed")
		return
	}
	switch o["family"] {
	case "ip":
		m = append(slices.Clip(m), nftFamilyIs(4)...)
	case "ip6":
		m = append(slices.Clip(m), nftFamilyIs(6)...)
	}
	own := SrcAddr
	if kind == "dnat" {
		own = DstAddr
	}
	flags := append(nftStrings(o["flags"]), nftStrings(o["type_flags"])...)
	netmap := slices.Contains(flags, "netmap") || slices.Contains(flags, "prefix")
	ways := []nftWay{{match: m}}
	if addr, ok := o["addr"]; ok {
		ways = n.targets(t, addr, ways, func(w *nftWay, v any) {
			if c := nftTuple(v); len(c) == 2 {
				w.to.Addrs, w.to.Words = n.target(nftAddr, c[0], w.to.Words)
				w.to.Ports, w.to.Words = n.target(nftPort, c[1], w.to.Words)
				return
			}
			w.to.Addrs, w.to.Words = n.target(nftAddr, v, w.to.Words)
			if netmap && len(w.to.Addrs) == 1 && w.from.First != w.from.Last && w.by == own {
				w.to.Map, w.to.From = true, []Range{w.from}
			}
		}, netmap)
	}
	if port, ok := o["port"]; ok {
		ways = n.targets(t, port, ways, func(w *nftWay, v any) { w.to.Ports, w.to.Words = n.target(nftPort, v, w.to.Words) }, false)
	}
	for _, w := range ways {
		if n.full(len(x.rules)) {
			x.uncertain(m, "more targets in maps than can be followed")
			return
		}
		if ports := w.to.Ports; len(ports) == 1 && ports[0].First != ports[0].Last && !slices.Contains(flags, "random") && !slices.Contains(flags, "fully-random") {
			// A port that lies in the range stays (nf_nat_core.c).
			w.to.Map, w.to.FromPorts = true, ports
		}
		if len(w.to.Ports) == 0 && (slices.Contains(flags, "random") || slices.Contains(flags, "fully-random")) {
			w.to.Ports = []Range{Ports(1, 65535)}
		}
		w.to.Interface = kind == "redirect" || kind == "masquerade"
		x.add(w.match, func(r *Rule) { r.Action, r.To = Translate, w.to })
	}
	if len(ways) == 0 {
		x.add(append(slices.Clip(m), nftNever), func(r *Rule) { r.Action = Continue })
	}
}

// nftWay is one outcome of a translation.
type nftWay struct {
	match Match
	to    Translation
	from  Range // what is looked up, where it is one range of By
	by    Field
}

// targets gives each way what an expression yields: a value, or those of a map.
func (n *nft) targets(t *nftTable, v any, ways []nftWay, set func(*nftWay, any), each bool) (out []nftWay) {
	kind, arg := nftOnly(v)
	if kind != "map" {
		for _, w := range ways {
			set(&w, v)
			out = append(out, w)
		}
		return out
	}
	o, _ := arg.(map[string]any)
	key := n.key(t, o["key"])
	elements := n.lookup(t, key, o["data"])
	if each {
		elements = n.each(t, key, o["data"])
	}
	for _, w := range ways {
		if key.chance > 0 { // one of them, nobody knows which
			var all Translation
			var covered []Range
			for _, e := range elements {
				one := w
				set(&one, e.value)
				all.Addrs, all.Ports, all.Words = append(all.Addrs, one.to.Addrs...), append(all.Ports, one.to.Ports...), append(all.Words, one.to.Words...)
				covered = append(covered, e.keys...)
			}
			if len(all.Addrs) > 0 {
				w.to.Addrs = Merge(all.Addrs)
			}
			if len(all.Ports) > 0 {
				w.to.Ports = Merge(all.Ports)
			}
			w.to.Words = all.Words
			if place(Merge(covered), Range{Value{0, key.offset}, Value{0, key.offset + key.chance - 1}}) != yes {
				w.match = append(slices.Clip(w.match), Term{Field: Unmodelled, Word: key.text})
			}
			if len(elements) > 0 {
				out = append(out, w)
			}
			continue
		}
		for _, e := range elements {
			if n.full(len(out)) {
				break
			}
			one := w
			one.match = append(slices.Clip(append(slices.Clip(w.match), key.deps...)), e.match...)
			if len(e.keys) == 1 {
				one.from, one.by = e.keys[0], key.field
			}
			set(&one, e.value)
			out = append(out, one)
		}
	}
	return out
}

// target reads what an address or port becomes.
func (n *nft) target(value func(any) (Range, bool), v any, words []string) ([]Range, []string) {
	if r, ok := value(v); ok {
		return []Range{r}, words
	}
	return nil, append(words, "to "+nftShort(nftText(v)))
}

// nftKey is the left side of a comparison: what of a packet is looked at.
type nftKey struct {
	kind   nftKind
	field  Field
	width  int
	value  func(any) (Range, bool)
	bits   *nftBits
	deps   Match // conditions that come with it: ip saddr is of IPv4
	mask   *Value
	parts  []nftKey // of a concatenation
	now    Range    // of a constant
	known  uint64   // its bits that are known
	chance uint64   // of a number by chance: how many there are, from offset
	offset uint64
	text   string // for words
	left   any    // as it was read
	id     string // the whole of it: what was looked up for a key is kept
	ct     bool   // it is about the connection
}

type nftKind uint8

const (
	nftUnknown  nftKind = iota
	nftNumber           // field, in ranges
	nftName             // interface
	nftState            // bits that are told by the place of a packet in its connection
	nftStatus           // ct status
	nftFib              // type of an address
	nftConstant         // the same in all TCP connections
	nftConcat
	nftEither // ct original and reply: depends on the packet's nftDirections
)

// key reads the left side of a comparison.
func (n *nft) key(t *nftTable, left any) (k nftKey) {
	k.text = nftShort(nftText(left))
	id, _ := json.Marshal(left)
	k.id, k.left = n.tracked.name(string(id)), left
	kind, v := nftOnly(left)
	o, _ := v.(map[string]any)
	name := func(key string) string { s, _ := o[key].(string); return s }
	number := func(f Field, width int, value func(any) (Range, bool), deps ...Match) {
		k.kind, k.field, k.width, k.value, k.deps = nftNumber, f, width, value, slices.Concat(deps...)
	}
	switch kind {
	case "payload":
		n.payload(t, &k, o, number)
	case "meta":
		switch key := name("key"); key {
		case "l4proto":
			number(Proto, 8, nftProto)
		case "nfproto":
			number(Family, 8, nftFamily)
		case "protocol":
			number(Family, 16, nftFamily)
		case "iifname", "iif":
			k.kind, k.field = nftName, In
		case "oifname", "oif":
			k.kind, k.field = nftName, Out
		case "pkttype":
			k.kind, k.now, k.known = nftConstant, Single(Number(0)), ^uint64(0)
			k.value = nftNamed(map[string]uint16{"host": 0, "unicast": 0, "broadcast": 1, "multicast": 2, "other": 3})
		}
	case "ct":
		k.ct = true
		n.conntrack(t, &k, o)
	case "fib":
		flags := nftStrings(o["flags"])
		if name("result") == "type" && len(flags) == 1 && (flags[0] == "daddr" || flags[0] == "saddr") {
			k.kind, k.field = nftFib, DstLocal
			if flags[0] == "saddr" {
				k.field = SrcLocal
			}
		}
	case "numgen", "jhash", "symhash":
		mod, ok := nftInt(o["mod"])
		offset, _ := nftInt(o["offset"])
		if ok && mod > 0 && offset >= 0 && mod < 1<<32 && offset < 1<<32 {
			k.value, k.chance, k.offset = nftAnyNumber, uint64(mod), uint64(offset)
		}
	case "concat":
		k.kind = nftConcat
		for _, e := range nftList(v) {
			part := n.key(t, e)
			k.parts = append(k.parts, part)
			k.deps = append(k.deps, part.deps...)
			k.ct = k.ct || part.ct
		}
	case "&":
		both := nftList(v)
		if len(both) != 2 {
			return k
		}
		inner := n.key(t, both[0])
		switch inner.kind {
		case nftNumber, nftConstant:
			if r, ok := inner.value(both[1]); ok && r.First == r.Last {
				mask := r.First
				if inner.field < SrcPort && inner.kind == nftNumber && inner.width == 32 { // a mask of IPv4: ::ffff:0:0 is not part of it
					mask = Value{0, mask.Lo & 0xffffffff}
				}
				inner.mask, inner.text, inner.id, inner.left = &mask, k.text, k.id, left
				return inner
			}
		case nftState, nftStatus:
			if b, ok := inner.bitsOf(both[1]); ok {
				mask := Value{0, uint64(b)}
				inner.mask, inner.text, inner.id, inner.left = &mask, k.text, k.id, left
				return inner
			}
		}
		k.deps, k.ct = inner.deps, inner.ct
	}
	return k
}

// payload reads a field of a header, by name or by its place.
func (n *nft) payload(t *nftTable, k *nftKey, o map[string]any, number func(Field, int, func(any) (Range, bool), ...Match)) {
	protocol, _ := o["protocol"].(string)
	field, _ := o["field"].(string)
	v4, v6 := nftFamilyIs(4), nftFamilyIs(6)
	if base, ok := o["base"].(string); ok {
		offset, _ := nftInt(o["offset"])
		size, _ := nftInt(o["len"])
		raw := func(protocol2, field2 string) { protocol, field = protocol2, field2 }
		switch at := fmt.Sprint(base, offset, " ", size); {
		case at == "th0 16":
			raw("th", "sport")
		case at == "th16 16":
			raw("th", "dport")
		case t.family == "ip" && at == "nh96 32":
			raw("ip", "saddr")
		case t.family == "ip" && at == "nh128 32":
			raw("ip", "daddr")
		case t.family == "ip" && at == "nh72 8":
			raw("ip", "protocol")
		case t.family == "ip6" && at == "nh64 128":
			raw("ip6", "saddr")
		case t.family == "ip6" && at == "nh192 128":
			raw("ip6", "daddr")
		case t.family == "ip6" && at == "nh48 8":
			raw("ip6", "nexthdr")
		}
	}
	transport := map[string]uint16{
		"tcp": 6, "udp": 17, "sctp": 132, "dccp": 33, "udplite": 136, "icmp": 1, "icmpv6": 58, "igmp": 2,
		"esp": 50, "ah": 51, "comp": 108, "gre": 47, "grev6": 47, "vxlan": 17, "geneve": 17, "gretap": 47,
	}
	switch protocol {
	case "ip":
		k.deps = v4
		switch field {
		case "saddr":
			number(SrcAddr, 32, nftAddr4, v4)
		case "daddr":
			number(DstAddr, 32, nftAddr4, v4)
		case "protocol":
			number(Proto, 8, nftProto, v4)
		case "version":
			k.kind, k.value, k.now, k.known = nftConstant, nftAnyNumber, Single(Number(4)), ^uint64(0)
		case "frag-off": // TCP does not let its first packets be cut; whether DF is set depends on the client
			k.kind, k.value, k.now, k.known = nftConstant, nftAnyNumber, Single(Number(0)), 0x3fff
		}
		return
	case "ip6":
		k.deps = v6
		switch field {
		case "saddr":
			number(SrcAddr, 128, nftAddr6, v6)
		case "daddr":
			number(DstAddr, 128, nftAddr6, v6)
		case "nexthdr":
			number(Proto, 8, nftProto, v6)
		case "version":
			k.kind, k.value, k.now, k.known = nftConstant, nftAnyNumber, Single(Number(6)), ^uint64(0)
		}
		return
	case "th":
		switch field {
		case "sport":
			number(SrcPort, 16, nftPort)
		case "dport":
			number(DstPort, 16, nftPort)
		}
		return
	}
	p, ok := transport[protocol]
	if !ok {
		return
	}
	k.deps = nftProtoIs(p)
	switch {
	case p == 6 && field == "flags":
		k.kind, k.bits = nftState, &nftTCPFlags
	case field == "sport" && p != 58 && p != 1:
		number(SrcPort, 16, nftPort, nftProtoIs(p))
	case field == "dport" && p != 58 && p != 1:
		number(DstPort, 16, nftPort, nftProtoIs(p))
	}
}

// nftBits is a field that is a set of bits, and what the packets of a connection have in it.
type nftBits struct {
	names map[string]int
	seen  func(phase uint8, tracked nftTracked) []int // several: some packets have this, some that
}

var (
	nftTCPFlags = nftBits{
		map[string]int{"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "cwr": 128},
		func(phase uint8, _ nftTracked) []int {
			switch phase {
			case First:
				return []int{2}
			case Answer:
				return []int{2 | 16}
			}
			return []int{16, 16 | 8}
		},
	}
	nftStates = nftBits{
		map[string]int{"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64},
		func(phase uint8, tracked nftTracked) []int {
			switch {
			case tracked == nftBefore:
				return []int{1}
			case phase == First:
				return []int{8}
			}
			return []int{2}
		},
	}
	nftDirections = nftBits{
		map[string]int{"original": 0, "reply": 1},
		func(phase uint8, _ nftTracked) []int {
			if phase&(Answer|LaterAnswer) != 0 {
				return []int{1}
			}
			return []int{0}
		},
	}
	nftStatuses = nftBits{names: map[string]int{"expected": 1, "seen-reply": 2, "assured": 4, "confirmed": 8, "snat": 16, "dnat": 32, "dying": 512}}
)

// conntrack reads a field of the connection.
func (n *nft) conntrack(t *nftTable, k *nftKey, o map[string]any) {
	key, _ := o["key"].(string)
	dir, _ := o["dir"].(string)
	if n.notrack {
		k.text += " (notrack)"
		return
	}
	version, rest, ok := strings.Cut(key, " ")
	if !ok {
		version, rest = "", key
	}
	switch version {
	case "ip":
		k.deps, k.width, k.value = nftFamilyIs(4), 32, nftAddr4
	case "ip6":
		k.deps, k.width, k.value = nftFamilyIs(6), 128, nftAddr6
	default:
		k.value = nftAddr
	}
	switch rest {
	case "state":
		k.kind, k.bits = nftState, &nftStates
	case "direction":
		k.kind, k.bits = nftState, &nftDirections
	case "status":
		k.kind, k.bits = nftStatus, &nftStatuses
	case "l3proto":
		k.kind, k.field, k.width, k.value = nftNumber, Family, 8, nftFamily
	case "protocol":
		k.kind, k.field, k.width, k.value = nftNumber, Proto, 8, nftProto
	case "daddr":
		switch {
		case dir == "original":
			k.kind, k.field = nftNumber, OrigDst
		case !n.snat: // the client's address, as long as nothing translates it
			k.kind, k.field = nftEither, SrcAddr
		}
	case "saddr":
		switch {
		case dir == "original" && !n.snat:
			k.kind, k.field = nftEither, SrcAddr
		case dir == "reply" && !n.dnat:
			k.kind, k.field = nftEither, DstAddr
		}
	case "proto-dst", "proto-src":
		k.width, k.value = 16, nftPort
		client := (rest == "proto-src") == (dir == "original")
		switch {
		case rest == "proto-dst" && dir == "original":
			k.kind, k.field = nftNumber, OrigDstPort
		case client && !n.snat:
			k.kind, k.field = nftEither, SrcPort
		case !client && !n.dnat:
			k.kind, k.field = nftEither, DstPort
		}
	}
}

// match reads a comparison.
func (n *nft) match(t *nftTable, v any) Match {
	o, _ := v.(map[string]any)
	op, _ := o["op"].(string)
	k := n.key(t, o["left"])
	return append(slices.Clone(k.deps), n.compare(t, k, op, o["right"])...)
}

func nftOpen(k nftKey, op string, right any) Match {
	if op == "==" || op == "in" {
		op = " "
	} else {
		op = " " + op + " "
	}
	var w nftWriter
	w.right(k.left, right)
	return Match{{Field: Unmodelled, Word: nftShort(k.text + op + w.String())}}
}

// compare is the condition that a key stands in a relation to a value, without what comes with the key.
func (n *nft) compare(t *nftTable, k nftKey, op string, right any) Match {
	not := op == "!="
	switch {
	case !k.ct || n.tracked == nftKnown:
	case n.tracked == nftPerhaps:
		return nftOpen(k, op, right)
	case k.kind != nftConcat && k.bits != &nftStates, slices.ContainsFunc(k.parts, func(p nftKey) bool { return p.ct && p.bits != &nftStates }):
		return Match{nftNever}
	}
	switch op {
	case "==", "!=", "in", "":
	case "!":
		if k.kind != nftState && k.kind != nftStatus {
			return nftOpen(k, op, right)
		}
	case "<", ">", "<=", ">=":
		if k.kind != nftNumber && k.kind != nftConstant && k.kind != nftEither || k.mask != nil {
			return nftOpen(k, op, right)
		}
	default:
		return nftOpen(k, op, right)
	}
	switch k.kind {
	case nftNumber, nftEither, nftConstant:
		values := n.values(t, k, right)
		if len(op) > 0 && (op[0] == '<' || op[0] == '>') {
			var ok bool
			if values.ranges, ok = nftRelation(op, values.ranges, k.width); !ok || values.word != "" {
				return nftOpen(k, op, right)
			}
		}
		if k.kind == nftConstant {
			if values.word != "" || k.mask == nil && k.known != ^uint64(0) || k.mask != nil && k.mask.Lo&^k.known != 0 {
				return nftOpen(k, op, right)
			}
			now := k.now
			if k.mask != nil {
				now.First.Lo &= k.mask.Lo
				now.Last = now.First
			}
			if (place(values.ranges, now) == yes) == not {
				return Match{nftNever}
			}
			return nil
		}
		if name, _ := right.(string); values.word != "" && !strings.HasPrefix(name, "@") {
			values.word = nftOpen(k, "==", right)[0].Word
		}
		term := Term{Field: k.field, Not: not, Ranges: values.ranges, Word: values.word, Object: values.object}
		if k.kind == nftNumber {
			return Match{term}
		}
		back := term
		back.Field = map[Field]Field{SrcAddr: DstAddr, DstAddr: SrcAddr, SrcPort: DstPort, DstPort: SrcPort}[k.field]
		return Match{{Field: AnyOf, Any: []Match{
			{{Field: Phase, Bits: First | Later}, term},
			{{Field: Phase, Bits: Answer | LaterAnswer}, back},
		}}}
	case nftName:
		values := n.values(t, k, right)
		return Match{{Field: k.field, Not: not, Names: values.names, Word: values.word, Object: values.object}}
	case nftState:
		return n.state(t, k, op, right)
	case nftStatus:
		return n.status(t, k, op, right)
	case nftFib:
		return n.fib(t, k, not, right)
	case nftConcat:
		term := n.concatenation(t, k, right)
		term.Not = not
		return Match{term}
	}
	return nftOpen(k, op, right)
}

// nftRelation turns a bound into a range.
func nftRelation(op string, bound []Range, width int) ([]Range, bool) {
	if len(bound) != 1 || bound[0].First != bound[0].Last {
		return nil, false
	}
	b := bound[0].First
	all := Range{Value{}, Value{0, 1<<width - 1}}
	switch {
	case width == 32:
		all = AllIPv4()
	case width >= 64:
		all = AllIPv6()
	}
	switch op {
	case "<":
		if b == all.First {
			return nil, true
		}
		all.Last = b.previous()
	case "<=":
		all.Last = b
	case ">":
		if b == all.Last {
			return nil, true
		}
		all.First = b.next()
	case ">=":
		all.First = b
	}
	return []Range{all}, true
}

// nftValues is what a right side holds.
type nftValues struct {
	ranges []Range
	names  []string
	word   string
	object string
}

// values reads a right side: one value, a list, a set.
func (n *nft) values(t *nftTable, k nftKey, right any) nftValues {
	if name, ok := right.(string); ok && strings.HasPrefix(name, "@") {
		s := t.sets[name[1:]]
		if s == nil {
			return nftValues{word: k.text + " " + nftShort(name) + " (no such set in the export)"}
		}
		if why := n.unsure(t, s); why != "" {
			return nftValues{word: k.text + " " + name + why, object: s.name}
		}
		if got, ok := s.ranges[k.id]; ok {
			return got
		}
		got := n.read(k, s.elem)
		got.object = s.name
		n.tell(k, s)
		if n.filled[t.key+" "+s.name] {
			got.word = k.text + " " + name + " (filled by rules)"
		}
		if s.ranges == nil {
			s.ranges = make(map[string]nftValues)
		}
		s.ranges[k.id] = got
		return got
	}
	return n.read(k, nftElements(right))
}

// tell keeps the elements of a set. A name that two tables have, and a set that is looked at through a mask, are not told.
func (n *nft) tell(k nftKey, s *nftSet) {
	s.masked = s.masked || k.mask != nil
	if n.named[s.name] > 1 || s.masked || k.kind != nftNumber {
		n.rs.tell(s.name, nil)
		return
	}
	var list []told
	for _, e := range s.elem {
		if r, ok := k.value(nftBare(e)); ok {
			list = append(list, told{Range: r})
		}
	}
	n.rs.tell(s.name, list)
}

// nftElements lists what stands on a right side.
func nftElements(right any) []any {
	if kind, v := nftOnly(right); kind == "set" {
		return nftList(v)
	}
	if l, ok := right.([]any); ok {
		return l
	}
	return []any{right}
}

// nftBare takes the comment, timeout and counter off an element.
func nftBare(v any) any {
	for range nftDepth {
		kind, arg := nftOnly(v)
		o, ok := arg.(map[string]any)
		if kind != "elem" || !ok {
			break
		}
		v = o["val"]
	}
	return v
}

// full reports whether maps have become as many rules as may be.
func (n *nft) full(more int) bool { return n.extra+more > nftExtra+2*n.elements }

// tired reports whether sets were read too often. The sum of all is bounded, so that no export takes forever.
func (n *nft) tired(elem []any) bool {
	n.work += len(elem)
	return n.work > nftWork
}

// read makes ranges or names of elements.
func (n *nft) read(k nftKey, elem []any) (out nftValues) {
	if n.tired(elem) {
		return nftValues{word: k.text + " of more elements than can be read"}
	}
	for _, e := range elem {
		e = nftBare(e)
		if k.kind == nftName {
			if s, ok := e.(string); ok {
				out.names = append(out.names, s)
			} else {
				out.word = k.text + " " + nftShort(nftText(e))
			}
			continue
		}
		if e == "*" {
			out.ranges = append(out.ranges, Range{Value{}, top})
			continue
		}
		r, ok := k.value(e)
		if !ok {
			out.word = k.text + " " + nftShort(nftText(e))
			continue
		}
		if k.mask == nil {
			out.ranges = append(out.ranges, r)
			continue
		}
		var masked []Range
		ok = n.holes < nftHoles
		if ok {
			masked, ok = k.masked(r)
			n.holes += len(masked)
		}
		if !ok {
			out.word = k.text + " " + nftShort(nftText(e))
			continue
		}
		out.ranges = append(out.ranges, masked...)
	}
	out.ranges = Merge(out.ranges)
	return out
}

// masked lists the values that are r behind a mask.
func (k *nftKey) masked(r Range) ([]Range, bool) {
	if r.First != r.Last {
		return nil, false
	}
	want, mask, high := r.First, *k.mask, Value{}
	if k.width == 32 && k.field < SrcPort || k.field == OrigDst && k.width == 32 {
		high = Value{0, 0xffff << 32}
		want.Lo &= 0xffffffff
	}
	if k.kind == nftConstant { // the constant is masked instead
		return []Range{r}, true
	}
	if want.Hi&^mask.Hi != 0 || want.Lo&^mask.Lo != 0 {
		return nil, true // nftNever
	}
	full := Value{0, 1<<k.width - 1}
	if k.width == 128 {
		full = top
	}
	// Free bits below the lowest bit of the mask make one range; each free bit above doubles their number.
	low := bits.TrailingZeros64(mask.Lo)
	if low == 64 {
		low += bits.TrailingZeros64(mask.Hi)
	}
	low = min(low, k.width)
	var free []Value
	for i := low; i < k.width; i++ {
		bit := Value{0, 1 << i}
		if i >= 64 {
			bit = Value{1 << (i - 64), 0}
		}
		if mask.Hi&bit.Hi == 0 && mask.Lo&bit.Lo == 0 && full.Hi&bit.Hi|full.Lo&bit.Lo != 0 {
			free = append(free, bit)
		}
	}
	if len(free) > 12 {
		return nil, false
	}
	tail := Value{0, 1<<low - 1}
	if low >= 64 {
		tail = Value{1<<(low-64) - 1, ^uint64(0)}
	}
	var out []Range
	for choice := range 1 << len(free) {
		v := want
		for i, bit := range free {
			if choice>>i&1 == 1 {
				v = v.plus(bit)
			}
		}
		out = append(out, Range{v.plus(high), v.plus(tail).plus(high)})
	}
	return out, true
}

// bitsOf reads names of bits, or a number.
func (k *nftKey) bitsOf(v any) (int, bool) {
	v = nftBare(v)
	if s, ok := v.(string); ok {
		if b, ok := k.bits.names[s]; ok {
			return b, true
		}
	}
	if b, ok := nftInt(v); ok && b >= 0 {
		return b, true
	}
	l, ok := v.([]any)
	if kind, arg := nftOnly(v); kind == "|" {
		l, ok = nftList(arg), true
	}
	if !ok {
		return 0, false
	}
	all := 0
	for _, e := range l {
		b, ok := k.bitsOf(e)
		if !ok {
			return 0, false
		}
		all |= b
	}
	return all, true
}

// test makes a predicate on bits of a comparison; in of nft means: one of these bits is set.
func (n *nft) test(t *nftTable, k nftKey, op string, right any) (func(int) bool, bool) {
	mask := -1
	if k.mask != nil {
		mask = int(k.mask.Lo)
	}
	sets := []any{right}
	exact := true
	name, isName := right.(string)
	kind, v := nftOnly(right)
	switch {
	case isName && strings.HasPrefix(name, "@"):
		s := t.sets[name[1:]]
		if s == nil || s.limited || n.filled[t.key+" "+s.name] {
			return nil, false
		}
		sets = s.elem
	case kind == "set":
		sets = nftList(v)
	case op == "in" || op == "!":
		exact = false
	}
	var values []int
	all := false
	for _, e := range sets {
		if nftBare(e) == "*" {
			all = true
			continue
		}
		b, ok := k.bitsOf(e)
		if !ok {
			return nil, false
		}
		values = append(values, b)
	}
	return func(have int) bool {
		have &= mask
		found := all || slices.ContainsFunc(values, func(b int) bool {
			if exact {
				return have == b
			}
			return have&b != 0
		})
		return found != (op == "!=" || op == "!")
	}, true
}

// state turns a condition on connection state, direction or TCP flags into packets of a connection.
func (n *nft) state(t *nftTable, k nftKey, op string, right any) Match {
	if k.bits == &nftDirections && op == "in" {
		op = "=="
	}
	holds, ok := n.test(t, k, op, right)
	if !ok {
		return nftOpen(k, op, right)
	}
	var sure, open uint8
	for phase := uint8(First); phase <= LaterAnswer; phase <<= 1 {
		yes, no := 0, 0
		for _, b := range k.bits.seen(phase, n.tracked) {
			if holds(b) {
				yes++
			} else {
				no++
			}
		}
		switch {
		case no == 0:
			sure |= phase
		case yes > 0:
			open |= phase
		}
	}
	switch {
	case open != 0:
		word := nftOpen(k, op, right)[0]
		return Match{{Field: AnyOf, Any: []Match{{{Field: Phase, Bits: sure}}, {{Field: Phase, Bits: open}, word}}}}
	case sure == EveryPacket:
		return nil
	}
	return Match{{Field: Phase, Bits: sure}}
}

// status turns ct status into what was translated. The other bits are not modelled.
func (n *nft) status(t *nftTable, k nftKey, op string, right any) Match {
	holds, ok := n.test(t, k, op, right)
	if !ok {
		return nftOpen(k, op, right)
	}
	// Whatever the other bits are, the answer must be the same.
	others := []int{0, 2, 4, 8, 2 | 8, 2 | 4 | 8}
	var any []Match
	for _, b := range []struct{ bit, dst, src int }{{0, 0, 0}, {32, 1, 0}, {16, 0, 1}, {48, 1, 1}} {
		found := holds(b.bit)
		if slices.ContainsFunc(others, func(o int) bool { return holds(b.bit|o) != found }) {
			return nftOpen(k, op, right)
		}
		if found {
			any = append(any, Match{{Field: Translated, Not: b.dst == 0, Bits: 1}, {Field: Translated, Not: b.src == 0, Bits: 2}})
		}
	}
	return Match{{Field: AnyOf, Any: any}}
}

// fib turns the type of an address into whether the device has it. Nobody connects to a broadcast or multicast address.
func (n *nft) fib(t *nftTable, k nftKey, not bool, right any) Match {
	var any []Match
	sets := nftElements(right)
	object := ""
	if name, ok := right.(string); ok && strings.HasPrefix(name, "@") {
		s := t.sets[name[1:]]
		if s == nil || s.limited || n.filled[t.key+" "+s.name] {
			return nftOpen(k, "==", right)
		}
		sets, object = s.elem, s.name
	}
	for _, e := range sets {
		switch e = nftBare(e); e {
		case "local":
			any = append(any, Match{{Field: k.field, Object: object}})
		case "broadcast", "multicast":
		default:
			any = append(any, Match{{Field: k.field, Not: true}, nftOpen(k, "==", e)[0]})
		}
	}
	if len(any) == 1 && len(any[0]) == 1 {
		term := any[0][0]
		term.Not = not
		return Match{term}
	}
	return Match{{Field: AnyOf, Not: not, Any: any}}
}

// concatenation is one of the tuples of a set.
func (n *nft) concatenation(t *nftTable, k nftKey, right any) Term {
	elem := nftElements(right)
	var s *nftSet
	word := ""
	if name, ok := right.(string); ok && strings.HasPrefix(name, "@") {
		if s = t.sets[name[1:]]; s == nil {
			return Term{Field: Unmodelled, Word: k.text + " " + nftShort(name) + " (no such set in the export)"}
		}
		if why := n.unsure(t, s); why != "" {
			return Term{Field: Unmodelled, Word: k.text + " " + nftShort(name) + why}
		}
		if term, ok := s.terms[k.id]; ok {
			return term
		}
		elem = s.elem
		if n.filled[t.key+" "+s.name] {
			word = k.text + " " + name + " (filled by rules)"
		}
	}
	term := Term{Field: AnyOf, Any: n.tuples(t, k, elem), Word: word}
	if s != nil {
		if s.terms == nil {
			s.terms = make(map[string]Term)
		}
		s.terms[k.id] = term
	}
	return term
}

// tuples makes a match of each tuple; those that differ in one range of the first part only become one.
func (n *nft) tuples(t *nftTable, k nftKey, elem []any) (out []Match) {
	if n.tired(elem) {
		return []Match{{{Field: Unmodelled, Word: k.text + " of more elements than can be read"}}}
	}
	same := make(map[string]int)
	for _, e := range elem {
		e = nftBare(e)
		if e == "*" {
			return []Match{{}}
		}
		m := n.tuple(t, k, e)
		if len(m) == 0 || len(m) != len(k.parts) || m[0].Field >= numbers || m[0].Word != "" {
			out = append(out, m)
			continue
		}
		rest := fmt.Sprint(m[1:])
		if i, ok := same[rest]; ok {
			out[i][0].Ranges = append(out[i][0].Ranges, m[0].Ranges...)
			continue
		}
		same[rest] = len(out)
		out = append(out, m)
	}
	for _, m := range out {
		if len(m) > 0 {
			m[0].Ranges = Merge(m[0].Ranges)
		}
	}
	return out
}

// tuple is the condition of one tuple.
func (n *nft) tuple(t *nftTable, k nftKey, e any) (m Match) {
	parts := nftTuple(e)
	if len(parts) != len(k.parts) {
		return nftOpen(k, "==", e)
	}
	for i, part := range k.parts {
		if s, ok := parts[i].(string); ok && strings.HasPrefix(s, "@") { // no set in a tuple
			m = append(m, nftOpen(part, "==", s)...)
			continue
		}
		m = append(m, n.compare(t, part, "==", parts[i])...)
	}
	return m
}

func nftTuple(v any) []any {
	if kind, arg := nftOnly(nftBare(v)); kind == "concat" {
		return nftList(arg)
	}
	return nil
}

// nftElement is what a map holds: keys and what they give.
type nftElement struct {
	match Match
	keys  []Range // where the key is a number
	value any
}

// lookup lists the values of a map, each with all its keys.
func (n *nft) lookup(t *nftTable, k nftKey, data any) []nftElement {
	s, word := n.mapOf(t, k, data)
	if s == nil {
		return []nftElement{{match: Match{{Field: Unmodelled, Word: word}}, value: word}}
	}
	if s.groups[k.id] != nil {
		return s.groups[k.id]
	}
	if n.tired(s.elem) {
		word = k.text + " map of more elements than can be read"
		return []nftElement{{match: Match{{Field: Unmodelled, Word: word}}, value: word}}
	}
	type group struct {
		keys  []any
		value any
	}
	var groups []*group
	by := make(map[string]*group)
	var others []any // keys that are not the rest
	var rest *group
	for _, e := range s.elem {
		pair := nftList(e)
		if len(pair) != 2 {
			word = k.text + " map with " + nftShort(nftText(e))
			continue
		}
		key := nftBare(pair[0])
		if key == "*" {
			rest = &group{value: nftBare(pair[1])}
			continue
		}
		others = append(others, key)
		value := nftBare(pair[1])
		name, _ := json.Marshal(value)
		g := by[string(name)]
		if g == nil {
			g = &group{value: value}
			by[string(name)] = g
			groups = append(groups, g)
		}
		g.keys = append(g.keys, key)
	}
	in := func(keys []any) (Match, []Range) {
		if k.chance > 0 {
			return Match{{Field: Unmodelled, Word: k.text}}, n.read(k, keys).ranges
		}
		right := map[string]any{"set": keys}
		if k.kind == nftNumber {
			return n.compare(t, k, "==", right), n.read(k, keys).ranges
		}
		return n.compare(t, k, "==", right), nil
	}
	out := []nftElement{}
	for _, g := range groups {
		m, keys := in(g.keys)
		out = append(out, nftElement{m, keys, g.value})
	}
	if rest != nil {
		m, _ := in(others)
		e := nftElement{match: Match{{Field: AnyOf, Not: true, Any: []Match{m}}}, value: rest.value}
		if len(others) == 0 {
			e.match = nil
		}
		out = append(out, e)
	}
	if n.filled[t.key+" "+s.name] && s.name != "" || word != "" {
		word = cmp.Or(word, k.text+" map @"+s.name+" (filled by rules)")
		out = append(out, nftElement{match: Match{{Field: Unmodelled, Word: word}}, value: word})
	}
	if s.name != "" {
		for i := range out {
			if m := out[i].match; len(m) == 1 && m[0].Field < numbers {
				m[0].Object = s.name
			}
		}
		if s.groups == nil {
			s.groups = make(map[string][]nftElement)
		}
		s.groups[k.id] = out
	}
	return out
}

// each lists the elements of a map one by one: a translation of prefixes needs each key for itself.
func (n *nft) each(t *nftTable, k nftKey, data any) (out []nftElement) {
	s, _ := n.mapOf(t, k, data)
	if s == nil || n.tired(s.elem) {
		return n.lookup(t, k, data)
	}
	for _, e := range s.elem {
		one := &nftSet{elem: []any{e}}
		out = append(out, n.lookup(t, k, one)...)
		if n.full(len(out)) {
			break
		}
	}
	return out
}

// mapOf finds the map that an expression names or holds.
func (n *nft) mapOf(t *nftTable, k nftKey, data any) (*nftSet, string) {
	switch d := data.(type) {
	case *nftSet:
		return d, ""
	case string:
		if s := t.sets[strings.TrimPrefix(d, "@")]; s != nil {
			if why := n.unsure(t, s); why != "" {
				return nil, k.text + " map @" + s.name + why
			}
			return s, ""
		}
	case map[string]any:
		if kind, v := nftOnly(d); kind == "set" {
			return &nftSet{elem: nftList(v)}, ""
		}
	}
	return nil, k.text + " map " + nftShort(nftText(data)) + " (not in the export)"
}

// The values of right sides.

func nftAddr(v any) (Range, bool) {
	return nftSpan(v, func(s string) (Range, bool) {
		a, err := netip.ParseAddr(s)
		return One(a.WithZone("")), err == nil
	}, nil)
}

func nftAddr4(v any) (Range, bool) {
	return nftSpan(v, func(s string) (Range, bool) {
		a, err := netip.ParseAddr(s)
		return One(a), err == nil && a.Is4()
	}, func(n uint64) (Range, bool) { return Single(Value{0, 0xffff<<32 | n}), n < 1<<32 })
}

func nftAddr6(v any) (Range, bool) {
	return nftSpan(v, func(s string) (Range, bool) {
		a, err := netip.ParseAddr(s)
		return Single(AddrValue(a.WithZone(""))), err == nil && a.Is6()
	}, nil)
}

var nftPorts = map[string]uint16{
	"ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "mail": 25, "domain": 53, "http": 80, "www": 80, "pop3": 110, "sunrpc": 111, "ntp": 123,
	"imap": 143, "imap2": 143, "imap3": 220, "snmp": 161, "ldap": 389, "https": 443, "submissions": 465, "ssmtp": 465, "smtps": 465, "urd": 465,
	"submission": 587, "ldaps": 636, "imaps": 993, "pop3s": 995, "microsoft-ds": 445, "syslog": 514, "msa": 587,
}

func nftPort(v any) (Range, bool) {
	return nftSpan(v, func(s string) (Range, bool) {
		p, ok := nftPorts[s]
		if n, err := strconv.ParseUint(s, 0, 16); err == nil {
			p, ok = uint16(n), true
		}
		return Ports(p, p), ok
	}, func(n uint64) (Range, bool) { return Single(Value{0, n}), n < 1<<16 })
}

var nftProto = nftNamed(map[string]uint16{
	"ip": 0, "hopopt": 0, "icmp": 1, "igmp": 2, "ipip": 4, "ipencap": 4, "tcp": 6, "egp": 8, "udp": 17, "dccp": 33, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51,
	"icmpv6": 58, "ipv6-icmp": 58, "ospf": 89, "ospfigp": 89, "pim": 103, "comp": 108, "ipcomp": 108, "vrrp": 112, "l2tp": 115, "sctp": 132,
	"udplite": 136, "mptcp": 262,
})

// nftFamily holds the words of nfproto, of EtherTypes, and their numbers.
var nftFamily = func(v any) (Range, bool) {
	r, ok := nftNamed(map[string]uint16{"ipv4": 4, "ip": 4, "ipv6": 6, "ip6": 6, "arp": 0xfff1, "vlan": 0xfff2, "8021q": 0xfff2, "8021ad": 0xfff3})(v)
	switch {
	case ok && r == Single(Number(2)), ok && r == Single(Number(0x0800)):
		return Single(Number(4)), true
	case ok && r == Single(Number(10)), ok && r == Single(Number(0x86dd)):
		return Single(Number(6)), true
	}
	_, number := v.(json.Number)
	return r, ok && !number
}

func nftAnyNumber(v any) (Range, bool) {
	return nftSpan(v, func(s string) (Range, bool) {
		n, err := strconv.ParseUint(s, 0, 64)
		return Single(Value{0, n}), err == nil
	}, func(n uint64) (Range, bool) { return Single(Value{0, n}), true })
}

func nftNamed(names map[string]uint16) func(any) (Range, bool) {
	return func(v any) (Range, bool) {
		return nftSpan(v, func(s string) (Range, bool) {
			n, ok := names[s]
			return Single(Number(n)), ok
		}, func(n uint64) (Range, bool) { return Single(Value{0, n}), n < 1<<16 })
	}
}

// spanOf reads a value, a prefix or a range of values.
func nftSpan(v any, text func(string) (Range, bool), number func(uint64) (Range, bool)) (Range, bool) {
	switch v := v.(type) {
	case string:
		return text(v)
	case json.Number:
		n, err := strconv.ParseUint(v.String(), 10, 64)
		if err != nil || number == nil {
			return Range{}, false
		}
		return number(n)
	}
	kind, arg := nftOnly(v)
	switch kind {
	case "range":
		both := nftList(arg)
		if len(both) != 2 {
			return Range{}, false
		}
		_, nested := both[0].(map[string]any)
		_, nested2 := both[1].(map[string]any)
		if nested || nested2 {
			return Range{}, false
		}
		a, ok := nftSpan(both[0], text, number)
		b, ok2 := nftSpan(both[1], text, number)
		return Range{a.First, b.Last}, ok && ok2 && !b.Last.less(a.First)
	case "prefix":
		o, _ := arg.(map[string]any)
		addr, _ := o["addr"].(string)
		n, ok := nftInt(o["len"])
		a, err := netip.ParseAddr(addr)
		if _, known := text(addr); err != nil || !ok || !known || n < 0 || n > a.BitLen() {
			return Range{}, false
		}
		return PrefixRange(netip.PrefixFrom(a.WithZone(""), n)), true
	}
	return Range{}, false
}

// Small readers of JSON that nobody vouches for.

// nftOnly is the one key of an object, and what it holds.
func nftOnly(v any) (string, any) {
	if o, ok := v.(map[string]any); ok && len(o) == 1 {
		for k, v := range o {
			return k, v
		}
	}
	return "", nil
}

func nftList(v any) []any {
	l, _ := v.([]any)
	return l
}

// nftStrings are the strings of a list, or the one string that stands for it.
func nftStrings(v any) (out []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

func nftInt(v any) (int, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := strconv.Atoi(n.String())
	return i, err == nil
}
