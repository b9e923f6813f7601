// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"github.com/allmende-energy/allmende/commons/ledger"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// encodeMarket is a member's market round; nil where there is none.
func encodeMarket(m *settlement.ExplainedMarket) *allmendev1.MarketShare {
	if m == nil {
		return nil
	}
	out := &allmendev1.MarketShare{
		Says: m.Says, NeededMilliwattHours: int64(m.Needs), LeftMilliwattHours: int64(m.Left),
		BoughtMilliwattHours: int64(m.Bought), SoldMilliwattHours: int64(m.Sold),
		Arithmetic: m.Arithmetic, Rank: m.Rank, AtMargin: m.AtMargin,
	}
	if m.Bid != nil {
		out.BidPrice, out.BidMostMilliwattHours = m.Bid.Price.String(), int64(m.Bid.Most)
	}
	if m.Offer != nil {
		out.OfferPrice, out.OfferMostMilliwattHours = m.Offer.Price.String(), int64(m.Offer.Most)
	}
	if m.Price != nil {
		out.Price = m.Price.String()
	}
	if c := m.Certificate; c != nil {
		out.Certificate = &allmendev1.MarketCertificate{
			Price: c.Price.String(), VolumeMilliwattHours: int64(c.Volume), UnitMilliwattHours: int64(c.Unit), Seed: c.Seed,
			Bids: encodeMargin(c.Bids), Offers: encodeMargin(c.Offers),
		}
	}
	return out
}

func encodeMargin(g *ledger.Margin) *allmendev1.MarketMargin {
	if g == nil {
		return nil
	}
	return &allmendev1.MarketMargin{
		Limit: g.Limit.String(), TradedMilliwattHours: int64(g.Traded), Num: g.Num, Den: g.Den, Cut: g.Cut, TieRank: g.TieRank,
	}
}

// marketPrice is what a pool's market round came to; empty where nothing was traded.
func marketPrice(p *ledger.PoolTotals) string {
	if p.Traded() == 0 {
		return ""
	}
	return p.Market.Price.String()
}
