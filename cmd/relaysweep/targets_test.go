package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The token of NetBox comes from the environment, or from a file, and is shown nowhere.
func TestNetBoxToken(t *testing.T) {
	var asked []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Authorization"))
		fmt.Fprint(w, `{"next":null,"results":[{"address":"127.0.0.25/8"},{"address":"192.0.2.25/24"}]}`)
	}))
	defer api.Close()
	dir := t.TempDir()
	file, large, empty := filepath.Join(dir, "token"), filepath.Join(dir, "large"), filepath.Join(dir, "empty.yaml")
	for name, text := range map[string]string{file: "of-the-file\n", large: strings.Repeat("x", maxToken+1), empty: ""} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(variable string, args ...string) (code int, text string) {
		t.Setenv(tokenVariable, variable)
		var out, err bytes.Buffer
		p := &program{strings.NewReader(""), &out, &err}
		code = p.run(t.Context(), slices.Concat([]string{"relaysweep", "scan", "--config", empty, "--explain-targets", "--targets-from", "netbox:" + api.URL + "/api/ipam/ip-addresses/"}, args))
		return code, out.String() + err.String()
	}
	host := strings.TrimPrefix(api.URL, "http://")
	want := fmt.Sprintf("target\t127.0.0.25\tnetbox:%s\nleft out\t192.0.2.25\tnetbox:%s\toutside the scope\nrelaysweep: asking NetBox at %s for targets\n", host, host, host)
	for _, args := range [][]string{{"of-the-environment"}, {"of-the-environment", "--netbox-token-file", file}, {"", "--netbox-token-file", file}, {""}} {
		if code, text := run(args[0], args[1:]...); code != exitDone || text != want {
			t.Errorf("%q: got %d, %q, want %q", args, code, text, want)
		}
	}
	if want := []string{"Token of-the-environment", "Token of-the-environment", "Token of-the-file", ""}; !slices.Equal(asked, want) {
		t.Errorf("got %q, want %q", asked, want)
	}
	for _, name := range []string{large, filepath.Join(dir, "missing")} {
		if code, text := run("", "--netbox-token-file", name); code != exitUsage || strings.Contains(text, "xxx") {
			t.Errorf("%s: got %d, %q", name, code, text)
		}
	}
	if len(asked) != 4 {
		t.Errorf("asked %d times without a token that could be read", len(asked)-4)
	}
}

// The pace of questions is of the resolver that was named, in either family.
func TestDNSPace(t *testing.T) {
	for _, resolver := range []string{"127.0.0.53:53", "[::1]:53"} {
		wait, err := dnsPace(resolver)
		if err != nil {
			t.Errorf("%s: %v", resolver, err)
			continue
		}
		if err := wait(t.Context()); err != nil {
			t.Errorf("%s: %v", resolver, err)
		}
	}
}
