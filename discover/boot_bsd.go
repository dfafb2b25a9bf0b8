//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package discover

import "golang.org/x/sys/unix"

// bootID tells one run of this machine from another; 0: it cannot be told. Setting the clock may change it, which costs
// another look.
func bootID() uint64 {
	t, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return 0
	}
	return uint64(t.Nano())
}
