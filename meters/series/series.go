// SPDX-License-Identifier: AGPL-3.0-or-later

package series

import (
	"context"
	"errors"
	"fmt"

	"github.com/allmende-energy/allmende/energy"
)

// SubjectKind is what sort of thing was measured.
type SubjectKind string

// Kinds of subject.
const (
	Community SubjectKind = "community"
	Member    SubjectKind = "member"
	Asset     SubjectKind = "asset"
)

// Subject is what was measured. The community has its own id as Name.
type Subject struct {
	Kind SubjectKind
	Name string // a slug, see package roll
}

// Quantity is what was measured of a subject. The unit stands last.
type Quantity string

// Quantities of assets.
const (
	Power  Quantity = "power_mw"     // meter: import positive; inverter: production positive; battery: discharge positive
	Charge Quantity = "soc_permille" // a battery's state of charge
)

// Quantities of members and of the community. None is negative.
const (
	Production  Quantity = "production_mw"
	Consumption Quantity = "consumption_mw"
	Import      Quantity = "import_mw" // from the grid
	Export      Quantity = "export_mw" // into the grid
	Share       Quantity = "share_mw"  // from the commons: sun and storage
)

// Quantities of the community alone. None is negative.
const (
	OwnUse         Quantity = "own_use_mw"
	FromStorage    Quantity = "from_storage_mw"
	BatteryCharge  Quantity = "battery_charge_mw"
	BatteryRelease Quantity = "battery_discharge_mw"
)

// Quantities are all there are of a kind of subject, in the order in which they are shown.
func (k SubjectKind) Quantities() []Quantity {
	switch k {
	case Asset:
		return []Quantity{Power, Charge}
	case Member:
		return []Quantity{Production, Consumption, Import, Export, Share}
	case Community:
		return []Quantity{Production, OwnUse, Share, FromStorage, Consumption, BatteryCharge, BatteryRelease, Import, Export}
	}
	return nil
}

// IsPower says whether a quantity's values are milliwatts, so that energy means something.
func (q Quantity) IsPower() bool { return q != Charge }

// Series is one curve.
type Series struct {
	Subject
	Quantity Quantity
}

// String names the series for people and logs.
func (s Series) String() string {
	return fmt.Sprintf("%s %s %s", s.Kind, s.Name, s.Quantity)
}

// Value is one quantity's value.
type Value struct {
	Quantity Quantity
	Value    int64
}

// Record is what was measured of a subject at an instant.
type Record struct {
	Subject
	At      energy.Instant
	Quality energy.Quality
	Values  []Value
}

const (
	// MaxValue bounds a value's magnitude: some 68 megawatts. With it the sums
	// of a day of points that stand ten a second fit into 63 bits.
	MaxValue = 1 << 36
	// MaxGap is the longest time that a point stands for. Points further apart
	// leave a gap between them.
	MaxGap = 2 * energy.Minute
)

// Store keeps records and answers queries, as the package comment says.
type Store interface {
	// Append takes records in. It never waits: what cannot be taken is dropped
	// and counted in Stats. It keeps no reference to the records.
	Append(records []Record)
	// Query answers with the buckets of a series that have points, in order.
	Query(ctx context.Context, s Series, span Span, r Resolution) ([]Bucket, error)
	// Finest is the finest resolution in which everything from an instant on is answered.
	Finest(from energy.Instant) Resolution
	// Stats says how the store does.
	Stats() Stats
	// Close writes what is still to be written, for as long as ctx lasts, and ends the store.
	Close(ctx context.Context) error
}

// Span is a half-open span of time.
type Span struct{ From, To energy.Instant }

// Resolution is the length of a bucket.
type Resolution energy.Span

// Day is the coarsest resolution.
const Day = Resolution(energy.Day)

// Check says whether r is a resolution: whole seconds that divide a day.
func (r Resolution) Check() error {
	if s := energy.Span(r); s < energy.Second || s%energy.Second != 0 || energy.Day%s != 0 {
		return fmt.Errorf("%w: %s: write a whole number of seconds that divides a day, such as 1s, 10s, 1m, 15m, 1h or 24h", ErrResolution, s)
	}
	return nil
}

// String prints r as Go prints durations.
func (r Resolution) String() string { return energy.Span(r).String() }

// Floor is the start of the bucket that holds t.
func (r Resolution) Floor(t energy.Instant) energy.Instant {
	return energy.IntervalAt(t, energy.Span(r)).Start
}

// Widen is the span of the whole buckets that s touches.
func (r Resolution) Widen(s Span) Span {
	if s.To <= s.From {
		return Span{s.From, s.From}
	}
	return Span{r.Floor(s.From), r.Floor(s.To - 1).Add(energy.Span(r))}
}

// Buckets is how many buckets s touches.
func (r Resolution) Buckets(s Span) int64 {
	w := r.Widen(s)
	return int64(w.To.Sub(w.From)) / int64(r)
}

// Refusals.
var (
	// ErrResolution: that is no resolution.
	ErrResolution = errors.New("resolution")
	// ErrTooFine: the store no longer has it so fine; see [TooFineError].
	ErrTooFine = errors.New("no longer kept so finely")
	// ErrUnavailable: the store cannot answer now.
	ErrUnavailable = errors.New("the time series cannot be read now")
)

// TooFineError says what can be answered instead.
type TooFineError struct {
	Finest Resolution     // in which all of the span can be answered
	Since  energy.Instant // from here on the resolution asked for can be
}

// Error says what to do.
func (e *TooFineError) Error() string {
	return fmt.Sprintf("%v: before %s only values of %s and coarser are there: ask for those, or for a later time", ErrTooFine, e.Since, e.Finest)
}

// Unwrap is ErrTooFine.
func (e *TooFineError) Unwrap() error { return ErrTooFine }
