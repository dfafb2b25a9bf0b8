// Package inventory keeps what scans found, for good: history, change, and what was last known of each endpoint.
//
//	Open ─► Store ─► Begin ─► Scan ─► Add, Deliver … End
//	          └────► Scans · Find · Read · Changes · History · Prune
//
// It is a SQLite file, or a PostgreSQL database where its name is a URL. What a scan saw stays what it saw, until it is
// pruned: another scan adds to it, and only the same one that is resumed puts a later look in the place of an earlier one.
// An endpoint is known by (site, address, port); what a vantage saw of it is kept apart from what the others saw.
package inventory

import (
	"bytes"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver sqlite
)

// Store is an inventory. Several processes may work with one at a time.
type Store struct {
	db       *sql.DB // of SQLite: for reading
	writes   *sql.DB // of SQLite: one connection, as there is one writer at a time; of PostgreSQL: db
	postgres bool
	name     string        // for messages: without a password
	file     string        // of SQLite
	patience time.Duration // see the constants of these names
	lockWait time.Duration
	silence  time.Duration
}

// Errors that a caller may want to tell apart.
var (
	ErrNewer   = errors.New("it was written by a newer relaysweep")
	ErrForeign = errors.New("it is no inventory of relaysweep")
	ErrCorrupt = errors.New("the file is damaged")
	ErrNoScan  = errors.New("no such scan is in the inventory")
)

// versions is the table that holds the schema's version.
const versions = "relaysweep_schema"

// patience is how long a writer waits for a database that is away: PostgreSQL that is restarted, another process that
// migrates.
const patience = 2 * time.Minute

// lockWait is how long one try of PostgreSQL waits for another process that writes, and silence how long it may take to
// answer one statement: a machine that hangs refuses nothing. After an interrupt it has a tenth of that.
const (
	lockWait = 30 * time.Second
	silence  = 2 * time.Minute
)

//go:embed migrations/*.sql
var migrations embed.FS

// IsURL reports whether a name is that of a PostgreSQL database.
func IsURL(name string) bool {
	return strings.HasPrefix(name, "postgres://") || strings.HasPrefix(name, "postgresql://")
}

// Redacted is a name without its password.
func Redacted(name string) string {
	if !IsURL(name) {
		return name
	}
	u, err := url.Parse(name)
	if err != nil {
		return "postgres://…"
	}
	if q := u.Query(); q.Has("password") {
		q.Set("password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	return u.Redacted()
}

// Open opens an inventory and brings its schema up to date; a file that is not there is made. Before a schema is changed
// a copy of the file is made beside it. What is newer, foreign or damaged is refused and left as it is.
func Open(ctx context.Context, name string) (*Store, error) {
	s := &Store{name: Redacted(name), postgres: IsURL(name), patience: patience, lockWait: lockWait, silence: silence}
	var err error
	if s.postgres {
		err = s.openPostgres(name)
	} else {
		err = s.openSQLite(ctx, name)
	}
	if err == nil {
		err = s.migrate(ctx)
	}
	if err != nil {
		s.Close()
		return nil, s.explain(err)
	}
	return s, nil
}

// Close closes the inventory.
func (s *Store) Close() error {
	var errs []error
	if s.writes != nil && s.writes != s.db {
		errs = append(errs, s.writes.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(errs...)
}

// Name is where the inventory is, without a password.
func (s *Store) Name() string { return s.name }

func (s *Store) openPostgres(name string) error {
	if _, err := url.Parse(name); err != nil { // which tells what it stumbled over: that may be the password
		return errors.New("it is no URL: postgres://user@host:port/database, where what is not a letter or digit is written %XX")
	}
	config, err := pgx.ParseConfig(name)
	if err != nil {
		return err
	}
	if config.ConnectTimeout == 0 || config.ConnectTimeout > time.Minute {
		config.ConnectTimeout = 15 * time.Second
	}
	s.db = stdlib.OpenDB(*config)
	s.db.SetMaxOpenConns(8)
	s.writes = s.db
	return nil
}

// applicationID marks our files (SQLite's PRAGMA application_id): "rlsw".
const applicationID = 0x726c7377

func (s *Store) openSQLite(ctx context.Context, name string) error {
	s.file = name
	fresh, err := touch(name)
	if err != nil {
		return err
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return err
	}
	// A commit is on disk when it returns (synchronous=full).
	dsn := (&url.URL{Scheme: "file", OmitHost: true, Path: path}).String() + "?_pragma=busy_timeout(60000)&_pragma=synchronous(full)&_pragma=foreign_keys(1)&_txlock=immediate"
	if s.writes, err = sql.Open("sqlite", dsn); err != nil {
		return err
	}
	s.writes.SetMaxOpenConns(1)
	if s.db, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)"); err != nil {
		return err
	}
	s.db.SetMaxOpenConns(4)
	if !fresh {
		if fresh, err = s.unfinished(ctx); err != nil || !fresh {
			return err
		}
	}
	return s.settle(ctx, func() error {
		for _, pragma := range []string{"journal_mode = wal", fmt.Sprintf("application_id = %d", applicationID)} {
			if _, err := s.writes.ExecContext(ctx, "PRAGMA "+pragma); err != nil {
				return err
			}
		}
		return nil
	})
}

// settle tries something again while another process that opens the same file is in the way: the change to a
// write-ahead log and that of a schema are not waited for by SQLite.
func (s *Store) settle(ctx context.Context, do func() error) error {
	for begun, wait := time.Now(), 5*time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		err := do()
		if err == nil || s.postgres || !passing(err) || time.Since(begun) > s.patience {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		}
	}
}

// touch makes the file, for us alone, if there is none. fresh: it is empty, so nothing is in it that could be foreign.
func touch(name string) (fresh bool, err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, 16)
	switch n, err := io.ReadFull(f, head); {
	case n == 0 && err == io.EOF:
		return true, nil
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return false, err
	case !bytes.Equal(head, []byte("SQLite format 3\x00")):
		return false, ErrForeign
	}
	return false, nil
}

// unfinished reports whether nothing is in a database yet: who made it was killed. It refuses what another program made.
func (s *Store) unfinished(ctx context.Context) (bool, error) {
	var id int64
	if err := s.db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return false, err
	}
	var tables, version int
	if err := s.db.QueryRowContext(ctx, "SELECT count(*), count(*) FILTER (WHERE name = $1) FROM sqlite_master", versions).Scan(&tables, &version); err != nil {
		return false, err
	}
	switch {
	case tables == 0:
		return true, nil
	case id != applicationID:
		return false, ErrForeign
	case version == 0:
		return false, fmt.Errorf("%w: it has no schema version", ErrCorrupt)
	}
	return false, s.sound(ctx, versions)
}

// sound looks whether a table is whole.
func (s *Store) sound(ctx context.Context, table string) error {
	var said string
	if err := s.db.QueryRowContext(ctx, "PRAGMA integrity_check("+table+")").Scan(&said); err != nil {
		return err
	}
	if said != "ok" {
		return fmt.Errorf("%w: %s", ErrCorrupt, said)
	}
	return nil
}

// schema is the migrations in the words of one of the two databases.
func (s *Store) schema() (fs.FS, error) {
	words := strings.NewReplacer("{{id}}", "INTEGER PRIMARY KEY", "{{blob}}", "BLOB")
	if s.postgres {
		words = strings.NewReplacer("{{id}}", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "{{blob}}", "BYTEA")
	}
	out := make(fstest.MapFS)
	err := fs.WalkDir(migrations, "migrations", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := migrations.ReadFile(name)
		out[filepath.Base(name)] = &fstest.MapFile{Data: []byte(words.Replace(string(b)))}
		return err
	})
	return out, err
}

func (s *Store) migrate(ctx context.Context) error {
	files, err := s.schema()
	if err != nil {
		return err
	}
	return migrateWith(ctx, s, files)
}

// migrateWith brings the schema to that of the files.
func migrateWith(ctx context.Context, s *Store, files fs.FS) error {
	dialect, options := goose.DialectSQLite3, []goose.ProviderOption{goose.WithTableName(versions), goose.WithDisableGlobalRegistry(true)}
	if s.postgres {
		dialect = goose.DialectPostgres
		unlock, err := s.alone(ctx)
		if err != nil {
			return err
		}
		defer unlock()
	}
	p, err := goose.NewProvider(dialect, s.writes, files, options...)
	if err != nil {
		return err
	}
	return s.settle(ctx, func() error { return s.up(ctx, p) })
}

// alone waits until no other process is at the schema of a PostgreSQL database, until the patience ends.
func (s *Store) alone(ctx context.Context) (unlock func(), err error) {
	const key = "7813598131"
	c, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	if _, err := c.ExecContext(wait, "SELECT pg_advisory_lock("+key+")"); err != nil {
		c.Close()
		if wait.Err() != nil && ctx.Err() == nil {
			return nil, fmt.Errorf("another process has been at the schema for %s", s.patience)
		}
		return nil, err
	}
	return func() {
		// Where this fails the connection is lost, and the lock with it.
		c.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock("+key+")")
		c.Close()
	}, nil
}

func (s *Store) up(ctx context.Context, p *goose.Provider) error {
	now, newest, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	switch {
	case now > newest:
		return fmt.Errorf("%w: its schema is %d, this one knows %d", ErrNewer, now, newest)
	case now == newest:
		return nil
	case now > 0 && !s.postgres:
		if err := s.backup(ctx, fmt.Sprintf("%s.schema-%d-%s.bak", s.file, now, time.Now().UTC().Format("20060102T150405.000Z"))); err != nil {
			return fmt.Errorf("no copy could be made before the schema is changed: %w", err)
		}
	}
	if _, err = p.Up(ctx); err != nil {
		// Another process may have been quicker.
		if now, newest, again := p.GetVersions(ctx); again == nil && now == newest {
			return nil
		}
	}
	return err
}

// backup writes a copy of the database, for us alone. It has its name only when it is whole.
func (s *Store) backup(ctx context.Context, to string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+".part-") // that VACUUM may write to, as it is empty
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if _, err := s.writes.ExecContext(ctx, "VACUUM INTO $1", f.Name()); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(f.Name(), to)
}

// backups lists the copies beside the file, the newest first.
func (s *Store) backups() []string {
	list, _ := filepath.Glob(strings.NewReplacer("*", "\\*", "?", "\\?", "[", "\\[").Replace(s.file) + ".*.bak")
	slices.SortFunc(list, func(a, b string) int {
		x, errX := os.Stat(a)
		y, errY := os.Stat(b)
		if errX != nil || errY != nil {
			return strings.Compare(b, a)
		}
		return y.ModTime().Compare(x.ModTime())
	})
	return list
}
