package report

import "net/netip"

// approvalFacts is an approval, as a finding and others name it.
type approvalFacts struct {
	Address   string   `json:"address"`     // a prefix
	Ports     []uint16 `json:"ports"`       // none: all
	From      string   `json:"for_vantage"` // the vantage that may reach it; empty: all
	Service   string   `json:"service"`     // empty: any
	Product   string   `json:"product"`     // empty: any
	Owner     string   `json:"owner"`       // who answers for it
	Approver  string   `json:"approver"`    // who allowed it
	Ticket    string   `json:"ticket"`
	Reason    string   `json:"reason"`
	Approved  *string  `json:"approved"` // a day; null: not said
	Expires   string   `json:"expires"`  // the last day on which it holds
	RelayFrom []string `json:"relay_from"`
	RelayTo   []string `json:"relay_to"`
	Where     string   `json:"where"` // file:line
}

// approvalOf is null where there is none.
func approvalOf(u *ApprovalUse) *approvalFacts {
	if u == nil {
		return nil
	}
	a := &u.Approval
	o := &approvalFacts{
		Address: a.Address.String(), Ports: append([]uint16{}, a.Ports...), From: valid(a.Vantage), Service: valid(a.Service), Product: valid(a.Product), Owner: valid(a.Owner), Approver: valid(a.Approver),
		Ticket: valid(a.Ticket), Reason: valid(a.Reason), Expires: a.lastDay(), RelayFrom: all(texts(a.RelayFrom)), RelayTo: all(texts(a.RelayTo)), Where: valid(a.Where),
	}
	if !a.Approved.IsZero() {
		day := a.Approved.UTC().Format("2006-01-02")
		o.Approved = &day
	}
	return o
}

type approvalObject struct {
	head
	approvalFacts
	State     ApprovalState    `json:"state"` // used, unused, not-checked, not-yet, expired
	Why       string           `json:"why"`   // why it was not checked
	Endpoints []netip.AddrPort `json:"endpoints"`
}

type violationObject struct {
	head
	Kind     ApprovalState  `json:"kind"` // unapproved, expired, soon, unused, exceeded
	Severity Severity       `json:"severity"`
	IP       string         `json:"ip"`   // empty: it is about the approval alone
	Port     uint16         `json:"port"` // 0: likewise
	Text     string         `json:"text"`
	Approval *approvalFacts `json:"approval"` // null: there is none
}

// approvals writes what is approved, and what stands against it.
func (j *jsonl) approvals() {
	for i := range j.r.Approvals {
		u := &j.r.Approvals[i]
		j.line(approvalObject{j.head("approval", j.r.Scan.Vantage, j.r.Scan.Ended), *approvalOf(u), u.State, valid(u.Why), append([]netip.AddrPort{}, u.Covers...)})
	}
	for i := range j.r.Violations {
		v := &j.r.Violations[i]
		o := violationObject{head: j.head("violation", v.Vantage, j.r.Scan.Ended), Kind: v.Kind, Severity: v.Severity, Text: valid(v.Text), Approval: approvalOf(v.Approval)}
		if v.Addr.IsValid() {
			o.IP, o.Port = v.Addr.Addr().String(), v.Addr.Port()
		}
		j.line(o)
	}
}
