package report

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"relaysweep/discover"
)

// Who may name a server.
const (
	ByMX          = "mx"
	BySPF         = "spf"
	ByPTR         = "ptr"
	ByCertificate = "certificate"
	ByApproval    = "approval"
	ByIPAM        = "ipam"
)

// Naming is who was asked for the servers that he knows, and how many he does not.
type Naming struct {
	Asked     []string // mx, spf, ptr, certificate, approval, ipam
	Listeners int      // mail services, and mail ports of which nothing is known
	Forgotten int      // of these: nothing that was asked names them
	Unknown   int      // of these: nothing that answered names them, and DNS did not answer in full
}

// name joins to the entries whose they are, and who names them. A listener is forgotten where all that were asked
// answered, and none names it.
func (r *Report) name(in *Input) {
	r.join(in.Assets)
	if in.Mentions == nil && in.Approvals == nil && in.Assets == nil {
		return
	}
	n := &Naming{}
	r.Naming = n
	if in.Mentions != nil {
		n.Asked = append(n.Asked, ByMX, BySPF, ByPTR)
	}
	if len(in.Scan.Domains) > 0 {
		n.Asked = append(n.Asked, ByCertificate)
	}
	if in.Approvals != nil {
		n.Asked = append(n.Asked, ByApproval)
	}
	if in.Assets != nil {
		n.Asked = append(n.Asked, ByIPAM)
	}
	approvals := indexPrefixes(len(in.Approvals), func(i int) netip.Prefix { return in.Approvals[i].Address })
	for _, e := range r.Entries {
		a := e.Finding.Addr.Addr().Unmap().WithZone("")
		answered, whole := in.Mentions[a]
		for _, m := range answered {
			m.Doubt = m.doubt(in.Scan.Domains)
			e.Mentions = append(e.Mentions, m)
		}
		e.Mentions = append(e.Mentions, e.certified(in.Scan.Domains, r.Scan.time())...)
		for at := range approvals.holding(a) {
			if a := &in.Approvals[at]; e.isOf(a) {
				e.Mentions = append(e.Mentions, approvedBy(a, r.Scan.time()))
			}
		}
		if m, ok := e.Asset.mention(in.Scan.Domains); ok {
			e.Mentions = append(e.Mentions, m)
		}
		if !e.listensForMail() {
			continue
		}
		n.Listeners++
		switch {
		case e.named():
		case in.Mentions != nil && !whole:
			n.Unknown++
		default:
			n.Forgotten++
			e.Forgotten = true
		}
	}
}

// Counts reports whether it names a server beyond doubt: in a record of the organisation, and not by a whole network.
func (m *Mention) Counts(domains []string) bool { return m.doubt(domains) == "" }

// doubt says why what DNS says of an address proves little.
func (m *Mention) doubt(domains []string) string {
	switch {
	case m.By == ByPTR && !ours(m.Name, domains):
		return "outside the organisation's domains"
	case m.Network.IsValid() && !m.Network.IsSingleIP():
		return "all of " + m.Network.String() + " may send"
	}
	return ""
}

// ours reports whether a name lies in one of the domains.
func ours(name string, domains []string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return slices.ContainsFunc(domains, func(d string) bool {
		d = strings.ToLower(strings.TrimSuffix(d, "."))
		return d != "" && (name == d || strings.HasSuffix(name, "."+d))
	})
}

// certified are the names in the certificate that lie in the organisation's domains. What a server signed itself is its
// own word: every mail server of Debian makes such a certificate when it is installed. One that has expired is the mark of
// a server that nobody looks after.
func (e *Entry) certified(domains []string, at time.Time) []Mention {
	t := e.Finding.TLS
	if t == nil {
		return nil
	}
	const most = 4 // one would do
	var out []Mention
	for _, name := range t.Names {
		if len(out) < most && ours(name, domains) {
			m := Mention{By: ByCertificate, Name: name}
			switch {
			case t.Subject == t.Issuer:
				m.Doubt = "self-signed"
			case !t.NotAfter.IsZero() && t.NotAfter.Before(at):
				m.Doubt = "expired"
			}
			out = append(out, m)
		}
	}
	return out
}

// isOf reports whether an approval is about the listener's port and service; of a host that answers on every port, about
// a mail port of it.
func (e *Entry) isOf(a *Approval) bool {
	f := &e.Finding
	crowd := func(port uint16) bool { return a.onPort(port) && slices.Contains(f.Crowd, port) }
	return fits(a, f) && (a.onPort(f.Addr.Port()) || slices.ContainsFunc(discover.DefaultPorts(), crowd))
}

// approvedBy names what is approved, whatever the vantage: who approved it for another one knows of it. An approval of a
// network knows no server in it.
func approvedBy(a *Approval, at time.Time) Mention {
	m := Mention{By: ByApproval, Name: cmp.Or(a.Ticket, a.Where, a.Owner)}
	switch p := Unmap(a.Address); {
	case !a.Valid(a.Vantage, at):
		m.Doubt = "not valid at the time"
	case !p.IsSingleIP():
		m.Doubt = "all of " + p.Masked().String() + " is approved"
	}
	return m
}

// mention is what an address plan says of a host. A network that it happens to lie in names nobody, unless its name is
// that of a host of the organisation.
func (a *Asset) mention(domains []string) (Mention, bool) {
	if a == nil {
		return Mention{}, false
	}
	host := ours(a.Name, domains) && !strings.ContainsAny(a.Name, " /")
	return Mention{By: ByIPAM, Name: cmp.Or(a.Name, a.Where)}, a.Prefix.IsSingleIP() || host
}

// named reports whether anybody names it, beyond doubt.
func (e *Entry) named() bool {
	return slices.ContainsFunc(e.Mentions, func(m Mention) bool { return m.Doubt == "" })
}

// listensForMail reports whether it is a mail service, or a mail port behind which nothing is known.
func (e *Entry) listensForMail() bool {
	switch protocol(&e.Finding) {
	case "smtp", "smtps", "lmtp", "qmtp", "qmqp":
		return true
	case "unknown":
		return slices.Contains(discover.DefaultPorts(), e.Finding.Addr.Port())
	}
	return false
}

// join finds whose the entries are: by the longest prefix. What it does not say (owner, site) the next longer one may.
func (r *Report) join(assets []Asset) {
	var list []Asset
	at := make(map[netip.Prefix]int)
	for _, a := range assets {
		a.Prefix = a.Prefix.Masked()
		i, known := at[a.Prefix]
		if !known {
			at[a.Prefix] = len(list)
			list = append(list, a)
			continue
		}
		first := &list[i] // another plan's word on the same
		first.inherit(&a)
		first.Name = cmp.Or(first.Name, a.Name)
		if len(first.Tags) == 0 {
			first.Tags = a.Tags
		}
	}
	index := indexPrefixes(len(list), func(i int) netip.Prefix { return list[i].Prefix })
	for _, x := range index.sorted { // what holds a prefix comes before it
		if x.up >= 0 {
			list[x.at].inherit(&list[index.sorted[x.up].at])
		}
	}
	for _, e := range r.Entries {
		for at := range index.holding(e.Finding.Addr.Addr()) {
			e.Asset = &list[at]
			break
		}
	}
}

// inherit fills in what an asset does not say itself.
func (a *Asset) inherit(from *Asset) {
	a.Owner, a.Site = cmp.Or(a.Owner, from.Owner), cmp.Or(a.Site, from.Site)
}

// Forgotten lists what nobody names: the most exposed first, then what is there the longest.
func (r *Report) Forgotten() []*Entry {
	out := r.only(func(e *Entry) bool { return e.Forgotten })
	slices.SortStableFunc(out, func(a, b *Entry) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(b.Verdict, a.Verdict), byAge(a.FirstSeen, b.FirstSeen))
	})
	return out
}

// byAge puts the oldest first, and last what nothing is known of.
func byAge(a, b time.Time) int {
	if a.IsZero() || b.IsZero() {
		return compareBool(a.IsZero(), b.IsZero())
	}
	return a.Compare(b)
}

// asset is a field of the address plan's entry, if there is one.
func (e *Entry) asset(of func(*Asset) string) string {
	if e.Asset == nil {
		return ""
	}
	return raw(of(e.Asset))
}

func (e *Entry) owner() string { return e.asset(func(a *Asset) string { return a.Owner }) }

// forgottenWord is yes or no, and empty where it is not known.
func (e *Entry) forgottenWord() string {
	switch {
	case e.Forgotten:
		return "yes"
	case e.listensForMail() && e.named():
		return "no"
	}
	return ""
}

// namedBy tells who names an entry, with the doubt about each.
func (e *Entry) namedBy() string {
	var out []string
	for i := range e.Mentions {
		out = append(out, e.Mentions[i].text())
	}
	return strings.Join(out, ", ")
}

// text tells of a mention.
func (m *Mention) text() string {
	by := map[string]string{ByMX: "MX of", BySPF: "SPF of", ByPTR: "PTR", ByCertificate: "certificate", ByApproval: "approval", ByIPAM: "address plan"}[m.By]
	s := cmp.Or(by, raw(m.By)) + " " + raw(m.Name)
	if m.Doubt != "" {
		s += " (" + m.Doubt + ")"
	}
	return s
}

// The words of the section, in each language.
var (
	forgottenHead   = text{"Nobody names these (%[1]d)", "台帳未登録 (%[1]d)"}
	forgottenSet    = text{"Set against %[1]s. Mail listeners: %[2]d; named nowhere: %[3]d.", "資産台帳との照合(照合先: %[1]s): メールの待受け %[2]d 件のうち %[3]d 件は、どこにも記載がありません。"}
	forgottenOpen   = text{"Not known, as DNS did not answer in full: %[1]d.", "ほかに %[1]d 件は、DNS の応答が揃わなかったため未確認です。"}
	forgottenNoDNS  = text{"DNS was not asked.", "DNS は照会していません。"}
	forgottenAdvice = text{
		"Find who runs each one, beginning with the owner of its network; then enter it in the address plan, or switch it off.",
		"ネットワークの所管課から順に管理者を確認し、資産台帳に登録するか、停止してください。",
	}
	forgottenMore = text{"and %[1]d more: --verbose, the HTML report and the JSON Lines list them", "ほか %[1]d 件: --verbose、HTML、JSON Lines に全件があります"}
	askedOf       = map[string]text{
		ByMX: same("MX"), BySPF: same("SPF"), ByPTR: same("PTR"), ByCertificate: {"certificate names", "証明書の名前"},
		ByApproval: {"approvals", "承認"}, ByIPAM: {"the address plan", "アドレス管理台帳"},
	}
	columnText = map[string]text{
		"severity": {"severity", "重大度"}, "endpoint": {"endpoint", "待受け"}, "verdict": {"verdict", "判定"}, "since": {"first seen", "初回確認日"},
		"owner": {"owner", "所管課"}, "product": {"product", "製品"}, "doubts": {"in doubt", "要確認"},
		"kind": {"kind", "区分"}, "finding": {"finding", "指摘"}, "state": {"state", "状態"}, "approved": {"approved", "承認対象"}, "vantage": {"vantage", "観測地点"},
		"service": {"service", "サービス"}, "approver": {"approver", "承認者"}, "until": {"until", "期限"}, "ticket": {"ticket", "番号"}, "reason": {"reason", "理由"},
	}
)

// sentences tell what the listeners were set against, and what came of it.
func (n *Naming) sentences(l Lang) []string {
	var asked []string
	for _, by := range n.Asked {
		asked = append(asked, askedOf[by].in(l))
	}
	out := []string{forgottenSet.with(l, strings.Join(asked, ", "), n.Listeners, n.Forgotten)}
	if n.Unknown > 0 {
		out = append(out, forgottenOpen.with(l, n.Unknown))
	}
	if !slices.Contains(n.Asked, ByMX) {
		out = append(out, forgottenNoDNS.in(l))
	}
	if n.Forgotten > 0 {
		out = append(out, forgottenAdvice.in(l))
	}
	return out
}
