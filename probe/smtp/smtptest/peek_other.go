//go:build !unix || aix || solaris || illumos

package smtptest

import "net"

// peek is not implemented on this system.
func peek(net.Conn) (arrived, ok bool) { return false, false }
