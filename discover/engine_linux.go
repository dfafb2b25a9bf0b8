package discover

import "relaysweep/ratelimit"

// NewSYN is the SYN engine. From further sources, which want whole handshakes, it is the connect engine that looks.
func NewSYN(o EngineOptions) Sweeper {
	if o.From.IsValid() || o.From.Port() != 0 {
		return NewConnect(o)
	}
	return &SYN{Vantage: o.Vantage, Limiter: o.Limiter, Source: o.Source, Before: o.BeforePositions, Counters: o.Counters}
}

// synRights is why there is no SYN engine here, or nil.
func synRights() error { return rawRights() }

// pacerBeside is the pace of an engine with one loop, in which the targets of a scope are asked. It shares the total with
// a Limiter.
func pacerBeside(l *ratelimit.Limiter, s *Scope) *ratelimit.Pacer {
	p := ratelimit.NewPacer(l.Rates(), int(s.Len()))
	p.Beside(l)
	return p
}
