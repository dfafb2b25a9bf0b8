package firewall

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func export(name, text string) Export { return Export{File: File{Name: name}, Data: []byte(text)} }

func TestCSVErrors(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"an unknown column is named, and those that are known", "action,dst,dport,zoen\n", `r.csv:1: no such column: "zoen"; the columns are step, kind`},
		{"a column twice", "action,dst,dport,dst\n", `r.csv:1: two columns "dst"`},
		{"no port", "\n\naction,dst\n", "r.csv:3: no column dport; export a CSV with the columns step"},
		{"a quote that does not end", "action,dst,dport\naccept,any,25\ndrop,\"any,25\naccept,any,any\n", "r.csv:3: the row has no end"},
		{"too many rows", "action,dst,dport\n" + strings.Repeat("drop,,\n", csvRows+1), "r.csv:200002: more than 200000 rows"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Read("fw", export("r.csv", test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, test.want)
			}
		})
	}
}

func TestCSVRows(t *testing.T) {
	rs, err := ReadFiles("fw", "testdata/csv/edge.csv")
	if err != nil {
		t.Fatal(err)
	}
	nat := rs.Chains["rules (dnat)"].Rules[1]
	if nat.Comment != "mail, inbound; owner: netops@org.example CHG0012345" || nat.Owner != "netops@org.example" || nat.Ticket != "CHG0012345" {
		t.Errorf("owner and ticket stand in the comment; got %q %q of %q", nat.Owner, nat.Ticket, nat.Comment)
	}
	if nat.Counter == nil || nat.Counter.Packets != 120 || nat.Counter.Last.Format("15:04") != "08:00" {
		t.Errorf("got counter %v, want 120 and 08:00", nat.Counter)
	}
	edge := rs.Chains["edge"]
	if r := edge.Rules[1]; r.Owner != "mail-team" || r.Ticket != "CHG0099999" {
		t.Errorf("the columns owner and ticket: got %q %q", r.Owner, r.Ticket)
	}
	if r := edge.Rules[2]; r.Where != (Place{"testdata/csv/edge.csv", 11, 12}) || !strings.HasSuffix(r.Text, "lines\",,,,") {
		t.Errorf("a row of two lines: got %v %q", r.Where, r.Text)
	}
	if edge.PolicyText != "policy deny" || edge.Where.Line != 25 || edge.Counter.Packets != 3 {
		t.Errorf("got policy %q in line %d with %v", edge.PolicyText, edge.Where.Line, edge.Counter)
	}
}

func TestCSVKeepsSecrets(t *testing.T) {
	rs, err := Read("fw", export("r.csv", "id,action,src,dst,dport,comment,to_addr,kind\n"+
		"1,accept,password=hunter2,any,25,community hunter2,,\n2,secret=hunter2,any,any,25,x,,\n3,translate,any,any,25,,psk:hunter2,dnat\n"))
	if err != nil {
		t.Fatal(err)
	}
	hasNoSecret(t, rs, "hunter2")
}

// hasNoSecret fails if a secret of an export is in any text of a ruleset.
func hasNoSecret(t *testing.T, rs *Ruleset, secret string) {
	t.Helper()
	texts := 0
	see := func(texted ...string) {
		for _, s := range texted {
			texts++
			if strings.Contains(s, secret) {
				t.Errorf("a secret is in %q", s)
			}
		}
	}
	var match func(m Match)
	match = func(m Match) {
		for _, term := range m {
			see(term.Word, term.Object)
			for _, m := range term.Any {
				match(m)
			}
		}
	}
	for _, c := range rs.Chains {
		see(c.Name, c.PolicyText)
		for _, r := range c.Rules {
			see(r.ID, r.Name, r.Text, r.Comment, r.Owner, r.Ticket)
			see(r.Words...)
			see(r.To.Words...)
			match(r.Match)
		}
	}
	for _, n := range rs.Notes {
		see(n.Text)
	}
	if texts < 10 {
		t.Errorf("only %d texts were looked at", texts)
	}
}

func TestCSVEdits(t *testing.T) {
	r := &Rule{ID: "20", Where: Place{File: "r.csv", Line: 9}}
	dst := netip.MustParseAddrPort("10.20.0.25:25")
	from := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::1/128")}
	for want, e := range map[string]Edit{
		"above r.csv:9 (20) a row: action=drop protocol=tcp src=any dst=10.20.0.25 dport=25": {Kind: DenyAbove, Rule: r, Dst: dst},
		"in r.csv:9 (20): src=192.0.2.0/24 2001:db8::1":                                      {Kind: Narrow, Rule: r, Sources: from},
		"in r.csv:9 (20): enabled=no":                                                        {Kind: StopNAT, Rule: r},
		"":                                                                                   {Kind: DropMember, Rule: r},
	} {
		if got := strings.Join(editCSV(nil, e), "\n"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func FuzzCSV(f *testing.F) {
	seeds(f, "testdata/csv/*.csv")
	f.Fuzz(func(t *testing.T, data []byte) { readAnything(t, "csv", data) })
}

// seeds gives a fuzz target the fixtures of a language, whole and cut short.
func seeds(f *testing.F, pattern string) {
	names, _ := filepath.Glob(pattern)
	if len(names) == 0 {
		f.Fatal("no fixtures: ", pattern)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for n := range 4 {
			f.Add(data[:len(data)*(4-n)/4])
		}
	}
}

// readAnything reads bytes as a language, and asks what comes of it.
func readAnything(t *testing.T, language string, data []byte) {
	for _, l := range languages {
		if l.name != language {
			continue
		}
		rs := &Ruleset{Language: l.name, Chains: make(map[string]*Chain)}
		count := strings.Count(string(data), "\n") + 1
		if err := l.read(rs, []Export{{File: File{Name: "x"}, Data: data}}); err != nil {
			if strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "x:") {
				t.Errorf("want one line with a place, got %q", err)
			}
			return
		}
		for _, c := range rs.Chains {
			for _, r := range c.Rules {
				if w := r.Where; w.File != "x" || w.Line < 1 || w.Line > count || w.End > count || w.End != 0 && w.End < w.Line {
					t.Errorf("a rule at %v of %d lines", w, count)
				}
			}
		}
		in := ""
		for i, to := range []string{"198.51.100.25:25", "[2001:db8::25]:587", "10.20.0.25:2525"} {
			if i < len(rs.Interfaces) {
				in = rs.Interfaces[i].Name
			}
			dst := netip.MustParseAddrPort(to)
			src := netip.AddrPortFrom(netip.MustParseAddr("203.0.113.9"), 0)
			if dst.Addr().Is6() {
				src = netip.AddrPortFrom(netip.MustParseAddr("2001:db8:f::9"), 0)
			}
			rs.Decide(NewFlow(in, src, dst))
		}
		return
	}
	t.Fatalf("no language %q", language)
}
