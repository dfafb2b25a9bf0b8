package probe

import (
	"bufio"
	"net"
	"os"
	"strings"
	"testing"

	"relaysweep/probe/smtp"
)

// read reads a reply as it comes from the wire.
func read(t *testing.T, code string, lines []string) smtp.Reply {
	t.Helper()
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		for i, l := range lines {
			sep := "-"
			if i == len(lines)-1 {
				sep = " "
			}
			if _, err := server.Write([]byte(code + sep + l + "\r\n")); err != nil {
				return
			}
		}
	}()
	c := smtp.NewConn(client, smtp.Limits{})
	defer c.Close()
	r, err := c.Greeting(t.Context())
	if err != nil {
		t.Fatalf("%s %q: %v", code, lines, err)
	}
	return r
}

// row is one row of testdata/replies.txt.
type row struct {
	server, stage string
	auth          bool
	class         answer
	verdict       string
	reply         smtp.Reply
}

func rows(t *testing.T) []row {
	t.Helper()
	f, err := os.Open("testdata/replies.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []row
	server := ""
	scan := bufio.NewScanner(f)
	for n := 1; scan.Scan(); n++ {
		line := strings.TrimSpace(scan.Text())
		if name, ok := strings.CutPrefix(line, "= "); ok {
			server = name
			continue
		}
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.SplitN(line, "|", 4)
		if len(f) != 4 {
			t.Fatalf("replies.txt:%d: want four fields", n)
		}
		for i := range f {
			f[i] = strings.TrimSpace(f[i])
		}
		stage, auth := strings.CutSuffix(f[0], "+auth")
		text := f[3][3:]
		if text != "" {
			text = text[1:]
		}
		out = append(out, row{server, stage, auth, answer(f[1]), f[2], read(t, f[3][:3], strings.Split(text, `\n`))})
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// at puts a reply where it was given: those before it were positive.
func (r row) at(a Attempt) (Attempt, stage) {
	ok := smtp.Reply{Code: 250, Lines: []string{"ok"}}
	a.AuthOffered = r.auth
	switch r.stage {
	case "mail":
		a.Mail = r.reply
		return a, atMail
	case "rcpt":
		a.Mail, a.Rcpt = ok, r.reply
		return a, atRcpt
	case "data":
		a.Mail, a.Rcpt, a.Data = ok, ok, r.reply
		return a, atData
	case "end":
		a.Mail, a.Rcpt, a.Data, a.End = ok, ok, smtp.Reply{Code: 354}, r.reply
		return a, atEnd
	}
	panic("no stage " + r.stage)
}

// Texts of real servers: what they mean, and what a plain vector makes of them.
func TestReplies(t *testing.T) {
	servers := make(map[string]bool)
	all := rows(t)
	for _, r := range all {
		servers[r.server] = true
		a, stage := r.at(Attempt{Vector: "S1", HELO: "scanner.example"})
		if got := classify(stage, r.reply, r.auth); got != r.class {
			t.Errorf("%s, %s, %s: got class %q, want %q", r.server, r.stage, r.reply, got, r.class)
		}
		if got := a.Verdict().String(); got != r.verdict {
			t.Errorf("%s, %s, %s: got verdict %s, want %s", r.server, r.stage, r.reply, got, r.verdict)
		}
		if got := a.stage(); got != stage {
			t.Errorf("%s, %s, %s: got stage %d, want %d", r.server, r.stage, r.reply, got, stage)
		}
	}
	if len(all) < 80 || len(servers) < 10 {
		t.Errorf("%d rows of %d servers, want 80 of 10", len(all), len(servers))
	}
}

// The same texts without their words: the codes alone never turn a doubt into a refusal for us, nor the reverse for
// the codes that mean relaying.
func TestRepliesOfOtherLanguages(t *testing.T) {
	for _, tt := range []struct {
		stage, reply, verdict string
		class                 answer
	}{
		{"rcpt", "550 5.7.1 中継は許可されていません", "refused", relayDenied},
		{"rcpt", "554 5.7.1 Accès refusé", "refused", relayDenied},
		{"rcpt", "551 nein", "refused", relayDenied},
		{"rcpt", "550 5.7.54 nein", "refused", relayDenied},
		{"rcpt", "550 5.7.64 nein", "refused", relayDenied},
		{"mail", "550 5.7.57 nein", "refused", authNeeded},
		{"mail", "530 nein", "refused", authNeeded},
		{"rcpt", "530 5.7.0 nein", "refused", authNeeded},
		{"rcpt", "550 5.1.1 nein", "refused", recipientBad},
		{"rcpt", "553 5.1.3 nein", "refused", routeRefused},
		{"rcpt", "553 5.1.8 nein", "unknown", senderRefused},
		{"mail", "553 5.1.8 nein", "unknown", senderRefused},
		{"mail", "550 nein", "unknown", senderRefused},
		{"rcpt", "450 nein", "unknown", greylisted},
		{"rcpt", "451 4.7.1 nein", "unknown", greylisted},
		{"rcpt", "454 4.7.0 nein", "unknown", greylisted},
		{"rcpt", "452 nein", "unknown", tooMany},
		{"rcpt", "421 nein", "unknown", tooMany},
		{"rcpt", "500 nein", "unknown", syntaxError},
		{"rcpt", "555 nein", "unknown", syntaxError},
		{"data", "554 nein", "refused", policy},
		{"data", "451 nein", "unknown", greylisted},
		{"end", "554 nein", "unknown", policy},
		{"end", "552 nein", "unknown", policy},
	} {
		r := row{stage: tt.stage, reply: read(t, tt.reply[:3], []string{tt.reply[4:]})}
		a, stage := r.at(Attempt{Vector: "S1"})
		if got := classify(stage, r.reply, false); got != tt.class {
			t.Errorf("%s, %s: got class %q, want %q", tt.stage, tt.reply, got, tt.class)
		}
		if got := a.Verdict().String(); got != tt.verdict {
			t.Errorf("%s, %s: got verdict %s, want %s", tt.stage, tt.reply, got, tt.verdict)
		}
	}
}

// What a reply means depends on the vector: a refused sender closes the vectors that forge one, a syntax error those
// whose form is odd.
func TestVerdictOfVectors(t *testing.T) {
	plain, forged, odd, route := Attempt{Vector: "S1"}, Attempt{Vector: "S6", Forged: true}, Attempt{Vector: "R17", Odd: true}, Attempt{Vector: "R1", Route: true}
	for _, tt := range []struct {
		name, stage, reply string
		a                  Attempt
		want               string
	}{
		{"our own sender is refused", "mail", "553 5.1.8 domain of sender does not exist", plain, "unknown"},
		{"a forged sender is refused", "mail", "553 5.1.8 domain of sender does not exist", forged, "refused"},
		{"a forged sender is refused at RCPT", "rcpt", "550 5.7.1 sender address rejected", forged, "refused"},
		{"a forged sender is a syntax error", "mail", "501 5.1.7 bad sender address syntax", forged, "refused"},
		{"our own sender is a syntax error", "mail", "501 5.5.4 syntax error", plain, "unknown"},
		{"an odd form is a syntax error", "rcpt", "501 5.5.4 syntax error", odd, "refused"},
		{"a route form is a syntax error", "rcpt", "501 malformed", route, "refused"},
		{"a plain form is a syntax error", "rcpt", "501 5.5.4 syntax error", plain, "unknown"},
		{"an odd form is greylisted", "rcpt", "450 4.2.0 greylisted", odd, "unknown"},
		{"a route form is refused because of us", "rcpt", "554 5.7.1 client host blocked using x", route, "unknown"},
		{"a forged sender is refused because of us", "mail", "554 5.7.1 client host blocked using x", forged, "unknown"},
	} {
		r := row{stage: tt.stage, reply: read(t, tt.reply[:3], []string{tt.reply[4:]})}
		a, _ := r.at(tt.a)
		if got := a.Verdict().String(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// A reply is never longer than what is shown, and what is shown has no control bytes.
func TestReasonsAreSafeToShow(t *testing.T) {
	a := Attempt{Vector: "S1", Mail: smtp.Reply{Code: 250}, Rcpt: smtp.Reply{Code: 550, Lines: []string{"\x1b[2J" + strings.Repeat("ü", 5000)}}}
	if got := a.Reason(); len(got) > 200 || strings.ContainsAny(got, "\x1b\r\n") {
		t.Errorf("got %d bytes: %q", len(got), got)
	}
}
