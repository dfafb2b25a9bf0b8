package smtptest

import (
	"strings"
	"testing"
)

// hub takes any mail and hands it on, the percent hack undone.
const hub = `
	= any order
	= hostname hub.example
	= rewrite <*%*@*> -> <$1@$2>
	= rewrite <@*:*> -> $2
	= rewrite <keep@*> -> <keep@$1>
	= implicit tls
	S: 220 hub
	C: EHLO *
	S: 250 hub
	C: HELO *
	S: 250 hub
	C: RSET
	S: 250 hub
	C: MAIL FROM:*
	S: 250 ok
	C: RCPT TO:<no*
	S: 550 no
	C: RCPT TO:*
	S: 250 ok
	C: DATA
	S: 354 go
	= data
	= relay
	S: 250 queued
	C: QUIT
	S: 221 bye
	= close
`

// The message lines of this script land in Commands, where we can read them.
const lastHop = `
	S: 220 last
	C: EHLO hub.example
	S: 250 last
	C: MAIL FROM:<s@a.example>
	S: 250 ok
	C: RCPT TO:<u@b.example>
	S: 250 ok
	C: RCPT TO:<v@c.example>
	S: 251 ok
	C: RCPT TO:<keep@d.example>
	S: 250 ok
	C: RCPT TO:<plain@e.example>
	S: 250 ok
	C: DATA
	S: 354 go
	C: Received: from client.example ([127.0.0.1])
	C: \tby hub.example with ESMTPS; *, * * * *:*:* *
	C: Subject: x
	C:
	C: ..dot
	C: .
	S: 250 got it
	C: QUIT
	S: 221 bye
`

func TestRelayChain(t *testing.T) {
	last := Start(t, MustParse(lastHop))
	first := &Server{Dialog: MustParse(hub), Relay: last.Addr().String()}
	first.Start(t)
	c := dial(t, first)
	c.talk(`
		= tls
		S: 220 hub
		C: EHLO client.example
		S: 250 hub
		C: MAIL FROM:<forgotten@a.example>
		S: 250 ok
		C: RCPT TO:<forgotten@b.example>
		S: 250 ok
		C: RSET
		S: 250 hub
		C: mail from: <s@a.example> SIZE=100
		S: 250 ok
		C: RCPT TO:<u%b.example@hub.example>
		S: 250 ok
		C: RCPT TO:<@hub.example:v@c.example>
		S: 250 ok
		C: RCPT TO:<no@e.example>
		S: 550 no
		C: RCPT TO:<keep@d.example>
		S: 250 ok
		C: RCPT TO:plain@e.example
		S: 250 ok
		C: DATA
		S: 354 go
		C: Subject: x
		C:
		C: ..dot
		C: .
		S: 250 queued
		C: QUIT
		S: 221 bye
		= closed
		= cut
	`)
	last.Wait(1)
	got := last.Score()
	if len(got.Mismatches) > 0 || got.Messages != 1 || got.Early != 0 {
		t.Errorf("last hop: got %+v, want one message and no mismatch", got)
	}
	score(t, first, Score{Connections: 1, TLS: 1, Messages: 1, Relayed: 1, Errors: 1, ContentBytes: int64(len("Subject: x\r\n\r\n..dot\r\n"))})
}

func TestRelayErrors(t *testing.T) {
	refuses := Start(t, MustParse("= any order\nS: 220 hi\nC: EHLO *\nS: 250 hi\nC: MAIL*\nS: 550 5.7.1 not for you"))
	closed := Start(t, MustParse("S: 220 hi"))
	closed.Close()
	for _, tt := range []struct{ name, relay, header, want string }{
		{"no smart host", "", "", "relay: the server has no smart host"},
		{"nobody there", closed.Addr().String(), "", "relay: dial tcp"},
		{"the smart host refuses", refuses.Addr().String(), "", "relay: from <a@b>: "},
		{"a circle", refuses.Addr().String(), strings.Repeat("received: by x\nC: ", maxHops), "relay: too many hops"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &Server{Dialog: MustParse(strings.Replace(hub, "= implicit tls", "", 1)), Relay: tt.relay}
			s.Start(t)
			c := dial(t, s)
			c.talk("S: 220 hub\nC: HELO x\nS: 250 hub\nC: MAIL FROM:<a@b>\nS: 250 ok\nC: RCPT TO:<c@d>\nS: 250 ok\nC: DATA\nS: 354 go\nC: " + tt.header + "Subject: x\nC: .\nS: 250 queued")
			got := s.Score()
			if len(got.RelayErrors) != 1 || !strings.HasPrefix(got.RelayErrors[0], tt.want) || got.Relayed != 0 {
				t.Errorf("got %q, want %q", got.RelayErrors, tt.want)
			}
		})
	}
}

// Without a new DATA there is nothing to relay again.
func TestRelayOnce(t *testing.T) {
	s := Start(t, MustParse("= any order\n= wait 0s\nC: DATA\nS: 354 go\n= data\n= relay\n= relay\nS: 250 ok"))
	c := dial(t, s)
	c.talk("C: DATA\nS: 354 go\nC: .\nS: 250 ok")
	if got := s.Score(); len(got.RelayErrors) != 1 {
		t.Errorf("got %q, want one try", got.RelayErrors)
	}
}
