package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// flatten writes a JSON value as fields: {"a":{"b":[1,2]}} is a.b=1,2 and a.b.0=1 and a.b.1=2.
func flatten(prefix string, v any, out map[string]string) string {
	text := ""
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			flatten(prefix+k+".", e, out)
		}
		text = fmt.Sprint(len(v))
	case []any:
		var parts []string
		for i, e := range v {
			parts = append(parts, flatten(prefix+strconv.Itoa(i)+".", e, out))
		}
		text = strings.Join(parts, ",")
	case nil:
	case string:
		text = v
	case json.Number:
		text = v.String()
	default:
		text = fmt.Sprint(v)
	}
	out[strings.TrimSuffix(prefix, ".")] = text
	return text
}

// decodeLines decodes JSON Lines; numbers stay as they are written.
func decodeLines(text string) ([]map[string]any, error) {
	var out []map[string]any
	s := bufio.NewScanner(strings.NewReader(text))
	s.Buffer(nil, 16<<20)
	for n := 1; s.Scan(); n++ {
		d := json.NewDecoder(strings.NewReader(s.Text()))
		d.UseNumber()
		var v map[string]any
		if err := d.Decode(&v); err != nil {
			return nil, fmt.Errorf("line %d: %w: %s", n, err, s.Text())
		}
		out = append(out, v)
	}
	return out, s.Err()
}

var fieldIs = regexp.MustCompile(`^([A-Za-z0-9_.-]+)(!=|!~|>=|<=|=|~)((?s).*)$`)

// holds reports whether fields meet a condition such as verdict=relay, reason~REGEXP or sent>=3.
func holds(fields map[string]string, c []string) (bool, error) {
	got, ok := fields[c[1]]
	switch c[2] {
	case "=":
		return ok && got == c[3], nil
	case "!=":
		return ok && got != c[3], nil
	case "~", "!~":
		re, err := regexp.Compile(c[3])
		return err == nil && ok && re.MatchString(got) == (c[2] == "~"), err
	}
	want, err := strconv.ParseFloat(c[3], 64)
	if err != nil {
		return false, err
	}
	n, err := strconv.ParseFloat(got, 64)
	return err == nil && (c[2] == ">=" && n >= want || c[2] == "<=" && n <= want), nil
}

// cmdJSONLine: jsonline [-count=N] FILE FIELD=TEXT FIELD!=TEXT FIELD~REGEXP FIELD>=N FIELD<=N ...
func cmdJSONLine(ts *testscript.TestScript, neg bool, args []string) {
	count := -1
	if n, ok := strings.CutPrefix(args[0], "-count="); ok {
		var err error
		count, err = strconv.Atoi(n)
		ts.Check(err)
		args = args[1:]
	}
	if len(args) < 2 {
		ts.Fatalf("usage: jsonline [-count=N] FILE FIELD=TEXT ...")
	}
	lines, err := decodeLines(ts.ReadFile(args[0]))
	ts.Check(err)
	n := 0
	known := make(map[string]bool)
	var all []string
	for _, l := range lines {
		fields := make(map[string]string)
		flatten("", l, fields)
		ok := true
		for _, a := range args[1:] {
			c := fieldIs.FindStringSubmatch(a)
			if c == nil {
				ts.Fatalf("%q is no condition: write it like verdict=ready", a)
			}
			if _, there := fields[c[1]]; there {
				known[c[1]] = true
			}
			h, err := holds(fields, c)
			ts.Check(err)
			ok = ok && h
		}
		if ok {
			n++
		}
		all = append(all, fmt.Sprintf("%s %s:%s protocol=%s verdict=%s class=%s severity=%s vectors=%s seen_as=%s reason=%s", fields["type"], fields["ip"], fields["port"],
			fields["protocol"], fields["verdict"], fields["class"], fields["severity"], fields["vectors"], fields["seen_as"], fields["reason"]))
	}
	for _, a := range args[1:] {
		if name := fieldIs.FindStringSubmatch(a)[1]; len(lines) > 0 && !known[name] && count != 0 {
			ts.Fatalf("no line has a field %s", name)
		}
	}
	if neg && n > 0 || !neg && count < 0 && n == 0 || count >= 0 && n != count {
		ts.Fatalf("%d lines are %s in:\n%s", n, strings.Join(args[1:], " "), strings.Join(all, "\n"))
	}
}

// contract is the JSON Lines table of DESIGN.md section 6. Names are never changed; more may come.
var contract = map[string]string{
	"scan":           "scope excluded ports engine rate seed version",
	"finding":        "ip port names state protocol tls greeting ehlo service verdict class reason vectors attempts seen_as severity openings approval fix first_seen last_seen last_checked",
	"delivery":       "canary ip port vector from received delay_ms",
	"coverage":       "prefix port open closed filtered prohibited unreachable not_attempted failed reasons",
	"ruleset":        "device language files exported rules not_understood",
	"changes":        "from_scan to_scan from_time to_time counts same",
	"change":         "kind before after ip port differences upgraded worse severity reason hint from_scan",
	"reconciliation": "explained possibly unexplained unread intended stale not_known left",
	"rule":           "device rule where nat step action text comment owner ticket counter states opens",
	"shadowed_rule":  "device rule where text by same",
	"approval":       "address ports for_vantage service product owner approver ticket reason approved expires relay_from relay_to where state why endpoints",
	"violation":      "kind severity ip port text approval",
	"end":            "exit complete targets sent openings findings expected_missed duration_ms",
}

var enums = map[string][]string{
	"verdict": {"refused", "unknown", "accepted", "ready", "queued", "delivered"},
	"class":   {"relay", "sink", "catch-all", "auth-only", "closed", "not-smtp", "undetermined"},
	"state":   {"open"},
}

// checkContract holds JSON Lines against the contract, and its lines against each other.
func checkContract(text string) error {
	lines, err := decodeLines(text)
	if err != nil {
		return err
	}
	if len(lines) < 2 {
		return fmt.Errorf("%d lines", len(lines))
	}
	order := []string{"scan", "finding", "delivery", "coverage", "ruleset", "reconciliation", "rule", "shadowed_rule", "approval", "violation", "changes", "change", "end"}
	counts := make(map[string]int)
	sums := make(map[string]int64)
	seen := make(map[string]bool)
	at := 0
	raw := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, l := range lines {
		kind, _ := l["type"].(string)
		where := fmt.Sprintf("line %d (%s)", i+1, kind)
		if !strings.HasPrefix(raw[i], `{"type":"`) {
			return fmt.Errorf("%s: type is not the first field", where)
		}
		k := slices.Index(order, kind)
		if k < at {
			return fmt.Errorf("%s: out of order", where)
		}
		at = k
		counts[kind]++
		if v, ok := l["schema_version"].(json.Number); !ok || v != "1" {
			return fmt.Errorf("%s: schema_version %v", where, l["schema_version"])
		}
		for _, f := range []string{"scan_id", "vantage"} {
			if s, ok := l[f].(string); !ok || s == "" || s != lines[0][f] {
				return fmt.Errorf("%s: %s %v, and the scan's is %v", where, f, l[f], lines[0][f])
			}
		}
		for _, f := range []string{"timestamp", "first_seen", "last_seen", "last_checked"} {
			if f != "timestamp" && kind != "finding" {
				continue
			}
			if t, err := time.Parse(time.RFC3339Nano, fmt.Sprint(l[f])); err != nil || !strings.HasSuffix(fmt.Sprint(l[f]), "Z") || time.Since(t) > time.Hour {
				return fmt.Errorf("%s: %s %v is no time of now in UTC", where, f, l[f])
			}
		}
		for _, f := range strings.Fields(contract[kind]) {
			if _, ok := l[f]; !ok {
				return fmt.Errorf("%s: field %s is missing", where, f)
			}
		}
		for f, allowed := range enums {
			if v, ok := l[f]; ok && kind == "finding" && !slices.Contains(allowed, fmt.Sprint(v)) {
				return fmt.Errorf("%s: %s %q does not exist", where, f, v)
			}
		}
		switch kind {
		case "finding":
			endpoint := fmt.Sprint(l["ip"], ":", l["port"])
			if seen[endpoint] {
				return fmt.Errorf("%s: %s is doubled", where, endpoint)
			}
			seen[endpoint] = true
		case "coverage":
			p, err := netip.ParsePrefix(fmt.Sprint(l["prefix"]))
			if err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
			var sum int64
			for _, f := range []string{"open", "closed", "filtered", "prohibited", "unreachable", "not_attempted", "failed"} {
				n, err := l[f].(json.Number).Int64()
				if err != nil {
					return fmt.Errorf("%s: %s: %w", where, f, err)
				}
				sum += n
				sums[f] += n
			}
			if want := int64(1) << (p.Addr().BitLen() - p.Bits()); sum != want {
				return fmt.Errorf("%s: the states add up to %d of %d addresses", where, sum, want)
			}
			for _, others := range []string{"excluded", "other-shard"} { // targets of nobody, or of another scan
				if n, ok := l["reasons"].(map[string]any)[others].(json.Number); ok {
					apart, err := n.Int64()
					if err != nil {
						return fmt.Errorf("%s: %s: %w", where, others, err)
					}
					sum -= apart
				}
			}
			sums["targets"] += sum
		}
	}
	end := lines[len(lines)-1]
	if counts["scan"] != 1 || counts["end"] != 1 {
		return fmt.Errorf("lines by type: %v", counts)
	}
	for f, want := range map[string]int64{"findings": int64(counts["finding"]), "targets": sums["targets"]} {
		if fmt.Sprint(end[f]) != fmt.Sprint(want) && (f != "targets" || counts["coverage"] > 0) {
			return fmt.Errorf("end: %s is %v, and the lines before add up to %d", f, end[f], want)
		}
	}
	if fmt.Sprint(end["complete"]) == "true" && (sums["open"] != int64(counts["finding"]) || fmt.Sprint(end["openings"]) != fmt.Sprint(sums["open"])) && counts["coverage"] > 0 {
		return fmt.Errorf("%d open, %d findings, end: %v openings", sums["open"], counts["finding"], end["openings"])
	}
	return nil
}

func cmdContract(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "contract")
	if err := checkContract(ts.ReadFile(args[0])); err != nil {
		ts.Fatalf("%s: %v", args[0], err)
	}
}

// auditOf counts the lines of an audit log by endpoint and vector.
func auditOf(text string) (map[string]map[string]int, error) {
	lines, err := decodeLines(text)
	if err != nil {
		return nil, err
	}
	out := make(map[string]map[string]int)
	for i, l := range lines {
		for _, f := range []string{"time", "scan", "vantage", "endpoint", "vector"} {
			if s, ok := l[f].(string); !ok || s == "" {
				return nil, fmt.Errorf("line %d has no %s", i+1, f)
			}
		}
		e := l["endpoint"].(string)
		if out[e] == nil {
			out[e] = make(map[string]int)
		}
		out[e][l["vector"].(string)]++
	}
	return out, nil
}

// connecting are the vectors of an audit log that stand for a connection.
var connecting = []string{"handshake", "identify", "connect"}

// cmdAudited: audited FILE ADDRESS:PORT. Each connection that the server saw has a line, and each line is one.
func cmdAudited(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "audited")
	if len(args) != 2 {
		ts.Fatalf("usage: audited FILE ADDRESS:PORT")
	}
	audit, err := auditOf(ts.ReadFile(args[0]))
	ts.Check(err)
	s := serverAt(ts, args[1])
	ts.Check(settle(args[1], s))
	n := 0
	for _, v := range connecting {
		n += audit[args[1]][v]
	}
	if got := s.Score().Connections; n != got {
		ts.Fatalf("the server saw %d connections, the audit log has %d: %v", got, n, slices.Sorted(maps.Keys(audit[args[1]])))
	}
}

// cmdAttempts: attempts REPORT AUDIT. Every attempt of the report has a line in the audit log.
func cmdAttempts(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "attempts")
	lines, err := decodeLines(ts.ReadFile(args[0]))
	ts.Check(err)
	audit, err := auditOf(ts.ReadFile(args[1]))
	ts.Check(err)
	n := 0
	for _, l := range lines {
		list, _ := l["attempts"].([]any)
		endpoint := fmt.Sprint(l["ip"], ":", l["port"])
		for _, a := range list {
			form := a.(map[string]any)["form"].(string)
			if n++; audit[endpoint][form] == 0 {
				ts.Fatalf("%s: %s is not in the audit log", endpoint, form)
			}
		}
	}
	if n == 0 {
		ts.Fatalf("no attempts in %s", args[0])
	}
}
