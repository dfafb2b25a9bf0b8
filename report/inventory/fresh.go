package inventory

import (
	"context"
	"net/netip"
	"time"

	"relaysweep/discover"
	"relaysweep/report"
)

// Fresh is what a vantage looked at since a time.
type Fresh struct {
	blocks map[uint16][]netip.Prefix // of which every address was looked at, by port
	single map[netip.AddrPort]bool   // endpoints that a look is known of, and whether it is one that will do
}

// Holds reports whether an endpoint was looked at. Nothing was where f is nil.
func (f *Fresh) Holds(a netip.AddrPort) bool {
	if f == nil {
		return false
	}
	if held, ok := f.single[a]; ok {
		return held
	}
	for _, p := range f.blocks[a.Port()] {
		if p.Contains(a.Addr()) {
			return true
		}
	}
	return false
}

// Fresh tells what a vantage looked at since a time, in other scans than one: the prefixes and ports of which every address
// was looked at, and the single endpoints whose look was a sure one. An opening was looked at when it was spoken to.
func (s *Store) Fresh(ctx context.Context, site, vantage string, since time.Time, but string) (*Fresh, error) {
	f := &Fresh{blocks: make(map[uint16][]netip.Prefix), single: make(map[netip.AddrPort]bool)}
	// Scans that listed openings alone looked at no service.
	rows, err := s.db.QueryContext(ctx, `SELECT c.prefix, c.port FROM coverage c JOIN scan s ON s.id = c.scan JOIN vantage v ON v.id = s.vantage
		WHERE v.site = $1 AND v.name = $2 AND s.started >= $3 AND s.name <> $4 AND s.kind = $5 AND c.failed = 0 AND c.not_attempted = 0`, site, vantage, since.UnixMilli(), but, KindScan)
	if err != nil {
		return nil, s.explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		var prefix string
		var port int64
		if err := rows.Scan(&prefix, &port); err != nil {
			return nil, s.explain(err)
		}
		p, err := netip.ParsePrefix(prefix)
		if err != nil {
			return nil, s.explain(err)
		}
		f.blocks[uint16(port)] = append(f.blocks[uint16(port)], p)
	}
	if err := rows.Err(); err != nil {
		return nil, s.explain(err)
	}
	single, err := s.db.QueryContext(ctx, `SELECT e.address, e.port, g.state, g.sure, CASE WHEN g.same IS NULL THEN 0 ELSE 1 END, s.kind
		FROM sighting g JOIN scan s ON s.id = g.scan JOIN vantage v ON v.id = g.vantage JOIN endpoint e ON e.id = g.endpoint
		WHERE v.site = $1 AND v.name = $2 AND g.at >= $3 AND s.name <> $4 ORDER BY g.at, g.scan`, site, vantage, since.UnixMilli(), but)
	if err != nil {
		return nil, s.explain(err)
	}
	defer single.Close()
	spoken := make(map[netip.AddrPort]bool)
	for single.Next() {
		var address, state, kind string
		var port, sure, found int64
		if err := single.Scan(&address, &port, &state, &sure, &found, &kind); err != nil {
			return nil, s.explain(err)
		}
		a, err := endpointOf(address, port)
		if err != nil {
			return nil, s.explain(err)
		}
		_, seen := f.single[a]
		switch open := state == discover.Open.String(); {
		case open && found == 1:
			f.single[a], spoken[a] = true, true
		case open: // listed
			f.single[a] = spoken[a]
		case kind == KindDiscover:
		case sure == 1:
			f.single[a] = true
		case !seen:
			f.single[a] = false
		}
	}
	return f, s.explain(single.Err())
}

// Sights is what the inventory knows of the endpoints that a scan found open.
func (s *Store) Sights(ctx context.Context, i Info) (map[netip.AddrPort]report.Sight, error) {
	pack, err := newPacker()
	if err != nil {
		return nil, err
	}
	defer pack.close()
	rows, err := s.db.QueryContext(ctx, sightQuery+"WHERE s.scan = $1 AND s.state = 'open'", i.id)
	if err != nil {
		return nil, s.explain(err)
	}
	defer rows.Close()
	out := make(map[netip.AddrPort]report.Sight)
	for rows.Next() {
		r, err := pack.sight(rows)
		if err != nil {
			return nil, s.explain(err)
		}
		out[r.Addr] = r.Sight
	}
	return out, s.explain(rows.Err())
}
