// SPDX-License-Identifier: AGPL-3.0-or-later

// Package sunspec reads and commands devices that describe themselves by
// SunSpec models: inverters, meters and batteries.
//
// The models are tables ([Lookup]); what is read is decoded by them and nothing
// else. These rules come from what real devices do wrong:
//
//   - A value and its scale factor come from the same read, because devices
//     move the factor. Where a device gives too little at once, the factors are
//     read before and after and must not have moved; else there is no value.
//   - "Not implemented" is not zero. Each type has its sentinel (SunSpec
//     Information Model Specification, data types), and [Value.Implemented]
//     tells.
//   - Where a model lies is found by walking the chain, and every read checks
//     the model's own header, because models move with firmware.
//   - A chain may be wrong: it is walked within bounds; a wrong length is passed
//     where the next model is found for certain; what was found before it broke
//     is used. What is odd is said ([Device.Layout]).
//   - A device may refuse long reads, or part of a model: it is asked for less,
//     and what it refuses has no value and says why.
//   - A command arms the device's own timer first and reads everything back. A
//     timer that does not keep its time is none.
//
// Numbers stay integers: a value is raw · 10^scale, and [Value.In] gives it in
// a wanted decimal unit without a float.
package sunspec
