//go:build unix

package notify

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"relaysweep/report"
)

// A real receiver reads each line as it was meant, over every transport that it has without more packages.
func TestRsyslogReadsIt(t *testing.T) {
	rsyslogd, err := exec.LookPath("rsyslogd")
	if err != nil {
		t.Skip("rsyslogd is not installed")
	}
	dir := t.TempDir()
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp := u.LocalAddr().(*net.UDPAddr).Port
	u.Close()
	conf, out, port := filepath.Join(dir, "rsyslog.conf"), filepath.Join(dir, "out"), filepath.Join(dir, "port")
	config := fmt.Sprintf(`
global(workDirectory="%[1]s" net.enableDNS="off" maxMessageSize="8k")
module(load="imudp")
module(load="imtcp")
module(load="imuxsock" SysSock.Use="off")
template(name="parsed" type="string" string="%%syslogfacility-text%%.%%syslogseverity-text%% %%hostname%% %%app-name%% %%msgid%% %%structured-data%% %%msg%%\n")
ruleset(name="all") { action(type="omfile" file="%[2]s" template="parsed") }
input(type="imudp" address="127.0.0.1" port="%[3]d" ruleset="all")
input(type="imtcp" address="127.0.0.1" port="0" listenPortFileName="%[4]s" ruleset="all")
input(type="imuxsock" Socket="%[1]s/log" CreatePath="on" UseSpecialParser="off" ruleset="all")
`, dir, out, udp, port)
	if err := os.WriteFile(conf, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var talk strings.Builder
	cmd := exec.Command(rsyslogd, "-n", "-f", conf, "-i", filepath.Join(dir, "pid"))
	cmd.Stdout, cmd.Stderr = &talk, &talk
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Log(talk.String())
		}
	}()
	tcp := strings.TrimSpace(waitFor(t, port, func(s string) bool { return strings.TrimSpace(s) != "" }))
	r := reportOf(relay("198.51.100.10:25", "Postfix", "3.11.6"), evil())
	var want []string
	for _, f := range []Format{RFC5424, CEF} {
		for _, e := range events(r, changesOf(), report.Info) {
			rest := strings.SplitN(line(e, "scanner.example.net", f, r.Scan.Version), " ", 7)[6]
			severity := map[report.Severity]string{report.Info: "info", report.Low: "notice", report.High: "err"}[e.severity]
			want = append(want, fmt.Sprintf("daemon.%s scanner.example.net relaysweep %s %s", severity, e.kind, rest))
		}
	}
	lines := 0
	for _, address := range []string{fmt.Sprintf("udp://127.0.0.1:%d", udp), "tcp://127.0.0.1:" + tcp, "unix://" + dir + "/log"} {
		for _, f := range []Format{RFC5424, CEF} {
			s := &Syslog{Address: address, Format: f, Host: "scanner.example.net", Least: report.Info}
			if err := s.Send(t.Context(), r, changesOf()); err != nil {
				t.Fatalf("%s: %v", address, err)
			}
		}
		lines += len(want)
		got := strings.Split(waitFor(t, out, func(s string) bool { return strings.Count(s, "\n") >= lines }), "\n")
		if len(got) != lines+1 {
			t.Fatalf("%s: %d lines, want %d: %q", address, len(got)-1, lines, got)
		}
		for i, w := range want {
			if g := got[lines-len(want)+i]; g != w {
				t.Errorf("%s:\n got %s\nwant %s", address, g, w)
			}
		}
	}
}

// waitFor reads a file that a program writes, as soon as it holds enough.
func waitFor(t *testing.T, name string, enough func(string) bool) string {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		b, err := os.ReadFile(name)
		if err == nil && enough(string(b)) {
			return string(b)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v: %q", filepath.Base(name), err, b)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
