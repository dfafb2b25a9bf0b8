package probe_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"relaysweep/probe"
)

// What a dry run prints of the controls is what goes out, byte for byte and in that order.
func TestPreviewShowsTheControls(t *testing.T) {
	st := inOrder(t, "open-to-all")
	p := prober()
	f, err := look(t, p, st.addr())
	if err != nil {
		t.Fatal(err)
	}
	if f.Nonsense.Code == 0 || f.RandomLocal.Code == 0 || f.RandomForeign.Code == 0 {
		t.Fatalf("the controls were not asked: %+v %+v %+v", f.Nonsense, f.RandomLocal, f.RandomForeign)
	}
	_, controls, ok := strings.Cut(p.Preview(opening(st.addr()).Target, f.Vantage), "controls, which never go on to DATA\n")
	if !ok {
		t.Fatal("the preview names no controls")
	}
	controls, _, _ = strings.Cut(controls, "  # where the greeting")
	var want []string
	for line := range strings.Lines(controls) {
		if c, ok := strings.CutPrefix(strings.TrimSpace(line), "C: "); ok && c != "QUIT" {
			want = append(want, c)
		}
	}
	var sent []string
	for _, s := range st.scores() {
		for i, c := range s.Commands {
			if c == want[0] && i+len(want) <= len(s.Commands) {
				sent = s.Commands[i : i+len(want)]
			}
		}
	}
	if !slices.Equal(sent, want) {
		t.Errorf("sent %q, want %q, as previewed", sent, want)
	}
}

// A dry run with rows that reach beyond asking shows what they send.
func TestPreviewShowsOptIn(t *testing.T) {
	p := prober()
	p.StopAt, p.VRFY, p.Vectors = probe.Delivered, true, probe.Vectors()
	p.Sources = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.9:25")}
	text := p.Preview(opening(netip.MustParseAddrPort("127.0.0.1:209")).Target, "outside")
	for _, want := range []string{
		"C: AUTH PLAIN ", "C: AUTH LOGIN\n", "C: AUTH CRAM-MD5\n", "C: AUTH ANONYMOUS ", "C: XCLIENT ADDR=127.0.0.1\n", "C: PROXY TCP4 127.0.0.1 127.0.0.1 25 25\n", "> SMTPUTF8\n",
		"from 127.0.0.9:25", "(I12)", "(I11)", "(I9)", "C: VRFY alice@org.example\n", "C: HELP\n", "to tell QMTP",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the preview", want)
		}
	}
	p.StopAt, p.VRFY, p.Vectors, p.Sources = probe.Ready, false, nil, nil
	text = p.Preview(opening(netip.MustParseAddrPort("127.0.0.1:25")).Target, "outside")
	for _, not := range []string{"AUTH", "XCLIENT", "PROXY", "VRFY", "I9", "I11", "I12"} {
		if strings.Contains(text, not) {
			t.Errorf("%q is in the preview of the default", not)
		}
	}
}
