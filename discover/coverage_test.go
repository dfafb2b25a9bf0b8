package discover

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"go4.org/netipx"
)

// sum is all that a row counts.
func (r CoverageRow) sum() uint64 { return r.Looked() + r.Failed + r.NotAttempted }

func TestCoverageAddsUpToThePrefixes(t *testing.T) {
	r := seeded(t)
	for range 200 {
		spec, included, left := randomSpec(r)
		if len(left) == 0 {
			continue
		}
		s := mustScope(t, spec)
		ports := []uint16{25, 465, 587}[:1+r.IntN(3)]
		p := mustPlan(t, s, r.Uint64(), ports...)
		c := NewCoverage(p)
		want := make(map[netip.AddrPort]State) // what was not added is NotAttempted
		for i := range uint64(r.IntN(int(p.Len()) + 1)) {
			target, err := p.At(i)
			if err != nil {
				t.Fatal(err)
			}
			state := State(r.IntN(len(stateNames)))
			c.Add(target.AddrPort(), state)
			want[target.AddrPort()] = state
		}
		rows := c.Rows()
		if got := len(s.Prefixes()) * len(ports); len(rows) != got {
			t.Fatalf("got %d rows, want %d", len(rows), got)
		}
		all := uint64(0)
		for _, row := range rows {
			var counts [len(stateNames)]uint64
			in, size := uint64(0), uint64(0)
			for _, a := range included {
				if row.Prefix.Contains(a) {
					size++
				}
			}
			for _, a := range left {
				if row.Prefix.Contains(a) {
					in++
					counts[want[netip.AddrPortFrom(a, row.Port)]]++
				}
			}
			all += row.sum()
			if row.sum() != size || size != prefixLen(row.Prefix) {
				t.Fatalf("%v port %d: got a sum of %d, want %d addresses", row.Prefix, row.Port, row.sum(), size)
			}
			got := [...]uint64{row.NotAttempted, row.Open, row.Closed, row.Filtered, row.Prohibited, row.Unreachable, row.Failed}
			interrupted := counts[NotAttempted]
			counts[NotAttempted] += size - in
			if got != counts {
				t.Fatalf("%v port %d: got %v, want %v", row.Prefix, row.Port, got, counts)
			}
			reasons := map[string]uint64{}
			if size > in {
				reasons["excluded"] = size - in
			}
			if interrupted > 0 {
				reasons["interrupted"] = interrupted
			}
			if !reflect.DeepEqual(row.Reasons, reasons) {
				t.Fatalf("%v port %d: got reasons %v, want %v", row.Prefix, row.Port, row.Reasons, reasons)
			}
		}
		if all != uint64(len(included)*len(ports)) {
			t.Fatalf("the rows sum up to %d, want %d", all, len(included)*len(ports))
		}
	}
}

// Law 2: not looked is not closed.
func TestOnlyAResetCountsAsClosed(t *testing.T) {
	p := mustPlan(t, mustScope(t, owned("10.0.0.1")), 1, 25)
	for state := range State(len(stateNames)) {
		c := NewCoverage(p)
		c.Add(netip.MustParseAddrPort("10.0.0.1:25"), state)
		row := c.Rows()[0]
		if got, want := row.Closed == 1, state == Closed; got != want {
			t.Errorf("%v: counted as closed: got %v, want %v", state, got, want)
		}
		looked := state != NotAttempted && state != Failed
		if got := row.Looked() == 1; got != looked {
			t.Errorf("%v: counted as looked at: got %v, want %v", state, got, looked)
		}
		if got := c.Complete(); got != looked {
			t.Errorf("%v: complete: got %v, want %v", state, got, looked)
		}
		if row.sum() != 1 {
			t.Errorf("%v: got %+v, want it counted once", state, row)
		}
	}
}

func TestCoverageLeavesOutWhatIsNotInThePlan(t *testing.T) {
	p := mustPlan(t, mustScope(t, owned("10.0.0.1")), 1, 25)
	c := NewCoverage(p)
	for _, a := range []string{"10.0.0.2:25", "10.0.0.1:26", "[2001:db8::1]:25"} {
		c.Add(netip.MustParseAddrPort(a), Open)
	}
	if got := c.Rows()[0]; got.Open != 0 || got.NotAttempted != 1 {
		t.Errorf("got %+v, want nothing looked at", got)
	}
}

func TestCoverageIsCompleteWhenEveryTargetWasLookedAt(t *testing.T) {
	for _, spec := range []Spec{owned("10.0.0.0/28"), without(owned("10.0.0.0/28", "2001:db8::/124"), "10.0.0.3-9")} {
		p := mustPlan(t, mustScope(t, spec), 1, 25, 465)
		c := NewCoverage(p)
		for i, a := range targets(t, p) {
			if c.Complete() {
				t.Fatalf("complete after %d of %d targets", i, p.Len())
			}
			c.Add(a, []State{Open, Closed, Filtered, Prohibited, Unreachable}[i%5])
		}
		if !c.Complete() {
			t.Errorf("not complete after all %d targets: %+v", p.Len(), c.Rows())
		}
	}
}

func TestCoverageGoesOnFromItsCounts(t *testing.T) {
	p := mustPlan(t, mustScope(t, without(owned("10.0.0.0/26", "2001:db8::/124"), "10.0.0.7")), 9, 25, 465)
	whole, first, second := NewCoverage(p), NewCoverage(p), NewCoverage(p)
	list := targets(t, p)
	state := func(i int) State { return State(i % len(stateNames)) }
	for i, a := range list {
		whole.Add(a, state(i))
		if i < len(list)/3 {
			first.Add(a, state(i))
		}
	}
	stored, err := json.Marshal(first.Counts())
	if err != nil {
		t.Fatal(err)
	}
	var counts [][]uint64
	if err := json.Unmarshal(stored, &counts); err != nil {
		t.Fatal(err)
	}
	if !second.Restore(counts) {
		t.Fatal("Restore refused the counts of the same plan")
	}
	if !reflect.DeepEqual(second.Rows(), first.Rows()) {
		t.Errorf("restored:\ngot  %+v\nwant %+v", second.Rows(), first.Rows())
	}
	counts[0][Open] = 1000 // a copy: ours no longer
	for i, a := range list[len(list)/3:] {
		second.Add(a, state(i+len(list)/3))
	}
	if !reflect.DeepEqual(second.Rows(), whole.Rows()) || !reflect.DeepEqual(second.Counts(), whole.Counts()) {
		t.Errorf("in two parts:\ngot  %+v\nwant %+v", second.Rows(), whole.Rows())
	}

	before := second.Counts()
	before[0][Open]++ // a copy too
	if reflect.DeepEqual(before, second.Counts()) {
		t.Error("Counts gave out its own memory")
	}
	for _, c := range []struct {
		name   string
		counts [][]uint64
	}{
		{"none", nil},
		{"of fewer prefixes or ports", counts[1:]},
		{"of other states, in the last row", append(slices.Clone(counts[:len(counts)-1]), []uint64{1})},
	} {
		was := second.Counts()
		if second.Restore(c.counts) {
			t.Errorf("counts %s: got them restored, want them refused", c.name)
		}
		if !reflect.DeepEqual(second.Counts(), was) {
			t.Errorf("counts %s: refused, yet they changed something", c.name)
		}
	}
}

func TestStatesAreWrittenByName(t *testing.T) {
	for state, name := range []string{"not-attempted", "open", "closed", "filtered", "prohibited", "unreachable", "failed"} {
		text, err := State(state).MarshalText()
		if err != nil || string(text) != name || State(state).String() != name {
			t.Errorf("%d: got %q, %v, want %q", state, text, err, name)
		}
		var back State
		if err := back.UnmarshalText(text); err != nil || back != State(state) {
			t.Errorf("%s: read back: got %v, %v", name, back, err)
		}
	}
	var s State
	if err := s.UnmarshalText([]byte("ajar")); err == nil || err.Error() != `unknown state "ajar"` {
		t.Errorf("ajar: got %v, want unknown state", err)
	}
}

// Rows of many single hosts are made in moderate time; there is no assertion, only the benchmark.
func BenchmarkRows(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	spec := owned()
	for range 20000 {
		a := netip.AddrFrom4([4]byte{10, byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
		spec.Include = append(spec.Include, Entry{Text: netipx.IPRangeFrom(a, a).From().String(), Where: "list"})
	}
	c := NewCoverage(mustPlan(b, mustScope(b, spec), 1, DefaultPorts()...))
	for b.Loop() {
		c.Rows()
	}
}
