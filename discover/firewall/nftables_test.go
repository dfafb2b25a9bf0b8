package firewall

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// nftRules makes an export of a table inet t with a base chain c at forward, and rules in it.
func nftRules(rules ...string) string {
	var b strings.Builder
	b.WriteString(`{"nftables": [{"metainfo": {"json_schema_version": 1}},
{"table": {"family": "inet", "name": "t", "handle": 1}},
{"chain": {"family": "inet", "table": "t", "name": "u", "handle": 1}},
{"chain": {"family": "inet", "table": "t", "name": "c", "handle": 2, "type": "filter", "hook": "forward", "prio": 0, "policy": "accept"}}`)
	for i, r := range rules {
		fmt.Fprintf(&b, ",\n"+`{"rule": {"family": "inet", "table": "t", "chain": "c", "handle": %d, %s}}`, 10+i, r)
	}
	b.WriteString("\n]}\n")
	return b.String()
}

func readNftables(t *testing.T, text string) *Ruleset {
	t.Helper()
	rs, err := Read("fw", Export{File: File{Name: "r.json"}, Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func TestNftablesRefuses(t *testing.T) {
	const accepting = `"expr": [{"accept": null}]`
	whole := nftRules(accepting, accepting)
	for _, c := range []struct{ name, text, want string }{
		{"nft's own language", "table inet filter {\n\tchain input {\n\t}\n}\n", "r.json:1: is a ruleset in nft's own language; export it as JSON: nft -j list ruleset"},
		{"a script", "#!/usr/sbin/nft -f\nflush ruleset\n\ntable ip filter {\n}\n", "export it as JSON: nft -j list ruleset"},
		{"a list that is cut in a rule", whole[:len(whole)-30], "r.json:6: the export is cut or damaged (unexpected EOF)"},
		{"a list that is cut behind a rule", whole[:strings.LastIndex(whole, ",")], "rules that are missing change every answer; export again: nft -j list ruleset"},
		{"a list that does not end", strings.TrimSpace(whole)[:len(strings.TrimSpace(whole))-2], "is cut or damaged"},
		{"no list", `{"nftables": {"table": {}}}`, "r.json:1: has { where [ belongs"},
		{"no table", `{"nftables": [{"metainfo": {}}]}`, "r.json:1: names no table"},
		{"a table twice", strings.Replace(whole, "]}\n", `,{"table": {"family": "inet", "name": "t"}}]}`, 1), `r.json:7: table "inet t" is there twice`},
		{"a chain twice", strings.Replace(whole, "]}\n", `,{"chain": {"family": "inet", "table": "t", "name": "c"}}]}`, 1), `chain "inet t c" is there twice`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read("fw", Export{File: File{Name: "r.json"}, Data: []byte(c.text)})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// Each line of a table is a flow to port 25 of one line in a chain whose policy accepts.
func TestNftablesLines(t *testing.T) {
	const port = `{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 25}}`
	for _, c := range []struct{ name, rule, text, want, because string }{
		{"a port by name", `"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": "smtp"}}, {"drop": null}]`, "tcp dport smtp drop", "denied by inet t c handle 10", ""},
		{"a port by a name that is not known", `"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": "gopher"}}, {"drop": null}]`, "tcp dport gopher drop", "possibly permitted by inet t c handle 10,policy", "tcp dport gopher"},
		{"a counter without figures", `"expr": [` + port + `, {"counter": null}, {"drop": null}]`, "tcp dport 25 counter drop", "denied by inet t c handle 10", ""},
		{"an extension of iptables that matches", `"expr": [` + port + `, {"xt": {"type": "match", "name": "geoip"}}, {"drop": null}]`, "tcp dport 25 xt match geoip drop", "possibly permitted by inet t c handle 10,policy", "xt match geoip"},
		{"one that says nothing", `"expr": [` + port + `, {"xt": {"type": "match", "name": "comment"}}, {"drop": null}]`, "tcp dport 25 xt match comment drop", "denied by inet t c handle 10", ""},
		{"one that decides", `"expr": [` + port + `, {"xt": {"type": "target", "name": "NFQUEUE"}}]`, "tcp dport 25 xt target NFQUEUE", "possibly permitted by inet t c handle 10", "xt target NFQUEUE"},
		{"one that nft does not show, in front", `"expr": [{"xt": null}, {"drop": null}]`, "xt drop", "possibly permitted by inet t c handle 10,policy", "iptables-save does"},
		{"one that nft does not show, at the end", `"expr": [` + port + `, {"xt": null}]`, "tcp dport 25 xt", "possibly permitted by inet t c handle 10", "iptables-save does"},
		{"a queue", `"expr": [` + port + `, {"queue": {"num": 3}}]`, "tcp dport 25 queue num 3", "possibly permitted by inet t c handle 10", "queue num 3"},
		{"a transparent proxy", `"expr": [` + port + `, {"tproxy": {"port": 50080}}]`, "tcp dport 25 tproxy to :50080", "possibly permitted by inet t c handle 10", "tproxy to :50080"},
		{"a statement that nobody knows", `"expr": [` + port + `, {"teleport": {"to": "moon"}}, {"accept": null}]`, "tcp dport 25 teleport to moon accept", "possibly permitted by inet t c handle 10,policy", "teleport to moon"},
		{"a condition that nobody knows", `"expr": [{"match": {"op": "==", "left": {"astrology": {"sign": "leo"}}, "right": 1}}, {"drop": null}]`, "astrology sign leo 1 drop", "possibly permitted by inet t c handle 10,policy", "astrology sign leo 1"},
		{"a relation that nobody knows", `"expr": [{"match": {"op": "~", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 25}}, {"drop": null}]`, "tcp dport ~ 25 drop", "possibly permitted by inet t c handle 10,policy", "tcp dport ~ 25"},
		{"a set that is not there", `"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@lost"}}, {"drop": null}]`, "ip saddr @lost drop", "possibly permitted by inet t c handle 10,policy", "ip saddr @lost (no such set in the export)"},
		{"a map that is not there", `"expr": [{"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": "@lost"}}]`, "tcp dport vmap @lost", "possibly permitted by inet t c handle 10,policy", "tcp dport map @lost (not in the export)"},
		{"a chain that is not there", `"expr": [{"jump": {"target": "lost"}}]`, "jump lost", "possibly permitted by other", "a chain that is not in the export"},
		{"a rule without expressions", `"comment": "x"`, "", "possibly permitted by inet t c handle 10,policy", "inet t c handle 10 is not understood"},
		{"a rule that is too deep", `"expr": ` + strings.Repeat("[", 100) + strings.Repeat("]", 100), "", "possibly permitted by inet t c handle 10,policy", "is not understood"},
		{"none of these flags", `"expr": [{"match": {"op": "!", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": ["ack", "rst"]}}, {"drop": null}]`, "tcp flags ! ack,rst drop", "denied by inet t c handle 10", ""},
		{"flags as a number", `"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": 18}}, {"drop": null}]`, "tcp flags == 18 drop", "denied by policy inet t c handle 10", ""},
		{"a flag that data alone has", `"expr": [{"match": {"op": "in", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": "psh"}}, {"drop": null}]`, "tcp flags psh drop", "possibly permitted by policy inet t c handle 10,policy inet t c handle 10,policy", "tcp flags psh"},
		{"untracked", `"expr": [{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["untracked", "invalid"]}}, {"drop": null}]`, "ct state untracked,invalid drop", "permitted by policy", ""},
		{"a rule of iptables that counts", `"expr": [` + port + `, {"counter": {"packets": 4, "bytes": 8}}, {"xt": {"type": "target", "name": "LOG"}}]`, "tcp dport 25 counter packets 4 bytes 8 xt target LOG", "permitted by policy", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			rs := readNftables(t, nftRules(c.rule))
			f := NewFlow("", netip.MustParseAddrPort("203.0.113.9:0"), netip.MustParseAddrPort("10.20.0.25:25"))
			rs.Own = []netip.Addr{netip.MustParseAddr("10.20.0.1")}
			d := rs.Decide(f)
			if got := shown(d, netip.MustParseAddrPort("203.0.113.9:0"), netip.MustParseAddrPort("10.20.0.25:25")); !strings.HasPrefix(got+" ", c.want+" ") || !strings.Contains(strings.Join(d.Words, "; "), c.because) || (len(d.Words) > 0) != (c.because != "") {
				t.Errorf("got %s because %q, want %s because %q", got, d.Words, c.want, c.because)
			}
			if r := rs.Chains["inet t c"].Rules[0]; r.Text != c.text || r.ID != "inet t c handle 10" || r.Where != (Place{File: "r.json", Line: 5}) {
				t.Errorf("got %s at %v: %q, want %q", r.ID, r.Where, r.Text, c.text)
			}
		})
	}
}

func TestNftablesTellsOfLines(t *testing.T) {
	const port = `{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 25}}`
	rs := readNftables(t, nftRules(
		`"comment": "mail, owner: mail@example.org CHG0012345, password: hunter2", "expr": [`+port+`, {"counter": {"packets": 7, "bytes": 420}}, {"log": {"prefix": "secret=hunter2"}}, {"accept": null}]`,
		`"expr": [{"counter": {"packets": 9, "bytes": 9}}, `+port+`, {"accept": null}]`,
		`"expr": [{"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": [[25, {"drop": null}], [26, {"accept": null}], [27, {"drop": null}]]}}}]`,
	))
	rules := rs.Chains["inet t c"].Rules
	if r := rules[0]; r.Owner != "mail@example.org" || r.Ticket != "CHG0012345" || r.Counter == nil || r.Counter.Packets != 7 || r.Counter.Bytes != 420 {
		t.Errorf("got owner %q, ticket %q, counter %v", r.Owner, r.Ticket, r.Counter)
	}
	if rules[1].Counter != nil {
		t.Error("a counter in front of a condition counts what the line does not match, and is taken for its own")
	}
	if len(rules) != 4 || rules[2].ID != rules[3].ID || rules[2].Action != Drop || len(rules[2].Match[1].Ranges) != 2 {
		t.Errorf("got %d rules, want one for each verdict of the map", len(rules))
	}
	for _, r := range rules {
		if strings.Contains(r.Text+r.Comment, "hunter2") {
			t.Errorf("a secret is shown: %s %s", r.Text, r.Comment)
		}
	}
}

// A statement that reads or writes a field of IPv4 ends its line for IPv6. What nft lists does not show that.
func TestNftablesStatementsOfOneFamily(t *testing.T) {
	const port = `"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 25}}, `
	const saddr, daddr6 = `{"payload": {"protocol": "ip", "field": "saddr"}}`, `{"payload": {"protocol": "ip6", "field": "daddr"}}`
	for _, c := range []struct {
		sentence, statement string
		four, six           Verdict
	}{
		{"a set of ports is of both", `{"set": {"op": "add", "elem": {"payload": {"protocol": "tcp", "field": "dport"}}, "set": "@s"}}`, Denied, Denied},
		{"an address is added to a set", `{"set": {"op": "add", "elem": ` + saddr + `, "set": "@s"}}`, Denied, Permitted},
		{"it is added for some time", `{"set": {"op": "update", "elem": {"elem": {"val": ` + saddr + `, "timeout": 60}}, "set": "@s"}}`, Denied, Permitted},
		{"it is added with a port", `{"set": {"op": "add", "elem": {"concat": [` + saddr + `, {"payload": {"protocol": "tcp", "field": "dport"}}]}, "set": "@s"}}`, Denied, Permitted},
		{"an address of IPv6 is added", `{"set": {"op": "add", "elem": ` + daddr6 + `, "set": "@s"}}`, Permitted, Denied},
		{"it is added to a map", `{"map": {"op": "add", "elem": ` + saddr + `, "data": 1, "map": "@m"}}`, Denied, Permitted},
		{"a field is written", `{"mangle": {"key": {"payload": {"protocol": "ip", "field": "dscp"}}, "value": "cs1"}}`, Denied, Permitted},
		{"a mark is written", `{"mangle": {"key": {"meta": {"key": "mark"}}, "value": 7}}`, Denied, Denied},
		{"a mark is made of a field", `{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"payload": {"protocol": "ip", "field": "dscp"}}}}`, Denied, Permitted},
		{"a mark is looked up", `{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"map": {"key": ` + saddr + `, "data": {"set": [["203.0.113.0", 1]]}}}}}`, Permitted, Permitted},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			rs := readNftables(t, nftRules(port+c.statement+`, {"drop": null}]`))
			rs.Own = []netip.Addr{netip.MustParseAddr("10.20.0.1"), netip.MustParseAddr("2001:db8::1")}
			four := rs.Decide(NewFlow("", netip.MustParseAddrPort("203.0.113.9:0"), netip.MustParseAddrPort("10.20.0.25:25")))
			six := rs.Decide(NewFlow("", netip.MustParseAddrPort("[2001:db8::9]:0"), netip.MustParseAddrPort("[2001:db8:20::25]:25")))
			if four.Verdict != c.four || six.Verdict != c.six {
				t.Errorf("got %v over IPv4 and %v over IPv6, want %v and %v", four.Verdict, six.Verdict, c.four, c.six)
			}
		})
	}
}

// Whether a packet is in a set with limits depends on those before it; what rules take from a set may be gone.
func TestNftablesSetsThatAreNeverSure(t *testing.T) {
	const left = `{"payload": {"protocol": "ip", "field": "saddr"}}`
	const match = `"expr": [{"match": {"op": "==", "left": ` + left + `, "right": "@s"}}, {"drop": null}]`
	const elements, limit = `"elem": ["203.0.113.9"]`, `{"limit": {"rate": 1, "burst": 5, "per": "second", "inv": true}}`
	for _, c := range []struct {
		sentence, set, rule string
		want                Verdict
	}{
		{"a set", elements, match, Denied},
		{"elements that count", `"elem": [{"elem": {"val": "203.0.113.9", "counter": {"packets": 1, "bytes": 1}}}]`, match, Denied},
		{"an element with a limit", `"elem": [{"elem": {"val": "203.0.113.9", "limit": {"rate": 1}}}]`, match, Possibly},
		{"a set of elements with limits", elements + `, "stmt": [` + limit + `]`, match, Possibly},
		{"a set of elements with counters", elements + `, "stmt": [{"counter": null}]`, match, Denied},
		{"a map of elements with limits", `"elem": [[{"elem": {"val": "203.0.113.9", "limit": {"rate": 1}}}, {"drop": null}]]`, `"expr": [{"vmap": {"key": ` + left + `, "data": "@s"}}]`, Possibly},
		{"tuples with limits", elements + `, "stmt": [` + limit + `]`, `"expr": [{"match": {"op": "==", "left": {"concat": [` + left + `, {"payload": {"protocol": "tcp", "field": "dport"}}]}, "right": "@s"}}, {"drop": null}]`, Possibly},
		{"a set that rules add to", elements, `"expr": [{"set": {"op": "add", "elem": ` + left + `, "set": "@s"}}, {"match": {"op": "==", "left": ` + left + `, "right": "@s"}}, {"drop": null}]`, Denied},
		{"a set that rules take from", elements, `"expr": [{"set": {"op": "delete", "elem": ` + left + `, "set": "@s"}}, {"match": {"op": "==", "left": ` + left + `, "right": "@s"}}, {"drop": null}]`, Possibly},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			const chain = `{"chain": {"family": "inet", "table": "t", "name": "u", "handle": 1}},`
			rs := readNftables(t, strings.Replace(nftRules(c.rule), chain, `{"set": {"family": "inet", "name": "s", "table": "t", "type": "ipv4_addr", "handle": 9, `+c.set+"}},\n"+chain, 1))
			rs.Own = []netip.Addr{netip.MustParseAddr("10.20.0.1")}
			if d := rs.Decide(NewFlow("", netip.MustParseAddrPort("203.0.113.9:0"), netip.MustParseAddrPort("10.20.0.25:25"))); d.Verdict != c.want {
				t.Errorf("got %v because %q, want %v", d.Verdict, d.Words, c.want)
			}
		})
	}
}

func TestNftablesTablesThatMayBeDormant(t *testing.T) {
	dropping := nftRules(`"expr": [{"drop": null}]`)
	for _, c := range []struct{ name, flags, want string }{
		{"no flags", "", "denied by inet t c handle 10"},
		{"dormant", `, "flags": "dormant"`, "permitted"},
		{"dormant in a list", `, "flags": ["dormant", "owner"]`, "permitted"},
		{"with an owner", `, "flags": ["owner", "persist"]`, "denied by inet t c handle 10"},
		{"nft 1.0.6 prints another name", `, "flags": "t"`, "possibly permitted by inet t c handle 10,other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rs := readNftables(t, strings.Replace(dropping, `"name": "t", "handle": 1`, `"name": "t", "handle": 1`+c.flags, 1))
			rs.Own = []netip.Addr{netip.MustParseAddr("10.20.0.1")}
			src, dst := netip.MustParseAddrPort("203.0.113.9:0"), netip.MustParseAddrPort("10.20.0.25:25")
			if got := shown(rs.Decide(NewFlow("", src, dst)), src, dst); got != c.want && !strings.HasPrefix(got, c.want+" ") {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if dead := c.want == "permitted"; rs.Chains["inet t c"].Rules[0].Disabled != dead {
				t.Errorf("got a rule that is disabled: %v, want %v", !dead, dead)
			}
		})
	}
}

// Connections that a line takes out of tracking have another state than the others: what asks for it is not sure.
func TestNftablesNotrack(t *testing.T) {
	const state = `"expr": [{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "new"}}, {"drop": null}]`
	match := func(protocol string) string {
		return `"expr": [{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "` + protocol + `"}}, {"notrack": null}]`
	}
	for _, c := range []struct {
		protocol string
		want     Verdict
	}{{"udp", Denied}, {"tcp", Possibly}} {
		rs := readNftables(t, nftRules(match(c.protocol), state))
		rs.Own = []netip.Addr{netip.MustParseAddr("10.20.0.1")}
		d := rs.Decide(NewFlow("", netip.MustParseAddrPort("203.0.113.9:0"), netip.MustParseAddrPort("10.20.0.25:25")))
		if d.Verdict != c.want {
			t.Errorf("notrack for %s: got %v because %q, want %v", c.protocol, d.Verdict, d.Words, c.want)
		}
	}
}

// The source that a connection had at first is the one that is seen, unless some rule translates sources.
func TestNftablesOriginalSource(t *testing.T) {
	const first = `"expr": [{"match": {"op": "==", "left": {"ct": {"key": "ip saddr", "dir": "original"}}, "right": "203.0.113.9"}}, {"drop": null}]`
	const translates = `"expr": [{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "udp"}}, {"masquerade": null}]`
	for _, c := range []struct {
		rules []string
		want  Verdict
	}{{[]string{first}, Denied}, {[]string{first, translates}, Possibly}} {
		rs := readNftables(t, nftRules(c.rules...))
		rs.Own = []netip.Addr{netip.MustParseAddr("10.20.0.1")}
		if d := rs.Decide(NewFlow("", netip.MustParseAddrPort("203.0.113.9:0"), netip.MustParseAddrPort("10.20.0.25:25"))); d.Verdict != c.want {
			t.Errorf("of %d lines: got %v because %q, want %v", len(c.rules), d.Verdict, d.Words, c.want)
		}
	}
}

func TestNftablesEdits(t *testing.T) {
	rs := readNftables(t, nftRules(`"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"set": [25, 587]}}}, {"counter": {"packets": 1, "bytes": 2}}, {"accept": null}]`))
	chain := rs.Chains["inet t c"]
	rule := chain.Rules[0]
	prefixes := func(list ...string) (out []netip.Prefix) {
		for _, p := range list {
			out = append(out, netip.MustParsePrefix(p))
		}
		return out
	}
	dst := netip.MustParseAddrPort("10.20.0.25:25")
	for _, c := range []struct {
		name string
		edit Edit
		want []string
	}{
		{"deny above the line", Edit{Kind: DenyAbove, Rule: rule, Sources: prefixes("203.0.113.0/24"), Dst: dst}, []string{"nft insert rule inet t c position 10 ip saddr 203.0.113.0/24 ip daddr 10.20.0.25 tcp dport 25 drop"}},
		{"deny to all", Edit{Kind: DenyAbove, Rule: rule, Dst: dst}, []string{"nft insert rule inet t c position 10 ip daddr 10.20.0.25 tcp dport 25 drop"}},
		{"deny above the policy", Edit{Kind: DenyAbove, Dst: netip.MustParseAddrPort("[2001:db8:20::25]:25")}, []string{"nft add rule inet t c ip6 daddr 2001:db8:20::25 tcp dport 25 drop"}},
		{"several sources, those of the other family left out", Edit{Kind: DenyAbove, Rule: rule, Sources: prefixes("203.0.113.0/24", "198.51.100.7/32", "2001:db8::/32"), Dst: dst}, []string{"nft insert rule inet t c position 10 ip saddr { 203.0.113.0/24, 198.51.100.7 } ip daddr 10.20.0.25 tcp dport 25 drop"}},
		{"narrow", Edit{Kind: Narrow, Rule: rule, Sources: prefixes("203.0.113.0/24"), Dst: dst}, []string{"nft replace rule inet t c handle 10 ip saddr 203.0.113.0/24 tcp dport { 25, 587 } counter packets 1 bytes 2 accept"}},
		{"drop a member", Edit{Kind: DropMember, Rule: rule, Object: "partners", Member: PrefixRange(netip.MustParsePrefix("203.0.113.0/28"))}, []string{"nft delete element inet t partners { 203.0.113.0/28 }"}},
		{"drop a range", Edit{Kind: DropMember, Rule: rule, Object: "partners", Member: Range{AddrValue(netip.MustParseAddr("203.0.113.1")), AddrValue(netip.MustParseAddr("203.0.113.6"))}}, []string{"nft delete element inet t partners { 203.0.113.1-203.0.113.6 }"}},
		{"drop a port", Edit{Kind: DropMember, Rule: rule, Object: "ports", Member: Ports(25, 25)}, []string{"nft delete element inet t ports { 25 }"}},
		{"remove", Edit{Kind: Remove, Rule: rule}, []string{"nft delete rule inet t c handle 10"}},
		{"stop a translation", Edit{Kind: StopNAT, Rule: rule}, []string{"nft delete rule inet t c handle 10"}},
		{"stop a translation of one service", Edit{Kind: StopNAT, Rule: rule, Dst: dst}, []string{"nft insert rule inet t c position 10 ip daddr 10.20.0.25 tcp dport 25 accept"}},
		{"a policy cannot be removed", Edit{Kind: Remove}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.edit.Chain = chain
			if got := editNft(rs, c.edit); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// A few thousand bytes cannot make a model that fills the memory, or is never done.
func TestNftablesIsBounded(t *testing.T) {
	const port = `{"payload": {"protocol": "tcp", "field": "dport"}}`
	var pairs, addrs []string
	for i := range 2000 {
		pairs = append(pairs, fmt.Sprintf(`[%d, {"jump": {"target": "u%d"}}]`, i, i))
		addrs = append(addrs, fmt.Sprintf(`"10.0.%d.%d"`, i/256, i%256))
	}
	sets := `,{"map": {"family": "inet", "name": "m", "table": "t", "map": "verdict", "elem": [` + strings.Join(pairs, ",") + `]}}` +
		`,{"set": {"family": "inet", "name": "s", "table": "t", "elem": [` + strings.Join(addrs, ",") + `]}}`
	var rules []string
	for i := range 600 {
		rules = append(rules, `"expr": [{"vmap": {"key": `+port+`, "data": "@m"}}]`,
			fmt.Sprintf(`"expr": [{"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "ip", "field": "saddr"}}, "255.240.15.%d"]}, "right": "@s"}}, {"accept": null}]`, i%256))
	}
	rs := readNftables(t, strings.Replace(nftRules(rules...), "\n]}", sets+"\n]}", 1))
	total, ranges := 0, 0
	for _, c := range rs.Chains {
		total += len(c.Rules)
		for _, r := range c.Rules {
			for _, term := range r.Match {
				ranges = max(ranges, len(term.Ranges))
			}
		}
	}
	if total > nftExtra+2*4000+2*len(rules) || ranges > nftHoles+4096 {
		t.Errorf("got %d rules, and %d ranges in one of them", total, ranges)
	}
	rs.Own = []netip.Addr{netip.MustParseAddr("10.20.0.1")}
	rs.Decide(NewFlow("", netip.MustParseAddrPort("203.0.113.9:0"), netip.MustParseAddrPort("10.20.0.25:25")))
}

// FuzzNftables reads anything: no panic, no hang, and each rule stands in the file.
func FuzzNftables(f *testing.F) {
	names, err := filepath.Glob("testdata/nftables/*.json")
	if err != nil || len(names) == 0 {
		f.Fatal("no fixtures", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(text[:len(text)/2])
		f.Add(append(slices.Clone(text[:strings.LastIndex(string(text[:len(text)/2]), ",\n")]), "]}"...))
	}
	f.Add([]byte(nftRules(`"expr": [{"jump": {"target": "c"}}]`)))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<17 {
			return
		}
		rs := &Ruleset{Chains: make(map[string]*Chain)}
		if readNft(rs, []Export{{File: File{Name: "r"}, Data: text}}) != nil {
			return
		}
		last := 1 + strings.Count(string(text), "\n")
		for _, c := range rs.Chains {
			for _, r := range c.Rules {
				if r.Where.Line < 1 || r.Where.Line > last || r.Where.End > last || r.ID == "" {
					t.Fatalf("%s stands at %v of %d lines", r.ID, r.Where, last)
				}
			}
		}
		for _, to := range []string{"10.20.0.25:25", "198.51.100.25:25", "[2001:db8:20::25]:587"} {
			dst := netip.MustParseAddrPort(to)
			src := netip.MustParseAddrPort("203.0.113.9:0")
			if dst.Addr().Is6() {
				src = netip.MustParseAddrPort("[2001:db8::9]:0")
			}
			rs.Decide(NewFlow("", src, dst))
		}
	})
}
