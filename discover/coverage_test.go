package discover

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go4.org/netipx"
)

// sum is all that a row counts.
func (r CoverageRow) sum() uint64 { return r.Looked() + r.Failed + r.NotAttempted }

// randomPlan is a plan with the addresses that its scope includes, those of them that it leaves, and those of which all
// ports are tried.
func randomPlan(t *testing.T, r *rand.Rand, allPorts bool) (p *Plan, included, left, wide []netip.Addr) {
	t.Helper()
	var spec Spec
	for len(left) == 0 {
		spec, included, left = randomSpec(r)
	}
	ports := []uint16{25, 465, 587, 2525, 65535}
	r.Shuffle(len(ports), func(i, k int) { ports[i], ports[k] = ports[k], ports[i] })
	p = mustPlan(t, mustScope(t, spec), r.Uint64(), ports[:1+r.IntN(len(ports))]...)
	if !allPorts {
		return p, included, left, nil
	}
	var hosts []Entry
	for range 1 + r.IntN(2) {
		a := left[r.IntN(len(left))]
		hosts = append(hosts, Entry{a.String(), "all-ports"})
		if !slices.Contains(wide, a) {
			wide = append(wide, a)
		}
	}
	slices.SortFunc(wide, netip.Addr.Compare)
	p, err := p.AllPorts(hosts)
	if err != nil {
		t.Fatal(err)
	}
	return p, included, left, wide
}

// randomCoverage is a coverage with random states, up to a random moment of a random pass, and the same told one by one.
func randomCoverage(r *rand.Rand, p *Plan) (c *Coverage, want map[netip.AddrPort]State, passed map[netip.AddrPort]bool) {
	c = NewCoverage(p)
	want, passed = make(map[netip.AddrPort]State), make(map[netip.AddrPort]bool)
	passes := uint64(1 + r.IntN(3))
	c.begin(passes)
	pass, position := uint64(r.IntN(int(passes)+1)), uint64(0)
	if pass < passes {
		position = r.Uint64N(p.Len() + 1)
	}
	c.advance(pass, position)
	quiet := r.IntN(2) == 0 // most say nothing
	for i := range p.Len() {
		a := p.endpoint(p.index(i))
		if pass == passes || pass == passes-1 && i < position {
			want[a] = Filtered
		}
		if pass == 0 && i >= position || quiet && r.IntN(100) > 0 {
			continue
		}
		for range 1 + r.IntN(2) { // the last one counts
			switch s := State(r.IntN(len(stateNames))); s {
			case NotAttempted:
			default:
				c.Set(a, s)
				want[a] = s
				delete(passed, a)
			}
		}
		if r.IntN(5) == 0 && want[a] == NotAttempted {
			c.Pass(a)
			passed[a] = true
		}
	}
	return c, want, passed
}

// The rows are what counting one address after the other gives: with shards, with all ports of some hosts, and after an
// end at any moment.
func TestRowsAddUp(t *testing.T) {
	r := seeded(t)
	for n := range 90 {
		p, included, left, wide := randomPlan(t, r, n%30 == 0)
		if r.IntN(2) == 0 {
			of := 1 + r.Uint64N(min(7, p.Len()))
			var err error
			if p, err = p.Shard(1+r.Uint64N(of), of); err != nil {
				t.Fatal(err)
			}
		}
		c, want, passed := randomCoverage(r, p)
		doubted := uint16(0)
		if r.IntN(3) == 0 {
			doubted = p.ports[0]
			c.Doubt(doubted, "no-self-test")
		}
		ours := make(map[netip.AddrPort]bool)
		for i := range p.Len() {
			ours[p.endpoint(p.index(i))] = true
		}
		naive := func(prefix netip.Prefix, port uint16, all, in []netip.Addr) (row CoverageRow) {
			row = CoverageRow{Prefix: prefix, Port: port, Reasons: map[string]uint64{}}
			var counts [len(stateNames)]uint64
			why := func(reason string) { row.NotAttempted++; row.Reasons[reason]++ }
			for _, a := range all {
				if !prefix.Contains(a) {
					continue
				}
				ap := netip.AddrPortFrom(a, port)
				_, isIn := slices.BinarySearchFunc(in, a, netip.Addr.Compare)
				state := want[ap]
				switch {
				case !isIn:
					why("excluded")
				case !ours[ap]:
					why("other-shard")
				case passed[ap]:
					why(passedOver)
				case state == NotAttempted:
					why("interrupted")
				case state == Filtered && port == doubted:
					why("no-self-test")
				default:
					counts[state]++
				}
			}
			row.Open, row.Closed, row.Filtered, row.Prohibited, row.Unreachable, row.Failed = counts[Open], counts[Closed], counts[Filtered], counts[Prohibited], counts[Unreachable], counts[Failed]
			return row
		}
		var rows []CoverageRow
		for _, prefix := range p.scope.Prefixes() {
			for _, port := range p.ports {
				rows = append(rows, naive(prefix, port, included, left))
			}
		}
		if p.wide != nil {
			for _, prefix := range p.wide.Prefixes() {
				for _, port := range p.rest {
					rows = append(rows, naive(prefix, port, wide, wide))
				}
			}
		}
		got := c.Rows()
		if len(got) != len(rows) {
			t.Fatalf("got %d rows, want %d", len(got), len(rows))
		}
		complete := c.Swept()
		for i, row := range rows {
			if !reflect.DeepEqual(got[i], row) {
				t.Fatalf("shard %d of %d: got %+v, want %+v", p.shard+1, p.shards, got[i], row)
			}
			if row.sum() != prefixLen(row.Prefix) {
				t.Fatalf("%v port %d: got a sum of %d, want %d addresses", row.Prefix, row.Port, row.sum(), prefixLen(row.Prefix))
			}
			complete = complete && row.Failed+row.Reasons["interrupted"]+row.Reasons["no-self-test"] == 0
		}
		if c.Complete() != complete {
			t.Fatalf("complete: got %v, want %v", c.Complete(), complete)
		}
	}
}

// Openings are exactly what is open, and States all there is.
func TestOpeningsAndStatesAreWhatWasSeen(t *testing.T) {
	r := seeded(t)
	for n := range 90 {
		p, _, _, _ := randomPlan(t, r, n%10 == 0)
		of := 1 + r.Uint64N(min(5, p.Len()))
		p, err := p.Shard(1+r.Uint64N(of), of)
		if err != nil {
			t.Fatal(err)
		}
		c, want, _ := randomCoverage(r, p)
		open := make(map[netip.AddrPort]bool)
		position := uint64(0)
		for a, s := range c.States() {
			if at := p.endpoint(p.index(position)); a != at || s != want[a] || c.State(a) != s {
				t.Fatalf("position %d: got %v %v, and asked for it %v, want %v %v", position, a, s, c.State(a), at, want[a])
			}
			if position++; s == Open {
				open[a] = true
			}
		}
		if position != p.Len() {
			t.Fatalf("got %d states, want %d", position, p.Len())
		}
		last, found := uint64(0), 0
		for a := range c.Openings() {
			i, _ := p.indexOf(a)
			if !open[a] || found > 0 && i <= last {
				t.Fatalf("%v is not open, or came out of turn", a)
			}
			last, found = i, found+1
		}
		if found != len(open) || c.Opened() != uint64(found) {
			t.Fatalf("got %d openings, counted as %d, want %d", found, c.Opened(), len(open))
		}
		for range c.Openings() {
			break // a caller may stop
		}
		for range c.States() {
			break
		}
	}
}

// Law 2: not looked is not closed.
func TestOnlyAResetCountsAsClosed(t *testing.T) {
	p := mustPlan(t, mustScope(t, owned("10.0.0.1")), 1, 25)
	for state := range State(len(stateNames)) {
		c := NewCoverage(p)
		for target := range c.Ahead() {
			c.Set(target.AddrPort(), state)
		}
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
		a := netip.MustParseAddrPort(a)
		c.Set(a, Open)
		c.Pass(a)
		c.Forget(a)
		if s := c.State(a); s != NotAttempted {
			t.Errorf("%v: got %v, want %v", a, s, NotAttempted)
		}
	}
	if got := c.Rows()[0]; got.Open != 0 || got.Reasons["interrupted"] != 1 || c.Opened() != 0 {
		t.Errorf("got %+v, want nothing looked at", got)
	}
}

// What another shard looks at is not known here, not even when ours is done.
func TestCoverageLeavesOutOtherShards(t *testing.T) {
	whole := mustPlan(t, mustScope(t, owned("10.0.0.0/28")), 1, 25)
	ours, err := whole.Shard(2, 3)
	if err != nil {
		t.Fatal(err)
	}
	c := NewCoverage(ours)
	mine := make(map[netip.AddrPort]bool)
	for target := range c.Ahead() {
		c.Set(target.AddrPort(), Closed)
		mine[target.AddrPort()] = true
	}
	for _, a := range targets(t, whole) {
		if !mine[a] {
			c.Set(a, Open)
		}
		if want := map[bool]State{true: Closed, false: NotAttempted}[mine[a]]; c.State(a) != want {
			t.Errorf("%v: got %v, want %v", a, c.State(a), want)
		}
	}
	if row := c.Rows()[0]; row.Closed != 5 || row.NotAttempted != 11 || row.Reasons["other-shard"] != 11 || !c.Complete() {
		t.Errorf("got %+v, want the 5 of our shard closed, and complete", row)
	}
}

func TestCoverageIsCompleteWhenEveryTargetWasLookedAt(t *testing.T) {
	for _, spec := range []Spec{owned("10.0.0.0/28"), without(owned("10.0.0.0/28", "2001:db8::/124"), "10.0.0.3-9")} {
		p := mustPlan(t, mustScope(t, spec), 1, 25, 465)
		c := NewCoverage(p)
		i := 0
		for target := range c.Ahead() {
			if c.Complete() {
				t.Fatalf("complete after %d of %d targets", i, p.Len())
			}
			c.Set(target.AddrPort(), []State{Open, Closed, Filtered, Prohibited, Unreachable}[i%5])
			i++
		}
		if !c.Complete() {
			t.Errorf("not complete after all %d targets: %+v", p.Len(), c.Rows())
		}
	}
}

// told is all that a coverage tells.
func told(c *Coverage) string {
	var b strings.Builder
	for a, s := range c.States() {
		fmt.Fprintln(&b, a, s)
	}
	pass, of := c.Passes()
	fmt.Fprintln(&b, c.Rows(), slices.Collect(c.Openings()), c.Opened(), c.Sent(), c.Looked(), pass, of, c.Swept(), c.Complete(), c.ExpectedMissed())
	return b.String()
}

// Wherever it is closed, a coverage in a file goes on where it was.
func TestCoverageInAFileGoesOn(t *testing.T) {
	p := mustPlan(t, mustScope(t, without(owned("10.0.0.0/26", "2001:db8::/124"), "10.0.0.7")), 9, 25, 465)
	name := filepath.Join(t.TempDir(), "states")
	whole := NewCoverage(p)
	next := func(c *Coverage, n int) {
		for target := range c.Ahead() {
			if n--; n < 0 {
				return
			}
			index, _ := p.indexOf(target.AddrPort())
			c.Set(target.AddrPort(), []State{Open, Closed, Filtered, Prohibited, Unreachable}[index%5])
			c.addSent(1)
			c.answered(1, index%7 == 0)
		}
	}
	for step := 0; !whole.Swept(); step++ {
		c, err := OpenCoverage(p, name)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := told(c), told(whole); got != want {
			t.Fatalf("opened for the %dth time:\ngot  %s\nwant %s", step+1, got, want)
		}
		next(c, 7)
		next(whole, 7)
		if step%2 == 0 { // else it is left as a process leaves it that is killed
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			t.Cleanup(func() { c.file.close() })
			if err := c.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !whole.Complete() {
		t.Error("it is not complete")
	}
	if err := whole.Close(); err != nil { // in memory: nothing to do
		t.Error(err)
	}
}

func TestCoverageOfAnotherPlanIsRefused(t *testing.T) {
	s := mustScope(t, owned("10.0.0.0/28"))
	p := mustPlan(t, s, 1, 25, 465)
	must := func(p *Plan, err error) *Plan {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	name := filepath.Join(t.TempDir(), "states")
	c, err := OpenCoverage(p, name)
	if err != nil {
		t.Fatal(err)
	}
	c.Set(c.plan.endpoint(3), Open)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		plan *Plan
	}{
		{"another seed", mustPlan(t, s, 2, 25, 465)},
		{"other ports, as many", mustPlan(t, s, 1, 25, 587)},
		{"fewer ports", mustPlan(t, s, 1, 25)},
		{"other addresses, as many", mustPlan(t, mustScope(t, owned("10.0.0.16/28")), 1, 25, 465)},
		{"more addresses", mustPlan(t, mustScope(t, owned("10.0.0.0/24")), 1, 25, 465)},
		{"an exclusion in the middle", mustPlan(t, mustScope(t, without(owned("10.0.0.0/28", "10.0.1.1"), "10.0.0.3")), 1, 25, 465)},
		{"a shard", must(p.Shard(1, 2))},
		{"all ports of a host", must(p.AllPorts(entries("all-ports", "10.0.0.3")))},
	} {
		if got, err := OpenCoverage(c.plan, name); got != nil || !errors.Is(err, errOtherPlan) || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("%s: got %v, %v, want %v", c.name, got, err, errOtherPlan)
		}
		if after, err := os.ReadFile(name); err != nil || !bytes.HasPrefix(after, before) {
			t.Errorf("%s: refused, yet the file was changed: %v", c.name, err)
		}
	}
	if c, err = OpenCoverage(p, name); err != nil || c.Opened() != 1 {
		t.Fatalf("its own: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// A file that was not closed, from before the machine went down, may hold any part of what was written: it counts for
// nothing. One that a process left that was killed is whole.
func TestCoverageAfterTheMachineWentDown(t *testing.T) {
	p := mustPlan(t, mustScope(t, owned("10.0.0.0/26")), 1, 25, 465)
	for _, c := range []struct {
		name           string
		written, later uint64 // boot ids
		closed         bool
		kept           bool
	}{
		{"killed", 1, 1, false, true},
		{"the machine went down", 1, 2, false, false},
		{"closed before the machine went down", 1, 2, true, true},
		{"nobody can tell", 0, 0, false, false},
		{"nobody can tell, closed", 0, 0, true, true},
	} {
		name := filepath.Join(t.TempDir(), "states")
		first, err := openCoverage(p, name, c.written)
		if err != nil {
			t.Fatal(err)
		}
		for target := range first.Ahead() {
			first.Set(target.AddrPort(), Unreachable)
			first.addSent(1)
		}
		want := told(first)
		if c.closed {
			err = first.Close()
		} else {
			t.Cleanup(func() { first.file.close() })
			err = first.Sync()
		}
		if err != nil {
			t.Fatal(err)
		}
		if !c.kept {
			want = told(NewCoverage(p))
		}
		second, err := openCoverage(p, name, c.later)
		if err != nil {
			t.Fatal(err)
		}
		if got := told(second); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, want)
		}
		if err := second.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Whoever is killed while a file is begun anew, or before it has its head, comes to it again.
func TestCoverageBegunAnewIsEmptyAfterAKillToo(t *testing.T) {
	p := mustPlan(t, mustScope(t, owned("10.0.0.0/26")), 1, 25)
	name := filepath.Join(t.TempDir(), "states")
	// What the kernel writes back first, when the power fails, may be anything but the head: the head is on disk before.
	c, err := openCoverage(p, name, 1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < 8*headWords || binary.NativeEndian.Uint64(b) != coverageMagic || binary.NativeEndian.Uint64(b[8*headBoot:]) != 1 || binary.NativeEndian.Uint64(b[8*headClean:]) != 0 {
		t.Errorf("the head is not on disk")
	}
	c.Set(p.endpoint(1), Open)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	// Where the position makes no sense, nothing does.
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(binary.NativeEndian.AppendUint64(nil, p.Len()+1), 8*headPosition)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if c, err = openCoverage(p, name, 1); err != nil {
		t.Fatal(err)
	}
	if got, want := told(c), told(NewCoverage(p)); got != want {
		t.Errorf("got %s, want it empty", got)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// A write that a kill cuts in two shows nothing that was not seen: it leaves a target that is tried again.
func TestAStateThatIsHalfWrittenIsTriedAgain(t *testing.T) {
	p := mustPlan(t, mustScope(t, owned("10.0.0.1")), 1, 25)
	for s := range State(len(stateNames)) {
		c := NewCoverage(p)
		code := codeOf[s]
		if s == NotAttempted {
			code = codePassed
		}
		if code>>2 == 0 {
			continue // one word alone
		}
		c.setThird(0, code>>2) // as swap begins
		if got := c.state(0, true); got != Failed {
			t.Errorf("%v, half written: got %v, want %v", s, got, Failed)
		}
	}
}

// The room for a whole plan is taken on disk when the coverage is opened, not later.
func TestCoverageTakesItsRoomAtOnce(t *testing.T) {
	p := mustPlan(t, mustScope(t, owned("10.0.0.0/12")), 1, 25)
	name := filepath.Join(t.TempDir(), "states")
	c, err := OpenCoverage(p, name)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(8*headWords + 3*(1<<20)/8); info.Size() != want {
		t.Errorf("got %d bytes, want %d", info.Size(), want)
	}
	if _, err := OpenCoverage(p, filepath.Join(t.TempDir(), "missing", "states")); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "the scan's state cannot be stored: ") {
		t.Errorf("in a folder that is missing: %v", err)
	}
}

func TestSetPassForget(t *testing.T) {
	p := mustPlan(t, mustScope(t, owned("10.0.0.0/28")), 1, 25)
	c := NewCoverage(p)
	asked := 0
	sweep := func() {
		for target := range c.Ahead() {
			c.Set(target.AddrPort(), Closed)
			asked++
		}
	}
	list := targets(t, p)
	first, second := list[0], list[1]
	c.Pass(first)
	c.Set(second, Open)
	c.Pass(second) // it has shown something, which is kept
	sweep()
	if asked != 14 || c.State(first) != NotAttempted || c.State(second) != Open || c.State(list[2]) != Closed || !c.Complete() {
		t.Errorf("%d asked, %v", asked, told(c))
	}
	for _, a := range []netip.AddrPort{second, list[5]} {
		c.Forget(a)
		if c.State(a) != NotAttempted || c.Swept() || c.Complete() {
			t.Errorf("%v is forgotten: %v", a, told(c))
		}
	}
	if c.Opened() != 0 || len(slices.Collect(c.Openings())) != 0 {
		t.Errorf("%d are counted as open", c.Opened())
	}
	sweep()
	if asked != 16 || !c.Complete() || c.State(second) != Closed || c.State(first) != NotAttempted {
		t.Errorf("%d asked, %v", asked, told(c))
	}
	sweep()
	if asked != 16 {
		t.Errorf("what is known was asked again")
	}
}

// Of several passes only the last makes silence an answer, and what failed or is forgotten waits for it: a pass that is
// under way is not cut short.
func TestPassesGoOn(t *testing.T) {
	p := mustPlan(t, mustScope(t, owned("10.0.0.0/28")), 1, 25)
	list := targets(t, p)
	for _, tt := range []struct {
		pass, position    uint64 // where it is when something failed
		toPass, position2 uint64
	}{{0, 0, 0, 0}, {0, 9, 0, 9}, {1, 0, 1, 0}, {1, 9, 1, 9}, {2, 0, 2, 0}, {2, 9, 2, 0}, {3, 0, 2, 0}} {
		for _, what := range []string{"failed", "forgotten"} {
			c := NewCoverage(p)
			c.begin(3)
			c.advance(tt.pass, tt.position)
			c.Set(list[3], Failed)
			if what == "failed" {
				c.begin(3)
			} else {
				c.Forget(list[3])
			}
			if pass, position := c.cursor(); pass != tt.toPass || position != tt.position2 {
				t.Errorf("%s at %d of pass %d: got %d of %d, want %d of %d", what, tt.position, tt.pass, position, pass, tt.position2, tt.toPass)
			}
			if s := c.State(list[3]); s != NotAttempted {
				t.Errorf("%s at %d of pass %d: got %v, want %v", what, tt.position, tt.pass, s, NotAttempted)
			}
		}
	}
}

// Ahead goes on behind what was asked. A target that was not asked is the next again.
func TestAhead(t *testing.T) {
	p := mustPlan(t, mustScope(t, owned("10.0.0.0/28")), 4, 25)
	c := NewCoverage(p)
	var got []netip.AddrPort
	for i := 0; !c.Swept(); i++ {
		for target := range c.Ahead() {
			got = append(got, target.AddrPort())
			if i%3 == 0 {
				got = got[:len(got)-1]
				break // without an answer
			}
			c.Set(target.AddrPort(), State(1+i%5))
			if i%2 == 0 {
				break
			}
		}
		if i > 1000 {
			t.Fatal("it does not get on")
		}
	}
	if want := targets(t, p); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for range c.Ahead() {
		t.Error("there is nothing left")
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

// Silence that was met while nothing could be heard is no answer: it is looked at again, on the ports in doubt alone.
func TestReconsider(t *testing.T) {
	p := mustPlan(t, mustScope(t, owned("10.0.0.0/30")), 1, 25, 465)
	c := NewCoverage(p)
	for target := range c.Ahead() {
		a := target.AddrPort()
		c.Set(a, []State{Filtered, Closed}[a.Addr().As4()[3]%2])
	}
	if !c.Complete() {
		t.Fatal("not complete")
	}
	c.Reconsider(func(port uint16) bool { return port == 25 })
	var again []string
	for target := range c.Ahead() {
		again = append(again, target.String())
		c.Set(target.AddrPort(), Open)
	}
	slices.Sort(again)
	if want := []string{"10.0.0.0:25", "10.0.0.2:25"}; !slices.Equal(again, want) {
		t.Errorf("looked again at %v, want %v", again, want)
	}
	c.Doubt(465, "not heard")
	for _, r := range c.Rows() {
		if r.Port == 465 && (r.Filtered != 0 || r.Reasons["not heard"] != 2) || r.Port == 25 && r.Open != 2 {
			t.Errorf("got %+v", r)
		}
	}
	if c.Complete() {
		t.Error("complete, with silence that is not believed")
	}
}
