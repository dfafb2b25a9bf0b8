package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
	gosmtp "github.com/emersion/go-smtp"
	"github.com/rogpeppe/go-internal/testscript"

	"relaysweep/probe/canary"
)

// mailhost is a mail host of ours: what comes by SMTP lies in a mailbox then, all of it in one. The user is canaries,
// the password s3cret.
type mailhost struct {
	box  *imapmemserver.User
	hold bool

	mu   sync.Mutex
	held []string
}

type mailhostsKey struct{}

func mailhostAt(ts *testscript.TestScript, addr string) *mailhost {
	h := ts.Value(mailhostsKey{}).(map[string]*mailhost)[addr]
	if h == nil {
		ts.Fatalf("no mailbox at %s: mailhost starts one", addr)
	}
	return h
}

// take takes a message, and delivers it if none are held.
func (h *mailhost) take(message string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hold {
		h.held = append(h.held, message)
		return nil
	}
	return h.deliver(message)
}

func (h *mailhost) deliver(message string) error {
	_, err := h.box.Append("INBOX", mail{strings.NewReader(message)}, &imap.AppendOptions{Time: time.Now()})
	return err
}

type mail struct{ *strings.Reader }

func (m mail) Size() int64 { return m.Reader.Size() }

// incoming is one SMTP client of a mailhost.
type incoming struct {
	host     *mailhost
	conn     *gosmtp.Conn
	from, to string
}

func (s *incoming) Reset()        {}
func (s *incoming) Logout() error { return nil }

func (s *incoming) Mail(from string, _ *gosmtp.MailOptions) error { s.from = from; return nil }
func (s *incoming) Rcpt(to string, _ *gosmtp.RcptOptions) error   { s.to = to; return nil }

func (s *incoming) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	peer, err := netip.ParseAddrPort(s.conn.Conn().RemoteAddr().String())
	if err != nil {
		return err
	}
	// A relay of these tests is on loopback, and no mail host would take that for another.
	trace := fmt.Sprintf("Return-Path: <%s>\r\nDelivered-To: %s\r\nReceived: from %s (unknown [192.0.2.%d])\r\n\tby mx.canary.example with ESMTP; %s\r\n",
		s.from, s.to, s.conn.Hostname(), peer.Addr().As4()[3], time.Now().Format(time.RFC1123Z))
	return s.host.take(trace + string(b))
}

func cmdMailhost(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "mailhost")
	if len(args) < 3 || len(args) == 4 && args[3] != "hold" || len(args) > 4 {
		ts.Fatalf("usage: mailhost SMTP IMAP FILE [hold]")
	}
	h := &mailhost{box: imapmemserver.NewUser("canaries", "s3cret"), hold: len(args) == 4}
	ts.Check(h.box.Create("INBOX", nil))
	memory := imapmemserver.New()
	memory.AddUser(h.box)
	imapAt, err := netip.ParseAddrPort(args[1])
	ts.Check(err)
	cert, authority, err := selfSigned(imapAt.Addr())
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), authority, 0o600))
	mailboxes, err := tls.Listen("tcp4", args[1], &tls.Config{Certificates: []tls.Certificate{cert}})
	ts.Check(err)
	reading := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return memory.NewSession(), nil, nil
		},
		Caps: imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapUIDPlus: {}}, InsecureAuth: true, Logger: log.New(io.Discard, "", 0),
	})
	l, err := net.Listen("tcp4", args[0])
	ts.Check(err)
	taking := gosmtp.NewServer(gosmtp.BackendFunc(func(c *gosmtp.Conn) (gosmtp.Session, error) { return &incoming{host: h, conn: c}, nil }))
	taking.Domain = "mx.canary.example"
	taking.ErrorLog = log.New(io.Discard, "", 0)
	var serving sync.WaitGroup
	serving.Go(func() { reading.Serve(mailboxes) })
	serving.Go(func() { taking.Serve(l) })
	ts.Defer(func() { reading.Close(); taking.Close(); serving.Wait() })
	ts.Value(mailhostsKey{}).(map[string]*mailhost)[args[1]] = h
}

// selfSigned makes a certificate of an address, and its PEM.
func selfSigned(a netip.Addr) (cert tls.Certificate, authority []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, nil, err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{a.AsSlice()}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}

func cmdRelease(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "release")
	if len(args) != 1 {
		ts.Fatalf("usage: release IMAP")
	}
	h := mailhostAt(ts, args[0])
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.held) == 0 {
		ts.Fatalf("nothing is held")
	}
	for _, message := range h.held {
		ts.Check(h.deliver(message))
	}
	h.held, h.hold = nil, false
}

func cmdLetter(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "letter")
	if len(args) != 2 {
		ts.Fatalf("usage: letter IMAP FILE")
	}
	ts.Check(mailhostAt(ts, args[0]).deliver(strings.ReplaceAll(ts.ReadFile(args[1]), "\n", "\r\n")))
}

func cmdMails(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "mails")
	if len(args) != 2 {
		ts.Fatalf("usage: mails IMAP N")
	}
	want, err := strconv.ParseUint(args[1], 10, 32)
	ts.Check(err)
	s, err := mailhostAt(ts, args[0]).box.Status("INBOX", &imap.StatusOptions{NumMessages: true, NumUnseen: true, NumDeleted: true})
	ts.Check(err)
	if uint64(*s.NumMessages) != want || *s.NumUnseen != *s.NumMessages || *s.NumDeleted != 0 {
		ts.Fatalf("%d messages, %d of them unseen, %d deleted; want %d, and no mark on any", *s.NumMessages, *s.NumUnseen, *s.NumDeleted, want)
	}
}

func TestIMAPServerText(t *testing.T) {
	for _, tt := range []struct{ server, security, want string }{
		{"imap.example.net", "", "imap.example.net:993"},
		{"imap.example.net:1993", "tls", "imap.example.net:1993"},
		{"imap.example.net", "starttls", "imap.example.net:143"},
		{"127.0.0.1", "none", "127.0.0.1:143"},
		{"[::1]:1143", "none", "[::1]:1143"},
		{"2001:db8::1", "", "[2001:db8::1]:993"},
		{"localhost", "none", "localhost:143"},
		{"", "", ""},
		{"192.0.2.1", "none", "error: c.yaml: without TLS a mailbox is read on loopback alone: use tls or starttls"},
		{"imap.example.net", "none", "error: c.yaml: without TLS a mailbox is read on loopback alone: use tls or starttls"},
		{"imap.example.net", "ssl", `error: c.yaml: "ssl" is not tls, starttls or none`},
		{"imap.example.net:imaps", "", `error: c.yaml: "imap.example.net:imaps" is not host:port: write it like imap.example.net:993`},
		{"imaps://imap.example.net", "", `error: c.yaml: "imaps://imap.example.net" is not host:port: write it like imap.example.net:993`},
		{"imap example", "", `error: c.yaml: "imap example" is not host:port: write it like imap.example.net:993`},
	} {
		cfg := &config{file: "c.yaml"}
		cfg.Canary.IMAP.Server, cfg.Canary.IMAP.TLS = tt.server, tt.security
		s, err := imapOf(cfg, func(_, key, fromFile string) value { return value{fromFile, cfg.where(key)} })
		got := s.Server
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != tt.want {
			t.Errorf("%q, %q: got %s, want %s", tt.server, tt.security, got, tt.want)
		}
	}
}

func TestSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	for _, tt := range []struct {
		name, content string
		mode          os.FileMode
		want          string
	}{
		{"its line end is none of it", "s3cret \r\n", 0o600, "s3cret "},
		{"read-only", "s3cret", 0o400, "s3cret"},
		{"the group may read it", "s3cret", 0o640, "error: others may read the secret"},
		{"all may read it", "s3cret", 0o604, "error: others may read the secret"},
		{"empty", "\n", 0o600, "error: no secret in it"},
		{"no password at all", strings.Repeat("x", 5000), 0o600, "error: larger than 4096 bytes"},
	} {
		os.Remove(file)
		if err := os.WriteFile(file, []byte(tt.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, tt.mode); err != nil {
			t.Fatal(err)
		}
		b, err := secret(file)
		got := string(b)
		if err != nil {
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s: the error tells it: %v", tt.name, err)
			}
			got, _, _ = strings.Cut("error"+strings.TrimPrefix(err.Error(), file), " (chmod 600 "+file+")")
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	// What systemd passes to a service is guarded by an access list that shows as the group's rights.
	os.Remove(file)
	if err := os.WriteFile(file, []byte("s3cret"), 0o440); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(file)+"/")
	if b, err := secret(file); string(b) != "s3cret" || err != nil {
		t.Errorf("systemd passes it: got %q, %v", b, err)
	}
}

// What is stored of a scan names the file of the password, and not the password.
func TestPasswordIsNotStored(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := settingsOf(t, "--config", os.DevNull, "--imap-server", "imap.example.net", "--imap-user", "canaries", "--imap-password-file", file, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if s.IMAP.Server != "imap.example.net:993" || s.IMAP.TLS != canary.TLS {
		t.Errorf("got %+v", s.IMAP)
	}
	j, err := newJournal(dir, s)
	if err != nil {
		t.Fatal(err)
	}
	j.Close()
	b, err := os.ReadFile(filepath.Join(dir, s.Scan, "settings.json"))
	if err != nil || bytes.Contains(b, []byte("s3cret")) || !bytes.Contains(b, []byte("imap.example.net:993")) {
		t.Errorf("got %s, %v", b, err)
	}
}
