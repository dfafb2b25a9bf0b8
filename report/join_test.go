package report

import (
	"slices"
	"testing"

	"relaysweep/probe"
	"relaysweep/probe/smtp"
)

func TestWhichCanariesAreWaitedFor(t *testing.T) {
	code := func(n int) smtp.Reply { return smtp.Reply{Code: n} }
	sent := probe.Attempt{Vector: "S1", Canary: "sent", Data: code(354), End: code(250)}
	refused := probe.Attempt{Vector: "S2", Canary: "refused", Rcpt: code(550)}
	lost := probe.Attempt{Vector: "S3", Canary: "lost", Data: code(354), Failure: "no answer after the message"}
	cut := probe.Attempt{Vector: "S4", Canary: "cut", Data: code(354)}
	quick := probe.Attempt{Vector: "I9", Canary: "quick"}
	for _, tt := range []struct {
		name         string
		f            probe.Finding
		sent, stored []string
	}{
		{"nothing went out", probe.Finding{Attempts: []probe.Attempt{refused, cut}}, nil, nil},
		{"one went out, and a recipient that was refused may get it", probe.Finding{Attempts: []probe.Attempt{sent, refused}}, []string{"sent"}, []string{"refused", "sent"}},
		{"its reply was lost", probe.Finding{Attempts: []probe.Attempt{lost}}, []string{"lost"}, []string{"lost"}},
		{"a protocol without replies", probe.Finding{Attempts: []probe.Attempt{quick}}, nil, []string{"quick"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Sent(&tt.f); !slices.Equal(got, tt.sent) {
				t.Errorf("waited for %v, want %v", got, tt.sent)
			}
			if got := Awaited(&tt.f); !slices.Equal(got, tt.stored) {
				t.Errorf("stored %v, want %v", got, tt.stored)
			}
		})
	}
}
