package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"relaysweep/probe"
)

// dojoAllowed are the keys that DefectDojo's Generic Findings Import takes; it refuses the whole file for another one.
var dojoAllowed = strings.Fields(`title severity description date cwe cve cvssv3 cvssv3_score mitigation impact steps_to_reproduce severity_justification references
	active verified false_p out_of_scope risk_accepted under_review is_mitigated thread_id mitigated numerical_severity param payload line file_path component_name
	component_version static_finding dynamic_finding scanner_confidence unique_id_from_tool vuln_id_from_tool sast_source_object sast_sink_object sast_source_line
	sast_source_file_path nb_occurences publish_date service planned_remediation_date planned_remediation_version effort_for_fixing tags endpoints files
	vulnerability_ids`)

// dojoRead is a finding as its importer takes it.
type dojoRead struct {
	Title, Severity, Description, Date, Mitigation, References string
	StepsToReproduce                                           string `json:"steps_to_reproduce"`
	CWE                                                        int
	Active, Verified                                           bool
	StaticFinding                                              bool   `json:"static_finding"`
	DynamicFinding                                             bool   `json:"dynamic_finding"`
	ComponentName                                              string `json:"component_name"`
	ComponentVersion                                           string `json:"component_version"`
	UniqueID                                                   string `json:"unique_id_from_tool"`
	VulnID                                                     string `json:"vuln_id_from_tool"`
	Service                                                    string
	Tags                                                       []string
	Endpoints                                                  []struct {
		Protocol, Host string
		Port           int
	}
}

// readDojo reads a file as strictly as the importer: there is no reader for Go.
func readDojo(t *testing.T, r *Report) []dojoRead {
	t.Helper()
	out := []byte(render(t, WriteDefectDojo, r))
	var keys struct {
		Findings []map[string]json.RawMessage
	}
	if err := json.Unmarshal(out, &keys); err != nil {
		t.Fatal(err)
	}
	for _, f := range keys.Findings {
		for k := range f {
			if !slices.Contains(dojoAllowed, k) {
				t.Errorf("%s is not an allowed field", k)
			}
		}
		for _, k := range []string{"title", "severity", "description"} {
			if len(f[k]) <= len(`""`) {
				t.Errorf("%s is missing", k)
			}
		}
	}
	var file struct{ Findings []dojoRead }
	d := json.NewDecoder(bytes.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]bool)
	for _, f := range file.Findings {
		if !slices.Contains([]string{"Info", "Low", "Medium", "High", "Critical"}, f.Severity) {
			t.Errorf("severity %s", f.Severity)
		}
		if _, err := time.Parse(time.DateOnly, f.Date); f.Date != "" && err != nil {
			t.Error(err)
		}
		// Columns of its database.
		for _, c := range []struct {
			name string
			text string
			most int
		}{{"title", f.Title, 511}, {"component_name", f.ComponentName, 500}, {"component_version", f.ComponentVersion, 100}, {"unique_id_from_tool", f.UniqueID, 500}, {"vuln_id_from_tool", f.VulnID, 500}, {"service", f.Service, 200}} {
			if len(c.text) > c.most {
				t.Errorf("%s has %d bytes", c.name, len(c.text))
			}
		}
		for _, tag := range f.Tags {
			if strings.ContainsAny(tag, " ,'\"") {
				t.Errorf("tag %q", tag)
			}
		}
		for _, e := range f.Endpoints {
			if _, err := netip.ParseAddr(e.Host); err != nil || e.Port < 0 || e.Port > 65535 {
				t.Errorf("endpoint %+v: %v", e, err)
			}
		}
		ids[f.UniqueID] = true
	}
	return file.Findings
}

func TestDefectDojoTakesIt(t *testing.T) {
	long := finding("192.0.2.1:25", strings.Repeat("v", 2000), strings.Repeat("日", 2000), strings.Repeat("9", 2000), "mx", attempt("S1", "", ok, denied))
	long.Vantage, long.Protocol = strings.Repeat("x y,", 500), "smtp"
	for i, r := range append([]*Report{full(), everywhere(), rich(t), ruled(t), bare(), quiet(), New(Input{}), New(Input{Findings: []probe.Finding{long}})}, markedAll()...) {
		if got := readDojo(t, r); len(got) != len(r.Entries) {
			t.Errorf("report %d: %d of %d findings", i, len(got), len(r.Entries))
		}
	}
	if out := render(t, WriteDefectDojo, New(Input{})); !strings.Contains(out, `"findings": []`) {
		t.Errorf("nothing found: got %s", out)
	}
}

func TestDefectDojoFindings(t *testing.T) {
	got := make(map[string]string)
	for _, f := range readDojo(t, full()) {
		e := f.Endpoints[0]
		got[fmt.Sprintf("%s %d", e.Host, e.Port)] = fmt.Sprintf("%s %s active=%v verified=%v dynamic=%v static=%v CWE-%d %s %s/%s %s %s", e.Protocol, f.Severity, f.Active, f.Verified, f.DynamicFinding, f.StaticFinding, f.CWE, f.VulnID, f.ComponentName, f.ComponentVersion, f.UniqueID, f.Date)
	}
	for endpoint, want := range map[string]string{
		"198.51.100.10 25":    "smtp Critical active=true verified=true dynamic=true static=false CWE-441 open-relay Postfix/3.4.13 relaysweep/internet/198.51.100.10:25/open-relay 2026-11-22",
		"198.51.100.12 587":   "smtp High active=true verified=false dynamic=true static=false CWE-441 open-relay Exchange Server/ relaysweep/internet/198.51.100.12:587/open-relay 2026-11-22",
		"198.51.100.16 587":   "smtp Low active=true verified=false dynamic=true static=false CWE-319 weak-mail-server Postfix/ relaysweep/internet/198.51.100.16:587/weak-mail-server 2026-11-22",
		"198.51.100.17 25":    "smtp Info active=false verified=false dynamic=true static=false CWE-0 mail-server Postfix/3.11.6 relaysweep/internet/198.51.100.17:25/mail-server 2026-11-22",
		"198.51.100.31 25025": "tcp Info active=false verified=false dynamic=true static=false CWE-0 listener / relaysweep/internet/198.51.100.31:25025/listener 2026-11-22",
	} {
		if got[endpoint] != want {
			t.Errorf("%s:\n got %s\nwant %s", endpoint, got[endpoint], want)
		}
	}
	for _, f := range readDojo(t, full()) {
		if f.UniqueID != "relaysweep/internet/198.51.100.10:25/open-relay" {
			continue
		}
		if !strings.HasPrefix(f.Mitigation, "1. ") || !strings.Contains(f.Mitigation, "\n2. ") || !strings.Contains(f.Mitigation, "smtpd_relay_restrictions") || f.References == "" {
			t.Errorf("got mitigation %q, references %q", f.Mitigation, f.References)
		}
		for _, part := range []string{"\n    verdict    delivered\n", "\n    vectors    S1 S6\n", "\n    endpoint   198.51.100.10:25\n", "\n    greeting   mx1.org.example ESMTP Postfix\n"} {
			if !strings.Contains("\n"+f.Description, part) {
				t.Errorf("%q is not in %q", part, f.Description)
			}
		}
		if f.StepsToReproduce != "    relaysweep probe 198.51.100.10:25" || !slices.Equal(f.Tags, []string{"relaysweep", "class:relay", "vantage:internet"}) {
			t.Errorf("got %q, tags %q", f.StepsToReproduce, f.Tags)
		}
	}
}

// The description is Markdown, and what strangers say must not be: all of it stands in the code block.
func TestDefectDojoShowsStrangersVerbatim(t *testing.T) {
	const link = "![x](http://evil.example/x)\n\n# heading"
	said := finding("192.0.2.1:25", link, link, link, link, attempt("S1", "", ok, r("250 "+link), r("450 "+link)), attempt("S2", "", ok, r("550 "+link)))
	said.Greeting, said.EHLO, said.Note, said.Cut, said.SeenAs = link, []string{link}, link, link, link
	for _, f := range readDojo(t, New(Input{Scan: scan(), Findings: []probe.Finding{said}})) {
		head, block, _ := strings.Cut(f.Description, "\n\n")
		if strings.Contains(head, "evil") || !strings.Contains(block, `![x](http://evil.example/x)\n\n# heading`) {
			t.Errorf("got %q", f.Description)
		}
		for line := range strings.Lines(block) {
			if !strings.HasPrefix(line, "    ") {
				t.Errorf("outside of the code block: %q", line)
			}
		}
		if strings.Contains(f.Mitigation, "evil") {
			t.Errorf("got mitigation %q", f.Mitigation)
		}
	}
}
