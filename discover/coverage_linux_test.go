package discover

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A disk without room for the whole plan is an error at once, and what room was taken is given back.
func TestCoverageOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("needs root, for a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	name := filepath.Join(dir, "states")
	large := mustPlan(t, mustScope(t, owned("10.0.0.0/12")), 1, 25) // 384 KiB
	c, err := OpenCoverage(large, name)
	if c != nil || !errors.Is(err, unix.ENOSPC) || !strings.HasPrefix(err.Error(), "the scan's state cannot be stored: ") {
		t.Fatalf("got %v, %v, want %v", c, err, unix.ENOSPC)
	}
	if info, err := os.Stat(name); err != nil || info.Size() != 0 {
		t.Errorf("got %v, %v, want an empty file", info, err)
	}
	small := mustPlan(t, mustScope(t, owned("10.0.0.0/16")), 1, 25) // 24 KiB
	if c, err = OpenCoverage(small, name); err != nil {
		t.Fatalf("with room enough: %v", err)
	}
	for i := range small.size() {
		c.note(i, Unreachable) // no page is missing
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
