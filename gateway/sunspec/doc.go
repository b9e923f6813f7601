// SPDX-License-Identifier: AGPL-3.0-or-later

// Package sunspec reads and commands devices that describe themselves by
// SunSpec models: inverters, meters and batteries.
//
// The models are tables ([Lookup]); what is read is decoded by them and nothing
// else. Four rules come from what real devices do wrong:
//
//   - A value and its scale factor come from the same read, because devices
//     move the factor. A [Block] is one read; a value whose factor is not in it
//     has no value.
//   - "Not implemented" is not zero. Each type has its sentinel (SunSpec
//     Information Model Specification, data types), and [Value.Implemented]
//     tells.
//   - Where a model lies is found by walking the chain, and every read checks
//     the model's own header, because models move with firmware.
//   - A chain may be wrong: it is walked within bounds, and what was found
//     before it broke is used.
//
// Numbers stay integers: a value is raw · 10^scale, and [Value.In] gives it in
// a wanted decimal unit without a float.
package sunspec
