package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"relaysweep/probe/smtp/smtptest"
)

// Law 8: nothing found is lost. The program is killed with SIGKILL again and again, and resumed, until it is done.

// victim is a program that is killed, with the world that it scans.
type victim struct {
	t       *testing.T
	dir     string
	servers map[string]*server
	scope   string
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

func (v *victim) findings() map[string]bool {
	out := make(map[string]bool)
	entries, _ := v.journal()
	for _, e := range entries {
		if e.Finding == nil {
			continue
		}
		if a := e.Finding.Addr.String(); out[a] {
			v.t.Errorf("%s is in the journal twice", a)
		} else {
			out[a] = true
		}
	}
	return out
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
		if got := s.Score().Connections; got > noted {
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
		_, lines := v.journal()
		step := steps[kills%len(steps)]
		stdout, done := v.runUntil(func() bool { _, n := v.journal(); return n >= lines+step }, args...)
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
			fmt.Fprint(f, `{"finding":{"Addr":"127.10.60.1:25`)
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

// The program is killed after times that are not bound to what it has written, from its very start on.
func TestKilledAtAnyTime(t *testing.T) {
	t.Parallel()
	v := newVictim(t, "127.10.61")
	for _, after := range []time.Duration{2, 8, 15, 25, 40, 80, 160} {
		if err := os.RemoveAll(filepath.Join(v.dir, "relaysweep")); err != nil {
			t.Fatal(err)
		}
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
