package main

import (
	"context"

	"github.com/urfave/cli/v3"

	"relaysweep/report"
)

func (p *program) schemaCommand() *cli.Command {
	return &cli.Command{
		Name: "schema", Usage: "print the JSON Schema of the lines that --json writes",
		Action: func(_ context.Context, c *cli.Command) error {
			if err := noArguments(c, 0); err != nil {
				return err
			}
			return report.WriteSchema(p.out)
		},
	}
}
