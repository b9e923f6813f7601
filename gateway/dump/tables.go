// SPDX-License-Identifier: AGPL-3.0-or-later

package dump

import (
	"fmt"
	"slices"
	"sort"
)

// space is one table of one unit.
type space struct {
	unit  uint8
	table Table
}

// tables are blocks by their place, each list sorted by address. What they take
// grows with the file and not with the addresses that it speaks of.
type tables map[space][]Block

// at is the index of the first block that ends behind addr.
func (t tables) at(s space, addr int) int {
	blocks := t[s]
	return sort.Search(len(blocks), func(i int) bool { return int(blocks[i].Address)+blocks[i].Len() > addr })
}

// add takes a block whose addresses are in no other.
func (t tables) add(b Block) error {
	s := space{b.Unit, b.Table}
	i := t.at(s, int(b.Address))
	if i < len(t[s]) && int(t[s][i].Address) < int(b.Address)+b.Len() {
		return fmt.Errorf("%s %d of unit %d is there twice", b.Table, max(b.Address, t[s][i].Address), b.Unit)
	}
	t[s] = slices.Insert(t[s], i, b)
	return nil
}

// find is the block that holds addr.
func (t tables) find(s space, addr int) (Block, bool) {
	i := t.at(s, addr)
	if i == len(t[s]) || int(t[s][i].Address) > addr {
		return Block{}, false
	}
	return t[s][i], true
}
