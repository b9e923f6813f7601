// SPDX-License-Identifier: AGPL-3.0-or-later

package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/allmende-energy/allmende/energy"
)

// View is a spool as its files show it.
type View struct {
	ID     string         // empty: nothing was ever spooled
	Last   uint64         // the highest sequence of this id
	Acked  uint64         // acknowledged of it, when the gateway last noted it
	Bytes  int64          // on the disk
	Newest energy.Instant // the latest sample; 0 where there is none
	InUse  bool           // a gateway runs on it
}

// Look reads the spool in dir and changes nothing, also while a gateway runs on it.
func Look(dir string) (View, error) {
	d := folder(dir)
	b, err := d.read(stateName)
	if errors.Is(err, os.ErrNotExist) {
		return View{}, nil
	}
	if err != nil {
		return View{}, fmt.Errorf("reading the spool: %w", err)
	}
	var st state
	if err := json.Unmarshal(b, &st); err != nil || st.Acked < st.Base {
		return View{}, fmt.Errorf("reading the spool: %w: %s can't be read", ErrBroken, d.path(stateName))
	}
	v := View{ID: st.ID, InUse: InUse(dir)}
	last, err := v.lookAtSegments(d)
	if err != nil {
		return View{}, err
	}
	v.Last, v.Acked = max(last, st.Base)-st.Base, min(st.Acked, max(last, st.Base))-st.Base
	return v, nil
}

// lookAtSegments adds up the segments, reads the newest, and returns the last
// sequence on the disk.
func (v *View) lookAtSegments(d folder) (last uint64, err error) {
	names, err := d.list()
	if err != nil {
		return 0, fmt.Errorf("listing the spool: %w", err)
	}
	var newest string
	for _, name := range slices.Sorted(slices.Values(names)) {
		if _, ok := parseSegmentName(name); !ok {
			continue
		}
		if info, err := os.Stat(d.path(name)); err == nil { // or its time was over a moment ago
			v.Bytes += info.Size()
			newest = name
		}
	}
	if newest == "" {
		return 0, nil
	}
	b, err := d.read(newest)
	if err != nil {
		return 0, fmt.Errorf("reading the spool: %w", err)
	}
	first, _ := parseSegmentName(newest)
	found := scan(b, first, 0, nil)
	v.Newest = found.newest
	return first - 1 + uint64(len(found.samples)), nil
}
