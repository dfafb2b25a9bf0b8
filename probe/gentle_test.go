package probe_test

import (
	"testing"
	"testing/synctest"
	"time"

	"relaysweep/probe"
	"relaysweep/probe/smtp/smtptest"
	"relaysweep/ratelimit"
)

// A gentle scan is refused at most four times in any ten minutes, by all listeners of a host together, tries everything
// all the same, and comes to the same end.
func TestGentle(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		dialog string
		want   want
	}{
		{"closed-postfix", closed()},
		{"closed-exim", closed()},
		{"closed-opensmtpd", closed()},
		{"open-to-one-sender", open("S7")},
		{"open-to-all", open(everything...)},
		{"two-refusals-and-out", open("S7")},
		{"starttls-required-closed", closed()},
	} {
		t.Run(s.dialog, func(t *testing.T) {
			t.Parallel()
			server := &smtptest.Server{Dialog: dialog(t, s.dialog)}
			server.Start(t)
			synctest.Test(t, func(t *testing.T) {
				p := prober()
				p.Gentle = ratelimit.NewWindow(4, 10*time.Minute)
				var found [2]probe.Finding
				done := make(chan struct{})
				for i := range found { // two services of one host share its window
					go func() {
						defer func() { done <- struct{}{} }()
						var err error
						if found[i], err = p.Probe(t.Context(), opening(server.Addr())); err != nil {
							t.Error(err)
						}
					}()
				}
				<-done
				<-done
				var refused []time.Time
				for _, f := range found {
					s.want.check(t, f)
					if f.Cut != "" {
						t.Errorf("cut: %s", f.Cut)
					}
					if len(f.Attempts) < 40 {
						t.Errorf("only %d attempts", len(f.Attempts))
					}
					for _, a := range f.Attempts {
						if a.Mail.Code >= 400 || a.Rcpt.Code >= 400 || a.Data.Code >= 400 {
							refused = append(refused, a.Sent)
						}
					}
				}
				for _, from := range refused {
					n := 0
					for _, r := range refused {
						if d := r.Sub(from); d >= 0 && d < 10*time.Minute-time.Second {
							n++
						}
					}
					if n > 4 {
						t.Fatalf("%d refusals in ten minutes, want at most 4", n)
					}
				}
				if len(refused) > 40 && refused[0].Equal(refused[len(refused)-1]) {
					t.Error("no time passed")
				}
			})
			server.Wait(0)
		})
	}
}
