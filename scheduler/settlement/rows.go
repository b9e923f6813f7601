// SPDX-License-Identifier: AGPL-3.0-or-later

package settlement

import (
	"fmt"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
)

// Rows are the annex rows of the result, in the ledger's order. owner says
// whose personal data a battery's account is; "" is the community's.
func (r Result) Rows(owner func(roll.AssetID) roll.MemberID) ([]ledger.Row, error) {
	rows := make([]ledger.Row, 0, len(r.Members)+len(r.Storage)+len(r.Connections))
	add := func(row ledger.Row, err error) error {
		rows = append(rows, row)
		return err
	}
	for _, m := range r.Members {
		if err := add(ledger.NewMemberRow(m)); err != nil {
			return nil, err
		}
	}
	for _, b := range r.Storage {
		if err := add(ledger.NewStorageRow(b, owner(b.Asset))); err != nil {
			return nil, err
		}
	}
	for _, c := range r.Connections {
		if err := add(ledger.NewConnectionRow(c)); err != nil {
			return nil, err
		}
	}
	ledger.SortRows(rows)
	return rows, nil
}

// FromRows reads the inputs of an interval back from its annex rows.
func FromRows(settled ledger.IntervalSettled, rows []ledger.Row) (Input, error) {
	in := Input{Interval: settled.Interval}
	for _, p := range settled.Pools {
		if p.Island {
			in.Islands = append(in.Islands, p.Pool)
		}
	}
	for _, row := range rows {
		var err error
		switch row.Kind {
		case ledger.RowMember:
			in.Members, err = collect(in.Members, row.Member)
		case ledger.RowStorage:
			in.Storage, err = collect(in.Storage, row.Storage)
		case ledger.RowConnection:
			in.Connections, err = collect(in.Connections, row.Connection)
		default:
			err = fmt.Errorf("unknown kind %q", row.Kind)
		}
		if err != nil {
			return Input{}, fmt.Errorf("annex row %s %s of %v: %w", row.Kind, row.Key, settled.Interval, err)
		}
	}
	return in, nil
}

func collect[T any](to []T, read func() (T, error)) ([]T, error) {
	v, err := read()
	return append(to, v), err
}

// Recompute settles an interval again from its annex rows; it has the shape
// that ledger.Verify asks for. Where rows are erased it checks those that remain
// against the certificates.
func Recompute(ch charter.Charter, settled ledger.IntervalSettled, rows []ledger.Row) ([]ledger.PoolTotals, []ledger.Row, error) {
	in, err := FromRows(settled, rows)
	if err != nil {
		return nil, nil, err
	}
	if len(rows) < len(settled.Commitments) && ch.RulesVersion > 1 {
		for i := range settled.Pools { // also of pools of which no row remains
			p := &settled.Pools[i]
			if err := checkMarket(Rules(&ch, p), settled.Interval, p); err != nil {
				return nil, nil, err
			}
		}
		for i := range in.Members {
			if err := CheckRow(&ch, &settled, &in.Members[i]); err != nil {
				return nil, nil, err
			}
		}
		return nil, nil, nil
	}
	owners := make(map[roll.AssetID]roll.MemberID, len(in.Storage))
	for _, row := range rows {
		if row.Kind == ledger.RowStorage {
			owners[roll.AssetID(row.Key)] = row.Subject
		}
	}
	var s Settler
	res, err := s.Settle(&ch, in)
	if err != nil {
		return nil, nil, err
	}
	again, err := res.Rows(func(a roll.AssetID) roll.MemberID { return owners[a] })
	return res.Pools, again, err
}
