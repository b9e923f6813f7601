// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

import (
	"github.com/allmende-energy/allmende/gateway/device"
)

// Profile describes a family of devices. It is what a YAML file says, checked.
type Profile struct {
	Name         string     `yaml:"profile"`
	Version      int        `yaml:"version"` // of the file: raised with each change
	Manufacturer string     `yaml:"manufacturer"`
	Models       []string   `yaml:"models"`
	Kinds        []Kind     `yaml:"kinds"`    // what it is; the first is meant where nobody says
	Reads        string     `yaml:"reads"`    // "registers", or "sunspec": then this adds to what the chain says
	Firmware     string     `yaml:"firmware"` // which the sources speak of, in words
	Sources      []Source   `yaml:"sources"`
	Notes        []string   `yaml:"notes"` // for an installer
	Connection   Connection `yaml:"connection"`
	Identify     []Sign     `yaml:"identify"` // all of them must show
	Points       []Point    `yaml:"points"`
	Controls     []Control  `yaml:"controls"`

	// Origin is where it comes from: "embedded", or a file.
	Origin string `yaml:"-"`
}

// SunSpec is what Reads says of a device that is read by its SunSpec models.
const SunSpec = "sunspec"

// Kind is what a device is to the community.
type Kind string

// Kinds. The first three are assets of the register; the others are loads and inputs.
const (
	Meter    Kind = "meter"
	Inverter Kind = "inverter"
	Battery  Kind = "battery"
	Charger  Kind = "charger"
	HeatPump Kind = "heat_pump"
	Contact  Kind = "contact" // a grid operator's limit as a digital input
)

// Kinds lists them all.
func Kinds() []Kind { return []Kind{Meter, Inverter, Battery, Charger, HeatPump, Contact} }

// Source is a public document or integration that knows the registers.
type Source struct {
	ID  string `yaml:"id"`
	URL string `yaml:"url"`
	// Numbers says how it counts addresses, because a register beside the right
	// one still gives plausible values: "wire" (from 0, as in the telegram),
	// "one" (from 1), or "modicon" (30001 and 40001 stand for 0).
	Numbers string `yaml:"numbers"`
}

// Connection is how such a device wants to be spoken to. Zero: as the gateway does otherwise.
type Connection struct {
	Port           uint16  `yaml:"port"`  // TCP
	Units          []uint8 `yaml:"units"` // where it usually is, the first is the default
	Baud           int     `yaml:"baud"`
	Parity         string  `yaml:"parity"` // N, E or O
	StopBits       int     `yaml:"stop_bits"`
	ConnectDelayMS int     `yaml:"connect_delay_ms"`
	RequestGapMS   int     `yaml:"request_gap_ms"`
	TimeoutMS      int     `yaml:"timeout_ms"`
	MaxRegisters   int     `yaml:"max_registers"` // in one read
	MaxGap         int     `yaml:"max_gap"`       // registers nobody asked for, read along in one request
	SingleClient   bool    `yaml:"single_client"` // a second connection is refused or kills the first
}

// Sign is a register whose value tells this family from others.
type Sign struct {
	Table   Table    `yaml:"table"`
	Address *uint16  `yaml:"address"`
	Type    Type     `yaml:"type"`
	Count   uint16   `yaml:"count"`
	Words   Order    `yaml:"words"`
	Bytes   Order    `yaml:"bytes"`
	Scale   *Decimal `yaml:"scale"`
	// One of these. A number within bounds, such as the grid's frequency, only
	// makes the family likely; the others make it sure.
	Is    []int64  `yaml:"is"`
	Like  []string `yaml:"like"` // beginnings of a text
	Least *Decimal `yaml:"least"`
	Most  *Decimal `yaml:"most"`
}

// Point is one value of the device.
type Point struct {
	// Name is a word of the vocabulary (see docs/profiles.md) or one of its own.
	// In a profile of several kinds it begins with the kind: "battery.power".
	Name    string   `yaml:"name"`
	Table   Table    `yaml:"table"`
	Address *uint16  `yaml:"address"` // from 0, as in the telegram
	Type    Type     `yaml:"type"`
	Count   uint16   `yaml:"count"` // registers of a string
	Words   Order    `yaml:"words"` // which register comes first: big (the upper) or little
	Bytes   Order    `yaml:"bytes"`
	Offset  int64    `yaml:"offset"` // taken from the raw number before it is scaled
	Scale   *Decimal `yaml:"scale"`  // value = (raw - offset) · scale
	Factor  *uint16  `yaml:"factor"` // register of the same read with an exponent of ten (s16)
	Unit    string   `yaml:"unit"`
	// Sign is "opposite" where the device counts the other way: ours is import
	// of a meter, production, discharge and consumption of a load positive.
	Sign       string     `yaml:"sign"`
	NegativeIf *Direction `yaml:"negative_if"` // another point tells the direction
	Sum        []string   `yaml:"sum"`         // instead of an address: names of points, "-" before one takes it away
	Missing    []Word     `yaml:"missing"`     // raw values that mean: not implemented
	Least      *Decimal   `yaml:"least"`       // plausible, after scaling
	Most       *Decimal   `yaml:"most"`
	Pace       string     `yaml:"pace"`   // "fast": each pass; "slow": in turns
	Values     []Name     `yaml:"values"` // of an enum or the bits of a bitfield
	Asleep     []int64    `yaml:"asleep"` // values of a state at which silence is no fault
	Since      string     `yaml:"since"`  // of this firmware and later
	Before     string     `yaml:"before"` // of firmware before this one
	From       []string   `yaml:"from"`   // the sources that confirm it; empty: all of them
	Note       string     `yaml:"note"`
}

// Direction makes a value negative while another point has one of some values.
type Direction struct {
	Point string  `yaml:"point"`
	Is    []int64 `yaml:"is"`
	Bits  []int   `yaml:"bits"` // or: one of these bits is set
}

// Name is what a number of an enum, or a bit, is called.
type Name struct {
	Is   int64  `yaml:"is"`
	Name string `yaml:"name"`
}

// Control is one quantity that such a device can be told. Powers are in W,
// percentages in %.
type Control struct {
	Quantity  device.Quantity `yaml:"quantity"`
	Confirmed bool            `yaml:"confirmed"` // by two sources; else it is read only
	Note      string          `yaml:"note"`
	From      []string        `yaml:"from"`
	// Switch is a load that can only be blocked (stop) or let go (release). Least
	// is then what it draws at most when it is let go: a smaller limit blocks it,
	// and it has neither Most nor Set.
	Switch    bool      `yaml:"switch"`
	Least     *Decimal  `yaml:"least"`
	Most      *Decimal  `yaml:"most"`
	Reversion Reversion `yaml:"reversion"`
	// RefreshSeconds is the longest time between two writes that the device
	// wants; 0: none but the reversion.
	RefreshSeconds int     `yaml:"refresh_seconds"`
	WritesPerDay   int     `yaml:"writes_per_day"` // that its memory survives; 0: no limit known or needed
	Since          string  `yaml:"since"`
	Before         string  `yaml:"before"`
	Set            []Write `yaml:"set"`
	Stop           []Write `yaml:"stop"`    // how it is brought to rest, where 0 is something else
	Release        []Write `yaml:"release"` // gives the device back to itself
}

// Reversion is how the device comes back to itself.
type Reversion struct {
	By           device.Reversion `yaml:"by"`
	Seconds      int              `yaml:"seconds"` // of a watchdog
	LeastSeconds int              `yaml:"least_seconds"`
	MostSeconds  int              `yaml:"most_seconds"`
}

// Write is one step of a sequence.
type Write struct {
	Table    Table  `yaml:"table"` // holding or coil
	Address  uint16 `yaml:"address"`
	Function int    `yaml:"function"` // 5, 6 or 16
	Type     Type   `yaml:"type"`
	Words    Order  `yaml:"words"`
	Bytes    Order  `yaml:"bytes"`
	// Takes says what is written: "constant" (Value), "value" (what was asked
	// for), "magnitude" (without its sign) or "seconds" (of the reversion).
	Takes  string   `yaml:"takes"`
	Value  int64    `yaml:"value"`
	Scale  *Decimal `yaml:"scale"`  // asked for = (raw - offset) · scale, as of a point
	Offset int64    `yaml:"offset"` // added to the raw number
	Factor *uint16  `yaml:"factor"` // register with an exponent of ten, read just before
	Sign   string   `yaml:"sign"`   // "opposite"
	When   []string `yaml:"when"`   // only if what is asked for is: positive, zero, negative
	// Joins the step before in one telegram of function 16, for registers that
	// the device only takes together.
	Joins bool `yaml:"joins"`
	// Read is "no" where the register cannot be read back, "lags" where it shows
	// what it does and not what it was told.
	Read string `yaml:"read"`
}
