package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"relaysweep/discover/firewall"
	"relaysweep/probe/smtp"
	"relaysweep/report"
)

// rulesCommand is for those who write firewall rules. Nothing is sent to anyone, but by changes --scan.
func (p *program) rulesCommand() *cli.Command {
	config := stringFlag("config", "configuration `FILE` (default relaysweep.yaml where it exists)")
	asJSON := boolFlag("json", "JSON Lines on stdout")
	return &cli.Command{
		Name: "rules", Usage: "read firewall exports; which line lets a connection in; what a change opens",
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usage(fmt.Errorf("rules: no command %q: there are check, explain and changes", c.Args().First()))
			}
			return cli.ShowSubcommandHelp(c)
		},
		Commands: []*cli.Command{
			{
				Name: "check", Usage: "read exports, and say what was understood", ArgsUsage: "[[DEVICE=]FILE...]",
				Description: "Without files, those of the configuration are read. Exit 3: lines were not understood.",
				Flags:       []cli.Flag{config, asJSON, stringFlag("zone", "firewall `ZONE` of the vantage; checked to exist"), boolFlag("languages", "list the languages, and the command that makes an export of each")},
				Action:      p.rulesCheck,
			},
			{
				Name: "explain", Usage: "print the way of a connection through the rules: translations and the lines that decide", ArgsUsage: "VANTAGE ADDRESS:PORT",
				Description: "VANTAGE is the configuration's vantage, or a zone or interface of the first device.\nWith --counters: BEFORE AFTER [VANTAGE ADDRESS:PORT], two exports of one device; the lines whose counters moved between them.",
				Flags: []cli.Flag{
					config, asJSON, rulesFlag(), stringFlag("source-ip", "source `ADDRESS` of the connection (default: the vantage's, or any)"),
					stringFlag("source-port", "source `PORT` (default: any from 1024)", "g"), boolFlag("counters", "compare the counters of two exports"),
				},
				Action: p.rulesExplain,
			},
			p.rulesChangesCommand(),
		},
	}
}

func (p *program) rulesCheck(_ context.Context, c *cli.Command) error {
	if c.Bool("languages") {
		for _, l := range firewall.Languages() {
			fmt.Fprintf(p.out, "%-12s %s\n", l[0], l[1])
		}
		return nil
	}
	cfg, err := loadConfig(c)
	if err != nil {
		return usage(err)
	}
	list, err := exportsOf(c, cfg)
	if err != nil {
		return usage(err)
	}
	if c.Args().Present() {
		list = named(c.Args().Slice(), "argument", list)
	}
	if len(list) == 0 {
		return usage(errors.New("rules check: name exports, or have the configuration name them (rules: - {device: fw1, file: fw1.nft.json}); --languages lists what can be read"))
	}
	zone := c.String("zone")
	if zone == "" {
		zone = cfg.Vantage.Zone
	}
	notes := 0
	for _, e := range list {
		d, err := e.read(zone)
		if err != nil {
			return usage(err)
		}
		notes += len(d.Notes)
		if err := p.printRuleset(c, d.Ruleset); err != nil {
			return err
		}
		if err := p.printShadowed(c, d); err != nil {
			return err
		}
	}
	if notes > 0 {
		return &exit{exitIncomplete, ""}
	}
	return nil
}

// mailPorts are what rules are asked about where nobody says.
var mailPorts = []uint16{25, 465, 587, 2525}

func (p *program) printRuleset(c *cli.Command, rs *firewall.Ruleset) error {
	rules, off, unsure := 0, 0, 0
	for r := range rs.Lines() {
		rules++
		if r.Disabled {
			off++
		}
		if len(r.Match.Unmodelled()) > 0 || r.Action == firewall.Uncertain || len(r.To.Words) > 0 {
			unsure++
		}
	}
	if c.Bool("json") {
		type note struct {
			Where string `json:"where"`
			Text  string `json:"text"`
		}
		notes := []note{}
		for _, n := range rs.Notes {
			notes = append(notes, note{where(n.Where), smtp.Escape(n.Text)})
		}
		return printJSON(p.out, map[string]any{
			"type": "ruleset", "schema_version": report.SchemaVersion, "device": rs.Device, "language": rs.Language, "steps": len(rs.Steps), "rules": rules,
			"disabled": off, "not_modelled": unsure, "not_understood": notes,
		})
	}
	out := p.out
	fmt.Fprintf(out, "%s: %s, %s in %s", smtp.Escape(rs.Device), rs.Language, counted(rules, "rule"), counted(len(rs.Chains), "list"))
	if off > 0 {
		fmt.Fprintf(out, ", %d of them disabled", off)
	}
	fmt.Fprintln(out)
	for _, f := range rs.Files {
		fmt.Fprintf(out, "  file        %s, sha256 %.16s…, of %s\n", smtp.Escape(f.Name), f.SHA256, f.Time.Format("2006-01-02 15:04"))
	}
	var names []string
	for _, f := range rs.Interfaces {
		n := f.Name
		if len(f.Zones) > 0 {
			n += " (" + strings.Join(f.Zones, ", ") + ")"
		}
		names = append(names, n)
	}
	if len(names) > 0 {
		fmt.Fprintf(out, "  interfaces  %s\n", smtp.Escape(strings.Join(names, ", ")))
	}
	for i, s := range rs.Steps {
		label := "meets"
		if i > 0 {
			label = ""
		}
		n, policy := 0, ""
		if chain := rs.Chains[s.Chain]; chain != nil {
			n, policy = len(chain.Rules), chain.PolicyText
		}
		if n == 0 && policy == "" {
			continue
		}
		fmt.Fprintf(out, "  %-11s %s: %s", label, smtp.Escape(s.Name), counted(n, "rule"))
		if policy != "" {
			fmt.Fprintf(out, ", then %s", smtp.Escape(policy))
		}
		fmt.Fprintln(out)
	}
	if unsure > 0 {
		fmt.Fprintf(out, "  not modelled: words in %s; where they decide, the answer is \"possibly permitted\": %s\n", counted(unsure, "rule"), smtp.Escape(strings.Join(unmodelled(rs, 8), ", ")))
	}
	for _, n := range rs.Notes {
		fmt.Fprintf(out, "  not understood: %s: %s\n", where(n.Where), smtp.Escape(n.Text))
	}
	return nil
}

// printShadowed lists the lines about mail ports that never decide anything.
func (p *program) printShadowed(c *cli.Command, d firewall.Device) error {
	list, failed := report.Shadowed([]firewall.Device{d}, mailPorts)
	if c.Bool("json") {
		return report.WriteShadowedJSON(p.out, list)
	}
	for _, s := range failed {
		fmt.Fprintf(p.out, "  %s\n", smtp.Escape(s))
	}
	for i := range list {
		fmt.Fprintf(p.out, "  without effect on mail ports: %s\n", smtp.Escape(list[i].Text()))
	}
	return nil
}

// unmodelled lists the words that are not modelled, each once.
func unmodelled(rs *firewall.Ruleset, most int) []string {
	var out []string
	for r := range rs.Lines() {
		for _, w := range slices.Concat(r.Match.Unmodelled(), r.Words, r.To.Words) {
			if !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
	}
	slices.Sort(out)
	if len(out) > most {
		out = append(out[:most], fmt.Sprintf("and %d more", len(out)-most))
	}
	return out
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func where(p firewall.Place) string { return smtp.Escape(fmt.Sprintf("%s:%d", p.File, p.Line)) }

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(true)
	return enc.Encode(v)
}

// vantageOf is where a connection of a vantage enters, and where it comes from.
func vantageOf(c *cli.Command, cfg *config, name string) (zone string, source netip.AddrPort, err error) {
	zone = name
	var addr netip.Addr
	if v := cfg.Vantage; v.Name == name && name != "" {
		if zone = v.Zone; zone == "" {
			return "", source, fmt.Errorf("%s: the vantage %s has no zone: name the firewall zone that it is in", cfg.where("$.vantage"), name)
		}
		if addr, err = (value{v.Source, cfg.where("$.vantage.source")}).addr(); err != nil {
			return "", source, err
		}
	}
	if c.IsSet("source-ip") {
		if addr, err = (value{c.String("source-ip"), given(c, "source-ip")}).addr(); err != nil {
			return "", source, err
		}
	}
	port := 0
	if text := c.String("source-port"); text != "" {
		if port, err = number(value{text, given(c, "source-port")}, 0); err != nil || port > 65535 {
			return "", source, fmt.Errorf("%s: %q is not a port", given(c, "source-port"), text)
		}
	}
	return zone, netip.AddrPortFrom(addr.Unmap(), uint16(port)), nil
}

func (p *program) rulesExplain(_ context.Context, c *cli.Command) error {
	cfg, err := loadConfig(c)
	if err != nil {
		return usage(err)
	}
	args := c.Args().Slice()
	if c.Bool("counters") {
		return p.rulesCounters(c, cfg, args)
	}
	if len(args) != 2 {
		return usage(errors.New("rules explain: name a vantage (or a zone, or an interface) and an endpoint, such as: rules explain internet 198.51.100.25:25"))
	}
	to, err := netip.ParseAddrPort(args[1])
	if err != nil {
		return usage(fmt.Errorf("%q is not address:port: write it like 198.51.100.25:25", args[1]))
	}
	zone, from, err := vantageOf(c, cfg, args[0])
	if err != nil {
		return usage(err)
	}
	list, err := exportsOf(c, cfg)
	if err != nil {
		return usage(err)
	}
	if len(list) == 0 {
		return usage(errors.New("rules explain: no exports are named: --rules FILE, or rules: in the configuration"))
	}
	devices, err := readDevices(list, zone)
	if err != nil {
		return usage(err)
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	e := report.Explain(&report.Rules{Devices: devices, Zone: zone}, from, to)
	if c.Bool("json") {
		return report.WriteExplanationJSON(p.out, e)
	}
	return report.WriteExplanation(p.out, e, report.TableOptions{Width: p.width()})
}

// rulesCounters names the lines whose counters moved between two exports, and holds the model against them.
func (p *program) rulesCounters(c *cli.Command, cfg *config, args []string) error {
	if len(args) != 2 && len(args) != 4 {
		return usage(errors.New("rules explain --counters: name the export from before and the one from after, and then, to check the model, a vantage and an endpoint: rules explain --counters before.json after.json internet 198.51.100.25:25"))
	}
	configured, err := exportsOf(c, cfg)
	if err != nil {
		return usage(err)
	}
	zone, from := "", netip.AddrPort{}
	if len(args) == 4 {
		if zone, from, err = vantageOf(c, cfg, args[2]); err != nil {
			return usage(err)
		}
	}
	device := deviceName(args[1])
	if len(configured) == 1 {
		device = configured[0].Device
	}
	read := func(file string) (firewall.Device, error) {
		return named([]string{device + "=" + file}, "argument", configured)[0].read(zone)
	}
	before, err := read(args[0])
	if err != nil {
		return usage(err)
	}
	after, err := read(args[1])
	if err != nil {
		return usage(err)
	}
	moved, err := firewall.CountersBetween(before.Ruleset, after.Ruleset)
	if err != nil {
		return usage(err)
	}
	lines := report.MovedLines(after, moved)
	if err := report.WriteMoved(p.out, lines, c.Bool("json"), report.TableOptions{Width: p.width()}); err != nil {
		return err
	}
	if len(args) == 2 {
		return nil
	}
	to, err := netip.ParseAddrPort(args[3])
	if err != nil {
		return usage(fmt.Errorf("%q is not address:port: write it like 198.51.100.25:25", args[3]))
	}
	way := report.Explain(&report.Rules{Devices: []firewall.Device{after}, Zone: zone}, from, to).Way
	if len(way.Decisions) == 0 {
		return usage(fmt.Errorf("%s would not carry a connection to %s", device, to))
	}
	if err := firewall.Agrees(moved, way.Decisions[0]); err != nil {
		return &exit{exitIncomplete, fmt.Sprintf("the counters contradict the model (%s): %v", way.Verdict, err)}
	}
	if !c.Bool("json") {
		fmt.Fprintf(p.out, "The counters agree with the model: %s.\n", way.Verdict)
	}
	return nil
}

// width is how wide what is printed may be.
func (p *program) width() int {
	w, _ := terminalWidth(p.out)
	return w
}
