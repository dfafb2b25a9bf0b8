package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"
)

func (p *program) pruneCommand() *cli.Command {
	return &cli.Command{
		Name: "prune", Usage: "drop what scans found long ago; what was last known of each endpoint stays",
		Description: "Of each endpoint and vantage the last look and the last finding stay, with their evidence, and since when it is known.\nThe last scan of each vantage stays whole, and one that has not come to an end.",
		Flags: append([]cli.Flag{
			stringFlag("keep", "what was begun within this `TIME` stays: 90d, 24m (months), 5y; required"),
			stringFlag("config", "configuration `FILE` (default relaysweep.yaml where it exists)"),
		}, inventoryFlags()[:1]...),
		Action: p.prune,
	}
}

func (p *program) prune(ctx context.Context, c *cli.Command) error {
	if err := noArguments(c, 0); err != nil {
		return err
	}
	if !c.IsSet("keep") {
		return usage(errors.New("--keep is missing: name how long scans are kept, such as --keep 24m for two years"))
	}
	before, err := value{c.String("keep"), given(c, "keep")}.ago(time.Now().UTC())
	if err != nil {
		return usage(err)
	}
	store, _, err := existingInventory(ctx, c)
	if err != nil {
		return err
	}
	defer store.Close()
	gone, err := store.Prune(ctx, before)
	if err != nil {
		return &exit{exitInternal, err.Error()}
	}
	fmt.Fprintf(p.out, "begun before %s: %d findings and %d looks were dropped, and nothing is left of %d scans\n", before.Format(time.DateOnly), gone.Findings, gone.Looks, gone.Scans)
	return nil
}
