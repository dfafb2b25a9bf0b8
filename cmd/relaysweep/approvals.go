package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"

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
	// Whom it may relay for is read, and held against findings by later versions.
	Relay struct {
		From []string `yaml:"from"`
		To   []string `yaml:"to"`
	} `yaml:"relay"`
}

// readApprovals reads approvals.yaml. No proposed edit of a firewall may close what is approved.
func readApprovals(name string) (out []report.Approval, err error) {
	defer func() {
		if recover() != nil { // the library panics on some tags
			out, err = nil, fmt.Errorf("%s: cannot be read as a list of approvals", name)
		}
	}()
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxConfig {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxConfig)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	tree, err := parser.ParseBytes(b, 0)
	if err != nil {
		return nil, atLine(name, err)
	}
	var list []approvalEntry
	if err := yaml.UnmarshalWithOptions(b, &list, yaml.Strict()); err != nil {
		return nil, atLine(name, err)
	}
	file := &config{file: name, tree: tree}
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
