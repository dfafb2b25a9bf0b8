// Package report turns what a scan found into what a person must know.
//
// New joins findings, coverage and deliveries into a Report; it is pure, so that a stored scan gives the same report
// again. The renderers only show it. Each answers in the same order: the openings that expose relays, worst first;
// what was in scope, what was looked at, what was not and why; every finding; what the scan leaves open.
//
//	findings ──┐
//	coverage ──┤
//	deliveries ┼─► New ─► Report ─► WriteTable · WriteJSONL · WriteCSV · WriteHTML · WriteNmapXML
//	rules ─────┘
//
// Greetings, names and replies come from strangers. Every renderer shows their control bytes escaped.
package report

import (
	"cmp"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"relaysweep/discover"
	"relaysweep/discover/firewall"
	"relaysweep/probe"
)

// Rate is the pace of a scan: connections a second in all, to each network, to each host. 0: no cap.
type Rate struct{ Total, PerNet, PerHost float64 }

// Scan is what was asked for, and how it went.
type Scan struct {
	ID           string
	Version      string // of relaysweep
	Organisation string
	Contact      string
	Site         string // of the network, where several use the same private addresses; empty: there is one
	Vantage      string
	Zone         string // of the firewall that the vantage lies in
	Engine       string // connect, syn
	// ExpectedMissed estimates the openings that lost every packet.
	ExpectedMissed float64
	Inside         bool // the vantage lies inside: what relays for it may do so by design, and ranks one step lower
	Scope          []netip.Prefix
	Excluded       []netip.Prefix
	Ports          []uint16
	Rate           Rate
	Seed           uint64
	StopAt         probe.Verdict // probe.Ready if probe.Unknown, as the Prober has it
	CanaryDomain   string        // empty: none is configured
	Domains        []string      // mail domains of the organisation: a name in one of them is its own
	Started        time.Time
	Ended          time.Time
	Complete       bool
	Exit           int
	Targets        uint64
	Sent           uint64
	Interrupted    bool
	Resume         string // the command that goes on with it
	Notes          []string
}

func (s *Scan) stopAt() probe.Verdict {
	if s.StopAt == probe.Unknown {
		return probe.Ready
	}
	return s.StopAt
}

// time is when the scan was, as well as it is known.
func (s *Scan) time() time.Time {
	if s.Ended.IsZero() {
		return s.Started
	}
	return s.Ended
}

// Time is when the scan was, as well as it is known: its end, or its beginning.
func (s *Scan) Time() time.Time { return s.time() }

// Input is all that a report is made of.
type Input struct {
	Scan       Scan
	Findings   []probe.Finding
	Coverage   []discover.CoverageRow
	Deliveries []probe.Delivery
	Rules      *Rules // nil: none were read
	// Judged are of Findings, in their order, where they are known already; nil: they are computed. Whole then returns
	// the i-th finding with all its attempts.
	Judged []Judgement
	Whole  func(i int) (probe.Finding, error)
	// Past is what an inventory knows of the endpoints of Findings, this scan included; nil: there is no inventory.
	Past      map[netip.AddrPort]Sight
	Changes   *Changes // since the scan before; nil: there is none
	Approvals []Approval
	Assets    []Asset
	// Mentions are what DNS says of addresses; nil: it was not asked. An address without any was asked about in full, and
	// is named nowhere; of one that is missing not all answers came.
	Mentions map[netip.Addr][]Mention
}

// Report is a scan, judged. Its fields are not changed by the renderers.
type Report struct {
	Scan      Scan
	Entries   []*Entry // worst first, then by address and port
	Coverage  []discover.CoverageRow
	Arrivals  []Arrival        // deliveries that an attempt of this scan sent, in order of arrival
	Unmatched []probe.Delivery // deliveries that no attempt of this scan sent, in order of arrival
	Rules     *Reconciliation  // nil: no rules were read
	Changes   *Changes         // since the scan before; nil: there is none
	Totals    Totals
	Open      []string // what the scan leaves open, in sentences
	Naming    *Naming  // nil: nobody was asked who names the servers
	// Approvals are beside what was seen; nil: none were read. Violations are the findings about them, worst first.
	Approvals  []ApprovalUse
	Violations []Violation

	lang Lang // of what people read
}

// Entry is one finding with what it means.
type Entry struct {
	Finding  probe.Finding // with deliveries joined
	Verdict  probe.Verdict
	Class    probe.Class
	Reason   string
	Vectors  []string // ids that opened it
	Severity Severity
	Title    string
	Weak     []string // faults beside relaying: old TLS, passwords in clear text, a version out of support
	Bounces  []probe.Delivery
	Fix      Fix
	Way      *firewall.Way  // what the rules say of the connection; nil: none were read for its vantage
	Openings []Line         // the lines that let it through, or that deny it
	Edits    []EditProposal // what would close it, by the rules
	Asset    *Asset         // what the address plan says, by the longest prefix; nil: nothing
	Mentions []Mention      // who names the server
	// Forgotten: it is a mail listener, and nobody who was asked names it.
	Forgotten bool
	// ApprovalState is empty where none were read, or none is wanted. Approval is the most specific one that covers it.
	ApprovalState ApprovalState
	Approval      *ApprovalUse

	// What an inventory knows of the endpoint; zero: there is none.
	FirstSeen, LastSeen, LastChecked time.Time
	Change                           *Change // since the scan before; nil: none

	site          string // of the scan
	approvedRelay bool   // it relays, and that is approved for this vantage
	judged        Judgement
	tries         []try // of the finding's attempts: judging one takes a while, so it is done once
	whole         func() (probe.Finding, error)
}

// try is what an attempt proved.
type try struct {
	verdict probe.Verdict
	reason  string
}

// New judges a scan. It changes nothing of what it is given.
func New(in Input) *Report {
	r := &Report{Scan: in.Scan, Coverage: slices.Clone(in.Coverage)}
	findings := make([]probe.Finding, len(in.Findings))
	for i, f := range in.Findings {
		f.Attempts = slices.Clone(f.Attempts)
		if f.Vantage == "" {
			f.Vantage = in.Scan.Vantage
		}
		findings[i] = f
	}
	var bounces map[int][]probe.Delivery
	r.Arrivals, r.Unmatched, bounces = join(findings, in.Deliveries)
	r.Entries = make([]*Entry, len(findings))
	inParallel(len(findings), func(i int) {
		e := &Entry{Finding: findings[i], Bounces: bounces[i], site: in.Scan.Site}
		if i < len(in.Judged) && in.Judged[i].Class != "" {
			e.judged = in.Judged[i]
			e.whole = func() (probe.Finding, error) { return in.Whole(i) }
		} else {
			e.judged, e.tries = judge(&e.Finding)
		}
		r.judge(e)
		r.Entries[i] = e
	})
	r.approve(in.Approvals)
	r.explain(in.Rules)
	r.name(&in)
	slices.SortStableFunc(r.Entries, func(a, b *Entry) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), -compareBool(a.unexplained(), b.unexplained()), cmp.Compare(b.Verdict, a.Verdict), byEndpoint(a, b))
	})
	r.since(in.Past, in.Changes)
	r.Totals = r.count()
	r.Open = r.leftOpen()
	return r
}

// inParallel calls f for 0 to n-1, as many at once as there are processors: reading replies takes milliseconds a finding.
func inParallel(n int, f func(int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func byEndpoint(a, b *Entry) int {
	return cmp.Or(a.Finding.Addr.Compare(b.Finding.Addr), cmp.Compare(a.Finding.Vantage, b.Finding.Vantage))
}

func (r *Report) judge(e *Entry) {
	f := &e.Finding
	e.Verdict, e.Class, e.Reason, e.Vectors = e.judged.Verdict, e.judged.Class, e.judged.Reason, e.judged.Vectors
	if !e.spoken() {
		e.Class = probe.Undetermined // nothing was asked, so nothing was learnt
	}
	if e.Class == probe.Sink && e.Verdict == probe.Queued && !f.Nonsense.Positive() && f.Service.Kind != "sink" && r.proofless() {
		e.Class = probe.Undetermined // the sink may be out of reach, and this a relay
		e.Reason += "; no canary came home from anywhere, so that proves nothing"
	}
	if home := firstHome(f); home != nil {
		e.Reason = provenBy(home)
	}
	if f.SMTP() {
		e.Weak = append(weaknesses(f, r.Scan.time()), r.looksInside(e)...)
	}
	inside := r.inside(f)
	e.Severity = rank(e, inside)
	e.Title = title(e, inside)
	e.Fix = fixFor(e, &r.Scan, inside)
}

// proofless reports whether canaries were sent for delivery, and none came home from any server.
func (r *Report) proofless() bool {
	return r.Scan.stopAt() == probe.Delivered && len(r.Arrivals) == 0
}

// inside reports whether a finding was seen from a vantage that servers may trust by design.
func (r *Report) inside(f *probe.Finding) bool { return r.Scan.Inside && f.Vantage == r.Scan.Vantage }

// spoken reports whether the opening was looked at beyond its handshake.
func (e *Entry) spoken() bool {
	f := &e.Finding
	return f.Connections > 0 || len(f.Sessions) > 0 || len(e.judged.Tried) > 0 || f.Greeting != "" || f.Protocol != "unknown" && f.Protocol != ""
}

// Exposed lists the relays, worst first.
func (r *Report) Exposed() []*Entry { return r.only((*Entry).exposed) }

// MayRelay lists what took a foreign address, or a form of one, and cannot be told from a relay.
func (r *Report) MayRelay() []*Entry { return r.only((*Entry).mayRelay) }

func (r *Report) only(keep func(*Entry) bool) []*Entry {
	var out []*Entry
	for _, e := range r.Entries {
		if keep(e) {
			out = append(out, e)
		}
	}
	return out
}

func (e *Entry) exposed() bool { return e.Class == probe.Relay && e.Verdict >= probe.Accepted }

func (e *Entry) mayRelay() bool {
	return (e.Class == probe.CatchAll || e.Class == probe.Undetermined) && e.Verdict >= probe.Accepted || e.Class == probe.Sink && e.Verdict == probe.Queued
}

// suspected is a class that a relay may have as well.
func (e *Entry) suspected() probe.Class {
	if e.Class != probe.Relay {
		return ""
	}
	return e.judged.Suspected
}

// tested reports whether it was asked to relay.
func (e *Entry) tested() bool { return len(e.judged.Tried) > 0 }

// evidence is the finding with all its attempts, and what they proved.
func (e *Entry) evidence() (*probe.Finding, []try, error) {
	if e.whole == nil {
		return &e.Finding, e.tries, nil
	}
	f, err := e.whole()
	if err != nil {
		return nil, nil, err
	}
	if f.Vantage == "" {
		f.Vantage = e.Finding.Vantage
	}
	_, tries := judge(&f)
	return &f, tries, nil
}

// egress lists the addresses that brought canaries home: from there the relayed mail enters the internet.
func (e *Entry) egress() []string {
	out := []string{}
	for i := range e.Finding.Attempts {
		if h := e.Finding.Attempts[i].Home; h != nil && h.Peer != "" && !slices.Contains(out, host(h.Peer)) {
			out = append(out, host(h.Peer))
		}
	}
	return out
}

// mail reports whether the entry belongs among the mail services.
func (e *Entry) mail() bool { return e.Finding.SMTP() }

// WorstAtLeast reports whether a finding reaches a severity, one about approvals included.
func (r *Report) WorstAtLeast(s Severity) bool {
	return slices.ContainsFunc(r.Entries, func(e *Entry) bool { return e.Severity >= s }) ||
		slices.ContainsFunc(r.Violations, func(v Violation) bool { return v.Severity >= s })
}

// vantages lists the vantages of the findings, the scan's own first.
func (r *Report) vantages() []string {
	out := []string{r.Scan.Vantage}
	for _, e := range r.Entries {
		if v := e.Finding.Vantage; !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}
