// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// official is a model definition as the SunSpec Alliance publishes it.
type official struct {
	ID    uint16        `json:"id"`
	Group officialGroup `json:"group"`
}

type officialGroup struct {
	Name   string          `json:"name"`
	Count  any             `json:"count"` // nil: once; 0: as often as it fits; else a point
	Points []officialPoint `json:"points"`
	Groups []officialGroup `json:"groups"`
}

type officialPoint struct {
	Name      string           `json:"name"`
	Type      string           `json:"type"`
	Size      uint16           `json:"size"`
	SF        any              `json:"sf"`
	Units     string           `json:"units"`
	Mandatory string           `json:"mandatory"`
	Access    string           `json:"access"`
	Symbols   []officialSymbol `json:"symbols"`
	Value     any              `json:"value"`
}

type officialSymbol struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}

// listed are the models that this package promises.
func listed() []uint16 {
	return []uint16{
		1, 101, 102, 103, 111, 112, 113, 120, 121, 122, 123, 124, 160, 201, 202, 203, 204, 211, 212, 213, 214,
		701, 702, 703, 704, 705, 706, 707, 708, 709, 710, 711, 712, 713, 714, 715, 802, 803, 804,
	}
}

func definition(t testing.TB, id uint16) official {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(shared(t, "data", "sunspec-models"), fmt.Sprintf("model_%d.json", id)))
	if err != nil {
		t.Fatal(err)
	}
	var def official
	if err := json.Unmarshal(b, &def); err != nil {
		t.Fatal(err)
	}
	return def
}

// shared is a folder of the material beside the repository; the test is skipped
// where it is not there.
func shared(t testing.TB, elem ...string) string {
	t.Helper()
	dir := filepath.Join(append([]string{"..", "..", "..", "shared"}, elem...)...)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("shared is not beside the repository: %v", err)
	}
	return dir
}

func typeNames() map[string]Type {
	return map[string]Type{
		"uint16": Uint16, "int16": Int16, "uint32": Uint32, "int32": Int32, "uint64": Uint64, "int64": Int64,
		"acc16": Acc16, "acc32": Acc32, "acc64": Acc64, "count": Count, "enum16": Enum16, "enum32": Enum32,
		"bitfield16": Bitfield16, "bitfield32": Bitfield32, "bitfield64": Bitfield64, "float32": Float32, "float64": Float64,
		"sunssf": ScaleFactor, "string": String, "ipaddr": IPAddr, "ipv6addr": IPv6Addr, "eui48": EUI48, "pad": Pad,
	}
}

func TestKnownModels(t *testing.T) {
	if got := Known(); !slices.Equal(got, listed()) {
		t.Errorf("known are %v, promised %v", got, listed())
	}
	for _, id := range []uint16{0, 2, 125, 716, 64000, endOfChain} {
		if _, ok := Lookup(id); ok {
			t.Errorf("model %d is not in the tables, but found", id)
		}
	}
}

func TestTablesAreTheOfficialDefinitions(t *testing.T) {
	points := 0
	for _, id := range listed() {
		def := definition(t, id)
		m, ok := Lookup(id)
		if !ok || m.ID != id || m.Name != def.Group.Name || def.ID != id {
			t.Fatalf("model %d: the table is of %d %q, the definition of %d %q", id, m.ID, m.Name, def.ID, def.Group.Name)
		}
		where := fmt.Sprintf("model %d", id)
		points += comparePoints(t, where, m, m.Points, def.Group.Points)
		points += compareGroups(t, where, m, m.Groups, def.Group.Groups)
		for _, name := range m.Must {
			if _, ok := m.Point(name); !ok {
				t.Errorf("%s demands %s, which it does not have", where, name)
			}
		}
		if want, fixed := def.Group.Points[1].Value.(float64); fixed {
			if got, ok := m.fixed(); !ok || got != int(want) {
				t.Errorf("%s has %d registers, the definition says %g", where, got, want)
			}
		}
	}
	if points < 1400 {
		t.Errorf("only %d points were compared", points)
	}
}

func compareGroups(t *testing.T, where string, m *Model, ours []Group, theirs []officialGroup) int {
	t.Helper()
	if len(ours) != len(theirs) {
		t.Fatalf("%s: %d groups, the definition has %d", where, len(ours), len(theirs))
	}
	points := 0
	for i, d := range theirs {
		g := ours[i]
		want := ""
		switch c := d.Count.(type) {
		case string:
			want = c
		case float64:
			want = untilEnd
		}
		if g.Name != d.Name || g.Count != want {
			t.Errorf("%s: group %s counted by %q, the definition has %s by %v", where, g.Name, g.Count, d.Name, d.Count)
		}
		if _, ok := m.Point(g.Count); g.Count != "" && g.Count != untilEnd && !ok {
			t.Errorf("%s: group %s is counted by %s, which is no point of the model", where, g.Name, g.Count)
		}
		points += comparePoints(t, where+" "+g.Name, m, g.Points, d.Points)
		points += compareGroups(t, where+" "+g.Name, m, g.Groups, d.Groups)
	}
	return points
}

func comparePoints(t *testing.T, where string, m *Model, ours []Point, theirs []officialPoint) int {
	t.Helper()
	if len(ours) != len(theirs) {
		t.Fatalf("%s: %d points, the definition has %d", where, len(ours), len(theirs))
	}
	offset := uint16(0)
	for i, d := range theirs {
		p := &ours[i]
		sf, _ := d.SF.(string)
		want, known := typeNames()[d.Type]
		if !known {
			t.Fatalf("%s.%s: type %q", where, d.Name, d.Type)
		}
		if p.Name != d.Name || p.Type != want || p.Size != d.Size || p.SF != sf || p.Offset != offset || p.Units != d.Units {
			t.Errorf("%s: point %+v, the definition has %+v at %d", where, p, d, offset)
		}
		if f, ok := m.Point(p.SF); p.SF != "" && (!ok || f.Type != ScaleFactor) {
			t.Errorf("%s.%s: its scale factor %s is none", where, p.Name, p.SF)
		}
		if p.Writable() != (d.Access == "RW") {
			t.Errorf("%s.%s: writable %v, access %q", where, p.Name, p.Writable(), d.Access)
		}
		if m.Mandatory(p) != (d.Mandatory == "M") {
			t.Errorf("%s.%s: mandatory %v, the definition says %q", where, p.Name, m.Mandatory(p), d.Mandatory)
		}
		var symbols []string
		for _, s := range d.Symbols {
			// The definition of 111 writes gg before each of them, that of 112 does not.
			symbols = append(symbols, fmt.Sprintf("%d %s", s.Value, strings.TrimPrefix(s.Name, "gg")))
			if got := lookup(p.Symbols, s.Value); got != strings.TrimPrefix(s.Name, "gg") {
				t.Errorf("%s.%s: %d is called %q, the definition says %q", where, p.Name, s.Value, got, s.Name)
			}
		}
		if p.Symbols != strings.Join(symbols, ", ") {
			t.Errorf("%s.%s: symbols %q, the definition has %q", where, p.Name, p.Symbols, symbols)
		}
		offset += d.Size
	}
	return len(theirs)
}

// The published device images name raw values by point: laid out by our tables
// and decoded again, each point says what the image says.
func TestPublishedDeviceImages(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(shared(t, "data", "sunspec-devices"), "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no device images: %v", err)
	}
	points := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var device struct {
			Models []map[string]any `json:"models"`
		}
		if err := json.Unmarshal(b, &device); err != nil {
			t.Fatal(err)
		}
		for _, values := range device.Models {
			id := uint16(values["ID"].(float64))
			if m, known := Lookup(id); known {
				points += checkImage(t, m, values)
			}
		}
	}
	if points < 50 {
		t.Errorf("only %d points were compared", points)
	}
}

func checkImage(t *testing.T, m *Model, values map[string]any) int {
	t.Helper()
	img, err := NewImage(40000, 0, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Points[headerLen:] {
		switch v := values[p.Name].(type) {
		case float64:
			err = img.Set(m.ID, p.Name, int64(v))
		case string:
			err = img.SetText(m.ID, p.Name, v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	points := 0
	for _, p := range m.Points {
		got := img.Get(m.ID, p.Name)
		switch v := values[p.Name].(type) {
		case float64:
			if p.Type == Pad || p.Name == "ID" || p.Name == "L" {
				continue
			}
			points++
			scale := 0
			if p.SF != "" {
				scale = int(values[p.SF].(float64))
			}
			if !got.Implemented || got.Raw != int64(v) || got.Scale != scale {
				t.Errorf("model %d %s: %+v, want %v · 10^%d", m.ID, p.Name, got, v, scale)
			}
		case string:
			points++
			if got.Text != v {
				t.Errorf("model %d %s: %q, want %q", m.ID, p.Name, got.Text, v)
			}
		default:
			if got.Implemented && !m.Mandatory(&p) && p.Name != "L" {
				t.Errorf("model %d %s: %+v, but the image has none", m.ID, p.Name, got)
			}
		}
	}
	return points
}
