// SPDX-License-Identifier: AGPL-3.0-or-later

// Package api is the coordinator's edge: it speaks gRPC with gateways and
// integrators, REST and server-sent events with pages, and translates between
// the wire and the core. Nothing of the wire goes further in.
//
// What comes from a gateway is checked here, field by field, before anybody
// else sees it: a gateway reports for its own assets only, for registers that
// such an asset has, within times and values that can be. A refusal names the
// field and leaves everything as it was. On the metering lane, which may lose
// nothing, a single sample that cannot be counted is set aside instead: stored,
// acknowledged, shown as the gateway's problem, and kept from the state machine.
package api
