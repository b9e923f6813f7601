// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// official is a model definition as the SunSpec Alliance publishes it.
type official struct {
	ID    uint16        `json:"id"`
	Group officialGroup `json:"group"`
}

type officialGroup struct {
	Name   string          `json:"name"`
	Count  any             `json:"count"`
	Points []officialPoint `json:"points"`
	Groups []officialGroup `json:"groups"`
}

type officialPoint struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	Size      uint16 `json:"size"`
	SF        any    `json:"sf"`
	Units     string `json:"units"`
	Mandatory string `json:"mandatory"`
	Access    string `json:"access"`
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
		"uint16": Uint16, "int16": Int16, "acc32": Acc32, "uint32": Uint32, "uint64": Uint64, "enum16": Enum16,
		"bitfield16": Bitfield16, "bitfield32": Bitfield32, "sunssf": ScaleFactor, "string": String, "pad": Pad,
	}
}

func TestTablesAreTheOfficialDefinitions(t *testing.T) {
	dir := shared(t, "data", "sunspec-models")
	for _, id := range Known() {
		b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("model_%d.json", id)))
		if err != nil {
			t.Fatal(err)
		}
		var def official
		if err := json.Unmarshal(b, &def); err != nil {
			t.Fatal(err)
		}
		m, ok := Lookup(id)
		if !ok || m.ID != id || m.Name != def.Group.Name || def.ID != id {
			t.Fatalf("model %d: the table is of %d %q, the definition of %d %q", id, m.ID, m.Name, def.ID, def.Group.Name)
		}
		comparePoints(t, fmt.Sprintf("model %d", id), m.Points, def.Group.Points[headerLen:], headerLen)
		switch len(def.Group.Groups) {
		case 0:
			if m.Group != nil {
				t.Errorf("model %d has a group that is not in the definition", id)
			}
		case 1:
			g := def.Group.Groups[0]
			if g.Count != m.Count || len(g.Groups) != 0 {
				t.Errorf("model %d: group counted by %q, the definition says %v", id, m.Count, g.Count)
			}
			comparePoints(t, fmt.Sprintf("model %d group", id), m.Group, g.Points, 0)
		default:
			t.Errorf("model %d has %d groups", id, len(def.Group.Groups))
		}
	}
}

func comparePoints(t *testing.T, where string, ours []Point, theirs []officialPoint, offset uint16) {
	t.Helper()
	if len(ours) != len(theirs) {
		t.Fatalf("%s: %d points, the definition has %d", where, len(ours), len(theirs))
	}
	for i, d := range theirs {
		p := ours[i]
		sf, _ := d.SF.(string)
		want, known := typeNames()[d.Type]
		if !known {
			t.Fatalf("%s.%s: type %q", where, d.Name, d.Type)
		}
		if p.Name != d.Name || p.Type != want || p.Size != d.Size || p.SF != sf || p.Offset != offset {
			t.Errorf("%s: point %+v, the definition has %+v at %d", where, p, d, offset)
		}
		if p.Writable() != (d.Access == "RW") {
			t.Errorf("%s.%s: writable %v, access %q", where, p.Name, p.Writable(), d.Access)
		}
		// 101 to 103 share a table with what is mandatory in all of them.
		if p.Mandatory() && d.Mandatory != "M" || p.Type == Acc32 && p.Mandatory() != (d.Mandatory == "M") {
			t.Errorf("%s.%s: mandatory %v, the definition says %q", where, p.Name, p.Mandatory(), d.Mandatory)
		}
		offset += d.Size
	}
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
	for _, p := range m.Points {
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
			if p.Type == Pad {
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
			if got.Implemented && !p.Mandatory() {
				t.Errorf("model %d %s: %+v, but the image has none", m.ID, p.Name, got)
			}
		}
	}
	return points
}
