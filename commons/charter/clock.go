// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"errors"
	"fmt"
)

// Clock is a time of day in minutes after midnight, written as "06:30".
type Clock int

// ParseClock reads a time of day from 00:00 to 23:59.
func ParseClock(s string) (Clock, error) {
	if len(s) == 5 && s[2] == ':' {
		h, m := two(s[:2]), two(s[3:])
		if h >= 0 && h < 24 && m >= 0 && m < 60 {
			return Clock(h*60 + m), nil
		}
	}
	return 0, errors.New(`write a time of day from "00:00" to "23:59", such as "06:30"`)
}

// two reads two digits; -1 where they are none.
func two(s string) int {
	if s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9' {
		return -1
	}
	return int(s[0]-'0')*10 + int(s[1]-'0')
}

// String prints c as [ParseClock] reads it.
func (c Clock) String() string { return fmt.Sprintf("%02d:%02d", int(c)/60, int(c)%60) }

// MarshalText writes c as [Clock.String] does.
func (c Clock) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (c *Clock) UnmarshalText(b []byte) error {
	v, err := ParseClock(string(b))
	if err == nil {
		*c = v
	}
	return err
}
