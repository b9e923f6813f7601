// SPDX-License-Identifier: AGPL-3.0-or-later

package influx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/series"
)

// maxRows bounds what a query reads from the server.
const maxRows = 5_000_000

// Query implements [series.Store]. The server filters, and the sums are done
// here, by the same code as everywhere: windows of Flux cost it more than
// sending the rows.
func (s *Store) Query(ctx context.Context, of series.Series, span series.Span, r series.Resolution) ([]series.Bucket, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	into := series.NewCollector(series.Span{From: max(span.From, 0), To: min(span.To, latest)}, r)
	if into.Span().From == into.Span().To {
		return nil, nil
	}
	for i, t := range slices.Backward(tiersOf()) {
		if int64(r)%int64(t.length) == 0 {
			return s.sums(ctx, of, i, into)
		}
	}
	return s.raw(ctx, of, into)
}

func tiersOf() []tier { t := tiers(); return t[:] }

// row is one point in time with the fields that a query asked for, in its order.
type row struct {
	at     energy.Instant
	fields [maxFields]int64
	has    uint // a bit for each field
}

const maxFields = 7

func (x *row) whole(fields int) bool { return x.has == 1<<fields-1 }

// raw adds up points.
func (s *Store) raw(ctx context.Context, of series.Series, into *series.Collector) ([]series.Bucket, error) {
	span := into.Span()
	// The first point's predecessor says what it stands for.
	rows, err := s.rows(ctx, of, "", series.Span{From: span.From.Add(-series.MaxGap), To: span.To}, string(of.Quantity), "quality")
	if err != nil {
		return nil, err
	}
	var last energy.Instant
	known := false
	for _, x := range rows {
		if x.has&1 == 0 { // a record without this quantity
			continue
		}
		into.Add(x.at, x.fields[0], quality(x.fields[1]), series.SpanOf(last, known, x.at))
		last, known = x.at, true
	}
	return into.Buckets(), nil
}

// sums adds up sums, those that are in memory instead of what the server may
// have of the same.
func (s *Store) sums(ctx context.Context, of series.Series, i int, into *series.Collector) ([]series.Bucket, error) {
	first, present := s.present(of, i)
	fields := []string{"count", "sum", "min", "max", "work", "covered_ms", "quality"}
	rows, err := s.rows(ctx, of, tiersOf()[i].suffix, into.Span(), fields...)
	if err != nil {
		return nil, err
	}
	for _, x := range rows {
		if !x.whole(len(fields)) || present.Count > 0 && x.at >= first {
			continue
		}
		f := x.fields
		into.Merge(series.Bucket{
			Start: x.at, Count: f[0], Sum: f[1], Min: f[2], Max: f[3], Work: f[4], Covered: energy.Span(f[5]), Quality: quality(f[6]),
		})
	}
	into.Merge(present)
	return into.Buckets(), nil
}

// present is the sum that is in memory of a series, and the time of its first point.
func (s *Store) present(of series.Series, i int) (energy.Instant, series.Bucket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub := s.subjects[of.Subject]; sub != nil {
		for _, c := range sub.curves {
			if c.quantity == of.Quantity {
				return c.parts[i].first, c.parts[i].sum
			}
		}
	}
	return 0, series.Bucket{}
}

func quality(v int64) energy.Quality {
	return energy.Quality(max(min(v, int64(energy.NotImplemented)), 0))
}

// flux is the query for fields of a series in a span.
func (s *Store) flux(of series.Series, suffix string, span series.Span, fields ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "from(bucket: %s)\n", quote(s.options.Bucket))
	fmt.Fprintf(&b, "  |> range(start: %s, stop: %s)\n", instant(span.From), instant(span.To))
	fmt.Fprintf(&b, "  |> filter(fn: (r) => r._measurement == %s and r.community == %s", quote(string(of.Kind)+suffix), quote(s.options.Community))
	if of.Kind != series.Community {
		fmt.Fprintf(&b, " and r[%s] == %s", quote(string(of.Kind)), quote(of.Name))
	}
	if suffix != "" {
		fmt.Fprintf(&b, " and r.quantity == %s", quote(string(of.Quantity)))
	}
	for i, f := range fields {
		b.WriteString([]string{" and (", " or "}[min(i, 1)])
		fmt.Fprintf(&b, "r._field == %s", quote(f))
	}
	b.WriteString("))\n  |> keep(columns: [\"_time\", \"_field\", \"_value\"])\n")
	return b.String()
}

func instant(t energy.Instant) string { return t.Time().Format("2006-01-02T15:04:05.000Z") }

// rows asks the server and puts the fields of one time together.
func (s *Store) rows(ctx context.Context, of series.Series, suffix string, span series.Span, fields ...string) ([]row, error) {
	result, err := s.query.Query(ctx, s.flux(of, suffix, span, fields...))
	if err != nil {
		return nil, fmt.Errorf("%w: %s", series.ErrUnavailable, s.brief(err))
	}
	defer result.Close() //nolint:errcheck // it was read to its end, or is of no use
	at := map[energy.Instant]int{}
	var out []row
	for n := 0; result.Next(); n++ {
		if n >= maxRows {
			return nil, fmt.Errorf("%w: more than %d rows: ask for less time or a coarser resolution", series.ErrUnavailable, maxRows)
		}
		values := result.Record().Values()
		field, isText := values["_field"].(string)
		value, isNumber := values["_value"].(int64)
		when, isTime := values["_time"].(time.Time)
		j := slices.Index(fields, field)
		if !isText || !isNumber || !isTime || j < 0 {
			return nil, fmt.Errorf("%w: %w", series.ErrUnavailable, errForeign)
		}
		t := energy.InstantOf(when)
		i, known := at[t]
		if !known {
			i = len(out)
			at[t] = i
			out = append(out, row{at: t})
		}
		out[i].fields[j] = value
		out[i].has |= 1 << j
	}
	if err := result.Err(); err != nil {
		return nil, fmt.Errorf("%w: %s", series.ErrUnavailable, s.brief(err))
	}
	slices.SortFunc(out, func(a, b row) int { return cmp.Compare(a.at, b.at) })
	return out, nil
}

var errForeign = errors.New("the bucket holds values of another kind in our measurements: give the community a bucket of its own")
