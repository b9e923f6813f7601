// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"testing"

	"github.com/allmende-energy/allmende/commons/ledger"
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
