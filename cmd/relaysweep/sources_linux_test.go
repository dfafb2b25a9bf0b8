package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"relaysweep/probe/smtp/smtptest"
)

// inNamespace is set in the copy of the test binary that runs inside a network namespace of its own.
const inNamespace = "RELAYSWEEP_IN_NAMESPACE"

// filter is a firewall that trusts a source port and a source address. settle's connections pass.
const filter = `table inet wall {
chain input {
type filter hook input priority 0; policy accept;
ip saddr ` + marker + ` accept
ip daddr 127.10.70.23 tcp dport 2525 tcp sport != 25 drop
ip daddr 127.10.70.37 tcp dport 2525 ip saddr != 127.10.80.77 drop
ip daddr 127.10.70.58 tcp dport 2525 ip saddr != 127.10.80.77 reject with tcp reset
ip daddr 127.10.70.40 drop
}
}
`

// What a firewall opens to one source port or one source address alone is found, probed from there and counted once,
// however often the scan is cut off.
func TestFurtherSources(t *testing.T) {
	if os.Getenv(inNamespace) != "" {
		t.Skip("runs outside the namespace")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s (apt-get install iproute2 nftables)", tool)
		}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFurtherSourcesInside$", "-test.v", "-test.timeout=4m")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		t.Skip("needs root, for a network namespace with firewall rules")
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: TestFurtherSourcesInside ") {
		t.Errorf("inside: %v\n%s", err, out)
	}
}

func TestFurtherSourcesInside(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		t.Skip("is run by TestFurtherSources")
	}
	for _, c := range [][]string{{"ip", "link", "set", "lo", "up"}, {"nft", "-f", "-"}} {
		cmd := exec.Command(c[0], c[1:]...)
		cmd.Stdin = strings.NewReader(filter)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", c, err, out)
		}
	}
	v := &victim{t: t, dir: t.TempDir(), servers: make(map[string]*server), scope: "127.10.70.0/26"}
	for host, class := range map[int]string{10: "closed", 23: "relay", 37: "closed", 58: "relay"} {
		d, err := smtptest.Parse(class, strings.NewReader(victims[class]))
		if err != nil {
			t.Fatal(err)
		}
		endpoint := fmt.Sprintf("127.10.70.%d:2525", host)
		s, err := startServer(d, endpoint, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		v.servers[endpoint] = s
	}
	args := append(v.scan(), "--source", "127.10.80.77,:25", "--timeout", "300ms", "--vectors", "S1,S7")

	t.Run("in one go", func(t *testing.T) {
		v.t = t
		stdout, _ := v.runUntil(func() bool { return false }, args...)
		v.checkReport(stdout)
		checkSources(t, v, stdout)
		v.checkAudit()
		// 64 from our own source, 63 and two again, 61 and one again.
		if !strings.Contains(stdout, `"sent":191,`) {
			t.Errorf("not 191 handshakes were sent: %s", stdout[strings.LastIndex(stdout, `"type":"end"`):])
		}
		audit, err := os.ReadFile(v.dir + "/relaysweep/audit.jsonl")
		if err != nil {
			t.Fatal(err)
		}
		for source, want := range map[string]int{`"source":"127.10.80.77","vector":"handshake"`: 63, `"source":":25","vector":"handshake"`: 61, `"vector":"handshake"`: 191} {
			if n := bytes.Count(audit, []byte(source)); n != want {
				t.Errorf("%d lines of the audit log have %s, want %d", n, source, want)
			}
		}
		stdout, _ = v.runUntil(func() bool { return false }, "scan", "--resume", "last")
		checkSources(t, v, stdout)
		if again, _ := os.ReadFile(v.dir + "/relaysweep/audit.jsonl"); !bytes.Equal(again, audit) {
			t.Error("a scan that is done sent something when it was resumed")
		}
	})
	t.Run("interrupted from a further source", func(t *testing.T) {
		v.t = t
		if err := os.RemoveAll(v.dir + "/relaysweep"); err != nil {
			t.Fatal(err)
		}
		cmd := v.command(append(args, "--rate", "60")...)
		var talk bytes.Buffer
		cmd.Stderr = &talk
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			audit, _ := os.ReadFile(v.dir + "/relaysweep/audit.jsonl")
			if bytes.Count(audit, []byte(`"source":"127.10.80.77"`)) > 20 {
				break
			}
			if time.Now().After(deadline) {
				cmd.Process.Kill()
				t.Fatal("it does not come to the further source")
			}
		}
		cmd.Process.Signal(os.Interrupt)
		if cmd.Wait(); cmd.ProcessState.ExitCode() != exitIncomplete {
			t.Fatalf("exit code %d, want %d\n%s", cmd.ProcessState.ExitCode(), exitIncomplete, talk.String())
		}
		stdout, _ := v.runUntil(func() bool { return false }, "scan", "--resume", "last")
		v.checkReport(stdout)
		checkSources(t, v, stdout)
	})
	t.Run("killed again and again", func(t *testing.T) {
		v.t = t
		v.forget()
		next, kills := args, 0
		for ; ; kills++ {
			audit, _ := os.ReadFile(v.dir + "/relaysweep/audit.jsonl")
			lines := bytes.Count(audit, []byte("\n"))
			begun := time.Now()
			stdout, done := v.runUntil(func() bool {
				audit, _ := os.ReadFile(v.dir + "/relaysweep/audit.jsonl")
				return bytes.Count(audit, []byte("\n")) > lines+30 && time.Since(begun) > time.Duration(250+100*kills)*time.Millisecond
			}, next...)
			if done {
				v.checkReport(stdout)
				checkSources(t, v, stdout)
				break
			}
			v.findings() // none is stored twice
			if kills > 40 {
				t.Fatal("it does not get on")
			}
			next = []string{"scan", "--resume", "last"}
		}
		t.Logf("%d kills", kills)
	})
}

// checkSources holds a report against the world behind the filter.
func checkSources(t *testing.T, v *victim, stdout string) {
	t.Helper()
	lines, err := decodeLines(stdout)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		fields := make(map[string]string)
		flatten("", l, fields)
		switch fields["type"] {
		case "coverage":
			if got := fields["open"] + " open, " + fields["closed"] + " closed, " + fields["filtered"] + " filtered"; got != "4 open, 59 closed, 1 filtered" {
				t.Errorf("coverage: %s", got)
			}
		case "end":
			for _, note := range []string{"from the source 127.10.80.77 63 targets were tried that were not open before: 2 opened to it alone", "from the source :25 61 targets were tried that were not open before: 1 opened to it alone"} {
				if !strings.Contains(stdout, note) {
					t.Errorf("no note %q", note)
				}
			}
			if fields["targets"] != "64" || fields["complete"] != "true" {
				t.Errorf("end: %v", fields)
			}
		}
	}
	entries, _ := v.journal()
	from := make(map[string]string)
	for _, e := range entries {
		if e.Opening != nil {
			from[e.Opening.String()] += e.Source + ","
		}
	}
	want := map[string]string{"127.10.70.10:2525": ",", "127.10.70.23:2525": ":25,", "127.10.70.37:2525": "127.10.80.77,", "127.10.70.58:2525": "127.10.80.77,"}
	if fmt.Sprint(from) != fmt.Sprint(want) {
		t.Errorf("openings are %v, want %v", from, want)
	}
}
