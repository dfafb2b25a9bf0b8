//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package discover

import "golang.org/x/sys/unix"

// sharePort lets many connections leave from one port. BSD wants SO_REUSEPORT for that.
func sharePort(fd uintptr) error {
	if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
}
