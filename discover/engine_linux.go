package discover

import "relaysweep/ratelimit"

// NewSYN is the SYN engine. From further sources, which want whole handshakes, it is the connect engine that looks.
func NewSYN(o EngineOptions) Sweeper {
	if o.From.IsValid() || o.From.Port() != 0 {
		return NewConnect(o)
	}
	pace := ratelimit.NewPacer(o.Rates, o.Hosts)
	if o.Limiter != nil {
		pace.Beside(o.Limiter) // the probers', which have the same total
	}
	return &SYN{Vantage: o.Vantage, Pace: pace, Source: o.Source, Before: o.BeforePositions, Counters: o.Counters}
}

// synRights is why there is no SYN engine here, or nil.
func synRights() error { return rawRights() }
