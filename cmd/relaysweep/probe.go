package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/urfave/cli/v3"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/report"
)

func (p *program) probeCommand() *cli.Command {
	return &cli.Command{
		Name: "probe", Usage: "relay-test named endpoints, with the whole dialogue", ArgsUsage: "ADDRESS:PORT...",
		Description: "- reads endpoints from stdin, one a line, as discover --silent writes them.",
		Flags:       slices.Concat(targetFlags(), probeFlags(), inventoryFlags(), outputFlags()),
		Action:      p.probe,
	}
}

// probe tests endpoints one after the other and shows what was said.
func (p *program) probe(ctx context.Context, c *cli.Command) error {
	endpoints, err := p.endpoints(c.Args().Slice())
	if err != nil {
		return usage(err)
	}
	var targets []string
	for _, e := range endpoints {
		targets = append(targets, e.Addr().String())
	}
	sc := &scanning{p: p, talk: p.err, past: new(past)}
	if sc.s, err = p.newSettings(c, targets); err != nil {
		return usage(err)
	}
	sc.s.Probe = true
	sc.engine.Name = "probe"
	if sc.s.StopAt == probe.Delivered {
		return usage(errors.New("probe stops at ready: scan sends canaries and waits for them"))
	}
	if sc.s.Outputs, err = newOutputs(c); err != nil {
		return usage(err)
	}
	if sc.scope, err = discover.NewScope(sc.s.Spec); err != nil {
		return usage(err)
	}
	if err := sc.equip(); err != nil {
		return usage(err)
	}
	if err := sc.readRules(); err != nil {
		return usage(err)
	}
	if err := sc.readAssets(ctx, c); err != nil {
		return usage(err)
	}
	if err := sc.s.checkSources(endpoints[0].Addr()); err != nil {
		return usage(err)
	}
	var gated []discover.Target
	for _, e := range endpoints {
		t, err := sc.scope.Target(e)
		if err != nil {
			return usage(err)
		}
		gated = append(gated, t)
	}
	defer sc.close()
	if err := sc.openState(ctx); err != nil {
		return orUsage(err)
	}
	sc.askNames(ctx)
	prober := sc.prober()
	for _, t := range gated {
		f, err := prober.Probe(ctx, discover.Opening{Target: t, Vantage: sc.s.Vantage})
		if err != nil {
			return &exit{exitIncomplete, err.Error()}
		}
		if err := sc.add(&f); err != nil {
			return &exit{exitInternal, err.Error()}
		}
		sc.findings = append(sc.findings, f)
	}
	ports := []uint16{}
	for _, e := range endpoints {
		ports = append(ports, e.Port())
	}
	slices.Sort(ports)
	about := slices.DeleteFunc(slices.Clone(sc.approvals), func(a report.Approval) bool {
		return !slices.ContainsFunc(endpoints, func(e netip.AddrPort) bool { return a.Address.Contains(e.Addr()) })
	})
	rs := sc.about()
	rs.Ports, rs.Seed, rs.Excluded = slices.Compact(ports), 0, nil
	rs.Ended, rs.Complete, rs.Targets = time.Now().UTC(), true, uint64(len(endpoints))
	in := report.Input{Findings: sc.findings, Rules: sc.rules(nil), Approvals: about, Scan: rs}
	sc.register(&in)
	if err := sc.keep(context.WithoutCancel(ctx), &in); err != nil {
		return &exit{exitInternal, err.Error()}
	}
	r := report.New(in)
	sc.s.Outputs.Verbose = true
	if err := sc.s.Outputs.write(p, r); err != nil {
		return &exit{exitInternal, err.Error()}
	}
	sc.s.FailOn = c.String("fail-on")
	if code := sc.exitCode(r, true); code != exitDone {
		return &exit{code, ""}
	}
	return nil
}

// endpoints reads the arguments of probe; - stands for a list on stdin.
func (p *program) endpoints(args []string) ([]netip.AddrPort, error) {
	if len(args) == 0 {
		return nil, errors.New("name the endpoints to test, such as 10.20.0.25:25; - reads them from stdin")
	}
	var out []netip.AddrPort
	for _, a := range args {
		entries := []discover.Entry{{Text: a}}
		if a == "-" {
			var err error
			if entries, err = readList("stdin", p.in); err != nil {
				return nil, err
			}
			if len(entries) == 0 {
				return nil, errors.New("stdin: no endpoints in it: write one a line")
			}
		}
		for _, entry := range entries {
			e, err := netip.ParseAddrPort(entry.Text)
			if err != nil || e.Port() == 0 {
				err = fmt.Errorf("%q is not an endpoint: write it like 10.20.0.25:25 or [2001:db8::25]:25", entry.Text)
				if entry.Where != "" {
					err = fmt.Errorf("%s: %w", entry.Where, err)
				}
				return nil, err
			}
			out = append(out, e)
		}
	}
	return out, nil
}
