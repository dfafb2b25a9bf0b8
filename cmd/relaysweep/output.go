package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/urfave/cli/v3"
	"golang.org/x/term"

	"relaysweep/discover"
	"relaysweep/report"
)

// outputs are where the report goes.
type outputs struct {
	Normal, JSON, CSV, HTML, XML  string // files; empty: none
	SARIF, DefectDojo, Prometheus string // likewise
	States                        string // file for what each target showed; empty: none
	Stdout                        string // table, json, csv, silent
	Profile                       string // of the CSV; empty: ours
	NoColour, ASCII               bool
	Verbose                       bool
	Lang                          string // of the fixes on the terminal and in HTML; empty: English
}

func outputFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("output", "write what would go to the terminal to `FILE`", "o", "oN"),
		stringFlag("oJ", "write JSON Lines to `FILE`"),
		stringFlag("oC", "write CSV to `FILE`"),
		stringFlag("oH", "write one self-contained HTML page to `FILE`"),
		stringFlag("oX", "write nmap's XML to `FILE`, for ndiff and importers"),
		stringFlag("oS", "write SARIF 2.1.0 to `FILE`, for code scanning and importers", "sarif"),
		stringFlag("defectdojo", "write `FILE` for DefectDojo's Generic Findings Import"),
		stringFlag("prometheus", "write the figures to `FILE`, for the textfile collector of Prometheus' node_exporter"),
		stringFlag("oA", "write all of them to `BASE`.txt, .jsonl, .csv, .html and .xml"),
		boolFlag("json", "JSON Lines on stdout", "j"),
		boolFlag("csv", "CSV on stdout"),
		stringFlag("csv-profile", "columns of the CSV: relaysweep (default), or shadowserver for those of its report scan_smtp"),
		boolFlag("silent", "only ip:port lines of what was found on stdout, no talk"),
		boolFlag("no-color", "no colours (also NO_COLOR)", "nc"),
		boolFlag("ascii", "tables in ASCII"),
		boolFlag("verbose", "transcripts in the report on the terminal", "v"),
		stringFlag("lang", "language of the fixes on the terminal and in HTML: en or ja (default en)"),
		stringFlag("fail-on", "exit 1 if a finding reaches this severity: info, low, medium, high or critical"),
	}
}

func newOutputs(c *cli.Command) (outputs, error) {
	o := outputs{Normal: c.String("output"), JSON: c.String("oJ"), CSV: c.String("oC"), HTML: c.String("oH"), XML: c.String("oX"), SARIF: c.String("oS"), DefectDojo: c.String("defectdojo"), Prometheus: c.String("prometheus"), States: c.String("states"), ASCII: c.Bool("ascii"), Verbose: c.Bool("verbose")}
	o.NoColour = c.Bool("no-color") || os.Getenv("NO_COLOR") != ""
	if base := c.String("oA"); base != "" {
		o.Normal, o.JSON, o.CSV, o.HTML, o.XML = base+".txt", base+".jsonl", base+".csv", base+".html", base+".xml"
	}
	o.Stdout = "table"
	n := 0
	for _, f := range []string{"json", "csv", "silent"} {
		if c.Bool(f) {
			o.Stdout = f
			n++
		}
	}
	if n > 1 {
		return o, errors.New("--json, --csv and --silent exclude each other: -oJ and -oC write files beside them")
	}
	switch o.Profile = c.String("csv-profile"); o.Profile {
	case "", "relaysweep", "shadowserver":
	default:
		return o, fmt.Errorf("%s: no columns are known by the name %q: it is relaysweep or shadowserver", given(c, "csv-profile"), o.Profile)
	}
	o.Lang = c.String("lang")
	if _, err := o.lang(); err != nil {
		return o, fmt.Errorf("%s: %w", given(c, "lang"), err)
	}
	if s := c.String("fail-on"); s != "" {
		if _, err := report.ParseSeverity(s); err != nil {
			return o, fmt.Errorf("%s: %w", given(c, "fail-on"), err)
		}
	}
	return o, o.check()
}

// files lists the files with what writes them.
func (o outputs) files() []struct {
	name  string
	write func(io.Writer, *report.Report) error
} {
	type file = struct {
		name  string
		write func(io.Writer, *report.Report) error
	}
	table := func(w io.Writer, r *report.Report) error {
		return report.WriteTable(w, o.read(r), report.TableOptions{Width: 100, ASCII: o.ASCII, Verbose: o.Verbose})
	}
	page := func(w io.Writer, r *report.Report) error { return report.WriteHTML(w, o.read(r)) }
	var out []file
	for _, f := range []file{
		{o.Normal, table}, {o.JSON, report.WriteJSONL}, {o.CSV, o.writeCSV}, {o.HTML, page}, {o.XML, report.WriteNmapXML}, {o.SARIF, report.WriteSARIF}, {o.DefectDojo, report.WriteDefectDojo}, {o.Prometheus, report.WritePrometheus},
	} {
		if f.name != "" {
			out = append(out, f)
		}
	}
	return out
}

func (o outputs) writeCSV(w io.Writer, r *report.Report) error {
	if o.Profile == "shadowserver" {
		return report.WriteShadowserver(w, r)
	}
	return report.WriteCSV(w, r)
}

func (o outputs) lang() (report.Lang, error) {
	if o.Lang == "" {
		return report.English, nil
	}
	return report.ParseLang(o.Lang)
}

// read is the report as people read it, in their language. JSON, CSV and XML are for programs, and stay as they are.
func (o outputs) read(r *report.Report) *report.Report {
	l, _ := o.lang() // checked with the flags
	return r.In(l)
}

// check refuses files that could not be written, before anything is sent.
func (o outputs) check() error {
	var names []string
	for _, f := range o.files() {
		names = append(names, f.name)
	}
	if o.States != "" {
		names = append(names, o.States)
	}
	named := make(map[string]bool)
	for _, file := range names {
		info, err := os.Stat(file)
		if err == nil && info.IsDir() {
			return fmt.Errorf("%s is a folder: name a file in it", file)
		}
		if name := filepath.Clean(file); named[name] {
			return fmt.Errorf("%s is named twice: each output wants a file of its own", file)
		} else {
			named[name] = true
		}
		if err == nil && !info.Mode().IsRegular() {
			continue // a pipe or a device
		}
		tmp, err := os.CreateTemp(filepath.Dir(destination(file)), ".relaysweep-*")
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s cannot be written: there is no folder %s", file, filepath.Dir(destination(file)))
		} else if err != nil {
			return fmt.Errorf("%s cannot be written: %w", file, err)
		}
		tmp.Close()
		if err := os.Remove(tmp.Name()); err != nil {
			return err
		}
	}
	return nil
}

// write writes the files, then stdout, which may be a pipe that nobody reads any more.
func (o outputs) write(p *program, r *report.Report) error {
	for _, f := range o.files() {
		if err := writeFile(f.name, func(w io.Writer) error { return f.write(w, r) }); err != nil {
			return err
		}
	}
	switch o.Stdout {
	case "json":
		return report.WriteJSONL(p.out, r)
	case "csv":
		return o.writeCSV(p.out, r)
	case "silent":
		return writeEndpoints(p.out, r)
	}
	if o.Normal != "" {
		return nil
	}
	width, terminal := terminalWidth(p.out)
	return report.WriteTable(p.out, o.read(r), report.TableOptions{Width: width, ASCII: o.ASCII, Colour: terminal && !o.NoColour, Verbose: o.Verbose})
}

// writeEndpoints writes one ip:port a line, each once, in order: what other tools read.
func writeEndpoints(w io.Writer, r *report.Report) error {
	var found []netip.AddrPort
	for _, e := range r.Entries {
		found = append(found, e.Finding.Addr)
		for _, port := range e.Finding.Crowd {
			found = append(found, netip.AddrPortFrom(e.Finding.Addr.Addr(), port))
		}
	}
	slices.SortFunc(found, netip.AddrPort.Compare)
	for _, a := range slices.Compact(found) {
		if _, err := fmt.Fprintln(w, a); err != nil {
			return err
		}
	}
	return nil
}

// writeStates writes the file of what each target showed, if one is named.
func (o outputs) writeStates(cov *discover.Coverage) error {
	if o.States == "" {
		return nil
	}
	return writeFile(o.States, func(w io.Writer) error { return writeStates(w, cov) })
}

// destination is the file that a name leads to.
func destination(name string) string {
	if file, err := filepath.EvalSymlinks(name); err == nil {
		return file
	}
	return name
}

// writeFile replaces a file whole, or not at all. What is no file, such as a pipe or /dev/null, is written to.
func writeFile(name string, write func(io.Writer) error) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	name = destination(name)
	f, err := os.CreateTemp(filepath.Dir(name), ".relaysweep-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := errors.Join(write(f), f.Chmod(0o644), f.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.Rename(f.Name(), name)
}

// terminalWidth is the width of a terminal, and whether it is one. COLUMNS speaks for what is not.
func terminalWidth(w io.Writer) (int, bool) {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n, true
		}
		return 100, true
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n >= 40 && n <= 1000 {
		return n, false
	}
	return 100, false
}
