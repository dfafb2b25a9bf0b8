// Package smtp is one SMTP dialogue with a server that we do not trust.
//
// It is strictly lock-step: nothing is sent before the greeting, and no command before the whole reply to the one
// before it, because servers drop clients that talk early. Everything read is bounded in bytes, lines and time, and
// kept verbatim in a Transcript. The package knows replies, not their meaning: that is package probe's.
//
//	RFC 5321  SMTP (replies 4.2, limits 4.5.3.1, timeouts 4.5.3.2)
//	RFC 3207  STARTTLS
//	RFC 3463  enhanced status codes
//	RFC 8314  implicit TLS
//	RFC 2033  LMTP
package smtp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Limits bound a dialogue. A zero field means the default.
type Limits struct {
	Greeting   time.Duration // until the greeting is complete: 30 s, as servers hold it back on purpose
	Reply      time.Duration // until a reply is complete, from the command on: 30 s. A server that drips cannot extend it
	Handshake  time.Duration // for a TLS handshake: 15 s
	Settle     time.Duration // behind a reply, where Settle was called: 250 ms
	LineBytes  int           // 4096
	ReplyLines int           // 128
	ReplyBytes int           // 16 KiB
	Transcript int           // bytes kept: 16 KiB
}

func (l Limits) withDefaults() Limits {
	def := func(p *time.Duration, d time.Duration) {
		if *p == 0 {
			*p = d
		}
	}
	size := func(p *int, n int) {
		if *p == 0 {
			*p = n
		}
	}
	def(&l.Greeting, 30*time.Second)
	def(&l.Reply, 30*time.Second)
	def(&l.Handshake, 15*time.Second)
	def(&l.Settle, 250*time.Millisecond)
	size(&l.LineBytes, 4096)
	size(&l.ReplyLines, 128)
	size(&l.ReplyBytes, 16<<10)
	size(&l.Transcript, 16<<10)
	return l
}

// What a server did instead of replying. A caller asks with errors.Is; each is a fact about the server, except a
// cancelled context, which is returned as it is.
var (
	ErrSilent  = errors.New("silent")                   // nothing, or not a whole reply, in time
	ErrClosed  = errors.New("connection closed")        // the server closed or reset the connection
	ErrGarbled = errors.New("not an SMTP reply")        // a line that is no reply
	ErrTooLong = errors.New("reply exceeds a limit")    // more lines or bytes than Limits allow
	ErrTLS     = errors.New("TLS handshake failed")     // the reason is in the message
	ErrEarly   = errors.New("data before handshake")    // plaintext behind the reply to STARTTLS: an injection
	errLine    = errors.New("CR or LF in a command")    // our own mistake: never sent
	errPrinter = errors.New("port is never written to") // printers print what they receive
)

// Reply is one reply, all of its lines (RFC 5321 4.2.1).
type Reply struct {
	Code   int
	Lines  []string // the text of each line, after the code
	BareLF bool     // some line ended in LF alone
}

// Enhanced is the status code of RFC 3463, such as "4.7.1", or empty if there is none: that of the first line whose class
// is the code's, as the last code counts where a server changes its mind.
func (r Reply) Enhanced() (first string) {
	for _, line := range r.Lines {
		e := enhanced(line)
		if e != "" && int(e[0]-'0') == r.Code/100 {
			return e
		}
		if first == "" {
			first = e
		}
	}
	return first
}

// Text is the reply's lines, joined by blanks.
func (r Reply) Text() string { return strings.Join(r.Lines, " ") }

func (r Reply) String() string {
	if r.Code == 0 {
		return ""
	}
	return strings.TrimSpace(strconv.Itoa(r.Code) + " " + r.Text())
}

// Positive reports a 2yz or 3yz code.
func (r Reply) Positive() bool { return r.Code >= 200 && r.Code < 400 }

// Conn is one connection. It is not safe for concurrent use.
type Conn struct {
	nc      net.Conn
	raw     net.Conn // below TLS
	limits  Limits
	buf     []byte // read, not yet consumed
	tls     *tls.ConnectionState
	log     Transcript
	mute    bool
	slow    time.Duration // the longest wait for a reply so far
	sent    int           // commands
	extra   int           // how often something came that was not asked for
	patient bool          // wait behind each reply for what was not asked for
}

// NewConn starts a dialogue on a connection that was just opened. It sends nothing.
func NewConn(nc net.Conn, limits Limits) *Conn {
	l := limits.withDefaults()
	c := &Conn{nc: nc, raw: nc, limits: l, log: Transcript{limit: l.Transcript}}
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok && a.Port >= 9100 && a.Port <= 9107 {
		c.mute = true
	}
	return c
}

// Transcript is what was said so far.
func (c *Conn) Transcript() *Transcript { return &c.log }

// Slowest is the longest that a reply took so far.
func (c *Conn) Slowest() time.Duration { return c.slow }

// Commands is how many commands were sent.
func (c *Conn) Commands() int { return c.sent }

// Unasked is how often the server said something that was not asked for. Where it is above zero and Settle was not
// called, a reply may have been taken for the next one's.
func (c *Conn) Unasked() int { return c.extra }

// Settle lets the connection wait behind each reply for what was not asked for, which is then passed over.
func (c *Conn) Settle() { c.patient = true }

// TLS is the state of the TLS session, nil before one.
func (c *Conn) TLS() *tls.ConnectionState { return c.tls }

// LocalAddr is our end of the connection.
func (c *Conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// Greeting waits for the greeting. Nothing was sent before it.
func (c *Conn) Greeting(ctx context.Context) (Reply, error) {
	return c.GreetingWithin(ctx, c.limits.Greeting)
}

// GreetingWithin waits for the greeting at most so long.
func (c *Conn) GreetingWithin(ctx context.Context, wait time.Duration) (Reply, error) {
	return c.reply(ctx, wait)
}

// Cmd sends one command and reads the whole reply.
func (c *Conn) Cmd(ctx context.Context, line string) (Reply, error) {
	if strings.ContainsAny(line, "\r\n") {
		return Reply{}, errLine
	}
	if err := c.write(ctx, []byte(line+"\r\n"), line); err != nil {
		return Reply{}, err
	}
	c.sent++
	r, err := c.reply(ctx, c.limits.Reply)
	if err == nil && r.Code == 354 && !strings.EqualFold(line, "DATA") {
		// The server would take what follows for a message, or this is the reply to an earlier command.
		c.extra++
		return Reply{}, fmt.Errorf("%w: 354 to %q", ErrGarbled, truncate(line, 80))
	}
	if err == nil && c.patient && !strings.EqualFold(line, "STARTTLS") { // what is behind its reply is the caller's to see
		c.settle(ctx)
	}
	return r, err
}

// Send sends a line that has no reply of its own: a PROXY protocol header before the greeting.
func (c *Conn) Send(ctx context.Context, line string) error {
	if strings.ContainsAny(line, "\r\n") {
		return errLine
	}
	c.sent++
	return c.write(ctx, []byte(line+"\r\n"), line)
}

// Message sends message content after a 354 and reads the reply to the final dot. Lines are ended by CRLF and dots are
// stuffed (RFC 5321 4.5.2). The transcript notes the number of bytes, and the content, which is our own.
func (c *Conn) Message(ctx context.Context, content []byte) (Reply, error) {
	var out bytes.Buffer
	for line := range bytes.Lines(content) {
		line = bytes.TrimRight(line, "\r\n")
		if bytes.HasPrefix(line, []byte(".")) {
			out.WriteByte('.')
		}
		out.Write(line)
		out.WriteString("\r\n")
	}
	out.WriteString(".\r\n")
	text := out.Bytes()
	c.unasked()
	for line := range bytes.Lines(text) {
		c.log.client(string(bytes.TrimRight(line, "\r\n")))
	}
	if err := c.write(ctx, text, ""); err != nil {
		return Reply{}, err
	}
	return c.reply(ctx, 2*c.limits.Reply)
}

// maxRaw is how much Raw reads.
const maxRaw = 4 << 10

// rawRest is how long Raw waits for more once something was said.
const rawRest = time.Second

// Raw sends bytes that are no SMTP and returns what comes in reply until the other side falls silent or closes. The
// error is ErrSilent or ErrClosed, also where something was read.
func (c *Conn) Raw(ctx context.Context, b []byte, wait time.Duration) ([]byte, error) {
	c.log.note("%d bytes that are no SMTP: %s", len(b), truncate(Escape(string(b)), 200))
	if err := c.write(ctx, b, ""); err != nil {
		return nil, err
	}
	defer c.watch(ctx, wait)()
	var out []byte
	chunk := make([]byte, 1024)
	for {
		n, err := c.nc.Read(chunk)
		out = append(out, chunk[:n]...)
		if err == nil && len(out) < maxRaw {
			c.nc.SetReadDeadline(time.Now().Add(min(wait, rawRest)))
			continue
		}
		if len(out) > 0 {
			c.log.server(out)
		}
		if end := ended(ctx); end != nil {
			return out, end
		}
		if err == nil {
			return out, ErrTooLong
		}
		return out, c.fate(err)
	}
}

// CmdWith sends a command and a second one in the same segment, and reads the reply to the first. What the server makes
// of the second is for the caller to see.
func (c *Conn) CmdWith(ctx context.Context, line, behind string) (Reply, error) {
	if strings.ContainsAny(line+behind, "\r\n") {
		return Reply{}, errLine
	}
	c.sent += 2
	if err := c.write(ctx, []byte(line+"\r\n"+behind+"\r\n"), line); err != nil {
		return Reply{}, err
	}
	c.log.client(behind)
	return c.reply(ctx, c.limits.Reply)
}

// FalseEnd sends message content after a 354 with an end that is none, and waits whether the server answers it. Only if
// it does not, the true end is sent (RFC 5321 4.1.1.4).
func (c *Conn) FalseEnd(ctx context.Context, content []byte, end string, wait time.Duration) (early, last Reply, err error) {
	content = bytes.TrimRight(content, "\r\n")
	c.log.note("%d bytes of content, ended by %q", len(content), end)
	if err := c.write(ctx, append(bytes.Clone(content), end...), ""); err != nil {
		return Reply{}, Reply{}, err
	}
	stop := c.watch(ctx, wait)
	early, err = c.readReply()
	stop()
	if err == nil || !errors.Is(err, ErrSilent) || ctx.Err() != nil {
		return early, Reply{}, err
	}
	if err := c.write(ctx, []byte("\r\n.\r\n"), "."); err != nil {
		return Reply{}, Reply{}, err
	}
	last, err = c.reply(ctx, 2*c.limits.Reply)
	return Reply{}, last, err
}

// Handshake starts TLS on the connection: at once on an implicit TLS port, or after a 220 to STARTTLS.
func (c *Conn) Handshake(ctx context.Context, config *tls.Config) error {
	if c.mute {
		return errPrinter
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(c.buf) > 0 {
		n := len(c.buf)
		c.unasked()
		c.log.note("these are %d bytes in clear behind the reply to STARTTLS", n)
		return ErrEarly
	}
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, c.limits.Handshake)
	defer cancel()
	c.raw.SetDeadline(time.Now().Add(c.limits.Handshake))
	tc := tls.Client(c.raw, config)
	if err := tc.HandshakeContext(ctx); err != nil {
		var rec tls.RecordHeaderError
		if errors.As(err, &rec) {
			// What came is no TLS: it is the start of what the server says in clear.
			c.log.note("no TLS: the server answered in clear")
			c.log.server(rec.RecordHeader[:])
			return fmt.Errorf("%w: %w", ErrTLS, Plain{rec.RecordHeader[:]})
		}
		c.log.note("TLS handshake failed: %v", err)
		switch fate := c.fate(err); {
		case outer.Err() != nil: // our own end
		case errors.Is(fate, ErrSilent):
			c.log.ends("hang")
		case errors.Is(fate, ErrClosed):
			c.log.ends("close")
		}
		return fmt.Errorf("%w: %w", ErrTLS, c.fate(err))
	}
	c.nc = tc
	state := tc.ConnectionState()
	c.tls = &state
	c.log.event("tls")
	return nil
}

// Plain are the first bytes that a server sent in clear where TLS was expected.
type Plain struct{ Bytes []byte }

func (p Plain) Error() string { return fmt.Sprintf("the server answered in clear: %q", p.Bytes) }

// Peek returns what was read of an incomplete or garbled reply, and what is in the line buffer.
func (c *Conn) Peek() []byte { return append(bytes.Clone(c.log.last), c.buf...) }

// Close cuts the connection. After a 354 this cancels the transaction: no message exists (RFC 5321 4.1.1.10).
func (c *Conn) Close() error {
	c.unasked()
	return c.raw.Close()
}

// unasked books bytes that came behind a reply, so that they are not taken for the next one.
func (c *Conn) unasked() {
	if len(c.buf) > 0 {
		if !bytes.HasPrefix(c.buf, []byte("421")) { // a last word may come unasked (RFC 5321 3.8)
			c.extra++
		}
		c.log.behind(c.buf)
		c.buf = nil
	}
}

// settle reads what comes behind a reply without being asked for.
func (c *Conn) settle(ctx context.Context) {
	defer c.watch(ctx, c.limits.Settle)()
	chunk := make([]byte, 1024)
	for len(c.buf) < c.limits.ReplyBytes {
		n, err := c.nc.Read(chunk)
		c.buf = append(c.buf, chunk[:n]...)
		if err != nil {
			break // silence, as it should be; an end is seen by the next command
		}
	}
	c.unasked()
}

// Quit says QUIT, does not care for the answer beyond a short wait, and closes. A reply that is no farewell was meant
// for an earlier command if another one follows: that counts as unasked.
func (c *Conn) Quit(ctx context.Context) error {
	if err := c.write(ctx, []byte("QUIT\r\n"), "QUIT"); err == nil {
		wait := min(2*time.Second, c.limits.Reply)
		if r, err := c.reply(ctx, wait); err == nil && r.Code != 221 {
			if _, err := c.reply(ctx, min(wait, quitRest)); err == nil {
				c.extra++
			}
		}
	}
	return c.Close()
}

// quitRest is how long a farewell is waited for behind a reply that is none.
const quitRest = 500 * time.Millisecond

func (c *Conn) write(ctx context.Context, b []byte, line string) error {
	if c.mute {
		return errPrinter
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	c.unasked()
	if line != "" {
		c.log.client(line)
	}
	defer c.watch(ctx, c.limits.Reply)()
	if _, err := c.nc.Write(b); err != nil {
		if end := ended(ctx); end != nil {
			return end
		}
		return c.fate(err)
	}
	return nil
}

// ended returns why ctx is done, or nil. A wait that ends with the context's deadline ends by it, and not by the
// server, even where the connection's timer was the faster one.
func ended(ctx context.Context) error {
	if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) {
		<-ctx.Done()
	}
	return context.Cause(ctx)
}

// watch sets the deadline and lets a cancelled context end the wait.
func (c *Conn) watch(ctx context.Context, wait time.Duration) (stop func() bool) {
	deadline := time.Now().Add(wait)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	c.nc.SetDeadline(deadline)
	return context.AfterFunc(ctx, func() { c.raw.SetDeadline(time.Unix(1, 0)) })
}

func (c *Conn) reply(ctx context.Context, wait time.Duration) (Reply, error) {
	start := time.Now()
	defer c.watch(ctx, wait)()
	r, err := c.readReply()
	c.slow = max(c.slow, time.Since(start))
	if err != nil {
		if end := ended(ctx); end != nil {
			return Reply{}, end
		}
	}
	switch {
	case errors.Is(err, ErrClosed):
		c.log.ends("close")
	case errors.Is(err, ErrSilent):
		c.log.note("silent for %s", wait)
		c.log.ends("hang")
	}
	return r, err
}

func (c *Conn) readReply() (Reply, error) {
	var r Reply
	total := 0
	for {
		line, err := c.readLine()
		if err != nil {
			if len(c.buf) > 0 {
				c.log.server(c.buf)
				c.buf = nil
			}
			return Reply{}, err
		}
		c.log.server(line)
		total += len(line)
		text, bare := cutEnd(line)
		code, last, text, ok := parseLine(text)
		if !ok {
			return Reply{}, fmt.Errorf("%w: %q", ErrGarbled, truncate(string(line), 80))
		}
		if r.Code != code { // the first line, or a server that changes its mind: the last code counts
			r.Code = code
		}
		r.Lines = append(r.Lines, text)
		r.BareLF = r.BareLF || bare
		if last {
			return r, nil
		}
		if len(r.Lines) >= c.limits.ReplyLines || total >= c.limits.ReplyBytes {
			return Reply{}, ErrTooLong
		}
	}
}

// readLine returns the next line with its ending.
func (c *Conn) readLine() ([]byte, error) {
	chunk := make([]byte, 1024)
	for {
		if i := bytes.IndexByte(c.buf, '\n'); i >= 0 {
			line := c.buf[:i+1]
			if c.buf = c.buf[i+1:]; len(c.buf) == 0 {
				c.buf = nil
			}
			return line, nil
		}
		if len(c.buf) >= c.limits.LineBytes {
			return nil, ErrTooLong
		}
		n, err := c.nc.Read(chunk)
		c.buf = append(c.buf, chunk[:n]...)
		if n == 0 && err != nil {
			return nil, c.fate(err)
		}
	}
}

// fate names how a connection failed.
func (c *Conn) fate(err error) error {
	var ne net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return ErrSilent
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return ErrClosed
	}
	return err
}

func cutEnd(line []byte) (text string, bare bool) {
	s := strings.TrimSuffix(string(line), "\n")
	t := strings.TrimSuffix(s, "\r")
	return t, s == t
}

// parseLine splits a reply line: three digits, then "-" for more lines, or a blank or nothing for the last
// (RFC 5321 4.2.1).
func parseLine(s string) (code int, last bool, text string, ok bool) {
	if len(s) < 3 {
		return 0, false, "", false
	}
	for _, d := range []byte(s[:3]) {
		if d < '0' || d > '9' {
			return 0, false, "", false
		}
		code = code*10 + int(d-'0')
	}
	if code < 200 || code > 599 {
		return 0, false, "", false
	}
	switch {
	case len(s) == 3:
		return code, true, "", true
	case s[3] == ' ':
		return code, true, s[4:], true
	case s[3] == '-':
		return code, false, s[4:], true
	}
	return 0, false, "", false
}

// enhanced returns the status code at the start of a text (RFC 2034 4: class.subject.detail).
func enhanced(text string) string {
	word, _, _ := strings.Cut(text, " ")
	word = strings.TrimPrefix(word, "#") // qmail
	if len(word) > 9 {
		return ""
	}
	parts := strings.Split(word, ".")
	if len(parts) != 3 || len(parts[0]) != 1 || !strings.Contains("245", parts[0]) {
		return ""
	}
	for _, p := range parts[1:] {
		if len(p) == 0 || len(p) > 3 || strings.Trim(p, "0123456789") != "" {
			return ""
		}
	}
	return word
}

func truncate(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
