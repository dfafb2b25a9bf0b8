package report

import (
	"strconv"
	"strings"
	"time"

	"relaysweep/probe"
)

// The words of what changed. What nobody looked at is never called gone, in any language.
var (
	moreOf           = text{"and %s more", "ほか%s"}
	sinceHead        = text{"Since the last scan", "前回走査からの変化"}
	betweenHead      = text{"Changes between two scans", "走査間の変化"}
	firstSeenWord    = text{"first seen", "初回確認日"}
	lastSeenWord     = text{"last seen", "最終確認日"}
	lastCheckedWord  = text{"last looked at", "最終走査日"}
	worseWord        = text{"worse", "悪化"}
	upgradeWorseWord = text{"worse after an upgrade", "更新後に悪化"}
	sameWord         = text{"as they were", "変化なし"}
	loudWord         = text{
		"%[1]s not re-checked: whether %[2]s still open is not known. That is not gone.",
		"未確認(走査未実施・判定不能)が%[1]s件あります。稼働しているかは不明であり、停止確認ではありません。",
	}

	kindWords = map[ChangeKind]text{
		IsNew:          {"new", "新規"},
		IsReappeared:   {"re-appeared", "再出現"},
		IsChanged:      {"changed", "変更"},
		IsGone:         {"gone", "停止確認"},
		IsNotRechecked: {"not re-checked", "未確認"},
	}
	fieldWords = map[string]text{
		"product": {"product", "製品"}, "version": {"version", "版"}, "certificate": {"certificate", "証明書"}, "capabilities": {"capabilities", "拡張機能"},
		"protocol": {"protocol", "プロトコル"}, "tls": {"TLS", "TLS"}, "verdict": {"verdict", "判定"}, "class": {"class", "分類"}, "vectors": {"vectors", "試験項目"}, "rule": {"rule", "許可ルール"},
	}
)

// kindOrder is the order in which kinds are counted.
var kindOrder = []ChangeKind{IsNew, IsReappeared, IsChanged, IsGone, IsNotRechecked}

// label is what a change is called in a list.
func (c *Change) label(l Lang) string {
	s := kindWords[c.Kind].in(l)
	worse := worseWord.in(l)
	if c.Upgraded {
		worse = upgradeWorseWord.in(l)
	}
	switch {
	case c.Worse && c.Kind == IsChanged:
		return worse
	case c.Worse:
		return s + ", " + worse
	}
	return s
}

// count counts the changes of each kind.
func (c *Changes) count() map[ChangeKind]int {
	out := make(map[ChangeKind]int)
	for i := range c.List {
		out[c.List[i].Kind]++
	}
	return out
}

// counts is the line of how many there are of each kind.
func (c *Changes) counts(l Lang) string {
	n := c.count()
	var parts []string
	for _, k := range kindOrder {
		if n[k] > 0 {
			parts = append(parts, counted(l, n[k], kindWords[k]))
		}
	}
	parts = append(parts, counted(l, c.Same, sameWord))
	s := strings.Join(parts, ", ")
	worse, upgraded := 0, 0
	for i := range c.List {
		if d := &c.List[i]; d.Worse {
			worse++
			if d.Upgraded {
				upgraded++
			}
		}
	}
	if upgraded > 0 {
		s += "; " + counted(l, upgraded, upgradeWorseWord)
	}
	if worse > upgraded {
		word := worseWord
		if upgraded > 0 {
			word.en = "otherwise worse"
		}
		s += "; " + counted(l, worse-upgraded, word)
	}
	return s
}

func counted(l Lang, n int, word text) string {
	if l == Japanese {
		return word.ja + " " + number(n)
	}
	return number(n) + " " + word.en
}

// loud says that what was not looked at is not gone; empty: all was.
func (c *Changes) loud(l Lang) string {
	n := c.count()[IsNotRechecked]
	switch {
	case n == 0:
		return ""
	case l == Japanese:
		return loudWord.with(l, number(n))
	}
	return loudWord.with(l, plural(n, "endpoint")+" that "+verb(n, "was", "were")+" open "+verb(n, "was", "were"), verb(n, "it is", "they are"))
}

// between names the two scans.
func (c *Changes) between() string {
	return plain(scanAt(c.From, c.FromTime) + " to " + scanAt(c.To, c.ToTime))
}

// before names the scan before.
func (c *Changes) before() string { return plain(scanAt(c.From, c.FromTime)) }

func scanAt(id string, t time.Time) string {
	if t.IsZero() {
		return id
	}
	return joinNonEmpty(", ", id, minute(t))
}

// what is the service that a change is about, in a few words.
func (c *Change) what() string {
	s := c.told()
	if s == nil || s.Found == nil {
		return ""
	}
	service := &s.Found.Service
	name := ""
	if len(s.Found.Names) > 0 {
		name = shorten(raw(s.Found.Names[0]), 80)
	}
	kind := raw(protocol(s.Found))
	if s.Found.SMTP() {
		kind = string(s.Judged.Class) + ", " + s.Judged.Verdict.String()
	}
	return joinNonEmpty(", ", c.Severity.String(), kind, shorten(strings.TrimSpace(raw(service.Product)+" "+raw(service.Version)), 80), name)
}

// differences are what is not what it was, one text each.
func (c *Change) differences(l Lang) []string {
	var out []string
	for i := range c.Differences {
		out = append(out, c.Differences[i].says(l))
	}
	return out
}

// signed puts a sign before each member of a list, and counts those that are too many to read.
func signed(l Lang, sign, list string) string {
	if list == "" {
		return ""
	}
	const shown = 8
	all := strings.Split(list, ", ")
	rest := ""
	if len(all) > shown+1 {
		rest = " " + moreOf.with(l, strconv.Itoa(len(all)-shown))
		all = all[:shown]
	}
	return sign + strings.Join(all, " "+sign) + rest
}

// says tells a difference.
func (d *Difference) says(l Lang) string {
	field := fieldWords[d.Field].in(l)
	before, after := shorten(raw(d.Before), 400), shorten(raw(d.After), 400)
	switch d.Field {
	case "capabilities", "vectors", "rule":
		return field + " " + joinNonEmpty(" ", signed(l, "+", after), signed(l, "-", before))
	}
	told := func(s string) bool {
		return s != "" && s != probe.Unknown.String() && s != string(probe.Undetermined)
	}
	switch {
	case !told(d.Before) && told(d.After):
		return unknownBefore.with(l, field, after)
	case told(d.Before) && !told(d.After):
		return unknownNow.with(l, field, before)
	}
	return isNow.with(l, field, before, after)
}

var (
	isNow         = text{"%[1]s %[2]s, now %[3]s", "%[1]s %[2]s→%[3]s"}
	unknownNow    = text{"%[1]s %[2]s, could not be told this time", "%[1]s %[2]s→今回は判定不能"}
	unknownBefore = text{"%[1]s %[2]s, could not be told before", "%[1]s 前回は判定不能→%[2]s"}
)

// times are when the endpoint was seen and looked at.
func (c *Change) times(l Lang) string {
	checked := func(s *Sight) time.Time { return s.LastChecked }
	return joinNonEmpty(", ", dated(l, firstSeenWord, c.firstSeen()), dated(l, lastSeenWord, c.newest((*Sight).lastSeen)), dated(l, lastCheckedWord, c.newest(checked)))
}

// dated is a time with what it is; empty: it is not known.
func dated(l Lang, word text, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return word.in(l) + " " + minute(t)
}

// firstSeen is when it was open for the first time.
func (c *Change) firstSeen() time.Time {
	var out time.Time
	for _, s := range []*Sight{c.Before, c.After} {
		if s != nil && !s.FirstSeen.IsZero() && (out.IsZero() || s.FirstSeen.Before(out)) {
			out = s.FirstSeen
		}
	}
	return out
}

func (c *Change) newest(of func(*Sight) time.Time) time.Time {
	var out time.Time
	for _, s := range []*Sight{c.Before, c.After} {
		if s != nil && of(s).After(out) {
			out = of(s)
		}
	}
	return out
}

// changeWord tells of an entry's change in a table.
func (e *Entry) changeWord(l Lang) string {
	if e.Change == nil {
		return ""
	}
	return e.Change.label(l)
}

// firstSeenDay is the day on which an entry was first seen; empty: there is no inventory.
func (e *Entry) firstSeenDay() string {
	if e.FirstSeen.IsZero() {
		return ""
	}
	return e.FirstSeen.UTC().Format(time.DateOnly)
}

// story is the whole of a change in a line.
func (c *Change) story(l Lang) string {
	return joinNonEmpty("; ", strings.Join(c.differences(l), "; "), c.Reason, c.Hint)
}
