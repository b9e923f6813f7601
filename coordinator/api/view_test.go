// SPDX-License-Identifier: AGPL-3.0-or-later

package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/scheduler"
)

// sunnyLane has six homes with a roof each; the first two have batteries, and the
// community has one of its own.
func sunnyLane(homes int) roll.Community {
	c := roll.Community{ID: "sunny-lane", Name: "Sunny Lane", Connections: []roll.Connection{{ID: "village", Kind: roll.PublicGrid}}}
	for i := range homes {
		id := fmt.Sprint("m", i)
		site := roll.SiteID(id + "-home")
		c.Members = append(c.Members, roll.Member{ID: roll.MemberID(id), Name: "Name of " + id})
		c.Sites = append(c.Sites, roll.Site{ID: site, Member: roll.MemberID(id), Connection: "village"})
		c.Assets = append(c.Assets, roll.Asset{ID: roll.AssetID(id + "-roof"), Kind: roll.Inverter, Site: site})
		if i < 2 {
			c.Assets = append(c.Assets, roll.Asset{ID: roll.AssetID(id + "-battery"), Kind: roll.Battery, Site: site, Owner: roll.MemberID(id)})
		}
	}
	c.Assets = append(c.Assets, roll.Asset{ID: "commons-battery", Kind: roll.Battery, Site: "m0-home"})
	return c
}

func tick(homes int) scheduler.Live {
	l := scheduler.Live{Sequence: 7, Flow: scheduler.Flow{Production: 9_000, OwnUse: 4_000, Consumption: 8_000, Shared: 3_000, Charge: 500, GridImport: 1_000}}
	for i := range homes {
		l.Members = append(l.Members, scheduler.MemberLive{Member: roll.MemberID(fmt.Sprint("m", i)), Consumption: 1_234})
	}
	for _, b := range []roll.AssetID{"m0-battery", "m1-battery", "commons-battery"} {
		l.Batteries = append(l.Batteries, scheduler.BatteryLive{Asset: b, Power: 250})
	}
	return l
}

// TestWhoSeesWhatOfThePresent is the table of docs/access.md, tried.
func TestWhoSeesWhatOfThePresent(t *testing.T) {
	policy, err := access.Load()
	if err != nil {
		t.Fatal(err)
	}
	person := func(member string, roles ...access.Role) access.Principal {
		return policy.Grant(access.Principal{ID: "p", Kind: access.Person, Roles: roles, Member: roll.MemberID(member)})
	}
	for _, c := range []struct {
		who       access.Principal
		what      string
		homes     int
		members   string // shown, by number
		batteries string
		gateways  bool
		withheld  string
	}{
		{policy.Anonymous(true), "a visitor of a demo", 2, "0 1", "m0-battery m1-battery commons-battery", true, ""},
		{policy.Local(), "the operator", 2, "0 1", "m0-battery m1-battery commons-battery", true, ""},
		{person("", access.RoleTreasurer), "a treasurer", 6, "0 1 2 3 4 5", "m0-battery m1-battery commons-battery", false, ""},
		{person("m1", access.RoleMember), "a member", 6, "1", "m1-battery commons-battery", false, "behind_meters"},
		{person("m1", access.RoleMember), "a member of a tiny community", 2, "1", "m1-battery commons-battery", false, "flow behind_meters"},
		{person("m5", access.RoleMember), "a member without a battery", 6, "5", "commons-battery", false, "behind_meters"},
		{person("", access.RoleMember), "an account without a member", 6, "", "commons-battery", false, "behind_meters"},
		{person("", access.RoleSteward), "a steward", 6, "", "commons-battery", true, "behind_meters"},
		{person("m2", access.RoleInstaller), "an installer who is a member", 6, "2", "commons-battery", true, "behind_meters"},
		{person("m1", access.RoleObserver), "an observer", 6, "", "commons-battery", false, "behind_meters"},
		{person("m9", access.RoleMember), "a member who has left", 6, "", "commons-battery", false, "behind_meters"},
	} {
		hub := api.NewHub()
		service := api.NewCommunity(false, access.DefaultCrowd, &still{}, hub)
		service.Follow(sunnyLane(c.homes))
		hub.Publish(api.EncodeLive(tick(c.homes), api.Around{Gateways: []api.GatewayHealth{{Gateway: "gw-1"}}}))
		whole := proto.Clone(hub.Latest().Live)
		raw, err := service.JSON(c.who, hub.Latest())
		if err != nil {
			t.Fatal(err)
		}
		var shown struct {
			Members   []struct{ MemberID string }
			Batteries []struct{ AssetID string }
			Gateways  []struct{}
			Withheld  []string
			Flow      struct{ ConsumptionMilliwatts, OwnUseMilliwatts, ProductionMilliwatts, ChargeMilliwatts, SharedMilliwatts, GridImportMilliwatts string }
		}
		if err := json.Unmarshal(raw, &shown); err != nil {
			t.Fatal(err)
		}
		var members, batteries []string
		for _, m := range shown.Members {
			members = append(members, strings.TrimPrefix(m.MemberID, "m"))
		}
		for _, b := range shown.Batteries {
			batteries = append(batteries, b.AssetID)
		}
		if got := strings.Join(members, " "); got != c.members {
			t.Errorf("%s sees members %q, expected %q", c.what, got, c.members)
		}
		if got := strings.Join(batteries, " "); got != c.batteries {
			t.Errorf("%s sees batteries %q, expected %q", c.what, got, c.batteries)
		}
		if got := strings.Join(shown.Withheld, " "); got != c.withheld || (len(shown.Gateways) > 0) != c.gateways {
			t.Errorf("%s: withheld %q, gateways %d", c.what, got, len(shown.Gateways))
		}
		f := shown.Flow
		behind := strings.Contains(c.withheld, "behind_meters")
		for _, v := range []string{f.ConsumptionMilliwatts, f.OwnUseMilliwatts, f.ProductionMilliwatts, f.ChargeMilliwatts} {
			if (v == "0") != behind {
				t.Errorf("%s: behind the meters %+v", c.what, f)
			}
		}
		if all := strings.Contains(c.withheld, "flow"); (f.SharedMilliwatts == "0") != all || (f.GridImportMilliwatts == "0") != all {
			t.Errorf("%s: flow %+v", c.what, f)
		}
		if !proto.Equal(whole, hub.Latest().Live) {
			t.Errorf("showing it to %s changed the picture that all share", c.what)
		}
	}
}

// A member's own encoding of a large community's tick has to stay small.
func BenchmarkPersonalPicture(b *testing.B) {
	policy, err := access.Load()
	if err != nil {
		b.Fatal(err)
	}
	const homes = 1_000
	hub := api.NewHub()
	service := api.NewCommunity(false, access.DefaultCrowd, &still{}, hub)
	service.Follow(sunnyLane(homes))
	hub.Publish(api.EncodeLive(tick(homes), api.Around{}))
	anna := policy.Grant(access.Principal{ID: "p", Kind: access.Person, Roles: []access.Role{access.RoleMember}, Member: "m7"})
	b.ReportAllocs()
	for b.Loop() {
		raw, err := service.JSON(anna, hub.Latest())
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(raw)))
	}
}
