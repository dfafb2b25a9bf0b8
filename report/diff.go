package report

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
)

// standing is what all looks together say of an endpoint.
type standing int8

const (
	neverOpen standing = iota
	isOpen
	missing // it was open, and the looks that count do not say that it is not
	away    // it was open, and looks that count said that it is not
)

// silences is how many sure looks in a row must find it not open before they are believed. A silence may be a lost
// packet, and nobody knows who sent an ICMP message: it may be a router on our own side. Only a reset comes from what
// answers at the address, and counts as two.
const silences = 2

// standingOf is what is known of an endpoint; ever: it was open once, whatever s says of that.
func standingOf(s *Sight, ever bool) standing {
	switch {
	case s != nil && s.State == discover.Open:
		return isOpen
	case !ever && (s == nil || s.FirstSeen.IsZero()):
		return neverOpen
	case s != nil && s.Away():
		return away
	}
	return missing
}

// Away reports whether looks that count say that nothing listens. Later ones that do not count change nothing of that.
func (s *Sight) Away() bool {
	return s.State != discover.Open && (s.Silent >= silences || s.Sure && s.State == discover.Closed)
}

// lastSeen is when an endpoint was open for the last time, as far as is known.
func (s *Sight) lastSeen() time.Time {
	switch {
	case s == nil:
		return time.Time{}
	case s.LastSeen.IsZero():
		return s.FirstSeen
	}
	return s.LastSeen
}

// again reports whether after comes of another look than before.
func again(before, after *Sight) bool {
	return after.Scan != before.Scan || !after.LastChecked.Equal(before.LastChecked)
}

// Compare says what became of an endpoint between two times, of which each sight tells all that was known then. nil:
// there is nothing to tell, as it is as it was, or was never open.
//
// It is gone only where a look that counts says so (DESIGN.md, law 2); until then it is told of as not re-checked,
// each time.
func Compare(before, after *Sight, vantage string) *Change {
	c := &Change{Vantage: vantage, Before: before, After: after}
	switch {
	case after != nil:
		c.Addr = after.Addr
	case before != nil:
		c.Addr = before.Addr
	default:
		return nil
	}
	was := standingOf(before, false)
	is := standingOf(after, was != neverOpen)
	between := after.lastSeen().After(before.lastSeen()) // it was open at some time after before
	switch {
	case is == isOpen && was == neverOpen:
		c.Kind, c.Reason = IsNew, whyNew(before)
	case is == isOpen && was == isOpen && !again(before, after):
		c.Kind, c.Reason = IsNotRechecked, whyNotRechecked(before, after)
	case is == isOpen:
		c.compare()
		if was == away {
			c.Kind, c.Reason = IsReappeared, joinNonEmpty("; ", sinceWhen(before), c.Reason)
		} else if len(c.Differences) == 0 {
			return nil
		}
	case (was == neverOpen || was == away) && !between:
		return nil
	case is == away:
		c.Kind, c.Reason = IsGone, whyGone(after)
		if was == neverOpen || was == away {
			c.Reason += "; it was open in between"
		}
	default:
		c.Kind, c.Reason = IsNotRechecked, whyNotRechecked(before, after)
	}
	return c
}

// whyNew says whether the endpoint had been looked at before.
func whyNew(before *Sight) string {
	switch {
	case before == nil:
		return "nothing was known of it"
	case before.State == discover.NotAttempted:
		return "not looked at before" + because(before.Why)
	case before.State == discover.Failed:
		return "the look before failed" + because(before.Why)
	case !before.Sure:
		return stateWord(before.State) + " before, in a look that does not count" + because(before.Why)
	}
	return stateWord(before.State) + " when it was looked at" + onDay(before.LastChecked)
}

// sinceWhen says since when it was away.
func sinceWhen(before *Sight) string {
	word := "not open"
	if before.Sure && before.State != discover.NotAttempted && before.State != discover.Failed {
		word = stateWord(before.State)
	}
	return "last seen" + onDay(before.lastSeen()) + ", " + word + onDay(before.LastChecked)
}

func whyGone(after *Sight) string {
	switch {
	case !after.Sure || after.State == discover.NotAttempted || after.State == discover.Failed:
		return "not open" + onDay(after.LastChecked) + "; the last look does not count" + because(after.Why)
	case after.State == discover.Closed:
		return stateWord(after.State)
	}
	return stateWord(after.State) + ", and not open in the look before that"
}

func whyNotRechecked(before, after *Sight) string {
	switch {
	case after == nil:
		return "it was not looked at"
	case before != nil && !again(before, after):
		return "it was not looked at" + because(after.Why)
	case after.State == discover.NotAttempted:
		return "it was not looked at" + because(after.Why)
	case after.State == discover.Failed:
		return "the look failed" + because(after.Why)
	case !after.Sure:
		return stateWord(after.State) + ", in a look that does not count" + because(after.Why)
	}
	switch after.State {
	case discover.Unreachable:
		return "unreachable once: a packet may have been lost, or the server was down for a minute"
	case discover.Prohibited:
		return "prohibited (ICMP) once: who sent that is not known, it may be a router on our own side"
	}
	return "silent once: a packet may have been lost, or the server was down for a minute"
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// onDay is a time to stand behind a word, or nothing.
func onDay(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " " + minute(t)
}

func stateWord(s discover.State) string {
	switch s {
	case discover.Closed:
		return "closed (a reset)"
	case discover.Filtered:
		return "silent"
	case discover.Prohibited:
		return "prohibited (ICMP)"
	}
	return s.String()
}

// compare fills in what differs between two sights of an open endpoint.
func (c *Change) compare() {
	c.Kind = IsChanged
	b, a := c.Before, c.After
	switch {
	case b.Found == nil && (a.Found == nil || b.State != discover.Open):
	case a.Found == nil:
		if b.Judged.Verdict >= probe.Accepted { // of others it is no news that nobody asked
			c.differ("verdict", b.Judged.Verdict.String(), probe.Unknown.String())
			c.Reason = "it was only listed this time, nothing was asked"
		}
	case b.Found == nil:
		c.differ("verdict", probe.Unknown.String(), a.Judged.Verdict.String())
		c.differ("class", "", string(a.Judged.Class))
		c.Reason = "it was only listed before, nothing was asked"
	default:
		c.compareServices(b.Found, a.Found)
		c.compareProofs(&b.Judged, &a.Judged)
	}
	if len(b.Rules) > 0 && len(a.Rules) > 0 { // else rules were not read one of the times
		c.differSets("rule", b.Rules, a.Rules)
	}
}

func (c *Change) differ(field, before, after string) {
	if before != after {
		c.Differences = append(c.Differences, Difference{field, before, after})
	}
}

// differSets tells what only one of two sets has.
func (c *Change) differSets(field string, before, after []string) {
	c.differ(field, strings.Join(without(before, after), ", "), strings.Join(without(after, before), ", "))
}

// without is what a has and b has not, sorted, each once.
func without(a, b []string) []string {
	var out []string
	for _, s := range a {
		if !slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (c *Change) compareServices(b, a *probe.Finding) {
	unknown := c.After.Judged.Verdict == probe.Unknown // it may have turned us away before it told
	s, t := &b.Service, &a.Service
	c.differ("product", s.Product, t.Product)
	c.differ("version", s.Version, t.Version)
	switch {
	case s.Product != t.Product:
		c.Upgraded = c.Before.entry().spoken() && c.After.entry().spoken() && (t.Product != "" || !unknown)
	case s.Version != t.Version:
		c.Upgraded = s.Version != "" && t.Version != ""
	}
	c.differ("protocol", protocol(b), protocol(a))
	if old, now, ok := bothTLS(b, a); ok {
		c.differ("tls", old, now)
	}
	if b.TLS != nil && a.TLS != nil && b.TLS.SHA256 != "" && a.TLS.SHA256 != "" && b.TLS.SHA256 != a.TLS.SHA256 {
		c.differ("certificate", certificate(b.TLS), certificate(a.TLS))
	}
	if len(b.EHLO) > 0 && len(a.EHLO) > 0 {
		c.differSets("capabilities", upper(b.Extensions), upper(a.Extensions))
	}
}

// bothTLS are the TLS of two findings in a word or two, where both are known: a server that turned us away before EHLO,
// or a test that ended before STARTTLS, says nothing of it.
func bothTLS(b, a *probe.Finding) (before, after string, ok bool) {
	word := func(f *probe.Finding) (string, bool) {
		t := f.TLS
		switch {
		case t != nil && t.Error != "":
			return t.Mode + " failed", true
		case t != nil:
			return t.Mode + " " + t.Version, true
		}
		offered := slices.ContainsFunc(f.Extensions, func(x string) bool { return strings.EqualFold(x, "STARTTLS") })
		return "none", f.Protocol == "smtp" && len(f.EHLO) > 0 && !offered
	}
	before, first := word(b)
	after, second := word(a)
	return before, after, first && second
}

// certificate tells a certificate; the hash alone identifies it.
func certificate(t *probe.TLS) string {
	s := t.Subject
	if s == "" {
		s = strings.Join(t.Names, " ")
	}
	if !t.NotAfter.IsZero() {
		s += " until " + t.NotAfter.UTC().Format(time.DateOnly)
	}
	return strings.TrimSpace(s + " (SHA-256 " + t.SHA256 + ")")
}

func upper(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToUpper(s)
	}
	return out
}

func (c *Change) compareProofs(b, a *Judgement) {
	c.differ("verdict", b.Verdict.String(), a.Verdict.String())
	c.differ("class", string(b.Class), string(a.Class))
	graver := rank(c.After.entry(), false) > rank(c.Before.entry(), false)
	c.Worse = (a.Verdict > b.Verdict || graver) && a.Verdict >= probe.Accepted // from refused to unknown is not worse
	opens, lost := without(a.Vectors, b.Vectors), without(b.Vectors, a.Vectors)
	untried, fresh := without(lost, a.Tried), without(opens, b.Tried)
	if a.Verdict == probe.Unknown {
		lost = nil // it could not be told
	}
	c.differ("vectors", strings.Join(without(lost, untried), ", "), strings.Join(opens, ", "))
	if len(untried) > 0 {
		c.Reason = "not tried this time: " + strings.Join(untried, " ")
	}
	if len(fresh) > 0 {
		c.Reason = joinNonEmpty("; ", c.Reason, "not tried before: "+strings.Join(fresh, " "))
	}
}

// covered says of what is new, and of which nothing was known, whether the scan before looked there: rows are its
// coverage, which keeps no more than counts.
func (c *Changes) covered(rows []discover.CoverageRow) {
	type place struct {
		prefix netip.Prefix
		port   uint16
	}
	index := make(map[place]*discover.CoverageRow, len(rows))
	var lengths []int
	for i := range rows {
		r := &rows[i]
		index[place{r.Prefix, r.Port}] = r
		if !slices.Contains(lengths, r.Prefix.Bits()) {
			lengths = append(lengths, r.Prefix.Bits())
		}
	}
	slices.Sort(lengths)
	for i := range c.List {
		d := &c.List[i]
		if d.Kind != IsNew || d.Before != nil {
			continue
		}
		d.Reason = "the scan before did not look at it"
		for _, bits := range slices.Backward(lengths) { // the narrowest prefix first
			p, err := d.Addr.Addr().Prefix(bits)
			if err != nil {
				continue // IPv4, and the length of an IPv6 prefix
			}
			if r := index[place{p, d.Addr.Port()}]; r != nil {
				d.Reason = whyNewBy(r)
				break
			}
		}
	}
}

// whyNewBy says what a scan saw of an endpoint that was not open then, by the counts of its prefix.
func whyNewBy(r *discover.CoverageRow) string {
	switch silent := r.Filtered + r.Prohibited + r.Unreachable; {
	case r.Looked() == 0:
		return "the scan before did not look at it"
	case r.NotAttempted+r.Failed > 0:
		return "the scan before did not find it open, or did not look at it"
	case silent == 0:
		return "closed (a reset) when the scan before looked at it"
	case r.Closed == 0 && r.Filtered == silent:
		return "silent when the scan before looked at it"
	}
	return "not open when the scan before looked at it"
}

// NewChanges compares the endpoints of a vantage between two scans: of each, what was known after one and after the
// other. It keeps what it tells of, and nothing of the rest. Rows are the coverage of the scan before; nil: it is not
// known.
func NewChanges(from, to *Scan, vantage string, rows []discover.CoverageRow, pairs iter.Seq2[*Sight, *Sight]) *Changes {
	c := &Changes{From: from.ID, To: to.ID, FromTime: from.time(), ToTime: to.time(), Vantage: vantage}
	inside := to.Inside && vantage == to.Vantage
	for before, after := range pairs {
		d := Compare(before, after, vantage)
		switch {
		case d != nil && d.Kind == IsNotRechecked && before.State == discover.Open && after != nil && after.Why == PassedOver:
			c.Same++
		case d != nil:
			d.depth(from, to)
			d.Severity = d.told().severity(c.ToTime, inside)
			c.List = append(c.List, *d)
		case after != nil && after.State == discover.Open:
			c.Same++
		}
	}
	slices.SortStableFunc(c.List, byLens)
	if rows != nil {
		c.covered(rows)
	}
	c.hint()
	return c
}

// depth says where a verdict is not what it was because one scan asked further than the other: that is neither worse
// nor better.
func (c *Change) depth(from, to *Scan) {
	if c.Kind != IsChanged && c.Kind != IsReappeared || c.After.Found == nil || c.Before.Found == nil {
		return
	}
	b, a := c.Before.Judged.Verdict, c.After.Judged.Verdict
	switch {
	case c.Worse && c.Before.Scan == from.ID && !c.Before.Listed && b >= from.stopAt() && to.stopAt() > from.stopAt():
		c.Worse = false
		c.Reason = joinNonEmpty("; ", c.Reason, "asked further this time: the scan before stopped at "+from.stopAt().String())
	case a < b && !c.After.Listed && a >= to.stopAt():
		c.Reason = joinNonEmpty("; ", c.Reason, "this scan stopped at "+to.stopAt().String())
	}
}

// told is the sight that a change tells of: the last one that found something.
func (c *Change) told() *Sight {
	switch {
	case c.After != nil && c.After.Found != nil, c.Before == nil:
		return c.After
	case c.Before.Found != nil, c.After == nil:
		return c.Before
	}
	return c.After
}

// severity is that of what was found last.
func (s *Sight) severity(at time.Time, inside bool) Severity {
	if s == nil || s.Found == nil {
		return Info
	}
	return rank(s.weighed(at), inside)
}

// weighed is what was found, with its weaknesses at a time.
func (s *Sight) weighed(at time.Time) *Entry {
	e := s.entry()
	if !e.spoken() {
		e.Class = probe.Undetermined
	}
	if s.Found.SMTP() {
		e.Weak = weaknesses(s.Found, at)
	}
	return e
}

// entry is what was found, as a report has it.
func (s *Sight) entry() *Entry {
	return &Entry{Finding: *s.Found, Verdict: s.Judged.Verdict, Class: s.Judged.Class, judged: s.Judged}
}

// lens is the group of a change: what an upgrade made worse comes first, and what nobody looked at last.
func (c *Change) lens() int {
	switch {
	case c.Worse && c.Upgraded:
		return 0
	case c.Worse:
		return 1
	}
	return map[ChangeKind]int{IsNew: 2, IsReappeared: 2, IsGone: 3, IsChanged: 4, IsNotRechecked: 5}[c.Kind]
}

func byLens(a, b Change) int {
	return cmp.Or(cmp.Compare(a.lens(), b.lens()), cmp.Compare(b.Severity, a.Severity), a.Addr.Compare(b.Addr), cmp.Compare(a.Vantage, b.Vantage))
}

// WorstAtLeast reports whether something that is new, open again, worse or judged for the first time reaches a severity.
func (c *Changes) WorstAtLeast(s Severity) bool {
	return slices.ContainsFunc(c.List, func(d Change) bool {
		return d.Severity >= s && (d.Kind == IsNew || d.Kind == IsReappeared || d.Worse || d.Kind == IsChanged && d.Before.Found == nil)
	})
}

// likeness is what an endpoint may be known by at another address.
type likeness struct{ certificate, name, product string }

// hint says which of what came may be what went, at another address. A certificate can be copied, and a name given to
// another server, so nothing is merged.
func (c *Changes) hint() {
	var came, went []int
	for i := range c.List {
		switch c.List[i].Kind {
		case IsNew, IsReappeared:
			came = append(came, i)
		case IsGone:
			went = append(went, i)
		}
	}
	pair := func(list, others []int) {
		index := make(map[likeness][]int)
		for _, k := range others {
			certificate, name := c.List[k].likeness()
			index[certificate] = append(index[certificate], k)
			index[name] = append(index[name], k)
			if certificate == (likeness{}) && name != (likeness{}) {
				name.certificate = "none"
				index[name] = append(index[name], k)
			}
		}
		delete(index, likeness{})
		for _, i := range list {
			certificate, name := c.List[i].likeness()
			if alike := index[certificate]; len(alike) > 0 {
				c.List[i].Hint = "the same certificate as " + c.mostAlike(i, alike)
				continue
			}
			if certificate != (likeness{}) && name != (likeness{}) { // of two certificates that differ, the names say nothing
				name.certificate = "none"
			}
			if alike := index[name]; len(alike) > 0 {
				c.List[i].Hint = "the same host name and product as " + c.mostAlike(i, alike)
			}
		}
	}
	pair(came, went)
	pair(went, came)
}

// likeness is its certificate, and its name with the product; zero: it has none.
func (c *Change) likeness() (certificate, name likeness) {
	f := c.told().Found
	if f == nil {
		return likeness{}, likeness{}
	}
	if f.TLS != nil {
		certificate.certificate = f.TLS.SHA256
	}
	if len(f.Names) > 0 && f.Service.Product != "" {
		host := strings.ToLower(f.Names[0])
		if strings.Contains(host, ".") && !strings.HasPrefix(host, "localhost.") {
			name = likeness{name: host, product: f.Service.Product}
		}
	}
	return certificate, name
}

// mostAlike names the endpoint that is most like the i-th, by its port, and counts the rest.
func (c *Changes) mostAlike(i int, list []int) string {
	best := &c.List[list[0]]
	for _, k := range list[:min(len(list), 64)] { // a certificate of thousands of servers says little
		if c.List[k].Addr.Port() == c.List[i].Addr.Port() {
			best = &c.List[k]
			break
		}
	}
	s := best.Addr.String() + ", which is " + map[ChangeKind]string{IsNew: "new", IsReappeared: "open again", IsGone: "gone"}[best.Kind]
	if n := len(list) - 1; n > 0 {
		s += fmt.Sprintf(" (and %d more)", n)
	}
	return s
}

// since puts what an inventory knows beside the entries of the scan's own vantage.
func (r *Report) since(past map[netip.AddrPort]Sight, changes *Changes) {
	for _, e := range r.Entries {
		if e.Finding.Vantage != r.Scan.Vantage {
			continue
		}
		if s, ok := past[e.Finding.Addr]; ok {
			e.FirstSeen, e.LastSeen, e.LastChecked = s.FirstSeen, s.LastSeen, s.LastChecked
		}
	}
	if changes == nil {
		return
	}
	c := *changes
	c.List = slices.Clone(changes.List)
	at := make(map[netip.AddrPort]int)
	for i := range c.List {
		if c.List[i].Vantage == r.Scan.Vantage {
			at[c.List[i].Addr] = i
		}
	}
	for _, e := range r.Entries {
		if k, ok := at[e.Finding.Addr]; ok && e.Finding.Vantage == r.Scan.Vantage && c.List[k].told() == c.List[k].After && !c.List[k].After.Listed {
			c.List[k].Severity = e.Severity // one finding has one severity, and the report knows more of it
		}
	}
	slices.SortStableFunc(c.List, byLens)
	for i := range c.List {
		at[c.List[i].Addr] = i
	}
	for _, e := range r.Entries {
		if k, ok := at[e.Finding.Addr]; ok && e.Finding.Vantage == r.Scan.Vantage && c.List[k].Vantage == r.Scan.Vantage {
			e.Change = &c.List[k]
		}
	}
	r.Changes = &c
}
