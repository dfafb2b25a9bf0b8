package fingerprint

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// said is one block of testdata/services.txt.
type said struct {
	line     int // of the first line, for messages
	evidence Evidence
	product  string            // "-": not known
	want     map[string]string // key → value
}

// readServices reads testdata/services.txt.
func readServices(t testing.TB) []said {
	t.Helper()
	b, err := os.ReadFile("testdata/services.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []said
	s, verb := said{}, ""
	for i, l := range strings.Split(string(b), "\n") {
		switch {
		case l == "" || strings.HasPrefix(l, "#"):
		case strings.HasPrefix(l, "C: "):
			verb, _, _ = strings.Cut(l[3:], " ")
		case strings.HasPrefix(l, "= "):
			parts := strings.Split(l[2:], "; ")
			s.product, s.want = parts[0], make(map[string]string)
			for i, p := range parts[1:] {
				key, value, found := strings.Cut(p, "=")
				if key == "evidence" {
					value, found = strings.TrimPrefix(strings.Join(parts[1+i:], "; "), "evidence="), true
				}
				if !found {
					t.Fatalf("line %d: %q is no key=value", i+1, p)
				}
				s.want[key] = value
				if key == "evidence" {
					break
				}
			}
			all = append(all, s)
			s, verb = said{}, ""
		default:
			if s.line == 0 {
				s.line = i + 1
			}
			if len(l) < 4 {
				t.Fatalf("line %d: %q is no reply", i+1, l)
			}
			e, text := &s.evidence, l[4:]
			switch {
			case verb == "":
				e.Greeting = append(e.Greeting, text)
			case l[0] >= '4':
				e.Errors = append(e.Errors, l)
			case verb == "EHLO":
				e.EHLO = append(e.EHLO, text)
			case verb == "HELP":
				e.Help = append(e.Help, text)
			default:
				t.Fatalf("line %d: what is %q the reply to?", i+1, l)
			}
		}
	}
	return all
}

func TestIdentify(t *testing.T) {
	all := readServices(t)
	if len(all) < 60 {
		t.Fatalf("got %d services, want 60 or more", len(all))
	}
	for _, c := range all {
		s := Identify(c.evidence)
		got := map[string]string{
			"vendor": s.Vendor, "version": s.Version, "os": s.OS, "cpe": s.CPE23, "kind": s.Kind, "end": s.EndOfLife,
			"evidence": s.Evidence, "release": s.Release, "sure": fmt.Sprint(s.Confidence),
		}
		if c.product == "-" {
			if s != (Service{}) {
				t.Errorf("line %d: got %+v, want nothing known", c.line, s)
			}
			continue
		}
		for _, k := range []string{"version", "os"} {
			if _, ok := c.want[k]; !ok {
				c.want[k] = ""
			}
		}
		if s.Product != c.product {
			t.Errorf("line %d: got product %q (%s), want %q", c.line, s.Product, s.Evidence, c.product)
			continue
		}
		for k, want := range c.want {
			if v, ok := got[k]; !ok || v != want {
				t.Errorf("line %d: %s: got %s %q, want %q", c.line, s.Product, k, v, want)
			}
		}
	}
}

// What is in the table must be told by something in the test.
func TestEveryRuleAndProductIsTold(t *testing.T) {
	told, named := make(map[string]bool), make(map[string]bool)
	for _, c := range readServices(t) {
		for _, h := range match(c.evidence.lines()) {
			told[h.id] = true
		}
		s := Identify(c.evidence)
		named[s.Vendor+"/"+s.Product] = true
	}
	for _, r := range rules {
		if !told[r.id] {
			t.Errorf("rule %s: no service in testdata/services.txt is told by it", r.id)
		}
	}
	for k, p := range products {
		if !named[p.vendor+"/"+p.name] {
			t.Errorf("product %s: not in testdata/services.txt", k)
		}
	}
	if len(products) < 130 {
		t.Errorf("got %d products, want 130 or more", len(products))
	}
	// What an organisation is most likely to run, and what it is most likely to have forgotten.
	for _, want := range strings.Fields(`Postfix Exim Sendmail qmail netqmail notqmail s/qmail IndiMail Exchange_Server Exchange_Online IIS_SMTP_Service
		Domino OpenSMTPD Courier_Mail_Server Zimbra_Collaboration hMailServer MDaemon MailEnable Haraka Postal Stalwart Maddy mox James Kerio_Connect
		Axigen CommuniGate_Pro Email_Security_Gateway Secure_Email_Gateway_(IronPort) FortiMail Email_Appliance Email_Protection Email_Security
		PIX/ASA_SMTP_inspection MailHog Mailpit smtp4dev Papercut_SMTP GreenMail smtp-sink INetSim chasquid qpsmtpd smtp-server Twisted_Mail
		go-guerrilla Inbucket imageRUNNER bizhub printer multifunction_printer network_storage UPS_network_card network_scanner`) {
		want = strings.ReplaceAll(want, "_", " ")
		if !slices.ContainsFunc(slices.Collect(maps.Values(products)), func(p product) bool { return p.name == want }) {
			t.Errorf("product %s: not in the table", want)
		}
	}
}

func TestTablesAreSound(t *testing.T) {
	ids := make(map[string]bool)
	used := make(map[string]bool)
	for _, r := range rules {
		if ids[r.id] {
			t.Errorf("rule %s: twice", r.id)
		}
		ids[r.id], used[r.is] = true, true
		if _, ok := products[r.is]; !ok {
			t.Errorf("rule %s: no product %q", r.id, r.is)
		}
		if r.sure < 1 || r.sure > 99 {
			t.Errorf("rule %s: got sure %d, want 1 to 99", r.id, r.sure)
		}
		re, err := regexp.Compile(r.re)
		if err != nil {
			t.Errorf("rule %s: %v", r.id, err)
			continue
		}
		for _, name := range re.SubexpNames() {
			if !slices.Contains([]string{"", "version", "os"}, name) {
				t.Errorf("rule %s: what is group %q?", r.id, name)
			}
		}
		if re.MatchString("") {
			t.Errorf("rule %s: matches the empty line", r.id)
		}
	}
	cpe := regexp.MustCompile(`^[ao]:[a-z0-9_-]+:[a-z0-9_-]+$`)
	for k, p := range products {
		if !used[k] {
			t.Errorf("product %s: no rule tells it", k)
		}
		if p.cpe != "" && !cpe.MatchString(p.cpe) {
			t.Errorf("product %s: got CPE %q, want part:vendor:product", k, p.cpe)
		}
		for _, s := range p.speaks {
			if _, ok := products[s]; !ok {
				t.Errorf("product %s: speaks %q, which is none", k, s)
			}
		}
	}
	names := make(map[string]string)
	for k, p := range products {
		if name := p.vendor + "/" + p.name; names[name] != "" {
			t.Errorf("products %s and %s are both %s", k, names[name], name)
		} else {
			names[name] = k
		}
	}
	for i, b := range builds[1:] {
		if a := builds[i]; slices.Compare([]int{a.major, a.minor, a.build}, []int{b.major, b.minor, b.build}) >= 0 {
			t.Errorf("build of %s does not follow that of %s", b.name, a.name)
		}
	}
	for _, p := range packaged {
		if _, ok := products[p.is]; !ok {
			t.Errorf("%s %s: no such product", p.is, p.cycle)
		}
	}
	days := make(map[string]string)
	for _, r := range releases {
		days[r.windows+" "+r.build] = r.end
	}
	for _, e := range ends {
		if _, ok := products[e.is]; !ok {
			t.Errorf("end of %s %s: no such product", e.is, e.cycle)
		}
		days[e.is+" "+e.cycle] = e.day
	}
	for what, day := range days {
		if _, err := time.Parse(time.DateOnly, day); err != nil {
			t.Errorf("end of %s: %v", what, err)
		}
	}
}

func TestExchangeRelease(t *testing.T) {
	for build, want := range map[string]string{
		"15.1.2507.6": "2016 CU23", "15.1.2507.57": "2016 CU23", "15.2.1748.10": "2019 CU15", "15.2.2562.17": "SE", "15.0.847.32": "2013 SP1", "14.3.123.4": "2010 SP3",
		"8.3.83.6": "2007 SP3", "6.5.7638.1": "2003", "15.2.100.1": "2019", "15.3.1.1": "", "15.1": "", "": "", "2016": "", "a.b.c": "", "99999999999999999999.1.1": "", "15.1.2500.1": "2016 CU22",
	} {
		if got := exchangeRelease(build); got != want {
			t.Errorf("%s: got %q, want %q", build, got, want)
		}
	}
}

func TestWhatIsNoMail(t *testing.T) {
	for _, c := range []struct {
		name string
		e    Evidence
	}{
		{"nothing", Evidence{}},
		{"empty lines", Evidence{Greeting: []string{"", "\r\n"}, EHLO: []string{""}, Help: []string{" "}, Errors: []string{""}}},
		{"nginx", Evidence{Greeting: []string{"HTTP/1.1 400 Bad Request", "Server: nginx/1.18.0 (Ubuntu)", "Date: Mon, 03 Jun 2024 00:00:00 GMT", "", "<html>"}}},
		{"SSH", Evidence{Greeting: []string{"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u2"}}},
		{"IMAP", Evidence{Greeting: []string{"* OK [CAPABILITY IMAP4rev1 SASL-IR] Dovecot (Debian) ready."}}},
		{"POP3", Evidence{Greeting: []string{"+OK Dovecot (Debian) ready."}}},
		{"noise", Evidence{Greeting: []string{"\x00\xff\x16\x03\x01\x02\x00\x01\xfc", "\x80\x81\x82"}, Errors: []string{"\xf0\x9f"}}},
		{"a letter repeated", Evidence{Greeting: []string{strings.Repeat("A", 1<<20)}}},
	} {
		if got := Identify(c.e); got != (Service{}) {
			t.Errorf("%s: got %+v, want nothing known", c.name, got)
		}
		if got := SeenAs(c.e); got != "" {
			t.Errorf("%s: SeenAs: got %q, want none", c.name, got)
		}
	}
}

func TestBounds(t *testing.T) {
	line := "mail.example.com ESMTP Exim 4.96 " + strings.Repeat("é", 1000)
	if got := Identify(Evidence{Greeting: []string{line}}); len(got.Evidence) > maxEvidence || !utf8.ValidString(got.Evidence) {
		t.Errorf("evidence: got %d bytes %q, want at most %d, not cut within a character", len(got.Evidence), got.Evidence, maxEvidence)
	}
	refusal := "454 4.7.1 <" + strings.Repeat("a", 300) + "@example.net>: Relay access denied"
	got := Identify(Evidence{Greeting: []string{"mail.example.com ESMTP Exim 4.96 Mon, 3 Jun 2024 09:00:00 +0900"}, Errors: []string{refusal}})
	if len(got.Evidence) > maxEvidence || !strings.Contains(got.Evidence, "Exim 4.96 Mon") || !strings.Contains(got.Evidence, "| but: 454 4.7.1 <aaa") {
		t.Errorf("contradiction: got %q, want both lines in %d bytes", got.Evidence, maxEvidence)
	}
	far := "mail.example.com " + strings.Repeat(" ", maxLine) + "ESMTP Postfix"
	if got := Identify(Evidence{Greeting: []string{far}}); got != (Service{}) {
		t.Errorf("beyond %d bytes: got %+v, want nothing known", maxLine, got)
	}
	many := append(slices.Repeat([]string{"hold the line"}, 100_000), "mail.example.com ESMTP Postfix")
	if got := Identify(Evidence{Greeting: many, EHLO: many, Help: many, Errors: many}); got != (Service{}) {
		t.Errorf("100,000 lines: got %+v, want nothing known", got)
	}
	if n := len(Evidence{many, many, many, many}.lines()); n != 64 {
		t.Errorf("got %d lines looked at, want 64", n)
	}
}

func TestRefusalOfSeveralLines(t *testing.T) {
	for _, c := range []struct{ name, refusal, want string }{
		{"code in the first line", "554 esa.example.com\nYour access has been rejected due to the sending MTA's poor reputation.", "554 Your access has been rejected due to the sending MTA's poor reputation."},
		{"code in all lines", "550-Hello\r\n550 5.7.1 Unable to relay\r\n", "550 5.7.1 Unable to relay"},
		{"code in the first line, and the end counts", "550 no\n5.7.1 Unable to relay", "550 5.7.1 Unable to relay"},
	} {
		if got := Identify(Evidence{Errors: []string{c.refusal}}); got.Evidence != c.want {
			t.Errorf("%s: got %+v, want evidence %q", c.name, got, c.want)
		}
	}
}

func TestSeenAs(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{"Exim", "mail.example.com Hello scanner.example.net [203.0.113.9]", "203.0.113.9"},
		{"Exim, IPv6", "mail.example.com Hello scanner.example.net [2001:db8::9]", "2001:db8::9"},
		{"Exim, ident", "mail.example.com Hello root at scanner.example.net [203.0.113.9]", "203.0.113.9"},
		{"OpenSMTPD", "mail.example.com Hello scanner.example.net [203.0.113.9], pleased to meet you", "203.0.113.9"},
		{"OpenSMTPD, IPv6", "mail.example.com Hello scanner.example.net [IPv6:2001:DB8:0::9], pleased to meet you", "2001:db8::9"},
		{"Exchange", "EX01.corp.example Hello [203.0.113.9]", "203.0.113.9"},
		{"sendmail", "mail.example.com Hello scanner.example.net [203.0.113.9], pleased to meet you", "203.0.113.9"},
		{"sendmail, forged", "mail.example.com Hello scanner.example.net [203.0.113.9] (may be forged), pleased to meet you", "203.0.113.9"},
		{"sendmail, no PTR", "mail.example.com Hello [203.0.113.9], pleased to meet you", "203.0.113.9"},
		{"sendmail, name only", "mail.example.com Hello Scanner.Example.NET, pleased to meet you", "scanner.example.net"},
		{"Domino", "mail.example.com Hello scanner.example.net ([203.0.113.9]), pleased to meet you", "203.0.113.9"},
		{"Haraka", "mail.example.com Hello Unknown [203.0.113.9], Haraka is at your service.", "203.0.113.9"},
		{"MailEnable", "example.com [203.0.113.9], this server offers 4 extensions", "203.0.113.9"},
		{"Gmail", "mx.google.com at your service, [203.0.113.9]", "203.0.113.9"},
		{"qpsmtpd", "mail.example.com Hi scanner.example.net [203.0.113.9]", "203.0.113.9"},
		{"James", "mail Hello scanner.example.net [203.0.113.9])", "203.0.113.9"},
		{"SurgeMail", "mail.example.com. Hello scanner.example.net (203.0.113.9)", "203.0.113.9"},
		{"mapped", "mail.example.com Hello x [::ffff:203.0.113.9]", "203.0.113.9"},
		{"link-local", "mail.example.com Hello x [fe80::1%eth0]", "fe80::1"},
		{"our literal as HELO, and where we come from", "mail.example.com Hello [192.0.2.1] [203.0.113.9]", "203.0.113.9"},
		{"server is a literal", "[192.0.2.25] Hello [203.0.113.9]", "203.0.113.9"},
		{"server is a literal and tells nothing", "[192.0.2.25]", ""},
		{"go-smtp", "Hello scanner.example.net", "scanner.example.net"},
		{"Postfix", "mail.example.com", ""},
		{"Courier", "mail.example.com Ok.", ""},
		{"smtp4dev", "Nice to meet you.", ""},
		{"no address", "mail.example.com Hello you [999.1.1.1]", ""},
		{"a version", "mail.example.com ready (8.14.4)", ""},
		{"empty", "", ""},
		{"control characters", "mail Hello \x1b[2Jevil.example\x07 [203.0.113.9]\r\n", "203.0.113.9"},
		{"control characters in a name", "mail Hello \x1b[2Jevil.example\x07", ""},
	} {
		if got := SeenAs(Evidence{EHLO: []string{c.line, "Hello not.this.line [192.0.2.99]"}}); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	if got := SeenAs(Evidence{}); got != "" {
		t.Errorf("no EHLO: got %q, want none", got)
	}
}

func TestHostNames(t *testing.T) {
	for _, c := range []struct {
		name     string
		greeting []string
		ehlo     []string
		want     []string
	}{
		{"one", []string{"mail.example.com ESMTP Postfix"}, []string{"mail.example.com", "PIPELINING"}, []string{"mail.example.com"}},
		{"two, and case", []string{"MX1.Example.COM. ESMTP"}, []string{"hub.corp.local Hello [203.0.113.9]"}, []string{"mx1.example.com", "hub.corp.local"}},
		{"the client is not the server", []string{"ESMTP"}, []string{"Hello scanner.example.net"}, nil},
		{"addresses", []string{"192.0.2.25 ESMTP", "[192.0.2.25] ESMTP"}, []string{"[IPv6:2001:db8::25] Hello x.example [203.0.113.9]"}, nil},
		{"a short name", []string{"mail ESMTP"}, []string{"mail"}, nil},
		{"no name first", []string{"ESMTP mail.example.com ready"}, nil, []string{"mail.example.com"}},
		{"in the text", []string{"Welcome to mail.example.com, ESMTP"}, nil, []string{"mail.example.com"}},
		{"the maker's site", []string{"SMTP Server (www.mailenable.example) http://www.example.org/ admin@example.org"}, nil, nil},
		{"a version", []string{"ESMTP Postfix 3.1.4 (8.14.4/8.14.4) v6.0.0.0"}, nil, nil},
		{"only the first word of later lines", []string{"mx.example.com ESMTP", "see policy.example.org for policy", "mx2.example.com ESMTP"}, nil, []string{"mx.example.com", "mx2.example.com"}},
		{"international", []string{"mail.xn--fiqs8s ESMTP", "mail.例え.jp ESMTP"}, nil, []string{"mail.xn--fiqs8s"}},
		{"underscore", []string{"mail_1.example.com ESMTP"}, nil, []string{"mail_1.example.com"}},
		{"hyphen at an end", []string{"-mail.example.com ESMTP", "mail-.example.com ESMTP"}, nil, nil},
		{"too long", []string{strings.Repeat("a.", 130) + "example ESMTP"}, nil, nil},
		{"control characters", []string{"mail\x00.example.com ESMTP", "\x1b[31mmail.example.com"}, nil, nil},
		{"nothing", nil, nil, nil},
	} {
		if got := HostNames(Evidence{Greeting: c.greeting, EHLO: c.ehlo}); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// cpeForm is a CPE 2.3 name as we write them.
var cpeForm = regexp.MustCompile(`^cpe:2\.3:[aoh]:[a-z0-9_.-]+:[a-z0-9_.-]+:(?:\*|(?:[a-z0-9._-]|\\[!-/:-@\[-` + "`" + `{-~ ])+):(?:\*|[a-z0-9_]+)(?::\*){6}$`)

func FuzzIdentify(f *testing.F) {
	for _, c := range readServices(f) {
		e := c.evidence
		f.Add(strings.Join(e.Greeting, "\n"), strings.Join(e.EHLO, "\n"), strings.Join(e.Help, "\n"), strings.Join(e.Errors, "\n"))
	}
	days := regexp.MustCompile(`^(?:\d{4}-\d\d-\d\d)?$`)
	f.Fuzz(func(t *testing.T, greeting, ehlo, help, errors string) {
		e := Evidence{strings.Split(greeting, "\n"), strings.Split(ehlo, "\n"), strings.Split(help, "\n"), strings.Split(errors, "\n")}
		s := Identify(e)
		if s == (Service{}) != (s.Confidence == 0) || s.Confidence < 0 || s.Confidence > 100 {
			t.Errorf("got confidence %d of %+v", s.Confidence, s)
		}
		if len(s.Evidence) > maxEvidence {
			t.Errorf("got evidence of %d bytes, want at most %d", len(s.Evidence), maxEvidence)
		}
		if !days.MatchString(s.EndOfLife) {
			t.Errorf("got end %q, want a day", s.EndOfLife)
		}
		if s.CPE23 != "" && !cpeForm.MatchString(s.CPE23) {
			t.Errorf("got CPE %q, want a CPE 2.3 name", s.CPE23)
		}
		if !slices.Contains([]string{"", mta, sink, appliance, library}, s.Kind) {
			t.Errorf("got kind %q", s.Kind)
		}
		for _, field := range append(HostNames(e), s.Version, s.OS, SeenAs(e)) {
			if len(field) > maxName || strings.ContainsFunc(field, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }) {
				t.Errorf("got field %q, want it short and printable", field)
			}
		}
		if got := Identify(e); got != s {
			t.Errorf("got %+v, then %+v", s, got)
		}
	})
}

// BenchmarkIdentify: an ordinary server, and 64 lines of 512 bytes made to be slow.
func BenchmarkIdentify(b *testing.B) {
	slow := slices.Repeat([]string{strings.Repeat("ESMTP 1.1 ", 52)}, 24)
	for _, c := range []struct {
		name string
		e    Evidence
	}{
		{"ordinary", Evidence{
			Greeting: []string{"mail.example.com ESMTP Postfix (Debian/GNU)"},
			EHLO:     []string{"mail.example.com", "PIPELINING", "SIZE 10240000", "STARTTLS", "8BITMIME", "DSN"},
			Errors:   []string{"454 4.7.1 <a@example.net>: Relay access denied"},
		}},
		{"hostile", Evidence{slow, slow, slow, slow}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				Identify(c.e)
			}
		})
	}
}

func Example() {
	said := Evidence{
		Greeting: []string{"mx1.example.com ESMTP Exim 4.96 Ubuntu Thu, 16 Nov 2023 11:30:44 +0900"},
		EHLO:     []string{"mx1.example.com Hello scanner.example.net [198.51.100.1]", "SIZE 52428800", "PRDR"},
		Errors:   []string{"550 relay not permitted"},
	}
	s := Identify(said)
	fmt.Println(s.Product, s.Version, "on", s.OS, "until", s.EndOfLife)
	fmt.Println(s.CPE23)
	fmt.Println("sees us as", SeenAs(said))
	fmt.Println("calls itself", HostNames(said))
	// Output:
	// Exim 4.96 on Ubuntu until 2023-11-04
	// cpe:2.3:a:exim:exim:4.96:*:*:*:*:*:*:*
	// sees us as 198.51.100.1
	// calls itself [mx1.example.com]
}
