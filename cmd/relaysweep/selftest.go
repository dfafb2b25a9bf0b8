package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"relaysweep/discover"
)

// Silence is an answer only if what we send gets out and what is sent to us gets in. The self-test looks, with the very
// engine that will sweep, at listeners that are known to be open: where they are not seen, silence tells nothing.

// listeners parses the endpoints of the self-test. They lie in the scope: nothing else is ever touched.
func listeners(texts []string, where string) (out []netip.AddrPort, err error) {
	for _, text := range texts {
		a, err := netip.ParseAddrPort(text)
		if err != nil || a.Port() == 0 {
			return nil, fmt.Errorf("%s: %q is not an endpoint: write it like 203.0.113.25:25", where, text)
		}
		out = append(out, netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
	}
	return out, nil
}

// selfTest looks at the known listeners, and doubts silence where they are not seen.
func (sc *scanning) selfTest(ctx context.Context) error {
	if len(sc.s.SelfTest) == 0 || sc.done() {
		return nil
	}
	seen := make(map[netip.AddrPort]discover.State)
	for _, a := range sc.s.SelfTest {
		state, err := sc.look(ctx, a)
		if err != nil || ctx.Err() != nil {
			return err
		}
		seen[a] = state
		verdict := "as it should be"
		if state != discover.Open {
			verdict = "and is known to be open: silence is not believed"
		}
		fmt.Fprintf(sc.talk, "  self-test: %s is %s, %s\n", a, state, verdict)
	}
	for _, cov := range sc.covs {
		cov.Reconsider(func(port uint16) bool { return sc.past.doubts[port] != "" })
	}
	doubts := doubt(seen, sc.plan.Ports())
	if err := sc.journal.add(entry{Doubts: &doubts}); err != nil {
		return err
	}
	sc.past.doubts = doubts
	return nil
}

// doubt tells on which ports silence cannot be believed: on those of listeners that were not seen, and on all that no
// listener stands for where none was seen at all.
func doubt(seen map[netip.AddrPort]discover.State, ports []uint16) map[uint16]string {
	doubts, good := make(map[uint16]string), make(map[uint16]bool)
	last := ""
	for _, a := range sorted(seen) {
		if seen[a] == discover.Open {
			good[a.Port()] = true
			continue
		}
		last = fmt.Sprintf("self-test: the known listener %s was seen %s", a, seen[a])
		doubts[a.Port()] = last
	}
	for port := range good { // another listener on that port was seen
		delete(doubts, port)
	}
	if len(good) == 0 {
		for _, port := range ports {
			if doubts[port] == "" {
				doubts[port] = last
			}
		}
	}
	return doubts
}

func sorted(seen map[netip.AddrPort]discover.State) (list []netip.AddrPort) {
	for a := range seen {
		list = append(list, a)
	}
	slices.SortFunc(list, netip.AddrPort.Compare)
	return list
}

// look sweeps one target.
func (sc *scanning) look(ctx context.Context, a netip.AddrPort) (discover.State, error) {
	host, err := sc.scope.Only(a.Addr())
	if err != nil {
		return discover.NotAttempted, fmt.Errorf("self-test: %s: %w", a, err)
	}
	plan, err := discover.NewPlan(host, []uint16{a.Port()}, sc.s.Seed)
	if err != nil {
		return discover.NotAttempted, err
	}
	t, err := plan.At(0)
	if err != nil {
		return discover.NotAttempted, err
	}
	note := func() error { return sc.audit.write(t, netip.AddrPort{}, "self-test") }
	o := sc.engineOptions(netip.AddrPort{})
	o.Before = func(discover.Target, netip.AddrPort) error { return note() }
	o.BeforePositions = func(int, uint64, uint64) error { return note() }
	cov := discover.NewCoverage(plan)
	for _, err := range sc.engine.Sweeper(o).Sweep(ctx, cov) {
		if err != nil {
			return discover.NotAttempted, err
		}
	}
	return cov.State(a), nil
}

// mute are the ports on which every target kept silent or was out of reach, and for which no known listener stands: many
// networks let nothing out to port 25. An answer from a port, a reset too, proves that ours does.
func (sc *scanning) mute(rows []discover.CoverageRow) map[uint16]bool {
	out := make(map[uint16]bool)
	for _, r := range rows {
		if r.Filtered+r.Prohibited+r.Unreachable > 0 {
			out[r.Port] = true
		}
	}
	for _, r := range rows {
		if r.Open+r.Closed > 0 {
			delete(out, r.Port)
		}
	}
	for _, a := range sc.s.SelfTest { // which has its own doubts
		delete(out, a.Port())
	}
	return out
}

// unchecked says what nobody has checked: whether our own side lets port 25 out.
func (sc *scanning) unchecked() string {
	if !sc.mute(sc.covs[0].Rows())[25] {
		return ""
	}
	return "Nothing answered on port 25, open or closed. Many networks let no port 25 out: --self-test ADDRESS:25 with a listener of yours tells whether this one does."
}
