package report

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"relaysweep/discover"
	"relaysweep/probe"
)

// sarifSchema is the schema of OASIS, which the reader's source holds. The reader's own check looks at what it would write,
// and finds faults in that.
func sarifSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	schema, err := compiledSARIF()
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

var compiledSARIF = sync.OnceValues(func() (*jsonschema.Schema, error) {
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif").Output()
	if err != nil {
		return nil, err
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimSpace(string(dir)), "schema.go"), nil, 0)
	if err != nil {
		return nil, err
	}
	spec := file.Scope.Lookup("schema").Decl.(*ast.ValueSpec)
	text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
	if err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("sarif.json", doc); err != nil {
		return nil, err
	}
	return c.Compile("sarif.json")
})

// readSARIF reads a report with a reader that is not ours, and holds it to the schema of OASIS.
func readSARIF(t *testing.T, r *Report) *sarif.Run {
	t.Helper()
	out := render(t, WriteSARIF, r)
	log, err := sarif.FromString(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := sarifSchema(t).Validate(decode(t, []byte(out))); err != nil {
		t.Errorf("not valid: %v", err)
	}
	if log.Version != "2.1.0" || len(log.Runs) != 1 {
		t.Fatalf("got version %s and %d runs", log.Version, len(log.Runs))
	}
	// The reader drops what it doesn't know: what it writes again must hold all that we wrote.
	again, err := json.Marshal(log)
	if err != nil {
		t.Fatal(err)
	}
	if lost := broken("", decode(t, []byte(out)), decode(t, again)); len(lost) > 0 {
		t.Errorf("the reader knows no\n%s", strings.Join(lost, "\n"))
	}
	return log.Runs[0]
}

func TestSARIFIsRead(t *testing.T) {
	for i, r := range append([]*Report{full(), everywhere(), rich(t), ruled(t), bare(), quiet(), New(Input{})}, markedAll()...) {
		run := readSARIF(t, r)
		if len(run.Results) != len(r.Entries) {
			t.Errorf("report %d: %d results of %d findings", i, len(run.Results), len(r.Entries))
		}
		for _, res := range run.Results {
			if res.RuleIndex >= len(run.Tool.Driver.Rules) || *run.Tool.Driver.Rules[res.RuleIndex].ID != *res.RuleID {
				t.Errorf("report %d: rule %s is not number %d", i, *res.RuleID, res.RuleIndex)
			}
		}
	}
}

func TestSARIFTellsOfTheScan(t *testing.T) {
	run := readSARIF(t, full())
	if d := run.Tool.Driver; *d.Name != "relaysweep" || *d.Version != "0.1.0" || len(d.Rules) != len(checks) {
		t.Errorf("got %s %s with %d rules", *d.Name, *d.Version, len(d.Rules))
	}
	if got, want := *run.AutomationDetails.ID, "relaysweep/internet/20261122-0200-k3"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	i := run.Invocations[0]
	if *i.ExecutionSuccessful || *i.ExitCode != 3 || *i.StartTimeUtc != "2026-11-22T02:00:00Z" || *i.EndTimeUtc != "2026-11-22T02:14:11Z" {
		t.Errorf("an interrupted scan: got %+v", *i)
	}
	if n := i.ToolExecutionNotifications; len(n) != 1+len(full().Open) || n[0].Level != "warning" || !strings.Contains(*n[0].Message.Text, "too many open files") {
		t.Errorf("got %d notifications", len(n))
	}
	if i := readSARIF(t, quiet()).Invocations[0]; !*i.ExecutionSuccessful || *i.ExitCode != 0 {
		t.Error("a whole scan was no success")
	}
	taxa := make(map[string]string)
	for _, x := range run.Taxonomies[0].Taxa {
		taxa[*x.ID] = *x.ShortDescription.Text
	}
	if got := slices.Sorted(maps.Keys(taxa)); !slices.Equal(got, []string{"I7", "R15", "S1", "S2", "S6"}) || !strings.HasPrefix(taxa["S6"], "relay permitted by the sender's domain") {
		t.Errorf("got vectors %q", taxa)
	}
}

// What a finding is to programs: its check, kind and level, where it is, and what stays the same from scan to scan.
func TestSARIFResults(t *testing.T) {
	r := ruled(t)
	got := make(map[string]string)
	for _, res := range readSARIF(t, r).Results {
		at := res.Locations[0]
		got[*at.PhysicalLocation.ArtifactLocation.URI] = fmt.Sprint(res.Kind, " ", res.Level, " ", *res.RuleID, " ", res.Rank, " ", res.PartialFingerprints["relaysweep/v1"], " ", len(res.Taxa), " ", len(res.RelatedLocations))
	}
	for uri, want := range map[string]string{
		"smtp://198.51.100.10:25":                          "fail error open-relay 100 internet/198.51.100.10:25/open-relay 2 3",
		"smtp://198.51.100.13:25":                          "fail warning may-relay 50 internet/198.51.100.13:25/may-relay 1 1",
		"smtp://198.51.100.14:1025":                        "fail note sink 25 internet/198.51.100.14:1025/sink 1 1",
		"smtp://198.51.100.17:25":                          "pass none mail-server 0 internet/198.51.100.17:25/mail-server 0 2",
		"smtp://198.51.100.18:25":                          "fail error unexplained-path 75 internet/198.51.100.18:25/unexplained-path 0 1",
		"ssh://198.51.100.30:2525":                         "fail error unexplained-path 75 internet/198.51.100.30:2525/unexplained-path 0 1",
		"lmtp://198.51.100.32:24":                          "fail error unexplained-path 75 internet/198.51.100.32:24/unexplained-path 0 1",
		"smtp://[2001:db8:51:1111:2222:3333:4444:5555]:25": "fail error open-relay 75 internet/[2001:db8:51:1111:2222:3333:4444:5555]:25/open-relay 1 1",
	} {
		if got[uri] != want {
			t.Errorf("%s:\n got %s\nwant %s", uri, got[uri], want)
		}
	}
	for _, res := range readSARIF(t, r).Results {
		if *res.Locations[0].PhysicalLocation.ArtifactLocation.URI == "smtp://198.51.100.10:25" {
			l := res.RelatedLocations[1].PhysicalLocation
			if *l.ArtifactLocation.URI != "fw1.csv" || *l.Region.StartLine != 3 {
				t.Errorf("got rule at %s:%d", *l.ArtifactLocation.URI, *l.Region.StartLine)
			}
		}
	}
}

// The kinds of findings that the full report does not have.
func TestChecks(t *testing.T) {
	unspoken := listener("192.0.2.1:25", "unknown", "")
	unspoken.Connections = 0
	inside := scan()
	inside.Inside = true
	accepted := finding("192.0.2.1:25", "", "", "", "", attempt("S1", "", ok, taken))
	clear := finding("192.0.2.1:25", "", "", "", "", attempt("S1", "", ok, denied))
	clear.Extensions = []string{"AUTH PLAIN"}
	old := finding("192.0.2.1:25", "Exim", "Exim", "4.50", "", attempt("S1", "", ok, denied))
	old.Service.EndOfLife = "2010-01-01"
	smuggled, injected, behind, xclient, legacy := clear, clear, clear, clear, old
	smuggled.EndsData, injected.Injected, behind.Behind, xclient.EHLO = []string{"LF . LF"}, true, "PROXY", []string{"mx", "XCLIENT ADDR"}
	legacy.TLS = &probe.TLS{Mode: "starttls", Version: "TLS 1.0", Legacy: true}
	for _, tt := range []struct {
		name string
		scan Scan
		f    probe.Finding
		want string // check, kind, level, CWE
	}{
		{"an opening that was not spoken to", scan(), unspoken, "opening open none 0"},
		{"not known what", scan(), listener("192.0.2.1:25", "unknown", "silent"), "listener informational none 0"},
		{"a recipient was accepted", scan(), accepted, "may-relay fail warning 441"},
		{"a recipient was accepted from inside", inside, accepted, "may-relay fail note 441"},
		{"no verdict", scan(), findings()[3], "not-judged fail note 0"},
		{"passwords in clear", scan(), clear, "weak-mail-server fail note 319"},
		{"out of support", scan(), old, "weak-mail-server fail note 1104"},
		{"old TLS", scan(), legacy, "weak-mail-server fail note 326"},
		{"smuggling", scan(), smuggled, "weak-mail-server fail note 444"},
		{"injection", scan(), injected, "weak-mail-server fail note 77"},
		{"a PROXY header is believed", scan(), behind, "weak-mail-server fail note 290"},
		{"XCLIENT is offered", scan(), xclient, "weak-mail-server fail note 290"},
	} {
		e := New(Input{Scan: tt.scan, Findings: []probe.Finding{tt.f}}).Entries[0]
		c := checks[checkIndex(e)]
		kind, level := sarifKind(e)
		if got := fmt.Sprint(c.id, " ", kind, " ", level, " ", e.cwe(c)); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// The same finding of a later scan has the same identity, though all that may differ does.
func TestIdentityLasts(t *testing.T) {
	of := func(r *Report) (out []string) {
		for _, e := range r.Entries {
			out = append(out, e.identity(checks[checkIndex(e)]))
		}
		slices.Sort(out)
		return out
	}
	first, second := full(), findings()
	for i := range second {
		f := &second[i]
		f.Started, f.Ended = f.Started.Add(time.Hour), f.Ended.Add(time.Hour)
		f.Service.Version, f.Greeting, f.Names = "9", "hello", nil
	}
	s := scan()
	s.ID = "later"
	if got, want := of(New(Input{Scan: s, Findings: second, Deliveries: deliveries()})), of(first); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	seen := make(map[string]bool)
	for _, id := range of(first) {
		if seen[id] {
			t.Errorf("%s stands for two", id)
		}
		seen[id] = true
	}
	if a, b := of(New(Input{Findings: []probe.Finding{submission("250 ok")}})), of(New(Input{Findings: []probe.Finding{submission("550 no")}})); a[0] == b[0] {
		t.Error("a server that became a relay has its old identity")
	}
}

// No text of a stranger is a link or a placeholder.
func TestSARIFMessagesAreText(t *testing.T) {
	f := finding("192.0.2.1:25", "", "", "", "mx", attempt("S1", "", ok, r("450 4.2.0 [here](http://evil.example) {0}")))
	text := *readSARIF(t, New(Input{Findings: []probe.Finding{f}})).Results[0].Message.Text
	if want := `\[here\](http://evil.example) {{0}}`; !strings.Contains(text, want) {
		t.Errorf("%q is not in %q", want, text)
	}
}

// The baseline is that of the vantage, and a result of another rule is a new one.
func TestBaselineOfAResult(t *testing.T) {
	refused := seenOpen(before)
	listed := func(s *Sight) { s.Listed = true }
	relay := judged(probe.Ready, probe.Relay, "S1")
	for _, test := range []struct {
		name          string
		before, after *Sight
		want          string
	}{
		{"as it was", refused, then(refused, discover.Open, now), "unchanged"},
		{"another version", refused, then(refused, discover.Open, now, found(func(f *probe.Finding) { f.Service.Version = "3.11" })), "updated"},
		{"relays now", refused, then(refused, discover.Open, now, relay), "new"},
		{"refuses now", seenOpen(before, relay), then(refused, discover.Open, now), "new"},
		{"open for the first time", nil, seenOpen(now), "new"},
		{"another line lets it in, and it was only listed", seenOpen(before, func(s *Sight) { s.Rules = []string{"fw1 1"} }), then(refused, discover.Open, now, listed, func(s *Sight) { s.Rules = []string{"fw1 2"} }), "updated"},
	} {
		t.Run(test.name, func(t *testing.T) {
			to := scan()
			c := NewChanges(scanBefore(), &to, "internet", nil, pairs([2]*Sight{test.before, test.after}))
			mine := finding(endpoint25, "Postfix", "Postfix", "3.4.13", "mx", attempt("S1", "", ok, denied))
			other := finding("198.51.100.77:25", "", "", "", "mx", attempt("S1", "", ok, denied))
			other.Vantage = "dmz"
			var b strings.Builder
			if err := WriteSARIF(&b, New(Input{Scan: to, Findings: []probe.Finding{mine, other}, Changes: c})); err != nil {
				t.Fatal(err)
			}
			var log struct {
				Runs []struct{ Results []sarifResult }
			}
			if err := json.Unmarshal([]byte(b.String()), &log); err != nil {
				t.Fatal(err)
			}
			for _, r := range log.Runs[0].Results {
				want := test.want
				if r.Properties.Vantage == "dmz" {
					want = "" // nobody compared it
				}
				if r.Baseline != want {
					t.Errorf("%s: got %q, want %q", r.Fingerprints["relaysweep/v1"], r.Baseline, want)
				}
			}
		})
	}
}
