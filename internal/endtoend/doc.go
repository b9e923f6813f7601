// SPDX-License-Identifier: AGPL-3.0-or-later

// Package endtoend holds the test of the main job: real homes, simulated
// devices on real Modbus sockets, gateways, mutual TLS and a coordinator as
// processes of their own, some of which are killed on the way.
package endtoend
