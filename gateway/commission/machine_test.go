// SPDX-License-Identifier: AGPL-3.0-or-later

package commission

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/energy"
)

// TestWhateverHappens: over devices that answer, refuse, fall silent, ignore
// what they are told and are stopped at any moment, the rules of a step hold.
func TestWhateverHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Step{
			Power: energy.Power(rapid.SampledFrom([]int64{500, -500, 3000}).Draw(t, "power")) * energy.Watt, Reversion: time.Minute,
			Rewrite: rapid.SampledFrom([]time.Duration{0, 2 * time.Second}).Draw(t, "rewrite"),
			Alone:   rapid.Bool().Draw(t, "alone"), Grace: 5 * time.Second, MostForce: 20 * time.Second, Before: 3, Hold: 3, After: 2,
			SettleWithin: 5 * time.Second, Least: -2 * energy.Kilowatt, Most: 2 * energy.Kilowatt, LeastSoC: 50, MostSoC: 1000, Margin: 20,
		}
		stubborn := rapid.Bool().Draw(t, "stubborn") // it does as it was told, for ever
		m := NewMachine(s)
		var now, first time.Duration
		var target energy.Power
		asked, released, releases := false, false, 0
		unsafe := func(soc int64) bool {
			return soc < 0 || s.Power > 0 && soc <= s.LeastSoC+s.Margin || s.Power < 0 && soc >= s.MostSoC-s.Margin
		}
		for turn := 0; m.Next() != Finish; turn++ {
			if turn > 400 {
				t.Fatal("it does not end")
			}
			now += time.Duration(rapid.Int64Range(1, 2000).Draw(t, "ms")) * time.Millisecond
			if rapid.IntRange(0, 30).Draw(t, "stop") == 0 {
				m.Halt("stopped")
				if asked && !released && m.Next() != Release && m.Next() != Finish {
					t.Fatal("it was stopped, and the battery is not released")
				}
				if m.Next() == Finish {
					break
				}
			}
			switch m.Next() {
			case Read:
				if rapid.IntRange(0, 9).Draw(t, "lost") == 0 {
					m.Unread(errors.New("no answer"))
					continue
				}
				p := rapid.SampledFrom([]energy.Power{0, m.Target(), -m.Target(), 700 * energy.Watt, 1900 * energy.Watt}).Draw(t, "battery")
				if stubborn && asked {
					p = m.Target()
				}
				soc := rapid.SampledFrom([]int64{500, 500, 500, 500, 500, 500, 500, 60, 990, -1}).Draw(t, "soc")
				if stubborn {
					soc = 500
				}
				reading := m.phase <= alone
				m.Took(Sample{At: now, Battery: p, SoC: soc, Meters: []energy.Power{-p}})
				if reading && unsafe(soc) && m.Next() != Release && m.Next() != Finish {
					t.Fatalf("state of charge %d, and it goes on to %d", soc, m.Next())
				}
				if asked && !released && reading && now-first > s.MostForce && m.Next() != Release {
					t.Fatal("in force for too long")
				}
			case Write:
				if releases > 0 {
					t.Fatal("it writes after it has released")
				}
				if s.Alone && asked {
					t.Fatal("left alone means one write")
				}
				target = m.Target()
				if target > s.Most || target < s.Least {
					t.Fatalf("it wants %s", target)
				}
				if d := abs(target - m.base); d > abs(s.Power) {
					t.Fatalf("a step of %s", d)
				}
				if !asked {
					asked, first = true, now
				}
				var err error
				if rapid.IntRange(0, 9).Draw(t, "refused") == 0 {
					err = errors.New("refused")
				}
				m.Wrote(now, err)
			case Release:
				releases++
				var err error
				if rapid.IntRange(0, 2).Draw(t, "stuck") == 0 {
					err = errors.New("refused")
				}
				released = err == nil
				m.Released(now, err)
			case Finish:
			}
		}
		if asked && !released && releases < mostReleases {
			t.Fatalf("it ends after %d tries to release", releases)
		}
		// What is judged is judged without falling over, and a proof passes only on
		// a step that was taken.
		p := fallbackProof(m, []string{"meter"})
		if !s.Alone {
			p, _ = signProof(m, []string{"meter"})
		}
		if p.Outcome == Passed && (!asked || !released) {
			t.Fatalf("%s passed: %s", p.Name, p.Text)
		}
		if p.Text == "" {
			t.Fatalf("%s %s without a word", p.Name, p.Outcome)
		}
	})
}

// house is a battery, a meter and a household that plays by a script, in
// simulated time.
type house struct {
	load      func(at time.Duration) energy.Power
	gain      energy.Power // per thousand of what the battery is told
	meter     energy.Power // per thousand of what the meter sees of it
	lag       time.Duration
	reverts   bool
	told      energy.Power
	toldAt    time.Duration
	commanded bool
}

func (h *house) battery(at time.Duration, s Step) energy.Power {
	if !h.commanded || at-h.toldAt < h.lag || h.reverts && at-h.toldAt > s.Reversion {
		return 0
	}
	return h.told * h.gain / 1000
}

func (h *house) play(s Step) *Machine {
	m := NewMachine(s)
	var now time.Duration
	for m.Next() != Finish {
		switch m.Next() {
		case Read:
			now += 500 * time.Millisecond
			b := h.battery(now, s)
			m.Took(Sample{At: now, Battery: b, SoC: 500, Meters: []energy.Power{h.load(now) - b*h.meter/1000}})
		case Write:
			h.told, h.toldAt, h.commanded = m.Target(), now, true
			m.Wrote(now, nil)
		case Release:
			h.commanded = false
			m.Released(now, nil)
		case Finish:
		}
	}
	return m
}

func usual(alone bool) Step {
	return Step{
		Power: 500 * energy.Watt, Reversion: 10 * time.Second, Alone: alone, Grace: 5 * time.Second, MostForce: time.Minute,
		Before: 6, Hold: 6, After: 4, SettleWithin: 20 * time.Second, Least: -5 * energy.Kilowatt, Most: 5 * energy.Kilowatt, MostSoC: 1000,
	}
}

// Each way in which a cellar is wired or a device behaves gets its own verdict.
func TestVerdicts(t *testing.T) {
	quiet := func(time.Duration) energy.Power { return 800 * energy.Watt }
	kettle := func(at time.Duration) energy.Power { // it goes on while the battery is held
		if at > 5*time.Second {
			return 2800 * energy.Watt
		}
		return 800 * energy.Watt
	}
	fridge := func(at time.Duration) energy.Power {
		return 800*energy.Watt + energy.Power(at.Milliseconds()%7)*20*energy.Watt
	}
	for name, c := range map[string]struct {
		house   house
		outcome Outcome
		text    string
		again   bool
	}{
		"as it should be":        {house{load: quiet, gain: 1000, meter: 1000}, Passed, "meter confirms it", false},
		"a restless house":       {house{load: fridge, gain: 1000, meter: 1000}, Passed, "meter confirms it", false},
		"a slow battery":         {house{load: quiet, gain: 1000, meter: 1000, lag: 15 * time.Second}, Passed, "meter confirms it", false},
		"somewhat less":          {house{load: quiet, gain: 920, meter: 1000}, Passed, "meter confirms it", false},
		"the meter is reversed":  {house{load: quiet, gain: 1000, meter: -900}, Failed, "counts the wrong way round", false},
		"the meter is elsewhere": {house{load: quiet, gain: 1000}, Failed, "no meter sees the battery", false},
		"the sign is wrong":      {house{load: quiet, gain: -1000, meter: 1000}, Failed, "the sign is wrong", false},
		"it does not follow":     {house{load: quiet, meter: 1000}, Failed, "did not follow", false},
		"a kettle":               {house{load: kettle, gain: 1000, meter: 1000}, Remarked, "could not be judged", true},
	} {
		m := c.house.play(usual(false))
		p, again := signProof(m, []string{"meter"})
		if p.Outcome != c.outcome || again != c.again || !contains(p.Text, c.text) {
			t.Errorf("%s: %s, %s (again %t)", name, p.Outcome, p.Text, again)
		}
		if p.Outcome != Passed && p.Next == "" {
			t.Errorf("%s: no next step", name)
		}
	}
	for name, c := range map[string]struct {
		house   house
		outcome Outcome
		text    string
	}{
		"it comes back":      {house{load: quiet, gain: 1000, meter: 1000, reverts: true}, Passed, "came back to itself 10."},
		"it ignores its own": {house{load: quiet, gain: 1000, meter: 1000}, Failed, "still did as it was told"},
		"it does not follow": {house{load: quiet}, Failed, "did not follow"},
	} {
		if p := fallbackProof(c.house.play(usual(true)), []string{"meter"}); p.Outcome != c.outcome || !contains(p.Text, c.text) {
			t.Errorf("fallback, %s: %s, %s", name, p.Outcome, p.Text)
		}
	}
}
