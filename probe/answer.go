package probe

import (
	"slices"
	"strconv"
	"strings"

	"relaysweep/probe/smtp"
)

// stage is the command that a reply answers.
type stage uint8

const (
	atMail stage = 1 << iota
	atRcpt
	atData
	atEnd
	atBefore // AUTH, XCLIENT and the like
	anywhere = atMail | atRcpt | atData | atEnd
)

// answer is the class of a reply: what it means for relaying.
type answer string

// The classes of replies.
const (
	yes            answer = "accepted"
	relayDenied    answer = "relay denied"
	authNeeded     answer = "authentication needed"
	tlsNeeded      answer = "STARTTLS needed"
	recipientBad   answer = "no such recipient"
	routeRefused   answer = "address form refused"
	senderRefused  answer = "sender refused"
	syntaxError    answer = "syntax error"
	scannerRefused answer = "refused because of the scanner"
	domainUnknown  answer = "recipient domain not found"
	greylisted     answer = "greylisted"
	tooMany        answer = "limit reached"
	temporary      answer = "temporary failure"
	policy         answer = "refused without a relay reason"
)

// phrase is one row of the table of texts. The first row that fits decides.
type phrase struct {
	at     stage
	codes  string // first digits, separated by blanks; empty: any refusal
	text   string // RE2, over the lower-case text without addresses
	answer answer
}

// phrases is ordered: what is certain first. Sources: RELAY.md 2a and 3 in the project's notes; RFC 3207 4 and RFC 4954
// 4 and 6 for 530; Postfix postconf(5), Exim's default ACLs, sendmail's cf/README, Exchange NDR lists, qmail-smtpd(8).
var phrases = []phrase{
	{at: anywhere, codes: "530 538 554 550 451", text: `must issue a? ?starttls|starttls (command )?first|starttls is required|tls (is )?required|encryption required|needs? (to use )?(starttls|tls|encryption)|require.{0,20}(starttls|tls encryption)`, answer: tlsNeeded},
	{at: anywhere, text: `\bdmarc\b|\bdkim\b`, answer: senderRefused}, // "unauthenticated" in these is no call for AUTH
	{at: anywhere, text: `issue an auth command first|auth(entication)? (is )?required|requires? (smtp )?auth|must (first )?(be )?auth|please (log ?in|auth)|not (been )?authenticated|must log ?in|authenticate (first|before)|smtp auth|need to auth|unauthenticated|check mail before sending|pop before smtp|auth first`, answer: authNeeded},
	{at: anywhere, codes: "530", answer: authNeeded},
	{at: anywhere, text: `blocked using|\bdnsbl\b|\brbl\b|spamhaus|spamcop`, answer: scannerRefused}, // lists of open relays, too
	{at: atRcpt | atData | atEnd, text: `(cannot|can't) deliver mail for|relay(ing|ed)? (access )?(is )?(denied|not (permitted|allowed|possible)|prohibited|refused|rejected|forbidden|attempt)|relay access|(un|not )able to relay|cannot relay|can't relay|(no|not|don't|do not|does not|won't|will not|refuse to|never) relay|relaying (mail )?(to|for|is)|allowed to relay|permitted to relay|to relay (through|mail|to|for|via)|not (an? )?(open )?(relay|gateway)|insecure mail relay|mail relay|as a relay|open relay|rcpthosts|third.?party|not configured to relay|tenantattribution|not in my list|isn't in my list|not (a )?local (host|domain|address|user|recipient)|non.?local|we don'?t handle mail for|not (hosted|handled|served) (here|by)|domain (is )?not (valid|accepted|allowed|local|hosted)|no such domain|not our customer|out of domain|external recipient|recipient (domain )?not (allowed|permitted|local)`, answer: relayDenied},
	{at: anywhere, text: `grey ?list|gray ?list|postgrey|milter-greylist|greylisting in action`, answer: greylisted},
	{at: anywhere, codes: "4", text: `service currently unavailable|unverified address|verification in progress`, answer: greylisted}, // postscreen, after it let us pass; Postfix
	{at: atMail | atRcpt, text: `protocol error$`, answer: syntaxError},
	{at: anywhere, text: `too much mail|too many (errors|connections|recipients|concurrent|sessions|messages|bad|invalid|failed|syntax|protocol|unknown|hops|simultaneous)|rate limit|limit exceeded|exceeded.{0,40}(limit|number)|throttl|slow down|connection rate`, answer: tooMany},
	{at: atMail | atRcpt, text: `sender address rejected|sender (verify|verification)|sender domain|domain of sender|sender.{0,30}(not exist|reject|refus|denied|unknown|invalid|does not resolve)|(your|envelope) sender|mail from.{0,30}(not allowed|denied|must)|originator|bad sender|sender.s? address|not allowed to send (as|from)|\bspf\b|dmarc`, answer: senderRefused},
	{at: anywhere, text: `client host|your (host|ip|address|server|network|client|reverse|dns)|blocked using|black ?list|block ?list|deny ?list|dnsbl|\brbl\b|spamhaus|spamcop|barracuda|reputation|listed (in|by|at|on)|reverse (dns|host|lookup|path lookup)|\bptr\b|\brdns\b|helo command|(helo|ehlo) (name|argument|host|reject|invalid|syntax)|invalid (helo|ehlo)|fully.qualified host|client.{0,20}(reject|denied|block)|ip address.{0,40}(reject|block|denied|refus|not allowed)|connection (refused|rejected|denied)|access from|from your|banned|not accepted from|service currently unavailable|dynamic ip|your country|unauthori[sz]ed (client|host)`, answer: scannerRefused},
	{at: atRcpt | atEnd, text: `domain not found|host (or domain name )?not found|unrout(e)?able|no mx|name service error|unable to resolve|cannot resolve|does not resolve|unresolvable|(domain|host) does not exist|nullmx|does not accept mail|no such host|bad destination system|unknown (host|domain)|all relevant mx`, answer: domainUnknown},
	{at: atRcpt | atEnd, text: `restricted characters|sender.specified routing|routing (not|is not|denied|forbidden)|source rout|percent|illegal (route|routing|character)|bang|uucp|explicit rout|address (syntax|format)|malformed|bad (recipient )?address syntax|invalid address|not allowed in address|domain literal|missing or malformed|illegal address|mailbox name (not allowed|syntax)|local.part`, answer: routeRefused},
	{at: atRcpt | atEnd, text: `user unknown|unknown (user|recipient|local)|no such (user|mailbox|recipient|person|address|account)|mailbox (unavailable|unknown|not found|does not exist)|recipient (address rejected|rejected|unknown|not found|refused|does not)|does ?n(o|')t (exist|have (an )?account)|invalid (recipient|mailbox|user)|not a valid (mailbox|recipient|user)|address (unknown|rejected|does not exist)|no mailbox|user doesn't|unknown address|recipient denied`, answer: recipientBad},
	{at: anywhere, codes: "4", text: `try again|later|come back|temporar|deferred|delayed`, answer: greylisted},
}

// texts finds the rows of phrases whose text is in a reply.
var texts = func() *matcher {
	var patterns []string
	for _, p := range phrases {
		patterns = append(patterns, p.text)
	}
	return newMatcher(patterns)
}()

// classify says what a reply to a stage means. authOffered matters where a server refuses every client that has not
// authenticated with the text of an access list (Postfix's submission service does).
func classify(at stage, r smtp.Reply, authOffered bool) answer {
	return make(memory).classify(at, r, authOffered)
}

// memory holds which phrases texts show. Most of a server's refusals differ in nothing but what they repeat.
type memory map[string]uint64

func (m memory) classify(at stage, r smtp.Reply, authOffered bool) answer {
	if r.Code == 0 {
		return temporary
	}
	if r.Code < 400 {
		return yes
	}
	text := r.Text()
	if len(text) > 1024 {
		text = text[:1024]
	}
	if authOffered && strings.Contains(strings.ToLower(text), "client host rejected: access denied") {
		return authNeeded
	}
	text = withoutEcho(text)
	found, known := m[text]
	if !known {
		found = texts.in(text)
		m[text] = found
	}
	code := strconv.Itoa(r.Code)
	for i, p := range phrases {
		if p.at&at == 0 || p.text != "" && found&(1<<i) == 0 {
			continue
		}
		if p.codes == "" || slices.ContainsFunc(strings.Fields(p.codes), func(c string) bool { return strings.HasPrefix(code, c) }) {
			return p.answer
		}
	}
	return byCode(at, r)
}

// byCode decides by the codes alone (RFC 5321 4.2.3, RFC 3463 3).
func byCode(at stage, r smtp.Reply) answer {
	switch r.Enhanced() {
	case "5.7.54", "5.7.64":
		return relayDenied
	case "5.7.57":
		return authNeeded
	case "5.1.1", "5.1.6", "5.2.1":
		if at != atMail {
			return recipientBad
		}
	case "5.1.3":
		return routeRefused
	case "5.1.7", "5.1.8":
		return senderRefused
	case "4.2.0", "4.7.0", "4.7.1":
		return greylisted
	}
	switch {
	case r.Code == 421:
		return tooMany
	case r.Code == 452 && at == atRcpt:
		return tooMany
	case r.Code == 450 || r.Code == 451:
		return greylisted
	case r.Code < 500:
		return temporary
	case r.Code <= 504 || r.Code == 555:
		return syntaxError
	case at == atMail:
		return senderRefused
	case at == atRcpt && (r.Code == 550 || r.Code == 551 || r.Code == 553 || r.Code == 554 || r.Code == 571):
		return relayDenied // RFC 5321 3.6.2: a relay refusal should be 550
	}
	return policy
}

// rejected turns a refusal into a verdict: refused only where the server decided about relaying, unknown where it
// decided about us or put off the decision.
func (m memory) rejected(at stage, r smtp.Reply, a *Attempt) (Verdict, string) {
	c := m.classify(at, r, a.AuthOffered)
	text := string(c) + ": " + short(r)
	switch c {
	case relayDenied, authNeeded, recipientBad, routeRefused:
		return Refused, text
	case senderRefused:
		// The sender is the point of most vectors: refusing it closes them. Where it is our own, it says nothing.
		if a.Forged {
			return Refused, text
		}
		return Unknown, "refused because of the scanner: " + short(r)
	case syntaxError:
		// A form that is no address there cannot relay; a plain one that is refused so is our trouble.
		if a.Odd || a.Route || a.Params != "" || at == atMail && a.Forged {
			return Refused, text
		}
		return Unknown, text
	case policy:
		if at == atData {
			return Refused, text
		}
		return Unknown, text // after the message it is about the message: content, size
	case domainUnknown:
		if a.namesLocal() {
			return Refused, string(recipientBad) + ": " + short(r)
		}
		return Unknown, "the relay check may have passed, but the recipient's domain was not found: " + short(r)
	case scannerRefused:
		// After the recipient was accepted, content and policy refusals are a refusal to carry the message.
		return Unknown, text
	}
	return Unknown, text
}

// namesLocal reports whether a route form's last domain is the target's: what is unknown then is a local name.
func (a *Attempt) namesLocal() bool {
	_, canary, _ := strings.Cut(a.From, "@")
	return a.Route && !strings.HasSuffix(strings.TrimRight(a.To, ">."), canary)
}

func short(r smtp.Reply) string {
	s := r.String()
	if len(s) > 200 { // escaped it is no shorter
		s = s[:200]
	}
	if s = smtp.Escape(s); len(s) > 120 {
		s = strings.ToValidUTF8(s[:117], "") + "…"
	}
	return s
}
