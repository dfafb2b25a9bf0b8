package notify

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"relaysweep/report"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

func TestWebhookCheck(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"https://hooks.example.net/relaysweep?team=mail", ""},
		{"https://203.0.113.10:8443/", ""},
		{"http://127.0.0.1:8080/", ""},
		{"http://[::1]:8080/", ""},
		{"http://[::ffff:127.0.0.1]/", ""},
		{"http://localhost/", ""},
		{"http://hooks.example.net/", "over https alone"},
		{"http://localhost.example.net/", "over https alone"},
		{"http://127.0.0.1.example.net/", "over https alone"},
		{"http://10.0.0.1/", "over https alone"},
		{"ftp://hooks.example.net/", "over https alone"},
		{"file:///etc/passwd", "not an address"},
		{"hooks.example.net", "not an address"},
		{"https://", "not an address"},
		{"https://:443/", "not an address"},
		{"https://user:pass@hooks.example.net/", "signed with the secret instead"},
		{"https://hooks.example.net/\n", "not an address"},
		{"", "not an address"},
	} {
		err := CheckURL(tt.url)
		if both := (&Webhook{URL: tt.url, Secret: secret}).Check(); fmt.Sprint(both) != fmt.Sprint(err) {
			t.Errorf("%q with a secret: got %v, want %v", tt.url, both, err)
		}
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%q: got %v, want %q", tt.url, err, tt.want)
		}
	}
}

func TestWebhookWantsASecret(t *testing.T) {
	for n, want := range map[int]bool{0: false, 15: false, 16: true} {
		w := &Webhook{URL: "https://hooks.example.net/", Secret: secret[:n]}
		if err := w.Check(); (err == nil) != want {
			t.Errorf("%d bytes: got %v", n, err)
		}
		if want {
			continue
		}
		w.dial = func(context.Context, string, string) (net.Conn, error) {
			t.Errorf("%d bytes: it is told", n)
			return nil, errors.New("refused")
		}
		if err := w.Send(t.Context(), reportOf(), nil); err == nil {
			t.Errorf("%d bytes: it is sent", n)
		}
	}
}

// post is what a receiver got.
type post struct {
	at     time.Time
	header http.Header
	body   []byte
}

// receiver is a server that answers by a script, in a bubble of synctest: its connections are pipes.
type receiver struct {
	mu    sync.Mutex
	posts []post
	lost  int // connections that were refused
	work  sync.WaitGroup
}

// gone waits until no connection is left.
func (rc *receiver) gone() {
	rc.work.Wait()
	synctest.Wait()
}

// answer is one answer of a script.
type answer struct {
	status     int // 0: none, the connection hangs
	retryAfter string
	body       string
	location   string
	refuse     bool // the connection
}

// script returns a webhook whose receiver answers so, and what it got. The last answer is repeated.
func script(t *testing.T, answers ...answer) (*Webhook, *receiver) {
	t.Helper()
	rc := &receiver{}
	next := func() answer { return answers[min(len(rc.posts)+rc.lost, len(answers)-1)] }
	return &Webhook{URL: "https://hooks.example.com/secret-path", Secret: secret, dial: func(ctx context.Context, _, address string) (net.Conn, error) {
		if address != "hooks.example.com:443" {
			t.Errorf("it went to %s", address)
		}
		rc.mu.Lock()
		defer rc.mu.Unlock()
		if next().refuse {
			rc.lost++
			return nil, errors.New("connection refused")
		}
		client, server := net.Pipe()
		rc.work.Go(func() {
			defer server.Close()
			c := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{certificate()}})
			req, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil {
				return
			}
			b, _ := io.ReadAll(req.Body)
			rc.mu.Lock()
			a := next()
			rc.posts = append(rc.posts, post{time.Now(), req.Header, b})
			rc.mu.Unlock()
			if a.status == 0 {
				io.Copy(io.Discard, c) // until the client hangs up
				return
			}
			resp := &http.Response{StatusCode: a.status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(a.body)), ContentLength: int64(len(a.body)), Close: true}
			for k, v := range map[string]string{"Retry-After": a.retryAfter, "Location": a.location} {
				if v != "" {
					resp.Header.Set(k, v)
				}
			}
			resp.Write(c)
		})
		return client, nil
	}, RootCAs: roots()}, rc
}

// certificate is of package httptest, made once for all of time.
var certificate = sync.OnceValue(func() tls.Certificate {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	return s.TLS.Certificates[0]
})

func roots() *x509.CertPool {
	pool := x509.NewCertPool()
	c, err := x509.ParseCertificate(certificate().Certificate[0])
	if err != nil {
		panic(err)
	}
	pool.AddCert(c)
	return pool
}

// When a try is made again, and when not; all in virtual time.
func TestWebhookTries(t *testing.T) {
	certificate() // listens for a moment: outside the bubble
	ok, down := answer{status: 200}, answer{status: 503}
	for _, tt := range []struct {
		name    string
		answers []answer
		at      []int // seconds of the tries that reached the receiver
		err     string
		end     int // second of the end
	}{
		{"it is taken", []answer{ok}, []int{0}, "", 0},
		{"204 is a yes as well", []answer{{status: 204}}, []int{0}, "", 0},
		{"it is taken at the third try", []answer{down, down, ok}, []int{0, 1, 5}, "", 5},
		{"it is down for good", []answer{down}, []int{0, 1, 5, 21, 85}, "it answered 503 Service Unavailable; given up after try 5", 85},
		{"nobody listens for a second", []answer{{refuse: true}, ok}, []int{1}, "", 1},
		{"it hangs, then takes it", []answer{{}, ok}, []int{0, 11}, "", 11},
		{"it hangs for good", []answer{{}}, []int{0, 11, 25, 51, 125}, "given up after try 5", 135},
		{"it asks for patience", []answer{{status: 429, retryAfter: "30"}, ok}, []int{0, 30}, "", 30},
		{"it asks for patience until a time", []answer{{status: 503, retryAfter: "Sat, 01 Jan 2000 00:02:00 GMT"}, ok}, []int{0, 120}, "", 120},
		{"it asks for less than our own pause", []answer{{status: 503, retryAfter: "0"}, ok}, []int{0, 1}, "", 1},
		{"it asks in a way that nobody reads", []answer{{status: 503, retryAfter: "-5; soon"}, ok}, []int{0, 1}, "", 1},
		{"it asks for more patience than there is", []answer{{status: 429, retryAfter: "3600"}}, []int{0}, "it answered 429 Too Many Requests; given up after try 1, as the next would be too late", 0},
		{"it asks for more than a clock holds", []answer{{status: 429, retryAfter: "99999999999999999999"}, ok}, []int{0, 1}, "", 1},
		{"it does not want it", []answer{{status: 400, body: "no such \x1b[2Jhook\n"}}, []int{0}, "it answered 400 Bad Request", 0},
		{"it repeats the path", []answer{{status: 404, body: "Cannot POST /secret-path"}}, []int{0}, "it answered 404 Not Found", 0},
		{"it points nowhere", []answer{{status: 307, location: "/secret-path%"}}, []int{0, 1, 5, 21, 85}, "it answers what cannot be read; given up after try 5", 85},
		{"it answers with a number that nobody knows", []answer{{status: 499}}, []int{0}, "it answered 499", 0},
		{"we may not", []answer{{status: 401}}, []int{0}, "it answered 401 Unauthorized", 0},
		{"it is no more", []answer{{status: 410, retryAfter: "1"}}, []int{0}, "it answered 410 Gone", 0},
		{"a time-out of its own is a 4xx too", []answer{{status: 408}}, []int{0}, "it answered 408 Request Timeout", 0},
		{"it points elsewhere", []answer{{status: 307, location: "https://other.example/"}}, []int{0}, "it answered 307 Temporary Redirect", 0},
		{"it points to itself", []answer{{status: 302, location: "/secret-path"}}, []int{0}, "it answered 302 Found", 0},
		{"it answers without end", []answer{{status: 500, body: strings.Repeat("x", 1<<20)}, ok}, []int{0, 1}, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				w, rc := script(t, tt.answers...)
				err := w.Send(t.Context(), reportOf(relay("198.51.100.10:25", "Postfix", "3.4")), changesOf())
				if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.HasSuffix(err.Error(), tt.err)) {
					t.Errorf("got %v, want %q", err, tt.err)
				}
				if err != nil && strings.Contains(err.Error(), "secret-path") {
					t.Errorf("the path is told: %v", err)
				}
				if got := time.Since(start); got != time.Duration(tt.end)*time.Second {
					t.Errorf("it ended after %v, want %d s", got, tt.end)
				}
				rc.gone()
				var at []int
				keys := make(map[string]bool)
				for _, p := range rc.posts {
					at = append(at, int(p.at.Sub(start).Seconds()))
					keys[p.header.Get(KeyHeader)] = true
					if err := verify(p, p.at); err != nil {
						t.Error(err)
					}
				}
				if !slices.Equal(at, tt.at) {
					t.Errorf("tries at %v, want %v", at, tt.at)
				}
				if len(keys) != 1 && len(rc.posts) > 0 {
					t.Errorf("tries have keys %v, want one", keys)
				}
			})
		})
	}
}

// verify is a receiver's check, as the documentation of Webhook has it.
func verify(p post, now time.Time) error {
	stamp := p.header.Get("Relaysweep-Timestamp")
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s", stamp, p.body)
	want := "v1=" + hex.EncodeToString(mac.Sum(nil))
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	ok := err == nil && now.Sub(time.Unix(seconds, 0)).Abs() < 5*time.Minute &&
		hmac.Equal([]byte(want), []byte(p.header.Get("Relaysweep-Signature")))
	if !ok {
		return fmt.Errorf("signature %q of time %q does not hold", p.header.Get("Relaysweep-Signature"), stamp)
	}
	return nil
}

// A person who stops the program does not wait for a receiver.
func TestWebhookIsInterrupted(t *testing.T) {
	certificate()
	for _, tt := range []struct {
		name   string
		answer answer
	}{{"while it waits for the next try", answer{status: 503}}, {"while the receiver hangs", answer{}}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				w, rc := script(t, tt.answer)
				if err := w.Send(ctx, reportOf(), nil); err == nil || !strings.Contains(err.Error(), "given up after try 1") {
					t.Errorf("got %v", err)
				}
				got := time.Since(start)
				rc.gone()
				if got > time.Second || len(rc.posts) != 1 {
					t.Errorf("it ended after %v and %d tries", got, len(rc.posts))
				}
			})
		})
	}
}

// Against a real server: its certificate is checked, and one that nobody vouches for is not asked twice.
func TestWebhookChecksTheCertificate(t *testing.T) {
	got := make(chan post, 8)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- post{time.Now(), r.Header, b}
	}))
	s.Config.ErrorLog = discardLog()
	s.StartTLS()
	defer s.Close()
	w := &Webhook{URL: s.URL, Secret: secret}
	err := w.Send(t.Context(), reportOf(), nil)
	if untrusted := (*tls.CertificateVerificationError)(nil); !errors.As(err, &untrusted) || len(got) != 0 {
		t.Fatalf("a certificate that nobody vouches for: %v, %d posts", err, len(got))
	}
	w.RootCAs = x509.NewCertPool()
	w.RootCAs.AddCert(s.Certificate())
	if err := w.Send(t.Context(), reportOf(), nil); err != nil {
		t.Fatal(err)
	}
	p := <-got
	if err := verify(p, time.Now()); err != nil {
		t.Error(err)
	}
	if c := p.header.Get("Content-Type"); c != "application/json" {
		t.Errorf("content type %q", c)
	}
	p.body[0] = '['
	if verify(p, time.Now()) == nil {
		t.Error("a body that was changed passes")
	}
}

// The command of the documentation makes the same signature.
func TestSignatureInAShell(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	dir := t.TempDir()
	b := []byte(`{"type":"notification"}`)
	for name, content := range map[string][]byte{"webhook.secret": append(slices.Clone(secret), '\n'), "body": b} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sh", "-c", `printf '%s.' "$stamp" | cat - body | openssl dgst -sha256 -hmac "$(cat webhook.secret)"`)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "stamp=1795312800")
	out, err := cmd.CombinedOutput()
	if want := (&Webhook{Secret: secret}).sign("1795312800", b); err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), want) {
		t.Errorf("got %s, %v, want %s", out, err, want)
	}
}

// decoded is a body as a receiver reads it.
type decoded struct {
	Type      string
	ScanID    string `json:"scan_id"`
	Timestamp time.Time
	Complete  *bool
	Since     string
	Summary   struct {
		Exposed    int
		Findings   int
		Severities map[string]int
		Changes    map[string]int
		Violations map[string]int
	}
	Changes []struct {
		Kind          string
		Severity      string
		IP            string
		Port          int
		Upgraded      bool
		Worse         bool
		Reason        string
		Before, After *struct {
			Verdict, Version string
			FirstSeen        *time.Time `json:"first_seen"`
		}
		Differences []struct{ Field, Before, After string }
	}
	Truncated int
	Findings  []struct {
		IP, Severity, Verdict, Title, Product string
		Names, Vectors                        []string
	}
	FindingsTruncated int `json:"findings_truncated"`
	Site              string
	Violations        []struct {
		Kind, Severity, IP, Vantage, Text string
		Port                              int
		Approval                          *struct{ Owner, Ticket, Expires string }
	}
	ViolationsTruncated int `json:"violations_truncated"`
}

func decode(t *testing.T, r *report.Report, changes *report.Changes) (decoded, []byte, string) {
	t.Helper()
	b, key, err := body(r, changes)
	if err != nil {
		t.Fatal(err)
	}
	var d decoded
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return d, b, key
}

func TestBodyTellsTheScanAndItsChanges(t *testing.T) {
	d, b, key := decode(t, reportOf(relay("198.51.100.10:25", "Postfix", "3.11.6"), refusing("198.51.100.12:25")), changesOf())
	if d.Type != "notification" || d.ScanID != "20261122-020000-abcdef" || !d.Timestamp.Equal(began.Add(time.Hour)) || d.Complete == nil || !*d.Complete || d.Since != "20261022-020000-abcdef" {
		t.Errorf("head: %s", b)
	}
	if s := d.Summary; s.Exposed != 1 || s.Findings != 2 || s.Severities["high"] != 1 || s.Severities["info"] != 1 || s.Changes["changed"] != 1 || s.Changes["gone"] != 1 {
		t.Errorf("summary: %+v", s)
	}
	if len(d.Changes) != 2 || d.Truncated != 0 {
		t.Fatalf("changes: %s", b)
	}
	up, gone := d.Changes[0], d.Changes[1]
	if up.Kind != "changed" || up.Severity != "high" || up.IP != "198.51.100.10" || up.Port != 25 || !up.Upgraded || !up.Worse || up.Before.Verdict != "refused" || up.After.Verdict != "ready" || up.Before.Version != "3.4.13" || up.After.Version != "3.11.6" || len(up.Differences) != 2 {
		t.Errorf("upgrade: %+v", up)
	}
	if gone.Kind != "gone" || gone.After != nil || gone.Reason != "closed (reset)" {
		t.Errorf("gone: %+v", gone)
	}
	if len(d.Findings) != 1 || d.Findings[0].IP != "198.51.100.10" || d.Findings[0].Severity != "high" || d.Findings[0].Vectors[0] != "S1" {
		t.Errorf("findings: %+v", d.Findings)
	}
	if !strings.HasPrefix(key, "20261122-020000-abcdef-") {
		t.Errorf("key %q", key)
	}
}

// A receiver that is called because of a violation is told which.
func TestBodyTellsViolations(t *testing.T) {
	d, b, _ := decode(t, approved(), &report.Changes{})
	if len(d.Violations) != 2 || len(d.Findings) != 0 || d.Site != "hq" || fmt.Sprint(d.Summary.Violations) != "map[unapproved:1 unused:1]" {
		t.Fatalf("got %s", b)
	}
	v, unused := d.Violations[0], d.Violations[1]
	if v.Kind != "unapproved" || v.Severity != "medium" || v.IP != "198.51.100.11" || v.Port != 25 || v.Vantage != "internet" || v.Text != "unapproved: a listener (smtp, Postfix 3.11.6) that no approval covers" || v.Approval != nil {
		t.Errorf("unapproved: %+v", v)
	}
	if unused.Kind != "unused" || unused.IP != "" || unused.Port != 0 || unused.Approval == nil || *unused.Approval != struct{ Owner, Ticket, Expires string }{"Mail team", "CHG-1", "2027-11-21"} {
		t.Errorf("unused: %+v", unused)
	}
	if _, b, _ := decode(t, reportOf(), nil); !strings.Contains(string(b), `"violations":null`) {
		t.Errorf("no approvals were read: %s", b)
	}
}

// The same scan that is told again has the same key; one with other contents has another.
func TestIdempotencyKey(t *testing.T) {
	later := reportOf(relay("198.51.100.10:25", "Postfix", "3.4"))
	later.Scan.Ended = later.Scan.Ended.Add(time.Hour)
	_, _, first := decode(t, reportOf(relay("198.51.100.10:25", "Postfix", "3.4")), changesOf())
	_, _, again := decode(t, later, changesOf())
	_, _, other := decode(t, reportOf(relay("198.51.100.10:25", "Postfix", "3.5")), changesOf())
	_, _, none := decode(t, reportOf(relay("198.51.100.10:25", "Postfix", "3.4")), nil)
	if first != again {
		t.Errorf("told again: %s, %s", first, again)
	}
	if first == other || first == none {
		t.Errorf("other contents have the same key %s", first)
	}
}

func TestChangesThatAreNotKnownAreNull(t *testing.T) {
	for _, tt := range []struct {
		changes *report.Changes
		want    string
	}{{nil, `"changes":null`}, {&report.Changes{}, `"changes":[]`}} {
		if _, b, _ := decode(t, reportOf(), tt.changes); !strings.Contains(string(b), tt.want) {
			t.Errorf("no %s in %s", tt.want, b)
		}
	}
}

// However much there is to tell, the body stays small, and says what it leaves out.
func TestBodyIsBounded(t *testing.T) {
	long := strings.Repeat("<\x00\xff", 10_000)
	changes := &report.Changes{From: long, Vantage: long}
	for i := range 2_000 {
		c := changesOf().List[0]
		if i%2 == 0 {
			c.Reason, c.Vantage = long, long
			for range 50 {
				c.Differences = append(c.Differences, report.Difference{Field: "capabilities", Before: long, After: long})
			}
		}
		changes.List = append(changes.List, c)
	}
	r := many(2_000)
	for i := range r.Entries {
		if i%2 == 0 {
			f := &r.Entries[i].Finding
			f.Service.Product, f.Service.Version, f.Names, f.Vantage = long, long, slices.Repeat([]string{long}, 50), long
		}
	}
	r.Approvals = []report.ApprovalUse{}
	for range 500 {
		r.Violations = append(r.Violations, report.Violation{Kind: report.IsUnapproved, Severity: report.Medium, Vantage: long, Text: long})
	}
	r.Scan.Site = long
	r.Scan.Organisation, r.Scan.Vantage, r.Scan.Version, r.Scan.ID = long, long, long, long
	d, b, key := decode(t, r, changes)
	if len(b) > maxBody {
		t.Errorf("%d bytes, want %d at most", len(b), maxBody)
	}
	if len(d.Changes) == 0 || len(d.Changes)+d.Truncated != 2_000 || len(d.Findings) == 0 || len(d.Findings)+d.FindingsTruncated != 2_000 {
		t.Errorf("%d changes and %d truncated, %d findings and %d truncated", len(d.Changes), d.Truncated, len(d.Findings), d.FindingsTruncated)
	}
	if len(d.Violations) == 0 || len(d.Violations)+d.ViolationsTruncated != 500 {
		t.Errorf("%d violations and %d truncated", len(d.Violations), d.ViolationsTruncated)
	}
	if len(key) > 200 || strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) {
		t.Errorf("key %q", key)
	}
	// Small ones come in their hundreds.
	small := &report.Changes{}
	for range 2_000 {
		small.List = append(small.List, changesOf().List[1])
	}
	if d, _, _ := decode(t, many(500), small); len(d.Changes) < 300 || len(d.Findings) != maxFindings {
		t.Errorf("%d changes, %d findings", len(d.Changes), len(d.Findings))
	}
}

// A body that is shown as it is moves no cursor.
func TestBodyHoldsNoControlBytes(t *testing.T) {
	d, _, _ := decode(t, reportOf(evil()), nil)
	if len(d.Findings) != 1 {
		t.Fatalf("findings: %+v", d.Findings)
	}
	for _, s := range append(d.Findings[0].Names, d.Findings[0].Product, d.Findings[0].Title) {
		if report.Escape(s) != s {
			t.Errorf("%q", s)
		}
	}
	if want := report.Escape(hostile); d.Findings[0].Product != want {
		t.Errorf("got %q, want %q", d.Findings[0].Product, want)
	}
}
