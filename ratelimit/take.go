package ratelimit

import "time"

// Take is Grant for a caller that must not block: where no packet may leave now, it returns after how long to ask again.
func (p *Pacer) Take(most int) (n int, wait time.Duration, err error) {
	if p.err != nil {
		return 0, 0, p.err
	}
	if most <= 0 {
		return 0, 0, errMost
	}
	return p.take(most)
}
