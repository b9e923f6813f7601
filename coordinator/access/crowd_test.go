// SPDX-License-Identifier: AGPL-3.0-or-later

package access

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/roll"
)

// street is a community of so many homes on the grid, of which the first ones
// have roofs and batteries, and of homes behind one meter each.
func street(homes, roofs, batteries int, oneMeter ...int) roll.Community {
	c := roll.Community{Connections: []roll.Connection{{ID: "village", Kind: roll.PublicGrid}}}
	add := func(id, connection string) roll.SiteID {
		c.Members = append(c.Members, roll.Member{ID: roll.MemberID(id)})
		c.Sites = append(c.Sites, roll.Site{ID: roll.SiteID(id + "-home"), Member: roll.MemberID(id), Connection: roll.ConnectionID(connection)})
		return roll.SiteID(id + "-home")
	}
	for i := range homes {
		site := add(fmt.Sprint("m", i), "village")
		if i < roofs {
			c.Assets = append(c.Assets, roll.Asset{ID: roll.AssetID(fmt.Sprint("roof", i)), Kind: roll.Inverter, Site: site})
		}
		if i < batteries {
			c.Assets = append(c.Assets, roll.Asset{ID: roll.AssetID(fmt.Sprint("battery", i)), Kind: roll.Battery, Site: site, Owner: roll.MemberID(fmt.Sprint("m", i))})
		}
	}
	for i, n := range oneMeter {
		house := fmt.Sprint("house", i)
		c.Connections = append(c.Connections, roll.Connection{ID: roll.ConnectionID(house), Kind: roll.OneMeter})
		for j := range n {
			add(fmt.Sprint(house, "-", j), house)
		}
	}
	return c
}

func TestCrowd(t *testing.T) {
	for _, c := range []struct {
		what         string
		community    roll.Community
		flow, meters bool
		pools        []roll.PoolID
	}{
		{"nobody yet", street(0, 0, 0), false, false, nil},
		{"two homes", street(2, 2, 0), true, true, []roll.PoolID{"grid"}},
		{"five homes without devices", street(5, 0, 0), false, false, nil},
		{"twelve homes, one roof", street(12, 1, 0), false, true, nil},
		{"twelve homes, six roofs, one battery", street(12, 6, 1), false, true, nil},
		{"twelve homes, six roofs and batteries", street(12, 6, 6), false, false, nil},
		{"a village and a large house", street(12, 6, 6, 8), false, false, nil},
		// The village alone would be the difference to everybody: it is hidden with the house.
		{"a village and a house of two", street(12, 6, 6, 2), false, false, []roll.PoolID{"grid", "house0"}},
		{"a village and two houses of three", street(12, 6, 6, 3, 3), false, false, []roll.PoolID{"house0", "house1"}},
		{"a village, a house of two and one of six", street(12, 6, 6, 2, 6), false, false, []roll.PoolID{"house0", "house1"}},
	} {
		got := NewCrowd(c.community, DefaultCrowd)
		if got.HidesFlow() != c.flow || got.HidesBehindMeters() != c.meters || !slices.Equal(got.HiddenPools(), c.pools) {
			t.Errorf("%s: flow hidden %v, behind meters %v, pools %v", c.what, got.HidesFlow(), got.HidesBehindMeters(), got.HiddenPools())
		}
		if all := NewCrowd(c.community, 1); all.HidesFlow() || all.HidesBehindMeters() || len(all.HiddenPools()) > 0 {
			t.Errorf("%s: something is hidden though everybody agreed to be seen", c.what)
		}
	}
	community := street(3, 0, 1)
	community.Assets = append(community.Assets, roll.Asset{ID: "commons-battery", Kind: roll.Battery, Site: "m0-home"})
	crowd := NewCrowd(community, DefaultCrowd)
	if crowd.BatteryOwner("battery0") != "m0" || crowd.BatteryOwner("commons-battery") != "" {
		t.Error("batteries are somebody else's")
	}
}

// Whatever is shown, no difference of two shown totals is over fewer members
// than the least, and so is no shown total.
func TestNoDifferenceShowsFew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		least := rapid.IntRange(1, 8).Draw(t, "least")
		houses := rapid.SliceOfN(rapid.IntRange(1, 12), 0, 5).Draw(t, "houses")
		c := street(rapid.IntRange(0, 20).Draw(t, "homes"), 0, 0, houses...)
		crowd := NewCrowd(c, least)
		size := map[roll.PoolID]int{}
		total := 0
		for _, s := range c.Sites {
			p := roll.GridPool
			if s.Connection != "village" {
				p = roll.PoolID(s.Connection)
			}
			size[p]++
			total++
		}
		hidden := 0
		for p, n := range size {
			if slices.Contains(crowd.HiddenPools(), p) {
				hidden += n
			} else if n < least {
				t.Fatalf("pool %s of %d is shown, %d are needed", p, n, least)
			}
		}
		if !crowd.HidesFlow() && hidden > 0 && hidden < least {
			t.Fatalf("the community's total less the pools' shows %d members", hidden)
		}
		if crowd.HidesFlow() != (total > 0 && total < least) {
			t.Fatalf("%d members, flow hidden: %v", total, crowd.HidesFlow())
		}
	})
}
