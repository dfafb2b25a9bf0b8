package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"relaysweep/probe"
)

// TableOptions say how WriteTable shows a report.
type TableOptions struct {
	Width   int  // columns; 100 if zero, 40 at least
	ASCII   bool // no character beyond ASCII
	Colour  bool
	Verbose bool // with the fixes of lesser findings, and all transcripts
}

// WriteTable writes a report for a terminal. No line is wider than the terminal.
func WriteTable(w io.Writer, r *Report, o TableOptions) error {
	if o.Width == 0 {
		o.Width = 100
	}
	o.Width = max(o.Width, 40)
	p := &page{r: r, o: o}
	p.answer()
	p.changes()
	p.scan()
	p.rules()
	p.approvals()
	p.services()
	p.forgotten()
	p.leftOpen()
	p.fixes()
	if o.Verbose {
		p.transcripts()
	}
	if p.err != nil {
		return p.err
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

// page is a report being laid out.
type page struct {
	r   *Report
	o   TableOptions
	b   strings.Builder
	err error
}

// Colours (ECMA-48 8.3.117).
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	redB   = "1;31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (p *page) paint(code, s string) string {
	if !p.o.Colour || s == "" || code == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func severityColour(s Severity) string {
	return [...]string{Info: dim, Low: cyan, Medium: yellow, High: red, Critical: redB}[s]
}

// text is what is shown of text that is safe already.
func (p *page) text(s string) string {
	if p.o.ASCII {
		return ascii(s)
	}
	return s
}

func (p *page) mark() string {
	if p.o.ASCII {
		return "..."
	}
	return "…"
}

func (p *page) blank() { p.b.WriteByte('\n') }

// hang writes text behind a label; further lines stand below its beginning.
func (p *page) hang(label, colour, s string) { p.hangAt(width(label), label, colour, s) }

func (p *page) hangAt(indent int, label, colour, s string) {
	lead := label + strings.Repeat(" ", max(0, indent-width(label)))
	first := p.o.Width - width(lead)
	if first < 16 && width(lead) > indent { // a long label stands alone
		p.b.WriteString(strings.TrimRight(lead, " ") + "\n")
		lead, first = strings.Repeat(" ", indent), p.o.Width-indent
	}
	for i, line := range wrap(p.text(plain(s)), first, p.o.Width-indent) {
		if i > 0 {
			lead = strings.Repeat(" ", indent)
		}
		p.b.WriteString(lead + p.paint(colour, line) + "\n")
	}
}

func (p *page) heading(s string) {
	p.blank()
	p.hang("", bold, s)
}

// answer is the first section: the openings that expose relays.
func (p *page) answer() {
	for i, a := range p.r.answers() {
		if i > 0 {
			p.blank()
		}
		colour := green
		switch {
		case len(a.Exposed)+len(a.Unexplained) > 0:
			colour = redB
		case len(a.Limits) > 0 || p.r.Totals.Mail == 0:
			colour = yellow
		}
		p.hang("", colour, a.Headline)
		if len(a.Limits) > 0 {
			p.hang("  ", "", "Limits: "+strings.Join(a.Limits, "; ")+".")
		}
		if n := len(a.Unexplained); n > 0 {
			p.blank()
			p.hang("", redB, unexplainedHead(n))
			p.exposures(a.Unexplained)
		}
		if len(a.Exposed) > 0 {
			p.blank()
			p.exposures(a.Exposed)
		}
		if len(a.MayRelay) > 0 {
			p.blank()
			p.hang("", "", "May relay, and could not be told from a server that does not:")
			p.exposures(a.MayRelay)
		}
	}
}

func (p *page) exposures(entries []*Entry) {
	cols := []column{
		{head: "severity", keep: true},
		{head: "endpoint", keep: true, fold: true},
		{head: "verdict", keep: true, min: 9},
		{head: "opened by", min: 9, drop: 1},
		{head: "product", min: 10, drop: 2},
		{head: "host name", min: 12, drop: 3},
		ownerColumn(),
	}
	ruled := p.r.Rules != nil
	cols = append(cols, column{head: "change", min: 8, drop: 4})
	if ruled {
		cols = append(cols, column{head: "let in by", min: 20, drop: 1})
	}
	var rows [][]cell
	for _, e := range entries {
		row := []cell{p.severity(e), {s: endpoint(e)}, {s: e.Verdict.String()}, {s: openedBy(e.Vectors)}, {s: productName(e)}, {s: hostName(e)}, {s: e.owner()}, {s: e.changeWord(p.r.lang)}}
		if ruled {
			row = append(row, cell{s: plain(e.letInBy())})
		}
		rows = append(rows, row)
	}
	p.table(cols, rows)
}

func (p *page) severity(e *Entry) cell {
	return cell{s: e.Severity.String(), colour: severityColour(e.Severity)}
}

func endpoint(e *Entry) string { return e.Finding.Addr.String() }

// openedBy names the first vectors, and counts the rest.
func openedBy(vectors []string) string {
	const shown = 3
	if len(vectors) <= shown+1 {
		return strings.Join(vectors, " ")
	}
	return fmt.Sprintf("%s +%d", strings.Join(vectors[:shown], " "), len(vectors)-shown)
}

func productName(e *Entry) string {
	s := strings.TrimSpace(raw(e.Finding.Service.Product) + " " + raw(e.Finding.Service.Version))
	if s == "" {
		return "-"
	}
	return s
}

func hostName(e *Entry) string {
	if len(e.Finding.Names) == 0 {
		return "-"
	}
	return raw(e.Finding.Names[0])
}

// scan is the second section: what was in scope, what was looked at, what was not and why.
func (p *page) scan() {
	s := &p.r.Scan
	p.heading("Scope and coverage")
	const indent = 12
	row := func(label, text string) {
		if text != "" {
			p.hangAt(indent, "  "+label, "", text)
		}
	}
	row("scan", scanLine(s))
	row("time", timeLine(s))
	row("scope", joined(s.Scope, 12))
	row("excluded", joined(s.Excluded, 12))
	if len(s.Ports) > 0 {
		row("ports", strings.TrimPrefix(strings.TrimPrefix(ports(s.Ports), "ports "), "port "))
	}
	t := p.r.Totals.Coverage
	if len(p.r.Coverage) > 0 {
		row("looked at", coverageLine(t))
		if prefixes := byPrefix(p.r.Coverage); len(prefixes) > 1 {
			const most = 16
			for i, c := range prefixes {
				if i == most {
					row("", fmt.Sprintf("and %d more prefixes: the JSON and HTML reports list them", len(prefixes)-most))
					break
				}
				row("", c.Prefix+": "+coverageLine(c.Tally))
			}
		}
	}
	row("method", methodLine(s))
	row("resume", s.Resume)
	for _, n := range s.Notes {
		row("note", n)
	}
}

// services is the third section: every finding.
func (p *page) services() {
	mail := p.r.only((*Entry).mail)
	p.heading(fmt.Sprintf("Mail services (%d)", len(mail)))
	if len(mail) == 0 {
		p.hang("  ", "", "none")
	} else {
		p.mailTable(mail)
	}
	for _, e := range mail {
		if e.Class == probe.Undetermined || e.Finding.Cut != "" {
			why := e.Reason
			if e.Finding.Cut != "" && !strings.Contains(why, e.Finding.Cut) {
				why = joinNonEmpty("; ", why, e.Finding.Cut)
			}
			p.subject(e, "", ":", why)
		}
	}
	other := p.r.listeners()
	if len(other) == 0 {
		return
	}
	p.heading(fmt.Sprintf("Other listeners (%d)", countPorts(other)))
	cols := []column{{head: "endpoint", keep: true, fold: true}, {head: "protocol", keep: true}, {head: "what it said", min: 12, drop: 1}}
	var rows [][]cell
	for _, l := range other {
		rows = append(rows, []cell{{s: l.endpoint}, {s: l.protocol}, {s: l.said}})
	}
	p.table(cols, rows)
}

func (p *page) mailTable(mail []*Entry) {
	cols := []column{
		{head: "severity", keep: true},
		{head: "endpoint", keep: true, fold: true},
		{head: "class", keep: true},
		{head: "verdict", keep: true},
		{head: "product", min: 10, drop: 2},
		{head: "host name", min: 12, drop: 3},
		{head: "also", min: 12, drop: 4},
		ownerColumn(),
		{head: firstSeenWord.in(p.r.lang), min: 10, drop: 5},
	}
	var rows [][]cell
	for _, e := range mail {
		rows = append(rows, []cell{p.severity(e), {s: endpoint(e)}, {s: string(e.Class)}, {s: e.Verdict.String()}, {s: productName(e)}, {s: hostName(e)}, {s: also(e)}, {s: e.owner()}, {s: e.firstSeenDay()}})
	}
	p.table(cols, rows)
}

// also is what else is worth a word in the table of mail services.
func also(e *Entry) string {
	var out []string
	if e.Finding.TLS != nil && e.Finding.TLS.Legacy {
		out = append(out, e.Finding.TLS.Version)
	}
	if clearTextAuth(&e.Finding) {
		out = append(out, "clear-text AUTH")
	}
	if slices.ContainsFunc(e.Weak, func(w string) bool { return strings.HasPrefix(w, "support for") }) {
		out = append(out, "out of support")
	}
	if len(e.Bounces) > 0 {
		out = append(out, "bounces")
	}
	if e.Finding.Source != "" {
		out = append(out, "from "+e.Finding.Source+" only")
	}
	if e.ApprovalState != "" {
		out = append(out, string(e.ApprovalState))
	}
	return plain(strings.Join(out, ", "))
}

func saidWhat(e *Entry) string {
	if e.Finding.Note != "" {
		return plain(e.Finding.Note)
	}
	return raw(e.Finding.Greeting)
}

// leftOpen is the fourth section.
func (p *page) leftOpen() {
	if len(p.r.Open) == 0 {
		return
	}
	p.heading("What this leaves open")
	for _, s := range p.r.Open {
		p.hang("  - ", "", s)
	}
}

// fixes is the fifth section: why, and what to do. Findings with one cause are told of once.
func (p *page) fixes() {
	urgent := p.r.only((*Entry).urgent)
	lesser := p.r.only(func(e *Entry) bool { return !e.urgent() && len(e.Fix.Server) > 0 })
	shown := urgent
	if p.o.Verbose {
		shown = append(shown, lesser...)
	}
	if len(shown) > 0 {
		p.heading("Why, and what to do")
	}
	for i, g := range grouped(shown) {
		if i > 0 {
			p.blank()
		}
		p.fix(g)
	}
	if !p.o.Verbose && len(lesser) > 0 {
		p.blank()
		p.hang("", "", fmt.Sprintf("%s of lower severity with advice: --verbose shows it, and so does the HTML report.", plural(len(lesser), "finding")))
	}
}

// grouped puts entries together that have the same title, severity and steps. The order stays.
func grouped(entries []*Entry) [][]*Entry {
	var out [][]*Entry
	at := make(map[string]int)
	for _, e := range entries {
		key := fmt.Sprint(e.Severity, "\x00", e.Title, "\x00", strings.Join(e.Fix.Server, "\x00"))
		i, ok := at[key]
		if !ok || e.Class == probe.Undetermined && e.Verdict < probe.Accepted {
			i = len(out)
			at[key] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], e)
	}
	return out
}

func (p *page) fix(group []*Entry) {
	first := group[0]
	label := first.Severity.String()
	p.hang(p.paint(severityColour(first.Severity), label)+"  ", bold, first.Title)
	const indent = 15
	for _, e := range group {
		p.subject(e, bold, "", joinNonEmpty(" ", known(productName(e)), known(hostName(e))))
		p.hangAt(indent, "    why", "", e.Reason)
		if len(e.Vectors) > 1 {
			p.hangAt(indent, "    opened by", "", strings.Join(e.Vectors, " "))
		}
		if e.exposed() || e.mayRelay() {
			p.hangAt(indent, "    shows", "", strings.Join(meanings(e.Vectors), "; "))
		}
		p.hangAt(indent, "    also", "", strings.Join(e.Weak, "; "))
		p.way(e, indent)
	}
	p.steps("    server", indent, first.Fix.Server)
	p.steps("    firewall", indent, firewallOf(group))
	if first.urgent() {
		p.hangAt(indent, "    test", "", "relaysweep probe "+strings.Join(endpoints(group), " "))
	}
	p.hangAt(indent, "    source", dim, first.Fix.Source)
}

// subject names an endpoint, with a word about it behind.
func (p *page) subject(e *Entry, colour, mark, text string) {
	parts := foldEndpoint(endpoint(e)+mark, p.o.Width-4)
	last := len(parts) - 1
	if text == "" {
		last++
	}
	for _, part := range parts[:last] {
		p.b.WriteString("  " + p.paint(colour, part) + "\n")
	}
	if text != "" {
		p.hangAt(4, "  "+p.paint(colour, parts[last])+" ", "", text)
	}
}

// steps numbers them, with the label before the first.
func (p *page) steps(label string, indent int, steps []string) {
	for n, s := range steps {
		number := fmt.Sprintf("%d. ", n+1)
		p.hangAt(indent+len(number), label+strings.Repeat(" ", indent-len(label))+number, "", s)
		label = ""
	}
}

func known(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

func endpoints(group []*Entry) []string {
	var out []string
	for _, e := range group {
		out = append(out, endpoint(e))
	}
	return out
}

// firewallOf lists the steps of a group, each once.
func firewallOf(group []*Entry) []string {
	var out []string
	for _, e := range group {
		for _, s := range e.Fix.Firewall {
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}

// transcripts shows every session as it went.
func (p *page) transcripts() {
	for _, e := range p.r.Entries {
		full, _, err := e.evidence()
		if err != nil {
			p.err = err
			return
		}
		for n, s := range full.Sessions {
			p.heading(fmt.Sprintf("Transcript of %s, %d of %d", endpoint(e), n+1, len(full.Sessions)))
			for line := range strings.Lines(lines(s.Transcript)) {
				for k, part := range fold(p.text(strings.TrimRight(line, "\n")), p.o.Width-4) {
					lead := "  "
					if k > 0 {
						lead = "    "
					}
					p.b.WriteString(strings.TrimRight(lead+part, " ") + "\n")
				}
			}
		}
	}
}
