// Package source names targets by other means than CIDRs: what DNS says of hosts, of mail domains and of a reverse
// zone, the machine's neighbours, the results of nmap and masscan, and NetBox. IPv6 space cannot be enumerated: its hosts
// must be named.
//
// A source only names. What it names becomes a target where the scope lets it through (discover.Permitted, and then
// discover.NewScope); no file and no answer can widen the scope.
//
//	Query ─► Finder ─► Found ─► Permitted ─► Spec.Targets ─► NewScope
package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"relaysweep/discover/names"
)

// Named is an address, or a prefix, that a source names.
type Named struct {
	Prefix netip.Prefix // an address is a prefix of its full length
	By     string       // such as "mx:org.example -> mx1.org.example"
	Ports  []uint16     // that the source saw open, if it looked
}

// Left is what a source names that cannot be a target, and why; or what it could not tell.
type Left struct{ Text, By, Why string }

// Found is what one source has to say.
type Found struct {
	Named []Named
	Left  []Left
}

// Bounds of one source.
const (
	maxBytes = 64 << 20 // of a file, and of all pages of an API
	maxFound = 1 << 20  // addresses and prefixes
	maxPages = 1024
)

// Shorter prefixes are not named: an IPv4 /8 is the most that a scope holds, and of IPv6 only hosts can be found.
const (
	minBits4 = 8
	minBits6 = 112
)

// Query says which source to ask about what.
type Query struct {
	Kind  string // dns, mx, spf, ptr, neighbours, nmap, masscan, netbox
	Where string // a name, a zone, a file or a URL, by kind
}

func (q Query) String() string {
	if q.Where == "" {
		return q.Kind
	}
	return q.Kind + ":" + q.Where
}

// Parse reads KIND:WHERE.
func Parse(text string) (Query, error) {
	kind, where, _ := strings.Cut(strings.TrimSpace(text), ":")
	q := Query{kind, where}
	switch kind {
	case "dns", "mx", "spf":
		if !names.HostName(where) || !strings.Contains(strings.TrimSuffix(where, "."), ".") || isAddr(where) {
			return q, fmt.Errorf("%q: write a name behind %s:, like %s:org.example", text, kind, kind)
		}
		q.Where = strings.ToLower(strings.TrimSuffix(where, "."))
	case "ptr":
		if _, err := parseZone(where); err != nil {
			return q, fmt.Errorf("%q: %w", text, err)
		}
	case "neighbours":
		if strings.ContainsFunc(where, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
			return q, fmt.Errorf("%q: write neighbours, or an interface behind it, like neighbours:eth0", text)
		}
	case "nmap", "masscan":
		if where == "" {
			return q, fmt.Errorf("%q: write the file with %s's results, like %s:results", text, kind, kind)
		}
	case "netbox":
		if where == "" {
			return q, fmt.Errorf("%q: write a file or a URL, like netbox:prefixes.json or netbox:https://netbox.example/api/ipam/prefixes/", text)
		}
		if strings.Contains(where, "://") {
			if _, err := parseURL(where); err != nil {
				return q, err // which shows nothing of a password in it
			}
		}
	default:
		return q, fmt.Errorf("%q names no source: it is one of dns:NAME, mx:DOMAIN, spf:DOMAIN, ptr:ZONE, neighbours, nmap:FILE, masscan:FILE, netbox:FILE, netbox:URL", text)
	}
	return q, nil
}

func isAddr(s string) bool { _, err := netip.ParseAddr(s); return err == nil }

// DNS reports whether the resolver is asked.
func (q Query) DNS() bool { return slices.Contains([]string{"dns", "mx", "spf", "ptr"}, q.Kind) }

// Host is the host that is asked, if it is not the resolver.
func (q Query) Host() string {
	if q.Kind == "netbox" && strings.Contains(q.Where, "://") {
		if u, err := url.Parse(q.Where); err == nil {
			return u.Host
		}
	}
	return ""
}

// Finder asks sources. Resolver and NetBox are services that the operator named; they are no targets.
type Finder struct {
	Resolver string                          // host:port
	Wait     func(ctx context.Context) error // before each question to the resolver; nil: none
	Most     int                             // questions of one source; DefaultMost if zero
	Token    string                          // of NetBox
	Client   *http.Client                    // for NetBox; nil: one that checks TLS
}

// Find asks one source. An error means that it could not be asked, or not be understood.
func (f *Finder) Find(ctx context.Context, q Query) (Found, error) {
	c := newCollector()
	var err error
	switch q.Kind {
	case "dns", "mx", "spf", "ptr":
		err = f.ask(ctx, q, c)
	case "neighbours":
		err = neighbours(q, c)
	case "nmap":
		err = fromFile(q, c, readNmap)
	case "masscan":
		err = fromFile(q, c, readMasscan)
	case "netbox":
		if q.Host() != "" {
			err = f.netbox(ctx, q, c)
		} else {
			err = fromFile(q, c, readNetBox)
		}
	default:
		err = errors.New("no such source")
	}
	if err != nil {
		return Found{}, err
	}
	return c.found, nil
}

func fromFile(q Query, c *collector, read func(r io.Reader, by string, c *collector) error) error {
	f, err := os.Open(q.Where)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder", q.Where)
	}
	if err := read(&bounded{r: f, left: maxBytes}, q.Kind+":"+filepath.Base(q.Where), c); err != nil {
		return fmt.Errorf("%s: %w", q.Where, err)
	}
	return nil
}

// collector gathers what a source names. An address that it names twice is kept once, with all its ports.
type collector struct {
	found Found
	at    map[netip.Prefix]int
	most  int // of both lists together
}

func newCollector() *collector { return &collector{at: make(map[netip.Prefix]int), most: maxFound} }

var errTooMany = errors.New("it names too many addresses (a million and more): take them in parts")

// add takes a prefix. What can never be a target goes to the other list.
func (c *collector) add(p netip.Prefix, by string, ports ...uint16) error {
	a := p.Addr().Unmap()
	bits := p.Bits()
	if p.Addr().Is4In6() {
		bits -= 96
	}
	if p = netip.PrefixFrom(a, bits).Masked(); !p.IsValid() {
		return c.leave("an address", by, "it is none")
	}
	switch {
	case a.Is6() && a.IsLinkLocalUnicast():
		return c.leave(text(p), by, "a link-local address means nothing without an interface")
	case a.Is6() && bits < minBits6:
		return c.leave(text(p), by, fmt.Sprintf("an IPv6 prefix shorter than /%d: only its hosts can be named", minBits6))
	case a.Is4() && bits < minBits4:
		return c.leave(text(p), by, fmt.Sprintf("wider than a /%d", minBits4))
	}
	i, is := c.at[p]
	if !is {
		if len(c.found.Named)+len(c.found.Left) >= c.most {
			return errTooMany
		}
		i = len(c.found.Named)
		c.at[p] = i
		c.found.Named = append(c.found.Named, Named{Prefix: p, By: by})
	}
	n := &c.found.Named[i]
	for _, port := range ports {
		if k, known := slices.BinarySearch(n.Ports, port); !known && port != 0 {
			n.Ports = slices.Insert(n.Ports, k, port)
		}
	}
	return nil
}

// host takes an address.
func (c *collector) host(a netip.Addr, by string, ports ...uint16) error {
	return c.add(netip.PrefixFrom(a.WithZone(""), a.BitLen()), by, ports...)
}

// hostText takes an address in a file.
func (c *collector) hostText(s, by string, ports ...uint16) error {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return fmt.Errorf("%.60q is not an address", s)
	}
	return c.host(a, by, ports...)
}

func (c *collector) leave(text, by, why string) error {
	if len(c.found.Named)+len(c.found.Left) >= c.most {
		return errTooMany
	}
	c.found.Left = append(c.found.Left, Left{text, by, why})
	return nil
}

// text writes a prefix, and a host without its length.
func text(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// Text is the address, or the prefix.
func (n Named) Text() string { return text(n.Prefix) }

// bounded is a reader that fails where there is more than it may give.
type bounded struct {
	r    io.Reader
	left int64
}

var errTooLarge = fmt.Errorf("larger than %d MB: take it in parts", maxBytes>>20)

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		if n, err := b.r.Read(make([]byte, 1)); n == 0 {
			return 0, err
		}
		return 0, errTooLarge
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
