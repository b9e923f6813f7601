// SPDX-License-Identifier: AGPL-3.0-or-later

package embedded

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/allmende-energy/allmende/energy"
)

// How much of the cap may be in use, in percent: less where what is to be written
// does not find room. Below the least it is not the cap that is in the way, but the disk.
const (
	mostFill  = 90
	lessFill  = 10
	leastFill = 60
)

// dropAtOnce is the span of points that goes in one transaction.
const dropAtOnce = energy.Hour

// dropOld lets go of the oldest rows that are past their time and summed up.
func (k *keeper) dropOld(ctx context.Context, m marks, newest energy.Instant, _ []int64) (bool, error) {
	for _, t := range []tier{raw(), minutes()} {
		kept, summed := k.bounds(t, &m)
		start, found, err := k.oldest(ctx, t, 0)
		if err != nil {
			return false, err
		}
		if end := start.Add(t.length); found && end <= newest.Add(-kept) && end <= summed {
			return true, k.drop(ctx, t, min(max(end, start.Add(dropAtOnce)), t.floor(newest.Add(-kept)), summed), m)
		}
	}
	return false, nil
}

// bounds are how long a tier's rows are kept, and until when they are summed up.
func (k *keeper) bounds(t tier, m *marks) (kept energy.Span, summed energy.Instant) {
	if t == raw() {
		return rawKept, m.minuteUntil
	}
	return minuteKept, m.quarterUntil
}

// drop deletes a tier's rows before an instant, a row's start.
func (k *keeper) drop(ctx context.Context, t tier, end energy.Instant, m marks) error {
	switch t {
	case raw():
		m.rawFrom = end
	case minutes():
		m.minuteFrom = end
	}
	err := k.db.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM `+t.table+` WHERE key < ?`, t.key(end, 0)); err != nil {
			return err
		}
		return k.db.mark(ctx, tx, m)
	})
	if err == nil {
		k.marks.Store(&m)
	}
	return err
}

// dropBeyondCap lets go of the finest and oldest rows where the file has
// reached its cap, before their time.
func (k *keeper) dropBeyondCap(ctx context.Context, m marks, newest energy.Instant, _ []int64) (bool, error) {
	used, all, err := k.db.size(ctx)
	if err != nil {
		return false, err
	}
	k.bytes.Store(used)
	if used <= k.options.MaxBytes/100*k.fill {
		k.sayCap(m, newest)
		return k.giveBack(ctx, all-used)
	}
	for _, t := range []tier{raw(), minutes(), quarters()} {
		start, found, err := k.oldest(ctx, t, 0)
		if err != nil {
			return false, err
		}
		if _, summed := k.bounds(t, &m); found && (t == quarters() || start.Add(t.length) <= summed) {
			return true, k.drop(ctx, t, start.Add(t.length), m)
		}
	}
	k.trouble.set(troubleCap, fmt.Sprintf("the time series have no room: a day of them needs more than %d MiB: write more at series.embedded.max_size in allmende.yaml", k.options.MaxBytes>>20))
	return false, nil
}

// sayCap shows whether the cap takes what would else be kept.
func (k *keeper) sayCap(m marks, newest energy.Instant) {
	const slack = energy.Day
	what := ""
	switch {
	case m.minuteFrom > newest.Add(slack-minuteKept):
		what = fmt.Sprintf("values by the minute before %s", m.minuteFrom)
	case m.rawFrom > newest.Add(slack/2-rawKept):
		what = fmt.Sprintf("values by the second before %s", m.rawFrom)
	}
	if what != "" {
		what = fmt.Sprintf("the time series have reached their cap of %d MiB, and %s are gone early: write more at series.embedded.max_size in allmende.yaml", k.options.MaxBytes>>20, what)
	}
	k.trouble.set(troubleCap, what)
}

// giveBack returns pages to the disk where the file has many that are free,
// such as after its cap was lowered.
func (k *keeper) giveBack(ctx context.Context, free int64) (bool, error) {
	const atOnce = 256 // pages
	if free <= k.options.MaxBytes/4 {
		return false, nil
	}
	if _, err := k.db.w.ExecContext(ctx, fmt.Sprintf(`PRAGMA incremental_vacuum(%d)`, atOnce)); err != nil {
		return false, classify(err)
	}
	used, all, err := k.db.size(ctx)
	return all-used < free, err
}
