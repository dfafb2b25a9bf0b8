package report

import (
	"bytes"
	"strings"
	"testing"

	"relaysweep/probe"
)

// Two sites may have a server at the same private address: these are two findings, for DefectDojo and for SARIF. Where no
// site is set, the id is what it always was.
func TestTheSiteIsPartOfTheIdentity(t *testing.T) {
	for site, want := range map[string]string{"": "internet/10.0.0.1:25/may-relay", "hq": "hq/internet/10.0.0.1:25/may-relay", "branch": "branch/internet/10.0.0.1:25/may-relay"} {
		r := New(Input{Scan: Scan{Site: site, Vantage: "internet"}, Findings: []probe.Finding{finding("10.0.0.1:25", "Postfix", "Postfix", "3.11.6", "mx", attempt("S1", "", ok, ok))}})
		var dojo bytes.Buffer
		if err := WriteDefectDojo(&dojo, r); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(dojo.String(), `"relaysweep/`+want+`"`) {
			t.Errorf("site %q: no %s in %s", site, want, dojo.String())
		}
		if got := readSARIF(t, r).Results[0].PartialFingerprints["relaysweep/v1"]; got != want {
			t.Errorf("site %q: SARIF has %s, want %s", site, got, want)
		}
	}
}
