// SPDX-License-Identifier: AGPL-3.0-or-later

// Package coordinator joins: it takes in the streams of a community's gateways,
// runs the community's state machine, keeps its ledger, and answers pages and
// integrators.
//
// One goroutine owns the community ([owner]). Streams, ticks and the committer
// hand it events over bounded channels; it steps the state machine, which waits
// for nothing, and passes on what is to be done: leaves to the committer,
// commands to the gateways' sessions, the picture to the hub. A sample is
// acknowledged when it is durable in the inbox, before the state machine sees
// it; after a crash the inbox is read again, and the state machine comes to the
// same leaves.
package coordinator
