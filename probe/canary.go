package probe

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// ReservedDomain takes the place of the canary domain where none is configured. RFC 2606 reserves its top level, so
// that an address in it is nobody's.
const ReservedDomain = "relaysweep.test"

// Canary makes and knows the addresses of test messages.
type Canary struct {
	Domain string // mail for it comes home to our sink; ReservedDomain if empty
	Key    []byte // secret of the operator
	// MXNames are further domains of the operator whose mail comes home to the sink, and whose MX records name the
	// targets as well (vector R20).
	MXNames []string
	// Sink is the address of the sink, whose literal is ours as well (vector R22); may be zero.
	Sink netip.Addr
}

// Delivery is a canary that came home.
type Delivery struct {
	Canary   string    `json:"canary"`
	Time     time.Time `json:"timestamp"`
	Peer     string    `json:"peer"` // the address that brought it
	HELO     string    `json:"helo"`
	From     string    `json:"from"`
	To       string    `json:"to"`
	Received []string  `json:"received"`
	Bounce   bool      `json:"bounce,omitempty"` // it came to the sender's address
}

// RealDomain reports whether a canary domain is configured.
func (c Canary) RealDomain() bool { return c.Domain != "" }

func (c Canary) domain() string {
	if c.Domain == "" {
		return ReservedDomain
	}
	return c.Domain
}

var tokenEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

const tokenPrefix = "rs-"

// Token is the local part that proves which attempt a message came from: 48 bits of an HMAC over scan, endpoint,
// vector and vantage, and 48 bits of an HMAC over those, so that a sink that has the key alone can tell it from others.
func (c Canary) Token(scan, endpoint, vector, vantage string) string {
	id := c.mac("id", scan, endpoint, vector, vantage)
	tag := c.mac("tag", string(id))
	return tokenPrefix + tokenEncoding.EncodeToString(append(id, tag...))[:20]
}

func (c Canary) mac(parts ...string) []byte {
	m := hmac.New(sha256.New, c.Key)
	for _, p := range parts {
		fmt.Fprintf(m, "%d:%s", len(p), p)
	}
	return m.Sum(nil)[:6]
}

// Match returns the token of an address in the canary domain, or false where we never wrote it. A label in front of the
// domain is allowed (vector R19). bounce tells the sender's address from the recipient's.
func (c Canary) Match(address string) (token string, bounce, ok bool) {
	at := strings.LastIndexByte(address, '@')
	if at < 0 || !c.RealDomain() {
		return "", false, false
	}
	local, domain := strings.ToLower(strings.Trim(address[:at], `"`)), strings.ToLower(strings.TrimSuffix(address[at+1:], "."))
	if c.Sink.IsValid() && strings.EqualFold(address[at+1:], literal(c.Sink)) {
		domain = strings.ToLower(c.Domain)
	}
	if !slices.ContainsFunc(append([]string{c.Domain}, c.MXNames...), func(own string) bool {
		own = strings.ToLower(own)
		return domain == own || strings.HasSuffix(domain, "."+own)
	}) {
		return "", false, false
	}
	local, bounce = strings.CutSuffix(local, "-b")
	code, found := strings.CutPrefix(local, tokenPrefix)
	raw, err := tokenEncoding.DecodeString(code)
	if !found || err != nil || len(raw) != 12 || tokenEncoding.EncodeToString(raw) != code || !hmac.Equal(c.mac("tag", string(raw[:6])), raw[6:]) {
		return "", false, false
	}
	return tokenPrefix + code, bounce, true
}

// message is the canary: tiny, and it names who sends it and why.
func (p *Prober) message(from string, to []string, token string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: <%s>\r\nTo: <%s@%s>\r\n", from, token, p.Canary.domain())
	fmt.Fprintf(&b, "Subject: relaysweep relay test %s\r\nDate: %s\r\nMessage-ID: <%s.%s@%s>\r\n", p.Scan, p.now().UTC().Format(time.RFC1123Z), token, p.Scan, p.Canary.domain())
	fmt.Fprintf(&b, "Auto-Submitted: auto-generated\r\nX-Relaysweep-Scan: %s\r\nX-Relaysweep-Canary: %s\r\n", p.Scan, token)
	fmt.Fprintf(&b, "X-Relaysweep-Operator: %s\r\nX-Relaysweep-Contact: %s\r\n\r\n", oneLine(p.Organisation), oneLine(p.Contact))
	fmt.Fprintf(&b, "%s tests its own mail servers for third-party relay. Contact: %s\r\n", oneLine(p.Organisation), oneLine(p.Contact))
	return b.Bytes()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
