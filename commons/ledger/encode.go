// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/allmende-energy/allmende/commons/canon"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// MaxLeafBytes bounds one leaf: room for some 50,000 commitments.
const MaxLeafBytes = 4 << 20

// maxReason bounds the free text of a reversal and of who decided.
const maxReason = 1000

// ErrLeaf is wrapped by every refusal of a leaf.
var ErrLeaf = errors.New("not a leaf of this ledger's format")

// EncodeLeaf is the leaf's one byte form: canonical JSON (RFC 8785). It refuses
// a leaf that [DecodeLeaf] would not give back unchanged.
func EncodeLeaf(l Leaf) ([]byte, error) {
	b, err := encodeLeaf(l)
	if err != nil {
		return nil, err
	}
	if _, err := DecodeLeaf(b); err != nil {
		return nil, fmt.Errorf("encoded leaf does not decode: %w", err)
	}
	return b, nil
}

// DecodeLeaf is the inverse of [EncodeLeaf]. It is strict: unknown fields,
// another order, another spelling of a number or anything after the leaf is
// refused, so that a leaf has exactly one byte form.
func DecodeLeaf(b []byte) (Leaf, error) {
	var l Leaf
	if len(b) > MaxLeafBytes {
		return Leaf{}, fmt.Errorf("%w: %d bytes are more than %d", ErrLeaf, len(b), MaxLeafBytes)
	}
	if err := decodeStrict(b, &l); err != nil {
		return Leaf{}, fmt.Errorf("%w: %w", ErrLeaf, err)
	}
	again, err := encodeLeaf(l)
	if err != nil {
		return Leaf{}, err
	}
	if !bytes.Equal(again, b) {
		return Leaf{}, fmt.Errorf("%w: the bytes are not the canonical form of what they say", ErrLeaf)
	}
	return l, nil
}

func encodeLeaf(l Leaf) ([]byte, error) {
	if err := l.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLeaf, err)
	}
	if l.Settled != nil {
		l.Settled = l.Settled.normalised()
	}
	b, err := canon.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLeaf, err)
	}
	if len(b) > MaxLeafBytes {
		return nil, fmt.Errorf("%w: %d bytes are more than %d", ErrLeaf, len(b), MaxLeafBytes)
	}
	return b, nil
}

// normalised is s with empty lists instead of nil ones, so that "none" has one spelling.
func (s IntervalSettled) normalised() *IntervalSettled {
	s.Pools = append([]PoolTotals{}, s.Pools...)
	for i := range s.Pools {
		s.Pools[i].Rounds = append([]Round{}, s.Pools[i].Rounds...)
	}
	s.Commitments = append([]string{}, s.Commitments...)
	return &s
}

// check looks at the leaf's form; whether it is true, [Verify] finds out.
func (l Leaf) check() error {
	set := 0
	for _, there := range []bool{l.Charter != nil, l.Settled != nil, l.Reversal != nil} {
		if there {
			set++
		}
	}
	switch {
	case l.Community == "":
		return errors.New("community is missing")
	case set != 1:
		return fmt.Errorf("%d bodies instead of one", set)
	case l.Kind == KindCharterActivated && l.Charter != nil:
		return l.Charter.check()
	case l.Kind == KindIntervalSettled && l.Settled != nil:
		return l.Settled.check()
	case l.Kind == KindReversal && l.Reversal != nil:
		return l.Reversal.check()
	}
	return fmt.Errorf("kind %q does not fit its body", l.Kind)
}

func (c *CharterActivated) check() error {
	if !isHash(c.Hash) {
		return fmt.Errorf("charter hash %.70q is not 64 hexadecimal digits", c.Hash)
	}
	if c.DecidedBy == "" || len(c.DecidedBy) > maxReason {
		return errors.New("decided_by is empty or too long")
	}
	return nil
}

func (s *IntervalSettled) check() error {
	if err := checkInterval(s.Interval); err != nil {
		return err
	}
	if s.Revision < 0 {
		return fmt.Errorf("revision %d is negative", s.Revision)
	}
	if !isHash(s.CharterHash) {
		return fmt.Errorf("charter hash %.70q is not 64 hexadecimal digits", s.CharterHash)
	}
	for i, c := range s.Commitments {
		if !isHash(c) {
			return fmt.Errorf("commitment %d is not 64 hexadecimal digits", i)
		}
	}
	seen := make(map[roll.PoolID]bool, len(s.Pools))
	for _, p := range s.Pools {
		if p.Pool == "" || seen[p.Pool] {
			return fmt.Errorf("pool %q is unnamed or stands twice", p.Pool)
		}
		seen[p.Pool] = true
		for _, r := range p.Rounds {
			if r.Source != FromSun && r.Source != FromStorage {
				return fmt.Errorf("pool %q: round %q has the unknown source %q", p.Pool, r.Round, r.Source)
			}
		}
	}
	return nil
}

func (r *Reversal) check() error {
	if r.Leaf < 0 {
		return fmt.Errorf("reversed leaf %d is negative", r.Leaf)
	}
	if r.Reason == "" || len(r.Reason) > maxReason {
		return errors.New("the reason of a reversal is empty or too long")
	}
	return checkInterval(r.Interval)
}

// checkInterval refuses what energy.IntervalAt would not have made.
func checkInterval(i energy.Interval) error {
	if i.Length <= 0 || energy.Day%i.Length != 0 {
		return fmt.Errorf("interval length %s does not divide a day", i.Length)
	}
	if energy.IntervalAt(i.Start, i.Length) != i {
		return fmt.Errorf("interval %s is not aligned to its length", i)
	}
	return nil
}

// isHash says whether s is a SHA-256 in lower-case hexadecimal.
func isHash(s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// decodeStrict reads exactly one JSON value without unknown fields.
func decodeStrict(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	return nil
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
