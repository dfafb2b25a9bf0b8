package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"relaysweep/discover"
)

// maxShards bounds the parts of a scan: each is a process of its own.
const maxShards = 1 << 16

// partFlags choose which part of the scope is looked at, and how much of it.
func partFlags() []cli.Flag {
	return []cli.Flag{
		listFlag("all-ports", "addresses or CIDRs of the scope whose 65,535 ports are all tried, after the others"),
		stringFlag("shard", "look at the `I/N`th part only, such as 2/5; with the same scope, ports and seed each target is in one part"),
	}
}

// partition resolves which part of the scope is looked at, and how much of it.
func (s *settings) partition(c *cli.Command, cfg *config, get getter) (err error) {
	if c.IsSet("all-ports") {
		for _, text := range c.StringSlice("all-ports") {
			s.AllPorts = append(s.AllPorts, discover.Entry{Text: strings.TrimSpace(text), Where: given(c, "all-ports")})
		}
	} else if s.AllPorts = cfg.entries("$.all_ports", cfg.AllPorts); len(s.AllPorts) > 0 && len(s.Spec.Targets) > 0 {
		// The file speaks of the whole scope, and this scan may be of a part that has none of them.
		scope, err := discover.NewScope(s.Spec)
		if err != nil {
			return err
		}
		s.AllPorts = slices.DeleteFunc(s.AllPorts, func(e discover.Entry) bool { return errors.Is(scope.Check(e), discover.ErrOutOfScope) })
	}
	s.Shard, s.Shards, err = shardOf(get("shard", "", ""))
	return err
}

// shardOf reads i/n.
func shardOf(v value) (i, n uint64, err error) {
	if v.text == "" {
		return 0, 0, nil
	}
	first, second, _ := strings.Cut(v.text, "/")
	i, err = strconv.ParseUint(first, 10, 32)
	if err == nil {
		n, err = strconv.ParseUint(second, 10, 32)
	}
	switch {
	case err != nil || n == 0:
		return 0, 0, v.errorf("%q is not a shard: write it like 2/5", v.text)
	case n > maxShards:
		return 0, 0, v.errorf("more than %d shards: each is a scan of its own", maxShards)
	case i < 1 || i > n:
		return 0, 0, v.errorf("shard %d/%d does not exist: the first is 1/%d, the last %d/%d", i, n, n, n, n)
	}
	return i, n, nil
}

// plan makes the plan of a scan.
func (s *settings) plan(scope *discover.Scope) (*discover.Plan, error) {
	p, err := discover.NewPlan(scope, s.Ports, s.Seed)
	if err != nil {
		return nil, err
	}
	if p, err = p.AllPorts(s.AllPorts); err != nil || s.Shards == 0 {
		return p, err
	}
	return p.Shard(s.Shard, s.Shards)
}

// partNotes tell which part of the scope is looked at, and how much of it.
func (s *settings) partNotes() (out []string) {
	if len(s.AllPorts) > 0 {
		var texts []string
		for _, e := range s.AllPorts {
			texts = append(texts, e.Text)
		}
		out = append(out, "all 65,535 ports are tried of "+strings.Join(texts, ", "))
	}
	if s.Shards > 0 {
		out = append(out, fmt.Sprintf("shard %d of %d: the rest of the targets is in the others", s.Shard, s.Shards))
	}
	return out
}

// statesFlag is of the commands that look at many targets.
func statesFlag() cli.Flag {
	return stringFlag("states", "write what each target showed to `FILE`, one a line: ip:port state")
}

// writeStates writes what each target showed.
func writeStates(w io.Writer, cov *discover.Coverage) error {
	b := bufio.NewWriterSize(w, 1<<16)
	var line []byte
	for a, state := range cov.States() {
		line = append(a.AppendTo(line[:0]), ' ')
		line = append(append(line, state.String()...), '\n')
		if _, err := b.Write(line); err != nil {
			return err
		}
	}
	return b.Flush()
}
