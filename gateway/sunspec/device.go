// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/gateway/device"
)

// Errors of a device.
var (
	// ErrNoUse says that the chain holds no model this package can use.
	ErrNoUse = errors.New("no model of an inverter, meter or battery that Allmende reads")
	// ErrMoved says that a model is no longer where the chain said, even
	// after walking it again.
	ErrMoved = errors.New("the model is not where the device says")
	// errHeader is a mismatch that walking the chain again may cure.
	errHeader = errors.New("another model header than expected")
)

// Profile is the name of SunSpec among profiles.
const Profile = "sunspec"

// mostRegisters is what one Modbus read may bring.
const mostRegisters = 125

// Device is one SunSpec device. Its methods may be used from several goroutines
// as far as the ReadWriter may.
type Device struct {
	rw       ReadWriter
	unit     uint8
	kind     roll.AssetKind
	identity device.Identity
	tables   map[uint16]*Model     // read only
	controls []device.Control      // read only
	chain    atomic.Pointer[Chain] // replaced when models have moved
}

// Open finds out what the device behind unit is: it discovers the chain and
// reads the identity. What the error says is in [Discover] and [ErrNoUse].
func Open(ctx context.Context, rw ReadWriter, unit uint8) (*Device, error) {
	chain, err := Discover(ctx, rw, unit)
	if err != nil {
		return nil, err
	}
	d := &Device{rw: rw, unit: unit, tables: make(map[uint16]*Model)}
	for _, id := range Known() {
		d.tables[id], _ = Lookup(id)
	}
	d.chain.Store(&chain)
	switch {
	case has(chain, StorageControl, BatteryBase, StorageCapacity):
		d.kind = roll.Battery
	case has(chain, MeterThree):
		d.kind = roll.Meter
	case has(chain, InverterOne, InverterSplit, InverterThree, MeasureAC):
		d.kind = roll.Inverter
	default:
		return nil, fmt.Errorf("unit %d: %w (it has %s)", unit, ErrNoUse, ids(chain))
	}
	common, err := d.block(ctx, whole, Common)
	if err != nil && !errors.Is(err, errAbsent) {
		return nil, fmt.Errorf("unit %d: reading the identity: %w", unit, err)
	}
	if err == nil {
		d.identity = device.Identity{
			Manufacturer: common.Value("Mn").Text, Model: common.Value("Md").Text,
			Version: common.Value("Vr").Text, Serial: common.Value("SN").Text,
		}
	}
	if d.controls, err = d.findControls(ctx); err != nil {
		return nil, fmt.Errorf("unit %d: reading what can be controlled: %w", unit, err)
	}
	return d, nil
}

func has(c Chain, ids ...uint16) bool {
	_, ok := c.Find(ids...)
	return ok
}

func ids(c Chain) string {
	if len(c.Models) == 0 {
		return "no models"
	}
	s := "models"
	for _, e := range c.Models {
		s += fmt.Sprintf(" %d", e.ID)
	}
	return s
}

// Identity is what the device says about itself.
func (d *Device) Identity() device.Identity { return d.identity }

// Kind is what the device does: with one of the models 124, 802 and 713 it is a
// battery, with 203 a meter, with 101–103 or 701 an inverter.
func (d *Device) Kind() roll.AssetKind { return d.kind }

// Unit is the Modbus unit.
func (d *Device) Unit() uint8 { return d.unit }

// Chain is the chain as last walked.
func (d *Device) Chain() Chain { return *d.chain.Load() }

// Read takes one snapshot: one request for an inverter or a meter, two for a
// battery. If a model has moved, the chain is walked again, once.
func (d *Device) Read(ctx context.Context) (device.Snapshot, error) {
	s, err := d.read(ctx)
	if errors.Is(err, errHeader) {
		if err = d.rediscover(ctx); err == nil {
			s, err = d.read(ctx)
		}
		if errors.Is(err, errHeader) {
			err = fmt.Errorf("%w: %w", ErrMoved, err)
		}
	}
	if err != nil {
		return device.Snapshot{}, fmt.Errorf("%s on unit %d: %w", d.kind, d.unit, err)
	}
	return s.Snapshot, nil
}

func (d *Device) rediscover(ctx context.Context) error {
	chain, err := Discover(ctx, d.rw, d.unit)
	if err == nil {
		d.chain.Store(&chain)
	}
	return err
}

func (d *Device) read(ctx context.Context) (snapshot, error) {
	switch d.kind {
	case roll.Meter:
		return d.readMeter(ctx)
	case roll.Battery:
		return d.readBattery(ctx)
	default:
		return d.readInverter(ctx)
	}
}

// whole asks block for all of a model that one read can bring.
const whole = ""

var errAbsent = errors.New("the device does not have this model")

// block reads, in one request, the first of the models that the device has,
// from its header to the named point and its scale factor (or all of it), and
// checks the header.
func (d *Device) block(ctx context.Context, upTo string, models ...uint16) (Block, error) {
	entry, ok := d.chain.Load().Find(models...)
	if !ok {
		return Block{}, errAbsent
	}
	model, ok := d.tables[entry.ID]
	if !ok {
		return Block{}, errAbsent
	}
	n := min(int(entry.Length)+headerLen, mostRegisters, 1<<16-int(entry.Address))
	if p, found := model.Point(upTo); found {
		n = min(n, int(p.Offset+p.Size))
	}
	if n <= headerLen {
		return Block{}, errAbsent
	}
	regs, err := readExactly(ctx, d.rw, d.unit, entry.Address, uint16(n))
	if err != nil {
		return Block{}, err
	}
	if regs[0] != entry.ID || regs[1] != entry.Length {
		return Block{}, fmt.Errorf("%w: model %d of length %d at %d, found %d of length %d",
			errHeader, entry.ID, entry.Length, entry.Address, regs[0], regs[1])
	}
	return Block{Model: model, Regs: regs}, nil
}

// Points reads and decodes every point of every model that this package knows,
// for a person who wants to see what a device says. Of each model the first 125
// registers are read, so that a value and its scale factor come together; only
// free text at the end of model 701 and DC ports beyond the second lie behind.
func (d *Device) Points(ctx context.Context) ([]device.Value, error) {
	var all []device.Value
	for _, e := range d.Chain().Models {
		if d.tables[e.ID] == nil {
			continue
		}
		b, err := d.block(ctx, whole, e.ID)
		if errors.Is(err, errAbsent) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("unit %d: reading model %d: %w", d.unit, e.ID, err)
		}
		for _, v := range b.Values() {
			all = append(all, v.neutral(e))
		}
	}
	return all, nil
}

// Profile names what devices of this package are read by.
func (d *Device) Profile() string { return Profile }

// Layout is where the device says its models are.
func (d *Device) Layout() device.Layout {
	c := d.Chain()
	l := device.Layout{Base: c.Base, Models: make([]device.Model, 0, len(c.Models))}
	for _, e := range c.Models {
		l.Models = append(l.Models, device.Model{ID: e.ID, Address: e.Address, Length: e.Length})
	}
	if c.Broken != "" {
		l.Remarks = append(l.Remarks, "the chain of models is broken: "+c.Broken)
	}
	return l
}

var (
	_ device.Device  = (*Device)(nil)
	_ device.LaidOut = (*Device)(nil)
)
