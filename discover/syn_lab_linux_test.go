package discover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"relaysweep/discover/packet"
	"relaysweep/ratelimit"
)

// Kernels at both ends: what a SYN meets at a Linux host behind a Linux router.
func TestSYNByARouter(t *testing.T) {
	if !inside(t) {
		return
	}
	far := newNamespace(t)
	shell(t, fmt.Sprintf("ip link add v0 type veth peer name v1; ip link set v1 netns %d; ip link set v0 up", far.tid))
	far.shell(t, "ip link set v1 up; ip addr add "+router4+"/24 dev v1; ip addr add "+router6+"/64 dev v1 nodad; ip route add local 10.50.0.0/24 dev lo; ip -6 route add local fd50::/120 dev lo; sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0 net.ipv4.icmp_msgs_per_sec=100000000 net.ipv4.icmp_msgs_burst=1000000")
	shell(t, byRouter("v0"))
	kinds := []struct {
		port  uint16
		rule  string
		state State
	}{
		{25, "", Open},
		{26, "", Closed},
		{27, "tcp dport 27 drop", Filtered},
		{28, "meta nfproto ipv4 tcp dport 28 reject with icmp type admin-prohibited; meta nfproto ipv6 tcp dport 28 reject with icmpv6 type admin-prohibited", Prohibited},
		{29, "meta nfproto ipv4 tcp dport 29 reject with icmp type host-unreachable; meta nfproto ipv6 tcp dport 29 reject with icmpv6 type addr-unreachable", Unreachable},
	}
	rules := "add table inet wall; add chain inet wall input { type filter hook input priority 0; }"
	var ports []uint16
	want := make(map[uint16]State)
	for _, k := range kinds {
		ports = append(ports, k.port)
		want[k.port] = k.state
		for rule := range strings.SplitSeq(k.rule, "; ") {
			if rule != "" {
				rules += "; add rule inet wall input " + rule
			}
		}
	}
	far.shell(t, "nft '"+rules+"'")
	var listener net.Listener
	var err error
	far.do(func() { listener, err = net.Listen("tcp", ":25") })
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()

	cov := coverageOf(t, 1, ports, "10.50.0.0/24", "fd50::/120")
	list, err := synSweepAll(t.Context(), &SYN{Pace: pacer(20000)}, cov)
	if err != nil {
		t.Fatal(err)
	}
	exact(t, cov, list, func(a netip.AddrPort) State { return want[a.Port()] })
	for _, o := range list {
		if o.Hollow {
			t.Errorf("%v: got hollow, of a kernel", o.Target)
		}
	}
	// The far side holds no half-open handshake: our kernel or we reset them.
	if half := far.shell(t, "ss -Htn state syn-recv"); half != "" {
		t.Errorf("half open at the far side: got\n%s", half)
	}
}

// A host's packet filter can stop the resets that its kernel sends.
func TestSYNResetsWhereTheKernelCannot(t *testing.T) {
	if !inside(t) {
		return
	}
	for _, c := range []struct {
		name  string
		ether bool
		rules string
	}{
		{"resets do not leave", true, "output tcp flags rst drop"},
		{"answers to what the kernel did not send do not come in", true, "input ct state invalid drop"},
		{"neither", true, "output ct state invalid drop"},
		{"by a tunnel, by which our own resets do not leave either", false, "output tcp flags rst drop"},
	} {
		t.Run(c.name, func(t *testing.T) {
			shell(t, "nft 'flush ruleset; add table inet own; add chain inet own output { type filter hook output priority 0; }; add chain inet own input { type filter hook input priority 0; }; add rule inet own "+c.rules+"'")
			w := newWire(t, "w0", c.ether, byRouter("w0"))
			w.state = func(a netip.AddrPort) State {
				if a.Addr().Is4() && a.Addr().As4()[3]%4 == 0 {
					return Open
				}
				return truth(a)
			}
			w.play(t)
			cov := coverageOf(t, 1, []uint16{25}, "10.50.0.0/26", "fd50::/122")
			list, err := synSweepAll(t.Context(), &SYN{Pace: pacer(1000)}, cov)
			if err != nil {
				t.Fatal(err)
			}
			exact(t, cov, list, w.state)
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, o := range list {
				if got := w.rsts[o.Target.AddrPort()]; c.ether && got == 0 {
					t.Errorf("%v is half open", o.Target)
				}
			}
		})
	}
}

func TestSYNOfASYNProxy(t *testing.T) {
	if !inside(t) {
		return
	}
	w := newWire(t, "w0", true, byRouter("w0"))
	w.hollow = true
	w.play(t)
	cov := coverageOf(t, 1, []uint16{25, 465}, "10.50.0.0/26", "fd50::/122")
	list, err := synSweepAll(t.Context(), &SYN{Pace: pacer(5000), Vantage: "inside"}, cov)
	if err != nil {
		t.Fatal(err)
	}
	exact(t, cov, list, truth)
	for _, o := range list {
		if !o.Hollow || o.Vantage != "inside" {
			t.Errorf("got %+v, want it hollow and from inside", o)
		}
	}
}

// Hosts on the link are asked for by ARP and neighbour discovery first. The kernel's own table stays as it is.
func TestSYNOnTheLink(t *testing.T) {
	if !inside(t) {
		return
	}
	w := newWire(t, "w0", true, byRouter("w0"))
	w.has = func(a netip.Addr) bool {
		b := a.AsSlice()
		return b[len(b)-1]%5 == 2 && b[len(b)-2] == 0
	}
	shell(t, "ip neigh flush all")
	w.state = func(a netip.AddrPort) State {
		switch {
		case a.Addr().String() == scanner4 || a.Addr().String() == scanner6:
			return Closed // this machine itself
		case !w.has(a.Addr()):
			return Unreachable
		}
		if s := truth(a); s == Closed || s == Open {
			return s
		}
		return Filtered
	}
	w.play(t)
	cov := coverageOf(t, 1, []uint16{25, 465}, "10.60.0.0/24", "fd60::/120")
	list, err := synSweepAll(t.Context(), &SYN{Pace: pacer(20000)}, cov)
	if err != nil {
		t.Fatal(err)
	}
	exact(t, cov, list, w.state)
	open := make(map[netip.Addr]bool)
	for _, o := range list {
		open[o.Target.AddrPort().Addr()] = true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for a := range neighbours(t) {
		if !open[a] && a.String() != router4 && a.String() != router6 {
			t.Errorf("the kernel's table holds %v, which is not open", a)
		}
	}
	for a, list := range w.syns {
		if !w.has(a.Addr()) {
			t.Errorf("%v is nobody's, and was asked %d times", a, len(list))
		}
	}
	for a, n := range w.who {
		if n > solicitRounds+1 {
			t.Errorf("who has %v was asked %d times", a, n)
		}
	}
}

// A tunnel has no Ethernet: the kernel routes. What is ours and loopback may be in the same scope.
func TestSYNByATunnel(t *testing.T) {
	if !inside(t) {
		return
	}
	w := newWire(t, "w0", false, "ip addr add 10.70.0.1/32 dev w0; ip addr add fd70::1/128 dev w0 nodad; ip route add 10.50.0.0/16 dev w0; ip -6 route add fd50::/64 dev w0").play(t)
	listener, err := net.Listen("tcp", "127.0.0.1:25")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	state := func(a netip.AddrPort) State {
		switch s := a.Addr().String(); {
		case s == "127.0.0.1" && a.Port() == 25:
			return Open
		case a.Addr().IsLoopback(), s == "10.70.0.1", s == "fd70::1":
			return Closed
		case strings.HasPrefix(s, "10.80."):
			return Unreachable // no route
		}
		return truth(a)
	}
	cov := coverageOf(t, 1, []uint16{25, 465}, "10.50.0.0/24", "fd50::/120", "127.0.0.0/30", "::1", "10.70.0.1", "fd70::1", "10.80.0.0/30")
	list, err := synSweepAll(t.Context(), &SYN{Pace: pacer(20000)}, cov)
	if err != nil {
		t.Fatal(err)
	}
	exact(t, cov, list, state)
	if w.asked(netip.MustParseAddrPort("127.0.0.1:25")) > 0 {
		t.Error("loopback left this machine")
	}
}

func TestSYNResolvesTheRouter(t *testing.T) {
	if !inside(t) {
		return
	}
	w := newWire(t, "w0", true, byRouter("w0")).play(t)
	t.Run("that the kernel does not know", func(t *testing.T) {
		shell(t, "ip neigh flush all")
		cov := coverageOf(t, 1, []uint16{25}, "10.50.0.0/26", "fd50::/122")
		list, err := synSweepAll(t.Context(), &SYN{Pace: pacer(5000)}, cov)
		if err != nil {
			t.Fatal(err)
		}
		exact(t, cov, list, truth)
	})
	t.Run("of which the kernel knows what was true once", func(t *testing.T) {
		shell(t, "ip neigh replace "+router4+" lladdr 02:00:00:00:00:77 dev w0 nud stale")
		heard := w.state
		cov := coverageOf(t, 2, []uint16{25}, "10.50.0.0/26")
		list, err := synSweepAll(t.Context(), &SYN{Pace: pacer(5000)}, cov)
		if err != nil {
			t.Fatal(err)
		}
		exact(t, cov, list, heard)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.who[netip.MustParseAddr(router4)] == 0 {
			t.Error("the router was not asked for")
		}
	})
	t.Run("that never answers", func(t *testing.T) {
		shell(t, "ip neigh flush all")
		w.setDeaf(true)
		cov := coverageOf(t, 3, []uint16{25}, "10.50.0.0/26")
		if list, err := synSweepAll(t.Context(), &SYN{Pace: pacer(5000)}, cov); !errors.Is(err, ErrNetworkGone) || len(list) > 0 {
			t.Errorf("got %v, %v, want %v", list, err, ErrNetworkGone)
		}
		if cov.Sent() > 0 || cov.Looked() > 0 {
			t.Errorf("got %d packets and %d looked at", cov.Sent(), cov.Looked())
		}
	})
}

// each calls a function when the far end has been asked so many SYNs.
func (w *wire) when(n int, f func()) {
	old, seen := w.state, 0
	w.state = func(a netip.AddrPort) State {
		if seen++; seen == n {
			go f()
		}
		return old(a)
	}
}

func TestSYNWhereTheNetworkGoes(t *testing.T) {
	if !inside(t) {
		return
	}
	const targets, count = "10.50.0.0/20", 4096
	t.Run("the interface goes down for two seconds", func(t *testing.T) {
		w := newWire(t, "w0", true, byRouter("w0"))
		w.when(count/2, func() {
			shell(t, "ip link set w0 down")
			time.Sleep(2 * time.Second)
			shell(t, "ip link set w0 up; ip route replace default via "+router4)
		})
		w.play(t)
		cov := coverageOf(t, 1, []uint16{25}, targets)
		list, err := synSweepAll(t.Context(), &SYN{Pace: pacer(5000)}, cov)
		if err != nil {
			t.Fatal(err)
		}
		exact(t, cov, list, truth)
	})
	t.Run("the cable is pulled for two seconds", func(t *testing.T) {
		far := newNamespace(t)
		shell(t, fmt.Sprintf("ip link add v0 type veth peer name v1; ip link set v1 netns %d; ip link set v0 up", far.tid))
		defer shell(t, "ip link del v0") // with its namespace it would go at some later time
		far.shell(t, "ip link set v1 up; ip addr add "+router4+"/24 dev v1; ip route add local 10.50.0.0/16 dev lo")
		shell(t, "ip addr add "+scanner4+"/24 dev v0; ip route add default via "+router4)
		cov := coverageOf(t, 1, []uint16{25}, targets)
		go func() {
			for cov.Looked() < count/3 {
				time.Sleep(10 * time.Millisecond)
			}
			far.shell(t, "ip link set v1 down")
			time.Sleep(2 * time.Second)
			far.shell(t, "ip link set v1 up; ip route replace local 10.50.0.0/16 dev lo")
		}()
		s := &SYN{Pace: pacer(5000), Counters: new(Counters)}
		list, err := synSweepAll(t.Context(), s, cov)
		if err != nil {
			t.Fatal(err)
		}
		exact(t, cov, list, func(netip.AddrPort) State { return Closed })
		if n := s.Counters.Complaints.Load(); n > 0 {
			t.Errorf("got %d complaints: the network was away, not full", n)
		}
	})
	t.Run("the interface goes down for good", func(t *testing.T) {
		w := newWire(t, "w0", true, byRouter("w0"))
		w.when(count/2, func() { shell(t, "ip link set w0 down") })
		w.play(t)
		cov := coverageOf(t, 2, []uint16{25}, targets)
		list, err := synSweepAll(t.Context(), &SYN{Pace: pacer(5000), Patience: time.Second}, cov)
		if !errors.Is(err, ErrNetworkGone) {
			t.Fatalf("got %v, want %v", err, ErrNetworkGone)
		}
		if cov.Swept() || cov.Looked() > count/2 {
			t.Errorf("got swept %v, %d looked at", cov.Swept(), cov.Looked())
		}
		known := 0
		for a, s := range cov.States() {
			if s != NotAttempted {
				known++
				if s != truth(a) {
					t.Errorf("%v: got %v, want %v", a, s, truth(a))
				}
			}
		}
		if known < count/8 {
			t.Errorf("got %d states, want most of what was asked before", known)
		}
		// It goes on later.
		shell(t, "ip link set w0 up; ip route replace default via "+router4)
		more, err := synSweepAll(t.Context(), &SYN{Pace: pacer(5000)}, cov)
		if err != nil {
			t.Fatal(err)
		}
		exact(t, cov, append(list, more...), truth)
	})
	t.Run("the route changes to another router", func(t *testing.T) {
		first := newWire(t, "w0", true, byRouter("w0"))
		second := newWire(t, "w1", true, "ip addr add 10.61.0.1/24 dev w1")
		second.has = func(a netip.Addr) bool { return a.String() == "10.61.0.2" }
		second.play(t)
		first.when(count/2, func() {
			first.setDeaf(true)
			shell(t, "ip route replace default via 10.61.0.2")
		})
		first.play(t)
		cov := coverageOf(t, 3, []uint16{25}, targets)
		list, err := synSweepAll(t.Context(), &SYN{Pace: pacer(5000)}, cov)
		if err != nil {
			t.Fatal(err)
		}
		exact(t, cov, list, truth)
		for _, w := range []*wire{first, second} {
			w.mu.Lock()
			if len(w.syns) == 0 {
				t.Errorf("nothing went by %s", w.name)
			}
			w.mu.Unlock()
		}
	})
	t.Run("the router is another one with the same address", func(t *testing.T) {
		w := newWire(t, "w0", true, byRouter("w0"))
		shell(t, "ip neigh replace "+router4+" lladdr "+net.HardwareAddr(w.mac[:]).String()+" dev w0 nud reachable")
		w.when(count/2, func() {
			w.mu.Lock()
			w.mac[5]++
			mac := w.mac
			w.mu.Unlock()
			shell(t, "ip neigh replace "+router4+" lladdr "+net.HardwareAddr(mac[:]).String()+" dev w0 nud reachable") // as a gratuitous ARP does
		})
		w.play(t)
		cov := coverageOf(t, 3, []uint16{25}, targets)
		list, err := synSweepAll(t.Context(), &SYN{Pace: pacer(5000)}, cov)
		if err != nil {
			t.Fatal(err)
		}
		exact(t, cov, list, truth)
	})
}

func TestSYNWithLoss(t *testing.T) {
	if !inside(t) {
		return
	}
	for _, percent := range []int{2, 10} {
		expected, missed, opens := 0.0, 0, 0
		for seed := range uint64(number("RELAYSWEEP_SEEDS", 4)) {
			t.Run(fmt.Sprintf("%d%% and seed %d", percent, seed), func(t *testing.T) {
				w := newWire(t, "w0", true, byRouter("w0"))
				r := rand.New(rand.NewPCG(seed, uint64(percent)))
				w.lose = func() bool { return r.IntN(100) < percent }
				w.play(t)
				cov := coverageOf(t, seed, []uint16{25, 465, 587, 2525}, "10.50.0.0/20")
				list, err := synSweepAll(t.Context(), &SYN{Pace: pacer(40000)}, cov)
				if err != nil {
					t.Fatal(err)
				}
				open := 0
				for a, got := range cov.States() {
					if truth(a) != Open {
						continue
					}
					if open++; got != Open {
						t.Logf("%v: got %v, asked %d times", a, got, w.asked(a))
					}
				}
				pass, _ := cov.Passes()
				t.Logf("%d of %d, expected to miss %.2f in %d passes", len(list), open, cov.ExpectedMissed(), pass)
				if pass < mostPasses && cov.ExpectedMissed() >= worthAPass {
					t.Errorf("got %.2f expected to be missed after %d passes: another was worth it", cov.ExpectedMissed(), pass)
				}
				expected, missed, opens = expected+cov.ExpectedMissed(), missed+open-len(list), opens+open
			})
		}
		t.Logf("%d%%: missed %d of %d openings, expected %.2f", percent, missed, opens, expected)
		if float64(missed) > 4+4*expected || missed > opens/200 {
			t.Errorf("%d%%: missed %d of %d openings, expected %.2f", percent, missed, opens, expected)
		}
	}
}

// Politeness is counted where it matters: at the far end.
func TestSYNKeepsTheRates(t *testing.T) {
	if !inside(t) {
		return
	}
	for _, c := range []struct {
		name   string
		rates  ratelimit.Rates
		of     func(netip.Addr) netip.Prefix
		most   float64
		within time.Duration
	}{
		{"total", ratelimit.Rates{Total: 400}, func(a netip.Addr) netip.Prefix { return netip.MustParsePrefix("0.0.0.0/0") }, 400, 500 * time.Millisecond},
		{"each net", ratelimit.Rates{Total: 5000, PerNet: 40}, func(a netip.Addr) netip.Prefix { p, _ := a.Prefix(24); return p }, 40, 500 * time.Millisecond},
		{"each host", ratelimit.Rates{Total: 5000, PerHost: 4}, func(a netip.Addr) netip.Prefix { p, _ := a.Prefix(32); return p }, 4, 500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWire(t, "w0", true, byRouter("w0")).play(t)
			cov := coverageOf(t, 1, []uint16{25, 465, 587, 2525}, "10.50.0.0/27", "10.50.1.0/27")
			list, err := synSweepAll(t.Context(), &SYN{Pace: ratelimit.NewPacer(c.rates, 64)}, cov)
			if err != nil {
				t.Fatal(err)
			}
			exact(t, cov, list, truth)
			w.mu.Lock()
			defer w.mu.Unlock()
			times := make(map[netip.Prefix][]time.Time)
			for a, list := range w.syns {
				p := c.of(a.Addr())
				times[p] = append(times[p], list...)
			}
			// A busy machine can deliver late, and so at once, what left in time: room for 100 ms of that.
			most := int(c.most*(c.within+100*time.Millisecond).Seconds()) + 3
			for p, list := range times {
				if n := busiest(list, c.within); n > most {
					t.Errorf("%v: got %d packets in %v, want at most %d", p, n, c.within, most)
				}
			}
		})
	}
}

// busiest is the most packets in any window.
func busiest(list []time.Time, within time.Duration) (most int) {
	list = append([]time.Time(nil), list...)
	for i := range list {
		for j := i; j > 0 && list[j].Before(list[j-1]); j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
	for i, j := 0, 0; i < len(list); i++ {
		for list[i].Sub(list[j]) > within {
			j++
		}
		most = max(most, i-j+1)
	}
	return most
}

func TestSYNEndsSoon(t *testing.T) {
	if !inside(t) {
		return
	}
	w := newWire(t, "w0", true, byRouter("w0")).play(t)
	t.Run("when it is interrupted", func(t *testing.T) {
		cov := coverageOf(t, 1, []uint16{25, 465}, "10.50.0.0/18")
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var list []Opening
		for o, err := range (&SYN{Pace: pacer(5000)}).Sweep(ctx, cov) {
			if err != nil {
				t.Fatal(err)
			}
			if list = append(list, o); len(list) == 20 {
				stop()
			}
		}
		halfDone(t, w, cov)
		more, err := synSweepAll(t.Context(), &SYN{Pace: pacer(100000)}, cov)
		if err != nil {
			t.Fatal(err)
		}
		exact(t, cov, append(list, more...), truth)
		w.mu.Lock()
		clear(w.syns)
		w.mu.Unlock()
	})
	t.Run("when nobody reads on", func(t *testing.T) {
		cov := coverageOf(t, 1, []uint16{25, 465}, "10.50.0.0/18")
		for range (&SYN{Pace: pacer(5000)}).Sweep(t.Context(), cov) {
			break
		}
		halfDone(t, w, cov)
	})
	t.Run("when it was interrupted before it began", func(t *testing.T) {
		cov := coverageOf(t, 1, []uint16{25, 465}, "10.50.0.0/18")
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if list, err := synSweepAll(ctx, &SYN{Pace: pacer(5000)}, cov); err != nil || len(list) > 0 || cov.Looked() > 0 {
			t.Errorf("got %v, %v, %d looked at", list, err, cov.Looked())
		}
	})
}

// halfDone fails unless the cursor is where the sweep came to: all below was asked, nothing much above.
func halfDone(t *testing.T, w *wire, cov *Coverage) {
	t.Helper()
	pass, position := cov.cursor()
	if pass != 0 || position == 0 || position == cov.Plan().Len() {
		t.Fatalf("got pass %d and position %d", pass, position)
	}
	for p := range cov.Plan().Len() {
		a := cov.Plan().endpoint(cov.Plan().index(p))
		if asked := w.asked(a) > 0; asked != (p < position) {
			t.Fatalf("the cursor is at %d: %d was asked: %v", position, p, asked)
		}
	}
}

// Whoever may send to us can send whatever they like: it changes nothing, and what our kernel drops of it is asked again.
func TestSYNInAFlood(t *testing.T) {
	if !inside(t) {
		return
	}
	w := newWire(t, "w0", true, byRouter("w0"))
	type scanner struct {
		addr netip.AddrPort
		mac  packet.MAC
	}
	begun := make(chan scanner, 1)
	w.first = func(src netip.AddrPort, mac packet.MAC) { begun <- scanner{src, mac} }
	sent := 0
	w.done.Go(func() {
		s := <-begun
		r := rand.New(rand.NewPCG(1, 2))
		for until := time.Now().Add(1500 * time.Millisecond); time.Now().Before(until); sent++ {
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 50, byte(r.IntN(16)), byte(r.IntN(256))}), 25)
			b := tcpPacket(from, s.addr, r.Uint32(), r.Uint32(), []byte{0x12, 0x14}[r.IntN(2)], 1)
			if r.IntN(3) == 0 {
				b = icmpError(s.addr.Addr(), 13, 1, tcpPacket(s.addr, from, r.Uint32(), 0, 2, 1))
			}
			w.send(b, s.mac)
		}
	})
	w.play(t)
	cov := coverageOf(t, 1, []uint16{25}, "10.50.0.0/20")
	s := &SYN{Pace: pacer(4000), Counters: new(Counters), buffer: 8 << 10}
	list, err := synSweepAll(t.Context(), s, cov)
	if err != nil {
		t.Fatal(err)
	}
	exact(t, cov, list, truth)
	_, passes := cov.Passes()
	t.Logf("%d forged packets sent, %d seen, %d dropped by our kernel, %d complaints, %d passes", sent, s.Counters.Forged.Load(), s.Counters.Dropped.Load(), s.Counters.Complaints.Load(), passes)
	if s.Counters.Forged.Load() == 0 || s.Counters.Dropped.Load() == 0 || s.Counters.Complaints.Load() == 0 || passes < 3 {
		t.Error("the flood was not noticed")
	}
}

// sweepHere is set to the coverage's file in a copy of the test binary that is there to be killed.
const sweepHere = "RELAYSWEEP_SWEEP_HERE"

// murdered is the plan of who will be killed.
func murdered(t *testing.T) *Plan {
	return mustPlan(t, mustScope(t, aiming(Spec{}, "10.50.0.0/20", "fd50::/116")), 7, 25)
}

func TestSYNToBeKilled(t *testing.T) {
	file := os.Getenv(sweepHere)
	if file == "" {
		t.Skip("is run by TestSYNKilled")
	}
	cov, err := OpenCoverage(murdered(t), file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := synSweepAll(t.Context(), &SYN{Pace: pacer(5000)}, cov); err != nil {
		t.Fatal(err)
	}
	if err := cov.Close(); err != nil {
		t.Fatal(err)
	}
}

// A sweep that is killed at any moment goes on: nothing is lost, and nobody is asked again but those of the last second.
func TestSYNKilled(t *testing.T) {
	if !inside(t) {
		return
	}
	w := newWire(t, "w0", true, byRouter("w0")).play(t)
	file := filepath.Join(t.TempDir(), "coverage")
	r := rand.New(rand.NewPCG(3, 4))
	type life struct {
		start  time.Time
		killed bool
	}
	var lives []life
	for most := number("RELAYSWEEP_KILLS", 20); ; {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSYNToBeKilled$", "-test.v")
		cmd.Env = append(os.Environ(), sweepHere+"="+file)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		lives = append(lives, life{time.Now(), false})
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var alarm *time.Timer
		if len(lives) <= most {
			alarm = time.AfterFunc(time.Duration(50+r.IntN(800))*time.Millisecond, func() { cmd.Process.Kill() })
		}
		err := cmd.Wait()
		if alarm != nil {
			alarm.Stop()
		}
		if err == nil {
			break
		}
		if !strings.Contains(err.Error(), "killed") {
			t.Fatalf("%v\n%s", err, out.String())
		}
		lives[len(lives)-1].killed = true
	}
	cov, err := OpenCoverage(murdered(t), file)
	if err != nil {
		t.Fatal(err)
	}
	defer cov.Close()
	exact(t, cov, nil, truth)
	_, passes := cov.Passes()
	w.mu.Lock()
	defer w.mu.Unlock()
	wrong := 0
	for a, list := range w.syns {
		allowed := 1
		if truth(a) == Filtered {
			allowed = passes
		}
		for i, life := range lives { // no life is meant to be longer than a second: what it asked may be asked again, once
			if life.killed && slices.ContainsFunc(list, func(at time.Time) bool {
				return !at.Before(life.start) && at.Before(lives[i+1].start)
			}) {
				allowed++
			}
		}
		if len(list) > allowed && wrong < 8 {
			wrong++
			t.Errorf("%v, %v, was asked %d times, want at most %d", a, truth(a), len(list), allowed)
		}
	}
	t.Logf("%d kills, %d passes, %d packets to %d targets", len(lives)-1, passes, cov.Sent(), cov.Plan().Len())
}

// What an earlier process decided holds: a further pass over all, for which windows were kept in memory only.
func TestSYNGoesOnInAFurtherPass(t *testing.T) {
	if !inside(t) {
		return
	}
	t.Run("that was decided before its turn came", func(t *testing.T) {
		w := newWire(t, "w0", true, byRouter("w0"))
		w.when(50, func() { // so that this process has a window of its own
			shell(t, "ip addr add 10.60.0.9/24 dev w0; ip route replace default via "+router4+" src 10.60.0.9")
		})
		w.play(t)
		cov := coverageOf(t, 1, []uint16{25}, "10.50.0.0/24")
		cov.begin(2)
		cov.setPasses(3)
		cov.answered(1000, false)
		cov.advance(0, 100)
		list, err := synSweepAll(t.Context(), &SYN{Pace: pacer(2000)}, cov)
		if err != nil {
			t.Fatal(err)
		}
		exact(t, cov, list, truth)
		for position := range cov.Plan().Len() {
			a := cov.Plan().endpoint(cov.Plan().index(position))
			want := 1
			if truth(a) == Filtered {
				want = 2
				if position >= 100 {
					want = 3
				}
			}
			if got := w.asked(a); got != want {
				t.Errorf("%v at %d, %v: was asked %d times, want %d", a, position, truth(a), got, want)
			}
		}
	})
	t.Run("in which it was interrupted", func(t *testing.T) {
		w := newWire(t, "w0", true, byRouter("w0")).play(t)
		cov := coverageOf(t, 1, []uint16{465}, "10.50.0.0/20")
		r := rand.New(rand.NewPCG(5, 6))
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		w.mu.Lock()
		w.lose = func() bool {
			if pass, _ := cov.cursor(); pass == 2 {
				stop()
				return true
			}
			return r.IntN(10) == 0
		}
		w.mu.Unlock()
		list, err := synSweepAll(ctx, &SYN{Pace: pacer(20000)}, cov)
		if err != nil {
			t.Fatal(err)
		}
		if pass, of := cov.Passes(); pass != 3 || of != 3 || cov.Swept() {
			t.Fatalf("got pass %d of %d, swept %v", pass, of, cov.Swept())
		}
		w.mu.Lock()
		w.lose = nil
		w.mu.Unlock()
		more, err := synSweepAll(t.Context(), &SYN{Pace: pacer(20000)}, cov)
		if err != nil {
			t.Fatal(err)
		}
		if !cov.Swept() {
			t.Error("it was not swept to the end")
		}
		exact(t, cov, append(list, more...), truth)
	})
}

// A target that our own machine refused a packet to is asked again.
func TestSYNTriesWhatFailedAgain(t *testing.T) {
	if !inside(t) {
		return
	}
	w := newWire(t, "w0", false, byRouter("w0"))
	shell(t, "nft 'add table inet own; add chain inet own output { type filter hook output priority 0; }; add rule inet own output ip daddr 10.50.0.0/28 drop'")
	cov := coverageOf(t, 1, []uint16{25}, "10.50.0.0/24")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	w.when(100, stop)
	w.play(t)
	list, err := synSweepAll(ctx, &SYN{Pace: pacer(1000)}, cov)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, s := range cov.States() {
		if s == Failed {
			failed++
		}
	}
	if failed == 0 || cov.Trouble() == "" {
		t.Fatalf("got %d that failed and the trouble %q", failed, cov.Trouble())
	}
	shell(t, "nft flush ruleset")
	more, err := synSweepAll(t.Context(), &SYN{Pace: pacer(1000)}, cov)
	if err != nil {
		t.Fatal(err)
	}
	exact(t, cov, append(list, more...), truth)
}
