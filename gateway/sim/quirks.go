// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"slices"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/sunspec"
)

// What an inverter does without sun.
const (
	nightSilent    = "silent"
	nightFrozen    = "frozen"
	nightSentinels = "sentinels"
	nightZeros     = "zeros"
)

func (c *checker) quirks(at string, d Device) {
	q := d.Quirks
	if !slices.Contains([]string{"", nightSilent, nightFrozen, nightSentinels, nightZeros}, q.AtNight) {
		c.addf(at+".at_night", "%q is none of silent, frozen, sentinels and zeros", q.AtNight)
	} else if q.AtNight != "" && d.Kind != roll.Inverter {
		c.addf(at+".at_night", "only an inverter sleeps: delete it")
	}
	for name, s := range map[string]energy.Span{"dead_time": q.DeadTime, "time_constant": q.TimeConstant} {
		if s < 0 || s > energy.Hour {
			c.addf(at+"."+name, "%s is not between 0 and %s", s, energy.Hour)
		}
	}
	for name, s := range map[string]energy.Span{
		"counter_restart_after": q.CounterRestartAfter, "new_firmware_after": q.FirmwareAfter, "second_master_every": q.RivalEvery,
	} {
		if s < 0 {
			c.addf(at+"."+name, "%s is negative: times count from the start of the simulation", s)
		}
	}
	if q.CounterStart < 0 || q.CounterStart > 2_000_000*energy.KilowattHour {
		c.addf(at+".counter_start_kwh", "%s is not between 0 and 2000000", q.CounterStart.KWh())
	}
	if q.RivalPower > mostPower || q.RivalPower < -mostPower {
		c.addf(at+".second_master_w", "%s is not between %s and %s", q.RivalPower, -mostPower, mostPower)
	}
	if q.FlipsSign && q.FirmwareAfter == 0 {
		c.addf(at+".flips_sign", "a sign flips with the firmware: say when, in new_firmware_after")
	}
}

// control checks what a device is told with.
func (c *checker) control(at string, d Device) {
	allowed := []uint16{0}
	switch {
	case d.Profile != "": // it has registers of its own
	case d.Kind == roll.Battery:
		allowed = []uint16{0, sunspec.StorageControl, controlAC}
	case d.Kind == roll.Inverter:
		allowed = []uint16{0, curtail, controlAC}
	}
	if !slices.Contains(allowed, d.Control) {
		c.addf(at+".control", "%d is no model that a device of kind %s is told with: write one of %v", d.Control, d.Kind, allowed)
	}
	if d.Rated < 0 || d.Rated > mostPower {
		c.addf(at+".rated_w", "%s is not between 0 and %s", d.Rated, mostPower)
	}
	if d.Kind == roll.Inverter && d.Control != 0 && d.rated(c.site) == 0 {
		c.addf(at+".rated_w", "100 %% of what? Its house has no roof of a known peak: write the inverter's rating")
	}
}

// rated is what 100 % of an inverter are.
func (d Device) rated(s *Site) energy.Power {
	if d.Rated > 0 {
		return d.Rated
	}
	for _, h := range s.Houses {
		if h.ID == d.House && h.PV != nil {
			return h.PV.Peak
		}
	}
	return 0
}

// firmware is the version at a time since the start, and whether power has
// another sign with it.
func (q Quirks) firmware(since energy.Span) (version string, flipped bool) {
	version = q.Firmware
	if version == "" {
		version = "1"
	}
	if q.FirmwareAfter == 0 || since < q.FirmwareAfter {
		return version, false
	}
	if q.NewFirmware == "" {
		return version + ".1", q.FlipsSign
	}
	return q.NewFirmware, q.FlipsSign
}
