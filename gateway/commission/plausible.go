// SPDX-License-Identifier: AGPL-3.0-or-later

package commission

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/meters"
)

// reading is a snapshot with when it was taken and how long that took.
type reading struct {
	at   time.Time
	took time.Duration
	device.Snapshot
}

// plausible looks at a device's values on their own: what cannot be is a wrong
// profile, a wrong scale or a moved register far more often than a fault.
func plausible(kind roll.AssetKind, readings []reading, points []device.Value) Proof {
	p := Proof{Name: Plausibility, Outcome: Passed}
	var wrong, odd []string
	for _, v := range points {
		what, bad := network(v)
		if what == "" {
			continue
		}
		if bad {
			wrong = append(wrong, fmt.Sprintf("%s of %s %s", v.Name, v.Decimal, v.Unit))
		}
		if !slices.ContainsFunc(p.Figures, func(f Figure) bool { return f.Name == what }) {
			p.Figures = append(p.Figures, Figure{what, v.Decimal, v.Unit})
		}
	}
	last := readings[len(readings)-1]
	switch last.Quality {
	case energy.Good:
		p.Figures = append(p.Figures, Figure{powerName(kind), watts(last.Power), "W"})
		if abs(last.Power) > mostPower {
			wrong = append(wrong, fmt.Sprintf("a power of %s W", watts(last.Power)))
		}
	case energy.Sleeping:
		odd = append(odd, "it sleeps, so its power could not be checked: commission it again by day")
	default:
		odd = append(odd, "its power is "+last.Quality.String()+": "+last.Reason)
	}
	if kind == roll.Battery {
		if last.SoC < 0 || last.SoC > 1000 {
			wrong = append(wrong, "no state of charge")
		} else {
			p.Figures = append(p.Figures, Figure{"state of charge", permille(last.SoC), "%"})
		}
	}
	wrong = append(wrong, counters(readings)...)
	for _, name := range slices.Sorted(mapKeys(last.Registers)) {
		p.Figures = append(p.Figures, Figure{"counter " + string(name), kilowattHours(last.Registers[name]), "kWh"})
	}
	for name, step := range last.Coarse {
		odd = append(odd, fmt.Sprintf("counter %s counts in steps of %s kWh", name, kilowattHours(step)))
	}
	switch {
	case len(wrong) > 0:
		p.Outcome, p.Text = Failed, "this cannot be: "+strings.Join(wrong, "; ")
		p.Next = "see that the profile and the unit id are those of this device; allmende gateway probe shows every value"
	case len(odd) > 0:
		slices.Sort(odd)
		p.Outcome, p.Text = Remarked, strings.Join(odd, "; ")
	default:
		p.Text = "its values are such as a device on a public grid has"
	}
	return p
}

// mostPower of one device of a community: more is a wrong scale.
const mostPower = 10_000 * energy.Kilowatt

// network says what a point tells of the grid, empty: nothing; bad: it cannot be.
// Voltages to earth and between phases are told apart by what they can be, so
// that no naming has to be known; those of a DC side are none of them.
func network(v device.Value) (what string, bad bool) {
	if v.Quality != energy.Good || v.Decimal == "" {
		return "", false
	}
	n, err := strconv.ParseFloat(v.Decimal, 64)
	if err != nil {
		return "", false
	}
	name := strings.ToLower(v.Name)
	switch {
	case v.Unit == "Hz" && !strings.Contains(name, "nom") && v.Model < 702:
		return "frequency", n < 47 || n > 63 || n > 53 && n < 57
	case v.Unit == "V" && toEarth(name):
		return "voltage", n < 85 || n > 290
	}
	return "", false
}

// counters says what is wrong with the energy registers over the readings: one
// that runs backwards, or faster than the power allows.
func counters(readings []reading) []string {
	var wrong []string
	first, last := readings[0], readings[len(readings)-1]
	for _, name := range slices.Sorted(mapKeys(last.Registers)) {
		before, there := first.Registers[name]
		now := last.Registers[name]
		if !there {
			continue
		}
		most := energy.Energy(0)
		for _, r := range readings {
			most = max(most, abs(r.Power).Over(energy.SpanOf(last.at.Sub(first.at)+time.Second)))
		}
		const slack = 100 * energy.WattHour // registers of tenths of a kilowatt-hour jump by one
		switch {
		case now < before:
			wrong = append(wrong, fmt.Sprintf("counter %s runs backwards, from %s to %s kWh", name, kilowattHours(before), kilowattHours(now)))
		case now-before > 2*most+slack:
			wrong = append(wrong, fmt.Sprintf("counter %s rose by %s kWh in %s s, and its power allows %s", name, kilowattHours(now-before), seconds(last.at.Sub(first.at)), kilowattHours(most)))
		}
	}
	return wrong
}

func mapKeys(m map[meters.Register]energy.Energy) func(yield func(meters.Register) bool) {
	return func(yield func(meters.Register) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func powerName(kind roll.AssetKind) string {
	switch kind {
	case roll.Meter:
		return "import"
	case roll.Battery:
		return "discharge"
	case roll.Inverter:
		return "production"
	default:
		return "power"
	}
}

func kilowattHours(e energy.Energy) string {
	sign := ""
	if e < 0 {
		sign, e = "−", -e
	}
	wh := int64(e / energy.WattHour)
	return fmt.Sprintf("%s%d.%03d", sign, wh/1000, wh%1000)
}

// balance holds meter, inverters and batteries against each other: what a house
// uses is what it imports, produces and takes out of its batteries, and that is
// never less than nothing.
func balance(devices []*tried) Proof {
	p := Proof{Name: Plausibility, Outcome: Passed}
	var load, produced, discharged, imported energy.Power
	n := 0
	for _, d := range devices {
		if d.unit.Device == nil || len(d.readings) == 0 {
			p.Outcome, p.Text = Skipped, "not every device answers, so they cannot be held against each other"
			return p
		}
		last := d.readings[len(d.readings)-1]
		if last.Quality != energy.Good && last.Quality != energy.Sleeping {
			p.Outcome, p.Text = Skipped, fmt.Sprintf("%s does not tell its power, so they cannot be held against each other", d.unit.Asset)
			return p
		}
		switch d.unit.Device.Kind() {
		case roll.Meter:
			n++
			imported += last.Power
		case roll.Inverter:
			produced += last.Power
		case roll.Battery:
			discharged += last.Power
		default:
		}
	}
	if n != 1 {
		p.Outcome, p.Text = Skipped, fmt.Sprintf("there are %d meters: which of them measures what is not known here", n)
		return p
	}
	load = imported + produced + discharged
	p.Figures = []Figure{{"import", watts(imported), "W"}, {"production", watts(produced), "W"}, {"battery", watts(discharged), "W"}, {"so the house uses", watts(load), "W"}}
	if slack := max(50*energy.Watt, (abs(imported)+produced+abs(discharged))/20); load < -slack {
		p.Outcome, p.Text = Failed, fmt.Sprintf("by these values the house would use %s W, and a house does not use less than nothing: one of the signs is wrong", watts(load))
		p.Next = "most often it is the meter: turn it or its current clamps around, or choose a profile that turns its sign"
		return p
	}
	p.Text = fmt.Sprintf("the values fit each other: the house uses %s W", strings.TrimPrefix(watts(load), "+"))
	return p
}

// toEarth says that a point is a voltage of one phase to earth, by the names
// that SunSpec and the profiles have for it.
func toEarth(name string) bool {
	switch name {
	case "phvpha", "phvphb", "phvphc", "lnv", "vl1", "vl2", "vl3":
		return true
	}
	return strings.HasPrefix(name, "voltage_l") && len(name) == len("voltage_l1")
}
