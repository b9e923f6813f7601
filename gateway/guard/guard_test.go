// SPDX-License-Identifier: AGPL-3.0-or-later

package guard

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/energy"
)

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
		"next":           {with(func(*Setpoint) {}), nil},
		"higher epoch":   {with(func(sp *Setpoint) { sp.Epoch, sp.Sequence = 4, 1 }), nil},
		"lower epoch":    {with(func(sp *Setpoint) { sp.Epoch = 2 }), ErrEpoch},
		"duplicate":      {ok, ErrSequence},
		"older":          {with(func(sp *Setpoint) { sp.Sequence = 6 }), ErrSequence},
		"expired":        {with(func(sp *Setpoint) { sp.Stamp = now - 5000 }), ErrExpired},
		"future":         {with(func(sp *Setpoint) { sp.Stamp = now + 1 }), ErrStamp},
		"negative stamp": {with(func(sp *Setpoint) { sp.Stamp = -1 }), ErrStamp},
		"no ttl":         {with(func(sp *Setpoint) { sp.TTL = 0 }), ErrTTL},
		"huge ttl":       {with(func(sp *Setpoint) { sp.TTL = MaxTTL + 1 }), ErrTTL},
	} {
		g := New(DeviceLimits(), energy.Second)
		if err := g.Offer(ok, now); err != nil {
			t.Fatal(err)
		}
		if err := g.Offer(c.sp, now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if c.want != nil && g.State().Setpoint != ok {
			t.Errorf("%s: a refused setpoint replaced the one in force", name)
		}
	}
	g := New(DeviceLimits(), energy.Second)
	g.Fence(4)
	if err := g.Offer(ok, now); !errors.Is(err, ErrEpoch) {
		t.Errorf("behind a fence: %v", err)
	}
}

func TestStateOfChargeGuards(t *testing.T) {
	limits := Limits{MaxCharge: 2 * energy.Kilowatt, MaxDischarge: energy.Kilowatt, MinSoC: 100, MaxSoC: 900}
	for name, c := range map[string]struct {
		power, want energy.Power
		soc         int64
		note        string
	}{
		"within":             {500 * energy.Watt, 500 * energy.Watt, 500, ""},
		"discharge limit":    {5 * energy.Kilowatt, energy.Kilowatt, 500, "power limit"},
		"charge limit":       {-5 * energy.Kilowatt, -2 * energy.Kilowatt, 500, "power limit"},
		"empty":              {energy.Kilowatt, 0, 100, "state of charge at its minimum"},
		"empty may charge":   {-energy.Kilowatt, -energy.Kilowatt, 100, ""},
		"full":               {-energy.Kilowatt, 0, 900, "state of charge at its maximum"},
		"full may discharge": {energy.Kilowatt, energy.Kilowatt, 1000, ""},
		"unknown":            {energy.Kilowatt, 0, -1, "state of charge unknown"},
		"unknown at rest":    {0, 0, -1, ""},
	} {
		g := New(limits, energy.Second)
		if err := g.Offer(Setpoint{Power: c.power, TTL: energy.Minute, Epoch: 1, Sequence: 1}, 0); err != nil {
			t.Fatal(err)
		}
		a := g.Decide(0, c.soc)
		if a.Kind != Set || a.Power != c.want || g.State().Note != c.note {
			t.Errorf("%s: %+v, %q", name, a, g.State().Note)
		}
	}
}

// TestWearsNothingOut: an unchanged command that is renewed every second is
// written once in half of its reversion time.
func TestWearsNothingOut(t *testing.T) {
	g := New(DeviceLimits(), energy.Second)
	writes := 0
	for s := range Stamp(600) {
		now := s * 1000
		if err := g.Offer(Setpoint{Power: energy.Kilowatt, Stamp: now, TTL: 20 * energy.Second, Epoch: 1, Sequence: uint64(s) + 1}, now); err != nil {
			t.Fatal(err)
		}
		if a := g.Decide(now, 500); a.Kind != Nothing {
			writes++
			g.Done(a, now, nil)
		}
	}
	if writes != 60 {
		t.Errorf("%d writes in ten minutes, want 60", writes)
	}
}

// battery is the oracle's device: it holds what was written until it is
// released or its own timer runs out.
type battery struct {
	power   energy.Power
	reverts Stamp
	held    bool
	setAt   Stamp
	latest  Stamp // the expiry of the latest accepted setpoint
	lost    bool  // the last write was lost: only the device's own timer bounds what it holds
}

// TestSchedules plays setpoints, delays, reordering, lost writes and a dying
// gateway: whatever comes, the device obeys nothing past its time, nothing from
// an older owner and nothing outside its limits.
func TestSchedules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		poll := energy.Span(rapid.SampledFrom([]int64{1000, 5000, 60_000}).Draw(t, "poll"))
		limits := Limits{MaxCharge: 3 * energy.Kilowatt, MaxDischarge: 2 * energy.Kilowatt, MinSoC: 100, MaxSoC: 900}
		g := New(limits, poll)
		var dev battery
		var epoch, sequence uint64
		dies := rapid.IntRange(5, 60).Draw(t, "dies at poll")
		var now Stamp
		for i := range dies {
			now = Stamp(i) * Stamp(poll)
			for range rapid.IntRange(0, 2).Draw(t, "setpoints") {
				sp := drawSetpoint(t, now, poll)
				err := g.Offer(sp, now)
				older := sp.Epoch < epoch || sp.Epoch == epoch && sp.Sequence <= sequence
				if err == nil && older {
					t.Fatalf("epoch %d sequence %d accepted after %d, %d", sp.Epoch, sp.Sequence, epoch, sequence)
				}
				if err == nil {
					epoch, sequence = sp.Epoch, sp.Sequence
					dev.latest = sp.Stamp + Stamp(sp.TTL)
				}
			}
			soc := rapid.Int64Range(-1, 1000).Draw(t, "soc")
			dev.step(now)
			dev.obey(t, g, now, soc, limits, rapid.IntRange(0, 3).Draw(t, "write"))
			if dev.held && now >= dev.latest+Stamp(poll) && !dev.lost {
				t.Fatalf("at %d a command is in force that ended at %d", now, dev.latest)
			}
		}
		// The gateway is dead: the device's own timer ends the command.
		if dev.held && !dev.lost && dev.reverts > max(dev.latest, dev.setAt+2*Stamp(poll))+1000 {
			t.Fatalf("a dead gateway leaves a command until %d; it ended at %d, written at %d", dev.reverts, dev.latest, dev.setAt)
		}
	})
}

func drawSetpoint(t *rapid.T, now Stamp, poll energy.Span) Setpoint {
	return Setpoint{
		Power:    energy.Power(rapid.Int64Range(-9_000, 9_000).Draw(t, "W")) * energy.Watt,
		Stamp:    now - Stamp(rapid.Int64Range(-2, 6).Draw(t, "delay"))*Stamp(poll)/2,
		TTL:      energy.Span(rapid.Int64Range(0, 10).Draw(t, "ttl")) * poll / 2,
		Epoch:    uint64(rapid.IntRange(1, 3).Draw(t, "epoch")),
		Sequence: uint64(rapid.IntRange(1, 30).Draw(t, "sequence")),
	}
}

func (d *battery) step(now Stamp) {
	if d.held && now >= d.reverts {
		d.held = false
	}
}

// obey carries out what the guard decides: how 0 loses the write, 1 loses only
// its answer, others succeed.
func (d *battery) obey(t *rapid.T, g *Guard, now Stamp, soc int64, limits Limits, how int) {
	a := g.Decide(now, soc)
	switch {
	case a.Power > limits.MaxDischarge || a.Power < -limits.MaxCharge:
		t.Fatalf("%s is outside the limits", a.Power)
	case a.Kind == Set && a.Power > 0 && soc <= limits.MinSoC, a.Kind == Set && a.Power < 0 && (soc < 0 || soc >= limits.MaxSoC):
		t.Fatalf("%s at a state of charge of %d", a.Power, soc)
	case a.Kind == Set && a.Reversion < 2*g.poll:
		t.Fatalf("reversion %s is less than two polls", a.Reversion)
	case a.Kind == Nothing:
		return
	}
	lost := errors.New("timeout")
	if how == 0 {
		d.lost = true
		g.Done(a, now, lost)
		return
	}
	d.lost = false
	if a.Kind == Release {
		d.held = false
	} else {
		*d = battery{power: a.Power, reverts: now + Stamp(a.Reversion), held: true, setAt: now, latest: d.latest}
	}
	if how == 1 {
		g.Done(a, now, lost)
	} else {
		g.Done(a, now, nil)
	}
}
