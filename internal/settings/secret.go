// SPDX-License-Identifier: AGPL-3.0-or-later

package settings

import (
	"fmt"
	"log/slog"
)

// masked stands where a secret is not shown.
const masked = "(secret)"

// Secret is a text that must not be shown. However it is printed, logged or
// encoded, it masks itself; [Secret.Reveal] alone gives it away.
type Secret struct {
	text  string
	shown string // what may be seen of it
}

// NewSecret hides a text.
func NewSecret(text string) Secret { return Secret{text: text} }

// Masked hides a text behind another, which may be seen.
func Masked(text, shown string) Secret { return Secret{text, shown} }

// Reveal is the secret itself, for whoever it is meant for.
func (s Secret) Reveal() string { return s.text }

// IsZero says that there is none.
func (s Secret) IsZero() bool { return s.text == "" }

// String is what may be seen.
func (s Secret) String() string {
	switch {
	case s.text == "":
		return ""
	case s.shown != "":
		return s.shown
	}
	return masked
}

// GoString is for %#v.
func (s Secret) GoString() string { return s.String() }

// Format is for every other verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// LogValue is for logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is for JSON and its like.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
