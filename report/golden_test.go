package report

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

func TestGolden(t *testing.T) {
	table := func(o TableOptions) func(io.Writer, *Report) error {
		return func(w io.Writer, r *Report) error { return WriteTable(w, r, o) }
	}
	nothing := func() *Report { return New(Input{}) }
	ruled := func() *Report { return ruled(t) }
	for _, test := range []struct {
		name   string
		report func() *Report
		write  func(io.Writer, *Report) error
	}{
		{"full.60.txt", full, table(TableOptions{Width: 60})},
		{"full.80.txt", full, table(TableOptions{Width: 80})},
		{"full.120.txt", full, table(TableOptions{Width: 120})},
		{"full.ascii.txt", full, table(TableOptions{ASCII: true})},
		{"full.verbose.txt", full, table(TableOptions{Verbose: true})},
		{"full.colour.txt", full, table(TableOptions{Colour: true})},
		{"full.jsonl", full, WriteJSONL},
		{"full.csv", full, WriteCSV},
		{"full.html", full, WriteHTML},
		{"full.nmap.xml", full, WriteNmapXML},
		{"full.sarif", full, WriteSARIF},
		{"full.defectdojo.json", full, WriteDefectDojo},
		{"full.prom", full, WritePrometheus},
		{"full.shadowserver.csv", full, WriteShadowserver},
		{"rules.txt", ruled, table(TableOptions{})},
		{"rules.60.txt", ruled, table(TableOptions{Width: 60})},
		{"rules.jsonl", ruled, WriteJSONL},
		{"rules.csv", ruled, WriteCSV},
		{"rules.html", ruled, WriteHTML},
		{"approvals.txt", approvedGolden, table(TableOptions{Verbose: true})},
		{"approvals.60.txt", approvedGolden, table(TableOptions{Width: 60})},
		{"approvals.ja.txt", func() *Report { return approvedGolden().In(Japanese) }, table(TableOptions{})},
		{"approvals.jsonl", approvedGolden, WriteJSONL},
		{"approvals.csv", approvedGolden, WriteCSV},
		{"approvals.html", approvedGolden, WriteHTML},
		{"forgotten.txt", registered, table(TableOptions{})},
		{"forgotten.60.txt", registered, table(TableOptions{Width: 60})},
		{"forgotten.ja.txt", func() *Report { return registered().In(Japanese) }, table(TableOptions{})},
		{"forgotten.jsonl", registered, WriteJSONL},
		{"forgotten.csv", registered, WriteCSV},
		{"forgotten.html", registered, WriteHTML},
		{"since.txt", withPast, table(TableOptions{})},
		{"since.60.txt", withPast, table(TableOptions{Width: 60})},
		{"since.ja.txt", func() *Report { return withPast().In(Japanese) }, table(TableOptions{})},
		{"since.jsonl", withPast, WriteJSONL},
		{"since.csv", withPast, WriteCSV},
		{"since.html", withPast, WriteHTML},
		{"quiet.txt", quiet, table(TableOptions{})},
		{"quiet.html", quiet, WriteHTML},
		{"nothing.txt", nothing, table(TableOptions{})},
		{"nothing.jsonl", nothing, WriteJSONL},
		{"nothing.csv", nothing, WriteCSV},
		{"nothing.nmap.xml", nothing, WriteNmapXML},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got bytes.Buffer
			if err := test.write(&got, test.report()); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", test.name)
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s differs; look at it, then go test ./report -update\n%s", file, firstDifference(got.Bytes(), want))
			}
		})
	}
}

func firstDifference(got, want []byte) string {
	g, w := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range min(len(g), len(w)) {
		if !bytes.Equal(g[i], w[i]) {
			return "got  " + string(g[i]) + "\nwant " + string(w[i])
		}
	}
	return "one is longer than the other"
}
