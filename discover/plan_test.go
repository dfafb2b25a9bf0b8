package discover

import (
	"net/netip"
	"slices"
	"testing"
)

// bijective fails unless the permutation of 0..n-1 has each number once.
func bijective(t *testing.T, n, seed uint64) {
	t.Helper()
	p := newPermutation(n, seed)
	seen := make([]bool, n)
	for i := range n {
		j := p.at(i)
		if j >= n || seen[j] {
			t.Fatalf("n = %d, seed %d: at(%d) = %d, which is too large or was there before", n, seed, i, j)
		}
		if back := p.of(j); back != i {
			t.Fatalf("n = %d, seed %d: at(%d) = %d, and of(%d) = %d", n, seed, i, j, j, back)
		}
		seen[j] = true
	}
}

func TestPermutationHasEachNumberOnce(t *testing.T) {
	for n := range uint64(2000) {
		bijective(t, n+1, n*n)
	}
	for _, n := range []uint64{4095, 4096, 4097, 9973, 65535, 65536, 65537, 99991, 131071, 1<<18 + 1} {
		bijective(t, n, 0)
		bijective(t, n, ^uint64(0))
	}
}

// A journal outlives the program that wrote it: the order of a seed may never change.
func TestOrderOfASeedIsTheSameForever(t *testing.T) {
	for _, c := range []struct {
		n, seed uint64
		want    []uint64
	}{
		{1, 1, []uint64{0}},
		{2, 7, []uint64{1, 0}},
		{10, 1, []uint64{9, 2, 6, 8, 7, 3, 4, 1, 0, 5}},
		{1 << 24 * 20, 42, []uint64{146987460, 193700222, 29653, 241038837, 193602466, 223820157, 275590704, 278936291, 144067572, 22302500}},
	} {
		p := newPermutation(c.n, c.seed)
		var got []uint64
		for i := range min(c.n, 10) {
			got = append(got, p.at(i))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("n = %d, seed %d: got %v, want %v", c.n, c.seed, got, c.want)
		}
	}
}

// targets is the whole plan, in order.
func targets(t *testing.T, p *Plan) []netip.AddrPort {
	t.Helper()
	var out []netip.AddrPort
	for i := range p.Len() {
		target, err := p.At(i)
		if err != nil {
			t.Fatalf("At(%d): %v", i, err)
		}
		out = append(out, target.AddrPort())
	}
	return out
}

func TestPlanVisitsEachTargetOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		spec  Spec
		ports []uint16
	}{
		{"one host, one port", owned("10.0.0.1"), []uint16{25}},
		{"one host, all the default ports", owned("10.0.0.1"), DefaultPorts()},
		{"ports in no order, some twice", owned("10.0.0.0/29"), []uint16{587, 25, 465, 25, 587}},
		{"a union with exclusions", without(owned("10.0.0.0/25", "10.0.3.0/26", "198.51.100.7", "2001:db8::/122"), "10.0.0.64/27", "10.0.3.5-9", "2001:db8::20", "::/16"), []uint16{25, 465, 587}},
		{"all ports of two hosts", owned("10.0.0.1", "2001:db8::1"), slices.Collect(func(yield func(uint16) bool) {
			for p := 1; p <= 65535 && yield(uint16(p)); p++ {
			}
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustScope(t, c.spec)
			p := mustPlan(t, s, 3, c.ports...)
			ports := slices.Compact(slices.Sorted(slices.Values(c.ports)))
			if !slices.Equal(p.Ports(), ports) || p.Scope() != s {
				t.Errorf("Ports: got %v, want %v", p.Ports(), ports)
			}
			if want := s.Len() * uint64(len(ports)); p.Len() != want {
				t.Fatalf("Len: got %d, want %d", p.Len(), want)
			}
			seen := make(map[netip.AddrPort]bool)
			for _, a := range targets(t, p) {
				if _, ok := slices.BinarySearch(ports, a.Port()); seen[a] || !ok || !s.Contains(a.Addr()) {
					t.Fatalf("got %v, which is not in the plan or was there before", a)
				}
				seen[a] = true
			}
		})
	}
}

func TestWrongPlans(t *testing.T) {
	s := mustScope(t, owned("10.0.0.0/30"))
	for _, c := range []struct {
		name  string
		ports []uint16
		want  string
	}{
		{"no ports", nil, "no ports to scan"},
		{"port 0", []uint16{25, 0}, "port 0 cannot be scanned: ports run from 1 to 65535"},
	} {
		if p, err := NewPlan(s, c.ports, 1); p != nil || err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, %v, want %v", c.name, p, err, c.want)
		}
	}
	large := mustScope(t, owned("10.0.0.0/8"))
	ports := make([]uint16, 513)
	for i := range ports {
		ports[i] = uint16(i + 1)
	}
	const parts = " are more than 8589934592 targets: scan them in parts"
	if p, err := NewPlan(large, ports, 1); p != nil || err == nil || err.Error() != "16777216 addresses on 513 ports"+parts {
		t.Errorf("one port more than may be: got %v, %v", p, err)
	}
	p := mustPlan(t, large, 1, ports[:512]...)
	if p.Len() != MaxTargets {
		t.Errorf("as many as may be: got %d, want %d", p.Len(), uint64(MaxTargets))
	}
	holed := mustPlan(t, mustScope(t, without(owned("192.168.0.0/24"), "192.168.0.7")), 1, 25)
	for _, c := range []struct {
		name  string
		plan  *Plan
		hosts []Entry
		want  string
	}{
		{"all ports of one host more", p, entries("all-ports", "10.0.0.1"), "16777216 addresses on 512 ports, and all ports of 1" + parts},
		{"all ports of what is no address", holed, entries("all-ports", "192.168.0.1", "mx"), `all-ports:2: "mx" is not an address, a CIDR or a range (host names are not resolved here)`},
		{"all ports of a host elsewhere", holed, entries("all-ports", "192.168.0.1", "10.0.0.0/30"), "all-ports:2: 10.0.0.0/30 is outside the scope"},
		{"all ports of an excluded host", holed, entries("all-ports", "192.168.0.7"), "all-ports:1: 192.168.0.7 is outside the scope"},
	} {
		if got, err := c.plan.AllPorts(c.hosts); got != nil || err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, %v, want %v", c.name, got, err, c.want)
		}
	}
	few := mustPlan(t, s, 1, 25)
	for _, c := range []struct {
		i, n uint64
		want string
	}{
		{0, 3, "shard 0/3 does not exist: the first is 1/3, the last 3/3"},
		{4, 3, "shard 4/3 does not exist: the first is 1/3, the last 3/3"},
		{5, 5, "shard 5/5 is empty: there are 4 targets"},
		{1 << 63, 1<<64 - 1, "shard 9223372036854775808/18446744073709551615 is empty: there are 4 targets"},
	} {
		if got, err := few.Shard(c.i, c.n); got != nil || err == nil || err.Error() != c.want {
			t.Errorf("shard %d/%d: got %v, %v, want %v", c.i, c.n, got, err, c.want)
		}
	}
	if got, err := few.Shard(1, 1<<64-1); err != nil || got.Len() != 1 {
		t.Errorf("the first of many shards: got %v, %v, want one target", got, err)
	}
}

// The number of a target leads to it, and it to its number; what is not in the plan has none.
func TestNumbersOfTargets(t *testing.T) {
	r := seeded(t)
	for n := range 100 {
		p, included, left, wide := randomPlan(t, r, n%20 == 0)
		want := uint64(len(left)*len(p.ports) + len(wide)*len(p.rest))
		if p.size() != want || p.Len() != want {
			t.Fatalf("got %d targets, want %d", p.size(), want)
		}
		seen := make(map[netip.AddrPort]bool, want)
		for i := range p.size() {
			a := p.endpoint(i)
			if got, ok := p.indexOf(a); !ok || got != i || seen[a] {
				t.Fatalf("target %d is %v, which is %d, %v, seen before: %v", i, a, got, ok, seen[a])
			}
			seen[a] = true
			if index, position, ok := p.positionOf(a); !ok || index != i || p.index(position) != i {
				t.Fatalf("target %d is at position %d, %v, where %d is", i, position, ok, p.index(position))
			}
		}
		for _, a := range included {
			for _, port := range append(slices.Clone(p.ports), 0, 1, 9100) {
				ap := netip.AddrPortFrom(a, port)
				if _, ok := p.indexOf(ap); ok != seen[ap] {
					t.Fatalf("%v has a number: %v, want %v", ap, ok, seen[ap])
				}
			}
		}
		for _, a := range left[:1] {
			for _, odd := range []netip.Addr{netip.AddrFrom16(a.As16()), a.WithZone("lo"), {}} {
				if odd != a {
					if i, ok := p.indexOf(netip.AddrPortFrom(odd, p.ports[0])); ok {
						t.Fatalf("%v has the number %d", odd, i)
					}
				}
			}
		}
	}
}

// Shards have nothing in common, and are the plan together.
func TestShardsAreThePlan(t *testing.T) {
	r := seeded(t)
	for n := range 60 {
		p, _, _, _ := randomPlan(t, r, n%20 == 0)
		of := 1 + r.Uint64N(min(9, p.Len()))
		owner := make([]uint64, p.size())
		for k := range of {
			shard, err := p.Shard(k+1, of)
			if err != nil {
				t.Fatal(err)
			}
			if got, fair := shard.Len(), p.Len()/of; got != fair && got != fair+1 {
				t.Fatalf("shard %d of %d has %d of %d targets", k+1, of, got, p.Len())
			}
			behind := false
			for position := range shard.Len() {
				i := shard.index(position)
				if owner[i] != 0 {
					t.Fatalf("target %d is in the shards %d and %d of %d", i, owner[i], k+1, of)
				}
				owner[i] = k + 1
				if i >= p.order.n {
					behind = true
				} else if behind {
					t.Fatalf("shard %d of %d: a port that all share comes behind the others", k+1, of)
				}
				target, err := shard.At(position)
				if err != nil {
					t.Fatal(err)
				}
				if index, at, ok := shard.positionOf(target.AddrPort()); !ok || index != i || at != position {
					t.Fatalf("position %d is %v, which is at %d, %v", position, target, at, ok)
				}
			}
		}
		for i, k := range owner {
			if k == 0 {
				t.Fatalf("target %d is in none of %d shards", i, of)
			}
			if _, _, ok := p.positionOf(p.endpoint(uint64(i))); !ok {
				t.Fatalf("target %d is not in the plan", i)
			}
		}
	}
}

func TestAllPorts(t *testing.T) {
	s := mustScope(t, without(owned("10.0.0.0/29", "2001:db8::/126"), "10.0.0.3", "2001:db8::3"))
	for _, c := range []struct {
		name  string
		hosts []Entry
		ports []uint16
		wide  []string
	}{
		{"none", nil, []uint16{25}, nil},
		{"one host", entries("f", "10.0.0.1"), []uint16{25, 465}, []string{"10.0.0.1"}},
		{"a prefix with a hole, of both families, named twice", entries("f", "10.0.0.2/31", "2001:db8::2/127", "10.0.0.2"), []uint16{1, 65535}, []string{"10.0.0.2", "2001:db8::2"}},
		{"a range that reaches out of the scope", entries("f", "10.0.0.7-10.0.0.9"), []uint16{25}, []string{"10.0.0.7"}},
	} {
		plain := mustPlan(t, s, 7, c.ports...)
		p, err := plain.AllPorts(c.hosts)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		list := targets(t, p)
		shared := len(targets(t, plain))
		if !slices.Equal(list[:shared], targets(t, plain)) {
			t.Errorf("%s: the ports that all share do not come first", c.name)
		}
		ports := make(map[string]int)
		for _, a := range list {
			ports[a.Addr().String()]++
		}
		for a, n := range ports {
			want := len(c.ports)
			if slices.Contains(c.wide, a) {
				want = 65535
			}
			if n != want {
				t.Errorf("%s: %s has %d ports, want %d", c.name, a, n, want)
			}
		}
		slices.SortFunc(list, netip.AddrPort.Compare)
		if once := slices.Compact(list); uint64(len(once)) != p.Len() || len(ports) != int(s.Len()) {
			t.Errorf("%s: got %d targets of %d addresses, want %d of %d, each once", c.name, len(once), len(ports), p.Len(), s.Len())
		}
	}
	every := make([]uint16, 65535)
	for i := range every {
		every[i] = uint16(i + 1)
	}
	p, err := mustPlan(t, s, 7, every...).AllPorts(entries("f", "10.0.0.1"))
	if err != nil || p.Len() != 65535*s.Len() || len(p.rest) != 0 {
		t.Fatalf("all ports of all hosts: got %v, %v", p, err)
	}
	if _, ok := p.indexOf(netip.MustParseAddrPort("10.0.0.1:65535")); !ok {
		t.Error("all ports of all hosts: 65535 is not among them")
	}
}

func TestCallersCannotChangeAPlan(t *testing.T) {
	ports := []uint16{25, 465}
	p := mustPlan(t, mustScope(t, owned("10.0.0.1")), 1, ports...)
	ports[0] = 9100
	for _, a := range targets(t, p) {
		if a.Port() == 9100 {
			t.Errorf("got %v, want only ports 25 and 465", a)
		}
	}
}

func TestSeedDecidesTheOrder(t *testing.T) {
	s := mustScope(t, without(owned("10.0.0.0/26", "2001:db8::/122"), "10.0.0.0/30"))
	first := targets(t, mustPlan(t, s, 1, 25, 465))
	if again := targets(t, mustPlan(t, s, 1, 25, 465)); !slices.Equal(again, first) {
		t.Errorf("the same seed gave another order:\ngot  %v\nwant %v", again, first)
	}
	orders := map[string]bool{}
	for seed := range uint64(100) {
		list := targets(t, mustPlan(t, s, seed, 25, 465))
		key := ""
		for _, a := range list {
			key += a.String() + " "
		}
		orders[key] = true
		slices.SortFunc(list, netip.AddrPort.Compare)
		if list = slices.Compact(list); uint64(len(list)) != s.Len()*2 {
			t.Fatalf("seed %d: got %d targets, want %d", seed, len(list), s.Len()*2)
		}
	}
	if len(orders) != 100 {
		t.Errorf("100 seeds gave %d orders, want 100", len(orders))
	}
}

// The targets of one host follow each other no more often than in a shuffled deck, so that no host gets them in a burst.
func TestOrderSpreadsThePortsOfAHost(t *testing.T) {
	s := mustScope(t, owned("10.0.0.0/24"))
	ports := DefaultPorts()
	const seeds = 50
	adjacent, longest := 0, 0
	for seed := range uint64(seeds) {
		run := 1
		list := targets(t, mustPlan(t, s, seed, ports...))
		for i := 1; i < len(list); i++ {
			if list[i].Addr() != list[i-1].Addr() {
				run = 1
				continue
			}
			adjacent++
			run++
			longest = max(longest, run)
		}
	}
	// Chance makes len(ports)-1 pairs a deck: 950 in all, with a standard deviation of about 31.
	if want := seeds * (len(ports) - 1); adjacent > want*5/4 || adjacent < want*3/4 {
		t.Errorf("got %d neighbours of one host, want %d, as chance makes", adjacent, want)
	}
	if longest > 4 {
		t.Errorf("got %d targets of one host in a row, want at most 4", longest)
	}
}

// A sweep that is cut short has looked everywhere a little, not at some nets in full.
func TestOrderSpreadsOverTheNets(t *testing.T) {
	s := mustScope(t, owned("10.0.0.0/20"))
	p := mustPlan(t, s, 5, DefaultPorts()...)
	perNet := make(map[netip.Prefix]int)
	tenth := p.Len() / 10
	for i := range tenth {
		target, err := p.At(i)
		if err != nil {
			t.Fatal(err)
		}
		net, _ := target.AddrPort().Addr().Prefix(24)
		perNet[net]++
	}
	for net, got := range perNet {
		if want := int(tenth / 16); got < want*3/4 || got > want*5/4 {
			t.Errorf("%v: got %d of the first tenth, want about %d", net, got, want)
		}
	}
	if len(perNet) != 16 {
		t.Errorf("the first tenth met %d nets, want 16", len(perNet))
	}
}

func BenchmarkPlanAt(b *testing.B) {
	p := mustPlan(b, mustScope(b, without(owned("10.0.0.0/8"), "10.7.0.0/16")), 1, DefaultPorts()...)
	for i := range b.N {
		if _, err := p.At(uint64(i) % p.Len()); err != nil {
			b.Fatal(err)
		}
	}
}
