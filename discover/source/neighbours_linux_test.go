package source

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// inNamespace is set in the copy of the test binary that runs inside the network namespace.
const inNamespace = "RELAYSWEEP_IN_NAMESPACE"

// The table of a network namespace, which is made for this test and taken away after it.
func TestNeighbours(t *testing.T) {
	if os.Getenv(inNamespace) != "" {
		t.Skip("runs outside the namespace")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, for a network namespace")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip (apt-get install iproute2)")
	}
	ns := fmt.Sprintf("rsst-%d", os.Getpid())
	if out, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
		t.Skipf("needs the right to make network namespaces (CAP_SYS_ADMIN): %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", ns).CombinedOutput(); err != nil {
			t.Errorf("ip netns del %s: %v\n%s", ns, err, out)
		}
	})
	for line := range strings.Lines(`link add rsst0 type veth peer name rsst1
		link set rsst0 up
		link set rsst1 up
		addr add 10.98.0.1/24 dev rsst0
		addr add fd98::1/64 dev rsst0 nodad
		neigh add 10.98.0.9 lladdr 00:00:5e:00:53:01 dev rsst0 nud permanent
		neigh add 10.98.0.10 lladdr 00:00:5e:00:53:02 dev rsst0 nud stale
		neigh add 10.98.0.11 dev rsst0 nud failed
		neigh add fd98::9 lladdr 00:00:5e:00:53:03 dev rsst0 nud reachable
		neigh add fe80::9 lladdr 00:00:5e:00:53:03 dev rsst0 nud permanent
		neigh add 10.97.0.9 lladdr 00:00:5e:00:53:04 dev rsst1 nud permanent`) {
		args := append([]string{"-n", ns}, strings.Fields(line)...)
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v\n%s", args, err, out)
		}
	}
	cmd := exec.Command("ip", "netns", "exec", ns, os.Args[0], "-test.run=^TestNeighboursInside$", "-test.v", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), inNamespace+"="+ns)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestNeighboursInside ") {
		t.Errorf("inside %s: %v\n%s", ns, err, out)
	}
}

func TestNeighboursInside(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		t.Skip("is run by TestNeighbours")
	}
	var f Finder
	for q, want := range map[string]string{
		"neighbours":       "10.97.0.9 10.98.0.10 10.98.0.9 fd98::9, fe80::9",
		"neighbours:rsst1": "10.97.0.9,",
	} {
		got := find(t, &f, q)
		var named, left []string
		for _, n := range got.Named {
			named = append(named, n.Text())
			if !strings.HasPrefix(n.By, "neighbours:rsst") {
				t.Errorf("%s is named by %s", n.Text(), n.By)
			}
		}
		for _, l := range got.Left {
			left = append(left, l.Text)
		}
		if g := sorted(named) + ", " + sorted(left); strings.TrimSpace(g) != want {
			t.Errorf("%s: got %s, want %s", q, g, want)
		}
	}
	if found, err := f.Find(t.Context(), query(t, "neighbours:none0")); err == nil {
		t.Errorf("an interface that is not there: %v", said(found))
	}
}

// message is a neighbour as the kernel writes it.
func message(family byte, index int32, state uint16, attrs ...[]byte) []byte {
	b := make([]byte, ndmsgLen)
	b[0] = family
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint16(b[8:], state)
	for _, a := range attrs {
		b = append(b, a...)
	}
	return b
}

func attribute(kind uint16, value ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func FuzzNeighbour(f *testing.F) {
	f.Add(message(2, 7, 2, attribute(2, 1, 2, 3, 4, 5, 6), attribute(ndaDst, 10, 0, 0, 1)))
	f.Add(message(10, 1, 4, attribute(ndaDst, netip.MustParseAddr("fd98::9").AsSlice()...)))
	f.Add(message(7, 1, 4, attribute(ndaDst, 10, 0, 0, 1)))
	f.Add(message(2, 1, 4, []byte{3, 0, 1, 0}))
	f.Add(message(2, 1, 4, []byte{255, 255, 1, 0}))
	f.Add([]byte{2})
	if n, err := parseNeighbour(message(2, 7, 2, attribute(2, 1, 2, 3, 4, 5, 6), attribute(ndaDst, 10, 0, 0, 1))); err != nil || n != (neighbour{netip.MustParseAddr("10.0.0.1"), 7, 2}) {
		f.Errorf("got %v, %v", n, err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := parseNeighbour(b); err == nil && n.addr.IsValid() && (len(b) < ndmsgLen || b[0] != 2 && b[0] != 10) {
			t.Errorf("%x: got %v", b, n)
		}
	})
}
