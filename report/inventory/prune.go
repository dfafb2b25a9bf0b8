package inventory

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"time"
)

// Pruned is what Prune took away.
type Pruned struct {
	Scans    int // of which nothing is left
	Looks    int64
	Findings int64
}

// Prune drops what scans found that were begun before a time. It never drops the last known state: of each endpoint and
// vantage the last look before that time stays, the last one that counts, and the last finding with its evidence; first
// seen stays as it was. So what was known at any later time is told as before, and what was known at the end of the last
// scan before that time, as later ones are compared with it. The last scan of each vantage stays whole, and one that has
// not come to an end: it may be under way, unless it was gone on with longer ago than any scan takes.
func (s *Store) Prune(ctx context.Context, before time.Time) (Pruned, error) {
	p := pruning{before: before.UnixMilli(), killed: min(before.UnixMilli(), time.Now().Add(-longest).UnixMilli())}
	old, err := s.infos(ctx, "WHERE s.started < $1 AND s.under_way < $3 AND NOT EXISTS (SELECT 1 FROM scan_end e WHERE e.scan = s.id AND e.ended >= $1) AND s.id NOT IN (SELECT max(l.id) FROM scan l WHERE l.kind <> $2 GROUP BY l.vantage) ORDER BY s.started", p.before, KindProbe, p.killed)
	if err != nil {
		return Pruned{}, err
	}
	for _, scan := range old { // each for itself, so that a scan under way does not wait long
		var all pruning
		err := s.once(ctx, func(tx *writing) error {
			all = p // it may be tried again
			return tx.prune(&scan, &all)
		})
		if err != nil {
			return p.Pruned, s.explainWrite(err)
		}
		p = all
	}
	err = s.once(ctx, func(tx *writing) error {
		n, err := tx.change("DELETE FROM delivery WHERE at < $1 AND NOT EXISTS (SELECT 1 FROM canary c WHERE c.token = delivery.token)", p.before)
		p.rows += n
		return err
	})
	if err == nil && !s.postgres && p.rows > 0 {
		_, err = s.writes.ExecContext(ctx, "VACUUM") // gives the room back
	}
	return p.Pruned, s.explainWrite(err)
}

// longest is how long a scan may take that has not come to an end; one that was begun before that was killed.
const longest = 60 * 24 * time.Hour

// pruning is how far Prune is.
type pruning struct {
	Pruned
	before int64
	killed int64 // a scan that was under way before this was killed
	rows   int64 // that went, of all tables
}

func (tx *writing) prune(scan *Info, p *pruning) error {
	var underWay int64
	if err := tx.row("SELECT coalesce(max(under_way), $2) FROM scan WHERE id = $1", scan.id, p.killed).Scan(&underWay); err != nil || underWay >= p.killed {
		return err // another process went on with it, or was quicker
	}
	last, err := tx.lastBefore(scan.vantage, p.before)
	if err != nil {
		return err
	}
	drop := func(query string, args ...any) (int64, error) {
		n, err := tx.change("DELETE FROM "+query, append([]any{scan.id}, args...)...)
		p.rows += n
		return n, err
	}
	// A look goes if a later one of the same vantage takes its place, and the last scan did not end between them.
	n, err := drop(`sighting WHERE scan = $1 AND EXISTS (SELECT 1 FROM sighting m WHERE m.endpoint = sighting.endpoint AND m.vantage = sighting.vantage
		AND m.at < $2 AND (m.at > sighting.at OR m.at = sighting.at AND m.scan > sighting.scan) AND m.sure >= sighting.sure AND (sighting.state <> 'open' OR m.state = 'open')
		AND (m.at <= $3 OR sighting.at > $3)
		AND (NOT EXISTS (SELECT 1 FROM finding f WHERE f.scan = sighting.scan AND f.endpoint = sighting.endpoint) OR EXISTS (SELECT 1 FROM finding g WHERE g.scan = m.scan AND g.endpoint = m.endpoint)))`, p.before, last.ended)
	if err != nil {
		return err
	}
	p.Looks += n
	// Nothing stays of a look that went.
	for _, table := range []string{"finding", "evidence", "canary", "passage", "approval_use"} {
		n, err := drop(table + " WHERE scan = $1 AND NOT EXISTS (SELECT 1 FROM sighting s WHERE s.scan = " + table + ".scan AND s.endpoint = " + table + ".endpoint)")
		if err != nil {
			return err
		}
		if table == "finding" {
			p.Findings += n
		}
	}
	var left int
	if err := tx.row("SELECT count(*) FROM sighting WHERE scan = $1", scan.id).Scan(&left); err != nil || left > 0 || scan.id == last.scan {
		return err
	}
	for _, from := range []string{"coverage WHERE scan", "ruleset WHERE scan", "scan_end WHERE scan", "scan WHERE id"} {
		if _, err := drop(from + " = $1"); err != nil {
			return err
		}
	}
	p.Scans++
	return nil
}

// base is a scan that later ones are compared with, and when it ended for the last time.
type base struct{ scan, ended int64 }

// lastBefore is the scan of a vantage that was begun last of those that ended before a time.
func (tx *writing) lastBefore(vantage, before int64) (b base, err error) {
	err = tx.row(`SELECT s.id, max(e.ended) FROM scan s JOIN scan_end e ON e.scan = s.id WHERE s.vantage = $1 AND s.kind <> $2
		GROUP BY s.id, s.started HAVING max(e.ended) < $3 ORDER BY s.started DESC, s.id DESC LIMIT 1`, vantage, KindProbe, before).Scan(&b.scan, &b.ended)
	if errors.Is(err, sql.ErrNoRows) {
		return base{ended: math.MinInt64}, nil
	}
	return b, err
}
