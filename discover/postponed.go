package discover

import (
	"container/heap"
	"encoding/binary"
	"net/netip"
	"time"
)

// maxLater bounds what is put off: while it is reached, no new targets are begun.
const maxLater = 1 << 16

// attempt is one target to be tried.
type attempt struct {
	position uint64
	tries    uint8 // that met local trouble
	own      bool  // from the vantage's own source once more
}

// postponed holds what is put off, because its host or net is used up or because of local trouble: a queue for each net,
// and of the nets the one first that is due first, so that none is kept waiting by another.
type postponed struct {
	nets  map[net64]*line
	lines lineHeap
	n     int
}

// net64 is the /24 or /64 of an address.
type net64 struct {
	bits uint64
	is4  bool
}

func netOf(a netip.Addr) net64 {
	if a.Is4() {
		b := a.As4()
		return net64{uint64(binary.BigEndian.Uint32(b[:]) >> 8), true}
	}
	b := a.As16()
	return net64{binary.BigEndian.Uint64(b[:8]), false}
}

// line is what waits for one net.
type line struct {
	net     net64
	due     time.Duration // when its head is to be tried
	soonest time.Duration // of those refused in a row
	refused int           // in a row
	todo    []attempt
	head    int
	place   int // in the heap
}

func (l *line) len() int { return len(l.todo) - l.head }

// inARow is how many of one net are asked for in vain before the net itself is taken to be used up.
const inARow = 16

// put puts an attempt off until it is due.
func (q *postponed) put(a attempt, addr netip.Addr, due time.Duration) {
	if q.nets == nil {
		q.nets = make(map[net64]*line)
	}
	q.n++
	net := netOf(addr)
	l := q.nets[net]
	if l == nil {
		l = &line{net: net, due: due, todo: make([]attempt, 0, 4)}
		q.nets[net] = l
		l.todo = append(l.todo, a)
		heap.Push(&q.lines, l)
		return
	}
	l.push(a)
}

func (l *line) push(a attempt) {
	if l.head > 0 && len(l.todo) == cap(l.todo) {
		l.todo = l.todo[:copy(l.todo, l.todo[l.head:])]
		l.head = 0
	}
	l.todo = append(l.todo, a)
}

// take takes the next attempt that is due. refused or went must be told before the next one is taken.
func (q *postponed) take(now time.Duration) (a attempt, l *line, ok bool) {
	if len(q.lines) == 0 || q.lines[0].due > now {
		return attempt{}, nil, false
	}
	l = q.lines[0]
	a = l.todo[l.head]
	l.head++
	q.n--
	return a, l, true
}

// refused puts an attempt back behind the others of its net.
func (q *postponed) refused(l *line, a attempt, due time.Duration) {
	l.push(a)
	q.n++
	if l.refused == 0 || due < l.soonest {
		l.soonest = due
	}
	if l.refused++; l.refused >= min(inARow, l.len()) {
		l.due, l.refused = l.soonest, 0
		heap.Fix(&q.lines, l.place)
	}
}

// again puts an attempt off until it is due: for the first time, or behind the others of the line that it was taken from.
func (q *postponed) again(l *line, a attempt, addr netip.Addr, due time.Duration) {
	if l == nil {
		q.put(a, addr, due)
	} else {
		q.refused(l, a, due)
	}
}

// first is the lowest position that is put off, or the one that is given.
func (q *postponed) first(position uint64) uint64 {
	for _, l := range q.lines {
		for _, a := range l.todo[l.head:] {
			position = min(position, a.position)
		}
	}
	return position
}

// went says that an attempt is not put off again, if it ever was.
func (q *postponed) went(l *line) {
	if l == nil {
		return
	}
	l.refused = 0
	if l.len() == 0 {
		heap.Remove(&q.lines, l.place)
		delete(q.nets, l.net)
	}
}

// next is when the next attempt is due.
func (q *postponed) next() (due time.Duration, ok bool) {
	if len(q.lines) == 0 {
		return 0, false
	}
	return q.lines[0].due, true
}

type lineHeap []*line

func (h lineHeap) Len() int           { return len(h) }
func (h lineHeap) Less(i, j int) bool { return h[i].due < h[j].due }
func (h lineHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *lineHeap) Push(x any) {
	l := x.(*line)
	l.place = len(*h)
	*h = append(*h, l)
}

func (h *lineHeap) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return l
}
