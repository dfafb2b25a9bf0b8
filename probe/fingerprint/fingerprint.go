// Package fingerprint names the product behind a mail service from what it said: an Evidence goes in, a Service comes
// out, with the line that told it. Nothing is sent and nothing is kept.
//
//	greeting ─┐                                     ┌─ strongest product, its version, OS, CPE
//	EHLO     ─┼─► each rule on each line ─► hits ─►─┤  more lines that agree: more confidence
//	HELP     ─┤   (table.go)                        └─ lines that only another product says: less, and both are shown
//	refusals ─┘
//
// What a server calls itself is what its operator lets it say. Texts of refusals, of HELP and the peculiar keywords of
// EHLO are rarely changed, and so bear witness for or against the greeting.
//
// The knowledge is tables: products, rules, and what is known of their versions (table.go). A Recog adds what files in
// the format of the recog project know. The lines come from strangers: work and results are bounded whatever they hold,
// and every field of a Service but Evidence is free of control characters.
package fingerprint

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// How much is read and told.
const (
	maxLine     = 512 // bytes of one line that are looked at: RFC 5321, Section 4.5.3.1.5
	maxEvidence = 200 // bytes of Service.Evidence
)

// maxLines is how many lines of each place are looked at; 64 in all.
var maxLines = [...]int{greeting: 8, ehlo: 24, help: 16, refusal: 16}

// Evidence is what a server said. Lines may be of any length and content, and may end in CR, LF or neither.
type Evidence struct {
	Greeting []string // text after the code of each line
	EHLO     []string // text after the code of each line; the first names the server, the others are keywords
	Help     []string // text after the code of each line of the reply to HELP
	// Refusals, whole lines with code: "454 4.7.1 <a@example.net>: Relay access denied". A reply of several lines may
	// be one element, with line breaks, and the code in its first line only.
	Errors []string
}

// Service is the product behind a service. The zero Service: not known.
type Service struct {
	Vendor  string
	Product string
	Version string // as the server writes it; "" if it does not tell
	// Release is the name that the version is sold by, where it is another one: "2016 CU23".
	Release string
	OS      string // operating system or distribution, if told; "Windows Server 2012 R2", "Debian"
	CPE23   string // CPE 2.3 formatted string; "" if we know no name. An unknown version is "*"
	// Evidence is the line that told it, without code where it is no refusal. If another line contradicts, it
	// follows after " | but: "; if a product in front let a line of the server behind it through, after
	// " | behind it: ". At most 200 bytes, control characters and all.
	Evidence string
	// Confidence is 1 to 100. 90 and more: it names itself, and nothing contradicts. 60 to 89: it says what only
	// this product is known to say. Below 50: a guess among several products that say this.
	Confidence int
	// Kind is "mta"; "sink", which takes mail and keeps it, or pretends to; "appliance", a gateway or device;
	// "library", somebody's own program; "", no mail server.
	Kind string
	// EndOfLife is the day (2006-01-02) on which the makers' support for the version ended or will end, "" if not
	// known. A distribution may support a version for longer.
	EndOfLife string
}

// place is where a line was said.
type place int

const (
	greeting place = iota
	ehlo
	help
	refusal
)

// line is one line as the rules see it.
type line struct {
	at   place
	text string
}

// hit is a rule that matched a line.
type hit struct {
	rule
	product
	line    string
	version string
	os      string
}

// matchers is the rules with their patterns compiled, once, when first needed.
var matchers = sync.OnceValue(func() []*regexp.Regexp {
	res := make([]*regexp.Regexp, len(rules))
	for i, r := range rules {
		res[i] = regexp.MustCompile(r.re)
	}
	return res
})

// Identify names the product that said e.
func Identify(e Evidence) Service {
	hits := match(e.lines())
	if len(hits) == 0 {
		return Service{}
	}
	best := strongest(hits)
	s := Service{
		Vendor:     best.vendor,
		Product:    best.name,
		Version:    best.version,
		OS:         best.os,
		Kind:       best.kind,
		Evidence:   clip(best.line, maxEvidence),
		Confidence: best.sure,
	}
	agreed := map[place]bool{best.at: true}
	var contrary, behind *hit
	for i := range hits {
		h := &hits[i]
		switch {
		case h.is == best.is:
			s.Version = cmp.Or(s.Version, h.version)
			s.OS = cmp.Or(s.OS, h.os)
			if !agreed[h.at] {
				agreed[h.at] = true
				s.Confidence = min(s.Confidence+4, 99)
			}
		case slices.Contains(best.speaks, h.is):
			if best.kind != sink { // which only imitates
				s.OS = cmp.Or(s.OS, h.os)
			}
			if i, ok := releaseOf(h.version); ok && h.is == iis && best.is == exchange {
				s.Version = cmp.Or(s.Version, releases[i].exchange)
			}
		case h.sure < 50 || h.front || slices.Contains(h.speaks, best.is):
			// Several products say this, or one that stands in front of best, or one made of it: it proves nothing.
		case best.front:
			if behind == nil || h.sure > behind.sure {
				behind = h
			}
		case h.at != greeting: // a greeting is easily written
			if contrary == nil || h.sure > contrary.sure {
				contrary = h
			}
		}
	}
	switch {
	case contrary != nil:
		doubt := contrary.sure
		if len(agreed) > 1 {
			doubt /= 2
		}
		s.Confidence = max(s.Confidence*(100-doubt)/100, 1)
		s.Evidence = both(best.line, " | but: ", contrary.line)
	case behind != nil:
		s.Evidence = both(best.line, " | behind it: ", behind.line)
	}
	s.OS = cmp.Or(s.OS, best.product.os)
	s.complete(best.is)
	return s
}

// complete adds what our tables know of a version of a product: its CPE name, the end of its support, the name that it
// is sold by, and the release of the distribution that it came with.
func (s *Service) complete(is string) {
	s.CPE23 = products[is].cpeName(s.Version)
	s.EndOfLife = endOf(is, s.Version)
	if i, ok := releaseOf(s.Version); ok && is == iis {
		s.EndOfLife = releases[i].end
	}
	if is == exchange {
		if s.Release = exchangeRelease(s.Version); s.Release != "" {
			year, update, _ := strings.Cut(s.Release, " ")
			s.EndOfLife = endOf(exchange, year)
			s.CPE23 = strings.Replace(products[is].cpeName(year), ":*", ":"+updates.Replace(cmp.Or(update, "*")), 1)
		}
	}
	for _, p := range packaged {
		if p.is == is && p.os == s.OS && inCycle(s.Version, p.cycle) {
			s.OS = p.release
			break
		}
	}
}

// match returns what the rules find, in the rules' order of preference, each rule at its first line.
func match(lines []line) []hit {
	var hits []hit
	for i, re := range matchers() {
		r := rules[i]
		for _, l := range lines {
			if l.at != r.at {
				continue
			}
			m := re.FindStringSubmatch(l.text)
			if m == nil {
				continue
			}
			h := hit{rule: r, product: products[r.is], line: l.text, os: r.os, version: r.version}
			for j, name := range re.SubexpNames() {
				switch {
				case m[j] == "":
				case name == "version":
					h.version = strings.TrimRight(m[j], ".-_")
				case name == "os":
					h.os = cmp.Or(systems[strings.ToLower(m[j])], m[j])
				}
			}
			if i, ok := releaseOf(h.version); ok && r.is == iis {
				h.os = releases[i].windows
			}
			hits = append(hits, h)
			break
		}
	}
	return hits
}

// strongest returns the hit that we are surest of; of equals, the first in order of preference. A product that others
// are made of, or that they imitate, yields to them.
func strongest(hits []hit) hit {
	yields := make(map[string]bool)
	for _, h := range hits {
		if h.sure >= 60 {
			for _, name := range h.speaks {
				yields[name] = true
			}
		}
	}
	best := -1
	for i, h := range hits {
		if !yields[h.is] && (best < 0 || h.sure > hits[best].sure) {
			best = i
		}
	}
	return hits[max(best, 0)]
}

// lines returns the lines that are looked at, cut to size.
func (e Evidence) lines() []line {
	var ls []line
	for at, texts := range [...][]string{greeting: e.Greeting, ehlo: e.EHLO, help: e.Help, refusal: e.Errors} {
		n := 0
		for _, t := range texts {
			code := ""
			for part := range strings.SplitSeq(t, "\n") {
				if n == maxLines[at] {
					break
				}
				n++
				if part = trim(part); place(at) == refusal {
					if m := coded.FindString(part); m != "" {
						code = m
					} else if code != "" {
						part = trim(code + " " + part)
					}
				}
				ls = append(ls, line{place(at), part})
			}
			if n == maxLines[at] {
				break
			}
		}
	}
	return ls
}

// coded matches the code of a line of a refusal.
var coded = regexp.MustCompile(`^[45]\d\d`)

// trim cuts a line to size and takes its end and surrounding blanks off.
func trim(s string) string {
	return strings.Trim(s[:min(len(s), maxLine)], " \t\r\n")
}

// clip cuts s to at most n bytes, not within a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// both puts two lines into one piece of evidence, half of the space for each; what one leaves goes to the other.
func both(a, between, b string) string {
	room := maxEvidence - len(between)
	a = clip(a, max(room/2, room-len(b)))
	return a + between + clip(b, room-len(a))
}

// cpeName returns the CPE 2.3 formatted string of the product in a version.
func (p product) cpeName(version string) string {
	if p.cpe == "" {
		return ""
	}
	if p.cpeParts > 0 {
		parts := strings.Split(version, ".")
		version = strings.Join(parts[:min(len(parts), p.cpeParts)], ".")
	}
	if strings.ContainsFunc(version, func(r rune) bool { return r < ' ' || r > '~' }) {
		version = "" // none that a CPE name can hold
	}
	var v strings.Builder
	for _, c := range []byte(strings.ToLower(version)) {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_') {
			v.WriteByte('\\') // NISTIR 7695, Section 6.2.2
		}
		v.WriteByte(c)
	}
	return "cpe:2.3:" + p.cpe + ":" + cmp.Or(v.String(), "*") + ":*:*:*:*:*:*:*"
}

// endOf returns the day on which support for the version of a product ends, "" if it is not in the table.
func endOf(name, version string) string {
	for _, e := range ends {
		if e.is == name && inCycle(version, e.cycle) {
			return e.day
		}
	}
	return ""
}

// updates writes an update of Exchange as the NVD does.
var updates = strings.NewReplacer("CU", "cumulative_update_", "SP", "service_pack_")

// exchangeRelease returns the year and the update that a build of Exchange is sold by, "" if it is no build that we know:
// 15.1.2507.6 is "2016 CU23".
func exchangeRelease(build string) string {
	parts := strings.Split(build, ".")
	if len(parts) < 3 {
		return ""
	}
	var n [3]int
	for i := range n {
		var err error
		if n[i], err = strconv.Atoi(parts[i]); err != nil {
			return ""
		}
	}
	name := ""
	for _, b := range builds {
		if b.major == n[0] && b.minor == n[1] && b.build <= n[2] {
			name = b.name
		}
	}
	return name
}

// releaseOf returns the index of the Windows release that an SMTP service of the version belongs to.
func releaseOf(version string) (int, bool) {
	i := slices.IndexFunc(releases, func(r release) bool { return inCycle(version, r.build) })
	return i, i >= 0
}

// inCycle says whether version is cycle or one of its members: 4.96.2 and 4.96_RC1 are of 4.96, 4.960 is not.
func inCycle(version, cycle string) bool {
	rest, ok := strings.CutPrefix(version, cycle)
	return ok && (rest == "" || rest[0] < '0' || rest[0] > '9')
}
