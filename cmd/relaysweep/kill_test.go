package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"relaysweep/discover"
	"relaysweep/probe/smtp/smtptest"
	"relaysweep/report/inventory"
)

// Law 8: nothing found is lost. The program is killed with SIGKILL again and again, and resumed, until it is done.

// victim is a program that is killed, with the world that it scans.
type victim struct {
	t       *testing.T
	dir     string
	servers map[string]*server
	scope   string
	seen    map[string]int // connections of each server before the scan began
	db      *sql.DB        // the inventory, for counting
}

func (v *victim) command(args ...string) *exec.Cmd {
	cmd := exec.Command("relaysweep", args...)
	cmd.Dir = v.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + v.dir, "XDG_STATE_HOME=" + v.dir, "GORACE=" + gorace}
	return cmd
}

// probers is how many services are tested at once.
const probers = 3

// checkStored holds that a finding is stored before the next service is begun: of those that were begun since an audit
// log was read, no more are without one than can be under way.
func (v *victim) checkStored(since map[string]map[string]int) {
	v.t.Helper()
	stored := v.findings()
	var without []string
	for a, lines := range v.audit() {
		if lines["identify"] > since[a]["identify"] && !stored[a] {
			without = append(without, a)
		}
	}
	if len(without) > probers {
		v.t.Errorf("%d services were begun and have no finding, and only %d are tested at once: %v", len(without), probers, without)
	}
}

func (v *victim) scan() []string {
	return []string{
		"scan", "--json", "--seed", "3", "--vantage", "internet", "-p", "2525", "--probes", fmt.Sprint(probers), "--local-domain", "org.example", "--local-sender", "alice@org.example",
		"--rate", "400", "--rate-per-net", "0", "--rate-per-host", "0", v.scope,
	}
}

// journal returns the complete lines of the journal, and how many bytes it has.
func (v *victim) journal() (entries []entry, lines int) {
	files, _ := filepath.Glob(filepath.Join(v.dir, "relaysweep", "*", "journal.jsonl"))
	if len(files) > 1 {
		v.t.Fatalf("journals of several scans: %v", files)
	}
	if len(files) == 0 {
		return nil, 0
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		v.t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			v.t.Fatalf("journal line %d: %v", len(entries)+1, err)
		}
		entries = append(entries, e)
	}
	return entries, len(entries)
}

// forget takes away what is stored.
func (v *victim) forget() {
	v.t.Helper()
	if v.db != nil {
		v.db.Close()
		v.db = nil
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(v.dir, "relaysweep")), os.RemoveAll(filepath.Join(v.dir, ".local"))); err != nil {
		v.t.Fatal(err)
	}
}

// inventory is the file that holds what was found.
func (v *victim) inventory() string {
	return filepath.Join(v.dir, ".local", "share", "relaysweep", "inventory.db")
}

// findings are the endpoints whose findings are stored.
func (v *victim) findings() map[string]bool {
	v.t.Helper()
	out := make(map[string]bool)
	if _, err := os.Stat(v.inventory()); err != nil {
		return out
	}
	store, err := inventory.Open(v.t.Context(), v.inventory())
	if err != nil {
		v.t.Fatal(err)
	}
	defer store.Close()
	scans, err := store.Scans(v.t.Context())
	if err != nil || len(scans) > 1 {
		v.t.Fatalf("%d scans are stored: %v", len(scans), err)
	}
	for _, s := range scans {
		list, _, err := store.Findings(v.t.Context(), s)
		if err != nil {
			v.t.Fatal(err)
		}
		for i := range list {
			if a := list[i].Addr.String(); out[a] {
				v.t.Errorf("%s is stored twice", a)
			} else {
				out[a] = true
			}
		}
	}
	return out
}

// stored counts what is stored while the program runs: openings and findings.
func (v *victim) stored() int {
	_, n := v.journal()
	if v.db == nil {
		if _, err := os.Stat(v.inventory()); err != nil {
			return n
		}
		db, err := sql.Open("sqlite", v.inventory()+"?_pragma=query_only(1)")
		if err != nil {
			v.t.Fatal(err)
		}
		v.t.Cleanup(func() { db.Close() })
		v.db = db
	}
	findings := 0
	if err := v.db.QueryRow("SELECT count(*) FROM evidence").Scan(&findings); err != nil {
		return n // it has no tables yet
	}
	return n + findings
}

func (v *victim) audit() map[string]map[string]int {
	b, err := os.ReadFile(filepath.Join(v.dir, "relaysweep", "audit.jsonl"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		v.t.Fatal(err)
	}
	if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
		b = b[:i+1]
	}
	a, err := auditOf(string(b))
	if err != nil {
		v.t.Fatalf("audit log: %v", err)
	}
	return a
}

// runUntil runs the program and kills it when enough has happened. It returns stdout and whether it ended by itself.
func (v *victim) runUntil(enough func() bool, args ...string) (stdout string, done bool) {
	cmd := v.command(args...)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	deadline := time.After(60 * time.Second)
	for {
		select {
		case err := <-ended:
			if err != nil {
				v.t.Fatalf("%v: %v\n%s", args, err, talk.String())
			}
			return out.String(), true
		case <-deadline:
			cmd.Process.Kill()
			v.t.Fatalf("%v does not end\n%s", args, talk.String())
		case <-time.After(time.Millisecond):
		}
		if enough() {
			cmd.Process.Kill()
			<-ended
			return "", false
		}
	}
}

// checkAudit holds that each connection that a server saw was noted before it was made.
func (v *victim) checkAudit() {
	v.t.Helper()
	audit := v.audit()
	for endpoint, s := range v.servers {
		if err := settle(endpoint, s); err != nil {
			v.t.Fatal(err)
		}
		noted := 0
		for _, w := range connecting {
			noted += audit[endpoint][w]
		}
		if got := s.Score().Connections - v.seen[endpoint]; got > noted {
			v.t.Errorf("%s saw %d connections, and %d are in the audit log", endpoint, got, noted)
		}
	}
}

func (v *victim) checkReport(stdout string) {
	v.t.Helper()
	if err := checkContract(stdout); err != nil {
		v.t.Fatalf("report: %v", err)
	}
	lines, err := decodeLines(stdout)
	if err != nil {
		v.t.Fatal(err)
	}
	found := make(map[string]string)
	for _, l := range lines {
		if l["type"] == "finding" {
			found[fmt.Sprint(l["ip"], ":", l["port"])] = fmt.Sprint(l["class"])
		}
	}
	for endpoint, s := range v.servers {
		if want := s.Dialog.Name; found[endpoint] != want {
			v.t.Errorf("%s is %s, found %q", endpoint, want, found[endpoint])
		}
		if n := s.Score().ContentBytes; n != 0 {
			v.t.Errorf("%s got %d bytes of messages", endpoint, n)
		}
	}
	end := lines[len(lines)-1]
	if len(found) != len(v.servers) || fmt.Sprint(end["complete"]) != "true" || fmt.Sprint(end["exit"]) != "0" {
		v.t.Errorf("%d of %d servers found, end: %v", len(found), len(v.servers), end)
	}
}

// Dialogs by the class that they must be found to be. They take their time, so that the end comes in the middle.
var victims = map[string]string{
	"closed":   "= any order\n= wait 15ms\nS: 220 mx.org.example ESMTP\nC: EHLO *\nS: 250 mx.org.example\nC: MAIL FROM:*\nS: 250 ok\nC: RCPT TO:*\nS: 550 5.7.1 relaying denied\nC: RSET\nS: 250 ok\nC: QUIT\nS: 221 bye\n= close",
	"relay":    "= any order\n= wait 15ms\nS: 220 mx.org.example ESMTP\nC: EHLO *\nS: 250 mx.org.example\nC: MAIL FROM:<alice@org.example>\n= set local\n= set mail\nS: 250 ok\nC: MAIL FROM:*\n= clear local\n= set mail\nS: 250 ok\nC: RCPT TO:*\n= if not mail\nS: 503 MAIL first\nC: RCPT TO:<*@*.invalid>\nS: 550 no such domain\nC: RCPT TO:<*@relaysweep.test>\n= if local\nS: 250 ok\nC: RCPT TO:*\nS: 550 5.7.1 relaying denied\nC: DATA\nS: 354 go\n= data\nS: 250 ok\nC: RSET\n= clear mail\nS: 250 ok\nC: QUIT\nS: 221 bye\n= close",
	"not-smtp": "S: SSH-2.0-OpenSSH_9.2\n= hang",
}

// newVictim starts a world of twelve servers in a /26.
func newVictim(t *testing.T, network string) *victim {
	t.Helper()
	needLoopback(t)
	v := &victim{t: t, dir: t.TempDir(), servers: make(map[string]*server), scope: network + ".0/26"}
	classes := []string{"closed", "relay", "not-smtp"}
	for i := range 12 {
		class := classes[i%len(classes)]
		d, err := smtptest.Parse(class, strings.NewReader(victims[class]))
		if err != nil {
			t.Fatal(err)
		}
		endpoint := fmt.Sprintf("%s.%d:2525", network, 5*i+1)
		s, err := startServer(d, endpoint, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		v.servers[endpoint] = s
	}
	return v
}

func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	v := newVictim(t, "127.10.60")
	args := v.scan()
	kills := 0
	for steps := []int{1, 2, 1, 3, 1, 1, 5, 2}; ; {
		before := v.findings()
		identified := v.audit()
		lines, step := v.stored(), steps[kills%len(steps)]
		stdout, done := v.runUntil(func() bool { return v.stored() >= lines+step }, args...)
		after := v.findings()
		for a := range before {
			if !after[a] {
				t.Errorf("kill %d: the finding of %s is lost", kills, a)
			}
			if was, is := identified[a]["identify"], v.audit()[a]["identify"]; is != was {
				t.Errorf("kill %d: %s was tested again although its finding was stored", kills, a)
			}
		}
		v.checkAudit()
		v.checkStored(identified)
		if done {
			v.checkReport(stdout)
			if len(after) != len(v.servers) {
				t.Errorf("%d findings are stored", len(after))
			}
			break
		}
		kills++
		if kills == 3 { // the power fails while a line is written
			files, _ := filepath.Glob(filepath.Join(v.dir, "relaysweep", "*", "journal.jsonl"))
			f, err := os.OpenFile(files[0], os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(f, `{"opening":"127.10.60.1:25`)
			f.Close()
		}
		if kills > 60 {
			t.Fatal("it does not get on")
		}
		args = []string{"scan", "--resume", "last"}
	}
	if kills < 5 {
		t.Errorf("only %d kills: the scan is too quick for this test", kills)
	}
	t.Logf("%d kills", kills)
}

// handshakes counts the handshakes of an audit log by endpoint, those from further sources apart.
func (v *victim) handshakes() map[string]int {
	v.t.Helper()
	b, err := os.ReadFile(filepath.Join(v.dir, "relaysweep", "audit.jsonl"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		v.t.Fatal(err)
	}
	out := make(map[string]int)
	for line := range bytes.Lines(b) {
		var l auditLine
		if err := json.Unmarshal(line, &l); err != nil {
			if bytes.HasSuffix(line, []byte("\n")) {
				v.t.Fatalf("audit log: %v", err)
			}
			continue // cut off
		}
		if l.Vector == "handshake" {
			out[l.Endpoint]++
		}
	}
	return out
}

// states are what a killed scan has seen: it is read from a copy, as opening it writes to it. Without a scan there are
// none.
func (v *victim) states() map[string]discover.State {
	v.t.Helper()
	files, _ := filepath.Glob(filepath.Join(v.dir, "relaysweep", "*", "states"))
	if len(files) == 0 {
		return nil
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		v.t.Fatal(err)
	}
	if len(bytes.Trim(b, "\x00")) == 0 {
		return nil // it had no head yet
	}
	s, err := readSettings(filepath.Dir(files[0]))
	if err != nil {
		v.t.Fatal(err)
	}
	scope, err := discover.NewScope(s.Spec)
	if err != nil {
		v.t.Fatal(err)
	}
	plan, err := s.plan(scope)
	if err != nil {
		v.t.Fatal(err)
	}
	name := filepath.Join(v.t.TempDir(), "states")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		v.t.Fatal(err)
	}
	cov, err := discover.OpenCoverage(plan, name)
	if err != nil {
		v.t.Fatal(err)
	}
	defer cov.Close()
	out := make(map[string]discover.State)
	for a, state := range cov.States() {
		if state != discover.NotAttempted && state != discover.Failed {
			out[a.String()] = state
		}
	}
	return out
}

// kills is how often a test kills: a few times, or as often as RELAYSWEEP_KILLS says.
func kills(t *testing.T, few int) int {
	t.Helper()
	text := os.Getenv("RELAYSWEEP_KILLS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("RELAYSWEEP_KILLS is %q, want a number", text)
	}
	return n
}

// Handshakes under way at once in the tests that count them.
const underWay = 8

// The program is killed at random moments, as often as there are kills to spend, scan after scan. No finding is lost, and
// no target is tried twice but those that were under way when it was killed.
func TestKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	v := newVictim(t, "127.10.62")
	args := append(v.scan(), "-p", "2525-2534", "-c", fmt.Sprint(underWay), "--rate", "2000")
	spend := kills(t, 8)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	scans, doubled := 0, 0
	for spend > 0 {
		v.forget()
		scans++
		v.seen = make(map[string]int)
		for endpoint, s := range v.servers { // of the last scan all are gone: checkAudit waited
			v.seen[endpoint] = s.Score().Connections
		}
		next := args
		var stored map[string]bool
		var known map[string]discover.State
		asked, again := make(map[string]int), make(map[string]int) // again: how often it was under way at a kill
		stdout, done := "", false
		for runs := 0; !done; runs++ {
			begun, after := time.Now(), time.Duration(r.IntN(200_000))*time.Microsecond
			stdout, done = v.runUntil(func() bool { return spend > 0 && time.Since(begun) > after }, next...)
			findings, states, now := v.findings(), v.states(), v.handshakes()
			for a := range stored {
				if !findings[a] {
					t.Errorf("the finding of %s is lost", a)
				}
			}
			for a, state := range known {
				if states[a] != state {
					t.Errorf("%s was %v, and is %v", a, state, states[a])
				}
				if now[a] != asked[a] {
					t.Errorf("%s was %v, and was tried again", a, state)
				}
			}
			open := 0
			for a, n := range now {
				if _, ok := states[a]; !ok && n > asked[a] {
					again[a]++
					open++
				}
			}
			if open > underWay {
				t.Errorf("%d targets were begun and have no state, and only %d are under way at once", open, underWay)
			}
			stored, known, asked = findings, states, now
			if done {
				break
			}
			spend--
			if _, err := lastScan(filepath.Join(v.dir, "relaysweep")); err == nil {
				next = []string{"scan", "--resume", "last"}
			}
			if runs > 1000 {
				t.Fatal("it does not get on")
			}
		}
		v.checkReport(stdout)
		v.checkAudit()
		if len(stored) != len(v.servers) || len(known) != 640 {
			t.Errorf("%d findings and %d states are stored, want %d and 640", len(stored), len(known), len(v.servers))
		}
		for a, n := range asked {
			if n > 1+again[a] {
				t.Errorf("%s was tried %d times, and was under way at %d kills", a, n, again[a])
			}
			doubled += n - 1
		}
	}
	t.Logf("%d scans; %d targets were tried once more", scans, doubled)
}

// Where the states are gone, all is looked at again, and nothing is lost.
func TestResumedWithoutStates(t *testing.T) {
	t.Parallel()
	v := newVictim(t, "127.10.63")
	_, done := v.runUntil(func() bool { return len(v.findings()) >= 4 }, v.scan()...)
	if done {
		t.Fatal("it was too quick to be killed")
	}
	stored, before := v.findings(), v.handshakes()
	known := make(map[string]bool) // openings need no second look
	entries, _ := v.journal()
	for _, e := range entries {
		if e.Opening != nil {
			known[e.Opening.String()] = true
		}
	}
	files, _ := filepath.Glob(filepath.Join(v.dir, "relaysweep", "*", "states"))
	if len(files) != 1 {
		t.Fatalf("got the files %v, want one", files)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	identified := v.audit()
	stdout, done := v.runUntil(func() bool { return false }, "scan", "--resume", "last")
	if !done {
		t.Fatal("it did not end")
	}
	v.checkReport(stdout)
	v.checkAudit()
	findings, now := v.findings(), v.handshakes()
	for a := range stored {
		if is, was := v.audit()[a]["identify"], identified[a]["identify"]; !findings[a] || is != was {
			t.Errorf("%s: its finding is lost, or it was tested again", a)
		}
	}
	if len(now) != 64 {
		t.Errorf("%d targets were tried, want 64", len(now))
	}
	for a, n := range now {
		if again := n - before[a]; again != 1 && !known[a] || again != 0 && known[a] {
			t.Errorf("%s was tried %d times again, known as open: %v", a, again, known[a])
		}
	}
}

// The program is killed after times that are not bound to what it has written, from its very start on.
func TestKilledAtAnyTime(t *testing.T) {
	t.Parallel()
	v := newVictim(t, "127.10.61")
	for _, after := range []time.Duration{2, 8, 15, 25, 40, 80, 160} {
		v.forget()
		seen := make(map[string]int)
		for endpoint, s := range v.servers {
			if err := settle(endpoint, s); err != nil {
				t.Fatal(err)
			}
			seen[endpoint] = s.Score().Connections
		}
		begun := time.Now()
		_, done := v.runUntil(func() bool { return time.Since(begun) > after*time.Millisecond }, v.scan()...)
		v.checkStored(nil)
		stored := v.findings()
		cmd := v.command("scan", "--resume", "last")
		var talk bytes.Buffer
		cmd.Stderr = &talk
		out, err := cmd.Output()
		switch {
		case err == nil:
			v.checkReport(string(out))
		case cmd.ProcessState.ExitCode() == exitUsage && strings.Contains(talk.String(), "no scan is stored") && !done:
			// It was killed before it had begun: then nothing was sent.
			for endpoint, s := range v.servers {
				if err := settle(endpoint, s); err != nil {
					t.Fatal(err)
				}
				if n := s.Score().Connections - seen[endpoint]; n != 0 || len(stored) > 0 {
					t.Errorf("killed after %v ms: %s was touched, and nothing can be resumed", int(after), endpoint)
				}
			}
		default:
			t.Errorf("killed after %v ms: %v\n%s", int(after), err, talk.String())
		}
		for a := range stored {
			if !v.findings()[a] {
				t.Errorf("killed after %v ms: the finding of %s is lost", int(after), a)
			}
		}
	}
}
