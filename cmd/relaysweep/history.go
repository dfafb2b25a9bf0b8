package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"relaysweep/report"
)

func (p *program) historyCommand() *cli.Command {
	return &cli.Command{
		Name: "history", Usage: "the stored scans; or every look of them at an endpoint, and what changed; nothing is sent to anyone", ArgsUsage: "[ADDRESS[:PORT]]",
		Description: "An address alone: all its ports that were open once.",
		Flags:       storyFlags(),
		Action:      p.history,
	}
}

func (p *program) history(ctx context.Context, c *cli.Command) error {
	if err := noArguments(c, 1); err != nil {
		return err
	}
	out, err := newOutputs(c)
	if err != nil {
		return usage(err)
	}
	if !c.Args().Present() {
		return p.scans(ctx, c, out)
	}
	subject := c.Args().First()
	a, err := endpointOrAddress(subject)
	if err != nil {
		return usage(err)
	}
	store, cfg, err := existingInventory(ctx, c)
	if err != nil {
		return err
	}
	defer store.Close()
	site := cfg.Site
	if c.IsSet("site") {
		site = c.String("site")
	}
	stored, err := store.History(ctx, site, a)
	if err != nil {
		return &exit{exitInternal, err.Error()}
	}
	var looks []report.Look
	for _, l := range stored {
		looks = append(looks, report.Look{Scan: l.Scan.ID, Kind: l.Scan.Kind, Vantage: l.Scan.Vantage, At: l.At, Sight: l.Sight})
	}
	slices.SortStableFunc(looks, func(a, b report.Look) int {
		return cmp.Or(a.Sight.Addr.Compare(b.Sight.Addr), a.At.Compare(b.At))
	})
	report.Follow(looks)
	if err := out.tell(p, func(w io.Writer, l report.Lang, o report.TableOptions) error {
		if out.Stdout == "json" {
			return report.WriteHistoryJSONL(w, looks)
		}
		return report.WriteHistoryTable(w, subject, looks, l, o)
	}); err != nil {
		return &exit{exitInternal, err.Error()}
	}
	return nil
}

// endpointOrAddress reads an endpoint, or an address with port 0.
func endpointOrAddress(text string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddrPort(text); err == nil && a.Port() > 0 {
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
	}
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return netip.AddrPortFrom(a.Unmap(), 0), nil
	}
	return netip.AddrPort{}, fmt.Errorf("%q is no address, and no endpoint such as 198.51.100.25:25", text)
}
