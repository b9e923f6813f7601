// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// MemberInterval is what a settled interval booked for one member, in all pools.
type MemberInterval struct {
	energy.Interval
	MemberSum
}

// MemberIntervals are what the unreversed intervals that start in [from, to)
// booked for a member, in order of time, at most limit of them.
func (r reads) MemberIntervals(ctx context.Context, member roll.MemberID, from, to energy.Instant, limit int) ([]MemberInterval, error) {
	out, err := collect(ctx, r.q, func(rows *sql.Rows, m *MemberInterval) error {
		return rows.Scan(&m.Start, &m.Length, &m.Share, &m.FromStorage, &m.Consumption)
	}, `SELECT s.start_ms, s.length_ms, CAST(SUM(m.share_mwh) AS BIGINT), CAST(SUM(m.from_storage_mwh) AS BIGINT), CAST(SUM(m.consumption_mwh) AS BIGINT)
		FROM settled s JOIN member_interval m ON m.leaf = s.leaf
		WHERE s.reversed_by IS NULL AND s.start_ms >= ? AND s.start_ms < ? AND m.member = ?
		GROUP BY s.start_ms, s.length_ms ORDER BY s.start_ms LIMIT ?`, int64(from), int64(to), string(member), limit)
	if err != nil {
		return nil, fmt.Errorf("booked energy of %s: %w", member, err)
	}
	return out, nil
}
