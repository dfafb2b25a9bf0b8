package report

import (
	"io"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
)

// changesObject tells how many changes there are of each kind, and between which scans.
type changesObject struct {
	head
	FromScan string             `json:"from_scan"`
	ToScan   string             `json:"to_scan"`
	FromTime *timestamp         `json:"from_time"`
	ToTime   *timestamp         `json:"to_time"`
	Counts   map[ChangeKind]int `json:"counts"`
	Same     int                `json:"same"`
}

// endpointChange is an endpoint's change. The head of its own keeps the vantage that saw it.
type endpointChange struct {
	head
	Kind        ChangeKind         `json:"kind"`
	IP          string             `json:"ip"`
	Port        uint16             `json:"port"`
	Before      *sightObject       `json:"before"` // null: nothing was known
	After       *sightObject       `json:"after"`
	Differences []differenceObject `json:"differences"`
	Upgraded    bool               `json:"upgraded"`
	Worse       bool               `json:"worse"`
	Severity    Severity           `json:"severity"` // of what was found last
	Reason      string             `json:"reason"`
	Hint        string             `json:"hint"`
	FromScan    string             `json:"from_scan"`
}

type differenceObject struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// sightObject is what was known of an endpoint at a time.
type sightObject struct {
	State       discover.State `json:"state"`
	Protocol    string         `json:"protocol"`
	Names       []string       `json:"names"`
	Service     serviceObject  `json:"service"`
	TLS         tlsObject      `json:"tls"`
	Extensions  []string       `json:"extensions"`
	Verdict     probe.Verdict  `json:"verdict"`
	Class       probe.Class    `json:"class"`
	Reason      string         `json:"reason"`
	Vectors     []string       `json:"vectors"`
	Rules       []string       `json:"rules"`
	Source      string         `json:"source,omitempty"`
	ScanID      string         `json:"scan_id"` // that looked last
	Sure        bool           `json:"sure"`
	Silent      int            `json:"silent"`
	Why         string         `json:"why"`
	FirstSeen   *timestamp     `json:"first_seen"`
	LastSeen    *timestamp     `json:"last_seen"`
	LastChecked *timestamp     `json:"last_checked"`
}

func sightOf(s *Sight) *sightObject {
	if s == nil {
		return nil
	}
	o := &sightObject{
		State: s.State, Names: []string{}, Extensions: []string{}, Verdict: s.Judged.Verdict, Class: s.Judged.Class, Reason: valid(s.Judged.Reason), Vectors: all(s.Judged.Vectors), Rules: all(s.Rules),
		Source: valid(s.Source), ScanID: s.Scan, Sure: s.Sure, Silent: s.Silent, Why: valid(s.Why), FirstSeen: timeOf(s.FirstSeen), LastSeen: timeOf(s.LastSeen), LastChecked: timeOf(s.LastChecked),
	}
	if o.Class == "" {
		o.Class = probe.Undetermined
	}
	if f := s.Found; f != nil {
		o.Protocol, o.Names, o.Service, o.TLS, o.Extensions = valid(protocol(f)), all(f.Names), serviceOf(f), tlsOf(f.TLS), all(f.Extensions)
	}
	return o
}

func changeOfEndpoint(d *Change, c *Changes, h head) endpointChange {
	h.Vantage = d.Vantage
	o := endpointChange{
		head: h, Kind: d.Kind, IP: d.Addr.Addr().String(), Port: d.Addr.Port(), Before: sightOf(d.Before), After: sightOf(d.After), Differences: []differenceObject{},
		Upgraded: d.Upgraded, Worse: d.Worse, Severity: d.Severity, Reason: valid(d.Reason), Hint: valid(d.Hint), FromScan: c.From,
	}
	for _, x := range d.Differences {
		o.Differences = append(o.Differences, differenceObject{x.Field, valid(x.Before), valid(x.After)})
	}
	return o
}

// changes writes what became of the endpoints since the scan before.
func (j *jsonl) changes() {
	if j.r.Changes != nil {
		j.changeList(j.r.Changes)
	}
}

func (j *jsonl) changeList(c *Changes) {
	at := func(kind string) head {
		return head{kind, SchemaVersion, c.To, c.Vantage, timestamp(c.ToTime)}
	}
	o := changesObject{at("changes"), c.From, c.To, timeOf(c.FromTime), timeOf(c.ToTime), c.count(), c.Same}
	for _, k := range kindOrder {
		o.Counts[k] += 0 // the names of all kinds are there
	}
	j.line(o)
	for i := range c.List {
		j.line(changeOfEndpoint(&c.List[i], c, at("change")))
	}
}

// WriteChangesJSONL writes changes alone as JSON Lines: how many there are, then each.
func WriteChangesJSONL(w io.Writer, c *Changes) error {
	j := jsonl{w: w, r: &Report{}}
	j.changeList(c)
	return j.err
}

// times are when a finding's endpoint was seen: as the inventory has it, else in this scan.
func (e *Entry) times(now timestamp) (first, last, checked timestamp) {
	pick := func(t time.Time) timestamp {
		if t.IsZero() {
			return now
		}
		return timestamp(t)
	}
	return pick(e.FirstSeen), pick(e.LastSeen), pick(e.LastChecked)
}
