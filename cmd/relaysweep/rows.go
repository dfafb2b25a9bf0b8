package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"relaysweep/probe"
)

// Rows of an operator's own in the vector table (vector_rows). Law 4 holds for them as for the table's: every recipient
// lies in the canary domain or is a route form that leads there, and no host is named that is not ours, as a lax server
// may send to it; nor as a sender, as bounces go there.

const (
	maxRows  = 64
	maxForms = 16  // of one field
	maxForm  = 256 // bytes
)

var (
	rowID       = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,15}$`)
	placeholder = regexp.MustCompile(`\{[^{}]*\}?|\}`)
	// hostNamed finds what a form names as a host: after @ or %, before !.
	hostNamed = regexp.MustCompile(`[@%]([^@%!:,<>"\\\s()/]*)|([^@%!:,<>"\\\s()/]*)!`)
	// takenIDs are words of --vectors with a meaning of their own.
	takenIDs = []string{"default", "all", "auth", "xclient", "proxy", "qmtp", "smuggling", "injection"}
	// placeholders are those of probe.Vector.
	placeholders = []string{"{t}", "{C}", "{s}", "{O}", "{N}", "{T}", "{U}", "{u}", "{H}", "{M}", "{L}"}
	// ourHosts are the placeholders that stand for hosts and domains of ours.
	ourHosts = []string{"{C}", "{O}", "{N}", "{T}", "{M}", "{L}", "{H}"}
	// nobodys are names that no third party can have (RFC 2606, RFC 6761).
	nobodys = []string{"localhost", "localdomain", "test", "example", "invalid", "example.com", "example.net", "example.org"}
)

// vectors are the rows that a scan tries.
func (s *settings) vectors() ([]probe.Vector, error) {
	return probe.SelectVectors(slices.Concat(probe.Vectors(), s.VectorRows), s.VectorWords)
}

// vectorRows checks the configuration's own rows. domains are the organisation's mail domains.
func (c *config) vectorRows(domains []string) ([]probe.Vector, error) {
	at := func(path string, args ...any) string { return c.where("$.vector_rows" + fmt.Sprintf(path, args...)) }
	if len(c.VectorRows) > maxRows {
		return nil, fmt.Errorf("%s: more than %d rows of your own", at("[%d]", maxRows), maxRows)
	}
	taken := make(map[string]bool)
	for _, v := range probe.Vectors() {
		taken[v.ID] = true
	}
	out := slices.Clone(c.VectorRows)
	for i := range out {
		v := &out[i]
		if !rowID.MatchString(v.ID) {
			return nil, fmt.Errorf("%s: %q is not an id: a letter, then up to 15 letters, digits, - or _", at("[%d]", i), v.ID)
		}
		if taken[v.ID] || slices.Contains(takenIDs, v.ID) {
			return nil, fmt.Errorf("%s: there is a vector %s already: relaysweep vectors lists them", at("[%d].id", i), v.ID)
		}
		taken[v.ID] = true
		if len(v.To) == 0 {
			return nil, fmt.Errorf("%s: vector %s has no recipient: write to: [\"<{t}@{C}>\"]", at("[%d]", i), v.ID)
		}
		if len(v.From) == 0 {
			v.From = []string{"{t}-b@{C}"} // ours, as most rows of the table have
		}
		for _, f := range []struct {
			key   string
			forms []string
			check func(string, []string) error
		}{
			{"helo", v.HELO, nil},
			{"from", v.From, checkHosts},
			{"to", v.To, checkRecipient},
			{"mail_params", []string{v.MailParams}, nil},
			{"ref", []string{v.Ref}, nil},
			{"when", []string{v.When}, nil},
			{"catches", []string{v.Catches}, nil},
		} {
			where := at("[%d].%s", i, f.key)
			if len(f.forms) > maxForms {
				return nil, fmt.Errorf("%s: vector %s has more than %d forms", where, v.ID, maxForms)
			}
			for j, form := range f.forms {
				if len(f.forms) > 1 {
					where = at("[%d].%s[%d]", i, f.key, j)
				}
				err := checkForm(form, f.key)
				if err == nil && f.check != nil {
					err = f.check(form, domains)
				}
				if err != nil {
					return nil, fmt.Errorf("%s: vector %s: %w", where, v.ID, err)
				}
			}
		}
	}
	return out, nil
}

// checkForm is what holds for any text of a row.
func checkForm(form, key string) error {
	control := func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }
	switch {
	case len(form) > maxForm:
		return fmt.Errorf("%s is longer than %d bytes", key, maxForm)
	case !utf8.ValidString(form) || strings.ContainsFunc(form, control):
		return fmt.Errorf("%s holds a control character: a form is part of one line", key)
	case slices.Contains([]string{"ref", "when", "catches"}, key): // for readers
		return nil
	}
	for _, p := range placeholder.FindAllString(form, -1) {
		if !slices.Contains(placeholders, p) {
			return fmt.Errorf("%q is no placeholder: they are %s", p, strings.Join(placeholders, " "))
		}
	}
	return nil
}

// checkRecipient holds that a recipient lies in the canary domain, or is a route form that names it.
func checkRecipient(form string, domains []string) error {
	address, rest := strings.TrimLeft(form, " "), ""
	if inner, ok := strings.CutPrefix(address, "<"); ok {
		if address, rest, ok = strings.Cut(inner, ">"); !ok {
			return fmt.Errorf("the recipient %q has no closing bracket", form)
		}
	} else if !strings.Contains(address, `"`) {
		address, rest, _ = strings.Cut(address, " ")
		rest = strings.TrimSuffix(" "+rest, " ")
	}
	if !strings.Contains(address, "{t}") || !strings.Contains(address, "{C}") {
		return fmt.Errorf("the recipient %q must hold {t} and {C}: every recipient lies in the canary domain", form)
	}
	if strings.Contains(form, "{U}") || strings.Contains(form, "{u}") {
		return errors.New("{U} and {u} name a person: nothing is sent to one")
	}
	if rest != "" && rest[0] != ' ' || strings.ContainsAny(rest, "<>,") {
		return fmt.Errorf("the recipient %q names more than one", form)
	}
	for _, next := range strings.Split(address, ",")[1:] {
		if !strings.HasPrefix(next, "@") { // only the hosts of a source route are written so
			return fmt.Errorf("the recipient %q names more than one", form)
		}
	}
	return checkHosts(form, domains)
}

// checkHosts holds that a form names no host but ours, or one that is nobody's.
func checkHosts(form string, domains []string) error {
	for _, m := range hostNamed.FindAllStringSubmatch(form, -1) {
		host := strings.TrimRight(m[1]+m[2], ".")
		ours := slices.Concat(ourHosts, nobodys, domains)
		if host != "" && host != "[127.0.0.1]" && !slices.ContainsFunc(ours, func(o string) bool {
			return strings.EqualFold(host, o) || len(host) > len(o) && strings.EqualFold(host[len(host)-len(o)-1:], "."+o)
		}) {
			return fmt.Errorf("%q in %q may be a stranger's host: mail or bounces could go there; write {C}, {O}, {N}, {T}, one of local.domains, or a name that RFC 2606 reserves", host, form)
		}
	}
	return nil
}
