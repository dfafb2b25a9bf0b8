package discover

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"math/bits"
	"net/netip"
	"sort"
	"sync"
	"sync/atomic"

	"go4.org/netipx"
)

// Coverage is what a sweep looked at, and what it saw: two bits a target, and a third one where those do not tell. It
// may live in a file that is mapped into memory, so that it outlives the process, however that ends.
//
// Silence is nothing that comes in, so it needs no writing down: a target that has no state is silent once the last
// pass went over it, and was not attempted before.
type Coverage struct {
	plan *Plan
	head []uint64 // see below
	low  []uint64 // two bits a target
	high []uint64 // one bit a target
	// 2^stretch targets share a bit of the head.
	stretch uint
	file    *mapped // nil: in memory
	mu      sync.Mutex
	doubts  map[uint16]string
	why     string // what failed last
}

// Words of the head.
const (
	headMagic = iota
	headPlan  // which plan it belongs to
	headBoot  // of this machine, when it was written
	headClean // 1: closed in good order
	headPasses
	headPass
	headPosition
	headSent
	headOpen
	headAnswered      // targets that answered
	headLate          // of these, in the second pass and later
	headThird    = 32 // a bit for each stretch of targets of which one has a third bit: other stretches are not touched
	headWords    = 64
	stretches    = (headWords - headThird) * 64
)

const coverageMagic = 0x7273636f76000001

// The three bits of a target. Those from codeFailed on have the third one, which is written first: who is killed between
// the two writes leaves codeFailed, and that is tried again.
const (
	codeNone = iota
	codeOpen
	codeClosed
	codeProhibited
	codeFailed
	codeUnreachable
	codeFiltered // told, not concluded
	codePassed   // passed over: it was open before, or cannot be reached from there
)

var (
	codeOf = [...]uint64{NotAttempted: codeNone, Open: codeOpen, Closed: codeClosed, Filtered: codeFiltered, Prohibited: codeProhibited, Unreachable: codeUnreachable, Failed: codeFailed}
	// stateOfCode leaves codeNone and codePassed to their readers.
	stateOfCode = [...]State{codeNone: NotAttempted, codeOpen: Open, codeClosed: Closed, codeProhibited: Prohibited, codeFiltered: Filtered, codeUnreachable: Unreachable, codeFailed: Failed, codePassed: NotAttempted}
)

// words is how many words hold n targets, each of so many bits.
func words(n, bits uint64) uint64 { return (n*bits + 63) / 64 }

// NewCoverage makes the empty coverage of a plan, in memory.
func NewCoverage(p *Plan) *Coverage {
	n := p.size()
	c := &Coverage{plan: p}
	c.lay(make([]uint64, headWords+words(n, 2)+words(n, 1)))
	c.head[headMagic], c.head[headPlan], c.head[headPasses] = coverageMagic, p.fingerprint(), 1
	return c
}

func (c *Coverage) lay(all []uint64) {
	n := c.plan.size()
	c.stretch = max(6, uint(bits.Len64((n-1)/stretches)))
	c.head, c.low, c.high = all[:headWords], all[headWords:headWords+words(n, 2)], all[headWords+words(n, 2):]
}

// errOtherPlan: the file belongs to another scan.
var errOtherPlan = errors.New("it belongs to another plan")

// OpenCoverage makes the coverage of a plan in a file, or goes on with the one that is there. Its whole room on disk is
// taken at once, so that a full disk is an error before anything is sent.
func OpenCoverage(p *Plan, name string) (*Coverage, error) { return openCoverage(p, name, bootID()) }

func openCoverage(p *Plan, name string, boot uint64) (*Coverage, error) {
	n := p.size()
	size := int(8 * (headWords + words(n, 2) + words(n, 1)))
	m, err := openMapped(name, size)
	if err != nil {
		return nil, fmt.Errorf("the scan's state cannot be stored: %w", err)
	}
	c := &Coverage{plan: p, file: m}
	c.lay(m.words)
	switch {
	case c.head[headMagic] == 0:
	case c.head[headMagic] != coverageMagic || c.head[headPlan] != p.fingerprint():
		return nil, errors.Join(fmt.Errorf("%s: %w", name, errOtherPlan), m.close())
	case c.head[headClean] == 0 && (boot == 0 || c.head[headBoot] != boot) || c.head[headPosition] > p.Len():
		// The machine went down, and what reached the disk is not known: look again. The head goes last, so that who is
		// killed meanwhile comes here again.
		clear(c.low)
		clear(c.high)
		clear(c.head)
	}
	if c.head[headPasses] == 0 {
		c.head[headPasses] = 1
	}
	c.head[headMagic], c.head[headPlan], c.head[headBoot], c.head[headClean] = coverageMagic, p.fingerprint(), boot, 0
	// From here on the disk says that it is in use: it may hold any part of what is written now.
	if err := m.sync(); err != nil {
		return nil, errors.Join(fmt.Errorf("the scan's state cannot be stored: %w", err), m.close())
	}
	return c, nil
}

// Close closes the file, if there is one.
func (c *Coverage) Close() error {
	if c.file == nil {
		return nil
	}
	err := c.file.sync()
	if err == nil {
		c.head[headClean] = 1
		err = c.file.sync()
	}
	c.head, c.low, c.high = nil, nil, nil
	return errors.Join(err, c.file.close())
}

// Sync brings the states to disk.
func (c *Coverage) Sync() error {
	if c.file == nil {
		return nil
	}
	return c.file.sync()
}

// fingerprint tells plans apart.
func (p *Plan) fingerprint() uint64 {
	h := fnv.New64a()
	var b []byte
	for _, v := range []uint64{p.shard, p.shards, p.order.n, p.behind.n, p.order.keys[0]} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	for _, port := range p.ports {
		b = binary.BigEndian.AppendUint16(b, port)
	}
	for _, s := range []*Scope{p.scope, p.wide} {
		if s == nil {
			continue
		}
		for _, r := range s.ranges {
			b = append(b, r.from.AsSlice()...)
			b = append(b, r.to.AsSlice()...)
		}
	}
	h.Write(b)
	return h.Sum64()
}

// Plan is what it covers.
func (c *Coverage) Plan() *Plan { return c.plan }

// code reads the bits of a target.
func (c *Coverage) code(index uint64) uint64 {
	v := atomic.LoadUint64(&c.low[index/32]) >> (index % 32 * 2) & 3
	if !c.touched(index) {
		return v
	}
	return v | atomic.LoadUint64(&c.high[index/64])>>(index%64)&1<<2
}

// touched reports whether a target's stretch has third bits.
func (c *Coverage) touched(index uint64) bool {
	stretch := index >> c.stretch
	return atomic.LoadUint64(&c.head[headThird+stretch/64])>>(stretch%64)&1 != 0
}

// swap writes the bits of a target, and keeps count of those that are open. Two that swap one target's bits at once may
// see each other's halves, so each target has one writer at a time.
func (c *Coverage) swap(index, code uint64) {
	old := c.code(index)
	if (old^code)&4 != 0 { // most never touch this page
		c.setThird(index, code>>2)
	}
	replace(&c.low[index/32], index%32*2, 3, code&3)
	switch {
	case code == codeOpen && old != codeOpen:
		atomic.AddUint64(&c.head[headOpen], 1)
	case code != codeOpen && old == codeOpen:
		atomic.AddUint64(&c.head[headOpen], ^uint64(0))
	}
}

// setThird writes the third bit of a target.
func (c *Coverage) setThird(index, bit uint64) {
	stretch := index >> c.stretch
	replace(&c.head[headThird+stretch/64], stretch%64, 1, 1)
	replace(&c.high[index/64], index%64, 1, bit)
}

func replace(word *uint64, shift, mask, bits uint64) {
	for {
		was := atomic.LoadUint64(word)
		if atomic.CompareAndSwapUint64(word, was, was&^(mask<<shift)|bits<<shift) {
			return
		}
	}
}

// note writes down what a target showed.
func (c *Coverage) note(index uint64, s State) { c.swap(index, codeOf[s]) }

// Set writes down what a target showed. It changes nothing where the target is not in the plan, or in another shard.
func (c *Coverage) Set(a netip.AddrPort, s State) {
	if i, _, ok := c.plan.positionOf(a); ok {
		c.note(i, s)
	}
}

// State is what a target showed.
func (c *Coverage) State(a netip.AddrPort) State {
	i, position, ok := c.plan.positionOf(a)
	if !ok {
		return NotAttempted
	}
	return c.state(i, position < c.settled())
}

// state is what a target showed, where the last pass went over it or not.
func (c *Coverage) state(index uint64, swept bool) State {
	code := c.code(index)
	if code == codeNone && swept {
		return Filtered
	}
	return stateOfCode[code]
}

// cursor is how far the sweep is: all positions below have been asked in this pass, counted from 0.
func (c *Coverage) cursor() (pass, position uint64) {
	return atomic.LoadUint64(&c.head[headPass]), atomic.LoadUint64(&c.head[headPosition])
}

func (c *Coverage) advance(pass, position uint64) {
	if old, _ := c.cursor(); old != pass { // so that no moment shows the new position with the old pass
		atomic.StoreUint64(&c.head[headPosition], 0)
		atomic.StoreUint64(&c.head[headPass], pass)
	}
	atomic.StoreUint64(&c.head[headPosition], position)
}

// settled is the position below which silence is an answer.
func (c *Coverage) settled() uint64 {
	pass, position := c.cursor()
	switch passes := atomic.LoadUint64(&c.head[headPasses]); {
	case pass >= passes:
		return c.plan.Len()
	case pass == passes-1:
		return position
	}
	return 0
}

// Swept reports whether the last pass went over all targets.
func (c *Coverage) Swept() bool { return c.settled() == c.plan.Len() }

// Looked is how many targets have been asked in this pass.
func (c *Coverage) Looked() uint64 {
	pass, position := c.cursor()
	if pass >= c.passes() { // the last one is over
		return c.plan.Len()
	}
	return position
}

// Passes is the number of the pass that is under way, from 1, and of how many.
func (c *Coverage) Passes() (pass, of int) {
	n, _ := c.cursor()
	passes := atomic.LoadUint64(&c.head[headPasses])
	return int(min(n+1, passes)), int(passes)
}

// Sent is how many packets or handshakes left for targets.
func (c *Coverage) Sent() uint64 { return atomic.LoadUint64(&c.head[headSent]) }

func (c *Coverage) addSent(n int) { atomic.AddUint64(&c.head[headSent], uint64(n)) }

// Opened is how many targets are open.
func (c *Coverage) Opened() uint64 { return atomic.LoadUint64(&c.head[headOpen]) }

// Openings are the targets that are open, in the order of the plan's numbers.
func (c *Coverage) Openings() iter.Seq[netip.AddrPort] {
	return func(yield func(netip.AddrPort) bool) {
		n := c.plan.size()
		for w := range c.low {
			v := atomic.LoadUint64(&c.low[w])
			if v&^(v>>1)&0x5555555555555555 == 0 { // no 01 in it
				continue
			}
			for i := uint64(w) * 32; i < min(n, uint64(w+1)*32); i++ {
				if c.code(i) == codeOpen && !yield(c.plan.endpoint(i)) {
					return
				}
			}
		}
	}
}

// OpenOf is how many ports of a host are open, of how many in the plan.
func (c *Coverage) OpenOf(a netip.Addr) (open, asked int) {
	for _, ports := range [][]uint16{c.plan.ports, c.plan.rest} {
		for _, port := range ports {
			i, ok := c.plan.indexOf(netip.AddrPortFrom(a, port))
			if !ok {
				continue
			}
			asked++
			if c.code(i) == codeOpen {
				open++
			}
		}
	}
	return open, asked
}

// States are all targets with what they showed, in the order of the plan.
func (c *Coverage) States() iter.Seq2[netip.AddrPort, State] {
	return func(yield func(netip.AddrPort, State) bool) {
		settled := c.settled()
		for position := range c.plan.Len() {
			i := c.plan.index(position)
			if !yield(c.plan.endpoint(i), c.state(i, position < settled)) {
				return
			}
		}
	}
}

// answered books answers for the estimate of what was missed.
func (c *Coverage) answered(n uint64, late bool) {
	atomic.AddUint64(&c.head[headAnswered], n)
	if late {
		atomic.AddUint64(&c.head[headLate], n)
	}
}

// ExpectedMissed estimates how many open targets lost every packet: if a packet or its answer is lost with probability
// p, which what answered only later tells, one of n passes loses p^n of them.
func (c *Coverage) ExpectedMissed() float64 { return c.missedAfter(c.passes()) }

func (c *Coverage) missedAfter(passes uint64) float64 {
	answered, late := atomic.LoadUint64(&c.head[headAnswered]), atomic.LoadUint64(&c.head[headLate])
	if answered == 0 {
		return 0
	}
	missed := float64(c.Opened())
	for range passes {
		missed *= float64(late) / float64(answered)
	}
	return missed
}

// Ahead are the targets that nothing is known of yet, in the order of the plan. It is the whole of a Sweeper that asks
// one after the other: a target that was yielded counts as asked when the next one is taken.
func (c *Coverage) Ahead() iter.Seq[Target] {
	return func(yield func(Target) bool) {
		c.begin(1)
		for _, position := c.cursor(); position < c.plan.Len(); position++ {
			i := c.plan.index(position)
			if c.code(i) == codeNone {
				t, err := c.plan.scope.Target(c.plan.endpoint(i))
				if err != nil || !yield(t) {
					return
				}
				if c.code(i) == codeNone {
					return // it was not asked
				}
			}
			c.advance(0, position+1)
		}
	}
}

func (c *Coverage) passes() uint64 { return atomic.LoadUint64(&c.head[headPasses]) }

// setPasses says how many passes there are; they only become more.
func (c *Coverage) setPasses(n uint64) {
	if n > c.passes() {
		atomic.StoreUint64(&c.head[headPasses], n)
	}
}

// begin begins a sweep, or goes on with one, in so many passes. What failed is tried again. It reports whether there is
// anything to do.
func (c *Coverage) begin(passes uint64) bool {
	done := c.Swept()
	if !done {
		c.setPasses(passes)
	}
	rewound := false
	for w := range c.high {
		if !c.touched(uint64(w) * 64) {
			continue
		}
		for v := atomic.LoadUint64(&c.high[w]); v != 0; v &= v - 1 {
			if i := uint64(w)*64 + uint64(bits.TrailingZeros64(v)); c.code(i) == codeFailed {
				if !rewound {
					c.rewind()
					rewound = true
				}
				c.swap(i, codeNone)
			}
		}
	}
	return rewound || !done
}

// rewind has the last pass go over all targets again that have no state. It comes before a state is taken away: with the
// cursor behind it, such a target would count as silent.
func (c *Coverage) rewind() {
	last := c.passes() - 1
	if pass, _ := c.cursor(); pass >= last {
		c.advance(last, 0)
	}
}

// Pass writes down that a target is not to be tried: it was open before. What it showed is kept.
func (c *Coverage) Pass(a netip.AddrPort) {
	if i, _, ok := c.plan.positionOf(a); ok && (c.code(i) == codeNone || c.code(i) == codeFailed) {
		c.swap(i, codePassed)
	}
}

// Forget has a target looked at again.
func (c *Coverage) Forget(a netip.AddrPort) {
	if i, _, ok := c.plan.positionOf(a); ok {
		c.rewind()
		c.swap(i, codeNone)
	}
}

// Reconsider has silence on some ports looked at again: it was met while nothing could be heard.
func (c *Coverage) Reconsider(ports func(uint16) bool) {
	rewound := false
	for i := range c.plan.size() {
		if code := c.code(i); code != codeNone && code != codeFiltered || !ports(c.plan.endpoint(i).Port()) {
			continue
		}
		if !rewound {
			c.rewind()
			rewound = true
		}
		c.swap(i, codeNone)
	}
}

// fail keeps why a target failed.
func (c *Coverage) fail(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.why = why
}

// Trouble is why a target failed last, or nothing.
func (c *Coverage) Trouble() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}

// Doubt says why silence on a port cannot be believed: it counts as not attempted then.
func (c *Coverage) Doubt(port uint16, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.doubts == nil {
		c.doubts = make(map[uint16]string)
	}
	c.doubts[port] = why
}

// CoverageRow is one prefix and port. The counts add up to the prefix's addresses.
type CoverageRow struct {
	Prefix       netip.Prefix      `json:"prefix"`
	Port         uint16            `json:"port"`
	Open         uint64            `json:"open"`
	Closed       uint64            `json:"closed"`
	Filtered     uint64            `json:"filtered"`
	Prohibited   uint64            `json:"prohibited"`
	Unreachable  uint64            `json:"unreachable"`
	NotAttempted uint64            `json:"not_attempted"`
	Failed       uint64            `json:"failed"`
	Reasons      map[string]uint64 `json:"reasons,omitempty"` // of what was not attempted
}

// Looked is how many targets of the row gave an answer or a meaningful silence.
func (r CoverageRow) Looked() uint64 {
	return r.Open + r.Closed + r.Filtered + r.Prohibited + r.Unreachable
}

// tally is the codes of one row; silent are those without one that the last pass went over.
type tally struct {
	codes        [8]uint64
	silent, ours uint64 // ours: the targets of our shard
}

// Rows lists the coverage by included prefix and port, then that of the hosts of AllPorts by their own prefixes.
func (c *Coverage) Rows() []CoverageRow {
	p := c.plan
	blocks := []block{{p.scope, p.ports, 0, make([]tally, len(p.scope.labels)*len(p.ports))}}
	if p.wide != nil {
		blocks = append(blocks, block{p.wide, p.rest, p.order.n, make([]tally, len(p.wide.labels)*len(p.rest))})
	}
	for _, b := range blocks {
		c.tally(b)
	}
	if settled := c.settled(); p.shards > 1 {
		c.count(blocks, p.Len(), settled)
	} else if settled < p.Len() {
		c.count(blocks, settled, settled)
	}
	var rows []CoverageRow
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range blocks {
		for l, prefix := range b.scope.labels {
			in := b.scope.countIn(prefix)
			for k, port := range b.ports {
				t := &b.list[l*len(b.ports)+k]
				if p.shards == 1 {
					t.ours = in
					if c.Swept() {
						t.silent = in - t.known()
					}
				}
				rows = append(rows, c.row(prefix, port, in, t))
			}
		}
	}
	return rows
}

// known is how many targets have a state.
func (t *tally) known() (n uint64) {
	for _, k := range t.codes {
		n += k
	}
	return n
}

// block is targets that are each address of a scope on each port, numbered from first on. list counts them by label,
// then by port.
type block struct {
	scope *Scope
	ports []uint16
	first uint64
	list  []tally
}

// count goes over the order up to a position, to tell which targets are ours, and which of those below settled are
// silent.
func (c *Coverage) count(blocks []block, end, settled uint64) {
	p := c.plan
	for position := range end {
		i := p.index(position)
		b := &blocks[0]
		if i >= p.order.n {
			b = &blocks[1]
		}
		n := uint64(len(b.ports))
		k := i - b.first
		t := &b.list[uint64(b.scope.spanAt(k/n).label)*n+k%n]
		t.ours++
		if position < settled && c.code(i) == codeNone {
			t.silent++
		}
	}
}

// tally counts the states of the targets of one block, and passes over those that have none.
func (c *Coverage) tally(b block) {
	n := uint64(len(b.ports))
	for k := range b.scope.ranges {
		r := &b.scope.ranges[k]
		end := b.scope.total
		if k+1 < len(b.scope.ranges) {
			end = b.scope.ranges[k+1].before
		}
		list := b.list[uint64(r.label)*n:]
		for i, end := b.first+r.before*n, b.first+end*n; i < end; i++ {
			if i%32 == 0 && end-i >= 32 && atomic.LoadUint64(&c.low[i/32]) == 0 && !c.touched(i) {
				i += 31
				continue
			}
			if code := c.code(i); code != codeNone {
				list[(i-b.first)%n].codes[code]++
			}
		}
	}
}

// row is one row, of whose addresses so many are in the scope. It is called with the lock held.
func (c *Coverage) row(prefix netip.Prefix, port uint16, in uint64, t *tally) CoverageRow {
	n := t.codes
	r := CoverageRow{
		Prefix: prefix, Port: port, Open: n[codeOpen], Closed: n[codeClosed], Filtered: n[codeFiltered] + t.silent,
		Prohibited: n[codeProhibited], Unreachable: n[codeUnreachable], Failed: n[codeFailed], Reasons: make(map[string]uint64),
	}
	if why := c.doubts[port]; why != "" && r.Filtered > 0 {
		r.Reasons[why] = r.Filtered
		r.Filtered = 0
	}
	addresses := prefixLen(prefix)
	r.NotAttempted = addresses - r.Looked() - r.Failed
	if addresses > in {
		r.Reasons["excluded"] = addresses - in
	}
	if in > t.ours {
		r.Reasons["other-shard"] = in - t.ours
	}
	if n[codePassed] > 0 {
		r.Reasons[passedOver] = n[codePassed]
	}
	left := r.NotAttempted
	for _, n := range r.Reasons {
		left -= n
	}
	if left > 0 {
		r.Reasons["interrupted"] = left
	}
	return r
}

// passedOver is the reason of what was not to be tried.
const passedOver = "passed-over"

// Complete reports whether every target of the plan was looked at.
func (c *Coverage) Complete() bool {
	if !c.Swept() {
		return false // counting the rows of a sweep under way takes a while
	}
	for _, r := range c.Rows() {
		for why, n := range r.Reasons {
			if n > 0 && why != "excluded" && why != "other-shard" && why != passedOver {
				return false
			}
		}
		if r.Failed > 0 {
			return false
		}
	}
	return true
}

// prefixLen is the number of addresses of a prefix; 2^63 stands for more, of which a scope can hold only a part.
func prefixLen(p netip.Prefix) uint64 { return 1 << min(p.Addr().BitLen()-p.Bits(), 63) }

// countIn is how many addresses of the scope lie in a prefix, after exclusion.
func (s *Scope) countIn(p netip.Prefix) uint64 {
	var n uint64
	first, last := p.Masked().Addr(), netipx.PrefixLastIP(p)
	k := sort.Search(len(s.ranges), func(k int) bool { return !s.ranges[k].to.Less(first) })
	for ; k < len(s.ranges) && !last.Less(s.ranges[k].from); k++ {
		from, to := s.ranges[k].from, s.ranges[k].to
		if from.Less(first) {
			from = first
		}
		if last.Less(to) {
			to = last
		}
		m, _ := rangeLen(netipx.IPRangeFrom(from, to))
		n += m
	}
	return n
}
