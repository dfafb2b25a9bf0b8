package inventory

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"relaysweep/probe"
	"relaysweep/probe/smtp"
	"relaysweep/report"
)

func TestDelivered(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s := open(t, name)
		one, two := probe.Delivery{Canary: "rs-a", Time: at(1), Received: []string{"from x"}}, probe.Delivery{Canary: "rs-a", Time: at(2), Bounce: true}
		for _, d := range []probe.Delivery{two, one, {Canary: "rs-b", Time: at(1)}} {
			if err := s.Deliver(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		for token, want := range map[string][]probe.Delivery{"rs-a": {one, two}, "rs-c": nil} {
			if got, err := s.Delivered(t.Context(), token); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: got %v, %v, want %v", token, got, err, want)
			}
		}
	})
}

// The line broke after the final dot: the message may have been taken, and came home, also for a recipient that was refused.
func TestACanaryWhoseReplyWasLostIsAwaited(t *testing.T) {
	reply := func(code int) smtp.Reply { return smtp.Reply{Code: code, Lines: []string{"said"}} }
	for _, tt := range []struct {
		name string
		went func(*probe.Attempt)
		of   int // the attempt whose canary came home
		want probe.Verdict
	}{
		{"it was taken", func(a *probe.Attempt) { a.Data, a.End = reply(354), reply(250) }, 0, probe.Delivered},
		{"it was refused", func(a *probe.Attempt) { a.Data, a.End = reply(354), reply(554) }, 0, probe.Delivered},
		{"the reply was lost", func(a *probe.Attempt) { a.Data, a.Failure = reply(354), "no answer after the message: EOF" }, 0, probe.Delivered},
		{"it was that of another recipient", func(a *probe.Attempt) { a.Data, a.End = reply(354), reply(250) }, 1, probe.Delivered},
		{"no message went out", func(*probe.Attempt) {}, 0, probe.Accepted},
		{"the line was cut at 354", func(a *probe.Attempt) { a.Data = reply(354) }, 0, probe.Ready},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, filepath.Join(t.TempDir(), "inventory.db"))
			f := found("10.0.0.1:25", true, at(1))
			tt.went(&f.Attempts[0])
			f.Attempts[1].Rcpt = reply(550)
			i := scanned(t, s, "one", at(1), closed, f)
			if err := s.Deliver(t.Context(), probe.Delivery{Canary: f.Attempts[tt.of].Canary, Time: at(2), Peer: "10.0.0.1", To: "x"}); err != nil {
				t.Fatal(err)
			}
			r, err := s.Read(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if got := report.New(r.Input).Entries[0].Verdict; got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// Whoever has a canary can mail it again and again.
func TestACanaryIsStoredSoManyTimes(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s := open(t, name)
		f, other := found("10.0.0.1:25", true, at(1)), found("10.0.0.2:25", true, at(1))
		f.Attempts[0].End, other.Attempts[0].End = f.Attempts[0].Mail, f.Attempts[0].Mail
		i := scanned(t, s, "one", at(1), closed, f, other)
		for n := range maxDeliveries + 5 {
			if err := s.Deliver(t.Context(), probe.Delivery{Canary: f.Attempts[0].Canary, Time: at(1).Add(time.Duration(n) * time.Second), To: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Deliver(t.Context(), probe.Delivery{Canary: other.Attempts[0].Canary, Time: at(1), To: "x"}); err != nil {
			t.Fatal(err)
		}
		if ds, err := s.Deliveries(t.Context(), i); err != nil || len(ds) != maxDeliveries+1 {
			t.Errorf("got %d deliveries, %v", len(ds), err)
		}
	})
}

// More readers than connections, each of which reads evidence and deliveries on the way.
func TestReadersDoNotBlockEachOther(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "inventory.db"))
	s.db.SetMaxOpenConns(1) // so that a reader that holds one and asks for another waits for itself
	f := found("10.0.0.1:25", true, at(1))
	f.Attempts[0].End = f.Attempts[0].Mail
	one := scanned(t, s, "one", at(1), closed, f)
	if err := s.Deliver(t.Context(), probe.Delivery{Canary: f.Attempts[0].Canary, Time: at(1), To: "x"}); err != nil {
		t.Fatal(err)
	}
	two := scanned(t, s, "two", at(2), closed)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // ends what would wait for ever
	defer cancel()
	_, err := s.Changes(ctx, one, two)
	_, err2 := s.History(ctx, "", f.Addr)
	_, _, err3 := s.Findings(ctx, one)
	_, err4 := s.Fresh(ctx, "", "internet", at(0), "")
	r, err5 := s.Read(ctx, one)
	if err := errors.Join(err, err2, err3, err4, err5); err != nil {
		t.Fatal(err)
	}
	r.Close()
}
