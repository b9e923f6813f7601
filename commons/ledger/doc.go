// SPDX-License-Identifier: AGPL-3.0-or-later

// Package ledger is the community's memory: an append-only log of leaves in a
// Merkle tree, its signed checkpoint, and the commitments that tie each leaf to
// the erasable annex.
//
// A leaf never holds what a member used. It holds totals, the charter's hash,
// and one salted commitment for each annex row; delete a row and its salt, and
// the leaf still stands, but says nothing about the member any more.
package ledger
