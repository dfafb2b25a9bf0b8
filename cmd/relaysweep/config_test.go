package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v3"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/ratelimit"
)

// The shape of the file is a contract (DESIGN.md, section 6).
const designConfig = `organisation: Example City
contact: netops@city.example          # required for public space
scope:
  include: [198.51.100.0/24, 10.20.0.0/16, "2001:db8:51::25"]
  exclude: [10.20.99.0/24]
ports: [25, 465, 587, 2525]           # default: the list of RELAY.md 4
vantage: {name: outside, zone: wan, source: 203.0.113.10}
canary: {domain: example.net, listen: "203.0.113.25:25", key_file: canary.key, deliveries: deliveries.jsonl}
local: {domains: [org.example], senders: [alice@org.example], hello: scanner.example.net, resolver: "203.0.113.53:53"}
rate: {total: 1000, per_net: 200, per_host: 10}
stop_at: ready                        # accepted | ready | delivered
vectors: [default]                    # default, all, +auth, +xclient, ids, -ids
rules:
  - {device: fw1, file: fw1.nft.json, zones: {wan: [eth0], lan: [eth1]}}
approvals: approvals.yaml
inventory: relaysweep.db              # or postgres://…
`

func TestConfigOfTheDesign(t *testing.T) {
	c, err := parseConfig("relaysweep.yaml", []byte(designConfig))
	if err != nil {
		t.Fatal(err)
	}
	want := &config{Organisation: "Example City", Contact: "netops@city.example", Ports: []int{25, 465, 587, 2525}, StopAt: "ready", Vectors: []string{"default"}, Approvals: "approvals.yaml", Inventory: "relaysweep.db"}
	want.Scope.Include, want.Scope.Exclude = []string{"198.51.100.0/24", "10.20.0.0/16", "2001:db8:51::25"}, []string{"10.20.99.0/24"}
	want.Vantage.Name, want.Vantage.Zone, want.Vantage.Source = "outside", "wan", "203.0.113.10"
	want.Canary.Domain, want.Canary.Listen, want.Canary.KeyFile, want.Canary.Deliveries = "example.net", "203.0.113.25:25", "canary.key", "deliveries.jsonl"
	want.Local.Domains, want.Local.Senders, want.Local.Hello, want.Local.Resolver = []string{"org.example"}, []string{"alice@org.example"}, "scanner.example.net", "203.0.113.53:53"
	total, net, host := 1000.0, 200.0, 10.0
	want.Rate.Total, want.Rate.PerNet, want.Rate.PerHost = &total, &net, &host
	got := *c
	got.file, got.tree, got.Rules = "", nil, nil
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("got %+v,\nwant %+v", &got, want)
	}
	if len(c.Rules) != 1 || c.Rules[0].Device != "fw1" || c.Rules[0].File != "fw1.nft.json" || !slices.Equal(c.Rules[0].Zones["lan"], []string{"eth1"}) {
		t.Errorf("rules: %+v", c.Rules)
	}
	for _, tt := range []struct{ path, want string }{
		{"$.organisation", "relaysweep.yaml:1"},
		{"$.scope.include[2]", "relaysweep.yaml:4"},
		{"$.ports[0]", "relaysweep.yaml:6"},
		{"$.rate.per_host", "relaysweep.yaml:10"},
		{"$.stop_at", "relaysweep.yaml:11"},
		{"$.nothing", "relaysweep.yaml"},
		{"", "relaysweep.yaml"},
	} {
		if got := c.where(tt.path); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.path, got, tt.want)
		}
	}
}

// Messages name the file, the line and what is wrong.
func TestConfigMessages(t *testing.T) {
	for _, tt := range []struct{ name, yaml, want string }{
		{"unknown key", "ports: [25]\nportz: [26]\n", `c.yaml:2: unknown key "portz": relaysweep init --print shows the keys`},
		{"unknown key below", "canary:\n  domain: a.example\n  key: k\n", `c.yaml:3: unknown key "key": relaysweep init --print shows the keys`},
		{"unknown key of a rule", "rules:\n  - device: fw1\n    path: x\n", `c.yaml:3: unknown key "path": relaysweep init --print shows the keys`},
		{"key twice", "ports: [25]\ncontact: x\nports: [26]\n", `c.yaml:3: mapping key "ports" already defined at [1:1]`},
		{"key twice below", "scope:\n  include: []\n  exclude: []\n  include: []\n", `c.yaml:4: mapping key "include" already defined at [2:3]`},
		{"list not closed", "ports: [25\n", `c.yaml:1: sequence end token ']' not found`},
		{"quote not closed", "contact: 'x\n", `c.yaml:1: could not find end character of single-quoted text`},
		{"tab", "scope:\n\tinclude: []\n", `c.yaml:2: found character '\t' that cannot start any token`},
		{"text for a list", "ports: smtp\n", `c.yaml:1: string was used where sequence is expected`},
		{"text for a number", "ports: [smtp]\n", `c.yaml:1: cannot unmarshal string into Go struct field config.Ports of type int`},
		{"list for text", "\nstop_at: [ready]\n", `c.yaml:2: cannot unmarshal []interface {} into Go struct field config.StopAt of type string`},
		{"list for the whole", "- ports\n", `c.yaml:1: sequence was used where mapping is expected`},
		{"text for the whole", "relaysweep\n", `c.yaml:1: string was used where mapping is expected`},
		{"nothing for the whole", "null\n", `c.yaml:1: null was used where mapping is expected`},
		{"a tag that the library trips over", "ports: !!binary x\n", `c.yaml: cannot be read as a configuration: relaysweep init --print shows one`},
		{"second document", "ports: [25]\n---\nscope: {exclude: [10.0.0.0/8]}\n", `c.yaml:2: a second document begins here: a configuration is one`},
		{"unknown anchor", "ports: *none\n", `c.yaml:1: `},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseConfig("c.yaml", []byte(tt.yaml))
			if err == nil || err.Error() != tt.want && !(strings.HasSuffix(tt.want, " ") && strings.HasPrefix(err.Error(), tt.want)) {
				t.Errorf("got  %v,\nwant %s", err, tt.want)
			}
		})
	}
	for _, yaml := range []string{"", "\n", "# nothing\n", "---\n", "{}", "ports:\n"} {
		c, err := parseConfig("c.yaml", []byte(yaml))
		if err != nil {
			t.Errorf("%q: %v", yaml, err)
		} else if got := c.where("$.ports[3]"); !strings.HasPrefix(got, "c.yaml") {
			t.Errorf("%q: where is %q", yaml, got)
		}
	}
}

func TestConfigTooLarge(t *testing.T) {
	name := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(name, bytes.Repeat([]byte("#\n"), maxConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readConfig(name); err == nil || !strings.Contains(err.Error(), "large.yaml: larger than") {
		t.Errorf("got %v", err)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(template))
	f.Add([]byte(designConfig))
	for _, s := range []string{
		"vector_rows: [{id: X1, to: [\"<{t}@{C}>\"], helo: [\"{O}\"]}]", "vector_rows: [{id: 1}]", "vector_rows: [null]", "vector_rows: {a: b}", "vantage: {sources: [:25], source_port: 25}",
		"", "---\n", "ports: [25]\n---\nports: [26]", "a: &a [*a]", "<<: {ports: [1]}", "? x\n: y", "ports: !!binary x", "scope: {include: [&a 10.0.0.0/8, *a]}",
		"ports: 1\nports: 2", "contact: |\n  a\n  b\n", "\x00", "\xff\xfe", "%YAML 1.2\n---\n", "[", "{", "'", "\"\\x", "ports: [1e9, 0x19, 0o31]", "rules: [{zones: {a: [b]}}]", "\t", "- - - -", "a:\n- b\n c: d", ">" + strings.Repeat("9", 4000), "\x1b[31m: x",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseConfig("c.yaml", b)
		if err != nil {
			if text := err.Error(); strings.ContainsAny(text, "\n\r") || !strings.HasPrefix(text, "c.yaml") || len(text) > 2000 {
				t.Errorf("%q: %q", b, text)
			}
			return
		}
		for _, path := range []string{"$.organisation", "$.scope.include[0]", "$.ports[1]", "$.rate.total", "$.rules[0].device"} {
			if w := c.where(path); !strings.HasPrefix(w, "c.yaml") {
				t.Errorf("%q: %s is at %q", b, path, w)
			}
		}
		if _, err := c.vectorRows(c.Local.Domains); err != nil && (!strings.HasPrefix(err.Error(), "c.yaml") || strings.ContainsAny(err.Error(), "\n\r")) {
			t.Errorf("%q: %q", b, err)
		}
		if n := len(c.entries("$.scope.include", c.Scope.Include)); n != len(c.Scope.Include) {
			t.Errorf("%d entries of %d", n, len(c.Scope.Include))
		}
	})
}

// settingsOf resolves a command line of scan.
func settingsOf(t *testing.T, args ...string) (*settings, error) {
	t.Helper()
	p := &program{strings.NewReader(""), io.Discard, io.Discard}
	root := p.command()
	var s *settings
	var err error
	root.Command("scan").Action = func(_ context.Context, c *cli.Command) error {
		s, err = p.newSettings(c, c.Args().Slice())
		return nil
	}
	if e := root.Run(t.Context(), slices.Concat([]string{"relaysweep", "scan"}, args)); e != nil {
		t.Fatal(e)
	}
	return s, err
}

// The configuration that init writes reads back, and changes none of the defaults that the documents name.
func TestTemplate(t *testing.T) {
	c, err := parseConfig("relaysweep.yaml", []byte(template))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Ports) != 0 || c.StopAt != "ready" || !slices.Equal(c.Vectors, []string{"default"}) {
		t.Errorf("%+v", c)
	}
	name := filepath.Join(t.TempDir(), "relaysweep.yaml")
	if err := os.WriteFile(name, []byte(template), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty.yaml")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--config", name}, {"--config", empty, "10.0.0.0/24"}} {
		s, err := settingsOf(t, args...)
		if err != nil {
			t.Fatal(args, err)
		}
		if s.Rates != (ratelimit.Rates{Total: 1000, PerNet: 200, PerHost: 10}) {
			t.Errorf("%v: rates %+v", args, s.Rates)
		}
		if !slices.Equal(s.Ports, discover.DefaultPorts()) {
			t.Errorf("%v: ports %v", args, s.Ports)
		}
		if s.StopAt != probe.Ready || s.Vantage != "here" || s.Canary != "" || s.Listen != "" || s.Resolver != "" || s.Hello != "" || s.Source != (netip.Addr{}) || s.newKey != "" {
			t.Errorf("%v: %+v", args, s)
		}
		if s.Timeout != 3*time.Second || s.ServiceTimeout != 80*time.Second || s.Greeting != 30*time.Second || s.Wait != 30*time.Second || s.Probes != 64 {
			t.Errorf("%v: times %+v", args, s)
		}
		got, _ := probe.SelectVectors(probe.Vectors(), s.VectorWords)
		if len(got) != len(probe.DefaultVectors()) {
			t.Errorf("%v: %d of %d vectors", args, len(got), len(probe.DefaultVectors()))
		}
		scope, err := discover.NewScope(s.Spec)
		if err != nil || !slices.Equal(scope.Prefixes(), []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}) {
			t.Errorf("%v: scope %v, %v", args, scope, err)
		}
	}
}

// Its examples, which stand behind #, are right too.
func TestTemplateExamples(t *testing.T) {
	example := regexp.MustCompile(`(?m)^( *)# ([a-z_]+: .*[\]}])$`)
	all := example.FindAllStringSubmatch(template, -1)
	if len(all) < 5 {
		t.Fatalf("only %d examples", len(all))
	}
	for _, m := range all {
		yaml := m[2] + "\n"
		if m[1] != "" {
			yaml = "scope:\n  " + yaml
		}
		if _, err := parseConfig("example", []byte(yaml)); err != nil {
			t.Errorf("%s: %v", m[0], err)
		}
	}
	keys := configKeys(reflect.TypeFor[config](), "")
	for _, k := range keys {
		if !strings.Contains(template, k[strings.LastIndex(k, ".")+1:]+":") {
			t.Errorf("the template does not show %s", k)
		}
	}
}

// flagOf names the flag of each key of the configuration.
var flagOf = map[string]string{
	"organisation": "organisation", "contact": "contact", "ports": "port", "all_ports": "all-ports", "window": "window", "self_test": "self-test", "stop_at": "stop-at", "vectors": "vectors",
	// Targets are arguments or a list. They choose a part of the scope: public space must stand in the file.
	"scope.include": "input-list", "scope.exclude": "exclude",
	"targets_from": "targets-from", "netbox_token_file": "netbox-token-file",
	"vantage.name": "vantage", "vantage.zone": "zone", "vantage.source": "source-ip", "vantage.sources": "source", "vantage.source_port": "source-port",
	"canary.domain": "canary-domain", "canary.listen": "canary-listen", "canary.key_file": "canary-key", "canary.deliveries": "deliveries", "canary.wait": "canary-wait", "canary.mx_names": "canary-mx",
	"canary.imap.server": "imap-server", "canary.imap.user": "imap-user", "canary.imap.password_file": "imap-password-file", "canary.imap.mailbox": "imap-mailbox", "canary.imap.tls": "imap-tls", "canary.imap.ca_file": "imap-ca-file",
	"local.domains": "local-domain", "local.senders": "local-sender", "local.hello": "hello", "local.resolver": "resolver", "local.vrfy": "vrfy",
	"notify.webhook.url": "webhook", "notify.webhook.secret_file": "webhook-secret", "notify.webhook.on": "webhook-on",
	"notify.syslog.address": "syslog", "notify.syslog.format": "syslog-format", "notify.syslog.min_severity": "syslog-severity",
	"gentle": "gentle", "assets": "assets", "recog_dir": "recog-dir", "inventory": "inventory", "site": "site", "approvals": "approvals",
	"rate.total": "rate", "rate.per_net": "rate-per-net", "rate.per_host": "rate-per-host",
}

// fileOnly are keys that no flag can hold.
var fileOnly = map[string]string{"vector_rows": "rows with fields", "rules": "exports with their zones; --rules names files alone"}

// configKeys lists the keys of a configuration, with dots.
func configKeys(t reflect.Type, prefix string) []string {
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("yaml")
		switch {
		case key == "":
		case f.Type.Kind() == reflect.Struct:
			out = append(out, configKeys(f.Type, prefix+key+".")...)
		default:
			out = append(out, prefix+key)
		}
	}
	return out
}

// Every key is also a flag, and every flag an environment variable.
func TestEveryKeyIsAFlag(t *testing.T) {
	p := &program{strings.NewReader(""), io.Discard, io.Discard}
	root := p.command()
	known := make(map[string]cli.Flag)
	for _, f := range root.Command("scan").Flags {
		for _, n := range f.Names() {
			known[n] = f
		}
	}
	used := make(map[string]bool)
	for _, key := range configKeys(reflect.TypeFor[config](), "") {
		if fileOnly[key] != "" {
			continue
		}
		flag := flagOf[key]
		used[key] = true
		if flag == "" || known[flag] == nil {
			t.Errorf("%s has no flag (%q)", key, flag)
		}
	}
	for key := range flagOf {
		if !used[key] {
			t.Errorf("%s is no key of the configuration", key)
		}
	}
	var walk func(c *cli.Command)
	walk = func(c *cli.Command) {
		for _, f := range c.Flags {
			d, ok := f.(cli.DocGenerationFlag)
			want := "RELAYSWEEP_" + strings.ToUpper(strings.ReplaceAll(f.Names()[0], "-", "_"))
			if !ok || !slices.Equal(d.GetEnvVars(), []string{want}) {
				t.Errorf("%s --%s has no variable %s", c.FullName(), f.Names()[0], want)
			}
			if ok && d.GetUsage() == "" {
				t.Errorf("%s --%s is not explained", c.FullName(), f.Names()[0])
			}
		}
		for _, sub := range c.Commands {
			walk(sub)
		}
	}
	walk(root)
}

// A value from the file, from the environment and from a flag gives the same settings, and wins in that order.
func TestKeysAndFlagsAgree(t *testing.T) {
	values := map[string]struct{ yaml, flag string }{
		"organisation": {"Example City", "Example City"}, "contact": {"netops@city.example", "netops@city.example"}, "ports": {"[25, 2525]", "25,2525"}, "all_ports": {"[10.0.0.7, 10.0.0.8/30]", "10.0.0.7,10.0.0.8/30"}, "window": {"22:00-05:00", "22:00-05:00"}, "self_test": {`["10.0.0.1:25"]`, "10.0.0.1:25"}, "stop_at": {"accepted", "accepted"}, "vectors": {"[S1, S2]", "S1,S2"},
		"scope.exclude": {"[10.0.0.9, 10.0.0.10]", "10.0.0.9,10.0.0.10"},
		"vantage.name":  {"dmz", "dmz"}, "vantage.zone": {"z1", "z1"}, "vantage.source": {"127.0.0.1", "127.0.0.1"},
		"vantage.sources": {`[127.0.0.7, "127.0.0.8:2525", ":2526"]`, "127.0.0.7,127.0.0.8:2525,:2526"}, "vantage.source_port": {"25", "25"},
		"canary.domain": {"canary.example", "canary.example"}, "canary.listen": {"127.0.0.1:2525", "127.0.0.1:2525"}, "canary.deliveries": {"d.jsonl", "d.jsonl"}, "canary.wait": {"7s", "7s"}, "canary.mx_names": {"[m.example, n.example]", "m.example,n.example"},
		"canary.imap.server": {"imap.example", "imap.example:993"}, "canary.imap.user": {"u", "u"}, "canary.imap.password_file": {"p", "p"}, "canary.imap.mailbox": {"Canaries", "Canaries"}, "canary.imap.tls": {"starttls", "starttls"}, "canary.imap.ca_file": {"ca.pem", "ca.pem"},
		"local.domains": {"[a.example, b.example]", "a.example,b.example"}, "local.senders": {"[a@a.example]", "a@a.example"}, "local.hello": {"me.example", "me.example"}, "local.resolver": {"127.0.0.53", "127.0.0.53"}, "local.vrfy": {"true", "true"},
		"targets_from": {`[neighbours, "nmap:a.xml"]`, "neighbours,nmap:a.xml"}, "netbox_token_file": {"t", "t"},
		"notify.webhook.url": {"https://hooks.example.net/", "https://hooks.example.net/"}, "notify.webhook.secret_file": {"/w.secret", "/w.secret"}, "notify.webhook.on": {"always", "always"},
		"notify.syslog.address": {"udp://192.0.2.1:514", "udp://192.0.2.1:514"}, "notify.syslog.format": {"cef", "cef"}, "notify.syslog.min_severity": {"low", "low"},
		"gentle": {"true", "true"}, "recog_dir": {".", "."}, "inventory": {"/var/lib/i.db", "/var/lib/i.db"}, "site": {"north", "north"}, "approvals": {"/etc/a.yaml", "/etc/a.yaml"},
		"rate.total": {"5", "5"}, "rate.per_net": {"4", "4"}, "rate.per_host": {"0.5", "0.5"},
	}
	dir := t.TempDir()
	key := filepath.Join(dir, "canary.key")
	if err := os.WriteFile(key, []byte(strings.Repeat("0a", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	values["canary.key_file"] = struct{ yaml, flag string }{key, key}
	assets := filepath.Join(dir, "plan.csv") + ",https://netbox.example/"
	values["assets"] = struct{ yaml, flag string }{"[" + assets + "]", assets}
	plain := func(s *settings) string {
		c := *s
		c.Scan, c.Started, c.Seed = "", time.Time{}, 0
		if !bytes.Equal(c.Key, bytes.Repeat([]byte{10}, 32)) {
			c.Key = nil
		}
		c.Spec.Exclude = slices.Clone(c.Spec.Exclude)
		for i := range c.Spec.Exclude {
			c.Spec.Exclude[i].Where = ""
		}
		c.Sources = slices.Clone(c.Sources)
		for i := range c.Sources {
			c.Sources[i].Where = ""
		}
		c.TargetsFrom = slices.Clone(c.TargetsFrom)
		for i := range c.TargetsFrom {
			c.TargetsFrom[i].Where = ""
		}
		c.Assets = slices.Clone(c.Assets)
		for i := range c.Assets {
			c.Assets[i].Where = ""
		}
		c.AllPorts = slices.Clone(c.AllPorts)
		for i := range c.AllPorts {
			c.AllPorts[i].Where = ""
		}
		return fmt.Sprintf("%+v", c)
	}
	empty := filepath.Join(dir, "empty.yaml")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	get := func(args ...string) string {
		s, err := settingsOf(t, args...)
		if err != nil {
			t.Fatal(args, err)
		}
		return plain(s)
	}
	nothing := get("--config", empty)
	for k, flag := range flagOf {
		v, ok := values[k]
		if !ok {
			if k != "scope.include" {
				t.Errorf("no value for %s", k)
			}
			continue
		}
		yaml := ""
		for depth, name := range strings.Split(k, ".") {
			yaml += "\n" + strings.Repeat("  ", depth) + name + ":"
		}
		yaml += " " + v.yaml + "\n"
		file := filepath.Join(dir, "c.yaml")
		if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		fromFile, fromFlag := get("--config", file), get("--config", empty, "--"+flag+"="+v.flag)
		variable := "RELAYSWEEP_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
		os.Setenv(variable, v.flag)
		fromEnv := get("--config", empty)
		os.Unsetenv(variable)
		if fromFile == nothing {
			t.Errorf("%s changes nothing", k)
		}
		if fromFlag != fromFile || fromEnv != fromFile {
			t.Errorf("%s:\nfile %s\nflag %s\n env %s", k, fromFile, fromFlag, fromEnv)
		}
	}
}

func TestLists(t *testing.T) {
	got, err := readList("f", strings.NewReader("# comment\n\n 10.0.0.1 # host\r\n10.0.0.2,name,more\n,\n#\n10.0.0.3-10.0.0.9"))
	want := []discover.Entry{{Text: "10.0.0.1", Where: "f:3"}, {Text: "10.0.0.2", Where: "f:4"}, {Text: "10.0.0.3-10.0.0.9", Where: "f:7"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if _, err := readList("f", strings.NewReader("10.0.0.1\n"+strings.Repeat("x", 1<<17))); err == nil || !strings.HasPrefix(err.Error(), "f:2: ") {
		t.Errorf("a line without end: %v", err)
	}
}

// The literal of the sink's address is ours only where it means the same to every server.
func TestSinkAddress(t *testing.T) {
	for listen, want := range map[string]string{
		"203.0.113.25:25": "203.0.113.25", "[2001:db8::25]:25": "2001:db8::25", "10.0.0.25:2525": "10.0.0.25", "[::ffff:10.0.0.25]:25": "10.0.0.25",
		"": "invalid IP", "0.0.0.0:25": "invalid IP", "[::]:25": "invalid IP", "127.0.0.1:25": "invalid IP", "[::1]:25": "invalid IP", "169.254.1.1:25": "invalid IP",
	} {
		if got := sinkAddress(listen).String(); got != want {
			t.Errorf("%q: got %s, want %s", listen, got, want)
		}
	}
}
