package discover

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"relaysweep/discover/packet"
)

// This file is the sockets of the SYN engine.

// burst is how many packets one system call carries.
const burst = 128

// message is the kernel's struct mmsghdr.
type message struct {
	unix.Msghdr
	n uint32
}

// outlet sends packets by one way: Ethernet frames to an interface, or IP packets that the kernel routes.
type outlet struct {
	fd       int
	ethernet bool
	n        int           // packets that wait
	indexes  [burst]uint64 // of their targets
	made     [burst]frame  // what the last packets there were made of
	frames   [burst][packet.EthernetLen + packet.MaxLen + 2]byte
	vectors  [burst]unix.Iovec
	messages [burst]message
	to4      [burst]unix.RawSockaddrInet4
	to6      [burst]unix.RawSockaddrInet6
}

// frame is all of a frame that does not change from target to target.
type frame struct {
	of   *packet.SYN
	next packet.MAC
}

// htons turns a number into network order.
func htons(n uint16) uint16 { return n<<8 | n>>8 }

// newFrames opens an outlet to an interface, past the queueing disciplines and the machine's own packet filter.
func newFrames(link int) (*outlet, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	o := &outlet{fd: fd, ethernet: true}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: link}); err != nil {
		o.close()
		return nil, os.NewSyscallError("bind", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1) // slower without
	o.lay()
	return o, nil
}

// newRaw opens an outlet to the kernel's routing.
func newRaw(is4 bool) (*outlet, error) {
	family := unix.AF_INET6
	if is4 {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW) // the header is ours (raw(7))
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	o := &outlet{fd: fd}
	o.lay()
	return o, nil
}

func (o *outlet) lay() {
	_ = unix.SetsockoptInt(o.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<20)
	for i := range o.messages {
		o.vectors[i].Base = &o.frames[i][0]
		o.messages[i].Iov = &o.vectors[i]
		o.messages[i].SetIovlen(1)
	}
}

func (o *outlet) close() { unix.Close(o.fd) }

// room is where the next packet is written, from its IP header on.
func (o *outlet) room() []byte {
	if o.ethernet {
		return o.frames[o.n][packet.EthernetLen:]
	}
	return o.frames[o.n][:]
}

// put writes the packet for a target into the room.
func (o *outlet) put(t *packet.SYN, to netip.AddrPort, seq uint32) int {
	if o.made[o.n].of == t {
		return t.Change(o.room(), to, seq)
	}
	o.made[o.n] = frame{}
	return t.Put(o.room(), to, seq)
}

// add takes the packet of n bytes that was written into room.
func (o *outlet) add(n int, t *packet.SYN, w *way, next packet.MAC, to netip.Addr, index uint64) {
	o.indexes[o.n] = index
	if o.ethernet {
		if made := (frame{t, next}); o.made[o.n] != made {
			kind := uint16(packet.EtherIPv6)
			if to.Is4() {
				kind = packet.EtherIPv4
			}
			packet.PutEthernet(o.frames[o.n][:], next, w.mac, kind)
		}
		n += packet.EthernetLen
	} else {
		m := &o.messages[o.n]
		if to.Is4() {
			o.to4[o.n] = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.As4()}
			m.Name, m.Namelen = (*byte)(unsafe.Pointer(&o.to4[o.n])), unix.SizeofSockaddrInet4
		} else {
			o.to6[o.n] = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: to.As16()}
			m.Name, m.Namelen = (*byte)(unsafe.Pointer(&o.to6[o.n])), unix.SizeofSockaddrInet6
		}
	}
	o.made[o.n] = frame{t, next}
	o.vectors[o.n].SetLen(n)
	o.n++
}

// solicit asks on the link who has an address.
func (o *outlet) solicit(w *way, a netip.Addr) error {
	var b [packet.SolicitLen]byte
	n := packet.PutSolicit(b[:], w.mac, w.source, a)
	for {
		if _, err := unix.Write(o.fd, b[:n]); err != unix.EINTR {
			return os.NewSyscallError("write", err)
		}
	}
}

// flush sends what waits, and returns how many packets left. The first that could not leave and those behind it stay.
func (o *outlet) flush() (sent int, err error) {
	for sent < o.n {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(o.fd), uintptr(unsafe.Pointer(&o.messages[sent])), uintptr(o.n-sent), 0, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			err = errno
			break
		}
		sent += int(n)
	}
	o.drop(sent)
	return sent, err
}

// drop takes the first n packets away.
func (o *outlet) drop(n int) {
	for i := n; i < o.n && n > 0; i++ {
		o.made[i-n] = o.made[i]
		o.frames[i-n], o.to4[i-n], o.to6[i-n], o.indexes[i-n] = o.frames[i], o.to4[i], o.to6[i], o.indexes[i]
		o.vectors[i-n].Len = o.vectors[i].Len
		if m := &o.messages[i-n]; o.messages[i].Name != nil {
			m.Namelen = o.messages[i].Namelen
			m.Name = (*byte)(unsafe.Pointer(&o.to4[i-n]))
			if m.Namelen == unix.SizeofSockaddrInet6 {
				m.Name = (*byte)(unsafe.Pointer(&o.to6[i-n]))
			}
		}
	}
	o.n -= n
}

// inlet receives what may be answers.
type inlet struct {
	fd       int
	frames   [256][snap]byte
	vectors  [256]unix.Iovec
	messages [256]message
}

// snap holds the headers of any answer: of an ICMP error, with options, what it quotes.
const snap = 192

// wantedBuffer is room for what comes while we are not looking.
const wantedBuffer = 32 << 20

// newInlet opens an inlet for what a filter lets through, from one interface or, if that is 0, from all.
func newInlet(link int, etherType uint16, filter []bpf.Instruction, buffer int) (*inlet, error) {
	raw, err := bpf.Assemble(filter)
	if err != nil {
		return nil, err
	}
	// Bound only once the filter is there: nothing else comes in before.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	in := &inlet{fd: fd}
	program := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		program[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	fail := func(what string, err error) (*inlet, error) {
		in.close()
		return nil, os.NewSyscallError(what, err)
	}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}); err != nil {
		return fail("setsockopt", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1) // since Linux 4.20; the filter wants SYN-ACK and RST anyway
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer) // as much as rmem_max allows
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(etherType), Ifindex: link}); err != nil {
		return fail("bind", err)
	}
	for i := range in.messages {
		in.vectors[i].Base = &in.frames[i][0]
		in.vectors[i].SetLen(snap)
		in.messages[i].Iov = &in.vectors[i]
		in.messages[i].SetIovlen(1)
	}
	return in, nil
}

func (in *inlet) close() { unix.Close(in.fd) }

// receive hands over what is there, without waiting, and returns how many packets that were.
func (in *inlet) receive(handle func([]byte)) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(in.fd), uintptr(unsafe.Pointer(&in.messages[0])), uintptr(len(in.messages)), unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
	case unix.EAGAIN, unix.EINTR:
		return 0, nil
	default:
		return 0, errno
	}
	for i := range int(n) {
		handle(in.frames[i][:min(int(in.messages[i].n), snap)])
	}
	return int(n), nil
}

// full is how many packets a call receives at most.
func (in *inlet) full() int { return len(in.messages) }

// drops is how many packets the kernel had no room for since it was last asked.
func (in *inlet) drops() uint64 {
	st, err := unix.GetsockoptTpacketStats(in.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0
	}
	return uint64(st.Drops)
}

// answers4 lets IPv4 answers to a port through: SYN-ACK and RST, and ICMP errors of unreachable targets.
func answers4(port uint16) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: 11}, // a fragment
		bpf.LoadMemShift{Off: 0},
		bpf.LoadAbsolute{Off: 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMP, SkipTrue: 5},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_TCP, SkipTrue: 7},
		bpf.LoadIndirect{Off: 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(port), SkipTrue: 5},
		bpf.LoadIndirect{Off: 13, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x06, SkipTrue: 2, SkipFalse: 3},
		bpf.LoadIndirect{Off: 0, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 3, SkipTrue: 1},
		bpf.RetConstant{Val: snap},
		bpf.RetConstant{Val: 0},
	}
}

// answers6 is the same for IPv6, whose answers come without extension headers.
func answers6(port uint16) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMPV6, SkipTrue: 5},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_TCP, SkipTrue: 7},
		bpf.LoadAbsolute{Off: 42, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(port), SkipTrue: 5},
		bpf.LoadAbsolute{Off: 53, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x06, SkipTrue: 2, SkipFalse: 3},
		bpf.LoadAbsolute{Off: 40, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 1, SkipTrue: 1},
		bpf.RetConstant{Val: snap},
		bpf.RetConstant{Val: 0},
	}
}

// adverts lets neighbour advertisements through; replies lets ARP replies.
func adverts() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_ICMPV6, SkipTrue: 3},
		bpf.LoadAbsolute{Off: 40, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 136, SkipTrue: 1},
		bpf.RetConstant{Val: snap},
		bpf.RetConstant{Val: 0},
	}
}

func replies() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 2, SkipTrue: 1},
		bpf.RetConstant{Val: snap},
		bpf.RetConstant{Val: 0},
	}
}

// rawRights reports why raw packets cannot be sent and received here, or nil.
func rawRights() error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err == nil {
			unix.Close(fd)
			if _, err := netlink.RuleList(netlink.FAMILY_V4); err != nil {
				return fmt.Errorf("the kernel's routes cannot be read: %w", err)
			}
			return nil
		}
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return errors.New("raw packets need CAP_NET_RAW")
	}
	return fmt.Errorf("raw packets cannot be sent: %w", err)
}
