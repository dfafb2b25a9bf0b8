package discover

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Each state in each slot: what one target's socket heard must not be taken for what the next one's did.
func TestEpollInsideTheNamespace(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		t.Skip("is run by TestStatesInANamespace")
	}
	at := func(host string, port uint16) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(host), port)
	}
	for _, a := range []netip.AddrPort{at(fw4, openPort), at(fw6, openPort), at(fw4, toPort25), at(fw4, toFriend)} {
		l, err := net.Listen("tcp", a.String())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	want := map[netip.AddrPort]State{
		at(nobody4, 1003): Unreachable, at(nobody6, 1003): Unreachable,
		at("10.97.0.1", 1003): Unreachable, at("10.97.0.2", 1003): Failed, at("10.97.0.3", 1003): Failed,
	}
	addrs := []netip.AddrPort{at(nobody4, 1003), at(nobody6, 1003), at("10.97.0.1", 1003), at("10.97.0.2", 1003), at("10.97.0.3", 1003)}
	for _, w := range wall {
		for _, f := range w.family {
			a := at(map[rune]string{'4': fw4, '6': fw6}[f], w.port)
			want[a] = w.state
			addrs = append(addrs, a)
		}
	}
	for _, inFlight := range []int{8, 256} {
		timeout := 2 * time.Second
		if inFlight < 256 {
			timeout = 600 * time.Millisecond // after three questions, 100 ms apart, nobody answered ARP
		}
		cov := covering(t, addrs...)
		sweep(t, &Epoll{pace: &pacing{}, Connect: Connect{Timeout: timeout, InFlight: inFlight}}, cov)
		for a, state := range want {
			if got := cov.State(a); got != state {
				t.Errorf("%d in flight: %v: got %v, want %v", inFlight, a, got, state)
			}
		}
	}

	t.Run("what opens to a further source alone", func(t *testing.T) {
		for _, c := range []struct {
			from string
			door netip.AddrPort
		}{{":25", at(fw4, toPort25)}, {friend, at(fw4, toFriend)}, {friend + ":25", at(fw4, toFriend)}} {
			from, err := ParseSource(c.from)
			if err != nil {
				t.Fatal(err)
			}
			cov := covering(t, c.door)
			openings := sweep(t, &Epoll{pace: &pacing{}, Connect: Connect{Timeout: time.Second, From: from}}, cov)
			if len(openings) != 1 || openings[0].Target.AddrPort() != c.door || openings[0].Source != from {
				t.Errorf("from %q: got %v, want %v open to it alone", c.from, openings, c.door)
			}
		}
	})

	t.Run("a port that reaches itself is not open", func(t *testing.T) {
		write(t, "/proc/sys/net/ipv4/ip_local_port_range", fmt.Sprintf("%d %d", toItself, toItself))
		defer write(t, "/proc/sys/net/ipv4/ip_local_port_range", "32768 60999")
		cov := covering(t, at(fw4, toItself), at(fw6, toItself))
		sweep(t, &Epoll{pace: &pacing{}}, cov)
		for a, s := range cov.States() {
			if s != Failed || cov.Trouble() != "connected to itself" {
				t.Errorf("%v: got %v, %q, want failed, connected to itself", a, s, cov.Trouble())
			}
		}
	})

	// The only port of our own that is left is taken by others for a while: for all that time no target is given up.
	t.Run("no port of our own is left for a while", func(t *testing.T) {
		write(t, "/proc/sys/net/ipv4/ip_local_port_range", "40100 40101")
		defer write(t, "/proc/sys/net/ipv4/ip_local_port_range", "32768 60999")
		var taken []int
		seize := func() {
			for port := uint16(40100); port <= 40101; port++ {
				fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
				if err != nil {
					t.Fatal(err)
				}
				if err := unix.Bind(fd, sockaddr(at("0.0.0.0", port))); err != nil {
					unix.Close(fd) // a handshake of ours has it
					continue
				}
				taken = append(taken, fd)
			}
		}
		leave := func() {
			for _, fd := range taken {
				unix.Close(fd)
			}
			taken = nil
		}
		defer leave()
		var targets []netip.AddrPort
		for port := uint16(1002); port < 1006; port++ {
			targets = append(targets, at(fw4, port))
		}
		for port := uint16(2000); port < 2060; port++ {
			targets = append(targets, at(fw4, port))
		}
		tries := map[Target]int{}
		sends, again := 0, 0
		cov := covering(t, targets...)
		sweep(t, &Epoll{pace: &pacing{}, Connect: Connect{Timeout: time.Second, InFlight: 16, Before: func(target Target, _ netip.AddrPort) error {
			if sends++; sends == 20 {
				seize()
			}
			if tries[target]++; tries[target] > 1 {
				again++
			}
			if again == 4 {
				leave()
			}
			return nil
		}}}, cov)
		for a, s := range cov.States() {
			want := Closed
			if a.Port() == 1003 {
				want = Filtered
			}
			if s != want {
				t.Errorf("%v: got %v, want %v; trouble: %q", a, s, want, cov.Trouble())
			}
		}
		if again < 4 {
			t.Errorf("%d targets were tried again: the ports were not used up", again)
		}
	})
	t.Run("no port of our own is ever left", func(t *testing.T) {
		l, err := net.Listen("tcp4", "0.0.0.0:40200")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		write(t, "/proc/sys/net/ipv4/ip_local_port_range", "40200 40200")
		defer write(t, "/proc/sys/net/ipv4/ip_local_port_range", "32768 60999")
		cov := covering(t, at(fw4, 1002), at(fw4, 2000))
		sweep(t, &Epoll{pace: &pacing{}}, cov)
		for a, s := range cov.States() {
			if s != Failed || cov.Trouble() != unix.EADDRNOTAVAIL.Error() {
				t.Errorf("%v: got %v, %q, want failed, %v", a, s, cov.Trouble(), unix.EADDRNOTAVAIL)
			}
		}
	})
}
