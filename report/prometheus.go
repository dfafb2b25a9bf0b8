package report

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"

	"relaysweep/probe"
)

// WritePrometheus writes the figures of a scan for the textfile collector of Prometheus' node_exporter. None of them
// names an endpoint: there are as many series for one server as for a thousand.
func WritePrometheus(w io.Writer, r *Report) error {
	families, err := figures([]*Report{r}).Gather()
	if err != nil {
		return err
	}
	enc := expfmt.NewEncoder(w, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			return err
		}
	}
	return nil
}

// Metrics serves the figures of reports, one a vantage, as WritePrometheus writes them. It asks for them at each request;
// where they are not to be had it answers 500 and says no more.
func Metrics(latest func(context.Context) ([]*Report, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		reports, err := latest(req.Context())
		if err != nil {
			http.Error(w, "the figures are not to be had", http.StatusInternalServerError)
			return
		}
		promhttp.HandlerFor(figures(reports), promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(w, req)
	})
}

// figures counts. Of reports of one vantage the last one's times count.
func figures(reports []*Report) prometheus.Gatherer {
	reg := prometheus.NewRegistry()
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "relaysweep", Name: name, Help: help}, append([]string{"vantage"}, labels...))
		reg.MustRegister(g)
		return g
	}
	findings := gauge("findings", "Endpoints that answered.", "class", "verdict", "severity")
	exposed := gauge("exposed_relays", "Endpoints that relay, as far as can be told.")
	may := gauge("possible_relays", "Endpoints that may relay, and cannot be told from a relay.")
	proven := gauge("proven_relays", "Endpoints whose canary came home.")
	targets := gauge("targets", "Addresses and ports by what they showed; silence (filtered) is not closed.", "state")
	rules := gauge("rule_targets", "Addresses and ports by what the firewall rules say beside what the scan saw.", "state")
	complete := gauge("scan_complete", "Whether everything in scope was looked at.")
	exit := gauge("scan_exit_code", "Exit code of the scan: 3 is incomplete.")
	missed := gauge("scan_expected_missed_openings", "Openings that lost every packet, as the loss that was seen lets expect.")
	started := gauge("scan_start_timestamp_seconds", "When the scan began.")
	ended := gauge("scan_end_timestamp_seconds", "When the scan ended.")
	took := gauge("scan_duration_seconds", "How long the scan took.")
	info := gauge("scan_info", "What scanned.", "engine", "version")

	for _, r := range reports {
		s := &r.Scan
		vantage := plain(s.Vantage)
		for _, g := range []*prometheus.GaugeVec{exposed, may, proven} {
			g.WithLabelValues(vantage) // none is a figure as well
		}
		for i := range r.Entries {
			e := &r.Entries[i]
			from := plain(e.Finding.Vantage)
			findings.WithLabelValues(from, string(e.Class), e.Verdict.String(), e.Severity.String()).Inc()
			exposed.WithLabelValues(from).Add(one(e.exposed()))
			may.WithLabelValues(from).Add(one(e.mayRelay()))
			proven.WithLabelValues(from).Add(one(e.Verdict == probe.Delivered))
		}
		t := r.Totals.Coverage
		for state, n := range map[string]uint64{
			"open": t.Open, "closed": t.Closed, "filtered": t.Filtered, "prohibited": t.Prohibited, "unreachable": t.Unreachable, "not-attempted": t.NotAttempted, "failed": t.Failed, "excluded": t.Excluded,
		} {
			targets.WithLabelValues(vantage, state).Set(float64(n))
		}
		if c := r.Rules; c != nil {
			for state, n := range map[string]int{
				"explained": c.Explained, "possibly": c.Possibly, "unexplained": c.Unexplained, "unread": c.Unread, "intended": c.Intended, "answered": c.Answered, "stale": c.Stale, "not-known": c.NotKnown,
			} {
				rules.WithLabelValues(vantage, state).Set(float64(n))
			}
		}
		complete.WithLabelValues(vantage).Set(one(s.Complete))
		exit.WithLabelValues(vantage).Set(float64(s.Exit))
		missed.WithLabelValues(vantage).Set(s.ExpectedMissed)
		at(started, vantage, s.Started)
		at(ended, vantage, s.Ended)
		if !s.Started.IsZero() && !s.Ended.IsZero() {
			took.WithLabelValues(vantage).Set(s.Ended.Sub(s.Started).Seconds())
		}
		info.DeletePartialMatch(prometheus.Labels{"vantage": vantage})
		info.WithLabelValues(vantage, plain(s.Engine), raw(s.Version)).Set(1)
	}
	return reg
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// at sets a time that is known.
func at(g *prometheus.GaugeVec, vantage string, t time.Time) {
	if !t.IsZero() {
		g.WithLabelValues(vantage).Set(float64(t.UnixMilli()) / 1000)
	}
}
