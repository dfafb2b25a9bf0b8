package discover

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"go4.org/netipx"
)

func TestScopes(t *testing.T) {
	nobody := func(targets ...string) Spec { return aiming(Spec{}, targets...) }
	for _, c := range []struct {
		name     string
		spec     Spec
		ranges   string // what may be touched
		prefixes string // what coverage is counted by
	}{
		{"one host", owned("198.51.100.25"), "198.51.100.25-198.51.100.25", "198.51.100.25/32"},
		{"neighbours merge", owned("10.0.0.0/25", "10.0.0.128/25"), "10.0.0.0-10.0.0.255", "10.0.0.0/24"},
		{"named twice, kept once", owned("10.0.0.0/24", "10.0.0.7", "10.0.0.1-9"), "10.0.0.0-10.0.0.255", "10.0.0.0/24"},
		{"both families", owned("2001:db8::/126", "10.0.0.0/30"), "10.0.0.0-10.0.0.3 2001:db8::-2001:db8::3", "10.0.0.0/30 2001:db8::/126"},
		{"a range is made of prefixes", owned("10.0.0.1-10.0.0.4"), "10.0.0.1-10.0.0.4", "10.0.0.1/32 10.0.0.2/31 10.0.0.4/32"},
		{"as large as may be", owned("10.0.0.0/8"), "10.0.0.0-10.255.255.255", "10.0.0.0/8"},
		{"larger, but the exclusions make it small", without(owned("10.0.0.0/8", "172.16.0.0/12"), "172.16.0.0/12"), "10.0.0.0-10.255.255.255", "10.0.0.0/8 172.16.0.0/12"},

		{"private space without a configuration", nobody("10.1.2.3", "172.31.255.255", "192.168.0.0/30"), "10.1.2.3-10.1.2.3 172.31.255.255-172.31.255.255 192.168.0.0-192.168.0.3", "10.1.2.3/32 172.31.255.255/32 192.168.0.0/30"},
		{"loopback and link-local without a configuration", nobody("127.0.0.1", "169.254.1.1", "::1", "fe80::1"), "127.0.0.1-127.0.0.1 169.254.1.1-169.254.1.1 ::1-::1 fe80::1-fe80::1", "127.0.0.1/32 169.254.1.1/32 ::1/128 fe80::1/128"},
		{"unique local IPv6 without a configuration", nobody("fd00::1"), "fd00::1-fd00::1", "fd00::1/128"},
		{"private space beside the configured one", aiming(owned("198.51.100.0/24"), "10.0.0.1"), "10.0.0.1-10.0.0.1", "10.0.0.1/32"},
		{"a target within the configured space", aiming(owned("198.51.100.0/24", "10.0.0.0/8"), "198.51.100.7"), "198.51.100.7-198.51.100.7", "198.51.100.7/32"},
		{"a target over two configured entries", aiming(owned("198.51.100.0/25", "198.51.100.128/25"), "198.51.100.100-200"), "198.51.100.100-198.51.100.200", "198.51.100.100/30 198.51.100.104/29 198.51.100.112/28 198.51.100.128/26 198.51.100.192/29 198.51.100.200/32"},
		{"a public target in IPv6", aiming(owned("2001:db8::/32"), "2001:db8:51::25"), "2001:db8:51::25-2001:db8:51::25", "2001:db8:51::25/128"},

		{"an exclusion in the middle", without(owned("10.0.0.0/29"), "10.0.0.2-3"), "10.0.0.0-10.0.0.1 10.0.0.4-10.0.0.7", "10.0.0.0/29"},
		{"an exclusion that reaches out", without(owned("10.0.0.0/24"), "10.0.0.128-10.0.5.0"), "10.0.0.0-10.0.0.127", "10.0.0.0/24"},
		{"an exclusion that is equal to one entry", without(owned("10.0.0.0/30", "10.0.1.0/30"), "10.0.0.0/30"), "10.0.1.0-10.0.1.3", "10.0.0.0/30 10.0.1.0/30"},
		{"an exclusion that is larger than one entry", without(owned("10.0.0.0/30", "172.16.0.1"), "10.0.0.0/8"), "172.16.0.1-172.16.0.1", "10.0.0.0/30 172.16.0.1/32"},
		{"an exclusion elsewhere", without(owned("10.0.0.0/30"), "192.0.2.0/24"), "10.0.0.0-10.0.0.3", "10.0.0.0/30"},
		{"an exclusion of the other family", without(owned("10.0.0.0/30"), "2001:db8::/32"), "10.0.0.0-10.0.0.3", "10.0.0.0/30"},
		{"exclusions of both families", without(owned("10.0.0.0/30", "2001:db8::/126"), "10.0.0.0", "2001:db8::3"), "10.0.0.1-10.0.0.3 2001:db8::-2001:db8::2", "10.0.0.0/30 2001:db8::/126"},
		{"an exclusion of all the other family", without(owned("10.0.0.0/30", "2001:db8::1"), "::/0"), "10.0.0.0-10.0.0.3", "10.0.0.0/30 2001:db8::1/128"},
		{"exclusions that nobody could scan", without(owned("10.0.0.0/30"), "0.0.0.0/8", "224.0.0.0-255.255.255.255", "ff00::/8"), "10.0.0.0-10.0.0.3", "10.0.0.0/30"},
		{"exclusions that overlap", without(owned("10.0.0.0/28"), "10.0.0.0/30", "10.0.0.2-10.0.0.9"), "10.0.0.10-10.0.0.15", "10.0.0.0/28"},
		{"an exclusion wins over a target", without(aiming(owned(), "10.0.0.1", "10.0.0.2"), "10.0.0.1"), "10.0.0.2-10.0.0.2", "10.0.0.1/32 10.0.0.2/32"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustScope(t, c.spec)
			var ranges, prefixes []string
			total := uint64(0)
			for _, r := range s.set.Ranges() {
				ranges = append(ranges, fmt.Sprintf("%v-%v", r.From(), r.To()))
				n, _ := rangeLen(r)
				total += n
			}
			for _, p := range s.Prefixes() {
				prefixes = append(prefixes, p.String())
			}
			if got := strings.Join(ranges, " "); got != c.ranges {
				t.Errorf("ranges: got %v, want %v", got, c.ranges)
			}
			if got := strings.Join(prefixes, " "); got != c.prefixes {
				t.Errorf("prefixes: got %v, want %v", got, c.prefixes)
			}
			if s.Len() != total {
				t.Errorf("Len: got %d, want %d", s.Len(), total)
			}
			for _, p := range s.Excluded() {
				if s.Contains(p.Addr()) || s.Contains(netipx.PrefixLastIP(p)) {
					t.Errorf("contains an end of %v, which is excluded", p)
				}
			}
		})
	}
}

func TestWrongScopesSayWhereAndWhatToWrite(t *testing.T) {
	const (
		contact = " is public address space: set organisation and contact in the configuration"
		add     = " is public address space and not in the configuration's scope: add it to scope.include, with organisation and contact"
		large   = "the scope holds more than 16777216 addresses (an IPv4 /8): scan it in parts, and name IPv6 hosts one by one or in prefixes of /112 and longer"
		empty   = ": the exclusions leave nothing of the scope: take one away"
	)
	nameless := func(include ...string) Spec { return Spec{Include: entries("relaysweep.yaml", include...)} }
	private := aiming(Spec{}, "10.0.0.0/30")
	for _, c := range []struct {
		name string
		spec Spec
		want string
	}{
		{"nothing at all", Spec{}, "no targets: name private addresses or CIDRs as arguments, or write scope.include in relaysweep.yaml (relaysweep init)"},
		{"only exclusions", without(Spec{}, "10.0.0.0/8"), "no targets: name private addresses or CIDRs as arguments, or write scope.include in relaysweep.yaml (relaysweep init)"},

		{"a wrong include", owned("10.0.0.0/8", "10.0.0.5/8"), `relaysweep.yaml:2: "10.0.0.5/8" has address bits after its /8: write 10.0.0.0/8 for the network or 10.0.0.5 for the host`},
		{"a wrong target", aiming(owned(), "10.0.0.1", "mail.example.net"), `target:2: "mail.example.net" is not an address, a CIDR or a range (host names are not resolved here)`},
		{"a wrong exclusion", without(private, "10.0.0.1", "10.0.0.9-1"), `exclude.txt:2: "10.0.0.9-1" is not a range: write it like 10.20.0.1-10.20.0.50, the lower address first`},
		{"an exclusion with a zone, which would exclude nothing", without(private, "fe80::1%eth0"), `exclude.txt:1: "fe80::1%eth0": zones are not supported: leave %eth0 away`},
		{"a mapped exclusion, which would exclude nothing", without(private, "::ffff:10.0.0.1"), `exclude.txt:1: "::ffff:10.0.0.1": write it as IPv4`},
		{"a multicast target", aiming(owned(), "224.0.0.1"), `target:1: "224.0.0.1" lies in 224.0.0.0/4 (multicast): it cannot be scanned, leave it away`},
		{"the whole internet", owned("0.0.0.0/0"), `relaysweep.yaml:1: "0.0.0.0/0" takes in 0.0.0.0/8 (this network (RFC 791)): name the address space that you own`},

		{"public space without organisation and contact", nameless("10.0.0.0/8", "198.51.100.0/24"), "relaysweep.yaml:2: 198.51.100.0/24" + contact},
		{"public space without a contact", Spec{Include: entries("f", "198.51.100.0/24"), Organisation: "Example City"}, "f:1: 198.51.100.0/24" + contact},
		{"public space without an organisation", Spec{Include: entries("f", "198.51.100.0/24"), Contact: "netops@city.example"}, "f:1: 198.51.100.0/24" + contact},
		{"public space without a contact, though only private space is asked for", aiming(nameless("198.51.100.0/24"), "10.0.0.1"), "relaysweep.yaml:1: 198.51.100.0/24" + contact},
		{"IPv6 documentation space counts as public", nameless("2001:db8::1"), "relaysweep.yaml:1: 2001:db8::1" + contact},
		{"shared address space counts as public", nameless("100.64.0.0/10"), "relaysweep.yaml:1: 100.64.0.0/10" + contact},
		{"benchmarking space counts as public", nameless("198.18.0.1"), "relaysweep.yaml:1: 198.18.0.1" + contact},
		{"what is more than private space is public", nameless("10.0.0.0-11.0.0.0"), "relaysweep.yaml:1: 10.0.0.0-11.0.0.0" + contact},
		{"the neighbour before private space", nameless("172.15.255.255"), "relaysweep.yaml:1: 172.15.255.255" + contact},
		{"the neighbour after private space", nameless("172.32.0.0"), "relaysweep.yaml:1: 172.32.0.0" + contact},
		{"IPv4 in IPv6 by NAT64 counts as public", nameless("64:ff9b::a00:1"), "relaysweep.yaml:1: 64:ff9b::a00:1" + contact},

		{"a public target without a configuration", aiming(Spec{}, "10.0.0.1", "198.51.100.7"), "target:2: 198.51.100.7" + add},
		{"a public target, organisation and contact, but not in include", aiming(owned(), "198.51.100.7"), "target:1: 198.51.100.7" + add},
		{"a public target next to the included ones", aiming(owned("198.51.100.0/24"), "198.51.101.0"), "target:1: 198.51.101.0" + add},
		{"a public target that sticks out", aiming(owned("198.51.100.0/24"), "198.51.100.128-198.51.101.0"), "target:1: 198.51.100.128-198.51.101.0" + add},
		{"a public target larger than what is included", aiming(owned("198.51.100.0/24"), "198.51.0.0/16"), "target:1: 198.51.0.0/16" + add},
		{"a public target over a gap of what is included", aiming(owned("198.51.100.0/26", "198.51.100.128/26"), "198.51.100.0/24"), "target:1: 198.51.100.0/24" + add},
		{"a public IPv6 target", aiming(owned("198.51.100.0/24"), "2001:db8::1"), "target:1: 2001:db8::1" + add},
		{"a target in shared address space", aiming(Spec{}, "100.64.0.1"), "target:1: 100.64.0.1" + add},

		{"the exclusion is equal", without(private, "10.0.0.0/30"), "exclude.txt:1" + empty},
		{"the exclusion is larger", without(private, "10.0.0.0/8"), "exclude.txt:1" + empty},
		{"the exclusion is everything", without(private, "0.0.0.0/0"), "exclude.txt:1" + empty},
		{"two exclusions together", without(private, "10.0.0.0/31", "10.0.0.2/31"), "exclude.txt:1" + empty},

		{"one more than a /8", owned("10.0.0.0/8", "172.16.0.0"), large},
		{"more by half", owned("198.0.0.0/7"), large},
		{"an IPv6 /64", owned("2001:db8::/64"), large},
		{"an IPv6 /32", owned("2001:db8::/32"), large},
		{"a number of addresses that does not fit 64 bits with those before it", owned("10.0.0.0/24", "2001:db8::-2001:db8::ffff:ffff:ffff:ff9b"), large},
	} {
		s, err := NewScope(c.spec)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s:\ngot  %v\nwant %v", c.name, err, c.want)
		}
		if s != nil {
			t.Errorf("%s: got a scope with the error", c.name)
		}
	}
}

func TestGate(t *testing.T) {
	s := mustScope(t, without(owned("10.0.0.0/24", "198.51.100.25", "2001:db8::/120"), "10.0.0.99", "2001:db8::99"))
	for _, c := range []struct {
		name, addr, want string // want: the target made; empty if refused
	}{
		{"in scope", "10.0.0.1:25", "10.0.0.1:25"},
		{"the first", "10.0.0.0:25", "10.0.0.0:25"},
		{"the last", "10.0.0.255:65535", "10.0.0.255:65535"},
		{"public, in scope", "198.51.100.25:1", "198.51.100.25:1"},
		{"IPv6", "[2001:db8::1]:25", "[2001:db8::1]:25"},
		{"mapped into IPv6, made plain", "[::ffff:10.0.0.1]:25", "10.0.0.1:25"},
		{"before the first", "9.255.255.255:25", ""},
		{"after the last", "10.0.1.0:25", ""},
		{"excluded", "10.0.0.99:25", ""},
		{"excluded, mapped into IPv6", "[::ffff:10.0.0.99]:25", ""},
		{"excluded in IPv6", "[2001:db8::99]:25", ""},
		{"outside, mapped into IPv6", "[::ffff:10.0.1.0]:25", ""},
		{"with a zone", "[2001:db8::1%lo]:25", ""},
		{"IPv4-compatible, which is not IPv4", "[::10.0.0.1]:25", ""},
		{"loopback", "127.0.0.1:25", ""},
	} {
		got, err := s.Target(netip.MustParseAddrPort(c.addr))
		switch {
		case c.want != "" && (err != nil || got.String() != c.want || got.AddrPort() != netip.MustParseAddrPort(c.want)):
			t.Errorf("%s: got %v, %v, want %v", c.name, got, err, c.want)
		case c.want == "" && (!errors.Is(err, ErrOutOfScope) || got != Target{}):
			t.Errorf("%s: got %v, %v, want none, %v", c.name, got, err, ErrOutOfScope)
		}
		if inside := s.Contains(netip.MustParseAddrPort(c.addr).Addr()); inside != (c.want != "") {
			t.Errorf("%s: Contains: got %v, want %v", c.name, inside, c.want != "")
		}
	}
	if got, err := s.Target(netip.MustParseAddrPort("10.0.0.1:0")); err == nil || got != (Target{}) {
		t.Errorf("port 0: got %v, %v, want none and an error", got, err)
	}
	if got, err := s.Target(netip.AddrPort{}); !errors.Is(err, ErrOutOfScope) {
		t.Errorf("no address: got %v, %v, want %v", got, err, ErrOutOfScope)
	}
}

func TestCallersCannotChangeAScope(t *testing.T) {
	s := mustScope(t, without(owned("10.0.0.0/24"), "10.0.0.1"))
	s.Prefixes()[0], s.Excluded()[0] = netip.Prefix{}, netip.Prefix{}
	if got := s.Prefixes()[0]; got != netip.MustParsePrefix("10.0.0.0/24") {
		t.Errorf("Prefixes: got %v, want 10.0.0.0/24", got)
	}
	if got := s.Excluded()[0]; got != netip.MustParsePrefix("10.0.0.1/32") {
		t.Errorf("Excluded: got %v, want 10.0.0.1/32", got)
	}
}

// randomSpec is a spec in the worlds, with the addresses that it includes and those of them that it leaves.
func randomSpec(r *rand.Rand) (spec Spec, included, left []netip.Addr) {
	spec = owned()
	in := make(map[netip.Addr]bool)
	each := func(x netipx.IPRange, f func(netip.Addr)) {
		for a := x.From(); a.Compare(x.To()) <= 0; a = a.Next() {
			f(a)
		}
	}
	for i := range 1 + r.IntN(10) {
		x := randomRange(r)
		spec.Include = append(spec.Include, Entry{textOf(r, x), fmt.Sprintf("include:%d", i)})
		each(x, func(a netip.Addr) { in[a] = true })
	}
	for a := range in {
		included = append(included, a)
	}
	for i := range r.IntN(10) {
		x := randomRange(r)
		spec.Exclude = append(spec.Exclude, Entry{textOf(r, x), fmt.Sprintf("exclude:%d", i)})
		each(x, func(a netip.Addr) { delete(in, a) })
	}
	for a := range in {
		left = append(left, a)
	}
	slices.SortFunc(included, netip.Addr.Compare)
	slices.SortFunc(left, netip.Addr.Compare)
	return spec, included, left
}

func TestScopeIsWhatAListOfAddressesWouldBe(t *testing.T) {
	r := seeded(t)
	for range 120 {
		spec, included, left := randomSpec(r)
		s, err := NewScope(spec)
		if len(left) == 0 {
			if err == nil {
				t.Fatalf("%v: got no error, want one: nothing is left", spec)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%v: %v", spec, err)
		}
		if s.Len() != uint64(len(left)) {
			t.Fatalf("%v: got %d addresses, want %d", spec, s.Len(), len(left))
		}
		for i, want := range left {
			if got := s.at(uint64(i)); got != want {
				t.Fatalf("%v: at(%d): got %v, want %v", spec, i, got, want)
			}
		}
		labels := s.Prefixes()
		for _, world := range worlds {
			for a, n := world.Prev(), 0; n < worldSize+70; a, n = a.Next(), n+1 {
				_, inside := slices.BinarySearchFunc(left, a, netip.Addr.Compare)
				if got := s.Contains(a); got != inside {
					t.Fatalf("%v: Contains(%v): got %v, want %v", spec, a, got, inside)
				}
				want := slices.IndexFunc(labels, func(p netip.Prefix) bool { return p.Contains(a) })
				if got := s.label(a); got != want {
					t.Fatalf("%v: label(%v): got %d, want %d", spec, a, got, want)
				}
				if _, found := slices.BinarySearchFunc(included, a, netip.Addr.Compare); found != (want >= 0) {
					t.Fatalf("%v: %v is included: %v, want %v", spec, a, want >= 0, found)
				}
			}
		}
		ask := labels
		for range 30 {
			ask = append(ask, randomRange(r).Prefixes()...)
		}
		ask = append(ask, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"))
		for _, p := range ask {
			want := uint64(0)
			for _, a := range left {
				if p.Contains(a) {
					want++
				}
			}
			if got := s.countIn(p); got != want {
				t.Fatalf("%v: countIn(%v): got %d, want %d", spec, p, got, want)
			}
		}
	}
}

// Spans are the scope, cut where one label ends: sorted, apart from each other, each within its label, numbered without
// a gap.
func TestSpansAreTheScope(t *testing.T) {
	r := seeded(t)
	for range 200 {
		spec, _, left := randomSpec(r)
		if len(left) == 0 {
			continue
		}
		s := mustScope(t, spec)
		check := func(s *Scope) {
			t.Helper()
			total := uint64(0)
			var b netipx.IPSetBuilder
			for k, x := range s.ranges {
				whole := netipx.IPRangeFrom(x.from, x.to)
				n, ok := rangeLen(whole)
				if !ok || !whole.IsValid() || x.before != total {
					t.Fatalf("%v: span %d is %v, with %d before it, want %d", spec, k, whole, x.before, total)
				}
				if k > 0 && !s.ranges[k-1].to.Less(x.from) {
					t.Fatalf("%v: span %d, %v, does not come behind %v", spec, k, whole, s.ranges[k-1].to)
				}
				if label := netipx.RangeOfPrefix(s.labels[x.label]); !label.Contains(x.from) || !label.Contains(x.to) {
					t.Fatalf("%v: span %d, %v, is not in its label %v", spec, k, whole, label)
				}
				for _, i := range []uint64{x.before, x.before + n/2, x.before + n - 1} {
					a := s.at(i)
					if at, ok := s.place(a); s.spanAt(i) != &s.ranges[k] || !whole.Contains(a) || !ok || at != i {
						t.Fatalf("%v: address %d is %v, which is number %d, %v, and not of span %d", spec, i, a, at, ok, k)
					}
				}
				b.AddRange(whole)
				total += n
			}
			set, err := b.IPSet()
			if err != nil || !set.Equal(s.set) || total != s.Len() {
				t.Fatalf("%v: the spans are %v with %d addresses, want %v with %d", spec, set.Ranges(), total, s.set.Ranges(), s.Len())
			}
		}
		check(s)
		var some []parsed
		for range 1 + r.IntN(3) {
			some = append(some, parsed{r: randomRange(r)})
		}
		part, err := s.part(some)
		if err != nil {
			t.Fatal(err)
		}
		check(part)
		for _, a := range left {
			in := slices.ContainsFunc(some, func(p parsed) bool { return p.r.Contains(a) })
			if i, ok := part.place(a); ok != in || ok && part.at(i) != a || part.Contains(a) != in {
				t.Fatalf("%v: %v is in the part %v: %v, want %v", spec, a, some, ok, in)
			}
		}
		if part.Len() > s.Len() {
			t.Fatalf("the part has %d of %d addresses", part.Len(), s.Len())
		}
	}
}

func TestAddressesAddAndDiffer(t *testing.T) {
	for _, c := range []struct {
		a    string
		n    uint64
		want string
	}{
		{"10.0.0.0", 0, "10.0.0.0"},
		{"10.0.0.255", 1, "10.0.1.0"},
		{"10.0.255.255", 1, "10.1.0.0"},
		{"10.255.255.255", 1, "11.0.0.0"},
		{"0.0.0.0", 1<<32 - 1, "255.255.255.255"},
		{"198.51.100.7", 1<<24 + 1, "199.51.100.8"},
		{"::", 1, "::1"},
		{"::ff", 1, "::100"},
		{"2001:db8::ffff", 1, "2001:db8::1:0"},
		{"2001:db8::ffff:ffff:ffff:ffff", 1, "2001:db8:0:1::"},
		{"2001:db8::ffff:ffff:ffff:fff0", 1<<32 + 15, "2001:db8:0:1::ffff:ffff"},
		{"2001:db8::", 1<<64 - 1, "2001:db8::ffff:ffff:ffff:ffff"},
		{"2001:db8:0:ffff:ffff:ffff:ffff:ffff", 1, "2001:db8:1::"},
		{"2001:db8:ffff:ffff:ffff:ffff:ffff:ff80", 128, "2001:db9::"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:0", 1<<16 - 1, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	} {
		a, want := netip.MustParseAddr(c.a), netip.MustParseAddr(c.want)
		if got := addrAdd(a, c.n); got != want {
			t.Errorf("%v + %d: got %v, want %v", a, c.n, got, want)
		}
		if got := addrDiff(want, a); got != c.n {
			t.Errorf("%v - %v: got %d, want %d", want, a, got, c.n)
		}
	}
	r := seeded(t)
	for range 2000 {
		a := plus(worlds[r.IntN(len(worlds))], r.IntN(worldSize))
		n := r.IntN(300)
		b := plus(a, n)
		if got := addrAdd(a, uint64(n)); got != b || addrDiff(b, a) != uint64(n) {
			t.Fatalf("%v + %d: got %v, want %v; their difference: %d", a, n, got, b, addrDiff(b, a))
		}
	}
}

func FuzzScope(f *testing.F) {
	for _, s := range []string{
		"10.0.0.0/24", "10.0.0.1-50", "10.0.0.1-10.0.1.5", "2001:db8::/120", "2001:db8::1-2001:db8::ff", "::1", "0.0.0.0/0", "::/0", "10.0.0.5/8", "fe80::1%eth0",
		"::ffff:10.0.0.1", "::fffe:ffff:ffff-::ffff:1.2.3.4", "::fffe:ffff:ffff-::1:0:0:5", "223.255.255.0-224.0.0.1", "", "-", "/", "2001:db8::-2001:db8::ffff:ffff:ffff:ff9b",
	} {
		f.Add(s, "10.0.0.7", "10.0.0.1", true)
		f.Add("10.0.0.0/24", s, "", true)
		f.Add("198.51.100.0/24", "198.51.100.0/25", s, false)
	}
	f.Fuzz(func(t *testing.T, include, exclude, target string, contact bool) {
		if r, err := parseEntry(include); err == nil {
			saneOrFail(t, include, r)
		}
		spec := Spec{}
		for _, e := range []struct {
			text string
			into *[]Entry
		}{{include, &spec.Include}, {exclude, &spec.Exclude}, {target, &spec.Targets}} {
			if e.text != "" {
				*e.into = []Entry{{e.text, "fuzz"}}
			}
		}
		if contact {
			spec.Organisation, spec.Contact = "Example City", "netops@city.example"
		}
		s, err := NewScope(spec)
		if err != nil {
			return
		}
		if s.Len() == 0 || s.Len() > MaxAddresses {
			t.Fatalf("got %d addresses, want 1 to %d", s.Len(), MaxAddresses)
		}
		for _, i := range []uint64{0, s.Len() / 2, s.Len() - 1} {
			a := s.at(i)
			if got, err := s.Target(netip.AddrPortFrom(a, 25)); err != nil || got.AddrPort().Addr() != a {
				t.Fatalf("%v is in the scope: got %v, %v, want its target", a, got, err)
			}
			if s.label(a) < 0 {
				t.Fatalf("%v is in the scope and in none of %v", a, s.Prefixes())
			}
			if isPublic := public(parsed{netipx.IPRangeFrom(a, a), 0}); isPublic && !contact {
				t.Fatalf("%v is public, in the scope, and there is no contact", a)
			}
			for _, n := range never {
				if n.prefix.Contains(a) {
					t.Fatalf("%v lies in %v and in the scope", a, n.prefix)
				}
			}
		}
		for _, p := range s.Excluded() {
			if s.Contains(p.Addr()) || s.Contains(netipx.PrefixLastIP(p)) {
				t.Fatalf("%v is excluded and in the scope", p)
			}
		}
		in := uint64(0)
		for _, p := range s.Prefixes() {
			in += s.countIn(p)
		}
		if in != s.Len() {
			t.Fatalf("the prefixes hold %d addresses, want %d", in, s.Len())
		}
	})
}

// saneOrFail checks an entry that was accepted: it names space that can be owned, and reads the same when written.
func saneOrFail(t *testing.T, text string, r netipx.IPRange) {
	if !r.IsValid() || r.From().Is4In6() || r.To().Is4In6() || r.From().Zone() != "" {
		t.Fatalf("%q: got %v, want a plain range", text, r)
	}
	for _, n := range never {
		if r.Overlaps(netipx.RangeOfPrefix(n.prefix)) {
			t.Fatalf("%q: got %v, which overlaps %v", text, r, n.prefix)
		}
	}
	if again, err := parseEntry(r.String()); err != nil || again != r {
		t.Fatalf("%q: written as %v and read again: got %v, %v", text, r, again, err)
	}
	for _, p := range r.Prefixes() {
		if again, err := parseEntry(p.String()); err != nil || again != netipx.RangeOfPrefix(p) {
			t.Fatalf("%q: its part %v read again: got %v, %v", text, p, again, err)
		}
	}
}

// What a source names is let through in private space, and in the scope's public space; nothing else is.
func TestPermitted(t *testing.T) {
	p, err := without(owned("198.51.100.0/24", "2001:db8:51::/48"), "198.51.100.128/25", "10.9.0.0/24").Permitted()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		prefix, want string
		err          error
	}{
		{"198.51.100.7/32", "198.51.100.7/32", nil},
		{"198.51.100.0/24", "198.51.100.0/24", nil}, // NewScope takes the exclusion out
		{"198.51.100.200/32", "", ErrExcluded},
		{"198.51.100.128/26", "", ErrExcluded},
		{"198.51.101.0/24", "", ErrOutOfScope},
		{"198.51.0.0/16", "198.51.100.0/24", ErrOutOfScope}, // its part
		{"192.0.2.1/32", "", ErrOutOfScope},
		{"10.0.0.1/32", "10.0.0.1/32", nil},
		{"10.0.0.0/8", "10.0.0.0/8", nil},
		{"10.9.0.7/32", "", ErrExcluded},
		{"8.0.0.0/6", "10.0.0.0/8", ErrOutOfScope},
		{"2001:db8:51::25/128", "2001:db8:51::25/128", nil},
		{"2001:db8:52::25/128", "", ErrOutOfScope},
		{"fd00::1/128", "fd00::1/128", nil},
		{"224.0.0.1/32", "", ErrOutOfScope},
		{"0.0.0.0/32", "", ErrOutOfScope},
		{"255.255.255.255/32", "", ErrOutOfScope},
		{"ff02::1/128", "", ErrOutOfScope},
		{"::ffff:198.51.100.7/128", "", ErrOutOfScope},
		{"10.0.0.7/24", "10.0.0.0/24", nil},
	} {
		parts, err := p.Of(netip.MustParsePrefix(tt.prefix))
		var texts []string
		for _, part := range parts {
			texts = append(texts, part.String())
		}
		if got := strings.Join(texts, " "); got != tt.want || err != tt.err {
			t.Errorf("%s: got %q, %v, want %q, %v", tt.prefix, got, err, tt.want, tt.err)
		}
	}
	for _, s := range []Spec{owned("x"), without(owned("10.0.0.0/8"), "x")} {
		if _, err := s.Permitted(); err == nil {
			t.Errorf("%v: no error", s)
		}
	}
}

// What Permitted lets through, NewScope takes: neither lets more through than the other.
func TestPermittedIsWhatNewScopeTakes(t *testing.T) {
	spec := without(owned("198.51.100.0/25", "203.0.113.7", "2001:db8:51::/64"), "198.51.100.0/26")
	permitted, err := spec.Permitted()
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	passed, refused := 0, 0
	for range 20000 {
		base := []string{"198.51.100.0", "203.0.113.0", "10.0.0.0", "172.31.255.0", "192.168.0.0", "224.0.0.0", "126.255.255.0", "2001:db8:51::", "2001:db8:51:1::", "fd00::", "fe80::"}[rnd.IntN(11)]
		a := addrAdd(netip.MustParseAddr(base), rnd.Uint64N(512))
		bits := a.BitLen() - rnd.IntN(10)
		p := netip.PrefixFrom(a, bits).Masked()
		parts, _ := permitted.Of(p)
		aimed := spec
		for _, part := range parts {
			aimed.Targets = append(aimed.Targets, Entry{Text: part.String(), Where: "source"})
		}
		if len(parts) > 0 {
			passed++
			if _, err := NewScope(aimed); err != nil {
				t.Fatalf("%s became %v: %v", p, parts, err)
			}
			continue
		}
		refused++
		aimed.Targets = []Entry{{Text: p.String(), Where: "source"}}
		if s, err := NewScope(aimed); err == nil {
			t.Fatalf("%s is refused, and NewScope takes it: %v", p, s.Prefixes())
		}
	}
	if passed < 1000 || refused < 1000 {
		t.Errorf("%d passed, %d refused: the test shows too little", passed, refused)
	}
}
