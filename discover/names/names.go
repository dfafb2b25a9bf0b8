// Package names asks a DNS resolver that the operator chose: nothing is looked up anywhere else.
package names

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Resolver asks one server. The zero Resolver answers nothing.
type Resolver struct {
	Server  string        // host:port
	Timeout time.Duration // for one question; 2 s if zero
}

// maxNames bounds what one answer may give.
const maxNames = 8

// PTR returns the names of an address, or none: no answer is not an error worth stopping for (RFC 1035 3.5).
func (r Resolver) PTR(ctx context.Context, a netip.Addr) []string {
	q, err := dns.ReverseAddr(a.String())
	if err != nil {
		return nil
	}
	var out []string
	for _, rr := range r.ask(ctx, q, dns.TypePTR) {
		if p, ok := rr.(*dns.PTR); ok && len(out) < maxNames {
			out = append(out, strings.TrimSuffix(p.Ptr, "."))
		}
	}
	return out
}

func (r Resolver) ask(ctx context.Context, name string, kind uint16) []dns.RR {
	if r.Server == "" {
		return nil
	}
	timeout := r.Timeout
	if timeout == 0 {
		timeout = 2 * time.Second
	}
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	m.SetEdns0(1232, false)
	c := &dns.Client{Timeout: timeout}
	in, _, err := c.ExchangeContext(ctx, m, r.Server)
	if err == nil && in.Truncated {
		c.Net = "tcp"
		in, _, err = c.ExchangeContext(ctx, m, r.Server)
	}
	if err != nil || in.Rcode != dns.RcodeSuccess {
		return nil
	}
	return in.Answer
}
