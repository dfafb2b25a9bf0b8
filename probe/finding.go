// Package probe learns what one opening is and whether it relays.
//
// A Prober takes an opening and returns a Finding: the service that listens there, and one Attempt for each vector of
// the table that applies. Verdict and class are computed from the replies, never stored. Deliveries come home later
// and are joined to the attempts that sent them by their canary tokens.
//
//	Opening ─► identify ─► steps (transactions) ─► sessions within the server's budgets ─► Finding
package probe

import (
	"net/netip"
	"time"

	"relaysweep/probe/fingerprint"
	"relaysweep/probe/smtp"
)

// Finding is all that one probe learned. As JSON it leaves out what is zero: of an attempt that is most of it.
type Finding struct {
	Addr     netip.AddrPort `json:",omitzero"`
	Vantage  string         `json:",omitzero"`
	Protocol string         `json:",omitzero"` // smtp, smtps, lmtp, http, ssh, ftp, imap, pop3, …, unknown
	Note     string         `json:",omitzero"` // how the protocol was told, or why it could not be
	// Crowd are the ports of a host that answers on every port, where nothing is said on any of these. Addr is the first.
	Crowd       []uint16            `json:",omitempty"`
	Greeting    string              `json:",omitzero"`
	EHLO        []string            `json:",omitzero"`
	Extensions  []string            `json:",omitzero"`
	TLS         *TLS                `json:",omitzero"`
	Names       []string            `json:",omitzero"` // host names, the server's own word first
	Service     fingerprint.Service `json:",omitzero"`
	SeenAs      string              `json:",omitzero"` // the address that the server saw us come from, where it says so
	LocalAddr   string              `json:",omitzero"` // the address that we came from
	Attempts    []Attempt           `json:",omitzero"`
	Nonsense    smtp.Reply          `json:",omitzero"` // to RCPT without MAIL; asked only where something was accepted
	RandomLocal smtp.Reply          `json:",omitzero"` // to a random local part at the target's own domain; likewise
	// RandomForeign is the reply to a recipient under .invalid (RFC 2606); likewise.
	RandomForeign smtp.Reply `json:",omitzero"`
	// OtherIdentity is the reply to a foreign recipient from another HELO name and another sender's domain; likewise.
	OtherIdentity smtp.Reply        `json:",omitzero"`
	Help          []string          `json:",omitzero"` // the reply to HELP, where it was asked
	Source        string            `json:",omitzero"` // the source that it was reached from, where it was not the vantage's own
	Behind        string            `json:",omitzero"` // what must come before the greeting, such as a PROXY header
	EndsData      []string          `json:",omitzero"` // ends of data that are none and that it took all the same (vector I11)
	Others        map[string]string `json:",omitzero"` // canaries beside those of the attempts, with their vectors
	Injected      bool              `json:",omitzero"` // it obeyed a command sent in clear behind STARTTLS (vector I12)
	Cut           string            `json:",omitzero"` // why attempts are missing, if any are
	Sessions      []Session         `json:",omitzero"` // verbatim
	Connections   int               `json:",omitzero"`
	Commands      int               `json:",omitzero"`
	Started       time.Time         `json:",omitzero"`
	Ended         time.Time         `json:",omitzero"`
}

// SMTP reports whether a mail server answered.
func (f *Finding) SMTP() bool { return f.Protocol == "smtp" || f.Protocol == "smtps" }

// Session is one connection.
type Session struct {
	Transcript string
}

// Attempt is one form of a vector, tried on one service.
type Attempt struct {
	Vector      string     `json:",omitzero"`
	Form        string     `json:",omitzero"` // the id, with a number where a vector has several forms
	HELO        string     `json:",omitzero"`
	From        string     `json:",omitzero"` // reverse-path without angle brackets
	To          string     `json:",omitzero"` // all that followed "RCPT TO:"
	TLS         bool       `json:",omitzero"`
	Route       bool       `json:",omitzero"`
	Odd         bool       `json:",omitzero"`
	Forged      bool       `json:",omitzero"` // the sender is not ours
	OptIn       bool       `json:",omitzero"` // a row that was asked for by name
	AuthOffered bool       `json:",omitzero"`
	Params      string     `json:",omitzero"` // of MAIL
	Source      string     `json:",omitzero"` // where it came from, if not from the vantage's own address
	Before      []Exchange `json:",omitzero"` // commands before MAIL, and a header before the greeting
	Canary      string     `json:",omitzero"`
	Mail        smtp.Reply `json:",omitzero"`
	Rcpt        smtp.Reply `json:",omitzero"`
	Data        smtp.Reply `json:",omitzero"`
	End         smtp.Reply `json:",omitzero"`
	Barred      string     `json:",omitzero"` // why the server turned it away before MAIL: its HELO name, a header
	Failure     string     `json:",omitzero"` // why there is no verdict, if the server gave none
	Session     int        `json:",omitzero"` // index into Sessions, plus one; 0: not tried
	Sent        time.Time  `json:",omitzero"`
	Delivered   bool       `json:",omitzero"`
	Bounced     bool       `json:",omitzero"` // a bounce of its canary came home
	Home        *Delivery  `json:",omitzero"`
}

// Exchange is a command with its reply.
type Exchange struct {
	Line  string
	Reply smtp.Reply
}

// forget takes back what an attempt was answered, and says why.
func (a *Attempt) forget(why string) {
	a.Mail, a.Rcpt, a.Data, a.End, a.Before, a.Barred, a.Failure = smtp.Reply{}, smtp.Reply{}, smtp.Reply{}, smtp.Reply{}, nil, "", why
}

func (a *Attempt) mailLine() string {
	if a.Params != "" {
		return "MAIL FROM:<" + a.From + "> " + a.Params
	}
	return "MAIL FROM:<" + a.From + ">"
}

// last is the reply that decided.
func (a *Attempt) last() (string, smtp.Reply) {
	switch {
	case a.Mail.Code == 0 && len(a.Before) > 0:
		return "BEFORE", a.Before[len(a.Before)-1].Reply
	case a.End.Code != 0:
		return "END", a.End
	case a.Data.Code != 0:
		return "DATA", a.Data
	case a.Rcpt.Code != 0:
		return "RCPT", a.Rcpt
	}
	return "MAIL", a.Mail
}

func (a *Attempt) stage() stage {
	switch name, _ := a.last(); name {
	case "END":
		return atEnd
	case "DATA":
		return atData
	case "RCPT":
		return atRcpt
	case "BEFORE":
		return atBefore
	}
	return atMail
}

// Transcript is the attempt's own part of its session.
func (a *Attempt) Transcript() string {
	var t string
	line := func(command string, r smtp.Reply) {
		if r.Code == 0 && len(r.Lines) == 0 {
			return
		}
		t += "C: " + smtp.Escape(command) + "\n"
		for i, l := range r.Lines {
			sep := "-"
			if i == len(r.Lines)-1 {
				sep = " "
			}
			t += "S: " + itoa(r.Code) + sep + smtp.Escape(l) + "\n"
		}
	}
	for _, x := range a.Before {
		line(x.Line, x.Reply)
	}
	line(a.mailLine(), a.Mail)
	line("RCPT TO:"+a.To, a.Rcpt)
	line("DATA", a.Data)
	line(".", a.End)
	return t
}

// TLS is what the handshake showed. Certificates are not verified: an inventory wants to see them all.
type TLS struct {
	Mode      string    `json:",omitzero"` // implicit or starttls
	Version   string    `json:",omitzero"`
	Cipher    string    `json:",omitzero"`
	Legacy    bool      `json:",omitzero"` // older than TLS 1.2
	Subject   string    `json:",omitzero"`
	Issuer    string    `json:",omitzero"`
	Names     []string  `json:",omitzero"`
	NotBefore time.Time `json:",omitzero"`
	NotAfter  time.Time `json:",omitzero"`
	SHA256    string    `json:",omitzero"`
	Error     string    `json:",omitzero"` // why the handshake failed
}
