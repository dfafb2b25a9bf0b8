package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
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
	Port     int    `yaml:"port"`
	Ports    []int  `yaml:"ports"`
	Service  string `yaml:"service"`
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
		a := report.Approval{Vantage: e.Vantage, Service: e.Service, Owner: e.Owner, Approver: e.Approver, Ticket: e.Ticket, Reason: e.Reason, Where: filepath.Base(at("address"))}
		if a.Address, err = netip.ParsePrefix(e.Address); err != nil {
			addr, err := netip.ParseAddr(e.Address)
			if err != nil {
				return nil, fmt.Errorf("%s: %q is not an address or prefix", at("address"), e.Address)
			}
			addr = addr.Unmap().WithZone("")
			a.Address = netip.PrefixFrom(addr, addr.BitLen())
		}
		for _, p := range append([]int{e.Port}, e.Ports...) {
			if p < 0 || p > 65535 {
				return nil, fmt.Errorf("%s: %d is not a port", at("port"), p)
			}
			if p > 0 {
				a.Ports = append(a.Ports, uint16(p))
			}
		}
		if len(e.Relay.To) > 0 && len(e.Relay.From) == 0 {
			return nil, fmt.Errorf("%s: relay: whom may it relay for? name prefixes or vantages in from, such as from: [10.20.0.0/16, inside]", at("relay"))
		}
		if a.RelayFrom, err = parties(e.Relay.From, vantageName); err != nil {
			return nil, fmt.Errorf("%s: relay: from: %w, and no name of a vantage", at("relay.from"), err)
		}
		if a.RelayTo, err = parties(e.Relay.To, mailDomain); err != nil {
			return nil, fmt.Errorf("%s: relay: to: %w, and no mail domain", at("relay.to"), err)
		}
		if e.Expires == "" {
			return nil, fmt.Errorf("%s: expires is missing: every approval ends, such as expires: %s", at("address"), time.Now().AddDate(1, 0, 0).Format(time.DateOnly))
		}
		if a.Expires, err = time.Parse(time.DateOnly, e.Expires); err != nil {
			return nil, fmt.Errorf("%s: %q is not a day: write it like 2027-03-31", at("expires"), e.Expires)
		}
		a.Expires = a.Expires.AddDate(0, 0, 1) // it holds on that day
		if e.Approved != "" {
			if a.Approved, err = time.Parse(time.DateOnly, e.Approved); err != nil {
				return nil, fmt.Errorf("%s: %q is not a day: write it like 2026-04-01", at("approved"), e.Approved)
			}
		}
		out = append(out, a)
	}
	return out, nil
}

// parties reads prefixes, addresses and names.
func parties(list []string, isName func(string) bool) ([]report.Party, error) {
	var out []report.Party
	for _, text := range list {
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, report.Party{Prefix: p.Masked()})
		} else if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
			a = a.Unmap()
			out = append(out, report.Party{Prefix: netip.PrefixFrom(a, a.BitLen())})
		} else if isName(text) {
			out = append(out, report.Party{Name: text})
		} else {
			return nil, fmt.Errorf("%q is no prefix, no address", text)
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
