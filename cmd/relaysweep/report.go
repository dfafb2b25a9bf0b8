package main

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/urfave/cli/v3"

	"relaysweep/discover"
)

func (p *program) reportCommand() *cli.Command {
	return &cli.Command{
		Name: "report", Usage: "the report of a stored scan again, in any format; nothing is sent to anyone",
		Description: "Rules that are named now take the place of those of the scan, so that a finding can be explained once the export is there.",
		Flags: slices.Concat([]cli.Flag{
			stringFlag("scan", "`ID` of the scan (default: the last one)"), rulesFlag(), stringFlag("zone", "firewall zone of the vantage, for --rules"), assetsFlag(),
			stringFlag("config", "configuration `FILE` that tells zones and networks of the devices of --rules"),
		}, outputFlags(), []cli.Flag{statesFlag()}),
		Action: p.report,
	}
}

func (p *program) report(ctx context.Context, c *cli.Command) error {
	if err := noArguments(c, 0); err != nil {
		return err
	}
	sc := &scanning{p: p, talk: io.Discard, reading: true}
	if err := sc.prepare(ctx, c); err != nil {
		return usage(err)
	}
	defer sc.close()
	if sc.s.DiscoverOnly { // its openings are all that there is
		queue := make(chan discover.Opening, len(sc.past.openings))
		for _, o := range sc.past.openings {
			t, err := sc.scope.Target(o.addr)
			if err != nil {
				return usage(err)
			}
			queue <- discover.Opening{Target: t, Vantage: sc.s.Vantage, Source: o.source, Hollow: o.hollow}
		}
		close(queue)
		sc.listAll(queue)
	}
	sc.readDeliveries()
	return sc.conclude(false)
}

// ended is when a scan ended: of one that is only read, when the last was written to its journal.
func (sc *scanning) ended() time.Time {
	if sc.reading {
		if info, err := sc.journal.f.Stat(); err == nil {
			return info.ModTime().UTC()
		}
	}
	return time.Now().UTC()
}
