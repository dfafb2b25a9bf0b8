package probe

import (
	"errors"
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
//	{M} a domain of ours that lists the target among its MX hosts
//	{L} the address literal of our sink  {u} the local part of an existing local sender
//
// Before may hold {plain}, {user} and {cram} as well: the random credentials of one try at AUTH.
type Vector struct {
	ID      string   `json:"id" yaml:"id"`
	HELO    []string `json:"helo,omitempty" yaml:"helo"` // what we claim to be; our own name if empty
	From    []string `json:"from" yaml:"from"`           // reverse-path, between the angle brackets
	To      []string `json:"to" yaml:"to"`               // all that follows "RCPT TO:"
	TLS     bool     `json:"tls,omitempty" yaml:"tls"`   // after STARTTLS, or on an implicit TLS listener
	Route   bool     `json:"route,omitempty" yaml:"route"`
	Odd     bool     `json:"odd,omitempty" yaml:"odd"` // a syntax error at strict servers, so few of them per connection
	Ref     string   `json:"ref" yaml:"ref"`
	When    string   `json:"when" yaml:"when"`
	Catches string   `json:"catches" yaml:"catches"`

	MailParams string   `json:"mail_params,omitempty" yaml:"mail_params"` // what follows the reverse-path (RFC 5321 4.1.1.2)
	Needs      string   `json:"needs,omitempty" yaml:"-"`                 // an EHLO keyword that must be offered, and a parameter of it
	Before     []string `json:"before,omitempty" yaml:"-"`                // commands before MAIL; each must be answered 2yz or 3yz
	Header     string   `json:"header,omitempty" yaml:"-"`                // a line before the greeting
	Sources    bool     `json:"sources,omitempty" yaml:"-"`               // from each further source address and port
	// OptIn is the word that selects the row, as it reaches beyond asking; empty: it is in the default table. Rows
	// of one id are alternatives: the first that the server offers is tried, once.
	OptIn string `json:"opt_in,omitempty" yaml:"-"`
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
		plain("S7", []string{"{U}", "postmaster@{O}", "postmaster@{N}", "root@{O}", "info@{O}", "abuse@{O}"}, false, "RFC 2142 5", "a served mail domain or host name is known", "relay permitted for any existing local sender"),
		plain("S2", []string{""}, false, "RFC 5321 4.5.5", "always", "bounces relayed unchecked"),
		{ID: "I1", HELO: []string{"{O}", "{N}", "localhost", "localhost.localdomain", "[127.0.0.1]", "{T}"}, From: []string{ourFrom}, To: []string{plainTo}, Ref: "RFC 2505 2.1", When: "always; {O} and {N} when known", Catches: "trust in the HELO name: an access map permits it before the relay rule"},
		plain("S4", []string{"{s}@{N}"}, false, "RFC 2505 2.1", "the host name is known", "relay permitted for the host's own name as sender"),
		plain("S3", []string{"{s}", "{u}"}, true, "RFC 5321 2.3.5", "always", "a sender without domain counts as local"),
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
		route("R4", []string{`<"{t}%{C}">`, "<{t}%{C}>"}, true, "RFC 1123 5.2.16", "always", "the same with a percent, quoted or not"),
		route("R5", []string{"<{t}@{C}@{O}>", "<{t}@{C}@{N}>"}, true, "RFC 5321 4.1.2", "{O} or {N} known", "two at signs: the last is checked and the first used"),
		route("R6", []string{"<{t}@{C}@{T}>"}, true, "RFC 5321 4.1.2", "always", "two at signs with the address literal"),
		route("R11", []string{"<{C}!{t}>"}, true, "RFC 976 2.2", "always", "a bare bang path counts as local"),
		route("R14", []string{"<{t}@{C}@>"}, true, "RFC 5321 4.1.2", "always", "an empty last domain"),
		{ID: "R17", From: []string{ourFrom}, To: []string{"{t}@{C}", " <{t}@{C}>"}, Odd: true, Ref: "RFC 5321 4.1.1.3", When: "always", Catches: "a lax parser that skips the check: no angle brackets, a blank after the colon"},
		plain1("R20", Vector{To: []string{"<{t}@{M}>"}, Ref: "RFC 5321 5.1", When: "a domain of ours lists the target among its MX hosts (canary.mx_names)", Catches: "a server that relays for every domain whose MX records name it, as anyone can write them"}),
		plain1("R21", Vector{To: []string{"<{t}@ü.{C}>"}, MailParams: "SMTPUTF8", Needs: "SMTPUTF8", Ref: "RFC 6531 3.3", When: "SMTPUTF8 is offered; delivery needs a wildcard under {C}", Catches: "a domain in Unicode compared byte by byte with a list in ASCII"}),
		plain1("R22", Vector{To: []string{"<{t}@{L}>"}, Odd: true, Ref: "RFC 5321 4.1.3", When: "the sink's address is known (canary.listen)", Catches: "address literals of foreign hosts pass, as no list of domains names them"}),
		plain1("I13", Vector{Sources: true, Ref: "RFC 2505 2.1", When: "further sources are configured", Catches: "trust in one address, or in the port that a connection comes from"}),
		{ID: "I8", HELO: nil, From: nil, To: nil, Ref: "RFC 5321 4.5.4.2", When: "always", Catches: "listeners and address families with rules of their own: each address, port and family is a finding of its own, so nothing more is sent"},
		{ID: "I10", Ref: "RFC 5321 4.5.4.2", When: "ports 10024 to 10026", Catches: "the port where a content filter hands mail back, forgotten on a public address: a finding of its own, so nothing more is sent"},
		optIn("I2", "auth", "AUTH CRAM-MD5", []string{"AUTH CRAM-MD5", "{cram}"}, "RFC 2195", "any response to CRAM-MD5 is taken"),
		optIn("I3", "auth", "AUTH PLAIN", []string{"AUTH PLAIN {plain}"}, "RFC 4616", "any user and password are taken"),
		optIn("I3", "auth", "AUTH LOGIN", []string{"AUTH LOGIN", "{user}", "{user}"}, "RFC 4954 4", "the same, where LOGIN alone is offered"),
		optIn("I4", "auth", "AUTH ANONYMOUS", []string{"AUTH ANONYMOUS {user}"}, "RFC 4505", "anonymous SASL was left on, and relays"),
		optIn("I5", "xclient", "XCLIENT", []string{"XCLIENT ADDR=127.0.0.1", "EHLO {H}"}, "Postfix XCLIENT_README", "anyone may claim a trusted address by XCLIENT"),
		{ID: "I6", From: []string{ourFrom}, To: []string{plainTo}, Header: "PROXY {proxy}", OptIn: "proxy", Ref: "PROXY protocol 1, 2.1", When: "+proxy", Catches: "the port behind a load balancer is reachable: anyone may claim a trusted address"},
		{ID: "I9", From: []string{ourFrom}, To: []string{"{t}@{C}"}, OptIn: "qmtp", Ref: "QMTP and QMQP, D. J. Bernstein", When: "+qmtp, the service is QMTP or QMQP, and the scan goes as far as delivery: they have no way to ask without a message", Catches: "relays that speak no SMTP and that nobody remembers"},
		{ID: "I11", OptIn: "smuggling", Ref: "CVE-2023-51764, CVE-2023-51765, CVE-2023-51766", When: "+smuggling, and a canary was taken", Catches: "an end of data that is none: a second message hides in the first. No relay, a weakness"},
		{ID: "I12", OptIn: "injection", Ref: "CVE-2011-0411", When: "+injection, and STARTTLS is offered", Catches: "commands in clear are obeyed after STARTTLS. No relay, a weakness"},
	}
}

// plain1 is a row with our own sender and one recipient that is no route form.
func plain1(id string, v Vector) Vector {
	v.ID, v.From = id, []string{ourFrom}
	if v.To == nil {
		v.To = []string{plainTo}
	}
	return v
}

func optIn(id, group, needs string, before []string, ref, catches string) Vector {
	return Vector{ID: id, From: []string{ourFrom}, To: []string{plainTo}, Before: before, Needs: needs, OptIn: group, Ref: ref, When: "+" + group + ", " + needs + " is offered, and it does not relay without", Catches: catches}
}

// DefaultVectors are the rows that ask and do no more.
func DefaultVectors() []Vector {
	return slices.DeleteFunc(Vectors(), func(v Vector) bool { return v.OptIn != "" })
}

// SelectVectors picks rows of a table. Words are read from left to right: "default" is the rows that only ask, "all" the
// whole table, +word the rows of an opt-in group, an id that row, -id or -word takes away. A list that begins with + or -
// changes the default.
func SelectVectors(table []Vector, words []string) ([]Vector, error) {
	if len(words) == 0 || strings.HasPrefix(words[0], "-") || strings.HasPrefix(words[0], "+") {
		words = append([]string{"default"}, words...)
	}
	chosen := make([]bool, len(table))
	for _, w := range words {
		id := strings.TrimLeft(w, "+-")
		known := false
		for i, v := range table {
			if id == v.ID || id == v.OptIn || id == "all" || id == "default" && v.OptIn == "" {
				chosen[i], known = !strings.HasPrefix(w, "-"), true
			}
		}
		if !known || id == "" {
			return nil, fmt.Errorf("no vector %q: relaysweep vectors lists them", id)
		}
	}
	var out []Vector
	for i, v := range table {
		if chosen[i] {
			out = append(out, v)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no vectors are left to try")
	}
	return out, nil
}

// names are what a form's placeholders stand for at one server.
type names struct {
	canary  string   // {C}
	domains []string // {O}
	hosts   []string // {N}
	senders []string // {U}
	mxNames []string // {M}
	sink    netip.Addr
	hello   string // {H}
	addr    netip.Addr
	sources []netip.AddrPort // further ones
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

// expand replaces all placeholders but {t}, once for each value. At most two domains, one host and eight senders are
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
		{"{U}", firstN(n.senders, 8)},
		{"{M}", firstN(n.mxNames, 2)},
		{"{H}", []string{n.hello}},
		{"{T}", []string{literal(n.addr)}},
		{"{L}", []string{n.sinkLiteral()}},
		{"{u}", firstN(n.localParts(), 1)},
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

// sinkLiteral is the address literal of our sink, empty if its address is not known.
func (n names) sinkLiteral() string {
	if !n.sink.IsValid() {
		return ""
	}
	return literal(n.sink)
}

// localParts are those of the senders.
func (n names) localParts() (out []string) {
	for _, s := range n.senders {
		local, _, _ := strings.Cut(s, "@")
		out = append(out, local)
	}
	return out
}

func firstN(s []string, n int) []string { return s[:min(n, len(s))] }
