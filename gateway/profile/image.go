// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

import "fmt"

// Image is what is known of a unit's registers; a bit counts as 0 or 1. Its
// zero value is empty. Registers that are not in it were not read.
type Image struct {
	words   [4]map[uint16]uint16
	refused [4]map[uint16]string // why the device gives none
}

// Set puts values into a table from addr on.
func (m *Image) Set(t Table, addr uint16, values ...uint16) {
	if m.words[t] == nil {
		m.words[t] = map[uint16]uint16{}
	}
	for i, v := range values {
		m.words[t][addr+uint16(i)] = v
	}
}

// Get takes n values from addr on, or says why they are not all there.
func (m *Image) Get(t Table, addr, n uint16) ([]uint16, error) {
	values := make([]uint16, n)
	for i := range n {
		v, ok := m.words[t][addr+i]
		if why := m.refused[t][addr+i]; why != "" {
			return nil, fmt.Errorf("%s", why)
		}
		if !ok {
			return nil, fmt.Errorf("%s register %d was not read", t, addr+i)
		}
		values[i] = v
	}
	return values, nil
}

// Table is one table of the image: what a simulator serves.
func (m *Image) Table(t Table) map[uint16]uint16 { return m.words[t] }

func (m *Image) refuse(t Table, addr, n uint16, why string) {
	if m.refused[t] == nil {
		m.refused[t] = map[uint16]string{}
	}
	for i := range n {
		m.refused[t][addr+i] = why
	}
}

// forget drops what was read, and keeps what is refused.
func (m *Image) forget() {
	for t := range m.words {
		clear(m.words[t])
	}
}
