package inventory

import (
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
	site    string
	name    string
	pack    *packer
	queue   chan job
	done    chan struct{}
	once    sync.Once
}

// job is what the writer is asked to do. Its answer comes when it is committed.
type job struct {
	write  func(*writing) error
	answer chan error
}

// Begin begins a scan, or goes on with the one of that name.
func (s *Store) Begin(ctx context.Context, about report.Scan, site, kind string) (*Scan, error) {
	pack, err := newPacker()
	if err != nil {
		return nil, err
	}
	body, err := pack.pack(about)
	if err != nil {
		return nil, err
	}
	w := &Scan{store: s, site: site, name: about.ID, pack: pack, queue: make(chan job, queued), done: make(chan struct{})}
	err = s.commit(ctx, func(tx *writing) error {
		var err error
		if w.vantage, err = tx.id("SELECT id FROM vantage WHERE site = $1 AND name = $2", "INSERT INTO vantage (site, name) VALUES ($1, $2) ON CONFLICT DO NOTHING", site, about.Vantage); err != nil {
			return err
		}
		if err := tx.exec("INSERT INTO scan (name, vantage, kind, started, about) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING", about.ID, w.vantage, kind, about.Started.UnixMilli(), body); err != nil {
			return err
		}
		return tx.row("SELECT id FROM scan WHERE name = $1", about.ID).Scan(&w.id)
	})
	if err != nil {
		pack.close()
		return nil, s.explain(err)
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
		err := w.store.commit(ctx, func(tx *writing) error {
			for _, j := range jobs {
				if err := j.write(tx); err != nil {
					return err
				}
			}
			return nil
		})
		for _, j := range jobs {
			j.answer <- err
		}
	}
}

// do has the writer do something, and waits until it is committed.
func (w *Scan) do(write func(*writing) error) error {
	j := job{write, make(chan error, 1)}
	w.queue <- j
	return w.store.explain(<-j.answer)
}

// Close waits until all is written. Nothing may be added after it.
func (w *Scan) Close() error {
	w.once.Do(func() {
		close(w.queue)
		<-w.done
		w.pack.close()
	})
	return nil
}

// Add stores a finding, and returns when it is safe on disk.
func (w *Scan) Add(f *probe.Finding) error {
	d := digest{report.Digest(f), report.Judge(f)}
	small, err := w.pack.pack(d)
	if err != nil {
		return err
	}
	whole, err := w.pack.pack(f)
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
		if err := w.sight(tx, endpoint, look{state: discover.Open, sure: true, source: f.Source}, at); err != nil {
			return err
		}
		if err := tx.exec(`INSERT INTO finding (scan, endpoint, protocol, product, version, certificate, verdict, class, judged, same, digest)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
			ON CONFLICT (scan, endpoint) DO UPDATE SET protocol = excluded.protocol, product = excluded.product, version = excluded.version,
			certificate = excluded.certificate, verdict = excluded.verdict, class = excluded.class, judged = excluded.judged, same = excluded.same, digest = excluded.digest`,
			w.id, endpoint, text(f.Protocol), text(f.Service.Product), text(f.Service.Version), certificate, d.Judged.Verdict.String(), string(d.Judged.Class), int64(report.JudgementVersion), same, small); err != nil {
			return err
		}
		if err := tx.exec("INSERT INTO evidence (scan, endpoint, body) VALUES ($1, $2, $3) ON CONFLICT (scan, endpoint) DO UPDATE SET body = excluded.body", w.id, endpoint, whole); err != nil {
			return err
		}
		for _, token := range sent(f) {
			if err := tx.exec("INSERT INTO canary (token, scan, endpoint) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", token, w.id, endpoint); err != nil {
				return err
			}
		}
		return nil
	})
}

// sent lists the canaries of a finding that may come home.
func sent(f *probe.Finding) (out []string) {
	for i := range f.Attempts {
		if a := &f.Attempts[i]; a.Canary != "" && a.End.Code != 0 && !slices.Contains(out, a.Canary) {
			out = append(out, a.Canary)
		}
	}
	for token := range f.Others {
		out = append(out, token)
	}
	slices.Sort(out)
	return slices.Compact(out)
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

// look is what one scan saw of one endpoint.
type look struct {
	state  discover.State
	sure   bool
	why    string
	source string
}

// sight stores what this scan saw of an endpoint, with what was known of it before.
func (w *Scan) sight(tx *writing, endpoint int64, l look, at time.Time) error {
	ms := at.UnixMilli()
	var before struct{ first, last, checked, silent int64 }
	err := tx.row("SELECT first_seen, last_seen, checked, silent FROM sighting WHERE endpoint = $1 AND vantage = $2 AND scan <> $3 ORDER BY at DESC LIMIT 1", endpoint, w.vantage, w.id).
		Scan(&before.first, &before.last, &before.checked, &before.silent)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	now := before
	switch {
	case l.state == discover.Open:
		if now.first == 0 {
			now.first = ms
		}
		now.last, now.checked, now.silent = ms, ms, 0
	case l.sure:
		now.checked = ms
		if now.silent++; l.state != discover.Filtered && l.state != discover.Unreachable {
			now.silent = 0
		}
	}
	return tx.exec(`INSERT INTO sighting (scan, endpoint, vantage, at, state, sure, silent, why, source, first_seen, last_seen, checked)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		ON CONFLICT (scan, endpoint) DO UPDATE SET at = excluded.at, state = excluded.state, sure = excluded.sure, silent = excluded.silent, why = excluded.why,
		source = excluded.source, first_seen = excluded.first_seen, last_seen = excluded.last_seen, checked = excluded.checked`,
		w.id, endpoint, w.vantage, ms, l.state.String(), number(l.sure), now.silent, text(l.why), text(l.source), now.first, now.last, now.checked)
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
	return s.explain(s.commit(ctx, func(tx *writing) error { return tx.deliver(d) }))
}

func (tx *writing) deliver(d probe.Delivery) error {
	b, err := json.Marshal(d)
	if err != nil {
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
	Uses       []Use
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
func (w *Scan) End(ctx context.Context, end End) error {
	body, err := w.pack.pack(ending{end.About, end.Mentions})
	if err != nil {
		return err
	}
	at := end.About.Ended
	if at.IsZero() {
		at = time.Now()
	}
	known, err := w.known(ctx)
	if err != nil {
		return w.store.explain(err)
	}
	return w.do(func(tx *writing) error {
		if err := tx.exec("INSERT INTO scan_end (scan, ended, complete, about) VALUES ($1, $2, $3, $4) ON CONFLICT (scan, ended) DO UPDATE SET complete = excluded.complete, about = excluded.about", w.id, at.UnixMilli(), number(end.About.Complete), body); err != nil {
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
				if err := w.sight(tx, k.endpoint, look{s.State, s.Sure, s.Why, k.source}, at); err != nil {
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
		if err := tx.exec("INSERT INTO ruleset (scan, device, file, sha256, taken) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (scan, device, file) DO UPDATE SET sha256 = excluded.sha256, taken = excluded.taken", w.id, text(r.Device), text(r.File), r.SHA256, taken); err != nil {
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
	for _, u := range end.Uses {
		id, err := tx.endpoint(w.site, u.Addr)
		if err != nil {
			return err
		}
		if err := tx.exec("INSERT INTO approval_use (scan, endpoint, approval, state, expires) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (scan, endpoint, approval) DO UPDATE SET state = excluded.state, expires = excluded.expires", w.id, id, text(u.Approval), u.State, u.Expires.UnixMilli()); err != nil {
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

// known lists the endpoints that this vantage ever saw open, but for those that this scan found open.
func (w *Scan) known(ctx context.Context) (map[netip.AddrPort]knownEndpoint, error) {
	rows, err := w.store.db.QueryContext(ctx, `SELECT e.id, e.address, e.port, coalesce((SELECT o.source FROM sighting o WHERE o.endpoint = e.id AND o.vantage = $1 AND o.state = 'open' ORDER BY o.at DESC LIMIT 1), '')
		FROM endpoint e WHERE e.site = $2
		AND EXISTS (SELECT 1 FROM sighting s WHERE s.endpoint = e.id AND s.vantage = $1)
		AND NOT EXISTS (SELECT 1 FROM sighting n WHERE n.scan = $3 AND n.endpoint = e.id AND n.state = 'open')`, w.vantage, w.site, w.id)
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
	ctx context.Context
	tx  *sql.Tx
	ps  map[string]*sql.Stmt
}

func (tx *writing) prepare(query string) (*sql.Stmt, error) {
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
	p, err := tx.prepare(query)
	if err != nil {
		return err
	}
	_, err = p.ExecContext(tx.ctx, args...)
	return err
}

// row is one row; a query that cannot be prepared says so when it is read.
func (tx *writing) row(query string, args ...any) *sql.Row {
	p, err := tx.prepare(query)
	if err != nil {
		return tx.tx.QueryRowContext(tx.ctx, query, args...)
	}
	return p.QueryRowContext(tx.ctx, args...)
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

// commit runs a transaction. It is tried again while the database is away, until the patience ends.
func (s *Store) commit(ctx context.Context, write func(*writing) error) error {
	deadline := time.Now().Add(s.patience)
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := s.try(ctx, write)
		if !passing(err) {
			return err
		}
		if time.Now().Add(wait).After(deadline) {
			return fmt.Errorf("the database was away for %s: %w", s.patience, err)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return errors.Join(err, ctx.Err())
		}
	}
}

func (s *Store) try(ctx context.Context, write func(*writing) error) error {
	tx, err := s.writes.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := write(&writing{ctx, tx, make(map[string]*sql.Stmt)}); err != nil {
		tx.Rollback()
		return err
	}
	return tx.Commit()
}
