package firewall

import "net/netip"

// EditKind is a way to close an opening.
type EditKind uint8

const (
	DenyAbove  EditKind = iota // a line that denies, put before Rule
	Narrow                     // Rule is for Sources alone
	DropMember                 // Member leaves Object, for all rules that use it
	Remove                     // Rule is deleted
	StopNAT                    // a translation is deleted, or not done for this connection
)

// Edit is one change to a ruleset. It is printed, never applied.
type Edit struct {
	Kind  EditKind
	Step  *Step
	Chain *Chain // that Rule is in
	At    int    // where in the chain Rule is, from 0
	Rule  *Rule
	// Of DenyAbove: what is denied. Of Narrow: Sources is who stays permitted.
	Sources []netip.Prefix // nil: any
	Dst     netip.AddrPort // as the step sees it
	// Of DropMember.
	Object string
	Member Range
}

// Keep is connections that are approved: an edit must let them pass.
type Keep struct {
	Name    string // as a reader knows it
	In      string // zone that they enter by; empty: the opening's
	Sources []netip.Prefix
	Dst     netip.Prefix
	Ports   []Range // nil: all
}
