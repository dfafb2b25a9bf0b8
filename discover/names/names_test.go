package names

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// server is a DNS server on loopback that keeps score.
type server struct {
	mu    sync.Mutex
	zone  map[string][]string // question, such as "org.example. MX", to records
	asked []string
}

// sharedPort listens by UDP and TCP on one port. Not every port that is free for one is for the other.
func sharedPort(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	var last error
	for range 20 {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", pc.LocalAddr().String())
		if err == nil {
			return pc, l
		}
		pc.Close()
		last = err
	}
	t.Fatal(last)
	return nil, nil
}

// serve starts a server for a zone, a record a line. A name that is in no record does not exist.
func serve(t *testing.T, zone string) (*server, Resolver) {
	t.Helper()
	s := &server{zone: make(map[string][]string)}
	for line := range strings.Lines(zone) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		rr, err := dns.NewRR(line)
		if err != nil || rr == nil {
			t.Fatalf("%s: %v", line, err)
		}
		h := rr.Header()
		key := strings.ToLower(h.Name) + " " + dns.TypeToString[h.Rrtype]
		s.zone[key] = append(s.zone[key], line)
	}
	pc, l := sharedPort(t)
	for _, srv := range []*dns.Server{{PacketConn: pc, Handler: s}, {Listener: l, Handler: s}} {
		ready := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(ready) }
		done := make(chan struct{})
		go func() { defer close(done); srv.ActivateAndServe() }()
		<-ready
		t.Cleanup(func() { srv.Shutdown(); <-done })
	}
	return s, Resolver{Server: pc.LocalAddr().String()}
}

func (s *server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	key := strings.ToLower(q.Question[0].Name) + " " + dns.TypeToString[q.Question[0].Qtype]
	s.mu.Lock()
	s.asked = append(s.asked, key)
	s.mu.Unlock()
	m := new(dns.Msg).SetReply(q)
	for _, line := range s.zone[key] {
		rr, _ := dns.NewRR(line)
		m.Answer = append(m.Answer, rr)
	}
	if len(m.Answer) == 0 {
		m.Rcode = dns.RcodeNameError
	}
	if w.RemoteAddr().Network() == "udp" {
		m.Truncate(1232)
	}
	w.WriteMsg(m)
}

func (s *server) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestPTR(t *testing.T) {
	_, r := serve(t, "10.100.51.198.in-addr.arpa. 60 IN PTR mx.org.example.")
	if got := r.PTR(t.Context(), addr("198.51.100.10")); !slices.Equal(got, []string{"mx.org.example"}) {
		t.Errorf("PTR = %v, want mx.org.example", got)
	}
	if got := r.PTR(t.Context(), addr("::ffff:198.51.100.10")); !slices.Equal(got, []string{"mx.org.example"}) {
		t.Errorf("PTR of the address mapped into IPv6 = %v, want mx.org.example", got)
	}
	if got := r.PTR(t.Context(), addr("198.51.100.11")); got != nil {
		t.Errorf("PTR of an unknown address = %v, want none", got)
	}
	zero := Resolver{}
	if zero.PTR(t.Context(), addr("198.51.100.10")) != nil || zero.MX(t.Context(), "org.example") != nil || zero.Addrs(t.Context(), "org.example") != nil || zero.TXT(t.Context(), "org.example") != nil {
		t.Error("the zero Resolver answered")
	}
	if s, err := zero.SPF(t.Context(), "org.example"); s != nil || err != nil {
		t.Errorf("the zero Resolver knows SPF: %v, %v", s, err)
	}
}

func TestMX(t *testing.T) {
	_, r := serve(t, `
		org.example. 60 IN MX 20 Backup.org.example.
		org.example. 60 IN MX 10 mx.org.example.
		null.example. 60 IN MX 0 .
		odd.example. 60 IN MX 10 mx.odd\032host.example.
		odd.example. 60 IN MX 20 mx\010\013.example.
		odd.example. 60 IN MX 30 mx.odd.example.
	`)
	for domain, want := range map[string][]MX{
		"org.example":  {{"mx.org.example", 10}, {"backup.org.example", 20}},
		"org.example.": {{"mx.org.example", 10}, {"backup.org.example", 20}},
		"null.example": nil,
		"none.example": nil,
		"odd.example":  {{"mx.odd.example", 30}}, // what cannot be a host's name is left out
	} {
		if got := r.MX(t.Context(), domain); !slices.Equal(got, want) {
			t.Errorf("MX of %s = %v, want %v", domain, got, want)
		}
	}
}

func TestAddrs(t *testing.T) {
	_, r := serve(t, `
		mx.org.example. 60 IN AAAA 2001:db8::25
		mx.org.example. 60 IN A 198.51.100.10
		mx.org.example. 60 IN A 198.51.100.10
		mx.org.example. 60 IN A 198.51.100.11
	`)
	want := []netip.Addr{addr("198.51.100.10"), addr("198.51.100.11"), addr("2001:db8::25")}
	if got := r.Addrs(t.Context(), "mx.org.example"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Answers without end are cut; those too large for a datagram come by TCP.
func TestAnswersAreBounded(t *testing.T) {
	var zone strings.Builder
	for i := range 400 {
		fmt.Fprintf(&zone, "big.example. 60 IN A 10.0.%d.%d\nbig.example. 60 IN MX %d mx%d.big.example.\n1.0.0.10.in-addr.arpa. 60 IN PTR h%d.big.example.\n", i/256, i%256, i, i, i)
	}
	_, r := serve(t, zone.String())
	if n := len(r.Addrs(t.Context(), "big.example")); n != maxAddrs {
		t.Errorf("%d addresses, want %d", n, maxAddrs)
	}
	if mx := r.MX(t.Context(), "big.example"); len(mx) != maxHosts || mx[0].Preference != 0 {
		t.Errorf("%d MX hosts, want the %d preferred ones", len(mx), maxHosts)
	}
	if n := len(r.PTR(t.Context(), addr("10.0.0.1"))); n != maxNames {
		t.Errorf("%d names, want %d", n, maxNames)
	}
}

func TestMail(t *testing.T) {
	s, r := serve(t, `
		a.example. 60 IN MX 10 mx.a.example.
		a.example. 60 IN TXT "v=spf1 mx -all"
		mx.a.example. 60 IN A 198.51.100.10
		b.example. 60 IN MX 10 mx.a.example.
		b.example. 60 IN MX 20 mx.b.example.
		mx.b.example. 60 IN AAAA 2001:db8::25
		c.example. 60 IN MX 10 mail.hoster.example.
		c.example. 60 IN TXT "v=spf1 ip4:198.51.100.0/28 ip6:2001:db8::/64 -all"
		d.example. 60 IN MX 0 .
		d.example. 60 IN A 198.51.100.10
		e.example. 60 IN A 198.51.100.14
		f.example. 60 IN MX 10 mx.f.example.
		f.example. 60 IN TXT "v=spf1 nonsense:x ip4:198.51.100.10 -all"
	`)
	domains := []string{"c.example", "d.example", "b.example", "a.example", "e.example", "f.example"}
	m := r.Mail(t.Context(), domains)
	for _, c := range []struct{ addr, hosts, serves string }{
		// The MX of b and a, then c by SPF, then the rest.
		{"198.51.100.10", "mx.a.example", "b.example a.example c.example d.example e.example f.example"},
		{"2001:db8::25", "mx.b.example", "b.example c.example d.example a.example e.example f.example"},
		{"198.51.100.14", "e.example", "e.example c.example d.example b.example a.example f.example"}, // an implicit MX
		{"198.51.100.77", "", "c.example d.example b.example a.example e.example f.example"},
	} {
		if got := strings.Join(m.Hosts(addr(c.addr)), " "); got != c.hosts {
			t.Errorf("%s: hosts %q, want %q", c.addr, got, c.hosts)
		}
		if got := strings.Join(m.Serves(addr(c.addr)), " "); got != c.serves {
			t.Errorf("%s: serves %q, want %q", c.addr, got, c.serves)
		}
	}
	if len(m.Errors) != 1 || !strings.Contains(m.Errors[0].Error(), `f.example: the SPF record is not usable in whole: f.example: "nonsense:x": no such mechanism`) {
		t.Errorf("errors: %v", m.Errors)
	}
	if q := s.questions(); slices.Contains(q, "mx.f.example. MX") || len(q) > 40 {
		t.Errorf("%d questions: %q", len(q), q)
	}
	// Which records name an address; SPF by the longest network that permits it.
	for _, c := range []struct{ addr, want string }{
		{"198.51.100.10", "mx b.example, mx a.example, spf c.example 198.51.100.0/28, spf a.example 198.51.100.10/32"},
		{"::ffff:198.51.100.14", "mx e.example, spf c.example 198.51.100.0/28"},
		{"2001:db8::26", "spf c.example 2001:db8::/64"},
		{"198.51.100.77", ""},
	} {
		var got []string
		for _, n := range m.Names(addr(c.addr)) {
			s := n.Kind + " " + n.Domain
			if n.Kind == "spf" {
				s += " " + n.Network.String()
			}
			got = append(got, s)
		}
		if got := strings.Join(got, ", "); got != c.want {
			t.Errorf("%s: named by %q, want %q", c.addr, got, c.want)
		}
	}
	var none *Mail
	if none.Names(addr("198.51.100.10")) != nil {
		t.Error("the nil Mail names something")
	}
	if none.Hosts(addr("198.51.100.10")) != nil || none.Serves(addr("198.51.100.10")) != nil {
		t.Error("the nil Mail knows something")
	}
}

// A resolver that does not answer costs a bounded time, and the order of the configuration stays.
func TestMailOfASilentResolver(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	r := Resolver{Server: pc.LocalAddr().String(), Timeout: 50 * time.Millisecond}
	m := r.Mail(ctx, []string{"a.example", "b.example"})
	if got := m.Serves(addr("10.0.0.1")); !slices.Equal(got, []string{"a.example", "b.example"}) {
		t.Errorf("got %v", got)
	}
}

// Node tells a name that does not exist from one without records, and both from no answer.
func TestNode(t *testing.T) {
	_, r := serve(t, "a.ip6.arpa. 60 IN PTR mx.org.example.")
	if ptr, exists, err := r.Node(t.Context(), "a.ip6.arpa"); !slices.Equal(ptr, []string{"mx.org.example"}) || !exists || err != nil {
		t.Errorf("got %v, %v, %v", ptr, exists, err)
	}
	if ptr, exists, err := r.Node(t.Context(), "b.ip6.arpa"); ptr != nil || exists || err != nil {
		t.Errorf("a name that does not exist: %v, %v, %v", ptr, exists, err)
	}
	for rcode, want := range map[int]struct{ exists, failed bool }{
		dns.RcodeSuccess: {true, false}, dns.RcodeNameError: {false, false}, dns.RcodeServerFailure: {false, true}, dns.RcodeRefused: {false, true}, 200: {false, true},
	} {
		_, exists, err := answering(t, rcode).Node(t.Context(), "c.ip6.arpa")
		if exists != want.exists || (err != nil) != want.failed {
			t.Errorf("rcode %d: got %v, %v, want %v", rcode, exists, err, want)
		}
	}
	if ptr, exists, err := (Resolver{}).Node(t.Context(), "a.ip6.arpa"); ptr != nil || exists || err != nil {
		t.Errorf("the zero Resolver answered: %v, %v, %v", ptr, exists, err)
	}
}

// answering is a server that has one answer to all.
func answering(t *testing.T, rcode int) Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ready, done := make(chan struct{}), make(chan struct{})
	srv := &dns.Server{PacketConn: pc, NotifyStartedFunc: func() { close(ready) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if m.Rcode = rcode; rcode > 15 {
			m.SetEdns0(1232, false)
		}
		w.WriteMsg(m)
	})}
	go func() { defer close(done); srv.ActivateAndServe() }()
	<-ready
	t.Cleanup(func() { srv.Shutdown(); <-done })
	return Resolver{Server: pc.LocalAddr().String()}
}

func TestExchangers(t *testing.T) {
	_, r := serve(t, `
		a.example. 60 IN MX 10 mx.a.example.
		null.example. 60 IN MX 0 .
	`)
	for domain, want := range map[string][]MX{"a.example": {{"mx.a.example", 10}}, "null.example": nil, "b.example": {{Host: "b.example"}}} {
		if got := r.Exchangers(t.Context(), domain); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", domain, got, want)
		}
	}
}

// Before comes before each question, and Failed tells of those without an answer.
func TestBeforeAndFailed(t *testing.T) {
	s, r := serve(t, "mx.a.example. 60 IN A 198.51.100.10")
	var failed []string
	before := 0
	r.Before = func(context.Context) error { before++; return nil }
	r.Failed = func(question string, _ error) { failed = append(failed, question) }
	r.Addrs(t.Context(), "mx.a.example")
	r.Addrs(t.Context(), "none.example")
	if n := len(s.questions()); before != 4 || n != 4 || failed != nil {
		t.Errorf("%d before %d questions, %q failed", before, n, failed)
	}
	bad := answering(t, dns.RcodeServerFailure)
	bad.Before, bad.Failed, bad.Tries = r.Before, r.Failed, 3
	before = 0
	if got := bad.Addrs(t.Context(), "MX.a.example."); got != nil || before != 6 || !slices.Equal(failed, []string{"mx.a.example A", "mx.a.example AAAA"}) {
		t.Errorf("got %v, %d questions, failed %q", got, before, failed)
	}
	r.Before = func(context.Context) error { return context.Canceled }
	if got := r.Addrs(t.Context(), "mx.a.example"); got != nil || len(s.questions()) != 4 {
		t.Errorf("asked against Before: %v", got)
	}
}
