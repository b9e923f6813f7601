// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/allmende-energy/allmende/internal/strictyaml"
)

// Table is one of the four tables of Modbus.
type Table uint8

// Tables; a profile that names none means holding registers.
const (
	Holding Table = iota
	Input
	Coil
	Discrete
)

var tableNames = []string{"holding", "input", "coil", "discrete"}

// String is the name in profiles.
func (t Table) String() string { return nameOf(tableNames, int(t)) }

// UnmarshalText reads a name.
func (t *Table) UnmarshalText(b []byte) error { return readName("table", tableNames, t, b) }

// Bits says whether the table holds single bits.
func (t Table) Bits() bool { return t == Coil || t == Discrete }

// Type is how a value is encoded.
type Type uint8

// Types. A string takes Count registers, a bit is a coil or a discrete input.
const (
	NoType Type = iota
	U16
	S16
	U32
	S32
	U48
	U64
	S64
	F32
	F64
	String
	Enum     // a u16 with names
	Bitfield // a u16 of named bits
	Bit
)

var typeNames = []string{"", "u16", "s16", "u32", "s32", "u48", "u64", "s64", "f32", "f64", "string", "enum", "bitfield", "bit"}

// String is the name in profiles.
func (t Type) String() string { return nameOf(typeNames, int(t)) }

// UnmarshalText reads a name.
func (t *Type) UnmarshalText(b []byte) error { return readName("type", typeNames, t, b) }

// size is the number of registers, 0 for strings, which say it themselves.
func (t Type) size() int {
	switch t {
	case U16, S16, Enum, Bitfield, Bit:
		return 1
	case U32, S32, F32:
		return 2
	case U48:
		return 3
	case U64, S64, F64:
		return 4
	default:
		return 0
	}
}

// Order says which half comes first.
type Order uint8

// Orders: big, the upper half first, is what Modbus has without words.
const (
	Big Order = iota
	Little
)

var orderNames = []string{"big", "little"}

// String is the name in profiles.
func (o Order) String() string { return nameOf(orderNames, int(o)) }

// UnmarshalText reads a name.
func (o *Order) UnmarshalText(b []byte) error { return readName("order", orderNames, o, b) }

// Word is a raw value, written as 0x8000 or as a decimal.
type Word uint64

// UnmarshalText reads it.
func (w *Word) UnmarshalText(b []byte) error {
	n, err := strconv.ParseUint(string(b), 0, 64)
	if err != nil || strings.Contains(string(b), "_") {
		return fmt.Errorf("%.40q is no raw value; write it as 0x8000, or as a decimal", b)
	}
	*w = Word(n)
	return nil
}

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return "?"
}

func readName[T ~uint8](what string, names []string, into *T, b []byte) error {
	i := slices.Index(names, string(b))
	if i < 0 || len(b) == 0 {
		hint := ""
		if s := strictyaml.Suggest(string(b), names); s != "" {
			hint = "did you mean " + s + "? "
		}
		return fmt.Errorf("%.40q is no %s; %sknown are %s", b, what, hint, strings.TrimPrefix(strings.Join(names, ", "), ", "))
	}
	*into = T(i)
	return nil
}
