package report

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/olekukonko/tablewriter/pkg/twwidth"

	"relaysweep/probe/smtp"
)

// raw makes text from the network safe to show: greetings, names, products.
func raw(s string) string { return smtp.Escape(s) }

// plain makes text safe to show whose hostile parts were escaped before, such as reasons and transcripts: backslashes
// stay single.
func plain(s string) string { return escape(s, false) }

// Escape makes text safe to show: whatever is not printable becomes \xHH, byte for byte.
func Escape(s string) string { return plain(s) }

// ASCII is Escape for places where a format leaves the encoding open: what is not ASCII becomes \u{HEX}.
func ASCII(s string) string { return ascii(plain(s)) }

// lines is plain for text of several lines.
func lines(s string) string { return escape(s, true) }

func escape(s string, keepLF bool) string {
	if printable(s, keepLF) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case keepLF && r == '\n':
			b.WriteByte('\n')
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

func printable(s string, keepLF bool) bool {
	for i, r := range s {
		if keepLF && r == '\n' {
			continue
		}
		if !unicode.IsPrint(r) || r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD") {
			return false
		}
	}
	return true
}

// shorten escapes and clips text to n bytes at most, plus a mark.
func shorten(s string, n int) string {
	if s = plain(s); len(s) > n {
		s = strings.TrimRight(strings.ToValidUTF8(s[:n], ""), " ") + "…"
	}
	return s
}

// width is how many columns text takes. Ambiguous characters count as one, whatever the locale: the terminal decides,
// and most agree.
func width(s string) int { return twwidth.WidthWithOptions(s, twwidth.Options{}) }

// truncate cuts text to n columns, ending in the mark where something is lost.
func truncate(s string, n int, mark string) string {
	if width(s) <= n {
		return s
	}
	room := n - width(mark)
	if room < 0 {
		return ""
	}
	var b strings.Builder
	used := 0
	for _, r := range s {
		w := width(string(r))
		if used+w > room {
			break
		}
		b.WriteRune(r)
		used += w
	}
	return strings.TrimRight(b.String(), " ") + mark
}

// wrap breaks text at blanks into a first line and further lines of at most so many columns. What is longer than a line
// is broken where the line ends.
func wrap(s string, first, rest int) []string {
	room, rest := max(first, 8), max(rest, 8)
	var out []string
	line, used := "", 0
	flush := func() {
		if line != "" {
			out = append(out, line)
			room = rest
		}
		line, used = "", 0
	}
	for word := range strings.FieldsSeq(s) {
		w := width(word)
		if used > 0 && used+1+w > room {
			flush()
		}
		for w > room {
			head := cut(word, room)
			line = head
			flush()
			word = word[len(head):]
			w = width(word)
		}
		if word == "" {
			continue
		}
		if used > 0 {
			line, used = line+" ", used+1
		}
		line, used = line+word, used+w
	}
	flush()
	return out
}

// fold breaks a line that must keep its blanks, such as one of a transcript.
func fold(s string, n int) []string {
	n = max(n, 8)
	var out []string
	for width(s) > n {
		head := cut(s, n)
		out = append(out, head)
		s = s[len(head):]
	}
	return append(out, s)
}

// cut is the longest head of s that fits n columns, one character at least.
func cut(s string, n int) string {
	used := 0
	for i, r := range s {
		w := width(string(r))
		if used+w > n && i > 0 {
			return s[:i]
		}
		used += w
	}
	return s
}

// ascii replaces what is not ASCII: the marks that we use by their likes, the rest by its code point.
func ascii(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case r == '…':
			b.WriteString("...")
		case r == '─':
			b.WriteByte('-')
		default:
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
	}
	return b.String()
}
