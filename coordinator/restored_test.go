// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// connectHeard connects a gateway that has heard of an epoch.
func connectHeard(t *testing.T, c *Coordinator, cfg *tls.Config, epoch uint64) (*device, *allmendev1.Welcome, error) {
	t.Helper()
	d := &device{t: t, client: dial(t, c.Addresses().Gateways, cfg)}
	ctx, cancel := context.WithCancel(t.Context())
	d.cancel = cancel
	t.Cleanup(cancel)
	var err error
	if d.stream, err = d.client.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	d.send(&allmendev1.Uplink{Message: &allmendev1.Uplink_Hello{Hello: &allmendev1.Hello{SpoolId: "s1", HighestEpoch: epoch}}})
	down, err := d.stream.Recv()
	return d, down.GetWelcome(), err
}

// The database is set back to a day before. The gateways, one of which enrolled
// since, bring again what it lacks, and the ledger becomes the same to the byte.
// Nothing is settled without them, although its deadline is long over.
func TestADatabaseThatWasSetBack(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	c := start(t, dir, w)
	a := enrol(t, c, "gw-a")
	old := filepath.Join(t.TempDir(), "old.db")
	if err := store.Copy(t.Context(), c.cfg.LedgerFile(), old, nil); err != nil {
		t.Fatal(err)
	}
	b := enrol(t, c, "gw-b")
	da, before, err := connectHeard(t, c, a, 0)
	if err != nil {
		t.Fatal(err)
	}
	db, _, err := connectHeard(t, c, b, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.until(dawn.Add(3*quarter + minute))
	da.meter(1, quarterHoursA(dawn, 0, 4)...)
	db.meter(1, quarterHoursB(dawn, 0, 4)...)
	w.settledUntil(c, dawn.Add(3*quarter))
	want := leavesOf(t, c)
	database := c.cfg.LedgerFile()
	w.until(dawn.Add(26 * energy.Hour)) // no samples since, and the deadline of some is over
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(database + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := os.Rename(old, database); err != nil {
		t.Fatal(err)
	}
	if err := store.MarkRestored(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	c = start(t, dir, w)
	w.until(dawn.Add(30 * energy.Hour))
	if n := len(leavesOf(t, c)); n != 1 {
		t.Errorf("%d leaves before the gateways have come back", n)
	}
	da, after, err := connectHeard(t, c, a, before.GetEpoch())
	if err != nil {
		t.Fatal(err)
	}
	if after.GetEpoch() <= before.GetEpoch() || after.GetAcknowledgedSequence() != 0 {
		t.Errorf("welcome %v, before the accident %v", after, before)
	}
	db, _, err = connectHeard(t, c, b, before.GetEpoch()) // its certificate is newer than the backup
	if err != nil {
		t.Fatal(err)
	}
	da.meter(1, quarterHoursA(dawn, 0, 4)...)
	db.meter(1, quarterHoursB(dawn, 0, 4)...)
	w.settledUntil(c, dawn.Add(3*quarter))
	have := leavesOf(t, c)
	if len(have) != len(want) || !bytes.Equal(bytes.Join(have, nil), bytes.Join(want, nil)) {
		t.Errorf("%d leaves differ from the %d before the accident", len(have), len(want))
	}
	// The next start finds the day of grace where it was.
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	c = start(t, dir, w)
	w.until(dawn.Add(26*energy.Hour + energy.Day - minute))
	if n := len(leavesOf(t, c)); n != len(want) {
		t.Errorf("%d leaves within the day of grace", n)
	}
	w.until(dawn.Add(26*energy.Hour + energy.Day + 30*minute))
	if n := len(leavesOf(t, c)); n <= len(want) {
		t.Error("nothing is settled after the day of grace")
	}
}

func leavesOf(t *testing.T, c *Coordinator) (out [][]byte) {
	t.Helper()
	err := c.store.Leaves(context.Background(), 0, func(_ int64, leaf []byte) error {
		out = append(out, bytes.Clone(leaf))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Database and clock were both set back, so that gateways have obeyed a later
// epoch than ours. They say so, and ours rises above it: for commands, for the
// ledger, and for good.
func TestAGatewayHasHeardOfALaterEpoch(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	c := start(t, dir, w)
	a, b := enrol(t, c, "gw-a"), enrol(t, c, "gw-b")
	_, first, err := connectHeard(t, c, a, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, again, err := connectHeard(t, c, a, first.GetEpoch()); err != nil || again.GetEpoch() != first.GetEpoch() {
		t.Errorf("our own epoch raised it from %d to %d, %v", first.GetEpoch(), again.GetEpoch(), err)
	}
	later := first.GetEpoch() + 1_000_000
	da, raised, err := connectHeard(t, c, a, later)
	if err != nil {
		t.Fatal(err)
	}
	if raised.GetEpoch() != later+1 {
		t.Fatalf("the epoch is %d after a gateway said %d", raised.GetEpoch(), later)
	}
	db, welcome, err := connectHeard(t, c, b, 0)
	if err != nil || welcome.GetEpoch() != later+1 {
		t.Errorf("the other gateway is told %d, %v", welcome.GetEpoch(), err)
	}
	w.until(dawn.Add(quarter + minute))
	da.meter(1, quarterHoursA(dawn, 0, 2)...)
	db.meter(1, quarterHoursB(dawn, 0, 2)...)
	w.settledUntil(c, dawn.Add(quarter)) // the ledger is written under it
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	c = start(t, dir, w)
	if _, welcome, err := connectHeard(t, c, a, later+1); err != nil || welcome.GetEpoch() <= later+1 {
		t.Errorf("the next start has epoch %d, %v", welcome.GetEpoch(), err)
	}
	// A gateway that makes up a number cannot count us to the end.
	if _, _, err := connectHeard(t, c, b, 1<<63); status.Code(err) != codes.InvalidArgument {
		t.Errorf("an impossible epoch: %v", err)
	}
	if _, welcome, err := connectHeard(t, c, b, maxEpoch); err != nil || welcome.GetEpoch() != maxEpoch+1 {
		t.Errorf("the highest epoch: %d, %v", welcome.GetEpoch(), err)
	}
	if _, welcome, err := connectHeard(t, c, a, maxEpoch+1); err != nil || welcome.GetEpoch() != maxEpoch+1 {
		t.Errorf("our own beyond it: %d, %v", welcome.GetEpoch(), err)
	}
}

// counting is a store whose epoch rises by itself.
type counting struct{ epoch int64 }

func (c *counting) RaiseEpochAbove(_ context.Context, floor int64) (int64, error) {
	c.epoch = max(c.epoch, floor) + 1
	return c.epoch, nil
}

// A start takes the clock for a floor, so that the epoch is above whatever was
// given since a backup was made, also where the same one is restored twice.
func TestTheEpochFollowsTheClock(t *testing.T) {
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	var last int64
	for day := range 3 {
		old := &counting{5} // each time the same backup
		for restart := range 4 {
			f, err := raiseFence(t.Context(), old, at.AddDate(0, 0, day).Add(time.Duration(restart)*time.Second))
			if err != nil || f.current() <= last {
				t.Fatalf("day %d, start %d: epoch %d after %d, %v", day, restart, f.current(), last, err)
			}
			last = f.current()
		}
	}
	f, err := raiseFence(t.Context(), &counting{last}, time.Unix(0, 0)) // a computer without a clock
	if err != nil || f.current() != last+1 {
		t.Errorf("epoch %d after %d, %v", f.current(), last, err)
	}
	if _, err := f.above(t.Context(), maxEpoch+5); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("beyond the bound: %v", err)
	}
}
