package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"relaysweep/discover"
	"relaysweep/discover/firewall"
	"relaysweep/report"
)

func (p *program) rulesChangesCommand() *cli.Command {
	flags := slices.Concat([]cli.Flag{
		boolFlag("scan", "scan and relay-test what the change opens, and nothing else; run where the new rules are in force"),
		boolFlag("dry-run", "with --scan: print what would be touched"),
	}, targetFlags(), probeFlags(), outputFlags(), []cli.Flag{statesFlag()})
	return &cli.Command{
		Name: "changes", Usage: "what a change of the rules opens and closes, exactly", ArgsUsage: "OLD NEW",
		Description: "OLD and NEW are exports of one device; several files of one are parted by commas. It is computed for all connections, on the ports where mail is found or on --port.\nWith --zone only what enters there counts.",
		Flags:       flags,
		Action:      p.rulesChanges,
	}
}

func (p *program) rulesChanges(ctx context.Context, c *cli.Command) error {
	if c.Args().Len() != 2 {
		return usage(errors.New("rules changes: name the export from before the change and the one from after it, such as: rules changes old.json new.json"))
	}
	cfg, err := loadConfig(c)
	if err != nil {
		return usage(err)
	}
	configured, err := exportsOf(c, cfg)
	if err != nil {
		return usage(err)
	}
	newest := strings.Split(c.Args().Get(1), ",")
	device := deviceName(newest[0])
	if len(configured) == 1 {
		device = configured[0].Device
	}
	zone := c.String("zone")
	if zone == "" {
		zone = cfg.Vantage.Zone
	}
	read := func(files []string) (e exports, d firewall.Device, err error) {
		var texts []string
		for _, f := range files {
			texts = append(texts, device+"="+f)
		}
		e = named(texts, "argument", configured)[0]
		d, err = e.read(zone)
		return e, d, err
	}
	_, before, err := read(strings.Split(c.Args().Get(0), ","))
	if err != nil {
		return usage(err)
	}
	export, after, err := read(newest)
	if err != nil {
		return usage(err)
	}
	ports, err := portsOf(c, cfg)
	if err != nil {
		return usage(err)
	}
	q := firewall.Query{Most: 1000}
	for _, port := range ports {
		q.Ports = append(q.Ports, firewall.Ports(port, port))
	}
	if zone != "" {
		q.In = []string{zone}
		if export.From != "" {
			q.In[0] = export.From
		}
	}
	diff, err := firewall.Changes(before.Ruleset, after.Ruleset, q)
	if err != nil {
		return usage(fmt.Errorf("%s: %w", device, err))
	}
	if !c.Bool("scan") {
		return report.WriteChanges(p.out, before, after, diff, ports, c.Bool("json"), report.TableOptions{Width: p.width(), ASCII: c.Bool("ascii")})
	}
	if zone == "" {
		return usage(errors.New("rules changes --scan: where do we look from? Name the firewall zone that this machine is in: --zone, or vantage: {zone: wan}"))
	}
	if err := report.WriteChanges(p.err, before, after, diff, ports, false, report.TableOptions{Width: p.width(), ASCII: true}); err != nil {
		return err
	}
	return p.scanChanges(ctx, c, cfg, export, diff)
}

// within is targets that a scan keeps to: addresses from First to Last, on ports.
type within struct {
	First, Last netip.Addr
	Ports       []uint16
}

func (w *within) holds(a netip.AddrPort) bool {
	return !a.Addr().Less(w.First) && !w.Last.Less(a.Addr()) && slices.Contains(w.Ports, a.Port())
}

// scanChanges scans what a change opens to this vantage, and nothing else.
func (p *program) scanChanges(ctx context.Context, c *cli.Command, cfg *config, export exports, diff *firewall.Difference) error {
	spec := discover.Spec{Include: cfg.entries("$.scope.include", cfg.Scope.Include), Exclude: cfg.entries("$.scope.exclude", cfg.Scope.Exclude), Organisation: cfg.Organisation, Contact: cfg.Contact}
	permitted, err := spec.Permitted()
	if err != nil {
		return usage(err)
	}
	source, err := (value{firstOf(c.String("source-ip"), cfg.Vantage.Source), "source-ip"}).addr()
	if err != nil {
		return usage(err)
	}
	sc := &scanning{p: p, talk: p.err, instead: []string{}}
	if diff.MoreOpened > 0 {
		return usage(fmt.Errorf("the change opens more than can be listed (%d more): scan the whole scope", diff.MoreOpened))
	}
	ports := make(map[uint16]bool)
	for _, d := range slices.Concat(diff.Opened, diff.Moved) {
		if source.IsValid() && !slices.ContainsFunc(d.Src, func(r firewall.Range) bool {
			v := firewall.AddrValue(source)
			return v.Compare(r.First) >= 0 && v.Compare(r.Last) <= 0
		}) {
			fmt.Fprintf(p.err, "relaysweep: cannot be tried from %s: %s\n", source, d.Box)
			continue
		}
		w := within{}
		for _, r := range d.Ports {
			for port := r.First.Lo; port <= r.Last.Lo; port++ {
				w.Ports = append(w.Ports, uint16(port))
			}
		}
		for _, dst := range d.Dst {
			for _, prefix := range dst.Prefixes() {
				parts, _ := permitted.Of(prefix) // what is not ours is no target
				for _, part := range parts {
					w.First = part.Addr()
					w.Last = firewall.PrefixRange(part).Last.Addr()
					sc.within = append(sc.within, w)
					sc.instead = append(sc.instead, part.String())
				}
			}
		}
		for _, port := range w.Ports {
			ports[port] = true
		}
	}
	if len(sc.within) == 0 {
		fmt.Fprintln(p.err, "relaysweep: the change opens nothing in the scope to this vantage: nothing is scanned")
		return nil
	}
	for port := range ports {
		sc.portsInstead = append(sc.portsInstead, port)
	}
	slices.Sort(sc.portsInstead)
	sc.rulesInstead = []exports{export}
	return p.scanning(ctx, c, sc)
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
