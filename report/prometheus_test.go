package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"relaysweep/probe"
)

// series are the values of a text, by name and labels, as Prometheus' own parser reads them.
func series(t *testing.T, text io.Reader) map[string]float64 {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]float64)
	for name, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				if l.GetValue() == "" {
					continue // for Prometheus it is not there
				}
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			out[name+"{"+strings.Join(labels, ",")+"}"] = m.GetGauge().GetValue()
		}
	}
	return out
}

func TestPrometheusFigures(t *testing.T) {
	got := series(t, strings.NewReader(render(t, WritePrometheus, ruled(t))))
	for name, want := range map[string]float64{
		`relaysweep_findings{class="relay",severity="critical",vantage="internet",verdict="delivered"}`: 2,
		`relaysweep_findings{class="auth-only",severity="low",vantage="internet",verdict="refused"}`:    1,
		`relaysweep_exposed_relays{vantage="internet"}`:                                                 5,
		`relaysweep_possible_relays{vantage="internet"}`:                                                1,
		`relaysweep_proven_relays{vantage="internet"}`:                                                  2,
		`relaysweep_targets{state="open",vantage="internet"}`:                                           12,
		`relaysweep_targets{state="filtered",vantage="internet"}`:                                       30,
		`relaysweep_targets{state="not-attempted",vantage="internet"}`:                                  3,
		`relaysweep_targets{state="excluded",vantage="internet"}`:                                       16,
		`relaysweep_rule_targets{state="unexplained",vantage="internet"}`:                               6,
		`relaysweep_scan_complete{vantage="internet"}`:                                                  0,
		`relaysweep_scan_exit_code{vantage="internet"}`:                                                 3,
		`relaysweep_scan_expected_missed_openings{vantage="internet"}`:                                  0,
		`relaysweep_scan_start_timestamp_seconds{vantage="internet"}`:                                   float64(began.Unix()),
		`relaysweep_scan_end_timestamp_seconds{vantage="internet"}`:                                     float64(began.Unix()) + 851,
		`relaysweep_scan_duration_seconds{vantage="internet"}`:                                          851,
		`relaysweep_scan_info{engine="connect",vantage="internet",version="0.1.0"}`:                     1,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s: got %v (%v), want %v", name, v, ok, want)
		}
	}
	// None found is a figure; a time that is not known is none.
	got = series(t, strings.NewReader(render(t, WritePrometheus, New(Input{Scan: Scan{Vantage: "dmz"}}))))
	if v, ok := got[`relaysweep_exposed_relays{vantage="dmz"}`]; !ok || v != 0 {
		t.Errorf("no relay: got %v, %v", v, ok)
	}
	for name := range got {
		if strings.Contains(name, "timestamp") || strings.Contains(name, "duration") || strings.Contains(name, "rule_targets") {
			t.Errorf("nothing is known, and there is %s", name)
		}
	}
}

// The number of series does not grow with the number of servers, and no label holds what a stranger said.
func TestPrometheusHasFewSeries(t *testing.T) {
	var many []probe.Finding
	for i := range 100 {
		f := finding(fmt.Sprintf("192.0.2.%d:25", i+1), fmt.Sprint("vendor", i), fmt.Sprint("product", i), fmt.Sprint(i), fmt.Sprintf("mx%d.example", i), attempt("S1", "", ok, taken))
		f.Greeting = fmt.Sprint(hostile, i)
		many = append(many, f)
	}
	of := func(n int) []string {
		return slices.Sorted(maps.Keys(series(t, strings.NewReader(render(t, WritePrometheus, New(Input{Scan: scan(), Findings: many[:n]}))))))
	}
	if one, all := of(1), of(100); !slices.Equal(one, all) {
		t.Errorf("got %q for one, %q for a hundred", one, all)
	}
}

func TestPromtoolTakesIt(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("needs promtool, of Debian's prometheus")
	}
	check := func(text string) error {
		cmd := exec.Command(promtool, "check", "metrics")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
			return fmt.Errorf("%v: %.500s", err, out)
		}
		return nil
	}
	for i, r := range append([]*Report{full(), everywhere(), ruled(t), quiet(), New(Input{})}, markedAll()...) {
		if err := check(render(t, WritePrometheus, r)); err != nil {
			t.Errorf("report %d: %v", i, err)
		}
	}
	if check("relaysweep_findings_total 1\n") == nil {
		t.Error("promtool takes anything")
	}
}

func TestMetricsAreServed(t *testing.T) {
	inside := scan()
	inside.Vantage, inside.Complete, inside.Exit = "inside", true, 0
	earlier := inside
	earlier.Complete = false
	relays := finding("10.20.0.25:25", "Exim", "Exim", "4.99", "mx", attempt("S1", "", ok, taken))
	relays.Vantage = ""
	there := FiguresOf(full())
	there.Site = "kyoto"
	figures, fault := []Figures{FiguresOf(full()), there, FiguresOf(New(Input{Scan: earlier})), FiguresOf(New(Input{Scan: inside, Findings: []probe.Finding{relays}}))}, error(nil)
	h := Metrics(func(context.Context) ([]Figures, error) { return figures, fault })
	get := func() *http.Response {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return w.Result()
	}
	res := get()
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("got %s, %s", res.Status, res.Header.Get("Content-Type"))
	}
	got := series(t, res.Body)
	for name, want := range map[string]float64{
		`relaysweep_exposed_relays{vantage="internet"}`: 5, `relaysweep_exposed_relays{site="kyoto",vantage="internet"}`: 5, `relaysweep_exposed_relays{vantage="inside"}`: 1,
		`relaysweep_scan_complete{vantage="internet"}`: 0, `relaysweep_scan_complete{vantage="inside"}`: 1, // the later one
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s: got %v (%v), want %v", name, v, ok, want)
		}
	}
	figures = nil
	if res := get(); res.StatusCode != http.StatusOK {
		t.Errorf("no scan yet: got %s", res.Status)
	}
	fault = errors.New("inventory /secret/place: disk full")
	res = get()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusInternalServerError || strings.Contains(string(body), "secret") {
		t.Errorf("got %s: %q, %v", res.Status, body, err)
	}
}
