package inventory

import (
	"context"
	"encoding/json"
	"net/netip"
	"time"

	"relaysweep/report"
)

// Fresh is what a vantage looked at since a time.
type Fresh struct {
	blocks map[uint16][]netip.Prefix // of which every target was looked at, by port
	known  map[netip.AddrPort]bool   // single endpoints
}

// Holds reports whether an endpoint was looked at. Nothing was where f is nil.
func (f *Fresh) Holds(a netip.AddrPort) bool {
	if f == nil {
		return false
	}
	if f.known[a] {
		return true
	}
	for _, p := range f.blocks[a.Port()] {
		if p.Contains(a.Addr()) {
			return true
		}
	}
	return false
}

// Fresh tells what a vantage looked at since a time, in other scans than one: the prefixes and ports of whose targets all
// were looked at, and the single endpoints whose look was a sure one.
func (s *Store) Fresh(ctx context.Context, site, vantage string, since time.Time, but string) (*Fresh, error) {
	f := &Fresh{blocks: make(map[uint16][]netip.Prefix), known: make(map[netip.AddrPort]bool)}
	// Scans that listed openings alone looked at no service.
	rows, err := s.db.QueryContext(ctx, `SELECT c.prefix, c.port, c.not_attempted, c.reasons FROM coverage c JOIN scan s ON s.id = c.scan JOIN vantage v ON v.id = s.vantage
		WHERE v.site = $1 AND v.name = $2 AND s.started >= $3 AND s.name <> $4 AND s.kind = $5 AND c.failed = 0`, site, vantage, since.UnixMilli(), but, KindScan)
	if err != nil {
		return nil, s.explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		var prefix, text string
		var port, not int64
		if err := rows.Scan(&prefix, &port, &not, &text); err != nil {
			return nil, s.explain(err)
		}
		var reasons map[string]int64
		if err := json.Unmarshal([]byte(text), &reasons); err != nil {
			return nil, s.explain(err)
		}
		if not > reasons["excluded"] { // what is excluded is no target
			continue
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
	single, err := s.db.QueryContext(ctx, `SELECT DISTINCT e.address, e.port FROM sighting g JOIN scan s ON s.id = g.scan JOIN vantage v ON v.id = g.vantage JOIN endpoint e ON e.id = g.endpoint
		WHERE v.site = $1 AND v.name = $2 AND g.checked >= $3 AND g.sure = 1 AND s.name <> $4 AND s.kind <> $5`, site, vantage, since.UnixMilli(), but, KindDiscover)
	if err != nil {
		return nil, s.explain(err)
	}
	defer single.Close()
	for single.Next() {
		var address string
		var port int64
		if err := single.Scan(&address, &port); err != nil {
			return nil, s.explain(err)
		}
		a, err := endpointOf(address, port)
		if err != nil {
			return nil, s.explain(err)
		}
		f.known[a] = true
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
