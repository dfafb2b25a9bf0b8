package report

import (
	"fmt"
	"strings"
)

// webApprovals is the section on what is approved.
type webApprovals struct {
	Line       string
	Violations []webViolation
	More       string
	Rows       []webApproval
}

type webViolation struct {
	Severity, Endpoint, SortAddr, ID, Kind, Text string
	Rank                                         int
}

type webApproval struct{ State, Why, What, Vantage, Service, Relay, Owner, Approver, Until, Ticket, Reason, Where string }

// maxViolations is how many findings about approvals a page shows.
const maxViolations = 5000

// webApprovalsOf makes the section; nil: none were read. ids are those of the mail services on the page.
func webApprovalsOf(r *Report, ids map[string]string) *webApprovals {
	if r.Approvals == nil {
		return nil
	}
	w := &webApprovals{Line: r.approvalLine()}
	for i := range r.Violations {
		v := &r.Violations[i]
		if i == maxViolations {
			w.More = fmt.Sprintf("and %s more: the JSON Lines list them", number(len(r.Violations)-i))
			break
		}
		row := webViolation{Severity: v.Severity.String(), Rank: int(v.Severity), Endpoint: v.endpoint(), Kind: string(v.Kind), Text: plain(v.Text)}
		if v.Addr.IsValid() {
			a := v.Addr.Addr().As16()
			row.SortAddr, row.ID = fmt.Sprintf("%x%04x", a[:], v.Addr.Port()), ids[row.Endpoint+v.Vantage]
		}
		w.Violations = append(w.Violations, row)
	}
	for i := range r.Approvals {
		u := &r.Approvals[i]
		w.Rows = append(w.Rows, webApproval{
			State: strings.ReplaceAll(string(u.State), "-", " "), Why: plain(u.Why), What: u.what(), Vantage: plain(u.Vantage), Service: plain(u.Service), Relay: plain(u.relay()),
			Owner: plain(u.Owner), Approver: plain(u.Approver), Until: u.lastDay(), Ticket: plain(u.Ticket), Reason: plain(u.Reason), Where: plain(u.Where),
		})
	}
	return w
}
