package report

import (
	"net/netip"
	"time"

	"relaysweep/discover/firewall"
)

// Approval is an expected service: who owns it, who allowed it, until when.
type Approval struct {
	Vantage  string // that may reach it; empty: all
	Address  netip.Prefix
	Ports    []uint16 // empty: all
	Service  string
	Owner    string
	Approver string
	Ticket   string
	Reason   string
	Approved time.Time
	Expires  time.Time
	Where    string // file:line
}

// Valid reports whether an approval holds at a time, for a vantage.
func (a *Approval) Valid(vantage string, at time.Time) bool {
	return (a.Vantage == "" || a.Vantage == vantage) && (a.Approved.IsZero() || !at.Before(a.Approved)) && at.Before(a.Expires)
}

// Approved makes of approvals what no proposed edit may close.
func Approved(list []Approval, vantage string, at time.Time) []firewall.Keep {
	var out []firewall.Keep
	for i := range list {
		a := &list[i]
		if !a.Valid(vantage, at) {
			continue
		}
		k := firewall.Keep{Name: joinNonEmpty(", ", a.Service, a.Owner, a.Ticket, a.Where), Dst: a.Address}
		for _, p := range a.Ports {
			k.Ports = append(k.Ports, firewall.Ports(p, p))
		}
		k.Ports = firewall.Merge(k.Ports)
		out = append(out, k)
	}
	return out
}
