// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
	"github.com/allmende-energy/allmende/scheduler"
)

// Around is what surrounds a tick's picture and the state machine does not know.
type Around struct {
	Gateways   []GatewayHealth
	Speed      float64 // world seconds per wall second
	LedgerSize int64
}

// GatewayHealth is how a gateway does.
type GatewayHealth struct {
	Gateway       roll.GatewayID
	Name          string
	Connected     bool
	Enrolled      bool
	LastSeen      energy.Instant // world time, 0 if never in this run
	ClockOffset   energy.Span
	ClockKnown    bool
	SpoolPending  uint64
	DevicesOnline int
	DevicesTotal  int
	Problem       string // what is wrong and what to do, empty if all is well
}

// GatewayDetail is a gateway with its devices.
type GatewayDetail struct {
	Health   GatewayHealth
	Devices  []Device
	Software string
}

// EncodeLive is a tick's picture on the wire.
func EncodeLive(l scheduler.Live, a Around) *allmendev1.Live {
	out := &allmendev1.Live{
		Sequence: l.Sequence, AtUnixMs: int64(l.At), Flow: encodeFlow(l.Flow), Speed: a.Speed,
		IntervalStartUnixMs: int64(l.Interval.Start), IntervalEndUnixMs: int64(l.Interval.End()),
		SettledUntilUnixMs: int64(l.SettledUntil), LedgerSize: uint64(max(a.LedgerSize, 0)),
	}
	for _, m := range l.Members {
		out.Members = append(out.Members, &allmendev1.MemberLive{
			MemberId:             string(m.Member),
			ProductionMilliwatts: int64(m.Production), ConsumptionMilliwatts: int64(m.Consumption),
			ImportMilliwatts: int64(m.Import), ExportMilliwatts: int64(m.Export), ShareMilliwatts: int64(m.Share),
			ShareIntervalMilliwattHours: int64(m.ShareInterval), ShareTodayMilliwattHours: int64(m.ShareToday),
			ConsumptionTodayMilliwattHours: int64(m.ConsumptionToday), Quality: encodeQuality(m.Quality),
		})
	}
	for _, b := range l.Batteries {
		out.Batteries = append(out.Batteries, &allmendev1.BatteryLive{
			AssetId: string(b.Asset), PowerMilliwatts: int64(b.Power), SocPermille: int32(b.SoC),
			SetpointMilliwatts: int64(b.Setpoint), SetpointInForce: b.Commanded, Quality: encodeQuality(b.Quality),
		})
	}
	for _, g := range a.Gateways {
		out.Gateways = append(out.Gateways, encodeHealth(g))
	}
	return out
}

func encodeFlow(f scheduler.Flow) *allmendev1.Flow {
	return &allmendev1.Flow{
		ProductionMilliwatts: int64(f.Production), OwnUseMilliwatts: int64(f.OwnUse),
		SharedMilliwatts: int64(f.Shared), SharedFromStorageMilliwatts: int64(f.FromStorage),
		ChargeMilliwatts: int64(f.Charge), DischargeMilliwatts: int64(f.Discharge),
		GridImportMilliwatts: int64(f.GridImport), GridExportMilliwatts: int64(f.GridExport),
		ConsumptionMilliwatts: int64(f.Consumption), Quality: encodeQuality(f.Quality), MissingAssets: uint32(f.Missing),
	}
}

func encodeQuality(q energy.Quality) allmendev1.Quality { return allmendev1.Quality(q) }

func encodeHealth(g GatewayHealth) *allmendev1.GatewayHealth {
	return &allmendev1.GatewayHealth{
		GatewayId: string(g.Gateway), Name: g.Name, Connected: g.Connected, Enrolled: g.Enrolled,
		LastSeenUnixMs: int64(g.LastSeen), ClockOffsetMs: int64(g.ClockOffset), ClockKnown: g.ClockKnown,
		SpoolPending: g.SpoolPending, DevicesOnline: uint32(g.DevicesOnline), DevicesTotal: uint32(g.DevicesTotal),
		Problem: g.Problem,
	}
}

func encodeDetail(g GatewayDetail) *allmendev1.GatewayDetail {
	out := &allmendev1.GatewayDetail{Health: encodeHealth(g.Health), Software: g.Software}
	for _, d := range g.Devices {
		dev := &allmendev1.DeviceStatus{
			AssetId: string(d.Asset), Url: d.URL, UnitId: d.Unit, Online: d.Online,
			Manufacturer: d.Manufacturer, Model: d.Model, Error: d.Error,
			Controls: d.Controls, SecondMaster: d.SecondMaster, Profile: d.Profile, Sleeping: d.Sleeping,
		}
		if s := d.Setpoint; s != nil {
			dev.Setpoint = &allmendev1.SetpointState{
				PowerMilliwatts: int64(s.Power), Epoch: s.Epoch, Sequence: s.Sequence, ExpiresUnixMs: int64(s.Expires), Note: s.Note,
			}
		}
		out.Devices = append(out.Devices, dev)
	}
	return out
}

func encodeCommunity(c roll.Community, simulated bool) *allmendev1.Community {
	out := &allmendev1.Community{Id: string(c.ID), Name: c.Name, Timezone: c.Timezone, Simulated: simulated}
	for _, m := range c.Members {
		member := &allmendev1.Member{Id: string(m.ID), Name: m.Name}
		for _, g := range m.Groups {
			member.Groups = append(member.Groups, string(g))
		}
		out.Members = append(out.Members, member)
	}
	for _, n := range c.Connections {
		out.Connections = append(out.Connections, &allmendev1.Connection{Id: string(n.ID), Kind: string(n.Kind), MeterAssetId: string(n.Meter)})
	}
	for _, s := range c.Sites {
		out.Sites = append(out.Sites, &allmendev1.Site{Id: string(s.ID), MemberId: string(s.Member), ConnectionId: string(s.Connection)})
	}
	for _, a := range c.Assets {
		asset := &allmendev1.Asset{
			Id: string(a.ID), Kind: string(a.Kind), SiteId: string(a.Site), OwnerId: string(a.Owner), GatewayId: string(a.Gateway),
		}
		if a.Battery != nil {
			asset.CapacityMilliwattHours = int64(a.Battery.Capacity)
		}
		out.Assets = append(out.Assets, asset)
	}
	return out
}

func encodeInterval(index int64, s ledger.IntervalSettled) *allmendev1.SettledInterval {
	out := &allmendev1.SettledInterval{
		LeafIndex: uint64(index), StartUnixMs: int64(s.Interval.Start), LengthMs: int64(s.Interval.Length),
		Revision: int32(s.Revision), Complete: s.Complete, Quality: encodeQuality(s.Quality), CharterHash: s.CharterHash,
	}
	for _, p := range s.Pools {
		out.Pools = append(out.Pools, &allmendev1.PoolTotals{
			PoolId:                   string(p.Pool),
			ProductionMilliwattHours: int64(p.Production), OwnUseMilliwattHours: int64(p.OwnUse),
			ConsumptionMilliwattHours: int64(p.Consumption), SupplyMilliwattHours: int64(p.Supply),
			DemandMilliwattHours: int64(p.Demand), SharedMilliwattHours: int64(p.Shared),
			FromStorageMilliwattHours: int64(p.FromStorage), ChargedMilliwattHours: int64(p.Charged),
			DischargedMilliwattHours: int64(p.Discharged), StorageLossMilliwattHours: int64(p.StorageLoss),
			ResidualMilliwattHours: int64(p.Residual), GridImportMilliwattHours: int64(p.GridImport),
			GridExportMilliwattHours: int64(p.GridExport),
			TradedMilliwattHours:     int64(p.Traded()), MarketPrice: marketPrice(&p),
		})
	}
	return out
}
