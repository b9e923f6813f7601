// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

import (
	"fmt"
	"slices"

	"github.com/allmende-energy/allmende/gateway/device"
)

// quantities that a kind can be told.
func quantities(k Kind) []device.Quantity {
	switch k {
	case Battery:
		return []device.Quantity{device.BatteryPower, device.ChargeLimit, device.DischargeLimit}
	case Inverter:
		return []device.Quantity{device.ActivePower, device.ActivePowerPct}
	case Charger, HeatPump:
		return []device.Quantity{device.LoadPower}
	default:
		return nil
	}
}

func (c *checker) control(k *Control, at string) {
	if len(c.p.Controls) > mostControls {
		c.bad("controls", "%d; a profile holds at most %d", len(c.p.Controls), mostControls)
		return
	}
	var known []device.Quantity
	for _, kind := range c.p.Kinds {
		known = append(known, quantities(kind)...)
	}
	if !slices.Contains(known, k.Quantity) {
		c.bad(at+".quantity", "%.40q; devices of these kinds can be told %v", k.Quantity, known)
	}
	for i := range c.p.Controls {
		o := &c.p.Controls[i]
		if o == k {
			break
		}
		if o.Quantity == k.Quantity && meet(o.Since, o.Before, k.Since, k.Before) {
			c.bad(at+".quantity", "a second control of %s; only variants of different firmware may share a quantity", k.Quantity)
		}
	}
	c.from(k.From, at)
	c.firmwareRange(k.Since, k.Before, at)
	if !k.Confirmed {
		if k.Note == "" {
			c.bad(at+".note", "missing; say what is not known, so that somebody can find it out")
		}
		return
	}
	if n := len(k.From); n == 1 || n == 0 && len(c.p.Sources) < 2 {
		c.bad(at+".from", "a confirmed control has two sources at least; with one it stays confirmed: false and is only read")
	}
	c.bounds(k, at)
	c.reversion(k, at)
	switch {
	case k.Switch:
		c.toggle(k, at)
	case len(k.Set) == 0:
		c.bad(at+".set", "missing; list what is written, in its order")
	}
	if len(k.Release) == 0 {
		c.bad(at+".release", "missing; list what gives the device back to itself")
	}
	c.steps(k.Set, at+".set", k)
	c.steps(k.Stop, at+".stop", nil)
	c.steps(k.Release, at+".release", nil)
}

// toggle checks a control that has two states only: what blocks the load, and
// what lets it go, which is how it is released as well.
func (c *checker) toggle(k *Control, at string) {
	if k.Quantity != device.LoadPower {
		c.bad(at+".switch", "only load_power can be one; %s has values", k.Quantity)
	}
	if len(k.Set) > 0 {
		c.bad(at+".set", "a switch knows no values: stop blocks it and release lets it go; remove set, or switch: true")
	}
	if k.Reversion.By == device.RevertsByTimer {
		c.bad(at+".reversion.by", "a switch reverts by a watchdog, or none")
	}
	switch {
	case len(k.Stop) == 0:
		c.bad(at+".stop", "missing; list what blocks it")
	case len(k.Release) > 0 && !undoes(k.Release, k.Stop):
		c.bad(at+".release", "changes nothing that stop has written, so that the load would stay blocked")
	}
}

// undoes says whether some register holds another constant after these steps
// than after the others.
func undoes(steps, others []Write) bool {
	return slices.ContainsFunc(steps, func(a Write) bool {
		return slices.ContainsFunc(others, func(b Write) bool {
			return a.Takes == "constant" && b.Takes == "constant" && a.Table == b.Table && a.Address == b.Address && a.Value != b.Value
		})
	})
}

func (c *checker) bounds(k *Control, at string) {
	switch {
	case k.Switch && (k.Least == nil || k.Least.Raw <= 0):
		c.bad(at+".least", "missing; a switch needs what the load draws at most when it is let go, in W: a smaller limit blocks it")
	case k.Switch && k.Most != nil:
		c.bad(at+".most", "a switch has two states and no range; remove it")
	case k.Switch:
	case k.Least == nil || k.Most == nil:
		c.bad(at+".most", "a control needs least and most, in W or %%: nothing beyond them is ever written")
	case k.Least.Cmp(*k.Most) >= 0:
		c.bad(at+".most", "%s is not above %s", k.Most, k.Least)
	case k.Quantity == device.ActivePowerPct && k.Most.Cmp(Decimal{Raw: 100}) > 0:
		c.bad(at+".most", "%s; this is in %%, so at most 100", k.Most)
	case k.Quantity != device.BatteryPower && k.Least.Raw < 0:
		c.bad(at+".least", "%s; %s is a limit and not negative", k.Least, k.Quantity)
	}
	if k.WritesPerDay < 0 || k.RefreshSeconds < 0 {
		c.bad(at, "writes_per_day and refresh_seconds are not negative")
	}
}

func (c *checker) reversion(k *Control, at string) {
	r := k.Reversion
	armed := slices.IndexFunc(k.Set, func(w Write) bool { return w.Takes == "seconds" })
	switch r.By {
	case device.RevertsByTimer:
		first := slices.IndexFunc(k.Set, func(w Write) bool { return w.Takes == "value" || w.Takes == "magnitude" })
		switch {
		case armed < 0:
			c.bad(at+".set", "reversion is by a timer, but no step takes seconds")
		case first >= 0 && telegram(k.Set, first) < telegram(k.Set, armed):
			c.bad(at+".set", "the timer is armed after the setpoint; write it first, so that the setpoint cannot stay if we die between the two")
		case r.LeastSeconds < 1 || r.MostSeconds <= r.LeastSeconds:
			c.bad(at+".reversion", "a timer needs least_seconds and most_seconds that the device takes")
		}
	case device.RevertsByWatchdog:
		if r.Seconds < 1 {
			c.bad(at+".reversion.seconds", "missing; after how many seconds without a write does the device go back to itself?")
		}
		if k.RefreshSeconds == 0 || k.RefreshSeconds >= r.Seconds {
			c.bad(at+".refresh_seconds", "%d; a watchdog of %d s is to be fed before it ends, best at half of it", k.RefreshSeconds, r.Seconds)
		}
	case device.NeverReverts:
	default:
		c.bad(at+".reversion.by", "%.20q; write timer, watchdog or none", r.By)
	}
	if r.By != device.RevertsByTimer && armed >= 0 {
		c.bad(fmt.Sprintf("%s.set[%d].takes", at, armed), "seconds are for a reversion by timer")
	}
}

// telegram is the step that begins the telegram a step is sent in.
func telegram(steps []Write, i int) int {
	for i > 0 && steps[i].Joins {
		i--
	}
	return i
}

// joins checks that a step can go into the telegram of the one before it.
func (c *checker) joins(steps []Write, i int, at string) {
	if !steps[i].Joins {
		return
	}
	if i == 0 {
		c.bad(at+".joins", "there is no step before this one")
		return
	}
	w, before := &steps[i], &steps[i-1]
	next := int(before.Address) + before.Type.size()
	if w.Function != 16 || before.Function != 16 || w.Table != before.Table || int(w.Address) != next ||
		w.Read != before.Read || !slices.Equal(w.When, before.When) {
		c.bad(at+".joins", "a step joins the one before it by function 16, at the next register (%d), with the same when and read", next)
	}
}

// steps checks a sequence of writes; of is nil where there is no value to write.
func (c *checker) steps(steps []Write, at string, of *Control) {
	if len(steps) > mostSteps {
		c.bad(at, "%d steps; at most %d", len(steps), mostSteps)
		return
	}
	values := 0
	for i := range steps {
		w := &steps[i]
		at := fmt.Sprintf("%s[%d]", at, i)
		c.step(w, at)
		c.joins(steps, i, at)
		switch w.Takes {
		case "value", "magnitude":
			values++
			if of == nil {
				c.bad(at+".takes", "there is no %s here; write constant and the value", w.Takes)
			}
		case "seconds":
			if of == nil {
				c.bad(at+".takes", "there are no seconds here; write constant and the value")
			}
		}
	}
	if of != nil && len(steps) > 0 && values == 0 {
		c.bad(at, "no step takes the value or its magnitude, so nothing would be commanded; a load that can only be blocked or let go is a switch: true, with stop and release")
	}
}

func (c *checker) step(w *Write, at string) {
	address := w.Address
	if w.Type == NoType {
		w.Type = U16
		if w.Table == Coil {
			w.Type = Bit
		}
	}
	c.encoding(at, w.Table, &address, w.Type, 0)
	if w.Type == String {
		c.bad(at+".type", "strings are not written")
	}
	switch {
	case w.Table == Input || w.Table == Discrete:
		c.bad(at+".table", "%s registers can only be read; write holding or coil", w.Table)
	case w.Table == Coil && w.Function != 5:
		c.bad(at+".function", "%d; a coil is written by function 5", w.Function)
	case w.Table == Holding && w.Function != 6 && w.Function != 16:
		c.bad(at+".function", "%d; write 6 (one register) or 16 (several); devices may take only one of them", w.Function)
	case w.Function == 6 && w.Type.size() != 1:
		c.bad(at+".function", "function 6 writes one register, a %s has %d; write 16", w.Type, w.Type.size())
	}
	if !slices.Contains([]string{"constant", "value", "magnitude", "seconds"}, w.Takes) {
		c.bad(at+".takes", "%.20q; write constant, value, magnitude or seconds", w.Takes)
	}
	if w.Takes == "constant" {
		if _, ok := rawRegisters(w.Type, w.Value); !ok {
			c.bad(at+".value", "%d does not fit into a %s", w.Value, w.Type)
		}
		if w.Scale != nil || w.Offset != 0 || w.Sign != "" || w.Factor != nil {
			c.bad(at+".takes", "a constant is written as it is, without scale, offset, factor or sign")
		}
	} else if w.Value != 0 {
		c.bad(at+".value", "only a constant has one; remove it")
	}
	if w.Scale != nil && w.Scale.Raw <= 0 {
		c.bad(at+".scale", "%s; must be above 0", w.Scale)
	}
	if w.Sign != "" && w.Sign != "opposite" {
		c.bad(at+".sign", "%.20q; write opposite, or remove the line", w.Sign)
	}
	for i, when := range w.When {
		if !slices.Contains([]string{"positive", "zero", "negative"}, when) {
			c.bad(fmt.Sprintf("%s.when[%d]", at, i), "%.20q; write positive, zero or negative", when)
		}
	}
	if !slices.Contains([]string{"", "no", "lags"}, w.Read) {
		c.bad(at+".read", "%.20q; write no where it cannot be read, lags where it follows later, or remove the line", w.Read)
	}
}
