// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"errors"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
)

// openRegister reads the register from the database, or founds it there.
func (c *Coordinator) openRegister(ctx context.Context, in api.InForce, now energy.Instant) error {
	c.register = &register{store: c.store, rules: in.Charter, now: func() energy.Instant { return max(now, c.clock.Now()) }, wall: c.wall, log: c.log}
	if err := c.register.open(ctx, c.cfg.Roll, c.cfg.unread, in.Effective); err != nil {
		return err
	}
	switch {
	case c.cfg.unread != nil:
		c.log.Warn("the file that this community was founded with cannot be read any more, and need not be: the register is in the database", "file", c.cfg.Community, "error", c.cfg.unread)
	case c.register.differs(c.cfg.Roll):
		c.log.Warn("a file is no longer what this community was founded with, but it is no longer read: the register is in the database; "+
			"change it with allmende member|connection|site|asset|gateway, see it with allmende register show, write it as a file with allmende register export", "file", c.cfg.Community)
	}
	c.cfg.Roll = c.register.Current()
	c.register.Follow(c.fleet.follow)
	return nil
}

// recall hands the state machine the samples of some assets that were set aside
// when they came, from an instant on.
func (c *Coordinator) recall(ctx context.Context, since energy.Instant, assets api.Assets) error {
	now := c.clock.Now()
	var batch []meters.Sample
	var from roll.GatewayID
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		samples := batch
		batch = nil
		return c.owner.samples(from, samples)
	}
	err := c.store.InboxSince(ctx, since, func(g roll.GatewayID, m meters.Sample) error {
		if not := assets.Bookable(g, now, m); not != nil {
			return ctx.Err()
		}
		if g != from || len(batch) == chunk {
			if err := flush(); err != nil {
				return err
			}
			from = g
		}
		batch = append(batch, m)
		return nil
	})
	return errors.Join(err, flush())
}
