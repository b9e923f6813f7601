// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/sunspec"
)

// Options say how a device is opened.
type Options struct {
	// Profile is the name of a profile, "sunspec", or empty: then SunSpec is
	// tried, and after it the profiles that a device names itself by.
	Profile string
	// Kind is which of a profile's kinds is meant; empty: its first.
	Kind    Kind
	Library *Library
	// Draws is what this very load draws at most, for one that can only be
	// blocked or let go; 0: what its profile says of the family.
	Draws energy.Power
}

// Device is a unit that is read and commanded by a profile.
type Device struct {
	profile  *Profile
	kind     Kind
	unit     uint8
	fetch    *fetcher
	image    Image
	identity device.Identity
	points   []*Point          // those of its firmware
	unknown  map[string]string // points that cannot be chosen, and why
	turn     int               // of the slow points
}

var _ device.Device = (*Device)(nil)

// Open finds out what a unit is and makes a device of it. A device that does
// not show what its profile is known by is refused ([ErrMismatch]): its numbers
// would be somebody else's.
func Open(ctx context.Context, rw ReadWriter, unit uint8, o Options) (device.Device, error) {
	if o.Library == nil {
		lib, err := LoadLibrary("")
		if err != nil {
			return nil, err
		}
		o.Library = lib
	}
	switch o.Profile {
	case SunSpec:
		return openSunSpec(ctx, rw, unit, sunspec.Options{Kind: roll.AssetKind(o.Kind)})
	case "":
		return openUnknown(ctx, rw, unit, o)
	}
	p, err := o.Library.Get(o.Profile)
	if err != nil {
		return nil, err
	}
	d, err := open(ctx, rw, unit, p.drawing(o.Draws), o.Kind)
	if errors.Is(err, ErrMismatch) {
		return nil, fmt.Errorf("unit %d: %w; \"allmende gateway probe URL --unit %d\" without a profile says what it is, and another profile, unit or firmware may be the right one", unit, err, unit)
	}
	return d, err
}

// openSunSpec reads the device by its chain of models.
func openSunSpec(ctx context.Context, rw ReadWriter, unit uint8, o sunspec.Options) (device.Device, error) {
	d, err := sunspec.OpenWith(ctx, rw, unit, o)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// openUnknown tries SunSpec and then what devices name themselves by.
func openUnknown(ctx context.Context, rw ReadWriter, unit uint8, o Options) (device.Device, error) {
	dev, err := openSunSpec(ctx, rw, unit, sunspec.Options{Kind: roll.AssetKind(o.Kind)})
	if err != nil && !errors.Is(err, sunspec.ErrNotSunSpec) && !errors.Is(err, sunspec.ErrNoUse) || err == nil && dev.Kind() != "" {
		return dev, err
	}
	found, idErr := o.Library.Identify(ctx, rw, unit)
	if idErr != nil && (dev == nil || ctx.Err() != nil) {
		return nil, idErr
	}
	var names []string
	sure := slices.DeleteFunc(slices.Clone(found), func(m Match) bool { return !m.Sure })
	for _, m := range found {
		names = append(names, m.Profile.Name)
	}
	switch {
	case len(sure) == 1:
		return open(ctx, rw, unit, sure[0].Profile.drawing(o.Draws), o.Kind)
	case dev != nil:
		return dev, nil // it shows models, though none that measure: they can be looked at
	case len(names) > 0:
		return nil, fmt.Errorf("unit %d: its values fit %s, and none of them for sure; write the one on its type plate as profile", unit, strings.Join(names, ", "))
	}
	return nil, fmt.Errorf("unit %d: %w, and no profile knows it; \"allmende gateway profiles list\" shows those there are, docs/profiles.md how to write one", unit, err)
}

// open makes a device of a profile.
func open(ctx context.Context, rw ReadWriter, unit uint8, p *Profile, kind Kind) (device.Device, error) {
	asked := kind
	if kind == "" {
		kind = p.Kinds[0]
	}
	if !slices.Contains(p.Kinds, kind) {
		return nil, fmt.Errorf("unit %d: profile %s describes %v, and no %s; correct the kind or the profile", unit, p.Name, p.Kinds, kind)
	}
	d := &Device{profile: p, kind: kind, unit: unit, fetch: newFetcher(rw, unit, p.Connection), unknown: map[string]string{}}
	if len(p.Identify) > 0 {
		if err := d.fetch.into(ctx, &d.image, p.signSpans()); err != nil {
			return nil, fmt.Errorf("unit %d: asking what it is: %w", unit, err)
		}
		if _, err := p.fits(&d.image); err != nil {
			return nil, err
		}
	}
	if p.Reads == SunSpec {
		dev, err := openSunSpec(ctx, rw, unit, sunspec.Options{Kind: roll.AssetKind(asked), MaxRegisters: p.Connection.MaxRegisters})
		if err != nil {
			return nil, err
		}
		if said := dev.Identity().Manufacturer; !strings.EqualFold(strings.TrimSpace(said), p.Manufacturer) {
			return nil, fmt.Errorf("profile %s: %w: its maker is %q, expected %s", p.Name, ErrMismatch, said, p.Manufacturer)
		}
		return &chained{Device: dev, name: p.Name}, nil
	}
	return d, d.introduce(ctx)
}

// drawing is the profile of a device of which is known what it draws: a switch
// blocks below that, and not below what the largest of its family draws.
func (p *Profile) drawing(w energy.Power) *Profile {
	if w <= 0 {
		return p
	}
	own := *p
	own.Controls = slices.Clone(p.Controls)
	for i := range own.Controls {
		if k := &own.Controls[i]; k.Switch && k.Confirmed {
			k.Least = &Decimal{int64(w), milli}
		}
	}
	return &own
}

// chained is a SunSpec device that a profile adds timing and unit ids to.
type chained struct {
	device.Device
	name string
}

// Layout is that of the device's chain, for whoever wants to look at it.
func (c *chained) Layout() device.Layout {
	if l, ok := c.Device.(device.LaidOut); ok {
		return l.Layout()
	}
	return device.Layout{}
}

// Profile is the profile's name.
func (c *chained) Profile() string { return c.name }

// introduce reads who the device is and chooses the points of its firmware.
func (d *Device) introduce(ctx context.Context) error {
	var spans []Span
	var about []*Point
	for i := range d.profile.Points {
		p := &d.profile.Points[i]
		if slices.Contains(common, p.Name) && p.Name != "state" && p.Address != nil && p.Since == "" && p.Before == "" {
			about, spans = append(about, p), append(spans, p.span())
		}
	}
	if err := d.fetch.into(ctx, &d.image, spans); err != nil {
		return fmt.Errorf("unit %d: reading its identity: %w", d.unit, err)
	}
	d.identity.Manufacturer = d.profile.Manufacturer
	if len(d.profile.Models) == 1 {
		d.identity.Model = d.profile.Models[0]
	}
	for _, p := range about {
		r := p.decode(&d.image)
		if r.Quality != energy.Good {
			continue
		}
		said := r.Text
		if said == "" {
			said = r.Number.String()
		}
		switch p.Name {
		case "manufacturer":
			d.identity.Manufacturer = said
		case "model":
			d.identity.Model = said
		case "serial":
			d.identity.Serial = said
		case "firmware":
			d.identity.Version = said
		}
	}
	d.choose()
	return nil
}

// choose takes the points that hold for the device's firmware. Where the
// firmware decides and is not told, there is no value: half of them would have
// the wrong sign.
func (d *Device) choose() {
	for i := range d.profile.Points {
		p := &d.profile.Points[i]
		is, known := suits(d.identity.Version, p.Since, p.Before)
		switch {
		case !known:
			d.unknown[p.Name] = "its firmware decides how this is counted, and the device does not tell its firmware"
		case is:
			d.points = append(d.points, p)
		}
	}
}

// Identity is what the device says about itself, completed by the profile.
func (d *Device) Identity() device.Identity { return d.identity }

// Profile is the profile's name.
func (d *Device) Profile() string { return d.profile.Name }

// Kind is what the device is used as.
func (d *Device) Kind() roll.AssetKind { return roll.AssetKind(d.kind) }

// Description is the profile itself.
func (d *Device) Description() *Profile { return d.profile }
