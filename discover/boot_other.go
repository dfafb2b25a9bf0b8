//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package discover

// bootID tells one run of this machine from another; 0: it cannot be told.
func bootID() uint64 { return 0 }
