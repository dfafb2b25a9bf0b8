package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"relaysweep/discover"
	"relaysweep/discover/firewall"
	"relaysweep/discover/names"
	"relaysweep/probe"
	"relaysweep/probe/canary"
	"relaysweep/probe/fingerprint"
	"relaysweep/probe/smtp"
	"relaysweep/ratelimit"
	"relaysweep/report"
	"relaysweep/report/inventory"
)

func (p *program) scanCommand() *cli.Command {
	flags := slices.Concat(targetFlags(), namingFlags(), partFlags(), probeFlags(), inventoryFlags(), outputFlags(), notifyFlags(), []cli.Flag{
		sinceFlag(),
		statesFlag(),
		boolFlag("dry-run", "print what would be sent to whom, and send nothing"),
		boolFlag("discover-only", "find what listens, and say nothing to it", "sn"),
		stringFlag("resume", "go on with the scan `ID`, or the last one"),
	})
	return &cli.Command{
		Name: "scan", Usage: "the main job: scope, openings, relay tests, report", ArgsUsage: "[TARGET...]",
		Description: "Targets are addresses, CIDRs or ranges; - reads them from stdin. Without any, the configuration's scope is scanned.\nPrivate and loopback space may be named freely; public space must lie in the configuration's scope, with organisation and contact.",
		Flags:       flags,
		Action:      p.scan,
	}
}

func (p *program) discoverCommand() *cli.Command {
	return &cli.Command{
		Name: "discover", Usage: "find what listens, and say nothing to it (scan -sn)", ArgsUsage: "[TARGET...]",
		Flags: slices.Concat(targetFlags(), namingFlags(), partFlags(), inventoryFlags(), outputFlags(), notifyFlags(), []cli.Flag{sinceFlag(), statesFlag(), boolFlag("dry-run", "print what would be touched, and touch nothing"), stringFlag("resume", "go on with the scan `ID`, or the last one")}),
		Action: func(ctx context.Context, c *cli.Command) error {
			return p.scan(ctx, c)
		},
	}
}

func (p *program) scan(ctx context.Context, c *cli.Command) error {
	return p.scanning(ctx, c, &scanning{p: p, talk: p.err})
}

func (p *program) scanning(ctx context.Context, c *cli.Command, sc *scanning) error {
	if c.Bool("silent") {
		sc.talk = io.Discard
	}
	if c.Bool("explain-targets") && c.String("resume") == "" {
		return usage(sc.explainTargets(ctx, c))
	}
	defer sc.close()
	if err := sc.prepare(ctx, c); err != nil {
		return orUsage(err)
	}
	if c.Bool("dry-run") {
		return sc.dryRun()
	}
	if err := sc.openState(ctx); err != nil {
		return orUsage(err)
	}
	debug.FreeOSMemory() // what the start took, and needs no more
	giveBack()
	return sc.run(ctx)
}

// scanning is one scan: discovery feeds openings to probers, and all that they learn goes into the journal.
type scanning struct {
	p         *program
	talk      io.Writer
	s         *settings
	past      *past
	journal   *journal
	store     *inventory.Store
	info      inventory.Info   // of this scan, in the store
	inv       *inventory.Scan  // where findings go
	hurry     func()           // from now on a database that is away is not waited for
	fresh     *inventory.Fresh // what was looked at since --since; nil: that is not asked for
	audit     *audit
	scope     *discover.Scope
	plan      *discover.Plan
	devices   []firewall.Device // whose rules were read
	approvals []report.Approval
	secret    []byte         // of the webhook
	assets    []report.Asset // of the address plans; nil: there are none
	// fromNetBox are those of them that NetBox gave now, by its URL.
	fromNetBox map[string][]report.Asset
	limiter    *ratelimit.Limiter
	window     *ratelimit.Window // of --gentle
	recog      *fingerprint.Recog
	engine     discover.Engine
	mail       *names.Mail // of the mail domains; nil: not asked
	// mailSilent: not all questions about them were answered.
	mailSilent atomic.Bool
	canary     probe.Canary
	closers    []io.Closer
	// stateDir is where the state is kept; if empty, where XDG says.
	stateDir string
	reading  bool // the scan is stored, and only its report is wanted
	// Of a scan of what a change of the rules opens.
	instead      []string // targets, instead of the arguments
	portsInstead []uint16
	rulesInstead []exports
	within       []within        // the targets that it keeps to
	listener     net.Listener    // of the sink inside the scan
	sink         net.Addr        // where it listens
	mailbox      *canary.Mailbox // that canaries come home to; nil: none is polled
	wasDone      bool            // when we began
	result       *report.Report  // of a scan that ran to its end

	mu         sync.Mutex
	ptr        map[netip.Addr][]string // PTR names, of addresses whose question was answered
	findings   []probe.Finding
	deliveries []probe.Delivery
	home       map[string]bool      // which deliveries these are
	failures   []string             // probes that could not be made
	unread     error                // why the deliveries are not known
	unpolled   error                // why those of the mailbox are not
	covs       []*discover.Coverage // what was seen from the vantage's own source, then from each further one
	counters   discover.Counters
	plain      []uint64     // of each of them: what opened to the vantage's own source after all
	pass       atomic.Int64 // which of them is under way
	opened     atomic.Uint64
	probed     atomic.Uint64
	fatal      error
}

// prepare resolves the command line and checks everything that can be checked without sending to a target.
func (sc *scanning) prepare(ctx context.Context, c *cli.Command) (err error) {
	if id := c.String("resume"); id != "" {
		if err := resumable(c); err != nil {
			return err
		}
		if sc.s, sc.journal, sc.past, err = resumeJournal(id); err != nil {
			return err
		}
		sc.closers = append(sc.closers, sc.journal)
		if err := sc.openInventory(ctx); err != nil {
			return err
		}
		if (c.Name == "discover" || c.Bool("discover-only")) && !sc.s.DiscoverOnly {
			return fmt.Errorf("--resume: scan %s speaks to what listens: relaysweep scan --resume goes on with it", sc.s.Scan)
		}
		if slices.ContainsFunc(append(outputFlags(), statesFlag()), func(f cli.Flag) bool { return c.IsSet(f.Names()[0]) }) {
			states := sc.s.Outputs.States
			if sc.s.Outputs, err = newOutputs(c); err != nil {
				return err
			}
			sc.s.Outputs.States = cmp.Or(sc.s.Outputs.States, states) // it goes beside the others
		}
		if c.IsSet("fail-on") {
			sc.s.FailOn = c.String("fail-on")
		}
		if c.IsSet("rules") {
			sc.s.Rules = named(c.StringSlice("rules"), given(c, "rules"), sc.s.Rules)
		}
		if err := sc.otherNotices(c); err != nil {
			return err
		}
		if c.IsSet("assets") && !sc.reading {
			if err := sc.otherAssets(c, new(config)); err != nil {
				return err
			}
		}
	} else {
		args := c.Args().Slice()
		if sc.instead != nil {
			args = sc.instead
		}
		if sc.s, err = sc.p.newSettings(c, args); err != nil {
			return err
		}
		if sc.within != nil {
			sc.s.Ports, sc.s.Rules, sc.s.Within = sc.portsInstead, sc.rulesInstead, sc.within
		}
		sc.past = new(past)
		sc.s.DiscoverOnly = c.Name == "discover" || c.Bool("discover-only")
		if sc.s.Outputs, err = newOutputs(c); err != nil {
			return err
		}
		sc.s.FailOn = c.String("fail-on")
	}
	if err := sc.s.Outputs.check(); err != nil {
		return err
	}
	if err := sc.readRules(); err != nil {
		return err
	}
	if err := sc.readAssets(ctx, c); err != nil {
		return err
	}
	if sc.secret, err = sc.s.Notices.secret(); err != nil {
		return err
	}
	if sc.journal == nil {
		if err := sc.nameTargets(ctx); err != nil {
			return err
		}
	}
	if err := sc.layOut(); err != nil {
		return err
	}
	if !sc.s.Since.IsZero() && sc.store == nil {
		if err := sc.openInventory(ctx); err != nil {
			return err
		}
	}
	return sc.checkSources()
}

// otherRules takes rules and approvals that are named now for those that a stored scan was begun with.
func (sc *scanning) otherRules(c *cli.Command, cfg *config) error {
	if c.IsSet("zone") {
		sc.s.Zone = c.String("zone")
	} else if sc.s.Zone == "" && cfg.Vantage.Name == sc.s.Vantage {
		sc.s.Zone = cfg.Vantage.Zone
	}
	list, err := exportsOf(c, cfg)
	if err != nil {
		return err
	}
	if len(list) > 0 && (c.IsSet("rules") || len(sc.s.Rules) == 0) {
		sc.s.Rules = list
	}
	if c.IsSet("approvals") {
		sc.s.Approvals = absolute(c.String("approvals"))
	} else if sc.s.Approvals == "" && cfg.Approvals != "" {
		sc.s.Approvals = absolute(cfg.path(cfg.Approvals))
	}
	return sc.otherAssets(c, cfg)
}

// checkSources holds that this machine has the further sources, as long as there is something to send from them.
func (sc *scanning) checkSources() error {
	if sc.done() {
		return nil
	}
	first, err := sc.plan.At(0)
	if err != nil {
		return err
	}
	return sc.s.checkSources(first.AddrPort().Addr())
}

// resumable refuses what a stored scan cannot take: it goes on as it was begun. Its report may go elsewhere.
func resumable(c *cli.Command) error {
	if c.Args().Present() {
		return errors.New("--resume goes on with a stored scan: leave the targets away")
	}
	for _, f := range slices.Concat(targetFlags(), namingFlags(), partFlags(), probeFlags()) {
		if name := f.Names()[0]; name != "rules" && name != "assets" && name != "approvals" && c.IsSet(name) && given(c, name) == "--"+name {
			return fmt.Errorf("--resume goes on with a stored scan as it was begun: leave --%s away", name)
		}
	}
	return nil
}

// layOut makes scope, plan and what counts from the settings.
func (sc *scanning) layOut() (err error) {
	if sc.scope, err = discover.NewScope(sc.s.Spec); err != nil {
		return err
	}
	if sc.plan, err = sc.s.plan(sc.scope); err != nil {
		return err
	}
	for _, a := range sc.s.SelfTest {
		if !sc.scope.Contains(a.Addr()) {
			return fmt.Errorf("--self-test: %s is %w", a, discover.ErrOutOfScope)
		}
	}
	if sc.engine, err = discover.ChooseEngine(sc.s.ScanType, sc.plan); err != nil && sc.reading {
		sc.engine = discover.Engine{Name: sc.s.ScanType} // nothing is sent
	} else if err != nil {
		if errors.Is(err, discover.ErrScanType) {
			return fmt.Errorf("--scan-type %s: %w", sc.s.ScanType, hint(err, "setcap cap_net_raw=+ep relaysweep, or run it as root; --scan-type connect needs no rights"))
		}
		return err
	}
	if err := sc.equip(); err != nil {
		return err
	}
	if sc.journal != nil {
		if err := sc.openCoverages(); err != nil {
			return err
		}
	}
	sc.findings, sc.home = sc.past.findings, make(map[string]bool)
	for _, d := range sc.past.deliveries {
		sc.arrived(d)
	}
	return nil
}

// equip makes what all probers of a scan share.
func (sc *scanning) equip() (err error) {
	sc.limiter = ratelimit.New(sc.s.Rates)
	sc.canary = probe.Canary{Domain: sc.s.Canary, Key: sc.s.Key, MXNames: sc.s.MXNames, Sink: sinkAddress(sc.s.Listen)}
	if sc.s.Gentle {
		sc.window = ratelimit.NewWindow(gentleRefusals, gentleWindow)
	}
	if sc.s.RecogDir != "" {
		if sc.recog, err = fingerprint.LoadRecog(os.DirFS(sc.s.RecogDir)); err != nil {
			return fmt.Errorf("%s: %w", sc.s.RecogDir, err)
		}
	}
	return nil
}

// sinkAddress is the address of a sink, where it is one that servers elsewhere reach by it as well.
func sinkAddress(listen string) netip.Addr {
	a, err := netip.ParseAddrPort(listen)
	if err != nil || a.Addr().IsUnspecified() || a.Addr().IsLoopback() || a.Addr().IsLinkLocalUnicast() {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

// openState opens what a scan writes while it runs. What can be refused comes first, so that a mistake leaves no state.
func (sc *scanning) openState(ctx context.Context) (err error) {
	inside := sc.s.StopAt == probe.Delivered && sc.s.Listen != "" && !sc.s.DiscoverOnly
	var l net.Listener
	if inside {
		if l, err = net.Listen("tcp", sc.s.Listen); err != nil && sc.done() && sc.s.DeliveriesFile != "" {
			// canary serve took over, most likely, and writes what comes home late.
			inside = false
			sc.s.Notes = append(sc.s.Notes, "the sink inside the scan cannot listen: what comes home is read from "+sc.s.DeliveriesFile)
		} else if err != nil {
			return fmt.Errorf("canary.listen: the sink cannot listen on %s: %w", sc.s.Listen, err)
		}
	}
	if inside {
		sc.listener, sc.sink = l, l.Addr()
		sc.closers = append(sc.closers, closerFunc(func() error { return ignoreClosed(l.Close()) }))
		// Nothing can leave from the port that the sink listens on.
		if err := sc.checkSources(); err != nil {
			return err
		}
	}
	if sc.s.StopAt == probe.Delivered && sc.s.IMAP.Server != "" && !sc.s.DiscoverOnly {
		if sc.mailbox, err = sc.s.IMAP.open(sc.canary); err != nil {
			return err
		}
		sc.mailbox.Store, sc.mailbox.Timeout = sc.cameHome, pollTimeout
	}
	if sc.s.newKey != "" && !sc.s.DiscoverOnly {
		if err := writeKey(sc.s.newKey, sc.s.Key); err != nil {
			return err
		}
	}
	if sc.s.AuditLog != "" {
		if err := sc.openAudit(sc.s.AuditLog); err != nil {
			return err
		}
	}
	if sc.store == nil {
		if err := sc.openInventory(ctx); err != nil {
			return err
		}
	}
	if sc.journal == nil {
		if sc.journal, err = newJournal(sc.stateDir, sc.s); err != nil {
			return err
		}
		sc.closers = append(sc.closers, sc.journal)
		if err := sc.keepAssets(); err != nil {
			return err
		}
		if sc.plan != nil {
			if err := sc.openCoverages(); err != nil {
				return err
			}
		}
	}
	if err := sc.begin(ctx); err != nil {
		return err
	}
	if sc.audit == nil {
		if err := sc.openAudit(filepath.Join(filepath.Dir(sc.journal.dir), "audit.jsonl")); err != nil {
			return err
		}
	}
	if inside {
		return sc.openSink()
	}
	return nil
}

func (sc *scanning) openAudit(name string) (err error) {
	if sc.audit, err = openAudit(name, sc.s); err != nil {
		return err
	}
	sc.closers = append(sc.closers, sc.audit)
	return nil
}

// openSink starts the sink inside the scan. Each delivery is on disk before the server that brought it is answered.
func (sc *scanning) openSink() (err error) {
	var file *canary.File
	if sc.s.DeliveriesFile != "" {
		if file, err = canary.OpenFile(sc.s.DeliveriesFile); err != nil {
			return err
		}
		sc.closers = append(sc.closers, file)
	}
	sink := &canary.Sink{Canary: sc.canary, Store: func(d probe.Delivery) error {
		if err := sc.inv.Deliver(d); err != nil {
			return err
		}
		if file != nil {
			if err := file.Append(d); err != nil {
				return err
			}
		}
		sc.mu.Lock()
		sc.arrived(d)
		sc.mu.Unlock()
		return nil
	}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := sink.Serve(sc.listener); err != nil {
			sc.fail(fmt.Errorf("the sink stopped: %w", err))
		}
	}()
	sc.closers = append(sc.closers, closerFunc(func() error {
		err := errors.Join(sink.Close(), ignoreClosed(sc.listener.Close()))
		<-done
		return err
	}))
	return nil
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (sc *scanning) close() {
	for _, c := range slices.Backward(sc.closers) {
		c.Close()
	}
}

func (sc *scanning) fail(err error) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.fatal == nil {
		sc.fatal = err
	}
}

// run scans. Its error carries the exit code.
func (sc *scanning) run(ctx context.Context) error {
	sc.wasDone = sc.done()
	if sc.hurry == nil {
		sc.hurry = func() {} // nothing is stored
	}
	sc.announce()
	gentle, stopGently := context.WithCancel(ctx) // done: begin nothing new
	hard, stopHard := context.WithCancel(ctx)     // done: stop at once
	defer stopGently()
	defer stopHard()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	interrupted := make(chan struct{})
	finished := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-finished:
				return
			case <-signals:
				if n == 0 {
					close(interrupted)
					long := ""
					if sc.s.Gentle {
						long = ", which may take hours"
					}
					fmt.Fprintf(sc.talk, "relaysweep: finishing what is under way%s; once more to stop at once\n", long)
					stopGently()
				} else {
					stopHard()
					sc.hurry()
				}
			}
		}
	})
	sc.askNames(gentle)
	if sc.s.Probes >= manyProbes {
		defer debug.SetGCPercent(debug.SetGCPercent(50))
		if os.Getenv("GOMEMLIMIT") == "" {
			defer debug.SetMemoryLimit(debug.SetMemoryLimit(memoryOfMany))
		}
	}
	show := newProgress(sc)
	queue := make(chan discover.Opening, 1<<10)
	var work sync.WaitGroup
	if sc.s.DiscoverOnly {
		work.Go(func() { sc.listAll(queue) })
	} else {
		for range sc.s.Probes {
			work.Go(func() { sc.probeAll(gentle, hard, queue, stopGently) })
		}
	}
	sc.sweep(gentle, queue, stopGently)
	close(queue)
	work.Wait()
	sc.awaitDeliveries(gentle)
	show.stop()
	close(finished)
	watch.Wait()
	wasInterrupted := isClosed(interrupted) || ctx.Err() != nil
	if hard.Err() != nil && wasInterrupted {
		return &exit{exitIncomplete, "stopped; go on with: relaysweep scan --resume " + sc.s.Scan}
	}
	if wasInterrupted {
		sc.hurry() // --resume ends the scan again
	}
	err := sc.conclude(ctx, wasInterrupted)
	sc.notify(ctx)
	return err
}

// manyProbes at once hold so much memory that what is collected late would double what the process takes: 10,000 are to
// stay under a gigabyte. The limit is a soft one.
const (
	manyProbes   = 1024
	memoryOfMany = 900 << 20
)

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// announce says what is about to happen, with the pace.
func (sc *scanning) announce() {
	s := sc.s
	rate := func(r float64) string {
		if r == 0 {
			return "no cap"
		}
		return fmt.Sprintf("%g/s", r)
	}
	fmt.Fprintf(sc.talk, "relaysweep: scan %s from %q: %d addresses, %d ports, %d targets\n", s.Scan, s.Vantage, sc.scope.Len(), len(s.Ports), sc.plan.Len())
	fmt.Fprintf(sc.talk, "  pace: %s in all, %s per /24, %s per host; %s for a handshake, %s for a service\n", rate(s.Rates.Total), rate(s.Rates.PerNet), rate(s.Rates.PerHost), s.Timeout, s.ServiceTimeout)
	if s.Rates.Quiet != (ratelimit.Hours{}) {
		fmt.Fprintf(sc.talk, "  quiet hours: nothing is begun from %s, local time\n", strings.Replace(s.Rates.Quiet.String(), "-", " to ", 1))
	}
	fmt.Fprintf(sc.talk, "  engine: %s, %s\n", sc.engine.Name, sc.engine.Why)
	if s.Gentle && !s.DiscoverOnly {
		fmt.Fprintf(sc.talk, "  gentle: at most %d refusals per host in %g minutes; a service may take hours\n", gentleRefusals, gentleWindow.Minutes())
	}
	switch {
	case s.DiscoverOnly:
		fmt.Fprintf(sc.talk, "  nothing is said to what listens\n")
	case s.StopAt == probe.Delivered:
		fmt.Fprintf(sc.talk, "  canaries go to %s, and nowhere else\n", s.Canary)
	default:
		fmt.Fprintf(sc.talk, "  stops at %s: no mail is sent\n", s.StopAt)
	}
	if len(s.Sources) > 0 {
		fmt.Fprintf(sc.talk, "  what is not open is then tried from %s\n", sourceList(s.Sources))
	}
	if n := len(sc.past.findings); n > 0 || sc.sent() > 0 {
		pass := ""
		if k, of := sc.covs[0].Passes(); k > 1 {
			pass = fmt.Sprintf(" in pass %d of %d", k, of)
		}
		fmt.Fprintf(sc.talk, "  resumed: %d targets%s and %d services are done already\n", sc.covs[0].Looked(), pass, n)
	}
	if sc.fresh != nil {
		fmt.Fprintf(sc.talk, "  what this vantage looked at since %s is passed over\n", s.Since.Format("2006-01-02 15:04"))
	}
	for _, n := range slices.Concat(s.Named, s.partNotes(), s.Notes) {
		fmt.Fprintf(sc.talk, "  %s\n", n)
	}
}

// askNames looks up once what DNS says of our mail domains. Nothing is asked of anyone but the resolver that was named.
func (sc *scanning) askNames(ctx context.Context) {
	if sc.s.Resolver == "" || len(sc.s.Domains) == 0 || sc.s.DiscoverOnly || sc.wasDone {
		return
	}
	sc.mail = names.Resolver{Server: sc.s.Resolver, Tries: 2, Failed: func(string, error) { sc.mailSilent.Store(true) }}.Mail(ctx, sc.s.Domains)
	for _, err := range sc.mail.Errors {
		fmt.Fprintf(sc.talk, "  %s\n", err)
	}
}

// probeAll takes openings until there are none. After an interrupt nothing new is begun.
func (sc *scanning) probeAll(gentle, hard context.Context, queue <-chan discover.Opening, stop func()) {
	prober := sc.prober()
	for o := range queue {
		sc.awaitWindow(gentle)
		if gentle.Err() != nil {
			continue // stays in the journal, for --resume
		}
		f, err := prober.Probe(hard, o)
		if err != nil {
			sc.mu.Lock()
			sc.failures = append(sc.failures, fmt.Sprintf("%s: %v", o.Target, err))
			sc.mu.Unlock()
			if err := sc.audit.failed(); err != nil { // nothing more may be sent
				sc.fail(err)
				stop()
			}
			continue
		}
		if o.Hollow && f.Greeting == "" && f.Note != "" {
			f.Note += hollowNote
		}
		if err := sc.add(&f); err != nil {
			sc.fail(err)
			stop()
			continue
		}
		sc.mu.Lock()
		sc.findings = append(sc.findings, f)
		sc.mu.Unlock()
		sc.probed.Add(1)
	}
}

// awaitWindow waits for the end of quiet hours: no service is begun in them.
func (sc *scanning) awaitWindow(ctx context.Context) {
	now := time.Now()
	if until, quiet := sc.limiter.Quiet(now); quiet {
		t := time.NewTimer(until.Sub(now))
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
}

// hollowNote is of an opening whose SYN-ACK was hollow, and behind which nothing was heard.
const hollowNote = "; the answer to our SYN had no window: a SYN proxy"

// listAll makes findings of openings that nothing is said to.
func (sc *scanning) listAll(queue <-chan discover.Opening) {
	for o := range queue {
		now := time.Now().UTC()
		f := probe.Finding{Addr: o.Target.AddrPort(), Vantage: o.Vantage, Source: discover.SourceText(o.Source), Protocol: "unknown", Note: "only looked for, not spoken to", Started: now, Ended: now}
		if o.Hollow {
			f.Note += hollowNote
		}
		sc.mu.Lock()
		sc.findings = append(sc.findings, f)
		sc.mu.Unlock()
		sc.probed.Add(1)
	}
}

func (sc *scanning) prober() *probe.Prober {
	s := sc.s
	vectors, _ := s.vectors() // checked with the settings
	p := &probe.Prober{
		Dialer: sc.scope.Dialer(s.Source, 2*s.Timeout), Limiter: sc.limiter, Limits: smtp.Limits{Greeting: s.Greeting},
		Sources: s.furtherAddrs(), Gentle: sc.window, VRFY: s.VRFY, Recog: sc.recog,
		Scan: s.Scan, Organisation: s.Spec.Organisation, Contact: s.Spec.Contact, Canary: sc.canary, StopAt: s.StopAt,
		Vectors: vectors, HELO: s.Hello, Domains: s.Domains, Senders: s.Senders, Budget: s.ServiceTimeout,
		Before: sc.audit.write,
	}
	if s.Resolver != "" {
		p.Lookup = func(ctx context.Context, a netip.Addr) []string {
			found := sc.pointers(ctx, a)
			for _, host := range sc.mail.Hosts(a) {
				if !slices.Contains(found, host) {
					found = append(found, host)
				}
			}
			return found
		}
	}
	if sc.mail != nil {
		p.Serves = sc.mail.Serves
	}
	return p
}

// awaitDeliveries waits until every canary that a server took is home, or the wait is over.
func (sc *scanning) awaitDeliveries(ctx context.Context) {
	if sc.s.StopAt != probe.Delivered || sc.s.DiscoverOnly {
		return
	}
	if sc.wasDone && sc.sink == nil {
		sc.poll(ctx) // nothing was sent now that could be on its way
		sc.readDeliveries()
		return
	}
	deadline := time.NewTimer(sc.s.Wait)
	defer deadline.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var polled time.Time
	for sc.awaited() {
		if time.Since(polled) >= pollEvery && sc.mailbox != nil {
			sc.poll(ctx)
			polled = time.Now()
			continue
		}
		select {
		case <-deadline.C:
			if time.Since(polled) >= pollEvery-time.Second {
				sc.poll(ctx)
			}
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// awaited reports whether a canary is out that may still come home.
func (sc *scanning) awaited() bool {
	sc.readDeliveries()
	sc.mu.Lock()
	defer sc.mu.Unlock()
	home := make(map[string]bool)
	for _, d := range sc.deliveries {
		home[d.Canary] = true
	}
	for i := range sc.findings {
		if slices.ContainsFunc(report.Sent(&sc.findings[i]), func(token string) bool { return !home[token] }) {
			return true
		}
	}
	return false
}

// readDeliveries joins what the file holds to what the journal and the sink inside the scan brought: a canary may come
// home after the scan, to a sink that stands alone. Where the sink is inside, the file may hold other scans' as well,
// which are left out; where the file is all there is, the report shows what belongs to no attempt.
func (sc *scanning) readDeliveries() {
	if ds, err := sc.store.Deliveries(context.Background(), sc.info); err == nil { // a sink may write there
		sc.mu.Lock()
		for _, d := range ds {
			sc.arrived(d)
		}
		sc.mu.Unlock()
	}
	if sc.s.DeliveriesFile == "" {
		return
	}
	ds, err := canary.ReadFile(sc.s.DeliveriesFile)
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.unread = err
	ours := sc.ours()
	for _, d := range ds {
		if sc.s.Listen == "" && sc.s.IMAP.Server == "" || ours[d.Canary] {
			sc.arrived(d)
		}
	}
}

// ours are the canaries that this scan sent. It is called with the lock held.
func (sc *scanning) ours() map[string]bool {
	ours := make(map[string]bool)
	for i := range sc.findings {
		for _, a := range sc.findings[i].Attempts {
			ours[a.Canary] = true
		}
		for other := range sc.findings[i].Others {
			ours[other] = true
		}
	}
	return ours
}

// deliveryKey tells deliveries apart. The same one may be read again and again, from a file, a mailbox and the journal.
func deliveryKey(d probe.Delivery) string {
	return fmt.Sprint(d.Canary, " ", d.Time.UnixNano(), " ", d.Peer, " ", d.To)
}

// arrived adds a delivery, once. It is called with the lock held.
func (sc *scanning) arrived(d probe.Delivery) {
	key := deliveryKey(d)
	if !sc.home[key] {
		sc.home[key] = true
		sc.deliveries = append(sc.deliveries, d)
	}
}

// conclude writes the report and decides the exit code.
func (sc *scanning) conclude(ctx context.Context, interrupted bool) error {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	s := sc.s
	complete := sc.allSwept() && len(sc.failures) == 0 && !interrupted && sc.fatal == nil
	rs := sc.about()
	rs.Ended, rs.Complete, rs.Interrupted = time.Now().UTC(), complete, interrupted
	rs.Targets, rs.Sent, rs.ExpectedMissed = sc.plan.Len(), sc.sent(), sc.covs[0].ExpectedMissed()
	rs.Notes = slices.Concat(s.Named, s.partNotes(), sc.passNotes(), sc.sweepNotes())
	for _, f := range sc.failures {
		rs.Notes = append(rs.Notes, "could not be probed: "+f)
	}
	if sc.unread != nil {
		rs.Notes = append(rs.Notes, "what came home is not known: "+sc.unread.Error())
	}
	if sc.unpolled != nil {
		rs.Notes = append(rs.Notes, "what came home is not known: "+sc.unpolled.Error())
	}
	if sc.fatal != nil {
		rs.Notes = append(rs.Notes, sc.fatal.Error())
	}
	if !complete {
		rs.Resume = "relaysweep scan --resume " + s.Scan
	}
	in := report.Input{Scan: rs, Findings: sc.findings, Coverage: sc.covs[0].Rows(), Deliveries: sc.deliveries, Rules: sc.rules(sc.covs[0].States()), Approvals: sc.approvals}
	sc.register(&in)
	if err := sc.keep(context.WithoutCancel(ctx), &in); err != nil {
		in.Scan.Notes = append(in.Scan.Notes, "not all is in the inventory: "+err.Error())
		sc.fatal = cmp.Or(sc.fatal, err)
	}
	return sc.write(in)
}

// rules are the firewalls on the way, for the report.
func (sc *scanning) rules(targets iter.Seq2[netip.AddrPort, discover.State]) *report.Rules {
	if len(sc.devices) == 0 {
		return nil
	}
	return &report.Rules{Devices: sc.devices, Zone: sc.s.Zone, Source: sc.s.Source, Targets: targets, Keep: report.Approved(sc.approvals, sc.s.Vantage, sc.s.Started)}
}

// readRules reads the exports of the firewalls, and what is approved.
func (sc *scanning) readRules() (err error) {
	if sc.devices, err = readDevices(sc.s.Rules, sc.s.Zone); err != nil || sc.s.Approvals == "" {
		return err
	}
	sc.approvals, err = readApprovals(relative(sc.s.Approvals))
	return err
}

// reported returns the rates as the report has them.
func reported(r ratelimit.Rates) report.Rate {
	return report.Rate{Total: r.Total, PerNet: r.PerNet, PerHost: r.PerHost}
}

func (sc *scanning) exitCode(r *report.Report, complete bool) int {
	if sc.s.FailOn != "" {
		if severity, err := report.ParseSeverity(sc.s.FailOn); err == nil && r.WorstAtLeast(severity) {
			return exitFinding
		}
	}
	switch {
	case sc.fatal != nil && !errors.Is(sc.fatal, discover.ErrNetworkGone):
		return exitInternal
	case !complete:
		return exitIncomplete
	}
	return exitDone
}

// inside reports whether the vantage is one that servers trust by design: its name or zone says so, or, where neither
// is given, the scope is private throughout and so is our place in it.
func (sc *scanning) inside() bool {
	for _, w := range []string{sc.s.Vantage, sc.s.Zone} {
		if slices.Contains([]string{"inside", "lan", "internal", "intern", "trusted", "local"}, strings.ToLower(w)) {
			return true
		}
	}
	if sc.s.Vantage != "here" {
		return false
	}
	return !slices.ContainsFunc(sc.scope.Prefixes(), func(p netip.Prefix) bool { return !p.Addr().IsPrivate() && !p.Addr().IsLoopback() })
}

// dryRun prints every handshake, and for every target the exact bytes that a mail server there would get.
func (sc *scanning) dryRun() error {
	out := &errWriter{w: sc.p.out}
	s := sc.s
	fmt.Fprintf(out, "# scan %s: nothing is sent\n", s.Scan)
	for _, n := range s.partNotes() {
		fmt.Fprintf(out, "# %s\n", n)
	}
	prober := sc.prober()
	what := "tcp handshake"
	if sc.engine.Name == "syn" {
		what = "tcp syn, once more if it stays silent"
	}
	for i := range sc.plan.Len() {
		t, err := sc.plan.At(i)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s %s\n", t, what)
		if !s.DiscoverOnly {
			fmt.Fprint(out, prober.Preview(t, s.Vantage))
		}
		if out.err != nil {
			return out.err
		}
	}
	for i, source := range s.furtherAddrs() {
		fmt.Fprintf(out, "# then from the source %s, those that were not open; what opens to it is tried once more from the vantage's own\n", s.Sources[i].Text)
		for i := range sc.plan.Len() {
			t, err := sc.plan.At(i)
			if err != nil {
				return err
			}
			if discover.SourceFits(source, t.AddrPort().Addr()) {
				fmt.Fprintf(out, "%s tcp handshake from %s, if it was not open\n", t, discover.SourceText(source))
			}
			if out.err != nil {
				return out.err
			}
		}
	}
	return out.err
}

// errWriter keeps the first error.
type errWriter struct {
	w   io.Writer
	err error
}

func (w *errWriter) Write(b []byte) (int, error) {
	if w.err == nil {
		_, w.err = w.w.Write(b)
	}
	return len(b), w.err
}
