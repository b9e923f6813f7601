// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"errors"
	"fmt"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/strictyaml"
)

// The fields of community.yaml. Units stand last in a name.
type (
	communityFile struct {
		ID          string           `yaml:"id"`
		Name        string           `yaml:"name"`
		Timezone    string           `yaml:"timezone"`
		Members     []memberFile     `yaml:"members"`
		Connections []connectionFile `yaml:"connections"`
		Sites       []siteFile       `yaml:"sites"`
		Assets      []assetFile      `yaml:"assets"`
		Gateways    []gatewayFile    `yaml:"gateways"`
	}
	memberFile struct {
		ID     string     `yaml:"id"`
		Name   string     `yaml:"name"`
		Groups []string   `yaml:"groups"`
		Bid    *orderFile `yaml:"bid"`
		Offer  *orderFile `yaml:"offer"`
	}
	orderFile struct {
		Price energy.Price   `yaml:"price"`
		Most  *energy.Energy `yaml:"most_kwh"`
	}
	connectionFile struct {
		ID          string       `yaml:"id"`
		Kind        string       `yaml:"kind"`
		Meter       string       `yaml:"meter"`
		ImportLimit energy.Power `yaml:"import_limit_w"`
		ExportLimit energy.Power `yaml:"export_limit_w"`
		Island      bool         `yaml:"island"`
	}
	siteFile struct {
		ID         string  `yaml:"id"`
		Member     string  `yaml:"member"`
		Connection string  `yaml:"connection"`
		Latitude   degrees `yaml:"latitude"`
		Longitude  degrees `yaml:"longitude"`
	}
	assetFile struct {
		ID         string       `yaml:"id"`
		Kind       string       `yaml:"kind"`
		Site       string       `yaml:"site"`
		Connection string       `yaml:"connection"`
		Owner      string       `yaml:"owner"`
		Gateway    string       `yaml:"gateway"`
		Battery    *batteryFile `yaml:"battery"`
	}
	batteryFile struct {
		Capacity     energy.Energy `yaml:"capacity_kwh"`
		MaxCharge    energy.Power  `yaml:"max_charge_w"`
		MaxDischarge energy.Power  `yaml:"max_discharge_w"`
		MinSoC       *permille     `yaml:"min_soc_percent"`
		MaxSoC       *permille     `yaml:"max_soc_percent"`
		ReserveSoC   *permille     `yaml:"reserve_soc_percent"`
		ChargeEff    *millionths   `yaml:"charge_efficiency_percent"`
		DischargeEff *millionths   `yaml:"discharge_efficiency_percent"`
		Placement    string        `yaml:"placement"`
		Dispatchable bool          `yaml:"dispatchable"`
	}
	gatewayFile struct {
		ID   string `yaml:"id"`
		Name string `yaml:"name"`
	}
)

// Defaults of a battery that states none: the whole capacity, and losses of a
// usual lithium battery with its inverter (0.9 there and back).
const (
	defaultMinSoC     = 0
	defaultMaxSoC     = 1_000
	defaultEfficiency = 948_683 // √0.9 in millionths
)

// UsualBattery is what a battery is that states nothing but its size.
func UsualBattery() roll.BatteryData {
	return roll.BatteryData{MinSoC: defaultMinSoC, MaxSoC: defaultMaxSoC, ReserveSoC: defaultMinSoC, ChargeEff: defaultEfficiency, DischargeEff: defaultEfficiency}
}

// communityOptions: a register of the largest size takes 7 MiB.
func communityOptions() strictyaml.Options {
	return strictyaml.Options{MaxSize: 8 << 20, Start: inEmptyFile}
}

// LoadCommunity reads and checks the register in a file.
func LoadCommunity(path string) (roll.Community, error) {
	src, err := readFile(path, communityOptions())
	if err != nil {
		return roll.Community{}, err
	}
	return DecodeCommunity(path, src)
}

// DecodeCommunity reads and checks a register. The error is a [Problems] that
// holds everything that is wrong; file is the name it is reported under.
func DecodeCommunity(file string, src []byte) (roll.Community, error) {
	var f communityFile
	doc := strictyaml.Read(file, src, &f, communityOptions())
	c := f.community()
	if found, ok := errors.AsType[roll.Problems](c.Validate()); ok {
		for _, p := range found {
			doc.Problemf(p.Field, "%s", p.Reason)
		}
	}
	for i, m := range f.Members {
		m.Bid.amount(doc, fmt.Sprintf("members[%d].bid", i))
		m.Offer.amount(doc, fmt.Sprintf("members[%d].offer", i))
	}
	if _, err := time.LoadLocation(c.Timezone); err != nil && c.Timezone != "" {
		doc.Problemf("timezone", "%.60q is no IANA time zone: write one such as Europe/Vienna", c.Timezone)
	}
	if err := doc.Err(); err != nil {
		return roll.Community{}, err
	}
	return c, nil
}

func (f *communityFile) community() roll.Community {
	c := roll.Community{ID: roll.CommunityID(f.ID), Name: f.Name, Timezone: f.Timezone}
	for _, m := range f.Members {
		member := roll.Member{ID: roll.MemberID(m.ID), Name: m.Name, Bid: m.Bid.order(), Offer: m.Offer.order()}
		for _, g := range m.Groups {
			member.Groups = append(member.Groups, roll.Group(g))
		}
		c.Members = append(c.Members, member)
	}
	for _, n := range f.Connections {
		c.Connections = append(c.Connections, roll.Connection{
			ID: roll.ConnectionID(n.ID), Kind: roll.ConnectionKind(n.Kind), Meter: roll.AssetID(n.Meter),
			ImportLimit: n.ImportLimit, ExportLimit: n.ExportLimit, Island: n.Island,
		})
	}
	for _, s := range f.Sites {
		c.Sites = append(c.Sites, roll.Site{
			ID: roll.SiteID(s.ID), Member: roll.MemberID(s.Member), Connection: roll.ConnectionID(s.Connection),
			Latitude: string(s.Latitude), Longitude: string(s.Longitude),
		})
	}
	for _, a := range f.Assets {
		c.Assets = append(c.Assets, roll.Asset{
			ID: roll.AssetID(a.ID), Kind: roll.AssetKind(a.Kind), Site: roll.SiteID(a.Site),
			Connection: roll.ConnectionID(a.Connection), Owner: roll.MemberID(a.Owner),
			Gateway: roll.GatewayID(a.Gateway), Battery: a.Battery.data(),
		})
	}
	for _, g := range f.Gateways {
		c.Gateways = append(c.Gateways, roll.Gateway{ID: roll.GatewayID(g.ID), Name: g.Name})
	}
	return c
}

func (o *orderFile) order() *roll.Order {
	if o == nil {
		return nil
	}
	out := &roll.Order{Price: o.Price}
	if o.Most != nil {
		out.Most = *o.Most
	}
	return out
}

// amount refuses an order for nothing: without an amount it is for everything.
func (o *orderFile) amount(doc *strictyaml.Document, field string) {
	if o != nil && o.Most != nil && *o.Most == 0 {
		doc.Problemf(field+".most_kwh", "an order for nothing is none: leave the order out, or leave most_kwh out for all that is needed or left")
	}
}

func (b *batteryFile) data() *roll.BatteryData {
	if b == nil {
		return nil
	}
	d := &roll.BatteryData{
		Capacity: b.Capacity, MaxCharge: b.MaxCharge, MaxDischarge: b.MaxDischarge,
		MinSoC: defaultMinSoC, MaxSoC: defaultMaxSoC, ChargeEff: defaultEfficiency, DischargeEff: defaultEfficiency,
		Placement: roll.Placement(b.Placement), Dispatchable: b.Dispatchable,
	}
	if b.MinSoC != nil {
		d.MinSoC = int64(*b.MinSoC)
	}
	if b.MaxSoC != nil {
		d.MaxSoC = int64(*b.MaxSoC)
	}
	d.ReserveSoC = d.MinSoC
	if b.ReserveSoC != nil {
		d.ReserveSoC = int64(*b.ReserveSoC)
	}
	if b.ChargeEff != nil {
		d.ChargeEff = int64(*b.ChargeEff)
	}
	if b.DischargeEff != nil {
		d.DischargeEff = int64(*b.DischargeEff)
	}
	return d
}
