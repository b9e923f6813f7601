// SPDX-License-Identifier: AGPL-3.0-or-later

package guard

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

// takes are the controls of a device with a timer.
func takes(quantities ...device.Quantity) []device.Control {
	var all []device.Control
	for _, q := range quantities {
		all = append(all, device.Control{Quantity: q, Reversion: device.RevertsByTimer, LeastReversion: time.Second, MostReversion: time.Hour})
	}
	return all
}

func guardOf(l Limits, controls ...device.Control) *Guard {
	g := New(Config{Controls: controls, Limits: l, Poll: energy.Second})
	g.leftover = false
	return g
}

func batteryGuard(l Limits) *Guard { return guardOf(l, takes(device.BatteryPower)...) }

func at(soc int64, now Stamp) Input { return Input{SoC: soc, SoCAt: now, Grid: FreeGrid(), At: 1} }

// carry carries out everything that the guard asks for, and returns it.
func carry(g *Guard, now Stamp, in Input) []Action {
	var all []Action
	for range 10 {
		a := g.Decide(now, in)
		if a.Kind == Nothing {
			return all
		}
		all = append(all, a)
		g.Done(a, now, in, nil)
	}
	return all
}

func mustOffer(t *testing.T, g *Guard, sp Setpoint, now Stamp) {
	t.Helper()
	if err := g.Offer(sp, now); err != nil {
		t.Fatal(err)
	}
}

func TestRefusals(t *testing.T) {
	now := Stamp(100_000)
	ok := Setpoint{Asset: "b", Power: energy.Kilowatt, Stamp: now - 100, TTL: 5 * energy.Second, Epoch: 3, Sequence: 7}
	with := func(change func(*Setpoint)) Setpoint {
		sp := ok
		sp.Sequence++
		change(&sp)
		return sp
	}
	for name, c := range map[string]struct {
		sp   Setpoint
		want error
	}{
		"next":                   {with(func(*Setpoint) {}), nil},
		"higher epoch":           {with(func(sp *Setpoint) { sp.Epoch, sp.Sequence = 4, 1 }), nil},
		"lower epoch":            {with(func(sp *Setpoint) { sp.Epoch = 2 }), ErrEpoch},
		"lower epoch of another": {with(func(sp *Setpoint) { sp.Epoch, sp.Quantity, sp.Power = 2, device.ChargeLimit, 1 }), ErrEpoch},
		"duplicate":              {ok, ErrSequence},
		"older":                  {with(func(sp *Setpoint) { sp.Sequence = 6 }), ErrSequence},
		"expired":                {with(func(sp *Setpoint) { sp.Stamp = now - 5000 }), ErrExpired},
		"future":                 {with(func(sp *Setpoint) { sp.Stamp = now + 1 }), ErrStamp},
		"before this process":    {with(func(sp *Setpoint) { sp.Stamp, sp.TTL = 89_999, energy.Hour }), ErrStamp},
		"negative stamp":         {with(func(sp *Setpoint) { sp.Stamp = -1 }), ErrStamp},
		"no ttl":                 {with(func(sp *Setpoint) { sp.TTL = 0 }), ErrTTL},
		"huge power":             {with(func(sp *Setpoint) { sp.Power = math.MinInt64 }), ErrPower},
		"huge ttl":               {with(func(sp *Setpoint) { sp.TTL = MaxTTL + 1 }), ErrTTL},
		"no such control":        {with(func(sp *Setpoint) { sp.Quantity = device.LoadPower }), ErrNoControl},
		"no such quantity":       {with(func(sp *Setpoint) { sp.Quantity = "torque" }), ErrNoControl},
		"a negative limit":       {with(func(sp *Setpoint) { sp.Quantity, sp.Power = device.ChargeLimit, -1 }), ErrNegative},
		"a rank that is none":    {with(func(sp *Setpoint) { sp.From = authorities }), ErrNoControl},
		"an operator's setpoint": {with(func(sp *Setpoint) { sp.From = GridOperator }), ErrRank},
	} {
		g := New(Config{Controls: takes(device.BatteryPower, device.ChargeLimit), Limits: DeviceLimits(), Poll: energy.Second, Born: 90_000})
		mustOffer(t, g, ok, now)
		if err := g.Offer(c.sp, now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if c.want != nil && g.State().Setpoint != ok {
			t.Errorf("%s: a refused setpoint replaced the one in force", name)
		}
	}
	g := batteryGuard(DeviceLimits())
	g.Fence(4)
	if err := g.Offer(ok, now); !errors.Is(err, ErrEpoch) {
		t.Errorf("behind a fence: %v", err)
	}
}

func TestStateOfChargeGuards(t *testing.T) {
	limits := DeviceLimits()
	limits.MaxCharge, limits.MaxDischarge, limits.MinSoC, limits.MaxSoC = 2*energy.Kilowatt, energy.Kilowatt, 100, 900
	for name, c := range map[string]struct {
		power, want energy.Power
		soc         int64
		note        string
	}{
		"within":             {500 * energy.Watt, 500 * energy.Watt, 500, ""},
		"discharge limit":    {5 * energy.Kilowatt, energy.Kilowatt, 500, "power limit"},
		"charge limit":       {-5 * energy.Kilowatt, -2 * energy.Kilowatt, 500, "power limit"},
		"empty":              {energy.Kilowatt, 0, 100, noteMinimum},
		"empty may charge":   {-energy.Kilowatt, -energy.Kilowatt, 100, ""},
		"full":               {-energy.Kilowatt, 0, 900, noteMaximum},
		"full may discharge": {energy.Kilowatt, energy.Kilowatt, 1000, ""},
		"unknown":            {energy.Kilowatt, 0, -1, noteUnknown},
		"unknown at rest":    {0, 0, -1, ""},
	} {
		g := batteryGuard(limits)
		mustOffer(t, g, Setpoint{Power: c.power, TTL: energy.Minute, Epoch: 1, Sequence: 1}, 0)
		a := g.Decide(0, at(c.soc, 0))
		if a.Kind != Set || energy.Power(a.Command.Value) != c.want || g.State().Note != c.note && c.note != "" {
			t.Errorf("%s: %+v, %q", name, a, g.State().Note)
		}
	}
}

// TestGuardsHaveHysteresis: a guard that stopped the battery does not let go at
// the next permille.
func TestGuardsHaveHysteresis(t *testing.T) {
	limits := DeviceLimits()
	limits.MinSoC, limits.Capacity = 100, 10*energy.KilowattHour
	g := batteryGuard(limits)
	sequence := uint64(0)
	for _, c := range []struct {
		soc  int64
		want bool
	}{{130, true}, {100, false}, {101, false}, {119, false}, {120, true}, {110, true}, {99, false}} {
		sequence++
		mustOffer(t, g, Setpoint{Power: energy.Kilowatt, TTL: 10 * energy.Second, Epoch: 1, Sequence: sequence}, 0)
		carry(g, 0, at(c.soc, 0))
		if s := g.State(); (s.Power > 0) != c.want {
			t.Errorf("at %d permille: %s, %q", c.soc, s.Power, s.Note)
		}
	}
}

// TestWearsNothingOut: an unchanged command that is renewed every second is
// written once in half of its reversion time.
func TestWearsNothingOut(t *testing.T) {
	g := batteryGuard(DeviceLimits())
	writes := 0
	for s := range Stamp(600) {
		now := s * 1000
		mustOffer(t, g, Setpoint{Power: energy.Kilowatt, Stamp: now, TTL: 20 * energy.Second, Epoch: 1, Sequence: uint64(s) + 1}, now)
		writes += len(carry(g, now, at(500, now)))
	}
	if writes != 60 {
		t.Errorf("%d writes in ten minutes, want 60", writes)
	}
}

// TestRefresh: a device that wants to be told every 30 s is, and one with a
// watchdog is told in half of its time.
func TestRefresh(t *testing.T) {
	for name, c := range map[string]struct {
		control device.Control
		want    int
	}{
		"refresh":  {device.Control{Reversion: device.RevertsByTimer, Refresh: 30 * time.Second, LeastReversion: 120 * time.Second, MostReversion: 120 * time.Second}, 20},
		"watchdog": {device.Control{Reversion: device.RevertsByWatchdog, LeastReversion: time.Minute, MostReversion: time.Minute}, 20},
	} {
		c.control.Quantity = device.BatteryPower
		g := guardOf(DeviceLimits(), c.control)
		writes := 0
		for s := range Stamp(600) {
			now := s * 1000
			mustOffer(t, g, Setpoint{Power: energy.Kilowatt, Stamp: now, TTL: 200 * energy.Second, Epoch: 1, Sequence: uint64(s) + 1}, now)
			writes += len(carry(g, now, at(500, now)))
		}
		if writes < c.want || writes > c.want+2 {
			t.Errorf("%s: %d writes in ten minutes, want %d", name, writes, c.want)
		}
	}
}

// TestPrecedence: whatever the charter or an API call asks for, equipment and
// grid operator hold; the operator in turn stays within the equipment's limits.
func TestPrecedence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		watts := func(name string, most int) energy.Power {
			return energy.Power(rapid.IntRange(0, most).Draw(t, name)) * energy.Watt
		}
		l := DeviceLimits()
		l.MaxCharge, l.MaxDischarge = watts("most in", 5000), watts("most out", 5000)
		g := guardOf(l, takes(device.BatteryPower, device.ChargeLimit, device.DischargeLimit)...)
		grid := FreeGrid()
		if rapid.Bool().Draw(t, "contact") {
			grid.Draw = watts("contact", 5000)
		}
		sp := func(q device.Quantity, p energy.Power, from Authority, seq uint64) {
			mustOfferRapid(t, g, Setpoint{Quantity: q, Power: p, From: from, TTL: energy.Minute, Epoch: 1, Sequence: seq})
		}
		operator, charter := watts("operator", 5000), watts("charter", 5000)
		sp(device.ChargeLimit, operator, GridOperator, 1)
		sp(device.ChargeLimit, charter, Charter, 2)
		asked := energy.Power(rapid.IntRange(-20_000, 20_000).Draw(t, "asked")) * energy.Watt
		sp("", asked, Charter, 3)
		a := g.Decide(0, Input{SoC: 500, Grid: grid, At: 1})
		p := energy.Power(a.Command.Value)
		if p < -min(l.MaxCharge, operator, grid.Draw) || p > l.MaxDischarge {
			t.Fatalf("%s with equipment −%s to %s, operator %s, contact %s", p, l.MaxCharge, l.MaxDischarge, operator, grid.Draw)
		}
		// The oracle: one step after the other, each within what stands above.
		want := max(asked, -charter)
		want = max(want, -min(operator, grid.Draw))
		want = min(max(want, -l.MaxCharge), l.MaxDischarge)
		if p != want {
			t.Fatalf("%s, want %s", p, want)
		}
	})
}

func mustOfferRapid(t *rapid.T, g *Guard, sp Setpoint) {
	t.Helper()
	if err := g.Offer(sp, 0); err != nil {
		t.Fatal(err)
	}
}

// TestAnEmptyIntersection: the outer limit decides, by its nearest point.
func TestAnEmptyIntersection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		any := func(name string) interval {
			low := rapid.Int64Range(-50, 50).Draw(t, name)
			return interval{low, low + rapid.Int64Range(0, 30).Draw(t, name+" width")}
		}
		inner, outer := any("inner"), any("outer")
		got := inner.within(outer)
		if got.low > got.high || got.low < outer.low || got.high > outer.high {
			t.Fatalf("%v within %v is %v", inner, outer, got)
		}
		// The slow way: of all values of outer, those that are nearest to inner.
		best := int64(1000)
		var want []int64
		for v := outer.low; v <= outer.high; v++ {
			far := magnitude(v - inner.clamp(v))
			if far < best {
				best, want = far, nil
			}
			if far == best {
				want = append(want, v)
			}
		}
		if got.low != want[0] || got.high != want[len(want)-1] {
			t.Fatalf("%v within %v is %v, want %v", inner, outer, got, want)
		}
	})
}

func TestFeedIn(t *testing.T) {
	rated := DeviceLimits()
	rated.Rated = 10 * energy.Kilowatt
	capped := rated
	capped.MaxFeedIn = 6 * energy.Kilowatt
	offline := rated
	offline.OfflineFeedIn = 3 * energy.Kilowatt
	watts, percent := takes(device.ActivePower), takes(device.ActivePowerPct)
	grid := func(permille int64) GridLimit {
		g := FreeGrid()
		g.FeedPermille = permille
		return g
	}
	sp := func(p energy.Power, from Authority) Setpoint {
		return Setpoint{Quantity: device.ActivePower, Power: p, From: from, TTL: energy.Minute, Epoch: 1, Sequence: 1}
	}
	for name, c := range map[string]struct {
		limits   Limits
		controls []device.Control
		sp       *Setpoint
		grid     GridLimit
		off      bool
		value    int64
		stop     bool
	}{
		"nobody asks":                {rated, watts, nil, FreeGrid(), true, 0, false},
		"charter":                    {rated, watts, new(sp(4*energy.Kilowatt, Charter)), FreeGrid(), false, 4_000_000, false},
		"charter in percent":         {rated, percent, new(sp(4*energy.Kilowatt, Charter)), FreeGrid(), false, 400, false},
		"a charter's zero":           {rated, watts, new(sp(0, Charter)), FreeGrid(), false, 100_000, false},
		"a charter's zero, percent":  {rated, percent, new(sp(0, Charter)), FreeGrid(), false, 10, false},
		"an operator's zero":         {rated, watts, new(sp(0, GridOperator)), FreeGrid(), false, 0, true},
		"a contact's zero":           {rated, percent, nil, grid(0), false, 0, true},
		"a contact's 60 %":           {rated, watts, nil, grid(600), false, 6_000_000, false},
		"contact above the charter":  {rated, watts, new(sp(8*energy.Kilowatt, Charter)), grid(300), false, 3_000_000, false},
		"charter below the contact":  {rated, watts, new(sp(2*energy.Kilowatt, Charter)), grid(300), false, 2_000_000, false},
		"equipment stands":           {capped, watts, nil, FreeGrid(), false, 6_000_000, false},
		"equipment above the voters": {capped, watts, new(sp(9*energy.Kilowatt, Charter)), FreeGrid(), false, 6_000_000, false},
		"no coordinator":             {offline, watts, nil, FreeGrid(), false, 3_000_000, false},
		"a coordinator":              {offline, watts, new(sp(9*energy.Kilowatt, Charter)), FreeGrid(), false, 9_000_000, false},
	} {
		g := guardOf(c.limits, c.controls...)
		if c.sp != nil {
			mustOffer(t, g, *c.sp, 0)
		}
		a := g.Decide(0, Input{SoC: -1, Grid: c.grid, At: 1})
		if c.off != (a.Kind == Nothing) || a.Command.Value != c.value || a.Command.Stop != c.stop {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

// TestFeedInWithinTheDevicesRange: a limit that the device can't be told is
// narrowed, never widened, where it must hold.
func TestFeedInWithinTheDevicesRange(t *testing.T) {
	control := takes(device.ActivePower)
	control[0].Least, control[0].Most = 2_000_000, 8_000_000
	for _, c := range []struct {
		power energy.Power
		from  Authority
		value int64
		stop  bool
	}{
		{energy.Kilowatt, Charter, 2_000_000, false},
		{energy.Kilowatt, GridOperator, 0, true},
		{9 * energy.Kilowatt, Charter, 8_000_000, false},
	} {
		g := guardOf(DeviceLimits(), control...)
		mustOffer(t, g, Setpoint{Quantity: device.ActivePower, Power: c.power, From: c.from, TTL: energy.Minute, Epoch: 1, Sequence: 1}, 0)
		if a := g.Decide(0, at(-1, 0)); a.Command.Value != c.value || a.Command.Stop != c.stop {
			t.Errorf("%s by %d: %+v", c.power, c.from, a)
		}
	}
}

// TestRatingOfTheDevice: a device that takes watts tells its rating by the most
// that it takes, so that a share of it is understood without the configuration.
func TestRatingOfTheDevice(t *testing.T) {
	control := takes(device.ActivePowerPct, device.ActivePower)
	control[1].Least, control[1].Most = 60_000, 6_000_000
	g := guardOf(DeviceLimits(), control...)
	mustOffer(t, g, Setpoint{Quantity: device.ActivePowerPct, Permille: 100, TTL: energy.Minute, Epoch: 1, Sequence: 1}, 0)
	if a := g.Decide(0, at(-1, 0)); a.Command.Quantity != device.ActivePower || a.Command.Value != 600_000 {
		t.Errorf("%+v", a)
	}
}

// TestLoads: a limit below the least power pauses, for the least time at least;
// a charter waits for the least run time, a grid operator does not.
func TestLoads(t *testing.T) {
	l := DeviceLimits()
	l.LeastLoad, l.MinRun, l.MinPause = 1400*energy.Watt, 10*energy.Minute, 5*energy.Minute
	g := guardOf(l, takes(device.LoadPower)...)
	sequence := uint64(0)
	step := func(minute float64, p energy.Power, from Authority, want int64, why string) {
		t.Helper()
		now := Stamp(minute * 60_000)
		sequence++
		mustOffer(t, g, Setpoint{Quantity: device.LoadPower, Power: p, From: from, Stamp: now, TTL: energy.Hour, Epoch: 1, Sequence: sequence}, now)
		carry(g, now, at(-1, now))
		c := g.State().Controls[0]
		if !c.InForce || c.Value != want || !strings.Contains(c.Why, why) {
			t.Errorf("at minute %v: %+v", minute, c)
		}
	}
	step(1, 6*energy.Kilowatt, Charter, 6_000_000, "")
	step(2, 500*energy.Watt, Charter, 1_400_000, "least run")
	step(11, 500*energy.Watt, Charter, 0, "least power")
	step(12, 6*energy.Kilowatt, Charter, 0, "least pause")
	step(17, 6*energy.Kilowatt, Charter, 6_000_000, "")
	step(18, 4200*energy.Watt, GridOperator, 4_200_000, "grid operator")
	step(19, 500*energy.Watt, GridOperator, 0, "grid operator")
	in := at(-1, 60*60_000)
	in.Grid.Draw = 0
	if carry(g, 60*60_000, in); g.State().Controls[0].Value != 0 {
		t.Error("a contact's zero does not pause")
	}
}

// TestContact plays a grid operator's contact whose wire breaks.
func TestContact(t *testing.T) {
	limit, failsafe := FreeGrid(), FreeGrid()
	limit.Draw, failsafe.Draw = energy.Kilowatt, UsualDraw
	c := NewContact(limit, failsafe, energy.Minute, UsualHold, 0)
	minute := func(m float64) Stamp { return Stamp(m * 60_000) }
	expect := func(m float64, want energy.Power) {
		t.Helper()
		if got := c.Allows(minute(m)); got.Draw != want {
			t.Errorf("at minute %v: %s (%s), want %s", m, got.Draw, got.Why, want)
		}
	}
	expect(0.5, UsualDraw) // never heard: it may have been limited before a restart
	expect(1.1, UsualDraw)
	c.Heard(false, minute(2))
	expect(2, NoLimit)
	c.Heard(true, minute(3))
	expect(3, energy.Kilowatt)
	expect(4, energy.Kilowatt)
	expect(4.1, UsualDraw)
	expect(124, UsualDraw)
	expect(124.1, NoLimit)
	c.Heard(true, minute(200))
	expect(200, energy.Kilowatt)
}

// TestRamp: growing is slow, shrinking is not.
func TestRamp(t *testing.T) {
	l := DeviceLimits()
	l.Ramp, l.Capacity = 100*energy.Watt, 100*energy.KilowattHour
	g := batteryGuard(l)
	var got []energy.Power
	for s, want := range []energy.Power{1000, 1000, 1000, -250, -250, -250, -250, 0} {
		now := Stamp(s) * 1000
		mustOffer(t, g, Setpoint{Power: want * energy.Watt, Stamp: now, TTL: energy.Minute, Epoch: 1, Sequence: uint64(s) + 1}, now)
		carry(g, now, at(500, now))
		got = append(got, g.State().Power)
	}
	for i, want := range []energy.Power{100, 200, 300, -100, -200, -250, -250, 0} {
		if got[i] != want*energy.Watt {
			t.Fatalf("%v", got)
		}
	}
}

// TestFallbackRests: without a setpoint the battery is held at 0 W, and a
// stopped gateway gives it back all the same.
func TestFallbackRests(t *testing.T) {
	g := New(Config{Controls: takes(device.BatteryPower), Limits: DeviceLimits(), Poll: energy.Second, Fallback: Rest})
	mustOffer(t, g, Setpoint{Power: energy.Kilowatt, TTL: 5 * energy.Second, Epoch: 1, Sequence: 1}, 0)
	carry(g, 0, at(500, 0))
	if a := carry(g, 5000, at(500, 5000)); len(a) != 1 || a[0].Kind != Set || a[0].Command.Value != 0 {
		t.Errorf("after its expiry: %+v", a)
	}
	if a := carry(g, 3600_000, at(500, 3600_000)); len(a) != 1 || a[0].Command.Value != 0 {
		t.Errorf("an hour later: %+v", a)
	}
	g.Drop("stopped")
	if a := carry(g, 3600_001, at(500, 3600_000)); len(a) != 1 || a[0].Kind != Release {
		t.Errorf("stopped: %+v", a)
	}
}

// TestNeverReverts: without a waiver the device is only watched; with one,
// whatever an earlier process left is ended at once.
func TestNeverReverts(t *testing.T) {
	control := device.Control{Quantity: device.BatteryPower, Reversion: device.NeverReverts}
	sp := Setpoint{Power: energy.Kilowatt, TTL: 5 * energy.Second, Epoch: 1, Sequence: 1}
	g := New(Config{Controls: []device.Control{control}, Limits: DeviceLimits(), Poll: energy.Second, Fallback: Rest})
	if err := g.Offer(sp, 0); !errors.Is(err, ErrWatched) {
		t.Errorf("without a waiver: %v", err)
	}
	if a := g.Decide(0, at(500, 0)); a.Kind != Nothing || !g.State().Watched {
		t.Errorf("without a waiver: %+v", a)
	}
	g = New(Config{Controls: []device.Control{control}, Limits: DeviceLimits(), Poll: energy.Second, Waived: true})
	if a := carry(g, 0, at(500, 0)); len(a) != 1 || a[0].Kind != Release {
		t.Errorf("a leftover: %+v", a)
	}
	mustOffer(t, g, sp, 0)
	if a := carry(g, 0, at(500, 0)); len(a) != 1 || a[0].Command.Value != 1_000_000 || a[0].Command.Reversion != 0 {
		t.Errorf("with a waiver: %+v", a)
	}
	if a := carry(g, 4000, at(500, 4000)); len(a) != 0 {
		t.Errorf("it is written again: %+v", a)
	}
	if a := carry(g, 5000, at(500, 5000)); len(a) != 1 || a[0].Kind != Release {
		t.Errorf("at its expiry: %+v", a)
	}
}

// TestFlashBudget: an ever-changing setpoint does not wear the device out, in
// the course of a day and over restarts; and what takes away is never refused.
func TestFlashBudget(t *testing.T) {
	const most = 500
	control := takes(device.BatteryPower)
	control[0].Flash = most
	var kept map[device.Quantity]Budget
	writes, sequence := 0, uint64(0)
	var g *Guard
	for s := range Stamp(86_400) {
		now := s * 1000
		in := at(500, now)
		in.At = energy.Instant(1_800_000_000_000 + int64(now))
		if s%600 == 0 { // it starts over and over
			if g != nil {
				kept = g.Budgets()
			}
			g = New(Config{Controls: control, Limits: DeviceLimits(), Poll: energy.Second})
			g.Restore(kept)
		}
		sequence++
		mustOffer(t, g, Setpoint{Power: energy.Power(s*7919%3000+100) * energy.Watt, Stamp: now, TTL: 30 * energy.Second, Epoch: 1, Sequence: sequence}, now)
		for _, a := range carry(g, now, in) {
			if a.Kind == Set {
				writes++
			}
		}
	}
	if writes > most*2 || writes < most/4 {
		t.Errorf("%d writes in a day, %d are allowed", writes, most)
	}
	// Used up: an increase waits, rest does not.
	g = guardOf(DeviceLimits(), control...)
	in := at(500, 0)
	in.At = 1_800_000_000_000
	mustOffer(t, g, Setpoint{Power: energy.Kilowatt, TTL: energy.Minute, Epoch: 1, Sequence: 1}, 0)
	carry(g, 0, in)
	g.slots[battery].budget = Budget{Most: most, Spent: most, At: in.At}
	mustOffer(t, g, Setpoint{Power: 2 * energy.Kilowatt, TTL: energy.Minute, Epoch: 1, Sequence: 2}, 0)
	if a := carry(g, 500_000, in); len(a) != 1 || a[0].Kind != Release {
		t.Errorf("used up, and expired: %+v", a)
	}
	mustOffer(t, g, Setpoint{Power: 2 * energy.Kilowatt, Stamp: 500_000, TTL: energy.Minute, Epoch: 1, Sequence: 3}, 500_000)
	if a := carry(g, 500_000, in); len(a) != 0 || !strings.Contains(g.State().Note, "budget") {
		t.Errorf("used up: %+v %q", a, g.State().Note)
	}
}

func TestBudgetDrains(t *testing.T) {
	b := Budget{Most: 100}
	const day = energy.Instant(1_800_000_000_000)
	for range 100 {
		b.Spend(day)
	}
	if b.Allows(day) || b.Allows(day.Add(energy.Hour)) || b.Spent != 96 {
		t.Errorf("an hour later: %+v", b)
	}
	if b.Allows(day.Add(-100 * energy.Day)) {
		t.Error("a clock that was set back drains")
	}
	if !b.Allows(day.Add(12*energy.Hour)) || b.Spent != 50 {
		t.Errorf("half a day later: %+v", b)
	}
}

// TestSecondMaster: his value is noticed and written over a few times; then he
// is left alone, and it is said.
func TestSecondMaster(t *testing.T) {
	g := batteryGuard(DeviceLimits())
	his, writes := int64(2_500_000), 0
	for s := range Stamp(1200) {
		now := s * 1000
		mustOffer(t, g, Setpoint{Power: energy.Kilowatt, Stamp: now, TTL: 30 * energy.Second, Epoch: 1, Sequence: uint64(s) + 1}, now)
		for _, a := range carry(g, now, at(500, now)) {
			if a.Kind == Set {
				writes++
			}
		}
		if s%5 == 0 {
			g.Observe(device.Applied{Quantity: device.BatteryPower, Value: his, Active: true}, now)
		}
	}
	s := g.StateAt(600_000)
	if writes > 2*(contests+2) || !s.Yields || !strings.Contains(s.Rival, "2500 W") || !strings.Contains(s.Rival, "1000 W") {
		t.Errorf("%d writes, %+v", writes, s)
	}
}

// TestNoSecondMaster: rounding is none, nor is the device's own reversion.
func TestNoSecondMaster(t *testing.T) {
	g := batteryGuard(DeviceLimits())
	mustOffer(t, g, Setpoint{Power: energy.Kilowatt, TTL: 10 * energy.Second, Epoch: 1, Sequence: 1}, 0)
	carry(g, 0, at(500, 0))
	for _, v := range []int64{990_000, 1_000_000, 985_000} {
		g.Observe(device.Applied{Quantity: device.BatteryPower, Value: v, Active: true}, 1000)
	}
	g.Observe(device.Applied{Quantity: device.BatteryPower}, 9_500)
	if s := g.State(); s.Rival != "" || len(carry(g, 5000, at(500, 5000))) != 0 {
		t.Errorf("%+v", s)
	}
	// It is gone before its time.
	g.Observe(device.Applied{Quantity: device.BatteryPower}, 6000)
	if s := g.State(); !strings.Contains(s.Rival, "no longer in force") {
		t.Errorf("%+v", s)
	}
}

// TestRefusingDevice: one that answers and does not obey is released and left
// alone for a time that grows.
func TestRefusingDevice(t *testing.T) {
	g := batteryGuard(DeviceLimits())
	sets := 0
	for s := range Stamp(3600) {
		now := s * 1000
		mustOffer(t, g, Setpoint{Power: energy.Kilowatt, Stamp: now, TTL: 30 * energy.Second, Epoch: 1, Sequence: uint64(s) + 1}, now)
		for range 3 {
			a := g.Decide(now, at(500, now))
			if a.Kind == Set {
				sets++
				g.Done(a, now, at(500, now), device.ErrReadBack)
			} else {
				g.Done(a, now, at(500, now), nil)
			}
		}
	}
	if sets < 3 || sets > 8 {
		t.Errorf("written %d times in an hour", sets)
	}
	if g.Commands() {
		t.Error("what it may hold was not released")
	}
}
