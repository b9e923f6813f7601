// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"math"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/sunspec"
)

// Enumerations of models 124, 701 and 802.
const (
	chargeEmpty       = 2
	chargeDischarging = 3
	chargeCharging    = 4
	chargeFull        = 5
	chargeHolding     = 6

	acRunning = 3
	acStandby = 7

	bankConnected = 3
)

// dcVoltage is what the simulated cells have, 400.0 V, whatever they do.
const dcVoltage = 4000

// showBattery writes the models of a battery from one moment; what it is told
// with shows itself.
func (u *unit) showBattery(f facts) {
	u.showAC(f)
	u.showDC(u.battery)
	u.showCapacity(u.stored)
	u.showBank(u.stored, f.power)
}

func (u *unit) showAC(f facts) {
	p := f.power
	const m = sunspec.MeasureAC
	u.set(m, "ACType", 2) // three phases
	u.set(m, "St", 1)
	state := int64(acRunning)
	if p == 0 {
		state = acStandby
	}
	u.set(m, "InvSt", state)
	u.set(m, "ConnSt", 1)
	u.set(m, "Alrm", 0)
	u.scaled(m, "W", "W_SF", int64(p))
	u.current(m, p, "A", "AL1", "AL2", "AL3")
	u.fixed(m, "LNV", "V_SF", voltage, -1)
	u.fixed(m, "Hz", "Hz_SF", frequency, -2)
	u.set(m, "TotWhInj", counter(f.out, -3))
	u.set(m, "TotWhAbs", counter(f.in, -3))
	u.set(m, "TotWh_SF", -3)
}

// showDC: one port; what goes into the cells is less than what is charged, what
// comes out of them more than what is discharged.
func (u *unit) showDC(b *battery) {
	const m = sunspec.MeasureDC
	u.set(m, "PrtAlrms", 0)
	u.set(m, "NPrt", 1)
	dc := int64(b.power)
	if dc > 0 {
		dc = energy.MulDiv(dc, million, b.spec.DischargeEff)
	} else {
		dc = -energy.MulDiv(-dc, b.spec.ChargeEff, million)
	}
	u.scaled(m, "DCW", "DCW_SF", dc)
	u.fixed(m, "DCA", "DCA_SF", dc/(dcVoltage*10), -1) // mW over V/10, in A/10
}

func (u *unit) showCapacity(s storage) {
	const m = sunspec.StorageCapacity
	b := u.battery
	raw, scale := fit(int64(b.spec.Capacity), math.MaxUint16-1)
	u.set(m, "WHRtg", raw)
	u.set(m, "WHAvail", int64(s.Stock.energy())/pow10(scale+3))
	u.set(m, "WH_SF", int64(scale))
	u.set(m, "SoC", b.permille(s))
	u.set(m, "SoH", 1000)
	u.set(m, "Pct_SF", -1)
	u.set(m, "Sta", 0)
}

func (u *unit) showBank(s storage, p energy.Power) {
	const m = sunspec.BatteryBase
	b := u.battery
	raw, scale := fit(int64(b.spec.Capacity), math.MaxUint16-1)
	u.fixed(m, "WHRtg", "WHRtg_SF", raw, scale)
	u.fixed(m, "AHRtg", "AHRtg_SF", int64(b.spec.Capacity)/1000*10/dcVoltage, 0)
	_, rateScale := fit(int64(baseOf(b.spec)), math.MaxUint16-1)
	u.fixed(m, "WChaRteMax", "WChaDisChaMax_SF", int64(b.spec.MaxCharge)/pow10(rateScale+3), rateScale)
	u.set(m, "WDisChaRteMax", int64(b.spec.MaxDischarge)/pow10(rateScale+3))
	u.set(m, "SoCMax", b.spec.MaxSoC)
	u.set(m, "SoCMin", b.spec.MinSoC)
	u.fixed(m, "SoC", "SoC_SF", b.permille(s), -1)
	u.set(m, "ChaSt", b.chargeStatus(s))
	u.set(m, "LocRemCtl", 0)
	u.set(m, "AlmRst", 0)
	u.set(m, "Typ", 4) // lithium-ion
	u.set(m, "State", bankConnected)
	for _, name := range []string{"Evt1", "Evt2", "EvtVnd1", "EvtVnd2"} {
		u.set(m, name, 0)
	}
	u.fixed(m, "V", "V_SF", dcVoltage, -1)
	u.set(m, "CellV_SF", -3)
	u.fixed(m, "A", "A_SF", int64(p)/(dcVoltage*10), -1)
	u.set(m, "AMax_SF", 0)
	u.scaled(m, "W", "W_SF", int64(p))
	u.set(m, "SetOp", 1)
	u.set(m, "SetInvState", 3) // started
}

func (b *battery) chargeStatus(s storage) int64 {
	switch {
	case b.power > 0:
		return chargeDischarging
	case b.power < 0:
		return chargeCharging
	case s.Stock <= b.level(b.spec.MinSoC):
		return chargeEmpty
	case s.Stock >= b.level(b.spec.MaxSoC)-1000:
		return chargeFull
	}
	return chargeHolding
}
