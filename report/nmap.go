package report

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
)

// The XML that nmap writes (nmap.dtd, xmloutputversion 1.05), as far as a scan of ours has something to put there. The
// order of fields is the order of the DTD.
type nmapRun struct {
	XMLName    xml.Name      `xml:"nmaprun"`
	Scanner    string        `xml:"scanner,attr"`
	Args       string        `xml:"args,attr"`
	Start      int64         `xml:"start,attr,omitempty"` // seconds since 1970
	StartStr   string        `xml:"startstr,attr,omitempty"`
	Version    string        `xml:"version,attr"`
	XMLVersion string        `xml:"xmloutputversion,attr"`
	ScanInfo   nmapScanInfo  `xml:"scaninfo"`
	Verbose    nmapLevel     `xml:"verbose"`
	Debugging  nmapLevel     `xml:"debugging"`
	Hosts      []nmapHost    `xml:"host"`
	PostScript *nmapScripted `xml:"postscript"`
	Stats      nmapStats     `xml:"runstats"`
}

type nmapScanInfo struct {
	Type        string `xml:"type,attr"`
	Protocol    string `xml:"protocol,attr"`
	NumServices int    `xml:"numservices,attr"`
	Services    string `xml:"services,attr"`
}

type nmapLevel struct {
	Level int `xml:"level,attr"`
}

type nmapHost struct {
	StartTime int64          `xml:"starttime,attr,omitempty"`
	EndTime   int64          `xml:"endtime,attr,omitempty"`
	Status    nmapState      `xml:"status"`
	Address   nmapAddress    `xml:"address"`
	Hostnames []nmapHostname `xml:"hostnames>hostname"`
	Ports     []nmapPort     `xml:"ports>port"`
}

type nmapState struct {
	State     string `xml:"state,attr"`
	Reason    string `xml:"reason,attr"`
	ReasonTTL int    `xml:"reason_ttl,attr"`
}

type nmapAddress struct {
	Addr string `xml:"addr,attr"`
	Type string `xml:"addrtype,attr"`
}

type nmapHostname struct {
	Name string `xml:"name,attr"`
	Type string `xml:"type,attr"`
}

type nmapPort struct {
	Protocol string       `xml:"protocol,attr"`
	ID       uint16       `xml:"portid,attr"`
	State    nmapState    `xml:"state"`
	Service  *nmapService `xml:"service"`
	Script   *nmapScript  `xml:"script"`
}

type nmapService struct {
	Name      string   `xml:"name,attr"`
	Product   string   `xml:"product,attr,omitempty"`
	Version   string   `xml:"version,attr,omitempty"`
	ExtraInfo string   `xml:"extrainfo,attr,omitempty"`
	OSType    string   `xml:"ostype,attr,omitempty"`
	Tunnel    string   `xml:"tunnel,attr,omitempty"`
	Method    string   `xml:"method,attr"`
	Conf      int      `xml:"conf,attr"`
	CPE       []string `xml:"cpe"`
}

type nmapScript struct {
	ID     string      `xml:"id,attr"`
	Output string      `xml:"output,attr"`
	Elems  []nmapElem  `xml:"elem"`
	Tables []nmapTable `xml:"table"`
}

// nmapScripted holds one script at least, says the DTD.
type nmapScripted struct {
	Scripts []nmapScript `xml:"script"`
}

type nmapTable struct {
	Key   string     `xml:"key,attr,omitempty"`
	Elems []nmapElem `xml:"elem"`
}

type nmapElem struct {
	Key   string `xml:"key,attr,omitempty"`
	Value string `xml:",chardata"`
}

type nmapStats struct {
	Finished nmapFinished `xml:"finished"`
	Hosts    nmapHosts    `xml:"hosts"`
}

type nmapFinished struct {
	Time     int64  `xml:"time,attr"`
	TimeStr  string `xml:"timestr,attr"`
	Summary  string `xml:"summary,attr"`
	Elapsed  string `xml:"elapsed,attr"`
	Exit     string `xml:"exit,attr"`
	ErrorMsg string `xml:"errormsg,attr,omitempty"`
}

type nmapHosts struct {
	Up    int `xml:"up,attr"`
	Down  int `xml:"down,attr"`
	Total int `xml:"total,attr"`
}

// What nmap calls a state that it was told by a completed handshake.
const synAck = "syn-ack"

const nmapHead = xml.Header + `<!DOCTYPE nmaprun>
<!-- Written by relaysweep in the form of nmap. Hosts are listed for their openings alone. What else was looked at is
     known as counts: they stand in the postscript relaysweep-coverage. -->
`

// WriteNmapXML writes XML in the form of nmap -oX, for what reads that: ndiff, importers, dashboards. Each opening is a
// port, with its relay test as the script smtp-open-relay. What two scans of the same network write differs only where
// what they saw does, times and the scan's name apart, so that ndiff shows changes alone.
//
// Two faults of ndiff, since its move to Python 3, are worked around: it stops at ports with two scripts (nmap/nmap
// issue 2930), so a port has one; and where a script has changed and nothing else has, so the service's extra
// information is the script's output. Readers that know no scripts learn the verdict from there.
func WriteNmapXML(w io.Writer, r *Report) error {
	if _, err := io.WriteString(w, nmapHead); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", " ")
	if err := enc.Encode(r.nmap()); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (r *Report) nmap() nmapRun {
	s := &r.Scan
	run := nmapRun{
		Scanner: "nmap", // the DTD knows no other
		Args:    plain("relaysweep: " + joinNonEmpty("; ", scanLine(s), methodLine(s))),
		Version: plain(strings.TrimSpace("relaysweep " + s.Version)), XMLVersion: "1.05",
		ScanInfo: nmapScanInfo{Type: "connect", Protocol: "tcp", NumServices: len(s.Ports), Services: strings.Join(portRuns(s.Ports), ",")},
		Hosts:    r.nmapHosts(),
	}
	if s.Engine == "syn" {
		run.ScanInfo.Type = "syn"
	}
	if !s.Started.IsZero() {
		run.Start, run.StartStr = s.Started.Unix(), ctime(s.Started)
	}
	var post []nmapScript
	if len(r.Coverage) > 0 {
		post = append(post, r.nmapCoverage())
	}
	if len(r.Open) > 0 {
		post = append(post, nmapScript{ID: "relaysweep-leaves-open", Output: lines("\n" + strings.Join(r.Open, "\n"))})
	}
	if len(post) > 0 {
		run.PostScript = &nmapScripted{post}
	}
	run.Stats = r.nmapStats(len(run.Hosts))
	return run
}

// nmapHosts lists the addresses that have openings, in order. A finding of probe is of an endpoint that was named and
// not swept, so it is an opening only where it answered.
func (r *Report) nmapHosts() []nmapHost {
	var hosts []nmapHost
	var at netip.AddrPort
	worstFirst := func(a, b *Entry) int { return a.Finding.Addr.Compare(b.Finding.Addr) }
	for _, e := range slices.SortedStableFunc(slices.Values(r.Entries), worstFirst) {
		f := &e.Finding
		if r.Scan.Engine == "probe" && !e.spoken() {
			continue
		}
		if len(hosts) == 0 || at.Addr() != f.Addr.Addr() {
			hosts = append(hosts, newNmapHost(f.Addr.Addr()))
		}
		h := &hosts[len(hosts)-1]
		h.add(f, r.Scan.time())
		p := nmapPort{Protocol: "tcp", ID: f.Addr.Port(), State: nmapState{State: discover.Open.String(), Reason: synAck}, Service: nmapServiceOf(e), Script: nmapScriptOf(e)}
		if at == f.Addr { // seen from another vantage as well
			h.Ports[len(h.Ports)-1].join(p, f.Vantage)
		} else {
			h.Ports = append(h.Ports, p)
		}
		for _, port := range f.Crowd[min(1, len(f.Crowd)):] { // the first is the finding's own
			h.Ports = append(h.Ports, nmapPort{Protocol: "tcp", ID: port, State: p.State})
		}
		at = f.Addr
	}
	for _, h := range hosts {
		slices.SortFunc(h.Ports, func(a, b nmapPort) int { return cmp.Compare(a.ID, b.ID) })
		for _, p := range h.Ports {
			if p.Script != nil {
				p.Service.ExtraInfo = p.Script.Output
			}
		}
	}
	return hosts
}

func newNmapHost(a netip.Addr) nmapHost {
	kind := "ipv6"
	if a.Unmap().Is4() {
		kind = "ipv4"
	}
	return nmapHost{Status: nmapState{State: "up", Reason: synAck}, Address: nmapAddress{a.Unmap().WithZone("").String(), kind}}
}

// add takes over the names and times of a finding.
func (h *nmapHost) add(f *probe.Finding, otherwise time.Time) {
	for _, n := range f.Names {
		// Most names are the server's own word. The DTD knows PTR and user only, and importers take a PTR name in place of
		// the address, so that a server could turn them on somebody else.
		name := nmapHostname{raw(n), "user"}
		if n != "" && !slices.Contains(h.Hostnames, name) {
			h.Hostnames = append(h.Hostnames, name)
		}
	}
	from, to := f.Started, seen(f)
	if to.IsZero() {
		to = otherwise
	}
	if from.IsZero() {
		from = to
	}
	if to.IsZero() {
		return
	}
	if h.StartTime == 0 || from.Unix() < h.StartTime {
		h.StartTime = from.Unix()
	}
	h.EndTime = max(h.EndTime, to.Unix())
}

// nmapServiceOf names what listens; nil where nothing was said.
func nmapServiceOf(e *Entry) *nmapService {
	f := &e.Finding
	s := nmapService{
		Name: raw(protocol(f)), Method: "probed", Conf: 10,
		Product: raw(f.Service.Product), Version: raw(f.Service.Version), OSType: raw(f.Service.OS),
	}
	switch {
	case f.Protocol == "smtps":
		s.Name = "smtp"
	case f.Protocol == "tls": // and what lies in it is not known
		s.Name = "unknown"
	case s.Name == "unknown" && s.Product == "" && f.Greeting == "" && !e.tested():
		return nil
	}
	if f.Protocol == "smtps" || f.Protocol == "tls" || f.TLS != nil && f.TLS.Mode == "implicit" && f.TLS.Error == "" {
		s.Tunnel = "ssl"
	}
	if s.Product != "" {
		s.Conf = min(max(f.Service.Confidence/10, 1), 10)
	}
	if uri := cpeURI(f.Service.CPE23); uri != "" {
		s.CPE = []string{uri}
	}
	return &s
}

// nmapScriptOf tells what was said and what the relay test showed; nil where there was nothing of either.
func nmapScriptOf(e *Entry) *nmapScript {
	f := &e.Finding
	var s nmapScript
	switch {
	case e.mail() || e.tested():
		s = nmapRelay(e)
	case f.Greeting != "":
		s = nmapScript{ID: "banner", Output: raw(f.Greeting)}
	default:
		return nil
	}
	if len(f.EHLO) > 0 {
		s.Tables = append(s.Tables, nmapList("ehlo", allRaw(f.EHLO)))
	}
	return &s
}

// nmapRelay is the relay test. The reason quotes replies, which hold canaries and queue ids, and greetings hold the
// date: they stand in the elements alone, as ndiff compares the output.
func nmapRelay(e *Entry) nmapScript {
	output := fmt.Sprintf("%s; verdict %s, class %s, severity %s", e.Title, e.Verdict, e.Class, e.Severity)
	if len(e.Vectors) > 0 {
		output += ", opened by " + strings.Join(e.Vectors, " ")
	}
	s := nmapScript{ID: "smtp-open-relay", Output: plain(output)}
	for _, elem := range []nmapElem{
		{"title", plain(e.Title)},
		{"verdict", e.Verdict.String()},
		{"class", string(e.Class)},
		{"suspected", string(e.suspected())},
		{"severity", e.Severity.String()},
		{"reason", plain(e.Reason)},
		{"vantage", plain(e.Finding.Vantage)},
		{"release", raw(e.Finding.Service.Release)},
		{"greeting", raw(e.Finding.Greeting)},
	} {
		if elem.Value != "" {
			s.Elems = append(s.Elems, elem)
		}
	}
	if len(e.Vectors) > 0 {
		s.Tables = append(s.Tables, nmapList("vectors", e.Vectors))
	}
	return s
}

func nmapList(key string, values []string) nmapTable {
	t := nmapTable{Key: key}
	for _, v := range values {
		t.Elems = append(t.Elems, nmapElem{Value: plain(v)})
	}
	return t
}

// join adds what another vantage saw of the port.
func (p *nmapPort) join(q nmapPort, vantage string) {
	p.Service = cmp.Or(p.Service, q.Service)
	if p.Script == nil || q.Script == nil {
		p.Script = cmp.Or(p.Script, q.Script)
		return
	}
	p.Script.Output += "; seen from " + plain(vantage) + ": " + q.Script.Output
	p.Script.Tables = append(p.Script.Tables, nmapTable{Key: "seen from " + plain(vantage), Elems: q.Script.Elems})
}

// nmapCoverage tells what was looked at, by prefix and port: for which hosts it is not known, so that nothing can stand
// with them. The states are those of nmap; filtered is made up of its reasons.
func (r *Report) nmapCoverage() nmapScript {
	s := nmapScript{ID: "relaysweep-coverage", Output: plain(coverageLine(r.Totals.Coverage))}
	for _, c := range r.Coverage {
		t := nmapTable{Elems: []nmapElem{{"prefix", c.Prefix.String()}, {"port", strconv.Itoa(int(c.Port))}}}
		for _, count := range []struct {
			key string
			n   uint64
		}{
			{"open", c.Open},
			{"closed", c.Closed},
			{"filtered", c.Filtered + c.Prohibited + c.Unreachable},
			{"no-response", c.Filtered},
			{"admin-prohibited", c.Prohibited},
			{"dest-unreach", c.Unreachable},
			{"not-attempted", c.NotAttempted},
			{"failed", c.Failed},
		} {
			if count.n > 0 {
				t.Elems = append(t.Elems, nmapElem{count.key, strconv.FormatUint(count.n, 10)})
			}
		}
		for _, why := range sortedKeys(c.Reasons) { // of what was not attempted
			t.Elems = append(t.Elems, nmapElem{plain(why), strconv.FormatUint(c.Reasons[why], 10)})
		}
		s.Tables = append(s.Tables, t)
	}
	return s
}

// nmapStats ends the run. Only hosts that are listed are counted: of the others it is not known whether they are up.
func (r *Report) nmapStats(hosts int) nmapStats {
	s := &r.Scan
	end := s.time()
	elapsed := time.Duration(0)
	if !s.Started.IsZero() {
		elapsed = end.Sub(s.Started)
	}
	f := nmapFinished{Elapsed: fmt.Sprintf("%.2f", elapsed.Seconds()), Exit: "success"}
	if !end.IsZero() {
		f.Time, f.TimeStr = end.Unix(), ctime(end)
	}
	t := r.Totals.Coverage
	f.Summary = fmt.Sprintf("relaysweep looked at %s of %s; %s listed, each with openings", number(t.Looked), plural(t.Targets, "target"), plural(hosts, "host"))
	if len(r.Coverage) == 0 {
		f.Summary = fmt.Sprintf("relaysweep looked at %s; %s listed", plural(s.Targets, "target"), plural(hosts, "host"))
	}
	if !s.Complete {
		f.Exit, f.ErrorMsg = "error", "the scan is incomplete"
		if s.Interrupted {
			f.ErrorMsg = "the scan was interrupted"
		}
	}
	return nmapStats{f, nmapHosts{Up: hosts, Total: hosts}}
}

// ctime is a time as nmap writes it, but in UTC.
func ctime(t time.Time) string { return t.UTC().Format(time.ANSIC) }

func allRaw(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = raw(s)
	}
	return out
}

// cpeURI writes a CPE name of form 2.3 as a URI of form 2.2 (NISTIR 7695, Section 6.1), which is what nmap writes: up to
// the version. It is empty where the name is none.
func cpeURI(name string) string {
	rest, ok := strings.CutPrefix(name, "cpe:2.3:")
	if !ok {
		return ""
	}
	var parts []string
	var part strings.Builder
	for i := 0; i <= len(rest) && len(parts) < 4; i++ {
		switch {
		case i == len(rest) || rest[i] == ':':
			parts = append(parts, part.String())
			part.Reset()
		case rest[i] == '*' && part.Len() == 0 && (i+1 == len(rest) || rest[i+1] == ':'): // any
		case rest[i] == '*' || rest[i] == '?':
			return ""
		default:
			if rest[i] == '\\' && i+1 < len(rest) {
				i++
			}
			part.WriteString(percent(rest[i]))
		}
	}
	if len(parts) < 3 || !slices.Contains([]string{"a", "h", "o"}, parts[0]) || parts[1] == "" || parts[2] == "" {
		return ""
	}
	return strings.TrimRight("cpe:/"+strings.Join(parts, ":"), ":")
}

// percent writes a byte of a CPE name.
func percent(c byte) string {
	if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._", c) >= 0 {
		return string(c)
	}
	return fmt.Sprintf("%%%02x", c)
}
