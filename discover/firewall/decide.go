package firewall

import (
	"cmp"
	"net/netip"
	"slices"
)

// Verdict is what rules say of a connection.
type Verdict uint8

const (
	Unread    Verdict = iota // no rules were read for the way it takes
	Denied                   // it is not let through
	Possibly                 // it may be let through: Words tell what is not modelled
	Permitted                // it is let through
)

var verdicts = [...]string{"not read", "denied", "possibly permitted", "permitted"}

func (v Verdict) String() string { return verdicts[v] }

// MarshalText writes the verdict's word.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// Flow is a TCP connection as it arrives at a device. What is not known of it is a range.
type Flow struct {
	In       string // interface or zone that it enters by
	Src, Dst Range
	SrcPort  Range
	DstPort  Range
}

// NewFlow is the flow of a client to a server. Port 0 of the client: one that its system picks, 1024 to 65535.
func NewFlow(in string, src, dst netip.AddrPort) Flow {
	f := Flow{In: in, Src: One(src.Addr()), Dst: One(dst.Addr()), SrcPort: Ports(src.Port(), src.Port()), DstPort: Ports(dst.Port(), dst.Port())}
	if src.Port() == 0 {
		f.SrcPort = Ports(1024, 65535)
	}
	return f
}

// Decision is what a device does with a connection.
type Decision struct {
	Device  string
	Verdict Verdict
	Hops    []Hop
	Words   []string // what is not modelled, where the verdict is Possibly
	Local   bool     // the connection ends at the device itself
	// Leaves is the connection behind the device, with addresses translated. In is not set.
	Leaves Flow
	// Out lists the interfaces that it may leave by; empty: not known.
	Out []string
	// Carries: the device knows the way: it is itself the end, translates the destination, or has a route on. Elsewhere: it
	// knows where networks lie, and the connection goes to none of them, or back where it came from.
	Carries, Elsewhere bool
}

// Hop is one step that decided something.
type Hop struct {
	Step *Step
	// Ends are the lines that may have decided; one, where it is sure.
	Ends []End
	// Packet is First, or another where not the opening packet but a later one is what the line is about.
	Packet uint8
	// From and To are the address and port before and after translation.
	From, To Flow
}

// End is a line that decides: a rule, or the policy of a chain.
type End struct {
	Chain  *Chain
	Rule   *Rule // nil: the chain's policy
	Action Action
}

// Decide follows a connection through the device: its first packet, and where steps are not stateful the answer and what
// follows as well.
func (rs *Ruleset) Decide(f Flow) Decision {
	return rs.Decider().Decide(f)
}

// Decide follows a connection through the device.
func (d *Decider) Decide(f Flow) Decision {
	return (&decider{Decider: d, budget: 1 << 22}).decide(f)
}

func (d *decider) decide(f Flow) Decision {
	rs := d.rs
	c := connection{orig: f, now: f, in: d.places(f.In), untold: true}
	if d.asksOrigOut {
		c.origOut = d.behind(f.Dst)
	}
	got := d.run(0, c)
	got.Device = rs.Device
	slices.Sort(got.Words)
	got.Words = slices.Compact(got.Words)
	return got
}

// decider follows one connection.
type decider struct {
	*Decider
	budget int // rules that may still be looked at: jumps can multiply them without end
	forks  int
	every  bool // hops are kept of every packet, not of the first and those that are lost alone
}

// connection is the state of a connection between two steps.
type connection struct {
	orig, now  Flow // as it came, and as it is
	in, out    places
	origOut    places // where the original destination lies
	untold     bool   // out and local are not told yet
	local      truth
	carries    bool  // it has a route on
	elsewhere  bool  // as Decision has it
	translated uint8 // bits of Translated that are set
	perhaps    uint8 // and that may be: it became one of several, which may be what it was
	dnat, snat bool  // a step of the kind has decided
	snatAt     int   // index of the step that translated the source, plus 1; 0: none
	pass       bool
	hops       []Hop
	words      []string
	unsure     bool
	// blind: something not modelled came before the connection was known (notrack, a queue), or translates it: states and
	// addresses may not be what they seem, so that not even a drop is sure.
	blind bool
}

// run goes on from a step to the end.
func (d *decider) run(at int, c connection) Decision {
	for ; at < len(d.rs.Steps); at++ {
		if c.untold && at >= d.behindDNAT {
			c.untold = false
			d.route(&c)
			if d.hooked && c.local == maybe {
				through, local := c, c
				through.local, local.local = no, yes
				words := []string{"whether the address is the device's own"}
				return d.either(words, d.run(at, through), d.run(at, local))
			}
		}
		step := &d.rs.Steps[at]
		if !d.meets(step, &c, First) || c.dnat && step.Kind == DNAT || c.snat && step.Kind == SNAT ||
			c.pass && step.Kind == Filter && step.Hook != Forward {
			continue
		}
		p := d.packet(step, at, &c, First)
		when := step.When.holds(p)
		if when == no {
			continue
		}
		ends, words := d.walk(step, p)
		if when == maybe {
			words = append(words, step.When.words(p)...)
			ends = append(ends, End{Action: Accept})
		}
		if step.Kind != Filter {
			if done, ok := d.translate(at, &c, ends, words); ok {
				return done
			}
			continue
		}
		if stop := d.filtered(&c, step, First, ends, words); stop {
			return d.end(c, Denied)
		}
	}
	if c.untold {
		d.route(&c)
	}
	for _, phase := range []uint8{Answer, Later, LaterAnswer} {
		if d.follow(&c, phase) {
			return d.end(c, Denied)
		}
	}
	if c.unsure {
		return d.end(c, Possibly)
	}
	return d.end(c, Permitted)
}

// follow takes a later packet of the connection through the steps that look at each one.
func (d *decider) follow(c *connection, phase uint8) (stop bool) {
	for at := range d.rs.Steps {
		step := &d.rs.Steps[at]
		if step.Kind != Filter || step.Stateful || c.pass && step.Hook != Forward || !d.meets(step, c, phase) {
			continue
		}
		p := d.packet(step, at, c, phase)
		when := step.When.holds(p)
		if when == no {
			continue
		}
		ends, words := d.walk(step, p)
		if when == maybe {
			words = append(words, step.When.words(p)...)
			ends = append(ends, End{Action: Accept})
		}
		if d.filtered(c, step, phase, ends, words) {
			return true
		}
	}
	return false
}

// filtered books what a filter step did. It reports whether the packet is surely lost.
func (d *decider) filtered(c *connection, step *Step, phase uint8, ends []End, words []string) (stop bool) {
	lets, stops, unsure := false, false, false
	for _, e := range ends {
		switch e.Action {
		case Drop, Reject:
			stops = true
		case Uncertain:
			unsure = true
		default:
			lets = true
		}
	}
	if phase == First || stops || unsure || d.every {
		c.hops = append(slices.Clip(c.hops), Hop{Step: step, Ends: ends, Packet: phase})
	}
	if stops && (lets || unsure) || unsure {
		c.unsure = true
		c.blind = c.blind || unsure && (step.Hook == Prerouting || step.Hook == Output)
		c.words = append(slices.Clip(c.words), words...)
	}
	return stops && !lets && !unsure
}

// translate does what a NAT step says. Where several ends are possible it follows each, and returns what comes of them.
func (d *decider) translate(at int, c *connection, ends []End, words []string) (Decision, bool) {
	var ways []connection
	var all []Decision
	for _, e := range ends {
		if e.Action == Drop || e.Action == Reject {
			lost := *c
			lost.hops = append(slices.Clip(c.hops), Hop{Step: &d.rs.Steps[at], Ends: []End{e}, Packet: First, From: c.now, To: c.now})
			all = append(all, d.end(lost, Denied))
			continue
		}
		ways = append(ways, d.translated(at, *c, e)...)
	}
	if len(ways) == 1 && len(ends) == 1 {
		*c = ways[0]
		return Decision{}, false
	}
	if d.forks += len(ways); d.forks > 256 {
		c.unsure, c.words = true, append(slices.Clip(c.words), "more ways to translate than can be followed")
		return d.end(*c, Possibly), true
	}
	for _, w := range ways {
		all = append(all, d.run(at+1, w))
	}
	return d.either(words, all...), true
}

// translated is a connection behind one end of a NAT step: one, or several where it can become any of several ranges.
func (d *decider) translated(at int, c connection, e End) []connection {
	step := &d.rs.Steps[at]
	set := func(c *connection) {
		if step.Kind == DNAT {
			c.dnat = true
		} else {
			c.snat = true
		}
	}
	switch e.Action {
	case Exempt:
		set(&c)
		c.hops = append(slices.Clip(c.hops), Hop{Step: step, Ends: []End{e}, Packet: First, From: c.now, To: c.now})
		return []connection{c}
	case Uncertain: // it may become anything, so that nothing behind is sure either
		c.unsure, c.blind = true, true
		if e.Rule != nil {
			c.words = append(slices.Clip(c.words), e.Rule.Words...)
		}
		return []connection{c}
	case Translate:
	default:
		if d.every && e.Rule != nil {
			c.hops = append(slices.Clip(c.hops), Hop{Step: step, Ends: []End{e}, Packet: First, From: c.now, To: c.now})
		}
		return []connection{c}
	}
	set(&c)
	to := &e.Rule.To
	addr, port, bit := &c.now.Dst, &c.now.DstPort, uint8(1)
	own := c.in
	if step.Kind == SNAT {
		addr, port, bit, own = &c.now.Src, &c.now.SrcPort, 2, c.out
	}
	from := c.now
	if step.Kind == SNAT {
		c.snatAt = at + 1
	}
	if len(to.Ports) > 0 {
		*port = become(*port, to.Ports, to.FromPorts, to.Map)
	}
	if len(to.Words) > 0 {
		c.unsure, c.words = true, append(slices.Clip(c.words), to.Words...)
		*addr = family(*addr)
	}
	targets := to.Addrs
	if to.Interface {
		targets = d.rs.addressOf(own, family(*addr))
		if step.Kind == DNAT {
			c.local, c.untold = yes, false
		}
	}
	var out []connection
	if len(targets) == 0 || to.Map {
		if to.Map && len(targets) > 0 {
			*addr = become(*addr, targets, to.From, true)
		}
		targets = []Range{*addr}
	}
	for _, t := range targets {
		w := c
		if step.Kind == DNAT {
			w.now.Dst = t
		} else {
			w.now.Src = t
		}
		w.hops = append(slices.Clip(c.hops), Hop{Step: step, Ends: []End{e}, Packet: First, From: from, To: w.now})
		was, is := [2]Range{from.Dst, from.DstPort}, [2]Range{w.now.Dst, w.now.DstPort}
		if step.Kind == SNAT {
			was, is = [2]Range{from.Src, from.SrcPort}, [2]Range{w.now.Src, w.now.SrcPort}
		}
		switch differ(was[:], is[:]) {
		case yes:
			w.translated |= bit
		case maybe:
			w.perhaps |= bit
		}
		if e.Rule.Pass {
			w.pass = true
		}
		if to.Interface && step.Kind == DNAT {
			d.route(&w)
			w.local = yes
		}
		out = append(out, w)
	}
	return out
}

// differ says whether values are others than they were. What stays is the same range.
func differ(was, is []Range) truth {
	t := no
	for i := range was {
		switch {
		case was[i] == is[i]:
		case was[i].Last.less(is[i].First) || is[i].Last.less(was[i].First):
			return yes
		default:
			t = maybe
		}
	}
	return t
}

// become is what a range of values becomes. In a map each value keeps its place; else any of to may come of it, as one
// range.
func become(r Range, to, from []Range, mapped bool) Range {
	if mapped && len(to) == 1 && len(from) == 1 && from[0].holds(r.First) && from[0].holds(r.Last) {
		first := to[0].First.plus(r.First.minus(from[0].First))
		last := to[0].First.plus(r.Last.minus(from[0].First))
		if to[0].holds(first) && to[0].holds(last) {
			return Range{first, last}
		}
	}
	return Range{to[0].First, to[len(to)-1].Last}
}

// family is the range of all addresses of the family of r.
func family(r Range) Range {
	if v4 := AllIPv4(); v4.holds(r.First) {
		return v4
	}
	return AllIPv6()
}

// either joins what may happen: its answer holds for each of the ways, or for each that is not denied.
func (d *decider) either(words []string, all ...Decision) Decision {
	same := true
	for i := range all {
		same = same && all[i].Verdict == all[0].Verdict
	}
	ways := all
	if !same {
		ways = slices.DeleteFunc(slices.Clone(all), func(w Decision) bool { return w.Verdict == Denied })
	}
	out := d.joined(ways)
	if same && all[0].Verdict != Possibly {
		return out
	}
	out.Verdict = Possibly
	out.Words = slices.Clone(words)
	for _, o := range all {
		out.Words = append(out.Words, o.Words...)
	}
	return out
}

// joined is what several ways have in common, with all lines that decide in one of them. A step that not each way meets
// has an end that is no line.
func (d *decider) joined(ways []Decision) Decision {
	out := ways[0]
	out.Hops = slices.Clone(out.Hops)
	at := func(list []Hop, h Hop) int {
		return slices.IndexFunc(list, func(o Hop) bool { return o.Step == h.Step && o.Packet == h.Packet })
	}
	for i := range out.Hops {
		out.Hops[i].Ends = slices.Clip(out.Hops[i].Ends)
	}
	for _, w := range ways[1:] {
		out.Local = out.Local && w.Local
		out.Leaves = out.Leaves.hull(w.Leaves)
		if len(out.Out) == 0 || len(w.Out) == 0 {
			out.Out = nil
		} else {
			out.Out = append(slices.Clip(out.Out), w.Out...)
			slices.Sort(out.Out)
			out.Out = slices.Compact(out.Out)
		}
		for i := range out.Hops {
			if h := &out.Hops[i]; at(w.Hops, *h) < 0 {
				h.add(End{Action: Accept})
			}
		}
		for _, h := range w.Hops {
			i := at(out.Hops, h)
			if i < 0 {
				h.Ends = slices.Clip(h.Ends)
				h.add(End{Action: Accept})
				out.Hops = append(out.Hops, h)
				continue
			}
			o := &out.Hops[i]
			for _, e := range h.Ends {
				o.add(e)
			}
			o.From, o.To = o.From.hull(h.From), o.To.hull(h.To)
		}
	}
	place := func(h Hop) int {
		for i := range d.rs.Steps {
			if &d.rs.Steps[i] == h.Step {
				return i
			}
		}
		return 0
	}
	slices.SortStableFunc(out.Hops, func(a, b Hop) int { return cmp.Or(cmp.Compare(a.Packet, b.Packet), place(a)-place(b)) })
	return out
}

func (h *Hop) add(e End) {
	if !slices.Contains(h.Ends, e) {
		h.Ends = append(h.Ends, e)
	}
}

// hull is what holds both flows.
func (f Flow) hull(g Flow) Flow {
	f.Src, f.Dst, f.SrcPort, f.DstPort = f.Src.hull(g.Src), f.Dst.hull(g.Dst), f.SrcPort.hull(g.SrcPort), f.DstPort.hull(g.DstPort)
	return f
}

func (r Range) hull(s Range) Range {
	if s.First.less(r.First) {
		r.First = s.First
	}
	if r.Last.less(s.Last) {
		r.Last = s.Last
	}
	return r
}

func (d *decider) end(c connection, v Verdict) Decision {
	if v == Denied && c.blind {
		v = Possibly
	}
	if c.untold {
		d.route(&c)
	}
	out := Decision{Verdict: v, Hops: c.hops, Local: c.local == yes, Leaves: c.now}
	out.Leaves.In = ""
	if v == Possibly {
		out.Words = c.words
	}
	for _, p := range c.out {
		out.Out = append(out.Out, p[0])
	}
	out.Carries = out.Local || c.dnat || c.carries
	out.Elsewhere = !out.Carries && c.elsewhere
	return out
}

// meets reports whether a packet of a phase passes the hook of a step.
func (d *Decider) meets(step *Step, c *connection, phase uint8) bool {
	local := c.local == yes
	switch step.Hook {
	case Prerouting:
		return phase&(First|Later) != 0 || !local
	case Input:
		return local && phase&(First|Later) != 0
	case Forward:
		return !local
	case Output:
		return local && phase&(Answer|LaterAnswer) != 0
	case Postrouting:
		return !local || phase&(Answer|LaterAnswer) != 0
	}
	return true
}

// packet is how a step sees a packet of the connection.
func (d *decider) packet(step *Step, at int, c *connection, phase uint8) *packet {
	p := &packet{phase: phase, in: c.in, out: c.out, origOut: c.origOut, translated: c.translated, perhaps: c.perhaps}
	if step.OwnOut && c.local == yes {
		p.out = d.behind(c.now.Dst)
	}
	p.numbers[Proto], p.numbers[Family] = Single(Number(6)), Single(Number(6))
	if v4 := AllIPv4(); v4.holds(c.orig.Src.First) && v4.holds(c.orig.Src.Last) {
		p.numbers[Family] = Single(Number(4))
	}
	p.numbers[OrigDst], p.numbers[OrigDstPort] = c.orig.Dst, c.orig.DstPort
	h := c.now
	if phase != First {
		h = d.header(at, c, phase)
	}
	if phase&(Answer|LaterAnswer) != 0 {
		p.in, p.out = c.out, c.in
		h.Src, h.Dst, h.SrcPort, h.DstPort = h.Dst, h.Src, h.DstPort, h.SrcPort
	}
	if step.Original {
		if phase&(Answer|LaterAnswer) != 0 {
			h.Src, h.SrcPort = c.orig.Dst, c.orig.DstPort
		} else {
			h.Dst, h.DstPort = c.orig.Dst, c.orig.DstPort
		}
	}
	p.numbers[SrcAddr], p.numbers[DstAddr], p.numbers[SrcPort], p.numbers[DstPort] = h.Src, h.Dst, h.SrcPort, h.DstPort
	p.srcLocal, p.dstLocal = d.owns(h.Src), d.owns(h.Dst)
	switch {
	case step.Hook == Input || step.Hook == Prerouting: // it leaves by nothing, or nobody knows yet by what
		p.out = places{{""}}
	case step.Hook == Output || step.Hook == Postrouting && c.local == yes: // it came in by nothing
		p.in = places{{""}}
	}
	if step.Hook == Output && c.now.Src != c.orig.Src {
		p.out = d.answers(c.now.Src)
	}
	return p
}

// header is the connection, in its original direction, as the packets behind the first have it at a step.
func (d *decider) header(at int, c *connection, phase uint8) Flow {
	h := c.now
	src, dst := d.original(at, phase, c.snatAt)
	if src {
		h.Src, h.SrcPort = c.orig.Src, c.orig.SrcPort
	}
	if dst {
		h.Dst, h.DstPort = c.orig.Dst, c.orig.DstPort
	}
	return h
}

// original says which end of a connection a step sees as the client sent it, in the packets behind the first: translations
// are done where the first packet had them done, and undone at the same places on the way back.
// snatAt is behind the step that translated the source; 0: none did.
func (d *Decider) original(at int, phase uint8, snatAt int) (src, dst bool) {
	back, early := phase&(Answer|LaterAnswer) != 0, at < d.behindDNAT
	switch {
	case !back && early:
		return true, true
	case !back:
		return at < snatAt, false
	case early: // neither is undone yet
		return false, false
	case d.rs.Steps[at].Hook == Output && at < d.outSNAT:
		return false, false
	case d.firstSNAT == 0 || at < d.firstSNAT: // the client's address is back
		return true, false
	}
	return true, true
}

// walk asks the rules of a step. It returns the lines that may decide, and the words that leave it open.
func (d *decider) walk(step *Step, p *packet) (ends []End, words []string) {
	chain := d.rs.Chains[step.Chain]
	if chain == nil {
		return []End{{Action: Uncertain}}, []string{"chain " + step.Chain + " is not in the export"}
	}
	w := walk{decider: d, p: p}
	if step.LastMatch {
		w.last(chain)
	} else if w.chain(chain, nil) != no {
		w.ends = append(w.ends, End{chain, nil, chain.Policy})
	}
	return w.ends, w.words
}

// walk is one packet in the rules of one step.
type walk struct {
	*decider
	p     *packet
	ends  []End
	words []string
}

// matched says whether a rule matches, and keeps the words that leave it open.
func (w *walk) matched(r *Rule) truth {
	if r.Disabled {
		return no
	}
	w.budget--
	t := r.Match.holds(w.p)
	if t == maybe && r.Action != Continue {
		w.words = append(w.words, r.Match.words(w.p)...)
	}
	if t != no && r.Action == Uncertain {
		w.words = append(w.words, r.Words...)
	}
	return t
}

// chain goes through a chain, and says whether the packet comes back from it.
func (w *walk) chain(c *Chain, from []*Chain) truth {
	if c == nil || slices.Contains(from, c) || len(from) > 64 || w.budget < 0 {
		word := "jumps that lead in a circle or are too many"
		if c == nil {
			word = "a chain that is not in the export"
		}
		w.ends, w.words = append(w.ends, End{Chain: c, Action: Uncertain}), append(w.words, word)
		return no
	}
	from = append(from, c)
	ended, back := false, false // it may have ended, or come back, at a rule before
	returns := func(t truth) truth {
		switch {
		case t == no && !back:
			return no
		case t == yes && !ended:
			return yes
		}
		return maybe
	}
	for r := range w.rules(c, w.p) {
		t := w.matched(r)
		if t == no || r.Action == Continue {
			continue
		}
		switch r.Action {
		case Return:
			if t == yes {
				return returns(yes)
			}
			back = true
		case Jump, Goto:
			n := len(w.ends)
			sub := w.chain(w.rs.Chains[r.Chain], from)
			ended = ended || len(w.ends) > n
			switch {
			case t == yes && sub == no:
				return returns(no)
			case t == yes && r.Action == Goto:
				return returns(sub)
			case r.Action == Goto && sub != no:
				back = true
			}
		default:
			w.ends = append(w.ends, End{c, r, r.Action})
			ended = true
			if t == yes {
				return returns(no)
			}
		}
		if w.budget < 0 {
			w.ends, w.words = append(w.ends, End{Chain: c, Action: Uncertain}), append(w.words, "more rules than can be followed")
			return no
		}
	}
	return returns(yes)
}

// last goes through the one chain of a step whose last match decides.
func (w *walk) last(c *Chain) {
	candidates := []End{{c, nil, c.Policy}}
	for r := range w.rules(c, w.p) {
		t := w.matched(r)
		if t == no || r.Action == Continue {
			continue
		}
		e := End{c, r, r.Action}
		switch {
		case t == yes && r.Quick:
			w.ends = append(w.ends, e)
			return
		case r.Quick:
			w.ends = append(w.ends, e)
		case t == yes:
			candidates = append(candidates[:0], e)
		default:
			candidates = append(candidates, e)
		}
	}
	w.ends = append(w.ends, candidates...)
}
