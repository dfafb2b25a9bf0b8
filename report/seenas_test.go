package report

import (
	"strings"
	"testing"
	"time"

	"relaysweep/probe"
)

func TestReceivedFromIsTheClient(t *testing.T) {
	for line, want := range map[string]string{
		"from [203.0.113.9] (unknown [10.20.0.1])\r\n\tby relay.org.example (Postfix) with ESMTP id 4X; Sun, 22 Nov 2026 10:00:00 +0000": "10.20.0.1",
		"from scanner.example.net ([10.20.0.1] helo=[203.0.113.9])\n\tby relay with esmtp (Exim 4.98)":                                   "10.20.0.1",
		"from [10.20.0.1] (helo=[203.0.113.9]) by relay with esmtp (Exim 4.98)":                                                          "10.20.0.1",
		"from scanner.example.net (gw.org.example [IPv6:2001:db8::1]) by relay [192.0.2.25] (8.17/8.17)":                                 "2001:db8::1",
		"from scanner (10.20.0.1) by mail.org.example (192.0.2.25) with Microsoft SMTP Server":                                           "10.20.0.1",
		"from unknown (HELO [203.0.113.9]) (10.20.0.1) by relay with SMTP":                                                               "10.20.0.1",
		"from nobody by [192.0.2.25] with SMTP":                                                                                          "",
		"(qmail 12 invoked by uid 89)":                                                                                                   "",
		"":                                                                                                                               "",
	} {
		a, ok := receivedFrom(line)
		got := ""
		if ok {
			got = a.String()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}

// Postfix does not echo the client's address at EHLO: the canary that came home tells it.
func TestSeenAsByADelivery(t *testing.T) {
	f := probe.Finding{LocalAddr: "203.0.113.9", Attempts: []probe.Attempt{{Vector: "S1", Delivered: true, Home: &probe.Delivery{
		Time: time.Now(), Received: []string{"from relay.org.example (relay.org.example [198.51.100.25]) by sink", "from [203.0.113.9] (unknown [10.20.0.1]) by relay.org.example (Postfix)"},
	}}}}
	e := Entry{Finding: f}
	if got, ok := e.seenElsewhere(); !ok || got.String() != "10.20.0.1" {
		t.Errorf("got %v, %v, want 10.20.0.1", got, ok)
	}
	e.Finding.SeenAs = "203.0.113.9" // its own word comes first
	if got, ok := e.seenElsewhere(); ok {
		t.Errorf("got %v, want none: it saw us as we came", got)
	}
}

// A host has one rule for IPv4 and another for IPv6: each finding is judged by its own family.
func TestSeenAsByFamily(t *testing.T) {
	four := finding("198.51.100.10:25", "Exim", "Exim", "4.98", "mx.org.example", attempt("S1", "rs-aaaaaaaaaaaaaaaaaaaa", ok, denied))
	four.LocalAddr, four.SeenAs = "203.0.113.10", "203.0.113.10"
	six := finding("[2001:db8:51::10]:25", "Exim", "Exim", "4.98", "mx.org.example", attempt("S1", "rs-bbbbbbbbbbbbbbbbbbbb", ok, denied))
	six.LocalAddr, six.SeenAs = "2001:db8:113::10", "fd00:20::1"
	r := New(Input{Scan: scan(), Findings: []probe.Finding{four, six}})
	for endpoint, want := range map[string]bool{"198.51.100.10:25": false, "[2001:db8:51::10]:25": true} {
		if got := strings.Contains(strings.Join(entry(t, r, endpoint).Weak, ";"), "look inside"); got != want {
			t.Errorf("%s: told that outsiders look inside: %v, want %v: %q", endpoint, got, want, entry(t, r, endpoint).Weak)
		}
	}
}
