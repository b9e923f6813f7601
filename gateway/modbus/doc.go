// SPDX-License-Identifier: AGPL-3.0-or-later

// Package modbus is the only place that speaks the Modbus protocol to devices.
//
// A [Bus] owns one connection: Modbus TCP, with or without TLS, over UDP, on a
// serial line, or on a serial line behind a converter. One goroutine ([Bus.Run])
// does everything that touches it, one request after the other; everybody else
// asks it through a queue. That is how the traps of the protocol are kept in one
// place:
//
//   - The unit is set for every request, because the underlying client keeps it
//     as state and would answer for the wrong one.
//   - Frames with transaction numbers: after any timeout or protocol error the
//     connection is closed and opened anew. What arrives late then arrives
//     nowhere, so that it is never taken for the answer to the next question.
//   - Serial lines have no such numbers, and closing does not help there. The
//     line is listened to until it is silent, and an answer that never came is
//     remembered as owed until another answer of the unit shows that it will
//     not come any more.
//   - A device that can't be reached is asked again after a growing pause with
//     jitter. The pause is wall time: a network does not get better because a
//     simulated world runs faster.
//   - A unit that does not answer is asked rarely, so that those that are dead
//     take together at most a tenth of a line on which others live.
//   - Writes go before reads that are waiting: a setpoint must not queue behind
//     a round of polling.
//
// A [Server] answers requests for the simulated sites.
package modbus
