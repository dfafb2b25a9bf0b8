package discover

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relaysweep/discover/packet"
	"relaysweep/ratelimit"
)

// inLab is set in the copy of the test binary that runs in a network namespace of its own.
const inLab = "RELAYSWEEP_LAB"

// inside runs a test in a network namespace of its own, in a copy of the test binary. It reports false where the copy
// has run it.
func inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inLab) != "" {
		shell(t, "ip link set lo up")
		return true
	}
	if os.Getuid() != 0 {
		t.Skip("needs CAP_NET_RAW and CAP_SYS_ADMIN, as .ci/run has them")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s; .ci/run installs it", tool)
		}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), inLab+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, unix.EPERM):
		t.Skip("needs CAP_NET_RAW and CAP_SYS_ADMIN, as .ci/run has them")
	case strings.Contains(string(out), "--- SKIP: "+t.Name()+" "):
		t.Skipf("%s", out)
	case err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()+" "):
		t.Errorf("in its namespace: %v\n%s", err, out)
	default:
		t.Logf("%s", out)
	}
	return false
}

// shell runs a script where the test is.
func shell(t *testing.T, script string) {
	t.Helper()
	if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
		state, _ := exec.Command("sh", "-c", "ip addr; ip route; ip -6 route").CombinedOutput()
		t.Fatalf("%s: %v\n%s\n%s", script, err, out, state)
	}
}

// output is what a script prints.
func output(t *testing.T, script string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// namespace is a further network namespace: that of one thread, which does all that has to be done there.
type namespace struct {
	work chan func()
	tid  int
}

func newNamespace(t *testing.T) *namespace {
	t.Helper()
	n := &namespace{work: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		n.tid = unix.Gettid()
		ready <- unix.Unshare(unix.CLONE_NEWNET)
		for f := range n.work {
			f()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(n.work) })
	n.shell(t, "ip link set lo up")
	return n
}

// do runs a function there.
func (n *namespace) do(f func()) {
	done := make(chan struct{})
	n.work <- func() { f(); close(done) }
	<-done
}

// shell runs a script there.
func (n *namespace) shell(t *testing.T, script string) string {
	t.Helper()
	var out []byte
	var err error
	n.do(func() { out, err = exec.Command("sh", "-ec", script).CombinedOutput() })
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// The two ends of a wire: the scanner and its router.
const (
	scanner4, router4 = "10.60.0.1", "10.60.0.2"
	scanner6, router6 = "fd60::1", "fd60::2"
)

// wire is a network device whose far end is played by the test: it holds what is true of each target, answers so, and
// keeps score of what it was asked. With ether it is Ethernet and a router answers at its far end; without, it is a
// tunnel.
type wire struct {
	name  string
	ether bool
	mac   packet.MAC // of who is at the far end
	file  *os.File
	done  sync.WaitGroup

	state  func(netip.AddrPort) State       // what each target is
	has    func(netip.Addr) bool            // who is on the link
	lose   func() bool                      // whether a packet is lost, on the way there or back; nil: none
	delay  time.Duration                    // of answers
	hollow bool                             // SYN-ACKs are those of a SYN proxy
	first  func(netip.AddrPort, packet.MAC) // is told where the first SYN came from

	mu   sync.Mutex
	syns map[netip.AddrPort][]time.Time
	rsts map[netip.AddrPort]int
	who  map[netip.Addr]int // that were asked for by ARP and neighbour discovery
	deaf bool               // nothing is read or answered
}

// newWire makes the device, its addresses, and what else the script says. Its answers begin with play.
func newWire(t *testing.T, name string, ether bool, script string) *wire {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("needs /dev/net/tun: %v", err)
	}
	request, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	kind := uint16(unix.IFF_TUN)
	if ether {
		kind = unix.IFF_TAP
	}
	request.SetUint16(kind | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		unix.Close(fd)
		t.Skipf("needs the right to make a network device: %v", err)
	}
	file := os.NewFile(uintptr(fd), name)
	t.Cleanup(func() { file.Close() })
	shell(t, "ip link set "+name+" txqueuelen 20000; echo 0 >/proc/sys/net/ipv6/conf/"+name+"/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/"+name+"/router_solicitations; ip link set "+name+" up\n"+script)
	w := &wire{
		name: name, ether: ether, mac: packet.MAC{2, 0, 0, 0, 0, 0xfe}, file: file, state: truth, has: func(a netip.Addr) bool { return a.String() == router4 || a.String() == router6 },
		syns: make(map[netip.AddrPort][]time.Time), rsts: make(map[netip.AddrPort]int), who: make(map[netip.Addr]int),
	}
	return w
}

// byRouter is the script of a wire to a router.
func byRouter(name string) string {
	return "ip addr add " + scanner4 + "/24 dev " + name + "; ip addr add " + scanner6 + "/64 dev " + name + " nodad; ip route add default via " + router4 + "; ip -6 route add default via " + router6
}

// play answers until the test ends.
func (w *wire) play(t *testing.T) *wire {
	t.Helper()
	w.done.Go(func() {
		b := make([]byte, 2048)
		for {
			n, err := w.file.Read(b)
			if errors.Is(err, os.ErrClosed) {
				return
			}
			if err == nil {
				w.handle(b[:n])
			}
		}
	})
	t.Cleanup(func() { w.file.Close(); w.done.Wait() })
	return w
}

// truth is what targets are, where a test does not say it.
func truth(a netip.AddrPort) State {
	b := a.Addr().As16()
	switch h := mix(binary.BigEndian.Uint64(b[8:])^uint64(a.Port())<<40) % 32; {
	case h == 0:
		return Open
	case h < 15:
		return Closed
	case h == 15:
		return Prohibited
	case h == 16:
		return Unreachable
	}
	return Filtered
}

func (w *wire) handle(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.deaf {
		return
	}
	var from packet.MAC
	if w.ether {
		if len(b) < packet.EthernetLen {
			return
		}
		from = packet.MAC(b[6:12])
		if to := packet.MAC(b[:6]); to != w.mac && to[0]&1 == 0 {
			return
		}
		if binary.BigEndian.Uint16(b[12:]) == packet.EtherARP {
			w.arp(b[packet.EthernetLen:], from)
			return
		}
		b = b[packet.EthernetLen:]
	}
	if len(b) < 40 {
		return
	}
	src, dst, payload, proto := netip.Addr{}, netip.Addr{}, []byte(nil), byte(0)
	if b[0]>>4 == 4 {
		src, dst, payload, proto = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:])), b[20:], b[9]
	} else {
		src, dst, payload, proto = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:])), b[40:], b[6]
	}
	switch {
	case proto == unix.IPPROTO_ICMPV6 && len(payload) >= 24 && payload[0] == 135:
		w.advert(netip.AddrFrom16([16]byte(payload[8:])), src, from)
	case proto == unix.IPPROTO_TCP && len(payload) >= 20:
		w.tcp(b, src, dst, payload, from)
	}
}

func (w *wire) arp(b []byte, from packet.MAC) {
	if len(b) < 28 || b[7] != 1 {
		return
	}
	wanted := netip.AddrFrom4([4]byte(b[24:]))
	if w.who[wanted]++; !w.has(wanted) || w.lost() {
		return
	}
	reply := make([]byte, packet.EthernetLen+28)
	packet.PutEthernet(reply, from, w.mac, packet.EtherARP)
	a := reply[packet.EthernetLen:]
	copy(a, b[:28])
	a[7] = 2
	copy(a[8:], w.mac[:])
	copy(a[14:], b[24:28])
	copy(a[18:], b[8:18])
	w.write(reply)
}

func (w *wire) advert(wanted, to netip.Addr, mac packet.MAC) {
	if w.who[wanted]++; !w.has(wanted) || w.lost() || !to.IsValid() || to.IsUnspecified() {
		return
	}
	a := wanted.As16()
	body := append([]byte{136, 0, 0, 0, 0x60, 0, 0, 0}, a[:]...)
	body = append(append(body, 2, 1), w.mac[:]...)
	w.send(ipPacket(wanted, to, unix.IPPROTO_ICMPV6, 255, body), mac)
}

func (w *wire) lost() bool { return w.lose != nil && w.lose() }

func (w *wire) tcp(b []byte, src, dst netip.Addr, tcp []byte, mac packet.MAC) {
	target := netip.AddrPortFrom(dst, binary.BigEndian.Uint16(tcp[2:]))
	ours := binary.BigEndian.Uint16(tcp)
	switch {
	case tcp[13]&0x04 != 0:
		w.rsts[target]++
		return
	case tcp[13] != 0x02:
		return
	}
	if w.first != nil {
		w.first(netip.AddrPortFrom(src, ours), mac)
		w.first = nil
	}
	w.syns[target] = append(w.syns[target], time.Now())
	if there, back := w.lost(), w.lost(); there || back {
		return
	}
	answer := func(flags byte, window uint16, options ...byte) []byte {
		return tcpPacket(target, netip.AddrPortFrom(src, ours), 7777, binary.BigEndian.Uint32(tcp[4:])+1, flags, window, options...)
	}
	var out []byte
	switch w.state(target) {
	case Open:
		if out = answer(0x12, 64240, 2, 4, 5, 0xb4); w.hollow {
			out = answer(0x12, 0)
		}
	case Closed:
		out = answer(0x14, 0)
	case Prohibited:
		out = icmpError(src, 13, 1, b)
	case Unreachable:
		out = icmpError(src, 1, 3, b)
	default:
		return
	}
	if w.delay > 0 {
		w.done.Go(func() { time.Sleep(w.delay); w.send(out, mac) })
		return
	}
	w.send(out, mac)
}

// send sends an IP packet to the scanner.
func (w *wire) send(b []byte, to packet.MAC) {
	if w.ether {
		frame := make([]byte, packet.EthernetLen, packet.EthernetLen+len(b))
		kind := uint16(packet.EtherIPv4)
		if b[0]>>4 == 6 {
			kind = packet.EtherIPv6
		}
		packet.PutEthernet(frame, to, w.mac, kind)
		b = append(frame, b...)
	}
	w.write(b)
}

func (w *wire) write(b []byte) { _, _ = w.file.Write(b) } // the device may be down

// asked is how often each target was asked.
func (w *wire) asked(a netip.AddrPort) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.syns[a])
}

func (w *wire) setDeaf(deaf bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaf = deaf
}

// checksum is that of RFC 1071.
func checksum(parts ...[]byte) uint16 {
	acc := uint32(0)
	for _, b := range parts {
		for i := range b {
			acc += uint32(b[i]) << (8 * (1 - i%2))
		}
	}
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	return ^uint16(acc)
}

// ipPacket is an IP packet; the checksums of ICMPv6 and TCP are put in.
func ipPacket(src, dst netip.Addr, proto, hops byte, body []byte) []byte {
	s, d := src.AsSlice(), dst.AsSlice()
	length := binary.BigEndian.AppendUint16(nil, uint16(len(body)))
	at := map[byte]int{unix.IPPROTO_ICMPV6: 2, unix.IPPROTO_TCP: 16}[proto]
	if at > 0 {
		binary.BigEndian.PutUint16(body[at:], 0)
		binary.BigEndian.PutUint16(body[at:], checksum(s, d, []byte{0, proto}, length, body))
	}
	if src.Is4() {
		b := append([]byte{0x45, 0, 0, 0, 0, 0, 0, 0, hops, proto, 0, 0}, append(s, d...)...)
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(body)))
		binary.BigEndian.PutUint16(b[10:], checksum(b))
		return append(b, body...)
	}
	b := append([]byte{0x60, 0, 0, 0}, length...)
	return append(append(append(append(b, proto, hops), s...), d...), body...)
}

func tcpPacket(src, dst netip.AddrPort, seq, ack uint32, flags byte, window uint16, options ...byte) []byte {
	b := make([]byte, 20, 60)
	binary.BigEndian.PutUint16(b, src.Port())
	binary.BigEndian.PutUint16(b[2:], dst.Port())
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[8:], ack)
	b[12], b[13] = byte(20+len(options))/4<<4, flags
	binary.BigEndian.PutUint16(b[14:], window)
	return ipPacket(src.Addr(), dst.Addr(), unix.IPPROTO_TCP, 64, append(b, options...))
}

// icmpError is the router's error on a packet: of ICMP type 3 and a code, or ICMPv6 type 1 and a code.
func icmpError(to netip.Addr, code4, code6 byte, quoted []byte) []byte {
	if to.Is4() {
		b := append([]byte{3, code4, 0, 0, 0, 0, 0, 0}, quoted[:28]...)
		binary.BigEndian.PutUint16(b[2:], checksum(b))
		return ipPacket(netip.MustParseAddr(router4), to, unix.IPPROTO_ICMP, 64, b)
	}
	return ipPacket(netip.MustParseAddr(router6), to, unix.IPPROTO_ICMPV6, 64, append([]byte{1, code6, 0, 0, 0, 0, 0, 0}, quoted...))
}

// pacer is a pacer for any number of hosts.
func pacer(total float64) *ratelimit.Pacer {
	return ratelimit.NewPacer(ratelimit.Rates{Total: total}, 0)
}

// synSweepAll sweeps to the end, and returns the openings.
func synSweepAll(ctx context.Context, s *SYN, cov *Coverage) (list []Opening, err error) {
	for o, e := range s.Sweep(ctx, cov) {
		if e != nil {
			return list, e
		}
		list = append(list, o)
	}
	return list, nil
}

// exact fails unless all targets of a coverage are what they are, and the openings are those that are open.
func exact(t *testing.T, cov *Coverage, list []Opening, truth func(netip.AddrPort) State) {
	t.Helper()
	found := make(map[netip.AddrPort]int)
	for _, o := range list {
		found[o.Target.AddrPort()]++
	}
	wrong := 0
	for a, got := range cov.States() {
		want := truth(a)
		opened := 0
		if want == Open {
			opened = 1
		}
		if got == want && (list == nil || found[a] == opened) {
			continue
		}
		if wrong++; wrong <= 8 {
			t.Errorf("%v: got %v and %d openings, want %v", a, got, found[a], want)
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d are wrong", wrong, cov.Plan().Len())
	}
}

// coverageOf is the empty coverage of some targets.
func coverageOf(t *testing.T, seed uint64, ports []uint16, targets ...string) *Coverage {
	t.Helper()
	return NewCoverage(mustPlan(t, mustScope(t, aiming(Spec{}, targets...)), seed, ports...))
}

// neighbours are the addresses in the kernel's tables.
func neighbours(t *testing.T) map[netip.Addr]bool {
	t.Helper()
	list := make(map[netip.Addr]bool)
	for line := range strings.Lines(output(t, "ip neigh show; ip -6 neigh show")) {
		if f := strings.Fields(line); len(f) > 0 {
			if a, err := netip.ParseAddr(f[0]); err == nil && !a.IsLinkLocalUnicast() {
				list[a] = true
			}
		}
	}
	return list
}

// number is a number from the environment, for longer runs.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}
