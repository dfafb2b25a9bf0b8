package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"relaysweep/probe"
	"relaysweep/report"
)

// The bounds of a body: however much a scan found, and however long the texts of strangers are.
const (
	maxBody     = 256 << 10
	maxChanges  = 500
	maxFindings = 100
	maxText     = 300 // bytes of one text
)

// payload is the body of a webhook. Names are a contract, as those of JSON Lines are: added, never changed.
type payload struct {
	Type          string    `json:"type"` // notification
	SchemaVersion int       `json:"schema_version"`
	ScanID        string    `json:"scan_id"`
	Site          string    `json:"site"` // of the network, where several use the same private addresses
	Vantage       string    `json:"vantage"`
	Timestamp     time.Time `json:"timestamp"` // of the scan's end
	Organisation  string    `json:"organisation"`
	Version       string    `json:"version"`
	Exit          int       `json:"exit"`
	Complete      bool      `json:"complete"`
	Resume        string    `json:"resume"` // the command that goes on, if it is not complete
	Since         string    `json:"since"`  // the scan that changes are told from; empty: none is known
	Summary       summary   `json:"summary"`
	// Changes are null where none are known: that is not the same as none.
	Changes   []json.RawMessage `json:"changes"`
	Truncated int               `json:"truncated"` // changes that are left out
	// Findings are the worst, of severity medium and above.
	Findings          []json.RawMessage `json:"findings"`
	FindingsTruncated int               `json:"findings_truncated"`
	// Violations are what stands against the approvals, worst first; null: none were read.
	Violations          []json.RawMessage `json:"violations"`
	ViolationsTruncated int               `json:"violations_truncated"`
}

type summary struct {
	Targets      uint64         `json:"targets"`
	Looked       uint64         `json:"looked"`
	NotAttempted uint64         `json:"not_attempted"`
	Failed       uint64         `json:"failed"`
	Findings     int            `json:"findings"`
	Mail         int            `json:"mail"`
	Exposed      int            `json:"exposed"` // openings that expose a relay
	MayRelay     int            `json:"may_relay"`
	Delivered    int            `json:"delivered"`
	Severities   map[string]int `json:"severities"`
	Changes      map[string]int `json:"changes"`    // by kind, all of them
	Violations   map[string]int `json:"violations"` // by kind, all of them
}

type finding struct {
	IP       string          `json:"ip"`
	Port     uint16          `json:"port"`
	Vantage  string          `json:"vantage"`
	Names    []string        `json:"names"`
	Severity report.Severity `json:"severity"`
	Verdict  probe.Verdict   `json:"verdict"`
	Class    probe.Class     `json:"class"`
	Title    string          `json:"title"`
	Product  string          `json:"product"`
	Version  string          `json:"version"`
	Vectors  []string        `json:"vectors"`
	Rules    []string        `json:"rules"` // firewall lines that let it through, where they stand
}

// violation is a listener that is not approved, or not so, or an approval that is to be looked at.
type violation struct {
	Kind     report.ApprovalState `json:"kind"` // unapproved, expired, soon, unused, exceeded
	Severity report.Severity      `json:"severity"`
	IP       string               `json:"ip"`   // empty: it is about the approval alone
	Port     uint16               `json:"port"` // 0: likewise
	Vantage  string               `json:"vantage"`
	Text     string               `json:"text"`
	Approval *approval            `json:"approval"` // null: there is none
}

type approval struct {
	Owner   string `json:"owner"`
	Ticket  string `json:"ticket"`
	Expires string `json:"expires"` // the last day on which it holds
}

type change struct {
	Kind        report.ChangeKind `json:"kind"`
	IP          string            `json:"ip"`
	Port        uint16            `json:"port"`
	Vantage     string            `json:"vantage"`
	Upgraded    bool              `json:"upgraded"`
	Worse       bool              `json:"worse"`
	Severity    report.Severity   `json:"severity"` // of what was found last
	Reason      string            `json:"reason"`
	Before      *sight            `json:"before"`
	After       *sight            `json:"after"`
	Differences []difference      `json:"differences"`
}

type sight struct {
	ScanID      string        `json:"scan_id"`
	State       string        `json:"state"`
	Verdict     probe.Verdict `json:"verdict"`
	Class       probe.Class   `json:"class"`
	Product     string        `json:"product"`
	Version     string        `json:"version"`
	FirstSeen   *time.Time    `json:"first_seen"`
	LastSeen    *time.Time    `json:"last_seen"`
	LastChecked *time.Time    `json:"last_checked"`
}

type difference struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// body makes the body of a webhook, and its idempotency key: the scan's id with a hash of what is told. The time is no
// part of that, so that a scan that is resumed with nothing left to do tells the same.
func body(r *report.Report, changes *report.Changes) (b []byte, key string, err error) {
	s := &r.Scan
	p := payload{
		Type: "notification", SchemaVersion: report.SchemaVersion, ScanID: short(s.ID), Site: short(s.Site), Vantage: short(s.Vantage), Organisation: short(s.Organisation), Version: short(s.Version),
		Exit: s.Exit, Complete: s.Complete, Resume: short(s.Resume), Findings: []json.RawMessage{}, Summary: summarise(r, changes),
	}
	room := maxBody - 16<<10 // for all that is not in the lists
	if changes != nil {
		p.Since, p.Changes = short(changes.From), []json.RawMessage{}
		for i := range changes.List {
			o, err := json.Marshal(changeOf(&changes.List[i]))
			if err != nil {
				return nil, "", err
			}
			if room -= len(o) + 1; room < maxBody*3/8 || len(p.Changes) == maxChanges { // the rest is for what follows
				break
			}
			p.Changes = append(p.Changes, o)
		}
		p.Truncated = len(changes.List) - len(p.Changes)
	}
	for _, e := range r.Entries { // worst first
		if e.Severity < report.Medium {
			break
		}
		if p.FindingsTruncated++; room < maxBody/8 || len(p.Findings) == maxFindings {
			continue
		}
		o, err := json.Marshal(findingOf(e))
		if err != nil {
			return nil, "", err
		}
		if room -= len(o) + 1; room >= maxBody/8 {
			p.Findings = append(p.Findings, o)
			p.FindingsTruncated--
		}
	}
	if r.Approvals != nil {
		p.Violations = []json.RawMessage{}
		for i := range r.Violations {
			o, err := json.Marshal(violationOf(&r.Violations[i]))
			if err != nil {
				return nil, "", err
			}
			if room -= len(o) + 1; room < 0 || len(p.Violations) == maxFindings {
				break
			}
			p.Violations = append(p.Violations, o)
		}
		p.ViolationsTruncated = len(r.Violations) - len(p.Violations)
	}
	told, err := json.Marshal(p)
	if err != nil {
		return nil, "", err
	}
	hash := sha256.Sum256(told)
	p.Timestamp = s.Time().UTC().Truncate(time.Millisecond)
	b, err = json.Marshal(p)
	return b, token(s.ID) + "-" + hex.EncodeToString(hash[:16]), err
}

func summarise(r *report.Report, changes *report.Changes) summary {
	t := &r.Totals
	s := summary{
		Targets: t.Coverage.Targets, Looked: t.Coverage.Looked, NotAttempted: t.Coverage.NotAttempted, Failed: t.Coverage.Failed,
		Findings: t.Findings, Mail: t.Mail, Exposed: t.Exposed, MayRelay: t.MayRelay, Delivered: t.Delivered,
		Severities: make(map[string]int), Changes: make(map[string]int), Violations: make(map[string]int),
	}
	for i, n := range t.Severities {
		s.Severities[report.Severity(i).String()] = n
	}
	if changes != nil {
		for i := range changes.List {
			s.Changes[string(changes.List[i].Kind)]++
		}
	}
	for i := range r.Violations {
		s.Violations[string(r.Violations[i].Kind)]++
	}
	return s
}

func findingOf(e *report.Entry) finding {
	f := &e.Finding
	return finding{
		IP: f.Addr.Addr().String(), Port: f.Addr.Port(), Vantage: short(f.Vantage), Names: some(f.Names), Severity: e.Severity, Verdict: e.Verdict, Class: e.Class,
		Title: short(e.Title), Product: short(f.Service.Product), Version: short(f.Service.Version), Vectors: some(e.Vectors), Rules: some(rules(e)),
	}
}

// rules are where the lines stand that let an entry through.
func rules(e *report.Entry) (out []string) {
	for _, l := range e.Openings {
		out = append(out, l.Device+" "+l.Rule+" ("+l.Where+")")
	}
	return out
}

func violationOf(v *report.Violation) violation {
	o := violation{Kind: v.Kind, Severity: v.Severity, Vantage: short(v.Vantage), Text: short(v.Text)}
	if v.Addr.IsValid() {
		o.IP, o.Port = v.Addr.Addr().String(), v.Addr.Port()
	}
	if a := v.Approval; a != nil {
		o.Approval = &approval{short(a.Owner), short(a.Ticket), expires(a)}
	}
	return o
}

func changeOf(c *report.Change) change {
	o := change{
		Kind: c.Kind, Severity: c.Severity, IP: c.Addr.Addr().String(), Port: c.Addr.Port(), Vantage: short(c.Vantage), Upgraded: c.Upgraded, Worse: c.Worse, Reason: short(c.Reason),
		Before: sightOf(c.Before), After: sightOf(c.After), Differences: []difference{},
	}
	for _, d := range c.Differences[:min(len(c.Differences), maxList)] {
		o.Differences = append(o.Differences, difference{short(d.Field), short(d.Before), short(d.After)})
	}
	return o
}

func sightOf(s *report.Sight) *sight {
	if s == nil {
		return nil
	}
	o := &sight{ScanID: short(s.Scan), State: s.State.String(), Verdict: s.Judged.Verdict, Class: s.Judged.Class, FirstSeen: known(s.FirstSeen), LastSeen: known(s.LastSeen), LastChecked: known(s.LastChecked)}
	if s.Found != nil {
		o.Product, o.Version = short(s.Found.Service.Product), short(s.Found.Service.Version)
	}
	return o
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

func short(s string) string { return safe(s, maxText, report.Escape) }

// maxList bounds the lists of one finding or change.
const maxList = 20

func some(list []string) []string {
	out := []string{}
	for _, s := range list[:min(len(list), maxList)] {
		out = append(out, short(s))
	}
	return out
}

// token keeps of a scan's id what may stand in a header.
func token(s string) string {
	out := []byte(clip(s, 100))
	for i, c := range out {
		if c <= ' ' || c >= 0x7f {
			out[i] = '_'
		}
	}
	return string(out)
}
