// SPDX-License-Identifier: AGPL-3.0-or-later

package commission

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

const (
	readingsBefore = 6
	readingsHold   = 6
	readingsAfter  = 4
	settleWithin   = 30 * time.Second
	usualReversion = time.Minute
	grace          = 5 * time.Second
	socMargin      = 20 // permille
)

// batteries proves each battery that can be commanded.
func (r *runner) batteries(ctx context.Context) {
	for _, d := range r.all {
		if ctx.Err() != nil || len(d.readings) == 0 || d.unit.Device.Kind() != roll.Battery {
			continue
		}
		if r.o.Only != "" && r.o.Only != d.unit.Asset {
			continue
		}
		r.battery(ctx, d)
	}
}

func (r *runner) battery(ctx context.Context, d *tried) {
	step, c, refusal := r.plan(d)
	if refusal.Text != "" {
		refusal.Name = SignProof
		d.add(r, refusal)
		return
	}
	if !r.o.Ask(question(d, step)) {
		d.add(r, Proof{Name: SignProof, Outcome: Remarked, Text: "not tried: it was not allowed", Next: "commission again and answer yes, or say --yes"})
		return
	}
	meters, names := r.meters()
	var p Proof
	for again, try := true, 0; again && try < triesOfStep && ctx.Err() == nil; try++ {
		r.o.Say(string(d.unit.Asset), fmt.Sprintf("sign proof: %s W for a few seconds", watts(step.Power)))
		m := NewMachine(step)
		r.drive(ctx, m, d, meters)
		p, again = signProof(m, names)
	}
	d.add(r, p)
	if ctx.Err() != nil {
		return
	}
	if p.Outcome == Failed {
		d.add(r, Proof{Name: FallbackProof, Outcome: Skipped, Text: "not tried, because the sign proof failed"})
		return
	}
	d.add(r, r.fallback(ctx, d, step, c, meters, names))
}

// fallback stops writing and sees the device come back.
func (r *runner) fallback(ctx context.Context, d *tried, step Step, c device.Control, meters []*tried, names []string) Proof {
	if c.Reversion == device.NeverReverts {
		return Proof{
			Name: FallbackProof, Outcome: Remarked, Text: "this device has no timer of its own; it is commanded under a signed waiver",
			Next: "should the gateway die, its last command stays in force until somebody takes it back at the device",
		}
	}
	step.Alone = true
	step.Reversion = within(r.o.Timer, c)
	if c.Reversion == device.RevertsByWatchdog {
		step.Reversion = max(c.MostReversion, c.LeastReversion, c.Refresh)
	}
	step.MostForce = r.o.Settle + step.Reversion + step.Grace + readingsHold*r.o.Period + time.Minute
	if step.Reversion > MostTimer {
		return Proof{
			Name: FallbackProof, Outcome: Skipped,
			Text: fmt.Sprintf("its shortest timer is %s, too long to wait for here", step.Reversion),
		}
	}
	r.o.Say(string(d.unit.Asset), fmt.Sprintf("fallback proof: one command, then silence; its timer is %s", step.Reversion))
	m := NewMachine(step)
	r.drive(ctx, m, d, meters)
	return fallbackProof(m, names)
}

// plan is the step for a battery, or why there is none.
func (r *runner) plan(d *tried) (Step, device.Control, Proof) {
	no := func(o Outcome, text, next string) (Step, device.Control, Proof) {
		return Step{}, device.Control{}, Proof{Outcome: o, Text: text, Next: next}
	}
	i := slices.IndexFunc(d.unit.Device.Controls(), func(c device.Control) bool { return c.Quantity == device.BatteryPower })
	soc := d.readings[len(d.readings)-1].SoC
	switch {
	case r.o.Step == 0:
		return no(Skipped, "not tried: no step was asked for", "")
	case d.unit.ReadOnly:
		return no(Skipped, "it is only watched: read_only in gateway.yaml", "")
	case i < 0:
		return no(Skipped, "it takes no setpoint by the profile it is read by, so it is only watched", "")
	case soc < 0:
		return no(Remarked, "not tried: the battery does not tell its state of charge, and without it none is commanded", "read it by a profile that has the state of charge")
	}
	c := d.unit.Device.Controls()[i]
	if c.Reversion == device.NeverReverts && !d.unit.Waiver {
		return no(Remarked, "not tried: the device has no timer that ends a command when the gateway is gone, so it is not commanded", "leave it watched, or sign a waiver for it in gateway.yaml")
	}
	least, most := d.unit.LeastSoC, d.unit.MostSoC
	step := Step{
		Power: r.o.Step, Reversion: within(usualReversion, c), Grace: min(grace, r.o.Timer/2) + 2*r.o.Period,
		MostForce: r.o.Settle + (readingsHold+4)*r.o.Period + 30*time.Second,
		Before:    readingsBefore, Hold: readingsHold, After: readingsAfter, SettleWithin: r.o.Settle,
		Least: -orAll(d.unit.MaxCharge), Most: orAll(d.unit.MaxDischarge), LeastSoC: least, MostSoC: most, Margin: socMargin,
	}
	if c.Least != 0 || c.Most != 0 {
		step.Least, step.Most = max(step.Least, energy.Power(c.Least)), min(step.Most, energy.Power(c.Most))
	}
	step.Rewrite = step.Reversion / 2
	if c.Refresh > 0 {
		step.Rewrite = min(step.Rewrite, c.Refresh/2)
	}
	// Towards the middle of what the battery holds, so that neither end is near.
	if soc < (least+most)/2 {
		step.Power = -step.Power
	}
	if room := min(soc-least, most-soc); room <= socMargin && most-least <= 4*socMargin {
		return no(Remarked, fmt.Sprintf("not tried: the state of charge of %s %% leaves no room between its limits", permille(soc)), "wait until it is between them")
	}
	return step, c, Proof{}
}

func orAll(p energy.Power) energy.Power {
	if p <= 0 || p > mostPower {
		return mostPower
	}
	return p
}

// within is a timer that the device takes, near d.
func within(d time.Duration, c device.Control) time.Duration {
	if c.MostReversion > 0 {
		d = min(d, c.MostReversion)
	}
	return max(d, c.LeastReversion).Round(time.Second)
}

func question(d *tried, s Step) string {
	doing := "discharge"
	if s.Power < 0 {
		doing = "charge"
	}
	last := d.readings[len(d.readings)-1]
	return fmt.Sprintf("%s (%s %s, %s %% full) will %s with %s W more than now, twice, for some seconds each; it is released after each, and its own timer ends it in any case after %s.",
		d.unit.Asset, d.report.Identity.Manufacturer, d.report.Identity.Model, permille(last.SoC), doing, watts(abs(s.Power))[1:], s.Reversion)
}

// meters are those that a step is checked against.
func (r *runner) meters() (all []*tried, names []string) {
	for _, d := range r.all {
		if len(d.readings) > 0 && d.unit.Device.Kind() == roll.Meter && d.readings[len(d.readings)-1].Quality == energy.Good {
			all, names = append(all, d), append(names, string(d.unit.Asset))
		}
	}
	return all, names
}

// drive does what the machine says. Stopping it makes the machine release the
// battery, for which it has time of its own.
func (r *runner) drive(ctx context.Context, m *Machine, d *tried, meters []*tried) {
	lasting := context.WithoutCancel(ctx)
	begun := r.o.Now()
	since := func() time.Duration { return r.o.Now().Sub(begun) }
	next := time.Duration(0)
	for m.Next() != Finish {
		if ctx.Err() != nil {
			m.Halt("it was stopped")
		}
		switch m.Next() {
		case Finish:
		case Read:
			r.o.Sleep(ctx, next-since())
			if ctx.Err() != nil {
				continue
			}
			next = max(next+r.o.Period, since())
			s, err := r.sample(ctx, d, meters)
			if err != nil {
				m.Unread(err)
				continue
			}
			s.At = since()
			m.Took(s)
		case Write:
			err := r.command(lasting, func(ctx context.Context) error {
				return d.unit.Device.Apply(ctx, device.Command{Quantity: device.BatteryPower, Value: int64(m.Target()), Reversion: m.step.Reversion})
			})
			m.Wrote(since(), err)
		case Release:
			err := r.command(lasting, d.unit.Device.Release)
			m.Released(since(), err)
			if err != nil && m.Next() == Release {
				r.o.Sleep(lasting, time.Second)
			}
		}
	}
}

func (r *runner) command(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, deviceTime)
	defer cancel()
	return do(ctx)
}

// sample reads the meters and the battery, one right after the other.
func (r *runner) sample(ctx context.Context, d *tried, meters []*tried) (Sample, error) {
	s := Sample{SoC: -1}
	for _, m := range meters {
		v, err := r.read(ctx, m.unit.Device)
		if err == nil && v.Quality != energy.Good {
			err = fmt.Errorf("meter %s: its power is %s", m.unit.Asset, v.Quality)
		}
		if err != nil {
			return s, err
		}
		s.Meters = append(s.Meters, v.Power)
	}
	v, err := r.read(ctx, d.unit.Device)
	if err == nil && v.Quality != energy.Good {
		err = fmt.Errorf("battery %s: its power is %s", d.unit.Asset, v.Quality)
	}
	s.Battery, s.SoC = v.Power, v.SoC
	return s, err
}
