// SPDX-License-Identifier: AGPL-3.0-or-later

package plan

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func drawPoints(r *rapid.T, most int) []Span {
	return rapid.SliceOfN(rapid.Custom(func(r *rapid.T) Span {
		return Span{
			Table: Table(rapid.IntRange(0, 1).Draw(r, "table")),
			Addr:  uint16(rapid.IntRange(0, 40).Draw(r, "addr")), Count: uint16(rapid.IntRange(1, 5).Draw(r, "count")),
		}
	}), 0, most).Draw(r, "points")
}

func drawLimits(r *rapid.T) Limits {
	l := Limits{MaxRegisters: uint16(rapid.IntRange(1, 20).Draw(r, "max")), MaxGap: uint16(rapid.IntRange(0, 6).Draw(r, "gap"))}
	l.Refused, l.Apart = drawPoints(r, 3), drawPoints(r, 3)
	return l
}

// allowed says by looking at each register whether a read from a to b is within limits.
func allowed(points []Span, l Limits, table Table, a, b int) bool {
	if b-a > l.most(table) {
		return false
	}
	idle := 0
	for reg := a; reg < b; reg++ {
		wanted := slices.ContainsFunc(points, func(p Span) bool {
			return p.Table == table && l.Readable(p) && int(p.Count) <= l.most(table) && int(p.Addr) <= reg && reg < p.end()
		})
		if idle++; wanted {
			idle = 0
		}
		if idle > int(l.MaxGap) {
			return false
		}
	}
	within := func(r Span) bool { return r.Table == table && a <= int(r.Addr) && r.end() <= b }
	return !slices.ContainsFunc(l.Refused, within) &&
		(!slices.ContainsFunc(l.Apart, within) || slices.Contains(points, Span{table, uint16(a), uint16(b - a)}))
}

// fewest is the slow way to the least number of reads: over all sets of points,
// which can be served by one read more.
func fewest(points []Span, l Limits) int {
	var served []uint32 // by each possible read
	all := uint32(0)
	for i, p := range points {
		if l.Readable(p) && int(p.Count) <= l.most(p.Table) {
			all |= 1 << i
		}
	}
	for _, table := range []Table{Holding, Input} {
		for a := range 46 {
			for b := a + 1; b <= 46; b++ {
				if !allowed(points, l, table, a, b) {
					continue
				}
				set := uint32(0)
				for i, p := range points {
					if p.Table == table && a <= int(p.Addr) && p.end() <= b {
						set |= 1 << i
					}
				}
				if set != 0 && !slices.Contains(served, set) {
					served = append(served, set)
				}
			}
		}
	}
	least := map[uint32]int{0: 0}
	for reached := []uint32{0}; len(reached) > 0; reached = reached[1:] {
		if reached[0]&all == all {
			return least[reached[0]]
		}
		for _, s := range served {
			next := reached[0] | s
			if _, known := least[next]; !known {
				least[next] = least[reached[0]] + 1
				reached = append(reached, next)
			}
		}
	}
	return -1
}

// The planner needs as few requests as the slow way, keeps the limits, and
// serves each point that can be served, whole.
func TestFewestReads(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		points, l := drawPoints(r, 8), drawLimits(r)
		var normal []Span
		for _, p := range points { // those in pieces have a test of their own
			if int(p.Count) <= l.most(p.Table) {
				normal = append(normal, p)
			}
		}
		reads := Make(normal, l)
		served := map[int]bool{}
		for _, read := range reads {
			if !allowed(normal, l, read.Table, int(read.Addr), read.end()) {
				r.Fatalf("read %+v is outside the limits", read)
			}
			for _, i := range read.Points {
				if !read.contains(normal[i]) || served[i] {
					r.Fatalf("read %+v does not serve point %d, %+v, once", read, i, normal[i])
				}
				served[i] = true
			}
		}
		for i, p := range normal {
			if served[i] != l.Readable(p) {
				r.Fatalf("point %d, %+v: served %v, readable %v", i, p, served[i], l.Readable(p))
			}
		}
		if want := fewest(normal, l); len(reads) != want {
			r.Fatalf("%d reads, %d would do: %+v", len(reads), want, reads)
		}
	})
}

func TestLongPointsComeInPieces(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		most := rapid.IntRange(1, 125).Draw(r, "most")
		p := Span{Holding, uint16(rapid.IntRange(0, 65000).Draw(r, "addr")), uint16(rapid.IntRange(1, 500).Draw(r, "count"))}
		at := int(p.Addr)
		reads := Make([]Span{p}, Limits{MaxRegisters: uint16(most)})
		for _, read := range reads {
			if int(read.Addr) != at || int(read.Count) > most || !slices.Equal(read.Points, []int{0}) {
				r.Fatalf("piece %+v", read)
			}
			at = read.end()
		}
		if at != p.end() || len(reads) != (int(p.Count)+most-1)/most {
			r.Fatalf("%d pieces end at %d", len(reads), at)
		}
	})
}

func TestPointsOutsideModbusAreLeftOut(t *testing.T) {
	if reads := Make([]Span{{Holding, 65535, 2}, {Holding, 1, 0}}, Limits{}); len(reads) != 0 {
		t.Errorf("%+v", reads)
	}
	if reads := Make([]Span{{Holding, 65535, 1}, {Coils, 0, 2000}}, Limits{}); len(reads) != 2 {
		t.Errorf("%+v", reads)
	}
}

type exception uint8

func (e exception) Error() string        { return fmt.Sprintf("exception %d", uint8(e)) }
func (e exception) ExceptionCode() uint8 { return uint8(e) }

// device refuses reads with a hole in them, and those that are too long.
type device struct {
	holes map[int]bool
	most  int
	asked int
}

func (d *device) read(r Read) error {
	d.asked++
	if int(r.Count) > d.most {
		return fmt.Errorf("reading: %w", exception(3))
	}
	for reg := int(r.Addr); reg < r.end(); reg++ {
		if d.holes[reg] {
			return fmt.Errorf("reading: %w", exception(2))
		}
	}
	return nil
}

func log2(n int) int {
	k := 0
	for 1<<k < n {
		k++
	}
	return k
}

// Whatever a device refuses, each point that it gives alone is read in the first
// pass, those that it does not give are named, the requests are bounded, and
// what was learned is kept: soon no request is refused any more.
func TestRefusedBlocks(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var points []Span
		for i, at := range rapid.SliceOfNDistinct(rapid.IntRange(0, 200), 1, 40, rapid.ID[int]).Draw(r, "addresses") {
			points = append(points, Span{Holding, uint16(at), uint16(1 + i%2)})
		}
		d := &device{most: rapid.IntRange(2, 125).Draw(r, "most"), holes: map[int]bool{}}
		for _, hole := range rapid.SliceOfN(rapid.IntRange(0, 202), 0, 6).Draw(r, "holes") {
			d.holes[hole] = true
		}
		p := NewDevice(Limits{MaxGap: uint16(rapid.IntRange(0, 20).Draw(r, "gap"))})
		passes := 0
		for last := -1; last != 0; passes++ {
			if passes > len(points)+1 {
				r.Fatalf("it still learns after %d passes", passes)
			}
			d.asked = 0
			planned := len(Make(points, p.limits))
			got, before := map[int]bool{}, len(p.limits.Refused)+len(p.limits.Apart)
			last = 0
			refused, err := p.Read(points, func(read Read) error {
				err := d.read(read)
				if err != nil {
					last++
					return err
				}
				for _, i := range read.Points {
					got[i] = true
				}
				return nil
			})
			if err != nil {
				r.Fatal(err)
			}
			for i, s := range points {
				alone := d.read(Read{Span: s}) == nil
				d.asked--
				if got[i] != alone || slices.Contains(refused, i) == alone {
					r.Fatalf("point %d, %+v: read %v, named %v, given alone %v", i, s, got[i], slices.Contains(refused, i), alone)
				}
			}
			learned := len(p.limits.Refused) + len(p.limits.Apart) - before + 1
			if most := planned + 2*(learned+len(points))*(log2(len(points))+1); d.asked > most || d.asked > planned+2*len(points) {
				r.Fatalf("%d requests in one pass, planned %d", d.asked, planned)
			}
		}
	})
}

// One register among 64 is refused: it is found with two requests a halving, and
// from then on two reads go around it.
func TestOneRefusedRegister(t *testing.T) {
	points := make([]Span, 64)
	for i := range points {
		points[i] = Span{Holding, uint16(100 + i), 1}
	}
	d := &device{most: 125, holes: map[int]bool{137: true}}
	p := NewDevice(Limits{})
	refused, err := p.Read(points, d.read)
	if err != nil || !slices.Equal(refused, []int{37}) {
		t.Fatalf("refused %v, %v", refused, err)
	}
	if d.asked != 1+2*6 {
		t.Errorf("it took %d requests to find it, want 13", d.asked)
	}
	d.asked = 0
	if refused, err = p.Read(points, d.read); err != nil || !slices.Equal(refused, []int{37}) || d.asked != 2 {
		t.Errorf("the next pass: %d requests, refused %v, %v", d.asked, refused, err)
	}
	if l := p.Limits(); !slices.Equal(l.Refused, []Span{{Holding, 137, 1}}) {
		t.Errorf("remembered: %+v", l.Refused)
	}
}

func TestOtherErrorsTeachNothing(t *testing.T) {
	points := []Span{{Input, 1, 1}, {Input, 2, 1}, {Holding, 5, 1}}
	for _, fault := range []error{errors.New("no answer in time"), exception(6), exception(11), exception(4)} {
		p := NewDevice(Limits{})
		if _, err := p.Read(points, func(Read) error { return fault }); !errors.Is(err, fault) || len(p.limits.Refused) != 0 {
			t.Errorf("%v: got %v, remembered %v", fault, err, p.limits.Refused)
		}
	}
	// A function that the device does not have is not asked for in halves.
	p, asked := NewDevice(Limits{}), 0
	refused, err := p.Read(points, func(r Read) error {
		asked++
		if r.Table == Input {
			return exception(1)
		}
		return nil
	})
	if err != nil || !slices.Equal(refused, []int{0, 1}) || asked != 2 {
		t.Errorf("no input registers: refused %v after %d requests, %v", refused, asked, err)
	}
}

// Fast points come in each pass, and each slow one once in as many passes as
// there are requests of slow ones.
func TestSlowPointsTakeTurns(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		fast, slow := drawPoints(r, 4), drawPoints(r, 8)
		d := NewDevice(Limits{MaxRegisters: 8, MaxGap: 2})
		groups := Make(slow, d.limits)
		seen := map[Span]bool{}
		chosen := 0
		for range max(1, len(groups)) {
			points := d.Tick(fast, slow)
			if !slices.Equal(points[:len(fast)], fast) {
				r.Fatalf("fast points %v of %v", points, fast)
			}
			chosen += len(points) - len(fast)
			for _, p := range points[len(fast):] {
				seen[p] = true
			}
		}
		if chosen != len(slow) {
			r.Fatalf("%d slow points in one turn of %d", chosen, len(slow))
		}
		for _, p := range slow {
			if !seen[p] {
				r.Fatalf("%+v was never read", p)
			}
		}
	})
}

// A point around a block that does not come in one read with others takes along
// what begins where it does.
func TestPointAroundABlockApart(t *testing.T) {
	points := []Span{{Holding, 0, 2}, {Holding, 0, 10}, {Holding, 12, 1}}
	reads := Make(points, Limits{MaxGap: 5, Apart: []Span{{Holding, 3, 2}}})
	if len(reads) != 2 || reads[0].Count != 10 || !slices.Equal(reads[0].Points, []int{1, 0}) {
		t.Errorf("%+v", reads)
	}
}
