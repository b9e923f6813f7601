// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"fmt"
	"math"

	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/energy"
)

// SettledAt implements [api.Books].
func (p *past) SettledAt(ctx context.Context, at energy.Instant) (api.Account, error) {
	newest := at == math.MaxInt64
	before := at
	if !newest {
		before = at.Add(1)
	}
	records, err := p.store.SettledPage(ctx, before, 1)
	if err != nil {
		return api.Account{}, p.fleet.internal("reading a settled interval", err)
	}
	if len(records) == 0 || !newest && !records[0].Settled.Interval.Contains(at) {
		return api.Account{}, fmt.Errorf("%w: no settled interval is there yet for this time; an interval is settled some minutes after its end", api.ErrNotFound)
	}
	r := records[0]
	ch, err := p.store.CharterOf(ctx, &r.Settled)
	if err != nil {
		return api.Account{}, p.fleet.internal("reading the charter of an interval", err)
	}
	return api.Account{Settled: api.Settled{Index: r.Index, IntervalSettled: r.Settled}, Rows: r.Rows, Charter: ch}, nil
}
