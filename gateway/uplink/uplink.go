// SPDX-License-Identifier: AGPL-3.0-or-later

// Package uplink is a gateway's one stream to the coordinator: gRPC over mutual
// TLS, dialled by the gateway, so that a household needs no open port.
//
// Two lanes share it. The live lane holds the latest reading of each asset and
// may lose; the metering lane sends what lies in the spool, in sequence, and
// goes on behind what the coordinator says to have at the start of each stream.
// Downward come acknowledgements and setpoints. When the stream ends it is
// opened again after a growing pause of wall time with jitter.
package uplink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/guard"
	"github.com/allmende-energy/allmende/meters"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// ErrProtocol says that the coordinator sent what the contract does not allow.
var ErrProtocol = errors.New("the coordinator broke the protocol")

// Source is where the metering lane comes from; *spool.Spool is one.
type Source interface {
	Position() (id string, last, acked uint64)
	Read(id string, from uint64, n int) ([]meters.Sample, error)
	Resume(id string, acked uint64) (renewed bool, err error)
	Acknowledge(id string, seq uint64)
	Changed() <-chan struct{}
}

// Commands takes what comes down. Its methods are called from the stream's
// goroutine and don't wait for devices.
type Commands interface {
	// Fence: the coordinator's epoch at the start of a stream. It may wait for the
	// disk, within bounds, to keep the epoch.
	Fence(epoch uint64)
	Setpoints([]guard.Setpoint)
}

// Config says where to and with what.
type Config struct {
	Address  string // host:port of the coordinator's gateway listener
	Identity *Keeper
	Software string
	Source   Source
	Commands Commands
	Epoch    uint64 // the highest that was heard of before
	Status   func() Status
	Now      func() energy.Instant // world time
	Log      *slog.Logger
	Bounds   Bounds
}

// Bounds are times on the wall clock and sizes; zero values mean the defaults.
type Bounds struct {
	MinBackoff   time.Duration // pause after the first failure; 250 ms
	MaxBackoff   time.Duration // and after many; 30 s
	StatusEvery  time.Duration // 5 s
	ProbeEvery   time.Duration // clock probes; 10 s
	Silence      time.Duration // a stream without an answer for so long is given up; 45 s
	ShutOut      time.Duration // pause after a refusal that only people can mend; 1 min, and up to 15 times that
	BatchSamples int           // samples in a message; 500
	Window       int           // messages that may wait for their acknowledgement; 4
}

func (b Bounds) withDefaults() Bounds {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&b.MinBackoff, 250*time.Millisecond)
	set(&b.MaxBackoff, 30*time.Second)
	set(&b.StatusEvery, 5*time.Second)
	set(&b.ProbeEvery, 10*time.Second)
	set(&b.Silence, 45*time.Second)
	set(&b.ShutOut, time.Minute)
	if b.BatchSamples <= 0 {
		b.BatchSamples = 500
	}
	if b.Window <= 0 {
		b.Window = 4
	}
	return b
}

// Link keeps the stream up. Its methods may be called from any goroutine.
type Link struct {
	cfg    Config
	bounds Bounds
	clock  clockEstimate
	wake   chan struct{} // one place: the sender has something to look at

	refused   refusals
	announced bool // the stream was logged, and nothing useful happened since; Run's own

	mu        sync.Mutex
	live      map[roll.AssetID]meters.Reading
	stamp     guard.Stamp
	connected bool
	streams   uint64
	epoch     uint64 // the highest heard of
	barrier   barrier
}

// New returns a link; Run connects it.
func New(cfg Config) *Link {
	l := &Link{cfg: cfg, bounds: cfg.Bounds.withDefaults(), wake: make(chan struct{}, 1), live: map[roll.AssetID]meters.Reading{}, epoch: cfg.Epoch}
	l.barrier.changed = make(chan struct{})
	l.refused.samples, l.refused.strikes, l.refused.live = map[uint64]bool{}, map[roll.AssetID]int{}, map[roll.AssetID]bool{}
	return l
}

// Live hands readings to the live lane. A reading that was not yet sent is
// replaced by a newer one of its asset, so that a slow link holds one round.
func (l *Link) Live(stamp guard.Stamp, readings []meters.Reading) {
	l.mu.Lock()
	for _, r := range readings {
		l.live[r.Asset] = r
	}
	l.stamp = stamp
	l.mu.Unlock()
	l.notify()
}

// Connected says whether a stream is up and welcomed.
func (l *Link) Connected() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.connected
}

// Streams is how many streams were welcomed since the start.
func (l *Link) Streams() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.streams
}

// Clock is the measured offset to the coordinator's clock.
func (l *Link) Clock() Offset { return l.clock.best() }

// heard notes an epoch and returns the highest so far.
func (l *Link) heard(epoch uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch = max(l.epoch, epoch)
	return l.epoch
}

func (l *Link) notify() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Link) takeLive() (guard.Stamp, []meters.Reading) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.live) == 0 {
		return 0, nil
	}
	out := make([]meters.Reading, 0, len(l.live))
	for _, r := range l.live {
		out = append(out, r)
	}
	clear(l.live)
	slices.SortFunc(out, func(a, b meters.Reading) int { return cmp.Compare(a.Asset, b.Asset) })
	return l.stamp, out
}

// Run keeps a stream up until ctx ends.
func (l *Link) Run(ctx context.Context) {
	pause, shut, said := l.bounds.MinBackoff, l.bounds.ShutOut, map[string]bool{}
	for ctx.Err() == nil {
		l.cfg.Identity.Look() // somebody may have enrolled anew
		useful, err := l.session(ctx)
		if ctx.Err() != nil {
			break
		}
		if useful {
			pause, shut = l.bounds.MinBackoff, l.bounds.ShutOut
			clear(said)
			l.announced = false
		}
		if reasonOf(err) == allmendev1.RefusalReason_REFUSAL_REASON_EXPIRED {
			if err = l.renewAlone(ctx); err == nil {
				err = errFreshIdentity
			}
		}
		// The same failure is said once, not once an attempt.
		const most = 20
		if text := advise(err).Error(); !said[text] && len(said) < most && !errors.Is(err, errRenewed) && !errors.Is(err, errFreshIdentity) {
			l.say(err, text)
			said[text] = true
		}
		if isShutOut(err) {
			if l.sitOut(ctx, jitter(shut)) {
				pause, shut = l.bounds.MinBackoff, l.bounds.ShutOut
				clear(said)
				continue
			}
			shut = min(2*shut, 15*l.bounds.ShutOut)
			continue
		}
		if !sleep(ctx, jitter(pause)) {
			break
		}
		pause = min(2*pause, l.bounds.MaxBackoff)
	}
}

// jitter spreads reconnects, so that a thousand gateways don't come at once.
func jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(rand.Int64N(int64(d/2)+1))
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// advise adds what to do next to what a person can change.
func advise(err error) error {
	code := status.Code(err)
	message := plain(err)
	switch code {
	case codes.Unauthenticated, codes.PermissionDenied:
		if reasonOf(err) != allmendev1.RefusalReason_REFUSAL_REASON_UNSPECIFIED {
			return message // it says what to do
		}
		return fmt.Errorf("%w; ask for a new token (allmende gateway token) and enrol again", message)
	case codes.Unavailable:
		return fmt.Errorf("%w; is the coordinator running, and is its address right in gateway.yaml?", message)
	default:
		return message
	}
}

// plain is err without gRPC's own words around the coordinator's.
func plain(err error) error {
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	var bare interface{ GRPCStatus() *status.Status }
	if errors.As(err, &bare) {
		return errors.New(bare.GRPCStatus().Message())
	}
	return errors.New(s.Message())
}
