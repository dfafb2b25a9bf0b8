package inventory

import (
	"net/netip"
	"reflect"
	"testing"

	"relaysweep/report"
)

// What DNS said is read back as it was: that it was not asked, that nothing answered, that an address is named nowhere.
func TestMentionsAreReadBack(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s := open(t, name)
		i := scanned(t, s, "one", at(1), closed)
		if got, err := s.Mentions(t.Context(), i); got != nil || err != nil {
			t.Errorf("DNS was not asked: got %v, %v", got, err)
		}
		a := netip.MustParseAddr
		for n, want := range []map[netip.Addr][]report.Mention{
			{},
			{a("10.0.0.1"): {}, a("2001:db8::1"): {{By: report.ByPTR, Name: "mx.org.example"}}, a("10.0.0.2"): {{By: report.BySPF, Name: "org.example", Network: netip.MustParsePrefix("10.0.0.0/24")}}},
		} {
			when := at(2 + n)
			about := report.Scan{ID: i.ID, Vantage: "internet", Started: at(1), Ended: when, Domains: []string{"org.example"}}
			w, err := s.Begin(t.Context(), about, "", KindScan)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.End(t.Context(), End{About: about, Mentions: want}); err != nil {
				t.Fatal(err)
			}
			w.Close()
			got, err := s.Mentions(t.Context(), i)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, %v, want %v", got, err, want)
			}
			r, err := s.Read(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(r.Input.Mentions, want) || len(r.Input.Scan.Domains) != 1 {
				t.Errorf("got %v of %v, want %v", r.Input.Mentions, r.Input.Scan.Domains, want)
			}
			r.Close()
		}
	})
}
