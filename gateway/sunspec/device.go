// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
)

// Profile is the name of SunSpec among profiles.
const Profile = "sunspec"

// Options are what cannot be learned from the device.
type Options struct {
	// Kind is what the device shall be read as, where its chain has models of
	// several kinds, such as an inverter with its meter; empty: as what it says
	// first that it is.
	Kind roll.AssetKind
	// MaxRegisters is the most that one read may ask for; 0: 125. A device that
	// refuses long reads is asked for less without it.
	MaxRegisters int
}

// Device is one SunSpec device. One goroutine uses it at a time.
type Device struct {
	rw       ReadWriter
	unit     uint8
	kind     roll.AssetKind
	identity device.Identity
	chain    Chain          // replaced when models have moved
	most     int            // registers in one read
	limits   map[uint16]int // the same, for models of which the device gives less, by address
	lengths  map[uint16]string
	ways     []way // how it can be commanded
	state    commanded
}

// Open finds out what the device behind unit is: it discovers the chain, reads
// the identity, and what can be controlled. A device whose models are none that
// make it a meter, inverter or battery has no kind: its points can be looked at,
// and [Device.Read] says [ErrNoUse]. What the error says is in [Discover].
func Open(ctx context.Context, rw ReadWriter, unit uint8) (*Device, error) {
	return OpenWith(ctx, rw, unit, Options{})
}

// OpenWith is [Open] with options.
func OpenWith(ctx context.Context, rw ReadWriter, unit uint8, o Options) (*Device, error) {
	d := &Device{rw: rw, unit: unit, most: mostRegisters, limits: map[uint16]int{}, lengths: map[uint16]string{}}
	if l, ok := rw.(interface{ MaxRead(unit uint8) uint16 }); ok && o.MaxRegisters == 0 {
		o.MaxRegisters = int(l.MaxRead(unit))
	}
	if o.MaxRegisters > 0 {
		d.most = max(min(o.MaxRegisters, mostRegisters), leastRegisters)
	}
	var err error
	if d.chain, err = Discover(ctx, rw, unit); err != nil {
		return nil, err
	}
	if d.kind, err = kindOf(d.chain, o.Kind); err != nil {
		return nil, fmt.Errorf("unit %d: %w", unit, err)
	}
	if err := d.identify(ctx); err != nil {
		return nil, fmt.Errorf("unit %d: reading the identity: %w", unit, err)
	}
	if err := d.findWays(ctx); err != nil {
		return nil, fmt.Errorf("unit %d: reading what can be controlled: %w", unit, err)
	}
	return d, nil
}

// modelsOf are the models that make a device of each kind.
func modelsOf(kind roll.AssetKind) []uint16 {
	switch kind {
	case roll.Battery:
		return []uint16{StorageControl, BatteryBase, StorageCapacity}
	case roll.Meter:
		return []uint16{MeterThree, MeterDelta, MeterSplit, MeterOne, MeterThreeF, MeterDeltaF, MeterSplitF, MeterOneF}
	case roll.Inverter:
		return []uint16{InverterThree, InverterSplit, InverterOne, InverterThreeF, InverterSplitF, InverterOneF, MeasureAC}
	default:
		return nil
	}
}

// kindOf is what a device with this chain is: a battery with one of the models
// 124, 802 and 713; else what the first of its models of inverters and meters
// says, because an inverter may show its meter behind itself.
func kindOf(c Chain, want roll.AssetKind) (roll.AssetKind, error) {
	if want != "" {
		if _, ok := c.Find(modelsOf(want)...); !ok {
			return "", fmt.Errorf("%w as a %s: it has %s", ErrNoUse, want, ids(c))
		}
		return want, nil
	}
	if _, ok := c.Find(modelsOf(roll.Battery)...); ok {
		return roll.Battery, nil
	}
	for _, e := range c.Models {
		for _, kind := range []roll.AssetKind{roll.Meter, roll.Inverter} {
			if slices.Contains(modelsOf(kind), e.ID) {
				return kind, nil
			}
		}
	}
	if len(c.Models) == 0 {
		return "", fmt.Errorf("%w: it has no models at all", ErrNoUse)
	}
	return "", nil
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

// identify reads the common model that stands before the first model of the
// device's kind: an inverter's meter has one of its own.
func (d *Device) identify(ctx context.Context) error {
	var common Entry
	for _, e := range d.chain.Models {
		if e.ID == Common {
			common = e
		}
		if common.ID == Common && slices.Contains(modelsOf(d.kind), e.ID) {
			break
		}
	}
	m, _ := Lookup(Common)
	if common.ID != Common {
		return nil
	}
	b, err := d.named(ctx, common, m, []string{"Mn", "Md", "Vr", "SN"})
	if errors.Is(err, errAbsent) || errors.Is(err, errRefused) {
		return nil
	}
	if err != nil {
		return err
	}
	d.identity = device.Identity{
		Manufacturer: b.Value("Mn").Text, Model: b.Value("Md").Text, Version: b.Value("Vr").Text, Serial: b.Value("SN").Text,
	}
	return nil
}

// Identity is what the device says about itself.
func (d *Device) Identity() device.Identity { return d.identity }

// Kind is what the device does; empty: nothing that is known here.
func (d *Device) Kind() roll.AssetKind { return d.kind }

// Profile names what devices of this package are read by.
func (d *Device) Profile() string { return Profile }

// Unit is the Modbus unit.
func (d *Device) Unit() uint8 { return d.unit }

// Chain is the chain as last walked.
func (d *Device) Chain() Chain { return d.chain }

// Layout is where the device says its models are, and what is odd about it.
func (d *Device) Layout() device.Layout {
	l := device.Layout{Base: d.chain.Base, Models: make([]device.Model, 0, len(d.chain.Models)), Remarks: slices.Clone(d.chain.Remarks)}
	for _, e := range d.chain.Models {
		l.Models = append(l.Models, device.Model{ID: e.ID, Address: e.Address, Length: e.Length})
		if s := d.lengths[e.Address]; s != "" {
			l.Remarks = append(l.Remarks, s)
		}
		if n, ok := d.limits[e.Address]; ok {
			l.Remarks = append(l.Remarks, fmt.Sprintf("model %d at %d is read by %d registers at most: the device refuses more", e.ID, e.Address, n))
		}
	}
	if d.chain.Broken != "" {
		l.Remarks = append(l.Remarks, "the chain of models is broken: "+d.chain.Broken)
	}
	return l
}

// remarkLength notes that the groups a model counts do not fill its length.
func (d *Device) remarkLength(e Entry, m *Model, count func(string) int) {
	want, ok := m.Length(count)
	if !ok || want == int(e.Length) {
		delete(d.lengths, e.Address)
		return
	}
	d.lengths[e.Address] = fmt.Sprintf("model %d at %d says that it has %d registers, the groups it counts take %d", e.ID, e.Address, e.Length, want)
}

// Read takes one snapshot: one request for an inverter or a meter, two for a
// battery, more where the device gives less at once. If a model has moved, the
// chain is walked again, once.
func (d *Device) Read(ctx context.Context) (device.Snapshot, error) {
	var s snapshot
	err := d.following(ctx, func() (err error) {
		s, err = d.read(ctx)
		return err
	})
	if err == nil {
		err = d.keepHeartbeat(ctx)
	}
	if err != nil {
		return device.Snapshot{}, fmt.Errorf("%s: %w", d, err)
	}
	return s.Snapshot, nil
}

// following does something and, where a model is no longer where it was, walks
// the chain and does it once more: writing or reading at an address of
// yesterday would hit something else.
func (d *Device) following(ctx context.Context, do func() error) error {
	err := do()
	if !errors.Is(err, errHeader) {
		return err
	}
	chain, walked := Discover(ctx, d.rw, d.unit)
	if walked != nil {
		return walked
	}
	d.chain = chain
	clear(d.limits)
	clear(d.lengths)
	if err = do(); errors.Is(err, errHeader) {
		return fmt.Errorf("%w: %w", ErrMoved, err)
	}
	return err
}

func (d *Device) read(ctx context.Context) (snapshot, error) {
	switch d.kind {
	case roll.Meter:
		return d.readMeter(ctx)
	case roll.Battery:
		return d.readBattery(ctx)
	case roll.Inverter:
		return d.readInverter(ctx)
	default:
		return snapshot{}, fmt.Errorf("%w: it has %s", ErrNoUse, ids(d.chain))
	}
}

// String names the device in errors.
func (d *Device) String() string {
	if d.kind == "" {
		return fmt.Sprintf("unit %d", d.unit)
	}
	return fmt.Sprintf("%s on unit %d", d.kind, d.unit)
}

// Points reads and decodes every point of every model that this package knows,
// for a person who wants to see what a device says.
func (d *Device) Points(ctx context.Context) ([]device.Value, error) {
	var all []device.Value
	err := d.following(ctx, func() error {
		all = nil
		for _, e := range d.chain.Models {
			m, ok := Lookup(e.ID)
			if !ok {
				continue
			}
			b, err := d.whole(ctx, e, m)
			if err != nil && !errors.Is(err, errAbsent) && !errors.Is(err, errRefused) {
				return fmt.Errorf("reading model %d: %w", e.ID, err)
			}
			if b.Model == nil {
				continue
			}
			for p := range b.all() {
				if p.Type != Pad {
					all = append(all, b.decode(p).neutral(e.ID, e.Address+uint16(p.At)))
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("unit %d: %w", d.unit, err)
	}
	return all, nil
}

var (
	_ device.Device  = (*Device)(nil)
	_ device.LaidOut = (*Device)(nil)
)
