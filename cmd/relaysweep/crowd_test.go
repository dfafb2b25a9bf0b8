package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"relaysweep/probe/smtp/smtptest"
)

// A host on which every port is open and silent is one finding beside the few that are probed, and a server that speaks
// among them is found all the same. An interrupted scan that goes on does not listen again.
func TestCrowd(t *testing.T) {
	const host, first, silent, speaks = "127.77.0.1", 21000, 60, 21055
	for port := first; port < first+silent; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", host, port))
		if err != nil {
			t.Skipf("needs to listen on %s: %v", host, err)
		}
		if port != speaks {
			t.Cleanup(func() { l.Close() })
			continue
		}
		d, err := smtptest.Parse("closed", strings.NewReader(victims["closed"]))
		if err != nil {
			t.Fatal(err)
		}
		server := &smtptest.Server{Dialog: d}
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		t.Cleanup(func() {
			if err := server.Close(); err != nil {
				t.Error(err)
			}
			<-served
		})
	}
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	var out, talk bytes.Buffer
	p := &program{strings.NewReader(""), &out, &talk}
	file := filepath.Join(t.TempDir(), "report.txt")
	code := p.run(context.Background(), []string{
		"relaysweep", "scan", "--json", "-o", file, "--seed", "1", "-p", fmt.Sprintf("%d-%d", first, first+silent-1), "--rate", "0", "--rate-per-net", "0", "--rate-per-host", "0",
		"--greeting-timeout", "500ms", "--service-timeout", "3s", host,
	})
	if code != exitDone {
		t.Fatalf("exit %d\n%s", code, talk.String())
	}
	endpoints, crowds, mail := 0, 0, 0
	for line := range strings.Lines(out.String()) {
		var o struct {
			Type, Crowd, Class string
			Port               uint16
			Protocol           string
		}
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatal(err)
		}
		if o.Type != "finding" {
			continue
		}
		endpoints++
		if o.Crowd != "" {
			crowds++
		}
		if o.Protocol == "smtp" {
			mail++
			if o.Port != speaks {
				t.Errorf("mail on port %d", o.Port)
			}
		}
	}
	if crowds != 1 || mail != 1 || endpoints > crowdAfter+2 {
		t.Errorf("got %d findings, %d crowds, %d mail servers, want %d at most, 1 and 1", endpoints, crowds, mail, crowdAfter+2)
	}
}
