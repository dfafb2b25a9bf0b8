package main

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"relaysweep/discover/firewall"
)

// exports are the rule exports of one device, as the configuration or a flag names them.
type exports struct {
	Device    string
	Files     []string
	Zones     map[string][]string // interfaces of a zone
	Networks  map[string][]string // what lies behind a zone
	Addresses []string            // the device's own
	From      string              // zone by which the vantage's connections enter; empty: the vantage's zone
	Where     string              // in the configuration
}

// rulesFlag names rule exports.
func rulesFlag() cli.Flag {
	return listFlag("rules", "rule exports, `[DEVICE=]FILE`, of the firewalls on the way, nearest first; they are only read (relaysweep rules check)")
}

// exportsOf resolves the rule exports of a command line and a configuration.
func exportsOf(c *cli.Command, cfg *config) ([]exports, error) {
	var out []exports
	for i, r := range cfg.Rules {
		e := exports{Device: r.Device, Zones: r.Zones, Networks: r.Networks, Addresses: r.Addresses, From: r.From, Where: cfg.where(fmt.Sprintf("$.rules[%d]", i))}
		for _, f := range slices.Concat([]string{r.File}, r.Files) {
			if f == "" {
				continue
			}
			e.Files = append(e.Files, absolute(cfg.path(f)))
		}
		if len(e.Files) == 0 {
			return nil, fmt.Errorf("%s: device %q has no file: name its export", e.Where, e.Device)
		}
		if e.Device == "" {
			e.Device = deviceName(e.Files[0])
		}
		out = append(out, e)
	}
	if !c.IsSet("rules") {
		return out, nil
	}
	return named(c.StringSlice("rules"), given(c, "rules"), out), nil
}

// named is the exports that a flag names. What the configuration tells of a device of the same name goes on to hold.
func named(list []string, where string, configured []exports) []exports {
	var out []exports
	for _, text := range list {
		device, file, ok := strings.Cut(text, "=")
		if !ok {
			device, file = deviceName(text), text
		}
		i := slices.IndexFunc(out, func(e exports) bool { return e.Device == device })
		if i < 0 {
			e := exports{Device: device, Where: where}
			if k := slices.IndexFunc(configured, func(e exports) bool { return e.Device == device }); k >= 0 {
				e = configured[k]
				e.Files, e.Where = nil, where
			} else if len(configured) == 1 {
				e.Zones, e.Networks, e.Addresses, e.From = configured[0].Zones, configured[0].Networks, configured[0].Addresses, configured[0].From
			}
			i = len(out)
			out = append(out, e)
		}
		out[i].Files = append(out[i].Files, absolute(file))
	}
	return out
}

// absolute is the whole path of a file, as a scan may be resumed from another folder.
func absolute(file string) string {
	if a, err := filepath.Abs(file); err == nil {
		return a
	}
	return file
}

// relative is a path as a reader knows it: without the folder that we are in.
func relative(file string) string {
	if here, err := os.Getwd(); err == nil {
		if r, err := filepath.Rel(here, file); err == nil && filepath.IsLocal(r) {
			return r
		}
	}
	return file
}

// deviceName is the name of a device of which only a file is known: fw1 of exports/fw1.nft.json.
func deviceName(file string) string {
	name, _, _ := strings.Cut(filepath.Base(file), ".")
	if name == "" {
		return filepath.Base(file)
	}
	return name
}

// read reads the exports of a device, and binds it to zones and networks. zone is the vantage's; empty: not known.
func (e exports) read(zone string) (firewall.Device, error) {
	var files []string
	for _, f := range e.Files {
		files = append(files, relative(f))
	}
	rs, err := firewall.ReadFiles(e.Device, files...)
	if err != nil {
		return firewall.Device{}, err
	}
	d := firewall.Device{Ruleset: rs, From: e.From}
	for _, z := range slices.Sorted(maps.Keys(e.Zones)) {
		rs.Bind(z, e.Zones[z])
	}
	for _, z := range slices.Sorted(maps.Keys(e.Networks)) {
		if len(rs.Interfaces) == 0 {
			rs.Bind(z, []string{z})
		}
		if err := rs.Zone(z); err != nil {
			return d, fmt.Errorf("%s: networks: %w", e.Where, err)
		}
		for _, n := range e.Networks[z] {
			p, err := netip.ParsePrefix(n)
			if err != nil {
				return d, fmt.Errorf("%s: networks: %q is not a prefix: write it like 10.20.0.0/16", e.Where, n)
			}
			rs.Routes = append(rs.Routes, firewall.Route{Prefix: p.Masked(), Out: z})
		}
	}
	for _, a := range e.Addresses {
		addr, err := netip.ParseAddr(a)
		if err != nil {
			return d, fmt.Errorf("%s: addresses: %q is not an address", e.Where, a)
		}
		rs.Own = append(rs.Own, addr.Unmap())
	}
	enter := e.From
	if enter == "" {
		enter = zone
	}
	if enter == "" {
		return d, nil
	}
	if len(rs.Interfaces) == 0 { // the rules name none, so that any will do
		rs.Bind(enter, []string{enter})
	}
	if err := rs.Zone(enter); err != nil {
		return d, hint(err, "rules: zones binds a zone to interfaces, rules: from names the zone by which the vantage's connections enter")
	}
	return d, nil
}

// readDevices reads the exports of all devices.
func readDevices(list []exports, zone string) ([]firewall.Device, error) {
	var out []firewall.Device
	for _, e := range list {
		d, err := e.read(zone)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}
