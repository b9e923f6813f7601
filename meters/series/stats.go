// SPDX-License-Identifier: AGPL-3.0-or-later

package series

// Reason is why points were dropped.
type Reason string

// Reasons. A point is a value of a record.
const (
	HandOver   Reason = "hand_over"    // the recorder was behind
	Full       Reason = "full"         // the store's queue or memory was full
	Late       Reason = "late"         // not later than the newest of its series
	OutOfRange Reason = "out_of_range" // beyond MaxValue, or of a time that cannot be
	TooMany    Reason = "too_many"     // more series, or more points in a moment, than the store keeps apart
	Refused    Reason = "refused"      // the server would not have it
	Lost       Reason = "lost"         // taken, and then lost with the file or at the end
)

// Reasons are all there are, for whoever makes a counter of each.
func Reasons() []Reason {
	return []Reason{HandOver, Full, Late, OutOfRange, TooMany, Refused, Lost}
}

// Stats is how a store does, counted in points since its start.
type Stats struct {
	Store    string // "embedded", "influxdb" or "none"
	Taken    uint64 // came in and were not dropped at once
	Written  uint64 // are on the disk or with the server
	Queued   int64  // taken and not yet written
	Dropped  map[Reason]uint64
	Failures uint64 // writes that failed; most are tried again

	Series   int64 // known
	Bytes    int64 // on the disk, where the store knows it
	MaxBytes int64 // its cap, 0: none

	// Problems is what is wrong now, a sentence each that says what to do.
	Problems []string
}
