// SPDX-License-Identifier: AGPL-3.0-or-later

package commission

import (
	"fmt"
	"strings"
	"time"

	"github.com/allmende-energy/allmende/energy"
)

// Seen is how a meter saw a step.
type Seen string

// Ways to see it.
const (
	Follows  Seen = "sees it"               // the battery gives, and the meter imports less
	Reversed Seen = "sees it the wrong way" // the battery gives, and the meter imports more
	Blind    Seen = "does not see it"       // another line, or before the battery
	Unclear  Seen = "unclear"               // the house moved more than the battery
)

// Moved is what a step did, as differences to the mean of before and after.
type Moved struct {
	Battery energy.Power
	Meters  []energy.Power
	Drift   []energy.Power // of each meter, from before to after
	Back    bool           // the battery came back to where it was
}

// Moved evaluates the samples.
func (m *Machine) Moved() Moved {
	b, h, a := m.part(m.beforeN), m.part(m.holdN), m.part(m.afterN)
	if len(a) == 0 {
		a = b
	}
	battery := func(s Sample) energy.Power { return s.Battery }
	out := Moved{
		Battery: mean(h, battery) - (mean(b, battery)+mean(a, battery))/2,
		Back:    near(mean(a, battery), mean(b, battery), 2*m.tolerance()),
	}
	if len(m.samples) == 0 {
		return out
	}
	for i := range m.samples[0].Meters {
		meter := func(s Sample) energy.Power { return s.Meters[i] }
		out.Meters = append(out.Meters, mean(h, meter)-(mean(b, meter)+mean(a, meter))/2)
		out.Drift = append(out.Drift, mean(a, meter)-mean(b, meter))
	}
	return out
}

func (m *Machine) part(span [2]int) []Sample { return m.samples[span[0]:span[1]] }

// meterSaw judges one meter. A meter behind which the battery sits imports less
// by what the battery gives.
func (v Moved) meterSaw(i int) Seen {
	b, d := v.Battery, v.Meters[i]
	most := max(abs(b)*35/100, leastTolerance) // what the house may do meanwhile
	switch {
	case abs(v.Drift[i]) > most:
		return Unclear
	case near(d, -b, most):
		return Follows
	case near(d, b, most):
		return Reversed
	case abs(d) <= abs(b)/4:
		return Blind
	}
	return Unclear
}

// signProof judges a step that was held and released. again says that nothing
// is wrong, but the house was too restless to tell.
func signProof(m *Machine, meters []string) (p Proof, again bool) {
	p = Proof{Name: SignProof, Outcome: Passed, Curve: m.curve(meters)}
	switch {
	case m.problem != "" && m.blameless:
		p.Outcome, p.Text = Remarked, "not proved: "+m.problem
		p.Next = "commission again when that is over"
		return p, false
	case m.problem != "":
		p.Outcome, p.Text = Failed, m.problem
		p.Next = "look at the device's own display, then commission again"
		return p, false
	}
	v := m.Moved()
	p.Figures = append(p.Figures,
		Figure{"told to change by", watts(m.step.Power), "W"}, Figure{"battery changed by", watts(v.Battery), "W"})
	if followed, ok := m.followedAfter(); ok {
		p.Figures = append(p.Figures, Figure{"followed after", seconds(followed), "s"})
	}
	follow, blind, unclear := []string{}, 0, 0
	for i, name := range meters {
		saw := v.meterSaw(i)
		p.Figures = append(p.Figures, Figure{"meter " + name + " changed by", watts(v.Meters[i]), "W"})
		switch saw {
		case Follows:
			follow = append(follow, name)
		case Reversed:
			p.Outcome, p.Text = Failed, fmt.Sprintf("meter %s counts the wrong way round: the battery gave %s W, and the meter shows %s W", name, watts(v.Battery), watts(v.Meters[i]))
			p.Next = "turn the meter or its current clamps around, or choose a profile that turns its sign; then commission again"
		case Blind:
			blind++
		case Unclear:
			unclear++
		}
	}
	half := abs(m.step.Power) / 2
	switch {
	case abs(v.Battery) < half:
		p.Outcome, p.Text = Failed, fmt.Sprintf("the battery did not follow: told to change by %s W, it changed by %s W", watts(m.step.Power), watts(v.Battery))
		p.Next = "allow control from outside in the device's menu (remote control, external EMS), and see that no other program commands it"
	case (v.Battery > 0) != (m.step.Power > 0):
		p.Outcome, p.Text = Failed, fmt.Sprintf("the sign is wrong: told to change by %s W, the battery changed by %s W", watts(m.step.Power), watts(v.Battery))
		p.Next = "do not run it like this: the profile has the sign of this firmware wrong; send a dump (allmende gateway dump) with a report"
	case p.Outcome == Failed:
	case unclear > 0 && len(follow) == 0:
		p.Outcome, p.Text = Remarked, "the house used more and less by turns, so that the meter could not be judged"
		p.Next = "commission again when the house is quiet, or with a larger step (--step)"
		return p, true
	case len(meters) > 0 && len(follow) == 0:
		p.Outcome, p.Text = Failed, fmt.Sprintf("no meter sees the battery: it changed by %s W and none of %d meters moved", watts(v.Battery), blind)
		p.Next = "see that the meter measures the line that the battery is on; a battery with a meter of its own needs that meter in gateway.yaml"
	case len(meters) == 0:
		p.Outcome, p.Text = Remarked, "the battery follows; there is no meter in gateway.yaml to check it against"
		p.Next = "add the grid meter to gateway.yaml and commission again"
	case !v.Back:
		p.Outcome, p.Text = Remarked, fmt.Sprintf("the battery follows and %s confirms it; after the release it did something else than before", strings.Join(follow, ", "))
		p.Next = "nothing, if it follows the house by itself"
	default:
		p.Text = fmt.Sprintf("told to change by %s W, the battery did, and %s confirms it", watts(m.step.Power), strings.Join(follow, ", "))
	}
	return p, false
}

// fallbackProof judges a step that the device had to end itself.
func fallbackProof(m *Machine, meters []string) Proof {
	p := Proof{Name: FallbackProof, Outcome: Passed, Curve: m.curve(meters)}
	p.Figures = []Figure{{"timer told", seconds(m.step.Reversion), "s"}}
	switch {
	case m.reverted == 0 && m.blameless:
		p.Outcome, p.Text = Remarked, "not proved: "+m.problem
		p.Next = "commission again when that is over"
	case m.reverted == 0:
		p.Outcome, p.Text = Failed, m.problem
		p.Next = "do not let it be commanded: without a working timer a dead gateway leaves the last command in force; write read_only: true for it, and send a dump with a report"
	case m.reverted+m.step.Grace < m.step.Reversion:
		p.Outcome = Remarked
		p.Text = fmt.Sprintf("the battery came back by itself %s s after the last command, sooner than its timer of %s s", seconds(m.reverted), seconds(m.step.Reversion))
		p.Next = "see that no other program commands it"
	default:
		p.Text = fmt.Sprintf("left alone, the battery came back to itself %s s after the last command", seconds(m.reverted))
	}
	if m.reverted > 0 {
		p.Figures = append(p.Figures, Figure{"came back after", seconds(m.reverted), "s"})
		if m.problem != "" { // it could not be released afterwards
			p.Outcome, p.Next = Remarked, m.problem
		}
	}
	return p
}

// followedAfter is how long the battery took to do as it was told.
func (m *Machine) followedAfter() (time.Duration, bool) {
	for _, k := range m.marks {
		if k.Text == "followed" {
			return k.At - m.begun, true
		}
	}
	return 0, false
}

// curve is the step for a chart.
func (m *Machine) curve(meters []string) *Curve {
	c := &Curve{Meters: meters, Marks: []CurveMark{}, Samples: []CurveSample{}}
	for _, k := range m.marks {
		c.Marks = append(c.Marks, CurveMark{k.At.Milliseconds(), k.Text})
	}
	for _, s := range m.samples {
		sample := CurveSample{AtMS: s.At.Milliseconds(), Battery: int64(s.Battery), Meters: []int64{}}
		if s.Forced {
			target := int64(s.Target)
			sample.Target = &target
		}
		for _, p := range s.Meters {
			sample.Meters = append(sample.Meters, int64(p))
		}
		c.Samples = append(c.Samples, sample)
	}
	return c
}

func watts(p energy.Power) string {
	w := (abs(p) + energy.Watt/2) / energy.Watt
	sign := ""
	switch {
	case w == 0:
	case p < 0:
		sign = "−"
	default:
		sign = "+"
	}
	return fmt.Sprintf("%s%d", sign, int64(w))
}

func seconds(d time.Duration) string {
	tenths := (d + 50*time.Millisecond) / (100 * time.Millisecond)
	return fmt.Sprintf("%d.%d", tenths/10, tenths%10)
}
