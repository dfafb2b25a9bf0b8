package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/probe/smtp"
)

// SchemaVersion is the version of the JSON Lines contract (DESIGN.md 6). Names are added, never changed.
const SchemaVersion = 1

// WriteJSONL writes one object a line: the scan, its findings by address and port, deliveries, coverage, the end.
func WriteJSONL(w io.Writer, r *Report) error {
	j := jsonl{w: w, r: r}
	j.line(j.scan())
	for _, e := range slices.SortedStableFunc(slices.Values(r.Entries), byEndpoint) {
		j.line(j.finding(e))
	}
	for _, a := range r.Arrivals {
		j.line(j.arrival(a))
	}
	for _, d := range r.Unmatched {
		j.line(j.stray(d))
	}
	for _, c := range r.Coverage {
		j.line(j.coverage(c))
	}
	j.rules()
	j.approvals()
	j.changes()
	j.line(j.end())
	return j.err
}

type jsonl struct {
	w   io.Writer
	r   *Report
	err error
}

// head is what every object begins with.
type head struct {
	Type          string    `json:"type"`
	SchemaVersion int       `json:"schema_version"`
	ScanID        string    `json:"scan_id"`
	Vantage       string    `json:"vantage"`
	Timestamp     timestamp `json:"timestamp"`
}

// head makes the head of an object; a time that is not known is the scan's.
func (j *jsonl) head(kind, vantage string, t time.Time) head {
	if t.IsZero() {
		t = j.r.Scan.time()
	}
	return head{kind, SchemaVersion, j.r.Scan.ID, vantage, timestamp(t)}
}

// timestamp is written in RFC 3339, UTC, to the millisecond.
type timestamp time.Time

func (t timestamp) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Time(t).UTC().Truncate(time.Millisecond))
}

func (j *jsonl) line(v any) {
	if j.err != nil {
		return
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if j.err = enc.Encode(v); j.err == nil {
		_, j.err = j.w.Write(armour(b.Bytes()))
	}
}

// armour writes what is not printable as \u escapes, so that a line can be shown on a terminal: C1 controls and marks
// that turn the direction of text are legal in JSON. They occur inside strings only.
func armour(b []byte) []byte {
	if !bytes.ContainsFunc(b, func(r rune) bool { return r >= utf8.RuneSelf || r == 0x7f }) {
		return b
	}
	var out bytes.Buffer
	for _, r := range string(b) {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out.WriteRune(r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.Bytes()
}

// valid writes bytes that are no UTF-8 as \xHH; encoding/json would lose them.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, `\x%02x`, s[0])
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// all applies valid to a list, and makes it a list where there is none.
func all(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = valid(s)
	}
	return out
}

// texts writes values as text, never null.
func texts[T fmt.Stringer](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = v.String()
	}
	return out
}

type rateObject struct {
	Total   float64 `json:"total"`
	PerNet  float64 `json:"per_net"`
	PerHost float64 `json:"per_host"`
}

type scanObject struct {
	head
	Scope        []string      `json:"scope"`
	Excluded     []string      `json:"excluded"`
	Ports        []uint16      `json:"ports"`
	Engine       string        `json:"engine"`
	Rate         rateObject    `json:"rate"`
	Seed         uint64        `json:"seed"`
	Version      string        `json:"version"`
	Organisation string        `json:"organisation"`
	Contact      string        `json:"contact"`
	Site         string        `json:"site,omitempty"` // of the network, where several use the same private addresses
	Zone         string        `json:"zone"`
	Inside       bool          `json:"inside"`
	StopAt       probe.Verdict `json:"stop_at"`
	CanaryDomain string        `json:"canary_domain"`
	Started      timestamp     `json:"started"`
	Ended        timestamp     `json:"ended"`
	LeftOpen     []string      `json:"left_open"`
	Notes        []string      `json:"notes"`
}

func (j *jsonl) scan() scanObject {
	s := &j.r.Scan
	return scanObject{
		head:  j.head("scan", s.Vantage, s.Started),
		Scope: texts(s.Scope), Excluded: texts(s.Excluded), Ports: append([]uint16{}, s.Ports...), Engine: s.Engine,
		Rate: rateObject{s.Rate.Total, s.Rate.PerNet, s.Rate.PerHost}, Seed: s.Seed, Version: s.Version,
		Organisation: s.Organisation, Contact: s.Contact, Site: valid(s.Site), Zone: s.Zone, Inside: s.Inside, StopAt: s.stopAt(), CanaryDomain: s.CanaryDomain,
		Started: timestamp(s.Started), Ended: timestamp(s.Ended), LeftOpen: all(j.r.Open), Notes: all(s.Notes),
	}
}

type serviceObject struct {
	Vendor     string `json:"vendor"`
	Product    string `json:"product"`
	Version    string `json:"version"`
	CPE23      string `json:"cpe23"`
	Evidence   string `json:"evidence"`
	Confidence int    `json:"confidence"`
	OS         string `json:"os"`
	Kind       string `json:"kind"`
	EndOfLife  string `json:"end_of_life"`
	Release    string `json:"release"` // the name that the version is known by, such as 2016 CU23
}

// tlsObject is empty where there was no TLS.
type tlsObject struct {
	Mode      string     `json:"mode,omitempty"`
	Version   string     `json:"version,omitempty"`
	Cipher    string     `json:"cipher,omitempty"`
	Legacy    *bool      `json:"legacy,omitempty"`
	Subject   string     `json:"subject,omitempty"`
	Issuer    string     `json:"issuer,omitempty"`
	Names     []string   `json:"names,omitempty"`
	NotBefore *timestamp `json:"not_before,omitempty"`
	NotAfter  *timestamp `json:"not_after,omitempty"`
	SHA256    string     `json:"sha256,omitempty"`
	Error     string     `json:"error,omitempty"`
}

type envelopeObject struct {
	From string `json:"from"` // without angle brackets
	To   string `json:"to"`   // all that followed RCPT TO:
}

type repliesObject struct {
	Mail string `json:"mail"`
	Rcpt string `json:"rcpt"`
	Data string `json:"data"`
	End  string `json:"end"`
}

type attemptObject struct {
	Vector     string         `json:"vector"`
	Form       string         `json:"form"`
	HELO       string         `json:"helo"`
	Envelope   envelopeObject `json:"envelope"`
	TLS        bool           `json:"tls"`
	Replies    repliesObject  `json:"replies"`
	Verdict    probe.Verdict  `json:"verdict"`
	Reason     string         `json:"reason"`
	Transcript string         `json:"transcript"`
	Canary     string         `json:"canary"`
	Session    int            `json:"session"` // which of sessions it was part of, from 1; 0: none
	Sent       *timestamp     `json:"sent"`
	// What came before MAIL, where something did: AUTH, XCLIENT, a header before the greeting.
	Before     []exchangeObject `json:"before,omitempty"`
	MailParams string           `json:"mail_params,omitempty"`
	Source     string           `json:"source,omitempty"` // where it came from, if not from the vantage's own address
	Delivery   *homeObject      `json:"delivery,omitempty"`
	Bounced    bool             `json:"bounced,omitempty"` // a bounce of its canary came home
}

// homeObject is how an attempt's canary came home.
type homeObject struct {
	Timestamp timestamp `json:"timestamp"`
	DelayMS   int64     `json:"delay_ms"`
	Peer      string    `json:"peer"` // the egress: the address that brought it
	HELO      string    `json:"helo"`
	Received  []string  `json:"received"`
}

type exchangeObject struct {
	Command string `json:"command"`
	Reply   string `json:"reply"`
}

type controlsObject struct {
	Nonsense      string `json:"nonsense"`
	RandomLocal   string `json:"random_local"`
	RandomForeign string `json:"random_foreign"`
	OtherIdentity string `json:"other_identity"`
}

type fixObject struct {
	Server   []string `json:"server"`
	Firewall []string `json:"firewall"`
	Source   string   `json:"source"`
}

type findingObject struct {
	head
	IP          string          `json:"ip"`
	Port        uint16          `json:"port"`
	Names       []string        `json:"names"`
	State       discover.State  `json:"state"`
	Protocol    string          `json:"protocol"`
	TLS         tlsObject       `json:"tls"`
	Greeting    string          `json:"greeting"`
	EHLO        []string        `json:"ehlo"`
	Service     serviceObject   `json:"service"`
	Verdict     probe.Verdict   `json:"verdict"`
	Class       probe.Class     `json:"class"`
	Reason      string          `json:"reason"`
	Vectors     []string        `json:"vectors"`
	Attempts    []attemptObject `json:"attempts"`
	SeenAs      string          `json:"seen_as"`
	Severity    Severity        `json:"severity"`
	Title       string          `json:"title"`
	Weaknesses  []string        `json:"weaknesses"`
	Openings    []openingObject `json:"openings"`             // the firewall lines on its way
	Rules       string          `json:"rules"`                // what they say of it: permitted, possibly permitted, denied; empty: none were read
	Unmodelled  []string        `json:"unmodelled,omitempty"` // words of the rules that leave it open
	Edits       []editObject    `json:"edits,omitempty"`      // of the rules, that would close it
	Approval    *approvalFacts  `json:"approval"`             // null: none covers it, or none were read
	Approved    ApprovalState   `json:"approval_state,omitempty"`
	Fix         fixObject       `json:"fix"`
	FirstSeen   timestamp       `json:"first_seen"`
	LastSeen    timestamp       `json:"last_seen"`
	LastChecked timestamp       `json:"last_checked"`
	Note        string          `json:"note"`
	Crowd       string          `json:"crowd,omitempty"` // further ports of the host of which the same is true, such as "1-24,26-65535"
	Cut         string          `json:"cut"`             // why attempts are missing
	LocalAddr   string          `json:"local_addr"`
	Controls    controlsObject  `json:"controls"`
	Connections int             `json:"connections"`
	Commands    int             `json:"commands"`
	Sessions    []string        `json:"sessions"`            // verbatim; a fake server plays each (.dialog)
	Suspected   string          `json:"suspected,omitempty"` // a class that it may have as well: only a delivery can tell
	Egress      []string        `json:"egress"`              // the addresses that relayed canaries came from
	Source      string          `json:"source,omitempty"`    // the source that it was reached from, if not the vantage's own
	Behind      string          `json:"behind,omitempty"`    // what must come before the greeting: a PROXY header
	Extensions  []string        `json:"extensions"`
	Help        []string        `json:"help,omitempty"`
	EndsData    []string        `json:"ends_data,omitempty"` // false ends of data that it takes (vector I11)
	Injected    bool            `json:"injected,omitempty"`  // it obeyed a command in clear behind STARTTLS (vector I12)
	namingFields
}

func (j *jsonl) finding(e *Entry) findingObject {
	f := &e.Finding
	h := j.head("finding", f.Vantage, seen(f))
	o := findingObject{
		head: h,
		IP:   f.Addr.Addr().String(), Port: f.Addr.Port(), Names: all(f.Names), State: discover.Open, Protocol: protocol(f),
		TLS: tlsOf(f.TLS), Greeting: valid(f.Greeting), EHLO: all(f.EHLO), Service: serviceOf(f),
		Verdict: e.Verdict, Class: e.Class, Reason: valid(e.Reason), Vectors: all(e.Vectors), Attempts: []attemptObject{},
		SeenAs: valid(e.seenAs()), Severity: e.Severity, Title: valid(e.Title), Weaknesses: all(e.Weak),
		Openings: openingsOf(e.Openings), Fix: fixObject{all(e.Fix.Server), all(e.Fix.Firewall), e.Fix.Source},
		Note: valid(f.Note), Crowd: strings.Join(portRuns(f.Crowd), ","), Cut: valid(f.Cut), LocalAddr: f.LocalAddr,
		Controls:    controlsObject{reply(f.Nonsense), reply(f.RandomLocal), reply(f.RandomForeign), reply(f.OtherIdentity)},
		Connections: f.Connections, Commands: f.Commands, Sessions: []string{},
		Suspected: string(e.suspected()), Egress: e.egress(), Source: valid(f.Source), Behind: valid(f.Behind), Extensions: all(f.Extensions), EndsData: all(f.EndsData), Injected: f.Injected,
	}
	o.namingFields = namingOf(e)
	o.FirstSeen, o.LastSeen, o.LastChecked = e.times(h.Timestamp)
	if e.Way != nil {
		o.Rules, o.Unmodelled, o.Edits = e.Way.Verdict.String(), all(e.Way.Words), editsOf(e.Edits)
	}
	o.Approval, o.Approved = approvalOf(e.Approval), e.ApprovalState
	full, tries, err := e.evidence()
	if err != nil && j.err == nil {
		j.err = err
	}
	if err != nil {
		return o
	}
	o.Help = all(full.Help)
	for i := range full.Attempts {
		o.Attempts = append(o.Attempts, attemptOf(&full.Attempts[i], tries[i]))
	}
	for _, s := range full.Sessions {
		o.Sessions = append(o.Sessions, valid(s.Transcript))
	}
	return o
}

// seen is when a finding was made.
func seen(f *probe.Finding) time.Time {
	if f.Ended.IsZero() {
		return f.Started
	}
	return f.Ended
}

func protocol(f *probe.Finding) string {
	if f.Protocol == "" {
		return "unknown"
	}
	return f.Protocol
}

func reply(r smtp.Reply) string { return valid(r.String()) }

func serviceOf(f *probe.Finding) serviceObject {
	s := &f.Service
	return serviceObject{
		Vendor: valid(s.Vendor), Product: valid(s.Product), Version: valid(s.Version), CPE23: valid(s.CPE23), Evidence: valid(s.Evidence), Confidence: s.Confidence,
		OS: valid(s.OS), Kind: s.Kind, EndOfLife: s.EndOfLife, Release: s.Release,
	}
}

func tlsOf(t *probe.TLS) tlsObject {
	if t == nil {
		return tlsObject{}
	}
	o := tlsObject{Mode: t.Mode, Version: t.Version, Cipher: t.Cipher, Subject: valid(t.Subject), Issuer: valid(t.Issuer), Names: all(t.Names), SHA256: t.SHA256, Error: valid(t.Error)}
	if t.Version != "" {
		o.Legacy = &t.Legacy
	}
	if !t.NotAfter.IsZero() {
		before, after := timestamp(t.NotBefore), timestamp(t.NotAfter)
		o.NotBefore, o.NotAfter = &before, &after
	}
	return o
}

func attemptOf(a *probe.Attempt, t try) attemptObject {
	o := attemptObject{
		Vector: a.Vector, Form: a.Form, HELO: valid(a.HELO), Envelope: envelopeObject{valid(a.From), valid(a.To)}, TLS: a.TLS,
		Replies: repliesObject{reply(a.Mail), reply(a.Rcpt), reply(a.Data), reply(a.End)},
		Verdict: t.verdict, Reason: valid(t.reason), Transcript: a.Transcript(), Canary: a.Canary, Session: a.Session,
	}
	if h := a.Home; h != nil {
		o.Delivery = &homeObject{timestamp(h.Time), h.Time.Sub(a.Sent).Milliseconds(), valid(h.Peer), valid(h.HELO), all(h.Received)}
	}
	o.Bounced = a.Bounced
	o.MailParams, o.Source = valid(a.Params), valid(a.Source)
	for _, x := range a.Before {
		o.Before = append(o.Before, exchangeObject{valid(x.Line), reply(x.Reply)})
	}
	if !a.Sent.IsZero() {
		sent := timestamp(a.Sent)
		o.Sent = &sent
	}
	return o
}

type deliveryObject struct {
	head
	Canary   string   `json:"canary"`
	IP       string   `json:"ip"`
	Port     uint16   `json:"port"`
	Vector   string   `json:"vector"`
	From     string   `json:"from"`
	Received []string `json:"received"`
	DelayMS  *int64   `json:"delay_ms"` // null where the attempt is not known
	To       string   `json:"to"`
	Peer     string   `json:"peer"`
	HELO     string   `json:"helo"`
	Bounce   bool     `json:"bounce"`
	Matched  bool     `json:"matched"` // an attempt of this scan sent it
}

func (j *jsonl) arrival(a Arrival) deliveryObject {
	o := j.stray(a.Delivery)
	ms := a.Delay.Milliseconds()
	o.IP, o.Port, o.Vector, o.DelayMS, o.Matched = a.Addr.Addr().String(), a.Addr.Port(), a.Vector, &ms, true
	return o
}

// stray is a delivery of which no attempt is known.
func (j *jsonl) stray(d probe.Delivery) deliveryObject {
	return deliveryObject{
		head:   j.head("delivery", j.r.Scan.Vantage, d.Time),
		Canary: d.Canary, From: valid(d.From), Received: all(d.Received), To: valid(d.To), Peer: valid(d.Peer), HELO: valid(d.HELO), Bounce: d.Bounce,
	}
}

type coverageObject struct {
	head
	Prefix       string            `json:"prefix"`
	Port         uint16            `json:"port"`
	Open         uint64            `json:"open"`
	Closed       uint64            `json:"closed"`
	Filtered     uint64            `json:"filtered"`
	Prohibited   uint64            `json:"prohibited"`
	Unreachable  uint64            `json:"unreachable"`
	NotAttempted uint64            `json:"not_attempted"`
	Failed       uint64            `json:"failed"`
	Reasons      map[string]uint64 `json:"reasons"`
}

func (j *jsonl) coverage(c discover.CoverageRow) coverageObject {
	o := coverageObject{
		head:   j.head("coverage", j.r.Scan.Vantage, j.r.Scan.Ended),
		Prefix: c.Prefix.String(), Port: c.Port, Open: c.Open, Closed: c.Closed, Filtered: c.Filtered, Prohibited: c.Prohibited,
		Unreachable: c.Unreachable, NotAttempted: c.NotAttempted, Failed: c.Failed, Reasons: c.Reasons,
	}
	if o.Reasons == nil {
		o.Reasons = map[string]uint64{}
	}
	return o
}

type endObject struct {
	head
	Exit           int     `json:"exit"`
	Complete       bool    `json:"complete"`
	Targets        uint64  `json:"targets"`
	Sent           uint64  `json:"sent"`
	Openings       uint64  `json:"openings"`
	Findings       int     `json:"findings"`
	ExpectedMissed float64 `json:"expected_missed"` // openings that lost every packet, as the loss that was seen lets expect
	DurationMS     int64   `json:"duration_ms"`
	Interrupted    bool    `json:"interrupted"`
	Resume         string  `json:"resume"`
}

func (j *jsonl) end() endObject {
	s := &j.r.Scan
	o := endObject{
		head: j.head("end", s.Vantage, s.Ended), Exit: s.Exit, Complete: s.Complete, Targets: s.Targets, Sent: s.Sent, ExpectedMissed: math.Round(s.ExpectedMissed*100) / 100,
		Openings: max(j.r.Totals.Coverage.Open, uint64(len(j.r.Entries))), Findings: len(j.r.Entries), Interrupted: s.Interrupted, Resume: s.Resume,
	}
	if !s.Started.IsZero() && !s.Ended.IsZero() {
		o.DurationMS = s.Ended.Sub(s.Started).Milliseconds()
	}
	return o
}
