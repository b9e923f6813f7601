// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/allmende-energy/allmende/coordinator/api"
)

// maxEpoch bounds what a gateway can make us raise the epoch to: as many
// milliseconds as pass in a hundred thousand years, and exact in any program.
const maxEpoch = 1 << 52

// raiser is the part of the store that keeps the epoch.
type raiser interface {
	RaiseEpochAbove(ctx context.Context, floor int64) (int64, error)
}

// fence is the epoch under which this process owns the community. It has to
// rise above every epoch that gateways have obeyed, or they refuse our commands.
// The database alone cannot say what those were, because it may have been set
// back: restored from a backup, or with the whole disk. So each start takes the
// clock for a floor, which has moved on meanwhile; and where even the clock was
// set back, the gateways say what they have heard of.
type fence struct {
	store  raiser
	raised func(epoch int64) // tells who commands

	mu    sync.RWMutex // held for reading while something is written under the epoch
	epoch int64
}

// raiseFence takes the community for this process.
func raiseFence(ctx context.Context, store raiser, clock time.Time) (*fence, error) {
	epoch, err := store.RaiseEpochAbove(ctx, min(clock.UnixMilli(), maxEpoch))
	return &fence{store: store, raised: func(int64) {}, epoch: epoch}, err
}

func (f *fence) current() int64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.epoch
}

// under calls fn with an epoch that stays in force meanwhile.
func (f *fence) under(fn func(epoch int64) error) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return fn(f.epoch)
}

// above is the epoch, after it was raised above one that a gateway has heard of,
// if need be.
func (f *fence) above(ctx context.Context, heard uint64) (epoch int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if heard <= uint64(f.epoch) {
		return f.epoch, nil
	}
	if heard > maxEpoch {
		return 0, fmt.Errorf("%w: hello.highest_epoch: %d is none, no coordinator counts so far: restart the gateway", api.ErrInvalid, heard)
	}
	if epoch, err = f.store.RaiseEpochAbove(ctx, int64(heard)); err != nil {
		return 0, err
	}
	f.epoch = epoch
	f.raised(epoch)
	return epoch, nil
}
