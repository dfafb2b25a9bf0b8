package discover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A further source is another address or another port than the vantage's own, from which a firewall or a server may let
// through what it refuses to others: "permit tcp any eq 25 any" was written for answers, and lets everyone in who sends
// from port 25. It is a netip.AddrPort: without a port, any port of that address; without an address, that port of the
// vantage's own; the zero AddrPort is the vantage's own source.

// ErrSource is wrapped where a source cannot be used. That is our own trouble and tells nothing of the target.
var ErrSource = errors.New("the source cannot be used")

// ParseSource reads a further source: an address, address:port, or :port.
func ParseSource(text string) (netip.AddrPort, error) {
	bad := fmt.Errorf("%q is not a source: write it like 203.0.113.77, 203.0.113.77:25, [2001:db8::77]:25, or :25 for the port alone", text)
	if a, err := netip.ParseAddr(text); err == nil {
		return usable(netip.AddrPortFrom(a.Unmap(), 0), bad)
	}
	if port, ok := strings.CutPrefix(text, ":"); ok {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return netip.AddrPort{}, bad
		}
		return netip.AddrPortFrom(netip.Addr{}, uint16(n)), nil
	}
	a, err := netip.ParseAddrPort(text)
	if err != nil || a.Port() == 0 {
		return netip.AddrPort{}, bad
	}
	return usable(netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), bad)
}

// usable refuses addresses that nothing is sent from, and zones: no Target has one.
func usable(a netip.AddrPort, bad error) (netip.AddrPort, error) {
	if a.Addr().IsUnspecified() || a.Addr().IsMulticast() || a.Addr().Zone() != "" {
		return netip.AddrPort{}, bad
	}
	return a, nil
}

// SourceText writes a source as ParseSource reads it, and the vantage's own as the empty text.
func SourceText(source netip.AddrPort) string {
	switch {
	case source == netip.AddrPort{}:
		return ""
	case source.Port() == 0:
		return source.Addr().String()
	case !source.Addr().IsValid():
		return ":" + strconv.Itoa(int(source.Port()))
	}
	return source.String()
}

// SourceFits reports whether a target can be reached from a source: both must be of one address family.
func SourceFits(source netip.AddrPort, to netip.Addr) bool {
	return !source.Addr().IsValid() || source.Addr().Is4() == to.Is4()
}

// CheckSource binds once as a connection from source to an address would, and sends nothing. own is the vantage's own
// address, or the zero Addr.
func CheckSource(own netip.Addr, source netip.AddrPort, to netip.Addr) error {
	local, err := localEnd(own, source, to)
	if err != nil {
		return err
	}
	if !local.IsValid() {
		return nil
	}
	return bindOnce(local)
}

// localEnd is what a connection is bound to; the zero AddrPort leaves it to the kernel. A port without an address gets
// the one that the kernel would choose: bound to the wildcard it would be refused wherever any program listens on that
// port, and many machines have a mail server on loopback.
func localEnd(own netip.Addr, source netip.AddrPort, to netip.Addr) (netip.AddrPort, error) {
	switch {
	case source.Addr().IsValid():
		if !SourceFits(source, to) {
			return netip.AddrPort{}, fmt.Errorf("%w: %s is of another family than %s", ErrSource, SourceText(source), to)
		}
		return source, nil
	case own.IsValid() && own.Is4() == to.Is4():
		return netip.AddrPortFrom(own, source.Port()), nil
	case source.Port() == 0:
		return netip.AddrPort{}, nil
	}
	// Connecting a datagram socket asks the routing table, and sends nothing.
	c, err := net.Dial("udp", netip.AddrPortFrom(to, source.Port()).String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer c.Close()
	a := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	return netip.AddrPortFrom(a, source.Port()), nil
}

// DialFrom connects to a target from another source; the zero AddrPort is the Dialer's own. From a fixed port the
// connection is ended by a reset, so that nothing of it is left that would keep the port from that target.
func (d *Dialer) DialFrom(ctx context.Context, t Target, source netip.AddrPort) (net.Conn, error) {
	if source == (netip.AddrPort{}) {
		return d.Dial(ctx, t)
	}
	if err := d.scope.permit(t.addr.Addr()); err != nil { // before the routing table is asked about it
		return nil, err
	}
	local, err := localEnd(d.own(), source, t.addr.Addr())
	if err != nil {
		return nil, err
	}
	dialer := d.dialer
	dialer.LocalAddr = net.TCPAddrFromAddrPort(local)
	if source.Port() == 0 {
		c, err := dialer.DialContext(ctx, "tcp", t.addr.String())
		return c, sourceError(err)
	}
	dialer.ControlContext = func(ctx context.Context, network, address string, raw syscall.RawConn) error {
		if err := d.dialer.ControlContext(ctx, network, address, raw); err != nil {
			return err
		}
		var failed error
		if err := raw.Control(func(fd uintptr) { failed = sharePort(fd) }); err != nil {
			return err
		}
		return failed
	}
	// The last connection from that port to that target may still be on its way out: no event tells when it is gone.
	for wait := 20 * time.Millisecond; ; wait *= 2 {
		c, err := dialer.DialContext(ctx, "tcp", t.addr.String())
		if err == nil {
			return c, c.(*net.TCPConn).SetLinger(0)
		}
		if !busy(err) || wait > time.Second {
			return nil, sourceError(err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// own is the Dialer's own source address, or the zero Addr.
func (d *Dialer) own() netip.Addr {
	if l, ok := d.dialer.LocalAddr.(*net.TCPAddr); ok {
		return l.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// busy: the port is bound otherwise, or this very pair of endpoints is in use.
func busy(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// sourceError marks what failed on our own side of a connection.
func sourceError(err error) error {
	var call *os.SyscallError
	if err != nil && (busy(err) || errors.As(err, &call) && call.Syscall == "bind") {
		return fmt.Errorf("%w: %w", ErrSource, err)
	}
	return err
}
