package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/urfave/cli/v3"

	"relaysweep/report"
	"relaysweep/report/notify"
)

// notices are who is told of a scan, when it is over and everything is stored. They are stored with the scan, the secret
// by the name of its file.
type notices struct {
	Webhook, SecretFile string
	On                  notify.When
	Syslog              string
	Format              notify.Format
	Least               report.Severity
}

func notifyFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("webhook", "POST the scan's summary and changes as JSON to this `URL` (https, or a loopback address) when it is over"),
		stringFlag("webhook-secret", "`FILE` with the secret that the webhook is signed with, which none but you may read"),
		stringFlag("webhook-on", "always, change (something did, or nobody can say) or finding (severity medium or above) (default change)"),
		stringFlag("syslog", "send findings and changes to this `ADDRESS`: udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT or unix:///dev/log"),
		stringFlag("syslog-format", "rfc5424 or cef (default rfc5424)"),
		stringFlag("syslog-severity", "least severity of a finding that is sent: info, low, medium, high or critical (default medium)"),
	}
}

// noticesOf resolves who is told.
func noticesOf(get getter, cfg *config) (n notices, err error) {
	c := &cfg.Notify
	webhook := get("webhook", "$.notify.webhook.url", c.Webhook.URL)
	if n.Webhook = webhook.text; n.Webhook != "" {
		if err := notify.CheckURL(n.Webhook); err != nil {
			return n, webhook.errorf("the webhook's address is refused: %w", err)
		}
	}
	if n.SecretFile = get("webhook-secret", "$.notify.webhook.secret_file", cfg.path(c.Webhook.SecretFile)).text; n.SecretFile != "" {
		n.SecretFile = absolute(n.SecretFile)
	}
	on := get("webhook-on", "$.notify.webhook.on", c.Webhook.On)
	if n.On, err = notify.ParseWhen(on.text); err != nil {
		return n, on.errorf("%w", err)
	}
	syslog := get("syslog", "$.notify.syslog.address", c.Syslog.Address)
	if n.Syslog = syslog.text; n.Syslog != "" {
		if _, _, err := notify.ParseAddress(n.Syslog); err != nil {
			return n, syslog.errorf("%w", err)
		}
	}
	format := get("syslog-format", "$.notify.syslog.format", c.Syslog.Format)
	if n.Format, err = notify.ParseFormat(format.text); err != nil {
		return n, format.errorf("%w", err)
	}
	least := get("syslog-severity", "$.notify.syslog.min_severity", c.Syslog.MinSeverity)
	n.Least = report.Medium
	if least.text != "" {
		if n.Least, err = report.ParseSeverity(least.text); err != nil {
			return n, least.errorf("%w", err)
		}
	}
	return n, nil
}

// secret reads the webhook's secret, so that a mistake is told before anything is sent.
func (n *notices) secret() ([]byte, error) {
	if n.Webhook == "" {
		return nil, nil
	}
	if n.SecretFile == "" {
		return nil, hint(fmt.Errorf("a webhook is signed: name a file with the secret (--webhook-secret)"), "openssl rand -hex 32 > webhook.secret; chmod 600 webhook.secret")
	}
	b, err := secret(n.SecretFile)
	if err != nil {
		return nil, err
	}
	b = bytes.TrimSpace(b)
	if err := (&notify.Webhook{URL: n.Webhook, Secret: b}).Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", relative(n.SecretFile), err)
	}
	return b, nil
}

// otherNotices takes whom to tell from the command line that goes on with a scan, where it says so.
func (sc *scanning) otherNotices(c *cli.Command) error {
	if !slices.ContainsFunc(notifyFlags(), func(f cli.Flag) bool { return c.IsSet(f.Names()[0]) }) {
		return nil
	}
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	sc.s.Notices, err = noticesOf(cfg.getter(c), cfg)
	return err
}

// notify tells of a scan. Whoever cannot be told is named, and the outcome of the scan stays what it is.
func (sc *scanning) notify(ctx context.Context) {
	n, r := &sc.s.Notices, sc.result
	if r == nil || n.Webhook == "" && n.Syslog == "" {
		return
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A log is quick, and a webhook may take minutes.
	if n.Syslog != "" {
		s := &notify.Syslog{Address: n.Syslog, Format: n.Format, Least: n.Least}
		sc.told("syslog", n.Syslog, s.Send(ctx, r, r.Changes))
	}
	if n.Webhook != "" && n.On.Wants(r, r.Changes) {
		w := &notify.Webhook{URL: n.Webhook, Secret: sc.secret}
		sc.told("webhook", w.Host(), w.Send(ctx, r, r.Changes))
	}
}

// told says how telling went. A failure is said even where --silent wants no talk.
func (sc *scanning) told(what, whom string, err error) {
	if err != nil {
		fmt.Fprintf(sc.p.err, "relaysweep: the %s at %s was not told: %v; the scan is stored all the same\n", what, whom, err)
		return
	}
	fmt.Fprintf(sc.talk, "relaysweep: told the %s at %s\n", what, whom)
}
