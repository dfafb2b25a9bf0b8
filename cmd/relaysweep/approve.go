package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/urfave/cli/v3"

	"relaysweep/probe"
	"relaysweep/report"
)

func (p *program) approveCommand() *cli.Command {
	return &cli.Command{
		Name: "approve", Usage: "append an approval of what a stored scan found to approvals.yaml; nothing is sent to anyone", ArgsUsage: "ADDRESS:PORT",
		Description: "An address without a port stands for its mail services. The rest of the file stays as it is, byte for byte.\nA relay goes on to be a finding unless --relay-from says for whom it may relay.",
		Flags: append([]cli.Flag{
			stringFlag("owner", "who answers for the service, such as a department"),
			stringFlag("approver", "who allows it"),
			stringFlag("reason", "what it is for"),
			stringFlag("ticket", "where that was decided"),
			stringFlag("expires", "last `DAY` (UTC), such as 2027-03-31; two years from now at most"),
			stringFlag("vantage", "the `NAME` of the place that may reach it; * for all (default: the scan's)"),
			stringFlag("service", "what is expected: a protocol, or submission (default: the protocol that was found)"),
			stringFlag("product", "the product that is expected, such as Postfix"),
			listFlag("relay-from", "prefixes and vantages that it may relay for (default: none)"),
			listFlag("relay-to", "mail domains that it may relay to, for those (default: all)"),
			stringFlag("file", "the `FILE` (default: that of the configuration, or approvals.yaml)"),
			stringFlag("scan", "`ID` of the scan (default: the last one)"),
			stringFlag("config", "configuration `FILE` (default relaysweep.yaml where it exists)"),
			boolFlag("dry-run", "print the entry, and write nothing"),
		}, inventoryFlags()[:1]...),
		Action: p.approve,
	}
}

func (p *program) approve(ctx context.Context, c *cli.Command) error {
	if err := noArguments(c, 1); err != nil {
		return err
	}
	today := time.Now().UTC().Truncate(24 * time.Hour)
	a, err := approvalOf(c, today)
	if err != nil {
		return usage(err)
	}
	found, err := storedFindings(ctx, c, cmp.Or(c.String("scan"), "last"))
	if err != nil {
		return err
	}
	relays, err := describe(c, &a, found)
	if err != nil {
		return usage(err)
	}
	cfg, err := loadConfig(c)
	if err != nil {
		return usage(err)
	}
	name := relative(cmp.Or(c.String("file"), cfg.path(cfg.Approvals), "approvals.yaml"))
	text, err := appendApproval(name, &a, c.Bool("dry-run"))
	if err != nil {
		return usage(err)
	}
	if _, err := io.WriteString(p.out, text); err != nil {
		return err
	}
	if c.Bool("dry-run") {
		fmt.Fprintf(p.err, "relaysweep: nothing was written to %s\n", name)
	} else {
		fmt.Fprintf(p.err, "relaysweep: appended to %s\n", name)
	}
	if relays && len(a.RelayFrom) == 0 {
		fmt.Fprintln(p.err, "relaysweep: it relays, and this lets it relay for nobody, so that it stays a finding (--relay-from says for whom it may)")
	}
	if c.String("file") == "" && cfg.Approvals == "" {
		fmt.Fprintf(p.err, "relaysweep: scans read it once the configuration names it: approvals: %s\n", name)
	}
	return nil
}

// approvalOf is what the flags say.
func approvalOf(c *cli.Command, today time.Time) (report.Approval, error) {
	a := report.Approval{Approved: today}
	if !c.Args().Present() {
		return a, errors.New("approve: name what is approved, such as 198.51.100.25:25")
	}
	for _, f := range []struct {
		flag string
		out  *string
	}{{"owner", &a.Owner}, {"approver", &a.Approver}, {"reason", &a.Reason}, {"ticket", &a.Ticket}} {
		if *f.out = strings.TrimSpace(c.String(f.flag)); *f.out == "" {
			return a, fmt.Errorf("approve: --%s is missing: an approval names owner, approver, reason, ticket and expires", f.flag)
		}
		if !oneLine(*f.out) || len(*f.out) > 1000 {
			return a, fmt.Errorf("%s: write it as one line", given(c, f.flag))
		}
	}
	for _, f := range []string{"vantage", "service", "product"} {
		if !oneLine(c.String(f)) || len(c.String(f)) > 100 {
			return a, fmt.Errorf("%s: write it as one short line", given(c, f))
		}
	}
	if !c.IsSet("expires") {
		return a, fmt.Errorf("approve: --expires is missing: every approval ends, such as --expires %s", today.AddDate(1, 0, 0).Format(time.DateOnly))
	}
	var err error
	if a.Service, err = serviceName(c.String("service")); err != nil {
		return a, fmt.Errorf("%s: %w, name it with --product", given(c, "service"), err)
	}
	a.Product = c.String("product")
	day, err := parseDay(c.String("expires"))
	switch {
	case err != nil:
		return a, fmt.Errorf("%s: %w", given(c, "expires"), err)
	case day.Before(today):
		return a, fmt.Errorf("%s: %s is over: in UTC it is %s", given(c, "expires"), c.String("expires"), today.Format(time.DateOnly))
	case day.After(today.AddDate(2, 0, 0)):
		return a, fmt.Errorf("%s: an approval lasts two years at most, until %s: it is to be looked at again", given(c, "expires"), today.AddDate(2, 0, 0).Format(time.DateOnly))
	}
	a.Expires = day.AddDate(0, 0, 1)
	if a.RelayFrom, err = parties(c.StringSlice("relay-from"), vantageName, "no name of a vantage"); err != nil {
		return a, fmt.Errorf("%s: %w", given(c, "relay-from"), err)
	}
	if a.RelayTo, err = parties(c.StringSlice("relay-to"), mailDomain, "no mail domain"); err != nil {
		return a, fmt.Errorf("%s: %w", given(c, "relay-to"), err)
	}
	if len(a.RelayTo) > 0 && len(a.RelayFrom) == 0 {
		return a, fmt.Errorf("%s: whom may it relay for? --relay-from names prefixes or vantages", given(c, "relay-to"))
	}
	return a, nil
}

// foundBy is what a stored scan found.
type foundBy struct {
	scan, vantage string
	findings      []probe.Finding
}

func storedFindings(ctx context.Context, c *cli.Command, id string) (foundBy, error) {
	store, _, err := existingInventory(ctx, c)
	if err != nil {
		return foundBy{}, err
	}
	defer store.Close()
	info, err := store.Find(ctx, id)
	if err != nil {
		return foundBy{}, stored(err)
	}
	r, err := store.Read(ctx, info)
	if err != nil {
		return foundBy{}, &exit{exitInternal, err.Error()}
	}
	defer r.Close()
	out := foundBy{info.ID, info.Vantage, r.Input.Findings}
	for i := range out.findings { // of which the inventory keeps the judgement beside
		if f := &out.findings[i]; r.Input.Judged[i].Verdict >= probe.Accepted {
			whole, err := r.Input.Whole(i)
			if err != nil {
				return foundBy{}, &exit{exitInternal, err.Error()}
			}
			*f = whole
		}
	}
	return out, nil
}

// describe takes from a scan what is approved: ports, service, vantage. It reports whether a service of it relays.
func describe(c *cli.Command, a *report.Approval, found foundBy) (relays bool, err error) {
	text := c.Args().First()
	to, err := netip.ParseAddrPort(text)
	if err != nil {
		host, err := netip.ParseAddr(text)
		if err != nil {
			return false, fmt.Errorf("%q is neither address:port nor an address: write it like 198.51.100.25:25", text)
		}
		to = netip.AddrPortFrom(host, 0)
	}
	to = netip.AddrPortFrom(to.Addr().Unmap().WithZone(""), to.Port())
	protocol := ""
	for i := range found.findings {
		f := &found.findings[i]
		switch {
		case f.Addr.Addr() != to.Addr():
			continue
		case to.Port() == 0 && !f.SMTP():
			continue
		case to.Port() != 0 && f.Addr.Port() != to.Port() && !slices.Contains(f.Crowd, to.Port()):
			continue
		}
		port := cmp.Or(to.Port(), f.Addr.Port())
		if len(a.Ports) > 0 && f.Protocol != protocol {
			if to.Port() == 0 && !c.IsSet("service") {
				return false, fmt.Errorf("%s has services of several kinds: approve each, such as %s", to.Addr(), netip.AddrPortFrom(to.Addr(), a.Ports[0]))
			}
		}
		protocol = f.Protocol
		a.Ports = append(a.Ports, port)
		a.Vantage = cmp.Or(f.Vantage, found.vantage)
		relays = relays || f.Class() == probe.Relay && f.Verdict() >= probe.Accepted
	}
	if len(a.Ports) == 0 {
		return false, fmt.Errorf("scan %s found nothing at %s: only what was seen can be approved", found.scan, text)
	}
	slices.Sort(a.Ports)
	a.Ports = slices.Compact(a.Ports)
	a.Address = netip.PrefixFrom(to.Addr(), to.Addr().BitLen())
	if !c.IsSet("service") && protocol != "unknown" {
		a.Service = protocol
	}
	if c.IsSet("vantage") {
		a.Vantage = c.String("vantage")
	}
	if a.Vantage == "*" {
		a.Vantage = ""
	}
	return relays, nil
}

// approvalsHead begins a new file.
const approvalsHead = `# What is approved: the services that are expected, who owns them, who allowed them, and until when.
# relaysweep approve appends entries; relaysweep init --print explains the keys (approvals).
`

// appendApproval appends an approval to a file, and returns what it wrote. What is in the file stays there, byte for
// byte; the file is replaced whole or not at all, and not before it reads back as what it should be.
func appendApproval(name string, a *report.Approval, dry bool) (string, error) {
	file := destination(name)
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return "", err
	}
	defer dir.Close()
	if err := lock(dir); errors.Is(err, errLocked) {
		return "", fmt.Errorf("%s: another process writes approvals in this folder: try again", name)
	} else if err != nil {
		return "", err
	}
	mode := fs.FileMode(0o644)
	old, err := os.ReadFile(file)
	var have []report.Approval
	if errors.Is(err, fs.ErrNotExist) {
		old = []byte(approvalsHead)
	} else if err != nil {
		return "", err
	} else {
		if have, err = readApprovals(name); err != nil {
			return "", err
		}
		info, err := os.Stat(file)
		if err != nil {
			return "", err
		}
		if !info.Mode().IsRegular() {
			return "", fmt.Errorf("%s is no file", name)
		}
		mode = info.Mode().Perm()
	}
	if d := duplicate(have, a); d != nil {
		return "", fmt.Errorf("%s approves it until %s: change that entry", d.Where, d.Expires.AddDate(0, 0, -1).Format(time.DateOnly))
	}
	text, whole, err := appended(name, old, have, a)
	if err != nil || dry {
		return text, err
	}
	return text, replace(dir, file, whole, mode)
}

// duplicate finds an approval of the same for the same vantage that has not ended.
func duplicate(have []report.Approval, a *report.Approval) *report.Approval {
	for i := range have {
		h := &have[i]
		if h.Address.Masked() == a.Address.Masked() && h.Vantage == a.Vantage && a.Approved.Before(h.Expires) && (len(h.Ports) == 0 || slices.ContainsFunc(a.Ports, func(p uint16) bool { return slices.Contains(h.Ports, p) })) {
			return h
		}
	}
	return nil
}

// appended makes the new bytes of a file, and holds that they read back.
func appended(name string, old []byte, have []report.Approval, a *report.Approval) (text string, whole []byte, err error) {
	indent, ok := listIndent(old)
	text = approvalText(a, strings.Repeat(" ", indent))
	byHand := fmt.Errorf("%s: nothing can be appended to a list that is written like this; add it by hand:\n%s", name, text)
	if !ok {
		return "", nil, byHand
	}
	entry := text
	if strings.Contains(string(old), "\r\n") {
		entry = strings.ReplaceAll(entry, "\n", "\r\n")
	}
	whole = slices.Clone(old)
	if n := len(whole); n > 0 && whole[n-1] != '\n' {
		whole = append(whole, entry[len(strings.TrimRight(entry, "\r\n")):]...)
	}
	whole = append(whole, entry...)
	if len(whole) > maxApprovals {
		return "", nil, fmt.Errorf("%s: would be larger than %d bytes", name, maxApprovals)
	}
	got, err := parseApprovals(name, whole)
	if err != nil || len(got) != len(have)+1 {
		return "", nil, byHand
	}
	last := got[len(have)]
	last.Where = a.Where
	if !reflect.DeepEqual(got[:len(have)], append([]report.Approval{}, have...)) || !reflect.DeepEqual(last, *a) {
		return "", nil, byHand
	}
	return text, whole, nil
}

// listIndent is how far the items of a file's list stand in; not ok: it is no list to which an item can be appended.
func listIndent(b []byte) (n int, ok bool) {
	defer func() {
		if recover() != nil { // the library panics on some tags
			n, ok = 0, false
		}
	}()
	tree, err := parser.ParseBytes(b, 0)
	if err != nil || len(tree.Docs) > 1 {
		return 0, false
	}
	if len(tree.Docs) == 0 || tree.Docs[0].Body == nil {
		return 0, true
	}
	switch body := tree.Docs[0].Body.(type) {
	case *ast.SequenceNode:
		return max(0, body.Start.Position.Column-1), !body.IsFlowStyle
	case *ast.CommentGroupNode, *ast.NullNode:
		return 0, true
	}
	return 0, false
}

// replace writes a file whole, or not at all. dir is the folder that it is in.
func replace(dir *os.File, file string, b []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".relaysweep-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return err
	}
	return dir.Sync()
}

// approvalText writes an approval as an entry of approvals.yaml.
func approvalText(a *report.Approval, indent string) string {
	var b strings.Builder
	lead := indent + "- "
	put := func(key, value string) {
		if value != "" {
			b.WriteString(lead + key + ": " + value + "\n")
			lead = indent + "  "
		}
	}
	address := a.Address.String()
	if a.Address.IsSingleIP() {
		address = a.Address.Addr().String()
	}
	if a.Address.Addr().Is6() {
		address = yamlText(address)
	}
	put("address", address)
	switch len(a.Ports) {
	case 0:
	case 1:
		put("port", fmt.Sprint(a.Ports[0]))
	default:
		put("ports", "["+strings.ReplaceAll(strings.Trim(fmt.Sprint(a.Ports), "[]"), " ", ", ")+"]")
	}
	put("vantage", yamlText(a.Vantage))
	put("service", yamlText(a.Service))
	put("product", yamlText(a.Product))
	if len(a.RelayFrom) > 0 {
		relay := "from: " + yamlList(a.RelayFrom)
		if len(a.RelayTo) > 0 {
			relay += ", to: " + yamlList(a.RelayTo)
		}
		put("relay", "{"+relay+"}")
	}
	put("owner", yamlText(a.Owner))
	put("approver", yamlText(a.Approver))
	put("ticket", yamlText(a.Ticket))
	put("reason", yamlText(a.Reason))
	if !a.Approved.IsZero() {
		put("approved", a.Approved.Format(time.DateOnly))
	}
	put("expires", a.Expires.AddDate(0, 0, -1).Format(time.DateOnly))
	return b.String()
}

func yamlList(list []report.Party) string {
	var out []string
	for _, p := range list {
		out = append(out, yamlText(p.String()))
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// Text that means itself in YAML without quotes, and words among it that do not.
var (
	yamlPlain = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*([ ./@_+-]+[A-Za-z0-9]+)*$`)
	yamlWord  = regexp.MustCompile(`(?i)^(null|true|false|yes|no|on|off|y|n|nan|inf)$`)
)

// yamlText writes a scalar that reads back as the same text, whatever it is; bytes that are no UTF-8 as U+FFFD. All that
// could mean something else, or turn a line, is escaped (YAML 1.2.2, 5.7).
func yamlText(s string) string {
	if s == "" || yamlPlain.MatchString(s) && !yamlWord.MatchString(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String() + `"`
}
