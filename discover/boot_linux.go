package discover

import (
	"hash/fnv"
	"os"
)

// bootID tells one run of this machine from another; 0: it cannot be told.
func bootID() uint64 {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return 0
	}
	h := fnv.New64a()
	h.Write(b)
	return h.Sum64()
}
