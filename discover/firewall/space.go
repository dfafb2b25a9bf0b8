package firewall

import (
	"cmp"
	"net/netip"
	"slices"
)

// Query says which connections a question is about.
type Query struct {
	In       []string       // zones or interfaces that they enter by; nil: each that the device knows
	Src, Dst []netip.Prefix // nil: any
	Ports    []Range        // nil: those of mail, 25, 465 and 587
	Most     int            // boxes that an answer lists; 0: 100
}

// AllPorts are the ports of a Query for every connection.
func AllPorts() []Range { return []Range{Ports(0, 65535)} }

func (q *Query) ports() []Range {
	if q.Ports == nil {
		return []Range{Ports(25, 25), Ports(465, 465), Ports(587, 587)}
	}
	return Merge(q.Ports)
}

func (q *Query) most() int { return cmp.Or(q.Most, 100) }

// zones are what a query is about on some devices: the interfaces, where it does not say.
func (q *Query) zones(devices ...*Ruleset) []string {
	if len(q.In) > 0 {
		return q.In
	}
	var out []string
	for _, rs := range devices {
		for i := range rs.Interfaces {
			if name := rs.Interfaces[i].Name; !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	if len(out) == 0 {
		return []string{""}
	}
	slices.Sort(out)
	return out
}

const (
	mostNodes = 1 << 22 // of one family: 100 MB
	mostVisit = 1 << 24 // rules that are looked at for one entering zone
	mostWays  = 1 << 14 // ways that translations split the connections into
	mostParts = 1 << 16 // ranges of one field of a set that is listed
)

// universe is where sets of connections of one family lie, as their clients send them. Ports come first: few are asked for.
type universe struct {
	*bdd
	four   bool
	fields [numbers]bitfield // of SrcAddr to DstPort
	domain flowSet           // what the query is about
	ports  flowSet           // the ports of it
	terms  map[sighted]flowSet
	rules  map[*Rule]bounds // what rules match of connections as they were sent, where nothing else counts
}

func newSpace(q *Query, four bool, most int) *universe {
	s := &universe{four: four, terms: make(map[sighted]flowSet), rules: make(map[*Rule]bounds)}
	addr := bitfield{at: 16, width: 128}
	if four {
		addr.width, addr.base = 32, AllIPv4().First
	}
	s.fields[DstPort] = bitfield{at: 0, width: 16}
	s.fields[DstAddr] = addr
	addr.at += addr.width
	s.fields[SrcAddr] = addr
	s.fields[SrcPort] = bitfield{at: addr.at + addr.width, width: 16}
	s.bdd = newBDD(int(addr.at+addr.width+16), most)
	s.ports = s.values(DstPort, q.ports())
	s.domain = s.ports
	for field, list := range map[Field][]netip.Prefix{SrcAddr: q.Src, DstAddr: q.Dst} {
		if !four { // IPv4 is written in IPv6, and is not of it
			s.domain = s.without(s.domain, s.values(field, []Range{AllIPv4()}))
		}
		if list != nil {
			s.domain = s.and(s.domain, s.values(field, prefixRanges(list, four)))
		}
	}
	return s
}

// prefixRanges are the ranges of the prefixes of one family.
func prefixRanges(list []netip.Prefix, four bool) []Range {
	var out []Range
	for _, p := range list {
		if p.Addr().Is4() == four {
			out = append(out, PrefixRange(p))
		}
	}
	return Merge(out)
}

func (s *universe) values(f Field, list []Range) flowSet { return s.in(s.fields[f], list) }

// bounds are all connections, or none, as a truth that is the same for all of them.
func (t truth) bounds() bounds {
	return bounds{must: allIf(t == yes), may: allIf(t != no)}
}

func allIf(b bool) flowSet {
	if b {
		return all
	}
	return none
}

// bounds are the connections for which something surely holds, and for which it may.
type bounds struct{ must, may flowSet }

// view is a number of a packet: a field of the connection as it was sent, or what a translation made of it.
type view struct {
	field   Field
	kind    uint8
	is      Range // of fixed
	from    Value // of shifted: from becomes to, and so on
	to      Value
	partial Range // of shifted: the values of the field for which that is so
}

const (
	asSent uint8 = iota
	fixed
	shifted
)

// lies is the set of connections for which a view lies in merged ranges.
func (s *universe) lies(v *view, list []Range) bounds {
	switch v.kind {
	case fixed:
		return place(list, v.is).bounds()
	case shifted:
		n := s.values(v.field, shift(list, v.to, v.from, v.partial))
		return bounds{n, n}
	}
	n := s.values(v.field, list)
	return bounds{n, n}
}

// shift moves ranges so that from becomes to, as far as they come to lie in a range.
func shift(list []Range, from, to Value, in Range) (out []Range) {
	image := Range{in.First.minus(to).plus(from), in.Last.minus(to).plus(from)}
	for _, r := range list {
		if r.Last.less(image.First) || image.Last.less(r.First) {
			continue
		}
		if r.First.less(image.First) {
			r.First = image.First
		}
		if image.Last.less(r.Last) {
			r.Last = image.Last
		}
		out = append(out, Range{r.First.minus(from).plus(to), r.Last.minus(from).plus(to)})
	}
	return out
}

// exit is where some connections enter or leave the device.
type exit struct {
	set    flowSet
	places places
}

// branch is connections that went the same way so far: what connection is for one.
type branch struct {
	set        flowSet
	wide       flowSet // more than set: what no filter was asked about. It is a simpler set
	unsure     flowSet // those that can at best be possibly permitted
	now        [numbers]view
	out        []exit // nil: not known
	untold     bool
	local      truth
	translated [2]bounds // whether the destination was translated, and the source
	dnat, snat bool
	snatAt     int // behind the step that translated the source; 0: none did
	pass       bool
}

// symbol is a packet of many connections, at one step.
type symbol struct {
	phase      uint8
	numbers    [numbers]view
	in, out    []exit
	origOut    []exit
	translated [2]bounds
}

// symbolic follows all connections of a universe that enter by one zone, as decider follows one.
type symbolic struct {
	*universe
	*Decider
	entering places
	left     int // rules that may still be looked at
	branches int
	watch    *watch // nil: nobody wants to know what single rules do
	// touched, if not nil, are rules for which only region is asked: all connections that one of them may match.
	touched map[*Rule]bool
	region  flowSet
	leaves  []leaf
	// blind are connections of which a step does nobody knows what, so that they are never surely denied behind it.
	blind flowSet
}

// outcome is what a device does with all connections that enter by one zone.
type outcome struct {
	bounds
	leaves []leaf
	blind  flowSet // as symbolic has it
}

// sighted is a term on a field as it was sent.
type sighted struct {
	term  *Term
	field Field
}

// through are the connections of the domain that a device surely, and may, let through.
func (s *universe) through(rs *Ruleset, in places, w *watch) (outcome, error) {
	y := symbolic{universe: s, Decider: rs.Decider(), entering: in, left: mostVisit, watch: w, blind: none}
	got := y.run(0, s.sent())
	if s.full {
		return outcome{}, errTooMany
	}
	got.may = s.or(got.may, y.blind)
	return outcome{got, y.leaves, y.blind}, nil
}

// rest makes room, between two zones: what was computed is forgotten but for some sets.
func (s *universe) rest(but ...*flowSet) {
	if len(s.nodes) < s.most/4 {
		return
	}
	s.forget(append(but, &s.domain, &s.ports))
	clear(s.terms)
	clear(s.rules)
}

// touching are the connections of the domain that may match one of some rules.
func (s *universe) touching(rs *Ruleset, in places, rules map[*Rule]bool) (flowSet, error) {
	if len(rules) == 0 {
		return none, nil
	}
	y := symbolic{universe: s, Decider: rs.Decider(), entering: in, left: mostVisit, touched: rules, blind: none}
	y.run(0, s.sent())
	if s.full {
		return none, errTooMany
	}
	return y.region, nil
}

// sent are all connections of the domain, as they come.
func (s *universe) sent() branch {
	b := branch{set: s.domain, wide: s.domain, untold: true}
	for f := range b.now {
		b.now[f].field = Field(f)
	}
	return b
}

// run goes on from a step to the end.
func (s *symbolic) run(at int, b branch) bounds {
	for ; at < len(s.rs.Steps) && b.set != none && !s.full; at++ {
		if b.untold && at >= s.behindDNAT {
			var got bounds
			routed := s.routed(b)
			for _, r := range routed {
				if s.hooked && r.local == maybe {
					through, local := r, r
					through.local, local.local = no, yes
					got = s.add(got, s.either(s.run(at, through), s.run(at, local)))
				} else if len(routed) > 1 {
					got = s.add(got, s.run(at, r))
				}
			}
			if len(routed) > 1 || len(routed) == 0 || s.hooked && routed[0].local == maybe {
				return got
			}
			b = routed[0]
		}
		step := &s.rs.Steps[at]
		if !s.meets(step, &connection{local: b.local}, First) || b.dnat && step.Kind == DNAT || b.snat && step.Kind == SNAT ||
			b.pass && step.Kind == Filter && step.Hook != Forward {
			continue
		}
		if step.Kind == Filter {
			s.filter(at, &b, First)
			continue
		}
		if got, done := s.nat(at, &b); done {
			return got
		}
	}
	if b.untold {
		var got bounds
		for _, r := range s.routed(b) {
			got = s.add(got, s.finish(r))
		}
		return got
	}
	return s.finish(b)
}

// add joins what holds for different connections.
func (s *symbolic) add(a, b bounds) bounds { return bounds{s.or(a.must, b.must), s.or(a.may, b.may)} }

// either joins what may happen to the same connections.
func (s *symbolic) either(a, b bounds) bounds {
	return bounds{s.and(a.must, b.must), s.or(a.may, b.may)}
}

// finish takes the later packets through the steps that look at each one.
func (s *symbolic) finish(b branch) bounds {
	for _, phase := range []uint8{Answer, Later, LaterAnswer} {
		for at := range s.rs.Steps {
			step := &s.rs.Steps[at]
			if step.Kind != Filter || step.Stateful || b.pass && step.Hook != Forward || !s.meets(step, &connection{local: b.local}, phase) {
				continue
			}
			s.filter(at, &b, phase)
		}
	}
	if b.set != none {
		s.leaves = append(s.leaves, leaf{b.set, leaving{b.now[SrcAddr], b.now[DstAddr], b.now[DstPort]}})
	}
	return bounds{s.without(b.set, b.unsure), b.set}
}

// routed splits connections by whether they end at the device, and tells where they leave it.
func (s *symbolic) routed(b branch) (out []branch) {
	b.untold = false
	v := &b.now[DstAddr]
	if v.kind == fixed {
		c := connection{now: Flow{Dst: v.is}, in: s.entering}
		s.route(&c)
		b.local = c.local
		b.out = []exit{{all, c.out}}
		return []branch{b}
	}
	take := func(wide flowSet, local truth, exits []exit) {
		if set := s.and(wide, b.set); set != none {
			r := b
			r.set, r.unsure, r.wide, r.local, r.out = set, s.and(b.unsure, set), s.and(b.wide, wide), local, exits
			out = append(out, r)
		}
	}
	mine := s.lies(v, Merge(s.own)).must
	take(mine, yes, nil)
	exits, rest := s.ways(v, s.without(b.wide, mine))
	routed := none
	for _, e := range exits {
		routed = s.or(routed, e.set)
	}
	c := connection{in: s.entering, now: Flow{Dst: Range{top, top}}} // no route leads there
	s.nowhere().route(&c)
	others := exit{rest, c.out}
	if len(s.own) > 0 {
		take(s.or(routed, rest), no, append(exits, others))
	} else {
		take(routed, no, exits)
		take(rest, maybe, []exit{others})
	}
	return out
}

// nowhere is the device without routes.
func (s *symbolic) nowhere() *Decider {
	d := *s.Decider
	d.routes = nil
	return &d
}

// ways tells where routes lead the connections of a set to, by an address, and which have none.
func (s *symbolic) ways(v *view, set flowSet) (exits []exit, rest flowSet) {
	index := make(map[string]int)
	for i := range s.routes {
		to := s.routes[i].to
		// An address has the routes of its family, and ::/0 is none of IPv4.
		list := []Range{to}
		if family(to) != AllIPv4() {
			list = Without(list, []Range{AllIPv4()})
		}
		part := s.and(set, s.lies(v, list).must)
		if part == none {
			continue
		}
		set = s.without(set, part)
		k, ok := index[s.routes[i].out]
		if !ok {
			k = len(exits)
			index[s.routes[i].out] = k
			exits = append(exits, exit{none, s.places(s.routes[i].out)})
		}
		exits[k].set = s.or(exits[k].set, part)
	}
	return exits, set
}

// lieBehind is behind for all connections.
func (s *symbolic) lieBehind(v *view) []exit {
	if v.kind == fixed {
		return []exit{{all, s.behind(v.is)}}
	}
	var out []exit
	rest := all
	for i := range s.rs.Interfaces {
		for _, p := range s.rs.Interfaces[i].Addrs {
			set := s.and(rest, s.lies(v, []Range{One(p.Addr())}).must)
			rest = s.without(rest, set)
			out = append(out, exit{set, places{s.rs.Interfaces[i].names()}})
		}
	}
	exits, rest := s.ways(v, rest)
	return append(append(out, exits...), exit{rest, nil})
}

// answering is answers for all connections.
func (s *symbolic) answering(v *view) []exit {
	if v.kind == fixed {
		return []exit{{all, s.answers(v.is)}}
	}
	if len(s.own) == 0 {
		return nil
	}
	mine := s.lies(v, Merge(s.own)).must
	exits, rest := s.ways(v, s.not(mine))
	return append(exits, exit{mine, places{{"lo"}}}, exit{rest, nil})
}

// differs says for which connections a field is another than it was sent as.
func (s *symbolic) differs(v *view) bounds {
	switch v.kind {
	case fixed:
		n := s.not(s.values(v.field, []Range{v.is}))
		if v.is.First == v.is.Last {
			return bounds{n, n}
		}
		return bounds{n, all}
	case shifted:
		return (yes * truth(map[bool]uint8{true: 1}[v.from != v.to])).bounds()
	}
	return no.bounds()
}

// packet is how a step sees a packet of the connections.
func (s *symbolic) packet(step *Step, at int, b *branch, phase uint8) *symbol {
	p := &symbol{phase: phase, in: []exit{{all, s.entering}}, out: b.out, translated: b.translated, numbers: b.now}
	if s.asksOrigOut {
		p.origOut = s.lieBehind(&view{field: DstAddr})
	}
	if step.OwnOut && b.local == yes {
		p.out = s.lieBehind(&b.now[DstAddr])
	}
	h := &p.numbers
	sent := func(fields ...Field) {
		for _, f := range fields {
			h[f] = view{field: f}
		}
	}
	if phase != First {
		src, dst := s.original(at, phase, b.snatAt)
		if src {
			sent(SrcAddr, SrcPort)
		}
		if dst {
			sent(DstAddr, DstPort)
		}
	}
	if step.Original {
		sent(DstAddr, DstPort)
	}
	if phase&(Answer|LaterAnswer) != 0 {
		p.in, p.out = b.out, p.in
		h[SrcAddr], h[DstAddr], h[SrcPort], h[DstPort] = h[DstAddr], h[SrcAddr], h[DstPort], h[SrcPort]
	}
	switch {
	case step.Hook == Input || step.Hook == Prerouting:
		p.out = []exit{{all, places{{""}}}}
	case step.Hook == Output || step.Hook == Postrouting && b.local == yes:
		p.in = []exit{{all, places{{""}}}}
	}
	if src := &b.now[SrcAddr]; step.Hook == Output && src.kind != asSent {
		changed := s.differs(src)
		if src.kind == fixed && src.is.First != src.is.Last { // it is another range
			changed = bounds{all, all}
		}
		var out []exit
		for _, e := range s.answering(src) {
			out = append(out, exit{s.and(e.set, changed.must), e.places})
		}
		for _, e := range p.out {
			out = append(out, exit{s.without(e.set, changed.must), e.places})
		}
		p.out = out
	}
	ip := Number(6)
	if s.four {
		ip = Number(4)
	}
	h[Proto], h[Family] = view{kind: fixed, is: Single(Number(6))}, view{kind: fixed, is: Single(ip)}
	h[OrigDst], h[OrigDstPort] = view{field: DstAddr}, view{field: DstPort}
	return p
}

// matches is the set for which a match holds.
func (s *symbolic) matches(m Match, p *symbol) bounds {
	b := bounds{all, all}
	for i := range m {
		t := s.holds(&m[i], p)
		if b.must == b.may && t.must == t.may {
			b.must = s.and(b.must, t.must)
			b.may = b.must
		} else {
			b = bounds{s.and(b.must, t.must), s.and(b.may, t.may)}
		}
		if b.may == none {
			break
		}
	}
	return b
}

func (s *symbolic) holds(t *Term, p *symbol) bounds {
	b := s.found(t, p)
	if t.Word != "" {
		b.may = all
	}
	if t.Not {
		if b.must == b.may {
			n := s.not(b.must)
			return bounds{n, n}
		}
		return bounds{s.not(b.may), s.not(b.must)}
	}
	return b
}

// found is holds without negation and words.
func (s *symbolic) found(t *Term, p *symbol) bounds {
	switch t.Field {
	case In:
		return s.by(p.in, t.Names)
	case Out:
		return s.by(p.out, t.Names)
	case OrigOut:
		return s.by(p.origOut, t.Names)
	case Phase:
		return among(p.phase, t.Bits).bounds()
	case Translated:
		var b bounds
		for i := range p.translated {
			if t.Bits>>i&1 == 1 {
				b = s.add(b, p.translated[i])
			}
		}
		return b
	case SrcLocal:
		return s.owned(&p.numbers[SrcAddr])
	case DstLocal:
		return s.owned(&p.numbers[DstAddr])
	case AnyOf:
		var b bounds
		for _, m := range t.Any {
			if b = s.add(b, s.matches(m, p)); b.must == all {
				break
			}
		}
		return b
	case Unmodelled:
		return maybe.bounds()
	}
	v := &p.numbers[t.Field]
	if v.kind != asSent {
		return s.lies(v, t.Ranges)
	}
	n := s.term(t, v.field)
	return bounds{n, n}
}

// term is the connections of which a field as it was sent lies in the ranges of a term.
func (s *universe) term(t *Term, f Field) flowSet {
	key := sighted{t, f}
	n, ok := s.terms[key]
	if !ok {
		n = s.values(f, t.Ranges)
		s.terms[key] = n
	}
	return n
}

func (s *symbolic) by(exits []exit, names []string) bounds {
	if exits == nil {
		return maybe.bounds()
	}
	var b bounds
	for _, e := range exits {
		t := e.places.in(names).bounds()
		b = s.add(b, bounds{s.and(e.set, t.must), s.and(e.set, t.may)})
	}
	return b
}

func (s *symbolic) owned(v *view) bounds {
	if v.kind == fixed {
		return s.owns(v.is).bounds()
	}
	b := s.lies(v, Merge(s.own))
	if len(s.own) == 0 {
		b.may = all
	}
	return b
}

// stroll is many packets in the rules of one step: what walk is for one.
type stroll struct {
	*symbolic
	step    *Step
	p       *symbol
	known   map[visit][]fate
	circles int
	ids     map[*Rule]int32 // of rules that translate
	rules   []*Rule         // by id
	all     flowSet         // the connections that may meet the step
	sent    bool            // packets have their numbers as the client sent them
}

// visit is a chain and the connections that may come into it.
type visit struct {
	chain *Chain
	wish  flowSet
}

// stroll begins with a step.
func (s *symbolic) stroll(at int, b *branch, phase uint8) (*stroll, bounds) {
	step := &s.rs.Steps[at]
	w := &stroll{symbolic: s, step: step, p: s.packet(step, at, b, phase), known: make(map[visit][]fate), ids: make(map[*Rule]int32)}
	w.sent = w.p.asSent()
	when := s.matches(step.When, w.p)
	w.all = s.and(b.wide, when.may)
	return w, bounds{s.and(b.set, when.must), s.and(b.set, when.may)}
}

// walk asks the rules of a step about all connections that may meet it.
func (w *stroll) walk() []fate {
	chain := w.rs.Chains[w.step.Chain]
	if chain == nil {
		return []fate{{unsure, w.all}}
	}
	fates := w.chain(chain, w.all, nil)
	// What comes back from a step's first chain meets its policy: connections that a rule sent back, and those that are
	// not off.
	home := w.or(w.without(w.all, of(fates, off)), of(fates, back))
	id := w.id(chain.Policy, nil)
	out := []fate{{id, w.or(of(fates, id), home)}}
	for _, f := range fates {
		if f.id != id {
			out = append(out, f)
		}
	}
	return out
}

// of is the connections of one fate.
func of(list []fate, id int32) flowSet {
	for _, f := range list {
		if f.id == id {
			return f.set
		}
	}
	return none
}

// id is what an action of a rule in the step does.
func (w *stroll) id(a Action, r *Rule) int32 {
	switch a {
	case Drop, Reject:
		return stops
	case Uncertain:
		return unsure
	case Exempt:
		if w.step.Kind != Filter {
			return exempt
		}
	case Translate:
		if w.step.Kind == Filter || r == nil {
			break
		}
		id, ok := w.ids[r]
		if !ok {
			id = single + int32(len(w.rules))
			w.ids[r] = id
			w.rules = append(w.rules, r)
		}
		return id
	}
	return lets
}

// chain tells what happens in a chain to connections that come into it, for all of a wish.
func (w *stroll) chain(c *Chain, wish flowSet, from []*Chain) []fate {
	if wish == none {
		return nil
	}
	if c == nil || slices.Contains(from, c) || len(from) > 64 {
		w.circles++
		return []fate{{unsure, wish}, {off, wish}}
	}
	key := visit{c, wish}
	if f, ok := w.known[key]; ok {
		return f
	}
	circles := w.circles
	from = append(from, c)
	list := []line{{off, none, w.not(wish)}}
	for _, r := range w.order(c) {
		m := w.match(r)
		if m.may == none {
			continue
		}
		if w.step.LastMatch {
			list = append(list, line{w.id(r.Action, r), m.may, m.must})
			continue
		}
		if n := len(list) - 1; list[n].must == all {
			break // none comes here
		}
		switch r.Action {
		case Return:
			list = append(list, line{back, m.may, m.must})
		case Jump, Goto:
			in := w.and(wish, m.may)
			sub := w.chain(w.rs.Chains[r.Chain], in, from)
			home := w.or(w.without(in, of(sub, off)), of(sub, back))
			for _, f := range sub {
				if f.id != back && f.id != off {
					list = append(list, line{f.id, f.set, none})
				}
			}
			if r.Action == Goto {
				list = append(list, line{back, home, m.must})
			} else {
				list = append(list, line{off, none, w.without(m.must, home)})
			}
		default:
			list = append(list, line{w.id(r.Action, r), m.may, m.must})
		}
	}
	f := w.cascade().run(list)
	if w.circles == circles { // what a circle of jumps does depends on where it is entered
		w.known[key] = f
	}
	return f
}

// touch adds to the region what the touched rules in a chain, and those that it leads to, may match of a wish. Each chain
// is asked about those connections that did not come to it before.
func (w *stroll) touch(first *Chain, wish flowSet) {
	if first == nil || wish == none {
		return
	}
	seen, wait := map[*Chain]flowSet{first: wish}, map[*Chain]flowSet{first: wish}
	for queue := []*Chain{first}; len(queue) > 0 && !w.full; queue = queue[1:] {
		c := queue[0]
		wish := wait[c]
		delete(wait, c)
		for _, r := range c.Rules {
			jumps := w.jumps(r)
			if !jumps && !w.touched[r] {
				continue
			}
			in := w.and(wish, w.match(r).may)
			if w.touched[r] {
				w.region = w.or(w.region, in)
			}
			to := w.rs.Chains[r.Chain]
			if !jumps || to == nil {
				continue
			}
			if in = w.without(in, seen[to]); in == none {
				continue
			}
			if wait[to] == none {
				queue = append(queue, to)
			}
			seen[to], wait[to] = w.or(seen[to], in), w.or(wait[to], in)
		}
	}
}

// order is the rules of a chain as a first match would ask them. That the last match decides is the same as if quick
// rules came first, and then the others from the last to the first.
func (w *stroll) order(c *Chain) []*Rule {
	if !w.step.LastMatch {
		return c.Rules
	}
	out := make([]*Rule, 0, len(c.Rules))
	for _, r := range c.Rules {
		if r.Quick {
			out = append(out, r)
		}
	}
	for _, r := range slices.Backward(c.Rules) {
		if !r.Quick {
			out = append(out, r)
		}
	}
	return out
}

// match is the connections that a rule matches; none, if it does nothing.
func (w *stroll) match(r *Rule) bounds {
	if r.Disabled || r.Action == Continue {
		return bounds{}
	}
	if w.left--; w.left < 0 {
		w.full = true
	}
	if w.full {
		return bounds{}
	}
	for i := range r.Match { // most rules are for other ports
		t := &r.Match[i]
		if t.Field != DstPort && t.Field != SrcPort && t.Field != OrigDstPort || t.Not || t.Word != "" {
			continue
		}
		if v := &w.p.numbers[t.Field]; v.kind == asSent && v.field == DstPort && w.and(w.ports, w.term(t, DstPort)) == none {
			return bounds{}
		}
	}
	if !w.sent || slices.ContainsFunc(r.Match, func(t Term) bool { return t.Field >= numbers }) {
		return w.matches(r.Match, w.p)
	}
	b, ok := w.universe.rules[r]
	if !ok {
		b = w.matches(r.Match, w.p)
		w.universe.rules[r] = b
	}
	return b
}

// asSent reports whether a packet has its numbers as the client sent them.
func (p *symbol) asSent() bool {
	for _, f := range fieldOrder {
		if p.numbers[f] != (view{field: f}) {
			return false
		}
	}
	return true
}

// filter takes connections through a Filter step: those that are surely lost leave the branch.
func (s *symbolic) filter(at int, b *branch, phase uint8) {
	w, x := s.stroll(at, b, phase)
	if x.may == none {
		return
	}
	if s.touched != nil {
		w.touch(w.rs.Chains[w.step.Chain], w.all)
		return
	}
	if s.watch != nil {
		s.watch.step(w, x.may)
	}
	fates := w.walk()
	stopped, unknown := s.and(x.may, of(fates, stops)), s.and(x.may, of(fates, unsure))
	if step := &s.rs.Steps[at]; step.Hook == Prerouting || step.Hook == Output {
		s.blind = s.or(s.blind, unknown)
	}
	// What else may happen to those that may be stopped: to pass the step by is the same as to be let through.
	other := s.or(unknown, s.without(x.may, x.must))
	other = s.or(other, s.and(stopped, of(fates, lets)))
	if other != none {
		b.unsure = s.or(b.unsure, s.or(unknown, s.and(stopped, other)))
		stopped = s.without(stopped, other)
	}
	b.set = s.without(b.set, stopped)
	b.unsure = s.and(b.unsure, b.set)
}

// nat takes connections through a step that translates. If they go on as one, it changes the branch; else it follows
// each way to the end, and reports done.
func (s *symbolic) nat(at int, b *branch) (got bounds, done bool) {
	w, x := s.stroll(at, b, First)
	if x.may == none {
		return bounds{}, false
	}
	if s.watch != nil {
		s.watch.step(w, x.may)
	}
	if s.touched != nil {
		w.touch(w.rs.Chains[w.step.Chain], w.all)
	}
	fates := w.walk()
	only := func(set flowSet) branch {
		r := *b
		r.set, r.unsure = set, s.and(b.unsure, set)
		return r
	}
	kind := s.rs.Steps[at].Kind
	var ways []branch
	// No line decides about those that pass the step by.
	if set := s.or(s.without(b.set, x.must), s.and(x.may, of(fates, lets))); set != none {
		ways = append(ways, only(set))
	}
	if set := s.and(x.may, of(fates, exempt)); set != none {
		r := only(set)
		r.dnat, r.snat = r.dnat || kind == DNAT, r.snat || kind == SNAT
		ways = append(ways, r)
	}
	if set := s.and(x.may, of(fates, unsure)); set != none {
		r := only(set)
		r.unsure = set
		ways = append(ways, r)
		s.blind = s.or(s.blind, set)
	}
	lost := s.and(x.may, of(fates, stops))
	for i, rule := range w.rules {
		wide := of(fates, single+int32(i))
		if set := s.and(x.may, wide); set != none {
			r := only(set)
			r.wide = wide
			ways = append(ways, s.translated(at, r, rule)...)
		}
	}
	if len(ways) == 1 && ways[0].set == b.set && lost == none {
		*b = ways[0]
		return bounds{}, false
	}
	if s.branches += len(ways); s.branches > mostWays {
		s.full = true
	}
	may := make([]flowSet, 0, len(ways))
	never := append(make([]flowSet, 0, len(ways)+1), lost) // what one of its ways does not surely let through
	for _, way := range ways {
		r := s.run(at+1, way)
		may = append(may, r.may)
		never = append(never, s.without(way.set, r.must))
	}
	return bounds{s.without(b.set, s.union(never)), s.union(may)}, true
}

// translated is connections behind a rule that translates. Those of one way may be those of another, too: one of them
// is theirs.
func (s *symbolic) translated(at int, b branch, r *Rule) (out []branch) {
	kind, to := s.rs.Steps[at].Kind, &r.To
	addrField, portField, bit, own := DstAddr, DstPort, 0, []exit{{all, s.entering}}
	if kind == SNAT {
		addrField, portField, bit, own = SrcAddr, SrcPort, 1, b.out
		b.snat, b.snatAt = true, at+1
	} else {
		b.dnat = true
	}
	if own == nil {
		own = []exit{{all, nil}}
	}
	b.pass = b.pass || r.Pass
	ways := []branch{b}
	if len(to.Ports) > 0 {
		ways = s.become(ways, portField, to.Ports, to.FromPorts, to.Map)
	}
	if len(to.Words) > 0 {
		for i := range ways {
			ways[i].unsure = ways[i].set
			v := &ways[i].now[addrField]
			*v = view{kind: fixed, is: s.familyOf(v), field: addrField}
		}
	}
	targets := to.Addrs
	if to.Interface {
		var split []branch
		for _, w := range ways {
			for _, e := range own {
				set := s.and(w.set, e.set)
				if set == none {
					continue
				}
				for _, t := range s.rs.addressOf(e.places, s.familyOf(&w.now[addrField])) {
					v := w
					v.set, v.unsure, v.wide = set, s.and(w.unsure, set), s.and(w.wide, e.set)
					if to.Map {
						split = append(split, s.become([]branch{v}, addrField, []Range{t}, to.From, true)...)
						continue
					}
					v.now[addrField] = view{kind: fixed, is: t, field: addrField}
					split = append(split, v)
				}
			}
		}
		ways = split
	} else if to.Map && len(targets) > 0 {
		ways = s.become(ways, addrField, targets, to.From, true)
	} else if len(targets) > 0 {
		var split []branch
		for _, w := range ways {
			for _, t := range targets {
				w.now[addrField] = view{kind: fixed, is: t, field: addrField}
				split = append(split, w)
			}
		}
		ways = split
	}
	for i := range ways {
		now := &ways[i].now
		ways[i].translated[bit] = s.add(s.differs(&now[addrField]), s.differs(&now[portField]))
	}
	if !to.Interface || kind != DNAT {
		return ways
	}
	for _, w := range ways {
		for _, r := range s.routed(w) {
			r.local = yes
			out = append(out, r)
		}
	}
	return out
}

// familyOf is the range of all addresses of the family of a view.
func (s *symbolic) familyOf(v *view) Range {
	switch {
	case v.kind == fixed:
		return family(v.is)
	case v.kind == shifted:
		return family(Single(v.to))
	case s.four:
		return AllIPv4()
	}
	return AllIPv6()
}

// become is what connections are behind a translation of a field: see the function become.
func (s *symbolic) become(ways []branch, f Field, to, from []Range, mapped bool) (out []branch) {
	for _, w := range ways {
		v := &w.now[f]
		switch {
		case v.kind == fixed:
			v.is = become(v.is, to, from, mapped)
			out = append(out, w)
			continue
		case v.kind == asSent && mapped && len(to) == 1 && len(from) == 1:
			part := from[0] // of it what comes to lie in to
			if width := to[0].Last.minus(to[0].First); width.less(part.Last.minus(part.First)) {
				part.Last = part.First.plus(width)
			}
			moved := w
			moved.now[f] = view{kind: shifted, field: v.field, from: part.First, to: to[0].First, partial: part}
			if moved.set = s.and(w.set, s.values(v.field, []Range{part})); moved.set != none {
				moved.unsure = s.and(w.unsure, moved.set)
				out = append(out, moved)
			}
			w.set = s.without(w.set, moved.set)
			w.unsure = s.and(w.unsure, w.set)
		}
		w.now[f] = view{kind: fixed, is: Range{to[0].First, to[len(to)-1].Last}, field: f}
		if w.set != none {
			out = append(out, w)
		}
	}
	return out
}

// Space is what a device lets through of the connections that a query asks for, as their clients send them.
type Space struct {
	zones  []string
	spaces [2]*universe // IPv4 and IPv6
	sets   [2][]bounds  // by zone
	most   int
}

// Space computes what the device lets through. It says for every connection what Decide does.
func (rs *Ruleset) Space(q Query) (*Space, error) {
	out := &Space{zones: q.zones(rs), most: q.most()}
	for i := range out.spaces {
		s := newSpace(&q, i == 0, mostNodes)
		out.spaces[i] = s
		for _, zone := range out.zones {
			b, err := s.through(rs, rs.places(zone), nil)
			if err != nil {
				return nil, err
			}
			out.sets[i] = append(out.sets[i], b.bounds)
			var but []*flowSet
			for k := range out.sets[i] {
				but = append(but, &out.sets[i][k].must, &out.sets[i][k].may)
			}
			s.rest(but...)
		}
	}
	return out, nil
}

// Verdict is what the universe says of one connection, whose addresses and ports are known. It is Unread for one that the
// query did not ask for.
func (sp *Space) Verdict(f Flow) Verdict {
	zone := slices.Index(sp.zones, f.In)
	i := 1
	if v4 := AllIPv4(); v4.holds(f.Src.First) {
		i = 0
	}
	s := sp.spaces[i]
	bit := s.point(&f)
	if zone < 0 || !s.bdd.holds(s.domain, bit) {
		return Unread
	}
	switch b := sp.sets[i][zone]; {
	case s.bdd.holds(b.must, bit):
		return Permitted
	case s.bdd.holds(b.may, bit):
		return Possibly
	}
	return Denied
}

// Permitted lists boxes of what is surely let through, and tells how many more there are.
func (sp *Space) Permitted() ([]Box, uint64, error) {
	return sp.boxes(func(_ *universe, b bounds) flowSet { return b.must })
}

// Possibly lists boxes of what may be let through, and is not surely.
func (sp *Space) Possibly() ([]Box, uint64, error) {
	return sp.boxes(func(s *universe, b bounds) flowSet { return s.without(b.may, b.must) })
}

func (sp *Space) boxes(of func(*universe, bounds) flowSet) (list []Box, more uint64, err error) {
	for i, s := range sp.spaces {
		z := byZone{universe: s, zones: sp.zones}
		for _, b := range sp.sets[i] {
			z.sets = append(z.sets, of(s, b))
		}
		if s.full {
			return nil, 0, errTooMany
		}
		boxes, total, err := z.boxes(sp.most - len(list))
		if err != nil {
			return nil, 0, err
		}
		list = append(list, boxes...)
		more = saturate(more, total-uint64(len(boxes)))
	}
	return list, more, nil
}

// point tells the bits of a connection.
func (s *universe) point(f *Flow) func(level uint32) bool {
	return func(level uint32) bool {
		for i, v := range [...]Value{SrcAddr: f.Src.First, DstAddr: f.Dst.First, SrcPort: f.SrcPort.First, DstPort: f.DstPort.First} {
			at := s.fields[i]
			if level < at.at || level >= at.at+at.width {
				continue
			}
			n := at.width - 1 - (level - at.at) // of the value
			if n >= 64 {
				return v.Hi>>(n-64)&1 == 1
			}
			return v.Lo>>n&1 == 1
		}
		return false
	}
}
