package report

import (
	"net/netip"
	"regexp"
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
