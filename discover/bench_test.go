package discover

import "testing"

func BenchmarkPlan(b *testing.B) {
	for _, c := range []struct {
		name, scope string
	}{{"16", "10.50.0.0/16"}, {"8", "10.0.0.0/8"}, {"odd", "10.0.0.0-10.1.3.7"}} {
		p := mustPlan(b, mustScope(b, aiming(Spec{}, c.scope)), 1, 25, 465, 587, 2525)
		b.Run("index/"+c.name, func(b *testing.B) {
			for i := range b.N {
				sink += p.index(uint64(i) & (1<<17 - 1))
			}
		})
		b.Run("endpoint/"+c.name, func(b *testing.B) {
			for i := range b.N {
				sink += uint64(p.endpoint(uint64(i) & (1<<17 - 1)).Port())
			}
		})
	}
}

var sink uint64
