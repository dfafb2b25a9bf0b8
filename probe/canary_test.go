package probe_test

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"relaysweep/probe"
)

// A token is 20 characters after rs-, safe in any local part, and differs where anything of the attempt differs.
func TestTokens(t *testing.T) {
	c := probe.Canary{Domain: "example.net", Key: []byte("key")}
	form := regexp.MustCompile(`\Ars-[a-z2-7]{20}\z`)
	seen := make(map[string]string)
	add := func(c probe.Canary, what ...string) {
		t.Helper()
		tok := c.Token(what[0], what[1], what[2], what[3])
		name := fmt.Sprintf("%q %q", c.Key, what)
		if !form.MatchString(tok) {
			t.Errorf("%s: got %q, want rs- and 20 characters", name, tok)
		}
		if other, ok := seen[tok]; ok {
			t.Errorf("%s and %s have the token %s", name, other, tok)
		}
		seen[tok] = name
		if got, bounce, ok := c.Match(tok + "@example.net"); !ok || bounce || got != tok {
			t.Errorf("%s: its own token does not match: got %q, %v, %v", name, got, bounce, ok)
		}
		if again := c.Token(what[0], what[1], what[2], what[3]); again != tok {
			t.Errorf("%s: got %s and %s", name, tok, again)
		}
	}
	add(c, "scan-1", "192.0.2.1:25", "S1", "outside")
	add(c, "scan-2", "192.0.2.1:25", "S1", "outside")
	add(c, "scan-1", "192.0.2.1:26", "S1", "outside")
	add(c, "scan-1", "192.0.2.1:25", "S2", "outside")
	add(c, "scan-1", "192.0.2.1:25", "S1", "inside")
	add(c, "scan-1192.0.2.1:25", "", "S1", "outside") // nothing moves from one part to the next
	add(c, "scan-1", "192.0.2.1:25S1", "", "outside")
	add(c, "", "", "", "")
	add(probe.Canary{Domain: "example.net", Key: []byte("key2")}, "scan-1", "192.0.2.1:25", "S1", "outside")
	add(probe.Canary{Domain: "example.net"}, "scan-1", "192.0.2.1:25", "S1", "outside")
	for i := range 20_000 {
		add(c, "scan-1", "192.0.2.1:25", fmt.Sprint("S", i), "outside2")
	}
}

// No token is taken for another's, whichever character of it changes.
func TestTokensCannotBeGuessedFromOthers(t *testing.T) {
	c := probe.Canary{Domain: "example.net", Key: []byte("key")}
	tok := c.Token("scan-1", "192.0.2.1:25", "S1", "outside")
	for i := range len(tok) {
		for _, r := range "abcdefghijklmnopqrstuvwxyz234567" {
			changed := tok[:i] + string(r) + tok[i+1:]
			if _, _, ok := c.Match(changed + "@example.net"); ok != (changed == tok) {
				t.Errorf("%s for %s: got %v", changed, tok, ok)
			}
		}
	}
}

func TestMatch(t *testing.T) {
	c := probe.Canary{Domain: "Example.NET", Key: []byte("key")}
	tok := c.Token("scan-1", "192.0.2.1:25", "S1", "outside")
	for _, tt := range []struct {
		address    string
		ok, bounce bool
	}{
		{tok + "@example.net", true, false},
		{tok + "@example.net.", true, false},
		{tok + "-b@example.net", true, true},
		{strings.ToUpper(tok) + "-B@EXAMPLE.NET", true, true},
		{`"` + tok + `"@a.b.example.net`, true, false},
		{tok, false, false},
		{tok + "@", false, false},
		{"@example.net", false, false},
		{"", false, false},
		{tok + "@example.com", false, false},
		{tok + "@notexample.net", false, false},
		{tok + "@example.net@example.com", false, false},
	} {
		got, bounce, ok := c.Match(tt.address)
		if ok != tt.ok || bounce != tt.bounce || ok && got != tok {
			t.Errorf("%s: got %q, %v, %v, want %v, %v", tt.address, got, bounce, ok, tt.bounce, tt.ok)
		}
	}
	if (probe.Canary{}).RealDomain() || !c.RealDomain() {
		t.Error("RealDomain: only a configured one is real")
	}
}

// Further domains and the sink's address literal are ours; others' are not.
func TestMatchFurther(t *testing.T) {
	c := probe.Canary{Domain: "example.net", Key: []byte("key"), MXNames: []string{"mxtrick.example"}, Sink: netip.MustParseAddr("203.0.113.25")}
	token := c.Token("s", "e", "v", "x")
	for address, want := range map[string]bool{
		token + "@example.net": true, token + "@ü.example.net": true, token + "@xn--tda.example.net": true, token + "@mxtrick.example": true,
		token + "@[203.0.113.25]": true, token + "@[203.0.113.26]": false, token + "@203.0.113.25": false, token + "@trick.example": false, token + "@xexample.net": false,
	} {
		if _, _, ok := c.Match(address); ok != want {
			t.Errorf("%s: got %v, want %v", address, ok, want)
		}
	}
}
