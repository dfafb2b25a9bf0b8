package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/probe/smtp"
)

// config is relaysweep.yaml. Every key is also a flag and an environment variable.
type config struct {
	Organisation string `yaml:"organisation"`
	Contact      string `yaml:"contact"`
	Scope        struct {
		Include []string `yaml:"include"`
		Exclude []string `yaml:"exclude"`
	} `yaml:"scope"`
	// Sources that name targets.
	TargetsFrom     []string `yaml:"targets_from"`
	NetBoxTokenFile string   `yaml:"netbox_token_file"`
	Ports           []int    `yaml:"ports"`
	AllPorts        []string `yaml:"all_ports"`
	Vantage         struct {
		Name   string `yaml:"name"`
		Zone   string `yaml:"zone"`
		Source string `yaml:"source"`
		// Further sources: addresses, ports, or both.
		Sources    []string `yaml:"sources"`
		SourcePort int      `yaml:"source_port"`
	} `yaml:"vantage"`
	Canary struct {
		Domain     string `yaml:"domain"`
		Listen     string `yaml:"listen"`
		KeyFile    string `yaml:"key_file"`
		Deliveries string `yaml:"deliveries"`
		Wait       string `yaml:"wait"`
		// Domains of ours whose MX records name the targets.
		MXNames []string `yaml:"mx_names"`
		// A mailbox that canaries come home to, where no sink can run.
		IMAP struct {
			Server       string `yaml:"server"`
			User         string `yaml:"user"`
			PasswordFile string `yaml:"password_file"`
			Mailbox      string `yaml:"mailbox"`
			TLS          string `yaml:"tls"`
			CAFile       string `yaml:"ca_file"`
		} `yaml:"imap"`
	} `yaml:"canary"`
	Local struct {
		Domains  []string `yaml:"domains"`
		Senders  []string `yaml:"senders"`
		Hello    string   `yaml:"hello"`
		Resolver string   `yaml:"resolver"`
		VRFY     bool     `yaml:"vrfy"`
	} `yaml:"local"`
	Rate struct {
		Total   *float64 `yaml:"total"`
		PerNet  *float64 `yaml:"per_net"`
		PerHost *float64 `yaml:"per_host"`
	} `yaml:"rate"`
	Window     string         `yaml:"window"` // quiet hours
	SelfTest   []string       `yaml:"self_test"`
	Gentle     bool           `yaml:"gentle"`
	StopAt     string         `yaml:"stop_at"`
	Vectors    []string       `yaml:"vectors"`
	VectorRows []probe.Vector `yaml:"vector_rows"`
	RecogDir   string         `yaml:"recog_dir"`
	// Firewalls on the way to the targets, nearest first.
	Rules []struct {
		Device    string              `yaml:"device"`
		File      string              `yaml:"file"`
		Files     []string            `yaml:"files"`     // more of them: IPv6, sets, the cloud's parts
		Zones     map[string][]string `yaml:"zones"`     // interfaces of each zone
		Networks  map[string][]string `yaml:"networks"`  // what lies behind each zone
		Addresses []string            `yaml:"addresses"` // the device's own
		From      string              `yaml:"from"`      // zone that our connections enter by, if not the vantage's
	} `yaml:"rules"`
	Approvals string   `yaml:"approvals"` // file of what is approved
	Assets    []string `yaml:"assets"`    // address plans: files, or the URL of a NetBox
	Inventory string   `yaml:"inventory"` // file or URL
	Site      string   `yaml:"site"`
	// Who is told when a scan is over.
	Notify struct {
		Webhook struct {
			URL        string `yaml:"url"`
			SecretFile string `yaml:"secret_file"`
			On         string `yaml:"on"`
		} `yaml:"webhook"`
		Syslog struct {
			Address     string `yaml:"address"`
			Format      string `yaml:"format"`
			MinSeverity string `yaml:"min_severity"`
		} `yaml:"syslog"`
	} `yaml:"notify"`

	file string
	tree *ast.File
}

// maxConfig bounds a configuration file.
const maxConfig = 1 << 20

// readConfig reads a configuration file. Errors are one line that names file and line.
func readConfig(name string) (*config, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, hint(err, "relaysweep init writes a commented configuration")
	}
	if info.Size() > maxConfig {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxConfig)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return parseConfig(name, b)
}

func parseConfig(name string, b []byte) (c *config, err error) {
	defer func() {
		if r := recover(); r != nil { // the library panics on some tags that a configuration has no use for
			c, err = nil, fmt.Errorf("%s: cannot be read as a configuration: relaysweep init --print shows one", name)
		}
	}()
	c = new(config)
	tree, err := parser.ParseBytes(b, 0)
	if err != nil {
		return nil, atLine(name, err)
	}
	if len(tree.Docs) > 1 {
		return nil, fmt.Errorf("%s:%d: a second document begins here: a configuration is one", name, tree.Docs[1].Start.Position.Line)
	}
	if err := yaml.UnmarshalWithOptions(b, c, yaml.Strict()); err != nil {
		return nil, atLine(name, err)
	}
	c.file, c.tree = name, tree // after decoding, which makes an empty file an empty config
	return c, nil
}

// atLine makes one line of a YAML error, which the library writes as "[line:column] text".
func atLine(name string, err error) error {
	text, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
	line := ""
	if pos, rest, ok := strings.Cut(text, "] "); ok && strings.HasPrefix(pos, "[") {
		line, _, _ = strings.Cut(pos[1:], ":")
		line, text = ":"+line, rest
	}
	if field, ok := strings.CutPrefix(text, "unknown field "); ok {
		text = fmt.Sprintf("unknown key %s: relaysweep init --print shows the keys", field)
	}
	if text = smtp.Escape(text); len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return fmt.Errorf("%s%s: %s", name, line, text)
}

// where is file:line of a key such as $.scope.include[2].
func (c *config) where(path string) string {
	if path == "" || c.tree == nil {
		return c.file
	}
	if p, err := yaml.PathString(path); err == nil {
		if node, err := p.FilterFile(c.tree); err == nil && node.GetToken() != nil {
			return fmt.Sprintf("%s:%d", c.file, node.GetToken().Position.Line)
		}
	}
	return c.file
}

// path is a file that the configuration names: from the folder that it is in.
func (c *config) path(file string) string {
	if file == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(filepath.Dir(c.file), file)
}

// entries are a list of the configuration with the place of each item.
func (c *config) entries(path string, list []string) []discover.Entry {
	var out []discover.Entry
	for i, text := range list {
		out = append(out, discover.Entry{Text: text, Where: c.where(fmt.Sprintf("%s[%d]", path, i))})
	}
	return out
}

// value is one setting with the place it came from, for error messages.
type value struct{ text, where string }

func (v value) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %w", v.where, fmt.Errorf(format, args...))
}

func (v value) addr() (netip.Addr, error) {
	if v.text == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(v.text)
	if err != nil {
		return a, v.errorf("%q is not an address: write it like 203.0.113.10", v.text)
	}
	return a, nil
}

func (v value) duration(zero time.Duration) (time.Duration, error) {
	if v.text == "" {
		return zero, nil
	}
	text := v.text
	if strings.Trim(text, "0123456789") == "" {
		text += "s" // a bare number counts seconds
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, v.errorf("%q is not a duration: write it like 5s or 2m", v.text)
	}
	return d, nil
}

// someTime is a duration that is not 0.
func (v value) someTime(zero time.Duration) (time.Duration, error) {
	d, err := v.duration(zero)
	if err == nil && d == 0 {
		return 0, v.errorf("a time of 0 leaves no time to look")
	}
	return d, err
}

// hostPort completes an address with a default port and checks it.
func (v value) hostPort(port string) (string, error) {
	if v.text == "" {
		return "", nil
	}
	if a, err := netip.ParseAddr(v.text); err == nil {
		return net.JoinHostPort(a.String(), port), nil
	}
	a, err := netip.ParseAddrPort(v.text)
	if err != nil {
		return "", v.errorf("%q is not address:port: write it like 203.0.113.25:%s", v.text, port)
	}
	return a.String(), nil
}
