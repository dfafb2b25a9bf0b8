package discover

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go4.org/netipx"
)

func TestEntries(t *testing.T) {
	for _, c := range []struct {
		name, text, from, to string
	}{
		{"an IPv4 address", "198.51.100.25", "198.51.100.25", "198.51.100.25"},
		{"an IPv6 address", "2001:db8::25", "2001:db8::25", "2001:db8::25"},
		{"an IPv6 address in capitals, with zeros", "2001:DB8:0:0:0::0025", "2001:db8::25", "2001:db8::25"},
		{"loopback", "::1", "::1", "::1"},
		{"an IPv4 prefix", "10.20.0.0/16", "10.20.0.0", "10.20.255.255"},
		{"a host as a prefix", "10.20.0.7/32", "10.20.0.7", "10.20.0.7"},
		{"an IPv6 prefix", "2001:db8::/112", "2001:db8::", "2001:db8::ffff"},
		{"an IPv6 host as a prefix", "2001:db8::1/128", "2001:db8::1", "2001:db8::1"},
		{"a range", "10.20.0.1-10.20.0.50", "10.20.0.1", "10.20.0.50"},
		{"a range by the last byte", "10.20.0.1-50", "10.20.0.1", "10.20.0.50"},
		{"a range of one", "10.20.0.1-10.20.0.1", "10.20.0.1", "10.20.0.1"},
		{"a range of one by the last byte", "10.20.0.1-1", "10.20.0.1", "10.20.0.1"},
		{"a range with spaces", "10.20.0.1 - 10.20.0.50", "10.20.0.1", "10.20.0.50"},
		{"a range that is a prefix", "10.20.0.0-10.20.0.255", "10.20.0.0", "10.20.0.255"},
		{"a range over a border of bytes", "10.20.0.250-10.20.1.5", "10.20.0.250", "10.20.1.5"},
		{"a range over the middle of IPv4", "127.255.255.250-128.0.0.5", "127.255.255.250", "128.0.0.5"},
		{"all of the /8", "10.0.0.0-10.255.255.255", "10.0.0.0", "10.255.255.255"},
		{"an IPv6 range", "2001:db8::1-2001:db8::ff", "2001:db8::1", "2001:db8::ff"},
		{"an IPv6 range over a border of words", "2001:db8::fff0-2001:db8::1:5", "2001:db8::fff0", "2001:db8::1:5"},
		{"an IPv6 range over the middle", "2001:db8::ffff:ffff:ffff:fff0-2001:db8:0:1::5", "2001:db8::ffff:ffff:ffff:fff0", "2001:db8:0:1::5"},
		{"low IPv6 addresses", "::5-::ffff", "::5", "::ffff"},
		{"a range up to multicast", "223.255.255.250-223.255.255.255", "223.255.255.250", "223.255.255.255"},
	} {
		got, err := parseEntry(c.text)
		if want := ipRange(c.from, c.to); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", c.name, got, err, want)
		}
	}
}

func TestWrongEntriesSayWhatToWrite(t *testing.T) {
	const (
		cidr  = ` is not a CIDR: write it like 10.20.0.0/16`
		rnge  = ` is not a range: write it like 10.20.0.1-10.20.0.50`
		lower = rnge + `, the lower address first`
		none  = ` is not an address, a CIDR or a range (host names are not resolved here)`
		never = `: it cannot be scanned, leave it away`
		takes = `: name the address space that you own`
	)
	for _, c := range []struct {
		name, text, want string // want without the text quoted before it
	}{
		{"nothing", "", none},
		{"a host name", "mail.example.net", none},
		{"five bytes", "10.20.0.0.1", none},
		{"a byte too large", "10.20.0.256", none},
		{"a leading zero", "10.20.0.025", none},
		{"spaces around", " 10.20.0.1", none},
		{"an address and port", "10.20.0.1:25", none},
		{"brackets", "[2001:db8::1]", none},
		{"a star", "10.20.0.*", none},

		{"a prefix too long", "10.20.0.0/33", cidr},
		{"a prefix that is no number", "10.20.0.0/x", cidr},
		{"a prefix that is empty", "10.20.0.0/", cidr},
		{"a mask", "10.20.0.0/255.255.0.0", cidr},
		{"a range of prefixes", "10.20.0.0/24-10.20.9.0/24", cidr},
		{"a prefix with a zone", "fe80::%eth0/64", cidr},

		{"host bits in IPv4", "10.20.0.5/16", ` has address bits after its /16: write 10.20.0.0/16 for the network or 10.20.0.5 for the host`},
		{"host bits in IPv6", "2001:db8::5/112", ` has address bits after its /112: write 2001:db8::/112 for the network or 2001:db8::5 for the host`},

		{"a range with a name", "mail-in.example.net", rnge},
		{"a range without an end", "10.20.0.1-", lower},
		{"a range without a beginning", "-10.20.0.1", rnge},
		{"a range that runs backwards", "10.20.0.50-10.20.0.1", lower},
		{"a last byte that runs backwards", "10.20.0.50-1", lower},
		{"a last byte too large", "10.20.0.1-256", lower},
		{"a range of three", "10.20.0.1-10.20.0.5-10.20.0.9", lower},
		{"a range of both families", "10.20.0.1-2001:db8::1", lower},
		{"a range of both families, upwards", "::1-10.20.0.1", lower},
		{"a last word", "2001:db8::1-ff", lower},

		{"a zone", "fe80::1%eth0", `: zones are not supported: leave %eth0 away`},
		{"a range of zones", "fe80::1%eth0-fe80::9%eth0", `: zones are not supported: leave %eth0 away`},
		{"a zone at the end", "fe80::1-fe80::9%eth0", `: zones are not supported: leave %eth0 away`},

		{"IPv4 mapped", "::ffff:10.20.0.1", `: write it as IPv4`},
		{"a mapped prefix", "::ffff:10.20.0.0/112", `: write it as IPv4`},
		{"a mapped range", "::ffff:10.20.0.1-::ffff:10.20.0.9", `: write it as IPv4`},
		{"a range into the mapped ones", "::fffe:ffff:ffff-::ffff:10.20.0.1", `: write it as IPv4`},
		{"a range over the mapped ones", "::fffe:ffff:ffff-::1:0:0:5", ` takes in ::ffff:0.0.0.0/96 (IPv4 mapped into IPv6)` + takes},

		{"all of IPv4", "0.0.0.0/0", ` takes in 0.0.0.0/8 (this network (RFC 791))` + takes},
		{"all of IPv4 as a range", "0.0.0.0-255.255.255.255", ` takes in 0.0.0.0/8 (this network (RFC 791))` + takes},
		{"all of IPv6", "::/0", ` takes in ff00::/8 (multicast)` + takes},
		{"half of IPv4", "128.0.0.0/1", ` takes in 224.0.0.0/4 (multicast)` + takes},
		{"half of IPv6", "8000::/1", ` takes in ff00::/8 (multicast)` + takes},
		{"the unspecified IPv4 address", "0.0.0.0", ` lies in 0.0.0.0/8 (this network (RFC 791))` + never},
		{"the unspecified IPv6 address", "::", ` lies in ::/128 (the unspecified address)` + never},
		{"from the unspecified IPv6 address", "::/120", ` lies in ::/128 (the unspecified address)` + never},
		{"IPv4 multicast", "224.0.0.251", ` lies in 224.0.0.0/4 (multicast)` + never},
		{"a prefix of IPv4 multicast", "239.1.0.0/16", ` lies in 224.0.0.0/4 (multicast)` + never},
		{"a range into multicast", "223.255.255.0-224.0.0.5", ` lies in 224.0.0.0/4 (multicast)` + never},
		{"a range out of multicast", "239.255.255.255-240.0.0.1", ` lies in 224.0.0.0/4 (multicast)` + never},
		{"IPv6 multicast", "ff02::1", ` lies in ff00::/8 (multicast)` + never},
		{"reserved", "240.0.0.1", ` lies in 240.0.0.0/4 (reserved)` + never},
		{"broadcast", "255.255.255.255", ` lies in 240.0.0.0/4 (reserved)` + never},
	} {
		_, err := parseEntry(c.text)
		if want := strconv.Quote(c.text) + c.want; err == nil || err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %v", c.name, err, want)
		}
	}
}

// seeded returns random numbers that a failing test can name.
func seeded(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// worlds are where random scopes lie: at borders of private space, of bytes, of the 64-bit halves. Each begins at a /121
// or /25.
var worlds = []netip.Addr{
	netip.MustParseAddr("10.0.0.0"), netip.MustParseAddr("10.255.255.128"), netip.MustParseAddr("127.255.255.128"), netip.MustParseAddr("198.51.100.0"),
	netip.MustParseAddr("223.255.254.0"), netip.MustParseAddr("::100"), netip.MustParseAddr("2001:db8::"), netip.MustParseAddr("2001:db8::ffff:ffff:ffff:ff80"),
	netip.MustParseAddr("2001:db8:ffff:ffff:ffff:ffff:ffff:ff80"), netip.MustParseAddr("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ff80"),
}

const worldSize = 256

// plus is a + n, slowly.
func plus(a netip.Addr, n int) netip.Addr {
	for range n {
		a = a.Next()
	}
	return a
}

// randomRange is a range within a world.
func randomRange(r *rand.Rand) netipx.IPRange {
	a := plus(worlds[r.IntN(len(worlds))], r.IntN(worldSize))
	switch r.IntN(3) {
	case 0:
		return netipx.IPRangeFrom(a, a)
	case 1:
		p, _ := a.Prefix(a.BitLen() - r.IntN(8))
		return netipx.RangeOfPrefix(p)
	}
	return netipx.IPRangeFrom(a, plus(a, r.IntN(64)))
}

// textOf writes a range in one of the ways in which people do.
func textOf(r *rand.Rand, x netipx.IPRange) string {
	p, isPrefix := x.Prefix()
	last := x.To().AsSlice()
	shared, _ := x.From().Prefix(24)
	switch {
	case isPrefix && p.IsSingleIP() && r.IntN(2) == 0:
		return x.From().String()
	case isPrefix && r.IntN(2) == 0:
		return p.String()
	case x.From().Is4() && shared.Contains(x.To()) && r.IntN(2) == 0:
		return x.From().String() + "-" + strconv.Itoa(int(last[3]))
	}
	return x.String()
}

func TestRangeCIDRsMakeUpTheRange(t *testing.T) {
	r := seeded(t)
	ranges := []netipx.IPRange{ipRange("0.0.0.0", "255.255.255.255"), ipRange("64:ff9b::1", "64:ff9b::ffff"), ipRange("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), ipRange("0.0.0.0", "0.0.0.0"), ipRange("255.255.255.255", "255.255.255.255"), ipRange("0.0.0.1", "255.255.255.254")}
	for range 2000 {
		ranges = append(ranges, randomRange(r))
	}
	for range 100 { // wide ones
		var a, b [4]byte
		var c, d [16]byte
		for i := range c {
			a[i%4], b[i%4], c[i], d[i] = byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())
		}
		for _, ends := range [][2]netip.Addr{{netip.AddrFrom4(a), netip.AddrFrom4(b)}, {netip.AddrFrom16(c), netip.AddrFrom16(d)}} {
			slices.SortFunc(ends[:], netip.Addr.Compare)
			ranges = append(ranges, netipx.IPRangeFrom(ends[0], ends[1]))
		}
	}
	for _, x := range ranges {
		got, err := rangeCIDRs(x.From(), x.To())
		if want := x.Prefixes(); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v: got %v, %v, want %v", x, got, err, want)
		}
	}
}

func TestCoalesceKeepsTheAddressesAndNothingElse(t *testing.T) {
	r := seeded(t)
	for range 1000 {
		var in []netip.Prefix
		model := make(map[netip.Addr]bool)
		for range r.IntN(12) {
			for _, p := range randomRange(r).Prefixes() {
				in = append(in, p)
				for a := p.Addr(); p.Contains(a); a = a.Next() {
					model[a] = true
				}
			}
		}
		r.Shuffle(len(in), func(i, j int) { in[i], in[j] = in[j], in[i] })
		given := slices.Clone(in)
		got, err := coalesce(in)
		if err != nil {
			t.Fatalf("%v: %v", in, err)
		}
		if !slices.Equal(in, given) {
			t.Fatalf("coalesce changed its input: got %v, want %v", in, given)
		}
		count := 0
		for i, p := range got {
			if p != p.Masked() {
				t.Fatalf("%v: got %v, which has host bits", in, p)
			}
			if i > 0 && (got[i-1].Overlaps(p) || !got[i-1].Addr().Less(p.Addr())) {
				t.Fatalf("%v: got %v before %v, want sorted and apart", in, got[i-1], p)
			}
			for a := p.Addr(); p.Contains(a); a = a.Next() {
				if count++; !model[a] {
					t.Fatalf("%v: got %v, which was not given", in, a)
				}
			}
		}
		if count != len(model) {
			t.Fatalf("%v: got %v with %d addresses, want %d", in, got, count, len(model))
		}
		var b netipx.IPSetBuilder
		for _, p := range in {
			b.AddPrefix(p)
		}
		if set, err := b.IPSet(); err != nil || !slices.Equal(got, set.Prefixes()) {
			t.Fatalf("%v: got %v, want the fewest, %v", in, got, set.Prefixes())
		}
	}
}

func TestPorts(t *testing.T) {
	for _, c := range []struct {
		name, list string
		want       []uint16
	}{
		{"one", "25", []uint16{25}},
		{"a list is sorted", "587,25,465", []uint16{25, 465, 587}},
		{"a range", "2525-2528", []uint16{2525, 2526, 2527, 2528}},
		{"a range of one", "25-25", []uint16{25}},
		{"named twice, tried once", "25,25,24-26", []uint16{24, 25, 26}},
		{"spaces after commas", "25, 465", []uint16{25, 465}},
		{"the way nmap names TCP", "T:25,465", []uint16{25, 465}},
		{"the first and the last", "65535,1", []uint16{1, 65535}},
		{"leading zeros", "0025", []uint16{25}},
	} {
		got, err := ParsePorts(c.list)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, %v, want %v", c.name, got, err, c.want)
		}
	}
	for _, list := range []string{"-", " - ", "1-65535", "1-40000,30000-65535,25"} {
		got, err := ParsePorts(list)
		if err != nil || len(got) != 65535 || got[0] != 1 || got[65534] != 65535 {
			t.Errorf("%q: got %d ports, %v, want all 65535", list, len(got), err)
		}
	}
}

func TestWrongPortsSayWhatToWrite(t *testing.T) {
	const (
		empty  = "an empty port: ports are numbers from 1 to 65535, such as 25,465,587"
		number = " is not a port: ports are numbers from 1 to 65535"
		exist  = " does not exist: ports run from 1 to 65535"
	)
	for _, c := range []struct{ name, list, want string }{
		{"nothing", "", empty},
		{"a comma too many", "25,", empty},
		{"a range without an end", "25-", empty},
		{"a range without a beginning", "-25", empty},
		{"a name", "smtp", `"smtp"` + number},
		{"a negative one", "25--26", `"-26"` + number},
		{"three ends", "1-2-3", `"2-3"` + number},
		{"UDP", "U:53", `"U:53"` + number},
		{"other digits", "２５", `"２５"` + number},
		{"port 0", "0", "port 0" + exist},
		{"a range from 0", "0-25", "port 0" + exist},
		{"one too many", "65536", "port 65536" + exist},
		{"far too many", "99999999999999999999", "port 99999999999999999999" + exist},
		{"backwards", "465-25", `port range "465-25" runs backwards: write the lower port first`},
	} {
		_, err := ParsePorts(c.list)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s:\ngot  %v\nwant %v", c.name, err, c.want)
		}
	}
}

func TestDefaultPortsArePortsAndSparePrinters(t *testing.T) {
	ports := DefaultPorts()
	if !slices.IsSorted(ports) || len(slices.Compact(slices.Clone(ports))) != len(ports) {
		t.Errorf("got %v, want them sorted, each once", ports)
	}
	for _, p := range ports {
		if p == 0 || p >= 9100 && p <= 9107 {
			t.Errorf("got port %d, want no printer", p)
		}
	}
	ports[0] = 9100
	if DefaultPorts()[0] == 9100 {
		t.Error("a caller can change the default ports of others")
	}
}

func FuzzPorts(f *testing.F) {
	for _, s := range []string{"", "-", "25", "25,465-587", "T:25", "1-65535", "0", "65536", "25-", "587-25", "99999999999999999999", "25,,26", "１"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		ports, err := ParsePorts(list)
		if err != nil {
			return
		}
		if len(ports) == 0 || ports[0] == 0 {
			t.Fatalf("%q: got %v, want ports from 1 on", list, ports)
		}
		var fields []string
		for i, p := range ports {
			if i > 0 && ports[i-1] >= p {
				t.Fatalf("%q: got %d before %d, want them sorted, each once", list, ports[i-1], p)
			}
			fields = append(fields, strconv.Itoa(int(p)))
		}
		if again, err := ParsePorts(strings.Join(fields, ",")); err != nil || !slices.Equal(again, ports) {
			t.Fatalf("%q: written and read again: got %v, %v, want %v", list, again, err, ports)
		}
	})
}
