package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// WriteHTML writes one page that needs nothing else: it works offline, and without scripts. Its policy (CSP) lets no
// style and no script run but our own, by their hashes.
func WriteHTML(w io.Writer, r *Report) error {
	return pageTemplate.Execute(w, newWebPage(r))
}

// webPage is what the template shows. All its strings are escaped for a reader (raw, plain); the template escapes
// them for HTML.
type webPage struct {
	Policy   string
	CSS      template.CSS // our own, embedded
	JS       template.JS  // our own, embedded
	Title    string
	Answers  []webAnswer
	Groups   []webGroup
	Facts    []webFact
	Prefixes []webCoverage
	Ports    []webCoverage
	// PortsLeft is how many rows are left out: a page with all ports of some hosts would be too long to open.
	PortsLeft int
	Rules     *webRules
	Approvals *webApprovals
	Forgotten *webForgotten
	Changes   *webChanges
	Mail      []webFinding
	Other     []webOther
	Others    int // endpoints
	Classes   []string
	Open      []string
	Stray     []webDelivery
	Homes     []webDelivery
	Footer    string
}

type webAnswer struct {
	Headline string
	Mood     string // bad, unsure, good
	Limits   string
	Rows     []webFinding
	May      []webFinding
	Denied   []webFinding // what answered although the rules deny it
	Head     string       // of those
	Ruled    bool         // rules were read
}

type webFact struct{ Name, Value string }

type webGroup struct {
	Severity, Title string
	Open            bool
	Entries         []webFinding
	Server          []string
	Firewall        []string
	Test, Source    string
}

// maxPortRows is how many rows by prefix and port a page shows; of more, those with openings.
const maxPortRows = 5000

type webCoverage struct {
	Prefix, Port string
	Counts       []webCount
	Why          string
	Bar          []webBar
}

type webCount struct {
	Name, N string
	Zero    bool
}

// webBar is a part of a bar that is 1000 wide.
type webBar struct {
	Class, Title string
	X, W         int
}

type webFinding struct {
	ID, Severity, Endpoint, SortAddr, Class, Verdict, Opened, Product, Host, Title, Reason string
	SeverityRank, VerdictRank                                                              int
	Weak, Shows                                                                            []string
	Facts                                                                                  []webFact
	Attempts                                                                               []webAttempt
	Sessions                                                                               []string
	Summary                                                                                string
	Server, Firewall                                                                       []string
	Source                                                                                 string
	LetIn, RulesSay, Owner                                                                 string
	Lines                                                                                  []webLine
	Search                                                                                 string
}

type webAttempt struct {
	Form, HELO, From, To, TLS, Verdict, Reason string
	Opened                                     bool
}

type webOther struct{ Endpoint, SortAddr, Protocol, Said, Title string }

type webDelivery struct{ Time, Canary, Endpoint, Vector, Delay, Peer, From, To, Kind, Received string }

func newWebPage(r *Report) *webPage {
	p := &webPage{
		Policy: fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'", hash(pageCSS), hash(pageJS)),
		CSS:    template.CSS(pageCSS), JS: template.JS(pageJS),
		Title: "Relay report", Open: cleaned(r.Open), Facts: scanFacts(r),
	}
	if o := r.Scan.Organisation; o != "" {
		p.Title += ", " + plain(o)
	}
	p.Footer = plain(joinNonEmpty(", ", "relaysweep "+r.Scan.Version, "scan "+r.Scan.ID))
	ids := make(map[string]string)
	for i, e := range r.Entries {
		if e.mail() {
			f := webFindingOf(e, fmt.Sprintf("f%d", i+1), r.lang)
			ids[endpoint(e)+e.Finding.Vantage] = f.ID
			p.Mail = append(p.Mail, f)
			if !slices.Contains(p.Classes, f.Class) {
				p.Classes = append(p.Classes, f.Class)
			}
		}
	}
	others := r.listeners()
	for _, l := range others {
		p.Other = append(p.Other, webOther{Endpoint: l.endpoint, SortAddr: l.sortAddr, Protocol: l.protocol, Said: l.said, Title: l.title})
	}
	p.Others = countPorts(others)
	link := func(entries []*Entry) []webFinding {
		var out []webFinding
		for _, e := range entries {
			out = append(out, webFindingOf(e, ids[endpoint(e)+e.Finding.Vantage], r.lang))
		}
		return out
	}
	for _, a := range r.answers() {
		w := webAnswer{Headline: plain(a.Headline), Mood: mood(r, a), Limits: plain(strings.Join(a.Limits, "; ")), Rows: link(a.Exposed), May: link(a.MayRelay), Denied: link(a.Unexplained), Ruled: r.Rules != nil}
		w.Head = strings.TrimSuffix(unexplainedHead(len(w.Denied)), ":")
		p.Answers = append(p.Answers, w)
	}
	p.Rules = webRulesOf(r.Rules)
	p.Approvals = webApprovalsOf(r, ids)
	p.Forgotten = webForgottenOf(r, link)
	p.Changes = webChangesOf(r.Changes, r.lang, ids)
	groups := grouped(r.only((*Entry).urgent))
	for _, g := range groups {
		first := g[0]
		p.Groups = append(p.Groups, webGroup{
			Severity: first.Severity.String(), Title: plain(first.Title), Open: len(groups) <= 6, Entries: link(g), Server: cleaned(first.Fix.Server),
			Firewall: cleaned(firewallOf(g)), Test: "relaysweep probe " + strings.Join(endpoints(g), " "), Source: first.Fix.Source,
		})
	}
	for _, c := range byPrefix(r.Coverage) {
		p.Prefixes = append(p.Prefixes, webCoverageOf(c.Prefix, "", c.Tally))
	}
	for _, c := range r.Coverage {
		if len(r.Coverage) > maxPortRows && c.Open == 0 {
			p.PortsLeft++
			continue
		}
		p.Ports = append(p.Ports, webCoverageOf(c.Prefix.String(), fmt.Sprint(c.Port), tally([]discover.CoverageRow{c})))
	}
	for _, a := range r.Arrivals {
		d := webDeliveryOf(a.Delivery)
		d.Endpoint, d.Vector, d.Delay = a.Addr.String(), plain(a.Vector), duration(a.Delay)
		p.Homes = append(p.Homes, d)
	}
	for _, d := range r.Unmatched {
		p.Stray = append(p.Stray, webDeliveryOf(d))
	}
	return p
}

// hash names an inline style or script in the policy (CSP Level 3, 2.3.1).
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func cleaned(list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, plain(s))
	}
	return out
}

func mood(r *Report, a answer) string {
	switch {
	case len(a.Exposed)+len(a.Unexplained) > 0:
		return "bad"
	case len(a.Limits) > 0 || r.Totals.Mail == 0:
		return "unsure"
	}
	return "good"
}

func scanFacts(r *Report) []webFact {
	s := &r.Scan
	var out []webFact
	add := func(name, value string) {
		if value != "" {
			out = append(out, webFact{name, plain(value)})
		}
	}
	add("Scan", scanLine(s))
	add("Time", timeLine(s))
	add("Scope", joined(s.Scope, 200))
	add("Excluded", joined(s.Excluded, 200))
	if len(s.Ports) > 0 {
		add("Ports", strings.TrimPrefix(strings.TrimPrefix(ports(s.Ports), "ports "), "port "))
	}
	if len(r.Coverage) > 0 {
		add("Looked at", coverageLine(r.Totals.Coverage))
	}
	add("Method", methodLine(s))
	add("Resume", s.Resume)
	for _, n := range s.Notes {
		add("Note", n)
	}
	return out
}

func sortAddr(e *Entry) string {
	a := e.Finding.Addr.Addr().As16()
	return fmt.Sprintf("%x%04x", a[:], e.Finding.Addr.Port())
}

func webFindingOf(e *Entry, id string, l Lang) webFinding {
	f := &e.Finding
	w := webFinding{
		ID: id, Severity: e.Severity.String(), SeverityRank: int(e.Severity), Endpoint: endpoint(e), SortAddr: sortAddr(e), Class: string(e.Class),
		Verdict: e.Verdict.String(), VerdictRank: int(e.Verdict), Opened: openedBy(e.Vectors), Product: shorten(known(productName(e)), 60), Host: shorten(known(hostName(e)), 120),
		Title: plain(e.Title), Reason: plain(e.Reason), Weak: cleaned(e.Weak), Shows: meanings(e.Vectors), Facts: findingFacts(e, l), Server: cleaned(e.Fix.Server), Firewall: cleaned(e.Fix.Firewall), Source: e.Fix.Source, Owner: shorten(e.owner(), 120),
	}
	if e.Way != nil {
		w.LetIn, w.RulesSay, w.Lines = plain(e.letInBy()), plain(e.verdictOfRules()), webLines(e.Openings)
	}
	w.Search = strings.ToLower(strings.Join([]string{w.Endpoint, raw(strings.Join(f.Names, " ")), w.Product, w.Class, w.Verdict, w.Title, w.Reason, strings.Join(e.Vectors, " ")}, " "))
	if w.Owner != "" {
		w.Search += " " + strings.ToLower(w.Owner)
	}
	full, tries, err := e.evidence()
	if err != nil {
		w.Summary = plain("The evidence cannot be read: " + err.Error())
		return w
	}
	for i := range full.Attempts {
		a := &full.Attempts[i]
		v, tls := tries[i].verdict, ""
		if a.TLS {
			tls = "TLS"
		}
		w.Attempts = append(w.Attempts, webAttempt{Form: plain(a.Form), HELO: raw(a.HELO), From: raw(a.From), To: raw(a.To), TLS: tls, Verdict: v.String(), Reason: plain(tries[i].reason), Opened: v >= probe.Accepted})
	}
	for _, s := range full.Sessions {
		w.Sessions = append(w.Sessions, lines(s.Transcript))
	}
	w.Summary = "Evidence: " + plural(len(w.Attempts), "attempt") + ", " + plural(len(w.Sessions), "session")
	return w
}

// findingFacts is what else is known of a service.
func findingFacts(e *Entry, l Lang) []webFact {
	f := &e.Finding
	var out []webFact
	add := func(name, value string) {
		if value != "" {
			out = append(out, webFact{name, value})
		}
	}
	add("Opened by", strings.Join(e.Vectors, " "))
	add("Also", plain(also(e)))
	add("Greeting", raw(f.Greeting))
	add("EHLO", raw(strings.Join(f.EHLO, " | ")))
	add("TLS", tlsFact(f.TLS))
	add("Names", raw(strings.Join(f.Names, " ")))
	if s := &f.Service; s.Product != "" {
		add("Product", raw(joinNonEmpty(" ", vendor(s.Vendor, s.Product), s.Product, s.Version, s.OS))+fmt.Sprintf(" (confidence %d of 100)", s.Confidence))
		add("Told by", raw(s.Evidence))
		add("CPE", raw(s.CPE23))
		add("Support until", raw(s.EndOfLife))
	}
	add("Approval", e.approvalFact())
	add("Seen as", raw(e.seenAs()))
	add("Reached from", raw(f.Source))
	add("Before the greeting", raw(f.Behind))
	if home := firstHome(f); home != nil {
		add("Way home", strings.Join(rawAll(home.Home.Received), " ← "))
	}
	add("Relayed mail leaves from", strings.Join(rawAll(e.egress()), ", "))
	add("Seen from", plain(joinNonEmpty(", ", f.Vantage, f.LocalAddr)))
	add("Controls", plain(controls(f)))
	e.assetFacts(add)
	add("Note", plain(f.Note))
	add("Left out", plain(f.Cut))
	if t := seen(f); !t.IsZero() {
		add("Checked", t.UTC().Format("2006-01-02 15:04:05")+" UTC")
	}
	pastFacts(e, l, add)
	return out
}

// vendor is left out where it says no more than the product.
func vendor(vendor, product string) string {
	if strings.HasPrefix(strings.ToLower(product), strings.ToLower(vendor)) {
		return ""
	}
	return vendor
}

func tlsFact(t *probe.TLS) string {
	switch {
	case t == nil:
		return ""
	case t.Error != "":
		return plain(t.Mode + " failed: " + t.Error)
	}
	s := joinNonEmpty(", ", t.Mode+" "+t.Version, t.Cipher)
	if t.Subject != "" {
		s += ", certificate of " + raw(t.Subject) + " by " + raw(t.Issuer)
	}
	if !t.NotAfter.IsZero() {
		s += ", until " + t.NotAfter.UTC().Format(time.DateOnly)
	}
	return plain(s)
}

// controls are the questions that tell a relay from a sink and a catch-all.
func controls(f *probe.Finding) string {
	part := func(name, answer string) string {
		if answer == "" {
			return ""
		}
		return name + ": " + shorten(answer, 120)
	}
	return joinNonEmpty("; ", part("RCPT without MAIL", f.Nonsense.String()), part("a random name of its own domain", f.RandomLocal.String()), part("a domain that cannot exist", f.RandomForeign.String()), part("another name and sender", f.OtherIdentity.String()))
}

// barClasses are the style classes of a tally's states, in the order of countsOf.
var barClasses = []string{"b-open", "b-closed", "b-filtered", "b-prohibited", "b-unreachable", "b-not", "b-failed"}

func countsOf(t Tally) (names []string, counts []uint64) {
	return []string{"Open", "Closed", "Filtered", "Prohibited", "Unreachable", "Not attempted", "Failed"},
		[]uint64{t.Open, t.Closed, t.Filtered, t.Prohibited, t.Unreachable, t.NotAttempted, t.Failed}
}

func webCoverageOf(prefix, port string, t Tally) webCoverage {
	c := webCoverage{Prefix: prefix, Port: port, Counts: []webCount{{Name: "Targets", N: number(t.Targets)}}}
	names, counts := countsOf(t)
	x := 0
	for i, n := range counts {
		c.Counts = append(c.Counts, webCount{names[i], number(n), n == 0})
		if n == 0 || t.Targets == 0 {
			continue
		}
		w := min(max(6, int(n*1000/t.Targets)), 1000-x) // what is rare stays visible
		c.Bar = append(c.Bar, webBar{barClasses[i], names[i] + ": " + number(n), x, w})
		x += w
	}
	var why []string
	for _, name := range sortedKeys(t.Reasons) {
		why = append(why, name+" "+number(t.Reasons[name]))
	}
	c.Why = plain(strings.Join(why, ", "))
	return c
}

func webDeliveryOf(d probe.Delivery) webDelivery {
	kind := "delivery"
	if d.Bounce {
		kind = "bounce"
	}
	return webDelivery{
		Time: d.Time.UTC().Format("2006-01-02 15:04:05"), Canary: plain(d.Canary), Peer: plain(d.Peer), From: raw(d.From), To: raw(d.To), Kind: kind,
		Received: strings.Join(rawAll(d.Received), "\n"),
	}
}

func rawAll(list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, raw(s))
	}
	return out
}
