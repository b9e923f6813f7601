// SPDX-License-Identifier: AGPL-3.0-or-later

package roll_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

func house() roll.Community {
	return roll.Community{
		ID: "house", Timezone: "Europe/Vienna",
		Members: []roll.Member{{ID: "anna"}, {ID: "ben", Groups: []roll.Group{"families"}}},
		Connections: []roll.Connection{
			{ID: "village", Kind: roll.PublicGrid},
			{ID: "mill", Kind: roll.OneMeter, Meter: "main"},
		},
		Sites: []roll.Site{{ID: "home", Member: "anna", Connection: "village"}, {ID: "flat", Member: "ben", Connection: "mill"}},
		Assets: []roll.Asset{
			{ID: "home-meter", Kind: roll.Meter, Site: "home", Gateway: "gw"},
			{ID: "flat-meter", Kind: roll.Meter, Site: "flat", Gateway: "gw"},
			{ID: "main", Kind: roll.Meter, Connection: "mill", Gateway: "gw"},
			{ID: "battery", Kind: roll.Battery, Site: "home", Owner: "anna", Gateway: "gw", Battery: &roll.BatteryData{
				Capacity: 5 * energy.KilowattHour, MaxCharge: energy.Kilowatt, MaxDischarge: energy.Kilowatt, MaxSoC: 1000, ReserveSoC: 100,
				ChargeEff: 950_000, DischargeEff: 950_000, Placement: roll.BehindMeter,
			}},
		},
		Gateways: []roll.Gateway{{ID: "gw"}},
	}
}

func TestValidate(t *testing.T) {
	good := house()
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for field, breakIt := range map[string]func(*roll.Community){
		"id":                                    func(c *roll.Community) { c.ID = "" },
		"timezone":                              func(c *roll.Community) { c.Timezone = "" },
		"name":                                  func(c *roll.Community) { c.Name = "a\nb" },
		"members":                               func(c *roll.Community) { c.Members = nil },
		"members[1].id":                         func(c *roll.Community) { c.Members[1].ID = "anna" },
		"members[1].groups[0]":                  func(c *roll.Community) { c.Members[1].Groups[0] = "Families" },
		"connections":                           func(c *roll.Community) { c.Connections = nil },
		"connections[0].meter":                  func(c *roll.Community) { c.Connections[0].Meter = "main" },
		"connections[1].meter":                  func(c *roll.Community) { c.Connections[1].Meter = "flat-meter" },
		"connections[1].id":                     func(c *roll.Community) { c.Connections[1].ID = "grid" },
		"connections[0].kind":                   func(c *roll.Community) { c.Connections[0].Kind = "" },
		"sites[0].member":                       func(c *roll.Community) { c.Sites[0].Member = "nobody" },
		"sites[1].connection":                   func(c *roll.Community) { c.Sites[1].Connection = "nowhere" },
		"sites[0].latitude":                     func(c *roll.Community) { c.Sites[0].Latitude = "48" },
		"sites[1]":                              func(c *roll.Community) { c.Assets = slices.Delete(c.Assets, 1, 2) },
		"assets[1].site":                        func(c *roll.Community) { c.Assets[1].Site = "home" },
		"assets[2].connection":                  func(c *roll.Community) { c.Assets[2].Site = "home" },
		"assets[3].owner":                       func(c *roll.Community) { c.Assets[3].Owner = "nobody" },
		"assets[3].gateway":                     func(c *roll.Community) { c.Assets[3].Gateway = "" },
		"assets[3].battery":                     func(c *roll.Community) { c.Assets[3].Battery = nil },
		"assets[0].battery":                     func(c *roll.Community) { c.Assets[0].Battery = c.Assets[3].Battery },
		"assets[3].kind":                        func(c *roll.Community) { c.Assets[3].Kind = "boiler" },
		"gateways[1].id":                        func(c *roll.Community) { c.Gateways = append(c.Gateways, roll.Gateway{ID: "gw"}) },
		"assets[3].battery.placement":           func(c *roll.Community) { c.Assets[3].Battery.Placement = "" },
		"assets[3].battery.max_charge_w":        func(c *roll.Community) { c.Assets[3].Battery.MaxCharge = -1 },
		"assets[3].battery.capacity_kwh":        func(c *roll.Community) { c.Assets[3].Battery.Capacity = 0 },
		"assets[3].battery.reserve_soc_percent": func(c *roll.Community) { c.Assets[3].Battery.ReserveSoC = 1001 },
		"assets[3].battery.discharge_efficiency_percent": func(c *roll.Community) { c.Assets[3].Battery.DischargeEff = 1_000_001 },
	} {
		c := house()
		breakIt(&c)
		var found roll.Problems
		if err := c.Validate(); !errors.As(err, &found) || !slices.ContainsFunc(found, func(p roll.Problem) bool { return p.Field == field }) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestCheckID(t *testing.T) {
	for id, good := range map[string]bool{
		"a": true, "7": true, "roof-3": true, "a_b-": true, strings.Repeat("a", 40): true,
		"": false, "-a": false, "_a": false, "A": false, "a b": false, "ä": false, "a/b": false, strings.Repeat("a", 41): false,
	} {
		if err := roll.CheckID(id); (err == nil) != good {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// TestAnyCommunity: whatever the register holds, the check ends with a list or
// nothing, and never panics.
func TestAnyCommunity(t *testing.T) {
	id := rapid.SampledFrom([]string{"", "a", "b", "c", "X", "grid"})
	rapid.Check(t, func(t *rapid.T) {
		c := roll.Community{ID: roll.CommunityID(id.Draw(t, "id")), Timezone: "UTC"}
		some := rapid.IntRange(0, 3)
		for range some.Draw(t, "members") {
			c.Members = append(c.Members, roll.Member{ID: roll.MemberID(id.Draw(t, "member"))})
		}
		for range some.Draw(t, "connections") {
			kind := rapid.SampledFrom([]roll.ConnectionKind{"", roll.PublicGrid, roll.OneMeter}).Draw(t, "kind")
			c.Connections = append(c.Connections, roll.Connection{ID: roll.ConnectionID(id.Draw(t, "connection")), Kind: kind, Meter: roll.AssetID(id.Draw(t, "meter"))})
		}
		for range some.Draw(t, "sites") {
			c.Sites = append(c.Sites, roll.Site{ID: roll.SiteID(id.Draw(t, "site")), Member: roll.MemberID(id.Draw(t, "member")), Connection: roll.ConnectionID(id.Draw(t, "connection"))})
		}
		for range some.Draw(t, "assets") {
			a := roll.Asset{ID: roll.AssetID(id.Draw(t, "asset")), Site: roll.SiteID(id.Draw(t, "site")), Connection: roll.ConnectionID(id.Draw(t, "connection")), Gateway: "gw"}
			a.Kind = rapid.SampledFrom([]roll.AssetKind{"", roll.Meter, roll.Inverter, roll.Battery}).Draw(t, "kind")
			if rapid.Bool().Draw(t, "has battery") {
				a.Battery = &roll.BatteryData{Capacity: energy.Energy(rapid.Int64().Draw(t, "capacity")), MinSoC: rapid.Int64().Draw(t, "soc"), ChargeEff: rapid.Int64().Draw(t, "eff")}
			}
			c.Assets = append(c.Assets, a)
		}
		var found roll.Problems
		if err := c.Validate(); err != nil && (!errors.As(err, &found) || len(found) == 0 || found.Error() == "") {
			t.Errorf("%v", err)
		}
	})
}
