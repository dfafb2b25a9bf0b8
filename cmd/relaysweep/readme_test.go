package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

// shown finds commands in a document: lines of code blocks, and code in the text.
var shown = regexp.MustCompile("(?m)^\\s*(?:\\$ |> )?(?:\\./)?(relaysweep [^`\n]*)$|`(?:\\./)?(relaysweep [^`\n]+)`|(?:^|\\| |; |&& )(?:\\./)?(relaysweep (?:scan|discover|probe|canary|init|vectors|demo) [^`|\n;&]*)")

// Code in the text, and the flags in it.
var (
	codeShown = regexp.MustCompile("`([^`\n]+)`")
	flagShown = regexp.MustCompile(`^--?[a-zA-Z][a-zA-Z-]*$`)
)

func flagExists(flag string) bool {
	p := &program{strings.NewReader(""), io.Discard, io.Discard}
	var has func(*cli.Command) bool
	has = func(c *cli.Command) bool {
		for _, f := range c.Flags {
			for _, n := range f.Names() {
				if strings.TrimLeft(flag, "-") == n {
					return true
				}
			}
		}
		for _, sub := range c.Commands {
			if has(sub) {
				return true
			}
		}
		return flag == "--help" || flag == "--version"
	}
	return has(p.command())
}

// parses reports what is wrong with a command line, without running it.
func parses(line string) error {
	line, _, _ = strings.Cut(line, "#")
	for _, end := range []string{"|", ">", "<", "&&", ";"} {
		line, _, _ = strings.Cut(line, end)
	}
	args := strings.Fields(line)
	for i := range args {
		args[i] = strings.Trim(args[i], `'".,)`)
	}
	p := &program{strings.NewReader(""), io.Discard, io.Discard}
	root := p.command()
	var idle func(*cli.Command)
	idle = func(c *cli.Command) {
		if c != root && len(c.Commands) == 0 {
			c.Action = func(context.Context, *cli.Command) error { return nil }
		}
		for _, sub := range c.Commands {
			idle(sub)
		}
	}
	idle(root)
	return root.Run(context.Background(), args)
}

// Every command that a document shows exists, with its flags.
func TestDocumentsShowWhatExists(t *testing.T) {
	documents, err := filepath.Glob("../../*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range documents {
		b, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, m := range shown.FindAllStringSubmatch(string(b), -1) {
			line := m[1] + m[2] + m[3]
			if strings.HasPrefix(line, "relaysweep is ") || !regexp.MustCompile(`^relaysweep (-|[a-z]+\b)`).MatchString(line) {
				continue
			}
			n++
			if err := parses(line); err != nil {
				t.Errorf("%s: %s: %v", filepath.Base(name), line, err)
			}
		}
		for _, m := range codeShown.FindAllStringSubmatch(string(b), -1) {
			for i, word := range strings.Fields(m[1]) {
				if isFlag := flagShown.MatchString(word); i == 0 && !isFlag && word != "relaysweep" && (&program{}).command().Command(word) == nil {
					break // another program's
				} else if isFlag {
					if n++; !flagExists(word) {
						t.Errorf("%s: no command has a flag %s", filepath.Base(name), word)
					}
				}
			}
		}
		t.Logf("%s: %d commands and flags", filepath.Base(name), n)
	}
}

// The check itself finds what does not exist.
func TestParses(t *testing.T) {
	for _, tt := range []struct {
		line string
		ok   bool
	}{
		{"relaysweep scan 10.20.0.0/24", true},
		{"relaysweep scan -oH report.html --json | jq .", true},
		{"relaysweep scan -iL targets.txt -p 25,587 --fail-on high   # in cron", true},
		{"relaysweep canary serve --config relaysweep.yaml", true},
		{"relaysweep scan --resume last", true},
		{"relaysweep --help", true},
		{"relaysweep scan --frobnicate", false},
		{"relaysweep serve", false},
		{"relaysweep report --scan last", true},
		{"relaysweep canary frob", false},
		{"relaysweep scan --port", false},
	} {
		if err := parses(tt.line); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.line, err)
		}
	}
}
