// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"iter"
	"slices"
	"strconv"
	"strings"
)

// Type is how a point is encoded in its registers, big endian.
type Type uint8

// Types, with the raw value that means "not implemented". A counter (acc) that
// the model demands may be at 0.
const (
	Uint16      Type = iota // 0xFFFF
	Int16                   // 0x8000
	Uint32                  // 0xFFFFFFFF
	Int32                   // 0x80000000
	Uint64                  // 0xFFFFFFFFFFFFFFFF
	Int64                   // 0x8000000000000000
	Acc16                   // 0
	Acc32                   // 0
	Acc64                   // 0
	Count                   // 0xFFFF
	Enum16                  // 0xFFFF
	Enum32                  // 0xFFFFFFFF
	Bitfield16              // 0xFFFF
	Bitfield32              // 0xFFFFFFFF
	Bitfield64              // 0xFFFFFFFFFFFFFFFF
	Float32                 // not a number
	Float64                 // not a number
	ScaleFactor             // 0x8000
	String                  // all zero bytes
	IPAddr                  // 0
	IPv6Addr                // 0
	EUI48                   // 0xFFFFFFFFFFFFFFFF
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
	Offset  uint16 // registers from the start of the model, or of its group
	Size    uint16 // registers
	Name    string
	Type    Type
	SF      string // the point of the model that is its scale factor, empty: none
	Units   string
	Flags   Flags
	Symbols string // names of its values or bits, see table_symbols.go
}

// Writable says that the model allows writing the point.
func (p *Point) Writable() bool { return p.Flags&writable != 0 }

// Group is a part of a model that has points of its own and may repeat.
type Group struct {
	Name   string
	Count  string // the point of the model that says how often; empty: once; [untilEnd]
	Points []Point
	Groups []Group // behind its points
}

// untilEnd is a [Group.Count]: as often as the model's length holds.
const untilEnd = "*"

// Model is one SunSpec model: its points in order, then its groups.
type Model struct {
	ID     uint16
	Name   string
	Points []Point
	Groups []Group
	Must   []string // mandatory here, though not in all models that share the points
}

// Model ids that are used by name.
const (
	Common          uint16 = 1
	InverterOne     uint16 = 101
	InverterSplit   uint16 = 102
	InverterThree   uint16 = 103
	InverterOneF    uint16 = 111
	InverterSplitF  uint16 = 112
	InverterThreeF  uint16 = 113
	Nameplate       uint16 = 120
	Settings        uint16 = 121
	Controls        uint16 = 123
	StorageControl  uint16 = 124
	MPPT            uint16 = 160
	MeterOne        uint16 = 201
	MeterSplit      uint16 = 202
	MeterThree      uint16 = 203
	MeterDelta      uint16 = 204
	MeterOneF       uint16 = 211
	MeterSplitF     uint16 = 212
	MeterThreeF     uint16 = 213
	MeterDeltaF     uint16 = 214
	MeasureAC       uint16 = 701
	Capacity        uint16 = 702
	ControlAC       uint16 = 704
	StorageCapacity uint16 = 713
	MeasureDC       uint16 = 714
	ControlDER      uint16 = 715
	BatteryBase     uint16 = 802

	endOfChain       uint16 = 0xFFFF
	headerLen               = 2 // id and length
	sunSpecMarkerOne uint16 = 0x5375
	sunSpecMarkerTwo uint16 = 0x6e53
)

// Known lists the ids that [Lookup] knows, in order.
func Known() []uint16 {
	ids := make([]uint16, 0, len(models))
	for _, m := range models {
		ids = append(ids, m.ID)
	}
	return ids
}

// Lookup is the table of a model. It is shared and only read.
func Lookup(id uint16) (*Model, bool) {
	i, ok := slices.BinarySearchFunc(models, id, func(m Model, id uint16) int { return int(m.ID) - int(id) })
	if !ok {
		return nil, false
	}
	return &models[i], true
}

// models are all that are known, by id. The tables say what the definitions of
// the SunSpec Alliance say (github.com/sunspec/models); a test compares them.
// They are read only, and laid out by the compiler: a gateway of two hundred
// devices holds them once.
var models = []Model{
	{ID: Common, Name: "common", Points: commonPoints},
	{ID: InverterOne, Name: "inverter_single_phase", Points: inverterPoints},
	{ID: InverterSplit, Name: "inverter_split_phase", Points: inverterPoints, Must: []string{"AphB", "PhVphB"}},
	{ID: InverterThree, Name: "inverter_three_phase", Points: inverterPoints, Must: []string{"AphB", "AphC", "PhVphB", "PhVphC"}},
	{ID: InverterOneF, Name: "inverter_single_phase_float", Points: inverterFloatPoints},
	{ID: InverterSplitF, Name: "inverter_split_phase_float", Points: inverterFloatPoints, Must: []string{"AphB", "PhVphB"}},
	{ID: InverterThreeF, Name: "inverter_three_phase_float", Points: inverterFloatPoints, Must: []string{"AphB", "AphC", "PhVphB", "PhVphC"}},
	{ID: Nameplate, Name: "nameplate", Points: nameplatePoints},
	{ID: Settings, Name: "settings", Points: settingsPoints},
	{ID: 122, Name: "status", Points: statusPoints},
	{ID: Controls, Name: "controls", Points: controlPoints},
	{ID: StorageControl, Name: "storage_basic", Points: storagePoints},
	{ID: MPPT, Name: "mppt", Points: mpptPoints, Groups: mpptGroups},
	{ID: MeterOne, Name: "ac_meter_an_or_ab", Points: meterOnePoints},
	{ID: MeterSplit, Name: "ac_meter_abn", Points: meterPoints, Must: []string{"PhV", "PhVphA", "PhVphB"}},
	{
		ID: MeterThree, Name: "ac_meter_abcn", Points: meterPoints,
		Must: []string{"AphA", "PhV", "PhVphA", "PhVphB", "PhVphC", "PhVphBC", "PhVphCA"},
	},
	{ID: MeterDelta, Name: "ac_meter_abc", Points: meterPoints, Must: []string{"AphA", "PhVphBC", "PhVphCA"}},
	{ID: MeterOneF, Name: "ac_meter_an_or_ab_float", Points: meterFloatPoints},
	{
		ID: MeterSplitF, Name: "ac_meter_abn_float", Points: meterFloatPoints,
		Must: []string{"AphB", "PhV", "PhVphA", "PhVphB", "PPV", "PPVphAB"},
	},
	{
		ID: MeterThreeF, Name: "ac_meter_abcn_float", Points: meterFloatPoints,
		Must: []string{"AphB", "AphC", "PhV", "PhVphA", "PhVphB", "PhVphC", "PPV", "PPVphAB", "PPVphBC", "PPVphCA"},
	},
	{
		ID: MeterDeltaF, Name: "ac_meter_abc_float", Points: meterFloatPoints,
		Must: []string{"AphB", "AphC", "PPV", "PPVphAB", "PPVphBC", "PPVphCA"},
	},
	{ID: MeasureAC, Name: "DERMeasureAC", Points: acPoints},
	{ID: Capacity, Name: "DERCapacity", Points: ratingPoints},
	{ID: 703, Name: "DEREnterService", Points: enterPoints},
	{ID: ControlAC, Name: "DERCtlAC", Points: acControlPoints, Groups: acControlGroups},
	{ID: 705, Name: "DERVoltVar", Points: voltVarPoints, Groups: voltVarGroups},
	{ID: 706, Name: "DERVoltWatt", Points: voltWattPoints, Groups: voltWattGroups},
	{ID: 707, Name: "DERTripLV", Points: tripVoltagePoints, Groups: tripVoltageGroups},
	{ID: 708, Name: "DERTripHV", Points: tripVoltagePoints, Groups: tripVoltageGroups},
	{ID: 709, Name: "DERTripLF", Points: tripFrequencyPoints, Groups: tripFrequencyGroups},
	{ID: 710, Name: "DERTripHF", Points: tripFrequencyPoints, Groups: tripFrequencyGroups},
	{ID: 711, Name: "DERFreqDroop", Points: droopPoints, Groups: droopGroups},
	{ID: 712, Name: "DERWattVar", Points: wattVarPoints, Groups: wattVarGroups},
	{ID: StorageCapacity, Name: "DERStorageCapacity", Points: capacityPoints},
	{ID: MeasureDC, Name: "DERMeasureDC", Points: dcPoints, Groups: dcGroups},
	{ID: ControlDER, Name: "DERCtl", Points: derControlPoints},
	{ID: BatteryBase, Name: "battery", Points: batteryPoints},
	{ID: 803, Name: "lithium_ion_bank", Points: bankPoints, Groups: bankGroups},
	{ID: 804, Name: "lithium_ion_string", Points: stringPoints, Groups: stringGroups},
}

// Mandatory says that the model demands a point of it.
func (m *Model) Mandatory(p *Point) bool {
	return p.Flags&mandatory != 0 || slices.Contains(m.Must, p.Name)
}

// Point finds a point that is in no group by its name.
func (m *Model) Point(name string) (*Point, bool) { return find(m.Points, name) }

func find(points []Point, name string) (*Point, bool) {
	for i := range points {
		if points[i].Name == name {
			return &points[i], true
		}
	}
	return nil, false
}

// Size is the number of registers before the groups, header included.
func (m *Model) Size() int { return size(m.Points) }

func size(points []Point) int {
	last := &points[len(points)-1]
	return int(last.Offset + last.Size)
}

// Placed is a point at its place in a model that somebody has.
type Placed struct {
	*Point
	Path string // its name with the groups it is in, such as Crv.1.Pt.2.V
	At   int    // registers from the model's start
}

// All yields the points in order as far as they lie within size registers.
// count tells the value of a counting point. A group that is not there in full
// is left out, with all behind it.
func (m *Model) All(size int, count func(name string) int) iter.Seq[Placed] {
	return func(yield func(Placed) bool) {
		for i := range m.Points {
			p := &m.Points[i]
			if end := int(p.Offset + p.Size); end <= size && !yield(Placed{p, p.Name, int(p.Offset)}) {
				return
			}
		}
		l := layout{size, count, yield}
		at := m.Size()
		for i := range m.Groups {
			var ok bool
			if at, ok = l.group(&m.Groups[i], "", at); !ok {
				return
			}
		}
	}
}

// layout places groups one after the other.
type layout struct {
	size  int
	count func(name string) int
	yield func(Placed) bool
}

// group places g as often as it is there; it returns where it ends, and false
// where nothing behind it can be placed.
func (l layout) group(g *Group, prefix string, at int) (int, bool) {
	one := g.size(l.count)
	times := g.times(l.size-at, one, l.count)
	for i := range times {
		if at+one > l.size {
			return at, false
		}
		path := prefix + g.Name
		if g.Count != "" {
			path += "." + strconv.Itoa(i+1)
		}
		path += "."
		for j := range g.Points {
			p := &g.Points[j]
			if !l.yield(Placed{p, path + p.Name, at + int(p.Offset)}) {
				return at, false
			}
		}
		below := at + size(g.Points)
		for j := range g.Groups {
			var ok bool
			if below, ok = l.group(&g.Groups[j], path, below); !ok {
				return below, false
			}
		}
		at += one
	}
	return at, true
}

// times is how often a group is there, if room registers are left for it.
func (g *Group) times(room, one int, count func(string) int) int {
	switch g.Count {
	case "":
		return 1
	case untilEnd:
		return max(room, 0) / one
	}
	return count(g.Count)
}

// size is the number of registers that one of g takes.
func (g *Group) size(count func(string) int) int {
	n := size(g.Points)
	for i := range g.Groups {
		below := &g.Groups[i]
		one := below.size(count)
		n += one * below.times(0, one, count)
	}
	return n
}

// Length is what the model's length should be, with groups that repeat count
// times; ok is false where any whole number of groups is right.
func (m *Model) Length(count func(string) int) (n int, ok bool) {
	n, ok = m.Size()-headerLen, true
	for i := range m.Groups {
		g := &m.Groups[i]
		one := g.size(count)
		n += one * g.times(0, one, count)
		ok = ok && g.Count != untilEnd
	}
	return n, ok
}

// fixed is the length of a model whose groups do not repeat; ok is false where
// they do.
func (m *Model) fixed() (length int, ok bool) {
	if slices.ContainsFunc(m.Groups, func(g Group) bool { return g.Count != "" }) {
		return 0, false
	}
	return m.Length(func(string) int { return 0 })
}

// counted says that the model's own points say how often its groups repeat.
func (m *Model) counted() bool {
	return slices.ContainsFunc(m.Groups, func(g Group) bool { return g.Count != "" && g.Count != untilEnd })
}

// lookup finds a number's name in symbols.
func lookup(symbols string, n uint64) string {
	want := strconv.FormatUint(n, 10)
	for s := range strings.SplitSeq(symbols, ", ") {
		if number, name, _ := strings.Cut(s, " "); number == want {
			return name
		}
	}
	return ""
}

// bits names those that are set, such as OVER_TEMP|FAULT; those without a name
// by their number.
func bits(symbols string, n uint64) string {
	var names []string
	for i := range uint64(64) {
		if n&(1<<i) == 0 {
			continue
		}
		name := lookup(symbols, i)
		if name == "" {
			name = "bit " + strconv.FormatUint(i, 10)
		}
		names = append(names, name)
	}
	return strings.Join(names, "|")
}
