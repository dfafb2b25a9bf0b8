//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package discover

// sharePort: where it is not known how many connections can leave from one port, one at a time does.
func sharePort(uintptr) error { return nil }
