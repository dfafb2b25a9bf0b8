package probe_test

import (
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/probe/smtp/smtptest"
	"relaysweep/ratelimit"
)

// refusals are the times at which a server refused something, whatever it was. The server lives outside of the test's
// clock, so it is looked at before each connection and each attempt: what it has refused since it did at the time of the
// look before, as the clock stands still while somebody talks.
type refusals struct {
	server *smtptest.Server

	mu    sync.Mutex
	now   time.Time // of the latest look
	times []time.Time
	last  string // what the latest was
}

func (r *refusals) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, answers := range r.server.Answers() {
		for _, a := range answers {
			if a.Reply < "4" {
				continue
			}
			if n++; n > len(r.times) {
				r.times, r.last = append(r.times, r.now), turnsOf(answers)
			}
		}
	}
	r.now = time.Now()
}

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
		{"starttls-required-at-rcpt", closed()},
		{"no-rset", closed()},
		{"no-rset-one-ehlo", closed()},
	} {
		t.Run(s.dialog, func(t *testing.T) {
			t.Parallel()
			server := &smtptest.Server{Dialog: dialog(t, s.dialog)}
			server.Start(t)
			synctest.Test(t, func(t *testing.T) {
				p := prober()
				p.Gentle = ratelimit.NewWindow(4, 10*time.Minute)
				seen := &refusals{server: server}
				p.Before = func(discover.Target, netip.AddrPort, string) error { seen.look(); return nil }
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
				for _, f := range found {
					s.want.check(t, f)
					if f.Cut != "" {
						t.Errorf("cut: %s", f.Cut)
					}
					if len(f.Attempts) < 40 {
						t.Errorf("only %d attempts", len(f.Attempts))
					}
				}
				seen.look()
				for i, first := range seen.times {
					last := i
					for last+1 < len(seen.times) && seen.times[last+1].Sub(first) < 10*time.Minute {
						last++
					}
					if n := last - i + 1; n > 4 {
						t.Fatalf("%d refusals in ten minutes, want at most 4, after %s:\n%s", n, first.Sub(seen.times[0]), seen.last)
					}
				}
				if len(seen.times) == 0 {
					t.Error("nothing was refused: the test proves nothing")
				}
			})
			server.Wait(0)
		})
	}
}
