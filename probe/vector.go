package probe

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Vector is one way to ask a server to relay: a row of the table. Forms hold these placeholders, and a form whose
// placeholder is not known for a server is left out:
//
//	{t} the attempt's canary token     {C} the canary domain
//	{s} a sender's local part of ours  {O} a mail domain that the target serves
//	{N} the target's host name         {T} the target's address literal (RFC 5321 4.1.3)
//	{U} an existing local sender       {H} our own HELO name
type Vector struct {
	ID      string   `json:"id"`
	HELO    []string `json:"helo,omitempty"` // what we claim to be; our own name if empty
	From    []string `json:"from"`           // reverse-path, between the angle brackets
	To      []string `json:"to"`             // all that follows "RCPT TO:"
	TLS     bool     `json:"tls,omitempty"`  // after STARTTLS, or on an implicit TLS listener
	Route   bool     `json:"route,omitempty"`
	Odd     bool     `json:"odd,omitempty"` // a syntax error at strict servers, so few of them per connection
	Ref     string   `json:"ref"`
	When    string   `json:"when"`
	Catches string   `json:"catches"`
}

const (
	plainTo = "<{t}@{C}>"
	ourFrom = "{t}-b@{C}"
)

func plain(id string, from []string, odd bool, ref, when, catches string) Vector {
	return Vector{ID: id, From: from, To: []string{plainTo}, Odd: odd, Ref: ref, When: when, Catches: catches}
}

func route(id string, to []string, odd bool, ref, when, catches string) Vector {
	return Vector{ID: id, From: []string{ourFrom}, To: to, Route: true, Odd: odd, Ref: ref, When: when, Catches: catches}
}

// Vectors returns the table, in the order in which a scan tries it: the forms that find most come first, as some
// servers hang up after two refusals.
func Vectors() []Vector {
	return []Vector{
		plain("S1", []string{ourFrom}, false, "RFC 5321 3.6.1", "always", "plain open relay: trusted networks too wide, relay domains *, an anonymous connector for all"),
		plain("S6", []string{"{s}@{O}"}, false, "RFC 2505 2.1", "a served mail domain is known", "relay permitted by the sender's domain, which anyone can forge"),
		plain("S7", []string{"{U}", "postmaster@{O}", "postmaster@{N}", "root@{O}"}, false, "RFC 2142 5", "a served mail domain or host name is known", "relay permitted for any existing local sender"),
		plain("S2", []string{""}, false, "RFC 5321 4.5.5", "always", "bounces relayed unchecked"),
		{ID: "I1", HELO: []string{"{O}", "{N}", "localhost", "localhost.localdomain", "[127.0.0.1]"}, From: []string{ourFrom}, To: []string{plainTo}, Ref: "RFC 2505 2.1", When: "always; {O} and {N} when known", Catches: "trust in the HELO name: an access map permits it before the relay rule"},
		plain("S4", []string{"{s}@{N}"}, false, "RFC 2505 2.1", "the host name is known", "relay permitted for the host's own name as sender"),
		plain("S3", []string{"{s}"}, true, "RFC 5321 2.3.5", "always", "a sender without domain counts as local"),
		plain("S9", []string{"{s}@localhost"}, false, "RFC 6761 6.3", "always", "localhost counts as a local sender"),
		plain("S10", []string{"{t}@{C}"}, false, "RFC 5321 3.3", "always", "sender and recipient the same: nothing more, but no third party is named"),
		plain("S8", []string{"{s}@{t}.{C}"}, false, "RFC 5321 3.3", "always", "a sender domain that does not exist: tells a sender check from a relay check"),
		plain("S5", []string{"{s}@{T}"}, true, "RFC 5321 4.1.3", "always", "the host's address literal counts as a local sender"),
		{ID: "I7", From: []string{ourFrom}, To: []string{plainTo}, TLS: true, Ref: "RFC 3207 4.2, RFC 8314 3", When: "STARTTLS is offered, or the listener speaks TLS from the start", Catches: "rules that hold on one listener or before TLS only"},
		route("R1", []string{"<{t}%{C}@{O}>", "<{t}%{C}@{N}>"}, false, "RFC 1123 5.2.16", "{O} or {N} known", "percent hack behind a domain check; a gateway that hands local parts on to an inner server"),
		route("R7", []string{`<"{t}@{C}"@{O}>`, `<"{t}@{C}"@{N}>`}, false, "RFC 5321 4.1.2", "{O} or {N} known", "a quoted local part that an inner server unquotes"),
		route("R9", []string{"<@{O}:{t}@{C}>", "<@{N}:{t}@{C}>"}, false, "RFC 5321 C", "{O} or {N} known", "source route: the first host is checked and not the last"),
		route("R12", []string{"<{C}!{t}@{O}>", "<{C}!{t}@{N}>"}, false, "RFC 976 2.2", "{O} or {N} known", "UUCP bang path behind a domain check"),
		route("R18", []string{"<{t}@{C}.>"}, true, "RFC 5321 2.3.5", "always", "a trailing dot escapes an access list that compares strings"),
		route("R19", []string{"<{t}@{O}.{C}>", "<{t}@x{O}.{C}>"}, false, "RFC 5321 3.6.1", "{O} known; delivery needs a wildcard under {C}", "an unanchored pattern takes the own domain as a label or as a prefix"),
		route("R15", []string{"<IMCEASMTP-{t}+40{C}@{O}>"}, false, "CVE-1999-0682", "{O} known", "encapsulated SMTP addresses: Exchange 5.5, IIS SMTP"),
		route("R16", []string{`<"/c=us/admd= /dd.rfc-822={t}(a){C}/"@{O}>`, `<"gateway::smtp%\"{t}@{C}\""@{O}>`}, false, "RFC 2505 2.1, RFC 2156", "{O} known", "gateways to X.400 and DECnet"),
		route("R2", []string{"<{t}%{C}@{T}>"}, true, "RFC 1123 5.2.16", "always", "percent hack at the address literal"),
		route("R8", []string{`<"{t}@{C}"@{T}>`}, true, "RFC 5321 4.1.2", "always", "quoted local part at the address literal"),
		route("R10", []string{"<@{T}:{t}@{C}>"}, true, "RFC 5321 C", "always", "source route through the address literal"),
		route("R13", []string{"<{C}!{t}@{T}>"}, true, "RFC 976 2.2", "always", "bang path at the address literal"),
		route("R3", []string{`<"{t}@{C}">`}, true, "RFC 5321 4.1.2", "always", "quoted local part without a domain, unquoted by an inner hop"),
		route("R4", []string{`<"{t}%{C}">`}, true, "RFC 1123 5.2.16", "always", "the same with a percent"),
		route("R5", []string{"<{t}@{C}@{O}>", "<{t}@{C}@{N}>"}, true, "RFC 5321 4.1.2", "{O} or {N} known", "two at signs: the last is checked and the first used"),
		route("R6", []string{"<{t}@{C}@{T}>"}, true, "RFC 5321 4.1.2", "always", "two at signs with the address literal"),
		route("R11", []string{"<{C}!{t}>"}, true, "RFC 976 2.2", "always", "a bare bang path counts as local"),
		route("R14", []string{"<{t}@{C}@>"}, true, "RFC 5321 4.1.2", "always", "an empty last domain"),
		{ID: "R17", From: []string{ourFrom}, To: []string{"{t}@{C}", " <{t}@{C}>"}, Odd: true, Ref: "RFC 5321 4.1.1.3", When: "always", Catches: "a lax parser that skips the check: no angle brackets, a blank after the colon"},
		{ID: "I8", HELO: nil, From: nil, To: nil, Ref: "RFC 5321 4.5.4.2", When: "always", Catches: "listeners and address families with rules of their own: each address, port and family is a finding of its own, so nothing more is sent"},
	}
}

// SelectVectors picks rows of a table: "default" and "all" are the whole table, an id adds that row, -id takes it away.
func SelectVectors(table []Vector, words []string) ([]Vector, error) {
	if len(words) == 0 {
		return table, nil
	}
	chosen := make(map[string]bool)
	known := func(id string) bool { return slices.ContainsFunc(table, func(v Vector) bool { return v.ID == id }) }
	if strings.HasPrefix(words[0], "-") {
		words = append([]string{"default"}, words...)
	}
	for _, w := range words {
		id := strings.TrimLeft(w, "+-")
		switch {
		case w == "default" || w == "all":
			for _, v := range table {
				chosen[v.ID] = true
			}
		case !known(id):
			return nil, fmt.Errorf("no vector %q: relaysweep vectors lists them", id)
		default:
			chosen[id] = !strings.HasPrefix(w, "-")
		}
	}
	var out []Vector
	for _, v := range table {
		if chosen[v.ID] {
			out = append(out, v)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no vectors are left to try")
	}
	return out, nil
}

// names are what a form's placeholders stand for at one server.
type names struct {
	canary  string   // {C}
	domains []string // {O}
	hosts   []string // {N}
	senders []string // {U}
	hello   string   // {H}
	addr    netip.Addr
}

// own is a domain that the target serves, as far as we know; empty if we do not.
func (n names) own() string {
	for _, list := range [][]string{n.domains, n.hosts} {
		if len(list) > 0 {
			return list[0]
		}
	}
	return ""
}

// literal is the address literal of RFC 5321 4.1.3.
func literal(a netip.Addr) string {
	if a.Is6() {
		return "[IPv6:" + a.String() + "]"
	}
	return "[" + a.String() + "]"
}

// expand replaces all placeholders but {t}, once for each value. At most two domains, one host and three senders are
// used, so that the number of attempts stays within what servers bear.
func (n names) expand(form string) []string {
	out := []string{form}
	for _, p := range []struct {
		key    string
		values []string
	}{
		{"{C}", []string{n.canary}},
		{"{O}", firstN(n.domains, 2)},
		{"{N}", firstN(n.hosts, 1)},
		{"{U}", firstN(n.senders, 3)},
		{"{H}", []string{n.hello}},
		{"{T}", []string{literal(n.addr)}},
		{"{s}", []string{"relaysweep"}},
	} {
		if !strings.Contains(form, p.key) {
			continue
		}
		var next []string
		for _, f := range out {
			for _, v := range p.values {
				if v != "" {
					next = append(next, strings.ReplaceAll(f, p.key, v))
				}
			}
		}
		out = next
	}
	return out
}

func firstN(s []string, n int) []string { return s[:min(n, len(s))] }

// step is one transaction: who we claim to be, the sender, and attempts that differ in the recipient alone.
type step struct {
	helo     string
	tls      bool
	from     string
	odd      bool
	kind     string // attempts of one kind need one 354 between them
	attempts []*Attempt
}

// steps expands a table for one server. token makes an attempt's canary token from a name that is unique in the
// finding. Recipients with the same sender share a transaction.
func steps(table []Vector, n names, token func(name string) string) (normal, odd []*step) {
	seen := make(map[string]bool)
	add := func(v Vector, helo, from, to string, form int) {
		key := fmt.Sprint(helo, "|", v.TLS, "|", from, "|", to)
		if seen[key] {
			return
		}
		seen[key] = true
		name := v.ID
		if form > 0 {
			name = fmt.Sprintf("%s.%d", v.ID, form+1)
		}
		t := token(name)
		a := &Attempt{
			Vector: v.ID, Form: name, HELO: helo, TLS: v.TLS, Canary: t, Route: v.Route, Odd: v.Odd,
			From: strings.ReplaceAll(from, "{t}", t), To: strings.ReplaceAll(to, "{t}", t),
		}
		a.Forged = from != strings.ReplaceAll(ourFrom, "{C}", n.canary) && v.ID != "S10"
		kind := v.ID[:1]
		if v.TLS {
			kind = "TLS"
		}
		list := &normal
		if v.Odd {
			list = &odd
		}
		shared := v.Route || v.ID == "R17"
		if shared {
			for _, s := range *list {
				if s.kind == kind && s.helo == helo && s.tls == v.TLS {
					a.From = s.attempts[0].From
					s.attempts = append(s.attempts, a)
					return
				}
			}
		}
		*list = append(*list, &step{helo: helo, tls: v.TLS, from: a.From, odd: v.Odd, kind: kind, attempts: []*Attempt{a}})
	}
	for _, v := range table {
		helos := v.HELO
		if len(helos) == 0 {
			helos = []string{"{H}"}
		}
		form := 0
		for _, h := range helos {
			for _, helo := range n.expand(h) {
				for _, f := range v.From {
					for _, from := range n.expand(f) {
						for _, r := range v.To {
							for _, to := range n.expand(r) {
								add(v, helo, from, to, form)
								form++
							}
						}
					}
				}
			}
		}
	}
	// The longest step first: it is spread over many connections, and the others fill what is left.
	slices.SortStableFunc(odd, func(a, b *step) int { return len(b.attempts) - len(a.attempts) })
	return normal, odd
}
