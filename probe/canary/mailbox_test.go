package canary_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"relaysweep/probe"
	"relaysweep/probe/canary"
)

const (
	user     = "canaries@example.net"
	password = `s3cret "pass\word"`
)

// inbox is a mailbox in memory, with an IMAP server before it.
type inbox struct {
	*imapmemserver.User
	addr string

	mu   sync.Mutex
	said bytes.Buffer // by both sides

	quiet atomic.Bool // what is said is not kept
}

func (b *inbox) Write(p []byte) (int, error) {
	if b.quiet.Load() {
		return len(p), nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.said.Write(p)
}

func (b *inbox) log() string { b.mu.Lock(); defer b.mu.Unlock(); return b.said.String() }

// came is when messages of these tests came into a mailbox, and now is a little later.
var (
	came = time.Date(2026, 3, 2, 10, 0, 0, 0, time.FixedZone("", 9*3600))
	now  = time.Date(2026, 3, 2, 5, 0, 0, 0, time.UTC)
)

// put puts a message into the mailbox.
func (b *inbox) put(t testing.TB, message string) { t.Helper(); b.putAt(t, message, came) }

func (b *inbox) putAt(t testing.TB, message string, at time.Time) {
	t.Helper()
	message = strings.ReplaceAll(strings.ReplaceAll(message, "\r\n", "\n"), "\n", "\r\n")
	if _, err := b.Append("INBOX", literal{strings.NewReader(message)}, &imap.AppendOptions{Time: at}); err != nil {
		t.Fatal(err)
	}
}

type literal struct{ *strings.Reader }

func (l literal) Size() int64 { return l.Reader.Size() }

// left is how many messages are in the mailbox, and how many of them are marked.
func (b *inbox) left(t *testing.T) (messages, marked uint32) {
	t.Helper()
	s, err := b.Status("INBOX", &imap.StatusOptions{NumMessages: true, NumUnseen: true, NumDeleted: true})
	if err != nil {
		t.Fatal(err)
	}
	return *s.NumMessages, *s.NumMessages - *s.NumUnseen + *s.NumDeleted
}

// authority signs certificates.
type authority struct {
	pool *x509.CertPool
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{x509.NewCertPool(), nil, key}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

// sign makes the certificate of an address.
func (a *authority) sign(t *testing.T, ip string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(2), IPAddresses: []net.IP{net.ParseIP(ip)}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serveIMAP runs an IMAP server on loopback until the test ends. options may be nil.
func serveIMAP(t testing.TB, options *imapserver.Options, implicit bool) *inbox {
	t.Helper()
	if options == nil {
		options = &imapserver.Options{InsecureAuth: true}
	}
	memory := imapmemserver.New()
	b := &inbox{User: imapmemserver.NewUser(user, password)}
	for _, name := range []string{"INBOX", "Canaries"} {
		if err := b.Create(name, nil); err != nil {
			t.Fatal(err)
		}
	}
	memory.AddUser(b.User)
	options.NewSession = func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
		return memory.NewSession(), nil, nil
	}
	options.DebugWriter, options.Logger = b, log.New(io.Discard, "", 0)
	if options.Caps == nil {
		options.Caps = imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapUIDPlus: {}}
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = l.Addr().String()
	if implicit {
		l = tls.NewListener(l, options.TLSConfig)
	}
	server := imapserver.New(options)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: got %v, want nil", err)
		}
	})
	return b
}

// mailbox is one that is read without TLS.
func mailbox(addr string, taken *box) *canary.Mailbox {
	return &canary.Mailbox{
		Canary: ours, Server: addr, Security: canary.Plain, User: user, Password: password, Timeout: 20 * time.Second,
		Now: func() time.Time { return now }, Store: func(d probe.Delivery) error { taken.take(d); return nil },
	}
}

// check looks once and wants no error.
func check(t *testing.T, m *canary.Mailbox) canary.Checked {
	t.Helper()
	did, err := m.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return did
}

// message is a canary as it lies in a mailbox. add are further fields, before its own.
func message(token, add string) string {
	return add + "From: <alice@org.example>\nTo: <" + token + "@example.net>\nSubject: relaysweep relay test scan-1\nDate: Mon, 2 Mar 2026 00:59:58 +0000\n" +
		"X-Relaysweep-Scan: scan-1\nX-Relaysweep-Canary: " + token + "\n\nExample City tests its own mail servers.\n"
}

func tokenOf(n int) string {
	return ours.Token("scan-1", "192.0.2.1:25", fmt.Sprint("R", n), "outside")
}

func TestDeliveriesOfAMailbox(t *testing.T) {
	b, taken := serveIMAP(t, nil, false), &box{}
	b.put(t, message(token, `Return-Path: <alice@org.example>
Delivered-To: `+token+`@example.net
Received: from mx.example.net ([127.0.0.1])
	by store.example.net with LMTP; Mon, 2 Mar 2026 10:00:00 +0900
Received: from relay.org.example (unknown [192.0.2.25])
	by mx.example.net (Postfix) with ESMTP; Mon, 2 Mar 2026 10:00:00 +0900
Received: from scanner.example.net (unknown [198.51.100.9]) by relay.org.example with ESMTP
`))
	b.put(t, "Subject: no canary\nX-Other: x\n\nhello\n")
	m := mailbox(b.addr, taken)
	if did, want := check(t, m), (canary.Checked{Messages: 1, Deliveries: 1}); did != want {
		t.Errorf("got %+v, want %+v", did, want)
	}
	want := probe.Delivery{
		Canary: token, Time: time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC), Peer: "192.0.2.25", HELO: "relay.org.example", From: "alice@org.example", To: token + "@example.net",
		Received: []string{
			"from mx.example.net ([127.0.0.1]) by store.example.net with LMTP; Mon, 2 Mar 2026 10:00:00 +0900",
			"from relay.org.example (unknown [192.0.2.25]) by mx.example.net (Postfix) with ESMTP; Mon, 2 Mar 2026 10:00:00 +0900",
			"from scanner.example.net (unknown [198.51.100.9]) by relay.org.example with ESMTP",
		},
	}
	if got := taken.all(); len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	// Nothing was marked, and what was read is not read again; what comes later is.
	if n, marked := b.left(t); n != 2 || marked != 0 {
		t.Errorf("%d messages, %d of them marked; want 2 and none", n, marked)
	}
	b.put(t, message(tokenOf(1), ""))
	if did := check(t, m); did.Messages != 1 || did.Deliveries != 1 {
		t.Errorf("the second time: got %+v, want the new message alone", did)
	}
	// Another process reads all of it again, and gets the same.
	again := &box{}
	if did := check(t, mailbox(b.addr, again)); did.Deliveries != 2 || fmt.Sprint(again.all()) != fmt.Sprint(taken.all()) {
		t.Errorf("got %+v, %v, want what came before: %v", did, again.all(), taken.all())
	}
	for _, word := range []string{"EXAMINE", "BODY.PEEK["} {
		if !strings.Contains(b.log(), word) {
			t.Errorf("%s was not said", word)
		}
	}
}

func TestOnlyWhatIsProvenIsDelivered(t *testing.T) {
	other := tokenOf(1)
	forged := probe.Canary{Domain: "example.net", Key: []byte("another key")}.Token("scan-1", "192.0.2.1:25", "S1", "outside")
	report := func(to, body string) string {
		return "From: MAILER-DAEMON@relay.org.example\nTo: <" + to + ">\nSubject: Undelivered\nContent-Type: Multipart/Report; report-type=delivery-status;\n boundary=\"b\"\nMIME-Version: 1.0\n\n" + body
	}
	status := func(to string) string {
		return "--b\nContent-Type: text/plain\n\nIt could not be delivered.\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; relay.org.example\n\nFinal-Recipient: rfc822; " + to + "\nAction: failed\nStatus: 5.1.1\n--b--\n"
	}
	for _, tt := range []struct {
		name, message string
		want          []string // token, and "bounce"
	}{
		{"by its To", message(token, ""), []string{token}},
		{"by Delivered-To, though To was rewritten", "Delivered-To: <" + token + "@example.net>\nTo: undisclosed-recipients:;\nX-Relaysweep-Scan: s\n\nx\n", []string{token}},
		{"by X-Original-To", "X-Original-To: " + token + "@example.net\nX-Relaysweep-Scan: s\n\nx\n", []string{token}},
		{"by Envelope-To", "Envelope-To: " + token + "@example.net\nX-Relaysweep-Scan: s\n\nx\n", []string{token}},
		{"by its own field alone", "To: rewritten@example.net\nX-Relaysweep-Scan: s\nX-Relaysweep-Canary: " + token + "\n\nx\n", []string{token}},
		{"once, though four fields name it", message(token, "Delivered-To: "+token+"@example.net\nX-Original-To: "+token+"@example.net\nEnvelope-To: "+token+"@example.net\n"), []string{token}},
		{"to where the envelope says, whatever the message says", message(other, "Delivered-To: "+token+"@example.net\n"), []string{token}},
		{"by the message where the envelope names the mailbox", message(token, "Delivered-To: canaries@example.net\n"), []string{token}},
		{"each of two recipients", "To: <" + token + "@example.net>,\n <" + other + "@example.net>\nX-Relaysweep-Scan: s\n\nx\n", []string{token, other}},
		{"a message that came back to its sender", message(token, "Delivered-To: "+token+"-b@example.net\n"), []string{token + " bounce"}},
		{"a plain bounce", "To: <" + token + "-b@example.net>\nSubject: failure notice\n\nI could not deliver it.\n", []string{token + " bounce"}},
		{"a report to the sender's address", report(token+"-b@example.net", status("x@example.net")), []string{token + " bounce"}},
		{"a report to a recipient's address is no delivery", report(token+"@example.net", ""), []string{token + " bounce"}},
		{"a report to another address that names the recipient", report("postmaster@example.net", status(token+"@example.net")), []string{token + " bounce"}},
		{"a report that returns the header", report("postmaster@example.net", "--b\nContent-Type: text/rfc822-headers\n\nX-Relaysweep-Canary: "+token+"\n--b--\n"), []string{token + " bounce"}},
		{"a report that names it twice", report("postmaster@example.net", status(token+"@example.net")+"To: <"+token+"@example.net>\n"), []string{token + " bounce"}},
		{"a report of something else", report("postmaster@example.net", status("bob@org.example")), nil},
		{"a forged tag", message(forged, ""), nil},
		{"another domain", "To: " + token + "@example.org\nX-Relaysweep-Scan: s\n\nx\n", nil},
		{"named in the body", "To: postmaster@example.net\nX-Relaysweep-Scan: s\n\nTo: <" + token + "@example.net>\nX-Relaysweep-Canary: " + token + "\n", nil},
		{"named in a field that no server writes", "To: postmaster@example.net\nCc: <" + token + "@example.net>\nX-Relaysweep-Scan: s\n\nx\n", nil},
		{"nothing of ours, though it says so", "X-Relaysweep-Scan: s\nX-Relaysweep-Canary: rs-aaaaaaaaaaaaaaaaaaaa\n\nx\n", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, taken := serveIMAP(t, nil, false), &box{}
			b.put(t, tt.message)
			did := check(t, mailbox(b.addr, taken))
			var got []string
			for _, d := range taken.all() {
				s := d.Canary
				if d.Bounce {
					s += " bounce"
				}
				got = append(got, s)
			}
			if !slices.Equal(got, tt.want) || did.Messages != 1 {
				t.Errorf("got %q of %d messages, want %q of one", got, did.Messages, tt.want)
			}
		})
	}
}

func TestBroughtBy(t *testing.T) {
	for _, tt := range []struct{ name, received, peer, helo string }{
		{"Postfix", "from mail.org.example (mail.org.example [192.0.2.25])\n\tby mx.example.net (Postfix) with ESMTPS", "192.0.2.25", "mail.org.example"},
		{"Postfix, IPv6", "from mail.org.example (unknown [IPv6:2001:db8::25]) by mx.example.net", "2001:db8::25", "mail.org.example"},
		{"Exim, without a name", "from [192.0.2.25] (helo=mail.org.example) by mx.example.net with esmtp", "192.0.2.25", "[192.0.2.25]"},
		{"Exchange", "from mail.org.example (192.0.2.25) by MX.example.net (203.0.113.9) with Microsoft SMTP Server", "192.0.2.25", "mail.org.example"},
		{"qmail", "from unknown (HELO mail.org.example) (192.0.2.25) by mx.example.net with SMTP", "192.0.2.25", "unknown"},
		{"a client that calls itself by another address", "from [198.51.100.1] (mail.org.example [192.0.2.25]) by mx.example.net", "192.0.2.25", "[198.51.100.1]"},
		{"a name that is an address", "from x (198.51.100.1 [192.0.2.25]) by mx.example.net", "192.0.2.25", "x"},
		{"from itself first", "from localhost (localhost [127.0.0.1]) by mx.example.net\nReceived: from relay (relay [192.0.2.25]) by mx.example.net", "192.0.2.25", "relay"},
		{"by a line without a client first", "by mx.example.net with LMTP\nReceived: from relay (relay [192.0.2.25]) by mx.example.net", "192.0.2.25", "relay"},
		{"nobody", "by mx.example.net", "", ""},
		{"nonsense", "from from ([[[300.1.2.3] by by", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, taken := serveIMAP(t, nil, false), &box{}
			b.put(t, message(token, "Received: "+tt.received+"\n"))
			check(t, mailbox(b.addr, taken))
			if got := taken.all(); len(got) != 1 || got[0].Peer != tt.peer || got[0].HELO != tt.helo {
				t.Errorf("got %+v, want one of %q, %q", got, tt.peer, tt.helo)
			}
		})
	}
}

func TestOldMessagesAreNotRead(t *testing.T) {
	b, taken := serveIMAP(t, nil, false), &box{}
	b.putAt(t, message(tokenOf(1), ""), now.AddDate(0, 0, -30))
	b.putAt(t, message(tokenOf(2), ""), now.AddDate(0, 0, -6))
	m := mailbox(b.addr, taken)
	check(t, m)
	if got := canaries(taken.all()); !slices.Equal(got, []string{tokenOf(2)}) {
		t.Errorf("a week: got %q, want the second alone", got)
	}
	m.Age = 60 * 24 * time.Hour
	check(t, m)
	if got := canaries(taken.all()); !slices.Equal(got, []string{tokenOf(2), tokenOf(1)}) {
		t.Errorf("two months: got %q, want both", got)
	}
}

func TestAnotherMailbox(t *testing.T) {
	b, taken := serveIMAP(t, nil, false), &box{}
	b.put(t, message(token, ""))
	m := mailbox(b.addr, taken)
	m.Name = "Canaries"
	if did := check(t, m); did.Messages != 0 {
		t.Errorf("got %+v of an empty mailbox", did)
	}
	m.Name = "missing"
	if _, err := m.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "mailbox missing: imap: NO [NONEXISTENT] No such mailbox") {
		t.Errorf("got %v, want that there is none", err)
	}
}

// What is deleted was stored, and proved what it is; what somebody else marked stays.
func TestDelete(t *testing.T) {
	b, taken := serveIMAP(t, nil, false), &box{}
	b.put(t, message(token, ""))
	b.put(t, "Subject: a letter\n\nhello\n")
	b.put(t, message("rs-aaaaaaaaaaaaaaaaaaaa", ""))
	m := mailbox(b.addr, taken)
	m.Delete = true
	full := errors.New("disk full")
	store := m.Store
	m.Store = func(probe.Delivery) error { return full }
	if did, err := m.Check(t.Context()); err != full || did.Deleted != 0 {
		t.Errorf("got %+v, %v, want %v", did, err, full)
	}
	if n, marked := b.left(t); n != 3 || marked != 0 {
		t.Errorf("%d messages are left, %d marked; want all three", n, marked)
	}
	m.Store = store
	if did, want := check(t, m), (canary.Checked{Messages: 2, Deliveries: 1, Deleted: 1}); did != want {
		t.Errorf("got %+v, want %+v", did, want)
	}
	if n, marked := b.left(t); n != 2 || marked != 0 {
		t.Errorf("%d messages are left, %d marked; want the letter and the forgery", n, marked)
	}
	if did := check(t, m); did != (canary.Checked{}) {
		t.Errorf("got %+v, want nothing new", did)
	}
}

func TestDeleteNeedsUIDPLUS(t *testing.T) {
	b, taken := serveIMAP(t, &imapserver.Options{InsecureAuth: true, Caps: imap.CapSet{imap.CapIMAP4rev1: {}}}, false), &box{}
	b.put(t, message(token, ""))
	m := mailbox(b.addr, taken)
	m.Delete = true
	if _, err := m.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot delete single messages") {
		t.Errorf("got %v, want a refusal", err)
	}
	if n, marked := b.left(t); n != 1 || marked != 0 {
		t.Errorf("%d messages are left, %d marked", n, marked)
	}
}

func TestSecurity(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	good := &tls.Config{Certificates: []tls.Certificate{ca.sign(t, "127.0.0.1")}}
	other := &tls.Config{Certificates: []tls.Certificate{ca.sign(t, "127.0.0.2")}}
	unknown := &tls.Config{Certificates: []tls.Certificate{stranger.sign(t, "127.0.0.1")}}
	for _, tt := range []struct {
		name     string
		server   *tls.Config
		implicit bool
		client   canary.Security
		err      string // if empty, the canary is read
	}{
		{"TLS", good, true, canary.TLS, ""},
		{"TLS, with another name's certificate", other, true, canary.TLS, "certificate is valid for 127.0.0.2, not 127.0.0.1"},
		{"TLS, with a stranger's certificate", unknown, true, canary.TLS, "certificate signed by unknown authority"},
		{"TLS to a server that waits for STARTTLS", good, false, canary.TLS, "first record does not look like a TLS handshake"},
		{"STARTTLS", good, false, canary.STARTTLS, ""},
		{"STARTTLS, with another name's certificate", other, false, canary.STARTTLS, "certificate is valid for 127.0.0.2, not 127.0.0.1"},
		{"STARTTLS, with a stranger's certificate", unknown, false, canary.STARTTLS, "certificate signed by unknown authority"},
		{"STARTTLS that the server does not have", nil, false, canary.STARTTLS, "the server has no STARTTLS"},
		{"none, where the server wants TLS", good, false, canary.Plain, "the server takes no LOGIN here"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, taken := serveIMAP(t, &imapserver.Options{TLSConfig: tt.server}, tt.implicit), &box{}
			b.put(t, message(token, ""))
			m := mailbox(b.addr, taken)
			m.Security, m.Roots = tt.client, ca.pool
			_, err := m.Check(t.Context())
			switch {
			case tt.err == "" && (err != nil || len(taken.all()) != 1):
				t.Errorf("got %v, %v, want the canary", taken.all(), err)
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("got %v, want %q", err, tt.err)
			}
			if tt.err != "" && strings.Contains(b.log(), "LOGIN ") {
				t.Errorf("the password was said: %q", b.log())
			}
		})
	}
}

func TestLoginRefused(t *testing.T) {
	b := serveIMAP(t, nil, false)
	for _, tt := range []struct {
		name, user, password string
		refused              bool // by the server
	}{
		{"a wrong password", user, "wrong", true},
		{"no such user", "nobody", password, true},
		{"a password that LOGIN cannot say", user, "pässword", false},
		{"a password of two lines", user, "a\r\nT9 LOGOUT", false},
		{"no password", user, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := mailbox(b.addr, &box{})
			m.User, m.Password = tt.user, tt.password
			if _, err := m.Check(t.Context()); err == nil || errors.Is(err, canary.ErrLogin) != tt.refused || tt.password != "" && strings.Contains(err.Error(), tt.password) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Only a server that says that user and password are wrong, or says nothing, is not asked again.
func TestLoginCodes(t *testing.T) {
	for code, refused := range map[string]bool{
		"": true, "[AUTHENTICATIONFAILED] ": true, "[AUTHORIZATIONFAILED] ": true, "[EXPIRED] ": true, "[PRIVACYREQUIRED] ": true, "[authenticationfailed] ": true,
		"[UNAVAILABLE] ": false, "[LIMIT] ": false, "[INUSE] ": false, "[SERVERBUG] ": false, "[CONTACTADMIN] ": false, "[ALERT] ": false, "[FROB 1 2] ": false,
	} {
		m := mailbox(hostile(t, "* OK [CAPABILITY IMAP4rev1 UIDPLUS] ready\r\n", map[string]string{"LOGIN": "$ NO " + code + "not now\r\n"}), &box{})
		if _, err := m.Check(t.Context()); err == nil || errors.Is(err, canary.ErrLogin) != refused {
			t.Errorf("%q: got %v, want a refusal: %v", code, err, refused)
		}
	}
}

// hostile plays a server by hand: it greets, and answers each command by its name, with the command's tag for $.
func hostile(t *testing.T, greeting string, answers map[string]string) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	clients.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			clients.Go(func() { defer c.Close(); play(c, greeting, answers) })
		}
	})
	t.Cleanup(func() { l.Close(); clients.Wait() })
	return l.Addr().String()
}

func play(c net.Conn, greeting string, answers map[string]string) {
	if _, err := io.WriteString(c, greeting); err != nil {
		return
	}
	buf := make([]byte, 0, 8<<10)
	for {
		i := bytes.IndexByte(buf, '\n')
		if i < 0 {
			n, err := c.Read(buf[len(buf):cap(buf)])
			if err != nil {
				return
			}
			buf = buf[:len(buf)+n]
			continue
		}
		words := strings.Fields(string(buf[:i]))
		buf = append(buf[:0], buf[i+1:]...)
		if len(words) < 2 {
			return
		}
		name := strings.ToUpper(words[1])
		if name == "UID" && len(words) > 2 {
			name += " " + strings.ToUpper(words[2])
		}
		answer, ok := answers[name]
		if !ok {
			answer = polite[name]
		}
		answer, endless := strings.CutSuffix(strings.ReplaceAll(answer, "$", words[0]), endlessly)
		for {
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
			if !endless {
				break
			}
		}
	}
}

// endlessly, at the end of an answer, says it again and again.
const endlessly = "\x00again"

// polite is what a well-behaved server answers.
var polite = map[string]string{
	"CAPABILITY": "* CAPABILITY IMAP4rev1 UIDPLUS\r\n$ OK done\r\n",
	"LOGIN":      "$ OK [CAPABILITY IMAP4rev1 UIDPLUS] done\r\n",
	"EXAMINE":    "* 1 EXISTS\r\n* OK [UIDVALIDITY 1] ok\r\n$ OK [READ-ONLY] done\r\n",
	"UID SEARCH": "* SEARCH 1\r\n$ OK done\r\n",
	"UID FETCH":  "* 1 FETCH (UID 1 INTERNALDATE \" 2-Mar-2026 10:00:00 +0900\" BODY[HEADER]<0> {6}\r\nA: b\r\n)\r\n$ OK done\r\n",
	"LOGOUT":     "* BYE bye\r\n$ OK done\r\n",
}

// A server may say anything: the check ends, with an error or with what was proven, and holds no more than it asked for.
func TestHostileServers(t *testing.T) {
	const ok = "* OK [CAPABILITY IMAP4rev1 UIDPLUS] ready\r\n"
	for _, tt := range []struct {
		name, greeting string
		answers        map[string]string
		err            string // if empty, there is none
	}{
		{"a polite one", ok, nil, ""},
		{"a greeting without capabilities", "* OK ready\r\n", nil, ""},
		{"logged in already", "* PREAUTH ready\r\n", nil, ""},
		{"no greeting", "", map[string]string{}, "not done within"},
		{"a refusal", "* BYE go away\r\n", nil, "go away"},
		{"another protocol", "220 mail.example ESMTP\r\n", nil, "220"},
		{"a greeting without end", "* OK " + strings.Repeat("x", 2<<20), nil, "the server sends more than was asked for"},
		{"a literal larger than memory", ok, map[string]string{"UID FETCH": "* 1 FETCH (UID 1 ENVELOPE ({9000000000000000000}\r\n" + strings.Repeat("x", 1<<16) + endlessly}, "a literal that was not asked for"},
		{"a header larger than asked for", ok, map[string]string{"UID FETCH": "* 1 FETCH (UID 1 BODY[HEADER]<0> {9000000000000000000}\r\n" + strings.Repeat("x: y\r\n", 1<<12) + endlessly}, "more than was asked for"},
		{"untagged answers without end", ok, map[string]string{"UID SEARCH": strings.Repeat("* 1 EXISTS\r\n", 1000) + endlessly}, "more than was asked for"},
		{"found numbers without end", ok, map[string]string{"UID SEARCH": strings.Repeat("* SEARCH 7 5 3 1 9\r\n", 1000) + endlessly}, "more than was asked for"},
		{"messages that nobody asked for", ok, map[string]string{"UID FETCH": "* 9 FETCH (UID 9 BODY[HEADER]<0> {3}\r\nx\r\n)\r\n$ OK done\r\n"}, ""},
		{"a message without a number", ok, map[string]string{"UID FETCH": "* 1 FETCH (BODY[HEADER]<0> {3}\r\nx\r\n UID 1)\r\n$ OK done\r\n"}, ""},
		{"the same message twice", ok, map[string]string{"UID FETCH": "* 1 FETCH (UID 1 BODY[HEADER]<0> {3}\r\nx\r\n)\r\n* 1 FETCH (UID 1 BODY[HEADER]<0> {3}\r\nx\r\n)\r\n$ OK done\r\n"}, ""},
		{"no header", ok, map[string]string{"UID FETCH": "* 1 FETCH (UID 1 BODY[HEADER]<0> NIL)\r\n$ OK done\r\n"}, ""},
		{"four thousand million messages", ok, map[string]string{"UID SEARCH": "* ESEARCH (TAG \"$\") UID ALL 1:4294967295\r\n$ OK done\r\n", "UID FETCH": "$ NO too many\r\n"}, "too many"},
		{"all messages by a star", ok, map[string]string{"UID SEARCH": "* ESEARCH (TAG \"$\") UID ALL 1:*\r\n$ OK done\r\n"}, "dynamic"},
		{"numbers that are no UIDs", ok, map[string]string{"UID SEARCH": "* ESEARCH (TAG \"$\") ALL 1:3\r\n$ OK done\r\n"}, "does not name messages by UID"},
		{"a search that it cannot do", ok, map[string]string{"UID SEARCH": "$ BAD unknown\r\n"}, "unknown"},
		{"an answer to no question", ok, map[string]string{"LOGIN": "T99 OK done\r\n"}, "unknown tag"},
		{"silence", ok, map[string]string{"UID SEARCH": ""}, "not done within"},
		{"silence in the middle of a header", ok, map[string]string{"UID FETCH": "* 1 FETCH (UID 1 BODY[HEADER]<0> {300}\r\nx"}, "not done within"},
		{"control characters", ok, map[string]string{"EXAMINE": "$ NO \x1b[31m\x07red\r\n"}, "?[31m?red"},
		{"a million brackets", ok, map[string]string{"UID FETCH": "* 1 FETCH (UID 1 BODYSTRUCTURE " + strings.Repeat("(", 1<<20) + "\r\n"}, "too many brackets"},
		{"brackets before the login", "* 1 FETCH (BODY " + strings.Repeat("(", 1<<20), nil, "too many brackets"},
		{"brackets with their like in strings between them", ok, map[string]string{"UID FETCH": "* 1 FETCH (UID 1 BODYSTRUCTURE " + strings.Repeat("(\")))\" ", 100) + "\r\n"}, "too many brackets"},
		{"brackets behind a string of two lines", ok, map[string]string{"UID FETCH": "* 1 FETCH (BODYSTRUCTURE (\"\r\n* 1 FETCH (BODY[HEADER] {1000000}\r\n\" " + strings.Repeat("(", 1<<20)}, "two lines"},
		{"brackets behind a string of two lines of which one is escaped", ok, map[string]string{"UID FETCH": "* LIST () \"\\\r\\\n* 1 FETCH (BODY[HEADER] {1000000}\r\n"}, "two lines"},
		{"brackets behind a code of two lines", ok, map[string]string{"UID FETCH": "* OK [X \r\n* 1 FETCH (BODY[HEADER] {1000000}\r\n" + strings.Repeat("(", 1<<20)}, "two lines"},
		{"brackets in a literal that is too large to be one", ok, map[string]string{"UID FETCH": "* 1 FETCH (BODYSTRUCTURE (\"A\" \"B\" NIL NIL NIL NIL 1 {5000}\r\n" + strings.Repeat("(", 1<<20)}, "a literal that was not asked for"},
		{"a literal of a list", ok, map[string]string{"EXAMINE": "* LIST () \"/\" {5}\r\nINBOX\r\n"}, "a literal that was not asked for"},
		{"the password in what it says", ok, map[string]string{"EXAMINE": "$ NO " + password + "\r\n"}, "NO ..."},
		{"the password in a refused login", ok, map[string]string{"LOGIN": "$ NO LOGIN " + user + " " + password + "\r\n"}, canary.ErrLogin.Error()},
		{"a year that no mail has", ok, map[string]string{"UID FETCH": fmt.Sprintf("* 1 FETCH (UID 1 INTERNALDATE \"31-Dec-9999 23:59:59 -1200\" BODY[HEADER]<0> {%d}\r\nTo: %s@example.net)\r\n$ OK done\r\n", len(token)+16, token)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			taken := &box{}
			m := mailbox(hostile(t, tt.greeting, tt.answers), taken)
			if tt.err == "not done within" {
				m.Timeout = 200 * time.Millisecond
			}
			_, err := m.Check(t.Context())
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
			if err != nil && (strings.Contains(err.Error(), password) || len(err.Error()) > 700 || strings.ContainsAny(err.Error(), "\x1b\r\n")) {
				t.Errorf("got the error %q", err)
			}
			if strings.Contains(tt.name, "year") != (len(taken.all()) == 1) {
				t.Errorf("got %+v", taken.all())
			}
			for _, d := range taken.all() {
				if _, err := d.Time.MarshalJSON(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// Before TLS nothing is believed and nothing is told.
func TestHostileSTARTTLS(t *testing.T) {
	for _, tt := range []struct{ name, greeting, answer, err string }{
		{"logged in already", "* PREAUTH ready\r\n", "$ OK go\r\n", "greets with no OK"},
		{"an answer that breaks off", "* OK\r\n", "$ OK x\ry", "not done within"},
		{"more than an answer", "* OK\r\n", "$ OK go\r\n* OK [CAPABILITY IMAP4rev1] injected\r\n", "does not look like a TLS handshake"},
		{"lines without end", "* OK\r\n", "* OK wait\r\n" + endlessly, "more than was asked for"},
		{"one line without end", "* OK\r\n", "* OK" + endlessly, "more than was asked for"},
		{"a refusal", "* OK\r\n", "$ NO not now\r\n", "has no STARTTLS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := mailbox(hostile(t, tt.greeting, map[string]string{"STARTTLS": tt.answer}), &box{})
			m.Security = canary.STARTTLS
			if tt.err == "not done within" {
				m.Timeout = 200 * time.Millisecond
			}
			if _, err := m.Check(t.Context()); err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
		})
	}
}

func TestCheckIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := mailbox(hostile(t, "* OK [CAPABILITY IMAP4rev1] ready\r\n", map[string]string{"UID SEARCH": "* OK still looking\r\n"}), &box{})
	m.Now = func() time.Time { cancel(); return now } // in the middle
	if _, err := m.Check(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// Many messages are read in parts, and those that are too many at once by the next look.
func TestManyMessages(t *testing.T) {
	b, taken := serveIMAP(t, nil, false), &box{}
	const n = 120
	for i := range n {
		b.put(t, message(tokenOf(i), ""))
	}
	if did, want := check(t, mailbox(b.addr, taken)), (canary.Checked{Messages: n, Deliveries: n}); did != want {
		t.Errorf("got %+v, want %+v", did, want)
	}
	if got := canaries(taken.all()); got[0] != tokenOf(0) || got[n-1] != tokenOf(n-1) {
		t.Errorf("got %q, want them in order", got)
	}
}

func TestSecurityText(t *testing.T) {
	for _, want := range []canary.Security{canary.TLS, canary.STARTTLS, canary.Plain} {
		var got canary.Security
		if err := got.UnmarshalText([]byte(want.String())); err != nil || got != want {
			t.Errorf("%s: got %s, %v", want, got, err)
		}
	}
	var s canary.Security
	if err := s.UnmarshalText([]byte("ssl")); err == nil {
		t.Error("ssl: got no error")
	}
}

// FuzzMailboxServer: whatever a server says, line by line, the look into the mailbox ends, and nothing is left running.
func FuzzMailboxServer(f *testing.F) {
	for _, seed := range []string{
		"* OK [CAPABILITY IMAP4rev1] ready\r\n\x00$ OK done\r\n\x00* CAPABILITY IMAP4rev1\r\n$ OK\r\n\x00* 1 EXISTS\r\n$ OK done\r\n\x00* SEARCH 1 2\r\n$ OK done\r\n\x00* 1 FETCH (UID 1 BODY[HEADER]<0> {3}\r\nx\r\n)\r\n$ OK done\r\n",
		"* PREAUTH ready\r\n\x00* CAPABILITY IMAP4rev2\r\n$ OK\r\n\x00$ OK done\r\n\x00* ESEARCH (TAG \"$\") UID ALL 1:3\r\n$ OK\r\n\x00* 1 FETCH (UID 1 FLAGS (\\Seen) ENVELOPE NIL)\r\n* 2 EXPUNGE\r\n",
		"* BYE\r\n", "+ \r\n", "* OK\r\n\x00+ go on\r\n$ NO\r\n", "* OK [CLOSED] x\r\n\x00* FLAGS (x)\r\n$ BAD x\r\n", "* LIST () \"/\" INBOX\r\n* STATUS a (MESSAGES 1)\r\n",
	} {
		f.Add(seed)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Close() })
	f.Fuzz(func(t *testing.T, script string) {
		var server sync.WaitGroup
		defer server.Wait()
		server.Go(func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			lines := bufio.NewReader(c)
			for n, part := range strings.Split(script, "\x00") {
				tag := ""
				if n > 0 { // both sides may wait for the other, if what was said is no whole answer
					c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
					line, _ := lines.ReadString('\n')
					tag, _, _ = strings.Cut(line, " ")
				}
				if _, err := io.WriteString(c, strings.ReplaceAll(part, "$", tag)); err != nil {
					return
				}
			}
		})
		m := mailbox(l.Addr().String(), &box{})
		m.Timeout = 10 * time.Second
		if _, err := m.Check(t.Context()); err != nil && strings.Contains(err.Error(), "not done within") {
			t.Errorf("it hangs: %v", err)
		}
	})
}

// A look into a full mailbox.
func BenchmarkMailbox(b *testing.B) {
	const n = 10_000
	in := serveIMAP(b, nil, false)
	for i := range n {
		in.put(b, message(tokenOf(i), strings.Repeat("Received: from relay.org.example (unknown [192.0.2.25]) by mx.example.net (Postfix) with ESMTP; Mon, 2 Mar 2026 10:00:00 +0900\n", 5)))
	}
	in.quiet.Store(true)
	for b.Loop() {
		m := mailbox(in.addr, &box{})
		m.Timeout = 5 * time.Minute
		if did, err := m.Check(b.Context()); err != nil || did.Deliveries != n {
			b.Fatalf("got %+v, %v", did, err)
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "messages/s")
}
