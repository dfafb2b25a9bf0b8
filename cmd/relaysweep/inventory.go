package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v3"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/report"
	"relaysweep/report/inventory"
)

// inventoryFlags name the inventory, and where in it a scan belongs.
func inventoryFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("inventory", "`FILE` or postgres:// URL that keeps what scans find (default: inventory.db in the user's data folder)"),
		stringFlag("site", "`NAME` of the network, where several use the same private addresses"),
	}
}

// inventoryName is the file or URL of the inventory.
func inventoryName(c *cli.Command, cfg *config) (string, error) {
	name := cfg.Inventory
	if name != "" && !inventory.IsURL(name) {
		name = cfg.path(name)
	}
	if c.IsSet("inventory") {
		name = c.String("inventory")
	}
	switch {
	case inventory.IsURL(name):
		return name, nil
	case name != "":
		return absolute(name), nil
	}
	dir, err := dataDir()
	return filepath.Join(dir, "inventory.db"), err
}

// dataDir is where the inventory is kept (XDG Base Directory Specification).
func dataDir() (string, error) {
	if d := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "relaysweep"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", hint(err, "--inventory names a file")
	}
	return filepath.Join(home, ".local", "share", "relaysweep"), nil
}

// openInventory opens the inventory; one that is not there is made.
func openInventory(ctx context.Context, name string) (*inventory.Store, error) {
	if !inventory.IsURL(name) {
		if dir, err := dataDir(); err == nil && filepath.Dir(name) == dir {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return nil, usage(hint(err, "--inventory names another file"))
			}
		}
	}
	store, err := inventory.Open(ctx, name)
	return store, atOpening(err)
}

// atOpening tells a wrong name, which is a mistake of the command line, from a database that does not work.
func atOpening(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, inventory.ErrNewer), errors.Is(err, inventory.ErrForeign), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return usage(err)
	}
	return &exit{exitInternal, err.Error()}
}

// existingInventory opens an inventory for reading: one that is not there is a mistake.
func existingInventory(ctx context.Context, c *cli.Command) (*inventory.Store, *config, error) {
	cfg, err := loadConfig(c)
	if err != nil {
		return nil, nil, usage(err)
	}
	name, err := inventoryName(c, cfg)
	if err != nil {
		return nil, nil, usage(err)
	}
	if !inventory.IsURL(name) {
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			return nil, nil, usage(fmt.Errorf("there is no inventory %s yet: relaysweep scan makes one, --inventory names another", name))
		}
	}
	store, err := openInventory(ctx, name)
	return store, cfg, err
}

// kind is what the inventory calls this scan.
func (sc *scanning) kind() string {
	switch {
	case sc.s.Probe:
		return inventory.KindProbe
	case sc.s.DiscoverOnly:
		return inventory.KindDiscover
	}
	return inventory.KindScan
}

// openInventory opens the inventory, and reads what an earlier part of the scan stored there.
func (sc *scanning) openInventory(ctx context.Context) (err error) {
	name := sc.s.Inventory
	if sc.stateDir != "" {
		name = filepath.Join(sc.stateDir, "inventory.db")
	}
	if sc.store, err = openInventory(ctx, name); err != nil {
		return err
	}
	sc.closers = append(sc.closers, sc.store)
	if !sc.s.Since.IsZero() {
		if sc.fresh, err = sc.store.Fresh(ctx, sc.s.Site, sc.s.Vantage, sc.s.Since, sc.s.Scan); err != nil {
			return &exit{exitInternal, err.Error()}
		}
	}
	switch sc.info, err = sc.store.Find(ctx, sc.s.Scan); {
	case errors.Is(err, inventory.ErrNoScan):
		return nil
	case err != nil:
		return &exit{exitInternal, err.Error()}
	}
	if sc.past.findings, sc.past.deliveries, err = sc.store.Findings(ctx, sc.info); err != nil {
		return &exit{exitInternal, err.Error()}
	}
	if sc.past.mentions, err = sc.store.Mentions(ctx, sc.info); err != nil {
		return &exit{exitInternal, err.Error()}
	}
	sc.past.settle()
	return nil
}

// begin has the inventory expect what this scan finds. What is found is stored whatever interrupts the scan; a database
// that is away is waited for until hurry is called.
func (sc *scanning) begin(ctx context.Context) (err error) {
	patient, hurry := context.WithCancel(ctx)
	if sc.inv, err = sc.store.Begin(patient, sc.about(), sc.s.Site, sc.kind()); err != nil {
		hurry()
		return &exit{exitInternal, err.Error()}
	}
	sc.hurry = hurry
	sc.closers = append(sc.closers, closerFunc(func() error { defer hurry(); return sc.inv.Close() }))
	if sc.info, err = sc.store.Find(ctx, sc.s.Scan); err != nil {
		return &exit{exitInternal, err.Error()}
	}
	return nil
}

// about is what is known of a scan at its beginning.
func (sc *scanning) about() report.Scan {
	s := sc.s
	return report.Scan{
		ID: s.Scan, Version: version(), Organisation: s.Spec.Organisation, Contact: s.Spec.Contact, Site: s.Site, Vantage: s.Vantage, Zone: s.Zone, Engine: sc.engine.Name,
		Inside: sc.inside(), Scope: sc.scope.Prefixes(), Excluded: sc.scope.Excluded(), Ports: s.Ports, Rate: reported(s.Rates), Seed: s.Seed, StopAt: s.StopAt,
		CanaryDomain: s.Canary, Domains: s.Domains, Started: s.Started,
	}
}

// keep ends the scan in the inventory, and reads from there what is told beside it: since when each endpoint is known,
// and what changed since the scan before. Its error is our own failure; the report is made without it.
func (sc *scanning) keep(ctx context.Context, in *report.Input) error {
	if sc.inv == nil {
		return nil
	}
	end := inventory.End{About: in.Scan, Coverage: in.Coverage, Deliveries: in.Deliveries, Mentions: in.Mentions, Rulesets: sc.rulesets(), Passages: in.Rules.Passages(in.Findings)}
	if len(sc.covs) > 0 {
		mute := sc.mute(in.Coverage)
		end.State = func(a netip.AddrPort, source string) (inventory.State, bool) {
			return sc.stateOf(a, source, mute)
		}
		end.Listed = sc.listed(in.Scan.Ended)
	}
	if err := sc.inv.End(ctx, end); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, recallTime)
	defer cancel()
	return recall(ctx, sc.store, sc.s.Scan, in)
}

// recallTime is for a database that hangs: a long history is compared in far less.
const recallTime = 10 * time.Minute

// recall reads what the inventory tells beside a scan.
func recall(ctx context.Context, store *inventory.Store, scan string, in *report.Input) error {
	info, err := store.Find(ctx, scan)
	if err != nil {
		return err
	}
	if in.Past, err = store.Sights(ctx, info); err != nil {
		return err
	}
	if info.Kind == inventory.KindProbe {
		return nil
	}
	in.Changes, err = store.Since(ctx, info)
	return err
}

// listed are openings that have no finding: nothing was said to them, or not yet.
func (sc *scanning) listed(now time.Time) (out []inventory.Listed) {
	have := make(map[netip.AddrPort]bool)
	if !sc.s.DiscoverOnly {
		for i := range sc.findings {
			f := &sc.findings[i]
			have[f.Addr] = true
			for _, port := range f.Crowd {
				have[netip.AddrPortFrom(f.Addr.Addr(), port)] = true
			}
		}
	}
	if sc.s.DiscoverOnly {
		for i := range sc.findings {
			f := &sc.findings[i]
			out = append(out, inventory.Listed{Addr: f.Addr, Source: f.Source, At: f.Ended})
			have[f.Addr] = true
		}
	}
	for pass, cov := range slices.Backward(sc.covs) { // the first counts what opened to further sources as well
		source := ""
		if pass > 0 {
			source = discover.SourceText(sc.s.furtherAddrs()[pass-1])
		}
		for a := range cov.Openings() {
			if !have[a] {
				out = append(out, inventory.Listed{Addr: a, Source: source, At: now})
				have[a] = true
			}
		}
	}
	return out
}

// stateOf is what the sweep showed of an endpoint that is known. A look counts only where the sweep was whole, the
// self-test gave no reason for doubt, the endpoint was asked as it was when it was open, from the same source, and the port
// is not a mute one.
func (sc *scanning) stateOf(a netip.AddrPort, source string, mute map[uint16]bool) (s inventory.State, in bool) {
	switch {
	case !sc.scope.Contains(a.Addr()) || !sc.plan.Holds(a):
		return s, false
	case sc.fresh.Holds(a):
		return inventory.State{State: discover.NotAttempted, Why: report.PassedOver}, true
	case sc.leftOut(a):
		return s, false
	}
	pass := 0
	if source != "" {
		pass = 1 + slices.IndexFunc(sc.s.furtherAddrs(), func(from netip.AddrPort) bool { return discover.SourceText(from) == source })
	}
	s.State = sc.covs[pass].State(a)
	switch {
	case s.State == discover.Open:
		s.Sure = true
	case source != "" && pass == 0:
		s.Why = "it opened to the source " + source + ", from which this scan did not look"
	case s.State == discover.NotAttempted || s.State == discover.Failed:
		s.Why = "this scan did not get to it"
		if t := sc.covs[0].Trouble(); s.State == discover.Failed && t != "" {
			s.Why = t
		}
	case sc.past.doubts[a.Port()] != "":
		s.Why = sc.past.doubts[a.Port()]
	case !sc.covs[pass].Swept():
		s.Why = "the sweep was cut short"
	case mute[a.Port()]:
		s.Why = "nothing at all answered on this port, so this side may be what is closed: --self-test tells"
	default:
		s.Sure = true
	}
	return s, true
}

// rulesets are the rule exports of the scan, as the inventory keeps them: what is in them stays where it is.
func (sc *scanning) rulesets() (out []inventory.Ruleset) {
	for _, d := range sc.devices {
		for _, f := range d.Files {
			out = append(out, inventory.Ruleset{Device: d.Device, File: f.Name, SHA256: f.SHA256, Taken: d.Exported})
		}
	}
	return out
}

// settle says which openings have a finding.
func (p *past) settle() {
	have := make(map[netip.AddrPort]bool)
	for i := range p.findings {
		f := &p.findings[i]
		have[f.Addr] = true
		for _, port := range f.Crowd {
			have[netip.AddrPortFrom(f.Addr.Addr(), port)] = true
		}
	}
	for i := range p.openings {
		p.openings[i].probed = have[p.openings[i].addr]
	}
}

// add stores a finding: it is safe on disk when it returns.
func (sc *scanning) add(f *probe.Finding) error { return sc.inv.Add(f) }

func sinceFlag() cli.Flag {
	return stringFlag("since", "pass over what this vantage looked at within this `TIME`, such as 7d: only the rest is scanned")
}

// sinceOf is the time that --since goes back to.
func sinceOf(v value, now time.Time) (time.Time, error) {
	if v.text == "" {
		return time.Time{}, nil
	}
	return v.ago(now)
}

// ago is a time before now, in hours, days, weeks, months or years: 36h, 7d, 4w, 24m, 2y.
func (v value) ago(now time.Time) (time.Time, error) {
	text := v.text
	var n int
	if len(text) > 1 {
		var err error
		if n, err = strconv.Atoi(text[:len(text)-1]); err != nil || n > 10000 {
			n = 0
		}
	}
	if n > 0 {
		switch text[len(text)-1] {
		case 'h':
			return now.Add(-time.Duration(n) * time.Hour), nil
		case 'd':
			return now.AddDate(0, 0, -n), nil
		case 'w':
			return now.AddDate(0, 0, -7*n), nil
		case 'm':
			return now.AddDate(0, -n, 0), nil
		case 'y':
			return now.AddDate(-n, 0, 0), nil
		}
	}
	return time.Time{}, v.errorf("%q is not a time that can be counted back: write it like 36h, 7d, 4w, 24m (months) or 2y", text)
}
