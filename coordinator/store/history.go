// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/allmende-energy/allmende/commons/ledger"
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

// MemberBought is what a member bought in market rounds, by the start of the
// unreversed intervals that start in [from, to), in all pools, at most limit of them:
// it stands in an account of its own, with an entry only where something was bought.
func (r reads) MemberBought(ctx context.Context, member roll.MemberID, from, to energy.Instant, limit int) (map[energy.Instant]energy.Energy, error) {
	type line struct {
		start  energy.Instant
		bought energy.Energy
	}
	lines, err := collect(ctx, r.q, func(rows *sql.Rows, l *line) error {
		return rows.Scan(&l.start, &l.bought)
	}, `SELECT s.start_ms, CAST(SUM(e.amount_mwh) AS BIGINT) FROM entry e JOIN settled s ON s.leaf = e.leaf
		WHERE s.reversed_by IS NULL AND s.start_ms >= ? AND s.start_ms < ? AND e.subject = ? AND e.account = ?
		GROUP BY s.start_ms ORDER BY s.start_ms LIMIT ?`, int64(from), int64(to), string(member), ledger.MemberAccount(member, "bought"), limit)
	if err != nil {
		return nil, fmt.Errorf("what %s bought: %w", member, err)
	}
	out := make(map[energy.Instant]energy.Energy, len(lines))
	for _, l := range lines {
		out[l.start] = l.bought
	}
	return out, nil
}
