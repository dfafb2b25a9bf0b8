package smtptest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

const (
	maxHops      = 30 // Received lines of a message that goes in a circle
	relayCommand = 5 * time.Second
	relayAll     = 15 * time.Second
)

type envelope struct {
	from  string // between the brackets
	rcpts []string
}

type message struct {
	envelope envelope
	body     []byte // without stuffed dots
}

// obey remembers what a line meant that was answered 2yz.
func (c *session) obey(line string) {
	verb, arg, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO", "HELO":
		c.hello, c.envelope = line, envelope{}
	case "RSET":
		c.envelope = envelope{}
	case "MAIL":
		if path, ok := cutPath(arg, "FROM:"); ok {
			c.envelope = envelope{from: path}
		}
	case "RCPT":
		if path, ok := cutPath(arg, "TO:"); ok && len(c.envelope.rcpts) < maxRcpts {
			c.envelope.rcpts = append(c.envelope.rcpts, path)
		}
	}
}

// cutPath takes the path out of "FROM:<path> PARAMETERS", brackets or not.
func cutPath(arg, word string) (path string, ok bool) {
	arg = strings.TrimLeft(arg, " ")
	if len(arg) < len(word) || !strings.EqualFold(arg[:len(word)], word) {
		return "", false
	}
	arg = strings.TrimSpace(arg[len(word):])
	if !strings.HasPrefix(arg, "<") {
		path, _, _ = strings.Cut(arg, " ")
		return path, true
	}
	quoted := false
	for i := 1; i < len(arg); i++ {
		switch arg[i] {
		case '\\':
			i++
		case '"':
			quoted = !quoted
		case '>':
			if !quoted {
				return arg[1:i], true
			}
		}
	}
	return strings.TrimSuffix(arg[1:], ">"), true
}

// relay hands the last message to the smart host: "= relay".
func (c *session) relay() error {
	if c.message == nil {
		return nil
	}
	err := c.s.forward(c.message, c.received(), c.d.rewrites)
	c.message = nil
	c.s.count(func(s *Score) {
		if err == nil {
			s.Relayed++
		} else {
			note(&s.RelayErrors, err.Error())
		}
	})
	return nil
}

// received is our trace line. RFC 5321, Section 4.4.
func (c *session) received() string {
	verb, name, _ := strings.Cut(c.hello, " ")
	with := "SMTP"
	if strings.EqualFold(verb, "EHLO") {
		with = "ESMTP"
	}
	if c.conn != c.raw {
		with += "S"
	}
	name = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || strings.ContainsRune("()\\", r) {
			return '?'
		}
		return r
	}, name)
	if name == "" {
		name = "unknown"
	}
	return fmt.Sprintf("Received: from %s ([%s])\r\n\tby %s with %s; %s\r\n",
		name, c.ip, c.s.hostname(), with, time.Now().Format(time.RFC1123Z))
}

func (s *Server) forward(m *message, received string, rewrites []rewrite) error {
	if s.Relay == "" {
		return errors.New("relay: the server has no smart host; set Server.Relay")
	}
	if hops(m.body) >= maxHops {
		return errors.New("relay: too many hops")
	}
	conn, err := net.DialTimeout("tcp", s.Relay, relayCommand)
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	defer time.AfterFunc(relayAll, func() { conn.Close() }).Stop()
	client := smtp.NewClient(conn)
	defer client.Close()
	client.CommandTimeout, client.SubmissionTimeout = relayCommand, relayCommand
	if err := client.Hello(s.hostname()); err != nil {
		return fmt.Errorf("relay: hello: %w", err)
	}
	if err := client.Mail(m.envelope.from, nil); err != nil {
		return fmt.Errorf("relay: from <%s>: %w", m.envelope.from, err)
	}
	for _, rcpt := range m.envelope.rcpts {
		if err := client.Rcpt(rewriteRcpt(rcpt, rewrites), nil); err != nil {
			return fmt.Errorf("relay: to <%s>: %w", rcpt, err)
		}
	}
	w, err := client.Data()
	if err != nil {
		return fmt.Errorf("relay: data: %w", err)
	}
	w.Write([]byte(received)) // Close tells the error
	w.Write(m.body)
	if err := w.Close(); err != nil {
		return fmt.Errorf("relay: data: %w", err)
	}
	client.Quit()
	return nil
}

func rewriteRcpt(rcpt string, rewrites []rewrite) string {
	for _, r := range rewrites {
		if stars, ok := r.pattern.match("<" + rcpt + ">"); ok {
			rcpt = r.to.expand(stars, nil)
			return strings.TrimSuffix(strings.TrimPrefix(rcpt, "<"), ">")
		}
	}
	return rcpt
}

func hops(body []byte) int {
	n := 0
	for line := range bytes.Lines(body) {
		if len(bytes.TrimSpace(line)) == 0 {
			break
		}
		if len(line) >= 9 && bytes.EqualFold(line[:9], []byte("Received:")) {
			n++
		}
	}
	return n
}
