package probe

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// step is one transaction: who we claim to be, the sender, and attempts that differ in the recipient alone.
type step struct {
	way
	helo     string
	from     string
	params   string // of MAIL, with a blank in front
	needs    string
	before   []string
	odd      bool
	optIn    bool
	kind     string // attempts of one kind need one 354 between them
	attempts []*Attempt
}

// way is how a connection is made. A step needs a session that was made its way.
type way struct {
	tls    bool
	header string         // sent before the greeting
	source netip.AddrPort // where it comes from; zero: the vantage's own
}

// own reports whether a step may share a session with others.
func (s *step) own() bool { return len(s.before) > 0 }

// steps expands a table for one server. token makes an attempt's canary token from a name that is unique in the
// finding. Recipients with the same sender share a transaction.
func steps(table []Vector, n names, token func(name string) string) (normal, odd []*step) {
	e := &expansion{names: n, token: token, seen: make(map[string]bool)}
	for _, v := range table {
		e.row(v)
	}
	// The longest step first: it is spread over many connections, and the others fill what is left.
	slices.SortStableFunc(e.odd, func(a, b *step) int { return len(b.attempts) - len(a.attempts) })
	return e.normal, e.odd
}

// expansion is the work of steps.
type expansion struct {
	names
	token       func(name string) string
	seen        map[string]bool
	forms       map[string]int // how many forms a vector has so far
	normal, odd []*step
}

func (e *expansion) row(v Vector) {
	if v.ID == "I9" { // no SMTP
		return
	}
	helos, sources := v.HELO, []netip.AddrPort{{}}
	if len(helos) == 0 {
		helos = []string{"{H}"}
	}
	if v.Sources {
		sources = e.sources
	}
	for _, source := range sources {
		for _, h := range helos {
			for _, helo := range e.expand(h) {
				for _, f := range v.From {
					for _, from := range e.expand(f) {
						for _, r := range v.To {
							for _, to := range e.expand(r) {
								e.add(v, source, helo, from, to)
							}
						}
					}
				}
			}
		}
	}
}

// add makes an attempt, unless it was made under another name already.
func (e *expansion) add(v Vector, source netip.AddrPort, helo, from, to string) {
	if e.forms == nil {
		e.forms = make(map[string]int)
	}
	e.forms[v.ID]++
	key := fmt.Sprint(helo, "|", v.TLS, "|", from, "|", to, "|", source, "|", v.Before, v.Header, v.MailParams)
	if e.seen[key] {
		return
	}
	e.seen[key] = true
	name := v.ID
	if n := e.forms[v.ID]; n > 1 {
		name = fmt.Sprintf("%s.%d", v.ID, n)
	}
	t := e.token(name)
	fill := func(s string) string { return strings.ReplaceAll(s, "{t}", t) }
	a := &Attempt{
		Vector: v.ID, Form: name, HELO: helo, TLS: v.TLS, Canary: t, Route: v.Route, Odd: v.Odd, OptIn: v.OptIn != "",
		From: fill(from), To: fill(to), Params: v.MailParams,
	}
	if i := strings.Index(a.To, t); i >= 0 {
		a.Canary = a.To[i : i+len(t)] // in one place in memory
	}
	a.Forged = from != strings.ReplaceAll(ourFrom, "{C}", e.canary) && v.ID != "S10"
	s := &step{
		way: way{tls: v.TLS, header: e.header(v.Header), source: source}, helo: helo, from: a.From, needs: v.Needs,
		odd: v.Odd, optIn: v.OptIn != "", kind: v.ID[:1], attempts: []*Attempt{a},
	}
	switch {
	case v.OptIn != "" || v.Sources:
		s.kind = v.ID
	case v.TLS:
		s.kind = "TLS"
	}
	if v.MailParams != "" {
		s.params = " " + v.MailParams
	}
	for _, line := range v.Before {
		s.before = append(s.before, credentials(strings.ReplaceAll(line, "{H}", helo), t))
	}
	list := &e.normal
	if v.Odd {
		list = &e.odd
	}
	if v.Route || v.ID == "R17" {
		for _, other := range *list {
			if other.kind == s.kind && other.helo == helo && other.way == s.way && other.params == s.params && !other.own() {
				a.From = other.attempts[0].From
				other.attempts = append(other.attempts, a)
				return
			}
		}
	}
	*list = append(*list, s)
}

// header is the PROXY protocol header that claims to come from the server itself (version 1).
func (e *expansion) header(form string) string {
	if form == "" {
		return ""
	}
	local := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if e.addr.Is6() {
		local = netip.IPv6Loopback()
	}
	return strings.ReplaceAll(form, "{proxy}", proxyLine(netip.AddrPortFrom(local, 25), netip.AddrPortFrom(e.addr, 25)))
}

// proxyLine is what follows PROXY in a header (PROXY protocol 2.1).
func proxyLine(from, to netip.AddrPort) string {
	family := "TCP4"
	if to.Addr().Is6() {
		family = "TCP6"
	}
	return fmt.Sprintf("%s %s %s %d %d", family, from.Addr(), to.Addr(), from.Port(), to.Port())
}

// credentials fills in a user that nobody is, with a password that nobody has: both are the attempt's token.
func credentials(line, token string) string {
	sum := sha256.Sum256([]byte(token))
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	return strings.NewReplacer(
		"{plain}", b64("\x00"+token+"\x00"+token),
		"{user}", b64(token),
		"{cram}", b64(token+" "+hex.EncodeToString(sum[:16])),
	).Replace(line)
}
