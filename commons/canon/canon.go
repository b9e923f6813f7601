// SPDX-License-Identifier: AGPL-3.0-or-later

// Package canon writes JSON in the one form that everybody's program writes it
// in (RFC 8785, the JSON Canonicalization Scheme), so that equal values have
// equal bytes and therefore equal hashes.
//
// It is narrower than the RFC on purpose: numbers are integers that every JSON
// reader keeps exactly, because a ledger that goes through a double in one
// language and through an integer in the next is two ledgers. Quantities travel
// as decimal strings instead.
package canon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// MaxInteger is the largest magnitude of a number: beyond 2^53 − 1 a reader that
// uses doubles, as JavaScript does, would confuse neighbours (RFC 7493, 2.2).
const MaxInteger = 1<<53 - 1

// MaxDepth is how deep arrays and objects may nest.
const MaxDepth = 100

// ErrNumber is wrapped by every refusal of a number.
var ErrNumber = errors.New("not an integer that every JSON reader keeps")

// ErrNotCanonical is wrapped when bytes are JSON, but not in their canonical form.
var ErrNotCanonical = errors.New("JSON is not in canonical form (RFC 8785)")

// SyntaxError says where bytes stop being acceptable JSON.
type SyntaxError struct {
	Offset int   // bytes from the start
	Err    error // what is wrong there
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("JSON at byte %d: %v", e.Offset, e.Err) }

// Unwrap gives what is wrong, such as [ErrNumber].
func (e *SyntaxError) Unwrap() error { return e.Err }

// Marshal is the canonical JSON of v, as encoding/json sees v: object members
// sorted by the UTF-16 code units of their names, no white space, the shortest
// escapes. It refuses fractions, exponents, integers beyond [MaxInteger], text
// that is not UTF-8, duplicate names and nesting beyond [MaxDepth]. A
// json.RawMessage is brought into canonical form like everything else.
func Marshal(v any) ([]byte, error) {
	var plain bytes.Buffer
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("canonical JSON of %T: %w", v, err)
	}
	out, err := transform(plain.Bytes())
	if err != nil {
		return nil, fmt.Errorf("canonical JSON of %T: %w", v, err)
	}
	return out, nil
}

// Check says whether b is canonical, byte by byte. Its errors wrap
// [ErrNotCanonical], or are a [*SyntaxError] where b is no acceptable JSON.
func Check(b []byte) error {
	want, err := transform(b)
	if err != nil {
		return err
	}
	if bytes.Equal(b, want) {
		return nil
	}
	at := 0
	for at < len(b) && at < len(want) && b[at] == want[at] {
		at++
	}
	return fmt.Errorf("%w: it differs from byte %d on", ErrNotCanonical, at)
}

// transform reads any acceptable JSON text and writes it canonically.
func transform(text []byte) ([]byte, error) {
	p := parser{text: text}
	root, err := p.document()
	if err != nil {
		return nil, &SyntaxError{Offset: p.at, Err: err}
	}
	return root.append(make([]byte, 0, len(text))), nil
}
