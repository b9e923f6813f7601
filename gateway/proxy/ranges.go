// SPDX-License-Identifier: AGPL-3.0-or-later

package proxy

import (
	"fmt"
	"strconv"
	"strings"
)

// Range is a run of holding registers or coils that clients may write to.
type Range struct {
	Coils       bool
	First, Last uint16
}

const rangeHelp = "write it as 40236, 40236-40240, or coil:16-23, with the addresses as they go over the line, counted from 0"

// ParseRange reads a range as [Range.String] writes it.
func ParseRange(s string) (Range, error) {
	table, rest, named := strings.Cut(s, ":")
	if !named {
		table, rest = "holding", s
	}
	var r Range
	switch table {
	case "holding":
	case "coil":
		r.Coils = true
	default:
		return Range{}, fmt.Errorf("range %q: %s; input registers and discrete inputs cannot be written", s, rangeHelp)
	}
	from, to, both := strings.Cut(rest, "-")
	if !both {
		to = from
	}
	first, err := strconv.ParseUint(from, 10, 16)
	if err != nil {
		return Range{}, fmt.Errorf("range %q: %s", s, rangeHelp)
	}
	last, err := strconv.ParseUint(to, 10, 16)
	if err != nil || last < first {
		return Range{}, fmt.Errorf("range %q: %s", s, rangeHelp)
	}
	r.First, r.Last = uint16(first), uint16(last)
	return r, nil
}

// UnmarshalText is [ParseRange] for flags.
func (r *Range) UnmarshalText(b []byte) (err error) {
	*r, err = ParseRange(string(b))
	return err
}

// String is the range as one writes it.
func (r Range) String() string {
	table := "holding"
	if r.Coils {
		table = "coil"
	}
	return fmt.Sprintf("%s:%d-%d", table, r.First, r.Last)
}

// allows says whether q writes within r alone.
func (r Range) allows(q query) bool {
	coils := q.function == writeCoil || q.function == writeCoils
	return coils == r.Coils && q.addr >= r.First && int(q.addr)+int(q.count)-1 <= int(r.Last)
}
