package inventory

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// postgres is a PostgreSQL server of our own on a Unix socket.
type postgres struct {
	once     sync.Once
	err      error
	bin, dir string
	uid, gid int
	n        int // databases made
}

// running is the server of all tests: to make one takes seconds. It is made by the first test that wants it.
var running = new(postgres)

// server returns the server, or skips the test where there is no PostgreSQL.
func server(tb testing.TB) *postgres {
	tb.Helper()
	list, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(list) == 0 {
		tb.Skip("needs PostgreSQL: apt-get install postgresql")
	}
	running.once.Do(func() { running.err = running.make(filepath.Dir(list[len(list)-1])) })
	if running.err != nil {
		tb.Fatal(running.err)
	}
	return running
}

func (p *postgres) make(bin string) (err error) {
	p.bin, p.uid, p.gid = bin, os.Getuid(), os.Getgid()
	if p.uid == 0 { // it refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			return err
		}
		p.uid, _ = strconv.Atoi(u.Uid)
		p.gid, _ = strconv.Atoi(u.Gid)
	}
	if p.dir, err = os.MkdirTemp("", "relaysweep-pg-"); err != nil { // t.TempDir is too long for a socket
		return err
	}
	if err := os.Chown(p.dir, p.uid, p.gid); err != nil {
		return err
	}
	if err := p.run("initdb", "-D", p.data(), "-A", "trust", "-U", "relaysweep", "--no-sync"); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.data(), "pg_hba.conf"), []byte("local all "+guarded+" scram-sha-256\nlocal all all trust\n"), 0o600); err != nil {
		return err
	}
	return p.start()
}

// guarded is the user that must bring a password.
const guarded = "guarded"

func (p *postgres) data() string { return filepath.Join(p.dir, "data") }

func (p *postgres) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir = p.dir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "HOME=" + p.dir}
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(p.uid), Gid: uint32(p.gid)}}
	}
	return cmd
}

func (p *postgres) run(name string, args ...string) error {
	out, err := os.Create(filepath.Join(p.dir, name+".out"))
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := p.command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out // a pipe would stay open in the server
	if err := cmd.Run(); err != nil {
		b, _ := os.ReadFile(out.Name())
		log, _ := os.ReadFile(filepath.Join(p.dir, "log"))
		return fmt.Errorf("%s %v: %w\n%s%s", name, args, err, b, log)
	}
	return nil
}

func (p *postgres) start(options ...string) error {
	return p.run("pg_ctl", "-D", p.data(), "-l", filepath.Join(p.dir, "log"), "-w", "-o", "-k "+p.dir+" -h '' -c fsync=off -c max_connections=60 "+strings.Join(options, " "), "start")
}

// stop stops it as pg_ctl(1) has it: fast, or immediate, which is a crash.
func (p *postgres) stop(mode string) error {
	if p.dir == "" {
		return nil
	}
	return p.run("pg_ctl", "-D", p.data(), "-m", mode, "-w", "stop")
}

func (p *postgres) remove() {
	if p.dir != "" {
		os.RemoveAll(p.dir)
	}
}

func (p *postgres) url(database string) string {
	return "postgres:///" + database + "?user=relaysweep&host=" + p.dir
}

// fresh is the name of an inventory that is empty.
func (p *postgres) fresh(tb testing.TB) string {
	tb.Helper()
	p.n++
	name := fmt.Sprintf("t%d", p.n)
	if err := p.run("createdb", "-h", p.dir, "-U", "relaysweep", name); err != nil {
		tb.Fatal(err)
	}
	return p.url(name)
}
