package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
	"github.com/urfave/cli/v3"

	"relaysweep/probe"
)

func (p *program) vectorsCommand() *cli.Command {
	return &cli.Command{
		Name: "vectors", Usage: "print the table of ways to ask a server to relay",
		Flags: []cli.Flag{stringFlag("config", "configuration `FILE` with rows of your own (default relaysweep.yaml where it exists)"), boolFlag("json", "JSON Lines", "j"), boolFlag("ascii", "ASCII borders")},
		Action: func(_ context.Context, c *cli.Command) error {
			if err := noArguments(c, 0); err != nil {
				return err
			}
			cfg, err := loadConfig(c)
			if err != nil {
				return usage(err)
			}
			rows, err := cfg.vectorRows(cfg.Local.Domains)
			if err != nil {
				return usage(err)
			}
			table := slices.Concat(probe.Vectors(), rows)
			if c.Bool("json") {
				enc := json.NewEncoder(p.out)
				enc.SetEscapeHTML(false)
				for _, v := range table {
					if err := enc.Encode(v); err != nil {
						return err
					}
				}
				return nil
			}
			return p.vectorTable(table, c.Bool("ascii"))
		},
	}
}

func (p *program) vectorTable(table []probe.Vector, ascii bool) error {
	symbols := tw.NewSymbols(tw.StyleLight)
	if ascii {
		symbols = tw.NewSymbols(tw.StyleASCII)
	}
	t := tablewriter.NewTable(p.out, tablewriter.WithEastAsian(tw.Off), tablewriter.WithHeaderAutoFormat(tw.Off), tablewriter.WithRowAutoWrap(tw.WrapNormal),
		tablewriter.WithRowMaxWidth(46), tablewriter.WithRowAlignment(tw.AlignLeft), tablewriter.WithHeaderAlignment(tw.AlignLeft),
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{Symbols: symbols})))
	t.Header("id", "forms", "catches", "when", "reference")
	for _, v := range table {
		if err := t.Append(v.ID, forms(v), v.Catches, v.When, v.Ref); err != nil {
			return err
		}
	}
	return t.Render()
}

// forms are what a vector writes, a line each.
func forms(v probe.Vector) string {
	var out []string
	if v.Header != "" {
		out = append(out, v.Header)
	}
	for _, h := range v.HELO {
		out = append(out, "EHLO "+h)
	}
	if v.TLS {
		out = append(out, "STARTTLS")
	}
	out = append(out, v.Before...)
	for _, f := range v.From {
		out = append(out, strings.TrimSpace("MAIL FROM:<"+f+"> "+v.MailParams))
	}
	for _, t := range v.To {
		out = append(out, "RCPT TO:"+t)
	}
	return strings.Join(out, "\n")
}
