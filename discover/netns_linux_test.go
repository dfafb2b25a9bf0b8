package discover

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inNamespace is set in the copy of the test binary that runs inside the network namespace.
const inNamespace = "RELAYSWEEP_IN_NAMESPACE"

const (
	fw4, fw6 = "10.99.0.1", "fd99::1" // on the namespace's loopback, behind its firewall
	nobody4  = "10.98.0.9"            // on a link where nobody answers ARP
	nobody6  = "fd98::9"              // the same for ND
	openPort = 1001
	toItself = 40000 // the only ephemeral port
	toPort25 = 1020  // opens to who comes from port 25
	toFriend = 1021  // opens to who comes from friend
	friend   = "10.99.0.77"
)

// wall is the firewall: what a port does, and what a sweep must take it for. An empty rule accepts.
var wall = []struct {
	name   string
	family string // 4, 6, or both
	port   uint16
	rule   string
	state  State
	reason string
}{
	{"open", "46", openPort, "", Open, "handshake"},
	{"closed: the host itself refuses", "46", 1002, "", Closed, "reset"},
	{"drop", "46", 1003, "drop", Filtered, "no answer in 2s"},
	{"reject with a reset", "46", 1004, "reject with tcp reset", Closed, "reset"},

	{"reject, as nft does if told no more: port unreachable", "4", 1010, "reject with icmp type port-unreachable", Prohibited, "icmp port or protocol unreachable: a firewall's reject"},
	{"reject with protocol unreachable", "4", 1011, "reject with icmp type prot-unreachable", Prohibited, "icmp port or protocol unreachable: a firewall's reject"},
	{"reject with communication prohibited", "4", 1012, "reject with icmp type admin-prohibited", Prohibited, "icmp administratively prohibited"},
	{"reject with host prohibited", "4", 1013, "reject with icmp type host-prohibited", Prohibited, "icmp administratively prohibited"},
	{"reject with net prohibited", "4", 1014, "reject with icmp type net-prohibited", Prohibited, "icmp administratively prohibited"},
	{"reject with host unreachable", "4", 1015, "reject with icmp type host-unreachable", Unreachable, "host unreachable"},
	{"reject with net unreachable", "4", 1016, "reject with icmp type net-unreachable", Unreachable, "network unreachable"},

	{"reject in IPv6, as nft does if told no more: port unreachable", "6", 1010, "reject with icmpv6 type port-unreachable", Prohibited, "icmp port or protocol unreachable: a firewall's reject"},
	{"reject with administratively prohibited in IPv6", "6", 1012, "reject with icmpv6 type admin-prohibited", Prohibited, "icmp administratively prohibited"},
	{"reject with policy failed in IPv6", "6", 1017, "reject with icmpv6 type policy-fail", Prohibited, "icmp administratively prohibited"},
	{"reject with reject route in IPv6", "6", 1018, "reject with icmpv6 type reject-route", Prohibited, "icmp administratively prohibited"},
	{"reject with address unreachable in IPv6", "6", 1015, "reject with icmpv6 type addr-unreachable", Unreachable, "host unreachable"},
	{"reject with no route in IPv6", "6", 1016, "reject with icmpv6 type no-route", Unreachable, "network unreachable"},
}

// All that is sent stays inside a network namespace, which is made for this test and taken away after it.
func TestStatesInANamespace(t *testing.T) {
	if os.Getenv(inNamespace) != "" {
		t.Skip("runs outside the namespace")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, for a network namespace with firewall rules")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s (apt-get install iproute2 nftables)", tool)
		}
	}
	ns := fmt.Sprintf("rsdt-%d", os.Getpid())
	if out, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
		t.Skipf("needs the right to make network namespaces (CAP_SYS_ADMIN): %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", ns).CombinedOutput(); err != nil {
			t.Errorf("ip netns del %s: %v\n%s", ns, err, out)
		}
	})
	inside := func(stdin string, args ...string) {
		t.Helper()
		cmd := exec.Command("ip", append([]string{"netns", "exec", ns}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	ip := func(args string) { t.Helper(); inside("", append([]string{"ip"}, strings.Fields(args)...)...) }
	ip("link set lo up")
	ip("addr add " + fw4 + "/32 dev lo")
	ip("addr add " + fw6 + "/128 dev lo nodad")
	ip("addr add " + friend + "/32 dev lo")
	ip("link add rsdt0 type veth peer name rsdt1")
	for _, setting := range []string{"ipv4/neigh/rsdt0/retrans_time_ms", "ipv6/neigh/rsdt0/retrans_time_ms"} {
		inside("", "sh", "-c", "echo 100 >/proc/sys/net/"+setting)
	}
	ip("link set rsdt0 up")
	ip("link set rsdt1 up")
	ip("addr add 10.98.0.1/24 dev rsdt0")
	ip("addr add fd98::1/64 dev rsdt0 nodad")
	ip("route add unreachable 10.97.0.1/32")
	ip("route add prohibit 10.97.0.2/32")
	ip("route add blackhole 10.97.0.3/32")
	inside(ruleset(), "nft", "-f", "-")

	cmd := exec.Command("ip", "netns", "exec", ns, os.Args[0], "-test.run=^Test(Epoll)?InsideTheNamespace$", "-test.v", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), inNamespace+"="+ns)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestInsideTheNamespace ") || !strings.Contains(string(out), "--- PASS: TestEpollInsideTheNamespace ") {
		t.Errorf("inside %s: %v\n%s", ns, err, out)
	}
}

func ruleset() string {
	var b strings.Builder
	b.WriteString("table inet wall {\nchain input {\ntype filter hook input priority 0; policy accept;\n")
	for _, w := range wall {
		if w.rule == "" {
			continue
		}
		for _, f := range w.family {
			dst := map[rune]string{'4': "ip daddr " + fw4, '6': "ip6 daddr " + fw6}[f]
			fmt.Fprintf(&b, "%s tcp dport %d %s\n", dst, w.port, w.rule)
		}
	}
	fmt.Fprintf(&b, "tcp dport %d tcp sport != 25 drop\nip saddr != %s tcp dport %d drop\n", toPort25, friend, toFriend)
	b.WriteString("}\n}\n")
	return b.String()
}

func TestInsideTheNamespace(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		t.Skip("is run by TestStatesInANamespace")
	}
	at := func(host string, port uint16) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(host), port)
	}
	for _, a := range []netip.AddrPort{at(fw4, openPort), at(fw6, openPort), at(fw4, toPort25), at(fw6, toPort25), at(fw4, toFriend)} {
		l, err := net.Listen("tcp", a.String())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	// One sweep for all: each port of both hosts, though not each has a rule in each family.
	addrs := []netip.AddrPort{at(nobody4, 1003), at(nobody6, 1003)}
	for _, w := range wall {
		addrs = append(addrs, at(fw4, w.port), at(fw6, w.port))
	}
	for i := range 3 {
		addrs = append(addrs, at("10.97.0."+strconv.Itoa(i+1), 1003))
	}
	const timeout = 2 * time.Second
	got, _ := sweepAll(t, &Connect{Timeout: timeout}, addrs...)
	check := func(name string, a netip.AddrPort, state State, reason string) {
		t.Helper()
		if s := got.State(a); s != state {
			t.Errorf("%s: %v: swept: got %v, want %v", name, a, s, state)
		}
		if s, why := connect(a, netip.AddrPort{}, timeout); s != state || why != reason {
			t.Errorf("%s: %v: got %v, %q, want %v, %q", name, a, s, why, state, reason)
		}
	}
	for _, w := range wall {
		for _, f := range w.family {
			check(w.name, at(map[rune]string{'4': fw4, '6': fw6}[f], w.port), w.state, w.reason)
		}
	}
	check("nobody answers ARP", at(nobody4, 1003), Unreachable, "host unreachable")
	check("nobody answers ND", at(nobody6, 1003), Unreachable, "host unreachable")
	check("our own unreachable route", at("10.97.0.1", 1003), Unreachable, "host unreachable")
	check("our own prohibit route is our trouble", at("10.97.0.2", 1003), Failed, "permission denied")
	check("our own blackhole is our trouble", at("10.97.0.3", 1003), Failed, "invalid argument")

	t.Run("what opens to a further source alone", func(t *testing.T) {
		doors := []netip.AddrPort{at(fw4, openPort), at(fw4, toPort25), at(fw6, toPort25), at(fw4, toFriend)}
		for _, c := range []struct {
			from string
			open []bool
		}{{"", []bool{true, false, false, false}}, {":25", []bool{true, true, true, false}}, {friend, []bool{true, false, false, true}}, {friend + ":25", []bool{true, true, false, true}}} {
			var from netip.AddrPort
			if c.from != "" {
				var err error
				if from, err = ParseSource(c.from); err != nil {
					t.Fatal(err)
				}
			}
			got, openings := sweepAll(t, &Connect{Timeout: timeout, From: from}, doors...)
			source := make(map[netip.AddrPort]netip.AddrPort)
			for _, o := range openings {
				source[o.Target.AddrPort()] = o.Source
			}
			for i, a := range doors {
				want, to := Filtered, netip.AddrPort{}
				if c.open[i] {
					want = Open
					if i > 0 { // the first is open to all
						to = from
					}
				}
				passed := !SourceFits(from, a.Addr())
				if passed {
					want = NotAttempted
				}
				index, _ := got.plan.indexOf(a)
				if s := got.State(a); s != want || source[a] != to || (got.code(index) == codePassed) != passed {
					t.Errorf("from %q to %v: got %v, open to %q, passed %v, want %v, open to %q, passed %v", c.from, a, s, SourceText(source[a]), got.code(index) == codePassed, want, SourceText(to), passed)
				}
				if c.from == ":25" && c.open[i] {
					s := mustScope(t, aiming(Spec{}, a.Addr().String()))
					conn, err := s.Dialer(netip.Addr{}, time.Second).DialFrom(t.Context(), mustTarget(t, s, a.String()), from)
					if err != nil {
						t.Errorf("dial from :25 to %v: %v", a, err)
						continue
					}
					conn.Close()
				}
			}
		}
	})
	t.Run("a port that reaches itself is not open", func(t *testing.T) {
		write(t, "/proc/sys/net/ipv4/ip_local_port_range", fmt.Sprintf("%d %d", toItself, toItself))
		defer write(t, "/proc/sys/net/ipv4/ip_local_port_range", "32768 60999")
		for _, host := range []string{fw4, fw6} {
			a := at(host, toItself)
			if state, reason := connect(a, netip.AddrPort{}, time.Second); state != Failed || reason != "connected to itself" {
				t.Errorf("%v: got %v, %q, want %v, connected to itself", a, state, reason, Failed)
			}
			if cov, _ := sweepAll(t, &Connect{Timeout: time.Second}, a); cov.State(a) != Failed {
				t.Errorf("%v: got %v, %q, want %v", a, cov.State(a), cov.Trouble(), Failed)
			}
		}
	})
	t.Run("no descriptor is our trouble", func(t *testing.T) {
		var was syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: was.Max}); err != nil {
			t.Fatal(err)
		}
		state, reason := connect(at(fw4, openPort), netip.AddrPort{}, time.Second)
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
			t.Fatal(err)
		}
		if state != Failed || reason != "socket: "+unix.EMFILE.Error() {
			t.Errorf("got %v, %q, want %v, socket: %v", state, reason, Failed, unix.EMFILE)
		}
	})
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0); err != nil {
		t.Fatal(err)
	}
}
