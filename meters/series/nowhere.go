// SPDX-License-Identifier: AGPL-3.0-or-later

package series

import (
	"context"
	"fmt"

	"github.com/allmende-energy/allmende/energy"
)

// Nowhere is the store of a community that keeps no time series.
type Nowhere struct{}

// Append implements [Store].
func (Nowhere) Append([]Record) {}

// Query implements [Store].
func (Nowhere) Query(context.Context, Series, Span, Resolution) ([]Bucket, error) {
	return nil, fmt.Errorf("%w: none are kept here; write series.store: embedded in allmende.yaml to keep them", ErrUnavailable)
}

// Finest implements [Store].
func (Nowhere) Finest(energy.Instant) Resolution { return Resolution(energy.Second) }

// Stats implements [Store].
func (Nowhere) Stats() Stats { return Stats{Store: "none"} }

// Close implements [Store].
func (Nowhere) Close(context.Context) error { return nil }
