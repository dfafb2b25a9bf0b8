// Package discover names the address space that is ours and finds what listens in it.
//
// A Scope says what is ours: prefixes, minus exclusions. It is the only maker of Target values, and a byte leaves
// only toward a Target. A Plan orders the targets by a keyed permutation, a Sweeper tries them one by one under a
// rate limiter, and every answer is a Result in one of the states below. Openings go on to package probe; Coverage
// counts all states, so that what was not looked at is never taken for closed.
//
//	Scope ─► Plan ─► Sweeper ─► Result ─► Opening
//	                               └────► Coverage
package discover

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/big"
	"math/bits"
	"net/netip"
	"slices"
	"sort"

	"go4.org/netipx"
)

// ErrOutOfScope is wrapped by every refusal of the gate. ErrExcluded is for what the exclusions take away.
var (
	ErrOutOfScope = errors.New("outside the scope")
	ErrExcluded   = errors.New("excluded")
)

// MaxAddresses bounds a scope: one IPv4 /8. Larger spaces are scanned in parts.
const MaxAddresses = 1 << 24

// Entry is one line of a scope as a person wrote it, with the place where it stands.
type Entry struct {
	Text  string // a prefix, an address, or a range a-b
	Where string // file:line, or the name of the flag
}

// Spec is what a scope is made of.
type Spec struct {
	Include []Entry // the organisation's address space, from its configuration
	Exclude []Entry // never touched
	Targets []Entry // the part of it to scan now, from the command line; none: all of Include

	// Public space needs both (DESIGN.md, law 4).
	Organisation, Contact string
}

// Scope is a set of addresses that may be touched. It never changes once made.
type Scope struct {
	set      *netipx.IPSet
	ranges   []span
	ranges4  [][2]uint32 // first and last of the IPv4 ones
	total    uint64
	labels   []netip.Prefix // coalesced includes, before exclusion
	excluded []netip.Prefix
}

// span is a run of addresses of one label, with the number of addresses before it.
type span struct {
	from, to netip.Addr
	before   uint64
	label    int
}

// Target is one address and port that may be touched. Only a Scope makes one.
type Target struct{ addr netip.AddrPort }

// AddrPort returns the address and port.
func (t Target) AddrPort() netip.AddrPort { return t.addr }

func (t Target) String() string { return t.addr.String() }

// NewScope parses and checks a Spec. Every error names the entry's place and what to write instead.
func NewScope(spec Spec) (*Scope, error) {
	owned, err := parseAll(spec.Include, parseEntry)
	if err != nil {
		return nil, err
	}
	for _, p := range owned {
		if public(p) && (spec.Organisation == "" || spec.Contact == "") {
			return nil, fmt.Errorf("%s: %s is public address space: set organisation and contact in the configuration", spec.Include[p.entry].Where, spec.Include[p.entry].Text)
		}
	}
	chosen := owned
	if len(spec.Targets) > 0 {
		if chosen, err = parseAll(spec.Targets, parseEntry); err != nil {
			return nil, err
		}
		ownedSet, err := build(owned)
		if err != nil {
			return nil, err
		}
		for _, p := range chosen {
			if public(p) && !ownedSet.ContainsRange(p.r) {
				e := spec.Targets[p.entry]
				return nil, fmt.Errorf("%s: %s is public address space and not in the configuration's scope: add it to scope.include, with organisation and contact", e.Where, e.Text)
			}
		}
	}
	if len(chosen) == 0 {
		return nil, errors.New("no targets: name private addresses or CIDRs as arguments, or write scope.include in relaysweep.yaml (relaysweep init)")
	}
	excluded, err := parseAll(spec.Exclude, parseRange)
	if err != nil {
		return nil, err
	}
	return newScope(chosen, excluded, spec)
}

// Permitted is the space in which targets may be named: private space, and the public space that Spec.Include holds. A
// source that names targets by itself (package source) is asked against it first: what it names outside is left out,
// where NewScope would refuse it.
type Permitted struct{ set, rest *netipx.IPSet }

// Permitted returns the space in which targets may be named.
func (s Spec) Permitted() (*Permitted, error) {
	owned, err := parseAll(s.Include, parseEntry)
	if err != nil {
		return nil, err
	}
	excluded, err := parseAll(s.Exclude, parseRange)
	if err != nil {
		return nil, err
	}
	var b netipx.IPSetBuilder
	for _, p := range private {
		b.AddPrefix(p)
	}
	for _, p := range owned {
		b.AddRange(p.r)
	}
	p := new(Permitted)
	if p.set, err = b.IPSet(); err != nil {
		return nil, err
	}
	for _, x := range excluded {
		b.RemoveRange(x.r)
	}
	p.rest, err = b.IPSet()
	return p, err
}

// Of returns the parts of a prefix in which targets may be named. Where that is not all of it the error says why the
// rest is left out: ErrOutOfScope, or ErrExcluded where the exclusions leave nothing. What they take out of the middle
// is no matter here: NewScope takes it out.
func (p *Permitted) Of(prefix netip.Prefix) ([]netip.Prefix, error) {
	prefix = prefix.Masked()
	if !p.set.OverlapsPrefix(prefix) {
		return nil, ErrOutOfScope
	}
	if !p.rest.OverlapsPrefix(prefix) {
		return nil, ErrExcluded
	}
	if p.set.ContainsPrefix(prefix) {
		return []netip.Prefix{prefix}, nil
	}
	var b netipx.IPSetBuilder
	b.AddPrefix(prefix)
	b.Intersect(p.set)
	set, err := b.IPSet()
	if err != nil {
		return nil, err
	}
	return set.Prefixes(), ErrOutOfScope
}

// Only is the part of a scope that is one address.
func (s *Scope) Only(a netip.Addr) (*Scope, error) {
	if err := s.permit(a); err != nil {
		return nil, err
	}
	return s.part([]parsed{{r: netipx.IPRangeFrom(a, a)}})
}

// part is the part of a scope that some entries name, labelled by its own prefixes.
func (s *Scope) part(chosen []parsed) (*Scope, error) {
	wanted, err := build(chosen)
	if err != nil {
		return nil, err
	}
	var b netipx.IPSetBuilder
	b.AddSet(s.set)
	b.Intersect(wanted)
	set, err := b.IPSet()
	if err != nil {
		return nil, err
	}
	out := &Scope{set: set, labels: set.Prefixes(), excluded: s.excluded}
	slices.SortFunc(out.labels, comparePrefix)
	for _, r := range set.Ranges() {
		out.addSpans(r)
	}
	return out, nil
}

func newScope(chosen, excluded []parsed, spec Spec) (*Scope, error) {
	var b netipx.IPSetBuilder
	for _, p := range chosen {
		b.AddRange(p.r)
	}
	before, err := b.IPSet()
	if err != nil {
		return nil, err
	}
	for _, p := range excluded {
		b.RemoveRange(p.r) // adds first, removes last
	}
	set, err := b.IPSet()
	if err != nil {
		return nil, err
	}
	s := &Scope{set: set}
	if s.labels, err = coalesce(before.Prefixes()); err != nil {
		return nil, err
	}
	for _, p := range excluded {
		s.excluded = append(s.excluded, p.r.Prefixes()...)
	}
	for _, r := range set.Ranges() {
		n, ok := rangeLen(r)
		if !ok || n > MaxAddresses-s.total { // s.total+n may not fit
			return nil, fmt.Errorf("the scope holds more than %d addresses (an IPv4 /8): scan it in parts, and name IPv6 hosts one by one or in prefixes of /112 and longer", MaxAddresses)
		}
		s.addSpans(r)
	}
	if s.total == 0 {
		where := "exclude"
		if len(spec.Exclude) > 0 {
			where = spec.Exclude[0].Where
		}
		return nil, fmt.Errorf("%s: the exclusions leave nothing of the scope: take one away", where)
	}
	return s, nil
}

// addSpans adds a range, cut where one label ends and the next begins.
func (s *Scope) addSpans(r netipx.IPRange) {
	for from := r.From(); ; {
		label := s.label(from)
		to := slices.MinFunc([]netip.Addr{r.To(), netipx.PrefixLastIP(s.labels[label])}, netip.Addr.Compare)
		n, _ := rangeLen(netipx.IPRangeFrom(from, to))
		s.ranges = append(s.ranges, span{from, to, s.total, label})
		if from.Is4() {
			first, last := from.As4(), to.As4()
			s.ranges4 = append(s.ranges4, [2]uint32{binary.BigEndian.Uint32(first[:]), binary.BigEndian.Uint32(last[:])})
		}
		s.total += n
		if to == r.To() {
			return
		}
		from = to.Next()
	}
}

// Check reports why an entry names no address of the scope, if so.
func (s *Scope) Check(e Entry) error {
	r, err := parseEntry(e.Text)
	if err != nil {
		return fmt.Errorf("%s: %w", e.Where, err)
	}
	if !s.set.OverlapsRange(r) {
		return fmt.Errorf("%s: %s is %w", e.Where, e.Text, ErrOutOfScope)
	}
	return nil
}

// Contains reports whether an address may be touched.
func (s *Scope) Contains(a netip.Addr) bool { return s.set.Contains(a.Unmap()) }

// Target is the gate: it makes a Target of an address in scope, and refuses any other.
func (s *Scope) Target(a netip.AddrPort) (Target, error) {
	if err := s.permit(a.Addr()); err != nil {
		return Target{}, err
	}
	if a.Port() == 0 {
		return Target{}, errors.New("port 0 cannot be scanned")
	}
	return Target{netip.AddrPortFrom(a.Addr().Unmap(), a.Port())}, nil
}

// permit is asked when targets are made and again before each send.
func (s *Scope) permit(a netip.Addr) error {
	if !s.Contains(a) {
		return fmt.Errorf("%s: %w", a, ErrOutOfScope)
	}
	return nil
}

// Len is the number of addresses.
func (s *Scope) Len() uint64 { return s.total }

// Prefixes are the included prefixes, coalesced, before exclusion. Coverage is counted by them.
func (s *Scope) Prefixes() []netip.Prefix { return slices.Clone(s.labels) }

// Excluded are the prefixes that are never touched.
func (s *Scope) Excluded() []netip.Prefix { return slices.Clone(s.excluded) }

// at returns the i-th address.
func (s *Scope) at(i uint64) netip.Addr {
	r := s.spanAt(i)
	return addrAdd(r.from, i-r.before)
}

// lastAt is the last of n things in order for which begins holds, or the first if it holds for none. sort.Search would
// ask even where there is but one, as for most scopes; this is in the way of each packet.
func lastAt(n int, begins func(k int) bool) (k int) {
	for n > 1 {
		half := n / 2
		if begins(k + half) {
			k += half
		}
		n -= half
	}
	return k
}

// spanAt returns the span of the i-th address.
func (s *Scope) spanAt(i uint64) *span {
	k := lastAt(len(s.ranges), func(k int) bool { return s.ranges[k].before <= i })
	return &s.ranges[k]
}

// holds reports the same as Contains, faster, of an address as it stands in a packet.
func (s *Scope) holds(a netip.Addr) bool {
	if a.Is4() {
		b := a.As4()
		return s.holds4(binary.BigEndian.Uint32(b[:]))
	}
	k := lastAt(len(s.ranges), func(k int) bool { return !a.Less(s.ranges[k].from) })
	return !a.Less(s.ranges[k].from) && !s.ranges[k].to.Less(a)
}

func (s *Scope) holds4(a uint32) bool {
	k := lastAt(len(s.ranges4), func(k int) bool { return s.ranges4[k][0] <= a })
	return len(s.ranges4) > 0 && s.ranges4[k][0] <= a && a <= s.ranges4[k][1]
}

// between are the addresses of the scope from one to another.
func (s *Scope) between(from, to netip.Addr) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for _, r := range s.ranges {
			if r.from.BitLen() != from.BitLen() {
				continue
			}
			first := r.from
			if first.Less(from) {
				first = from
			}
			for a := first; a.IsValid() && !r.to.Less(a) && !to.Less(a); a = a.Next() {
				if !yield(a) {
					return
				}
			}
		}
	}
}

// place is the inverse of at.
func (s *Scope) place(a netip.Addr) (i uint64, ok bool) {
	k := sort.Search(len(s.ranges), func(k int) bool { return a.Less(s.ranges[k].from) }) - 1
	if k < 0 || s.ranges[k].to.Less(a) || a.BitLen() != s.ranges[k].from.BitLen() || a.Zone() != "" {
		return 0, false
	}
	return s.ranges[k].before + addrDiff(a, s.ranges[k].from), true
}

// label returns the index of the included prefix that holds an address, or -1.
func (s *Scope) label(a netip.Addr) int {
	k, found := slices.BinarySearchFunc(s.labels, a, func(p netip.Prefix, a netip.Addr) int { return p.Addr().Compare(a) })
	if !found {
		k--
	}
	if k >= 0 && s.labels[k].Contains(a) {
		return k
	}
	return -1
}

// parsed is an entry as a range of addresses.
type parsed struct {
	r     netipx.IPRange
	entry int
}

func parseAll(entries []Entry, parse func(string) (netipx.IPRange, error)) ([]parsed, error) {
	var out []parsed
	for i, e := range entries {
		r, err := parse(e.Text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Where, err)
		}
		out = append(out, parsed{r, i})
	}
	return out, nil
}

func build(ps []parsed) (*netipx.IPSet, error) {
	var b netipx.IPSetBuilder
	for _, p := range ps {
		b.AddRange(p.r)
	}
	return b.IPSet()
}

// private space may be named on the command line: RFC 1918, RFC 4193, loopback and link-local.
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::1/128"),
}

func public(p parsed) bool {
	return !slices.ContainsFunc(private, func(q netip.Prefix) bool { return q.Contains(p.r.From()) && q.Contains(p.r.To()) })
}

// rangeLen is the number of addresses of a range, if it fits.
func rangeLen(r netipx.IPRange) (uint64, bool) {
	from, to := r.From().As16(), r.To().As16()
	n := new(big.Int).Sub(new(big.Int).SetBytes(to[:]), new(big.Int).SetBytes(from[:]))
	n.Add(n, big.NewInt(1))
	return n.Uint64(), n.IsUint64()
}

// addrAdd is a + n, which lies in the same family.
func addrAdd(a netip.Addr, n uint64) netip.Addr {
	if a.Is4() {
		b := a.As4()
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(n))
		return netip.AddrFrom4(b)
	}
	b := a.As16()
	low, carry := bits.Add64(binary.BigEndian.Uint64(b[8:]), n, 0)
	binary.BigEndian.PutUint64(b[8:], low)
	binary.BigEndian.PutUint64(b[:], binary.BigEndian.Uint64(b[:])+carry)
	return netip.AddrFrom16(b)
}

// addrDiff is a - b, where that is less than 2^64.
func addrDiff(a, b netip.Addr) uint64 {
	x, y := a.As16(), b.As16()
	return binary.BigEndian.Uint64(x[8:]) - binary.BigEndian.Uint64(y[8:])
}

func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
