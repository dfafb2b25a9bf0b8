package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"relaysweep/probe"
)

// FuzzMachines holds that whatever a server says, outputs for machines are printable, and are read back with as many
// findings as there are.
func FuzzMachines(f *testing.F) {
	for _, s := range append(markup, hostile, "CN=mx.org.example,O=A\\, B+OU=x", "=1+1", `"],"runs":[`, "a;=b\r\n@c") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 1000 {
			return // replies are bounded where they are read
		}
		in := marked(s)
		findings := []probe.Finding{in.Entries[0].Finding, in.Entries[1].Finding}
		findings[0].TLS = &probe.TLS{Mode: s, Version: s, Cipher: s, Subject: s, Issuer: s, SHA256: s, NotAfter: began}
		r := New(Input{Scan: in.Scan, Findings: findings})
		outputs := make(map[string]string)
		for _, name := range []string{"SARIF", "DefectDojo", "Prometheus", "Shadowserver's CSV"} {
			var b bytes.Buffer
			if err := renderers()[name](&b, r); err != nil {
				t.Fatal(err)
			}
			outputs[name] = b.String()
			if out := strings.ReplaceAll(b.String(), "\n", ""); plain(out) != out {
				t.Fatalf("%s is not printable: %q", name, out)
			}
		}
		var log struct {
			Runs []struct {
				Results []struct{ Properties struct{ Greeting string } }
			}
		}
		if err := json.Unmarshal([]byte(outputs["SARIF"]), &log); err != nil || len(log.Runs) != 1 || len(log.Runs[0].Results) != 2 || log.Runs[0].Results[0].Properties.Greeting != valid(s) {
			t.Errorf("SARIF: %v, got %+v", err, log)
		}
		var dojo struct{ Findings []dojoRead }
		if err := json.Unmarshal([]byte(outputs["DefectDojo"]), &dojo); err != nil || len(dojo.Findings) != 2 {
			t.Errorf("DefectDojo: %v, got %d", err, len(dojo.Findings))
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		if families, err := parser.TextToMetricFamilies(strings.NewReader(outputs["Prometheus"])); err != nil || len(families) < 8 {
			t.Errorf("Prometheus: %v, got %d", err, len(families))
		}
		rows, err := csv.NewReader(strings.NewReader(outputs["Shadowserver's CSV"])).ReadAll()
		if err != nil || len(rows) != 1+r.Totals.Mail {
			t.Errorf("CSV: %v, got %d rows", err, len(rows))
		}
		for _, row := range rows {
			for _, cell := range row {
				if formula.MatchString(cell) {
					t.Errorf("a formula: %q", cell)
				}
			}
		}
	})
}
