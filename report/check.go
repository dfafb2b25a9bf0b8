package report

import (
	"net/url"
	"slices"

	"relaysweep/probe"
	"relaysweep/probe/smtp"
)

// check is what a finding is reported as to programs that follow findings from scan to scan. Ids are a contract: they
// are added, never changed.
type check struct {
	id   string
	name string // as SARIF likes it
	text string
	cwe  int // 0: none fits
}

// checks are in the order in which checkOf decides.
var checks = []check{
	{"open-relay", "OpenRelay", "The server relays mail from strangers to foreign addresses, as far as the proof beside it goes.", cweProxy},
	{"may-relay", "MayRelay", "The server accepted a foreign recipient or a form of one; it may relay, and that is not proven.", cweProxy},
	{"unexplained-path", "UnexplainedPath", "The opening answers although the firewall rules that were read deny it.", 0},
	{"opening", "Opening", "The firewalls let connections through, and something listens. Nothing was said to it.", 0},
	{"sink", "MailSink", "The server takes every message: a forgotten test or trap server.", 0},
	{"not-judged", "NotJudged", "The relay test of a mail server came to no verdict. It is not known to refuse.", 0},
	{"weak-mail-server", "WeakMailServer", "The mail server refused to relay, and has other faults.", 0},
	{"mail-server", "MailServer", "The mail server refused to relay, in every form that was tried.", 0},
	{"listener", "Listener", "What listens there is no mail server, or is not known.", 0},
}

// Weaknesses (CWE).
const (
	cweProxy       = 441  // unintended proxy or intermediary
	cweSpoofing    = 290  // authentication bypass by spoofing
	cweInjection   = 77   // command injection
	cweSmuggling   = 444  // inconsistent interpretation of requests
	cweClearText   = 319  // cleartext transmission of sensitive information
	cweWeakCrypto  = 326  // inadequate encryption strength
	cweUnsupported = 1104 // use of unmaintained third party components
)

func checkIndex(e *Entry) int {
	id := ""
	switch {
	case e.exposed() && e.Verdict >= probe.Ready:
		id = "open-relay"
	case e.exposed(), e.mayRelay():
		id = "may-relay"
	case e.unexplained():
		id = "unexplained-path"
	case !e.spoken():
		id = "opening"
	case e.Class == probe.Sink:
		id = "sink"
	case e.Class == probe.Undetermined, e.Class == probe.CatchAll:
		id = "not-judged"
	case e.mail() && len(e.Weak) > 0:
		id = "weak-mail-server"
	case e.mail():
		id = "mail-server"
	default:
		id = "listener"
	}
	return slices.IndexFunc(checks, func(c check) bool { return c.id == id })
}

// cwe is the gravest weakness of an entry; 0: none.
func (e *Entry) cwe(c check) int {
	f := &e.Finding
	_, xclient := smtp.ParseExtensions(smtp.Reply{Lines: f.EHLO})["XCLIENT"]
	switch {
	case c.cwe != 0 || !f.SMTP():
		return c.cwe
	case xclient, f.Behind != "":
		return cweSpoofing
	case f.Injected:
		return cweInjection
	case len(f.EndsData) > 0:
		return cweSmuggling
	case clearTextAuth(f):
		return cweClearText
	case f.TLS != nil && f.TLS.Legacy:
		return cweWeakCrypto
	case f.Service.EndOfLife != "" && len(e.Weak) > 0:
		return cweUnsupported
	}
	return 0
}

// identity names what was found, where, and from where: it is the same from scan to scan. The check belongs to it: who
// was told that a server refuses must be told anew when it relays. So does the site, where one is set: another has other
// servers at the same private addresses.
func (e *Entry) identity(c check) string {
	id := shorten(e.Finding.Vantage, 100) + "/" + e.Finding.Addr.String() + "/" + c.id
	if e.site != "" {
		id = shorten(e.site, 100) + "/" + id
	}
	return id
}

// uri is where an entry was found.
func (e *Entry) uri() string {
	scheme := "tcp"
	switch p := e.Finding.Protocol; p {
	case "smtp", "smtps", "lmtp", "http", "ssh", "ftp", "imap", "pop3":
		scheme = p
	}
	return (&url.URL{Scheme: scheme, Host: e.Finding.Addr.String()}).String()
}
