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
	world *World
	units map[uint8]*unit
}

// unit is one device as its registers show it.
type unit struct {
	world   *World
	spec    Device
	img     *sunspec.Image
	house   *house   // nil: a binding meter
	battery *battery // nil: none
	binding *binding // nil: none
	err     error    // the first failed Set; the image is fixed, so a test would show it
}

// Serve answers one request.
func (p *port) Serve(r wire.Request) (wire.Answer, error) {
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
	u.refresh(max(now.Sub(w.at), 0))
	regs, ok := u.img.Read(addr, n)
	if !ok {
		return nil, wire.IllegalDataAddress
	}
	return regs, u.err
}

// write serves a write. Only the control points of a battery's model
// 124 can be written; all of a request is checked before any of it acts.
func (p *port) write(id uint8, addr uint16, values []uint16) error {
	u, ok := p.units[id]
	if !ok {
		return wire.TargetSilent
	}
	if u.battery == nil {
		return wire.IllegalDataAddress
	}
	w := p.world
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	w.advance(now)
	ctl, limits := u.battery.ctl, false
	for i, v := range values {
		model, point, ok := u.img.PointAt(addr + uint16(i))
		if !ok || model != sunspec.StorageControl {
			return wire.IllegalDataAddress
		}
		switch point.Name {
		case "StorCtl_Mod":
			if v > limitCharge|limitDischarge {
				return wire.IllegalDataValue
			}
			ctl.mode, limits = v, true
		case "OutWRte", "InWRte":
			rate := int16(v)
			if rate < -fullRate || rate > fullRate {
				return wire.IllegalDataValue
			}
			if limits = true; point.Name == "OutWRte" {
				ctl.out = rate
			} else {
				ctl.in = rate
			}
		case "InOutWRte_RvrtTms":
			if v == math.MaxUint16 {
				return wire.IllegalDataValue
			}
			ctl.reversion = v // counts from the next limit on
		default:
			return wire.IllegalDataAddress
		}
	}
	w.live(now)
	if limits {
		ctl.arm(now)
	}
	u.battery.ctl = ctl
	w.decide() // a command acts at once, not with the next step
	return nil
}

// newUnit lays out a device's registers and hangs it to its house.
func (w *World) newUnit(d Device) (*unit, error) {
	u := &unit{world: w, spec: d, house: w.byID[d.House]}
	var models []uint16
	groups := 0
	switch d.Kind {
	case roll.Inverter:
		models = []uint16{sunspec.Common, sunspec.InverterThree}
	case roll.Battery:
		models = []uint16{
			sunspec.Common, sunspec.MeasureAC, sunspec.StorageCapacity, sunspec.MeasureDC,
			sunspec.StorageControl, sunspec.BatteryBase,
		}
		groups = 1
		u.battery = newBattery(*d.Battery)
		u.house.batteries = append(u.house.batteries, u.battery)
	case roll.Meter:
		models = []uint16{sunspec.Common, sunspec.MeterThree}
		if len(d.Sums) > 0 {
			u.binding = &binding{common: d.CommonLoad}
			for _, id := range d.Sums {
				u.binding.houses = append(u.binding.houses, w.byID[id])
			}
			w.bindings[d.Asset] = u.binding
		}
	}
	var err error
	if u.img, err = sunspec.NewImage(d.Base, groups, models...); err != nil {
		return nil, fmt.Errorf("laying out its registers: %w", err)
	}
	u.text(sunspec.Common, "Mn", "Allmende")
	u.text(sunspec.Common, "Md", "Simulated "+string(d.Kind))
	u.text(sunspec.Common, "Vr", "1")
	u.text(sunspec.Common, "SN", "sim-"+string(d.Asset))
	u.set(sunspec.Common, "DA", int64(d.Unit))
	u.refresh(0)
	if u.err != nil {
		return nil, u.err
	}
	return u, nil
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
	switch {
	case u.battery != nil:
		u.showBattery(d)
	case u.binding != nil:
		taken, given := u.binding.after(d)
		u.showMeter(u.binding.net(), taken, given)
	case u.spec.Kind == roll.Meter:
		c := u.house.after(d)
		u.showMeter(u.house.net(), c.Import, c.Export)
	default:
		u.showInverter(u.house.pv, u.house.after(d).Production)
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
