package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"relaysweep/discover"
	"relaysweep/discover/source"
	"relaysweep/report"
	"relaysweep/report/inventory"
)

func (p *program) metricsCommand() *cli.Command {
	return &cli.Command{
		Name: "metrics", Usage: "serve the figures of each vantage's last scan to Prometheus, until interrupted",
		Description: "Approvals, rules and address plans are those of the configuration, or of the flags: name those that the scans are made with. What a NetBox would have to be asked for is left out, with the figure of forgotten listeners; so are the figures of the rules, which want the state of every target.\n" +
			"It listens on loopback alone, as there is neither TLS nor a password: what shall be read from elsewhere goes through a proxy that has both, or through a file (--prometheus) and node_exporter.",
		Flags: append([]cli.Flag{
			stringFlag("config", "configuration `FILE` (default relaysweep.yaml where it exists)"),
			stringFlag("listen", "`ADDRESS:PORT` to listen on (default 127.0.0.1:9825)"), approvalsFlag(), rulesFlag(), assetsFlag(),
		}, inventoryFlags()[:1]...),
		Action: p.serveMetrics,
	}
}

func (p *program) serveMetrics(ctx context.Context, c *cli.Command) error {
	if err := noArguments(c, 0); err != nil {
		return err
	}
	address := value{cmp.Or(c.String("listen"), "127.0.0.1:9825"), given(c, "listen")}
	listen, err := netip.ParseAddrPort(address.text)
	switch {
	case err != nil:
		return usage(address.errorf("%q is not an address with a port, such as 127.0.0.1:9825", address.text))
	case !listen.Addr().IsLoopback():
		return usage(address.errorf("%s is not a loopback address: let a proxy with TLS and a password serve others, or write a file with --prometheus for node_exporter", address.text))
	}
	store, cfg, err := existingInventory(ctx, c)
	if err != nil {
		return err
	}
	defer store.Close()
	last := &lastScans{store: store, beside: func(ctx context.Context, i inventory.Info, in *report.Input) (bool, error) {
		return p.besideStored(ctx, c, cfg, i, in)
	}}
	if _, err := last.beside(ctx, inventory.Info{}, new(report.Input)); err != nil {
		return usage(err)
	}
	l, err := net.Listen("tcp", listen.String())
	if err != nil {
		return usage(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", report.Metrics(func(ctx context.Context) ([]report.Figures, error) {
		list, err := last.figures(ctx)
		if err != nil {
			fmt.Fprintf(p.err, "relaysweep: %v\n", err)
		}
		return list, err
	}))
	server := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 2 * time.Minute, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 16 << 10}
	fmt.Fprintf(p.err, "relaysweep: figures of %s on http://%s/metrics\n", store.Name(), l.Addr())

	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err = <-served:
	case <-ctx.Done():
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(server.Shutdown(grace), <-served)
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return &exit{exitInternal, err.Error()}
	}
	return nil
}

// besideStored adds to the input of a report what stands in files beside the inventory, as the report of a stored scan
// does. Nobody is asked anything: where a NetBox would have to be, it is not known what nobody names.
func (p *program) besideStored(ctx context.Context, c *cli.Command, cfg *config, i inventory.Info, in *report.Input) (naming bool, err error) {
	sc := &scanning{p: p, talk: io.Discard, reading: true, s: &settings{Scan: i.ID, Vantage: i.Vantage, Started: i.Started}, past: new(past)}
	defer sc.close()
	if err := sc.otherRules(c, cfg); err != nil {
		return false, err
	}
	if err := sc.readRules(); err != nil {
		return false, err
	}
	plans, err := assetsOf(c, cfg)
	if err != nil {
		return false, err
	}
	naming = !slices.ContainsFunc(plans, func(e discover.Entry) bool { return source.IsURL(e.Text) })
	if naming {
		err = sc.readAssets(ctx, c)
	}
	in.Approvals, in.Rules, in.Assets = sc.approvals, sc.rules(nil), sc.assets
	return naming, err
}

// lastScans reads the last scan of each vantage that came to an end. What it read is good for a minute: reading a large
// scan takes seconds, and a canary may come home at any time.
type lastScans struct {
	store *inventory.Store
	// beside adds what the inventory does not hold, and says whether it is known what nobody names.
	beside func(context.Context, inventory.Info, *report.Input) (naming bool, err error)

	mu   sync.Mutex
	read time.Time // zero: not yet
	list []report.Figures
}

const figuresAge = time.Minute

func (l *lastScans) figures(ctx context.Context) ([]report.Figures, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.read.IsZero() && time.Since(l.read) < figuresAge {
		return l.list, nil
	}
	scans, err := l.store.Scans(ctx)
	if err != nil {
		return nil, err
	}
	var list []report.Figures
	seen := make(map[[2]string]bool)
	for _, kind := range []string{inventory.KindScan, inventory.KindDiscover} { // where nobody was asked to relay, what is open
		for _, i := range scans {
			at := [2]string{i.Site, i.Vantage}
			if seen[at] || i.Kind != kind || i.Ended.IsZero() {
				continue
			}
			seen[at] = true
			r, err := l.store.Read(ctx, i)
			if err != nil {
				return nil, err
			}
			in := r.Input
			naming := false
			if in.Changes, err = l.store.Since(ctx, i); err == nil {
				naming, err = l.beside(ctx, i, &in)
			}
			if err != nil {
				r.Close()
				return nil, err
			}
			f := report.FiguresOf(report.New(in))
			r.Close()
			f.Rules = nil // they count what each target showed, and the inventory holds what is open
			if !naming {
				f.Naming = nil
			}
			f.Scan.Site = i.Site
			list = append(list, f)
		}
	}
	l.list, l.read = list, time.Now()
	return list, nil
}
