//go:build !linux

package discover

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// connect completes one TCP handshake and closes it. Without an error queue, prohibited shows as unreachable.
// It leaves from local, or from where the kernel likes.
func connect(to, local netip.AddrPort, timeout time.Duration) (State, string) {
	d := net.Dialer{Timeout: timeout}
	if local.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(local)
	}
	if local.Port() != 0 {
		d.Control = func(_, _ string, raw syscall.RawConn) error {
			var failed error
			return errors.Join(raw.Control(func(fd uintptr) { failed = sharePort(fd) }), failed)
		}
	}
	c, err := d.Dial("tcp", to.String())
	if err == nil {
		if local.Port() != 0 {
			c.(*net.TCPConn).SetLinger(0)
		}
		c.Close()
	}
	return stateOf(err, timeout)
}

// bindOnce binds to a source, and sends nothing.
func bindOnce(local netip.AddrPort) error {
	l, err := net.Listen("tcp", local.String())
	if err != nil {
		return sourceError(err)
	}
	return l.Close()
}
