// SPDX-License-Identifier: AGPL-3.0-or-later

// Package profile reads and commands devices by descriptions of their own
// registers: meters, hybrid inverters, chargers, heat pumps and contacts that
// do not speak SunSpec, or not well enough.
//
// A profile is a YAML file of plain data ([Profile]); docs/profiles.md teaches
// how to write one. Those of the library are embedded, a folder may add to them
// and replace them ([Library]). [Open] makes a device of a profile and a unit.
//
// What real devices do wrong is cured here and not in each profile:
//
//   - A value whose register says "not implemented", whose scale factor is
//     missing, whose firmware is unknown where that decides its sign, or that is
//     beyond what the device can do has no value. It is never zero.
//   - A device must show the values by which its profile is known before
//     anything of it is believed or written: an address that is off by one still
//     gives plausible numbers.
//   - A register is written only where two public sources agree on it. What one
//     source alone knows is left to a person, and the profile says so.
//   - Numbers stay decimal integers from the register to the ledger. A float of
//     the device becomes the shortest decimal that it stands for, and is said to
//     be coarse where its steps are longer than a watt-hour.
package profile
