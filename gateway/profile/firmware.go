// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

import (
	"context"
	"fmt"

	"github.com/allmende-energy/allmende/energy"
)

// Of is the profile as a device of a firmware has it: only the points and
// controls that hold for it. Simulators need it, because they know their
// firmware before anybody reads it.
func (p *Profile) Of(firmware string) *Profile {
	own := *p
	own.Points, own.Controls = nil, nil
	for _, pt := range p.Points {
		if is, _ := suits(firmware, pt.Since, pt.Before); is {
			own.Points = append(own.Points, pt)
		}
	}
	for _, k := range p.Controls {
		if is, _ := suits(firmware, k.Since, k.Before); is {
			own.Controls = append(own.Controls, k)
		}
	}
	return &own
}

// decides says whether what holds for the device depends on its firmware, and
// which point tells that.
func (d *Device) decides() (*Point, bool) {
	varies := false
	for i := range d.profile.Points {
		p := &d.profile.Points[i]
		varies = varies || p.Since != "" || p.Before != ""
	}
	for i := range d.profile.Controls {
		k := &d.profile.Controls[i]
		varies = varies || k.Since != "" || k.Before != ""
	}
	for i := range d.profile.Points {
		if p := &d.profile.Points[i]; varies && p.Name == "firmware" && p.Address != nil {
			return p, true
		}
	}
	return nil, false
}

// updated reads the firmware along with the values where it decides how these
// are counted: an update takes a minute, and the device may be back before
// anybody misses it. It says whether the firmware is another one than before.
func (d *Device) updated(ctx context.Context) (bool, error) {
	p, ok := d.decides()
	if !ok {
		return false, nil
	}
	if err := d.fetch.into(ctx, &d.image, []Span{p.span()}); err != nil {
		return false, fmt.Errorf("%s on unit %d: reading its firmware: %w", d.kind, d.unit, err)
	}
	version := ""
	if r := p.decode(&d.image); r.Quality == energy.Good {
		if version = r.Text; version == "" {
			version = r.Number.String()
		}
	}
	if version == d.identity.Version {
		return false, nil
	}
	d.identity.Version = version
	d.points, d.unknown = nil, map[string]string{}
	d.choose()
	return true, nil
}
