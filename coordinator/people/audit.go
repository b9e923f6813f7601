// SPDX-License-Identifier: AGPL-3.0-or-later

package people

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/coordinator/store"
)

// How much the audit log keeps.
const (
	keepActs      = 2 * 366 * 24 * time.Hour // what was changed
	keepDenied    = 90 * 24 * time.Hour      // what was refused
	mostActs      = 500_000
	mostDenied    = 100_000
	deniedPerTurn = 60 // different refusals written each turn; further ones are counted together
	auditTurn     = 30 * time.Second
	auditWithin   = 5 * time.Second
	sweepTurns    = 120
)

// auditor writes the audit log. What was changed is written at once. Refusals
// are counted in memory first: the same one many times becomes one row, and a
// flood of different ones a bounded number.
type auditor struct {
	store Store
	log   *slog.Logger
	now   func() time.Time
	count *counters

	mu     sync.Mutex
	denied map[deniedKey]*store.AuditRow
	others int64 // refusals beyond those
}

type deniedKey struct{ who, network, act, why string }

func newAuditor(s Store, log *slog.Logger, now func() time.Time, count *counters) *auditor {
	return &auditor{store: s, log: log, now: now, count: count, denied: map[deniedKey]*store.AuditRow{}}
}

// Record implements [access.Recorder].
func (a *auditor) Record(ctx context.Context, e access.Event) {
	row := store.AuditRow{
		At: a.now(), Kind: string(e.Who.Kind), Who: e.Who.ID, Origin: e.From.Host(),
		Act: clip(e.Act), Object: clip(e.Object), Outcome: string(e.Outcome), Why: clip(e.Why), Times: 1,
	}
	if e.Outcome == access.Denied {
		a.merge(row, deniedKey{e.Who.String(), e.From.Network(), row.Act, row.Why})
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditWithin)
	defer cancel()
	if err := a.write(ctx, []store.AuditRow{row}); err != nil {
		a.log.Error("the audit log could not be written", "act", row.Act, "who", row.Who, "outcome", row.Outcome, "error", err)
	}
}

func (a *auditor) merge(row store.AuditRow, key deniedKey) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch known := a.denied[key]; {
	case known != nil:
		a.count.auditMerged.Add(1)
		known.Times++
		known.At = row.At
		if known.Object != row.Object {
			known.Object = "several"
		}
	case len(a.denied) < deniedPerTurn:
		a.denied[key] = &row
	default:
		a.count.auditMerged.Add(1)
		a.others++
	}
}

func (a *auditor) write(ctx context.Context, rows []store.AuditRow) error {
	err := a.store.AppendAudit(ctx, rows)
	if err != nil {
		a.count.auditLost.Add(uint64(len(rows)))
		return err
	}
	a.count.auditRows.Add(uint64(len(rows)))
	return nil
}

// run writes down refusals now and then, and what is left of them at the end.
func (a *auditor) run(ctx context.Context) {
	ticker := time.NewTicker(auditTurn)
	defer ticker.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-ctx.Done():
			a.flush(context.WithoutCancel(ctx))
			return
		case <-ticker.C:
			a.flush(ctx)
		}
		if turn%sweepTurns == 0 {
			a.sweep(ctx)
		}
	}
}

// flush writes the refusals that were counted. Those that can't be written are
// told to the log as a number.
func (a *auditor) flush(ctx context.Context) {
	a.mu.Lock()
	denied, others := a.denied, a.others
	a.denied, a.others = map[deniedKey]*store.AuditRow{}, 0
	a.mu.Unlock()
	if len(denied) == 0 {
		return
	}
	rows := make([]store.AuditRow, 0, len(denied)+1)
	for _, row := range denied {
		rows = append(rows, *row)
	}
	if others > 0 {
		rows = append(rows, store.AuditRow{
			At: a.now(), Kind: string(access.None), Act: "various", Outcome: string(access.Denied),
			Why: "more refusals than are written one by one", Times: others,
		})
	}
	ctx, cancel := context.WithTimeout(ctx, auditWithin)
	defer cancel()
	if err := a.write(ctx, rows); err != nil {
		a.log.Error("refusals could not be written to the audit log", "rows", len(rows), "error", err)
	}
}

func (a *auditor) sweep(ctx context.Context) {
	for _, s := range []struct {
		outcome access.Outcome
		keep    time.Duration
		most    int
	}{{access.Done, keepActs, mostActs}, {access.Failed, keepDenied, mostDenied}, {access.Denied, keepDenied, mostDenied}} {
		if err := a.store.SweepAudit(ctx, string(s.outcome), a.now().Add(-s.keep), s.most); err != nil && ctx.Err() == nil {
			a.log.Warn("old entries of the audit log could not be forgotten", "error", err)
		}
	}
}

// clip bounds what is written of a text, and leaves only what every database
// and terminal can take.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		s = s[:most]
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
