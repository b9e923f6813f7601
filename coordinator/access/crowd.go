// SPDX-License-Identifier: AGPL-3.0-or-later

package access

import (
	"cmp"
	"context"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/roll"
)

// DefaultCrowd is how many members stand behind a total, at least, before
// everybody sees it. Of a total over two, each knows the other's part; over
// three, two who compare know the third's. Five is what many statistics offices
// and energy regulators ask for.
const DefaultCrowd = 5

// Crowd knows how many members stand behind each total, and so which totals
// show single members. It follows from the register, and is never changed.
//
// The rule is the same everywhere: a total over fewer members than the least is
// a personal matter, and what could be worked out by taking one total from
// another counts as shown. Devices of the community itself are nobody's.
type Crowd struct {
	least     int
	members   int // with a site
	roofs     int // with an inverter at theirs
	batteries int // who own one
	pools     map[roll.PoolID]map[roll.MemberID]bool
	owners    map[roll.AssetID]roll.MemberID // of batteries that are somebody's
	hidden    []roll.PoolID                  // in order
}

// NewCrowd counts who is behind what. least is 1 or more.
func NewCrowd(c roll.Community, least int) *Crowd {
	out := &Crowd{least: max(least, 1), pools: map[roll.PoolID]map[roll.MemberID]bool{}, owners: map[roll.AssetID]roll.MemberID{}}
	pool := map[roll.ConnectionID]roll.PoolID{}
	for _, n := range c.Connections {
		pool[n.ID] = roll.GridPool
		if n.Kind == roll.OneMeter {
			pool[n.ID] = roll.PoolID(n.ID)
		}
	}
	living, at := map[roll.MemberID]bool{}, map[roll.SiteID]roll.MemberID{}
	for _, s := range c.Sites {
		at[s.ID], living[s.Member] = s.Member, true
		p := pool[s.Connection]
		if out.pools[p] == nil {
			out.pools[p] = map[roll.MemberID]bool{}
		}
		out.pools[p][s.Member] = true
	}
	roofs, owning := map[roll.MemberID]bool{}, map[roll.MemberID]bool{}
	for _, a := range c.Assets {
		switch {
		case a.Kind == roll.Inverter && at[a.Site] != "":
			roofs[at[a.Site]] = true // her export gives away her own use, whoever owns the roof
		case a.Kind == roll.Battery && a.Owner != "":
			owning[a.Owner], out.owners[a.ID] = true, a.Owner
		}
	}
	out.members, out.roofs, out.batteries = len(living), len(roofs), len(owning)
	out.hidden = out.hide()
	return out
}

// hide lists the pools whose totals may not be shown. The community's total is
// shown beside the pools', so those that are hidden must together be enough
// members, or else the smallest of the others are hidden too.
func (c *Crowd) hide() []roll.PoolID {
	order := make([]roll.PoolID, 0, len(c.pools))
	for p := range c.pools {
		order = append(order, p)
	}
	slices.SortFunc(order, func(a, b roll.PoolID) int {
		return cmp.Or(cmp.Compare(len(c.pools[a]), len(c.pools[b])), cmp.Compare(a, b))
	})
	var hidden []roll.PoolID
	behind := map[roll.MemberID]bool{}
	for _, p := range order {
		if len(c.pools[p]) >= c.least && (len(hidden) == 0 || len(behind) >= c.least) {
			break
		}
		hidden = append(hidden, p)
		for m := range c.pools[p] {
			behind[m] = true
		}
	}
	slices.Sort(hidden)
	return hidden
}

// few says whether a number of members is one or more, but too few.
func (c *Crowd) few(n int) bool { return n > 0 && n < c.least }

// HidesFlow says whether the community's flow shows single members.
func (c *Crowd) HidesFlow() bool { return c.few(c.members) }

// HidesBehindMeters says whether what happens behind the members' own meters
// shows single ones: own use, production and consumption where few have a roof,
// charge and discharge where few have a battery. One follows from the others,
// so they are hidden together. What passes the meters to and from the commons
// is the commons' affair.
func (c *Crowd) HidesBehindMeters() bool {
	return c.HidesFlow() || c.few(c.roofs) || c.few(c.batteries)
}

// HiddenPools are the pools whose totals show single members.
func (c *Crowd) HiddenPools() []roll.PoolID { return c.hidden }

// BatteryOwner is the member whose battery it is, empty for the community's.
func (c *Crowd) BatteryOwner(a roll.AssetID) roll.MemberID { return c.owners[a] }

// OrdersOf is nil if the caller may set what a member bids and offers. Otherwise it
// is the answer to give: that there is no such member, whether or not there is.
func OrdersOf(ctx context.Context, m roll.MemberID) error {
	if From(ctx).SetsOrdersOf(m) {
		return nil
	}
	return status.Errorf(codes.NotFound, "there is no member %.40q whose bid and offer you may set", m)
}

// CurvesOf is nil if the caller may see a single member's curves. Otherwise it
// is the answer to give: that there is no such member, whether or not there is.
func CurvesOf(ctx context.Context, m roll.MemberID) error {
	if From(ctx).SeesCurvesOf(m) {
		return nil
	}
	return status.Errorf(codes.NotFound, "there is no member %.40q whose curves you may see", m)
}
