// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
)

// ErrNoPerson: there is no such account, passkey, link or token, or it was used
// up by somebody else in the meantime.
var ErrNoPerson = errors.New("there is no such account, link or token")

// ErrLoginTaken: another account has the name.
var ErrLoginTaken = errors.New("this name to sign in with is taken: choose another")

// Person is an account.
type Person struct {
	ID         string
	Login      string
	Name       string
	Member     roll.MemberID
	Roles      []string
	Password   string // PHC string, empty: none
	Handle     []byte
	Generation int64
	Created    time.Time
	Disabled   time.Time // zero: she may sign in
	SignedIn   time.Time // zero: never
}

// stamp is an instant in a column; the zero time is 0.
func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func unstamp(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

const personColumns = `id, login, name, member, roles, password, handle, generation, created_ms, disabled_ms, signed_ms`

type scanner interface{ Scan(into ...any) error }

func scanPerson(row scanner) (p Person, err error) {
	var roles string
	var created, disabled, signed int64
	err = row.Scan(&p.ID, &p.Login, &p.Name, &p.Member, &roles, &p.Password, &p.Handle, &p.Generation, &created, &disabled, &signed)
	p.Roles = strings.Fields(roles)
	p.Created, p.Disabled, p.SignedIn = unstamp(created), unstamp(disabled), unstamp(signed)
	return p, err
}

func missing(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNoPerson
	}
	return err
}

// PersonByID looks an account up. The error wraps [ErrNoPerson] where there is none.
func (r reads) PersonByID(ctx context.Context, id string) (Person, error) {
	return r.person(ctx, `SELECT `+personColumns+` FROM person WHERE id = ?`, id)
}

// PersonByLogin looks an account up by the name that its owner signs in with.
func (r reads) PersonByLogin(ctx context.Context, login string) (Person, error) {
	return r.person(ctx, `SELECT `+personColumns+` FROM person WHERE login = ?`, login)
}

// PersonByHandle looks an account up by what its passkeys call it.
func (r reads) PersonByHandle(ctx context.Context, handle []byte) (Person, error) {
	return r.person(ctx, `SELECT `+personColumns+` FROM person WHERE handle = ?`, handle)
}

func (r reads) person(ctx context.Context, query string, arg any) (Person, error) {
	p, err := scanPerson(r.q.QueryRowContext(ctx, query, arg))
	if err != nil {
		return Person{}, fmt.Errorf("account: %w", classify(missing(err)))
	}
	return p, nil
}

// People are all accounts, by login.
func (r reads) People(ctx context.Context) ([]Person, error) {
	out, err := people(ctx, r.q)
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", classify(err))
	}
	return out, nil
}

func people(ctx context.Context, q querier) ([]Person, error) {
	return list(ctx, q, scanPerson, `SELECT `+personColumns+` FROM person ORDER BY login`)
}

// list reads all rows of a query.
func list[T any](ctx context.Context, q querier, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// AddPerson makes an account with its recovery codes, and uses an invitation up
// for it. The error wraps [ErrNoPerson] where the invitation is not good any
// more, [ErrLoginTaken] where the login is somebody's.
func (s *Store) AddPerson(ctx context.Context, p Person, codes [][32]byte, invitation [32]byte, now time.Time) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM invitation WHERE hash = ? AND expires_ms > ?`, invitation[:], now.UnixMilli())
		if err := one(res, err); err != nil {
			return err
		}
		res, err = tx.ExecContext(ctx, `INSERT INTO person (`+personColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (login) DO NOTHING`,
			p.ID, p.Login, p.Name, string(p.Member), strings.Join(p.Roles, " "), p.Password, p.Handle, p.Generation, stamp(p.Created), stamp(p.Disabled), stamp(p.SignedIn))
		if err := one(res, err); errors.Is(err, ErrNoPerson) {
			return ErrLoginTaken
		} else if err != nil {
			return err
		}
		return insertCodes(ctx, tx, p.ID, codes)
	})
	if err != nil {
		return fmt.Errorf("making an account: %w", err)
	}
	return nil
}

// one says whether a statement changed one row.
func one(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n != 1 {
		err = ErrNoPerson
	}
	return err
}

// ChangePerson changes an account. change is told of all accounts, that one
// among them, as they are at that moment, and may refuse.
func (s *Store) ChangePerson(ctx context.Context, id string, change func(p *Person, all []Person) error) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		p, err := scanPerson(tx.QueryRowContext(ctx, `SELECT `+personColumns+` FROM person WHERE id = ?`, id))
		if err != nil {
			return missing(err)
		}
		all, err := people(ctx, tx)
		if err != nil {
			return err
		}
		if err := change(&p, all); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE person SET name = ?, member = ?, roles = ?, password = ?, generation = ?, disabled_ms = ?, signed_ms = ? WHERE id = ?`,
			p.Name, string(p.Member), strings.Join(p.Roles, " "), p.Password, p.Generation, stamp(p.Disabled), stamp(p.SignedIn), id)
		return err
	})
	if err != nil {
		return fmt.Errorf("changing an account: %w", err)
	}
	return nil
}

// DeletePerson forgets an account with everything that opens it. check is told
// of it and of all accounts, and may refuse.
func (s *Store) DeletePerson(ctx context.Context, id string, check func(p *Person, all []Person) error) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		p, err := scanPerson(tx.QueryRowContext(ctx, `SELECT `+personColumns+` FROM person WHERE id = ?`, id))
		if err != nil {
			return missing(err)
		}
		all, err := people(ctx, tx)
		if err != nil {
			return err
		}
		if err := check(&p, all); err != nil {
			return err
		}
		for _, q := range []string{
			`DELETE FROM web_session WHERE person = ?`,
			`DELETE FROM passkey WHERE person = ?`,
			`DELETE FROM recovery_code WHERE person = ?`,
			`DELETE FROM person WHERE id = ?`,
		} {
			if _, err := tx.ExecContext(ctx, q, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("deleting an account: %w", err)
	}
	return nil
}

func insertCodes(ctx context.Context, tx *txn, person string, codes [][32]byte) error {
	for _, code := range codes {
		if _, err := tx.ExecContext(ctx, `INSERT INTO recovery_code (hash, person) VALUES (?, ?)`, code[:], person); err != nil {
			return err
		}
	}
	return nil
}

// ReplaceCodes gives an account new recovery codes; the old ones are void.
func (s *Store) ReplaceCodes(ctx context.Context, person string, codes [][32]byte) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM recovery_code WHERE person = ?`, person); err != nil {
			return err
		}
		return insertCodes(ctx, tx, person, codes)
	})
	if err != nil {
		return fmt.Errorf("recovery codes: %w", err)
	}
	return nil
}

// UseCode uses a recovery code of an account up.
func (s *Store) UseCode(ctx context.Context, person string, code [32]byte) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		return one(tx.ExecContext(ctx, `DELETE FROM recovery_code WHERE hash = ? AND person = ?`, code[:], person))
	})
	if err != nil {
		return fmt.Errorf("recovery code: %w", err)
	}
	return nil
}

// CodesLeft is how many recovery codes an account has.
func (r reads) CodesLeft(ctx context.Context, person string) (n int, err error) {
	if err := r.q.QueryRowContext(ctx, `SELECT COUNT(*) FROM recovery_code WHERE person = ?`, person).Scan(&n); err != nil {
		return 0, fmt.Errorf("recovery codes: %w", classify(err))
	}
	return n, nil
}

// Passkey is one of an account's.
type Passkey struct {
	ID            []byte
	Person        string
	Name          string
	Credential    []byte
	Created, Used time.Time
}

// Passkeys are an account's, oldest first.
func (r reads) Passkeys(ctx context.Context, person string) ([]Passkey, error) {
	out, err := list(ctx, r.q, func(row scanner) (k Passkey, err error) {
		var created, used int64
		err = row.Scan(&k.ID, &k.Person, &k.Name, &k.Credential, &created, &used)
		k.Created, k.Used = unstamp(created), unstamp(used)
		return k, err
	}, `SELECT id, person, name, credential, created_ms, used_ms FROM passkey WHERE person = ? ORDER BY created_ms, id`, person)
	if err != nil {
		return nil, fmt.Errorf("passkeys: %w", classify(err))
	}
	return out, nil
}

// SavePasskey adds a passkey, or renews what is known of one.
func (s *Store) SavePasskey(ctx context.Context, k Passkey) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		return one(tx.ExecContext(ctx, `INSERT INTO passkey (id, person, name, credential, created_ms, used_ms) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET credential = excluded.credential, used_ms = excluded.used_ms WHERE passkey.person = excluded.person`,
			k.ID, k.Person, k.Name, k.Credential, stamp(k.Created), stamp(k.Used)))
	})
	if err != nil {
		return fmt.Errorf("passkey: %w", err)
	}
	return nil
}

// RemovePasskey forgets one of an account's passkeys.
func (s *Store) RemovePasskey(ctx context.Context, person string, id []byte) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		return one(tx.ExecContext(ctx, `DELETE FROM passkey WHERE id = ? AND person = ?`, id, person))
	})
	if err != nil {
		return fmt.Errorf("passkey: %w", err)
	}
	return nil
}
