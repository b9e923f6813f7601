// SPDX-License-Identifier: AGPL-3.0-or-later

package scheduler

import (
	"testing"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// TestBidsShareBooks: orders change more often than all else, so books that differ
// in nothing else share what they hold; each has its own orders all the same. A
// change of anything that settles is another book.
func TestBidsShareBooks(t *testing.T) {
	price := func(ct int64) energy.Price { return energy.Price{Micro: ct * 1_000_000, Currency: "EUR"} }
	register := func(change func(*roll.Community)) roll.Community { // each with lists of its own
		c := roll.Community{
			ID: "lane", Members: []roll.Member{{ID: "ben", Groups: []roll.Group{"young"}}, {ID: "anna"}},
			Connections: []roll.Connection{{ID: "village", Kind: roll.PublicGrid}},
			Sites:       []roll.Site{{ID: "home", Member: "anna", Connection: "village"}},
			Assets:      []roll.Asset{{ID: "cell", Kind: roll.Battery, Site: "home", Gateway: "gw", Battery: &roll.BatteryData{Capacity: 5, Placement: roll.OwnMeter}}},
		}
		change(&c)
		return c
	}
	bids := func(c *roll.Community) { c.Members[1].Bid = &roll.Order{Price: price(18)} }
	registers := []roll.Dated{{From: 10, Community: register(func(*roll.Community) {})}, {From: 20, Community: register(bids)}}
	list := newBooks(Config{}, nil, registers)
	list = list.replaced(30, newBooks(Config{}, list.before(30), []roll.Dated{{From: 30, Community: register(func(c *roll.Community) {
		c.Members[0].Offer = &roll.Order{Price: price(8)}
	})}}))
	if list[1].holdings != list[0].holdings || list[2].holdings != list[0].holdings {
		t.Error("books that differ in orders alone share nothing")
	}
	for i, want := range []orders{{}, {bid: &roll.Order{Price: price(18)}}, {}} {
		got := list[i].ordersOf("anna")
		if (got.bid == nil) != (want.bid == nil) || got.bid != nil && *got.bid != *want.bid || got.offer != nil {
			t.Errorf("book %d: %+v, want %+v", i, got, want)
		}
	}
	if list[2].ordersOf("ben").offer == nil || list[1].ordersOf("ben").offer != nil || list[2].ordersOf("nobody") != (orders{}) {
		t.Error("orders of others")
	}
	for what, change := range map[string]func(*roll.Community){
		"groups":     func(c *roll.Community) { c.Members[0].Groups[0] = "old" },
		"members":    func(c *roll.Community) { c.Members = c.Members[1:] },
		"an island":  func(c *roll.Community) { c.Connections[0].Island = true },
		"a site":     func(c *roll.Community) { c.Sites[0].Member = "ben" },
		"a battery":  func(c *roll.Community) { c.Assets[0].Battery.Capacity++ },
		"an owner":   func(c *roll.Community) { c.Assets[0].Owner = "anna" },
		"no battery": func(c *roll.Community) { c.Assets = nil },
	} {
		if next := newBooks(Config{}, list[2].book, []roll.Dated{{From: 40, Community: register(change)}}); next[0].holdings == list[2].holdings {
			t.Errorf("%s: the book before is kept", what)
		}
	}
	if len(list.speakers()) != 1 {
		t.Errorf("%v", list.speakers())
	}
}
