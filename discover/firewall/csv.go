package firewall

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A plain CSV is for every device that has no language of its own here. Its first row names the columns, in any order;
// action, dst and dport are needed. Cells are parted by commas, or by semicolons or tabs where the first row is.
//
//	step      the list that the row is in, default "rules". Packets meet the lists in the order of their first rows: what
//	          stands behind a dnat list sees the translated destination, what stands behind an snat list the new source
//	kind      filter (the default), dnat or snat. Lists of one name and two kinds are two lists
//	id        what the device calls the row. The filter row with the id policy is for what no row matches; without one,
//	          that is denied
//	action    filter: accept, drop, reject. dnat and snat: translate; exempt, for what no later row shall translate
//	enabled   yes (the default) or no
//	in, out   interfaces or zones
//	protocol  tcp, udp, icmp, a number, …
//	src, dst  addresses, prefixes, ranges (10.0.0.1-10.0.0.9)
//	sport     ports and ranges, or smtp, smtps, submission
//	dport     alike
//	to_addr   of translate: what the address becomes; interface is the address of the interface that the packet leaves
//	          by (snat) or came in by (dnat)
//	to_port   of translate: what the port becomes
//	comment   owner and ticket are looked for in it, where they have no column
//	owner, ticket
//	hits      packets that the row matched
//	last_hit  when it last did: 2026-03-01, 2026-03-01T08:00:00Z
//
// An empty cell, or any, says nothing. Several values are parted by spaces, | or commas; a ! before the first negates
// them all. In a list the first row that matches decides. Lists judge the first packet of a connection only. Of a value that cannot be
// read nobody knows whether it matches, and a note says so.
var csvColumns = []string{
	"step", "kind", "id", "action", "enabled", "in", "out", "protocol", "src", "sport", "dst", "dport",
	"to_addr", "to_port", "comment", "owner", "ticket", "hits", "last_hit",
}

const (
	csvRows   = 200_000 // no list of rules has more
	csvValues = 65_536  // in one cell
)

var csvExport = "a CSV with the columns " + strings.Join(csvColumns, ", ")

var csvActions = map[string]Action{
	"accept": Accept, "allow": Accept, "permit": Accept, "pass": Accept,
	"drop": Drop, "deny": Drop, "block": Drop, "discard": Drop,
	"reject": Reject, "translate": Translate, "exempt": Exempt,
}

var protocols = map[string]uint8{
	"icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58, "icmp6": 58,
	"ospf": 89, "pim": 103, "vrrp": 112, "sctp": 132,
}

// mailPorts are the services that lists of rules call by name here. Others are words.
var mailPorts = map[string]uint16{
	"smtp": 25, "smtps": 465, "ssmtp": 465, "submissions": 465, "urd": 465, "submission": 587, "msa": 587,
}

func csvComma(start []byte) (comma rune, header []string) {
	line, _, _ := bytes.Cut(bytes.TrimLeft(start, "\r\n"), []byte("\n"))
	line, _, _ = bytes.Cut(line, []byte("\r"))
	most := 0
	comma = ','
	for _, c := range ",;\t" {
		if n := bytes.Count(line, []byte(string(c))); n > most {
			most, comma = n, c
		}
	}
	for _, cell := range strings.Split(string(line), string(comma)) {
		header = append(header, csvName(strings.Trim(strings.TrimSpace(cell), `"`)))
	}
	return comma, header
}

func csvName(s string) string {
	return strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(strings.TrimSpace(s)))
}

func isCSV(start []byte) bool {
	_, header := csvComma(start)
	return slices.Contains(header, "action") && (slices.Contains(header, "dst") || slices.Contains(header, "dport"))
}

func readCSV(rs *Ruleset, files []Export) error {
	c := csvReader{rs: rs, last: make(map[*Chain]*Rule), zones: make(map[string]bool)}
	for _, f := range files {
		if err := c.file(f); err != nil {
			return err
		}
	}
	for _, step := range rs.Steps {
		chain := rs.Chains[step.Chain]
		if r := c.last[chain]; r != nil {
			chain.Rules = append(chain.Rules, r)
		}
	}
	rs.Others = true // rows name some of the zones
	return nil
}

type csvReader struct {
	rs    *Ruleset
	rows  int
	last  map[*Chain]*Rule // a policy row that is more than a policy: the list's last rule
	zones map[string]bool
}

func (c *csvReader) file(f Export) error {
	comma, _ := csvComma(f.Data)
	r := csv.NewReader(bytes.NewReader(f.Data))
	r.Comma, r.FieldsPerRecord, r.ReuseRecord = comma, -1, true
	count := lines{data: f.Data}
	var header []string
	for begin := 0; ; begin = int(r.InputOffset()) {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			var p *csv.ParseError
			line := count.of(begin)
			if errors.As(err, &p) {
				line, err = p.StartLine, p.Err
			}
			return fmt.Errorf("%s:%d: the row has no end (%w); export the rules again, with quotes doubled inside of quoted cells", f.Name, line, err)
		}
		line, _ := r.FieldPos(0)
		where := Place{File: f.Name, Line: line}
		text := bytes.TrimSpace(f.Data[begin:r.InputOffset()])
		if n := bytes.Count(text, []byte("\n")); n > 0 {
			where.End = line + n
		}
		if header == nil {
			if header, err = csvHeader(f.Name, line, cells); err != nil {
				return err
			}
			continue
		}
		if !slices.ContainsFunc(cells, func(s string) bool { return strings.TrimSpace(s) != "" }) {
			continue
		}
		if c.rows++; c.rows > csvRows {
			return fmt.Errorf("%s:%d: more than %d rows: no list of rules has; export the rules only", f.Name, line, csvRows)
		}
		row := csvRow{where: where, text: string(text), cells: make(map[string]string, len(header)), rs: c.rs}
		for i, cell := range cells {
			if i < len(header) {
				row.cells[header[i]] = strings.TrimSpace(cell)
			} else if strings.TrimSpace(cell) != "" {
				row.unread("a cell beyond the last column", cell)
			}
		}
		if len(cells) < len(header) {
			row.unread("fewer cells than columns:", fmt.Sprint(len(cells)))
		}
		c.row(&row)
	}
	if header == nil {
		return fmt.Errorf("%s:1: has no row; export %s", f.Name, csvExport)
	}
	return nil
}

func csvHeader(name string, line int, cells []string) ([]string, error) {
	var header, unknown []string
	for _, cell := range cells {
		cell = csvName(cell)
		switch {
		case slices.Contains(header, cell):
			return nil, fmt.Errorf("%s:%d: two columns %q", name, line, clean(cell, 80))
		case !slices.Contains(csvColumns, cell):
			unknown = append(unknown, fmt.Sprintf("%q", clean(cell, 80)))
		}
		header = append(header, cell)
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("%s:%d: no such column: %s; the columns are %s", name, line, clean(strings.Join(unknown, ", "), 300), strings.Join(csvColumns, ", "))
	}
	for _, need := range []string{"action", "dst", "dport"} {
		if !slices.Contains(header, need) {
			return nil, fmt.Errorf("%s:%d: no column %s; export %s", name, line, need, csvExport)
		}
	}
	return header, nil
}

// csvRow is one row as it is read.
type csvRow struct {
	rs    *Ruleset
	where Place
	text  string
	cells map[string]string
	match Match
}

// unread says that nobody knows whether a row matches, because of a cell.
func (r *csvRow) unread(column, value string) {
	word := clean(column+" "+value, 80)
	r.match = append(r.match, Term{Field: Unmodelled, Word: word})
	r.rs.note(r.where, "%s is not understood: the row may match or not", word)
}

func (c *csvReader) row(row *csvRow) {
	rule := &Rule{
		ID: clean(first(row.cells["id"], strconv.Itoa(row.where.Line)), 100), Where: row.where, Text: row.text,
		Comment: row.cells["comment"], Owner: clean(row.cells["owner"], 100), Ticket: clean(row.cells["ticket"], 100),
	}
	kind := Filter
	switch k := row.cells["kind"]; strings.ToLower(k) {
	case "", "filter":
	case "dnat":
		kind = DNAT
	case "snat":
		kind = SNAT
	default:
		row.unread("kind", k)
	}
	chain := c.chain(first(clean(row.cells["step"], 100), "rules"), kind, row.where)

	switch e := row.cells["enabled"]; strings.ToLower(e) {
	case "", "yes", "true", "1", "on", "enabled":
	case "no", "false", "0", "off", "disabled":
		rule.Disabled = true
	default:
		row.unread("enabled", e)
	}
	row.names("in", In)
	row.names("out", Out)
	for _, name := range slices.Concat(csvList(row.cells["in"]), csvList(row.cells["out"])) {
		c.zone(strings.TrimPrefix(name, "!"))
	}
	row.values("protocol", Proto, csvProtocol)
	row.values("src", SrcAddr, addrRanges)
	row.values("dst", DstAddr, addrRanges)
	row.values("sport", SrcPort, csvPorts)
	row.values("dport", DstPort, csvPorts)

	action, known := csvActions[strings.ToLower(row.cells["action"])]
	if known && (kind == Filter) == (action == Translate || action == Exempt) {
		known = false
	}
	rule.Action = action
	if !known {
		rule.Action = Uncertain
		rule.Words = []string{clean(strings.TrimSpace("action "+row.cells["action"]), 80)}
		row.rs.note(row.where, "%s is not one of a %s list: what becomes of a packet is not known", rule.Words[0], [...]string{"filter", "dnat", "snat"}[kind])
	}
	if action == Translate && known {
		row.translation(rule)
	}
	row.counter(rule)
	rule.Match = row.match

	if !strings.EqualFold(rule.ID, "policy") || kind != Filter {
		chain.Rules = append(chain.Rules, rule)
		return
	}
	plain := len(rule.Match) == 0 && !rule.Disabled && known
	switch {
	case chain.PolicyText != csvDefault || c.last[chain] != nil:
		c.rs.note(row.where, "the list has a policy already: this row is read as a rule")
		chain.Rules = append(chain.Rules, rule)
	case plain:
		chain.Policy, chain.PolicyText, chain.Where, chain.Counter = action, "policy "+strings.ToLower(row.cells["action"]), row.where, rule.Counter
	default:
		c.rs.note(row.where, "is no plain policy: it is read as the last rule of its list")
		c.last[chain] = rule
	}
}

const csvDefault = "no row for the rest: denied"

// chain is the list that a row is in.
func (c *csvReader) chain(name string, kind Kind, where Place) *Chain {
	if kind != Filter {
		name += [...]string{"", " (dnat)", " (snat)"}[kind]
	}
	if chain := c.rs.Chains[name]; chain != nil {
		return chain
	}
	chain := &Chain{Name: name, Where: where}
	if kind == Filter {
		chain.Policy, chain.PolicyText = Drop, csvDefault
	}
	c.rs.Chains[name] = chain
	c.rs.Steps = append(c.rs.Steps, Step{Name: name, Kind: kind, Chain: name, Stateful: true})
	return chain
}

func (c *csvReader) zone(name string) {
	if name == "" || strings.EqualFold(name, "any") || strings.Contains(name, "*") || c.zones[name] {
		return
	}
	c.zones[name] = true
	c.rs.Interfaces = append(c.rs.Interfaces, Interface{Name: name})
}

var csvDash = regexp.MustCompile(`\s*-\s*`)

// csvList parts the values of a cell.
func csvList(cell string) []string {
	return strings.FieldsFunc(cell, func(r rune) bool { return strings.ContainsRune(" \t\n\r|,;", r) })
}

// names adds the term of a cell with interfaces.
func (r *csvRow) names(column string, field Field) {
	cell, not := strings.CutPrefix(r.cells[column], "!")
	names := csvList(cell)
	everything := slices.ContainsFunc(names, func(s string) bool { return strings.EqualFold(s, "any") || s == "*" })
	switch {
	case !not && (len(names) == 0 || everything):
		return
	case len(names) == 0 || everything || len(names) > csvValues || slices.ContainsFunc(names, func(s string) bool { return strings.Contains(s, "!") }):
		r.unread(column, r.cells[column])
		return
	}
	r.match = append(r.match, Term{Field: field, Not: not, Names: names})
}

// values adds the term of a cell with numbers.
func (r *csvRow) values(column string, field Field, parse func(string) ([]Range, bool)) {
	cell, not := strings.CutPrefix(r.cells[column], "!")
	values := csvList(csvDash.ReplaceAllString(cell, "-"))
	if len(values) == 0 && !not {
		return
	}
	if len(values) == 0 || len(values) > csvValues {
		r.unread(column, r.cells[column])
		return
	}
	t := Term{Field: field, Not: not}
	for _, v := range values {
		switch strings.ToLower(v) {
		case "any", "all", "*":
			if !not {
				return
			}
			t.Ranges = append(t.Ranges, Range{Value{}, top})
			continue
		}
		ranges, ok := parse(v)
		t.Ranges = append(t.Ranges, ranges...)
		if !ok {
			t.Word = clean(column+" "+v, 80)
			r.rs.note(r.where, "%s is not understood: it may hold more than what is known", t.Word)
		}
	}
	t.Ranges = Merge(t.Ranges)
	r.match = append(r.match, t)
}

func csvProtocol(s string) ([]Range, bool) {
	if strings.EqualFold(s, "tcp/udp") {
		return []Range{Single(Number(6)), Single(Number(17))}, true
	}
	n, ok := protocols[strings.ToLower(s)]
	if v, err := strconv.ParseUint(s, 10, 8); err == nil {
		n, ok = uint8(v), true
	}
	if strings.EqualFold(s, "ip") {
		return []Range{Ports(0, 255)}, true
	}
	if !ok {
		return nil, false
	}
	return []Range{Single(Number(uint16(n)))}, true
}

func csvPorts(s string) ([]Range, bool) {
	if n, ok := mailPorts[strings.ToLower(s)]; ok {
		return []Range{Ports(n, n)}, true
	}
	return portRange(s)
}

// portRange reads a port or a range of ports: 25, 25-26.
func portRange(s string) ([]Range, bool) {
	from, to, ok := strings.Cut(s, "-")
	if !ok {
		to = from
	}
	a, err := strconv.ParseUint(from, 10, 16)
	b, err2 := strconv.ParseUint(to, 10, 16)
	if err != nil || err2 != nil || b < a {
		return nil, false
	}
	return []Range{Ports(uint16(a), uint16(b))}, true
}

// addrRanges reads an address, prefix or range. That the addresses of IPv4 lie among those of IPv6 is ours alone: ::/0
// has none of them.
func addrRanges(s string) ([]Range, bool) {
	r, err := ParseAddrs(s)
	if err != nil {
		return nil, false
	}
	if v4 := AllIPv4(); r != v4 && r.holds(v4.First) && r.holds(v4.Last) {
		return Without([]Range{r}, []Range{v4}), true
	}
	return []Range{r}, true
}

// translation reads what an address and port become.
func (r *csvRow) translation(rule *Rule) {
	word := func(text string) {
		text = clean(text, 80)
		rule.To.Words = append(rule.To.Words, text)
		r.rs.note(r.where, "%s is not understood: the address may become any", text)
	}
	addrs, ports := r.cells["to_addr"], r.cells["to_port"]
	if addrs == "" && ports == "" {
		word("translate to nothing")
	}
	for _, v := range csvList(csvDash.ReplaceAllString(addrs, "-")) {
		if strings.EqualFold(v, "interface") {
			rule.To.Interface = true
		} else if got, ok := addrRanges(v); ok {
			rule.To.Addrs = append(rule.To.Addrs, got...)
		} else {
			word("to_addr " + v)
		}
	}
	if rule.To.Interface && len(rule.To.Addrs) > 0 {
		word("to_addr " + addrs)
	}
	for _, v := range csvList(csvDash.ReplaceAllString(ports, "-")) {
		if got, ok := csvPorts(v); ok {
			rule.To.Ports = append(rule.To.Ports, got...)
		} else {
			rule.To.Ports = []Range{Ports(0, 65535)}
			word("to_port " + v)
		}
	}
	rule.To.Addrs, rule.To.Ports = Merge(rule.To.Addrs), Merge(rule.To.Ports)
}

// counter reads hits and last_hit. They decide nothing: what cannot be read is left out.
func (r *csvRow) counter(rule *Rule) {
	hits, last := r.cells["hits"], r.cells["last_hit"]
	if hits == "" && last == "" {
		return
	}
	k := &Counter{}
	n, err := strconv.ParseUint(hits, 10, 64)
	if err != nil && hits != "" {
		r.rs.note(r.where, "hits %s is no number: the row has no counter", clean(hits, 80))
		return
	}
	k.Packets = n
	for _, form := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(form, last); err == nil {
			k.Last = t.UTC()
		}
	}
	if k.Last.IsZero() && last != "" {
		r.rs.note(r.where, "last_hit %s is no time such as 2026-03-01T08:00:00Z", clean(last, 80))
	}
	if hits == "" && k.Last.IsZero() {
		return
	}
	rule.Counter = k
}

// editCSV says which rows to write: the list is not the device's own.
func editCSV(_ *Ruleset, e Edit) []string {
	if e.Rule == nil {
		return nil
	}
	at := fmt.Sprintf("%s:%d", e.Rule.Where.File, e.Rule.Where.Line)
	src := "any"
	if len(e.Sources) > 0 {
		src = strings.Join(prefixTexts(e.Sources), " ")
	}
	switch e.Kind {
	case DenyAbove:
		return []string{fmt.Sprintf("above %s (%s) a row: action=drop protocol=tcp src=%s dst=%s dport=%d", at, e.Rule.ID, src, e.Dst.Addr(), e.Dst.Port())}
	case Narrow:
		return []string{fmt.Sprintf("in %s (%s): src=%s", at, e.Rule.ID, src)}
	case Remove, StopNAT:
		return []string{fmt.Sprintf("in %s (%s): enabled=no", at, e.Rule.ID)}
	}
	return nil
}

func prefixTexts(list []netip.Prefix) (out []string) {
	for _, p := range list {
		if p.IsSingleIP() {
			out = append(out, p.Addr().String())
		} else {
			out = append(out, p.String())
		}
	}
	return out
}
