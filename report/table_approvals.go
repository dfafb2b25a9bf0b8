package report

import (
	"fmt"
	"slices"
	"strings"
)

// approvals is the section on what is approved: what stands against it, and with --verbose every approval.
func (p *page) approvals() {
	if p.r.Approvals == nil {
		return
	}
	p.heading("Approvals")
	p.hang("  ", "", p.r.approvalLine())
	const most = 30
	for i := range p.r.Violations {
		v := &p.r.Violations[i]
		if i == most && !p.o.Verbose {
			p.hang("  ", "", fmt.Sprintf("and %d more findings: --verbose, the HTML report and the JSON Lines list them", len(p.r.Violations)-most))
			break
		}
		p.hangAt(12, "  "+v.Severity.String(), severityColour(v.Severity), joinNonEmpty(" ", v.endpoint(), v.Text))
	}
	if i := slices.IndexFunc(p.r.Violations, func(v Violation) bool { return v.Kind == IsUnapproved }); i >= 0 {
		p.hang("  ", "", "Close what nobody needs. What somebody owns is approved for a time: relaysweep approve "+p.r.Violations[i].Addr.String())
	}
	listed := 0
	for i := range p.r.Approvals {
		u := &p.r.Approvals[i]
		if !p.o.Verbose && (u.State != IsNotChecked || listed == most) {
			continue
		}
		listed++
		state := strings.ReplaceAll(string(u.State), "-", " ")
		p.hang("  ", dim, joinNonEmpty("; ", state+": "+u.what(), u.Why, u.relay(), "until "+u.lastDay(), u.who().en))
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
func (a *Approval) relay() string {
	if len(a.RelayFrom) == 0 {
		return ""
	}
	s := "may relay for " + joined(a.RelayFrom, 6)
	if len(a.RelayTo) > 0 {
		s += " to " + joined(a.RelayTo, 6)
	}
	return s
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
	return plain(joinNonEmpty("; ", string(e.ApprovalState), a.who().en, "until "+a.lastDay(), a.relay(), a.Reason))
}
