package inventory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
)

// Result codes of SQLite (sqlite3.h); the low byte is the primary one.
const (
	sqliteError   = 1
	sqliteBusy    = 5
	sqliteLocked  = 6
	sqliteCorrupt = 11
	sqliteFull    = 13
	sqliteNotADB  = 26
)

// explain makes one line of an error, which says what to do.
func (s *Store) explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	next := ""
	var lite *sqlite.Error
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, ErrNewer):
		next = "install that version, or name another inventory with --inventory"
	case errors.Is(err, ErrForeign):
		next = "--inventory names another file"
		if list := s.backups(); len(list) > 0 {
			next += "; if it was one, the last copy is " + list[0]
		}
	case !s.postgres && s.damaged(err):
		if !errors.Is(err, ErrCorrupt) {
			err = fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		next = "nothing was changed; sqlite3 " + s.file + " .recover saves what can be read"
		if list := s.backups(); len(list) > 0 {
			next = "nothing was changed; the last copy is " + list[0] + ": move the damaged file away and put the copy in its place"
		}
	case errors.As(err, &lite) && lite.Code()&0xff == sqliteFull, errors.Is(err, syscall.ENOSPC):
		next = "the disk is full: make room; what was stored stays"
	case errors.As(err, &lite) && lite.Code()&0xff == sqliteBusy:
		next = "another process has been writing for too long"
	case errors.As(err, &pg) && strings.HasPrefix(pg.Code, "28"), errors.As(err, &pg) && pg.Code == "3D000":
		next = "the database must exist; ~/.pgpass or PGPASSWORD has the password"
	case s.postgres && errors.As(err, new(*pgconn.ConnectError)):
		next = "is PostgreSQL running there?"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR):
		next = "--inventory names another file"
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	if next != "" {
		return &explained{fmt.Sprintf("inventory %s: %s (%s)", s.name, text, next), err}
	}
	return &explained{fmt.Sprintf("inventory %s: %s", s.name, text), err}
}

// damaged reports whether an error of SQLite comes of a file that is not as it was written. A statement that it does not
// understand is one, and a value of another type: what we ask and write is always the same, so it is the file that changed.
func (s *Store) damaged(err error) bool {
	if errors.Is(err, ErrCorrupt) || errors.Is(err, errPacked) || strings.Contains(err.Error(), "sql: Scan error on column") { // which has no type
		return true
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) && slices.Contains([]int{sqliteError, sqliteCorrupt, sqliteNotADB}, lite.Code()&0xff)
}

// explained is an error in a line.
type explained struct {
	text string
	err  error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.err }

// passing reports whether an error is one that time heals: the database is away or another process is at it.
func passing(err error) bool {
	var lite *sqlite.Error
	var pg *pgconn.PgError
	var network net.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return false
	case errors.As(err, &lite):
		return lite.Code()&0xff == sqliteBusy || lite.Code()&0xff == sqliteLocked
	case errors.As(err, &pg):
		// Connection trouble, a shutdown or a start under way, a serialization failure or deadlock.
		return strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "57P") || strings.HasPrefix(pg.Code, "40") || strings.HasPrefix(pg.Code, "53")
	}
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) || errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), "unexpected EOF") || strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "driver: bad connection")
}
