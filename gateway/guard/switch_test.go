// SPDX-License-Identifier: AGPL-3.0-or-later

package guard

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

// toggled is a guard of a load that can only be blocked or let go, and then
// draws up to 5 kW.
func toggled(l Limits) *Guard {
	g := New(Config{Controls: []device.Control{{
		Quantity: device.LoadPower, Reversion: device.NeverReverts, Switch: true, Least: int64(5 * energy.Kilowatt),
	}}, Limits: l, Poll: energy.Second, Waived: true})
	g.leftover = false
	return g
}

// TestSwitch: what is asked of a load that can only be switched is to be blocked
// or nothing, never anything in between.
func TestSwitch(t *testing.T) {
	l := DeviceLimits()
	l.MinRun, l.MinPause, l.Ramp = 10*energy.Minute, 5*energy.Minute, energy.Watt
	g := toggled(l)
	sequence := uint64(0)
	step := func(minute float64, p energy.Power, from Authority, blocked bool, why string) {
		t.Helper()
		now := Stamp(minute * 60_000)
		sequence++
		mustOffer(t, g, Setpoint{Quantity: device.LoadPower, Power: p, From: from, Stamp: now, TTL: energy.Hour, Epoch: 1, Sequence: sequence}, now)
		for _, a := range carry(g, now, at(-1, now)) {
			if a.Kind == Set && a.Command.Value != 0 {
				t.Errorf("at minute %v it is told %+v", minute, a.Command)
			}
		}
		if c := g.State().Controls[0]; c.InForce != blocked || c.Value != 0 || !strings.Contains(c.Why, why) {
			t.Errorf("at minute %v: %+v", minute, c)
		}
	}
	step(1, 6*energy.Kilowatt, Charter, false, "")
	step(2, 4999*energy.Watt, Charter, false, "") // its least run time
	step(11, 4999*energy.Watt, Charter, true, "below its least power; let go it draws up to 5000 W")
	step(12, 5*energy.Kilowatt, Charter, true, "least pause")
	step(16.5, 5*energy.Kilowatt, Charter, false, "")
	step(17, 4200*energy.Watt, GridOperator, true, "grid operator; let go it draws up to")
	step(18, 9*energy.Kilowatt, GridOperator, true, "least pause")
	step(22.5, 9*energy.Kilowatt, GridOperator, false, "")
	in := at(-1, 60*60_000)
	in.Grid.Draw = UsualDraw
	if carry(g, 60*60_000, in); !g.State().Controls[0].InForce {
		t.Error("a contact's 4.2 kW does not block it")
	}
	if a := carry(g, 66*60_000, at(-1, 66*60_000)); len(a) == 0 || a[len(a)-1].Kind != Release {
		t.Errorf("the contact is open again: %+v", a)
	}
}

// TestSwitchIsNoSecondMaster: that a load was let go is not taken for somebody
// else's command, and that somebody lets it go who may not is noticed.
func TestSwitchIsNoSecondMaster(t *testing.T) {
	g := toggled(DeviceLimits())
	mustOffer(t, g, Setpoint{Quantity: device.LoadPower, Power: 6 * energy.Kilowatt, TTL: energy.Hour, Epoch: 1, Sequence: 1}, 0)
	carry(g, 0, at(-1, 0))
	g.Observe(device.Applied{Quantity: device.LoadPower}, 1000)
	if r := g.State().Rival; r != "" {
		t.Errorf("let go: %s", r)
	}
	mustOffer(t, g, Setpoint{Quantity: device.LoadPower, TTL: energy.Hour, Epoch: 1, Sequence: 2}, 0)
	carry(g, 2000, at(-1, 2000))
	g.Observe(device.Applied{Quantity: device.LoadPower, Active: true}, 3000)
	if r := g.State().Rival; r != "" {
		t.Errorf("blocked: %s", r)
	}
	g.Observe(device.Applied{Quantity: device.LoadPower}, 4000)
	if r := g.State().Rival; !strings.Contains(r, "no longer in force") {
		t.Errorf("let go by somebody else: %q", r)
	}
}

// Whatever is asked of a switch, whenever, and whatever fails: it is told to be
// blocked or let go, it is not let go under a limit of the grid operator below
// what it draws, and when nothing is asked any more it is let go in the end.
func TestSwitchIsNeverBetween(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := DeviceLimits()
		span := func(name string) energy.Span {
			return energy.Span(rapid.Int64Range(0, 20).Draw(rt, name)) * energy.Minute
		}
		l.MinRun, l.MinPause = span("run"), span("pause")
		l.LeastLoad = energy.Power(rapid.SampledFrom([]int64{0, 1_000_000, 7_000_000}).Draw(rt, "least"))
		g := toggled(l)
		blocked, now, sequence := false, Stamp(0), uint64(0)
		decide := func(in Input, fails bool) {
			for range 6 {
				a := g.Decide(now, in)
				if a.Kind == Nothing {
					return
				}
				if a.Kind == Set && (a.Command.Value != 0 || a.Command.Quantity != device.LoadPower) {
					rt.Fatalf("told %+v", a.Command)
				}
				if fails {
					g.Done(a, now, in, device.ErrNotReadable)
					return
				}
				blocked = a.Kind == Set
				g.Done(a, now, in, nil)
			}
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			now += Stamp(rapid.Int64Range(1, 600_000).Draw(rt, "ms"))
			in := at(-1, now)
			if p := rapid.Int64Range(-1, 12_000).Draw(rt, "watts"); p >= 0 {
				sequence++
				from := Authority(rapid.IntRange(0, 1).Draw(rt, "from"))
				mustOffer(t, g, Setpoint{Quantity: device.LoadPower, Power: energy.Power(p) * energy.Watt, From: from, Stamp: now, TTL: energy.Hour / 4, Epoch: 1, Sequence: sequence}, now)
			}
			if rapid.Bool().Draw(rt, "contact") {
				in.Grid.Draw = energy.Power(rapid.Int64Range(0, 12_000_000).Draw(rt, "draw"))
			}
			fails := rapid.IntRange(0, 3).Draw(rt, "fails") == 0
			decide(in, fails)
			above := in.Grid.Draw
			if o, ok := g.held(load, GridOperator); ok {
				above = min(above, energy.Power(o.value))
			}
			if above < 5*energy.Kilowatt && !blocked && !fails {
				rt.Fatalf("it may run under a limit of %s", above)
			}
		}
		now += Stamp(energy.Hour)
		if decide(at(-1, now), false); blocked {
			rt.Fatal("nothing is asked of it, and it is blocked")
		}
	})
}
