package probe

import (
	"fmt"
	"slices"
)

// Verdict is what an attempt, or a finding, proves. It is a ladder: the greatest attempt decides.
type Verdict int8

// The rungs. Unknown is zero and stands above Refused: one doubt keeps a finding from being called refused.
const (
	Refused   Verdict = iota - 1 // the server refused to relay, for a relay reason
	Unknown                      // we could not tell: silent, greylisted, refused because of us, out of budget
	Accepted                     // RCPT for a foreign address got 25x
	Ready                        // DATA got 354; the line was cut, so no message exists (RFC 5321 4.1.1.10)
	Queued                       // the canary got 250 after the final dot
	Delivered                    // the canary came home. The only proof
)

var verdictNames = [...]string{"refused", "unknown", "accepted", "ready", "queued", "delivered"}

func (v Verdict) String() string { return verdictNames[v+1] }

// MarshalText writes the verdict's name.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads a verdict's name.
func (v *Verdict) UnmarshalText(b []byte) error {
	for i, n := range verdictNames {
		if n == string(b) {
			*v = Verdict(i - 1)
			return nil
		}
	}
	return fmt.Errorf("unknown verdict %q: it is one of accepted, ready, delivered", b)
}

// Class says what kind of service a finding is, beside its verdict.
type Class string

// The classes.
const (
	Relay        Class = "relay"        // takes mail for foreign addresses
	Sink         Class = "sink"         // takes everything, delivers nothing
	CatchAll     Class = "catch-all"    // takes any local part; route forms are local names there
	AuthOnly     Class = "auth-only"    // relays only after authentication
	ClosedRelay  Class = "closed"       // refuses to relay
	NotSMTP      Class = "not-smtp"     // something else listens
	Undetermined Class = "undetermined" // we could not tell
)

// Verdict is the verdict of one attempt, computed from its replies.
func (a *Attempt) Verdict() Verdict { v, _ := a.judge(make(memory)); return v }

// Reason says in a few words why.
func (a *Attempt) Reason() string { _, r := a.judge(make(memory)); return r }

// judge computes verdict and reason.
func (a *Attempt) judge(m memory) (Verdict, string) {
	switch {
	case a.Delivered:
		return Delivered, "the canary came home"
	case a.Failure != "":
		return Unknown, a.Failure
	case a.Barred != "":
		return Refused, a.Barred
	case a.End.Code/100 == 2:
		return Queued, "the message was taken: " + short(a.End)
	case a.End.Code != 0:
		return m.rejected(atEnd, a.End, a)
	case a.Data.Code == 354:
		return Ready, "DATA was answered 354"
	case a.Data.Code != 0:
		return m.rejected(atData, a.Data, a)
	case a.Rcpt.Code/100 == 2:
		return Accepted, "RCPT was accepted: " + short(a.Rcpt)
	case a.Rcpt.Code != 0:
		return m.rejected(atRcpt, a.Rcpt, a)
	case a.Mail.Code/100 == 2:
		return Unknown, "the server hung up after MAIL"
	case a.Mail.Code != 0:
		return m.rejected(atMail, a.Mail, a)
	case len(a.Before) > 0:
		if _, r := a.last(); r.Code >= 500 {
			return Refused, "refused before MAIL: " + short(r)
		}
		return Unknown, "it came to no MAIL: " + short(a.Before[len(a.Before)-1].Reply)
	}
	return Unknown, "not tried"
}

// Proof is what an attempt proves, and why.
type Proof struct {
	Verdict Verdict
	Reason  string
}

// Proofs are what the attempts of a finding prove, in their order. To read replies takes longer than all that is
// concluded from them, so they are read once.
type Proofs struct {
	Each []Proof

	*Finding
	memory memory
	class  Class // "" until it is asked for
	reason string
}

// Proofs reads the replies to the finding's attempts.
func (f *Finding) Proofs() *Proofs {
	p := &Proofs{Each: make([]Proof, len(f.Attempts)), Finding: f, memory: make(memory)}
	for i := range f.Attempts {
		p.Each[i].Verdict, p.Each[i].Reason = f.Attempts[i].judge(p.memory)
	}
	return p
}

// Verdict is the greatest verdict of the attempts.
func (f *Finding) Verdict() Verdict { return f.Proofs().Verdict() }

// Verdict is the greatest verdict of the attempts.
func (f *Proofs) Verdict() Verdict {
	if len(f.Attempts) == 0 {
		return Unknown
	}
	v := Refused
	for i := range f.Each {
		v = max(v, f.Each[i].Verdict)
	}
	if v <= Unknown && f.Cut != "" {
		return Unknown
	}
	return v
}

// Opened lists the ids of the vectors that were accepted or better, each once, in the order tried.
func (f *Finding) Opened() []string { return f.Proofs().Opened() }

// Opened lists the ids of the vectors that were accepted or better, each once, in the order tried.
func (f *Proofs) Opened() []string {
	var ids []string
	seen := make(map[string]bool)
	for i := range f.Attempts {
		if a := &f.Attempts[i]; f.Each[i].Verdict >= Accepted && !seen[a.Vector] {
			seen[a.Vector] = true
			ids = append(ids, a.Vector)
		}
	}
	return ids
}

// Class computes the class, with the reason where it is not plain.
func (f *Finding) Class() Class { return f.Proofs().Class() }

// Class computes the class, with the reason where it is not plain.
func (f *Proofs) Class() Class {
	if f.class == "" {
		f.class, f.reason = f.classify()
	}
	return f.class
}

// Reason says in a sentence how the verdict and class came about.
func (f *Finding) Reason() string { return f.Proofs().Reason() }

// Reason says in a sentence how the verdict and class came about.
func (f *Proofs) Reason() string {
	f.Class()
	return f.reason
}

func (f *Proofs) classify() (Class, string) {
	if !f.SMTP() && len(f.Attempts) == 0 { // QMTP and QMQP are tested as well
		return NotSMTP, f.Note
	}
	plain, route := f.best(false), f.best(true)
	verdict := f.Verdict()
	switch {
	case verdict == Delivered:
		return Relay, "the canary came home: " + f.because(verdict)
	case plain >= Accepted:
		return f.classifyPlain(verdict)
	case route >= Accepted:
		return f.classifyRoute(verdict)
	case f.wantsAuth():
		return AuthOnly, "it asks for authentication before it relays"
	case verdict == Refused:
		return ClosedRelay, "every vector was refused"
	}
	return Undetermined, f.doubt()
}

// classifyPlain judges a server that took a foreign address as it is.
func (f *Proofs) classifyPlain(verdict Verdict) (Class, string) {
	switch {
	case f.Nonsense.Positive():
		return Sink, "it says yes even to RCPT without MAIL, as no mail server does: " + short(f.Nonsense)
	case f.Service.Kind == "sink":
		return Sink, f.Service.Product + " takes everything and is made to deliver nothing"
	case verdict == Queued && f.bounced():
		return Sink, "it took the canary and sent a bounce: it accepts, then bounces (backscatter)"
	case verdict == Queued:
		return Sink, "it took the canary, which has not come home: it holds or drops it, or cannot get out: " + f.because(verdict)
	case f.Suspected() != "":
		return Relay, f.because(verdict) + "; it takes every address, so it may be a sink: only a delivery can tell"
	case classify(atRcpt, f.OtherIdentity, false) == relayDenied: // and not greylisted, or its sender refused
		return Relay, f.because(verdict) + "; it refused another name and sender, so it trusts ours: " + short(f.OtherIdentity)
	}
	return Relay, f.because(verdict)
}

// classifyRoute judges a server that took foreign addresses as route forms only.
func (f *Proofs) classifyRoute(verdict Verdict) (Class, string) {
	switch {
	case verdict == Queued && f.bounced():
		return CatchAll, "it took the canary as a local name and sent a bounce: it accepts, then bounces (backscatter)"
	case verdict == Queued:
		return CatchAll, "it took the canary in a route form, and the canary has not come home: it may be a local name there"
	case f.Service.Product == "Postfix" && f.opens("R1", "R7", "R12"):
		// Postfix takes such forms from strangers only with allow_untrusted_routing = yes (postconf(5)).
		return Relay, f.because(verdict) + "; Postfix refuses such routes unless it is told to hand them on"
	case f.RandomLocal.Positive():
		return CatchAll, "any local name is accepted there, so route forms may be local names: only a delivery can tell"
	case f.RandomLocal.Code == 0:
		return Undetermined, "route forms are accepted; whether as local names could not be asked: " + f.because(verdict)
	}
	return Relay, f.because(verdict)
}

// Suspected names a class that a relay may belong to as well, as far as a scan can tell that stops before delivery.
func (f *Finding) Suspected() Class { return f.Proofs().Suspected() }

// Suspected names a class that a relay may belong to as well, as far as a scan can tell that stops before delivery.
func (f *Proofs) Suspected() Class {
	if v := f.Verdict(); v >= Accepted && v < Queued && f.best(false) >= Accepted && f.RandomLocal.Positive() && f.RandomForeign.Positive() {
		return Sink
	}
	return ""
}

func (f *Finding) bounced() bool {
	return slices.ContainsFunc(f.Attempts, func(a Attempt) bool { return a.Bounced })
}

func (f *Proofs) opens(ids ...string) bool {
	for i := range f.Attempts {
		if f.Each[i].Verdict >= Accepted && slices.Contains(ids, f.Attempts[i].Vector) {
			return true
		}
	}
	return false
}

// best is the greatest verdict among route forms, or among all others.
func (f *Proofs) best(route bool) Verdict {
	v := Refused
	for i := range f.Attempts {
		if f.Attempts[i].Route == route {
			v = max(v, f.Each[i].Verdict)
		}
	}
	return v
}

func (f *Proofs) because(v Verdict) string {
	for i := range f.Attempts {
		if f.Each[i].Verdict == v {
			return fmt.Sprintf("%s: %s", f.Attempts[i].Vector, f.Each[i].Reason)
		}
	}
	return ""
}

// doubt names the reason for an unknown verdict, and how many attempts it touches.
func (f *Proofs) doubt() string {
	if f.Cut != "" && len(f.Attempts) == 0 {
		return f.Cut
	}
	var first string
	n := 0
	for i := range f.Attempts {
		if f.Each[i].Verdict == Unknown {
			if n == 0 {
				first = f.Attempts[i].Vector + ": " + f.Each[i].Reason
			}
			n++
		}
	}
	switch {
	case n == 0 && f.Cut != "":
		return f.Cut
	case n == 0:
		return f.Note
	case f.Cut != "":
		return fmt.Sprintf("%d of %d attempts could not tell; %s", n, len(f.Attempts), f.Cut)
	}
	return fmt.Sprintf("%d of %d attempts could not tell; first %s", n, len(f.Attempts), first)
}

// wantsAuth reports whether the plain attempts were refused for want of authentication and nothing was accepted.
func (f *Proofs) wantsAuth() bool {
	if f.Verdict() > Unknown {
		return false
	}
	n, all := 0, 0
	for i := range f.Attempts {
		a := &f.Attempts[i]
		if a.Route || a.OptIn || a.Failure != "" {
			continue
		}
		all++
		if _, r := a.last(); f.memory.classify(a.stage(), r, a.AuthOffered) == authNeeded {
			n++
		}
	}
	return n > 0 && 2*n >= all
}
