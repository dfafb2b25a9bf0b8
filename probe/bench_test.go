package probe_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"relaysweep/probe"
	"relaysweep/probe/smtp"
	"relaysweep/ratelimit"
)

// replyTime is how long the fakes of the benchmarks take for everything.
const replyTime = 20 * time.Millisecond

// mailer is a fake mail server that costs little: it knows its verbs, waits, and counts.
type mailer struct {
	delay time.Duration
	open  bool // it relays
	stall int  // the recipient that is never answered; 0: all are
	tls   *tls.Config

	connections, commands, handshakes, stalled atomic.Int64
}

func newMailer(open bool, stall int) *mailer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.org.example"}, NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &mailer{delay: replyTime, open: open, stall: stall, tls: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}}
}

// serve takes connections until the listener is closed, and waits for them.
func (m *mailer) serve(l net.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		wg.Go(func() { defer c.Close(); m.talk(c) })
	}
}

func (m *mailer) talk(c net.Conn) {
	m.connections.Add(1)
	in := bufio.NewReaderSize(c, 512)
	say := func(s string) bool {
		time.Sleep(m.delay)
		_, err := io.WriteString(c, s)
		return err == nil
	}
	if !say("220 mx.org.example ESMTP Postfix\r\n") {
		return
	}
	inTLS, rcpts := false, 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		m.commands.Add(1)
		reply := "250 2.0.0 Ok\r\n"
		switch verb := strings.ToUpper(string(line[:min(4, len(line))])); verb {
		case "EHLO":
			reply = "250-mx.org.example\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250-STARTTLS\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n"
			if inTLS {
				reply = strings.Replace(reply, "250-STARTTLS\r\n", "", 1)
			}
		case "RCPT":
			if rcpts++; rcpts == m.stall {
				m.stalled.Add(1)
				io.Copy(io.Discard, c)
				return
			}
			if !m.open || strings.Contains(string(line), "@org.example>") {
				reply = "454 4.7.1 <somebody@example.net>: Relay access denied\r\n"
			}
		case "DATA":
			reply = "354 End data with <CR><LF>.<CR><LF>\r\n"
		case "STAR":
			if !say("220 2.0.0 Ready to start TLS\r\n") {
				return
			}
			in.Peek(1) // the hello
			time.Sleep(m.delay)
			t := tls.Server(&ahead{c, in}, m.tls)
			if t.Handshake() != nil {
				return
			}
			m.handshakes.Add(1)
			c, in, inTLS = t, bufio.NewReaderSize(t, 512), true
			continue
		case "QUIT":
			say("221 2.0.0 Bye\r\n")
			return
		}
		if !say(reply) {
			return
		}
	}
}

// ahead is a connection of which a part was read.
type ahead struct {
	net.Conn
	in *bufio.Reader
}

func (a *ahead) Read(b []byte) (int, error) { return a.in.Read(b) }

// The environment of the other process: how many services, and what kind, as in "1000 closed".
const fakeServices = "RELAYSWEEP_TEST_FAKES"

// serveFakes is the other process: it prints the addresses of its services, then the number of stalled connections
// whenever it changes, until its input ends.
func serveFakes() {
	var n int
	var kind string
	fmt.Sscan(os.Getenv(fakeServices), &n, &kind)
	stall := 0
	if kind == "stalls" {
		stall = 5
	}
	m := newMailer(kind == "open", stall)
	var addrs []string
	for range n {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go m.serve(l)
		addrs = append(addrs, l.Addr().String())
	}
	fmt.Println(strings.Join(addrs, " "))
	go func() {
		for last := int64(0); ; time.Sleep(10 * time.Millisecond) {
			if now := m.stalled.Load(); now != last {
				fmt.Println(now)
				last = now
			}
		}
	}()
	io.Copy(io.Discard, os.Stdin)
}

// fakes are services in another process, so that their memory does not count.
type fakes struct {
	addrs []netip.AddrPort
	out   *bufio.Scanner
}

func startFakes(b *testing.B, n int, kind string) *fakes {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", fakeServices, n, kind))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	f := &fakes{out: bufio.NewScanner(out)}
	b.Cleanup(func() {
		in.Close()
		io.Copy(io.Discard, out)
		cmd.Wait()
	})
	f.out.Buffer(nil, 1<<20)
	if !f.out.Scan() {
		b.Fatal("the fakes did not start")
	}
	for a := range strings.FieldsSeq(f.out.Text()) {
		f.addrs = append(f.addrs, netip.MustParseAddrPort(a))
	}
	return f
}

// awaitStalled returns when n connections are stalled.
func (f *fakes) awaitStalled(n int) {
	for f.out.Scan() {
		if now, _ := strconv.Atoi(f.out.Text()); now >= n {
			return
		}
	}
}

// BenchmarkService probes one service with the whole table. What it cannot be faster than is one reply time for each
// greeting, command and handshake, one after the other: x-floor is how many times as long it took.
func BenchmarkService(b *testing.B) {
	for _, kind := range []string{"closed", "open"} {
		b.Run(kind, func(b *testing.B) {
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			m := newMailer(kind == "open", 0)
			var wg sync.WaitGroup
			wg.Go(func() { m.serve(l) })
			defer wg.Wait()
			defer l.Close()
			p := prober()
			attempts := 0
			for b.Loop() {
				f, err := p.Probe(b.Context(), opening(l.Addr().(*net.TCPAddr).AddrPort()))
				if err != nil {
					b.Fatal(err)
				}
				if left := unanswered(f); len(left) > 0 || f.Cut != "" {
					b.Fatalf("no answer to %v, %s", left, f.Cut)
				}
				attempts += len(f.Attempts)
			}
			n := float64(b.N)
			connections, commands, handshakes := float64(m.connections.Load()), float64(m.commands.Load()), float64(m.handshakes.Load())
			floor := time.Duration(connections+commands+handshakes) * replyTime
			b.ReportMetric(float64(attempts)/n, "attempts")
			b.ReportMetric(connections/n, "connections")
			b.ReportMetric(commands/n, "commands")
			b.ReportMetric(handshakes/n, "handshakes")
			b.ReportMetric(float64(b.Elapsed())/float64(floor), "x-floor")
		})
	}
}

// used is the memory that is in use after a collection.
func used() (heap, stack int64) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), int64(m.StackInuse)
}

// BenchmarkMemory has a thousand probes stand still in the middle of their dialogues.
func BenchmarkMemory(b *testing.B) {
	const probes = 1000
	for b.Loop() {
		f := startFakes(b, 1, "stalls")
		p := prober()
		p.Limits, p.Budget = smtp.Limits{Reply: time.Hour}, time.Hour
		classifyOnce(b) // the tables of package fingerprint and the pool of package net are not a probe's
		ctx, cancel := context.WithCancel(b.Context())
		heap, stack := used()
		var wg sync.WaitGroup
		for range probes {
			wg.Go(func() { p.Probe(ctx, opening(f.addrs[0])) })
		}
		f.awaitStalled(probes)
		h, s := used()
		if n := runtime.NumGoroutine(); n < probes {
			b.Errorf("%d goroutines, want %d probes in flight", n, probes)
		}
		b.ReportMetric(float64(h-heap+s-stack)/probes/1024, "KiB/probe")
		b.ReportMetric(float64(h-heap)/probes/1024, "KiB-heap/probe")
		b.ReportMetric(float64(s-stack)/probes/1024, "KiB-stack/probe")
		cancel()
		wg.Wait()
	}
}

func classifyOnce(b *testing.B) {
	b.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	m := newMailer(false, 0)
	m.delay = 0
	var wg sync.WaitGroup
	wg.Go(func() { m.serve(l) })
	f, err := prober().Probe(b.Context(), opening(l.Addr().(*net.TCPAddr).AddrPort()))
	if err != nil || f.Verdict() != probe.Refused {
		b.Fatalf("got %s, %v", f.Verdict(), err)
	}
	l.Close()
	wg.Wait()
}

// BenchmarkThousandServices probes a thousand services, many at a time. What it cannot be faster than is what the pace
// gives for its connections, and what the lock-step gives for that many at a time; x-bound is how many times as long as
// the greater of them it took.
func BenchmarkThousandServices(b *testing.B) {
	const services = 1000
	for _, bb := range []struct {
		kind        string
		concurrency int // 64 is what the command does if it is not told
	}{{"closed", 64}, {"closed", 256}, {"open", 256}} {
		b.Run(fmt.Sprintf("%s/%d-at-a-time", bb.kind, bb.concurrency), func(b *testing.B) {
			for b.Loop() {
				thousand(b, services, bb.concurrency, bb.kind)
			}
		})
	}
}

func thousand(b *testing.B, services, concurrency int, kind string) {
	const rate = 1000
	f := startFakes(b, services, kind)
	p := prober()
	p.Limits = smtp.Limits{}
	p.Limiter = ratelimit.New(ratelimit.Rates{Total: rate})
	debug.FreeOSMemory()
	os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // the peak of what came before is not this one's
	work := make(chan netip.AddrPort)
	var wg sync.WaitGroup
	var connections, steps, wrong atomic.Int64
	cpu := cpuTime()
	start := time.Now()
	for range concurrency {
		wg.Go(func() {
			for a := range work {
				found, err := p.Probe(b.Context(), opening(a))
				if want := map[string]probe.Verdict{"closed": probe.Refused, "open": probe.Ready}[kind]; err != nil || found.Verdict() != want || len(unanswered(found)) > 0 {
					wrong.Add(1)
				}
				handshakes := 0
				if found.TLS != nil {
					handshakes = 1
				}
				quits := 0
				for _, s := range found.Sessions {
					quits += strings.Count(s.Transcript, "C: QUIT\n")
				}
				connections.Add(int64(found.Connections))
				steps.Add(int64(found.Connections + found.Commands + handshakes + quits))
			}
		})
	}
	for _, a := range f.addrs {
		work <- a
	}
	close(work)
	wg.Wait()
	wall := time.Since(start)
	if n := wrong.Load(); n > 0 {
		b.Errorf("%d of %d services were not seen for what they are", n, services)
	}
	byRate := time.Duration(float64(connections.Load()) / rate * float64(time.Second))
	byTurns := time.Duration(steps.Load()) * replyTime / time.Duration(concurrency)
	b.ReportMetric(wall.Seconds(), "s")
	b.ReportMetric(byRate.Seconds(), "s-by-rate")
	b.ReportMetric(byTurns.Seconds(), "s-by-turns")
	b.ReportMetric(wall.Seconds()/max(byRate, byTurns).Seconds(), "x-bound")
	b.ReportMetric((cpuTime()-cpu).Seconds()*1000/float64(services), "ms-cpu/service")
	if peak, ok := peakRSS(); ok {
		b.ReportMetric(peak/1024, "MiB-peak-RSS")
	}
}

// peakRSS is the most memory that this process had, in KiB.
func peakRSS() (kib float64, ok bool) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); slices.Contains(f, "VmHWM:") {
			kib, err = strconv.ParseFloat(f[1], 64)
			return kib, err == nil
		}
	}
	return 0, false
}

// cpuTime is what this process used so far; 0 where that is not told.
func cpuTime() time.Duration {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond // a hundred ticks a second
}
