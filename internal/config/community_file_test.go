// SPDX-License-Identifier: AGPL-3.0-or-later

package config_test

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/config"
)

// TestWrittenIsRead: a register that is written as a file is read as the same
// one, whatever names people have and however an id looks to YAML.
func TestWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.SampledFrom([]string{"anna", "null", "true", "007", "1e3", "0x10", "no", "2026-01-01", "a_b-c"})
		name := rapid.StringOf(rapid.OneOf(rapid.RuneFrom([]rune(`aZü"'\:#-[]{},&*!|>%@`+"`é漢 ")), rapid.Rune().Filter(func(r rune) bool { return r >= ' ' })))
		limit := func(name string) energy.Power {
			return energy.Power(rapid.Int64Range(0, 1_000_000_000).Draw(t, name))
		}
		order := func(name string) *roll.Order {
			if !rapid.Bool().Draw(t, name) {
				return nil
			}
			return &roll.Order{
				Price: energy.Price{Micro: rapid.Int64Range(0, 1_000_000_000).Draw(t, "price"), Currency: rapid.SampledFrom([]energy.Currency{"EUR", "SEK", "JPY"}).Draw(t, "currency")},
				Most:  energy.Energy(rapid.Int64Range(0, 1_000_000_000).Draw(t, "most")),
			}
		}
		battery := &roll.BatteryData{
			Capacity:  energy.Energy(rapid.Int64Range(1, 1_000_000_000).Draw(t, "capacity")),
			MaxCharge: 1 + limit("charge"), MaxDischarge: 1 + limit("discharge"), MinSoC: 15, MaxSoC: 995, ReserveSoC: rapid.Int64Range(15, 995).Draw(t, "reserve"),
			ChargeEff: rapid.Int64Range(500_000, 1_000_000).Draw(t, "eff"), DischargeEff: 1_000_000, Placement: roll.OwnMeter,
			Dispatchable: rapid.Bool().Draw(t, "dispatchable"),
		}
		member, site := roll.MemberID(id.Draw(t, "member")), roll.SiteID(id.Draw(t, "site"))
		c := roll.Community{
			ID: roll.CommunityID(id.Draw(t, "id")), Name: rapid.StringMatching(`[a-z "\\]{0,20}`).Draw(t, "name"), Timezone: "Europe/Vienna",
			Members:     []roll.Member{{ID: member, Name: clip(name.Draw(t, "who")), Groups: []roll.Group{roll.Group(id.Draw(t, "group"))}, Bid: order("bid"), Offer: order("offer")}},
			Connections: []roll.Connection{{ID: "village", Kind: roll.PublicGrid, ImportLimit: limit("import"), ExportLimit: limit("export")}, {ID: "mill", Kind: roll.OneMeter, Meter: "mill-main"}},
			Sites:       []roll.Site{{ID: site, Member: member, Connection: "village", Latitude: "48.2082", Longitude: "-16.3"}},
			Assets: []roll.Asset{
				{ID: "mill-main", Kind: roll.Meter, Connection: "mill", Gateway: "gw"},
				{ID: "m", Kind: roll.Meter, Site: site, Owner: member, Gateway: "gw"},
				{ID: "b", Kind: roll.Battery, Site: site, Gateway: "gw", Battery: battery},
			},
			Gateways: []roll.Gateway{{ID: "gw", Name: clip(name.Draw(t, "where"))}},
		}
		text := config.EncodeCommunity(c)
		back, err := config.DecodeCommunity("export.yaml", text)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if !reflect.DeepEqual(back, c) {
			t.Fatalf("%+v\nwas read as\n%+v\nfrom\n%s", c, back, text)
		}
	})
}

// clip keeps a name within what a register takes.
func clip(s string) string {
	out := ""
	for _, r := range s {
		if len(out) > 150 {
			break
		}
		out += string(r)
	}
	return out
}
