// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"fmt"
	"math"
	"strings"
)

// Image is the register map of a device that serves models: the marker, the
// models in order, the end marker. The simulator and tests serve it. All points
// start as "not implemented".
type Image struct {
	base   uint16
	regs   []uint16
	chain  Chain
	models []*Model // of the chain's entries
}

// NewImage lays out the models from base on. groups is how many of each
// repeated group a model gets; its counting points say so.
func NewImage(base uint16, groups int, models ...uint16) (*Image, error) {
	img := &Image{base: base, regs: []uint16{sunSpecMarkerOne, sunSpecMarkerTwo}, chain: Chain{Base: base}}
	count := func(string) int { return groups }
	for _, id := range models {
		m, ok := Lookup(id)
		if !ok {
			return nil, fmt.Errorf("model %d is not in the tables", id)
		}
		length, exact := m.Length(count)
		if !exact { // as many groups as the length holds
			for i := range m.Groups {
				length += groups * m.Groups[i].size(count)
			}
		}
		at := len(img.regs)
		if int(base)+at+headerLen+length+headerLen > 1<<16 {
			return nil, fmt.Errorf("%d registers from %d on do not fit", at+headerLen+length, base)
		}
		img.chain.Models = append(img.chain.Models, Entry{ID: id, Address: base + uint16(at), Length: uint16(length)})
		img.models = append(img.models, m)
		regs := make([]uint16, headerLen+length)
		counted := map[string]bool{}
		m.counts(counted)
		for p := range m.All(len(regs), count) {
			copy(regs[p.At:], blank(p.Point))
			if counted[p.Path] {
				regs[p.At] = uint16(groups)
			}
		}
		regs[0], regs[1] = id, uint16(length)
		img.regs = append(img.regs, regs...)
	}
	img.regs = append(img.regs, endOfChain, 0)
	return img, nil
}

// counts collects the points that say how often groups repeat.
func (m *Model) counts(into map[string]bool) {
	var of func(groups []Group)
	of = func(groups []Group) {
		for i := range groups {
			into[groups[i].Count] = true
			of(groups[i].Groups)
		}
	}
	of(m.Groups)
	if m.ID == MPPT {
		into["N"] = true // told, though its length decides
	}
}

// blank is a point that is not implemented.
func blank(p *Point) []uint16 {
	regs := make([]uint16, p.Size)
	switch p.Type {
	case Int16, Int32, Int64, ScaleFactor, Pad:
		regs[0] = 0x8000
	case Acc16, Acc32, Acc64, String, IPAddr, IPv6Addr:
	case Float32, Float64:
		regs[0] = 0x7FF8 // not a number, in either size
	default:
		for i := range regs {
			regs[i] = 0xFFFF
		}
	}
	return regs
}

// Chain is the layout.
func (img *Image) Chain() Chain { return img.chain }

// entry is a model's place in the image.
func (img *Image) entry(model uint16) (Entry, *Model, bool) {
	for i, e := range img.chain.Models {
		if e.ID == model {
			return e, img.models[i], true
		}
	}
	return Entry{}, nil, false
}

// find is the index of a point's first register, and the point. A point in a
// group is named with it, such as Prt.1.DCW.
func (img *Image) find(model uint16, name string) (int, *Point, error) {
	e, m, ok := img.entry(model)
	if !ok {
		return 0, nil, fmt.Errorf("the image has no model %d", model)
	}
	from := int(e.Address - img.base)
	if p, ok := m.Point(name); ok {
		return from + int(p.Offset), p, nil
	}
	if strings.Contains(name, ".") {
		for p := range img.block(e, m).all() {
			if p.Path == name {
				return from + p.At, p.Point, nil
			}
		}
	}
	return 0, nil, fmt.Errorf("model %d has no point %q", model, name)
}

// block is a model as it stands in the image.
func (img *Image) block(e Entry, m *Model) Block {
	from := int(e.Address - img.base)
	return Block{Model: m, Regs: img.regs[from : from+headerLen+int(e.Length)]}
}

// Set writes a number; it is cut to the bits that the point has.
func (img *Image) Set(model uint16, name string, raw int64) error {
	at, p, err := img.find(model, name)
	if err != nil {
		return err
	}
	for i := int(p.Size) - 1; i >= 0; i-- {
		img.regs[at+i] = uint16(raw)
		raw >>= 16
	}
	return nil
}

// SetText writes a string; it is cut to the point's size.
func (img *Image) SetText(model uint16, name, s string) error {
	at, p, err := img.find(model, name)
	if err != nil {
		return err
	}
	bytes := make([]byte, 2*int(p.Size))
	copy(bytes, s)
	for i := range int(p.Size) {
		img.regs[at+i] = uint16(bytes[2*i])<<8 | uint16(bytes[2*i+1])
	}
	return nil
}

// SetFloat writes a point of single or double precision.
func (img *Image) SetFloat(model uint16, name string, f float64) error {
	_, p, err := img.find(model, name)
	if err != nil {
		return err
	}
	if p.Type == Float32 {
		return img.Set(model, name, int64(math.Float32bits(float32(f))))
	}
	return img.Set(model, name, int64(math.Float64bits(f)))
}

// Get reads a point back, with its scale factor.
func (img *Image) Get(model uint16, name string) Value {
	e, m, ok := img.entry(model)
	if !ok {
		return Value{Point: &Point{Name: name}, Path: name}
	}
	return img.block(e, m).Value(name)
}

// Read is n registers from addr on; false if they are not all in the image.
func (img *Image) Read(addr, n uint16) ([]uint16, bool) {
	from := int(addr) - int(img.base)
	if from < 0 || from+int(n) > len(img.regs) {
		return nil, false
	}
	return append([]uint16(nil), img.regs[from:from+int(n)]...), true
}

// PointAt names the model and point whose first register is addr; false if
// there is none.
func (img *Image) PointAt(addr uint16) (uint16, Point, bool) {
	for i, e := range img.chain.Models {
		if addr < e.Address || int(addr) >= int(e.Address)+headerLen+int(e.Length) {
			continue
		}
		for p := range img.block(e, img.models[i]).all() {
			if p.At == int(addr-e.Address) {
				return e.ID, *p.Point, true
			}
		}
	}
	return 0, Point{}, false
}
