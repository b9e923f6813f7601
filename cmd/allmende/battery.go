// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"fmt"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/config"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// batteryFlags are a battery's data, as far as they are given.
type batteryFlags struct {
	CapacityKWh                *string `name:"capacity-kwh" placeholder:"KWH" help:"Battery: usable, from the nameplate."`
	MaxChargeW                 *string `placeholder:"W" help:"Battery: from the nameplate."`
	MaxDischargeW              *string `placeholder:"W" help:"Battery: from the nameplate."`
	MinSoCPercent              *string `name:"min-soc-percent" placeholder:"N" help:"Battery: never emptied below."`
	MaxSoCPercent              *string `name:"max-soc-percent" placeholder:"N" help:"Battery: never filled above."`
	ReserveSoCPercent          *string `name:"reserve-soc-percent" placeholder:"N" help:"Battery: kept for its owner."`
	ChargeEfficiencyPercent    *string `placeholder:"N" help:"Battery: stored of what is charged."`
	DischargeEfficiencyPercent *string `placeholder:"N" help:"Battery: given of what is taken from the stock."`
	Placement                  *string `help:"Battery: behind_meter, where charging raises the site meter's import, or own_meter."`
	Dispatchable               *bool   `negatable:"" help:"Battery: the community may steer it."`
}

// usualBattery is what a battery is that states nothing but its size.
func usualBattery() *allmendev1.BatteryEntry {
	d := config.UsualBattery()
	return &allmendev1.BatteryEntry{
		MinSocPermille: d.MinSoC, MaxSocPermille: d.MaxSoC, ReserveSocPermille: -1,
		ChargeEfficiencyMillionths: d.ChargeEff, DischargeEfficiencyMillionths: d.DischargeEff,
	}
}

// into writes what is given and names the fields. Without a battery to write to
// it names them alone.
func (f *batteryFlags) into(b *allmendev1.BatteryEntry) ([]string, error) {
	if b == nil {
		b = &allmendev1.BatteryEntry{}
	}
	var fields []string
	kwh := func(text string) (int64, error) { v, err := energy.ParseKWh(text); return int64(v), err }
	watts := func(text string) (int64, error) { v, err := energy.ParseWatts(text); return int64(v), err }
	for _, x := range []struct {
		text  *string
		into  *int64
		field string
		read  func(string) (int64, error)
	}{
		{f.CapacityKWh, &b.CapacityMilliwattHours, roll.FieldCapacity, kwh},
		{f.MaxChargeW, &b.MaxChargeMilliwatts, roll.FieldMaxCharge, watts},
		{f.MaxDischargeW, &b.MaxDischargeMilliwatts, roll.FieldMaxDischarge, watts},
		{f.MinSoCPercent, &b.MinSocPermille, roll.FieldMinSoC, config.ParsePermille},
		{f.MaxSoCPercent, &b.MaxSocPermille, roll.FieldMaxSoC, config.ParsePermille},
		{f.ReserveSoCPercent, &b.ReserveSocPermille, roll.FieldReserveSoC, config.ParsePermille},
		{f.ChargeEfficiencyPercent, &b.ChargeEfficiencyMillionths, roll.FieldChargeEff, config.ParseMillionths},
		{f.DischargeEfficiencyPercent, &b.DischargeEfficiencyMillionths, roll.FieldDischargeEff, config.ParseMillionths},
	} {
		if x.text == nil {
			continue
		}
		v, err := x.read(*x.text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", x.field, err)
		}
		*x.into = v
		fields = append(fields, x.field)
	}
	if f.Placement != nil {
		b.Placement = *f.Placement
		fields = append(fields, roll.FieldPlacement)
	}
	if f.Dispatchable != nil {
		b.Dispatchable = *f.Dispatchable
		fields = append(fields, roll.FieldDispatchable)
	}
	if b.GetReserveSocPermille() < 0 { // nothing is kept beyond what is never gone below
		b.ReserveSocPermille = b.GetMinSocPermille()
	}
	return fields, nil
}
