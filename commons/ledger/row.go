// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/allmende-energy/allmende/commons/canon"
	"github.com/allmende-energy/allmende/commons/roll"
)

// MaxRowBytes bounds the body of one annex row.
const MaxRowBytes = 1 << 20

// ErrRow is wrapped by every refusal of an annex row.
var ErrRow = errors.New("not an annex row of this ledger's format")

// StoredRow is a row as the annex keeps it: with its place in the leaf and the
// salt that opens its commitment.
type StoredRow struct {
	Index int // position among the leaf's rows and commitments
	Row   Row
	Salt  [32]byte
}

// kindRank orders row kinds; unknown kinds come last and are refused elsewhere.
func kindRank(k RowKind) int {
	switch k {
	case RowMember:
		return 0
	case RowStorage:
		return 1
	case RowConnection:
		return 2
	}
	return 3
}

// CompareRow orders rows by kind, then key.
func CompareRow(a, b Row) int {
	return cmp.Or(cmp.Compare(kindRank(a.Kind), kindRank(b.Kind)), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
}

// SortRows brings rows into their order in a leaf.
func SortRows(rows []Row) { slices.SortFunc(rows, CompareRow) }

// NewMemberRow is the annex row of a member's interval; its subject is the member.
func NewMemberRow(m MemberRow) (Row, error) {
	return newRow(RowMember, memberKey(m), m.Member, m)
}

// NewStorageRow is the annex row of a battery's account. The owner is its
// subject; empty for a battery of the community.
func NewStorageRow(s StorageRow, owner roll.MemberID) (Row, error) {
	return newRow(RowStorage, string(s.Asset), owner, s)
}

// NewConnectionRow is the annex row of a one_meter connection's binding meter,
// which belongs to nobody alone.
func NewConnectionRow(c ConnectionRow) (Row, error) {
	return newRow(RowConnection, string(c.Connection), "", c)
}

func memberKey(m MemberRow) string { return string(m.Member) + "/" + string(m.Pool) }

func newRow(kind RowKind, key string, subject roll.MemberID, body any) (Row, error) {
	b, err := canon.Marshal(body)
	if err != nil {
		return Row{}, fmt.Errorf("%s row %q: %w", kind, key, err)
	}
	return Row{Kind: kind, Key: key, Subject: subject, Body: b}, nil
}

// Member is the body of a member row.
func (r Row) Member() (MemberRow, error) {
	m, err := body[MemberRow](r, RowMember)
	if err == nil && (r.Key != memberKey(m) || r.Subject != m.Member) {
		err = fmt.Errorf("%w: member row %q holds %q", ErrRow, r.Key, memberKey(m))
	}
	return m, err
}

// Storage is the body of a storage row.
func (r Row) Storage() (StorageRow, error) {
	s, err := body[StorageRow](r, RowStorage)
	if err == nil && r.Key != string(s.Asset) {
		err = fmt.Errorf("%w: storage row %q holds %q", ErrRow, r.Key, s.Asset)
	}
	return s, err
}

// Connection is the body of a connection row.
func (r Row) Connection() (ConnectionRow, error) {
	c, err := body[ConnectionRow](r, RowConnection)
	if err == nil && (r.Key != string(c.Connection) || r.Subject != "") {
		err = fmt.Errorf("%w: connection row %q holds %q", ErrRow, r.Key, c.Connection)
	}
	return c, err
}

// body decodes a row's body strictly: it must be the canonical form of itself.
func body[T any](r Row, want RowKind) (T, error) {
	var v T
	if r.Kind != want {
		return v, fmt.Errorf("%w: row %q is of kind %q, not %q", ErrRow, r.Key, r.Kind, want)
	}
	if len(r.Body) > MaxRowBytes {
		return v, fmt.Errorf("%w: %s row %q has %d bytes, more than %d", ErrRow, r.Kind, r.Key, len(r.Body), MaxRowBytes)
	}
	if err := decodeStrict(r.Body, &v); err != nil {
		return v, fmt.Errorf("%w: %s row %q: %w", ErrRow, r.Kind, r.Key, err)
	}
	again, err := canon.Marshal(v)
	if err != nil {
		return v, fmt.Errorf("%w: %s row %q: %w", ErrRow, r.Kind, r.Key, err)
	}
	if !bytes.Equal(again, r.Body) {
		return v, fmt.Errorf("%w: the body of %s row %q is not in canonical form", ErrRow, r.Kind, r.Key)
	}
	return v, nil
}

// SaltKey names one row of one settlement, so that no two rows of the ledger
// share a salt.
func SaltKey(s IntervalSettled, r Row) string {
	return fmt.Sprintf("allmende row salt v1\n%s\n%d\n%s\n%s", s.Interval, s.Revision, r.Kind, r.Key)
}

// Salt derives a row's salt from its subject's secret and [SaltKey] by
// HMAC-SHA256: the same inputs give the same ledger, byte by byte, and whoever
// forgets the secret and the rows can't be asked for them again.
func Salt(secret [32]byte, saltKey string) [32]byte {
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte(saltKey))
	var salt [32]byte
	mac.Sum(salt[:0])
	return salt
}

// Commit is what a leaf holds of a row: SHA-256 of a fixed prefix, the salt and
// the row's canonical JSON, in hexadecimal.
func Commit(salt [32]byte, r Row) (string, error) {
	b, err := canon.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("%w: %s row %q: %w", ErrRow, r.Kind, r.Key, err)
	}
	h := sha256.New()
	h.Write([]byte("allmende row v1\n"))
	h.Write(salt[:])
	h.Write(b)
	return hexOf(h.Sum(nil)), nil
}
