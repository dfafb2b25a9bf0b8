package firewall

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestKernelJudgesNftables(t *testing.T) {
	judge(t, judged{
		tools: []string{"nft"},
		apt:   "nftables",
		random: func(rnd *rand.Rand) []command {
			return []command{{args: []string{"nft", "-f", "-"}, stdin: randomNft(rnd)}}
		},
		exports: []command{{file: "nft.json", args: []string{"nft", "-j", "list", "ruleset"}}},
	})
}

// nftRandom writes a random ruleset.
type nftRandom struct {
	*rand.Rand
	b      strings.Builder
	family string // of the table
	hook   string // of the chain; empty: one that others jump to
	nat    bool
	sets   map[string][]string // by what they hold: names
	chains []string            // that may be jumped to
}

func (r *nftRandom) chance(percent int) bool { return r.IntN(100) < percent }
func (r *nftRandom) line(format string, args ...any) {
	fmt.Fprintf(&r.b, format+"\n", args...)
}

func randomNft(rnd *rand.Rand) string {
	r := &nftRandom{Rand: rnd}
	r.line("flush ruleset")
	families := []string{"inet", "inet", "inet", "ip", "ip", "ip6"}
	for i := range 1 + r.IntN(4) {
		r.table(fmt.Sprint("t", i), pick(rnd, families...))
	}
	return r.b.String()
}

func (r *nftRandom) table(name, family string) {
	r.family, r.sets, r.chains = family, make(map[string][]string), nil
	r.line("table %s %s {", family, name)
	for i := range r.IntN(5) {
		r.set(fmt.Sprint("s", i))
	}
	// Chains that are jumped to come first, and jump to those before them alone: there are no circles.
	r.hook, r.nat = "", false
	for i := range r.IntN(4) {
		r.chain(fmt.Sprint("u", i), "")
		r.chains = append(r.chains, fmt.Sprint("u", i))
	}
	for i := range r.IntN(2) {
		r.set(fmt.Sprint("v", i)) // verdict maps know the chains
	}
	for i := range 1 + r.IntN(4) {
		r.hook = pick(r.Rand, "prerouting", "input", "forward", "forward", "forward", "output", "postrouting")
		policy := "accept"
		if r.chance(15) {
			policy = "drop"
		}
		typ := "filter"
		if r.hook == "output" && r.chance(20) {
			typ = "route"
		}
		prio := pick(r.Rand, -300, -200, -150, -101, -99, -50, 0, 0, 5, 50, 99, 101, 150, 225)
		if typ == "filter" && prio <= -200 && r.hook != "prerouting" && r.hook != "output" {
			prio = -10
		}
		r.chain(fmt.Sprint("b", i), fmt.Sprintf("type %s hook %s priority %d; policy %s;", typ, r.hook, prio, policy))
	}
	if r.chance(70) {
		r.chains = nil
		for _, hook := range []string{"prerouting", "postrouting", "prerouting", "postrouting", "input"} {
			if !r.chance(55) || hook == "input" && !r.chance(30) {
				continue
			}
			r.hook, r.nat = hook, true
			r.chains = nil
			n := strconv.Itoa(r.IntN(1 << 30))
			if r.chance(40) {
				r.chain("n"+n, "")
				r.chains = []string{"n" + n}
			}
			policy := "accept"
			if r.chance(3) {
				policy = "drop"
			}
			r.chain("c"+n, fmt.Sprintf("type nat hook %s priority %d; policy %s;", hook, pick(r.Rand, -150, -100, -100, -90, 0, 50, 100, 110), policy))
		}
	}
	r.line("}")
}

func (r *nftRandom) chain(name, head string) {
	r.line("\tchain %s {", name)
	if head != "" {
		r.line("\t\t%s", head)
	}
	for range r.IntN(7) {
		r.line("\t\t%s", r.rule())
	}
	r.line("\t}")
}

func (r *nftRandom) six() bool {
	return r.family == "ip6" || r.family == "inet" && r.chance(40)
}

func (r *nftRandom) addr(six bool) string {
	return pick(r.Rand, only6(slices.Concat(labSources, labLAN, labDMZ, labRouter, labPublic), six)...)
}

func (r *nftRandom) source(six bool) string {
	if r.chance(70) {
		return pick(r.Rand, only6(labSources, six)...)
	}
	return r.addr(six)
}

// addrs is an address, a prefix or a range.
func (r *nftRandom) addrs(six, source bool) string {
	a := r.addr(six)
	if source {
		a = r.source(six)
	}
	switch r.IntN(5) {
	case 0, 1:
		if six {
			return pick(r.Rand, "fd01::/64", "fd02::/64", "fd03::/64", "fd08::/64", "fd01:1::/64", "fd00::/14", "::/0", "fd02::10/127", "fd03::10/126")
		}
		return pick(r.Rand, "10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24", "10.8.0.0/16", "10.0.0.0/8", "0.0.0.0/0", "10.2.0.10/31", "10.3.0.8/29", "172.16.0.0/12")
	case 2:
		if six {
			return pick(r.Rand, "fd01::11-fd01::12", "fd02::11-fd02::ff", "fd03::10-fd03::12", "fd02::-fd03::ffff")
		}
		return pick(r.Rand, "10.1.0.11-10.1.0.12", "10.2.0.11-10.2.0.12", "10.2.0.0-10.3.0.11", "10.8.0.2-10.8.1.255")
	}
	return a
}

func (r *nftRandom) port() string { return strconv.Itoa(int(pick(r.Rand, labListening...))) }

func (r *nftRandom) ports() string {
	if r.chance(35) {
		return pick(r.Rand, "20-25", "24-26", "26-30", "465-587", "1-1023", "2525-2528", "25-8025", "587-65535")
	}
	return r.port()
}

// several writes an anonymous set of distinct values; ranges in it must not overlap, so there is at most one.
func (r *nftRandom) several(one, span func() string) string {
	if r.chance(30) {
		return "{ " + span() + " }"
	}
	var list []string
	for range 1 + r.IntN(5) {
		if v := one(); !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	return "{ " + strings.Join(list, ", ") + " }"
}

func (r *nftRandom) not() string { return pick(r.Rand, "", "", "", "!= ") }

// set writes a named set or map.
func (r *nftRandom) set(name string) {
	six := r.six()
	typ, word := "ipv4_addr", "4"
	if six {
		typ, word = "ipv6_addr", "6"
	}
	addrs := func() string {
		return r.several(func() string { return r.addr(six) }, func() string { return r.addrs(six, true) })
	}
	ports := func() string { return r.several(r.port, r.ports) }
	var kind, head string
	switch n := r.IntN(8); {
	case n == 0:
		kind, head = "addr"+word, "type "+typ+"; flags interval; elements = "+addrs()
	case n == 1:
		kind, head = "addr"+word, "type "+typ+"; counter; elements = "+r.several(func() string { return r.addr(six) }, func() string { return r.addr(six) })
	case n == 2:
		kind, head = "port", "type inet_service; flags interval; elements = "+ports()
	case n == 3:
		kind, head = "tuple"+word, "type "+typ+" . inet_service; flags interval; elements = "+r.tuples(six)
	case n == 4:
		kind, head = "name", `type ifname; elements = { "wan0", "dmz0" }`
	case n == 5:
		kind, head = "addr"+word, "type "+typ+"; timeout 1h; elements = "+r.several(func() string { return r.addr(six) }, func() string { return r.addr(six) })
	case n == 6:
		kind, head = "addr"+word, "type "+typ+"; flags interval; elements = { "+r.addrs(six, false)+", * }"
	case r.hook == "" && len(r.chains) > 0:
		kind, head = "verdicts", "type inet_service : verdict; flags interval; elements = "+r.verdicts()
		r.line("\tmap %s { %s; }", name, head)
		r.sets[kind] = append(r.sets[kind], name)
		return
	default:
		return
	}
	r.line("\tset %s { %s; }", name, head)
	r.sets[kind] = append(r.sets[kind], name)
}

func (r *nftRandom) tuples(six bool) string {
	var list []string
	for i := range 1 + r.IntN(4) {
		_ = i
		list = append(list, r.addr(six)+" . "+r.port())
	}
	slices.Sort(list)
	list = slices.Compact(list)
	if r.chance(50) {
		list = []string{r.addrs(six, false) + " . " + r.ports()}
	}
	return "{ " + strings.Join(list, ", ") + " }"
}

// verdicts are those of a map by port.
func (r *nftRandom) verdicts() string {
	var list []string
	ports := slices.Clone(labListening)
	r.Shuffle(len(ports), func(i, j int) { ports[i], ports[j] = ports[j], ports[i] })
	for i := range 1 + r.IntN(5) {
		list = append(list, fmt.Sprintf("%d : %s", ports[i], r.mapped()))
	}
	if r.chance(30) {
		list = []string{"20-25 : " + r.mapped(), "26-29 : " + r.mapped(), "465-588 : " + r.mapped()}
	}
	if r.chance(25) {
		list = append(list, "* : "+r.mapped())
	}
	return "{ " + strings.Join(list, ", ") + " }"
}

func (r *nftRandom) mapped() string {
	if len(r.chains) > 0 && r.chance(40) {
		return pick(r.Rand, "jump ", "goto ") + pick(r.Rand, r.chains...)
	}
	if r.hook == "" && r.chance(30) {
		return "return"
	}
	return pick(r.Rand, "accept", "accept", "accept", "drop", "continue")
}

// named picks a set of a kind.
func (r *nftRandom) named(kind string) string {
	if l := r.sets[kind]; len(l) > 0 && r.chance(60) {
		return "@" + pick(r.Rand, l...)
	}
	return ""
}

// condition writes one, and whether it makes sure that it is about TCP.
func (r *nftRandom) condition() (text string, tcp bool) {
	six := r.six()
	ip, word, bits := "ip", "4", 32
	if six {
		ip, word, bits = "ip6", "6", 128
	}
	switch r.IntN(30) {
	case 0, 1, 2, 3:
		side := pick(r.Rand, "saddr", "daddr")
		what := r.addrs(six, side == "saddr")
		if r.chance(40) {
			what = r.several(func() string { return r.addr(six) }, func() string { return r.addrs(six, side == "saddr") })
		}
		if s := r.named("addr" + word); s != "" {
			what = s
		}
		return ip + " " + side + " " + r.not() + what, false
	case 4, 5, 6, 7, 8:
		what := r.ports()
		if r.chance(40) {
			what = r.several(r.port, r.ports)
		}
		if s := r.named("port"); s != "" {
			what = s
		}
		return "tcp dport " + r.not() + what, true
	case 9:
		return fmt.Sprintf("tcp %s %s %d", pick(r.Rand, "sport", "dport"), pick(r.Rand, "<", ">", "<=", ">="), pick(r.Rand, 25, 26, 587, 1024, 30000, 50000)), true
	case 10:
		return "tcp sport " + r.not() + pick(r.Rand, "1024-30000", "30000-65535", "1-1023"), true
	case 11, 12:
		if s := r.named("name"); s != "" {
			return pick(r.Rand, "iifname ", "oifname ") + r.not() + s, false
		}
		return pick(r.Rand, "iifname ", "oifname ") + r.not() + pick(r.Rand, `"wan0"`, `"lan0"`, `"dmz0"`, `"lan*"`, `{ "wan0", "lan0" }`, `"w*"`), false
	case 13:
		return pick(r.Rand, "iif ", "oif ") + r.not() + pick(r.Rand, "wan0", "lan0", "dmz0", "lo"), false
	case 14, 15:
		return pick(r.Rand, "ct state new", "ct state established,related", "ct state { new, established }", "ct state != new", "ct state established",
			"ct state ! established,related", "ct state invalid", "ct state != { established, related }", "ct state & (established|related) != 0"), false
	case 16:
		return pick(r.Rand, "ct direction original", "ct direction reply", "ct direction != reply"), false
	case 17:
		return pick(r.Rand, "ct status dnat", "ct status snat", "ct status & dnat == dnat", "ct status ! dnat", "ct status snat,dnat"), false
	case 18:
		if six {
			return "ct original ip6 daddr " + r.not() + r.addrs(true, false), false
		}
		return "ct original ip daddr " + r.not() + r.addrs(false, false), false
	case 19:
		return "meta l4proto tcp ct original proto-dst " + r.not() + r.ports(), true
	case 20:
		if r.family != "inet" {
			return "meta pkttype unicast", false
		}
		return pick(r.Rand, "meta nfproto ipv4", "meta nfproto ipv6", "meta nfproto != ipv4", "meta protocol ip", "meta protocol { ip, ip6 }"), false
	case 21:
		if r.family == "ip" {
			return pick(r.Rand, "ip protocol tcp", "ip protocol != udp", "ip protocol { tcp, udp }", "ip protocol icmp"), false
		}
		return pick(r.Rand, "meta l4proto tcp", "meta l4proto { tcp, udp }", "meta l4proto != tcp", "meta l4proto > 5"), false
	case 22:
		return pick(r.Rand, "tcp flags syn", "tcp flags == syn", "tcp flags != syn", "tcp flags & (fin|syn|rst|ack) == syn", "tcp flags & (syn|ack) == (syn|ack)",
			"tcp flags { syn, syn|ack }", "tcp flags ! syn", "tcp flags & ack == 0", "tcp flags psh"), true
	case 23:
		if r.nat {
			return "meta l4proto { tcp, udp } th dport " + r.ports(), true
		}
		return pick(r.Rand, "fib daddr type local", "fib daddr type != local", "fib saddr type local", "fib daddr type { local, broadcast }"), false
	case 24, 25:
		what := r.tuples(six)
		if s := r.named("tuple" + word); s != "" {
			what = s
		}
		return ip + " " + pick(r.Rand, "saddr", "daddr") + " . tcp dport " + r.not() + what, true
	case 26:
		return fmt.Sprintf(`iifname . %s daddr . tcp dport %s{ "%s" . %s . %s }`, ip, r.not(), pick(r.Rand, "wan0", "lan0", "dmz0"), r.addrs(six, false), r.ports()), true
	case 27:
		return pick(r.Rand, "udp dport 25", "udp dport != 25", "meta pkttype host", "meta pkttype { broadcast, multicast }"), false
	case 28:
		if six || bits == 128 {
			return "ip6 daddr & ffff::ff == " + pick(r.Rand, "fd02::11", "fd03::10", "fd01::11"), false
		}
		return pick(r.Rand, "ip saddr & 255.255.0.255 == 10.1.0.11", "ip daddr & 0.0.0.3 == 0.0.0.2", "ip daddr & 255.254.0.0 == 10.2.0.0", "ip daddr & 255.0.255.1 != 10.0.0.0",
			"ip daddr & 0.0.0.255 == { 0.0.0.11, 0.0.0.12 }"), false
	}
	return "tcp dport & " + pick(r.Rand, "1 == 1", "0xfffe == 24", "0xff00 == 0", "7 != 1"), true
}

// rule writes a line. Nearly all have a counter behind their conditions.
func (r *nftRandom) rule() string {
	var parts []string
	tcp := false
	for range r.IntN(4) {
		c, about := r.condition()
		// A second condition may exclude the first by what comes with it; nft refuses some of these.
		if slices.ContainsFunc(parts, func(p string) bool { return conflict(p, c) }) {
			continue
		}
		tcp = tcp || about && !strings.Contains(c, "udp")
		parts = append(parts, c)
	}
	counter := "counter"
	if r.chance(5) {
		counter = `counter log prefix "x"`
	}
	if !r.nat && r.chance(12) || r.nat && r.chance(5) {
		if len(r.sets["verdicts"]) > 0 && !r.nat && r.hook != "" && r.chance(50) && !slices.ContainsFunc(parts, func(p string) bool { return conflict(p, "tcp dport") }) {
			return strings.Join(append(parts, "tcp dport vmap @"+pick(r.Rand, r.sets["verdicts"]...)), " ")
		}
		if !slices.ContainsFunc(parts, func(p string) bool { return conflict(p, "tcp dport") }) {
			rest := ""
			if r.chance(30) {
				rest = " counter accept"
			}
			return strings.Join(append(parts, "tcp dport vmap "+r.verdicts()+rest), " ")
		}
	}
	if !r.nat && r.chance(8) { // a statement that is of one family
		field := "ip"
		if r.six() {
			field = "ip6"
		}
		if !slices.ContainsFunc(parts, func(p string) bool { return conflict(p, field+" saddr") }) {
			parts = append(parts, field+" dscp set cs1")
		}
	}
	parts = append(parts, counter)
	if r.nat && r.chance(65) {
		parts = append(parts, r.translation(parts, tcp))
		return strings.Join(parts, " ")
	}
	verdicts := []string{"accept", "accept", "accept", "drop", "continue", ""}
	if r.nat {
		verdicts = []string{"accept", "", "return"}
		if r.chance(10) {
			verdicts = []string{"drop"}
		}
	}
	if r.hook == "" {
		verdicts = append(verdicts, "return", "return")
	}
	if len(r.chains) > 0 {
		verdicts = append(verdicts, "jump "+pick(r.Rand, r.chains...), "jump "+pick(r.Rand, r.chains...), "goto "+pick(r.Rand, r.chains...))
	}
	if !r.nat && slices.Contains([]string{"input", "forward", "output"}, r.hook) {
		verdicts = append(verdicts, "reject")
		if tcp {
			verdicts = append(verdicts, "reject with tcp reset")
		}
	}
	verdict := pick(r.Rand, verdicts...)
	if verdict == "drop" && len(parts) < 3 && r.chance(70) { // else nearly nothing passes
		verdict = "accept"
	}
	if verdict != "" {
		parts = append(parts, verdict)
	}
	if r.chance(10) {
		parts = append(parts, `comment "owner: somebody"`)
	}
	return strings.Join(parts, " ")
}

// conflict reports whether nft may refuse two conditions in one line: of two families or of two protocols.
func conflict(a, b string) bool {
	kind := func(s string) (four, six, tcp, other bool) {
		four = strings.Contains(s, "ip saddr") || strings.Contains(s, "ip daddr") || strings.Contains(s, "ip protocol") || strings.Contains(s, "ipv4") || strings.Contains(s, "meta protocol")
		six = strings.Contains(s, "ip6 ") || strings.Contains(s, "ipv6") || strings.Contains(s, "nfproto") || strings.Contains(s, "meta protocol")
		tcp = strings.Contains(s, "tcp ") || strings.Contains(s, "th dport")
		other = strings.Contains(s, "udp dport") || strings.Contains(s, "l4proto") || strings.Contains(s, "ip protocol")
		return
	}
	a4, a6, at, ao := kind(a)
	b4, b6, bt, bo := kind(b)
	return a4 && b6 || a6 && b4 || at && bo || ao && bt || ao && bo
}

// translation writes what a chain of type nat does.
func (r *nftRandom) translation(parts []string, tcp bool) string {
	line := strings.Join(parts, " ")
	six := r.family == "ip6"
	word := ""
	if r.family == "inet" {
		six = strings.Contains(line, "ip6") || !strings.Contains(line, "ip saddr") && !strings.Contains(line, "ip daddr") && !strings.Contains(line, "ip protocol") && r.chance(40)
		word = " ip"
		if six {
			word = " ip6"
		}
		if strings.Contains(line, "nfproto") || strings.Contains(line, "meta protocol") { // they may exclude the family
			return "accept"
		}
	}
	servers := only6(slices.Concat(labLAN, labDMZ), six)
	server := func() string { return pick(r.Rand, servers...) }
	at := func(addr, port string) string {
		if port == "" {
			return addr
		}
		if six {
			addr = "[" + addr + "]"
		}
		return addr + ":" + port
	}
	port := ""
	if tcp && r.chance(40) {
		port = r.port()
	}
	ip := "ip"
	if six {
		ip = "ip6"
	}
	tcpOther := strings.Contains(line, "udp") || strings.Contains(line, "l4proto") || strings.Contains(line, "ip protocol")
	if r.hook == "prerouting" {
		switch n := r.IntN(10); {
		case n < 4:
			return "dnat" + word + " to " + at(server(), port)
		case n == 4:
			if tcp && r.chance(70) {
				return "redirect to :" + r.port()
			}
			return "redirect"
		case n == 5:
			return fmt.Sprintf("dnat%s to %s daddr map { %s : %s, %s : %s }", word, ip, only6(labPublic, six)[0], server(), only6(labPublic, six)[1], server())
		case n == 6 && !tcpOther:
			return fmt.Sprintf("dnat%s to tcp dport map { 25 : %s, 26-29 : %s }", word, server(), server())
		case n == 7 && !tcpOther:
			return fmt.Sprintf("dnat%s addr . port to tcp dport map { 25 : %s . 2525, 26 : %s . 25 }", strings.ReplaceAll(" "+ip, "  ", " "), server(), server())
		case n == 8:
			if six {
				return "dnat ip6 prefix to ip6 daddr map { fd08::/64 : fd02::/64, fd08:1::/64 : fd03::/64 }"
			}
			return "dnat ip prefix to ip daddr map { 10.8.0.0/24 : 10.2.0.0/24, 10.8.1.0/24 : 10.3.0.0/24 }"
		case n == 9 && tcp && word == "":
			return "dnat to :" + r.port()
		}
		return "dnat" + word + " to " + at(servers[0]+"-"+servers[1], "")
	}
	pool := []string{"10.2.0.1", "10.3.0.1", "10.8.0.1", "10.1.0.1"}
	if six {
		pool = []string{"fd02::1", "fd03::1", "fd08::1", "fd01::1"}
	}
	if r.hook == "postrouting" && r.chance(50) {
		if tcp && r.chance(30) {
			return "masquerade to :2000-60000"
		}
		return "masquerade"
	}
	return "snat" + word + " to " + pick(r.Rand, pool...)
}

// nftStatements are lines that random rulesets have not.
const nftStatements = `
table inet t {
	quota much { over 25 mbytes }
	counter sent { }
	counter more { }
	limit few { rate 3/second }
	set seen { type ipv4_addr; size 100; flags dynamic; }
	set knocked { type ipv4_addr; flags timeout; timeout 1m; }
	set relays { type ipv4_addr . inet_service; flags interval; elements = { 192.0.2.25 . 25, 192.0.2.32/28 . 465-587 }; }
	chain c {
		type filter hook forward priority 0; policy drop;
		meta mark set 0x10 log prefix "new one: " level info counter
		meta mark & 0xff == 0x10 ct mark set meta mark
		ct mark 1 limit rate 10/second accept
		limit rate over 10/second burst 7 packets drop
		limit name "few" quota name "much" counter name "sent" accept
		counter name tcp dport map { 25 : "sent", 26 : "more" } accept
		quota over 10 mbytes drop
		meta skuid 1000 meta hour "08:00"-"18:00" meta day "Monday" accept
		ct count over 10 reject with icmpx admin-prohibited
		fib saddr . iif oif missing drop
		fib daddr type { local, broadcast } accept
		add @seen { ip saddr limit rate 3/minute } accept
		update @knocked { ip saddr timeout 2m } drop
		ip dscp cs1 ip frag-off & 0x1fff != 0 ip ttl 1 drop
		exthdr hbh exists drop
		rt type 0 drop
		tcp option maxseg size set 1400
		ip daddr set 192.0.2.15
		numgen random mod 10 < 3 accept
		jhash ip saddr . tcp sport mod 2 seed 0x1 offset 1 1 accept
		ct original ip saddr 203.0.113.0/24 ct reply ip saddr 192.0.2.25 accept
		ip daddr . tcp dport @relays accept
		ip saddr & 0.0.0.255 == { 0.0.0.1, 0.0.0.2 } accept
		iifname . ip saddr vmap { "eth0" . 192.0.2.1 : accept, "eth1" . 192.0.2.0/28 : drop }
		@th,0,32 0x19 @ll,0,8 1 accept
		icmp type echo-request icmp code 1 accept
		icmpv6 type { nd-router-solicit, echo-request } accept
		meta length 1-100 meta priority 1 meta oifkind "veth" accept
		ct state . ct direction { established . reply } accept
		ct state != established,related drop
		tcp flags & (syn|ack) != syn accept
		ct expiration > 10s accept
		ct helper "ftp" accept
		tcp dport 25 comment "an owner"
	}
}
table ip n {
	map both { type inet_service : ipv4_addr . inet_service; elements = { 25 : 192.0.2.1 . 2525 }; }
	chain p {
		type nat hook prerouting priority -100;
		tcp dport 25 dnat to 192.0.2.1-192.0.2.9:2525-2530 random,persistent
		dnat ip prefix to ip daddr map { 198.51.100.0/24 : 192.0.2.0/24 }
		dnat ip addr . port to tcp dport map @both
		dnat to numgen inc mod 2 map { 0 : 192.0.2.1, 1 : 192.0.2.2 }
		dnat to jhash ip saddr mod 2 map { 0 : 192.0.2.1, 1 : 192.0.2.2 }
		dnat to symhash mod 2 map { 0 : 192.0.2.1, 1 : 192.0.2.2 }
		tcp dport 25 dnat to ip daddr map { 198.51.100.1 : 192.0.2.1 } : tcp dport map { 25 : 26 }
		tcp dport 25 redirect to :tcp dport map { 25 : 2525 }
	}
}
table inet m {
	chain p {
		type nat hook prerouting priority -100;
		tcp dport 25 dnat ip6 to [2001:db8::1]:2525
	}
	chain q {
		type nat hook postrouting priority 100;
		meta l4proto tcp masquerade to :1024-65535 random,fully-random
	}
}
`

// What is shown of a rule is what nft reads: each line is replaced by its own text, and nothing changes. The commands of
// edits are taken.
func TestKernelTakesNftablesTexts(t *testing.T) {
	needNamespaces(t, judged{tools: []string{"nft"}, apt: "nftables"})
	texts := []string{nftStatements}
	seed := uint64(number(t, "RELAYSWEEP_SEED", int(time.Now().UnixNano()&0xffffff)))
	t.Logf("RELAYSWEEP_SEED=%d", seed)
	for i := range 20 {
		texts = append(texts, randomNft(rand.New(rand.NewPCG(seed, uint64(i)))))
	}
	done := make(chan error)
	replaced := 0
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return err
			}
			for _, link := range []string{"eth0 type veth peer name eth1", "wan0 type veth peer name lan0", "dmz0 type veth"} {
				if out, err := exec.Command("ip", append([]string{"link", "add"}, strings.Fields(link)...)...).CombinedOutput(); err != nil {
					return fmt.Errorf("%w: %s", err, out)
				}
			}
			for _, text := range texts {
				n, err := nftReplaces(text)
				if replaced += n; err != nil {
					return fmt.Errorf("%w\n%s", err, text)
				}
			}
			return nil
		}()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if replaced < 150 {
		t.Errorf("got %d lines, want more", replaced)
	}
}

func nftReplaces(text string) (int, error) {
	nft := func(in string, args ...string) ([]byte, error) {
		cmd := exec.Command("nft", args...)
		cmd.Stdin = strings.NewReader(in)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("nft %s: %w: %s", strings.Join(args, " "), err, errs.String())
		}
		return out.Bytes(), nil
	}
	export := func() (*Ruleset, error) {
		out, err := nft("", "-j", "list", "ruleset")
		if err != nil {
			return nil, err
		}
		return Read("fw", Export{File: File{Name: "r"}, Data: out})
	}
	if _, err := nft("", "flush", "ruleset"); err != nil {
		return 0, err
	}
	if _, err := nft(text, "-f", "-"); err != nil {
		return 0, err
	}
	before, err := export()
	if err != nil {
		return 0, err
	}
	var commands strings.Builder
	n := 0
	var last *Rule
	for _, name := range slices.Sorted(maps.Keys(before.Chains)) {
		last = nil
		for _, r := range before.Chains[name].Rules {
			if last != nil && last.ID == r.ID || name != before.Chains[name].Name {
				continue
			}
			last = r
			_, handle, ok := strings.Cut(r.ID, " handle ")
			if !ok {
				continue
			}
			// nft 1.0.6 has a bug in replace, with maps of prefixes.
			fmt.Fprintf(&commands, "insert rule %s position %s %s\ndelete rule %s handle %s\n", name, handle, r.Text, name, handle)
			n++
		}
	}
	if _, err := nft(commands.String(), "-f", "-"); err != nil {
		for line := range strings.Lines(commands.String()) { // which one
			if _, err := nft(line, "-c", "-f", "-"); err != nil {
				return n, fmt.Errorf("%s: %w", line, err)
			}
		}
		return n, err
	}
	after, err := export()
	if err != nil {
		return n, err
	}
	// Elements of sets come in any order, and so do the rules that a map becomes.
	shape := func(c *Chain) (lines []string) {
		last := ""
		for _, r := range c.Rules {
			text := fmt.Sprint(r.Match, r.Action, r.To, r.Text)
			if r.ID == last {
				lines[len(lines)-1] += " " + text
			} else {
				lines = append(lines, text)
			}
			last = r.ID
		}
		for i, text := range lines {
			words := strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(" ,{}[]|", c) })
			slices.Sort(words)
			lines[i] = strings.Join(words, " ")
		}
		return lines
	}
	for name, c := range before.Chains {
		if was, is := shape(c), shape(after.Chains[name]); !slices.Equal(was, is) {
			return n, fmt.Errorf("lines are others behind their own text:\n%s\n%s", strings.Join(was, "\n"), strings.Join(is, "\n"))
		}
	}
	// Each edit that has commands is one that nft takes.
	dst := netip.MustParseAddrPort("192.0.2.25:25")
	sources := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("198.51.100.7/32")}
	var edits strings.Builder
	for name, c := range after.Chains {
		if name != c.Name || !strings.HasPrefix(c.Name, "inet ") && !strings.HasPrefix(c.Name, "ip ") || len(c.Rules) == 0 {
			continue
		}
		for _, e := range []Edit{{Kind: DenyAbove, Sources: sources, Dst: dst}, {Kind: DenyAbove, Dst: dst}, {Kind: StopNAT, Dst: dst}, {Kind: Remove}} {
			e.Chain, e.Rule = c, c.Rules[0]
			for _, line := range editNft(after, e) {
				fmt.Fprintln(&edits, strings.TrimPrefix(line, "nft "))
			}
		}
	}
	if _, err := nft(edits.String(), "-c", "-f", "-"); err != nil {
		return n, fmt.Errorf("%w\n%s", err, edits.String())
	}
	return n, nil
}
