package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"relaysweep/probe/smtp"
	"relaysweep/report"
	"relaysweep/report/inventory"
)

// scans lists the scans that the inventory holds, the last one first.
func (p *program) scans(ctx context.Context, c *cli.Command, out outputs) error {
	store, _, err := existingInventory(ctx, c)
	if err != nil {
		return err
	}
	defer store.Close()
	list, err := store.Scans(ctx)
	if err != nil {
		return &exit{exitInternal, err.Error()}
	}
	if err := out.tell(p, func(w io.Writer, _ report.Lang, _ report.TableOptions) error {
		if out.Stdout == "json" {
			return listAsJSON(w, list)
		}
		return listAsTable(w, list)
	}); err != nil {
		return &exit{exitInternal, err.Error()}
	}
	return nil
}

func listAsJSON(w io.Writer, list []inventory.Info) error {
	enc := json.NewEncoder(w)
	for _, i := range list {
		var ended *time.Time
		if !i.Ended.IsZero() {
			ended = &i.Ended
		}
		if err := enc.Encode(struct {
			Type          string     `json:"type"`
			SchemaVersion int        `json:"schema_version"`
			ScanID        string     `json:"scan_id"`
			Vantage       string     `json:"vantage"`
			Timestamp     time.Time  `json:"timestamp"`
			Kind          string     `json:"kind"`
			Site          string     `json:"site"`
			Ended         *time.Time `json:"ended"` // null: it never came to an end
			Complete      bool       `json:"complete"`
		}{"stored_scan", report.SchemaVersion, i.ID, i.Vantage, i.Started, i.Kind, i.Site, ended, i.Complete}); err != nil {
			return err
		}
	}
	return nil
}

func listAsTable(w io.Writer, list []inventory.Info) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "scan\tkind\tvantage\tbegan\tended")
	for _, i := range list {
		ended := "never"
		if !i.Ended.IsZero() {
			ended = i.Ended.Format("2006-01-02 15:04")
			if !i.Complete {
				ended += ", incomplete"
			}
		}
		vantage := i.Vantage
		if i.Site != "" {
			vantage += " (" + i.Site + ")"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", i.ID, i.Kind, smtp.Escape(vantage), i.Started.Format("2006-01-02 15:04"), ended)
	}
	return t.Flush()
}
