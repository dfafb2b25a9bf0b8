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

// The loop of a scanner: a batch is granted, each address is admitted or put off, and what is not used goes back.
func ExamplePacer() {
	ctx := context.Background()
	todo := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.1")}
	pace := ratelimit.NewPacer(ratelimit.Rates{Total: 10_000, PerHost: 20}, len(todo))
	for len(todo) > 0 {
		n, err := pace.Grant(ctx, len(todo))
		if err != nil {
			fmt.Println("nothing may be sent:", err)
			return
		}
		now := time.Now()
		var batch, later []netip.Addr
		least := time.Hour
		for _, addr := range todo[:n] {
			if wait := pace.Admit(now, addr); wait > 0 {
				later, least = append(later, addr), min(least, wait)
			} else {
				batch = append(batch, addr)
			}
		}
		fmt.Println("send to", batch) // with one system call
		pace.Unused(n - len(batch))
		todo = append(todo[n:], later...)
		if len(todo) == len(later) && len(later) > 0 { // all that is left was put off
			time.Sleep(least)
		}
	}
	// Output:
	// send to [192.0.2.1 192.0.2.2]
	// send to [192.0.2.1]
}
