package discover

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// Whatever is put off comes back exactly once, when it is due and not before, however often it is refused.
func TestWhatIsPutOffComesBackOnce(t *testing.T) {
	r := seeded(t)
	var q postponed
	addr := func(i uint64) netip.Addr {
		if i%2 == 0 {
			return netip.AddrFrom4([4]byte{10, 0, byte(i % 7), byte(i)})
		}
		return netip.AddrFrom16([16]byte{0: 0xfd, 7: byte(i % 5), 15: byte(i)})
	}
	const n = 5000
	got := make(map[uint64]int)
	put, now := uint64(0), time.Duration(0)
	for len(got) < n {
		for put < n && r.IntN(3) > 0 {
			q.put(attempt{position: put, tries: uint8(put)}, addr(put), now+time.Duration(r.IntN(50)))
			put++
		}
		was := q.n
		a, l, ok := q.take(now)
		due, any := q.next()
		switch {
		case !ok && any && due <= now:
			t.Fatalf("at %v nothing came, though the next is due at %v", now, due)
		case !ok:
			now += time.Duration(r.IntN(20))
			continue
		case q.n != was-1 || netOf(addr(a.position)) != l.net || a.tries != uint8(a.position):
			t.Fatalf("took %+v of %+v, %d of %d are left", a, l.net, q.n, was)
		}
		if r.IntN(3) == 0 {
			q.refused(l, a, now+1+time.Duration(r.IntN(50)))
			continue
		}
		q.went(l)
		if got[a.position]++; got[a.position] > 1 {
			t.Fatalf("%d came twice", a.position)
		}
	}
	if _, any := q.next(); any || q.n != 0 || len(q.nets) != 0 {
		t.Errorf("%d are left in %d nets", q.n, len(q.nets))
	}
}

// A net that is used up keeps no other waiting, and costs a few questions each time.
func TestANetThatIsUsedUpKeepsNoOtherWaiting(t *testing.T) {
	var q postponed
	used, free := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.1.1")
	for i := range uint64(1000) {
		q.put(attempt{position: i}, used, 0)
	}
	q.put(attempt{position: 1000}, free, 0)
	asked := 0
	for came := false; !came; asked++ {
		a, l, ok := q.take(0)
		if !ok {
			t.Fatal("nothing is due any more")
		}
		if came = l.net == netOf(free); came {
			q.went(l)
		} else {
			q.refused(l, a, time.Second+time.Duration(asked))
		}
	}
	if asked > inARow+1 {
		t.Errorf("%d were asked for before it, want %d at most", asked, inARow)
	}
	if due, ok := q.next(); !ok || due != time.Second {
		t.Errorf("the net is due at %v, %v, want the least wait that was told", due, ok)
	}
	if _, _, ok := q.take(time.Second - 1); ok {
		t.Error("the net was asked for again before it was due")
	}
}

// Within a net, a host that is used up moves behind the others.
func TestAHostThatIsUsedUpMovesBehindTheOthersOfItsNet(t *testing.T) {
	var q postponed
	a := netip.MustParseAddr("10.0.0.1")
	q.put(attempt{position: 1}, a, 0)
	q.put(attempt{position: 2}, a.Next(), 0)
	first, l, _ := q.take(0)
	q.refused(l, first, time.Second)
	second, l, ok := q.take(0)
	if !ok || second.position != 2 {
		t.Fatalf("got %+v, %v, want the second", second, ok)
	}
	q.went(l)
}

func BenchmarkLater(b *testing.B) {
	b.ReportAllocs()
	r := rand.New(rand.NewPCG(1, 2))
	var q postponed
	addrs := make([]netip.Addr, 1024)
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(64)), byte(i)})
		q.put(attempt{position: uint64(i)}, addrs[i], 0)
	}
	now := time.Duration(0)
	for b.Loop() {
		a, l, ok := q.take(now)
		if !ok {
			now, _ = q.next()
			continue
		}
		q.refused(l, a, now+time.Millisecond)
	}
}

// The cursor may not pass what is put off.
func TestTheFirstThatIsPutOff(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var q postponed
	for i := range uint64(500) {
		q.put(attempt{position: i*7%500 + 100}, netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(5)), 1}), time.Duration(r.IntN(1000)))
	}
	out := make(map[uint64]bool)
	for q.n > 0 {
		want := uint64(600)
		for p := range uint64(500) {
			if !out[p+100] {
				want = p + 100
				break
			}
		}
		if got := q.first(600); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
		a, line, ok := q.take(time.Hour)
		if !ok {
			t.Fatal("nothing is due")
		}
		q.went(line)
		out[a.position] = true
	}
	if got := q.first(600); got != 600 {
		t.Errorf("where none waits: got %d, want 600", got)
	}
}
