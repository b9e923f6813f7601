// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"iter"
	"slices"
	"strings"
)

// Block is what was read of a model. Regs[0] is the model's id.
type Block struct {
	Model  *Model
	Regs   []uint16
	have   []span // what was read of Regs; nil: all
	moving bool   // scale factors changed while it was read, in all tries
}

// span is registers from..to, without the last, from the model's start.
type span struct{ from, to int }

// holds says that the registers were read, all of them.
func (b Block) holds(at, n int) bool {
	if at < 0 || at+n > len(b.Regs) {
		return false
	}
	if b.have == nil {
		return true
	}
	for n > 0 { // text may come in several reads, one behind the other
		i := slices.IndexFunc(b.have, func(s span) bool { return s.from <= at && at < s.to })
		if i < 0 {
			return false
		}
		n -= b.have[i].to - at
		at = b.have[i].to
	}
	return true
}

// factor says that a scale factor is at a register.
func (b Block) factor(at int) bool {
	return slices.ContainsFunc(b.Model.Points, func(p Point) bool { return int(p.Offset) == at && p.Type == ScaleFactor })
}

// count is the value of a counting point, 0 where it has none.
func (b Block) count(name string) int {
	p, ok := b.Model.Point(name)
	if !ok {
		return 0
	}
	v := b.decode(Placed{p, name, int(p.Offset)})
	if !v.Implemented || v.Raw < 0 {
		return 0
	}
	return int(v.Raw)
}

// all yields the points of the block.
func (b Block) all() iter.Seq[Placed] { return b.Model.All(len(b.Regs), b.count) }

// Value decodes a point by name. A point that the block does not hold in full,
// or whose scale factor it does not hold, is not implemented.
func (b Block) Value(name string) Value {
	if p, ok := b.Model.Point(name); ok {
		return b.decode(Placed{p, name, int(p.Offset)})
	}
	if strings.Contains(name, ".") {
		for p := range b.all() {
			if p.Path == name {
				return b.decode(p)
			}
		}
	}
	return Value{Point: &Point{Name: name}, Path: name, Reason: "the model has no such point"}
}

// Values decodes all points that the block holds, groups included.
func (b Block) Values() []Value {
	values := make([]Value, 0, len(b.Model.Points))
	for p := range b.all() {
		if p.Type != Pad {
			values = append(values, b.decode(p))
		}
	}
	return values
}

func (b Block) decode(p Placed) Value {
	if !b.holds(p.At, int(p.Size)) {
		return Value{Point: p.Point, Path: p.Path, Reason: reasonUnread}
	}
	v := decode(p.Point, b.Regs[p.At:p.At+int(p.Size)], b.Model.Mandatory(p.Point))
	v.Path = p.Path
	if p.SF == "" || !v.Implemented {
		return v
	}
	factor := Value{Reason: reasonUnread}
	if f, ok := b.Model.Point(p.SF); ok && b.holds(int(f.Offset), int(f.Size)) {
		factor = decode(f, b.Regs[f.Offset:f.Offset+f.Size], false)
	}
	if b.moving {
		factor = Value{Reason: reasonMoving}
	}
	v.scale(factor)
	return v
}
