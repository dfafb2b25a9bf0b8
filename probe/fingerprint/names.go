package fingerprint

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// maxNames is how many host names are returned at most, maxName the length of one: RFC 1035, Section 2.3.4.
const (
	maxNames = 16
	maxName  = 253
)

// A host name that can be looked up from elsewhere: two labels or more, the last one not a number. Underscores are no
// part of host names, and are seen all the same.
var (
	fqdn  = regexp.MustCompile(`^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+(?:[a-z]{2,63}|xn--[a-z0-9-]{1,59})$`)
	hello = regexp.MustCompile(`(?i)(?:^|\s)(?:Hello|Hi)\s+([^\s,;]+)`)
	token = regexp.MustCompile(`[\[(][\[(]?(?:IPv6:)?([0-9A-Fa-f:.]{2,45})(?:%\w+)?[\])]`)
)

// SeenAs returns who the server says that its client is, from the first line of its reply to EHLO: the address where it
// tells one ("mx.example.com Hello scanner.example.net [203.0.113.9]", as Exim, sendmail, OpenSMTPD, Exchange and others
// do), or else the name after Hello, which may be no more than what the client called itself. "" if it tells neither.
//
// An address other than the scanner's own is that of a proxy or of address translation on the way.
func SeenAs(e Evidence) string {
	if len(e.EHLO) == 0 {
		return ""
	}
	first := trim(e.EHLO[0])
	// The line begins with the server's own name, which may be an address literal.
	text := first
	if own, rest, _ := strings.Cut(first, " "); strings.HasPrefix(own, "[") {
		text = rest
	}
	for _, m := range slices.Backward(token.FindAllStringSubmatch(text, -1)) {
		if a, err := netip.ParseAddr(m[1]); err == nil {
			return a.Unmap().String()
		}
	}
	m := hello.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	name := strings.ToLower(strings.Trim(m[1], "[]()<>.!\""))
	if a, err := netip.ParseAddr(strings.TrimPrefix(name, "ipv6:")); err == nil {
		return a.Unmap().String()
	}
	if fqdn.MatchString(name) || name == "localhost" {
		return name
	}
	return ""
}

// HostNames returns the host names that the server gives itself in its greeting and in the first line of its reply to
// EHLO: lower case, without a dot at the end, each once, in the order met. Only names that look fully qualified, never
// addresses.
func HostNames(e Evidence) []string {
	var names []string
	add := func(word string) bool {
		name := strings.TrimSuffix(strings.ToLower(strings.Trim(word, "[](){}<>,;:\"'*")), ".")
		if len(name) > maxName || !fqdn.MatchString(name) {
			return false
		}
		if !slices.Contains(names, name) && len(names) < maxNames {
			names = append(names, name)
		}
		return true
	}
	for i, l := range e.Greeting[:min(len(e.Greeting), maxLines[greeting])] {
		for j, w := range strings.Fields(trim(l)) {
			if j > 0 && !inText(w) {
				continue
			}
			// The name comes first. In the first line it may come later: "Welcome to mail.example.com ESMTP".
			if add(w) || i > 0 {
				break
			}
		}
	}
	if len(e.EHLO) > 0 {
		if words := strings.Fields(trim(e.EHLO[0])); len(words) > 0 {
			add(words[0])
		}
	}
	return names
}

// inText says whether a word of a greeting's text may be a host name of the server's, and not the maker's web site.
func inText(word string) bool {
	return !strings.ContainsAny(word, "@/") && !strings.HasPrefix(strings.ToLower(strings.TrimLeft(word, "(<[")), "www.")
}
