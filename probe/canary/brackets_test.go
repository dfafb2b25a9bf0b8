package canary

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// What honest servers answer passes.
func TestBracketsOfHonestServers(t *testing.T) {
	for _, line := range []string{
		"* OK [CAPABILITY IMAP4rev1 UIDPLUS] ready :-(\r\n",
		"* OK ready, and \"quoted\r\n",
		"* OK\r\n",
		"* PREAUTH [ALERT] down {5}\r\n",
		"+ go on \"(\r\n",
		"* CAPABILITY IMAP4rev1 AUTH=PLAIN LITERAL+\r\n",
		"* FLAGS (\\Answered \\Flagged $MDNSent NonJunk)\r\n* OK [PERMANENTFLAGS (\\Answered \\*)] limited\r\n",
		"* 172 EXISTS\r\n* 1 RECENT\r\n* OK [UNSEEN 12] first\r\n",
		"* LIST (\\HasNoChildren) \"/\" \"a \\\"box\\\" (old\"\r\n",
		"* NAMESPACE ((\"\" \"/\")) NIL ((\"#shared/\" \"/\"))\r\n",
		"* SEARCH 2 84 882\r\n* SEARCH\r\n",
		"* ESEARCH (TAG \"A282\") UID ALL 1:3,5\r\n",
		"* 12 FETCH (FLAGS (\\Seen) MODSEQ (624140003))\r\n",
		"* 12 fetch (UID 7 INTERNALDATE \" 2-Mar-2026 10:00:00 +0900\" BODY[HEADER]<0> {7}\r\n(((((\r\n)\r\n",
		"* 12 FETCH (UID 7 BODY[TEXT]<0> {0}\r\n)\r\n",
		"* 12 FETCH (UID 7 BODY[HEADER]<0> NIL)\r\n",
		"* 12 FETCH (UID 7 BODY[HEADER] \"((((\")\r\n",
		"* 3 EXPUNGE\r\n* ID (\"name\" \"Dovecot\")\r\n",
		"T1 NO [AUTHENTICATIONFAILED] no (really\r\n",
		"T1 OK done\r\n",
	} {
		var s brackets
		all := strings.Repeat(line, 100) // no line leaves anything behind
		if err := s.follow([]byte(all)); err != nil || s.state != lineStart || s.depth != 0 {
			t.Errorf("%q: %v, %+v", line, err, s)
		}
	}
}

// At the bound it passes, and with one bracket more it does not.
func TestBracketsBound(t *testing.T) {
	for _, tt := range []struct {
		name, before string
		open         int // of before
	}{
		{"of a message", "* 1 FETCH (BODY ", 1},
		{"of a message without a number", "* FETCH (BODY ", 1},
		{"of a list", "* LIST ", 0},
		{"of what is not known", "* FROB ", 0},
		{"of an OK that is none", "* OK(", 1},
		{"behind a literal", "* 1 FETCH (BODY[HEADER] {3}\r\n)))", 1},
		{"behind a string", `* 1 FETCH (BODY[HEADER] "))\")"`, 1},
		{"behind those that are closed", "* 1 FETCH (FLAGS ()", 1},
		{"on the next line", "* 1 FETCH (((((\r\n* 1 FETCH (BODY ", 1},
		{"without a line", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := brackets{}
			if err := s.follow([]byte(tt.before + strings.Repeat("(", maxDepth-tt.open))); err != nil {
				t.Fatalf("%v at %d", err, maxDepth)
			}
			if err := s.follow([]byte("(")); err != errTooDeep {
				t.Errorf("got %v, want %v", err, errTooDeep)
			}
		})
	}
}

// FuzzBracketsOfHonestServers: whatever stands in a text, a string and a literal, it passes, and no bracket of it counts.
func FuzzBracketsOfHonestServers(f *testing.F) {
	f.Add("ready", "x", "A: b\r\n")
	f.Add("[x", `\"(`, "((((\"{9}\r\n")
	f.Fuzz(func(t *testing.T, text, quoted, literal string) {
		line := strings.NewReplacer("\r", "", "\n", "")
		text, quoted = line.Replace(text), strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(line.Replace(quoted))
		said := fmt.Sprintf("* OK .%s\r\nT1 NO [X] %[1]s\r\n+ %[1]s\r\n* LIST () \"%s\" x\r\n* 1 FETCH (BODY[HEADER] \"%[2]s\" BODY[TEXT]<0> {%d}\r\n%s UID 1 BODY ", text, quoted, len(literal), literal)
		var s brackets
		if err := s.follow([]byte(said)); err != nil || s.depth != 1 || s.state != inData {
			t.Fatalf("%q: %v, %+v", said, err, s)
		}
		for i := range said { // however it is cut
			var s brackets
			if s.follow([]byte(said[:i])) != nil || s.follow([]byte(said[i:])) != nil || s.depth != 1 {
				t.Fatalf("%q cut at %d: %+v", said, i, s)
			}
		}
	})
}

// FuzzBracketsOfTheLibrary: the library itself never sees more open brackets than the bound, whatever a server says. It
// names a level in its error for each, and tells the structure of a message where it could read it.
func FuzzBracketsOfTheLibrary(f *testing.F) {
	deep := strings.Repeat("(", 300)
	for _, seed := range []string{
		"* 1 FETCH (BODYSTRUCTURE " + deep,
		"* 1 FETCH (BODYSTRUCTURE (\"\r\n* 1 FETCH (BODY[] {1000}\r\n\" \"x\"" + deep,
		"* OK [X y\r\n* 1 FETCH (BODY[] {1000}\r\n* 1 FETCH (BODY " + deep,
		"* LIST () \"\r\n* 1 FETCH (BODY[] {1000}\r\n\" x\r\n* 1 FETCH (BODY " + deep,
		"* 1 FETCH (BODY[] {3}\r\n((( BODY " + deep,
		"* 1 FETCH (BODY (\"A\" \"B\" NIL NIL NIL NIL 1 NIL NIL NIL NIL {5000}\r\n(x)) UID 1)\r\n* 2 FETCH (BODY " + deep,
		"* ESEARCH X {5000}\r\n(x)\r\n* 1 FETCH (BODY " + deep,
		"* OK {1000}\r\n* 1 FETCH (BODY " + deep,
		"* BYE(\"\r\n* 1 FETCH (BODY " + deep,
		"+ \"\r\n* 1 FETCH (BODY " + deep,
		"* 1 FETCH (BODY " + strings.Repeat(`("message" "rfc822" NIL NIL NIL "7bit" 1 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) `, 60),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, said string) {
		if len(said) > 16<<10 {
			return
		}
		conn := &bounded{Conn: &script{Reader: strings.NewReader("* OK [CAPABILITY IMAP4rev1] ready\r\n" + said)}}
		conn.allow(1 << 20)
		var deepest atomic.Int64
		c := imapclient.New(conn, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{Fetch: func(msg *imapclient.FetchMessageData) {
			buf, err := msg.Collect()
			if err != nil || buf.BodyStructure == nil {
				return
			}
			buf.BodyStructure.Walk(func(path []int, _ imap.BodyStructure) bool {
				if len(path) > maxDepth {
					deepest.Store(int64(len(path)))
				}
				return len(path) <= maxDepth
			})
		}}})
		n := int64(0)
		if err := c.Close(); err != nil {
			n = int64(strings.Count(err.Error(), "in body-type"))
		}
		n = max(n, deepest.Load())
		if n > maxDepth {
			t.Errorf("%d levels of %q", n, said)
		}
	})
}

// script is a connection on which the other side says what it has to say, whatever it hears.
type script struct {
	io.Reader
	said bytes.Buffer
}

func (c *script) Write(b []byte) (int, error)      { return c.said.Write(b) }
func (c *script) Close() error                     { return nil }
func (c *script) LocalAddr() net.Addr              { return nil }
func (c *script) RemoteAddr() net.Addr             { return nil }
func (c *script) SetDeadline(time.Time) error      { return nil }
func (c *script) SetReadDeadline(time.Time) error  { return nil }
func (c *script) SetWriteDeadline(time.Time) error { return nil }
