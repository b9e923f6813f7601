// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"testing"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

func TestCommitAndReadBack(t *testing.T) {
	ctx := context.Background()
	s, _ := fresh(t)
	epoch := raise(t, s)
	v := newVillage(t, 4)
	commit(t, s, epoch, v.founding())
	leaf := v.interval(t, 0, 0)
	if first, size := commit(t, s, epoch, leaf); first != 1 || size != 2 {
		t.Fatalf("first %d, size %d", first, size)
	}
	records, err := s.LatestSettled(ctx, day0)
	if err != nil || len(records) != 1 || len(records[0].Rows) != 6 {
		t.Fatalf("%v, %v", records, err)
	}
	entries, err := s.Entries(ctx, 1)
	if err != nil || len(entries) == 0 {
		t.Fatal(err)
	}
	if err := ledger.CheckBalance(entries); err != nil {
		t.Fatal(err)
	}
	note, err := s.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, verifiers := keys(t)
	c, err := ledger.OpenCheckpoint(note, verifiers)
	if err != nil || c.Size != 2 || !c.Simulated {
		t.Fatalf("%+v %v", c, err)
	}
}

func TestVerifyHolds(t *testing.T) {
	ctx := context.Background()
	s, path := fresh(t)
	epoch := raise(t, s)
	v := newVillage(t, 5)
	commit(t, s, epoch, v.founding())
	for n := range 20 {
		commit(t, s, epoch, v.interval(t, n, 0))
	}
	r, err := store.OpenReader(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, verifiers := keys(t)
	report, err := ledger.Verify(ctx, r, verifiers, settlement.Recompute, nil)
	if err != nil || !report.Holds() || report.Leaves != 21 || report.Rows != 20*8 {
		t.Fatalf("%+v %v", report, err)
	}
}
