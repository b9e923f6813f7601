// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/gateway/profile"
)

// fill gives every register of the profile something to show: what it is known
// by, who it is, and values that could be.
func (f *profiled) fill() {
	for i := range f.family.Points {
		p := &f.family.Points[i]
		if p.Sum != nil || f.point(p.Name) == nil {
			continue
		}
		f.show(p.Name, f.plausible(p))
	}
	f.show("manufacturer", f.family.Manufacturer)
	if len(f.family.Models) > 0 {
		f.show("model", f.family.Models[0])
	}
	f.show("serial", f.serial())
	for _, s := range f.family.Identify {
		f.sign(s)
	}
	for _, k := range f.family.Controls {
		for _, w := range slices.Concat(k.Set, k.Stop) {
			f.touch(w)
		}
		for _, w := range k.Release {
			f.touch(w)
			if regs, err := stepRegisters(&f.img, w, "0", 0); err == nil {
				f.img.Set(w.Table, w.Address, regs...)
			}
		}
	}
}

// serial is a text that names the asset, or a number where the family has numbers.
func (f *profiled) serial() string {
	if p := f.point("serial"); p != nil && p.Type != profile.String {
		return "20240001"
	}
	return "sim-" + string(f.parts[0].spec.Asset)
}

// touch makes sure that a register that is written can be read.
func (f *profiled) touch(w profile.Write) {
	if w.Factor != nil {
		if _, err := f.img.Get(w.Table, *w.Factor, 1); err != nil {
			f.img.Set(w.Table, *w.Factor, 0)
		}
	}
	regs, err := stepRegisters(&f.img, w, "0", 0)
	if err != nil {
		regs = []uint16{0}
	}
	if _, err := f.img.Get(w.Table, w.Address, uint16(len(regs))); err != nil {
		f.img.Set(w.Table, w.Address, make([]uint16, len(regs))...)
	}
}

// plausible is a value that such a point may have.
func (f *profiled) plausible(p *profile.Point) string {
	word := p.Name[strings.LastIndex(p.Name, ".")+1:]
	switch {
	case p.Type == profile.String:
		return ""
	case word == "firmware":
		return f.version
	case p.Type == profile.Enum && len(p.Values) > 0:
		return p.Values[0].Name
	case p.Type == profile.Enum, p.Type == profile.Bitfield, p.Type == profile.Bit:
		return "0"
	case word == "frequency":
		return "50"
	case strings.HasPrefix(word, "voltage") && p.Unit == "V":
		return "230"
	case word == "rated_power":
		return decimal(int64(max(f.parts[0].spec.rated(f.world.site), 10_000_000)), powerExponent(p.Unit))
	}
	zero := profile.Decimal{}
	if p.Least != nil && p.Least.Cmp(zero) > 0 {
		return p.Least.String()
	}
	return "0"
}

// sign shows what the family is known by.
func (f *profiled) sign(s profile.Sign) {
	p := profile.Point{Type: s.Type, Count: s.Count, Words: s.Words, Bytes: s.Bytes, Scale: s.Scale}
	var value string
	switch {
	case len(s.Like) > 0:
		value = s.Like[0]
		if now := f.point("model"); now != nil && now.Address != nil && s.Address != nil && *now.Address == *s.Address &&
			len(f.family.Models) > 0 && strings.HasPrefix(f.family.Models[0], value) {
			value = f.family.Models[0]
		}
	case len(s.Is) > 0:
		value, p.Scale = decimal(s.Is[0], 0), nil
	default:
		if now, err := f.img.Get(s.Table, *s.Address, 1); err == nil && now[0] != 0 {
			return // the frequency, or a voltage: it is there
		}
		value = middle(*s.Least, *s.Most)
	}
	regs, err := profile.Encode(p, value, 0)
	if err != nil {
		f.err = err
		return
	}
	f.img.Set(s.Table, *s.Address, regs...)
}

// middle is a number between two.
func middle(least, most profile.Decimal) string {
	const milli = -3
	a, ok := least.In(milli)
	b, ok2 := most.In(milli)
	if !ok || !ok2 {
		return least.String()
	}
	return decimal(a+(b-a)/2, milli)
}
