package packet

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// checksums fails unless the checksums of a TCP packet are right, as RFC 1071 lets a receiver check them.
func checksums(t *testing.T, b []byte) {
	t.Helper()
	header, pseudo := ipv6Header, uint32(0)
	if b[0]>>4 == 4 {
		header = ipv4Header
		if fold(sum(b[:header], 0)) != 0 {
			t.Errorf("the IPv4 checksum is wrong: %x", b)
		}
		pseudo = sum(b[12:20], 0)
	} else {
		pseudo = sum(b[8:40], 0)
	}
	if fold(sum(b[header:], pseudo+protoTCP+uint32(len(b)-header))) != 0 {
		t.Errorf("the TCP checksum is wrong: %x", b)
	}
}

var sources = []netip.AddrPort{netip.MustParseAddrPort("10.60.0.1:61000"), netip.MustParseAddrPort("[2001:db8::1]:65535")}

func target(r *rand.Rand, like netip.Addr) netip.AddrPort {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], r.Uint64())
	binary.LittleEndian.PutUint64(b[8:], r.Uint64())
	b[0] |= 1
	a := netip.AddrFrom16(b)
	if like.Is4() {
		a = netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrPortFrom(a, uint16(r.Uint32()))
}

func TestPut(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, source := range sources {
		for _, s := range []*SYN{NewSYN(source), NewRST(source)} {
			for range 2000 {
				to, seq := target(r, source.Addr()), r.Uint32()
				b := make([]byte, MaxLen)
				b = b[:s.Put(b, to, seq)]
				checksums(t, b)
				if got := Destination(b); got != to.Addr() {
					t.Fatalf("got %v, want %v", got, to.Addr())
				}
				src, proto, payload, ok := ip(b)
				if !ok || proto != protoTCP || src != source.Addr() {
					t.Fatalf("it does not read as IP: %x", b)
				}
				if binary.BigEndian.Uint16(payload) != source.Port() || binary.BigEndian.Uint16(payload[2:]) != to.Port() || binary.BigEndian.Uint32(payload[4:]) != seq {
					t.Fatalf("ports or sequence number are wrong: %x", b)
				}
			}
		}
	}
}

// The checksums were made by another program.
func TestPutBytes(t *testing.T) {
	b := make([]byte, MaxLen)
	n := NewSYN(sources[0]).Put(b, netip.MustParseAddrPort("10.50.1.2:25"), 0x01020304)
	want := "4500002c03040000400662580a3c00010a320102" + "ee480019010203040000000060" + "02ffff904e0000020405b4"
	if got := hex.EncodeToString(b[:n]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// answer makes what a host would answer: the packet with source and destination changed.
func answer(b []byte, flags byte, window uint16, options []byte) []byte {
	src, _, payload, _ := ip(b)
	header := len(b) - len(payload)
	out := bytes.Clone(b[:header])
	if src.Is4() {
		copy(out[12:16], b[16:20])
		copy(out[16:20], b[12:16])
		binary.BigEndian.PutUint16(out[2:], uint16(header+tcpHeader+len(options)))
	} else {
		copy(out[8:24], b[24:40])
		copy(out[24:40], b[8:24])
		binary.BigEndian.PutUint16(out[4:], uint16(tcpHeader+len(options)))
	}
	tcp := make([]byte, tcpHeader)
	copy(tcp, payload[2:4])
	copy(tcp[2:], payload[:2])
	binary.BigEndian.PutUint32(tcp[4:], 77)
	binary.BigEndian.PutUint32(tcp[8:], binary.BigEndian.Uint32(payload[4:])+1)
	tcp[12], tcp[13] = byte(tcpHeader+len(options))/4<<4, flags
	binary.BigEndian.PutUint16(tcp[14:], window)
	return append(append(out, tcp...), options...)
}

// quote makes the ICMP error that a router would send.
func quote(b []byte, router netip.Addr, kind, code byte) []byte {
	if router.Is4() {
		a := router.As4()
		out := []byte{0x45, 0, 0, byte(28 + len(b)), 0, 0, 0, 0, 64, protoICMP, 0, 0, a[0], a[1], a[2], a[3], 0, 0, 0, 0, kind, code, 0, 0, 0, 0, 0, 0}
		return append(out, b...)
	}
	a := router.As16()
	out := []byte{0x60, 0, 0, 0, 0, byte(8 + len(b)), protoICMPv6, 64}
	out = append(append(append(out, a[:]...), make([]byte, 16)...), kind, code, 0, 0, 0, 0, 0, 0)
	return append(out, b...)
}

func TestParse(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, source := range sources {
		s := NewSYN(source)
		to, seq := target(r, source.Addr()), r.Uint32()
		b := make([]byte, MaxLen)
		b = b[:s.Put(b, to, seq)]
		router, kind := netip.MustParseAddr("10.60.0.2"), byte(3)
		if source.Addr().Is6() {
			router, kind = netip.MustParseAddr("2001:db8::ff"), 1
		}
		whole := Answer{Target: to, Port: source.Port(), Seq: seq}
		with := func(k Kind, change func(*Answer)) Answer {
			a := whole
			a.Kind = k
			change(&a)
			return a
		}
		errorOf := with(Error, func(a *Answer) { a.Type, a.Code, a.From = kind, 13, router })
		for _, c := range []struct {
			name string
			in   []byte
			want Answer
		}{
			{"a SYN-ACK", answer(b, flagSYN|flagACK, 64240, []byte{2, 4, 5, 180}), with(SYNACK, func(a *Answer) { a.Window, a.TheirSeq = 64240, 77 })},
			{"a SYN-ACK of a SYN proxy", answer(b, flagSYN|flagACK, 0, nil), with(SYNACK, func(a *Answer) { a.Bare, a.TheirSeq = true, 77 })},
			{"a reset", answer(b, flagRST|flagACK, 0, nil), with(RST, func(a *Answer) { a.Bare, a.TheirSeq = true, 77 })},
			{"a reset without ACK answers no SYN", answer(b, flagRST, 0, nil), Answer{}},
			{"data", answer(b, flagACK, 100, nil), Answer{}},
			{"our own SYN", b, Answer{}},
			{"an error", quote(b, router, kind, 13), errorOf},
			{"an error that quotes eight bytes of TCP", quote(b[:len(b)-16], router, kind, 13), errorOf},
			{"an error that quotes seven", quote(b[:len(b)-17], router, kind, 13), Answer{}},
			{"an echo reply", quote(b, router, 0, 0), Answer{}},
			{"nothing", nil, Answer{}},
			{"half a header", answer(b, flagSYN|flagACK, 0, nil)[:19], Answer{}},
			{"less than it says", answer(b, flagSYN|flagACK, 0, nil)[:len(answer(b, flagSYN|flagACK, 0, nil))-1], Answer{}},
		} {
			if got := Parse(c.in); got != c.want {
				t.Errorf("%s from %v: got %+v, want %+v", c.name, source.Addr(), got, c.want)
			}
		}
	}
	fragment := answer(putOne(sources[0]), flagSYN|flagACK, 0, nil)
	fragment[6] = 0x20 // more fragments
	if got := Parse(fragment); got.Kind != Other {
		t.Errorf("a fragment: got %+v, want nothing", got)
	}
}

func putOne(source netip.AddrPort) []byte {
	b := make([]byte, MaxLen)
	return b[:NewSYN(source).Put(b, target(rand.New(rand.NewPCG(5, 6)), source.Addr()), 9)]
}

func TestNeighbours(t *testing.T) {
	mac := MAC{2, 0, 0, 0, 0, 9}
	b := make([]byte, SolicitLen)
	n := PutSolicit(b, mac, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.7"))
	if want := "ffffffffffff020000000009080600010800060400010200000000" + "09c0000201000000000000c0000207"; hex.EncodeToString(b[:n]) != want {
		t.Errorf("ARP: got %x, want %s", b[:n], want)
	}
	reply := bytes.Clone(b[EthernetLen:n])
	reply[7] = 2
	copy(reply[14:], []byte{192, 0, 2, 7})
	if a, m, ok := ParseARP(reply); !ok || a != netip.MustParseAddr("192.0.2.7") || m != mac {
		t.Errorf("got %v, %v, %v", a, m, ok)
	}
	if _, _, ok := ParseARP(b[EthernetLen:n]); ok {
		t.Error("a request was taken for a reply")
	}
	addr := netip.MustParseAddr("2001:db8::1:2:3")
	n = PutSolicit(b, mac, netip.MustParseAddr("2001:db8::1"), addr)
	if hex.EncodeToString(b[:6]) != "3333ff020003" {
		t.Errorf("not to the solicited node: %x", b[:6])
	}
	packet := b[EthernetLen:n]
	if fold(sum(packet[ipv6Header:], sum(packet[8:40], 32+protoICMPv6))) != 0 {
		t.Errorf("the checksum of the solicitation is wrong: %x", packet)
	}
	advert := bytes.Clone(packet)
	advert[40], advert[64] = 136, 2
	if a, m, ok := ParseAdvert(advert); !ok || a != addr || m != mac {
		t.Errorf("got %v, %v, %v", a, m, ok)
	}
	for name, change := range map[string]func([]byte){
		"through a router": func(b []byte) { b[7] = 254 }, "a solicitation": func(b []byte) { b[40] = 135 },
		"without an address": func(b []byte) { b[64] = 1 }, "an option of no length": func(b []byte) { b[65] = 0 },
	} {
		bad := bytes.Clone(advert)
		change(bad)
		if a, _, ok := ParseAdvert(bad); ok {
			t.Errorf("%s: got %v, want nothing", name, a)
		}
	}
}

// Every byte is an attack: reading never fails, and what is read lies in the bytes.
func FuzzParse(f *testing.F) {
	for _, source := range sources {
		b := putOne(source)
		f.Add(answer(b, flagSYN|flagACK, 1, []byte{1, 1, 1, 1}))
		f.Add(quote(b, netip.MustParseAddr("10.0.0.1"), 3, 13))
		f.Add(quote(b, netip.MustParseAddr("2001:db8::1"), 1, 1))
		s := make([]byte, SolicitLen)
		n := PutSolicit(s, MAC{1}, source.Addr(), source.Addr())
		f.Add(s[EthernetLen:n])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		a := Parse(b)
		if a.Kind == Other && a != (Answer{}) {
			t.Errorf("nothing was read, and yet there is %+v", a)
		}
		if a.Kind != Other && (!a.Target.Addr().IsValid() || a.Target.Addr().Is4In6() || a.Target.Addr().Zone() != "") {
			t.Errorf("got %+v", a)
		}
		ParseARP(b)
		if addr, _, ok := ParseAdvert(b); ok && !addr.Is6() {
			t.Errorf("got %v", addr)
		}
		if !bytes.Equal(b, before) {
			t.Error("reading changed the bytes")
		}
	})
}

func BenchmarkPut(b *testing.B) {
	for _, source := range sources {
		s := NewSYN(source)
		to := target(rand.New(rand.NewPCG(7, 8)), source.Addr())
		buf := make([]byte, MaxLen)
		b.Run(source.Addr().String(), func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				s.Put(buf, to, uint32(i))
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	in := answer(putOne(sources[0]), flagRST|flagACK, 0, nil)
	b.ReportAllocs()
	for range b.N {
		if Parse(in).Kind != RST {
			b.Fatal("not read")
		}
	}
}
