package smtptest

import (
	"slices"
	"strings"
	"testing"
)

const openRelay = `
# a server that relays for anyone
= any order
= hostname mx.example
= max errors 20 421 4.7.0 $hostname Error: too many errors
S: 220 $hostname ESMTP Postfix
C: EHLO *
S: 250-$hostname
S: 250 STARTTLS
C: STARTTLS
S: 220 2.0.0 Ready to start TLS
= tls
C: MAIL FROM:*
S: 250 2.1.0 Ok
= set mail
C: RCPT TO:*
= if not mail
S: 503 5.5.1 Error: need MAIL command
C: RCPT TO:<*>
S: 250 2.1.5 Ok <$1>
C: DATA
S: 354 End data with <CR><LF>.<CR><LF>
= data
= clear mail
S: 250 2.0.0 Ok: queued
C: QUIT
S: 221 2.0.0 Bye
= close
`

func TestParse(t *testing.T) {
	for _, tt := range []struct{ name, file string }{
		{"open relay", openRelay},
		{"greeting only", "S: 220 hi"},
		{"silence", "= hang"},
		{"noise", `S: \x16\x03\x01\xff\c` + "\n= reset"},
		{"no space after the colon", "S:220 hi\nC:QUIT\n=close"},
		{"CRLF file with byte order mark", "\ufeffS: 220 hi\r\nC: QUIT\r\n= close\r\n"},
		{"indented", "\t\tS: 220 hi\n\t\t= close\n"},
		{"TLS before anything is said", "= tls\nS: 220 hi"},
		{"header after a directive", "= wait 1s\n= any order\nS: 220 hi"},
		{"several conditions", "C: A\n= if a\n= if not b\nS: 250 ok"},
		{"everything else", "= implicit tls\n= max connections 2\n= rewrite <*%*@*> -> $1@$2\nC: A\n= drip 0s\n= count a 0\n= data\n= relay"},
		{"close in two blocks", "C: A\n= if a\n= close\nC: B\n= close"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse("x.dialog", strings.NewReader(tt.file)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct{ file, want string }{
		{"", `x.dialog line 1: the server would do nothing; write an S: line, a C: line or = hang`},
		{"# a\n\n", `x.dialog line 3: the server would do nothing; write an S: line, a C: line or = hang`},
		{"S: 220 hi\nEHLO", `x.dialog line 2: cannot read "EHLO"; a line starts with S: or C: or = or #`},
		{"S: a\x80", `x.dialog line 1: not UTF-8; write such a byte as \xHH`},
		{`S: a\`, `x.dialog line 1: lone \ at the end; write \\`},
		{`S: a\q`, `x.dialog line 1: unknown escape \q; write \\ for a backslash`},
		{`S: a\x4`, `x.dialog line 1: \x without two digits; write \xHH`},
		{`S: a\xzz`, `x.dialog line 1: \xzz is not a byte; write \xHH`},
		{`S: a\cb`, `x.dialog line 1: \c inside the text; write it at the end`},
		{`C: a\c`, `x.dialog line 1: \c cannot stand in a pattern; remove it`},
		{"= wiat 3s", `x.dialog line 1: unknown directive "wiat 3s"; write one of: any order, implicit tls, hostname, max connections, max errors, rewrite, if, tls, data, relay, close, reset, hang, wait, drip, set, clear, count`},
		{"=", `x.dialog line 1: unknown directive ""; write one of: any order, implicit tls, hostname, max connections, max errors, rewrite, if, tls, data, relay, close, reset, hang, wait, drip, set, clear, count`},
		{"= waits", `x.dialog line 1: unknown directive "waits"; write one of: any order, implicit tls, hostname, max connections, max errors, rewrite, if, tls, data, relay, close, reset, hang, wait, drip, set, clear, count`},
		{"= wait", `x.dialog line 1: cannot read "= wait"; write = wait 3s`},
		{"= wait 3", `x.dialog line 1: cannot read "= wait 3"; write = wait 3s`},
		{"= wait 2h", `x.dialog line 1: 2h is out of range; write a pause from 0s to 1h`},
		{"= drip -1s", `x.dialog line 1: -1s is out of range; write a pause from 0s to 1h`},
		{"= tls now", `x.dialog line 1: cannot read "= tls now"; write = tls`},
		{"S: 220\n= any order", `x.dialog line 2: = any order is too late; write it before the first S: or C: line`},
		{"C: A\n= rewrite a -> b", `x.dialog line 2: = rewrite is too late; write it before the first S: or C: line`},
		{"= rewrite a b", `x.dialog line 1: cannot read "= rewrite a b"; write = rewrite PATTERN -> TEXT`},
		{"= hostname", `x.dialog line 1: cannot read "= hostname"; write = hostname NAME`},
		{"= hostname a b", `x.dialog line 1: cannot read "= hostname a b"; write = hostname NAME`},
		{"= max errors 3", `x.dialog line 1: cannot read "= max errors 3"; write = max errors N text`},
		{"= max connections 0", `x.dialog line 1: 0 is out of range; write a number from 1 to 1000000`},
		{"= max connections many", `x.dialog line 1: cannot read "= max connections many"; write = max connections N [text]`},
		{"= if a", `x.dialog line 1: = if is out of place; write it directly after a C: line`},
		{"C: A\nS: 250 ok\n= if a", `x.dialog line 3: = if is out of place; write it directly after a C: line`},
		{"C: A\n= if", `x.dialog line 2: cannot read "= if"; write = if FLAG or = if not FLAG`},
		{"C: A\n= if a b", `x.dialog line 2: cannot read "= if a b"; write = if FLAG or = if not FLAG`},
		{"C: A\n= set", `x.dialog line 2: cannot read "= set"; write = set FLAG`},
		{"C: A\n= count rcpt", `x.dialog line 2: cannot read "= count rcpt"; write = count NAME MAX [text]`},
		{"C: A\n= relay", `x.dialog line 2: = relay has no message; write = data before it`},
		{"= any order\nC: A\n= data\nC: B\n= relay", `x.dialog line 5: = relay has no message; write = data before it`},
		{"C: A\n= close\nS: 250 ok", `x.dialog line 3: nothing can follow = close; remove this line or write it before`},
		{"= hang\nS: 250 ok", `x.dialog line 2: nothing can follow = hang; remove this line or write it before`},
		{"#" + strings.Repeat("\n", maxFile), `x.dialog: longer than 1 MiB; make it shorter`},
	} {
		_, err := Parse("x.dialog", strings.NewReader(tt.file))
		if err == nil || err.Error() != tt.want {
			t.Errorf("Parse(%.40q):\n got %v,\nwant %v", tt.file, err, tt.want)
		}
	}
}

func TestMustParsePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("got no panic, want one")
		}
	}()
	MustParse("nonsense")
}

func TestPattern(t *testing.T) {
	const today, yesterday = "rs-abcdefghij234567klmn", "rs-zzzzzzzzzzzzzzzzzzzz"
	for _, tt := range []struct {
		pattern, line string
		stars         []string
		ok            bool
	}{
		{"QUIT", "quit", nil, true},
		{"QUIT", "QUIT ", nil, false},
		{"", "", nil, true},
		{"", "x", nil, false},
		{"*", "", []string{""}, true},
		{"*", "any Thing", []string{"any Thing"}, true},
		{"EHLO *", "ehlo Client", []string{"Client"}, true},
		{"EHLO *", "EHLO", nil, false},
		{"RCPT TO:<*@*>*", "rcpt to:<A@b@c> X", []string{"A", "b@c", " X"}, true},
		{"<*%*@*>", "<a%b@c>", []string{"a", "b", "c"}, true},
		{"<*%*@*>", "<a@c>", nil, false},
		{"a*a", "a", nil, false},
		{"a*a", "aa", []string{""}, true},
		{"*b*", "abcb", []string{"a", "cb"}, true},
		{"a*bc*c", "abc", nil, false},
		{`\*`, "*", nil, true},
		{`\*`, "x", nil, false},
		{`RCPT TO:<"a\\@b"@c>`, `RCPT TO:<"a\@b"@c>`, nil, true},
		{`a\x00b`, "a\x00b", nil, true},
		{"RCPT TO:<" + yesterday + "@x>", "RCPT TO:<" + today + "@x>", nil, true},
		{"RCPT TO:<*@x>", "RCPT TO:<" + today + "@x>", []string{today}, true},
		{"rs-" + yesterday, "rs-" + today, nil, true},
		{yesterday + "a", today + "b", nil, false},
		{"rs-short", "rs-shirt", nil, false},
		{"rs-00000000000000000000", today, nil, false},
	} {
		p, err := parsePattern(tt.pattern)
		if err != nil {
			t.Errorf("parsePattern(%q): %v", tt.pattern, err)
			continue
		}
		stars, ok := p.match(tt.line)
		if ok != tt.ok || !slices.Equal(stars, tt.stars) {
			t.Errorf("%q against %q: got %q, %v, want %q, %v", tt.pattern, tt.line, stars, ok, tt.stars, tt.ok)
		}
	}
}

func TestText(t *testing.T) {
	for _, tt := range []struct{ source, want string }{
		{``, "\r\n"},
		{`220 hi`, "220 hi\r\n"},
		{`220 hi `, "220 hi \r\n"},
		{`220 hi\n`, "220 hi\n"},
		{`220 hi\r\n`, "220 hi\r\n"},
		{`220 hi\\n`, "220 hi\\n\r\n"},
		{`220 hi\x0a`, "220 hi\n\r\n"},
		{`220 hi\c`, "220 hi"},
		{`\c`, ""},
		{`\x00\xff\t\c`, "\x00\xff\t"},
		{`250 <$1> <$2>`, "250 <one> <two>\r\n"},
		{`$3 $9 $0 $ $x \$1 \x241`, "$3 $9 $0 $ $x $1 $1\r\n"},
		{`$line, $ip, $hostname$1`, "LINE, 192.0.2.1, mx.exampleone\r\n"},
	} {
		text, err := parseText(tt.source, "\r\n")
		if err != nil {
			t.Errorf("parseText(%q): %v", tt.source, err)
			continue
		}
		got := text.expand([]string{"one", "two"}, map[byte]string{'h': "mx.example", 'i': "192.0.2.1", 'l': "LINE"})
		if got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.source, got, tt.want)
		}
	}
}

func TestCutPath(t *testing.T) {
	for _, tt := range []struct{ arg, want string }{
		{"TO:<a@b>", "a@b"},
		{"to: <a@b> NOTIFY=NEVER", "a@b"},
		{"TO:<>", ""},
		{"TO:a@b X=1", "a@b"},
		{`TO:<"a>b"@c>`, `"a>b"@c`},
		{`TO:<"a\">b"@c> X`, `"a\">b"@c`},
		{`TO:<@a,@b:c@d>`, `@a,@b:c@d`},
		{`TO:<"a@b>`, `"a@b`},
		{"TO:<a@b", "a@b"},
	} {
		if got, ok := cutPath(tt.arg, "TO:"); !ok || got != tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.arg, got, ok, tt.want)
		}
	}
	if _, ok := cutPath("FROM:<a>", "TO:"); ok {
		t.Error("FROM: taken for TO:")
	}
}

// Every text either parses or gives an error of one line; a pattern that
// matches tells what the stars took, so that the line can be built again.
func FuzzParse(f *testing.F) {
	f.Add(openRelay, "RCPT TO:<a@b>")
	f.Add("S: \\x16\\c\n= reset", "")
	f.Add("C: a*b*c\nS: $1$2$9$line$ip$$\\n", "axxbyyC")
	f.Add("= rewrite <*%*@*> -> $1@$2\n= max connections 1 421 no\nC: *rs-aaaaaaaaaaaaaaaaaaaa\\*\n= if not x\n= count a 1 b", "rs-bbbbbbbbbbbbbbbbbbbb*")
	f.Fuzz(func(t *testing.T, file, line string) {
		d, err := Parse("fuzz", strings.NewReader(file))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "fuzz") || d != nil {
				t.Errorf("got %v, %v", d, err)
			}
			return
		}
		for _, b := range d.blocks {
			stars, ok := b.pattern.match(line)
			if !ok {
				continue
			}
			var again strings.Builder
			for i, plain := range b.pattern {
				again.WriteString(plain)
				if i < len(stars) {
					again.WriteString(stars[i])
				}
			}
			if fold(again.String()) != fold(line) {
				t.Errorf("pattern %q, line %q: got %q back", b.source, line, again.String())
			}
		}
		for _, r := range d.rewrites {
			r.to.expand([]string{line}, nil)
		}
	})
}
