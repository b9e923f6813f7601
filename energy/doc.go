// SPDX-License-Identifier: AGPL-3.0-or-later

// Package energy is the ground that everything else stands on: power, energy,
// money, instants, intervals and quality, as integers only.
//
// A milliwatt-hour is small enough that no meter in the field resolves finer
// (SunSpec registers count watt-hours, the best submeters tenths of one) and
// large enough that an int64 holds nine billion kilowatt-hours. Products of two
// quantities are taken in 128 bits (see [MulDiv]), every division names its
// rounding, and nothing here reads a clock.
package energy
