package firewall

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const fortiExport = "show full-configuration"

var (
	fortiStart   = regexp.MustCompile(`(?m)^[ \t]*config (?:firewall (?:policy6?|security-policy|address6?|addrgrp6?|vip6?|service|consolidated|central-snat-map|local-in-policy6?)|system (?:global|interface|settings|zone|accprofile|custom-language|admin)|vdom|global)\b[^\n{;]*$`)
	fortiBlock   = regexp.MustCompile(`(?m)^[ \t]*(?:edit|set|end|config [^\n]*)(?:[ \t\r\n]|$)`)
	fortiVersion = regexp.MustCompile(`(?m)^#config-version=[^\n]*?-(\d{1,2})\.(\d{1,2})(?:\.(\d{1,3}))?-`)
)

func isFortigate(start []byte) bool {
	return bytes.HasPrefix(start, []byte("#config-version=")) && fortiBlock.Match(start) || fortiStart.Match(start) && bytes.Contains(start, []byte("\n"))
}

// fortiTables are the parts of a configuration that are kept. The rest may be large, and holds what nobody should read.
var fortiTables = map[string]bool{
	"system interface": true, "system zone": true, "system settings": true, "system global": true, "system admin": true,
	"system sdwan": true, "system virtual-wan-link": true, "router static": true, "router static6": true, "router policy": true, "router bgp": true,
	"router ospf": true, "firewall address": true, "firewall address6": true, "firewall addrgrp": true, "firewall addrgrp6": true,
	"firewall service custom": true, "firewall service group": true, "firewall vip": true, "firewall vip6": true, "firewall vipgrp": true,
	"firewall vipgrp6": true, "firewall ippool": true, "firewall ippool6": true, "firewall policy": true, "firewall policy6": true,
	"firewall consolidated policy": true, "firewall security-policy": true, "firewall central-snat-map": true,
	"firewall local-in-policy": true, "firewall local-in-policy6": true, "firewall acl": true, "firewall acl6": true,
	"firewall DoS-policy": true, "firewall DoS-policy6": true, "firewall interface-policy": true, "firewall interface-policy6": true,
	"firewall schedule onetime": true, "vpn ssl settings": true,
}

// fortiEntry is one edit of a table, or the settings of a table that has no edits.
type fortiEntry struct {
	vdom, table, id string
	where           Place
	set             map[string][]string
	subs            []*fortiEntry
	text            strings.Builder
}

func (e *fortiEntry) one(key string) string {
	if v := e.set[key]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (e *fortiEntry) on(key string) bool { return e.one(key) == "enable" }

// forti is one virtual domain, while it is read.
type forti struct {
	rs       *Ruleset
	file     string // the first one
	vdom     string
	several  bool // there are several VDOMs
	tables   map[string][]*fortiEntry
	index    map[string]*fortiEntry // by table, NUL and id
	version  [3]int                 // zero: not told
	central  bool                   // central NAT
	sets     map[string]*fortiSet
	budget   int // ranges that may still be made: nested groups can multiply them
	depth    int // groups in groups, now
	vips     []*fortiVIP
	byVIP    map[string]*fortiVIP
	places   map[string]int // of rs.Interfaces, by name
	own      []fortiOwn     // addresses of interfaces, sorted
	grouped  map[string]bool
	vipsUsed [2]bool // by family: there are VIPs that translate
	// services are what names of services stand for.
	services map[string]*fortiService
}

func readFortigate(rs *Ruleset, files []Export) error {
	f := &forti{
		rs: rs, file: files[0].Name, tables: make(map[string][]*fortiEntry), index: make(map[string]*fortiEntry), sets: make(map[string]*fortiSet),
		byVIP: make(map[string]*fortiVIP), budget: 1 << 18, grouped: make(map[string]bool), services: make(map[string]*fortiService),
	}
	var all []*fortiEntry
	for i := range files {
		f.budget += len(files[i].Data) / 8
		if m := fortiVersion.FindSubmatch(files[i].Data[:min(len(files[i].Data), sniff)]); m != nil {
			for k := range f.version {
				f.version[k], _ = strconv.Atoi(string(m[k+1]))
			}
		}
		p := fortiParser{rs: rs, file: files[i].Name, data: files[i].Data, line: 1, known: make(map[string]*fortiEntry)}
		if err := p.parse(); err != nil {
			return err
		}
		all = append(all, p.entries...)
	}
	if err := f.choose(all, files[0].Name); err != nil {
		return err
	}
	for _, table := range []string{"firewall DoS-policy", "firewall DoS-policy6", "firewall interface-policy", "firewall interface-policy6"} {
		for _, e := range f.tables[table] {
			if e.one("status") != "disable" {
				rs.note(e.where, "config %s is not modelled: what it stops may be shown as permitted", table)
				break
			}
		}
	}
	f.network()
	f.translations()
	f.steps()
	return nil
}

// choose picks the virtual domain that the ruleset is about. Interfaces and routes of several would not be one network.
func (f *forti) choose(all []*fortiEntry, file string) error {
	var vdoms, named []string
	for _, e := range all {
		if e.vdom != "" && !slices.Contains(named, e.vdom) && len(named) < 1000 {
			named = append(named, e.vdom)
		}
		switch e.table {
		case "firewall policy", "firewall policy6", "firewall consolidated policy", "firewall security-policy":
			if !slices.Contains(vdoms, e.vdom) && len(vdoms) < 1000 {
				vdoms = append(vdoms, e.vdom)
			}
		}
	}
	f.several = len(named) > 1
	chosen := slices.IndexFunc(vdoms, func(v string) bool {
		return v != "" && (f.rs.Device == v || strings.HasSuffix(f.rs.Device, "/"+v))
	})
	switch {
	case len(vdoms) == 0:
		return fmt.Errorf("%s:1: has no config firewall policy; export all of the device's configuration with: %s", file, fortiExport)
	case chosen >= 0:
		f.vdom = vdoms[chosen]
	case len(vdoms) > 1:
		quoted := make([]string, 0, 20)
		for _, v := range vdoms[:min(len(vdoms), 20)] {
			quoted = append(quoted, strconv.Quote(v))
		}
		return fmt.Errorf("%s:1: the VDOMs %s have policies, each is a device of its own: name the device after one of them (such as %q), or export one with: config vdom, edit %s, %s",
			file, strings.Join(quoted, ", "), f.rs.Device+"/"+vdoms[0], vdoms[0], fortiExport)
	default:
		f.vdom = vdoms[0]
	}
	for _, e := range all {
		if e.vdom != f.vdom && e.vdom != "" {
			continue
		}
		if v := e.one("vdom"); e.table == "system interface" && f.several && v != "" && v != f.vdom {
			continue
		}
		f.tables[e.table] = append(f.tables[e.table], e)
		f.index[e.table+"\x00"+e.id] = e
	}
	return nil
}

func (f *forti) find(table, id string) *fortiEntry { return f.index[table+"\x00"+id] }

// setting is a value of a table that has no edits.
func (f *forti) setting(table, key string) string {
	if e := f.find(table, ""); e != nil {
		return e.one(key)
	}
	return ""
}

// atLeast compares FortiOS versions; told is false where the export does not say which it is of.
func (f *forti) atLeast(a, b, c int) (is, told bool) {
	return slices.Compare(f.version[:], []int{a, b, c}) >= 0, f.version != [3]int{}
}

// fortiParser turns nested config, edit, set, next and end into entries.
type fortiParser struct {
	rs      *Ruleset
	file    string
	data    []byte
	at      int
	line    int
	frames  []fortiFrame
	entries []*fortiEntry
	known   map[string]*fortiEntry
	strange int // lines that do not belong
	count   int // edits
}

// fortiFrame is an open config or edit.
type fortiFrame struct {
	table  string      // of a config
	edit   bool        // it is an edit
	scope  bool        // what stands in it are tables of their own: config global, an edit of config vdom
	vdom   string      // of a scope
	nested string      // of a config in an edit: its name
	entry  *fortiEntry // nil: nobody needs it
}

// next reads one line of words. A quoted one may go over several lines.
func (p *fortiParser) next(want func(first string) bool) (words []string, line int, err error) {
	for p.at < len(p.data) {
		line = p.line
		keep := true
		for p.at < len(p.data) && p.data[p.at] != '\n' {
			c := p.data[p.at]
			if c == ' ' || c == '\t' || c == 0 {
				p.at++
				continue
			}
			if c == '#' && len(words) == 0 {
				p.skip()
				continue
			}
			word, err := p.word(keep)
			if err != nil {
				return nil, line, err
			}
			if len(words) == 0 && word == "--More--" { // a pager's
				continue
			}
			if len(words) == 0 {
				keep = want(word)
			}
			if keep || len(words) == 0 {
				words = append(words, word)
			}
		}
		p.at++
		p.line++
		if len(words) > 0 {
			return words, line, nil
		}
	}
	return nil, p.line, nil
}

func (p *fortiParser) skip() {
	if n := bytes.IndexByte(p.data[p.at:], '\n'); n >= 0 {
		p.at += n
	} else {
		p.at = len(p.data)
	}
}

func (p *fortiParser) word(keep bool) (string, error) {
	var b strings.Builder
	quote, from := byte(0), p.line
	for ; p.at < len(p.data); p.at++ {
		c := p.data[p.at]
		switch {
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n'):
			return b.String(), nil
		case quote == 0 && c == '"':
			quote = c
			continue
		case quote == c:
			quote = 0
			continue
		case quote == '"' && c == '\\' && p.at+1 < len(p.data):
			p.at++
			c = p.data[p.at]
		}
		if c == '\n' {
			p.line++
		}
		if keep {
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", fmt.Errorf("%s:%d: a quotation is not closed, the export is cut off; export again with: %s", p.file, from, fortiExport)
	}
	return b.String(), nil
}

var (
	errFortiDepth = errors.New("too many blocks in each other")
	errFortiMany  = errors.New("more entries than any device has")
)

const fortiMost = 1 << 20 // entries of an export

func (p *fortiParser) parse() error {
	// Values are only kept where somebody reads them.
	want := func(first string) bool {
		return first == "config" || first == "edit" || (first == "set" || first == "unset") && len(p.frames) > 0 && p.frames[len(p.frames)-1].entry != nil
	}
	for {
		words, line, err := p.next(want)
		if err != nil {
			if len(p.entries) == 0 {
				return err
			}
			p.rs.note(Place{File: p.file, Line: line}, "a quotation is not closed: what stands behind it is not read; export again with: %s", fortiExport)
			return nil
		}
		if words == nil {
			break
		}
		if err := p.take(words, line); err != nil {
			return fmt.Errorf("%s:%d: %w: this is no configuration of FortiOS; export with: %s", p.file, line, err, fortiExport)
		}
	}
	for _, fr := range p.frames {
		if fr.entry != nil || fr.scope || fr.table != "" {
			p.rs.note(Place{File: p.file, Line: p.line}, "the export ends within a block: it is cut off; export again with: %s", fortiExport)
			break
		}
	}
	return nil
}

func (p *fortiParser) take(words []string, line int) error {
	top := func() *fortiFrame {
		if len(p.frames) == 0 {
			return nil
		}
		return &p.frames[len(p.frames)-1]
	}
	t := top()
	switch words[0] {
	case "config":
		if len(p.frames) >= 32 {
			return errFortiDepth
		}
		name := strings.Join(words[1:], " ")
		switch {
		case t == nil && name == "global":
			p.frames = append(p.frames, fortiFrame{scope: true})
		case t == nil && name == "vdom":
			p.frames = append(p.frames, fortiFrame{table: "vdom"})
		case t == nil || t.scope:
			fr := fortiFrame{table: name}
			if fortiTables[name] {
				fr.entry = p.entry(name, "", line)
			}
			p.frames = append(p.frames, fr)
		case t.entry != nil:
			p.frames = append(p.frames, fortiFrame{table: name, nested: name, entry: t.entry})
		default:
			p.frames = append(p.frames, fortiFrame{table: name, nested: name})
		}
	case "edit":
		if len(p.frames) >= 32 {
			return errFortiDepth
		}
		id := ""
		if len(words) > 1 {
			id = words[1]
		}
		if p.count++; p.count > fortiMost {
			return errFortiMany
		}
		switch {
		case t == nil || t.edit:
			p.odd(line)
		case t.table == "vdom" && t.entry == nil && len(p.frames) == 1:
			p.frames = append(p.frames, fortiFrame{edit: true, scope: true, vdom: id})
		case t.entry == nil:
			p.frames = append(p.frames, fortiFrame{edit: true})
		case t.nested != "":
			e := &fortiEntry{table: t.nested, id: id, where: Place{File: p.file, Line: line}, set: make(map[string][]string)}
			t.entry.subs = append(t.entry.subs, e)
			p.frames = append(p.frames, fortiFrame{edit: true, entry: e})
		default:
			e := p.entry(t.table, id, line)
			p.frames = append(p.frames, fortiFrame{edit: true, entry: e})
		}
	case "set", "unset":
		if t == nil {
			p.odd(line)
			return nil
		}
		if t.entry == nil || len(words) < 2 {
			return nil
		}
		key := words[1]
		if t.nested != "" {
			key = t.nested + "/" + key
		}
		if words[0] == "unset" {
			delete(t.entry.set, key)
		} else {
			t.entry.set[key] = words[2:]
		}
		t.entry.write(words)
		t.entry.where.End = max(t.entry.where.End, p.line-1)
	case "next":
		if t == nil || !t.edit {
			p.odd(line)
			return nil
		}
		p.close(line)
	case "end":
		if t == nil {
			p.odd(line)
			return nil
		}
		if t.edit {
			p.close(line)
		}
		if len(p.frames) > 0 {
			p.frames = p.frames[:len(p.frames)-1]
		}
	case "append", "move", "delete", "rename", "select", "unselect", "clone":
		p.rs.note(Place{File: p.file, Line: line}, "%s: a command, not a configuration: it is not followed", words[0])
	default:
		if t != nil {
			p.odd(line)
		}
	}
	return nil
}

// odd notes a line that does not belong where it stands. Its text is not shown: it may be part of a key.
func (p *fortiParser) odd(line int) {
	if p.strange++; p.strange <= 100 {
		p.rs.note(Place{File: p.file, Line: line}, "a line that does not belong here is left out")
	}
}

func (p *fortiParser) close(line int) {
	if e := p.frames[len(p.frames)-1].entry; e != nil {
		e.where.End = max(e.where.End, line)
	}
	p.frames = p.frames[:len(p.frames)-1]
}

// entry is the entry of a table with an id; what comes twice is told to the same one, as the device does.
func (p *fortiParser) entry(table, id string, line int) *fortiEntry {
	vdom := ""
	for _, fr := range p.frames {
		if fr.scope {
			vdom = fr.vdom
		}
	}
	key := vdom + "\x00" + table + "\x00" + id
	if e := p.known[key]; e != nil {
		return e
	}
	e := &fortiEntry{vdom: vdom, table: table, id: id, where: Place{File: p.file, Line: line}, set: make(map[string][]string)}
	if id != "" {
		e.text.WriteString("config " + table + "; edit " + id)
		p.entries = append(p.entries, e)
	} else if !fortiHasEdits(table) {
		p.entries = append(p.entries, e)
	}
	p.known[key] = e
	return e
}

// fortiHasEdits reports whether settings beside the edits of a table mean nothing.
func fortiHasEdits(table string) bool {
	return !slices.Contains([]string{"system settings", "system global", "vpn ssl settings", "system sdwan", "system virtual-wan-link", "router bgp", "router ospf"}, table)
}

// write adds a line to the text of an entry, unless it holds a secret or says nothing to a reader.
func (e *fortiEntry) write(words []string) {
	if e.text.Len() > 1500 || words[1] == "uuid" || len(words) > 2 && words[2] == "ENC" {
		return
	}
	for _, s := range []string{"passw", "psk", "secret", "private", "key", "community", "token", "passphrase", "certificate"} {
		if strings.Contains(words[1], s) {
			return
		}
	}
	e.text.WriteString("; " + words[0] + " " + words[1])
	for _, w := range words[min(2, len(words)):] {
		if e.text.Len() > 1500 {
			return
		}
		if strings.ContainsAny(w, " \t\n\"") {
			w = strconv.Quote(w)
		}
		e.text.WriteString(" " + w)
	}
}

// fortiOwn is an address of an interface.
type fortiOwn struct {
	addr Value
	name string
}

// network tells interfaces, zones, addresses and static routes.
func (f *forti) network() {
	rs := f.rs
	known := make(map[string]int)
	f.places = known
	for _, e := range f.tables["system interface"] {
		i := Interface{Name: e.id}
		if e.one("status") == "down" {
			rs.note(e.where, "interface %s is down: its rules are told as if it were up", e.id)
		}
		if p, ok := fortiNet(e.set["ip"]); ok {
			i.Addrs = append(i.Addrs, p)
		}
		if p, ok := fortiNet(e.set["ipv6/ip6-address"]); ok {
			i.Addrs = append(i.Addrs, p)
		}
		if m := e.one("mode"); m == "dhcp" || m == "pppoe" {
			rs.note(e.where, "interface %s has its address by %s: it is not in the export", e.id, m)
		}
		for _, s := range e.subs {
			p, ok := fortiNet(s.set["ip"])
			if s.table != "secondaryip" || !ok {
				continue
			}
			// The translation to the interface's address takes the first one only.
			rs.Own = append(rs.Own, p.Addr())
			rs.Routes = append(rs.Routes, Route{p.Masked(), e.id})
		}
		known[i.Name] = len(rs.Interfaces)
		rs.Interfaces = append(rs.Interfaces, i)
	}
	bound := make(map[string]bool)
	zone := func(name, member string) {
		i, ok := known[member]
		if !ok {
			i = len(rs.Interfaces)
			known[member] = i
			rs.Interfaces = append(rs.Interfaces, Interface{Name: member})
		}
		if key := name + "\x00" + member; name != "" && !bound[key] {
			bound[key] = true
			rs.Interfaces[i].Zones = append(rs.Interfaces[i].Zones, name)
		}
	}
	names := make(map[string]bool)
	for _, e := range f.tables["system zone"] {
		names[e.id] = true
		for _, m := range e.set["interface"] {
			zone(e.id, m)
		}
	}
	for _, table := range []string{"system sdwan", "system virtual-wan-link"} {
		for _, e := range f.tables[table] {
			for _, s := range e.subs {
				if s.table == "zone" {
					names[s.id] = true
				}
				if m := s.one("interface"); s.table == "members" && m != "" {
					z := first(s.one("zone"), "virtual-wan-link")
					names[z] = true
					zone(z, m)
				}
			}
		}
	}
	if len(f.tables["system interface"]) == 0 {
		rs.note(Place{File: f.file, Line: 1}, "no config system interface: the device's addresses and routes are not known; export with: %s", fortiExport)
	}
	for _, table := range []string{"firewall policy", "firewall policy6", "firewall consolidated policy", "firewall security-policy"} {
		for _, e := range f.tables[table] {
			for _, n := range slices.Concat(e.set["srcintf"], e.set["dstintf"]) {
				if _, ok := known[n]; !ok && !names[n] && n != "any" {
					zone("", n)
				}
			}
		}
	}
	for _, i := range rs.Interfaces {
		for _, p := range i.Addrs {
			f.own = append(f.own, fortiOwn{AddrValue(p.Addr()), i.Name})
		}
	}
	slices.SortFunc(f.own, func(a, b fortiOwn) int { return cmp.Or(a.addr.Compare(b.addr), cmp.Compare(a.name, b.name)) })
	rs.Connected()
	f.routes()
	for _, table := range []string{"router bgp", "router ospf", "router policy"} {
		for _, e := range f.tables[table] {
			if len(e.subs) > 0 || e.id != "" {
				rs.note(e.where, "config %s: the routes that come of it are not in the export; tell networks behind zones in the configuration", table)
				break
			}
		}
	}
}

func (f *forti) routes() {
	type route struct {
		Route
		distance int
	}
	var list []route
	for _, table := range []string{"router static", "router static6"} {
		for _, e := range f.tables[table] {
			if e.one("status") == "disable" {
				continue
			}
			r := route{Route{netip.PrefixFrom(netip.IPv4Unspecified(), 0), e.one("device")}, 10}
			if table == "router static6" {
				r.Prefix = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
			}
			if n, err := strconv.Atoi(e.one("distance")); err == nil {
				r.distance = n
			}
			switch {
			case len(e.set["sdwan-zone"]) > 0:
				r.Out = e.one("sdwan-zone")
			case e.on("sdwan") || e.on("virtual-wan-link"):
				r.Out = "virtual-wan-link"
			case e.on("blackhole"):
				r.Out = ""
			}
			prefixes := []netip.Prefix{r.Prefix}
			if v := e.set["dst"]; len(v) > 0 {
				p, ok := fortiNet(v)
				if !ok {
					f.rs.note(e.where, "route %s: its destination is not understood", e.id)
					continue
				}
				prefixes = []netip.Prefix{p.Masked()}
			} else if name := e.one("dstaddr"); name != "" {
				prefixes = nil
				for _, r := range f.addr(name, false, e.where).ranges {
					prefixes = append(prefixes, r.Prefixes()...)
				}
			} else if e.one("internet-service") != "" && e.one("internet-service") != "0" || e.one("internet-service-custom") != "" {
				f.rs.note(e.where, "route %s: to an internet service, which the export does not list", e.id)
				continue
			}
			for _, p := range prefixes {
				list = append(list, route{Route{p, r.Out}, r.distance})
			}
		}
	}
	// The least distance counts; equal ones share the load, so that the connection may leave by each.
	slices.SortStableFunc(list, func(a, b route) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()), cmp.Compare(a.distance, b.distance))
	})
	for i := 0; i < len(list); {
		r := list[i]
		outs := []string{r.Out}
		for i++; i < len(list) && list[i].Prefix == r.Prefix; i++ {
			if list[i].distance == r.distance && !slices.Contains(outs, list[i].Out) && len(outs) < 64 {
				outs = append(outs, list[i].Out)
			}
		}
		if len(outs) > 1 {
			r.Out = strings.Join(outs, " or ")
			f.rs.Bind(r.Out, outs)
		}
		f.rs.Routes = append(f.rs.Routes, r.Route)
	}
}

// fortiNet reads an address with its mask: 192.0.2.1 255.255.255.0, 192.0.2.1/24, 2001:db8::1/64.
func fortiNet(v []string) (netip.Prefix, bool) {
	switch len(v) {
	case 1:
		p, err := netip.ParsePrefix(v[0])
		return p, err == nil && !(p.Addr().IsUnspecified() && p.Bits() > 0)
	case 2:
		a, err := netip.ParseAddr(v[0])
		m, err2 := netip.ParseAddr(v[1])
		if err != nil || err2 != nil || !a.Is4() || !m.Is4() {
			return netip.Prefix{}, false
		}
		n, ok := maskBits(m)
		return netip.PrefixFrom(a, n), ok && !(a.IsUnspecified() && n > 0)
	}
	return netip.Prefix{}, false
}

// fortiSet is what names of addresses stand for.
type fortiSet struct {
	ranges []Range
	words  []string // what is in it beside ranges
	vips   []*fortiVIP
	busy   bool // it is being made: a group that is met now is in itself
}

func (s *fortiSet) add(t *fortiSet) {
	s.ranges = append(s.ranges, t.ranges...)
	for _, w := range t.words {
		if len(s.words) < 20 && !slices.Contains(s.words, w) {
			s.words = append(s.words, w)
		}
	}
	s.vips = append(s.vips, t.vips...)
}

// word is the words as a Term has them.
func (s *fortiSet) word() string { return strings.Join(s.words, ", ") }

// addrs is the union of names.
func (f *forti) addrs(names []string, six bool, where Place) *fortiSet {
	if len(names) == 1 {
		return f.addr(names[0], six, where)
	}
	s := &fortiSet{}
	for _, n := range names {
		f.join(s, f.addr(n, six, where))
	}
	s.ranges = Merge(s.ranges)
	return s
}

// join adds a set to another, as long as there is room.
func (f *forti) join(s, t *fortiSet) {
	if f.budget -= len(t.ranges) + len(t.vips); f.budget < 0 {
		t = &fortiSet{words: []string{"more addresses in groups than can be kept"}}
	}
	s.add(t)
}

// addr is what one name stands for.
func (f *forti) addr(name string, six bool, where Place) *fortiSet {
	suffix := ""
	if six {
		suffix = "6"
	}
	key := suffix + "\x00" + name
	if s := f.sets[key]; s != nil {
		if s.busy {
			f.rs.note(where, "address group %q is in itself", name)
			return &fortiSet{words: []string{"group " + name + ", which is in itself"}}
		}
		return s
	}
	s := &fortiSet{busy: true}
	f.sets[key] = s
	defer func() { s.busy = false }()
	vip, grp := "firewall vip"+suffix, "firewall addrgrp"+suffix
	if v := f.byVIP[vip+"\x00"+name]; v != nil {
		s.vips = append(s.vips, v)
		return s
	}
	if e := f.find("firewall vipgrp"+suffix, name); e != nil && !f.deep() {
		for _, m := range e.set["member"] {
			f.join(s, f.addr(m, six, e.where))
		}
		f.depth--
		return s
	}
	if e := f.find("firewall address"+suffix, name); e != nil {
		f.address(s, e, six)
		return s
	}
	e := f.find(grp, name)
	switch {
	case e != nil && f.deep(): // groups in groups
		s.words = append(s.words, "group "+name+", which is too deep in others")
	case e != nil:
		for _, m := range e.set["member"] {
			t := f.addr(m, six, e.where)
			f.join(s, t)
			f.member(name, grp, m, t)
		}
		s.ranges = Merge(s.ranges)
		if e.on("exclude") {
			out := f.addrs(e.set["exclude-member"], six, e.where)
			if len(out.words) > 0 {
				s.words = append(s.words, "group "+name+" without "+out.word())
				s.ranges = nil
			}
			s.ranges = Without(s.ranges, out.ranges)
		}
		f.depth--
	case name == "all" && six:
		s.ranges = []Range{AllIPv6()}
	case name == "all":
		s.ranges = []Range{AllIPv4()}
	case name == "none":
	default:
		s.words = append(s.words, "address "+name+", which is not in the export")
		f.rs.note(where, "address %q is not in the export; export all of it with: %s", name, fortiExport)
	}
	return s
}

// address reads one address object.
func (f *forti) address(s *fortiSet, e *fortiEntry, six bool) {
	kind := first(e.one("type"), "ipmask")
	unread := func() { s.words = append(s.words, "address "+e.id+" ("+kind+")") }
	switch {
	case kind == "iprange":
		r, err := ParseAddrs(e.one("start-ip") + "-" + e.one("end-ip"))
		if err != nil {
			f.rs.note(e.where, "address %q is not understood", e.id)
			unread()
			return
		}
		s.ranges = []Range{r}
	case six && (kind == "ipprefix" || kind == "ipmask"):
		v := first(e.one("ip6"), "::/0")
		if v == "::/128" { // none
			return
		}
		r, err := ParseAddrs(v)
		if err != nil {
			f.rs.note(e.where, "address %q is not understood", e.id)
			unread()
			return
		}
		if v == "::/0" {
			r = AllIPv6()
		}
		s.ranges = []Range{r}
	case kind == "ipmask" || kind == "interface-subnet":
		v := e.set["subnet"]
		if len(v) == 0 && kind == "interface-subnet" {
			i, ok := f.places[e.one("interface")]
			if !ok || len(f.rs.Interfaces[i].Addrs) == 0 {
				unread()
				return
			}
			s.ranges = []Range{PrefixRange(f.rs.Interfaces[i].Addrs[0])}
			return
		}
		if len(v) == 0 {
			v = []string{"0.0.0.0/0"}
		}
		if strings.Join(v, " ") == "0.0.0.0 255.255.255.255" || strings.Join(v, " ") == "0.0.0.0/32" { // none
			return
		}
		r, err := ParseAddrs(strings.Join(v, "/"))
		if err != nil {
			f.rs.note(e.where, "address %q is not understood", e.id)
			unread()
			return
		}
		s.ranges = []Range{r}
	case kind == "wildcard":
		if s.ranges = fortiWildcard(e.set["wildcard"]); s.ranges != nil && f.budget > 0 {
			f.budget -= len(s.ranges)
			return
		}
		s.ranges = nil
		s.words = append(s.words, "address "+e.id+" (wildcard "+strings.Join(e.set["wildcard"], " ")+")")
	case kind == "fqdn" || kind == "wildcard-fqdn":
		s.words = append(s.words, "address "+e.id+" ("+kind+" "+first(e.one("fqdn"), e.one("wildcard-fqdn"))+")")
	case kind == "geography":
		s.words = append(s.words, "address "+e.id+" (geography "+e.one("country")+")")
	default: // dynamic, mac, template, …
		unread()
	}
}

// fortiWildcard lists what an address with a mask of any bits stands for; nil if that is too much.
func fortiWildcard(v []string) []Range {
	if len(v) != 2 {
		return nil
	}
	a, err := netip.ParseAddr(v[0])
	m, err2 := netip.ParseAddr(v[1])
	if err != nil || err2 != nil || !a.Is4() || !m.Is4() {
		return nil
	}
	mask := binary.BigEndian.Uint32(m.AsSlice())
	addr := binary.BigEndian.Uint32(a.AsSlice()) & mask
	low := uint32(1)<<bits.TrailingZeros32(mask) - 1 // free bits at the end make a range
	free := ^mask &^ low
	if bits.OnesCount32(free) > 12 {
		return nil
	}
	var out []Range
	for set := uint32(0); ; {
		first := uint64(0xffff)<<32 | uint64(addr|set)
		out = append(out, Range{Value{0, first}, Value{0, first | uint64(low)}})
		if set = (set - free) & free; set == 0 { // the next number with bits of free only
			return Merge(out)
		}
	}
}

// deep counts groups in groups, and reports whether they are too many. If not, the caller counts down.
func (f *forti) deep() bool {
	if f.depth >= 64 {
		return true
	}
	f.depth++
	return false
}

// member keeps the name of an address in a group: an Edit tells the device names.
func (f *forti) member(group, table, name string, s *fortiSet) {
	if f.rs.members == nil {
		f.rs.members = make(map[string]map[Range]member)
	}
	of := f.rs.members[group]
	if of == nil {
		of = make(map[Range]member)
		f.rs.members[group] = of
	}
	if inner := f.rs.members[name]; inner != nil && f.find(table, name) != nil {
		if f.budget -= len(inner); f.budget > 0 {
			for r, m := range inner {
				of[r] = m
			}
		}
		return
	}
	if len(s.ranges) == 1 && len(s.words) == 0 {
		of[s.ranges[0]] = member{table + "\x00" + group, name}
	}
}

// fortiService is what a name of a service stands for. Only TCP has ports here.
type fortiService struct {
	ports []Range // destination ports of TCP
	tcp   []Match // of TCP, with source ports
	other []Range // protocols that are not TCP
	words []string
	any   bool
	busy  bool
}

// fortiServices are those that FortiOS has from the factory; exports of some versions leave them out.
var fortiServices = map[string]string{
	"SMTP": "25", "SMTPS": "465", "POP3": "110", "POP3S": "995", "IMAP": "143", "IMAPS": "993", "HTTP": "80", "HTTPS": "443", "SSH": "22",
	"FTP": "21", "TELNET": "23", "DNS": "53", "LDAP": "389", "LDAP_UDP": "", "NTP": "123", "SAMBA": "139", "SMB": "445", "RDP": "3389", "ALL_TCP": "1-65535",
	"ALL_UDP": "", "ALL_ICMP": "", "ALL_ICMP6": "", "PING": "", "PING6": "", "TRACEROUTE": "", "SYSLOG": "", "SNMP": "161-162", "DHCP": "", "DHCP6": "",
	"IKE": "", "RADIUS": "", "GRE": "", "AH": "", "ESP": "", "OSPF": "", "TFTP": "", "KERBEROS": "88,464", "BGP": "179", "SIP": "5060", "MYSQL": "3306",
	"MS-SQL": "1433,1434", "VNC": "5900", "SQUID": "3128", "SOCKS": "1080", "PPTP": "1723", "L2TP": "1701", "RTSP": "554,7070,8554", "NNTP": "119", "IRC": "6660-6669",
	"Email Access": "53,143,993,110,995,25,465", "Web Access": "53,80,443", "webproxy": "0-65535",
}

// service is what one name stands for.
func (f *forti) service(name string, where Place) *fortiService {
	if s := f.services[name]; s != nil {
		if s.busy {
			f.rs.note(where, "service group %q is in itself", name)
			return &fortiService{words: []string{"service group " + name + ", which is in itself"}}
		}
		return s
	}
	s := &fortiService{busy: true}
	f.services[name] = s
	defer func() { s.busy = false }()
	if e := f.find("firewall service custom", name); e != nil {
		f.custom(s, e)
		return s
	}
	if e := f.find("firewall service group", name); e != nil {
		if f.deep() {
			s.words = []string{"service group " + name + ", which is too deep in others"}
			return s
		}
		for _, m := range e.set["member"] {
			f.joinService(s, f.service(m, e.where))
		}
		f.depth--
		s.ports = Merge(s.ports)
		return s
	}
	ports, ok := fortiServices[name]
	switch {
	case name == "ALL" || name == "ANY":
		s.any = true
	case ok && ports == "":
		s.other = []Range{Ports(17, 17)}
	case ok:
		for _, p := range strings.Split(ports, ",") {
			r, _ := fortiPorts(p)
			s.ports = append(s.ports, r)
		}
		s.ports = Merge(s.ports)
	default:
		s.words = []string{"service " + name + ", which is not in the export"}
		f.rs.note(where, "service %q is not in the export; export all of it with: %s", name, fortiExport)
	}
	return s
}

func (f *forti) joinService(s, t *fortiService) {
	if f.budget -= len(t.ports) + len(t.tcp) + len(t.other) + 1; f.budget < 0 {
		t = &fortiService{words: []string{"more services in groups than can be kept"}}
	}
	s.ports, s.tcp, s.other = append(s.ports, t.ports...), append(s.tcp, t.tcp...), append(s.other, t.other...)
	s.any = s.any || t.any
	for _, w := range t.words {
		if len(s.words) < 20 && !slices.Contains(s.words, w) {
			s.words = append(s.words, w)
		}
	}
}

// custom reads a service object. Port ranges are DESTINATION or DESTINATION:SOURCE.
func (f *forti) custom(s *fortiService, e *fortiEntry) {
	if (len(e.set["iprange"]) > 0 && e.one("iprange") != "0.0.0.0" && e.one("iprange") != "0.0.0.0-0.0.0.0") || e.one("fqdn") != "" {
		s.words = []string{"service " + e.id + " (of some addresses only)"}
		return
	}
	if t := e.one("app-service-type"); t != "" && t != "disable" {
		s.words = []string{"service " + e.id + " (application)"}
		return
	}
	switch p := first(e.one("protocol"), "TCP/UDP/SCTP"); p {
	case "IP":
		n, _ := strconv.Atoi(first(e.one("protocol-number"), "0"))
		switch {
		case n == 0:
			s.any = true
		case n == 6:
			s.ports = []Range{Ports(0, 65535)}
		default:
			s.other = []Range{Ports(uint16(n), uint16(n))}
		}
	case "ICMP":
		s.other = []Range{Ports(1, 1)}
	case "ICMP6":
		s.other = []Range{Ports(58, 58)}
	case "TCP/UDP/SCTP", "TCP/UDP/UDP-Lite/SCTP", "TCP/UDP", "ALL":
		if p == "ALL" && len(e.set["tcp-portrange"]) == 0 {
			s.any = true
			return
		}
		for _, v := range e.set["tcp-portrange"] {
			dst, src, both := strings.Cut(v, ":")
			d, ok := fortiPorts(dst)
			if !ok {
				s.words = append(s.words, "service "+e.id)
				f.rs.note(e.where, "service %q: its ports are not understood", e.id)
				return
			}
			if !both || src == "0-65535" || src == "1-65535" {
				s.ports = append(s.ports, d)
				continue
			}
			r, ok := fortiPorts(src)
			if !ok {
				s.words = append(s.words, "service "+e.id)
				f.rs.note(e.where, "service %q: its ports are not understood", e.id)
				return
			}
			s.tcp = append(s.tcp, Match{{Field: DstPort, Ranges: []Range{d}}, {Field: SrcPort, Ranges: []Range{r}}})
		}
		if len(e.set["udp-portrange"]) > 0 || len(e.set["sctp-portrange"]) > 0 {
			s.other = []Range{Ports(17, 17)}
		}
		s.ports = Merge(s.ports)
	default:
		s.words = []string{"service " + e.id + " (" + p + ")"}
	}
}

func fortiPorts(text string) (Range, bool) {
	a, b, both := strings.Cut(text, "-")
	if !both {
		b = a
	}
	x, err := strconv.ParseUint(a, 10, 16)
	y, err2 := strconv.ParseUint(b, 10, 16)
	return Ports(uint16(x), uint16(y)), err == nil && err2 == nil && x <= y
}

// serviceTerms are the terms of a list of services.
func (f *forti) serviceTerms(names []string, negate bool, where Place) Match {
	s := &fortiService{}
	object := ""
	if len(names) == 1 {
		s = f.service(names[0], where)
		if f.find("firewall service group", names[0]) != nil {
			object = names[0]
		}
	} else {
		for _, n := range names {
			f.joinService(s, f.service(n, where))
		}
		s.ports = Merge(s.ports)
	}
	tcp := Term{Field: Proto, Ranges: []Range{Ports(6, 6)}}
	var m Match
	word := strings.Join(s.words, ", ")
	switch {
	case s.any:
	case len(s.tcp) == 0 && (len(s.ports) > 0 || word != ""):
		m = Match{tcp, {Field: DstPort, Ranges: s.ports, Word: word, Object: object}}
	case len(s.tcp) > 0:
		alternatives := slices.Clip(s.tcp)
		if len(s.ports) > 0 || word != "" {
			alternatives = append(alternatives, Match{{Field: DstPort, Ranges: s.ports, Word: word, Object: object}})
		}
		m = Match{tcp, {Field: AnyOf, Any: alternatives}}
		if len(alternatives) == 1 {
			m = append(Match{tcp}, alternatives[0]...)
		}
	default: // no service at all matches nothing
		m = Match{{Field: Proto, Ranges: Merge(s.other)}}
	}
	if negate {
		return Match{{Field: AnyOf, Not: true, Any: []Match{m}}}
	}
	return m
}

// fortiVIP is a virtual address: a destination that is translated.
type fortiVIP struct {
	entry    *fortiEntry
	name     string
	six      bool
	match    Match   // what it translates, as the packet arrives
	ext      []Range // addresses outside
	extPorts []Range // nil: all
	mapped   []Range
	ports    []Range // what extPorts become; nil: they stay
	in       string  // the interface of the addresses; empty: any
	own      bool    // the address is an interface's
	oneToOne bool    // an address and its ports keep their places
	words    []string
	used     bool // a policy that is not disabled has it, or central NAT is on
	off      bool
}

// translations reads VIPs. FortiOS Administration Guide, Destination NAT.
func (f *forti) translations() {
	f.central = f.setting("system settings", "central-nat") == "enable" || f.setting("system settings", "ngfw-mode") == "policy-based"
	for _, table := range []string{"firewall vip", "firewall vip6"} {
		for _, e := range f.tables[table] {
			v := &fortiVIP{entry: e, name: e.id, six: table == "firewall vip6", off: e.one("status") == "disable", used: f.central}
			f.vip(v)
			f.vips = append(f.vips, v)
			f.byVIP[table+"\x00"+e.id] = v
		}
	}
	// "VIPs are only checked if they are in a policy": Technical Tip on the order of VIPs.
	for _, table := range []string{"firewall policy", "firewall policy6", "firewall consolidated policy"} {
		for _, e := range f.tables[table] {
			if e.one("status") == "disable" {
				continue
			}
			dst4, dst6 := e.set["dstaddr"], e.set["dstaddr6"]
			if table == "firewall policy6" {
				dst4, dst6 = nil, dst4
			}
			if table == "firewall consolidated policy" {
				dst4 = append(slices.Clip(dst4), e.set["dstaddr4"]...)
			}
			for _, n := range dst4 {
				f.use(n, "", 0)
			}
			for _, n := range dst6 {
				f.use(n, "6", 0)
			}
		}
	}
	for _, v := range f.vips {
		if v.used && !v.off {
			f.vipsUsed[btoi(v.six)] = true
		}
	}
	f.overlaps()
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (f *forti) use(name, suffix string, depth int) {
	if v := f.byVIP["firewall vip"+suffix+"\x00"+name]; v != nil {
		v.used = true
	} else if e := f.find("firewall vipgrp"+suffix, name); e != nil && depth < 64 && !f.grouped[suffix+name] {
		f.grouped[suffix+name] = true
		for _, m := range e.set["member"] {
			f.use(m, suffix, depth+1)
		}
	}
}

func (f *forti) vip(v *fortiVIP) {
	e := v.entry
	ranges := func(list []string) (out []Range) {
		for _, text := range list {
			for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
				if r, err := ParseAddrs(part); err == nil {
					out = append(out, r)
				} else {
					v.words = append(v.words, "address "+part)
				}
			}
		}
		return out
	}
	v.ext, v.mapped = ranges(e.set["extip"]), Merge(ranges(e.set["mappedip"]))
	if t := e.one("type"); t != "" && t != "static-nat" {
		v.words = append(v.words, "VIP type "+t)
	}
	for _, key := range []string{"nat46", "nat64"} {
		if e.on(key) {
			v.words = append(v.words, key)
		}
	}
	if a := e.one("mapped-addr"); a != "" {
		v.words = append(v.words, "mapped-addr "+a)
	}
	family := uint16(4)
	if v.six {
		family = 6
	}
	m := Match{{Field: Family, Ranges: []Range{Ports(family, family)}}}
	if v.in = e.one("extintf"); v.in == "any" {
		v.in = ""
	}
	if v.in != "" {
		m = append(m, Term{Field: In, Names: []string{v.in}})
	}
	if list := e.set["srcintf-filter"]; len(list) > 0 {
		m = append(m, Term{Field: In, Names: list})
	}
	if filter := e.set["src-filter"]; len(filter) > 0 {
		m = append(m, Term{Field: SrcAddr, Ranges: Merge(ranges(filter))})
	}
	word := ""
	switch a := e.one("extaddr"); {
	case a != "" && len(v.ext) == 0:
		s := f.addrs(e.set["extaddr"], v.six, e.where)
		v.ext, word = s.ranges, s.word()
	case len(v.ext) == 1 && v.ext[0].First.Addr().IsUnspecified() && v.ext[0].First == v.ext[0].Last: // the interface's own
		v.ext = nil
		if i, ok := f.places[v.in]; ok {
			for _, p := range f.rs.Interfaces[i].Addrs {
				if p.Addr().Is6() == v.six {
					v.ext = append(v.ext, One(p.Addr()))
				}
			}
		}
		if v.own = true; len(v.ext) == 0 {
			word = "extip of VIP " + v.name + ": the address of " + first(v.in, "an interface")
		}
	case len(v.ext) == 0:
		word = "extip of VIP " + v.name
		f.rs.note(e.where, "VIP %q has no address that is understood", v.name)
	}
	v.ext = Merge(v.ext)
	for _, r := range v.ext {
		at, _ := slices.BinarySearchFunc(f.own, r.First, func(o fortiOwn, v Value) int { return o.addr.Compare(v) })
		if at == len(f.own) || r.Last.less(f.own[at].addr) {
			continue
		}
		v.own = true
		if v.in == "" { // from elsewhere two policies are asked: Technical Tip on hairpin NAT
			v.in = f.own[at].name
			m = append(m, Term{Field: In, Names: []string{v.in}})
		}
	}
	m = append(m, Term{Field: DstAddr, Ranges: v.ext, Word: word})
	if e.on("portforward") {
		proto := first(e.one("protocol"), "tcp")
		n, ok := map[string]uint16{"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1}[proto]
		if !ok {
			v.words = append(v.words, "protocol "+proto)
			n = 6
		}
		m = append(m, Term{Field: Proto, Ranges: []Range{Ports(n, n)}})
		if r, ok := fortiPorts(e.one("extport")); ok {
			v.extPorts = []Range{r}
			m = append(m, Term{Field: DstPort, Ranges: v.extPorts})
			v.ports = v.extPorts
		} else if n == 6 {
			m = append(m, Term{Field: DstPort, Word: "extport of VIP " + v.name})
		}
		if r, ok := fortiPorts(first(e.one("mappedport"), e.one("ipv4-mappedport"))); ok && r != (Range{}) {
			v.ports = []Range{r}
		}
	}
	if list := e.set["service"]; len(list) > 0 {
		m = append(m, f.serviceTerms(list, false, e.where)...)
	}
	if len(v.mapped) == 0 && len(v.words) == 0 {
		v.words = append(v.words, "mappedip of VIP "+v.name)
	}
	v.oneToOne = len(v.ext) == 1 && len(v.mapped) == 1 && e.one("portmapping-type") != "m-to-n"
	v.match = m
}

// to is what a VIP makes of a destination.
func (v *fortiVIP) to() Translation {
	t := Translation{Addrs: v.mapped, Ports: v.ports, Words: v.words}
	if v.oneToOne {
		t.Map, t.From, t.FromPorts = true, v.ext, v.extPorts
	}
	if len(v.words) > 0 {
		t.Addrs, t.Map = nil, false
	}
	return t
}

// overlaps makes unsure which of two VIPs for one address is met, where FortiOS does not take them in their order: before
// 7.2 they are in the order that policies had them told to the kernel.
func (f *forti) overlaps() {
	if is, _ := f.atLeast(7, 2, 0); is || f.central {
		return
	}
	total := 0
	for _, v := range f.vips {
		total += 1 + len(v.ext)
	}
	if total > 8000 {
		f.rs.note(f.vips[0].entry.where, "too many VIPs to look for two of one address")
		return
	}
	var extra [][]Match
	for i, v := range f.vips {
		var later []Match
		for _, w := range f.vips[i+1:] {
			if len(later) < 20 && v.used && w.used && !v.off && !w.off && v.six == w.six && slices.ContainsFunc(v.ext, func(r Range) bool {
				return slices.ContainsFunc(w.ext, func(s Range) bool { return !s.Last.less(r.First) && !r.Last.less(s.First) })
			}) {
				later = append(later, w.match)
			}
		}
		extra = append(extra, later)
	}
	for i, v := range f.vips {
		if len(extra[i]) > 0 {
			v.match = append(slices.Clip(v.match), Term{Field: AnyOf, Any: []Match{
				{{Field: AnyOf, Not: true, Any: extra[i]}},
				{{Field: Unmodelled, Word: "the order of VIPs for one address"}},
			}})
		}
	}
}

// steps makes the steps of what was read: access control list, VIPs, addresses of VIPs, policies or local-in, source NAT.
func (f *forti) steps() {
	rs := f.rs
	prefix := ""
	if f.several {
		prefix = "vdom " + f.vdom + ": "
	}
	add := func(s Step, c *Chain) {
		if s.Name = prefix + s.Name; f.several {
			c.Name = prefix + c.Name
		}
		s.Chain = c.Name
		rs.Chains[c.Name] = c
		rs.Steps = append(rs.Steps, s)
	}
	chain := func(name string, policy Action, text string) *Chain {
		c := &Chain{Name: name, Policy: policy, PolicyText: text}
		if list := f.tables[name]; len(list) > 0 {
			c.Where = Place{File: list[0].where.File, Line: list[0].where.Line}
		} else {
			c.Where = Place{File: f.file, Line: 1}
		}
		return c
	}

	if c := chain("firewall acl", Accept, ""); len(f.tables["firewall acl"])+len(f.tables["firewall acl6"]) > 0 {
		for _, e := range f.tables["firewall acl"] {
			c.Rules = append(c.Rules, f.plain(e, e.set["interface"], false, Drop))
		}
		for _, e := range f.tables["firewall acl6"] {
			c.Rules = append(c.Rules, f.plain(e, e.set["interface"], true, Drop))
		}
		var when []Match
		for _, r := range c.Rules {
			when = append(when, r.Match)
		}
		add(Step{Name: "firewall acl", Kind: Filter, Hook: Prerouting, When: Match{{Field: AnyOf, Any: when}}}, c)
	}
	if len(f.vips) > 0 {
		c := chain("firewall vip", Accept, "")
		for _, v := range f.vips {
			r := f.rule(v.entry, v.match, Translate)
			r.To, r.Disabled = v.to(), v.off || !v.used
			r.Comment = v.entry.one("comment")
			c.Rules = append(c.Rules, r)
		}
		add(Step{Name: "firewall vip", Kind: DNAT, Hook: Prerouting, Stateful: true}, c)
		f.behind(add)
	}

	c := chain("firewall policy", Drop, "implicit deny (policy 0)")
	var nat []*Rule
	policies := func(table string) {
		for _, e := range f.tables[table] {
			for _, r := range f.policy(e) {
				c.Rules = append(c.Rules, r)
				if !f.central {
					nat = append(nat, f.sourceNAT(e, r))
				}
			}
		}
	}
	if f.setting("system settings", "ngfw-mode") == "policy-based" {
		// The policies are for SSL inspection and users; what lets through are the security policies.
		c = chain("firewall security-policy", Drop, "implicit deny (policy 0)")
		policies("firewall security-policy")
		if len(f.tables["firewall policy"]) > 0 {
			rs.note(f.tables["firewall policy"][0].where, "ngfw-mode policy-based: config firewall policy is for inspection only, and is not asked")
		}
	} else {
		for _, e := range f.tables["system zone"] {
			if e.one("intrazone") == "allow" {
				r := f.rule(e, Match{{Field: In, Names: []string{e.id}}, {Field: Out, Names: []string{e.id}}}, Accept)
				c.Rules = append(c.Rules, r)
				nat = append(nat, r)
			}
		}
		policies("firewall policy")
		policies("firewall consolidated policy")
		policies("firewall policy6")
	}
	if len(rs.Interfaces) > 0 || len(c.Rules) > 0 {
		add(Step{Name: c.Name, Kind: Filter, Hook: Forward, Stateful: true}, c)
	}
	f.localIn(add, chain)

	if f.central {
		f.centralNAT(add, chain)
		return
	}
	if slices.ContainsFunc(nat, func(r *Rule) bool { return r.Action != Accept }) {
		n := &Chain{Name: "nat of firewall policy", Where: c.Where, Rules: nat, Policy: Accept}
		add(Step{Name: n.Name, Kind: SNAT, Hook: Forward, Stateful: true}, n)
	}
}

// rule begins a rule of an entry.
func (f *forti) rule(e *fortiEntry, m Match, a Action) *Rule {
	return &Rule{ID: e.id, Name: e.one("name"), Where: e.where, Text: e.text.String(), Comment: strings.ReplaceAll(first(e.one("comments"), e.one("comment")), "\n", " "), Match: m, Action: a}
}

// behind adds what happens to a packet to a VIP's address that no VIP translated: the address counts as the device's own,
// so that it is not routed on.
func (f *forti) behind(add func(Step, *Chain)) {
	c := &Chain{Name: "addresses of firewall vip", Policy: Accept, Where: f.vips[0].entry.where}
	var when []Match
	for _, v := range f.vips {
		if v.off || len(v.ext) == 0 {
			continue
		}
		untouched := Match{{Field: DstAddr, Ranges: v.ext}, {Field: Translated, Not: true, Bits: 1}}
		if v.used && v.in != "" {
			m := slices.Clone(untouched)
			if v.extPorts != nil {
				m = append(m, Term{Field: DstPort, Ranges: v.extPorts})
			}
			m = append(m, Term{Field: In, Not: true, Names: []string{v.in}})
			r := f.rule(v.entry, m, Uncertain)
			r.Words = []string{"hairpin to VIP " + v.name + ", whose interface is " + v.in}
			c.Rules, when = append(c.Rules, r), append(when, m)
		}
		if !v.own {
			r := f.rule(v.entry, untouched, Drop)
			if v.entry.one("arp-reply") == "disable" {
				r.Action, r.Words = Uncertain, []string{"VIP " + v.name + " with arp-reply disable"}
			}
			c.Rules, when = append(c.Rules, r), append(when, untouched)
		}
	}
	if len(c.Rules) > 0 {
		add(Step{Name: c.Name, Kind: Filter, Stateful: true, When: Match{{Field: AnyOf, Any: when}}}, c)
	}
}

// fortiConditions are settings of a policy that narrow what it matches, and are not modelled. What they hold where they
// mean nothing is in fortiNothing.
var fortiConditions = regexp.MustCompile(`^(?:internet-service.*|network-service.*|ztna-.*|users|groups|fsso-groups|devices|device-.*|.*vendor-mac.*|src-.*|dst-.*|tos.*|vlan-filter|reputation-.*|sgt.*|identity-based.*|application|app-category|app-group|url-category|nat46|nat64|learning-mode)$`)

// fortiHarmless are settings of a policy that are read elsewhere, or do not change which connections it matches: logs,
// inspection, shaping, names. What is in neither list may narrow a policy.
var fortiHarmless = regexp.MustCompile(`^(?:name|uuid|comments?|label|global-label|tags|(?:src|dst)intf|intf|interface|(?:src|dst)addr[46]?(?:-negate)?|service(?:-negate)?|action|schedule|schedule-timeout|status|` +
	`nat|ippool|poolname6?|fixedport|natip|natinbound|natoutbound|port-preserve|port-random|permit-any-host|permit-stun-host|rtp-nat|rtp-addr|pcp-.*|cgn-.*|eif-.*|match-vip|match-vip-only|` +
	`logtraffic.*|log-.*|custom-log-fields|capture-packet|utm-.*|inspection-mode|profile-.*|.*-profile|.*-sensor|application-list|ips-voip-filter|dlp-.*|ssl-.*|.*-shaper|.*-shaper-reverse|traffic-shaper.*|per-ip-shaper|dynamic-shaping|class-id|` +
	`auth-.*|redirect-url|disclaimer|email-collect|ntlm.*|rsso|fsso|fsso-agent-for-ntlm|wsso|radius-.*|session-ttl|vlan-cos-.*|inbound|outbound|vpntunnel|wccp|webcache.*|webproxy-.*|wanopt.*|http-policy-redirect|ssh-policy-redirect|` +
	`diffserv.*|tcp-mss-.*|tcp-session-without-syn|anti-replay|delay-tcp-npu-session|auto-asic-offload|np-acceleration|policy-offload|block-notification|replacemsg-.*|timeout-send-rst|send-deny-packet|firewall-session-dirty|` +
	`geoip-.*|passive-wan-health-measurement|decrypted-traffic-mirror|policy-expiry.*|policy-behavior-type|policyid|scan-botnet-connections|endpoint-.*|best-route|enforce-default-app-port|ha-mgmt-intf-only|virtual-patch|sec-default-action|network-service-dynamic|fragment)$`)

var fortiNothing = []string{"", "disable", "0", "0x00", "any", "destination", "source", "all", "or"}

// policy reads a policy: one rule for each family of addresses that it has.
func (f *forti) policy(e *fortiEntry) []*Rule {
	action := Drop
	var words []string
	switch a := e.one("action"); a {
	case "accept":
		action = Accept
	case "", "deny":
		if e.on("send-deny-packet") {
			action = Reject
		}
	default:
		action, words = Uncertain, []string{"action " + a}
	}
	if action == Accept && e.one("policy-behavior-type") != "" && e.one("policy-behavior-type") != "standard" {
		words = []string{"policy-behavior-type " + e.one("policy-behavior-type")}
	}
	var common, end Match
	in, out := e.set["srcintf"], e.set["dstintf"]
	if len(in) > 0 && !slices.Contains(in, "any") {
		common = append(common, Term{Field: In, Names: in})
	}
	if len(out) > 0 && !slices.Contains(out, "any") {
		common = append(common, Term{Field: Out, Names: out})
	}
	if e.table == "firewall security-policy" && e.on("enforce-default-app-port") && len(e.set["application"]) > 0 {
		end = append(end, Term{Field: Unmodelled, Word: "enforce-default-app-port"})
	}
	service := e.set["service"]
	if e.on("internet-service") || e.on("internet-service6") { // brings its own ports
		service = []string{"ALL"}
	}
	if len(service) > 0 {
		end = append(end, f.serviceTerms(service, e.on("service-negate"), e.where)...)
	}
	end = append(end, f.conditions(e)...)
	build := func(src, dst []string, six bool, family uint16, suffix string) *Rule {
		m := Match{{Field: Family, Ranges: []Range{Ports(family, family)}}}
		// Numbers first: they are compared faster than names, and most rules end there.
		m = append(m, f.destination(e, dst, six, e.on("dstaddr"+suffix+"-negate"), action)...)
		m = append(m, f.addrTerm(SrcAddr, src, six, e.on("srcaddr"+suffix+"-negate"), e.where)...)
		m = append(m, end...)
		m = append(m, common...)
		r := f.rule(e, m, action)
		r.Words = words
		f.schedule(r, e)
		return r
	}
	src4, dst4, src6, dst6 := e.set["srcaddr"], e.set["dstaddr"], e.set["srcaddr6"], e.set["dstaddr6"]
	switch e.table {
	case "firewall policy6":
		src4, dst4, src6, dst6 = nil, nil, src4, dst4
	case "firewall consolidated policy", "firewall security-policy":
		src4, dst4 = append(slices.Clip(src4), e.set["srcaddr4"]...), append(slices.Clip(dst4), e.set["dstaddr4"]...)
	}
	var rules []*Rule
	inet, inet6 := e.on("internet-service") || e.on("internet-service-src"), e.on("internet-service6") || e.on("internet-service6-src")
	if len(src4) > 0 || len(dst4) > 0 || inet || len(src6)+len(dst6) == 0 && !inet6 {
		r := build(src4, dst4, false, 4, "")
		if e.table != "firewall policy" && len(src4) == 0 && len(dst4) == 0 && !inet {
			r.Match = append(r.Match, Term{Field: Unmodelled, Word: "policy without addresses"})
		}
		rules = append(rules, r)
	}
	if len(src6) > 0 || len(dst6) > 0 || inet6 {
		suffix := "6"
		if e.table == "firewall policy6" {
			suffix = ""
		}
		rules = append(rules, build(src6, dst6, true, 6, suffix))
	}
	return rules
}

// addrTerm is the term of a list of addresses.
func (f *forti) addrTerm(field Field, names []string, six, negate bool, where Place) Match {
	if len(names) == 0 {
		return nil // an internet service stands in its place
	}
	s := f.addrs(names, six, where)
	t := Term{Field: field, Not: negate, Ranges: s.ranges, Word: s.word()}
	suffix := ""
	if six {
		suffix = "6"
	}
	if len(names) == 1 && f.find("firewall addrgrp"+suffix, names[0]) != nil {
		t.Object = names[0]
	}
	for _, v := range s.vips { // only of a policy with central NAT, which sees the mapped addresses
		t.Ranges = Merge(slices.Concat(t.Ranges, v.mapped))
	}
	if !negate && (place(t.Ranges, AllIPv4()) == yes && !six || place(t.Ranges, AllIPv6()) == yes) {
		return nil
	}
	return Match{t}
}

// destination is what a policy says of the destination. What a VIP translated is met by policies that name the VIP, and
// not by others, unless a policy that denies has match-vip (on from 7.2.4).
func (f *forti) destination(e *fortiEntry, names []string, six, negate bool, action Action) Match {
	if f.central || !f.vipsUsed[btoi(six)] || len(names) == 0 {
		return f.addrTerm(DstAddr, names, six, negate, e.where)
	}
	s := f.addrs(names, six, e.where)
	var any []Match
	touched := Term{Field: Translated, Bits: 1}
	untouched := Term{Field: Translated, Not: true, Bits: 1}
	if len(s.ranges) > 0 || len(s.words) > 0 {
		plain := &fortiSet{ranges: s.ranges, words: s.words}
		t := Term{Field: DstAddr, Ranges: plain.ranges, Word: plain.word()}
		if len(names) == 1 && len(s.vips) == 0 {
			if len(f.addrTerm(DstAddr, names, six, false, e.where)) > 0 {
				t.Object = f.addrTerm(DstAddr, names, six, false, e.where)[0].Object
			}
		}
		orig := t
		orig.Field = OrigDst
		everything := place(t.Ranges, AllIPv4()) == yes && !six || place(t.Ranges, AllIPv6()) == yes
		matchVIP := e.one("match-vip")
		if matchVIP == "" {
			is, told := f.atLeast(7, 2, 4)
			was, _ := f.atLeast(7, 2, 3)
			switch {
			case action != Drop && action != Reject:
				matchVIP = "disable"
			case is:
				matchVIP = "enable"
			case told && !was:
				matchVIP = "disable"
			}
		}
		alone := Match{untouched}
		if !everything {
			alone = append(alone, t)
		}
		switch {
		case matchVIP == "disable":
			any = append(any, alone)
		case matchVIP == "enable" && everything:
			if !negate {
				return nil
			}
			any = append(any, Match{})
		case matchVIP == "enable": // whether the address outside or inside counts is not documented: where both are in it, it is sure
			any = append(any, alone, Match{touched, t, orig},
				Match{touched, {Field: AnyOf, Any: []Match{{t}, {orig}}}, {Field: Unmodelled, Word: "match-vip with an address"}})
		default:
			any = append(any, alone, Match{touched, {Field: AnyOf, Any: []Match{{t}, {orig}}}, {Field: Unmodelled, Word: "match-vip, which is not in the export"}})
		}
	}
	if f.budget -= 4 * len(s.vips); f.budget < 0 {
		return Match{{Field: Unmodelled, Word: "more VIPs in groups than can be kept"}}
	}
	for _, v := range s.vips {
		m := Match{touched}
		if len(v.ext) > 0 {
			m = append(m, Term{Field: OrigDst, Ranges: v.ext, Object: v.name})
		}
		if v.extPorts != nil {
			m = append(m, Term{Field: OrigDstPort, Ranges: v.extPorts})
		}
		if len(v.words) == 0 {
			m = append(m, Term{Field: DstAddr, Ranges: v.mapped})
		}
		any = append(any, m)
	}
	if len(any) == 1 && !negate {
		return any[0]
	}
	return Match{{Field: AnyOf, Not: negate, Any: any}}
}

// conditions are settings that are not modelled.
func (f *forti) conditions(e *fortiEntry) (m Match) {
	var keys []string
	for key, v := range e.set {
		known := fortiHarmless.MatchString(key) && key != "match-vip-only"
		if (fortiConditions.MatchString(key) || !known) && !strings.HasSuffix(key, "addr-negate") && !strings.HasSuffix(key, "addr6-negate") && len(v) > 0 && !slices.Contains(fortiNothing, v[0]) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		if e.on(key) && slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k, key+"-") }) {
			continue // internet-service enable, beside internet-service-name
		}
		m = append(m, Term{Field: Unmodelled, Word: key + " " + strings.Join(e.set[key][:min(len(e.set[key]), 5)], " ")})
	}
	return m
}

// schedule books when a rule holds.
func (f *forti) schedule(r *Rule, e *fortiEntry) {
	r.Disabled = e.one("status") == "disable"
	switch s := e.one("schedule"); s {
	case "", "always":
	case "none":
		r.Disabled = true
	default:
		r.Match = append(r.Match, Term{Field: Unmodelled, Word: "schedule " + s})
		if once := f.find("firewall schedule onetime", s); once != nil {
			if t, err := time.Parse("15:04 2006/01/02", strings.Join(once.set["end"], " ")); err == nil {
				r.Expires = t
			}
		}
	}
	if v := e.set["policy-expiry-date"]; e.on("policy-expiry") && len(v) > 0 {
		if t, err := time.Parse("2006-01-02 15:04:05", strings.Join(v, " ")); err == nil {
			r.Expires = t
			r.Match = append(r.Match, Term{Field: Unmodelled, Word: "policy-expiry-date " + v[0]})
		}
	}
}

// plain reads a rule of one family about packets that arrive at an interface: local-in-policy and acl.
func (f *forti) plain(e *fortiEntry, in []string, six bool, action Action) *Rule {
	family := uint16(4)
	if six {
		family = 6
	}
	m := Match{{Field: Family, Ranges: []Range{Ports(family, family)}}}
	if len(in) > 0 && !slices.Contains(in, "any") {
		m = append(m, Term{Field: In, Names: in})
	}
	m = append(m, f.addrTerm(SrcAddr, e.set["srcaddr"], six, e.on("srcaddr-negate"), e.where)...)
	m = append(m, f.addrTerm(DstAddr, e.set["dstaddr"], six, e.on("dstaddr-negate"), e.where)...)
	if s := e.set["service"]; len(s) > 0 {
		m = append(m, f.serviceTerms(s, e.on("service-negate"), e.where)...)
	}
	m = append(m, f.conditions(e)...)
	r := f.rule(e, m, action)
	f.schedule(r, e)
	return r
}

// localIn adds what is let through to the device itself: policies, then the services that interfaces allow.
func (f *forti) localIn(add func(Step, *Chain), chain func(string, Action, string) *Chain) {
	c := chain("firewall local-in-policy", Drop, "implicit deny: no service of the device")
	for _, table := range []string{"firewall local-in-policy", "firewall local-in-policy6"} {
		for _, e := range f.tables[table] {
			action := Drop
			if e.one("action") == "accept" {
				action = Accept
			}
			c.Rules = append(c.Rules, f.plain(e, e.set["intf"], table == "firewall local-in-policy6", action))
		}
	}
	global := func(key, otherwise string) Range {
		r, _ := fortiPorts(first(f.setting("system global", key), otherwise))
		return r
	}
	services := map[string]Range{
		"https": global("admin-sport", "443"), "http": global("admin-port", "80"), "ssh": global("admin-ssh-port", "22"),
		"telnet": global("admin-telnet-port", "23"), "fgfm": Ports(541, 541), "fabric": Ports(8013, 8013), "probe-response": Ports(8008, 8008),
	}
	trust := false
	for _, e := range f.tables["system admin"] {
		for key := range e.set {
			trust = trust || strings.Contains(key, "trusthost")
		}
	}
	for _, e := range f.tables["system interface"] {
		for _, key := range []string{"allowaccess", "ipv6/ip6-allowaccess"} {
			var ports []Range
			for _, name := range e.set[key] {
				if r, ok := services[name]; ok {
					ports = append(ports, r)
				}
			}
			if len(ports) == 0 {
				continue
			}
			family := Ports(4, 4)
			if key != "allowaccess" {
				family = Ports(6, 6)
			}
			m := Match{{Field: Family, Ranges: []Range{family}}, {Field: In, Names: []string{e.id}}, {Field: Proto, Ranges: []Range{Ports(6, 6)}}, {Field: DstPort, Ranges: Merge(ports)}}
			if trust {
				m = append(m, Term{Field: Unmodelled, Word: "trusthost of the administrators"})
			}
			r := f.rule(e, m, Accept)
			r.Text = "config system interface; edit " + e.id + "; set " + key + " " + strings.Join(e.set[key], " ")
			c.Rules = append(c.Rules, r)
		}
	}
	if e := f.find("vpn ssl settings", ""); e != nil && len(e.set["source-interface"]) > 0 && e.one("status") != "disable" {
		r, _ := fortiPorts(first(e.one("port"), "443"))
		m := Match{{Field: Proto, Ranges: []Range{Ports(6, 6)}}, {Field: DstPort, Ranges: []Range{r}}}
		if !slices.Contains(e.set["source-interface"], "any") {
			m = append(m, Term{Field: In, Names: e.set["source-interface"]})
		}
		rule := f.rule(e, m, Accept)
		rule.ID, rule.Text = "vpn ssl settings", "config vpn ssl settings; set port "+first(e.one("port"), "443")
		c.Rules = append(c.Rules, rule)
	}
	add(Step{Name: "firewall local-in-policy", Kind: Filter, Hook: Input, Stateful: true}, c)
}

// sourceNAT is what a policy does with the source of what it let through.
func (f *forti) sourceNAT(e *fortiEntry, policy *Rule) *Rule {
	r := *policy
	r.Action, r.Words = Accept, nil
	if policy.Action != Accept || !e.on("nat") {
		return &r
	}
	six := slices.ContainsFunc(policy.Match, func(t Term) bool { return t.Field == Family && t.Ranges[0] == Ports(6, 6) })
	to := f.pool(e, six)
	before := "nat-source-vip"
	if to.Interface {
		before = "source of firewall vip"
	}
	if !f.vipSources(before) {
		r.Action, r.To = Translate, to
		return &r
	}
	last := *policy
	last.Match, last.Action, last.Words, last.To = nil, Translate, nil, to
	name := f.chainName("nat of policy " + e.id)
	if six {
		name += " IPv6"
	}
	jump := &Rule{ID: e.id, Where: e.where, Text: policy.Text, Action: Jump, Chain: f.chainName(before)}
	f.rs.Chains[name] = &Chain{Name: name, Where: e.where, Rules: []*Rule{jump, &last}}
	r.Action, r.Chain = Jump, name
	return &r
}

func (f *forti) chainName(name string) string {
	if f.several {
		return "vdom " + f.vdom + ": " + name
	}
	return name
}

// pool is the translation of a policy: the address of the interface that it leaves by, or one of a pool.
func (f *forti) pool(e *fortiEntry, six bool) Translation {
	names, table := e.set["poolname"], "firewall ippool"
	if six {
		names, table = e.set["poolname6"], "firewall ippool6"
	}
	if e.table == "firewall central-snat-map" {
		names = e.set["nat-ippool"]
		if six {
			names = e.set["nat-ippool6"]
		}
	} else if !e.on("ippool") {
		names = nil
	}
	var t Translation
	if !e.on("fixedport") {
		t.Ports = []Range{Ports(1024, 65535)}
	}
	if len(names) == 0 {
		t.Interface = true
		return t
	}
	for _, n := range names {
		p := f.find(table, n)
		if p == nil {
			t.Words = append(t.Words, "ippool "+n+", which is not in the export")
			continue
		}
		r, err := ParseAddrs(p.one("startip") + "-" + p.one("endip"))
		if err != nil {
			t.Words = append(t.Words, "ippool "+n)
			continue
		}
		t.Addrs = append(t.Addrs, r)
	}
	t.Addrs = Merge(t.Addrs)
	if len(t.Words) > 0 {
		t.Addrs = nil
	}
	return t
}

// vipSources makes the chain of hosts behind VIPs: what leaves by the VIP's interface has the VIP's address as its source.
// Technical Tip on mapping VIP outbound connections: nat-source-vip comes before a pool, the others only before the
// interface's address. It reports whether there are any.
func (f *forti) vipSources(name string) bool {
	full := f.chainName(name)
	if c := f.rs.Chains[full]; c != nil {
		return len(c.Rules) > 0
	}
	c := &Chain{Name: full}
	for _, v := range f.vips {
		always := v.entry.on("nat-source-vip")
		if v.off || !v.used || v.extPorts != nil && !always || len(v.words) > 0 || !v.oneToOne || name == "nat-source-vip" && !always {
			continue
		}
		m := Match{v.match[0], {Field: SrcAddr, Ranges: v.mapped}}
		if out := v.entry.one("extintf"); !always && out != "any" && out != "" {
			m = append(m, Term{Field: Out, Names: []string{out}})
		}
		if v.extPorts != nil {
			m = append(m, Term{Field: Unmodelled, Word: "nat-source-vip of a VIP with ports"})
		}
		r := f.rule(v.entry, m, Translate)
		r.To = Translation{Addrs: v.ext, Map: true, From: v.mapped}
		c.Rules = append(c.Rules, r)
		c.Where = v.entry.where
	}
	f.rs.Chains[full] = c
	return len(c.Rules) > 0
}

// centralNAT reads the table of source NAT that all policies have.
func (f *forti) centralNAT(add func(Step, *Chain), chain func(string, Action, string) *Chain) {
	c := chain("firewall central-snat-map", Accept, "")
	if f.vipSources("nat-source-vip") {
		c.Rules = append(c.Rules, &Rule{ID: "nat-source-vip", Where: f.rs.Chains[f.chainName("nat-source-vip")].Where, Text: "set nat-source-vip enable", Action: Jump, Chain: f.chainName("nat-source-vip")})
	}
	for _, e := range f.tables["firewall central-snat-map"] {
		six := e.one("type") == "ipv6"
		family, suffix := uint16(4), ""
		if six {
			family, suffix = 6, "6"
		}
		m := Match{{Field: Family, Ranges: []Range{Ports(family, family)}}}
		for field, names := range map[Field][]string{In: e.set["srcintf"], Out: e.set["dstintf"]} {
			if len(names) > 0 && !slices.Contains(names, "any") {
				m = append(m, Term{Field: field, Names: names})
			}
		}
		slices.SortStableFunc(m, func(a, b Term) int { return cmp.Compare(a.Field, b.Field) })
		m = append(m, f.addrTerm(SrcAddr, e.set["orig-addr"+suffix], six, false, e.where)...)
		m = append(m, f.addrTerm(DstAddr, e.set["dst-addr"+suffix], six, false, e.where)...)
		if n, err := strconv.ParseUint(first(e.one("protocol"), "0"), 10, 8); err == nil && n != 0 {
			m = append(m, Term{Field: Proto, Ranges: []Range{Ports(uint16(n), uint16(n))}})
		}
		for key, field := range map[string]Field{"orig-port": SrcPort, "dst-port": DstPort} {
			if v := e.one(key); v != "" && v != "0" && v != "0-65535" && v != "1-65535" {
				if r, ok := fortiPorts(v); ok {
					m = append(m, Term{Field: field, Ranges: []Range{r}})
				} else {
					m = append(m, Term{Field: Unmodelled, Word: key + " " + v})
				}
			}
		}
		r := f.rule(e, m, Translate)
		if r.Disabled = e.one("status") == "disable"; e.one("nat") == "disable" {
			r.Action = Exempt
		} else {
			r.To = f.pool(e, six)
		}
		c.Rules = append(c.Rules, r)
	}
	if len(c.Rules) > 0 {
		add(Step{Name: "firewall central-snat-map", Kind: SNAT, Hook: Forward, Stateful: true}, c)
	}
}

func editFortigate(rs *Ruleset, e Edit) []string {
	if e.Rule == nil || e.Chain == nil || e.Step == nil {
		return nil
	}
	table, vdom := "", ""
	if v, _, ok := strings.Cut(e.Chain.Name, ": "); ok && strings.HasPrefix(v, "vdom ") {
		vdom = strings.TrimPrefix(v, "vdom ")
	}
	if t, _, ok := strings.Cut(strings.TrimPrefix(e.Rule.Text, "config "), "; edit "); ok {
		table = t // a chain may hold the tables of both families
	}
	policy := slices.Contains([]string{"firewall policy", "firewall policy6", "firewall consolidated policy", "firewall security-policy", "firewall local-in-policy", "firewall local-in-policy6"}, table)
	six := slices.ContainsFunc(e.Rule.Match, func(t Term) bool { return t.Field == Family && t.Ranges[0] == Ports(6, 6) })
	suffix := ""
	if six && !strings.HasSuffix(table, "6") {
		suffix = "6"
	}
	var out []string
	block := func(table, id string, lines ...string) {
		out = append(out, "config "+table, "edit "+id)
		out = append(out, lines...)
		out = append(out, "next", "end")
	}
	addresses := func(list []netip.Prefix) string {
		if len(list) == 0 {
			return ` "all"`
		}
		names := ""
		for _, p := range list {
			p = p.Masked()
			name := fortiQuote("net-" + strings.ReplaceAll(p.String(), "/", "-"))
			if p.Addr().Is4() {
				block("firewall address", name, "set subnet "+p.Addr().String()+" "+netmask(p.Bits()))
			} else {
				block("firewall address6", name, "set ip6 "+p.String())
			}
			names += " " + name
		}
		return names
	}
	id := fortiQuote(e.Rule.ID)
	if policy || table == "firewall central-snat-map" {
		id = e.Rule.ID
	}
	switch e.Kind {
	case DenyAbove:
		if !policy {
			return nil
		}
		dst := ""
		if e.Dst.Addr().IsValid() {
			dst = ` ` + fortiVIPOf(e.Rule.Match, AddrValue(e.Dst.Addr()))
		}
		src := addresses(e.Sources)
		if dst == " " {
			dst = addresses([]netip.Prefix{netip.PrefixFrom(e.Dst.Addr(), e.Dst.Addr().BitLen())})
		}
		service := `"SMTP"`
		if e.Dst.Port() != 25 {
			service = fmt.Sprintf(`"tcp-%d"`, e.Dst.Port())
			block("firewall service custom", service, fmt.Sprintf("set tcp-portrange %d", e.Dst.Port()))
		}
		next := uint64(0)
		for _, r := range e.Chain.Rules {
			if n, err := strconv.ParseUint(r.ID, 10, 32); err == nil {
				next = max(next, n)
			}
		}
		lines := []string{}
		in, outs := []string{"any"}, []string{"any"}
		for _, t := range e.Rule.Match {
			switch {
			case t.Field == In && !t.Not:
				in = t.Names
			case t.Field == Out && !t.Not:
				outs = t.Names
			}
		}
		if strings.Contains(table, "local-in") {
			lines = append(lines, "set intf "+fortiQuotes(in))
		} else {
			lines = append(lines, "set srcintf "+fortiQuotes(in), "set dstintf "+fortiQuotes(outs))
		}
		lines = append(lines, "set srcaddr"+suffix+src, "set dstaddr"+suffix+dst, "set action deny", `set schedule "always"`, "set service "+service)
		n := strconv.FormatUint(next+1, 10)
		block(table, n, lines...)
		out = append(out, "config "+table, "move "+n+" before "+id, "end")
	case Narrow:
		if !policy {
			return nil
		}
		if len(e.Sources) == 0 {
			return nil
		}
		src := addresses(e.Sources)
		block(table, id, "set srcaddr"+suffix+src)
	case DropMember:
		m, ok := rs.members[e.Object][e.Member]
		if !ok {
			return nil
		}
		group, name, _ := strings.Cut(m.group, "\x00")
		block(group, fortiQuote(name), "unselect member "+fortiQuote(m.name))
	case Remove:
		if !policy && table != "firewall central-snat-map" && !strings.HasPrefix(table, "firewall acl") {
			return nil
		}
		out = append(out, "config "+table, "delete "+id, "end")
	case StopNAT:
		switch {
		case policy && e.Step.Kind == SNAT:
			block(table, id, "set nat disable")
		case table == "firewall central-snat-map":
			block(table, id, "set status disable")
		case strings.HasPrefix(table, "firewall vip") && e.Step.Kind == DNAT:
			block(table, id, "set status disable")
		default:
			return nil
		}
	}
	if vdom != "" && len(out) > 0 {
		out = append([]string{"config vdom", "edit " + vdom}, append(out, "end")...)
	}
	return out
}

// fortiVIPOf is the name of the VIP by which a policy sees an address; empty if it sees the address itself.
func fortiVIPOf(m Match, addr Value) string {
	name, here := "", false
	for _, t := range m {
		switch {
		case t.Field == AnyOf && !t.Not:
			for _, m := range t.Any {
				if n := fortiVIPOf(m, addr); n != "" {
					return n
				}
			}
		case t.Field == OrigDst && t.Object != "":
			name = t.Object
		case t.Field == DstAddr && place(t.Ranges, Single(addr)) == yes:
			here = true
		}
	}
	if name != "" && here {
		return fortiQuote(name)
	}
	return ""
}

func fortiQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", " ").Replace(s) + `"`
}

func fortiQuotes(list []string) string {
	var out []string
	for _, s := range list {
		out = append(out, fortiQuote(s))
	}
	return strings.Join(out, " ")
}

// netmask writes a length as a mask, such as 255.255.255.0.
func netmask(bits int) string {
	m := ^uint32(0) << (32 - bits)
	return netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}).String()
}
