// SPDX-License-Identifier: AGPL-3.0-or-later

package energy

import "fmt"

// Quality says how far a value can be trusted. The zero value is good.
type Quality uint8

// Qualities, from the best to the least trusted as [Worse] ranks them.
const (
	Good           Quality = iota // measured, in time, plausible
	Corrected                     // measured, then corrected by a person or by late data
	Substituted                   // taken from a second meter or a reference period
	Estimated                     // interpolated over a gap, or computed
	Sleeping                      // the device is asleep as it should be (a solar inverter at night)
	Stale                         // the last known value, too old to be the present
	NotImplemented                // the device does not have this point
)

var qualityNames = [...]string{"good", "corrected", "substituted", "estimated", "sleeping", "stale", "not implemented"}

// String is the name used in files, on the wire and on pages.
func (q Quality) String() string {
	if int(q) < len(qualityNames) {
		return qualityNames[q]
	}
	return fmt.Sprintf("quality(%d)", uint8(q))
}

// Worse is the less trusted of the two.
func (q Quality) Worse(r Quality) Quality { return max(q, r) }

// MarshalText writes the name.
func (q Quality) MarshalText() ([]byte, error) { return []byte(q.String()), nil }

// UnmarshalText reads a name.
func (q *Quality) UnmarshalText(b []byte) error {
	for i, n := range qualityNames {
		if n == string(b) {
			*q = Quality(i)
			return nil
		}
	}
	return fmt.Errorf("quality %q is none of %q", clip(string(b)), qualityNames)
}
