package firewall

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fixtures are the exports of testdata, those of one device together.
func fixtures(t testing.TB) map[string][]Export {
	t.Helper()
	names, err := filepath.Glob("testdata/*/*.flows")
	if err != nil || len(names) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	out := make(map[string][]Export)
	for _, name := range names {
		stem := strings.TrimSuffix(name, ".flows")
		files, _ := filepath.Glob(stem + ".*")
		more, _ := filepath.Glob(stem + "-*.*")
		for _, f := range append(files, more...) {
			if strings.HasSuffix(f, ".flows") {
				continue
			}
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			out[stem] = append(out[stem], Export{File: File{Name: f}, Data: b})
		}
	}
	return out
}

// with returns exports whose bytes are changed.
func with(files []Export, change func([]byte) []byte) []Export {
	out := slices.Clone(files)
	for i := range out {
		out[i].Data = change(bytes.Clone(out[i].Data))
	}
	return out
}

// listed writes all that is understood of a ruleset, without where texts are cut.
func listed(rs *Ruleset) string {
	var b strings.Builder
	for _, s := range rs.Steps {
		fmt.Fprintf(&b, "%+v\n", s)
	}
	for _, name := range sortedNames(rs.Chains) {
		c := rs.Chains[name]
		fmt.Fprintf(&b, "%s %v %s\n", name, c.Policy, c.PolicyText)
		for _, r := range c.Rules {
			fmt.Fprintf(&b, " %s %d %v %+v %+v %q\n", r.ID, r.Where.Line, r.Action, r.Match, r.To, r.Text)
		}
	}
	for _, n := range rs.Notes {
		fmt.Fprintf(&b, "%d %s\n", n.Where.Line, n.Text)
	}
	return b.String()
}

// Files that were carried through other systems have other line ends, mixed ones, and a byte order mark.
func TestLineEndsDoNotMatter(t *testing.T) {
	for stem, files := range fixtures(t) {
		plain, err := Read("fw", with(files, func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) })...)
		if err != nil {
			t.Fatal(err)
		}
		for name, change := range map[string]func([]byte) []byte{
			"CRLF": func(b []byte) []byte {
				return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
			},
			"mixed": func(b []byte) []byte {
				n := 0
				var out []byte
				for _, c := range bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) {
					if c == '\n' {
						if n++; n%2 == 0 {
							out = append(out, '\r')
						}
					}
					out = append(out, c)
				}
				return out
			},
			"a byte order mark": func(b []byte) []byte { return append(bytes.Clone(bom), b...) },
		} {
			got, err := Read("fw", with(files, change)...)
			if err != nil {
				t.Errorf("%s, %s: %v", stem, name, err)
				continue
			}
			if a, b := listed(got), listed(plain); a != b {
				t.Errorf("%s, %s: reads otherwise:\n%.600s\nand without:\n%.600s", stem, name, a, b)
			}
		}
	}
}

// A file that was cut, or is followed by garbage, is an error of one line that names the file, or is read as far as it
// goes; it is never a panic.
func TestCutExports(t *testing.T) {
	for stem, files := range fixtures(t) {
		size := len(files[0].Data)
		for _, n := range []int{size - 1, size - 2, size * 9 / 10, size * 3 / 4, size / 2, size / 3, size / 4, size / 10, 40, 3, 0} {
			cut := slices.Clone(files)
			cut[0].Data = cut[0].Data[:min(max(n, 0), size)]
			if _, err := Read("fw", cut...); err != nil {
				checkError(t, fmt.Sprintf("%s, cut at %d", stem, n), err)
			}
		}
		for _, garbage := range []string{"\x00\x01\x02", strings.Repeat("{[<", 2000), strings.Repeat("A", 1<<16), "\n!@#$%^&*()\n"} {
			if _, err := Read("fw", with(files, func(b []byte) []byte { return append(b, garbage...) })...); err != nil {
				checkError(t, stem+", garbage behind it", err)
			}
		}
	}
}

func checkError(t *testing.T, what string, err error) {
	t.Helper()
	if s := err.Error(); !strings.HasPrefix(s, "testdata/") || strings.ContainsAny(s, "\n\x00") || len(s) > 1500 {
		t.Errorf("%s: the error is no line that names the file: %.300q", what, s)
	}
}

func TestWrongExports(t *testing.T) {
	read := func(name, text string) error {
		_, err := Read("fw", Export{File: File{Name: name}, Data: []byte(text)})
		return err
	}
	for name, text := range map[string]string{"empty": "", "blank": " \n\n", "binary": "\x7fELF\x02\x01\x01", "HTML": "<html><body>Login</body></html>", "JSON": `{"a": [1, 2]}`, "prose": "permit me to say\n"} {
		err := read(name, text)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if s := err.Error(); !strings.HasPrefix(s, name+":") || strings.Contains(s, "\n") {
			t.Errorf("%s: got %q, want a line that names the file and what to export", name, s)
		}
	}
	if _, err := Read("fw"); err == nil {
		t.Error("no file: no error")
	}
	// Exports of two languages are not of one device.
	all := fixtures(t)
	var two []Export
	seen := make(map[*language]bool)
	for _, stem := range sortedStems(all) {
		if l := find(all[stem][0].Data); !seen[l] && len(two) < 2 {
			seen[l] = true
			two = append(two, all[stem][0])
		}
	}
	if _, err := Read("fw", two...); len(two) == 2 && (err == nil || !strings.Contains(err.Error(), "in one language")) {
		t.Errorf("two languages: got %v", err)
	}
}

func sortedStems(m map[string][]Export) []string {
	var out []string
	for s := range m {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

// What the exports hold of secrets is in none of the texts: fixtures write the word hunter2 into each.
func TestSecretsStayInTheExport(t *testing.T) {
	held := 0
	for stem, files := range fixtures(t) {
		for _, f := range files {
			held += bytes.Count(f.Data, []byte("hunter2"))
		}
		rs, err := Read("fw", files...)
		if err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprintf("%+v", rs) + listed(rs); strings.Contains(text, "hunter2") {
			at := strings.Index(text, "hunter2")
			t.Errorf("%s: a secret came through: %.200q", stem, text[max(0, at-100):])
		}
	}
	if clean(`set password "hunter2" next`, 100) != `set password … next` || strings.Contains(clean("snmp-server community hunter2 RO", 100), "hunter2") {
		t.Error("clean leaves secrets in a text")
	}
	t.Logf("%d secrets in the fixtures", held)
}

func TestSigned(t *testing.T) {
	for comment, want := range map[string]string{
		"mail in, owner: netops@org.example CHG0012345": "netops@org.example CHG0012345",
		"Owner=alice; ticket #4711":                     "alice 4711",
		"所管課:情報政策課 REQ-77":                              "情報政策課 REQ-77",
		"担当 whoever":                                    " ",
		"JIRA OPS-123 temporary":                        " OPS-123",
		"refers to nothing":                             " ",
		"":                                              " ",
	} {
		if owner, ticket := signed(comment); owner+" "+ticket != want {
			t.Errorf("%q: got %q, want %q", comment, owner+" "+ticket, want)
		}
	}
}

func TestSecretsOfPeopleAreNotShown(t *testing.T) {
	for text, want := range map[string]string{
		"パスワード: hunter2":                "パスワード: …",
		"パスワード＝hunter2":                 "パスワード＝…",
		"pwd: hunter2":                  "pwd: …",
		"PW=hunter2":                    "PW=…",
		"pass hunter2 for relay":        "pass … for relay",
		"pass: hunter2":                 "pass: …",
		"password is hunter2":           "password is …",
		"password 7 hunter2":            "password 7 …",
		"psksecret ENC hunter2":         "psksecret ENC …",
		"snmp community ro hunter2":     "snmp community ro …",
		"https://admin:hunter2@fw/":     "https://admin:…@fw/",
		"Authorization: Bearer hunter2": "Authorization: Bearer …",
		"pass in quick inet6":           "pass in quick inet6",
		"pass inet6 proto tcp":          "pass inet6 proto tcp",
		"pass mail to mx1":              "pass mail to mx1",
		"https://fw.example:8443/x":     "https://fw.example:8443/x",
		"パスワード変更の件":                     "パスワード変更の件",
		"forbearer of hunter2":          "forbearer of hunter2",
	} {
		got := clean(text, 100)
		if got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
		if again := clean(got, 100); again != got {
			t.Errorf("%s: cleaned again it is %s", got, again)
		}
	}
}
