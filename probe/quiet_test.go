package probe_test

import (
	"testing"
	"testing/synctest"
	"time"

	"relaysweep/probe/smtp/smtptest"
	"relaysweep/ratelimit"
)

// A night's wait for the end of quiet hours is not taken from a service's budget: it is tested all the same.
func TestQuietHoursAreNotTheServicesTime(t *testing.T) {
	t.Parallel()
	server := &smtptest.Server{Dialog: dialog(t, "closed-postfix")}
	server.Start(t)
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		hours, err := ratelimit.ParseHours(start.Add(-time.Hour).Format("15:04-") + start.Add(7*time.Hour).Format("15:04"))
		if err != nil {
			t.Fatal(err)
		}
		p := prober()
		p.Limiter = ratelimit.New(ratelimit.Rates{Quiet: hours})
		f, err := p.Probe(t.Context(), opening(server.Addr()))
		if err != nil {
			t.Fatal(err)
		}
		closed().check(t, f)
		if f.Cut != "" {
			t.Errorf("cut off: %s", f.Cut)
		}
		if waited := time.Since(start); waited < 7*time.Hour {
			t.Errorf("it was tested %v after the start, in quiet hours", waited)
		}
	})
}
