// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/meters"
)

const milli = -3 // exponent of milliwatts and milliwatt-hours

// find is the point of the device's firmware that is a word for its kind.
func (d *Device) find(word string) *Point {
	for _, p := range d.points {
		if p.is(d.kind, word, len(d.profile.Kinds)) {
			return p
		}
	}
	return nil
}

// named is the point of a full name.
func (d *Device) named(name string) *Point {
	i := slices.IndexFunc(d.points, func(p *Point) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return d.points[i]
}

// needs are the points with registers that a point is made of.
func (d *Device) needs(p *Point) []*Point {
	var all []*Point
	if p.Address != nil {
		all = append(all, p)
	}
	for _, term := range p.Sum {
		if part := d.named(strings.TrimPrefix(term, "-")); part != nil {
			all = append(all, d.needs(part)...)
		}
	}
	if p.NegativeIf != nil {
		if by := d.named(p.NegativeIf.Point); by != nil && by.Address != nil {
			all = append(all, by)
		}
	}
	return all
}

// reading is a point's value, plausible and with its direction.
func (d *Device) reading(p *Point) Reading {
	var r Reading
	if p.Sum != nil {
		r = d.total(p)
	} else {
		r = p.decode(&d.image)
	}
	if p.NegativeIf != nil && r.Quality == energy.Good {
		by := d.named(p.NegativeIf.Point)
		if by == nil {
			return absent("the point %s, which tells its direction, is not there", p.NegativeIf.Point)
		}
		way := by.decode(&d.image)
		if way.Quality != energy.Good {
			return absent("its direction is not known: %s", way.Reason)
		}
		if p.NegativeIf.holds(way.Raw) {
			r.Number = r.Number.Neg()
		}
	}
	return p.plausible(r)
}

// holds says whether a raw value means the negative direction.
func (d *Direction) holds(raw int64) bool {
	return slices.Contains(d.Is, raw) || slices.ContainsFunc(d.Bits, func(bit int) bool { return raw>>bit&1 == 1 })
}

func (d *Device) total(p *Point) Reading {
	sum := Reading{}
	for _, term := range p.Sum {
		name, minus := strings.CutPrefix(term, "-")
		part := d.named(name)
		if part == nil {
			return absent("the point %s, a part of it, is not there for this firmware", name)
		}
		r := d.reading(part)
		if r.Quality != energy.Good {
			return absent("%s, a part of it: %s", name, r.Reason)
		}
		if minus {
			r.Number = r.Number.Neg()
		}
		var ok bool
		if sum.Number, ok = sum.Number.Plus(r.Number); !ok {
			return absent("its parts are more than we can add")
		}
		if r.Step.Raw != 0 {
			sum.Step = r.Step
		}
	}
	return sum
}

// counters of a kind.
func counters(k Kind) []meters.Register {
	switch k {
	case Meter:
		return []meters.Register{meters.Import, meters.Export}
	case Inverter:
		return []meters.Register{meters.Production}
	case Battery:
		return []meters.Register{meters.Charged, meters.Discharged}
	case Charger, HeatPump:
		return []meters.Register{meters.Import}
	default:
		return nil
	}
}

// Read takes one snapshot: the fast points, and one of the slow ones in turn.
func (d *Device) Read(ctx context.Context) (device.Snapshot, error) {
	d.image.forget()
	// Before the values: what is read after an update is decoded as after it. An
	// update between the two shows in the next pass.
	if _, err := d.updated(ctx); err != nil {
		return device.Snapshot{}, err
	}
	spans, slow := d.wanted()
	if len(slow) > 0 {
		spans = append(spans, slow[d.turn%len(slow)])
		d.turn++
	}
	if err := d.fetch.into(ctx, &d.image, spans); err != nil {
		return device.Snapshot{}, fmt.Errorf("%s on unit %d: %w", d.kind, d.unit, err)
	}
	return d.snapshot(), nil
}

// wanted is what a snapshot is made of: what every pass reads, and what has its turn.
func (d *Device) wanted() (spans, slow []Span) {
	words := []string{"power", "soc", "state"}
	for _, c := range counters(d.kind) {
		words = append(words, string(c))
	}
	for _, word := range words {
		p := d.find(word)
		if p == nil {
			continue
		}
		for _, part := range d.needs(p) {
			if p.Pace == "slow" {
				slow = append(slow, part.span())
			} else {
				spans = append(spans, part.span())
			}
		}
	}
	return spans, slow
}

func (d *Device) snapshot() device.Snapshot {
	s := device.Snapshot{SoC: -1, Registers: map[meters.Register]energy.Energy{}, Coarse: map[meters.Register]energy.Energy{}}
	d.power(&s)
	for _, c := range counters(d.kind) {
		d.counter(&s, c)
	}
	if p := d.find("soc"); p != nil {
		if r := d.reading(p); r.Quality == energy.Good {
			if soc, ok := r.Number.In(-1); ok && soc >= 0 && soc <= 1000 {
				s.SoC = soc
			}
		}
	}
	d.state(&s)
	return s
}

func (d *Device) power(s *device.Snapshot) {
	p := d.find("power")
	if p == nil {
		s.Quality, s.Reason = energy.NotImplemented, "the profile has no power of such a device"
		if why := d.unknown["power"] + d.unknown[string(d.kind)+".power"]; why != "" {
			s.Reason = why
		}
		return
	}
	r := d.reading(p)
	mw, ok := Decimal{r.Number.Raw, r.Number.Exp + units[p.Unit]}.In(milli)
	switch {
	case r.Quality != energy.Good:
		s.Quality, s.Reason = r.Quality, fmt.Sprintf("%s: %s", p.Name, r.Reason)
	case !ok:
		s.Quality, s.Reason = energy.NotImplemented, fmt.Sprintf("%s: %s %s is more than we can hold", p.Name, r.Number, p.Unit)
	default:
		s.Power, s.Quality = energy.Power(mw), energy.Good
	}
}

// counter takes a register into the snapshot if the device has it in this pass.
func (d *Device) counter(s *device.Snapshot, c meters.Register) {
	p := d.find(string(c))
	if p == nil {
		return
	}
	r := d.reading(p)
	if r.Quality != energy.Good {
		return
	}
	unit := units[p.Unit]
	e, ok := Decimal{r.Number.Raw, r.Number.Exp + unit}.In(milli)
	if !ok || e < 0 {
		return
	}
	s.Registers[c] = energy.Energy(e)
	if step, ok := (Decimal{r.Step.Raw, r.Step.Exp + unit}).In(milli); ok && energy.Energy(step) > energy.WattHour {
		s.Coarse[c] = energy.Energy(step)
	}
}

// state names what the device does. A sleeping inverter's last power may be
// frozen or missing, which is no fault, and it yields nothing.
func (d *Device) state(s *device.Snapshot) {
	p := d.find("state")
	if p == nil {
		return
	}
	r := d.reading(p)
	if d.kind == Contact { // its state is all it has
		s.Quality, s.Reason = r.Quality, r.Reason
	}
	if r.Quality != energy.Good {
		return
	}
	s.State = r.Text
	if d.kind == Inverter && slices.Contains(p.Asleep, r.Raw) {
		s.Power, s.Quality, s.Reason = 0, energy.Sleeping, "the inverter is "+s.State
	}
}

// Points reads everything that the profile knows, for a person.
func (d *Device) Points(ctx context.Context) ([]device.Value, error) {
	d.image.forget()
	var spans []Span
	for _, p := range d.points {
		if p.Address != nil {
			spans = append(spans, p.span())
		}
	}
	if err := d.fetch.into(ctx, &d.image, spans); err != nil {
		return nil, fmt.Errorf("%s on unit %d: %w", d.kind, d.unit, err)
	}
	values := make([]device.Value, 0, len(d.points))
	for _, p := range d.points {
		values = append(values, p.value(d.reading(p)))
	}
	for i := range d.profile.Points {
		p := &d.profile.Points[i]
		if why, ok := d.unknown[p.Name]; ok && !slices.ContainsFunc(values, func(v device.Value) bool { return v.Name == p.Name }) {
			values = append(values, p.value(absent("%s", why)))
		}
	}
	return values, nil
}
