package inventory

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"relaysweep/probe"
)

// stored are the endpoints of the findings of a scan, and how often each is there.
func stored(t *testing.T, s *Store, scan string) map[string]int {
	t.Helper()
	out := make(map[string]int)
	i, err := s.Find(t.Context(), scan)
	if err != nil {
		t.Fatal(err)
	}
	findings, _, err := s.Findings(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	for i := range findings {
		out[findings[i].Addr.String()]++
	}
	r, err := s.Read(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if len(r.Input.Findings) != len(findings) {
		t.Errorf("%d findings with evidence, %d are read for a report", len(findings), len(r.Input.Findings))
	}
	return out
}

// whole holds that a database has no fault.
func whole(t *testing.T, s *Store) {
	t.Helper()
	if s.postgres {
		return
	}
	var said string
	if err := s.db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&said); err != nil || said != "ok" {
		t.Errorf("integrity_check: %s, %v", said, err)
	}
}

// kills is how often a process is killed: RELAYSWEEP_KILLS.
func kills(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("RELAYSWEEP_KILLS"))
	if err != nil {
		return 20
	}
	return n
}

// Law 8: what Add returned for is there after kill -9 at any moment, from the making of the inventory on.
func TestNothingStoredIsLostByAKill(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		const each, inventories = 1000, 10 // a new inventory after so many kills: it is killed while it is made, too
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		acknowledged, killed, added := make(map[string]bool), 0, 0
		first := name
		for n := range kills(t) {
			if n%inventories == 0 && n > 0 {
				clear(acknowledged)
				if name = first + strconv.Itoa(n); IsURL(first) {
					name = running.fresh(t)
				}
			}
			c := startChild(t, "add", adding{Inventory: name, Scan: "killed", First: n * each, Count: each, Writers: 8, Start: at(1)})
			// Every other one while it begins, the others while they write.
			kill := func() { c.Process.Kill() }
			timer := time.AfterFunc(time.Duration(random.IntN(200))*time.Millisecond, kill)
			after := 0
			if n%2 == 1 {
				timer.Stop()
				after = 1 + random.IntN(60)
			}
			for c.out.Scan() {
				if after--; after == 0 {
					kill()
				}
				switch line := c.out.Text(); {
				case strings.HasPrefix(line, "error:"):
					t.Fatalf("kill %d, seed %d: %s", n, seed, line)
				case line != "done":
					acknowledged[line] = true
					added++
				}
			}
			c.Wait()
			timer.Stop()
			if c.ProcessState.ExitCode() == -1 {
				killed++
			}
			s := open(t, name)
			whole(t, s)
			if _, err := s.Find(t.Context(), "killed"); err == nil {
				there := stored(t, s, "killed")
				for a := range acknowledged {
					if there[a] != 1 {
						t.Fatalf("kill %d, seed %d: %s was stored, and is there %d times", n, seed, a, there[a])
					}
				}
			} else if len(acknowledged) > 0 {
				t.Fatalf("kill %d, seed %d: %v", n, seed, err)
			}
			s.Close()
		}
		if killed == 0 || added == 0 {
			t.Errorf("%d processes were killed and %d findings were stored: nothing was shown", killed, added)
		}
		t.Logf("%d killed, %d findings", killed, added)
	})
}

// Both look at the same endpoints from the same vantage. Whichever is stored first, the earlier look is first seen.
func TestTwoProcessesWriteAtOnce(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		const n = 400
		// They make the inventory, both at once.
		both := []*child{
			startChild(t, "add", adding{Inventory: name, Scan: "one", Count: n, Writers: 8, Start: at(1), Times: []int{1, 4, 5}, Wait: true}),
			startChild(t, "add", adding{Inventory: name, Scan: "two", Count: n, Writers: 8, Start: at(1), Times: []int{2, 3, 5}, Wait: true}),
		}
		for _, c := range both {
			fmt.Fprintln(c.in)
		}
		for i, c := range both {
			if lines := c.lines(); len(lines) != n+1 || lines[n] != "done" {
				t.Fatalf("process %d: %d lines, the last is %q", i, len(lines), lines[max(0, len(lines)-1):])
			}
		}
		s := open(t, name)
		whole(t, s)
		for _, scan := range []string{"one", "two"} {
			for a, k := range stored(t, s, scan) {
				if k != 1 {
					t.Errorf("%s: %s is there %d times", scan, a, k)
				}
			}
			if k := len(stored(t, s, scan)); k != n {
				t.Errorf("%s: got %d findings, want %d", scan, k, n)
			}
		}
		for e := range n {
			looks, err := s.History(t.Context(), "", endpointAt(e))
			if err != nil || len(looks) != 2 {
				t.Fatalf("got %d looks at %s, %v", len(looks), endpointAt(e), err)
			}
			for _, l := range looks {
				if l.FirstSeen != looks[0].At || l.LastSeen != l.At || l.LastChecked != l.At || l.Found == nil {
					t.Fatalf("%s at %s: first %s, last %s, checked %s: want first %s", l.Addr, l.At, l.FirstSeen, l.LastSeen, l.LastChecked, looks[0].At)
				}
			}
		}
	})
}

// Several processes make the same inventory again and again: each finds it whole.
func TestProcessesThatMakeAnInventoryAtOnce(t *testing.T) {
	const rounds, processes = 3, 4
	databases(t, func(t *testing.T, name string) {
		for round := range rounds {
			name := name
			if IsURL(name) {
				name = running.fresh(t)
			} else {
				name += strconv.Itoa(round)
			}
			var all []*child
			for i := range processes {
				all = append(all, startChild(t, "add", adding{Inventory: name, Scan: strconv.Itoa(i), Count: 1, Writers: 1, Start: at(i), Wait: true}))
			}
			for _, c := range all {
				fmt.Fprintln(c.in)
			}
			for i, c := range all {
				if lines := c.lines(); len(lines) != 2 || lines[1] != "done" {
					t.Errorf("round %d: process %d: %q", round, i, lines)
				}
			}
			looks, err := open(t, name).History(t.Context(), "", endpointAt(0))
			if err != nil || len(looks) != processes || looks[processes-1].FirstSeen != at(0) || looks[0].Judged.Verdict != probe.Accepted {
				t.Errorf("round %d: got %d looks, %v", round, len(looks), err)
			}
		}
	})
}
