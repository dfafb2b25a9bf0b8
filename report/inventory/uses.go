package inventory

// Hold stores the approvals that the endpoints of a scan were held against.
func (w *Scan) Hold(uses []Use) error {
	if len(uses) == 0 {
		return nil
	}
	return w.do(func(tx *writing) error {
		for _, u := range uses {
			id, err := tx.endpoint(w.site, u.Addr)
			if err != nil {
				return err
			}
			expires := int64(0)
			if !u.Expires.IsZero() {
				expires = u.Expires.UnixMilli()
			}
			if err := tx.exec("INSERT INTO approval_use (scan, endpoint, approval, state, expires) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (scan, endpoint, approval) DO UPDATE SET state = excluded.state, expires = excluded.expires", w.id, id, key(u.Approval), u.State, expires); err != nil {
				return err
			}
		}
		return nil
	})
}
