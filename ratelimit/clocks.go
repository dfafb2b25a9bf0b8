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

// slot returns the member's clock. Members whose last bits are all that differs, as they do in one scope, have each
// their own; what stands before those bits moves them as a whole.
func (c *clocks) slot(hi, lo uint64) *uint32 {
	mix := hi*0x9e3779b97f4a7c15 + (lo>>c.bits)*0xd6e8feb86659fd93
	return &c.slots[(lo^mix>>(64-c.bits))&uint64(len(c.slots)-1)]
}

// look returns what a clock shows after a packet at t, and how long to wait before there may be one. Both are worth
// something only if the wait is 0, or is not.
func (c *clocks) look(t time.Duration, clock uint32) (next uint32, wait time.Duration) {
	tick := int64(t) >> c.shift
	ahead := clock - uint32(tick)
	if ahead > c.slack+c.gap {
		ahead = 0 // behind
	}
	if ahead > c.slack {
		return 0, time.Duration((tick+int64(ahead-c.slack))<<c.shift) - t
	}
	return uint32(tick) + ahead + c.gap, 0
}

// keys returns by what an address's net and host are told apart: of the net it is one number, of the host two.
func keys(addr netip.Addr) (net, hi, lo uint64) {
	b := addr.As16()
	hi, lo = binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	if hi == 0 && lo>>32 == 0xffff { // IPv4
		return lo >> 8, hi, lo
	}
	return hi, hi, lo
}
