package firewall

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel is the judge: a random ruleset is loaded into a router, connections are made through it, and what Decide says
// of the exported rules is compared with what came of them. A world is a client, a router, and two servers behind it:
//
//	client eth0 ─── wan0 router lan0 ─── eth0 lan
//	                            dmz0 ─── eth0 dmz
//
// RELAYSWEEP_RULESETS says how many rulesets of a language are tried, RELAYSWEEP_SEED with which seed, and
// RELAYSWEEP_RULESET tries the one of that number alone.

// judged is a language whose rulesets the kernel can load.
type judged struct {
	tools []string // commands that it needs
	apt   string   // the packages that have them
	// random writes the commands that take away what was loaded, and load a random ruleset.
	random func(rnd *rand.Rand) []command
	// exports are the commands that print the files of an export, with counters. A command without args is a file as it is.
	exports []command
	read    func(files []Export) (*Ruleset, error) // nil: Read
}

// command runs in the router's namespace.
type command struct {
	file  string // of an export: its name
	args  []string
	stdin string
}

// Who is where. What stands first in a list is the interface's own, the others are added to it.
var (
	labSources = []string{"10.1.0.11", "10.1.0.12", "10.1.0.13", "10.1.1.5", "172.16.9.9", "fd01::11", "fd01::12", "fd01::13", "fd01:1::5", "fd09::9"}
	labLAN     = []string{"10.2.0.10", "10.2.0.11", "10.2.0.12", "10.2.0.13", "fd02::10", "fd02::11", "fd02::12", "fd02::13"}
	labDMZ     = []string{"10.3.0.10", "10.3.0.11", "10.3.0.12", "10.3.0.13", "fd03::10", "fd03::11", "fd03::12", "fd03::13"}
	labRouter  = []string{"10.1.0.1", "10.2.0.1", "10.3.0.1", "10.8.0.1", "fd01::1", "fd02::1", "fd03::1", "fd08::1"}
	// labPublic are nobody's: they lead somewhere if the router translates them.
	labPublic = []string{"10.8.0.2", "10.8.0.3", "10.8.1.4", "10.8.2.10", "10.8.2.11", "fd08::2", "fd08::3", "fd08:1::4", "fd08:2::10", "fd08:2::11"}
	// labListening are the ports where the servers, and the router, answer.
	labListening = []uint16{20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 465, 466, 587, 588, 2525, 2526, 2527, 2528, 8025}
)

// labRuleset adds what a configuration tells about the router to what the export says.
func labRuleset(rs *Ruleset) {
	at := func(name string, addrs ...string) Interface {
		f := Interface{Name: name}
		for _, a := range addrs {
			f.Addrs = append(f.Addrs, netip.MustParsePrefix(a))
		}
		return f
	}
	rs.Interfaces = []Interface{
		at("wan0", "10.1.0.1/24", "fd01::1/64"),
		at("lan0", "10.2.0.1/24", "fd02::1/64"),
		at("dmz0", "10.3.0.1/24", "fd03::1/64"),
		at("lo", "127.0.0.1/8", "::1/128", "10.8.0.1/32", "fd08::1/128"),
	}
	rs.Connected()
	for _, p := range []string{"0.0.0.0/0", "::/0"} {
		rs.Routes = append(rs.Routes, Route{netip.MustParsePrefix(p), "wan0"})
	}
}

// labFlow is a connection to try.
type labFlow struct{ src, dst netip.AddrPort }

func (f labFlow) String() string { return f.src.String() + " > " + f.dst.String() }

func (f labFlow) flow() Flow { return NewFlow("wan0", f.src, f.dst) }

// labSeen is what came of it: whether a byte went there and one came back, and where and from whom the server took it.
type labSeen struct {
	ok       bool
	at, from netip.AddrPort
}

func (s labSeen) String() string {
	if !s.ok {
		return "not connected"
	}
	return fmt.Sprintf("connected to %v from %v", s.at, s.from)
}

func only6(list []string, six bool) (out []string) {
	for _, s := range list {
		if strings.Contains(s, ":") == six {
			out = append(out, s)
		}
	}
	return out
}

// labFlows are random connections. No two of 64,000 share a source port, so that no state of one is another's.
func labFlows(rnd *rand.Rand, ruleset, n int) (out []labFlow) {
	for i := range n {
		six := rnd.IntN(3) == 0
		dst := only6(pick(rnd, labLAN, labLAN, labDMZ, labDMZ, labRouter, labPublic, labPublic), six)
		port := pick(rnd, labListening...)
		if rnd.IntN(30) == 0 {
			port = 9
		}
		out = append(out, labFlow{
			netip.AddrPortFrom(netip.MustParseAddr(pick(rnd, only6(labSources, six)...)), uint16(1024+(ruleset*n+i)*7919%64000)),
			netip.AddrPortFrom(netip.MustParseAddr(pick(rnd, dst...)), port),
		})
	}
	return out
}

// judge tries random rulesets of a language.
func judge(t *testing.T, l judged) {
	needNamespaces(t, l)
	rulesets, seed, one := number(t, "RELAYSWEEP_RULESETS", 20), uint64(number(t, "RELAYSWEEP_SEED", int(time.Now().UnixNano()&0xffffff))), number(t, "RELAYSWEEP_RULESET", -1)
	t.Logf("RELAYSWEEP_SEED=%d RELAYSWEEP_RULESETS=%d", seed, rulesets)
	const flows = 50
	var score labScore
	var next atomic.Int64
	last := int64(rulesets)
	if one >= 0 {
		next.Store(int64(one))
		last = int64(one) + 1
	}
	var wg sync.WaitGroup
	for i := range min(4, int(last-next.Load())) {
		w := newWorld(t, i)
		wg.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread that was in other namespaces ends here
			for !t.Failed() || one >= 0 {
				n := next.Add(1) - 1
				if n >= last {
					return
				}
				rnd := rand.New(rand.NewPCG(seed, uint64(n)))
				if trouble := w.try(l, rnd, labFlows(rnd, int(n), flows), &score); trouble != "" {
					t.Errorf("RELAYSWEEP_SEED=%d RELAYSWEEP_RULESET=%d: %s", seed, n, trouble)
					return
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d rulesets: %d flows permitted, %d denied, %d possibly permitted; %d translated; %d rules' counters compared; %d flows alone; %d tried again", score.rulesets.Load(),
		score.permitted.Load(), score.denied.Load(), score.possibly.Load(), score.translated.Load(), score.counters.Load(), score.alone.Load(), score.again.Load())
	const enough = 10 // rulesets: of fewer, all may let everything through
	if !t.Failed() && rulesets >= enough && one < 0 && (score.permitted.Load() == 0 || score.denied.Load() == 0) {
		t.Error("the rulesets do not let some flows through and some not")
	}
}

type labScore struct {
	rulesets, permitted, denied, possibly, translated, counters, alone, again atomic.Int64
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func needNamespaces(t *testing.T, l judged) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, for network namespaces with firewall rules")
	}
	for _, tool := range append([]string{"ip"}, l.tools...) {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s (apt-get install iproute2 %s)", tool, l.apt)
		}
	}
}

// try loads one random ruleset and compares. It returns what is wrong.
func (w *world) try(l judged, rnd *rand.Rand, flows []labFlow, score *labScore) string {
	read := l.read
	if read == nil {
		read = func(files []Export) (*Ruleset, error) { return Read("router", files...) }
	}
	export := func() (*Ruleset, string, error) {
		var files []Export
		var text strings.Builder
		for _, c := range l.exports {
			out := []byte(c.stdin)
			if len(c.args) > 0 {
				var err error
				if out, err = w.run(c); err != nil {
					return nil, "", err
				}
			}
			fmt.Fprintf(&text, "--- %s\n%s", c.file, out)
			files = append(files, Export{File: File{Name: c.file}, Data: out})
		}
		rs, err := read(files)
		if err != nil {
			return nil, "", fmt.Errorf("%w\n%s", err, text.String())
		}
		labRuleset(rs)
		return rs, text.String(), nil
	}
	for _, c := range l.random(rnd) {
		if _, err := w.run(c); err != nil {
			return fmt.Sprintf("%v\n%s", err, c.stdin)
		}
	}
	w.forget()
	before, text, err := export()
	if err != nil {
		return err.Error()
	}
	if len(before.Notes) > 0 {
		return fmt.Sprintf("%v was not understood\n%s", before.Notes, text)
	}
	// alone tries one flow, so that it is known whose packets move a counter.
	start := before
	alone := func(f labFlow, timeout time.Duration) (string, error) {
		var end *Ruleset
		var exportErr error
		s, err := w.connect([]labFlow{f}, timeout, func() { end, text, exportErr = export() })
		if err := errors.Join(err, exportErr); err != nil {
			return "", err
		}
		d := before.Decide(f.flow())
		wrong := compare(d, f, s[0])
		if wrong == "" && d.Verdict != Possibly {
			_, wrong = counted(d, start, end)
			if wrong == "" && !rejects(d) {
				wrong = beside(start, end, f.flow())
			}
		}
		start = end
		return wrong, nil
	}
	// again tries one flow until the kernel agrees: busy machines lose time, and a silent drop is told by time alone.
	again := func(f labFlow, wrong string) (string, error) {
		for range 2 {
			score.again.Add(1)
			time.Sleep(1200 * time.Millisecond) // until servers forget what was half open
			w.forget()
			if start, _, err = export(); err != nil {
				return "", err
			}
			if wrong, err = alone(f, time.Second); err != nil || wrong == "" {
				break
			}
		}
		return wrong, err
	}
	const loners = 2
	for _, f := range flows[:loners] {
		wrong, err := alone(f, 300*time.Millisecond)
		if wrong != "" {
			wrong, err = again(f, wrong)
		}
		if err != nil {
			return err.Error()
		}
		if d := before.Decide(f.flow()); wrong != "" {
			return fmt.Sprintf("%v: %s\nDecide: %s %q\nafter it:\n%s", f, wrong, shown(d, f.src, f.dst), d.Words, text)
		}
		score.alone.Add(1)
	}
	seen, err := w.connect(flows[loners:], 300*time.Millisecond)
	if err != nil {
		return err.Error()
	}
	after, _, err := export()
	if err != nil {
		return err.Error()
	}
	batch := start
	score.rulesets.Add(1)
	for i, f := range flows {
		d := before.Decide(f.flow())
		if i >= loners {
			wrong := compare(d, f, seen[i-loners])
			if wrong == "" {
				var n int
				n, wrong = counted(d, batch, after)
				score.counters.Add(int64(n))
			}
			if wrong != "" {
				if wrong, err = again(f, wrong); err != nil {
					return err.Error()
				}
			}
			if wrong != "" {
				return fmt.Sprintf("%v: %s\nDecide: %s %q\nafter it:\n%s", f, wrong, shown(d, f.src, f.dst), d.Words, text)
			}
		}
		switch d.Verdict {
		case Permitted:
			score.permitted.Add(1)
			if f := f.flow(); d.Leaves.Src != f.Src || d.Leaves.Dst != f.Dst || d.Leaves.DstPort != f.DstPort {
				score.translated.Add(1)
			}
		case Denied:
			score.denied.Add(1)
		default:
			score.possibly.Add(1)
		}
	}
	return ""
}

// compare returns what is wrong about a decision.
func compare(d Decision, f labFlow, seen labSeen) string {
	switch {
	case d.Verdict == Possibly:
		return ""
	case d.Verdict != Permitted:
		if seen.ok {
			return "the kernel says " + seen.String()
		}
		return ""
	case !seen.ok:
		if listens(d.Leaves) {
			return "the kernel says not connected"
		}
		return ""
	}
	is := func(r Range, a netip.Addr) bool { return r.holds(AddrValue(a)) }
	if !is(d.Leaves.Dst, seen.at.Addr()) || !d.Leaves.DstPort.holds(Number(seen.at.Port())) || !is(d.Leaves.Src, seen.from.Addr()) ||
		is(d.Leaves.Src, f.src.Addr()) && d.Leaves.Src.First == d.Leaves.Src.Last && d.Leaves.SrcPort.First == d.Leaves.SrcPort.Last && seen.from.Port() != f.src.Port() {
		return "the kernel says " + seen.String()
	}
	return ""
}

// listens reports whether somebody answers, whichever of the addresses and ports it is.
func listens(f Flow) bool {
	for p := f.DstPort.First.Lo; p <= f.DstPort.Last.Lo; p++ {
		if !slices.Contains(labListening, uint16(p)) {
			return false
		}
	}
	if !f.Dst.Last.less(f.Dst.First.plus(Value{0, 16})) {
		return false
	}
	for a := f.Dst.First; !f.Dst.Last.less(a); a = a.next() {
		if s := a.Addr().String(); !slices.Contains(labLAN, s) && !slices.Contains(labDMZ, s) && !slices.Contains(labRouter, s) {
			return false
		}
	}
	return true
}

// counted compares two exports: what decides about the first packet of a connection that was made between them has moved.
func counted(d Decision, before, after *Ruleset) (n int, wrong string) {
	if d.Verdict == Possibly {
		return 0, ""
	}
	for _, h := range d.Hops {
		if h.Packet == First && len(h.Ends) != 1 {
			break // it may have been lost there
		}
		if h.Packet != First || h.Ends[0].Rule == nil || h.Ends[0].Rule.Counter == nil {
			continue
		}
		c, r := h.Ends[0].Chain, h.Ends[0].Rule
		at := -1
		for name, chain := range before.Chains {
			if i := slices.IndexFunc(chain.Rules, func(o *Rule) bool { return o.Where == r.Where && o.ID == r.ID }); i >= 0 && chain.Name == c.Name {
				if at = i; after.Chains[name].Rules[at].Counter.Packets <= chain.Rules[at].Counter.Packets {
					return n, fmt.Sprintf("%s (%s) decides, and its counter did not move", r.ID, r.Text)
				}
				break
			}
		}
		if at < 0 {
			return n, fmt.Sprintf("%s (%s) decides, and is not in the export", r.ID, r.Text)
		}
		n++
	}
	return n, ""
}

// rejects reports whether the router answers by itself: that answer goes through rules of its own.
func rejects(d Decision) bool {
	arrives := true // and is answered by a reset, where nothing listens
	for _, h := range d.Hops {
		for _, e := range h.Ends {
			if e.Action == Reject {
				return true
			}
			arrives = arrives && !(h.Packet == First && e.Action == Drop)
		}
	}
	return arrives && !listens(d.Leaves)
}

// beside returns a rule that ends the way of a packet, and moved, though no packet of the flow ends there.
func beside(before, after *Ruleset, f Flow) string {
	type line struct {
		Place
		id string
	}
	may := make(map[line]bool) // a line may be in the model more than once
	d := decider{Decider: before.Decider(), budget: 1 << 22, every: true}
	for _, h := range d.decide(f).Hops {
		for _, e := range h.Ends {
			if e.Rule != nil {
				may[line{e.Rule.Where, e.Rule.ID}] = true
			}
		}
	}
	for name, c := range before.Chains {
		for i, r := range c.Rules {
			switch r.Action {
			case Accept, Drop, Reject, Translate, Exempt:
				if r.Counter != nil && !may[line{r.Where, r.ID}] && after.Chains[name].Rules[i].Counter.Packets != r.Counter.Packets {
					return fmt.Sprintf("%s (%s) decides nothing, and its counter moved", r.ID, r.Text)
				}
			}
		}
	}
	return ""
}

// world is four namespaces.
type world struct {
	router, client int // descriptors of the namespaces
	lock           string
	mu             sync.Mutex
	conns          map[net.Conn]bool // that servers have open
}

// newWorld makes the namespaces, which go away with the test, and starts the servers.
func newWorld(t *testing.T, n int) *world {
	t.Helper()
	w := &world{conns: make(map[net.Conn]bool), lock: t.TempDir() + "/lock"}
	name := func(who string) string { return fmt.Sprintf("rsfw-%d-%d-%s", os.Getpid(), n, who) }
	who := []string{"router", "client", "lan", "dmz"}
	for _, s := range who {
		if out, err := exec.Command("ip", "netns", "add", name(s)).CombinedOutput(); err != nil {
			t.Skipf("needs the right to make network namespaces (CAP_SYS_ADMIN): %v\n%s", err, out)
		}
		t.Cleanup(func() {
			if out, err := exec.Command("ip", "netns", "del", name(s)).CombinedOutput(); err != nil {
				t.Errorf("ip netns del %s: %v\n%s", name(s), err, out)
			}
		})
	}
	batch := func(ns string, lines ...string) {
		t.Helper()
		cmd := exec.Command("ip", "-n", name(ns), "-batch", "-")
		cmd.Stdin = strings.NewReader(strings.Join(lines, "\n"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", ns, err, out)
		}
	}
	settings := map[string]string{ // before there are interfaces, which take theirs from default
		"ipv4/ip_forward": "0", "ipv4/tcp_synack_retries": "0",
		"ipv4/conf/all/rp_filter": "0", "ipv4/conf/default/rp_filter": "0", "ipv4/conf/all/send_redirects": "0", "ipv4/conf/default/send_redirects": "0",
		"ipv6/conf/all/forwarding": "0", "ipv6/conf/default/accept_ra": "0", "ipv6/conf/default/accept_dad": "0", "ipv6/conf/default/addr_gen_mode": "1",
		"ipv4/conf/all/accept_redirects": "0", "ipv6/conf/default/accept_redirects": "0",
	}
	at := make(map[string]int)
	for _, s := range who {
		fd, err := unix.Open("/run/netns/"+name(s), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		at[s] = fd
		mine := settings
		if s == "router" {
			mine = make(map[string]string)
			for k, v := range settings {
				mine[k] = v
			}
			mine["ipv4/ip_forward"], mine["ipv6/conf/all/forwarding"] = "1", "1"
		}
		inside(fd, func() {
			for k, v := range mine {
				if err := os.WriteFile("/proc/sys/net/"+k, []byte(v), 0); err != nil {
					t.Errorf("%s: %v", k, err)
				}
			}
		})
		batch(s, "link set lo up")
	}
	w.router, w.client = at["router"], at["client"]
	// MAC addresses are told, so that no rule can stop the search for them.
	for i, link := range []struct {
		who, device string
		addrs       []string
		router      []string
	}{
		{"client", "wan0", labSources, []string{"10.1.0.1/24", "fd01::1/64"}},
		{"lan", "lan0", labLAN, []string{"10.2.0.1/24", "fd02::1/64"}},
		{"dmz", "dmz0", labDMZ, []string{"10.3.0.1/24", "fd03::1/64"}},
	} {
		mac := func(end int) string { return fmt.Sprintf("02:00:00:00:%02x:%02x", i, end) }
		batch("router", fmt.Sprintf("link add %s address %s type veth peer name eth0 address %s netns %s", link.device, mac(1), mac(2), name(link.who)), "link set "+link.device+" up")
		var theirs, ours []string
		theirs = append(theirs, "link set eth0 up")
		for _, a := range link.router {
			p := netip.MustParsePrefix(a)
			ours = append(ours, "addr add "+a+" dev "+link.device)
			mine := only6(link.addrs, p.Addr().Is6())
			theirs = append(theirs, fmt.Sprintf("addr add %s/%d dev eth0", mine[0], p.Bits()))
			theirs = append(theirs, fmt.Sprintf("neigh add %v lladdr %s dev eth0 nud permanent", p.Addr(), mac(1)))
			for _, other := range mine {
				if other != mine[0] {
					theirs = append(theirs, fmt.Sprintf("addr add %s/%d dev eth0", other, p.Addr().BitLen()))
				}
				ours = append(ours, fmt.Sprintf("neigh add %s lladdr %s dev %s nud permanent", other, mac(2), link.device))
			}
			if link.who == "client" {
				ours = append(ours, fmt.Sprintf("route add default via %s dev wan0", mine[0]))
			}
			theirs = append(theirs, fmt.Sprintf("route add default via %v", p.Addr()))
		}
		batch("router", ours...)
		batch(link.who, theirs...)
	}
	batch("router", "addr add 10.8.0.1/32 dev lo", "addr add fd08::1/128 dev lo")
	var wg sync.WaitGroup
	var listeners []net.Listener
	for _, s := range []string{"router", "lan", "dmz"} {
		inside(at[s], func() {
			for _, p := range labListening {
				l, err := net.Listen("tcp", fmt.Sprintf("[::]:%d", p))
				if err != nil {
					t.Errorf("%s: %v", s, err)
					continue
				}
				listeners = append(listeners, l)
				wg.Go(func() { w.serve(l) })
			}
		})
	}
	t.Cleanup(func() {
		for _, l := range listeners {
			l.Close()
		}
		w.hangUp()
		wg.Wait()
	})
	if t.Failed() {
		t.FailNow()
	}
	return w
}

// inside runs f in a namespace.
func inside(ns int, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
			panic(err)
		}
		f()
	}()
	<-done
}

// serve tells each client, after its first byte, whom it sees and where.
func (w *world) serve(l net.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		w.mu.Lock()
		w.conns[c] = true
		w.mu.Unlock()
		wg.Go(func() {
			c.(*net.TCPConn).SetLinger(0)
			b := make([]byte, 1)
			if _, err := c.Read(b); err == nil {
				fmt.Fprintf(c, "%v %v\n", c.LocalAddr(), c.RemoteAddr())
				c.Read(b) // until the client is gone
			}
			c.Close()
			w.mu.Lock()
			delete(w.conns, c)
			w.mu.Unlock()
		})
	}
}

func (w *world) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

// enter moves the thread, which has to be locked, to a namespace.
func enter(ns int) {
	if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
		panic(err)
	}
}

// run runs a command in the router.
func (w *world) run(c command) ([]byte, error) {
	enter(w.router)
	cmd := exec.Command(c.args[0], c.args[1:]...)
	cmd.Stdin = strings.NewReader(c.stdin)
	cmd.Env = append(os.Environ(), "XTABLES_LOCKFILE="+w.lock) // else worlds wait for each other
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%v: %w: %s", c.args, err, errs.String())
	}
	return out.Bytes(), nil
}

// forget takes away the state of all connections in the router, as conntrack -F does.
func (w *world) forget() {
	w.hangUp()
	enter(w.router)
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		panic(err)
	}
	defer unix.Close(fd)
	const deleteAll = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2 // IPCTNL_MSG_CT_DELETE
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		m := make([]byte, 20)
		binary.NativeEndian.PutUint32(m, uint32(len(m)))
		binary.NativeEndian.PutUint16(m[4:], deleteAll)
		binary.NativeEndian.PutUint16(m[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
		m[16] = family
		if err := unix.Sendto(fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			panic(err)
		}
		b := make([]byte, 256)
		if n, _, err := unix.Recvfrom(fd, b, 0); err != nil || n < 20 || binary.NativeEndian.Uint32(b[16:]) != 0 {
			panic(fmt.Sprintf("conntrack is not flushed: %v, % x", err, b[:max(n, 0)]))
		}
	}
}

// connect tries flows, all at once. Then, while they are open still and no reset is sent, it calls the functions.
func (w *world) connect(flows []labFlow, timeout time.Duration, then ...func()) ([]labSeen, error) {
	enter(w.client)
	out := make([]labSeen, len(flows))
	polls := make([]unix.PollFd, len(flows))
	got := make([][]byte, len(flows))
	left := 0
	open := make([]int, len(flows))
	hangUp := func(which func(i int) bool) {
		syscall.ForkLock.RLock() // a command that is being started has a copy, and what has one is not closed
		defer syscall.ForkLock.RUnlock()
		for i, fd := range open {
			if fd > 0 && which(i) {
				unix.Close(fd)
				open[i] = 0
			}
		}
	}
	defer hangUp(func(int) bool { return true })
	for i, f := range flows {
		fd, err := dial(f)
		if err == nil {
			polls[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
			left++
			open[i] = fd
			continue
		}
		return nil, fmt.Errorf("%v: %w", f, err)
	}
	for end := time.Now().Add(timeout); left > 0 && time.Now().Before(end); {
		n, err := unix.Poll(polls, int(time.Until(end).Milliseconds())+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return nil, err
		}
		if n <= 0 {
			continue
		}
		for i := range polls {
			p := &polls[i]
			if p.Fd < 0 || p.Revents == 0 {
				continue
			}
			done := false
			if p.Events == unix.POLLOUT {
				if errno, err := unix.GetsockoptInt(int(p.Fd), unix.SOL_SOCKET, unix.SO_ERROR); err != nil || errno != 0 {
					done = true
				} else if _, err := unix.Write(int(p.Fd), []byte("?")); err != nil {
					done = true
				}
				p.Events = unix.POLLIN
			} else {
				b := make([]byte, 256)
				n, err := unix.Read(int(p.Fd), b)
				got[i] = append(got[i], b[:max(n, 0)]...)
				if line, ok := bytes.CutSuffix(got[i], []byte("\n")); ok {
					at, from, _ := strings.Cut(string(line), " ")
					out[i] = labSeen{true, unmapped(at), unmapped(from)}
					done = true
				}
				done = done || n == 0 || err != nil
			}
			if done {
				p.Fd = -1
				left--
			}
		}
	}
	hangUp(func(i int) bool { return polls[i].Events == unix.POLLOUT }) // else they ask again, a second later
	for _, f := range then {
		f()
	}
	return out, nil
}

func unmapped(s string) netip.AddrPort {
	a := netip.MustParseAddrPort(s)
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// dial begins a connection.
func dial(f labFlow) (int, error) {
	address := func(a netip.AddrPort) unix.Sockaddr {
		if a.Addr().Is4() {
			return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
		}
		return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
	}
	family := unix.AF_INET6
	if f.src.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}), // a reset, and nothing waits
		unix.Bind(fd, address(f.src)),
	); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if err := unix.Connect(fd, address(f.dst)); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// The harness itself: without rules everything is let through, and who says otherwise is told so.
func TestKernelJudges(t *testing.T) {
	l := judged{
		random:  func(*rand.Rand) []command { return nil },
		exports: []command{{file: "none"}},
	}
	needNamespaces(t, l)
	w := newWorld(t, 0)
	for _, c := range []struct {
		name  string
		rules Ruleset
		want  string
	}{
		{"no rules, and all is let through", Ruleset{}, ""},
		{
			"rules that are not there",
			Ruleset{Steps: []Step{{Chain: "c"}}, Chains: map[string]*Chain{"c": {Policy: Drop}}},
			"the kernel says connected",
		},
		{
			"a translation that is not there",
			Ruleset{Steps: []Step{{Kind: DNAT, Hook: Prerouting, Chain: "c"}}, Chains: map[string]*Chain{"c": {Rules: []*Rule{{Action: Translate, To: Translation{Ports: []Range{Ports(25, 25)}}}}}}},
			"the kernel says connected",
		},
		{
			"a rule that does not count",
			Ruleset{Steps: []Step{{Chain: "c"}}, Chains: map[string]*Chain{"c": {Rules: []*Rule{{Action: Accept, Counter: &Counter{}}}}}},
			"its counter did not move",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			l.read = func([]Export) (*Ruleset, error) { rs := c.rules; return &rs, nil }
			rnd := rand.New(rand.NewPCG(1, 2))
			done := make(chan string)
			var score labScore
			go func() {
				runtime.LockOSThread()
				done <- w.try(l, rnd, labFlows(rnd, 0, 50), &score)
			}()
			if got := <-done; !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if c.want == "" && score.permitted.Load() != 50 {
				t.Errorf("got %d flows permitted, want all 50", score.permitted.Load())
			}
		})
	}
}
