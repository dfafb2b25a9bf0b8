package inventory

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"relaysweep/probe"
	"relaysweep/report"
)

// begin begins a scan that is closed when the test ends.
func begin(t testing.TB, ctx context.Context, s *Store, id string) *Scan {
	t.Helper()
	w, err := s.Begin(ctx, report.Scan{ID: id, Vantage: "internet", Started: at(1)}, "", KindScan)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// addAll adds findings at the first n endpoints by eight goroutines. after is called with the number of those that are
// stored.
func addAll(w *Scan, n int, after func(int)) (stored []string, errs []error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range 8 {
		wg.Go(func() {
			for k := i; k < n; k += 8 {
				a := endpointAt(k).String()
				err := w.Add(found(a, false, at(1)))
				mu.Lock()
				if err != nil {
					errs = append(errs, err)
				} else {
					stored = append(stored, a)
					after(len(stored))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return stored, errs
}

func TestPostgreSQLIsRestartedWhileFindingsAreStored(t *testing.T) {
	for _, mode := range []string{"fast", "immediate"} {
		t.Run(mode, func(t *testing.T) {
			p := server(t)
			s := open(t, p.fresh(t))
			w := begin(t, t.Context(), s, "restarted")
			const n = 200
			late := make(chan error, 2)
			added, errs := addAll(w, n, func(k int) {
				if k != 20 && k != 120 {
					return
				}
				err := p.stop(mode)
				go func() { late <- w.Add(found(endpointAt(n+k).String(), false, at(1))) }()
				if err := errors.Join(err, p.asked(), p.start()); err != nil { // whoever asks while it is away stores something
					t.Error(err)
				}
			})
			if err := errors.Join(<-late, <-late); err != nil {
				t.Errorf("what was begun while it was away: %v", err)
			}
			added = append(added, endpointAt(n+20).String(), endpointAt(n+120).String())
			if len(added) != n+2 || len(errs) > 0 {
				t.Fatalf("%d of %d were stored: %v", len(added), n, errors.Join(errs...))
			}
			if err := w.End(t.Context(), End{About: report.Scan{ID: "restarted", Vantage: "internet", Ended: at(2)}}); err != nil {
				t.Error(err)
			}
			there := stored(t, s, "restarted")
			for _, a := range added {
				if there[a] != 1 {
					t.Errorf("%s is there %d times", a, there[a])
				}
			}
		})
	}
}

// asked waits until somebody asks the server, which is stopped, and hangs up.
func (p *postgres) asked() error {
	l, err := net.Listen("unix", filepath.Join(p.dir, ".s.PGSQL.5432"))
	if err != nil {
		return err
	}
	defer l.Close()
	l.(*net.UnixListener).SetDeadline(time.Now().Add(time.Minute)) // for a store that never asks
	c, err := l.Accept()
	if err != nil {
		return err
	}
	return c.Close()
}

func TestPostgreSQLIsAwayForLongerThanTheStoreWaits(t *testing.T) {
	p := server(t)
	s := open(t, p.fresh(t))
	s.patience = 100 * time.Millisecond
	w := begin(t, t.Context(), s, "away")
	gone := make(chan error, 1)
	added, errs := addAll(w, 100, func(k int) {
		if k == 20 {
			gone <- p.stop("immediate") // while no answer is read
		}
	})
	if err := <-gone; err != nil {
		t.Fatal(err)
	}
	if len(errs) == 0 || len(added)+len(errs) != 100 {
		t.Errorf("%d were stored, %d were not", len(added), len(errs))
	}
	for _, err := range errs {
		if !errors.Is(err, errAway) || strings.Contains(err.Error(), "\n") {
			t.Fatalf("got %v", err)
		}
	}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	// The same scan goes on where it was.
	if err := w.Add(found("10.9.9.9:25", false, at(1))); err != nil {
		t.Errorf("after it came back: %v", err)
	}
	there := stored(t, s, "away")
	for _, a := range append(added, "10.9.9.9:25") {
		if there[a] != 1 {
			t.Errorf("%s was stored, and is there %d times", a, there[a])
		}
	}
}

func TestWhoIsWrittenToTwiceWaits(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s, other := open(t, name), open(t, name)
		w := begin(t, t.Context(), s, "waits")
		tx := hold(t, other)
		const theirs = "theirs"
		if _, err := tx.Exec("INSERT INTO vantage (site, name) VALUES ('', $1)", theirs); err != nil {
			t.Fatal(err)
		}
		added, n := make(chan error, 1), 0
		go func() {
			added <- w.do(func(tx *writing) error {
				return tx.row("SELECT count(*) FROM vantage WHERE name = $1", theirs).Scan(&n)
			})
		}()
		if s.postgres {
			until(t, "it waits", func() bool { return len(waiting(t, s)) > 0 })
		} else {
			until(t, "it is at it", func() bool { return s.writes.Stats().InUse == 1 })
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := <-added; err != nil || n != 1 {
			t.Errorf("it sees %d rows of who wrote first, %v: it did not wait", n, err)
		}
	})
}

// hold keeps others from writing, until the transaction or the test ends.
func hold(t *testing.T, s *Store) *sql.Tx {
	t.Helper()
	tx, err := s.writes.Begin() // of SQLite this is the lock
	if err == nil && s.postgres {
		_, err = tx.Exec(s.oneWriter())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.Rollback() })
	return tx
}

// waiting are the transactions that wait to be the one that writes to PostgreSQL.
func waiting(t *testing.T, s *Store) (out []string) {
	t.Helper()
	rows, err := s.db.Query("SELECT virtualtransaction FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var x string
		if err := rows.Scan(&x); err != nil {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	return out
}

// until asks again and again, and gives up after a minute.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for begun := time.Now(); !so(); runtime.Gosched() {
		if time.Since(begun) > time.Minute {
			t.Fatal("never: " + what)
		}
	}
}

func TestAnotherWriterToPostgreSQLIsWaitedForAgain(t *testing.T) {
	name := server(t).fresh(t)
	s, other := open(t, name), open(t, name)
	s.lockWait = 100 * time.Millisecond
	w := begin(t, t.Context(), s, "waits")
	tx := hold(t, other)
	added := make(chan error, 1)
	go func() { added <- w.Add(found("10.0.0.1:25", false, at(1))) }()
	tries := make(map[string]bool)
	until(t, "a second try", func() bool {
		for _, x := range waiting(t, other) {
			tries[x] = true
		}
		return len(tries) > 1
	})
	tx.Rollback()
	if err := <-added; err != nil {
		t.Error(err)
	}
}

func TestWhatTimeHealsInPostgreSQL(t *testing.T) {
	s := &Store{postgres: true, name: "x"}
	for _, tt := range []struct {
		code, name string
		heals      bool
		says       string
	}{
		{"55P03", "another process writes", true, "another process has been writing for too long"},
		{"40001", "a serialization failure", true, ""},
		{"57P03", "it starts", true, ""},
		{"53300", "too many connections", true, ""},
		{"53100", "its disk is full", false, "the disk is full: make room"},
		{"23505", "two of one key", false, ""},
	} {
		err := &pgconn.PgError{Code: tt.code, Message: tt.name}
		if got := passing(err); got != tt.heals {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.heals)
		}
		if got := s.explainWrite(err); !strings.Contains(got.Error(), tt.says) {
			t.Errorf("%s: got %v, want %q", tt.name, got, tt.says)
		}
	}
}

// stopped stops the processes of a database, and the server with them if whole, as a machine that hangs does.
func (p *postgres) stopped(t *testing.T, s *Store, whole bool) {
	t.Helper()
	rows, err := s.db.Query("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var pids []int
	for rows.Next() {
		var pid int
		if err := rows.Scan(&pid); err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	rows.Close()
	if whole {
		b, err := os.ReadFile(filepath.Join(p.data(), "postmaster.pid"))
		if err != nil {
			t.Fatal(err)
		}
		var pid int
		if _, err := fmt.Sscan(string(b), &pid); err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Kill(pid, syscall.SIGCONT) })
	}
}

func TestPostgreSQLHangs(t *testing.T) {
	for _, tt := range []struct {
		name               string
		silence            time.Duration
		whole, interrupted bool
		want               error
	}{
		{"its connections hang, and others do not", 100 * time.Millisecond, false, false, nil},
		{"all of it hangs", 100 * time.Millisecond, true, false, errSilent},
		{"all of it hangs, and the scan is interrupted", time.Second, true, true, errSilent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := server(t)
			s := open(t, p.fresh(t))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w := begin(t, ctx, s, "hangs")
			s.silence = tt.silence
			if tt.whole && !tt.interrupted {
				s.patience = time.Second
			}
			p.stopped(t, s, tt.whole)
			if tt.interrupted {
				cancel()
			}
			err := w.Add(found("10.0.0.1:25", false, at(1)))
			if !errors.Is(err, tt.want) || err != nil && (!errors.Is(err, errAway) || !strings.Contains(err.Error(), "hangs") || strings.Contains(err.Error(), "\n")) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestASchemaThatAnotherProcessIsAtIsNotWaitedForForEver(t *testing.T) {
	name := server(t).fresh(t)
	s, other := open(t, name), open(t, name)
	unlock, err := other.alone(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	s.patience = 50 * time.Millisecond
	if err := s.migrate(t.Context()); err == nil || !strings.Contains(err.Error(), "another process has been at the schema for 50ms") {
		t.Errorf("got %v", err)
	}
}

// What was known before is read after the wait for who writes: PostgreSQL must show what was committed meanwhile.
func TestAWriterSeesWhatWasCommittedWhileItWaited(t *testing.T) {
	p := server(t)
	name := p.fresh(t)
	s := open(t, name)
	if _, err := s.db.Exec(fmt.Sprintf("ALTER DATABASE t%d SET default_transaction_isolation = 'repeatable read'", p.n)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = open(t, name)
	w := begin(t, t.Context(), s, "isolation")
	var level, byDefault string
	if err := w.do(func(tx *writing) error {
		return tx.row("SELECT current_setting('transaction_isolation'), current_setting('default_transaction_isolation')").Scan(&level, &byDefault)
	}); err != nil || level != "read committed" || byDefault != "repeatable read" {
		t.Errorf("got %q where the default is %q, %v", level, byDefault, err)
	}
}

func TestAQueryThatCannotBePreparedSaysWhy(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		w := begin(t, t.Context(), open(t, name), "why")
		err := w.do(func(tx *writing) error {
			var n int
			return tx.row("SELECT n FROM nowhere").Scan(&n)
		})
		if err == nil || !strings.Contains(err.Error(), "nowhere") {
			t.Errorf("got %v", err)
		}
		// Some of a transaction may have been written when it is told of.
		if strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("got %v", err)
		}
	})
}

func TestASchemaThatBecomesNewerUnderAScanIsNoDamage(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s, other := open(t, name), open(t, name)
		scanned(t, s, "one", at(1), closed, found("10.0.0.1:25", false, at(1)))
		w := begin(t, t.Context(), s, "under-way")
		if err := migrateWith(t.Context(), other, later(t, other, "ALTER TABLE sighting RENAME COLUMN silent TO silences;")); err != nil {
			t.Fatal(err)
		}
		_, err := s.History(t.Context(), "", endpointAt(1))
		for _, err := range []error{w.Add(found("10.0.0.1:25", false, at(1))), err} {
			if !errors.Is(err, ErrNewer) || errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "install that version") {
				t.Errorf("got %v", err)
			}
		}
	})
}

func TestOneThatCannotBeStoredTakesNoneWithIt(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s := open(t, name)
		w := begin(t, t.Context(), s, "neighbours")
		refused := errors.New("this one cannot be stored")
		jobs := make(chan error, 1)
		busy, gate := make(chan struct{}), make(chan struct{})
		go w.do(func(*writing) error { close(busy); <-gate; return nil }) // until all are queued, to be one transaction
		<-busy
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if i == 10 {
					jobs <- w.do(func(tx *writing) error {
						tx.exec("INSERT INTO nowhere (a) VALUES ($1)", 1) // PostgreSQL takes nothing more in this transaction
						return refused
					})
					return
				}
				if err := w.Add(found(endpointAt(i).String(), false, at(1))); err != nil {
					t.Errorf("%d: %v", i, err)
				}
			})
		}
		for len(w.queue) < 20 {
			runtime.Gosched()
		}
		close(gate)
		wg.Wait()
		if err := <-jobs; !errors.Is(err, refused) {
			t.Errorf("got %v", err)
		}
		if n := len(stored(t, s, "neighbours")); n != 19 {
			t.Errorf("%d of 19 are there", n)
		}
	})
}

func TestWhatIsUnderWayIsStoredWhenAScanIsInterrupted(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s := open(t, name)
		ctx, cancel := context.WithCancel(t.Context())
		w := begin(t, ctx, s, "interrupted")
		cancel()
		if err := w.Add(found("10.0.0.1:25", false, at(1))); err != nil {
			t.Error(err)
		}
		if err := w.End(ctx, End{About: report.Scan{ID: "interrupted", Vantage: "internet", Ended: at(2), Interrupted: true}}); err != nil {
			t.Error(err)
		}
		if i, err := s.Find(t.Context(), "interrupted"); err != nil || i.Ended != at(2) || len(stored(t, s, "interrupted")) != 1 {
			t.Errorf("got %+v, %v", i, err)
		}
	})
}

func TestAnInterruptedScanDoesNotWaitForADatabaseThatIsAway(t *testing.T) {
	p := server(t)
	s := open(t, p.fresh(t))
	ctx, cancel := context.WithCancel(t.Context())
	w := begin(t, ctx, s, "interrupted")
	if err := p.stop("immediate"); err != nil {
		t.Fatal(err)
	}
	cancel()
	err := w.Add(found("10.0.0.1:25", false, at(1))) // the patience is two minutes
	if !errors.Is(err, errAway) {
		t.Errorf("got %v", err)
	}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsAddedAfterClose(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "inventory.db"))
	w := begin(t, t.Context(), s, "closed")
	var wg sync.WaitGroup
	for i := range 50 { // while it is closed
		wg.Go(func() {
			if err := w.Add(found(endpointAt(i).String(), false, at(1))); err != nil && !errors.Is(err, errClosed) {
				t.Error(err)
			}
		})
	}
	w.Close()
	w.Close()
	wg.Wait()
	if err := w.Add(found("10.0.0.1:25", false, at(1))); !errors.Is(err, errClosed) {
		t.Errorf("got %v", err)
	}
}

// made is an inventory file with two scans, closed.
func made(t *testing.T, name string) {
	t.Helper()
	s, err := Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var list []*probe.Finding
	for i := range 20 {
		list = append(list, found(endpointAt(i).String(), i%5 == 0, at(1)))
	}
	scanned(t, s, "one", at(1), closed, list...)
	scanned(t, s, "two", at(2), closed, list[:5]...)
}

// everything reads all that an inventory file has, and says what is in it.
func everything(name string) (out string, err error) {
	s, err := Open(context.Background(), name)
	if err != nil {
		return "", err
	}
	defer s.Close()
	scans, err := s.Scans(context.Background())
	if err != nil {
		return "", err
	}
	for _, i := range scans {
		out += fmt.Sprintln(i.ID, i.Started, i.Ended, i.Complete)
		findings, _, err := s.Findings(context.Background(), i)
		if err != nil {
			return "", err
		}
		r, err := s.Read(context.Background(), i)
		if err != nil {
			return "", err
		}
		for k := range findings {
			out += fmt.Sprintln(findings[k].Addr, findings[k].Verdict(), findings[k].Sessions)
		}
		for k := range r.Input.Findings {
			a := r.Input.Findings[k].Addr
			out += fmt.Sprintln(a, r.Input.Judged[k], r.Input.Past[a])
		}
		r.Close()
	}
	if len(scans) != 2 {
		return out, nil
	}
	for before, after := range s.Between(context.Background(), scans[1], scans[0], &err) {
		out += fmt.Sprintln(before == nil, after == nil)
	}
	return out, err
}

func TestADamagedFileIsToldOfAndLeftAsItIs(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.db")
	made(t, good)
	want, err := everything(good)
	if err != nil {
		t.Fatal(err)
	}
	bytesOf, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	seed, err := strconv.ParseUint(os.Getenv("RELAYSWEEP_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	random := rand.New(rand.NewPCG(seed, 0))
	type damage struct {
		name string
		do   func([]byte) []byte
		must bool // it cannot be missed
	}
	damages := []damage{
		{"the header is garbage", func(b []byte) []byte { copy(b, "garbage garbage!"); return b }, true},
		{"the page size is damaged", func(b []byte) []byte { b[16], b[17] = 0xff, 0xff; return b }, true},
		{"the first page is zeroed behind its header", func(b []byte) []byte { clear(b[100:page]); return b }, true},
		{"it is cut in half", func(b []byte) []byte { return b[:len(b)/2] }, true},
		{"it is cut within a page", func(b []byte) []byte { return b[:3*page+100] }, true},
		{"it is cut within its header", func(b []byte) []byte { return b[:50] }, true},
		{"it is all zeroes", func(b []byte) []byte { clear(b); return b }, true},
	}
	for n := 1; n < len(bytesOf)/page; n++ {
		damages = append(damages, damage{fmt.Sprintf("page %d is zeroed", n+1), func(b []byte) []byte { clear(b[n*page : (n+1)*page]); return b }, false})
	}
	for n := range 20 {
		damages = append(damages, damage{fmt.Sprintf("garbage %d of seed %d", n, seed), func(b []byte) []byte {
			for range 64 {
				b[100+random.IntN(len(b)-100)] = byte(random.Uint32())
			}
			return b
		}, false})
	}
	told, missed := 0, 0
	for n, d := range damages {
		name := filepath.Join(dir, fmt.Sprintf("%d.db", n))
		bad := d.do(bytes.Clone(bytesOf))
		copyName := name + ".schema-1-20260101T000000.000Z.bak"
		if err := errors.Join(os.WriteFile(name, bad, 0o600), os.WriteFile(copyName, bytesOf, 0o600)); err != nil {
			t.Fatal(err)
		}
		got, err := everything(name)
		switch {
		case err == nil && got != want && strings.HasPrefix(d.name, "garbage"):
			missed++
		case errors.Is(err, ErrNewer) && strings.HasPrefix(d.name, "garbage"): // the schema's version is a plain value, too
			missed++
		case err == nil && (d.must || got != want):
			t.Errorf("%s: it was not noticed", d.name)
		case err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrForeign):
			t.Errorf("%s: got %v", d.name, err)
		case err != nil && (!strings.Contains(err.Error(), filepath.Base(copyName)+": move "+name+" away, with "+name+"-wal and "+name+"-shm") || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s: it does not name the copy in one line: %v", d.name, err)
		case err != nil:
			told++
		}
		if now, err := os.ReadFile(name); err != nil || !bytes.Equal(now, bad) {
			t.Errorf("%s: the file was changed (%v)", d.name, err)
		}
	}
	t.Logf("%d of %d were told of, %d were not noticed", told, len(damages), missed)
	// SQLite has no checksums: a plain value that has become another one cannot be told.
	if missed > 5 {
		t.Errorf("seed %d: %d damaged files were read as if they were whole", seed, missed)
	}
}

func TestTheLastCopyTakesThePlaceOfADamagedFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "inventory.db")
	made(t, name)
	want, err := everything(name)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, name)
	if err := s.backup(t.Context(), name+".schema-1-now.bak"); err != nil {
		t.Fatal(err)
	}
	scanned(t, s, "one more", at(3), closed, found("10.0.0.1:25", true, at(3)))
	log, err := os.ReadFile(name + "-wal")
	if err != nil || len(log) == 0 {
		t.Fatal(len(log), err)
	}
	s.Close()
	// The machine stopped, and the file is damaged: the log is left.
	if err := errors.Join(os.WriteFile(name, bytes.Repeat([]byte("garbage "), 1<<10), 0o600), os.WriteFile(name+"-wal", log, 0o600)); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), name)
	var from, file, wal, shm string
	if err == nil {
		t.Fatal("it was opened")
	}
	_, advice, _ := strings.Cut(err.Error(), "the last copy is ")
	if _, err := fmt.Sscanf(strings.ReplaceAll(advice, ":", " :"), "%s : move %s away, with %s and %s where they are, and put the copy in its place)", &from, &file, &wal, &shm); err != nil {
		t.Fatalf("%v: %s", err, advice)
	}
	for _, f := range []string{file, wal, shm} {
		if err := os.Rename(f, f+".damaged"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := os.Rename(from, file); err != nil {
		t.Fatal(err)
	}
	if got, err := everything(name); err != nil || got != want {
		t.Errorf("got %d bytes, %v, want %d", len(got), err, len(want))
	}
}

func TestWhatIsNoInventoryIsRefusedAndLeftAsItIs(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(t *testing.T, name string)
		want error
		says string
	}{
		{"another program's SQLite file", func(t *testing.T, name string) {
			db, err := sql.Open("sqlite", name)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec("CREATE TABLE vantage (id INTEGER PRIMARY KEY); INSERT INTO vantage VALUES (1)"); err != nil {
				t.Fatal(err)
			}
		}, ErrForeign, "--inventory names another file"},
		{"a text file", func(t *testing.T, name string) { write(t, name, "organisation: Example City\n") }, ErrForeign, "--inventory names another file"},
		{"a text file shorter than SQLite's header", func(t *testing.T, name string) { write(t, name, "x") }, ErrForeign, "--inventory names another file"},
		{"a newer schema", func(t *testing.T, name string) {
			made(t, name)
			db, err := sql.Open("sqlite", name)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec("INSERT INTO " + versions + " (version_id, is_applied) VALUES (99, 1)"); err != nil {
				t.Fatal(err)
			}
		}, ErrNewer, "its schema is 99, this one knows 1 (install that version"},
		{"a directory", func(t *testing.T, name string) {
			if err := os.Mkdir(name, 0o700); err != nil {
				t.Fatal(err)
			}
		}, nil, "is a directory"},
		{"a name below a file", func(t *testing.T, name string) { write(t, filepath.Dir(name), "x") }, nil, "--inventory names another file"},
		{"a name in no directory", func(*testing.T, string) {}, fs.ErrNotExist, "--inventory names another file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "it")
			if strings.HasPrefix(tt.name, "a name") {
				name = filepath.Join(name, "below")
			}
			tt.make(t, name)
			was, _ := os.ReadFile(name)
			s, err := Open(t.Context(), name)
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			if tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %q", err, tt.says)
			}
			if now, _ := os.ReadFile(name); !bytes.Equal(now, was) {
				t.Error("it was changed")
			}
		})
	}
}

func TestANewerSchemaOfPostgreSQLIsRefused(t *testing.T) {
	name := server(t).fresh(t)
	s := open(t, name)
	if _, err := s.writes.Exec("INSERT INTO " + versions + " (version_id, is_applied) VALUES (99, true)"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), name); !errors.Is(err, ErrNewer) {
		t.Errorf("got %v", err)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// later is the schema with one more migration.
func later(t *testing.T, s *Store, migration string) fs.FS {
	t.Helper()
	files, err := s.schema()
	if err != nil {
		t.Fatal(err)
	}
	out := files.(fstest.MapFS)
	out["00002_later.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + migration)}
	return out
}

func TestAnOlderSchemaIsBroughtForward(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s := open(t, name)
		scanned(t, s, "one", at(1), closed, found("10.0.0.1:25", true, at(1)))
		if err := migrateWith(t.Context(), s, later(t, s, "ALTER TABLE vantage ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue';")); err != nil {
			t.Fatal(err)
		}
		var colour string
		if err := s.db.QueryRow("SELECT colour FROM vantage").Scan(&colour); err != nil || colour != "blue" {
			t.Errorf("got %q, %v", colour, err)
		}
		if n := len(stored(t, s, "one")); n != 1 {
			t.Errorf("%d findings are left", n)
		}
		if s.postgres {
			return
		}
		copies := s.backups()
		if len(copies) != 1 {
			t.Fatalf("got %d copies", len(copies))
		}
		if i, err := os.Stat(copies[0]); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("the copy is not for us alone: %v, %v", i.Mode(), err)
		}
		old := open(t, copies[0]) // an inventory as it was
		if n := len(stored(t, old, "one")); n != 1 {
			t.Errorf("%d findings are in the copy", n)
		}
		if err := old.db.QueryRow("SELECT colour FROM vantage").Scan(&colour); err == nil {
			t.Error("the copy has the later schema")
		}
		// The program that made it refuses it from now on.
		if _, err := Open(t.Context(), name); !errors.Is(err, ErrNewer) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAMigrationThatFailsChangesNothing(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s := open(t, name)
		scanned(t, s, "one", at(1), closed, found("10.0.0.1:25", true, at(1)))
		if err := migrateWith(t.Context(), s, later(t, s, "ALTER TABLE vantage ADD COLUMN colour TEXT;\nINSERT INTO nowhere VALUES (1);")); err == nil {
			t.Fatal("it did not fail")
		}
		if _, err := s.db.Exec("SELECT colour FROM vantage"); err == nil {
			t.Error("half of it was done")
		}
		s.Close()
		s = open(t, name)
		if n := len(stored(t, s, "one")); n != 1 {
			t.Errorf("%d findings are left", n)
		}
		if err := migrateWith(t.Context(), s, later(t, s, "ALTER TABLE vantage ADD COLUMN colour TEXT;")); err != nil {
			t.Errorf("another try: %v", err)
		}
	})
}

func TestTwoMigrateAtOnce(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		scanned(t, open(t, name), "one", at(1), closed, found("10.0.0.1:25", true, at(1)))
		var wg sync.WaitGroup
		var all []*Store
		for range 4 {
			all = append(all, open(t, name))
		}
		for _, s := range all {
			files := later(t, s, "ALTER TABLE vantage ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue';")
			wg.Go(func() {
				if err := migrateWith(context.Background(), s, files); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func TestNamesOfFiles(t *testing.T) {
	for _, name := range []string{"with a space.db", "what?.db", "a#b.db", "100%.db", "%41.db", "a&b=c;d.db", "目録.db", "[x]*.db", "file:x.db", "-x.db"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			name := filepath.Join(dir, name)
			s := open(t, name)
			scanned(t, s, "one", at(1), closed, found("10.0.0.1:25", true, at(1)))
			s.Close()
			s = open(t, name)
			if n := len(stored(t, s, "one")); n != 1 {
				t.Errorf("%d findings are there", n)
			}
			s.Close()
			list, err := os.ReadDir(dir)
			if err != nil || len(list) != 1 || list[0].Name() != filepath.Base(name) {
				t.Errorf("got %v, %v: want this file alone", list, err)
			}
			if i, err := os.Stat(name); err != nil || i.Mode().Perm() != 0o600 {
				t.Errorf("it is not for us alone: %v, %v", i.Mode(), err)
			}
			// A damaged one finds its copy by its name.
			s = open(t, name)
			if err := s.backup(t.Context(), name+".schema-1-now.bak"); err != nil || len(s.backups()) != 1 {
				t.Errorf("got %v, %v", s.backups(), err)
			}
		})
	}
}

func TestASymbolicLinkIsFollowed(t *testing.T) {
	dir := t.TempDir()
	link, file := filepath.Join(dir, "link.db"), filepath.Join(dir, "elsewhere.db")
	if err := os.Symlink(file, link); err != nil {
		t.Skip(err)
	}
	a, b := open(t, link), open(t, file) // one process by each name
	scanned(t, a, "one", at(1), closed, found("10.0.0.1:25", true, at(1)))
	scanned(t, b, "two", at(2), closed, found("10.0.0.1:25", true, at(2)))
	if n := len(stored(t, a, "two")) + len(stored(t, b, "one")); n != 2 {
		t.Errorf("%d findings are seen by the other name", n)
	}
	if i, err := os.Lstat(link); err != nil || i.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is none any more: %v", err)
	}
}

func TestAPasswordIsNeverShown(t *testing.T) {
	const secret = "hun%21ter2%2Fx"
	refusing := refusingPort(t)
	for _, tt := range []struct{ name, url, says string }{
		{"a socket that is not there", "postgres://someone:SECRET@/relaysweep?host=" + t.TempDir(), "no such file or directory (is PostgreSQL running there?)"},
		{"a port that refuses", "postgres://someone:SECRET@" + refusing + "/relaysweep", "connection refused (is PostgreSQL running there?)"},
		{"a password as a parameter", "postgres://someone@" + refusing + "/relaysweep?password=SECRET", "refused"},
		{"a URL that is none", "postgres://someone:SECRET@[::1/relaysweep", ""},
		{"a port that is none", "postgres://someone:SECRET@localhost:port/relaysweep", ""},
		{"a parameter that is none", "postgres://someone:SECRET@" + refusing + "/relaysweep?sslmode=perhaps", ""},
		{"a password and a parameter that is none", "postgres://someone@" + refusing + "/relaysweep?password=SECRET&sslmode=perhaps", "sslmode"},
		{"a percent sign that escapes nothing", "postgres://someone:%zzSECRET@" + refusing + "/relaysweep", ""},
		{"a blank", "postgres://someone:SECRET @" + refusing + "/relaysweep", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refuses(t, strings.Replace(tt.url, "SECRET", secret, 1), secret, tt.says)
		})
	}
	t.Run("PostgreSQL", func(t *testing.T) {
		p := server(t)
		refuses(t, fmt.Sprintf("postgres://%s:%s@/postgres?host=%s", guarded, secret, p.dir), secret, "~/.pgpass or PGPASSWORD")
		refuses(t, p.url("nothing")+"&password="+secret, secret, "must exist")
	})
}

func refuses(t *testing.T, name, secret, says string) {
	t.Helper()
	s, err := Open(t.Context(), name)
	if err == nil {
		s.Close()
		t.Fatalf("%s was opened", name)
	}
	plain, _ := url.QueryUnescape(secret)
	for e := err; e != nil; e = errors.Unwrap(e) {
		if strings.Contains(e.Error(), secret) || strings.Contains(e.Error(), plain) || strings.Contains(e.Error(), "ter2") {
			t.Errorf("the password is in it: %v", e)
		}
	}
	if !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want %q in one line", err, says)
	}
}

// refusingPort is the near end of a connection, until the test ends: nobody listens there, and nobody else gets it.
func refusingPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().String()
}
