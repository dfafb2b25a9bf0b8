//go:build !linux

package source

import (
	"fmt"
	"runtime"
)

func neighbours(Query, *collector) error {
	return fmt.Errorf("the neighbour table can be read on Linux alone, not on %s: name the hosts in a list (-iL)", runtime.GOOS)
}
