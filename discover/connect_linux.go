package discover

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// connect completes one TCP handshake and closes it. On Linux the socket's error queue tells which ICMP message ended
// a handshake (ip(7), IP_RECVERR), so that prohibited and unreachable are told apart. Go's poller waits for it.
// It leaves from local, or from where the kernel likes.
func connect(to, local netip.AddrPort, timeout time.Duration) (State, string) {
	fd, err := newSocket(to.Addr(), local)
	if err != nil {
		return Failed, err.Error()
	}
	f := os.NewFile(uintptr(fd), "tcp")
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return Failed, err.Error()
	}
	if err := unix.Connect(fd, sockaddr(to)); err != nil && err != unix.EINPROGRESS {
		return icmpState(errorQueue(fd), err, timeout)
	}
	if err := f.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return Failed, err.Error()
	}
	var soerr error
	var icmp *unix.SockExtendedErr
	settled := func(fd uintptr) (ended bool) {
		ended, icmp, soerr = outcome(int(fd))
		return ended
	}
	if err := raw.Write(settled); err != nil {
		// Ask once more: on a busy machine the timer may be seen before the answer.
		late := false
		if cerr := raw.Control(func(fd uintptr) { late = settled(fd) }); cerr != nil || !late {
			return stateOf(err, timeout)
		}
	}
	if soerr == nil && selfConnected(fd, to) {
		return Failed, "connected to itself"
	}
	return icmpState(icmp, soerr, timeout)
}

// newSocket makes a socket that connects without blocking, tells of ICMP messages, and leaves from local if that is valid.
func newSocket(to netip.Addr, local netip.AddrPort) (fd int, err error) {
	family, level, option := unix.AF_INET, unix.IPPROTO_IP, unix.IP_RECVERR
	if to.Is6() {
		family, level, option = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, option, 1)); err == nil && local.IsValid() {
		err = bind(fd, local)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// outcome is how a handshake ended, if it has, and the ICMP message that ended it, if one did.
func outcome(fd int) (ended bool, icmp *unix.SockExtendedErr, err error) {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		return true, nil, err
	case n != 0:
		return true, errorQueue(fd), unix.Errno(n)
	}
	_, err = unix.Getpeername(fd)
	return err != unix.ENOTCONN, nil, nil
}

// bind binds to a source. From a fixed port many connections leave at once, each to another target, and each is ended by
// a reset: a TIME_WAIT of ours would keep the next one to that target from leaving.
func bind(fd int, local netip.AddrPort) error {
	if local.Port() != 0 {
		if err := sharePort(uintptr(fd)); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
		if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	} else {
		// The port is chosen when the target is known, so that it is used up by target and not for all. Where the
		// kernel cannot (before 4.2), it is chosen now.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}
	return os.NewSyscallError("bind", unix.Bind(fd, sockaddr(local)))
}

// sharePort lets many connections leave from one port.
func sharePort(fd uintptr) error {
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
}

// bindOnce binds as connect would, and sends nothing.
func bindOnce(local netip.AddrPort) error {
	family := unix.AF_INET
	if local.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	return sourceError(bind(fd, local))
}

// selfConnected: an ephemeral port that happens to be the target's, on the same address, answers its own SYN
// (simultaneous open, RFC 9293 3.5). It proves nothing.
func selfConnected(fd int, to netip.AddrPort) bool {
	local, _ := unix.Getsockname(fd)
	switch l := local.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(l.Addr), uint16(l.Port)) == to
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(l.Addr), uint16(l.Port)) == to
	}
	return false
}

// icmpState tells what ended a handshake, of the ICMP message if there was one and else of the errno. A host refuses a
// TCP port with a reset (RFC 9293 3.10.7.1): port and protocol unreachable are how firewalls reject, and what lies
// behind is not known.
func icmpState(e *unix.SockExtendedErr, err error, timeout time.Duration) (State, string) {
	state, reason := stateOf(err, timeout)
	switch {
	case e == nil:
	case prohibited(e):
		return Prohibited, "icmp administratively prohibited"
	case rejected(e):
		return Prohibited, "icmp port or protocol unreachable: a firewall's reject"
	case state != Unreachable:
		return Unreachable, fmt.Sprintf("icmp type %d code %d", e.Type, e.Code)
	}
	return state, reason
}

// prohibited: IPv4 type 3 codes 9, 10 and 13 (RFC 1122 3.2.2.1, RFC 1812 5.2.7.1); IPv6 type 1 code 1 and its subsets 5
// and 6 (RFC 4443 3.1).
func prohibited(e *unix.SockExtendedErr) bool {
	if e.Origin == unix.SO_EE_ORIGIN_ICMP {
		return e.Type == 3 && (e.Code == 9 || e.Code == 10 || e.Code == 13)
	}
	return e.Type == 1 && (e.Code == 1 || e.Code == 5 || e.Code == 6)
}

// rejected: IPv4 type 3 codes 2 and 3, IPv6 type 1 code 4.
func rejected(e *unix.SockExtendedErr) bool {
	if e.Origin == unix.SO_EE_ORIGIN_ICMP {
		return e.Type == 3 && (e.Code == 2 || e.Code == 3)
	}
	return e.Type == 1 && e.Code == 4
}

// errorQueue reads one extended error that an ICMP message made, if there is any.
func errorQueue(fd int) *unix.SockExtendedErr {
	// Most handshakes end without one, so that is to make no garbage, as unix.Recvmsg would.
	var packet [128]byte
	var control [512]byte
	iov := unix.Iovec{Base: &packet[0]}
	iov.SetLen(len(packet))
	msg := unix.Msghdr{Iov: &iov, Control: &control[0]}
	msg.SetIovlen(1)
	msg.SetControllen(len(control))
	if _, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)), unix.MSG_ERRQUEUE); errno != 0 {
		return nil
	}
	msgs, err := unix.ParseSocketControlMessage(bytes.Clone(control[:msg.Controllen]))
	if err != nil {
		return nil
	}
	for _, m := range msgs {
		isErr := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR || m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if isErr && len(m.Data) >= 16 && (m.Data[4] == unix.SO_EE_ORIGIN_ICMP || m.Data[4] == unix.SO_EE_ORIGIN_ICMP6) {
			return &unix.SockExtendedErr{Errno: uint32(m.Data[0]), Origin: m.Data[4], Type: m.Data[5], Code: m.Data[6]}
		}
	}
	return nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
