package discover

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"relaysweep/discover/packet"
	"relaysweep/ratelimit"
)

var (
	addr4, addr6     = netip.MustParseAddr("10.50.0.3"), netip.MustParseAddr("fd50::3")
	host4, host6     = netip.MustParseAddr(scanner4), netip.MustParseAddr(scanner6)
	ourPort          = uint16(61234)
	target4, target6 = netip.AddrPortFrom(addr4, 25), netip.AddrPortFrom(addr6, 25)
	source4, source6 = netip.AddrPortFrom(host4, ourPort), netip.AddrPortFrom(host6, ourPort)
)

// with changes a byte of a packet.
func with(b []byte, at int, to byte) []byte {
	b = bytes.Clone(b)
	b[at] = to
	return b
}

func TestFilters(t *testing.T) {
	syn4, syn6 := tcpPacket(source4, target4, 1, 0, 0x02, 1024), tcpPacket(source6, target6, 1, 0, 0x02, 1024)
	answer4 := func(flags byte) []byte { return tcpPacket(target4, source4, 1, 2, flags, 1024) }
	answer6 := func(flags byte) []byte { return tcpPacket(target6, source6, 1, 2, flags, 1024) }
	options4 := func() []byte { // eight bytes of IP options
		b := answer4(0x12)
		b = slices.Insert(b, 20, 1, 1, 1, 1, 1, 1, 1, 0)
		b[0] = 0x47
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		return b
	}()
	udp4 := ipPacket(addr4, host4, unix.IPPROTO_UDP, 64, []byte{0, 25, 0xef, 0x32, 0, 8, 0, 0})
	solicit := make([]byte, packet.SolicitLen)
	solicit = solicit[packet.EthernetLen:packet.PutSolicit(solicit, packet.MAC{2}, host6, addr6)]
	request := make([]byte, packet.SolicitLen)
	request = request[packet.EthernetLen:packet.PutSolicit(request, packet.MAC{2}, host4, addr4)]
	advert := ipPacket(addr6, host6, unix.IPPROTO_ICMPV6, 255, append([]byte{136}, make([]byte, 31)...))
	for _, c := range []struct {
		name   string
		filter []bpf.Instruction
		in     []byte
		want   bool
	}{
		{"a SYN-ACK", answers4(ourPort), answer4(0x12), true},
		{"a reset", answers4(ourPort), answer4(0x14), true},
		{"a SYN-ACK behind IP options", answers4(ourPort), options4, true},
		{"an error", answers4(ourPort), icmpError(host4, 13, 1, syn4), true},
		{"data", answers4(ourPort), answer4(0x10), false},
		{"a FIN", answers4(ourPort), answer4(0x11), false},
		{"to the port below", answers4(ourPort - 1), answer4(0x12), false},
		{"to the port above", answers4(ourPort + 1), answer4(0x12), false},
		{"from our port", answers4(25), tcpPacket(netip.AddrPortFrom(addr4, 25), source4, 1, 2, 0x12, 1), false},
		{"an echo reply", answers4(ourPort), with(icmpError(host4, 13, 1, syn4), 20, 0), false},
		{"a time exceeded", answers4(ourPort), with(icmpError(host4, 13, 1, syn4), 20, 11), false},
		{"UDP", answers4(ourPort), udp4, false},
		{"the first fragment", answers4(ourPort), with(answer4(0x12), 6, 0x20), false},
		{"a later fragment", answers4(ourPort), with(answer4(0x12), 7, 1), false},
		{"what may not be fragmented", answers4(ourPort), with(answer4(0x12), 6, 0x40), true},
		{"cut off", answers4(ourPort), answer4(0x12)[:30], false},
		{"nothing", answers4(ourPort), nil, false},
		{"a SYN-ACK, IPv6", answers6(ourPort), answer6(0x12), true},
		{"a reset, IPv6", answers6(ourPort), answer6(0x14), true},
		{"an error, IPv6", answers6(ourPort), icmpError(host6, 13, 1, syn6), true},
		{"data, IPv6", answers6(ourPort), answer6(0x10), false},
		{"to another port, IPv6", answers6(ourPort + 1), answer6(0x12), false},
		{"packet too big, IPv6", answers6(ourPort), with(icmpError(host6, 13, 1, syn6), 40, 2), false},
		{"a fragment, IPv6", answers6(ourPort), with(answer6(0x12), 6, 44), false},
		{"neighbour discovery, IPv6", answers6(ourPort), advert, false},
		{"cut off, IPv6", answers6(ourPort), answer6(0x12)[:50], false},
		{"an advertisement", adverts(), advert, true},
		{"a solicitation", adverts(), solicit, false},
		{"no ICMPv6", adverts(), answer6(0x12), false},
		{"an ARP reply", replies(), with(request, 7, 2), true},
		{"an ARP request", replies(), request, false},
		{"half of an ARP reply", replies(), request[:7], false},
	} {
		vm, err := bpf.NewVM(c.filter)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		n, err := vm.Run(c.in)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := n > 0; got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
		if n > 0 && n != snap {
			t.Errorf("%s: got %d bytes, want %d", c.name, n, snap)
		}
	}
}

// hearing is a receiver without a network.
func hearing(tb testing.TB) *receiver {
	tb.Helper()
	s, err := NewScope(aiming(without(Spec{}, "10.50.0.9"), "10.50.0.0/28", "fd50::/124"))
	if err != nil {
		tb.Fatal(err)
	}
	cov := NewCoverage(mustPlan(tb, s, 1, 25, 465))
	key := bytes.Repeat([]byte{7}, 16)
	w := &synSweep{SYN: &SYN{}, cov: cov, plan: cov.plan, count: new(Counters), key: key, port: ourPort, hits: newHits(), toReset: make(chan reset, 4)}
	return &receiver{synSweep: w, cookies: newCookies(key)}
}

func (r *receiver) cookie(tb testing.TB, a netip.AddrPort) uint32 {
	tb.Helper()
	i, ok := r.plan.indexOf(a)
	if !ok {
		tb.Fatalf("%v is not in the plan", a)
	}
	return r.cookies.of(i)
}

func TestHandle(t *testing.T) {
	for _, v := range []struct {
		source, target, other, outside netip.AddrPort
	}{
		{source4, target4, netip.AddrPortFrom(addr4, 465), netip.MustParseAddrPort("10.50.0.16:25")},
		{source6, target6, netip.MustParseAddrPort("[fd50::4]:25"), netip.MustParseAddrPort("[fd50::10]:25")},
	} {
		cookie := hearing(t).cookie(t, v.target)
		tcp := func(from netip.AddrPort, ack uint32, flags byte, window uint16, options ...byte) []byte {
			return tcpPacket(from, v.source, 9, ack, flags, window, options...)
		}
		quoting := func(to netip.AddrPort, seq uint32, code byte) []byte {
			return icmpError(v.source.Addr(), code, map[byte]byte{13: 1, 4: 7}[code], tcpPacket(v.source, to, seq, 0, 2, 1))
		}
		for _, c := range []struct {
			name   string
			in     []byte
			want   State
			hollow bool
		}{
			{"a SYN-ACK", tcp(v.target, cookie+1, 0x12, 5, 2, 4, 5, 0xb4), Open, false},
			{"a SYN-ACK without options", tcp(v.target, cookie+1, 0x12, 5), Open, false},
			{"a SYN-ACK of a SYN proxy", tcp(v.target, cookie+1, 0x12, 0), Open, true},
			{"a reset", tcp(v.target, cookie+1, 0x14, 0), Closed, false},
			{"an error", quoting(v.target, cookie, 13), Prohibited, false},

			{"a SYN-ACK with a wrong cookie", tcp(v.target, cookie+2, 0x12, 5), NotAttempted, false},
			{"a SYN-ACK that acknowledges too little", tcp(v.target, cookie, 0x12, 5), NotAttempted, false},
			{"a reset with a wrong cookie", tcp(v.target, cookie, 0x14, 0), NotAttempted, false},
			{"an error with a wrong cookie", quoting(v.target, cookie+1, 13), NotAttempted, false},
			{"the right cookie from another target", tcp(v.other, cookie+1, 0x12, 5), NotAttempted, false},
			{"from outside the scope", tcp(v.outside, cookie+1, 0x12, 5), NotAttempted, false},
			{"from a port that is not in the plan", tcp(netip.AddrPortFrom(v.target.Addr(), 26), cookie+1, 0x12, 5), NotAttempted, false},
			{"an error on what went outside the scope", quoting(v.outside, cookie, 13), NotAttempted, false},
			{"an error that says nothing of the target", quoting(v.target, cookie, 4), NotAttempted, false},
			{"to another port of ours", tcpPacket(v.target, netip.AddrPortFrom(v.source.Addr(), ourPort+1), 9, cookie+1, 0x12, 5), NotAttempted, false},
			{"a SYN", tcp(v.target, cookie+1, 0x02, 5), NotAttempted, false},
			{"a reset that acknowledges nothing", tcp(v.target, cookie+1, 0x04, 0), NotAttempted, false},
			{"our own SYN", tcpPacket(v.source, v.target, cookie, 0, 0x02, 5), NotAttempted, false},
		} {
			r := hearing(t)
			for range 3 { // once more changes nothing
				r.handle(c.in)
			}
			if got := r.cov.State(v.target); got != c.want {
				t.Errorf("%s: got %v, want %v", c.name, got, c.want)
			}
			known := 0
			for _, s := range r.cov.States() {
				if s != NotAttempted {
					known++
				}
			}
			if want := min(int(c.want), 1); known != want || r.count.Answers.Load() != uint64(want) {
				t.Errorf("%s: got %d targets and %d answers, want %d", c.name, known, r.count.Answers.Load(), want)
			}
			if got := slices.Equal(r.hits.list, []hit{{index(t, r.plan, v.target), c.hollow}}); got != (c.want == Open) {
				t.Errorf("%s: got hits %v", c.name, r.hits.list)
			}
			if c.want != Open && len(r.toReset) > 0 {
				t.Errorf("%s: a reset will be sent", c.name)
			}
			if c.want == Open {
				if x := <-r.toReset; x != (reset{index(t, r.plan, v.target), cookie + 1}) {
					t.Errorf("%s: got the reset %+v", c.name, x)
				}
			}
		}
		t.Run("who listens, listens, whatever was said before", func(t *testing.T) {
			r := hearing(t)
			r.handle(quoting(v.target, cookie, 13))
			r.handle(tcp(v.target, cookie+1, 0x12, 5))
			r.handle(tcp(v.target, cookie+1, 0x14, 5))
			r.handle(quoting(v.target, cookie, 13))
			if got := r.cov.State(v.target); got != Open || r.cov.Opened() != 1 || len(r.hits.list) != 1 {
				t.Errorf("got %v, %d opened, %d hits", got, r.cov.Opened(), len(r.hits.list))
			}
		})
	}
}

func index(tb testing.TB, p *Plan, a netip.AddrPort) uint64 {
	tb.Helper()
	i, ok := p.indexOf(a)
	if !ok {
		tb.Fatalf("%v is not in the plan", a)
	}
	return i
}

// Every byte from outside is an attack. It changes something only if it carries the cookie of the target that it names.
func FuzzHandle(f *testing.F) {
	r := hearing(f)
	for _, v := range [][2]netip.AddrPort{{source4, target4}, {source6, target6}} {
		c := r.cookie(f, v[1])
		f.Add(tcpPacket(v[1], v[0], 9, c+1, 0x12, 5, 2, 4, 5, 0xb4))
		f.Add(tcpPacket(v[1], v[0], 9, c+1, 0x14, 0))
		f.Add(tcpPacket(v[1], v[0], 9, c+2, 0x14, 0))
		f.Add(icmpError(v[0].Addr(), 13, 1, tcpPacket(v[0], v[1], c, 0, 2, 1)))
		f.Add(icmpError(v[0].Addr(), 4, 7, tcpPacket(v[0], v[1], c, 0, 2, 1)))
	}
	cookies := make(map[[4]byte]bool) // as they stand in a quotation, and in an answer
	for i := range r.plan.size() {
		cookies[[4]byte(binary.BigEndian.AppendUint32(nil, r.cookies.of(i)))] = true
		cookies[[4]byte(binary.BigEndian.AppendUint32(nil, r.cookies.of(i)+1))] = true
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := hearing(t)
		r.handle(b)
		known := 0
		for _, s := range r.cov.States() {
			if s != NotAttempted {
				known++
			}
		}
		if seen := r.count.Answers.Load(); uint64(known) != seen || known > 1 || uint64(len(r.hits.list)) != r.cov.Opened() {
			t.Fatalf("got %d states, %d answers, %d hits, %d opened", known, seen, len(r.hits.list), r.cov.Opened())
		}
		carries := false
		for i := 0; i+4 <= len(b); i++ {
			carries = carries || cookies[[4]byte(b[i:])]
		}
		if known > 0 && !carries {
			t.Fatalf("it carries no cookie, and is believed: %x", b)
		}
	})
}

// At any moment a process may be killed: what lies behind the cursor was asked so long ago that it has answered.
func TestTheCursorStaysBehind(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 9))
		h := hearing(t)
		w := h.synSweep
		w.pace = pacer(1000)
		w.cov.begin(2)
		if seed%2 == 0 {
			w.time.sent(1, 16, 0)
			w.time.answered(1, 16, time.Duration(1+r.IntN(500))*time.Millisecond)
		}
		patience := w.time.patience()
		now := time.Now()
		w.watched = watched{at: now, routes: now.Add(time.Hour)}
		askedAt := make(map[uint64]time.Time) // by position
		moved := false
		for position := uint64(0); position < w.plan.Len(); {
			now = now.Add(time.Duration(r.IntN(300)) * time.Millisecond)
			if err := w.watch(t.Context(), now, 0, position); err != nil {
				t.Fatal(err)
			}
			_, cursor := w.cov.cursor()
			moved = moved || cursor > 0
			waiting := w.off.first(position)
			if cursor > waiting {
				t.Fatalf("seed %d: the cursor is at %d, and %d waits", seed, cursor, waiting)
			}
			for p := range cursor {
				if age := now.Sub(askedAt[p]); age < patience {
					t.Fatalf("seed %d: the cursor is at %d, and %d was asked %v ago, with a patience of %v", seed, cursor, p, age, patience)
				}
			}
			for range r.IntN(3) {
				if position < w.plan.Len() {
					if r.IntN(6) == 0 {
						w.off.put(attempt{position: position}, netip.AddrFrom4([4]byte{10, 0, byte(position), 1}), now.Sub(w.start))
					}
					askedAt[position] = now
					position++
				}
			}
			if r.IntN(3) == 0 {
				if a, line, ok := w.off.take(now.Sub(w.start)); ok {
					askedAt[a.position] = now
					w.off.went(line)
				}
			}
		}
		if !moved {
			t.Errorf("seed %d: the cursor never moved", seed)
		}
	}
}

// What was dropped in a long pause between two looks is asked again from where its answers may have come.
func TestWhatWasLostIsAskedAgain(t *testing.T) {
	start := time.Unix(1e9, 0)
	w := watched{at: start.Add(3 * time.Second), routes: start.Add(time.Second)}
	for i := range 40 {
		w.marks = append(w.marks, mark{start.Add(time.Duration(i) * 100 * time.Millisecond), uint64(i)})
	}
	for _, c := range []struct {
		name string
		got  uint64
		want uint64
	}{
		{"since the last look, and a patience before", w.safe(w.at.Add(-500 * time.Millisecond)), 25},
		{"since the routes were right, and a patience before", w.doubtful(500 * time.Millisecond), 5},
		{"since ever", w.safe(time.Time{}), 0},
		{"between two marks", w.safe(start.Add(250 * time.Millisecond)), 2},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, c.got, c.want)
		}
	}
	if got := (&watched{}).safe(start); got != 0 {
		t.Errorf("where nothing is remembered: got %d, want 0", got)
	}
}

// A routing table of any kind is understood with one question for each piece.
func TestFindWays(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 5))
		type route struct {
			to  netip.Prefix
			way way
		}
		var table []route
		var borders []netip.Addr
		for range 1 + r.IntN(12) {
			a := netip.AddrFrom4([4]byte{10, 50, byte(r.IntN(4)), byte(r.IntN(256))})
			if r.IntN(2) == 0 {
				a = netip.AddrFrom16([16]byte{0xfd, 0x50, 15: byte(r.IntN(256))})
			}
			p, _ := a.Prefix(a.BitLen() - []int{0, 1, 3, 8, 9, a.BitLen()}[r.IntN(6)])
			v := way{kind: wayKind(r.IntN(4)), link: r.IntN(2)}
			table = append(table, route{p, v})
			borders = append(borders, p.Addr())
			last := p.Addr()
			for b := last.As16(); ; {
				for i := range 16 {
					if bit := p.Bits() + 128 - a.BitLen() - i*8; bit < 8 {
						b[i] |= 0xff >> max(bit, 0)
					}
				}
				last = netip.AddrFrom16(b)
				if a.Is4() {
					last = last.Unmap()
				}
				break
			}
			if next := last.Next(); next.IsValid() {
				borders = append(borders, next)
			}
		}
		slices.SortFunc(borders, netip.Addr.Compare)
		borders = slices.Compact(borders)
		to := func(a netip.Addr) (best way) {
			bits := -1
			for _, x := range table {
				if x.to.Contains(a) && x.to.Bits() > bits {
					best, bits = x.way, x.to.Bits()
				}
			}
			return best
		}
		s := mustScope(t, aiming(Spec{}, "10.50.0.0/23", "10.50.3.7", "fd50::/120"))
		asked := 0
		ways, err := findWays(s, borders, func(a netip.Addr) (way, error) {
			if !s.Contains(a) {
				t.Fatalf("asked for %v", a)
			}
			asked++
			return to(a), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if most := len(borders) + len(s.ranges); asked > most {
			t.Errorf("got %d questions, want at most %d", asked, most)
		}
		for i := range s.Len() {
			a := s.at(i)
			v := *wayFor(ways, a)
			if a.Less(v.from) || v.to.Less(a) {
				t.Fatalf("seed %d: the way to %v is from %v to %v", seed, a, v.from, v.to)
			}
			if v.from, v.to = (netip.Addr{}), (netip.Addr{}); v != to(a) {
				t.Fatalf("seed %d: %v: got %+v, want %+v", seed, a, v, to(a))
			}
		}
		for i := range ways[1:] {
			if a, b := ways[i], ways[i+1]; a.joins(b) {
				t.Errorf("seed %d: two ways are one: %+v, %+v", seed, a, b)
			}
		}
	}
}

func TestOutletDrop(t *testing.T) {
	for _, ethernet := range []bool{true, false} {
		o := &outlet{fd: -1, ethernet: ethernet}
		o.lay()
		w := &way{out: o, mac: packet.MAC{2}}
		var want []netip.AddrPort
		for i := range 10 {
			to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 25)
			syn := packet.NewSYN(source4)
			o.add(o.put(syn, to, uint32(i)), syn, w, packet.MAC{4}, to.Addr(), uint64(i))
			want = append(want, to)
		}
		for _, n := range []int{0, 1, 3} {
			o.drop(n)
			want = want[n:]
			if o.n != len(want) {
				t.Fatalf("got %d left, want %d", o.n, len(want))
			}
			for i, to := range want {
				b := o.frames[i][:o.vectors[i].Len]
				if ethernet {
					b = b[packet.EthernetLen:]
				} else if o.messages[i].Name == nil || netip.AddrFrom4(o.to4[i].Addr) != to.Addr() {
					t.Errorf("%d: got %v, want %v", i, netip.AddrFrom4(o.to4[i].Addr), to)
				}
				if packet.Destination(b) != to.Addr() || o.indexes[i] != uint64(to.Addr().As4()[3]) {
					t.Errorf("%d: got %v, number %d, want %v", i, packet.Destination(b), o.indexes[i], to)
				}
			}
		}
	}
}

// What a packet costs besides the system call.
func BenchmarkSYNPacket(b *testing.B) {
	for _, c := range []struct {
		name   string
		target string
		from   netip.AddrPort
	}{{"a /16", "10.50.0.0/16", source4}, {"a /8", "10.0.0.0/8", source4}, {"IPv6", "fd50::/112", source6}} {
		b.Run(c.name, func(b *testing.B) {
			cov := NewCoverage(mustPlan(b, mustScope(b, aiming(Spec{}, c.target)), 1, 25, 465, 587, 2525))
			key := newKey()
			w := &synSweep{
				SYN: new(SYN), pace: ratelimit.NewPacer(ratelimit.Rates{}, 0), cov: cov, plan: cov.plan, count: new(Counters), key: key,
				port: ourPort, cookies: newCookies(key), start: time.Now(),
			}
			o := &outlet{fd: -1, ethernet: true}
			o.lay()
			r := cov.plan.scope.ranges[0]
			w.ways = []way{{from: r.from, to: r.to, kind: viaGateway, out: o, syn: packet.NewSYN(c.from)}}
			now := time.Now()
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				position := uint64(i) % cov.plan.Len()
				index := w.plan.index(position)
				if w.cov.code(index) != codeNone || w.ask(attempt{position: position}, nil, index, now) != 1 {
					b.Fatal("not asked")
				}
				if o.n == burst {
					o.n = 0
				}
			}
		})
	}
}
