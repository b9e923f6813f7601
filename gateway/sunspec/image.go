// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import "fmt"

// Image is the register map of a device that serves models: the marker, the
// models in order, the end marker. The simulator and tests serve it. All points
// start as "not implemented".
type Image struct {
	base   uint16
	regs   []uint16
	chain  Chain
	models []*Model // of the chain's entries
}

// NewImage lays out the models from base on. groups is how many repeated groups
// each model gets that has groups.
func NewImage(base uint16, groups int, models ...uint16) (*Image, error) {
	img := &Image{base: base, regs: []uint16{sunSpecMarkerOne, sunSpecMarkerTwo}, chain: Chain{Base: base}}
	for _, id := range models {
		m, ok := Lookup(id)
		if !ok {
			return nil, fmt.Errorf("model %d is not in the tables", id)
		}
		length := int(m.Size()) - headerLen + groups*int(m.GroupSize())
		at := len(img.regs)
		img.chain.Models = append(img.chain.Models, Entry{ID: id, Address: base + uint16(at), Length: uint16(length)})
		img.models = append(img.models, m)
		img.regs = append(img.regs, make([]uint16, headerLen+length)...)
		img.regs[at], img.regs[at+1] = id, uint16(length)
		for _, p := range m.Points {
			blank(img.regs[at:], p, 0)
		}
		for g := range groups {
			for _, p := range m.Group {
				blank(img.regs[at:], p, int(m.Size())+g*int(m.GroupSize()))
			}
		}
	}
	img.regs = append(img.regs, endOfChain, 0)
	if int(base)+len(img.regs) > 1<<16 {
		return nil, fmt.Errorf("%d registers from %d on do not fit", len(img.regs), base)
	}
	return img, nil
}

// blank writes the sentinel of p.
func blank(regs []uint16, p Point, base int) {
	for i := range int(p.Size) {
		var s uint16
		switch p.Type {
		case Int16, ScaleFactor, Pad:
			s = 0x8000
		case Acc32, String:
			s = 0
		default:
			s = 0xFFFF
		}
		regs[base+int(p.Offset)+i] = s
	}
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

// find is the index of a point's first register, and the point.
func (img *Image) find(model uint16, name string) (int, Point, error) {
	e, m, ok := img.entry(model)
	if !ok {
		return 0, Point{}, fmt.Errorf("the image has no model %d", model)
	}
	p, ok := m.Point(name)
	if !ok {
		return 0, Point{}, fmt.Errorf("model %d has no point %q", model, name)
	}
	return int(e.Address-img.base) + int(p.Offset), p, nil
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

// Get reads a point back, with its scale factor.
func (img *Image) Get(model uint16, name string) Value {
	e, m, ok := img.entry(model)
	if !ok {
		return Value{}
	}
	from := int(e.Address - img.base)
	return Block{Model: m, Regs: img.regs[from : from+headerLen+int(e.Length)]}.Value(name)
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
		for _, p := range img.models[i].Points {
			if p.Offset == addr-e.Address {
				return e.ID, p, true
			}
		}
	}
	return 0, Point{}, false
}
