// SPDX-License-Identifier: AGPL-3.0-or-later

// Package dump is the register image of a device as a file: what each address
// answered, refusals included. An installer takes one where a device behaves in
// a way that nobody expected; served again over Modbus it is that device for a
// test, for as long as the test is kept.
//
// # The file
//
// One JSON object a line. The first says what it is:
//
//	{"allmende_dump":1,"url":"tcp://192.168.1.50:502","taken":"2026-06-01T12:00:00Z","software":"allmende 1.2"}
//
// Each of the others is a block of one table of one unit: values from an
// address on, or so many addresses that were refused with a Modbus exception.
//
//	{"unit":1,"table":"holding","address":40000,"values":[21365,28243,1,66]}
//	{"unit":1,"table":"holding","address":40070,"count":8,"exception":2}
//
// Whatever stands in no block was not asked for. Lines may be cut off at the
// end: what was taken before is whole.
package dump

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Version is the format that this program writes, and the only one it reads.
const Version = 1

// Bounds of a file. The full address space of one table of one unit is 65,536
// values, some 400 KB.
const (
	MaxSize   = 8 << 20
	maxBlocks = 20_000
	maxLine   = 256 << 10
	maxBlock  = 2000 // values of one block: the most that one Modbus answer holds
)

// Table is one of the four address spaces of a Modbus unit.
type Table string

// Tables.
const (
	Holding  Table = "holding"  // function 3
	Input    Table = "input"    // function 4
	Coil     Table = "coil"     // function 1, values 0 and 1
	Discrete Table = "discrete" // function 2, values 0 and 1
)

// Bits says that the table's values are single bits.
func (t Table) Bits() bool { return t == Coil || t == Discrete }

func (t Table) valid() bool { return t == Holding || t == Input || t.Bits() }

// Header says where an image comes from.
type Header struct {
	Version   int       `json:"allmende_dump"`
	URL       string    `json:"url"`
	Taken     time.Time `json:"taken"`
	Software  string    `json:"software"`
	Anonymous bool      `json:"anonymous,omitempty"` // serial numbers were masked
	Note      string    `json:"note,omitempty"`
}

// Block is a run of addresses that answered in the same way.
type Block struct {
	Unit    uint8    `json:"unit"`
	Table   Table    `json:"table"`
	Address uint16   `json:"address"`
	Values  []uint16 `json:"values,omitempty"`
	// Count addresses were refused with Exception; both 0 where there are values.
	Count     int   `json:"count,omitempty"`
	Exception uint8 `json:"exception,omitempty"`
}

// Len is how many addresses the block covers.
func (b Block) Len() int { return max(len(b.Values), b.Count) }

// Image is a whole file.
type Image struct {
	Header Header
	Blocks []Block
}

// Units are the units of the image, in order.
func (i *Image) Units() []uint8 {
	var units []uint8
	for _, b := range i.Blocks {
		if !slices.Contains(units, b.Unit) {
			units = append(units, b.Unit)
		}
	}
	slices.Sort(units)
	return units
}

// Encode writes an image.
func Encode(w io.Writer, i *Image) error {
	e, err := NewEncoder(w, i.Header)
	for _, b := range i.Blocks {
		if err != nil {
			return err
		}
		err = e.Write(b)
	}
	return err
}

// Encoder writes an image block by block, so that what was read so far is in
// the file when somebody stops it.
type Encoder struct{ json *json.Encoder }

// NewEncoder writes the header.
func NewEncoder(w io.Writer, h Header) (*Encoder, error) {
	e := &Encoder{json.NewEncoder(w)}
	h.Version = Version
	h.Taken = h.Taken.UTC().Truncate(time.Second)
	return e, e.write(h)
}

// Write adds a block.
func (e *Encoder) Write(b Block) error {
	if err := b.check(); err != nil {
		return err
	}
	return e.write(b)
}

func (e *Encoder) write(v any) error {
	if err := e.json.Encode(v); err != nil {
		return fmt.Errorf("writing a register image: %w", err)
	}
	return nil
}

// Decode reads an image strictly: an unknown field, a block that overlaps
// another or leaves the address space is an error that names its line.
func Decode(r io.Reader) (*Image, error) {
	limited := &io.LimitedReader{R: r, N: MaxSize + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, maxLine)
	var i Image
	taken := tables{}
	n := 0
	for lines.Scan() {
		n++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		if i.Header.Version == 0 {
			if err := i.Header.decode(line); err != nil {
				return nil, fmt.Errorf("register image, line %d: %w", n, err)
			}
			continue
		}
		if len(i.Blocks) == maxBlocks {
			return nil, fmt.Errorf("register image, line %d: more than %d blocks", n, maxBlocks)
		}
		var b Block
		err := strict(line, &b)
		if err == nil {
			err = b.check()
		}
		if err == nil {
			err = taken.add(b)
		}
		if err != nil {
			return nil, fmt.Errorf("register image, line %d: %w", n, err)
		}
		i.Blocks = append(i.Blocks, b)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("register image, line %d: longer than %d KiB: is this a register image? `allmende gateway dump` writes one", n+1, maxLine>>10)
	case err != nil:
		return nil, fmt.Errorf("reading a register image: %w", err)
	case limited.N <= 0:
		return nil, fmt.Errorf("register image: larger than %d MiB: take a dump of fewer ranges", MaxSize>>20)
	case i.Header.Version == 0:
		return nil, errors.New("register image: the file is empty; `allmende gateway dump URL --unit N --out FILE` writes one")
	case len(i.Blocks) == 0:
		return nil, errors.New("register image: it holds no block: no address was read when it was taken")
	}
	return &i, nil
}

func (h *Header) decode(line []byte) error {
	var kind struct {
		Version *int `json:"allmende_dump"`
	}
	if err := json.Unmarshal(line, &kind); err != nil || kind.Version == nil {
		return errors.New(`it does not begin with {"allmende_dump":1,…}: this is no register image; "allmende gateway dump" writes one`)
	}
	if *kind.Version != Version {
		return fmt.Errorf("format %d, and this program reads format %d: use the newest allmende", *kind.Version, Version)
	}
	if err := strict(line, h); err != nil {
		return err
	}
	return nil
}

// strict decodes one object and nothing else.
func strict(line []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("this is no line of it: %w", err)
	}
	if dec.More() {
		return errors.New("a second object on the line")
	}
	return nil
}

func (b Block) check() error {
	switch {
	case !b.Table.valid():
		return fmt.Errorf("table %.20q: write holding, input, coil or discrete", b.Table)
	case len(b.Values) > 0 && (b.Count != 0 || b.Exception != 0):
		return errors.New("values and an exception in one block: an address has answered or refused")
	case len(b.Values) == 0 && (b.Count <= 0 || b.Exception == 0):
		return errors.New("neither values nor count and exception")
	case len(b.Values) > maxBlock:
		return fmt.Errorf("%d values: a block has at most %d", len(b.Values), maxBlock)
	case b.Count > 1<<16 || int(b.Address)+b.Len() > 1<<16:
		return fmt.Errorf("%d addresses from %d on: the last address is 65535", b.Len(), b.Address)
	case b.Exception > 0x7f:
		return fmt.Errorf("exception %d: codes end at 127", b.Exception)
	case b.Table.Bits() && slices.ContainsFunc(b.Values, func(v uint16) bool { return v > 1 }):
		return fmt.Errorf("a %s is 0 or 1", b.Table)
	}
	return nil
}
