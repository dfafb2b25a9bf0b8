//go:build !linux

package discover

import (
	"net"
	"net/netip"
	"time"
)

// connect completes one TCP handshake and closes it. Without an error queue, prohibited shows as unreachable.
func connect(to netip.AddrPort, source netip.Addr, timeout time.Duration) (State, string) {
	d := net.Dialer{Timeout: timeout}
	if source.IsValid() && source.Is4() == to.Addr().Is4() {
		d.LocalAddr = &net.TCPAddr{IP: source.AsSlice()}
	}
	c, err := d.Dial("tcp", to.String())
	if err == nil {
		c.Close()
	}
	return stateOf(err, timeout)
}
