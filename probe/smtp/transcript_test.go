package smtp_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"relaysweep/probe/smtp"
	"relaysweep/probe/smtp/smtptest"
)

func TestEscape(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"plain text", "plain text"},
		{"日本語 ü", "日本語 ü"},
		{"a\r\nb\tc", `a\r\nb\tc`},
		{`a\r`, `a\\r`},
		{"\x00\x07\x1b[31m\x7f", `\x00\x07\x1b[31m\x7f`},
		{"\xff\xc3", `\xff\xc3`},
		{"\u009b31m", `\xc2\x9b31m`},                       // CSI in one rune
		{"a\u202eb\u2028c", `a\xe2\x80\xaeb\xe2\x80\xa8c`}, // text that runs backwards, a line separator
		{"\ufeff\u200b", `\xef\xbb\xbf\xe2\x80\x8b`},
		{"\ufffd", "\ufffd"},
	} {
		if got := smtp.Escape(tt.in); got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.in, got, tt.want)
		}
	}
}

// replays checks that a transcript is a .dialog file.
func replays(t *testing.T, transcript string) *smtptest.Dialog {
	t.Helper()
	d, err := smtptest.Parse("transcript", strings.NewReader(transcript))
	if err != nil {
		t.Errorf("%v:\n%s", err, transcript)
	}
	return d
}

// What the limit cuts off is the end, and nothing in between: what is kept is still what was said.
func TestTranscriptIsBounded(t *testing.T) {
	s := &segments{server: [][]byte{[]byte("220 hi\r\n"), []byte("250 short\r\n"), []byte("250 " + strings.Repeat("x", 400) + "\r\n"), []byte("250 short again\r\n"), []byte("250 bye\r\n")}}
	c := smtp.NewConn(s, smtp.Limits{Transcript: 200})
	c.Greeting(t.Context())
	for _, line := range []string{"NOOP 1", "NOOP 2", "NOOP 3"} {
		if r, err := c.Cmd(t.Context(), line); err != nil || r.Code != 250 {
			t.Errorf("%s: got %v, %v, want 250", line, r, err)
		}
	}
	got := c.Transcript().String()
	if want := regexp.MustCompile(`\AS: 220 hi\nC: NOOP 1\nS: 250 short\nC: NOOP 2\n# 4\d\d more bytes are not kept\n\z`); !want.MatchString(got) {
		t.Errorf("got\n%s", got)
	}
	replays(t, got)
}

// What comes in one piece with the last line that fits does not tear it.
func TestTranscriptIsBoundedBehindALine(t *testing.T) {
	s := &segments{server: [][]byte{[]byte("220 hi\r\n" + strings.Repeat("x", 300) + "\r\n"), []byte("250 ok\r\n")}}
	c := smtp.NewConn(s, smtp.Limits{Transcript: 100})
	c.Greeting(t.Context())
	c.Cmd(t.Context(), "NOOP")
	c.Close()
	got := c.Transcript().String()
	if want := regexp.MustCompile(`\AS: 220 hi\n# 3\d\d more bytes are not kept\n\z`); !want.MatchString(got) {
		t.Errorf("got\n%s", got)
	}
}

// What is special in a .dialog file is not special in a transcript.
func TestTranscriptIsPlain(t *testing.T) {
	s := &segments{server: [][]byte{[]byte("220 $line $1 * \\c\r\n"), []byte("550 $hostname\r\n")}}
	c := smtp.NewConn(s, smtp.Limits{})
	c.Greeting(t.Context())
	c.Cmd(t.Context(), `RCPT TO:<"*$1\"@example.net>`)
	const want = `S: 220 \$line \$1 * \\c
C: RCPT TO:<"\*\$1\\"@example.net>
S: 550 \$hostname
`
	if got := c.Transcript().String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	replays(t, c.Transcript().String())
}

// What ends a connection ends its block in the file; what goes on after a silence has not ended.
func TestTranscriptAfterSilence(t *testing.T) {
	s := &segments{server: [][]byte{nil, []byte("250 late\r\n"), nil, nil}}
	c := smtp.NewConn(s, smtp.Limits{})
	for range 2 {
		if _, err := c.Greeting(t.Context()); err != smtp.ErrSilent {
			t.Errorf("got %v, want %v", err, smtp.ErrSilent)
		}
	}
	c.Cmd(t.Context(), "NOOP")
	c.Cmd(t.Context(), "HELP")
	const want = "# silent for 30s\n# silent for 30s\nC: NOOP\nS: 250 late\nC: HELP\n# silent for 30s\n= hang\n"
	if got := c.Transcript().String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	replays(t, c.Transcript().String())
}

func TestTranscriptAfterTheEnd(t *testing.T) {
	s := &segments{server: [][]byte{[]byte("220 hi\r\n22")}}
	c := smtp.NewConn(s, smtp.Limits{})
	c.Greeting(t.Context())
	c.Greeting(t.Context())
	c.Greeting(t.Context())
	const want = "S: 220 hi\nS: 22\\c\n= close\n"
	if got := c.Transcript().String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	replays(t, c.Transcript().String())
}

// segments is a server in memory that does not listen: the first segment is there at once, and one more after each
// line of the client. Then it is silent; after the last one it closes.
type segments struct {
	server [][]byte
	now    int // index of the segment
	at     int
	chunk  int // bytes a read; 0: all
	read   bytes.Buffer
	closed bool
}

func (s *segments) Read(b []byte) (int, error) {
	if s.closed {
		return 0, net.ErrClosed
	}
	if s.now >= len(s.server) {
		return 0, io.EOF
	}
	rest := s.server[s.now][s.at:]
	if len(rest) == 0 && s.now == len(s.server)-1 {
		return 0, io.EOF
	}
	if len(rest) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	if s.chunk > 0 && len(b) > s.chunk {
		b = b[:s.chunk]
	}
	n := copy(b, rest)
	s.at += n
	s.read.Write(b[:n])
	return n, nil
}

func (s *segments) Write(b []byte) (int, error) {
	if s.closed {
		return 0, net.ErrClosed
	}
	// What the client has not fetched comes to it with what follows.
	var rest []byte
	if s.now < len(s.server) {
		rest = s.server[s.now][s.at:]
	}
	s.now, s.at = s.now+1, 0
	if len(rest) > 0 && s.now < len(s.server) {
		s.server[s.now] = append(bytes.Clone(rest), s.server[s.now]...)
	}
	return len(b), nil
}

func (s *segments) Close() error                     { s.closed = true; return nil }
func (s *segments) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (s *segments) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (s *segments) SetDeadline(time.Time) error      { return nil }
func (s *segments) SetReadDeadline(time.Time) error  { return nil }
func (s *segments) SetWriteDeadline(time.Time) error { return nil }

var commands = []string{"EHLO scanner.example", "MAIL FROM:<rs-aaaaaaaaaaaaaaaaaaaa-b@example.net>", `RCPT TO:<"*$1\"@example.net>`, "DATA", "RSET"}

// seeds are conversations, the turns apart by 0xFE, which no reply holds.
var seeds = []string{
	"220 mx.example ESMTP\r\n\xfe250-mx.example\r\n250 SIZE 1\r\n\xfe250 ok\r\n\xfe550 5.7.1 no\r\n\xfe503 no\r\n\xfe221 bye\r\n",
	"220-a\n220 b\n\xfe250\r\n\xfe\xfe250 a\r\n250 b\r\n",
	"", "\n", "220", "220 a", "SSH-2.0-x\r\n", "\x16\x03\x01\x00\xff", "220 $line $1 * \\ \\n \\c\r\n\xfe250 \\\r\n",
	"220 " + strings.Repeat("x", 4100) + "\r\n", strings.Repeat("220-x\r\n", 200), "220-\r\r\n220 \r\n\xfe= close\r\n\xfe# no\r\n",
	"\ufeff220 a\r\n", "220 \u2028\xc3\x28\r\n", "  220 a\r\n", "220 a\r\n\xfe   \r\n", "354 go\r\n\xfe354 go\r\n\xfe.\r\n",
	".0\xff\xff\n\r\n", "220 a\n\n\r\n",
}

// converse says the commands to a server of bytes, as far as it goes.
func converse(t *testing.T, server []byte, limits smtp.Limits, chunk int) (*smtp.Conn, *segments) {
	s := &segments{server: bytes.Split(server, []byte{0xfe}), chunk: chunk}
	c := smtp.NewConn(s, limits)
	check := func(r smtp.Reply, err error) bool {
		size := 0
		for _, l := range r.Lines {
			size += len(l)
		}
		if len(r.Lines) > 128 || size > 16<<10+4096+1024 {
			t.Errorf("a reply of %d lines and %d bytes", len(r.Lines), size)
		}
		if err == nil && (r.Code < 200 || r.Code > 599 || len(r.Lines) == 0) {
			t.Errorf("got %+v without an error", r)
		}
		if err != nil && r.Code != 0 {
			t.Errorf("got %+v and %v, want one of them", r, err)
		}
		smtp.ParseExtensions(r)
		return err == nil
	}
	if check(c.Greeting(t.Context())) {
		for _, line := range commands {
			if !check(c.Cmd(t.Context(), line)) {
				break
			}
		}
	}
	c.Quit(t.Context())
	return c, s
}

var notes = regexp.MustCompile(`(?m)^#.*$`)

// Whatever a server sends: no panic, no more memory than the limits, and a transcript that is a .dialog file.
func FuzzReply(f *testing.F) {
	for i, s := range seeds {
		f.Add([]byte(s), uint16(i*7), uint16(200*i))
	}
	f.Fuzz(func(t *testing.T, server []byte, chunk, limit uint16) {
		limits := smtp.Limits{Transcript: int(limit)}
		c, s := converse(t, server, limits, int(chunk))
		kept := c.Transcript().String()
		if limit == 0 {
			limit = 16 << 10
		}
		if len(kept) > int(limit)+64 {
			t.Errorf("kept %d bytes, the limit is %d", len(kept), limit)
		}
		if n := s.read.Len(); n > (len(commands)+2)*(16<<10+4096+1024) {
			t.Errorf("took %d bytes", n)
		}
		if strings.Trim(notes.ReplaceAllString(kept, ""), "\n") != "" {
			replays(t, kept)
		}
		for _, r := range kept {
			if r != '\n' && (r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0) {
				t.Fatalf("a control character %U is shown:\n%q", r, kept)
			}
		}
	})
}

// Whatever a server sent: put into a fake server, the transcript is a conversation in which it sends the same bytes.
func FuzzTranscript(f *testing.F) {
	for i, s := range seeds {
		f.Add([]byte(s), uint16(i*3))
		f.Add([]byte(s), uint16(0))
	}
	f.Fuzz(func(t *testing.T, server []byte, chunk uint16) {
		if len(server) > 64<<10 {
			return
		}
		c, original := converse(t, server, smtp.Limits{Transcript: 1 << 20}, int(chunk))
		d := replays(t, c.Transcript().String())
		if d == nil {
			return
		}
		var said []string
		for line := range strings.Lines(c.Transcript().String()) {
			if strings.HasPrefix(line, "C: ") {
				said = append(said, "")
			}
		}
		if len(said) > len(commands)+1 {
			t.Fatalf("%d commands in the transcript, want at most %d", len(said), len(commands)+1)
		}
		copy(said, commands)
		if strings.Contains(c.Transcript().String(), "C: QUIT\n") {
			said[len(said)-1] = "QUIT"
		}
		var got []byte
		synctest.Test(t, func(t *testing.T) {
			fake := &smtptest.Server{Dialog: d}
			l := listen()
			served := make(chan error, 1)
			go func() { served <- fake.Serve(l) }()
			conn := l.dial()
			read := make(chan []byte, 1)
			go func() {
				b, _ := io.ReadAll(conn)
				read <- b
			}()
			for _, line := range said {
				io.WriteString(conn, line+"\r\n")
			}
			time.Sleep(time.Second) // of virtual time: all was said, or the fake waits for us
			conn.Close()
			got = <-read
			if m := fake.Score().Mismatches; len(m) > 0 {
				t.Errorf("%q\n%s", m, c.Transcript())
			}
			fake.Close()
			<-served
		})
		if want := original.read.Bytes(); !bytes.Equal(got, want) {
			t.Errorf("replayed %q, want %q\n%s", got, want, c.Transcript())
		}
	})
}
