// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"

	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/profile"
)

// profileFlags say by which description a device is read.
type profileFlags struct {
	Profile  string `placeholder:"NAME" help:"Read it by this profile; without, the device is asked what it is."`
	Kind     string `placeholder:"KIND" help:"Which of a profile's kinds is meant, where it has several: meter, inverter, battery …"`
	Profiles string `type:"existingdir" placeholder:"DIR" help:"A folder with profiles of your own."`
}

// device finds out what answers as a unit.
func (f profileFlags) device(ctx context.Context, l *line, unit uint8) (device.Device, error) {
	lib, err := profile.LoadLibrary(f.Profiles)
	if err != nil {
		return nil, err
	}
	return profile.Open(ctx, l, unit, profile.Options{Profile: f.Profile, Kind: profile.Kind(f.Kind), Library: lib})
}
