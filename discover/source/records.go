package source

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// Record is what an address plan (IPAM) says of a prefix; an address is a prefix of its full length.
type Record struct {
	Prefix netip.Prefix
	Name   string // of the host or the network
	Owner  string
	Site   string
	Tags   []string
	About  string // its description
	Where  string // file:line, or the NetBox that said so
}

// Plan is what one address plan says.
type Plan struct {
	Records []Record
	Notes   []string // what was not used of it, a line each
}

// Bounds of a plan, beside those of a source.
const (
	maxColumns = 256
	maxText    = 256 // bytes of one field
	maxTags    = 32
)

// IsURL reports whether a plan is asked for at a NetBox, and not read from a file.
func IsURL(where string) bool { return strings.Contains(where, "://") }

// CheckURL checks the URL of a NetBox. The error shows nothing of a password in it.
func CheckURL(where string) error {
	_, err := parseURL(where)
	return err
}

// Plan reads an address plan: a CSV file, an export of NetBox (JSON or CSV), or NetBox itself by its URL. One without
// a path to an endpoint means its prefixes and IP addresses.
func (f *Finder) Plan(ctx context.Context, where string) (Plan, error) {
	if IsURL(where) {
		return f.planOf(ctx, where)
	}
	file, err := os.Open(where)
	if err != nil {
		return Plan{}, err
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return Plan{}, fmt.Errorf("%s is a folder", where)
	}
	b, err := io.ReadAll(&bounded{r: file, left: maxBytes})
	if err != nil {
		return Plan{}, fmt.Errorf("%s: %w", where, err)
	}
	return readPlan(where, b, maxFound)
}

func (f *Finder) planOf(ctx context.Context, where string) (Plan, error) {
	u, err := parseURL(where)
	if err != nil {
		return Plan{}, err
	}
	ask := []*url.URL{u}
	if !strings.Contains(u.Path, "/api/") {
		ask = []*url.URL{u.JoinPath("api/ipam/prefixes/"), u.JoinPath("api/ipam/ip-addresses/")}
	}
	p := &planner{most: maxFound}
	body := &bounded{left: maxBytes}
	for _, u := range ask {
		read := func(r io.Reader) (string, error) {
			return readObjects(r, func(o planned) error { return p.object(o, "netbox:"+u.Host) })
		}
		if err := f.pages(ctx, u, body, read); err != nil {
			return Plan{}, err
		}
	}
	return p.plan, nil
}

// readPlan reads a file. Errors are one line that names the file, and the line where there is one.
func readPlan(name string, b []byte, most int) (Plan, error) {
	p := &planner{file: filepath.Base(name), most: most}
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	if !utf8.Valid(b) {
		return Plan{}, fmt.Errorf("%s:%d: not UTF-8: save it as CSV UTF-8, or as JSON", name, invalidLine(b))
	}
	start := bytes.TrimLeft(b, " \t\r\n")
	switch {
	case len(start) == 0:
		return Plan{}, fmt.Errorf("%s: empty: an address plan is a CSV file with names of columns in its first line, or an export of NetBox", name)
	case start[0] == '{' || start[0] == '[':
		n := 0
		next, err := readObjects(bytes.NewReader(b), func(o planned) error {
			n++
			return p.object(o, fmt.Sprintf("%s, object %d", p.file, n))
		})
		if err == nil && next != "" {
			err = errors.New("it is one page of several: export them all, or name the URL")
		}
		if err != nil {
			return Plan{}, fmt.Errorf("%s: %w", name, err)
		}
	default:
		if err := p.csv(name, b); err != nil {
			return Plan{}, err
		}
	}
	return p.plan, nil
}

func invalidLine(b []byte) int {
	line := 1
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			break
		}
		if r == '\n' {
			line++
		}
		b = b[n:]
	}
	return line
}

// planner gathers the records of a plan.
type planner struct {
	plan Plan
	file string
	most int
}

func (p *planner) add(r Record) error {
	if len(p.plan.Records) >= p.most {
		return fmt.Errorf("more than %d records: take it in parts", p.most)
	}
	p.plan.Records = append(p.plan.Records, r)
	return nil
}

// planPrefix reads a prefix, or an address. What stands as an address is a host even where the length of its network
// stands behind it, as NetBox writes it; a network's own address is the network.
func planPrefix(s string, isAddress bool) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return prefix, fmt.Errorf("%.60q is neither a prefix nor an address", s)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	if a := prefix.Addr(); a.Is4In6() {
		if prefix.Bits() < 96 {
			return prefix, fmt.Errorf("%.60q is a prefix of no family", s)
		}
		prefix = netip.PrefixFrom(a.Unmap(), prefix.Bits()-96)
	}
	if a := prefix.Addr(); isAddress && (prefix.Masked() != prefix || prefix.Bits() >= a.BitLen()-1) {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return prefix.Masked(), nil
}

// field makes one line of a text, and clips it.
func field(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

func tagsOf(list []string) (out []string) {
	for _, t := range list {
		if t = field(t); t != "" && len(out) < maxTags && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

func splitTags(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ';' || r == '|' })
}

// planned is a prefix or an IP address of NetBox, with what says whose it is.
type planned struct {
	Prefix      string `json:"prefix"`
	Address     string `json:"address"`
	Tenant      named  `json:"tenant"`
	Site        named  `json:"site"` // before NetBox 4.2
	Scope       named  `json:"scope"`
	DNSName     string `json:"dns_name"`
	Description string `json:"description"`
	Tags        tags   `json:"tags"`
	Assigned    *struct {
		Device  named `json:"device"`
		Machine named `json:"virtual_machine"`
	} `json:"assigned_object"`
}

// named is {"name": ...}, {"display": ...}, the name alone, or null.
type named string

func (n *named) UnmarshalJSON(b []byte) error {
	var word string
	if json.Unmarshal(b, &word) == nil { // null leaves it empty
		*n = named(word)
		return nil
	}
	var o struct {
		Name    string `json:"name"`
		Display string `json:"display"`
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return errors.New("a name that is neither a word nor an object")
	}
	if *n = named(o.Name); o.Name == "" {
		*n = named(o.Display)
	}
	return nil
}

// tags are a list of words or of objects with a name.
type tags []string

func (t *tags) UnmarshalJSON(b []byte) error {
	var list []named
	if err := json.Unmarshal(b, &list); err != nil {
		return errors.New("tags that are no list of names")
	}
	for _, n := range list {
		*t = append(*t, string(n))
	}
	return nil
}

func (p *planner) object(o planned, where string) error {
	s, isAddress := strings.TrimSpace(o.Prefix), false
	if s == "" {
		s, isAddress = strings.TrimSpace(o.Address), true
	}
	if s == "" {
		return errors.New("neither prefix nor address: export prefixes or IP addresses")
	}
	prefix, err := planPrefix(s, isAddress)
	if err != nil {
		return err
	}
	r := Record{Prefix: prefix, Name: field(o.DNSName), Owner: field(string(o.Tenant)), Site: field(string(o.Scope)), Tags: tagsOf(o.Tags), About: field(o.Description), Where: where}
	if r.Site == "" {
		r.Site = field(string(o.Site))
	}
	if r.Name == "" && o.Assigned != nil {
		if r.Name = field(string(o.Assigned.Device)); r.Name == "" {
			r.Name = field(string(o.Assigned.Machine))
		}
	}
	return p.add(r)
}

// planColumns are the names that a column may have, best first: ours, those of NetBox's exports, and Japanese ones.
var planColumns = map[string][]string{
	"prefix":  {"prefix", "network", "subnet", "cidr", "プレフィックス", "ネットワーク"},
	"address": {"address", "ip", "ip address", "ip_address", "ipアドレス", "アドレス"},
	"name":    {"name", "hostname", "dns_name", "dns name", "host", "host name", "ホスト名", "名称"},
	"owner":   {"owner", "tenant", "contact", "department", "所管課", "担当課", "担当者"},
	"site":    {"site", "scope", "location", "設置場所", "拠点"},
	"tags":    {"tags", "tag", "タグ"},
	"about":   {"description", "comment", "comments", "備考", "説明"},
}

// csv reads a file with the names of its columns in the first line. Commas, semicolons (Excel in Europe) or tabs stand
// between them.
func (p *planner) csv(name string, b []byte) error {
	skipped := 0
	if line, rest, _ := bytes.Cut(b, []byte("\n")); bytes.HasPrefix(line, []byte("sep=")) { // Excel's own word
		b, skipped = rest, 1
	}
	first, _, _ := bytes.Cut(bytes.TrimLeft(b, "\r\n"), []byte("\n"))
	d := csv.NewReader(bytes.NewReader(b))
	d.FieldsPerRecord, d.ReuseRecord = -1, true
	for _, c := range ";\t" {
		if bytes.Count(first, []byte(string(c))) > bytes.Count(first, []byte(string(d.Comma))) {
			d.Comma = c
		}
	}
	d.TrimLeadingSpace = d.Comma != '\t' // a tab would be taken for such space
	at := func(err error) error {
		var parse *csv.ParseError
		if errors.As(err, &parse) {
			return fmt.Errorf("%s:%d: %w", name, parse.StartLine+skipped, parse.Err)
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	head, err := d.Read()
	if err != nil {
		return at(err)
	}
	if len(head) > maxColumns {
		return fmt.Errorf("%s:%d: more than %d columns", name, 1+skipped, maxColumns)
	}
	columns := p.columns(head)
	if len(columns["prefix"])+len(columns["address"]) == 0 {
		return fmt.Errorf("%s:%d: no column prefix, address or ip: the first line names the columns", name, 1+skipped)
	}
	blank, firstBlank := 0, 0
	for {
		row, err := d.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return at(err)
		}
		line, _ := d.FieldPos(0)
		line += skipped
		get := func(column string) string {
			for _, i := range columns[column] {
				if i < len(row) && strings.TrimSpace(row[i]) != "" {
					return strings.TrimSpace(row[i])
				}
			}
			return ""
		}
		s, isAddress := get("prefix"), false
		if s == "" {
			s, isAddress = get("address"), true
		}
		if s == "" {
			if slices.ContainsFunc(row, func(s string) bool { return strings.TrimSpace(s) != "" }) {
				if blank++; blank == 1 {
					firstBlank = line
				}
			}
			continue
		}
		prefix, err := planPrefix(s, isAddress)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", name, line, err)
		}
		err = p.add(Record{
			Prefix: prefix, Name: field(get("name")), Owner: field(get("owner")), Site: field(get("site")), Tags: tagsOf(splitTags(get("tags"))), About: field(get("about")),
			Where: fmt.Sprintf("%s:%d", p.file, line),
		})
		if err != nil {
			return fmt.Errorf("%s:%d: %w", name, line, err)
		}
	}
	if blank > 0 {
		p.plan.Notes = append(p.plan.Notes, fmt.Sprintf("%s: rows without an address, which were left out: %d, the first in line %d", p.file, blank, firstBlank))
	}
	return nil
}

// columns finds the columns of each kind, best first. The others are named once.
func (p *planner) columns(head []string) map[string][]int {
	out := make(map[string][]int)
	used := make([]bool, len(head))
	for kind, labels := range planColumns {
		for _, l := range labels {
			for i, h := range head {
				if strings.EqualFold(strings.TrimSpace(h), l) {
					out[kind] = append(out[kind], i)
					used[i] = true
				}
			}
		}
	}
	var other []string
	for i, h := range head {
		if h = field(h); !used[i] && h != "" {
			other = append(other, fmt.Sprintf("%.40q", h))
		}
	}
	if len(other) > 0 {
		if n := len(other) - 16; n > 0 {
			other = append(other[:16], fmt.Sprintf("and %d more", n))
		}
		p.plan.Notes = append(p.plan.Notes, fmt.Sprintf("%s: columns that are not used: %s", p.file, strings.Join(other, ", ")))
	}
	return out
}
