package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/probe/smtp"
	"relaysweep/report"
	"relaysweep/report/inventory"
)

// putScan stores a scan that found some servers that take a foreign recipient.
func putScan(t *testing.T, s *inventory.Store, id, vantage, kind string, ends bool, relays ...string) {
	t.Helper()
	started := time.Date(2026, 11, 1, 3, 0, 0, 0, time.UTC).Add(time.Duration(id[0]) * time.Hour)
	about := report.Scan{ID: id, Vantage: vantage, Started: started, StopAt: probe.Ready, Engine: "connect", Scope: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/24")}, Ports: []uint16{25}}
	w, err := s.Begin(t.Context(), about, "", kind)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, a := range relays {
		f := probe.Finding{Addr: netip.MustParseAddrPort(a), Vantage: vantage, Protocol: "smtp", Greeting: "mx", Started: started, Ended: started, Connections: 1, Sessions: []probe.Session{{Transcript: "S: 220 mx\n"}}}
		f.Attempts = []probe.Attempt{{Vector: "S1", Form: "S1", From: "a@example.net", To: "<b@example.net>", Canary: "rs-" + id + a, Session: 1, Sent: started, Mail: smtp.Reply{Code: 250}, Rcpt: smtp.Reply{Code: 250}, Data: smtp.Reply{Code: 354}}}
		if err := w.Add(&f); err != nil {
			t.Fatal(err)
		}
	}
	if !ends {
		return
	}
	about.Ended, about.Complete = started.Add(time.Minute), true
	if err := w.End(t.Context(), inventory.End{About: about, Coverage: []discover.CoverageRow{{Prefix: about.Scope[0], Port: 25, Open: uint64(len(relays)), Closed: 256 - uint64(len(relays))}}}); err != nil {
		t.Fatal(err)
	}
}

func newInventory(t *testing.T) (*inventory.Store, string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "inventory.db")
	s, err := inventory.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, name
}

// The last whole answer of each vantage counts: not an earlier one, nor a scan that has not ended, nor a probe.
func TestMetricsAreOfTheLastScans(t *testing.T) {
	s, _ := newInventory(t)
	putScan(t, s, "a", "internet", inventory.KindScan, true, "10.20.0.1:25", "10.20.0.2:25", "10.20.0.3:25")
	putScan(t, s, "b", "internet", inventory.KindScan, true, "10.20.0.1:25", "10.20.0.2:25")
	putScan(t, s, "c", "internet", inventory.KindScan, false)
	putScan(t, s, "d", "internet", inventory.KindProbe, true)
	putScan(t, s, "e", "internet", inventory.KindDiscover, true)
	putScan(t, s, "f", "dmz", inventory.KindDiscover, true)
	last := &lastScans{store: s, beside: func(context.Context, inventory.Info, *report.Input) (bool, error) { return true, nil }}
	get := func() string {
		t.Helper()
		list, err := last.figures(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, f := range list {
			out = append(out, f.Scan.Vantage+" "+f.Scan.ID)
		}
		slices.Sort(out)
		return strings.Join(out, ", ")
	}
	const want = "dmz f, internet b"
	if got := get(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	putScan(t, s, "g", "internet", inventory.KindScan, true)
	if got := get(); got != want {
		t.Errorf("it was read again at once: got %s, want %s", got, want)
	}
	last.read = last.read.Add(-figuresAge)
	if got, want := get(), "dmz f, internet g"; got != want {
		t.Errorf("a minute later: got %s, want %s", got, want)
	}
}

// What is approved, and what the address plan names, counts as it does in the file of the scan. Where the plan is not to
// be had, nothing is said of what nobody names.
func TestMetricsAreThoseOfTheReport(t *testing.T) {
	s, name := newInventory(t)
	at := time.Date(2026, 11, 1, 3, 0, 0, 0, time.UTC)
	about := report.Scan{ID: "one", Vantage: "internet", Started: at, StopAt: probe.Ready, Engine: "connect", Scope: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/24")}, Ports: []uint16{25}}
	w, err := s.Begin(t.Context(), about, "", inventory.KindScan)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	mentions := make(map[netip.Addr][]report.Mention)
	for _, a := range []string{"10.20.0.1:25", "10.20.0.2:25", "10.20.0.3:25"} {
		f := probe.Finding{Addr: netip.MustParseAddrPort(a), Vantage: "internet", Protocol: "smtp", Greeting: "mx", Started: at, Ended: at, Connections: 1}
		if err := w.Add(&f); err != nil {
			t.Fatal(err)
		}
		mentions[f.Addr.Addr()] = nil
	}
	about.Ended, about.Complete = at.Add(time.Minute), true
	if err := w.End(t.Context(), inventory.End{About: about, Mentions: mentions, Coverage: []discover.CoverageRow{{Prefix: about.Scope[0], Port: 25, Open: 3, Closed: 253}}}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Chdir(dir)
	for file, content := range map[string]string{
		"approvals.yaml": "- {address: 10.20.0.1, port: 25, owner: Mail team, ticket: CHG1, expires: 2999-12-31}\n",
		"plan.csv":       "prefix,name,owner\n10.20.0.2/32,mx2,Mail team\n",
		"both.yaml":      "approvals: approvals.yaml\nassets: [plan.csv]\n",
		"netbox.yaml":    "approvals: approvals.yaml\nassets: [\"https://netbox.example.net/\"]\n",
		"none.yaml":      "{}\n",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		args []string
		want []string // figures
		not  string   // a name of a figure
	}{
		{"approvals and a plan", []string{"--config", "both.yaml"}, []string{`approval_violations{kind="unapproved",site="",vantage="internet"} 2`, `forgotten_listeners{site="",vantage="internet"} 1`}, ""},
		{"the same by flags", []string{"--config", "none.yaml", "--approvals", "approvals.yaml", "--assets", "plan.csv"}, []string{`approval_violations{kind="unapproved",site="",vantage="internet"} 2`, `forgotten_listeners{site="",vantage="internet"} 1`}, ""},
		{"neither", []string{"--config", "none.yaml"}, []string{`forgotten_listeners{site="",vantage="internet"} 3`}, "approval_violations"},
		{"the plan is in a NetBox", []string{"--config", "netbox.yaml"}, []string{`approval_violations{kind="unapproved",site="",vantage="internet"} 2`}, "forgotten_listeners"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, done := serveMetrics(t, append([]string{"--inventory", name}, tt.args...)...)
			defer done()
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			res, err := client.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				if !strings.Contains(string(body), "relaysweep_"+want+"\n") {
					t.Errorf("no %s in\n%s", want, body)
				}
			}
			if tt.not != "" && strings.Contains(string(body), "relaysweep_"+tt.not) {
				t.Errorf("%s in\n%s", tt.not, body)
			}
		})
	}
	var said strings.Builder
	p := &program{strings.NewReader(""), io.Discard, &said}
	if code := p.run(t.Context(), []string{"relaysweep", "metrics", "--inventory", name, "--approvals", "missing.yaml"}); code != exitUsage || !strings.Contains(said.String(), "missing.yaml") {
		t.Errorf("approvals that are not there: exit code %d: %s", code, said.String())
	}
}

// serveMetrics runs the command until done, which wants that it ends as it should.
func serveMetrics(t *testing.T, args ...string) (url string, done func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	talk, said := io.Pipe()
	code := make(chan int, 1)
	go func() {
		p := &program{strings.NewReader(""), io.Discard, said}
		code <- p.run(ctx, append([]string{"relaysweep", "metrics", "--listen", "127.0.0.1:0"}, args...))
		said.Close()
	}()
	line, err := bufio.NewReader(talk).ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %q", err, line)
	}
	go io.Copy(io.Discard, talk)
	_, url, _ = strings.Cut(strings.TrimSpace(line), " on ")
	return url, func() {
		stop()
		if got := <-code; got != exitDone {
			t.Errorf("interrupted: got exit code %d", got)
		}
	}
}

func TestMetricsOverHTTP(t *testing.T) {
	s, name := newInventory(t)
	putScan(t, s, "a", "internet", inventory.KindScan, true, "10.20.0.1:25", "10.20.0.2:25")
	url, done := serveMetrics(t, "--inventory", name)
	defer done()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path, want := range map[string]string{"": `relaysweep_exposed_relays{site="",vantage="internet"} 2`, "/more": "404 page not found"} {
		res, err := client.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%s: got %s, %v, without %s:\n%.500s", url+path, res.Status, err, want, body)
		}
	}
}

func TestMetricsRefuses(t *testing.T) {
	_, name := newInventory(t)
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"an address that others reach", []string{"--inventory", name, "--listen", "192.0.2.1:9825"}, "--listen: 192.0.2.1:9825 is not a loopback address"},
		{"every address", []string{"--inventory", name, "--listen", "0.0.0.0:9825"}, "is not a loopback address"},
		{"every address of IPv6", []string{"--inventory", name, "--listen", "[::]:9825"}, "is not a loopback address"},
		{"a name", []string{"--inventory", name, "--listen", "localhost:9825"}, `"localhost:9825" is not an address with a port`},
		{"no inventory", nil, "there is no inventory "},
		{"an inventory that is not there", []string{"--inventory", name + ".not"}, "there is no inventory " + name + ".not yet"},
		{"an argument", []string{"now"}, "one argument too many"},
	} {
		t.Chdir(t.TempDir())
		t.Setenv("XDG_DATA_HOME", t.TempDir())
		var said strings.Builder
		p := &program{strings.NewReader(""), io.Discard, &said}
		if code := p.run(t.Context(), append([]string{"relaysweep", "metrics"}, tt.args...)); code != exitUsage || !strings.Contains(said.String(), tt.want) {
			t.Errorf("%s: got exit code %d: %s", tt.name, code, said.String())
		}
	}
}
