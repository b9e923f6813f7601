// SPDX-License-Identifier: AGPL-3.0-or-later

package dump

import (
	"fmt"
	"strconv"
	"strings"
)

// Range is a run of addresses of one table, as somebody asks for it.
type Range struct {
	Table   Table
	Address uint16
	Count   int
}

// String is how a range is written: holding:40000+125.
func (r Range) String() string { return fmt.Sprintf("%s:%d+%d", r.Table, r.Address, r.Count) }

// UnmarshalText reads a range: table:first+count or table:first-last, both as
// decimal or hexadecimal (0x…) addresses that begin at 0. Without a table it
// means holding registers.
func (r *Range) UnmarshalText(text []byte) error {
	s := string(text)
	const form = "write it as holding:40000+125 or input:0-99"
	table, addresses, named := strings.Cut(s, ":")
	if !named {
		table, addresses = string(Holding), s
	}
	out := Range{Table: Table(strings.TrimSuffix(table, "s"))}
	if !out.Table.valid() {
		return fmt.Errorf("range %.60q: there is no table %.20q: holding, input, coil or discrete; %s", s, table, form)
	}
	from, much, plus := strings.Cut(addresses, "+")
	if !plus {
		var dash bool
		if from, much, dash = strings.Cut(addresses, "-"); !dash {
			much = from
		}
	}
	first, err := strconv.ParseUint(from, 0, 16)
	if err != nil {
		return fmt.Errorf("range %.60q: %.20q is no address from 0 to 65535; %s", s, from, form)
	}
	last, err := strconv.ParseUint(much, 0, 17)
	if err != nil {
		return fmt.Errorf("range %.60q: %.20q is no number; %s", s, much, form)
	}
	out.Address, out.Count = uint16(first), int(last)
	if !plus {
		out.Count = int(last) - int(first) + 1
	}
	if out.Count < 1 || int(out.Address)+out.Count > 1<<16 {
		return fmt.Errorf("range %.60q: addresses go from 0 to 65535, and the first comes before the last", s)
	}
	*r = out
	return nil
}
