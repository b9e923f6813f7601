// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// An operator with every key shifts one unit from a member to another, with
// commitments, entries, hashes and signatures to match, and the data of the one
// are erased: under rules version 2 the other's row and the certificates tell.
func TestWrongShareIsFoundBesideErasedRows(t *testing.T) {
	ch := rules()
	ch.RulesVersion, ch.Sharing.Rounds = 2, []charter.Round{{Name: "everybody", Method: charter.Equal}}
	for _, shifted := range []energy.Energy{0, 1} {
		m := newMemory(t)
		m.activate(ch, day0)
		in := settlement.Input{Interval: quarter(0)}
		for i, imported := range []energy.Energy{400_000, 300_001, 200_000} {
			in.Members = append(in.Members, ledger.MemberRow{Member: memberID(i), Pool: roll.GridPool, Sites: []ledger.SiteInput{{
				Site: roll.SiteID(memberID(i)), Import: imported, Export: 100_000, Production: 100_000, Metered: true,
			}}})
		}
		res, err := new(settlement.Settler).Settle(&ch, in)
		if err != nil {
			t.Fatal(err)
		}
		res.Members[0].Share -= shifted
		res.Members[0].GridImport += shifted
		res.Members[1].Share += shifted
		res.Members[1].GridImport -= shifted
		rows, err := res.Rows(func(roll.AssetID) roll.MemberID { return "" })
		if err != nil {
			t.Fatal(err)
		}
		hash, err := ch.Hash()
		m.append(ledger.Leaf{Kind: ledger.KindIntervalSettled, Community: village, Settled: &ledger.IntervalSettled{
			Interval: in.Interval, CharterHash: must(t, hash, err), RulesVersion: 2, Complete: true, Pools: res.Pools,
		}}, rows, nil)
		m.rows[1] = slices.Clone(m.rows[1][1:])
		m.entries[1] = slices.DeleteFunc(m.entries[1], func(e ledger.Entry) bool { return strings.HasPrefix(e.Account, "member:home-0:") })
		r, err := ledger.Verify(context.Background(), m, m.verifiers, settlement.Recompute, nil)
		if r = must(t, r, err); shifted == 0 && !r.Holds() {
			t.Errorf("what remains holds, but: %v", r.Fault)
		}
		if shifted != 0 {
			wantFault(t, r, 1, "certificates")
		}
	}
}
