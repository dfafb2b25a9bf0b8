package packet

import (
	"encoding/binary"
	"net/netip"
)

// MAC is an Ethernet address.
type MAC [6]byte

// Broadcast is everyone on the link.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// EtherTypes.
const (
	EtherIPv4 = 0x0800
	EtherARP  = 0x0806
	EtherIPv6 = 0x86dd
)

// EthernetLen is the length of an Ethernet header.
const EthernetLen = 14

// PutEthernet writes an Ethernet header.
func PutEthernet(b []byte, to, from MAC, etherType uint16) {
	copy(b, to[:])
	copy(b[6:], from[:])
	binary.BigEndian.PutUint16(b[12:], etherType)
}

// SolicitLen holds any frame that PutSolicit writes.
const SolicitLen = EthernetLen + ipv6Header + 32

// PutSolicit writes the Ethernet frame that asks who has an address: ARP (RFC 826) or a neighbour solicitation (RFC
// 4861 4.3). It returns the frame's length. source and address are of one family.
func PutSolicit(b []byte, from MAC, source, address netip.Addr) int {
	b = b[:SolicitLen]
	clear(b)
	if source.Is4() {
		PutEthernet(b, Broadcast, from, EtherARP)
		a := b[EthernetLen:]
		copy(a, []byte{0, 1, 8, 0, 6, 4, 0, 1}) // Ethernet, IPv4, their lengths, a request
		copy(a[8:], from[:])
		s, t := source.As4(), address.As4()
		copy(a[14:], s[:])
		copy(a[24:], t[:])
		return EthernetLen + 28
	}
	s, t := source.As16(), address.As16()
	group := [16]byte{0xff, 0x02, 11: 1, 12: 0xff, 13: t[13], 14: t[14], 15: t[15]} // solicited-node (RFC 4291 2.7.1)
	PutEthernet(b, MAC{0x33, 0x33, group[12], group[13], group[14], group[15]}, from, EtherIPv6)
	ip := b[EthernetLen:]
	ip[0] = 0x60
	binary.BigEndian.PutUint16(ip[4:], 32)
	ip[6], ip[7] = protoICMPv6, 255
	copy(ip[8:], s[:])
	copy(ip[24:], group[:])
	icmp := ip[ipv6Header:]
	icmp[0] = 135
	copy(icmp[8:], t[:])
	icmp[24], icmp[25] = 1, 1 // source link-layer address
	copy(icmp[26:], from[:])
	acc := sum(ip[8:40], 32+protoICMPv6)
	binary.BigEndian.PutUint16(icmp[2:], fold(sum(icmp[:32], acc)))
	return EthernetLen + ipv6Header + 32
}

// ParseARP reads an ARP reply, from behind the Ethernet header: who has which address.
func ParseARP(b []byte) (addr netip.Addr, mac MAC, ok bool) {
	if len(b) < 28 || binary.BigEndian.Uint64(b) != 0x0001080006040002 {
		return addr, mac, false
	}
	return netip.AddrFrom4([4]byte(b[14:18])), MAC(b[8:14]), true
}

// ParseAdvert reads a neighbour advertisement, from the IPv6 header on (RFC 4861 4.4). One that came through a router is
// refused (7.1.2), and so is one without the link-layer address.
func ParseAdvert(b []byte) (addr netip.Addr, mac MAC, ok bool) {
	if len(b) < ipv6Header || b[0]>>4 != 6 || b[7] != 255 {
		return addr, mac, false
	}
	_, proto, p, ok := ip(b)
	if !ok || proto != protoICMPv6 || len(p) < 24 || p[0] != 136 || p[1] != 0 {
		return addr, mac, false
	}
	addr = netip.AddrFrom16([16]byte(p[8:24]))
	for o := p[24:]; len(o) >= 8; {
		n := int(o[1]) * 8
		if n == 0 || n > len(o) {
			break
		}
		if o[0] == 2 && n == 8 && !addr.IsMulticast() && !addr.Is4In6() {
			return addr, MAC(o[2:8]), true
		}
		o = o[n:]
	}
	return netip.Addr{}, mac, false
}
