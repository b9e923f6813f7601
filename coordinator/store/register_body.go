// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// changeBody is what the database keeps of a change beside its name and date.
// The names are those of community.yaml; energies and powers are decimals.
type changeBody struct {
	Fields []string `json:"fields,omitempty"` // that an OpChange sets
	Again  bool     `json:"again,omitempty"`

	Name        string       `json:"name,omitempty"`
	Timezone    string       `json:"timezone,omitempty"`
	Groups      []roll.Group `json:"groups,omitempty"`
	Bid         *orderBody   `json:"bid,omitempty"`
	Offer       *orderBody   `json:"offer,omitempty"`
	Kind        string       `json:"kind,omitempty"`
	Meter       roll.AssetID `json:"meter,omitempty"`
	ImportLimit energy.Power `json:"import_limit_w,omitempty"`
	ExportLimit energy.Power `json:"export_limit_w,omitempty"`
	Island      bool         `json:"island,omitempty"`

	Member     roll.MemberID     `json:"member,omitempty"`
	Connection roll.ConnectionID `json:"connection,omitempty"`
	Latitude   string            `json:"latitude,omitempty"`
	Longitude  string            `json:"longitude,omitempty"`
	Site       roll.SiteID       `json:"site,omitempty"`
	Owner      roll.MemberID     `json:"owner,omitempty"`
	Gateway    roll.GatewayID    `json:"gateway,omitempty"`
	Battery    *batteryBody      `json:"battery,omitempty"`
}

type orderBody struct {
	Price energy.Price  `json:"price"`
	Most  energy.Energy `json:"most_kwh,omitempty"`
}

type batteryBody struct {
	Capacity     energy.Energy  `json:"capacity_kwh"`
	MaxCharge    energy.Power   `json:"max_charge_w"`
	MaxDischarge energy.Power   `json:"max_discharge_w"`
	MinSoC       int64          `json:"min_soc_permille"`
	MaxSoC       int64          `json:"max_soc_permille"`
	ReserveSoC   int64          `json:"reserve_soc_permille"`
	ChargeEff    int64          `json:"charge_efficiency_millionths"`
	DischargeEff int64          `json:"discharge_efficiency_millionths"`
	Placement    roll.Placement `json:"placement"`
	Dispatchable bool           `json:"dispatchable"`
}

func encodeChange(c roll.Change) (string, error) {
	b := changeBody{Fields: c.Fields, Again: c.Again}
	e := c.Entry
	switch {
	case c.Op == roll.OpRetire:
	case e.Head != nil:
		b.Name, b.Timezone = e.Head.Name, e.Head.Timezone
	case e.Member != nil:
		b.Name, b.Groups = e.Member.Name, e.Member.Groups
		b.Bid, b.Offer = (*orderBody)(e.Member.Bid), (*orderBody)(e.Member.Offer)
	case e.Connection != nil:
		b.Kind, b.Meter, b.ImportLimit, b.ExportLimit = string(e.Connection.Kind), e.Connection.Meter, e.Connection.ImportLimit, e.Connection.ExportLimit
		b.Island = e.Connection.Island
	case e.Site != nil:
		b.Member, b.Connection, b.Latitude, b.Longitude = e.Site.Member, e.Site.Connection, e.Site.Latitude, e.Site.Longitude
	case e.Asset != nil:
		b.Kind, b.Site, b.Connection, b.Owner, b.Gateway = string(e.Asset.Kind), e.Asset.Site, e.Asset.Connection, e.Asset.Owner, e.Asset.Gateway
		if data := e.Asset.Battery; data != nil {
			battery := batteryBody(*data)
			b.Battery = &battery
		}
	case e.Gateway != nil:
		b.Name = e.Gateway.Name
	}
	text, err := json.Marshal(b)
	if err != nil {
		return "", fmt.Errorf("a change of %s: %w", e.Ref(), err)
	}
	return string(text), nil
}

func decodeChange(ref roll.Ref, text string) (roll.Change, error) {
	var b changeBody
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&b); err != nil {
		return roll.Change{}, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return roll.Change{}, errors.New("more follows")
	}
	c := roll.Change{Fields: b.Fields, Again: b.Again, Entry: roll.Named(ref)}
	switch e := c.Entry; {
	case e.Head != nil:
		e.Head.Name, e.Head.Timezone = b.Name, b.Timezone
	case e.Member != nil:
		e.Member.Name, e.Member.Groups = b.Name, b.Groups
		e.Member.Bid, e.Member.Offer = (*roll.Order)(b.Bid), (*roll.Order)(b.Offer)
	case e.Connection != nil:
		e.Connection.Kind, e.Connection.Meter = roll.ConnectionKind(b.Kind), b.Meter
		e.Connection.ImportLimit, e.Connection.ExportLimit, e.Connection.Island = b.ImportLimit, b.ExportLimit, b.Island
	case e.Site != nil:
		e.Site.Member, e.Site.Connection, e.Site.Latitude, e.Site.Longitude = b.Member, b.Connection, b.Latitude, b.Longitude
	case e.Asset != nil:
		e.Asset.Kind, e.Asset.Site, e.Asset.Connection, e.Asset.Owner, e.Asset.Gateway = roll.AssetKind(b.Kind), b.Site, b.Connection, b.Owner, b.Gateway
		if b.Battery != nil {
			data := roll.BatteryData(*b.Battery)
			e.Asset.Battery = &data
		}
	case e.Gateway != nil:
		e.Gateway.Name = b.Name
	default:
		return roll.Change{}, fmt.Errorf("%q is no kind of entry", ref.Kind)
	}
	return c, nil
}
