package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"relaysweep/probe"
	"relaysweep/probe/canary"
	"relaysweep/report"
	"relaysweep/report/inventory"
)

func (p *program) reportCommand() *cli.Command {
	return &cli.Command{
		Name: "report", Usage: "the report of a stored scan again, in any format; nothing is sent to anyone",
		Description: "Rules and approvals that are named now take the place of those of the scan, so that a finding can be explained once the export is there. Canaries that came home since are joined. Approvals are judged by the time of the scan.",
		Flags: slices.Concat([]cli.Flag{
			stringFlag("scan", "`ID` of the scan (default: the last one)"), rulesFlag(), stringFlag("zone", "firewall zone of the vantage, for --rules"), assetsFlag(),
			stringFlag("config", "configuration `FILE` that tells zones and networks of the devices of --rules"), approvalsFlag(),
		}, inventoryFlags(), outputFlags(), []cli.Flag{statesFlag()}),
		Action: p.report,
	}
}

// report writes the report of a scan that the inventory holds. What only the scan's own state tells, which lies on the
// machine that made it, is told where that is there: the state of each target that did not answer, and the rules that it
// was begun with.
func (p *program) report(ctx context.Context, c *cli.Command) error {
	if err := noArguments(c, 0); err != nil {
		return err
	}
	out, err := newOutputs(c)
	if err != nil {
		return usage(err)
	}
	store, cfg, err := existingInventory(ctx, c)
	if err != nil {
		return err
	}
	defer store.Close()
	id := c.String("scan")
	if id == "" {
		id = "last"
	}
	info, err := store.Find(ctx, id)
	if err != nil {
		return stored(err)
	}
	sc := &scanning{p: p, talk: io.Discard, reading: true, s: &settings{Scan: info.ID, Vantage: info.Vantage, Started: info.Started, Zone: cfg.Vantage.Zone}, past: new(past)}
	defer sc.close()
	sc.ownState(info)
	sc.s.Outputs, sc.s.FailOn = out, c.String("fail-on")
	if err := sc.otherRules(c, cfg); err != nil {
		return usage(err)
	}
	if err := sc.readRules(); err != nil {
		return usage(err)
	}
	if err := sc.readAssets(ctx, c); err != nil {
		return usage(err)
	}
	if out.States != "" && len(sc.covs) == 0 {
		return usage(errors.New("--states: the states of all targets lie with the machine that made the scan, in its state folder, and they are not here"))
	}
	late, err := joinDeliveries(ctx, store, sc.s.DeliveriesFile)
	if err != nil {
		return &exit{exitInternal, err.Error()}
	}
	r, err := store.Read(ctx, info)
	if err != nil {
		return &exit{exitInternal, err.Error()}
	}
	defer r.Close()
	in := r.Input
	in.Deliveries = append(in.Deliveries, late...)
	in.Approvals = sc.approvals
	sc.register(&in)
	if info.Kind != inventory.KindProbe {
		if in.Changes, err = store.Since(ctx, info); err != nil {
			return &exit{exitInternal, err.Error()}
		}
	}
	if len(sc.devices) > 0 {
		in.Rules = sc.rules(nil)
		if len(sc.covs) > 0 {
			in.Rules = sc.rules(sc.covs[0].States())
		}
	}
	return sc.write(in)
}

// stored tells a scan that is not there, which is a mistake of the command line, from a database that does not work.
func stored(err error) error {
	var e *exit
	if errors.As(err, &e) {
		return err
	}
	if errors.Is(err, inventory.ErrNoScan) {
		return usage(err)
	}
	return &exit{exitInternal, err.Error()}
}

// ownState reads what the scan left on this machine. Without it the report tells less.
func (sc *scanning) ownState(info inventory.Info) {
	if info.Kind == inventory.KindProbe {
		return
	}
	s, j, past, err := resumeJournal(info.ID)
	if err != nil {
		return // made elsewhere, or under way
	}
	sc.closers = append(sc.closers, j)
	own := &scanning{p: sc.p, talk: sc.talk, reading: true, s: s, journal: j, past: past}
	if err := own.layOut(); err == nil {
		sc.covs, sc.plan, sc.scope = own.covs, own.plan, own.scope
	}
	sc.closers = append(sc.closers, own.closers...)
	sc.s, sc.journal = s, j
}

// joinDeliveries puts into the inventory what the sink's file holds, and returns what no stored finding sent: the report
// shows that as well.
func joinDeliveries(ctx context.Context, store *inventory.Store, file string) (strays []probe.Delivery, err error) {
	if file == "" {
		return nil, nil
	}
	ds, err := canary.ReadFile(file)
	if err != nil {
		return nil, nil // the report of a stored scan does not fail for it
	}
	var tokens []string
	for _, d := range ds {
		tokens = append(tokens, d.Canary)
	}
	ours, err := store.Sent(ctx, tokens)
	if err != nil {
		return nil, err
	}
	for _, d := range ds {
		if !ours[d.Canary] {
			strays = append(strays, d)
		} else if err := store.Deliver(ctx, d); err != nil {
			return nil, err
		}
	}
	return strays, nil
}

// write writes a report and decides the exit code.
func (sc *scanning) write(in report.Input) error {
	r := report.New(in)
	complete := in.Scan.Complete
	if sc.inv != nil {
		if err := sc.inv.Hold(approvalUses(r)); err != nil {
			r.Scan.Notes = append(r.Scan.Notes, "not all is in the inventory: "+err.Error())
			sc.fatal = cmp.Or(sc.fatal, err)
		}
	}
	r.Scan.Exit = sc.exitCode(r, complete)
	sc.result = r
	if len(sc.covs) > 0 {
		if err := sc.s.Outputs.writeStates(sc.covs[0]); err != nil {
			return &exit{exitInternal, err.Error()}
		}
	}
	if err := sc.s.Outputs.write(sc.p, r); err != nil {
		return &exit{exitInternal, err.Error()}
	}
	msg := ""
	switch {
	case sc.fatal != nil:
		msg = sc.fatal.Error()
	case in.Scan.Resume != "":
		msg = "incomplete; go on with: " + in.Scan.Resume
	}
	if r.Scan.Exit == exitDone {
		return nil
	}
	return &exit{r.Scan.Exit, msg}
}

// approvalUses are the approvals that endpoints were held against, as the inventory keeps them.
func approvalUses(r *report.Report) (out []inventory.Use) {
	for _, e := range r.Entries {
		if e.ApprovalState == "" {
			continue
		}
		u := inventory.Use{Addr: e.Finding.Addr, State: string(e.ApprovalState)}
		if a := e.Approval; a != nil {
			u.Approval, u.Expires = strings.Join([]string{a.Approval.Owner, a.Approval.Ticket, a.Approval.Where}, ", "), a.Expires
		}
		out = append(out, u)
	}
	return out
}
