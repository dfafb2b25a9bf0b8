package probe_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"relaysweep/discover"
	"relaysweep/probe"
)

// lax is a relay for all that takes more than it should: other ends of data than CRLF . CRLF, and what was sent in clear
// behind STARTTLS.
type lax struct {
	ends     []string // of data, beside the true one
	bareLF   bool     // it hangs up on a line of content that ends in LF alone, and says why
	config   *tls.Config
	injected bool // it takes what came behind STARTTLS for the first command inside
	anew     bool // it greets again inside

	mu       sync.Mutex
	messages []string // the recipient and all bytes of content, with the end that it took
}

func (l *lax) talk(c net.Conn, in *bufio.Reader) {
	io.WriteString(c, "220 mx.org.example ESMTP\r\n")
	to := ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		reply := "250 ok\r\n"
		switch verb, _, _ := strings.Cut(line, " "); verb {
		case "EHLO":
			if l.config != nil {
				reply = "250-mx.org.example\r\n250 STARTTLS\r\n"
			}
		case "RCPT":
			to = strings.TrimPrefix(line, "RCPT TO:")
		case "DATA":
			io.WriteString(c, "354 go on\r\n")
			content, ok := l.content(in)
			l.mu.Lock()
			l.messages = append(l.messages, to+" "+content)
			l.mu.Unlock()
			if !ok {
				io.WriteString(c, "521 5.5.2 bare <LF> received\r\n")
				return
			}
			reply = "250 queued\r\n"
		case "STARTTLS":
			io.WriteString(c, "220 go on\r\n")
			behind := make([]byte, in.Buffered()) // one segment came in one piece
			io.ReadFull(in, behind)
			inside := tls.Server(c, l.config)
			if inside.Handshake() != nil {
				return
			}
			c, in = inside, bufio.NewReader(inside)
			reply = ""
			if l.anew {
				reply = "220 mx.org.example ESMTP\r\n"
			}
			if l.injected && len(behind) > 0 {
				reply += "250 ok\r\n"
			}
		case "QUIT":
			io.WriteString(c, "221 bye\r\n")
			return
		}
		io.WriteString(c, reply)
	}
}

// content reads until an end of data. It is not ok where the server hangs up on it.
func (l *lax) content(in *bufio.Reader) (content string, ok bool) {
	for {
		b, err := in.ReadByte()
		if err != nil {
			return content, false
		}
		content += string(b)
		if l.bareLF && b == '\n' && !strings.HasSuffix(content, "\r\n") {
			return content, false
		}
		for _, end := range append([]string{"\r\n.\r\n"}, l.ends...) {
			if strings.HasSuffix(content, end) {
				return content, true
			}
		}
	}
}

// An end of data that is none, and that a server takes all the same, is found and named; nobody but the sink gets a
// message for it. A server that takes the true end alone has no such finding.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	const asked = 11 // S1 and ten false ends
	var all sync.WaitGroup
	defer all.Wait()
	for _, tt := range []struct {
		name     string
		server   *lax
		words    []string
		stop     probe.Verdict
		ends     []string // that are found
		messages int
	}{
		{"LF . LF ends data", &lax{ends: []string{"\n.\n"}}, []string{"S1", "+smuggling"}, probe.Delivered, []string{`\n.\n`, `\r\n.\n`}, asked},
		{"CRLF . LF ends data", &lax{ends: []string{"\r\n.\n"}}, []string{"S1", "+smuggling"}, probe.Delivered, []string{`\r\n.\n`}, asked},
		{"CR . CR ends data", &lax{ends: []string{"\r.\r"}}, []string{"S1", "+smuggling"}, probe.Delivered, []string{`\r.\r`, `\r.\r\n`}, asked},
		{"CRLF . CRLF alone ends data", &lax{}, []string{"S1", "+smuggling"}, probe.Delivered, nil, asked},
		{"it hangs up on LF alone", &lax{bareLF: true}, []string{"S1", "+smuggling"}, probe.Delivered, nil, asked},
		{"the scan stops at ready", &lax{ends: []string{"\n.\n"}}, []string{"S1", "+smuggling"}, probe.Ready, nil, 1},
		{"it was not asked for", &lax{ends: []string{"\n.\n"}}, []string{"S1"}, probe.Delivered, nil, 1},
	} {
		p := prober()
		p.StopAt, p.Vectors = tt.stop, selected(t, tt.words...)
		addr := listen(t, tt.server.talk)
		all.Go(func() { // together, as each false end that is none costs two seconds
			f, err := p.Probe(t.Context(), opening(addr))
			if err != nil {
				t.Error(err)
				return
			}
			if !equal(f.EndsData, tt.ends) {
				t.Errorf("%s: found %v, want %v\n%s", tt.name, f.EndsData, tt.ends, show(f))
			}
			tt.server.mu.Lock()
			defer tt.server.mu.Unlock()
			if len(tt.server.messages) != tt.messages {
				t.Errorf("%s: %d times content, want %d", tt.name, len(tt.server.messages), tt.messages)
			}
			ours := make(map[string]bool)
			for _, m := range tt.server.messages {
				to, content, _ := strings.Cut(m, " ")
				canary := strings.TrimSuffix(strings.TrimPrefix(to, "<"), "@"+canaryDomain+">")
				own := f.Others[canary] == "I11" || canary == f.Attempts[0].Canary
				if !own || ours[canary] || content != "" && !strings.Contains(content, "X-Relaysweep-Canary: "+canary+"\r\n") {
					t.Errorf("%s: a message that is nobody's of ours, or comes twice: %q", tt.name, m)
				}
				ours[canary] = true
			}
		})
	}
}

// What was sent in clear behind STARTTLS and is answered inside TLS was injected. A server that forgets it has no such
// finding, nor has one that greets again inside.
func TestInjection(t *testing.T) {
	t.Parallel()
	config := certificate(t, "mx.org.example")
	var all sync.WaitGroup
	defer all.Wait()
	for _, tt := range []struct {
		name   string
		server *lax
		words  []string
		want   bool
	}{
		{"it is answered inside", &lax{config: config, injected: true}, []string{"S1", "+injection"}, true},
		{"it is forgotten", &lax{config: config}, []string{"S1", "+injection"}, false},
		{"it is forgotten, and the server greets again", &lax{config: config, anew: true}, []string{"S1", "+injection"}, false},
		{"STARTTLS is not offered", &lax{}, []string{"S1", "+injection"}, false},
		{"it was not asked for", &lax{config: config, injected: true}, []string{"S1"}, false},
	} {
		p := prober()
		p.Vectors = selected(t, tt.words...)
		heard := 0
		p.Before = func(_ discover.Target, _ netip.AddrPort, vector string) error {
			if vector == "I12" {
				heard++
			}
			return nil
		}
		addr := listen(t, tt.server.talk)
		all.Go(func() {
			f, err := p.Probe(t.Context(), opening(addr))
			if err != nil {
				t.Error(err)
				return
			}
			if f.Injected != tt.want || f.Verdict() != probe.Ready {
				t.Errorf("%s: got %t and %s, want %t and ready\n%s", tt.name, f.Injected, f.Verdict(), tt.want, show(f))
			}
			want := 0
			if slices.Contains(tt.words, "+injection") && tt.server.config != nil {
				want = 1
			}
			if heard != want {
				t.Errorf("%s: the audit log heard %d times of I12, want %d", tt.name, heard, want)
			}
		})
	}
}
