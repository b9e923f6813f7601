// SPDX-License-Identifier: AGPL-3.0-or-later

package dump

import (
	"fmt"
	"slices"
	"sync"
)

// Exceptions with which a served image refuses, by the Modbus application
// protocol, section 7.
const (
	illegalAddress uint8 = 0x02
	targetSilent   uint8 = 0x0b
)

// Served is an image as a device: what answered then answers now, what was
// refused is refused with the same code, and what was never asked for is
// refused as an illegal address. Writes are kept, so that a setpoint can be read
// back. It may be used from several goroutines.
type Served struct {
	mu     sync.Mutex
	units  map[uint8]bool
	tables tables
}

// Serve makes an image answer. Its blocks are copied.
func Serve(i *Image) (*Served, error) {
	s := &Served{units: map[uint8]bool{}, tables: tables{}}
	for _, b := range i.Blocks {
		b.Values = slices.Clone(b.Values)
		if err := s.tables.add(b); err != nil {
			return nil, fmt.Errorf("register image: %w", err)
		}
		s.units[b.Unit] = true
	}
	return s, nil
}

// Read gives n values, or the exception that the device answers with.
func (s *Served) Read(unit uint8, table Table, addr, n uint16) (values []uint16, exception uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read(unit, table, addr, n)
}

func (s *Served) read(unit uint8, table Table, addr, n uint16) (values []uint16, exception uint8) {
	if !s.units[unit] {
		return nil, targetSilent
	}
	for at, end := int(addr), int(addr)+int(n); at < end; {
		b, ok := s.tables.find(space{unit, table}, at)
		switch {
		case !ok:
			return nil, illegalAddress
		case b.Exception != 0:
			return nil, b.Exception
		}
		from := at - int(b.Address)
		part := b.Values[from:min(len(b.Values), from+end-at)]
		values = append(values, part...)
		at += len(part)
	}
	return values, 0
}

// Write changes values of a table, where the image has all of them.
func (s *Served) Write(unit uint8, table Table, addr uint16, values []uint16) (exception uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, code := s.read(unit, table, addr, uint16(len(values))); code != 0 {
		return code
	}
	for k, v := range values {
		at := int(addr) + k
		b, _ := s.tables.find(space{unit, table}, at)
		b.Values[at-int(b.Address)] = v
	}
	return 0
}
