// SPDX-License-Identifier: AGPL-3.0-or-later

package energy

import (
	"fmt"
	"time"
)

// Instant is a point of world time in milliseconds since 1970-01-01T00:00Z,
// without leap seconds. It is a value: nothing in the core reads a clock.
type Instant int64

// Span is a length of time in milliseconds.
type Span int64

// Spans.
const (
	Millisecond Span = 1
	Second      Span = 1_000
	Minute      Span = 60 * Second
	Hour        Span = 60 * Minute
	Day         Span = 24 * Hour
)

// InstantOf converts a time, cutting it to the millisecond below.
func InstantOf(t time.Time) Instant { return Instant(t.UnixMilli()) }

// SpanOf converts a duration, cutting it to milliseconds.
func SpanOf(d time.Duration) Span { return Span(d.Milliseconds()) }

// Time is t as a UTC time.
func (t Instant) Time() time.Time { return time.UnixMilli(int64(t)).UTC() }

// Add is the instant s after t.
func (t Instant) Add(s Span) Instant { return t + Instant(s) }

// Sub is the span from u to t.
func (t Instant) Sub(u Instant) Span { return Span(t - u) }

// String prints t in RFC 3339 with milliseconds where it has any.
func (t Instant) String() string { return t.Time().Format("2006-01-02T15:04:05.999Z07:00") }

// MarshalText writes t in RFC 3339.
func (t Instant) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads RFC 3339; the zone may be any, the value is UTC.
func (t *Instant) UnmarshalText(b []byte) error {
	v, err := time.Parse(time.RFC3339Nano, string(b))
	if err != nil {
		return fmt.Errorf("instant %q: write it in RFC 3339, such as 2026-06-01T12:00:00Z", clip(string(b)))
	}
	*t = InstantOf(v)
	return nil
}

// Duration is s as a time.Duration.
func (s Span) Duration() time.Duration { return time.Duration(s) * time.Millisecond }

// String prints s as Go prints durations.
func (s Span) String() string { return s.Duration().String() }

// MarshalText writes s as Go prints durations, such as "15m0s".
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a duration such as "15m".
func (s *Span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("span %q: write it as 15m, 90s or 1h", clip(string(b)))
	}
	*s = SpanOf(d)
	return nil
}

// Interval is a settlement slot, half open: [Start, Start+Length), aligned in
// UTC to whole multiples of its length.
type Interval struct {
	Start  Instant `json:"start"`
	Length Span    `json:"length"`
}

// QuarterHour is the usual length of a settlement slot.
const QuarterHour = 15 * Minute

// IntervalAt is the interval of the given length that holds t. The length is
// positive and divides a day.
func IntervalAt(t Instant, length Span) Interval {
	if length <= 0 || Day%length != 0 {
		panic("energy.IntervalAt: the length does not divide a day")
	}
	r := int64(t) % int64(length)
	if r < 0 {
		r += int64(length)
	}
	return Interval{t - Instant(r), length}
}

// End is the first instant after the interval.
func (i Interval) End() Instant { return i.Start.Add(i.Length) }

// Next is the interval that follows.
func (i Interval) Next() Interval { return Interval{i.End(), i.Length} }

// Contains says whether t lies in the interval; its end does not.
func (i Interval) Contains(t Instant) bool { return t >= i.Start && t < i.End() }

// String prints start and length, such as "2026-06-01T12:00:00Z/15m0s".
func (i Interval) String() string { return i.Start.String() + "/" + i.Length.String() }
