package inventory

import (
	"context"
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
// seen stays as it was. So what was known at any later time is told as before. The last scan of each vantage stays whole.
func (s *Store) Prune(ctx context.Context, before time.Time) (Pruned, error) {
	old, err := s.infos(ctx, "WHERE s.started < $1 AND NOT EXISTS (SELECT 1 FROM scan_end e WHERE e.scan = s.id AND e.ended >= $1) AND s.id NOT IN (SELECT max(l.id) FROM scan l WHERE l.kind <> $2 GROUP BY l.vantage) ORDER BY s.started", before.UnixMilli(), KindProbe)
	if err != nil {
		return Pruned{}, err
	}
	var p Pruned
	for _, scan := range old { // each for itself, so that a scan under way does not wait long
		var all Pruned
		err := s.once(ctx, func(tx *writing) error {
			all = p // it may be tried again
			return tx.prune(scan.id, before.UnixMilli(), &all)
		})
		if err != nil {
			return p, s.explain(err)
		}
		p = all
	}
	err = s.once(ctx, func(tx *writing) error {
		return tx.exec("DELETE FROM delivery WHERE at < $1 AND NOT EXISTS (SELECT 1 FROM canary c WHERE c.token = delivery.token)", before.UnixMilli())
	})
	if err == nil && !s.postgres && len(old) > 0 {
		_, err = s.writes.ExecContext(ctx, "VACUUM") // gives the room back
	}
	return p, s.explain(err)
}

func (tx *writing) prune(scan, before int64, p *Pruned) error {
	count := func(n *int64, query string, args ...any) error {
		res, err := tx.tx.ExecContext(tx.ctx, query, append([]any{scan}, args...)...)
		if err == nil && n != nil {
			var k int64
			k, err = res.RowsAffected()
			*n += k
		}
		return err
	}
	if err := count(&p.Looks, `DELETE FROM sighting WHERE scan = $1 AND EXISTS (SELECT 1 FROM sighting m WHERE m.endpoint = sighting.endpoint AND m.vantage = sighting.vantage
		AND m.at < $2 AND (m.at > sighting.at OR m.at = sighting.at AND m.scan > sighting.scan) AND m.sure >= sighting.sure AND (sighting.state <> 'open' OR m.state = 'open')
		AND (NOT EXISTS (SELECT 1 FROM finding f WHERE f.scan = sighting.scan AND f.endpoint = sighting.endpoint) OR EXISTS (SELECT 1 FROM finding g WHERE g.scan = m.scan AND g.endpoint = m.endpoint)))`, before); err != nil {
		return err
	}
	if err := count(&p.Findings, "DELETE FROM finding WHERE scan = $1 AND NOT EXISTS (SELECT 1 FROM sighting s WHERE s.scan = finding.scan AND s.endpoint = finding.endpoint)"); err != nil {
		return err
	}
	for _, table := range []string{"evidence", "canary", "passage", "approval_use"} {
		if err := count(nil, "DELETE FROM "+table+" WHERE scan = $1 AND NOT EXISTS (SELECT 1 FROM finding f WHERE f.scan = "+table+".scan AND f.endpoint = "+table+".endpoint)"); err != nil {
			return err
		}
	}
	var left int
	if err := tx.row("SELECT count(*) FROM sighting WHERE scan = $1", scan).Scan(&left); err != nil || left > 0 {
		return err
	}
	for _, table := range []string{"coverage", "ruleset", "scan_end"} {
		if err := count(nil, "DELETE FROM "+table+" WHERE scan = $1"); err != nil {
			return err
		}
	}
	p.Scans++
	return count(nil, "DELETE FROM scan WHERE id = $1")
}
