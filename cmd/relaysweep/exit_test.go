package main

import (
	"errors"
	"fmt"
	"testing"

	"relaysweep/discover"
	"relaysweep/report"
)

func TestExitCodes(t *testing.T) {
	gone := fmt.Errorf("%w: eth0 is down", discover.ErrNetworkGone)
	for _, c := range []struct {
		name     string
		fatal    error
		complete bool
		want     int
	}{
		{"everything was looked at", nil, true, exitDone},
		{"interrupted, or out of budget", nil, false, exitIncomplete},
		{"the network went away: the scan can go on later", gone, false, exitIncomplete},
		{"the disk is full", errors.New("no space left on device"), false, exitInternal},
	} {
		sc := &scanning{s: &settings{}, fatal: c.fatal}
		if got := sc.exitCode(report.New(report.Input{}), c.complete); got != c.want {
			t.Errorf("%s: got exit code %d, want %d", c.name, got, c.want)
		}
	}
}
