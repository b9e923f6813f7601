// SPDX-License-Identifier: AGPL-3.0-or-later

package plan

import (
	"errors"
	"slices"
)

// Device remembers what one device refused, and whose turn it is. One goroutine
// uses it at a time.
type Device struct {
	limits Limits
	turn   int
}

// NewDevice begins with what is known of a device; limits may hold what it
// refused in an earlier run.
func NewDevice(limits Limits) *Device {
	limits.Refused, limits.Apart = slices.Clone(limits.Refused), slices.Clone(limits.Apart)
	return &Device{limits: limits}
}

// Limits are the device's, with what it has refused so far.
func (d *Device) Limits() Limits {
	l := d.limits
	l.Refused, l.Apart = slices.Clone(l.Refused), slices.Clone(l.Apart)
	return l
}

// mostRemembered bounds each list of what a device refused.
const mostRemembered = 1024

// Tick chooses the points of this pass: all that are fast, and of the slow ones
// those of one request, each in its turn.
func (d *Device) Tick(fast, slow []Span) []Span {
	points := slices.Clone(fast)
	groups := Make(slow, d.limits)
	if len(groups) == 0 {
		return points
	}
	chosen := groups[d.turn%len(groups)]
	d.turn = (d.turn + 1) % len(groups)
	for _, i := range chosen.Points {
		points = append(points, slow[i])
	}
	return points
}

// Read reads points through do, which does one request. Where the device refuses
// a block, its halves are read instead, down to the single point. What was
// refused is remembered, so that no later read contains it: a block of points
// costs at most two requests for each halving, once. It returns the indices of
// the points that the device does not give, and the first error that is no
// refusal of a block: then it stops.
func (d *Device) Read(points []Span, do func(Read) error) (refused []int, err error) {
	for _, read := range Make(points, d.limits) {
		if _, err := d.try(points, read, do); err != nil {
			return nil, err
		}
	}
	for i, p := range points {
		if p.Count > 0 && !d.limits.Readable(p) {
			refused = append(refused, i)
		}
	}
	return refused, nil
}

// try reads one block, or its parts; whole says that all of it came.
func (d *Device) try(points []Span, read Read, do func(Read) error) (whole bool, err error) {
	err = do(read)
	kind := refusal(err)
	switch {
	case kind == accepted, kind == failure && len(read.Points) == 1:
		return err == nil, err
	case kind == table: // the device has no such function: there is no use in halves
		for _, i := range read.Points {
			remember(&d.limits.Refused, points[i])
		}
		return false, nil
	case len(read.Points) == 1:
		remember(&d.limits.Refused, read.Span)
		return false, nil
	}
	left, right := halves(points, read)
	first, err := d.try(points, left, do)
	if err != nil {
		return false, err
	}
	second, err := d.try(points, right, do)
	if err != nil {
		return false, err
	}
	if first && second {
		// Each came alone, so what is between them was refused, or the length.
		remember(&d.limits.Apart, bridge(points, left, right))
	}
	return false, nil
}

// remember adds a block to a list. One that contains another says nothing new.
func remember(list *[]Span, s Span) {
	if s.Count == 0 || slices.ContainsFunc(*list, s.contains) || len(*list) >= mostRemembered {
		return
	}
	*list = append(slices.DeleteFunc(*list, func(o Span) bool { return o.contains(s) }), s)
}

// halves splits a read between two of its points.
func halves(points []Span, r Read) (left, right Read) {
	half := len(r.Points) / 2
	return around(points, r.Points[:half]), around(points, r.Points[half:])
}

// around is the read of some points, which are in order.
func around(points []Span, chosen []int) Read {
	r := Read{Span: points[chosen[0]], Points: chosen}
	for _, i := range chosen {
		r.Count = uint16(max(r.end(), points[i].end()) - int(r.Addr))
	}
	return r
}

// bridge is a small block that lies in neither of two reads: from the last
// point that begins before the right one to the first that ends behind the left.
// It is empty where one read contains the other.
func bridge(points []Span, left, right Read) Span {
	from, to := -1, 1<<16+1
	for _, i := range left.Points {
		if p := points[i]; p.Addr < right.Addr {
			from = max(from, int(p.Addr))
		}
	}
	for _, i := range right.Points {
		if p := points[i]; p.end() > left.end() {
			to = min(to, p.end())
		}
	}
	if from < 0 || to > 1<<16 {
		return Span{}
	}
	return Span{left.Table, uint16(from), uint16(to - from)}
}

// outcome of a request.
type outcome int

const (
	accepted outcome = iota // or failed otherwise
	block                   // this block is refused: a part may be given
	table                   // the function is refused
	failure                 // it failed in the device: some say so of a block that is too long
)

// refusal tells a device's no to a block from everything else. A device that is
// busy or a gateway whose target is silent says nothing about the block.
func refusal(err error) outcome {
	type exception interface {
		error
		ExceptionCode() uint8
	}
	e, ok := errors.AsType[exception](err)
	if !ok {
		return accepted
	}
	switch e.ExceptionCode() {
	case 1: // illegal function
		return table
	case 2, 3: // illegal address, illegal value: such as a length that is too much
		return block
	case 4: // device failure
		return failure
	}
	return accepted
}
