package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v3"
)

func (p *program) rulesChangesCommand() *cli.Command {
	return &cli.Command{Name: "changes", Usage: "what a change of the rules opens and closes", Action: func(context.Context, *cli.Command) error { return errors.New("later") }}
}
