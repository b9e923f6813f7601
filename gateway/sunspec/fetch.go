// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

const (
	// mostRegisters is what one Modbus read may bring.
	mostRegisters = 125
	// mostOfModel bounds what is read of one model, whatever length it claims: a
	// string of a hundred battery modules has 1,648 registers.
	mostOfModel = 2048
	// mostTries bounds how often a model is read anew because its scale factors move.
	mostTries = 3
	// leastRegisters is the smallest limit that is believed.
	leastRegisters = 8
)

// smaller are the reads that are tried where a device refuses a longer one.
func smaller() []int { return []int{64, 32, 16} }

var (
	errAbsent = errors.New("the device does not have this model")
	// errHeader is a mismatch that walking the chain again may cure.
	errHeader = errors.New("another model header than expected")
	// errRefused says that not even the model's header can be read.
	errRefused = errors.New("the device refuses to have its model read")
)

// item is a point that shall be read, and where its scale factor is: registers
// from the model's start; without a factor it is -1.
type item struct{ at, size, factor int }

// plan says which reads bring all items with at most limit registers each.
// Points with their factors in the same read are all that segments hold, where
// that is possible. Where it is not, factors says what must be read before and
// after all segments, and be the same.
func plan(items []item, limit int) (segments, factors []span) {
	segments = pack(items, limit)
	together := func(i item) bool {
		return i.factor < 0 || slices.ContainsFunc(segments, func(s span) bool {
			return s.from <= i.at && i.at+i.size <= s.to && s.from <= i.factor && i.factor < s.to
		})
	}
	if !slices.ContainsFunc(items, func(i item) bool { return !together(i) }) {
		return segments, nil
	}
	isFactor := map[int]bool{}
	for _, i := range items {
		if i.factor >= 0 {
			isFactor[i.factor] = true
		}
	}
	var plain, scales []item
	for _, i := range items {
		if isFactor[i.at] && i.size == 1 {
			scales = append(scales, i)
		} else {
			plain = append(plain, i)
		}
	}
	return pack(plain, limit), pack(scales, limit)
}

// pack puts items, which are in order, into the fewest reads. No item is cut,
// because two reads may be of different moments; one longer than limit is text.
func pack(items []item, limit int) []span {
	var out []span
	for _, i := range items {
		end := i.at + i.size
		if n := len(out); n > 0 && end-out[n-1].from <= limit {
			out[n-1].to = max(out[n-1].to, end)
			continue
		}
		for from := i.at; from < end; from += limit {
			out = append(out, span{from, min(from+limit, end)})
		}
	}
	return out
}

// fetch reads items of the model at e; n registers from its start hold them all.
func (d *Device) fetch(ctx context.Context, e Entry, m *Model, n int, items []item) (Block, error) {
	items = append([]item{{at: 0, size: headerLen, factor: -1}}, items...)
	slices.SortStableFunc(items, func(a, b item) int { return a.at - b.at })
	var b Block
	for range mostTries {
		var err error
		if b, err = d.fetchOnce(ctx, e, m, n, items); err != nil || !b.moving {
			return b, err
		}
	}
	return b, nil
}

// fetchOnce reads items once; it asks for less at a time where the device
// refuses more, and remembers that.
func (d *Device) fetchOnce(ctx context.Context, e Entry, m *Model, n int, items []item) (Block, error) {
	var b Block
	var err error
	for range len(smaller()) + 1 {
		b, err = d.fetchPlan(ctx, e, Block{Model: m, Regs: make([]uint16, n), have: []span{}}, items, d.limit(e))
		var big *tooBig
		if !errors.As(err, &big) {
			return b, err
		}
		d.limits[e.Address] = big.next
	}
	return b, err
}

// limit is the most registers that are read at once of the model at e.
func (d *Device) limit(e Entry) int {
	if n, ok := d.limits[e.Address]; ok {
		return n
	}
	return d.most
}

// tooBig says that a read was refused and a smaller one may not be.
type tooBig struct{ next int }

func (t *tooBig) Error() string { return fmt.Sprintf("refused; %d registers may not be", t.next) }

func (d *Device) fetchPlan(ctx context.Context, e Entry, b Block, items []item, limit int) (Block, error) {
	segments, factors := plan(items, limit)
	for _, s := range factors {
		if err := d.fetchSpan(ctx, e, &b, s, limit); err != nil {
			return b, err
		}
	}
	for _, s := range slices.Concat(segments, factors) {
		err := d.fetchSpan(ctx, e, &b, s, limit)
		if err != nil {
			return b, err
		}
		if s.from == 0 {
			switch {
			case !b.holds(0, headerLen):
				return b, errRefused
			case b.Regs[0] != e.ID || b.Regs[1] != e.Length:
				return b, fmt.Errorf("%w: model %d of length %d at %d, found %d of length %d",
					errHeader, e.ID, e.Length, e.Address, b.Regs[0], b.Regs[1])
			}
		}
	}
	return b, nil
}

// fetchSpan reads one span into b. Scale factors that b holds already must not
// have changed. A span that is refused at the smallest size is left out.
func (d *Device) fetchSpan(ctx context.Context, e Entry, b *Block, s span, limit int) error {
	regs, err := readExactly(ctx, d.rw, d.unit, e.Address+uint16(s.from), uint16(s.to-s.from))
	if refused(err) {
		for _, next := range smaller() {
			if next < s.to-s.from {
				return &tooBig{min(next, limit)}
			}
		}
		return nil
	}
	if err != nil {
		return err
	}
	for i, r := range regs {
		at := s.from + i
		if b.Regs[at] != r && b.holds(at, 1) && b.factor(at) {
			b.moving = true
		}
		b.Regs[at] = r
	}
	b.have = append(b.have, s)
	return nil
}

// whole reads all of the model at e that its table knows.
func (d *Device) whole(ctx context.Context, e Entry, m *Model) (Block, error) {
	n := min(int(e.Length)+headerLen, mostOfModel, 1<<16-int(e.Address))
	if n <= headerLen {
		return Block{}, errAbsent
	}
	count := func(string) int { return 0 }
	if m.counted() {
		// How often the groups repeat stands before them.
		fixed, err := d.fetch(ctx, e, m, n, itemsOf(m, min(n, m.Size()), count))
		if err != nil {
			return fixed, err
		}
		count = fixed.count
		d.remarkLength(e, m, count)
	}
	if length, ok := m.Length(count); ok {
		n = min(n, length+headerLen)
	}
	return d.fetch(ctx, e, m, n, itemsOf(m, n, count))
}

// itemsOf are all points of a model within n registers.
func itemsOf(m *Model, n int, count func(string) int) []item {
	var items []item
	for p := range m.All(n, count) {
		items = append(items, itemOf(m, p.Point, p.At))
	}
	return items
}

func itemOf(m *Model, p *Point, at int) item {
	i := item{at: at, size: int(p.Size), factor: -1}
	if f, ok := m.Point(p.SF); ok && p.SF != "" {
		i.factor = int(f.Offset)
	}
	return i
}

// block reads the named points, with their scale factors, of the first of the
// models that the device has. A name that the model has not is left out.
func (d *Device) block(ctx context.Context, names []string, ids ...uint16) (Block, error) {
	e, ok := d.chain.Find(ids...)
	if !ok {
		return Block{}, errAbsent
	}
	m, ok := Lookup(e.ID)
	if !ok {
		return Block{}, errAbsent
	}
	return d.named(ctx, e, m, names)
}

func (d *Device) named(ctx context.Context, e Entry, m *Model, names []string) (Block, error) {
	end := min(int(e.Length)+headerLen, 1<<16-int(e.Address))
	var items []item
	n := headerLen
	add := func(p *Point) {
		if to := int(p.Offset + p.Size); to <= end {
			i := itemOf(m, p, int(p.Offset))
			if i.factor >= end {
				i.factor = -1
			}
			items = append(items, i)
			n = max(n, to)
		}
	}
	for _, name := range names {
		p, ok := m.Point(name)
		if !ok {
			continue
		}
		add(p)
		if f, ok := m.Point(p.SF); ok && p.SF != "" {
			add(f)
		}
	}
	if len(items) == 0 {
		return Block{}, errAbsent
	}
	return d.fetch(ctx, e, m, n, items)
}
