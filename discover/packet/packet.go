// Package packet writes and reads the packets of a port scan: TCP SYN and RST, what answers them (SYN-ACK, RST, ICMP
// and ICMPv6 unreachable), and ARP and Neighbour Discovery. It does no I/O, and allocates nothing.
//
//	SYN template ─► Put ─► bytes ─► a network ─► bytes ─► Parse ─► Answer
package packet

import (
	"encoding/binary"
	"net/netip"
)

// Sizes in bytes.
const (
	ipv4Header = 20
	ipv6Header = 40
	tcpHeader  = 20
	mssOption  = 4
	// MaxLen holds any packet that a SYN writes.
	MaxLen = ipv6Header + tcpHeader + mssOption
)

// TCP flags (RFC 9293 3.1).
const (
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// Protocol numbers.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoICMPv6 = 58
)

// SYN is a template: the packets of one source and source port differ in little.
type SYN struct {
	source netip.Addr
	packet [MaxLen]byte
	n      int
	ipSum  uint32 // of the IPv4 header without destination and identification
	tcpSum uint32 // of TCP and its pseudo header without destination, port and sequence number
}

// hopLimit reaches any host, as other systems' packets do.
const hopLimit = 64

// NewSYN makes the template of SYN packets from a source, with the one option (MSS) that some firewalls want to see.
func NewSYN(source netip.AddrPort) *SYN {
	mss := uint16(1460)
	if source.Addr().Is6() {
		mss = 1440
	}
	return template(source, flagSYN, 65535, mss)
}

// NewRST makes the template of RST packets from a source: what ends a handshake that our kernel does not end.
func NewRST(source netip.AddrPort) *SYN { return template(source, flagRST, 0, 0) }

func template(source netip.AddrPort, flags byte, window, mss uint16) *SYN {
	s := &SYN{source: source.Addr()}
	header := ipv4Header
	if source.Addr().Is6() {
		header = ipv6Header
	}
	size := tcpHeader
	if mss > 0 {
		size += mssOption
	}
	s.n = header + size
	ip, tcp := s.packet[:header], s.packet[header:s.n]
	if source.Addr().Is4() {
		ip[0] = 0x45
		binary.BigEndian.PutUint16(ip[2:], uint16(s.n))
		ip[8], ip[9] = hopLimit, protoTCP
		a := source.Addr().As4()
		copy(ip[12:], a[:])
		s.ipSum = sum(ip, 0)
		s.tcpSum = sum(a[:], 0)
	} else {
		ip[0] = 0x60
		binary.BigEndian.PutUint16(ip[4:], uint16(size))
		ip[6], ip[7] = protoTCP, hopLimit
		a := source.Addr().As16()
		copy(ip[8:], a[:])
		s.tcpSum = sum(a[:], 0)
	}
	binary.BigEndian.PutUint16(tcp[0:], source.Port())
	tcp[12], tcp[13] = byte(size/4)<<4, flags
	binary.BigEndian.PutUint16(tcp[14:], window)
	if mss > 0 {
		tcp[20], tcp[21] = 2, mssOption
		binary.BigEndian.PutUint16(tcp[22:], mss)
	}
	s.tcpSum += sum(tcp, 0) + protoTCP + uint32(size)
	return s
}

// Source is where the packets leave from.
func (s *SYN) Source() netip.Addr { return s.source }

// Put writes the packet for a target, which is of the source's family, and returns its length. b has room for MaxLen.
func (s *SYN) Put(b []byte, to netip.AddrPort, seq uint32) int {
	copy(b[:MaxLen], s.packet[:])
	return s.Change(b, to, seq)
}

// Change makes the packet for a target of one for another that the same template was put into.
func (s *SYN) Change(b []byte, to netip.AddrPort, seq uint32) int {
	b = b[:MaxLen]
	acc := s.tcpSum + uint32(to.Port()) + seq>>16 + seq&0xffff
	tcp := b[ipv6Header:]
	if s.packet[0] == 0x45 {
		a := to.Addr().As4()
		d := binary.BigEndian.Uint32(a[:])
		binary.BigEndian.PutUint32(b[16:], d)
		binary.BigEndian.PutUint16(b[4:], uint16(seq)) // an identification, as good as any
		d = d>>16 + d&0xffff
		binary.BigEndian.PutUint16(b[10:], fold(s.ipSum+d+seq&0xffff))
		acc += d
		tcp = b[ipv4Header:]
	} else {
		a := to.Addr().As16()
		copy(b[24:], a[:])
		acc += sum(a[:], 0)
	}
	binary.BigEndian.PutUint16(tcp[2:], to.Port())
	binary.BigEndian.PutUint32(tcp[4:], seq)
	binary.BigEndian.PutUint16(tcp[16:], fold(acc))
	return s.n
}

// sum adds up 16-bit words (RFC 1071).
func sum(b []byte, acc uint32) uint32 {
	for len(b) >= 2 {
		acc += uint32(b[0])<<8 | uint32(b[1])
		b = b[2:]
	}
	if len(b) == 1 {
		acc += uint32(b[0]) << 8
	}
	return acc
}

// fold makes a checksum of a sum.
func fold(acc uint32) uint16 {
	acc = acc>>16 + acc&0xffff
	acc += acc >> 16
	return ^uint16(acc)
}

// Destination reads where an IP packet of ours goes to; the gate asks it of the bytes that leave.
func Destination(b []byte) netip.Addr {
	if b[0]>>4 == 4 {
		return netip.AddrFrom4([4]byte(b[16:20]))
	}
	return netip.AddrFrom16([16]byte(b[24:40]))
}

// Kind is what an answer is.
type Kind uint8

// The kinds of answers.
const (
	Other  Kind = iota
	SYNACK      // something listens
	RST         // nothing listens
	Error       // ICMP or ICMPv6: Type and Code tell
)

// Answer is a packet that answers one of ours.
type Answer struct {
	Kind Kind
	// Target is whom we asked: who answers, or, of an ICMP error, whom the packet that it quotes went to.
	Target netip.AddrPort
	// Port is ours.
	Port uint16
	// Seq is the sequence number of the packet that is answered.
	Seq uint32
	// Window is zero and Bare true in the answers of some SYN proxies: Bare is a TCP header without options.
	Window uint16
	Bare   bool
	// TheirSeq is the answer's own sequence number.
	TheirSeq uint32
	// Type and Code of an ICMP error; From is who sent it.
	Type, Code uint8
	From       netip.Addr
}

// Parse reads an IP packet, of which the end may be cut off. What is not a whole answer to a TCP packet is Other.
func Parse(b []byte) Answer {
	src, proto, payload, ok := ip(b)
	if !ok {
		return Answer{}
	}
	switch {
	case proto == protoTCP:
		return parseTCP(src, payload)
	case proto == protoICMP && src.Is4() && len(payload) >= 8 && payload[0] == 3,
		proto == protoICMPv6 && src.Is6() && len(payload) >= 8 && payload[0] == 1:
		return parseError(src, payload)
	}
	return Answer{}
}

// ip reads an IP header. A fragment is nothing that answers us: what we send is answered in one piece.
func ip(b []byte) (src netip.Addr, proto byte, payload []byte, ok bool) {
	if len(b) < ipv4Header {
		return src, 0, nil, false
	}
	switch b[0] >> 4 {
	case 4:
		header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		if header < ipv4Header || total < header || header > len(b) || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
			return src, 0, nil, false
		}
		return netip.AddrFrom4([4]byte(b[12:16])), b[9], b[header:min(total, len(b))], true
	case 6:
		if len(b) < ipv6Header {
			return src, 0, nil, false
		}
		end := min(ipv6Header+int(binary.BigEndian.Uint16(b[4:])), len(b))
		src = netip.AddrFrom16([16]byte(b[8:24]))
		if src.Is4In6() {
			return src, 0, nil, false // on no wire (RFC 4291 2.5.5.2)
		}
		return src, b[6], b[ipv6Header:end], true
	}
	return src, 0, nil, false
}

func parseTCP(src netip.Addr, b []byte) Answer {
	if len(b) < tcpHeader {
		return Answer{}
	}
	header := int(b[12]>>4) * 4
	if header < tcpHeader || header > len(b) {
		return Answer{}
	}
	a := Answer{
		Target: netip.AddrPortFrom(src, binary.BigEndian.Uint16(b)), Port: binary.BigEndian.Uint16(b[2:]),
		TheirSeq: binary.BigEndian.Uint32(b[4:]), Seq: binary.BigEndian.Uint32(b[8:]) - 1,
		Window: binary.BigEndian.Uint16(b[14:]), Bare: header == tcpHeader,
	}
	switch b[13] & (flagSYN | flagRST | flagACK) {
	case flagSYN | flagACK:
		a.Kind = SYNACK
	case flagRST | flagACK:
		a.Kind = RST // one without ACK answers no SYN (RFC 9293 3.10.7.1)
	default:
		return Answer{}
	}
	return a
}

// parseError reads the packet that an error quotes: its IP header and the first 8 bytes of TCP, which hold the ports and
// the sequence number.
func parseError(from netip.Addr, b []byte) Answer {
	quoted := b[8:]
	var header int
	var to netip.Addr
	switch {
	case from.Is4():
		if len(quoted) < ipv4Header || quoted[0]>>4 != 4 || quoted[9] != protoTCP {
			return Answer{}
		}
		header = int(quoted[0]&15) * 4
		to = netip.AddrFrom4([4]byte(quoted[16:20]))
	default:
		if len(quoted) < ipv6Header || quoted[0]>>4 != 6 || quoted[6] != protoTCP {
			return Answer{}
		}
		header = ipv6Header
		to = netip.AddrFrom16([16]byte(quoted[24:40]))
		if to.Is4In6() {
			return Answer{}
		}
	}
	if header < ipv4Header || len(quoted) < header+8 {
		return Answer{}
	}
	tcp := quoted[header:]
	return Answer{
		Kind: Error, Target: netip.AddrPortFrom(to, binary.BigEndian.Uint16(tcp[2:])), Port: binary.BigEndian.Uint16(tcp),
		Seq: binary.BigEndian.Uint32(tcp[4:]), Type: b[0], Code: b[1], From: from,
	}
}
