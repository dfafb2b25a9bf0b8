package report

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"relaysweep/probe"
)

// Arrival is a delivery with the attempt that sent it.
type Arrival struct {
	probe.Delivery
	Addr   netip.AddrPort
	Vector string
	Delay  time.Duration // from sending to arrival, by the clocks of two machines
}

// join marks the attempts whose canaries came home. A canary that came to its sender's address is a bounce: it proves
// that the server took the message, and not that it relays. The findings' attempts are changed in place.
func join(findings []probe.Finding, deliveries []probe.Delivery) (arrivals []Arrival, unmatched []probe.Delivery, bounces map[int][]probe.Delivery) {
	type place struct{ finding, attempt int }
	sent := make(map[string][]place)
	for i := range findings {
		for j, a := range findings[i].Attempts {
			if a.Canary != "" {
				sent[a.Canary] = append(sent[a.Canary], place{i, j})
			}
		}
	}
	others := make(map[string]int)
	for i := range findings {
		for canary := range findings[i].Others {
			others[canary] = i
		}
	}
	bounces = make(map[int][]probe.Delivery)
	for _, d := range inOrder(deliveries) {
		places := sent[d.Canary]
		if i, ok := others[d.Canary]; ok {
			f := &findings[i]
			arrivals = append(arrivals, Arrival{Delivery: d, Addr: f.Addr, Vector: f.Others[d.Canary], Delay: d.Time.Sub(f.Started)})
			continue
		}
		if len(places) == 0 {
			unmatched = append(unmatched, d)
			continue
		}
		for n, p := range places {
			f := &findings[p.finding]
			a := &f.Attempts[p.attempt]
			if n == 0 {
				arrivals = append(arrivals, Arrival{Delivery: d, Addr: f.Addr, Vector: a.Vector, Delay: d.Time.Sub(a.Sent)})
			}
			switch {
			case d.Bounce:
				bounces[p.finding] = append(bounces[p.finding], d)
				a.Bounced = true
			case a.Home == nil: // the first one counts: greylisting and lost replies make servers send twice
				a.Delivered, a.Home = true, &d
			}
		}
	}
	return arrivals, unmatched, bounces
}

// Sent lists the canaries of a finding whose messages went out, or may have gone out as no reply to them came: those that
// are worth waiting for.
func Sent(f *probe.Finding) (out []string) {
	for i := range f.Attempts {
		if a := &f.Attempts[i]; a.Canary != "" && (a.End.Code != 0 || a.Data.Code == 354 && a.Failure != "") {
			out = append(out, a.Canary)
		}
	}
	for token := range f.Others {
		out = append(out, token)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Awaited lists the canaries of a finding that may come home. Once one message went out, all may: some servers deliver to
// recipients that they refused. QMTP and QMQP (I9) have no reply before it.
func Awaited(f *probe.Finding) []string {
	out := Sent(f)
	if len(out) == 0 && !slices.ContainsFunc(f.Attempts, func(a probe.Attempt) bool { return a.Vector == "I9" }) {
		return nil
	}
	for i := range f.Attempts {
		if a := &f.Attempts[i]; a.Canary != "" {
			out = append(out, a.Canary)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func inOrder(deliveries []probe.Delivery) []probe.Delivery {
	out := slices.Clone(deliveries)
	slices.SortStableFunc(out, func(a, b probe.Delivery) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Canary, b.Canary))
	})
	return out
}

// firstHome is the attempt whose canary came home first.
func firstHome(f *probe.Finding) *probe.Attempt {
	var first *probe.Attempt
	for i := range f.Attempts {
		a := &f.Attempts[i]
		if a.Delivered && a.Home != nil && (first == nil || a.Home.Time.Before(first.Home.Time)) {
			first = a
		}
	}
	return first
}

// provenBy says how a canary came home. The server's own last word is quoted where it said no: some servers refuse a
// message and deliver it all the same.
func provenBy(a *probe.Attempt) string {
	s := "the canary of " + a.Vector + " came home"
	if d := a.Home.Time.Sub(a.Sent); !a.Sent.IsZero() && d >= 0 {
		s += " in " + duration(d)
	}
	if a.Home.Peer != "" {
		s += ", brought by " + host(a.Home.Peer)
	}
	for _, r := range []struct {
		at    string
		reply string
		code  int
	}{{"after the message", a.End.String(), a.End.Code}, {"to DATA", a.Data.String(), a.Data.Code}, {"to RCPT", a.Rcpt.String(), a.Rcpt.Code}} {
		if r.code >= 400 {
			return s + fmt.Sprintf(", although the server answered %s: %s", r.at, shorten(r.reply, 100))
		}
	}
	return s
}

// host is the address of an endpoint, or what was given where it is none.
func host(endpoint string) string {
	if a, err := netip.ParseAddrPort(endpoint); err == nil {
		return a.Addr().Unmap().String()
	}
	return endpoint
}

// duration is a time that a person reads: no more digits than it is worth.
func duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
