package inventory

import (
	"context"
	"encoding/json"

	"relaysweep/probe"
)

// Delivered are the deliveries of a canary that are stored, whoever sent it.
func (s *Store) Delivered(ctx context.Context, token string) ([]probe.Delivery, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT body FROM delivery WHERE token = $1 ORDER BY at, id", token)
	if err != nil {
		return nil, s.explain(err)
	}
	defer rows.Close()
	var out []probe.Delivery
	for rows.Next() {
		var body string
		if err := rows.Scan(&body); err != nil {
			return nil, s.explain(err)
		}
		var d probe.Delivery
		if err := json.Unmarshal([]byte(body), &d); err != nil {
			return nil, s.explain(err)
		}
		out = append(out, d)
	}
	return out, s.explain(rows.Err())
}
