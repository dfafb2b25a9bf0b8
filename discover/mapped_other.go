//go:build !unix

package discover

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
)

// mapped is a file that is read into memory, and written back by sync.
type mapped struct {
	words []uint64
	f     *os.File
}

// openMapped opens a file of a size, which is made of zeros if it is not there yet.
func openMapped(name string, size int) (*mapped, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	m := &mapped{make([]uint64, size/8), f}
	info, err := f.Stat()
	if err == nil && info.Size() >= int64(size) {
		err = binary.Read(io.NewSectionReader(f, 0, int64(size)), binary.LittleEndian, m.words)
	} else if err == nil {
		err = m.sync()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return m, nil
}

func (m *mapped) sync() error {
	err := binary.Write(io.NewOffsetWriter(m.f, 0), binary.LittleEndian, m.words)
	return errors.Join(err, m.f.Sync())
}

func (m *mapped) close() error { return m.f.Close() }
