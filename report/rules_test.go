package report

import (
	"bytes"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"relaysweep/discover"
	"relaysweep/discover/firewall"
	"relaysweep/probe"
)

// device reads rules that are written as CSV.
func device(t testing.TB, name, csv string) firewall.Device {
	t.Helper()
	rs, err := firewall.Read(name, firewall.Export{File: firewall.File{Name: name + ".csv", SHA256: "00ff", Time: began}, Data: []byte(csv)})
	if err != nil {
		t.Fatal(err)
	}
	return firewall.Device{Ruleset: rs}
}

const fw1 = `step,kind,id,action,in,src,dst,dport,to_addr,to_port,comment,hits,last_hit
nat,dnat,10,translate,wan,any,198.51.100.10,25,10.20.1.10,25,forwarding of mx1,,
filter,filter,20,accept,wan,any,10.20.1.10,25,,,"mail, owner: netops@org.example CHG0012345",41,2026-11-21T08:00:00Z
filter,filter,21,accept,wan,any,198.51.100.11-198.51.100.16,25|587|1025,,,old servers,0,
filter,filter,22,accept,wan,any,198.51.100.11,25,,,again,0,
filter,filter,23,accept,wan,geoip-JP,198.51.100.17,25,,,,,
filter,filter,24,accept,wan,any,198.51.100.20-198.51.100.21,25,,,,,
filter,filter,99,drop,wan,any,any,any,,,,,
hide,snat,30,translate,wan,any,10.20.1.10,25,10.20.1.1,,inside looks,3,
`

// targets are what the scan looked at beside its findings.
func targets(yield func(netip.AddrPort, discover.State) bool) {
	states := map[string]discover.State{
		"198.51.100.20:25": discover.Closed, "198.51.100.21:25": discover.Filtered, // permitted
		"198.51.100.40:25": discover.Filtered, "198.51.100.41:25": discover.Prohibited, "198.51.100.42:25": discover.Closed, // denied
	}
	for _, a := range slices.Sorted(maps.Keys(states)) {
		if !yield(netip.MustParseAddrPort(a), states[a]) {
			return
		}
	}
}

func rules(t testing.TB) *Rules {
	return &Rules{Devices: []firewall.Device{device(t, "fw1", fw1)}, Zone: "wan", Source: netip.MustParseAddr("203.0.113.10"), Targets: targets}
}

// ruled is the full report beside rules.
func ruled(t testing.TB) *Report {
	return New(Input{Scan: scan(), Findings: findings(), Coverage: coverage(), Deliveries: deliveries(), Rules: rules(t)})
}

func entry(t *testing.T, r *Report, endpoint string) *Entry {
	t.Helper()
	for _, e := range r.Entries {
		if e.Finding.Addr.String() == endpoint {
			return e
		}
	}
	t.Fatalf("no entry %s", endpoint)
	return nil
}

func TestReconciliation(t *testing.T) {
	r := ruled(t)
	for _, tt := range []struct{ endpoint, rules, opener string }{
		{"198.51.100.10:25", "permitted", "fw1 20 (fw1.csv:3)"},
		{"198.51.100.11:25", "permitted", "fw1 21 (fw1.csv:4)"},
		{"198.51.100.17:25", "possibly permitted", "fw1 23 (fw1.csv:6)"},
		{"198.51.100.18:25", "denied", ""},
		{"[2001:db8:51:1111:2222:3333:4444:5555]:25", "denied", ""},
		{"198.51.100.30:2525", "denied", ""},
	} {
		e := entry(t, r, tt.endpoint)
		opener := ""
		if l := e.opener(); l != nil {
			opener = l.short()
		}
		if got := e.rulesWord(); got != tt.rules || opener != tt.opener {
			t.Errorf("%s: got %s by %q, want %s by %q", tt.endpoint, got, opener, tt.rules, tt.opener)
		}
		if tt.rules == "denied" && e.Severity < High {
			t.Errorf("%s: an unexplained path is %v", tt.endpoint, e.Severity)
		}
	}
	c := r.Rules
	if c.Explained != 7 || c.Possibly != 1 || c.Unexplained != 6 || c.Intended != 2 || c.Answered != 1 || c.Stale != 1 || c.NotKnown != 1 || c.Unread != 0 {
		t.Errorf("got %+v", *c)
	}
	if n := len(r.Entries); n != c.Explained+c.Possibly+c.Unexplained {
		t.Errorf("%d findings, and the table has %+v", n, *c)
	}
	for _, u := range c.Openings {
		if u.Line.Rule == "24" && (u.States[useClosed] != 1 || u.States[useSilent] != 1) {
			t.Errorf("rule 24: got %v", u.States)
		}
		sum := 0
		for _, n := range u.States {
			sum += n
		}
		if sum != len(u.Opens) {
			t.Errorf("rule %s: %d states, %d listed", u.Line.Rule, sum, len(u.Opens))
		}
	}
	if i := slices.IndexFunc(c.Shadowed, func(s ShadowedRule) bool { return s.Line.Rule == "22" }); i < 0 || !c.Shadowed[i].Same || c.Shadowed[i].By[0].Rule != "21" {
		t.Errorf("rule 22 is covered by 21: got %+v", c.Shadowed)
	}
}

// The line that changes the source is named where the server saw another address.
func TestSourceNATIsNamed(t *testing.T) {
	e := entry(t, ruled(t), "198.51.100.10:25")
	if nat := e.sourceNAT(); nat == nil || nat.Rule != "30" || nat.To != "10.20.1.1" {
		t.Fatalf("got %+v", nat)
	}
	steps := strings.Join(e.Fix.Firewall, "\n")
	if want := "The server saw this scan come from 10.20.1.1, and it came from 203.0.113.10: fw1 30 (fw1.csv:9) makes every stranger look like that."; !strings.Contains(steps, want) {
		t.Errorf("got %s, want %s", steps, want)
	}
	if !slices.ContainsFunc(e.Weak, func(w string) bool { return strings.Contains(w, "makes outsiders look inside") }) {
		t.Errorf("got %q", e.Weak)
	}
}

// A counter is shown with its age; a zero whose age is not known says nothing.
func TestCounterText(t *testing.T) {
	at := func(hour int) time.Time { return began.Add(time.Duration(hour) * time.Hour) }
	for _, tt := range []struct {
		c    firewall.Counter
		want string
	}{
		{firewall.Counter{Packets: 0}, "0 matches, but since when is not known: that says nothing"},
		{firewall.Counter{Packets: 0, Since: at(-48)}, "0 matches since 2026-11-20 02:00, read 2026-11-22 02:00"},
		{firewall.Counter{Packets: 1, Last: at(-1)}, "1 match, last 2026-11-22 01:00, since when is not known, read 2026-11-22 02:00"},
		{firewall.Counter{Packets: 12345, Since: at(-1)}, "12,345 matches since 2026-11-22 01:00, read 2026-11-22 02:00"},
	} {
		l := Line{Counter: &tt.c, Read: began}
		if got := l.counterText(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// hostileRules has a hostile text in every field that an export fills.
func hostileRules() *Rules {
	rule := &firewall.Rule{
		ID: hostile, Name: hostile, Where: firewall.Place{File: hostile, Line: 1}, Text: hostile, Comment: hostile, Owner: hostile, Ticket: hostile,
		Created: firewall.Change{By: hostile}, Changed: firewall.Change{By: hostile}, Action: firewall.Accept, Counter: &firewall.Counter{},
		Match: firewall.Match{{Field: firewall.Unmodelled, Word: hostile}},
	}
	nat := &firewall.Rule{ID: hostile, Where: rule.Where, Text: hostile, Action: firewall.Translate, To: firewall.Translation{Words: []string{hostile}}}
	rs := &firewall.Ruleset{
		Device: hostile, Language: "csv", Files: []firewall.File{{Name: hostile}}, Notes: []firewall.Note{{Where: rule.Where, Text: hostile}},
		Steps:  []firewall.Step{{Name: hostile, Chain: "f"}, {Name: hostile, Kind: firewall.SNAT, Chain: "n"}},
		Chains: map[string]*firewall.Chain{"f": {Name: "f", Rules: []*firewall.Rule{rule}, Policy: firewall.Drop, PolicyText: hostile}, "n": {Name: "n", Rules: []*firewall.Rule{nat}, Policy: firewall.Accept, PolicyText: hostile}},
	}
	return &Rules{Devices: []firewall.Device{{Ruleset: rs}}, Zone: hostile}
}

func TestHostileRulesAreEscaped(t *testing.T) {
	in := hostileRules()
	r := New(Input{Scan: scan(), Findings: findings(), Coverage: coverage(), Rules: in})
	outs := make(map[string]string)
	for name, write := range renderers() {
		outs[name] = render(t, write, r)
	}
	var b bytes.Buffer
	e := Explain(in, netip.AddrPort{}, netip.MustParseAddrPort("198.51.100.10:25"))
	if err := WriteExplanation(&b, e, TableOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := WriteExplanationJSON(&b, e); err != nil {
		t.Fatal(err)
	}
	outs["explanation"] = b.String()
	for name, out := range outs {
		checkPrintable(t, name, out)
	}
	if strings.Contains(outs["HTML"], "<script>alert") {
		t.Error("HTML: a script of the rules would run")
	}
}

// An edit is told with what was proved of it.
func TestEditsAreProposed(t *testing.T) {
	r := ruled(t)
	e := entry(t, r, "198.51.100.11:25")
	if len(e.Edits) == 0 || !e.Edits[0].Closes {
		t.Fatalf("got %+v", e.Edits)
	}
	i := slices.IndexFunc(e.Edits, func(p EditProposal) bool { return p.Kind == "remove" && p.Line.Rule == "21" })
	if i >= 0 && e.Edits[i].Closes { // rule 22 lets it in as well
		t.Errorf("to delete rule 21 does not close what rule 22 opens: %+v", e.Edits[i])
	}
	in := rules(t)
	in.Keep = []firewall.Keep{{Name: "partner", Dst: netip.MustParsePrefix("198.51.100.11/32"), Ports: []firewall.Range{firewall.Ports(25, 25)}}}
	for _, p := range entry(t, New(Input{Scan: scan(), Findings: findings(), Rules: in}), "198.51.100.11:25").Edits {
		if p.Closes && p.Breaks == "" {
			t.Errorf("it would close what is approved, and does not say so: %+v", p)
		}
	}
}

// Findings of another vantage are not held against the rules before this one.
func TestRulesAreOfOneVantage(t *testing.T) {
	f := findings()[2]
	f.Vantage = "inside"
	r := New(Input{Scan: scan(), Findings: []probe.Finding{f}, Rules: rules(t)})
	if e := r.Entries[0]; e.Way != nil || len(e.Openings) > 0 {
		t.Errorf("got %+v", e.Way)
	}
}

// Who made a line and who changed it stands in every output that has a place for it.
func TestChangesOfALineAreTold(t *testing.T) {
	in := rules(t)
	for r := range in.Devices[0].Lines() {
		if r.ID == "20" {
			r.Created, r.Changed = firewall.Change{By: "sato", Time: began.AddDate(-2, 0, 0)}, firewall.Change{By: "suzuki", Time: began.AddDate(0, -1, 0)}
		}
	}
	r := New(Input{Scan: scan(), Findings: findings(), Rules: in})
	for name, write := range renderers() {
		if slices.Contains([]string{"nmap XML", "Prometheus", "Shadowserver's CSV"}, name) {
			continue // they have no place for rules
		}
		out := strings.Join(strings.Fields(render(t, write, r)), " ")
		for _, want := range []string{"sato", "suzuki"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %s is not in it", name, want)
			}
		}
	}
	if got, want := entry(t, r, "198.51.100.10:25").opener().changes(), "created sato 2024-11-22 02:00, changed suzuki 2026-10-22 02:00"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
