package names

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

func TestPTR(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if q.Question[0].Name == "10.100.51.198.in-addr.arpa." {
			rr, _ := dns.NewRR(q.Question[0].Name + " 60 IN PTR mx.org.example.")
			m.Answer = append(m.Answer, rr)
		} else {
			m.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(m)
	})}
	go srv.ActivateAndServe()
	defer srv.Shutdown()
	r := Resolver{Server: pc.LocalAddr().String()}
	if got := r.PTR(context.Background(), netip.MustParseAddr("198.51.100.10")); !slices.Equal(got, []string{"mx.org.example"}) {
		t.Errorf("PTR = %v, want mx.org.example", got)
	}
	if got := r.PTR(context.Background(), netip.MustParseAddr("198.51.100.11")); got != nil {
		t.Errorf("PTR of an unknown address = %v, want none", got)
	}
	if got := (Resolver{}).PTR(context.Background(), netip.MustParseAddr("198.51.100.10")); got != nil {
		t.Errorf("the zero Resolver answered %v", got)
	}
}
