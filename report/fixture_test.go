package report

import (
	"net/netip"
	"strings"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/probe/smtp"
)

var began = time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)

// r makes a reply of its first line's code and text.
func r(lines ...string) smtp.Reply {
	var out smtp.Reply
	for _, l := range lines {
		for _, d := range l[:3] {
			if len(out.Lines) == 0 {
				out.Code = out.Code*10 + int(d-'0')
			}
		}
		out.Lines = append(out.Lines, l[4:])
	}
	return out
}

// attempt makes an attempt of its replies, in order: MAIL, RCPT, DATA, the final dot.
func attempt(vector, canary string, replies ...smtp.Reply) probe.Attempt {
	a := probe.Attempt{
		Vector: vector, Form: vector, HELO: "scanner.example.net", Canary: canary, From: canary + "-b@example.net", To: "<" + canary + "@example.net>",
		Route: strings.HasPrefix(vector, "R"), Session: 1, Sent: began.Add(time.Minute),
	}
	if vector == "S6" {
		a.From, a.Forged = "relaysweep@org.example", true
	}
	for i, at := range []*smtp.Reply{&a.Mail, &a.Rcpt, &a.Data, &a.End} {
		if i < len(replies) {
			*at = replies[i]
		}
	}
	return a
}

// finding makes a mail service.
func finding(endpoint, vendor, product, version, name string, attempts ...probe.Attempt) probe.Finding {
	f := probe.Finding{
		Addr: netip.MustParseAddrPort(endpoint), Vantage: "internet", Protocol: "smtp", Greeting: name + " ESMTP " + product, EHLO: []string{name, "PIPELINING", "8BITMIME"},
		Extensions: []string{"8BITMIME", "PIPELINING"}, Names: []string{name}, LocalAddr: "203.0.113.10", Attempts: attempts, Connections: 2, Commands: 20,
		Started: began.Add(time.Minute), Ended: began.Add(time.Minute + 3*time.Second),
		Sessions: []probe.Session{{Transcript: "S: 220 " + name + " ESMTP " + product + "\nC: EHLO scanner.example.net\nS: 250 " + name + "\nC: QUIT\nS: 221 2.0.0 Bye\n"}},
	}
	f.Service.Vendor, f.Service.Product, f.Service.Version, f.Service.Kind, f.Service.Confidence = vendor, product, version, "mta", 95
	f.Service.Evidence = name + " ESMTP " + product
	return f
}

func listener(endpoint, protocol, note string) probe.Finding {
	return probe.Finding{Addr: netip.MustParseAddrPort(endpoint), Vantage: "internet", Protocol: protocol, Note: note, Connections: 1, Ended: began.Add(2 * time.Minute)}
}

var (
	ok       = r("250 2.1.0 Ok")
	taken    = r("250 2.1.5 Ok")
	goAhead  = r("354 End data with <CR><LF>.<CR><LF>")
	queued   = r("250 2.0.0 Ok: queued as E382CEE3A8")
	denied   = r("454 4.7.1 <x@example.net>: Relay access denied")
	needAuth = r("530 5.7.0 Authentication required")
)

const hostile = "mx\x1b[31m <script>alert(1)</script> \u202egro.elpmaxe\u202c \xff\xfe \u009b2J =cmd|' /C calc'!A0 \"'`\\ 日本語\tend"

// findings is one of each kind.
func findings() []probe.Finding {
	wide := finding("198.51.100.10:25", "Postfix", "Postfix", "3.4.13", "mx1.org.example", attempt("S1", "rs-aaaaaaaaaaaaaaaaaaaa", ok, taken, goAhead, queued), attempt("S6", "rs-aaaaaaaaaaaaaaaaaaab", ok, taken), attempt("R1", "rs-aaaaaaaaaaaaaaaaaaac", ok, denied))
	wide.SeenAs, wide.Service.EndOfLife = "10.20.1.1", "2023-04-17"
	wide.RandomLocal, wide.RandomForeign, wide.Nonsense = denied, taken, r("503 5.5.1 Error: need MAIL command")
	lying := finding("198.51.100.11:25", "Exim", "Exim", "4.99", "mx2.org.example", attempt("S6", "rs-bbbbbbbbbbbbbbbbbbbb", ok, taken, goAhead, r("550 Administrative prohibition")))
	exchange := finding("198.51.100.12:587", "Microsoft", "Exchange Server", "", "ex.org.example", attempt("S1", "rs-cccccccccccccccccccc", ok, r("550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain")), attempt("I7", "rs-cccccccccccccccccccd", ok, taken, goAhead))
	soft := finding("198.51.100.13:25", "OpenBSD", "OpenSMTPD", "", "obsd.org.example", attempt("S2", "rs-dddddddddddddddddddd", ok, taken))
	six := finding("[2001:db8:51:1111:2222:3333:4444:5555]:25", "D. J. Bernstein", "qmail", "", "six.org.example", attempt("S1", "rs-eeeeeeeeeeeeeeeeeeee", ok, taken, goAhead))
	sink := finding("198.51.100.14:1025", "MailHog", "MailHog", "", "mailhog.example", attempt("S1", "rs-ffffffffffffffffffff", ok, taken, goAhead))
	sink.Service.Kind = "sink"
	catchAll := finding("198.51.100.15:25", "Postfix", "Postfix", "", "all.org.example", attempt("S1", "rs-gggggggggggggggggggg", ok, denied), attempt("R15", "rs-gggggggggggggggggggh", ok, taken, goAhead))
	catchAll.RandomLocal = taken
	authOnly := finding("198.51.100.16:587", "Postfix", "Postfix", "", "smtp.org.example", attempt("S1", "rs-hhhhhhhhhhhhhhhhhhhh", needAuth))
	authOnly.Extensions = []string{"8BITMIME", "AUTH PLAIN LOGIN", "STARTTLS"}
	authOnly.TLS = &probe.TLS{Mode: "starttls", Version: "TLS 1.0", Cipher: "TLS_RSA_WITH_AES_128_CBC_SHA", Legacy: true, Subject: "CN=smtp.org.example", Issuer: "CN=smtp.org.example", Names: []string{"smtp.org.example"}, NotBefore: began.AddDate(-9, 0, 0), NotAfter: began.AddDate(1, 0, 0), SHA256: "00ff"}
	closed := finding("198.51.100.17:25", "Postfix", "Postfix", "3.11.6", "mx3.org.example", attempt("S1", "rs-iiiiiiiiiiiiiiiiiiii", ok, denied))
	banned := finding("198.51.100.18:25", "Sendmail", "Sendmail", "8.18.1", "mx4.org.example", attempt("S1", "rs-jjjjjjjjjjjjjjjjjjjj", ok, r("554 5.7.1 Service unavailable; Client host [203.0.113.10] blocked using zen.example")))
	banned.Cut = "it answered before and then lets nobody in, after vector S6: no new connection (30 of 31 attempts were left out)"
	evil := finding("198.51.100.19:25", "", "", "", "evil.org.example", attempt("S1", "rs-kkkkkkkkkkkkkkkkkkkk", ok, r("550 relaying denied "+hostile)))
	evil.Greeting, evil.EHLO, evil.Names = hostile, []string{hostile, "X" + hostile}, []string{"=HYPERLINK(\"http://x\")", "日本語のとても長いホスト名です.example"}
	evil.Service.Product, evil.Service.Version, evil.Service.Evidence = "@SUM(1+1)"+hostile, "\x1b]0;owned\x07", hostile
	evil.Sessions = []probe.Session{{Transcript: "S: 220 " + smtp.Escape(hostile) + "\nS: \xff\x1b[2Jraw\u202e\n"}}
	evil.SeenAs = hostile
	return []probe.Finding{
		listener("198.51.100.30:2525", "ssh", `SSH-2.0-OpenSSH_9.2\x1b[0m`), evil, closed, banned, wide, lying, exchange, soft, six, sink, catchAll, authOnly,
		listener("198.51.100.31:25025", "unknown", "silent: the connection opens and nothing is said"), listener("198.51.100.32:24", "lmtp", "it answers LHLO"),
	}
}

func deliveries() []probe.Delivery {
	return []probe.Delivery{
		{Canary: "rs-bbbbbbbbbbbbbbbbbbbb", Time: began.Add(time.Minute + 4*time.Second), Peer: "198.51.100.11:41234", HELO: "mx2.org.example", From: "relaysweep@org.example", To: "rs-bbbbbbbbbbbbbbbbbbbb@example.net", Received: []string{"from scanner.example.net by mx2.org.example"}},
		{Canary: "rs-aaaaaaaaaaaaaaaaaaaa", Time: began.Add(time.Minute + 2*time.Second), Peer: "198.51.100.10:51234", HELO: "mx1.org.example", From: "a@example.net", To: "rs-aaaaaaaaaaaaaaaaaaaa@example.net", Received: []string{"from scanner.example.net by mx1.org.example", "=1+1\x1b[2J"}},
		{Canary: "rs-aaaaaaaaaaaaaaaaaaaa", Time: began.Add(time.Minute + 9*time.Second), Peer: "198.51.100.10:51235", To: "rs-aaaaaaaaaaaaaaaaaaaa@example.net"},
		{Canary: "rs-zzzzzzzzzzzzzzzzzzzz", Time: began.Add(-24 * time.Hour), Peer: "192.0.2.99:25", To: "rs-zzzzzzzzzzzzzzzzzzzz@example.net"},
	}
}

func coverage() []discover.CoverageRow {
	four, six := netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:51:1111:2222:3333:4444:5555/128")
	return []discover.CoverageRow{
		{Prefix: four, Port: 25, Open: 9, Closed: 200, Filtered: 30, Prohibited: 5, NotAttempted: 11, Failed: 1, Reasons: map[string]uint64{"excluded": 8, "interrupted": 3}},
		{Prefix: four, Port: 587, Open: 2, Closed: 246, NotAttempted: 8, Reasons: map[string]uint64{"excluded": 8}},
		{Prefix: six, Port: 25, Open: 1, Reasons: map[string]uint64{}},
		{Prefix: six, Port: 587, Unreachable: 1},
	}
}

func scan() Scan {
	return Scan{
		ID: "20261122-0200-k3", Version: "0.1.0", Organisation: "Example City", Contact: "netops@city.example", Vantage: "internet", Zone: "wan", Engine: "connect",
		Scope: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:51:1111:2222:3333:4444:5555/128")}, Excluded: []netip.Prefix{netip.MustParsePrefix("198.51.100.248/29")},
		Ports: []uint16{25, 587, 10024, 10025, 10026}, Rate: Rate{Total: 1000, PerNet: 200, PerHost: 10}, Seed: 7, StopAt: probe.Delivered, CanaryDomain: "example.net",
		Started: began, Ended: began.Add(14*time.Minute + 11*time.Second), Exit: 3, Targets: 514, Sent: 640, Interrupted: true, Resume: "relaysweep scan --resume 20261122-0200-k3",
		Notes: []string{"could not be probed: 198.51.100.40:25: too many open files"},
	}
}

func full() *Report {
	return New(Input{Scan: scan(), Findings: findings(), Coverage: coverage(), Deliveries: deliveries()})
}

// quiet is a complete scan that found one closed server, without a canary domain.
func quiet() *Report {
	s := scan()
	s.StopAt, s.CanaryDomain, s.Complete, s.Interrupted, s.Resume, s.Exit, s.Notes = probe.Ready, "", true, false, "", 0, nil
	s.Scope = s.Scope[:1]
	return New(Input{Scan: s, Findings: findings()[2:3], Coverage: []discover.CoverageRow{{Prefix: s.Scope[0], Port: 25, Open: 1, Closed: 247, NotAttempted: 8, Reasons: map[string]uint64{"excluded": 8}}}})
}
