package report

import (
	"fmt"
	"strings"
	"time"
)

// The lines that tell of a scan, for the terminal and the page alike.

func scanLine(s *Scan) string {
	line := s.ID
	if s.Version != "" {
		line += " by relaysweep " + s.Version
	}
	if s.Organisation != "" {
		line += " for " + s.Organisation
	}
	if s.Contact != "" {
		line += " (" + s.Contact + ")"
	}
	if s.Vantage != "" {
		line += ", seen from " + s.Vantage
	}
	if s.Zone != "" {
		line += " (zone " + s.Zone + ")"
	}
	return strings.TrimPrefix(line, ", ")
}

func timeLine(s *Scan) string {
	if s.Started.IsZero() {
		return ""
	}
	const layout = "2006-01-02 15:04:05"
	line := s.Started.UTC().Format(layout)
	if !s.Ended.IsZero() {
		end := s.Ended.UTC().Format(layout)
		if same := line[:len(time.DateOnly)+1]; strings.HasPrefix(end, same) {
			end = strings.TrimPrefix(end, same)
		}
		line += " to " + end + " UTC (" + duration(s.Ended.Sub(s.Started).Round(time.Second)) + ")"
	} else {
		line += " UTC"
	}
	switch {
	case s.Interrupted:
		line += ", interrupted"
	case !s.Complete:
		line += ", incomplete"
	}
	return line
}

func methodLine(s *Scan) string {
	var parts []string
	if s.Engine != "" {
		parts = append(parts, s.Engine)
	}
	if s.Rate.Total > 0 || s.Rate.PerNet > 0 || s.Rate.PerHost > 0 {
		pace := func(v float64) string {
			if v <= 0 {
				return "no cap"
			}
			return fmt.Sprintf("%g/s", v)
		}
		parts = append(parts, fmt.Sprintf("pace %s in all, %s per net, %s per host", pace(s.Rate.Total), pace(s.Rate.PerNet), pace(s.Rate.PerHost)))
	}
	parts = append(parts, "stops at "+s.stopAt().String())
	if s.CanaryDomain == "" {
		parts = append(parts, "no canary domain")
	} else {
		parts = append(parts, "canary domain "+s.CanaryDomain)
	}
	return strings.Join(parts, "; ")
}

func coverageLine(t Tally) string {
	return fmt.Sprintf("%s of %s: %s", number(t.Looked), plural(t.Targets, "target"), strings.Join(t.states(), ", ")) + excludedWord(t)
}

func excludedWord(t Tally) string {
	if t.Excluded == 0 {
		return ""
	}
	return fmt.Sprintf("; %s excluded", number(t.Excluded))
}

// joined lists values, the first n and how many more.
func joined[T fmt.Stringer](list []T, n int) string {
	words := texts(list)
	if len(words) > n {
		return strings.Join(words[:n], ", ") + fmt.Sprintf(" and %d more", len(words)-n)
	}
	return strings.Join(words, ", ")
}
