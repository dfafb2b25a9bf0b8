package canary

import (
	"errors"
	"math"
	"slices"
	"strings"
)

// brackets follows what an IMAP server sends, and refuses brackets in brackets in brackets: the library calls itself for
// each that is open, and Go ends a program whose stack outgrows what it allows.
//
// It must never take for text, for a quoted string or for a literal what the library reads as a list: brackets do not
// count there. So it takes less than RFC 9051 allows, though all that an honest server answers to what we ask:
//
//   - OK [CODE] text        a code ends on its line; text counts for nothing, nor does what follows a tag or a +
//   - 1 FETCH (… {42}       literals are what is asked for, parts of messages: nothing else has one
//   - LIST (…) "/" "name"   a quoted string ends on its line
type brackets struct {
	state bracketState
	head  []byte // of a line whose kind is not known yet
	fetch bool   // the line tells of a message
	depth int    // brackets that are open on the line
	size  int64  // of a literal, what is left of it
}

type bracketState int8

const (
	lineStart bracketState = iota
	inData                 // of what is no text
	inQuoted               // string
	escaped                // character of one
	inSize                 // of a literal
	afterSize              // of a literal
	inLiteral
	afterStatus // OK and its like: a code may follow
	inCode
	inText
)

// maxDepth bounds brackets. What we ask for has two, and nothing that servers say unasked has many more.
const maxDepth = 50

var (
	errTooDeep = errors.New("the server opens too many brackets in one another")
	errMuddled = errors.New("the server sends what nobody can tell from a list: a quoted string or a code of two lines, or a literal that was not asked for")
)

// follow reads what came next.
func (s *brackets) follow(b []byte) error {
	for len(b) > 0 {
		if s.state == inLiteral {
			n := min(int64(len(b)), s.size)
			b, s.size = b[n:], s.size-n
			if s.size == 0 {
				s.state = inData
			}
			continue
		}
		if err := s.next(b[0]); err != nil {
			return err
		}
		b = b[1:]
	}
	return nil
}

func (s *brackets) next(c byte) error {
	switch s.state {
	case lineStart:
		return s.begin(c)
	case inData:
		return s.data(c)
	case inQuoted:
		switch c {
		case '"':
			s.state = inData
		case '\\':
			s.state = escaped
		case '\n':
			return errMuddled
		}
	case escaped:
		if s.state = inQuoted; c == '\n' {
			return errMuddled
		}
	case inSize:
		switch {
		case c >= '0' && c <= '9' && s.size <= (math.MaxInt64-9)/10:
			s.size = s.size*10 + int64(c-'0')
		case c == '}':
			s.state = afterSize
		default:
			return errMuddled
		}
	case afterSize:
		switch {
		case c == '\n' && s.size == 0:
			s.state = inData
		case c == '\n':
			s.state = inLiteral
		case c != '\r':
			return errMuddled
		}
	case afterStatus:
		if s.state = inText; c == '[' {
			s.state = inCode
			return nil
		}
		return s.next(c)
	case inCode:
		switch c {
		case ']':
			s.state = inText
		case '\n':
			return errMuddled
		}
	case inText:
		if c == '\n' {
			*s = brackets{head: s.head[:0]}
		}
	}
	return nil
}

func (s *brackets) data(c byte) error {
	switch c {
	case '(':
		if s.depth++; s.depth > maxDepth {
			return errTooDeep
		}
	case ')':
		s.depth--
	case '"':
		s.state = inQuoted
	case '{':
		// Elsewhere the library would hold it in memory, or read on in one that it finds too large.
		if !s.fetch || s.depth != 1 {
			return errMuddled
		}
		s.state, s.size = inSize, 0
	case '\n':
		*s = brackets{head: s.head[:0]}
	}
	return nil
}

// begin reads the words of a line that say what it is: a tag or a star, a number, a name.
func (s *brackets) begin(c byte) error {
	end := c <= ' ' || strings.IndexByte(`()"{`, c) >= 0
	if !end && len(s.head) < 100 {
		if s.head = append(s.head, c); len(s.head) == 1 && c == '+' {
			s.state = inText
		}
		return nil
	}
	words := strings.Split(string(s.head), " ")
	number := len(words) > 1 && words[1] != "" && strings.Trim(words[1], "0123456789") == ""
	if c == ' ' && (len(words) == 1 || len(words) == 2 && words[0] == "*" && number) {
		s.head = append(s.head, c)
		return nil
	}
	s.state = inData
	name := strings.ToUpper(words[len(words)-1])
	switch {
	case len(words) == 1: // nothing that the library reads
	case words[0] != "*", slices.Contains([]string{"OK", "NO", "BAD", "BYE", "PREAUTH"}, name):
		if c == ' ' {
			s.state = afterStatus
			return nil
		}
	case number && len(words) == 3:
		s.fetch = name == "FETCH"
	}
	return s.next(c)
}
