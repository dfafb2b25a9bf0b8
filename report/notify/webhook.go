package notify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"relaysweep/report"
)

// The headers of a webhook.
const (
	TimestampHeader = "Relaysweep-Timestamp" // seconds since 1970 when this try was made
	SignatureHeader = "Relaysweep-Signature" // v1= and the hexadecimal HMAC
	KeyHeader       = "Idempotency-Key"      // the same for every try, and for the same scan told again
)

// Webhook posts a scan's summary and its changes as one JSON object.
//
// The receiver knows that it comes from here, and when, by the signature: an HMAC-SHA256, keyed with the secret, over the
// timestamp, a full stop, and the body, each as they were sent. It refuses what is older than a few minutes, compares in
// constant time, and drops what it has seen by the idempotency key:
//
//	stamp := req.Header.Get("Relaysweep-Timestamp")
//	mac := hmac.New(sha256.New, secret)
//	fmt.Fprintf(mac, "%s.%s", stamp, body)
//	want := "v1=" + hex.EncodeToString(mac.Sum(nil))
//	seconds, err := strconv.ParseInt(stamp, 10, 64)
//	ok := err == nil && time.Since(time.Unix(seconds, 0)).Abs() < 5*time.Minute &&
//		hmac.Equal([]byte(want), []byte(req.Header.Get("Relaysweep-Signature")))
//
// The same in a shell, where body is a file with what came:
//
//	printf '%s.' "$stamp" | cat - body | openssl dgst -sha256 -hmac "$(cat webhook.secret)"
//
// A try that ends in 5xx, 429 or without an answer is made again, after 1, 4, 16 and 64 seconds or when Retry-After says.
// No other answer is: 4xx will not change, and redirects are not followed, as they would carry the report elsewhere.
type Webhook struct {
	URL    string // https, or http to a loopback address
	Secret []byte

	Tries   int            // at most; 0: 5
	Within  time.Duration  // all of them; 0: 5 minutes
	Timeout time.Duration  // of one; 0: 10 seconds
	RootCAs *x509.CertPool // if nil, the system's

	dial func(ctx context.Context, network, address string) (net.Conn, error) // of tests
}

// minSecret is the shortest secret, in bytes.
const minSecret = 16

// Check refuses an address that a report may not go to, and a secret that is none.
func (w *Webhook) Check() error {
	if err := CheckURL(w.URL); err != nil {
		return err
	}
	if len(w.Secret) < minSecret {
		return fmt.Errorf("a secret has %d bytes or more", minSecret)
	}
	return nil
}

// CheckURL refuses an address that a report may not go to.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return errors.New("not an address: write it like https://hooks.example.net/relaysweep")
	case u.User != nil:
		return errors.New("a password in an address is seen by others: the webhook is signed with the secret instead")
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return errors.New("a report goes over https alone, or over http to a loopback address")
	}
	return nil
}

// Host is where it goes, without a path, which may be a secret of its own.
func (w *Webhook) Host() string {
	u, err := url.Parse(w.URL)
	if err != nil {
		return ""
	}
	return u.Host
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback() || host == "localhost"
}

// Send tells of a scan. changes are nil where none are known.
func (w *Webhook) Send(ctx context.Context, r *report.Report, changes *report.Changes) error {
	if err := w.Check(); err != nil {
		return err
	}
	b, key, err := body(r, changes)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(w.Within, 5*time.Minute))
	defer cancel()
	deadline, _ := ctx.Deadline()
	client := w.client()
	tries, pause := cmp.Or(w.Tries, 5), time.Second
	for try := 1; ; try++ {
		after, again, err := w.post(ctx, client, b, key)
		if err == nil {
			return nil
		}
		err = w.hide(err)
		wait := max(pause, after)
		switch {
		case !again:
			return err
		case ctx.Err() != nil || try == tries:
			return fmt.Errorf("%w; given up after try %d", err, try)
		case time.Now().Add(wait).After(deadline):
			return fmt.Errorf("%w; given up after try %d, as the next would be too late", err, try)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w; given up after try %d", err, try)
		}
		pause *= 4
	}
}

// hide takes the address out of an error: its path and query may be secrets of their own. Errors of package http hold all
// of it, and what a receiver said that is no HTTP, which may be the same again.
func (w *Webhook) hide(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err
	}
	u, bad := url.Parse(w.URL)
	if bad != nil {
		return errors.New("not an address")
	}
	parts := strings.FieldsFunc(u.Path+"/"+u.EscapedPath()+"/"+u.RawQuery, func(r rune) bool { return strings.ContainsRune("/?&=;", r) })
	for _, values := range u.Query() {
		parts = append(parts, values...)
	}
	for _, p := range parts {
		if len(p) > 3 && !strings.Contains(u.Host, p) && strings.Contains(err.Error(), p) {
			return errors.New("it answers what cannot be read")
		}
	}
	return err
}

func (w *Webhook) client() *http.Client {
	return &http.Client{
		Timeout:       cmp.Or(w.Timeout, 10*time.Second),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: w.dial, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
			TLSClientConfig: &tls.Config{RootCAs: w.RootCAs, MinVersion: tls.VersionTLS12},
		},
	}
}

// post makes one try: what went wrong, whether another may go better, and how long the receiver asks to wait for it.
func (w *Webhook) post(ctx context.Context, client *http.Client, b []byte, key string) (after time.Duration, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(b))
	if err != nil {
		return 0, false, err
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "relaysweep")
	req.Header.Set(TimestampHeader, stamp)
	req.Header.Set(SignatureHeader, "v1="+w.sign(stamp, b))
	req.Header.Set(KeyHeader, key)
	resp, err := client.Do(req)
	if err != nil {
		untrusted := (*tls.CertificateVerificationError)(nil)
		return 0, !errors.As(err, &untrusted), err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return 0, false, nil
	}
	// No word of the answer is told: many receivers repeat the path there, in one form or another.
	err = errors.New(strings.TrimSpace(fmt.Sprintf("it answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))))
	return retryAfter(resp.Header.Get("Retry-After"), time.Now()), resp.StatusCode/100 == 5 || resp.StatusCode == http.StatusTooManyRequests, err
}

func (w *Webhook) sign(stamp string, b []byte) string {
	mac := hmac.New(sha256.New, w.Secret)
	fmt.Fprintf(mac, "%s.%s", stamp, b)
	return hex.EncodeToString(mac.Sum(nil))
}

// retryAfter reads seconds or a date (RFC 9110, Section 10.2.3). What is neither asks for nothing.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}
