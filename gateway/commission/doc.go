// SPDX-License-Identifier: AGPL-3.0-or-later

// Package commission proves that a gateway and its devices are ready: that each
// device answers and is what it says, that the values fit each other, that a
// battery does what it is told and the meter counts the right way round, and
// that the battery comes back to itself when nobody commands it any more. What
// it found is a [Report], signed by the gateway.
//
// # Steps
//
// Two proofs move a battery. Both are a [Machine]: a pure state machine that is
// told what was read and written, and says what to do next. It holds the rules
// that keep the house safe, and a test tries them against everything that can
// go wrong:
//
//   - The setpoint is at most [Step.Power] away from what the battery did by itself.
//   - It is in force for at most [Step.MostForce].
//   - It is not given where the state of charge is unknown or near a limit, and
//     taken back when it gets there.
//   - Whatever happens after the first write, even one that failed: the battery
//     is released, and asked for it again where that fails.
//
// The runner carries out what the machine says. When it is stopped it lets the
// machine release the battery first.
package commission
