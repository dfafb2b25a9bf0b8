package fingerprint

import (
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// How much of a recog directory is read, and how long what it tells may be.
const (
	maxRecogFile     = 4 << 20 // bytes
	maxRecogPatterns = 5000    // in all files
	maxRecogPattern  = 4 << 10 // bytes
	maxRecogParams   = 64      // of one pattern
	maxRecogText     = 80      // bytes of a vendor, product, version or system
)

// Recog is fingerprints in the XML format of the recog project, for what our own tables don't know. The nil Recog
// knows nothing. It may be used by several goroutines at once.
type Recog struct{ prints []signature }

// signature is one pattern with what it tells.
type signature struct {
	from   source
	re     *regexp.Regexp
	params []param
}

// param is one thing that a pattern tells: a text of its own, or what a group of the match holds.
type param struct {
	Pos   int    `xml:"pos,attr"`
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

// source is which lines the patterns of a file are for, and how sure a match makes us.
type source struct {
	file string
	at   place
	code string // stands before each line there, with a hyphen but for the last
	sure int
}

// recogFiles is the files of a recog directory that are read, in order of preference. Its patterns for the replies to
// VRFY and EXPN are tried on all refusals, where several products say the same: so they are guesses.
var recogFiles = []source{
	{"smtp_banners.xml", greeting, "", 75},
	{"smtp_help.xml", help, "214", 70},
	{"smtp_help.xml", refusal, "", 70},
	{"smtp_ehlo.xml", ehlo, "250", 65},
	{"smtp_ehlo.xml", refusal, "", 65},
	{"smtp_vrfy.xml", refusal, "", 45},
	{"smtp_expn.xml", refusal, "", 45},
}

// LoadRecog reads the SMTP files of a recog directory: smtp_banners.xml, smtp_help.xml, smtp_ehlo.xml, smtp_vrfy.xml
// and smtp_expn.xml, as far as they are there. Patterns must be RE2.
func LoadRecog(fsys fs.FS) (*Recog, error) {
	r := &Recog{}
	read := make(map[string][]signature)
	n := 0
	for _, s := range recogFiles {
		prints, ok := read[s.file]
		if !ok {
			var err error
			if prints, err = readRecog(fsys, s.file, maxRecogPatterns-n); errors.Is(err, fs.ErrNotExist) {
				continue
			} else if err != nil {
				return nil, fmt.Errorf("recog %s: %w", s.file, err)
			}
			read[s.file] = prints
			n += len(prints)
		}
		for _, p := range prints {
			p.from = s
			r.prints = append(r.prints, p)
		}
	}
	if len(read) == 0 {
		return nil, fmt.Errorf("recog: %w: no smtp_banners.xml or other SMTP file in the directory", fs.ErrNotExist)
	}
	return r, nil
}

// readRecog reads one file, of at most so many patterns.
func readRecog(fsys fs.FS, name string, most int) ([]signature, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxRecogFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxRecogFile {
		return nil, fmt.Errorf("more than %d bytes", maxRecogFile)
	}
	var file struct {
		XMLName xml.Name `xml:"fingerprints"`
		Prints  []struct {
			Pattern     string  `xml:"pattern,attr"`
			Flags       string  `xml:"flags,attr"`
			Description string  `xml:"description"`
			Params      []param `xml:"param"`
		} `xml:"fingerprint"`
	}
	if err := xml.Unmarshal(b, &file); err != nil {
		return nil, err
	}
	if len(file.Prints) > most {
		return nil, fmt.Errorf("more than %d patterns in all", maxRecogPatterns)
	}
	var out []signature
	for i, p := range file.Prints {
		re, err := recogPattern(p.Pattern, p.Flags)
		if err == nil && len(p.Params) > maxRecogParams {
			err = fmt.Errorf("more than %d params", maxRecogParams)
		}
		for _, q := range p.Params {
			if err == nil && (q.Pos < 0 || q.Pos > re.NumSubexp()) {
				err = fmt.Errorf("param %s: the pattern has no group %d", clean(q.Name), q.Pos)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("pattern %d (%s): %w", i+1, cmp.Or(clean(p.Description), "no description"), err)
		}
		out = append(out, signature{re: re, params: p.Params})
	}
	return out, nil
}

// recogFlags is the flags of a pattern in RE2's words.
var recogFlags = map[string]string{"": "", "REG_ICASE": "i", "REG_MULTILINE": "m", "REG_DOT_NEWLINE": "s", "REG_LINE_ANY_CRLF": ""}

func recogPattern(pattern, flags string) (*regexp.Regexp, error) {
	if pattern == "" || len(pattern) > maxRecogPattern {
		return nil, fmt.Errorf("its length is %d, not 1 to %d bytes", len(pattern), maxRecogPattern)
	}
	var set string
	for word := range strings.FieldsFuncSeq(flags, func(r rune) bool { return r == ',' || r == '|' || r == ' ' }) {
		f, ok := recogFlags[word]
		if !ok {
			return nil, fmt.Errorf("unknown flag %q", clean(word))
		}
		set += f
	}
	if set != "" {
		pattern = "(?" + set + ")" + pattern
	}
	return regexp.Compile(pattern)
}

// Identify names the product that said e, by the first pattern in order of preference that names one. It is less sure
// than our own rules are where a product names itself.
func (r *Recog) Identify(e Evidence) (Service, bool) {
	if r == nil {
		return Service{}, false
	}
	lines := e.lines()
	last := make(map[place]int)
	for i, l := range lines {
		last[l.at] = i
	}
	for _, p := range r.prints {
		for i, l := range lines {
			if l.at != p.from.at {
				continue
			}
			text := l.text
			if p.from.code != "" {
				between := "-"
				if i == last[l.at] {
					between = " "
				}
				text = p.from.code + between + text
			}
			m := p.re.FindStringSubmatch(text)
			if m == nil {
				continue
			}
			if s := serviceOf(p.params, m); s.Product != "" {
				s.Evidence, s.Confidence = clip(l.text, maxEvidence), p.from.sure
				return s, true
			}
		}
	}
	return Service{}, false
}

// Merge adds what the patterns tell of e to our own answer. Ours stands where it is at least as sure; a version, a
// system or a CPE name that it lacks is filled in where both name the same product.
func (r *Recog) Merge(own Service, e Evidence) Service {
	theirs, ok := r.Identify(e)
	switch {
	case !ok:
		return own
	case own.Confidence == 0:
		return theirs
	case sameProduct(own, theirs):
		if own.Version == "" && theirs.Version != "" {
			own.Version = theirs.Version
			if k, ok := keyOf(own); ok {
				own.complete(k)
			} else {
				own.CPE23 = theirs.CPE23
			}
		}
		// Windows gives way to a release of it.
		if own.OS == "" || strings.HasPrefix(theirs.OS, own.OS+" ") {
			own.OS = cmp.Or(theirs.OS, own.OS)
		}
		own.CPE23 = cmp.Or(own.CPE23, theirs.CPE23)
		return own
	case theirs.Confidence > own.Confidence:
		return theirs
	}
	return own
}

// keyOf is the product of our own tables that a service names.
func keyOf(s Service) (string, bool) {
	for k, p := range products {
		if strings.EqualFold(p.name, s.Product) && strings.EqualFold(p.vendor, s.Vendor) {
			return k, true
		}
	}
	return "", false
}

// sameProduct says whether two services are of one product, which others may name in more words or fewer.
func sameProduct(a, b Service) bool {
	if x, y := strings.Split(a.CPE23, ":"), strings.Split(b.CPE23, ":"); len(x) > 4 && len(y) > 4 && slices.Equal(x[2:5], y[2:5]) {
		return true
	}
	x, y := strings.Fields(strings.ToLower(a.Product)), strings.Fields(strings.ToLower(b.Product))
	n := min(len(x), len(y))
	return n > 0 && (slices.Equal(x[:n], y[:n]) || slices.Equal(x[len(x)-n:], y[len(y)-n:]) && strings.EqualFold(a.Vendor, b.Vendor))
}

// serviceOf is what the params of a pattern make of a match. A pattern that tells of a device or a system alone names
// that.
func serviceOf(params []param, match []string) Service {
	told := make(map[string]string)
	for _, p := range params {
		if p.Pos > 0 {
			told[p.Name] = clean(match[p.Pos])
		}
	}
	for _, p := range params {
		if p.Pos == 0 {
			told[p.Name] = clean(filled(p.Value, told))
		}
	}
	s := Service{Vendor: told["service.vendor"], Product: told["service.product"], Version: told["service.version"], OS: systemOf(told), Kind: mta}
	cpe := "service.cpe23"
	if s.Product == "" {
		s = Service{Kind: appliance}
		for _, of := range []string{"hw", "os"} {
			if s.Product == "" {
				s.Vendor, s.Product, s.Version = told[of+".vendor"], told[of+".product"], told[of+".version"]
				cpe = of + ".cpe23"
			}
		}
	}
	for _, p := range params {
		if p.Name == cpe && p.Pos == 0 {
			s.CPE23 = cpe23(p.Value, told)
		}
	}
	if k, ok := keyOf(s); ok {
		theirs := s.CPE23
		s.Vendor, s.Product, s.Kind = products[k].vendor, products[k].name, products[k].kind
		s.complete(k)
		s.CPE23 = cmp.Or(s.CPE23, theirs)
	}
	return s
}

// systemOf is the operating system that a pattern tells, as our own tables would write it.
func systemOf(told map[string]string) string {
	name := told["os.product"]
	if vendor := told["os.vendor"]; name == "Linux" {
		name = cmp.Or(vendor, name)
	}
	if v := told["os.version"]; name != "" && v != "" {
		name += " " + v
	}
	return clean(cmp.Or(systems[strings.ToLower(name)], name))
}

// holder matches what stands for another param of the pattern: {service.version}.
var holder = regexp.MustCompile(`\{[\w.]+\}`)

// filled puts what is told for the placeholders of a value. What is not told leaves nothing.
func filled(value string, told map[string]string) string {
	return holder.ReplaceAllStringFunc(value, func(h string) string { return told[h[1:len(h)-1]] })
}

// cpe23 makes a CPE 2.3 formatted string of a param, which may be one or the older URI (cpe:/a:vendor:product:version),
// "" if it is neither. A version that is not told is "*".
func cpe23(value string, told map[string]string) string {
	rest, ok := strings.CutPrefix(value, "cpe:2.3:")
	if !ok {
		if rest, ok = strings.CutPrefix(value, "cpe:/"); !ok {
			return ""
		}
	}
	parts := strings.Split(rest, ":")
	if len(parts) < 3 || len(parts) > 11 || !slices.Contains([]string{"a", "o", "h"}, parts[0]) {
		return ""
	}
	for _, p := range parts[1:3] {
		if !cpeWord.MatchString(p) {
			return ""
		}
	}
	version := ""
	if len(parts) > 3 {
		if version = clean(filled(parts[3], told)); version == "-" || version == "*" {
			version = ""
		}
	}
	return product{cpe: strings.ToLower(strings.Join(parts[:3], ":"))}.cpeName(version)
}

var cpeWord = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,60}$`)

// clean makes a text from elsewhere fit for a field of a Service: short, of printable characters, blanks between words.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s[:min(len(s), 4*maxRecogText)])
	return strings.TrimSpace(clip(strings.Join(strings.Fields(s), " "), maxRecogText))
}
