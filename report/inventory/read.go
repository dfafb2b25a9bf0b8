package inventory

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/report"
)

// Info is what an inventory lists of a scan.
type Info struct {
	ID       string // as relaysweep names it
	Site     string
	Vantage  string
	Kind     string
	Started  time.Time
	Ended    time.Time // for the last time; zero: it never came to an end
	Complete bool

	id, vantage int64
}

// until is up to when facts belong to what was known at the end of a scan.
func (i *Info) until() time.Time {
	if i.Ended.IsZero() {
		return time.Now()
	}
	return i.Ended
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

const infoQuery = `SELECT s.id, s.name, v.id, v.site, v.name, s.kind, s.started,
	coalesce((SELECT max(ended) FROM scan_end e WHERE e.scan = s.id), 0),
	coalesce((SELECT e.complete FROM scan_end e WHERE e.scan = s.id ORDER BY ended DESC LIMIT 1), 0)
	FROM scan s JOIN vantage v ON v.id = s.vantage `

func (s *Store) infos(ctx context.Context, where string, args ...any) ([]Info, error) {
	rows, err := s.db.QueryContext(ctx, infoQuery+where, args...)
	if err != nil {
		return nil, s.explain(err)
	}
	defer rows.Close()
	var out []Info
	for rows.Next() {
		var i Info
		var started, ended, complete int64
		if err := rows.Scan(&i.id, &i.ID, &i.vantage, &i.Site, &i.Vantage, &i.Kind, &started, &ended, &complete); err != nil {
			return nil, s.explain(err)
		}
		i.Started, i.Ended, i.Complete = moment(started), moment(ended), complete != 0
		out = append(out, i)
	}
	return out, s.explain(rows.Err())
}

// Scans lists all scans, the last begun first.
func (s *Store) Scans(ctx context.Context) ([]Info, error) {
	return s.infos(ctx, "ORDER BY s.started DESC, s.id DESC")
}

// Find finds a scan by its id; "last" is the one that was begun last, probes of named endpoints aside.
func (s *Store) Find(ctx context.Context, id string) (Info, error) {
	where, args := "WHERE s.name = $1", []any{id}
	if id == "last" {
		where, args = "WHERE s.kind <> $1 ORDER BY s.started DESC, s.id DESC LIMIT 1", []any{KindProbe}
	}
	list, err := s.infos(ctx, where, args...)
	switch {
	case err != nil:
		return Info{}, err
	case len(list) == 0 && id == "last":
		return Info{}, fmt.Errorf("inventory %s: %w: none was made yet", s.name, ErrNoScan)
	case len(list) == 0:
		return Info{}, fmt.Errorf("inventory %s: %w: %s", s.name, ErrNoScan, id)
	}
	return list[0], nil
}

// Before finds the scan that the same vantage began before, and that had ended when this one did, probes of named
// endpoints aside: what a longer one saw after that is newer. None: ErrNoScan.
func (s *Store) Before(ctx context.Context, i Info) (Info, error) {
	list, err := s.infos(ctx, `WHERE s.vantage = $1 AND s.kind <> $2 AND s.id <> $3 AND (s.started < $4 OR s.started = $4 AND s.id < $3)
		AND (SELECT max(e.ended) FROM scan_end e WHERE e.scan = s.id) <= $5 ORDER BY s.started DESC, s.id DESC LIMIT 1`, i.vantage, KindProbe, i.id, i.Started.UnixMilli(), i.until().UnixMilli())
	if err != nil {
		return Info{}, err
	}
	if len(list) == 0 {
		return Info{}, ErrNoScan
	}
	return list[0], nil
}

// Findings returns what a scan found so far, whole, in the order of its endpoints, and what came home of it.
func (s *Store) Findings(ctx context.Context, i Info) (findings []probe.Finding, deliveries []probe.Delivery, err error) {
	pack, err := newPacker()
	if err != nil {
		return nil, nil, err
	}
	defer pack.close()
	rows, err := s.db.QueryContext(ctx, "SELECT body FROM evidence WHERE scan = $1 ORDER BY endpoint", i.id)
	if err != nil {
		return nil, nil, s.explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		var body sql.RawBytes
		if err := rows.Scan(&body); err != nil {
			return nil, nil, s.explain(err)
		}
		var f probe.Finding
		if err := pack.unpackFinding(body, &f); err != nil {
			return nil, nil, s.explain(err)
		}
		findings = append(findings, f)
	}
	if err := rows.Err(); err != nil {
		return nil, nil, s.explain(err)
	}
	deliveries, err = s.deliveries(ctx, i.id)
	return findings, deliveries, s.explain(err)
}

// Deliveries are the canaries of a scan that came home, up to now.
func (s *Store) Deliveries(ctx context.Context, i Info) ([]probe.Delivery, error) {
	ds, err := s.deliveries(ctx, i.id)
	return ds, s.explain(err)
}

// deliveries are the canaries of a scan that came home, up to now.
func (s *Store) deliveries(ctx context.Context, scan int64) ([]probe.Delivery, error) {
	return s.deliveriesWhere(ctx, "c.scan = $1", scan)
}

// deliveriesOf are the canaries of one finding that came home, up to now.
func (s *Store) deliveriesOf(ctx context.Context, h home) ([]probe.Delivery, error) {
	return s.deliveriesWhere(ctx, "c.scan = $1 AND c.endpoint = $2", h.scan, h.endpoint)
}

func (s *Store) deliveriesWhere(ctx context.Context, where string, args ...any) ([]probe.Delivery, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT d.body FROM canary c JOIN delivery d ON d.token = c.token WHERE "+where+" ORDER BY d.at, d.id", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []probe.Delivery
	for rows.Next() {
		var body string
		if err := rows.Scan(&body); err != nil {
			return nil, err
		}
		var d probe.Delivery
		if err := json.Unmarshal([]byte(body), &d); err != nil {
			return nil, fmt.Errorf("%w: %w", errPacked, err)
		}
		out = append(out, d)
	}
	return out, rows.Err()
}

// Sent reports which of the canaries are those of findings in the inventory.
func (s *Store) Sent(ctx context.Context, tokens []string) (map[string]bool, error) {
	out := make(map[string]bool)
	for _, t := range tokens {
		var n int
		if err := s.db.QueryRowContext(ctx, "SELECT count(*) FROM canary WHERE token = $1", t).Scan(&n); err != nil {
			return nil, s.explain(err)
		}
		out[t] = n > 0
	}
	return out, nil
}

// home is a finding that a canary came home from.
type home struct{ scan, endpoint int64 }

// homes lists the findings that canaries came home from.
func (s *Store) homes(ctx context.Context) (map[home]bool, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT DISTINCT c.scan, c.endpoint FROM delivery d JOIN canary c ON c.token = d.token")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := make(map[home]bool)
	for rows.Next() {
		var h home
		if err := rows.Scan(&h.scan, &h.endpoint); err != nil {
			return nil, err
		}
		out[h] = true
	}
	return out, rows.Err()
}

var errPruned = errors.New("its evidence was pruned")

// judged is what a finding proves by now: with what came home of it, and as the present judgement has it. Where its
// evidence was pruned it stays as it was.
func (s *Store) judged(ctx context.Context, pack *packer, h home, was report.Judgement) (report.Judgement, error) {
	whole, err := s.evidence(ctx, pack, h)
	if errors.Is(err, errPruned) {
		return was, nil
	}
	if err != nil {
		return was, err
	}
	deliveries, err := s.deliveriesOf(ctx, h)
	if err != nil {
		return was, err
	}
	return report.Judge(report.Joined(whole, deliveries)), nil
}

func (s *Store) evidence(ctx context.Context, pack *packer, h home) (f probe.Finding, err error) {
	var body []byte
	err = s.db.QueryRowContext(ctx, "SELECT body FROM evidence WHERE scan = $1 AND endpoint = $2", h.scan, h.endpoint).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return f, errPruned
	}
	if err == nil {
		err = pack.unpackFinding(body, &f)
	}
	return f, err
}

// Reader reads one scan again. It is closed when its report is written.
type Reader struct {
	store *Store
	pack  *packer
	info  Info
	Input report.Input // without rules, approvals and assets, which are read anew
}

// Close gives back what it holds.
func (r *Reader) Close() { r.pack.close() }

// Read reads a stored scan, with what came home of it up to now, what was known of its endpoints, and what changed since
// the scan before. What a report can do without is read when it is asked for.
func (s *Store) Read(ctx context.Context, i Info) (*Reader, error) {
	pack, err := newPacker()
	if err != nil {
		return nil, err
	}
	r := &Reader{store: s, pack: pack, info: i}
	if err := r.read(ctx); err != nil {
		pack.close()
		return nil, s.explain(err)
	}
	return r, nil
}

func (r *Reader) read(ctx context.Context) (err error) {
	in := &r.Input
	if err := r.about(ctx); err != nil {
		return err
	}
	if in.Coverage, err = r.coverage(ctx); err != nil {
		return err
	}
	if in.Deliveries, err = r.store.deliveries(ctx, r.info.id); err != nil {
		return err
	}
	return r.findings(ctx)
}

// about reads what was asked for, and how it went.
func (r *Reader) about(ctx context.Context) error {
	in := &r.Input
	var about []byte
	if err := r.store.db.QueryRowContext(ctx, "SELECT about FROM scan WHERE id = $1", r.info.id).Scan(&about); err != nil {
		return err
	}
	if err := r.pack.unpack(about, &in.Scan); err != nil {
		return err
	}
	switch err := r.store.db.QueryRowContext(ctx, "SELECT about FROM scan_end WHERE scan = $1 ORDER BY ended DESC LIMIT 1", r.info.id).Scan(&about); {
	case err == nil:
		var e ending
		if err := r.pack.unpack(about, &e); err != nil {
			return err
		}
		in.Scan, in.Mentions = e.About, e.Mentions
	case !errors.Is(err, sql.ErrNoRows):
		return err
	default:
		in.Scan.Complete = false
		in.Scan.Notes = append(in.Scan.Notes, "the scan has not come to an end: this is what it found so far")
	}
	return nil
}

// Mentions are what DNS said of addresses when the scan ended last; nil: it was not asked.
func (s *Store) Mentions(ctx context.Context, i Info) (map[netip.Addr][]report.Mention, error) {
	pack, err := newPacker()
	if err != nil {
		return nil, err
	}
	defer pack.close()
	var about []byte
	err = s.db.QueryRowContext(ctx, "SELECT about FROM scan_end WHERE scan = $1 ORDER BY ended DESC LIMIT 1", i.id).Scan(&about)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, s.explain(err)
	}
	var e ending
	err = pack.unpack(about, &e)
	return e.Mentions, err
}

func (r *Reader) coverage(ctx context.Context) (out []discover.CoverageRow, err error) {
	rows, err := r.store.db.QueryContext(ctx, "SELECT prefix, port, open, closed, filtered, prohibited, unreachable, not_attempted, failed, reasons FROM coverage WHERE scan = $1", r.info.id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c discover.CoverageRow
		var prefix, reasons string
		var n [8]int64
		if err := rows.Scan(&prefix, &n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &n[7], &reasons); err != nil {
			return nil, err
		}
		if c.Prefix, err = netip.ParsePrefix(prefix); err != nil {
			return nil, fmt.Errorf("%w: %w", errPacked, err)
		}
		if err := json.Unmarshal([]byte(reasons), &c.Reasons); err != nil {
			return nil, fmt.Errorf("%w: %w", errPacked, err)
		}
		c.Port, c.Open, c.Closed, c.Filtered, c.Prohibited, c.Unreachable, c.NotAttempted, c.Failed = uint16(n[0]), uint64(n[1]), uint64(n[2]), uint64(n[3]), uint64(n[4]), uint64(n[5]), uint64(n[6]), uint64(n[7])
		out = append(out, c)
	}
	slices.SortStableFunc(out, func(a, b discover.CoverageRow) int {
		if c := a.Prefix.Compare(b.Prefix); c != 0 {
			return c
		}
		return int(a.Port) - int(b.Port)
	})
	return out, rows.Err()
}

// findings reads the openings of the scan: those with a finding, and those that were only listed.
func (r *Reader) findings(ctx context.Context) error {
	homes, err := r.store.homes(ctx)
	if err != nil {
		return err
	}
	rows, err := r.store.db.QueryContext(ctx, sightQuery+"WHERE s.scan = $1 AND s.state = 'open' ORDER BY e.id", r.info.id)
	if err != nil {
		return err
	}
	defer rows.Close()
	in := &r.Input
	in.Past = make(map[netip.AddrPort]report.Sight)
	var ids []home
	var whole []int
	var digests [][]byte
	var seen []sightRow // small beside findings, of which there shall be no copy
	for rows.Next() {
		row, err := r.pack.sight(rows)
		if err != nil {
			return err
		}
		if row.digest != nil && (homes[home{r.info.id, row.endpoint}] || row.judged != report.JudgementVersion) {
			row.digest = nil // it is judged anew
			whole = append(whole, len(seen))
		}
		if row.Listed {
			row.digest = nil // it is that of another scan
		}
		in.Past[row.Addr] = row.Sight
		digests, ids = append(digests, row.digest), append(ids, home{r.info.id, row.endpoint})
		row.digest = nil
		seen = append(seen, row)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close()
	in.Findings = make([]probe.Finding, len(seen))
	for i, row := range seen {
		in.Findings[i] = probe.Finding{Addr: row.Addr, Vantage: r.info.Vantage, Source: row.Source, Protocol: "unknown", Note: onlyListed, Started: row.at, Ended: row.at}
	}
	if err := r.unpack(digests); err != nil {
		return err
	}
	in.Whole = func(i int) (probe.Finding, error) {
		f, err := r.store.evidence(ctx, r.pack, ids[i])
		return f, r.store.explain(err)
	}
	for _, i := range whole {
		f, err := r.store.evidence(ctx, r.pack, ids[i])
		if err != nil {
			return err
		}
		in.Findings[i] = f
	}
	return nil
}

// unpack fills in the findings and judgements that are stored, by all processors: most of the time goes there.
func (r *Reader) unpack(digests [][]byte) error {
	in := &r.Input
	in.Judged = make([]report.Judgement, len(in.Findings))
	var wg sync.WaitGroup
	var next atomic.Int64
	workers := runtime.GOMAXPROCS(0)
	errs := make([]error, workers)
	for k := range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(digests); i = int(next.Add(1)) - 1 {
				if digests[i] == nil {
					continue
				}
				var d digest
				if errs[k] = r.pack.unpackFinding(digests[i], &d); errs[k] != nil {
					return
				}
				in.Findings[i], in.Judged[i] = d.Finding, d.Judged
				digests[i] = nil
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// onlyListed is of an opening that nothing was said to.
const onlyListed = "only looked for, not spoken to"

// sightRow is a row of sightQuery.
type sightRow struct {
	report.Sight
	scan, opened, endpoint int64
	at                     time.Time
	judged                 int64
	digest                 []byte
}

// sightQuery reads looks, each with the last finding, and the lines that let through the last look that found it open.
const sightQuery = `SELECT e.id, e.address, e.port, s.scan, s.opened, n.name, s.at, s.state, s.sure, s.silent, s.why, s.source, s.first_seen, s.last_seen, s.checked,
	coalesce(f.judged, 0), f.digest, coalesce(p.lines, '')
	FROM endpoint e JOIN sighting s ON s.endpoint = e.id JOIN scan n ON n.id = s.scan
	LEFT JOIN finding f ON f.scan = s.opened AND f.endpoint = s.endpoint
	LEFT JOIN passage p ON p.scan = CASE s.state WHEN 'open' THEN s.scan ELSE s.opened END AND p.endpoint = s.endpoint `

func (*packer) sight(rows *sql.Rows) (r sightRow, err error) {
	var address, state, lines string
	var port, at, sure, silent, first, last, checked int64
	if err = rows.Scan(&r.endpoint, &address, &port, &r.scan, &r.opened, &r.Scan, &at, &state, &sure, &silent, &r.Why, &r.Source, &first, &last, &checked, &r.judged, &r.digest, &lines); err != nil {
		return r, err
	}
	if r.Addr, err = endpointOf(address, port); err != nil {
		return r, err
	}
	if err = r.State.UnmarshalText([]byte(state)); err != nil {
		return r, fmt.Errorf("%w: %w", errPacked, err)
	}
	if lines != "" {
		if err := json.Unmarshal([]byte(lines), &r.Rules); err != nil {
			return r, fmt.Errorf("%w: %w", errPacked, err)
		}
	}
	r.at, r.Sure, r.Silent = moment(at), sure != 0, int(silent)
	r.Listed = r.State == discover.Open && (r.opened != r.scan || r.digest == nil)
	r.FirstSeen, r.LastSeen, r.LastChecked = moment(first), moment(last), moment(checked)
	return r, nil
}

// mark is as much of a look as tells whether another one shows the same.
type mark struct {
	addr           netip.AddrPort
	endpoint, scan int64
	state          discover.State
	sure           bool
	silent         int64
	first, last    int64
	checked        int64
	same, lines    string
	by             string // the scan, as relaysweep names it
}

func (m *mark) sight() *report.Sight {
	return &report.Sight{Addr: m.addr, State: m.state, Scan: m.by, Sure: m.sure, Silent: int(m.silent), FirstSeen: moment(m.first), LastSeen: moment(m.last), LastChecked: moment(m.checked)}
}

// knownAt is the last look of a vantage at each endpoint up to a time, in the order of the endpoints' ids.
func (s *Store) knownAt(ctx context.Context, vantage int64, site string, at time.Time) ([]mark, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT e.id, e.address, e.port, s.scan, n.name, s.state, s.sure, s.silent, s.first_seen, s.last_seen, s.checked, s.same, coalesce(p.lines, '')
		FROM endpoint e JOIN sighting s ON s.endpoint = e.id AND s.vantage = $1 JOIN scan n ON n.id = s.scan LEFT JOIN passage p ON p.scan = CASE s.state WHEN 'open' THEN s.scan ELSE s.opened END AND p.endpoint = s.endpoint
		WHERE e.site = $2 AND s.at = (SELECT max(m.at) FROM sighting m WHERE m.endpoint = e.id AND m.vantage = $1 AND m.at <= $3)`, vantage, site, at.UnixMilli())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []mark
	var address, state, same, lines sql.RawBytes
	for rows.Next() {
		var m mark
		var port, sure int64
		if err := rows.Scan(&m.endpoint, &address, &port, &m.scan, &m.by, &state, &sure, &m.silent, &m.first, &m.last, &m.checked, &same, &lines); err != nil {
			return nil, err
		}
		if m.addr, err = endpointOf(string(address), port); err != nil {
			return nil, err
		}
		if err := m.state.UnmarshalText(state); err != nil {
			return nil, fmt.Errorf("%w: %w", errPacked, err)
		}
		m.sure, m.same, m.lines = sure != 0, string(same), string(lines)
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b mark) int { return cmp.Or(cmp.Compare(a.endpoint, b.endpoint), cmp.Compare(b.scan, a.scan)) })
	out = slices.CompactFunc(out, func(a, b mark) bool { return a.endpoint == b.endpoint }) // two scans looked in the same millisecond
	return out, rows.Err()
}

// Between yields what was known of each endpoint at the end of one scan and of a later one from the same vantage, in no
// order that means anything. After is nil where nobody looked in between, before is nil where nothing was known. Of two
// looks that show the same to a person what was found is not read. The error ends it.
func (s *Store) Between(ctx context.Context, from, to Info, failed *error) iter.Seq2[*report.Sight, *report.Sight] {
	return func(yield func(before, after *report.Sight) bool) {
		err := s.between(ctx, from, to, yield)
		if err != nil {
			*failed = s.explain(err)
		}
	}
}

var (
	errOtherVantage = errors.New("the two scans looked from different places: what one vantage sees is no change of what another saw")
	errBackwards    = errors.New("the first of the two scans ended after the second: what was known at its end is the newer")
)

func (s *Store) between(ctx context.Context, from, to Info, yield func(before, after *report.Sight) bool) error {
	if from.vantage != to.vantage {
		return errOtherVantage
	}
	if from.until().After(to.until()) {
		return errBackwards
	}
	pack, err := newPacker()
	if err != nil {
		return err
	}
	defer pack.close()
	homes, err := s.homes(ctx)
	if err != nil {
		return err
	}
	look, err := s.db.PrepareContext(ctx, sightQuery+"WHERE s.scan = $1 AND s.endpoint = $2")
	if err != nil {
		return err
	}
	defer look.Close()
	var a, b []mark
	var errA, errB error
	var wg sync.WaitGroup
	wg.Go(func() { a, errA = s.knownAt(ctx, from.vantage, from.Site, from.until()) })
	b, errB = s.knownAt(ctx, to.vantage, to.Site, to.until())
	wg.Wait()
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	for len(a)+len(b) > 0 {
		var before, after *mark
		if len(a) > 0 && (len(b) == 0 || a[0].endpoint <= b[0].endpoint) {
			before = &a[0]
		}
		if len(b) > 0 && (len(a) == 0 || b[0].endpoint <= a[0].endpoint) {
			after = &b[0]
		}
		if before != nil {
			a = a[1:]
		}
		if after != nil {
			b = b[1:]
		}
		if before != nil && after != nil && before.scan == after.scan {
			after = nil // nobody looked since
		}
		x, y, err := s.pair(ctx, look, pack, homes, before, after)
		if err != nil {
			return err
		}
		if !yield(x, y) {
			return nil
		}
	}
	return nil
}

// alike reports whether two looks show the same to a person, so that there is nothing to tell of them.
func alike(before, after *mark, homes map[home]bool) bool {
	switch {
	case before == nil || after == nil:
		return false
	case before.state != discover.Open && after.state != discover.Open:
		return before.last == after.last && before.away() && after.away()
	case before.state != after.state:
		return false
	}
	return presentSameness(before.same) && before.same == after.same && before.lines == after.lines && !homes[home{before.scan, before.endpoint}] && !homes[home{after.scan, after.endpoint}]
}

// away reports whether it is known not to be open.
func (m *mark) away() bool { return m.sight().Away() }

// pair reads what two looks showed. Of two that are alike what was found is not read.
func (s *Store) pair(ctx context.Context, look *sql.Stmt, pack *packer, homes map[home]bool, before, after *mark) (x, y *report.Sight, err error) {
	if alike(before, after, homes) {
		return before.sight(), after.sight(), nil
	}
	for _, m := range []struct {
		mark *mark
		out  **report.Sight
	}{{before, &x}, {after, &y}} {
		if m.mark == nil {
			continue
		}
		if *m.out, err = s.sight(ctx, look, pack, homes, m.mark); err != nil {
			return nil, nil, err
		}
	}
	return x, y, nil
}

// sight reads one look, with what was found last.
func (s *Store) sight(ctx context.Context, look *sql.Stmt, pack *packer, homes map[home]bool, m *mark) (*report.Sight, error) {
	r, ok, err := oneSight(ctx, look, pack, m)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, errMeanwhile
	case r.digest == nil:
		return &r.Sight, nil
	}
	var d digest
	if err := pack.unpackFinding(r.digest, &d); err != nil {
		return nil, err
	}
	if h := (home{r.opened, r.endpoint}); homes[h] || r.judged != report.JudgementVersion {
		if d.Judged, err = s.judged(ctx, pack, h, d.Judged); err != nil {
			return nil, err
		}
	}
	r.Found, r.Judged = &d.Finding, d.Judged
	return &r.Sight, nil
}

// oneSight reads the row of a look, and gives the connection back before more is asked for.
func oneSight(ctx context.Context, look *sql.Stmt, pack *packer, m *mark) (r sightRow, ok bool, err error) {
	rows, err := look.QueryContext(ctx, m.scan, m.endpoint)
	if err != nil {
		return r, false, err
	}
	defer rows.Close()
	if !rows.Next() {
		return r, false, rows.Err()
	}
	r, err = pack.sight(rows)
	return r, true, err
}

// History is every look at an endpoint, or with port 0 at all ports of an address, the first one first.
func (s *Store) History(ctx context.Context, site string, a netip.AddrPort) ([]Look, error) {
	pack, err := newPacker()
	if err != nil {
		return nil, err
	}
	defer pack.close()
	rows, err := s.db.QueryContext(ctx, sightQuery+"WHERE e.site = $1 AND e.address = $2 AND (e.port = $3 OR $3 = 0) ORDER BY s.at, s.scan, e.port", site, a.Addr().String(), int64(a.Port()))
	if err != nil {
		return nil, s.explain(err)
	}
	defer rows.Close()
	var list []sightRow
	for rows.Next() {
		row, err := pack.sight(rows)
		if err != nil {
			return nil, s.explain(err)
		}
		list = append(list, row)
	}
	if err := rows.Err(); err != nil {
		return nil, s.explain(err)
	}
	infos, err := s.Scans(ctx)
	if err != nil {
		return nil, err
	}
	byID := make(map[int64]Info)
	for _, i := range infos {
		byID[i.id] = i
	}
	var out []Look
	for _, row := range list {
		if row.digest != nil {
			h := home{row.opened, row.endpoint}
			var d digest
			if err := pack.unpackFinding(row.digest, &d); err != nil {
				return nil, s.explain(err)
			}
			if d.Judged, err = s.judged(ctx, pack, h, d.Judged); err != nil {
				return nil, s.explain(err)
			}
			row.Found, row.Judged = &d.Finding, d.Judged
		}
		out = append(out, Look{Scan: byID[row.scan], At: row.at, Sight: row.Sight})
	}
	return out, nil
}

// Look is what one scan saw of an endpoint.
type Look struct {
	Scan Info
	At   time.Time
	report.Sight
}
