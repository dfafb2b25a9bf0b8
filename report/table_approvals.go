package report

import (
	"fmt"
	"slices"
)

// approvals is the section on what is approved: what stands against it, and with --verbose every approval.
func (p *page) approvals() {
	if p.r.Approvals == nil {
		return
	}
	l := p.r.lang
	p.heading(approvalsHead.in(l))
	p.hang("  ", "", p.r.approvalLine())
	const most = 30
	for i := range p.r.Violations {
		v := &p.r.Violations[i]
		if i == most && !p.o.Verbose {
			p.hang("  ", "", approvalsMore.with(l, len(p.r.Violations)-most))
			break
		}
		p.hangAt(12, "  "+v.Severity.String(), severityColour(v.Severity), joinNonEmpty(" ", v.endpoint(), v.Text))
	}
	if i := slices.IndexFunc(p.r.Violations, func(v Violation) bool { return v.Kind == IsUnapproved }); i >= 0 {
		p.hang("  ", "", approvalsAdvice.with(l, p.r.Violations[i].Addr.String()))
	}
	listed := 0
	for i := range p.r.Approvals {
		u := &p.r.Approvals[i]
		if !p.o.Verbose && (u.State != IsNotChecked || listed == most) {
			continue
		}
		listed++
		p.hang("  ", dim, joinNonEmpty("; ", approvalWords[u.State].in(l)+": "+u.what(), u.why.in(l), u.relay(l), untilWord.with(l, u.lastDay()), u.who().in(l)))
	}
}

// endpoint is the listener of a violation, where it is about one.
func (v *Violation) endpoint() string {
	if !v.Addr.IsValid() {
		return ""
	}
	return v.Addr.String()
}

// relay says for whom an approved service may relay.
func (a *Approval) relay(l Lang) string {
	switch {
	case len(a.RelayFrom) == 0:
		return ""
	case len(a.RelayTo) == 0:
		return mayRelayFor.with(l, joined(a.RelayFrom, 6))
	}
	return mayRelayForTo.with(l, joined(a.RelayFrom, 6), joined(a.RelayTo, 6))
}

// approvedAmong counts the relays that are approved, where some are.
func approvedAmong(exposed []*Entry) string {
	n := 0
	for i := range exposed {
		if exposed[i].approvedRelay {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s of them as approved)", number(n))
}

// approvalCell is a fact of an entry's approval.
func (e *Entry) approvalCell(of func(*Approval) string) string {
	if e.Approval == nil {
		return ""
	}
	return plain(of(&e.Approval.Approval))
}

// approvalFact is how an entry stands to the approvals.
func (e *Entry) approvalFact() string {
	if e.Approval == nil {
		return string(e.ApprovalState)
	}
	a := &e.Approval.Approval
	return plain(joinNonEmpty("; ", string(e.ApprovalState), a.who().en, "until "+a.lastDay(), a.relay(English), a.Reason))
}
