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

// Follow takes a connection through devices, in the order that it meets them. A device whose routes lead elsewhere is not
// on the way, if there is one that would carry it; where none is known to, all of them are asked.
func Follow(devices []Device, f Flow) Way {
	w := follow(devices, f, true)
	if !slices.ContainsFunc(w.Decisions, func(d Decision) bool { return d.Carries }) {
		return follow(devices, f, false)
	}
	return w
}

func follow(devices []Device, f Flow, skip bool) Way {
	w := Way{Leaves: f}
	w.Leaves.In = ""
	for _, dev := range devices {
		arrives := w.Leaves
		arrives.In = first(dev.From, f.In)
		d := dev.Decide(arrives)
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
