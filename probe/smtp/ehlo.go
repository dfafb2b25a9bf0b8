package smtp

import (
	"slices"
	"strings"
)

// Extensions are the keywords of an EHLO reply with their parameters, upper case (RFC 5321 4.1.1.1).
type Extensions map[string]string

// ParseExtensions reads an EHLO reply: all lines but the first. The old form "AUTH=LOGIN PLAIN" counts as AUTH.
func ParseExtensions(r Reply) Extensions {
	x := make(Extensions)
	for i, line := range r.Lines {
		if i == 0 || i > 64 {
			continue
		}
		line = strings.ToUpper(strings.TrimSpace(line))
		key, params, _ := strings.Cut(line, " ")
		if k, p, ok := strings.Cut(key, "="); ok {
			key, params = k, strings.TrimSpace(p+" "+params)
		}
		if key == "" {
			continue
		}
		if old, ok := x[key]; ok && old != "" && params != old {
			params = old + " " + params
		}
		x[key] = params
	}
	return x
}

// Has reports whether a keyword was offered.
func (x Extensions) Has(keyword string) bool { _, ok := x[keyword]; return ok }

// Lists reports whether a keyword was offered, and with it a parameter where one is named: "AUTH ANONYMOUS".
func (x Extensions) Lists(want string) bool {
	keyword, param, _ := strings.Cut(want, " ")
	params, ok := x[keyword]
	return ok && (param == "" || slices.Contains(strings.Fields(params), param))
}
