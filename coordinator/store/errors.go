// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
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
	// ErrUnreachable: the database server is down or can't be reached. The store
	// works again when it is back.
	ErrUnreachable = errors.New("the database server does not answer: see that it runs and that the network is up; what arrives is refused until then")
	// ErrUnsafe: the database server would lose what it has confirmed.
	ErrUnsafe = errors.New("the database server does not keep what it confirms")
	// ErrExists: something of that name or number is there already.
	ErrExists = errors.New("it is there already")
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

// Passing says whether a failure ends by itself, or by somebody's doing while
// the program runs: try the same again later. Others are final.
func Passing(err error) bool {
	return errors.Is(err, ErrNoSpace) || errors.Is(err, ErrBusy) || errors.Is(err, ErrUnreachable)
}

// Kind is what of an error is anybody's business: the kind of a passing failure
// without its cause, which names computers and users. Others stay as they are.
func Kind(err error) error {
	for _, k := range []error{ErrNoSpace, ErrBusy, ErrUnreachable} {
		if errors.Is(err, k) {
			return k
		}
	}
	return err
}

// classify gives an error of a driver one of the kinds above, and leaves every
// other as it is.
func classify(err error) error {
	if err == nil {
		return nil
	}
	if se, ok := errors.AsType[*sqlite.Error](err); ok {
		return classifySQLite(se, err)
	}
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return classifyPostgres(pe, err)
	}
	if lost(err) {
		return kind(ErrUnreachable, err)
	}
	return err
}

// lost says whether a connection to a server failed, or could not be made.
func lost(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, net.ErrClosed) ||
		pgconn.SafeToRetry(err) && !strings.Contains(err.Error(), "conn busy") // two statements at a time are our own fault
}

func kind(k, err error) error {
	if errors.Is(err, k) {
		return err
	}
	return fmt.Errorf("%w (%w)", k, err)
}

// because is a refusal of a kind with words of its own, which say what to do.
// The cause may be nil.
func because(k error, text string, cause error) error {
	if errors.Is(cause, k) {
		return cause
	}
	return &refusal{k, text, cause}
}

type refusal struct {
	kind  error
	text  string
	cause error
}

func (r *refusal) Error() string {
	if r.cause == nil {
		return r.text
	}
	return r.text + " (" + r.cause.Error() + ")"
}

func (r *refusal) Unwrap() []error {
	if r.cause == nil {
		return []error{r.kind}
	}
	return []error{r.kind, r.cause}
}
