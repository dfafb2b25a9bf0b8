package discovertest_test

import (
	"net/netip"
	"testing"

	"relaysweep/discover"
	"relaysweep/ratelimit"
)

// engineOnLoopback is the world on loopback, swept by the connect engine of this system.
func engineOnLoopback(t *testing.T) world {
	w := onLoopback(t)
	w.sweeper = func(l *ratelimit.Limiter, before func(discover.Target) error, inFlight int) discover.Sweeper {
		o := discover.EngineOptions{Limiter: l, InFlight: inFlight}
		if before != nil {
			o.Before = func(t discover.Target, _ netip.AddrPort) error { return before(t) }
		}
		return discover.NewConnect(o)
	}
	return w
}

func TestTheEngineOfThisSystemKeepsTheContract(t *testing.T) {
	for _, c := range contract {
		if c.name == "nothing leaves without permission of the limiter" {
			continue // a Pacer begins with no token: TestNothingLeavesWithoutPermission of package discover
		}
		t.Run(c.name, func(t *testing.T) { c.test(t, engineOnLoopback(t)) })
	}
}
