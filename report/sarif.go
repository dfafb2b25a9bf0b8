package report

import (
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"relaysweep/probe"
)

// SARIF 2.1.0 (OASIS), as far as a scan of ours has something to put there.
type sarifLog struct {
	Version string     `json:"version"`
	Schema  string     `json:"$schema"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool        sarifTool         `json:"tool"`
	Automation  sarifAutomation   `json:"automationDetails"`
	Invocations []sarifInvocation `json:"invocations"`
	Taxonomies  []sarifComponent  `json:"taxonomies,omitempty"`
	Results     []sarifResult     `json:"results"`
}

type sarifTool struct {
	Driver sarifComponent `json:"driver"`
}

type sarifComponent struct {
	Name    string      `json:"name"`
	Version string      `json:"version,omitempty"`
	Rules   []sarifRule `json:"rules,omitempty"`
	Taxa    []sarifRule `json:"taxa,omitempty"`
}

type sarifRule struct {
	ID         string           `json:"id"`
	Name       string           `json:"name,omitempty"`
	Text       sarifMessage     `json:"shortDescription"`
	Properties *sarifProperties `json:"properties,omitempty"`
}

type sarifAutomation struct {
	ID string `json:"id"`
}

type sarifInvocation struct {
	Successful    bool                `json:"executionSuccessful"`
	ExitCode      int                 `json:"exitCode"`
	Start         *timestamp          `json:"startTimeUtc,omitempty"`
	End           *timestamp          `json:"endTimeUtc,omitempty"`
	Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
}

type sarifNotification struct {
	Level   string       `json:"level"`
	Message sarifMessage `json:"message"`
}

type sarifMessage struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID       string            `json:"ruleId"`
	RuleIndex    int               `json:"ruleIndex"`
	Kind         string            `json:"kind"`
	Level        string            `json:"level"`
	Baseline     string            `json:"baselineState,omitempty"` // empty: there is nothing to compare with
	Message      sarifMessage      `json:"message"`
	Locations    []sarifLocation   `json:"locations"`
	Related      []sarifLocation   `json:"relatedLocations,omitempty"`
	Fingerprints map[string]string `json:"partialFingerprints"`
	Taxa         []sarifTaxon      `json:"taxa,omitempty"`
	Rank         float64           `json:"rank"`
	Properties   sarifProperties   `json:"properties"`
}

type sarifTaxon struct {
	ID        string        `json:"id"`
	Component sarifTaxonomy `json:"toolComponent"`
}

type sarifTaxonomy struct {
	Name  string `json:"name"`
	Index int    `json:"index"`
}

type sarifLocation struct {
	Physical sarifPhysical  `json:"physicalLocation"`
	Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	Message  *sarifMessage  `json:"message,omitempty"`
}

type sarifPhysical struct {
	Artifact struct {
		URI string `json:"uri"`
	} `json:"artifactLocation"`
	Region *sarifRegion `json:"region,omitempty"`
}

type sarifRegion struct {
	StartLine int `json:"startLine"`
}

type sarifLogical struct {
	Name          string `json:"name"`
	QualifiedName string `json:"fullyQualifiedName,omitempty"`
	Kind          string `json:"kind"`
}

// sarifProperties are named as in the JSON Lines.
type sarifProperties struct {
	Tags       []string   `json:"tags,omitempty"`
	Severity   *Severity  `json:"severity,omitempty"`
	Verdict    string     `json:"verdict,omitempty"`
	Class      string     `json:"class,omitempty"`
	Vectors    []string   `json:"vectors,omitempty"`
	Vantage    string     `json:"vantage,omitempty"`
	Protocol   string     `json:"protocol,omitempty"`
	Product    string     `json:"product,omitempty"`
	Version    string     `json:"version,omitempty"`
	Greeting   string     `json:"greeting,omitempty"`
	Weaknesses []string   `json:"weaknesses,omitempty"`
	Fix        *fixObject `json:"fix,omitempty"`
}

const vectorTaxonomy = "relaysweep vectors"

// WriteSARIF writes the findings as results of SARIF 2.1.0: what they are is the rule, and where they are is a URI such
// as smtp://192.0.2.1:25. The fingerprint stays the same from scan to scan; the firewall lines that let a connection
// through are related locations.
func WriteSARIF(w io.Writer, r *Report) error {
	s := &r.Scan
	run := sarifRun{
		Tool:       sarifTool{sarifComponent{Name: "relaysweep", Version: raw(s.Version)}},
		Automation: sarifAutomation{plain("relaysweep/" + joinNonEmpty("/", s.Vantage, s.ID))},
		Results:    []sarifResult{},
	}
	for _, c := range checks {
		rule := sarifRule{ID: c.id, Name: c.name, Text: sarifMessage{c.text}, Properties: &sarifProperties{Tags: []string{"security"}}}
		if c.cwe != 0 {
			rule.Properties.Tags = append(rule.Properties.Tags, "external/cwe/cwe-"+strconv.Itoa(c.cwe))
		}
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, rule)
	}
	invocation := sarifInvocation{Successful: s.Complete, ExitCode: s.Exit, Start: timeOf(s.Started), End: timeOf(s.Ended)}
	for _, n := range s.Notes {
		invocation.Notifications = append(invocation.Notifications, sarifNotification{"warning", sarifText(plain(n))})
	}
	for _, n := range r.Open {
		invocation.Notifications = append(invocation.Notifications, sarifNotification{"note", sarifText(plain(n))})
	}
	run.Invocations = []sarifInvocation{invocation}
	if taxa := r.sarifTaxa(); len(taxa) > 0 {
		run.Taxonomies = []sarifComponent{{Name: vectorTaxonomy, Taxa: taxa}}
	}
	for _, e := range r.Entries {
		run.Results = append(run.Results, sarifResultOf(e, r.Changes != nil && e.Finding.Vantage == r.Changes.Vantage))
	}
	return writeObject(w, sarifLog{"2.1.0", "https://json.schemastore.org/sarif-2.1.0.json", []sarifRun{run}})
}

// sarifTaxa tells what the vectors are that opened something.
func (r *Report) sarifTaxa() []sarifRule {
	catches := make(map[string][]string) // rows of one id are alternatives
	for _, v := range probe.Vectors() {
		if !slices.Contains(catches[v.ID], v.Catches) {
			catches[v.ID] = append(catches[v.ID], v.Catches)
		}
	}
	var out []sarifRule
	for _, e := range r.Entries {
		for _, id := range e.Vectors {
			if !slices.ContainsFunc(out, func(t sarifRule) bool { return t.ID == plain(id) }) {
				out = append(out, sarifRule{ID: plain(id), Text: sarifText(plain(joinNonEmpty("; ", append([]string{}, catches[id]...)...)))})
			}
		}
	}
	return out
}

// baseline is how a result stands to the scan before (SARIF 2.1.0, 3.27.24): one of another rule is another result.
func (e *Entry) baseline() string {
	c := e.Change
	switch {
	case c == nil:
		return "unchanged"
	case c.Kind == IsNew || c.Kind == IsReappeared:
		return "new"
	case c.Before == nil || c.Before.Found == nil || c.After.Found == nil || c.After.Listed:
		return "updated"
	}
	// Both as an inventory has them, so that what a report knows beside that makes no difference.
	if checkIndex(c.Before.weighed(c.After.LastSeen)) != checkIndex(c.After.weighed(c.After.LastSeen)) {
		return "new"
	}
	return "updated"
}

func sarifResultOf(e *Entry, compared bool) sarifResult {
	f, i := &e.Finding, checkIndex(e)
	out := sarifResult{
		RuleID: checks[i].id, RuleIndex: i, Message: sarifText(plain(joinNonEmpty(": ", f.Addr.String()+" "+e.Title, e.Reason))),
		Fingerprints: map[string]string{"relaysweep/v1": e.identity(checks[i])}, Rank: 25 * float64(e.Severity),
		Properties: sarifProperties{
			Severity: &e.Severity, Verdict: e.Verdict.String(), Class: string(e.Class), Vectors: all(e.Vectors), Vantage: valid(f.Vantage), Protocol: valid(protocol(f)),
			Product: valid(f.Service.Product), Version: valid(f.Service.Version), Greeting: valid(f.Greeting), Weaknesses: all(e.Weak),
			Fix: &fixObject{all(e.Fix.Server), all(e.Fix.Firewall), e.Fix.Source},
		},
	}
	out.Kind, out.Level = sarifKind(e)
	if compared {
		out.Baseline = e.baseline()
	}
	at := sarifLocation{Logical: []sarifLogical{{f.Addr.String(), plain(f.Vantage) + "/" + f.Addr.String(), "endpoint"}}}
	at.Physical.Artifact.URI = e.uri()
	for _, n := range f.Names {
		at.Logical = append(at.Logical, sarifLogical{Name: raw(n), Kind: "host"})
	}
	out.Locations = []sarifLocation{at}
	for k := range e.Openings {
		if l := sarifLine(&e.Openings[k]); l != nil {
			out.Related = append(out.Related, *l)
		}
	}
	for _, id := range e.Vectors {
		out.Taxa = append(out.Taxa, sarifTaxon{plain(id), sarifTaxonomy{vectorTaxonomy, 0}})
	}
	return out
}

// sarifKind says whether a result is a failure, and how grave. Only one that is has a level.
func sarifKind(e *Entry) (kind, level string) {
	switch {
	case e.Severity >= High:
		return "fail", "error"
	case e.Severity == Medium:
		return "fail", "warning"
	case e.Severity == Low:
		return "fail", "note"
	case e.exposed(), e.mayRelay():
		return "review", "none"
	case e.Class == probe.AuthOnly, e.Class == probe.ClosedRelay:
		return "pass", "none"
	case e.Class == probe.Undetermined, e.Class == probe.CatchAll:
		return "open", "none" // it was not judged
	}
	return "informational", "none"
}

// sarifLine is where a firewall line stands; nil where it has no place.
func sarifLine(l *Line) *sarifLocation {
	i := strings.LastIndexByte(l.Where, ':')
	n, err := strconv.Atoi(l.Where[i+1:])
	if i <= 0 || err != nil || n < 1 {
		return nil
	}
	text := sarifText(plain(joinNonEmpty("; ", l.says(), l.about())))
	out := sarifLocation{Message: &text}
	out.Physical.Artifact.URI = (&url.URL{Path: valid(l.Where[:i])}).String()
	out.Physical.Region = &sarifRegion{n}
	return &out
}

// sarifSyntax is what has a meaning in a message: placeholders and links (3.11.5, 3.11.6).
var sarifSyntax = strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, "{", "{{", "}", "}}")

func sarifText(s string) sarifMessage { return sarifMessage{sarifSyntax.Replace(s)} }
