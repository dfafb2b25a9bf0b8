//go:build unix

package discover

import (
	"errors"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapped is a file in memory: what is written there is the kernel's, and outlives this process.
type mapped struct {
	words []uint64
	bytes []byte
}

// openMapped opens a file of a size, which is made of zeros if it is not there yet.
func openMapped(name string, size int) (*mapped, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if old := info.Size(); old < int64(size) {
		// Zeros that are written take room on the disk: a page that could not be had later would end the process.
		if _, err := f.Seek(0, io.SeekEnd); err != nil {
			return nil, err
		}
		if _, err := io.CopyN(f, zeros{}, int64(size)-old); err != nil {
			return nil, errors.Join(err, f.Truncate(old))
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
	}
	b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return &mapped{unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(b))), size/8), b}, nil
}

func (m *mapped) sync() error { return os.NewSyscallError("msync", unix.Msync(m.bytes, unix.MS_SYNC)) }

func (m *mapped) close() error { return os.NewSyscallError("munmap", unix.Munmap(m.bytes)) }

// zeros never ends.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
