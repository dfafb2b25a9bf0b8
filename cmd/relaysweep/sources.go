package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/urfave/cli/v3"

	"relaysweep/discover"
)

// maxSources bounds the further sources: each is one more sweep of what was not open.
const maxSources = 16

// furtherSources resolves the sources beside the vantage's own. One that is named twice is used once.
func (s *settings) furtherSources(c *cli.Command, cfg *config, get getter) error {
	named := cfg.entries("$.vantage.sources", cfg.Vantage.Sources)
	if c.IsSet("source") {
		named = nil
		for _, text := range c.StringSlice("source") {
			named = append(named, discover.Entry{Text: strings.TrimSpace(text), Where: given(c, "source")})
		}
	}
	fromFile := ""
	if cfg.Vantage.SourcePort != 0 {
		fromFile = strconv.Itoa(cfg.Vantage.SourcePort)
	}
	if port := get("source-port", "$.vantage.source_port", fromFile); port.text != "" {
		if n, err := strconv.Atoi(port.text); err != nil || n < 1 || n > 65535 {
			return port.errorf("%q is not a port: ports run from 1 to 65535", port.text)
		}
		named = append(named, discover.Entry{Text: ":" + port.text, Where: port.where})
	}
	for _, e := range named {
		a, err := discover.ParseSource(e.Text)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Where, err)
		}
		e.Text = discover.SourceText(a)
		own := a == netip.AddrPortFrom(s.Source, 0)
		if !own && !slices.ContainsFunc(s.Sources, func(f discover.Entry) bool { return f.Text == e.Text }) {
			s.Sources = append(s.Sources, e)
		}
	}
	if len(s.Sources) > maxSources {
		return fmt.Errorf("%s: more than %d further sources: each is one more sweep", s.Sources[maxSources].Where, maxSources)
	}
	return nil
}

// furtherAddrs are the further sources.
func (s *settings) furtherAddrs() []netip.AddrPort {
	var out []netip.AddrPort
	for _, e := range s.Sources {
		if a, err := discover.ParseSource(e.Text); err == nil { // checked with the settings
			out = append(out, a)
		}
	}
	return out
}

// checkSources binds to each further source once, as a connection to an address would, and sends nothing.
func (s *settings) checkSources(to netip.Addr) error {
	for i, a := range s.furtherAddrs() {
		e, toward := s.Sources[i], to
		if a.Addr().IsValid() {
			toward = a.Addr() // any address of its family does
		}
		err := discover.CheckSource(s.Source, a, toward)
		switch {
		case err == nil || !errors.Is(err, discover.ErrSource): // a target that no route leads to is no mistake here
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			return fmt.Errorf("%s: %s is not an address of this machine: name one that it has, or leave it away", e.Where, a.Addr())
		case errors.Is(err, syscall.EADDRINUSE):
			return fmt.Errorf("%s: nothing can leave from %s: something listens on port %d of this machine", e.Where, e.Text, a.Port())
		case errors.Is(err, syscall.EACCES):
			return fmt.Errorf("%s: port %d needs the right to ports below 1024: run as root, or setcap cap_net_bind_service=+ep relaysweep", e.Where, a.Port())
		default:
			return fmt.Errorf("%s: %s: %w", e.Where, e.Text, err)
		}
	}
	return nil
}

func sourceList(sources []discover.Entry) string {
	var out []string
	for _, e := range sources {
		out = append(out, e.Text)
	}
	return strings.Join(out, ", then ")
}
