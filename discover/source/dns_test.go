package source

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

const orgZone = `
	mail.org.example. 60 IN A 198.51.100.10
	mail.org.example. 60 IN AAAA 2001:db8::25
	org.example. 60 IN MX 10 mx1.org.example.
	org.example. 60 IN MX 20 mail.org.example.
	mx1.org.example. 60 IN A 198.51.100.11
	org.example. 60 IN TXT "v=spf1 mx ip4:198.51.100.64/28 ip6:2001:db8:1::/64 ip6:2001:db8::1:0/112 include:hoster.example -all"
	hoster.example. 60 IN TXT "v=spf1 ip4:203.0.113.0/24 -all"
	alone.example. 60 IN A 198.51.100.12
	null.example. 60 IN MX 0 .
	wide.example. 60 IN TXT "v=spf1 ip4:0.0.0.0/0 ip4:10.0.0.0/8 nonsense:x"
`

func TestDNS(t *testing.T) {
	_, addr := serve(t, zone(orgZone))
	f := &Finder{Resolver: addr}
	for _, tt := range []struct {
		name, query string
		want        []string
	}{
		{"both families of a host", "dns:mail.org.example", []string{"198.51.100.10 | dns:mail.org.example", "2001:db8::25 | dns:mail.org.example"}},
		{"a name in another spelling", "dns:Mail.ORG.example.", []string{"198.51.100.10 | dns:mail.org.example", "2001:db8::25 | dns:mail.org.example"}},
		{"a name that does not exist", "dns:none.example", nil},
		{"MX hosts, each with the one that named it", "mx:org.example", []string{"198.51.100.11 | mx:org.example -> mx1.org.example", "198.51.100.10 | mx:org.example -> mail.org.example", "2001:db8::25 | mx:org.example -> mail.org.example"}},
		{"the implicit MX", "mx:alone.example", []string{"198.51.100.12 | mx:alone.example"}},
		{"a null MX is none", "mx:null.example", nil},
		{"SPF, with what it includes", "spf:org.example", []string{
			"198.51.100.11 | spf:org.example", "198.51.100.10 | spf:org.example", "2001:db8::25 | spf:org.example",
			"198.51.100.64/28 | spf:org.example", "2001:db8::1:0/112 | spf:org.example", "203.0.113.0/24 | spf:org.example",
			"left out: 2001:db8:1::/64 | spf:org.example | an IPv6 prefix shorter than /112: only its hosts can be named",
		}},
		{"SPF that is not usable in whole", "spf:wide.example", []string{
			"10.0.0.0/8 | spf:wide.example",
			`left out: wide.example | spf:wide.example | wide.example: the SPF record is not usable in whole: wide.example: "nonsense:x": no such mechanism`,
			"left out: 0.0.0.0/0 | spf:wide.example | wider than a /8",
		}},
		{"no SPF", "spf:alone.example", nil},
	} {
		t.Run(tt.name, func(t *testing.T) { holds(t, find(t, f, tt.query), tt.want...) })
	}
}

// No answer is not "no addresses".
func TestDNSWithoutAnswers(t *testing.T) {
	refuse := func(string, string) ([]string, int) { return nil, dns.RcodeRefused }
	s, addr := serve(t, refuse)
	f := &Finder{Resolver: addr}
	for _, q := range []string{"dns:mail.org.example", "mx:org.example", "spf:org.example", "ptr:2001:db8::/32"} {
		if found, err := f.Find(t.Context(), query(t, q)); err == nil || !strings.Contains(err.Error(), "answer") {
			t.Errorf("%s: got %v, %v, want an error", q, found, err)
		}
	}
	if s.questions() == 0 {
		t.Error("nothing was asked")
	}
	all := zone(orgZone)
	_, half := serve(t, func(name, kind string) ([]string, int) {
		if name == "mx1.org.example." {
			return nil, dns.RcodeServerFailure
		}
		return all(name, kind)
	})
	holds(t, find(t, &Finder{Resolver: half}, "mx:org.example"),
		"198.51.100.10 | mx:org.example -> mail.org.example", "2001:db8::25 | mx:org.example -> mail.org.example",
		"left out: mx1.org.example A | mx:org.example | no answer: the resolver answers SERVFAIL",
		"left out: mx1.org.example AAAA | mx:org.example | no answer: the resolver answers SERVFAIL")
	if _, err := new(Finder).Find(t.Context(), query(t, "mx:org.example")); err == nil {
		t.Error("without a resolver there is no error")
	}
}

// Each question waits, and an end of waiting ends the asking.
func TestEachQuestionWaits(t *testing.T) {
	s, addr := serve(t, zone(orgZone))
	waits := 0
	f := &Finder{Resolver: addr, Wait: func(context.Context) error { waits++; return nil }}
	find(t, f, "mx:org.example")
	if n := s.questions(); n != waits || n != 5 {
		t.Errorf("%d questions, %d waits, want 5 of each", n, waits)
	}
	stop := errors.New("enough")
	f.Wait = func(context.Context) error { return stop }
	for _, q := range []string{"mx:org.example", "ptr:2001:db8::/32"} {
		if _, err := f.Find(t.Context(), query(t, q)); err == nil {
			t.Errorf("%s: no error", q)
		}
	}
	if n := s.questions(); n != 5 {
		t.Errorf("%d questions, want no more than 5", n)
	}
}

const (
	zone48 = "0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa" // 2001:db8::/48
	by48   = "ptr:" + zone48
)

func TestPTRWalk(t *testing.T) {
	hosts := pointer("2001:db8::25", "mail.org.example") + pointer("2001:db8::26", "bad\\032name") + pointer("2001:db8:0:ff:a:b:c:d", "lost.org.example")
	s, addr := serve(t, zone(hosts))
	got := find(t, &Finder{Resolver: addr}, "ptr:"+zone48)
	holds(t, got, "2001:db8::25 | "+by48+" -> mail.org.example", "2001:db8::26 | "+by48, "2001:db8:0:ff:a:b:c:d | "+by48+" -> lost.org.example")
	// The apex, and 16 below each node on the way to a host: 20 nodes from /48 on, of which the other hosts share 3.
	want := 1 + 16*(20+17)
	if n := s.questions(); n != want {
		t.Errorf("%d questions, want %d", n, want)
	}
	t.Logf("%d questions for 3 hosts of a /48", s.questions())
	holds(t, find(t, &Finder{Resolver: addr}, "ptr:2001:db8::/64"), "2001:db8::25 | ptr:2001:db8::/64 -> mail.org.example", "2001:db8::26 | ptr:2001:db8::/64")
	holds(t, find(t, &Finder{Resolver: addr}, "ptr:2001:db8:77::/48"), "left out: 2001:db8:77::/48 | ptr:2001:db8:77::/48 | the zone does not exist")
}

func TestPTRWalkOfAWildcard(t *testing.T) {
	for name, answer := range map[string]func(string, string) ([]string, int){
		"one name for all": func(name, _ string) ([]string, int) {
			return []string{name + " 60 IN PTR generic.example."}, dns.RcodeSuccess
		},
		"a name for each": func(name, _ string) ([]string, int) {
			return []string{name + " 60 IN PTR h-" + strings.ReplaceAll(name, ".", "-")[:20] + ".example."}, dns.RcodeSuccess
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, addr := serve(t, answer)
			holds(t, find(t, &Finder{Resolver: addr}, "ptr:2001:db8::/48"),
				"left out: 2001:db8::/48 | ptr:2001:db8::/48 | every name exists (a wildcard, or names made by machine): nothing can be told of it")
			if n := s.questions(); n != 1+16+wildSamples {
				t.Errorf("%d questions, want %d", n, 1+16+wildSamples)
			}
		})
	}
	t.Run("near the leaves, with and without a name", func(t *testing.T) {
		for _, record := range []string{"", " 60 IN PTR generic.example."} {
			_, addr := serve(t, func(name, _ string) ([]string, int) {
				if record == "" {
					return nil, dns.RcodeSuccess
				}
				return []string{name + record}, dns.RcodeSuccess
			})
			holds(t, find(t, &Finder{Resolver: addr}, "ptr:2001:db8::/116"),
				"left out: 2001:db8::/116 | ptr:2001:db8::/116 | every name exists (a wildcard, or names made by machine): nothing can be told of it")
		}
	})
	t.Run("below a part of the zone, the rest is walked", func(t *testing.T) {
		all := zone(pointer("2001:db8::25", "mail.org.example") + "1.0.0.0." + zone48 + ". 60 IN PTR x.\n")
		_, addr := serve(t, func(name, kind string) ([]string, int) {
			if strings.HasSuffix(name, ".1.0.0.0."+zone48+".") {
				return []string{name + " 60 IN PTR generic.example."}, dns.RcodeSuccess
			}
			return all(name, kind)
		})
		holds(t, find(t, &Finder{Resolver: addr}, "ptr:2001:db8::/48"), "2001:db8::25 | ptr:2001:db8::/48 -> mail.org.example",
			"left out: 2001:db8:0:1::/64 | ptr:2001:db8::/48 | every name exists (a wildcard, or names made by machine): nothing can be told of it")
	})
	t.Run("sixteen hosts in a row are hosts", func(t *testing.T) {
		var hosts strings.Builder
		for i := range 16 {
			hosts.WriteString(pointer(fmt.Sprintf("2001:db8::%x0", i), "a.example") + pointer(fmt.Sprintf("2001:db8::%x1", i), "b.example"))
		}
		_, addr := serve(t, zone(hosts.String()))
		if got := find(t, &Finder{Resolver: addr}, "ptr:2001:db8::/112"); len(got.Named) != 32 || len(got.Left) != 0 {
			t.Errorf("got %v", said(got))
		}
	})
}

// A server that denies names which have others below them, against RFC 8020, hides its zone. That is said.
func TestPTRWalkOfAServerThatDeniesEmptyNames(t *testing.T) {
	hosts := pointer("2001:db8::25", "mail.org.example") + pointer("2001:db8::77:1", "lost.org.example")
	full := zone(hosts)
	_, addr := serve(t, func(name, kind string) ([]string, int) {
		if name == zone48+"." {
			return nil, dns.RcodeSuccess
		}
		records, rcode := full(name, kind)
		if len(records) == 0 {
			rcode = dns.RcodeNameError
		}
		return records, rcode
	})
	holds(t, find(t, &Finder{Resolver: addr}, "ptr:2001:db8::/48"), "2001:db8::25 | ptr:2001:db8::/48 -> mail.org.example",
		"left out: 2001:db8::/48 | ptr:2001:db8::/48 | the server denies names that have others below them (against RFC 8020): it cannot be walked; 1 hosts were guessed")
	_, addr = serve(t, zone(zone48+". 60 IN SOA ns.example. h.example. 1 2 3 4 5"))
	holds(t, find(t, &Finder{Resolver: addr}, "ptr:2001:db8::/48"),
		"left out: 2001:db8::/48 | ptr:2001:db8::/48 | it exists with nothing below it: empty, or its server denies names that have others below them")
}

func TestPTRWalkIsBounded(t *testing.T) {
	var hosts strings.Builder
	for i := range 40 {
		hosts.WriteString(pointer(fmt.Sprintf("2001:db8:0:%x::1", i*997), "h.example"))
	}
	s, addr := serve(t, zone(hosts.String()))
	got := find(t, &Finder{Resolver: addr, Most: 500}, "ptr:2001:db8::/48")
	if n := s.questions(); n != 500 {
		t.Errorf("%d questions, want 500", n)
	}
	if l := got.Left; len(got.Named) == 0 || len(l) != 1 || l[0].Why != "500 questions are used up: the walk is not complete" {
		t.Errorf("got %v", said(got))
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, err := (&Finder{Resolver: addr, Wait: func(ctx context.Context) error {
		if n++; n == 100 {
			cancel()
		}
		return ctx.Err()
	}}).Find(ctx, query(t, "ptr:2001:db8::/48"))
	if !errors.Is(err, context.Canceled) || n != 100 {
		t.Errorf("cut off after %d: %v", n, err)
	}
	// A part that is not answered is left out; a server that falls silent ends the walk.
	full := zone(hosts.String())
	for suffix, want := range map[string]string{
		"1." + zone48 + ".": "no answer: the resolver answers SERVFAIL",
		"." + zone48 + ".":  "the resolver gave no answer 8 times running: the walk is not complete",
	} {
		_, addr := serve(t, func(name, kind string) ([]string, int) {
			if strings.HasSuffix(name, suffix) {
				return nil, dns.RcodeServerFailure
			}
			return full(name, kind)
		})
		got := find(t, &Finder{Resolver: addr}, "ptr:2001:db8::/48")
		if l := got.Left; len(l) == 0 || l[len(l)-1].Why != want {
			t.Errorf("%s: got %v, want %s", suffix, said(got), want)
		}
	}
}
