package inventory

import (
	"context"
	"errors"
	"iter"
	"time"

	"relaysweep/discover"
	"relaysweep/report"
)

// Changes says what became of the endpoints of a vantage between the end of a scan and that of a later one.
func (s *Store) Changes(ctx context.Context, from, to Info) (*report.Changes, error) {
	a, rows, err := s.asked(ctx, from)
	if err != nil {
		return nil, err
	}
	b, _, err := s.asked(ctx, to)
	if err != nil {
		return nil, err
	}
	var failed error
	c := report.NewChanges(&a, &b, to.Vantage, rows, butPruned(from.until(), s.Between(ctx, from, to, &failed)))
	if failed != nil {
		return nil, failed
	}
	return c, nil
}

// butPruned leaves out what was open by a time, of which nothing from then is left: it is not new, and what it was is
// not known any more.
func butPruned(by time.Time, pairs iter.Seq2[*report.Sight, *report.Sight]) iter.Seq2[*report.Sight, *report.Sight] {
	return func(yield func(before, after *report.Sight) bool) {
		for before, after := range pairs {
			if before == nil && !after.FirstSeen.IsZero() && !after.FirstSeen.After(by) {
				continue
			}
			if !yield(before, after) {
				return
			}
		}
	}
}

// Since are the changes since the scan that the same vantage made before; nil: there was none.
func (s *Store) Since(ctx context.Context, i Info) (*report.Changes, error) {
	before, err := s.Before(ctx, i)
	if errors.Is(err, ErrNoScan) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s.Changes(ctx, before, i)
}

// asked is what was asked for in a scan, and what was looked at.
func (s *Store) asked(ctx context.Context, i Info) (about report.Scan, rows []discover.CoverageRow, err error) {
	pack, err := newPacker()
	if err != nil {
		return about, nil, err
	}
	r := &Reader{store: s, pack: pack, info: i}
	defer r.Close()
	if err := r.about(ctx); err != nil {
		return about, nil, s.explain(err)
	}
	rows, err = r.coverage(ctx)
	return r.Input.Scan, rows, s.explain(err)
}
