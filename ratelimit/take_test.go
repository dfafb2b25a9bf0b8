package ratelimit

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestTakeRefusesWhatGrantRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		rate float64
		most int
	}{{"a rate that is none", math.NaN(), 1}, {"a rate below 0", -1, 1}, {"none", 0, 0}, {"fewer than none", 0, -1}} {
		p := NewPacer(Rates{Total: c.rate}, 0)
		_, granted := p.Grant(t.Context(), c.most)
		if n, wait, err := p.Take(c.most); n != 0 || wait != 0 || err == nil || err.Error() != granted.Error() {
			t.Errorf("%s: got %d, %v, %v, want %v", c.name, n, wait, err, granted)
		}
	}
}

// Take gives what Grant would, at the same moments.
func TestTakeGivesWhatGrantWould(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rates := Rates{Total: 10000}
		p, q := NewPacer(rates, 0), NewPacer(rates, 0)
		for range 100 {
			n, wait, err := p.Take(50)
			for wait > 0 && err == nil {
				time.Sleep(wait)
				n, wait, err = p.Take(50)
			}
			now := time.Now()
			m, granted := q.Grant(t.Context(), 50)
			if n != m || err != nil || granted != nil || time.Now() != now {
				t.Fatalf("took %d, %v; granted %d, %v, %v later", n, err, m, granted, time.Since(now))
			}
		}
	})
}
