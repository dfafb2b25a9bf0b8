package inventory

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/probe/smtp"
	"relaysweep/probe/smtp/smtptest"
	"relaysweep/ratelimit"
	"relaysweep/report"
)

// probed are findings of a real prober, of fake servers of the kinds that an organisation has.
func probed(tb testing.TB) []probe.Finding {
	tb.Helper()
	scope, err := discover.NewScope(discover.Spec{Targets: []discover.Entry{{Text: "127.0.0.0/8", Where: "test"}}})
	if err != nil {
		tb.Fatal(err)
	}
	p := &probe.Prober{
		Dialer: scope.Dialer(netip.Addr{}, time.Second), Limiter: ratelimit.New(ratelimit.Rates{}),
		Limits: smtp.Limits{Greeting: time.Second, Reply: time.Second, Handshake: time.Second, Settle: 20 * time.Millisecond},
		Scan:   "scan-1", Organisation: "Example City", Contact: "netops@city.example",
		Canary: probe.Canary{Domain: "example.net", Key: []byte("key")},
		HELO:   "scanner.example", Domains: []string{"org.example"}, Senders: []string{"alice@org.example"},
	}
	var out []probe.Finding
	for _, name := range []string{"closed-postfix", "closed-exim", "closed-sendmail", "closed-exchange", "auth-only-postfix", "open-to-all", "closed-opensmtpd", "ftp"} {
		b, err := os.ReadFile(filepath.Join("../../probe/testdata", name+".dialog"))
		if err != nil {
			tb.Fatal(err)
		}
		d, err := smtptest.Parse(name, bytes.NewReader(b))
		if err != nil {
			tb.Fatal(err)
		}
		s := &smtptest.Server{Dialog: d}
		s.Start(tb)
		target, err := scope.Target(s.Addr())
		if err != nil {
			tb.Fatal(err)
		}
		f, err := p.Probe(tb.Context(), discover.Opening{Target: target, Vantage: "internet"})
		if err != nil {
			tb.Fatal(err)
		}
		s.Close()
		out = append(out, f)
	}
	return out
}

// many is how many findings the benchmarks store over 24 scans: RELAYSWEEP_MANY, such as 1000000.
func many(b *testing.B) int {
	n, err := strconv.Atoi(os.Getenv("RELAYSWEEP_MANY"))
	if err != nil {
		return 20000
	}
	return n
}

const benchScans = 24

// variant is the finding of an endpoint in a scan: a fiftieth has another version than the time before.
func variant(kinds []probe.Finding, scan, n int) *probe.Finding {
	f := kinds[n%len(kinds)]
	f.Addr = endpointAt(n)
	f.Started, f.Ended = at(30*scan), at(30*scan).Add(time.Minute)
	f.Service.Version = fmt.Sprintf("3.%d.%d", n%10, (scan+n)/50)
	return &f
}

// addVariants adds the findings of one scan, by so many goroutines at once.
func addVariants(b *testing.B, s *Store, kinds []probe.Finding, scan, from, to, writers int) time.Duration {
	b.Helper()
	about := report.Scan{ID: fmt.Sprintf("scan-%d-%d", scan, writers), Vantage: "internet", Started: at(30 * scan), Ended: at(30 * scan).Add(time.Hour), Complete: true, StopAt: probe.Ready}
	w, err := s.Begin(b.Context(), about, "", KindScan)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	begun := time.Now()
	var next atomic.Int64
	next.Store(int64(from))
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for n := int(next.Add(1)) - 1; n < to; n = int(next.Add(1)) - 1 {
				if err := w.Add(variant(kinds, scan, n)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(begun)
	if err := w.End(b.Context(), End{About: about, State: func(netip.AddrPort, string) (State, bool) { return State{discover.Closed, true, ""}, true }}); err != nil {
		b.Fatal(err)
	}
	return took
}

// filled is an inventory of 24 scans, of which a hundredth of the endpoints comes and goes.
func filled(b *testing.B) *Store {
	b.Helper()
	s := open(b, filepath.Join(b.TempDir(), "inventory.db"))
	kinds := probed(b)
	each := many(b) / benchScans
	bare := without(kinds)
	for scan := range benchScans {
		kinds := kinds
		if scan < benchScans-2 { // no figure reads the evidence of the older ones
			kinds = bare
		}
		addVariants(b, s, kinds, scan, scan*each/100, scan*each/100+each, 1024)
	}
	return s
}

// peak is the most memory that a function takes beside what was taken before, in bytes.
func peak(f func()) float64 {
	debug.FreeOSMemory()
	os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // proc(5): begins the high-water mark anew
	_, before := resident()
	f()
	high, _ := resident()
	return high - before
}

func resident() (high, now float64) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		var kb float64
		switch _, err := fmt.Sscanf(in.Text()[strings.IndexByte(in.Text(), ':')+1:], "%f kB", &kb); {
		case err != nil:
		case strings.HasPrefix(in.Text(), "VmHWM:"):
			high = kb * 1024
		case strings.HasPrefix(in.Text(), "VmRSS:"):
			now = kb * 1024
		}
	}
	return high, now
}

// BenchmarkAdd has many goroutines add findings, each of which waits until its own is on disk: whole relay tests, and
// findings without attempts and transcripts.
func BenchmarkAdd(b *testing.B) {
	whole := probed(b)
	bare := without(whole)
	for _, writers := range []int{64, 1024} {
		for _, k := range []struct {
			name  string
			kinds []probe.Finding
		}{{"whole", whole}, {"bare", bare}} {
			b.Run(fmt.Sprintf("%s/%d-at-a-time", k.name, writers), func(b *testing.B) {
				n := 0
				var took time.Duration
				cpu := used()
				for b.Loop() {
					s := open(b, filepath.Join(b.TempDir(), "inventory.db"))
					each := min(many(b)/5, 20000)
					took += addVariants(b, s, k.kinds, 0, 0, each, writers)
					n += each
					s.Close()
				}
				b.ReportMetric(float64(n)/took.Seconds(), "findings/s")
				b.ReportMetric(float64(used()-cpu)/float64(n)/1000, "us-cpu/finding")
			})
		}
	}
}

// without are findings without their attempts and transcripts.
func without(kinds []probe.Finding) []probe.Finding {
	bare := slices.Clone(kinds)
	for i := range bare {
		bare[i].Attempts, bare[i].Sessions = nil, nil
	}
	return bare
}

// BenchmarkRead compares the last two of 24 scans, reads the last one for each kind of report, and weighs the file.
func BenchmarkRead(b *testing.B) {
	s := filled(b)
	scans, err := s.Scans(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("size", func(b *testing.B) {
		for b.Loop() {
		}
		rows, err := s.db.Query("SELECT name LIKE '%evidence%', sum(pgsize) FROM dbstat GROUP BY 1")
		if err != nil {
			b.Fatal(err)
		}
		defer rows.Close()
		n := float64(many(b) / benchScans * benchScans)
		full := n / benchScans * 2
		for rows.Next() {
			var evidence bool
			var size float64
			if err := rows.Scan(&evidence, &size); err != nil {
				b.Fatal(err)
			}
			if evidence {
				b.ReportMetric(size/full, "B-evidence/finding") // what the bare ones have counts as well
			} else {
				b.ReportMetric(size/n, "B/finding")
			}
		}
	})
	b.Run("between", func(b *testing.B) {
		var n, memory float64
		for b.Loop() {
			memory = max(memory, peak(func() {
				for x, y := range s.Between(b.Context(), scans[1], scans[0], &err) {
					if x != nil || y != nil {
						n++
					}
				}
			}))
		}
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(n/float64(b.N), "endpoints")
		b.ReportMetric(memory/1e6, "MB")
	})
	for _, kind := range []struct {
		name  string
		write func(io.Writer, *report.Report) error
	}{
		{"nothing", func(io.Writer, *report.Report) error { return nil }},
		{"table", func(w io.Writer, r *report.Report) error { return report.WriteTable(w, r, report.TableOptions{}) }},
		{"csv", report.WriteCSV},
		{"nmap", report.WriteNmapXML},
		{"jsonl", report.WriteJSONL},
	} {
		b.Run(kind.name, func(b *testing.B) {
			var memory float64
			entries := 0
			for b.Loop() {
				memory = max(memory, peak(func() {
					r, err := s.Read(b.Context(), scans[0])
					if err != nil {
						b.Fatal(err)
					}
					defer r.Close()
					made := report.New(r.Input)
					entries = len(made.Entries)
					if err := kind.write(io.Discard, made); err != nil {
						b.Fatal(err)
					}
				}))
			}
			b.ReportMetric(float64(entries), "findings")
			b.ReportMetric(memory/1e6, "MB")
		})
	}
}

// BenchmarkJudge judges a finding of a whole relay test.
func BenchmarkJudge(b *testing.B) {
	kinds := probed(b)
	for n := 0; b.Loop(); n++ {
		report.Judge(&kinds[n%len(kinds)])
	}
}
