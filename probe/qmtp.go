package probe

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"relaysweep/probe/smtp"
)

// qmtpPorts are where QMTP and QMQP listen (IANA; qmail). Both take netstrings: a length in digits, a colon, so many
// bytes, a comma. Neither greets.
var qmtpPorts = map[uint16]string{209: "qmtp", 628: "qmqp"}

// tryQMTP tells a QMTP or QMQP listener by what it takes: it waits behind a digit, as the length may go on, and hangs up
// on anything else.
func (d *dialogue) tryQMTP() (done bool, err error) {
	protocol := qmtpPorts[d.f.Addr.Port()]
	switch {
	case protocol == "" && !d.wants("I9"):
		return false, nil
	case protocol == "": // on another port QMTP is the likelier one
		protocol = "qmtp"
	}
	for _, ask := range []struct {
		first string
		want  error
	}{{"1", smtp.ErrSilent}, {"x", smtp.ErrClosed}} {
		c, err := d.dial("identify", d.way(false))
		if err != nil {
			return true, d.notReached(err)
		}
		said, err := c.Raw(d.ctx, []byte(ask.first), min(guessWait, d.greetingWait()))
		d.keep(c)
		if len(said) > 0 || !errors.Is(err, ask.want) {
			return false, nil
		}
	}
	d.f.Protocol, d.f.Note = protocol, "it waits behind the first digit of a netstring, and hangs up on what is none"
	return true, d.qmtp(protocol)
}

// qmtp sends a canary: there is no way to ask without a message, so it is sent only where the scan goes as far as
// delivery and the row was asked for by name.
func (d *dialogue) qmtp(protocol string) error {
	if !d.wants("I9") || d.p.stopAt() < Delivered {
		d.f.Note += "; not relay-tested, as that takes a message (vector I9)"
		return nil
	}
	if err := d.book(1); err != nil {
		return err
	}
	defer d.settle(d.refusedEver)
	c, err := d.dial("I9", d.way(false))
	if err != nil {
		return d.notReached(err)
	}
	token := d.p.Canary.Token(d.p.Scan, d.f.Addr.String(), "I9", d.f.Vantage)
	a := Attempt{Vector: "I9", Form: "I9", OptIn: true, Canary: token, From: token + "-b@" + d.p.Canary.domain(), To: token + "@" + d.p.Canary.domain(), Session: len(d.f.Sessions) + 1, Sent: d.p.now()}
	said, err := c.Raw(d.ctx, qmtpPackage(protocol, d.p.message(a.From, nil, token), a.From, a.To), d.greetingWait())
	d.keep(c)
	a.Rcpt, a.End, a.Failure = qmtpReply(said, err)
	if a.Rcpt.Code >= 400 {
		d.refusedEver++
	}
	d.f.Attempts = append(d.f.Attempts, a)
	return nil
}

// qmtpPackage is a message in QMTP, whose lines end in LF as its first byte says, or in QMQP.
func qmtpPackage(protocol string, message []byte, from, to string) []byte {
	message = bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n"))
	if protocol == "qmqp" {
		return []byte(netstring(netstring(string(message)) + netstring(from) + netstring(to)))
	}
	return []byte(netstring("\n"+string(message)) + netstring(from) + netstring(netstring(to)))
}

// qmtpReply turns the server's word on the recipient into the replies that SMTP would give: K is success, Z a temporary
// and D a permanent failure.
func qmtpReply(said []byte, err error) (rcpt, end smtp.Reply, failure string) {
	text, ok := cutNetstring(said)
	if !ok || text == "" {
		why := "no netstring"
		if err != nil {
			why = err.Error()
		}
		return rcpt, end, fmt.Sprintf("no answer to the message: %s: %s", why, smtp.Escape(string(said[:min(len(said), 60)])))
	}
	line := []string{text[1:]}
	switch text[0] {
	case 'K':
		return smtp.Reply{Code: 250, Lines: line}, smtp.Reply{Code: 250, Lines: line}, ""
	case 'Z':
		return smtp.Reply{Code: 451, Lines: line}, end, ""
	case 'D':
		return smtp.Reply{Code: 554, Lines: line}, end, ""
	}
	return rcpt, end, "an answer of no known kind: " + smtp.Escape(text)
}

func netstring(s string) string { return strconv.Itoa(len(s)) + ":" + s + "," }

// cutNetstring reads the netstring at the start of b.
func cutNetstring(b []byte) (text string, ok bool) {
	digits, rest, found := bytes.Cut(b, []byte(":"))
	n, err := strconv.Atoi(string(digits))
	if !found || err != nil || n < 0 || n >= len(rest) || rest[n] != ',' || strings.Trim(string(digits), "0123456789") != "" {
		return "", false
	}
	return string(rest[:n]), true
}
