// Command relaysweep finds the SMTP services in an organisation's own address space and tells which of them relay.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v3"
)

// Exit codes.
const (
	exitDone       = 0 // everything in scope was looked at, nothing at or above --fail-on
	exitFinding    = 1 // a finding at or above --fail-on
	exitUsage      = 2 // usage, configuration or scope error; nothing was sent
	exitIncomplete = 3 // nothing to fail on, but coverage is incomplete; resumable
	exitInternal   = 4 // our own failure
)

// program is what a command works with: its streams, so that tests can hold them.
type program struct {
	in       io.Reader
	out, err io.Writer
}

// exit is an error with an exit code. A message that is empty is not printed.
type exit struct {
	code int
	msg  string
}

func (e *exit) Error() string { return e.msg }

// usage makes an error that ends with exit code 2.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &exit{exitUsage, err.Error()}
}

// orUsage makes an error that ends with exit code 2, unless it has a code of its own.
func orUsage(err error) error {
	var e *exit
	if errors.As(err, &e) {
		return err
	}
	return usage(err)
}

// hint adds the next step to an error.
func hint(err error, next string) error { return fmt.Errorf("%w (%s)", err, next) }

func main() {
	giveBack()
	p := &program{os.Stdin, os.Stdout, os.Stderr}
	os.Exit(p.run(context.Background(), os.Args))
}

// run runs one command and returns the exit code. Results go to stdout, talk to stderr.
func (p *program) run(ctx context.Context, args []string) int {
	root := p.command()
	err := root.Run(ctx, args)
	if err == nil {
		return exitDone
	}
	var e *exit
	var c cli.ExitCoder
	switch {
	case errors.As(err, &e):
	case errors.As(err, &c): // the library's own, such as help for what is no command
		e = &exit{exitUsage, err.Error()}
	default:
		e = &exit{exitInternal, err.Error()}
	}
	if e.code == exitUsage && len(args) > 1 && !strings.HasPrefix(args[1], "-") && root.Command(args[1]) == nil {
		e = noCommand(args[1]) // whatever its flags are
	}
	if e.msg != "" {
		fmt.Fprintf(p.err, "relaysweep: %s\n", strings.TrimSpace(e.msg))
	}
	return e.code
}

// command is the table of commands.
func (p *program) command() *cli.Command {
	bad := func(_ context.Context, c *cli.Command, err error, _ bool) error {
		return usage(fmt.Errorf("%w (%s --help lists what there is)", err, c.FullName()))
	}
	root := &cli.Command{
		Name:                  "relaysweep",
		Usage:                 "find every SMTP service in your own address space, and which of them relay",
		Version:               version(),
		Writer:                p.out,
		ErrWriter:             p.err,
		Reader:                p.in,
		EnableShellCompletion: true,
		Suggest:               true,
		OnUsageError:          bad,
		ExitErrHandler:        func(context.Context, *cli.Command, error) {},
		Commands:              []*cli.Command{p.scanCommand(), p.discoverCommand(), p.probeCommand(), p.reportCommand(), p.diffCommand(), p.historyCommand(), p.approveCommand(), p.pruneCommand(), p.rulesCommand(), p.metricsCommand(), p.canaryCommand(), p.schemaCommand(), p.vectorsCommand(), p.initCommand(), p.demoCommand()},
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return noCommand(c.Args().First())
			}
			return cli.ShowRootCommandHelp(c)
		},
	}
	var set func(*cli.Command)
	set = func(c *cli.Command) {
		c.OnUsageError = bad
		for _, sub := range c.Commands {
			set(sub)
		}
	}
	set(root)
	return root
}

func noCommand(name string) *exit {
	return &exit{exitUsage, fmt.Sprintf("no command %q (relaysweep --help lists the commands)", name)}
}

// noArguments refuses arguments that a command has no use for: they are a mistake, such as a forgotten flag.
func noArguments(c *cli.Command, most int) error {
	if c.Args().Len() <= most {
		return nil
	}
	return usage(fmt.Errorf("%s: %q is one argument too many (%s --help lists what there is)", c.Name, c.Args().Get(most), c.FullName()))
}

func version() string {
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" && b.Main.Version != "(devel)" {
		return b.Main.Version
	}
	return "devel"
}
