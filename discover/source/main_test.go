package source

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// resolver is a DNS server on loopback that keeps score.
type resolver struct {
	mu     sync.Mutex
	answer func(name, kind string) (records []string, rcode int)
	asked  []string
}

func (s *resolver) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	name, kind := strings.ToLower(q.Question[0].Name), dns.TypeToString[q.Question[0].Qtype]
	s.mu.Lock()
	s.asked = append(s.asked, name+" "+kind)
	s.mu.Unlock()
	m := new(dns.Msg).SetReply(q)
	records, rcode := s.answer(name, kind)
	m.Rcode = rcode
	for _, line := range records {
		rr, err := dns.NewRR(line)
		if err != nil {
			panic(line)
		}
		m.Answer = append(m.Answer, rr)
	}
	w.WriteMsg(m)
}

func (s *resolver) questions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// serve starts a server, and returns its address.
func serve(tb testing.TB, answer func(name, kind string) ([]string, int)) (*resolver, string) {
	tb.Helper()
	s := &resolver{answer: answer}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	ready, done := make(chan struct{}), make(chan struct{})
	srv := &dns.Server{PacketConn: pc, Handler: s, NotifyStartedFunc: func() { close(ready) }}
	go func() { defer close(done); srv.ActivateAndServe() }()
	<-ready
	tb.Cleanup(func() { srv.Shutdown(); <-done })
	return s, pc.LocalAddr().String()
}

// zone answers as RFC 8020 wants it: a name exists where it, or one below it, has records.
func zone(text string) func(name, kind string) ([]string, int) {
	records := make(map[string][]string)
	nodes := make(map[string]bool)
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		f := strings.Fields(line)
		records[f[0]+" "+f[3]] = append(records[f[0]+" "+f[3]], line)
		for name := f[0]; name != ""; _, name, _ = strings.Cut(name, ".") {
			nodes[name] = true
		}
	}
	return func(name, kind string) ([]string, int) {
		if !nodes[name] {
			return nil, dns.RcodeNameError
		}
		return records[name+" "+kind], dns.RcodeSuccess
	}
}

// pointer is the PTR record of an address.
func pointer(a, host string) string {
	name, err := dns.ReverseAddr(a)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%s 60 IN PTR %s.\n", name, host)
}

// said is what a source found, a line each.
func said(f Found) []string {
	var out []string
	for _, n := range f.Named {
		line := n.Text() + " | " + n.By
		if len(n.Ports) > 0 {
			line += fmt.Sprint(" | ", n.Ports)
		}
		out = append(out, line)
	}
	for _, l := range f.Left {
		out = append(out, "left out: "+l.Text+" | "+l.By+" | "+l.Why)
	}
	return out
}

// holds compares what a source found with lines.
func holds(tb testing.TB, got Found, want ...string) {
	tb.Helper()
	if g := said(got); !slices.Equal(g, want) {
		tb.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(g, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func query(tb testing.TB, text string) Query {
	tb.Helper()
	q, err := Parse(text)
	if err != nil {
		tb.Fatal(err)
	}
	return q
}

func find(tb testing.TB, f *Finder, text string) Found {
	tb.Helper()
	found, err := f.Find(context.Background(), query(tb, text))
	if err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
	return found
}

// sane holds what is true of whatever a source found.
func sane(tb testing.TB, f Found) {
	tb.Helper()
	seen := make(map[netip.Prefix]bool)
	for _, n := range f.Named {
		a := n.Prefix.Addr()
		if !n.Prefix.IsValid() || n.Prefix.Masked() != n.Prefix || a.Is4In6() || a.Zone() != "" || a.Is6() && n.Prefix.Bits() < minBits6 || a.Is4() && n.Prefix.Bits() < minBits4 || seen[n.Prefix] || n.By == "" {
			tb.Errorf("named %v", n)
		}
		if !slices.IsSorted(n.Ports) || slices.Contains(n.Ports, 0) {
			tb.Errorf("%v: ports %v", n.Prefix, n.Ports)
		}
		seen[n.Prefix] = true
	}
	for _, l := range f.Left {
		if l.Text == "" || l.By == "" || l.Why == "" || strings.ContainsAny(l.Text+l.Why, "\n\r\t") {
			tb.Errorf("left out %q", l)
		}
	}
}

func sorted(list []string) string { return strings.Join(slices.Sorted(slices.Values(list)), " ") }
