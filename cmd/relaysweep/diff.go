package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v3"

	"relaysweep/report"
	"relaysweep/report/inventory"
)

// storyFlags are those of commands that tell of what the inventory holds.
func storyFlags() []cli.Flag {
	return slices.Concat([]cli.Flag{
		boolFlag("json", "JSON Lines on stdout", "j"), boolFlag("no-color", "no colours (also NO_COLOR)", "nc"), boolFlag("ascii", "tables in ASCII"),
		stringFlag("output", "write what would go to the terminal to `FILE`", "o", "oN"),
		stringFlag("lang", "language on the terminal: en or ja (default en)"),
		stringFlag("config", "configuration `FILE` (default relaysweep.yaml where it exists)"),
	}, inventoryFlags())
}

func (p *program) diffCommand() *cli.Command {
	return &cli.Command{
		Name: "diff", Usage: "what changed between two stored scans of one vantage; nothing is sent to anyone", ArgsUsage: "[SCAN [SCAN]]",
		Description: "Scans are named by their ids, or last. One: from it to the last scan of its vantage. None: the last scan and the one before.\nWhat was open and was not looked at again is told as not re-checked, and never as gone.",
		Flags:       append(storyFlags(), boolFlag("csv", "CSV on stdout"), stringFlag("fail-on", "exit 1 if what is new, judged for the first time, open again or worse reaches this severity: info, low, medium, high or critical")),
		Action:      p.diff,
	}
}

func (p *program) diff(ctx context.Context, c *cli.Command) error {
	if err := noArguments(c, 2); err != nil {
		return err
	}
	out, err := newOutputs(c)
	if err != nil {
		return usage(err)
	}
	store, _, err := existingInventory(ctx, c)
	if err != nil {
		return err
	}
	defer store.Close()
	from, to, err := twoScans(ctx, store, c.Args().Slice())
	if err != nil {
		return stored(err)
	}
	changes, err := store.Changes(ctx, from, to)
	if err != nil {
		return &exit{exitInternal, err.Error()}
	}
	if err := out.tell(p, func(w io.Writer, l report.Lang, o report.TableOptions) error {
		switch out.Stdout {
		case "json":
			return report.WriteChangesJSONL(w, changes)
		case "csv":
			return report.WriteChangesCSV(w, changes)
		}
		return report.WriteChangesTable(w, changes, l, o)
	}); err != nil {
		return &exit{exitInternal, err.Error()}
	}
	if s := c.String("fail-on"); s != "" {
		if severity, _ := report.ParseSeverity(s); changes.WorstAtLeast(severity) { // checked with the flags
			return &exit{exitFinding, ""}
		}
	}
	return nil
}

// tell writes to stdout, or to the file that takes its place.
func (o outputs) tell(p *program, write func(io.Writer, report.Lang, report.TableOptions) error) error {
	l, _ := o.lang() // checked with the flags
	if o.Normal != "" {
		return writeFile(o.Normal, func(w io.Writer) error { return write(w, l, report.TableOptions{ASCII: o.ASCII}) })
	}
	width, terminal := terminalWidth(p.out)
	return write(p.out, l, report.TableOptions{Width: width, ASCII: o.ASCII, Colour: terminal && !o.NoColour})
}

// twoScans finds the scans that are named, and the other one where only one is, or none.
func twoScans(ctx context.Context, store *inventory.Store, names []string) (from, to inventory.Info, err error) {
	if len(names) == 0 {
		if to, err = store.Find(ctx, "last"); err != nil {
			return from, to, err
		}
		if from, err = store.Before(ctx, to); errors.Is(err, inventory.ErrNoScan) {
			err = fmt.Errorf("%w before %s from %q: there is nothing to compare", inventory.ErrNoScan, to.ID, to.Vantage)
		}
		return from, to, err
	}
	if from, err = store.Find(ctx, names[0]); err != nil {
		return from, to, err
	}
	if len(names) == 2 {
		to, err = store.Find(ctx, names[1])
	} else {
		to, err = lastOf(ctx, store, from)
	}
	switch {
	case err != nil:
	case from.ID == to.ID:
		err = usage(fmt.Errorf("%s is one scan: two are compared", from.ID))
	case from.Site != to.Site || from.Vantage != to.Vantage:
		err = usage(fmt.Errorf("%s looked from %q and %s from %q: what one vantage sees is no change of what another saw", from.ID, place(from), to.ID, place(to)))
	case from.Ended.IsZero():
		err = usage(fmt.Errorf("%s has not come to an end: there is nothing yet to compare with", from.ID))
	case !to.Ended.IsZero() && to.Ended.Before(from.Ended):
		err = usage(fmt.Errorf("%s ended before %s: name that which ended first before the other", to.ID, from.ID))
	}
	return from, to, err
}

// place names where a scan looked from.
func place(i inventory.Info) string {
	if i.Site == "" {
		return i.Vantage
	}
	return i.Vantage + " at " + i.Site
}

// lastOf is the last scan from the vantage of another that did not end before it.
func lastOf(ctx context.Context, store *inventory.Store, i inventory.Info) (inventory.Info, error) {
	list, err := store.Scans(ctx)
	if err != nil {
		return i, err
	}
	k := slices.IndexFunc(list, func(o inventory.Info) bool {
		return o.ID != i.ID && o.Site == i.Site && o.Vantage == i.Vantage && o.Kind != inventory.KindProbe && (o.Ended.IsZero() || !o.Ended.Before(i.Ended))
	})
	if k < 0 {
		return i, nil // it is the last one itself
	}
	return list[k], nil
}
