package smtp_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"relaysweep/probe/smtp"
	"relaysweep/probe/smtp/smtptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipes is a listener in memory: what dial returns is one end of a net.Pipe, and the other end is accepted.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func listen() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// play lets f talk to a fake server, in virtual time and without a network, and checks that f kept the lock-step.
func play(t *testing.T, dialog string, limits smtp.Limits, f func(ctx context.Context, t *testing.T, c *smtp.Conn)) (score smtptest.Score) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &smtptest.Server{Dialog: smtptest.MustParse(dialog)}
		l := listen()
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		c := smtp.NewConn(l.dial(), limits)
		f(t.Context(), t, c)
		c.Close()
		s.Wait(1)
		score = s.Score()
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	if hello := len(score.Commands) > 0 && strings.HasPrefix(score.Commands[0], "\x16\x03"); score.Early != 0 && !hello {
		t.Errorf("spoke %d times before its turn:\n%q", score.Early, score.Commands)
	}
	return score
}

// took returns the virtual time that f takes.
func took(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

func TestReplies(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server string
		want   smtp.Reply
		err    error
		peek   string
	}{
		{
			name:   "one line",
			server: "S: 220 mx.example ESMTP",
			want:   smtp.Reply{Code: 220, Lines: []string{"mx.example ESMTP"}},
		},
		{
			name:   "many lines",
			server: "S: 220-mx.example\nS: 220-no spam\nS: 220-\nS: 220 go on",
			want:   smtp.Reply{Code: 220, Lines: []string{"mx.example", "no spam", "", "go on"}},
		},
		{
			name:   "a code alone",
			server: "S: 220",
			want:   smtp.Reply{Code: 220, Lines: []string{""}},
		},
		{
			name:   "a code, a blank and nothing",
			server: "S: 220 \\r\\n",
			want:   smtp.Reply{Code: 220, Lines: []string{""}},
		},
		{
			name:   "the last line is a code alone",
			server: "S: 220-mx.example\nS: 220",
			want:   smtp.Reply{Code: 220, Lines: []string{"mx.example", ""}},
		},
		{
			name:   "stars of a PIX",
			server: "S: 220 ****************",
			want:   smtp.Reply{Code: 220, Lines: []string{"****************"}},
		},
		{
			name:   "lines end in LF alone",
			server: "S: 220-mx.example\\n\nS: 220 hi\\n",
			want:   smtp.Reply{Code: 220, Lines: []string{"mx.example", "hi"}, BareLF: true},
		},
		{
			name:   "one line ends in LF alone",
			server: "S: 220-mx.example\\n\nS: 220 hi",
			want:   smtp.Reply{Code: 220, Lines: []string{"mx.example", "hi"}, BareLF: true},
		},
		{
			name:   "bytes of no alphabet are kept",
			server: "S: 220 \\xff\\x00\\x1b[2J",
			want:   smtp.Reply{Code: 220, Lines: []string{"\xff\x00\x1b[2J"}},
		},
		{
			name:   "byte by byte",
			server: "= drip 100ms\nS: 220-mx.example\nS: 220 hi",
			want:   smtp.Reply{Code: 220, Lines: []string{"mx.example", "hi"}},
		},
		{
			name:   "cut anywhere",
			server: "S: 2\\c\n= wait 1s\nS: 20\\c\n= wait 1s\nS: -mx\\r\\c\n= wait 1s\nS: \\n\n= wait 1s\nS: 220\\c\n= wait 1s\nS:  hi",
			want:   smtp.Reply{Code: 220, Lines: []string{"mx", "hi"}},
		},
		{
			name:   "the greeting is late",
			server: "= wait 29s\nS: 220 hi",
			want:   smtp.Reply{Code: 220, Lines: []string{"hi"}},
		},
		{
			name:   "the last code counts, and its status code too",
			server: "S: 250-2.1.5 ok\nS: 550 5.7.1 no",
			want:   smtp.Reply{Code: 550, Lines: []string{"2.1.5 ok", "5.7.1 no"}},
		},
		{
			name:   "a refusal with a status code on each line",
			server: "S: 550-5.7.1 no\nS: 550 5.7.1 never",
			want:   smtp.Reply{Code: 550, Lines: []string{"5.7.1 no", "5.7.1 never"}},
		},
		{
			name:   "a status code on the first line alone",
			server: "S: 550-5.7.1 no\nS: 550 never",
			want:   smtp.Reply{Code: 550, Lines: []string{"5.7.1 no", "never"}},
		},
		{
			name:   "qmail's sign before the status code",
			server: "S: 553 #5.7.1 no",
			want:   smtp.Reply{Code: 553, Lines: []string{"#5.7.1 no"}},
		},
		{
			name:   "Exchange Online's long status code",
			server: "S: 550 5.7.606 no",
			want:   smtp.Reply{Code: 550, Lines: []string{"5.7.606 no"}},
		},
		{
			name:   "what only looks like a status code",
			server: "S: 550 5.7.1234 no",
			want:   smtp.Reply{Code: 550, Lines: []string{"5.7.1234 no"}},
		},
		{
			name:   "a version is no status code",
			server: "S: 220 3.1.2 ready",
			want:   smtp.Reply{Code: 220, Lines: []string{"3.1.2 ready"}},
		},
		{
			name:   "an address is no status code",
			server: "S: 220 2.0.0.1 ready",
			want:   smtp.Reply{Code: 220, Lines: []string{"2.0.0.1 ready"}},
		},
		{name: "text", server: "S: hello", err: smtp.ErrGarbled, peek: "hello\r\n"},
		{name: "an empty line", server: "S: ", err: smtp.ErrGarbled, peek: "\r\n"},
		{name: "two digits", server: "S: 22 mx", err: smtp.ErrGarbled, peek: "22 mx\r\n"},
		{name: "four digits", server: "S: 2200 mx", err: smtp.ErrGarbled, peek: "2200 mx\r\n"},
		{name: "no blank", server: "S: 220mx", err: smtp.ErrGarbled, peek: "220mx\r\n"},
		{name: "a tab", server: "S: 220\tmx", err: smtp.ErrGarbled, peek: "220\tmx\r\n"},
		{name: "a code that SMTP has not", server: "S: 150 mx", err: smtp.ErrGarbled, peek: "150 mx\r\n"},
		{name: "a code beyond all", server: "S: 600 mx", err: smtp.ErrGarbled, peek: "600 mx\r\n"},
		{name: "digits of another script", server: "S: ２２０ mx", err: smtp.ErrGarbled, peek: "２２０ mx\r\n"},
		{name: "a web server", server: "S: HTTP/1.1 400 Bad Request\nS: Server: 250", err: smtp.ErrGarbled, peek: "HTTP/1.1 400 Bad Request\r\n"},
		{name: "a reply and then text", server: "S: 220-mx\nS: motd\nS: 220 hi", err: smtp.ErrGarbled, peek: "motd\r\n"},
		{name: "binary", server: "S: \\x16\\x03\\x01\\x00\\n", err: smtp.ErrGarbled, peek: "\x16\x03\x01\x00\n"},
		{name: "closes at once", server: "= close", err: smtp.ErrClosed},
		{name: "closes within a line", server: "S: 220 m\\c\n= close", err: smtp.ErrClosed, peek: "220 m"},
		{name: "closes within a reply", server: "S: 220-mx\n= close", err: smtp.ErrClosed, peek: "220-mx\r\n"},
		{name: "closes within digits", server: "S: 22\\c\n= close", err: smtp.ErrClosed, peek: "22"},
		{name: "silent", server: "= hang", err: smtp.ErrSilent},
		{name: "silent within a line", server: "S: 220 m\\c\n= hang", err: smtp.ErrSilent, peek: "220 m"},
		{name: "silent within a reply", server: "S: 220-mx\n= hang", err: smtp.ErrSilent, peek: "220-mx\r\n"},
		{name: "later than we wait", server: "= wait 31s\nS: 220 hi", err: smtp.ErrSilent},
		{name: "a line without end", server: "S: 220 " + strings.Repeat("x", 5000) + "\\c\n= hang", err: smtp.ErrTooLong},
		{name: "a line of a megabyte", server: "S: 220 " + strings.Repeat("x", 1<<20-100), err: smtp.ErrTooLong},
		{name: "128 lines and not the last", server: strings.Repeat("S: 220-x\n", 128) + "S: 220 hi", err: smtp.ErrTooLong},
		{name: "16 KiB and not the last", server: strings.Repeat("S: 220-"+strings.Repeat("x", 1000)+"\n", 17) + "S: 220 hi", err: smtp.ErrTooLong},
	} {
		t.Run(tt.name, func(t *testing.T) {
			play(t, tt.server, smtp.Limits{}, func(ctx context.Context, t *testing.T, c *smtp.Conn) {
				got, err := c.Greeting(ctx)
				if !reflect.DeepEqual(got, tt.want) || !errors.Is(err, tt.err) {
					t.Errorf("got %+v, %v, want %+v, %v", got, err, tt.want, tt.err)
				}
				if tt.peek != "" && string(c.Peek()) != tt.peek {
					t.Errorf("Peek: got %q, want %q", c.Peek(), tt.peek)
				}
				replays(t, c.Transcript().String())
			})
		})
	}
}

// 128 lines and 16 KiB are a reply still.
func TestTheLongestReply(t *testing.T) {
	for name, server := range map[string]string{
		"128 lines": strings.Repeat("S: 220-x\n", 127) + "S: 220 hi",
		"16 KiB":    strings.Repeat("S: 220-"+strings.Repeat("x", 1000)+"\n", 16) + "S: 220 hi",
	} {
		t.Run(name, func(t *testing.T) {
			play(t, server, smtp.Limits{}, func(ctx context.Context, t *testing.T, c *smtp.Conn) {
				if r, err := c.Greeting(ctx); err != nil || r.Code != 220 {
					t.Errorf("got %d, %v, want 220", r.Code, err)
				}
			})
		})
	}
}

// A server that never stops is left after the reply's limit in bytes, however short its lines are.
func TestEndlessReply(t *testing.T) {
	for name, line := range map[string]string{"short lines": "250-\r\n", "long lines": "250-" + strings.Repeat("x", 990) + "\r\n", "no line": "250-x"} {
		t.Run(name, func(t *testing.T) {
			client, server := net.Pipe()
			written := make(chan int)
			go func() {
				n := 0
				for {
					m, err := io.WriteString(server, line)
					if n += m; err != nil {
						written <- n
						return
					}
				}
			}()
			c := smtp.NewConn(client, smtp.Limits{})
			if _, err := c.Greeting(t.Context()); !errors.Is(err, smtp.ErrTooLong) {
				t.Errorf("got %v, want %v", err, smtp.ErrTooLong)
			}
			c.Close()
			if n := <-written; n > 18<<10 {
				t.Errorf("took %d bytes of an endless reply, want at most 18 KiB", n)
			}
			if n := len(c.Transcript().String()); n > 17<<10 {
				t.Errorf("kept %d bytes, want at most 17 KiB", n)
			}
		})
	}
}

// The deadline of a reply is absolute: who drips, byte by byte or line by line, does not move it.
func TestDrippingServer(t *testing.T) {
	for name, server := range map[string]string{
		"bytes": "= drip 1s\nS: 220 " + strings.Repeat("x", 100),
		"lines": strings.Repeat("S: 220-x\n= wait 7s\n", 10) + "S: 220 hi",
	} {
		t.Run(name, func(t *testing.T) {
			play(t, server, smtp.Limits{Greeting: 20 * time.Second}, func(ctx context.Context, t *testing.T, c *smtp.Conn) {
				got := took(func() {
					if _, err := c.Greeting(ctx); !errors.Is(err, smtp.ErrSilent) {
						t.Errorf("got %v, want %v", err, smtp.ErrSilent)
					}
				})
				if got != 20*time.Second {
					t.Errorf("waited %v, want 20s", got)
				}
				if c.Slowest() != got {
					t.Errorf("Slowest: got %v, want %v", c.Slowest(), got)
				}
			})
		})
	}
}

func TestEveryWaitIsBounded(t *testing.T) {
	limits := smtp.Limits{Greeting: 30 * time.Second, Reply: 20 * time.Second, Handshake: 10 * time.Second}
	for _, tt := range []struct {
		name   string
		server string
		do     func(context.Context, *smtp.Conn) error
		want   time.Duration
	}{
		{"the greeting", "= hang", func(ctx context.Context, c *smtp.Conn) error { _, err := c.Greeting(ctx); return err }, 30 * time.Second},
		{"a shorter greeting", "= hang", func(ctx context.Context, c *smtp.Conn) error {
			_, err := c.GreetingWithin(ctx, time.Second)
			return err
		}, time.Second},
		{"a reply", "C: NOOP\n= hang", func(ctx context.Context, c *smtp.Conn) error { _, err := c.Cmd(ctx, "NOOP"); return err }, 20 * time.Second},
		{"a command that is not read", "= wait 5m", func(ctx context.Context, c *smtp.Conn) error { _, err := c.Cmd(ctx, "NOOP"); return err }, 20 * time.Second},
		{"the reply to a message", "C: \nC: .\n= hang", func(ctx context.Context, c *smtp.Conn) error {
			_, err := c.Message(ctx, []byte("\r\n"))
			return err
		}, 40 * time.Second},
		{"the handshake", "= hang", func(ctx context.Context, c *smtp.Conn) error {
			return c.Handshake(ctx, &tls.Config{InsecureSkipVerify: true})
		}, 10 * time.Second},
		{"QUIT", "C: QUIT\n= hang", func(ctx context.Context, c *smtp.Conn) error { c.Quit(ctx); return smtp.ErrSilent }, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			play(t, tt.server, limits, func(ctx context.Context, t *testing.T, c *smtp.Conn) {
				got := took(func() {
					if err := tt.do(ctx, c); !errors.Is(err, smtp.ErrSilent) {
						t.Errorf("got %v, want %v", err, smtp.ErrSilent)
					}
				})
				if got != tt.want {
					t.Errorf("waited %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// Whatever waits, waits no longer than its context; the error is then the context's, and not the server's silence.
func TestCancelEndsAWaitAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name, server string
		do           func(context.Context, *smtp.Conn) error
	}{
		{"the greeting", "= hang", func(ctx context.Context, c *smtp.Conn) error { _, err := c.Greeting(ctx); return err }},
		{"within a greeting", "S: 220-mx\n= hang", func(ctx context.Context, c *smtp.Conn) error { _, err := c.Greeting(ctx); return err }},
		{"a reply", "C: NOOP\n= hang", func(ctx context.Context, c *smtp.Conn) error { _, err := c.Cmd(ctx, "NOOP"); return err }},
		{"a command that is not read", "= wait 5m", func(ctx context.Context, c *smtp.Conn) error { _, err := c.Cmd(ctx, "NOOP"); return err }},
		{"a message that is not read", "= wait 5m", func(ctx context.Context, c *smtp.Conn) error { _, err := c.Message(ctx, []byte("x")); return err }},
		{"the handshake", "= hang", func(ctx context.Context, c *smtp.Conn) error {
			return c.Handshake(ctx, &tls.Config{InsecureSkipVerify: true})
		}},
	} {
		for _, how := range []struct {
			name string
			ctx  func(context.Context) (context.Context, context.CancelFunc)
			want error
		}{
			{"cancelled", func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(3*time.Second, cancel)
				return ctx, cancel
			}, context.Canceled},
			{"past its deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 3*time.Second)
			}, context.DeadlineExceeded},
		} {
			t.Run(tt.name+", "+how.name, func(t *testing.T) {
				play(t, tt.server, smtp.Limits{}, func(ctx context.Context, t *testing.T, c *smtp.Conn) {
					ctx, cancel := how.ctx(ctx)
					defer cancel()
					got := took(func() {
						err := tt.do(ctx, c)
						if tt.name == "the handshake" && errors.Is(err, smtp.ErrTLS) && how.want == context.DeadlineExceeded {
							return // the reason is in the message
						}
						if !errors.Is(err, how.want) {
							t.Errorf("got %v, want %v", err, how.want)
						}
					})
					if got != 3*time.Second {
						t.Errorf("waited %v, want 3s", got)
					}
					if strings.Contains(c.Transcript().String(), "= hang") {
						t.Errorf("our own end was booked as the server's silence:\n%s", c.Transcript())
					}
				})
			})
		}
	}
}

// A context that has ended sends nothing.
func TestNothingIsSentAfterTheEnd(t *testing.T) {
	score := play(t, "= any order\nC: *\nS: 250 ok", smtp.Limits{}, func(ctx context.Context, t *testing.T, c *smtp.Conn) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := c.Cmd(ctx, "NOOP"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		if err := c.Handshake(ctx, &tls.Config{InsecureSkipVerify: true}); !errors.Is(err, context.Canceled) {
			t.Errorf("Handshake: got %v, want %v", err, context.Canceled)
		}
	})
	if len(score.Commands) != 0 {
		t.Errorf("sent %q, want nothing", score.Commands)
	}
}

const whole = `
	S: 220 mx.example ESMTP
	C: EHLO scanner.example
	S: 250-mx.example
	S: 250-SIZE 1000
	S: 250 AUTH PLAIN
	C: MAIL FROM:<rs-aaaaaaaaaaaaaaaaaaaa-b@example.net>
	S: 250 2.1.0 Ok
	C: RCPT TO:<rs-aaaaaaaaaaaaaaaaaaaa@example.net>
	S: 250 2.1.5 Ok
	C: DATA
	S: 354 go on
	C: Subject: dots
	C: 
	C: ..
	C: ..one
	C: ...two
	C: a.b
	C: 
	C: last
	C: .
	S: 250 2.0.0 queued
	C: QUIT
	S: 221 bye
`

// The transcript of a dialogue is the dialogue, dot-stuffing and all (RFC 5321 4.5.2).
func TestDialogue(t *testing.T) {
	score := play(t, whole, smtp.Limits{}, func(ctx context.Context, t *testing.T, c *smtp.Conn) {
		want := func(code int) func(smtp.Reply, error) {
			return func(r smtp.Reply, err error) {
				t.Helper()
				if err != nil || r.Code != code {
					t.Errorf("got %v, %v, want %d", r, err, code)
				}
			}
		}
		want(220)(c.Greeting(ctx))
		r, err := c.Cmd(ctx, "EHLO scanner.example")
		want(250)(r, err)
		if got, want := smtp.ParseExtensions(r), (smtp.Extensions{"SIZE": "1000", "AUTH": "PLAIN"}); !reflect.DeepEqual(got, want) {
			t.Errorf("extensions: got %v, want %v", got, want)
		}
		want(250)(c.Cmd(ctx, "MAIL FROM:<rs-aaaaaaaaaaaaaaaaaaaa-b@example.net>"))
		want(250)(c.Cmd(ctx, "RCPT TO:<rs-aaaaaaaaaaaaaaaaaaaa@example.net>"))
		want(354)(c.Cmd(ctx, "DATA"))
		want(250)(c.Message(ctx, []byte("Subject: dots\n\n.\n.one\n..two\na.b\n\r\nlast")))
		if err := c.Quit(ctx); err != nil {
			t.Errorf("Quit: %v", err)
		}
		if got, want := c.Transcript().String(), strings.ReplaceAll(strings.TrimPrefix(whole, "\n"), "\t", ""); got != want {
			t.Errorf("transcript: got\n%s\nwant\n%s", got, want)
		}
		if c.Commands() != 4 {
			t.Errorf("Commands: got %d, want 4", c.Commands())
		}
	})
	if len(score.Mismatches) > 0 || score.Messages != 1 {
		t.Errorf("mismatches %q, %d messages, want none and 1", score.Mismatches, score.Messages)
	}
}

// A message that is cut after 354 does not exist.
func TestCutAfter354(t *testing.T) {
	score := play(t, "S: 220 hi\nC: DATA\nS: 354 go on\n= data\n= relay\nS: 250 queued", smtp.Limits{}, func(ctx context.Context, t *testing.T, c *smtp.Conn) {
		c.Greeting(ctx)
		if r, err := c.Cmd(ctx, "DATA"); r.Code != 354 {
			t.Errorf("got %v, %v, want 354", r, err)
		}
		c.Close()
	})
	if score.ContentBytes != 0 || score.Messages != 0 {
		t.Errorf("%d bytes and %d messages arrived, want none", score.ContentBytes, score.Messages)
	}
}

func TestQuitClosesWhateverIsAnswered(t *testing.T) {
	for _, server := range []string{"C: QUIT\nS: 221 bye", "C: QUIT\nS: 500 stay", "C: QUIT\nS: what?", "C: QUIT\n= close", "= close", "= wait 1m"} {
		t.Run(server, func(t *testing.T) {
			play(t, server, smtp.Limits{Reply: time.Second}, func(ctx context.Context, t *testing.T, c *smtp.Conn) {
				if err := c.Quit(ctx); err != nil {
					t.Errorf("got %v, want nil", err)
				}
				if _, err := c.Cmd(ctx, "NOOP"); !errors.Is(err, smtp.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("after QUIT: got %v, want a closed connection", err)
				}
			})
		})
	}
}

// A command is one line, whatever it was made of.
func TestLineEndsAreNeverSent(t *testing.T) {
	score := play(t, "= any order\nC: *\nS: 250 ok", smtp.Limits{}, func(ctx context.Context, t *testing.T, c *smtp.Conn) {
		for _, line := range []string{"EHLO a\r\nMAIL FROM:<>", "EHLO a\n", "EHLO a\r", "\r", "RCPT TO:<a@b>\nDATA"} {
			if r, err := c.Cmd(ctx, line); err == nil {
				t.Errorf("%q: got %v, want an error", line, r)
			}
		}
		if got := c.Transcript().String(); got != "" {
			t.Errorf("transcript: got %q, want nothing", got)
		}
		if c.Commands() != 0 {
			t.Errorf("Commands: got %d, want 0", c.Commands())
		}
	})
	if len(score.Commands) != 0 {
		t.Errorf("sent %q, want nothing", score.Commands)
	}
}

// What comes behind a reply was not asked for. It is kept, and is not the reply to the next command.
func TestUnaskedBytes(t *testing.T) {
	for _, tt := range []struct{ name, server, transcript string }{
		{"a second reply", `
			S: 220 hi\r\n250 me too\r\n
			C: NOOP
			S: 550 the true one`, `
			S: 220 hi\r\n250 me too\r\n
			C: NOOP
			S: 550 the true one`},
		{"half a reply", `
			S: 220 hi\r\n250\c
			C: NOOP
			S: 550 the true one`, `
			S: 220 hi\r\n250\c
			C: NOOP
			S: 550 the true one`},
		{"many, with bytes of no alphabet", `
			S: 220 hi\r\n250 a\n\xff\x00\r\n250-b\r\n
			C: NOOP
			S: 550 the true one`, `
			S: 220 hi\r\n250 a\n\xff\x00\r\n250-b\r\n
			C: NOOP
			S: 550 the true one`},
		{"behind a line that ends in LF alone", `
			S: 220 \$line\\\n250 \$1 a\n
			C: NOOP
			S: 550 the true one`, `
			S: 220 \$line\\\n250 \$1 a\n
			C: NOOP
			S: 550 the true one`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			play(t, tt.server, smtp.Limits{}, func(ctx context.Context, t *testing.T, c *smtp.Conn) {
				c.Greeting(ctx)
				if r, err := c.Cmd(ctx, "NOOP"); err != nil || r.Code != 550 {
					t.Errorf("got %v, %v, want 550", r, err)
				}
				got, want := c.Transcript().String(), strings.ReplaceAll(strings.TrimPrefix(tt.transcript, "\n"), "\t", "")+"\n"
				if got != want {
					t.Errorf("transcript: got\n%s\nwant\n%s", got, want)
				}
				replays(t, got)
			})
		})
	}
}

// A reply to a message that came before the message is none. Its place in the transcript is where it came.
func TestUnaskedBytesBeforeAMessage(t *testing.T) {
	const server = `
		S: 220 hi
		C: DATA
		S: 354 go\r\n250 queued\r\n
		C: x
		C: .
		S: 550 no`
	play(t, server, smtp.Limits{}, func(ctx context.Context, t *testing.T, c *smtp.Conn) {
		c.Greeting(ctx)
		c.Cmd(ctx, "DATA")
		if r, err := c.Message(ctx, []byte("x")); err != nil || r.Code != 550 {
			t.Errorf("got %v, %v, want 550", r, err)
		}
		want := "S: 220 hi\nC: DATA\nS: 354 go\\r\\n250 queued\\r\\n\nC: x\nC: .\nS: 550 no\n"
		if got := c.Transcript().String(); got != want {
			t.Errorf("transcript: got\n%s\nwant\n%s", got, want)
		}
	})
}

func TestSTARTTLS(t *testing.T) {
	const server = `
		S: 220 hi
		C: STARTTLS
		S: 220 go on
		= tls
		C: EHLO scanner.example
		S: 250 mx.example`
	score := play(t, server, smtp.Limits{}, func(ctx context.Context, t *testing.T, c *smtp.Conn) {
		c.Greeting(ctx)
		c.Cmd(ctx, "STARTTLS")
		if c.TLS() != nil {
			t.Error("TLS before a handshake")
		}
		if err := c.Handshake(ctx, &tls.Config{InsecureSkipVerify: true}); err != nil {
			t.Fatal(err)
		}
		if r, err := c.Cmd(ctx, "EHLO scanner.example"); err != nil || r.Code != 250 {
			t.Errorf("got %v, %v, want 250", r, err)
		}
		if s := c.TLS(); s == nil || s.Version != tls.VersionTLS13 || len(s.PeerCertificates) != 1 {
			t.Errorf("TLS: got %+v, want version 1.3 and a certificate", s)
		}
		if got, want := c.Transcript().String(), strings.ReplaceAll(strings.TrimPrefix(server, "\n"), "\t", "")+"\n"; got != want {
			t.Errorf("transcript: got\n%s\nwant\n%s", got, want)
		}
	})
	if score.TLS != 1 {
		t.Errorf("%d handshakes, want 1", score.TLS)
	}
}

// Bytes in clear behind the reply to STARTTLS are an injection: they are no reply of the encrypted session.
func TestPlaintextBehindSTARTTLS(t *testing.T) {
	play(t, "S: 220 hi\nC: STARTTLS\nS: 220 go on\\r\\n250 injected\\r\\n\n= hang", smtp.Limits{}, func(ctx context.Context, t *testing.T, c *smtp.Conn) {
		c.Greeting(ctx)
		c.Cmd(ctx, "STARTTLS")
		if err := c.Handshake(ctx, &tls.Config{InsecureSkipVerify: true}); !errors.Is(err, smtp.ErrEarly) {
			t.Errorf("got %v, want %v", err, smtp.ErrEarly)
		}
		if got := c.Transcript().String(); !strings.Contains(got, `S: 220 go on\r\n250 injected`) {
			t.Errorf("the transcript has no injected line:\n%s", got)
		}
		replays(t, c.Transcript().String())
	})
}

// A server that says something in clear where TLS was expected is heard, whether it speaks first or when spoken to.
func TestTLSOnAPlaintextPort(t *testing.T) {
	for _, tt := range []struct {
		name, says, want string
		first            bool
	}{
		{"SMTP", "220 mx.example ESMTP\r\n", "220 m", true},
		{"SSH", "SSH-2.0-OpenSSH_9.2\r\n", "SSH-2", true},
		{"HTTP", "HTTP/1.0 400 Bad Request\r\n", "HTTP/", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, server := net.Pipe()
			served := make(chan struct{})
			go func() {
				defer close(served)
				hello := make([]byte, 4096)
				if tt.first {
					go io.Copy(io.Discard, server)
				} else {
					server.Read(hello)
					go io.Copy(io.Discard, server)
				}
				io.WriteString(server, tt.says)
			}()
			c := smtp.NewConn(client, smtp.Limits{})
			err := c.Handshake(t.Context(), &tls.Config{InsecureSkipVerify: true})
			c.Close()
			<-served
			server.Close()
			var plain smtp.Plain
			if !errors.As(err, &plain) || !errors.Is(err, smtp.ErrTLS) || string(plain.Bytes) != tt.want {
				t.Errorf("got %v, want %v with %q", err, smtp.ErrTLS, tt.want)
			}
			if c.TLS() != nil {
				t.Error("TLS after a failed handshake")
			}
			replays(t, c.Transcript().String())
		})
	}
}

func TestOldTLS(t *testing.T) {
	config := serverTLS(t)
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	s := &smtptest.Server{Dialog: smtptest.MustParse("= implicit tls\nS: 220 hi"), TLS: config}
	s.Start(t)
	for _, tt := range []struct {
		min  uint16
		want error
	}{{tls.VersionTLS10, nil}, {tls.VersionTLS12, smtp.ErrTLS}} {
		nc, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c := smtp.NewConn(nc, smtp.Limits{})
		if err := c.Handshake(t.Context(), &tls.Config{InsecureSkipVerify: true, MinVersion: tt.min}); !errors.Is(err, tt.want) {
			t.Errorf("from %s on: got %v, want %v", tls.VersionName(tt.min), err, tt.want)
		} else if err == nil && c.TLS().Version != tls.VersionTLS10 {
			t.Errorf("got %s, want TLS 1.0", tls.VersionName(c.TLS().Version))
		}
		c.Close()
	}
}

// serverTLS is a configuration with a certificate for mx.example.
func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example"}, NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// away is a connection to another address than it says.
type away struct {
	net.Conn
	to      net.Addr
	written bytes.Buffer
}

func (a *away) RemoteAddr() net.Addr { return a.to }

func (a *away) Write(b []byte) (int, error) { return a.written.Write(b) }

// Printers print what they receive, so they receive nothing: no command, no QUIT, no TLS, no message.
func TestPrintersReceiveNothing(t *testing.T) {
	for port := 9099; port <= 9108; port++ {
		client, server := net.Pipe()
		server.Close()
		nc := &away{Conn: client, to: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: port}}
		c := smtp.NewConn(nc, smtp.Limits{})
		c.Cmd(t.Context(), "EHLO scanner.example")
		c.Handshake(t.Context(), &tls.Config{InsecureSkipVerify: true})
		c.Message(t.Context(), []byte("x"))
		c.Quit(t.Context())
		if printer, wrote := port >= 9100 && port <= 9107, nc.written.Len() > 0; printer == wrote {
			t.Errorf("port %d: wrote %q", port, nc.written.String())
		}
		if c.Commands() > 0 && port >= 9100 && port <= 9107 {
			t.Errorf("port %d: %d commands, want 0", port, c.Commands())
		}
	}
}

func TestParseExtensions(t *testing.T) {
	lines := func(s ...string) []string { return append([]string{"mx.example Hello"}, s...) }
	var many []string
	for i := range 200 {
		many = append(many, "X"+strings.Repeat("A", i))
	}
	for _, tt := range []struct {
		name  string
		lines []string
		want  smtp.Extensions
	}{
		{"none", lines(), smtp.Extensions{}},
		{"no line at all", nil, smtp.Extensions{}},
		{"the first line is no keyword", []string{"STARTTLS"}, smtp.Extensions{}},
		{"keywords and parameters", lines("SIZE 1000", "8BITMIME", "AUTH PLAIN LOGIN"), smtp.Extensions{"SIZE": "1000", "8BITMIME": "", "AUTH": "PLAIN LOGIN"}},
		{"lower case", lines("starttls", "Auth plain"), smtp.Extensions{"STARTTLS": "", "AUTH": "PLAIN"}},
		{"AUTH with an equals sign", lines("AUTH=LOGIN PLAIN"), smtp.Extensions{"AUTH": "LOGIN PLAIN"}},
		{"both forms of AUTH, alike", lines("AUTH LOGIN PLAIN", "AUTH=LOGIN PLAIN"), smtp.Extensions{"AUTH": "LOGIN PLAIN"}},
		{"both forms of AUTH, unlike", lines("AUTH PLAIN", "AUTH=LOGIN"), smtp.Extensions{"AUTH": "PLAIN LOGIN"}},
		{"a keyword twice", lines("STARTTLS", "STARTTLS"), smtp.Extensions{"STARTTLS": ""}},
		{"blanks around", lines("  SIZE 1  ", "", "   "), smtp.Extensions{"SIZE": "1"}},
		{"an equals sign alone", lines("="), smtp.Extensions{}},
		{"a PIX", lines("XXXXXXXA", "XXXB"), smtp.Extensions{"XXXXXXXA": "", "XXXB": ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := smtp.ParseExtensions(smtp.Reply{Code: 250, Lines: tt.lines}); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	if got := smtp.ParseExtensions(smtp.Reply{Lines: lines(many...)}); len(got) != 64 {
		t.Errorf("of 200 lines: got %d keywords, want 64", len(got))
	}
	if x := smtp.ParseExtensions(smtp.Reply{Lines: lines("auth=plain")}); !x.Has("AUTH") || x.Has("STARTTLS") {
		t.Errorf("Has: got %v, want AUTH alone", x)
	}
}

func TestReply(t *testing.T) {
	for _, tt := range []struct {
		r        smtp.Reply
		text     string
		positive bool
	}{
		{smtp.Reply{}, "", false},
		{smtp.Reply{Code: 220, Lines: []string{""}}, "220", true},
		{smtp.Reply{Code: 250, Lines: []string{"a", "b"}}, "250 a b", true},
		{smtp.Reply{Code: 354, Lines: []string{"go"}}, "354 go", true},
		{smtp.Reply{Code: 421, Lines: []string{"bye"}}, "421 bye", false},
		{smtp.Reply{Code: 550, Lines: []string{"no"}}, "550 no", false},
	} {
		if got := tt.r.String(); got != tt.text {
			t.Errorf("got %q, want %q", got, tt.text)
		}
		if got := tt.r.Positive(); got != tt.positive {
			t.Errorf("%s: Positive: got %v, want %v", tt.text, got, tt.positive)
		}
	}
}

func TestEnhanced(t *testing.T) {
	for _, tt := range []struct {
		reply smtp.Reply
		want  string
	}{
		{smtp.Reply{Code: 550, Lines: []string{"2.1.5 ok", "5.7.1 no"}}, "5.7.1"},
		{smtp.Reply{Code: 550, Lines: []string{"5.7.1 no", "5.7.0 never"}}, "5.7.1"},
		{smtp.Reply{Code: 553, Lines: []string{"#5.7.1 no"}}, "5.7.1"},
		{smtp.Reply{Code: 550, Lines: []string{"5.7.606 no"}}, "5.7.606"},
		{smtp.Reply{Code: 554, Lines: []string{"4.7.1 no"}}, "4.7.1"},
		{smtp.Reply{Code: 550, Lines: []string{"5.7.1x no", "1.2.3.4 no", "5.7 no", strings.Repeat("5", 99)}}, ""},
		{smtp.Reply{}, ""},
	} {
		if got := tt.reply.Enhanced(); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.reply, got, tt.want)
		}
	}
}
