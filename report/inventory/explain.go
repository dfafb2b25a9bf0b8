package inventory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
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

// Error codes of PostgreSQL (Appendix A of its manual).
const (
	diskFull         = "53100"
	lockNotAvailable = "55P03"
)

// errMeanwhile is of what another process pruned while we read it.
var errMeanwhile = errors.New("some of it was pruned meanwhile: run it again")

// explain makes one line of an error of reading, which says what to do.
func (s *Store) explain(err error) error { return s.inLine(err, "nothing was changed; ") }

// explainWrite makes one line of an error of writing.
func (s *Store) explainWrite(err error) error { return s.inLine(err, "") }

func (s *Store) inLine(err error, unchanged string) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if odd(err) && !errors.Is(err, ErrNewer) && s.newer() {
		err = fmt.Errorf("%w: %w", ErrNewer, err)
	}
	next := ""
	var lite *sqlite.Error
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, ErrNewer):
		next = "install that version, or name another inventory with --inventory"
	case errors.Is(err, ErrForeign):
		next = "--inventory names another file"
		if to := s.restore(); to != "" {
			next += "; if it was one, " + to
		}
	case !s.postgres && damaged(err):
		if !errors.Is(err, ErrCorrupt) {
			err = fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		next = unchanged + cmp.Or(s.restore(), "sqlite3 "+s.file+" .recover saves what can be read")
	case errors.As(err, &lite) && lite.Code()&0xff == sqliteFull, errors.Is(err, syscall.ENOSPC), errors.As(err, &pg) && pg.Code == diskFull:
		next = "the disk is full: make room; what was stored stays"
	case errors.As(err, &lite) && lite.Code()&0xff == sqliteBusy, errors.As(err, &pg) && pg.Code == lockNotAvailable:
		next = "another process has been writing for too long"
	case errors.As(err, &pg) && strings.HasPrefix(pg.Code, "28"), errors.As(err, &pg) && pg.Code == "3D000":
		next = "the database must exist; ~/.pgpass or PGPASSWORD has the password"
	case errors.Is(err, errSilent):
		next = "it, or the way to it, hangs"
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
func damaged(err error) bool {
	var lite *sqlite.Error
	return errors.Is(err, ErrCorrupt) || odd(err) || errors.As(err, &lite) && slices.Contains([]int{sqliteCorrupt, sqliteNotADB}, lite.Code()&0xff)
}

// odd reports whether an error says that a statement or a value is not understood.
func odd(err error) bool {
	var lite *sqlite.Error
	var pg *pgconn.PgError
	return errors.Is(err, errPacked) || strings.Contains(err.Error(), "sql: Scan error on column") || // which has no type
		errors.As(err, &lite) && lite.Code()&0xff == sqliteError || errors.As(err, &pg) && strings.HasPrefix(pg.Code, "42")
}

// newer reports whether a later relaysweep changed the schema while we were at it: what we do not understand is no
// damage then.
func (s *Store) newer() bool {
	if s.db == nil {
		return false
	}
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return false
	}
	newest, err := goose.NumericComponent(names[len(names)-1])
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // it is but a question beside the error
	defer cancel()
	var there int64
	err = s.db.QueryRowContext(ctx, "SELECT max(version_id) FROM "+versions).Scan(&there)
	return err == nil && there > newest
}

// restore says how the last copy takes the place of the file; "": there is none. SQLite would write a log that is left
// over into the copy.
func (s *Store) restore() string {
	list := s.backups()
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf("the last copy is %s: move %s away, with %[2]s-wal and %[2]s-shm where they are, and put the copy in its place", list[0], s.file)
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
	case errors.Is(err, errSilent):
		return true
	case err == nil, errors.Is(err, context.Canceled):
		return false
	case errors.As(err, &lite):
		return lite.Code()&0xff == sqliteBusy || lite.Code()&0xff == sqliteLocked
	case errors.As(err, &pg):
		// Connection trouble, a shutdown or a start under way, a serialization failure or deadlock, too little of what
		// others give back, another that writes.
		return pg.Code == lockNotAvailable || strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "57P") || strings.HasPrefix(pg.Code, "40") || pg.Code != diskFull && strings.HasPrefix(pg.Code, "53")
	}
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) || errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), "unexpected EOF") || strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "driver: bad connection")
}
