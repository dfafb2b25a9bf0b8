package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"relaysweep/discover"
	"relaysweep/discover/source"
	"relaysweep/ratelimit"
)

// dnsRate is how many questions a second go to the resolver while targets are named.
const dnsRate = 100

// tokenVariable holds the token of NetBox, which stands nowhere else: no flag, no settings, no log.
const tokenVariable = "RELAYSWEEP_NETBOX_TOKEN"

// maxToken bounds the file of the token.
const maxToken = 4 << 10

// namingFlags name targets by other means than addresses.
func namingFlags() []cli.Flag {
	return []cli.Flag{
		listFlag("targets-from", "let `KIND:WHERE` name targets: dns:NAME, mx:DOMAIN, spf:DOMAIN, ptr:ZONE, neighbours, nmap:FILE, masscan:FILE, netbox:FILE, netbox:URL; what lies outside the scope is left out"),
		boolFlag("explain-targets", "print each target with what named it, and what is left out and why; send nothing to any"),
		stringFlag("netbox-token-file", "`FILE` with the token of NetBox, where RELAYSWEEP_NETBOX_TOKEN is not set"),
	}
}

// namingOf resolves the sources of targets. Those of the configuration are for scans that name no targets themselves.
func (s *settings) namingOf(c *cli.Command, cfg *config, get getter, list func(flag, key string, fromFile []string) ([]string, string)) error {
	s.TargetsFrom = cfg.entries("$.targets_from", cfg.TargetsFrom)
	if c.IsSet("targets-from") {
		s.TargetsFrom = nil
		texts, where := list("targets-from", "", nil)
		for _, text := range texts {
			s.TargetsFrom = append(s.TargetsFrom, discover.Entry{Text: text, Where: where})
		}
	} else if len(s.Spec.Targets) > 0 {
		s.TargetsFrom = nil
	}
	for i, e := range s.TargetsFrom {
		q, err := source.Parse(e.Text)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Where, err)
		}
		s.TargetsFrom[i].Text = q.String()
	}
	s.TokenFile = get("netbox-token-file", "$.netbox_token_file", cfg.NetBoxTokenFile).text
	return nil
}

// explained is a line of --explain-targets.
type explained struct{ what, text, by, why string }

// nameTargets asks the sources of targets, and puts into the scope what they may name. Of a stored scan they are not
// asked again: its settings hold what they named.
func (sc *scanning) nameTargets(ctx context.Context) error {
	for _, e := range sc.s.TargetsFrom {
		lines, err := sc.nameFrom(ctx, e)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(lines, func(l explained) bool { return l.what == "target" }) {
			return fmt.Errorf("%s: %s names nothing that may be scanned%s", e.Where, e.Text, whyNothing(lines))
		}
	}
	return nil
}

func whyNothing(lines []explained) string {
	if len(lines) == 0 {
		return ""
	}
	return fmt.Sprintf(": %s is left out: %s (--explain-targets lists all)", lines[0].text, lines[0].why)
}

// nameFrom asks one source.
func (sc *scanning) nameFrom(ctx context.Context, e discover.Entry) ([]explained, error) {
	s := sc.s
	permitted, err := s.Spec.Permitted()
	if err != nil {
		return nil, err
	}
	q, err := source.Parse(e.Text)
	if err != nil {
		return nil, err
	}
	f := &source.Finder{Resolver: s.Resolver}
	switch host := q.Host(); {
	case q.DNS():
		if s.Resolver == "" {
			return nil, fmt.Errorf("%s: %s asks DNS: name the server to ask, as local.resolver (--resolver)", e.Where, q)
		}
		if f.Wait, err = dnsPace(s.Resolver); err != nil {
			return nil, err
		}
		long := ""
		if q.Kind == "ptr" {
			long = fmt.Sprintf(" (at most %d questions, %d a second)", source.DefaultMost, dnsRate)
		}
		fmt.Fprintf(sc.talk, "relaysweep: asking the resolver %s for targets: %s%s\n", s.Resolver, q, long)
	case host != "":
		if f.Token, err = netboxToken(s.TokenFile); err != nil {
			return nil, err
		}
		fmt.Fprintf(sc.talk, "relaysweep: asking NetBox at %s for targets\n", host)
	}
	found, err := f.Find(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", e.Where, q, err)
	}
	var lines []explained
	targets, left := 0, len(found.Left)
	for _, n := range found.Named {
		parts, err := permitted.Of(n.Prefix)
		if err != nil && !errors.Is(err, discover.ErrOutOfScope) && !errors.Is(err, discover.ErrExcluded) {
			return nil, err
		}
		for _, p := range parts {
			text := p.String()
			if p.IsSingleIP() {
				text = p.Addr().String()
			}
			targets++
			s.Spec.Targets = append(s.Spec.Targets, discover.Entry{Text: text, Where: n.By})
			lines = append(lines, explained{"target", text, n.By, openPorts(n.Ports)})
		}
		if err != nil {
			left++
			why := err.Error()
			if len(parts) > 0 {
				why += ", but for what is listed"
			}
			lines = append(lines, explained{"left out", n.Text(), n.By, why})
		}
	}
	for _, l := range found.Left {
		lines = append(lines, explained{"left out", l.Text, l.By, l.Why})
	}
	note := fmt.Sprintf("%s named %d addresses and prefixes to scan", q, targets)
	if left > 0 {
		note += fmt.Sprintf("; %d left out (--explain-targets lists them)", left)
	}
	s.Named = append(s.Named, note)
	return lines, nil
}

// openPorts is what the source saw open. The scan tries its own ports.
func openPorts(ports []uint16) string {
	if len(ports) == 0 {
		return ""
	}
	text := fmt.Sprint(ports[:min(len(ports), 32)])
	return "was open: " + strings.ReplaceAll(strings.Trim(text, "[]"), " ", ",")
}

// dnsPace spaces the questions to a resolver.
func dnsPace(resolver string) (func(context.Context) error, error) {
	a, err := netip.ParseAddrPort(resolver)
	if err != nil {
		return nil, err
	}
	l := ratelimit.New(ratelimit.Rates{Total: dnsRate})
	return func(ctx context.Context) error { return l.Wait(ctx, a.Addr()) }, nil
}

// netboxToken is the token of NetBox, or none: some let everyone read.
func netboxToken(file string) (string, error) {
	token := os.Getenv(tokenVariable)
	if token == "" && file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		if len(b) > maxToken {
			return "", fmt.Errorf("%s: not the token of NetBox: larger than %d bytes", file, maxToken)
		}
		token = string(b)
	}
	return strings.TrimSpace(token), nil
}

// explainTargets prints what would be scanned and what named it, and what would not and why, a line each with tabs
// between. Sources are asked; nothing is sent to a target.
func (sc *scanning) explainTargets(ctx context.Context, c *cli.Command) (err error) {
	if sc.s, err = sc.p.newSettings(c, c.Args().Slice()); err != nil {
		return err
	}
	s := sc.s
	named := s.Spec.Targets
	if len(named) == 0 && len(s.TargetsFrom) == 0 {
		named = s.Spec.Include
	}
	var lines []explained
	for _, e := range named {
		by := e.Where
		if by == "target" {
			by = "command line"
		}
		lines = append(lines, explained{"target", e.Text, by, ""})
	}
	for _, e := range s.Spec.Exclude {
		lines = append(lines, explained{"left out", e.Text, e.Where, discover.ErrExcluded.Error()})
	}
	for _, e := range s.TargetsFrom {
		more, err := sc.nameFrom(ctx, e)
		if err != nil {
			return err
		}
		lines = append(lines, more...)
	}
	if len(s.Spec.Targets) > 0 || len(s.TargetsFrom) == 0 {
		if _, err := discover.NewScope(s.Spec); err != nil {
			return err
		}
	}
	out := bufio.NewWriter(sc.p.out)
	for _, l := range lines {
		fmt.Fprintln(out, strings.TrimRight(strings.Join([]string{l.what, l.text, l.by, l.why}, "\t"), "\t"))
	}
	return out.Flush()
}
