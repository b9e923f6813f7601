// SPDX-License-Identifier: AGPL-3.0-or-later

// Package plan decides which requests read a device's points: the fewest that
// its limits allow, and smaller ones where it refuses a block. It knows how long
// they take on a line before anything is connected. It does no reading itself.
package plan

import (
	"cmp"
	"slices"
)

// Table is one of the four that a Modbus unit has.
type Table uint8

// Tables.
const (
	Holding Table = iota
	Input
	Coils
	Discrete
)

// String names a table as the Modbus specification does.
func (t Table) String() string {
	switch t {
	case Input:
		return "input register"
	case Coils:
		return "coil"
	case Discrete:
		return "discrete input"
	default:
		return "holding register"
	}
}

func (t Table) bits() bool { return t == Coils || t == Discrete }

// Span is a run of registers that must come from one read, such as a value and
// its scale factor.
type Span struct {
	Table Table
	Addr  uint16
	Count uint16 // at least 1
}

func (s Span) end() int { return int(s.Addr) + int(s.Count) }

func (s Span) contains(o Span) bool {
	return s.Table == o.Table && s.Addr <= o.Addr && s.end() >= o.end()
}

// Limits are a device's. Zero values are those of Modbus itself, and no gap.
type Limits struct {
	MaxRegisters uint16 // in one read; 0: 125
	MaxBits      uint16 // in one read; 0: 2000
	// MaxGap is how many registers that nobody asked for may be read along, to
	// save a request. Some devices refuse a block that has unused ones in it.
	MaxGap uint16
	// Refused are points that the device did not give. No read contains one.
	Refused []Span
	// Apart are blocks whose points it gives, but not in one read. A read that
	// contains one is made for a single point only.
	Apart []Span
}

func (l Limits) most(t Table) int {
	if t.bits() {
		return int(min(cmp.Or(l.MaxBits, 2000), 2000))
	}
	return int(min(cmp.Or(l.MaxRegisters, 125), 125))
}

// Read is one request.
type Read struct {
	Span
	Points []int // which of the points it serves, by their index
}

// Make returns the fewest reads for points that the limits allow, in the order
// of tables and addresses. A point that is longer than one read may be comes in
// pieces. One that contains a refused one is left out; [Limits.Readable] tells.
//
// It goes from left to right: the point that begins first, and of those the
// longest, needs a read that begins no later, and the one that begins right
// there reaches as far as any. So each read may as well be that one, and take
// along all that fits.
func Make(points []Span, l Limits) []Read {
	order := make([]int, 0, len(points))
	var reads []Read
	for i, p := range points {
		switch {
		case p.Count == 0 || p.end() > 1<<16 || !l.Readable(p):
		case int(p.Count) > l.most(p.Table):
			reads = append(reads, pieces(p, i, l.most(p.Table))...)
		default:
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return compare(points[a], points[b]) })
	gaps := gapsAfter(points, order)
	for len(order) > 0 {
		first := points[order[0]]
		reach := l.reach(first, gaps)
		read := Read{Span: first}
		rest := order[:0]
		for _, i := range order {
			p := points[i]
			if p.Table != first.Table || p.end() > reach {
				rest = append(rest, i)
				continue
			}
			read.Count = uint16(max(read.end(), p.end()) - int(read.Addr))
			read.Points = append(read.Points, i)
		}
		order = rest
		reads = append(reads, read)
	}
	slices.SortStableFunc(reads, func(a, b Read) int { return compare(a.Span, b.Span) })
	return reads
}

// Readable says whether p contains nothing that was refused.
func (l Limits) Readable(p Span) bool {
	return !slices.ContainsFunc(l.Refused, p.contains)
}

func compare(a, b Span) int {
	return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Addr, b.Addr), cmp.Compare(b.end(), a.end()))
}

// gap is a run of registers that nobody asks for.
type gap struct {
	table    Table
	from, to int
}

func gapsAfter(points []Span, order []int) []gap {
	var gaps []gap
	end, table := -1, Table(0)
	for _, i := range order {
		p := points[i]
		if end >= 0 && p.Table == table && int(p.Addr) > end {
			gaps = append(gaps, gap{table, end, int(p.Addr)})
		}
		if p.Table != table {
			end, table = -1, p.Table
		}
		end = max(end, p.end())
	}
	return gaps
}

// reach is the end of the longest read that begins with first.
func (l Limits) reach(first Span, gaps []gap) int {
	reach := min(int(first.Addr)+l.most(first.Table), 1<<16)
	for _, g := range gaps {
		if g.table == first.Table && g.from >= int(first.Addr) && g.to-g.from > int(l.MaxGap) {
			reach = min(reach, g.from)
			break
		}
	}
	for _, r := range l.Refused {
		if r.Table == first.Table && r.Addr >= first.Addr {
			reach = min(reach, r.end()-1)
		}
	}
	for _, r := range l.Apart {
		if r.Table == first.Table && r.Addr >= first.Addr {
			reach = min(reach, max(r.end()-1, first.end()))
		}
	}
	return reach
}

// pieces are the reads of a point that is longer than one may be.
func pieces(p Span, index, most int) []Read {
	var reads []Read
	for at := int(p.Addr); at < p.end(); at += most {
		n := min(most, p.end()-at)
		reads = append(reads, Read{Span: Span{p.Table, uint16(at), uint16(n)}, Points: []int{index}})
	}
	return reads
}
