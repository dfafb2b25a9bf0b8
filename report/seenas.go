package report

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// seenAs is the address that the server saw us come from: what it echoed at EHLO, else what it wrote into the Received
// line of a canary that came home (RFC 5321 4.4). Empty: it did not say.
func (e *Entry) seenAs() string {
	if e.Finding.SeenAs != "" {
		return strings.Trim(e.Finding.SeenAs, "[]")
	}
	if home := firstHome(&e.Finding); home != nil && home.Source == "" {
		if n := len(home.Home.Received); n > 0 {
			if a, ok := receivedFrom(home.Home.Received[n-1]); ok {
				return a.String()
			}
		}
	}
	return ""
}

// seenElsewhere is the address that the server saw us come from, where it is not our own.
func (e *Entry) seenElsewhere() (netip.Addr, bool) {
	seen, err := netip.ParseAddr(e.seenAs())
	ours, err2 := netip.ParseAddr(e.Finding.LocalAddr)
	return seen.Unmap(), err == nil && err2 == nil && seen.Unmap() != ours.Unmap()
}

// looksInside says that a server took us for one of the inside, where it did: it need not relay for that to be a fault, as
// whatever it trusts by address it trusts everybody with. A public address is not told of: the vantage itself may stand
// behind a translation.
func (r *Report) looksInside(e *Entry) []string {
	seen, elsewhere := e.seenElsewhere()
	if !elsewhere || r.inside(&e.Finding) || !r.ourSpace(seen) {
		return nil
	}
	return []string{fmt.Sprintf("it saw this scan come from %s, and it came from %s: source translation or a proxy makes outsiders look inside", seen, e.Finding.LocalAddr)}
}

// ourSpace reports whether an address is one that the inside has: a private one, or one in scope.
func (r *Report) ourSpace(a netip.Addr) bool {
	return a.IsPrivate() || slices.ContainsFunc(r.Scan.Scope, func(p netip.Prefix) bool { return p.Contains(a) })
}

var (
	saidName = regexp.MustCompile(`(?i)\b(?:helo|ehlo)[= ]\S+`)
	inBrace  = regexp.MustCompile(`[\[(](?:IPv6:)?([0-9A-Fa-f:.]{2,45})[\])]`)
)

// receivedFrom is the client's address in a Received line: the last one in brackets of the from clause, as what the
// client said of itself stands before it (Postfix, sendmail) or behind helo= (Exim).
func receivedFrom(line string) (netip.Addr, bool) {
	from, _, _ := strings.Cut(strings.Join(strings.Fields(line), " "), " by ")
	var found netip.Addr
	for _, m := range inBrace.FindAllStringSubmatch(saidName.ReplaceAllString(from, ""), 16) {
		if a, err := netip.ParseAddr(m[1]); err == nil {
			found = a.Unmap()
		}
	}
	return found, found.IsValid()
}
