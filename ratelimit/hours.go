package ratelimit

import (
	"fmt"
	"strings"
	"time"
)

// Hours are quiet hours: a stretch of each day in which nothing is sent. The zero Hours are never quiet. Two Hours are
// equal (==) if they are quiet at the same times.
type Hours struct {
	from, to int16 // minutes since midnight; quiet from the first until before the second. Equal only if never quiet
}

const day = 24 * time.Hour

// ParseHours reads "22:00-05:00": quiet from 22:00 until 05:00 of the next day. "!08:00-18:00" means the opposite: quiet
// at all times but these, and so the same as "18:00-08:00". An empty string is the zero Hours. The error says what to
// write.
func ParseHours(s string) (Hours, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return Hours{}, nil
	}
	rest, opposite := strings.CutPrefix(s, "!")
	first, second, _ := strings.Cut(rest, "-")
	from, err := minutes(first)
	if err != nil {
		return Hours{}, wrongHours(s)
	}
	to, err := minutes(second)
	if err != nil {
		return Hours{}, wrongHours(s)
	}
	if from == to {
		return Hours{}, fmt.Errorf("ratelimit: quiet hours %.40q begin when they end: write two different times, or nothing if no hours are quiet", s)
	}
	if opposite {
		from, to = to, from
	}
	return Hours{from: from, to: to}, nil
}

func wrongHours(s string) error {
	return fmt.Errorf("ratelimit: quiet hours %.40q: write HH:MM-HH:MM, such as 22:00-05:00, or !08:00-18:00 if all other hours are quiet", s)
}

// minutes reads HH:MM as minutes since midnight. 24:00 is 00:00.
func minutes(s string) (int16, error) {
	s = strings.TrimSpace(s)
	if s == "24:00" {
		return 0, nil
	}
	t, err := time.Parse("15:04", s)
	return int16(t.Hour()*60 + t.Minute()), err
}

// String returns what ParseHours reads, HH:MM-HH:MM; it is empty for the zero Hours.
func (h Hours) String() string {
	if h == (Hours{}) {
		return ""
	}
	return fmt.Sprintf("%02d:%02d-%02d:%02d", h.from/60, h.from%60, h.to/60, h.to%60)
}

// MarshalText returns what String does. The error is always nil.
func (h Hours) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText sets h to what ParseHours makes of the text. On an error h stays as it was.
func (h *Hours) UnmarshalText(text []byte) error {
	parsed, err := ParseHours(string(text))
	if err != nil {
		return err
	}
	*h = parsed
	return nil
}

// Quiet says whether now is quiet, and if so until when: the first moment that no longer is. What counts is the clock on
// the wall in now's own location, so on the day on which clocks go forward a night is an hour shorter, and on the day on
// which they go back an hour that is quiet twice on the wall is quiet twice.
func (h Hours) Quiet(now time.Time) (until time.Time, quiet bool) {
	if !h.at(now) {
		return time.Time{}, false
	}
	// Until its offset changes, the clock on the wall runs as time does. What it shows after a change is looked at then:
	// time.Date does not say which moment it means by a time that a day has twice or not at all.
	for t := now.Round(0); ; { // the clock on the wall alone
		_, change := t.ZoneBounds()
		next := t.Add((day + clock(h.to) - wall(t)) % day)
		if change.IsZero() || next.Before(change) {
			return next, true
		}
		if t = change.In(now.Location()); !h.at(t) {
			return t, true
		}
	}
}

// at says whether the clock on the wall at t is within the hours.
func (h Hours) at(t time.Time) bool {
	if h == (Hours{}) {
		return false
	}
	from, to, w := clock(h.from), clock(h.to), wall(t)
	if from < to {
		return from <= w && w < to
	}
	return w >= from || w < to
}

// clock returns minutes since midnight as a duration.
func clock(minutes int16) time.Duration { return time.Duration(minutes) * time.Minute }

// wall returns what the clock on the wall shows at t, as the time since it showed midnight.
func wall(t time.Time) time.Duration {
	h, m, s := t.Clock()
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second + time.Duration(t.Nanosecond())
}
