package report

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"relaysweep/discover"
	"relaysweep/discover/firewall"
	"relaysweep/probe"
)

// Approval is an expected service: who owns it, who allowed it, until when.
type Approval struct {
	Vantage string // that may reach it; empty: all
	Address netip.Prefix
	Ports   []uint16 // empty: all
	// Service is a protocol, such as smtp, smtps or ssh; or "submission": mail on port 587 or 465. smtp holds with and
	// without TLS. Empty: any.
	Service  string
	Product  string // what vendor, product and version hold, such as "Postfix"; empty: any
	Owner    string
	Approver string
	Ticket   string
	Reason   string
	Approved time.Time
	Expires  time.Time // the first moment at which it does not hold
	// RelayFrom is for whom it may relay; empty: for nobody. RelayTo is where to, of those; empty: anywhere.
	RelayFrom, RelayTo []Party
	Where              string // file:line
}

// Party is a side of relaying: a prefix, of clients or of address literals; or a name, of a vantage or of a mail domain.
type Party struct {
	Prefix netip.Prefix
	Name   string // where there is no prefix
}

func (p Party) String() string {
	if p.Prefix.IsValid() {
		return p.Prefix.String()
	}
	return p.Name
}

// covers reports whether it is the party of an address or a name.
func (p Party) covers(a netip.Addr, name string) bool {
	if p.Prefix.IsValid() {
		return p.Prefix.Contains(a)
	}
	return p.Name != "" && strings.EqualFold(p.Name, name)
}

// Valid reports whether an approval holds at a time, for a vantage.
func (a *Approval) Valid(vantage string, at time.Time) bool {
	return a.of(vantage) && !a.early(at) && !a.over(at)
}

func (a *Approval) of(vantage string) bool  { return a.Vantage == "" || a.Vantage == vantage }
func (a *Approval) early(at time.Time) bool { return !a.Approved.IsZero() && at.Before(a.Approved) }
func (a *Approval) over(at time.Time) bool  { return !at.Before(a.Expires) }

// lastDay is the last day on which it holds.
func (a *Approval) lastDay() string {
	return a.Expires.Add(-time.Nanosecond).UTC().Format(time.DateOnly)
}

// onPort reports whether it is about a port.
func (a *Approval) onPort(port uint16) bool {
	return len(a.Ports) == 0 || slices.Contains(a.Ports, port)
}

// Approved makes of approvals what no proposed edit may close.
func Approved(list []Approval, vantage string, at time.Time) []firewall.Keep {
	var out []firewall.Keep
	for i := range list {
		a := &list[i]
		if !a.Valid(vantage, at) {
			continue
		}
		k := firewall.Keep{Name: joinNonEmpty(", ", a.service(), a.Owner, a.Ticket, a.Where), Dst: a.Address}
		for _, p := range a.Ports {
			k.Ports = append(k.Ports, firewall.Ports(p, p))
		}
		k.Ports = firewall.Merge(k.Ports)
		out = append(out, k)
	}
	return out
}

// ApprovalState says how a listener stands to the approvals, or an approval to what listens.
type ApprovalState string

// The states of a listener. One that is no mail server, on no mail port, and that nothing covers, has none.
const (
	IsApproved   ApprovalState = "approved"
	IsSoon       ApprovalState = "soon"       // approved, and that ends soon
	IsExceeded   ApprovalState = "exceeded"   // it does more than what is approved, or is something else
	IsExpired    ApprovalState = "expired"    // covered by an approval that has ended
	IsUnapproved ApprovalState = "unapproved" // covered by none
)

// The states of an approval; IsExpired is one as well.
const (
	IsUsed       ApprovalState = "used"
	IsUnused     ApprovalState = "unused"      // it holds, all of it was looked at, and nothing is open
	IsNotChecked ApprovalState = "not-checked" // not looked is not unused
	IsNotYet     ApprovalState = "not-yet"     // it begins later
)

// ApprovalUse is an approval beside what was seen.
type ApprovalUse struct {
	Approval
	State  ApprovalState
	Why    string           // why it was not checked
	Covers []netip.AddrPort // what is open of it, for its vantage

	why saying
}

// Violation is a finding about approvals.
type Violation struct {
	Kind     ApprovalState // unapproved, expired, soon, unused, exceeded
	Severity Severity
	Addr     netip.AddrPort // of the listener; not valid: it is about the approval alone
	Vantage  string
	Approval *ApprovalUse // nil: there is none
	Text     string

	says saying
}

// saying is a sentence, and what is put into it.
type saying struct {
	text text
	args []any
}

func say(t text, args ...any) saying { return saying{t, args} }

func (s saying) empty() bool { return s.text.en == "" }

// in is what it says in a language.
func (s saying) in(l Lang) string {
	args := slices.Clone(s.args)
	for i, a := range args {
		if t, ok := a.(text); ok {
			args[i] = t.in(l)
		}
	}
	return s.text.with(l, args...)
}

// soon is how long before its end an approval is to be renewed.
const soon = 30 * 24 * time.Hour

// approve joins approvals to entries. It comes before the rules: what those say of an approved relay goes on top.
func (r *Report) approve(list []Approval) {
	if list == nil {
		return
	}
	j := newApprovals(r, list)
	for _, e := range r.Entries {
		j.entry(e)
	}
	j.rest()
	slices.SortStableFunc(r.Violations, func(a, b Violation) int {
		return cmp.Or(byWeight(&a, &b), a.Addr.Compare(b.Addr))
	})
}

// byWeight puts the worst violation first.
func byWeight(a, b *Violation) int {
	return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(slices.Index(violationOrder, a.Kind), slices.Index(violationOrder, b.Kind)))
}

var violationOrder = []ApprovalState{IsExceeded, IsUnapproved, IsExpired, IsSoon, IsUnused}

// approvals are what approve looks things up in.
type approvals struct {
	r       *Report
	at      time.Time
	by      map[netip.Prefix][]int // indices into r.Approvals
	lengths map[bool][]int         // of the prefixes, longest first, by whether they are of IPv4
	ports   map[uint16]bool        // that mail is found on, or that an approval names
	rows    map[uint16][]discover.CoverageRow
}

func newApprovals(r *Report, list []Approval) *approvals {
	j := &approvals{r: r, at: r.Scan.time(), by: make(map[netip.Prefix][]int), lengths: make(map[bool][]int), ports: make(map[uint16]bool), rows: make(map[uint16][]discover.CoverageRow)}
	r.Approvals = make([]ApprovalUse, len(list))
	for i, a := range list {
		a.Address = Unmap(a.Address)
		r.Approvals[i].Approval = a
		p := a.Address.Masked()
		j.by[p] = append(j.by[p], i)
		if four := p.Addr().Is4(); !slices.Contains(j.lengths[four], p.Bits()) {
			j.lengths[four] = append(j.lengths[four], p.Bits())
		}
		for _, port := range a.Ports {
			j.ports[port] = true
		}
	}
	for _, l := range j.lengths {
		slices.SortFunc(l, func(a, b int) int { return b - a })
	}
	for _, port := range discover.DefaultPorts() {
		j.ports[port] = true
	}
	for _, c := range r.Coverage {
		j.rows[c.Port] = append(j.rows[c.Port], c)
	}
	return j
}

// covering finds the approvals of an endpoint for a vantage, most specific first: by prefix, port, vantage. Of several
// alike the one that lasts longest comes first.
func (j *approvals) covering(vantage string, to netip.AddrPort) []*ApprovalUse {
	var out []*ApprovalUse
	addr := to.Addr().Unmap().WithZone("")
	for _, bits := range j.lengths[addr.Is4()] {
		p, err := addr.Prefix(bits)
		if err != nil {
			continue
		}
		for _, i := range j.by[p] {
			if u := &j.r.Approvals[i]; u.of(vantage) && u.onPort(to.Port()) {
				out = append(out, u)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b *ApprovalUse) int {
		return cmp.Or(cmp.Compare(b.Address.Bits(), a.Address.Bits()), -compareBool(len(a.Ports) > 0, len(b.Ports) > 0), -compareBool(a.Vantage != "", b.Vantage != ""), b.Expires.Compare(a.Expires))
	})
	return out
}

// endpoints are those of a finding that approvals are about: of a host that answers on every port, few matter.
func (j *approvals) endpoints(f *probe.Finding) []netip.AddrPort {
	if len(f.Crowd) == 0 {
		return []netip.AddrPort{f.Addr}
	}
	var out []netip.AddrPort
	for _, port := range f.Crowd {
		if j.ports[port] || port == f.Addr.Port() {
			out = append(out, netip.AddrPortFrom(f.Addr.Addr(), port))
		}
	}
	return out
}

// entry sets one entry against the approvals: that of its worst endpoint is told.
func (j *approvals) entry(e *Entry) {
	var worst Violation
	for _, to := range j.endpoints(&e.Finding) {
		state, use, v := j.judge(e, to)
		v.Addr, v.Vantage, v.Approval, v.Kind = to, e.Finding.Vantage, use, state
		if v.says.empty() {
			if e.ApprovalState == "" {
				e.ApprovalState, e.Approval = state, use
			}
		} else if worst.says.empty() || byWeight(&v, &worst) < 0 {
			worst = v
		}
	}
	if !worst.says.empty() {
		j.add(worst)
		e.ApprovalState, e.Approval = worst.Kind, worst.Approval
	}
	if e.ApprovalState != IsApproved && e.ApprovalState != IsSoon || !e.exposed() && !e.mayRelay() {
		return
	}
	if e.Approval.beyond(j.r, e).empty() { // what it does is allowed to this vantage
		e.approvedRelay = e.exposed()
		e.Severity = min(e.Severity, Low)
		e.Title = "approved (" + e.Approval.who().en + "): " + e.Title
	}
}

// judge says how an endpoint stands to the approvals. A violation that says nothing is none.
func (j *approvals) judge(e *Entry, to netip.AddrPort) (ApprovalState, *ApprovalUse, Violation) {
	all := j.covering(e.Finding.Vantage, to)
	var use *ApprovalUse
	for _, u := range all {
		if u.Valid(e.Finding.Vantage, j.at) {
			u.Covers = append(u.Covers, to)
			if use == nil {
				use = u
			}
		}
	}
	if use != nil {
		if v := use.exceeded(j.r, e); !v.says.empty() {
			return IsExceeded, use, v
		}
		if use.Expires.Sub(j.at) <= soon {
			return IsSoon, use, Violation{}
		}
		return IsApproved, use, Violation{}
	}
	if !e.takesMail() && !slices.Contains(discover.DefaultPorts(), to.Port()) {
		return "", nil, Violation{}
	}
	v := Violation{Severity: Low, says: say(sayUnapproved, e.what())}
	if e.takesMail() {
		v.Severity = Medium
	}
	for _, u := range all {
		if u.over(j.at) {
			v.says = say(sayExpired, e.what(), u.lastDay(), u.who())
			return IsExpired, u, v
		}
	}
	if len(all) > 0 {
		v.says = say(sayNotYet, e.what(), all[0].Approved.UTC().Format(time.DateOnly), all[0].who())
	}
	return IsUnapproved, nil, v
}

func (j *approvals) add(v Violation) {
	v.Text = v.says.in(English)
	j.r.Violations = append(j.r.Violations, v)
}

// rest says of each approval what became of it.
func (j *approvals) rest() {
	for i := range j.r.Approvals {
		u := &j.r.Approvals[i]
		slices.SortFunc(u.Covers, netip.AddrPort.Compare)
		u.Covers = slices.Compact(u.Covers)
		switch {
		case u.over(j.at):
			u.State = IsExpired
			continue
		case u.early(j.at):
			u.State = IsNotYet
			continue
		case len(u.Covers) > 0:
			u.State = IsUsed
		default:
			if u.State, u.why = IsUnused, j.unchecked(&u.Approval); !u.why.empty() {
				u.State, u.Why = IsNotChecked, u.why.in(English)
				break
			}
			j.add(Violation{Kind: IsUnused, Severity: Low, Vantage: j.r.Scan.Vantage, Approval: u, says: say(sayUnused, u.what(), j.r.Scan.Vantage, u.who())})
		}
		if left := u.Expires.Sub(j.at); left <= soon {
			j.add(Violation{Kind: IsSoon, Severity: Low, Vantage: j.r.Scan.Vantage, Approval: u, says: say(saySoon, u.what(), u.lastDay(), u.who())})
		}
	}
}

// unchecked says why it is not known that nothing of an approval is open, or nothing. Coverage is counted by prefix and
// port, so what is not whole there is not known of any address in it.
func (j *approvals) unchecked(a *Approval) saying {
	s := &j.r.Scan
	switch {
	case a.Vantage == "":
		return say(whyAllVantages, s.Vantage)
	case a.Vantage != s.Vantage:
		return say(whyOtherVantage, a.Vantage, s.Vantage)
	}
	for _, x := range s.Excluded {
		if x.Overlaps(a.Address) {
			return say(whyExcluded, x.String())
		}
	}
	ports := a.Ports
	if len(ports) == 0 {
		if n := len(j.rows); n < 65535 {
			return say(whyAllPorts, text{plural(n, "port") + " " + verb(n, "was", "were"), strconv.Itoa(n)})
		}
		ports = slices.Sorted(func(yield func(uint16) bool) {
			for port := range j.rows {
				if !yield(port) {
					return
				}
			}
		})
	}
	for _, port := range ports {
		if why, in := looked(a.Address.Masked(), j.rows[port]); why.en != "" {
			return say(why, port, in)
		}
	}
	return saying{}
}

// looked says why rows of one port do not tell that all of a prefix was looked at and is not open, or nothing; and in which
// row. A silence is one look: a packet that was lost looks the same.
func looked(p netip.Prefix, rows []discover.CoverageRow) (why text, in string) {
	var parts []netip.Prefix
	whole, silent := false, false
	for _, c := range rows {
		q := c.Prefix.Masked()
		if !q.Overlaps(p) {
			continue
		}
		if c.NotAttempted > c.Reasons["excluded"] || c.Failed > 0 {
			return whyNotEverywhere, q.String()
		}
		if q.Bits() <= p.Bits() {
			whole = true // as exclusions lie elsewhere
		}
		silent = silent || c.Filtered+c.Unreachable > 0 && c.Open+c.Closed+c.Prohibited == 0
		parts = append(parts, q)
	}
	switch {
	case len(parts) == 0:
		return whyNotLooked, ""
	case !whole && !fill(p, parts):
		return whyInPart, ""
	case silent:
		return whySilent, ""
	}
	return text{}, ""
}

// fill reports whether parts, which lie in a prefix, are all of it.
func fill(p netip.Prefix, parts []netip.Prefix) bool {
	slices.SortFunc(parts, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	next := p.Addr() // the first address that no part holds yet
	for _, q := range parts {
		if q.Addr().Less(next) { // it lies in the part before
			continue
		}
		if q.Addr() != next {
			return false
		}
		if next = firewall.PrefixRange(q).Last.Addr().Next(); !next.IsValid() || !p.Contains(next) {
			return true
		}
	}
	return false
}

// exceeded says what a listener does beyond an approval. What may relay, and cannot be told from what does not, is not
// proven to exceed anything: its own severity stands.
func (u *ApprovalUse) exceeded(r *Report, e *Entry) Violation {
	if e.exposed() {
		if says := u.beyond(r, e); !says.empty() {
			return Violation{Severity: max(Medium, e.Severity), says: says}
		}
	}
	if !fits(&u.Approval, &e.Finding) {
		return Violation{Severity: Medium, says: say(sayOther, e.what(), u.service(), u.who())}
	}
	return Violation{}
}

// beyond says which relaying of an entry is not allowed; nothing: all of it is.
func (u *ApprovalUse) beyond(r *Report, e *Entry) saying {
	if len(u.RelayFrom) == 0 {
		return say(sayRelays, u.who())
	}
	named := func(p Party) bool { return p.covers(netip.Addr{}, e.Finding.Vantage) }
	if len(u.RelayTo) == 0 && slices.ContainsFunc(u.RelayFrom, named) {
		return saying{} // whatever it did for this vantage, so that its attempts need not be read
	}
	for _, c := range r.relayed(e) {
		if !slices.ContainsFunc(u.RelayFrom, func(p Party) bool { return p.covers(c.from, e.Finding.Vantage) }) {
			return say(sayRelaysFrom, joinNonEmpty(" ", e.Finding.Vantage, addrText(c.from)), joined(u.RelayFrom, 6), u.who())
		}
		if len(u.RelayTo) > 0 && !slices.ContainsFunc(u.RelayTo, func(p Party) bool { return p.covers(c.literal, c.domain) }) {
			return say(sayRelaysTo, cmp.Or(c.domain, addrText(c.literal), "?"), joined(u.RelayTo, 6), u.who())
		}
	}
	return saying{}
}

// relayed is one relaying that a server agreed to: for whom, and where to.
type relayed struct {
	from    netip.Addr // not valid: not known
	domain  string
	literal netip.Addr // instead of a domain
}

// relayed lists what an entry's server agreed to relay, each once; where its attempts cannot be told, that it did for us,
// to somewhere.
func (r *Report) relayed(e *Entry) []relayed {
	var out []relayed
	f, tries, err := e.evidence()
	if err != nil {
		f, tries = &e.Finding, nil
	}
	for i, t := range tries {
		a := &f.Attempts[i]
		if t.verdict < probe.Accepted {
			continue
		}
		source := probe.Finding{Source: cmp.Or(a.Source, f.Source), LocalAddr: f.LocalAddr}
		c := relayed{from: r.origin(e, &source), domain: foreignDomain(a.To, a.Canary)}
		if literal, ok := strings.CutPrefix(c.domain, "["); ok {
			c.literal, _ = netip.ParseAddr(strings.TrimPrefix(strings.TrimSuffix(literal, "]"), "IPv6:"))
			c.domain = ""
		}
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	if out == nil {
		out = append(out, relayed{from: r.origin(e, f)})
	}
	return out
}

// origin is the address that a relaying was for; not valid: not known. A vantage outside that has a private address stands
// behind a translation: its address is one of the inside by chance. What the server saw tells more, unless a translation
// on our side makes strangers look inside.
func (r *Report) origin(e *Entry, f *probe.Finding) netip.Addr {
	a := cameFrom(f).Addr().Unmap()
	if r.inside(&e.Finding) || !a.IsPrivate() && !sharedSpace.Contains(a) {
		return a
	}
	seen, elsewhere := e.seenElsewhere()
	if f.Source != e.Finding.Source || !elsewhere || r.ourSpace(seen) || sharedSpace.Contains(seen) {
		return netip.Addr{}
	}
	return seen
}

// sharedSpace is what providers translate (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// foreignDomain is where a recipient's canary leads: what follows it behind @ or %, or stands before it and !.
func foreignDomain(to, canary string) string {
	before, after, ok := strings.Cut(to, canary)
	if canary == "" || !ok {
		return ""
	}
	word := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-._[]:", c)
	}
	if path, ok := strings.CutSuffix(before, "!"); ok { // what an @ then says is who is asked to pass it on
		return path[strings.LastIndexFunc(path, func(c rune) bool { return !word(c) })+1:]
	}
	if strings.HasPrefix(after, "@") || strings.HasPrefix(after, "%") {
		after = after[1:]
		if end := strings.IndexFunc(after, func(c rune) bool { return !word(c) }); end >= 0 {
			after = after[:end]
		}
		return strings.TrimSuffix(after, ".")
	}
	return ""
}

// protocols are the names that Approval.Service and Finding.Protocol share.
var protocols = []string{"smtp", "smtps", "lmtp", "qmtp", "qmqp", "http", "ssh", "ftp", "imap", "pop3", "nntp", "telnet", "tls", "mysql", "redis", "printer", "vnc"}

// Services are what an approval may name as its service.
func Services() []string { return slices.Insert(slices.Clone(protocols), 2, "submission") }

// fits reports whether a finding may be the service that is expected. What is not known contradicts nothing.
func fits(a *Approval, f *probe.Finding) bool {
	switch p := protocol(f); {
	case p == "unknown":
		return true
	case a.Service == "":
	case a.Service == "smtp":
		if !f.SMTP() {
			return false
		}
	case a.Service == "submission":
		if !f.SMTP() || f.Addr.Port() != 587 && f.Addr.Port() != 465 {
			return false
		}
	case p != a.Service:
		return false
	}
	s := &f.Service
	return a.Product == "" || s.Product == "" || strings.Contains(strings.ToLower(s.Vendor+" "+s.Product+" "+s.Version), strings.ToLower(a.Product))
}

// service is what an approval expects.
func (a *Approval) service() string { return joinNonEmpty(", ", a.Service, a.Product) }

// takesMail reports whether mail can be brought there, by whatever protocol.
func (e *Entry) takesMail() bool {
	return e.mail() || slices.Contains([]string{"lmtp", "qmtp", "qmqp"}, e.Finding.Protocol)
}

// what names a listener.
func (e *Entry) what() string {
	s := raw(protocol(&e.Finding))
	if s == "unknown" {
		s = "?"
	}
	if name := productName(e); name != "-" {
		s += ", " + shorten(name, 60)
	}
	return s
}

// what names what an approval is about.
func (a *Approval) what() string {
	s := a.Address.String()
	if a.Address.IsSingleIP() {
		s = a.Address.Addr().String()
	}
	switch {
	case len(a.Ports) == 1 && a.Address.IsSingleIP():
		s = netip.AddrPortFrom(a.Address.Addr(), a.Ports[0]).String()
	case len(a.Ports) > 0:
		s += " port " + strings.Join(portRuns(a.Ports), ",")
	}
	return s
}

// who says who answers for an approval.
func (a *Approval) who() text {
	part := func(format, s string) string {
		if s == "" {
			return ""
		}
		return fmt.Sprintf(format, s)
	}
	place := part(" (%s)", a.Where)
	return text{
		strings.TrimSpace(joinNonEmpty(", ", part("owner %s", a.Owner), part("approved by %s", a.Approver), a.Ticket) + place),
		strings.TrimSpace(joinNonEmpty("、", part("所管課 %s", a.Owner), part("承認者 %s", a.Approver), a.Ticket) + place),
	}
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

var (
	sayUnapproved = text{"unapproved: a listener (%[1]s) that no approval covers", "未承認: この待受け(%[1]s)には例外措置(期限付き承認)がない"}
	sayNotYet     = text{"unapproved: a listener (%[1]s) that is approved from %[2]s on only; %[3]s", "未承認: この待受け(%[1]s)の承認は %[2]s から有効である。%[3]s"}
	sayExpired    = text{"expired: the approval of this listener (%[1]s) ended on %[2]s; %[3]s", "期限切れ: この待受け(%[1]s)の例外措置(期限付き承認)は %[2]s に終了した。%[3]s"}
	saySoon       = text{"soon: the approval of %[1]s ends on %[2]s; %[3]s", "期限間近: %[1]s の例外措置(期限付き承認)は %[2]s に終了する。%[3]s"}
	sayUnused     = text{"unused: nothing of %[1]s was seen open from %[2]s; %[3]s", "未使用: %[1]s は観測地点 %[2]s から見て開いていない。%[3]s"}
	sayRelays     = text{"exceeded: it relays, and its approval lets it relay for nobody; %[1]s", "承認範囲の逸脱: 中継するが、承認は中継を認めていない。%[1]s"}
	sayRelaysFrom = text{"exceeded: it relays for %[1]s, and is approved to relay for %[2]s alone; %[3]s", "承認範囲の逸脱: %[1]s からの中継を受け付けるが、承認された中継元は %[2]s だけである。%[3]s"}
	sayRelaysTo   = text{"exceeded: it relays to %[1]s, and is approved to relay to %[2]s alone; %[3]s", "承認範囲の逸脱: %[1]s への中継を受け付けるが、承認された中継先は %[2]s だけである。%[3]s"}
	sayOther      = text{"exceeded: it is %[1]s, and what is approved is %[2]s; %[3]s", "承認範囲の逸脱: 実際は %[1]s であり、承認されたサービスは %[2]s である。%[3]s"}
)

// Why it is not known whether anything of an approval is open.
var (
	whyAllVantages   = text{"it is for all vantages, and this was seen from %[1]s alone", "すべての観測地点を対象とする承認だが、今回は %[1]s からだけ見た"}
	whyOtherVantage  = text{"it is for %[1]s, and this was seen from %[2]s", "観測地点 %[1]s を対象とする承認だが、今回は %[2]s から見た"}
	whyExcluded      = text{"%[1]s is excluded", "%[1]s は走査の対象外である"}
	whyAllPorts      = text{"it is for all ports, and %[1]s looked at", "すべてのポートを対象とする承認だが、今回見たポートは %[1]s 個である"}
	whyNotEverywhere = text{"port %[1]d was not looked at everywhere in %[2]s", "%[2]s のポート %[1]d は、一部が走査未実施である"}
	whyNotLooked     = text{"port %[1]d was not looked at%[2]s", "ポート %[1]d は走査未実施である%[2]s"}
	whyInPart        = text{"port %[1]d was looked at in part of it%[2]s", "ポート %[1]d は、対象の一部だけを走査した%[2]s"}
	whySilent        = text{"port %[1]d kept silent, and one silence proves nothing%[2]s", "ポート %[1]d は無応答だが、一度の無応答では判断できない%[2]s"}
)

// The words of the section.
var (
	approvalsHead   = text{"Approvals", "例外措置(期限付き承認)"}
	approvalsAll    = text{"All approvals (%[1]d)", "承認の一覧 (%[1]d)"}
	approvalsMore   = text{"and %[1]d more findings: --verbose, the HTML report and the JSON Lines list them", "ほか %[1]d 件: --verbose、HTML、JSON Lines に全件があります"}
	approvalsAdvice = text{
		"Close what nobody needs. What somebody owns is approved for a time: relaysweep approve %[1]s",
		"不要なものは閉じてください。管理者のいるものは期限付きで承認します: relaysweep approve %[1]s",
	}
	untilWord     = text{"until %[1]s", "%[1]s まで"}
	mayRelayFor   = text{"may relay for %[1]s", "中継元 %[1]s"}
	mayRelayForTo = text{"may relay for %[1]s to %[2]s", "中継元 %[1]s、中継先 %[2]s"}
	approvalWords = map[ApprovalState]text{
		IsApproved: {"approved", "承認済み"}, IsSoon: {"soon", "期限間近"}, IsExceeded: {"exceeded", "承認範囲の逸脱"}, IsExpired: {"expired", "期限切れ"}, IsUnapproved: {"unapproved", "未承認"},
		IsUsed: {"used", "使用中"}, IsUnused: {"unused", "未使用"}, IsNotChecked: {"not checked", "未確認"}, IsNotYet: {"not yet", "開始前"},
	}
)

// approvalLine says in a sentence how the approvals stand.
func (r *Report) approvalLine() string {
	counts := make(map[ApprovalState]int)
	for i := range r.Approvals {
		counts[r.Approvals[i].State]++
	}
	var out []string
	for _, s := range []ApprovalState{IsUsed, IsUnused, IsNotChecked, IsNotYet, IsExpired} {
		if n := counts[s]; n > 0 {
			out = append(out, counted(r.lang, n, approvalWords[s]))
		}
	}
	all := text{plural(len(r.Approvals), "approval"), "承認 " + number(len(r.Approvals)) + " 件"}
	return joinNonEmpty(": ", all.in(r.lang), strings.Join(out, ", "))
}
