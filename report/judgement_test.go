package report

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"relaysweep/probe"
	"relaysweep/probe/smtp"
)

// judgements are what findings of many kinds are judged to be: each of the fixtures, and one finding for each reply that
// servers are known to give, at each stage of a transaction.
func judgements(t *testing.T) (out []Judgement) {
	t.Helper()
	list := findings()
	join(list, deliveries())
	file, err := os.Open("../probe/testdata/replies.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	n := 0
	for in := bufio.NewScanner(file); in.Scan(); {
		columns := strings.SplitN(in.Text(), "|", 4)
		if len(columns) < 4 || strings.HasPrefix(in.Text(), "#") {
			continue
		}
		n++
		reply := replyOf(strings.TrimSpace(columns[3]))
		for stage := range 4 {
			replies := append([]smtp.Reply{ok, taken, goAhead}[:stage:stage], reply)
			for _, vector := range []string{"S1", "S6", "R1"} {
				f := finding("198.51.100.1:25", "", "", "", "mx.org.example", attempt(vector, "rs-aaaaaaaaaaaaaaaaaaaa", replies...))
				f.Attempts[0].AuthOffered = n%2 == 0
				list = append(list, f)
			}
		}
	}
	if n < 50 {
		t.Fatalf("%d replies were read", n)
	}
	for i := range list {
		out = append(out, Judge(&list[i]))
	}
	return out
}

func replyOf(text string) smtp.Reply {
	var code int
	fmt.Sscan(text, &code)
	_, rest, _ := strings.Cut(text, " ")
	return smtp.Reply{Code: code, Lines: []string{rest}}
}

// An inventory keeps judgements: where the same replies are judged differently now, it must judge them again.
func TestJudgementVersion(t *testing.T) {
	const version, want = 1, "7a6fc9c3ebb31d4b"
	b, err := json.Marshal(judgements(t))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	got := hex.EncodeToString(sum[:8])
	switch {
	case got != want && JudgementVersion == version:
		t.Errorf("findings are judged differently: raise JudgementVersion (judgement.go) to %d, and write that and %q here. Where there are only more fixtures, %q alone", version+1, got, got)
	case got != want || JudgementVersion != version:
		t.Errorf("write JudgementVersion %d and %q here", JudgementVersion, got)
	}
	verdicts := make(map[probe.Verdict]int)
	for _, j := range judgements(t) {
		verdicts[j.Verdict]++
	}
	for _, v := range []probe.Verdict{probe.Refused, probe.Unknown, probe.Accepted, probe.Ready, probe.Queued, probe.Delivered} {
		if verdicts[v] == 0 {
			t.Errorf("no fixture is %s", v)
		}
	}
}
