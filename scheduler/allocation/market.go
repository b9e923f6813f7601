// SPDX-License-Identifier: AGPL-3.0-or-later

package allocation

import (
	"fmt"
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/scheduler/allocation/kernel"
)

// Trader is a member as the market round sees her, after all rounds.
type Trader struct {
	ID    roll.MemberID
	Needs int64 // what the rounds and storage did not give her; 0 for who may not receive
	Left  int64 // of hers, what nobody took: see Outcome.Unsold
	Bid   Order
	Offer Order
}

// Order is a bid or an offer: at most so much, at this price or a better one.
type Order struct {
	Most  int64 // 0: none stands
	Limit int64 // millionths of the minor unit per kWh, see energy.Price.Micro
}

// Market runs market rounds and keeps their buffers. The zero value is ready;
// one goroutine uses it at a time.
type Market struct {
	kernel       kernel.Scratch
	bids, offers []kernel.Order
	bought, sold []int64
	ids          []roll.MemberID // of the last traders
	ties         []uint64        // of ids
	last         Cleared
}

// Cleared is how a market round came out. It lives in the market and lasts until
// its next Clear; copy what must outlive it.
type Cleared struct {
	Price  int64   // millionths of the minor unit per kWh; 0 where nothing was traded
	Volume int64   // Σ Bought = Σ Sold
	Bought []int64 // of each trader, ≤ Needs
	Sold   []int64 // of each trader, ≤ Left
	Unit   int64
	Seed   uint64
	// Clearing is in units of Unit; with it a trader checks what is hers, see [Cleared.Check].
	Clearing kernel.Clearing
}

// Clear runs the market round of a charter among traders, at one price:
//
//	after settlement has run the plan, and storage has taken and given its part,
//	for each member: Needs is her demand without her shares, Left what she fed in
//	without what was sold and stored of it, Bid and Offer what she said.
//	Then share += Bought and sold += Sold, and the grid has the rest. Bought · price goes
//	from each buyer to the community and Sold · price from it to each seller.
//
// No bid can lower a share from the rounds: they are over, and only what they
// left is traded. Clearing counts in the charter's unit of rounding. An order is
// cut to what its member needs or has left, and to whole units; outside the
// charter's lowest and highest price it stands for nothing. Of who has both, the
// larger stands (of equal ones the offer), so that nobody trades with herself. What
// the price is, and who goes short at the margin: see [kernel.Scratch.Clear]. Units
// that a division leaves go to the largest remainders whatever Rounding.Mode says,
// because what is bought must be sold; ties by seed and member, as in the rounds.
//
// The order of traders does not matter; their IDs are distinct. Errors wrap
// [ErrAmount] or [ErrRule]; nothing is traded then.
func (m *Market) Clear(rules *charter.Sharing, traders []Trader, seed Seed) (*Cleared, error) {
	if err := checkMarket(rules, traders); err != nil {
		return nil, err
	}
	m.rank(traders)
	n, unit, ties := len(traders), int64(1), kernel.Ties{Seed: seedWord(seed), Keys: m.ties}
	if r := rules.Rounding; r != nil {
		unit = max(1, int64(r.Unit))
	}
	m.bids, m.offers = resize(m.bids, n), resize(m.offers, n)
	for i := range traders {
		m.bids[i], m.offers[i] = standing(rules.Market, unit, &traders[i])
	}
	m.bought, m.sold = resize(m.bought, n), resize(m.sold, n)
	c := m.kernel.Clear(m.bought, m.sold, m.bids, m.offers, ties, ties)
	for i := range traders {
		m.bought[i] *= unit
		m.sold[i] *= unit
	}
	m.last = Cleared{
		Price: c.Price, Volume: c.Volume * unit, Bought: m.bought, Sold: m.sold,
		Unit: unit, Seed: ties.Seed, Clearing: c,
	}
	return &m.last, nil
}

// maxLimit bounds a price, so that two of them add up.
const maxLimit = 1 << 62

func checkMarket(rules *charter.Sharing, traders []Trader) error {
	switch {
	case rules == nil || rules.Market == nil:
		return fmt.Errorf("%w: the charter has no market round", ErrRule)
	case rules.Market.Lowest.Micro < -maxLimit || rules.Market.Highest.Micro > maxLimit:
		return fmt.Errorf("%w: the market's lowest or highest price is out of range; validate the charter first", ErrRule)
	case len(traders) > MaxMembers:
		return fmt.Errorf("%w: %d traders, at most %d can trade at once; split the community", ErrAmount, len(traders), MaxMembers)
	}
	var needs, left int64
	for i := range traders {
		t := &traders[i]
		needs, left = needs+t.Needs, left+t.Left
		if min(t.Needs, t.Left, t.Bid.Most, t.Offer.Most, needs, left) < 0 {
			return fmt.Errorf("%w: what %q needs, has left, bids or offers is negative, or the sum passes 63 bits; check her meters and orders", ErrAmount, t.ID)
		}
	}
	return nil
}

// rank looks the traders' keys up, unless they are those of the last time.
func (m *Market) rank(traders []Trader) {
	if slices.EqualFunc(m.ids, traders, func(id roll.MemberID, t Trader) bool { return id == t.ID }) {
		return
	}
	m.ids = resize(m.ids, len(traders))
	for i := range traders {
		m.ids[i] = traders[i].ID
	}
	m.ties = tieKeys(len(traders), func(i int) string { return string(m.ids[i]) })
}

// standing are what a trader's orders come to, in units.
func standing(rules *charter.Market, unit int64, t *Trader) (bid, offer kernel.Order) {
	cut := func(o Order, most int64) kernel.Order {
		if o.Limit < rules.Lowest.Micro || o.Limit > rules.Highest.Micro {
			return kernel.Order{}
		}
		return kernel.Order{Most: min(o.Most, most) / unit, Limit: o.Limit}
	}
	bid, offer = cut(t.Bid, t.Needs), cut(t.Offer, t.Left)
	if bid.Most > offer.Most {
		offer = kernel.Order{}
	} else {
		bid = kernel.Order{}
	}
	return bid, offer
}

// MarketSeed is the seed that a market round writes into its certificate.
func MarketSeed(s Seed) uint64 { return seedWord(s) }

// Rank is a trader's place in the order of ties at a margin.
func (c *Cleared) Rank(id roll.MemberID) uint64 { return kernel.Rank(c.Seed, TieKey(string(id))) }

// Check computes what a trader buys and sells from her own line and the
// certificate alone.
func (c *Cleared) Check(rules *charter.Sharing, t *Trader) (buys, sells int64, err error) {
	if rules == nil || rules.Market == nil || c.Unit < 1 {
		return 0, 0, fmt.Errorf("%w: the certificate is of no market of this charter", ErrRule)
	}
	bid, offer := standing(rules.Market, c.Unit, t)
	rank := c.Rank(t.ID)
	return c.Clearing.Buys(bid, rank) * c.Unit, c.Clearing.Sells(offer, rank) * c.Unit, nil
}
