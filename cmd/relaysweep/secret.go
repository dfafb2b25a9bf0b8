package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

const maxSecret = 4 << 10 // bytes

// secret reads a password, or what a webhook is signed with, from a file that nobody else may read: the first line.
func secret(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	shown := relative(name)
	if info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" && !credential(name) {
		return nil, hint(fmt.Errorf("%s: others may read the secret", shown), "chmod 600 "+shown)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > maxSecret:
		return nil, fmt.Errorf("%s: larger than %d bytes", shown, maxSecret)
	}
	if b = bytes.TrimRight(b, "\r\n"); len(b) == 0 {
		return nil, fmt.Errorf("%s: no secret in it", shown)
	}
	return b, nil
}

// credential reports whether a file is one that systemd passes to a service. It guards these in its own way, by an
// access list that shows as the group's rights.
func credential(file string) bool {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	return dir != "" && filepath.Dir(file) == filepath.Clean(dir)
}
