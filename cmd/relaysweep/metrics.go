package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"relaysweep/report"
	"relaysweep/report/inventory"
)

func (p *program) metricsCommand() *cli.Command {
	return &cli.Command{
		Name: "metrics", Usage: "serve the figures of each vantage's last scan to Prometheus, until interrupted",
		Description: "It listens on loopback alone, as there is neither TLS nor a password: what shall be read from elsewhere goes through a proxy that has both, or through a file (--prometheus) and node_exporter.",
		Flags: append([]cli.Flag{
			stringFlag("config", "configuration `FILE` (default relaysweep.yaml where it exists)"),
			stringFlag("listen", "`ADDRESS:PORT` to listen on (default 127.0.0.1:9825)"),
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
	store, _, err := existingInventory(ctx, c)
	if err != nil {
		return err
	}
	defer store.Close()
	l, err := net.Listen("tcp", listen.String())
	if err != nil {
		return usage(err)
	}
	last := &lastScans{store: store}
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

// lastScans reads the last scan of each vantage that came to an end. What it read is good for a minute: reading a large
// scan takes seconds, and a canary may come home at any time.
type lastScans struct {
	store *inventory.Store

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
			f := report.FiguresOf(report.New(r.Input))
			r.Close()
			f.Site = i.Site
			list = append(list, f)
		}
	}
	l.list, l.read = list, time.Now()
	return list, nil
}
