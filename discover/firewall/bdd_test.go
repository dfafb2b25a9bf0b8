package firewall

import (
	"math/rand/v2"
	"testing"
)

// Sets of small numbers are compared with lists of them.
func TestSetsAreWhatListsOfTheirMembersAre(t *testing.T) {
	f := bitfield{at: 0, width: 5, base: Number(100)}
	g := bitfield{at: 5, width: 4}
	for seed := range uint64(500) {
		d := &dice{Rand: rand.New(rand.NewPCG(seed, 3))}
		b := newBDD(9, 1<<12)
		type both struct {
			set  flowSet
			list [512]bool
		}
		random := func() (x both) {
			at, width := f, uint16(32)
			if d.one(2) {
				at, width = g, 16
			}
			base := uint16(at.base.Lo)
			var list []Range
			for range 1 + d.IntN(4) {
				first := uint16(d.IntN(int(width)))
				list = append(list, Ports(base+first, base+min(width-1, first+uint16(d.IntN(6)))))
			}
			list = Merge(list)
			x.set = b.in(at, list)
			for i := range x.list {
				v := i >> 4
				if at == g {
					v = i & 15
				}
				x.list[i] = place(list, Single(Number(base+uint16(v)))) == yes
			}
			return x
		}
		sets := []both{random(), random(), random()}
		for range 10 {
			x, y := pickOne(d, sets...), pickOne(d, sets...)
			var z both
			op := d.IntN(4)
			z.set = []func() flowSet{
				func() flowSet { return b.and(x.set, y.set) },
				func() flowSet { return b.or(x.set, y.set) },
				func() flowSet { return b.without(x.set, y.set) },
				func() flowSet { return b.union([]flowSet{x.set, none, y.set}) },
			}[op]()
			for i := range z.list {
				z.list[i] = []bool{x.list[i] && y.list[i], x.list[i] || y.list[i], x.list[i] && !y.list[i], x.list[i] || y.list[i]}[op]
				if got := b.holds(z.set, func(level uint32) bool { return i>>(8-level)&1 == 1 }); got != z.list[i] {
					t.Fatalf("seed %d: operation %d: %d is in the set: %v, want %v", seed, op, i, got, z.list[i])
				}
			}
			sets = append(sets, z)
		}
		for _, x := range sets {
			n := 0
			for i := range x.list {
				if x.list[i] {
					n++
				}
			}
			if x.list == [512]bool{} != (x.set == none) {
				t.Fatalf("seed %d: an empty set has a node of its own", seed)
			}
			if got := b.size(x.set); got != float64(n) {
				t.Fatalf("seed %d: got %v members, want %d", seed, got, n)
			}
		}
	}
}

// What is forgotten makes room; what is not holds the same as before.
func TestForgetKeepsSomeSets(t *testing.T) {
	f := bitfield{width: 16}
	b := newBDD(16, 1<<12)
	list := []Range{Ports(25, 25), Ports(465, 587)}
	kept := b.in(f, list)
	for i := range uint16(50) {
		b.or(kept, b.in(f, []Range{Ports(1000*i, 1000*i+333)}))
	}
	before := len(b.nodes)
	b.forget([]*flowSet{&kept})
	if len(b.nodes) > 60 || before < 500 {
		t.Errorf("got %d nodes of %d, want few", len(b.nodes), before)
	}
	if kept != b.in(f, list) {
		t.Error("the set that is kept is another")
	}
}

func TestASetThatIsTooLargeIsAnError(t *testing.T) {
	rs := office(1, 200)
	s := newSpace(&Query{}, true, 1000)
	if _, err := s.through(rs, rs.places("eth0"), nil); err != errTooMany {
		t.Errorf("got %v, want %v", err, errTooMany)
	}
	if len(s.nodes) > 1000 {
		t.Errorf("got %d nodes, want at most 1000", len(s.nodes))
	}
}

func TestBoxesAreOnOneLine(t *testing.T) {
	for _, c := range []struct {
		want string
		Box
	}{
		{"any: any IPv4 > 192.0.2.25 port 25,587", Box{4, []string{""}, []Range{AllIPv4()}, []Range{One((&dice{}).addr(25))}, AllPorts(), []Range{Ports(25, 25), Ports(587, 587)}}},
		{"wan,dmz: any IPv6 port 0-1023 > 192.0.2.0/31,192.0.2.3-192.0.2.5 port any", Box{6, []string{"wan", "dmz"}, []Range{AllIPv6()}, []Range{
			{AddrValue((&dice{}).addr(0)), AddrValue((&dice{}).addr(1))},
			{AddrValue((&dice{}).addr(3)), AddrValue((&dice{}).addr(5))},
		}, []Range{Ports(0, 1023)}, AllPorts()}},
		{"wan: any IPv4 > any IPv4 port 1,3,5,7,9,11,13,15,and 1 more", Box{4, []string{"wan"}, []Range{AllIPv4()}, []Range{AllIPv4()}, AllPorts(), []Range{
			Ports(1, 1), Ports(3, 3), Ports(5, 5), Ports(7, 7), Ports(9, 9), Ports(11, 11), Ports(13, 13), Ports(15, 15), Ports(17, 17),
		}}},
	} {
		if got := c.String(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// How many boxes are listed changes neither which come first nor how many there are.
func TestBoxesThatAreNotListedAreCounted(t *testing.T) {
	rs := office(1, 150)
	q := Query{Most: 1 << 20}
	sp, err := rs.Space(q)
	if err != nil {
		t.Fatal(err)
	}
	whole, more, err := sp.Permitted()
	if err != nil || more != 0 || len(whole) < 50 {
		t.Fatalf("got %d boxes and %d more, %v", len(whole), more, err)
	}
	for _, most := range []int{1, 2, len(whole) / 2, len(whole) - 1} {
		sp.most = most
		some, more, err := sp.Permitted()
		if err != nil || len(some) != most || more != uint64(len(whole)-most) {
			t.Fatalf("got %d boxes and %d more, want %d of %d, %v", len(some), more, most, len(whole), err)
		}
		for i := range some {
			if some[i].String() != whole[i].String() {
				t.Fatalf("box %d is %v, and was %v", i, some[i], whole[i])
			}
		}
	}
}
