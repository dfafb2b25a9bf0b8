package probe

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"relaysweep/probe/smtp"
)

// The matcher finds what the table's expressions find: in every reply of the corpus, and in pieces of the expressions.
func TestMatcherIsTheExpression(t *testing.T) {
	corpus, err := os.ReadFile("testdata/replies.txt")
	if err != nil {
		t.Fatal(err)
	}
	replies := strings.Split(strings.ToLower(string(corpus)), "\n")
	for _, p := range phrases {
		replies = append(replies, strings.FieldsFunc(p.text, func(r rune) bool { return strings.ContainsRune(`|()?.{}\`, r) })...)
	}
	if len(replies) < 300 {
		t.Fatalf("only %d texts", len(replies))
	}
	found := 0
	for _, text := range replies {
		bits := texts.in(text)
		for i, p := range phrases {
			want := regexp.MustCompile(p.text).MatchString(text)
			if got := bits&(1<<i) != 0; got != want && p.text != "" {
				t.Errorf("%s in %q: got %v, want %v", p.answer, text, got, want)
			}
			if want {
				found++
			}
		}
	}
	if found < 300 {
		t.Errorf("only %d matches: the test proves little", found)
	}
}

func TestNeedles(t *testing.T) {
	var got []string
	for _, a := range alternatives(`relay(ing|ed)? denied|sender.{0,30}refus|[ab]c|x(y|z)`) {
		for _, n := range needles(a) {
			got = append(got, fmt.Sprintf("%s %v", n.word, n.re != nil))
		}
	}
	want := []string{"relaying denied false", "relayed denied false", "relay denied false", "sender true", "ac false", "bc false", "xy false", "xz false"}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWithoutEcho(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"5.7.1 <a@b>: Relay  access\tdenied ", "5.7.1 : relay access denied"},
		{"host [192.0.2.1] [IPv6:2001:db8::1] [no] <<a>>", "host [ipv6:2001:db8::1] [no] <>"},
		{"rs-abcdefghijklmnopqrst@example.net, refused", "refused"},
		{"rs-short is kept", "rs-short is kept"},
		{"<never closed", "<never closed"},
		{"", ""},
	} {
		if got := withoutEcho(tt.text); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.text, got, tt.want)
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	r := smtp.Reply{Code: 454, Lines: []string{"4.7.1 <rs-abcdefghijklmnopqrst@example.net>: Relay access denied"}}
	s := smtp.Reply{Code: 550, Lines: []string{"5.1.1 <rs-abcdefghijklmnopqrst@example.net>: Recipient address rejected: User unknown in local recipient table"}}
	for b.Loop() {
		classify(atRcpt, r, false)
		classify(atRcpt, s, false)
	}
}
