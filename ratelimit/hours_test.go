package ratelimit

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // so that a machine without a zone database knows Berlin too
)

// at reads "2026-03-29 01:30 CET" in a location; the zone tells apart the two moments of an hour that comes twice.
func at(t testing.TB, zone *time.Location, s string) time.Time {
	t.Helper()
	v, err := time.ParseInLocation("2006-01-02 15:04 MST", s, zone)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func location(t testing.TB, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func hours(t testing.TB, s string) Hours {
	t.Helper()
	h, err := ParseHours(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestParseHours(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       string // as written back
	}{
		{"nothing", "", ""},
		{"spaces only", "  ", ""},
		{"across midnight", "22:00-05:00", "22:00-05:00"},
		{"in one day", "09:05-17:59", "09:05-17:59"},
		{"an hour of one digit", "9:00-17:00", "09:00-17:00"},
		{"spaces", " 22:00 - 05:00 ", "22:00-05:00"},
		{"the opposite", "!08:00-18:00", "18:00-08:00"},
		{"the opposite, with a space", "! 08:00-18:00", "18:00-08:00"},
		{"until midnight", "20:00-24:00", "20:00-00:00"},
		{"from midnight", "00:00-06:00", "00:00-06:00"},
		{"the whole day but a minute", "00:00-23:59", "00:00-23:59"},
	} {
		h, err := ParseHours(c.text)
		if err != nil || h.String() != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.name, h, err, c.want)
		}
	}
}

func TestParseHoursErrorsSayWhatToWrite(t *testing.T) {
	const write = "write HH:MM-HH:MM, such as 22:00-05:00"
	for _, c := range []struct{ name, text, want string }{
		{"one time", "22:00", write},
		{"no minutes", "22-05", write},
		{"no such hour", "25:00-05:00", write},
		{"no such minute", "22:60-05:00", write},
		{"beyond midnight", "22:00-24:01", write},
		{"seconds", "22:00:00-05:00:00", write},
		{"three times", "22:00-05:00-06:00", write},
		{"two stretches", "22:00-05:00,12:00-13:00", write},
		{"AM and PM", "10:00PM-5:00AM", write},
		{"another dash", "22:00–05:00", write},
		{"the opposite of nothing", "!", write},
		{"twice the opposite", "!!22:00-05:00", write},
		{"below zero", "-1:00-05:00", write},
		{"empty: never or always?", "22:00-22:00", "write two different times"},
		{"the whole day", "00:00-24:00", "write two different times"},
	} {
		h, err := ParseHours(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want it to name %q and say %q", c.name, err, c.text, c.want)
		}
		if h != (Hours{}) {
			t.Errorf("%s: got hours %v with an error", c.name, h)
		}
	}
	if _, err := ParseHours(strings.Repeat("x", 1e6)); len(err.Error()) > 300 {
		t.Errorf("a megabyte of nonsense: got an error of %d bytes, want a short one", len(err.Error()))
	}
}

func TestQuiet(t *testing.T) {
	berlin, york := location(t, "Europe/Berlin"), location(t, "America/New_York")
	for _, c := range []struct {
		name, hours string
		zone        *time.Location
		now, until  string // until is empty: not quiet
	}{
		{"never quiet", "", berlin, "2026-01-15 23:00 CET", ""},
		{"the minute before", "22:00-05:00", berlin, "2026-01-15 21:59 CET", ""},
		{"the first minute", "22:00-05:00", berlin, "2026-01-15 22:00 CET", "2026-01-16 05:00 CET"},
		{"midnight", "22:00-05:00", berlin, "2026-01-16 00:00 CET", "2026-01-16 05:00 CET"},
		{"the last minute", "22:00-05:00", berlin, "2026-01-16 04:59 CET", "2026-01-16 05:00 CET"},
		{"the end", "22:00-05:00", berlin, "2026-01-16 05:00 CET", ""},
		{"over New Year's Eve", "22:00-05:00", york, "2026-12-31 23:59 EST", "2027-01-01 05:00 EST"},
		{"noon", "12:00-13:00", york, "2026-07-01 12:30 EDT", "2026-07-01 13:00 EDT"},
		{"the opposite, at night", "!22:00-05:00", berlin, "2026-01-15 23:00 CET", ""},
		{"the opposite, by day", "!22:00-05:00", berlin, "2026-01-15 05:00 CET", "2026-01-15 22:00 CET"},
		{"until midnight", "20:00-24:00", berlin, "2026-01-15 20:00 CET", "2026-01-16 00:00 CET"},

		// On 2026-03-29 Berlin goes from 02:00 CET to 03:00 CEST, on 2026-10-25 from 03:00 CEST to 02:00 CET.
		{"a night of 22 to 5 that lasts 6 hours", "22:00-05:00", berlin, "2026-03-28 22:00 CET", "2026-03-29 05:00 CEST"},
		{"a night of 22 to 5 that lasts 8 hours", "22:00-05:00", berlin, "2026-10-24 22:00 CEST", "2026-10-25 05:00 CET"},
		{"the end is a time that the day lacks", "22:00-02:30", berlin, "2026-03-29 01:30 CET", "2026-03-29 03:00 CEST"},
		{"the end is when clocks go forward", "22:00-02:00", berlin, "2026-03-29 01:30 CET", "2026-03-29 03:00 CEST"},
		{"the end is what clocks go forward to", "22:00-03:00", berlin, "2026-03-29 01:30 CET", "2026-03-29 03:00 CEST"},
		{"the start is a time that the day lacks", "02:30-06:00", berlin, "2026-03-29 03:00 CEST", "2026-03-29 06:00 CEST"},
		{"before a start that the day lacks", "02:30-06:00", berlin, "2026-03-29 01:59 CET", ""},
		{"both are times that the day lacks", "02:10-02:50", berlin, "2026-03-29 03:00 CEST", ""},
		{"the end comes twice, the first time", "22:00-02:30", berlin, "2026-10-25 01:59 CEST", "2026-10-25 02:30 CEST"},
		{"the end comes twice, in between", "22:00-02:30", berlin, "2026-10-25 02:45 CEST", ""},
		{"the end comes twice, the second time", "22:00-02:30", berlin, "2026-10-25 02:15 CET", "2026-10-25 02:30 CET"},
		{"the end is when clocks go back", "22:00-03:00", berlin, "2026-10-25 02:59 CEST", "2026-10-25 03:00 CET"},
		{"the start is when clocks go back", "03:00-06:00", berlin, "2026-10-25 02:59 CEST", ""},
		{"an hour that comes twice", "02:00-02:30", berlin, "2026-10-25 02:29 CET", "2026-10-25 02:30 CET"},
		{"a night before the other continent's change", "22:00-05:00", berlin, "2026-03-08 01:00 CET", "2026-03-08 05:00 CET"},

		// On 2026-03-08 New York goes from 02:00 EST to 03:00 EDT, on 2026-11-01 from 02:00 EDT to 01:00 EST.
		{"New York, a short night", "22:00-05:00", york, "2026-03-08 01:59 EST", "2026-03-08 05:00 EDT"},
		{"New York, the end is a time that the day lacks", "22:00-02:30", york, "2026-03-08 01:00 EST", "2026-03-08 03:00 EDT"},
		{"New York, a long night", "22:00-05:00", york, "2026-11-01 00:00 EDT", "2026-11-01 05:00 EST"},
		{"New York, the end comes twice", "22:00-01:30", york, "2026-11-01 01:10 EST", "2026-11-01 01:30 EST"},
		{"New York, the end is when clocks go back", "22:00-02:00", york, "2026-11-01 01:59 EDT", "2026-11-01 02:00 EST"},
	} {
		var want time.Time
		if c.until != "" {
			want = at(t, c.zone, c.until)
		}
		until, quiet := hours(t, c.hours).Quiet(at(t, c.zone, c.now))
		if quiet != (c.until != "") || !until.Equal(want) {
			t.Errorf("%s: got %v, %v, want %v", c.name, until, quiet, want)
		}
		if quiet && until.Location() != c.zone {
			t.Errorf("%s: got location %v, want %v", c.name, until.Location(), c.zone)
		}
	}
}

func TestHoursAsText(t *testing.T) {
	type settings struct {
		Quiet Hours `json:"quiet"`
	}
	for _, text := range []string{"", "22:00-05:00", "00:00-00:01", "23:59-00:00"} {
		b, err := json.Marshal(settings{hours(t, text)})
		if want := `{"quiet":"` + text + `"}`; err != nil || string(b) != want {
			t.Errorf("%q: got %s, %v, want %s", text, b, err, want)
		}
		back := settings{hours(t, "01:00-02:00")}
		if err := json.Unmarshal(b, &back); err != nil || back.Quiet != hours(t, text) {
			t.Errorf("%q read back: got %v, %v", text, back.Quiet, err)
		}
	}
	s := settings{hours(t, "01:00-02:00")}
	if err := json.Unmarshal([]byte(`{"quiet":"1-2"}`), &s); err == nil || s.Quiet != hours(t, "01:00-02:00") {
		t.Errorf("nonsense: got %v, %v, want an error and what was there", s.Quiet, err)
	}
}

// What is read can be written and read again, and what Quiet says is true at every moment until then.
func FuzzHours(f *testing.F) {
	f.Add("22:00-05:00", int64(1774742400)) // the eve of Berlin's short night
	f.Add("!02:10-02:50", int64(1792882800))
	f.Add("02:00-03:00", int64(1792890000))
	f.Add("24:00-1:30", int64(-1))
	zones := []*time.Location{location(f, "Europe/Berlin"), location(f, "America/New_York"), location(f, "Australia/Lord_Howe"), location(f, "Pacific/Apia"), time.UTC}
	f.Fuzz(func(t *testing.T, s string, unix int64) {
		h, err := ParseHours(s)
		if err != nil {
			if h != (Hours{}) || len(err.Error()) > 500 {
				t.Fatalf("got %v with the error %.600v", h, err)
			}
			return
		}
		if again, err := ParseHours(h.String()); err != nil || again != h {
			t.Fatalf("%v read again: got %v, %v", h, again, err)
		}
		for _, zone := range zones {
			now := time.Unix(unix%4e9, 0).In(zone)
			until, quiet := h.Quiet(now)
			if !quiet {
				if !until.IsZero() || h.at(now) {
					t.Fatalf("%v at %v: got not quiet until %v", h, now, until)
				}
				continue
			}
			if d := until.Sub(now); d <= 0 || d > 2*day {
				t.Fatalf("%v at %v: got until %v", h, now, until)
			}
			if h.at(until) || !h.at(until.Add(-1)) {
				t.Fatalf("%v at %v: %v is not where it ends", h, now, until)
			}
			for at := now; at.Before(until); at = at.Add(7 * time.Minute) {
				if !h.at(at) {
					t.Fatalf("%v at %v: %v is not quiet, said until %v", h, now, at, until)
				}
			}
		}
	})
}
