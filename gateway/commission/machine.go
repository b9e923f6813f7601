// SPDX-License-Identifier: AGPL-3.0-or-later

package commission

import (
	"fmt"
	"strings"
	"time"

	"github.com/allmende-energy/allmende/energy"
)

// Step is one setpoint step, with its bounds.
type Step struct {
	Power energy.Power // how far from the battery's own power; discharge positive
	// Reversion is armed with each write; Rewrite is when a write must follow,
	// 0: never.
	Reversion, Rewrite time.Duration
	// Alone asks for the fallback proof: the step is written once, and the
	// device has to take it back by itself, within Reversion and Grace.
	Alone bool
	Grace time.Duration
	// MostForce bounds how long the step may be in force.
	MostForce time.Duration
	// Readings of each phase; SettleWithin bounds how long the device may take.
	Before, Hold, After int
	SettleWithin        time.Duration
	// Least and Most bound what may be commanded; Most discharges.
	Least, Most energy.Power
	// Limits of the state of charge in permille, with a margin kept from them.
	LeastSoC, MostSoC, Margin int64
}

// Doing is what the machine wants done.
type Doing uint8

// Things to do.
const (
	Read    Doing = iota // read battery and meters once, at the next period
	Write                // put Machine.Target in force
	Release              // give the battery back to itself
	Finish               // nothing: it is over
)

type phase uint8

const (
	before phase = iota
	settling
	holding
	alone
	releasing
	after
	finished
)

// Sample is one reading of everything.
type Sample struct {
	At      time.Duration // since the step began
	Battery energy.Power
	SoC     int64          // permille, -1: unknown
	Meters  []energy.Power // in the order of the site's meters
	Target  energy.Power   // what was commanded
	Forced  bool           // a command was in force, as far as the machine knows
}

// Machine does one step. Tell it what was done, and ask it what next.
type Machine struct {
	step    Step
	phase   phase
	next    Doing
	samples []Sample
	marks   []Mark

	base, target    energy.Power
	begun, written  time.Duration // the first and the latest write
	touched         bool          // a write was tried: the battery has to be released
	count           int           // readings in this phase
	unread          int           // failed readings in a row
	releases        int           // failed releases in a row
	problem         string        // why it was ended
	blameless       bool          // nothing is wrong with the device: it was stopped, or a bound was met
	reverted        time.Duration // how long after the write the device was back, alone
	released        bool
	beforeN, afterN [2]int // samples of the phases
	holdN           [2]int
}

// Mark is a moment of the step, for the chart.
type Mark struct {
	At   time.Duration
	Text string
}

const (
	mostUnread   = 3
	mostReleases = 5
)

// NewMachine begins a step.
func NewMachine(s Step) *Machine { return &Machine{step: s} }

// Next is what to do now.
func (m *Machine) Next() Doing { return m.next }

// Target is the power to be written.
func (m *Machine) Target() energy.Power { return m.target }

// Touched says that a command may be in force, or may have been.
func (m *Machine) Touched() bool { return m.touched }

// Took is told of a reading.
func (m *Machine) Took(s Sample) {
	m.unread = 0
	s.Target, s.Forced = m.target, m.touched && (m.phase == settling || m.phase == holding || m.phase == alone)
	m.samples = append(m.samples, s)
	m.count++
	if m.guard(s) {
		return
	}
	switch m.phase {
	case before:
		m.took(&m.beforeN)
		if m.count >= m.step.Before {
			m.begin(s)
		}
	case settling:
		m.settle(s)
	case holding:
		m.took(&m.holdN)
		switch {
		case m.count < m.step.Hold:
			m.rewrite(s.At)
		case m.step.Alone:
			m.enter(alone)
		default:
			m.release()
		}
	case alone:
		m.wait(s)
	case after:
		// The device may take a moment to come back to itself.
		if m.count > m.step.After {
			m.took(&m.afterN)
		}
		if m.count >= 2*m.step.After {
			m.finish("")
		}
	case releasing, finished:
	}
}

func (m *Machine) took(span *[2]int) {
	if span[1] == 0 {
		span[0] = len(m.samples) - 1
	}
	span[1] = len(m.samples)
}

func (m *Machine) enter(p phase) { m.phase, m.count, m.next = p, 0, Read }

// guard ends a step that has become dangerous, or has lasted too long.
func (m *Machine) guard(s Sample) bool {
	var why string
	switch {
	case m.phase > alone:
		return false
	case s.SoC < 0:
		why = "the state of charge is not known"
	case m.step.Power > 0 && s.SoC <= m.step.LeastSoC+m.step.Margin:
		why = fmt.Sprintf("the state of charge of %s %% is too low to discharge", permille(s.SoC))
	case m.step.Power < 0 && s.SoC >= m.step.MostSoC-m.step.Margin:
		why = fmt.Sprintf("the state of charge of %s %% is too high to charge", permille(s.SoC))
	case m.touched && s.At-m.begun > m.step.MostForce:
		why = fmt.Sprintf("the step was in force for %s", m.step.MostForce)
	default:
		return false
	}
	m.Halt(why)
	return true
}

// begin chooses the target from what the battery did by itself.
func (m *Machine) begin(s Sample) {
	m.base = mean(m.samples[m.beforeN[0]:m.beforeN[1]], func(s Sample) energy.Power { return s.Battery })
	m.target = min(max(m.base+m.step.Power, m.step.Least), m.step.Most)
	if less := m.target - m.base; abs(less) < abs(m.step.Power)/2 || (less > 0) != (m.step.Power > 0) {
		m.Halt(fmt.Sprintf("there is no room for a step: the battery is at %s W by itself, and may go from %s W to %s W", watts(m.base), watts(m.step.Least), watts(m.step.Most)))
		return
	}
	m.step.Power = m.target - m.base
	m.begun, m.written = s.At, s.At
	m.phase, m.count, m.next = settling, 0, Write
}

// Wrote is told what became of a write. One that failed may have arrived all
// the same.
func (m *Machine) Wrote(at time.Duration, err error) {
	if !m.touched {
		m.begun = at
	}
	m.touched, m.written = true, at
	if err != nil {
		m.Stop("the command could not be written: " + inLine(err))
		return
	}
	if m.phase == settling && len(m.marks) == 0 {
		m.marks = append(m.marks, Mark{at, "command"})
	}
	m.next = Read
}

// settle waits until the battery does as it was told.
func (m *Machine) settle(s Sample) {
	switch {
	case near(s.Battery, m.target, m.tolerance()):
		m.enter(holding)
		m.marks = append(m.marks, Mark{s.At, "followed"})
	case s.At-m.begun > m.step.SettleWithin && m.step.Alone:
		m.Stop("the battery did not follow")
	case s.At-m.begun > m.step.SettleWithin:
		// It is held for the record all the same: which way it went tells
		// whether a sign is wrong.
		m.enter(holding)
	default:
		m.rewrite(s.At)
	}
}

func (m *Machine) rewrite(at time.Duration) {
	if m.step.Rewrite > 0 && !m.step.Alone && at-m.written >= m.step.Rewrite {
		m.next = Write
	}
}

// wait sees the device come back by itself, or not.
func (m *Machine) wait(s Sample) {
	since := s.At - m.written
	switch {
	case near(s.Battery, m.base, m.tolerance()) || !m.sameSide(s.Battery):
		m.reverted = since
		m.marks = append(m.marks, Mark{s.At, "came back"})
		m.release()
	case since > m.step.Reversion+m.step.Grace:
		m.Stop(fmt.Sprintf("the battery still did as it was told %s after the last command, and its timer was %s", since.Round(time.Second), m.step.Reversion))
	}
}

// sameSide says that p lies nearer to the target than to where the battery was.
func (m *Machine) sameSide(p energy.Power) bool {
	return abs(p-m.target) <= abs(p-m.base)
}

func (m *Machine) release() { m.phase, m.next = releasing, Release }

// Released is told what became of a release.
func (m *Machine) Released(at time.Duration, err error) {
	if err != nil {
		if m.releases++; m.releases < mostReleases {
			return // again
		}
		m.blameless = false
		m.problem = "" // this is what has to be known
		m.finish("the battery could not be released: " + inLine(err) + "; its own timer ends the command, and until then it is in force")
		return
	}
	m.released = true
	if m.reverted == 0 {
		m.marks = append(m.marks, Mark{at, "released"})
	}
	if m.problem != "" || m.step.Alone {
		m.finish("")
		return
	}
	m.enter(after)
}

// Unread is told of a reading that failed.
func (m *Machine) Unread(err error) {
	if m.unread++; m.unread >= mostUnread {
		m.Stop("it could not be read: " + inLine(err))
	}
}

// Halt is [Machine.Stop] for a reason that says nothing against the device.
func (m *Machine) Halt(why string) {
	m.blameless = m.blameless || m.problem == ""
	m.Stop(why)
}

// Stop ends the step: the battery is released where it was touched.
func (m *Machine) Stop(why string) {
	if m.phase == finished || m.phase == releasing {
		return
	}
	if m.problem == "" && m.phase != after {
		m.problem = why
	}
	if m.touched && !m.released {
		m.release()
		return
	}
	m.finish(why)
}

func (m *Machine) finish(problem string) {
	if m.problem == "" {
		m.problem = problem
	}
	m.phase, m.next = finished, Finish
}

// tolerance is how near is near: a fifth of the step, and never below what
// inverters wander by.
func (m *Machine) tolerance() energy.Power {
	return max(abs(m.step.Power)/5, leastTolerance)
}

const leastTolerance = 60 * energy.Watt

// inLine is an error in one line of a report.
func inLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func near(a, b, by energy.Power) bool { return abs(a-b) <= by }

func abs(p energy.Power) energy.Power { return max(p, -p) }

func mean(samples []Sample, of func(Sample) energy.Power) energy.Power {
	if len(samples) == 0 {
		return 0
	}
	var sum energy.Power
	for _, s := range samples {
		sum += of(s)
	}
	return sum / energy.Power(len(samples))
}

func permille(n int64) string { return fmt.Sprintf("%d.%d", n/10, n%10) }
