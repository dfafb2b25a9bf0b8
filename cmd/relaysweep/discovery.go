package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"relaysweep/discover"
)

// openCoverages opens what was seen of each target: from the vantage's own source, then from each further one.
func (sc *scanning) openCoverages() error {
	for i := range 1 + len(sc.s.Sources) {
		name := "states"
		if i > 0 {
			name = fmt.Sprintf("states-%d", i)
		}
		cov, err := discover.OpenCoverage(sc.plan, filepath.Join(sc.journal.dir, name))
		if err != nil {
			return err
		}
		sc.covs = append(sc.covs, cov)
		sc.closers = append(sc.closers, closerFunc(func() error {
			// What is open stands in the journal, with its source, before a coverage says that it is whole.
			if err := sc.journal.f.Sync(); err != nil {
				return err
			}
			return cov.Close()
		}))
	}
	if err := sc.passOver(); err != nil {
		return err
	}
	for _, o := range sc.past.openings {
		if o.pass < 0 || o.pass >= len(sc.covs) {
			return errors.New("the stored scan does not fit its own settings")
		}
		sc.covs[0].Set(o.addr, discover.Open) // a target is counted once
		sc.covs[o.pass].Set(o.addr, discover.Open)
	}
	return nil
}

// done reports whether an earlier part of the scan left nothing to look at: what is left is to hear what came home.
func (sc *scanning) done() bool {
	return len(sc.covs) > 0 && sc.allSwept() && len(sc.past.doubts) == 0 && !slices.ContainsFunc(sc.past.openings, func(o opened) bool { return !o.probed })
}

// allSwept reports whether every target was looked at from each source.
func (sc *scanning) allSwept() bool {
	return !slices.ContainsFunc(sc.covs, func(c *discover.Coverage) bool { return !c.Complete() })
}

func (sc *scanning) sent() (n uint64) {
	for _, c := range sc.covs {
		n += c.Sent()
	}
	return n
}

// progress says how far the sweep is.
func (sc *scanning) progress() string {
	pass := sc.pass.Load()
	cov := sc.covs[pass]
	from := ""
	if until, quiet := sc.limiter.Quiet(time.Now()); quiet {
		from = "quiet hours until " + until.Format("15:04") + ": "
	}
	if pass > 0 {
		from += "from " + sc.s.Sources[pass-1].Text + ": "
	}
	if n, of := cov.Passes(); of > 1 {
		from += fmt.Sprintf("pass %d of %d: ", n, of)
	}
	return fmt.Sprintf("%s%d of %d targets looked at", from, cov.Looked(), sc.plan.Len())
}

// coverageSum is how many looks at targets are done, in all passes from all sources, of how many.
func (sc *scanning) coverageSum() (looked, of uint64) {
	for _, c := range sc.covs {
		n, passes := c.Passes()
		looked += uint64(n-1)*sc.plan.Len() + c.Looked()
		of += uint64(passes) * sc.plan.Len()
	}
	return min(looked, of), of
}

// sweep looks for openings and queues them. Openings of an earlier part come first; then the plan is swept from the
// vantage's own source, and what was not open is tried from each further one in turn.
func (sc *scanning) sweep(ctx context.Context, queue chan<- discover.Opening, stop func()) {
	s := &sweeping{scanning: sc, queue: queue, stop: stop, known: make(map[netip.AddrPort]bool), perHost: make(map[netip.Addr]int), held: make(map[netip.Addr][]discover.Opening)}
	sc.plain = make([]uint64, len(sc.covs))
	for _, o := range sc.past.openings {
		s.known[o.addr] = true
		s.count(o.pass, o.source)
		if t, err := sc.scope.Target(o.addr); err == nil && !o.probed {
			s.offer(ctx, discover.Opening{Target: t, Vantage: sc.s.Vantage, Source: o.source, Hollow: o.hollow})
		}
	}
	if err := sc.selfTest(ctx); err != nil {
		s.broke(err)
		return
	}
	for _, cov := range sc.covs {
		for port, why := range sc.past.doubts {
			cov.Doubt(port, why)
		}
	}
	sources := append([]netip.AddrPort{{}}, sc.s.furtherAddrs()...)
	for i, from := range sources {
		sc.pass.Store(int64(i))
		s.sweepFrom(ctx, i, from)
		s.release(ctx, sc.covs[i])
		if ctx.Err() != nil || !sc.covs[i].Swept() {
			return
		}
	}
}

// sweeping is the sweep of one scan.
type sweeping struct {
	*scanning
	queue chan<- discover.Opening
	stop  func()
	known map[netip.AddrPort]bool // what is in the journal

	perHost map[netip.Addr]int // openings
	held    map[netip.Addr][]discover.Opening
}

func (s *sweeping) push(ctx context.Context, o discover.Opening) {
	select {
	case s.queue <- o:
	case <-ctx.Done():
	}
}

// sweepFrom sweeps the plan from one source.
func (s *sweeping) sweepFrom(ctx context.Context, pass int, from netip.AddrPort) {
	cov := s.covs[pass]
	s.reconcile(ctx, pass, cov)
	for o, err := range s.engine.Sweeper(s.engineOptions(from)).Sweep(ctx, cov) {
		if err != nil {
			s.broke(err)
			return
		}
		s.found(ctx, pass, o)
	}
}

// reconcile puts into the journal what the last part of the scan saw and could not write down any more. Of a further
// source it tells too little: that is looked at again.
func (s *sweeping) reconcile(ctx context.Context, pass int, cov *discover.Coverage) {
	for a := range cov.Openings() {
		if s.known[a] {
			continue
		}
		if pass > 0 {
			cov.Forget(a)
		} else if t, err := s.scope.Target(a); err == nil {
			s.found(ctx, pass, discover.Opening{Target: t, Vantage: s.s.Vantage})
		}
	}
	if pass > 0 {
		for _, earlier := range s.covs[:pass] {
			for a := range earlier.Openings() {
				cov.Pass(a)
			}
		}
	}
}

// found stores an opening, and hands it to the probers.
func (s *sweeping) found(ctx context.Context, pass int, o discover.Opening) {
	a := o.Target.AddrPort()
	if s.known[a] {
		return
	}
	if err := s.journal.add(entry{Opening: &a, Source: discover.SourceText(o.Source), Pass: pass, Hollow: o.Hollow}); err != nil {
		s.broke(err)
		return
	}
	s.known[a] = true
	if pass > 0 {
		s.covs[0].Set(a, discover.Open) // a target is counted once
	}
	s.count(pass, o.Source)
	s.offer(ctx, o)
}

// count counts what opened to a further source and then to the vantage's own.
func (s *sweeping) count(pass int, source netip.AddrPort) {
	if pass > 0 && source == (netip.AddrPort{}) {
		s.plain[pass]++
	}
}

// broke ends the scan: nothing more is sent.
func (s *sweeping) broke(err error) {
	s.fail(err)
	s.stop()
}

// engineOptions are for the engine that sweeps from one source.
func (sc *scanning) engineOptions(from netip.AddrPort) discover.EngineOptions {
	return discover.EngineOptions{
		Vantage: sc.s.Vantage, Limiter: sc.limiter, Timeout: sc.s.Timeout, InFlight: sc.s.InFlight, Source: sc.s.Source, From: from,
		Before: func(t discover.Target, from netip.AddrPort) error { return sc.audit.write(t, from, "handshake") },
		BeforePositions: func(pass int, from, to uint64) error {
			return sc.audit.positions(sc.s.Seed, pass, from, to)
		},
		Counters: &sc.counters,
	}
}

// sweepNotes tell how the sweep went, as far as it was not smooth.
func (sc *scanning) sweepNotes() (out []string) {
	if text := sc.unchecked(); text != "" {
		out = append(out, text)
	}
	if m := sc.covs[0].ExpectedMissed(); m >= 0.05 {
		out = append(out, fmt.Sprintf("Packets were lost: of about %d openings %.1f are expected to be missed.", sc.covs[0].Opened(), m))
	}
	if n := sc.counters.Dropped.Load(); n > 0 {
		out = append(out, fmt.Sprintf("This machine had no room for %d packets: the pace was halved, and what they may have answered was asked again.", n))
	}
	if n := sc.counters.Forged.Load(); n > 1000 {
		out = append(out, fmt.Sprintf("%d packets came that answer nothing we sent: they changed nothing.", n))
	}
	return out
}

// passNotes tell what was tried from further sources. Coverage counts targets, each once, and says nothing of them.
func (sc *scanning) passNotes() []string {
	var out []string
	for i, e := range sc.s.Sources {
		cov := sc.covs[i+1]
		if cov.Sent() == 0 && !cov.Swept() {
			out = append(out, fmt.Sprintf("from the source %s nothing was tried yet", e.Text))
			continue
		}
		c := sc.passCount(i + 1)
		note := fmt.Sprintf("from the source %s %d targets were tried that were not open before: %d opened to it alone", e.Text, c.tried, c.open)
		if c.plain > 0 {
			note += fmt.Sprintf(", %d to the vantage's own source as well when that was tried once more", c.plain)
		}
		if c.failed > 0 {
			note += fmt.Sprintf("; %d could not be tried: %s", c.failed, cov.Trouble())
		}
		if !cov.Swept() {
			note += "; interrupted"
		}
		out = append(out, note)
	}
	return out
}

// passCount is what the sweep from one further source showed, of targets that were not open before.
type passCount struct {
	tried, open, plain, failed uint64 // open: to it alone; plain: from the vantage's own source as well
}

func (sc *scanning) passCount(pass int) (c passCount) {
	for _, r := range sc.covs[pass].Rows() {
		c.tried += r.Looked() + r.Failed
		c.open += r.Open
		c.failed += r.Failed
	}
	c.plain = sc.plain[pass]
	c.open -= min(c.open, c.plain)
	return c
}

// leftOut reports whether a target is passed over: a scan of a rule change does not ask for it, or it was looked at since
// --since.
func (sc *scanning) leftOut(a netip.AddrPort) bool {
	return len(sc.s.Within) > 0 && !slices.ContainsFunc(sc.s.Within, func(w within) bool { return w.holds(a) }) || sc.fresh.Holds(a)
}

// passOver passes over the targets that are left out.
func (sc *scanning) passOver() error {
	if len(sc.s.Within) == 0 && sc.fresh == nil {
		return nil
	}
	for i := range sc.plan.Len() {
		t, err := sc.plan.At(i)
		if err != nil {
			return err
		}
		if sc.leftOut(t.AddrPort()) {
			for _, cov := range sc.covs {
				cov.Pass(t.AddrPort())
			}
		}
	}
	return nil
}
