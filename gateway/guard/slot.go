// SPDX-License-Identifier: AGPL-3.0-or-later

package guard

import (
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

const (
	// standingTime is what a device is armed with for a command that no
	// setpoint ends: a limit of the equipment, of the grid operator, or rest.
	standingTime = energy.Minute
	// longestSparing bounds how much longer than its command a device may be
	// armed in order to spare its flash memory.
	longestSparing = 10 * energy.Minute
	// usualWatchdog is assumed where a profile does not know its device's.
	usualWatchdog = energy.Minute
)

// rhythm is how often is decided, and how fast a command may grow.
type rhythm struct {
	poll energy.Span
	ramp energy.Power // in a second, 0: at once
}

// shortest is what a timer must outlast: one decision may be late.
func (r rhythm) shortest() energy.Span { return 2 * r.poll }

// write says what the slot needs in order to follow w at now.
func (s *slot) write(at place, w want, now Stamp, in Input, r rhythm) Action {
	if s.known && s.reverts() && now >= s.revertsAt {
		s.known = false // by now it follows itself
	}
	s.note = w.note
	value, held := s.pace(at, w, now, r)
	if held != "" && s.note == "" {
		s.note = held
	}
	a, needed := s.action(at, w, value, now, r)
	if !needed {
		return Action{}
	}
	why := s.refusal(a, w, in)
	if why == "" && s.turns(a) {
		// By way of rest: a device that is told amount and direction one after
		// the other would else do the new amount in the old direction.
		a, _ = s.action(at, w, 0, now, r)
	}
	if why == "" {
		return a
	}
	s.note = why
	// What is in force meanwhile must lie within what is asked for: a battery does
	// not go on discharging because its charging has to wait.
	w.stop = w.stop || at != battery && s.known && s.written.Stop
	a, needed = s.action(at, w, s.covered(at, value), now, r)
	if !needed || s.refusal(a, w, in) != "" {
		return Action{}
	}
	return a
}

// action is the write of a value, and whether it is needed.
func (s *slot) action(at place, w want, value int64, now Stamp, r rhythm) (a Action, needed bool) {
	reversion := s.reversion(w, now, r.shortest())
	a = Action{Kind: Set, slot: at, Command: device.Command{
		Quantity: s.control.Quantity, Value: value, Stop: w.stop, Reversion: reversion.Duration(),
	}, behind: backing{w.until, w.standing}}
	a.shortens = s.known && s.control.Reversion == device.RevertsByTimer && now+Stamp(reversion) < s.revertsAt
	a.Adds = s.adds(at, w, value, a.shortens)
	if s.same(a.Command) {
		s.behind = a.behind // the value in force is backed by the newest order
		return a, s.mustRearm(w, now, energy.SpanOf(a.Command.Reversion), r.poll)
	}
	return a, true
}

// turns says that a battery which may still go one way is told to go the other.
func (s *slot) turns(a Action) bool {
	if a.slot != battery || !s.commanded {
		return false
	}
	may := s.may
	if s.known {
		may = interval{}.with(s.written.Value)
	}
	return a.Command.Value > 0 && may.low < 0 || a.Command.Value < 0 && may.high > 0
}

// same says that a command is in force already.
func (s *slot) same(c device.Command) bool {
	return s.known && c.Value == s.written.Value && c.Stop == s.written.Stop
}

// refusal says why a write has to wait, "" if it need not.
func (s *slot) refusal(a Action, w want, in Input) string {
	takesAway := s.commanded && (!s.same(a.Command) || a.shortens) && !s.grows(a.slot, a.Command.Value)
	switch {
	case a.Adds && in.Withhold != "":
		return in.Withhold
	case !w.must && !takesAway && !s.budget.Allows(in.At):
		return "the flash-write budget of the day is used up"
	}
	return ""
}

// adds says that a value lets more happen than is in force, or, of a battery's
// power, for longer. A limit that is told for the first time, or again, adds nothing.
func (s *slot) adds(at place, w want, value int64, shortens bool) bool {
	switch {
	case w.stop || value == 0:
		return false
	case at != battery:
		return s.known && value > s.written.Value
	case s.known && value == s.written.Value:
		return !shortens
	}
	return !s.known || (value < 0) != (s.written.Value < 0) || magnitude(value) > magnitude(s.written.Value)
}

// covered is what of a value may be in force while the value itself has to wait.
func (s *slot) covered(at place, value int64) int64 {
	switch {
	case !s.known:
		return value // what it may hold ends with what stands behind that
	case at != battery:
		return min(value, s.written.Value)
	case (value < 0) == (s.written.Value < 0):
		return s.written.Value
	}
	return 0
}

// outlived says that the device may hold a value behind which nothing stands
// any more: the writes that should have replaced it have failed.
func (s *slot) outlived(now Stamp) bool {
	return s.commanded && !s.known && !s.behind.standing && s.behind.until > 0 && now >= s.behind.until
}

// pace is how far the value may go now: at once toward rest or a tighter
// limit, in steps away from it. What is held back stays within what was asked for.
func (s *slot) pace(at place, w want, now Stamp, r rhythm) (value int64, why string) {
	gap := s.gap()
	if w.must || w.standing || w.stop || r.ramp == 0 && gap == 0 || !s.grows(at, w.value) {
		return w.value, ""
	}
	from := int64(0)
	switch {
	case s.known && (at != battery || (s.written.Value < 0) == (w.value < 0)):
		from = s.written.Value
	case at != battery:
		return w.value, "" // the first limit only takes away
	}
	since := energy.Span(now - s.grownAt)
	if s.known && since < gap {
		return from, "a larger value waits, to spare the device's flash memory"
	}
	if r.ramp == 0 {
		return w.value, ""
	}
	if s.known && since < r.poll {
		return from, "ramp"
	}
	since = r.poll // time in which nothing grew is not saved up
	step := energy.MulDiv(int64(r.ramp), int64(since), int64(energy.Second))
	switch {
	case magnitude(w.value-from) <= step:
		return w.value, ""
	case w.value < from:
		return from - step, "ramp"
	}
	return from + step, "ramp"
}

// grows says that a value asks for more than what is in force: more power of a
// battery, a looser limit of anything else.
func (s *slot) grows(at place, value int64) bool {
	if at != battery {
		return s.known && value > s.written.Value
	}
	if !s.known {
		return value != 0
	}
	return magnitude(value) > magnitude(s.written.Value) || value != 0 && (value < 0) != (s.written.Value < 0)
}

// gap is the least time between two growing writes that spares the flash memory.
func (s *slot) gap() energy.Span {
	if s.control.Flash <= 0 {
		return 0
	}
	return energy.Day / energy.Span(s.control.Flash)
}

func (s *slot) reverts() bool { return s.control.Reversion != device.NeverReverts }

// reversion is what the device's own timer is armed with: the time that is
// left, within what the timer takes. Where each write wears out flash memory it
// is armed for longer, and so is in force for longer after the gateway's death.
func (s *slot) reversion(w want, now Stamp, shortest energy.Span) energy.Span {
	switch s.control.Reversion {
	case device.NeverReverts:
		return 0
	case device.RevertsByWatchdog:
		return s.watchdog()
	case device.RevertsByTimer:
	}
	left := standingTime
	if !w.standing {
		left = energy.Span(w.until - now)
	}
	left = max(left, shortest)
	if gap := s.gap(); gap > 0 {
		left = max(left, min(4*gap, longestSparing))
	}
	if w.horizon > 0 {
		left = min(left, w.horizon/energy.Second*energy.Second)
	}
	left = max(ceilSecond(left), ceilSecond(energy.SpanOf(s.control.LeastReversion)))
	if most := energy.SpanOf(s.control.MostReversion); most > 0 {
		left = min(left, most/energy.Second*energy.Second)
	}
	return left
}

func (s *slot) watchdog() energy.Span {
	if most := energy.SpanOf(s.control.MostReversion); most > 0 {
		return most
	}
	return max(usualWatchdog, energy.SpanOf(s.control.LeastReversion))
}

// mustRearm says that the device's timer fits the command no more: half of it
// is over and it would end before the command does, or a shorter command came
// and it would end long after.
func (s *slot) mustRearm(w want, now Stamp, reversion, poll energy.Span) bool {
	if r := energy.SpanOf(s.control.Refresh); r > 0 && energy.Span(now-s.armedAt) > r-poll {
		return true
	}
	switch s.control.Reversion {
	case device.NeverReverts:
		return false
	case device.RevertsByTimer:
		if s.revertsAt > now+Stamp(reversion+energy.Second) {
			return true
		}
	case device.RevertsByWatchdog:
	}
	return (w.standing || s.revertsAt < w.until) && now-s.armedAt >= (s.revertsAt-s.armedAt)/2
}

func ceilSecond(s energy.Span) energy.Span {
	return (s + energy.Second - 1) / energy.Second * energy.Second
}
