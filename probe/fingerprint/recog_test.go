package fingerprint

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"
	"unicode/utf8"
)

func loadRecog(t testing.TB) *Recog {
	t.Helper()
	r, err := LoadRecog(os.DirFS("testdata/recog"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRecogIdentify(t *testing.T) {
	r := loadRecog(t)
	for _, c := range []struct {
		name string
		e    Evidence
		want Service
	}{
		{
			"greeting with version and system",
			Evidence{Greeting: []string{"mail.example.com ESMTP pigeonpost/2.4.1 on Plan9 READY"}},
			Service{Vendor: "Coop", Product: "PigeonPost", Version: "2.4.1", OS: "Plan9", CPE23: "cpe:2.3:a:coop:pigeon_post:2.4.1:*:*:*:*:*:*:*", Kind: mta, Confidence: 75, Evidence: "mail.example.com ESMTP pigeonpost/2.4.1 on Plan9 READY"},
		},
		{
			"no version",
			Evidence{Greeting: []string{"PigeonPost ready"}},
			Service{Vendor: "Coop", Product: "PigeonPost", CPE23: "cpe:2.3:a:coop:pigeon_post:*:*:*:*:*:*:*:*", Kind: mta, Confidence: 75, Evidence: "PigeonPost ready"},
		},
		{
			"HELP, last line",
			Evidence{Help: []string{"commands:", "Coo 7 at your service"}},
			Service{Vendor: "Coop", Product: "PigeonPost", Version: "7", Kind: mta, Confidence: 70, Evidence: "Coo 7 at your service"},
		},
		{
			"HELP refused",
			Evidence{Errors: []string{"502 No seed, no HELP"}},
			Service{Vendor: "Coop", Product: "PigeonPost", Kind: mta, Confidence: 70, Evidence: "502 No seed, no HELP"},
		},
		{
			"EHLO",
			Evidence{EHLO: []string{"mail.example.com", "XPIGEON", "SIZE"}},
			Service{Product: "PigeonPost", Kind: mta, Confidence: 65, Evidence: "XPIGEON"},
		},
		{
			"a refusal",
			Evidence{Errors: []string{"550 no such pigeon"}},
			Service{Product: "PigeonPost", Kind: mta, Confidence: 45, Evidence: "550 no such pigeon"},
		},
		{
			"a device",
			Evidence{Greeting: []string{"WEIGHBRIDGE 3"}},
			Service{Vendor: "Heavy", Product: "WeighBridge", Version: "3", CPE23: "cpe:2.3:h:heavy:weighbridge:3:*:*:*:*:*:*:*", Kind: appliance, Confidence: 75, Evidence: "WEIGHBRIDGE 3"},
		},
		{
			"ours in its words",
			Evidence{Greeting: []string{"mail.example.com ESMTP Postfix; build 3.4.1"}},
			Service{Vendor: "Postfix", Product: "Postfix", Version: "3.4.1", OS: "Debian 9.1", CPE23: "cpe:2.3:a:postfix:postfix:3.4.1:*:*:*:*:*:*:*", EndOfLife: "2023-04-17", Kind: mta, Confidence: 75, Evidence: "mail.example.com ESMTP Postfix; build 3.4.1"},
		},
		{
			"control characters",
			Evidence{Greeting: []string{"WeighBridge \x1b[2J\x00 3\xff\u202e é"}},
			Service{Vendor: "Heavy", Product: "WeighBridge", Version: "[2J 3 é", CPE23: "cpe:2.3:h:heavy:weighbridge:*:*:*:*:*:*:*:*", Kind: appliance, Confidence: 75, Evidence: "WeighBridge \x1b[2J\x00 3\xff\u202e é"},
		},
		{"a host alone", Evidence{Greeting: []string{"mail.example.com hello"}}, Service{}},
		{"the code is not in the greeting", Evidence{Greeting: []string{"502 No seed, no HELP"}}, Service{}},
		{"nothing", Evidence{}, Service{}},
	} {
		got, ok := r.Identify(c.e)
		if got != c.want || ok != (c.want != Service{}) {
			t.Errorf("%s: got %+v %v, want %+v", c.name, got, ok, c.want)
		}
	}
	if long, _ := r.Identify(Evidence{Greeting: []string{"WeighBridge " + strings.Repeat("é", 500)}}); len(long.Version) > maxRecogText || !utf8.ValidString(long.Version) {
		t.Errorf("got version %q, want it short", long.Version)
	}
}

func TestRecogMerge(t *testing.T) {
	r := loadRecog(t)
	for _, c := range []struct {
		name, greeting string
		product        string
		version, os    string
		cpe, end       string
		sure           int
	}{
		{"what we do not know", "mail.example.com ESMTP PigeonPost/2.4.1 on Plan9 ready", "PigeonPost", "2.4.1", "Plan9", "cpe:2.3:a:coop:pigeon_post:2.4.1:*:*:*:*:*:*:*", "", 75},
		{"what we lack", "mail.example.com ESMTP Postfix; build 3.4.1", "Postfix", "3.4.1", "Debian 9.1", "cpe:2.3:a:postfix:postfix:3.4.1:*:*:*:*:*:*:*", "2023-04-17", 92},
		{"where we are surer", "mail.example.com ESMTP Exim 4.96 by the gate", "Exim", "4.96", "", "cpe:2.3:a:exim:exim:4.96:*:*:*:*:*:*:*", "2023-11-04", 95},
		{"where nobody knows", "mail.example.com ready", "", "", "", "", "", 0},
	} {
		e := Evidence{Greeting: []string{c.greeting}}
		got := r.Merge(Identify(e), e)
		if got.Product != c.product || got.Version != c.version || got.OS != c.os || got.CPE23 != c.cpe || got.EndOfLife != c.end || got.Confidence != c.sure {
			t.Errorf("%s: got %+v", c.name, got)
		}
	}
	guess := Evidence{Greeting: []string{"PigeonPost ready"}, EHLO: []string{"mail.example.com greets scanner.example.net"}}
	if got := r.Merge(Identify(guess), guess); got.Product != "PigeonPost" {
		t.Errorf("a guess of ours: got %+v, want PigeonPost", got)
	}
	own := Service{Product: "Postfix", Confidence: 92}
	var none *Recog
	if got := none.Merge(own, guess); got != own {
		t.Errorf("nil: got %+v, want our own", got)
	}
	if s, ok := none.Identify(guess); ok || s != (Service{}) {
		t.Errorf("nil: got %+v", s)
	}
	if got, want := r.Merge(Service{Vendor: "Coop", Product: "PigeonPost", OS: "Plan", Version: "1", Confidence: 90}, Evidence{Greeting: []string{"x ESMTP PigeonPost/2 on Plan9 ready"}}), "1"; got.Version != want || got.OS != "Plan" {
		t.Errorf("got %+v, want what we had", got)
	}
}

func TestLoadRecogErrors(t *testing.T) {
	wrap := func(s string) string { return "<fingerprints>" + s + "</fingerprints>" }
	many := strings.Repeat(`<fingerprint pattern="a"/>`, maxRecogPatterns)
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"an empty directory", nil, "no smtp_banners.xml"},
		{"no XML", map[string]string{"smtp_help.xml": "hello"}, "recog smtp_help.xml: "},
		{"other XML", map[string]string{"smtp_help.xml": "<html></html>"}, "fingerprints"},
		{"not to the end", map[string]string{"smtp_help.xml": "<fingerprints><fingerprint pattern='a'>"}, "recog smtp_help.xml: "},
		{"another encoding", map[string]string{"smtp_help.xml": `<?xml version="1.0" encoding="EBCDIC"?>` + wrap("")}, "encoding"},
		{"no RE2", map[string]string{"smtp_banners.xml": wrap(`<fingerprint pattern="^(?=x)"><description>looks ahead</description></fingerprint>`)}, "recog smtp_banners.xml: pattern 1 (looks ahead): error parsing regexp"},
		{"a hostile description", map[string]string{"smtp_banners.xml": wrap("<fingerprint pattern=\"(\"><description>a\u202eb</description></fingerprint>")}, "(ab)"},
		{"no pattern", map[string]string{"smtp_banners.xml": wrap(`<fingerprint/>`)}, "pattern 1 (no description): its length is 0"},
		{"a long pattern", map[string]string{"smtp_banners.xml": wrap(`<fingerprint pattern="` + strings.Repeat("a", maxRecogPattern+1) + `"/>`)}, "its length is 4097"},
		{"no such group", map[string]string{"smtp_banners.xml": wrap(`<fingerprint pattern="(a)"><param pos="2" name="service.version"/></fingerprint>`)}, "param service.version: the pattern has no group 2"},
		{"a negative group", map[string]string{"smtp_banners.xml": wrap(`<fingerprint pattern="a"><param pos="-1" name="x"/></fingerprint>`)}, "no group -1"},
		{"an unknown flag", map[string]string{"smtp_banners.xml": wrap(`<fingerprint pattern="a" flags="REG_ICASE,REG_MAGIC"/>`)}, `unknown flag "REG_MAGIC"`},
		{"many patterns", map[string]string{"smtp_banners.xml": wrap(many), "smtp_expn.xml": wrap(`<fingerprint pattern="a"/>`)}, "more than 5000 patterns in all"},
		{"many params", map[string]string{"smtp_banners.xml": wrap(`<fingerprint pattern="a">` + strings.Repeat(`<param pos="0" name="x"/>`, 65) + `</fingerprint>`)}, "more than 64 params"},
		{"a large file", map[string]string{"smtp_banners.xml": wrap(strings.Repeat(" ", maxRecogFile))}, "more than 4194304 bytes"},
	} {
		fsys := make(fstest.MapFS)
		for name, s := range c.files {
			fsys[name] = &fstest.MapFile{Data: []byte(s)}
		}
		if r, err := LoadRecog(fsys); r != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, %v, want %q", c.name, r, err, c.want)
		}
	}
	if _, err := LoadRecog(fstest.MapFS{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty directory: got %v", err)
	}
	if _, err := LoadRecog(fstest.MapFS{"smtp_expn.xml": {Data: []byte(wrap(""))}}); err != nil {
		t.Errorf("a file without patterns: %v", err)
	}
}

func checkRecogService(t *testing.T, s Service) {
	t.Helper()
	for _, field := range []string{s.Vendor, s.Product, s.Version, s.OS} {
		if len(field) > maxName || strings.ContainsFunc(field, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }) {
			t.Errorf("got field %q, want it short and printable", field)
		}
	}
	if s.CPE23 != "" && !cpeForm.MatchString(s.CPE23) {
		t.Errorf("got CPE %q, want a CPE 2.3 name", s.CPE23)
	}
	if len(s.Evidence) > maxEvidence || s.Confidence < 0 || s.Confidence >= 90 {
		t.Errorf("got evidence of %d bytes, confidence %d", len(s.Evidence), s.Confidence)
	}
}

func FuzzLoadRecog(f *testing.F) {
	f.Add([]byte(`<fingerprints><fingerprint pattern="^(a+) on (\w+)" flags="REG_ICASE"><description>d</description><param pos="1" name="service.version"/><param pos="0" name="hw.product" value="x"/></fingerprint></fingerprints>`), "AA on b")
	f.Add([]byte(`<fingerprints><fingerprint pattern="(.*)"><param pos="1" name="service.product"/><param pos="0" name="service.cpe23" value="cpe:/a:x:y:{service.product}"/></fingerprint></fingerprints>`), "\x00\xff*:\\é")
	f.Fuzz(func(t *testing.T, b []byte, line string) {
		r, err := LoadRecog(fstest.MapFS{"smtp_banners.xml": {Data: b}, "smtp_ehlo.xml": {Data: b}})
		if (r == nil) == (err == nil) {
			t.Fatalf("got %v, %v", r, err)
		}
		e := Evidence{Greeting: []string{line}, EHLO: []string{line}, Errors: []string{"550 " + line}}
		s, ok := r.Identify(e)
		if ok != (s.Product != "") {
			t.Errorf("got %+v, %v", s, ok)
		}
		checkRecogService(t, s)
	})
}

func FuzzRecogIdentify(f *testing.F) {
	r := loadRecog(f)
	f.Add("mail.example.com ESMTP PigeonPost/2.4.1 on Plan9 ready", "XPIGEON", "Coo 7 at your service", "550 no such pigeon")
	f.Add("WeighBridge \x1b[2J", "", "", "")
	f.Fuzz(func(t *testing.T, greeting, ehlo, help, refusal string) {
		e := Evidence{strings.Split(greeting, "\n"), strings.Split(ehlo, "\n"), strings.Split(help, "\n"), strings.Split(refusal, "\n")}
		s, _ := r.Identify(e)
		checkRecogService(t, s)
		own := Identify(e)
		got := r.Merge(own, e)
		if own.Confidence >= 90 && (got.Product != own.Product || got.Confidence != own.Confidence) {
			t.Errorf("got %+v, want our own %+v", got, own)
		}
		if got.CPE23 != "" && !cpeForm.MatchString(got.CPE23) {
			t.Errorf("got CPE %q, want a CPE 2.3 name", got.CPE23)
		}
	})
}
