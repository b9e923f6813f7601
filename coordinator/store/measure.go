// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"
)

// InboxSamples is how many samples have come into the inbox, those erased since
// included. It reads one row of an index.
func (r reads) InboxSamples(ctx context.Context) (int64, error) {
	next, err := nextID(ctx, r.q, `SELECT MAX(id) FROM inbox`)
	if err != nil {
		return 0, fmt.Errorf("counting the inbox: %w", classify(err))
	}
	return next - 1, nil
}
