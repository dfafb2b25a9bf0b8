package firewall

import "slices"

// Device is a ruleset with its place on the way from a vantage to its targets.
type Device struct {
	*Ruleset
	// From is the zone or interface by which the vantage's connections enter; if empty, the one that the flow names.
	From string
}

// Way is what the devices on the way do with a connection, together.
type Way struct {
	Verdict   Verdict    // Unread: no device is on the way
	Decisions []Decision // of the devices on the way, in order; the last is the one that denies, if one does
	Words     []string   // what is not modelled
	Leaves    Flow       // as the server sees it
}

// Path answers many questions about devices in a row, whose rulesets must not change meanwhile. It is not for concurrent
// use.
type Path struct {
	from     []string
	deciders []*Decider
}

// NewPath prepares answers about devices, in the order that connections meet them.
func NewPath(devices []Device) *Path {
	p := new(Path)
	for _, d := range devices {
		p.from, p.deciders = append(p.from, d.From), append(p.deciders, d.Decider())
	}
	return p
}

// Follow takes a connection through the devices. One whose routes lead elsewhere is not on the way, if there is one that
// would carry it; where none is known to, all of them are asked.
func (p *Path) Follow(f Flow) Way {
	w := p.follow(f, true)
	if !slices.ContainsFunc(w.Decisions, func(d Decision) bool { return d.Carries }) {
		return p.follow(f, false)
	}
	return w
}

func (p *Path) follow(f Flow, skip bool) Way {
	w := Way{Leaves: f}
	w.Leaves.In = ""
	for i, decider := range p.deciders {
		arrives := w.Leaves
		arrives.In = first(p.from[i], f.In)
		d := decider.Decide(arrives)
		if skip && d.Elsewhere {
			continue
		}
		w.Decisions = append(w.Decisions, d)
		w.Words = append(w.Words, d.Words...)
		if w.Verdict == Unread || d.Verdict < w.Verdict {
			w.Verdict = d.Verdict
		}
		if d.Verdict == Denied {
			w.Words = nil
			return w
		}
		w.Leaves = d.Leaves
	}
	slices.Sort(w.Words)
	w.Words = slices.Compact(w.Words)
	return w
}
