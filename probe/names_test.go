package probe

import (
	"net/netip"
	"strings"
	"testing"
)

// What a stranger calls itself goes into our commands only if it is a plain host name.
func TestHostName(t *testing.T) {
	for _, tt := range []struct {
		name string
		want bool
	}{
		{"mx.example", true},
		{"MX-1.Example", true},
		{"1and1.example", true},
		{"xn--bcher-kva.example", true},
		{strings.Repeat("a", 63) + ".example", true},
		{"", false},
		{"localhost", false},
		{"mx.example>", false},
		{"mx.example\r\nMAIL", false},
		{"mx .example", false},
		{"a@b.example", false},
		{"{t}.example", false},
		{"*.example", false},
		{"mx..example", false},
		{".example", false},
		{"mx.example.", false},
		{"-mx.example", false},
		{"mx-.example", false},
		{"m_x.example", false},
		{"bücher.example", false},
		{"192.0.2.1", false},
		{strings.Repeat("a", 64) + ".example", false},
		{strings.Repeat("a.", 130) + "example", false},
	} {
		if got := hostName(tt.name); got != tt.want {
			t.Errorf("%q: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// However many names are known, the number of attempts stays what a server bears; each has a token of its own, and no
// placeholder is left in what is sent.
func TestSteps(t *testing.T) {
	many := func(domain string) (out []string) {
		for i := range 50 {
			out = append(out, strings.Repeat("x", i+1)+domain)
		}
		return out
	}
	for _, tt := range []struct {
		name  string
		n     names
		least int
		most  int
	}{
		{"nothing known", names{canary: "example.net", hello: "scanner.example", addr: netip.MustParseAddr("192.0.2.1")}, 20, 26},
		{"one of each", names{canary: "example.net", hello: "scanner.example", addr: netip.MustParseAddr("192.0.2.1"), domains: []string{"org.example"}, hosts: []string{"mx.org.example"}, senders: []string{"alice@org.example"}}, 52, 52},
		{"fifty of each, by IPv6", names{canary: "example.net", hello: "scanner.example", addr: netip.MustParseAddr("2001:db8::1"), domains: many(".example"), hosts: many(".host.example"), senders: many("@org.example")}, 60, 80},
	} {
		t.Run(tt.name, func(t *testing.T) {
			normal, odd := steps(DefaultVectors(), tt.n, func(name string) string { return "rs-" + name })
			seen, tokens := make(map[string]bool), make(map[string]bool)
			n := 0
			for i, s := range append(normal, odd...) {
				for _, a := range s.attempts {
					n++
					what := a.HELO + "|" + a.From + "|" + a.To
					if !a.TLS && seen[what] {
						t.Errorf("%s is tried twice: %s", a.Form, what)
					}
					seen[what] = true
					if tokens[a.Canary] {
						t.Errorf("%s: the token %s is another's", a.Form, a.Canary)
					}
					tokens[a.Canary] = true
					if strings.ContainsAny(what, "{}") {
						t.Errorf("%s: a placeholder is left: %s", a.Form, what)
					}
					if !strings.Contains(a.To, a.Canary) || !strings.Contains(a.To, "example.net") {
						t.Errorf("%s: RCPT TO:%s is not ours", a.Form, a.To)
					}
					if a.From != s.from || a.Odd != s.odd || s.odd != (i >= len(normal)) {
						t.Errorf("%s: in the wrong step", a.Form)
					}
				}
			}
			if n < tt.least || n > tt.most {
				t.Errorf("%d attempts, want %d to %d", n, tt.least, tt.most)
			}
		})
	}
}

func TestSelectVectors(t *testing.T) {
	for _, tt := range []struct {
		words string
		want  int // vectors; -1: an error
	}{
		{"", len(DefaultVectors())},
		{"default", len(DefaultVectors())},
		{"all", len(Vectors())},
		{"+auth", len(DefaultVectors()) + 4},
		{"default +auth -I3", len(DefaultVectors()) + 2},
		{"+xclient +proxy", len(DefaultVectors()) + 2},
		{"all -smuggling -injection", len(Vectors()) - 2},
		{"S1 +auth", 5},
		{"+", -1},
		{"-all", -1},
		{"S1", 1},
		{"S1 S2 S1", 2},
		{"-S1", len(DefaultVectors()) - 1},
		{"default -S1 -R1", len(DefaultVectors()) - 2},
		{"default -S1 +S1", len(DefaultVectors())},
		{"S99", -1},
		{"-S99", -1},
		{"S1 -S1", -1},
		{"s1", -1},
	} {
		got, err := SelectVectors(Vectors(), strings.Fields(tt.words))
		if (err != nil) != (tt.want < 0) || err == nil && len(got) != tt.want {
			t.Errorf("%q: got %d, %v, want %d", tt.words, len(got), err, tt.want)
		}
	}
}

func TestNameProtocol(t *testing.T) {
	for _, tt := range []struct{ first, want string }{
		{"SSH-2.0-x", "ssh"},
		{"HTTP/1.1 200 OK", "http"},
		{"* OK ready", "imap"},
		{"+OK", "pop3"},
		{"-ERR", "pop3"},
		{"220 FTP server", "ftp"},
		{"220 ProFTPD", "ftp"},
		{"RFB 003.008", "vnc"},
		{"\xff\xfd\x18", "telnet"},
		{"\x15\x03\x01", "tls"},
		{"J\x00\x00\x00\n8.0-MySQL", "mysql"},
		{"200 NNTP ready", "nntp"},
		{"-NOAUTH Authentication required.", "redis"},
		{"@PJL", "printer"},
		{"220 mx.example ESMTP", ""},
		{"220 mx.example SMTP", ""},
		{"200 ok", ""},
		{"", ""},
		{"x SSH-2.0", ""},
		{"554 ftp", ""},
	} {
		if got := nameProtocol([]byte(tt.first)); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.first, got, tt.want)
		}
	}
}
