// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

func encodeEntry(e roll.Entry) *allmendev1.RegisterEntry {
	out := &allmendev1.RegisterEntry{}
	switch {
	case e.Member != nil:
		m := &allmendev1.MemberEntry{Id: string(e.Member.ID), Name: e.Member.Name, Bid: encodeOrder(e.Member.Bid), Offer: encodeOrder(e.Member.Offer)}
		for _, g := range e.Member.Groups {
			m.Groups = append(m.Groups, string(g))
		}
		out.Entry = &allmendev1.RegisterEntry_Member{Member: m}
	case e.Connection != nil:
		c := e.Connection
		out.Entry = &allmendev1.RegisterEntry_Connection{Connection: &allmendev1.ConnectionEntry{
			Id: string(c.ID), Kind: string(c.Kind), MeterAssetId: string(c.Meter),
			ImportLimitMilliwatts: int64(c.ImportLimit), ExportLimitMilliwatts: int64(c.ExportLimit), Island: c.Island,
		}}
	case e.Site != nil:
		s := e.Site
		out.Entry = &allmendev1.RegisterEntry_Site{Site: &allmendev1.SiteEntry{
			Id: string(s.ID), MemberId: string(s.Member), ConnectionId: string(s.Connection), Latitude: s.Latitude, Longitude: s.Longitude,
		}}
	case e.Asset != nil:
		a := e.Asset
		out.Entry = &allmendev1.RegisterEntry_Asset{Asset: &allmendev1.AssetEntry{
			Id: string(a.ID), Kind: string(a.Kind), SiteId: string(a.Site), ConnectionId: string(a.Connection),
			OwnerId: string(a.Owner), GatewayId: string(a.Gateway), Battery: encodeBattery(a.Battery),
		}}
	case e.Gateway != nil:
		out.Entry = &allmendev1.RegisterEntry_Gateway{Gateway: &allmendev1.GatewayEntry{Id: string(e.Gateway.ID), Name: e.Gateway.Name}}
	}
	return out
}

func encodeBattery(b *roll.BatteryData) *allmendev1.BatteryEntry {
	if b == nil {
		return nil
	}
	return &allmendev1.BatteryEntry{
		CapacityMilliwattHours: int64(b.Capacity), MaxChargeMilliwatts: int64(b.MaxCharge), MaxDischargeMilliwatts: int64(b.MaxDischarge),
		MinSocPermille: b.MinSoC, MaxSocPermille: b.MaxSoC, ReserveSocPermille: b.ReserveSoC,
		ChargeEfficiencyMillionths: b.ChargeEff, DischargeEfficiencyMillionths: b.DischargeEff,
		Placement: string(b.Placement), Dispatchable: b.Dispatchable,
	}
}

// decodeEntry reads an entry; what it says is checked when it is planned.
func decodeEntry(field string, m *allmendev1.RegisterEntry) (roll.Entry, error) {
	switch e := m.GetEntry().(type) {
	case *allmendev1.RegisterEntry_Member:
		out := roll.Member{ID: roll.MemberID(e.Member.GetId()), Name: e.Member.GetName()}
		for _, g := range e.Member.GetGroups() {
			out.Groups = append(out.Groups, roll.Group(g))
		}
		var err error
		if out.Bid, err = decodeOrder(field+".member.bid", e.Member.GetBid()); err != nil {
			return roll.Entry{}, err
		}
		if out.Offer, err = decodeOrder(field+".member.offer", e.Member.GetOffer()); err != nil {
			return roll.Entry{}, err
		}
		return roll.Entry{Member: &out}, nil
	case *allmendev1.RegisterEntry_Connection:
		c := e.Connection
		return roll.Entry{Connection: &roll.Connection{
			ID: roll.ConnectionID(c.GetId()), Kind: roll.ConnectionKind(c.GetKind()), Meter: roll.AssetID(c.GetMeterAssetId()),
			ImportLimit: energy.Power(c.GetImportLimitMilliwatts()), ExportLimit: energy.Power(c.GetExportLimitMilliwatts()), Island: c.GetIsland(),
		}}, nil
	case *allmendev1.RegisterEntry_Site:
		s := e.Site
		return roll.Entry{Site: &roll.Site{
			ID: roll.SiteID(s.GetId()), Member: roll.MemberID(s.GetMemberId()), Connection: roll.ConnectionID(s.GetConnectionId()),
			Latitude: s.GetLatitude(), Longitude: s.GetLongitude(),
		}}, nil
	case *allmendev1.RegisterEntry_Asset:
		a := e.Asset
		return roll.Entry{Asset: &roll.Asset{
			ID: roll.AssetID(a.GetId()), Kind: roll.AssetKind(a.GetKind()), Site: roll.SiteID(a.GetSiteId()), Connection: roll.ConnectionID(a.GetConnectionId()),
			Owner: roll.MemberID(a.GetOwnerId()), Gateway: roll.GatewayID(a.GetGatewayId()), Battery: decodeBattery(a.GetBattery()),
		}}, nil
	case *allmendev1.RegisterEntry_Gateway:
		return roll.Entry{Gateway: &roll.Gateway{ID: roll.GatewayID(e.Gateway.GetId()), Name: e.Gateway.GetName()}}, nil
	}
	return roll.Entry{}, asked(field, "names no member, connection, site, asset or gateway")
}

func decodeBattery(b *allmendev1.BatteryEntry) *roll.BatteryData {
	if b == nil {
		return nil
	}
	return &roll.BatteryData{
		Capacity: energy.Energy(b.GetCapacityMilliwattHours()), MaxCharge: energy.Power(b.GetMaxChargeMilliwatts()), MaxDischarge: energy.Power(b.GetMaxDischargeMilliwatts()),
		MinSoC: b.GetMinSocPermille(), MaxSoC: b.GetMaxSocPermille(), ReserveSoC: b.GetReserveSocPermille(),
		ChargeEff: b.GetChargeEfficiencyMillionths(), DischargeEff: b.GetDischargeEfficiencyMillionths(),
		Placement: roll.Placement(b.GetPlacement()), Dispatchable: b.GetDispatchable(),
	}
}

func encodeRecorded(rev roll.Revision, c roll.Change) *allmendev1.RecordedChange {
	return &allmendev1.RecordedChange{
		Revision: rev.Number, Actor: rev.Actor, Note: rev.Note, RecordedUnixMs: rev.Recorded.UnixMilli(), FromUnixMs: int64(c.From),
		Op: string(c.Op), Entry: encodeEntry(c.Entry), Fields: c.Fields,
	}
}
