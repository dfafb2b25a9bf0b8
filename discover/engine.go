package discover

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"relaysweep/ratelimit"
)

// EngineOptions are what the engines are made with.
type EngineOptions struct {
	Vantage  string
	Limiter  *ratelimit.Limiter
	Timeout  time.Duration // for one handshake
	InFlight int           // handshakes at once
	Source   netip.Addr    // the vantage's own address; any if zero
	From     netip.AddrPort
	// Before is called before each handshake, BeforePositions before packets for a run of the plan's positions. An error
	// stops the sweep.
	Before          func(t Target, from netip.AddrPort) error
	BeforePositions func(pass int, from, to uint64) error
	Counters        *Counters // of the SYN engine, if not nil
}

// Engine is a way to look for openings, and why it was chosen.
type Engine struct {
	Name    string // syn, connect
	Why     string
	Sweeper func(EngineOptions) Sweeper
}

// ErrNetworkGone: an interface or a route that was there at the start is gone. The scan can go on later.
var ErrNetworkGone = errors.New("the network is gone")

// ErrScanType is wrapped where the scan type that was asked for cannot be had here.
var ErrScanType = errors.New("this scan type cannot be had")

// ChooseEngine chooses by a scan type: auto, syn or connect.
func ChooseEngine(kind string, plan *Plan) (Engine, error) {
	connect := func(why string) Engine { return Engine{"connect", why, NewConnect} }
	syn := func(why string) Engine { return Engine{"syn", why, NewSYN} }
	switch kind {
	case "connect":
		return connect("as --scan-type asks"), nil
	case "syn":
		if err := synRights(); err != nil {
			return Engine{}, fmt.Errorf("%w: %w", ErrScanType, err)
		}
		return syn("as --scan-type asks"), nil
	case "auto", "":
	default:
		return Engine{}, fmt.Errorf("--scan-type %q does not exist: it is auto, syn or connect", kind)
	}
	if err := synRights(); err != nil {
		return connect(err.Error()), nil
	}
	if plan.scope.onlyLoopback() {
		return connect("all targets are on this machine"), nil
	}
	return syn("raw packets can be sent"), nil
}

func (s *Scope) onlyLoopback() bool {
	for _, r := range s.ranges {
		if !r.from.IsLoopback() || !r.to.IsLoopback() {
			return false
		}
	}
	return true
}

// NewConnect is the connect engine of this system.
func NewConnect(o EngineOptions) Sweeper {
	return newConnect(Connect{Vantage: o.Vantage, Limiter: o.Limiter, Timeout: o.Timeout, InFlight: o.InFlight, Source: o.Source, From: o.From, Before: o.Before})
}
