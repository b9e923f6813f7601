// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
)

// ErrCrowded: a gateway was given as many certificates as it may have in a day.
var ErrCrowded = errors.New("this gateway was given too many certificates in one day")

// maxCertificatesADay bounds what a gateway that renews in a circle can fill
// the database with; it needs one in weeks.
const maxCertificatesADay = 50

// How a certificate came to be.
const (
	OriginEnrolled = "enrolled" // by a token
	OriginRenewed  = "renewed"  // by the certificate before it
	OriginUnknown  = "unknown"  // signed after the backup that the database was restored from
)

// Certificate is one that was given to a gateway. All times are wall time; a
// zero one means never.
type Certificate struct {
	Gateway  roll.GatewayID
	Serial   string // hex
	Origin   string
	KeyHash  [32]byte // SHA-256 of the public key's SubjectPublicKeyInfo
	DER      []byte
	Issued   time.Time
	NotAfter time.Time
	LastSeen time.Time // when it last opened a stream
	Revoked  time.Time
	Reason   string // why it was revoked
}

// Revocation ends what was signed for a gateway up to an instant.
type Revocation struct {
	Before time.Time
	Reason string
}

// CreateToken stores the hash of an enrolment token's secret.
func (s *Store) CreateToken(ctx context.Context, gateway roll.GatewayID, hash [32]byte, expires time.Time) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO enrolment_token (hash, gateway, expires_ms) VALUES (?, ?, ?)`,
			hash[:], string(gateway), expires.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("enrolment token of gateway %q: %w", gateway, err)
	}
	return nil
}

// UseToken takes a token for a public key, once, and says whose it is. The same
// key may take it again until it expires: the answer may have been lost. The
// errors wrap [ErrToken].
func (s *Store) UseToken(ctx context.Context, hash, key [32]byte, now time.Time) (roll.GatewayID, error) {
	var gateway string
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		res, err := tx.ExecContext(ctx, `UPDATE enrolment_token SET used_ms = ?, used_key = ?
			WHERE hash = ? AND (used_ms IS NULL OR used_key = ?) AND expires_ms > ?`,
			now.UnixMilli(), key[:], hash[:], key[:], now.UnixMilli())
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(ErrToken, err)
		}
		return tx.QueryRowContext(ctx, `SELECT gateway FROM enrolment_token WHERE hash = ?`, hash[:]).Scan(&gateway)
	})
	if err != nil {
		return "", fmt.Errorf("using an enrolment token: %w", err)
	}
	return roll.GatewayID(gateway), nil
}

// SaveCertificate remembers that a gateway was given a certificate, and forgets
// those of it that ended before an instant. It refuses with [ErrCrowded].
func (s *Store) SaveCertificate(ctx context.Context, c Certificate, forget time.Time) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		var today int
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM gateway_certificate WHERE gateway = ? AND issued_ms > ?`,
			string(c.Gateway), c.Issued.Add(-24*time.Hour).UnixMilli()).Scan(&today); err != nil {
			return err
		}
		if today >= maxCertificatesADay {
			return ErrCrowded
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM gateway_certificate WHERE gateway = ? AND not_after_ms < ?`,
			string(c.Gateway), forget.UnixMilli()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO gateway_certificate
			(gateway, serial, not_after_ms, issued_ms, origin, key_hash, body) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			string(c.Gateway), c.Serial, c.NotAfter.UnixMilli(), c.Issued.UnixMilli(), c.Origin, c.KeyHash[:], c.DER)
		return err
	})
	if err != nil {
		return fmt.Errorf("certificate of gateway %q: %w", c.Gateway, err)
	}
	return nil
}

// CertificateSeen notes that a gateway opened a stream with a certificate. One
// that the database does not know is remembered: it was signed after the backup
// that this database was restored from.
func (s *Store) CertificateSeen(ctx context.Context, c Certificate, at time.Time) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO gateway_certificate
			(gateway, serial, not_after_ms, issued_ms, origin, key_hash, body, last_seen_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (gateway, serial) DO UPDATE SET last_seen_ms = excluded.last_seen_ms`,
			string(c.Gateway), c.Serial, c.NotAfter.UnixMilli(), c.Issued.UnixMilli(), c.Origin, c.KeyHash[:], c.DER, at.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("certificate of gateway %q: %w", c.Gateway, err)
	}
	return nil
}

// RevokeCertificate revokes one certificate of a gateway. known says that there
// is one; one that was revoked before stays as it is.
func (s *Store) RevokeCertificate(ctx context.Context, gateway roll.GatewayID, serial, reason string, at time.Time) (known bool, err error) {
	err = s.write(ctx, func(ctx context.Context, tx *txn) error {
		res, err := tx.ExecContext(ctx, `UPDATE gateway_certificate
			SET reason = CASE WHEN revoked_ms IS NULL THEN ? ELSE reason END, revoked_ms = COALESCE(revoked_ms, ?)
			WHERE gateway = ? AND serial = ?`, reason, at.UnixMilli(), string(gateway), serial)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		known = n > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("revoking a certificate of gateway %q: %w", gateway, err)
	}
	return known, nil
}

// RevokeGateway revokes all that was signed for a gateway until now, and its
// enrolment tokens.
func (s *Store) RevokeGateway(ctx context.Context, gateway roll.GatewayID, reason string, at time.Time) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO gateway_revocation (gateway, before_ms, reason) VALUES (?, ?, ?)
			ON CONFLICT (gateway) DO UPDATE SET before_ms = excluded.before_ms, reason = excluded.reason`,
			string(gateway), at.UnixMilli(), reason); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE gateway_certificate SET revoked_ms = ?, reason = ?
			WHERE gateway = ? AND revoked_ms IS NULL`, at.UnixMilli(), reason, string(gateway)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE enrolment_token SET expires_ms = ? WHERE gateway = ? AND expires_ms > ?`,
			at.UnixMilli(), string(gateway), at.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("revoking gateway %q: %w", gateway, err)
	}
	return nil
}

// Revocations are the gateways of which everything up to an instant is revoked.
func (r reads) Revocations(ctx context.Context) (map[roll.GatewayID]Revocation, error) {
	type row struct {
		gateway string
		Revocation
	}
	found, err := collect(ctx, r.q, func(rows *sql.Rows, r *row) error {
		var before int64
		err := rows.Scan(&r.gateway, &before, &r.Reason)
		r.Before = time.UnixMilli(before)
		return err
	}, `SELECT gateway, before_ms, reason FROM gateway_revocation`)
	if err != nil {
		return nil, fmt.Errorf("revocations: %w", err)
	}
	out := make(map[roll.GatewayID]Revocation, len(found))
	for _, r := range found {
		out[roll.GatewayID(r.gateway)] = r.Revocation
	}
	return out, nil
}

// MaxCertificates bounds one answer of [reads.Certificates].
const MaxCertificates = 10_000

// Certificates are those of a gateway, or of all where it is empty: by gateway,
// the newest first, at most [MaxCertificates].
func (r reads) Certificates(ctx context.Context, gateway roll.GatewayID) ([]Certificate, error) {
	return r.certificates(ctx, `WHERE gateway = ? OR ? = ''`, string(gateway), string(gateway))
}

// RevokedCertificates are all that were revoked and not yet forgotten.
func (r reads) RevokedCertificates(ctx context.Context) ([]Certificate, error) {
	return r.certificates(ctx, `WHERE revoked_ms IS NOT NULL`)
}

// CertificateOfKey is the newest certificate of a gateway that names a key.
func (r reads) CertificateOfKey(ctx context.Context, gateway roll.GatewayID, key [32]byte) (Certificate, bool, error) {
	found, err := r.certificates(ctx, `WHERE gateway = ? AND key_hash = ?`, string(gateway), key[:])
	if err != nil || len(found) == 0 {
		return Certificate{}, false, err
	}
	return found[0], true, nil
}

func (r reads) certificates(ctx context.Context, where string, args ...any) ([]Certificate, error) {
	out, err := collect(ctx, r.q, scanCertificate,
		`SELECT gateway, serial, origin, key_hash, body, issued_ms, not_after_ms, last_seen_ms, revoked_ms, reason
		FROM gateway_certificate `+where+` ORDER BY gateway, issued_ms DESC, serial LIMIT ?`, append(args, MaxCertificates)...)
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	return out, nil
}

func scanCertificate(rows *sql.Rows, c *Certificate) error {
	var gateway string
	var key []byte
	var issued, notAfter int64
	var seen, revoked sql.NullInt64
	err := rows.Scan(&gateway, &c.Serial, &c.Origin, &key, &c.DER, &issued, &notAfter, &seen, &revoked, &c.Reason)
	c.Gateway, c.Issued, c.NotAfter = roll.GatewayID(gateway), time.UnixMilli(issued), time.UnixMilli(notAfter)
	copy(c.KeyHash[:], key)
	c.LastSeen, c.Revoked = instantOrNever(seen), instantOrNever(revoked)
	return err
}

func instantOrNever(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return time.UnixMilli(ms.Int64)
}
