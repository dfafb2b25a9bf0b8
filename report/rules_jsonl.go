package report

import (
	"encoding/json"
	"io"
	"time"

	"relaysweep/discover/firewall"
)

// openingObject is a firewall line.
type openingObject struct {
	Device  string            `json:"device"`
	Rule    string            `json:"rule"`  // the device's own name of it, or policy
	Where   string            `json:"where"` // file:line
	NAT     string            `json:"nat"`   // what it translates, such as "dnat 198.51.100.25:25 to 10.20.0.25:25"
	Step    string            `json:"step"`
	Action  string            `json:"action"`
	Text    string            `json:"text"`
	Comment string            `json:"comment"`
	Owner   string            `json:"owner"`
	Ticket  string            `json:"ticket"`
	Created *lineChangeObject `json:"created,omitempty"`
	Changed *lineChangeObject `json:"changed,omitempty"`
	Counter *counterObject    `json:"counter"` // null: the export has none
	Sure    bool              `json:"sure"`
	Packet  string            `json:"packet,omitempty"` // which one it is about, where not the first
}

type lineChangeObject struct {
	By   string     `json:"by"`
	Time *timestamp `json:"time"`
}

type counterObject struct {
	Packets uint64     `json:"packets"`
	Bytes   uint64     `json:"bytes"`
	First   *timestamp `json:"first,omitempty"`
	Last    *timestamp `json:"last,omitempty"`
	Since   *timestamp `json:"since"` // null: not known, and then a zero says nothing
	Read    *timestamp `json:"read"`
}

func openingsOf(lines []Line) []openingObject {
	out := []openingObject{}
	for i := range lines {
		out = append(out, openingOf(&lines[i]))
	}
	return out
}

func openingOf(l *Line) openingObject {
	o := openingObject{
		Device: valid(l.Device), Rule: valid(l.Rule), Where: valid(l.Where), NAT: valid(l.nat()), Step: valid(l.Step), Action: l.Action, Text: valid(l.Text),
		Comment: valid(l.Comment), Owner: valid(l.Owner), Ticket: valid(l.Ticket), Created: changeOf(l.Created), Changed: changeOf(l.Changed), Sure: l.Sure, Packet: l.Packet,
	}
	if c := l.Counter; c != nil {
		o.Counter = &counterObject{c.Packets, c.Bytes, timeOf(c.First), timeOf(c.Last), timeOf(c.Since), timeOf(l.Read)}
	}
	return o
}

func changeOf(c firewall.Change) *lineChangeObject {
	if c == (firewall.Change{}) {
		return nil
	}
	return &lineChangeObject{valid(c.By), timeOf(c.Time)}
}

func timeOf(t time.Time) *timestamp {
	if t.IsZero() {
		return nil
	}
	s := timestamp(t)
	return &s
}

type rulesetObject struct {
	head
	Device        string       `json:"device"`
	Language      string       `json:"language"`
	Files         []fileObject `json:"files"`
	Exported      *timestamp   `json:"exported"`
	Rules         int          `json:"rules"`
	NotUnderstood []noteObject `json:"not_understood"`
}

type fileObject struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

type noteObject struct {
	Where string `json:"where"`
	Text  string `json:"text"`
}

type reconciliationObject struct {
	head
	Explained   int    `json:"explained"`
	Possibly    int    `json:"possibly"`
	Unexplained int    `json:"unexplained"`
	Unread      int    `json:"unread"`
	Intended    int    `json:"intended"`
	Answered    int    `json:"answered"`
	Stale       int    `json:"stale"`
	NotKnown    int    `json:"not_known"`
	Left        uint64 `json:"left"`
}

type ruleObject struct {
	head
	openingObject
	States map[string]int `json:"states"`
	Opens  []useObject    `json:"opens"`
}

type useObject struct {
	IP    string `json:"ip"`
	Port  uint16 `json:"port"`
	State string `json:"state"`
}

type shadowObject struct {
	openingObject
	By   []openingObject `json:"by"`
	More int             `json:"more"` // further ones
	Same bool            `json:"same"` // the lines before do the same
}

func shadowOf(s *ShadowedRule) shadowObject {
	return shadowObject{openingOf(&s.Line), openingsOf(s.By), s.More, s.Same}
}

// WriteShadowedJSON writes lines without effect as JSON Lines.
func WriteShadowedJSON(w io.Writer, list []ShadowedRule) error {
	for i := range list {
		b, err := json.Marshal(struct {
			Type          string `json:"type"`
			SchemaVersion int    `json:"schema_version"`
			shadowObject
		}{"shadowed_rule", SchemaVersion, shadowOf(&list[i])})
		if err != nil {
			return err
		}
		if _, err := w.Write(append(armour(b), '\n')); err != nil {
			return err
		}
	}
	return nil
}

// rules writes what the firewalls' exports say beside the scan.
func (j *jsonl) rules() {
	rec := j.r.Rules
	if rec == nil {
		return
	}
	at := func(kind string) head { return j.head(kind, j.r.Scan.Vantage, j.r.Scan.Ended) }
	for _, d := range rec.Devices {
		o := rulesetObject{head: at("ruleset"), Device: valid(d.Device), Language: d.Language, Files: []fileObject{}, Exported: timeOf(d.Exported), Rules: d.Rules, NotUnderstood: []noteObject{}}
		for _, f := range d.Files {
			o.Files = append(o.Files, fileObject{valid(f.Name), f.SHA256})
		}
		for _, n := range d.Notes {
			o.NotUnderstood = append(o.NotUnderstood, noteObject{valid(placeText(n.Where)), valid(n.Text)})
		}
		j.line(o)
	}
	j.line(reconciliationObject{at("reconciliation"), rec.Explained, rec.Possibly, rec.Unexplained, rec.Unread, rec.Intended, rec.Answered, rec.Stale, rec.NotKnown, rec.Left})
	for i := range rec.Openings {
		u := &rec.Openings[i]
		o := ruleObject{head: at("rule"), openingObject: openingOf(&u.Line), States: u.States, Opens: []useObject{}}
		for _, x := range u.Opens {
			o.Opens = append(o.Opens, useObject{x.Addr.Addr().String(), x.Addr.Port(), x.State})
		}
		j.line(o)
	}
	for i := range rec.Shadowed {
		s := &rec.Shadowed[i]
		j.line(struct {
			head
			shadowObject
		}{at("shadowed_rule"), shadowOf(s)})
	}
}
