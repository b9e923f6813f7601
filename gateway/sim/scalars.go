// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"

	"github.com/allmende-energy/allmende/energy"
)

// Scalars of the site file that are read from their text, so that no quantity
// passes through a float.
type (
	kwh     energy.Energy
	watts   energy.Power
	percent int64 // ten-thousandths of a percent, which are millionths
	span    energy.Span
	instant energy.Instant
)

// UnmarshalYAML reads kilowatt-hours.
func (k *kwh) UnmarshalYAML(n ast.Node) error {
	return scan(n, "kilowatt-hours, such as 9.6", func(text string) error {
		e, err := energy.ParseKWh(text)
		*k = kwh(e)
		return err
	})
}

// UnmarshalYAML reads watts.
func (w *watts) UnmarshalYAML(n ast.Node) error {
	return scan(n, "watts, such as 5000", func(text string) error {
		p, err := energy.ParseWatts(text)
		*w = watts(p)
		return err
	})
}

// UnmarshalYAML reads a percentage with at most four decimals.
func (p *percent) UnmarshalYAML(n ast.Node) error {
	return scan(n, "a percentage with at most four decimals, such as 95", func(text string) error {
		v, err := energy.ParseKWh(text) // six decimals
		if err == nil && v%100 != 0 {
			err = energy.ErrDecimal
		}
		*p = percent(v / 100)
		return err
	})
}

// UnmarshalYAML reads a duration.
func (s *span) UnmarshalYAML(n ast.Node) error {
	return scan(n, "a duration, such as 1s or 1m", func(text string) error {
		return (*energy.Span)(s).UnmarshalText([]byte(text))
	})
}

// UnmarshalYAML reads an instant.
func (i *instant) UnmarshalYAML(n ast.Node) error {
	return scan(n, "a time, such as 2026-06-01T00:00:00Z", func(text string) error {
		return (*energy.Instant)(i).UnmarshalText([]byte(text))
	})
}

// scan hands the text of a scalar to parse and says what was wanted where it
// does not fit.
func scan(n ast.Node, wanted string, parse func(string) error) error {
	text, ok := "", true
	switch t := n.(type) {
	case *ast.StringNode:
		text = t.Value
	case *ast.IntegerNode:
		text = t.Token.Value
	case *ast.FloatNode:
		text = t.Token.Value
	default:
		ok = false
	}
	line := 0
	if n.GetToken() != nil {
		line = n.GetToken().Position.Line
	}
	if !ok || parse(text) != nil {
		return &lineError{line, fmt.Sprintf("%.40q is not %s", text, wanted)}
	}
	return nil
}
