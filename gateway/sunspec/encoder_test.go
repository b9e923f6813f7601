// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// wanted is a point as it must be printed: what the encoder below put into the
// registers, computed without any of this package's tables or decoding.
type wanted struct {
	model   uint16
	name    string
	unit    string
	address int
	none    bool     // not implemented
	number  *big.Rat // nil: text
	single  bool     // of single precision: number is exact, the shortest decimal will do
	text    string
}

// encoder makes registers of the published definitions.
type encoder struct {
	t     *testing.T
	rng   *rand.Rand
	count func(point string) int // how often groups repeat, where no file says it
	regs  []uint16
	want  []wanted

	// of the model at hand
	def     official
	from    int
	factors map[string]int // of scale factors; absent: not implemented
	counts  map[string]int
}

// model appends one model; values are those of a device file, or nil.
func (e *encoder) model(def official, values map[string]any) {
	e.def, e.from = def, len(e.regs)
	e.factors, e.counts = map[string]int{}, map[string]int{}
	// Scale factors and counts first: points that stand before them need them.
	for _, p := range def.Group.Points {
		switch {
		case p.Type == "sunssf":
			if v, given := values[p.Name]; given {
				if n, ok := v.(float64); ok {
					e.factors[p.Name] = int(n)
				}
			} else if e.rng.IntN(12) > 0 {
				e.factors[p.Name] = e.rng.IntN(13) - 6
			}
		case e.counting(def.Group.Groups, p.Name) || p.Type == "count":
			e.counts[p.Name] = e.count(p.Name)
			if n, ok := values[p.Name].(float64); ok {
				e.counts[p.Name] = int(n)
			}
		}
	}
	e.group(def.Group, values, "")
	e.regs[e.from] = def.ID
	e.regs[e.from+1] = uint16(len(e.regs) - e.from - 2)
	for i := range e.want {
		if w := &e.want[i]; w.address == e.from+1 && w.name == "L" {
			w.number, w.none = big.NewRat(int64(e.regs[e.from+1]), 1), false
		}
	}
}

// counting says that a point tells how often one of the groups repeats.
func (e *encoder) counting(groups []officialGroup, name string) bool {
	for _, g := range groups {
		if g.Count == name || e.counting(g.Groups, name) {
			return true
		}
	}
	return false
}

func (e *encoder) group(g officialGroup, values map[string]any, prefix string) {
	for _, p := range g.Points {
		value, given := values[p.Name]
		e.point(p, prefix, value, given)
	}
	for _, below := range g.Groups {
		switch count := below.Count.(type) {
		case nil:
			of, _ := values[below.Name].(map[string]any)
			e.group(below, of, prefix+below.Name+".")
		default:
			times := e.count("")
			if name, ok := count.(string); ok {
				times = e.counts[name]
			}
			list, _ := values[below.Name].([]any)
			for i := range times {
				var of map[string]any
				if i < len(list) {
					of, _ = list[i].(map[string]any)
				}
				e.group(below, of, fmt.Sprintf("%s%s.%d.", prefix, below.Name, i+1))
			}
		}
	}
}

// point appends one point. A value that the file gives as null is not
// implemented; one that it does not give is drawn.
func (e *encoder) point(p officialPoint, prefix string, value any, given bool) {
	w := wanted{model: e.def.ID, name: prefix + p.Name, unit: p.Units, address: len(e.regs)}
	bits := 16 * uint(p.Size)
	var raw uint64
	switch {
	case p.Type == "string":
		e.text(p, &w, value, given)
		return
	case p.Type == "pad":
		e.regs = append(e.regs, 0x8000)
		return
	case p.Type == "float32":
		e.float(&w)
		return
	case p.Type == "sunssf":
		n, ok := e.factors[p.Name]
		if raw = uint64(uint16(int16(n))); !ok {
			raw = 0x8000
		}
	case prefix == "" && p.Name == "ID":
		raw = uint64(e.def.ID)
	case prefix == "" && e.has(p.Name):
		raw = uint64(e.counts[p.Name])
	case given && value == nil:
		raw = absent(p.Type, bits)
	case given:
		raw = uint64(int64(value.(float64)))
	default:
		raw = e.draw(p.Type, bits)
	}
	raw &= math.MaxUint64 >> (64 - bits)
	for i := range p.Size {
		e.regs = append(e.regs, uint16(raw>>(16*(p.Size-1-i))))
	}
	counter := p.Type == "acc16" || p.Type == "acc32" || p.Type == "acc64"
	w.none = raw == absent(p.Type, bits) && (!counter || p.Mandatory != "M")
	n := new(big.Int).SetUint64(raw)
	if p.Type[0] == 'i' || p.Type == "sunssf" {
		n.SetInt64(int64(raw<<(64-bits)) >> (64 - bits))
	}
	w.number = new(big.Rat).SetInt(n)
	if sf, ok := p.SF.(string); ok {
		scale, there := e.factors[sf]
		w.none = w.none || !there
		ten := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(scale, -scale))), nil))
		if scale < 0 {
			ten.Inv(ten)
		}
		w.number.Mul(w.number, ten)
	}
	e.want = append(e.want, w)
}

func (e *encoder) has(count string) bool { _, ok := e.counts[count]; return ok }

// draw is a value, now and then one at the end of its range or none.
func (e *encoder) draw(kind string, bits uint) uint64 {
	switch e.rng.IntN(8) {
	case 0:
		return absent(kind, bits)
	case 1:
		return absent(kind, bits) - 1
	case 2:
		return absent(kind, bits) + 1
	case 3:
		return 0
	case 4:
		return math.MaxUint64 // −1, or none
	}
	return e.rng.Uint64() >> e.rng.UintN(64)
}

// absent is the raw value that means not implemented (SunSpec Information Model
// Specification, data types).
func absent(kind string, bits uint) uint64 {
	switch kind {
	case "int16", "int32", "int64", "sunssf":
		return 1 << (bits - 1)
	case "acc16", "acc32", "acc64":
		return 0
	}
	return math.MaxUint64 >> (64 - bits)
}

func (e *encoder) text(p officialPoint, w *wanted, value any, given bool) {
	s, _ := value.(string)
	if !given && e.rng.IntN(5) > 0 {
		for range e.rng.IntN(2*int(p.Size)) + 1 {
			s += string(rune('!' + e.rng.IntN('~'-'!')))
		}
	}
	b := make([]byte, 2*p.Size)
	copy(b, s)
	for i := range p.Size {
		e.regs = append(e.regs, uint16(b[2*i])<<8|uint16(b[2*i+1]))
	}
	w.text, w.none = s, s == ""
	e.want = append(e.want, *w)
}

func (e *encoder) float(w *wanted) {
	var f float32
	switch e.rng.IntN(10) {
	case 0:
		f = float32(math.NaN())
	case 1:
		f = 0
	case 2:
		f = float32(e.rng.IntN(1 << 31)) // a counter in watt-hours
	case 3:
		f = math.Float32frombits(e.rng.Uint32()) // anything
	case 4:
		f = float32(math.Inf(1))
	default:
		f = float32(e.rng.NormFloat64() * 3000)
	}
	bits := math.Float32bits(f)
	e.regs = append(e.regs, uint16(bits>>16), uint16(bits))
	w.single = true
	if w.none = f != f || f > math.MaxFloat32 || f < -math.MaxFloat32; !w.none {
		w.number = new(big.Rat).SetFloat64(float64(f))
	}
	e.want = append(e.want, *w)
}

// deviceFile is a published device image: models with raw values by name.
func deviceFile(t *testing.T, name string) []map[string]any {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(shared(t, "data", "sunspec-devices"), name))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Models []map[string]any `json:"models"`
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Models) == 0 {
		t.Fatalf("%s has no models", name)
	}
	return d.Models
}
