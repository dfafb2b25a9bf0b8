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
