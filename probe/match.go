package probe

import (
	"regexp"
	"regexp/syntax"
	"strings"
)

// matcher finds which of many patterns are in a text. Most alternatives of the table of phrases are a few fixed strings,
// so these are looked for as such, all in one pass; a regular expression is asked only where a word that it needs is
// there. Reading a reply is the work that a scan repeats most often.
type matcher struct {
	byStart map[[needleStart]byte][]needle
	short   []needle // no longer than that
}

// needle is a string that shows a pattern, or, with re, without which the pattern cannot be there.
type needle struct {
	word    string
	pattern int
	re      *regexp.Regexp
}

const (
	needleStart = 3
	maxWords    = 64 // how many fixed strings one alternative may stand for
)

// newMatcher takes at most 64 patterns in RE2 syntax without flags.
func newMatcher(patterns []string) *matcher {
	m := &matcher{byStart: make(map[[needleStart]byte][]needle)}
	for i, p := range patterns {
		for _, alternative := range alternatives(p) {
			for _, n := range needles(alternative) {
				n.pattern = i
				m.add(n)
			}
		}
	}
	return m
}

func (m *matcher) add(n needle) {
	if len(n.word) < needleStart {
		m.short = append(m.short, n)
		return
	}
	key := [needleStart]byte([]byte(n.word[:needleStart]))
	m.byStart[key] = append(m.byStart[key], n)
}

// needles are the strings that show an alternative.
func needles(alternative string) (out []needle) {
	parsed, err := syntax.Parse(alternative, syntax.Perl)
	if err != nil {
		panic(err) // the table is ours
	}
	parsed = parsed.Simplify()
	words, ok := language(parsed)
	if !ok {
		return []needle{{word: required(parsed), re: regexp.MustCompile(alternative)}}
	}
	for _, w := range words {
		out = append(out, needle{word: w})
	}
	return out
}

// in returns the patterns that are in a text, as a set of bits.
func (m *matcher) in(text string) (found uint64) {
	for _, n := range m.short {
		found |= n.shows(text, text)
	}
	for i := 0; i+needleStart <= len(text); i++ {
		for _, n := range m.byStart[[needleStart]byte{text[i], text[i+1], text[i+2]}] {
			if found&(1<<n.pattern) == 0 && strings.HasPrefix(text[i:], n.word) {
				found |= n.shows(n.word, text)
			}
		}
	}
	return found
}

// shows is the needle's pattern as a bit, if the word is there and the whole text agrees.
func (n *needle) shows(where, text string) uint64 {
	if strings.Contains(where, n.word) && (n.re == nil || n.re.MatchString(text)) {
		return 1 << n.pattern
	}
	return 0
}

// alternatives splits at the bars that stand outside of groups and classes.
func alternatives(text string) []string {
	var out []string
	depth, class, start := 0, false, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|' && depth == 0:
			out = append(out, text[start:i])
			start = i + 1
		}
	}
	return append(out, text[start:])
}

// language lists the strings that an expression matches, if they are few.
func language(re *syntax.Regexp) (words []string, ok bool) {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return []string{""}, true
	case syntax.OpLiteral:
		return []string{string(re.Rune)}, re.Flags&syntax.FoldCase == 0
	case syntax.OpCapture:
		return language(re.Sub[0])
	case syntax.OpQuest:
		words, ok = language(re.Sub[0])
		return append(words, ""), ok && len(words) < maxWords
	case syntax.OpCharClass:
		for i := 0; i < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				if words = append(words, string(r)); len(words) > maxWords {
					return nil, false
				}
			}
		}
		return words, true
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			w, ok := language(sub)
			if words = append(words, w...); !ok || len(words) > maxWords {
				return nil, false
			}
		}
		return words, true
	case syntax.OpConcat:
		words = []string{""}
		for _, sub := range re.Sub {
			w, ok := language(sub)
			if !ok || len(words)*len(w) > maxWords {
				return nil, false
			}
			var next []string
			for _, a := range words {
				for _, b := range w {
					next = append(next, a+b)
				}
			}
			words = next
		}
		return words, true
	}
	return nil, false
}

// required is the longest string that every match of an expression holds; it may be empty.
func required(re *syntax.Regexp) (longest string) {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return string(re.Rune)
		}
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if s := required(sub); len(s) > len(longest) {
				longest = s
			}
		}
	}
	return longest
}

// withoutEcho is a reply's text in lower case without what servers repeat of our commands: addresses in angle brackets,
// address literals, tokens. Blanks are single.
func withoutEcho(text string) string {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '<', '[', tokenPrefix[0]:
			if n := echo(text[i:]); n > 0 {
				i += n - 1
				continue
			}
			out = append(out, c)
		case ' ', '\t', '\r', '\n', '\v', '\f':
			if len(out) > 0 && out[len(out)-1] != ' ' {
				out = append(out, ' ')
			}
		default:
			out = append(out, c)
		}
	}
	return strings.ToLower(strings.TrimRight(string(out), " "))
}

// echo is the length of what a server repeats of a command, at the start of a text, or 0.
func echo(s string) int {
	switch s[0] {
	case '<':
		if i := strings.IndexAny(s[1:], "<>"); i >= 0 && s[1+i] == '>' {
			return i + 2
		}
	case '[':
		if i := strings.IndexByte(s, ']'); i > 0 && strings.Trim(s[1:i], "0123456789abcdefABCDEF.:") == "" {
			return i + 1
		}
	case tokenPrefix[0]:
		const length = len(tokenPrefix) + 20
		if len(s) >= length && strings.HasPrefix(s, tokenPrefix) && strings.Trim(s[len(tokenPrefix):length], "abcdefghijklmnopqrstuvwxyz234567") == "" {
			if i := strings.IndexAny(s[length:], " \t\r\n\v\f"); i >= 0 {
				return length + i
			}
			return len(s)
		}
	}
	return 0
}
