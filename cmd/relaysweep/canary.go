package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v3"

	"relaysweep/probe"
	"relaysweep/probe/canary"
	"relaysweep/report/inventory"
)

func (p *program) canaryCommand() *cli.Command {
	return &cli.Command{
		Name: "canary", Usage: "where relayed canaries come home: a sink, or a mailbox",
		Commands: []*cli.Command{{
			Name: "serve", Usage: "take canaries, and nothing else, until interrupted",
			Flags: append([]cli.Flag{
				stringFlag("config", "configuration `FILE` (default relaysweep.yaml where it exists)"),
				stringFlag("canary-domain", "mail `DOMAIN` whose mail comes here"),
				stringFlag("canary-listen", "`ADDRESS:PORT` to listen on"),
				stringFlag("canary-key", "`FILE` with the secret; written if it is missing"),
				listFlag("canary-mx", "`DOMAINS` of yours whose MX records name the targets, and this sink"),
				stringFlag("deliveries", "append deliveries to `FILE` as JSON Lines"),
			}, inventoryFlags()[:1]...),
			Action: p.serveCanary,
		}, p.canaryCheckCommand()},
		Action: func(context.Context, *cli.Command) error {
			return usage(errors.New("the commands are canary serve and canary check; canary serve --help tells more"))
		},
	}
}

func (p *program) serveCanary(ctx context.Context, c *cli.Command) error {
	cfg, err := loadConfig(c)
	if err != nil {
		return usage(err)
	}
	get := cfg.getter(c)
	domain := get("canary-domain", "$.canary.domain", cfg.Canary.Domain)
	if !mailDomain(domain.text) {
		return usage(domain.errorf("%q is not a mail domain: set canary.domain", domain.text))
	}
	address := get("canary-listen", "$.canary.listen", cfg.Canary.Listen)
	listen, err := address.hostPort("25")
	if err == nil && listen == "" {
		err = address.errorf("set canary.listen, such as 203.0.113.25:25")
	}
	if err != nil {
		return usage(err)
	}
	keyFile, file := get("canary-key", "$.canary.key_file", cfg.Canary.KeyFile).text, get("deliveries", "$.canary.deliveries", cfg.Canary.Deliveries).text
	if keyFile == "" || file == "" {
		return usage(errors.New("set canary.key_file and canary.deliveries: the scan needs the same key, and reads the same file"))
	}
	key, missing, err := keyOf(keyFile)
	if err != nil {
		return usage(err)
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return usage(err)
	}
	defer l.Close()
	if missing {
		if err := writeKey(keyFile, key); err != nil {
			return usage(err)
		}
	}
	out, err := canary.OpenFile(file)
	if err != nil {
		return usage(err)
	}
	defer out.Close()
	store, err := sinkInventory(ctx, c, cfg)
	if err != nil {
		return err
	}
	if store != nil {
		defer store.Close()
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	mx := cfg.Canary.MXNames
	if c.IsSet("canary-mx") {
		mx = c.StringSlice("canary-mx")
	}
	sink := &canary.Sink{Canary: probe.Canary{Domain: domain.text, Key: key, MXNames: mx, Sink: sinkAddress(listen)}, Store: func(d probe.Delivery) error {
		if err := out.Append(d); err != nil {
			return err
		}
		if store != nil {
			if err := store.Deliver(context.WithoutCancel(ctx), d); err != nil {
				return err
			}
		}
		p.showDelivery(d)
		return nil
	}}
	fmt.Fprintf(p.err, "relaysweep: canaries for %s come home on %s, and are written to %s\n", domain.text, l.Addr(), file)
	done := context.AfterFunc(ctx, func() { sink.Close(); l.Close() })
	defer done()
	if err := sink.Serve(l); err != nil {
		return &exit{exitInternal, err.Error()}
	}
	return nil
}

// showDelivery prints what came home.
func (p *program) showDelivery(d probe.Delivery) {
	what := ""
	if d.Bounce {
		what = ", a bounce"
	}
	fmt.Fprintf(p.out, "%s %s from %s%s\n", d.Time.Format("2006-01-02T15:04:05Z"), d.Canary, cmp.Or(d.Peer, "an unknown address"), what)
}

// sinkInventory is the inventory that deliveries go to as well: the one that is named, or the user's own if there is one.
// A sink on a machine of its own has none, and its file is read by the scan.
func sinkInventory(ctx context.Context, c *cli.Command, cfg *config) (*inventory.Store, error) {
	name, err := inventoryName(c, cfg)
	if !c.IsSet("inventory") && cfg.Inventory == "" {
		if err != nil {
			return nil, nil
		}
		if _, err := os.Stat(name); err != nil {
			return nil, nil
		}
	} else if err != nil {
		return nil, usage(err)
	}
	return openInventory(ctx, name)
}
