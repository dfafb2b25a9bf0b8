package probe_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/probe/smtp"
	"relaysweep/probe/smtp/smtptest"
)

// What probes in flight may take: each one its part, and all of them together.
const (
	maxProbe = 64 << 10
	maxTotal = 1 << 30
)

// A thousand probes in flight bear their part: each in the middle of a dialogue with a server that no longer answers.
// With RELAYSWEEP_LOAD=10000 it is ten thousand, or as many as it says.
func TestLoad(t *testing.T) {
	n := probesInFlight(t, 1000)
	f := fakesFor(t, 1+n/500, "stalls")
	p := prober()
	p.Limits, p.Budget = smtp.Limits{Greeting: time.Hour, Reply: time.Hour, Handshake: time.Hour}, time.Hour
	inFlight(t, p, f.addrs, n, f.await)
}

// So does each that is at its end, in TLS, with all its attempts and transcripts.
func TestLoadAtTheEnd(t *testing.T) {
	n := probesInFlight(t, 200)
	f := fakesFor(t, 1+n/500, "closed")
	p := prober()
	p.Limits, p.Budget = smtp.Limits{Greeting: time.Hour, Reply: time.Hour, Handshake: time.Hour}, time.Hour
	arrived, released := make(chan bool, n), make(chan bool)
	var once sync.Once
	release := func() { once.Do(func() { close(released) }) }
	t.Cleanup(release)
	p.Before = func(_ discover.Target, _ netip.AddrPort, vector string) error {
		if vector == "I7" {
			arrived <- true
			<-released
		}
		return nil
	}
	inFlight(t, p, f.addrs, n, func(ctx context.Context, n int) int {
		context.AfterFunc(ctx, release)
		for i := range n {
			select {
			case <-arrived:
			case <-ctx.Done():
				return i
			}
		}
		return n
	})
}

func probesInFlight(t *testing.T, n int) int {
	t.Helper()
	if s := os.Getenv("RELAYSWEEP_LOAD"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 1 {
			t.Fatalf("RELAYSWEEP_LOAD is %q, want a number of probes", s)
		}
	}
	return n
}

// inFlight measures n probes that stand still. await returns how many do, n unless ctx ends first.
func inFlight(t *testing.T, p *probe.Prober, addrs []netip.AddrPort, n int, await func(ctx context.Context, n int) int) {
	t.Helper()
	p.Dialer = loopback.Dialer(netip.Addr{}, time.Minute)
	// The tables of package fingerprint and the pool of package net are not a probe's.
	if _, err := prober().Probe(t.Context(), opening(smtptest.Start(t, dialog(t, "closed-postfix")).Addr())); err != nil {
		t.Fatal(err)
	}
	debug.FreeOSMemory()
	cleared := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) == nil // the peak of what came before is not this one's
	heap, stack := used()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	ended := make(chan string, n)
	began := time.Now()
	for i := range n {
		wg.Go(func() {
			found, err := p.Probe(ctx, opening(addrs[i%len(addrs)]))
			if ctx.Err() == nil {
				ended <- fmt.Sprintf("%v, %s %s", err, found.Note, found.Cut)
				cancel()
			}
		})
	}
	there := await(ctx, n)
	took := time.Since(began)
	peak, told := peakRSS()
	h, s := used()
	cancel()
	wg.Wait()
	if there < n {
		select {
		case why := <-ended:
			t.Fatalf("%d of %d probes are in flight; the first that is not: %s", there, n, why)
		default:
			t.Fatalf("%d of %d probes are in flight", there, n)
		}
	}
	each, all := (h-heap+s-stack)/int64(n), h+s
	kib := func(b int64) float64 { return float64(b) / 1024 }
	t.Logf("%d probes in flight after %v: %.1f KiB each (%.1f heap, %.1f stack), %.1f MiB in all", n, took.Round(time.Millisecond), kib(each), kib((h-heap)/int64(n)), kib((s-stack)/int64(n)), kib(all)/1024)
	if raceDetector() {
		return // what it needs itself is more
	}
	if each > maxProbe {
		t.Errorf("%d bytes a probe, want at most %d", each, maxProbe)
	}
	if all > maxTotal {
		t.Errorf("%d bytes in all, want at most %d", all, maxTotal)
	}
	if told && cleared {
		t.Logf("peak RSS %.1f MiB", peak/1024)
		if peak*1024 > maxTotal {
			t.Errorf("a peak of %.0f MiB, want at most %d", peak/1024, maxTotal>>20)
		}
	}
}

// raceDetector reports whether this program was built with it.
func raceDetector() bool {
	b, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(b.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// fakesFor starts services in another process, so that their memory and their files do not count. Those that stall fall
// silent at the fifth recipient.
func fakesFor(t *testing.T, services int, kind string) *fakes {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", fakeServices, services, kind))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f := &fakes{out: bufio.NewScanner(out)}
	t.Cleanup(func() {
		in.Close()
		for f.out.Scan() { // until it ends
		}
		io.Copy(io.Discard, out)
		cmd.Wait()
	})
	f.out.Buffer(nil, 1<<20)
	if !f.out.Scan() {
		t.Fatal("the services did not start")
	}
	for a := range strings.FieldsSeq(f.out.Text()) {
		f.addrs = append(f.addrs, netip.MustParseAddrPort(a))
	}
	return f
}

// await returns how many connections are stalled, when they are n, or when ctx is over.
func (f *fakes) await(ctx context.Context, n int) (stalled int) {
	counts := make(chan int, 1<<16)
	go func() {
		for f.out.Scan() {
			now, _ := strconv.Atoi(f.out.Text())
			if counts <- now; now >= n {
				return
			}
		}
	}()
	for stalled < n {
		select {
		case stalled = <-counts:
		case <-ctx.Done():
			return stalled
		}
	}
	return stalled
}
