// SPDX-License-Identifier: AGPL-3.0-or-later

// Package sim is a place that does not exist: houses with a roof, a household
// and a battery, whose devices answer real Modbus TCP as SunSpec describes it.
// A gateway cannot tell it from the real thing, and neither can any other
// Modbus client.
//
// Devices with a profile show their makers' registers instead, as package profile
// describes them. Quirks and faults say how a device differs from what it
// promises and what goes wrong on its line: both are data in the site file, drawn
// from its seed, and docs/simulation.md teaches them.
//
// # Energy
//
// Powers are integers in milliwatts and constant from one step of world time to
// the next, except where a command or a reversion changes a battery's at once.
// Energy is therefore an exact integer as well: one milliwatt for one
// millisecond is a microjoule, and that is what every counter counts. A
// milliwatt-hour is 3,600,000 of them. A register shows its counter cut to the
// register's resolution, brought up to the very moment of the read. At every
// moment, in microjoules and without a remainder,
//
//	production + import + discharged = consumption + export + charged
//
// holds for a house whose batteries are behind its meter. A battery with a
// meter of its own takes no part in it.
//
// # Models
//
// Sun: position after the NOAA Global Monitoring Laboratory's general solar
// position calculations (fractional year, equation of time, declination); clear
// sky after Haurwitz (1945, 1098·cos z·exp(−0.059/cos z) W/m²), clouds after
// Kasten and Czeplak (1980, 1 − 0.75·N^3.4), diffuse part on the tilted plane
// isotropic (Liu and Jordan, 1960). Household: a standard daily shape plus
// appliances that are switched on at random. Weather and habits are functions
// of seed and time, so that the same site gives the same days, whatever was
// read and however often it was started. Instead of all this a house can follow
// a recording ([Profile]).
//
// Floats are used to find a power; it is then rounded to milliwatts, and
// everything that counts is an integer.
//
// # Batteries
//
// A battery rests at 0 W, or covers its house's need, unless it is told otherwise.
// Its reversion timer runs in world time. Losses are taken when charging and when discharging.
package sim
