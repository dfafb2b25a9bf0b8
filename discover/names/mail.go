package names

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Mail is what DNS says of an organisation's mail domains: which addresses their mail goes to, and which may send it.
// The nil Mail knows nothing.
type Mail struct {
	domains []string
	hosts   map[netip.Addr][]string // MX hosts that point to an address
	served  map[netip.Addr][]string // domains whose MX points there
	spf     []*SPF                  // of each domain
	Errors  []error                 // SPF records that are not usable in whole
}

// mailTime bounds all lookups of Mail: a resolver that does not answer must not hold up a scan.
const mailTime = 30 * time.Second

// Mail looks up MX hosts and SPF records of mail domains, eight domains at a time.
func (r Resolver) Mail(ctx context.Context, domains []string) *Mail {
	ctx, cancel := context.WithTimeout(ctx, mailTime)
	defer cancel()
	type answer struct {
		mx    []MX
		addrs [][]netip.Addr // of each
		spf   *SPF
		err   error
	}
	answers := make([]answer, len(domains))
	next := make(chan int)
	var work sync.WaitGroup
	for range min(8, len(domains)) {
		work.Go(func() {
			for i := range next {
				a := &answers[i]
				a.mx = r.Exchangers(ctx, domains[i])
				for _, m := range a.mx {
					a.addrs = append(a.addrs, r.Addrs(ctx, m.Host))
				}
				a.spf, a.err = r.SPF(ctx, domains[i])
			}
		})
	}
	for i := range domains {
		next <- i
	}
	close(next)
	work.Wait()
	m := &Mail{domains: domains, hosts: make(map[netip.Addr][]string), served: make(map[netip.Addr][]string)}
	for i, a := range answers {
		for j, host := range a.mx {
			for _, addr := range a.addrs[j] {
				m.hosts[addr] = appendNew(m.hosts[addr], host.Host)
				m.served[addr] = appendNew(m.served[addr], domains[i])
			}
		}
		m.spf = append(m.spf, a.spf)
		if a.err != nil {
			m.Errors = append(m.Errors, a.err)
		}
	}
	return m
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// Hosts are the MX hosts that point to an address, in the order of the domains.
func (m *Mail) Hosts(a netip.Addr) []string {
	if m == nil {
		return nil
	}
	return slices.Clone(m.hosts[a.Unmap()])
}

// Serves are all the domains, in the order in which an address is likely to know them: those whose MX points there, then
// those whose SPF record lets it send, then the rest.
func (m *Mail) Serves(a netip.Addr) []string {
	if m == nil {
		return nil
	}
	out := slices.Clone(m.served[a.Unmap()])
	for i, s := range m.spf {
		if s.Permits(a) {
			out = appendNew(out, m.domains[i])
		}
	}
	for _, d := range m.domains {
		out = appendNew(out, d)
	}
	return out
}

// Naming is a record by which a domain names an address.
type Naming struct {
	Kind    string // mx, spf
	Domain  string
	Network netip.Prefix // that the record lets send; the address itself where it names that alone
}

// Names lists the records that name an address, in the order of the domains.
func (m *Mail) Names(a netip.Addr) []Naming {
	if m == nil {
		return nil
	}
	var out []Naming
	a = a.Unmap()
	for _, d := range m.served[a] {
		out = append(out, Naming{"mx", d, netip.PrefixFrom(a, a.BitLen())})
	}
	for i, s := range m.spf {
		if by := s.Permitting(a); by.IsValid() {
			out = append(out, Naming{"spf", m.domains[i], by})
		}
	}
	return out
}
