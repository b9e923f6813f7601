// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// TestCheckOrder: an order is taken by a market of either rule, and refused with the
// bounds in which it would be.
func TestCheckOrder(t *testing.T) {
	ct := func(n int64) energy.Price { return energy.Price{Micro: n * 1_000_000, Currency: "EUR"} }
	market := &Market{Lowest: ct(5), Highest: ct(30)}
	with := func(sharing, island *Market) *Charter {
		c := sample()
		c.Sharing.Market = sharing
		if island != nil {
			c.Island = &Sharing{Market: island}
		}
		return &c
	}
	for _, x := range []struct {
		c    *Charter
		p    energy.Price
		says string
	}{
		{with(market, nil), ct(5), ""},
		{with(market, nil), ct(30), ""},
		{with(nil, market), ct(30), ""},
		{with(&Market{Lowest: ct(1), Highest: ct(2)}, market), ct(7), ""},
		{with(nil, nil), ct(7), "no market round"},
		{with(market, nil), energy.Price{Micro: 30_000_001, Currency: "EUR"}, "from 5 ct/kWh EUR to 30 ct/kWh EUR, and 30.000001 ct/kWh EUR is not"},
		{with(market, nil), energy.Price{Micro: 4_999_999, Currency: "EUR"}, "from 5 ct/kWh EUR"},
		{with(market, nil), energy.Price{Micro: 7_000_000, Currency: "CHF"}, "is in CHF, and the charter in force counts in EUR"},
	} {
		err := x.c.CheckOrder(roll.Order{Price: x.p})
		if x.says == "" && err != nil || x.says != "" && (err == nil || !strings.Contains(err.Error(), x.says)) {
			t.Errorf("%v: %v, want %q", x.p, err, x.says)
		}
	}
}
