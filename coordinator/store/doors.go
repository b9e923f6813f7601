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

// WebSession is a browser that is signed in.
type WebSession struct {
	Hash          string
	Person        string
	Data          []byte
	Used, Expires time.Time
}

// WebSession looks a session up by its token's hash; ok is false where there is none.
func (r reads) WebSession(ctx context.Context, hash string) (w WebSession, ok bool, err error) {
	var used, expires int64
	err = r.q.QueryRowContext(ctx, `SELECT hash, person, data, used_ms, expires_ms FROM web_session WHERE hash = ?`, hash).
		Scan(&w.Hash, &w.Person, &w.Data, &used, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return WebSession{}, false, nil
	}
	if err != nil {
		return WebSession{}, false, fmt.Errorf("session: %w", classify(err))
	}
	w.Used, w.Expires = unstamp(used), unstamp(expires)
	return w, true, nil
}

// SaveWebSession keeps a session.
func (s *Store) SaveWebSession(ctx context.Context, w WebSession) error {
	return s.door(ctx, "session", `INSERT INTO web_session (hash, person, data, used_ms, expires_ms) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (hash) DO UPDATE SET data = excluded.data, used_ms = excluded.used_ms, expires_ms = excluded.expires_ms`,
		w.Hash, w.Person, w.Data, stamp(w.Used), stamp(w.Expires))
}

// TouchWebSession notes that a session is in use.
func (s *Store) TouchWebSession(ctx context.Context, hash string, now time.Time) error {
	return s.door(ctx, "session", `UPDATE web_session SET used_ms = ? WHERE hash = ?`, stamp(now), hash)
}

// EndWebSession ends a session.
func (s *Store) EndWebSession(ctx context.Context, hash string) error {
	return s.door(ctx, "session", `DELETE FROM web_session WHERE hash = ?`, hash)
}

// EndWebSessions ends all of an account's sessions but one, which may be empty.
func (s *Store) EndWebSessions(ctx context.Context, person, but string) error {
	return s.door(ctx, "sessions", `DELETE FROM web_session WHERE person = ? AND hash <> ?`, person, but)
}

// door runs one statement.
func (s *Store) door(ctx context.Context, what, query string, args ...any) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Invitation is a link by which somebody gets an account.
type Invitation struct {
	ID               string
	Hash             [32]byte // of the link's secret
	Setup            bool     // the first account's, or one by which the operator gets in again
	Note             string   // for whom
	Roles            []string
	Member           roll.MemberID
	By               string
	Created, Expires time.Time
}

const invitationColumns = `id, hash, setup, note, roles, member, by_whom, created_ms, expires_ms`

func scanInvitation(row scanner) (i Invitation, err error) {
	var hash []byte
	var roles string
	var setup, created, expires int64
	err = row.Scan(&i.ID, &hash, &setup, &i.Note, &roles, &i.Member, &i.By, &created, &expires)
	copy(i.Hash[:], hash)
	i.Setup, i.Roles, i.Created, i.Expires = setup != 0, strings.Fields(roles), unstamp(created), unstamp(expires)
	return i, err
}

// AddInvitation keeps an invitation. A setup link takes the place of an older one.
func (s *Store) AddInvitation(ctx context.Context, i Invitation) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		setup := 0
		if i.Setup {
			setup = 1
			if _, err := tx.ExecContext(ctx, `DELETE FROM invitation WHERE setup = 1`); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO invitation (`+invitationColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			i.ID, i.Hash[:], setup, i.Note, strings.Join(i.Roles, " "), string(i.Member), i.By, stamp(i.Created), stamp(i.Expires))
		return err
	})
	if err != nil {
		return fmt.Errorf("invitation: %w", err)
	}
	return nil
}

// InvitationByHash looks an invitation up that is still good.
func (r reads) InvitationByHash(ctx context.Context, hash [32]byte, now time.Time) (Invitation, error) {
	i, err := scanInvitation(r.q.QueryRowContext(ctx, `SELECT `+invitationColumns+` FROM invitation WHERE hash = ? AND expires_ms > ?`, hash[:], now.UnixMilli()))
	if err != nil {
		return Invitation{}, fmt.Errorf("invitation: %w", classify(missing(err)))
	}
	return i, nil
}

// Invitations are those that nobody used yet, newest first.
func (r reads) Invitations(ctx context.Context) ([]Invitation, error) {
	out, err := list(ctx, r.q, scanInvitation, `SELECT `+invitationColumns+` FROM invitation ORDER BY created_ms DESC, id`)
	if err != nil {
		return nil, fmt.Errorf("invitations: %w", classify(err))
	}
	return out, nil
}

// RemoveInvitation takes an invitation back.
func (s *Store) RemoveInvitation(ctx context.Context, id string) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		return one(tx.ExecContext(ctx, `DELETE FROM invitation WHERE id = ?`, id))
	})
	if err != nil {
		return fmt.Errorf("invitation: %w", err)
	}
	return nil
}

// AccessToken is an integration's.
type AccessToken struct {
	ID      string
	Hash    [32]byte
	Name    string
	Scopes  []string
	By      string
	Created time.Time
	Expires time.Time
	Used    time.Time // zero: never
	Revoked time.Time // zero: it is good until it expires
}

const tokenColumns = //nolint:gosec // the names of columns
`id, hash, name, scopes, by_whom, created_ms, expires_ms, used_ms, revoked_ms`

func scanToken(row scanner) (t AccessToken, err error) {
	var hash []byte
	var scopes string
	var created, expires, used, revoked int64
	err = row.Scan(&t.ID, &hash, &t.Name, &scopes, &t.By, &created, &expires, &used, &revoked)
	copy(t.Hash[:], hash)
	t.Scopes, t.Created, t.Expires, t.Used, t.Revoked = strings.Fields(scopes), unstamp(created), unstamp(expires), unstamp(used), unstamp(revoked)
	return t, err
}

// AddAccessToken keeps a token.
func (s *Store) AddAccessToken(ctx context.Context, t AccessToken) error {
	return s.door(ctx, "access token", `INSERT INTO access_token (`+tokenColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		t.ID, t.Hash[:], t.Name, strings.Join(t.Scopes, " "), t.By, stamp(t.Created), stamp(t.Expires), stamp(t.Used), stamp(t.Revoked))
}

// AccessTokenByHash looks a token up, whether or not it is still good.
func (r reads) AccessTokenByHash(ctx context.Context, hash [32]byte) (AccessToken, error) {
	t, err := scanToken(r.q.QueryRowContext(ctx, `SELECT `+tokenColumns+` FROM access_token WHERE hash = ?`, hash[:]))
	if err != nil {
		return AccessToken{}, fmt.Errorf("access token: %w", classify(missing(err)))
	}
	return t, nil
}

// AccessTokens are all that were made, newest first.
func (r reads) AccessTokens(ctx context.Context) ([]AccessToken, error) {
	out, err := list(ctx, r.q, scanToken, `SELECT `+tokenColumns+` FROM access_token ORDER BY created_ms DESC, id`)
	if err != nil {
		return nil, fmt.Errorf("access tokens: %w", classify(err))
	}
	return out, nil
}

// TouchAccessToken notes that a token is in use.
func (s *Store) TouchAccessToken(ctx context.Context, id string, now time.Time) error {
	return s.door(ctx, "access token", `UPDATE access_token SET used_ms = ? WHERE id = ?`, stamp(now), id)
}

// RevokeAccessToken ends a token for good.
func (s *Store) RevokeAccessToken(ctx context.Context, id string, now time.Time) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		return one(tx.ExecContext(ctx, `UPDATE access_token SET revoked_ms = ? WHERE id = ? AND revoked_ms = 0`, stamp(now), id))
	})
	if err != nil {
		return fmt.Errorf("access token: %w", err)
	}
	return nil
}

// SweepDoors forgets sessions and invitations that are over, and tokens that
// have been for keepTokens.
func (s *Store) SweepDoors(ctx context.Context, now time.Time, idle, keepTokens time.Duration) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		for _, q := range []struct {
			query string
			args  []any
		}{
			{`DELETE FROM web_session WHERE expires_ms <= ? OR used_ms <= ?`, []any{stamp(now), stamp(now.Add(-idle))}},
			{`DELETE FROM invitation WHERE expires_ms <= ?`, []any{stamp(now)}},
			{`DELETE FROM access_token WHERE expires_ms <= ?`, []any{stamp(now.Add(-keepTokens))}},
		} {
			if _, err := tx.ExecContext(ctx, q.query, q.args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forgetting what is over: %w", err)
	}
	return nil
}
