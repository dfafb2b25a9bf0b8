package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"relaysweep/probe"
)

// dojoFinding is a finding of DefectDojo's Generic Findings Import, which refuses files with any other key.
type dojoFinding struct {
	Title            string         `json:"title"`
	Severity         string         `json:"severity"`
	Description      string         `json:"description"` // Markdown
	Date             string         `json:"date,omitempty"`
	CWE              int            `json:"cwe,omitempty"`
	Mitigation       string         `json:"mitigation,omitempty"` // Markdown
	StepsToReproduce string         `json:"steps_to_reproduce"`
	References       string         `json:"references,omitempty"`
	Active           bool           `json:"active"`
	Verified         bool           `json:"verified"`
	StaticFinding    bool           `json:"static_finding"`
	DynamicFinding   bool           `json:"dynamic_finding"`
	ComponentName    string         `json:"component_name,omitempty"`
	ComponentVersion string         `json:"component_version,omitempty"`
	UniqueID         string         `json:"unique_id_from_tool"`
	VulnID           string         `json:"vuln_id_from_tool"`
	Service          string         `json:"service"`
	Tags             []string       `json:"tags"`
	Endpoints        []dojoEndpoint `json:"endpoints"`
}

type dojoEndpoint struct {
	Protocol string `json:"protocol"`
	Host     string `json:"host"`
	Port     uint16 `json:"port"`
}

var dojoSeverities = [...]string{"Info", "Low", "Medium", "High", "Critical"}

// WriteDefectDojo writes every finding for DefectDojo's Generic Findings Import. What asks for nothing is inactive there;
// only a canary that came home makes a relay verified. A finding's unique id is the same from scan to scan.
func WriteDefectDojo(w io.Writer, r *Report) error {
	file := struct {
		Findings []dojoFinding `json:"findings"`
	}{[]dojoFinding{}}
	for _, e := range r.Entries {
		file.Findings = append(file.Findings, r.dojo(e))
	}
	return writeObject(w, file)
}

// writeObject writes a JSON object that can be shown on a terminal.
func writeObject(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(armour(b.Bytes()))
	return err
}

func (r *Report) dojo(e *Entry) dojoFinding {
	f, c := &e.Finding, checks[checkIndex(e)]
	at := seen(f)
	if at.IsZero() {
		at = r.Scan.time()
	}
	out := dojoFinding{
		Title: shorten(e.Title, 500), Severity: dojoSeverities[e.Severity], Description: r.dojoDescription(e, at), CWE: e.cwe(c),
		Mitigation: numbered(append(append([]string{}, e.Fix.Server...), e.Fix.Firewall...)), References: plain(e.Fix.Source),
		StepsToReproduce: codeBlock([]string{"relaysweep probe " + f.Addr.String()}),
		Active:           e.Severity > Info, Verified: e.exposed() && e.Verdict == probe.Delivered, DynamicFinding: true,
		ComponentName: clip(f.Service.Product, 490), ComponentVersion: clip(f.Service.Version, 90),
		UniqueID: "relaysweep/" + e.identity(c), VulnID: c.id, Service: clip(protocol(f), 190),
		Tags:      []string{"relaysweep", "class:" + string(e.Class), "vantage:" + tag(f.Vantage)},
		Endpoints: []dojoEndpoint{{strings.TrimSuffix(e.uri(), "://"+f.Addr.String()), f.Addr.Addr().Unmap().WithZone("").String(), f.Addr.Port()}},
	}
	if !at.IsZero() {
		out.Date = at.UTC().Format(time.DateOnly)
	}
	return out
}

// dojoDescription keeps all that strangers said in a code block, so that no Markdown of theirs counts.
func (r *Report) dojoDescription(e *Entry, at time.Time) string {
	f := &e.Finding
	var rows []string
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, fmt.Sprintf("%-10s %s", name, value))
		}
	}
	add("endpoint", f.Addr.String())
	add("vantage", plain(f.Vantage))
	add("seen", minute(at))
	add("verdict", e.Verdict.String())
	add("class", string(e.Class))
	add("reason", plain(e.Reason))
	add("vectors", plain(strings.Join(e.Vectors, " ")))
	add("weaknesses", plain(strings.Join(e.Weak, "; ")))
	add("names", raw(strings.Join(f.Names, " ")))
	add("greeting", raw(f.Greeting))
	add("product", raw(joinNonEmpty(" ", f.Service.Vendor, f.Service.Product, f.Service.Version)))
	add("seen as", raw(e.seenAs()))
	for i := range e.Openings {
		add("rule", plain(joinNonEmpty("; ", e.Openings[i].says(), e.Openings[i].about())))
	}
	add("note", plain(joinNonEmpty("; ", f.Note, f.Cut)))
	add("scan", plain(r.Scan.ID))
	return checks[checkIndex(e)].text + "\n\n" + codeBlock(rows)
}

// codeBlock is lines of text that hold no line ends, as Markdown shows them verbatim.
func codeBlock(rows []string) string { return "    " + strings.Join(rows, "\n    ") }

func numbered(steps []string) string {
	var out []string
	for i, s := range steps {
		out = append(out, fmt.Sprintf("%d. %s", i+1, plain(s)))
	}
	return strings.Join(out, "\n")
}

// clip is text from the network, cut to so many bytes, as DefectDojo has columns of fixed size.
func clip(s string, n int) string { return shorten(raw(s), n) }

// tag makes text a tag: DefectDojo takes no blanks, commas or quotes there.
func tag(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" ,'\"", r) {
			return '-'
		}
		return r
	}, shorten(s, 80))
}
