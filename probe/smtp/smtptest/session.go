package smtptest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

const (
	maxLine    = 4096    // of a client, with its ending
	maxLines   = 10_000  // of one connection
	maxContent = 1 << 20 // of one message
	maxRcpts   = 1000    // of one message

	idle      = 10 * time.Minute // a client may be silent
	handshake = 30 * time.Second // a TLS handshake may take
	linger    = time.Second      // a client may go on after we closed
)

// errHangUp ends a session because the dialog says so.
var errHangUp = errors.New("hang up")

// A session plays the dialog to one client. One goroutine does all of it.
type session struct {
	s      *Server
	d      *Dialog
	number int // of the connection, from 0
	ip     string

	raw    net.Conn
	conn   net.Conn // raw, or TLS over it
	in     *bufio.Reader
	placed bool // holds a place of "= max connections"
	cut    bool // "= reset" was played
	drip   time.Duration

	flags  map[string]bool
	counts map[string]int
	lines  int // read
	errors int // replies 4yz and 5yz

	line     string   // the client's last
	stars    []string // what the pattern took of it
	answered bool     // a reply to it is complete: the client may speak
	early    bool     // it spoke before
	reply    []byte   // the line that we are in the middle of writing
	content  bool     // after a 354

	hello    string // as in "EHLO client.example"
	envelope envelope
	message  *message // the last one, until relayed
}

func newSession(s *Server, conn net.Conn, number int) *session {
	ip, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		ip = conn.RemoteAddr().String()
	}
	return &session{
		s: s, d: s.Dialog, number: number, ip: ip,
		raw: conn, conn: conn, in: bufio.NewReaderSize(conn, maxLine),
		flags: make(map[string]bool), counts: make(map[string]int),
	}
}

func (c *session) run() {
	defer c.finish()
	if c.d.implicitTLS && c.startTLS() != nil {
		return
	}
	if c.placed = c.s.takePlace(c.ip, c.d.maxConnections); !c.placed {
		c.drop(c.d.connectionsText)
		return
	}
	if c.play(c.d.greeting) != nil {
		return
	}
	if c.d.anyOrder {
		c.rules()
	} else {
		c.script()
	}
}

// finish closes. It lets the client read our last words first: what it sent
// meanwhile and we did not read would turn our FIN into a RST.
func (c *session) finish() {
	if c.placed {
		c.s.freePlace(c.ip)
	}
	defer c.s.forget(c.raw)
	defer c.raw.Close()
	if c.cut {
		return
	}
	if t, ok := c.conn.(*tls.Conn); ok && t.CloseWrite() != nil {
		return
	}
	if tcp, ok := c.raw.(*net.TCPConn); !ok || tcp.CloseWrite() != nil {
		return
	}
	c.raw.SetReadDeadline(time.Now().Add(linger))
	buf := make([]byte, maxLine)
	for left := maxContent; left > 0; {
		n, err := c.in.Read(buf)
		if c.content {
			c.s.count(func(s *Score) { s.ContentBytes += int64(n) })
		}
		if left -= n; err != nil {
			return
		}
	}
}

func (c *session) script() error {
	for i := 0; i < len(c.d.blocks); {
		b := c.d.blocks[i]
		if !c.holds(b) {
			i++
			continue
		}
		content := c.content
		line, err := c.nextLine()
		if err != nil {
			if err != errHangUp && !c.s.closing() {
				c.mismatch("line %d: want %q, client left", b.line, b.source)
			}
			return err
		}
		stars, ok := b.pattern.match(line)
		if !ok {
			c.mismatch("line %d: got %q, want %q", b.line, line, b.source)
			switch {
			case !content:
				err = c.say("500 5.5.1 Unexpected\r\n")
			case line == ".":
				for i < len(c.d.blocks) && c.d.blocks[i].source != "." {
					i++
				}
				if i < len(c.d.blocks) {
					err = c.play(c.d.blocks[i].steps)
				}
				i++
			}
			if err != nil {
				return err
			}
			continue
		}
		c.stars = stars
		if err := c.play(b.steps); err != nil {
			return err
		}
		i++
	}
	return errHangUp
}

func (c *session) rules() error {
	for {
		line, err := c.nextLine()
		if err != nil {
			return err
		}
		if err := c.rule(line); err != nil {
			return err
		}
	}
}

func (c *session) rule(line string) error {
	for _, b := range c.d.blocks {
		if stars, ok := b.pattern.match(line); ok && c.holds(b) {
			c.stars = stars
			return c.play(b.steps)
		}
	}
	c.mismatch("no block for %q", line)
	return c.say("502 5.5.2 Command not recognized\r\n")
}

func (c *session) holds(b *block) bool {
	for _, cond := range b.conditions {
		if c.flags[cond.flag] != cond.want {
			return false
		}
	}
	return true
}

func (c *session) play(steps []step) error {
	for _, s := range steps {
		if err := s(c); err != nil {
			return err
		}
	}
	return nil
}

func (c *session) mismatch(format string, args ...any) {
	c.s.count(func(s *Score) { note(&s.Mismatches, c.d.Name+": "+fmt.Sprintf(format, args...)) })
}

// nextLine reads the client's next line, if it has errors and lines left.
func (c *session) nextLine() (string, error) {
	if c.d.maxErrors > 0 && c.errors >= c.d.maxErrors {
		return "", c.drop(c.d.errorsText)
	}
	line, err := c.readLine()
	if err == bufio.ErrBufferFull {
		c.early = true // the rest of the line is not talking early
		return "", c.drop(text{{plain: "500 5.5.2 Line too long\r\n"}})
	}
	if err == nil && c.lines > maxLines {
		return "", c.drop(text{{plain: "421 4.7.0 Too many lines\r\n"}})
	}
	return line, err
}

// readLine reads and logs a line of the client. With an error comes what there
// was of the line.
func (c *session) readLine() (string, error) {
	c.conn.SetReadDeadline(time.Now().Add(idle))
	b, err := c.in.ReadSlice('\n')
	line := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if err == nil || len(b) > 0 {
		c.lines++
		c.s.logLine(c.number, line)
	}
	if c.content {
		dot := line == "." && err == nil
		c.s.count(func(s *Score) {
			if dot {
				s.Messages++
			} else {
				s.ContentBytes += int64(len(b))
			}
		})
		c.content = !dot
	}
	c.line, c.stars, c.answered, c.early = line, nil, false, false
	return line, err
}

// readMessage reads the content of a message: "= data".
func (c *session) readMessage() error {
	defer func() { c.content = false }()
	var body []byte
	for size := 0; ; {
		c.conn.SetReadDeadline(time.Now().Add(idle))
		b, err := c.in.ReadSlice('\n')
		start := len(body) == 0 || bytes.HasSuffix(body, []byte("\r\n"))
		if start && string(b) == ".\r\n" {
			break
		}
		c.s.count(func(s *Score) { s.ContentBytes += int64(len(b)) })
		if size += len(b); size > maxContent {
			c.early = true // nor is the rest of the message
			return c.drop(text{{plain: "552 5.3.4 Message too big\r\n"}})
		}
		if err != nil && err != bufio.ErrBufferFull {
			return err
		}
		if start && b[0] == '.' { // RFC 5321, Section 4.5.2
			b = b[1:]
		}
		body = append(body, b...)
	}
	c.s.count(func(s *Score) { s.Messages++ })
	c.message = &message{c.envelope, body}
	c.envelope = envelope{}
	c.answered, c.early = false, false
	return nil
}

func (c *session) send(t text) error {
	return c.say(t.expand(c.stars, map[byte]string{'h': c.s.hostname(), 'i': c.ip, 'l': c.line}))
}

// drop ends the session because a budget is spent.
func (c *session) drop(t text) error {
	c.s.count(func(s *Score) { s.Dropped++ })
	if err := c.send(t); err != nil {
		return err
	}
	return errHangUp
}

// say writes, and counts before it writes.
func (c *session) say(s string) error {
	chunk := len(s)
	if c.drip > 0 {
		chunk = 1
	}
	for len(s) > 0 {
		if c.drip > 0 {
			if err := c.pause(c.drip); err != nil {
				return err
			}
		}
		if !c.answered {
			c.checkEarly()
		}
		c.follow(s[:chunk])
		c.conn.SetWriteDeadline(time.Now().Add(idle))
		if _, err := io.WriteString(c.conn, s[:chunk]); err != nil {
			return err
		}
		s = s[chunk:]
	}
	return nil
}

// follow reads our own words for the replies in them.
func (c *session) follow(s string) {
	for i := range len(s) {
		if s[i] != '\n' {
			if len(c.reply) < maxLine {
				c.reply = append(c.reply, s[i])
			}
			continue
		}
		line := strings.TrimSuffix(string(c.reply), "\r")
		c.reply = c.reply[:0]
		if code, rest := line[:min(3, len(line))], line[min(3, len(line)):]; isCode(code) && (rest == "" || rest[0] == ' ') {
			c.replied(code, line)
		}
	}
}

func isCode(s string) bool {
	return len(s) == 3 && '1' <= s[0] && s[0] <= '5' && strings.Trim(s[1:], "0123456789") == ""
}

// replied is called for each complete reply.
func (c *session) replied(code, line string) {
	if !c.answered {
		c.s.logAnswer(c.number, Answer{c.line, line})
	}
	if code[0] >= '4' {
		c.errors++
		c.s.count(func(s *Score) { s.Errors++ })
	}
	c.content = code == "354"
	if !c.answered && code[0] == '2' {
		c.obey(c.line)
	}
	c.answered = true
}

// checkEarly counts a client that speaks before its turn, once a reply.
func (c *session) checkEarly() {
	if c.early || !c.waiting() {
		return
	}
	c.early = true
	c.s.count(func(s *Score) { s.Early++ })
}

// waiting reports whether something of the client is there to be read.
func (c *session) waiting() bool {
	if c.in.Buffered() > 0 {
		return true
	}
	patience := time.Millisecond
	if arrived, ok := peek(c.raw); ok && c.conn == c.raw {
		return arrived
	} else if ok {
		patience = -time.Second // TLS: only what it holds already
		if arrived {
			patience = time.Second // a record, with a line or an alert in it
		}
	}
	c.conn.SetReadDeadline(time.Now().Add(patience))
	_, err := c.in.Peek(1)
	return err == nil
}

func (c *session) pause(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.s.done:
		return errHangUp
	}
}

// hang reads until the client closes: "= hang".
func (c *session) hang() error {
	early := c.answered || c.early || c.content
	for {
		line, err := c.readLine()
		if line != "" && !early {
			early = true
			c.s.count(func(s *Score) { s.Early++ })
		}
		if err != nil && err != bufio.ErrBufferFull {
			return err
		}
	}
}

// reset makes Close send RST: "= reset".
func (c *session) reset() error {
	if tcp, ok := c.raw.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.cut = true
	return errHangUp
}

// startTLS does the handshake: "= tls". What the client sent before it goes
// into the handshake, so it is never taken for commands.
func (c *session) startTLS() error {
	if c.conn != c.raw {
		c.mismatch("= tls inside TLS")
		return errHangUp
	}
	config, err := c.s.tlsConfig()
	if err != nil {
		c.mismatch("= tls: %v", err)
		return err
	}
	before, _ := c.in.Peek(c.in.Buffered())
	conn := tls.Server(&prefixed{c.raw, io.MultiReader(bytes.NewReader(bytes.Clone(before)), c.raw)}, config)
	c.raw.SetDeadline(time.Now().Add(handshake))
	if err := conn.Handshake(); err != nil {
		if !c.s.closing() {
			c.mismatch("= tls: %v", err)
		}
		return err
	}
	c.s.count(func(s *Score) { s.TLS++ })
	c.conn, c.in = conn, bufio.NewReaderSize(conn, maxLine)
	return nil
}

// prefixed is a connection with bytes already read put before it.
type prefixed struct {
	net.Conn
	r io.Reader
}

func (p *prefixed) Read(b []byte) (int, error) { return p.r.Read(b) }
