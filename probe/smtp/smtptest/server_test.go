package smtptest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A client plays the other side. It keeps no step but the lock-step.
type client struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dial(t *testing.T, s *Server) *client {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t, conn, bufio.NewReader(conn)}
}

// talk says the C: lines, and wants the S: lines. Beside those
//
//	S, then text     bytes that end without a line ending, up to the close
//	= closed         the server closes
//	= reset          the server resets
//	= tls            the client starts TLS
//	= cut            the client closes
//
// An escape \r or \n is one; a C: line ends with CRLF unless it ends with \c.
func (c *client) talk(script string) {
	c.t.Helper()
	for line := range strings.Lines(script) {
		line = strings.TrimLeft(strings.TrimSuffix(line, "\n"), "\t")
		if line == "" {
			continue
		}
		kind, text := line[:2], strings.NewReplacer(`\r`, "\r", `\n`, "\n").Replace(strings.TrimPrefix(line[2:], " "))
		switch kind {
		case "C:":
			text, open := strings.CutSuffix(text, `\c`)
			if !open {
				text += "\r\n"
			}
			if _, err := io.WriteString(c.conn, text); err != nil {
				c.t.Fatalf("%s: %v", line, err)
			}
		case "S:":
			if !strings.HasSuffix(text, "\n") {
				text += "\r\n"
			}
			got, err := c.in.ReadString('\n')
			if got != text {
				c.t.Fatalf("got %q, %v, want %q", got, err, text)
			}
		case "S,":
			got, err := io.ReadAll(c.in)
			if string(got) != text || err != nil {
				c.t.Fatalf("got %q, %v, want %q", got, err, text)
			}
		default:
			switch line {
			case "= tls":
				c.tls()
			case "= closed":
				if b, err := c.in.ReadByte(); err != io.EOF {
					c.t.Fatalf("got %q, %v, want EOF", b, err)
				}
			case "= reset":
				if b, err := c.in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
					c.t.Fatalf("got %q, %v, want a reset", b, err)
				}
			case "= cut":
				c.conn.Close()
			default:
				c.t.Fatalf("cannot play %q", line)
			}
		}
	}
}

func (c *client) tls() {
	c.t.Helper()
	conn := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	if err := conn.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.conn, c.in = conn, bufio.NewReader(conn)
}

// score closes the server, so that all is counted, and compares. Lines are
// compared when want has some.
func score(t *testing.T, s *Server, want Score) {
	t.Helper()
	s.Close()
	got := s.Score()
	if want.Commands == nil {
		got.Commands = nil
	}
	if want.PerConnection == nil {
		got.PerConnection = nil
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("score:\n got %+v,\nwant %+v", got, want)
	}
}

func TestPlay(t *testing.T) {
	for _, tt := range []struct {
		name, dialog, client string
		want                 Score
	}{{
		"a script is played in order, then the server closes",
		"S: 220 hi\nC: HELO *\nS: 250 hello $1, you are $ip\nC: QUIT\nS: 221 bye",
		"S: 220 hi\nC: helo X\nS: 250 hello X, you are 127.0.0.1\nC: QUIT\nS: 221 bye\n= closed",
		Score{Commands: []string{"helo X", "QUIT"}},
	}, {
		"a script stays at a line that does not match",
		"S: 220 hi\nC: HELO *\nS: 250 hello\nC: QUIT\nS: 221 bye",
		"S: 220 hi\nC: EHLO X\nS: 500 5.5.1 Unexpected\nC: HELO X\nS: 250 hello\nC: QUIT\nS: 221 bye\n= closed",
		Score{Errors: 1, Mismatches: []string{`dialog: line 2: got "EHLO X", want "HELO *"`}},
	}, {
		"a client that leaves a script is a mismatch",
		"S: 220 hi\nC: HELO *\nS: 250 hello\nC: QUIT",
		"S: 220 hi\nC: HELO x\nS: 250 hello\n= cut",
		Score{Mismatches: []string{`dialog: line 4: want "QUIT", client left`}},
	}, {
		"a script passes over a block that does not apply",
		"= set a\nC: A\n= if not a\nS: 250 wrong\nC: A\n= if a\nS: 250 right",
		"C: A\nS: 250 right\n= closed",
		Score{},
	}, {
		"rules play the first block that matches",
		"= any order\nS: 220 $hostname\nC: RCPT TO:<*@*>\nS: 250 $1 at $2\nC: RCPT*\nS: 501 $line\nC: QUIT\n= close",
		"S: 220 fake.example\nC: RCPT TO:<a@b>\nS: 250 a at b\nC: RCPT x\nS: 501 RCPT x\nC: FOO\nS: 502 5.5.2 Command not recognized\nC: QUIT\n= closed",
		Score{Errors: 2, Mismatches: []string{`dialog: no block for "FOO"`}, Commands: []string{"RCPT TO:<a@b>", "RCPT x", "FOO", "QUIT"}},
	}, {
		"flags choose the block, TLS keeps them",
		"= any order\nS: 220 hi\nC: STARTTLS\n= if not tls\nS: 220 go\n= tls\n= set tls\nC: MAIL*\n= if not tls\nS: 530 first\nC: MAIL*\nS: 250 ok\nC: RESET\n= clear tls\nS: 250 cleared",
		"S: 220 hi\nC: MAIL\nS: 530 first\nC: STARTTLS\nS: 220 go\n= tls\nC: MAIL\nS: 250 ok\nC: RESET\nS: 250 cleared\nC: MAIL\nS: 530 first\n= cut",
		Score{Errors: 2, TLS: 1},
	}, {
		"implicit TLS",
		"= implicit tls\nS: 220 hi\nC: QUIT\nS: 221 bye",
		"= tls\nS: 220 hi\nC: QUIT\nS: 221 bye\n= closed",
		Score{TLS: 1},
	}, {
		"TLS as the first line of a script",
		"= tls\nS: 220 hi",
		"= tls\nS: 220 hi\n= closed",
		Score{TLS: 1},
	}, {
		"a second handshake is a mismatch",
		"= tls\nS: 220 hi\nC: STARTTLS\n= tls",
		"= tls\nS: 220 hi\nC: STARTTLS\n= closed",
		Score{TLS: 1, Mismatches: []string{"dialog: = tls inside TLS"}},
	}, {
		"odd line endings",
		`S: 220 hi\n` + "\n" + `S: a\rb` + "\n" + `S: cut\c`,
		"S: 220 hi\\n\nS: a\\rb\nS, cut",
		Score{},
	}, {
		"a service that is not SMTP",
		`S: SSH-2.0-OpenSSH_9.2\r\n` + "\nC: *\n" + `S: \x00\x01\c` + "\n= close",
		"S: SSH-2.0-OpenSSH_9.2\nC: SSH-2.0-x\nS, \x00\x01",
		Score{},
	}, {
		"wait and drip",
		"= wait 1ms\n= drip 10us\nS: 220 hi\nC: QUIT\n= drip 0s\nS: 221 bye",
		"S: 220 hi\nC: QUIT\nS: 221 bye\n= closed",
		Score{},
	}, {
		"reset",
		"S: 220 hi\nC: QUIT\n= reset",
		"S: 220 hi\nC: QUIT\n= reset",
		Score{},
	}, {
		"reset inside TLS",
		"= tls\nS: 220 hi\nC: QUIT\n= reset",
		"= tls\nS: 220 hi\nC: QUIT\n= reset",
		Score{TLS: 1},
	}, {
		"hang",
		"S: 220 hi\nC: QUIT\n= hang",
		"S: 220 hi\nC: QUIT\n= cut",
		Score{Commands: []string{"QUIT"}},
	}, {
		"who talks to a server that owes the greeting is early, once",
		"= hang",
		"C: EHLO x\nC: QUIT\n= cut",
		Score{Early: 1, Commands: []string{"EHLO x", "QUIT"}},
	}, {
		"who talks to a server that owes nothing is not early",
		"S: 220 hi\n= hang",
		"S: 220 hi\nC: EHLO x\n= cut",
		Score{Commands: []string{"EHLO x"}},
	}, {
		"a message",
		"= any order\nC: DATA\nS: 354 go\n= data\nS: 250 queued\nC: QUIT\n= close",
		"C: DATA\nS: 354 go\nC: Subject: x\nC:\nC: ..\nC: .\\nC: .\\n\nC: .\nS: 250 queued\nC: DATA\nS: 354 go\nC: .\nS: 250 queued\nC: QUIT\n= closed",
		Score{Messages: 2, ContentBytes: int64(len("Subject: x\r\n\r\n..\r\n.\nC: .\n\r\n")), Commands: []string{"DATA", "DATA", "QUIT"}},
	}, {
		"a message that the client cuts is none",
		"S: 220 hi\nC: DATA\nS: 354 go\n= data\nS: 250 queued",
		"S: 220 hi\nC: DATA\nS: 354 go\nC: Subj\\c\n= cut",
		Score{ContentBytes: 4, Commands: []string{"DATA"}},
	}, {
		"a message in a script without = data",
		"C: DATA\nS: 354 go\nC: Subject: x\nC: Date: then\nC:\nC: .\nS: 250 queued\nC: QUIT",
		"C: DATA\nS: 354 go\nC: Subject: x\nC: Date: now\nC:\nC: .\nS: 250 queued\nC: QUIT\n= closed",
		Score{Messages: 1, ContentBytes: int64(len("Subject: x\r\nDate: now\r\n\r\n")), Mismatches: []string{
			`dialog: line 4: got "Date: now", want "Date: then"`,
			`dialog: line 4: got "", want "Date: then"`,
			`dialog: line 4: got ".", want "Date: then"`,
		}},
	}, {
		"content after the script's end counts",
		"C: DATA\nS: 354 go",
		"C: DATA\nS: 354 go\nC: Subject\n= closed\n= cut",
		Score{ContentBytes: int64(len("Subject\r\n"))},
	}, {
		"a last line without an ending is kept",
		"= any order\nS: 220 hi",
		"S: 220 hi\nC: RSE\\c\n= cut",
		Score{Commands: []string{"RSE"}},
	}, {
		"count drops",
		"= any order\nC: RCPT*\n= count rcpt 2 421 enough, $line\nS: 250 ok",
		"C: RCPT\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: RCPT\nS: 421 enough, RCPT\n= closed",
		Score{Errors: 1, Dropped: 1},
	}, {
		"count drops without a word",
		"= any order\nC: RCPT*\n= count rcpt 0\nS: 250 ok",
		"C: RCPT\n= closed",
		Score{Dropped: 1},
	}, {
		"max errors",
		"= any order\n= max errors 2 421 4.7.0 too many\nS: 220 hi\nC: RCPT\nS: 550-no\nS: 550 no\nC: NOOP\nS: 250 ok",
		"S: 220 hi\nC: RCPT\nS: 550-no\nS: 550 no\nC: NOOP\nS: 250 ok\nC: RCPT\nS: 550-no\nS: 550 no\nS: 421 4.7.0 too many\n= closed",
		Score{Errors: 3, Dropped: 1},
	}, {
		"a pipelining client is early",
		"= any order\nS: 220 hi\nC: *\nS: 250 ok",
		"S: 220 hi\nC: A\\r\\nB\\r\\nC\nS: 250 ok\nS: 250 ok\nS: 250 ok\nC: D\nS: 250 ok\n= cut",
		Score{Early: 2},
	}, {
		"content in one piece with its dot is not early, what follows is",
		"C: DATA\nS: 354 go\n= data\nS: 250 queued\nC: QUIT",
		"C: DATA\nS: 354 go\nC: a\\r\\n.\\r\\nQUIT\nS: 250 queued\n= closed",
		Score{Early: 1, Messages: 1, ContentBytes: 3},
	}, {
		"content before the 354 is early",
		"C: DATA\nS: 354 go\n= data\nS: 250 queued",
		"C: DATA\\r\\na\\r\\n.\nS: 354 go\nS: 250 queued\n= closed",
		Score{Early: 1, Messages: 1, ContentBytes: 3},
	}, {
		"commands before the handshake are not commands",
		"= any order\nC: STARTTLS\nS: 220 go\n= tls\nC: *\nS: 250 ok",
		"C: STARTTLS\\r\\nRSET\nS: 220 go\n= reset or closed",
		Score{Early: 1, Commands: []string{"STARTTLS"}, Mismatches: []string{"dialog: = tls: tls: first record does not look like a TLS handshake"}},
	}, {
		"a line too long",
		"= any order\nS: 220 hi\nC: *\nS: 250 ok",
		"S: 220 hi\nC: " + strings.Repeat("a", maxLine-2) + "\nS: 250 ok\nC: " + strings.Repeat("a", maxLine-1) + "\nS: 500 5.5.2 Line too long\n= closed",
		Score{Errors: 1, Dropped: 1},
	}, {
		"a message too big",
		"C: DATA\nS: 354 go\n= data",
		"C: DATA\nS: 354 go\nC: " + strings.Repeat("a", maxContent) + "\nS: 552 5.3.4 Message too big\n= closed\n= cut",
		Score{Errors: 1, Dropped: 1, ContentBytes: maxContent + 2},
	}} {
		t.Run(tt.name, func(t *testing.T) {
			s := Start(t, MustParse(tt.dialog))
			c := dial(t, s)
			script, ends := strings.CutSuffix(tt.client, "= reset or closed")
			c.talk(script)
			if ends {
				io.Copy(io.Discard, c.in)
			}
			c.conn.Close()
			s.Wait(1)
			tt.want.Connections = 1
			score(t, s, tt.want)
		})
	}
}

// A script that was recorded yesterday plays for today's tokens.
func TestTranscriptReplays(t *testing.T) {
	const transcript = `
		S: 220 mx.example ESMTP
		C: EHLO scanner.example
		S: 250-mx.example
		S: 250 STARTTLS
		C: STARTTLS
		S: 220 go ahead
		= tls
		C: EHLO scanner.example
		S: 250 mx.example
		C: MAIL FROM:<rs-aaaaaaaaaaaaaaaaaaaa@example.net>
		S: 250 2.1.0 Ok
		C: RCPT TO:<@mx.example:rs-bbbbbbbbbbbbbbbbbbbb@example.net>
		S: 250 2.1.5 Ok
		C: DATA
		S: 354 End data with <CR><LF>.<CR><LF>
		= close
	`
	s := Start(t, MustParse(transcript))
	c := dial(t, s)
	today := strings.NewReplacer("rs-aaaaaaaaaaaaaaaaaaaa", "rs-23456723456723456723", "rs-bbbbbbbbbbbbbbbbbbbb", "rs-zzzzzzzzzzzzzzzzzzzz")
	c.talk(strings.Replace(today.Replace(strings.TrimSpace(transcript)), "= close", "= closed", 1))
	score(t, s, Score{Connections: 1, TLS: 1})
}

func TestMaxConnections(t *testing.T) {
	s := Start(t, MustParse("= any order\n= max connections 1 421 4.7.0 $ip has too many\nS: 220 hi\nC: QUIT\nS: 221 bye\n= close"))
	one := dial(t, s)
	one.talk("S: 220 hi")
	dial(t, s).talk("S: 421 4.7.0 127.0.0.1 has too many\n= closed")
	one.talk("C: QUIT\nS: 221 bye") // the place is free at once
	three := dial(t, s)
	three.talk("S: 220 hi\nC: QUIT\nS: 221 bye\n= closed")
	score(t, s, Score{Connections: 3, Errors: 1, Dropped: 1, PerConnection: [][]string{{"QUIT"}, nil, {"QUIT"}}})
}

func TestConnectionsAreBounded(t *testing.T) {
	s := Start(t, MustParse("S: 220 hi\n= hang"))
	for range maxConnections {
		dial(t, s).talk("S: 220 hi")
	}
	dial(t, s).talk("= closed")
	score(t, s, Score{Connections: maxConnections + 1, Dropped: 1})
}

func TestLogIsBounded(t *testing.T) {
	s := Start(t, MustParse("= any order\nC: *"))
	for n := 0; n <= maxLog; n += maxLines / 2 {
		c := dial(t, s)
		c.talk("C: " + strings.Repeat(`x\r\n`, maxLines/2-1))
		c.conn.Close()
	}
	s.Wait(3)
	got := s.Score()
	if len(got.Commands) != maxLog || len(got.PerConnection) != 3 {
		t.Errorf("got %d lines in %d connections, want %d in 3", len(got.Commands), len(got.PerConnection), maxLog)
	}
}

func TestLinesAreBounded(t *testing.T) {
	s := Start(t, MustParse("= any order\nC: x\nC: y\nS: 250 ok"))
	c := dial(t, s)
	c.talk("C: " + strings.Repeat(`x\r\n`, maxLines-1) + "y\nS: 250 ok\nC: x\nS: 421 4.7.0 Too many lines\n= closed")
}

// What arrives before the greeting is early, even when the greeting leaves at
// once. The bytes wait in the kernel before the server accepts.
func TestTalksBeforeTheGreeting(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t, conn, bufio.NewReader(conn)}
	c.talk("C: EHLO x")
	s := &Server{Dialog: MustParse("S: 220 hi\nC: EHLO *\nS: 250 hi")}
	served := make(chan error)
	go func() { served <- s.Serve(l) }()
	c.talk("S: 220 hi\nS: 250 hi\n= closed\n= cut")
	score(t, s, Score{Connections: 1, Early: 1})
	if err := <-served; err != nil {
		t.Errorf("Serve: got %v, want nil", err)
	}
}

// held keeps what is written until it is let go in one piece.
type held struct {
	net.Conn
	hold bool
	kept bytes.Buffer
}

func (h *held) Write(b []byte) (int, error) {
	if h.hold {
		return h.kept.Write(b)
	}
	return h.Conn.Write(b)
}

// Inside TLS a client is early when the records of two commands arrive
// together, and not when it closes.
func TestTalksEarlyInTLS(t *testing.T) {
	s := Start(t, MustParse("= implicit tls\n= any order\nS: 220 hi\nC: A\nS: 250 a\nC: *\nS: 250 ok"))
	c := dial(t, s)
	h := &held{Conn: c.conn}
	c.conn = h
	c.talk("= tls\nS: 220 hi\nC: A\nS: 250 a")
	h.hold = true
	c.talk("C: A\nC: B")
	h.Conn.Write(h.kept.Bytes())
	h.hold = false
	c.talk("S: 250 a\nS: 250 ok\nC: C\nS: 250 ok\n= cut")
	s.Wait(1)
	score(t, s, Score{Connections: 1, TLS: 1, Early: 1, Commands: []string{"A", "A", "B", "C"}})
}

func TestClosingIsNotTalkingEarly(t *testing.T) {
	for _, dialog := range []string{
		"= any order\nS: 220 hi\nC: *\nS: 250 ok",
		"= implicit tls\n= any order\nS: 220 hi\nC: *\nS: 250 ok",
	} {
		s := Start(t, MustParse(dialog))
		c := dial(t, s)
		h := &held{Conn: c.conn}
		c.conn = h
		if strings.Contains(dialog, "tls") {
			c.talk("= tls")
		}
		c.talk("S: 220 hi")
		h.hold = true
		c.talk("C: A")
		if conn, ok := c.conn.(*tls.Conn); ok {
			conn.CloseWrite()
			h.Conn.SetWriteDeadline(time.Time{}) // which CloseWrite let pass
		}
		h.Conn.Write(h.kept.Bytes())
		h.Conn.(*net.TCPConn).CloseWrite()
		s.Wait(1)
		if got := s.Score(); got.Early != 0 || len(got.Commands) != 1 {
			t.Errorf("got %+v, want one command and not early", got)
		}
		s.Close()
	}
}

// A memory listener, for virtual time.
type memory struct {
	conns chan net.Conn
	close func()
}

func listenMemory() memory {
	conns := make(chan net.Conn)
	return memory{conns, sync.OnceFunc(func() { close(conns) })}
}

func (m memory) Accept() (net.Conn, error) {
	if conn, ok := <-m.conns; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}
func (m memory) Close() error   { m.close(); return nil }
func (m memory) Addr() net.Addr { return &net.UnixAddr{} }

// Between two lines of a reply, or two bytes of a line, nobody may speak.
func TestTalksIntoAReply(t *testing.T) {
	for _, dialog := range []string{
		"S: 220-hi\n= wait 3s\nS: 220 hi\nC: EHLO *\nS: 250 ok",
		"= drip 1s\nS: 220-hi\nS: 220 hi\nC: EHLO *\nS: 250 ok",
	} {
		synctest.Test(t, func(t *testing.T) {
			l := listenMemory()
			s := &Server{Dialog: MustParse(dialog)}
			var wg sync.WaitGroup
			wg.Go(func() { s.Serve(l) })
			conn, theirs := net.Pipe()
			l.conns <- theirs
			c := &client{t, conn, bufio.NewReader(conn)}
			c.talk("S: 220-hi")
			wg.Go(func() { io.WriteString(conn, "EHLO x\r\n") })
			c.talk("S: 220 hi\nS: 250 ok\n= closed")
			s.Wait(1)
			if got := s.Score(); got.Early != 1 {
				t.Errorf("%s: got %+v, want early once", dialog, got)
			}
			s.Close()
			wg.Wait()
		})
	}
}

// A client that says nothing for ten minutes is left.
func TestSilentClientIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listenMemory()
		s := &Server{Dialog: MustParse("S: 220 hi\nC: QUIT")}
		go s.Serve(l)
		conn, theirs := net.Pipe()
		l.conns <- theirs
		c := &client{t, conn, bufio.NewReader(conn)}
		c.talk("S: 220 hi\n= closed")
		s.Close()
	})
}

// Close ends whatever the server is doing. goleak sees what stays.
func TestCloseEndsAll(t *testing.T) {
	for _, tt := range []struct{ name, dialog, client string }{
		{"waiting for a line", "S: 220 hi\nC: QUIT", "S: 220 hi"},
		{"hanging", "S: 220 hi\n= hang", "S: 220 hi"},
		{"waiting", "S: 220 hi\n= wait 1h", "S: 220 hi"},
		{"dripping", "S: 220 hi\n= drip 1h\nS: never", "S: 220 hi"},
		{"reading a message", "S: 354 go\n= data", "S: 354 go\nC: Subject: x"},
		{"shaking hands", "S: 220 go\n= tls", "S: 220 go\nC: \x16\\c"},
		{"writing what nobody reads", "= any order\nS: 220 hi\nC: *\n" + strings.Repeat("S: $line\n", 8000), "S: 220 hi\nC: " + strings.Repeat("a", 4000)},
		{"lingering", "S: 220 bye", "S: 220 bye\n= closed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := Start(t, MustParse(tt.dialog))
			dial(t, s).talk(tt.client)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("again: %v", err)
			}
			if got := s.Score(); len(got.Mismatches) != 0 {
				t.Errorf("got %q, want no mismatch: it was not the client", got.Mismatches)
			}
		})
	}
}

func TestServe(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := new(Server).Serve(l); err == nil {
		t.Error("without a dialog: got nil, want an error")
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("listener: got %v, want it closed", err)
	}
	s := &Server{Dialog: MustParse("S: 220 hi")}
	if s.Addr().IsValid() {
		t.Errorf("got %v, want no address yet", s.Addr())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	l, err = net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: got %v, want %v", err, net.ErrClosed)
	}
}

func TestOwnCertificate(t *testing.T) {
	config, err := selfSigned("mine.example")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Dialog: MustParse("= implicit tls\nS: 220 $hostname"), Hostname: "mine.example", TLS: config}
	s.Start(t)
	c := dial(t, s)
	c.talk("= tls\nS: 220 mine.example\n= closed")
	got := c.conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw
	if !bytes.Equal(got, config.Certificates[0].Certificate[0]) {
		t.Error("got another certificate")
	}
}
