package discover

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"relaysweep/discover/packet"
)

// cookies are the sequence numbers of our SYNs: a keyed function of the target, so that nothing has to be kept of a
// packet to know its answer, and none can be forged by who has not seen it (as RFC 4987 3.6 does it for SYN-ACKs).
type cookies struct {
	block   cipher.Block
	in, out [aes.BlockSize]byte
}

// newKey is for the cookies of one sweep.
func newKey() []byte {
	key := make([]byte, 16)
	rand.Read(key) // never fails (crypto/rand)
	return key
}

// newCookies is for one goroutine.
func newCookies(key []byte) *cookies {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key has 16 bytes
	}
	return &cookies{block: block}
}

func (c *cookies) of(index uint64) uint32 {
	binary.LittleEndian.PutUint64(c.in[:], index)
	c.block.Encrypt(c.out[:], c.in[:])
	return binary.LittleEndian.Uint32(c.out[:])
}

// errorState tells what an ICMP or ICMPv6 error says of the target that its quotation names. A host refuses a port with a
// reset, so port and protocol unreachable are a firewall's reject.
func errorState(a packet.Answer) State {
	if a.From.Is4() {
		switch a.Code { // RFC 792, RFC 1812 5.2.7.1
		case 2, 3, 9, 10, 13:
			return Prohibited
		case 0, 1, 5, 6, 7, 8, 11, 12:
			return Unreachable
		}
		return NotAttempted // 4 asks for smaller packets, 14 and 15 speak of precedence
	}
	switch a.Code { // RFC 4443 3.1
	case 1, 4, 5, 6:
		return Prohibited
	case 0, 2, 3:
		return Unreachable
	}
	return NotAttempted
}

// Counters tell what a SYN sweep met. They are evidence, and no part of any verdict.
type Counters struct {
	Answers    atomic.Uint64 // that were the first of their target
	Again      atomic.Uint64 // that came once more
	Forged     atomic.Uint64 // that answer nothing that we sent
	Dropped    atomic.Uint64 // packets that our kernel had no room for
	Complaints atomic.Uint64 // times that the pace was halved
	Resets     atomic.Uint64 // RSTs that we sent ourselves
}

// timing learns the round trip time of a few packets, and says how long to wait for an answer.
type timing struct {
	samples [1 << 10]struct{ index, at atomic.Uint64 }
	buckets [40]atomic.Uint64 // of 2^i ns and more
}

// sampled: every sixteenth packet is timed, whatever its host and port.
func sampled(seq uint32) bool { return seq&15 == 0 }

func (t *timing) sent(index uint64, seq uint32, now time.Duration) {
	s := &t.samples[seq>>4%uint32(len(t.samples))]
	s.index.Store(0)
	s.at.Store(uint64(now))
	s.index.Store(index + 1)
}

func (t *timing) answered(index uint64, seq uint32, now time.Duration) {
	s := &t.samples[seq>>4%uint32(len(t.samples))]
	at := s.at.Load()
	if s.index.CompareAndSwap(index+1, 0) && uint64(now) > at {
		t.buckets[min(bits.Len64(uint64(now)-at), len(t.buckets)-1)].Add(1)
	}
}

// The wait for an answer: four times what all but one in a thousand take, within bounds.
const (
	leastPatience   = 200 * time.Millisecond
	unknownPatience = time.Second // nothing answered yet
	mostPatience    = 4 * time.Second
)

func (t *timing) patience() time.Duration {
	total := uint64(0)
	for i := range t.buckets {
		total += t.buckets[i].Load()
	}
	if total == 0 {
		return unknownPatience
	}
	rest := total / 1000
	for i := len(t.buckets) - 1; i >= 0; i-- {
		n := t.buckets[i].Load()
		if n > rest {
			return min(max(4*time.Duration(1)<<i, leastPatience), mostPatience) // 2^i is the bucket's upper end
		}
		rest -= n
	}
	return unknownPatience
}

// hits is a queue without end of what was found: who receives packets never waits for who reads.
type hits struct {
	mu    sync.Mutex
	list  []hit
	ready chan struct{}
	over  bool
}

type hit struct {
	index  uint64
	hollow bool
}

func newHits() *hits { return &hits{ready: make(chan struct{}, 1)} }

func (h *hits) add(x hit) {
	h.mu.Lock()
	h.list = append(h.list, x)
	h.mu.Unlock()
	h.wake()
}

func (h *hits) end() {
	h.mu.Lock()
	h.over = true
	h.mu.Unlock()
	h.wake()
}

func (h *hits) wake() {
	select {
	case h.ready <- struct{}{}:
	default:
	}
}

// take waits for what was found since; over: that was all.
func (h *hits) take() (list []hit, over bool) {
	<-h.ready
	h.mu.Lock()
	defer h.mu.Unlock()
	list, h.list = h.list, nil
	return list, h.over
}

// window is a run of positions.
type window struct{ from, to uint64 }

// windows are runs that have to be asked once more. They are few: those that touch are one, and where there are too many
// they become one.
type windows []window

func (w windows) add(x window) windows {
	if n := len(w); n > 0 && x.from <= w[n-1].to && w[n-1].from <= x.to {
		w[n-1] = window{min(w[n-1].from, x.from), max(w[n-1].to, x.to)}
		return w
	}
	if len(w) >= 256 {
		for _, v := range w {
			x = window{min(v.from, x.from), max(v.to, x.to)}
		}
		return windows{x}
	}
	return append(w, x)
}

func (w windows) has(position uint64) bool {
	for _, x := range w {
		if x.from <= position && position < x.to {
			return true
		}
	}
	return false
}
