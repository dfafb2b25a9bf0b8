package main

import (
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"
)

// zone is a DNS server of a script, which keeps score.
type zone struct {
	mu      sync.Mutex
	records map[string][]dns.RR // by question, such as "org.example. MX"
	asked   []string
}

type zonesKey struct{}

func (z *zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	z.mu.Lock()
	defer z.mu.Unlock()
	question := strings.ToLower(q.Question[0].Name) + " " + dns.TypeToString[q.Question[0].Qtype]
	z.asked = append(z.asked, question)
	m := new(dns.Msg).SetReply(q)
	if m.Answer = z.records[question]; m.Answer == nil {
		m.Rcode = dns.RcodeNameError
	}
	w.WriteMsg(m)
}

func cmdDNS(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "dns")
	if len(args) != 2 {
		ts.Fatalf("usage: dns FILE ADDRESS:PORT")
	}
	z := &zone{records: make(map[string][]dns.RR)}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		rr, err := dns.NewRR(line)
		ts.Check(err)
		if rr != nil {
			key := strings.ToLower(rr.Header().Name) + " " + dns.TypeToString[rr.Header().Rrtype]
			z.records[key] = append(z.records[key], rr)
		}
	}
	pc, err := net.ListenPacket("udp", args[1])
	ts.Check(err)
	ready := make(chan struct{})
	srv := &dns.Server{PacketConn: pc, Handler: z, NotifyStartedFunc: func() { close(ready) }}
	go srv.ActivateAndServe()
	<-ready
	ts.Defer(func() { srv.Shutdown() })
	ts.Value(zonesKey{}).(map[string]*zone)[args[1]] = z
}

func cmdAsked(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "asked")
	if len(args) != 3 {
		ts.Fatalf("usage: asked ADDRESS:PORT N REGEXP")
	}
	z := ts.Value(zonesKey{}).(map[string]*zone)[args[0]]
	if z == nil {
		ts.Fatalf("no DNS server at %s: dns starts one", args[0])
	}
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	re, err := regexp.Compile(args[2])
	ts.Check(err)
	z.mu.Lock()
	defer z.mu.Unlock()
	n := 0
	for _, q := range z.asked {
		if re.MatchString(q) {
			n++
		}
	}
	if n != want {
		ts.Fatalf("%d questions match %s, want %d, of %q", n, args[2], want, z.asked)
	}
}
