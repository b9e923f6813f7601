// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/series"
)

// past answers about what was. It implements [api.Past].
type past struct {
	*commons
	series   series.Store
	register *register
}

// Measured implements [api.Past].
func (p *past) Measured() series.Store { return p.series }

// Booked implements [api.Past].
func (p *past) Booked(ctx context.Context, member roll.MemberID, span series.Span, limit int) ([]api.BookedInterval, error) {
	lines, err := p.store.MemberIntervals(ctx, member, span.From, span.To, limit)
	if err != nil {
		return nil, p.fleet.internal("listing booked energy", err)
	}
	var bought map[energy.Instant]energy.Energy
	if len(p.inForce.Charter.Markets()) > 0 {
		if bought, err = p.store.MemberBought(ctx, member, span.From, span.To, limit); err != nil {
			return nil, p.fleet.internal("listing what was bought", err)
		}
	}
	out := make([]api.BookedInterval, len(lines))
	for i, l := range lines {
		out[i] = api.BookedInterval{
			Interval: l.Interval, Share: l.Share, FromStorage: l.FromStorage, Bought: bought[l.Start], Consumption: l.Consumption,
		}
	}
	return out, nil
}

// Rolls implements [api.Past].
func (p *past) Rolls(from energy.Instant) []roll.Dated {
	p.register.mu.RLock()
	defer p.register.mu.RUnlock()
	return p.register.history.WithoutOrders().Since(from)
}

// Zone implements [api.Past].
func (p *past) Zone() *time.Location {
	zone, err := time.LoadLocation(p.register.Current().Timezone)
	if err != nil { // the register was checked
		return time.UTC
	}
	return zone
}
