// SPDX-License-Identifier: AGPL-3.0-or-later

// Package wire is a Modbus server that can misbehave. It does its own framing,
// because a library that speaks the protocol correctly cannot send half a frame,
// another's transaction id or an answer that comes too late. Real devices do.
//
// A [Server] answers for any number of units with what a [Handler] says: the
// simulator's devices, or an [Image] of registers that somebody recorded. It
// listens on Modbus TCP, on RTU over TCP as the converters of RS-485 lines
// speak it, and on a serial line, which may be one half of a pseudo-terminal
// pair whose other half a client opens as if it were a USB adapter.
//
// How it misbehaves is data: a list of [Rule], each with a condition and what
// then happens. Rules are read from YAML ([DecodeRules], and `faults:` in a site
// file), count the requests that meet their conditions, and draw from a seed, so
// that a story of faults plays the same way each time.
package wire
