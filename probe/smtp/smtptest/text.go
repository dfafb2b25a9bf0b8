package smtptest

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A text is what the server says: plain pieces and variables.
type text []piece

// A piece is plain unless variable is set: '1' to '9', or the first letter of
// a name. A variable without a value is said as it was written.
type piece struct {
	plain    string
	variable byte
}

var variables = []string{"$hostname", "$ip", "$line", "$1", "$2", "$3", "$4", "$5", "$6", "$7", "$8", "$9"}

// parseText reads the text of an S: line. The ending is added unless the
// source gives its own, with \n or \c.
func parseText(source, ending string) (text, error) {
	decoded, special, last, err := unescape(source)
	if err != nil {
		return nil, err
	}
	if last == 0 {
		decoded += ending
	}
	var t text
	plain := 0 // start of the piece that is not yet in t
	for i := 0; i < len(special); i++ {
		if decoded[i] != '$' || !special[i] {
			continue
		}
		for _, name := range variables {
			if strings.HasPrefix(decoded[i:], name) {
				t = append(t, piece{plain: decoded[plain:i]}, piece{name, name[1]})
				plain = i + len(name)
				i = plain - 1
				break
			}
		}
	}
	return append(t, piece{plain: decoded[plain:]}), nil
}

// expand puts in the values; stars are $1 to $9.
func (t text) expand(stars []string, value map[byte]string) string {
	var b strings.Builder
	for _, p := range t {
		s := p.plain
		if v, ok := value[p.variable]; ok {
			s = v
		} else if n := int(p.variable) - '1'; n >= 0 && n < len(stars) && n < 9 {
			s = stars[n]
		}
		b.WriteString(s)
	}
	return b.String()
}

// A pattern is the plain text between the stars, folded. Without a star it is
// one text.
type pattern []string

func parsePattern(source string) (pattern, error) {
	decoded, special, last, err := unescape(source)
	if err != nil {
		return nil, err
	}
	if last == 'c' {
		return nil, errors.New(`\c cannot stand in a pattern; remove it`)
	}
	var p pattern
	from := 0
	for i := range special {
		if decoded[i] == '*' && special[i] {
			p = append(p, fold(decoded[from:i]))
			from = i + 1
		}
	}
	return append(p, fold(decoded[from:])), nil
}

// match reports whether the whole line matches, and what each star took.
func (p pattern) match(line string) (stars []string, ok bool) {
	folded := fold(line)
	if len(p) == 1 {
		return nil, folded == p[0]
	}
	first, last := p[0], p[len(p)-1]
	if !strings.HasPrefix(folded, first) {
		return nil, false
	}
	at, end := len(first), len(folded)-len(last)
	if at > end || folded[end:] != last {
		return nil, false
	}
	for _, plain := range p[1 : len(p)-1] {
		i := strings.Index(folded[at:end], plain)
		if i < 0 {
			return nil, false
		}
		stars = append(stars, line[at:at+i])
		at += i + len(plain)
	}
	return append(stars, line[at:end]), true
}

// fold makes equal what a pattern holds for equal: the case of ASCII letters,
// and canary tokens. The length stays.
func fold(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	const token = 20 // characters after "rs-"
	for at := 0; ; {
		i := bytes.Index(b[at:], []byte("rs-"))
		if i < 0 {
			return string(b)
		}
		at += i + len("rs-")
		if len(b)-at < token {
			return string(b)
		}
		if len(bytes.Trim(b[at:at+token], "abcdefghijklmnopqrstuvwxyz234567")) == 0 {
			copy(b[at:], strings.Repeat("?", token))
			at += token
		}
	}
}

// unescape decodes the escapes of texts and patterns. special tells which
// bytes stood there without one. last is 'n' or 'c' when the source ends with
// that escape.
func unescape(source string) (decoded string, special []bool, last byte, err error) {
	var b []byte
	put := func(c byte, plain bool) {
		b, special = append(b, c), append(special, plain)
	}
	for i := 0; i < len(source); i++ {
		if source[i] != '\\' {
			put(source[i], true)
			continue
		}
		if i++; i == len(source) {
			return "", nil, 0, errors.New(`lone \ at the end; write \\`)
		}
		switch c := source[i]; c {
		case 'r':
			put('\r', false)
		case 't':
			put('\t', false)
		case 'n':
			put('\n', false)
			if i == len(source)-1 {
				last = 'n'
			}
		case '\\', '$', '*':
			put(c, false)
		case 'c':
			if i != len(source)-1 {
				return "", nil, 0, errors.New(`\c inside the text; write it at the end`)
			}
			last = 'c'
		case 'x':
			if len(source) < i+3 {
				return "", nil, 0, errors.New(`\x without two digits; write \xHH`)
			}
			v, err := strconv.ParseUint(source[i+1:i+3], 16, 8)
			if err != nil {
				return "", nil, 0, fmt.Errorf(`\x%s is not a byte; write \xHH`, source[i+1:i+3])
			}
			put(byte(v), false)
			i += 2
		default:
			r, _ := utf8.DecodeRuneInString(source[i:])
			return "", nil, 0, fmt.Errorf(`unknown escape \%c; write \\ for a backslash`, r)
		}
	}
	return string(b), special, last, nil
}
