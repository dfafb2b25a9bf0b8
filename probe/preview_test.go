package probe_test

import (
	"slices"
	"strings"
	"testing"
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
