package report

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"relaysweep/probe"
	"relaysweep/probe/smtp"
)

// Fix is what closes a finding.
type Fix struct {
	Server   []string // steps on the server, with the names of the product's settings
	Firewall []string // steps at the opening
	Source   string   // the documents that the steps were taken from
}

// Lang is a language that a Fix can be written in.
type Lang int8

// The languages. Settings, commands and addresses stay as they are in all of them.
const (
	English Lang = iota
	Japanese
)

var langNames = [...]string{"en", "ja"}

func (l Lang) String() string { return langNames[l] }

// ParseLang reads the name of a language: en or ja.
func ParseLang(text string) (Lang, error) {
	if i := slices.Index(langNames[:], strings.ToLower(text)); i >= 0 {
		return Lang(i), nil
	}
	return English, fmt.Errorf("unknown language %q: it is one of %s", text, strings.Join(langNames[:], ", "))
}

// In is the report with its fixes, and the sections that are written in it, in a language. Everything else is shared with r.
func (r *Report) In(l Lang) *Report {
	if l == English {
		return r
	}
	c := *r
	c.lang = l
	c.Entries = make([]*Entry, len(r.Entries))
	for i, e := range r.Entries {
		translated := *e
		translated.Fix = r.FixFor(e, l)
		c.Entries[i] = &translated
	}
	c.Violations = slices.Clone(r.Violations)
	for i := range c.Violations {
		c.Violations[i].Text = c.Violations[i].says.in(l)
	}
	return &c
}

// FixFor is what closes an entry of the report, in a language. The entry's own Fix is the English one.
func (r *Report) FixFor(e *Entry, l Lang) Fix { return fixIn(l, e, &r.Scan, r.inside(&e.Finding)) }

// text says one thing in each language. Where arguments are put in, both name them by number.
type text struct{ en, ja string }

// same is a text of names alone, which no language changes.
func same(s string) text { return text{s, s} }

func (t text) in(l Lang) string {
	if l == Japanese {
		return t.ja
	}
	return t.en
}

func (t text) with(l Lang, args ...any) string { return fmt.Sprintf(t.in(l), args...) }

// product is a row of the table of fixes: what closes a relay on that product.
type product struct {
	key    string
	match  []string // parts of the fingerprint's vendor and product, lower case
	kind   string   // or its kind
	name   text     // as a reader knows it
	steps  []step
	lacks  string // vectors that the product has no part in by itself: something in front of it has
	on     string // key of the product that it is made of, whose steps follow
	tls    text   // how to switch old TLS off
	auth   text   // how to offer AUTH after TLS only
	source text
}

// step is one thing to do. when lists the vectors that it closes, blanks between: an id, "R" for the route forms R1 to
// R16, or "*" for all. Without one it is for every vector that the relay rules decide on.
//
// "<3.9" and ">=3.0" among them bind the step to versions of the product. Where the version isn't known such a step is
// shown, as its text names the versions too; "known" keeps it for versions that are.
type step struct{ when, en, ja string }

// Vectors with a cause in common.
const (
	whenNet    = "S1 S8 S10 I13" // nothing was claimed: the client's address, or nobody's, was enough
	whenSender = "S3 S4 S5 S6 S7 S9"
	whenNull   = "S2"
	whenHELO   = "I1"
	whenRoute  = "R"
	whenName   = "R18 R19" // the domain is written so that a careless comparison takes it for an own one

	// aside is the vectors that get past the relay rules, which may well be right: logins, claims that stand before
	// the first command, other protocols and ports, and two faults of the dialogue that relay nothing.
	aside = "I2 I3 I4 I5 I6 I9 I10 I11 I12"
)

// among reports whether a list of ids holds one.
func among(list, id string) bool { return slices.Contains(strings.Fields(list), id) }

// vectors is what a step says it closes, without the versions.
func (s step) vectors() []string {
	return slices.DeleteFunc(strings.Fields(s.when), func(w string) bool { return w == "known" || w[0] == '<' || w[0] == '>' })
}

// closes reports whether a step is for a vector, whatever the version.
func (s step) closes(vector string) bool {
	ids := s.vectors()
	switch {
	case len(ids) == 0:
		return !among(aside, vector)
	case slices.Contains(ids, vector), slices.Contains(ids, "*"):
		return true
	}
	n, err := strconv.Atoi(strings.TrimPrefix(vector, "R"))
	return err == nil && n <= 16 && slices.Contains(ids, whenRoute)
}

// general reports whether a step is for no vector of its own.
func (s step) general() bool { return len(s.vectors()) == 0 || among(s.when, "*") }

// fits reports whether a step is for a version, "" if it is not known.
func (s step) fits(version string) bool {
	v := numbers(version)
	for w := range strings.FieldsSeq(s.when) {
		switch least, isLeast := strings.CutPrefix(w, ">="); {
		case len(v) == 0 && w == "known":
			return false
		case len(v) == 0:
		case isLeast && slices.Compare(v, numbers(least)) < 0:
			return false
		case strings.HasPrefix(w, "<") && slices.Compare(v, numbers(w)) >= 0:
			return false
		}
	}
	return true
}

// numbers is the first numbers of a version, for comparing: 8.11.6p2 is 8 11 6 2. What a server calls its version may
// be anything, so few are read.
func numbers(version string) []int {
	var out []int
	for part := range strings.FieldsFuncSeq(version, func(r rune) bool { return r < '0' || r > '9' }) {
		n, err := strconv.Atoi(part)
		if len(out) == 4 || err != nil {
			break
		}
		out = append(out, n)
	}
	return out
}

// productOf finds the row of a service.
func productOf(f *probe.Finding) *product {
	name := strings.ToLower(f.Service.Vendor + " " + f.Service.Product)
	for i := range products {
		p := &products[i]
		if p.kind != "" && p.kind == f.Service.Kind || p.key == "" || slices.ContainsFunc(p.match, func(m string) bool { return strings.Contains(name, m) }) {
			return p
		}
	}
	return nil // not reached: the last row has no key
}

// versionOf is the version that the steps of a product are written for. Exchange is known by years and not by builds:
// those of 6 and above name one where we know them.
func versionOf(f *probe.Finding) string {
	year, _, _ := strings.Cut(f.Service.Release, " ")
	n := numbers(f.Service.Version)
	switch {
	case year == "SE":
		return "2025"
	case year == "" && f.Service.Product == "Exchange Server" && len(n) > 0 && n[0] > 5 && n[0] < 1996:
		return ""
	}
	return cmp.Or(year, f.Service.Version)
}

// base is the row of the product that a product is made of, or nil.
func (p *product) base() *product {
	if i := slices.IndexFunc(products, func(q product) bool { return p.on != "" && q.key == p.on }); i >= 0 {
		return &products[i]
	}
	return nil
}

// telling picks the vectors that show something. Where a plain stranger gets through, what the others claim proves
// nothing; those that get past the relay rules stay open all the same.
func telling(vectors []string) []string {
	if !slices.Contains(vectors, "S1") {
		return vectors
	}
	return slices.DeleteFunc(slices.Clone(vectors), func(v string) bool { return v != "S1" && !among(aside, v) })
}

// meanings says what it shows that the first vectors got through.
func meanings(vectors []string) []string {
	vectors = telling(vectors)
	var out []string
	told := make(map[string]bool)
	for _, v := range probe.Vectors() {
		if slices.Contains(vectors[:min(3, len(vectors))], v.ID) && !told[v.ID] { // rows of one id are alternatives
			told[v.ID] = true
			out = append(out, v.ID+": "+v.Catches)
		}
	}
	return out
}

// fixFor picks what closes an entry, in English.
func fixFor(e *Entry, s *Scan, inside bool) Fix { return fixIn(English, e, s, inside) }

// fixIn picks what closes an entry.
func fixIn(l Lang, e *Entry, s *Scan, inside bool) Fix {
	p := productOf(&e.Finding)
	version := versionOf(&e.Finding)
	vectors := slices.Concat(e.Vectors, faults(&e.Finding))
	f := Fix{Source: p.source.in(l)}
	switch {
	case e.Class == probe.Sink:
		f = sinkFix(l, e, p, version)
	case e.exposed(), e.mayRelay():
		f.Server = p.relaySteps(l, version, vectors)
		switch {
		case e.exposed():
		case e.Verdict == probe.Queued:
			f.Server = append([]string{sinkQueue.in(l)}, f.Server...)
		default:
			f.Server = append([]string{localNames.in(l)}, f.Server...)
		}
	case e.Class == probe.Undetermined && e.spoken():
		return Fix{Server: append(judgeSteps(l, e, s), p.relaySteps(l, version, faults(&e.Finding))...)}
	case len(e.Weak) > 0 || len(vectors) > 0:
		f.Server = append(p.weakSteps(l, &e.Finding, s), p.relaySteps(l, version, vectors)...)
		return f
	default:
		return Fix{}
	}
	f.Firewall = firewallSteps(l, e, s, inside)
	return f
}

// faults is the vectors that a mail server is open to as more than its attempts tell.
func faults(f *probe.Finding) []string {
	var out []string
	if !f.SMTP() {
		return nil
	}
	if _, ok := smtp.ParseExtensions(smtp.Reply{Lines: f.EHLO})["XCLIENT"]; ok {
		out = append(out, "I5")
	}
	if f.Behind != "" {
		out = append(out, "I6")
	}
	if p := f.Addr.Port(); p >= 10024 && p <= 10026 {
		out = append(out, "I10")
	}
	if len(f.EndsData) > 0 {
		out = append(out, "I11")
	}
	if f.Injected {
		out = append(out, "I12")
	}
	return out
}

// relaySteps picks the steps of a product, in a version, for the vectors that got through. A vector that neither the
// product nor what it is made of has a step for is closed as the last row of the table says.
func (p *product) relaySteps(l Lang, version string, vectors []string) []string {
	vectors = telling(vectors)
	var out []string
	pick := func(steps []step, version string, vectors []string) {
		for _, s := range steps {
			t := text{s.en, s.ja}.in(l)
			if s.fits(version) && slices.ContainsFunc(vectors, s.closes) && !slices.Contains(out, t) {
				out = append(out, t)
			}
		}
	}
	pick(p.steps, version, vectors)
	on := p.base()
	if on != nil {
		pick(on.steps, "", vectors) // the version is not that of what it is made of
	} else {
		on = p
	}
	var lacking, rest []string
	for _, v := range vectors {
		switch {
		case among(on.lacks, v):
			lacking, rest = append(lacking, v), append(rest, v)
		case !p.answers(v, version) && (on == p || !on.answers(v, "")):
			rest = append(rest, v)
		}
	}
	if len(lacking) > 0 {
		out = append(out, notItself.with(l, on.name.in(l), strings.Join(lacking, " ")))
	}
	pick(slices.DeleteFunc(slices.Clone(products[len(products)-1].steps), step.general), "", rest)
	return out
}

// answers reports whether a product has a step, in a version, that was written for a vector.
func (p *product) answers(vector, version string) bool {
	return slices.ContainsFunc(p.steps, func(s step) bool { return !s.general() && s.closes(vector) && s.fits(version) })
}

// weakSteps is what puts old TLS, clear-text passwords and old versions right.
func (p *product) weakSteps(l Lang, f *probe.Finding, s *Scan) []string {
	name := p.name
	if on := p.base(); on != nil {
		p = on
	}
	var out []string
	if f.TLS != nil && f.TLS.Legacy {
		out = append(out, oldTLS.with(l, p.tls.in(l)))
	}
	if clearTextAuth(f) {
		out = append(out, clearAuth.with(l, p.auth.in(l)))
	}
	if outOfSupport(f, s.time()) != "" {
		out = append(out, oldVersion.with(l, name.in(l)))
	}
	return out
}

func sinkFix(l Lang, e *Entry, p *product, version string) Fix {
	if e.Finding.Service.Kind == "sink" || e.Finding.Nonsense.Positive() {
		return Fix{Server: []string{sinkOwner.in(l), sinkStop.in(l), sinkRelease.in(l)}, Source: ownDocuments.in(l)}
	}
	return Fix{Server: append([]string{sinkQueue.in(l)}, p.relaySteps(l, version, e.Vectors)...), Source: p.source.in(l)}
}

// judgeSteps is what lets the next test of a service come to a verdict.
func judgeSteps(l Lang, e *Entry, s *Scan) []string {
	var out []string
	lookedUp := e.judged.LookedUp
	if lookedUp && s.CanaryDomain == "" {
		out = append(out, judgeDomain.in(l))
	}
	if !lookedUp || s.CanaryDomain != "" {
		out = append(out, judgeLetIn.in(l))
	}
	return append(out, judgeAgain.with(l, e.Finding.Addr.String()))
}

// firewallSteps is what can be done at the opening.
func firewallSteps(l Lang, e *Entry, s *Scan, inside bool) []string {
	endpoint, port := e.Finding.Addr.String(), e.Finding.Addr.Port()
	from := fromOutside
	if inside {
		from = fromInside
	}
	if v := e.Finding.Vantage; v != "" && v != "here" {
		from = same(plain(v))
	}
	deny := denyRule.with(l, from.in(l), e.Finding.Addr.Addr(), port)
	var out []string
	note, rare := portNotes[port]
	switch {
	case inside:
		out = append(out, permitFew.with(l, endpoint, from.in(l)))
	case rare:
		out = append(out, closeRare.with(l, deny, port, note.in(l)))
	default:
		out = append(out, closeOpening.with(l, endpoint, deny))
	}
	edits := editSteps(l, e)
	if len(edits) > 0 { // they say the same, in the device's own words
		out = nil
	}
	if e.exposed() || e.mayRelay() {
		out = append(out, translated(l, e, inside)...)
	}
	return append(out, edits...)
}

// translated tells whether the server took us for someone else: then an address translation or a proxy in front of it
// makes strangers look like its own network.
func translated(l Lang, e *Entry, inside bool) []string {
	f := &e.Finding
	seen, elsewhere := e.seenElsewhere()
	_, err := netip.ParseAddr(e.seenAs())
	switch {
	case elsewhere:
		ours, _ := netip.ParseAddr(f.LocalAddr)
		if nat := e.sourceNAT(); nat != nil {
			return []string{seenByRule.with(l, seen, ours, nat.short())}
		}
		s := seenElse.with(l, seen, ours)
		if seen.IsPrivate() || seen.IsLoopback() {
			s += seenPrivate.with(l, seen)
		}
		return []string{s}
	case err != nil && !inside && slices.Contains(e.Vectors, "S1"):
		return []string{seenUnknown.in(l)}
	}
	return nil
}
