package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
)

// nmapFile is what readers of nmap's XML take from it: importers of findings, ndiff, libraries.
type nmapFile struct {
	XMLName    xml.Name `xml:"nmaprun"`
	Scanner    string   `xml:"scanner,attr"`
	Args       string   `xml:"args,attr"`
	Start      int64    `xml:"start,attr"`
	StartStr   string   `xml:"startstr,attr"`
	Version    string   `xml:"version,attr"`
	XMLVersion string   `xml:"xmloutputversion,attr"`
	ScanInfo   struct {
		Type     string `xml:"type,attr"`
		Protocol string `xml:"protocol,attr"`
		Number   int    `xml:"numservices,attr"`
		Services string `xml:"services,attr"`
	} `xml:"scaninfo"`
	Hosts []struct {
		Start  int64 `xml:"starttime,attr"`
		End    int64 `xml:"endtime,attr"`
		Status struct {
			State  string `xml:"state,attr"`
			Reason string `xml:"reason,attr"`
		} `xml:"status"`
		Addresses []struct {
			Addr string `xml:"addr,attr"`
			Type string `xml:"addrtype,attr"`
		} `xml:"address"`
		Names []struct {
			Name string `xml:"name,attr"`
			Type string `xml:"type,attr"`
		} `xml:"hostnames>hostname"`
		Ports []readPort `xml:"ports>port"`
	} `xml:"host"`
	Post  []readScript `xml:"postscript>script"`
	Stats struct {
		Finished struct {
			Time    int64  `xml:"time,attr"`
			TimeStr string `xml:"timestr,attr"`
			Elapsed string `xml:"elapsed,attr"`
			Exit    string `xml:"exit,attr"`
			Error   string `xml:"errormsg,attr"`
		} `xml:"finished"`
		Hosts struct {
			Up    int `xml:"up,attr"`
			Down  int `xml:"down,attr"`
			Total int `xml:"total,attr"`
		} `xml:"hosts"`
	} `xml:"runstats"`
}

type readPort struct {
	Protocol string `xml:"protocol,attr"`
	ID       uint16 `xml:"portid,attr"`
	State    struct {
		State  string `xml:"state,attr"`
		Reason string `xml:"reason,attr"`
		TTL    int    `xml:"reason_ttl,attr"`
	} `xml:"state"`
	Service *struct {
		Name    string   `xml:"name,attr"`
		Product string   `xml:"product,attr"`
		Version string   `xml:"version,attr"`
		Extra   string   `xml:"extrainfo,attr"`
		Tunnel  string   `xml:"tunnel,attr"`
		Method  string   `xml:"method,attr"`
		Conf    int      `xml:"conf,attr"`
		CPE     []string `xml:"cpe"`
	} `xml:"service"`
	Scripts []readScript `xml:"script"`
}

type readScript struct {
	ID     string     `xml:"id,attr"`
	Output string     `xml:"output,attr"`
	Elems  []readElem `xml:"elem"`
	Tables []struct {
		Key   string     `xml:"key,attr"`
		Elems []readElem `xml:"elem"`
	} `xml:"table"`
}

type readElem struct {
	Key   string `xml:"key,attr"`
	Value string `xml:",chardata"`
}

// script is one of the scripts in a few words: its output, its elements, its tables.
func script(list []readScript, id string) string {
	i := slices.IndexFunc(list, func(s readScript) bool { return s.ID == id })
	if i < 0 {
		return ""
	}
	words := []string{list[i].Output}
	add := func(elems []readElem) {
		for _, e := range elems {
			words = append(words, strings.TrimPrefix(e.Key+"="+e.Value, "="))
		}
	}
	add(list[i].Elems)
	for _, t := range list[i].Tables {
		words = append(words, t.Key+":")
		add(t.Elems)
	}
	return strings.Join(words, " | ")
}

func readNmap(t *testing.T, r *Report) nmapFile {
	t.Helper()
	var f nmapFile
	if err := xml.Unmarshal([]byte(render(t, WriteNmapXML, r)), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f nmapFile) port(t *testing.T, endpoint string) readPort {
	t.Helper()
	at := netip.MustParseAddrPort(endpoint)
	for _, h := range f.Hosts {
		for _, p := range h.Ports {
			if h.Addresses[0].Addr == at.Addr().String() && p.ID == at.Port() {
				return p
			}
		}
	}
	t.Fatalf("%s is not listed", endpoint)
	return readPort{}
}

func TestNmapXMLTellsOfTheScan(t *testing.T) {
	f := readNmap(t, full())
	for _, test := range []struct {
		what      string
		got, want any
	}{
		{"scanner", f.Scanner, "nmap"},
		{"version", f.Version, "relaysweep 0.1.0"},
		{"xmloutputversion", f.XMLVersion, "1.05"},
		{"start", f.Start, began.Unix()},
		{"startstr", f.StartStr, "Sun Nov 22 02:00:00 2026"},
		{"type of scan", f.ScanInfo.Type + " " + f.ScanInfo.Protocol, "connect tcp"},
		{"ports", fmt.Sprint(f.ScanInfo.Number, " ", f.ScanInfo.Services), "5 25,587,10024-10026"},
		{"end", f.Stats.Finished.Time, scan().Ended.Unix()},
		{"timestr", f.Stats.Finished.TimeStr, "Sun Nov 22 02:14:11 2026"},
		{"elapsed", f.Stats.Finished.Elapsed, "851.00"},
		{"exit of what was interrupted", f.Stats.Finished.Exit + ": " + f.Stats.Finished.Error, "error: the scan was interrupted"},
		{"hosts", f.Stats.Hosts, struct {
			Up    int `xml:"up,attr"`
			Down  int `xml:"down,attr"`
			Total int `xml:"total,attr"`
		}{14, 0, 14}},
		{"hosts listed", len(f.Hosts), 14},
		{"exit of what is whole", readNmap(t, quiet()).Stats.Finished.Exit, "success"},
	} {
		if test.got != test.want {
			t.Errorf("%s: got %v, want %v", test.what, test.got, test.want)
		}
	}
	for _, part := range []string{"20261122-0200-k3", "seen from internet (zone wan)", "stops at delivered", "canary domain example.net"} {
		if !strings.Contains(f.Args, part) {
			t.Errorf("%q is not in args %q", part, f.Args)
		}
	}
	for engine, want := range map[string]string{"connect": "connect", "syn": "syn", "probe": "connect", "": "connect"} {
		if got := readNmap(t, New(Input{Scan: Scan{Engine: engine}})).ScanInfo.Type; got != want {
			t.Errorf("engine %q: got type %q, want %q", engine, got, want)
		}
	}
}

func TestNmapXMLListsHostsInOrder(t *testing.T) {
	f := readNmap(t, full())
	var got []string
	for _, h := range f.Hosts {
		if h.Status.State != "up" || h.Status.Reason != "syn-ack" || len(h.Addresses) != 1 {
			t.Errorf("got host %+v", h)
		}
		if h.Start < began.Unix() || h.End < h.Start || h.End > scan().Ended.Unix() {
			t.Errorf("%s: from %d to %d", h.Addresses[0].Addr, h.Start, h.End)
		}
		got = append(got, h.Addresses[0].Type+" "+h.Addresses[0].Addr)
	}
	want := []string{
		"ipv4 198.51.100.10", "ipv4 198.51.100.11", "ipv4 198.51.100.12", "ipv4 198.51.100.13", "ipv4 198.51.100.14", "ipv4 198.51.100.15", "ipv4 198.51.100.16",
		"ipv4 198.51.100.17", "ipv4 198.51.100.18", "ipv4 198.51.100.19", "ipv4 198.51.100.30", "ipv4 198.51.100.31", "ipv4 198.51.100.32",
		"ipv6 2001:db8:51:1111:2222:3333:4444:5555",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	// Importers take the name of type PTR in place of the address: a server's own word must not be one.
	if n := f.Hosts[0].Names; len(n) != 1 || n[0].Name != "mx1.org.example" || n[0].Type != "user" {
		t.Errorf("got names %v", n)
	}
}

// A host has one element, with its ports in order; what several vantages saw of a port stands beside each other.
func TestNmapXMLJoinsWhatBelongsToAHost(t *testing.T) {
	inside := finding("192.0.2.1:25", "Exim", "Exim", "4.99", "mx.org.example", attempt("S1", "", ok, taken))
	inside.Vantage, inside.Started = "inside", began
	f := readNmap(t, New(Input{Scan: scan(), Findings: []probe.Finding{
		finding("192.0.2.1:587", "Exim", "Exim", "4.99", "mx.org.example", attempt("S1", "", ok, denied)),
		finding("192.0.2.1:25", "Exim", "Exim", "4.99", "in.org.example", attempt("S1", "", ok, denied)), inside,
	}}))
	if len(f.Hosts) != 1 || len(f.Hosts[0].Ports) != 2 || f.Hosts[0].Ports[0].ID != 25 || f.Hosts[0].Ports[1].ID != 587 {
		t.Fatalf("got %+v", f.Hosts)
	}
	h := f.Hosts[0]
	if len(h.Names) != 2 || h.Start != began.Unix() || h.End != began.Add(time.Minute+3*time.Second).Unix() {
		t.Errorf("got names %v, from %d to %d", h.Names, h.Start, h.End)
	}
	got := script(h.Ports[0].Scripts, "smtp-open-relay")
	for _, part := range []string{
		"may relay: a foreign recipient was accepted; verdict accepted, class relay, severity medium, opened by S1; seen from internet: refuses to relay; verdict refused, ",
		"verdict=accepted | ", "vantage=inside | ", " | seen from internet: | title=refuses to relay | verdict=refused | ",
	} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in %q", part, got)
		}
	}
	if len(h.Ports[0].Scripts) != 1 {
		t.Errorf("got %d scripts of one port", len(h.Ports[0].Scripts))
	}
}

func TestNmapXMLTellsOfAPort(t *testing.T) {
	f := readNmap(t, full())
	p := f.port(t, "198.51.100.10:25")
	if p.Protocol != "tcp" || p.State.State != "open" || p.State.Reason != "syn-ack" || p.State.TTL != 0 {
		t.Errorf("got %+v", p)
	}
	if s := p.Service; s == nil || s.Name != "smtp" || s.Product != "Postfix" || s.Version != "3.4.13" || s.Method != "probed" || s.Conf != 9 || s.Tunnel != "" {
		t.Errorf("got service %+v", s)
	}
	for id, want := range map[string]string{
		"smtp-open-relay": "open relay: proven by delivery; verdict delivered, class relay, severity critical, opened by S1 S6 | title=open relay: proven by delivery | " +
			"verdict=delivered | class=relay | severity=critical | reason=the canary of S1 came home in 2s, brought by 198.51.100.10 | vantage=internet | greeting=mx1.org.example ESMTP Postfix | " +
			"vectors: | S1 | S6 | ehlo: | mx1.org.example | PIPELINING | 8BITMIME",
		"banner": "",
	} {
		if got := script(p.Scripts, id); got != want {
			t.Errorf("%s:\n got %s\nwant %s", id, got, want)
		}
	}
	ftp := listener("192.0.2.1:2525", "ftp", "")
	ftp.Greeting = "ready\n\x1b[31mred"
	p = readNmap(t, New(Input{Findings: []probe.Finding{ftp}})).port(t, "192.0.2.1:2525")
	if got, want := script(p.Scripts, "banner"), `ready\n\x1b[31mred`; got != want || len(p.Scripts) != 1 {
		t.Errorf("got banner %q, want %q", got, want)
	}
}

func TestNmapXMLNamesServices(t *testing.T) {
	mail := finding("192.0.2.1:465", "Postfix", "Postfix", "3.4.13", "mx.org.example", attempt("S1", "", ok, denied))
	mail.Service.CPE23 = "cpe:2.3:a:postfix:postfix:3.4.13:*:*:*:*:*:*:*"
	smtps := mail
	smtps.Protocol, smtps.TLS = "smtps", &probe.TLS{Mode: "implicit", Version: "TLS 1.3"}
	starttls := mail
	starttls.TLS = &probe.TLS{Mode: "starttls", Version: "TLS 1.3"}
	guess := mail
	guess.Service.Confidence, guess.Service.Release = 40, "2016 CU23"
	imap := listener("192.0.2.1:465", "imap", "")
	imap.TLS = &probe.TLS{Mode: "implicit", Version: "TLS 1.3"}
	handshake := listener("192.0.2.1:465", "unknown", "")
	handshake.Connections = 0
	for _, test := range []struct {
		name string
		f    probe.Finding
		want string
	}{
		{"SMTP in clear", mail, "smtp Postfix 3.4.13 probed 9 [cpe:/a:postfix:postfix:3.4.13]"},
		{"SMTP with STARTTLS", starttls, "smtp Postfix 3.4.13 probed 9 [cpe:/a:postfix:postfix:3.4.13]"},
		{"SMTP in TLS", smtps, "smtp Postfix 3.4.13 ssl probed 9 [cpe:/a:postfix:postfix:3.4.13]"},
		{"a guess at a product", guess, "smtp Postfix 3.4.13 probed 4 [cpe:/a:postfix:postfix:3.4.13]"},
		{"SSH", listener("192.0.2.1:465", "ssh", ""), "ssh probed 10 []"},
		{"IMAP in TLS", imap, "imap ssl probed 10 []"},
		{"something in TLS", listener("192.0.2.1:465", "tls", ""), "unknown ssl probed 10 []"},
		{"not known what", listener("192.0.2.1:465", "unknown", "silent"), ""},
		{"a handshake alone", handshake, ""},
	} {
		p := readNmap(t, New(Input{Findings: []probe.Finding{test.f}})).Hosts[0].Ports[0]
		got := ""
		if s := p.Service; s != nil {
			if want := strings.Split(script(p.Scripts, "smtp-open-relay"), " | ")[0]; s.Extra != want {
				t.Errorf("%s: got extra information %q, want %q", test.name, s.Extra, want)
			}
			got = joinNonEmpty(" ", s.Name, s.Product, s.Version, s.Tunnel, s.Method, fmt.Sprint(s.Conf), fmt.Sprint(s.CPE))
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
		if got := script(p.Scripts, "smtp-open-relay") != ""; got != test.f.SMTP() {
			t.Errorf("%s: a relay test is %v", test.name, got)
		}
	}
}

// What is known as counts alone stands as counts: no host gets a state that it was not seen in.
func TestNmapXMLClaimsNothingOfHostsNotSeen(t *testing.T) {
	out := render(t, WriteNmapXML, full())
	if strings.Contains(out, "extraports") || strings.Contains(out, `state="closed"`) || strings.Contains(out, `state="filtered"`) {
		t.Error("a host has ports that were not seen there")
	}
	got := script(readNmap(t, full()).Post, "relaysweep-coverage")
	for _, part := range []string{
		"494 of 498 targets: 12 open, 446 closed (reset), 30 filtered (silence), 5 prohibited (ICMP), 1 unreachable, 3 not attempted (interrupted), 1 failed (our fault); 16 excluded | ",
		"prefix=198.51.100.0/24 | port=25 | open=9 | closed=200 | filtered=35 | no-response=30 | admin-prohibited=5 | not-attempted=11 | failed=1 | excluded=8 | interrupted=3 | ",
		"port=587 | filtered=1 | dest-unreach=1",
	} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in %q", part, got)
		}
	}
	if got := script(readNmap(t, full()).Post, "relaysweep-leaves-open"); !strings.Contains(got, "Filtered is not closed") {
		t.Errorf("got %q", got)
	}
	// probe names endpoints, and sweeps nothing: what did not answer it was never seen open.
	refused := listener("192.0.2.1:25", "unknown", "connection refused")
	refused.Connections = 0
	for engine, want := range map[string]int{"probe": 1, "connect": 2} {
		f := readNmap(t, New(Input{Scan: Scan{Engine: engine}, Findings: []probe.Finding{refused, listener("192.0.2.2:25", "unknown", "silent")}}))
		if len(f.Hosts) != want || f.Stats.Hosts.Total != want {
			t.Errorf("%s: got %d hosts, want %d", engine, len(f.Hosts), want)
		}
	}
}

func TestCPEURI(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"with a version", "cpe:2.3:a:exim:exim:4.96:*:*:*:*:*:*:*", "cpe:/a:exim:exim:4.96"},
		{"without one", "cpe:2.3:a:exim:exim:*:*:*:*:*:*:*:*", "cpe:/a:exim:exim"},
		{"with an update, which is left out", "cpe:2.3:a:microsoft:exchange_server:2019:cumulative_update_14:*:*:*:*:*:*", "cpe:/a:microsoft:exchange_server:2019"},
		{"an escaped sign", `cpe:2.3:a:sendmail:sendmail:8.14.4\/8.14.4\:x:*:*:*:*:*:*:*`, "cpe:/a:sendmail:sendmail:8.14.4%2f8.14.4%3ax"},
		{"an escaped dot", `cpe:2.3:o:debian:debian_linux:12\.1:*:*:*:*:*:*:*`, "cpe:/o:debian:debian_linux:12.1"},
		{"no version for such a thing", "cpe:2.3:h:vendor:box:-:*:*:*:*:*:*:*", "cpe:/h:vendor:box:-"},
		{"a wild card within", "cpe:2.3:a:exim:exim:4.*:*:*:*:*:*:*:*", ""},
		{"a wild card for the product", "cpe:2.3:a:exim:*:4.96:*:*:*:*:*:*:*", ""},
		{"no such part", "cpe:2.3:x:exim:exim:4.96", ""},
		{"an URI already", "cpe:/a:exim:exim:4.96", ""},
		{"cut off", "cpe:2.3:a:exim", ""},
		{"hostile", "cpe:2.3:a:<b>:\x00\xff", "cpe:/a:%3cb%3e:%00%ff"},
		{"none", "", ""},
	} {
		if got := cpeURI(test.in); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

// markup is what XML cannot hold, or could take for its own.
var markup = []string{
	"\x00\x01\x08\x0b\x0c\x1f\x7f", "\ufffe\uffff", "\xff\xc0\x80\xed\xa0\x80", "]]><host/>", `"/><host a='`, "'\"&<>&amp;&#0;&#x1b;", "--><!ENTITY x SYSTEM \"file:///x\">", "\r\n\t ", "\u0085\u2028\u202e", "\U0010ffff\ue000",
}

// marked puts a text into every field that a stranger, or the operator, can fill.
func marked(s string) *Report {
	f := finding("192.0.2.1:25", s, s, s, s, attempt("S1", s, r("250 "+s), r("250 "+s), r("354 "+s)), attempt(s, s, r("250 "+s), r("550 "+s)))
	f.Greeting, f.EHLO, f.Note, f.Cut, f.Names, f.Vantage = s, []string{s, s}, s, s, []string{s}, s
	f.Service.OS, f.Service.CPE23, f.Service.Release, f.Service.Kind = s, "cpe:2.3:a:x:y:"+s, s, s
	other := f
	other.Addr, other.Protocol = netip.MustParseAddrPort("[2001:db8::1]:25"), s
	in := scan()
	in.ID, in.Version, in.Organisation, in.Contact, in.Vantage, in.Zone, in.CanaryDomain, in.Notes = s, s, s, s, s, s, s, []string{s}
	return New(Input{Scan: in, Findings: []probe.Finding{f, other}, Coverage: []discover.CoverageRow{{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Port: 25, Open: 1, Reasons: map[string]uint64{s: 1}}}})
}

func TestNmapXMLReadsBackWhatIsHostile(t *testing.T) {
	for _, s := range append(markup, hostile) {
		f := readNmap(t, marked(s))
		if len(f.Hosts) != 2 || f.Stats.Hosts.Total != 2 {
			t.Fatalf("%q: got %d hosts", s, len(f.Hosts))
		}
		p := f.port(t, "192.0.2.1:25")
		want := raw(s)
		if s != "" && p.Service.Product != want {
			t.Errorf("%q: got product %q, want %q", s, p.Service.Product, want)
		}
		got := script(p.Scripts, "smtp-open-relay")
		if want := "ehlo: | " + want + " | " + want; !strings.HasSuffix(got, want) {
			t.Errorf("got EHLO %q, want %q", got, want)
		}
		if want := "greeting=" + want + " | "; !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if !strings.Contains(f.Args, plain(s)) {
			t.Errorf("got args %q without %q", f.Args, plain(s))
		}
	}
}

// Go's decoder takes some of what others refuse: what is written is read by one that is not ours as well.
func TestNmapXMLIsReadByAnotherParser(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3")
	}
	const read = `
import sys, xml.etree.ElementTree as tree
for name in sys.argv[1:]:
    root = tree.parse(name).getroot()
    print(root.tag, len(root.findall('host')), root.find('runstats/hosts').get('total'))
`
	args, want := []string{"-c", read}, ""
	for i, report := range append([]*Report{full(), everywhere(), quiet(), New(Input{})}, markedAll()...) {
		name := filepath.Join(t.TempDir(), fmt.Sprint(i, ".xml"))
		if err := os.WriteFile(name, []byte(render(t, WriteNmapXML, report)), 0o600); err != nil {
			t.Fatal(err)
		}
		n := len(readNmap(t, report).Hosts)
		args, want = append(args, name), want+fmt.Sprintln("nmaprun", n, n)
	}
	out, err := exec.Command(python, args...).CombinedOutput()
	if err != nil || string(out) != want {
		t.Errorf("%v: got\n%swant\n%s", err, out, want)
	}
}

// The DTD is the one that nmap itself comes with.
func TestNmapXMLKeepsToTheDTD(t *testing.T) {
	const dtd = "/usr/share/nmap/nmap.dtd"
	lint, err := exec.LookPath("xmllint")
	if err != nil {
		t.Skip("needs xmllint, of Debian's libxml2-utils")
	}
	if _, err := os.Stat(dtd); err != nil {
		t.Skip("needs " + dtd + ", of Debian's nmap-common")
	}
	valid := func(text string) error {
		name := filepath.Join(t.TempDir(), "report.xml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(lint, "--nonet", "--noout", "--dtdvalid", dtd, name).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %.500s", err, out)
		}
		return nil
	}
	for i, report := range append([]*Report{full(), everywhere(), rich(t), ruled(t), bare(), quiet(), New(Input{})}, markedAll()...) {
		if err := valid(render(t, WriteNmapXML, report)); err != nil {
			t.Errorf("report %d: %v", i, err)
		}
	}
	// It is not enough that it is XML.
	for _, wrong := range []string{`reason="syn-ack"`, `finished`, `addrtype="ipv4"`} {
		if err := valid(strings.ReplaceAll(render(t, WriteNmapXML, full()), wrong, strings.ToUpper(wrong))); err == nil {
			t.Errorf("%s in capitals is valid", wrong)
		}
	}
}

func markedAll() []*Report {
	var out []*Report
	for _, s := range markup {
		out = append(out, marked(s))
	}
	return append(out, marked(strings.Join(markup, "")))
}

// FuzzNmapXML holds that whatever a server says, the file is XML, is printable, and reads back as it was meant.
func FuzzNmapXML(f *testing.F) {
	for _, s := range append(markup, hostile, "mx.org.example ESMTP") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 1000 {
			return // replies are bounded where they are read
		}
		var b bytes.Buffer
		if err := WriteNmapXML(&b, marked(s)); err != nil {
			t.Fatal(err)
		}
		if out := strings.ReplaceAll(b.String(), "\n", ""); plain(out) != out {
			t.Fatalf("not printable: %q", out)
		}
		d := xml.NewDecoder(bytes.NewReader(b.Bytes()))
		hosts, products := 0, []string(nil)
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			e, ok := token.(xml.StartElement)
			if ok && e.Name.Local == "host" {
				hosts++
			}
			if ok && e.Name.Local == "service" {
				products = append(products, e.Attr[1].Value)
			}
		}
		if hosts != 2 || s != "" && (len(products) < 1 || products[0] != raw(s)) {
			t.Errorf("got %d hosts and %q, want 2 and %q", hosts, products, raw(s))
		}
	})
}

// ndiff runs nmap's own comparison on two reports, and tells whether they differ.
func ndiff(t *testing.T, before, after *Report) (string, bool) {
	t.Helper()
	program, err := exec.LookPath("ndiff")
	if err != nil {
		t.Skip("needs ndiff, of the nmap project")
	}
	dir := t.TempDir()
	args := []string{filepath.Join(dir, "before.xml"), filepath.Join(dir, "after.xml")}
	for i, r := range []*Report{before, after} {
		if err := os.WriteFile(args[i], []byte(render(t, WriteNmapXML, r)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
	var out, warnings bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &warnings
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) || warnings.Len() > 0 { // 1: they differ
		t.Fatalf("%v\n%s", err, warnings.String())
	}
	return out.String(), err != nil
}

// day is a scan of a host with two ports, on a day of the month. All that differs from scan to scan differs.
func day(n int, findings ...probe.Finding) *Report {
	s := scan()
	s.ID, s.Complete, s.Interrupted, s.Resume = fmt.Sprint("scan-", n), true, false, ""
	s.Started, s.Ended = s.Started.AddDate(0, 0, n), s.Ended.AddDate(0, 0, n)
	open := uint64(len(findings))
	for i := range findings {
		f := &findings[i]
		f.Started, f.Ended = f.Started.AddDate(0, 0, n), f.Ended.AddDate(0, 0, n)
		for k := range f.Attempts {
			f.Attempts[k].Canary = fmt.Sprintf("rs-%020d", n)
		}
	}
	return New(Input{Scan: s, Findings: findings, Coverage: []discover.CoverageRow{{Prefix: s.Scope[0], Port: 25, Open: open, Closed: 256 - open}}})
}

func submission(reply string) probe.Finding {
	return finding("198.51.100.10:587", "Postfix", "Postfix", "3.4.13", "mx1.org.example", attempt("S1", "rs-a", ok, r(reply)))
}

func ftp(greeting string) probe.Finding {
	f := listener("198.51.100.10:2525", "ftp", "")
	f.Greeting = greeting
	return f
}

func relay() probe.Finding {
	return finding("198.51.100.10:25", "Postfix", "Postfix", "3.4.13", "mx1.org.example", attempt("S1", "rs-a", ok, taken, goAhead))
}

func TestNdiffShowsWhatChanged(t *testing.T) {
	closed := "454 4.7.1 <rs-1@example.net>: Relay access denied"
	unlooked := day(2, submission(closed))
	unlooked.Coverage[0].Closed, unlooked.Coverage[0].NotAttempted, unlooked.Coverage[0].Reasons = 200, 55, map[string]uint64{"interrupted": 55}
	unlooked = New(Input{Scan: unlooked.Scan, Findings: []probe.Finding{unlooked.Entries[0].Finding}, Coverage: unlooked.Coverage})
	const gone = ` mx1.org.example (198.51.100.10):
 PORT   STATE SERVICE VERSION
-25/tcp open  smtp    Postfix 3.4.13 (relays: a message to a foreign address would be taken; verdict ready, class relay, severity high, opened by S1)
-|_ smtp-open-relay: relays: a message to a foreign address would be taken; verdict ready, class relay, severity high, opened by S1

`
	for _, test := range []struct {
		name          string
		before, after *Report
		want          string // after the lines that name the scans; empty: they are equal
	}{
		{"nothing but times, canaries and the texts of replies", day(1, relay(), submission(closed)), day(2, relay(), submission("454 4.7.1 <rs-2@example.net>: Relay access denied")), ""},
		{"a port vanished", day(1, relay(), submission(closed)), day(2, submission(closed)), gone + ` Post-scan script results:
-|_ relaysweep-coverage: 256 of 256 targets: 2 open, 254 closed (reset)
+|_ relaysweep-coverage: 256 of 256 targets: 1 open, 255 closed (reset)
`},
		{"a port was not looked at", day(1, relay(), submission(closed)), unlooked, gone + ` Post-scan script results:
-|_ relaysweep-coverage: 256 of 256 targets: 2 open, 254 closed (reset)
+|_ relaysweep-coverage: 201 of 256 targets: 1 open, 200 closed (reset), 55 not attempted (interrupted)
 |  relaysweep-leaves-open: 
+|  55 targets in scope were not attempted; nothing is known of them.
 |  Only ports 25, 587, 10024-10026 were looked at: a mail server on another port is not in this report.
 |  IPv6 was looked at only as far as it is listed in the scope; other addresses of the same hosts were not.
 |  It was seen from internet alone. A firewall may let other networks through, and a server may trust them.
 |_ No login was tried: a server that takes any password is not seen.
`},
		{"a server became a relay", day(1, submission(closed)), day(2, submission("250 2.1.5 Ok")), ` mx1.org.example (198.51.100.10):
 PORT    STATE SERVICE VERSION
-587/tcp open  smtp    Postfix 3.4.13 (refuses to relay; verdict refused, class closed, severity info)
+587/tcp open  smtp    Postfix 3.4.13 (may relay: a foreign recipient was accepted; verdict accepted, class relay, severity medium, opened by S1)
-|_ smtp-open-relay: refuses to relay; verdict refused, class closed, severity info
+|_ smtp-open-relay: may relay: a foreign recipient was accepted; verdict accepted, class relay, severity medium, opened by S1

`},
		{"what is no mail server greets otherwise", day(1, ftp("ready")), day(2, ftp("red\x1b[31m")), ` 198.51.100.10:
 PORT     STATE SERVICE VERSION
-2525/tcp open  ftp     (ready)
+2525/tcp open  ftp     (red\x1b[31m)
-|_ banner: ready
+|_ banner: red\x1b[31m

`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, differ := ndiff(t, test.before, test.after)
			if differ != (test.want != "") {
				t.Errorf("they differ: %v", differ)
			}
			var names []string
			rest := got
			for range 2 {
				line, after, _ := strings.Cut(rest, "\n")
				names, rest = append(names, line), after
			}
			if !strings.HasPrefix(names[0], "-Nmap relaysweep 0.1.0 scan initiated Mon Nov 23 02:00:00 2026 as: relaysweep: scan-1 ") || !strings.HasPrefix(names[1], "+Nmap relaysweep 0.1.0 scan initiated Tue Nov 24 02:00:00 2026 as: relaysweep: scan-2 ") {
				t.Errorf("got scans %q", names)
			}
			if got, want := strings.Trim(rest, "\n"), strings.Trim(test.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
