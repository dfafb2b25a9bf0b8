package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// registers are what an organisation has written down of its servers.
func registers(in *Input) {
	in.Scan.Domains = []string{"org.example"}
	in.Assets = []Asset{
		{Prefix: prefix("198.51.100.0/24"), Name: "DMZ", Owner: "情報政策課", Site: "本庁", Tags: []string{"dmz", "public"}, Where: "plan.csv:2"},
		{Prefix: prefix("198.51.100.10/32"), Name: "mx1.org.example", Tags: []string{"mail"}, Where: "plan.csv:3"},
		{Prefix: prefix("198.51.100.12/31"), Name: "exchange pair", Owner: "Windows team", Where: "plan.csv:4"},
	}
	in.Approvals = []Approval{
		{Address: prefix("198.51.100.11/32"), Vantage: "inside", Ticket: "CHG0012345", Expires: began.AddDate(1, 0, 0)},
		{Address: prefix("198.51.100.14/32"), Ticket: "CHG0000001", Expires: began.AddDate(-1, 0, 0), Where: "approvals.yaml:7"},
	}
	in.Mentions = make(map[netip.Addr][]Mention)
	for _, f := range in.Findings {
		in.Mentions[f.Addr.Addr()] = nil
	}
	at := netip.MustParseAddr
	in.Mentions[at("198.51.100.17")] = []Mention{{By: ByMX, Name: "org.example"}, {By: BySPF, Name: "org.example", Network: prefix("198.51.100.17/32")}}
	in.Mentions[at("198.51.100.15")] = []Mention{{By: ByPTR, Name: "all.ORG.example."}}
	in.Mentions[at("198.51.100.12")] = []Mention{{By: BySPF, Name: "org.example", Network: prefix("198.51.100.0/24")}, {By: ByPTR, Name: "host-12.isp.example"}}
	delete(in.Mentions, at("198.51.100.18")) // its PTR question got no answer
	in.Past = map[netip.AddrPort]Sight{
		netip.MustParseAddrPort("198.51.100.13:25"):                          {FirstSeen: began.AddDate(0, -3, 0)},
		netip.MustParseAddrPort("[2001:db8:51:1111:2222:3333:4444:5555]:25"): {FirstSeen: began.AddDate(-2, 0, 0)},
		netip.MustParseAddrPort("198.51.100.19:25"):                          {FirstSeen: began},
		netip.MustParseAddrPort("198.51.100.12:587"):                         {FirstSeen: began.AddDate(-1, 0, 0)},
		netip.MustParseAddrPort("198.51.100.31:25025"):                       {FirstSeen: began.AddDate(0, 0, -1)},
	}
}

// registered is the full report beside what is written down of the servers.
func registered() *Report {
	in := Input{Scan: scan(), Findings: findings(), Coverage: coverage(), Deliveries: deliveries()}
	registers(&in)
	in.Scan.Site = "kyoto"
	return New(in)
}

func TestWhoNamesAServer(t *testing.T) {
	r := registered()
	for _, tt := range []struct{ endpoint, forgotten, by string }{
		{"198.51.100.10:25", "no", "address plan mx1.org.example"},
		{"198.51.100.11:25", "no", "approval CHG0012345"}, // for another vantage, but they know of it
		{"198.51.100.12:587", "yes", "SPF of org.example (all of 198.51.100.0/24 may send), PTR host-12.isp.example (outside the organisation's domains)"},
		{"198.51.100.13:25", "yes", ""}, // a network that is in the plan, even with a name, names no server
		{"198.51.100.14:1025", "yes", "approval CHG0000001 (not valid at the time)"},
		{"198.51.100.15:25", "no", "PTR all.ORG.example."},
		{"198.51.100.16:587", "yes", "certificate smtp.org.example (self-signed)"},
		{"198.51.100.17:25", "no", "MX of org.example, SPF of org.example"},
		{"198.51.100.18:25", "", ""}, // DNS did not answer
		{"[2001:db8:51:1111:2222:3333:4444:5555]:25", "yes", ""},
		{"198.51.100.30:2525", "", ""}, // SSH
		{"198.51.100.31:25025", "yes", ""},
		{"198.51.100.32:24", "yes", ""},
	} {
		e := entry(t, r, tt.endpoint)
		if got := e.forgottenWord(); got != tt.forgotten || e.namedBy() != tt.by {
			t.Errorf("%s: forgotten %q by %q, want %q, %q", tt.endpoint, got, e.namedBy(), tt.forgotten, tt.by)
		}
	}
	if n := r.Naming; n.Listeners != 13 || n.Forgotten != 8 || n.Unknown != 1 || !slices.Equal(n.Asked, []string{"mx", "spf", "ptr", "certificate", "approval", "ipam"}) {
		t.Errorf("got %+v", n)
	}
}

// The most exposed stand first, then what is there the longest; last what nobody knows since when.
func TestForgottenAreRanked(t *testing.T) {
	var got []string
	r := registered()
	for _, e := range r.Forgotten() {
		got = append(got, strings.TrimSpace(fmt.Sprint(e.Severity, " ", e.Verdict, " ", e.Finding.Addr, " ", e.firstSeenDay())))
	}
	want := []string{
		"high ready [2001:db8:51:1111:2222:3333:4444:5555]:25 2024-11-22", "high ready 198.51.100.12:587 2025-11-22", "medium accepted 198.51.100.13:25 2026-08-22",
		"low ready 198.51.100.14:1025", "low refused 198.51.100.16:587", "info unknown 198.51.100.31:25025 2026-11-21", "info unknown 198.51.100.32:24", "info refused 198.51.100.19:25 2026-11-22",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	day := func(days int) time.Time { return began.AddDate(0, 0, days) }
	list := []time.Time{{}, day(3), day(-3), {}, day(0)}
	slices.SortStableFunc(list, byAge)
	if want := []time.Time{day(-3), day(0), day(3), {}, {}}; !slices.Equal(list, want) {
		t.Errorf("got %v, want %v", list, want)
	}
}

// A report claims that nobody names a server only where somebody was asked, and answered.
func TestNothingIsForgottenWhereNobodyWasAsked(t *testing.T) {
	for _, tt := range []struct {
		name                          string
		change                        func(*Input)
		listeners, forgotten, unknown int
		asked                         string
	}{
		{"nobody was asked", func(in *Input) { in.Mentions, in.Approvals, in.Assets = nil, nil, nil }, -1, 0, 0, ""},
		{"only DNS, which names some", func(in *Input) { in.Approvals, in.Assets = nil, nil }, 13, 10, 1, "mx spf ptr certificate"},
		{"only DNS, which did not answer", func(in *Input) { in.Approvals, in.Assets, in.Mentions = nil, nil, map[netip.Addr][]Mention{} }, 13, 0, 13, "mx spf ptr certificate"},
		{"only approvals, of which there are none", func(in *Input) { in.Mentions, in.Assets, in.Approvals = nil, nil, []Approval{} }, 13, 13, 0, "certificate approval"},
		{"only the address plan, and no domains", func(in *Input) { in.Mentions, in.Approvals, in.Scan.Domains = nil, nil, nil }, 13, 12, 0, "ipam"},
		{"no PTR is our own where no domain is", func(in *Input) { in.Scan.Domains, in.Approvals, in.Assets = nil, nil, nil }, 13, 11, 1, "mx spf ptr"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := Input{Scan: scan(), Findings: findings()}
			registers(&in)
			tt.change(&in)
			r := New(in)
			if tt.listeners < 0 {
				if r.Naming != nil || slices.ContainsFunc(r.Entries, func(e *Entry) bool { return e.Forgotten || len(e.Mentions) > 0 }) {
					t.Errorf("got %+v", r.Naming)
				}
				return
			}
			if n := r.Naming; n.Listeners != tt.listeners || n.Forgotten != tt.forgotten || n.Unknown != tt.unknown || strings.Join(n.Asked, " ") != tt.asked || len(r.Forgotten()) != tt.forgotten {
				t.Errorf("got %+v", n)
			}
			for _, l := range []Lang{English, Japanese} {
				said := strings.Join(r.Naming.sentences(l), " ")
				if noDNS := strings.Contains(said, forgottenNoDNS.in(l)); noDNS == strings.Contains(tt.asked, "mx") {
					t.Errorf("%s", said)
				}
			}
		})
	}
}

// An approval names the server on its port that is its service, whatever the vantage; one of a network is no name.
func TestWhatAnApprovalNames(t *testing.T) {
	on := func(service, product string, ports ...uint16) func(*Approval) {
		return func(a *Approval) { a.Service, a.Product, a.Ports = service, product, ports }
	}
	for _, tt := range []struct {
		name     string
		approval Approval
		by       string
		counts   bool
	}{
		{"the server", approval("10.1.2.3/32", 90, nil), "approval CHG0012345", true},
		{"its port", approval("10.1.2.3/32", 90, on("", "", 587, 25)), "approval CHG0012345", true},
		{"its service", approval("10.1.2.3/32", 90, on("smtp", "", 25)), "approval CHG0012345", true},
		{"its product", approval("10.1.2.3/32", 90, on("", "postfix")), "approval CHG0012345", true},
		{"another vantage", approval("10.1.2.3/32", 90, func(a *Approval) { a.Vantage = "inside" }), "approval CHG0012345", true},
		{"another port", approval("10.1.2.3/32", 90, on("", "", 22)), "", false},
		{"another service on any port", approval("10.1.2.3/32", 90, on("ssh", "")), "", false},
		{"another product", approval("10.1.2.3/32", 90, on("smtp", "Exchange", 25)), "", false},
		{"another host", approval("10.1.2.4/32", 90, nil), "", false},
		{"a network", approval("10.0.0.0/8", 90, on("smtp", "", 25)), "approval CHG0012345 (all of 10.0.0.0/8 is approved)", false},
		{"the whole space", approval("0.0.0.0/0", 90, nil), "approval CHG0012345 (all of 0.0.0.0/0 is approved)", false},
		{"another port of a network", approval("10.0.0.0/8", 90, on("ssh", "", 22)), "", false},
		{"one that has ended", approval("10.1.2.3/32", -1, nil), "approval CHG0012345 (not valid at the time)", false},
		{"one that ended while the scan ran", approval("10.1.2.3/32", 0, func(a *Approval) { a.Expires = began.Add(time.Minute) }), "approval CHG0012345 (not valid at the time)", false},
	} {
		f := finding("10.1.2.3:25", "Postfix", "Postfix", "", "mx", attempt("S1", "", ok, denied))
		r := New(Input{Scan: scan(), Findings: []probe.Finding{f}, Approvals: []Approval{tt.approval}})
		if e := r.Entries[0]; e.namedBy() != tt.by || e.Forgotten == tt.counts {
			t.Errorf("%s: forgotten %v, named by %q", tt.name, e.Forgotten, e.namedBy())
		} else if (e.ApprovalState == IsExpired) && e.named() {
			t.Errorf("%s: it is %s, and names the server", tt.name, e.ApprovalState)
		}
	}
	crowd := listener("10.1.2.3:1", "unknown", "")
	crowd.Crowd = []uint16{1, 25, 4444}
	for port, want := range map[uint16]string{1: "approval CHG0012345", 25: "approval CHG0012345", 4444: "", 26: ""} {
		r := New(Input{Scan: scan(), Findings: []probe.Finding{crowd}, Approvals: []Approval{approval("10.1.2.3/32", 90, on("", "", port))}})
		if got := r.Entries[0].namedBy(); got != want {
			t.Errorf("a host that answers on all ports, approved on %d: named by %q", port, got)
		}
	}
}

// What a network is called is no name of its hosts, unless it is one of the organisation's.
func TestNetworksNameNoServers(t *testing.T) {
	for _, tt := range []struct {
		prefix, name string
		named        bool
	}{
		{"10.1.0.0/16", "DMZ", false},
		{"10.1.0.0/16", "vlan10.dmz", false},
		{"10.1.0.0/16", "10.1.0.0-campus", false},
		{"10.1.0.0/16", "v1.2", false},
		{"10.1.0.0/16", "mx.other.example", false},
		{"10.1.0.0/16", "hosts of org.example", false},
		{"10.1.2.3/31", "MX.org.example.", true},
		{"10.1.2.3/32", "fax", true},
		{"10.1.2.3/32", "", true},
	} {
		s := scan()
		s.Domains = []string{"org.example"}
		f := finding("10.1.2.3:25", "Postfix", "Postfix", "", "mx", attempt("S1", "", ok, denied))
		r := New(Input{Scan: s, Findings: []probe.Finding{f}, Assets: []Asset{{Prefix: prefix(tt.prefix), Name: tt.name, Where: "plan.csv:2"}}})
		if e := r.Entries[0]; e.named() != tt.named || e.Forgotten == tt.named {
			t.Errorf("%s %q: forgotten %v, named by %q", tt.prefix, tt.name, e.Forgotten, e.namedBy())
		}
	}
}

// A certificate that another signed is more than the server's own word.
func TestCertificates(t *testing.T) {
	f := finding("198.51.100.16:465", "Postfix", "Postfix", "", "smtp.org.example", attempt("S1", "rs-hhhhhhhhhhhhhhhhhhhh", needAuth))
	for _, tt := range []struct {
		names           []string
		subject, issuer string
		ends            time.Time
		want            string
	}{
		{[]string{"mx.org.example", "org.example"}, "CN=mx", "CN=CA", time.Time{}, "certificate mx.org.example, certificate org.example"},
		{[]string{"*.org.example"}, "CN=mx", "CN=CA", time.Time{}, "certificate *.org.example"},
		{[]string{"mx.org.example"}, "CN=mx", "CN=mx", time.Time{}, "certificate mx.org.example (self-signed)"},
		{[]string{"mx.org.example"}, "CN=mx", "CN=CA", began.AddDate(-6, 0, 0), "certificate mx.org.example (expired)"},
		{[]string{"mx.org.example"}, "CN=mx", "CN=CA", began.AddDate(0, 0, 1), "certificate mx.org.example"},
		{[]string{"mx.org.example"}, "CN=mx", "CN=mx", began.AddDate(-6, 0, 0), "certificate mx.org.example (self-signed)"},
		{[]string{"mx.other.example", "myorg.example", "org.example.evil.example", "localhost", ""}, "CN=mx", "CN=CA", time.Time{}, ""},
		{slices.Repeat([]string{"mx.org.example"}, 100), "CN=mx", "CN=CA", time.Time{}, strings.Repeat(", certificate mx.org.example", 4)[2:]},
	} {
		f.TLS = &probe.TLS{Names: tt.names, Subject: tt.subject, Issuer: tt.issuer, NotAfter: tt.ends}
		r := New(Input{Findings: []probe.Finding{f}, Scan: Scan{Domains: []string{"Org.Example."}, Started: began}, Approvals: []Approval{}})
		if got := r.Entries[0].namedBy(); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.names, got, tt.want)
		}
	}
}

// Owners come from the longest prefix; what it leaves out is filled in by the networks around it.
func TestOwners(t *testing.T) {
	f := func(a string) probe.Finding {
		return listener(netip.AddrPortFrom(netip.MustParseAddr(a), 25).String(), "unknown", "")
	}
	in := Input{
		Findings: []probe.Finding{f("10.20.1.5"), f("10.20.1.6"), f("10.20.2.5"), f("10.21.0.1"), f("192.0.2.1"), f("2001:db8::5"), f("::ffff:10.20.1.5")},
		Assets: []Asset{
			{Prefix: prefix("10.20.1.5/32"), Name: "mx", Where: "b.csv:2"},
			{Prefix: prefix("10.0.0.0/8"), Owner: "City", Site: "HQ", Tags: []string{"all"}},
			{Prefix: prefix("10.20.0.0/16"), Owner: "Netops", Site: "Annex"},
			{Prefix: prefix("10.20.1.0/24"), Owner: "Mail"},
			{Prefix: prefix("10.20.1.5/32"), Name: "other", Owner: "Second", Tags: []string{"t"}, Where: "c.csv:2"}, // another plan on the same
			{Prefix: prefix("10.20.1.0/24"), Owner: "Later", Tags: []string{"x"}},
			{Prefix: prefix("2001:db8::/32"), Owner: "Six"},
			{Prefix: prefix("::/0"), Site: "World"},
			{},
		},
	}
	r := New(in)
	for endpoint, want := range map[string]string{
		"10.20.1.5:25":          "mx|Second|Annex|t|b.csv:2",
		"10.20.1.6:25":          "|Mail|Annex|x|",
		"10.20.2.5:25":          "|Netops|Annex||",
		"10.21.0.1:25":          "|City|HQ|all|",
		"192.0.2.1:25":          "none",
		"[2001:db8::5]:25":      "|Six|World||",
		"[::ffff:10.20.1.5]:25": "mx|Second|Annex|t|b.csv:2",
	} {
		got := "none"
		if a := entry(t, r, endpoint).Asset; a != nil {
			got = strings.Join([]string{a.Name, a.Owner, a.Site, strings.Join(a.Tags, ","), a.Where}, "|")
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", endpoint, got, want)
		}
	}
	if in.Assets[0].Owner != "" {
		t.Error("New changed what it was given")
	}
}

// randomAssets are prefixes that are nested at random, in both families.
func randomAssets(rnd *rand.Rand, n int) []Asset {
	var out []Asset
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, byte(rnd.IntN(4)), byte(rnd.IntN(256)), byte(rnd.IntN(256))})
		if rnd.IntN(4) == 0 {
			a = netip.AddrFrom16([16]byte{0x20, 1, 13, 184, 14: byte(rnd.IntN(256)), 15: byte(rnd.IntN(256))})
		}
		bits := a.BitLen() - rnd.IntN(18)
		if rnd.IntN(50) == 0 {
			bits = rnd.IntN(a.BitLen())
		}
		p, _ := a.Prefix(bits)
		out = append(out, Asset{Prefix: p, Owner: fmt.Sprint("owner ", i), Site: "site", Tags: []string{"t"}})
	}
	return out
}

// linear is the plain way to find the prefixes that hold an address.
func linear(list []Asset, a netip.Addr) []int {
	var out []int
	for i := range list {
		if list[i].Prefix.Contains(a) {
			out = append(out, i)
		}
	}
	slices.SortStableFunc(out, func(i, j int) int { return list[j].Prefix.Bits() - list[i].Prefix.Bits() })
	return out
}

func TestPrefixIndexIsTheLinearScan(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	held := 0
	for range 200 {
		list := randomAssets(rnd, 1+rnd.IntN(300))
		x := indexPrefixes(len(list), func(i int) netip.Prefix { return list[i].Prefix })
		for _, b := range randomAssets(rnd, 50) {
			a := b.Prefix.Addr()
			got, want := slices.Collect(x.holding(a)), linear(list, a)
			if !slices.Equal(got, want) {
				t.Fatalf("%s: got %v, want %v", a, got, want)
			}
			held += len(want)
		}
	}
	if held < 10000 {
		t.Errorf("only %d prefixes held an address: the test shows little", held)
	}
}

// 100,000 prefixes and 50,000 findings. The ratio is that of a linear scan, measured on a part of them.
func BenchmarkOwners(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 2))
	assets := randomAssets(rnd, 100_000)
	r := &Report{Entries: make([]*Entry, 50_000)}
	for i := range r.Entries {
		r.Entries[i] = new(Entry)
		r.Entries[i].Finding.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(rnd.IntN(4)), byte(rnd.IntN(256)), byte(rnd.IntN(256))}), 25)
	}
	for b.Loop() {
		for _, e := range r.Entries {
			e.Asset = nil
		}
		r.join(assets)
	}
	indexed := b.Elapsed() / time.Duration(b.N)
	const part = 50
	began := time.Now()
	for i := range part {
		linear(assets, r.Entries[i].Finding.Addr.Addr())
	}
	scanned := time.Since(began) * time.Duration(len(r.Entries)/part)
	b.ReportMetric(float64(scanned)/float64(indexed), "times-faster")
}

// What strangers can write into DNS, certificates and plans is escaped like the rest.
func TestHostileNamesAreEscaped(t *testing.T) {
	in := Input{Scan: scan(), Findings: findings(), Coverage: coverage()}
	registers(&in)
	for i := range in.Findings {
		a := in.Findings[i].Addr.Addr()
		in.Assets = append(in.Assets, Asset{Prefix: netip.PrefixFrom(a, a.BitLen()), Name: hostile, Owner: hostile, Site: hostile, Tags: []string{hostile}, Where: hostile})
		in.Mentions[a] = []Mention{{By: ByPTR, Name: hostile}, {By: hostile, Name: hostile}}
		if i%2 == 0 {
			in.Assets[len(in.Assets)-1].Prefix = netip.PrefixFrom(a, a.BitLen()-1).Masked()
			in.Mentions[a] = in.Mentions[a][:1]
		}
	}
	r := New(in)
	if r.Naming.Forgotten == 0 {
		t.Fatal("nothing is forgotten: the section is not shown")
	}
	for name, write := range renderers() {
		for _, r := range []*Report{r, registered(), r.In(Japanese), registered().In(Japanese)} {
			out := render(t, write, r)
			checkPrintable(t, name, out)
			if name == "HTML" && (strings.Contains(out, "<script>alert") || strings.Contains(out, "ZgotmplZ")) {
				t.Error("hostile text was not escaped")
			}
		}
	}
}

// No line is wider than the terminal, in either language.
func TestForgottenFits(t *testing.T) {
	for _, l := range []Lang{English, Japanese} {
		for _, o := range []TableOptions{{Width: 60}, {Width: 72}, {Width: 80, Verbose: true}, {Width: 100}, {Width: 140}, {Width: 60, ASCII: true}} {
			out := render(t, func(w io.Writer, r *Report) error { return WriteTable(w, r, o) }, registered().In(l))
			for line := range strings.Lines(out) {
				if n := width(strings.TrimRight(line, "\n")); n > o.Width {
					t.Errorf("%v, %+v: %d columns: %s", l, o, n, line)
				}
			}
			if o.ASCII && strings.ContainsFunc(out, func(c rune) bool { return c > '~' }) {
				t.Error("not ASCII")
			}
		}
	}
}

// A long list is cut on the terminal, which says so.
func TestManyForgotten(t *testing.T) {
	in := Input{Scan: scan(), Approvals: []Approval{}}
	for i := range 40 {
		in.Findings = append(in.Findings, listener(fmt.Sprintf("198.51.100.%d:25", i), "unknown", ""))
	}
	table := func(o TableOptions) string {
		return render(t, func(w io.Writer, r *Report) error { return WriteTable(w, r, o) }, New(in))
	}
	if out := table(TableOptions{}); !strings.Contains(out, "Nobody names these (40)") || !strings.Contains(out, "and 10 more: --verbose") {
		t.Error(out)
	}
	if out := table(TableOptions{Verbose: true}); strings.Contains(out, "more: --verbose") {
		t.Error(out)
	}
}

// Mentions are stored with a scan: what is read back is what was written.
func TestMentionsAreStored(t *testing.T) {
	in := Input{}
	in.Findings = findings()
	registers(&in)
	b, err := json.Marshal(in.Mentions)
	if err != nil {
		t.Fatal(err)
	}
	var back map[netip.Addr][]Mention
	if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(back, in.Mentions) {
		t.Errorf("got %v, %v, want %v", back, err, in.Mentions)
	}
}

// Mail ports behind which something else answers are no mail listeners.
func TestMailListeners(t *testing.T) {
	for _, tt := range []struct {
		protocol string
		port     uint16
		want     bool
	}{
		{"smtp", 10999, true}, {"smtps", 465, true}, {"lmtp", 24, true}, {"qmtp", 209, true}, {"", 25, true}, {"unknown", discover.DefaultPorts()[0], true}, {"unknown", 8080, false}, {"ssh", 25, false}, {"imap", 25, false},
	} {
		e := Entry{Finding: probe.Finding{Protocol: tt.protocol, Addr: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), tt.port)}}
		if e.listensForMail() != tt.want {
			t.Errorf("%s on %d: got %v", tt.protocol, tt.port, !tt.want)
		}
	}
}
