// SPDX-License-Identifier: AGPL-3.0-or-later

package guard

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

func refusing(q device.Quantity, by device.Reversion, least, most int64) *Guard {
	l := DeviceLimits()
	l.Capacity, l.Rated = 100*energy.KilowattHour, 10*energy.Kilowatt
	return New(Config{
		Controls: []device.Control{{Quantity: q, Reversion: by, LeastReversion: time.Second, MostReversion: time.Hour, Least: least, Most: most}},
		Limits:   l, Poll: energy.Second, Waived: true, Born: 1,
	})
}

// A device that takes the timer of each new setpoint and refuses its value goes
// on with the old value: that one is released when its own time is over, however
// often it is asked for another.
func TestOldValueEndsThoughNewOnesAreRefused(t *testing.T) {
	for _, by := range []device.Reversion{device.RevertsByTimer, device.NeverReverts} {
		g := refusing(device.BatteryPower, by, -10_000_000, 10_000_000)
		g.leftover = false
		held, reverts, ended := int64(0), Stamp(0), Stamp(11_000)
		for i := range 600 {
			now := Stamp(1000 * (i + 1))
			sp := Setpoint{Asset: "b", Power: 5 * energy.Kilowatt, Stamp: now, TTL: 10 * energy.Second, Epoch: 1, Sequence: uint64(i + 1)}
			if i > 0 {
				sp.Power = energy.Kilowatt
			}
			mustOffer(t, g, sp, now)
			in := at(500, now)
			for range 6 {
				a := g.Decide(now, in)
				var err error
				switch a.Kind {
				case Nothing:
				case Release:
					held = 0
				case Set:
					reverts = now + Stamp(energy.SpanOf(a.Command.Reversion))
					if err = errors.New("device failure"); i == 0 {
						held, err = a.Command.Value, nil
					}
				}
				g.Done(a, now, in, err)
				if a.Kind == Nothing || err != nil {
					break
				}
			}
			if by == device.RevertsByTimer && now >= reverts {
				held = 0
			}
			if now > ended+1000 && held == 5_000_000 {
				t.Fatalf("%s: %d s after its end the device still holds it", by, (now-ended)/1000)
			}
		}
	}
}

// A device that cannot be released of what an earlier process left is limited
// all the same where the grid operator asks for it.
func TestLimitIsWrittenThoughReleaseFails(t *testing.T) {
	g := refusing(device.LoadPower, device.RevertsByTimer, 0, 11_000_000)
	in := at(-1, 0)
	in.Grid.Draw = UsualDraw
	releases, limited := 0, false
	for s := range 120 {
		now := Stamp(1000 * (s + 1))
		a := g.Decide(now, in)
		var err error
		switch a.Kind {
		case Release:
			releases++
			err = device.ErrReadBack
		case Set:
			limited = a.Command.Value == int64(UsualDraw)
		case Nothing:
		}
		g.Done(a, now, in, err)
	}
	if !limited || releases < 5 {
		t.Errorf("after two minutes: limited %v, %d tries to release it", limited, releases)
	}
}

// A second master that moves a limit a little at a time is noticed like one that
// moves it at once.
func TestSlowRivalIsNoticed(t *testing.T) {
	g := refusing(device.LoadPower, device.NeverReverts, 0, 11_000_000)
	g.leftover = false
	in := at(-1, 0)
	in.Grid.Draw = UsualDraw
	held, told := int64(0), ""
	for s := range 300 {
		now := Stamp(1000 * (s + 1))
		a := g.Decide(now, in)
		if a.Kind == Set {
			held = a.Command.Value
		}
		g.Done(a, now, in, nil)
		if s%5 == 0 {
			held += 80_000
			g.Observe(device.Applied{Quantity: device.LoadPower, Value: held, Active: true}, now)
		}
		if r := g.State().Rival; r != "" {
			told = r
		}
	}
	if held > int64(UsualDraw)+1_000_000 || !strings.Contains(told, "second master") {
		t.Errorf("the device holds %d mW, and it is said: %q", held, told)
	}
}

// What a grid operator asks for is not widened to the hundredth that a charter
// is kept to: the inverter stops.
func TestOperatorsLimitIsNotWidened(t *testing.T) {
	for _, from := range []Authority{Charter, GridOperator} {
		g := refusing(device.ActivePower, device.RevertsByTimer, 0, 10_000_000)
		g.leftover = false
		mustOffer(t, g, Setpoint{Asset: "b", Quantity: device.ActivePower, From: from, Power: 50 * energy.Watt, Stamp: 10, TTL: 10 * energy.Second, Epoch: 1, Sequence: 1}, 10)
		a := g.Decide(10, at(-1, 10))
		if stop := from == GridOperator; a.Command.Stop != stop || !stop && a.Command.Value != 100_000 {
			t.Errorf("%v: %+v", from, a.Command)
		}
	}
}

// TestTurnsByWayOfRest: a battery that charges, or may, is told to rest before
// it is told to discharge.
func TestTurnsByWayOfRest(t *testing.T) {
	for name, fails := range map[string]error{"it charges": nil, "it may charge": errors.New("no answer in time")} {
		g := New(Config{Controls: []device.Control{{Quantity: device.BatteryPower, Reversion: device.RevertsByTimer}}, Limits: DeviceLimits(), Poll: energy.Second})
		g.leftover = false
		in := Input{SoC: 500, Grid: FreeGrid()}
		offer := func(p energy.Power, sequence uint64) {
			t.Helper()
			if err := g.Offer(Setpoint{Power: p, TTL: energy.Minute, Epoch: 1, Sequence: sequence}, 0); err != nil {
				t.Fatal(err)
			}
		}
		offer(-energy.Kilowatt, 1)
		g.Done(g.Decide(0, in), 0, in, fails)
		offer(3*energy.Kilowatt, 2)
		for _, want := range []int64{0, int64(3 * energy.Kilowatt)} {
			a := g.Decide(1000, in)
			if a.Kind != Set || a.Command.Value != want {
				t.Fatalf("%s: %+v, not %d", name, a, want)
			}
			g.Done(a, 1000, in, nil)
		}
	}
}

// TestShareOfAnUnknownRating: a grid operator's percentage holds for a battery
// whose rating nobody wrote down, by what the device takes; and where that is
// not known either, nothing is fed in.
func TestShareOfAnUnknownRating(t *testing.T) {
	for most, want := range map[int64]int64{int64(5 * energy.Kilowatt): int64(3 * energy.Kilowatt), 0: 0} {
		g := New(Config{Controls: []device.Control{{Quantity: device.BatteryPower, Reversion: device.RevertsByTimer, Least: -most, Most: most}}, Limits: DeviceLimits(), Poll: energy.Second})
		g.leftover = false
		in := Input{SoC: 500, Grid: FreeGrid()}
		in.Grid.FeedPermille = 600
		if err := g.Offer(Setpoint{Power: 4 * energy.Kilowatt, TTL: energy.Minute, Epoch: 1, Sequence: 1}, 0); err != nil {
			t.Fatal(err)
		}
		if a := g.Decide(0, in); a.Kind != Set || a.Command.Value != want {
			t.Errorf("a rating of %d: %+v, not %d", most, a, want)
		}
	}
}
