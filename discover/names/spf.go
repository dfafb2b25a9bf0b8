package names

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// SPF is what a domain's SPF record says of addresses (RFC 7208), with all that it includes looked up. What only a
// message can tell (macros, exists, ptr) is left out.
type SPF struct {
	rules    []rule
	redirect *SPF
}

// rule is a mechanism. Where include is set it matches what that record lets send.
type rule struct {
	qualifier byte
	networks  []netip.Prefix
	include   *SPF
	all       bool
}

// Permits reports whether the record names an address as one that may send. "all" names none.
func (s *SPF) Permits(a netip.Addr) bool {
	if s == nil {
		return false
	}
	a = a.Unmap()
	for _, r := range s.rules {
		match := r.all || r.include.Permits(a)
		for _, n := range r.networks {
			match = match || n.Contains(a)
		}
		if match {
			return r.qualifier == '+' && !r.all
		}
	}
	return s.redirect.Permits(a)
}

// Networks are the networks that the record lets send, in its order. What an earlier mechanism takes away from one of
// them is not taken off: Permits knows.
func (s *SPF) Networks() []netip.Prefix {
	if s == nil {
		return nil
	}
	var out []netip.Prefix
	for _, r := range s.rules {
		if r.all {
			return out // what follows is never asked
		}
		if r.qualifier == '+' {
			out = append(out, r.networks...)
			out = append(out, r.include.Networks()...)
		}
	}
	return append(out, s.redirect.Networks()...)
}

// Permitting is the longest network by which the record lets an address send. It is not valid where the record does not.
func (s *SPF) Permitting(a netip.Addr) (longest netip.Prefix) {
	if !s.Permits(a) {
		return longest
	}
	for _, n := range s.Networks() {
		if n.Contains(a.Unmap()) && (!longest.IsValid() || n.Bits() > longest.Bits()) {
			longest = n
		}
	}
	return longest
}

// Bounds of one evaluation (RFC 7208 4.6.4). The text and its terms are bounded by us.
const (
	maxSPFLookups = 10
	maxSPFVoid    = 2
	maxSPFText    = 8 << 10
	maxSPFTerms   = 512
)

// ErrSPF is wrapped where a record is wrong or asks for too much. What was understood until then is used: it says which
// addresses are likely to be a domain's, and decides nothing.
var ErrSPF = errors.New("the SPF record is not usable in whole")

// SPF looks up what may send mail of a domain. Without a record it returns nil and no error.
func (r Resolver) SPF(ctx context.Context, domain string) (*SPF, error) {
	e := &evaluation{r: r, ctx: ctx, domain: domain}
	s := e.record(domain)
	return s, e.err
}

// evaluation counts what one record leads to.
type evaluation struct {
	r             Resolver
	ctx           context.Context
	domain        string
	lookups, void int
	err           error // the first one; nothing is looked up after it
}

func (e *evaluation) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf("%s: %w: %s", e.domain, ErrSPF, fmt.Sprintf(format, args...))
	}
}

// may counts one term that needs a lookup.
func (e *evaluation) may() bool {
	if e.err == nil && e.lookups == maxSPFLookups {
		e.fail("more than %d lookups", maxSPFLookups)
	}
	e.lookups++
	return e.err == nil && e.ctx.Err() == nil
}

// empty counts an answer without records.
func (e *evaluation) empty(name string) {
	if e.void++; e.void > maxSPFVoid {
		e.fail("more than %d lookups without an answer, the last for %s", maxSPFVoid, name)
	}
}

func (e *evaluation) record(domain string) *SPF {
	var texts []string
	for _, t := range e.r.TXT(e.ctx, domain) {
		if version, _, _ := strings.Cut(t, " "); strings.EqualFold(version, "v=spf1") {
			texts = append(texts, t)
		}
	}
	switch len(texts) {
	case 0:
		return nil
	case 1:
	default:
		e.fail("%s has more than one record", domain)
		return nil
	}
	terms, err := parseSPF(texts[0])
	if err != nil {
		e.fail("%s: %v", domain, err)
	}
	s := new(SPF)
	for _, t := range terms {
		name := t.domain
		if name == "" {
			name = domain
		}
		r := rule{qualifier: t.qualifier}
		switch t.name {
		case "all":
			r.all = true
		case "ip4", "ip6":
			r.networks = []netip.Prefix{t.network}
		case "a":
			if e.may() && known(name) {
				r.networks = e.hosts(name, t)
			}
		case "mx":
			if e.may() && known(name) {
				hosts := e.r.MX(e.ctx, name)
				if len(hosts) == 0 {
					e.empty(name)
				}
				for _, m := range hosts {
					r.networks = append(r.networks, e.hosts(m.Host, t)...)
				}
			}
		case "include", "redirect":
			var other *SPF
			if e.may() && known(name) {
				if other = e.record(name); other == nil {
					e.fail("%s has no record to %s", name, t.name)
				}
			}
			if t.name == "redirect" {
				s.redirect = other
				continue
			}
			r.include = other
		default: // exists, ptr
			e.may()
		}
		s.rules = append(s.rules, r)
	}
	return s
}

// known: names with macros in them are a message's (RFC 7208 7).
func known(name string) bool { return !strings.Contains(name, "%") && HostName(name) }

// hosts are the networks of a host's addresses.
func (e *evaluation) hosts(name string, t term) []netip.Prefix {
	var out []netip.Prefix
	addrs := e.r.Addrs(e.ctx, name)
	if len(addrs) == 0 {
		e.empty(name)
	}
	for _, a := range addrs {
		bits := t.bits6
		if a.Is4() {
			bits = t.bits4
		}
		if p, err := a.Prefix(bits); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// term is a mechanism, or the modifier redirect. Other modifiers are left out.
type term struct {
	qualifier    byte
	name         string
	domain       string // empty: the record's own
	network      netip.Prefix
	bits4, bits6 int // of addresses that are looked up
}

// parseSPF reads the terms of a record (RFC 7208 4.6.1, 12). A redirect comes last, wherever it stands, and counts only
// where there is no all (RFC 7208 6.1). With an error come the terms before the one that is wrong.
func parseSPF(text string) ([]term, error) {
	if len(text) > maxSPFText {
		return nil, fmt.Errorf("longer than %d bytes", maxSPFText)
	}
	words := strings.Fields(text)
	if len(words) == 0 || !strings.EqualFold(words[0], "v=spf1") {
		return nil, errors.New("no version 1")
	}
	if len(words) > maxSPFTerms {
		return nil, fmt.Errorf("more than %d terms", maxSPFTerms)
	}
	var out []term
	var redirect *term
	all := false
	finish := func() []term {
		if redirect != nil && !all {
			out = append(out, *redirect)
		}
		return out
	}
	for _, w := range words[1:] {
		t := term{qualifier: '+', bits4: 32, bits6: 128}
		if name, value, ok := strings.Cut(w, "="); ok && !strings.ContainsAny(name, ":/") {
			switch {
			case !strings.EqualFold(name, "redirect"):
				continue // exp, and modifiers to come
			case redirect != nil:
				return finish(), errors.New("more than one redirect")
			case value == "":
				return finish(), errors.New("a redirect to nowhere")
			}
			t.name, t.domain = "redirect", value
			redirect = &t
			continue
		}
		body := w
		if strings.ContainsRune("+-~?", rune(w[0])) {
			t.qualifier, body = w[0], w[1:]
		}
		if err := t.parse(body); err != nil {
			return finish(), fmt.Errorf("%.80q: %w", w, err)
		}
		all = all || t.name == "all"
		out = append(out, t)
	}
	return finish(), nil
}

// parse reads a mechanism behind its qualifier.
func (t *term) parse(body string) error {
	end := strings.IndexAny(body, ":/")
	if end < 0 {
		end = len(body)
	}
	t.name = strings.ToLower(body[:end])
	value, hasValue := strings.CutPrefix(body[end:], ":")
	switch t.name {
	case "all":
		if body[end:] != "" {
			return errors.New("all stands alone")
		}
		return nil
	case "ip4", "ip6":
		if !strings.Contains(value, "/") {
			a, err := netip.ParseAddr(value)
			if err != nil || a.Zone() != "" {
				return errors.New("no address")
			}
			t.network = netip.PrefixFrom(a, a.BitLen())
		} else if p, err := netip.ParsePrefix(value); err != nil {
			return errors.New("no network")
		} else {
			t.network = p.Masked()
		}
		if t.network.Addr().Is4() != (t.name == "ip4") {
			return errors.New("an address of the other family")
		}
		return nil
	case "a", "mx":
		if value, err := t.length(value); err != nil {
			return err
		} else if t.domain = value; hasValue && value == "" {
			return errors.New("no domain")
		}
		return nil
	case "include", "exists":
		if t.domain = value; value == "" {
			return errors.New("no domain")
		}
		return nil
	case "ptr":
		t.domain = value
		return nil
	}
	return errors.New("no such mechanism")
}

// length takes the prefix lengths off a value such as mx.example/24//64 (RFC 7208 5.6, dual-cidr-length).
func (t *term) length(value string) (string, error) {
	rest, six, ok := strings.Cut(value, "//")
	if ok && !bits(six, 128, &t.bits6) {
		return "", errors.New("no IPv6 prefix length")
	}
	name, four, ok := strings.Cut(rest, "/")
	if ok && !bits(four, 32, &t.bits4) {
		return "", errors.New("no IPv4 prefix length")
	}
	return name, nil
}

func bits(text string, most int, out *int) bool {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > most || strconv.Itoa(n) != text {
		return false
	}
	*out = n
	return true
}
