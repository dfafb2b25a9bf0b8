package report

import "strings"

// webForgotten is the section on what nobody names.
type webForgotten struct {
	Head, Says string
	Columns    []string
	Rows       []webForgottenRow
	More       string
}

type webForgottenRow struct {
	Finding              webFinding
	Since, Owner, Doubts string
}

// webForgottenOf makes the section. link is what the page shows of entries.
func webForgottenOf(r *Report, link func([]*Entry) []webFinding) *webForgotten {
	n := r.Naming
	if n == nil {
		return nil
	}
	w := &webForgotten{Head: forgottenHead.with(r.lang, n.Forgotten), Says: strings.Join(n.sentences(r.lang), " ")}
	w.Columns = headings(r.lang, "severity", "endpoint", "verdict", "since", "owner", "product", "doubts")
	entries := r.Forgotten()
	if left := len(entries) - maxPortRows; left > 0 {
		entries, w.More = entries[:maxPortRows], forgottenMore.with(r.lang, left)
	}
	for i, f := range link(entries) {
		e := entries[i]
		w.Rows = append(w.Rows, webForgottenRow{f, e.firstSeenDay(), shorten(e.owner(), 120), shorten(e.namedBy(), 300)})
	}
	return w
}

// headings are those of columns, as they begin.
func headings(l Lang, columns ...string) (out []string) {
	for _, c := range columns {
		head := []rune(columnText[c].in(l))
		out = append(out, strings.ToUpper(string(head[:1]))+string(head[1:]))
	}
	return out
}

// assetFacts is what the address plan says of an entry, and who names it.
func (e *Entry) assetFacts(add func(name, value string)) {
	if a := e.Asset; a != nil {
		add("Owner", raw(a.Owner))
		add("Site", raw(a.Site))
		add("Tags", raw(strings.Join(a.Tags, ", ")))
		add("Address plan", raw(joinNonEmpty(", ", a.Prefix.String(), a.Name, a.Where)))
	}
	add("Named by", plain(e.namedBy()))
}
