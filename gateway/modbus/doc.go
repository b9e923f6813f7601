// SPDX-License-Identifier: AGPL-3.0-or-later

// Package modbus is the only place that speaks the Modbus protocol.
//
// A [Bus] owns one connection. One goroutine ([Bus.Run]) does everything that
// touches the line, one request after the other; everybody else asks it through
// a queue. That is how the traps of the protocol are kept in one place:
//
//   - Unit and encoding are set for every request, because the underlying
//     client keeps them as state and would answer for the wrong unit.
//   - After any timeout or protocol error the connection is closed and opened
//     anew. What arrives late then arrives nowhere, so that it is never taken
//     for the answer to the next question.
//   - A device that can't be reached is asked again after a growing pause with
//     jitter. The pause is wall time: a network does not get better because a
//     simulated world runs faster.
//   - Writes go before reads that are waiting: a setpoint must not queue behind
//     a round of polling.
//
// A [Server] answers requests for the simulated sites.
package modbus
