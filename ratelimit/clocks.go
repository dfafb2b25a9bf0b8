package ratelimit

import (
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
	"time"
)

// clocks hold many members, nets or hosts, to one rate in 4 bytes each (GCRA, the generic cell rate algorithm). A slot
// is the member's clock: every packet puts it a gap further, it is never behind the time, and no packet may leave while
// it is more than the slack ahead. So in w there are at most 1 + (slack+w)/gap packets, which is the law. The zero
// clocks, once made, cap nothing.
//
// A slot is counted in ticks and wraps around after a million gaps or more. Clocks are at most a slack and a gap ahead,
// so one that looks further ahead is old. One that looks as if it were ahead though it is so old that the ticks came
// around blocks its member for no longer than a slack and a gap.
type clocks struct {
	gap   uint32 // ticks
	slack uint32 // ticks
	shift uint   // a tick is 1<<shift nanoseconds
	bits  uint   // there are 1<<bits slots
	slots []uint32
	tick  uint32 // the time, as set
}

// A gap is so many ticks at least, except where a tick is 1 ns. Gaps are rounded up, so members get up to one part in so
// many less than their rate.
const ticksOfGap = 4096

// maxGap keeps the arithmetic of ticks within int64.
const maxGap = 100 * 365 * day

// perMember is how many slots there are for a member expected, so that few share one where addresses lie scattered.
// Members that share one make each other wait; the law holds for them together.
const perMember = 16

// newClocks returns clocks for so many members at most, in 1<<most slots at most. 0 members: there are many.
// No memory is taken yet.
func newClocks(perSecond float64, expected int, most uint) clocks {
	if !capped(perSecond) {
		return clocks{}
	}
	c := clocks{bits: most}
	if expected > 0 && expected <= 1<<most/perMember {
		c.bits = uint(bits.Len(uint(expected*perMember - 1)))
	}
	gap := min(1e9/perSecond, float64(maxGap))
	if gap > ticksOfGap {
		c.shift = uint(math.Log2(gap / ticksOfGap))
	}
	tick := float64(uint64(1) << c.shift)
	c.gap = uint32(math.Ceil(gap/tick)) + 1 // that of two times that are rounded down to ticks, no more lies between
	c.slack = uint32(max(float64(memberBurst)-gap, 0) / tick)
	return c
}

// make takes the memory.
func (c *clocks) make() { c.slots = make([]uint32, 1<<c.bits) }

// set tells the clocks the time, so long after the start.
func (c *clocks) set(t time.Duration) { c.tick = uint32(t >> (c.shift & 63)) }

// slot returns the member's clock. Members whose last bits are all that differs, as they do in one scope, have each
// their own; what stands before those bits moves them as a whole.
func (c *clocks) slot(hi, lo uint64) *uint32 {
	mix := hi*0x9e3779b97f4a7c15 + (lo>>(c.bits&63))*0xd6e8feb86659fd93
	return &c.slots[(lo^mix>>((64-c.bits)&63))&uint64(len(c.slots)-1)]
}

// ahead returns by how many ticks a clock is ahead.
func (c *clocks) ahead(clock uint32) uint32 {
	if ahead := clock - c.tick; ahead <= c.slack+c.gap {
		return ahead
	}
	return 0 // behind, or old
}

// wait returns how long after t, which the clocks were set to, one that is so far ahead is within the slack; 0: it is.
func (c *clocks) wait(t time.Duration, ahead uint32) time.Duration {
	if ahead <= c.slack {
		return 0
	}
	return (t>>c.shift+time.Duration(ahead-c.slack))<<c.shift - t
}

// keys returns by what an address's net and host are told apart: of the net it is one number, of the host two.
func keys(addr netip.Addr) (net, hi, lo uint64) {
	if addr.Is4() || addr.Is4In6() {
		b := addr.As4()
		lo = uint64(binary.BigEndian.Uint32(b[:]))
		return lo >> 8, 0, lo
	}
	b := addr.As16()
	hi, lo = binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	return hi, hi, lo
}
