// SPDX-License-Identifier: AGPL-3.0-or-later

package doctor

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/internal/doctor"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// Patience of checks that read everything.
const (
	patienceQuick = 5 * time.Minute
	patienceFull  = 6 * time.Hour
)

const mendDatabase = "stop the coordinator, look at the disk (dmesg), and bring back the last backup: allmende restore. The gateways bring what came after it"

func (p *patient) patience() time.Duration {
	if p.o.Full {
		return patienceFull
	}
	return patienceQuick
}

// database looks at pages, indexes and schema.
func (p *patient) database() doctor.Check {
	return doctor.Check{Name: "database", Patience: p.patience(), Look: func(ctx context.Context) []doctor.Finding {
		name := p.serve.Database.Reveal()
		there, err := store.Exists(ctx, name)
		switch {
		case errors.Is(err, store.ErrUnreachable):
			return one(doctor.Ill("see that the PostgreSQL server runs and that database: in allmende.yaml names it: pg_lsclusters, psql", "%v", err))
		case err != nil:
			return one(doctor.Ill(mendDatabase, "%v", err))
		case !there:
			return one(doctor.Well("there is none yet: the first start makes it"))
		}
		db, err := store.OpenReader(ctx, name)
		switch {
		case errors.Is(err, store.ErrNewerSchema):
			return one(doctor.Ill("install the newer program again, or bring back the copy that it made in "+filepath.Join(p.serve.Data, "backups"), "%v", err))
		case err != nil:
			if older, e := store.OpenCopy(ctx, name); e == nil {
				_ = older.Close() // it was only opened
				return one(doctor.Worry("start the coordinator: it copies the database, then upgrades it", "%v", err))
			}
			return one(doctor.Ill(mendDatabase, "%v", err))
		}
		if err := db.Close(); err != nil {
			return one(doctor.Ill(mendDatabase, "%v", err))
		}
		if store.IsServer(name) {
			return one(doctor.Well("%s answers, and its schema is right", p.serve.Database))
		}
		check, how := store.QuickCheckFile, "its pages are sound (--full also compares the indexes)"
		if p.o.Full {
			check, how = store.CheckFile, "its pages, indexes and references are sound"
		}
		if err := check(ctx, name); err != nil {
			return one(doctor.Ill(mendDatabase, "%v", err))
		}
		return one(doctor.Well("%s: %s", name, how))
	}}
}

const mendLedger = "run allmende ledger verify to see which leaf it is; then bring back the last backup that holds: allmende restore"

// ledger looks at the signed head, or at everything.
func (p *patient) ledger() doctor.Check {
	return doctor.Check{Name: "ledger", Patience: p.patience(), Look: func(ctx context.Context) []doctor.Finding {
		_, verifiers, err := store.LoadVerifier(p.serve.LedgerKey)
		if err != nil {
			return one(doctor.Ill("bring it back from a backup: without it nobody can check the ledger", "%v", err))
		}
		if _, err := store.LoadSigner(p.serve.LedgerKey); err != nil {
			return one(doctor.Ill("bring it back from a backup: without it the ledger cannot go on", "%v", err))
		}
		db, ok, finding := p.open(ctx)
		if !ok {
			return finding
		}
		defer db.Close() //nolint:errcheck // it was only read
		if !p.o.Full {
			return one(head(ctx, db, verifiers))
		}
		if n, err := db.Size(ctx); err == nil && n == 0 {
			return one(doctor.Well("it is empty"))
		}
		report, err := ledger.Verify(ctx, db, verifiers, settlement.Recompute, nil)
		switch {
		case err != nil:
			return one(doctor.Ill(mendLedger, "%v", err))
		case !report.Holds():
			return one(doctor.Ill(mendLedger, "it does not hold: %v", report.Fault))
		}
		return one(doctor.Well("everything holds: %d leaves, %d intervals", report.Leaves, report.Intervals))
	}}
}

// head checks that the newest checkpoint is signed, and signs the tree that is there.
func head(ctx context.Context, db *store.Reader, verifiers note.Verifiers) doctor.Finding {
	size, err := db.Size(ctx)
	if err != nil {
		return doctor.Ill(mendLedger, "%v", err)
	}
	if size == 0 {
		return doctor.Well("it is empty")
	}
	signed, err := db.Checkpoint(ctx)
	if err != nil {
		return doctor.Ill(mendLedger, "%v", err)
	}
	at, err := ledger.OpenCheckpoint(signed, verifiers)
	if err != nil {
		return doctor.Ill(mendLedger, "its newest checkpoint: %v", err)
	}
	root, err := tlog.TreeHash(size, tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) { return db.TreeHashes(ctx, indexes) }))
	switch {
	case err != nil:
		return doctor.Ill(mendLedger, "%v", err)
	case at.Size != size || at.Root != root:
		return doctor.Ill(mendLedger, "its newest checkpoint signs %d leaves with the root %s, there are %d with %s", at.Size, at.Root, size, root)
	}
	return doctor.Well("its checkpoint of %d leaves is signed and fits (--full computes every interval again)", size)
}
