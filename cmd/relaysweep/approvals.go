package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"
	"github.com/urfave/cli/v3"

	"relaysweep/report"
)

// approvalEntry is an entry of approvals.yaml.
type approvalEntry struct {
	Vantage  string `yaml:"vantage"`
	Address  string `yaml:"address"` // or a prefix
	Port     *int   `yaml:"port"`
	Ports    []int  `yaml:"ports"`
	Service  string `yaml:"service"`
	Product  string `yaml:"product"`
	Owner    string `yaml:"owner"`
	Approver string `yaml:"approver"`
	Ticket   string `yaml:"ticket"`
	Reason   string `yaml:"reason"`
	Approved string `yaml:"approved"`
	Expires  string `yaml:"expires"`
	// Whom it may relay for, and where to: prefixes and names.
	Relay struct {
		From []string `yaml:"from"`
		To   []string `yaml:"to"`
	} `yaml:"relay"`
}

// approvalsFlag names the file of what is approved.
func approvalsFlag() cli.Flag {
	return stringFlag("approvals", "`FILE` of what is approved: what listens is held against it, and no edit of the rules is proposed that would close it")
}

// readApprovals reads approvals.yaml. A file without any approves of nothing: the list is then empty, and not nil.
func readApprovals(name string) ([]report.Approval, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxApprovals {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxApprovals)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return parseApprovals(name, b)
}

// maxApprovals bounds the file: some ten thousand approvals.
const maxApprovals = 4 << 20

func parseApprovals(name string, b []byte) (out []report.Approval, err error) {
	defer func() {
		if recover() != nil { // the library panics on some tags
			out, err = nil, fmt.Errorf("%s: cannot be read as a list of approvals", name)
		}
	}()
	tree, err := parser.ParseBytes(b, 0)
	if err != nil {
		return nil, atLine(name, err)
	}
	if len(tree.Docs) > 1 {
		return nil, fmt.Errorf("%s:%d: a second document begins here: approvals are one", name, tree.Docs[1].Start.Position.Line)
	}
	var list []approvalEntry
	if err := yaml.UnmarshalWithOptions(b, &list, yaml.Strict()); err != nil {
		return nil, atLine(name, err)
	}
	file := &config{file: name, tree: tree}
	out = []report.Approval{}
	for i, e := range list {
		at := func(key string) string {
			if w := file.where(fmt.Sprintf("$[%d].%s", i, key)); w != name {
				return w
			}
			return file.where(fmt.Sprintf("$[%d]", i))
		}
		a := report.Approval{Vantage: e.Vantage, Product: e.Product, Owner: e.Owner, Approver: e.Approver, Ticket: e.Ticket, Reason: e.Reason, Where: filepath.Base(at("address"))}
		if a.Address, err = parsePrefix(e.Address); err != nil {
			return nil, fmt.Errorf("%s: %w", at("address"), err)
		}
		if e.Vantage == "*" {
			return nil, fmt.Errorf("%s: vantage: no vantage is called *: leave vantage out for all", at("vantage"))
		}
		if a.Service, err = serviceName(e.Service); err != nil {
			return nil, fmt.Errorf("%s: service: %w, write product: %s", at("service"), err, cmp.Or(yamlText(e.Service), `""`))
		}
		ports, key := e.Ports, "ports"
		if e.Port != nil {
			ports, key = append([]int{*e.Port}, ports...), "port"
		}
		for _, p := range ports {
			if p < 1 || p > 65535 {
				return nil, fmt.Errorf("%s: %d is not a port: it is a number from 1 to 65535; leave port out for all", at(key), p)
			}
			a.Ports = append(a.Ports, uint16(p))
		}
		if len(e.Relay.To) > 0 && len(e.Relay.From) == 0 {
			return nil, fmt.Errorf("%s: relay: whom may it relay for? name prefixes or vantages in from, such as from: [10.20.0.0/16, inside]", at("relay"))
		}
		if a.RelayFrom, err = parties(e.Relay.From, vantageName, "no name of a vantage"); err != nil {
			return nil, fmt.Errorf("%s: relay: from: %w", at("relay.from"), err)
		}
		if a.RelayTo, err = parties(e.Relay.To, mailDomain, "no mail domain"); err != nil {
			return nil, fmt.Errorf("%s: relay: to: %w", at("relay.to"), err)
		}
		if e.Expires == "" {
			return nil, fmt.Errorf("%s: expires is missing: every approval ends, such as expires: %s", at("address"), time.Now().UTC().AddDate(1, 0, 0).Format(time.DateOnly))
		}
		if a.Expires, err = parseDay(e.Expires); err != nil {
			return nil, fmt.Errorf("%s: expires: %w", at("expires"), err)
		}
		if e.Approved != "" {
			if a.Approved, err = parseDay(e.Approved); err != nil {
				return nil, fmt.Errorf("%s: approved: %w", at("approved"), err)
			}
			if a.Approved.After(a.Expires) {
				return nil, fmt.Errorf("%s: it expires on %s, before it is approved on %s: change one of the days", at("expires"), e.Expires, e.Approved)
			}
		}
		a.Expires = a.Expires.AddDate(0, 0, 1) // it holds on that day
		out = append(out, a)
	}
	return out, nil
}

// parsePrefix reads an address or a prefix. One with host bits may be meant as either, and says so much more as a prefix.
func parsePrefix(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return p, fmt.Errorf("%q is not an address or prefix", text)
		}
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%q is an address within a prefix: write %s for all of it, or %s", text, report.Unmap(p.Masked()), p.Addr().Unmap())
	}
	return report.Unmap(p), nil
}

// serviceName reads the name of a service.
func serviceName(text string) (string, error) {
	name := strings.ToLower(strings.TrimSpace(text))
	if name != "" && !slices.Contains(report.Services(), name) {
		return "", fmt.Errorf("%q is none of %s; if it is a product", text, strings.Join(report.Services(), ", "))
	}
	return name, nil
}

// parseDay reads a day, which begins and ends in UTC.
func parseDay(text string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return t, fmt.Errorf("%q is not a day: write it like 2027-03-31; days are those of UTC", text)
	}
	return t, nil
}

// parties reads prefixes, addresses and names.
func parties(list []string, isName func(string) bool, noName string) ([]report.Party, error) {
	var out []report.Party
	for _, text := range list {
		p, err := parsePrefix(text)
		switch {
		case err == nil && !strings.Contains(text, "%"):
			out = append(out, report.Party{Prefix: p})
		case p.IsValid() && err != nil:
			return nil, err
		case isName(text):
			out = append(out, report.Party{Name: text})
		default:
			return nil, fmt.Errorf("%q is no prefix, no address, and %s", text, noName)
		}
	}
	return out, nil
}

// vantageName holds for what no mistake in a prefix looks like.
func vantageName(s string) bool {
	return s != "" && len(s) <= 100 && !strings.ContainsAny(s, "/:*") && strings.Trim(s, "0123456789.") != "" && oneLine(s)
}

// oneLine reports whether text is one line that can be shown as it is.
func oneLine(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
