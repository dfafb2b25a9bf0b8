package firewall

import (
	"fmt"
	"reflect"
	"slices"
	"sort"
)

// edits are the rules that only one of two rulesets has.
type edits struct{ removed, added map[*Rule]bool }

// changed tells rules by what they say, and where among the others they stand. A connection that none of the edits may
// match meets the same rules in both rulesets, in the same order. nil: they differ by more than rules.
func changed(before, after *Ruleset) *edits {
	if !reflect.DeepEqual(before.Steps, after.Steps) || !reflect.DeepEqual(before.Interfaces, after.Interfaces) || !reflect.DeepEqual(before.Routes, after.Routes) ||
		!slices.Equal(before.Own, after.Own) || before.Others != after.Others || len(before.Chains) != len(after.Chains) {
		return nil
	}
	out := &edits{make(map[*Rule]bool), make(map[*Rule]bool)}
	for name, a := range before.Chains {
		b := after.Chains[name]
		if b == nil || a.Policy != b.Policy {
			return nil
		}
		inA, inB := common(a.Rules, b.Rules)
		for i, r := range a.Rules {
			if !inA[i] && !r.Disabled {
				out.removed[r] = true
			}
		}
		for i, r := range b.Rules {
			if !inB[i] && !r.Disabled {
				out.added[r] = true
			}
		}
	}
	return out
}

// common marks rules that stand in two lists in the same order: the longest such row of those that are paired, each with
// the one of the other list that says the same for the same number of times.
func common(a, b []*Rule) (inA, inB []bool) {
	type said struct {
		what  string
		times int
	}
	at := make(map[said]int, len(b))
	count := make(map[string]int, len(b))
	for j, r := range b {
		what := r.says()
		at[said{what, count[what]}] = j
		count[what]++
	}
	clear(count)
	partner := make([]int, len(a)) // in b, plus 1
	var tails []int                // index in a of the last of the best row of each length
	before := make([]int, len(a))  // index in a of the one before in the row, plus 1
	for i, r := range a {
		what := r.says()
		j, ok := at[said{what, count[what]}]
		count[what]++
		if !ok {
			continue
		}
		partner[i] = j + 1
		n := sort.Search(len(tails), func(k int) bool { return partner[tails[k]] >= partner[i] })
		if n > 0 {
			before[i] = tails[n-1] + 1
		}
		if n == len(tails) {
			tails = append(tails, i)
		} else {
			tails[n] = i
		}
	}
	inA, inB = make([]bool, len(a)), make([]bool, len(b))
	if len(tails) == 0 {
		return inA, inB
	}
	for i := tails[len(tails)-1] + 1; i > 0; i = before[i-1] {
		inA[i-1], inB[partner[i-1]-1] = true, true
	}
	return inA, inB
}

// says is all of a rule that decides what becomes of connections.
func (r *Rule) says() string {
	return fmt.Sprintf("%#v", []any{r.Match, r.Action, r.Chain, r.To, r.Pass, r.Quick, r.Disabled, r.Words})
}
