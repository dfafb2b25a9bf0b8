package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// unit is a unit file's settings, in order.
func unit(t *testing.T, name string) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("systemd", name))
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string][]string)
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' || line[0] == '[' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			t.Fatalf("%s: %q", name, line)
		}
		out[key] = append(out[key], value)
	}
	return out
}

// environment are the variables that the service sets, with systemd's specifiers as given.
func environment(t *testing.T, specifiers ...string) []string {
	return strings.Fields(strings.NewReplacer(specifiers...).Replace(strings.Join(unit(t, "relaysweep.service")["Environment"], " ")))
}

// installed copies the units with the drop-ins that are named, as they would be installed: the program is the test's own.
func installed(t *testing.T, dropIns ...string) (service, timer string) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	files := []string{"relaysweep.service", "relaysweep.timer"}
	for _, d := range dropIns {
		files = append(files, filepath.Join("relaysweep.service.d", d))
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join("systemd", f))
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, bytes.ReplaceAll(b, []byte("/usr/bin/relaysweep"), []byte(self)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, files[0]), filepath.Join(dir, files[1])
}

// systemd finds nothing wrong with the units, and thinks well of how they are confined. Its threshold is in tenths.
func TestUnitsAreCleanAndConfined(t *testing.T) {
	for _, tt := range []struct {
		name, threshold string
		dropIns         []string
	}{
		{"alone", "14", nil},
		{"with raw packets", "19", []string{"syn.conf"}},
		{"with a sink on port 25", "19", []string{"sink.conf"}},
		{"with both", "19", []string{"syn.conf", "sink.conf"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			service, timer := installed(t, tt.dropIns...)
			if out, err := exec.Command("systemd-analyze", "verify", service, timer).CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) != 0 {
				t.Errorf("verify: %v\n%s", err, out)
			}
			if out, err := exec.Command("systemd-analyze", "security", "--offline=yes", "--threshold="+tt.threshold, service).CombinedOutput(); err != nil {
				t.Errorf("security: %v\n%s", err, out)
			}
		})
	}
}

// What the comments of the units promise.
func TestUnitsKeepTheirPromises(t *testing.T) {
	s, timer := unit(t, "relaysweep.service"), unit(t, "relaysweep.timer")
	for key, want := range map[string]string{
		"DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "StateDirectory": "relaysweep", "MemoryDenyWriteExecute": "yes", "KillSignal": "SIGINT",
		"CapabilityBoundingSet": "", "AmbientCapabilities": "", "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX AF_NETLINK",
		// An incomplete month (exit code 3) is a failure, and so is everything else but success.
		"SuccessExitStatus": "none",
	} {
		if got := s[key]; want == "none" && got != nil || want != "none" && !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	for key, want := range map[string]string{"OnCalendar": "monthly", "Persistent": "true"} {
		if !slices.Equal(timer[key], []string{want}) {
			t.Errorf("%s is %q, want %q", key, timer[key], want)
		}
	}
	if len(timer["RandomizedDelaySec"]) != 1 {
		t.Error("all machines scan in the same second")
	}
	if got := unit(t, "relaysweep.service.d/syn.conf"); got["AmbientCapabilities"][0] != "CAP_NET_RAW" || got["RestrictAddressFamilies"][0] != "AF_PACKET" {
		t.Errorf("syn.conf: %v", got)
	}
	// Each credential that a variable names is loaded.
	for _, v := range environment(t) {
		if _, id, ok := strings.Cut(v, "=%d/"); ok && !slices.Contains(s["LoadCredential"], id) {
			t.Errorf("%s: no such credential among %q", v, s["LoadCredential"])
		}
	}
}

// Every command, flag and variable that the units name exists.
func TestUnitsNameWhatExists(t *testing.T) {
	files, err := filepath.Glob("systemd/*")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("systemd/*/*")
	if err != nil {
		t.Fatal(err)
	}
	flag, variable, n := regexp.MustCompile(`(?:^|\s)(--[a-z][a-z-]*)`), regexp.MustCompile(`RELAYSWEEP_([A-Z_]+)`), 0
	for _, f := range append(files, more...) {
		if info, err := os.Stat(f); err != nil || info.IsDir() {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range variable.FindAllStringSubmatch(string(b), -1) {
			if n++; !flagExists("--" + strings.ToLower(strings.ReplaceAll(m[1], "_", "-"))) {
				t.Errorf("%s: no flag has the variable RELAYSWEEP_%s", f, m[1])
			}
		}
		for _, m := range flag.FindAllStringSubmatch(string(b), -1) {
			if n++; !flagExists(m[1]) && !slices.Contains([]string{"--now"}, m[1]) {
				t.Errorf("%s: no command has a flag %s", f, m[1])
			}
		}
	}
	start := unit(t, "relaysweep.service")["ExecStart"]
	if len(start) != 1 || !strings.HasPrefix(start[0], "/usr/bin/relaysweep ") {
		t.Fatalf("ExecStart %q", start)
	}
	if err := parses(strings.TrimPrefix(start[0], "/usr/bin/")); err != nil {
		t.Error(err)
	}
	if n < 5 {
		t.Errorf("only %d flags and variables", n)
	}
}

// The command of the service works with the variables that it sets, where no credential is there; and it goes on with a
// scan as its comment says.
func TestServiceRunsAndResumes(t *testing.T) {
	needLoopback(t)
	dir := t.TempDir()
	state := filepath.Join(dir, "relaysweep")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "relaysweep.yaml")
	if err := os.WriteFile(config, []byte("scope: {include: [127.10.116.200]}\nports: [2525]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, v := range environment(t, "%S", dir, "%d", filepath.Join(dir, "credentials"), "/etc/relaysweep", dir) {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	args := strings.Fields(unit(t, "relaysweep.service")["ExecStart"][0])
	t.Chdir(state)
	run := func() (int, string) {
		var talk bytes.Buffer
		code := (&program{strings.NewReader(""), io.Discard, &talk}).run(t.Context(), args)
		return code, talk.String()
	}
	if code, talk := run(); code != exitDone {
		t.Fatalf("exit code %d: %s", code, talk)
	}
	for _, name := range []string{"latest.jsonl", "latest.html", "state/relaysweep"} {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
	t.Setenv("RELAYSWEEP_RESUME", "last")
	if code, talk := run(); code != exitDone || !strings.Contains(talk, "resumed") {
		t.Fatalf("exit code %d: %s", code, talk)
	}
}
