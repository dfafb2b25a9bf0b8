package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayImport is the table of DESIGN.md, section 3: imports run one way. A new package must be placed here before it can
// exist. Rows of packages that do not exist yet wait for them.
var mayImport = map[string][]string{
	"ratelimit":         nil,
	"discover/packet":   nil,
	"discover/names":    nil,
	"probe/smtp":        nil,
	"discover":          {"discover/packet", "ratelimit"},
	"discover/source":   {"discover", "discover/names"},
	"discover/firewall": {"discover"},
	"probe/fingerprint": {"probe/smtp"},
	"probe":             {"discover", "discover/names", "probe/smtp", "probe/fingerprint", "ratelimit"},
	"probe/canary":      {"probe"},
	"probe/fleet":       {"discover", "probe"},
	"report":            {"discover", "discover/firewall", "probe", "probe/smtp"},
	"report/inventory":  {"discover", "probe", "probe/smtp", "report"},
	"report/notify":     {"probe", "report"},
	"report/web":        {"discover", "probe", "report"},
	"cmd/relaysweep":    {"*"},

	// Fakes, for tests and the demo.
	"discover/discovertest": {"discover", "ratelimit"},
	"probe/smtp/smtptest":   nil,
}

// fakes may be imported by test files of every package, and by the program, whose demo is made of them.
var fakes = []string{"discover/discovertest", "probe/smtp/smtptest"}

// listed is what go list says of a package.
type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

const modulePath = "relaysweep"

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", modulePath+"/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// ours returns the imports of this module, without its name.
func ours(imports []string) (out []string) {
	for _, i := range imports {
		if p, ok := strings.CutPrefix(i, modulePath+"/"); ok {
			out = append(out, p)
		} else if i == modulePath {
			out = append(out, ".")
		}
	}
	return out
}

func TestImportsRunOneWay(t *testing.T) {
	all := packages(t)
	if len(all) < 10 {
		t.Fatalf("go list knows only %d packages", len(all))
	}
	for _, p := range all {
		name := "."
		if n, ok := strings.CutPrefix(p.ImportPath, modulePath+"/"); ok {
			name = n
		}
		allowed, placed := mayImport[name]
		if !placed {
			t.Errorf("package %s has no place in the table of imports (DESIGN.md, section 3)", name)
			continue
		}
		for _, i := range ours(p.Imports) {
			if !slices.Contains(allowed, i) && !slices.Contains(allowed, "*") {
				t.Errorf("%s imports %s, which the table of imports does not allow (DESIGN.md, section 3)", name, i)
			}
		}
		// Tests may use what lies below their package, however deep, and fakes.
		for _, i := range ours(slices.Concat(p.TestImports, p.XTestImports)) {
			if i != name && !below(i, name) && !slices.Contains(fakes, i) {
				t.Errorf("a test of %s imports %s, which does not lie below it in the table of imports (DESIGN.md, section 3)", name, i)
			}
		}
	}
}

// below reports whether a package lies below another in the table.
func below(name, top string) bool {
	for _, i := range mayImport[top] {
		if i == name || i == "*" || below(name, i) {
			return true
		}
	}
	return false
}

// The table itself runs one way.
func TestImportTableHasNoCircle(t *testing.T) {
	var visit func(name string, path []string)
	visit = func(name string, path []string) {
		if slices.Contains(path, name) {
			t.Fatalf("a circle: %v", append(path, name))
		}
		for _, i := range mayImport[name] {
			if _, ok := mayImport[i]; !ok && i != "*" {
				t.Errorf("%s may import %s, which is not in the table", name, i)
			}
			visit(i, append(slices.Clone(path), name))
		}
	}
	for name := range mayImport {
		visit(name, nil)
	}
}

// The five folders, and nothing else with Go code at the top.
func TestFiveFolders(t *testing.T) {
	for name := range mayImport {
		top, _, _ := strings.Cut(name, "/")
		if !slices.Contains([]string{"cmd", "discover", "probe", "report", "ratelimit"}, top) {
			t.Errorf("%s is in none of the five folders", name)
		}
	}
}
