package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"relaysweep/probe"
	"relaysweep/probe/canary"
	"relaysweep/report"
	"relaysweep/report/inventory"
)

// imapSettings name a mailbox that canaries come home to. The password stands in its file alone.
type imapSettings struct {
	Server       string // host:port; if empty, there is no mailbox
	User         string
	PasswordFile string
	Mailbox      string
	TLS          canary.Security
	CAFile       string
}

// How often a scan looks into the mailbox while it waits for canaries, and how long it looks.
const (
	pollEvery   = 10 * time.Second
	pollTimeout = 30 * time.Second
)

const maxCAFile = 1 << 20 // bytes

// imapFlag is one of the flags that name a mailbox.
func imapFlag(name string) cli.Flag {
	return stringFlag("imap-"+name, map[string]string{
		"server":        "`HOST[:PORT]` of a mailbox that canaries come home to, where no sink can run (default port 993)",
		"user":          "`NAME` to log in to the mailbox with",
		"password-file": "`FILE` with its password, which nobody else may read (mode 0600)",
		"mailbox":       "`MAILBOX` to look into (default INBOX)",
		"tls":           "tls (from the first byte), starttls, or none, which works on loopback alone (default tls)",
		"ca-file":       "`FILE` with the certificates (PEM) of who signed the server's (default: the system's)",
	}[name])
}

// imapOf resolves what names the mailbox.
func imapOf(cfg *config, get getter) (s imapSettings, err error) {
	in := cfg.Canary.IMAP
	s.User = get("imap-user", "$.canary.imap.user", in.User).text
	s.PasswordFile = get("imap-password-file", "$.canary.imap.password_file", in.PasswordFile).text
	s.Mailbox = get("imap-mailbox", "$.canary.imap.mailbox", in.Mailbox).text
	s.CAFile = get("imap-ca-file", "$.canary.imap.ca_file", in.CAFile).text
	security := get("imap-tls", "$.canary.imap.tls", in.TLS)
	if err := s.TLS.UnmarshalText([]byte(cmp.Or(security.text, "tls"))); err != nil {
		return s, security.errorf("%w", err)
	}
	server := get("imap-server", "$.canary.imap.server", in.Server)
	if server.text == "" {
		return s, nil
	}
	host, port, err := net.SplitHostPort(server.text)
	if err != nil {
		host, port = strings.Trim(server.text, "[]"), map[canary.Security]string{canary.TLS: "993"}[s.TLS]
		port = cmp.Or(port, "143")
	}
	a, notAddress := netip.ParseAddr(host)
	if _, err := netip.ParseAddrPort("127.0.0.1:" + port); err != nil || notAddress != nil && host != "localhost" && !mailDomain(host) {
		return s, server.errorf("%q is not host:port: write it like imap.example.net:993", server.text)
	}
	if s.TLS == canary.Plain && host != "localhost" && !a.IsLoopback() {
		return s, security.errorf("without TLS a mailbox is read on loopback alone: use tls or starttls")
	}
	s.Server = net.JoinHostPort(host, port)
	return s, nil
}

// open makes the mailbox. Nothing is sent.
func (s imapSettings) open(c probe.Canary) (*canary.Mailbox, error) {
	m := &canary.Mailbox{Canary: c, Server: s.Server, Security: s.TLS, User: s.User, Name: s.Mailbox}
	if s.User == "" || s.PasswordFile == "" {
		return nil, errors.New("set canary.imap.user and canary.imap.password_file: the mailbox wants them")
	}
	password, err := secret(s.PasswordFile)
	if err != nil {
		return nil, err
	}
	m.Password = string(password)
	if s.CAFile != "" {
		b, err := readBounded(s.CAFile, maxCAFile)
		if err != nil {
			return nil, err
		}
		m.Roots = x509.NewCertPool()
		if !m.Roots.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("%s: no certificate (PEM) in it", s.CAFile)
		}
	}
	return m, nil
}

// readBounded reads a file of so many bytes at most.
func readBounded(name string, most int64) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > most {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, most)
	}
	return os.ReadFile(name)
}

// poll looks into the mailbox, if there is one. What could not be read is told by the report: it is no reason to stop.
func (sc *scanning) poll(ctx context.Context) {
	if sc.mailbox == nil {
		return
	}
	_, err := sc.mailbox.Check(ctx)
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.unpolled = err; errors.Is(err, canary.ErrLogin) {
		sc.mailbox = nil // another try would lock the account
	}
}

// cameHome keeps a delivery of the mailbox, if it is this scan's: relaysweep canary check reads those of others.
func (sc *scanning) cameHome(d probe.Delivery) error {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if !sc.ours()[d.Canary] || sc.home[deliveryKey(d)] {
		return nil
	}
	if err := sc.inv.Deliver(d); err != nil {
		return err
	}
	sc.arrived(d)
	return nil
}

func (p *program) canaryCheckCommand() *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "look for canaries in a mailbox, where no sink can run",
		Description: "Reads messages that may be canaries or bounces of them, proves them by their address, and puts those that are new into\n" +
			"the inventory and the file of deliveries. Nothing in the mailbox is changed, unless --delete is given.\n" +
			"With --wait it looks again until all canaries of the scan are home, and exits 3 if some are still out when the time is over.",
		Flags: []cli.Flag{
			stringFlag("config", "configuration `FILE` (default relaysweep.yaml where it exists)"),
			imapFlag("server"), imapFlag("user"), imapFlag("password-file"), imapFlag("mailbox"), imapFlag("tls"), imapFlag("ca-file"),
			stringFlag("canary-domain", "mail `DOMAIN` whose mail comes to the mailbox"),
			stringFlag("canary-key", "`FILE` with the secret that canaries are made with"),
			listFlag("canary-mx", "`DOMAINS` of yours whose MX records name the targets, and whose mail comes to the mailbox"),
			stringFlag("deliveries", "append deliveries to `FILE` as JSON Lines"),
			stringFlag("since", "read messages that came within this `TIME`, such as 2d (default 7d)"), inventoryFlags()[0],
			stringFlag("wait", "look again for so long, until all canaries are home, such as 1h (default: look once)"),
			stringFlag("every", "with --wait, how often to look (default 1m)"),
			stringFlag("scan", "with --wait, `ID` of the scan whose canaries are awaited (default: the last one)"),
			boolFlag("delete", "delete the messages that proved a canary, once it is stored"),
		},
		Action: p.checkCanaries,
	}
}

func (p *program) checkCanaries(ctx context.Context, c *cli.Command) error {
	if err := noArguments(c, 0); err != nil {
		return err
	}
	cfg, err := loadConfig(c)
	if err != nil {
		return usage(err)
	}
	get := cfg.getter(c)
	domain := get("canary-domain", "$.canary.domain", cfg.Canary.Domain)
	if !mailDomain(domain.text) {
		return usage(domain.errorf("%q is not a mail domain: set canary.domain", domain.text))
	}
	box, err := imapOf(cfg, get)
	if err == nil && box.Server == "" {
		err = get("imap-server", "$.canary.imap.server", "").errorf("set canary.imap.server, such as imap.example.net:993")
	}
	if err != nil {
		return usage(err)
	}
	now := time.Now()
	since := get("since", "", "")
	since.text = cmp.Or(since.text, "7d")
	from, err := since.ago(now)
	if err != nil {
		return usage(err)
	}
	wait, err := get("wait", "", "").duration(0)
	if err != nil {
		return usage(err)
	}
	every, err := get("every", "", "").someTime(time.Minute)
	if err != nil {
		return usage(err)
	}
	keyFile, file := get("canary-key", "$.canary.key_file", cfg.Canary.KeyFile).text, get("deliveries", "$.canary.deliveries", cfg.Canary.Deliveries).text
	if keyFile == "" {
		return usage(errors.New("set canary.key_file: the scan has the same key"))
	}
	key, missing, err := keyOf(keyFile)
	if err == nil && missing {
		err = fmt.Errorf("%s: there is no such key: name the one that the scan was made with", keyFile)
	}
	if err != nil {
		return usage(err)
	}
	mx := cfg.Canary.MXNames
	if c.IsSet("canary-mx") {
		mx = c.StringSlice("canary-mx")
	}
	m, err := box.open(probe.Canary{Domain: domain.text, Key: key, MXNames: mx})
	if err != nil {
		return usage(err)
	}
	store, err := sinkInventory(ctx, c, cfg)
	if err != nil {
		return err
	}
	if store != nil {
		defer store.Close()
	} else if file == "" {
		return usage(errors.New("there is no inventory yet: name one (--inventory), or set canary.deliveries, which the scan reads"))
	}
	k := &keeper{p: p, store: store, home: make(map[string]bool), arrived: make(map[string]bool)}
	if file != "" {
		stored, err := canary.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return usage(err)
		}
		k.know(stored)
		if k.file, err = canary.OpenFile(file); err != nil {
			return usage(err)
		}
		defer k.file.Close()
	}
	if wait > 0 {
		if err := k.await(ctx, cmp.Or(c.String("scan"), "last")); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	m.Age, m.Delete = now.Sub(from), c.Bool("delete")
	m.Store = func(d probe.Delivery) error { return k.keep(context.WithoutCancel(ctx), d) }
	for end := now.Add(wait); ; {
		err := k.look(ctx, m)
		switch {
		case errors.Is(err, canary.ErrLogin):
			return usage(err) // another try would lock the account
		case wait == 0 && err == nil:
			return nil
		case wait == 0 && ctx.Err() == nil:
			return &exit{exitInternal, err.Error()}
		}
		out, pause := k.out(), min(every, time.Until(end))
		switch {
		case ctx.Err() != nil:
			return &exit{exitIncomplete, "stopped"}
		case out == 0 && err == nil:
			return nil
		case pause <= 0 && err != nil:
			return &exit{exitInternal, err.Error()}
		case pause <= 0:
			return &exit{exitIncomplete, fmt.Sprintf("%d canaries are still out: relaysweep canary check looks again", out)}
		case err != nil:
			fmt.Fprintf(p.err, "relaysweep: %v\n", err)
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
		case <-t.C:
		}
	}
}

// keeper puts what a mailbox held where scan and report find it: each delivery once, however often it is read.
type keeper struct {
	p       *program
	store   *inventory.Store // nil: none
	file    *canary.File     // nil: none
	home    map[string]bool  // deliveries that are in the file
	arrived map[string]bool  // canaries that are home
	awaited []string         // canaries of the scan that a server took, or may have taken
	news    int
}

func (k *keeper) know(ds []probe.Delivery) {
	for _, d := range ds {
		k.home[deliveryKey(d)], k.arrived[d.Canary] = true, true
	}
}

// keep stores a delivery, and shows it if it is new.
func (k *keeper) keep(ctx context.Context, d probe.Delivery) error {
	before := k.home[deliveryKey(d)]
	if k.file != nil && !before {
		if err := k.file.Append(d); err != nil {
			return err
		}
	}
	k.know([]probe.Delivery{d})
	if k.store != nil {
		stored, err := k.store.Delivered(ctx, d.Canary)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(stored, func(s probe.Delivery) bool { return deliveryKey(s) == deliveryKey(d) }) {
			before = true
		} else if err := k.store.Deliver(ctx, d); err != nil {
			return err
		}
	}
	if !before {
		k.news++
		k.p.showDelivery(d)
	}
	return nil
}

// look looks into the mailbox once, and tells what was there.
func (k *keeper) look(ctx context.Context, m *canary.Mailbox) error {
	k.news = 0
	did, err := m.Check(ctx)
	if err == nil {
		fmt.Fprintf(k.p.err, "relaysweep: %d messages read, %d deliveries that are new, %d messages deleted\n", did.Messages, k.news, did.Deleted)
	}
	if did.Left > 0 {
		fmt.Fprintf(k.p.err, "relaysweep: %d older messages were not read: they are too many at once\n", did.Left)
	}
	return err
}

// await learns what a stored scan sent.
func (k *keeper) await(ctx context.Context, scan string) error {
	if k.store == nil {
		return usage(errors.New("--wait: there is no inventory that tells what is awaited: look once, without it"))
	}
	info, err := k.store.Find(ctx, scan)
	if err != nil {
		return stored(err)
	}
	findings, deliveries, err := k.store.Findings(ctx, info)
	if err != nil {
		return stored(err)
	}
	for i := range findings {
		k.awaited = append(k.awaited, report.Sent(&findings[i])...)
	}
	for _, d := range deliveries {
		k.arrived[d.Canary] = true
	}
	return nil
}

// out is how many of them are not home.
func (k *keeper) out() (n int) {
	for _, token := range k.awaited {
		if !k.arrived[token] {
			n++
		}
	}
	return n
}
