package report

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"relaysweep/discover"
	"relaysweep/discover/firewall"
	"relaysweep/probe"
)

// Rules are the firewalls between the vantage and its targets, as their exports have them.
type Rules struct {
	Devices []firewall.Device // in the order that connections meet them
	// Zone is where the vantage's connections enter, and Source the address that they come from, where no finding tells.
	Zone   string
	Source netip.Addr
	// Targets are what the scan looked at, with what it saw. nil: the findings alone are joined to the rules.
	Targets iter.Seq2[netip.AddrPort, discover.State]
	// Keep are connections that are approved: no proposed edit may close one of them.
	Keep []firewall.Keep

	paths sync.Pool // of *firewall.Path
}

// Line is a line of a firewall that let a connection through, translated it or stopped it.
type Line struct {
	Device  string
	Step    string // the list that it stands in
	Action  string // accept, drop, reject, dnat, snat, exempt
	Rule    string // the device's own name of it; "policy" for what happens to what no rule decides
	Where   string // file:line
	Text    string
	Comment string
	Owner   string
	Ticket  string
	Created firewall.Change
	Changed firewall.Change
	Counter *firewall.Counter
	Read    time.Time // when the export was made: its counters are of that time
	From    string    // of a translation: what was there before
	To      string    // and after
	Sure    bool      // it decides for certain
	Packet  string    // which packet it is about, where not the first: the answer
}

// Reconciliation sets what the scan saw beside what the rules say.
type Reconciliation struct {
	Devices []DeviceSummary
	// Counts of targets.
	Explained   int // reachable, and permitted
	Possibly    int // reachable, and possibly permitted
	Unexplained int // reachable, and denied
	Unread      int // reachable, and no device that was read is on the way
	Intended    int // not reachable, and denied
	// Answered: denied in silence (drop), and answered with a reset: packets get there, or something on the way rejects them.
	Answered   int
	Stale      int // permitted, and nothing listens: the host answered with a reset
	NotKnown   int // permitted, and silent or not looked at: what listens there is not known
	Openings   []RuleUse
	Shadowed   []ShadowedRule
	Unshadowed []string // devices whose lines without effect were not looked for, and why
	// Left is how many targets were not held against the rules, as there were too many.
	Left uint64
}

// DeviceSummary is what was read of a device.
type DeviceSummary struct {
	Device, Language string
	Files            []firewall.File
	Exported         time.Time
	Rules            int
	Notes            []firewall.Note
}

// RuleUse is a line that permits, with all that it opens among the targets.
type RuleUse struct {
	Line   Line
	States map[string]int // relay, mail, other, closed, silent, not scanned
	Opens  []Use
}

// Use is one target that a line opens.
type Use struct {
	Addr  netip.AddrPort
	State string
}

// ShadowedRule is a line about the scan's ports that never decides anything, as lines before it do.
type ShadowedRule struct {
	Line Line
	By   []Line
	More int // further ones
	// Same: the lines before do the same, so that this one may go; else it says something that does not happen.
	Same bool
}

// States of what a rule opens.
const (
	useRelay      = "relay"
	useMail       = "mail service"
	useOther      = "other listener"
	useOpen       = "open"
	useClosed     = "closed"
	useSilent     = "silent"
	useProhibited = "prohibited"
	useNot        = "not scanned"
)

var useOrder = []string{useRelay, useMail, useOther, useOpen, useClosed, useProhibited, useSilent, useNot}

const (
	maxReconciled = 200_000 // targets that are held against the rules
)

// follow takes a connection through the firewalls. It may be called by several at once.
func (in *Rules) follow(f firewall.Flow) firewall.Way {
	p, ok := in.paths.Get().(*firewall.Path)
	if !ok {
		p = firewall.NewPath(in.Devices)
	}
	defer in.paths.Put(p)
	return p.Follow(f)
}

// flow is the connection of a scan to a target, as it leaves the vantage.
func (in *Rules) flow(to netip.AddrPort, from netip.AddrPort) firewall.Flow {
	if from.Addr().IsValid() {
		return firewall.NewFlow(in.Zone, from, to)
	}
	if s := in.Source; s.IsValid() && s.Is4() == to.Addr().Is4() {
		return firewall.NewFlow(in.Zone, netip.AddrPortFrom(s, from.Port()), to)
	}
	f := firewall.NewFlow(in.Zone, netip.AddrPortFrom(to.Addr(), from.Port()), to)
	f.Src = firewall.AllIPv6()
	if to.Addr().Is4() {
		f.Src = firewall.AllIPv4()
	}
	return f
}

// cameFrom is the address and port that a finding was reached from.
func cameFrom(f *probe.Finding) netip.AddrPort {
	if f.Source != "" {
		if a, err := netip.ParseAddrPort(f.Source); err == nil {
			return a
		}
		if a, err := netip.ParseAddr(f.Source); err == nil {
			return netip.AddrPortFrom(a, 0)
		}
	}
	var port uint16
	if p, ok := strings.CutPrefix(f.Source, ":"); ok {
		fmt.Sscan(p, &port)
	}
	if a, err := netip.ParseAddr(f.LocalAddr); err == nil {
		return netip.AddrPortFrom(a.Unmap(), port)
	}
	return netip.AddrPortFrom(netip.Addr{}, port)
}

// explain joins the rules to the findings, and the findings to the rules.
func (r *Report) explain(in *Rules) {
	if in == nil || len(in.Devices) == 0 {
		return
	}
	rec := &Reconciliation{}
	r.Rules = rec
	for _, d := range in.Devices {
		s := DeviceSummary{Device: d.Device, Language: d.Language, Files: d.Files, Exported: d.Exported, Notes: d.Notes}
		for range d.Lines() {
			s.Rules++
		}
		rec.Devices = append(rec.Devices, s)
	}
	uses := make(map[*firewall.Rule]*RuleUse)
	var order []*firewall.Rule
	use := func(w *firewall.Way, at netip.AddrPort, state string) {
		for i := range w.Decisions {
			d := &w.Decisions[i]
			for _, h := range d.Hops {
				if h.Step.Kind != firewall.Filter || h.Packet != firewall.First {
					continue
				}
				for _, e := range h.Ends {
					if e.Rule == nil || e.Action != firewall.Accept {
						continue
					}
					u := uses[e.Rule]
					if u == nil {
						u = &RuleUse{Line: lineOf(in.device(d.Device), &h, e), States: make(map[string]int)}
						uses[e.Rule] = u
						order = append(order, e.Rule)
					}
					u.States[state]++
					u.Opens = append(u.Opens, Use{at, state})
				}
			}
		}
	}
	seen := make(map[netip.AddrPort]bool)
	ways := make([]firewall.Way, len(r.Entries))
	inParallel(len(r.Entries), func(i int) {
		f := &r.Entries[i].Finding
		ways[i] = in.follow(in.flow(f.Addr, cameFrom(f)))
	})
	var from netip.AddrPort // where most connections came from
	for i, e := range r.Entries {
		w := ways[i]
		if e.Finding.Vantage != r.Scan.Vantage { // the rules' zone is not its
			continue
		}
		seen[e.Finding.Addr] = true
		if c := cameFrom(&e.Finding); e.Finding.Source == "" && c.IsValid() {
			from = c
		}
		e.Way = &w
		e.Openings = linesOf(in, &w)
		r.judgedByRules(e)
		switch w.Verdict {
		case firewall.Permitted:
			rec.Explained++
		case firewall.Possibly:
			rec.Possibly++
		case firewall.Denied:
			rec.Unexplained++
		default:
			rec.Unread++
		}
		use(&w, e.Finding.Addr, e.use())
	}
	r.reconcile(in, rec, seen, from, use)
	r.propose(in)
	rec.Shadowed, rec.Unshadowed = Shadowed(in.Devices, r.Scan.Ports)
	for _, e := range r.Entries {
		if e.Way != nil {
			e.Fix = fixFor(e, &r.Scan, r.inside(&e.Finding))
		}
	}
	for _, rule := range order {
		u := uses[rule]
		slices.SortStableFunc(u.Opens, func(a, b Use) int {
			return cmp.Or(cmp.Compare(slices.Index(useOrder, a.State), slices.Index(useOrder, b.State)), a.Addr.Compare(b.Addr))
		})
		rec.Openings = append(rec.Openings, *u)
	}
	slices.SortStableFunc(rec.Openings, func(a, b RuleUse) int {
		for _, s := range useOrder[:3] {
			if c := cmp.Compare(b.States[s], a.States[s]); c != 0 {
				return c
			}
		}
		return cmp.Or(cmp.Compare(a.Line.Where, b.Line.Where), cmp.Compare(a.Line.Rule, b.Line.Rule))
	})
}

// reconcile holds the targets that are not open against the rules.
func (r *Report) reconcile(in *Rules, rec *Reconciliation, seen map[netip.AddrPort]bool, from netip.AddrPort, use func(*firewall.Way, netip.AddrPort, string)) {
	if in.Targets == nil {
		return
	}
	type target struct {
		addr  netip.AddrPort
		state discover.State
	}
	var list []target
	for a, s := range in.Targets {
		if seen[a] {
			continue
		}
		if len(list) == maxReconciled {
			rec.Left = tally(r.Coverage).Targets - uint64(len(list)+len(seen))
			break
		}
		list = append(list, target{a, s})
	}
	ways := make([]firewall.Way, len(list))
	inParallel(len(list), func(i int) {
		src := from
		if src.Addr().Is4() != list[i].addr.Addr().Is4() {
			src = netip.AddrPort{}
		}
		ways[i] = in.follow(in.flow(list[i].addr, src))
	})
	for i, t := range list {
		w := &ways[i]
		lets := w.Verdict == firewall.Permitted || w.Verdict == firewall.Possibly
		sure := w.Verdict == firewall.Permitted
		switch {
		case t.state == discover.Open && w.Verdict == firewall.Denied: // it opened, and no finding tells of it
			rec.Unexplained++
		case w.Verdict == firewall.Denied && t.state == discover.Closed && dropped(w):
			rec.Answered++
		case w.Verdict == firewall.Denied:
			rec.Intended++
		case !lets || t.state == discover.Closed && !sure:
		case t.state == discover.Closed:
			rec.Stale++
		case t.state != discover.Open:
			rec.NotKnown++
		}
		if lets {
			use(w, t.addr, useOf(t.state))
		}
	}
}

// dropped reports whether a way ends in silence.
func dropped(w *firewall.Way) bool {
	d := w.Decisions[len(w.Decisions)-1]
	if len(d.Hops) == 0 {
		return false
	}
	ends := d.Hops[len(d.Hops)-1].Ends
	return len(ends) == 1 && ends[0].Action == firewall.Drop
}

func useOf(s discover.State) string {
	switch s {
	case discover.Open:
		return useOpen
	case discover.Closed:
		return useClosed
	case discover.Filtered:
		return useSilent
	case discover.Prohibited:
		return useProhibited
	}
	return useNot
}

func (e *Entry) use() string {
	switch {
	case e.exposed():
		return useRelay
	case e.mail():
		return useMail
	case e.spoken():
		return useOther
	}
	return useOpen
}

func (in *Rules) device(name string) *firewall.Device {
	for i := range in.Devices {
		if in.Devices[i].Device == name {
			return &in.Devices[i]
		}
	}
	return nil
}

// linesOf lists what let a connection through or stopped it: translations, the lines that accept, or the one that
// denies. A policy is a line only where no rule of the device accepts.
func linesOf(in *Rules, w *firewall.Way) []Line {
	var out []Line
	for i := range w.Decisions {
		d := &w.Decisions[i]
		dev := in.device(d.Device)
		ruled := slices.ContainsFunc(d.Hops, func(h firewall.Hop) bool {
			return h.Step.Kind == firewall.Filter && slices.ContainsFunc(h.Ends, func(e firewall.End) bool { return e.Rule != nil })
		})
		for k := range d.Hops {
			h := &d.Hops[k]
			for _, e := range h.Ends {
				if e.Rule == nil && e.Action == firewall.Accept && (ruled || e.Chain == nil) {
					continue
				}
				out = append(out, lineOf(dev, h, e))
			}
		}
	}
	return out
}

func lineOf(dev *firewall.Device, h *firewall.Hop, e firewall.End) Line {
	l := Line{Device: dev.Device, Step: h.Step.Name, Action: actionWord(h, e), Read: dev.Exported, Sure: len(h.Ends) == 1}
	switch h.Packet {
	case firewall.Answer, firewall.LaterAnswer:
		l.Packet = "answer"
	case firewall.Later:
		l.Packet = "later packet"
	}
	if e.Chain != nil && e.Chain.Name != h.Step.Chain {
		l.Step += ", chain " + e.Chain.Name
	}
	if e.Rule == nil {
		l.Rule = "policy"
		if e.Chain != nil {
			l.Where, l.Text, l.Counter = placeText(e.Chain.Where), e.Chain.PolicyText, e.Chain.Counter
		}
		return l
	}
	rule := e.Rule
	l.Rule, l.Where, l.Text, l.Comment, l.Owner, l.Ticket = rule.ID, placeText(rule.Where), rule.Text, rule.Comment, rule.Owner, rule.Ticket
	if l.Comment == "" {
		l.Comment = rule.Name
	}
	l.Created, l.Changed, l.Counter = rule.Created, rule.Changed, rule.Counter
	if h.Step.Kind != firewall.Filter && e.Action == firewall.Translate {
		if h.Step.Kind == firewall.DNAT {
			l.From, l.To = firewall.Endpoint(h.From.Dst, h.From.DstPort), firewall.Endpoint(h.To.Dst, h.To.DstPort)
		} else {
			l.From, l.To = firewall.AddrText(h.From.Src), firewall.AddrText(h.To.Src)
			if l.To == "any" && rule.To.Interface {
				l.To = "the device's own address"
			}
		}
	}
	return l
}

func actionWord(h *firewall.Hop, e firewall.End) string {
	if e.Action == firewall.Translate {
		if h.Step.Kind == firewall.DNAT {
			return "dnat"
		}
		return "snat"
	}
	return e.Action.String()
}

func placeText(p firewall.Place) string {
	if p.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Unexplained lists what answered although the rules deny it.
func (r *Report) Unexplained() []*Entry { return r.only((*Entry).unexplained) }

func (e *Entry) unexplained() bool { return e.Way != nil && e.Way.Verdict == firewall.Denied }

// opener is the line that a reader is pointed to first: the last that accepts, else the last that there is.
func (e *Entry) opener() *Line {
	for i := range slices.Backward(e.Openings) {
		if e.Openings[i].Action == "accept" {
			return &e.Openings[i]
		}
	}
	return nil
}

// sourceNAT is the line that changed the address that the server saw, if the rules have one.
func (e *Entry) sourceNAT() *Line {
	for i := range e.Openings {
		if e.Openings[i].Action == "snat" {
			return &e.Openings[i]
		}
	}
	return nil
}

// short names a line in a few words: fw1 filter/FORWARD/12 (fw1.rules:40).
func (l *Line) short() string {
	s := l.Device + " " + l.Rule
	if l.Rule == "policy" {
		s = l.Device + " " + l.Step + " policy"
	}
	if l.Where != "" {
		s += " (" + l.Where + ")"
	}
	return s
}

// counterText tells a counter with its age: a zero whose age is not known says nothing.
func (l *Line) counterText() string {
	c := l.Counter
	if c == nil {
		return ""
	}
	s := plural(c.Packets, "match")
	if c.Packets != 1 {
		s = number(c.Packets) + " matches"
	}
	if !c.Last.IsZero() {
		s += ", last " + minute(c.Last)
	}
	switch {
	case !c.Since.IsZero():
		s += " since " + minute(c.Since)
	case c.Packets == 0:
		return s + ", but since when is not known: that says nothing"
	default:
		s += ", since when is not known"
	}
	if !l.Read.IsZero() {
		s += ", read " + minute(l.Read)
	}
	return s
}

func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

func changeText(c firewall.Change) string {
	s := c.By
	if !c.Time.IsZero() {
		s = joinNonEmpty(" ", s, minute(c.Time))
	}
	return s
}

// Shadowed lists the lines of devices that never decide anything on some ports, whoever connects.
func Shadowed(devices []firewall.Device, ports []uint16) (out []ShadowedRule, failed []string) {
	q := firewall.Query{}
	for _, p := range ports {
		q.Ports = append(q.Ports, firewall.Ports(p, p))
	}
	for i := range devices {
		dev := &devices[i]
		list, err := dev.Shadows(q)
		if err != nil {
			failed = append(failed, fmt.Sprintf("%s: lines without effect were not looked for: %v", dev.Device, err))
			continue
		}
		for _, s := range list {
			line := func(e firewall.End) Line {
				return lineOf(dev, &firewall.Hop{Step: s.Step, Ends: make([]firewall.End, 1), Packet: firewall.First}, e)
			}
			row := ShadowedRule{Line: line(firewall.End{Chain: s.Chain, Rule: s.Rule, Action: s.Rule.Action}), More: s.More, Same: s.Same}
			for _, e := range s.By {
				row.By = append(row.By, line(e))
			}
			out = append(out, row)
		}
	}
	return out, failed
}
