package inventory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"relaysweep/report"
)

// A disk of three megabytes, in a mount namespace that the other process has to itself, runs full.
func TestADiskThatIsFull(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDoes+"=full", childArgs+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.Output()
	switch {
	case errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || strings.HasPrefix(string(out), "no tmpfs"):
		t.Skipf("needs the right to mount in a namespace: %v %s", err, out)
	case err != nil || !strings.HasSuffix(string(out), "done\n"):
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// fillDisk is the other process.
func fillDisk() {
	dir := os.Getenv(childArgs)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=3m"); err != nil {
		fmt.Println("no tmpfs:", err)
		os.Exit(1)
	}
	if err := tryFullDisk(dir); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println("done")
}

func tryFullDisk(dir string) error {
	ctx := context.Background()
	name, ballast := filepath.Join(dir, "inventory.db"), filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		return err
	}
	s, err := Open(ctx, name)
	if err != nil {
		return err
	}
	about := report.Scan{ID: "full", Vantage: "internet", Started: at(1)}
	w, err := s.Begin(ctx, about, "", KindScan)
	if err != nil {
		return err
	}
	added := make(map[string]bool)
	var full error
	for n := 0; n < 20000 && full == nil; n++ {
		var stored []string
		var errs []error
		stored, errs = addSome(w, 8*n)
		for _, a := range stored {
			added[a] = true
		}
		if full = errors.Join(errs...); full != nil {
			full = errs[0]
		}
	}
	if full == nil {
		return errors.New("the disk was never full")
	}
	fmt.Println(len(added), "were stored, then:", full)
	if !strings.Contains(full.Error(), "the disk is full: make room; what was stored stays") || strings.Contains(full.Error(), "\n") {
		return errors.New("that says nothing of a full disk")
	}
	there := func(s *Store) error {
		i, err := s.Find(ctx, "full")
		if err != nil {
			return err
		}
		findings, _, err := s.Findings(ctx, i)
		if err != nil {
			return err
		}
		got := make(map[string]bool)
		for i := range findings {
			got[findings[i].Addr.String()] = true
		}
		for a := range added {
			if !got[a] {
				return fmt.Errorf("%s was stored, and is not there", a)
			}
		}
		return nil
	}
	if err := there(s); err != nil {
		return fmt.Errorf("while it is full: %w", err)
	}
	// Nobody else uses it: it is closed, and opened again while the disk is full.
	w.Close()
	s.Close()
	if s, err = Open(ctx, name); err != nil {
		return fmt.Errorf("it does not open while the disk is full: %w", err)
	}
	if err := there(s); err != nil {
		return fmt.Errorf("opened while it is full: %w", err)
	}
	if w, err = s.Begin(ctx, about, "", KindScan); err != nil {
		return fmt.Errorf("gone on while it is full: %w", err)
	}
	if err := os.Remove(ballast); err != nil {
		return err
	}
	stored, errs := addSome(w, 1<<20) // the same writer goes on
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	for _, a := range stored {
		added[a] = true
	}
	w.Close()
	if err := there(s); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	var said string
	if err := s.db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&said); err != nil || said != "ok" {
		return fmt.Errorf("integrity_check: %s, %w", said, err)
	}
	return s.Close()
}

// addSome adds eight findings, one after the other.
func addSome(w *Scan, from int) (stored []string, errs []error) {
	for n := range 8 {
		a := endpointAt(from + n).String()
		if err := w.Add(found(a, false, at(1))); err != nil {
			errs = append(errs, err)
			continue
		}
		stored = append(stored, a)
	}
	return stored, errs
}

// A file, or the folder of one, that we may not write to.
func TestAFileThatMayNotBeWritten(t *testing.T) {
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip("needs setpriv (apt-get install util-linux)")
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "inventory.db")
	made(t, name)
	try := func(name string) string {
		cmd := exec.Command(os.Args[0])
		if os.Getuid() == 0 { // whom no permission stops
			cmd = exec.Command(setpriv, "--bounding-set=-all", "--inh-caps=-all", os.Args[0])
		}
		cmd.Env = append(os.Environ(), childDoes+"=open", childArgs+"="+name)
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	for _, tt := range []struct {
		name      string
		file, dir os.FileMode
		open      string
	}{
		{"a file that nobody may read", 0, 0o700, name},
		{"a file that nobody may write", 0o400, 0o700, name},
		{"a folder that nobody may write", 0o600, 0o500, filepath.Join(dir, "other.db")},
		{"a folder that nobody may enter", 0o600, 0, name},
	} {
		if err := errors.Join(os.Chmod(name, tt.file), os.Chmod(dir, tt.dir)); err != nil {
			t.Fatal(err)
		}
		out := try(tt.open)
		if err := errors.Join(os.Chmod(dir, 0o700), os.Chmod(name, 0o600)); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out, "permission denied (--inventory names another file)") || strings.Count(out, "\n") != 1 {
			t.Errorf("%s: got %q", tt.name, out)
		}
	}
	if out := try(name); out != "done\n" {
		t.Errorf("a file that all is allowed with: got %q", out)
	}
}
