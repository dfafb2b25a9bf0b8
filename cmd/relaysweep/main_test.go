package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"relaysweep/probe/smtp/smtptest"
)

// The whole program under script. The test binary is relaysweep; the mail servers are .dialog files that are played in
// the test process, on loopback addresses that belong to one script alone, and keep score of what was done to them.
//
//	mta FILE.dialog ADDRESS:PORT [relay=ADDRESS:PORT]   start a server for the rest of the script
//	retire ADDRESS:PORT                                 stop it
//	appears FILE REGEXP                                 wait until a program has written that
//	vacant ADDRESS:PORT                                 wait until nothing listens there
//	listening ADDRESS:PORT                              wait until a program listens there
//	nat ADDRESS:PORT ADDRESS:PORT from=ADDRESS          forward connections with another source address
//	score ADDRESS:PORT KEY=N KEY>=N KEY<=N ...          what the server has seen, once all its clients are gone
//	await ADDRESS:PORT KEY>=N ...                       wait until the server has seen that
//	[!] said [-count=N] ADDRESS:PORT REGEXP             a line that clients said to it
//	promised FILE ADDRESS:PORT                          FILE, of --dry-run, holds the first transaction that it got
//	exec exits CODE COMMAND... [&]                      run a command and hold its exit code
//	refuses MESSAGE ARGUMENT...                         relaysweep says one line, exits 2, and nothing was touched
//	[!] jsonline [-count=N] FILE FIELD=TEXT ...         a line of JSON Lines with these fields (jsonline_test.go)
//	contract FILE                                       FILE keeps the contract of JSON Lines
//	audited FILE ADDRESS:PORT                           FILE, an audit log, has a line for each of its connections
//	dns FILE ADDRESS:PORT                               answer DNS questions from a zone, a record a line
//	netbox FILE ADDRESS:PORT TOKEN                      answer as NetBox does, from a JSON object of answers by path
//	asked ADDRESS:PORT N REGEXP                         how many questions, such as "org.example. MX", match
//	mailhost SMTP IMAP FILE [hold]                      a server whose mail comes into a mailbox, and FILE, who signed for it
//	release IMAP                                        deliver what it holds
//	letter IMAP FILE                                    put a message into the mailbox
//	mails IMAP N                                        how many are in it, none of them marked
//	hook ADDRESS:PORT FILE [STATUS]                     receive webhooks, whose signature must hold, a line of FILE each
//	loghost NETWORK ADDRESS FILE                        receive datagrams of a log, a line of FILE each
//	attempts REPORT AUDIT                               each attempt of a report has a line in the audit log
func TestScripts(t *testing.T) {
	needLoopback(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		ContinueOnError:     testing.Verbose(),
		Setup: func(e *testscript.Env) error {
			w := make(world)
			e.Values[worldKey{}] = w
			e.Values[zonesKey{}] = make(map[string]*zone)
			e.Values[mailhostsKey{}] = make(map[string]*mailhost)
			e.Defer(w.close)
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("GORACE", gorace)
			return os.Mkdir(filepath.Join(e.WorkDir, "home"), 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"mta": cmdMTA, "retire": cmdRetire, "appears": cmdAppears, "vacant": cmdVacant, "listening": cmdListening, "nat": cmdNAT, "score": cmdScore, "await": cmdAwait, "said": cmdSaid, "promised": cmdPromised,
			"hook": cmdHook, "loghost": cmdLoghost,
			"refuses": cmdRefuses, "jsonline": cmdJSONLine, "contract": cmdContract, "audited": cmdAudited, "dns": cmdDNS, "netbox": cmdNetBox, "asked": cmdAsked, "attempts": cmdAttempts,
			"mailhost": cmdMailhost, "release": cmdRelease, "letter": cmdLetter, "mails": cmdMails,
		},
	})
}

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"relaysweep": main, "exits": exits})
}

// gorace is for a program that the race detector watches: it would wait a second at each exit.
const gorace = "atexit_sleep_ms=10"

// needLoopback skips where the system has 127.0.0.1 alone and not all of 127.0.0.0/8.
func needLoopback(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp4", marker+":0")
	if err != nil {
		t.Skipf("fake servers need all of 127.0.0.0/8, as on Linux: %v", err)
	}
	l.Close()
}

// Scripts run at the same time, so an address belongs to one of them: 127.10.N.0/24, with N of its own.
func TestScriptsShareNoAddress(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	owner := make(map[string]string)
	network := regexp.MustCompile(`\b127\.\d+\.\d+`)
	for _, name := range scripts {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(b), "# ") {
			t.Errorf("%s: the first line is no comment: say what it shows", name)
		}
		for _, n := range network.FindAllString(string(b), -1) {
			if !strings.HasPrefix(n, "127.10.") {
				continue
			}
			if o := owner[n]; o != "" && o != name {
				t.Errorf("%s and %s both use %s.0/24", o, name, n)
			}
			owner[n] = name
		}
	}
}

// world is the servers of a script, by endpoint.
type world map[string]*server

type server struct {
	*smtptest.Server
	closed bool
}

type worldKey struct{}

func (w world) close() {
	for _, s := range w {
		s.Close()
	}
}

func worldOf(ts *testscript.TestScript) world { return ts.Value(worldKey{}).(world) }

func serverAt(ts *testscript.TestScript, endpoint string) *server {
	s := worldOf(ts)[endpoint]
	if s == nil {
		ts.Fatalf("no server at %s: mta starts one", endpoint)
	}
	return s
}

// marker is an address from which no client of a server comes.
const marker = "127.10.255.254"

// gate lets all clients in but those that come from marker. As clients are accepted in order of arrival, all that came
// before one of those were seen when it is closed.
type gate struct{ net.Listener }

func (g gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil || c.RemoteAddr().(*net.TCPAddr).IP.String() != marker {
			return c, err
		}
		c.Close()
	}
}

// settle waits until everything that clients sent has been seen by the server and they are gone.
func settle(endpoint string, s *server) error {
	if s.closed {
		return nil
	}
	d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(marker)}}
	c, err := d.Dial("tcp4", endpoint)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadAll(c); err != nil {
		return err
	}
	gone := make(chan struct{})
	go func() { s.Wait(0); close(gone) }()
	select {
	case <-gone:
		return nil
	case <-time.After(30 * time.Second):
		return fmt.Errorf("clients of %s are still there", endpoint)
	}
}

// startServer plays a dialog at an endpoint.
func startServer(d *smtptest.Dialog, endpoint, relay string) (*server, error) {
	if a, err := netip.ParseAddrPort(endpoint); err != nil || !netip.MustParsePrefix("127.10.0.0/16").Contains(a.Addr()) || a.Port() >= 32768 {
		return nil, fmt.Errorf("%s: servers stand in 127.10.0.0/16, below the ports that clients get", endpoint)
	}
	l, err := net.Listen("tcp4", endpoint)
	if err != nil {
		return nil, err
	}
	s := &server{Server: &smtptest.Server{Dialog: d, Relay: relay}}
	go s.Serve(gate{l})
	return s, nil
}

// readDialog reads a dialog of the script, or one of the demo's.
func readDialog(name, inScript string) (*smtptest.Dialog, error) {
	var f fs.File
	f, err := os.Open(inScript)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = demoDialogs.Open("demo/" + name)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return smtptest.Parse(name, f)
}

func noNeg(ts *testscript.TestScript, neg bool, name string) {
	if neg {
		ts.Fatalf("! %s means nothing", name)
	}
}

func cmdMTA(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "mta")
	relay := ""
	if len(args) == 3 {
		relay = strings.TrimPrefix(args[2], "relay=")
	}
	if len(args) < 2 || len(args) == 3 && relay == args[2] || len(args) > 3 {
		ts.Fatalf("usage: mta FILE.dialog ADDRESS:PORT [relay=ADDRESS:PORT]")
	}
	w := worldOf(ts)
	if old := w[args[1]]; old != nil && !old.closed {
		ts.Fatalf("a server stands at %s already", args[1])
	}
	d, err := readDialog(args[0], ts.MkAbs(args[0]))
	ts.Check(err)
	w[args[1]], err = startServer(d, args[1], relay)
	ts.Check(err)
}

// cmdListening waits until something listens.
func cmdListening(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "listening")
	deadline := time.Now().Add(30 * time.Second)
	for {
		c, err := net.DialTimeout("tcp4", args[0], time.Second)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("nothing listens: %v", err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// cmdVacant waits until nothing listens at an endpoint: another demo may run.
func cmdVacant(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "vacant")
	deadline := time.Now().Add(60 * time.Second)
	for {
		l, err := net.Listen("tcp4", args[0])
		if err == nil {
			l.Close()
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("something listens: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// cmdAppears waits until a file that a program writes holds a text.
func cmdAppears(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "appears")
	re, err := regexp.Compile(args[1])
	ts.Check(err)
	deadline := time.Now().Add(30 * time.Second)
	for {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && re.Match(b) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s does not appear in %s: %q", args[1], args[0], b)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func cmdRetire(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "retire")
	s := serverAt(ts, args[0])
	ts.Check(settle(args[0], s))
	ts.Check(s.Close())
	s.closed = true
}

// cmdNAT is a firewall's destination NAT with source NAT: the server sees the firewall's inside address.
func cmdNAT(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "nat")
	if len(args) != 3 || !strings.HasPrefix(args[2], "from=") {
		ts.Fatalf("usage: nat OUTSIDE:PORT INSIDE:PORT from=ADDRESS")
	}
	l, err := net.Listen("tcp4", args[0])
	ts.Check(err)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(strings.TrimPrefix(args[2], "from="))}}
	ts.Defer(func() { l.Close() })
	go func() {
		for {
			out, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer out.Close()
				in, err := d.Dial("tcp4", args[1])
				if err != nil {
					return
				}
				defer in.Close()
				go func() {
					io.Copy(in, out)
					in.(*net.TCPConn).CloseWrite()
				}()
				io.Copy(out, in)
			}()
		}
	}()
}

// scoreOf is a server's score as numbers with names.
func scoreOf(s smtptest.Score) map[string]int {
	return map[string]int{
		"connections": s.Connections, "commands": len(s.Commands), "content": int(s.ContentBytes), "messages": s.Messages, "relayed": s.Relayed,
		"relay_errors": len(s.RelayErrors), "early": s.Early, "errors": s.Errors, "mismatches": len(s.Mismatches), "tls": s.TLS, "dropped": s.Dropped,
	}
}

var comparison = regexp.MustCompile(`^([a-z_]+)(=|>=|<=)(\d+)$`)

// unmet returns the first condition, such as connections>=3, that a score does not meet.
func unmet(ts *testscript.TestScript, s *server, conditions []string) string {
	score := s.Score()
	numbers := scoreOf(score)
	if len(conditions) == 0 {
		ts.Fatalf("no condition, such as connections>=1")
	}
	for _, c := range conditions {
		m := comparison.FindStringSubmatch(c)
		if m == nil {
			ts.Fatalf("%q is no condition: write it like connections>=1", c)
		}
		got, known := numbers[m[1]]
		want, _ := strconv.Atoi(m[3])
		if !known {
			ts.Fatalf("%q is no part of a score", m[1])
		}
		if m[2] == "=" && got != want || m[2] == ">=" && got < want || m[2] == "<=" && got > want {
			return fmt.Sprintf("%s: got %d\n%v\nmismatches %q\nrelay errors %q\nlines %q", c, got, numbers, score.Mismatches, score.RelayErrors, score.Commands)
		}
	}
	return ""
}

func cmdScore(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "score")
	s := serverAt(ts, args[0])
	ts.Check(settle(args[0], s))
	if u := unmet(ts, s, args[1:]); u != "" {
		ts.Fatalf("%s %s", args[0], u)
	}
}

func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "await")
	s := serverAt(ts, args[0])
	deadline := time.Now().Add(30 * time.Second)
	for u := unmet(ts, s, args[1:]); u != ""; u = unmet(ts, s, args[1:]) {
		if time.Now().After(deadline) {
			ts.Fatalf("%s waited for %s", args[0], u)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func cmdSaid(ts *testscript.TestScript, neg bool, args []string) {
	count := -1
	if n, ok := strings.CutPrefix(args[0], "-count="); ok {
		var err error
		count, err = strconv.Atoi(n)
		ts.Check(err)
		args = args[1:]
	}
	if len(args) != 2 {
		ts.Fatalf("usage: said [-count=N] ADDRESS:PORT REGEXP")
	}
	s := serverAt(ts, args[0])
	ts.Check(settle(args[0], s))
	re, err := regexp.Compile(args[1])
	ts.Check(err)
	lines := s.Score().Commands
	n := 0
	for _, l := range lines {
		if re.MatchString(l) {
			n++
		}
	}
	if neg && n > 0 || !neg && n == 0 && count < 0 || count >= 0 && n != count {
		ts.Fatalf("%s: %d lines match %s in %q", args[0], n, args[1], lines)
	}
}

// unsure are the parts of what is sent that differ from scan to scan.
var unsure = []struct {
	re *regexp.Regexp
	as string
}{
	{regexp.MustCompile(`rs-[a-z2-7]{20}`), "rs-TOKEN"},
	{regexp.MustCompile(`\d{8}-\d{6}-[0-9a-f]{6}`), "SCAN"},
	{regexp.MustCompile(`^Date: .*`), "Date: NOW"},
}

func normal(line string) string {
	for _, u := range unsure {
		line = u.re.ReplaceAllString(line, u.as)
	}
	return line
}

func cmdPromised(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "promised")
	if len(args) != 2 {
		ts.Fatalf("usage: promised FILE ADDRESS:PORT")
	}
	var promised []string
	ours := false
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		line = strings.TrimRight(line, "\n")
		if !strings.HasPrefix(line, " ") {
			ours = strings.HasPrefix(line, args[1]+" ")
		}
		if c, ok := strings.CutPrefix(line, "  C: "); ok && ours {
			promised = append(promised, normal(c))
		}
	}
	s := serverAt(ts, args[1])
	ts.Check(settle(args[1], s))
	var heard []string
	for _, lines := range s.Score().PerConnection {
		if len(lines) > 0 {
			for _, l := range lines {
				heard = append(heard, normal(l))
			}
			break
		}
	}
	last := slices.Index(promised, "RSET")
	if last < 4 || len(heard) < 4 {
		ts.Fatalf("no whole transaction: promised %q, heard %q", promised, heard)
	}
	promised = promised[:last]
	if got := heard[:min(last, len(heard))]; !slices.Equal(got, promised) {
		ts.Fatalf("%s:\npromised %q\n   heard %q", args[1], promised, got)
	}
}

// exits is a command: it runs another, passes signals on to it, and holds its exit code.
func exits() {
	want, err := strconv.Atoi(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "usage: exits CODE COMMAND...")
		os.Exit(1)
	}
	cmd := exec.Command(os.Args[2], os.Args[3:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		for s := range signals {
			cmd.Process.Signal(s)
		}
	}()
	timer := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
	cmd.Wait()
	timer.Stop()
	if got := cmd.ProcessState.ExitCode(); got != want {
		fmt.Fprintf(os.Stderr, "exits: got exit code %d, want %d\n", got, want)
		os.Exit(1)
	}
	os.Exit(0)
}

// run runs a command and returns its exit code.
func run(ts *testscript.TestScript, name string, args []string) int {
	err := ts.Exec(name, args...)
	var e *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.ExitCode()
	}
	ts.Fatalf("%s: %v", name, err)
	return -1
}

// cmdRefuses holds that a mistake costs nothing: one line on stderr, exit code 2, no state, no connection.
func cmdRefuses(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "refuses")
	if len(args) < 2 {
		ts.Fatalf("usage: refuses MESSAGE ARGUMENT...")
	}
	if code := run(ts, "relaysweep", args[1:]); code != exitUsage {
		ts.Fatalf("got exit code %d, want %d", code, exitUsage)
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("stdout is %q, want nothing", out)
	}
	text := ts.ReadFile("stderr")
	if line, ok := strings.CutSuffix(text, "\n"); !ok || strings.Contains(line, "\n") || !strings.HasPrefix(line, "relaysweep: ") || !strings.Contains(line, args[0]) {
		ts.Fatalf("stderr is not one line with %q:\n%s", args[0], text)
	}
	if _, err := os.Stat(filepath.Join(ts.Getenv("XDG_STATE_HOME"), "relaysweep")); err == nil {
		ts.Fatalf("there is a state directory")
	}
	for endpoint, s := range worldOf(ts) {
		ts.Check(settle(endpoint, s))
		if n := s.Score().Connections; n != 0 {
			ts.Fatalf("%s was touched %d times", endpoint, n)
		}
	}
}
