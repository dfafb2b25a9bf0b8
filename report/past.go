package report

import (
	"net/netip"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
)

// PassedOver is why a scan did not look at what was looked at not long ago (--since). What was open then is told as it was.
const PassedOver = "passed over, as it was looked at since the time that was asked for"

// Sight is what is known of an endpoint from one vantage at some time: what the last look showed, and since when.
type Sight struct {
	Addr        netip.AddrPort
	State       discover.State // what the last look showed; discover.NotAttempted: nobody looked yet
	FirstSeen   time.Time      // open for the first time; zero: never
	LastSeen    time.Time      // open for the last time; zero: never
	LastChecked time.Time      // looked at for the last time; zero: never
	Scan        string         // that looked last
	// Sure: the look counts as one (law 2): the scan's sweep was whole there, and its self-test gave no reason for doubt.
	Sure bool
	// Silent counts the sure looks in a row that did not find it open: one may have lost a packet, or met a server that
	// was down for a minute. A reset counts as two.
	Silent int
	Listed bool           // the last look found it open and asked nothing: Found is of an earlier one
	Why    string         // why the look does not count, or why there was none
	Source string         // the source that it opened to, where it was not the vantage's own
	Found  *probe.Finding // the last one, without most of its attempts; nil: it was only listed
	Judged Judgement      // of Found
	Rules  []string       // the firewall lines that let it through, as the scan's exports had them
}

// Judgement is what the replies to a finding's attempts prove. It takes a millisecond to compute, so it is kept.
type Judgement struct {
	Verdict   probe.Verdict
	Class     probe.Class
	Reason    string
	Vectors   []string    // ids that opened it
	Tried     []string    // ids that were tried
	Suspected probe.Class // a class that it may have as well
	LookedUp  bool        // a reply says that a domain was not found in DNS
}

// ChangeKind says what became of an endpoint.
type ChangeKind string

// The kinds. IsGone wants a sure look (law 2): where there was none, the endpoint is not re-checked.
const (
	IsNew          ChangeKind = "new"           // open, and never was before
	IsGone         ChangeKind = "gone"          // was open, and a sure look showed that it is not
	IsChanged      ChangeKind = "changed"       // open both times, and not the same
	IsReappeared   ChangeKind = "re-appeared"   // open again, after it was seen not to be
	IsNotRechecked ChangeKind = "not-rechecked" // was open, and nobody can say whether it is
)

// Difference is one thing that is not what it was. Of the sets (capabilities, vectors, rule) Before and After are what
// only one of them has. Empty: it was not told.
type Difference struct {
	Field         string // product, version, certificate, capabilities, protocol, tls, verdict, class, vectors, rule
	Before, After string
}

// Change is what became of one endpoint between two times.
type Change struct {
	Kind          ChangeKind
	Addr          netip.AddrPort
	Vantage       string
	Before, After *Sight // nil: nothing was known
	Differences   []Difference
	Upgraded      bool   // the product or its version is not what it was
	Worse         bool   // the verdict is greater than it was, or graver
	Reason        string // why it is gone, or was not re-checked; what was known of a new one; since when it was away
	// Hint names an endpoint that may be the same server at another address.
	Hint     string
	Severity Severity // of what was found last
}

// Changes are what became of the endpoints of a vantage between two scans.
type Changes struct {
	From, To         string // ids of the scans
	FromTime, ToTime time.Time
	Vantage          string
	List             []Change // upgrades for the worse first, then by severity
	Same             int      // endpoints that are as they were
}

// Asset is what the address plan (IPAM) says of a prefix.
type Asset struct {
	Prefix netip.Prefix
	Name   string // of the host or network
	Owner  string
	Site   string
	Tags   []string
	Where  string // file:line, or the NetBox that said so
}

// Mention is a place that names an address as a mail server, or at all: what it says there makes it less forgotten.
type Mention struct {
	By      string       // mx, spf, ptr, certificate, approval, ipam
	Name    string       // the name there: the domain whose MX it is, the host, the ticket
	Network netip.Prefix // that the SPF record lets send; not valid: the address itself
	Doubt   string       // why it does not count, as New finds; empty: it does
}
