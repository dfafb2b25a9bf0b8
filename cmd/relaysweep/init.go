package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v3"
)

// template is the commented configuration that init writes. A test reads it back.
//
//go:embed relaysweep.yaml
var template string

func (p *program) initCommand() *cli.Command {
	return &cli.Command{
		Name: "init", Usage: "write a commented configuration", ArgsUsage: "[FILE]",
		Flags: []cli.Flag{boolFlag("print", "print it instead")},
		Action: func(_ context.Context, c *cli.Command) error {
			if err := noArguments(c, 1); err != nil {
				return err
			}
			if c.Bool("print") {
				_, err := io.WriteString(p.out, template)
				return err
			}
			name := "relaysweep.yaml"
			if c.Args().Present() {
				name = c.Args().First()
			}
			f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
			if err != nil {
				return usage(fmt.Errorf("%w: nothing was written", err))
			}
			_, err = io.WriteString(f, template)
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
			fmt.Fprintf(p.err, "relaysweep: wrote %s; fill in what is yours, then: relaysweep scan --dry-run\n", name)
			return nil
		},
	}
}
