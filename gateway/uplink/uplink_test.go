// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/guard"
	"github.com/allmende-energy/allmende/gateway/spool"
	"github.com/allmende-energy/allmende/gateway/uplink"
	"github.com/allmende-energy/allmende/gateway/uplink/uplinktest"
	"github.com/allmende-energy/allmende/meters"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// patience bounds a test that hangs; nothing is asserted about it.
const patience = 5 * time.Minute

type commands struct {
	mu    sync.Mutex
	epoch uint64
	got   []guard.Setpoint
	came  chan struct{}
}

func (c *commands) Fence(epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch = epoch
}

func (c *commands) Setpoints(s []guard.Setpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, s...)
	select {
	case c.came <- struct{}{}:
	default:
	}
}

func samples(from, n int) []meters.Sample {
	out := make([]meters.Sample, n)
	for i := range out {
		out[i] = meters.Sample{
			Key: meters.Key{Asset: "roof-1", Register: meters.Production}, At: energy.Instant(1_780_000_000_000 + int64(from+i)),
			Value: energy.Energy(from + i), SoC: -1,
		}
	}
	return out
}

type rig struct {
	coordinator *uplinktest.Coordinator
	spool       *spool.Spool
	link        *uplink.Link
	commands    *commands
	stop        func()
}

// start runs a link to a test coordinator.
func start(ctx context.Context, t *testing.T, bounds uplink.Bounds, opt spool.Options) *rig {
	t.Helper()
	return startWith(ctx, t, uplinktest.New(t), bounds, opt)
}

func startWith(ctx context.Context, t *testing.T, c *uplinktest.Coordinator, bounds uplink.Bounds, opt spool.Options) *rig {
	t.Helper()
	c.Clock = func() energy.Instant { return 5_000 }
	c.Start(t)
	dir := t.TempDir()
	c.Identity(t, "gw-1", dir)
	keeper, err := uplink.OpenKeeper(dir)
	if err != nil {
		t.Fatal(err)
	}
	if identity := keeper.Identity(); identity.Gateway != "gw-1" || identity.Community != uplinktest.Community {
		t.Fatalf("identity %+v", identity)
	}
	s, err := spool.Open(t.TempDir(), opt)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{coordinator: c, spool: s, commands: &commands{came: make(chan struct{}, 1)}}
	bounds.MinBackoff, bounds.MaxBackoff = time.Millisecond, 20*time.Millisecond
	r.link = uplink.New(uplink.Config{
		Address: c.Address, Identity: keeper, Software: "test", Source: s, Commands: r.commands,
		Status: func() uplink.Status { return uplink.Status{Devices: []uplink.Device{{Asset: "roof-1", Online: true}}} },
		Now:    func() energy.Instant { return 7_000 }, Log: slog.New(slog.DiscardHandler), Bounds: bounds,
	})
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); r.link.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		c.Kill()
	})
	t.Cleanup(r.stop)
	return r
}

func within(t *testing.T) context.Context {
	t.Helper()
	// Registered first, so it runs last: after every clean-up.
	t.Cleanup(func() { goleak.VerifyNone(t) })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// TestEverySampleArrives kills and restarts the coordinator at random while
// samples are spooled: all arrive, in sequence, and none that was acknowledged
// is sent again.
func TestEverySampleArrives(t *testing.T) {
	ctx := within(t)
	r := start(ctx, t, uplink.Bounds{BatchSamples: 7, Window: 3}, spool.Options{SegmentBytes: 2 << 10})
	id := r.spool.ID()
	rng := rand.New(rand.NewPCG(1, 2))
	total, resent := 0, 0
	for range 12 {
		for range rng.IntN(10) + 1 {
			n := rng.IntN(20) + 1
			if _, err := r.spool.Append(samples(total, n)); err != nil {
				t.Fatal(err)
			}
			total += n
		}
		want := rng.IntN(total + 1)
		v := r.coordinator.Wait(ctx, t, "samples before a kill", func(v uplinktest.View) bool { return len(v.Inbox[id]) >= want })
		r.coordinator.Kill()
		resent = v.Delivered - len(v.Inbox[id])
		r.coordinator.Start(t)
	}
	v := r.coordinator.Wait(ctx, t, "all samples", func(v uplinktest.View) bool { return len(v.Inbox[id]) == total })
	if v.Gaps != 0 {
		t.Errorf("%d samples came out of sequence", v.Gaps)
	}
	if !slices.Equal(v.Inbox[id], samples(0, total)) {
		t.Error("the inbox differs from what was spooled")
	}
	// The inbox is durable the moment a batch comes, so the welcome is never behind it.
	if resent != 0 || v.Delivered != total {
		t.Errorf("%d samples delivered, %d spooled", v.Delivered, total)
	}
}

func TestRestoredBackupCatchesUp(t *testing.T) {
	ctx := within(t)
	r := start(ctx, t, uplink.Bounds{}, spool.Options{})
	id := r.spool.ID()
	if _, err := r.spool.Append(samples(0, 100)); err != nil {
		t.Fatal(err)
	}
	r.coordinator.Wait(ctx, t, "all samples", func(v uplinktest.View) bool { return len(v.Inbox[id]) == 100 })
	r.coordinator.Kill()
	r.coordinator.Forget(id, 30)
	r.coordinator.Start(t)
	v := r.coordinator.Wait(ctx, t, "all samples again", func(v uplinktest.View) bool { return len(v.Inbox[id]) == 100 })
	if !slices.Equal(v.Inbox[id], samples(0, 100)) || v.Gaps != 0 {
		t.Error("the inbox differs from what was spooled")
	}
}

func TestNewIDWhereNumbersAreTaken(t *testing.T) {
	ctx := within(t)
	r := start(ctx, t, uplink.Bounds{}, spool.Options{})
	id := r.spool.ID()
	if _, err := r.spool.Append(samples(0, 10)); err != nil {
		t.Fatal(err)
	}
	r.coordinator.Wait(ctx, t, "the first samples", func(v uplinktest.View) bool { return len(v.Inbox[id]) == 10 })
	r.coordinator.Kill()
	r.coordinator.Pretend(id, 5)
	if _, err := r.spool.Append(samples(10, 4)); err != nil {
		t.Fatal(err)
	}
	r.coordinator.Start(t)
	r.coordinator.Wait(ctx, t, "the new samples under a new id", func(v uplinktest.View) bool {
		for other, got := range v.Inbox {
			if other != id && len(got) >= 4 && slices.Equal(got[len(got)-4:], samples(10, 4)) {
				return true
			}
		}
		return false
	})
}

func TestLiveStatusAndCommands(t *testing.T) {
	ctx := within(t)
	r := start(ctx, t, uplink.Bounds{StatusEvery: time.Millisecond, ProbeEvery: time.Millisecond}, spool.Options{})
	r.link.Live(42, []meters.Reading{{Asset: "roof-1", At: 9, Power: energy.Kilowatt, SoC: -1, Quality: energy.Stale, Reason: "bad \xff text"}})
	v := r.coordinator.Wait(ctx, t, "a live batch and a status with the clock", func(v uplinktest.View) bool {
		return len(v.Live) > 0 && v.Status.GetClockKnown()
	})
	reading := v.Live[0].GetReadings()[0]
	if v.Live[0].GetStampMs() != 42 || reading.GetPowerMilliwatts() != 1_000_000 || reading.GetQuality() != allmendev1.Quality_QUALITY_STALE {
		t.Errorf("live batch %v", v.Live[0])
	}
	// The gateway stands at 7 s, the coordinator at 5 s, whatever the link took.
	if v.Status.GetClockOffsetMs() != 2_000 || v.Status.GetRoundTripMs() != 0 || len(v.Status.GetDevices()) != 1 {
		t.Errorf("status %v", v.Status)
	}
	r.coordinator.Command(&allmendev1.Setpoint{AssetId: "b", PowerMilliwatts: -5, StampMs: 42, TimeToLiveMs: 1000, Epoch: 3, Sequence: 9})
	select {
	case <-r.commands.came:
	case <-ctx.Done():
		t.Fatal("no setpoint came")
	}
	r.commands.mu.Lock()
	defer r.commands.mu.Unlock()
	want := guard.Setpoint{Asset: "b", Power: -5, Stamp: 42, TTL: energy.Second, Epoch: 3, Sequence: 9}
	if r.commands.epoch != 1 || len(r.commands.got) != 1 || r.commands.got[0] != want {
		t.Errorf("epoch %d, setpoints %+v", r.commands.epoch, r.commands.got)
	}
}

// TestBarrier: when it returns, the coordinator has what was handed in before.
func TestBarrier(t *testing.T) {
	ctx := within(t)
	r := start(ctx, t, uplink.Bounds{BatchSamples: 3, Window: 2}, spool.Options{})
	r.coordinator.Wait(ctx, t, "a stream", func(v uplinktest.View) bool { return v.Streams == 1 })
	for !r.link.Connected() {
		r.coordinator.Wait(ctx, t, "a status", func(v uplinktest.View) bool { return v.Status != nil })
	}
	id, total := r.spool.ID(), 0
	for round := range 50 {
		n := round % 17
		if _, err := r.spool.Append(samples(total, n)); err != nil {
			t.Fatal(err)
		}
		total += n
		r.link.Live(guard.Stamp(round+1), []meters.Reading{{Asset: "roof-1", SoC: -1}})
		r.link.Barrier(ctx)
		r.coordinator.Wait(ctx, t, "at once", func(v uplinktest.View) bool {
			if len(v.Inbox[id]) != total || len(v.Live) == 0 || v.Live[len(v.Live)-1].GetStampMs() != int64(round+1) {
				t.Fatalf("round %d: %d of %d samples, %d live batches behind the barrier", round, len(v.Inbox[id]), total, len(v.Live))
			}
			return true
		})
	}
	r.coordinator.Kill()
	r.link.Barrier(ctx) // without a stream it does not wait
	if ctx.Err() != nil {
		t.Fatal("the barrier waited for a dead coordinator")
	}
}

// TestBarrierOfAHangingCoordinator: one barrier waits as long as it may, the
// next ones don't.
func TestBarrierOfAHangingCoordinator(t *testing.T) {
	ctx := within(t)
	r := start(ctx, t, uplink.Bounds{}, spool.Options{})
	r.coordinator.Mute(true)
	for !r.link.Connected() {
		r.coordinator.Wait(ctx, t, "a status", func(v uplinktest.View) bool { return v.Status != nil })
	}
	if _, err := r.spool.Append(samples(0, 3)); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	r.link.Barrier(short)
	if short.Err() == nil {
		t.Fatal("the barrier did not wait for the acknowledgement")
	}
	r.link.Barrier(ctx)
	if ctx.Err() != nil {
		t.Fatal("the next barrier waited too")
	}
}

func TestSilentCoordinatorIsGivenUp(t *testing.T) {
	ctx := within(t)
	r := start(ctx, t, uplink.Bounds{Silence: 10 * time.Millisecond}, spool.Options{})
	r.coordinator.Mute(true)
	r.coordinator.Wait(ctx, t, "a second stream", func(v uplinktest.View) bool { return len(v.Hello) >= 2 })
}

// TestOneBadAssetHoldsUpNothing: values that the coordinator refuses, as those
// of a mistyped id, are stood in for; all others arrive at their sequence.
func TestOneBadAssetHoldsUpNothing(t *testing.T) {
	for name, bad := range map[string]func(i int) bool{
		"the first":    func(i int) bool { return i == 0 },
		"some":         func(i int) bool { return i%5 == 3 },
		"the last":     func(i int) bool { return i == 39 },
		"most of them": func(i int) bool { return i != 20 },
	} {
		t.Run(name, func(t *testing.T) {
			ctx := within(t)
			c := uplinktest.New(t)
			c.Refuse = func(asset string) bool { return asset == "typo" }
			r := startWith(ctx, t, c, uplink.Bounds{BatchSamples: 6, StatusEvery: time.Millisecond}, spool.Options{})
			all := samples(0, 40)
			for i := range all {
				if bad(i) {
					all[i].Asset = "typo"
				}
			}
			if _, err := r.spool.Append(all); err != nil {
				t.Fatal(err)
			}
			r.link.Live(1, []meters.Reading{{Asset: "typo", SoC: -1}, {Asset: "roof-1", SoC: -1}})
			id := r.spool.ID()
			v := r.coordinator.Wait(ctx, t, "all sequences and the problem", func(v uplinktest.View) bool {
				return len(v.Inbox[id]) == 40 && strings.Contains(v.Status.GetSpoolError(), "typo")
			})
			for i, s := range v.Inbox[id] {
				if s.Asset == "typo" || !bad(i) && s != all[i] {
					t.Errorf("sample %d is %+v", i, s)
				}
				if !slices.Contains(all, s) {
					t.Errorf("sample %d was invented: %+v", i, s)
				}
			}
			r.link.Live(2, []meters.Reading{{Asset: "roof-1", SoC: -1}})
			r.coordinator.Wait(ctx, t, "live values of the good asset", func(v uplinktest.View) bool {
				return len(v.Live) > 0 && v.Live[len(v.Live)-1].GetStampMs() == 2
			})
		})
	}
}

// TestOneBadLiveValue: as above, where only the live lane is refused.
func TestOneBadLiveValue(t *testing.T) {
	ctx := within(t)
	c := uplinktest.New(t)
	c.Refuse = func(asset string) bool { return asset == "typo" }
	r := startWith(ctx, t, c, uplink.Bounds{}, spool.Options{})
	for stamp := guard.Stamp(1); ; stamp++ {
		r.link.Live(stamp, []meters.Reading{{Asset: "typo", SoC: -1}, {Asset: "roof-1", SoC: -1}, {Asset: "roof-2", SoC: -1}})
		var got int
		r.coordinator.Wait(ctx, t, "", func(v uplinktest.View) bool {
			if len(v.Live) > 0 {
				got = len(v.Live[len(v.Live)-1].GetReadings())
			}
			return true
		})
		if got == 2 {
			return
		}
		if ctx.Err() != nil {
			t.Fatal("the good readings never came together")
		}
		runtime.Gosched()
	}
}

// TestStranger: a server whose authority is not this community's is refused.
func TestStranger(t *testing.T) {
	ctx := within(t)
	ours, theirs := uplinktest.New(t), uplinktest.New(t)
	theirs.Start(t)
	dir := t.TempDir()
	ours.Identity(t, "gw-1", dir)
	keeper, err := uplink.OpenKeeper(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := spool.Open(t.TempDir(), spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	logged := make(chan string, 1)
	link := uplink.New(uplink.Config{
		Address: theirs.Address, Identity: keeper, Source: s, Commands: &commands{}, Status: func() uplink.Status { return uplink.Status{} },
		Now: func() energy.Instant { return 0 }, Log: slog.New(catch(logged)),
	})
	done := make(chan struct{})
	go func() { defer close(done); link.Run(ctx) }()
	select {
	case <-logged:
	case <-ctx.Done():
		t.Fatal("nothing was said")
	}
	cancel()
	<-done
	theirs.Wait(context.Background(), t, "nothing", func(v uplinktest.View) bool {
		if len(v.Hello) > 0 {
			t.Error("said hello to a stranger")
		}
		return true
	})
	theirs.Kill()
}

// catch hands on the first message.
type catch chan string

func (c catch) Enabled(context.Context, slog.Level) bool { return true }
func (c catch) Handle(_ context.Context, r slog.Record) error {
	select {
	case c <- r.Message:
	default:
	}
	return nil
}
func (c catch) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c catch) WithGroup(string) slog.Handler      { return c }

// BenchmarkBacklog drains a spool that filled while the coordinator was away.
func BenchmarkBacklog(b *testing.B) {
	c := uplinktest.New(b)
	c.Start(b)
	dir := b.TempDir()
	c.Identity(b, "gw-1", dir)
	keeper, err := uplink.OpenKeeper(dir)
	if err != nil {
		b.Fatal(err)
	}
	const n = 20_000
	for b.Loop() {
		s, err := spool.Open(b.TempDir(), spool.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Append(samples(0, n)); err != nil {
			b.Fatal(err)
		}
		link := uplink.New(uplink.Config{
			Address: c.Address, Identity: keeper, Source: s, Commands: &commands{}, Status: func() uplink.Status { return uplink.Status{} },
			Now: func() energy.Instant { return 0 }, Log: slog.New(slog.DiscardHandler),
		})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); link.Run(ctx) }()
		for s.Pending() > 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
		<-done
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
}
