package canary

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"relaysweep/probe"
)

// FuzzMessage: whatever a message holds, what is kept of it is proven, bounded, and can be stored.
func FuzzMessage(f *testing.F) {
	ours := probe.Canary{Domain: "example.net", Key: []byte("our key")}
	token := ours.Token("scan-1", "192.0.2.1:25", "S1", "outside")
	for _, seed := range [][2]string{
		{"Return-Path: <a@b>\r\nDelivered-To: " + token + "@example.net\r\nReceived: from a (b [192.0.2.1])\r\n\tby c\r\n\r\n", ""},
		{"To: <" + token + "-b@example.net>\r\nContent-Type: multipart/report; boundary=b\r\n\r\n", ""},
		{"Content-Type: multipart/report\r\n\r\n", "Final-Recipient: rfc822; " + token + "@example.net\r\nX-Relaysweep-Canary: " + token + "\r\n"},
		{"X-Relaysweep-Canary: " + token + "\r\nDate: Mon, 2 Mar 2026 00:59:58 +0000\r\nReceived: from [IPv6:2001:db8::1] (x)\r\n", ""},
		{" folded\r\n: x\r\nno field\r\n\x00\xff: \xff\r\nTo: \"" + token + "\"@example.net\r\n", "\xff"},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]), int64(1_772_000_000))
	}
	f.Fuzz(func(t *testing.T, head, body []byte, at int64) {
		seen := make(map[string]bool)
		for _, d := range deliveries(ours, head, body, time.Unix(at, 0)) {
			address := d.To
			if tok, bounce, ok := ours.Match(address); !ok || tok != d.Canary || bounce && !d.Bounce {
				t.Errorf("%q does not prove %+v", address, d)
			}
			if seen[d.Canary] {
				t.Errorf("%s counts twice", d.Canary)
			}
			seen[d.Canary] = true
			if len(seen) > maxCanaries || len(d.Received) > maxReceived {
				t.Errorf("%d canaries, %d Received lines", len(seen), len(d.Received))
			}
			for _, s := range append(d.Received, d.From, d.To, d.HELO, d.Peer) {
				if len(s) > maxHeader || !utf8.ValidString(s) || strings.ContainsAny(s, "\n") {
					t.Errorf("kept %q", s)
				}
			}
			if _, err := json.Marshal(d); err != nil {
				t.Error(err)
			}
		}
	})
}
