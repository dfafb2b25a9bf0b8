package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// hookSecret is what scripts write into webhook.secret.
const hookSecret = "0123456789abcdef0123456789abcdef"

// appendLine adds a line to a file of a script.
func appendLine(name, line string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, line)
	return err
}

func cmdHook(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "hook")
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: hook ADDRESS:PORT FILE [STATUS]")
	}
	status := http.StatusNoContent
	if len(args) == 3 {
		var err error
		status, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	file := ts.MkAbs(args[1])
	l, err := net.Listen("tcp4", args[0])
	ts.Check(err)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte(hookSecret))
		fmt.Fprintf(mac, "%s.%s", r.Header.Get("Relaysweep-Timestamp"), body)
		line := string(body)
		if r.Header.Get("Relaysweep-Signature") != "v1="+hex.EncodeToString(mac.Sum(nil)) {
			line = "BAD SIGNATURE " + line
		}
		if err := appendLine(file, r.Method+" "+r.URL.Path+" "+r.Header.Get("Idempotency-Key")+" "+line); err != nil {
			status = http.StatusInternalServerError
		}
		w.WriteHeader(status)
	})}
	var done sync.WaitGroup
	done.Go(func() { s.Serve(l) })
	ts.Defer(func() { s.Close(); done.Wait() })
}

func cmdLoghost(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "loghost")
	if len(args) != 3 {
		ts.Fatalf("usage: loghost NETWORK ADDRESS FILE")
	}
	address, file := args[1], ts.MkAbs(args[2])
	if args[0] == "unixgram" {
		address = ts.MkAbs(address)
	}
	c, err := net.ListenPacket(args[0], address)
	ts.Check(err)
	var done sync.WaitGroup
	done.Go(func() {
		b := make([]byte, 1<<16)
		for {
			n, _, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if err := appendLine(file, strings.ReplaceAll(string(b[:n]), "\n", "LINE END")); err != nil {
				return
			}
		}
	})
	ts.Defer(func() { c.Close(); done.Wait() })
}

// What systemd passes to a service is guarded by an access list that shows as the group's rights.
func TestSecretsOfOthersAreRefused(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name       string
		content    string
		mode       os.FileMode
		credential bool
		want       string
	}{
		{"ours alone", hookSecret + "\n", 0o600, false, ""},
		{"read-only", hookSecret, 0o400, false, ""},
		{"the group may read it", hookSecret, 0o640, false, "others may read the secret"},
		{"all may read it", hookSecret, 0o604, false, "others may read the secret"},
		{"systemd passes it", hookSecret, 0o440, true, ""},
		{"short", "0123456789abcde\n", 0o600, false, "16 bytes or more"},
		{"empty", "", 0o600, false, "no secret in it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(dir, strings.ReplaceAll(tt.name, " ", "-"))
			if err := os.WriteFile(file, []byte(tt.content), tt.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, tt.mode); err != nil {
				t.Fatal(err)
			}
			if tt.credential {
				t.Setenv("CREDENTIALS_DIRECTORY", dir+"/")
			}
			b, err := (&notices{Webhook: "https://hooks.example.net/", SecretFile: file}).secret()
			if tt.want == "" && (err != nil || string(b) != hookSecret) || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %q, %v, want %q", b, err, tt.want)
			}
		})
	}
	if _, err := (&notices{Webhook: "https://hooks.example.net/"}).secret(); err == nil {
		t.Error("a webhook without a secret")
	}
	if b, err := (&notices{SecretFile: "/nonexistent"}).secret(); b != nil || err != nil {
		t.Errorf("no webhook, and its secret is read: %q, %v", b, err)
	}
}
