// SPDX-License-Identifier: AGPL-3.0-or-later

package profile_test

import (
	"testing"

	"github.com/allmende-energy/allmende/gateway/profile"
)

// FuzzParse: no file makes the loader fall over, and one that it takes can be
// opened, read and commanded on a device that shows nothing but zeros.
func FuzzParse(f *testing.F) {
	f.Add([]byte(timed))
	lib := library(f)
	for _, p := range lib.All() {
		src, err := lib.Source(p.Name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := profile.Parse("fuzz.yaml", src)
		if err != nil {
			return
		}
		m := &profile.Image{}
		for i := range p.Points {
			pt := &p.Points[i]
			_ = p.Encode(m, pt.Name, "1")
			if pt.Address != nil {
				profile.DecodeForTest(pt, m)
			}
		}
		for i := range p.Controls {
			_, _ = p.Controls[i].Commanded(m)
		}
	})
}

// FuzzDecode: no registers make the decoder fall over, whatever its type; a
// number that it gives is encoded to the same registers, or is a float.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7}, uint8(profile.U32), false, int8(-2), int64(0))
	f.Add([]byte{0x7f, 0xc0, 0, 0, 0, 0, 0, 0}, uint8(profile.F32), true, int8(0), int64(5))
	f.Fuzz(func(t *testing.T, raw []byte, kind uint8, little bool, scale int8, offset int64) {
		if len(raw) < 8 {
			return
		}
		addr := uint16(0)
		p := profile.Point{Address: &addr, Type: profile.Type(kind % 14), Offset: offset, Scale: &profile.Decimal{Raw: 1, Exp: int(scale)}}
		if little {
			p.Words, p.Bytes = profile.Little, profile.Little
		}
		if p.Type == profile.NoType || p.Type == profile.Enum || p.Type == profile.Bitfield {
			return
		}
		if p.Type == profile.String {
			p.Count = 4
		}
		m := &profile.Image{}
		for i := range 4 {
			m.Set(profile.Holding, uint16(i), uint16(raw[2*i])<<8|uint16(raw[2*i+1]))
		}
		r := profile.DecodeForTest(&p, m)
		if r.Reason != "" || p.Type == profile.String || p.Type == profile.F32 || p.Type == profile.F64 || p.Type == profile.Bit {
			return
		}
		regs, err := profile.Encode(p, r.Number.String(), 0)
		if err != nil {
			return // the number is at the edge of what we can hold
		}
		if now, _ := m.Get(profile.Holding, 0, uint16(len(regs))); len(now) > 0 {
			for i := range now {
				if now[i] != regs[i] {
					t.Fatalf("%s: %x became %s and then %x", p.Type, now, r.Number, regs)
				}
			}
		}
	})
}
