package report

// webChanges is the section on what became of the endpoints since the scan before.
type webChanges struct {
	Head, Counts, Loud                   string
	Kind, Endpoint, Service, What, Times string // headings
	Rows                                 []webChange
	More                                 string
}

type webChange struct {
	ID, Label, Mood, Endpoint, Service, Times string
	What                                      []string
}

var (
	changeColumn  = text{"Change", "変化"}
	endpointHead  = text{"Endpoint", "対象"}
	serviceHead   = text{"Service", "サービス"}
	whatHead      = text{"What changed", "変化の内容"}
	timesHead     = text{"Seen", "確認日"}
	moreOfChanges = text{"and %[1]s more: the JSON Lines list them", "ほか%[1]s件はJSON Linesにあります"}
)

// maxChangeRows is how many changes a page shows: with more it is long to open.
const maxChangeRows = 2000

// webChangesOf shows changes; ids are those of the findings that the page shows as well.
func webChangesOf(c *Changes, l Lang, ids map[string]string) *webChanges {
	if c == nil {
		return nil
	}
	w := &webChanges{
		Head: sinceHead.in(l) + " (" + c.before() + ")", Counts: c.counts(l), Loud: c.loud(l),
		Kind: changeColumn.in(l), Endpoint: endpointHead.in(l), Service: serviceHead.in(l), What: whatHead.in(l), Times: timesHead.in(l),
	}
	for i := range c.List[:min(maxChangeRows, len(c.List))] {
		d := &c.List[i]
		row := webChange{
			Label: d.label(l), Endpoint: d.Addr.String(), Service: plain(d.what()),
			What: append(cleaned(d.differences(l)), cleaned(nonEmpty(d.Reason, d.Hint))...), Times: d.times(l),
		}
		if d.told() == d.After {
			row.ID = ids[row.Endpoint+d.Vantage]
		}
		switch {
		case d.Worse, d.lens() == 2 && d.Severity >= Medium:
			row.Mood = "high"
		case d.Kind == IsNotRechecked:
			row.Mood = "medium"
		default:
			row.Mood = "info"
		}
		w.Rows = append(w.Rows, row)
	}
	if n := len(c.List) - maxChangeRows; n > 0 {
		w.More = moreOfChanges.with(l, number(n))
	}
	return w
}

func nonEmpty(list ...string) []string {
	var out []string
	for _, s := range list {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

// pastFacts is what an inventory knows of a finding's endpoint.
func pastFacts(e *Entry, l Lang, add func(name, value string)) {
	if !e.FirstSeen.IsZero() {
		add(firstSeenWord.in(l), minute(e.FirstSeen)+" UTC")
	}
	if e.Change != nil {
		add(sinceHead.in(l), plain(joinNonEmpty(": ", e.Change.label(l), e.Change.story(l))))
	}
}
