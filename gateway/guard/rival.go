// SPDX-License-Identifier: AGPL-3.0-or-later

package guard

import (
	"fmt"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

const (
	// contests is how often what somebody else wrote is written over before we yield.
	contests = 3
	// contestTime is how long a contest is remembered.
	contestTime = 10 * energy.Minute
	// firstYield is how long we leave the device alone then; it doubles each time.
	firstYield = 15 * energy.Minute
	lastYield  = 4 * energy.Hour
	// insistTime lies between two writes of a limit that must hold although
	// the device is contested or refuses.
	insistTime = energy.Minute
)

// rival is what is known about a second master of the device.
type rival struct {
	told      string // what was noticed last
	toldAt    Stamp
	count     int   // contests in a row
	since     Stamp // the first of them
	yieldTo   Stamp // we leave the device alone until then
	yield     energy.Span
	wroteAt   Stamp
	everWrote bool
	shown     [places]struct {
		known bool
		value int64 // what the device showed after our latest write
		of    int64 // what we had written
	}
}

func (r *rival) wrote(now Stamp) { r.wroteAt, r.everWrote = now, true }

func (r *rival) yields(now Stamp) bool { return now < r.yieldTo }

// mayInsist bounds how often a limit that must hold is written to a device
// that somebody else commands as well.
func (r *rival) mayInsist(now Stamp) bool {
	return !r.everWrote || now-r.wroteAt >= Stamp(insistTime)
}

// Observe compares what the device says is in force with what was written to
// it. Somebody who changes it is reported; his value is written over a few
// times, then he is left alone for a while. Two masters who write against each
// other harm the device more than either alone.
func (g *Guard) Observe(a device.Applied, now Stamp) {
	at, ok := placeOf(a.Quantity)
	if !ok || g.slots[at] == nil {
		return
	}
	s := g.slots[at]
	r := &g.rival
	if r.count > 0 && now-r.since > Stamp(contestTime) {
		r.count = 0
	}
	if !s.known {
		if r.yields(now) {
			return // it is known already
		}
		if a.Active && !s.commanded && !g.Commands() {
			r.told, r.toldAt = fmt.Sprintf("somebody else commands this device: %s is %s", a.Quantity, inWords(a.Quantity, a.Value)), now
		} else if !a.Active && now-r.toldAt > Stamp(contestTime) {
			r.told = ""
		}
		return
	}
	if a.Quantity != s.control.Quantity || s.reverts() && now >= s.revertsAt-Stamp(energy.Second) || s.written.Stop {
		return // nothing to compare, or the device has just come back to itself
	}
	shown := &r.shown[at]
	want, off := s.written.Value, tolerance(s)
	if shown.known && shown.of == s.written.Value {
		want = shown.value
	}
	switch {
	case a.Active && magnitude(a.Value-want) <= off:
		if !shown.known || shown.of != s.written.Value { // once for a write: a slow master must not take it along
			shown.known, shown.of, shown.value = true, s.written.Value, a.Value
		}
		if now-r.toldAt > Stamp(contestTime) {
			r.told = ""
		}
		return
	case a.Active:
		r.told = fmt.Sprintf("a second master: %s is %s, this gateway had set %s", a.Quantity, inWords(a.Quantity, a.Value), inWords(a.Quantity, s.written.Value))
	default:
		r.told = fmt.Sprintf("a second master, or a restart: the %s that this gateway had set is no longer in force", a.Quantity)
	}
	r.toldAt, s.known = now, false
	s.may = s.may.with(a.Value)
	if r.count == 0 {
		r.since = now
	}
	if r.count++; r.count > contests {
		r.yield = min(max(2*r.yield, firstYield), lastYield)
		r.yieldTo, r.count = now+Stamp(r.yield), 0
	}
}

// tolerance is what a device may round: two percent of the value, one of the
// rating, or 50 W.
func tolerance(s *slot) int64 {
	if s.control.Quantity == device.ActivePowerPct {
		return full / 100
	}
	return max(magnitude(s.written.Value)/50, s.control.Most/100, 50*int64(energy.Watt))
}

func inWords(q device.Quantity, v int64) string {
	if q == device.ActivePowerPct {
		return fmt.Sprintf("%d.%d %%", v/10, v%10)
	}
	return energy.Power(v).String()
}
