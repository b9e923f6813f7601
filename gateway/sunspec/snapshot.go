// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/meters"
)

const milli = -3 // exponent of milliwatts and milliwatt-hours

// snapshot is one being taken.
type snapshot struct{ device.Snapshot }

// register takes a counter into the snapshot if the device has it, and says
// where it is coarser than a watt-hour. A device that has lost its meter shows
// no power and counters at 0 (SolarEdge); those are none.
func (s *snapshot) register(name meters.Register, v Value) {
	e, ok := v.In(milli)
	if !ok || e < 0 || e == 0 && s.Quality == energy.NotImplemented {
		return
	}
	s.Registers[name] = energy.Energy(e)
	if step := energy.Energy(v.step(milli)); step > energy.WattHour {
		if s.Coarse == nil {
			s.Coarse = map[meters.Register]energy.Energy{}
		}
		s.Coarse[name] = step
	}
}

// power takes the power, or says that there is none.
func (s *snapshot) power(b Block, v Value) {
	if p, ok := v.In(milli); ok {
		s.Power, s.Quality = energy.Power(p), energy.Good
		return
	}
	s.Quality = energy.NotImplemented
	s.Reason = fmt.Sprintf("the device does not report %s of model %d: %s", v.Path, b.Model.ID, v.Reason)
}

func newSnapshot() snapshot {
	return snapshot{device.Snapshot{SoC: -1, Registers: make(map[meters.Register]energy.Energy, 2)}}
}

// readMeter: power and both counters of models 201 to 204, or 211 to 214. W is
// positive for import, as the meters at a feed-in point that follow SunSpec have
// it; a meter that counts the other way needs a profile of its own.
func (d *Device) readMeter(ctx context.Context) (snapshot, error) {
	b, err := d.block(ctx, []string{"W", "TotWhImp", "TotWhExp"}, modelsOf(roll.Meter)...)
	if err != nil {
		return snapshot{}, err
	}
	s := newSnapshot()
	s.power(b, b.Value("W"))
	s.register(meters.Import, b.Value("TotWhImp"))
	s.register(meters.Export, b.Value("TotWhExp"))
	return s, nil
}

// readInverter: models 101 to 103, else 111 to 113, else 701.
func (d *Device) readInverter(ctx context.Context) (snapshot, error) {
	s := newSnapshot()
	b, err := d.block(ctx, []string{"W", "WH", "St"}, InverterThree, InverterSplit, InverterOne, InverterThreeF, InverterSplitF, InverterOneF)
	if errors.Is(err, errAbsent) {
		return d.readAC(ctx, s, meters.Production, "")
	}
	if err != nil {
		return snapshot{}, err
	}
	s.power(b, b.Value("W"))
	s.register(meters.Production, b.Value("WH"))
	state := b.Value("St")
	s.State = stateName(state, "off", "sleeping", "starting", "running", "throttled", "shutting down", "fault", "standby")
	s.asleep(state, 1, 2)
	return s, nil
}

// readBattery: power and counters of model 701, else of the battery's modules in
// model 160; the state of charge of 713, else 802, else 124.
func (d *Device) readBattery(ctx context.Context) (snapshot, error) {
	s, err := d.readAC(ctx, newSnapshot(), meters.Discharged, meters.Charged)
	if errors.Is(err, errAbsent) {
		s, err = d.readModules(ctx)
	}
	if err != nil {
		return snapshot{}, err
	}
	for _, source := range []struct {
		model uint16
		soc   string
	}{{StorageCapacity, "SoC"}, {BatteryBase, "SoC"}, {StorageControl, "ChaState"}} {
		b, err := d.block(ctx, []string{source.soc}, source.model)
		if errors.Is(err, errAbsent) {
			continue
		}
		if err != nil {
			return snapshot{}, err
		}
		// Percent with one decimal is permille.
		if soc, ok := b.Value(source.soc).In(-1); ok && soc >= 0 && soc <= 1000 {
			s.SoC = soc
			return s, nil
		}
	}
	return s, nil
}

// readModules: a hybrid inverter that shows its battery as two of the inputs of
// model 160, named StCha for what goes in and StDisCha for what comes out
// (Fronius). The inverter's own power is that of its roof as well, so without
// such modules the battery's is not known.
func (d *Device) readModules(ctx context.Context) (snapshot, error) {
	s := newSnapshot()
	s.Quality, s.Reason = energy.NotImplemented, "the battery does not report its power (model 701, or modules StCha and StDisCha of model 160)"
	e, ok := d.chain.Find(MPPT)
	m, _ := Lookup(MPPT)
	if !ok {
		return s, nil
	}
	b, err := d.whole(ctx, e, m)
	if errors.Is(err, errAbsent) || errors.Is(err, errRefused) {
		return s, nil
	}
	if err != nil {
		return snapshot{}, err
	}
	var in, out string
	for p := range b.all() {
		if group, found := strings.CutSuffix(p.Path, ".IDStr"); found {
			switch name := b.decode(p).Text; {
			case strings.HasPrefix(name, "StCha"):
				in = group
			case strings.HasPrefix(name, "StDisCha"):
				out = group
			}
		}
	}
	if in == "" || out == "" {
		return s, nil
	}
	charged, okIn := b.Value(in + ".DCW").In(milli)
	discharged, okOut := b.Value(out + ".DCW").In(milli)
	if okIn && okOut {
		s.Power, s.Quality, s.Reason = energy.Power(discharged-charged), energy.Good, ""
	}
	s.register(meters.Charged, b.Value(in+".DCWH"))
	s.register(meters.Discharged, b.Value(out+".DCWH"))
	return s, nil
}

// readAC: model 701, whose W is positive for generation; absorbed may be empty.
func (d *Device) readAC(ctx context.Context, s snapshot, injected, absorbed meters.Register) (snapshot, error) {
	names := []string{"InvSt", "W", "TotWhInj", "TotWhAbs"}
	if absorbed == "" {
		names = names[:3]
	}
	b, err := d.block(ctx, names, MeasureAC)
	if err != nil {
		return snapshot{}, err
	}
	s.power(b, b.Value("W"))
	s.register(injected, b.Value("TotWhInj"))
	if absorbed != "" {
		s.register(absorbed, b.Value("TotWhAbs"))
	}
	state := b.Value("InvSt")
	s.State = stateName(Value{Point: state.Point, Raw: state.Raw + 1, Implemented: state.Implemented},
		"off", "sleeping", "starting", "running", "throttled", "shutting down", "fault", "standby")
	if absorbed == "" {
		s.asleep(state, 0, 1)
	}
	return s, nil
}

// asleep marks an inverter that is off or asleep: its last power may be frozen
// or missing, which is no fault, and it yields nothing.
func (s *snapshot) asleep(state Value, off, sleeping int64) {
	if state.Implemented && (state.Raw == off || state.Raw == sleeping) {
		s.Power, s.Quality = 0, energy.Sleeping
		s.Reason = "the inverter is " + s.State
	}
}

// stateName is the name of an enumeration that counts from 1.
func stateName(v Value, names ...string) string {
	if !v.Implemented || v.Raw < 1 || v.Raw > int64(len(names)) {
		return ""
	}
	return names[v.Raw-1]
}
