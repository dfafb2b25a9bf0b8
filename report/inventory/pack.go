package inventory

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
	"github.com/klauspost/compress/zstd"

	"relaysweep/probe"
	"relaysweep/report"
)

// packer makes small of what is stored, and reads it again: what names its fields, so that a later version can read what
// an earlier one wrote, in Zstandard (RFC 8878). Scans are JSON; findings are CBOR (RFC 8949), as there are many of them
// and it takes a third of the time, and what strangers said stays as it was to the byte.
type packer struct {
	enc   *zstd.Encoder
	dec   *zstd.Decoder
	write cbor.EncMode
	read  cbor.DecMode
}

// maxUnpacked bounds what is unpacked: an inventory may come from elsewhere.
const maxUnpacked = 64 << 20

func newPacker() (*packer, error) {
	var p packer
	var err error
	if p.write, err = (cbor.EncOptions{Time: cbor.TimeRFC3339Nano, TextMarshaler: cbor.TextMarshalerTextString}).EncMode(); err != nil {
		return nil, err
	}
	if p.read, err = (cbor.DecOptions{TextUnmarshaler: cbor.TextUnmarshalerTextString, UTF8: cbor.UTF8DecodeInvalid}).DecMode(); err != nil {
		return nil, err
	}
	if p.enc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<17)); err != nil {
		return nil, err
	}
	p.dec, err = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true))
	return &p, err
}

func (p *packer) close() {
	p.enc.Close()
	p.dec.Close()
}

// pack packs what is known of a scan, packFinding what is known of a finding.
func (p *packer) pack(v any) ([]byte, error) { return p.small(json.Marshal(v)) }

func (p *packer) packFinding(v any) ([]byte, error) { return p.small(p.write.Marshal(v)) }

func (p *packer) small(b []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return p.enc.EncodeAll(b, make([]byte, 0, len(b)/4)), nil
}

var errPacked = errors.New("what is stored cannot be read")

func (p *packer) unpack(b []byte, v any) error { return p.large(b, v, json.Unmarshal) }

func (p *packer) unpackFinding(b []byte, v any) error { return p.large(b, v, p.read.Unmarshal) }

func (p *packer) large(b []byte, v any, read func([]byte, any) error) error {
	b, err := p.dec.DecodeAll(b, nil)
	if err == nil {
		err = read(b, v)
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

// sameness is a hash of what a change would be told of, behind the version of the judgement: two findings that share it
// are the same to a person.
func sameness(d *digest) ([]byte, error) {
	f, j := &d.Finding, &d.Judged
	var tls probe.TLS
	if f.TLS != nil {
		tls = probe.TLS{Mode: f.TLS.Mode, Version: f.TLS.Version, SHA256: f.TLS.SHA256, Error: f.TLS.Error}
	}
	b, err := json.Marshal([]any{f.Protocol, f.Greeting, f.Extensions, tls, f.Service, f.Behind, f.Source, f.Injected, f.EndsData, f.Crowd, j.Verdict, j.Class, j.Vectors})
	sum := sha256.Sum256(b)
	return append([]byte{report.JudgementVersion}, sum[:16]...), err
}

// presentSameness reports whether a sameness is of the present judgement. One of another may hide what is judged anew.
func presentSameness(s string) bool { return len(s) == 17 && s[0] == report.JudgementVersion }
