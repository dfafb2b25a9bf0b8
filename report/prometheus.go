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

// Figures are what a scan comes to in numbers. None of them names an endpoint: there are as many for one server as for a
// thousand.
type Figures struct {
	Scan       Scan
	Found      map[Found]int
	Coverage   Tally
	Rules      *Reconciliation       // without its lists; nil: no rules were read
	Changes    map[ChangeKind]int    // since the scan before; nil: not known
	Violations map[ApprovalState]int // nil: no approvals were read
	Naming     *Naming               // nil: nobody was asked who names the servers
}

// Found is a kind of finding.
type Found struct {
	Vantage  string
	Class    probe.Class
	Verdict  probe.Verdict
	Severity Severity
}

// FiguresOf counts.
func FiguresOf(r *Report) Figures {
	out := Figures{Scan: r.Scan, Found: make(map[Found]int), Coverage: r.Totals.Coverage}
	for _, e := range r.Entries {
		out.Found[Found{e.Finding.Vantage, e.Class, e.Verdict, e.Severity}]++
	}
	if r.Changes != nil {
		out.Changes = r.Changes.count()
	}
	if r.Approvals != nil {
		out.Violations = make(map[ApprovalState]int)
		for i := range r.Violations {
			out.Violations[r.Violations[i].Kind]++
		}
	}
	out.Naming = r.Naming
	if c := r.Rules; c != nil {
		out.Rules = &Reconciliation{Explained: c.Explained, Possibly: c.Possibly, Unexplained: c.Unexplained, Unread: c.Unread, Intended: c.Intended, Answered: c.Answered, Stale: c.Stale, NotKnown: c.NotKnown}
	}
	return out
}

// WritePrometheus writes the figures of a scan for the textfile collector of Prometheus' node_exporter.
func WritePrometheus(w io.Writer, r *Report) error {
	families, err := gather([]Figures{FiguresOf(r)}).Gather()
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

// Metrics serves figures as WritePrometheus writes them. It asks for them at each request; where they are not to be had
// it answers 500 and says no more.
func Metrics(latest func(context.Context) ([]Figures, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		list, err := latest(req.Context())
		if err != nil {
			http.Error(w, "the figures are not to be had", http.StatusInternalServerError)
			return
		}
		promhttp.HandlerFor(gather(list), promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(w, req)
	})
}

// gather makes series of figures. Findings of one vantage are added up; of its scans the last one counts.
func gather(list []Figures) prometheus.Gatherer {
	reg := prometheus.NewRegistry()
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "relaysweep", Name: name, Help: help}, append([]string{"site", "vantage"}, labels...))
		reg.MustRegister(g)
		return g
	}
	findings := gauge("findings", "Endpoints that answered.", "class", "verdict", "severity")
	exposed := gauge("exposed_relays", "Endpoints that relay, as far as can be told.")
	may := gauge("possible_relays", "Endpoints that may relay, and cannot be told from a relay.")
	proven := gauge("proven_relays", "Endpoints whose canary came home.")
	targets := gauge("targets", "Addresses and ports by what they showed; silence (filtered) is not closed.", "state")
	rules := gauge("rule_targets", "Addresses and ports by what the firewall rules say beside what the scan saw.", "state")
	changes := gauge("changes", "Endpoints by what became of them since the scan before; what nobody could look at is not-rechecked.", "kind")
	violations := gauge("approval_violations", "What stands against the approvals.", "kind")
	forgotten := gauge("forgotten_listeners", "Mail listeners that nothing names that was asked.")
	complete := gauge("scan_complete", "Whether everything in scope was looked at.")
	exit := gauge("scan_exit_code", "Exit code of the scan: 3 is incomplete.")
	missed := gauge("scan_expected_missed_openings", "Openings that lost every packet, as the loss that was seen lets expect.")
	started := gauge("scan_start_timestamp_seconds", "When the scan began.")
	ended := gauge("scan_end_timestamp_seconds", "When the scan ended.")
	took := gauge("scan_duration_seconds", "How long the scan took.")
	info := gauge("scan_info", "What scanned.", "engine", "version")

	for _, f := range list {
		s, site, vantage := &f.Scan, plain(f.Scan.Site), plain(f.Scan.Vantage)
		for _, g := range []*prometheus.GaugeVec{exposed, may, proven} {
			g.WithLabelValues(site, vantage) // none is a figure as well
		}
		for k, n := range f.Found {
			e, n := Entry{Class: k.Class, Verdict: k.Verdict}, float64(n)
			from := plain(k.Vantage)
			findings.WithLabelValues(site, from, string(k.Class), k.Verdict.String(), k.Severity.String()).Add(n)
			exposed.WithLabelValues(site, from).Add(n * one(e.exposed()))
			may.WithLabelValues(site, from).Add(n * one(e.mayRelay()))
			proven.WithLabelValues(site, from).Add(n * one(e.Verdict == probe.Delivered))
		}
		t := f.Coverage
		for state, n := range map[string]uint64{
			"open": t.Open, "closed": t.Closed, "filtered": t.Filtered, "prohibited": t.Prohibited, "unreachable": t.Unreachable, "not-attempted": t.NotAttempted, "failed": t.Failed, "excluded": t.Excluded,
		} {
			targets.WithLabelValues(site, vantage, state).Set(float64(n))
		}
		if c := f.Rules; c != nil {
			for state, n := range map[string]int{
				"explained": c.Explained, "possibly": c.Possibly, "unexplained": c.Unexplained, "unread": c.Unread, "intended": c.Intended, "answered": c.Answered, "stale": c.Stale, "not-known": c.NotKnown,
			} {
				rules.WithLabelValues(site, vantage, state).Set(float64(n))
			}
		}
		if f.Changes != nil {
			for _, k := range kindOrder {
				changes.WithLabelValues(site, vantage, string(k)).Set(float64(f.Changes[k]))
			}
		}
		if f.Violations != nil {
			for _, k := range []ApprovalState{IsUnapproved, IsExpired, IsSoon, IsUnused, IsExceeded} {
				violations.WithLabelValues(site, vantage, string(k)).Set(float64(f.Violations[k]))
			}
		}
		if f.Naming != nil {
			forgotten.WithLabelValues(site, vantage).Set(float64(f.Naming.Forgotten))
		}
		complete.WithLabelValues(site, vantage).Set(one(s.Complete))
		exit.WithLabelValues(site, vantage).Set(float64(s.Exit))
		missed.WithLabelValues(site, vantage).Set(s.ExpectedMissed)
		if !s.Started.IsZero() {
			started.WithLabelValues(site, vantage).Set(seconds(s.Started))
		}
		if !s.Ended.IsZero() {
			ended.WithLabelValues(site, vantage).Set(seconds(s.Ended))
		}
		if !s.Started.IsZero() && !s.Ended.IsZero() {
			took.WithLabelValues(site, vantage).Set(s.Ended.Sub(s.Started).Seconds())
		}
		info.DeletePartialMatch(prometheus.Labels{"site": site, "vantage": vantage})
		info.WithLabelValues(site, vantage, plain(s.Engine), raw(s.Version)).Set(1)
	}
	return reg
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// seconds since 1970, to the millisecond.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
