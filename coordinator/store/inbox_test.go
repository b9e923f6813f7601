// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
)

// sampleOf is the sample with a sequence in a gateway's spool.
func sampleOf(seq uint64) meters.Sample {
	return meters.Sample{
		Key:   meters.Key{Asset: roll.AssetID(fmt.Sprintf("meter-%d", seq%7)), Register: meters.Import},
		At:    day0.Add(energy.Span(seq) * energy.Minute),
		Value: energy.Energy(seq) * energy.WattHour, Quality: energy.Quality(seq % 3), Reset: seq%11 == 0, SoC: int64(seq%1001) - 1,
	}
}

func batchOf(first uint64, n int) []meters.Sample {
	out := make([]meters.Sample, n)
	for i := range out {
		out[i] = sampleOf(first + uint64(i))
	}
	return out
}

// Whatever batches come, in whatever order and however often: the inbox holds
// each sample once, in sequence, up to the last that nothing before is missing of.
func TestInboxIsIdempotent(t *testing.T) { onEach(t, testInboxIsIdempotent) }

func testInboxIsIdempotent(t *testing.T, on engine) {
	ctx := context.Background()
	path, n := on.database(t), 0
	s, err := store.Open(ctx, path, options(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	rapid.Check(t, func(rt *rapid.T) {
		// A day and two gateways of its own for each run, in one database.
		n++
		shift := energy.Span(n) * energy.Day
		shifted := func(samples []meters.Sample) []meters.Sample {
			for i := range samples {
				samples[i].At = samples[i].At.Add(shift)
			}
			return samples
		}
		gateways := []roll.GatewayID{roll.GatewayID(fmt.Sprint("a-", n)), roll.GatewayID(fmt.Sprint("b-", n))}
		type spool struct {
			gateway roll.GatewayID
			name    string
		}
		durable := map[spool]uint64{}
		for range rapid.IntRange(1, 12).Draw(rt, "batches") {
			k := spool{rapid.SampledFrom(gateways).Draw(rt, "gateway"), rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "spool")}
			first := uint64(rapid.IntRange(1, 160).Draw(rt, "first"))
			batch := shifted(batchOf(first, rapid.IntRange(0, 120).Draw(rt, "length")))
			got, err := s.AppendInbox(ctx, k.gateway, k.name, first, batch)
			if gap := first > durable[k]+1; gap != errors.Is(err, store.ErrGap) || (!gap && err != nil) {
				rt.Fatalf("from %d after %d: %v", first, durable[k], err)
			} else if !gap {
				durable[k] = max(durable[k], first+uint64(len(batch))-1)
			}
			if got != durable[k] {
				rt.Fatalf("durable %d, expected %d", got, durable[k])
			}
			if rapid.IntRange(0, 50).Draw(rt, "reopen") == 50 {
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				if s, err = store.Open(ctx, path, options(t)); err != nil {
					rt.Fatal(err)
				}
			}
			if ack, err := s.Acknowledged(ctx, k.gateway, k.name); err != nil || ack != durable[k] {
				rt.Fatalf("acknowledged %d, %v", ack, err)
			}
		}
		total := uint64(0)
		for _, d := range durable {
			total += d
		}
		since := day0.Add(shift + energy.Span(rapid.IntRange(0, 200).Draw(rt, "since"))*energy.Minute)
		byGateway := map[roll.GatewayID]int{}
		for k, d := range durable {
			for seq := uint64(1); seq <= d; seq++ {
				if sampleOf(seq).At.Add(shift) >= since {
					byGateway[k.gateway]++
				}
			}
		}
		err = s.InboxSince(ctx, since, func(gw roll.GatewayID, m meters.Sample) error {
			byGateway[gw]--
			seq := uint64((m.At.Sub(day0) - shift) / energy.Minute)
			if want := shifted(batchOf(seq, 1))[0]; m.At < since || m != want {
				return fmt.Errorf("sample %+v is not %+v", m, want)
			}
			return nil
		})
		if err != nil {
			rt.Fatal(err)
		}
		for gw, left := range byGateway {
			if left != 0 {
				rt.Fatalf("gateway %s: %d samples too few or too many of %d", gw, left, total)
			}
		}
	})
}

func TestInboxKeepsTheOrderOfArrival(t *testing.T) { onEach(t, testInboxKeepsTheOrderOfArrival) }

func testInboxKeepsTheOrderOfArrival(t *testing.T, on engine) {
	ctx := context.Background()
	s, _ := fresh(t, on)
	const pages = 2500 // more than InboxSince holds at a time
	late := sampleOf(1)
	late.At = day0.Add(-energy.Day)
	for first := uint64(1); first <= pages; first += 500 {
		if _, err := s.AppendInbox(ctx, "gw-1", "a", first, batchOf(first, 500)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.AppendInbox(ctx, "gw-2", "b", 1, []meters.Sample{late}); err != nil {
		t.Fatal(err)
	}
	var seen []meters.Sample
	collect := func(_ roll.GatewayID, m meters.Sample) error {
		seen = append(seen, m)
		return nil
	}
	if err := s.InboxSince(ctx, late.At, collect); err != nil {
		t.Fatal(err)
	}
	if len(seen) != pages+1 || seen[pages] != late || !slices.Equal(seen[:pages], batchOf(1, pages)) {
		t.Fatalf("%d samples, last %+v", len(seen), seen[len(seen)-1])
	}
	stop := errors.New("enough")
	if err := s.InboxSince(ctx, late.At, func(roll.GatewayID, meters.Sample) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
}

func TestAdmitGap(t *testing.T) { onEach(t, testAdmitGap) }

func testAdmitGap(t *testing.T, on engine) {
	ctx := context.Background()
	s, _ := fresh(t, on)
	if err := s.AdmitGap(ctx, "gw-1", "a", 40); err != nil {
		t.Fatal(err)
	}
	if got, err := s.AppendInbox(ctx, "gw-1", "a", 40, batchOf(40, 3)); err != nil || got != 42 {
		t.Fatalf("%d, %v", got, err)
	}
	if err := s.AdmitGap(ctx, "gw-1", "a", 10); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Acknowledged(ctx, "gw-1", "a"); err != nil || got != 42 {
		t.Fatalf("it moved back to %d, %v", got, err)
	}
}

func TestInboxRefuses(t *testing.T) { onEach(t, testInboxRefuses) }

func testInboxRefuses(t *testing.T, on engine) {
	s, _ := fresh(t, on)
	long := strings.Repeat("x", 65)
	nameless, odd, binary := sampleOf(1), sampleOf(1), sampleOf(1)
	binary.Asset = "a\xff"
	nameless.Asset = ""
	odd.Quality = 99
	for name, err := range map[string]error{
		"sequence 0":      second(s.AppendInbox(context.Background(), "gw-1", "a", 0, batchOf(1, 1))),
		"sequence huge":   second(s.AppendInbox(context.Background(), "gw-1", "a", 1<<63, batchOf(1, 1))),
		"no gateway":      second(s.AppendInbox(context.Background(), "", "a", 1, batchOf(1, 1))),
		"a long spool":    second(s.AppendInbox(context.Background(), "gw-1", long, 1, batchOf(1, 1))),
		"too many":        second(s.AppendInbox(context.Background(), "gw-1", "a", 1, batchOf(1, store.MaxBatch+1))),
		"no asset":        second(s.AppendInbox(context.Background(), "gw-1", "a", 1, []meters.Sample{nameless})),
		"half a letter":   second(s.AppendInbox(context.Background(), "gw-1", "a", 1, []meters.Sample{binary})),
		"a NUL":           second(s.AppendInbox(context.Background(), "gw\x00", "a", 1, batchOf(1, 1))),
		"unknown quality": second(s.AppendInbox(context.Background(), "gw-1", "a", 1, []meters.Sample{odd})),
	} {
		if err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	if got, err := s.Acknowledged(context.Background(), "gw-1", "a"); err != nil || got != 0 {
		t.Errorf("acknowledged %d, %v", got, err)
	}
}

func second[T any](_ T, err error) error { return err }

// Gateways, the committer and pages come at once.
func TestConcurrentUse(t *testing.T) { onEach(t, testConcurrentUse) }

func testConcurrentUse(t *testing.T, on engine) {
	ctx := context.Background()
	s, path := fresh(t, on)
	epoch := raise(t, s)
	v := newVillage(t, 3)
	commit(t, s, epoch, v.founding())
	leaves := make([]store.NewLeaf, 20)
	for n := range leaves {
		leaves[n] = v.interval(t, n, 0)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			gw := roll.GatewayID(fmt.Sprint("gw-", g))
			for first := uint64(1); first < 200; first += 10 {
				if _, err := s.AppendInbox(ctx, gw, "a", first, batchOf(first, 10)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for _, l := range leaves {
			if _, _, err := s.Commit(ctx, epoch, []store.NewLeaf{l}); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for range 5 {
			holds(t, path) // a snapshot verifies whatever is being written
			if _, err := s.MemberSums(ctx, day0, day0.Add(energy.Day)); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if r := holds(t, path); r.Leaves != 21 {
		t.Errorf("%d leaves", r.Leaves)
	}
}
