// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// field is one thing that an entry says, named as in community.yaml.
type field struct{ name, value string }

// fieldsOf are an entry's fields, its id first.
func fieldsOf(e *allmendev1.RegisterEntry) []field {
	switch {
	case e.GetMember() != nil:
		m := e.GetMember()
		out := []field{{"id", m.GetId()}, {roll.FieldName, m.GetName()}, {roll.FieldGroups, strings.Join(m.GetGroups(), " ")}}
		if m.GetOrdersWithheld() {
			return append(out, field{roll.FieldBid, withheld}, field{roll.FieldOffer, withheld})
		}
		return append(append(out, orderFields(roll.FieldBid, m.GetBid())...), orderFields(roll.FieldOffer, m.GetOffer())...)
	case e.GetConnection() != nil:
		c := e.GetConnection()
		island := ""
		if c.GetIsland() {
			island = "true"
		}
		return []field{
			{"id", c.GetId()}, {"kind", c.GetKind()}, {roll.FieldMeter, c.GetMeterAssetId()},
			{roll.FieldImportLimit, watts(c.GetImportLimitMilliwatts())}, {roll.FieldExportLimit, watts(c.GetExportLimitMilliwatts())},
			{roll.FieldIsland, island},
		}
	case e.GetSite() != nil:
		s := e.GetSite()
		return []field{
			{"id", s.GetId()}, {roll.FieldMember, s.GetMemberId()}, {roll.FieldConnection, s.GetConnectionId()},
			{roll.FieldLatitude, s.GetLatitude()}, {roll.FieldLongitude, s.GetLongitude()},
		}
	case e.GetAsset() != nil:
		a := e.GetAsset()
		out := []field{
			{"id", a.GetId()}, {"kind", a.GetKind()}, {roll.FieldSite, a.GetSiteId()}, {roll.FieldConnection, a.GetConnectionId()},
			{roll.FieldOwner, a.GetOwnerId()}, {roll.FieldGateway, a.GetGatewayId()},
		}
		if b := a.GetBattery(); b != nil {
			out = append(out, batteryFields(b)...)
		}
		return out
	case e.GetGateway() != nil:
		return []field{{"id", e.GetGateway().GetId()}, {roll.FieldName, e.GetGateway().GetName()}}
	}
	return []field{{"id", ""}}
}

// withheld stands for what whoever asks may not see.
const withheld = "(not shown to you)"

// orderFields are a bid's or an offer's; they are empty where none stands.
func orderFields(name string, o *allmendev1.OrderEntry) []field {
	most := ""
	if mwh := o.GetMostMilliwattHours(); mwh != 0 {
		most = short(energy.Energy(mwh).KWh())
	}
	return []field{{name + ".price", o.GetPrice()}, {name + ".most_kwh", most}}
}

func batteryFields(b *allmendev1.BatteryEntry) []field {
	percent := func(v, parts int64) string {
		whole, rest := v/parts, v%parts
		if rest == 0 {
			return strconv.FormatInt(whole, 10)
		}
		digits := len(strconv.FormatInt(parts, 10)) - 1
		text := strconv.FormatInt(rest, 10)
		return strings.TrimRight(strconv.FormatInt(whole, 10)+"."+strings.Repeat("0", digits-len(text))+text, "0")
	}
	return []field{
		{roll.FieldCapacity, short(energy.Energy(b.GetCapacityMilliwattHours()).KWh())},
		{roll.FieldMaxCharge, short(energy.Power(b.GetMaxChargeMilliwatts()).Watts())},
		{roll.FieldMaxDischarge, short(energy.Power(b.GetMaxDischargeMilliwatts()).Watts())},
		{roll.FieldMinSoC, percent(b.GetMinSocPermille(), 10)},
		{roll.FieldMaxSoC, percent(b.GetMaxSocPermille(), 10)},
		{roll.FieldReserveSoC, percent(b.GetReserveSocPermille(), 10)},
		{roll.FieldChargeEff, percent(b.GetChargeEfficiencyMillionths(), 10_000)},
		{roll.FieldDischargeEff, percent(b.GetDischargeEfficiencyMillionths(), 10_000)},
		{roll.FieldPlacement, b.GetPlacement()},
		{roll.FieldDispatchable, strconv.FormatBool(b.GetDispatchable())},
	}
}

// short is a decimal without zeros at its end.
func short(decimal string) string {
	if !strings.Contains(decimal, ".") {
		return decimal
	}
	return strings.TrimRight(strings.TrimRight(decimal, "0"), ".")
}

func watts(mw int64) string {
	if mw == 0 {
		return ""
	}
	return short(energy.Power(mw).Watts())
}

func idOf(e *allmendev1.RegisterEntry) string { return fieldsOf(e)[0].value }

func kindOf(e *allmendev1.RegisterEntry) roll.Kind {
	switch {
	case e.GetMember() != nil:
		return roll.KindMember
	case e.GetConnection() != nil:
		return roll.KindConnection
	case e.GetSite() != nil:
		return roll.KindSite
	case e.GetAsset() != nil:
		return roll.KindAsset
	case e.GetGateway() != nil:
		return roll.KindGateway
	}
	return roll.KindCommunity
}

// headings are the columns of a table of a kind.
func headings(kind roll.Kind) []string {
	switch kind {
	case roll.KindMember:
		return []string{"MEMBER", "NAME", "GROUPS"}
	case roll.KindConnection:
		return []string{"CONNECTION", "KIND", "METER", "IMPORT LIMIT W", "EXPORT LIMIT W", "ISLAND"}
	case roll.KindSite:
		return []string{"SITE", "MEMBER", "CONNECTION", "LATITUDE", "LONGITUDE"}
	case roll.KindAsset:
		return []string{"ASSET", "KIND", "AT", "OWNER", "GATEWAY", "CAPACITY KWH"}
	case roll.KindGateway:
		return []string{"GATEWAY", "NAME"}
	case roll.KindCommunity:
	}
	return []string{"ID"}
}

// cellsOf are the cells of an entry's line in a table.
func cellsOf(e *allmendev1.RegisterEntry) []string {
	if a := e.GetAsset(); a != nil {
		at, capacity := a.GetSiteId(), ""
		if at == "" {
			at = a.GetConnectionId()
		}
		if b := a.GetBattery(); b != nil {
			capacity = short(energy.Energy(b.GetCapacityMilliwattHours()).KWh())
		}
		return []string{a.GetId(), a.GetKind(), at, a.GetOwnerId(), a.GetGatewayId(), capacity}
	}
	var out []string
	for _, f := range fieldsOf(e) {
		out = append(out, f.value)
	}
	return out[:len(headings(kindOf(e)))]
}

// named says whether a change that sets fields sets one: a bid and an offer are
// set as a whole.
func named(fields []string, f field) bool {
	whole, _, _ := strings.Cut(f.name, ".")
	return slices.Contains(fields, f.name) || slices.Contains(fields, whole)
}

// The JSON of the commands that look and change.
type (
	entryJSON struct {
		Kind   roll.Kind         `json:"kind"`
		ID     string            `json:"id"`
		Fields map[string]string `json:"fields"`
		Since  time.Time         `json:"since"`
		Until  *time.Time        `json:"until,omitempty"`
		Absent bool              `json:"absent,omitempty"`
	}
	changeJSON struct {
		Revision int64             `json:"revision"`
		By       string            `json:"by"`
		Note     string            `json:"note,omitempty"`
		Recorded time.Time         `json:"recorded"`
		From     time.Time         `json:"from"`
		Op       string            `json:"op"`
		Kind     roll.Kind         `json:"kind"`
		ID       string            `json:"id"`
		Fields   map[string]string `json:"fields,omitempty"`
	}
	appliedJSON struct {
		Revision     int64        `json:"revision"`
		From         *time.Time   `json:"from,omitempty"`
		Unchanged    bool         `json:"unchanged"`
		DryRun       bool         `json:"dry_run"`
		SettledAgain int64        `json:"intervals_settled_again"`
		Changes      []changeJSON `json:"changes"`
	}
)

func entryAsJSON(e *allmendev1.EntryState) entryJSON {
	out := entryJSON{
		Kind: kindOf(e.GetEntry()), ID: idOf(e.GetEntry()), Fields: map[string]string{},
		Since: time.UnixMilli(e.GetSinceUnixMs()).UTC(), Absent: e.GetAbsent(),
	}
	for _, f := range fieldsOf(e.GetEntry())[1:] {
		out.Fields[f.name] = f.value
	}
	if ms := e.GetUntilUnixMs(); ms != 0 {
		until := time.UnixMilli(ms).UTC()
		out.Until = &until
	}
	return out
}

func changeAsJSON(c *allmendev1.RecordedChange) changeJSON {
	out := changeJSON{
		Revision: c.GetRevision(), By: c.GetActor(), Note: c.GetNote(), Op: c.GetOp(),
		Recorded: time.UnixMilli(c.GetRecordedUnixMs()).UTC(), From: time.UnixMilli(c.GetFromUnixMs()).UTC(),
		Kind: kindOf(c.GetEntry()), ID: idOf(c.GetEntry()), Fields: map[string]string{},
	}
	for _, f := range fieldsOf(c.GetEntry())[1:] {
		add := c.GetOp() == string(roll.OpAdd) && f.value != ""
		if add || named(c.GetFields(), f) {
			out.Fields[f.name] = f.value
		}
	}
	return out
}

func appliedAsJSON(r *allmendev1.ApplyChangesResponse) appliedJSON {
	out := appliedJSON{
		Revision: r.GetRevision(), Unchanged: r.GetUnchanged(), DryRun: r.GetDryRun(),
		SettledAgain: r.GetIntervalsSettledAgain(), Changes: []changeJSON{},
	}
	if ms := r.GetFromUnixMs(); ms != 0 {
		from := time.UnixMilli(ms).UTC()
		out.From = &from
	}
	for _, c := range r.GetChanges() {
		out.Changes = append(out.Changes, changeAsJSON(c))
	}
	return out
}
