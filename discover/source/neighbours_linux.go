package source

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// States of a neighbour that has answered (linux/neighbour.h): reachable, stale, delay, probe, permanent.
const nudKnown = 0x02 | 0x04 | 0x08 | 0x10 | 0x80

const (
	ndmsgLen = 12 // struct ndmsg
	ndaDst   = 1  // NDA_DST
)

// neighbours takes the hosts that this machine has lately spoken to on its own links (ARP and ND).
func neighbours(q Query, c *collector) error {
	index := 0
	if q.Where != "" {
		i, err := net.InterfaceByName(q.Where)
		if err != nil {
			return err
		}
		index = i.Index
	}
	b, err := syscall.NetlinkRIB(syscall.RTM_GETNEIGH, syscall.AF_UNSPEC)
	if err != nil {
		return fmt.Errorf("the neighbour table cannot be read: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return fmt.Errorf("the neighbour table cannot be read: %w", err)
	}
	ifaces := make(map[int]string)
	for _, m := range messages {
		if m.Header.Type != syscall.RTM_NEWNEIGH {
			continue
		}
		n, err := parseNeighbour(m.Data)
		if err != nil {
			return err
		}
		if !n.addr.IsValid() || n.state&nudKnown == 0 || index != 0 && n.index != index || n.addr.IsMulticast() {
			continue
		}
		if _, known := ifaces[n.index]; !known {
			ifaces[n.index] = "?"
			if i, err := net.InterfaceByIndex(n.index); err == nil {
				ifaces[n.index] = i.Name
			}
		}
		if err := c.host(n.addr, "neighbours:"+ifaces[n.index]); err != nil {
			return err
		}
	}
	return nil
}

type neighbour struct {
	addr  netip.Addr // not valid for other families, such as a bridge's
	index int
	state uint16
}

// parseNeighbour reads a struct ndmsg and its attributes.
func parseNeighbour(b []byte) (n neighbour, err error) {
	short := errors.New("the neighbour table holds a message that is too short")
	if len(b) < ndmsgLen {
		return n, short
	}
	family := b[0]
	n.index, n.state = int(int32(binary.NativeEndian.Uint32(b[4:]))), binary.NativeEndian.Uint16(b[8:])
	for b = b[ndmsgLen:]; len(b) >= syscall.SizeofRtAttr; {
		size, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if size < syscall.SizeofRtAttr || size > len(b) {
			return n, short
		}
		if kind == ndaDst && (family == syscall.AF_INET || family == syscall.AF_INET6) {
			n.addr, _ = netip.AddrFromSlice(b[syscall.SizeofRtAttr:size])
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return n, nil
}
