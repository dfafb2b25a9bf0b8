package firewall

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Export is one file of a device.
type Export struct {
	File
	Data []byte
}

// language reads the exports of one kind of device.
type language struct {
	name string // as Ruleset.Language has it
	// export is the command that makes an export which can be read.
	export string
	// is reports whether a file is in this language, from its beginning (at most sniff bytes, without a byte order mark).
	is func(start []byte) bool
	// read adds what the files say to a ruleset. All of them are in the language. What is not understood becomes a Note.
	// An error is for a file that cannot be used at all, and names file and line.
	read func(rs *Ruleset, files []Export) error
	// edit writes a change as one would tell it to the device; nil where it cannot be said.
	edit func(rs *Ruleset, e Edit) []string
}

// languages are asked in this order: what is told by little comes last.
var languages = []language{
	iptables,
	nftables,
	pfsense,
	opnsense,
	asaLanguage,
	iosLanguage,
	{name: "fortigate", export: fortiExport, is: isFortigate, read: readFortigate, edit: editFortigate},
	{name: "panos", export: panosExport, is: isPANOS, read: readPANOS, edit: editPANOS},
	{name: "vyos", export: vyosExport, is: isVyOS, read: readVyOS, edit: editVyOS},
	{name: "aws", export: awsExport, is: isAWS, read: readAWS, edit: editAWS},
	{name: "azure", export: azureExport, is: isAzure, read: readAzure, edit: editAzure},
	{name: "gcp", export: gcpExport, is: isGCP, read: readGCP, edit: editGCP},
	{name: "csv", export: csvExport, is: isCSV, read: readCSV, edit: editCSV},
}

const (
	maxExport = 256 << 20 // larger exports are refused
	sniff     = 64 << 10
)

// Languages lists the languages with the command that makes an export.
func Languages() [][2]string {
	var out [][2]string
	for _, l := range languages {
		out = append(out, [2]string{l.name, l.export})
	}
	return out
}

// ReadFiles reads the exports of one device.
func ReadFiles(device string, names ...string) (*Ruleset, error) {
	var files []Export
	for _, name := range names {
		f, err := readFile(name)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return Read(device, files...)
}

func readFile(name string) (Export, error) {
	e := Export{File: File{Name: name}}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return e, fmt.Errorf("%s: there is no such file", name)
	} else if err != nil {
		return e, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return e, err
	case info.IsDir():
		return e, fmt.Errorf("%s is a folder: name the exports in it", name)
	case info.Size() > maxExport:
		return e, fmt.Errorf("%s: larger than %d MB: no export is", name, maxExport>>20)
	}
	start := make([]byte, sniff)
	n, err := io.ReadFull(f, start)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return e, err
	}
	if find(start[:n]) == nil { // before all of it is read
		return e, notAnExport(name, start[:n])
	}
	rest, err := io.ReadAll(io.LimitReader(f, maxExport))
	if err != nil {
		return e, err
	}
	e.Data = append(start[:n:n], rest...)
	e.Time = info.ModTime().UTC()
	e.SHA256 = fmt.Sprintf("%x", sha256.Sum256(e.Data))
	return e, nil
}

var bom = []byte("\xef\xbb\xbf")

// find tells the language of a file.
func find(start []byte) *language {
	start = bytes.TrimPrefix(start[:min(len(start), sniff)], bom)
	for i := range languages {
		if languages[i].is(start) {
			return &languages[i]
		}
	}
	return nil
}

func notAnExport(name string, start []byte) error {
	if len(bytes.TrimSpace(start)) == 0 {
		return fmt.Errorf("%s: is empty: make the export again", name)
	}
	var known []string
	for _, l := range languages {
		known = append(known, l.name)
	}
	return fmt.Errorf("%s:1: is no rule export that is known; relaysweep rules check --languages tells what to export from each of: %s", name, strings.Join(known, ", "))
}

// Read reads the exports of one device: all in one language.
func Read(device string, files ...Export) (*Ruleset, error) {
	rs := &Ruleset{Device: device, Chains: make(map[string]*Chain)}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no export is named", device)
	}
	var lang *language
	for i := range files {
		f := &files[i]
		l := find(f.Data)
		switch {
		case l == nil:
			return nil, notAnExport(f.Name, f.Data)
		case lang == nil:
			lang = l
		case lang != l:
			return nil, fmt.Errorf("%s:1: is %s, and %s is %s: the exports of one device are in one language", f.Name, l.name, files[0].Name, lang.name)
		}
		f.Data = bytes.TrimPrefix(f.Data, bom)
		if bytes.IndexByte(f.Data, '\r') >= 0 { // mixed line ends; a lone CR is one too, so that lines keep their numbers
			f.Data = bytes.ReplaceAll(bytes.ReplaceAll(f.Data, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
		}
		rs.Files = append(rs.Files, f.File)
		if f.Time.After(rs.Exported) {
			rs.Exported = f.Time
		}
	}
	rs.Language = lang.name
	if err := lang.read(rs, files); err != nil {
		return nil, err
	}
	for _, c := range rs.Chains {
		for _, r := range c.Rules {
			r.Text, r.Comment, r.Name = clean(r.Text, 500), clean(r.Comment, 300), clean(r.Name, 200)
			if owner, ticket := signed(r.Comment); r.Owner == "" || r.Ticket == "" {
				r.Owner, r.Ticket = first(r.Owner, owner), first(r.Ticket, ticket)
			}
		}
	}
	for i := range rs.Notes {
		rs.Notes[i].Text = clean(rs.Notes[i].Text, 500)
	}
	return rs, nil
}

// note adds what was not understood. There is a limit, so that garbage does not fill the memory.
func (rs *Ruleset) note(where Place, format string, args ...any) {
	const most = 1000
	if len(rs.Notes) < most {
		rs.Notes = append(rs.Notes, Note{where, fmt.Sprintf(format, args...)})
	} else if len(rs.Notes) == most {
		rs.Notes = append(rs.Notes, Note{where, "and further lines were not understood"})
	}
}

func first(texts ...string) string {
	i := slices.IndexFunc(texts, func(s string) bool { return s != "" })
	if i < 0 {
		return ""
	}
	return texts[i]
}

var (
	// secret finds words behind which exports and people have what must not be shown. Between the two may stand a kind of
	// it: password 7 …, psksecret ENC …, community ro …
	secret = regexp.MustCompile(`(?i)((?:(?:pass(?:word|wd|phrase)|secret|psk(?:secret)?|community|(?:private|shared|auth|api|pre-shared)[-_ ]?key|key-string|token|authkey|privkey)["']?\s*[:=>：＝]?|(?:パスワード|\b(?:pass|pwd|pw))["']?\s*[:=：＝]|\bbearer\s)\s*(?:(?:ENC|ro|rw|is|[0-9])\s+)?)("[^"]*"|'[^']*'|[^\s"'<,;}]+)`)
	// secretURL is a password in an address: https://user:password@host.
	secretURL = regexp.MustCompile(`(://[^\s/:@"'<>]*:)[^\s/@"'<>]+@`)
	// secretPass is what may be a password behind a bare "pass", which is an action too: "pass in", "pass inet6".
	secretPass = regexp.MustCompile(`(?i)(\bpass\s+)([a-z]+[0-9][^\s"'<,;}]*|[0-9]+[a-z][^\s"'<,;}]*)`)
)

// secretRoots is in every text that these match: to look for them is quicker.
var secretRoots = []string{"pass", "secret", "psk", "community", "key", "token", "pw", "パスワード", "bearer", "://"}

// clean cuts a text and takes secrets out of it. Control bytes are escaped where the text is shown.
func clean(s string, most int) string {
	if len(s) > 4*most {
		s = s[:4*most]
	}
	if lower := strings.ToLower(s); slices.ContainsFunc(secretRoots, func(root string) bool { return strings.Contains(lower, root) }) {
		s = secretURL.ReplaceAllString(secret.ReplaceAllString(s, "${1}…"), "${1}…@")
		s = secretPass.ReplaceAllStringFunc(s, func(m string) string {
			at := strings.LastIndexAny(m, " \t\n") + 1
			if slices.Contains([]string{"inet4", "inet6", "ipv4", "ipv6"}, strings.ToLower(m[at:])) {
				return m
			}
			return m[:at] + "…"
		})
	}
	s = strings.ToValidUTF8(s, "\ufffd")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

var (
	ownerForm  = regexp.MustCompile(`(?i)(?:\b(?:owner|contact)|担当(?:者|課)?|所管(?:課)?)\s*[:=：]\s*([^\s,;|、。]+)`)
	ticketForm = regexp.MustCompile(`(?:\b([A-Z]{2,10}-\d{1,10}|(?:CHG|INC|REQ|RITM|TASK|CR)\d{3,12})\b|\b(?i:ticket|change|case|ref|req)\s*[:=#]?\s*#?([A-Za-z]{0,10}-?\d{2,12})\b|#(\d{2,12})\b)`)
)

// signed finds owner and ticket in a comment: "owner: netops@org.example CHG0012345".
func signed(comment string) (owner, ticket string) {
	if m := ownerForm.FindStringSubmatch(comment); m != nil {
		owner = m[1]
	}
	if m := ticketForm.FindStringSubmatch(comment); m != nil {
		ticket = first(m[1:]...)
	}
	return owner, ticket
}

// lines numbers the lines of offsets that only grow, without reading the text again.
type lines struct {
	data []byte
	at   int
	line int
}

// of is the line of an offset, from 1.
func (l *lines) of(offset int) int {
	offset = min(offset, len(l.data))
	if offset < l.at {
		l.at, l.line = 0, 0
	}
	l.line += bytes.Count(l.data[l.at:offset], []byte("\n"))
	l.at = offset
	return l.line + 1
}
