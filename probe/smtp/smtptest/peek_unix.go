//go:build unix && !aix && !solaris && !illumos

package smtptest

import (
	"net"
	"syscall"
)

// peek reports whether bytes of the client wait in the kernel, without reading
// them. ok is false when conn cannot tell.
func peek(conn net.Conn) (arrived, ok bool) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return false, false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false, false
	}
	raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		arrived = err == nil && n > 0
	})
	return arrived, true
}
