// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/allmende-energy/allmende/commons/canon"
)

// Canonical is the charter's one spelling: its JSON in the form of RFC 8785.
// However the YAML was laid out, equal rules have equal bytes. A charter that
// [Charter.Validate] refuses has no canonical form.
func (c Charter) Canonical() ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return canon.Marshal(c)
}

// Hash names the charter: the SHA-256 of its canonical bytes, in hex.
func (c Charter) Hash() (string, error) {
	b, err := c.Canonical()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// DecodeCanonical reads what [Charter.Canonical] wrote, and nothing else: bytes
// in any other spelling, with a field too many or with a value that Validate
// refuses are an error, so that bytes and charter stand for each other.
func DecodeCanonical(b []byte) (Charter, error) {
	if err := canon.Check(b); err != nil {
		return Charter{}, fmt.Errorf("canonical charter: %w", err)
	}
	var c Charter
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return Charter{}, fmt.Errorf("canonical charter: %w", err)
	}
	again, err := c.Canonical()
	if err != nil {
		return Charter{}, fmt.Errorf("canonical charter: %w", err)
	}
	if !bytes.Equal(b, again) {
		return Charter{}, fmt.Errorf("canonical charter: %w: a value is spelled in another way than this program writes it", canon.ErrNotCanonical)
	}
	return c, nil
}
