// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

const community roll.CommunityID = "linden"

// day0 is when the tests' world begins.
const day0 energy.Instant = 1_780_272_000_000 // 2026-06-01T00:00Z

// chacha makes every secret and key of a test the same in each run.
func chacha(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

// keys are the checkpoint keys of a test's community.
func keys(tb testing.TB) (note.Signer, note.Verifiers) {
	tb.Helper()
	key, err := ledger.NewKey(bytes.NewReader(make([]byte, 64)), community)
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := note.NewSigner(key.Signer)
	if err != nil {
		tb.Fatal(err)
	}
	verifier, err := note.NewVerifier(key.Verifier)
	if err != nil {
		tb.Fatal(err)
	}
	return signer, note.VerifierList(verifier)
}

func options(tb testing.TB) store.Options {
	signer, _ := keys(tb)
	return store.Options{Community: community, Signer: signer, Simulated: true, Rand: chacha(1)}
}

func open(tb testing.TB, database string) *store.Store {
	tb.Helper()
	s, err := store.Open(context.Background(), database, options(tb))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// village settles a community of homes, every second one with a battery behind
// its meter, on random weather.
type village struct {
	charter charter.Charter
	hash    string
	homes   int
	rng     *rand.Rand
	stock   map[roll.AssetID]ledger.Stock
	settle  settlement.Settler
}

func newVillage(tb testing.TB, homes int) *village {
	tb.Helper()
	ch := charter.Charter{
		Charter: charter.Format, Name: "Equal shares", RulesVersion: charter.RulesVersion,
		Currency: "EUR", Price: energy.Price{Micro: 12_000_000, Currency: "EUR"},
		Interval: energy.QuarterHour, SettleAfter: energy.Day,
		Sharing: charter.Sharing{ExportingSites: charter.ExportersReceive, Rounds: []charter.Round{
			{Name: "families first", Groups: []roll.Group{"families"}, Method: charter.Equal},
			{Name: "everybody", Method: charter.Proportional},
		}},
		Residual: charter.Residual{By: charter.ResidualEqual},
		Storage:  charter.Storage{Use: charter.StorageShared},
	}
	hash, err := ch.Hash()
	if err != nil {
		tb.Fatal(err)
	}
	return &village{charter: ch, hash: hash, homes: homes, rng: rand.New(chacha(7)), stock: map[roll.AssetID]ledger.Stock{}}
}

func (v *village) founding() store.NewLeaf {
	return store.NewLeaf{Leaf: ledger.Leaf{
		Kind: ledger.KindCharterActivated, Community: community,
		Charter: &ledger.CharterActivated{Hash: v.hash, Effective: day0, DecidedBy: "founding", Charter: v.charter},
	}}
}

// interval settles the n-th quarter-hour of the world with the stocks as they are.
func (v *village) interval(tb testing.TB, n, revision int) store.NewLeaf {
	tb.Helper()
	in := settlement.Input{Interval: energy.IntervalAt(day0.Add(energy.Span(n)*energy.QuarterHour), energy.QuarterHour)}
	for i := range v.homes {
		id := fmt.Sprintf("home-%02d", i)
		m := ledger.MemberRow{Member: roll.MemberID(id), Pool: roll.GridPool, Sites: []ledger.SiteInput{{
			Site: roll.SiteID(id), Import: v.upTo(400), Export: v.upTo(300), Metered: true,
		}}}
		m.Sites[0].Production = m.Sites[0].Export + v.upTo(200)
		if i%3 == 0 {
			m.Groups = []roll.Group{"families"}
		}
		if order := (&roll.Order{Price: v.charter.Price}); v.charter.Sharing.Market != nil && i%2 == 0 {
			m.Bid = order
		} else if v.charter.Sharing.Market != nil {
			m.Offer = order
		}
		in.Members = append(in.Members, m)
		if i%2 == 0 {
			asset := roll.AssetID("battery-" + id)
			b := ledger.StorageRow{
				Asset: asset, Pool: roll.GridPool, Site: roll.SiteID(id), Placement: roll.OwnMeter,
				Capacity: 6_400_000, ChargeEff: 950_000, DischargeEff: 950_000, SoC: -1, Opening: v.stock[asset],
			}
			if v.rng.IntN(2) == 0 {
				b.Charged = v.upTo(200)
			} else {
				b.Discharged = v.upTo(100)
			}
			in.Storage = append(in.Storage, b)
		}
	}
	res, err := v.settle.Settle(&v.charter, in)
	if err != nil {
		tb.Fatal(err)
	}
	for _, b := range res.Storage {
		v.stock[b.Asset] = b.Closing
	}
	rows, err := res.Rows(func(a roll.AssetID) roll.MemberID {
		if a == "battery-home-00" {
			return "" // the community's
		}
		return roll.MemberID(a[len("battery-"):])
	})
	if err != nil {
		tb.Fatal(err)
	}
	return store.NewLeaf{Rows: rows, Leaf: ledger.Leaf{
		Kind: ledger.KindIntervalSettled, Community: community,
		Settled: &ledger.IntervalSettled{
			Interval: in.Interval, Revision: revision, CharterHash: v.hash, RulesVersion: v.charter.RulesVersion,
			Quality: res.Quality, Complete: true, Pools: res.Pools,
		},
	}}
}

func (v *village) upTo(wh int64) energy.Energy { return energy.Energy(v.rng.Int64N(wh*1000 + 1)) }

func reversal(leaf int64, of store.NewLeaf) store.NewLeaf {
	return store.NewLeaf{Leaf: ledger.Leaf{
		Kind: ledger.KindReversal, Community: community,
		Reversal: &ledger.Reversal{Leaf: leaf, Interval: of.Leaf.Settled.Interval, Reason: "late meter data"},
	}}
}

func commit(tb testing.TB, s *store.Store, epoch int64, leaves ...store.NewLeaf) (first, size int64) {
	tb.Helper()
	first, size, err := s.Commit(context.Background(), epoch, leaves)
	if err != nil {
		tb.Fatal(err)
	}
	return first, size
}

func raise(tb testing.TB, s *store.Store) int64 {
	tb.Helper()
	epoch, err := s.RaiseEpoch(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	return epoch
}
