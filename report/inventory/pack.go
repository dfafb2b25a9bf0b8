package inventory

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"relaysweep/probe"
	"relaysweep/report"
)

// packer makes small of what is stored, and reads it again. JSON, so that a later version can read what an earlier one
// wrote, in Zstandard (RFC 8878), so that a finding takes little room.
type packer struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

// maxUnpacked bounds what is unpacked: an inventory may come from elsewhere.
const maxUnpacked = 64 << 20

func newPacker() (*packer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<17))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true))
	return &packer{enc, dec}, err
}

func (p *packer) close() {
	p.enc.Close()
	p.dec.Close()
}

func (p *packer) pack(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return p.enc.EncodeAll(b, make([]byte, 0, len(b)/4)), nil
}

var errPacked = errors.New("what is stored cannot be read")

func (p *packer) unpack(b []byte, v any) error {
	b, err := p.dec.DecodeAll(b, nil)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errPacked, err)
	}
	return nil
}

// digest is what is stored of a finding beside its evidence.
type digest struct {
	Finding probe.Finding
	Judged  report.Judgement
}

// sameness is a hash of what a change would be told of: two findings that share it are the same to a person.
func sameness(d *digest) ([]byte, error) {
	f, j := &d.Finding, &d.Judged
	var tls probe.TLS
	if f.TLS != nil {
		tls = probe.TLS{Mode: f.TLS.Mode, Version: f.TLS.Version, SHA256: f.TLS.SHA256, Error: f.TLS.Error}
	}
	b, err := json.Marshal([]any{f.Protocol, f.Greeting, f.Extensions, tls, f.Service, f.Behind, f.Source, f.Injected, f.EndsData, f.Crowd, j.Verdict, j.Class, j.Vectors})
	sum := sha256.Sum256(b)
	return sum[:16], err
}
