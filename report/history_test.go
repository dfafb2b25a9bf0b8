package report

import (
	"bytes"
	"strings"
	"testing"

	"relaysweep/discover"
	"relaysweep/probe"
)

// looks is the life of an endpoint: open, gone, open again as something else; and what another vantage saw.
func looks() []Look {
	open := seenOpen(autumn)
	closed := then(open, discover.Closed, before)
	back := then(open, discover.Open, now, judged(probe.Ready, probe.Relay, "S1"), found(func(f *probe.Finding) { f.Service.Product, f.Service.Version = "Exim", "4.99" }))
	return []Look{
		{"s1", "scan", "internet", autumn, *open, nil},
		{"s2", "scan", "internet", before, *closed, nil},
		{"s2d", "probe", "dmz", before, *seenOpen(before), nil},
		{"s3", "scan", "internet", now, *back, nil},
		{"s3d", "scan", "dmz", now, *unsure(seenOpen(before), discover.Filtered, now, "the self-test failed"), nil},
	}
}

func TestFollow(t *testing.T) {
	list := looks()
	Follow(list)
	for i, want := range []string{
		"new: nothing was known of it", "gone: closed (a reset)", "new: nothing was known of it",
		"re-appeared, worse after an upgrade: product Postfix, now Exim; version 3.4.13, now 4.99; verdict refused, now ready; class closed, now relay; vectors +S1; last seen 2026-09-22 02:00, closed (a reset) 2026-10-22 02:00",
		"not re-checked: silent, in a look that does not count: the self-test failed",
	} {
		if got := sentence(list[i].Change); got != want {
			t.Errorf("look %d\n got %s\nwant %s", i, got, want)
		}
	}
}

func TestHistoryTable(t *testing.T) {
	list := looks()
	Follow(list)
	for _, columns := range []int{40, 60, 100} {
		for _, l := range []Lang{English, Japanese} {
			var b bytes.Buffer
			if err := WriteHistoryTable(&b, hostile, list, l, TableOptions{Width: columns, Colour: false}); err != nil {
				t.Fatal(err)
			}
			checkPrintable(t, "history", b.String())
			for line := range strings.Lines(b.String()) {
				if line = strings.TrimSuffix(line, "\n"); width(line) > columns || strings.HasSuffix(line, " ") {
					t.Errorf("%d columns: %q", columns, line)
				}
			}
		}
	}
	var b bytes.Buffer
	if err := WriteHistoryTable(&b, endpoint25, list, English, TableOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"    2026-09-22 02:00 open, closed, refused, Postfix 3.4.13 (scan, s1, internet)\n", "    2026-10-22 02:00 closed (scan, s2, internet)\n      gone closed (a reset)\n",
		"    2026-11-22 02:00 filtered (does not count): the self-test failed (scan, s3d, dmz)\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

func TestHistoryOfHostileServers(t *testing.T) {
	var list []Look
	for _, d := range hostileChanges().List {
		for _, s := range []*Sight{d.Before, d.After} {
			if s != nil {
				list = append(list, Look{Scan: hostile, Kind: hostile, Vantage: hostile, At: now, Sight: *s})
			}
		}
	}
	Follow(list)
	var b bytes.Buffer
	if err := WriteHistoryTable(&b, hostile, list, English, TableOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := WriteHistoryJSONL(&b, list); err != nil {
		t.Fatal(err)
	}
	checkPrintable(t, "history", b.String())
	if n := strings.Count(b.String(), `{"type":"look",`); n != len(list) {
		t.Errorf("got %d looks of %d", n, len(list))
	}
	if err := WriteHistoryJSONL(full1{}, list); err == nil {
		t.Error("a full disk is no error")
	}
}
