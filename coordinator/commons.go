// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
)

// commons answers pages and integrators. It implements [api.Commons].
type commons struct {
	inForce   api.InForce
	store     *store.Store
	verifier  string
	verifiers note.Verifiers
	fleet     *fleet
}

// Charter implements [api.Commons].
func (c *commons) Charter() api.InForce { return c.inForce }

// Intervals implements [api.Commons].
func (c *commons) Intervals(ctx context.Context, before energy.Instant, limit int) ([]api.Settled, error) {
	records, err := c.store.SettledPage(ctx, before, limit)
	if err != nil {
		return nil, c.fleet.internal("listing intervals", err)
	}
	out := make([]api.Settled, len(records))
	for i, r := range records {
		out[i] = api.Settled{Index: r.Index, IntervalSettled: r.Settled}
	}
	return out, nil
}

// Head implements [api.Commons].
func (c *commons) Head(ctx context.Context) (api.Head, error) {
	signed, err := c.store.Checkpoint(ctx)
	if err != nil {
		return api.Head{}, c.fleet.internal("reading the checkpoint", err)
	}
	if signed == nil {
		return api.Head{}, fmt.Errorf("%w: the ledger is still empty: try again in a moment", api.ErrNotFound)
	}
	head, err := ledger.OpenCheckpoint(signed, c.verifiers)
	if err != nil {
		return api.Head{}, c.fleet.internal("reading the checkpoint", err)
	}
	return api.Head{Checkpoint: head, Note: signed, Verifier: c.verifier}, nil
}

// errEnough ends a walk over leaves.
var errEnough = errors.New("enough")

// Leaves implements [api.Commons].
func (c *commons) Leaves(ctx context.Context, first int64, limit int) ([][]byte, error) {
	var out [][]byte
	err := c.store.Leaves(ctx, first, func(_ int64, leaf []byte) error {
		if len(out) == limit {
			return errEnough
		}
		out = append(out, leaf)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, c.fleet.internal("listing leaves", err)
	}
	return out, nil
}

// Gateways implements [api.Commons].
func (c *commons) Gateways() []api.GatewayDetail { return c.fleet.list() }

// CreateToken implements [api.Commons].
func (c *commons) CreateToken(ctx context.Context, gateway roll.GatewayID) (string, time.Time, error) {
	token, expires, err := c.fleet.enrolment.createToken(ctx, gateway)
	if err != nil {
		return "", time.Time{}, c.fleet.internal("making an enrolment token", err)
	}
	return token, expires, nil
}
