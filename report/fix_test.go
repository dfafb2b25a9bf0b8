package report

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"relaysweep/probe"
	"relaysweep/probe/smtp"
)

func TestFix(t *testing.T) {
	at := func(endpoint string) Fix { return entryAt(t, full(), endpoint).Fix }
	has := func(steps []string, words string) bool {
		return slices.ContainsFunc(steps, func(s string) bool { return strings.Contains(s, words) })
	}
	for _, test := range []struct {
		endpoint  string
		want, not []string
	}{
		{"198.51.100.10:25", []string{"smtpd_relay_restrictions", "mynetworks_style", "compatibility_level"}, []string{"check_sender_access", "check_helo_access"}}, // S1 tells all
		{"198.51.100.11:25", []string{"sender_domains", "exim -bh"}, []string{"dc_relay_nets", "percent_hack"}},
		{"198.51.100.12:587", []string{"Accept-Any-Recipient", "Client Frontend (587)"}, []string{"smtpd_"}},
		{"198.51.100.13:25", []string{"mail-from"}, []string{"narrow from src"}},
		{"198.51.100.15:25", []string{"refuse local names that do not exist", "resolve_dequoted_address"}, []string{"check_sender_access"}},
		{"198.51.100.16:587", []string{"smtpd_tls_auth_only", "smtpd_tls_protocols"}, []string{"smtpd_relay_restrictions"}},
	} {
		f := at(test.endpoint)
		for _, w := range test.want {
			if !has(f.Server, w) {
				t.Errorf("%s: %q is not in %q", test.endpoint, w, f.Server)
			}
		}
		for _, w := range test.not {
			if has(f.Server, w) {
				t.Errorf("%s: %q is in %q", test.endpoint, w, f.Server)
			}
		}
		if f.Source == "" {
			t.Errorf("%s: no source", test.endpoint)
		}
	}
	if f := at("198.51.100.10:25"); !has(f.Firewall, "come from 10.20.1.1, and it came from 203.0.113.10") {
		t.Errorf("the translated address is not told: %q", f.Firewall)
	}
	if f := at("198.51.100.17:25"); len(f.Server) != 0 || len(f.Firewall) != 0 {
		t.Errorf("a closed server got advice: %+v", f)
	}
}

// ids is every vector that a step can be for: those of the table, and those that a scan tries by other means.
func ids() []string {
	out := []string{"I2", "I3", "I4", "I5", "I6", "I9", "I10", "I11", "I12", "I13", "R20", "R21", "R22"}
	for _, v := range probe.Vectors() {
		if !slices.Contains(out, v.ID) {
			out = append(out, v.ID)
		}
	}
	return out
}

// Every product has steps for every vector, in both languages alike, whatever its version, and says where they come from.
func TestFixTable(t *testing.T) {
	for _, p := range products {
		if p.source.en == "" || p.name.en == "" {
			t.Errorf("%q: no name or source", p.key)
		}
		if p.on != "" && p.base() == nil {
			t.Errorf("%q is made of %q, which is not in the table", p.key, p.on)
		}
		for _, v := range ids() {
			for _, version := range []string{"", "0.1", "2.8", "2.9", "3.7.9", "4.97.1", "6.4", "8.18.1", "2003", "2010", "2019", "not a version"} {
				en, ja := p.relaySteps(English, version, []string{v}), p.relaySteps(Japanese, version, []string{v})
				if len(en) == 0 || len(en) != len(ja) {
					t.Errorf("%q %s: %d steps for %s, %d in Japanese", p.key, version, len(en), v, len(ja))
				}
			}
		}
		for _, s := range p.steps {
			for _, v := range s.vectors() {
				if v != "*" && v != whenRoute && !slices.Contains(ids(), v) {
					t.Errorf("%q: a step for %q, which is no vector", p.key, v)
				}
			}
		}
		for v := range strings.FieldsSeq(p.lacks) {
			if p.answers(v, "") {
				t.Errorf("%q has no part in %s, and a step for it", p.key, v)
			}
		}
	}
	last := &products[len(products)-1]
	for _, v := range ids() {
		if v != "I8" && !last.answers(v, "") { // I8 is every listener on its own: nothing more is sent
			t.Errorf("the last row has no step for %s", v)
		}
	}
}

// An own step, or the word that it has no part in it, for each way in.
func TestFixCovers(t *testing.T) {
	for _, key := range []string{"postfix", "exim", "sendmail", "exchange", "opensmtpd", "qmail", "courier", "haraka", "domino", "hmailserver"} {
		i := slices.IndexFunc(products, func(p product) bool { return p.key == key })
		for _, v := range []string{"I2", "I3", "I4", "I5", "I6", "I9", "I10", "I13"} {
			if p := &products[i]; !p.answers(v, "") && !among(p.lacks, v) && !(key == "domino" && v == "I10") {
				t.Errorf("%s: nothing of its own for %s", key, v)
			}
		}
	}
}

// bothLanguages is every text of the tables, for both languages.
func bothLanguages() []text {
	out := []text{
		ownDocuments, notItself, localNames, oldTLS, clearAuth, oldVersion, sinkOwner, sinkStop, sinkRelease, sinkQueue, judgeDomain, judgeLetIn, judgeAgain,
		fromOutside, fromInside, denyRule, permitFew, closeRare, closeOpening, seenElse, seenPrivate, seenUnknown,
	}
	for _, n := range portNotes {
		out = append(out, n)
	}
	for _, p := range products {
		out = append(out, p.name, p.source)
		if p.on == "" {
			out = append(out, p.tls, p.auth)
		}
		for _, s := range p.steps {
			out = append(out, text{s.en, s.ja})
		}
	}
	return out
}

// Settings, commands, addresses and versions are the same in both languages.
func TestJapanese(t *testing.T) {
	kana := regexp.MustCompile(`\p{Hiragana}|\p{Katakana}|\p{Han}`)
	setting := regexp.MustCompile("[A-Za-z0-9$`\"'{}\\\\*][A-Za-z0-9_$%!@*#+=\"'`{}|\\\\/.:;<>()-]*[A-Za-z0-9_$%\"'`)}]|%\\[\\d\\][sd]")
	named := regexp.MustCompile(`[_$=\\%\d]|[a-z][A-Z]|^[A-Z]{3,}`)
	squeeze := func(s string) string {
		return strings.Map(func(r rune) rune {
			if unicode.IsSpace(r) {
				return -1
			}
			return r
		}, s)
	}
	for _, x := range bothLanguages() {
		if x.en == "" || x.ja == "" {
			t.Errorf("a language is missing: %q %q", x.en, x.ja)
			continue
		}
		if x.en != x.ja && !kana.MatchString(x.ja) && !strings.Contains(x.ja, "、") && x != denyRule {
			t.Errorf("no Japanese: %q", x.ja)
		}
		if x.en != x.ja && kana.MatchString(x.en) {
			t.Errorf("Japanese in %q", x.en)
		}
		for _, w := range setting.FindAllString(x.en, -1) {
			if w = strings.TrimSuffix(strings.Trim(w, ".,:;()"), "'s"); named.MatchString(w) && !strings.Contains(squeeze(x.ja), w) {
				t.Errorf("%q of\n  %s\nis not in\n  %s", w, x.en, x.ja)
			}
		}
		if kana.MatchString(x.ja) && strings.ContainsAny(x.ja, "，．") {
			t.Errorf("other punctuation: %q", x.ja)
		}
	}
}

func TestFixVersions(t *testing.T) {
	for _, test := range []struct {
		product, version string
		vectors          []string
		want, not        []string
	}{
		{"Postfix", "2.6.6", []string{"S1"}, []string{"Before 2.10 there is no", "Before 3.0 mynetworks_style"}, []string{"compatibility_level=", "In main.cf: smtpd_relay_restrictions"}},
		{"Postfix", "3.4.13", []string{"S1"}, []string{"compatibility_level=3.6", "In main.cf: smtpd_relay_restrictions"}, []string{"Before 2.10", "Before 3.0"}},
		{"Postfix", "", []string{"S1"}, []string{"compatibility_level=3.6", "Before 2.10", "In main.cf: smtpd_relay_restrictions"}, nil},
		{"Postfix", "3.8.1", []string{"I11"}, []string{"3.5.24, 3.6.14, 3.7.10, 3.8.5", "CVE-2023-51764"}, []string{"is the default", "mynetworks_style"}},
		{"Postfix", "3.11.6", []string{"I11"}, []string{"is the default"}, []string{"CVE-2023-51764"}},
		{"Postfix", "2.5.5", []string{"I12"}, []string{"CVE-2011-0411: upgrade"}, []string{"throws away what was sent ahead of TLS: what answers"}},
		{"Postfix", "3.4.13", []string{"R20"}, []string{"permit_mx_backup_networks"}, []string{"allow_untrusted_routing"}},
		{"Postfix", "3.4.13", []string{"S1", "S6", "I5"}, []string{"mynetworks to the hosts", "smtpd_authorized_xclient_hosts"}, []string{"check_sender_access"}},
		{"Postfix", "3.4.13", []string{"I5"}, []string{"smtpd_authorized_xclient_hosts"}, []string{"mynetworks", "postconf -n"}},
		{"Zimbra Collaboration", "8.8.15", []string{"I6"}, []string{"under a management of its own", "smtpd_upstream_proxy_protocol"}, []string{"mynetworks to the hosts"}},
		{"Exim", "4.96", []string{"I11"}, []string{"chunking_advertise_hosts"}, []string{"what answers is"}},
		{"Exim", "4.97.1", []string{"I11"}, []string{"what answers is"}, []string{"chunking_advertise_hosts"}},
		{"Exim", "4.98.2", []string{"I9"}, []string{"Exim itself has no part in I9", "qmail-qmqpd"}, []string{"relay_from_hosts"}},
		{"Sendmail", "8.8.6", []string{"S1"}, []string{"Before 8.9 sendmail relays"}, []string{"From 8.9 on"}},
		{"Sendmail", "8.18.1", []string{"S1"}, []string{"From 8.9 on", "promiscuous_relay"}, []string{"Before 8.9 sendmail relays", "relay_based_on_MX"}},
		{"Sendmail", "SMI-8.6", []string{"S1"}, []string{"Before 8.9 sendmail relays"}, nil},
		{"Exchange Server", "2010", []string{"S1"}, []string{"Hub Transport", "Accept-Any-Recipient"}, []string{"FrontendTransport", "Virtual Server"}},
		{"Exchange Server", "2019", []string{"S1"}, []string{"FrontendTransport"}, []string{"Hub Transport", "Virtual Server"}},
		{"Exchange Server", "2003", []string{"S1"}, []string{"Default SMTP Virtual Server"}, []string{"Get-ReceiveConnector", "Internet Mail Service"}},
		{"Exchange Server", "5.5.2653.13", []string{"S1"}, []string{"Do not reroute incoming SMTP mail"}, []string{"Get-ReceiveConnector", "Virtual Server"}},
		{"Exchange Server", "", []string{"S1"}, []string{"FrontendTransport", "Hub Transport"}, []string{"Virtual Server", "Internet Mail Service"}},
		{"OpenSMTPD", "6.0.3", []string{"S1"}, []string{"accept from any for any relay"}, []string{"Remove match from any"}},
		{"OpenSMTPD", "7.4", []string{"S1"}, []string{"Remove match from any"}, []string{"accept from any"}},
		{"qmail", "", []string{"I3"}, []string{"/bin/checkpassword /bin/true"}, []string{"rcpthosts must exist"}},
		{"qmail", "", []string{"I9"}, []string{"qmail-qmqpd (port 628)", ":deny"}, []string{"have rules of their own"}},
		{"Courier Mail Server", "", []string{"R1"}, []string{"esmtppercentrelay"}, nil},
		{"Haraka", "3.0.3", []string{"I6"}, []string{"[haproxy] hosts[]"}, []string{"relay_acl_allow"}},
		{"Domino", "12.0.2", []string{"S1"}, []string{"Allow messages only from the following internet hosts", "SMTPRelayHostsandDomains"}, nil},
		{"", "", []string{"I13"}, []string{"other address or port"}, nil},
	} {
		var f probe.Finding
		f.Service.Product, f.Service.Version = test.product, test.version
		steps := strings.Join(productOf(&f).relaySteps(English, versionOf(&f), test.vectors), "\n")
		for _, w := range test.want {
			if !strings.Contains(steps, w) {
				t.Errorf("%s %s %v: %q is not in\n%s", test.product, test.version, test.vectors, w, steps)
			}
		}
		for _, w := range test.not {
			if strings.Contains(steps, w) {
				t.Errorf("%s %s %v: %q is in\n%s", test.product, test.version, test.vectors, w, steps)
			}
		}
	}
	for _, test := range []struct{ version, release, want string }{
		{"15.1.2507.6", "2016 CU23", "2016"}, {"15.2.2562.17", "SE", "2025"}, {"15.3.1.1", "", ""}, {"5.5.2653.13", "", "5.5.2653.13"}, {"2010", "", "2010"}, {"", "", ""},
	} {
		var f probe.Finding
		f.Service.Product, f.Service.Version, f.Service.Release = "Exchange Server", test.version, test.release
		if got := versionOf(&f); got != test.want {
			t.Errorf("Exchange %s: got version %q, want %q", test.version, got, test.want)
		}
	}
}

func TestFixFor(t *testing.T) {
	r := full()
	for _, e := range r.Entries {
		en, ja := r.FixFor(e, English), r.FixFor(e, Japanese)
		if !reflect.DeepEqual(en, e.Fix) {
			t.Errorf("%s: got %+v, want the entry's own fix", e.Finding.Addr, en)
		}
		if len(ja.Server) != len(en.Server) || len(ja.Firewall) != len(en.Firewall) || (ja.Source == "") != (en.Source == "") {
			t.Errorf("%s: the languages differ:\n%q\n%q", e.Finding.Addr, en, ja)
		}
		for _, s := range slices.Concat(ja.Server, ja.Firewall) {
			if !strings.ContainsFunc(s, func(r rune) bool { return unicode.In(r, unicode.Hiragana, unicode.Han) }) || strings.Contains(s, "%!") {
				t.Errorf("%s: no Japanese: %q", e.Finding.Addr, s)
			}
		}
	}
	steps := strings.Join(r.FixFor(entryAt(t, r, "198.51.100.10:25"), Japanese).Firewall, "\n")
	for _, w := range []string{"deny tcp from internet to 198.51.100.10 port 25)。", "10.20.1.1", "203.0.113.10"} {
		if !strings.Contains(steps, w) {
			t.Errorf("%q is not in %s", w, steps)
		}
	}
	for _, name := range langNames {
		if l, err := ParseLang(strings.ToUpper(name)); err != nil || l.String() != name {
			t.Errorf("%s: got %v, %v", name, l, err)
		}
	}
	if _, err := ParseLang("de"); err == nil {
		t.Error("a language that is not there was taken")
	}
}

// What the weaknesses name, the steps close.
func TestFixOfFaults(t *testing.T) {
	f := finding("198.51.100.17:10025", "Postfix", "Postfix", "3.4.13", "mx3.org.example", attempt("S1", "rs-iiiiiiiiiiiiiiiiiiii", ok, denied))
	f.EHLO, f.Behind, f.EndsData, f.Injected = append(f.EHLO, "XCLIENT NAME ADDR"), "PROXY TCP4", []string{`\n.\n`}, true
	e := New(Input{Scan: scan(), Findings: []probe.Finding{f}}).Entries[0]
	steps := strings.Join(e.Fix.Server, "\n")
	for _, w := range []string{"smtpd_authorized_xclient_hosts", "smtpd_upstream_proxy_protocol", "127.0.0.1:10025", "smtpd_forbid_bare_newline", "throws away what was sent ahead of TLS"} {
		if !strings.Contains(steps, w) {
			t.Errorf("%q is not in\n%s", w, steps)
		}
	}
	if strings.Contains(steps, "mynetworks to the hosts") {
		t.Errorf("its relay rules are right:\n%s", steps)
	}
	for _, m := range regexp.MustCompile(`vector (\w+)`).FindAllStringSubmatch(strings.Join(e.Weak, "\n"), -1) {
		if !slices.Contains(faults(&f), m[1]) {
			t.Errorf("%s is a weakness without a step", m[1])
		}
	}
}

// A message that was taken and has not come home: look where it is, first.
func TestFixOfQueued(t *testing.T) {
	f := finding("198.51.100.17:25", "Postfix", "Postfix", "3.4.13", "mx3.org.example", attempt("S1", "rs-iiiiiiiiiiiiiiiiiiii", ok, taken, goAhead, queued))
	for _, nonsense := range []smtp.Reply{{}, taken} {
		f.Nonsense = nonsense
		e := New(Input{Scan: scan(), Findings: []probe.Finding{f}}).Entries[0]
		if len(e.Fix.Server) == 0 || strings.Contains(strings.Join(e.Fix.Server, " "), "refuse local names") {
			t.Errorf("%v %v: got %q", e.Class, e.Verdict, e.Fix.Server)
		}
	}
}

// What calls itself a version may be anything.
func FuzzVersion(f *testing.F) {
	for _, s := range []string{"", "3.4.13", "8.11.6p2", "99999999999999999999.1", "..", "-1", "９.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, version string) {
		for _, p := range products {
			if len(p.relaySteps(English, version, []string{"S1", "I11"})) == 0 {
				t.Errorf("%q has no steps for version %q", p.key, version)
			}
		}
	})
}

func TestProductOf(t *testing.T) {
	for _, test := range []struct{ vendor, product, kind, want string }{
		{"Postfix", "Postfix", "mta", "postfix"},
		{"Synacor", "Zimbra Collaboration", "mta", "postfix-based"},
		{"Microsoft", "Exchange Server", "mta", "exchange"},
		{"Microsoft", "IIS SMTP Service", "mta", "iis"},
		{"IBM", "Lotus Domino", "mta", "domino"},
		{"netqmail", "netqmail", "mta", "qmail"},
		{"aio-libs", "aiosmtpd", "library", "library"},
		{"Ricoh", "multifunction printer", "appliance", "device"},
		{"APC", "UPS network card", "appliance", "device"},
		{"IndiMail", "IndiMail", "mta", "qmail"},
		{"Erwin Hoffmann", "s/qmail", "mta", "qmail"},
		{"Cisco", "Secure Email Gateway (IronPort)", "appliance", "gateway"},
		{"", "", "", ""},
		{"MDaemon Technologies", "MDaemon", "mta", ""},
		{"Microsoft", "Exchange Online", "mta", "exchange-online"},
		{"Courier", "Courier Mail Server", "mta", "courier"},
		{"Haraka", "Haraka", "mta", "haraka"},
	} {
		var f probe.Finding
		f.Service.Vendor, f.Service.Product, f.Service.Kind = test.vendor, test.product, test.kind
		if got := productOf(&f).key; got != test.want {
			t.Errorf("%s %s: got %q, want %q", test.vendor, test.product, got, test.want)
		}
	}
}

// A report in another language shares everything but its fixes.
func TestIn(t *testing.T) {
	r := full()
	ja := r.In(Japanese)
	if r.In(English) != r || len(ja.Entries) != len(r.Entries) || ja.Entries[0].Reason != r.Entries[0].Reason {
		t.Fatal("more than the fixes differs")
	}
	if slices.Equal(ja.Entries[0].Fix.Server, r.Entries[0].Fix.Server) || !strings.ContainsFunc(ja.Entries[0].Fix.Server[0], func(c rune) bool { return unicode.In(c, unicode.Hiragana, unicode.Katakana) }) {
		t.Errorf("got %q", ja.Entries[0].Fix.Server)
	}
}
