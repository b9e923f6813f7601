// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"

	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/sunspec"
)

// openUnit finds out what answers as a unit; profile is empty for whatever it is.
func openUnit(ctx context.Context, l *line, unit uint8, profile string) (device.Device, error) {
	if profile != "" && profile != sunspec.Profile {
		return nil, fmt.Errorf("there is no profile %.40q here; leave it out, and the device is asked what it is", profile)
	}
	return sunspec.Open(ctx, l, unit)
}
