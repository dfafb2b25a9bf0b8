package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"relaysweep/probe/smtp/smtptest"
)

// A disk that cannot hold a scan's state is refused before anything is sent.
func TestFullDisk(t *testing.T) {
	needLoopback(t)
	v := &victim{t: t, dir: t.TempDir(), servers: make(map[string]*server)}
	if err := unix.Mount("tmpfs", v.dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("needs root, for a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(v.dir, 0); err != nil {
			t.Error(err)
		}
	})
	d, err := smtptest.Parse("closed", strings.NewReader(victims["closed"]))
	if err != nil {
		t.Fatal(err)
	}
	const endpoint = "127.10.87.1:2525"
	s, err := startServer(d, endpoint, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	// A million targets have 384 KiB of states.
	cmd := v.command("scan", "-p", "2525", "--rate", "1", "127.0.0.0/12")
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	err = cmd.Run()
	want := "relaysweep: the scan's state cannot be stored: "
	if code := cmd.ProcessState.ExitCode(); code != exitUsage || out.Len() > 0 || !strings.HasPrefix(talk.String(), want) || !strings.Contains(talk.String(), fmt.Sprint(unix.ENOSPC)) {
		t.Errorf("exit code %d, %v\n%s%s", code, err, out.String(), talk.String())
	}
	if err := settle(endpoint, s); err != nil {
		t.Fatal(err)
	}
	if n := s.Score().Connections; n != 0 || len(v.audit()) != 0 {
		t.Errorf("it was touched %d times", n)
	}
}
