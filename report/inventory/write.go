package inventory

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/report"
)

// Kinds of scans.
const (
	KindScan     = "scan"
	KindDiscover = "discover" // nothing is said to what listens
	KindProbe    = "probe"    // named endpoints only
)

// Scan is a scan that is being written. Its methods may be called by several goroutines at once.
type Scan struct {
	store   *Store
	id      int64
	vantage int64
	started int64
	site    string
	pack    *packer
	queue   chan job
	done    chan struct{}

	mu     sync.RWMutex // held for writing to close the queue
	closed bool
}

// job is what the writer is asked to do. Its answer comes when it is committed.
type job struct {
	write  func(*writing) error
	answer chan error
}

// Begin begins a scan, or goes on with the one of that name. What is added is stored even after ctx is cancelled, as a
// scan that is interrupted has findings under way; only, a database that is away is not waited for any more.
func (s *Store) Begin(ctx context.Context, about report.Scan, site, kind string) (*Scan, error) {
	pack, err := newPacker()
	if err != nil {
		return nil, err
	}
	body, err := pack.pack(about)
	if err != nil {
		return nil, err
	}
	w := &Scan{store: s, site: site, pack: pack, queue: make(chan job, queued), done: make(chan struct{})}
	err = s.once(ctx, func(tx *writing) error {
		var err error
		if w.vantage, err = tx.id("SELECT id FROM vantage WHERE site = $1 AND name = $2", "INSERT INTO vantage (site, name) VALUES ($1, $2) ON CONFLICT DO NOTHING", site, about.Vantage); err != nil {
			return err
		}
		if err := tx.exec("INSERT INTO scan (name, vantage, kind, started, under_way, about) VALUES ($1, $2, $3, $4, 0, $5) ON CONFLICT DO NOTHING", about.ID, w.vantage, kind, about.Started.UnixMilli(), body); err != nil {
			return err
		}
		var vantage int64
		if err := tx.row("SELECT id, vantage, started FROM scan WHERE name = $1", about.ID).Scan(&w.id, &vantage, &w.started); err != nil {
			return err
		}
		if vantage != w.vantage {
			return fmt.Errorf("scan %s was begun at another vantage than %s", about.ID, about.Vantage)
		}
		return tx.exec("UPDATE scan SET under_way = $1 WHERE id = $2", time.Now().UnixMilli(), w.id)
	})
	if err != nil {
		pack.close()
		return nil, s.explainWrite(err)
	}
	go w.serve(ctx)
	return w, nil
}

// queued bounds what waits for the writer, and batch what one transaction holds: what comes while one is committed goes
// into the next, so that many findings share one wait for the disk.
const (
	queued = 1024
	batch  = 512
)

// serve commits what is queued.
func (w *Scan) serve(ctx context.Context) {
	defer close(w.done)
	var away time.Time // since when the database is away
	for j := range w.queue {
		jobs := []job{j}
	more:
		for len(jobs) < batch {
			select {
			case j, ok := <-w.queue:
				if !ok {
					break more
				}
				jobs = append(jobs, j)
			default:
				break more
			}
		}
		err := w.store.commit(ctx, &away, jobs...)
		if err == nil || len(jobs) == 1 || errors.Is(err, errAway) {
			for _, j := range jobs {
				j.answer <- err
			}
			continue
		}
		for _, j := range jobs { // one that cannot be stored takes none with it
			j.answer <- w.store.commit(ctx, &away, j)
		}
	}
}

var errClosed = errors.New("the scan's writer is closed")

// do has the writer do something, and waits until it is committed.
func (w *Scan) do(write func(*writing) error) error {
	j := job{write, make(chan error, 1)}
	w.mu.RLock()
	if w.closed {
		w.mu.RUnlock()
		return w.store.explainWrite(errClosed)
	}
	w.queue <- j
	w.mu.RUnlock()
	return w.store.explainWrite(<-j.answer)
}

// Close waits until all is written. What is added after it is refused.
func (w *Scan) Close() error {
	w.mu.Lock()
	first := !w.closed
	if first {
		w.closed = true
		close(w.queue)
	}
	w.mu.Unlock()
	<-w.done
	if first {
		w.pack.close()
	}
	return nil
}

// Add stores a finding, and returns when it is safe on disk.
func (w *Scan) Add(f *probe.Finding) error {
	d := digest{report.Digest(f), report.Judge(f)}
	small, err := w.pack.packFinding(d)
	if err != nil {
		return err
	}
	whole, err := w.pack.packFinding(f)
	if err != nil {
		return err
	}
	at := f.Ended
	if at.IsZero() {
		at = f.Started
	}
	same, err := sameness(&d)
	if err != nil {
		return err
	}
	certificate := ""
	if f.TLS != nil {
		certificate = f.TLS.SHA256
	}
	return w.do(func(tx *writing) error {
		endpoint, err := tx.endpoint(w.site, f.Addr)
		if err != nil {
			return err
		}
		if err := w.sight(tx, endpoint, look{state: discover.Open, sure: true, source: f.Source, same: same}, at); err != nil {
			return err
		}
		if err := tx.exec(`INSERT INTO finding (scan, endpoint, protocol, product, version, certificate, verdict, class, judged, digest)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (scan, endpoint) DO UPDATE SET protocol = excluded.protocol, product = excluded.product, version = excluded.version,
			certificate = excluded.certificate, verdict = excluded.verdict, class = excluded.class, judged = excluded.judged, digest = excluded.digest`,
			w.id, endpoint, text(f.Protocol), text(f.Service.Product), text(f.Service.Version), certificate, d.Judged.Verdict.String(), string(d.Judged.Class), int64(report.JudgementVersion), small); err != nil {
			return err
		}
		if err := tx.exec("INSERT INTO evidence (scan, endpoint, body) VALUES ($1, $2, $3) ON CONFLICT (scan, endpoint) DO UPDATE SET body = excluded.body", w.id, endpoint, whole); err != nil {
			return err
		}
		for _, token := range report.Awaited(f) {
			if err := tx.exec("INSERT INTO canary (token, scan, endpoint) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", token, w.id, endpoint); err != nil {
				return err
			}
		}
		return nil
	})
}

// text makes what PostgreSQL stores as text of what a stranger said: the columns are for searching, the digest has it
// as it was.
func text(s string) string {
	out := make([]rune, 0, len(s))
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			r = ' '
		}
		if out = append(out, r); len(out) >= 200 {
			break
		}
	}
	return string(out)
}

// key is text that tells rows apart: what text changes, or cuts off, is a hash behind it.
func key(s string) string {
	t := text(s)
	if t == s {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return t + " " + hex.EncodeToString(sum[:8])
}

// look is what one scan saw of one endpoint.
type look struct {
	state  discover.State
	sure   bool
	why    string
	source string
	same   []byte // of a finding: see sameness
}

// listed reports whether it was found open, and nothing was asked.
func (l *look) listed() bool { return l.state == discover.Open && l.same == nil }

// life is what a vantage knows of an endpoint by its looks so far.
type life struct {
	first, last, checked, silent int64
	// opened is the scan whose finding of it is the last one; where there is none, the first that listed it.
	opened int64
}

// next is what is known after one more look.
func (l life) next(scan int64, look look, at int64) life {
	switch {
	case look.state == discover.Open:
		if l.first == 0 {
			l.first = at
		}
		l.last, l.checked, l.silent = at, at, 0
		if l.opened == 0 || !look.listed() {
			l.opened = scan
		}
	case look.sure:
		l.checked = at
		if l.silent++; look.state == discover.Closed {
			l.silent++
		}
	}
	return l
}

// sight stores what this scan saw of an endpoint, with what is known by then.
func (w *Scan) sight(tx *writing, endpoint int64, l look, at time.Time) error {
	ms := at.UnixMilli()
	var newest struct{ scan, at int64 }
	var ours bool
	var before life
	err := tx.row(`SELECT scan, at, EXISTS (SELECT 1 FROM sighting o WHERE o.scan = $3 AND o.endpoint = $1), first_seen, last_seen, checked, silent, opened
		FROM sighting WHERE endpoint = $1 AND vantage = $2 ORDER BY at DESC, scan DESC LIMIT 1`, endpoint, w.vantage, w.id).
		Scan(&newest.scan, &newest.at, &ours, &before.first, &before.last, &before.checked, &before.silent, &before.opened)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return w.look(tx, endpoint, l, ms, life{}.next(w.id, l, ms))
	case err != nil:
		return err
	case !ours && (newest.at < ms || newest.at == ms && newest.scan < w.id && l.state != discover.Open):
		return w.look(tx, endpoint, l, ms, before.next(w.id, l, ms))
	}
	return w.between(tx, endpoint, l, ms)
}

func (w *Scan) look(tx *writing, endpoint int64, l look, at int64, now life) error {
	return tx.exec(`INSERT INTO sighting (scan, endpoint, vantage, at, state, sure, silent, why, source, first_seen, last_seen, checked, opened, same)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
		ON CONFLICT (scan, endpoint) DO UPDATE SET at = excluded.at, state = excluded.state, sure = excluded.sure, silent = excluded.silent, why = excluded.why,
		source = excluded.source, first_seen = excluded.first_seen, last_seen = excluded.last_seen, checked = excluded.checked, opened = excluded.opened, same = excluded.same`,
		w.id, endpoint, w.vantage, at, l.state.String(), number(l.sure), now.silent, text(l.why), text(l.source), now.first, now.last, now.checked, now.opened, l.same)
}

// between stores a look that is not the last one: another scan has looked since, or this one did before. What is known
// by the later looks is reckoned again. What is known of looks that were pruned, or replaced by this one, stays.
//
// A look of another scan that did not find it open, and that may have been before or after this one that did, is taken
// back: nobody can tell which was the later, and known leaves it out where this one is stored first.
func (w *Scan) between(tx *writing, endpoint int64, l look, at int64) error {
	rows, err := tx.query("SELECT s.scan, n.started, s.at, s.state, s.sure, s.same, s.first_seen, s.last_seen, s.checked, s.silent, s.opened FROM sighting s JOIN scan n ON n.id = s.scan WHERE s.endpoint = $1 AND s.vantage = $2", endpoint, w.vantage)
	if err != nil {
		return err
	}
	defer rows.Close()
	ours := row{scan: w.id}
	var chain []row
	for rows.Next() {
		var r row
		var state string
		var sure int64
		if err := rows.Scan(&r.scan, &r.started, &r.at, &state, &sure, &r.look.same, &r.life.first, &r.life.last, &r.life.checked, &r.life.silent, &r.life.opened); err != nil {
			return err
		}
		if err := r.look.state.UnmarshalText([]byte(state)); err != nil {
			return fmt.Errorf("%w: %w", errPacked, err)
		}
		r.look.sure = sure != 0
		chain = append(chain, r)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close()
	inTime := func(a, b row) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.scan, b.scan)) }
	slices.SortFunc(chain, inTime)
	var now life
	var first int64 // of all that is known
	for i := range chain {
		r := &chain[i]
		if r.life.first != 0 && (first == 0 || r.life.first < first) {
			first = r.life.first
		}
		r.silences = r.life.silent - now.next(r.scan, r.look, r.at).silent
		now = r.life
	}
	if i := slices.IndexFunc(chain, func(r row) bool { return r.scan == w.id }); i >= 0 {
		ours = chain[i]
		if l.listed() && ours.look.state == discover.Open {
			return nil // it was spoken to, or is listed already
		}
		if chain = slices.Delete(chain, i, i+1); i < len(chain) && chain[i].life.silent > 0 && ours.life.silent > 0 {
			chain[i].silences += ours.silences
		}
	}
	if l.state == discover.Open {
		if chain, err = w.takeBack(tx, endpoint, chain, at); err != nil {
			return err
		}
	}
	ours.look, ours.at, ours.silences = l, at, 0
	chain = append(chain, ours)
	slices.SortFunc(chain, inTime)
	now = life{}
	for _, r := range chain {
		was := r.life
		now = now.next(r.scan, r.look, r.at)
		now.silent = max(0, now.silent+r.silences)
		if first != 0 && first <= r.at && (now.first == 0 || first < now.first) {
			now.first = first
		}
		if was.last <= r.at {
			now.last = max(now.last, was.last)
		}
		if was.checked <= r.at {
			now.checked = max(now.checked, was.checked)
		}
		later := was.opened == w.id && at > r.at // what this scan found is later than this look
		if was.opened != 0 && !later && (now.opened == 0 || now.opened == r.scan && r.look.listed()) {
			now.opened = was.opened
		}
		switch {
		case r.scan == w.id:
			err = w.look(tx, endpoint, l, at, now)
		case now != was || r.stale:
			err = tx.exec("UPDATE sighting SET first_seen = $1, last_seen = $2, checked = $3, silent = $4, opened = $5 WHERE scan = $6 AND endpoint = $7", now.first, now.last, now.checked, now.silent, now.opened, r.scan, endpoint)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takeBack drops looks of other scans that may have been made before something was found open at a time, or after.
func (w *Scan) takeBack(tx *writing, endpoint int64, chain []row, at int64) ([]row, error) {
	var out []row
	taken := make(map[int64]bool) // times
	for _, r := range chain {
		if r.scan == w.id || r.look.state == discover.Open || at < r.started || r.at < at {
			out = append(out, r)
			continue
		}
		taken[r.at] = true
		if err := tx.exec("DELETE FROM sighting WHERE scan = $1 AND endpoint = $2", r.scan, endpoint); err != nil {
			return nil, err
		}
	}
	for i := range out {
		if taken[out[i].life.checked] {
			out[i].life.checked, out[i].stale = 0, true
		}
	}
	return out, nil
}

// row is a look that is stored.
type row struct {
	scan, at int64
	started  int64 // of the scan
	look     look
	life     life
	silences int64 // beyond what the look before it leads to: those of looks between them that were pruned
	stale    bool  // what is stored of it counts a look that was taken back
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Deliver stores a canary that came home. One that is brought twice is stored once.
func (w *Scan) Deliver(d probe.Delivery) error {
	return w.do(func(tx *writing) error { return tx.deliver(d) })
}

// Deliver stores a canary that came home when no scan is under way.
func (s *Store) Deliver(ctx context.Context, d probe.Delivery) error {
	return s.explainWrite(s.once(ctx, func(tx *writing) error { return tx.deliver(d) }))
}

// maxDeliveries is how often a canary is stored as come home: whoever has it can mail it again and again.
const maxDeliveries = 100

func (tx *writing) deliver(d probe.Delivery) error {
	b, err := json.Marshal(d)
	if err != nil {
		return err
	}
	var n int
	if err := tx.row("SELECT count(*) FROM delivery WHERE token = $1", text(d.Canary)).Scan(&n); err != nil || n >= maxDeliveries {
		return err
	}
	key := sha256.Sum256(fmt.Appendf(nil, "%q %d %q %q", d.Canary, d.Time.UnixNano(), d.Peer, d.To))
	return tx.exec("INSERT INTO delivery (id, token, at, body) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING", hex.EncodeToString(key[:16]), text(d.Canary), d.Time.UnixMilli(), string(b))
}

// End is how a scan ended, whole or not.
type End struct {
	About    report.Scan
	Coverage []discover.CoverageRow
	// Listed are openings without a finding: nothing was said to them, or not yet.
	Listed []Listed
	// State tells what the sweep showed of an endpoint, from the vantage's own source or a further one, and whether that
	// counts (law 2). in: it was among the targets. Nil: nothing was swept.
	State func(a netip.AddrPort, source string) (s State, in bool)
	// Deliveries are canaries that came home, and may be stored already.
	Deliveries []probe.Delivery
	Mentions   map[netip.Addr][]report.Mention
	Rulesets   []Ruleset
	Passages   map[netip.AddrPort][]string // the firewall lines on the way to a finding
}

// State is what a sweep showed of an endpoint.
type State struct {
	State discover.State
	Sure  bool
	Why   string
}

// Listed is an opening that has no finding.
type Listed struct {
	Addr   netip.AddrPort
	Source string
	At     time.Time
}

// Ruleset is a rule export that a scan was explained with.
type Ruleset struct {
	Device, File, SHA256 string
	Taken                time.Time
}

// Use is an approval that an endpoint was held against.
type Use struct {
	Addr     netip.AddrPort
	Approval string
	State    string
	Expires  time.Time
}

// ending is what is stored of an end beside its columns.
type ending struct {
	About    report.Scan
	Mentions map[netip.Addr][]report.Mention
}

// End stores how the scan ended, and what it saw of the endpoints that were known before and are not open now: what it
// did not look at is said so, and is never gone. A scan that is resumed ends again.
func (w *Scan) End(_ context.Context, end End) error {
	body, err := w.pack.pack(ending{end.About, end.Mentions})
	if err != nil {
		return err
	}
	at := end.About.Ended
	if at.IsZero() {
		at = time.Now()
	}
	return w.do(func(tx *writing) error {
		known, err := w.known(tx)
		if err != nil {
			return err
		}
		if err := tx.exec("INSERT INTO scan_end (scan, ended, complete, about) VALUES ($1, $2, $3, $4) ON CONFLICT (scan, ended) DO UPDATE SET complete = excluded.complete, about = excluded.about", w.id, at.UnixMilli(), number(end.About.Complete), body); err != nil {
			return err
		}
		if err := tx.exec("UPDATE scan SET under_way = 0 WHERE id = $1", w.id); err != nil {
			return err
		}
		if err := w.cover(tx, end.Coverage); err != nil {
			return err
		}
		for _, l := range end.Listed {
			id, err := tx.endpoint(w.site, l.Addr)
			if err != nil {
				return err
			}
			if l.At.IsZero() {
				l.At = at
			}
			if err := w.sight(tx, id, look{state: discover.Open, sure: true, source: l.Source}, l.At); err != nil {
				return err
			}
			delete(known, l.Addr)
		}
		if end.State != nil {
			for a, k := range known {
				s, in := end.State(a, k.source)
				if !in {
					continue
				}
				if err := w.sight(tx, k.endpoint, look{state: s.State, sure: s.Sure, why: s.Why, source: k.source}, at); err != nil {
					return err
				}
			}
		}
		for _, d := range end.Deliveries {
			if err := tx.deliver(d); err != nil {
				return err
			}
		}
		return w.facts(tx, end)
	})
}

func (w *Scan) cover(tx *writing, rows []discover.CoverageRow) error {
	if err := tx.exec("DELETE FROM coverage WHERE scan = $1", w.id); err != nil { // of an earlier end
		return err
	}
	for _, r := range rows {
		reasons, err := json.Marshal(r.Reasons)
		if err != nil {
			return err
		}
		if err := tx.exec("INSERT INTO coverage (scan, prefix, port, open, closed, filtered, prohibited, unreachable, not_attempted, failed, reasons) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
			w.id, r.Prefix.String(), int64(r.Port), int64(r.Open), int64(r.Closed), int64(r.Filtered), int64(r.Prohibited), int64(r.Unreachable), int64(r.NotAttempted), int64(r.Failed), string(reasons)); err != nil {
			return err
		}
	}
	return nil
}

// facts stores what the report joined.
func (w *Scan) facts(tx *writing, end End) error {
	for _, r := range end.Rulesets {
		taken := int64(0)
		if !r.Taken.IsZero() {
			taken = r.Taken.UnixMilli()
		}
		if err := tx.exec("INSERT INTO ruleset (scan, device, file, sha256, taken) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (scan, device, file) DO UPDATE SET sha256 = excluded.sha256, taken = excluded.taken", w.id, key(r.Device), key(r.File), r.SHA256, taken); err != nil {
			return err
		}
	}
	for a, lines := range end.Passages {
		id, err := tx.endpoint(w.site, a)
		if err != nil {
			return err
		}
		b, err := json.Marshal(lines)
		if err != nil {
			return err
		}
		if err := tx.exec("INSERT INTO passage (scan, endpoint, lines) VALUES ($1, $2, $3) ON CONFLICT (scan, endpoint) DO UPDATE SET lines = excluded.lines", w.id, id, string(b)); err != nil {
			return err
		}
	}
	return nil
}

// knownEndpoint is an endpoint that was open once, and that this scan has not found open.
type knownEndpoint struct {
	endpoint int64
	source   string
}

// known lists the endpoints that this vantage ever saw open, but for those that this scan found open, and those that
// another one found open while this one was under way: whose look was the later one nobody can tell.
func (w *Scan) known(tx *writing) (map[netip.AddrPort]knownEndpoint, error) {
	rows, err := tx.query(`SELECT e.id, e.address, e.port, coalesce((SELECT o.source FROM sighting o WHERE o.endpoint = e.id AND o.vantage = $1 AND o.state = 'open' ORDER BY o.at DESC LIMIT 1), '')
		FROM endpoint e WHERE e.site = $2
		AND EXISTS (SELECT 1 FROM sighting s WHERE s.endpoint = e.id AND s.vantage = $1)
		AND NOT EXISTS (SELECT 1 FROM sighting n WHERE n.endpoint = e.id AND n.vantage = $1 AND n.state = 'open' AND (n.scan = $3 OR n.at >= $4))`, w.vantage, w.site, w.id, w.started)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := make(map[netip.AddrPort]knownEndpoint)
	for rows.Next() {
		var k knownEndpoint
		var address string
		var port int64
		if err := rows.Scan(&k.endpoint, &address, &port, &k.source); err != nil {
			return nil, err
		}
		a, err := endpointOf(address, port)
		if err != nil {
			return nil, err
		}
		out[a] = k
	}
	return out, rows.Err()
}

func endpointOf(address string, port int64) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(address)
	if err != nil || port < 0 || port > 65535 {
		return netip.AddrPort{}, fmt.Errorf("%w: endpoint %q, %d", errPacked, address, port)
	}
	return netip.AddrPortFrom(a, uint16(port)), nil
}

// writing is a transaction. Its statements are prepared once each.
type writing struct {
	ctx   context.Context
	tx    *sql.Tx
	ps    map[string]*sql.Stmt
	alive func() // the database answered
}

func (tx *writing) prepare(query string) (*sql.Stmt, error) {
	tx.alive()
	if p := tx.ps[query]; p != nil {
		return p, nil
	}
	p, err := tx.tx.PrepareContext(tx.ctx, query)
	if err == nil {
		tx.ps[query] = p
	}
	return p, err
}

func (tx *writing) exec(query string, args ...any) error {
	_, err := tx.change(query, args...)
	return err
}

// change executes a statement, and says how many rows it changed.
func (tx *writing) change(query string, args ...any) (int64, error) {
	p, err := tx.prepare(query)
	if err != nil {
		return 0, err
	}
	res, err := p.ExecContext(tx.ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (tx *writing) query(query string, args ...any) (*sql.Rows, error) {
	p, err := tx.prepare(query)
	if err != nil {
		return nil, err
	}
	return p.QueryContext(tx.ctx, args...)
}

// one is a row that is yet to be read, or why there is none.
type one struct {
	row *sql.Row
	err error
}

func (o one) Scan(dest ...any) error {
	if o.err != nil {
		return o.err
	}
	return o.row.Scan(dest...)
}

// row is one row; a query that cannot be prepared says so when it is read.
func (tx *writing) row(query string, args ...any) one {
	p, err := tx.prepare(query)
	if err != nil {
		return one{err: err}
	}
	return one{row: p.QueryRowContext(tx.ctx, args...)}
}

// id finds the id of a row, or makes the row.
func (tx *writing) id(find, make string, args ...any) (id int64, err error) {
	if err = tx.row(find, args...).Scan(&id); !errors.Is(err, sql.ErrNoRows) {
		return id, err
	}
	if err = tx.exec(make, args...); err != nil {
		return 0, err
	}
	return id, tx.row(find, args...).Scan(&id)
}

func (tx *writing) endpoint(site string, a netip.AddrPort) (int64, error) {
	return tx.id("SELECT id FROM endpoint WHERE site = $1 AND address = $2 AND port = $3", "INSERT INTO endpoint (site, address, port) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", site, a.Addr().String(), int64(a.Port()))
}

var (
	errAway   = errors.New("the database was away")
	errSilent = errors.New("the database does not answer")
)

// commit runs a transaction. It is tried again while the database is away, until the patience ends, which begins when
// it was found to be away.
func (s *Store) commit(ctx context.Context, away *time.Time, jobs ...job) error {
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := s.try(ctx, jobs)
		if !passing(err) {
			*away = time.Time{}
			return err
		}
		if away.IsZero() {
			*away = time.Now()
		}
		if time.Since(*away)+wait > s.patience {
			return fmt.Errorf("%w for %s: %w", errAway, time.Since(*away).Round(time.Second), err)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("%w, and was not waited for: %w", errAway, err)
		}
	}
}

// once runs one transaction outside a scan.
func (s *Store) once(ctx context.Context, write func(*writing) error) error {
	var away time.Time
	return s.commit(ctx, &away, job{write: write})
}

// oneWriter lets one process write at a time to PostgreSQL, as SQLite does: what was known of an endpoint before is read
// and added to in one step. The wait for it is bounded, so that a process that was stopped is told of.
func (s *Store) oneWriter() string {
	return fmt.Sprintf("SELECT set_config('lock_timeout', '%dms', true), pg_advisory_xact_lock(7813598132)", s.lockWait.Milliseconds())
}

// try runs a transaction once. It is not cut short by the end of ctx, but by a PostgreSQL that has fallen silent.
func (s *Store) try(ctx context.Context, jobs []job) (err error) {
	within, alive, done := s.watch(ctx)
	defer done(&err)
	var options sql.TxOptions
	if s.postgres { // each statement is to see what was committed while we waited, whatever the server's default is
		options.Isolation = sql.LevelReadCommitted
	}
	tx, err := s.writes.BeginTx(within, &options)
	if err != nil {
		return err
	}
	if s.postgres {
		alive()
		_, err = tx.ExecContext(within, s.oneWriter())
	}
	w := &writing{within, tx, make(map[string]*sql.Stmt), alive}
	for _, j := range jobs {
		if err == nil {
			err = j.write(w)
		}
	}
	if err != nil {
		tx.Rollback()
		return err
	}
	alive()
	return tx.Commit()
}

// watch is ctx without its end. Where alive is not called in time it ends nevertheless, and done makes errSilent of the
// error: a long transaction is many statements, and each has its time.
func (s *Store) watch(ctx context.Context) (within context.Context, alive func(), done func(*error)) {
	within = context.WithoutCancel(ctx)
	if !s.postgres {
		return within, func() {}, func(*error) {}
	}
	within, cancel := context.WithCancelCause(within)
	t := time.AfterFunc(s.silence, func() { cancel(errSilent) })
	hurry := func() { t.Reset(s.silence / 10) }
	stop := context.AfterFunc(ctx, hurry)
	alive = func() {
		if ctx.Err() == nil {
			t.Reset(s.silence)
		} else {
			hurry()
		}
	}
	return within, alive, func(err *error) {
		stop()
		t.Stop()
		if *err != nil && context.Cause(within) == errSilent {
			*err = fmt.Errorf("%w: %v", errSilent, *err)
		}
		cancel(nil)
	}
}
