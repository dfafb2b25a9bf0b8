// Package firewall reads what a firewall was told, and says which of its lines lets a connection through.
//
// Each rule language has one file that turns exports into a Ruleset: the steps that a packet meets, in order, and in each
// of them the rules, with file, line and text. What a language means is in the data (which step comes first, which
// addresses it sees, whether an accept is final); Decide is the same for all.
//
//	nft -j · iptables-save · config.xml · show running-config · … ─► Read ─► Ruleset ─► Decide ─► Decision
//
// Answers are three-valued. What is written in words that are not modelled here may match or not: then the answer is
// possibly permitted, and the words are named. Nothing is guessed. Exports are only read.
package firewall

import (
	"net/netip"
	"time"
)

// Ruleset is what the exports of one device say.
type Ruleset struct {
	Device     string
	Language   string // name of the rule language: nftables, iptables, pfsense, …
	Files      []File
	Interfaces []Interface
	Others     bool // the device may have interfaces that are not in Interfaces: the export names those of its rules alone
	Routes     []Route
	Own        []netip.Addr // addresses of the device itself, beside those of its interfaces
	Steps      []Step       // in the order that a packet meets them
	Chains     map[string]*Chain
	Notes      []Note // what was not understood, and is left out of the rules
	// Exported is when the export was made, as far as known; counters are of that time.
	Exported time.Time
	// members are what an object holds, as the export has it, with the device's own names, for an Edit that drops one of
	// them. nil: the export does not tell.
	members map[string]map[Range]member
}

// member is one member of an object. The group is the object, or one in it.
type member struct{ group, name string }

// File is one export that was read.
type File struct {
	Name   string
	SHA256 string
	Time   time.Time // when it was last changed
}

// Interface is a place where packets enter and leave the device.
type Interface struct {
	Name  string
	Zones []string       // further names that rules call it by: zone, alias, nameif
	Addrs []netip.Prefix // its addresses with the networks that they lie in
}

// Route says behind which interface or zone a network lies. The longest prefix counts.
type Route struct {
	Prefix netip.Prefix
	Out    string // an interface's name, or one of its zones
}

// Note is about a line that was not understood.
type Note struct {
	Where Place
	Text  string // what is not understood, and what that means. Without secrets
}

// Place is where something is written.
type Place struct {
	File      string
	Line, End int // first and last line, from 1; End 0: the same line
}

// Hook is when a step sees packets.
type Hook uint8

// A packet through the device meets Prerouting, Forward, Postrouting; one to the device itself Prerouting, Input; the
// answer of the device itself Output, Postrouting. Every packet meets steps of AnyHook.
const (
	AnyHook Hook = iota
	Prerouting
	Input
	Forward
	Output
	Postrouting
)

// Kind is what a step does with a packet.
type Kind uint8

const (
	Filter Kind = iota // lets it through or not
	DNAT               // may translate its destination
	SNAT               // may translate its source
)

// Step is one list of rules that packets meet. A packet that a Filter step accepts goes on to the next step; one that it
// drops is lost. Of the DNAT steps (and of the SNAT steps) the first that translates is the last that is asked.
type Step struct {
	Name  string // as the device calls it: "inet filter forward"
	Kind  Kind
	Hook  Hook
	When  Match  // which packets meet the step; nil: all. Lists that are bound to an interface have its name here
	Chain string // where it begins
	// Original: it sees destination address and port as they were before translation.
	Original bool
	// OwnOut: an address of the device itself lies behind the interface that has it, for Out.
	OwnOut bool
	// Stateful: it is asked about the first packet of a connection only; the others pass by the state that this one made.
	Stateful bool
	// LastMatch: the last rule that matches decides, not the first, unless the rule is Quick (pf).
	LastMatch bool
}

// Chain is a list of rules.
type Chain struct {
	Name   string
	Where  Place
	Rules  []*Rule
	Policy Action // of a chain where a step begins: what happens to a packet that no rule decides
	// PolicyText is how the export says so, such as "policy drop", or "implicit deny".
	PolicyText string
	Counter    *Counter // of the policy
}

// Action is what a rule does with a packet that it matches.
type Action uint8

const (
	Continue  Action = iota // nothing that matters here: log, count
	Accept                  // the packet leaves the step
	Drop                    // lost, in silence
	Reject                  // lost, and the sender is told (RST, ICMP)
	Jump                    // go on in Chain, and come back at its end
	Goto                    // go on in Chain; at its end the caller's caller is next
	Return                  // back to where this chain was jumped from; in a step's first chain: to its policy
	Translate               // DNAT or SNAT, as the step is
	Exempt                  // leaves the translating step, and no later step of the kind is asked
	Uncertain               // what happens is not modelled: queue to a program, a verdict from elsewhere. Words say which
)

// Rule is one line.
type Rule struct {
	ID       string // the device's own name of the line: handle, policy id, tracker, uuid, sequence number
	Name     string // a title, where the language has one
	Where    Place
	Text     string // the line as written, or as the language would write it. Without secrets
	Comment  string
	Owner    string // from the comment or a field of its own
	Ticket   string
	Created  Change
	Changed  Change
	Expires  time.Time // zero: never
	Disabled bool      // it is in the export, and does nothing
	Match    Match
	Action   Action
	Chain    string // of Jump and Goto
	To       Translation
	// Pass: a translation that lets the packet through by itself; no Filter step is asked but those of Forward (pf).
	Pass bool
	// Quick: in a LastMatch step, this rule decides at once.
	Quick   bool
	Counter *Counter // nil: the export has none
	Words   []string // what is not modelled in an Uncertain action
}

// Change is who did something, and when.
type Change struct {
	By   string
	Time time.Time
}

// Counter is how often a rule matched, as the export has it. A zero says nothing without the time since when it counts.
type Counter struct {
	Packets, Bytes uint64
	First, Last    time.Time // first and last match, where the device tells
	Since          time.Time // when it began to count, where the device tells
}

// Translation is what an address and port become.
type Translation struct {
	Addrs []Range // what the address becomes; several, or a range: one of them. nil: it stays
	Ports []Range // what the port becomes; nil: it stays
	// Map: an address keeps its place: the first of From becomes the first of Addrs, and so on; ports alike, from FromPorts.
	Map       bool
	From      []Range
	FromPorts []Range
	// Interface: the address becomes the device's own: of the interface that the packet leaves by (masquerade), or came
	// in by (redirect).
	Interface bool
	Words     []string // what is not modelled: the address becomes any
}

// Field is what a term looks at.
type Field uint8

const (
	SrcAddr Field = iota
	DstAddr
	SrcPort
	DstPort
	Proto   // IP protocol number; a connection has 6
	Family  // 4 or 6
	OrigDst // destination address before translation
	OrigDstPort
	numbers // above: numbers with Ranges

	In         // interface that it came in by, or one of its zones: Names
	Out        // interface that it leaves by: Names
	OrigOut    // interface that its original destination lies behind, or whose address that is: Names
	Phase      // which packets of a connection: Bits
	Translated // Bits: 1 the destination was translated, 2 the source was
	SrcLocal   // the source is an address of the device (addrtype, fib)
	DstLocal   // the destination is
	AnyOf      // one of Any holds
	Unmodelled // nobody knows: Word
)

// The packets of a connection, of Phase. What a language says of connection states, directions and TCP flags becomes a
// set of these.
const (
	First       = 1 << iota // SYN, state new, original direction
	Answer                  // SYN-ACK, established, reply direction
	Later                   // ACK, established, original direction
	LaterAnswer             // ACK, established, reply direction
	EveryPacket = First | Answer | Later | LaterAnswer
)

// Match holds where all its terms do. An empty one matches everything.
type Match []Term

// Term is one condition.
type Term struct {
	Field  Field
	Not    bool
	Ranges []Range  // of numbers: sorted, disjoint (Merge)
	Names  []string // of In and Out; a * at the end stands for anything
	Bits   uint8    // of Phase and Translated: one of these
	Any    []Match  // of AnyOf
	// Word is what was not modelled: the condition may hold beyond what Ranges and Names say.
	Word string
	// Object is the group, set or alias that Ranges come from, if any: to drop a member closes it for all that use it.
	Object string
}
