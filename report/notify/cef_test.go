package notify

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"relaysweep/report"
)

// cefKeys are those of CEF's dictionary of extensions that we use, with what their values may be.
var cefKeys = map[string]*regexp.Regexp{
	"cat": cefAny, "deviceExternalId": cefAny, "rt": regexp.MustCompile(`^\d{1,15}$`), "externalId": cefAny, "src": regexp.MustCompile(`^\d+\.\d+\.\d+\.\d+$`), "spt": regexp.MustCompile(`^\d{1,5}$`),
	"shost": cefAny, "outcome": cefAny, "reason": cefAny, "c6a2": regexp.MustCompile(`^[0-9a-f:.]+$`), "c6a2Label": cefAny, "flexString1": cefAny, "flexString1Label": cefAny,
	"flexString2": cefAny, "flexString2Label": cefAny, "cs1": cefAny, "cs1Label": cefAny, "cs2": cefAny, "cs2Label": cefAny, "cs3": cefAny, "cs3Label": cefAny, "cs4": cefAny, "cs4Label": cefAny,
	"cs5": cefAny, "cs5Label": cefAny, "cs6": cefAny, "cs6Label": cefAny, "cn1": cefNumber, "cn1Label": cefAny, "cn2": cefNumber, "cn2Label": cefAny, "cn3": cefNumber, "cn3Label": cefAny,
}

var (
	cefAny    = regexp.MustCompile(`^\S`)
	cefNumber = regexp.MustCompile(`^-?\d+$`)
	cefKey    = regexp.MustCompile(`^[A-Za-z0-9]+$`)
)

// readCEF reads a message strictly, as the format's documentation has it: the seven fields of the header, and the
// extension. No escape but those of the place is allowed, nor a key that the dictionary does not have, a key twice, or a
// custom field without its label.
func readCEF(s string) (header []string, extension map[string]string, err error) {
	rest, ok := strings.CutPrefix(s, "CEF:")
	if !ok || strings.ContainsAny(s, "\r\n") {
		return nil, nil, errors.New("not a line of CEF")
	}
	var b strings.Builder
	for len(header) < 7 {
		if rest == "" {
			return nil, nil, errors.New("the header ends early")
		}
		switch c := rest[0]; {
		case c == '|':
			header = append(header, b.String())
			b.Reset()
		case c == '\\' && len(rest) > 1 && (rest[1] == '\\' || rest[1] == '|'):
			b.WriteByte(rest[1])
			rest = rest[1:]
		case c == '\\':
			return nil, nil, fmt.Errorf("a bad escape in the header: %.10q", rest)
		default:
			b.WriteByte(c)
		}
		rest = rest[1:]
	}
	if n, err := strconv.Atoi(header[6]); err != nil || n < 0 || n > 10 || header[0] != "0" {
		return nil, nil, fmt.Errorf("severity %q of version %q", header[6], header[0])
	}
	if slices.Contains(header, "") {
		return nil, nil, errors.New("a field of the header is empty")
	}
	// A key is what stands before an equals sign that is not escaped, back to the blank before it.
	extension = make(map[string]string)
	for rest != "" {
		key, value, ok := strings.Cut(rest, "=")
		if !ok || !cefKey.MatchString(key) {
			return nil, nil, fmt.Errorf("no key: %.40q", rest)
		}
		end := len(value)
		for i := 0; i < len(value); i++ {
			if value[i] == '\\' {
				i++
			} else if value[i] == '=' {
				if end = strings.LastIndexByte(value[:i], ' '); end < 0 {
					return nil, nil, fmt.Errorf("an equals sign in the value of %s", key)
				}
				break
			}
		}
		rest = strings.TrimPrefix(value[end:], " ")
		b.Reset()
		for i := 0; i < end; i++ {
			if value[i] == '\\' {
				if i++; i == end || value[i] != '\\' && value[i] != '=' {
					return nil, nil, fmt.Errorf("a bad escape in the value of %s", key)
				}
			}
			b.WriteByte(value[i])
		}
		if _, twice := extension[key]; twice || cefKeys[key] == nil || !cefKeys[key].MatchString(b.String()) {
			return nil, nil, fmt.Errorf("%s=%q: no such key, or twice, or no such value", key, b.String())
		}
		extension[key] = b.String()
	}
	for key := range extension {
		if base, label := strings.CutSuffix(key, "Label"); label && extension[base] == "" || custom(key) && extension[key+"Label"] == "" {
			return nil, nil, fmt.Errorf("%s without its other half", key)
		}
	}
	return header, extension, nil
}

// The reader itself refuses what is wrong.
func TestReadCEF(t *testing.T) {
	for _, tt := range []struct {
		line string
		ok   bool
	}{
		{`CEF:0|v|p|1|id|name|5|`, true},
		{`CEF:0|v|p|1|id|na\|me \\|5|cat=a b\=c src=192.0.2.1`, true},
		{`CEF:0|v|p|1|id|name|5|cs1=a cs1Label=b`, true},
		{`CEF:1|v|p|1|id|name|5|`, false},
		{`CEF:0|v|p|1|id|name|11|`, false},
		{`CEF:0|v|p|1|id|name|`, false},
		{`CEF:0|v|p|1||name|5|`, false},
		{`CEF:0|v|p|1|id|na\me|5|`, false},
		{`CEF:0|v|p|1|id|name|5|cat=a=b`, false},
		{`CEF:0|v|p|1|id|name|5|cat=a cat=b`, false},
		{`CEF:0|v|p|1|id|name|5|frob=a`, false},
		{`CEF:0|v|p|1|id|name|5|cs1=a`, false},
		{`CEF:0|v|p|1|id|name|5|cs1Label=a`, false},
		{`CEF:0|v|p|1|id|name|5|src=2001:db8::1`, false},
		{`CEF:0|v|p|1|id|name|5|cat=a\`, false},
		{`CEF:0|v|p|1|id|name|5|cat=a\n`, false},
		{"CEF:0|v|p|1|id|name|5|cat=a\n", false},
		{`cat=a`, false},
	} {
		if _, _, err := readCEF(tt.line); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.line, err)
		}
	}
}

func TestCEF(t *testing.T) {
	r := reportOf(relay("198.51.100.10:25", "Postfix", "3.11.6"), evil())
	list := events(r, changesOf(), report.Medium)
	var got []map[string]string
	var ids, severities []string
	for _, e := range list {
		m := read(t, rfc5424Of(e, "scanner.example.net", CEF))
		if m.StructuredData != nil {
			t.Errorf("structured data beside CEF: %v", *m.StructuredData)
		}
		h, x, err := readCEF(*m.Message)
		if err != nil {
			t.Fatalf("%v: %s", err, *m.Message)
		}
		if h[1] != "relaysweep" || h[2] != "relaysweep" || h[3] != "v1.2.3" {
			t.Errorf("header %q", h)
		}
		got, ids, severities = append(got, x), append(ids, h[4]), append(severities, h[6])
	}
	if want := "[scan-complete finding-relay finding-relay change-changed change-gone] [1 8 8 8 3]"; fmt.Sprint(ids, severities) != want {
		t.Errorf("got %v %v, want %s", ids, severities, want)
	}
	for i, want := range []map[string]string{
		0: {"cat": "scan", "externalId": "20261122-020000-abcdef", "cn2": "2", "cn2Label": "findings", "outcome": "complete"},
		3: {"cat": "change", "src": "198.51.100.10", "spt": "25", "cs2": "changed", "cs3": `version "3.4.13" to "3.11.6", verdict "refused" to "ready"`},
		1: {"cat": "finding", "src": "198.51.100.10", "spt": "25", "shost": "mx1.org.example", "cs2": "relay", "cs2Label": "class", "cs3": "mx1.org.example ESMTP Postfix", "cs3Label": "banner", "cs4": "ready", "cs5": "internet", "rt": fmt.Sprint(began.Add(2 * time.Minute).UnixMilli())},
		2: {"c6a2": "2001:db8::25", "c6a2Label": "ip", "cs3": report.ASCII(hostile)},
	} {
		for k, v := range want {
			if got[i][k] != v {
				t.Errorf("line %d: %s is %q, want %q", i, k, got[i][k], v)
			}
		}
	}
}

// Whatever a server says: one line of CEF, which says the same to a strict reader.
func FuzzCEF(f *testing.F) {
	f.Add("mx1.org.example ESMTP", "relays", "v1")
	f.Add(hostile, hostile, hostile)
	f.Add(`a=b\`, `|\`, `\|`)
	f.Add(" src=1.2.3.4 ", "\n\r", "\t")
	f.Add(strings.Repeat("=", 4000), strings.Repeat("|", 4000), "")
	f.Fuzz(func(t *testing.T, value, message, version string) {
		e := event{kind: "finding", id: "finding-relay", severity: report.High, time: began, message: message}
		for i := 1; i <= 6; i++ {
			e.fields = append(e.fields, field{"banner", fmt.Sprint("cs", i), value})
		}
		line := rfc5424Of(e, "h", CEF)
		if len(line) > maxLine {
			t.Fatalf("%d bytes", len(line))
		}
		m := read(t, line)
		if version == "" {
			return
		}
		h, x, err := readCEF(*m.Message)
		if err != nil {
			t.Fatalf("%v: %q", err, *m.Message)
		}
		if want := clip(report.ASCII("finding: "+message), maxValue); h[5] != want {
			t.Fatalf("name %q, want %q", h[5], want)
		}
		if got, want := x["cs1"], strings.TrimSpace(clip(report.ASCII(value), maxValue)); got != want {
			t.Fatalf("value %q, want %q", got, want)
		}
	})
}
