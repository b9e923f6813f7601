// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/profile"
	"github.com/allmende-energy/allmende/gateway/sim/wire"
)

// profiled is a unit that shows one or several devices by their maker's own
// registers, as a profile describes them. A hybrid inverter shows its roof, its
// battery and the meter that it reads.
type profiled struct {
	world   *World
	family  *profile.Profile // with all its variants
	profile *profile.Profile // of the firmware it has now
	version string
	parts   []*unit
	img     profile.Image
	between [4]map[uint16]bool // registers in gaps that may be read along; they hold 0
	takes   [4]map[uint16]bool // registers that may be written, and whether only singly
	err     error              // the first value that could not be shown
}

// newProfiled lays out the registers of devices that share a unit.
func (w *World) newProfiled(p *profile.Profile, devices []Device) (*profiled, error) {
	f := &profiled{world: w, family: p}
	for _, d := range devices {
		u := &unit{world: w, spec: d, house: w.byID[d.House]}
		u.counts.start = microjoulesOf(d.Quirks.CounterStart)
		u.build()
		u.control = nil // it is told through its own registers
		f.parts = append(f.parts, u)
		w.units = append(w.units, u)
	}
	f.become()
	f.fill()
	for _, u := range f.parts {
		u.obey(newProfileControl(f, u))
	}
	f.refresh(0)
	f.layGaps()
	f.allowWrites()
	if f.err != nil {
		return nil, f.err
	}
	return f, nil
}

// become takes on the firmware of the moment.
func (f *profiled) become() {
	version, _ := f.parts[0].spec.Quirks.firmware(f.world.now().Sub(f.world.begun))
	if version != f.version {
		f.version, f.profile = version, f.family.Of(version)
	}
}

// named is a word of the vocabulary as this profile writes it for a device.
func (f *profiled) named(u *unit, word string) string {
	if len(f.family.Kinds) > 1 {
		return string(u.spec.Kind) + "." + word
	}
	return word
}

func (f *profiled) point(name string) *profile.Point {
	i := slices.IndexFunc(f.profile.Points, func(p profile.Point) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return &f.profile.Points[i]
}

// show encodes a value; what this profile does not have is left out.
func (f *profiled) show(name, value string) {
	if f.point(name) == nil {
		return
	}
	if err := f.profile.Encode(&f.img, name, value); err != nil && f.err == nil {
		f.err = err
	}
}

// serve answers a request of this unit. The caller holds the world.
func (f *profiled) serve(r wire.Request) (wire.Answer, error) {
	for _, u := range f.parts {
		if err := u.silent(); err != nil {
			return wire.Answer{}, err
		}
	}
	if most := f.family.Connection.MaxRegisters; most > 0 && int(r.Count) > most {
		return wire.Answer{}, wire.IllegalDataValue
	}
	switch r.Function {
	case wire.ReadCoils:
		return f.read(profile.Coil, r)
	case wire.ReadDiscrete:
		return f.read(profile.Discrete, r)
	case wire.ReadHolding:
		return f.read(profile.Holding, r)
	case wire.ReadInput:
		return f.read(profile.Input, r)
	case wire.WriteCoil, wire.WriteCoils:
		return wire.Answer{}, f.write(profile.Coil, r)
	default:
		return wire.Answer{}, f.write(profile.Holding, r)
	}
}

func (f *profiled) read(t profile.Table, r wire.Request) (wire.Answer, error) {
	w := f.world
	f.refresh(max(w.now().Sub(w.at), 0))
	if f.err != nil {
		return wire.Answer{}, f.err
	}
	var a wire.Answer
	for i := range r.Count {
		var v uint16
		if got, err := f.img.Get(t, r.Addr+i, 1); err == nil {
			v = got[0]
		} else if !f.between[t][r.Addr+i] {
			return wire.Answer{}, wire.IllegalDataAddress
		}
		if t.Bits() {
			a.Bits = append(a.Bits, v != 0)
		} else {
			a.Values = append(a.Values, v)
		}
	}
	return a, nil
}

func (f *profiled) write(t profile.Table, r wire.Request) error {
	for i := range r.Count {
		single, ok := f.takes[t][r.Addr+i]
		if !ok {
			return wire.IllegalDataAddress
		}
		if single && r.Function == wire.WriteRegisters {
			return wire.IllegalFunction
		}
	}
	w := f.world
	w.live(w.now())
	for i := range r.Count {
		var v uint16
		if r.Bits == nil {
			v = r.Values[i]
		} else if r.Bits[i] {
			v = 1
		}
		f.img.Set(t, r.Addr+i, v)
	}
	for _, u := range f.parts {
		if c, ok := u.steering().(*profileControl); ok {
			c.written(t, r, w.at)
		}
	}
	w.decide() // a command acts at once, not with the next step
	return nil
}

// refresh shows the world as it is d after its last decision.
func (f *profiled) refresh(d energy.Span) {
	f.become()
	for _, u := range f.parts {
		if u.night(nightFrozen) {
			continue
		}
		now := u.facts(d)
		f.show("firmware", now.version)
		f.showPower(u, now.power)
		f.showCounters(u, now)
		if u.battery != nil {
			f.show(f.named(u, "soc"), decimal(u.battery.permille(u.stored), -1))
		}
		f.showState(u)
	}
}

// showPower shows the total, and a third of it on each phase.
func (f *profiled) showPower(u *unit, p energy.Power) {
	_, flipped := u.spec.Quirks.firmware(f.world.now().Sub(f.world.begun))
	for word, value := range map[string]energy.Power{"power": p, "power_l1": p / 3, "power_l2": p / 3, "power_l3": p - p/3*2} {
		name := f.named(u, word)
		pt := f.point(name)
		if pt == nil {
			continue
		}
		if flipped && (pt.Since != "" || pt.Before != "") {
			value = -value // the variant of this firmware turns it already
		}
		if u.night(nightSentinels) && len(pt.Missing) > 0 && pt.Address != nil {
			f.img.Set(pt.Table, *pt.Address, sentinel(*pt)...)
			continue
		}
		f.show(name, decimal(int64(value), powerExponent(pt.Unit)))
	}
}

// sentinel are the registers of a value that is not there.
func sentinel(p profile.Point) []uint16 {
	regs, err := profile.Encode(profile.Point{Type: p.Type, Words: p.Words, Bytes: p.Bytes}, "0", 0)
	if err != nil {
		return nil
	}
	for i := range regs {
		regs[len(regs)-1-i] = uint16(p.Missing[0] >> (16 * i))
	}
	if p.Words == profile.Little {
		slices.Reverse(regs)
	}
	return regs
}

func powerExponent(unit string) int {
	if unit == "kW" || unit == "kVA" {
		return -6
	}
	return -3
}

// showCounters shows energies; a counter of 32 bits begins anew when it is full.
func (f *profiled) showCounters(u *unit, now facts) {
	for word, e := range map[string]microjoules{
		"import": now.in, "charged": now.in, "export": now.out, "discharged": now.out, "production": now.out,
	} {
		name := f.named(u, word)
		pt := f.point(name)
		if pt == nil {
			continue
		}
		exp := map[string]int{"Wh": -3, "kWh": -6, "MWh": -9}[pt.Unit]
		value := decimal(int64(wrapped(*pt, e.energy(), exp)), exp)
		if pt.Sum != nil { // all of it goes into the first part, which may not hold it
			_ = f.profile.Encode(&f.img, name, value)
			continue
		}
		f.show(name, value)
	}
}

// wrapped is a count in mWh as far as the point's registers hold it; a unit is
// 10^-exp of them.
func wrapped(p profile.Point, e energy.Energy, exp int) energy.Energy {
	bits := map[profile.Type]int{profile.U16: 16, profile.U32: 32, profile.S32: 31, profile.U48: 48}[p.Type]
	if bits == 0 {
		return e
	}
	step := profile.Decimal{Raw: 1}
	if p.Scale != nil {
		step = *p.Scale
	}
	one, ok := step.In(exp)
	if !ok || one < 1 {
		return e
	}
	full := energy.Energy(1) << bits
	return e / energy.Energy(one) % full * energy.Energy(one)
}

// showState shows an operating state that fits: asleep without sun.
func (f *profiled) showState(u *unit) {
	for _, name := range []string{f.named(u, "state"), "state"} {
		pt := f.point(name)
		if pt == nil || len(pt.Values) == 0 {
			continue
		}
		asleep, named := u.inverter != nil && u.inverter.dark, u.stateByName()
		for _, v := range pt.Values {
			if named != "" && slices.ContainsFunc(pt.Values, func(v profile.Name) bool { return v.Name == named }) {
				f.show(name, named)
				break
			}
			if slices.Contains(pt.Asleep, v.Is) == asleep || len(pt.Asleep) == 0 {
				f.show(name, v.Name)
				break
			}
		}
		return
	}
}

// stateByName is what a contact, or a load that can be blocked, says of itself;
// empty for others, which only sleep or not.
func (u *unit) stateByName() string {
	switch c, ok := u.steering().(*profileControl); {
	case u.spec.Kind == kindContact:
		return u.contact()
	case u.load == nil || !ok:
		return ""
	case c.blocked():
		return "blocked"
	}
	return "normal"
}

// decimal writes n·10^exp.
func decimal(n int64, exp int) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	if exp >= 0 {
		return sign + strconv.FormatInt(n*pow10(exp), 10)
	}
	unit := pow10(-exp)
	return fmt.Sprintf("%s%d.%0*d", sign, n/unit, -exp, n%unit)
}

// layGaps notes which registers lie in gaps that the device reads along.
func (f *profiled) layGaps() {
	most := f.family.Connection.MaxGap
	for _, t := range []profile.Table{profile.Holding, profile.Input, profile.Coil, profile.Discrete} {
		f.between[t] = map[uint16]bool{}
		var there []int
		for addr := range f.img.Table(t) {
			there = append(there, int(addr))
		}
		slices.Sort(there)
		for i := 1; i < len(there); i++ {
			if gap := there[i] - there[i-1] - 1; gap > most {
				continue
			}
			for addr := there[i-1] + 1; addr < there[i]; addr++ {
				f.between[t][uint16(addr)] = true
			}
		}
	}
}

// allowWrites notes what the profile's controls write.
func (f *profiled) allowWrites() {
	for i := range f.takes {
		f.takes[i] = map[uint16]bool{}
	}
	for _, k := range f.family.Controls {
		for _, step := range slices.Concat(k.Set, k.Stop, k.Release) {
			regs, err := stepRegisters(&f.img, step, "0", 0)
			f.err = errors.Join(f.err, err)
			for i := range regs {
				f.takes[step.Table][step.Address+uint16(i)] = step.Function == int(wire.WriteRegister)
			}
		}
	}
}
