// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger

import (
	"context"

	"golang.org/x/mod/sumdb/tlog"
)

// Log is the read side of a ledger.
type Log interface {
	// Leaves hands out the leaves from the given index on, in order.
	Leaves(ctx context.Context, from int64, fn func(index int64, leaf []byte) error) error
	// Rows are what the annex still has of a leaf; erased rows are absent.
	Rows(ctx context.Context, leaf int64) ([]StoredRow, error)
	// Entries are a leaf's postings.
	Entries(ctx context.Context, leaf int64) ([]Entry, error)
	// TreeHashes are stored hashes of the tree, at indexes as package tlog counts them.
	TreeHashes(ctx context.Context, indexes []int64) ([]tlog.Hash, error)
	// Checkpoint is the newest signed checkpoint; nil while the ledger is empty.
	Checkpoint(ctx context.Context) ([]byte, error)
}
