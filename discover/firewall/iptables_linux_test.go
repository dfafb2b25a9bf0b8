package firewall

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestKernelIPTables(t *testing.T) {
	for _, backend := range []string{"nft", "legacy"} {
		t.Run(backend, func(t *testing.T) {
			ip4, ip6 := "iptables-"+backend, "ip6tables-"+backend
			judge(t, judged{
				tools: []string{ip4 + "-restore", ip6 + "-restore", "ipset"}, apt: "iptables ipset",
				random: func(rnd *rand.Rand) []command {
					return []command{
						{args: []string{"ipset", "-exist", "restore"}, stdin: randomSets(rnd)},
						{args: []string{ip4 + "-restore"}, stdin: randomTables(rnd, false)},
						{args: []string{ip6 + "-restore"}, stdin: randomTables(rnd, true)},
					}
				},
				exports: []command{
					{file: "rules.v4", args: []string{ip4 + "-save", "-c"}},
					{file: "rules.v6", args: []string{ip6 + "-save", "-c"}},
					{file: "ipset", args: []string{"ipset", "save"}},
				},
			})
		})
	}
}

// setTypes are the sets of every ruleset. Each but the ports is there twice, with the family at its name's end.
var setTypes = []string{"hash:ip", "hash:net", "hash:ip,port", "hash:net,port", "hash:ip,port,ip", "hash:net,iface", "bitmap:port", "list:set"}

func setName(kind string, six bool) string {
	name := strings.NewReplacer(":", "-", ",", "-").Replace(kind)
	if kind == "bitmap:port" {
		return name
	}
	if six {
		return name + "6"
	}
	return name + "4"
}

func randomSets(rnd *rand.Rand) string {
	var b strings.Builder
	for _, six := range []bool{false, true} {
		for _, kind := range setTypes {
			name := setName(kind, six)
			switch {
			case kind == "bitmap:port" && six:
				continue
			case kind == "bitmap:port":
				fmt.Fprintf(&b, "create %s %s range 0-65535\n", name, kind)
			case kind == "list:set":
				fmt.Fprintf(&b, "create %s %s size 8\n", name, kind)
			default:
				fmt.Fprintf(&b, "create %s %s family %s\n", name, kind, map[bool]string{false: "inet", true: "inet6"}[six])
			}
			fmt.Fprintf(&b, "flush %s\n", name)
			for range rnd.IntN(6) {
				var parts []string
				for _, k := range strings.Split(kind[strings.IndexByte(kind, ':')+1:], ",") {
					switch k {
					case "ip":
						parts = append(parts, randomHost(rnd, six))
					case "net":
						parts = append(parts, randomNet(rnd, six))
					case "port":
						p := fmt.Sprint(pick(rnd, labListening...))
						if kind != "bitmap:port" {
							p = pick(rnd, "tcp:", "tcp:", "tcp:", "udp:") + p
						}
						parts = append(parts, p)
					case "iface":
						parts = append(parts, pick(rnd, "wan0", "lan0", "dmz0"))
					case "set":
						parts = append(parts, setName(pick(rnd, setTypes[:len(setTypes)-1]...), six))
					}
				}
				if strings.Contains(strings.Join(parts, ","), "/0") {
					continue
				}
				nomatch := ""
				if kind == "hash:net" && rnd.IntN(3) == 0 {
					nomatch = " nomatch"
				}
				fmt.Fprintf(&b, "add %s %s%s\n", name, strings.Join(parts, ","), nomatch)
			}
		}
	}
	return b.String()
}

func randomHost(rnd *rand.Rand, six bool) string {
	return pick(rnd, only6(pick(rnd, labSources, labLAN, labDMZ, labRouter, labPublic), six)...)
}

func randomNet(rnd *rand.Rand, six bool) string {
	h := randomHost(rnd, six)
	if six {
		return h + pick(rnd, "/128", "/127", "/126", "/64", "/32", "/16", "/8")
	}
	return h + pick(rnd, "/32", "/31", "/30", "/29", "/24", "/16", "/8")
}

// tableGenerator writes random tables of one family.
type tableGenerator struct {
	rnd   *rand.Rand
	six   bool
	table string
	base  string // the built-in chain that rules are reached from; in one's own chain: empty
}

func randomTables(rnd *rand.Rand, six bool) string {
	g := &tableGenerator{rnd: rnd, six: six}
	var b strings.Builder
	for _, t := range []struct {
		table  string
		chains []string
		most   int
	}{
		{"raw", []string{"PREROUTING", "OUTPUT"}, 2},
		{"mangle", []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}, 3},
		{"nat", []string{"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"}, 6},
		{"filter", []string{"INPUT", "FORWARD", "OUTPUT"}, 10},
		{"security", []string{"INPUT", "FORWARD", "OUTPUT"}, 2},
	} {
		g.table = t.table
		fmt.Fprintf(&b, "*%s\n", t.table)
		for _, c := range t.chains {
			policy := "ACCEPT"
			if t.table == "filter" && g.one(4) || t.table == "mangle" && g.one(60) {
				policy = "DROP"
			}
			fmt.Fprintf(&b, ":%s %s [0:0]\n", c, policy)
		}
		var own []string // chains of one's own; each may jump to those behind it
		for i := range g.rnd.IntN(5) {
			own = append(own, fmt.Sprintf("%s-%d", t.table, i))
		}
		if t.table == "nat" { // what translates destinations may be reached from PREROUTING alone
			own = nil
			for _, c := range []string{"PREROUTING", "POSTROUTING"} {
				for i := range g.rnd.IntN(3) {
					own = append(own, fmt.Sprintf("%s-%d", c, i))
				}
			}
		}
		for _, c := range own {
			fmt.Fprintf(&b, ":%s - [0:0]\n", c)
		}
		to := func(from string, later []string) (out []string) {
			for _, c := range later {
				if t.table != "nat" || strings.HasPrefix(c, strings.SplitN(from, "-", 2)[0]) {
					out = append(out, c)
				}
			}
			return out
		}
		for _, c := range t.chains {
			g.base = c
			most := t.most
			if c == "OUTPUT" || t.table == "nat" && c == "INPUT" {
				most = 2
			}
			if c == "OUTPUT" && t.table == "nat" {
				continue
			}
			for range g.rnd.IntN(most + 1) {
				fmt.Fprintf(&b, "-A %s %s\n", c, g.rule(c, to(c, own)))
			}
		}
		g.base = ""
		for i, c := range own {
			for range g.rnd.IntN(5) {
				fmt.Fprintf(&b, "-A %s %s\n", c, g.rule(c, to(c, own[i+1:])))
			}
		}
		b.WriteString("COMMIT\n")
	}
	return b.String()
}

func (g *tableGenerator) one(of int) bool { return g.rnd.IntN(of) == 0 }

func (g *tableGenerator) rule(chain string, chains []string) string {
	r := g.rnd
	if len(chains) > 0 && g.one(3) {
		return strings.TrimSpace(g.matches(r.IntN(2), "") + " " + pick(r, "-j", "-j", "-g") + " " + pick(r, chains...))
	}
	switch {
	case g.table == "nat" && strings.HasPrefix(chain, "PREROUTING"):
		return g.dnat()
	case g.table == "nat":
		return g.snat(chain)
	}
	targets := []string{"ACCEPT", "ACCEPT", "ACCEPT", "DROP", "RETURN", "", "NFLOG"}
	if g.table == "filter" {
		targets = append(targets, "REJECT", "ACCEPT", "DROP")
	}
	if g.table == "raw" && g.one(40) {
		targets = []string{"CT --notrack"}
	}
	target := pick(r, targets...)
	n := 1 + r.IntN(3)
	if target == "DROP" || target == "REJECT" {
		n = 2 + r.IntN(2)
	}
	if target == "" {
		return g.matches(n, "")
	}
	reject := ""
	m := g.matches(n, "")
	if target == "REJECT" && strings.Contains(m, "-p tcp ") && !strings.Contains(m, "! -p") && g.one(2) {
		reject = " --reject-with tcp-reset"
	}
	return m + " -j " + target + reject
}

// matches are n random conditions.
func (g *tableGenerator) matches(n int, must string) string {
	r := g.rnd
	var base, more []string
	tcp, ports := "", false
	not := func() string {
		if g.one(5) {
			return "! "
		}
		return ""
	}
	have := make(map[string]bool)
	once := func(s string) bool {
		was := have[s]
		have[s] = true
		return !was
	}
	if must == "tcp" {
		tcp = "-p tcp "
	}
	if must == "tcp" || g.one(2) {
		tcp = "-p tcp "
		if g.one(2) && once("port") {
			ports = true
			more = append(more, g.port(not))
		}
	}
	for range n {
		switch r.IntN(13) {
		case 0, 1:
			if once("-s") {
				base = append(base, not()+"-s "+pick(r, randomNet(r, g.six), randomNet(r, g.six), randomHost(r, g.six)))
			}
		case 2, 3:
			if once("-d") {
				base = append(base, not()+"-d "+pick(r, randomNet(r, g.six), randomNet(r, g.six), randomHost(r, g.six)))
			}
		case 4:
			if (g.base == "" && g.table != "nat" || g.base == "PREROUTING" || g.base == "INPUT" || g.base == "FORWARD") && once("-i") {
				base = append(base, pick(r, "-i +", not()+"-i "+pick(r, "wan0", "lan0", "dmz0", "wan+", "eth7"))) // iptables-legacy-save does not show "! -i +"
			}
		case 5:
			if (g.base == "" && g.table != "nat" || g.base == "POSTROUTING" || g.base == "OUTPUT" || g.base == "FORWARD") && once("-o") {
				base = append(base, pick(r, "-o +", not()+"-o "+pick(r, "wan0", "lan0", "dmz0", "lan+")))
			}
		case 6, 7:
			if once("port") {
				tcp, ports = "-p tcp ", true
				more = append(more, g.port(not))
			}
		case 8:
			side := pick(r, "src", "dst")
			a, b := randomHost(r, g.six), randomHost(r, g.six)
			if ra, err := ParseAddrs(a + "-" + b); err == nil && ra.First != ra.Last && once("iprange") {
				more = append(more, fmt.Sprintf("-m iprange %s--%s-range %s-%s", not(), side, a, b))
			}
		case 9:
			if once("state") {
				more = append(more, g.state(not))
			}
		case 10:
			kind := pick(r, setTypes...)
			sides := map[string]int{"hash:ip": 1, "hash:net": 1, "bitmap:port": 1, "hash:ip,port": 2, "hash:net,port": 2, "hash:ip,port,ip": 3, "hash:net,iface": 2, "list:set": 3}[kind]
			if kind == "list:set" || g.one(10) {
				sides = 1 + r.IntN(3)
			}
			var flags []string
			for range sides {
				flags = append(flags, pick(r, "src", "dst", "dst"))
			}
			if kind == "hash:net,iface" && (g.base == "OUTPUT" || g.base == "INPUT" || g.base == "PREROUTING" || g.base == "POSTROUTING" || g.base == "") {
				continue
			}
			if strings.Contains(kind, "list") && g.base != "FORWARD" {
				continue
			}
			more = append(more, fmt.Sprintf("-m set %s--match-set %s %s", not(), setName(kind, g.six), strings.Join(flags, ",")))
		case 11:
			if once("type") {
				more = append(more, fmt.Sprintf("-m addrtype %s--%s-type LOCAL", not(), pick(r, "src", "dst", "dst")))
			}
		case 12:
			more = append(more, pick(r, `-m comment --comment "a word: \"quoted\""`, "-m comment --comment plain"))
		}
	}
	if g.one(60) && must == "" {
		more = append(more, "-m mark --mark 0x7")
	}
	if tcp == "" && g.one(12) && must == "" {
		tcp = pick(r, "-p udp ", "! -p tcp ", "! -p udp ")
		if ports {
			panic("ports without TCP")
		}
	}
	s := strings.TrimSpace(strings.Join(base, " ") + " " + tcp)
	return strings.TrimSpace(s+" "+strings.Join(more, " ")) + " "
}

func (g *tableGenerator) port(not func() string) string {
	r := g.rnd
	p := func() int { return int(pick(r, labListening...)) }
	switch r.IntN(8) {
	case 0, 1, 2:
		return fmt.Sprintf("-m tcp %s--dport %d", not(), p())
	case 3:
		a := p()
		return fmt.Sprintf("-m tcp %s--dport %d:%d", not(), a, a+r.IntN(600))
	case 4:
		a := r.IntN(60000)
		return fmt.Sprintf("-m tcp %s--sport %s", not(), pick(r, fmt.Sprintf(":%d", a), fmt.Sprintf("%d:", a), fmt.Sprint(p())))
	case 5:
		return fmt.Sprintf("-m multiport %s--%s %d,%d:%d,%d", not(), pick(r, "dports", "dports", "sports", "ports"), p(), 25, 26+r.IntN(3), p())
	case 6:
		return fmt.Sprintf("-m tcp %s--tcp-flags %s", not(), pick(r, "SYN,RST,ACK SYN", "FIN,SYN SYN", "SYN,ACK SYN,ACK", "ACK ACK", "RST RST", "ALL NONE"))
	}
	return "-m tcp " + not() + "--syn"
}

func (g *tableGenerator) state(not func() string) string {
	r := g.rnd
	switch r.IntN(9) {
	case 0, 1:
		return "-m conntrack " + not() + "--ctstate " + pick(r, "NEW", "RELATED,ESTABLISHED", "RELATED,ESTABLISHED", "INVALID", "NEW,ESTABLISHED", "INVALID,NEW")
	case 2, 3:
		return "-m state " + not() + "--state " + pick(r, "NEW", "RELATED,ESTABLISHED", "INVALID")
	case 4:
		return "-m conntrack " + not() + "--ctstate " + pick(r, "DNAT", "SNAT", "NEW,DNAT", "SNAT,DNAT", "ESTABLISHED,SNAT")
	case 5:
		return "-m conntrack --ctdir " + pick(r, "ORIGINAL", "REPLY")
	case 6:
		return "-m conntrack " + not() + "--ctorigdst " + randomNet(r, g.six)
	case 7:
		return fmt.Sprintf("-m conntrack %s--ctorigdstport %d", not(), pick(r, labListening...))
	}
	return "-m conntrack --ctstate NEW --ctorigdstport 25 --ctdir ORIGINAL"
}

func (g *tableGenerator) bracket(addr string) string {
	if g.six {
		return "[" + addr + "]"
	}
	return addr
}

func (g *tableGenerator) dnat() string {
	r := g.rnd
	port := pick(r, labListening...)
	m := g.matches(1+r.IntN(2), "tcp")
	if g.one(3) {
		m = fmt.Sprintf("-d %s -p tcp -m tcp --dport %d ", randomNet(r, g.six), port)
	}
	servers := only6(pick(r, labLAN, labDMZ, labRouter), g.six)
	to := pick(r, servers...)
	switch r.IntN(12) {
	case 0, 1, 2:
		return m + "-j DNAT --to-destination " + to
	case 3, 4:
		return fmt.Sprintf("%s-j DNAT --to-destination %s:%d", m, g.bracket(to), pick(r, labListening...))
	case 5:
		return fmt.Sprintf("%s-j DNAT --to-destination :%d", m, pick(r, labListening...))
	case 6:
		s := only6(pick(r, labLAN, labDMZ), g.six)
		if g.six {
			return fmt.Sprintf("%s-j DNAT --to-destination [%s-%s]:25", m, s[0], s[2])
		}
		return fmt.Sprintf("%s-j DNAT --to-destination %s-%s", m, s[0], s[2])
	case 7:
		return fmt.Sprintf("%s-j DNAT --to-destination %s:%d-%d%s", m, g.bracket(to), 20, 28, pick(r, "", " --random"))
	case 8:
		return m + "-j REDIRECT" + pick(r, "", " --to-ports 2525", " --to-ports 20-24")
	case 9:
		d := "10.8.2.0/28 -j NETMAP --to 10.2.0.0/28"
		if g.six {
			d = "fd08:2::/120 -j NETMAP --to fd02::/120"
		}
		return "-d " + d
	case 10:
		return m + "-j " + pick(r, "ACCEPT", "RETURN")
	}
	return fmt.Sprintf("-p tcp -m tcp --dport 2520:2530 -j DNAT --to-destination %s:20-30/2520", g.bracket(to))
}

func (g *tableGenerator) snat(chain string) string {
	r := g.rnd
	m := g.matches(1+r.IntN(2), "tcp")
	to := []string{"10.8.9.9", "10.1.0.1", "10.2.0.1", "10.8.0.1"}
	span := "10.8.9.4-10.8.9.7"
	if g.six {
		to, span = []string{"fd08:9::9", "fd01::1", "fd02::1", "fd08::1"}, "fd08:9::4-fd08:9::7"
	}
	if chain == "INPUT" { // not its own: it would answer to itself
		to = to[:1]
	}
	switch n := r.IntN(9); {
	case n < 3:
		return m + "-j SNAT --to-source " + pick(r, to...)
	case n == 3:
		return fmt.Sprintf("%s-j SNAT --to-source %s:30000-31000", m, g.bracket(pick(r, to...)))
	case n == 4:
		return m + "-j SNAT --to-source " + span
	case n == 5:
		return m + "-j " + pick(r, "ACCEPT", "RETURN")
	case strings.HasPrefix(chain, "POSTROUTING"):
		return m + "-j MASQUERADE" + pick(r, "", "", " --to-ports 30000-31000", " --random")
	}
	return m + "-j SNAT --to-source " + pick(r, to...)
}
