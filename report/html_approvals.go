package report

import "fmt"

// webApprovals is the section on what is approved.
type webApprovals struct {
	Head, Line       string
	Columns          []string // of the findings
	Violations       []webViolation
	More             string
	All              string
	ApprovalsColumns []string
	Rows             []webApproval
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
	l := r.lang
	w := &webApprovals{
		Head: approvalsHead.in(l), Line: r.approvalLine(), All: approvalsAll.with(l, len(r.Approvals)),
		Columns:          headings(l, "severity", "endpoint", "kind", "finding"),
		ApprovalsColumns: headings(l, "state", "approved", "vantage", "service", "owner", "approver", "until", "ticket", "reason"),
	}
	for i := range r.Violations {
		v := &r.Violations[i]
		if i == maxViolations {
			w.More = forgottenMore.with(l, len(r.Violations)-i)
			break
		}
		row := webViolation{Severity: v.Severity.String(), Rank: int(v.Severity), Endpoint: v.endpoint(), Kind: approvalWords[v.Kind].in(l), Text: plain(v.Text)}
		if v.Addr.IsValid() {
			a := v.Addr.Addr().As16()
			row.SortAddr, row.ID = fmt.Sprintf("%x%04x", a[:], v.Addr.Port()), ids[row.Endpoint+v.Vantage]
		}
		w.Violations = append(w.Violations, row)
	}
	for i := range r.Approvals {
		u := &r.Approvals[i]
		w.Rows = append(w.Rows, webApproval{
			State: approvalWords[u.State].in(l), Why: plain(u.why.in(l)), What: u.what(), Vantage: plain(u.Vantage), Service: plain(u.service()), Relay: plain(u.relay(l)),
			Owner: plain(u.Owner), Approver: plain(u.Approver), Until: u.lastDay(), Ticket: plain(u.Ticket), Reason: plain(u.Reason), Where: plain(u.Where),
		})
	}
	return w
}
