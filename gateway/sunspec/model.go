// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

// Type is how a point is encoded in its registers, big endian.
type Type uint8

// Types, with the raw value that means "not implemented".
const (
	Uint16      Type = iota // 0xFFFF
	Int16                   // 0x8000
	Acc32                   // 0, where the point is optional; a mandatory counter may be at 0
	Uint32                  // 0xFFFFFFFF
	Uint64                  // 0xFFFFFFFFFFFFFFFF
	Enum16                  // 0xFFFF
	Bitfield16              // 0xFFFF
	Bitfield32              // 0xFFFFFFFF
	ScaleFactor             // 0x8000
	String                  // all zero bytes
	Pad                     // carries nothing
)

// Flags of a point.
type Flags uint8

const (
	mandatory Flags = 1 << iota
	writable
)

// Point is one value of a model.
type Point struct {
	Offset uint16 // registers from the model's start; the id is at 0, the length at 1
	Size   uint16 // registers
	Name   string
	Type   Type
	SF     string // name of the scale factor's point in the same model, empty: none
	Units  string
	Flags  Flags
}

// Mandatory says that the model demands the point.
func (p Point) Mandatory() bool { return p.Flags&mandatory != 0 }

// Writable says that the model allows writing the point.
func (p Point) Writable() bool { return p.Flags&writable != 0 }

// Model is one SunSpec model: its points in order, then repeated groups.
type Model struct {
	ID     uint16
	Name   string
	Points []Point
	Group  []Point // points of one group, offsets from its start; nil: no groups
	Count  string  // the point that says how many groups there are
}

// Model ids that this package knows.
const (
	Common           uint16 = 1
	StorageControl   uint16 = 124
	InverterOne      uint16 = 101
	InverterSplit    uint16 = 102
	InverterThree    uint16 = 103
	MeterThree       uint16 = 203
	MeasureAC        uint16 = 701
	StorageCapacity  uint16 = 713
	MeasureDC        uint16 = 714
	BatteryBase      uint16 = 802
	endOfChain       uint16 = 0xFFFF
	headerLen               = 2 // id and length
	sunSpecMarkerOne uint16 = 0x5375
	sunSpecMarkerTwo uint16 = 0x6e53
)

// Known lists the ids that [Lookup] knows.
func Known() []uint16 {
	return []uint16{
		Common, InverterOne, InverterSplit, InverterThree, StorageControl,
		MeterThree, MeasureAC, StorageCapacity, MeasureDC, BatteryBase,
	}
}

// Lookup is the table of a model, after the definitions that the SunSpec
// Alliance publishes (github.com/sunspec/models, Apache-2.0).
func Lookup(id uint16) (*Model, bool) {
	m := &Model{ID: id}
	switch id {
	case Common:
		m.Name, m.Points = "common", commonPoints()
	case InverterOne:
		m.Name, m.Points = "inverter_single_phase", inverterPoints()
	case InverterSplit:
		m.Name, m.Points = "inverter_split_phase", inverterPoints()
	case InverterThree:
		m.Name, m.Points = "inverter_three_phase", inverterPoints()
	case StorageControl:
		m.Name, m.Points = "storage_basic", storagePoints()
	case MeterThree:
		m.Name, m.Points = "ac_meter_abcn", meterPoints()
	case MeasureAC:
		m.Name, m.Points = "DERMeasureAC", acPoints()
	case StorageCapacity:
		m.Name, m.Points = "DERStorageCapacity", capacityPoints()
	case MeasureDC:
		m.Name, m.Points = "DERMeasureDC", dcPoints()
		m.Group, m.Count = dcPointsPrt(), "NPrt"
	case BatteryBase:
		m.Name, m.Points = "battery", batteryPoints()
	default:
		return nil, false
	}
	return m, true
}

// Point finds a point by name.
func (m *Model) Point(name string) (Point, bool) {
	for _, p := range m.Points {
		if p.Name == name {
			return p, true
		}
	}
	return Point{}, false
}

// Size is the number of registers of the fixed points, header included.
func (m *Model) Size() uint16 {
	last := m.Points[len(m.Points)-1]
	return last.Offset + last.Size
}

// GroupSize is the number of registers of one group, 0 without groups.
func (m *Model) GroupSize() uint16 {
	if len(m.Group) == 0 {
		return 0
	}
	last := m.Group[len(m.Group)-1]
	return last.Offset + last.Size
}
