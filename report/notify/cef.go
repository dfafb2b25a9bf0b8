package notify

import (
	"fmt"
	"strings"

	"relaysweep/report"
)

// CEF's severities, 0 to 10, by ours.
var cefSeverity = [...]int{report.Info: 1, report.Low: 3, report.Medium: 5, report.High: 8, report.Critical: 10}

// cef makes a message of ArcSight's Common Event Format, version 0, of n bytes at most:
//
//	CEF:0|vendor|product|version|id|name|severity|key=value key=value
//
// In the header the backslash and the pipe are escaped, in a value the backslash and the equals sign. Values do not begin
// or end with blanks, as they end where a blank and the next key begin. Line ends are escaped before that, as all control
// bytes are.
func cef(e event, version string, n int) string {
	var b strings.Builder
	part := func(s string, n int) string { return cefHeader.Replace(safe(s, n, report.ASCII)) }
	fmt.Fprintf(&b, "CEF:0|relaysweep|relaysweep|%s|%s|%s|%d|", part(version, 60), part(e.id, 60), part(e.kind+": "+e.message, maxValue), cefSeverity[e.severity])
	sep := ""
	add := func(pairs ...string) {
		var p strings.Builder
		for i := 0; i < len(pairs); i += 2 {
			value := cefValue.Replace(strings.TrimSpace(safe(pairs[i+1], maxValue, report.ASCII)))
			if value == "" {
				return
			}
			p.WriteString(sep + pairs[i] + "=" + value)
			sep = " "
		}
		if b.Len()+p.Len() <= n {
			b.WriteString(p.String())
		}
	}
	add("cat", e.kind)
	if !e.time.IsZero() {
		add("rt", fmt.Sprint(e.time.UnixMilli()))
	}
	for _, f := range e.fields {
		if custom(f.cef) {
			add(f.cef, f.value, f.cef+"Label", f.name)
		} else {
			add(f.cef, f.value)
		}
	}
	return b.String()
}

// custom reports whether a key means nothing without a label.
func custom(key string) bool {
	for _, p := range []string{"cs", "cn", "c6a", "flexString"} {
		if n, ok := strings.CutPrefix(key, p); ok && len(n) == 1 {
			return true
		}
	}
	return false
}

var (
	cefHeader = strings.NewReplacer(`\`, `\\`, `|`, `\|`)
	cefValue  = strings.NewReplacer(`\`, `\\`, `=`, `\=`)
)
