package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/probe/smtp"
)

func renderers() map[string]func(io.Writer, *Report) error {
	table := func(o TableOptions) func(io.Writer, *Report) error {
		return func(w io.Writer, r *Report) error { return WriteTable(w, r, o) }
	}
	return map[string]func(io.Writer, *Report) error{
		"table": table(TableOptions{Verbose: true}), "table in ASCII": table(TableOptions{ASCII: true, Verbose: true}), "narrow table": table(TableOptions{Width: 60, Verbose: true}),
		"JSON Lines": WriteJSONL, "CSV": WriteCSV, "HTML": WriteHTML, "nmap XML": WriteNmapXML,
		"SARIF": WriteSARIF, "DefectDojo": WriteDefectDojo, "Prometheus": WritePrometheus, "Shadowserver's CSV": WriteShadowserver,
	}
}

func render(t *testing.T, write func(io.Writer, *Report) error, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// everywhere puts a hostile text into every field that a stranger can fill.
func everywhere() *Report {
	h := r("250 " + hostile)
	a := attempt("S1", "rs-aaaaaaaaaaaaaaaaaaaa", h, h, r("354 "+hostile), r("250 "+hostile))
	refused := attempt("S2", "rs-aaaaaaaaaaaaaaaaaaab", h, r("550 "+hostile))
	gone := attempt("S3", "rs-aaaaaaaaaaaaaaaaaaac")
	gone.Failure = hostile
	f := finding("192.0.2.1:25", hostile, hostile, hostile, hostile, a, refused, gone)
	f.Note, f.Cut, f.SeenAs, f.Greeting, f.EHLO, f.Extensions = hostile, hostile, hostile, hostile, []string{hostile}, []string{hostile}
	f.Service.OS, f.Service.CPE23, f.Service.Evidence, f.Service.EndOfLife = hostile, hostile, hostile, hostile
	f.Nonsense, f.RandomLocal, f.RandomForeign = h, h, h
	f.TLS = &probe.TLS{Mode: "starttls", Version: "TLS 1.0", Legacy: true, Subject: hostile, Issuer: hostile, Names: []string{hostile}, NotAfter: began}
	f.Sessions = []probe.Session{{Transcript: "S: " + hostile + "\n"}}
	g := f
	g.Protocol, g.Attempts = hostile, nil
	s := scan()
	s.Notes = []string{hostile}
	d := probe.Delivery{Canary: "rs-aaaaaaaaaaaaaaaaaaaa", Time: began, Peer: hostile, HELO: hostile, From: hostile, To: hostile, Received: []string{hostile}}
	stray := d
	stray.Canary = hostile
	return New(Input{Scan: s, Findings: []probe.Finding{f, g}, Coverage: coverage(), Deliveries: []probe.Delivery{d, stray}})
}

// No renderer lets control bytes, marks that turn text, or bytes that are no UTF-8 through.
func TestHostileTextIsEscaped(t *testing.T) {
	for name, write := range renderers() {
		for _, report := range []*Report{full(), everywhere()} {
			checkPrintable(t, name, render(t, write, report))
		}
	}
}

func checkPrintable(t *testing.T, name, out string) {
	t.Helper()
	if !utf8.ValidString(out) {
		t.Errorf("%s: not UTF-8", name)
	}
	for i, c := range out {
		if c != '\n' && !unicode.IsPrint(c) {
			t.Errorf("%s: %U at %d: %q", name, c, i, out[max(0, i-40):min(len(out), i+20)])
			break
		}
	}
}

func TestASCII(t *testing.T) {
	out := render(t, func(w io.Writer, r *Report) error { return WriteTable(w, r, TableOptions{ASCII: true, Verbose: true}) }, full())
	if i := strings.IndexFunc(out, func(c rune) bool { return c >= utf8.RuneSelf }); i >= 0 {
		t.Errorf("got %q", out[i:min(len(out), i+40)])
	}
}

// bare is servers of which nothing is known but a long address.
func bare() *Report {
	var fs []probe.Finding
	for _, replies := range [][]smtp.Reply{{ok, taken}, {ok, r("450 4.2.0 come back later")}} {
		f := finding("[2001:db8:51:1111:2222:3333:4444:5555]:65535", "", "", "", "", attempt("S1", "", replies...))
		f.Names = nil
		fs = append(fs, f)
	}
	return New(Input{Scan: scan(), Findings: fs})
}

func TestBare(t *testing.T) {
	out := render(t, func(w io.Writer, r *Report) error { return WriteTable(w, r, TableOptions{}) }, bare())
	if n := strings.Count(out, "[2001:db8:51:1111:2222:3333:4444:5555]:65535"); n < 6 { // exposed, twice among the services, not judged, the fix, its test
		t.Errorf("the address stands there %d times:\n%s", n, out)
	}
}

// No line is wider than the page, with Japanese names and hostile texts alike.
func TestWidth(t *testing.T) {
	colours := regexp.MustCompile(`\x1b\[[0-9;]*m`)
	for _, columns := range []int{40, 60, 80, 100, 120, 200} {
		for _, o := range []TableOptions{{}, {Verbose: true}, {ASCII: true}, {Colour: true, Verbose: true}} {
			o.Width = columns
			for _, report := range []*Report{full(), everywhere(), quiet(), bare(), New(Input{})} {
				out := render(t, func(w io.Writer, r *Report) error { return WriteTable(w, r, o) }, report)
				for line := range strings.Lines(out) {
					line = colours.ReplaceAllString(strings.TrimSuffix(line, "\n"), "")
					if got := width(line); got > columns {
						t.Errorf("%+v: %d columns: %q", o, got, line)
					}
					if strings.HasSuffix(line, " ") {
						t.Errorf("%+v: blanks at the end of %q", o, line)
					}
				}
			}
		}
	}
}

func TestTableAnswersFirst(t *testing.T) {
	out := render(t, func(w io.Writer, r *Report) error { return WriteTable(w, r, TableOptions{}) }, full())
	at := 0
	for _, section := range []string{"5 openings expose relays, seen from internet\n", "\nScope and coverage\n", "\nMail services (11)\n", "\nOther listeners (3)\n", "\nWhat this leaves open\n", "\nWhy, and what to do\n"} {
		i := strings.Index(out[at:], section)
		if i < 0 {
			t.Fatalf("%q does not follow", section)
		}
		at += i
	}
	if strings.Contains(out, "Transcript") || strings.Contains(out, "\x1b") {
		t.Error("transcripts or colours without being asked")
	}
}

// The names are a contract: DESIGN.md 6.
func TestJSONNames(t *testing.T) {
	common := []string{"type", "schema_version", "scan_id", "vantage", "timestamp"}
	contract := map[string][]string{
		"scan": {"scope", "excluded", "ports", "engine", "rate", "seed", "version"},
		"finding": {
			"ip", "port", "names", "state", "protocol", "tls", "greeting", "ehlo", "service", "verdict", "class", "reason", "vectors", "attempts", "seen_as", "severity",
			"openings", "approval", "fix", "first_seen", "last_seen", "last_checked", "sessions",
		},
		"delivery": {"canary", "ip", "port", "vector", "from", "received", "delay_ms"},
		"coverage": {"prefix", "port", "open", "closed", "filtered", "prohibited", "unreachable", "not_attempted", "failed", "reasons"},
		"end":      {"exit", "complete", "targets", "sent", "openings", "findings", "expected_missed", "duration_ms"},
	}
	arrays := []string{"scope", "excluded", "ports", "names", "ehlo", "vectors", "attempts", "openings", "received", "sessions", "weaknesses", "notes", "left_open"}
	words := map[string][]string{
		"verdict":  {"refused", "unknown", "accepted", "ready", "queued", "delivered"},
		"class":    {"relay", "sink", "catch-all", "auth-only", "closed", "not-smtp", "undetermined"},
		"severity": {"info", "low", "medium", "high", "critical"},
	}
	for _, report := range []*Report{full(), everywhere(), New(Input{Findings: []probe.Finding{{}}, Coverage: coverage()[:1], Deliveries: deliveries()[3:]})} {
		var order []string
		for line := range strings.Lines(render(t, WriteJSONL, report)) {
			if !strings.HasPrefix(line, `{"type":"`) {
				t.Errorf("type is not the first field: %.60s", line)
			}
			var o map[string]any
			if err := json.Unmarshal([]byte(line), &o); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			kind := o["type"].(string)
			if !slices.Contains(order, kind) {
				order = append(order, kind)
			}
			for _, name := range append(slices.Clone(common), contract[kind]...) {
				if _, ok := o[name]; !ok {
					t.Errorf("%s has no %s", kind, name)
				}
			}
			for _, name := range arrays {
				if v, ok := o[name]; ok {
					if _, isArray := v.([]any); !isArray && name != "openings" || kind == "finding" && !isArray {
						t.Errorf("%s.%s is %v", kind, name, v)
					}
				}
			}
			for name, allowed := range words {
				if v, ok := o[name]; ok && !slices.Contains(allowed, v.(string)) {
					t.Errorf("%s.%s is %v", kind, name, v)
				}
			}
			if kind == "finding" {
				checkFinding(t, o)
			}
		}
		if want := []string{"scan", "finding", "delivery", "coverage", "end"}; !slices.Equal(order, want) {
			t.Errorf("got order %v, want %v", order, want)
		}
	}
}

func checkFinding(t *testing.T, o map[string]any) {
	t.Helper()
	for _, name := range []string{"vendor", "product", "version", "cpe23", "evidence", "confidence"} {
		if _, ok := o["service"].(map[string]any)[name]; !ok {
			t.Errorf("service has no %s", name)
		}
	}
	for _, name := range []string{"server", "firewall", "source"} {
		if v, ok := o["fix"].(map[string]any)[name]; !ok || v == nil {
			t.Errorf("fix.%s is %v", name, v)
		}
	}
	for _, a := range o["attempts"].([]any) {
		a := a.(map[string]any)
		for _, name := range []string{"vector", "form", "helo", "envelope", "tls", "replies", "verdict", "reason", "transcript", "canary"} {
			if _, ok := a[name]; !ok {
				t.Errorf("attempt has no %s", name)
			}
		}
		for _, name := range []string{"mail", "rcpt", "data", "end"} {
			if _, ok := a["replies"].(map[string]any)[name].(string); !ok {
				t.Errorf("replies.%s is no string", name)
			}
		}
	}
}

func TestJSONFindingsByAddress(t *testing.T) {
	var got []string
	for line := range strings.Lines(render(t, WriteJSONL, full())) {
		var o struct {
			Type, IP string
		}
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatal(err)
		}
		if o.Type == "finding" {
			got = append(got, o.IP)
		}
	}
	if len(got) != 14 || got[0] != "198.51.100.10" || got[12] != "198.51.100.32" || !strings.HasPrefix(got[13], "2001:") {
		t.Errorf("got %v", got)
	}
}

// JSON keeps what was said: the text comes back as it was, except for bytes that are no UTF-8.
func TestJSONIsVerbatim(t *testing.T) {
	for line := range strings.Lines(render(t, WriteJSONL, full())) {
		var o struct {
			IP, Greeting string
		}
		if json.Unmarshal([]byte(line), &o); o.IP == "198.51.100.19" {
			if want := strings.ReplaceAll(hostile, "\xff\xfe", `\xff\xfe`); o.Greeting != want {
				t.Errorf("got %q, want %q", o.Greeting, want)
			}
		}
	}
}

func TestCSV(t *testing.T) {
	for _, report := range []*Report{full(), everywhere()} {
		rows, err := csv.NewReader(strings.NewReader(render(t, WriteCSV, report))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != len(report.Entries)+1 {
			t.Errorf("got %d rows", len(rows))
		}
		mail, err := csv.NewReader(strings.NewReader(render(t, WriteShadowserver, report))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if len(mail) != report.Totals.Mail+1 {
			t.Errorf("got %d rows of mail services", len(mail))
		}
		rows = append(rows, mail...)
		for _, row := range rows {
			for _, cell := range row {
				for part := range strings.SplitSeq(cell, ";") { // the separator of other locales
					if part = strings.TrimSpace(part); part != "" && strings.ContainsRune("=+-@\t\r＝＋－＠", []rune(part)[0]) {
						t.Errorf("a formula: %q", cell)
					}
				}
			}
		}
	}
}

func TestDisarm(t *testing.T) {
	for in, want := range map[string]string{
		"mx.example": "mx.example", "=1+1": "'=1+1", "  @SUM(A1)": "  '@SUM(A1)", "a;=1": "a;'=1", "＝1": "'＝1", "-": "'-", "a-b=c": "a-b=c", "": "",
		`x;"=1+1;y`: `x;"'=1+1;y`, `"=1"`: `"'=1"`, `x; " +1`: `x; " '+1`, `say "=" twice`: `say "=" twice`,
	} {
		if got := disarm(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// The policy names the styles and scripts by their hashes, so they must stand in the page byte for byte.
func TestHTMLPolicy(t *testing.T) {
	out := render(t, WriteHTML, everywhere())
	policy := html.UnescapeString(regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(out)[1])
	for _, element := range []string{"style", "script"} {
		found := regexp.MustCompile(`(?s)<`+element+`>(.*?)</`+element+`>`).FindAllStringSubmatch(out, -1)
		if len(found) != 1 {
			t.Fatalf("%d elements %s", len(found), element)
		}
		sum := sha256.Sum256([]byte(found[0][1]))
		if want := element + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
			t.Errorf("%q is not in the policy %q", want, policy)
		}
	}
	if !strings.HasPrefix(policy, "default-src 'none'") {
		t.Errorf("got %q", policy)
	}
}

func TestHTMLNeedsNothingElse(t *testing.T) {
	for _, report := range []*Report{full(), everywhere(), quiet(), New(Input{})} {
		out := render(t, WriteHTML, report)
		if m := regexp.MustCompile(`(?i)<(?:link|img|iframe|object|base)\b|\s(?:src|style|on[a-z]+)=|url\(|@import|https?://[^x]`).FindString(out); m != "" {
			t.Errorf("%q in the page", m)
		}
		if strings.Contains(out, "<script>alert") || strings.Contains(out, "ZgotmplZ") {
			t.Error("hostile text was not escaped")
		}
		if strings.Count(out, "<script>") != 1 {
			t.Error("more than one script")
		}
		for _, href := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(out, -1) {
			if !strings.Contains(out, ` id="`+href[1]+`"`) {
				t.Errorf("a link to %q leads nowhere", href[1])
			}
		}
	}
}

func TestWritersPassOnErrors(t *testing.T) {
	for name, write := range renderers() {
		if err := write(full1{}, full()); !errors.Is(err, errFull) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

var errFull = errors.New("disk full")

type full1 struct{}

func (full1) Write([]byte) (int, error) { return 0, errFull }

func TestWrap(t *testing.T) {
	for _, test := range []struct {
		s    string
		n    int
		want []string
	}{
		{"one two three", 9, []string{"one two", "three"}},
		{"abcdefghijklmnop qr", 8, []string{"abcdefgh", "ijklmnop", "qr"}},
		{"日本語日本語 x", 8, []string{"日本語日", "本語 x"}},
		{"", 8, nil},
	} {
		if got := wrap(test.s, test.n, test.n); !slices.Equal(got, test.want) {
			t.Errorf("%q: got %q, want %q", test.s, got, test.want)
		}
	}
}

func TestTruncate(t *testing.T) {
	for _, test := range []struct {
		s    string
		n    int
		want string
	}{{"mx.example", 10, "mx.example"}, {"mx.example", 5, "mx.e…"}, {"日本語", 5, "日本…"}, {"日本語", 4, "日…"}, {"ab", 0, ""}} {
		got := truncate(test.s, test.n, "…")
		if got != test.want || width(got) > max(test.n, 0) {
			t.Errorf("%q, %d: got %q, want %q", test.s, test.n, got, test.want)
		}
	}
}

// A page that shows all ports of some hosts would be too long to open: it shows the rows with openings, and says so.
func TestPageOfManyPorts(t *testing.T) {
	in := Input{Scan: scan()}
	host := netip.MustParsePrefix("192.0.2.25/32")
	for port := uint16(1); port <= maxPortRows; port++ {
		in.Coverage = append(in.Coverage, discover.CoverageRow{Prefix: host, Port: port, Closed: 1})
	}
	in.Coverage[24] = discover.CoverageRow{Prefix: host, Port: 25, Open: 1}
	write := renderers()["HTML"]
	if out := render(t, write, New(in)); !strings.Contains(out, "(5000 rows)") {
		t.Error("5000 rows are not all shown")
	}
	in.Coverage = append(in.Coverage, discover.CoverageRow{Prefix: host, Port: maxPortRows + 1, Closed: 1})
	out := render(t, write, New(in))
	if !strings.Contains(out, "(1 rows; 5000 without an opening are in the JSON Lines alone)") || len(out) > 100_000 {
		t.Errorf("a page of %d bytes", len(out))
	}
}
