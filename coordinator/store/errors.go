// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Kinds of refusal. Where one is returned, nothing was stored.
var (
	// ErrNoSpace: the disk is full. The store works again when there is space.
	ErrNoSpace = errors.New("no space left under the ledger database: free some, what arrives is refused until then")
	// ErrDurability: the disk did not confirm that data is on it. It is final;
	// the program must be started again after the disk was looked at.
	ErrDurability = errors.New("the disk did not confirm a write: look at it, then start again")
	// ErrDisk: reading or writing failed in another way.
	ErrDisk = errors.New("the disk under the ledger database fails: look at it and its mount")
	// ErrDamaged: the file is no database, or what is in it does not fit together.
	ErrDamaged = errors.New("the ledger database is damaged, or the file is another: look at the disk, and restore the data folder from its backup")
	// ErrAccess: the file can't be opened. SQLite keeps files beside it also for
	// readers, so that they may read while a coordinator writes.
	ErrAccess = errors.New("the ledger database can't be opened: its folder must be there, and this user must be able to write into it; to verify without, copy the community's folder to where you may write")
	// ErrBusy: another process holds the database.
	ErrBusy = errors.New("another process holds the ledger database: stop it first")
	// ErrNewerSchema: a newer program made the database.
	ErrNewerSchema = errors.New("the ledger database was made by a newer program")
	// ErrForeign: the database belongs to another community, key or world.
	ErrForeign = errors.New("the ledger database is not the one expected")
	// ErrEpoch: another node owns the community by now, or the epoch was never raised.
	ErrEpoch = errors.New("this node's epoch is not the one in force")
	// ErrGap: samples arrived with a sequence that leaves some out.
	ErrGap = errors.New("sequence leaves samples out")
	// ErrToken: an enrolment token is unknown, used or too old.
	ErrToken = errors.New("the enrolment token is unknown, used or expired: create a new one")
	// ErrChain: a leaf does not follow from those before it.
	ErrChain = errors.New("the leaf does not follow from the ledger")
)

// classify gives an error of the driver one of the kinds above, and leaves
// every other as it is.
func classify(err error) error {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return err
	}
	code := se.Code()
	switch code {
	case sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC:
		return kind(ErrDurability, err)
	case sqlite3.SQLITE_IOERR_SHMSIZE: // growing the shared index, which fails for lack of space alone
		return kind(ErrNoSpace, err)
	}
	switch code & 0xff {
	case sqlite3.SQLITE_FULL:
		return kind(ErrNoSpace, err)
	case sqlite3.SQLITE_IOERR:
		return kind(ErrDisk, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return kind(ErrDamaged, err)
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
		return kind(ErrAccess, err)
	case sqlite3.SQLITE_BUSY:
		return kind(ErrBusy, err)
	}
	return err
}

func kind(k, err error) error {
	if errors.Is(err, k) {
		return err
	}
	return fmt.Errorf("%w (%w)", k, err)
}
