// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"slices"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/access"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// present is what follows from the register in force.
type present struct {
	full  *allmendev1.Community
	plain *allmendev1.Community // without members, and what is theirs
	crowd *access.Crowd
}

func newPresent(c roll.Community, simulated bool, least int) *present {
	full := encodeCommunity(c, simulated)
	return &present{
		full: full,
		// Ids are chosen by people and tell as much as names do.
		plain: &allmendev1.Community{Id: full.Id, Name: full.Name, Timezone: full.Timezone, Simulated: full.Simulated, Connections: full.Connections},
		crowd: access.NewCrowd(c, least),
	}
}

// What is left out of a picture, by the names that it says so with.
const (
	withheldFlow   = "flow"
	withheldMeters = "behind_meters"
)

// seesAll says whether a picture may go to somebody as it is.
func seesAll(who access.Principal) bool {
	return who.May(access.ReadCurves) && who.May(access.ReadGateway)
}

// picture is what of a tick's picture somebody may see. It shares with the
// whole one what it shows of it, and changes nothing there.
func (p *present) picture(who access.Principal, l *allmendev1.Live) *allmendev1.Live {
	if seesAll(who) {
		return l
	}
	out := &allmendev1.Live{
		Sequence: l.Sequence, AtUnixMs: l.AtUnixMs, Flow: l.Flow, Speed: l.Speed,
		IntervalStartUnixMs: l.IntervalStartUnixMs, IntervalEndUnixMs: l.IntervalEndUnixMs,
		SettledUntilUnixMs: l.SettledUntilUnixMs, LedgerSize: l.LedgerSize,
	}
	if who.May(access.ReadGateway) {
		out.Gateways = l.Gateways
	}
	if who.May(access.ReadCurves) {
		out.Members, out.Batteries = l.Members, l.Batteries
		return out
	}
	if own := string(who.Member); who.SeesCurvesOf(who.Member) {
		i := slices.IndexFunc(l.Members, func(m *allmendev1.MemberLive) bool { return m.MemberId == own })
		if i >= 0 {
			out.Members = l.Members[i : i+1]
		}
	}
	for _, b := range l.Batteries {
		if owner := p.crowd.BatteryOwner(roll.AssetID(b.AssetId)); owner == "" || who.SeesCurvesOf(owner) {
			out.Batteries = append(out.Batteries, b)
		}
	}
	out.Flow, out.Withheld = p.flow(l.Flow)
	return out
}

// flow is what of the community's flow everybody may see.
func (p *present) flow(f *allmendev1.Flow) (*allmendev1.Flow, []string) {
	switch {
	case f == nil:
		return nil, nil
	case p.crowd.HidesFlow():
		return &allmendev1.Flow{Quality: f.Quality, MissingAssets: f.MissingAssets}, []string{withheldFlow, withheldMeters}
	case p.crowd.HidesBehindMeters():
		return &allmendev1.Flow{
			SharedMilliwatts: f.SharedMilliwatts, SharedFromStorageMilliwatts: f.SharedFromStorageMilliwatts,
			GridImportMilliwatts: f.GridImportMilliwatts, GridExportMilliwatts: f.GridExportMilliwatts,
			Quality: f.Quality, MissingAssets: f.MissingAssets,
		}, []string{withheldMeters}
	}
	return f, nil
}

// intervals leaves out the totals of pools that show single members.
func (p *present) intervals(who access.Principal, out *allmendev1.ListIntervalsResponse) *allmendev1.ListIntervalsResponse {
	hidden := p.crowd.HiddenPools()
	if who.May(access.ReadCurves) || len(hidden) == 0 {
		return out
	}
	for _, id := range hidden {
		out.WithheldPoolIds = append(out.WithheldPoolIds, string(id))
	}
	for _, i := range out.Intervals {
		i.Pools = slices.DeleteFunc(i.Pools, func(t *allmendev1.PoolTotals) bool { return slices.Contains(out.WithheldPoolIds, t.PoolId) })
	}
	return out
}
