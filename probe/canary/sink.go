// Package canary is where canaries come home: an SMTP server that takes nothing else, and an IMAP mailbox that is polled
// where no such server can run.
//
// A canary is a test message whose recipient's local part proves which attempt sent it (probe.Canary). The sink checks
// that proof with the operator's key and refuses every other recipient, so that it can stand on the open internet.
package canary

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"relaysweep/probe"
)

// Sink is an SMTP server for canaries. Fields are set before Serve.
type Sink struct {
	Canary probe.Canary
	Name   string                     // host name in the greeting; the canary domain if empty
	Take   func(probe.Delivery)       // called for each delivery, one at a time
	Store  func(probe.Delivery) error // called before the sender is answered; on an error the sender is told to come again
	Now    func() time.Time           // time.Now if nil

	mu     sync.Mutex
	server *gosmtp.Server
}

// Bounds on what strangers may send.
const (
	maxMessage  = 256 << 10
	maxReceived = 32
	maxHeader   = 512
	maxLine     = 1 << 20 // of a file of deliveries
)

// Serve takes connections until Close. It returns nil after Close.
func (s *Sink) Serve(l net.Listener) error {
	server := gosmtp.NewServer(gosmtp.BackendFunc(func(c *gosmtp.Conn) (gosmtp.Session, error) {
		return &session{sink: s, conn: c}, nil
	}))
	server.EnableSMTPUTF8 = true // vector R21
	server.Domain = s.Name
	if server.Domain == "" {
		server.Domain = s.Canary.Domain
	}
	server.MaxMessageBytes, server.MaxRecipients, server.MaxLineLength = maxMessage, 100, 2000
	server.ReadTimeout, server.WriteTimeout = time.Minute, time.Minute
	server.ErrorLog = quiet{}
	s.mu.Lock()
	s.server = server
	s.mu.Unlock()
	if err := server.Serve(l); err != nil && !errors.Is(err, gosmtp.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Close stops the sink.
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil
	}
	return s.server.Close()
}

// quiet drops what go-smtp logs of clients' mistakes: a sink in public sees many.
type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

// session is one client.
type session struct {
	sink *Sink
	conn *gosmtp.Conn
	from string
	to   []proof
}

type proof struct {
	address, token string
	bounce         bool
}

func (s *session) Reset()        { s.from, s.to = "", nil }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *gosmtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	token, bounce, ok := s.sink.Canary.Match(to)
	if !ok {
		return &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 7, 1}, Message: "Only relaysweep's canaries are taken here"}
	}
	s.to = append(s.to, proof{to, token, bounce})
	return nil
}

func (s *session) Data(r io.Reader) error {
	received, err := receivedLines(r)
	if err != nil {
		return err
	}
	now := time.Now
	if s.sink.Now != nil {
		now = s.sink.Now
	}
	for _, p := range s.to {
		d := probe.Delivery{Canary: p.token, Time: now().UTC(), HELO: clip(s.conn.Hostname()), From: clip(s.from), To: clip(p.address), Received: received, Bounce: p.bounce}
		if a := s.conn.Conn().RemoteAddr(); a != nil {
			d.Peer = a.String()
		}
		if err := s.sink.take(d); err != nil {
			return &gosmtp.SMTPError{Code: 451, EnhancedCode: gosmtp.EnhancedCode{4, 3, 0}, Message: "Could not be stored, come again"}
		}
	}
	return nil
}

func (s *Sink) take(d probe.Delivery) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Store != nil {
		if err := s.Store(d); err != nil {
			return err
		}
	}
	if s.Take != nil {
		s.Take(d)
	}
	return nil
}

// receivedLines reads a message and keeps its Received lines, unfolded and bounded (RFC 5321 4.4).
func receivedLines(r io.Reader) ([]string, error) {
	var out []string
	br := bufio.NewReader(r)
	header, in := true, false
	for {
		line, err := br.ReadString('\n')
		text := strings.TrimRight(line, "\r\n")
		switch {
		case !header:
		case text == "" && line != "":
			header = false
		case in && (strings.HasPrefix(text, " ") || strings.HasPrefix(text, "\t")):
			last := &out[len(out)-1]
			*last = clip(*last + " " + strings.TrimSpace(text))
		default:
			if in = len(text) >= 9 && strings.EqualFold(text[:9], "Received:") && len(out) < maxReceived; in {
				out = append(out, clip(strings.TrimSpace(text[9:])))
			}
		}
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func clip(s string) string {
	if len(s) > maxHeader {
		s = strings.ToValidUTF8(s[:maxHeader], "")
	}
	return s
}

// File appends deliveries to a file of JSON Lines, each one safe on disk before the sender is answered.
type File struct{ f *os.File }

// OpenFile opens or makes the file. A last line that was cut off is taken away, or the next delivery would be written
// behind it and be lost: nobody was told that it was stored, so it comes again.
func OpenFile(name string) (*File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := cutPart(f); err != nil {
		f.Close()
		return nil, err
	}
	return &File{f}, nil
}

// cutPart takes away what follows the last line end.
func cutPart(f *os.File) error {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	tail := make([]byte, min(info.Size(), maxLine))
	start := info.Size() - int64(len(tail))
	if _, err := f.ReadAt(tail, start); err != nil && err != io.EOF {
		return err
	}
	if end := bytes.LastIndexByte(tail, '\n') + 1; end < len(tail) && (end > 0 || start == 0) {
		return f.Truncate(start + int64(end))
	}
	return nil
}

// Append writes one delivery.
func (f *File) Append(d probe.Delivery) error {
	b, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if _, err := f.f.Write(append(b, '\n')); err != nil {
		return err
	}
	return f.f.Sync()
}

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }

// ReadFile reads the deliveries of a file. A last line that was cut off is left out.
func ReadFile(name string) ([]probe.Delivery, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []probe.Delivery
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, maxLine)
	for n := 1; scan.Scan(); n++ {
		var d probe.Delivery
		if err := json.Unmarshal(scan.Bytes(), &d); err != nil {
			if !scan.Scan() {
				break
			}
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		out = append(out, d)
	}
	return out, scan.Err()
}
