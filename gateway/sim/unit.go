// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"errors"
	"fmt"
	"math"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/sim/wire"
	"github.com/allmende-energy/allmende/gateway/sunspec"
)

// port answers for the units of one listener.
type port struct {
	world    *World
	units    map[uint8]*unit     // those that speak SunSpec
	profiled map[uint8]*profiled // those with registers of their own
}

// unit is one device as its registers show it.
type unit struct {
	world    *World
	spec     Device
	img      *sunspec.Image
	house    *house     // nil: a binding meter
	battery  *battery   // nil: none
	inverter *inverter  // nil: none
	load     *flexLoad  // nil: none
	binding  *binding   // nil: none
	control  sunControl // nil: it cannot be told anything
	stored   storage    // of a battery, at the moment that is shown
	counts   counts
	rivals   int64 // commands of a second master until now
	err      error // the first failed Set; the image is fixed, so a test would show it
}

// Serve answers one request.
func (p *port) Serve(r wire.Request) (wire.Answer, error) {
	if f, ok := p.profiled[r.Unit]; ok {
		p.world.mu.Lock()
		defer p.world.mu.Unlock()
		p.world.advance(p.world.now())
		return f.serve(r)
	}
	switch r.Function {
	case wire.ReadHolding:
		values, err := p.read(r.Unit, r.Addr, r.Count)
		return wire.Answer{Values: values}, err
	case wire.WriteRegister, wire.WriteRegisters:
		return wire.Answer{}, p.write(r.Unit, r.Addr, r.Values)
	}
	return wire.Answer{}, wire.IllegalFunction
}

// read serves a read: the registers of one moment, all of it.
func (p *port) read(id uint8, addr, n uint16) ([]uint16, error) {
	u, ok := p.units[id]
	if !ok {
		return nil, wire.TargetSilent
	}
	w := p.world
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	w.advance(now)
	if err := u.silent(); err != nil {
		return nil, err
	}
	u.refresh(max(now.Sub(w.at), 0))
	regs, ok := u.img.Read(addr, n)
	if !ok {
		return nil, wire.IllegalDataAddress
	}
	return regs, u.err
}

// write serves a write. Only the points that a device is told with can be
// written; all of a request is checked before any of it acts.
func (p *port) write(id uint8, addr uint16, values []uint16) error {
	u, ok := p.units[id]
	if !ok {
		return wire.TargetSilent
	}
	w := p.world
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	w.advance(now)
	if err := u.silent(); err != nil {
		return err
	}
	next, err := u.told(addr, values)
	if err != nil {
		return err
	}
	w.live(now)
	next.written(now)
	u.steered(next)
	w.decide() // a command acts at once, not with the next step
	return nil
}

// told is the device's control with a write in it.
func (u *unit) told(addr uint16, values []uint16) (sunControl, error) {
	if u.control == nil {
		return nil, wire.IllegalDataAddress
	}
	next := u.control.copy()
	for len(values) > 0 {
		point, ok := u.pointAt(next.model(), addr)
		if !ok || int(point.Size) > len(values) {
			return nil, wire.IllegalDataAddress
		}
		raw := int64(0)
		for _, v := range values[:point.Size] {
			raw = raw<<16 | int64(v)
		}
		if err := next.set(point.Name, raw); err != nil {
			return nil, err
		}
		addr, values = addr+point.Size, values[point.Size:]
	}
	return next, nil
}

// pointAt is the point of a model that begins at addr.
func (u *unit) pointAt(model, addr uint16) (sunspec.Point, bool) {
	id, point, ok := u.img.PointAt(addr)
	return point, ok && id == model
}

// steered makes the device follow a control.
func (u *unit) steered(c sunControl) {
	u.control = c
	u.obey(c)
}

func (u *unit) obey(c steering) {
	switch {
	case u.battery != nil:
		u.battery.steer = c
	case u.inverter != nil:
		u.inverter.steer = c
	case u.load != nil:
		u.load.steer = c
	}
}

// newUnit hangs a device to its house and lays out its registers.
func (w *World) newUnit(d Device) (*unit, error) {
	u := &unit{world: w, spec: d, house: w.byID[d.House]}
	u.counts.start = microjoulesOf(d.Quirks.CounterStart)
	w.units = append(w.units, u)
	models, groups := u.build(), 0
	if d.Kind == roll.Battery {
		groups = 1
	}
	if u.control != nil {
		u.steered(u.control)
	}
	var err error
	if u.img, err = sunspec.NewImage(d.Base, groups, models...); err != nil {
		return nil, fmt.Errorf("laying out its registers: %w", err)
	}
	u.text(sunspec.Common, "Mn", "Allmende")
	u.text(sunspec.Common, "Md", "Simulated "+string(d.Kind))
	u.text(sunspec.Common, "SN", "sim-"+string(d.Asset))
	u.set(sunspec.Common, "DA", int64(d.Unit))
	u.refresh(0)
	if u.err != nil {
		return nil, u.err
	}
	return u, nil
}

// build makes what the device does, and says which models show it.
func (u *unit) build() (models []uint16) {
	d, w := u.spec, u.world
	switch d.Kind {
	case roll.Inverter:
		models = []uint16{sunspec.Common, sunspec.InverterThree}
		rated := d.rated(w.site)
		switch d.Control {
		case curtail:
			u.control = newControl123(rated, d.Quirks)
			models = append(models, settings, curtail)
		case controlAC:
			u.control = newControl704(rated, d.Quirks)
			models = append(models, capacity, controlAC)
		}
		u.inverter = newInverter(rated, d.Quirks)
		u.house.inverter = u.inverter
	case roll.Battery:
		models = []uint16{sunspec.Common, sunspec.MeasureAC, sunspec.StorageCapacity, sunspec.MeasureDC}
		base := baseOf(*d.Battery)
		if d.Control == controlAC {
			u.control = newControl704(base, d.Quirks)
			models = append(models, capacity, controlAC, sunspec.BatteryBase)
		} else {
			u.control = newControl124(base, d.Quirks)
			models = append(models, sunspec.StorageControl, sunspec.BatteryBase)
		}
		u.battery = newBattery(*d.Battery, d.Quirks)
		u.battery.house = u.house
		u.house.batteries = append(u.house.batteries, u.battery)
	case kindCharger, kindHeatPump:
		u.load = newFlexLoad(*d.Load, d.Quirks)
		u.house.loads = append(u.house.loads, u.load)
	default:
		models = []uint16{sunspec.Common, sunspec.MeterThree}
		if len(d.Sums) > 0 {
			u.binding = &binding{common: d.CommonLoad}
			for _, id := range d.Sums {
				u.binding.houses = append(u.binding.houses, w.byID[id])
			}
			w.bindings[d.Asset] = u.binding
		}
	}
	return models
}

func (u *unit) text(model uint16, name, s string) {
	u.err = errors.Join(u.err, u.img.SetText(model, name, s))
}

func (u *unit) set(model uint16, name string, raw int64) {
	if err := u.img.Set(model, name, raw); err != nil && u.err == nil {
		u.err = err
	}
}

// refresh writes what the device shows d after the world's last decision.
func (u *unit) refresh(d energy.Span) {
	if u.night(nightFrozen) {
		return
	}
	f := u.facts(d)
	u.text(sunspec.Common, "Vr", f.version)
	switch {
	case u.battery != nil:
		u.showBattery(f)
	case u.spec.Kind == roll.Meter:
		u.showMeter(f.power, f.in, f.out)
	default:
		u.showInverter(f.power, f.out)
	}
	if u.control != nil {
		u.control.show(u)
	}
}

// Electrical values that the simulator does not compute.
const (
	voltage      = 2300 // 230.0 V
	frequency    = 5000 // 50.00 Hz
	coldInverter = 250  // 25.0 °C
)

// scaled shows a value in thousandths of the unit with the finest factor that
// an int16 holds, and the factor: it moves with the value, as those of real
// devices do.
func (u *unit) scaled(model uint16, name, factor string, thousandths int64) {
	raw, scale := fit(thousandths, math.MaxInt16)
	u.set(model, name, raw)
	u.set(model, factor, int64(scale))
}

// fixed shows a value with a factor that does not move.
func (u *unit) fixed(model uint16, name, factor string, raw int64, scale int) {
	u.set(model, name, raw)
	u.set(model, factor, int64(scale))
}

// counter shows energy at 10^scale Wh.
func counter(e microjoules, scale int) int64 {
	return int64(e) / perMilliwattHour / pow10(scale+3)
}

func (u *unit) showInverter(p energy.Power, produced microjoules) {
	const m = sunspec.InverterThree
	u.scaled(m, "W", "W_SF", int64(p))
	u.set(m, "WH", counter(produced, u.spec.EnergyScale))
	u.set(m, "WH_SF", int64(u.spec.EnergyScale))
	u.current(m, p, "A", "AphA", "AphB", "AphC")
	u.fixed(m, "PhVphA", "V_SF", voltage, -1)
	u.set(m, "PhVphB", voltage)
	u.set(m, "PhVphC", voltage)
	u.fixed(m, "Hz", "Hz_SF", frequency, -2)
	u.fixed(m, "TmpCab", "Tmp_SF", coldInverter, -1)
	state := int64(4) // MPPT
	if p == 0 {
		state = 2 // sleeping
	}
	if u.night(nightSentinels) {
		u.set(m, "W", math.MinInt16)
		u.set(m, "W_SF", math.MinInt16)
	}
	u.set(m, "St", state)
	u.set(m, "Evt1", 0)
	u.set(m, "Evt2", 0)
}

// current shows the sum and three equal phases, in tenths of an ampere.
func (u *unit) current(model uint16, p energy.Power, sum string, phases ...string) {
	const perTenth = 230 * 100 // mW at 230 V
	u.fixed(model, sum, "A_SF", int64(p)/perTenth, -1)
	for _, name := range phases {
		u.set(model, name, int64(p)/perTenth/3)
	}
}

func (u *unit) showMeter(net energy.Power, taken, given microjoules) {
	const m = sunspec.MeterThree
	u.scaled(m, "W", "W_SF", int64(net))
	u.set(m, "TotWhImp", counter(taken, u.spec.EnergyScale))
	u.set(m, "TotWhExp", counter(given, u.spec.EnergyScale))
	u.set(m, "TotWh_SF", int64(u.spec.EnergyScale))
	u.current(m, net, "A", "AphA", "AphB", "AphC")
	u.fixed(m, "PhV", "V_SF", voltage, -1)
	for _, name := range []string{"PhVphA", "PhVphB", "PhVphC"} {
		u.set(m, name, voltage)
	}
	const between = 3984 // 230 V · √3
	for _, name := range []string{"PPV", "PhVphAB", "PhVphBC", "PhVphCA"} {
		u.set(m, name, between)
	}
	u.fixed(m, "Hz", "Hz_SF", frequency, -2)
	u.set(m, "Evt", 0)
}

// fit is thousandths in the finest unit 10^scale (−3 to 3) in which it is
// within ±most, rounded away from zero where it must lose digits.
func fit(thousandths, most int64) (raw int64, scale int) {
	raw, scale = thousandths, -3
	for (raw > most || raw < -most) && scale < 3 {
		scale++
		unit := pow10(scale + 3)
		half := unit / 2
		if thousandths < 0 {
			half = -half
		}
		raw = (thousandths + half) / unit
	}
	return raw, scale
}

func pow10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}
