package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/probe/smtp/smtptest"
	"relaysweep/ratelimit"
	"relaysweep/report"
)

//go:embed demo/*.dialog
var demoDialogs embed.FS

// demoServer is one server of the demo's world, with what a scan must find.
type demoServer struct {
	dialog   string
	endpoint string
	protocol string
	verdict  probe.Verdict
	class    probe.Class
}

// demoNet is where the demo's world lies: loopback, so that nothing leaves the machine.
const demoNet = "127.77.25.0/24"

var demoWorld = []demoServer{
	{"closed", "127.77.25.10:2525", "smtp", probe.Refused, probe.ClosedRelay},
	{"open", "127.77.25.23:2525", "smtp", probe.Delivered, probe.Relay},
	{"forged", "127.77.25.37:2525", "smtp", probe.Delivered, probe.Relay},
	{"percent", "127.77.25.58:2525", "smtp", probe.Delivered, probe.Relay},
	{"source-route", "127.77.25.71:2525", "smtp", probe.Delivered, probe.Relay},
	{"data-refused", "127.77.25.84:2525", "smtp", probe.Refused, probe.ClosedRelay},
	{"sink", "127.77.25.99:8025", "smtp", probe.Queued, probe.Sink},
	{"auth-only", "127.77.25.110:8025", "smtp", probe.Refused, probe.AuthOnly},
	{"starttls", "127.77.25.126:2525", "smtp", probe.Refused, probe.ClosedRelay},
	{"implicit-tls", "127.77.25.141:25025", "smtps", probe.Refused, probe.ClosedRelay},
	{"slow", "127.77.25.160:2525", "smtp", probe.Refused, probe.ClosedRelay},
	{"ssh", "127.77.25.175:2525", "ssh", probe.Unknown, probe.NotSMTP},
	{"helo", "127.77.25.192:25025", "smtp", probe.Delivered, probe.Relay},
	{"helo-only", "127.77.25.208:8025", "smtp", probe.Refused, probe.ClosedRelay},
	{"ftp", "127.77.25.224:25025", "ftp", probe.Unknown, probe.NotSMTP},
}

func (p *program) demoCommand() *cli.Command {
	return &cli.Command{
		Name: "demo", Usage: "a safe world on loopback: scan it, prove relays, write the report",
		Flags: []cli.Flag{stringFlag("oH", "write the HTML page to `FILE` (default relaysweep-demo.html)"), boolFlag("no-color", "no colours", "nc"), boolFlag("ascii", "tables in ASCII")},
		Action: func(ctx context.Context, c *cli.Command) error {
			if err := noArguments(c, 0); err != nil {
				return err
			}
			return p.demo(ctx, c)
		},
	}
}

// demo scans a world of fake servers on loopback, and checks that each was found to be what it is.
func (p *program) demo(ctx context.Context, c *cli.Command) error {
	dir, err := os.MkdirTemp("", "relaysweep-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	page := c.String("oH")
	if page == "" {
		page = "relaysweep-demo.html"
	}
	if page, err = filepath.Abs(page); err != nil {
		return err
	}
	colour := !c.Bool("no-color") && os.Getenv("NO_COLOR") == ""
	sc := &scanning{p: p, talk: p.err, past: new(past), stateDir: dir, s: demoSettings(outputs{HTML: page, Stdout: "table", NoColour: !colour, ASCII: c.Bool("ascii")})}
	if err := sc.layOut(); err != nil {
		return usage(err)
	}
	if err := sc.openState(ctx); err != nil {
		return usage(err)
	}
	defer sc.close()
	fmt.Fprintf(p.err, "relaysweep: %d servers that differ, on loopback; nothing leaves this machine\n", len(demoWorld))
	stop, err := startWorld(sc.sink.String())
	if err != nil {
		return usage(hint(err, "the demo needs the loopback addresses "+demoNet+", as on Linux"))
	}
	defer stop()
	err = sc.run(ctx)
	code := exitDone
	var e *exit
	if errors.As(err, &e) {
		code = e.code
	}
	if code != exitDone && code != exitFinding {
		return err
	}
	fmt.Fprintf(p.out, "\nHTML report: %s\nExit code of this scan, with --fail-on high: %d\n", page, code)
	return checkWorld(sc.result)
}

func demoSettings(o outputs) *settings {
	return &settings{
		Scan: newScanID(), Started: time.Now().UTC(), Ports: []uint16{2525, 8025, 25025}, Seed: 1, Vantage: "internet", Zone: "wan",
		Spec:   discover.Spec{Include: []discover.Entry{{Text: demoNet, Where: "demo"}}, Organisation: "Example City", Contact: "netops@city.example"},
		Canary: "canary.example", Listen: "127.0.0.1:0", Key: []byte("the demo's key is no secret"), Wait: 2 * time.Second,
		Domains: []string{"org.example"}, Senders: []string{"alice@org.example"}, Hello: "scanner.example",
		Rates: ratelimit.Rates{Total: 2000}, StopAt: probe.Delivered, Timeout: time.Second, ServiceTimeout: 15 * time.Second, Greeting: 3 * time.Second,
		InFlight: 256, Probes: 32, FailOn: "high", Outputs: o,
	}
}

// startWorld starts the demo's servers. Those that relay hand their mail to the sink.
func startWorld(sink string) (stop func(), err error) {
	var servers []*smtptest.Server
	stop = func() {
		for _, s := range servers {
			s.Close()
		}
	}
	for _, w := range demoWorld {
		f, err := demoDialogs.Open("demo/" + w.dialog + ".dialog")
		if err != nil {
			return stop, err
		}
		d, err := smtptest.Parse(w.dialog, f)
		f.Close()
		if err != nil {
			return stop, err
		}
		l, err := net.Listen("tcp", w.endpoint)
		if err != nil {
			stop()
			return nil, err
		}
		s := &smtptest.Server{Dialog: d, Relay: sink}
		servers = append(servers, s)
		go s.Serve(l)
	}
	return stop, nil
}

// checkWorld holds a report against the demo's world.
func checkWorld(r *report.Report) error {
	found := make(map[netip.AddrPort]*report.Entry)
	for _, e := range r.Entries {
		found[e.Finding.Addr] = e
	}
	var wrong []string
	for _, w := range demoWorld {
		e := found[netip.MustParseAddrPort(w.endpoint)]
		if e == nil {
			wrong = append(wrong, fmt.Sprintf("%s (%s) is %s %s %s, and was not found", w.endpoint, w.dialog, w.protocol, w.verdict, w.class))
			continue
		}
		if e.Finding.Protocol != w.protocol || e.Verdict != w.verdict || e.Class != w.class {
			wrong = append(wrong, fmt.Sprintf("%s (%s) is %s %s %s, found %s %s %s: %s", w.endpoint, w.dialog, w.protocol, w.verdict, w.class, e.Finding.Protocol, e.Verdict, e.Class, e.Reason))
		}
	}
	if n := len(r.Entries); n != len(demoWorld) {
		wrong = append(wrong, fmt.Sprintf("%d servers were found, and %d are there", n, len(demoWorld)))
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		return &exit{exitInternal, "the demo's world was not found as it is:\n  " + strings.Join(wrong, "\n  ")}
	}
	return nil
}
