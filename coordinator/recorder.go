// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/config"
	"github.com/allmende-energy/allmende/meters"
	"github.com/allmende-energy/allmende/meters/series"
	"github.com/allmende-energy/allmende/meters/series/embedded"
	"github.com/allmende-energy/allmende/meters/series/influx"
	"github.com/allmende-energy/allmende/scheduler"
)

const (
	// recorderQueue bounds what waits for the recorder: pictures and batches of readings.
	recorderQueue = 1_024
	// seriesCheck is how often the time series are asked how they do, on the wall clock.
	seriesCheck = 2 * time.Second
	// seriesStop is how long the time series may take to write what is left.
	seriesStop = 5 * time.Second
)

// recorder takes what happens into the time series. Owner and streams hand over
// without ever waiting; what finds no place is dropped and counted.
type recorder struct {
	community series.Subject
	store     series.Store
	problems  *problems
	queue     chan recorded
	dropped   atomic.Uint64 // points
	records   []series.Record
	values    []series.Value
}

// history is the store of time series.
func (c *Coordinator) history() series.Store {
	if c.record == nil { // before the start
		return series.Nowhere{}
	}
	return c.record.store
}

// recorded is what a tick showed, or what a gateway reported.
type recorded struct {
	live     *scheduler.Live
	readings []meters.Reading
}

func newRecorder(community roll.CommunityID, store series.Store, p *problems) *recorder {
	return &recorder{
		community: series.Subject{Kind: series.Community, Name: string(community)},
		store:     store, problems: p, queue: make(chan recorded, recorderQueue),
	}
}

// openSeries opens the store of time series that the configuration names. Only
// a configuration that cannot be stops a start: what else is wrong with the
// time series becomes a problem that is shown.
func openSeries(ctx context.Context, cfg config.Series, community roll.CommunityID) (series.Store, error) {
	switch cfg.Store {
	case config.SeriesEmbedded:
		return embedded.Open(ctx, cfg.File, embedded.Options{MaxBytes: cfg.MaxBytes}), nil
	case config.SeriesInfluxDB:
		token, err := readSeriesToken(cfg.InfluxDB.TokenFile)
		if err != nil {
			return nil, err
		}
		return influx.Open(influx.Options{
			URL: cfg.InfluxDB.URL, Organisation: cfg.InfluxDB.Organisation, Bucket: cfg.InfluxDB.Bucket, Token: token, Community: string(community),
		}), nil
	case config.SeriesNone:
	}
	return series.Nowhere{}, nil
}

// readSeriesToken reads what proves to InfluxDB who we are; no file is no token.
func readSeriesToken(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	const most = 4_096
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("series.influxdb.token_file: %w: write the token, and nothing else, into a file that only the coordinator may read", err)
	}
	defer f.Close() //nolint:errcheck // read only
	token, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return "", fmt.Errorf("series.influxdb.token_file: %w", err)
	}
	text := strings.TrimSpace(string(token))
	if len(token) > most || strings.ContainsAny(text, "\r\n") {
		return "", fmt.Errorf("series.influxdb.token_file: %s holds more than a token: write the token and nothing else into it", path)
	}
	return text, nil
}

// picture hands a tick's picture over. The picture must not change any more.
func (r *recorder) picture(l scheduler.Live) { r.hand(recorded{live: &l}) }

// readings hands live readings over. They must not change any more.
func (r *recorder) readings(readings []meters.Reading) { r.hand(recorded{readings: readings}) }

func (r *recorder) hand(what recorded) {
	select {
	case r.queue <- what:
	default:
		r.dropped.Add(what.points())
	}
}

// points is how many there would be at most.
func (w recorded) points() uint64 {
	if w.live == nil {
		return uint64(len(w.readings))
	}
	return uint64(len(series.Community.Quantities()) + len(w.live.Members)*len(series.Member.Quantities()))
}

// run records until ctx ends, and then what has been handed over by then.
func (r *recorder) run(ctx context.Context) error {
	check := time.NewTicker(seriesCheck)
	defer check.Stop()
	for {
		select {
		case what := <-r.queue:
			r.record(what)
		case <-check.C:
			r.report()
		case <-ctx.Done():
			for range len(r.queue) {
				r.record(<-r.queue)
			}
			return nil
		}
	}
}

// close ends the store, within bounds.
func (r *recorder) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), seriesStop)
	defer cancel()
	if err := r.store.Close(ctx); err != nil {
		return fmt.Errorf("time series: %w", err)
	}
	return nil
}

// report shows what is wrong with the time series.
func (r *recorder) report() {
	if what := r.Stats().Problems; len(what) > 0 {
		r.problems.warn(problemSeries, strings.Join(what, "; "))
		return
	}
	r.problems.clear(problemSeries)
}

// Stats is how the time series do, the hand-over included.
func (r *recorder) Stats() series.Stats {
	s := r.store.Stats()
	if s.Dropped == nil {
		s.Dropped = map[series.Reason]uint64{}
	}
	s.Dropped[series.HandOver] += r.dropped.Load()
	return s
}

func (r *recorder) record(what recorded) {
	r.records, r.values = r.records[:0], r.values[:0]
	if what.live != nil {
		r.live(what.live)
	}
	for _, reading := range what.readings {
		r.reading(reading)
	}
	r.store.Append(r.records)
}

// reading records what an asset measured. What is no measurement of that
// instant leaves a gap: an old value is not repeated, a missing one is not zero.
func (r *recorder) reading(x meters.Reading) {
	if x.Quality >= energy.Stale {
		return
	}
	at := len(r.values)
	r.values = append(r.values, series.Value{Quantity: series.Power, Value: int64(x.Power)})
	if x.SoC >= 0 {
		r.values = append(r.values, series.Value{Quantity: series.Charge, Value: x.SoC})
	}
	r.add(series.Subject{Kind: series.Asset, Name: string(x.Asset)}, x.At, x.Quality, at)
}

// live records a tick's picture. It is computed from what there is, so it has
// values also where some of its assets are missing; its quality says so.
func (r *recorder) live(l *scheduler.Live) {
	for i := range l.Members {
		m := &l.Members[i]
		at := len(r.values)
		r.values = append(r.values,
			series.Value{Quantity: series.Production, Value: int64(m.Production)},
			series.Value{Quantity: series.Consumption, Value: int64(m.Consumption)},
			series.Value{Quantity: series.Import, Value: int64(m.Import)},
			series.Value{Quantity: series.Export, Value: int64(m.Export)},
			series.Value{Quantity: series.Share, Value: int64(m.Share)},
		)
		r.add(series.Subject{Kind: series.Member, Name: string(m.Member)}, l.At, m.Quality, at)
	}
	at, f := len(r.values), &l.Flow
	r.values = append(r.values,
		series.Value{Quantity: series.Production, Value: int64(f.Production)},
		series.Value{Quantity: series.OwnUse, Value: int64(f.OwnUse)},
		series.Value{Quantity: series.Share, Value: int64(f.Shared + f.FromStorage)},
		series.Value{Quantity: series.FromStorage, Value: int64(f.FromStorage)},
		series.Value{Quantity: series.Consumption, Value: int64(f.Consumption)},
		series.Value{Quantity: series.BatteryCharge, Value: int64(f.Charge)},
		series.Value{Quantity: series.BatteryRelease, Value: int64(f.Discharge)},
		series.Value{Quantity: series.Import, Value: int64(f.GridImport)},
		series.Value{Quantity: series.Export, Value: int64(f.GridExport)},
	)
	r.add(r.community, l.At, f.Quality, at)
}

// add makes a record of the values from one on.
func (r *recorder) add(of series.Subject, at energy.Instant, q energy.Quality, from int) {
	r.records = append(r.records, series.Record{Subject: of, At: at, Quality: q, Values: r.values[from:len(r.values):len(r.values)]})
}
