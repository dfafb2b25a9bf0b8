package probe_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"relaysweep/probe"
)

// qmtpServer takes packages as qmail-qmtpd does, and answers every recipient with one word. It keeps what it was sent.
type qmtpServer struct {
	answer string

	mu       sync.Mutex
	messages []string
	senders  []string
	rcpts    []string
}

func (q *qmtpServer) serve(c net.Conn, r *bufio.Reader) {
	for {
		var part [3]string
		for i := range part {
			var ok bool
			if part[i], ok = readNetstring(r); !ok {
				return
			}
		}
		rcpt, _ := readNetstring(bufio.NewReader(strings.NewReader(part[2])))
		q.mu.Lock()
		q.messages, q.senders, q.rcpts = append(q.messages, part[0]), append(q.senders, part[1]), append(q.rcpts, rcpt)
		q.mu.Unlock()
		fmt.Fprintf(c, "%d:%s,", len(q.answer), q.answer)
	}
}

func readNetstring(r *bufio.Reader) (string, bool) {
	digits := ""
	for {
		b, err := r.ReadByte()
		switch {
		case err != nil:
			return "", false
		case b == ':' && digits != "":
			n, _ := strconv.Atoi(digits)
			text := make([]byte, n+1)
			_, err := io.ReadFull(r, text)
			return string(text[:n]), err == nil && text[n] == ','
		case b < '0' || b > '9':
			return "", false
		}
		digits += string(b)
	}
}

// QMTP has no way to ask without a message: it is named, and tested only where a canary may go out.
func TestQMTP(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, answer string
		stop         probe.Verdict
		verdict      probe.Verdict
		class        probe.Class
		messages     int
	}{
		{"stops at ready", "Kok 1 qp 2", probe.Ready, probe.Unknown, probe.NotSMTP, 0},
		{"relays", "Kok 1 qp 2", probe.Delivered, probe.Queued, probe.Sink, 1},
		{"refuses", "Dsorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", probe.Delivered, probe.Refused, probe.ClosedRelay, 1},
		{"puts off", "Zqqt failure (#4.3.0)", probe.Delivered, probe.Unknown, probe.Undetermined, 1},
		{"garbles", "", probe.Delivered, probe.Unknown, probe.Undetermined, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			q := &qmtpServer{answer: tt.answer}
			addr := listen(t, q.serve)
			p := prober()
			p.StopAt = tt.stop
			p.Limits.Greeting, p.MailPorts = 300e6, []uint16{addr.Port()}
			p.Vectors = selected(t, "+qmtp")
			f, err := p.Probe(t.Context(), opening(addr))
			if err != nil {
				t.Fatal(err)
			}
			if f.Protocol != "qmtp" || f.Verdict() != tt.verdict || f.Class() != tt.class {
				t.Errorf("got %s, %s, %s, want qmtp, %s, %s\n%s", f.Protocol, f.Verdict(), f.Class(), tt.verdict, tt.class, show(f))
			}
			q.mu.Lock()
			defer q.mu.Unlock()
			if len(q.messages) != tt.messages {
				t.Fatalf("sent %d messages, want %d", len(q.messages), tt.messages)
			}
			for i, m := range q.messages {
				canary := f.Attempts[0].Canary
				if !strings.HasPrefix(m, "\nFrom: <"+canary+"-b@example.net>\n") || q.senders[i] != canary+"-b@example.net" || q.rcpts[i] != canary+"@example.net" {
					t.Errorf("sent %q from %s to %s", m, q.senders[i], q.rcpts[i])
				}
			}
		})
	}
}
