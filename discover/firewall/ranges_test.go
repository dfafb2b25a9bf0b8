package firewall

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// Merge and Without are set union and difference, and place is membership: held against sets of single numbers.
func TestRangesAreSets(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func() []Range {
		var out []Range
		for range rng.IntN(12) {
			a := uint16(rng.IntN(60))
			out = append(out, Ports(a, a+uint16(rng.IntN(8))))
		}
		return out
	}
	holds := func(list []Range, n uint16) bool {
		return slices.ContainsFunc(list, func(r Range) bool { return r.holds(Number(n)) })
	}
	for range 2000 {
		a, b := random(), random()
		ma, mb := Merge(a), Merge(b)
		w := Without(ma, mb)
		for n := range uint16(70) {
			if holds(ma, n) != holds(a, n) {
				t.Fatalf("Merge(%v) = %v: wrong at %d", a, ma, n)
			}
			if holds(w, n) != (holds(a, n) && !holds(b, n)) {
				t.Fatalf("Without(%v, %v) = %v: wrong at %d", ma, mb, w, n)
			}
		}
		for i := 1; i < len(ma); i++ {
			if !ma[i-1].Last.next().less(ma[i].First) {
				t.Fatalf("Merge(%v) = %v: not disjoint", a, ma)
			}
		}
		lo := uint16(rng.IntN(60))
		r := Ports(lo, lo+uint16(rng.IntN(9)))
		in, out := 0, 0
		for n := r.First.Lo; n <= r.Last.Lo; n++ {
			if holds(ma, uint16(n)) {
				in++
			} else {
				out++
			}
		}
		want := maybe
		if in == 0 {
			want = no
		} else if out == 0 {
			want = yes
		}
		if got := place(ma, r); got != want {
			t.Fatalf("place(%v, %v): got %v, want %v", ma, r, got, want)
		}
	}
}

func TestPrefixesMakeUpTheRange(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	check := func(r Range) {
		t.Helper()
		var back []Range
		for _, p := range r.Prefixes() {
			back = append(back, PrefixRange(p))
		}
		if got := Merge(back); len(got) != 1 || got[0] != r {
			t.Fatalf("%v-%v: prefixes %v make up %v", r.First.Addr(), r.Last.Addr(), r.Prefixes(), got)
		}
	}
	for range 2000 {
		a, b := rng.Uint32(), rng.Uint32()
		if b < a {
			a, b = b, a
		}
		check(Range{Value{0, 0xffff<<32 | uint64(a)}, Value{0, 0xffff<<32 | uint64(b)}})
		x, y := Value{rng.Uint64(), rng.Uint64()}, Value{rng.Uint64(), rng.Uint64()}
		if y.less(x) {
			x, y = y, x
		}
		check(Range{x, y})
	}
	for _, p := range []string{"0.0.0.0/0", "::/0", "10.0.0.0/8", "10.1.2.3/32", "2001:db8::/32", "2001:db8::1/128", "8000::/1"} {
		r := PrefixRange(netip.MustParsePrefix(p))
		check(r)
		if got := r.Prefixes(); p != "::/0" && (len(got) != 1 || got[0].String() != p) {
			t.Errorf("%s: got %v", p, got)
		}
	}
}

func TestParseAddrs(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1": "10.0.0.1 10.0.0.1", "10.0.0.7/24": "10.0.0.0 10.0.0.255", "10.0.0.0/255.255.0.0": "10.0.0.0 10.0.255.255",
		"10.0.0.1-10.0.0.9": "10.0.0.1 10.0.0.9", "2001:db8::/127": "2001:db8:: 2001:db8::1", "::1-::5": "::1 ::5",
	} {
		r, err := ParseAddrs(text)
		if got := r.First.Addr().String() + " " + r.Last.Addr().String(); err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "10.0.0.0/33", "10.0.0.0/255.0.255.0", "10.0.0.9-10.0.0.1", "10.0.0.1-::1", "smtp", "10.0.0.0/", "-"} {
		if r, err := ParseAddrs(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, r)
		}
	}
}
