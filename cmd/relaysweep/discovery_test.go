package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"relaysweep/discover"
	"relaysweep/discover/discovertest"
	"relaysweep/probe"
	"relaysweep/ratelimit"
	"relaysweep/report"
)

// sweepFunc is a Sweeper.
type sweepFunc func(context.Context, *discover.Coverage) iter.Seq2[discover.Opening, error]

func (f sweepFunc) Sweep(ctx context.Context, cov *discover.Coverage) iter.Seq2[discover.Opening, error] {
	return f(ctx, cov)
}

// discovery is a scan that says nothing to what listens, of 10.0.0.0/30 on the ports 25 and 587, with an engine of the
// test's.
func discovery(t *testing.T, engine func(discover.EngineOptions) discover.Sweeper, change func(*settings)) *scanning {
	t.Helper()
	s := &settings{
		Scan: newScanID(), Started: time.Now().UTC(), Spec: discover.Spec{Targets: []discover.Entry{{Text: "10.0.0.0/30", Where: "target"}}}, Ports: []uint16{25, 587}, Seed: 1, Vantage: "internet",
		DiscoverOnly: true, StopAt: probe.Ready, Probes: 1, Outputs: outputs{Stdout: "json"},
	}
	if change != nil {
		change(s)
	}
	dir := t.TempDir()
	if s.Inventory != "" { // that of earlier scans
		dir = filepath.Dir(s.Inventory)
	}
	sc := &scanning{p: &program{strings.NewReader(""), new(bytes.Buffer), io.Discard}, talk: io.Discard, past: new(past), stateDir: dir, s: s}
	if err := sc.layOut(); err != nil {
		t.Fatal(err)
	}
	sc.engine = discover.Engine{Name: "syn", Why: "as the test asks", Sweeper: engine}
	if err := sc.openState(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sc.close)
	return sc
}

func codeOf(t *testing.T, err error) int {
	t.Helper()
	var e *exit
	switch {
	case err == nil:
		return exitDone
	case !errors.As(err, &e):
		t.Fatalf("got %v, which has no exit code", err)
	}
	return e.code
}

// network is an engine over a network in memory; what is not named is silent.
func network(hosts map[string]discover.State) func(discover.EngineOptions) discover.Sweeper {
	n := &discovertest.Network{Hosts: make(map[netip.AddrPort]discover.State)}
	for a, s := range hosts {
		n.Hosts[netip.MustParseAddrPort(a)] = s
	}
	return func(discover.EngineOptions) discover.Sweeper { return n }
}

func noteWith(r *report.Report, words string) bool {
	return slices.ContainsFunc(r.Scan.Notes, func(n string) bool { return strings.Contains(n, words) })
}

// Silence counts only where the known listener was seen.
func TestSelfTestDecidesWhatSilenceIsWorth(t *testing.T) {
	for _, c := range []struct {
		name     string
		listener discover.State
		exit     int
		filtered uint64 // of the four on port 25
	}{
		{"the listener is seen", discover.Open, exitDone, 3},
		{"the listener is silent too", discover.Filtered, exitIncomplete, 0},
		{"the listener is prohibited", discover.Prohibited, exitIncomplete, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			sc := discovery(t, network(map[string]discover.State{"10.0.0.1:25": c.listener, "10.0.0.2:587": discover.Open}), func(s *settings) {
				s.SelfTest = []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:25"), netip.MustParseAddrPort("10.0.0.2:587")}
			})
			if got := codeOf(t, sc.run(t.Context())); got != c.exit {
				t.Errorf("got exit code %d, want %d", got, c.exit)
			}
			for _, r := range sc.result.Coverage {
				switch want := c.filtered; {
				case r.Port == 587 && r.Filtered != 3:
					t.Errorf("port 587, whose listener was seen: %d filtered, want 3", r.Filtered)
				case r.Port == 25 && r.Filtered != want:
					t.Errorf("port 25: %d filtered, want %d: %v", r.Filtered, want, r.Reasons)
				case r.Port == 25 && want == 0 && r.NotAttempted == 0:
					t.Errorf("port 25: silence was believed: %+v", r)
				}
			}
		})
	}
}

// What was not believed is looked at again when the scan goes on, and believed once the listener is seen.
func TestDoubtIsForTheTimeBeing(t *testing.T) {
	listener := netip.MustParseAddrPort("10.0.0.1:25")
	n := &discovertest.Network{Hosts: map[netip.AddrPort]discover.State{}}
	sc := discovery(t, func(discover.EngineOptions) discover.Sweeper { return n }, func(s *settings) { s.SelfTest = []netip.AddrPort{listener} })
	if got := codeOf(t, sc.run(t.Context())); got != exitIncomplete {
		t.Fatalf("got exit code %d, want %d", got, exitIncomplete)
	}
	sc.close()

	n.Hosts[listener] = discover.Open // our own network lets port 25 out again
	j, err := openJournal(sc.journal.dir)
	if err != nil {
		t.Fatal(err)
	}
	then, err := j.read()
	if err != nil {
		t.Fatal(err)
	}
	again := &scanning{p: sc.p, talk: io.Discard, past: then, journal: j, stateDir: sc.stateDir, s: sc.s, closers: []io.Closer{j}}
	if err := again.layOut(); err != nil {
		t.Fatal(err)
	}
	again.engine = sc.engine
	if err := again.openState(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer again.close()
	if got := codeOf(t, again.run(t.Context())); got != exitDone {
		t.Errorf("got exit code %d, want %d", got, exitDone)
	}
	for _, r := range again.result.Coverage {
		if r.Port == 25 && (r.Open != 1 || r.Filtered != 3) || r.Port == 587 && r.Filtered != 4 {
			t.Errorf("got %+v", r)
		}
	}
	if got := n.Asked(netip.MustParseAddrPort("10.0.0.2:25")); got != 2 {
		t.Errorf("a silent target was asked %d times, want once more after the doubt", got)
	}
}

// Where nothing on port 25 answered, open or closed, nobody has shown that our own side lets it out.
func TestUncheckedPort25IsTold(t *testing.T) {
	for _, c := range []struct {
		name  string
		hosts map[string]discover.State
		told  bool
	}{
		{"all silent on port 25", map[string]discover.State{"10.0.0.1:587": discover.Closed}, true},
		{"a reset came from port 25", map[string]discover.State{"10.0.0.1:25": discover.Closed}, false},
	} {
		sc := discovery(t, network(c.hosts), nil)
		if got := codeOf(t, sc.run(t.Context())); got != exitDone {
			t.Fatalf("%s: got exit code %d, want %d", c.name, got, exitDone)
		}
		if got := noteWith(sc.result, "Nothing answered on port 25"); got != c.told {
			t.Errorf("%s: told %v, want %v: %q", c.name, got, c.told, sc.result.Scan.Notes)
		}
	}
}

// The network goes away for good: the scan ends incomplete, with what it has, and can go on.
func TestNetworkGoneIsIncomplete(t *testing.T) {
	sc := discovery(t, func(discover.EngineOptions) discover.Sweeper {
		return sweepFunc(func(_ context.Context, cov *discover.Coverage) iter.Seq2[discover.Opening, error] {
			return func(yield func(discover.Opening, error) bool) {
				for target := range cov.Ahead() {
					cov.Set(target.AddrPort(), discover.Open)
					yield(discover.Opening{Target: target}, nil)
					break
				}
				yield(discover.Opening{}, fmt.Errorf("%w: eth0 is down", discover.ErrNetworkGone))
			}
		})
	}, nil)
	err := sc.run(t.Context())
	if got := codeOf(t, err); got != exitIncomplete || !strings.Contains(err.Error(), "eth0 is down") {
		t.Errorf("got exit code %d, %v", got, err)
	}
	if len(sc.result.Entries) != 1 || sc.result.Scan.Complete || sc.result.Scan.Resume == "" {
		t.Errorf("got %d findings, complete %v, resume %q", len(sc.result.Entries), sc.result.Scan.Complete, sc.result.Scan.Resume)
	}
}

// A SYN proxy's answer is told, and each run of packets is in the audit log before it is sent.
func TestWhatTheSYNEngineTells(t *testing.T) {
	sc := discovery(t, func(o discover.EngineOptions) discover.Sweeper {
		return sweepFunc(func(_ context.Context, cov *discover.Coverage) iter.Seq2[discover.Opening, error] {
			return func(yield func(discover.Opening, error) bool) {
				if err := o.BeforePositions(1, 0, 8); err != nil {
					t.Error(err)
				}
				o.Counters.Dropped.Add(3)
				for target := range cov.Ahead() {
					cov.Set(target.AddrPort(), discover.Closed)
					if target.AddrPort().Port() == 25 {
						cov.Set(target.AddrPort(), discover.Open)
						yield(discover.Opening{Target: target, Hollow: true}, nil)
					}
				}
			}
		})
	}, nil)
	if got := codeOf(t, sc.run(t.Context())); got != exitDone {
		t.Fatalf("got exit code %d, want %d", got, exitDone)
	}
	for _, e := range sc.result.Entries {
		if !strings.Contains(e.Finding.Note, "a SYN proxy") {
			t.Errorf("%v: got %q", e.Finding.Addr, e.Finding.Note)
		}
	}
	if !noteWith(sc.result, "no room for 3 packets") {
		t.Errorf("got %q", sc.result.Scan.Notes)
	}
	b, err := os.ReadFile(filepath.Join(sc.stateDir, "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var run auditRun
	if err := json.Unmarshal(b, &run); err != nil {
		t.Fatal(err)
	}
	if run.Time = (time.Time{}); run != (auditRun{Scan: sc.s.Scan, Vantage: "internet", Vector: "syn", Seed: 1, Pass: 1, To: 8}) {
		t.Errorf("got %+v", run)
	}
}

// No service is begun in quiet hours; an interrupt ends the wait.
func TestServicesWaitForTheEndOfQuietHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		hours, err := ratelimit.ParseHours(start.Add(-time.Hour).Format("15:04") + "-" + start.Add(2*time.Hour).Format("15:04"))
		if err != nil {
			t.Fatal(err)
		}
		sc := &scanning{limiter: ratelimit.New(ratelimit.Rates{Quiet: hours})}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		sc.awaitWindow(ctx)
		if got := time.Since(start); got != time.Hour {
			t.Errorf("interrupted: waited %v, want %v", got, time.Hour)
		}
		sc.awaitWindow(t.Context())
		if got := time.Since(start); got != 2*time.Hour {
			t.Errorf("waited %v, want %v", got, 2*time.Hour)
		}
		sc.awaitWindow(t.Context())
		if got := time.Since(start); got != 2*time.Hour {
			t.Errorf("waited until %v after the start, and the hours are over", got)
		}
	})
}
