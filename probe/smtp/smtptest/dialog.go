package smtptest

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxFile  = 1 << 20
	maxPause = time.Hour
)

// A Dialog is one parsed .dialog file. It does not change once it is made;
// many servers may play it.
type Dialog struct {
	Name string // of the file, for messages

	anyOrder    bool
	implicitTLS bool
	hostname    string

	maxConnections  int // 0: no limit
	connectionsText text
	maxErrors       int // 0: no limit
	errorsText      text
	rewrites        []rewrite

	greeting []step
	blocks   []*block
}

// A step is what the server does for one S: line or directive.
type step func(*session) error

// A block is a C: line and what follows it.
type block struct {
	line       int    // in the file
	source     string // of the pattern
	pattern    pattern
	conditions []condition
	steps      []step
}

type condition struct {
	flag string
	want bool
}

type rewrite struct {
	pattern pattern
	to      text
}

// Parse reads a .dialog file. An error names the line and what to write there.
func Parse(name string, r io.Reader) (*Dialog, error) {
	file, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(file) > maxFile {
		return nil, fmt.Errorf("%s: longer than 1 MiB; make it shorter", name)
	}
	p := &parser{d: &Dialog{Name: name}}
	for n, line := range strings.Split(strings.TrimPrefix(string(file), "\ufeff"), "\n") {
		p.n = n + 1
		if err := p.line(strings.TrimSuffix(line, "\r")); err != nil {
			return nil, fmt.Errorf("%s line %d: %w", name, p.n, err)
		}
	}
	if len(p.d.greeting) == 0 && len(p.d.blocks) == 0 {
		return nil, fmt.Errorf("%s line %d: the server would do nothing; write an S: line, a C: line or = hang", name, p.n)
	}
	return p.d, nil
}

// MustParse is Parse for a text that is part of the program. It panics on an
// error.
func MustParse(text string) *Dialog {
	d, err := Parse("dialog", strings.NewReader(text))
	if err != nil {
		panic(err)
	}
	return d
}

type parser struct {
	d     *Dialog
	n     int    // number of the line
	block *block // the one that steps go to; nil: the greeting
	begun bool   // past the first S: or C:
	fresh bool   // directly after C:, where conditions stand
	ended string // the directive that ended this block
	data  bool   // a message was read before this line
}

func (p *parser) line(line string) error {
	line = strings.TrimLeft(line, " \t")
	switch {
	case line == "" || line[0] == '#':
		return nil
	case !utf8.ValidString(line):
		return errors.New(`not UTF-8; write such a byte as \xHH`)
	case strings.HasPrefix(line, "S:"):
		t, err := parseText(strings.TrimPrefix(line[2:], " "), "\r\n")
		if err != nil {
			return err
		}
		p.begun = true
		return p.add(func(c *session) error { return c.send(t) })
	case strings.HasPrefix(line, "C:"):
		source := strings.TrimPrefix(line[2:], " ")
		pattern, err := parsePattern(source)
		if err != nil {
			return err
		}
		p.block = &block{line: p.n, source: source, pattern: pattern}
		p.d.blocks = append(p.d.blocks, p.block)
		p.begun, p.fresh, p.ended = true, true, ""
		p.data = p.data && !p.d.anyOrder
		return nil
	case line[0] == '=':
		return p.directive(strings.TrimSpace(line[1:]))
	}
	return fmt.Errorf("cannot read %q; a line starts with S: or C: or = or #", clip(line))
}

func (p *parser) directive(words string) error {
	for _, d := range directives {
		arg, ok := strings.CutPrefix(words, d.name)
		if !ok || arg != "" && arg[0] != ' ' && arg[0] != '\t' {
			continue
		}
		if d.header && p.begun {
			return fmt.Errorf("= %s is too late; write it before the first S: or C: line", d.name)
		}
		arg = strings.TrimSpace(arg)
		err := errUsage
		if (arg == "") == (d.args == "") {
			err = d.parse(p, arg)
		}
		if err == errUsage {
			return fmt.Errorf("cannot read %q; write = %s", clip("= "+words), strings.TrimSpace(d.name+" "+d.args))
		}
		return err
	}
	var names []string
	for _, d := range directives {
		names = append(names, d.name)
	}
	return fmt.Errorf("unknown directive %q; write one of: %s", clip(words), strings.Join(names, ", "))
}

func (p *parser) add(s step) error {
	if p.ended != "" {
		return fmt.Errorf("nothing can follow = %s; remove this line or write it before", p.ended)
	}
	p.fresh = false
	if p.block == nil {
		p.d.greeting = append(p.d.greeting, s)
	} else {
		p.block.steps = append(p.block.steps, s)
	}
	return nil
}

// errUsage makes the caller tell how the directive is written.
var errUsage = errors.New("usage")

var directives = []struct {
	name   string
	args   string // how they are written; "" for none
	header bool   // stands before the first S: or C:
	parse  func(p *parser, arg string) error
}{
	{"any order", "", true, func(p *parser, _ string) error {
		p.d.anyOrder = true
		return nil
	}},
	{"implicit tls", "", true, func(p *parser, _ string) error {
		p.d.implicitTLS = true
		return nil
	}},
	{"hostname", "NAME", true, func(p *parser, arg string) (err error) {
		p.d.hostname, err = word(arg)
		return err
	}},
	{"max connections", "N [text]", true, func(p *parser, arg string) (err error) {
		p.d.maxConnections, p.d.connectionsText, err = limit(arg, 1)
		return err
	}},
	{"max errors", "N text", true, func(p *parser, arg string) (err error) {
		p.d.maxErrors, p.d.errorsText, err = limit(arg, 1)
		if err == nil && p.d.errorsText == nil {
			err = errUsage
		}
		return err
	}},
	{"rewrite", "PATTERN -> TEXT", true, func(p *parser, arg string) error {
		from, to, ok := strings.Cut(arg, " -> ")
		if !ok {
			return errUsage
		}
		pattern, err := parsePattern(strings.TrimSpace(from))
		if err != nil {
			return err
		}
		t, err := parseText(strings.TrimSpace(to), "")
		p.d.rewrites = append(p.d.rewrites, rewrite{pattern, t})
		return err
	}},
	{"if", "FLAG or = if not FLAG", false, func(p *parser, arg string) error {
		if !p.fresh {
			return errors.New("= if is out of place; write it directly after a C: line")
		}
		flag, not := strings.CutPrefix(arg, "not ")
		flag, err := word(strings.TrimSpace(flag))
		p.block.conditions = append(p.block.conditions, condition{flag, !not})
		return err
	}},
	{"tls", "", false, func(p *parser, _ string) error { return p.add((*session).startTLS) }},
	{"data", "", false, func(p *parser, _ string) error {
		p.data = true
		return p.add((*session).readMessage)
	}},
	{"relay", "", false, func(p *parser, _ string) error {
		if !p.data {
			return errors.New("= relay has no message; write = data before it")
		}
		return p.add((*session).relay)
	}},
	{"close", "", false, func(p *parser, _ string) error {
		return p.end("close", func(*session) error { return errHangUp })
	}},
	{"reset", "", false, func(p *parser, _ string) error { return p.end("reset", (*session).reset) }},
	{"hang", "", false, func(p *parser, _ string) error { return p.end("hang", (*session).hang) }},
	{"wait", "3s", false, func(p *parser, arg string) error {
		d, err := pause(arg)
		if err != nil {
			return err
		}
		return p.add(func(c *session) error { return c.pause(d) })
	}},
	{"drip", "50ms", false, func(p *parser, arg string) error {
		d, err := pause(arg)
		if err != nil {
			return err
		}
		return p.add(func(c *session) error { c.drip = d; return nil })
	}},
	{"set", "FLAG", false, func(p *parser, arg string) error { return p.flag(arg, true) }},
	{"clear", "FLAG", false, func(p *parser, arg string) error { return p.flag(arg, false) }},
	{"count", "NAME MAX [text]", false, func(p *parser, arg string) error {
		name, rest, _ := strings.Cut(arg, " ")
		limit, t, err := limit(strings.TrimSpace(rest), 0)
		if err != nil {
			return err
		}
		return p.add(func(c *session) error {
			if c.counts[name]++; c.counts[name] > limit {
				return c.drop(t)
			}
			return nil
		})
	}},
}

// end adds the last step that a block can have.
func (p *parser) end(name string, s step) error {
	err := p.add(s)
	p.ended = name
	return err
}

func (p *parser) flag(arg string, value bool) error {
	flag, err := word(arg)
	if err != nil {
		return err
	}
	return p.add(func(c *session) error { c.flags[flag] = value; return nil })
}

func word(arg string) (string, error) {
	if len(strings.Fields(arg)) != 1 {
		return "", errUsage
	}
	return arg, nil
}

// limit reads "N text". Without a text t is nil.
func limit(arg string, least int) (n int, t text, err error) {
	number, rest, _ := strings.Cut(arg, " ")
	n, err = strconv.Atoi(number)
	if err != nil {
		return 0, nil, errUsage
	}
	if n < least || n > 1e6 {
		return 0, nil, fmt.Errorf("%d is out of range; write a number from %d to 1000000", n, least)
	}
	if rest = strings.TrimSpace(rest); rest != "" {
		t, err = parseText(rest, "\r\n")
	}
	return n, t, err
}

func pause(arg string) (time.Duration, error) {
	d, err := time.ParseDuration(arg)
	if err != nil {
		return 0, errUsage
	}
	if d < 0 || d > maxPause {
		return 0, fmt.Errorf("%s is out of range; write a pause from 0s to 1h", arg)
	}
	return d, nil
}

// clip keeps a quotation short.
func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
