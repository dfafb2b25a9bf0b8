package source

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// readNetBox reads an export of prefixes or IP addresses: JSON as the REST API gives it, or CSV.
func readNetBox(r io.Reader, by string, c *collector) error {
	in := bufio.NewReader(r)
	first, err := firstByte(in)
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("empty: export prefixes or IP addresses as JSON or CSV")
	case err != nil:
		return err
	case first == '{' || first == '[':
		next, err := readObjects(in, func(o object) error { return c.take(o, by) })
		if err == nil && next != "" {
			err = c.leave("the next pages", by, "the file is one page of several: export them all, or name the URL")
		}
		return err
	}
	return readNetBoxCSV(in, by, c)
}

// object is a prefix or an IP address of NetBox.
type object struct {
	Prefix  string `json:"prefix"`
	Address string `json:"address"`
	Status  status `json:"status"`
}

// status is {"value": "active", ...}, or the word alone.
type status string

func (s *status) UnmarshalJSON(b []byte) error {
	var word string
	if json.Unmarshal(b, &word) == nil {
		*s = status(word)
		return nil
	}
	var choice struct {
		Value any `json:"value"` // old versions count
	}
	if err := json.Unmarshal(b, &choice); err != nil {
		return errors.New("a status that is neither a word nor an object")
	}
	word, _ = choice.Value.(string)
	*s = status(word)
	return nil
}

// take adds an object. A container is left out: it stands for the prefixes in it, which have their own objects.
func (c *collector) take(o object, by string) error {
	s := strings.TrimSpace(o.Prefix)
	host := s == ""
	if host {
		s = strings.TrimSpace(o.Address)
	}
	if s == "" {
		return errors.New("neither prefix nor address: export prefixes or IP addresses")
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return fmt.Errorf("%.60q is neither a prefix nor an address", s)
		}
		return c.host(a, by)
	}
	if host {
		return c.host(p.Addr(), by) // the length is that of its network
	}
	if strings.EqualFold(string(o.Status), "container") {
		return c.leave(text(p.Masked()), by, "a container: the prefixes in it are named by themselves")
	}
	return c.add(p, by)
}

// readObjects reads one page, {"next": ..., "results": [...]}, or the array alone, an object at a time.
func readObjects[T any](r io.Reader, take func(T) error) (next string, err error) {
	d := json.NewDecoder(r)
	defer func() {
		var syntax *json.SyntaxError
		var kind *json.UnmarshalTypeError
		if errors.As(err, &syntax) || errors.As(err, &kind) {
			err = fmt.Errorf("not NetBox's JSON: %.60q", err.Error())
		} else if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("not NetBox's JSON: it ends in the middle")
		}
	}()
	objects := func() error {
		for n := 1; d.More(); n++ {
			var o T
			if err := d.Decode(&o); err != nil {
				return err
			}
			if err := take(o); err != nil {
				return fmt.Errorf("object %d: %w", n, err)
			}
		}
		_, err := d.Token()
		return err
	}
	t, err := d.Token()
	if err != nil {
		return "", err
	}
	if t == json.Delim('[') {
		return "", objects()
	}
	if t != json.Delim('{') {
		return "", errors.New("not NetBox's JSON: neither an object nor an array")
	}
	results := false
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return "", err
		}
		switch key {
		case "results":
			if t, err := d.Token(); err != nil {
				return "", err
			} else if t != json.Delim('[') {
				return "", errors.New("not NetBox's JSON: results is no array")
			}
			results = true
			err = objects()
		case "next":
			var to *string
			if err = d.Decode(&to); err == nil && to != nil {
				next = *to
			}
		default:
			var other json.RawMessage
			err = d.Decode(&other)
		}
		if err != nil {
			return "", err
		}
	}
	if _, err := d.Token(); err != nil {
		return "", err
	}
	if !results {
		return "", errors.New("not NetBox's JSON: no results in it")
	}
	return next, nil
}

// readNetBoxCSV reads a CSV export, which has field names or their labels in its first line.
func readNetBoxCSV(r io.Reader, by string, c *collector) error {
	d := csv.NewReader(r)
	d.FieldsPerRecord, d.LazyQuotes, d.ReuseRecord = -1, true, true
	head, err := d.Read()
	if err != nil {
		return fmt.Errorf("not NetBox's CSV: %w", err)
	}
	column := func(labels ...string) int {
		return slices.IndexFunc(head, func(h string) bool {
			return slices.ContainsFunc(labels, func(l string) bool { return strings.EqualFold(strings.TrimSpace(h), l) })
		})
	}
	prefix, address, state := column("prefix"), column("address", "ip address"), column("status")
	if prefix < 0 && address < 0 {
		return errors.New("not NetBox's CSV: its first line has neither a column prefix nor a column address")
	}
	for {
		row, err := d.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		field := func(i int) string {
			if i < 0 || i >= len(row) {
				return ""
			}
			return row[i]
		}
		if err := c.take(object{field(prefix), field(address), status(field(state))}, by); err != nil {
			line, _ := d.FieldPos(0)
			return fmt.Errorf("line %d: %w", line, err)
		}
	}
}

// parseURL checks the URL of NetBox's API. Its errors do not show what may be a secret.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "":
		return nil, errors.New("netbox: not a URL: write it like https://netbox.example/api/ipam/prefixes/")
	case u.User != nil:
		return nil, errors.New("netbox: no name and password in the URL: the token stands in the environment, as RELAYSWEEP_NETBOX_TOKEN, or in a file")
	case u.Scheme == "https":
	case u.Scheme == "http" && loopback(u.Hostname()):
	default:
		return nil, fmt.Errorf("netbox:%s://%s: the token goes over https alone", u.Scheme, u.Host)
	}
	return u, nil
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback() || host == "localhost"
}

// netbox asks the API for what may be targets.
func (f *Finder) netbox(ctx context.Context, q Query, c *collector) error {
	u, err := parseURL(q.Where)
	if err != nil {
		return err
	}
	by := "netbox:" + u.Host
	return f.pages(ctx, u, &bounded{left: maxBytes}, func(r io.Reader) (string, error) {
		return readObjects(r, func(o object) error { return c.take(o, by) })
	})
}

// pages asks the API, page after page, and lets read take each. All are of one host: the token goes nowhere else.
func (f *Finder) pages(ctx context.Context, u *url.URL, body *bounded, read func(io.Reader) (next string, err error)) error {
	if strings.ContainsFunc(f.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("the token of NetBox holds what no token does")
	}
	client := &http.Client{Timeout: time.Minute}
	if f.Client != nil {
		copied := *f.Client
		client = &copied
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if v := u.Query(); !v.Has("limit") {
		v.Set("limit", "1000")
		u.RawQuery = v.Encode()
	}
	seen := make(map[string]bool)
	for page := u; ; {
		if seen[page.String()] || len(seen) == maxPages {
			return fmt.Errorf("%s gives pages without end", u.Host)
		}
		seen[page.String()] = true
		next, err := f.page(ctx, client, page, body, read)
		if err != nil {
			return fmt.Errorf("%s: %w", u.Host, err)
		}
		if next == "" {
			return nil
		}
		if page, err = page.Parse(next); err != nil || page.Scheme != u.Scheme || page.Host != u.Host || page.User != nil {
			return fmt.Errorf("%s: the next page is %.200q, which is not at %s://%s: it is not asked for", u.Host, next, u.Scheme, u.Host)
		}
	}
}

func (f *Finder) page(ctx context.Context, client *http.Client, u *url.URL, body *bounded, read func(io.Reader) (string, error)) (next string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept", "application/json")
	switch {
	case strings.HasPrefix(f.Token, "nbt_"): // NetBox 4.5 and later
		req.Header.Set("Authorization", "Bearer "+f.Token)
	case f.Token != "":
		req.Header.Set("Authorization", "Token "+f.Token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	switch code := resp.StatusCode; {
	case code >= 300 && code < 400:
		return "", fmt.Errorf("it redirects to %.200q: redirects are not followed, name the URL itself", resp.Header.Get("Location"))
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return "", fmt.Errorf("it answers %d: does RELAYSWEEP_NETBOX_TOKEN, or the token's file, hold a token that may read this?", code)
	case code != http.StatusOK:
		return "", fmt.Errorf("it answers %d", code)
	}
	body.r = resp.Body
	return read(body)
}
