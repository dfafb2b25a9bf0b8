package canary

import (
	"bytes"
	"net/mail"
	"net/netip"
	"slices"
	"strings"
	"time"

	"relaysweep/probe"
)

// Bounds on what a message in a mailbox may hold for us. Anybody may send mail to it.
const (
	maxFields     = 1000
	maxAddresses  = 100 // of one field
	maxCanaries   = 20  // of one message
	maxHeaderSize = 64 << 10
	maxReportSize = 64 << 10
)

// field is one field of a message's header, unfolded.
type field struct{ name, value string }

// header reads the fields of a message. What is no field is left out, as mail that was sent by anybody may hold anything.
func header(b []byte) (out []field) {
	for line := range bytes.Lines(b) {
		text := strings.TrimRight(string(line), "\r\n")
		if text == "" {
			break
		}
		if text[0] == ' ' || text[0] == '\t' {
			if n := len(out) - 1; n >= 0 && len(out[n].value) < maxLineLength {
				out[n].value += " " + strings.TrimSpace(text)
			}
			continue
		}
		if name, value, ok := strings.Cut(text, ":"); ok && len(out) < maxFields {
			out = append(out, field{strings.TrimSpace(name), strings.TrimSpace(value)})
		}
	}
	return out
}

// maxLineLength is how much of a folded field is put together.
const maxLineLength = 8 << 10

// value is that of the first field of a name.
func value(fields []field, name string) string {
	for _, f := range fields {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return ""
}

// envelopeFields are those in which the servers that deliver a message write the recipient of its envelope. They say
// where the message came; its own fields, below, only say where it was sent to.
var (
	envelopeFields = []string{"Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "X-Delivered-To"}
	messageFields  = []string{"To"}
)

const canaryField = "X-Relaysweep-Canary"

// isReport reports whether a message is a report of a delivery that failed, or was put off (RFC 3464).
func isReport(fields []field) bool {
	kind, _, _ := strings.Cut(value(fields, "Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "multipart/report")
}

// proofs are the canaries that the header of a message proves, each once. What the envelope says outweighs what the
// message says: a sink sees nothing else.
func proofs(c probe.Canary, fields []field) []proof {
	found := collect(c, fields, envelopeFields)
	if len(found) == 0 {
		found = collect(c, fields, messageFields)
	}
	if len(found) == 0 {
		for _, f := range fields {
			if strings.EqualFold(f.name, canaryField) {
				found = prove(c, found, f.value+"@"+c.Domain)
			}
		}
	}
	return found
}

func collect(c probe.Canary, fields []field, names []string) (found []proof) {
	for _, f := range fields {
		if slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(f.name, name) }) {
			for _, a := range addresses(f.value) {
				found = prove(c, found, a)
			}
		}
	}
	return found
}

// prove adds what an address proves, if it is one that we wrote.
func prove(c probe.Canary, found []proof, address string) []proof {
	token, bounce, ok := c.Match(address)
	if !ok || len(found) == maxCanaries || slices.ContainsFunc(found, func(p proof) bool { return p.token == token }) {
		return found
	}
	return append(found, proof{address, token, bounce})
}

// addresses are the words of a text that may be one. The tag of a canary tells which of them are.
func addresses(s string) (out []string) {
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune(" \t\r\n,;:<>()[]", r) }) {
		if strings.Contains(word, "@") && len(word) <= maxHeader {
			if out = append(out, word); len(out) == maxAddresses {
				break
			}
		}
	}
	return out
}

// quoted are the canaries that the body of a report names: as the recipient that failed, or in the header that it
// returns.
func quoted(c probe.Canary, body []byte) (found []proof) {
	for line := range bytes.Lines(body) {
		name, rest, _ := strings.Cut(string(line), ":")
		for _, a := range addresses(string(line)) {
			found = prove(c, found, a)
		}
		if strings.EqualFold(strings.TrimSpace(name), canaryField) {
			found = prove(c, found, strings.TrimSpace(rest)+"@"+c.Domain)
		}
	}
	return found
}

// deliveries are what a message of a mailbox proves. body is needed of a report alone. internal is when the message
// came into the mailbox.
func deliveries(c probe.Canary, head, body []byte, internal time.Time) (out []probe.Delivery) {
	fields := header(head)
	found := proofs(c, fields)
	report := isReport(fields)
	if report && len(found) == 0 {
		found = quoted(c, body)
	}
	if len(found) == 0 {
		return nil
	}
	received, _ := receivedLines(bytes.NewReader(head)) // reading from memory does not fail
	for i, r := range received {
		received[i] = text(r)
	}
	d := probe.Delivery{Time: arrivedAt(internal, value(fields, "Date")), Received: received, From: text(strings.Trim(value(fields, "Return-Path"), "<> "))}
	d.Peer, d.HELO = broughtBy(received)
	for _, p := range found {
		d.Canary, d.To, d.Bounce = p.token, text(p.address), p.bounce || report
		out = append(out, d)
	}
	return out
}

// text is what is kept of a stranger's text.
func text(s string) string { return clip(strings.ToValidUTF8(s, "\uFFFD")) }

// arrivedAt is when a message came: by the mailbox, or else by the message. A year that no mail has is none; the answer
// is the same each time, so that a delivery that is read twice is one.
func arrivedAt(internal time.Time, date string) time.Time {
	sent, _ := mail.ParseDate(date)
	for _, t := range []time.Time{internal, sent} {
		if y := t.Year(); y >= 2000 && y < 9000 {
			return t.UTC()
		}
	}
	return time.Time{}
}

// broughtBy is the address that brought a message to our own servers, and the name it gave. The topmost line is that of
// our last server; where it took the message from itself, as a filter or a delivery agent does, the next one tells.
func broughtBy(received []string) (peer, helo string) {
	for _, line := range received {
		from, ok := strings.CutPrefix(line, "from ")
		if !ok {
			continue
		}
		from, _, _ = strings.Cut(from, " by ")
		helo, seen, _ := strings.Cut(strings.TrimSpace(from), " ")
		a := addressIn(seen)
		if !a.IsValid() {
			a = addressIn(helo) // its own word, for want of another
		}
		if a.IsValid() && !a.IsLoopback() {
			return a.String(), helo
		}
	}
	return "", ""
}

// addressIn finds the address in what a server wrote of its client: the last in brackets, or else the first bare one, as
// a name before it is the client's word.
func addressIn(s string) (out netip.Addr) {
	if i := strings.LastIndexByte(s, '['); i >= 0 {
		in, _, _ := strings.Cut(s[i+1:], "]")
		if len(in) > 5 && strings.EqualFold(in[:5], "IPv6:") {
			in = in[5:]
		}
		if a, err := netip.ParseAddr(in); err == nil {
			return a.Unmap().WithZone("")
		}
	}
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune(" ()[]", r) }) {
		if a, err := netip.ParseAddr(word); err == nil {
			return a.Unmap().WithZone("")
		}
	}
	return netip.Addr{}
}
