// Package names asks a DNS resolver that the operator chose: nothing is looked up anywhere else.
//
// What answers is not trusted: names are checked, answers are cut to a bound, and what one question may lead to is
// counted. No answer is not an error worth stopping for.
package names

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Resolver asks one server. The zero Resolver answers nothing.
type Resolver struct {
	Server  string        // host:port
	Timeout time.Duration // for one question; 2 s if zero
	Tries   int           // of a question that gets no answer; 1 if zero

	// Before is called before each question; an error keeps it from being asked. Failed is told of each question that
	// got no answer. A name that does not exist is an answer.
	Before func(ctx context.Context) error
	Failed func(question string, err error)
}

// Bounds on what one answer may give.
const (
	maxNames = 8
	maxHosts = 10 // of MX (RFC 7208 4.6.4 bounds them so for SPF)
	maxAddrs = 16
)

// PTR returns the names of an address, or none (RFC 1035 3.5).
func (r Resolver) PTR(ctx context.Context, a netip.Addr) []string {
	q, err := dns.ReverseAddr(a.Unmap().WithZone("").String())
	if err != nil {
		return nil
	}
	return pointers(r.ask(ctx, q, dns.TypePTR))
}

func pointers(answer []dns.RR) (out []string) {
	for _, rr := range answer {
		if p, ok := rr.(*dns.PTR); ok && len(out) < maxNames {
			out = append(out, strings.TrimSuffix(p.Ptr, "."))
		}
	}
	return out
}

// Node returns the PTR names of a node in a reverse tree and whether the node exists. Below one that does not, nothing
// does (RFC 8020); one without records of its own exists where something stands below it.
func (r Resolver) Node(ctx context.Context, name string) (ptr []string, exists bool, err error) {
	m, err := r.exchange(ctx, name, dns.TypePTR)
	if err != nil || m == nil {
		return nil, false, err
	}
	return pointers(m.Answer), m.Rcode == dns.RcodeSuccess || len(m.Answer) > 0, nil
}

// MX is a mail exchanger (RFC 5321 5.1).
type MX struct {
	Host       string
	Preference uint16
}

// MX returns the mail exchangers of a domain, the preferred ones first. A null MX is none (RFC 7505).
func (r Resolver) MX(ctx context.Context, domain string) []MX {
	out, _ := r.mx(ctx, domain)
	return out
}

// Exchangers are the hosts that mail of a domain goes to: its MX, or the domain itself where it has none (RFC 5321 5.1).
func (r Resolver) Exchangers(ctx context.Context, domain string) []MX {
	out, some := r.mx(ctx, domain)
	if !some {
		out = []MX{{Host: domain}}
	}
	return out
}

// mx tells as well whether there are MX records at all.
func (r Resolver) mx(ctx context.Context, domain string) (out []MX, some bool) {
	for _, rr := range r.ask(ctx, domain, dns.TypeMX) {
		m, ok := rr.(*dns.MX)
		some = some || ok
		if ok && HostName(m.Mx) {
			out = append(out, MX{hostText(m.Mx), m.Preference})
		}
	}
	slices.SortStableFunc(out, func(a, b MX) int { return cmp.Compare(a.Preference, b.Preference) })
	return out[:min(len(out), maxHosts)], some
}

// Addrs returns the addresses of a host, IPv4 first. Aliases are followed by the resolver.
func (r Resolver) Addrs(ctx context.Context, host string) []netip.Addr {
	var out []netip.Addr
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		n := 0
		for _, rr := range r.ask(ctx, host, kind) {
			var a netip.Addr
			var ok bool
			switch rr := rr.(type) {
			case *dns.A:
				a, ok = netip.AddrFromSlice(rr.A)
			case *dns.AAAA:
				a, ok = netip.AddrFromSlice(rr.AAAA)
			}
			if a = a.Unmap(); ok && n < maxAddrs && !slices.Contains(out, a) {
				out = append(out, a)
				n++
			}
		}
	}
	return out
}

// TXT returns the text records of a name, the strings of each put together (RFC 7208 3.3).
func (r Resolver) TXT(ctx context.Context, name string) []string {
	var out []string
	for _, rr := range r.ask(ctx, name, dns.TypeTXT) {
		if t, ok := rr.(*dns.TXT); ok {
			out = append(out, strings.Join(t.Txt, ""))
		}
	}
	return out
}

// HostName reports whether a name can be a host's: letters, digits, - and _ in labels, and more than the root. What
// else an answer may hold has no place in a command or a report.
func HostName(name string) bool {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool {
			return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		}) {
			return false
		}
	}
	return true
}

func hostText(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// ask returns the answers to a question; none where there is no answer.
func (r Resolver) ask(ctx context.Context, name string, kind uint16) []dns.RR {
	m, err := r.exchange(ctx, name, kind)
	if err != nil && r.Failed != nil {
		r.Failed(hostText(name)+" "+dns.TypeToString[kind], err)
	}
	if err != nil || m == nil || m.Rcode != dns.RcodeSuccess {
		return nil
	}
	return m.Answer
}

// exchange asks until there is an answer, or all tries are used up. That a name does not exist is an answer. The zero
// Resolver gives neither answer nor error.
func (r Resolver) exchange(ctx context.Context, name string, kind uint16) (in *dns.Msg, err error) {
	if r.Server == "" {
		return nil, nil
	}
	for range max(1, r.Tries) {
		if r.Before != nil {
			if err := r.Before(ctx); err != nil {
				return nil, err
			}
		}
		if in, err = r.once(ctx, name, kind); err == nil || ctx.Err() != nil {
			break
		}
	}
	return in, err
}

func (r Resolver) once(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
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
	if err != nil {
		return nil, err
	}
	if in.Rcode != dns.RcodeSuccess && in.Rcode != dns.RcodeNameError {
		return nil, fmt.Errorf("the resolver answers %s", cmp.Or(dns.RcodeToString[in.Rcode], strconv.Itoa(in.Rcode)))
	}
	return in, nil
}
