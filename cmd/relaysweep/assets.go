package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v3"

	"relaysweep/discover"
	"relaysweep/discover/names"
	"relaysweep/discover/source"
	"relaysweep/probe"
	"relaysweep/report"
)

// assetsFlag names address plans.
func assetsFlag() cli.Flag {
	return listFlag("assets", "address plans (IPAM): `FILE`, CSV or an export of NetBox, or the URL of a NetBox; they tell owners, and which servers nobody names")
}

// assetsOf resolves the address plans of a command line and a configuration.
func assetsOf(c *cli.Command, cfg *config) ([]discover.Entry, error) {
	list := cfg.entries("$.assets", cfg.Assets)
	for i := range list {
		if !source.IsURL(list[i].Text) {
			list[i].Text = cfg.path(list[i].Text)
		}
	}
	if c.IsSet("assets") {
		list = nil
		for _, text := range c.StringSlice("assets") {
			list = append(list, discover.Entry{Text: text, Where: given(c, "assets")})
		}
	}
	for i, e := range list {
		if e.Text == "" {
			return nil, fmt.Errorf("%s: name a file, or the URL of a NetBox", e.Where)
		}
		if !source.IsURL(e.Text) {
			list[i].Text = absolute(e.Text)
		} else if err := source.CheckURL(e.Text); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Where, err) // which shows nothing of a password in it
		}
	}
	return list, nil
}

// otherAssets takes address plans that are named now for those that a stored scan was begun with. NetBox is asked only
// where the command line says so: the report of a stored scan sends nothing to anyone.
func (sc *scanning) otherAssets(c *cli.Command, cfg *config) error {
	list, err := assetsOf(c, cfg)
	if err != nil || len(list) == 0 {
		return err
	}
	asks := slices.ContainsFunc(list, func(e discover.Entry) bool { return source.IsURL(e.Text) })
	if !c.IsSet("assets") && (len(sc.s.Assets) > 0 || asks) {
		return nil
	}
	sc.s.Assets = list
	if cfg.NetBoxTokenFile != "" {
		sc.s.TokenFile = cfg.NetBoxTokenFile
	}
	return nil
}

// readAssets reads the address plans. A dry run needs none, so that NetBox is not asked for it. What NetBox said is kept
// with the scan.
func (sc *scanning) readAssets(ctx context.Context, c *cli.Command) error {
	if len(sc.s.Assets) == 0 || c.Bool("dry-run") {
		return nil
	}
	var kept map[string][]report.Asset
	if sc.journal != nil && !c.IsSet("assets") {
		kept = sc.keptAssets()
	}
	sc.assets, sc.fromNetBox = []report.Asset{}, nil
	for _, e := range sc.s.Assets {
		where, isURL := e.Text, source.IsURL(e.Text)
		if list, ok := kept[where]; ok && isURL {
			sc.assets = append(sc.assets, list...)
			continue
		}
		if isURL && sc.reading && !c.IsSet("assets") {
			return fmt.Errorf("what NetBox said is not kept with scan %s: name the plan, with --assets", sc.s.Scan)
		}
		list, err := sc.readPlan(ctx, where)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Where, err)
		}
		sc.assets = append(sc.assets, list...)
		if isURL {
			if sc.fromNetBox == nil {
				sc.fromNetBox = make(map[string][]report.Asset)
			}
			sc.fromNetBox[where] = list
		}
	}
	return nil
}

func (sc *scanning) readPlan(ctx context.Context, where string) ([]report.Asset, error) {
	f := new(source.Finder)
	if source.IsURL(where) {
		var err error
		if f.Token, err = netboxToken(sc.s.TokenFile); err != nil {
			return nil, err
		}
		fmt.Fprintf(sc.talk, "relaysweep: asking NetBox at %s for the address plan\n", source.Query{Kind: "netbox", Where: where}.Host())
	} else {
		where = relative(where)
	}
	plan, err := f.Plan(ctx, where)
	if err != nil {
		return nil, err
	}
	for _, n := range plan.Notes {
		fmt.Fprintf(sc.talk, "relaysweep: %s\n", n)
	}
	var out []report.Asset
	for _, r := range plan.Records {
		out = append(out, report.Asset{Prefix: r.Prefix, Name: r.Name, Owner: r.Owner, Site: r.Site, Tags: r.Tags, Where: r.Where})
	}
	return out, nil
}

// keptAssets are what NetBox said when the scan was begun, by URL.
func (sc *scanning) keptAssets() (kept map[string][]report.Asset) {
	b, err := os.ReadFile(sc.assetsFile())
	if err != nil || json.Unmarshal(b, &kept) != nil { // cut off by a crash
		return nil
	}
	return kept
}

// keepAssets keeps what NetBox said.
func (sc *scanning) keepAssets() error {
	if len(sc.fromNetBox) == 0 {
		return nil
	}
	b, err := json.Marshal(sc.fromNetBox)
	if err != nil {
		return err
	}
	return os.WriteFile(sc.assetsFile(), b, 0o600)
}

func (sc *scanning) assetsFile() string { return filepath.Join(sc.journal.dir, "assets.json") }

// pointers asks for the PTR names of an address, and keeps the answer.
func (sc *scanning) pointers(ctx context.Context, a netip.Addr) []string {
	silent := false
	found := names.Resolver{Server: sc.s.Resolver, Failed: func(string, error) { silent = true }}.PTR(ctx, a)
	if !silent {
		sc.mu.Lock()
		defer sc.mu.Unlock()
		if sc.ptr == nil {
			sc.ptr = make(map[netip.Addr][]string)
		}
		sc.ptr[a.Unmap()] = slices.Clone(found)
	}
	return found
}

// register adds to a report's input what is written down of the servers.
func (sc *scanning) register(in *report.Input) {
	in.Assets = sc.assets
	if m := sc.mentions(in.Findings); m != nil {
		in.Mentions = m
	}
}

// mentions are what DNS says of the addresses that have findings, now and when earlier parts of the scan asked. An
// address of which not all answers came is left out, unless one of those that came names it.
func (sc *scanning) mentions(findings []probe.Finding) map[netip.Addr][]report.Mention {
	if sc.mail == nil {
		return sc.past.mentions
	}
	out := make(map[netip.Addr][]report.Mention)
	maps.Copy(out, sc.past.mentions)
	for i := range findings {
		a := findings[i].Addr.Addr().Unmap().WithZone("")
		if _, known := out[a]; known {
			continue
		}
		list := []report.Mention{}
		for _, n := range sc.mail.Names(a) {
			m := report.Mention{By: n.Kind, Name: n.Domain}
			if n.Kind == report.BySPF {
				m.Network = n.Network
			}
			list = append(list, m)
		}
		ptr, answered := sc.ptr[a]
		for _, name := range ptr {
			list = append(list, report.Mention{By: report.ByPTR, Name: name})
		}
		if answered && !sc.mailSilent.Load() || slices.ContainsFunc(list, func(m report.Mention) bool { return m.Counts(sc.s.Domains) }) {
			out[a] = list
		}
	}
	return out
}
