// SPDX-License-Identifier: AGPL-3.0-or-later

package settlement

import (
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

const million = 1_000_000

// tolerancePerMille of the capacity is how far book and measured state of
// charge may differ before the book follows: half a percent of quantisation in
// the device and as much of drift in our efficiencies.
const tolerancePerMille = 10

// bookStorage carries every battery's account through the interval.
func (p *pool) bookStorage() {
	if len(p.storage) == 0 {
		return
	}
	commons := p.chargedFromCommons()
	for i, b := range p.storage {
		b.In = ledger.Stock{Commons: commons[i], Grid: b.Charged - commons[i]}
		carry(b)
		p.totals.StorageLoss += total(b.Loss) - total(b.Reconciled)
	}
}

// chargedFromCommons divides the commons' part of all charging among the
// batteries in proportion to what each took.
func (p *pool) chargedFromCommons() []energy.Energy {
	weights, part := make([]int64, len(p.storage)), make([]int64, len(p.storage))
	ids := make([]roll.MemberID, len(p.storage)) // ties are broken by the asset's name
	for i, b := range p.storage {
		weights[i], ids[i] = int64(b.Charged), roll.MemberID(b.Asset)
	}
	p.work.Split(part, int64(p.totals.Charged-p.totals.ChargedGrid), weights, ids, p.seed)
	out := make([]energy.Energy, len(part))
	for i := range part {
		out[i] = energy.Energy(part[i])
	}
	return out
}

// carry takes the account from opening to closing, for each origin:
//
//	closing = opening + in − out − loss + reconciled
//
// Charging loses by the charge efficiency, and the loss falls on what came in.
// Discharging takes from the commons' and the grid's stock in the mix that is
// there (a weighted-average pool), more than what comes out by the discharge
// efficiency, and the loss falls on the same mix. The owner's reserve is
// touched by nobody; if the battery gave more than the book held, the book was
// wrong and the difference is reconciled.
func carry(b *ledger.StorageRow) {
	b.Loss, b.Out, b.Reconciled = ledger.Stock{}, ledger.Stock{}, ledger.Stock{}
	stock := b.Opening
	lostIn := func(in energy.Energy) energy.Energy {
		return in - energy.Energy(energy.MulDiv(int64(in), b.ChargeEff, million))
	}
	b.Loss.Commons, b.Loss.Grid = lostIn(b.In.Commons), lostIn(b.In.Grid)
	stock.Commons += b.In.Commons - b.Loss.Commons
	stock.Grid += b.In.Grid - b.Loss.Grid

	taken := ceilDiv(b.Discharged, b.DischargeEff)
	if short := taken - stock.Commons - stock.Grid; short > 0 {
		// The book held less than came out. What was missing was stored unseen.
		b.Reconciled.Grid += short
		stock.Grid += short
	}
	takenCommons := mix(taken, stock)
	b.Out.Commons = mix2(b.Discharged, takenCommons, taken)
	b.Out.Grid = b.Discharged - b.Out.Commons
	b.Loss.Commons += takenCommons - b.Out.Commons
	b.Loss.Grid += (taken - takenCommons) - b.Out.Grid
	stock.Commons -= takenCommons
	stock.Grid -= taken - takenCommons
	b.Closing = stock
	reconcile(b)
}

// reconcile moves the book to the measured state of charge where they differ by
// more than the tolerance: a shortage falls on the commons' and the grid's
// stock in their mix and last on the owner's; a surplus is of unknown origin
// and counts as the grid's.
func reconcile(b *ledger.StorageRow) {
	if b.SoC < 0 || b.Capacity <= 0 {
		return
	}
	measured := energy.Energy(energy.MulDiv(int64(b.Capacity), b.SoC, 1000))
	diff := measured - total(b.Closing)
	if magnitude(diff)*1000 <= b.Capacity*tolerancePerMille {
		return
	}
	if diff > 0 {
		b.Reconciled.Grid += diff
		b.Closing.Grid += diff
		return
	}
	missing := min(-diff, total(b.Closing))
	shared := min(missing, b.Closing.Commons+b.Closing.Grid)
	commons := mix(shared, b.Closing)
	for _, c := range []struct {
		closing, reconciled *energy.Energy
		by                  energy.Energy
	}{
		{&b.Closing.Commons, &b.Reconciled.Commons, commons},
		{&b.Closing.Grid, &b.Reconciled.Grid, shared - commons},
		{&b.Closing.Own, &b.Reconciled.Own, missing - shared},
	} {
		*c.closing -= c.by
		*c.reconciled -= c.by
	}
}

// Opening is the account of a battery that is seen for the first time: the
// owner's reserve is the owner's, everything else is of unknown origin and
// counts as the grid's.
func Opening(capacity energy.Energy, soc, reserve int64) ledger.Stock {
	if soc < 0 {
		return ledger.Stock{}
	}
	stored := energy.Energy(energy.MulDiv(int64(capacity), soc, 1000))
	own := min(stored, energy.Energy(energy.MulDiv(int64(capacity), max(reserve, 0), 1000)))
	return ledger.Stock{Own: own, Grid: stored - own}
}

// mix is the commons' part of taking e out of the shared stock, rounded down
// but never leaving the grid's stock short.
func mix(e energy.Energy, stock ledger.Stock) energy.Energy {
	c := mix2(e, stock.Commons, stock.Commons+stock.Grid)
	return max(c, e-stock.Grid)
}

// mix2 is floor(e · part / whole), 0 for an empty whole.
func mix2(e, part, whole energy.Energy) energy.Energy {
	if whole <= 0 {
		return 0
	}
	return energy.Energy(energy.MulDiv(int64(e), int64(part), int64(whole)))
}

func ceilDiv(e energy.Energy, eff int64) energy.Energy {
	q, rem := energy.MulDivRem(int64(e), million, eff)
	if rem > 0 {
		q++
	}
	return energy.Energy(q)
}

func total(s ledger.Stock) energy.Energy { return s.Own + s.Commons + s.Grid }
