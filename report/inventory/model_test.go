package inventory

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"relaysweep/discover"
	"relaysweep/report"
)

// model is an inventory in memory, that works everything out from the looks each time.
type model struct {
	t      *testing.T
	store  *Store
	random *rand.Rand
	now    int // minutes
	scans  []*modelScan
	looks  []*modelLook
	pruned int // what was known before this time may be gone
}

type modelScan struct {
	n             int // in the order of Begin
	site, vantage string
	started       int
	ended         int // 0: not yet
	writer        *Scan
}

type modelLook struct {
	scan     *modelScan
	endpoint netip.AddrPort
	at       int
	state    discover.State
	sure     bool
	what     string // the finding; empty: none
	replaced bool   // by a later look of the same scan
}

func (l *modelLook) before(o *modelLook) bool {
	return l.at < o.at || l.at == o.at && l.scan.n < o.scan.n
}

func (m *model) moment(n int) time.Time { return day.Add(time.Duration(n) * time.Minute) }

// of lists the looks at an endpoint from a scan's vantage, the first one first.
func (m *model) of(s *modelScan, e netip.AddrPort) (out []*modelLook) {
	for _, l := range m.looks {
		if l.endpoint == e && l.scan.site == s.site && l.scan.vantage == s.vantage {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b *modelLook) int {
		if a.before(b) {
			return -1
		}
		return 1
	})
	return out
}

func (m *model) store1(l *modelLook) {
	for _, o := range m.looks {
		if o.scan == l.scan && o.endpoint == l.endpoint {
			o.replaced = true
		}
	}
	m.looks = append(m.looks, l)
}

// sight is what a look and all before it tell.
func (m *model) sight(l *modelLook) string {
	var first, last, checked, silent int
	what := ""
	for _, o := range m.of(l.scan, l.endpoint) {
		if l.before(o) {
			break
		}
		if o.state == discover.Open {
			if first == 0 {
				first = o.at
			}
			last, checked = o.at, o.at
		} else if o.sure {
			checked = o.at
		}
		switch {
		case o.replaced:
		case o.state == discover.Open:
			silent = 0
			if o.what != "" { // else it was only listed
				what = o.what
			}
		case o.sure && o.state == discover.Closed:
			silent += 2
		case o.sure:
			silent++
		}
	}
	return fmt.Sprintf("%s by scan %d sure=%v silent=%d first=%d last=%d checked=%d %s", l.state, l.scan.n, l.sure, silent, first, last, checked, what)
}

func (m *model) minute(t time.Time) int {
	if t.IsZero() {
		return 0
	}
	return int(t.Sub(day) / time.Minute)
}

func (m *model) told(s *report.Sight) string {
	what := ""
	if s.Found != nil {
		what = fmt.Sprint(s.Found.Service.Version, " ", s.Judged.Verdict)
	}
	return fmt.Sprintf("%s by scan %s sure=%v silent=%d first=%d last=%d checked=%d %s", s.State, s.Scan, s.Sure, s.Silent, m.minute(s.FirstSeen), m.minute(s.LastSeen), m.minute(s.LastChecked), what)
}

// knownAt is the last look at each endpoint up to a time.
func (m *model) knownAt(s *modelScan, at int) map[netip.AddrPort]*modelLook {
	out := make(map[netip.AddrPort]*modelLook)
	for _, l := range m.looks {
		if l.replaced || l.at > at || l.scan.site != s.site || l.scan.vantage != s.vantage {
			continue
		}
		if o := out[l.endpoint]; o == nil || o.before(l) {
			out[l.endpoint] = l
		}
	}
	return out
}

const modelEndpoints = 5

func (m *model) endpoint() netip.AddrPort { return endpointAt(m.random.IntN(modelEndpoints)) }

func (m *model) begin() {
	s := &modelScan{n: len(m.scans) + 1, site: []string{"", "branch"}[m.random.IntN(2)], vantage: []string{"internet", "inside"}[m.random.IntN(2)], started: m.now}
	m.scans = append(m.scans, s)
	m.resume(s)
}

func (m *model) about(s *modelScan) report.Scan {
	return report.Scan{ID: strconv.Itoa(s.n), Vantage: s.vantage, Started: m.moment(s.started), Ended: m.moment(m.now)}
}

func (m *model) resume(s *modelScan) {
	w, err := m.store.Begin(m.t.Context(), m.about(s), s.site, KindScan)
	if err != nil {
		m.t.Fatal(err)
	}
	s.writer = w
}

// add adds a finding. What was found first may be stored last.
func (m *model) add(s *modelScan) {
	e := m.endpoint()
	for _, l := range m.looks {
		if l.scan == s && l.endpoint == e && l.what != "" {
			return
		}
	}
	when := max(s.started, m.now-m.random.IntN(3), s.ended+1)
	f := found(e.String(), m.random.IntN(2) == 0, m.moment(when))
	f.Service.Version = []string{"1", "2"}[m.random.IntN(2)]
	if err := s.writer.Add(f); err != nil {
		m.t.Fatal(err)
	}
	m.store1(&modelLook{scan: s, endpoint: e, at: when, state: discover.Open, sure: true, what: fmt.Sprint(f.Service.Version, " ", f.Verdict())})
	m.takeBack(s, e, when)
}

// takeBack drops the looks of other scans that did not find an endpoint open, and that may have been before or after one
// that did.
func (m *model) takeBack(s *modelScan, e netip.AddrPort, at int) {
	m.looks = slices.DeleteFunc(m.looks, func(l *modelLook) bool {
		return l.endpoint == e && l.scan != s && l.scan.site == s.site && l.scan.vantage == s.vantage && l.state != discover.Open && !l.replaced && l.scan.started <= at && at <= l.at
	})
}

func (m *model) end(s *modelScan) {
	s.ended = m.now
	states := []State{
		{discover.Closed, true, ""},
		{discover.Filtered, true, ""},
		{discover.Unreachable, true, ""},
		{discover.Prohibited, true, ""},
		{discover.Filtered, false, "self-test"},
		{discover.NotAttempted, false, "interrupted"},
	}
	end := End{About: m.about(s)}
	shown := make(map[netip.AddrPort]State)
	for n := range modelEndpoints {
		e := endpointAt(n)
		var ever, open bool
		for _, l := range m.of(s, e) {
			ever = true
			open = open || !l.replaced && l.state == discover.Open && (l.scan == s || l.at >= s.started)
		}
		if ever && !open && m.random.IntN(5) > 0 {
			shown[e] = states[m.random.IntN(len(states))]
		} else if !slices.ContainsFunc(m.looks, func(l *modelLook) bool { return l.scan == s && l.endpoint == e && l.state == discover.Open }) && m.random.IntN(5) == 0 {
			end.Listed = append(end.Listed, Listed{Addr: e})
		}
	}
	end.State = func(a netip.AddrPort, _ string) (State, bool) { st, in := shown[a]; return st, in }
	if err := s.writer.End(m.t.Context(), end); err != nil {
		m.t.Fatal(err)
	}
	s.writer.Close()
	s.writer = nil
	for e, st := range shown {
		m.store1(&modelLook{scan: s, endpoint: e, at: m.now, state: st.State, sure: st.Sure})
	}
	for _, l := range end.Listed {
		m.store1(&modelLook{scan: s, endpoint: l.Addr, at: m.now, state: discover.Open, sure: true})
		m.takeBack(s, l.Addr, m.now)
	}
}

func (m *model) prune() {
	m.pruned = max(m.pruned, m.now-40)
	if _, err := m.store.Prune(m.t.Context(), m.moment(m.pruned)); err != nil {
		m.t.Fatal(err)
	}
}

// check holds everything that the store tells against the model.
func (m *model) check() {
	t := m.t
	t.Helper()
	info := make(map[*modelScan]Info)
	for _, s := range m.scans {
		if i, err := m.store.Find(t.Context(), strconv.Itoa(s.n)); err == nil {
			info[s] = i
		} else if s.started >= m.pruned {
			t.Errorf("scan %d: %v", s.n, err)
		}
	}
	for _, s := range m.scans {
		if _, ok := info[s]; !ok || s.ended < m.pruned || s.ended == 0 || s.writer != nil {
			continue
		}
		m.checkRead(s, info[s])
		var before *modelScan
		for _, o := range m.scans {
			if _, ok := info[o]; !ok || o == s || o.site != s.site || o.vantage != s.vantage || o.ended == 0 {
				continue
			}
			if (before == nil || before.n < o.n) && o.n < s.n && o.ended <= s.ended {
				before = o
			}
			switch {
			case o.writer != nil:
			case o.ended >= s.ended:
				m.checkBetween(s, o, info[s], info[o])
			default:
				if _, err := m.store.Changes(t.Context(), info[s], info[o]); !errors.Is(err, errBackwards) {
					t.Errorf("from %d to %d, which ended earlier: got %v", s.n, o.n, err)
				}
			}
		}
		want := ""
		if before != nil {
			want = strconv.Itoa(before.n)
		}
		if got, err := m.store.Before(t.Context(), info[s]); got.ID != want || err != nil && !errors.Is(err, ErrNoScan) {
			t.Errorf("before %d: got scan %q, %v, want %q", s.n, got.ID, err, want)
		}
	}
	for n := range modelEndpoints {
		for _, site := range []string{"", "branch"} {
			m.checkHistory(site, endpointAt(n))
		}
	}
}

func (m *model) checkRead(s *modelScan, i Info) {
	m.t.Helper()
	r, err := m.store.Read(m.t.Context(), i)
	if err != nil {
		m.t.Fatal(err)
	}
	defer r.Close()
	got := make(map[netip.AddrPort]bool)
	for k := range r.Input.Findings {
		a := r.Input.Findings[k].Addr
		got[a] = true
		past := r.Input.Past[a]
		past.Found, past.Judged = &r.Input.Findings[k], r.Input.Judged[k]
		for _, l := range m.looks {
			if l.scan == s && l.endpoint == a && !l.replaced {
				got, want := m.told(&past), m.sight(l)
				if l.what == "" { // only listed: what was found by another scan is none of this one
					past.Found = nil
					got = m.told(&past)
					want = want[:len(got)]
				}
				if got != want || l.state != discover.Open || past.Listed != (l.what == "") {
					m.t.Errorf("scan %d, %s:\n got %s\nwant %s", s.n, a, got, want)
				}
			}
		}
	}
	for _, l := range m.looks {
		if l.scan == s && !l.replaced && l.state == discover.Open && !got[l.endpoint] && l.at >= m.pruned {
			m.t.Errorf("scan %d: %s was not read", s.n, l.endpoint)
		}
	}
}

func (m *model) checkBetween(a, b *modelScan, from, to Info) {
	m.t.Helper()
	before, after := m.knownAt(a, a.ended), m.knownAt(b, b.ended)
	whole := m.wholeSights(a.site)
	want := make(map[netip.AddrPort]string)
	for n := range modelEndpoints {
		e := endpointAt(n)
		x, y := before[e], after[e]
		if x == y {
			y = nil
		}
		if x == nil && y == nil {
			continue
		}
		line := func(l *modelLook) string {
			if l == nil {
				return "nothing"
			}
			return m.sight(l)
		}
		want[e] = line(x) + " -> " + line(y)
	}
	var err error
	for x, y := range m.store.Between(m.t.Context(), from, to, &err) {
		line := func(s *report.Sight) string {
			if s == nil {
				return "nothing"
			}
			return m.told(s)
		}
		e := cmpOr(x, y).Addr
		if x != nil && y != nil && x.Found == nil && y.Found == nil {
			// What was found need not be read where there is nothing to tell.
			p, q := whole[e.String()+" "+x.Scan], whole[e.String()+" "+y.Scan]
			if c := report.Compare(&p, &q, ""); c != nil && (p.Found != nil || q.Found != nil) {
				m.t.Errorf("between %d and %d, %s: what was found was not read, and is told of: %s %s", a.n, b.n, e, c.Kind, c.Reason)
			}
			x, y = &p, &q
		}
		if got := line(x) + " -> " + line(y); got != want[e] {
			m.t.Errorf("between %d and %d, %s:\n got %s\nwant %s", a.n, b.n, e, got, want[e])
		}
		delete(want, e)
	}
	if err != nil || len(want) > 0 {
		m.t.Errorf("between %d and %d: not told of: %v, %v", a.n, b.n, want, err)
	}
}

// wholeSights are the looks at all endpoints of a site with what was found, by endpoint and scan. checkHistory checks them.
func (m *model) wholeSights(site string) map[string]report.Sight {
	m.t.Helper()
	out := make(map[string]report.Sight)
	for n := range modelEndpoints {
		e := endpointAt(n)
		looks, err := m.store.History(m.t.Context(), site, e)
		if err != nil {
			m.t.Fatal(err)
		}
		for i := range looks {
			out[e.String()+" "+looks[i].Scan.ID] = looks[i].Sight
		}
	}
	return out
}

func cmpOr(a, b *report.Sight) *report.Sight {
	if a != nil {
		return a
	}
	return b
}

func (m *model) checkHistory(site string, e netip.AddrPort) {
	m.t.Helper()
	var want []*modelLook
	for _, l := range m.looks {
		if l.scan.site == site && l.endpoint == e && !l.replaced && l.at >= m.pruned {
			want = append(want, l)
		}
	}
	slices.SortFunc(want, func(a, b *modelLook) int {
		if a.before(b) {
			return -1
		}
		return 1
	})
	looks, err := m.store.History(m.t.Context(), site, e)
	if err != nil {
		m.t.Fatal(err)
	}
	looks = slices.DeleteFunc(looks, func(l Look) bool { return m.minute(l.At) < m.pruned })
	for i := range looks {
		if i < len(want) {
			if got, want := m.told(&looks[i].Sight), m.sight(want[i]); got != want {
				m.t.Errorf("look %d at %s:\n got %s\nwant %s", i, e, got, want)
			}
		}
	}
	if len(looks) != len(want) {
		m.t.Errorf("%s: got %d looks, want %d", e, len(looks), len(want))
	}
}

// Random scans, several under way at once, resumed, and pruned: what the store tells is what all looks together tell.
// RELAYSWEEP_SEED tries one again.
func TestTheStoreTellsWhatTheLooksTell(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		seed, err := strconv.ParseUint(os.Getenv("RELAYSWEEP_SEED"), 10, 64)
		if err != nil {
			seed = rand.Uint64()
		}
		m := &model{t: t, store: open(t, name), random: rand.New(rand.NewPCG(seed, 0)), now: 1}
		defer func() {
			for _, s := range m.scans {
				if s.writer != nil {
					s.writer.Close()
				}
			}
			if t.Failed() {
				t.Logf("RELAYSWEEP_SEED=%d", seed)
			}
		}()
		for step := 0; step < 150 && !t.Failed(); step++ {
			m.now += 1 + m.random.IntN(3)
			var under, over []*modelScan
			for _, s := range m.scans {
				if s.writer != nil {
					under = append(under, s)
				} else if s.ended > m.now-20 && s.started >= m.pruned {
					over = append(over, s)
				}
			}
			switch n := m.random.IntN(20); {
			case len(under) == 0 || len(under) < 4 && n < 4:
				m.begin()
			case n < 12:
				m.add(under[m.random.IntN(len(under))])
			case n < 17:
				m.end(under[m.random.IntN(len(under))])
			case n < 19 && len(over) > 0:
				m.resume(over[m.random.IntN(len(over))])
			case n == 19 && step%3 == 0:
				m.prune()
			}
			if step%15 == 14 {
				m.check()
			}
		}
	})
}
