package report

import (
	"slices"
	"strings"

	"relaysweep/probe"
)

// JudgementVersion changes whenever the same replies are judged differently. What an inventory keeps of an older one is
// judged again. TestJudgementVersion holds it.
const JudgementVersion = 1

// Judge judges a finding by its attempts, with what came home.
func Judge(f *probe.Finding) Judgement {
	j, _ := judge(f)
	return j
}

func judge(f *probe.Finding) (Judgement, []try) {
	p := f.Proofs()
	j := Judgement{Verdict: p.Verdict(), Class: p.Class(), Reason: p.Reason(), Vectors: p.Opened(), Suspected: p.Suspected()}
	tries := make([]try, len(f.Attempts))
	seen := make(map[string]bool)
	for i := range f.Attempts {
		a := &f.Attempts[i]
		tries[i] = try{p.Each[i].Verdict, p.Each[i].Reason}
		j.LookedUp = j.LookedUp || strings.Contains(tries[i].reason, "domain was not found")
		if !seen[a.Vector] {
			seen[a.Vector] = true
			j.Tried = append(j.Tried, a.Vector)
		}
	}
	return j, tries
}

// Digest is a finding without its attempts and transcripts: what most of a report is made of.
func Digest(f *probe.Finding) probe.Finding {
	d := *f
	d.Attempts, d.Sessions, d.Help, d.Others = nil, nil, nil, nil
	return d
}

// Joined is a finding with the canaries of it that came home.
func Joined(f probe.Finding, deliveries []probe.Delivery) *probe.Finding {
	list := []probe.Finding{f}
	list[0].Attempts = slices.Clone(f.Attempts)
	join(list, deliveries)
	return &list[0]
}
