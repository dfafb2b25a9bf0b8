package ratelimit_test

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"relaysweep/ratelimit"
)

// At most 1,000 connections a second, 200 to one /24 or /64 and 20 to one host: the second one to 192.0.2.1 leaves
// 50 ms after the first.
func Example() {
	ctx := context.Background()
	pace := ratelimit.New(ratelimit.Rates{Total: 1000, PerNet: 200, PerHost: 20})
	start := time.Now()
	for _, host := range []string{"192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.1"} {
		if err := pace.Wait(ctx, netip.MustParseAddr(host)); err != nil {
			fmt.Println("not sent:", err)
			return
		}
		fmt.Println("connect to", host)
	}
	fmt.Println("50 ms or more:", time.Since(start) >= 50*time.Millisecond)
	// Output:
	// connect to 192.0.2.1
	// connect to 192.0.2.2
	// connect to 2001:db8::1
	// connect to 192.0.2.1
	// 50 ms or more: true
}
