package names

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseSPF(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"v=spf1", ""},
		{"V=SPF1 -ALL", "-all"},
		{"v=spf1 ip4:192.0.2.1 ip4:192.0.2.129/25 ip6:2001:db8::1/32 ~all", "+ip4 192.0.2.1/32, +ip4 192.0.2.128/25, +ip6 2001:db8::/32, ~all"},
		{"v=spf1 a mx a:x.example/24 mx/24//64 mx:y.example//96 ?all", "+a, +mx, +a x.example 24 128, +mx 24 64, +mx y.example 32 96, ?all"},
		{"v=spf1 include:_spf.example  exists:%{i}.x.example ptr ptr:x.example", "+include _spf.example, +exists %{i}.x.example, +ptr, +ptr x.example"},
		{"v=spf1 redirect=_spf.example a exp=why.example x-new=%{d}", "+a, +redirect _spf.example"},
		{"v=spf1 redirect=_spf.example -all", "-all"}, // RFC 7208 6.1: ignored where there is an all
		{"v=spf1 Include:A.example", "+include A.example"},
	} {
		terms, err := parseSPF(c.text)
		if got := termsText(terms); err != nil || got != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.text, got, err, c.want)
		}
	}
	for _, c := range []struct{ text, good, want string }{
		{"", "", "no version 1"},
		{"v=spf10 a", "", "no version 1"},
		{"v=spf2.0/pra a", "", "no version 1"},
		{"v=spf1 a nonsense mx", "+a", `"nonsense": no such mechanism`},
		{"v=spf1 ip4:2001:db8::1", "", "an address of the other family"},
		{"v=spf1 ip6:192.0.2.1", "", "an address of the other family"},
		{"v=spf1 ip4", "", "no address"},
		{"v=spf1 ip4:192.0.2", "", "no address"},
		{"v=spf1 ip4:192.0.2.0/33", "", "no network"},
		{"v=spf1 ip6:fe80::1%eth0", "", "no address"},
		{"v=spf1 a:", "", "no domain"},
		{"v=spf1 include", "", "no domain"},
		{"v=spf1 include:", "", "no domain"},
		{"v=spf1 a/33", "", "no IPv4 prefix length"},
		{"v=spf1 a/024", "", "no IPv4 prefix length"},
		{"v=spf1 mx//129", "", "no IPv6 prefix length"},
		{"v=spf1 a/24/64", "", "no IPv4 prefix length"},
		{"v=spf1 all:x", "", "all stands alone"},
		{"v=spf1 a redirect=x.example redirect=y.example", "+a, +redirect x.example", "more than one redirect"},
		{"v=spf1 redirect=", "", "a redirect to nowhere"},
		{"v=spf1 -", "", "no such mechanism"},
		{"v=spf1 +-a", "", "no such mechanism"},
		{"v=spf1 " + strings.Repeat("a ", maxSPFTerms), "", "more than 512 terms"},
		{"v=spf1 " + strings.Repeat("x", maxSPFText), "", "longer than"},
	} {
		terms, err := parseSPF(c.text)
		if got := termsText(terms); err == nil || !strings.Contains(err.Error(), c.want) || got != c.good {
			t.Errorf("%.60s: got %s, %v, want %s, %s", c.text, got, err, c.good, c.want)
		}
	}
}

func termsText(terms []term) string {
	var out []string
	for _, t := range terms {
		s := string(t.qualifier) + t.name
		if t.domain != "" {
			s += " " + t.domain
		}
		if t.network.IsValid() {
			s += " " + t.network.String()
		}
		if t.bits4 != 32 || t.bits6 != 128 {
			s += fmt.Sprintf(" %d %d", t.bits4, t.bits6)
		}
		out = append(out, strings.TrimPrefix(s, "+redirect +"))
	}
	return strings.Join(out, ", ")
}

func TestSPF(t *testing.T) {
	zone := `
		a.example. 60 IN TXT "some other text"
		a.example. 60 IN TXT "v=spf1 -ip4:192.0.2.7 ip4:192.0.2.0/24 a:web.example " "mx include:_spf.hoster.example ~all ip4:203.0.113.1"
		a.example. 60 IN MX 10 mx.a.example.
		mx.a.example. 60 IN A 198.51.100.10
		mx.a.example. 60 IN AAAA 2001:db8::25
		web.example. 60 IN A 198.51.100.80
		_spf.hoster.example. 60 IN TXT "v=spf1 -ip4:198.18.0.9 ip4:198.18.0.0/16 ?ip4:198.19.0.1 -all"
		redirects.example. 60 IN TXT "v=spf1 a/28 redirect=_spf.hoster.example"
		redirects.example. 60 IN A 198.51.100.33
		everyone.example. 60 IN TXT "v=spf1 ip4:192.0.2.1 +all"
		macro.example. 60 IN TXT "v=spf1 exists:%{i}._spf.example a:%{d} ptr include:%{d}.example ip4:192.0.2.1"
		two.example. 60 IN TXT "v=spf1 ip4:192.0.2.1"
		two.example. 60 IN TXT "v=spf1 ip4:192.0.2.2"
		loop.example. 60 IN TXT "v=spf1 ip4:192.0.2.1 include:loop.example"
		empty.example. 60 IN TXT "v=spf1 a:x1.example a:x2.example a:x3.example ip4:192.0.2.1 a:x4.example"
		gone.example. 60 IN TXT "v=spf1 ip4:192.0.2.1 include:nobody.example"
	`
	for i := range 12 {
		zone += fmt.Sprintf("many.example%d. 60 IN TXT \"v=spf1 ip4:192.0.2.%d include:many.example%d\"\n", i, i, i+1)
	}
	s, r := serve(t, zone)
	for _, c := range []struct {
		domain   string
		err      string
		yes, no  string
		networks string
	}{
		{"a.example", "", "192.0.2.1 198.51.100.80 198.51.100.10 2001:db8::25 198.18.3.4", "192.0.2.7 198.18.0.9 198.19.0.1 203.0.113.1 10.0.0.1 2001:db8::26", "192.0.2.0/24 198.51.100.80/32 198.51.100.10/32 2001:db8::25/128 198.18.0.0/16"},
		{"redirects.example", "", "198.51.100.40 198.18.1.1", "198.51.100.80", "198.51.100.32/28 198.18.0.0/16"},
		{"everyone.example", "", "192.0.2.1", "192.0.2.2", "192.0.2.1/32"},
		{"macro.example", "", "192.0.2.1", "192.0.2.2", "192.0.2.1/32"},
		{"none.example", "", "", "192.0.2.1", ""},
		{"two.example", "more than one record", "", "192.0.2.1 192.0.2.2", ""},
		{"loop.example", "more than 10 lookups", "192.0.2.1", "192.0.2.2", "192.0.2.1/32 192.0.2.1/32 192.0.2.1/32 192.0.2.1/32 192.0.2.1/32 192.0.2.1/32 192.0.2.1/32 192.0.2.1/32 192.0.2.1/32 192.0.2.1/32 192.0.2.1/32"},
		{"many.example0", "more than 10 lookups", "192.0.2.10", "192.0.2.11", "192.0.2.0/32 192.0.2.1/32 192.0.2.2/32 192.0.2.3/32 192.0.2.4/32 192.0.2.5/32 192.0.2.6/32 192.0.2.7/32 192.0.2.8/32 192.0.2.9/32 192.0.2.10/32"},
		{"empty.example", "more than 2 lookups without an answer, the last for x3.example", "192.0.2.1", "", "192.0.2.1/32"},
		{"gone.example", "nobody.example has no record to include", "192.0.2.1", "", "192.0.2.1/32"},
	} {
		spf, err := r.SPF(t.Context(), c.domain)
		if c.err == "" && err != nil || c.err != "" && (!errors.Is(err, ErrSPF) || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: error %v, want %q", c.domain, err, c.err)
		}
		for _, a := range strings.Fields(c.yes) {
			if !spf.Permits(addr(a)) || addr(a).Is4() && !spf.Permits(addr("::ffff:"+a)) {
				t.Errorf("%s: %s may not send", c.domain, a)
			}
		}
		for _, a := range strings.Fields(c.no) {
			if spf.Permits(addr(a)) {
				t.Errorf("%s: %s may send", c.domain, a)
			}
		}
		var networks []string
		for _, n := range spf.Networks() {
			networks = append(networks, n.String())
		}
		if got := strings.Join(networks, " "); got != c.networks {
			t.Errorf("%s: networks %s, want %s", c.domain, got, c.networks)
		}
	}
	for _, q := range s.questions() {
		if strings.Contains(q, "%") || strings.HasPrefix(q, "x4.example") {
			t.Errorf("%s was asked", q)
		}
	}
}

// A record that asks for all it may leads to a bounded number of questions.
func TestSPFQuestionsAreBounded(t *testing.T) {
	zone := `evil.example. 60 IN TXT "v=spf1` + strings.Repeat(" mx:evil.example", 40) + "\"\n"
	for i := range 50 {
		zone += fmt.Sprintf("evil.example. 60 IN MX 10 mx%d.evil.example.\nmx%d.evil.example. 60 IN A 192.0.2.%d\n", i, i, i)
	}
	zone = strings.Replace(zone, strings.Repeat(" mx:evil.example", 14), strings.Repeat(" mx:evil.example", 14)+`" "`, 1)
	zone = strings.Replace(zone, strings.Repeat(" mx:evil.example", 15), strings.Repeat(" mx:evil.example", 15)+`" "`, 1)
	s, r := serve(t, zone)
	spf, err := r.SPF(t.Context(), "evil.example")
	if !errors.Is(err, ErrSPF) {
		t.Errorf("got %v, want %v", err, ErrSPF)
	}
	if n := len(spf.Networks()); n > maxSPFLookups*maxHosts*2*maxAddrs {
		t.Errorf("%d networks", n)
	}
	// TXT, then MX and two kinds of address for each host; a question whose answer is cut is asked again by TCP.
	if n := len(s.questions()); n > 2*(1+maxSPFLookups*(1+2*maxHosts)) {
		t.Errorf("%d questions", n)
	}
}

func FuzzParseSPF(f *testing.F) {
	for _, s := range []string{
		"", "v=spf1", "v=spf1 -all", "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 a mx:x/24//64 include:y ?exists:%{i} ptr redirect=z", "v=spf1 a:x/0//0 +mx ~a/32 redirect=a exp=b", "v=spf1 ip4:\x00", "v=spf1 \xff:=/", "V=sPf1\ta\n-all",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		terms, err := parseSPF(text)
		if len(terms) > maxSPFTerms {
			t.Fatalf("%d terms", len(terms))
		}
		if err != nil && (!utf8.ValidString(err.Error()) || len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\r\n\x00\x1b")) {
			t.Errorf("%q: error %q", text, err)
		}
		for i, x := range terms {
			if !strings.ContainsRune("+-~?", rune(x.qualifier)) || x.bits4 < 0 || x.bits4 > 32 || x.bits6 < 0 || x.bits6 > 128 {
				t.Errorf("%q: term %+v", text, x)
			}
			if x.name == "redirect" && i != len(terms)-1 {
				t.Errorf("%q: a redirect that is not last", text)
			}
			if (x.name == "ip4" || x.name == "ip6") && (!x.network.IsValid() || x.network != x.network.Masked() || x.network.Addr().Is4() != (x.name == "ip4")) {
				t.Errorf("%q: network %v", text, x.network)
			}
		}
		(&SPF{rules: []rule{{qualifier: '+'}}}).Permits(netip.Addr{})
	})
}

// A record may permit an address more than once: the longest network names it best. What an earlier mechanism takes away
// is named by none.
func TestPermitting(t *testing.T) {
	_, r := serve(t, `
		a.example. 60 IN TXT "v=spf1 -ip4:198.51.100.99 ip4:198.51.100.0/24 include:b.example ip4:198.51.100.99 ?ip4:203.0.113.0/24 ~all"
		b.example. 60 IN TXT "v=spf1 ip4:198.51.100.25 -all"
	`)
	spf, err := r.SPF(t.Context(), "a.example")
	if err != nil {
		t.Fatal(err)
	}
	for a, want := range map[string]string{"198.51.100.25": "198.51.100.25/32", "198.51.100.26": "198.51.100.0/24", "198.51.100.99": "invalid Prefix", "203.0.113.1": "invalid Prefix", "192.0.2.1": "invalid Prefix"} {
		if got := spf.Permitting(addr(a)); got.String() != want {
			t.Errorf("%s: got %s, want %s", a, got, want)
		}
	}
}
