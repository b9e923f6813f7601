// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"fmt"

	"github.com/allmende-energy/allmende/gateway/dump"
	"github.com/allmende-energy/allmende/gateway/sim/wire"
)

// Recorded makes a device of a register image that somebody took: what answered
// then answers now, and what was refused is refused with the same code. Writes
// change its registers, and have no other effect.
func Recorded(i *dump.Image) (*wire.Image, error) {
	tables := map[dump.Table]wire.Table{
		dump.Holding: wire.Holding, dump.Input: wire.Input, dump.Coil: wire.Coils, dump.Discrete: wire.Discrete,
	}
	m := wire.NewImage()
	for _, b := range i.Blocks {
		var err error
		if b.Exception != 0 {
			err = m.Refuse(b.Unit, tables[b.Table], b.Address, b.Count, wire.Exception(b.Exception))
		} else {
			err = m.Set(b.Unit, tables[b.Table], b.Address, b.Values...)
		}
		if err != nil {
			return nil, fmt.Errorf("register image: %w", err)
		}
	}
	return m, nil
}
