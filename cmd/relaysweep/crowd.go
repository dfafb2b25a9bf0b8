package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
)

// A SYN proxy or a tarpit answers on every port of a host. Thousands of such openings are one fact, and to wait for a
// greeting on each would take the probers days. So what is more than a few on one host is held back until the sweep is
// over: if nearly every port of it is open, each is only listened to, and what says nothing is reported once.

const (
	crowdAfter  = 32   // openings of one host that are probed at once
	crowdShare  = 0.9  // of a host's ports that are open where everything is
	crowdAtOnce = 1024 // connections that are listened to at once
	crowdWait   = 10 * time.Second
)

// offer hands an opening to the probers, or holds it back.
func (s *sweeping) offer(ctx context.Context, o discover.Opening) {
	s.opened.Add(1)
	host := o.Target.AddrPort().Addr()
	if s.perHost[host]++; s.perHost[host] > crowdAfter && !s.s.DiscoverOnly {
		s.held[host] = append(s.held[host], o)
		return
	}
	s.push(ctx, o)
}

// release decides what becomes of the openings that were held back.
func (s *sweeping) release(ctx context.Context, cov *discover.Coverage) {
	held := s.held
	s.held = make(map[netip.Addr][]discover.Opening)
	for host, list := range held {
		if open, asked := cov.OpenOf(host); float64(open) < crowdShare*float64(asked) {
			for _, o := range list {
				s.push(ctx, o)
			}
			continue
		}
		silent := s.listen(ctx, list)
		if ctx.Err() != nil {
			return // they stay in the journal, for --resume
		}
		if err := s.crowd(silent); err != nil {
			s.broke(err)
			return
		}
	}
}

// listen connects to each opening and waits for a byte. What says something goes to the probers; it returns the others.
func (s *sweeping) listen(ctx context.Context, list []discover.Opening) (silent []discover.Opening) {
	var mu sync.Mutex
	var work sync.WaitGroup
	next := make(chan discover.Opening)
	dialer := s.scope.Dialer(s.s.Source, s.s.Timeout)
	for range min(crowdAtOnce, len(list)) {
		work.Go(func() {
			for o := range next {
				if s.speaks(ctx, dialer, o) {
					s.push(ctx, o)
					continue
				}
				mu.Lock()
				silent = append(silent, o)
				mu.Unlock()
			}
		})
	}
	for _, o := range list {
		select {
		case next <- o:
		case <-ctx.Done():
		}
	}
	close(next)
	work.Wait()
	return silent
}

// speaks reports whether something is said on a connection, or the connection could not be listened to as it should.
func (s *sweeping) speaks(ctx context.Context, dialer *discover.Dialer, o discover.Opening) bool {
	if s.limiter.Wait(ctx, o.Target.AddrPort().Addr()) != nil {
		return false
	}
	if err := s.audit.write(o.Target, o.Source, "listen"); err != nil {
		s.broke(err)
		return false
	}
	c, err := dialer.DialFrom(ctx, o.Target, o.Source)
	if err != nil {
		return false // it was open to a SYN alone
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := c.SetReadDeadline(time.Now().Add(min(crowdWait, s.s.Greeting))); err != nil {
		return true
	}
	n, _ := c.Read(make([]byte, 1))
	return n > 0
}

// crowd makes one finding of the silent openings of a host.
func (s *sweeping) crowd(silent []discover.Opening) error {
	if len(silent) == 0 {
		return nil
	}
	slices.SortFunc(silent, func(a, b discover.Opening) int { return a.Target.AddrPort().Compare(b.Target.AddrPort()) })
	now := time.Now().UTC()
	f := probe.Finding{
		Addr: silent[0].Target.AddrPort(), Vantage: s.s.Vantage, Source: discover.SourceText(silent[0].Source), Protocol: "unknown", Started: now, Ended: now,
		Note: fmt.Sprintf("%d ports accept connections and say nothing within %s: a SYN proxy or a tarpit answers there on every port", len(silent), min(crowdWait, s.s.Greeting)),
	}
	for _, o := range silent {
		f.Crowd = append(f.Crowd, o.Target.AddrPort().Port())
	}
	if err := s.add(&f); err != nil {
		return err
	}
	s.mu.Lock()
	s.findings = append(s.findings, f)
	s.mu.Unlock()
	s.probed.Add(uint64(len(silent)))
	return nil
}
