package main

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/ratelimit"
	"relaysweep/report/inventory"
)

// settings are all that a scan needs to know, made once from flags, environment and configuration, in that order of
// precedence. They are stored with the scan, so that it can be resumed as it was.
type settings struct {
	Scan           string
	Started        time.Time
	Spec           discover.Spec
	Ports          []uint16
	Seed           uint64
	ScanType       string           // auto, syn, connect
	SelfTest       []netip.AddrPort // listeners that are known to be open
	AllPorts       []discover.Entry // hosts whose ports are all tried
	Shard, Shards  uint64           // our part, from 1, of how many; 0: there are none
	Vantage        string
	Zone           string
	Source         netip.Addr
	Sources        []discover.Entry // further sources, as discover.ParseSource reads them
	Canary         string           // domain
	Listen         string           // of the sink inside the scan
	Key            []byte
	MXNames        []string
	DeliveriesFile string
	IMAP           imapSettings  // of a mailbox that canaries come home to
	Wait           time.Duration // for deliveries, after the last probe
	Domains        []string
	Senders        []string
	Hello          string
	Resolver       string
	VRFY           bool
	Gentle         bool
	RecogDir       string
	Rates          ratelimit.Rates
	StopAt         probe.Verdict
	VectorWords    []string
	VectorRows     []probe.Vector
	Timeout        time.Duration
	ServiceTimeout time.Duration
	Greeting       time.Duration
	InFlight       int
	Probes         int
	DiscoverOnly   bool
	Probe          bool // named endpoints, one after the other: nothing to resume
	FailOn         string
	AuditLog       string
	Outputs        outputs
	Rules          []exports        // of the firewalls on the way
	Approvals      string           // file of what is approved
	Notices        notices          // who is told when it is over
	Assets         []discover.Entry // address plans: files, and URLs of NetBox
	Within         []within         // targets that the scan keeps to; empty: all
	Inventory      string           // file or URL
	Site           string           // that the endpoints belong to
	Since          time.Time        // what was looked at since is passed over; zero: nothing is
	Notes          []string
	TargetsFrom    []discover.Entry // sources that name targets, as source.Parse reads them; what they named is in Spec
	TokenFile      string           // of NetBox
	Named          []string         // what each of those sources named, in a line

	newKey string // file that Key is to be written to, before anything is sent
}

// Polite defaults: they are printed at the start of each scan.
const (
	defaultTotal   = 1000
	defaultPerNet  = 200
	defaultPerHost = 10
)

// The pace of --gentle: what bans count is refusals.
const (
	gentleRefusals = 4
	gentleWindow   = 10 * time.Minute
	gentleProbes   = 1024 // most of them wait
)

func env(name string) cli.ValueSourceChain {
	return cli.NewValueSourceChain(&variable{key: "RELAYSWEEP_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))})
}

// variable is an environment variable that a flag falls back to. One that is empty is none.
type variable struct {
	key  string
	used bool
}

// Lookup implements cli.ValueSource. It is asked only where the flag was not given.
func (v *variable) Lookup() (string, bool) {
	s := os.Getenv(v.key)
	v.used = s != ""
	return s, v.used
}

func (v *variable) String() string   { return "environment variable " + v.key }
func (v *variable) GoString() string { return v.String() }
func (v *variable) IsFromEnv() bool  { return true }
func (v *variable) Key() string      { return v.key }

// given names the place that a flag's value stands in: the flag itself, or its variable.
func given(c *cli.Command, flag string) string {
	for _, f := range c.Flags {
		if !slices.Contains(f.Names(), flag) {
			continue
		}
		var sources cli.ValueSourceChain
		switch f := f.(type) {
		case *cli.StringFlag:
			sources = f.Sources
		case *cli.StringSliceFlag:
			sources = f.Sources
		case *cli.BoolFlag:
			sources = f.Sources
		}
		for _, s := range sources.Chain {
			if v, ok := s.(*variable); ok && v.used {
				return v.key
			}
		}
	}
	return "--" + flag
}

func stringFlag(name, usage string, aliases ...string) cli.Flag {
	return &cli.StringFlag{Name: name, Usage: usage, Aliases: aliases, Sources: env(name), HideDefault: true}
}

func listFlag(name, usage string, aliases ...string) cli.Flag {
	return &cli.StringSliceFlag{Name: name, Usage: usage, Aliases: aliases, Sources: env(name), HideDefault: true}
}

func boolFlag(name, usage string, aliases ...string) cli.Flag {
	return &cli.BoolFlag{Name: name, Usage: usage, Aliases: aliases, Sources: env(name), HideDefault: true}
}

// targetFlags choose what is looked at, and how fast.
func targetFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("config", "configuration `FILE` (default relaysweep.yaml where it exists)"),
		stringFlag("port", "`PORTS` such as 25,465,2500-2599; - for all (default: the ports where SMTP is found)", "p"),
		listFlag("input-list", "read targets from `FILE`, one a line; - for stdin", "iL", "l"),
		listFlag("exclude", "addresses, CIDRs or ranges never to touch", "eh"),
		listFlag("exclude-file", "read exclusions from `FILE`, one a line", "excludefile", "ef"),
		stringFlag("rate", "connections a second in all; 0 for no cap (default 1000)", "max-rate"),
		stringFlag("rate-per-net", "a second for each /24 or IPv6 /64 (default 200)"),
		stringFlag("rate-per-host", "a second for each address (default 10)"),
		listFlag("self-test", "listeners of yours in the scope, `ADDRESS:PORT`, that are known to be open: where they are not seen, silence is not believed"),
		stringFlag("window", "quiet `HOURS`, local time, such as 22:00-05:00: nothing is begun in them, and the scan goes on by itself after them; !22:00-05:00 for all but these"),
		stringFlag("timeout", "for one handshake, such as 3s (default 3s)"),
		stringFlag("concurrency", "handshakes under way at once (default: by rate and timeout)", "c"),
		stringFlag("scan-type", "auto, syn (raw packets; needs CAP_NET_RAW) or connect (no rights) (default auto)"),
		stringFlag("seed", "order of the scan; the same seed gives the same order"),
		stringFlag("vantage", "name of the place we look from, such as internet or inside"),
		stringFlag("zone", "firewall zone of the vantage"),
		rulesFlag(),
		approvalsFlag(),
		assetsFlag(),
		stringFlag("source-ip", "source `ADDRESS`"),
		listFlag("source", "further `SOURCES`, such as 203.0.113.77,203.0.113.10:25,:25: what is not open is tried again from each"),
		stringFlag("source-port", "the same from this source `PORT`, such as 25", "g"),
		stringFlag("organisation", "who owns the address space"),
		stringFlag("contact", "whom to ask; required for public space"),
		stringFlag("audit-log", "append every probe to `FILE` (default: beside the scan's state)"),
		stringFlag("resolver", "DNS server `ADDRESS[:PORT]` for the names of targets, and for --targets-from (default: nothing is looked up)"),
	}
}

// probeFlags choose what is asked of mail servers.
func probeFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("stop-at", "accepted, ready (354, then cut: no mail) or delivered (a canary goes through) (default ready)"),
		listFlag("vectors", "rows of relaysweep vectors to try: default, all, ids, -ids, +auth, +xclient, +proxy, +qmtp, +smuggling, +injection; a list that begins with + or - changes the default"),
		stringFlag("canary-domain", "mail `DOMAIN` of yours whose mail comes home to the sink"),
		stringFlag("canary-listen", "`ADDRESS:PORT` of the sink inside the scan"),
		stringFlag("canary-key", "`FILE` with the secret that canaries are made with; written if it is missing"),
		listFlag("canary-mx", "`DOMAINS` of yours whose MX records name the targets"),
		stringFlag("canary-wait", "wait so long for canaries after the last probe (default 30s)"),
		stringFlag("deliveries", "`FILE` that the sink writes, or that canary serve writes and scan reads"),
		imapFlag("server"), imapFlag("user"), imapFlag("password-file"), imapFlag("mailbox"), imapFlag("tls"), imapFlag("ca-file"),
		listFlag("local-domain", "mail domains of the organisation"),
		listFlag("local-sender", "existing addresses of the organisation, to be forged"),
		boolFlag("vrfy", "ask VRFY whether the local senders exist"),
		stringFlag("hello", "our own name in EHLO (default: our address literal)"),
		stringFlag("service-timeout", "time for one service; what is not tried by then is unknown (default 80s)"),
		stringFlag("greeting-timeout", "wait for a greeting on mail ports (default 30s)"),
		stringFlag("probes", "services tested at once (default 64; 1024 with --gentle)"),
		boolFlag("gentle", "at most 4 refusals per host in 10 minutes, so that no server bans us; a service may take hours"),
		stringFlag("recog-dir", "`FOLDER` with Recog's XML fingerprints, to name more products"),
	}
}

// newSettings resolves a command line. targets are its arguments.
func (p *program) newSettings(c *cli.Command, args []string) (*settings, error) {
	cfg, err := loadConfig(c)
	if err != nil {
		return nil, err
	}
	s := &settings{Scan: newScanID(), Started: time.Now().UTC()}
	get := cfg.getter(c)
	list := func(flag, key string, fromFile []string) ([]string, string) {
		if c.IsSet(flag) {
			return c.StringSlice(flag), given(c, flag)
		}
		return fromFile, cfg.where(key)
	}
	s.Spec.Organisation = get("organisation", "$.organisation", cfg.Organisation).text
	s.Spec.Contact = get("contact", "$.contact", cfg.Contact).text
	if err := p.scopeOf(c, cfg, args, &s.Spec); err != nil {
		return nil, err
	}
	if err := s.namingOf(c, cfg, get, list); err != nil {
		return nil, err
	}
	if s.Ports, err = portsOf(c, cfg); err != nil {
		return nil, err
	}
	s.Vantage = get("vantage", "$.vantage.name", cfg.Vantage.Name).text
	s.Zone = get("zone", "$.vantage.zone", cfg.Vantage.Zone).text
	if s.Vantage == "" {
		s.Vantage = "here"
	}
	if s.Source, err = get("source-ip", "$.vantage.source", cfg.Vantage.Source).addr(); err != nil {
		return nil, err
	}
	if err := ownAddress(s.Source, get("source-ip", "$.vantage.source", cfg.Vantage.Source)); err != nil {
		return nil, err
	}
	if err := s.furtherSources(c, cfg, get); err != nil {
		return nil, err
	}
	if s.Rates, err = ratesOf(c, cfg); err != nil {
		return nil, err
	}
	window := get("window", "$.window", cfg.Window)
	if s.Rates.Quiet, err = ratelimit.ParseHours(window.text); err != nil {
		return nil, window.errorf("%s", strings.TrimPrefix(err.Error(), "ratelimit: "))
	}
	if s.Timeout, err = get("timeout", "", "").someTime(3 * time.Second); err != nil {
		return nil, err
	}
	if s.InFlight, err = number(get("concurrency", "", ""), inFlight(s.Rates.Total, s.Timeout)); err != nil {
		return nil, err
	}
	if s.Seed, err = seedOf(get("seed", "", "")); err != nil {
		return nil, err
	}
	if err := s.partition(c, cfg, get); err != nil {
		return nil, err
	}
	s.ScanType = get("scan-type", "", "").text
	known, where := list("self-test", "$.self_test", cfg.SelfTest)
	if s.SelfTest, err = listeners(known, where); err != nil {
		return nil, err
	}
	s.AuditLog = get("audit-log", "", "").text
	if s.Inventory, err = inventoryName(c, cfg); err != nil {
		return nil, err
	}
	if err := s.probing(c, cfg, get, list); err != nil {
		return nil, err
	}
	if s.Rules, err = exportsOf(c, cfg); err != nil {
		return nil, err
	}
	if s.Notices, err = noticesOf(get, cfg); err != nil {
		return nil, err
	}
	if s.Approvals = get("approvals", "$.approvals", cfg.path(cfg.Approvals)).text; s.Approvals != "" {
		s.Approvals = absolute(s.Approvals)
	}
	if s.Assets, err = assetsOf(c, cfg); err != nil {
		return nil, err
	}
	s.Site = get("site", "$.site", cfg.Site).text
	s.Since, err = sinceOf(get("since", "", ""), s.Started)
	return s, err
}

type getter func(flag, key, fromFile string) value

// getter gets settings from the command line, the environment or the file, in this order.
func (cfg *config) getter(c *cli.Command) getter {
	return func(flag, key, fromFile string) value {
		if c.IsSet(flag) {
			return value{c.String(flag), given(c, flag)}
		}
		return value{fromFile, cfg.where(key)}
	}
}

// probing resolves what is asked of mail servers.
func (s *settings) probing(c *cli.Command, cfg *config, get getter, list func(flag, key string, fromFile []string) ([]string, string)) (err error) {
	s.Canary = strings.ToLower(strings.TrimSuffix(get("canary-domain", "$.canary.domain", cfg.Canary.Domain).text, "."))
	if s.Canary != "" && !mailDomain(s.Canary) {
		return get("canary-domain", "$.canary.domain", cfg.Canary.Domain).errorf("%q is not a mail domain: write it like canary.example.net", s.Canary)
	}
	if s.Listen, err = get("canary-listen", "$.canary.listen", cfg.Canary.Listen).hostPort("25"); err != nil {
		return err
	}
	s.DeliveriesFile = get("deliveries", "$.canary.deliveries", cfg.Canary.Deliveries).text
	if s.IMAP, err = imapOf(cfg, get); err != nil {
		return err
	}
	if s.Wait, err = get("canary-wait", "$.canary.wait", cfg.Canary.Wait).duration(30 * time.Second); err != nil {
		return err
	}
	stop := get("stop-at", "$.stop_at", cfg.StopAt)
	if stop.text == "" {
		stop.text = "ready"
	}
	if err := s.StopAt.UnmarshalText([]byte(stop.text)); err != nil || !slices.Contains([]probe.Verdict{probe.Accepted, probe.Ready, probe.Delivered}, s.StopAt) {
		return stop.errorf("stop_at %q does not exist: it is accepted, ready or delivered", stop.text)
	}
	if s.StopAt == probe.Delivered && s.Canary == "" {
		return stop.errorf("stop_at delivered sends messages, and they may only go to a mail domain of yours: set canary.domain (--canary-domain)")
	}
	sees := s.Listen != "" || s.DeliveriesFile != "" || s.IMAP.Server != "" || inventory.IsURL(s.Inventory) // a sink elsewhere may write there
	if s.StopAt == probe.Delivered && !sees {
		return stop.errorf("stop_at delivered needs to see what comes home: set canary.listen for a sink inside the scan, or canary.deliveries, which relaysweep canary serve writes, or canary.imap, a mailbox")
	}
	keyFile := get("canary-key", "$.canary.key_file", cfg.Canary.KeyFile).text
	missing := false
	if s.Key, missing, err = keyOf(keyFile); err != nil {
		return err
	}
	if missing && s.StopAt == probe.Delivered {
		s.newKey = keyFile
	}
	var where string
	for _, l := range []struct {
		out  *[]string
		flag string
		key  string
		file []string
		ok   func(string) bool
		what string
	}{
		{&s.Domains, "local-domain", "$.local.domains", cfg.Local.Domains, mailDomain, "a mail domain: write it like org.example"},
		{&s.MXNames, "canary-mx", "$.canary.mx_names", cfg.Canary.MXNames, mailDomain, "a mail domain: write it like mx-test.example.net"},
		{&s.Senders, "local-sender", "$.local.senders", cfg.Local.Senders, mailAddress, "a mail address: write it like alice@org.example"},
	} {
		*l.out, where = list(l.flag, l.key, l.file)
		for _, v := range *l.out {
			if !l.ok(v) {
				return fmt.Errorf("%s: %q is not %s", where, v, l.what)
			}
		}
	}
	hello := get("hello", "$.local.hello", cfg.Local.Hello)
	if s.Hello = hello.text; s.Hello != "" && !mailDomain(s.Hello) {
		return hello.errorf("%q is not a host name: write it like scanner.example.net", s.Hello)
	}
	if s.Resolver, err = get("resolver", "$.local.resolver", cfg.Local.Resolver).hostPort("53"); err != nil {
		return err
	}
	if s.VectorRows, err = cfg.vectorRows(s.Domains); err != nil {
		return err
	}
	s.VectorWords, where = list("vectors", "$.vectors", cfg.Vectors)
	if _, err := s.vectors(); err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	s.VRFY, s.Gentle = cfg.Local.VRFY, cfg.Gentle
	if c.IsSet("vrfy") {
		s.VRFY = c.Bool("vrfy")
	}
	if c.IsSet("gentle") {
		s.Gentle = c.Bool("gentle")
	}
	recog := get("recog-dir", "$.recog_dir", cfg.RecogDir)
	if s.RecogDir = recog.text; s.RecogDir != "" {
		if info, err := os.Stat(s.RecogDir); err != nil || !info.IsDir() {
			return recog.errorf("%s is not a folder: name the one with Recog's XML files", s.RecogDir)
		}
	}
	if s.ServiceTimeout, err = get("service-timeout", "", "").someTime(80 * time.Second); err != nil {
		return err
	}
	if s.Greeting, err = get("greeting-timeout", "", "").someTime(30 * time.Second); err != nil {
		return err
	}
	atOnce := 64
	if s.Gentle {
		atOnce = gentleProbes
	}
	s.Probes, err = number(get("probes", "", ""), atOnce)
	return err
}

func loadConfig(c *cli.Command) (*config, error) {
	name := c.String("config")
	if name == "" {
		name = "relaysweep.yaml"
		if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) {
			return &config{file: "relaysweep.yaml"}, nil
		}
	}
	return readConfig(name)
}

// scopeOf gathers what is in scope: arguments, lists, stdin, and the configuration.
func (p *program) scopeOf(c *cli.Command, cfg *config, args []string, spec *discover.Spec) error {
	spec.Include = cfg.entries("$.scope.include", cfg.Scope.Include)
	spec.Exclude = cfg.entries("$.scope.exclude", cfg.Scope.Exclude)
	for _, a := range args {
		if a == "-" {
			entries, err := readList("stdin", p.in)
			if err != nil {
				return err
			}
			spec.Targets = append(spec.Targets, entries...)
			continue
		}
		spec.Targets = append(spec.Targets, discover.Entry{Text: a, Where: "target"})
	}
	lists := []struct {
		flag string
		out  *[]discover.Entry
	}{{"input-list", &spec.Targets}, {"exclude-file", &spec.Exclude}}
	for _, l := range lists {
		for _, name := range c.StringSlice(l.flag) {
			entries, err := p.readListFile(name)
			if err != nil {
				return err
			}
			if len(entries) == 0 && l.flag == "input-list" {
				return fmt.Errorf("%s: no targets in it: write one a line", name)
			}
			*l.out = append(*l.out, entries...)
		}
	}
	for _, e := range c.StringSlice("exclude") {
		spec.Exclude = append(spec.Exclude, discover.Entry{Text: e, Where: given(c, "exclude")})
	}
	return nil
}

func (p *program) readListFile(name string) ([]discover.Entry, error) {
	if name == "-" {
		return readList("stdin", p.in)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readList(name, f)
}

// readList reads one entry a line. Blank lines and # comments are left out, as is what follows a comma.
func readList(name string, r io.Reader) ([]discover.Entry, error) {
	var out []discover.Entry
	scan := bufio.NewScanner(r)
	n := 1
	for ; scan.Scan(); n++ {
		line, _, _ := strings.Cut(scan.Text(), "#")
		line, _, _ = strings.Cut(line, ",")
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, discover.Entry{Text: line, Where: fmt.Sprintf("%s:%d", name, n)})
		}
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, n, err)
	}
	return out, nil
}

func portsOf(c *cli.Command, cfg *config) ([]uint16, error) {
	if c.IsSet("port") {
		ports, err := discover.ParsePorts(c.String("port"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", given(c, "port"), err)
		}
		return ports, nil
	}
	if len(cfg.Ports) == 0 {
		return discover.DefaultPorts(), nil
	}
	var out []uint16
	for i, n := range cfg.Ports {
		if n < 1 || n > 65535 {
			return nil, fmt.Errorf("%s: port %d does not exist: ports run from 1 to 65535", cfg.where(fmt.Sprintf("$.ports[%d]", i)), n)
		}
		out = append(out, uint16(n))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func ratesOf(c *cli.Command, cfg *config) (ratelimit.Rates, error) {
	var r ratelimit.Rates
	for _, v := range []struct {
		out  *float64
		flag string
		key  string
		file *float64
		zero float64
	}{
		{&r.Total, "rate", "$.rate.total", cfg.Rate.Total, defaultTotal},
		{&r.PerNet, "rate-per-net", "$.rate.per_net", cfg.Rate.PerNet, defaultPerNet},
		{&r.PerHost, "rate-per-host", "$.rate.per_host", cfg.Rate.PerHost, defaultPerHost},
	} {
		where := cfg.where(v.key)
		switch *v.out = v.zero; {
		case c.IsSet(v.flag):
			where = given(c, v.flag)
			var err error
			if *v.out, err = strconv.ParseFloat(c.String(v.flag), 64); err != nil {
				return r, fmt.Errorf("%s: %q is not a number of connections a second: write it like 200", where, c.String(v.flag))
			}
		case v.file != nil:
			*v.out = *v.file
		}
		if *v.out < 0 || math.IsNaN(*v.out) || math.IsInf(*v.out, 0) {
			return r, fmt.Errorf("%s: a rate is 0 (no cap) or more a second", where)
		}
	}
	return r, nil
}

// inFlight is how many handshakes a rate can keep under way when every one of them times out.
func inFlight(rate float64, timeout time.Duration) int {
	n := int(rate * timeout.Seconds())
	if rate == 0 {
		n = 2048
	}
	return max(64, min(n, 4096, fileLimit()/2))
}

func number(v value, zero int) (int, error) {
	if v.text == "" {
		return zero, nil
	}
	n, err := strconv.Atoi(v.text)
	if err != nil || n < 1 || n > 1<<16 {
		return 0, v.errorf("%q is not a number from 1 to 65536", v.text)
	}
	return n, nil
}

func seedOf(v value) (uint64, error) {
	if v.text != "" {
		seed, err := strconv.ParseUint(v.text, 10, 64)
		if err != nil {
			return 0, v.errorf("%q is not a seed: it is a whole number", v.text)
		}
		return seed, nil
	}
	b := make([]byte, 8)
	rand.Read(b)
	return binary.BigEndian.Uint64(b), nil
}

func newScanID() string {
	b := make([]byte, 3)
	rand.Read(b)
	return time.Now().UTC().Format("20060102-150405-") + hex.EncodeToString(b)
}

// keyOf reads the canary key, or makes one where the file is missing. Without a file the key lives as long as the scan.
func keyOf(name string) (key []byte, missing bool, err error) {
	key = make([]byte, 32)
	rand.Read(key)
	if name == "" {
		return key, false, nil
	}
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return key, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	if key, err = hex.DecodeString(strings.TrimSpace(string(b))); err != nil || len(key) < 16 {
		return nil, false, fmt.Errorf("%s: not a canary key: it holds 32 to 64 hexadecimal digits", name)
	}
	return key, false, nil
}

// writeKey writes a new canary key.
func writeKey(name string, key []byte) error {
	return os.WriteFile(name, []byte(hex.EncodeToString(key)+"\n"), 0o600)
}

// ownAddress checks that a source address is one of this machine.
func ownAddress(a netip.Addr, v value) error {
	if !a.IsValid() {
		return nil
	}
	l, err := net.Listen("tcp", netip.AddrPortFrom(a, 0).String())
	if err != nil {
		return v.errorf("%s is not an address of this machine: name one that it has, or leave it away", a)
	}
	return l.Close()
}

func mailDomain(s string) bool {
	if s == "" || len(s) > 253 || !strings.Contains(s, ".") {
		return false
	}
	for label := range strings.SplitSeq(strings.ToLower(s), ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || label[0] == '-' {
			return false
		}
	}
	return true
}

func mailAddress(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && mailDomain(domain) && local != "" && len(local) <= 64 && !strings.ContainsFunc(local, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`<>"\@`, r) })
}
