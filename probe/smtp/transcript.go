package smtp

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Transcript is a dialogue, verbatim and bounded, in the form of a .dialog file: put into one, it is a fake server
// that behaves the same (package smtptest). Lines end in CRLF unless they say otherwise; control bytes are escaped.
//
//	S: 220 mx.example ESMTP
//	C: EHLO scanner.example
//	= tls
type Transcript struct {
	text  []byte
	limit int
	lost  int
	end   string // the event that ended the connection, or so it seems: it is the last line of its block
	line  string // how the last line of the server ended: "" is CRLF
	last  []byte // the last bytes that the server sent, for naming what is not SMTP
}

func (t *Transcript) String() string {
	if t.lost > 0 {
		return string(t.text) + fmt.Sprintf("# %d more bytes are not kept\n", t.lost)
	}
	return string(t.text) + t.end
}

// Len is the length of the text so far; Since returns what came after such a length.
func (t *Transcript) Len() int { return len(t.text) }

// Since returns the text that was added after Len was n.
func (t *Transcript) Since(n int) string { return string(t.text[min(n, len(t.text)):]) }

// add appends a line. What no longer fits is the end of the transcript: nothing after it is kept, so that it has no
// holes.
func (t *Transcript) add(line string) {
	if t.lost > 0 || len(t.text)+len(line) > t.limit {
		t.lost += len(line)
		return
	}
	t.text = append(t.text, line...)
}

// In a .dialog file * is a glob of the client's lines, and $ begins a variable.
func (t *Transcript) client(line string) {
	if t.end == "= close\n" {
		t.add(t.end)
	}
	t.end = ""
	t.add("C: " + strings.NewReplacer("*", `\*`, "$", `\$`).Replace(Escape(line)) + "\n")
}

func (t *Transcript) event(name string) {
	t.end = ""
	t.add("= " + name + "\n")
}

// ends notes how the connection seems to have ended. Where more follows, a server was silent and then was not.
func (t *Transcript) ends(name string) { t.end = "= " + name + "\n" }

func (t *Transcript) note(format string, args ...any) {
	t.add("# " + Escape(fmt.Sprintf(format, args...)) + "\n")
}

// server adds bytes that the server sent, a line a row.
func (t *Transcript) server(b []byte) {
	t.last = append([]byte(nil), b[:min(len(b), 256)]...)
	t.end = ""
	for line := range strings.Lines(string(b)) {
		end := `\c`
		if text, ok := strings.CutSuffix(line, "\r\n"); ok {
			line, end = text, ""
		} else if text, ok := strings.CutSuffix(line, "\n"); ok {
			line, end = text, `\n`
		}
		t.add("S: " + strings.ReplaceAll(Escape(line), "$", `\$`) + end + "\n")
		t.line = end
	}
}

// behind adds bytes that the server sent in one piece with the line before them, so that a fake server does the same.
func (t *Transcript) behind(b []byte) {
	t.last = append([]byte(nil), b[:min(len(b), 256)]...)
	rest := strings.ReplaceAll(Escape(string(b)), "$", `\$`)
	if !bytes.HasSuffix(b, []byte("\n")) {
		rest += `\c`
	}
	if t.line == "" {
		rest = `\r\n` + rest
	}
	if t.lost > 0 || len(t.text) == 0 {
		t.lost += len(rest)
		return
	}
	t.text = t.text[:len(t.text)-1] // the end of that line's row
	if t.add(rest + "\n"); t.lost > 0 {
		t.text = append(t.text, '\n')
	}
}

// Escape makes text safe to show: what is not printable becomes \xHH, a backslash is doubled.
func Escape(s string) string {
	plain := func(c byte) bool { return c >= ' ' && c <= '~' && c != '\\' }
	clean := 0
	for clean < len(s) && plain(s[clean]) {
		clean++
	}
	if clean == len(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == utf8.RuneError && n <= 1, !unicode.IsPrint(r):
			for _, c := range []byte(s[i : i+n]) {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}
