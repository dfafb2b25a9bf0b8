package firewall

import (
	"bytes"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What the configurations of IOS and ASA share: lines with blocks of indented lines, access lists, object groups, and NAT
// rules that work in both directions.

// ciscoLine is one line of a configuration, without the space before and behind it.
type ciscoLine struct {
	file string
	n    int
	text string
}

func (l ciscoLine) place() Place { return Place{File: l.file, Line: l.n} }

// ciscoBlock is a line with the lines that are indented below it.
type ciscoBlock struct {
	ciscoLine
	words []string
	body  []ciscoLine
}

const (
	ciscoMostLines = 1 << 19 // of rules and objects in one configuration
	ciscoLongLine  = 16 << 10
	ciscoDeep      = 32      // object groups in object groups
	ciscoMembers   = 1 << 21 // of all object groups, nested ones counted again
)

var (
	// What a terminal leaves in a recorded session.
	ciscoPager = regexp.MustCompile(`^\s*(?:<?-+ ?More ?-+>?)[\x08 ]*`)
	// Type digits stand between the word and the secret: "key 7 0205…". clean would take the digit for the secret.
	ciscoSecret = regexp.MustCompile(`(?i)\b((?:key|secret|password|passwd|community|md5|key-string)\s+)(?:[0-9]\s+)?[^\s"]+`)
)

func ciscoClean(s string) string { return strings.Clone(ciscoSecret.ReplaceAllString(s, "${1}…")) }

// cisco is what a configuration says, while it is read.
type cisco struct {
	rs       *Ruleset
	asa      bool
	any      uint8 // family of the word any: 4, 6, or 0 for both
	acls     map[string]*ciscoACL
	order    []*ciscoACL
	groups   map[string]*ciscoGroup
	names    map[string]netip.Addr // of the command name (ASA)
	members  int
	missing  map[string]bool
	ifaces   []*ciscoInterface
	version  string
	complete bool // the line that ends a configuration was seen
}

func newCisco(rs *Ruleset, asa bool) *cisco {
	return &cisco{
		rs: rs, asa: asa, acls: make(map[string]*ciscoACL), groups: make(map[string]*ciscoGroup),
		names: make(map[string]netip.Addr), missing: make(map[string]bool),
	}
}

type ciscoInterface struct {
	Interface
	place    Place
	alias    string
	level    int
	shut     bool
	manage   bool // management-only
	vrf      string
	zone     string
	nat      string // inside, outside, enable
	inspects []string
	groups   []ciscoBinding
	dynamic  []netip.Prefix // networks whose own address is not told (eui-64)
}

// ciscoBinding is an access list on an interface.
type ciscoBinding struct {
	acl   string
	out   bool
	v6    bool
	where Place
}

// ciscoBlocks calls take with each block of a configuration that want asks for by its first words.
func ciscoBlocks(rs *Ruleset, f Export, want func(words []string) bool, kept *int, take func(ciscoBlock)) error {
	var block ciscoBlock
	open := false
	flush := func() {
		if open {
			take(block)
		}
		open = false
	}
	text := string(f.Data)
	for n := 1; text != ""; n++ {
		line, rest, _ := strings.Cut(text, "\n")
		text = rest
		if len(line) > ciscoLongLine {
			flush()
			rs.note(Place{File: f.Name, Line: n}, "a line of more than %d kB is left out: if it is a rule, answers are wrong", ciscoLongLine>>10)
			continue
		}
		if strings.Contains(line, "More") {
			line = ciscoPager.ReplaceAllString(line, "")
		}
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || trimmed[0] == '!' {
			continue
		}
		l := ciscoLine{f.Name, n, trimmed}
		if (line[0] == ' ' || line[0] == '\t') && open {
			block.body = append(block.body, l)
		} else if line[0] != ' ' && line[0] != '\t' {
			flush()
			words := strings.Fields(trimmed)
			if words[0] == "banner" && len(words) > 2 {
				n += ciscoBanner(words[2], line, &text)
				continue
			}
			if !want(words) {
				continue
			}
			block, open = ciscoBlock{ciscoLine: l, words: words}, true
		} else {
			continue
		}
		if *kept++; *kept > ciscoMostLines {
			return fmt.Errorf("%s:%d: more than %d lines of rules: no device has so many; export show running-config again", f.Name, n, ciscoMostLines)
		}
	}
	flush()
	return nil
}

// ciscoBanner skips the text of a banner, which may look like a configuration. It returns how many lines that are.
func ciscoBanner(start, line string, text *string) int {
	if !strings.HasPrefix(start, "^C") {
		return 0 // ASA: each line of a banner is a command
	}
	_, after, _ := strings.Cut(line, "^C")
	if strings.Contains(after, "^C") {
		return 0
	}
	end := strings.Index(*text, "^C")
	if end < 0 {
		return 0
	}
	n := strings.Count((*text)[:end], "\n") + 1
	_, *text, _ = strings.Cut((*text)[end:], "\n")
	return n
}

// Access lists.

type ciscoACL struct {
	name   string
	title  string // as a chain
	kind   string // standard, extended
	family uint8  // 4, 6, or 0: both
	lines  []ciscoLine
	where  Place
	chain  *Chain
}

// acl is the access list of a name, made where there is none yet. IPv6 lists have names of their own.
func (c *cisco) acl(name, title, kind string, family uint8, where Place) *ciscoACL {
	key := name
	if family == 6 {
		key = "ipv6 " + name
	}
	a := c.acls[key]
	if a == nil {
		a = &ciscoACL{name: name, title: title, kind: kind, family: family, where: where}
		c.acls[key] = a
		c.order = append(c.order, a)
	}
	return a
}

// addChain makes the chain of an access list. A remark is the comment of the lines after it, up to the next remark.
func (c *cisco) addChain(a *ciscoACL) {
	a.chain = &Chain{Name: a.title, Where: a.where, Policy: Drop, PolicyText: "implicit deny"}
	c.rs.Chains[a.title] = a.chain
	c.any = a.family
	comment, behind := "", false
	seq := 0
	for i, l := range a.lines {
		w := strings.Fields(l.text)
		id := 0
		if w[0] == "ipv6" {
			w = w[1:]
		}
		if w[0] == "access-list" {
			w = w[min(2, len(w)):]
		}
		for len(w) > 1 && (w[0] == "extended" || w[0] == "standard" || w[0] == "sequence" || w[0] == "line") {
			w = w[1:]
		}
		if len(w) > 0 {
			if n, err := strconv.ParseUint(w[0], 10, 31); err == nil {
				id, w = int(n), w[1:]
			}
		}
		if len(w) > 1 && w[len(w)-2] == "sequence" {
			if n, err := strconv.ParseUint(w[len(w)-1], 10, 31); err == nil {
				id, w = int(n), w[:len(w)-2]
			}
		}
		if len(w) == 0 || w[0] == "statistics" || w[0] == "fragments" || w[0] == "exit" || w[0] == "description" {
			continue
		}
		if w[0] == "remark" {
			text := strings.Join(w[1:], " ")
			if comment == "" || behind {
				comment, behind = text, false
			} else if len(comment) < 1000 {
				comment += " " + text
			}
			continue
		}
		behind = true
		switch {
		case c.asa: // show access-list counts remarks as well
			id = i + 1
		case id == 0: // as the device numbers lines when it loads them
			id = seq + 10
		}
		seq = id
		text := ciscoClean(l.text)
		r := &Rule{ID: strconv.Itoa(id), Where: l.place(), Text: text, Comment: ciscoClean(comment)}
		if err := c.entry(a, r, w); err != nil {
			c.rs.note(r.Where, "%v: the line may match or not: %s", err, text)
			r.Match = Match{{Field: Unmodelled, Word: text}}
			r.Action, r.Words = Uncertain, []string{text}
		}
		slices.SortStableFunc(r.Match, func(a, b Term) int { return telling(a.Field) - telling(b.Field) })
		a.chain.Rules = append(a.chain.Rules, r)
	}
	if len(a.chain.Rules) == 0 && !c.asa {
		a.chain.Policy, a.chain.PolicyText = Accept, "an access list without lines permits everything"
	}
}

// telling orders terms by how many lines of a list they rule out: the first that does not hold is the last that is asked.
func telling(f Field) int {
	switch f {
	case DstAddr:
		return 0
	case SrcAddr:
		return 1
	case DstPort:
		return 2
	}
	return 3
}

// entry reads one line of an access list into a rule.
func (c *cisco) entry(a *ciscoACL, r *Rule, w []string) error {
	var terms Match
	if a.family != 0 {
		terms = append(terms, ofFamily(a.family))
	}
	if w[0] == "evaluate" && len(w) > 1 { // answers of connections that a reflect line saw; never a first packet
		r.Action = Accept
		r.Match = append(terms, Term{Field: Phase, Bits: Answer | LaterAnswer}, unmodelled(w[:2]...))
		return nil
	}
	if w[0] == "dynamic" && len(w) > 2 {
		terms = append(terms, unmodelled(w[:2]...))
		w = w[2:]
		if w[0] == "timeout" && len(w) > 2 {
			w = w[2:]
		}
	}
	switch w[0] {
	case "permit":
		r.Action = Accept
	case "deny":
		r.Action = Drop
	default:
		return fmt.Errorf("neither permit nor deny")
	}
	w = w[1:]
	if a.kind == "standard" {
		src, n, err := c.standard(w)
		if err != nil {
			return err
		}
		r.Match = append(terms, src.terms(SrcAddr)...)
		return c.options(r, w[n:])
	}
	svc, n, err := c.protocol(w)
	if err != nil {
		return err
	}
	w = w[n:]
	tcp, service := svc.terms()
	terms = append(terms, service...)
	if !tcp { // it never matches a connection: ports of other protocols need not be understood
		r.Match = terms
		r.Disabled = slices.Contains(w, "inactive")
		return nil
	}
	for len(w) > 1 && (strings.HasPrefix(w[0], "user") || w[0] == "object-group-user") {
		terms = append(terms, unmodelled(w[:2]...))
		w = w[2:]
	}
	var specs [2]ciscoAddrs
	for i, fields := range [2][2]Field{{SrcAddr, SrcPort}, {DstAddr, DstPort}} {
		for len(w) > 1 && (w[0] == "security-group" || w[0] == "object-group-security") {
			k := min(len(w), 2)
			if w[0] == "security-group" && len(w) > 2 {
				k = 3
			}
			terms = append(terms, unmodelled(w[:k]...))
			w = w[k:]
		}
		if specs[i], n, err = c.address(w); err != nil {
			return err
		}
		w = w[n:]
		terms = append(terms, specs[i].terms(fields[0])...)
		ports, n, err := c.ports(w)
		if err != nil {
			return err
		}
		w = w[n:]
		terms = append(terms, ports.terms(fields[1])...)
	}
	if a.family == 0 {
		for _, s := range specs {
			if s.family != 0 {
				terms = append(terms, ofFamily(s.family))
			}
		}
	}
	r.Match = terms
	return c.options(r, w)
}

func ofFamily(f uint8) Term {
	return Term{Field: Family, Ranges: []Range{Single(Number(uint16(f)))}}
}

func unmodelled(words ...string) Term {
	s := strings.Join(words, " ")
	if len(s) > 120 {
		s = s[:120]
	}
	return Term{Field: Unmodelled, Word: ciscoClean(s)}
}

// tcpFlags are the flags that the packets of a connection surely have, and surely have not.
var tcpFlags = map[string]uint8{"syn": First | Answer, "ack": Answer | Later | LaterAnswer, "fin": 0, "psh": 0, "rst": 0, "urg": 0}

// options reads what stands behind the addresses of a line.
func (c *cisco) options(r *Rule, w []string) error {
	var flags uint8 // packets with one of the flags that are named
	flagged, later := false, ""
	flag := func(name string) {
		flagged = true
		if flags |= tcpFlags[name]; tcpFlags[name] == 0 {
			later = name // a later packet may have it
		}
	}
	for len(w) > 0 {
		n := 1
		switch w[0] {
		case "log", "log-input":
			for n < len(w) && (w[n] == "disable" || w[n] == "default" || w[n] == "interval" || isNumber(w[n]) || slices.Contains(syslogLevels, w[n])) {
				n++
			}
			if !c.asa && n == 1 && len(w) == 2 && tcpFlags[w[1]] == 0 && w[1] != "established" && w[1] != "fragments" { // a tag of the admin's
				n = 2
			}
		case "inactive":
			r.Disabled = true
		case "established": // ACK or RST
			r.Match = append(r.Match, Term{Field: Phase, Bits: Answer | Later | LaterAnswer})
		case "syn", "ack", "fin", "psh", "rst", "urg":
			flag(w[0])
		case "match-any", "match-all":
			for n < len(w) && (w[n][0] == '+' || w[n][0] == '-') {
				n++
			}
			r.Match = append(r.Match, matchFlags(w[0] == "match-all", w[1:n], strings.Join(w[:n], " "))...)
		case "fragments": // packets without ports: none that opens a connection
			r.Match = append(r.Match, Term{Field: Phase})
		case "reflect":
			if n = min(2, len(w)); n+1 < len(w) && w[n] == "timeout" {
				n += 2
			}
		case "time-range", "dscp", "precedence", "tos", "option", "flow-label":
			n = min(2, len(w))
			r.Match = append(r.Match, unmodelled(w[:n]...))
		default:
			n = len(w)
			r.Match = append(r.Match, unmodelled(w...))
		}
		w = w[n:]
	}
	if flagged {
		t := Match{{Field: Phase, Bits: flags}}
		if later != "" {
			t = Match{{Field: AnyOf, Any: []Match{t, {{Field: Phase, Bits: Later | LaterAnswer}, unmodelled(later)}}}}
		}
		r.Match = append(r.Match, t...)
	}
	return nil
}

var syslogLevels = []string{"emergencies", "alerts", "critical", "errors", "warnings", "notifications", "informational", "debugging"}

// matchFlags reads match-all +ack -syn.
func matchFlags(all bool, flags []string, word string) Match {
	const whole = EveryPacket
	sure, open := uint8(0), uint8(0) // packets that match, and that may
	if all {
		sure, open = whole, 0
	}
	for _, f := range flags {
		has, known := tcpFlags[f[1:]]
		perhaps := uint8(0)
		if has == 0 || !known { // later packets have it or not
			perhaps = Later | LaterAnswer
		}
		if f[0] == '-' {
			has = whole &^ has &^ perhaps
		}
		if all {
			sure, open = sure&has, (sure|open)&(has|perhaps)&^(sure&has)
		} else {
			sure, open = sure|has, (open|perhaps)&^(sure|has)
		}
	}
	if open == 0 {
		return Match{{Field: Phase, Bits: sure}}
	}
	return Match{{Field: AnyOf, Any: []Match{
		{{Field: Phase, Bits: sure}},
		{{Field: Phase, Bits: open}, unmodelled(word)},
	}}}
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}

// Addresses.

// ciscoAddrs is a set of addresses, or what is known of it.
type ciscoAddrs struct {
	any    bool
	ranges []Range
	word   string // it may hold more than ranges say
	within string // it may hold less: a wildcard mask with too many gaps
	object string
	family uint8 // of all its addresses; 0: both, or any
}

func (s ciscoAddrs) terms(f Field) Match {
	switch {
	case s.any:
		return nil
	case s.within != "":
		return Match{{Field: f, Ranges: s.ranges}, {Field: Unmodelled, Word: s.within}}
	}
	return Match{{Field: f, Ranges: s.ranges, Word: s.word, Object: s.object}}
}

func (c *cisco) addr(text string) (netip.Addr, bool) {
	if a, ok := c.names[text]; ok {
		return a, true
	}
	a, err := netip.ParseAddr(text)
	return a.WithZone(""), err == nil && a.Zone() == ""
}

func addrFamily(a netip.Addr) uint8 {
	if a.Is4() || a.Is4In6() {
		return 4
	}
	return 6
}

// address reads any, host A, A MASK, A/N, object NAME and their kind. It returns how many words they are.
func (c *cisco) address(w []string) (ciscoAddrs, int, error) {
	if len(w) == 0 {
		return ciscoAddrs{}, 0, fmt.Errorf("an address is missing")
	}
	switch w[0] {
	case "any":
		return ciscoAddrs{any: true, family: c.any}, 1, nil
	case "any4":
		return ciscoAddrs{any: true, family: 4}, 1, nil
	case "any6":
		return ciscoAddrs{any: true, family: 6}, 1, nil
	}
	if p, err := netip.ParsePrefix(w[0]); err == nil {
		return ciscoAddrs{ranges: []Range{PrefixRange(p)}, family: addrFamily(p.Addr())}, 1, nil
	}
	if len(w) < 2 {
		return ciscoAddrs{}, 0, fmt.Errorf("%q is no address", short(w[0]))
	}
	switch w[0] {
	case "host":
		a, ok := c.addr(w[1])
		if !ok {
			if c.asa { // a name that is not in the export
				return ciscoAddrs{word: "host " + short(w[1])}, 2, nil
			}
			return ciscoAddrs{}, 0, fmt.Errorf("%q is no address", short(w[1]))
		}
		return ciscoAddrs{ranges: []Range{One(a)}, family: addrFamily(a)}, 2, nil
	case "object", "object-group", "addrgroup":
		return c.network(w[1]), 2, nil
	case "interface":
		return c.addressOf(w[1], 4), 2, nil
	}
	a, ok := c.addr(w[0])
	mask, ok2 := c.addr(w[1])
	if !ok || !ok2 || !a.Is4() || !mask.Is4() {
		return ciscoAddrs{}, 0, fmt.Errorf("%q is no address", short(w[0]))
	}
	s, err := masked(a, mask, !c.asa)
	return s, 2, err
}

// standard reads the source of a standard list, where a lone address is a host.
func (c *cisco) standard(w []string) (ciscoAddrs, int, error) {
	if len(w) > 0 {
		if a, ok := c.addr(w[0]); ok {
			mask, ok := netip.Addr{}, false
			if len(w) > 1 {
				mask, ok = c.addr(w[1])
			}
			if !ok || !mask.Is4() || !a.Is4() {
				return ciscoAddrs{ranges: []Range{One(a)}, family: addrFamily(a)}, 1, nil
			}
		}
	}
	return c.address(w)
}

// masked is an address under a mask, or under a wildcard mask, whose ones are the bits that do not count.
func masked(a, mask netip.Addr, wildcard bool) (ciscoAddrs, error) {
	m := bits32(mask)
	if !wildcard {
		n, ok := maskBits(mask)
		if !ok {
			return ciscoAddrs{}, fmt.Errorf("%s is no netmask", mask)
		}
		if n == 0 {
			return ciscoAddrs{any: true, family: 4}, nil
		}
		return ciscoAddrs{ranges: []Range{PrefixRange(netip.PrefixFrom(a, n))}, family: 4}, nil
	}
	if m == ^uint32(0) {
		return ciscoAddrs{any: true, family: 4}, nil
	}
	base := bits32(a) &^ m
	low := m &^ (m + 1) // the run of ones at the end: one range
	var gaps []uint32
	for high := m &^ low; high != 0; high &= high - 1 {
		gaps = append(gaps, high&-high)
	}
	if len(gaps) > 10 {
		return ciscoAddrs{ranges: []Range{{v4(base), v4(base | m)}}, within: a.String() + " " + mask.String(), family: 4}, nil
	}
	out := make([]Range, 0, 1<<len(gaps))
	for i := range uint32(1) << len(gaps) {
		first := base
		for j, bit := range gaps {
			if i>>j&1 == 1 {
				first |= bit
			}
		}
		out = append(out, Range{v4(first), v4(first | low)})
	}
	return ciscoAddrs{ranges: Merge(out), family: 4}, nil
}

func bits32(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func v4(n uint32) Value {
	return AddrValue(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}))
}

func short(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return strings.Clone(s)
}

// iface finds an interface by its name, or by the name that rules call it by.
func (c *cisco) iface(name string) *ciscoInterface {
	for _, f := range c.ifaces {
		if f.Name == name || f.alias == name && name != "" {
			return f
		}
	}
	return nil
}

// addressOf is the address of an interface, in a family.
func (c *cisco) addressOf(name string, fam uint8) ciscoAddrs {
	if f := c.iface(name); f != nil {
		for _, p := range f.Addrs {
			if addrFamily(p.Addr()) == fam && !p.Addr().IsLinkLocalUnicast() {
				return ciscoAddrs{ranges: []Range{One(p.Addr())}, family: fam}
			}
		}
	}
	// It is not told (DHCP, a dialer). It does not lie in the network of another interface.
	s := ciscoAddrs{within: "address of interface " + short(name), family: fam, ranges: []Range{AllIPv6()}}
	if fam == 4 {
		var others []Range
		for _, f := range c.ifaces {
			for _, p := range f.Addrs {
				others = append(others, PrefixRange(p))
			}
		}
		s.ranges = Without([]Range{AllIPv4()}, Merge(others))
	}
	return s
}

// Ports.

// tcpPorts are the names that IOS, NX-OS and ASA have for TCP ports.
var tcpPorts = map[string]uint16{
	"aol": 5190, "bgp": 179, "chargen": 19, "cifs": 3020, "citrix-ica": 1494, "cmd": 514, "connectedapps-plain": 15001,
	"connectedapps-tls": 15002, "ctiqbe": 2748, "daytime": 13, "discard": 9, "domain": 53, "drip": 3949, "echo": 7, "exec": 512,
	"finger": 79, "ftp": 21, "ftp-data": 20, "gopher": 70, "h323": 1720, "hostname": 101, "hostnames": 101, "http": 80,
	"https": 443, "ident": 113, "imap4": 143, "irc": 194, "klogin": 543, "kshell": 544, "ldap": 389, "ldaps": 636, "ldp": 646,
	"login": 513, "lotusnotes": 1352, "lpd": 515, "msrpc": 135, "netbios-ssn": 139, "netconf-ssh": 830, "nfs": 2049, "nntp": 119,
	"onep-plain": 15001, "onep-tls": 15002, "pcanywhere-data": 5631, "pim-auto-rp": 496, "pop2": 109, "pop3": 110, "pptp": 1723,
	"radius": 1645, "radius-acct": 1646, "rsh": 514, "rtsp": 554, "sip": 5060, "smtp": 25, "sqlnet": 1521, "ssh": 22,
	"submission": 587, "sunrpc": 111, "syslog": 514, "tacacs": 49, "tacacs-ds": 49, "talk": 517, "telnet": 23, "time": 37,
	"uucp": 540, "whois": 43, "www": 80,
}

func tcpPort(s string) (uint16, bool) {
	if p, ok := tcpPorts[s]; ok {
		return p, true
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil
}

// ciscoPorts is a set of ports; nil ranges without a word: any.
type ciscoPorts struct {
	ranges []Range
	word   string
	object string
	none   bool // no port at all is in it
}

func (p ciscoPorts) terms(f Field) Match {
	if p.ranges == nil && p.word == "" && !p.none {
		return nil
	}
	return Match{{Field: f, Ranges: p.ranges, Word: p.word, Object: p.object}}
}

// ports reads eq, neq, lt, gt, range, and groups of ports. It returns how many words they are, 0 where there are none.
func (c *cisco) ports(w []string) (ciscoPorts, int, error) {
	if len(w) < 2 {
		return ciscoPorts{}, 0, nil
	}
	all := []Range{Ports(0, 65535)}
	switch w[0] {
	case "eq", "neq":
		p, n := ciscoPorts{}, 1
		for n < len(w) {
			port, ok := tcpPort(w[n])
			if !ok && n > 1 {
				break
			}
			if ok {
				p.ranges = append(p.ranges, Ports(port, port))
			} else {
				p.word = w[0] + " " + short(w[n])
			}
			if n++; c.asa {
				break
			}
		}
		if p.ranges = Merge(p.ranges); w[0] == "neq" && p.word == "" {
			p.ranges = Without(all, p.ranges)
		}
		p.none = len(p.ranges) == 0
		return p, n, nil
	case "lt", "gt":
		port, ok := tcpPort(w[1])
		switch {
		case !ok:
			return ciscoPorts{word: w[0] + " " + short(w[1])}, 2, nil
		case w[0] == "lt" && port > 0:
			return ciscoPorts{ranges: []Range{Ports(0, port-1)}}, 2, nil
		case w[0] == "gt" && port < 65535:
			return ciscoPorts{ranges: []Range{Ports(port+1, 65535)}}, 2, nil
		}
		return ciscoPorts{none: true}, 2, nil
	case "range":
		if len(w) < 3 {
			return ciscoPorts{}, 0, fmt.Errorf("a range of ports has one end")
		}
		a, ok := tcpPort(w[1])
		b, ok2 := tcpPort(w[2])
		if !ok || !ok2 {
			return ciscoPorts{word: short(strings.Join(w[:3], " "))}, 3, nil
		}
		return ciscoPorts{ranges: []Range{Ports(min(a, b), max(a, b))}}, 3, nil
	case "portgroup":
	case "object-group":
		if g := c.groups[w[1]]; g == nil || g.kind != "service" && g.kind != "port" {
			return ciscoPorts{}, 0, nil // an address
		}
	default:
		return ciscoPorts{}, 0, nil
	}
	p := ciscoPorts{object: strings.Clone(w[1]), none: true}
	set := c.service(w[1])
	p.ranges, p.word = set.ports, set.word
	return p, 2, nil
}

// Services.

// ciscoService is a protocol with ports. Protocol 0 is any.
type ciscoService struct {
	proto    uint16
	src, dst []Range // nil: any
	word     string
}

// ciscoServices is one or several services.
type ciscoServices struct {
	list   []ciscoService
	word   string
	object string
	ports  []Range // of a group: destination ports of TCP in it
	asked  Match   // of a group: its terms, which all lines that name it share
	tcp    bool
}

// terms reports whether TCP is among the services, and what that takes. What is not TCP never matters beside it.
func (s ciscoServices) terms() (tcp bool, m Match) {
	if s.asked != nil {
		return s.tcp, s.asked
	}
	var dst []Range
	var several []Match
	proto, other := false, uint16(0)
	plain := true // no entry has source ports or words
	for _, e := range s.list {
		if e.proto != 0 && e.proto != 6 {
			other = e.proto
			continue
		}
		tcp, proto = true, proto || e.proto == 6
		if e.src == nil && e.dst == nil && e.word == "" {
			if e.proto == 0 && len(s.list) == 1 {
				return true, nil
			}
			return true, Match{{Field: Proto, Ranges: []Range{Single(Number(6))}, Object: s.object}}
		}
		plain = plain && e.src == nil && e.word == ""
		dst = append(dst, e.dst...)
		several = append(several, append(ciscoPorts{ranges: e.src}.terms(SrcPort), ciscoPorts{ranges: e.dst, word: e.word}.terms(DstPort)...))
	}
	is := Term{Field: Proto, Ranges: []Range{Single(Number(6))}}
	switch {
	case tcp && plain:
		return true, Match{is, {Field: DstPort, Ranges: Merge(dst), Word: s.word, Object: s.object}}
	case tcp:
		if s.word != "" {
			several = append(several, Match{unmodelled(s.word)})
		}
		return true, Match{is, {Field: AnyOf, Any: several, Object: s.object}}
	case s.word != "":
		return true, Match{unmodelled(s.word)}
	}
	return false, Match{{Field: Proto, Ranges: []Range{Single(Number(other))}, Object: s.object}}
}

var ipProtocols = map[string]uint16{
	"ip": 0, "ipv4": 0, "ipv6": 0, "icmp": 1, "igmp": 2, "ipinip": 4, "ipip": 4, "tcp": 6, "tcp-udp": 6, "egp": 8, "igp": 9, "igrp": 9,
	"udp": 17, "gre": 47, "esp": 50, "ipsec": 50, "ah": 51, "ahp": 51, "icmp6": 58, "icmpv6": 58, "eigrp": 88, "ospf": 89, "nos": 94, "pim": 103,
	"pcp": 108, "snp": 109, "vrrp": 112, "pptp": 47, "sctp": 132, "hbh": 200, "ahp-any": 51,
}

func ipProtocol(s string) (uint16, bool) {
	if p, ok := ipProtocols[s]; ok {
		return p, true
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err == nil && n == 0 {
		return 255, true // hop-by-hop, which is not "any"
	}
	return uint16(n), err == nil
}

// protocol reads what stands between permit and the source.
func (c *cisco) protocol(w []string) (ciscoServices, int, error) {
	if len(w) == 0 {
		return ciscoServices{}, 0, fmt.Errorf("the protocol is missing")
	}
	if (w[0] == "object-group" || w[0] == "object") && len(w) > 1 {
		return c.service(w[1]), 2, nil
	}
	p, ok := ipProtocol(w[0])
	if !ok {
		return ciscoServices{}, 0, fmt.Errorf("%q is no protocol", short(w[0]))
	}
	return ciscoServices{list: []ciscoService{{proto: p}}}, 1, nil
}

// Objects and object groups.

type ciscoGroup struct {
	name  string
	kind  string // network, service, port (of one protocol), protocol; others are not modelled
	proto string // of a group of ports: tcp, udp, tcp-udp
	wild  bool   // masks are wildcards (NX-OS)
	where Place
	body  []ciscoLine
	busy  bool // it is being resolved: seen again, it contains itself
	done  bool
	addrs ciscoAddrs
	svc   ciscoServices
}

// group finds an object, and reports why it cannot be used.
func (c *cisco) group(name string, depth int) (*ciscoGroup, string) {
	g := c.groups[name]
	switch {
	case g == nil:
		word := "object " + short(name) + " is not in the export"
		if !c.missing[name] {
			c.missing[name] = true
			c.rs.note(Place{File: c.rs.Files[0].Name, Line: 1}, "%s; export all of show running-config", word)
		}
		return nil, word
	case g.busy:
		c.rs.note(g.where, "object-group %s contains itself", short(name))
		return nil, "object-group " + short(name) + " contains itself"
	case depth > ciscoDeep:
		return nil, "object-group " + short(name) + " is nested too deep"
	}
	return g, ""
}

func joinWords(a, b string) string {
	switch {
	case a == "" || a == b:
		return b
	case b == "" || len(a) > 300 || strings.Contains(a, b):
		return a
	}
	return a + ", " + b
}

// network is the set of addresses of an object or group.
func (c *cisco) network(name string) ciscoAddrs { return c.networkAt(name, 0) }

func (c *cisco) networkAt(name string, depth int) ciscoAddrs {
	g, word := c.group(name, depth)
	if g == nil {
		return ciscoAddrs{word: word}
	}
	if g.done {
		return g.addrs
	}
	g.busy = true
	out := ciscoAddrs{object: g.name}
	if g.kind != "network" {
		out.word = "object-group " + short(name)
	}
	everything := [2]bool{}
	nested := make(map[string]bool)
	for _, l := range g.body {
		w := strings.Fields(l.text)
		if w[0] == "group-object" {
			if nested[w[len(w)-1]] {
				continue
			}
			nested[w[len(w)-1]] = true
		}
		m, ok := c.member(g, w, depth)
		switch {
		case !ok:
			continue
		case m.any:
			if m.family != 6 {
				everything[0] = true
			}
			if m.family != 4 {
				everything[1] = true
			}
		case m.within != "":
			out.word = joinWords(out.word, m.within)
		}
		if m.within == "" {
			out.word = joinWords(out.word, m.word)
			if c.members += len(m.ranges); c.members > ciscoMembers {
				break
			}
			out.ranges = append(out.ranges, m.ranges...)
		}
		if m.word != "" && m.ranges == nil && m.object == "" && !strings.HasPrefix(m.word, "fqdn") {
			c.rs.note(l.place(), "%s is not understood: object-group %s may hold more", ciscoClean(short(l.text)), short(name))
		}
	}
	if everything[0] {
		out.ranges = append(out.ranges, AllIPv4())
	}
	if everything[1] {
		v4 := AllIPv4() // of IPv6 all but what stands for IPv4
		out.ranges = append(out.ranges, Range{Value{}, v4.First.previous()}, Range{v4.Last.next(), top})
	}
	out.ranges = Merge(out.ranges)
	if c.members > ciscoMembers {
		out = ciscoAddrs{word: "object-group " + short(name) + " has too many members", object: g.name}
	}
	v4 := AllIPv4()
	switch {
	case out.word != "" || len(out.ranges) == 0:
	case v4.holds(out.ranges[0].First) && v4.holds(out.ranges[len(out.ranges)-1].Last):
		out.family = 4
	case !slices.ContainsFunc(out.ranges, func(r Range) bool { return !r.Last.less(v4.First) && !v4.Last.less(r.First) }):
		out.family = 6
	}
	g.busy, g.done, g.addrs = false, true, out
	return out
}

// member reads one line of a group of addresses. It reports whether that line has any.
func (c *cisco) member(g *ciscoGroup, w []string, depth int) (ciscoAddrs, bool) {
	if len(w) > 1 && isNumber(w[0]) { // NX-OS numbers them
		w = w[1:]
	}
	unknown := ciscoAddrs{word: short(strings.Join(w, " "))}
	if len(w) == 0 || w[0] == "description" || w[0] == "nat" {
		return ciscoAddrs{}, false
	}
	if w[0] == "network-object" || w[0] == "subnet" {
		if w = w[1:]; len(w) == 0 {
			return unknown, true
		}
	}
	switch {
	case w[0] == "fqdn":
		return unknown, true
	case (w[0] == "group-object" || w[0] == "object") && len(w) > 1:
		m := c.networkAt(w[1], depth+1)
		m.object = w[1]
		return m, true
	case w[0] == "range" && len(w) > 2, len(w) > 3 && w[0] == "host" && w[2] == "to":
		a, ok := c.addr(w[1])
		b, ok2 := c.addr(w[2])
		if !ok || !ok2 || addrFamily(a) != addrFamily(b) || b.Less(a) {
			return unknown, true
		}
		return ciscoAddrs{ranges: []Range{{AddrValue(a), AddrValue(b)}}, family: addrFamily(a)}, true
	case len(w) > 1 && strings.HasPrefix(w[1], "/"): // 10.0.0.0 /8
		w = []string{w[0] + w[1]}
	}
	if len(w) > 1 && w[0] != "host" {
		a, ok := c.addr(w[0])
		mask, ok2 := c.addr(w[1])
		if ok && ok2 && a.Is4() && mask.Is4() {
			m, err := masked(a, mask, g.wild)
			if err != nil {
				return unknown, true
			}
			return m, true
		}
	}
	m, _, err := c.address(w)
	if err != nil {
		return unknown, true
	}
	return m, true
}

// service is what a service object, or group of services, ports or protocols holds.
func (c *cisco) service(name string) ciscoServices { return c.serviceAt(name, 0) }

func (c *cisco) serviceAt(name string, depth int) ciscoServices {
	g, word := c.group(name, depth)
	if g == nil {
		return ciscoServices{word: word}
	}
	if g.done {
		return g.svc
	}
	g.busy = true
	out := ciscoServices{object: g.name}
	if g.kind == "network" {
		out.word = "object-group " + short(name)
	}
	nested := make(map[string]bool)
	for _, l := range g.body {
		w := strings.Fields(l.text)
		if len(w) > 1 && isNumber(w[0]) && g.kind == "port" {
			w = w[1:]
		}
		switch {
		case w[0] == "description":
			continue
		case len(w) > 1 && (w[0] == "group-object" || w[0] == "service-object" && w[1] == "object" && len(w) > 2):
			if nested[w[len(w)-1]] {
				continue
			}
			nested[w[len(w)-1]] = true
			m := c.serviceAt(w[len(w)-1], depth+1)
			if c.members += len(m.list); c.members <= ciscoMembers {
				out.list, out.word = append(out.list, m.list...), joinWords(out.word, m.word)
			}
			continue
		case w[0] == "service-object" || w[0] == "service" || w[0] == "protocol-object":
			w = w[1:]
		case w[0] == "port-object":
			w[0] = g.proto
		case g.kind == "port":
			w = append([]string{g.proto}, w...)
		}
		s, err := c.oneService(w)
		if err != nil {
			c.rs.note(l.place(), "%v: object-group %s may hold more", err, short(name))
			out.word = joinWords(out.word, ciscoClean(short(l.text)))
			continue
		}
		c.members++
		out.list = append(out.list, s)
	}
	if c.members > ciscoMembers {
		out = ciscoServices{word: "object-group " + short(name) + " has too many members", object: g.name}
	}
	for _, e := range out.list {
		if e.proto == 0 || e.proto == 6 {
			out.ports = append(out.ports, e.dst...)
		}
	}
	out.ports = Merge(out.ports)
	out.tcp, out.asked = out.terms()
	g.busy, g.done, g.svc = false, true, out
	return out
}

// oneService reads tcp [source eq A] [destination] eq B.
func (c *cisco) oneService(w []string) (ciscoService, error) {
	if len(w) == 0 {
		return ciscoService{}, fmt.Errorf("a protocol is missing")
	}
	p, ok := ipProtocol(w[0])
	if !ok {
		return ciscoService{}, fmt.Errorf("%q is no protocol", short(w[0]))
	}
	s := ciscoService{proto: p}
	if p != 6 {
		return s, nil
	}
	for w = w[1:]; len(w) > 0; {
		to := &s.dst
		if w[0] == "source" || w[0] == "destination" {
			if w[0] == "source" {
				to = &s.src
			}
			w = w[1:]
		}
		ports, n, err := c.ports(w)
		if err != nil || n == 0 {
			return s, fmt.Errorf("ports of a service are not understood")
		}
		if *to = ports.ranges; ports.ranges == nil {
			*to = []Range{}
		}
		s.word = joinWords(s.word, ports.word)
		w = w[n:]
	}
	return s, nil
}

// addGroup keeps an object or object group. A name that comes again goes on (ASA writes the nat line of an object below).
func (c *cisco) addGroup(b ciscoBlock) {
	w := b.words
	if len(w) < 3 {
		return
	}
	kind, name, proto, wild := w[1], w[2], "", false
	switch {
	case (kind == "ip" || kind == "ipv6") && len(w) > 3: // NX-OS: object-group ip address NAME
		if kind, name, wild = "network", w[3], true; w[2] == "port" {
			kind, proto = "port", "tcp-udp"
		}
	case kind == "v6-network":
		kind = "network"
	case kind == "v6-service":
		kind = "service"
	case kind == "service" && w[0] == "object-group" && len(w) > 3:
		kind, proto = "port", w[3]
	}
	g := c.groups[name]
	if g == nil {
		g = &ciscoGroup{name: strings.Clone(name), kind: kind, proto: proto, wild: wild, where: b.place()}
		c.groups[g.name] = g
	}
	g.body = append(g.body, b.body...)
}

// NAT.

// ciscoNAT is one line that translates. From its real to its mapped side a packet has its source translated; where the
// line is static, packets that come to the mapped side have their destination translated back. With a second pair of
// addresses (twice NAT) the other end is translated as well.
type ciscoNAT struct {
	rule         Rule     // ID, Name, Where, Text, Comment, Disabled
	real, mapped []string // interfaces; nil: any
	src, srcTo   ciscoAddrs
	dst, dstTo   ciscoAddrs // as sent, and as it really is; any where the line has none
	srcPort      ciscoPorts
	srcToPort    ciscoPorts
	dstPort      ciscoPorts
	dstToPort    ciscoPorts
	tcp          bool
	static       bool
	oneWay       bool
	identity     bool // the source stays
	dstIdentity  bool
	iface        bool  // the source becomes the address of the interface that it leaves by
	extra        Match // what is not modelled
}

// add puts the rules of a line behind those of the lines before.
func (n *ciscoNAT) add(dnat, snat *Chain) {
	base := func(in []string, src, dst ciscoAddrs, srcPort, dstPort ciscoPorts) Match {
		var m Match
		if in != nil {
			m = append(m, Term{Field: In, Names: in})
		}
		fam := first8(src.family, dst.family)
		if fam != 0 {
			m = append(m, ofFamily(fam))
		}
		if n.tcp {
			m = append(m, Term{Field: Proto, Ranges: []Range{Single(Number(6))}})
		}
		m = append(m, src.terms(SrcAddr)...)
		m = append(m, srcPort.terms(SrcPort)...)
		m = append(m, dst.terms(DstAddr)...)
		m = append(m, dstPort.terms(DstPort)...)
		return append(m, n.extra...)
	}
	out := func(m Match, names []string) Match {
		if names != nil {
			m = append(m, Term{Field: Out, Names: names})
		}
		return m
	}
	put := func(c *Chain, m Match, to Translation, same bool) {
		r := n.rule
		r.Match, r.Action, r.To = m, Translate, to
		if same && to.Ports == nil {
			r.Action, r.To = Exempt, Translation{}
		}
		c.Rules = append(c.Rules, &r)
	}
	hasDst := !n.dst.any || n.dstPort.ranges != nil
	// From the real side: the destination first, then the source.
	if hasDst {
		put(dnat, base(n.real, n.src, n.dst, n.srcPort, n.dstPort), become1(n.dst, n.dstTo, n.dstPort, n.dstToPort), n.dstIdentity)
	}
	to := become1(n.src, n.srcTo, n.srcPort, n.srcToPort)
	if n.iface {
		to.Addrs, to.From, to.Map, to.Words, to.Interface = nil, nil, false, nil, true
	}
	if !n.static {
		to.Map, to.From = false, nil
	}
	forward := out(base(n.real, n.src, n.dstTo, n.srcPort, n.dstToPort), n.mapped)
	if hasDst && !n.dstIdentity { // sent to the real address, it is not this line's
		forward = append(forward, sentTo(n.dst, n.dstPort)...)
	}
	put(snat, forward, to, n.identity)
	if !n.static || n.oneWay {
		return
	}
	// To the mapped side.
	put(dnat, base(n.mapped, n.dstTo, n.srcTo, n.dstToPort, n.srcToPort), become1(n.srcTo, n.src, n.srcToPort, n.srcPort), n.identity)
	if hasDst {
		back := out(base(n.mapped, n.dstTo, n.src, n.dstToPort, n.srcPort), n.real)
		if !n.identity {
			back = append(back, sentTo(n.srcTo, n.srcToPort)...)
		}
		put(snat, back, become1(n.dstTo, n.dst, n.dstToPort, n.dstPort), n.dstIdentity)
	}
}

// sentTo matches the destination as it was before translation.
func sentTo(a ciscoAddrs, p ciscoPorts) Match {
	return append(a.terms(OrigDst), p.terms(OrigDstPort)...)
}

func first8(a, b uint8) uint8 {
	if a != 0 {
		return a
	}
	return b
}

// become1 is the translation of one set of addresses and ports into another.
func become1(from, to ciscoAddrs, fromPort, toPort ciscoPorts) Translation {
	var t Translation
	switch {
	case to.any:
	case to.word != "" || to.within != "" || len(to.ranges) == 0:
		t.Words = []string{first(to.word, to.within, "an object without addresses")}
	default:
		t.Addrs = to.ranges
		if len(from.ranges) == 1 && len(to.ranges) == 1 && from.ranges[0].size() == to.ranges[0].size() {
			t.From = from.ranges
		}
	}
	if toPort.ranges != nil && !slices.Equal(toPort.ranges, fromPort.ranges) {
		t.Ports = toPort.ranges
		if len(fromPort.ranges) == 1 && len(toPort.ranges) == 1 && fromPort.ranges[0].size() == toPort.ranges[0].size() {
			t.FromPorts = fromPort.ranges
		}
	}
	t.Map = t.From != nil || t.FromPorts != nil
	return t
}

func (r Range) size() Value { return r.Last.minus(r.First) }

// addList adds a translation of what an access list permits; what it denies goes on to the next line.
func (c *cisco) addList(step *Chain, key string, n *ciscoNAT, a *ciscoACL, when Match, to Translation, action Action, swap bool) {
	sub := &Chain{Name: key, Where: n.rule.Where, Policy: Accept}
	for _, line := range a.chain.Rules {
		r := n.rule
		r.Disabled = r.Disabled || line.Disabled
		r.Match, r.Action, r.To = line.Match, action, to
		if swap {
			r.Match = swapped(line.Match)
		}
		switch line.Action {
		case Drop:
			r.Action, r.To = Return, Translation{}
		case Uncertain:
			r.Match = append(Match{unmodelled(line.Text)}, r.Match...)
		}
		sub.Rules = append(sub.Rules, &r)
	}
	c.rs.Chains[key] = sub
	r := n.rule
	r.Match, r.Action, r.Chain = append(when, n.extra...), Jump, key
	step.Rules = append(step.Rules, &r)
}

// swapped is a match of the other direction.
func swapped(m Match) Match {
	other := map[Field]Field{SrcAddr: DstAddr, DstAddr: SrcAddr, SrcPort: DstPort, DstPort: SrcPort}
	out := slices.Clone(m)
	for i := range out {
		if f, ok := other[out[i].Field]; ok {
			out[i].Field = f
		}
		for j := range out[i].Any {
			if j == 0 {
				out[i].Any = slices.Clone(out[i].Any)
			}
			out[i].Any[j] = swapped(out[i].Any[j])
		}
	}
	return out
}

// Routes.

type ciscoRoute struct {
	Route
	via      netip.Addr
	distance int
	where    Place
}

// addRoutes adds the networks of interfaces, and static routes with their next hops resolved. Learned routes are not in a
// configuration: beside them a default route tells nothing.
func (c *cisco) addRoutes(list []ciscoRoute, learned bool) {
	vrf := false
	for _, f := range c.ifaces {
		if f.shut {
			continue
		}
		vrf = vrf || f.vrf != "" && !strings.HasPrefix(strings.ToLower(f.vrf), "mgmt") && !strings.HasPrefix(strings.ToLower(f.vrf), "management")
		c.rs.Interfaces = append(c.rs.Interfaces, f.Interface)
	}
	if vrf {
		c.rs.note(Place{File: c.rs.Files[0].Name, Line: 1}, "routes of several VRFs are not told apart: none is used; name the networks of each zone in the configuration")
		return
	}
	for _, f := range c.ifaces {
		if f.shut || f.vrf != "" {
			continue
		}
		for _, p := range append(slices.Clone(f.Addrs), f.dynamic...) {
			if !p.Addr().IsLinkLocalUnicast() {
				c.rs.Routes = append(c.rs.Routes, Route{p.Masked(), f.Name})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b ciscoRoute) int { return a.distance - b.distance })
	type best struct {
		out      string
		distance int
	}
	known := make(map[netip.Prefix]best)
	behind := newBehind(c.rs.Routes)
	for range 4 { // a next hop may lie behind another static route
		waiting := list[:0:0]
		for _, r := range list {
			if learned && r.Prefix.Bits() == 0 {
				continue
			}
			if r.Out == "" {
				r.Out = behind.of(r.via)
			}
			if r.Out == "" {
				waiting = append(waiting, r)
				continue
			}
			if k, ok := known[r.Prefix]; ok {
				if k.out != r.Out && k.distance == r.distance {
					c.rs.note(r.where, "two ways to %s: only the one by %s is followed", r.Prefix, k.out)
				}
				continue
			}
			known[r.Prefix] = best{r.Out, r.distance}
			c.rs.Routes = append(c.rs.Routes, r.Route)
			behind.add(r.Route)
		}
		if list = waiting; len(list) == 0 {
			break
		}
	}
	if learned {
		c.rs.note(Place{File: c.rs.Files[0].Name, Line: 1}, "learned routes are not in the export, so its default route is not used: name the networks of each zone in the configuration")
	}
}

// ciscoBehind finds the interface that an address lies behind, by the routes so far. The longest prefix counts; of equal
// ones the first.
type ciscoBehind map[netip.Prefix]string

func newBehind(list []Route) ciscoBehind {
	b := make(ciscoBehind)
	for _, r := range list {
		b.add(r)
	}
	return b
}

func (b ciscoBehind) add(r Route) {
	if p := r.Prefix.Masked(); b[p] == "" {
		b[p] = r.Out
	}
}

func (b ciscoBehind) of(a netip.Addr) string {
	for n := a.BitLen(); n > 0 && a.Zone() == ""; n-- { // a default route leads to no next hop
		if p, err := a.Prefix(n); err == nil {
			if out, ok := b[p]; ok {
				return out
			}
		}
	}
	return ""
}

// ciscoPrefix reads an address and its netmask.
func ciscoPrefix(addr, mask string) (netip.Prefix, bool) {
	a, err := netip.ParseAddr(addr)
	m, err2 := netip.ParseAddr(mask)
	if err != nil || err2 != nil || !a.Is4() || !m.Is4() {
		return netip.Prefix{}, false
	}
	n, ok := maskBits(m)
	return netip.PrefixFrom(a, n), ok
}

// Edits.

// ciscoTarget writes a prefix as access lists have it.
func ciscoTarget(p netip.Prefix, wildcard bool) string {
	switch {
	case p.Bits() == p.Addr().BitLen():
		return "host " + p.Addr().String()
	case p.Addr().Is6():
		return p.Masked().String()
	}
	m := ^uint32(0)
	if p.Bits() < 32 {
		m = ^(^uint32(0) >> p.Bits())
	}
	if wildcard {
		m = ^m
	}
	return p.Masked().Addr().String() + " " + v4(m).Addr().String()
}

// ciscoSources writes the sources of an edit; any, where there are none.
func ciscoSources(e Edit, wildcard bool) []string {
	if e.Sources == nil {
		return []string{"any"}
	}
	var out []string
	for _, p := range e.Sources {
		out = append(out, ciscoTarget(p, wildcard))
	}
	return out
}

// withSource is the line of an access list with another source, from its action on. It returns "" for a line that has none.
func withSource(w []string, src string) string {
	at := 2
	if len(w) > 1 && (w[1] == "object" || w[1] == "object-group") {
		at = 3
	}
	n := 2
	if at >= len(w) {
		return ""
	}
	if w[at] == "any" || w[at] == "any4" || w[at] == "any6" || strings.Contains(w[at], "/") {
		n = 1
	}
	if at+n >= len(w) {
		return ""
	}
	return strings.Join(w[:at], " ") + " " + src + " " + strings.Join(w[at+n:], " ")
}

// memberOf tells what field the object of an edit is about.
func memberOf(e Edit) Field {
	if e.Rule != nil {
		for _, t := range e.Rule.Match {
			if t.Object == e.Object {
				return t.Field
			}
		}
	}
	return Unmodelled
}

// ciscoShow reports whether a file is the output of show access-lists, not a configuration.
func ciscoShow(data []byte, show *regexp.Regexp) bool {
	start := data[:min(len(data), sniff)]
	return show.Match(start) && !bytes.Contains(start, []byte("\ninterface "))
}
